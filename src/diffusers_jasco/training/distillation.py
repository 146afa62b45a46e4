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

"""Distillation: a student that follows the guided trajectories of a teacher in few steps, without guidance."""

import argparse
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerBase

from ..conditioning import JascoConditioning, TextSection, make_context
from ..guiders import JascoGuidance
from ..models.transformer_jasco import JascoTransformerModel
from ..pipelines.denoising import GuidedVelocity, KnownFrames, Velocity
from ..utils.files import replace_file
from .modules import JascoTrainingModel
from .objective import FlowMatchingObjective, SampleLosses


class TrajectoryObjective:
    r"""
    Regression on the trajectories of a teacher: from noise, the teacher solves the flow under guidance; in each interval of
    a grid, the student learns the mean velocity of this solution. At inference, it needs one evaluation per interval, and
    no guidance. With fine intervals, this is guidance distillation ([arXiv 2210.03142](https://arxiv.org/abs/2210.03142)).

    Args:
        args (`argparse.Namespace`): the options of the objective, of which those of condition dropout and the seed are used.
        teacher ([`JascoTransformerModel`]): the teacher.
        guider ([`JascoGuidance`]): its guidance.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]): the pipeline's tokenizer.
        times (`Sequence[float]`): flow times at which the student's intervals begin, increasing from 0 (noise).
        substeps (`int`, defaults to `2`): steps of the midpoint method, of two evaluations each, per interval.
        autocast (`Callable`): returns the context of mixed precision in which the teacher is evaluated.
        folder (`Path`, *optional*):
            Folder that stores the trajectory of each key in half precision, which is used for all samples with this key
            ([`~training.batches.EpochBatches`] with `distinct_epochs`). By default, none are stored.
        reach (`tuple[int, int]`, *optional*):
            [`~training.context.context_reach`], if the transformer has a context. Known frames are on a straight line
            to their latents, as in [`JascoInpaintPipeline`].

    Raises:
        `ValueError`: if the times do not increase from 0 to below 1, or if samples should have a context, but the
            transformer has none.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        teacher: JascoTransformerModel,
        guider: JascoGuidance,
        tokenizer: PreTrainedTokenizerBase,
        times: Sequence[float],
        substeps: int = 2,
        autocast: Callable[[], AbstractContextManager] = nullcontext,
        folder: Path | None = None,
        reach: tuple[int, int] | None = None,
    ):
        self.times = [*map(float, times), 1.0]
        if self.times[0] != 0 or any(later <= earlier for earlier, later in pairwise(self.times)):
            raise ValueError(f"`times` has to increase from 0 to below 1, but is {list(times)}.")
        self.teacher, self.guider, self.substeps, self.autocast = teacher, guider, substeps, autocast
        self.folder = folder
        self._inputs = FlowMatchingObjective(args, teacher.controls, tokenizer, reach=reach)

    @property
    def sigmas(self) -> list[float]:
        """The grid with which the student is sampled."""
        return [1 - time for time in self.times[:-1]]

    def prepare(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Adds noise, masks of kept conditions and tokens to a batch of [`~training.batches.EpochBatches`]."""
        return self._inputs.prepare(batch)

    def solve(self, batch: dict[str, Any], encode_text: Callable[[dict], torch.Tensor]) -> dict[str, Any]:
        r"""
        Adds the solutions of the teacher to a batch.

        Args:
            batch (`dict`): a batch from [`prepare`].
            encode_text (`Callable`): [`JascoTrainingModel.encode_text`] of the unwrapped student.

        Returns:
            `dict`: the batch with `points` `(times, batch, frames, channels)`, and the hidden states of the text.
        """
        with torch.no_grad():
            text = batch["text"] | {"hidden_states": encode_text(batch["text"])}
        batch = batch | {"text": text}
        if self.folder is None:
            return batch | {"points": self._solve(batch)}
        paths = [self.folder / f"{key.replace('/', '-')}.safetensors" for key in batch["key"]]
        if not all(path.is_file() for path in paths):
            points = self._solve(batch).half().cpu()
            self.folder.mkdir(parents=True, exist_ok=True)
            for index, path in enumerate(paths):
                if not path.is_file():
                    with replace_file(path) as partial:
                        save_file({"points": points[:, index].contiguous()}, partial)
        points = torch.stack([load_file(path)["points"] for path in paths], dim=1)
        return batch | {"points": points.to(batch["noise"].device).float()}

    def __call__(self, model: Any, batch: dict[str, Any]) -> SampleLosses:
        r"""
        Computes the losses of a batch.

        Args:
            model ([`JascoTrainingModel`]): the student, which Accelerate may have wrapped.
            batch (`dict`): a batch from [`solve`].

        Returns:
            [`SampleLosses`]: the losses of all intervals of the clips.
        """
        count, points = len(self.times) - 1, batch["points"]
        lengths = torch.tensor([end - start for start, end in pairwise(self.times)], device=points.device)
        targets = (points[1:] - points[:-1]) / lengths[:, None, None, None]
        times = torch.tensor(self.times[:-1], device=points.device).repeat_interleave(points.shape[1])
        text = {
            name: _tile(value, count) if name in ("hidden_states", "attention_mask") else value
            for name, value in batch["text"].items()
        }
        controls = {name: _tile(batch[name], count) for name in self.teacher.controls}
        keep = {name: _tile(mask, count) for name, mask in batch["keep"].items()}
        context = None if "known" not in batch else _tile(make_context(batch["latents"], batch["known"]), count)
        velocity, _ = model(points[:-1].flatten(0, 1), times, text, controls, keep, context)
        errors = (velocity.float() - targets.flatten(0, 1)).square().flatten(1).mean(dim=1)
        # The weights turn errors of the mean velocity into errors of the next point.
        weights = (count * lengths).square().repeat_interleave(points.shape[1])
        return SampleLosses((weights * errors).mean(), errors.detach(), times)

    @torch.no_grad()
    def _solve(self, batch: dict[str, Any]) -> torch.Tensor:
        """The teacher's solution at all times, `(times, batch, frames, channels)`."""
        text, noise = batch["text"], batch["noise"]
        controls = {name: batch[name] for name in self.teacher.controls}
        mask = text["attention_mask"].bool()
        section = TextSection(0, text["hidden_states"], mask, mask if text["is_padded"] else None)
        known = batch.get("known")
        context = None if known is None else make_context(batch["latents"], known)
        conditioning = JascoConditioning(
            (section,), controls, self.teacher.null_controls, context, num_frames=noise.shape[1]
        ).mask(batch["keep"])
        velocity: Velocity = GuidedVelocity(self.teacher, self.guider, conditioning)
        if known is not None:
            velocity = KnownFrames(velocity, batch["latents"], known)
        points = [noise.float()]
        for start, end in pairwise(self.times):
            latents, step = points[-1], (end - start) / self.substeps
            for number in range(self.substeps):
                time = start + number * step
                with self.autocast():
                    middle = latents + step / 2 * velocity(latents, time)
                    latents = latents + step * velocity(middle, time + step / 2)
            points.append(latents)
        return torch.stack(points)


def _tile(tensor: torch.Tensor, count: int) -> torch.Tensor:
    return tensor.repeat(count, *[1] * (tensor.ndim - 1))


def trajectory_loss(
    objective: TrajectoryObjective,
    model: JascoTrainingModel,
    batches: Sequence[dict[str, Any]],
) -> tuple[float, int]:
    r"""
    The loss of fixed batches, of which a process may have none.

    Args:
        objective ([`TrajectoryObjective`]): the objective.
        model ([`JascoTrainingModel`]): the student.
        batches (`Sequence[dict]`): batches from [`TrajectoryObjective.solve`], on the model's device.

    Returns:
        `tuple[float, int]`: the sum of the losses of all clips, and the number of clips.
    """
    model.eval()
    with torch.no_grad():
        losses = [(float(objective(model, batch).loss), len(batch["noise"])) for batch in batches]
    model.train()
    return sum(loss * size for loss, size in losses), sum(size for _, size in losses)
