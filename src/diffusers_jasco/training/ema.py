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

"""Exponential moving average (EMA) of the weights, which a run's pipeline uses."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor


class EMA(EMAModel):
    """Diffusers' [`EMAModel`] with support for FSDP: its state dict holds unsharded weights."""

    @torch.no_grad()
    def step(self, parameters: Iterable[torch.nn.Parameter]):
        """As [`EMAModel.step`], but in place: copying all weights first would take most of the time."""
        self.optimization_step += 1
        self.cur_decay_value = self.get_decay(self.optimization_step)
        torch._foreach_lerp_(self.shadow_params, list(parameters), 1 - self.cur_decay_value)

    def state_dict(self) -> dict[str, Any]:
        """As [`EMAModel.state_dict`]. With sharded weights, all processes have to call it."""
        state = super().state_dict()
        state["shadow_params"] = [_whole(weight) for weight in self.shadow_params]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]):
        """As [`EMAModel.load_state_dict`]. The weights keep their device and sharding."""
        before = self.shadow_params
        super().load_state_dict(state_dict)
        self.shadow_params = [
            distribute_tensor(new.to(old.device), old.device_mesh, old.placements)
            if isinstance(old, DTensor)
            else new.to(old.device)
            for new, old in zip(self.shadow_params, before, strict=True)
        ]

    @contextmanager
    def applied(self, module: torch.nn.Module) -> Iterator[None]:
        """Context in which the weights of the averaged module are replaced by their averages."""
        self._exchange(module)
        try:
            yield
        finally:
            for part in module.modules():
                # FSDP keeps some weights unsharded after a forward pass without a backward pass.
                if isinstance(part, FSDPModule):
                    part.reshard()
            self._exchange(module)

    @torch.no_grad()
    def _exchange(self, module: torch.nn.Module):
        # One by one and in place, to save memory and to keep FSDP's references valid.
        for weight, average in zip(module.parameters(), self.shadow_params, strict=True):
            kept = weight.detach().clone()
            weight.copy_(average)
            average.copy_(kept)

    @torch.no_grad()
    def copy_whole_to(self, module: torch.nn.Module | None):
        r"""
        Copies the unsharded averages into another module of the same architecture. With sharded weights, all processes
        have to call it, those that do not need the averages with `None`.

        Args:
            module (`torch.nn.Module`, *optional*): the module to copy into.
        """
        wholes = map(_whole, self.shadow_params)
        for weight, average in zip(
            [None] * len(self.shadow_params) if module is None else module.parameters(), wholes
        ):
            if weight is not None:
                weight.copy_(average)


def _whole(weight: torch.Tensor) -> torch.Tensor:
    return weight.full_tensor() if isinstance(weight, DTensor) else weight
