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

from dataclasses import dataclass

from diffusers.pipelines.pipeline_utils import AudioPipelineOutput

from ..controls.beats import Tempo


@dataclass
class JascoPipelineOutput(AudioPipelineOutput):
    r"""
    Output of [`JascoPipeline`].

    Args:
        audios (`torch.Tensor` or `np.ndarray`):
            Audio of shape `(waveforms, channels, samples)`, or latents of shape `(waveforms, frames, latent_dim)`.
        tempos (`list[Tempo | None]`):
            The [`~controls.beats.Tempo`] of each waveform: that of its beat grid, or of controls given in bars. `None` for
            waveforms without either.
    """

    tempos: list[Tempo | None]
