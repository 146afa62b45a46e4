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

"""Logging of a run to a JSONL file and to trackers."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from diffusers.utils import logging as diffusers_logging
from PIL import Image
from transformers.utils import logging as transformers_logging

from ..utils.files import replace_file
from .objective import SampleLosses


TIME_BINS = 5  # equal intervals of the flow time, for each of which the loss is logged


def is_first_process() -> bool:
    """Whether this is the main process, according to the launcher's `RANK`, which is set before Accelerate."""
    return os.environ.get("RANK", "0") == "0"


def silence_libraries():
    """Disables the progress bars of libraries and an irrelevant warning of Accelerate."""
    for library in (diffusers_logging, transformers_logging):
        library.disable_progress_bar()
    # T5 has one embedding table under two names, which Accelerate correctly saves once.
    logging.getLogger("accelerate.utils.other").addFilter(_is_relevant)


def _is_relevant(record: logging.LogRecord) -> bool:
    return "Removed shared tensor" not in record.getMessage()


class RunLog:
    r"""
    Writes `log.jsonl`, one object per line with its `step`, and logs to Accelerate's trackers
    (`Accelerator(log_with=...)`). Only the main process writes.

    Args:
        folder (`Path`): the run folder.
        accelerator (`Accelerator`): the processes, with their trackers.
        step (`int`): the step that the run resumes from. Entries of later steps, which will be repeated, are removed.
        config (`dict`): the run's options, for the trackers.
    """

    def __init__(self, folder: Path, accelerator: Accelerator, step: int, config: dict[str, Any]):
        self.path, self.accelerator = folder / "log.jsonl", accelerator
        if accelerator.is_main_process:
            lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
            # A killed run may leave a truncated last line, which belongs to a step after its last checkpoint.
            lines = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
            with replace_file(self.path) as partial:
                partial.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        if accelerator.log_with:
            flat = {
                name: value if isinstance(value, (int, float, bool)) else str(value) for name, value in config.items()
            }
            accelerator.init_trackers("jasco", config=flat)

    def write(self, step: int, **entry: Any):
        """Logs values. Trackers get only the numbers, with lists split into `name/0`, `name/1`, ..."""
        if not self.accelerator.is_main_process:
            return
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step} | entry) + "\n")
        values = {}
        for name, value in entry.items():
            parts = {name: value}
            if isinstance(value, list):
                parts = {f"{name}/{index}": part for index, part in enumerate(value)}
            values |= {key: part for key, part in parts.items() if isinstance(part, (int, float))}
        self.accelerator.log(values, step=step)

    def write_clip(self, step: int, name: str, audio: torch.Tensor, sampling_rate: int, picture: Path):
        r"""
        Logs a clip and its picture to the trackers.

        Args:
            step (`int`): the step.
            name (`str`): the name of the clip.
            audio (`torch.Tensor` of shape `(1, samples)`): the clip.
            sampling_rate (`int`): in Hz.
            picture (`Path`): the picture, in a format supported by Pillow.
        """
        for tracker in self.accelerator.trackers:
            if tracker.name == "tensorboard":
                tracker.writer.add_audio(name, audio, step, sampling_rate)
                tracker.writer.add_image(name, np.asarray(Image.open(picture).convert("RGB")), step, dataformats="HWC")
            elif tracker.name == "wandb":
                import wandb

                clip = wandb.Audio(audio[0].numpy(), sample_rate=sampling_rate)
                tracker.tracker.log({f"{name}/audio": clip, f"{name}/picture": wandb.Image(str(picture))}, step=step)


class LossMeans:
    r"""
    Means of named values over steps and processes. Values stay on the device until the means are read, to avoid
    synchronization. They are part of checkpoints, so that the log entry after an interruption is the same as without
    it.

    Args:
        accelerator (`Accelerator`): the processes.
    """

    def __init__(self, accelerator: Accelerator):
        self.accelerator = accelerator
        self.dtype = torch.float32 if accelerator.device.type == "mps" else torch.float64
        self.totals: dict[str, torch.Tensor] = {}  # sums and counts, (2,) or (2, elements)

    def add(self, count: int | torch.Tensor = 1, **sums: torch.Tensor):
        """Adds sums of `count` values each: scalars, or vectors, whose means are computed per element."""
        for name, value in sums.items():
            value = value.detach().to(self.dtype)
            total = torch.stack([value, count if torch.is_tensor(count) else torch.full_like(value, count)])
            self.totals[name] = self.totals[name] + total if name in self.totals else total

    def add_losses(self, losses: SampleLosses, suffix: str = ""):
        """
        Adds the loss of a batch, and its squared errors by time interval, with a suffix to their names; and those of the
        tempo model and of unknown frames, if there are any.
        """
        bins = (losses.times * TIME_BINS).long().clamp(max=TIME_BINS - 1)
        errors = losses.errors.to(self.dtype)
        by_time = torch.zeros(2, TIME_BINS, dtype=self.dtype, device=errors.device)
        by_time.index_add_(1, bins, torch.stack([errors, torch.ones_like(errors)]))
        self.add(len(errors), **{f"loss{suffix}": losses.loss * len(errors)})
        self.add(by_time[1], **{f"mse_by_time{suffix}": by_time[0]})
        if losses.tempo_errors is not None and losses.has_tempo is not None:
            self.add(losses.has_tempo.sum().to(self.dtype), tempo_loss=losses.tempo_errors.sum())
        if losses.unknown_errors is not None and losses.has_context is not None:
            errors = losses.unknown_errors * losses.has_context
            self.add(losses.has_context.sum().to(self.dtype), mse_unknown=errors.sum())

    def _sum_of_processes(self) -> dict[str, torch.Tensor]:
        parts = gather_object([{name: total.cpu() for name, total in self.totals.items()}])
        return {name: sum(part[name] for part in parts if name in part) for part in parts for name in part}

    def gather(self):
        """Moves the sums of all processes to the main process. All processes have to call it."""
        self.load_state_dict(self._sum_of_processes())

    def mean_and_reset(self) -> dict[str, float | list[float | None]]:
        """Returns the means since the last call; `None` for elements without values. All processes have to call it."""
        totals, self.totals = self._sum_of_processes(), {}
        means = {}
        for name, (sums, counts) in totals.items():
            parts = [round(a / b, 6) if b else None for a, b in zip(sums.view(-1).tolist(), counts.view(-1).tolist())]
            means[name] = parts if sums.ndim else parts[0]
        return means

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {name: total.cpu() for name, total in self.totals.items()}

    def load_state_dict(self, state_dict: dict[str, torch.Tensor]):
        is_main = self.accelerator.is_main_process
        self.totals = (
            {name: total.to(self.accelerator.device) for name, total in state_dict.items()} if is_main else {}
        )
