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
Renders the audio samples and the picture of the README and of the documentation with jasco-nano:

    python scripts/render_samples.py

Seeds are fixed, so the samples differ only by rounding between machines.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from diffusers_jasco import JascoInpaintPipeline, JascoPipeline, export_audio
from diffusers_jasco.controls.chords import chords_from_bars
from diffusers_jasco.controls.drum_machine import GROOVES
from diffusers_jasco.controls.note_text import melody_from_text
from diffusers_jasco.evaluation.plotting import plot_music
from diffusers_jasco.evaluation.transcription import (
    RequestedControls,
    Transcription,
    read_requested_controls,
    score_transcription,
    transcribe,
)


DOCS = Path(__file__).parents[1] / "docs"
DURATION = 10.0
LOUDNESS = -16.0
MELODY = "E4 G4 C5:1.5 G4:.5 | E4 D4 C4:2 | F4 A4 C5:1.5 A4:.5 | B4 A4 G4:2 | C5:2 B4 A4"

# file, prompt, chords, groove, melody, tempo (BPM), seed
SAMPLES = [
    ("words", "fast techno, synth lead, drums", None, None, None, None, 0),
    ("chords", "calm ballad with piano and flute, no drums", "C | Am | F | G", None, None, 96, 0),
    (
        "chords-drums",
        "80s pop, groovy synth bass, electric piano, drums",
        "C | Am | F | G | C",
        "rock backbeat",
        None,
        108,
        0,
    ),
    (
        "other-chords",
        "80s pop, groovy synth bass, electric piano, drums",
        "Em C | G D | Em C | G D | Em",
        "rock backbeat",
        None,
        108,
        0,
    ),
    (
        "chords-drums-melody",
        "rock, overdriven guitar and organ, drums",
        "C | Am | F | G | Am",
        "rock backbeat",
        MELODY,
        120,
        0,
    ),
]
PICTURE = "chords-drums-melody"
# An edit of one of them.
EDITED = "chords-drums"
EDITED_BPM = 108
EDITED_CHORDS = "C | Am | Dm | E | C"
# A long piece in sections, and a loop.
LONG_PROMPT = [
    ("calm ballad with piano and flute, no drums", 0.0),
    ("energetic rock, overdriven guitar and organ, drums", 20.0),
    ("calm ballad with piano and flute, no drums", 50.0),
]
LOOP_PROMPT = "funk, synth bass, electric piano, drums"
LONG_CHORDS = "Am | F | C | G"
LONG_BPM = 96


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="jasco-nano", help="pipeline folder or Hub id (default: jasco-nano)")
    parser.add_argument(
        "--output", type=Path, default=DOCS, help="folder for demo.png and assets/samples (default: docs)"
    )
    args = parser.parse_args(argv)

    pipe = JascoPipeline.from_pretrained(args.checkpoint)
    pipe.set_progress_bar_config(disable=True)
    folder = args.output / "assets/samples"
    folder.mkdir(parents=True, exist_ok=True)
    for name, prompt, bars, groove, notes, bpm, seed in SAMPLES:
        controls = {}
        if bars is not None:
            controls["chords"] = chords_from_bars(bars, bpm)
        if groove is not None:
            beat = replace(GROOVES[groove], bpm=bpm).render(DURATION, pipe.sampling_rate)
            controls["drums"] = (beat, pipe.sampling_rate)
        if notes is not None:
            controls["melody"] = melody_from_text(notes, bpm)
        audio = pipe(prompt, **controls, duration=DURATION, generator=seeded(seed)).audios[0]
        requested, transcription = save_sample(folder, name, prompt, audio, controls, pipe)
        if name == PICTURE:
            figure = plot_music((audio, pipe.sampling_rate), requested, transcription, title=prompt)
            figure.savefig(args.output / "demo.png")
            with Image.open(args.output / "demo.png") as image:
                # A palette takes a third of the space. Octrees keep rare colors, such as those of deviations.
                reduced = image.convert("RGB").quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
            reduced.save(args.output / "demo.png", optimize=True)
        if name == EDITED:
            render_edit(pipe, folder, prompt, audio, controls)
    render_long_music(pipe, folder)


def render_edit(pipe: JascoPipeline, folder: Path, prompt: str, audio: torch.Tensor, controls: dict[str, Any]):
    """The third and the fourth bar of a sample with other chords."""
    bar = 4 * 60 / EDITED_BPM
    controls = controls | {"chords": chords_from_bars(EDITED_CHORDS, EDITED_BPM)}
    edit = JascoInpaintPipeline.from_pipe(pipe)
    edit.set_progress_bar_config(disable=True)
    region = {"mask_start_seconds": 2 * bar, "mask_end_seconds": 4 * bar}
    edited = edit(prompt, audio=(audio, pipe.sampling_rate), **region, **controls, generator=seeded(0)).audios[0]
    save_sample(folder, "edit", prompt, edited, controls, pipe)


def render_long_music(pipe: JascoPipeline, folder: Path):
    """A minute in three sections, and two turns of a loop."""
    chords = chords_from_bars(" | ".join([LONG_CHORDS] * 6), LONG_BPM)
    audio = pipe(LONG_PROMPT, chords=chords, duration=60.0, generator=seeded(0)).audios[0]
    prompt = ", then ".join(text for text, _ in LONG_PROMPT)
    save_sample(folder, "long", prompt, audio, {"chords": chords}, pipe)

    chords = chords_from_bars(LONG_CHORDS, LONG_BPM)
    beat = replace(GROOVES["funk"], bpm=LONG_BPM).render(DURATION, pipe.sampling_rate)
    controls = {"chords": chords, "drums": (beat, pipe.sampling_rate)}
    audio = pipe(LOOP_PROMPT, **controls, duration=DURATION, loop=True, generator=seeded(0)).audios[0]
    save_sample(folder, "loop", LOOP_PROMPT, audio, controls, pipe, turns=2)


def save_sample(
    folder: Path,
    name: str,
    prompt: str,
    audio: torch.Tensor,
    controls: dict[str, Any],
    pipe: JascoPipeline,
    turns: int = 1,
) -> tuple[RequestedControls, Transcription]:
    """Writes a sample, repeated in `turns`, and prints its scores."""
    rate = pipe.sampling_rate
    export_audio(audio.repeat(1, turns), folder / f"{name}.mp3", rate, loudness=LOUDNESS)
    requested = read_requested_controls(**controls, duration=audio.shape[1] / rate, frame_rate=pipe.frame_rate)
    transcription = transcribe((audio, rate))
    scores = score_transcription(transcription, requested).values()
    print("\n    ".join([f"{name}.mp3: {prompt}", *(score.sentence for score in scores)]))
    return requested, transcription


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


if __name__ == "__main__":
    main()
