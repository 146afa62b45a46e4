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

"""Checks of training options before anything is loaded."""

import argparse
import math
from pathlib import Path

from ..data.opening import check_spec, is_synthetic
from ..data.synthetic.rendering import find_soundfonts
from ..evaluation.evaluate import CONDITIONS
from ..utils.optional_imports import import_optional


_COUNTS = (
    "batch_size",
    "max_steps",
    "gradient_accumulation_steps",
    "num_frames",
    "rank",
    "validation_clips",
    "generate_clips",
    "fit_clips",
    "statistics_clips",
    "discriminator_filters",
    "default_num_inference_steps",
)
_NOT_NEGATIVE = (
    "learning_rate",
    "muon_learning_rate",
    "num_workers",
    "warmup_steps",
    "weight_decay",
    "max_minutes",
    "total_minutes",
    "log_every",
    "validate_every",
    "evaluate_every",
    "generate_every",
    "checkpoint_every",
    "checkpoint_minutes",
    "keep_checkpoints",
    "tempo_weight",
    "time_weight",
    "log_weight",
    "complex_weight",
    "octave_weight",
    "bass_weight",
    "commitment_weight",
    "adversarial_weight",
    "feature_weight",
)
_POSITIVE = (
    "max_grad_norm",
    "adam_epsilon",
    "time_power",
    "time_logit_std",
    "words_time_logit_std",
    "snr_gamma",
    "alpha",
    "seconds",
    "default_power",
)
_BELOW_ONE = ("adam_beta1", "adam_beta2", "ema_decay", "lora_dropout", "decay_share")
_SHARES = ("drums_share", "remix", "vary_drums", "only_beats", "context", "default_guidance_rescale")


def check_options(parser: argparse.ArgumentParser, args: argparse.Namespace):
    r"""
    Ends the command with a parser error if any of its options is invalid. See also [`check_resources`].

    Args:
        parser (`argparse.ArgumentParser`): the command's parser.
        args (`argparse.Namespace`): its options.
    """
    for name, value in vars(args).items():
        if (problem := _find_problem(name, value)) is not None:
            parser.error(f"--{name} has to be {problem}, but is {value}.")
    try:
        _check_names(args)
    except ValueError as error:
        parser.error(str(error))


def _find_problem(name: str, value: object) -> str | None:
    """Describes the range that an option's number violates, or returns `None`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    is_share = name in _SHARES or (name.startswith("drop_") and name != "drop_per_batch")
    ranges = [
        (name in _COUNTS, value >= 1, "at least 1"),
        (name == "evaluation_clips", value >= 2, "at least 2, as each clip is also compared with another one"),
        (name in _NOT_NEGATIVE, value >= 0, "0 or more"),
        (name in _POSITIVE, value > 0, "above 0"),
        (name in _BELOW_ONE, 0 <= value < 1, "at least 0 and below 1"),
        (is_share, 0 <= value <= 1, "from 0 to 1"),
        (True, math.isfinite(value), "a finite number"),
    ]
    return next((text for applies, is_valid, text in ranges if applies and not is_valid), None)


def _check_names(args: argparse.Namespace):
    def get(name: str):
        return getattr(args, name, None)

    if get("optimizer") == "muon":
        if get("use_8bit_adam"):
            raise ValueError("--use_8bit_adam can't be used with --optimizer muon.")
        if get("mixed_precision") == "fp16":
            raise ValueError("--mixed_precision has to be bf16 or no with --optimizer muon, but is fp16.")
    if get("total_minutes") is not None and get("lr_scheduler") != "wsd":
        raise ValueError(f"--total_minutes needs --lr_scheduler wsd, but it is {get('lr_scheduler')}.")
    if unknown := sorted(set(get("evaluation_conditions") or ()) - set(CONDITIONS)):
        raise ValueError(
            f"--evaluation_conditions has to contain only {', '.join(CONDITIONS)}, but contains {', '.join(unknown)}."
        )
    weights = get("dataset_weights")
    if weights is not None and (len(weights) != len(args.dataset) or not all(0 < w < math.inf for w in weights)):
        raise ValueError(
            f"--dataset_weights has to be one number above 0 for each of the {len(args.dataset)} datasets, but is"
            f" {weights}."
        )


def check_resources(args: argparse.Namespace):
    r"""
    Checks that the datasets and packages needed to train the transformer exist, without loading them.

    Args:
        args (`argparse.Namespace`): the options of `training/train_jasco.py` or `training/train_jasco_lora.py`.

    Raises:
        `ValueError`, `FileNotFoundError`: for a dataset or a sound font that does not exist.
        `ImportError`: for a package that is not installed.
    """
    if args.use_8bit_adam:
        import_optional("bitsandbytes.optim", "bitsandbytes")
    only = getattr(args, "only", None)  # not an option of LoRA training
    for spec in (*([] if only else args.dataset), args.validation_dataset):
        if spec is not None:
            check_spec(spec)
    if not (args.evaluate_every or args.generate_every or only in ("evaluate", "generate")):
        return
    if args.evaluation_dataset == "synthetic":
        find_soundfonts(args.renderer)
    elif not Path(args.evaluation_dataset, "metadata.jsonl").is_file():
        hint = " Set the number of clips with --evaluation_clips." if is_synthetic(args.evaluation_dataset) else ""
        raise ValueError(
            "--evaluation_dataset has to be `synthetic` or a folder with metadata.jsonl (such as a split of a prepared"
            f" folder), but is {args.evaluation_dataset}.{hint}"
        )
