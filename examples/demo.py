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
One second of sound from the small random checkpoint that the tests use: it shows that everything works, offline, and is
no music. Chords, a drum clip made here and a melody go in, `outputs/demo.wav` comes out.
"""

from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer, EncodecModel, T5EncoderModel

from diffusers_jasco import FlowMatchEulerScheduler, JascoPipeline, export_audio


ROOT = Path(__file__).parents[1]
CHECKPOINT = ROOT / "tests/fixtures/chords-drums-melody"
TEXT_ENCODER = ROOT / "tests/fixtures/t5"
RATE = 32000


def make_drums(seconds: float = 1.0, beats_per_second: float = 4.0) -> np.ndarray:
    """A kick on every beat and a burst of noise on every second one."""
    time = np.arange(int(seconds * RATE)) / RATE
    beat = time % (1 / beats_per_second)
    kick = np.sin(2 * np.pi * 60 * beat) * np.exp(-30 * beat)
    snare = np.random.default_rng(0).standard_normal(len(time)) * np.exp(-40 * (time % (2 / beats_per_second)))
    return (0.5 * kick + 0.2 * snare).astype(np.float32)


def main():
    pipe = JascoPipeline.from_pretrained(
        CHECKPOINT,
        tokenizer=AutoTokenizer.from_pretrained(TEXT_ENCODER),
        text_encoder=T5EncoderModel.from_pretrained(TEXT_ENCODER),
        codec=EncodecModel.from_pretrained(CHECKPOINT / "encodec"),
        scheduler=FlowMatchEulerScheduler(),
    )
    audio = pipe(
        "80s pop, groovy synth bass",
        chords=[("C", 0.0), ("Am", 0.5)],
        drums=(make_drums(), RATE),
        melody=[("C5", 0.0, 0.25), ("E5", 0.25, 0.5), ("A5", 0.5, 1.0)],
        num_inference_steps=20,
        generator=torch.Generator().manual_seed(0),
    ).audios[0]
    output = ROOT / "outputs/demo.wav"
    output.parent.mkdir(exist_ok=True)
    export_audio(audio, output, pipe.sampling_rate, loudness=-20.0)
    print(f"{output.relative_to(ROOT)}: 1 s of noise from random weights. For music, load trained ones.")


if __name__ == "__main__":
    main()
