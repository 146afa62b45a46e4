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

"""Training loop of the built-in extractors."""

import argparse
import json
import math
import time
from collections.abc import Callable

import numpy as np
import torch
from accelerate import Accelerator
from diffusers.models.modeling_utils import ModelMixin
from tqdm import tqdm

from ..utils.files import partial_path, publish_files
from .optimization import fused_adamw


def train_extractor(
    model: ModelMixin,
    draw_loss: Callable[[torch.nn.Module], torch.Tensor],
    validate: Callable[[ModelMixin], dict[str, float]],
    accelerator: Accelerator,
    args: argparse.Namespace,
):
    r"""
    Trains with AdamW, linear warmup and cosine decay of the learning rate, and gradients clipped to a norm of 1. The
    model is validated and saved every `log_every` steps (0: only once), and after the last step.

    Args:
        model (`ModelMixin`): the model.
        draw_loss (`Callable`): called with the (wrapped) model in each step; samples a batch and returns its loss.
        validate (`Callable`): called with the model in evaluation mode, without gradients; returns metrics to log.
        accelerator (`Accelerator`): the processes.
        args (`argparse.Namespace`):
            `output` (folder for the model and `log.jsonl`), `max_steps`, `learning_rate`, `weight_decay`,
            `warmup_steps` and `log_every`.
    """
    optimizer = fused_adamw(model.parameters(), lr=args.learning_rate, weight_decay=args.weight_decay)

    def rate(step: int) -> float:
        return (
            min((step + 1) / max(args.warmup_steps, 1), 1)
            * 0.5
            * (1 + math.cos(math.pi * min(step / args.max_steps, 1)))
        )

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    wrapped, optimizer = accelerator.prepare(model, optimizer)
    args.output.mkdir(parents=True, exist_ok=True)
    started, losses = time.monotonic(), []
    with open(args.output / "log.jsonl", "a", encoding="utf-8") as log:
        for step in tqdm(range(1, args.max_steps + 1), unit="step", mininterval=5):
            wrapped.train()
            loss = draw_loss(wrapped)
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(wrapped.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            losses.append(loss.detach())
            is_due = step == args.max_steps or (args.log_every and step % args.log_every == 0)
            if accelerator.is_main_process and is_due:
                model.eval()
                with torch.no_grad():
                    line = {"step": step, "loss": float(np.mean(torch.stack(losses).tolist())), **validate(model)}
                line["seconds"] = round(time.monotonic() - started)
                log.write(json.dumps(line) + "\n")
                log.flush()
                tqdm.write(json.dumps(line))
                partial = partial_path(args.output / "model")
                model.save_pretrained(partial)
                publish_files(partial, args.output)
                losses = []
