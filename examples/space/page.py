# Copyright 2026 The diffusers-jasco authors. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""The page: connects its fields to actions."""

import os
import secrets
from collections.abc import Callable
from dataclasses import fields as fields_of
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr

import actions
from actions import FILE_LIFE, TOKENS
from calls import CheckedBlocks
from diffusers_jasco.controls import CONTROLS
from diffusers_jasco.controls.progressions import PROGRESSIONS
from layout import EDIT_FIELDS, MIXER_FIELDS, Layout
from parts import chord_tones
from settings import (
    DURATION,
    EDITS,
    MAX_PROMPT,
    MAX_SEED,
    MAX_VARIATIONS,
    TEMPO,
    FieldError,
    Settings,
)
from takes import Take
from uploads import (
    are_numerals,
    chords_from_file,
    chords_from_text,
    collected_warnings,
    melody_from_file,
    pattern_from_file,
    warn_of_partial_bars,
)
from widgets import describe_take, say


CONCURRENCY = int(os.environ.get("JASCO_CONCURRENCY", "2"))  # pieces generated at the same time
FIELD_NAMES = {
    "prompt": "description",
    "source": "recording",
    "regions": "parts",
    **dict.fromkeys(MIXER_FIELDS, "mixer"),
}  # in messages
KEPT_TAKES = 12  # takes per session that can be compared
# Lets only one player sound at a time (Gradio's players have no event for this), and returns whether the page is dark.
ON_LOAD = """() => {
    const play = HTMLMediaElement.prototype.play;
    let playing = null;
    HTMLMediaElement.prototype.play = function () {
        if (playing !== this) playing?.pause();
        playing = this;
        document.dispatchEvent(new CustomEvent("part-plays"));
        return play.call(this);
    };
    document.addEventListener("part-plays", (event) => event.detail && playing?.pause());
    return document.body.classList.contains("dark");
}"""

# Downloads a new file. Gradio's `DownloadButton` only has files that exist before the click.
DOWNLOAD = """(file) => {
    if (file === null) return;
    const link = document.createElement("a");
    link.href = file.url;
    link.download = file.orig_name;
    link.click();
}"""
PRIVATE_EVENT = {"api_visibility": "private", "show_progress": "hidden"}
UNQUEUED_EVENT = {**PRIVATE_EVENT, "queue": False}
ANALYSIS_EVENT = {"concurrency_id": "analysis", "concurrency_limit": CONCURRENCY}


class Page(Layout):
    """The page, with its fields connected to `actions`. `fields` has the components of the fields of [`Settings`]."""

    def __init__(self):
        super().__init__()
        with CheckedBlocks(title="JASCO", analytics_enabled=False, delete_cache=(600, FILE_LIFE)) as self.blocks:
            self.takes, self.token = gr.State([]), gr.State("")
            self.dark = gr.Checkbox(False, visible="hidden", label="Whether the page is dark")
            self.saved_pattern = gr.File(visible="hidden", label="Saved pattern")
            self._lay_out()
            self.fields = {item.name: getattr(self, item.name) for item in fields_of(Settings)}
            self._wire_prompt()
            self._wire_timing()
            self._wire_chords()
            self._wire_drums()
            self._wire_melody()
            self._wire_mixer()
            self._wire_edit()
            self._wire_generation()
            self._wire_comparison()
            self._wire_loading()

    @property
    def _message_slots(self) -> list[gr.HTML]:
        return list(dict.fromkeys(self.messages.values()))

    def _on(self, event: Callable, function: Callable, inputs: list, outputs: list, field: str, **options: Any):
        """
        On `event`, calls `function` with the values of `inputs`; it returns updates by component. Errors and the package's
        warnings appear next to `field`.

        Lists that overwrite edits need the event `change`, since `input` also fires when a list is left without a choice. An
        event that may fire again during its request needs the `trigger_mode` "always_last" (the default of `change` only),
        since "once" drops it.
        """

        @wraps(function)
        def run(*values):
            try:
                with collected_warnings() as warnings:
                    updates = function(*values)
            except FieldError as error:
                return {self.messages[error.field]: say(str(error), "error")}
            # Without an update, messages about the last one stay.
            return {self.messages[field]: say(warnings) if updates or warnings else gr.skip(), **updates}

        event(run, inputs, [*outputs, *self._message_slots], api_visibility="private", **options)

    def _redraw(self, chords: dict, pattern: dict, melody: dict, bpm: float) -> dict:
        """Updates of all three parts, which share tempo, time signature and chords."""
        beats_per_bar = chords["beats_per_bar"]
        return {
            # This tab is open from the start, so its other properties are kept.
            self.chords: gr.update(value=chords, bpm=bpm),
            self.pattern: self.pattern.redraw(value=pattern, bpm=bpm, beats_per_bar=beats_per_bar),
            self.melody: self.melody.redraw(
                value=melody, bpm=bpm, beats_per_bar=beats_per_bar, chord_tones=chord_tones(chords)
            ),
        }

    def _wire_prompt(self):
        self.prompt.change(
            lambda prompt: say(actions.describe_unknown_words((prompt or "")[:MAX_PROMPT], is_typed=True)),
            self.prompt,
            self.unknown_words,
            trigger_mode="always_last",
            **UNQUEUED_EVENT,
        )

    def _wire_timing(self):
        def fit(chords: dict, pattern: dict, melody: dict, bpm: float, beats_per_bar: int, seconds: float) -> dict:
            pattern = actions.fit_beats_per_bar(pattern, chords["beats_per_bar"], beats_per_bar)
            chords, melody = actions.fit_length(chords, melody, bpm, beats_per_bar, seconds)
            return self._redraw(chords, pattern, melody, bpm)

        parts = [self.chords, self.pattern, self.melody]
        timing = [self.tempo, self.beats_per_bar, self.duration]
        # A number may be out of range while it is typed.
        limits = [(3, *TEMPO), (5, *DURATION)]
        clamp = "".join(f"values[{i}] = Math.min(Math.max(values[{i}], {low}), {high});" for i, low, high in limits)
        # A slider's `input` fires before its number is clamped, and not at all for its reset button.
        for event in (self.tempo.change, self.beats_per_bar.change, self.duration.change):
            self._on(
                event,
                fit,
                [*parts, *timing],
                parts,
                "duration",
                js=f"(...values) => {{ {clamp} return values; }}",
                queue=False,
                show_progress="hidden",
            )

    def _wire_chords(self):
        def place(text: str, key: str, *timing: Any) -> dict:
            value = chords_from_text(text, key, *timing)
            # The palette below the timeline follows the key of Roman numerals.
            chords = gr.update(value=value, **({"musical_key": key} if are_numerals(text) else {}))
            return {self.chords: chords, self.placed: (text, key)}

        def choose(name: str, key: str, *timing: Any) -> dict:
            progression = PROGRESSIONS[name]
            key = f"{key.split()[0]} {progression.mode}"
            return {self.chord_text: progression.numerals, self.key: key, **place(progression.numerals, key, *timing)}

        def transpose(placed: tuple[str, str], text: str, key: str, *timing: Any) -> dict:
            # A progression also sets the key. Placing its chords again would undo what was edited meanwhile.
            return place(text, key, *timing) if are_numerals(text) and tuple(placed) != (text, key) else {}

        timing = [self.beats_per_bar, self.duration, self.tempo, self.repeat]
        for event, function, sources in (
            (self.place_chords.click, place, [self.chord_text]),
            (self.chord_text.submit, place, [self.chord_text]),
            (self.progression.change, choose, [self.progression]),
            (self.key.change, transpose, [self.placed, self.chord_text]),
        ):
            self._on(
                event,
                function,
                [*sources, self.key, *timing],
                [self.chord_text, self.key, self.chords, self.placed],
                "chords",
                trigger_mode="always_last",
                queue=False,
            )
        self._on(
            self.find_chords.click,
            lambda *values: {self.chords: chords_from_file(*values)},
            [self.chord_file, self.chord_start, self.beats_per_bar, self.duration, self.tempo],
            [self.chords],
            "chords",
            show_progress_on=self.chords,
            **ANALYSIS_EVENT,
        )
        self.chords.change(
            lambda chords, bpm: self.melody.redraw(
                bpm=bpm, beats_per_bar=chords["beats_per_bar"], chord_tones=chord_tones(chords)
            ),
            [self.chords, self.tempo],
            self.melody,
            **UNQUEUED_EVENT,
        )

    def _wire_drums(self):
        def choose(name: str | None, beats_per_bar: int) -> dict:
            if name is None:  # after another pattern was loaded
                return {}
            pattern = actions.load_groove(name)
            warn_of_partial_bars(pattern, beats_per_bar)
            return {self.pattern: pattern}

        self.drums.change(
            # A hidden step sequencer keeps its undo history; an invisible one is removed.
            lambda source: [
                gr.update(visible=source == "pattern" or "hidden"),
                gr.update(visible=source == "recording"),
            ],
            self.drums,
            [self.pattern_panel, self.recording_panel],
            **UNQUEUED_EVENT,
        )
        self._on(
            self.groove.change,
            choose,
            [self.groove, self.beats_per_bar],
            [self.pattern],
            "drums",
            queue=False,
        )

        def use(file: str | None, *values: Any) -> dict:
            return {self.drum_source: file, self.recording: actions.drums_from_file(file, *values)}

        def use_again(file: str | None, *values: Any) -> dict:
            return {self.drum_source: None, self.recording: None} if file is None else use(file, *values)

        # Recordings are used at once: otherwise, the next take would use older drums, or none.
        for event, function, source in (
            (self.use_drums.click, use, self.drum_source),
            (self.separate.change, use_again, self.drum_source),
            (self.drum_file.change, use_again, self.drum_file),
            (self.any_drum_file.upload, use, self.any_drum_file),
        ):
            self._on(
                event,
                function,
                [source, self.drum_start, self.separate],
                [self.drum_source, self.recording],
                "drums",
                show_progress_on=self.recording,
                trigger_mode="always_last",
                **ANALYSIS_EVENT,
            )

        def edit(file: str | None, *values: Any) -> dict:
            pattern, bpm, beats_per_bar = pattern_from_file(file, *values)
            # The other parts follow the tempo and the time signature.
            return {
                self.pattern: pattern,
                self.tempo: bpm,
                self.beats_per_bar: beats_per_bar,
                self.drums: "pattern",
                self.groove: None,
            }

        for event, source, place in (
            (self.edit_drums.click, self.drum_source, self.recording),
            (self.load_pattern.upload, self.load_pattern, self.pattern),
        ):
            self._on(
                event,
                edit,
                [source, self.drum_start, self.separate, self.beats_per_bar],
                [self.pattern, self.tempo, self.beats_per_bar, self.drums, self.groove],
                "drums",
                show_progress_on=place,
                trigger_mode="always_last",
                **ANALYSIS_EVENT,
            )

        def save(pattern: dict, bpm: float) -> tuple[str | None, dict]:
            try:
                return actions.pattern_to_file(pattern, bpm), say([])
            except FieldError as error:
                return None, say(str(error), "error")

        self.save_pattern.click(
            save, [self.pattern, self.tempo], [self.saved_pattern, self.messages["drums"]], **UNQUEUED_EVENT
        ).then(None, self.saved_pattern, js=DOWNLOAD, **UNQUEUED_EVENT)

    def _wire_melody(self):
        for event, file, mode in (
            (self.find_melody.click, self.melody_audio, "once"),
            (self.melody_file.upload, self.melody_file, "always_last"),
            (self.melody_track.submit, self.melody_file, "always_last"),
        ):
            self._on(
                event,
                lambda *values: {self.melody: melody_from_file(*values)},
                [file, self.melody_start, self.one_voice, self.duration, self.tempo, self.melody_track],
                [self.melody],
                "melody",
                show_progress_on=self.melody,
                trigger_mode=mode,
                **ANALYSIS_EVENT,
            )

    def _wire_mixer(self):
        fields = [self.fields[name] for name in MIXER_FIELDS]
        values = [getattr(self.start, name) for name in MIXER_FIELDS]
        self.reset_mixer.click(lambda: values, None, fields, **UNQUEUED_EVENT)

    def _wire_edit(self):
        def measure(edit: str, source: str | None, intro: float | None, outro: float | None) -> dict:
            if edit == "off" or source is None:
                return {}
            added = (intro or 0.0, outro or 0.0) if edit == "regions" else (0.0, 0.0)
            return {self.duration: actions.measure_result(source, *added)}

        self.edit.change(
            lambda edit: [gr.update(visible=edit in shown) for shown in (EDITS[1:], EDITS[1:2], EDITS[2:])],
            self.edit,
            [self.source_panel, self.regions_panel, self.strength_panel],
            **UNQUEUED_EVENT,
        )
        # The timelines get the length of the result.
        for event in (self.edit.change, self.source.change, self.intro.change, self.outro.change):
            self._on(
                event,
                measure,
                [self.edit, self.source, self.intro, self.outro],
                [self.duration],
                "source",
                trigger_mode="always_last",
                queue=False,
                show_progress="hidden",
            )

    def _wire_generation(self):
        def begin(is_new: bool, seed: int, request: gr.Request) -> dict:
            return {
                **{slot: say([]) for slot in self._message_slots},
                self.status: say("Waiting in the queue."),
                self.token: str(TOKENS.issue(request.session_hash)),
                self.seed: secrets.randbelow(MAX_SEED) if is_new else seed,
                self.go: gr.update(interactive=False),
                self.stop: gr.update(interactive=True),
            }

        def make(*values) -> dict:
            *values, recording, source, token, dark, before = values
            try:
                settings = Settings(**dict(zip(self.fields, values)))
                takes, remarks = actions.make_takes(settings, recording, Path(token), dark, source)
            except FieldError as error:
                return self._show_error(error)
            return {self.status: say(remarks), **(self._show_takes(takes, before) if takes else {})}

        def end() -> dict:
            return {self.go: gr.update(interactive=True), self.stop: gr.update(interactive=False)}

        def leave(request: gr.Request):
            TOKENS.revoke(request.session_hash)

        started = self.go.click(
            begin,
            [self.new_seed, self.seed],
            [self.token, self.seed, self.go, self.stop, *self._message_slots],
            **UNQUEUED_EVENT,
        )
        cards = [component for card in self.cards for component in card.components]
        generated = started.then(
            make,
            [*self.fields.values(), self.recording, self.source, self.token, self.dark, self.takes],
            [self.takes, *sum(self.compared, ()), *cards, self.tabs, *self._message_slots],
            api_visibility="private",
            concurrency_id="generate",
            concurrency_limit=CONCURRENCY,
            show_progress_on=self.status,
        )
        generated.then(end, None, [self.go, self.stop], **UNQUEUED_EVENT)
        self.stop.click(leave, None, None, **UNQUEUED_EVENT)
        self.blocks.unload(leave)
        self.blocks.load(None, None, self.dark, js=ON_LOAD, **PRIVATE_EVENT)

    def _show_error(self, error: FieldError) -> dict:
        """Shows a message next to the field, and opens its tab."""
        slot = self.messages[error.field]
        updates = {slot: say(str(error), "error")}
        if slot is not self.status:
            field = FIELD_NAMES.get(error.field, error.field)
            updates[self.status] = say(f"Nothing was generated: see the message about the {field}.", "error")
        tabs = dict.fromkeys(EDIT_FIELDS, "edit") | dict.fromkeys(MIXER_FIELDS, "mixer")
        tab = tabs.get(error.field, error.field)
        if tab in (*CONTROLS, "mixer", "edit"):
            updates[self.tabs] = gr.Tabs(selected=tab)
        return updates

    def _show_takes(self, takes: list[Take], before: list[Take]) -> dict:
        """Shows the new takes in their cards, and selects the last two of the session for comparison."""
        count = before[-1].number if before else 0
        takes = [replace(take, number=count + index) for index, take in enumerate(takes, start=1)]
        kept = [*before, *takes][-KEPT_TAKES:]
        updates: dict[Any, Any] = {self.takes: kept}
        options = [(describe_take(take), number) for number, take in enumerate(kept)]
        for (choice, player), number in zip(self.compared, (len(kept) - 1, max(len(kept) - 2, 0))):
            updates |= {choice: gr.update(choices=options, value=number), player: str(kept[number].wav)}
        for card, take in zip(self.cards, [*takes, *[None] * MAX_VARIATIONS]):
            updates |= card.show(take)
        return updates

    def _wire_comparison(self):
        for choice, player in self.compared:
            self._on(
                choice.input,  # `change` also fires for new takes, and would clear the message about them.
                lambda takes, number, player=player: {}
                if number is None
                else {player: actions.find_take(takes, number)},
                [self.takes, choice],
                [player],
                "generate",
                trigger_mode="always_last",
                queue=False,
                show_progress="hidden",
            )

    def _wire_loading(self):
        def load(file: str) -> dict:
            settings, recording, remarks = actions.load_settings(file)
            return {
                **{field: getattr(settings, name) for name, field in self.fields.items()},
                **self._redraw(settings.chords, settings.pattern, settings.melody, settings.tempo),
                self.beats_per_bar: settings.chords["beats_per_bar"],
                self.new_seed: False,
                self.recording: recording,
                **({} if recording is None else {self.drum_source: recording}),
                self.messages["file"]: say(remarks),
            }

        self._on(
            self.settings_file.upload,
            load,
            [self.settings_file],
            [*self.fields.values(), self.beats_per_bar, self.new_seed, self.recording, self.drum_source],
            "file",
            trigger_mode="always_last",
            queue=False,
        )
