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
Benchmarks a sampling step and the solvers.

Times one guided step (three branches in one batch) of [`JascoTransformerModel`] against bare matrix products of the
same shapes, a lower bound for any implementation. The two are timed alternately, so that their ratio is reliable on a
busy machine, too. Then compares the evaluations and errors of solvers on a small model with random weights.

    python scripts/benchmark_inference.py [--pairs 5] [--bf16] [--compile] [--device cuda]
"""

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable

import torch
from diffusers import DPMSolverMultistepScheduler, FlowMatchHeunDiscreteScheduler, UniPCMultistepScheduler

from diffusers_jasco import FlowMatchDopri5Scheduler, FlowMatchEulerScheduler, JascoTransformerModel
from diffusers_jasco.utils.arguments import CommandParser, add_device, integer
from diffusers_jasco.utils.cli import run_command


BRANCHES = 3


def matrix_products(model: JascoTransformerModel, batch: int, frames: int, tokens: int) -> list[tuple[int, ...]]:
    """Matrix products of a forward pass as (count, rows, inner, columns), with count > 1 for batched products."""
    config = model.config
    heads, head_dim, ff = config.num_attention_heads, config.attention_head_dim, config.ff_inner_dim
    dim, rows, text_rows = heads * head_dim, batch * frames, batch * tokens
    layer = 6 * [(1, rows, dim, dim)] + 2 * [(1, text_rows, dim, dim)]  # q, k, v, out; q, out; k, v of the text
    for keys in (frames, tokens):
        layer += [(batch * heads, frames, head_dim, keys), (batch * heads, frames, keys, head_dim)]
    layer += [(1, rows, dim, ff), (1, rows, ff, dim)]
    ends = [(1, rows, model.proj_in.in_features, dim), (1, rows, dim, config.in_channels)]
    skips = [(1, rows, 2 * dim, dim)] * (config.num_layers // 2 if config.skip_connections else 0)
    return config.num_layers * layer + skips + ends + [(1, text_rows, config.text_dim, dim)]


def make_products(shapes: list[tuple[int, ...]], device: str, dtype: torch.dtype) -> Callable[[], None]:
    # As in a model, each product has a separate weight, which is not in the CPU cache yet; inputs are shared.
    inputs = {shape[:3]: torch.randn(*shape[:3], device=device, dtype=dtype) for shape in shapes}
    weights = [torch.randn(count, columns, inner, device=device, dtype=dtype) for count, _, inner, columns in shapes]

    def run():
        for shape, weight in zip(shapes, weights):
            if shape[0] == 1:
                torch.nn.functional.linear(inputs[shape[:3]][0], weight[0])
            else:
                torch.bmm(inputs[shape[:3]], weight.transpose(1, 2))

    return run


def measure_pairs(
    step: Callable[[], None], products: Callable[[], None], pairs: int, device: str
) -> tuple[float, ...]:
    """Medians of the step's seconds, of the products' seconds, and of the ratios of pairs."""

    def seconds(function: Callable[[], None]) -> float:
        start = time.perf_counter()
        function()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        return time.perf_counter() - start

    seconds(step), seconds(products)
    times = [(seconds(step), seconds(products)) for _ in range(pairs)]
    ratios = [step / products for step, products in times]
    return (*(statistics.median(column) for column in zip(*times)), statistics.median(ratios))


def peak_memory(device: str) -> float:
    """Peak memory of the GPU, or else of the process, in GB."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


@torch.inference_mode()
def benchmark_step(args: argparse.Namespace):
    torch.manual_seed(0)
    model = JascoTransformerModel(num_layers=args.layers).eval().to(args.device)
    frames, size = model.config.sample_size, sum(p.numel() for p in model.parameters()) / 1e6
    inputs = {
        "hidden_states": torch.randn(BRANCHES, frames, 128, device=args.device),
        "timestep": torch.full((BRANCHES,), 0.5, device=args.device),
        "encoder_hidden_states": torch.randn(BRANCHES, args.tokens, 768, device=args.device),
        "chords": torch.randint(0, 195, (BRANCHES, frames), device=args.device),
        "drums": torch.randn(BRANCHES, frames, 128, device=args.device),
        "melody": torch.zeros(BRANCHES, frames, 53, device=args.device),
    }
    shapes = matrix_products(model, BRANCHES, frames, args.tokens)
    print(
        f"{size:.0f}M parameters, {BRANCHES} x {frames} frames, {args.tokens} tokens, {args.device},"
        f" {torch.get_num_threads()} threads, median of {args.pairs} pairs"
    )
    print("| step | step, s | bare products, s | ratio | peak memory, GB |")
    print("| --- | --- | --- | --- | --- |")

    rows = [("float32", torch.float32, False)]
    rows += [("bfloat16 autocast", torch.bfloat16, False)] if args.bf16 else []
    rows += [("float32, torch.compile", torch.float32, True)] if args.compile else []
    for name, dtype, compiled in rows:
        forward = torch.compile(model, fullgraph=True) if compiled else model
        products = make_products(shapes, args.device, dtype)

        def step():
            with torch.autocast(args.device, dtype=dtype, enabled=dtype != torch.float32):
                forward(**inputs)

        seconds, bare, ratio = measure_pairs(step, products, args.pairs, args.device)
        print(f"| {name} | {seconds:.2f} | {bare:.2f} | {ratio:.3f} | {peak_memory(args.device):.1f} |", flush=True)


@torch.inference_mode()
def benchmark_solvers():
    """Compares solvers. As random weights make a rough flow, the ranking is more meaningful than the errors."""
    torch.manual_seed(0)
    model = JascoTransformerModel(num_layers=4, num_attention_heads=4, attention_head_dim=32, ff_inner_dim=512).eval()
    noise, text = torch.randn(1, 100, 128), torch.randn(1, 12, 768)
    config = FlowMatchEulerScheduler().config
    flow = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}

    def integrate(scheduler, steps: int | None) -> torch.Tensor:
        scheduler.set_timesteps(steps)
        scheduler.set_begin_index(0)
        sample, i = noise, 0
        while i < len(scheduler.timesteps):
            time = (1 - scheduler.sigmas[i]).reshape(1).float()
            # Velocities of random weights are about ten times too small.
            velocity = 10 * model(sample, time, text).sample
            sample = scheduler.step(-velocity, scheduler.timesteps[i], sample, return_dict=False)[0]
            i += 1
        return sample

    reference = integrate(FlowMatchDopri5Scheduler(rtol=1e-7, atol=1e-7), None)
    print("\n| solver | steps | evaluations | relative error |")
    print("| --- | --- | --- | --- |")
    solvers = [
        ("Euler", lambda: FlowMatchEulerScheduler(), (10, 25, 50, 100)),
        ("Heun", lambda: FlowMatchHeunDiscreteScheduler.from_config(config), (13, 25, 50)),
        ("UniPC", lambda: UniPCMultistepScheduler.from_config(config, **flow), (10, 25, 50)),
        (
            "DPM++",
            lambda: DPMSolverMultistepScheduler.from_config(config, num_train_timesteps=100_000, **flow),
            (10, 25, 50),
        ),
        ("dopri5, 1e-5", lambda: FlowMatchDopri5Scheduler(), (None,)),
        ("dopri5, 1e-3", lambda: FlowMatchDopri5Scheduler(rtol=1e-3, atol=1e-3), (None,)),
    ]
    for name, make, counts in solvers:
        for steps in counts:
            scheduler = make()
            error = (integrate(scheduler, steps) - reference).norm() / reference.norm()
            print(f"| {name} | {steps or 'adaptive'} | {len(scheduler.timesteps)} | {error:.1e} |")


def main():
    parser = CommandParser(description=__doc__)
    parser.add_argument("--pairs", type=integer(1), default=5, help="number of timed pairs of step and products")
    parser.add_argument(
        "--layers", type=integer(1), default=24, help="number of transformer blocks; the 400M model has 24"
    )
    parser.add_argument("--tokens", type=integer(1), default=24, help="number of prompt tokens")
    add_device(parser)
    parser.add_argument("--bf16", action="store_true", help="also time bfloat16 autocast")
    parser.add_argument("--compile", action="store_true", help="also time torch.compile")
    args = parser.parse_args()
    benchmark_step(args)
    benchmark_solvers()


if __name__ == "__main__":
    sys.exit(run_command(main, "benchmark_inference"))
