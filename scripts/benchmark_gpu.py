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
Benchmarks inference and training on a GPU, with random weights:

    python scripts/benchmark_gpu.py [--only step pipeline training decoding] [--max_minutes 5] [--output gpu.json]

- step: a guided step (three branches in one batch) of the 400M and 1B sizes, for 1 and 8 clips of 10 s. Its rate is
  compared with that of a large matrix product in the same precision, timed alternately, and its wall-clock time with
  the sum of the times of its kernels.
- pipeline: seconds of music per second of a whole call
- training: clips per second, in bfloat16
- decoding: seconds of audio per second

A part starts no further measurement after `--max_minutes`; those with the most important settings come first. With
`--toy --device cpu`, everything runs at toy size, as a test of this script.
"""

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from benchmark_inference import BRANCHES, matrix_products, measure_pairs, peak_memory
from benchmark_training import NANO, load_transformer, make_step
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from transformers import EncodecConfig, EncodecModel, T5Config, T5EncoderModel

from diffusers_jasco import FlowMatchEulerScheduler, JascoGuidance, JascoPipeline, JascoTransformerModel
from diffusers_jasco.codecs import decode, load_codec
from diffusers_jasco.conditioning import JascoConditioning, TextSection
from diffusers_jasco.pipelines.denoising import GuidedVelocity
from diffusers_jasco.text_encoders import load_tokenizer
from diffusers_jasco.utils.arguments import CommandParser, add_device, check_writable, integer, number
from diffusers_jasco.utils.cli import run_command


SIZES: dict[str, dict[str, Any]] = {
    "400M": {"skip_connections": True},
    "1B": {"skip_connections": True, "num_layers": 48, "num_attention_heads": 24, "ff_inner_dim": 6144},
}
TOY = {"num_layers": 2, "num_attention_heads": 2, "attention_head_dim": 8, "ff_inner_dim": 32, "sample_size": 20}
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
# CUDA graphs need a single graph of the whole model; its blocks take much less time to compile.
MODES: dict[str, Callable[[JascoTransformerModel, dict], None]] = {
    "eager": lambda model, options: None,
    "compiled": lambda model, options: model.compile_repeated_blocks(fullgraph=True, **options),
    "CUDA graphs": lambda model, options: model.compile(
        fullgraph=True, **({"mode": "reduce-overhead"} if not options else options)
    ),
    "compiled, dynamic": lambda model, options: model.compile_repeated_blocks(fullgraph=True, dynamic=True, **options),
}
TOKENS = 32
STEPS = 4  # steps in a measurement, which are launched without waiting for the previous one
GOALS = {
    "rate of a compiled step of 8 clips in bfloat16, relative to a product": ("share", 8, "compiled", ">=", 0.5),
    "wall-clock time of a compiled step of 1 clip in bfloat16, relative to its kernels": (
        "wall_per_kernels", 1, "compiled", "<=", 1.3,
    ),
    "wall-clock time with CUDA graphs of 1 clip in bfloat16, relative to its kernels": (
        "wall_per_kernels", 1, "CUDA graphs", "<=", 1.3,
    ),
}  # fmt: skip


def make_transformer(size: str, args: argparse.Namespace) -> JascoTransformerModel:
    torch.manual_seed(0)
    with torch.device(args.device):
        return JascoTransformerModel(**SIZES[size] | (TOY if args.toy else {})).eval()


def compile_options(args: argparse.Namespace) -> dict[str, Any]:
    """Options of `torch.compile`, which compiles nothing at toy size."""
    return {"backend": "aot_eager"} if args.toy else {}


def make_velocity(model: JascoTransformerModel, clips: int) -> GuidedVelocity:
    config, options = model.config, {"device": model.device}
    shape = clips, config.sample_size
    section = TextSection(
        0,
        torch.randn(clips, TOKENS, config.text_dim, **options),
        torch.ones(clips, TOKENS, dtype=torch.bool, **options),
    )
    controls = {
        "chords": torch.randint(0, model.null_controls["chords"], shape, **options),
        "drums": torch.randn(*shape, config.in_channels, **options),
        "melody": torch.zeros(*shape, config.melody_bins, **options),
    }
    conditioning = JascoConditioning((section,), controls, model.null_controls)
    return GuidedVelocity(model, JascoGuidance(3.0, 1.0), conditioning)


def make_product(args: argparse.Namespace, dtype: torch.dtype) -> tuple[Callable[[], Any], float]:
    """A square matrix product, and its number of floating point operations."""
    size = 256 if args.toy else 8192
    factors = torch.randn(2, size, size, device=args.device).to(dtype)
    return lambda: factors[0] @ factors[1], 2 * size**3


def count_operations(shapes: list[tuple[int, ...]]) -> float:
    return sum(2.0 * count * rows * inner * columns for count, rows, inner, columns in shapes)


def kernel_seconds(function: Callable[[], Any], device: str) -> float:
    """Sum of the times of a function's kernels; on a CPU, of its operators."""
    is_cuda = device.startswith("cuda")
    with profile(activities=[ProfilerActivity.CUDA if is_cuda else ProfilerActivity.CPU]) as profiler:
        function()
        if is_cuda:
            torch.cuda.synchronize()
    if not is_cuda:
        return sum(event.self_cpu_time_total for event in profiler.key_averages()) / 1e6
    kernels = (event for event in profiler.events() if event.device_type == DeviceType.CUDA)
    return sum(event.time_range.elapsed_us() for event in kernels if not event.is_user_annotation) / 1e6


@torch.no_grad()
def measure_step(args: argparse.Namespace, size: str, mode: str, clips: int, dtype: str) -> dict[str, float]:
    model = make_transformer(size, args).to(DTYPES[dtype])
    operations = count_operations(matrix_products(model, BRANCHES * clips, model.config.sample_size, TOKENS))
    MODES[mode](model, compile_options(args))
    velocity = make_velocity(model, clips)
    latents = torch.randn(clips, model.config.sample_size, model.config.in_channels, device=args.device)

    def steps():
        for step in range(STEPS):
            velocity(latents, step / STEPS)

    product, product_operations = make_product(args, DTYPES[dtype])
    # CUDA graphs are recorded in the second call.
    steps(), steps()
    seconds, product_seconds, _ = measure_pairs(steps, product, args.pairs, args.device)
    rate, product_rate = STEPS * operations / seconds, product_operations / product_seconds
    return {
        "milliseconds": 1000 * seconds / STEPS,
        "tflops": rate / 1e12,
        "product_tflops": product_rate / 1e12,
        "share": rate / product_rate,
        "wall_per_kernels": seconds / kernel_seconds(steps, args.device),
    }


def make_pipeline(name: str, args: argparse.Namespace) -> JascoPipeline:
    if name == "jasco-nano":
        return JascoPipeline.from_pretrained(NANO)
    layers = {"num_layers": 1, "d_ff": 32} if args.toy else {"num_layers": 12, "d_ff": 3072}
    return JascoPipeline(
        tokenizer=load_tokenizer(NANO / "tokenizer"),
        text_encoder=T5EncoderModel(T5Config(d_model=768, num_heads=12, **layers)).eval(),
        codec=make_encodec(args),
        transformer=make_transformer(name, args),
        scheduler=FlowMatchEulerScheduler(),
    )


def make_encodec(args: argparse.Namespace) -> EncodecModel:
    """The sizes of facebook/encodec_32khz."""
    filters = 4 if args.toy else 64
    return EncodecModel(
        EncodecConfig(
            sampling_rate=32000,
            upsampling_ratios=[8, 5, 4, 4],
            num_filters=filters,
            hidden_size=128,
            codebook_size=2048,
            target_bandwidths=[2.2],
            use_causal_conv=False,
        )
    ).eval()


def measure_pipeline(args: argparse.Namespace, name: str, mode: str, clips: int, dtype: str) -> dict[str, float]:
    pipe = make_pipeline(name, args).to(args.device, DTYPES[dtype])
    pipe.set_progress_bar_config(disable=True)
    MODES[mode](pipe.transformer, compile_options(args))
    controls = {"chords": "C:0 Am:0.2", "melody": [("C4", 0.0, 0.2), ("E4", 0.2, 0.4)]}
    durations = []

    def call():
        audio = pipe("80s pop", **controls, num_waveforms_per_prompt=clips, num_inference_steps=args.steps).audios
        durations.append(audio.shape[-1] / pipe.sampling_rate)

    call(), call()
    seconds = measure_seconds(call, args)
    return {"seconds": seconds, "music_per_second": clips * durations[0] / seconds}


def measure_seconds(function: Callable[[], Any], args: argparse.Namespace) -> float:
    return measure_pairs(function, lambda: None, args.pairs, args.device)[0]


def measure_training(args: argparse.Namespace, name: str, mode: str, clips: int) -> dict[str, float]:
    model = load_transformer(name)
    frames = model.config.sample_size
    step = make_step(model, clips, TOKENS, args.device, False, mode == "compiled", torch.bfloat16)
    product, product_operations = make_product(args, torch.bfloat16)
    seconds, product_seconds, _ = measure_pairs(step, product, args.pairs, args.device)
    # The backward pass has two products per product of the forward pass.
    operations = 3 * count_operations(matrix_products(model, clips, frames, TOKENS))
    share = operations / seconds * product_seconds / product_operations
    return {"seconds": seconds, "clips_per_second": clips / seconds, "share": share}


@torch.no_grad()
def measure_decoding(args: argparse.Namespace, name: str, clips: int, dtype: str) -> dict[str, float]:
    codec = make_encodec(args) if name == "EnCodec" else load_codec(NANO)
    codec.to(args.device, DTYPES[dtype])
    frame_rate = codec.config.sampling_rate / codec.config.hop_length
    frames = round((1.0 if args.toy else 10.0) * frame_rate)
    latents = torch.randn(clips, frames, 128 if name == "EnCodec" else codec.config.latent_dim, device=args.device)
    seconds = measure_seconds(lambda: decode(codec, latents), args)
    return {"seconds": seconds, "audio_per_second": clips * frames / frame_rate / seconds}


def list_settings(part: str, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The settings of a part's measurements, the most important ones first."""
    if part == "step":
        for dtype in DTYPES:
            for size in SIZES:
                for mode in MODES:
                    # Compiling 48 layers as a whole takes minutes.
                    if (size, mode) != ("1B", "CUDA graphs"):
                        # CUDA graphs are for few clips.
                        for clips in (1, 8) if mode == "CUDA graphs" else (8, 1):
                            yield {"size": size, "mode": mode, "clips": clips, "dtype": dtype}
        yield from ({"size": "1B", "mode": "CUDA graphs", "clips": clips, "dtype": "bfloat16"} for clips in (1, 8))
    elif part == "pipeline":
        for mode in ("compiled", "eager"):
            for name in ("400M", "jasco-nano"):
                for clips in (1, 8):
                    yield {"name": name, "mode": mode, "clips": clips, "dtype": "bfloat16"}
    elif part == "training":
        for mode in ("eager",) if args.toy else ("compiled", "eager"):
            for name, clips in ({"jasco-nano": 1} if args.toy else {"jasco-nano": 256, "400M": 32}).items():
                yield {"name": name, "mode": mode, "clips": clips}
    else:
        for dtype in ("float32", "bfloat16"):
            for name in ("EnCodec", "spectral"):
                for clips in (1, 8):
                    yield {"name": name, "clips": clips, "dtype": dtype}


# Measurement and results of each part.
PARTS: dict[str, tuple[Callable[..., dict[str, float]], tuple[str, ...]]] = {
    "step": (measure_step, ("milliseconds", "tflops", "product_tflops", "share", "wall_per_kernels")),
    "pipeline": (measure_pipeline, ("seconds", "music_per_second")),
    "training": (measure_training, ("seconds", "clips_per_second", "share")),
    "decoding": (measure_decoding, ("seconds", "audio_per_second")),
}


def run_part(part: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Measures a part until its time is over, and prints a table. A failed measurement does not end the run."""
    measure, columns = PARTS[part]
    deadline, rows, settings = time.monotonic() + 60 * args.max_minutes, [], list(list_settings(part, args))
    columns = (*settings[0], *columns, "peak_memory_gb")
    print(f"\n### {part}\n\n| {' | '.join(columns)} |\n|{' --- |' * len(columns)}", flush=True)
    for setting in settings:
        if time.monotonic() > deadline:
            break
        if args.device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats()
        try:
            row: dict[str, Any] = setting | measure(args, **setting) | {"peak_memory_gb": peak_memory(args.device)}
        except Exception as error:
            row = setting | {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        values = [f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()]
        print(f"| {' | '.join(values)} |", flush=True)
        rows.append(row)
        # Compiled models refer to themselves.
        torch._dynamo.reset()
        gc.collect()
        if args.device.startswith("cuda"):
            torch.cuda.empty_cache()
    if missing := len(settings) - len(rows):
        print(f"\n{missing} measurements are missing: `--max_minutes` were over.")
    return rows


def print_goals(rows: list[dict[str, Any]]):
    print("\n| goal | size | measured | limit |\n| --- | --- | --- | --- |")
    for goal, (name, clips, mode, relation, limit) in GOALS.items():
        for row in rows:
            if (row["clips"], row["mode"], row["dtype"]) == (clips, mode, "bfloat16") and name in row:
                reached = row[name] >= limit if relation == ">=" else row[name] <= limit
                print(
                    f"| {goal} | {row['size']} | {row[name]:.2f}{'' if reached else ' (missed)'} | {relation} {limit} |"
                )


def main(arguments: list[str] | None = None):
    parser = CommandParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), default=list(PARTS))
    parser.add_argument("--pairs", type=integer(1), default=5, help="number of timed repetitions")
    parser.add_argument("--steps", type=integer(1), default=50, help="inference steps of the pipeline")
    parser.add_argument(
        "--max_minutes",
        type=number(above=0),
        default=5.0,
        help="minutes after which each part starts no further measurement",
    )
    parser.add_argument("--output", help="JSON file with all results")
    parser.add_argument("--toy", action="store_true", help="tiny sizes, as a test of this script")
    add_device(parser)
    args = parser.parse_args(arguments)
    if args.output:
        check_writable(args.output)
    if args.device == "cpu" and not args.toy:
        parser.error(
            "this benchmark is for GPUs, but the device is cpu: add --toy to test the script there. See"
            " benchmark_inference.py for CPUs."
        )
    name = torch.cuda.get_device_name(args.device) if args.device.startswith("cuda") else args.device
    print(f"{name}, PyTorch {torch.__version__}, median of {args.pairs}")
    report: dict[str, Any] = {"device": name, "torch": torch.__version__, "toy": args.toy}
    for part in args.only:
        report[part] = run_part(part, args)
        if part == "step":
            print_goals(report[part])
        if args.output:
            Path(args.output).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_command(main, "benchmark_gpu"))
