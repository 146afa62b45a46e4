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

"""Training options that a checkpoint stores in its configuration, and that continued training inherits."""

import argparse
import os
from collections.abc import Mapping
from typing import Any

from diffusers.utils import logging

from ..controls import CONTROLS
from ..models.transformer_jasco import JascoTransformerModel
from ..utils.bundled import resolve_checkpoint


logger = logging.get_logger(__name__)

# Defaults for training from scratch, as in AudioCraft.
OBJECTIVE = {
    "time_sampling": "uniform",
    "time_power": 2.0,
    "time_logit_mean": 0.0,
    "time_logit_std": 1.0,
    "words_time_logit_mean": None,
    "words_time_logit_std": 1.0,
    "loss_weighting": "increasing",
    "snr_gamma": 5.0,
    "tempo_weight": 0.0,
    "drop_all": 0.2,
    "drop_controls": 0.0,
    "only_beats": 0.0,
    "drop_text": 0.0,
    **{f"drop_{name}": 0.5 for name in CONTROLS},
    "drop_span": 0.0,
    "drop_per_batch": False,
    "context": 0.0,
}
SCHEDULE = {"learning_rate": 1e-4, "max_steps": 1000, "warmup_steps": 0}
FINE_TUNING_SHARE = 0.1  # learning rate of continued training, relative to that of training from scratch
FINE_TUNING = {"max_steps": 500, "warmup_steps": 20}  # enough for some hours of music
# Options whose defaults depend on the checkpoint. They are `None` until [`inherit_options`].
INHERITED = (*OBJECTIVE, *SCHEDULE)


def read_training_options(source: str | os.PathLike) -> dict[str, Any]:
    r"""
    Reads the options that a checkpoint was trained with from its transformer's configuration.

    Args:
        source (`str` or `os.PathLike`):
            A pipeline or run folder, the Hub id of a pipeline, or the name of a model that ships with this package.

    Returns:
        `dict`: the options; empty for a checkpoint that does not store them, such as AudioCraft's.
    """
    try:
        folder = os.fspath(resolve_checkpoint(source))
        config = JascoTransformerModel.load_config(folder, subfolder="transformer")
    # A source that does not exist is reported when its weights are loaded.
    except (OSError, ValueError):
        return {}
    options = config.get("training_options")
    return dict(options) if isinstance(options, Mapping) else {}


def inherit_options(args: argparse.Namespace, source: str | os.PathLike | None) -> str | None:
    r"""
    Fills in missing options of the objective and the schedule. Continued training uses the checkpoint's objective and
    a fine-tuning schedule, training from scratch the defaults.

    Args:
        args (`argparse.Namespace`): the options, changed in place; missing ones are `None`.
        source (`str` or `os.PathLike`, *optional*): the checkpoint that training continues from.

    Returns:
        `str`: a message about the options that were filled in, or `None` for training from scratch.
    """
    missing = [name for name in INHERITED if getattr(args, name) is None]
    if not missing:
        return None
    if source is None:
        vars(args).update({name: (OBJECTIVE | SCHEDULE)[name] for name in missing})
        return None
    inherited = read_training_options(source)
    learning_rate = inherited.get("learning_rate", SCHEDULE["learning_rate"])
    defaults = OBJECTIVE | {name: value for name, value in inherited.items() if name in OBJECTIVE}
    defaults |= FINE_TUNING | {"learning_rate": FINE_TUNING_SHARE * learning_rate}
    vars(args).update({name: defaults[name] for name in missing})
    schedule = ", ".join(f"--{name} {getattr(args, name):g}" for name in SCHEDULE if name in missing)
    taken = {name: getattr(args, name) for name in missing if name in inherited and name in OBJECTIVE}
    listed = ", ".join(f"{name} {value}" for name, value in taken.items() if value != OBJECTIVE[name])
    objective = f"It keeps its objective: {listed or 'the default'}." if taken else "Its objective is unknown."
    return f"Fine-tuning {source}{f' with {schedule}' if schedule else ''}. {objective}"


def options_to_record(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the options to store in a checkpoint: the objective and the learning rate of training from scratch."""
    options = {name: getattr(args, name) for name in OBJECTIVE}
    source = getattr(args, "continue_from", None)
    before = {} if source is None else read_training_options(source)
    # Fine-tuning a fine-tuned model should not reduce the learning rate again.
    return options | {"learning_rate": before.get("learning_rate", args.learning_rate)}


def warn_of_high_learning_rate(args: argparse.Namespace):
    """Warns if continued training uses a learning rate for training from scratch."""
    if args.continue_from is None:
        return
    learning_rate = read_training_options(args.continue_from).get("learning_rate")
    if learning_rate is not None and args.learning_rate > 0.5 * learning_rate:
        logger.warning(
            f"--learning_rate {args.learning_rate:g} is high for continued training: {args.continue_from} was trained"
            f" from scratch with {learning_rate:g}, and will forget much of what it has learned. The default is"
            f" {FINE_TUNING_SHARE * learning_rate:g}."
        )
