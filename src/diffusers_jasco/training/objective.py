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

"""The flow-matching objective."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers import PreTrainedTokenizerBase

from ..conditioning import make_context
from ..controls import CONTROLS
from ..schedulers.scheduling_flow_match_euler import FlowMatchEulerScheduler
from ..utils.seeding import derive_seed
from .condition_dropout import ConditionDropout
from .context import draw_contexts, unknown_errors
from .new_words import mask_words
from .tempo_objective import tempo_cells, tempo_errors


def sample_noise(
    keys: Sequence[Any], seed: int, latents_shape: tuple[int, int], num_draws: int, num_late_draws: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""
    Draws noise and uniform random numbers for each sample. They only depend on the seed and the sample's key, not on
    the batch or the number of processes.

    Args:
        keys (`Sequence` of length `batch`): identifiers of the samples, such as epoch and index.
        seed (`int`): the run's seed.
        latents_shape (`tuple[int, int]`): frames and channels of the latents.
        num_draws (`int`): uniform numbers per sample.
        num_late_draws (`int`, defaults to `0`):
            How many of them are drawn after the noise, which therefore does not depend on their number.

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: noise `(batch, frames, channels)`, and numbers `(batch, num_draws)` that
        are uniform in [0, 1).
    """
    noise, draws = torch.empty(len(keys), *latents_shape), []
    for number, key in enumerate(keys):
        generator = torch.Generator().manual_seed(derive_seed("sample", seed, key))
        early = torch.rand(num_draws - num_late_draws, generator=generator)
        torch.randn(latents_shape, generator=generator, out=noise[number])
        draws.append(torch.cat([early, torch.rand(num_late_draws, generator=generator)]))
    return noise, torch.stack(draws)


def sample_times(
    uniform: torch.Tensor,
    sampling: Literal["uniform", "logit_normal", "power"] = "uniform",
    power: float = 2.0,
    logit_mean: float = 0.0,
    logit_std: float = 1.0,
) -> torch.Tensor:
    r"""
    Maps uniform random numbers to training times by the quantile function of a distribution.

    Args:
        uniform (`torch.Tensor` of shape `(batch,)`):
            Random numbers, uniform in [0, 1).
        sampling (`str`, defaults to `"uniform"`):
            `"uniform"`: as AudioCraft; `"logit_normal"`: the logistic function of a normal variable, which favors the
            middle ([Esser et al. 2024](https://arxiv.org/abs/2403.03206), §3.1); `"power"`: `u ** power`, which for a
            power above 1 favors times near the noise, where the conditions matter most.
        power (`float`, defaults to `2.0`):
            The power, above 0.
        logit_mean (`float`, defaults to `0.0`):
            Mean of the normal variable; negative values favor times near the noise.
        logit_std (`float`, defaults to `1.0`):
            Its standard deviation, above 0.

    Returns:
        `torch.Tensor` of shape `(batch,)`: times in [0, 1), 0 = noise, 1 = data.

    Raises:
        `ValueError`: for an unknown sampling, or a power or deviation that is not positive.
    """
    if sampling == "uniform":
        return uniform
    if sampling == "power":
        if not power > 0:
            raise ValueError(f"`power` has to be positive, but is {power}.")
        return uniform**power
    if sampling == "logit_normal":
        if not logit_std > 0:
            raise ValueError(f"`logit_std` has to be positive, but is {logit_std}.")
        return torch.sigmoid(logit_mean + logit_std * torch.special.ndtri(uniform))
    raise ValueError(f"`sampling` has to be 'uniform', 'logit_normal' or 'power', but is {sampling!r}.")


def interpolate(
    scheduler: FlowMatchEulerScheduler, latents: torch.Tensor, noise: torch.Tensor, times: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""
    Returns the model's input, which interpolates between noise and data, and its target, the velocity.

    Args:
        scheduler ([`FlowMatchEulerScheduler`]): the scheduler, which defines the path.
        latents (`torch.Tensor` of shape `(batch, frames, dim)`): normalized data.
        noise (`torch.Tensor` of the same shape): noise.
        times (`torch.Tensor` of shape `(batch,)`): times in [0, 1].

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: the noisy latents, and the velocities, data − noise.
    """
    timesteps = scheduler.config.num_train_timesteps * (1 - times)
    return scheduler.scale_noise(latents, timesteps, noise), scheduler.get_velocity(latents, noise)


def flow_matching_loss(
    scheduler: FlowMatchEulerScheduler,
    velocity: torch.Tensor,
    target: torch.Tensor,
    times: torch.Tensor,
    weighting: Literal["uniform", "increasing", "decreasing", "min_snr"] = "uniform",
    snr_gamma: float = 5.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""
    Computes the loss of a batch, in float32.

    Args:
        scheduler ([`FlowMatchEulerScheduler`]): the scheduler, which defines the path and AudioCraft's loss weights.
        velocity (`torch.Tensor` of shape `(batch, frames, dim)`): the model's prediction.
        target (`torch.Tensor` of the same shape): the true velocity.
        times (`torch.Tensor` of shape `(batch,)`): times in [0, 1].
        weighting (`str`, defaults to `"uniform"`):
            As in [`FlowMatchEulerScheduler.get_loss_weight`], or `"min_snr"`: min(SNR, γ) for the error in the data
            ([Hang et al. 2023](https://arxiv.org/abs/2303.09556)), which is (1 - t) times that of the velocity; with
            SNR = t² / (1 - t)² the velocity's weight is min(t², γ (1 - t)²).
        snr_gamma (`float`, defaults to `5.0`): γ of `"min_snr"`.

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: the mean of the weighted errors, and the mean squared error of each
        sample, unweighted and detached, of shape `(batch,)`.
    """
    errors = (velocity.float() - target.float()).square().flatten(1).mean(dim=1)
    if weighting == "min_snr":
        weights = torch.minimum(times.square(), snr_gamma * (1 - times).square())
    else:
        weights = scheduler.get_loss_weight(scheduler.config.num_train_timesteps * (1 - times), weighting)
    return (weights * errors).mean(), errors.detach()


def prepare_text(batch: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> dict[str, torch.Tensor | bool]:
    """Prepares the captions of a batch for [`JascoTrainingModel`]: cached text embeddings, or token ids."""
    if "text_embeds" in batch:
        text = {"hidden_states": batch["text_embeds"].float(), "attention_mask": batch["text_mask"].long()}
    else:
        inputs = tokenizer(batch["caption"], padding=True, return_tensors="pt")
        text = {"input_ids": inputs.input_ids, "attention_mask": inputs.attention_mask}
    return text | {"is_padded": not text["attention_mask"].all()}


@dataclass(frozen=True)
class SampleLosses:
    r"""
    Args:
        loss (`torch.Tensor`): mean of the batch's weighted errors.
        errors (`torch.Tensor` of shape `(batch,)`): mean squared error of each sample, unweighted and detached.
        times (`torch.Tensor` of shape `(batch,)`): time of each sample.
        tempo_errors (`torch.Tensor` of shape `(batch,)`, *optional*): errors of the tempo model.
        has_tempo (`torch.Tensor` of shape `(batch,)`, *optional*): for which samples they are not 0 by definition.
        unknown_errors (`torch.Tensor` of shape `(batch,)`, *optional*):
            Mean squared error of the unknown frames of each sample, unweighted and detached.
        has_context (`torch.Tensor` of shape `(batch,)`, *optional*): for which samples other frames are known.
    """

    loss: torch.Tensor
    errors: torch.Tensor
    times: torch.Tensor
    tempo_errors: torch.Tensor | None = None
    has_tempo: torch.Tensor | None = None
    unknown_errors: torch.Tensor | None = None
    has_context: torch.Tensor | None = None

    def total(self, tempo_weight: float) -> torch.Tensor:
        """The loss including that of the tempo model, for the backward pass."""
        return self.loss if self.tempo_errors is None else self.loss + tempo_weight * self.tempo_errors.mean()


class FlowMatchingObjective:
    r"""
    Computes the loss of a training step. [`prepare`] draws noise, times and dropped conditions in the loader's
    workers.

    Args:
        args (`argparse.Namespace`): the objective's options, see [`~training.arguments.add_training_options`].
        controls (`Sequence[str]`): the model's controls.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]): the pipeline's tokenizer.
        num_new_words (`int`, defaults to `0`): number of words at the end of its vocabulary that are being learned.
        tempo_config (`Mapping`, *optional*): configuration of the tempo model, if it is trained.
        reach (`tuple[int, int]`, *optional*): [`~training.context.context_reach`], if the transformer has a context.

    Raises:
        `ValueError`: if samples should have a context, but the transformer has none.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        controls: Sequence[str],
        tokenizer: PreTrainedTokenizerBase,
        num_new_words: int = 0,
        tempo_config: Mapping[str, Any] | None = None,
        reach: tuple[int, int] | None = None,
    ):
        if args.context and reach is None:
            raise ValueError(
                '--context needs a transformer with this option: add --transformer "{context: true}" to train_jasco.py.'
            )
        self.tempo_config, self.reach = tempo_config, reach
        self.args, self.controls, self.tokenizer, self.num_new_words = args, controls, tokenizer, num_new_words
        self.scheduler = FlowMatchEulerScheduler()
        self.dropout = ConditionDropout(
            args.drop_all,
            args.drop_text,
            args.drop_controls,
            args.only_beats,
            {name: getattr(args, f"drop_{name}") for name in CONTROLS},
            args.drop_span,
            args.drop_per_batch,
        )

    def prepare(self, batch: dict[str, Any]) -> dict[str, Any]:
        """
        Adds noise, times, masks of kept conditions and of known frames, and tokens to a batch of
        [`~training.batches.EpochBatches`].
        """
        args, shape = self.args, batch["latents"].shape[1:]
        noise, draws = sample_noise(
            batch["key"], args.seed, shape, 1 + self.dropout.num_draws, self.dropout.num_late_draws
        )
        text = prepare_text(batch, self.tokenizer)
        if self.num_new_words:
            words = batch["key"], args.seed, self.tokenizer, self.num_new_words
            text["input_ids"] = mask_words(text["input_ids"], *words)
        keep = self.dropout.keep(draws[:, 1:], shape[0])
        keep["text"] &= batch["has_text"]
        if self.reach is not None:
            contexts = draw_contexts(batch["key"], args.seed, shape[0], args.context, self.reach)
            keep, batch = contexts.adapt(keep), batch | {"known": contexts.known}
        if self.tempo_config is not None:
            batch = batch | {"tempo_cells": tempo_cells(batch["tempo"], batch["beats_per_bar"], self.tempo_config)}
        return batch | {"noise": noise, "times": self._sample_times(draws[:, 0], keep), "keep": keep, "text": text}

    def _sample_times(self, uniform: torch.Tensor, keep: dict[str, torch.Tensor]) -> torch.Tensor:
        """
        Samples times; for samples with words alone (that keep their text, and no control but the beats), from a
        distribution of their own if there is one.
        """
        args = self.args
        times = sample_times(uniform, args.time_sampling, args.time_power, args.time_logit_mean, args.time_logit_std)
        if args.words_time_logit_mean is None:
            return times
        has_control = torch.zeros_like(keep["text"])
        for name in set(self.controls) - {"beats"}:
            has_control |= keep[name].any(dim=1)
        logit = {"logit_mean": args.words_time_logit_mean, "logit_std": args.words_time_logit_std}
        return torch.where(keep["text"] & ~has_control, sample_times(uniform, "logit_normal", **logit), times)

    def __call__(self, model: torch.nn.Module, batch: dict[str, Any]) -> SampleLosses:
        r"""
        Args:
            model ([`JascoTrainingModel`], wrapped or not): the model.
            batch (`dict`): a batch returned by [`prepare`], on the model's device.
        """
        args, times = self.args, batch["times"]
        z, target = interpolate(self.scheduler, batch["latents"], batch["noise"], times)
        known = batch.get("known")
        context = None if known is None else make_context(batch["latents"], known)
        velocity, tempo_logits = model(
            z, times, batch["text"], {name: batch[name] for name in self.controls}, batch["keep"], context
        )
        loss, errors = flow_matching_loss(self.scheduler, velocity, target, times, args.loss_weighting, args.snr_gamma)
        others = {}
        if tempo_logits is not None:
            others["tempo_errors"] = tempo_errors(tempo_logits, batch["tempo_cells"])
            others["has_tempo"] = ~batch["tempo_cells"].flatten(1).all(dim=1)
        if known is not None:
            others |= {"unknown_errors": unknown_errors(velocity, target, known), "has_context": known.any(dim=1)}
        return SampleLosses(loss, errors, times, **others)
