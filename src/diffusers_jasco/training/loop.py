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

"""The course of a run: when it logs, validates, saves and stops, the same in all processes."""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator

from .interruption import catch_signals


class Progress:
    """How far a training is, as a part of its checkpoints: steps, minutes, and the best validation loss."""

    def __init__(self):
        self.step = 0
        self.minutes = 0.0
        self.best = float("inf")

    def state_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    def load_state_dict(self, state_dict: dict[str, Any]):
        vars(self).update(state_dict)


class Course:
    r"""
    Counts steps and time. From its making on, SIGTERM and the first Ctrl-C stop the run after the current step; the second
    Ctrl-C interrupts.

    Args:
        args (`argparse.Namespace`):
            `max_steps`, `max_minutes`, `checkpoint_every` (steps) and `checkpoint_minutes`; 0 is never, and at the end there
            is always a checkpoint.
        accelerator (`Accelerator`): the processes.
        progress ([`Progress`]): how far the run is.
    """

    def __init__(self, args: argparse.Namespace, accelerator: Accelerator, progress: Progress):
        self.args, self.accelerator, self.progress = args, accelerator, progress
        self.is_stopped = progress.step >= args.max_steps
        self.is_saving = False
        self._signals = catch_signals()
        self._minutes_before = progress.minutes
        self._start = self._last_save = self._last_rate = time.monotonic()
        self._rated_step = progress.step

    def advance(self):
        """To be called after each step."""
        args, progress = self.args, self.progress
        progress.step += 1
        # If one process is told to stop, all do, and the first one has the clock.
        now, is_main = time.monotonic(), self.accelerator.is_main_process
        progress.minutes = self._minutes_before + (now - self._start) / 60
        is_late = is_main and args.max_minutes is not None and now - self._start >= args.max_minutes * 60
        is_due = is_main and args.checkpoint_minutes > 0 and now - self._last_save >= args.checkpoint_minutes * 60
        flags = torch.tensor(
            [bool(self._signals) or is_late, is_due], dtype=torch.float32, device=self.accelerator.device
        )
        is_told, is_due = (self.accelerator.reduce(flags, reduction="sum") > 0).tolist()
        self.is_stopped = is_told or progress.step == args.max_steps
        is_step = bool(args.checkpoint_every) and progress.step % args.checkpoint_every == 0
        self.is_saving = is_due or is_step or self.is_stopped
        if self.is_saving:
            self._last_save = now

    def is_time(self, every: int) -> bool:
        """Whether what is done every so many steps, and at the planned end, is done now; 0: never."""
        step = self.progress.step
        return bool(every) and (step % every == 0 or step == self.args.max_steps)

    def tell_how_to_go_on(self):
        """To be called after the last checkpoint: of a run that was stopped, says where it is and how to go on."""
        if self.accelerator.is_main_process and self.progress.step < self.args.max_steps:
            print(
                f"Stopped after step {self.progress.step} of {self.args.max_steps}, with a checkpoint."
                f" To go on: --output {self.args.output} --resume latest"
            )

    @contextmanager
    def pause(self) -> Iterator[None]:
        """For what is no training, and does not count for [`rate`]."""
        start = time.monotonic()
        yield
        self._last_rate += time.monotonic() - start

    def rate(self, per_step: int) -> float:
        """What each step has so much of, ÷ the seconds of training since the last call."""
        now, step = time.monotonic(), self.progress.step
        rate = per_step * (step - self._rated_step) / max(now - self._last_rate, 1e-9)
        self._last_rate, self._rated_step = now, step
        return round(rate, 2)
