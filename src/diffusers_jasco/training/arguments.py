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

"""Options of training scripts: flags, over a configuration file, over defaults."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from ..controls import CONTROLS
from ..evaluation.metrics.sample_sizes import MIN_CLIPS
from ..utils.files import replace_file
from .recipes import OBJECTIVE


CONFIG_FILE = "config.yaml"  # a run's options, in its folder

_SWITCH = {"action": argparse.BooleanOptionalAction, "default": False}


def mapping(value: str | dict) -> dict:
    """A dictionary, written as YAML on the command line: `"{num_layers: 4, dropout: 0.1}"`."""
    value = yaml.safe_load(value) if isinstance(value, str) else value
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"has to be a mapping such as '{{num_layers: 4}}', but is {value!r}")
    return value


def add_training_options(parser: argparse.ArgumentParser):
    """The options of all trainings of the transformer: files, data, objective, optimization and course."""
    add = parser.add_argument_group("what goes in and out").add_argument
    add("--config", help="YAML file with any of these options.")
    add("--output", help="The run folder.")
    add("--resume", help='"latest", a step or a checkpoint folder to go on from; "latest" may be absent.')
    _add_data_options(parser.add_argument_group("data").add_argument)
    about = "As the checkpoint was trained, if training continues one; a LoRA has its own dropout."
    _add_objective_options(parser.add_argument_group("objective", about).add_argument)
    _add_optimization_options(parser.add_argument_group("optimization").add_argument)
    _add_course_options(parser.add_argument_group("course").add_argument)


def _add_data_options(add: Callable):
    add("--dataset", nargs="+", help='Feature caches, prepared folders, Hub ids, "synthetic" or "synthetic:<clips>".')
    add(
        "--dataset_weights",
        type=float,
        nargs="+",
        help="How often a clip is from each data set; default: their sizes, which streams do not tell.",
    )
    add("--validation_dataset", help="Data set of the validation; without one there is none.")
    add("--streaming", **_SWITCH, help="Read data sets of the Hub while training, instead of loading them before.")
    add("--num_frames", type=int, help="Frames of a sample; by default those of the shortest clip, at most 10 s.")
    add("--batch_size", type=int, default=4, help="Samples per batch of each process.")
    add("--num_workers", type=int, default=0, help="Loader processes.")
    add(
        "--renderer", choices=["fluidsynth", "tinysoundfont"], default="fluidsynth", help="What plays synthetic music."
    )
    add("--seed", type=int, default=0, help="Seed of everything.")


def _add_objective_options(add: Callable):
    samplings, weightings = ["uniform", "logit_normal", "power"], ["uniform", "increasing", "decreasing", "min_snr"]
    switch = {"action": argparse.BooleanOptionalAction}
    options = {
        "time_sampling": ({"choices": samplings}, "Times of training."),
        "time_power": ({"type": float}, "t = u^power with `--time_sampling power`."),
        "time_logit_mean": ({"type": float}, "With `--time_sampling logit_normal`."),
        "time_logit_std": ({"type": float}, "With `--time_sampling logit_normal`."),
        "loss_weighting": ({"choices": weightings}, "1, 1 + t, 2 - t or min(t², γ (1 - t)²)."),
        "snr_gamma": ({"type": float}, "γ of `--loss_weighting min_snr`."),
        "drop_all": ({"type": float}, "How often a sample is trained without any condition."),
        "drop_controls": ({"type": float}, "How often a sample is trained with its text alone."),
        "drop_text": ({"type": float}, "How often a sample is trained without text."),
        **{f"drop_{name}": ({"type": float}, f"How often a sample is trained without {name}.") for name in CONTROLS},
        "drop_span": ({"type": float}, "How often a control is there for a part of the clip only."),
        "drop_per_batch": (switch, "Drop for the samples of a batch together, as in AudioCraft."),
    }
    for name, (kind, text) in options.items():
        # None: as the checkpoint was trained, see `training/recipes.py`.
        add(f"--{name}", **kind, default=None, help=f"{text} From scratch: {OBJECTIVE[name]}.")


def _add_optimization_options(add: Callable):
    # None: a default for training from scratch or for continued training, see `training/recipes.py`.
    add("--max_steps", type=int, help="Steps in total, by which the learning rate falls to 0. From scratch: 1000.")
    add("--learning_rate", type=float, help="Highest learning rate. From scratch: 1e-4.")
    add("--lr_scheduler", default="cosine", help="cosine, linear, constant_with_warmup, or any other of Diffusers'.")
    add("--warmup_steps", type=int, help="Steps in which the learning rate rises. From scratch: 0.")
    add("--adam_beta1", type=float, default=0.9, help="AdamW.")
    add("--adam_beta2", type=float, default=0.95, help="AdamW.")
    add("--adam_epsilon", type=float, default=1e-8, help="AdamW.")
    add("--use_8bit_adam", **_SWITCH, help="AdamW with its averages in 8 bit (bitsandbytes).")
    add("--weight_decay", type=float, default=0.01, help="AdamW; not of biases, norms and embeddings.")
    add("--max_grad_norm", type=float, default=1.0, help="Gradients are clipped to this norm.")
    add("--gradient_accumulation_steps", type=int, default=1, help="Batches per step.")
    add("--mixed_precision", choices=["no", "fp16", "bf16"], default="no", help="Type of the computation.")
    add("--cpu", **_SWITCH, help="Train on the CPU, even where there is a GPU.")


def _add_course_options(add: Callable):
    add("--max_minutes", type=float, help="Stop after so much time.")
    add("--log_every", type=int, default=20, help="Steps.")
    add("--log_with", choices=["tensorboard", "wandb", "none"], default="tensorboard", help="Beside log.jsonl.")
    add("--validate_every", type=int, default=500, help="Steps.")
    add("--validation_clips", type=int, default=64, help="At most so many clips are used for validation.")
    add("--evaluate_every", type=int, default=0, help="Steps; 0: never.")
    add(
        "--evaluation_dataset",
        default="synthetic",
        help="Folder with metadata.jsonl, whose captions and controls are asked for.",
    )
    add("--evaluation_clips", type=int, default=32, help="At most so many clips of it.")
    add("--min_clips", type=int, default=MIN_CLIPS, help="Scores of metrics from fewer clips are not logged.")
    add("--evaluation_conditions", nargs="+", default=["all", "none"], help="What of them is given.")
    add("--generate_every", type=int, default=0, help="Steps; 0: never.")
    add("--generate_clips", type=int, default=4, help="So many clips of the evaluation's.")
    add("--checkpoint_every", type=int, default=0, help="Steps; 0: never.")
    add("--checkpoint_minutes", type=float, default=10.0, help="Minutes; 0: never. There is one at the end too.")
    add("--keep_checkpoints", type=int, default=2, help="Older ones are deleted; 0 keeps all.")


def parse_with_config(parser: argparse.ArgumentParser, args: list[str] | None = None) -> argparse.Namespace:
    r"""
    Reads the flags, and what they leave open from the YAML file of `--config`, whose keys are the flags' names. What a flag
    says about a mapping is added to what the file says. A run that is resumed, or looked at by `--only`, has the file in its
    folder unless another is given.

    Args:
        parser (`argparse.ArgumentParser`): a parser that has `--config`; mistakes in the file are its errors.
        args (`list[str]`, *optional*): the command line, by default that of the process.
    """
    args = sys.argv[1:] if args is None else args
    known = parser.parse_known_args(args)[0]
    # What was begun goes on as it was.
    goes_on = known.resume or getattr(known, "only", None)
    if known.config is None and goes_on and Path(known.output or "", CONFIG_FILE).is_file():
        args = ["--config", str(Path(known.output, CONFIG_FILE)), *args]
    file = parser.parse_known_args(args)[0].config
    config = {}
    if file is not None:
        try:
            config = yaml.safe_load(Path(file).read_text(encoding="utf-8")) or {}
        except (OSError, yaml.YAMLError) as error:
            parser.error(f"--config: {error}")
        actions = {action.dest: action for action in parser._actions if action.dest not in ("help", "config")}
        if unknown := sorted(set(config) - set(actions)):
            parser.error(f"{file}: unknown keys {', '.join(unknown)}. There are: {', '.join(actions)}.")
        for key, value in config.items():
            try:
                config[key] = _check_value(actions[key], value)
            except (ValueError, argparse.ArgumentTypeError) as error:
                parser.error(f"{file}: {key}: {error}")
        parser.set_defaults(**config)
    args = parser.parse_args(args)
    for action in parser._actions:
        if action.type is mapping:
            setattr(args, action.dest, config.get(action.dest, {}) | getattr(args, action.dest))
    return args


def write_config(args: argparse.Namespace):
    """Writes a run's options into its folder, for [`parse_with_config`]; not how it was begun."""
    config = {name: value for name, value in vars(args).items() if name not in ("config", "resume", "only", "best")}
    with replace_file(Path(args.output, CONFIG_FILE)) as partial:
        partial.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def _check_value(action: argparse.Action, value: Any) -> Any:
    """A value of the configuration file, as the flag would have given it. YAML reads 2e-3 as a text."""
    if value is None:
        return action.default
    if isinstance(action, argparse.BooleanOptionalAction):
        if not isinstance(value, bool):
            raise ValueError(f"has to be true or false, but is {value!r}")
        return value
    if action.type is mapping:
        return mapping(value)
    if action.nargs == "+":
        return [_convert(action, item) for item in (value if isinstance(value, list) else [value])]
    return _convert(action, value)


def _convert(action: argparse.Action, value: Any) -> Any:
    value = (action.type or str)(str(value))
    if action.choices is not None and value not in action.choices:
        raise ValueError(f"has to be one of {', '.join(action.choices)}, but is {value!r}")
    return value
