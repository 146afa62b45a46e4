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

"""Known parts of training clips, with which the model learns to regenerate regions and to continue recordings."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from ..codecs import measure_reach
from ..controls import CONTROLS
from ..pipelines.pipeline_jasco import JascoPipeline
from ..pipelines.regions import known_frames
from ..utils.seeding import derive_seed


# Share of the samples in which the clip is continued at one of its ends; in others, spans within it are regenerated.
_CONTINUED = 0.25
# Share of the frames in unknown spans, and the relative frequency of one to four spans.
_UNKNOWN_SHARE = (0.2, 1.0)
_SPAN_WEIGHTS = np.array([4, 2, 1, 1])
# Shares of the samples with a context that keep all controls, and that keep them in known frames only.
_KEEP_CONTROLS = 0.5
_FREE_CONTROLS = 0.25


class Contexts(NamedTuple):
    r"""
    The contexts of a batch.

    Args:
        known (`torch.Tensor` of shape `(batch, frames)`): `True` for known frames; nowhere without a context.
        keeps_controls (`torch.Tensor` of shape `(batch,)`): samples that keep all of their controls.
        frees_controls (`torch.Tensor` of shape `(batch,)`): samples that keep their controls in known frames only.
    """

    known: torch.Tensor
    keeps_controls: torch.Tensor
    frees_controls: torch.Tensor

    def adapt(self, keep: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Changes the masks of [`ConditionDropout.keep`] for samples that keep or free their controls."""
        keeps, frees = self.keeps_controls[:, None], self.frees_controls[:, None]
        return keep | {name: torch.where(frees, self.known, keep[name] | keeps) for name in CONTROLS}


def draw_contexts(
    keys: Sequence[Any], seed: int, num_frames: int, probability: float, reach: tuple[int, int]
) -> Contexts:
    r"""
    Draws which frames of the samples are known. Unknown spans are drawn as in the training of Stable Audio 3
    ([arXiv 2605.17991](https://arxiv.org/abs/2605.17991)): one to four that do not overlap, with 20% to 100% of the
    frames. A quarter of the samples with a context continue a recording at its end or at its beginning instead. Half of
    them keep all controls, and a quarter keep them in known frames only.

    The numbers only depend on the seed and the sample's key, and on no other random numbers of the training.

    Args:
        keys (`Sequence` of length `batch`): identifiers of the samples, as for [`sample_noise`].
        seed (`int`): the run's seed.
        num_frames (`int`): latent frames of a sample.
        probability (`float`): probability of a context.
        reach (`tuple[int, int]`): frames before and after a span whose latents depend on its sound, which are unknown as
            well; see [`~codecs.measure_reach`].

    Returns:
        [`Contexts`]: the contexts.
    """
    known = torch.zeros(len(keys), num_frames, dtype=torch.bool)
    controls = torch.ones(len(keys))
    for row, key in enumerate(keys):
        generator = np.random.default_rng(derive_seed("context", seed, key))
        if generator.random() < probability:
            controls[row] = generator.random()
            known[row] = known_frames(~torch.from_numpy(_draw_unknown(generator, num_frames)), 1, *reach)
    is_free = (controls >= _KEEP_CONTROLS) & (controls < _KEEP_CONTROLS + _FREE_CONTROLS)
    return Contexts(known, controls < _KEEP_CONTROLS, is_free)


def _draw_unknown(generator: np.random.Generator, num_frames: int) -> np.ndarray:
    """Draws the frames that are regenerated: `True` in an array of shape `(frames,)`."""
    unknown = np.zeros(num_frames, dtype=bool)
    if generator.random() < _CONTINUED:
        unknown[: generator.integers(1, num_frames + 1)] = True
        return unknown if generator.random() < 0.5 else unknown[::-1].copy()
    total = max(1, int(generator.uniform(*_UNKNOWN_SHARE) * num_frames))
    count = 1 + generator.choice(len(_SPAN_WEIGHTS), p=_SPAN_WEIGHTS / _SPAN_WEIGHTS.sum())
    lengths = _divide(generator, total, count)
    gaps = _divide(generator, num_frames - total, count + 1)
    starts = np.cumsum(gaps[:-1]) + np.cumsum(lengths) - lengths
    for start, length in zip(starts, lengths):
        unknown[start : start + length] = True
    return unknown


def _divide(generator: np.random.Generator, total: int, count: int) -> np.ndarray:
    """Divides a number of frames into `count` parts at random."""
    cuts = np.sort(generator.integers(0, total + 1, count - 1))
    return np.diff(cuts, prepend=0, append=total)


def unknown_errors(velocity: torch.Tensor, target: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """The mean squared error of each sample's unknown frames, detached, of shape `(batch,)`."""
    errors = (velocity.detach().float() - target.float()).square().mean(dim=-1)
    return (errors * ~known).sum(dim=1) / (~known).sum(dim=1)


def context_reach(pipeline: JascoPipeline) -> tuple[int, int] | None:
    """The reach of the pipeline's codec, or `None` if its transformer has no context."""
    return measure_reach(pipeline.codec) if pipeline.transformer.config.context else None
