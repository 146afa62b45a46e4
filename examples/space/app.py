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

"""
JASCO as a web page: describe a piece, shape its chords, drums and melody, hear it, and see whether it does what was asked.

    python examples/space/app.py

Environment variables: `JASCO_CHECKPOINT` (a folder or Hub id; by default the repository's jasco-nano) and `JASCO_CONCURRENCY`
(how many pieces are made at a time; 2).
"""

import html
import os
import secrets
from collections.abc import Callable
from dataclasses import fields as fields_of
from functools import wraps
from pathlib import Path
from typing import Any


# Gradio would report to its makers.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr

import actions
from actions import FILE_LIFE, STUDIO, TICKETS
from diffusers_jasco.controls.chord_labels import NOTES
from diffusers_jasco.controls.drum_machine import GROOVES
from diffusers_jasco.controls.progressions import PROGRESSIONS
from parts import ChordTimeline, PianoRoll, StepSequencer, chord_tones
from settings import (
    BEATS_PER_BAR,
    DURATION,
    GUIDANCE,
    MAX_PROMPT,
    MAX_SEED,
    MAX_STEPS,
    MAX_VARIATIONS,
    TEMPO,
    FieldError,
    Settings,
)
from takes import Take
from uploads import (
    CHORD_FILES,
    MAX_UPLOAD,
    MIDI_FILES,
    chords_from_file,
    chords_from_words,
    collected_warnings,
    melody_from_file,
)


FOLDER = Path(__file__).parent
CONCURRENCY = int(os.environ.get("JASCO_CONCURRENCY", "2"))
MAX_WAITING = 64  # runs in the queue
MAX_SESSIONS = 200  # whose fields Gradio remembers
KEPT_TAKES = 12  # of a visit, to compare
CONTROLS = ("chords", "drums", "melody")
NAMES = [item.name for item in fields_of(Settings)]
PROMPTS = [
    "80s pop, synth bass, electric piano, drums",
    "calm ballad, piano and flute, no drums",
    "rock, overdriven guitar, organ, drums",
    "fast techno, synth lead, drums",
]
KEYS = [f"{note} {mode}" for mode in ("major", "minor") for note in NOTES]
QUIET = {"api_visibility": "private", "show_progress": "hidden"}
AT_ONCE = {**QUIET, "queue": False}
THEME = gr.themes.Default(
    primary_hue="indigo",
    neutral_hue="slate",
    spacing_size="sm",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
)


def first_settings() -> Settings:
    """What a visitor finds."""
    return Settings(
        prompt=PROMPTS[0],
        chords=chords_from_words("C | Am | F | G", "C major", 4, 10.0, 120.0, True),
        drums="pattern",
        pattern=actions.load_groove("rock backbeat"),
        melody={"beats": 20.0, "notes": []},
        steps=STUDIO.default_steps,
        guidance_scale=STUDIO.default_guidance_scale,
        text_guidance_scale=STUDIO.default_text_guidance_scale,
    )


def build_page() -> gr.Blocks:
    start = first_settings()
    messages: dict[str, gr.HTML] = {}
    with gr.Blocks(title="JASCO", analytics_enabled=False, delete_cache=(600, FILE_LIFE)) as page:
        takes_state, ticket_state = gr.State([]), gr.State("")
        dark = gr.Checkbox(False, visible="hidden", label="Whether the page is dark")
        gr.HTML(
            "<h1>JASCO</h1><p>Describe a piece, shape its chords, drums and melody, and see whether the music follows.</p>",
            elem_id="header",
        )
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=3, min_width=340):
                prompt = gr.Textbox(
                    start.prompt, label="Describe the music", lines=2, max_length=MAX_PROMPT, elem_id="prompt",
                    placeholder="Style, instruments, mood, fast or slow, with or without drums",
                )  # fmt: skip
                gr.Examples(
                    [[text] for text in PROMPTS], prompt, label="Ideas", preload=False, elem_id="ideas",
                    api_visibility="private",
                )  # fmt: skip
                messages["prompt"] = message()
                with gr.Row(elem_id="measure"):
                    tempo = gr.Slider(*TEMPO, start.tempo, step=1, label="Beats a minute", min_width=200)
                    metres = list(range(BEATS_PER_BAR[0], BEATS_PER_BAR[1] + 1))
                    beats_per_bar = gr.Dropdown(metres, value=4, label="Beats in a bar", min_width=130, scale=0)
                    duration = gr.Slider(*DURATION, start.duration, step=0.5, label="Seconds of music", min_width=200)
                messages["tempo"] = messages["duration"] = message()
                with gr.Tabs() as tabs:
                    with tab("Chords"):
                        use_chords = gr.Checkbox(
                            True, label="Follow these chords", elem_classes="plain", elem_id="use-chords"
                        )
                        timeline = ChordTimeline(start.chords, bpm=start.tempo, elem_id="timeline")
                        messages["chords"] = message()
                        with gr.Accordion("Type chords, or choose a progression", open=False):
                            with gr.Row():
                                progression = gr.Dropdown(
                                    list(PROGRESSIONS), value=None, label="Progression", min_width=140
                                )
                                key = gr.Dropdown(KEYS, value="C major", label="Key", min_width=140)
                            words = gr.Textbox(
                                label="Chords", info="In bars, as Roman numerals in the key, or with their starts in seconds",
                                placeholder="C | Am | F G | %     or     ii7 V7 Imaj7     or     C:0 Am:2.5", elem_id="words",
                            )  # fmt: skip
                            with gr.Row(elem_classes="bar"):
                                repeat = gr.Checkbox(True, label="Repeat them to the end of the music")
                                place = gr.Button("Put them on the timeline", size="sm", elem_id="place")
                        with gr.Accordion("Take the chords of a song or file", open=False):
                            chord_file = gr.File(
                                label=f"A recording, or {', '.join(CHORD_FILES)}", height=110, elem_id="chord-file"
                            )
                            with gr.Row(elem_classes="bar"):
                                chord_start = gr.Number(0, minimum=0, label="From this second on", min_width=120)
                                find_chords = gr.Button("Put its chords on the timeline", size="sm")
                    with tab("Drums"):
                        drums = gr.Radio(
                            [("Leave them to the model", "off"), ("Steps", "pattern"), ("A recording", "recording")],
                            value=start.drums, label="Drums", show_label=False, container=False, elem_id="drums-from",
                        )  # fmt: skip
                        with gr.Column() as pattern_panel:
                            groove = gr.Dropdown(
                                [name for name in GROOVES if actions.is_playable(name)],
                                value=None,
                                label="Start from a groove",
                            )
                            pattern = StepSequencer(start.pattern, bpm=start.tempo, elem_id="steps")
                        with gr.Column(visible=False) as recording_panel:
                            drum_file = gr.Audio(
                                type="filepath", sources=["upload", "microphone"], elem_id="drum-file",
                                label="Drums, or a song with drums",
                            )  # fmt: skip
                            with gr.Row(elem_classes="bar"):
                                separate = gr.Checkbox(
                                    False, label="It is a full mix: take the drums out", min_width=180
                                )
                                drum_start = gr.Number(0, minimum=0, label="From this second on", min_width=120)
                                use_drums = gr.Button("Use it", size="sm", elem_id="use-drums")
                            recording = gr.Audio(
                                type="filepath", label="The drums as the model gets them", interactive=False,
                                elem_id="recording",
                            )  # fmt: skip
                        messages["drums"] = message()
                    with tab("Melody"):
                        use_melody = gr.Checkbox(
                            True, label="Follow this melody", elem_classes="plain", elem_id="use-melody"
                        )
                        roll = PianoRoll(
                            start.melody, bpm=start.tempo, chord_tones=chord_tones(start.chords), elem_id="roll"
                        )
                        messages["melody"] = message()
                        with gr.Accordion("Hum a tune, or load one", open=False):
                            melody_audio = gr.Audio(
                                type="filepath", sources=["microphone", "upload"], elem_id="melody-audio",
                                label="Hum, sing or whistle, or load a recording",
                            )  # fmt: skip
                            with gr.Row(elem_classes="bar"):
                                one_voice = gr.Checkbox(True, label="It is one voice or instrument", min_width=180)
                                melody_start = gr.Number(0, minimum=0, label="From this second on", min_width=120)
                                find_melody = gr.Button("Put its tune on the piano roll", size="sm")
                            midi_file = gr.UploadButton(
                                "Load a MIDI file", size="sm", file_types=list(MIDI_FILES), elem_id="midi-file"
                            )
            with gr.Column(scale=2, min_width=340):
                with gr.Row(elem_id="how-many"):
                    variations = gr.Slider(1, MAX_VARIATIONS, 1, step=1, label="Variations", min_width=180)
                    seed = gr.Number(start.seed, label="Seed", precision=0, min_width=120, elem_id="seed")
                    new_seed = gr.Checkbox(True, label="New each time", min_width=120, elem_id="new-seed")
                with gr.Accordion("Advanced", open=False):
                    steps = gr.Slider(
                        1, MAX_STEPS, start.steps, step=1, label="Steps", info="More take longer and are more exact."
                    )
                    guidance_scale = gr.Slider(
                        *GUIDANCE, start.guidance_scale, step=0.1, label="Guidance",
                        info="How strongly the words and controls are followed.",
                    )  # fmt: skip
                    text_guidance_scale = gr.Slider(
                        *GUIDANCE, start.text_guidance_scale, step=0.1, label="Text guidance",
                        info="How strongly the words are followed besides.",
                    )  # fmt: skip
                with gr.Row():
                    go = gr.Button("Make music", variant="primary", scale=3, min_width=160, elem_id="go")
                    stop = gr.Button("Stop", variant="stop", interactive=False, scale=1, min_width=80, elem_id="stop")
                status = gr.HTML(
                    lines("What you make appears here."), elem_id="status", elem_classes="message", min_height=60
                )
                for name in ("generate", "seed", "variations", "steps", "guidance_scale", "text_guidance_scale"):
                    messages[name] = status
                cards = [build_card(number) for number in range(MAX_VARIATIONS)]
                with gr.Accordion("Compare the takes of this visit", open=False, elem_id="compare"):
                    compared = []
                    for name in "AB":
                        choice = gr.Dropdown([], label=f"Take {name}")
                        compared.append((choice, gr.Audio(label=name, show_label=False, interactive=False)))
                with gr.Accordion("Load the settings of a take", open=False, elem_id="load"):
                    settings_file = gr.File(
                        label="A ZIP from here, or the settings.json in it", file_types=[".zip", ".json"], height=110,
                        elem_id="settings-file",
                    )  # fmt: skip
                    messages["file"] = message()

        fields = [
            prompt,
            tempo,
            duration,
            use_chords,
            timeline,
            drums,
            pattern,
            use_melody,
            roll,
            seed,
            variations,
            steps,
        ]
        fields += [guidance_scale, text_guidance_scale]
        all_messages = list(dict.fromkeys(messages.values()))

        def on(event: Callable, function: Callable, inputs: list, outputs: list, field: str, **options: Any):
            """`function` returns updates by component; what is wrong appears next to `field`, and not as an alarm."""

            @wraps(function)
            def run(*arguments):
                try:
                    with collected_warnings() as warnings:
                        updates = function(*arguments)
                except FieldError as error:
                    return {messages[error.field]: say(str(error), "error")}
                return {messages[field]: say(warnings), **updates}

            event(run, inputs, [*outputs, *all_messages], **{"api_visibility": "private", **options})

        def redraw(chords: dict, drum_pattern: dict, melody: dict, bpm: float) -> dict:
            metre = chords["beats_per_bar"]
            return {
                timeline: timeline.redraw(value=chords, bpm=bpm),
                pattern: pattern.redraw(value=drum_pattern, bpm=bpm, beats_per_bar=metre),
                roll: roll.redraw(value=melody, bpm=bpm, beats_per_bar=metre, chord_tones=chord_tones(chords)),
            }

        # Tempo, metre and length
        def fit(chords: dict, drum_pattern: dict, melody: dict, bpm: float, metre: int, seconds: float) -> dict:
            chords, melody = actions.fit_length(chords, melody, bpm, metre, seconds)
            return redraw(chords, drum_pattern, melody, bpm)

        for control in (tempo, beats_per_bar, duration):
            on(
                control.input, fit, [timeline, pattern, roll, tempo, beats_per_bar, duration], [timeline, pattern, roll],
                "duration", trigger_mode="always_last", queue=False, show_progress="hidden",
            )  # fmt: skip

        # Chords
        measure = [beats_per_bar, duration, tempo]
        progression.input(lambda name: PROGRESSIONS[name].numerals, progression, words, **AT_ONCE)
        progression.input(
            lambda name, now: f"{now.split()[0]} {PROGRESSIONS[name].mode}", [progression, key], key, **AT_ONCE
        )
        for event in (place.click, words.submit):
            on(
                event, lambda *values: {timeline: chords_from_words(*values)}, [words, key, *measure, repeat],
                [timeline], "chords", queue=False,
            )  # fmt: skip
        on(
            find_chords.click, lambda *values: {timeline: chords_from_file(*values)},
            [chord_file, chord_start, *measure], [timeline], "chords", concurrency_id="listen", show_progress_on=timeline,
        )  # fmt: skip
        timeline.change(
            lambda chords, bpm: roll.redraw(
                bpm=bpm, beats_per_bar=chords["beats_per_bar"], chord_tones=chord_tones(chords)
            ),
            [timeline, tempo], roll, **AT_ONCE,
        )  # fmt: skip

        # Drums
        drums.change(
            lambda source: [gr.update(visible=source == panel) for panel in ("pattern", "recording")],
            drums, [pattern_panel, recording_panel], **AT_ONCE,
        )  # fmt: skip
        on(groove.input, lambda name: {pattern: actions.load_groove(name)}, [groove], [pattern], "drums", queue=False)
        on(
            use_drums.click, lambda *values: {recording: actions.drums_from_file(*values)}, [drum_file, drum_start, separate],
            [recording], "drums", concurrency_id="listen", show_progress_on=recording,
        )  # fmt: skip

        # Melody
        for event, file in ((find_melody.click, melody_audio), (midi_file.upload, midi_file)):
            on(
                event, lambda *values: {roll: melody_from_file(*values)},
                [file, melody_start, one_voice, duration, tempo], [roll], "melody", concurrency_id="listen",
                show_progress_on=roll,
            )  # fmt: skip

        # Music
        def begin(is_new: bool, number: int, request: gr.Request) -> dict:
            return {
                **{place: say([]) for place in all_messages},
                status: say("It waits for its turn."),
                ticket_state: str(TICKETS.issue(request.session_hash)),
                seed: secrets.randbelow(MAX_SEED) if is_new else number,
                go: gr.update(interactive=False),
                stop: gr.update(interactive=True),
            }

        def make(*values) -> dict:
            *values, drum_recording, ticket, is_dark, before = values
            try:
                takes, remarks = actions.make_takes(
                    Settings(**dict(zip(NAMES, values))), drum_recording, Path(ticket), is_dark
                )
            except FieldError as error:
                updates = {status: say(str(error), "error")}
                if messages[error.field] is not status:
                    updates = {
                        messages[error.field]: say(str(error), "error"),
                        status: say("Nothing was made.", "error"),
                    }
                if error.field in CONTROLS:
                    updates[tabs] = gr.Tabs(selected=error.field)
                return updates
            updates = {status: say(remarks)}
            if takes:
                kept = [*before, *takes][-KEPT_TAKES:]
                updates[takes_state] = kept
                options = [(describe_take(take), number) for number, take in enumerate(kept)]
                for (choice, player), number in zip(compared, (len(kept) - 1, max(len(kept) - 2, 0))):
                    updates |= {choice: gr.update(choices=options, value=number), player: str(kept[number].wav)}
                for number, card in enumerate(cards):
                    updates |= fill_card(card, takes[number] if number < len(takes) else None)
            return updates

        made = go.click(begin, [new_seed, seed], [ticket_state, seed, go, stop, *all_messages], **AT_ONCE).then(
            make, [*fields, recording, ticket_state, dark, takes_state],
            [takes_state, *sum(compared, ()), *sum(cards, []), tabs, *all_messages], api_visibility="private",
            concurrency_limit=CONCURRENCY, concurrency_id="generate", show_progress_on=status,
        )  # fmt: skip
        made.then(lambda: [gr.update(interactive=True), gr.update(interactive=False)], None, [go, stop], **AT_ONCE)
        stop.click(stop_runs, None, None, **AT_ONCE)
        for choice, player in compared:
            on(
                choice.input,
                lambda number, takes, player=player: {player: actions.find_take(takes, number)},
                [choice, takes_state], [player], "generate", queue=False, show_progress="hidden",
            )  # fmt: skip

        # Settings of a take
        def load(file: str) -> dict:
            settings, drum_recording, remarks = actions.load_settings(file)
            return {
                **{component: getattr(settings, name) for component, name in zip(fields, NAMES)},
                **redraw(settings.chords, settings.pattern, settings.melody, settings.tempo),
                beats_per_bar: settings.chords["beats_per_bar"],
                new_seed: False,
                recording: drum_recording,
                messages["file"]: say(remarks),
            }

        on(
            settings_file.upload,
            load,
            [settings_file],
            [*fields, beats_per_bar, new_seed, recording],
            "file",
            queue=False,
        )

        page.load(None, None, dark, **QUIET, js="() => document.body.classList.contains('dark')")
        page.unload(stop_runs)

        # The API: the same, with errors as errors
        with gr.Row(visible=False):
            trigger = gr.Button("API")
            any_file = gr.File(label="file")
            wavs, zips = (gr.File(label=label, file_count="multiple") for label in ("WAV files", "ZIP files"))
            report, loaded = gr.JSON(label="report"), gr.JSON(label="settings")
            heard, stopped = gr.Audio(label="audio", type="filepath"), gr.Number(label="runs stopped", precision=0)

        def endpoint(function: Callable, inputs: list, outputs: list, name: str, **options: Any):
            @wraps(function)
            def run(*arguments, **named):
                try:
                    return function(*arguments, **named)
                except FieldError as error:
                    raise gr.Error(str(error), title=error.field, print_exception=False) from error

            trigger.click(run, inputs, outputs, api_name=name, **options)

        endpoint(
            api_generate, [*fields, recording], [wavs, zips, report], "generate", concurrency_limit=CONCURRENCY,
            concurrency_id="generate",
        )  # fmt: skip
        endpoint(api_stop, [], [stopped], "stop", queue=False)
        listening = {"concurrency_id": "listen"}
        endpoint(chords_from_words, [words, key, *measure, repeat], [timeline], "chords_from_words")
        endpoint(chords_from_file, [any_file, chord_start, *measure], [timeline], "chords_from_file", **listening)
        endpoint(
            actions.drums_from_file, [any_file, drum_start, separate], [recording], "drums_from_file", **listening
        )
        endpoint(
            melody_from_file, [any_file, melody_start, one_voice, duration, tempo], [roll], "melody_from_file",
            **listening,
        )  # fmt: skip
        endpoint(actions.hear_chords, [timeline, tempo, duration], [heard], "hear_chords")
        endpoint(actions.hear_drums, [pattern, tempo, duration], [heard], "hear_drums")
        endpoint(actions.hear_melody, [roll, tempo, duration], [heard], "hear_melody")
        endpoint(api_load_settings, [any_file], [loaded, recording], "load_settings")
    return page


def api_generate(
    prompt, tempo, duration, use_chords, chords, drums, pattern, use_melody, melody, seed, variations, steps,
    guidance_scale, text_guidance_scale, recording=None, request: gr.Request = None,
):  # fmt: skip
    """
    Makes music: a WAV and a ZIP (with controls and settings) for each variation, and a report with the seeds and with how far
    each control was followed.
    """
    values = (prompt, tempo, duration, use_chords, chords, drums, pattern, use_melody, melody, seed, variations, steps)
    settings = Settings(*values, guidance_scale, text_guidance_scale)
    takes, remarks = actions.make_takes(settings, recording, TICKETS.issue(request.session_hash))
    scores = [
        {name: {"value": score.value, "words": score.words} for name, score in take.scores.items()} for take in takes
    ]
    report = {"remarks": remarks, "seeds": [take.settings.seed for take in takes], "scores": scores}
    return [str(take.wav) for take in takes], [str(take.zip) for take in takes], report


def api_load_settings(file):
    """The values of all fields from a download, and the drum recording, if there is one."""
    settings, recording, _ = actions.load_settings(file)
    return settings.to_json(), recording


def api_stop(request: gr.Request):
    """Stops everything that this session makes, within one step, and says how many runs that were."""
    return TICKETS.revoke(request.session_hash)


def stop_runs(request: gr.Request):
    TICKETS.revoke(request.session_hash)


def tab(name: str) -> gr.Tab:
    """The tab of one control, if the checkpoint has it."""
    return gr.Tab(name, id=name.lower(), visible=name.lower() in STUDIO.controls)


def message() -> gr.HTML:
    """The place of messages about a field."""
    return gr.HTML("", visible=False, elem_classes="message")


def say(messages: list[str] | str, kind: str = "remark") -> Any:
    """An update of such a place: remarks, an error, or nothing."""
    text = lines(messages, kind)
    return gr.update(value=text, visible=bool(text))


def lines(messages: list[str] | str, kind: str = "remark") -> str:
    messages = [messages] if isinstance(messages, str) else messages
    role = "alert" if kind == "error" else "status"
    return "".join(f'<p class="{kind}" role="{role}">{html.escape(line)}</p>' for line in messages)


def describe_take(take: Take) -> str:
    """One line for a list of takes."""
    return f"{take.settings.prompt[:40] or 'no words'} · {', '.join(take.scores) or 'words only'} · seed {take.settings.seed}"


def build_card(number: int) -> list[Any]:
    """The place of one take: a column with its title, player, scores, picture and downloads."""
    with gr.Column(visible=False, elem_classes="card") as column:
        title = gr.HTML()
        player = gr.Audio(
            interactive=False, show_label=False, label=f"Take {number + 1}", buttons=[], elem_classes="player"
        )
        scores = gr.HTML()
        picture = gr.Image(
            interactive=False, show_label=False, label="Asked and heard", buttons=["fullscreen"], elem_classes="picture",
            alt_text="The music’s spectrogram over the chords, melody and drums that were asked for and that are heard",
        )  # fmt: skip
        with gr.Row(elem_classes="downloads"):
            files = [gr.DownloadButton(name, size="sm", min_width=80) for name in ("WAV", "FLAC", "ZIP with settings")]
    return [column, title, player, scores, picture, *files]


def fill_card(card: list[Any], take: Take | None) -> dict[Any, Any]:
    column, title, player, scores, picture, *files = card
    if take is None:
        return {column: gr.update(visible=False)}
    return {
        column: gr.update(visible=True),
        title: f"<h3>Seed {take.settings.seed}</h3>",
        player: str(take.wav),
        scores: show_scores(take),
        picture: str(take.picture),
        **dict(zip(files, (str(take.wav), str(take.flac), str(take.zip)))),
    }


def show_scores(take: Take) -> str:
    """How far each control was followed, in words and numbers."""
    if not take.scores:
        return '<p class="remark">Nothing but the words was asked for.</p>'
    items = []
    for score in take.scores.values():
        finding, _, words = score.sentence.partition(" — ")
        items.append(
            f'<li class="{score.words.replace(" ", "-")}">{html.escape(finding)} <em>{html.escape(words)}</em></li>'
        )
    return f'<ul class="scores">{"".join(items)}</ul>'


page = build_page()
page.queue(max_size=MAX_WAITING, default_concurrency_limit=CONCURRENCY)

if __name__ == "__main__":
    page.launch(
        theme=THEME,
        css_paths=FOLDER / "style.css",
        max_file_size=f"{MAX_UPLOAD}mb",
        state_session_capacity=MAX_SESSIONS,
        ssr_mode=False,
        footer_links=["api"],
        show_error=False,
    )
