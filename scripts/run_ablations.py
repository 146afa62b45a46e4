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

r"""
Trains several variants of a model with the same data, seed and number of steps, and compares their validation losses:

    python scripts/run_ablations.py --arms training/configs/ablations.yaml --output runs/ablations --max_steps 600 \
        -- --dataset features/train --validation_dataset features/validation --codec codec --tokenizer tokenizer

The arms are a YAML file with options of training/train_jasco.py: `common` ones, and those of each of the `arms`, which
override them; the options after `--` are common to all arms, too. Finished arms are skipped, and interrupted ones
resume. If an arm fails, the others are trained nevertheless, and the exit code is 1. The table, which is printed after
each arm and written to `ablations.md`, contains the validation losses with text alone, with beats, and with beats and
chords, over all flow times and near the noise. The difference between the first and the last says how much of the form
the model decides by itself.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from diffusers_jasco.evaluation.output import write_text
from diffusers_jasco.training.logs import TIME_BINS
from diffusers_jasco.utils.arguments import CommandParser, existing, integer
from diffusers_jasco.utils.cli import run_command


TRAINING = Path(__file__).parents[1] / "training" / "train_jasco.py"
SUFFIXES = ("_text", "_beats", "_beats_chords")


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("--arms", type=existing, required=True, help="YAML file with the options of each arm")
    add("--output", type=Path, required=True, help="output folder; each arm has a run folder in it")
    add("--max_steps", type=integer(1), required=True, help="training steps of each arm")
    add("--only", nargs="+", help="names of the arms to train; default: all")
    add("--processes", type=integer(1), default=2, help="training processes, one thread each; default: 2")
    add("common", nargs="*", metavar="-- options", help="options of training/train_jasco.py for all arms")
    parsed = parser.parse_args(args)
    file = yaml.safe_load(parsed.arms.read_text(encoding="utf-8"))
    if not isinstance(file, dict) or set(file) - {"common", "arms"} or not isinstance(file.get("arms"), dict):
        parser.error("--arms has to contain `arms: {name: {option: value}}` and optionally `common: {option: value}`.")
    common = file.get("common") or {}
    parsed.arms = {name: arm or {} for name, arm in file["arms"].items()}
    for arm in parsed.arms.values():
        if "transformer" in arm:
            arm["transformer"] = {**common.get("transformer", {}), **arm["transformer"]}
    parsed.common = [*to_flags(common | {"max_steps": parsed.max_steps}), *parsed.common]
    if unknown := sorted(set(parsed.only or ()) - set(parsed.arms)):
        parser.error(
            f"--only has to contain names of arms ({', '.join(parsed.arms)}), but contains {', '.join(unknown)}."
        )
    return parsed


def to_flags(options: dict[str, Any]) -> list[str]:
    """Writes options as flags of the training script; mappings as YAML, which is merged with that of the config."""
    flags = []
    for name, value in options.items():
        if isinstance(value, bool):
            flags.append(f"--{name}" if value else f"--no-{name}")
        elif isinstance(value, list):
            flags += [f"--{name}", *map(str, value)]
        else:
            flags += [f"--{name}", json.dumps(value) if isinstance(value, dict) else str(value)]
    return flags


def read_log(folder: Path) -> list[dict[str, Any]]:
    file = folder / "log.jsonl"
    # A run that was killed may have left an incomplete last line.
    lines = file.read_text(encoding="utf-8").split("\n")[:-1] if file.is_file() else []
    return [json.loads(line) for line in lines]


def train(folder: Path, flags: list[str], processes: int) -> int:
    """Trains an arm, or resumes it. Returns the exit code."""
    launch = ["-m", "accelerate.commands.launch", "--num_processes", str(processes), "--num_machines", "1", "--quiet"]
    # The script's own option decides on the precision.
    launch += ["--dynamo_backend", "no", "--mixed_precision", "no"] + ["--multi_gpu"] * (processes > 1)
    command = [sys.executable, *launch, str(TRAINING), *flags, "--output", str(folder), "--resume", "latest"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    return subprocess.run(command, env=environment).returncode


def describe(name: str, folder: Path) -> list[str] | None:
    """A row of the table, or `None` for an arm without a validation."""
    log = read_log(folder)
    last = next((entry for entry in reversed(log) if "validation_loss" in entry), None)
    if last is None:
        return None
    losses = []
    for suffix in SUFFIXES:
        losses += [last.get(f"validation_loss{suffix}"), last.get(f"validation_mse_by_time{suffix}", [None])[0]]
    text, given = losses[1], losses[-1]
    numbers = [last["validation_loss"], *losses, None if text is None or given is None else text - given]
    minutes = next((entry["minutes"] for entry in reversed(log) if "minutes" in entry), None)
    cells = ["" if number is None else f"{number:.3f}" for number in numbers]
    return [name, str(last["step"]), "" if minutes is None else f"{minutes:.0f}", *cells]


def write_table(arms: list[str], output: Path) -> str:
    near = f"t < {1 / TIME_BINS:g}"
    head = ["arm", "steps", "minutes", "all conditions"]
    for names in ("text", "text, beats", "text, beats, chords"):
        head += [names, f"… {near}"]
    head += [f"first minus last, {near}"]
    rows = [row for row in (describe(name, output / name) for name in arms) if row is not None]
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> int:
    args = parse_args()
    failed = False
    for name in args.only or args.arms:
        folder = args.output / name
        max_steps = args.arms[name].get("max_steps", args.max_steps)
        if all(entry["step"] < max_steps for entry in read_log(folder)):
            code = train(folder, [*args.common, *to_flags(args.arms[name])], args.processes)
            if code:
                failed = True
                print(f"run_ablations: arm {name} failed with exit code {code}; its error is above.", file=sys.stderr)
        table = write_table(list(args.arms), args.output)
        write_text(args.output / "ablations.md", table)
        print(table, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run_command(main, "run_ablations"))
