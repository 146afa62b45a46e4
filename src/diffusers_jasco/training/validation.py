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

"""Validation loss."""

from collections.abc import Callable
from typing import Any

import torch
from accelerate import Accelerator
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from ..conditioning import make_context
from ..schedulers.scheduling_flow_match_euler import FlowMatchEulerScheduler
from .batches import to_device
from .condition_dropout import ConditionDropout
from .context import draw_contexts, unknown_errors
from .logs import LossMeans
from .modules import JascoTrainingModel
from .objective import SampleLosses, flow_matching_loss, interpolate, prepare_text, sample_noise
from .tempo_objective import is_tempo_correct, tempo_cells, tempo_errors


# Suffix of the result → conditions; no suffix: all of them.
_SETS = {
    "": (),
    "_text": ("text",),
    "_beats": ("text", "beats"),
    "_beats_chords": ("text", "beats", "chords"),
}


@torch.no_grad()
def validation_loss(
    model: JascoTrainingModel,
    dataset: Dataset,
    encode: Callable[[list[dict[str, Any]]], dict[str, Any]],
    tokenizer: PreTrainedTokenizerBase,
    accelerator: Accelerator,
    num_clips: int,
    batch_size: int,
    reach: tuple[int, int] | None = None,
) -> dict[str, Any]:
    r"""
    Computes the unweighted loss on fixed clips, with fixed noise and evenly spread times: with all conditions, and
    with fewer. The loss with text alone minus that with beats and chords says how much of the form, which text leaves
    open, the model decides by itself.

    Args:
        model ([`JascoTrainingModel`]): the model; it is in training mode afterwards.
        dataset (`Dataset`): clips; captions and crops are always the same, as the epoch does not change.
        encode (`Callable`): turns a list of items of the dataset into a batch.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]): the pipeline's tokenizer.
        accelerator (`Accelerator`): the processes, which share the clips.
        num_clips (`int`): maximum number of clips.
        batch_size (`int`): clips per batch.
        reach (`tuple[int, int]`, *optional*): [`~training.context.context_reach`], if the transformer has a context.

    Returns:
        `dict`: `validation_loss`, and `validation_mse_by_time`, a list by time interval; and both with the suffixes
            `_text`, `_beats` (text and beats) and `_beats_chords` (text, beats and chords), as far as the model has
            these controls. With a tempo model also `validation_tempo_loss`, and `validation_tempo_accuracy`, the share
            of clips whose most likely tempo is within 4%. With a context also `validation_loss_context`, the loss of
            unknown frames when others are known, and `validation_loss_no_context`, that of the same frames without it.
    """
    model.eval()
    num_clips, device, scheduler = min(num_clips, len(dataset)), accelerator.device, FlowMatchEulerScheduler()
    means = LossMeans(accelerator)
    tempo_config = None if model.tempo_model is None else model.tempo_model.config
    starts = range(0, num_clips, batch_size)
    for start in starts[accelerator.process_index :: accelerator.num_processes]:
        indices = range(start, min(start + batch_size, num_clips))
        batch = encode([dataset[index] for index in indices])
        text = to_device(prepare_text(batch, tokenizer), device)
        if tempo_config is not None:
            batch["tempo_cells"] = tempo_cells(batch["tempo"], batch["beats_per_bar"], tempo_config)
        batch = to_device(batch, device)
        latents, keys = batch["latents"], [f"validation/{index}" for index in indices]
        noise, draws = sample_noise(
            keys, 0, latents.shape[1:], ConditionDropout.num_draws, ConditionDropout.num_late_draws
        )
        # Multiples of the golden ratio (mod 1) are evenly spread for any number of clips.
        times = torch.tensor([(index + 0.5) * 0.6180339887498949 % 1 for index in indices], device=latents.device)
        z, target = interpolate(scheduler, latents, noise.to(device), times)
        keep = to_device(ConditionDropout().keep(draws, latents.shape[1]), device)
        keep["text"] &= batch["has_text"]
        controls = {name: batch[name] for name in model.transformer.controls}
        for suffix, names in _SETS.items():
            if suffix and not (controls and set(names) <= {"text", *controls}):
                continue
            kept = {name: mask & (name in names) for name, mask in keep.items()} if suffix else keep
            velocity, tempo_logits = model(z, times, text, controls, kept)
            means.add_losses(SampleLosses(*flow_matching_loss(scheduler, velocity, target, times), times), suffix)
            if reach is not None and not suffix:
                known = draw_contexts(keys, 0, latents.shape[1], 1.0, reach).known.to(device)
                means.add(len(indices), loss_no_context=unknown_errors(velocity, target, known).sum())
                velocity, _ = model(z, times, text, controls, keep, make_context(latents, known))
                means.add(len(indices), loss_context=unknown_errors(velocity, target, known).sum())
        if tempo_config is not None:
            # All sets of conditions have the same text.
            cells, has_tempo = batch["tempo_cells"], batch["tempo"] > 0
            is_known = ~cells.flatten(1).all(dim=1)
            means.add(is_known.sum().to(means.dtype), tempo_loss=tempo_errors(tempo_logits, cells).sum())
            is_correct = has_tempo & is_tempo_correct(tempo_logits, batch["tempo"], tempo_config)
            means.add(has_tempo.sum().to(means.dtype), tempo_accuracy=is_correct.sum())
    model.train()
    return {f"validation_{name}": value for name, value in means.mean_and_reset().items()}
