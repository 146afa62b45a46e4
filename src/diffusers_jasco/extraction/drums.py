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

"""Drum separation."""

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from diffusers.utils import logging

from ..audio.stream import AudioStream
from ..utils.errors import InputError
from ..utils.files import hash_file
from ..utils.optional_imports import import_optional
from . import drum_mask
from .lists import accepts_lists
from .progress import SecondsBar


logger = logging.get_logger(__name__)

METHODS = ("auto", "demucs", "builtin")


@accepts_lists
def separate_drums(
    audio: Any,
    sampling_rate: int | None = None,
    method: Literal["auto", "demucs", "builtin"] = "auto",
    progress: bool = False,
) -> tuple[torch.Tensor, int]:
    r"""
    Separates the drums from a recording.

    Args:
        audio (`str`, `os.PathLike`, `torch.Tensor` or `np.ndarray`, or a `list` of them):
            A file, or a waveform `(samples,)` or `(channels, samples)`, whose channels are averaged. It is read in
            blocks: apart from the result, memory does not grow with its length.
        sampling_rate (`int`, *optional*):
            Sampling rate of waveforms in Hz.
        method (`str`, defaults to `"auto"`):
            - `"demucs"`: htdemucs (Rouard et al., 2023), as in AudioCraft. Requires `pip install
              "diffusers-jasco[drums]"` and its weights, which are not downloaded automatically (the error message
              contains their URL and destination).
            - `"builtin"`: a network that ships with this package.
            - `"auto"`: `"demucs"` if its package and weights are installed, otherwise `"builtin"`; the choice is
              logged.
        progress (`bool`, defaults to `False`):
            Whether to show a progress bar.

    Returns:
        `tuple` of the drums `(1, samples)` and their sampling rate in Hz: 44100 (`"demucs"`) or 32000 (`"builtin"`).
        For a list of recordings, a list of tuples.

    Raises:
        `FileNotFoundError`: if a file does not exist, or Demucs' weights for `"demucs"`.
        `ImportError`: for `"demucs"` if Demucs is not installed.
        [`InputError`]: for input that is not audio, or an unknown method.
        `ValueError`: if the file of Demucs' weights is not the one published by its authors.
    """
    stream = DrumStream(audio, sampling_rate, method, progress)
    drums, start = torch.empty(1, stream.num_samples), 0
    for block in stream:
        drums[0, start : start + len(block)] = torch.from_numpy(block)
        start += len(block)
    return drums, stream.rate


class DrumStream:
    r"""
    Streams the drums of a recording block by block: [`separate_drums`] in constant memory.

    Args:
        audio, sampling_rate, method, progress: as [`separate_drums`], for one recording.
        channel (`int`, *optional*): the channel whose drums are separated, by default the mean of all.
    """

    def __init__(
        self,
        audio: Any,
        sampling_rate: int | None = None,
        method: str = "auto",
        progress: bool = False,
        channel: int | None = None,
    ):
        if method not in METHODS:
            raise InputError(f"`method` has to be one of {', '.join(METHODS)}, but is {method!r}.", "method")
        if method == "auto":
            method = "demucs" if _demucs_package() is not None and _demucs_weights() is not None else "builtin"
            logger.info(f"Separating drums with method={method!r}.")
        self._separator = _demucs() if method == "demucs" else _builtin()
        self.rate = self._separator.rate
        self._stream = AudioStream(audio, sampling_rate, self.rate, channel)
        # Levels are relative to the loudness of the whole recording, so it is read twice.
        self.num_samples, loudness = _measure(self._stream)
        self._loudness = max(loudness, 1e-6)
        self._progress = progress

    def __iter__(self) -> Iterator[np.ndarray]:
        """Blocks `(samples,)` in float32 at `rate`."""
        separator = self._separator
        with SecondsBar("drums", self._stream.duration, self._progress) as bar:
            for samples, inside in _blocks(self._stream, self.num_samples, separator.size, separator.context):
                with torch.inference_mode():
                    block = separator.separate(samples / self._loudness)[inside] * self._loudness
                yield block.numpy()
                bar.update(len(block) / self.rate)


class _Separator(NamedTuple):
    """
    Maps samples `(samples,)` to drums `(samples,)`, for blocks of `size` samples with `context` more on either side.
    """

    rate: int
    size: int
    context: int
    separate: Callable[[torch.Tensor], torch.Tensor]


def _measure(stream: AudioStream) -> tuple[int, float]:
    """The number of samples and the root mean square of a whole recording."""
    num_samples, power = 0, 0.0
    for block in stream:
        num_samples, power = num_samples + len(block), power + float((block.astype("float64") ** 2).sum())
    return num_samples, math.sqrt(power / max(num_samples, 1))


def _blocks(stream: AudioStream, num_samples: int, size: int, context: int) -> Iterator[tuple[torch.Tensor, slice]]:
    """Yields the samples of each block with the available context, and the position of the block within them."""
    start = 0
    for frames in stream.frames(size + 2 * context, size, before=context):
        for frame in frames:
            before, count = min(context, start), min(size, num_samples - start)
            samples = torch.tensor(frame[context - before : context + num_samples - start])
            yield samples, slice(before, before + count)
            start += size


# 1. The built-in network

_BLOCK = 768  # frames per block, without its context: 12 s


@lru_cache(maxsize=1)
def _builtin_model() -> drum_mask.DrumMaskModel:
    model = drum_mask.DrumMaskModel.from_pretrained(Path(__file__).parent / "weights" / "drums")
    return model.float().eval().to(memory_format=torch.channels_last)


def _builtin() -> _Separator:
    model = _builtin_model()

    def separate(samples: torch.Tensor) -> torch.Tensor:
        drums = model(drum_mask.spectrogram(samples[None]))
        return drum_mask.inverse_spectrogram(drums, len(samples))[0]

    # The windows of both transforms add two frames each. Blocks have to start at a multiple of the stride.
    context = (model.context + drum_mask.TIME_STRIDE) * drum_mask.HOP
    return _Separator(drum_mask.RATE, _BLOCK * drum_mask.HOP, context, separate)


# 2. Demucs

_DEMUCS_OVERLAP = 0.25
_DEMUCS_BLOCK, _DEMUCS_CONTEXT = 8, 2  # steps between segments: 47 s and 12 s
_DEMUCS_FILE = "955717e8-8726e21a.th"
_DEMUCS_SHA256 = "8726e21a993978c7ba086d3872e7608d7d5bfca646ca4aca459ffda844faa8b4"
_DEMUCS_URL = f"https://dl.fbaipublicfiles.com/demucs/hybrid_transformer/{_DEMUCS_FILE}"


def _demucs_package() -> str | None:
    return next((name for name in ("demucs_infer", "demucs") if find_spec(name) is not None), None)


def _demucs_weights() -> Path | None:
    """The weights of htdemucs in the cache of either package, or `None`."""
    folders = (Path(torch.hub.get_dir(), "checkpoints"), Path.home() / ".cache" / "demucs-infer")
    return next((folder / _DEMUCS_FILE for folder in folders if (folder / _DEMUCS_FILE).is_file()), None)


@lru_cache(maxsize=1)
def _demucs_model() -> Any:
    states = import_optional(f"{_demucs_package() or 'demucs_infer'}.states", "drums")
    path = _demucs_weights()
    if path is None:
        raise FileNotFoundError(
            f"Demucs' weights are not installed: download {_DEMUCS_URL} to"
            f" {Path(torch.hub.get_dir(), 'checkpoints')}, or use method='builtin'."
        )
    # The file is a pickle, so only the one published by Demucs' authors is opened.
    if hash_file(path) != _DEMUCS_SHA256:
        raise ValueError(f"{path} is not the file published by Demucs' authors: download it again from {_DEMUCS_URL}.")
    # Not `get_model`, which would download missing files.
    return states.load_model(torch.load(path, map_location="cpu", weights_only=False)).eval()


def _demucs() -> _Separator:
    model = _demucs_model()
    apply_model = import_optional(f"{_demucs_package()}.apply", "drums").apply_model
    drums = model.sources.index("drums")

    def separate(samples: torch.Tensor) -> torch.Tensor:
        # No shifts, since they are random.
        stems = apply_model(model, samples.expand(1, 2, -1), shifts=0, overlap=_DEMUCS_OVERLAP)
        return stems[0, drums].mean(dim=0)

    # Blocks are aligned with Demucs' segments, so that the result equals that of a single call.
    step = int((1 - _DEMUCS_OVERLAP) * int(model.samplerate * model.segment))
    return _Separator(model.samplerate, _DEMUCS_BLOCK * step, _DEMUCS_CONTEXT * step, separate)
