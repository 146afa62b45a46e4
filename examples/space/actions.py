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

"""What the page and the API do: values → values, and a [`~settings.FieldError`] for what can't be used."""

import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import soundfile


try:  # the package of ZeroGPU, which has to come before torch
    import spaces

    on_gpu = spaces.GPU
except ImportError:

    def on_gpu(function: Callable) -> Callable:
        return function


import gradio as gr
import torch

from diffusers_jasco.controls.drum_machine import GROOVES
from diffusers_jasco.controls.previews import preview_chords, preview_melody
from diffusers_jasco.inputs import InputError
from engine import Engine, Stopped, TakeRequest
from parts import MAX_BEATS, MAX_STEPS, STEPS_PER_BEAT, TRACKS, check_steps, empty_steps, resize_chord_timeline
from sessions import CancellationTokens, TempFolders, own_folder
from settings import MAX_SEED, FieldError, Settings, count_bars
from takes import Take, finish_take, read_settings
from uploads import check_upload, collected_warnings, explain, read_recording, write_drums


CHECKPOINT = os.environ.get("JASCO_CHECKPOINT") or "jasco-nano"
FILE_LIFE = 3600  # seconds that files are kept
PREVIEW_RATE = 32000  # Hz

ENGINE = Engine(CHECKPOINT)
TOKENS = CancellationTokens()
FOLDERS = TempFolders(own_folder(), FILE_LIFE)


@on_gpu
def play(request: TakeRequest, seed: int, ticket: Path, words: str) -> torch.Tensor:
    """One variation, as a waveform on the CPU. `words` says which one it is."""
    started, progress, steps = time.monotonic(), gr.Progress(), request.settings.steps

    def report(step: int):
        left = (time.monotonic() - started) / step * (steps - step)
        progress(step / steps, desc=f"{words}step {step} of {steps}, {_seconds(left)} left")

    return ENGINE.play(request, seed, report, lambda: not ticket.exists()).cpu()


def make_takes(
    settings: Settings, recording: str | None, ticket: Path, dark: bool = False
) -> tuple[list[Take], list[str]]:
    """The takes that were finished before the ticket was taken away, and what there is to say about them."""
    takes, started, stopped, progress = [], time.monotonic(), False, gr.Progress()
    # The pipeline's warning of unknown words is for programmers.
    with TOKENS.using(ticket), collected_warnings(ignore="diffusers_jasco.text_encoders") as remarks:
        remarks += describe_unknown_words(settings.prompt)
        drums = read_recording(recording, "drums") if settings.drums == "recording" else None
        request = ENGINE.make_request(settings, drums)
        for number in range(settings.variations):
            words = f"Take {number + 1} of {settings.variations}: " if settings.variations > 1 else ""
            seed = (settings.seed + number) % (MAX_SEED + 1)
            try:
                progress(0, desc=f"{words}first step")
                audio = play(request, seed, ticket, words)
            except Stopped:
                stopped = True
                break
            except InputError as error:
                field = error.argument if error.argument in vars(settings) else "generate"
                raise FieldError(field, explain(error)) from error
            progress(1.0, desc=f"{words}listening to it")
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
    """The file of a take of this visit."""
    if not takes[number].wav.exists():
        raise FieldError("generate", f"This take is gone: takes are kept for {FILE_LIFE // 60} minutes.")
    return str(takes[number].wav)


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


def drums_from_file(file: str | None, start: float, separate: bool) -> str:
    """A recording's drums, as the model is going to get them."""
    return str(write_drums(file, start, separate, ENGINE.sampling_rate, FOLDERS.new_folder()))


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


def load_settings(file: str | None) -> tuple[Settings, str | None, list[str]]:
    """Settings from a download, their drum recording, and what there is to say about them."""
    check_upload(file, "file", (".zip", ".json"))
    settings, recording, checkpoint = read_settings(file, FOLDERS.new_folder())
    remarks = [f"{Path(file).name} is loaded."]
    if checkpoint not in (None, ENGINE.checkpoint):
        remarks.append(
            f"It was made with {checkpoint[:100]}; here is {ENGINE.checkpoint}, which plays it differently."
        )
    return settings, recording and str(recording), remarks


def fit_length(chords: dict, melody: dict, tempo: float, beats_per_bar: int, duration: float) -> tuple[dict, dict]:
    """The timeline and the piano roll for another length: long enough for the music, and for what is in them already."""
    last_bar = max((int(chord["beat"] // chords["beats_per_bar"]) + 1 for chord in chords["chords"]), default=1)
    bars = min(max(count_bars(duration, tempo, beats_per_bar), last_bar), MAX_BEATS // beats_per_bar)
    chords = resize_chord_timeline(chords, bars, beats_per_bar)
    last_note = max((note["beat"] + note["beats"] for note in melody["notes"]), default=1.0)
    return chords, {**melody, "beats": max(duration * tempo / 60, last_note)}


def fit_beats_per_bar(pattern: dict, before: int, beats_per_bar: int) -> dict:
    """A drum pattern of whole bars of `before` beats, with each bar cut, or begun anew, for another metre."""
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
