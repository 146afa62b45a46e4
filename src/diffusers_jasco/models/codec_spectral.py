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


import math
from collections.abc import Callable
from functools import cached_property, wraps

import torch
import torch.nn as nn
import torch.nn.functional as F
from diffusers import ModelMixin
from diffusers.configuration_utils import ConfigMixin, register_to_config

from ..audio.loudness import LIMITER_SECONDS, limit_peaks


# Magnitudes below this fraction of full scale are treated as silence.
_FLOOR = 1e-3
# Values per frame: noise needs a higher time resolution, for the onsets of drums.
_TONE_STEPS, _NOISE_STEPS = 4, 8
# Window lengths in seconds, and the MIDI pitch up to which each is used: low pitches are closer together in frequency.
_PITCH_WINDOWS = ((0.256, 60.0), (0.17, math.inf))
# Window lengths in seconds for the loudness and the selection of bass notes. A note is softened where another one within
# two semitones is louder, so the bass ends below the pitches of chords.
_BASS_WINDOWS, _BASS_NEIGHBORS, _BASS_END = (0.128, 0.5), 2, 48.0
# Samples between cached states of the noise generator; a multiple of 16, since torch draws normal numbers in blocks of
# 16.
_NOISE_BLOCK = 2**18


def _per_device(make: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """
    Decorator for methods that return a constant tensor: adds the device as first argument and caches the tensor per
    device. Unlike a buffer, the tensor stays in float32 when the model is cast.
    """

    @wraps(make)
    def get(self: nn.Module, device: torch.device, *args: int) -> torch.Tensor:
        tables = self.__dict__.setdefault("_tables", {})
        key = make.__name__, device, *args
        if key not in tables:
            # Tensors created in inference mode can't be used in training later.
            with torch.inference_mode(False):
                tables[key] = make(self, *args).to(device)
        return tables[key]

    return get


class SpectralAnalysis(nn.Module):
    """
    Maps waveforms (batch, 1, samples) to log magnitudes (batch, frames, features) of a constant-Q and a mel spectrum.
    The former resolves pitches, with one value per half semitone and frame; the latter resolves onsets, with eight
    values per band and frame.
    """

    def __init__(self, sampling_rate: int, hop_length: int, num_pitches: int, lowest_pitch: float, num_mels: int):
        super().__init__()
        self.sampling_rate = sampling_rate
        self.hop_length = hop_length
        self.num_pitches, self.lowest_pitch, self.num_mels = num_pitches, lowest_pitch, num_mels
        self.pitch_windows = [_fast_length(seconds * sampling_rate) for seconds, _ in _PITCH_WINDOWS]
        self.short_window = _fast_length(0.021 * sampling_rate)

    @_per_device
    def pitch_bank(self, number: int) -> torch.Tensor:
        """Weights (pitches, bins) of the pitches that are measured with one of the windows."""
        pitches = self.lowest_pitch + 0.5 * torch.arange(self.num_pitches)
        lower = _PITCH_WINDOWS[number - 1][1] if number else -math.inf
        chosen = pitches[(pitches >= lower) & (pitches < _PITCH_WINDOWS[number][1])]
        return _pitch_bank(chosen, self.pitch_windows[number], self.sampling_rate)

    @_per_device
    def mel_bank(self) -> torch.Tensor:
        return _mel_bank(self.num_mels, self.short_window, self.sampling_rate)

    @property
    def num_features(self) -> int:
        return self.num_pitches + _NOISE_STEPS * self.num_mels

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        num_frames = -(-waveform.shape[-1] // self.hop_length)
        waveform = F.pad(waveform[:, 0].float(), (0, num_frames * self.hop_length - waveform.shape[-1]))
        device = waveform.device
        pitches = [
            log_magnitudes(waveform, self.pitch_bank(device, number), window, self.hop_length)
            for number, window in enumerate(self.pitch_windows)
        ]
        mel_bank = self.mel_bank(device)
        mels = log_magnitudes(waveform, mel_bank, self.short_window, self.hop_length // _NOISE_STEPS)
        return torch.cat([*pitches, mels.reshape(len(mels), num_frames, -1)], dim=-1)


class SpectralEncoder(nn.Module):
    """Projects the analysis onto its principal components, half-whitened: (batch, latent_dim, frames)."""

    mean: torch.Tensor
    projection: torch.Tensor

    def __init__(self, analysis: SpectralAnalysis, latent_dim: int):
        super().__init__()
        self.analysis = analysis
        self.register_buffer("mean", torch.zeros(analysis.num_features))
        self.register_buffer("projection", torch.zeros(latent_dim, analysis.num_features))

    @property
    def context(self) -> tuple[int, int]:
        """Samples before and after a frame on which its latents depend, rounded up to whole frames."""
        hop = self.analysis.hop_length
        samples = hop * math.ceil(max(*self.analysis.pitch_windows, self.analysis.short_window) / hop)
        return samples, samples

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        features = self.analysis(waveform) - self.mean.float()
        return (self.projection.float() @ features.transpose(1, 2)).to(waveform.dtype)

    @torch.no_grad()
    def fit(self, features: torch.Tensor):
        r"""
        Computes the principal components in closed form.

        Args:
            features (`torch.Tensor` of shape `(frames, features)`): the analysis of a training set.
        """
        features = features.double()
        mean = features.mean(0)
        num_pitches = self.analysis.num_pitches
        weight = torch.ones(features.shape[1], dtype=torch.float64)
        # Both spectra have equal weight, regardless of their numbers of values.
        for part in (slice(0, num_pitches), slice(num_pitches, None)):
            weight[part] = (features[:, part] - mean[part]).square().sum(1).mean().rsqrt()
        centered = (features - mean) * weight
        variance, components = torch.linalg.eigh(centered.T @ centered / len(centered))
        order = variance.argsort(descending=True)[: len(self.projection)]
        variance, components = variance[order], components[:, order]
        components = components * components.sum(0).sign()
        # Half whitening: noise masks the weak components first, like details in images.
        scale = variance.pow(-0.25)
        scale = scale * (len(scale) / (variance * scale.square()).sum()).sqrt()
        self.mean.copy_(mean)
        self.projection.copy_(scale[:, None] * components.T * weight)


class LookAheadConv1d(nn.Conv1d):
    """A convolution over half of `kernel_size` of the frames before, the current one, and `look_ahead` after it."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, look_ahead: int, groups: int = 1):
        before = kernel_size // 2
        super().__init__(in_channels, out_channels, before + 1 + look_ahead, padding=before, groups=groups)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        # Padded alike on both sides: the surplus at the end is cut.
        return super().forward(hidden_states)[..., : hidden_states.shape[-1]]


class ConvNeXtBlock(nn.Module):
    def __init__(self, dim: int, look_ahead: int = 3, expansion: int = 3):
        super().__init__()
        self.depthwise = LookAheadConv1d(dim, dim, 7, look_ahead, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.linear_in = nn.Linear(dim, expansion * dim)
        self.linear_out = nn.Linear(expansion * dim, dim)
        nn.init.zeros_(self.linear_out.bias)
        nn.init.normal_(self.linear_out.weight, std=0.002)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        residual = self.norm(self.depthwise(hidden_states).transpose(1, 2))
        return hidden_states + self.linear_out(F.gelu(self.linear_in(residual))).transpose(1, 2)


class SpectralDecoder(nn.Module):
    """
    Maps latents (batch, latent_dim, frames) to waveforms (batch, 1, samples). A network predicts the loudness over
    time of sine oscillators (four values per frame) and noise bands (eight values per frame); the synthesis consists
    of matrix products.

    There are two oscillators per semitone above a certain pitch, and one below it, where the beating of two would be
    slow enough to sound like a rhythm.
    """

    def __init__(
        self,
        sampling_rate: int,
        hop_length: int,
        latent_dim: int,
        hidden_dim: int,
        num_layers: int,
        lowest_pitch: float,
        half_semitones_from: float,
        num_noise_bands: int,
        look_ahead: int | None = None,
    ):
        super().__init__()
        self.sampling_rate = sampling_rate
        self.tone_hop, self.noise_hop = hop_length // _TONE_STEPS, hop_length // _NOISE_STEPS
        highest_pitch = 69 + 12 * math.log2(0.485 * sampling_rate / 440)
        self.pitches = [
            *(lowest_pitch + step for step in range(math.ceil(half_semitones_from - lowest_pitch))),
            *(half_semitones_from + step / 2 for step in range(math.floor(2 * (highest_pitch - half_semitones_from)))),
        ]
        self.num_noise_bands = num_noise_bands
        self.num_tone_outputs = _TONE_STEPS * len(self.pitches)
        num_outputs = self.num_tone_outputs + _NOISE_STEPS * num_noise_bands
        # The first layers look ahead as far as they can.
        before = 1 + 3 * num_layers
        after = before if look_ahead is None else look_ahead
        self.network_context = before, after
        ahead = [min(1, after), *(min(max(after - 1 - 3 * layer, 0), 3) for layer in range(num_layers))]
        self.linear = LookAheadConv1d(latent_dim, num_outputs, 3, ahead[0])
        self.conv_in = LookAheadConv1d(latent_dim, hidden_dim, 3, ahead[0])
        self.blocks = nn.ModuleList([ConvNeXtBlock(hidden_dim, frames) for frames in ahead[1:]])
        self.norm = nn.LayerNorm(hidden_dim)
        self.linear_out = nn.Linear(hidden_dim, num_outputs)
        nn.init.zeros_(self.linear_out.weight)
        nn.init.zeros_(self.linear_out.bias)

    @property
    def context(self) -> tuple[int, int]:
        """Frames before and after a frame on which its waveform depends."""
        # One frame for the interpolation of loudness; the limiter depends on twice its own length.
        hop_length = _TONE_STEPS * self.tone_hop
        playing = 1 + math.ceil((2 * LIMITER_SECONDS * self.sampling_rate + 1) / hop_length)
        return self.network_context[0] + playing, self.network_context[1] + playing

    @cached_property
    def frequencies(self) -> torch.Tensor:
        """Frequencies of the oscillators (oscillators,) in cycles per sample, in float64 on the CPU."""
        pitches = torch.tensor(self.pitches, dtype=torch.float64)
        return 440 * 2 ** ((pitches - 69) / 12) / self.sampling_rate

    @_per_device
    def table(self) -> torch.Tensor:
        """The table of oscillators that are not tuned; see [`make_table`]."""
        return self.make_table()

    def make_table(self, tuning: float = 1.0) -> torch.Tensor:
        """Sines and cosines of the oscillators during a hop, fading out and fading in: (4 · oscillators, hop)."""
        # Staggered start phases: in-phase oscillators would add up to a click.
        phases = torch.rand(len(self.pitches), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        steps = torch.arange(self.tone_hop, dtype=torch.float64)
        angle = 2 * math.pi * (tuning * self.frequencies[:, None] * steps + phases[:, None])
        # Linear interpolation of the loudness.
        fade = (steps + 0.5) / self.tone_hop
        table = torch.cat([angle.sin(), angle.cos()])
        return torch.cat([table * (1 - fade), table * fade]).float()

    @_per_device
    def noise_bank(self) -> torch.Tensor:
        return _mel_bank(self.num_noise_bands, 2 * self.noise_hop, self.sampling_rate)

    def forward(self, latents: torch.Tensor, first_frame: int = 0, tuning: float = 1.0) -> torch.Tensor:
        r"""
        Args:
            latents (`torch.Tensor` of shape `(batch, latent_dim, frames)`):
                Latents.
            first_frame (`int`, defaults to `0`):
                Position of the latents in a longer piece, from which oscillators and noise continue.
            tuning (`float`, defaults to `1.0`):
                Factor of the frequencies of the oscillators, for audio that is resampled later.

        Returns:
            `torch.Tensor` of shape `(batch, 1, samples)`: waveforms.
        """
        return self.play(*self.predict(latents), first_frame, tuning).to(latents.dtype)

    def predict(self, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Nonnegative loudness of oscillators (batch, 4 · frames, …) and noise bands (batch, 8 · frames, …)."""
        hidden_states = self.conv_in(latents)
        for block in self.blocks:
            hidden_states = block(hidden_states)
        outputs = self.linear_out(self.norm(hidden_states.transpose(1, 2))) + self.linear(latents).transpose(1, 2)
        # Allows exact silence, unlike exp alone.
        loudness = F.softplus(outputs.float().clamp(max=3.0).exp() - _FLOOR, beta=2 / _FLOOR)
        tones, noise = loudness[..., : self.num_tone_outputs], loudness[..., self.num_tone_outputs :]
        return tones.unflatten(2, (_TONE_STEPS, -1)).flatten(1, 2), noise.unflatten(2, (_NOISE_STEPS, -1)).flatten(
            1, 2
        )

    def play(
        self, oscillators: torch.Tensor, noise: torch.Tensor, first_frame: int = 0, tuning: float = 1.0
    ) -> torch.Tensor:
        """Waveforms (batch, 1, samples) of the loudness of oscillators and noise bands."""
        waveform = self._play_oscillators(oscillators, first_frame, tuning) + self._play_noise(noise, first_frame)
        # Guidance inflates loudness, so limit it.
        return limit_peaks(waveform[:, None], self.sampling_rate)

    def _play_oscillators(self, loudness: torch.Tensor, first_frame: int, tuning: float) -> torch.Tensor:
        hops = first_frame * _TONE_STEPS + torch.arange(loudness.shape[1])
        # sin(a + b) from the angle a at the beginning of a hop and the table of steps b within it. In float64, since
        # float32 would be a quarter of a cycle off after ten minutes; on the CPU, since not all devices support
        # float64.
        angle = 2 * math.pi * ((tuning * self.frequencies * self.tone_hop)[None] * hops[:, None] % 1)
        turn = torch.cat([angle.cos(), angle.sin()], dim=-1).float().to(loudness.device)
        following = torch.cat([loudness[:, 1:], loudness[:, -1:]], dim=1)
        signals = torch.cat([loudness.repeat(1, 1, 2) * turn, following.repeat(1, 1, 2) * turn], dim=-1)
        # Only the usual table is cached: each duration of a loop has another tuning.
        table = self.table(loudness.device) if tuning == 1 else self.make_table(tuning).to(loudness.device)
        return (signals @ table).flatten(1)

    def _play_noise(self, loudness: torch.Tensor, first_frame: int) -> torch.Tensor:
        size = 2 * self.noise_hop
        window = torch.hann_window(size, device=loudness.device)
        start = first_frame * _NOISE_STEPS * self.noise_hop
        noise = self._draw_noise(start, start + (loudness.shape[1] + 1) * self.noise_hop).to(loudness.device)
        spectrum = torch.fft.rfft(noise.unfold(0, size, self.noise_hop) * window)
        bank = self.noise_bank(loudness.device)
        frames = torch.fft.irfft((loudness @ bank) * spectrum) / bank.sum(1).mean().sqrt()
        # Each frame is centered on the end of its hop; the halves of neighboring frames overlap.
        first, second = frames[..., : self.noise_hop], frames[..., self.noise_hop :]
        return (first + F.pad(second, (0, 0, 1, 0))[:, :-1]).flatten(1)

    def _draw_noise(self, start: int, end: int) -> torch.Tensor:
        """Samples of a fixed white noise signal, so that decoding is deterministic at any position."""
        generator = torch.Generator()
        states = self.__dict__.setdefault("_noise_states", {0: generator.manual_seed(1).get_state()})
        block = start // _NOISE_BLOCK
        for number in range(max(known for known in states if known <= block), block):
            torch.randn(_NOISE_BLOCK, generator=generator.set_state(states[number]))
            states[number + 1] = generator.get_state()
        block_start = block * _NOISE_BLOCK
        noise = torch.randn(end - block_start, generator=generator.set_state(states[block]))
        return noise[start - block_start :]

    @torch.no_grad()
    def fit(self, latents: torch.Tensor, loudness: torch.Tensor, ridge: float = 1e-3):
        r"""
        Fits the linear part in closed form, by least squares.

        Args:
            latents (`torch.Tensor` of shape `(clips, frames, latent_dim)`): latents of a training set.
            loudness (`torch.Tensor` of shape `(clips, frames, outputs)`): target log magnitudes.
        """
        taps = self.linear.kernel_size[0]
        padded = F.pad(latents, (0, 0, 1, taps - 2))
        context = torch.stack([padded[:, shift : shift + latents.shape[1]] for shift in range(taps)])
        inputs = context.permute(1, 2, 3, 0).flatten(2).flatten(0, 1).double()  # (…, latent_dim · taps)
        inputs = torch.cat([inputs, torch.ones_like(inputs[:, :1])], dim=1)
        gram = inputs.T @ inputs + ridge * len(inputs) * torch.eye(inputs.shape[1], dtype=torch.float64)
        solution = torch.linalg.solve(gram, inputs.T @ loudness.flatten(0, 1).double()).T
        self.linear.weight.copy_(solution[:, :-1].unflatten(1, (-1, taps)))
        self.linear.get_parameter("bias").copy_(solution[:, -1])


class Codebook(nn.Module):
    """Replaces latents (batch, latent_dim, frames) by their codebook vectors, like the quantizer of `EncodecModel`."""

    embed: torch.Tensor

    def __init__(self, size: int, dim: int):
        super().__init__()
        self.register_buffer("embed", torch.zeros(size, dim))

    def encode(self, latents: torch.Tensor) -> torch.Tensor:
        """Indices (batch, frames) of the nearest vectors."""
        return torch.cdist(latents.transpose(1, 2).float(), self.embed.float()[None]).argmin(dim=-1)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        return F.embedding(codes, self.embed).transpose(1, 2)


class SpectralQuantizer(nn.Module):
    def __init__(self, codebook_size: int, latent_dim: int):
        super().__init__()
        self.layers = nn.ModuleList([Codebook(codebook_size, latent_dim)])


class SpectralCodecModel(ModelMixin, ConfigMixin):
    r"""
    A small codec whose latents represent magnitudes without phases, so that a small flow model can predict them. It
    can replace the [`~transformers.EncodecModel`] of a JASCO pipeline, with the same `encoder`, `quantizer.layers[0]`
    and `decoder`.

    The encoder is fixed (principal components of a constant-Q and a mel spectrum). The decoder is a trained network
    that controls a bank of oscillators and noise, as in DDSP ([arXiv 2001.04643](https://arxiv.org/abs/2001.04643)).

    Args:
        sampling_rate (`int`, defaults to `16000`): sampling rate in Hz.
        hop_length (`int`, defaults to `640`): samples per frame, a multiple of 8.
        latent_dim (`int`, defaults to `64`): channels of the latents.
        num_pitches (`int`, defaults to `168`): half semitones of the constant-Q spectrum, from `lowest_pitch`.
        num_mels (`int`, defaults to `40`): bands of the mel spectrum.
        hidden_dim (`int`, defaults to `256`): width of the decoder.
        num_layers (`int`, defaults to `4`): blocks of the decoder.
        lowest_pitch (`float`, defaults to `23.0`): MIDI number of the lowest oscillator.
        half_semitones_from (`float`, defaults to `64.0`): MIDI number from which there are two oscillators per
            semitone.
        num_noise_bands (`int`, defaults to `48`): bands of the noise.
        codebook_size (`int`, defaults to `1024`): number of vectors of the codebook, which quantizes drums.
        look_ahead (`int`, *optional*): frames after a frame that the decoder's network looks at; by default as many as
            before it. The waveform depends on two more frames.
    """

    _supports_gradient_checkpointing = False

    @register_to_config
    def __init__(
        self,
        sampling_rate: int = 16000,
        hop_length: int = 640,
        latent_dim: int = 64,
        num_pitches: int = 168,
        num_mels: int = 40,
        hidden_dim: int = 256,
        num_layers: int = 4,
        lowest_pitch: float = 23.0,
        half_semitones_from: float = 64.0,
        num_noise_bands: int = 48,
        codebook_size: int = 1024,
        look_ahead: int | None = None,
    ):
        super().__init__()
        if look_ahead is not None and not 0 <= look_ahead <= 1 + 3 * num_layers:
            raise ValueError(f"`look_ahead` has to be between 0 and {1 + 3 * num_layers} frames, but is {look_ahead}.")
        if hop_length % _NOISE_STEPS:
            raise ValueError(f"`hop_length` has to be a multiple of {_NOISE_STEPS}, but is {hop_length}.")
        analysis = SpectralAnalysis(sampling_rate, hop_length, num_pitches, lowest_pitch, num_mels)
        self.encoder = SpectralEncoder(analysis, latent_dim)
        self.quantizer = SpectralQuantizer(codebook_size, latent_dim)
        self.decoder = SpectralDecoder(
            sampling_rate,
            hop_length,
            latent_dim,
            hidden_dim,
            num_layers,
            lowest_pitch,
            half_semitones_from,
            num_noise_bands,
            look_ahead,
        )

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Encodes and decodes a waveform (batch, 1, samples); the result is padded to whole frames."""
        return self.decoder(self.encoder(waveform))

    @torch.no_grad()
    def fit(self, waveforms: torch.Tensor, batch_size: int = 16):
        r"""
        Fits the encoder and the linear part of the decoder in closed form.

        Args:
            waveforms (`torch.Tensor` of shape `(clips, 1, samples)`): a training set, in whole frames.
        """
        batches = waveforms.split(batch_size)
        features = torch.cat([self.encoder.analysis(batch) for batch in batches])
        self.encoder.fit(features.flatten(0, 1))
        latents = torch.cat([self.encoder(batch) for batch in batches]).transpose(1, 2)
        self.decoder.fit(latents, torch.cat([self._measure_loudness(batch) for batch in batches]))

    @property
    def num_bass_oscillators(self) -> int:
        """Number of oscillators below 130 Hz, which are the first ones."""
        return sum(pitch < _BASS_END for pitch in self.decoder.pitches)

    def measure_bass(self, waveform: torch.Tensor) -> torch.Tensor:
        r"""
        Measures how loud the lowest oscillators have to be to play the bass notes of a waveform. Windows that are long
        enough to tell semitones apart select the notes, and shorter ones measure their loudness, which would otherwise
        change too slowly.

        Args:
            waveform (`torch.Tensor` of shape `(batch, 1, samples)`): audio, in whole frames.

        Returns:
            `torch.Tensor` of shape `(batch, 4 · frames, bass oscillators)`: loudness, about 1 for a full-scale sine.
        """
        rate, waveform = self.decoder.sampling_rate, waveform[:, 0].float()
        pitches = torch.tensor(self.decoder.pitches[: self.num_bass_oscillators])
        short, long = (_fast_length(seconds * rate) for seconds in _BASS_WINDOWS)
        bank = _pitch_bank(pitches, short, rate)
        loudness = log_magnitudes(waveform, bank, short, self.decoder.tone_hop).exp() - _FLOOR
        bank = _pitch_bank(pitches, long, rate)
        selected = log_magnitudes(waveform, bank, long, _TONE_STEPS * self.decoder.tone_hop).exp()
        loudest = F.max_pool1d(selected, 2 * _BASS_NEIGHBORS + 1, stride=1, padding=_BASS_NEIGHBORS)
        return loudness * (selected / loudest).square().repeat_interleave(_TONE_STEPS, dim=1)

    def average_bass(self, oscillators: torch.Tensor) -> torch.Tensor:
        r"""
        Averages the loudness of the lowest oscillators over time like [`measure_bass`], which is too slow for attacks.

        Args:
            oscillators (`torch.Tensor` of shape `(batch, 4 · frames, oscillators)`): as [`SpectralDecoder.predict`]
                returns them.

        Returns:
            `torch.Tensor` of shape `(batch, 4 · frames, bass oscillators)`: averages.
        """
        bass = oscillators[..., : self.num_bass_oscillators].transpose(1, 2)
        hops = _BASS_WINDOWS[0] * self.decoder.sampling_rate / self.decoder.tone_hop
        window = torch.hann_window(2 * round(hops / 2) + 3, periodic=False, device=bass.device)[1:-1]
        weights = (window / window.sum()).expand(bass.shape[1], 1, -1)
        return F.conv1d(bass, weights, padding="same", groups=bass.shape[1]).transpose(1, 2)

    def _measure_loudness(self, waveform: torch.Tensor) -> torch.Tensor:
        """Target loudness of the oscillators and the noise bands: (batch, frames, outputs)."""
        decoder, waveform = self.decoder, waveform[:, 0].float()
        window = _fast_length(0.128 * decoder.sampling_rate)
        bank = _pitch_bank(torch.tensor(decoder.pitches), window, decoder.sampling_rate)
        tones = log_magnitudes(waveform, bank, window, decoder.tone_hop)
        noise_bank = decoder.noise_bank(waveform.device)
        noise = log_magnitudes(waveform, noise_bank, 2 * decoder.noise_hop, decoder.noise_hop)
        # Reduced, because most of the energy measured in a band belongs to the others.
        tones, noise = tones - 0.3, noise - 1.5
        return torch.cat(
            [tones.unflatten(1, (-1, _TONE_STEPS)).flatten(2), noise.unflatten(1, (-1, _NOISE_STEPS)).flatten(2)],
            dim=-1,
        )


def log_magnitudes(waveform: torch.Tensor, bank: torch.Tensor, window: int, hop_length: int) -> torch.Tensor:
    r"""
    Args:
        waveform (`torch.Tensor` of shape `(batch, samples)`): audio, in whole hops.
        bank (`torch.Tensor` of shape `(bands, window // 2 + 1)`): weights of the power spectrum.
        window (`int`), hop_length (`int`): samples. Each window is centered on its hop.

    Returns:
        `torch.Tensor` of shape `(batch, hops, bands)`: natural logarithms, about 0 for a full-scale sine.
    """
    padding = (window - hop_length) // 2
    waveform = F.pad(waveform, (padding, window - hop_length - padding))
    shape = torch.hann_window(window, device=waveform.device)
    spectrum = torch.fft.rfft(waveform.unfold(-1, window, hop_length) * (shape * (2 / shape.sum())))
    power = spectrum.real.square() + spectrum.imag.square()
    return ((power @ bank.T.to(power.device)).sqrt() + _FLOOR).log()


def _fast_length(samples: float) -> int:
    """A nearby length with a fast FFT: the nearest multiple of an eighth of the next lower power of two."""
    step = 2 ** (int(math.log2(samples)) - 3)
    return step * round(samples / step)


def _pitch_bank(pitches: torch.Tensor, window: int, sampling_rate: int) -> torch.Tensor:
    """Triangles (pitches, bins) around MIDI pitches, a semitone wide or as narrow as the window resolves."""
    centers = 440 * 2 ** ((pitches.double() - 69) / 12)
    bins = torch.arange(window // 2 + 1, dtype=torch.float64) * sampling_rate / window
    width = torch.maximum(centers * (2 ** (1 / 24) - 1), torch.tensor(sampling_rate / window, dtype=torch.float64))
    weights = (1 - (bins - centers[:, None]).abs() / width[:, None]).clamp(min=0)
    return weights.float()


def _mel_bank(num_bands: int, window: int, sampling_rate: int) -> torch.Tensor:
    """Triangles (bands, bins) evenly spaced on the mel scale from 0 Hz to Nyquist, which sum to 1 in every bin."""

    def to_mel(frequency):
        return 2595 * torch.log10(1 + frequency / 700)

    bins = torch.arange(window // 2 + 1, dtype=torch.float64) * sampling_rate / window
    position = to_mel(bins) / to_mel(torch.tensor(sampling_rate / 2, dtype=torch.float64)) * (num_bands - 1)
    return (1 - (position - torch.arange(num_bands)[:, None]).abs()).clamp(min=0).float()
