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

import torch
from diffusers.configuration_utils import register_to_config

from .jasco_guidance import JascoGuidance


class AudiocraftGuidance(JascoGuidance):
    r"""
    [`JascoGuidance`] with two of AudioCraft's known bugs, for exact comparison: with drums, the text and null branches
    get encoded silence instead of the null drums; with a melody but no chords, they keep the melody.

    Args:
        guidance_scale (`float`, defaults to `5.0`): as in [`JascoGuidance`].
        text_guidance_scale (`float`, defaults to `0.0`): as in [`JascoGuidance`].
        guidance_rescale (`float`, defaults to `0.0`): as in [`JascoGuidance`].
        control_scales, start_time, stop_time, parallel_scale, max_difference: as in [`JascoGuidance`].
        silence (`torch.Tensor` of shape `(1, frames, dim)`, *optional*):
            Drum latents of silence; required with drums.
    """

    ignore_for_config = ["silence"]

    @register_to_config
    def __init__(
        self,
        guidance_scale: float = 5.0,
        text_guidance_scale: float = 0.0,
        guidance_rescale: float = 0.0,
        control_scales: dict[str, float] | list[dict[str, float]] | None = None,
        start_time: float = 0.0,
        stop_time: float = 1.0,
        parallel_scale: float = 1.0,
        max_difference: float | None = None,
        silence: torch.Tensor | None = None,
    ):
        super().__init__(
            guidance_scale,
            text_guidance_scale,
            guidance_rescale,
            control_scales,
            start_time,
            stop_time,
            parallel_scale,
            max_difference,
        )
        self.silence = silence

    def nulls(
        self,
        nulls: dict[str, int | torch.Tensor],
        controls: dict[str, torch.Tensor],
        presence: dict[str, torch.Tensor],
    ) -> dict[str, int | torch.Tensor]:
        nulls = dict(nulls)
        if "drums" in controls:
            if self.silence is None:
                raise ValueError("`silence` is required with drums: AudioCraft's null drums are encoded silence.")
            nulls["drums"] = self.silence * presence["drums"][:, None, None]
        if "melody" in controls:
            without_chords = ~presence.get("chords", torch.zeros_like(presence["melody"]))
            nulls["melody"] = torch.where(without_chords[:, None, None], controls["melody"], nulls["melody"])
        return nulls
