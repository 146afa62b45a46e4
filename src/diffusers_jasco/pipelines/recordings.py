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

"""The recordings that pipelines edit."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers.utils import logging

from ..audio.io import load_audio
from ..audio.loudness import measure_loudness
from ..audio.resampling import resample
from ..audio.waveforms import is_waveform
from ..utils.errors import InputError
from .checks import Prompts


logger = logging.get_logger(__name__)

SILENCE = 1e-4  # highest peak of silence, -80 dBFS


def pair_recordings(prompt: Prompts, audio: Any, prompt_embeds: torch.Tensor | None) -> tuple[Prompts, list[Any]]:
    r"""
    Pairs prompts and recordings; a single one of either applies to all of the other.

    Args:
        prompt (`str`, `list` or `None`): the prompts, as [`~pipelines.checks.check_prompt`] returns them.
        audio: a recording, or a list with one per prompt.
        prompt_embeds (`torch.Tensor`, *optional*): encoded prompts.

    Returns:
        `tuple`: the prompts, and a list with the recording of each piece.

    Raises:
        [`~inputs.InputError`]: if their numbers differ, or there is no recording.
    """
    recordings = audio if isinstance(audio, list) and not is_waveform(audio) else [audio]
    if not recordings:
        raise InputError("`audio` is an empty list.", "audio")
    if isinstance(prompt, list) or prompt_embeds is not None:
        count = len(prompt) if isinstance(prompt, list) else len(prompt_embeds)  # type: ignore[arg-type]
        if len(recordings) not in (1, count):
            raise InputError(
                f"`audio` has {len(recordings)} elements for {count} prompt(s). Give one for all prompts, or a list with one"
                " per prompt.",
                "audio",
            )
        return prompt, recordings * (count // len(recordings))
    return [prompt] * len(recordings) if len(recordings) > 1 else prompt, recordings


def read_recordings(
    recordings: Sequence[Any], sampling_rate: int, channels: int, hop_length: int
) -> list[torch.Tensor]:
    r"""
    Reads recordings in the form that a codec expects. One that several pieces share is read once.

    Args:
        recordings (`Sequence`): recordings in any form that [`~audio.io.load_audio`] reads.
        sampling_rate (`int`): the codec's rate in Hz.
        channels (`int`): the codec's number of channels. Others are mixed to mono, which is repeated.
        hop_length (`int`): samples of a frame.

    Returns:
        `list[torch.Tensor]`: waveforms of shape `(channels, samples)`.

    Raises:
        [`~inputs.InputError`], `FileNotFoundError`: as in [`~audio.io.load_audio`], for a missing or silent recording, and
            for one that is shorter than a frame.
    """
    read: dict[int, torch.Tensor] = {}
    for index, recording in enumerate(recordings):
        if id(recording) not in read:
            try:
                read[id(recording)] = _read(recording, sampling_rate, channels, hop_length)
            except InputError as error:
                raise error.for_prompt(index) if len(recordings) > 1 else error
    return [read[id(recording)] for recording in recordings]


def _read(recording: Any, sampling_rate: int, channels: int, hop_length: int) -> torch.Tensor:
    if recording is None:
        raise InputError(
            "`audio` is missing: a path, (waveform, sampling_rate), or a list with one per prompt.", "audio"
        )
    waveform, rate = load_audio(recording, "audio")
    seconds, frame = waveform.shape[-1] / rate, hop_length / sampling_rate
    if seconds < frame:
        raise InputError(f"`audio` has to last at least one frame, {frame:g} s, but lasts {seconds:.3g} s.", "audio")
    if waveform.shape[0] != channels:
        mixed = waveform.mean(dim=0, keepdim=True)
        if waveform.abs().max() > SILENCE >= mixed.abs().max():
            raise InputError("`audio` is silent in mono: its channels cancel each other out.", "audio")
        waveform = mixed.expand(channels, -1)
    if waveform.abs().max() <= SILENCE:
        raise InputError(f"`audio` has to have sound, but is silent for {seconds:.2f} s.", "audio")
    return resample(waveform, rate, sampling_rate)


def encode_distinct(recordings: torch.Tensor, encode: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    r"""
    Encodes recordings, but only one if all are equal.

    Args:
        recordings (`torch.Tensor` of shape `(pieces, channels, samples)`): the recordings.
        encode (`Callable`): encodes a batch of them.

    Returns:
        `torch.Tensor` of shape `(pieces, frames, latent_dim)`: the latents.
    """
    if len(recordings) > 1 and (recordings[1:] == recordings[:1]).all():
        return encode(recordings[:1]).expand(len(recordings), -1, -1)
    return encode(recordings)


def loudness_gains(recordings: Sequence[torch.Tensor], sampling_rate: int, loudness: float | None) -> torch.Tensor:
    r"""
    Returns the gains that bring recordings to a loudness.

    Args:
        recordings (`Sequence[torch.Tensor]`, each of shape `(channels, samples)`): the recordings.
        sampling_rate (`int`): their rate in Hz.
        loudness (`float`, *optional*): loudness in LUFS; without it, all gains are 1.

    Returns:
        `torch.Tensor` of shape `(recordings, 1, 1)`: the gains, 1 for silence and for less than 0.4 s.
    """
    gains = torch.ones(len(recordings), 1, 1)
    if loudness is not None:
        measured = [measure_loudness(recording, sampling_rate) for recording in recordings]
        gains[:, 0, 0] = 10 ** ((loudness - torch.tensor(measured)) / 20)
    return gains.nan_to_num(1.0)


def warn_of_cut_recordings(ends: Sequence[int], num_samples: int, sampling_rate: int):
    r"""
    Warns of recordings that end after the music.

    Args:
        ends (`Sequence[int]`): the ends of the recordings in the music, in samples.
        num_samples (`int`): length of the music in samples.
        sampling_rate (`int`): samples per second.
    """
    if max(ends) > num_samples:
        logger.warning(
            f"`audio` ends at {max(ends) / sampling_rate:.2f} s, after the music at {num_samples / sampling_rate:.2f} s:"
            " its end is not used. Omit `duration` to keep it."
        )
