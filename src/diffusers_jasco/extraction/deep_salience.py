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

"""
AudioCraft's melody extractor: Bittner et al., "Deep Salience Representations for F0 Estimation in Polyphonic Music"
(2017), with its authors' published weights `multif0` (MIT).
"""

import math
import os
import warnings
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..audio.stream import AudioStream
from ..utils.errors import InputError
from ..utils.optional_imports import compiles_with_numba, import_optional
from .progress import SecondsBar


RATE = 22050  # Hz
HOP = 256  # samples
HARMONICS = (0.5, 1, 2, 3, 4, 5)
LOWEST_FREQUENCY = 32.7  # Hz: the lowest of the 360 bins, of harmonic 1
BINS_PER_OCTAVE, NUM_BINS = 60, 360
G2_BIN = round(
    BINS_PER_OCTAVE * math.log2(440 * 2 ** ((43 - 69) / 12) / LOWEST_FREQUENCY)
)  # the center of the lowest note
DYNAMIC_RANGE = 80.0  # dB
CHUNK = 2000  # frames per forward pass, zero-padded at the edges
_CONTEXT = 384  # frames of audio around a chunk, to cover the longest filter (5.3 s)

# Layer names in the weights file, kernel sizes (frequency, time), and output channels.
_CONVOLUTIONS = (
    ("bendy1", (5, 5), 128),
    ("bendy2", (5, 5), 64),
    ("smoothy1", (3, 3), 64),
    ("smoothy2", (3, 3), 64),
    ("distribute", (70, 3), 8),
    ("squishy", (1, 1), 1),
)


class DeepSalience(nn.Module):
    """
    The network: `(batch, 6 harmonics, 360 bins, frames)`, each in [0, 1] → salience `(batch, 360, frames)` in [0, 1].
    """

    def __init__(self):
        super().__init__()
        self.norms, self.convs = nn.ModuleList(), nn.ModuleList()
        channels = len(HARMONICS)
        for _, kernel, out_channels in _CONVOLUTIONS:
            self.norms.append(nn.BatchNorm2d(channels, eps=1e-3))
            self.convs.append(nn.Conv2d(channels, out_channels, kernel, padding="same"))
            channels = out_channels

    @classmethod
    def from_keras(cls, path: str | os.PathLike) -> "DeepSalience":
        r"""
        Reads a Keras weights file. Only numbers are read; nothing in the file is executed.

        Args:
            path (`str` or `os.PathLike`):
                `multif0.h5` of github.com/rabitt/ismir2017-deepsalience (in `predict/weights`).

        Raises:
            `FileNotFoundError`: if the file does not exist.
            `ImportError`: if h5py is not installed.
            [`InputError`]: if the file does not contain the network's weights.
        """
        if not os.path.isfile(path):
            raise FileNotFoundError(f"`weights`: the file {os.fspath(path)} does not exist.")
        h5py = import_optional("h5py", "extraction")
        model = cls().eval()
        try:
            with h5py.File(path, "r") as file:
                names = [name.decode() if isinstance(name, bytes) else name for name in file.attrs["layer_names"]]
                norms = [name for name in names if name.startswith("batch_normalization")]
                for norm, norm_name, conv, (conv_name, _, _) in zip(
                    model.norms, norms, model.convs, _CONVOLUTIONS, strict=True
                ):
                    for target, name in (
                        (norm.weight, "gamma"),
                        (norm.bias, "beta"),
                        (norm.running_mean, "moving_mean"),
                        (norm.running_var, "moving_variance"),
                    ):
                        _copy(target, _weight(file[norm_name], name))
                    # Keras kernels have the shape (height, width, in, out).
                    _copy(conv.weight, _weight(file[conv_name], "kernel").transpose(3, 2, 0, 1))
                    _copy(conv.bias, _weight(file[conv_name], "bias"))
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            raise InputError(
                f"`weights`: {os.fspath(path)} does not contain the network's weights ({error}).", "weights"
            ) from error
        return model

    def forward(self, harmonics: torch.Tensor) -> torch.Tensor:
        hidden = harmonics
        for norm, conv in zip(self.norms, self.convs):
            hidden = _convolve_pairs(conv, norm(hidden)) if conv.kernel_size[0] == 70 else conv(norm(hidden))
            hidden = hidden.relu() if conv is not self.convs[-1] else hidden.sigmoid()
        return hidden[:, 0]


def _convolve_pairs(conv: nn.Conv2d, hidden: torch.Tensor) -> torch.Tensor:
    """
    `conv(hidden)`, for two bins at a time: twice as many output channels take hardly longer, as vectors are longer than
    eight numbers.
    """
    assert conv.bias is not None
    height, width = conv.kernel_size
    num_bins, before = hidden.shape[2], (height - 1) // 2
    weight = torch.cat([F.pad(conv.weight, (0, 0, 0, 1)), F.pad(conv.weight, (0, 0, 1, 0))])
    hidden = F.pad(hidden, (width // 2, width // 2, before, height - before - 1 + num_bins % 2))
    pairs = F.conv2d(hidden, weight.contiguous(memory_format=torch.channels_last), conv.bias.repeat(2), stride=(2, 1))
    return pairs.unflatten(1, (2, -1)).permute(0, 2, 3, 1, 4).flatten(2, 3)[:, :, :num_bins]


def _weight(group, name: str) -> np.ndarray:
    """The single array in a layer's group whose name begins with `name`."""
    found = []
    group.visititems(lambda path, item: found.append(item) if path.rsplit("/")[-1].startswith(f"{name}:") else None)
    if len(found) != 1:
        raise ValueError(f"{len(found)} arrays {name!r} in {group.name}")
    return np.asarray(found[0], dtype=np.float32)


def _copy(target: torch.Tensor, values: np.ndarray):
    if tuple(target.shape) != values.shape:
        raise ValueError(f"shape {values.shape} instead of {tuple(target.shape)}")
    with torch.no_grad():
        target.copy_(torch.from_numpy(np.ascontiguousarray(values)))


@compiles_with_numba
def _magnitudes(samples: np.ndarray, harmonic: float) -> np.ndarray:
    """Magnitudes `(bins, frames)` of a constant-Q transform that starts at a harmonic of the lowest frequency."""
    librosa = import_optional("librosa", "extraction")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_fft=")
        transform = librosa.cqt(
            samples,
            sr=RATE,
            hop_length=HOP,
            fmin=LOWEST_FREQUENCY * harmonic,
            n_bins=NUM_BINS,
            bins_per_octave=BINS_PER_OCTAVE,
        )
    return np.abs(transform)


def _harmonic_transforms(stream: AudioStream, num_frames: int) -> Iterator[np.ndarray]:
    """Magnitudes `(harmonics, bins, frames)` of constant-Q transforms, chunk by chunk."""
    context, step = _CONTEXT * HOP, CHUNK * HOP
    start = 0
    for blocks in stream.frames(step + 2 * context, step, before=context):
        for block in blocks:
            if start >= num_frames:
                return
            # librosa pads the ends of the recording with silence itself.
            before = min(start, _CONTEXT)
            end = min(len(block), context + (num_frames - 1 - start) * HOP + HOP)
            samples = block[(_CONTEXT - before) * HOP : end]
            count = min(CHUNK, num_frames - start)
            yield np.stack([_magnitudes(samples, harmonic)[:, before : before + count] for harmonic in HARMONICS])
            start += CHUNK


def deep_salience(stream: AudioStream, weights: str | os.PathLike, progress: bool = False) -> np.ndarray:
    r"""
    Computes the salience of every fifth of a semitone. Levels are relative to the maximum of the whole recording,
    which is therefore read twice.

    Args:
        stream (`AudioStream`): the recording, at 22050 Hz.
        weights (`str` or `os.PathLike`): see [`DeepSalience.from_keras`].
        progress (`bool`): whether to show a progress bar.

    Returns:
        `np.ndarray` of shape `(frames, 360)`: float32 in [0, 1]; frame `i` is centered on sample `256 i`.
    """
    empty = np.zeros((0, NUM_BINS), dtype=np.float32)
    return np.concatenate([empty, *salience_blocks(stream, weights, progress)])


@torch.inference_mode()
def salience_blocks(stream: AudioStream, weights: str | os.PathLike, progress: bool = False) -> Iterator[np.ndarray]:
    """Yields the salience of [`deep_salience`] in consecutive blocks, in bounded memory."""
    model = DeepSalience.from_keras(weights).to(memory_format=torch.channels_last)
    num_frames = 1 + int(stream.duration * RATE) // HOP
    peak = max((float(part.max()) for part in _harmonic_transforms(stream, num_frames)), default=0.0)
    with SecondsBar("melody", stream.duration, progress) as bar:
        for magnitudes in _harmonic_transforms(stream, num_frames):
            floor = max(1e-5, peak * 10 ** (-DYNAMIC_RANGE / 20))
            levels = 1 + 20 * np.log10(np.maximum(magnitudes, floor) / max(peak, 1e-5)) / DYNAMIC_RANGE
            yield model(torch.from_numpy(levels.astype(np.float32))[None])[0].T.float().numpy()
            bar.update(magnitudes.shape[-1] * HOP / RATE)


def fold_semitones(salience: np.ndarray) -> np.ndarray:
    r"""
    Takes the maximum over the fifths of each semitone from G2 to B6.

    Args:
        salience (`np.ndarray` of shape `(frames, 360)`): from [`deep_salience`], with values below the threshold set
            to 0.

    Returns:
        `np.ndarray` of shape `(frames, 53)`.
    """
    return salience[:, G2_BIN - 2 : G2_BIN - 2 + 5 * 53].reshape(-1, 53, 5).max(axis=2)
