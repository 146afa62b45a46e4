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

"""The average of the weights over the training, which is what a run's pipeline has."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor


class EMA(EMAModel):
    """Diffusers' exponential moving average, also of weights that FSDP spreads over processes: its state is whole."""

    @torch.no_grad()
    def step(self, parameters: Iterable[torch.nn.Parameter]):
        """As [`EMAModel.step`], but in place: that one makes a copy of all weights first, which takes most of its time."""
        self.optimization_step += 1
        self.cur_decay_value = self.get_decay(self.optimization_step)
        torch._foreach_lerp_(self.shadow_params, list(parameters), 1 - self.cur_decay_value)

    def state_dict(self) -> dict[str, Any]:
        """As [`EMAModel.state_dict`]; with spread weights, all processes have to call it."""
        state = super().state_dict()
        state["shadow_params"] = [_whole(weight) for weight in self.shadow_params]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]):
        """As [`EMAModel.load_state_dict`]. The weights stay where they are, on their device and spread as they are."""
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
        """A module, whose parameters are averaged here, with the averages in the place of its weights."""
        self._exchange(module)
        try:
            yield
        finally:
            for part in module.modules():
                # After a pass without a way back, FSDP keeps some weights whole.
                if isinstance(part, FSDPModule):
                    part.reshard()
            self._exchange(module)

    @torch.no_grad()
    def _exchange(self, module: torch.nn.Module):
        # One by one and in place: without the memory for a second copy, and FSDP keeps its references.
        for weight, average in zip(module.parameters(), self.shadow_params, strict=True):
            kept = weight.detach().clone()
            weight.copy_(average)
            average.copy_(kept)

    @torch.no_grad()
    def copy_whole_to(self, module: torch.nn.Module | None):
        r"""
        Copies the averages into another module of the same kind. With spread weights all processes have to call it, those
        that do not need them with `None`.

        Args:
            module (`torch.nn.Module`, *optional*): the module.
        """
        wholes = map(_whole, self.shadow_params)
        for weight, average in zip(
            [None] * len(self.shadow_params) if module is None else module.parameters(), wholes
        ):
            if weight is not None:
                weight.copy_(average)


def _whole(weight: torch.Tensor) -> torch.Tensor:
    return weight.full_tensor() if isinstance(weight, DTensor) else weight
