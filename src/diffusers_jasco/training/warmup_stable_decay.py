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

"""A learning rate schedule whose end can be set during training."""

from typing import Any

import torch


class WarmupStableDecay(torch.optim.lr_scheduler.LRScheduler):
    r"""
    Warmup, a constant learning rate, and a linear decay to 0 (Hu et al., 2024,
    [arXiv 2404.06395](https://arxiv.org/abs/2404.06395), §4). While the rate is constant, the length of the run can
    still be changed: a resumed run may have another `max_steps`, and [`start_decay`] starts the decay early.

    Args:
        optimizer (`torch.optim.Optimizer`): the optimizer.
        warmup_steps (`int`):
            Steps of the linear warmup from 0. If the decay starts before its end, the rate decays from the value that it
            has reached.
        max_steps (`int`): steps of the run.
        decay_share (`float`): share of the run, at its end, in which the rate decays; at least 0 and below 1.
        total_minutes (`float`, *optional*): minutes of the run, after whose stable part the caller calls [`start_decay`].

    Attributes:
        max_steps (`int`): the step at which the rate reaches 0 and the run ends.
        decay_start (`int`): the step at which the decay starts.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        warmup_steps: int,
        max_steps: int,
        decay_share: float,
        total_minutes: float | None = None,
    ):
        self.warmup_steps = warmup_steps
        self.total_minutes = total_minutes
        self.requested = max_steps, decay_share
        self._set_end(0)
        super().__init__(optimizer)

    def _set_end(self, step: int):
        """Sets the decay to the end of the run, but not before a step, up to which the rate has been constant."""
        self.max_steps, share = self.requested
        self.decay_start = max(self.max_steps - round(share * self.max_steps), step)

    def get_lr(self) -> list[float | torch.Tensor]:
        """Returns the learning rates of the current step."""
        step = self.last_epoch
        factor = min(min(step, self.decay_start) / self.warmup_steps, 1.0) if self.warmup_steps else 1.0
        if step > self.decay_start:
            factor *= max(self.max_steps - step, 0) / max(self.max_steps - self.decay_start, 1)
        return [rate * factor for rate in self.base_lrs]

    def start_decay(self):
        """
        Starts the decay at the current step, unless it has started. Its length is `decay_share` of the run that ends
        with it, but it does not exceed `max_steps`.
        """
        step, share = self.last_epoch, self.requested[1]
        if step < self.decay_start:
            self.decay_start = step
            self.max_steps = min(step + round(step * share / (1 - share)), self.max_steps)

    def load_state_dict(self, state_dict: dict[str, Any]):
        r"""
        Restores the schedule. A length that differs from that of the checkpoint replaces it.

        Raises:
            `ValueError`: if the length differs although the decay has started.
        """
        requested, total_minutes = self.requested, self.total_minutes
        # Older checkpoints have no `total_minutes`.
        super().load_state_dict(state_dict)
        if (requested, total_minutes) == (self.requested, self.total_minutes):
            return
        if self.last_epoch > self.decay_start:
            raise ValueError(
                f"`max_steps`, `decay_share` and `total_minutes` have to stay {self.requested[0]}, {self.requested[1]:g}"
                f" and {self.total_minutes}, because the learning rate has been decaying since step {self.decay_start}:"
                " resume from a checkpoint before that step, or with the same length."
            )
        self.total_minutes = total_minutes
        if requested != self.requested:
            self.requested = requested
            self._set_end(self.last_epoch)
