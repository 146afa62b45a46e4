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

"""Statistics of a codec's latents, for their normalization."""

from typing import Any

import torch
from accelerate.utils import gather_object


class LatentStatistics:
    """Running mean and standard deviation of latents, overall and per channel."""

    def __init__(self):
        self.sums = torch.zeros(2, 1, dtype=torch.float64)  # values and squares, per channel
        self.num_frames = 0

    def add(self, latents: torch.Tensor):
        """Adds latents `(..., frames, latent_dim)`."""
        values = latents.detach().flatten(0, -2).double().cpu()
        self.sums = self.sums + torch.stack([values.sum(dim=0), values.square().sum(dim=0)])
        self.num_frames += len(values)

    def gather(self) -> "LatentStatistics":
        """The combined statistics of all processes."""
        total = LatentStatistics()
        for sums, num_frames in gather_object([(self.sums, self.num_frames)]):
            total.sums, total.num_frames = total.sums + sums, total.num_frames + num_frames
        return total

    @property
    def variance(self) -> torch.Tensor:
        """Variance per channel: (latent_dim,)."""
        mean, square = self.sums / self.num_frames
        return (square - mean.square()).clamp(min=0)

    def to_dict(self) -> dict[str, Any]:
        """
        `mean` and `std` of all values, `channel_mean`, `channel_std`, and `num_frames`. A constant channel gets a
        standard deviation of 1, so that normalization does not amplify it.
        """
        mean, square = self.sums / self.num_frames
        std = self.variance.sqrt()
        return {
            "mean": mean.mean().item(),
            "std": (square.mean() - mean.mean().square()).clamp(min=0).sqrt().item(),
            "channel_mean": mean.tolist(),
            "channel_std": torch.where(std < 1e-5, 1.0, std).tolist(),
            "num_frames": self.num_frames,
        }
