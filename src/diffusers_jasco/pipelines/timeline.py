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

"""The frames of a piece, and their rate."""

import math
from typing import NamedTuple

from diffusers.utils import logging

from ..codecs import Codec, can_stretch


logger = logging.get_logger(__name__)


class Timeline(NamedTuple):
    r"""
    The frames of a piece. Its controls are converted to frames at `frame_rate`.

    Args:
        num_frames (`int`): length in frames.
        frame_rate (`float`): frames per second of the music.
        duration (`float`): length in seconds. A piece that is not a loop may end within its last frame.
    """

    num_frames: int
    frame_rate: float
    duration: float


def place_frames(codec: Codec, duration: float) -> Timeline:
    """The timeline of a piece of a duration in seconds: enough frames to cover it, at the rate of the codec."""
    rate = codec.config.sampling_rate / codec.config.hop_length
    # Tolerance for float products such as 0.28 * 50 = 14.000000000000002.
    return Timeline(max(1, math.ceil(duration * rate - 1e-6)), rate, duration)


def place_frames_of_loop(codec: Codec, duration: float) -> Timeline:
    r"""
    The timeline of a loop: a whole number of frames, which together last exactly as long as the loop. Four bars at 97 BPM
    have 247 frames of 40.07 ms instead of 40 ms. Decoding restores their length; see [`~codecs.decode_loop`].

    Args:
        codec ([`~transformers.EncodecModel`] or [`SpectralCodecModel`]): the codec.
        duration (`float`): length of the loop in seconds.

    Returns:
        [`Timeline`]: with another `duration`, and the codec's rate, if the codec can't change the length of a frame as
            much as the duration requires.
    """
    rate = codec.config.sampling_rate / codec.config.hop_length
    num_frames, num_samples = max(1, round(duration * rate)), round(duration * codec.config.sampling_rate)
    if num_samples == num_frames * codec.config.hop_length:
        return Timeline(num_frames, rate, duration)
    if can_stretch(codec, num_frames, num_samples):
        return Timeline(num_frames, num_frames / duration, duration)
    return Timeline(num_frames, rate, num_frames / rate)


def warn_of_rounded_loop(timeline: Timeline, duration: float):
    """Warns if a loop does not have its requested duration."""
    if timeline.duration != duration:
        logger.warning(
            f"The loop has {timeline.duration:g} s instead of {duration:g} s: it is so short that it has to be a whole number"
            f" of frames of {1 / timeline.frame_rate:g} s."
        )
