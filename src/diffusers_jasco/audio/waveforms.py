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

"""Converts in-memory waveforms of common libraries to float32 `(channels, samples)` and a sampling rate."""

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
MAX_CHANNELS = 64  # a larger first dimension means that the dimensions are swapped
SURROUND_CHANNELS = 8  # (samples, channels) is recognized up to 7.1
# Float samples are nominally in [-1, 1]. Loud mixes exceed that by a few dB; much larger values are unscaled integers.
MAX_FLOAT_SAMPLE = 8.0
INTEGER_BITS = (16, 24, 32)
INTEGER_HEADROOM = 1.5  # resampled integers overshoot their range
WAVEFORM_KEYS = ("array", "waveform", "audio", "raw")
RATE_KEYS = ("sampling_rate", "sample_rate")


def is_waveform(value: Any) -> bool:
    r"""
    Whether `value` is a single recording in memory: a tuple or list of a waveform and its rate in either order, a
    dictionary such as `{"array", "sampling_rate"}`, an audio object of `datasets`, torchcodec or pydub, or an audio
    file as `bytes` or as a file object. Paths and arrays without a rate are not.
    """
    if isinstance(value, dict) and value and value.keys() <= {"bytes", "path"}:
        return True
    return is_encoded(value) or _find_parts(value) is not None


def is_encoded(value: Any) -> bool:
    """Whether `value` is the content of an audio file: `bytes`, or a file object opened for reading."""
    return isinstance(value, (bytes, bytearray, memoryview)) or callable(getattr(value, "read", None))


class Waveform:
    r"""
    A recording in memory with the interface of [`~audio.files.AudioFile`].

    Args:
        value: the recording; see [`to_waveform`].
        argument (`str`): name of the argument for error messages.
    """

    def __init__(self, value: Any, argument: str):
        self.waveform, self.samplerate = to_waveform(value, argument)
        self.channels, self.frames = self.waveform.shape

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """Yields samples `start` to `stop` (by default the end) in blocks `(samples, channels)` of 10 s in float32."""
        for block in self.waveform[:, start:stop].split(round(BLOCK_SECONDS * self.samplerate), dim=-1):
            yield block.T.numpy()

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Returns samples `start` to `stop` as one array; see `blocks`."""
        return self.waveform[:, start:stop].T.numpy()


def to_waveform(value: Any, argument: str) -> tuple[torch.Tensor, int]:
    r"""
    Converts a recording in memory.

    Args:
        value: a recording of samples (not an encoded file) that [`is_waveform`] recognizes.
        argument (`str`): name of the argument for error messages.

    Returns:
        `tuple[torch.Tensor, int]`: the waveform `(channels, samples)` in float32 and its sampling rate in Hz.

    Raises:
        [`InputError`]: if the value is not a recording, or its waveform or rate is invalid.
    """
    parts = _find_parts(value)
    if parts is None and isinstance(value, (tuple, list)) and len(value) == 2:
        parts = tuple(value)  # invalid; the checks below raise the specific error
    if parts is None:
        problem = f"has the keys {list(value)}" if isinstance(value, Mapping) else f"is a {type(value).__name__}"
        raise InputError(
            f"`{argument}` has to be a path, (waveform, sampling_rate) or a dictionary with the keys 'array' and"
            f" 'sampling_rate', but {problem}.",
            argument,
        )
    waveform = check_samples(parts[0], argument)
    offset, scale = find_integer_scale(float(waveform.min()), float(waveform.max()), argument)
    return waveform if scale == 1 else (waveform - offset) / scale, check_rate(parts[1], argument)


def _find_parts(value: Any) -> tuple[Any, Any] | None:
    """The samples and the rate of a recording in memory, or `None` if `value` is not a recording."""
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
    if callable(getattr(value, "get_all_samples", None)):  # torchcodec's decoder, as returned by `datasets`
        value = value.get_all_samples()
    if callable(getattr(value, "get_array_of_samples", None)):  # pydub
        interleaved = np.asarray(value.get_array_of_samples())
        return interleaved.reshape(-1, value.channels).T, value.frame_rate
    if hasattr(value, "data") and hasattr(value, "sample_rate"):  # torchcodec's samples
        return value.data, value.sample_rate
    waveform, rate = _item(value, WAVEFORM_KEYS), _item(value, RATE_KEYS)
    return None if waveform is None or rate is None else (waveform, rate)


def _channels_first(samples: Any) -> Any:
    """Transposes the arrays of libraries that return `(samples, channels)`."""
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
    """The value of the first of `keys` that a mapping, or an object with `__getitem__`, contains."""
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
    Converts real numbers to a dense tensor on the CPU.

    Args:
        values (`torch.Tensor`, `np.ndarray` or nested `list`): numbers of any real type, on any device.
        owner (`str`): description of the values, which the error message starts with.
        name (`str`): name of the argument.

    Returns:
        `torch.Tensor`: the values as a dense tensor on the CPU.

    Raises:
        [`InputError`]: if the values are not real numbers or not a dense array.
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
            # PyTorch supports neither negative strides nor foreign byte orders, and only some of NumPy's types.
            kind = np.float64 if array.dtype == np.longdouble else array.dtype.newbyteorder("=")
            tensor = torch.from_numpy(np.array(array, dtype=kind, order="C"))
        if tensor.is_complex():
            raise TypeError("complex numbers")
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{owner} has to contain real numbers ({error}).", name) from error
    return tensor


def check_samples(samples: Any, argument: str) -> torch.Tensor:
    r"""
    Converts samples `(samples,)` or `(channels, samples)` to float32 `(channels, samples)` and scales integers to [-1,
    1). If the shape is unambiguous, `(samples, channels)` and a batch of one, `(1, channels, samples)`, are also
    accepted.

    Raises:
        [`EmptyInputError`]: if there are no samples.
        [`InputError`]: if the shape is invalid or the values are not finite real numbers.
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
            f"{': transpose it' if swapped else ': pass one element of the batch' if len(shape) == 3 else ''}.",
            argument,
        )
    if waveform.numel() == 0:
        raise EmptyInputError(f"The waveform of `{argument}` is empty: its shape is {shape}.", argument)
    if waveform.dtype == torch.bool:
        raise InputError(
            f"The waveform of `{argument}` has to contain real numbers, but is {waveform.dtype}.", argument
        )
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
    # Narrow samples may be stored in wider integers (Python and PyTorch default to 64 bits); unscaled, they are
    # silent.
    if bits >= 32 and info.min < 0 and max(-lowest, highest) > 0:
        narrow, zero = _find_range(lowest, highest)
        if 0 < narrow < bits:
            logger.warning(
                f"The samples of `{argument}` are {bits}-bit integers from {lowest:g} to {highest:g}: they are treated"
                f" as {narrow}-bit integers."
            )
            bits, offset = narrow, zero
    return (waveform - offset) / 2.0 ** (bits - 1)


def find_integer_scale(lowest: float, highest: float, argument: str) -> tuple[float, float]:
    r"""
    Detects float samples that are unscaled integers, such as 16-bit samples that were converted to float but not
    divided by
    32768. Values far beyond ±1 indicate them; they cause a warning.

    Args:
        lowest (`float`), highest (`float`): smallest and largest sample of the recording.
        argument (`str`): name of the argument for error messages.

    Returns:
        `tuple[float, float]`: the offset to subtract and the divisor to apply afterwards; `(0.0, 1.0)` for ordinary
            samples.

    Raises:
        [`InputError`]: if the values exceed the range of 32-bit integers.
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
        f"The samples of `{argument}` are floats that reach {peak:g}, far beyond ±1: they are treated as {bits}-bit"
        f" integers and divided by {2 ** (bits - 1)}."
    )
    return offset, float(2 ** (bits - 1))


def _find_range(lowest: float, highest: float) -> tuple[int, float]:
    """The bit depth and the zero level of the integers whose range fits the samples; 0 bits if none does."""
    if lowest >= 0 and highest <= 255:
        return 8, 128.0
    peak = max(-lowest, highest)
    return next((bits for bits in INTEGER_BITS if peak <= INTEGER_HEADROOM * 2 ** (bits - 1)), 0), 0.0


def check_rate(rate: Any, argument: str) -> int:
    """Converts a sampling rate in Hz of any numeric type to `int`, or raises an [`InputError`]."""
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
