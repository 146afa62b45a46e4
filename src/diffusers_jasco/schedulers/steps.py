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

"""The default number of steps of a scheduler, and checks of steps and sigmas."""

import copy
from typing import Any

import numpy as np
import torch
from diffusers.configuration_utils import ConfigMixin
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from diffusers.utils import logging

from ..utils.errors import InputError, shorten
from ..utils.numbers import is_number, to_integer


logger = logging.get_logger(__name__)

# Key in a scheduler's configuration. `from_config` preserves it even for schedulers without this argument.
STEPS_KEY = "num_inference_steps"
# Key of the grid of calls with the default number of steps, such as that which a model was distilled for.
SIGMAS_KEY = "inference_sigmas"
# Number of steps if the configuration has no such key.
DEFAULT_STEPS = 100
MAX_STEPS = 100_000


def is_adaptive(scheduler: SchedulerMixin) -> bool:
    """Whether a scheduler chooses its own number of steps."""
    return hasattr(scheduler, "accepted_sample")


def default_steps(scheduler: SchedulerMixin) -> int | None:
    """The default number of steps, from the scheduler's configuration; `None` if the scheduler is adaptive."""
    if is_adaptive(scheduler):
        return None
    steps = stored_steps(scheduler)
    return DEFAULT_STEPS if steps is None else check_steps(steps)


def stored_steps(scheduler: Any) -> int | None:
    """The number of steps in a scheduler's configuration, or `None`."""
    return scheduler.config.get(STEPS_KEY) if isinstance(scheduler, ConfigMixin) else None


def stored_sigmas(scheduler: Any) -> list[float] | None:
    """The grid in a scheduler's configuration, which calls with as many steps and without `sigmas` use, or `None`."""
    return scheduler.config.get(SIGMAS_KEY) if isinstance(scheduler, ConfigMixin) else None


def set_default_steps(scheduler: ConfigMixin, steps: int):
    """Sets the number of steps in a scheduler's configuration, and removes its grid if that has another number."""
    values: dict[str, Any] = {STEPS_KEY: check_steps(steps)}
    sigmas = stored_sigmas(scheduler)
    if sigmas and len(sigmas) != values[STEPS_KEY]:
        logger.warning(
            f"The scheduler's grid is removed, as it has {len(sigmas)} steps, and not {values[STEPS_KEY]}: the default is"
            " a uniform grid now."
        )
        values[SIGMAS_KEY] = None
    scheduler.register_to_config(**values)


def with_default_steps(scheduler: Any, steps: int | None) -> Any:
    """Returns the scheduler, or a copy with `steps` as its default if its configuration has no number of steps."""
    if steps is None or stored_steps(scheduler) is not None or not isinstance(scheduler, ConfigMixin):
        return scheduler
    scheduler = copy.copy(scheduler)
    scheduler.register_to_config(**{STEPS_KEY: check_steps(steps)})
    return scheduler


def partial_sigmas(scheduler: SchedulerMixin, num_inference_steps: int, strength: float) -> np.ndarray:
    r"""
    The grid of a call that begins at a sigma below 1.

    Args:
        scheduler ([`~diffusers.SchedulerMixin`]): the scheduler.
        num_inference_steps (`int`): number of steps from sigma 1.
        strength (`float`): sigma at the beginning, above 0 and at most 1, before the scheduler's shift, if it has one.

    Returns:
        `np.ndarray`: `strength`, and the lower sigmas of the grid in the scheduler's configuration, if that has as many
        steps (without the first one if it is much closer to `strength` than to the next one); otherwise the share
        `strength` of the steps, of equal length.
    """
    stored = stored_sigmas(scheduler)
    if stored and len(stored) == num_inference_steps:
        sigmas = check_sigmas(stored)
        lower = [*sigmas[sigmas < strength], 0.0]
        # A very short first step would cost an evaluation, and solvers of higher order would extrapolate far from it.
        if len(lower) > 1 and strength - lower[0] < 0.1 * (lower[0] - lower[1]):
            del lower[0]
        return np.array([strength, *lower[:-1]])
    steps = max(1, round(num_inference_steps * strength))
    return strength * np.linspace(1.0, 1.0 / steps, steps)


def check_steps(num_inference_steps: Any) -> int:
    """Returns a number of steps as an `int`; raises an [`~inputs.InputError`] unless it is a positive whole number."""
    return to_integer(num_inference_steps, "num_inference_steps", minimum=1, maximum=MAX_STEPS)


def check_sigmas(sigmas: Any) -> np.ndarray:
    r"""
    Args:
        sigmas (`list[float]`, `np.ndarray` or `torch.Tensor`): the grid.

    Returns:
        `np.ndarray` of shape `(steps,)`, in float64.

    Raises:
        [`~inputs.InputError`]: unless these are strictly decreasing numbers in (0, 1].
    """
    if isinstance(sigmas, torch.Tensor):
        sigmas = sigmas.detach().double().cpu().numpy()
    if not isinstance(sigmas, (list, tuple, np.ndarray)) or not np.ndim(sigmas):
        raise InputError(f"`sigmas` has to be a list of numbers, but is {shorten(sigmas)}.", "sigmas")
    if not 0 < len(sigmas) <= MAX_STEPS:
        raise InputError(f"`sigmas` has to have 1 to {MAX_STEPS} numbers, but has {len(sigmas)}.", "sigmas")
    for i, sigma in enumerate(sigmas):
        if not (is_number(sigma) and 0 < sigma <= 1):
            raise InputError(f"`sigmas[{i}]` has to be a number in (0, 1], but is {shorten(sigma)}.", "sigmas", i)
        if i and not sigma < sigmas[i - 1]:
            raise InputError(
                f"`sigmas` have to decrease from noise (1) to data (0), but `sigmas[{i}]` is {shorten(sigma)} after"
                f" {shorten(sigmas[i - 1])}.",
                "sigmas",
                i,
            )
    return np.array([float(sigma) for sigma in sigmas])
