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

"""Embeddings of the sound of a clip."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...audio.io import load_audio
from ...audio.resampling import resample
from ...codecs import encode
from ..control_estimators import Estimator
from .spectra import SAMPLING_RATE, load_mono, power_spectrogram


@dataclass(frozen=True)
class Embedding:
    r"""
    Args:
        name (`str`): name in reports.
        embed (`Callable`): maps audio, as [`~evaluation.estimators.spectra.load_mono`] takes it, to an array of shape
            `(dim,)`.
    """

    name: str
    embed: Callable[[Any], np.ndarray]

    def __call__(self, audio: Any) -> np.ndarray:
        return self.embed(audio)


# 1. Statistics of timbre and dynamics, without learned weights

_HOP, _N_FFT = 320, 1024  # samples
_BANDS = 24
_SILENT_POWER = 1e-8


def spectral_statistics(audio: Any) -> np.ndarray:
    r"""
    Mean and standard deviation over time of the levels in 24 mel bands, and of their changes between frames. They
    describe timbre, balance, dynamics and percussiveness, independent of pitch and order.

    Args:
        audio: as [`~evaluation.estimators.spectra.load_mono`] takes it.

    Returns:
        `np.ndarray` of shape `(96,)`: dB, and dB per 20 ms.
    """
    power = power_spectrogram(load_mono(audio), _HOP, _N_FFT)
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + SAMPLING_RATE / 2 / 700), _BANDS + 1) / 2595) - 1)
    bins = np.round(edges * _N_FFT / SAMPLING_RATE).astype(int)
    bands = np.stack(
        [power[:, low : max(high, low + 1)].sum(axis=1) for low, high in zip(bins[:-1], bins[1:])], axis=1
    )
    levels = 10 * np.log10(np.maximum(bands, _SILENT_POWER))
    changes = np.diff(levels, axis=0, append=levels[-1:])
    return np.concatenate([values for part in (levels, changes) for values in (part.mean(axis=0), part.std(axis=0))])


# 2. Networks from the transformers library


class TransformersEmbedding:
    r"""
    A network from the transformers library: CLAP's audio embedding, EnCodec's latents, or the last hidden state of any
    other audio model (AST, wav2vec 2, ...), averaged over time.

    Args:
        path (`str` or `os.PathLike`): folder or Hub id.

    Raises:
        `OSError`: if the model does not exist.
    """

    def __init__(self, path: str | os.PathLike):
        from transformers import AutoConfig, AutoFeatureExtractor, AutoModel

        self.kind = AutoConfig.from_pretrained(path).model_type
        self.model = AutoModel.from_pretrained(path).eval()
        # EnCodec takes plain audio.
        self.extractor = None if self.kind == "encodec" else AutoFeatureExtractor.from_pretrained(path)
        source = self.model.config if self.extractor is None else self.extractor
        self.sampling_rate = source.sampling_rate

    @torch.no_grad()
    def __call__(self, audio: Any) -> np.ndarray:
        waveform, rate = load_audio(audio)
        samples = resample(waveform.mean(dim=0), rate, self.sampling_rate)
        if self.kind == "encodec":
            return encode(self.model, samples[None, None])[0].mean(dim=0).numpy()
        if self.kind == "clap":
            return _embed_clap(self.model, self.extractor, samples).numpy()
        inputs = self.extractor(samples.numpy(), sampling_rate=self.sampling_rate, return_tensors="pt")
        return self.model(**inputs).last_hidden_state[0].mean(dim=0).numpy()


def load_embedding(name: str) -> Embedding:
    r"""
    Args:
        name (`str`): `"spectrum"` ([`spectral_statistics`], which needs no weights), or a folder or Hub id of a model
            of the transformers library ([`TransformersEmbedding`]).
    """
    return (
        Embedding("spectrum", spectral_statistics)
        if name == "spectrum"
        else Embedding(name, TransformersEmbedding(name))
    )


def _embed_clap(model: torch.nn.Module, extractor: Any, samples: torch.Tensor) -> torch.Tensor:
    """A unit vector of shape (dim,)."""
    # The extractor would take a random crop of longer audio.
    samples = samples[: extractor.nb_max_samples]
    inputs = extractor(samples.numpy(), sampling_rate=extractor.sampling_rate, return_tensors="pt")
    return torch.nn.functional.normalize(model.get_audio_features(**inputs).pooler_output[0], dim=-1)


# 3. CLAP score


def clap_estimator(path: str | os.PathLike) -> Estimator:
    r"""
    The CLAP score: cosine similarity of CLAP's embeddings (Wu et al., 2023) of the music and of its caption.

    Args:
        path (`str` or `os.PathLike`): folder or Hub id of a [`~transformers.ClapModel`] with its processor.

    Returns:
        `Estimator`: an estimator of the control `"text"` with the metric `"clap"` in [-1, 1].

    Raises:
        `OSError`: if the model does not exist.
    """
    from transformers import ClapModel, ClapProcessor

    model, processor = ClapModel.from_pretrained(path).eval(), ClapProcessor.from_pretrained(path)
    extractor = processor.feature_extractor

    @torch.no_grad()
    def analyze(audio: Any) -> torch.Tensor:
        waveform, rate = load_audio(audio)
        return _embed_clap(model, extractor, resample(waveform.mean(dim=0), rate, extractor.sampling_rate))

    @torch.no_grad()
    def compare(estimate: torch.Tensor, item: dict[str, Any]) -> dict[str, float]:
        if not item.get("caption"):
            return {"clap": float("nan")}
        inputs = processor.tokenizer([item["caption"]], return_tensors="pt")
        text = torch.nn.functional.normalize(model.get_text_features(**inputs).pooler_output[0], dim=-1)
        return {"clap": float(estimate @ text)}

    # Even music and its own caption have similarities far below 1.
    return Estimator("CLAP", "text", ("clap",), analyze, compare, min_ceiling=0.0)
