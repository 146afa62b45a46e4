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
(how many pieces are made at a time).
"""

import html
import math
import os
import secrets
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import soundfile


# Gradio would report to its makers.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

try:  # the package of ZeroGPU, which has to come before torch
    import spaces

    on_gpu = spaces.GPU
except ImportError:

    def on_gpu(function: Callable) -> Callable:
        return function


import gradio as gr
import torch
from gradio.utils import get_upload_folder
from parts import (
    TRACKS,
    ChordTimeline,
    PianoRoll,
    StepSequencer,
    check_steps,
    chord_tones,
    empty_steps,
    resize_chord_timeline,
)
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
    count_bars,
)
from studio import Stopped, Studio
from takes import Take, finish_take, read_settings
from uploads import (
    CHORD_FILES,
    MAX_UPLOAD,
    MIDI_FILES,
    check_recording,
    check_upload,
    chords_from_upload,
    chords_from_words,
    collected_warnings,
    drums_from_upload,
    melody_from_upload,
    readable,
)
from visits import Shelf, Tickets

from diffusers_jasco.controls.chord_labels import NOTES
from diffusers_jasco.controls.drum_machine import GROOVES
from diffusers_jasco.controls.previews import preview_chords, preview_melody
from diffusers_jasco.controls.progressions import PROGRESSIONS


FOLDER = Path(__file__).parent
CHECKPOINT = os.environ.get("JASCO_CHECKPOINT") or str(FOLDER.parents[1] / "pipelines/jasco-nano")
CONCURRENCY = int(os.environ.get("JASCO_CONCURRENCY", "2"))
MAX_WAITING = 64  # runs in the queue
MAX_SESSIONS = 200  # of which Gradio remembers the fields
KEPT_TAKES = 12  # of a visit, to compare
FILE_LIFE = 3600  # seconds that files are kept
PREVIEW_RATE = 32000  # Hz
PROMPTS = [
    "80s pop, groovy synth bass, electric piano, drums",
    "calm ballad with piano and flute, no drums",
    "rock, overdriven guitar and organ, drums",
    "fast techno, synth lead, drums",
    "jazz trio, walking bass, brushes",
]

STUDIO = Studio(CHECKPOINT)
TICKETS = Tickets()
SHELF = Shelf(Path(get_upload_folder(), "jasco"), FILE_LIFE)


# 1. What the page and the API do: values → values, and a FieldError for what can't be used


@on_gpu
def play(settings: Settings, seed: int, recording: Path | None, ticket: Path, words: str) -> torch.Tensor:
    """One variation, as a waveform on the CPU. `words` says which one it is."""
    started, progress = time.monotonic(), gr.Progress()

    def report(step: int):
        left = (time.monotonic() - started) / step * (settings.steps - step)
        progress(step / settings.steps, desc=f"{words}step {step} of {settings.steps}, {_seconds(left)} left")

    return STUDIO.play(settings, seed, recording, report, lambda: not ticket.exists()).cpu()


def make_takes(
    settings: Settings, recording: str | None, ticket: Path, look: str = ""
) -> tuple[list[Take], list[str]]:
    """The takes that were finished before the ticket was taken away, and what there is to say about them."""
    takes, started, stopped, progress = [], time.monotonic(), False, gr.Progress()
    drums = check_recording(recording, "drums") if settings.drums == "recording" else None
    with TICKETS.using(ticket), collected_warnings() as remarks:
        for number in range(settings.variations):
            words = f"Take {number + 1} of {settings.variations}: " if settings.variations > 1 else ""
            seed = (settings.seed + number) % (MAX_SEED + 1)
            try:
                progress(0, desc=f"{words}first step")
                audio = play(settings, seed, drums, ticket, words)
            except Stopped:
                stopped = True
                break
            except ValueError as error:
                raise _find_field(error) from error
            progress(1.0, desc=f"{words}listening to it")
            folder = SHELF.new_folder()
            takes.append(finish_take(audio, settings, seed, drums, STUDIO, folder, "dark" in look, "narrow" in look))
    seconds = time.monotonic() - started
    done = f"{len(takes)} take{'' if len(takes) == 1 else 's'}"
    if stopped:
        return takes, [f"Stopped. {done} finished before." if takes else "Stopped."]
    return takes, [f"{done} in {seconds:.1f} s.", *remarks]


def hear_chords(chords: dict, tempo: float, duration: float) -> str:
    """The chords alone, as soft tones."""
    timeline = Settings(chords=chords, tempo=tempo, duration=duration).chord_timeline()
    if timeline is None:
        raise FieldError("chords", "There are no chords yet: click into a bar, or type some.")
    return _write_preview(preview_chords(timeline, duration, PREVIEW_RATE), PREVIEW_RATE)


def hear_melody(melody: dict, tempo: float, duration: float) -> str:
    """The melody alone, as a simple tone."""
    notes = Settings(melody=melody, tempo=tempo, duration=duration).notes()
    if notes is None:
        raise FieldError("melody", "There is no melody yet: draw some notes, hum one, or load one.")
    return _write_preview(preview_melody(notes, duration, PREVIEW_RATE), PREVIEW_RATE)


def hear_drums(pattern: dict, tempo: float, duration: float) -> str:
    """The drum pattern alone."""
    groove = Settings(drums="pattern", pattern=pattern, tempo=tempo, duration=duration).groove()
    if groove is None:
        raise FieldError("drums", "There are no strokes yet: click some steps, or choose a groove.")
    return _write_preview(groove.render(duration, PREVIEW_RATE), PREVIEW_RATE)


def load_drums(file: str | None, start: float, separate: bool) -> str:
    """A recording's drums, as the model is going to get them."""
    return str(drums_from_upload(file, start or 0.0, separate, STUDIO.sampling_rate, SHELF.new_folder()))


def load_groove(name: str) -> dict:
    """A preset groove as a pattern of steps."""
    if name not in GROOVES:
        raise FieldError("drums", f"There is no groove {name!r}; there are {', '.join(GROOVES)}.")
    groove = GROOVES[name]
    levels = {".": 0.0, "o": 0.5, "x": 1.0}
    pattern = empty_steps(groove.num_steps)
    for drum, steps in groove.tracks.items():
        pattern["tracks"][drum.replace(" ", "_")] = [
            levels[step] if isinstance(step, str) else float(step) for step in steps
        ]
    pattern["swing"] = round((groove.swing - 0.5) * 6, 6)
    return check_steps(pattern)


def is_playable(name: str) -> bool:
    """Whether the step sequencer has what a preset groove needs."""
    groove = GROOVES[name]
    return groove.steps_per_beat == 4 and {drum.replace(" ", "_") for drum in groove.tracks} <= set(TRACKS)


def load_file(file: str | None) -> tuple[Settings, str | None, list[str]]:
    """Settings from a download, their drum recording, and what there is to say about them."""
    check_upload(file, "file", (".zip", ".json"))
    settings, recording, checkpoint = read_settings(file, SHELF.new_folder())
    remarks = [f"{Path(file).name} is loaded."]
    if checkpoint not in (None, STUDIO.checkpoint):
        remarks.append(
            f"It was made with {checkpoint[:100]}; here is {STUDIO.checkpoint}, which plays it differently."
        )
    return settings, recording and str(recording), remarks


def fit_length(chords: dict, melody: dict, tempo: float, beats_per_bar: int, duration: float) -> tuple[dict, dict]:
    """The timeline and the piano roll for another length: long enough for the music, and for what is in them already."""
    last_bar = max((chord["beat"] // chords["beats_per_bar"] + 1 for chord in chords["chords"]), default=1)
    chords = resize_chord_timeline(
        chords, max(count_bars(duration, tempo, beats_per_bar), int(last_bar)), beats_per_bar
    )
    last_note = max((note["beat"] + note["beats"] for note in melody["notes"]), default=1.0)
    return chords, {**melody, "beats": max(duration * tempo / 60, last_note)}


def _find_field(error: ValueError) -> FieldError:
    """An error of the pipeline, which names its argument, for the field that it is about."""
    if isinstance(error, FieldError):
        return error
    name = str(error).partition("`")[2].partition("`")[0]
    field = name if name in ("prompt", "chords", "drums", "melody", "duration") else "generate"
    return FieldError(field, readable(str(error)))


def _write_preview(audio: torch.Tensor, rate: int) -> str:
    path = SHELF.new_folder() / "preview.wav"
    soundfile.write(path, audio.T.numpy(), rate)
    return str(path)


def _seconds(seconds: float) -> str:
    return "less than a second" if seconds < 1 else f"about {math.ceil(seconds)} s"


# 2. The page


def say(messages: list[str] | str, kind: str = "remark") -> str:
    """A message next to a field: a remark, or an error."""
    messages = [messages] if isinstance(messages, str) else messages
    role = "alert" if kind == "error" else "status"
    return "".join(f'<p class="{kind}" role="{role}">{html.escape(message)}</p>' for message in messages)


def show_scores(take: Take) -> str:
    """How far each control was followed, in words and numbers."""
    if not take.scores:
        return '<p class="remark">Nothing but the words was asked for.</p>'
    items = []
    for score in take.scores.values():
        finding, _, words = score.sentence.partition(" — ")
        items.append(
            f'<li class="{html.escape(score.words.replace(" ", "-"))}">{html.escape(finding)} <em>{html.escape(words)}</em></li>'
        )
    return f'<ul class="scores">{"".join(items)}</ul>'


def describe_take(take: Take) -> str:
    """One line for a list of takes."""
    asked = ", ".join(take.scores) or "words only"
    return f"Seed {take.settings.seed} · {take.settings.prompt[:40] or 'no words'} · {asked}"


def message() -> gr.HTML:
    return gr.HTML("", elem_classes="message", container=False)


def at_field(function: Callable[..., dict], field: str, messages: dict[str, gr.HTML]) -> Callable[..., dict]:
    """`function`, whose errors and the package's warnings appear next to its field rather than as an alarm."""

    @wraps(function)
    def run(*arguments):
        try:
            with collected_warnings() as warnings:
                updates = function(*arguments)
        except FieldError as error:
            return {messages[error.field if error.field in messages else field]: say(str(error), "error")}
        return {messages[field]: say(warnings), **updates}

    return run


def build_page() -> gr.Blocks:
    messages: dict[str, gr.HTML] = {}
    start = Settings(
        prompt=PROMPTS[0],
        chords=chords_from_words("C | Am | F | G", "C", 4, 10.0, 120.0, True),
        drums="pattern",
        pattern=load_groove(next(name for name in GROOVES if is_playable(name))),
        melody={"beats": 20.0, "notes": []},
        steps=STUDIO.default_steps,
        guidance_scale=STUDIO.default_guidance_scale,
        text_guidance_scale=STUDIO.default_text_guidance_scale,
    )

    with gr.Blocks(title="JASCO", analytics_enabled=False, delete_cache=(600, FILE_LIFE)) as page:
        takes_state, ticket_state = gr.State([]), gr.State("")
        look = gr.Textbox(visible="hidden", label="Look of the page")
        gr.HTML(
            "<h1>JASCO</h1><p>Music from words that follows your chords, your beat and your tune.</p>",
            elem_id="header",
            container=False,
        )
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=3, min_width=340):
                with gr.Group():
                    prompt = gr.Textbox(
                        start.prompt, label="Describe the music", lines=2, max_length=MAX_PROMPT, elem_id="prompt",
                        placeholder="Style, instruments, mood, fast or slow, with or without drums",
                    )  # fmt: skip
                    with gr.Row():
                        tempo = gr.Slider(
                            *TEMPO, start.tempo, step=1, label="Tempo", info="beats a minute", min_width=140
                        )
                        beats_per_bar = gr.Dropdown(
                            list(range(BEATS_PER_BAR[0], BEATS_PER_BAR[1] + 1)), value=4, label="Metre",
                            info="beats in a bar", min_width=140,
                        )  # fmt: skip
                        duration = gr.Slider(
                            *DURATION, start.duration, step=0.5, label="Length", min_width=140,
                            info=f"seconds; the model has learnt {STUDIO.trained_duration:g}",
                        )  # fmt: skip
                messages["prompt"] = messages["tempo"] = messages["duration"] = message()
                gr.Examples(
                    [[text] for text in PROMPTS], prompt, label="Ideas", preload=False, api_visibility="private"
                )
                with gr.Tabs() as tabs:
                    with gr.Tab("Chords", id="chords", visible="chords" in STUDIO.controls):
                        use_chords = gr.Checkbox(True, label="Follow these chords")
                        timeline = ChordTimeline(start.chords, bpm=start.tempo, elem_id="timeline")
                        messages["chords"] = message()
                        with gr.Row():
                            chords_heard = gr.Audio(
                                label="The chords alone", visible=False, autoplay=True, interactive=False
                            )
                        hear_chords_button = gr.Button("Hear the chords", size="sm")
                        with gr.Accordion("Type chords, or choose a progression", open=False):
                            with gr.Row():
                                progression = gr.Dropdown(
                                    list(PROGRESSIONS), value=None, label="Progression", min_width=140
                                )
                                key = gr.Dropdown(
                                    [f"{note} {mode}" for mode in ("major", "minor") for note in NOTES], value="C major",
                                    label="Key", info="for progressions and numerals", min_width=140,
                                )  # fmt: skip
                            words = gr.Textbox(
                                label="Chords", info="bars, numerals, or starts in seconds", elem_id="words",
                                placeholder="C | Am | F G | %      ii7 V7 Imaj7      C:0 Am:2.5",
                            )  # fmt: skip
                            repeat = gr.Checkbox(True, label="Repeat to the end of the music")
                            place = gr.Button("Put them on the timeline", size="sm", elem_id="place")
                        with gr.Accordion("Take the chords of a song or file", open=False):
                            chord_file = gr.File(
                                label=f"A recording, or {', '.join(CHORD_FILES)}", elem_id="chord-file"
                            )
                            chord_start = gr.Number(0, minimum=0, label="From second", min_width=120)
                            listen_chords = gr.Button("Put its chords on the timeline", size="sm")
                    with gr.Tab("Drums", id="drums", visible="drums" in STUDIO.controls):
                        drums = gr.Radio(
                            [("None asked for", "off"), ("Step sequencer", "pattern"), ("A recording", "recording")],
                            value=start.drums, label="Drums from", elem_id="drums-source",
                        )  # fmt: skip
                        with gr.Column(visible=True) as pattern_panel:
                            groove = gr.Dropdown(
                                [name for name in GROOVES if is_playable(name)], value=None, label="Groove"
                            )
                            pattern = StepSequencer(start.pattern, bpm=start.tempo, elem_id="steps")
                            drums_heard = gr.Audio(
                                label="The drums alone", visible=False, autoplay=True, interactive=False
                            )
                            hear_drums_button = gr.Button("Hear the drums", size="sm")
                        with gr.Column(visible=False) as recording_panel:
                            drum_file = gr.Audio(
                                type="filepath", sources=["upload", "microphone"], label="Drums, or a song with drums",
                                elem_id="drum-file",
                            )  # fmt: skip
                            with gr.Row():
                                separate = gr.Checkbox(False, label="Take the drums out of a full mix", min_width=140)
                                drum_start = gr.Number(0, minimum=0, label="From second", min_width=120)
                            load_drums_button = gr.Button("Use it", size="sm", elem_id="use-drums")
                            recording = gr.Audio(
                                type="filepath",
                                label="The drums as the model gets them",
                                interactive=False,
                                elem_id="recording",
                            )
                        messages["drums"] = message()
                    with gr.Tab("Melody", id="melody", visible="melody" in STUDIO.controls):
                        use_melody = gr.Checkbox(True, label="Follow this melody")
                        roll = PianoRoll(
                            start.melody, bpm=start.tempo, chord_tones=chord_tones(start.chords), elem_id="roll"
                        )
                        messages["melody"] = message()
                        melody_heard = gr.Audio(
                            label="The melody alone", visible=False, autoplay=True, interactive=False
                        )
                        hear_melody_button = gr.Button("Hear the melody", size="sm")
                        with gr.Accordion("Hum a tune, or take one from a recording or MIDI file", open=False):
                            melody_audio = gr.Audio(
                                type="filepath", sources=["microphone", "upload"], label="Hum, sing, whistle, or load a recording",
                                elem_id="melody-audio",
                            )  # fmt: skip
                            with gr.Row():
                                one_voice = gr.Checkbox(True, label="One voice or instrument alone", min_width=140)
                                melody_start = gr.Number(0, minimum=0, label="From second", min_width=120)
                            listen_melody = gr.Button("Put its tune on the piano roll", size="sm")
                            midi_file = gr.UploadButton(
                                "Load a MIDI file", size="sm", file_types=list(MIDI_FILES), elem_id="midi-file"
                            )
            with gr.Column(scale=2, min_width=340):
                with gr.Group():
                    with gr.Row():
                        variations = gr.Slider(1, MAX_VARIATIONS, 1, step=1, label="Variations", min_width=120)
                        seed = gr.Number(
                            start.seed, label="Seed", info="the same seed gives the same music", precision=0, min_width=120,
                            elem_id="seed",
                        )  # fmt: skip
                    new_seed = gr.Checkbox(True, label="A new seed each time", elem_id="new-seed")
                    with gr.Accordion("Advanced", open=False):
                        steps = gr.Slider(
                            1, MAX_STEPS, start.steps, step=1, label="Steps", info="more are slower and more exact"
                        )
                        guidance_scale = gr.Slider(
                            *GUIDANCE, start.guidance_scale, step=0.1, label="Guidance",
                            info="how strongly words and controls together are followed",
                        )  # fmt: skip
                        text_guidance_scale = gr.Slider(
                            *GUIDANCE, start.text_guidance_scale, step=0.1, label="Text guidance",
                            info="how strongly the words alone are followed, besides",
                        )  # fmt: skip
                with gr.Row():
                    go = gr.Button("Make music", variant="primary", scale=3, min_width=160, elem_id="go")
                    stop = gr.Button("Stop", variant="stop", interactive=False, scale=1, min_width=80, elem_id="stop")
                status = gr.HTML(
                    say("What you make appears here."), elem_id="status", elem_classes="message", min_height=56
                )
                messages["generate"] = messages["seed"] = messages["variations"] = messages["steps"] = status
                messages["guidance_scale"] = messages["text_guidance_scale"] = status
                cards = [build_card(number) for number in range(MAX_VARIATIONS)]
                with gr.Accordion("Compare this visit’s takes", open=False):
                    with gr.Row():
                        choices = [gr.Dropdown([], label=f"Take {name}", min_width=140) for name in "AB"]
                    with gr.Row():
                        players = [gr.Audio(label=f"Take {name}", interactive=False, min_width=140) for name in "AB"]
                with gr.Accordion("Load a take’s settings", open=False):
                    settings_file = gr.File(
                        label="A ZIP that was downloaded here, or the settings.json in it", file_types=[".zip", ".json"],
                        elem_id="settings-file", height=120,
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
        card_outputs = [part for card in cards for part in card]

        def on(event: Callable, function: Callable, inputs: list, outputs: list, field: str, **options):
            event(
                at_field(function, field, messages),
                inputs,
                [*outputs, *all_messages],
                api_visibility="private",
                **options,
            )

        # Length, tempo and metre
        def fit(chords: dict, melody: dict, drum_pattern: dict, bpm: float, metre: int, seconds: float) -> dict:
            chords, melody = fit_length(chords, melody, bpm, metre, seconds)
            return {
                timeline: gr.update(value=chords, bpm=bpm),
                roll: gr.update(value=melody, bpm=bpm, beats_per_bar=metre, chord_tones=chord_tones(chords)),
                pattern: gr.update(value=drum_pattern, bpm=bpm),
            }

        for control in (tempo, beats_per_bar, duration):
            on(
                control.input, fit, [timeline, roll, pattern, tempo, beats_per_bar, duration], [timeline, roll, pattern],
                "duration", show_progress="hidden", trigger_mode="always_last", queue=False,
            )  # fmt: skip

        # Chords
        grid = [beats_per_bar, duration, tempo]
        on(
            progression.input,
            lambda name: {words: PROGRESSIONS[name].numerals, key: gr.skip()},
            [progression], [words, key], "chords", queue=False,
        )  # fmt: skip
        on(
            place.click,
            lambda text, in_key, *rest: {timeline: chords_from_words(text, in_key, *rest)},
            [words, key, *grid, repeat], [timeline], "chords", queue=False,
        )  # fmt: skip
        on(
            words.submit,
            lambda text, in_key, *rest: {timeline: chords_from_words(text, in_key, *rest)},
            [words, key, *grid, repeat], [timeline], "chords", queue=False,
        )  # fmt: skip
        on(
            listen_chords.click,
            lambda file, second, *rest: {timeline: chords_from_upload(file, second or 0.0, *rest)},
            [chord_file, chord_start, *grid], [timeline], "chords", concurrency_id="listen", show_progress_on=timeline,
        )  # fmt: skip
        on(
            hear_chords_button.click,
            lambda *values: {chords_heard: gr.update(value=hear_chords(*values), visible=True)},
            [timeline, tempo, duration], [chords_heard], "chords",
        )  # fmt: skip
        timeline.change(
            lambda chords: gr.update(chord_tones=chord_tones(chords)), timeline, roll,
            api_visibility="private", show_progress="hidden", queue=False,
        )  # fmt: skip

        # Drums
        drums.change(
            lambda source: (gr.update(visible=source == "pattern"), gr.update(visible=source == "recording")),
            drums, [pattern_panel, recording_panel], api_visibility="private", show_progress="hidden", queue=False,
        )  # fmt: skip
        on(groove.input, lambda name: {pattern: load_groove(name)}, [groove], [pattern], "drums", queue=False)
        on(
            hear_drums_button.click,
            lambda *values: {drums_heard: gr.update(value=hear_drums(*values), visible=True)},
            [pattern, tempo, duration], [drums_heard], "drums",
        )  # fmt: skip
        on(
            load_drums_button.click,
            lambda *values: {recording: load_drums(*values)},
            [drum_file, drum_start, separate], [recording], "drums", concurrency_id="listen", show_progress_on=recording,
        )  # fmt: skip

        # Melody
        on(
            listen_melody.click,
            lambda file, second, *rest: {roll: melody_from_upload(file, second or 0.0, *rest)},
            [melody_audio, melody_start, one_voice, duration, tempo], [roll], "melody",
            concurrency_id="listen", show_progress_on=roll,
        )  # fmt: skip
        on(
            midi_file.upload,
            lambda file, second, *rest: {roll: melody_from_upload(file, second or 0.0, *rest)},
            [midi_file, melody_start, one_voice, duration, tempo], [roll], "melody", queue=False,
        )  # fmt: skip
        on(
            hear_melody_button.click,
            lambda *values: {melody_heard: gr.update(value=hear_melody(*values), visible=True)},
            [roll, tempo, duration], [melody_heard], "melody",
        )  # fmt: skip

        # Music
        def begin(is_new: bool, number: float, request: gr.Request):
            number = secrets.randbelow(MAX_SEED) if is_new else number
            ticket = TICKETS.issue(request.session_hash)
            cleared = [""] * len(all_messages)
            return str(ticket), number, gr.update(interactive=False), gr.update(interactive=True), *cleared

        def generate(*values):
            *values, drum_recording, ticket, page_look, before = values
            try:
                names = list(Settings.__dataclass_fields__)
                settings = Settings(**dict(zip(names, values)))
                takes, remarks = make_takes(settings, drum_recording, Path(ticket), page_look)
            except FieldError as error:
                place_of = messages.get(error.field, status)
                updates = {place_of: say(str(error), "error")}
                if error.field in ("chords", "drums", "melody"):
                    updates[tabs] = gr.Tabs(selected=error.field)
                    updates[status] = say(f"{error.field.capitalize()}: see the message there.", "error")
                return updates
            updates: dict[Any, Any] = {status: say(remarks)}
            if takes:
                kept = [*before, *takes][-KEPT_TAKES:]
                updates[takes_state] = kept
                options = [(describe_take(take), number) for number, take in enumerate(kept)]
                for choice, player, number in zip(choices, players, (len(kept) - 1, max(len(kept) - 2, 0))):
                    updates[choice] = gr.update(choices=options, value=number)
                    updates[player] = str(kept[number].wav)
                for number, card in enumerate(cards):
                    updates |= fill_card(card, takes[number] if number < len(takes) else None)
            return updates

        made = go.click(
            begin, [new_seed, seed], [ticket_state, seed, go, stop, *all_messages], api_visibility="private", queue=False,
            show_progress="hidden",
        ).then(
            generate, [*fields, recording, ticket_state, look, takes_state],
            [takes_state, *choices, *players, *card_outputs, tabs, *all_messages], api_visibility="private",
            concurrency_limit=CONCURRENCY, concurrency_id="generate", show_progress_on=status,
        )  # fmt: skip
        made.then(
            lambda: (gr.update(interactive=True), gr.update(interactive=False)), None, [go, stop],
            api_visibility="private", queue=False, show_progress="hidden",
        )  # fmt: skip
        stop.click(stop_runs, None, None, api_visibility="private", queue=False)
        for choice, player in zip(choices, players):
            choice.input(
                lambda number, takes: str(takes[number].wav) if number is not None else None, [choice, takes_state], player,
                api_visibility="private", queue=False, show_progress="hidden",
            )  # fmt: skip

        # Files
        def load(file: str | None) -> dict:
            if file is None:
                return {}
            settings, drum_recording, remarks = load_file(file)
            updates = {
                component: getattr(settings, name) for component, name in zip(fields, Settings.__dataclass_fields__)
            }
            metre = settings.chords["beats_per_bar"]
            updates[timeline] = gr.update(value=settings.chords, bpm=settings.tempo)
            updates[pattern] = gr.update(value=settings.pattern, bpm=settings.tempo)
            updates[roll] = gr.update(
                value=settings.melody,
                bpm=settings.tempo,
                beats_per_bar=metre,
                chord_tones=chord_tones(settings.chords),
            )
            return {
                **updates, beats_per_bar: metre, new_seed: False, recording: drum_recording, messages["file"]: say(remarks),
            }  # fmt: skip

        on(
            settings_file.upload,
            load,
            [settings_file],
            [*fields, beats_per_bar, new_seed, recording],
            "file",
            queue=False,
        )

        page.load(
            None, None, look, api_visibility="private",
            js="() => [document.body.classList.contains('dark') ? 'dark' : '', innerWidth < 640 ? 'narrow' : ''].join(' ')",
        )  # fmt: skip
        page.unload(stop_runs)
    return page


def stop_runs(request: gr.Request):
    """Ends what the visit has made here."""
    TICKETS.revoke(request.session_hash)


def build_card(number: int) -> list[Any]:
    """The place of one take: a group, its title, player, scores, picture and three downloads."""
    with gr.Group(visible=False, elem_classes="card") as group:
        title = gr.HTML(container=False, padding=True)
        player = gr.Audio(interactive=False, show_label=False, label=f"Take {number + 1}", elem_classes="player")
        scores = gr.HTML(container=False, padding=True)
        picture = gr.Image(
            interactive=False, show_label=False, label="Asked and heard", buttons=["fullscreen"], elem_classes="picture",
            alt_text="The music’s spectrogram over the chords, melody and drums that were asked for and that are heard",
        )  # fmt: skip
        with gr.Row():
            files = [gr.DownloadButton(name, size="sm", min_width=80) for name in ("WAV", "FLAC", "ZIP with settings")]
    return [group, title, player, scores, picture, *files]


def fill_card(card: list[Any], take: Take | None) -> dict[Any, Any]:
    group, title, player, scores, picture, wav, flac, archive = card
    if take is None:
        return {group: gr.update(visible=False)}
    return {
        group: gr.update(visible=True),
        title: f"<h3>Seed {take.settings.seed}</h3>",
        player: str(take.wav),
        scores: show_scores(take),
        picture: str(take.picture),
        wav: str(take.wav),
        flac: str(take.flac),
        archive: str(take.zip),
    }


THEME = gr.themes.Soft(
    primary_hue="teal", neutral_hue="slate", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
)
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
