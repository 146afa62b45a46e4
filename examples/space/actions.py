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

"""Actions behind the page and the API. Each takes and returns plain values, and raises [`~settings.FieldError`] for bad input."""

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import soundfile


try:  # ZeroGPU's package, which has to be imported before torch
    import spaces

    on_gpu = spaces.GPU
except ImportError:

    def on_gpu(function: Callable) -> Callable:
        return function


import gradio as gr
import torch

from diffusers_jasco.controls import previews
from diffusers_jasco.controls.drum_machine import GROOVES, Groove
from diffusers_jasco.inputs import InputError
from engine import Engine, Stopped, TakeRequest
from parts import MAX_BEATS, MAX_STEPS, STEPS_PER_BEAT, resize_chord_timeline
from sessions import CancellationTokens, TempFolders, own_folder
from settings import DURATION, MAX_SEED, FieldError, Settings, count_bars
from takes import Take, finish_take, read_settings
from uploads import (
    check_upload,
    collected_warnings,
    explain,
    measure_recording,
    missing_drums,
    pattern_from_groove,
    read_recording,
    write_drums,
)


CHECKPOINT = os.environ.get("JASCO_CHECKPOINT") or "jasco-nano"
# Fields of the pipeline's arguments that have other names.
FIELDS = {
    "audio": "source",
    "audio_start_seconds": "intro",
    "mask_start_seconds": "regions",
    "mask_end_seconds": "regions",
}
FILE_LIFE = 3600  # seconds until files are deleted
PREVIEW_RATE = 32000  # Hz

ENGINE = Engine(CHECKPOINT)
TOKENS = CancellationTokens()
FOLDERS = TempFolders(own_folder(), FILE_LIFE)


@on_gpu
def play(request: TakeRequest, seed: int, token: Path, label: str) -> torch.Tensor:
    """Generates one variation and returns its waveform on the CPU. `label` names the variation in the progress bar."""
    started, progress, steps = time.monotonic(), gr.Progress(), ENGINE.count_steps(request)

    def report(step: int):
        left = (time.monotonic() - started) / step * (steps - step)
        progress(step / steps, desc=f"{label}step {step} of {steps}, {_seconds(left)} left")

    return ENGINE.play(request, seed, report, lambda: not token.exists()).cpu()


def make_takes(
    settings: Settings, recording: str | None, token: Path, dark: bool = False, source: str | None = None
) -> tuple[list[Take], list[str]]:
    """
    Generates the takes of a request with a drum `recording` and a `source` to edit. Returns those that finished before the
    token was revoked, and remarks about them.
    """
    takes, started, stopped, progress = [], time.monotonic(), False, gr.Progress()
    # The page has its own message about unknown words.
    with TOKENS.using(token), collected_warnings(ignore="diffusers_jasco.text_encoders") as remarks:
        remarks += describe_unknown_words(settings.prompt)
        drums = read_recording(recording, "drums") if settings.drums == "recording" else None
        request = ENGINE.make_request(settings, drums, source)
        if settings.loop and (length := request.settings.duration) != settings.duration:
            bars = round(length * settings.tempo / 60 / settings.chords["beats_per_bar"])
            remarks.append(f"The loop has {bars} bar{'' if bars == 1 else 's'} and lasts {length:.2f} s.")
        for number in range(settings.variations):
            label = f"Take {number + 1} of {settings.variations}: " if settings.variations > 1 else ""
            seed = (settings.seed + number) % (MAX_SEED + 1)
            try:
                progress(0, desc=f"{label}first step")
                audio = play(request, seed, token, label)
            except Stopped:
                stopped = True
                break
            except InputError as error:
                field = FIELDS.get(error.argument, error.argument)
                field = field if field in vars(settings) or field == "source" else "generate"
                raise FieldError(field, explain(error)) from error
            progress(1.0, desc=f"{label}analyzing")
            folder = FOLDERS.new_folder()
            takes.append(finish_take(audio, request, seed, ENGINE, folder, dark))
    seconds = time.monotonic() - started
    done = f"{len(takes)} take{'' if len(takes) == 1 else 's'}"
    if stopped:
        return takes, [f"Stopped. {done} finished before." if takes else "Stopped."]
    return takes, [f"{done} in {seconds:.1f} s.", *remarks]


def describe_unknown_words(prompt: str, is_typed: bool = False) -> list[str]:
    """
    Message about words of the prompt that the model does not know. While a prompt is typed (`is_typed`), its last
    word may be the beginning of a known one.
    """
    words = ENGINE.find_unknown_words(prompt)
    if is_typed and words:
        last = list(words)[-1]
        if prompt.endswith(last) and any(known.startswith(last.lower()) for known in ENGINE.known_words or []):
            del words[last]
    if not words:
        return []
    similar = list(dict.fromkeys(similar for known in words.values() for similar in known))
    hint = f" Similar words that it knows: {', '.join(similar[:6])}." if similar else ""
    return [f"Not known to this model: {', '.join(list(words)[:8])}.{hint}"]


def find_take(takes: list[Take], number: int) -> str:
    """The audio file of a take of this session."""
    if not takes[number].wav.exists():
        raise FieldError("generate", f"This take was deleted: takes are kept for {FILE_LIFE // 60} minutes.")
    return str(takes[number].wav)


def preview_chords(chords: dict, tempo: float, duration: float) -> str:
    """Renders the chords alone, as soft tones."""
    timeline = Settings(chords=chords, tempo=tempo, duration=duration).chord_timeline()
    if timeline is None:
        raise FieldError("chords", "There are no chords yet: click in a bar, or type some.")
    return _write_preview(previews.preview_chords(timeline, duration, PREVIEW_RATE), PREVIEW_RATE)


def preview_melody(melody: dict, tempo: float, duration: float) -> str:
    """Renders the melody alone, as a simple tone."""
    notes = Settings(melody=melody, tempo=tempo, duration=duration).notes()
    if notes is None:
        raise FieldError("melody", "There is no melody yet: draw some notes, hum, or load a file.")
    return _write_preview(previews.preview_melody(notes, duration, PREVIEW_RATE), PREVIEW_RATE)


def preview_drums(pattern: dict, tempo: float, duration: float) -> str:
    """Renders the drum pattern alone."""
    return _write_preview(_make_groove(pattern, tempo, duration).render(duration, PREVIEW_RATE), PREVIEW_RATE)


def pattern_to_file(pattern: dict, tempo: float) -> str:
    """The drum pattern as a groove file, which [`~uploads.pattern_from_file`] and the package's `read_groove` read."""
    path = FOLDERS.new_folder() / "pattern.groove.json"
    path.write_text(json.dumps(asdict(_make_groove(pattern, tempo))))
    return str(path)


def _make_groove(pattern: dict, tempo: float, duration: float = DURATION[0]) -> Groove:
    groove = Settings(drums="pattern", pattern=pattern, tempo=tempo, duration=duration).groove()
    if groove is None:
        raise FieldError("drums", "There are no hits yet: click some steps, or choose a groove.")
    return groove


def drums_from_file(file: str | None, start: float, separate: bool) -> str:
    """The drums of a recording, as the model receives them."""
    return str(write_drums(file, start, separate, ENGINE.sampling_rate, FOLDERS.new_folder()))


def load_groove(name: str) -> dict:
    """A preset groove as a step pattern."""
    if name not in GROOVES:
        raise FieldError("drums", f"There is no groove {name!r}. Choose one of {', '.join(GROOVES)}.")
    return pattern_from_groove(GROOVES[name])


def is_playable(name: str) -> bool:
    """Whether the step sequencer has the tracks and the resolution of a preset groove."""
    groove = GROOVES[name]
    return groove.steps_per_beat == STEPS_PER_BEAT and not missing_drums(groove)


def load_settings(file: str | None) -> tuple[Settings, str | None, list[str]]:
    """Settings from a download, their drum recording, and remarks for the user."""
    check_upload(file, "file", (".zip", ".json"))
    settings, recording, checkpoint = read_settings(file, FOLDERS.new_folder())
    remarks = [f"Loaded {Path(file).name}."]
    if checkpoint not in (None, ENGINE.checkpoint):
        remarks.append(
            f"It was made with {checkpoint[:100]}. This page runs {ENGINE.checkpoint}, so the music will differ."
        )
    if settings.edit != "off":
        remarks.append("The recording that they edit is not in the file: choose it again.")
    return settings, recording and str(recording), remarks


def measure_result(source: str | None, intro: float, outro: float) -> float:
    """The duration of an edited recording in seconds, as far as the page allows it."""
    return min(max(math.ceil(2 * (intro + measure_recording(source, "source") + outro)) / 2, DURATION[0]), DURATION[1])


def fit_length(chords: dict, melody: dict, tempo: float, beats_per_bar: int, duration: float) -> tuple[dict, dict]:
    """Resizes the timeline and the piano roll to the duration, but never below their present content."""
    last_bar = max((int(chord["beat"] // chords["beats_per_bar"]) + 1 for chord in chords["chords"]), default=1)
    bars = min(max(count_bars(duration, tempo, beats_per_bar), last_bar), MAX_BEATS // beats_per_bar)
    chords = resize_chord_timeline(chords, bars, beats_per_bar)
    last_note = max((note["beat"] + note["beats"] for note in melody["notes"]), default=1.0)
    return chords, {**melody, "beats": max(duration * tempo / 60, last_note)}


def fit_beats_per_bar(pattern: dict, before: int, beats_per_bar: int) -> dict:
    """Adapts a drum pattern of whole bars of `before` beats to another time signature: each bar is cut, or its start repeated."""
    bars, rest = divmod(pattern["steps"], before * STEPS_PER_BEAT)
    length = beats_per_bar * STEPS_PER_BEAT
    if rest or before == beats_per_bar or bars * length > MAX_STEPS:
        return pattern
    from_steps = [
        bar * before * STEPS_PER_BEAT + step % (before * STEPS_PER_BEAT)
        for bar in range(bars)
        for step in range(length)
    ]
    tracks = {drum: [steps[step] for step in from_steps] for drum, steps in pattern["tracks"].items()}
    return {**pattern, "steps": len(from_steps), "tracks": tracks}


def _write_preview(audio: torch.Tensor, rate: int) -> str:
    path = FOLDERS.new_folder() / "preview.wav"
    soundfile.write(path, audio.T.numpy(), rate)
    return str(path)


def _seconds(seconds: float) -> str:
    return "less than a second" if seconds < 1 else f"about {math.ceil(seconds)} s"
