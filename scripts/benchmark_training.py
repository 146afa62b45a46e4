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
Benchmarks training steps:

    python scripts/benchmark_training.py [--pairs 5] [--only step|data|memory] [--device cuda] [--compile]

- step: forward and backward pass, gradient clipping, AdamW and EMA in the sizes of jasco-nano and of the 400M model,
  timed alternately with bare matrix products of the same shapes, forward and backward
- data: batches from a feature cache compared with audio encoded on the fly, and with the training step
- memory: with and without gradient checkpointing, each in a separate process
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from benchmark_inference import matrix_products, measure_pairs, peak_memory

from diffusers_jasco import JascoPipeline, JascoTransformerModel
from diffusers_jasco.data.clips import ClipDataset
from diffusers_jasco.data.features import FeatureDataset, collate_features, write_features
from diffusers_jasco.data.online_encoding import BatchEncoder
from diffusers_jasco.data.synthetic.music import SyntheticMusic
from diffusers_jasco.training.batches import EpochBatches
from diffusers_jasco.training.ema import EMA
from diffusers_jasco.training.optimization import make_optimizer
from diffusers_jasco.utils.arguments import CommandParser, add_device, integer
from diffusers_jasco.utils.cli import run_command


NANO = Path(__file__).parents[1] / "pipelines" / "jasco-nano"
# Name: options of the model, batch size, number of tokens.
MODELS = {"jasco-nano": (None, 4, 16), "400M": ({}, 1, 24)}


def load_transformer(name: str) -> JascoTransformerModel:
    torch.manual_seed(0)
    if name == "jasco-nano":
        return JascoTransformerModel.from_pretrained(NANO / "transformer", torch_dtype=torch.float32).train()
    return JascoTransformerModel(**MODELS[name][0]).train()


def make_step(
    model: JascoTransformerModel,
    batch: int,
    tokens: int,
    device: str,
    checkpointing: bool,
    compiled: bool,
    dtype: torch.dtype = torch.float32,
):
    """A training step as in `training/train_jasco.py`, as a function without arguments."""
    config = model.to(device).config
    frames = config.sample_size
    inputs = {
        "hidden_states": torch.randn(batch, frames, config.in_channels, device=device),
        "timestep": torch.rand(batch, device=device),
        "encoder_hidden_states": torch.randn(batch, tokens, config.text_dim, device=device),
        "chords": torch.randint(0, model.null_controls["chords"], (batch, frames), device=device),
        "drums": torch.randn(batch, frames, config.in_channels, device=device),
        "melody": torch.zeros(batch, frames, config.melody_bins, device=device),
    }
    target = torch.randn_like(inputs["hidden_states"])
    optimizer = make_optimizer(model, 1e-5, (0.9, 0.95), 1e-8, 0.1)
    ema = EMA(model.parameters(), decay=0.999)
    if checkpointing:
        model.enable_gradient_checkpointing()
    if compiled:
        model.compile_repeated_blocks()

    def step():
        with torch.autocast(torch.device(device).type, dtype, enabled=dtype != torch.float32):
            velocity = model(**inputs, return_dict=False)[0]
        (velocity.float() - target).square().mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        ema.step(model.parameters())

    return step


def make_products(shapes: list[tuple[int, ...]], device: str) -> Callable[[], None]:
    """The products of the forward pass, and those of both factors' gradients in the backward pass."""
    inputs = {shape[:3]: torch.randn(*shape[:3], device=device) for shape in shapes}
    gradients = {(*shape[:2], shape[3]): torch.randn(*shape[:2], shape[3], device=device) for shape in shapes}
    weights = [torch.randn(count, columns, inner, device=device) for count, _, inner, columns in shapes]

    def run():
        for shape, weight in zip(shapes, weights):
            factor, gradient = inputs[shape[:3]], gradients[(*shape[:2], shape[3])]
            torch.bmm(factor, weight.transpose(1, 2))
            torch.bmm(gradient, weight)
            torch.bmm(gradient.transpose(1, 2), factor)

    return run


def benchmark_step(args: argparse.Namespace):
    print(f"\n{args.device}, {torch.get_num_threads()} threads, median of {args.pairs} pairs\n")
    print("| model | clips x frames | step, s | bare products, s | ratio |")
    print("| --- | --- | --- | --- | --- |")
    for name, (_, batch, tokens) in MODELS.items():
        model = load_transformer(name)
        frames = model.config.sample_size
        products = make_products(matrix_products(model, batch, frames, tokens), args.device)
        step = make_step(model, batch, tokens, args.device, False, args.compile)
        seconds, bare, ratio = measure_pairs(step, products, args.pairs, args.device)
        print(f"| {name} | {batch} x {frames} | {seconds:.3f} | {bare:.3f} | {ratio:.2f} |", flush=True)


def benchmark_data(args: argparse.Namespace):
    """Compares reading the cache with reading and encoding audio. Synthetic clips are generated before."""
    pipe = JascoPipeline.from_pretrained(NANO, dtype=torch.float32)
    config, codec = pipe.transformer.config, pipe.codec.to(args.device)
    music = SyntheticMusic("train", 32, sampling_rate=pipe.sampling_rate, renderer=args.renderer, stems=True)
    items = [music[index] for index in range(len(music))]
    with tempfile.TemporaryDirectory() as folder:
        write_features(items, codec, Path(folder) / "cache")
        options = {"latents_mean": config.latents_mean, "latents_std": config.latents_std}
        encode = BatchEncoder(codec, config.drums_blur, **options)
        cached = FeatureDataset(Path(folder) / "cache", config.chord_labels, drums_blur=config.drums_blur, **options)
        clips = ClipDataset(items, pipe.sampling_rate, codec.config.hop_length, config.chord_labels, cached.num_frames)
        sources = {
            "cache": EpochBatches(cached, 4, collate_features),
            "audio, encoded on the fly": EpochBatches(clips, 4, list, encode=encode),
        }
        seconds = {name: [] for name in sources}
        streams = {name: iter(batches) for name, batches in sources.items()}
        for _ in range(3 * args.pairs):
            for name, stream in streams.items():
                start = time.perf_counter()
                next(stream)
                seconds[name].append(time.perf_counter() - start)
    step = make_step(load_transformer("jasco-nano"), 4, 16, args.device, False, args.compile)
    times = []
    for _ in range(args.pairs):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    medians = {name: torch.tensor(values).median().item() for name, values in seconds.items()}
    cache, training_step = medians["cache"], torch.tensor(times).median().item()
    print(
        "\n| batches of four 10 s clips | seconds per batch | relative to the cache | relative to jasco-nano's step |"
    )
    print("| --- | --- | --- | --- |")
    for name, median in medians.items():
        print(f"| {name} | {median:.4f} | {median / cache:.1f} | {median / training_step:.3f} |")


def benchmark_memory(args: argparse.Namespace):
    print("\n| model | gradient checkpointing | peak memory, GB | step, s |")
    print("| --- | --- | --- | --- |")
    for name in MODELS:
        for checkpointing in (False, True):
            command = [sys.executable, __file__, "--device", args.device, "--measure", name]
            command += ["--checkpointing"] if checkpointing else []
            result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            row = f"| {name} | {'yes' if checkpointing else 'no'} | {result['memory']:.2f} | {result['seconds']:.2f} |"
            print(row, flush=True)


def measure_one(args: argparse.Namespace):
    _, batch, tokens = MODELS[args.measure]
    step = make_step(load_transformer(args.measure), batch, tokens, args.device, args.checkpointing, False)
    step()
    start = time.perf_counter()
    step()
    print(json.dumps({"memory": peak_memory(args.device), "seconds": time.perf_counter() - start}))


def main():
    parser = CommandParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=("step", "data", "memory"), default=["step", "data", "memory"])
    parser.add_argument("--pairs", type=integer(1), default=5, help="number of timed pairs")
    add_device(parser)
    parser.add_argument("--compile", action="store_true", help="compile the blocks")
    parser.add_argument("--renderer", choices=("fluidsynth", "tinysoundfont"), default="fluidsynth")
    parser.add_argument("--measure", choices=tuple(MODELS), help=argparse.SUPPRESS)
    parser.add_argument("--checkpointing", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        return measure_one(args)
    for part in args.only:
        {"step": benchmark_step, "data": benchmark_data, "memory": benchmark_memory}[part](args)


if __name__ == "__main__":
    sys.exit(run_command(main, "benchmark_training"))
