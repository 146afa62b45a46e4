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

"""Options of the training scripts. Flags override the configuration file, which overrides the defaults."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

from ..controls import CONTROLS
from ..evaluation.metrics.sample_sizes import MIN_CLIPS
from ..utils.files import replace_file
from .optimization import LR_SCHEDULERS, OPTIMIZERS
from .recipes import OBJECTIVE


CONFIG_FILE = "config.yaml"  # the run's options, in the run folder

_SWITCH = {"action": argparse.BooleanOptionalAction, "default": False}


class CpuSwitch(argparse.BooleanOptionalAction):
    """An action for `--cpu` and `--no-cpu`. The latter is an error on a machine without an accelerator."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ):
        if option.startswith("--no-") and not torch.accelerator.is_available():
            parser.error("--no-cpu needs a GPU or another accelerator, but PyTorch finds none.")
        super().__call__(parser, namespace, values, option)


def mapping(value: str | dict) -> dict:
    """Argument type for a dictionary, written as YAML on the command line: `"{num_layers: 4, dropout: 0.1}"`."""
    value = yaml.safe_load(value) if isinstance(value, str) else value
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"has to be a mapping such as '{{num_layers: 4}}', but is {value!r}")
    return value


def add_training_options(parser: argparse.ArgumentParser):
    """Adds the options shared by all scripts that train the transformer: files, data, objective, optimization, run."""
    add_folder_options(parser.add_argument_group("input and output").add_argument)
    _add_data_options(parser.add_argument_group("data").add_argument)
    about = "Continued training keeps the objective of the checkpoint, except that LoRAs have their own dropout."
    _add_objective_options(parser.add_argument_group("objective", about).add_argument)
    _add_optimization_options(parser.add_argument_group("optimization").add_argument)
    _add_run_options(parser.add_argument_group("logging, validation and checkpoints").add_argument)


def add_folder_options(add: Callable):
    """Adds the options of all training runs about their configuration and their folder."""
    add("--config", help="YAML file with any of these options.")
    add("--output", help="The run folder.")
    add(
        "--resume",
        help='"latest", a step or a checkpoint folder to resume from; "latest" starts a new run if there is none.',
    )


def add_checkpoint_options(add: Callable):
    """Adds the options of all training runs about their checkpoints and their time limit."""
    add("--max_minutes", type=float, help="Stop after this many minutes.")
    add("--checkpoint_every", type=int, default=0, help="Steps between checkpoints; 0: never.")
    add(
        "--checkpoint_minutes",
        type=float,
        default=10.0,
        help="Minutes between checkpoints; 0: never. A run also saves one when it stops.",
    )
    add("--keep_checkpoints", type=int, default=2, help="Number of checkpoints to keep; 0 keeps all.")


def _add_data_options(add: Callable):
    add("--dataset", nargs="+", help='Feature caches, prepared folders, Hub ids, "synthetic" or "synthetic:<clips>".')
    add(
        "--dataset_weights",
        type=float,
        nargs="+",
        help="Relative sampling weights of the datasets; default: their sizes, which are unknown for streams and growing"
        " caches.",
    )
    add("--validation_dataset", help="Dataset for validation; default: no validation.")
    add("--streaming", **_SWITCH, help="Stream datasets from the Hub instead of downloading them first.")
    add("--num_frames", type=int, help="Latent frames per sample; default: the shortest clip's, at most 10 s.")
    add("--remix", type=float, default=0.0, help="Probability of remixing the stems of a clip; needs audio.")
    add("--vary_drums", type=float, default=0.0, help="Probability of drum controls that are quiet or have bleed.")
    add("--batch_size", type=int, default=4, help="Samples per batch in each process.")
    add("--num_workers", type=int, default=0, help="Number of data loader workers.")
    add(
        "--renderer",
        choices=["fluidsynth", "tinysoundfont"],
        default="fluidsynth",
        help="Renderer of synthetic music.",
    )
    add("--seed", type=int, default=0, help="Seed for all random numbers.")


def _add_objective_options(add: Callable):
    samplings, weightings = ["uniform", "logit_normal", "power"], ["uniform", "increasing", "decreasing", "min_snr"]
    switch = {"action": argparse.BooleanOptionalAction}
    options = {
        "time_sampling": ({"choices": samplings}, "Distribution of the training times."),
        "time_power": ({"type": float}, "t = u^power with `--time_sampling power`."),
        "time_logit_mean": ({"type": float}, "With `--time_sampling logit_normal`."),
        "time_logit_std": ({"type": float}, "With `--time_sampling logit_normal`."),
        "words_time_logit_mean": (
            {"type": float},
            "Mean of a logit-normal distribution of times for samples with text and at most beats; default: as others.",
        ),
        "words_time_logit_std": ({"type": float}, "With `--words_time_logit_mean`."),
        "loss_weighting": ({"choices": weightings}, "Weight at time t: 1, 1 + t, 2 - t or min(t², γ (1 - t)²)."),
        "snr_gamma": ({"type": float}, "γ of `--loss_weighting min_snr`."),
        "tempo_weight": ({"type": float}, "Weight of the tempo model's loss; above 0, it is trained, too."),
        "drop_all": ({"type": float}, "Probability of dropping all conditions."),
        "drop_controls": ({"type": float}, "Probability of dropping all controls, which leaves the text only."),
        "only_beats": ({"type": float}, "Probability of dropping all controls but the beats, which are kept."),
        "drop_text": ({"type": float}, "Probability of dropping the text."),
        **{f"drop_{name}": ({"type": float}, f"Probability of dropping {name}.") for name in CONTROLS},
        "drop_span": ({"type": float}, "Probability of keeping a control for only part of the clip."),
        "drop_per_batch": (switch, "Drop the same conditions for all samples of a batch, as in AudioCraft."),
        "context": (
            {"type": float},
            "Probability that parts of a clip are known, to learn to regenerate the others; needs this option of the"
            " transformer.",
        ),
    }
    for name, (kind, text) in options.items():
        # None: inherited from the checkpoint, see `training/recipes.py`.
        add(f"--{name}", **kind, default=None, help=f"{text} From scratch: {OBJECTIVE[name]}.")


def _add_optimization_options(add: Callable):
    # None: the default depends on whether training starts from scratch, see `training/recipes.py`.
    add("--max_steps", type=int, help="Total steps; the learning rate decays to 0 by then. From scratch: 1000.")
    add("--total_minutes", type=float, help="With `wsd`: end the run after about this many minutes over all its legs.")
    add("--optimizer", choices=OPTIMIZERS, default="adamw", help="muon: Muon for the matrices of the blocks.")
    add("--learning_rate", type=float, help="Peak learning rate. From scratch: 1e-4.")
    add("--muon_learning_rate", type=float, help="Peak learning rate of Muon; default: `--learning_rate`.")
    add(
        "--lr_scheduler",
        choices=LR_SCHEDULERS,
        default="cosine",
        help="Diffusers' schedules, and wsd: warmup, constant, linear decay.",
    )
    add(
        "--decay_share", type=float, default=0.25, help="With `wsd`: share of the run that the decay at its end takes."
    )
    add("--warmup_steps", type=int, help="Warmup steps of the learning rate. From scratch: 0.")
    add("--adam_beta1", type=float, default=0.9, help="β1 of AdamW.")
    add("--adam_beta2", type=float, default=0.95, help="β2 of AdamW.")
    add("--adam_epsilon", type=float, default=1e-8, help="ε of AdamW.")
    add("--use_8bit_adam", **_SWITCH, help="Use 8-bit AdamW (bitsandbytes).")
    add("--weight_decay", type=float, default=0.01, help="Not used for biases, norms and embeddings.")
    add("--max_grad_norm", type=float, default=1.0, help="Maximum norm for gradient clipping.")
    add("--gradient_accumulation_steps", type=int, default=1, help="Batches per step.")
    add("--mixed_precision", choices=["no", "fp16", "bf16"], default="no", help="Compute precision.")
    add("--cpu", action=CpuSwitch, default=False, help="Train on the CPU even if there is a GPU.")


def _add_run_options(add: Callable):
    add("--log_every", type=int, default=20, help="Steps between log entries.")
    add(
        "--log_with",
        choices=["tensorboard", "wandb", "none"],
        default="tensorboard",
        help="Tracker, in addition to log.jsonl.",
    )
    add("--validate_every", type=int, default=500, help="Steps between validations.")
    add("--validation_clips", type=int, default=64, help="Maximum number of clips for validation.")
    add("--evaluate_every", type=int, default=0, help="Steps between evaluations; 0: never.")
    add(
        "--evaluation_dataset",
        default="synthetic",
        help="Folder with metadata.jsonl, whose captions and controls are requested in evaluations.",
    )
    add("--evaluation_clips", type=int, default=32, help="Maximum number of clips for evaluation.")
    add("--min_clips", type=int, default=MIN_CLIPS, help="Metrics computed from fewer clips are not logged.")
    add(
        "--evaluation_conditions",
        nargs="+",
        default=["all", "none"],
        help="Evaluation settings: the conditions that are passed.",
    )
    add("--generate_every", type=int, default=0, help="Steps between samples; 0: never.")
    add("--generate_clips", type=int, default=4, help="Number of evaluation clips to generate samples for.")
    add_checkpoint_options(add)


def parse_with_config(parser: argparse.ArgumentParser, args: list[str] | None = None) -> argparse.Namespace:
    r"""
    Parses the command line, with defaults from the YAML file of `--config`, whose keys are the names of the flags.
    Mappings are merged: those of a flag are added to those of the file. With `--resume` or `--only`, the file defaults
    to the one in the run folder.

    Args:
        parser (`argparse.ArgumentParser`):
            A parser that has `--config`; it reports mistakes in the file as its errors.
        args (`list[str]`, *optional*): the command line; defaults to that of the process.
    """
    args = sys.argv[1:] if args is None else args
    known = parser.parse_known_args(args)[0]
    # A resumed run keeps its original options.
    uses_run_folder = known.resume or getattr(known, "only", None)
    if known.config is None and uses_run_folder and Path(known.output or "", CONFIG_FILE).is_file():
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
    """Writes the run's options into its folder, for [`parse_with_config`], except those about how it was started."""
    config = {name: value for name, value in vars(args).items() if name not in ("config", "resume", "only", "best")}
    with replace_file(Path(args.output, CONFIG_FILE)) as partial:
        partial.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def _check_value(action: argparse.Action, value: Any) -> Any:
    """Converts a value of the configuration file as its flag would. (YAML reads 2e-3 as a string.)"""
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
