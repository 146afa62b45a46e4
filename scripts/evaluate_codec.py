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
Evaluates the reconstruction quality and the speed of a codec:

    python scripts/evaluate_codec.py --codec pipelines/jasco-nano --dataset data/validation song.wav drums.mp3

`--dataset` is a folder from `scripts/make_synthetic_dataset.py`. Its annotated drum onsets are compared with the
onsets detected in the reference stems and in the decoded stems: F1 within 50 ms, and the mean rise in level at onsets
(higher means sharper). Recordings are compared as a whole. Spectral distances are in dB, 0 for equal audio.

For a codec in a pipeline, `scripts/evaluate_jasco.py --conditions codec` measures chords, bass, melody, drums and the
rise in level at onsets in decoded mixes.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

from diffusers_jasco import load_audio
from diffusers_jasco.audio.resampling import resample
from diffusers_jasco.codecs import decode, encode, load_codec
from diffusers_jasco.evaluation.estimators.onsets import onsets_by_percussive_flux
from diffusers_jasco.evaluation.metrics.onsets import score_onsets
from diffusers_jasco.evaluation.metrics.sound import rise_at_onsets, spectral_distance
from diffusers_jasco.utils.arguments import CommandParser, integer
from diffusers_jasco.utils.cli import run_command


def reconstruct(codec: torch.nn.Module, waveform: torch.Tensor) -> torch.Tensor:
    """Encodes and decodes mono audio (1, samples)."""
    return decode(codec, encode(codec, waveform[None]))[0, :, : waveform.shape[-1]]


def load(path: Path, rate: int) -> torch.Tensor:
    waveform, original_rate = load_audio(path)
    return resample(waveform.mean(dim=0, keepdim=True), original_rate, rate)


def main(args: list[str] | None = None):
    parser = CommandParser(description=__doc__)
    parser.add_argument("--codec", type=Path, required=True, help="folder of a codec or of a pipeline")
    parser.add_argument("--dataset", type=Path, help="folder of synthetic music with drum stems")
    parser.add_argument("--num_clips", type=integer(1), default=32, help="number of clips of the dataset")
    parser.add_argument("recordings", type=Path, nargs="*", help="audio files")
    args = parser.parse_args(args)
    if args.dataset is None and not args.recordings:
        parser.error("at least one of audio files or --dataset is required.")

    codec = load_codec(args.codec)
    rate = codec.config.sampling_rate
    parameters = sum(parameter.numel() for parameter in codec.parameters())
    print(
        f"{type(codec).__name__}: {parameters / 1e6:.2f} M parameters,"
        f" frame rate {rate / codec.config.hop_length:g} Hz\n"
    )
    print("| measure | value |\n| --- | --- |")
    if args.dataset is not None:
        lines = (args.dataset / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
        items = [json.loads(line) for line in lines[: args.num_clips]]
        mixes = [load(args.dataset / item["file_name"], rate) for item in items]
        distance = np.mean([spectral_distance((reconstruct(codec, mix), rate), (mix, rate)) for mix in mixes])
        print(f"| spectral distance, {len(mixes)} mixes | {distance:.2f} dB |")

        drums = [(item["drum_onsets"], item["stems"]["drums"]) for item in items if item["stems"].get("drums")]
        drums = [(onsets, load(args.dataset / name, rate)) for onsets, name in drums]
        for kind, process in (("reference", lambda stem: stem), ("decoded", lambda stem: reconstruct(codec, stem))):
            stems = [(onsets, process(stem)) for onsets, stem in drums]
            scores = [score_onsets(onsets_by_percussive_flux((s, rate)), o)["onset_f1"] for o, s in stems]
            rises = [rise_at_onsets((stem, rate), onsets) for onsets, stem in stems]
            print(f"| onset F1, {kind} drums | {np.nanmean(scores):.3f} |")
            print(f"| rise at onsets, {kind} drums | {np.nanmean(rises):.1f} dB |")

        batch = torch.stack(mixes[:8])
        started = time.process_time()
        latents = encode(codec, batch)
        encoded = time.process_time()
        decode(codec, latents)
        decoded = time.process_time()
        seconds = batch.shape[0] * batch.shape[-1] / rate
        print(f"| encoding | {seconds / (encoded - started):.0f} × real time (CPU time) |")
        print(f"| decoding | {seconds / (decoded - encoded):.0f} × real time (CPU time) |")
    for path in args.recordings:
        recording = load(path, rate)
        distance = spectral_distance((reconstruct(codec, recording), rate), (recording, rate))
        print(f"| spectral distance, {path.name} | {distance:.2f} dB |")


if __name__ == "__main__":
    sys.exit(run_command(main, "evaluate_codec"))
