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

"""Waveforms in memory, in any form that libraries hand them out → `(channels, samples)` in float32 and the rate."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from diffusers.utils import logging

from ..utils.errors import EmptyInputError, InputError, shorten
from ..utils.numbers import is_number


logger = logging.get_logger(__name__)

BLOCK_SECONDS = 10.0
MAX_RATE = 1_000_000  # Hz
MAX_CHANNELS = 64  # more "channels" than this are samples in the wrong place
SURROUND_CHANNELS = 8  # (samples, channels) is recognized up to 7.1
# Float samples are nominally in [-1, 1]. Loud mixes exceed that by some dB; samples far beyond are integers.
MAX_FLOAT_SAMPLE = 8.0
INTEGER_BITS = (16, 24, 32)
INTEGER_HEADROOM = 1.5  # resampled integers overshoot their range
WAVEFORM_KEYS = ("array", "waveform", "audio", "raw")
RATE_KEYS = ("sampling_rate", "sample_rate")


def is_waveform(value: Any) -> bool:
    r"""
    Whether `value` is one recording in memory: a pair of a waveform and its rate in either order (a tuple or a list), a
    dictionary such as `{"array", "sampling_rate"}`, an audio object of `datasets`, torchcodec or pydub, or an audio file as
    `bytes` or as a file object. A path is not, and neither is an array without a rate.
    """
    if isinstance(value, dict) and value and value.keys() <= {"bytes", "path"}:
        return True
    return is_encoded(value) or _find_parts(value) is not None


def is_encoded(value: Any) -> bool:
    """Whether `value` is the content of an audio file: `bytes`, or a file object opened for reading."""
    return isinstance(value, (bytes, bytearray, memoryview)) or callable(getattr(value, "read", None))


class Waveform:
    r"""
    A recording in memory, to be read like an [`~audio.files.AudioFile`].

    Args:
        value: what [`to_waveform`] takes.
        argument (`str`): name of the argument, for messages.
    """

    def __init__(self, value: Any, argument: str):
        self.waveform, self.samplerate = to_waveform(value, argument)
        self.channels, self.frames = self.waveform.shape

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """Samples `start` to `stop` (by default the end), in blocks `(samples, channels)` of 10 s in float32."""
        for block in self.waveform[:, start:stop].split(round(BLOCK_SECONDS * self.samplerate), dim=-1):
            yield block.T.numpy()

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """The same in one piece."""
        return self.waveform[:, start:stop].T.numpy()


def to_waveform(value: Any, argument: str) -> tuple[torch.Tensor, int]:
    r"""
    Args:
        value: a recording in memory that is not encoded, as [`is_waveform`] recognizes it.
        argument (`str`): name of the argument, for messages.

    Returns:
        `tuple[torch.Tensor, int]`: the waveform `(channels, samples)` in float32, and its rate in Hz.

    Raises:
        [`InputError`]: for anything else, and for an invalid waveform or rate.
    """
    parts = _find_parts(value)
    if parts is None and isinstance(value, (tuple, list)) and len(value) == 2:
        parts = tuple(value)  # The waveform or the rate is wrong: the errors below say which.
    if parts is None:
        what = f"has the keys {list(value)}" if isinstance(value, Mapping) else f"is a {type(value).__name__}"
        raise InputError(
            f"`{argument}` has to be a path, (waveform, sampling_rate) or a dictionary with the keys 'array' and"
            f" 'sampling_rate', but {what}.",
            argument,
        )
    waveform = check_samples(parts[0], argument)
    offset, scale = find_integer_scale(float(waveform.min()), float(waveform.max()), argument)
    return waveform if scale == 1 else (waveform - offset) / scale, check_rate(parts[1], argument)


def _find_parts(value: Any) -> tuple[Any, Any] | None:
    """Samples and rate of a recording in memory, or `None` if `value` is not one."""
    if isinstance(value, (str, np.ndarray, np.generic, torch.Tensor)):
        return None
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            return None
        if _is_samples(value[0]) and is_number(value[1]):
            return value[0], value[1]
        if is_number(value[0]) and _is_samples(value[1]):  # Gradio and SciPy
            return _channels_first(value[1]), value[0]
        return None
    if callable(getattr(value, "get_all_samples", None)):  # torchcodec's decoder, which `datasets` hands out
        value = value.get_all_samples()
    if callable(getattr(value, "get_array_of_samples", None)):  # pydub
        interleaved = np.asarray(value.get_array_of_samples())
        return interleaved.reshape(-1, value.channels).T, value.frame_rate
    if hasattr(value, "data") and hasattr(value, "sample_rate"):  # torchcodec's samples
        return value.data, value.sample_rate
    waveform, rate = _item(value, WAVEFORM_KEYS), _item(value, RATE_KEYS)
    return None if waveform is None or rate is None else (waveform, rate)


def _channels_first(samples: Any) -> Any:
    """Of libraries that return `(samples, channels)`."""
    shape: tuple[int, ...] = getattr(samples, "shape", ())
    return samples.T if len(shape) == 2 and shape[0] > shape[1] else samples


def _is_samples(value: Any) -> bool:
    if isinstance(value, (np.ndarray, torch.Tensor)):
        return value.ndim > 0
    while isinstance(value, (list, tuple)) and len(value) > 0:
        value = value[0]
        if is_number(value):
            return True
    return False


def _item(value: Any, keys: tuple[str, ...]) -> Any:
    """The first of `keys` that a dictionary, or an object with items like one, has."""
    if not isinstance(value, Mapping) and not hasattr(type(value), "__getitem__"):
        return None
    for key in keys:
        try:
            return value[key]
        except (KeyError, TypeError, IndexError, ValueError, AttributeError):
            continue
    return None


def to_real_tensor(values: Any, owner: str, name: str) -> torch.Tensor:
    r"""
    Args:
        values (`torch.Tensor`, `np.ndarray` or nested `list`): numbers of any real type, on any device.
        owner (`str`): what holds them, to begin a message with.
        name (`str`): name of the argument that they came with.

    Returns:
        `torch.Tensor`: the same, as an ordinary tensor on the CPU.

    Raises:
        [`InputError`]: for anything that does not hold real numbers, or not as an ordinary array.
    """
    try:
        if torch.is_tensor(values):
            if values.layout is not torch.strided or values.is_nested or values.is_quantized:
                raise TypeError("a sparse, nested or quantized tensor")
            tensor = values.detach().cpu()
        else:
            array = np.asarray(values)
            if array.dtype == object:
                raise TypeError("elements of different types or lengths")
            # torch takes neither reversed views nor a foreign byte order, and has only some of NumPy's types.
            kind = np.float64 if array.dtype == np.longdouble else array.dtype.newbyteorder("=")
            tensor = torch.from_numpy(np.array(array, dtype=kind, order="C"))
        if tensor.is_complex():
            raise TypeError("complex numbers")
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{owner} has to hold real numbers ({error}).", name) from error
    return tensor


def check_samples(samples: Any, argument: str) -> torch.Tensor:
    r"""
    Samples `(samples,)` or `(channels, samples)` → `(channels, samples)` in float32, integers scaled to [-1, 1). Where it can't
    be anything else, `(samples, channels)` and a batch of one, `(1, channels, samples)`, are taken, too.

    Raises:
        [`EmptyInputError`]: if there are no samples.
        [`InputError`]: for another shape, and for values that are not finite real numbers.
    """
    waveform = to_real_tensor(samples, f"The waveform of `{argument}`", argument)
    shape = tuple(waveform.shape)
    if waveform.ndim == 3 and len(waveform) == 1:
        waveform = waveform[0]
    if waveform.ndim == 2 and len(waveform) > MAX_CHANNELS and 0 < waveform.shape[1] <= SURROUND_CHANNELS:
        waveform = waveform.T
    if waveform.ndim not in (1, 2) or (waveform.ndim == 2 and len(waveform) > MAX_CHANNELS):
        swapped = waveform.ndim == 2 and shape[1] <= MAX_CHANNELS
        raise InputError(
            f"The waveform of `{argument}` has to be (samples,) or (channels, samples), but has shape {shape}"
            f"{': transpose it' if swapped else ': give one of the batch' if len(shape) == 3 else ''}.",
            argument,
        )
    if waveform.numel() == 0:
        raise EmptyInputError(f"The waveform of `{argument}` is empty: its shape is {shape}.", argument)
    if waveform.dtype == torch.bool:
        raise InputError(f"The waveform of `{argument}` has to hold real numbers, but is {waveform.dtype}.", argument)
    if not waveform.is_floating_point():
        waveform = _scale_integers(waveform, argument)
    waveform = waveform.float()
    if not waveform.isfinite().all():
        raise InputError(f"The waveform of `{argument}` has values that are not finite (NaN or infinite).", argument)
    return waveform if waveform.ndim == 2 else waveform[None]


def _scale_integers(waveform: torch.Tensor, argument: str) -> torch.Tensor:
    info = torch.iinfo(waveform.dtype)
    bits, offset = info.bits, 2.0 ** (info.bits - 1) if info.min == 0 else 0.0
    waveform = waveform.double()
    lowest, highest = float(waveform.min()), float(waveform.max())
    # Python's and torch's own integers have 64 bits, and 16-bit samples may come in 32: as such they would be silence.
    if bits >= 32 and info.min < 0 and max(-lowest, highest) > 0:
        narrow, zero = _find_range(lowest, highest)
        if 0 < narrow < bits:
            logger.warning(
                f"The samples of `{argument}` are {bits}-bit integers from {lowest:g} to {highest:g}: they are taken for"
                f" {narrow}-bit ones."
            )
            bits, offset = narrow, zero
    return (waveform - offset) / 2.0 ** (bits - 1)


def find_integer_scale(lowest: float, highest: float, argument: str) -> tuple[float, float]:
    r"""
    The range of integers that float samples hold, such as 16-bit samples that were converted to float but not divided by
    32768. It is told from values far beyond ±1, with a warning.

    Args:
        lowest (`float`), highest (`float`): extreme samples of the recording.
        argument (`str`): name of the argument, for messages.

    Returns:
        `tuple[float, float]`: what to subtract and then to divide by, `(0.0, 1.0)` for ordinary samples.

    Raises:
        [`InputError`]: for values beyond those of 32-bit integers.
    """
    peak = max(-lowest, highest)
    if peak <= MAX_FLOAT_SAMPLE:
        return 0.0, 1.0
    bits, offset = _find_range(lowest, highest)
    if not bits:
        raise InputError(
            f"The samples of `{argument}` have to be floats in [-1, 1] or integers, but reach {peak:g}.", argument
        )
    logger.warning(
        f"The samples of `{argument}` are floats that reach {peak:g}, far beyond ±1: they are taken for {bits}-bit integers,"
        f" and divided by {2 ** (bits - 1)}."
    )
    return offset, float(2 ** (bits - 1))


def _find_range(lowest: float, highest: float) -> tuple[int, float]:
    """Bits and zero of the integers whose range fits samples; 0 bits if they are beyond all."""
    if lowest >= 0 and highest <= 255:
        return 8, 128.0
    peak = max(-lowest, highest)
    return next((bits for bits in INTEGER_BITS if peak <= INTEGER_HEADROOM * 2 ** (bits - 1)), 0), 0.0


def check_rate(rate: Any, argument: str) -> int:
    """A sampling rate of any numeric type in Hz, or an [`InputError`]."""
    value = rate.item() if isinstance(rate, (np.ndarray, np.generic, torch.Tensor)) and is_number(rate) else rate
    try:
        whole = int(value)
        valid = is_number(rate) and whole == value and 0 < whole <= MAX_RATE
    except (TypeError, ValueError, OverflowError):
        valid = False
    if not valid:
        raise InputError(
            f"The sampling rate of `{argument}` has to be a positive whole number of Hz, at most {MAX_RATE}, but is"
            f" {shorten(rate)}.",
            argument,
        )
    return whole
