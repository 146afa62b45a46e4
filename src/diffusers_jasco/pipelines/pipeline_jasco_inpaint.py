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

"""Regenerates parts of recordings, and continues recordings."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from ..audio.regions import mark_known, splice
from ..codecs import measure_reach, num_channels
from ..conditioning import make_context
from ..schedulers.steps import check_sigmas, is_adaptive
from ..utils.errors import InputError, shorten
from ..utils.numbers import to_float, to_integer
from ..utils.signatures import with_arguments_of
from .checks import check_duration, check_output_type, check_prompt
from .denoising import GuidedVelocity, KnownFrames, Velocity
from .pipeline_jasco import JascoPipeline
from .pipeline_output import JascoPipelineOutput
from .recordings import (
    encode_distinct,
    loudness_gains,
    pair_recordings,
    read_recordings,
    warn_of_cut_recordings,
)
from .regions import known_frames, read_regions, to_list
from .windows import WindowedVelocity


class _Edit(NamedTuple):
    """The recordings of a call on the timeline of the music."""

    recordings: torch.Tensor  # (pieces, channels, samples)
    gains: torch.Tensor  # (pieces, 1, 1), those with which the model gets the recordings
    spans: list[tuple[int, int]]  # the samples that each recording covers
    known: torch.Tensor  # (pieces, samples)
    known_frames: torch.Tensor  # (pieces, frames)


class JascoInpaintPipeline(JascoPipeline):
    r"""
    Regenerates regions of recordings, and continues recordings at both ends, with all controls of [`JascoPipeline`].
    Outside the regions, the samples are those of the recording, at the pipeline's sampling rate and with its channels;
    use [`~audio.paste`] to put the regions into a file with others. It needs no training: the latents of the kept
    parts are known during the denoising. A transformer with the option `context` also gets them as a condition, and
    its music fits them better.

    Usually it shares the components of another pipeline: `JascoInpaintPipeline.from_pipe(pipe)`. See [`JascoPipeline`] for
    the components.
    """

    _edit: _Edit | None = None

    @torch.no_grad()
    @with_arguments_of(JascoPipeline.__call__)
    def __call__(
        self,
        prompt: str | list | None = None,
        audio: Any = None,
        mask: torch.Tensor | None = None,
        mask_start_seconds: float | Sequence | None = None,
        mask_end_seconds: float | Sequence | None = None,
        audio_start_seconds: float | Sequence[float] = 0.0,
        duration: float | None = None,
        num_waveforms_per_prompt: int = 1,
        output_type: str = "pt",
        return_dict: bool = True,
        **kwargs: Any,
    ) -> JascoPipelineOutput | tuple:
        r"""
        Generates music around and inside of recordings.

        Args:
            prompt (`str` or `list`, *optional*): as in [`JascoPipeline.__call__`].
            audio:
                The recording, or a list with one per prompt, in any form that [`~audio.io.load_audio`] reads. One
                prompt with a list of recordings gives one piece for each.
            mask (`torch.Tensor` of shape `(batch, 1, frames)`, *optional*):
                1 for frames of the music that are kept, and 0 for those that are regenerated, instead of the regions.
                A single row applies to all pieces.
            mask_start_seconds, mask_end_seconds (`float`, `list[float]` or `list[list[float]]`, *optional*):
                Starts and ends of the regions that are regenerated: of one region or of several, for all pieces or a
                list of lists with those of each piece. Regions may be in any order and touch each other. The time
                before and after the recording is always new music.
            audio_start_seconds (`float` or `list[float]`, defaults to `0.0`):
                Where the recording begins in the music: 8.0 adds 8 s before it.
            duration (`float`, *optional*):
                Duration of the music in seconds; by default until the end of the recording (the longest one). A longer
                one continues it.
            num_waveforms_per_prompt, output_type, return_dict: as in [`JascoPipeline.__call__`].
            kwargs: all other arguments of [`JascoPipeline.__call__`], except `loop` and `conditioning`. `sigmas` have
                to start at 1.

        Returns:
            [`~pipelines.pipeline_output.JascoPipelineOutput`] or `tuple`: as from [`JascoPipeline.__call__`].

        Raises:
            [`~inputs.InputError`], `FileNotFoundError`: as in [`JascoPipeline.__call__`], for regions that are empty,
                overlap, or lie outside the music, and for `loop` and `conditioning`.
        """
        for name in ("loop", "conditioning"):
            if kwargs.get(name):
                raise InputError(f"`{name}` can't be used with a recording.", name)
        check_output_type(output_type)
        count = to_integer(num_waveforms_per_prompt, "num_waveforms_per_prompt", minimum=1)
        prompt = check_prompt(prompt)
        prompt, recordings = pair_recordings(prompt, audio, kwargs.get("prompt_embeds"))
        sigmas = kwargs.get("sigmas")
        if sigmas is not None and check_sigmas(sigmas)[0] != 1:
            raise InputError("`sigmas` have to start at 1 with a recording.", "sigmas")
        regions = mask, mask_start_seconds, mask_end_seconds, audio_start_seconds
        with self._lock:
            edit, duration = self._read(recordings, *regions, check_duration(duration))
            outer, self._edit = self._edit, edit
            try:
                result = super().__call__(
                    prompt,
                    duration=duration,
                    num_waveforms_per_prompt=count,
                    output_type="pt" if output_type == "np" else output_type,
                    **kwargs,
                )
            finally:
                self._edit = outer
        audios = result.audios
        if output_type != "latent":
            audios = self._splice(edit, audios, count)
            audios = audios.cpu().numpy() if output_type == "np" else audios
        if not return_dict:
            return (audios,)
        return JascoPipelineOutput(audios=audios, tempos=result.tempos)

    def _read(
        self, recordings: list[Any], mask: Any, starts: Any, ends: Any, offsets: Any, duration: float | None
    ) -> tuple[_Edit, float]:
        """Reads the recordings and regions; also returns the duration in seconds."""
        rate, hop = self.sampling_rate, self._hop_length
        num_pieces = len(recordings)
        offsets = to_list(offsets)
        offsets = offsets if isinstance(offsets, list) else [offsets] * num_pieces
        if len(offsets) != num_pieces:
            raise InputError(
                f"`audio_start_seconds` has {len(offsets)} elements for {num_pieces} piece(s). Give one for all, or a list"
                " with one for each.",
                "audio_start_seconds",
            )
        firsts = [round(to_float(value, "audio_start_seconds", minimum=0, unit="seconds") * rate) for value in offsets]
        waveforms = read_recordings(recordings, rate, num_channels(self.codec), self._hop_length)
        lasts = [first + waveform.shape[-1] for first, waveform in zip(firsts, waveforms)]
        num_samples = max(lasts) if duration is None else round(duration * rate)
        if duration is None:
            duration = check_duration(num_samples / rate)
            assert duration is not None
        spans = [(min(first, num_samples), min(last, num_samples)) for first, last in zip(firsts, lasts)]
        for index, (first, last) in enumerate(spans):
            if first == last:
                raise InputError(
                    f"`audio_start_seconds` is {firsts[index] / rate:g} s, but the music has {duration:g} s.",
                    "audio_start_seconds",
                )
        warn_of_cut_recordings(lasts, num_samples, rate)
        timeline = torch.stack(
            [
                F.pad(waveform, (first, num_samples))[..., :num_samples]
                for waveform, (first, _) in zip(waveforms, spans)
            ]
        )
        num_frames = self._num_frames(duration)
        if mask is not None:
            if starts is not None or ends is not None:
                raise InputError("Give either `mask` or regions in seconds, not both.", "mask")
            kept = _check_mask(mask, num_pieces, num_frames).repeat_interleave(hop, dim=-1)[:, :num_samples]
            whole = [mark_known([], first, last, num_samples, rate) for first, last in spans]
            known = kept & torch.stack(whole)
        else:
            regions = read_regions(starts, ends, num_pieces, duration)
            known = torch.stack([mark_known(single, *span, num_samples, rate) for single, span in zip(regions, spans)])
        if known.all():
            raise InputError(
                "All of `audio` is kept: give regions to regenerate, or a longer `duration`.", "mask_start_seconds"
            )
        reach = measure_reach(self.codec)
        frames = torch.stack([known_frames(single, hop, *reach) for single in known])
        gains = loudness_gains(waveforms, rate, self.transformer.config.music_loudness)
        return _Edit(timeline, gains, spans, known, frames), duration

    def _make_velocity(self, velocity: GuidedVelocity, latents: torch.Tensor, *args: Any) -> Velocity:
        edit = self._edit
        if edit is None:
            return super()._make_velocity(velocity, latents, *args)
        device = latents.device
        data = encode_distinct(edit.recordings * edit.gains, self.encode_audio).to(device)
        data = F.pad(data, (0, 0, 0, latents.shape[1]))[:, : latents.shape[1]]
        count = len(latents) // len(data)
        known = edit.known_frames[:, : latents.shape[1]].to(device)
        data, known = data.repeat_interleave(count, dim=0), known.repeat_interleave(count, dim=0)
        if self.transformer.config.context:
            conditioning = replace(velocity.conditioning, context=make_context(data, known))
            velocity = velocity.for_part(conditioning, "")
        made = super()._make_velocity(velocity, latents, *args)
        if isinstance(made, WindowedVelocity):
            made.omit_unneeded(~known.all(dim=0))
        # Adaptive schedulers also evaluate the velocity at the end of a step, where the way to the data is 0.
        return KnownFrames(made, data, known, latents if is_adaptive(self.scheduler) else None)

    def _splice(self, edit: _Edit, audios: torch.Tensor, count: int) -> torch.Tensor:
        """Puts the generated music into the regions of each recording."""
        rows = []
        for index, audio in enumerate(audios):
            piece = index // count
            recording, known = edit.recordings[piece].to(audio.device), edit.known[piece].to(audio.device)
            audio = audio / edit.gains[piece].to(audio.device)
            rows.append(splice(audio, recording, known, *edit.spans[piece], self.sampling_rate))
        return torch.stack(rows)


def _check_mask(mask: Any, num_pieces: int, num_frames: int) -> torch.Tensor:
    """Checks a mask of the kept frames; returns it with the shape `(pieces, frames)`."""
    try:
        mask = torch.as_tensor(mask if torch.is_tensor(mask) else np.asarray(mask)).cpu()
    except (TypeError, ValueError):
        raise InputError(f"`mask` has to be a tensor of numbers, but is {shorten(mask)}.", "mask") from None
    if mask.ndim != 3 or mask.shape[0] not in (1, num_pieces) or mask.shape[1:] != (1, num_frames):
        raise InputError(
            f"`mask` has to have shape ({num_pieces}, 1, {num_frames}), but has {tuple(mask.shape)}.", "mask"
        )
    if not ((mask == 0) | (mask == 1)).all():
        others = mask[(mask != 0) & (mask != 1)]
        raise InputError(
            f"`mask` has to be 1 for kept frames and 0 for others, but one is {others[0].item():g}.", "mask"
        )
    return mask[:, 0].bool().expand(num_pieces, num_frames)
