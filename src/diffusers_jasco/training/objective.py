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
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers import PreTrainedTokenizerBase

from ..schedulers.scheduling_flow_match_euler import FlowMatchEulerScheduler
from ..utils.seeding import derive_seed
from .condition_dropout import ConditionDropout


def draw_randomness(
    keys: Sequence[Any], seed: int, latents_shape: tuple[int, int], num_draws: int
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""
    What is random in a step. It depends on the seed and the samples only: not on their batch, nor on how many processes
    share it.

    Args:
        keys (`Sequence` of length `batch`): what identifies the samples, such as their epochs and numbers.
        seed (`int`): the run's seed.
        latents_shape (`tuple[int, int]`): frames and channels of the latents.
        num_draws (`int`): random numbers per sample.

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: noise `(batch, frames, channels)`, and numbers `(batch, num_draws)` that are
        uniform in [0, 1).
    """
    noise, draws = [], []
    for key in keys:
        generator = torch.Generator().manual_seed(derive_seed("sample", seed, key))
        draws.append(torch.rand(num_draws, generator=generator))
        noise.append(torch.randn(latents_shape, generator=generator))
    return torch.stack(noise), torch.stack(draws)


def to_times(
    uniform: torch.Tensor,
    sampling: Literal["uniform", "logit_normal", "power"] = "uniform",
    power: float = 2.0,
    logit_mean: float = 0.0,
    logit_std: float = 1.0,
) -> torch.Tensor:
    r"""
    Times of the path at which samples are trained: the quantiles of a distribution.

    Args:
        uniform (`torch.Tensor` of shape `(batch,)`):
            Random numbers, uniform in [0, 1).
        sampling (`str`, defaults to `"uniform"`):
            `"uniform"`: as the original; `"logit_normal"`: the logistic function of a normal variable, which prefers the
            middle ([Esser et al. 2024](https://arxiv.org/abs/2403.03206), §3.1); `"power"`: `u ** power`, with a power
            above 1 more often near the noise, where the conditions matter most.
        power (`float`, defaults to `2.0`):
            The power, above 0.
        logit_mean (`float`, defaults to `0.0`):
            Mean of the normal variable; negative: nearer to the noise.
        logit_std (`float`, defaults to `1.0`):
            Its standard deviation, above 0.

    Returns:
        `torch.Tensor` of shape `(batch,)`: times in [0, 1), 0 = noise, 1 = data.

    Raises:
        `ValueError`: for another sampling, or a power or deviation that is not positive.
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


def noise_latents(
    scheduler: FlowMatchEulerScheduler, latents: torch.Tensor, noise: torch.Tensor, times: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""
    What the model sees, and what it should return.

    Args:
        scheduler ([`FlowMatchEulerScheduler`]): owner of the path.
        latents (`torch.Tensor` of shape `(batch, frames, dim)`): normalised data.
        noise (`torch.Tensor` of the same shape): noise.
        times (`torch.Tensor` of shape `(batch,)`): times in [0, 1].

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: the points of the path, and its velocities data − noise.
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
    The loss of a batch, in float32.

    Args:
        scheduler ([`FlowMatchEulerScheduler`]): owner of the path and of the original's weights.
        velocity (`torch.Tensor` of shape `(batch, frames, dim)`): what the model returns.
        target (`torch.Tensor` of the same shape): what it should return.
        times (`torch.Tensor` of shape `(batch,)`): times in [0, 1].
        weighting (`str`, defaults to `"uniform"`):
            As in [`FlowMatchEulerScheduler.get_loss_weight`], or `"min_snr"`: min(SNR, γ) for the error of the data
            ([Hang et al. 2023](https://arxiv.org/abs/2303.09556)), which is (1 - t) times that of the velocity; with
            SNR = t² / (1 - t)² the velocity's weight is min(t², γ (1 - t)²).
        snr_gamma (`float`, defaults to `5.0`): γ of `"min_snr"`.

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: the mean of the weighted errors, and the mean squared error of each sample,
        unweighted and without a graph, of shape `(batch,)`.
    """
    errors = (velocity.float() - target.float()).square().flatten(1).mean(dim=1)
    if weighting == "min_snr":
        weights = torch.minimum(times.square(), snr_gamma * (1 - times).square())
    else:
        weights = scheduler.get_loss_weight(scheduler.config.num_train_timesteps * (1 - times), weighting)
    return (weights * errors).mean(), errors.detach()


def prepare_text(
    batch: dict[str, Any], tokenizer: PreTrainedTokenizerBase, device: torch.device
) -> dict[str, torch.Tensor]:
    """The captions of a batch as [`JascoTrainingModel`] takes them: from the feature cache where it has them."""
    if "text_embeds" in batch:
        return {
            "hidden_states": batch["text_embeds"].to(device).float(),
            "attention_mask": batch["text_mask"].to(device).long(),
        }
    inputs = tokenizer(batch["caption"], padding=True, return_tensors="pt").to(device)
    return {"input_ids": inputs.input_ids, "attention_mask": inputs.attention_mask}


@dataclass(frozen=True)
class SampleLosses:
    r"""
    Args:
        loss (`torch.Tensor`): mean of the batch's weighted errors, to go back from.
        errors (`torch.Tensor` of shape `(batch,)`): mean squared error of each sample, unweighted and without a graph.
        times (`torch.Tensor` of shape `(batch,)`): their times.
    """

    loss: torch.Tensor
    errors: torch.Tensor
    times: torch.Tensor


class FlowMatchingObjective:
    r"""
    What a training step minimises: noise and times are drawn, conditions dropped, and the velocity compared.

    Args:
        args (`argparse.Namespace`): the objective's options, of [`~training.arguments.add_objective_options`].
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]): the pipeline's tokenizer.
    """

    def __init__(self, args: argparse.Namespace, tokenizer: PreTrainedTokenizerBase):
        self.args, self.tokenizer = args, tokenizer
        self.scheduler = FlowMatchEulerScheduler()
        self.dropout = ConditionDropout(
            args.drop_all,
            args.drop_text,
            args.drop_controls,
            args.drop_chords,
            args.drop_drums,
            args.drop_melody,
            args.drop_span,
            args.drop_per_batch,
        )

    def __call__(
        self, model: torch.nn.Module, controls: Sequence[str], batch: dict[str, Any], device: torch.device
    ) -> SampleLosses:
        r"""
        Args:
            model ([`JascoTrainingModel`], wrapped or not): the model.
            controls (`Sequence[str]`): those that it has.
            batch (`dict`): a batch of [`~training.batches.EpochBatches`].
            device (`torch.device`): where the model is.
        """
        args, latents = self.args, batch["latents"].to(device)
        noise, draws = draw_randomness(batch["key"], args.seed, latents.shape[1:], 1 + self.dropout.num_draws)
        noise, draws = noise.to(device), draws.to(device)
        times = to_times(draws[:, 0], args.time_sampling, args.time_power, args.time_logit_mean, args.time_logit_std)
        keep = self.dropout.keep(draws[:, 1:], latents.shape[1])
        given = {name: batch[name].to(device) for name in controls}

        z, target = noise_latents(self.scheduler, latents, noise, times)
        velocity = model(z, times, prepare_text(batch, self.tokenizer, device), given, keep)
        loss, errors = flow_matching_loss(self.scheduler, velocity, target, times, args.loss_weighting, args.snr_gamma)
        return SampleLosses(loss, errors, times)
