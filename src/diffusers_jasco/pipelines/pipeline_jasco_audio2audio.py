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

"""Variations of recordings."""

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from ..codecs import num_channels
from ..schedulers.steps import default_steps, is_adaptive
from ..utils.errors import InputError
from ..utils.numbers import to_float, to_integer
from ..utils.signatures import with_arguments_of
from .checks import check_duration, check_generator, check_prompt
from .denoising import initial_sigma, takes_sigmas
from .pipeline_jasco import JascoPipeline
from .pipeline_output import JascoPipelineOutput
from .recordings import pair_recordings, read_recording, warn_of_cut_recordings


class JascoAudioToAudioPipeline(JascoPipeline):
    r"""
    Generates variations of recordings, with all controls of [`JascoPipeline`]: noise is added to the latents of a
    recording, and they are denoised from there (SDEdit, [arXiv 2108.01073](https://arxiv.org/abs/2108.01073)).

    Usually it shares the components of another pipeline: `JascoAudioToAudioPipeline.from_pipe(pipe)`. See
    [`JascoPipeline`] for the components.
    """

    @torch.no_grad()
    @with_arguments_of(JascoPipeline.__call__)
    def __call__(
        self,
        prompt: str | list | None = None,
        audio: Any = None,
        strength: float = 0.5,
        duration: float | None = None,
        num_inference_steps: int | None = None,
        num_waveforms_per_prompt: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        **kwargs: Any,
    ) -> JascoPipelineOutput | tuple:
        r"""
        Generates variations.

        Args:
            prompt (`str` or `list`, *optional*): as in [`JascoPipeline.__call__`].
            audio:
                The recording, or a list with one per prompt, in any form that [`~audio.io.load_audio`] reads.
            strength (`float`, defaults to `0.5`):
                How much changes, from above 0 to 1, as in Diffusers' image-to-image pipelines; with 1, the recording is
                ignored.
            duration (`float`, *optional*):
                Duration of the music in seconds; by default that of the recording (the longest one). Shorter recordings
                continue as silence.
            num_inference_steps (`int`, *optional*):
                Number of steps from noise to music, by default that of the scheduler's configuration. A variation needs
                the share `strength` of them.
            num_waveforms_per_prompt, generator: as in [`JascoPipeline.__call__`].
            kwargs: all other arguments of [`JascoPipeline.__call__`], except `latents`, `sigmas` and `conditioning`.

        Returns:
            [`~pipelines.pipeline_output.JascoPipelineOutput`] or `tuple`: as from [`JascoPipeline.__call__`].

        Raises:
            [`~inputs.InputError`], `FileNotFoundError`: as in [`JascoPipeline.__call__`], for a `strength` outside (0, 1],
                and for a scheduler that always begins with noise: an adaptive one, or one without `sigmas`.
        """
        for name in ("latents", "sigmas", "conditioning"):
            if kwargs.get(name) is not None:
                raise InputError(f"`{name}` can't be used with a recording.", name)
        strength = to_float(strength, "strength")
        if not 0 < strength <= 1:
            raise InputError(f"`strength` has to be above 0 and at most 1, but is {strength:g}.", "strength")
        if is_adaptive(self.scheduler) or not takes_sigmas(self.scheduler):
            raise InputError(
                f"`strength` is not supported by `{type(self.scheduler).__name__}`: use `FlowMatchEulerScheduler`.",
                "strength",
            )
        prompt, recordings = pair_recordings(check_prompt(prompt), audio, kwargs.get("prompt_embeds"))
        rate = self.sampling_rate
        waveforms = [read_recording(recording, rate, num_channels(self.codec)) for recording in recordings]
        duration = check_duration(duration)
        if duration is None:
            duration = check_duration(max(waveform.shape[-1] for waveform in waveforms) / rate)
            assert duration is not None
        warn_of_cut_recordings([waveform.shape[-1] for waveform in waveforms], round(duration * rate), rate)
        num_frames = self._num_frames(duration)
        num_samples = num_frames * self._hop_length
        batch = torch.stack([F.pad(waveform, (0, num_samples))[..., :num_samples] for waveform in waveforms])
        count = to_integer(num_waveforms_per_prompt, "num_waveforms_per_prompt", minimum=1)
        batch_size, device = len(batch) * count, self._execution_device
        generator = check_generator(generator, batch_size, device)
        noise = self.prepare_latents(batch_size, num_frames, device, generator)
        data = self.encode_audio(batch).to(noise).repeat_interleave(count, dim=0)
        if num_inference_steps is None:
            num_inference_steps = default_steps(self.scheduler) or 100
        steps = max(1, round(to_integer(num_inference_steps, "num_inference_steps", minimum=1) * strength))
        sigmas = strength * np.linspace(1.0, 1.0 / steps, steps)
        level = initial_sigma(self.scheduler, sigmas)
        return super().__call__(
            prompt,
            duration=duration,
            num_waveforms_per_prompt=count,
            generator=generator,
            latents=level * noise + (1 - level) * data,
            sigmas=sigmas,
            **kwargs,
        )
