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
Measures the memory and time of loading a model.

Writes a model with random weights to a temporary folder, in the layouts of Diffusers (safetensors) and AudioCraft (a
pickle), and loads it in several ways, each time in a fresh process, alternating between the ways. Then reads a byte of
every memory page of the weights, since a memory-mapped file takes no memory until it is read. Both steps count toward:

- peak RSS: all memory of the process, including mapped files, from the kernel's high-water mark,
- peak private memory: without mapped files, whose pages processes share and the system can drop; polled every
  millisecond.

Both exclude the memory of the process before loading, and are multiples of the size of the files. Linux only. The
files were just written, so they come from the page cache: times do not include disk access. transformers keeps T5's
`wo` layers in float32 and therefore copies those of an fp16 file, which are a tenth of the files of the 400M model.

    python scripts/benchmark_loading.py [--small] [--repeats 5] [--width 1024 --layers 24 --heads 16] [--folder /tmp]
"""

import argparse
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from diffusers_jasco.utils.arguments import CommandParser, integer
from diffusers_jasco.utils.cli import run_command


MAX_RSS = 1.1  # relative to the size of the files


def build(args: argparse.Namespace, small: bool):
    """A pipeline with random weights, in the sizes of AudioCraft's (T5-base, EnCodec at 32 kHz) or small."""
    from transformers import EncodecConfig, EncodecModel, T5Config, T5EncoderModel

    from diffusers_jasco import FlowMatchEulerScheduler, JascoPipeline, JascoTransformerModel

    width, layers, heads = (64, 2, 2) if small else (args.width, args.layers, args.heads)
    # AudioCraft's layout contains the names by which it loads the text encoder and codec.
    text_encoder = {"d_model": 768, "d_ff": 3072, "num_layers": 12, "num_heads": 12, "name_or_path": "t5-base"}
    codec = {"sampling_rate": 32000, "upsampling_ratios": [8, 5, 4, 4], "num_filters": 64, "codebook_size": 2048}
    codec |= {"target_bandwidths": [2.2], "use_causal_conv": False, "name_or_path": "facebook/encodec_32khz"}
    if small or args.small:
        text_encoder |= {"d_ff": 64, "num_layers": 1, "num_heads": 2, "vocab_size": 100}
        codec |= {"num_filters": 4, "codebook_size": 64}
    return JascoPipeline(
        tokenizer=None,
        text_encoder=T5EncoderModel(T5Config(**text_encoder)),
        codec=EncodecModel(EncodecConfig(**codec)),
        transformer=JascoTransformerModel(
            num_attention_heads=heads,
            attention_head_dim=width // heads,
            num_layers=layers,
            ff_inner_dim=4 * width,
        ),
        scheduler=FlowMatchEulerScheduler(),
    )


def write(pipe, folder: Path):
    import diffusers
    import torch
    import transformers

    from diffusers_jasco.loaders.audiocraft import save_audiocraft_checkpoint

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    pipe.save_pretrained(folder / "diffusers")
    save_audiocraft_checkpoint(pipe, folder / "audiocraft")
    pipe.to(torch.float16).save_pretrained(folder / "half", variant="fp16")


def load_pickle(folder: Path):
    import torch

    return torch.load(folder / "audiocraft/state_dict.bin", map_location="cpu", weights_only=True)


def load_audiocraft(folder: Path):
    from diffusers_jasco import JascoPipeline

    # The layout does not contain the text encoder.
    return JascoPipeline.from_pretrained(folder / "audiocraft", tokenizer=None, text_encoder=None)


def load_transformer(folder: Path):
    from diffusers_jasco import JascoTransformerModel

    return JascoTransformerModel.from_pretrained(folder / "diffusers/transformer")


def load_half_transformer(folder: Path):
    import torch

    from diffusers_jasco import JascoTransformerModel

    return JascoTransformerModel.from_pretrained(folder / "half/transformer", variant="fp16", dtype=torch.float16)


def load_pipeline(folder: Path):
    from diffusers_jasco import JascoPipeline

    return JascoPipeline.from_pretrained(folder / "diffusers", tokenizer=None)


def load_half_pipeline(folder: Path):
    import torch

    from diffusers_jasco import JascoPipeline

    return JascoPipeline.from_pretrained(folder / "half", tokenizer=None, variant="fp16", dtype=torch.float16)


# Name: description, function, and pattern of the loaded files.
WAYS = {
    "pickle": ("`torch.load` of AudioCraft's file, no model", load_pickle, "audiocraft/state_dict.bin"),
    "audiocraft": ("`JascoPipeline`, AudioCraft's layout", load_audiocraft, "audiocraft/state_dict.bin"),
    "transformer": ("`JascoTransformerModel`", load_transformer, "diffusers/transformer/*.safetensors"),
    "transformer-fp16": ("`JascoTransformerModel`, fp16", load_half_transformer, "half/transformer/*.safetensors"),
    "pipeline": ("`JascoPipeline`", load_pipeline, "diffusers/*/*.safetensors"),
    "pipeline-fp16": ("`JascoPipeline`, fp16", load_half_pipeline, "half/*/*.safetensors"),
}


def tensors_of(loaded: Any) -> list:
    import torch

    if isinstance(loaded, torch.Tensor):
        return [loaded]
    if isinstance(loaded, dict):
        return [tensor for value in loaded.values() for tensor in tensors_of(value)]
    if isinstance(loaded, torch.nn.Module):
        return [*loaded.parameters(), *loaded.buffers()]
    return tensors_of(getattr(loaded, "components", {}))


def read_all(loaded: Any):
    """Reads every memory page of the weights."""
    import torch

    for tensor in tensors_of(loaded):
        tensor.detach().contiguous().view(-1).view(torch.uint8)[::4096].sum()


def memory(pid: int | str = "self") -> dict[str, int]:
    """Memory of a process in bytes, by the kernel's names."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith("kB")}


def run_child(way: str, folder: Path):
    """Loads once, and reports readiness and results to the parent process."""
    load = WAYS[way][1]
    # Warm-up with a small model, which imports all modules.
    read_all(load(folder / "small"))
    gc.collect()
    before = memory()
    print("ready", flush=True)
    sys.stdin.readline()
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark

    start = time.perf_counter()
    loaded = load(folder / "large")
    loading = time.perf_counter() - start
    read_all(loaded)
    total = time.perf_counter() - start
    print(json.dumps({"loading": loading, "total": total, "rss": memory()["VmHWM"] - before["VmRSS"]}), flush=True)
    sys.stdin.readline()


def measure(way: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", way, "--folder", str(folder)]
    # Messages would clutter the table; errors are reported below.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        errors = []
        threading.Thread(target=lambda: errors.extend(child.stderr), daemon=True).start()
        try:
            while (line := child.stdout.readline()).strip() != "ready":
                if not line:
                    raise RuntimeError(f"Loading {way} failed:\n{''.join(errors)}")
            peak = before = memory(child.pid)["RssAnon"]
            child.stdin.write("\n")
            child.stdin.flush()
            output = []
            reader = threading.Thread(target=lambda: output.append(child.stdout.readline()))
            reader.start()
            while reader.is_alive():
                peak = max(peak, memory(child.pid).get("RssAnon", 0))
                reader.join(0.001)
            if not output[0]:
                raise RuntimeError(f"Loading {way} failed:\n{''.join(errors)}")
            return json.loads(output[0]) | {"private": peak - before}
        finally:
            child.stdin.close()


def main():
    parser = CommandParser(description=__doc__)
    parser.add_argument("--width", type=integer(1), default=1024, help="width of the transformer")
    parser.add_argument(
        "--layers", type=integer(1), default=24, help="number of transformer blocks; the 400M model has 24"
    )
    parser.add_argument("--heads", type=integer(1), default=16, help="number of attention heads")
    parser.add_argument(
        "--small", action="store_true", help="a quick run: width 512, 8 layers, a small text encoder and codec"
    )
    parser.add_argument("--repeats", type=integer(1), default=5, help="number of processes for each way of loading")
    parser.add_argument("--folder", type=Path, help="parent of the temporary folder, which takes about 6 GB")
    parser.add_argument("--child", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        return run_child(args.child, args.folder)
    if args.small:
        args.width, args.layers, args.heads = 512, 8, 8

    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        folder = Path(folder)
        for size in ("small", "large"):
            pipe = build(args, small=size == "small")
            parameters = sum(p.numel() for p in pipe.transformer.parameters())
            write(pipe, folder / size)
        del pipe
        gc.collect()
        runs = {way: [] for way in WAYS}
        for _ in range(args.repeats):
            for way in WAYS:
                runs[way].append(measure(way, folder))

        print(f"{parameters / 1e6:.0f}M parameters in the transformer, medians of {args.repeats} processes\n")
        print(
            "| loaded | files, GB | loading, s | loading and reading, s | s per GB, relative to `torch.load`"
            " | peak RSS / files | peak private / files |"
        )
        print("| --- | --- | --- | --- | --- | --- | --- |")
        baseline, over = None, []
        for way, (name, _, pattern) in WAYS.items():
            size = sum(path.stat().st_size for path in (folder / "large").glob(pattern))
            loading, total, rss, private = (
                statistics.median(run[key] for run in runs[way]) for key in ("loading", "total", "rss", "private")
            )
            baseline = baseline or total / size
            print(
                f"| {name} | {size / 1e9:.2f} | {loading:.2f} | {total:.2f} | {total / size / baseline:.2f} |"
                f" {rss / size:.2f} | {private / size:.2f} |"
            )
            if way not in ("pickle", "audiocraft") and rss > MAX_RSS * size:
                over.append(name)
        print(f"\nPeak RSS above {MAX_RSS} x the size of the files: {', '.join(over) or 'none'}.")


if __name__ == "__main__":
    sys.exit(run_command(main, "benchmark_loading"))
