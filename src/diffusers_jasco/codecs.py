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
Audio codecs: loading, encoding and decoding in bounded memory, drum latents, and hashes.

Only this module calls the submodules of a codec (`encoder`, `decoder`, `quantizer`). A codec is an
[`~transformers.EncodecModel`] or a [`SpectralCodecModel`]. Latents have the shape `(batch, frames, latent_dim)`, as in
the transformer.
"""

import hashlib
import itertools
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from copy import copy, deepcopy
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import torch
from einops import reduce, repeat
from torch import nn
from torch.nn import functional as F
from transformers import EncodecModel
from transformers.models.encodec.modeling_encodec import EncodecLSTM

from .audio.resampling import resample_period
from .models.codec_spectral import SpectralCodecModel
from .utils.files import component_folder


Codec: TypeAlias = EncodecModel | SpectralCodecModel

# Longer audio is encoded and decoded in chunks of this length.
CHUNK_SECONDS = 10.0
# Seconds that are decoded before the beginning of a loop, and of the crossfade at its seam.
LOOP_CONTEXT = 2.0
LOOP_FADE = 0.1
# Largest relative change of the length of a loop. Resampling changes the pitch of EnCodec's audio, by at most 3.5 cents.
# The highest tuned oscillators of a spectral codec stay below the Nyquist frequency.
_MAX_RESAMPLING = 0.002
_MAX_TUNING = 0.02
# Length of each half of the noise that the reach is measured with, and the relative difference that counts.
_REACH_SECONDS = 2.0
_REACH_THRESHOLD = 0.02
_REACHES: WeakKeyDictionary[Codec, tuple[int, int]] = WeakKeyDictionary()


def load_codec(folder: str | os.PathLike) -> Codec:
    r"""
    Loads a codec in float32. Its class is named in its `config.json`.

    Args:
        folder (`str` or `os.PathLike`): folder of the codec, or of a pipeline that has one.

    Returns:
        [`~transformers.EncodecModel`] or [`SpectralCodecModel`]: the codec.

    Raises:
        `FileNotFoundError`: if the folder does not contain a codec.
        `ValueError`: for an unsupported class.
    """
    folder = Path(component_folder(folder, "codec"))
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"There is no codec in {folder}: config.json is missing.")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    name = config.get("_class_name") or (config.get("architectures") or ["EncodecModel"])[0]
    if name == "EncodecModel":
        return EncodecModel.from_pretrained(folder, dtype=torch.float32).eval()
    if name == "SpectralCodecModel":
        return SpectralCodecModel.from_pretrained(folder, torch_dtype=torch.float32).eval()
    raise ValueError(f"The codec in {folder} is of class {name}: neither EncodecModel nor SpectralCodecModel.")


def num_channels(codec: Codec) -> int:
    """The number of audio channels of a codec."""
    # `SpectralCodecModel` is always mono.
    return getattr(codec.config, "audio_channels", 1)


@torch.no_grad()
def encode(codec: Codec, waveform: torch.Tensor) -> torch.Tensor:
    r"""
    Encodes audio, in chunks if it is long. The result equals that of the encoder on the whole input (within 1e-5 in
    float32), but apart from the latents, memory does not grow with the length.

    Transformers computes the padding at the end of EnCodec's input in float32, which rounds lengths above 2^24 samples
    (8.7 minutes at 32 kHz). Its one-shot result then differs in the last frames unless the length is a whole number of
    frames.

    An EnCodec with `norm_type="time_group_norm"` normalizes over the whole length and is not run in chunks. EnCodec's
    `normalize` and `chunk_length_s` apply to its quantized codes and are ignored: the level of the waveform is kept.

    Args:
        codec ([`~transformers.EncodecModel`] or [`SpectralCodecModel`]):
            The codec.
        waveform (`torch.Tensor` of shape `(batch, channels, samples)`):
            Audio at the codec's sampling rate, on any device and of any dtype. Mono audio is repeated for all channels
            of the codec.

    Returns:
        `torch.Tensor` of shape `(batch, frames, latent_dim)`: latents, neither quantized nor normalized, in float32 on
        the codec's device. An incomplete last frame is padded.

    Raises:
        `ValueError`: for an invalid shape or empty audio.
    """
    return _join(_encode_chunks(codec, waveform), 1, -(-waveform.shape[-1] // codec.config.hop_length))


@torch.no_grad()
def measure_reach(codec: Codec) -> tuple[int, int]:
    r"""
    Measures how far latents depend on the sound before and after their frame, on noise whose first or second half changes.
    Each codec is measured once, in float32, as rounding errors would count as changes.

    Args:
        codec ([`~transformers.EncodecModel`] or [`SpectralCodecModel`]): the codec.

    Returns:
        `tuple[int, int]`: the number of frames before a change, and after it, that the change alters by more than 2% of the
        standard deviations of the channels.
    """
    if codec not in _REACHES:
        _REACHES[codec] = _measure_reach(_in_float32(codec))
    return _REACHES[codec]


def _in_float32(codec: Codec) -> Codec:
    """The codec, or a copy of its encoder in float32."""
    if codec.dtype == torch.float32 or not isinstance(codec, EncodecModel):
        return codec
    converted = copy(codec)
    converted._modules = codec._modules | {"encoder": deepcopy(codec.encoder).float()}
    # An offload hook would move the other parts of the codec.
    converted.__dict__.pop("_hf_hook", None)
    return converted


def _measure_reach(codec: Codec) -> tuple[int, int]:
    hop = codec.config.hop_length
    half = math.ceil(_REACH_SECONDS * codec.config.sampling_rate / hop)
    generator = torch.Generator().manual_seed(0)
    # A random walk has the low frequencies of music, for which codecs use the longest windows.
    noise = 0.1 * torch.randn(3, 1, half * hop, generator=generator).cumsum(dim=-1)
    noise = noise - noise.mean(dim=-1, keepdim=True)
    first, second, other = (single / single.std() * 0.1 for single in noise)
    rows = [(first, second), (first, other), (other, second)]
    original, later, earlier = encode(codec, torch.stack([torch.cat(row, dim=-1) for row in rows]))
    deviations = original.std(dim=0) + 1e-6
    before, after = (
        ((changed - original) / deviations).square().mean(dim=-1).sqrt() > _REACH_THRESHOLD
        for changed in (later, earlier)
    )
    return int(before[:half].flip(0).long().cumprod(0).sum()), int(after[half:].long().cumprod(0).sum())


@torch.no_grad()
def decode(codec: Codec, latents: torch.Tensor) -> torch.Tensor:
    r"""
    Decodes latents, in chunks if there are many frames. The result equals that of the decoder on the whole input
    (within 1e-5 in float32); memory and exceptions are as in [`encode`].

    Args:
        codec ([`~transformers.EncodecModel`] or [`SpectralCodecModel`]):
            The codec.
        latents (`torch.Tensor` of shape `(batch, frames, latent_dim)`):
            Latents that are not normalized, on any device and of any dtype.

    Returns:
        `torch.Tensor` of shape `(batch, channels, samples)`: audio in float32 on the codec's device. It may exceed ±1.
    """
    return _decode(codec, latents)


def _decode(codec: Codec, latents: torch.Tensor, tuning: float = 1.0) -> torch.Tensor:
    return _join(_decode_chunks(codec, latents, tuning), 2, latents.shape[1] * codec.config.hop_length)


def can_stretch(codec: Codec, num_frames: int, num_samples: int) -> bool:
    r"""
    Whether [`decode_loop`] can make a number of samples from a number of frames. The length of a frame may change by 2%
    with a spectral codec, and by 0.2% with EnCodec, whose pitch changes with it.

    Args:
        codec ([`~transformers.EncodecModel`] or [`SpectralCodecModel`]): the codec.
        num_frames (`int`): length of the latents.
        num_samples (`int`): length of the audio.
    """
    largest = _MAX_TUNING if isinstance(codec, SpectralCodecModel) else _MAX_RESAMPLING
    return abs(num_samples / (num_frames * codec.config.hop_length) - 1) <= largest


@torch.no_grad()
def decode_loop(codec: Codec, latents: torch.Tensor, num_samples: int | None = None) -> torch.Tensor:
    r"""
    Decodes latents whose end continues with their beginning, to audio that can be repeated without a click: the
    beginning is an equal-power crossfade from what would follow the end, as the phases of a codec's oscillators do not
    return to those of the beginning by themselves.

    Args:
        codec ([`~transformers.EncodecModel`] or [`SpectralCodecModel`]): the codec.
        latents (`torch.Tensor` of shape `(batch, frames, latent_dim)`): as in [`decode`].
        num_samples (`int`, *optional*):
            Length of the audio, by default that of whole frames. For another length, all of the audio is stretched by
            resampling; the oscillators of a spectral codec are tuned so that their pitch does not change.

    Returns:
        `torch.Tensor` of shape `(batch, channels, samples)`: as in [`decode`].

    Raises:
        `ValueError`: for a length for which [`can_stretch`] is false.
    """
    num_frames = latents.shape[1]
    size = num_frames * codec.config.hop_length
    num_samples = size if num_samples is None else num_samples
    if not can_stretch(codec, num_frames, num_samples):
        raise ValueError(
            f"A loop of {num_frames} frames ({size} samples) can't be stretched to {num_samples} samples."
        )
    rate = codec.config.sampling_rate / codec.config.hop_length
    fade, context = math.ceil(LOOP_FADE * rate), math.ceil(LOOP_CONTEXT * rate)
    fade = min(fade, num_frames)
    around = torch.arange(-context, num_frames + fade + context, device=latents.device) % num_frames
    audio = _decode(codec, latents[:, around], num_samples / size)
    hop = audio.shape[-1] // len(around)
    start, end, length = context * hop, (context + num_frames) * hop, fade * hop
    angle = torch.linspace(0, math.pi / 2, length, device=audio.device)
    beginning = audio[..., start : start + length] * angle.sin() + audio[..., end : end + length] * angle.cos()
    return resample_period(torch.cat([beginning, audio[..., start + length : end]], dim=-1), num_samples)


@torch.no_grad()
def drum_codes(codec: Codec, waveform: torch.Tensor) -> torch.Tensor:
    r"""
    Returns the indices of the first codebook's entries that are nearest to the latents.

    Args:
        codec ([`~transformers.EncodecModel`] or [`SpectralCodecModel`]): the codec.
        waveform (`torch.Tensor` of shape `(batch, channels, samples)`): drums, as in [`encode`].

    Returns:
        `torch.Tensor` of shape `(batch, frames)`: indices.
    """
    codebook: Any = codec.quantizer.layers[0]
    chunks = (latents.transpose(1, 2).to(codec.dtype) for latents in _encode_chunks(codec, waveform))
    return torch.cat([codebook.encode(chunk) for chunk in chunks], dim=1)


@torch.no_grad()
def encode_drums(codec: Codec, waveform: torch.Tensor, blur: int) -> torch.Tensor:
    r"""
    Encodes the drum condition: the nearest entries of the first codebook, averaged over groups of `blur` frames (§3.2
    of the paper), which preserves the rhythm but not the sound.

    Args:
        codec ([`~transformers.EncodecModel`] or [`SpectralCodecModel`]):
            The codec.
        waveform (`torch.Tensor` of shape `(batch, channels, samples)`):
            Drums, as in [`encode`].
        blur (`int`):
            Frames per group; see [`blur_frames`].

    Returns:
        `torch.Tensor` of shape `(batch, frames, latent_dim)`: drum latents in float32 on the codec's device.
    """
    codebook: Any = codec.quantizer.layers[0]
    vectors = codebook.decode(drum_codes(codec, waveform))  # (batch, latent_dim, frames)
    return blur_frames(vectors.transpose(1, 2).float(), blur)


def blur_frames(latents: torch.Tensor, blur: int) -> torch.Tensor:
    r"""
    Replaces frames by the means of groups of frames.

    Args:
        latents (`torch.Tensor` of shape `(batch, frames, dim)`):
            Latents.
        blur (`int`):
            Frames per group. An incomplete last group is padded by reflection, or with its last frame if there are too
            few frames to reflect.

    Returns:
        `torch.Tensor` of shape `(batch, frames, dim)`.
    """
    if blur == 1:
        return latents
    frames = latents.shape[1]
    if missing := -frames % blur:
        mode = "reflect" if missing < frames else "replicate"
        latents = F.pad(latents.transpose(1, 2), (0, missing), mode=mode).transpose(1, 2)
    groups = reduce(latents, "batch (groups blur) dim -> batch groups dim", "mean", blur=blur)
    return repeat(groups, "batch groups dim -> batch (groups blur) dim", blur=blur)[:, :frames]


def codebooks(codec: Codec) -> list[nn.Module]:
    """The codebooks of a codec: modules with a buffer `embed` `(entries, latent_dim)`."""
    return [getattr(layer, "codebook", layer) for layer in codec.quantizer.layers]


def first_codebook(codec: Codec) -> torch.Tensor:
    """A copy of the first codebook, of shape `(entries, latent_dim)`, in float32 on the CPU."""
    return codebooks(codec)[0].get_buffer("embed").detach().to("cpu", torch.float32, copy=True)


def codec_hash(codec: Codec) -> str:
    """
    A hash of the codec's configuration, without entries that do not affect the latents (versions, paths, dtypes).
    """
    config = codec.config.to_dict() if hasattr(codec.config, "to_dict") else dict(codec.config)
    ignored = {"transformers_version", "torch_dtype", "dtype", "architectures", "model_type", "num_parameters"}
    ignored |= {"look_ahead"}  # of the decoder only
    config = {key: value for key, value in config.items() if key not in ignored and not key.startswith("_")}
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()[:16]


def is_same_codec(codec: Codec, other_hash: str, other_codebook: torch.Tensor) -> bool:
    r"""
    Whether two codecs have the same latents, regardless of their precision.

    Args:
        codec (`torch.nn.Module`): the codec.
        other_hash (`str`): [`codec_hash`] of the other codec.
        other_codebook (`torch.Tensor` of shape `(entries, latent_dim)`): [`first_codebook`] of the other codec.
    """
    codebook = first_codebook(codec)
    if codec_hash(codec) != other_hash or codebook.shape != other_codebook.shape:
        return False
    return bool((codebook - other_codebook).norm() <= 0.01 * other_codebook.norm())


def _onload(codec: Codec) -> nn.Parameter:
    """Moves an offloaded codec to its device, and returns one of its parameters."""
    # The offload hook of `EncodecModel` runs only in `forward`, not when a submodule is called.
    if hasattr(codec, "_hf_hook"):
        codec._hf_hook.pre_forward(codec)
    return next(codec.parameters())


def _chunk_frames(codec: Codec, num_frames: int) -> int:
    if getattr(codec.config, "norm_type", None) == "time_group_norm":
        return num_frames
    return max(1, round(CHUNK_SECONDS * codec.config.sampling_rate / codec.config.hop_length))


def _join(chunks: Iterator[torch.Tensor], dim: int, size: int) -> torch.Tensor:
    """Concatenates chunks to a known size, without holding all of them at once besides the result."""
    chunk = next(chunks)
    if chunk.shape[dim] == size:
        return chunk
    result = chunk.new_empty(*chunk.shape[:dim], size, *chunk.shape[dim + 1 :])
    first = 0
    for part in itertools.chain([chunk], chunks):
        result.narrow(dim, first, part.shape[dim]).copy_(part)
        first += part.shape[dim]
    return result


def _encode_chunks(codec: Codec, waveform: torch.Tensor) -> Iterator[torch.Tensor]:
    """Latents `(batch, frames, latent_dim)`, chunk by chunk."""
    parameter, hop = _onload(codec), codec.config.hop_length
    encoder: Any = codec.encoder
    channels = num_channels(codec)
    if waveform.ndim != 3 or waveform.shape[1] not in (1, channels) or waveform.shape[-1] == 0:
        raise ValueError(
            f"`waveform` has to have shape (batch, 1 or {channels} channels, samples), but has {tuple(waveform.shape)}."
        )
    num_frames = -(-waveform.shape[-1] // hop)
    size = _chunk_frames(codec, num_frames)
    waveform = waveform.expand(-1, channels, -1)
    chunks = (chunk.to(parameter) for chunk in waveform.split(size * hop, dim=-1))
    encoded: Iterator[torch.Tensor]
    if num_frames <= size:
        encoded = map(encoder, chunks)
    elif isinstance(codec, SpectralCodecModel):
        encoded = _slide(lambda window, _: encoder(window), chunks, encoder.context, Fraction(1, hop))
    else:
        encoded = _run_encodec(encoder.layers, chunks)
    for latents in encoded:
        yield latents.transpose(1, 2).float()


def _decode_chunks(codec: Codec, latents: torch.Tensor, tuning: float) -> Iterator[torch.Tensor]:
    """Waveforms `(batch, channels, samples)`, chunk by chunk. `tuning` is of a spectral codec."""
    parameter = _onload(codec)
    decoder: Any = codec.decoder
    is_spectral = isinstance(codec, SpectralCodecModel)
    play = partial(decoder, tuning=tuning) if is_spectral and tuning != 1 else decoder
    size = _chunk_frames(codec, latents.shape[1])
    chunks = (chunk.transpose(1, 2).to(parameter) for chunk in latents.split(size, dim=1))
    decoded: Iterator[torch.Tensor]
    if latents.shape[1] <= size:
        decoded = map(play, chunks)
    elif is_spectral:
        decoded = _slide(play, chunks, decoder.context, Fraction(codec.config.hop_length))
    else:
        decoded = _run_encodec(decoder.layers, chunks)
    for waveform in decoded:
        yield waveform.float()


def _run_encodec(layers: nn.ModuleList, chunks: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    """
    Runs EnCodec's encoder or decoder: convolutions with context, and an LSTM whose state is carried across chunks.
    """
    position, recurrent = next((i, layer) for i, layer in enumerate(layers) if isinstance(layer, EncodecLSTM))
    hidden_states = _run_lstm(recurrent.lstm, _convolve(layers[:position], chunks))
    return _convolve(layers[position + 1 :], hidden_states)


def _run_lstm(lstm: nn.LSTM, chunks: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Like `EncodecLSTM`, which adds its input to its output."""
    state = None
    for chunk in chunks:
        inputs = chunk.permute(2, 0, 1)
        outputs, state = lstm(inputs, state)
        yield (outputs + inputs).permute(1, 2, 0)


def _convolve(layers: Iterable[nn.Module], chunks: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Runs convolutional layers of EnCodec with the context that they need."""
    network = nn.Sequential(*layers)
    rate, context = Fraction(1), Fraction(0)
    # Counts whole kernels, so that padding at the ends of a window stays within the context as well.
    for layer in network.modules():
        if isinstance(layer, nn.Conv1d):
            context += (layer.dilation[0] * (layer.kernel_size[0] - 1) + 1) / rate
            rate /= layer.stride[0]
        elif isinstance(layer, nn.ConvTranspose1d):
            rate *= layer.stride[0]
            context += layer.kernel_size[0] / rate
    hop = rate.denominator
    items = hop * math.ceil(context / hop)
    return _slide(lambda window, _: network(window), chunks, (items, items), rate)


def _slide(
    function: Callable[[torch.Tensor, int], torch.Tensor],
    chunks: Iterable[torch.Tensor],
    context: tuple[int, int],
    rate: Fraction,
) -> Iterator[torch.Tensor]:
    r"""
    Applies a function to a sequence chunk by chunk, with the same result as on the whole sequence: each call gets a
    window with context before and after the chunk.

    Args:
        function (`Callable`): called with a window `(batch, channels, items)` and the position of its first item.
        chunks (`Iterable[torch.Tensor]`): chunks `(batch, channels, items)`; the length of all but the last is a
            multiple of `1 / rate`.
        context (`tuple[int, int]`): items before and after on which an output depends, multiples of `1 / rate`.
        rate (`Fraction`): outputs per item; an incomplete last output counts as one.
    """
    chunks = iter(chunks)
    window = next(chunks)
    before, after = context
    # The window begins at item `first` of the sequence; the outputs of its first `done` items were already yielded.
    first, done, is_last = 0, 0, False
    while not is_last:
        following = next(chunks, None)
        is_last = following is None
        ready = window.shape[-1] - (0 if is_last else after)
        if ready > done:
            end = None if is_last else int(ready * rate)
            yield function(window, first)[..., int(done * rate) : end]
            surplus = max(ready - before, 0)
            window, first, done = window[..., surplus:], first + surplus, ready - surplus
        if following is not None:
            window = torch.cat([window, following], dim=-1)
