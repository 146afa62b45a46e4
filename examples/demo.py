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
Four pieces of ten seconds from `pipelines/jasco-nano`, offline: by words alone, with chords, with chords and drums, and with
a melody, too. `outputs/` gets a WAV file and a picture of each: the spectrogram over what was asked for.
"""

import time
from pathlib import Path

import numpy as np
import torch

from diffusers_jasco import JascoPipeline, export_audio
from diffusers_jasco.controls.chords import chords_from_bars
from diffusers_jasco.controls.melody import melody_to_notes, read_melody
from diffusers_jasco.data.instruments import DRUM_KEYS
from diffusers_jasco.data.rendering import find_soundfonts, get_renderer
from diffusers_jasco.evaluation.pictures import draw_music


ROOT = Path(__file__).parents[1]
CHECKPOINT = ROOT / "pipelines/jasco-nano"
OUTPUT = ROOT / "outputs"
DURATION = 10.0
Notes = list[tuple[str, float, float]]


def make_beat(pattern: dict[str, str], bpm: float, rate: int) -> tuple[torch.Tensor, list[float]]:
    """A drum loop, one character per sixteenth: waveform (1, samples) and the times of its strokes in seconds."""
    step = 15 / bpm
    notes = [
        (start, start + 0.1, DRUM_KEYS[drum], 105)
        for drum, line in pattern.items()
        for index, start in enumerate(np.arange(0, DURATION, step))
        if line[index % len(line)] == "x"
    ]
    renderer = get_renderer("tinysoundfont", str(find_soundfonts("tinysoundfont")[0]), rate)
    samples = renderer.render({"drums": (0, True, notes)}, DURATION)["drums"]
    samples = samples * (0.5 / np.abs(samples).max())
    return torch.from_numpy(samples)[None], sorted({start for start, *_ in notes})


def make_tune(text: str, bpm: float) -> Notes:
    """Notes from "name beats, ..." with "-" for rests."""
    notes, beat = [], 0.0
    for name, beats in (word.split() for word in text.split(",")):
        if name != "-":
            notes.append((name, beat * 60 / bpm, (beat + 0.92 * float(beats)) * 60 / bpm))
        beat += float(beats)
    return notes


ROCK = {"kick": "x.....x.x.......", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."}
TUNE = "E4 1, G4 1, A4 1.5, G4 .5, E4 1, D4 1, C4 2, F4 1, A4 1, C5 1.5, A4 .5, B4 1, A4 1, G4 2, C5 2, B4 1, A4 1"

# name, words, chords, drums, melody
PIECES = [
    ("1-words", "fast techno, synth lead, drums", None, None, None),
    ("2-chords", "calm ballad with piano and flute, no drums", ("C | Am | F | G", 96), None, None),
    (
        "3-chords-drums",
        "80s pop, groovy synth bass, electric piano",
        ("Em C | G D | Em C | G D | Em", 108),
        (ROCK, 108),
        None,
    ),
    (
        "4-everything",
        "rock, overdriven guitar and organ, drums",
        ("C | Am | F | G | Am", 120),
        (ROCK, 120),
        (TUNE, 120),
    ),
]


def main():
    started = time.perf_counter()
    pipe = JascoPipeline.from_pretrained(CHECKPOINT)
    pipe.set_progress_bar_config(disable=True)
    print(f"loaded in {time.perf_counter() - started:.1f} s\n")
    for name, words, chords, drums, melody in PIECES:
        chords = chords and chords_from_bars(*chords)
        beat, onsets = make_beat(*drums, pipe.sampling_rate) if drums else (None, None)
        melody = melody and make_tune(*melody)
        started = time.perf_counter()
        audio = pipe(
            words,
            chords=chords,
            drums=None if beat is None else (beat, pipe.sampling_rate),
            melody=melody,
            duration=DURATION,
            generator=torch.Generator().manual_seed(0),
        ).audios[0]
        seconds = time.perf_counter() - started
        path = OUTPUT / f"{name}.wav"
        OUTPUT.mkdir(exist_ok=True)
        export_audio(audio, path, pipe.sampling_rate, loudness=-16)
        notes = melody and melody_to_notes(read_melody(melody, round(DURATION * 50), 50), 50)
        draw_music(path.with_suffix(".png"), audio, pipe.sampling_rate, chords, notes, onsets, title=words)
        given = ", ".join(
            what for what, is_given in zip(("chords", "drums", "melody"), (chords, drums, melody)) if is_given
        )
        print(f'{path.relative_to(ROOT)} and .png: "{words}"{" with " + given if given else ""} ({seconds:.1f} s)')
    print(SNIPPET)


SNIPPET = """
The second of them, in Python:

    import torch
    from diffusers_jasco import JascoPipeline, export_audio
    from diffusers_jasco.controls.chords import chords_from_bars

    pipe = JascoPipeline.from_pretrained("pipelines/jasco-nano")
    audio = pipe(
        "calm ballad with piano and flute, no drums",
        chords=chords_from_bars("C | Am | F | G", 96),
        generator=torch.Generator().manual_seed(0),
    ).audios[0]
    export_audio(audio, "ballad.wav", pipe.sampling_rate, loudness=-16)"""


if __name__ == "__main__":
    main()
