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
Generates five 10-second clips with `pipelines/jasco-nano`, offline: from text only, from the same text with a suggested
lead sheet, with chords, with chords and drums, and with chords, drums and melody. Writes a WAV file and a figure of each
clip to `outputs/`; the figure compares the requested controls with those detected in the music.
"""

import os
import time
from dataclasses import replace
from pathlib import Path

import torch

from diffusers_jasco import JascoPipeline, export_audio
from diffusers_jasco.controls import CONTROLS
from diffusers_jasco.controls.chords import chords_from_bars
from diffusers_jasco.controls.drum_machine import GROOVES
from diffusers_jasco.evaluation.plotting import plot_music
from diffusers_jasco.evaluation.transcription import read_requested_controls, transcribe
from diffusers_jasco.generation.suggestions import plan_suggestion


ROOT = Path(__file__).parents[1]
CHECKPOINT = ROOT / "pipelines/jasco-nano"
OUTPUT = ROOT / "outputs"
DURATION = 10.0
Notes = list[tuple[str, float, float]]


def make_melody(text: str, bpm: float) -> Notes:
    """Reads notes from "name beats, ...", with "-" for rests."""
    notes, beat = [], 0.0
    for name, beats in (word.split() for word in text.split(",")):
        if name != "-":
            notes.append((name, beat * 60 / bpm, (beat + 0.92 * float(beats)) * 60 / bpm))
        beat += float(beats)
    return notes


MELODY = "E4 1, G4 1, A4 1.5, G4 .5, E4 1, D4 1, C4 2, F4 1, A4 1, C5 1.5, A4 .5, B4 1, A4 1, G4 2, C5 2, B4 1, A4 1"

SUGGESTED = "suggested"  # instead of chords: all controls are those of a lead sheet that fits the prompt

# Name, prompt, chords, tempo of the drums in BPM, melody
CLIPS = [
    ("1-text", "fast techno, synth lead, drums", None, None, None),
    ("1-text-suggestion", "fast techno, synth lead, drums", SUGGESTED, None, None),
    ("2-chords", "calm ballad with piano and flute, no drums", ("C | Am | F | G", 96), None, None),
    (
        "3-chords-drums",
        "80s pop, groovy synth bass, electric piano",
        ("Em C | G D | Em C | G D | Em", 108),
        108,
        None,
    ),
    (
        "4-everything",
        "rock, overdriven guitar and organ, drums",
        ("C | Am | F | G | Am", 120),
        120,
        (MELODY, 120),
    ),
]


def main(output: Path = OUTPUT):
    started = time.perf_counter()
    pipe = JascoPipeline.from_pretrained(CHECKPOINT)
    pipe.set_progress_bar_config(disable=True)
    print(f"Loaded the pipeline in {time.perf_counter() - started:.1f} s\n")
    rate = pipe.sampling_rate
    for name, prompt, chords, bpm, melody in CLIPS:
        if chords == SUGGESTED:
            controls = plan_suggestion(prompt, seed=0, given={}).controls(DURATION)
        else:
            chords = chords and chords_from_bars(*chords)
            drums = bpm and (replace(GROOVES["rock backbeat"], bpm=bpm).render(DURATION, rate), rate)
            melody = melody and make_melody(*melody)
            controls = dict(zip(CONTROLS, (chords, drums, melody)))
        started = time.perf_counter()
        audio = pipe(prompt, **controls, duration=DURATION, generator=torch.Generator().manual_seed(0)).audios[0]
        seconds = time.perf_counter() - started
        path = output / f"{name}.wav"
        output.mkdir(exist_ok=True)
        export_audio(audio, path, rate, loudness=-16)
        music = audio, rate
        requested = read_requested_controls(**controls, duration=DURATION, frame_rate=pipe.frame_rate)
        plot_music(music, requested, transcribe(music), title=prompt).savefig(path.with_suffix(".png"))
        names = ", ".join(name for name in CONTROLS if controls.get(name))
        print(f'{os.path.relpath(path)} and .png: "{prompt}"{" with " + names if names else ""} ({seconds:.1f} s)')
    print(SNIPPET)


SNIPPET = """
To generate 2-chords in Python:

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
