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

"""Training loop shared by the training scripts."""

import argparse
import math
import signal
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.utils import DistributedDataParallelKwargs
from torch.distributed.tensor import DTensor
from tqdm import tqdm

from ..utils.seeding import derive_seed
from .batches import EpochBatches, InterleavedBatches, StreamBatches, to_device
from .checkpoints import save_checkpoint
from .ema import EMA
from .logs import LossMeans, RunLog
from .warmup_stable_decay import WarmupStableDecay


# Steps between checks whether any process wants to stop, on an accelerator, which each check synchronizes with.
AGREE_EVERY = 10


def make_accelerator(args: argparse.Namespace) -> Accelerator:
    """Creates the `Accelerator` for the options of [`~training.arguments.add_training_options`]."""
    return Accelerator(
        mixed_precision=args.mixed_precision,
        cpu=args.cpu,
        gradient_accumulation_steps=args.gradient_accumulation_steps,
        log_with=None if args.log_with == "none" else args.log_with,
        project_dir=args.output,
        # The other processes wait while the main process evaluates. They still notice at once if it dies.
        kwargs_handlers=[
            DistributedDataParallelKwargs(gradient_as_bucket_view=True),
            InitProcessGroupKwargs(timeout=timedelta(hours=2)),
        ],
    )


class LoopState:
    """Progress of a run, which is part of its checkpoints: steps, minutes, and the best validation loss."""

    def __init__(self):
        self.step = 0
        self.minutes = 0.0
        self.best = float("inf")

    def state_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    def load_state_dict(self, state_dict: dict[str, Any]):
        vars(self).update(state_dict)


class TrainingLoop:
    r"""
    Draws batches, updates the learning rate and the EMA, logs, saves checkpoints and stops, in sync over all
    processes. A resumed run is bitwise identical to an uninterrupted one. Steps do not synchronize with the device:
    values are only read when a log entry, a hook or a checkpoint is due. (The exception is audio that is encoded
    during training, as its latents pass through the CPU; a feature cache avoids it.)

    Args:
        args (`argparse.Namespace`):
            `output`, `seed`, `max_steps`, `max_minutes`, `max_grad_norm`, `log_every` (steps), `checkpoint_every`
            (steps), `checkpoint_minutes` and `keep_checkpoints`, where 0 means never (or all), and optionally
            `gradient_accumulation_steps` and, for [`WarmupStableDecay`], `total_minutes`. There is always a checkpoint
            at the end.
        accelerator (`Accelerator`): the processes.
        model (`torch.nn.Module`): the model, as prepared by Accelerate.
        batches ([`EpochBatches`], [`StreamBatches`] or [`InterleavedBatches`]): the data.
        lr_schedulers (`Sequence`):
            Learning rate schedulers, not prepared by Accelerate; the first one's rate is logged.
        ema ([`EMA`], *optional*): moving average of the model's weights.
        unit (`str`, defaults to `"clips"`): name of a batch's items in the log.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        accelerator: Accelerator,
        model: torch.nn.Module,
        batches: EpochBatches | StreamBatches | InterleavedBatches,
        lr_schedulers: Sequence[torch.optim.lr_scheduler.LRScheduler],
        ema: EMA | None = None,
        unit: str = "clips",
    ):
        self.args, self.accelerator, self.model = args, accelerator, model
        self.batches, self.lr_schedulers, self.ema, self.unit = batches, lr_schedulers, ema, unit
        self.accumulation_steps = getattr(args, "gradient_accumulation_steps", 1)
        # Minutes of training, over all legs, until the learning rate decays.
        self.stable_minutes = math.inf
        if getattr(args, "total_minutes", None) is not None:
            self.stable_minutes = (1 - args.decay_share) * args.total_minutes
        self.state, self.means = LoopState(), LossMeans(accelerator)
        self._norms: list[tuple[int, torch.Tensor]] = []
        averages = [] if ema is None else [ema]
        accelerator.register_for_checkpointing(*lr_schedulers, *averages, batches, self.state, self.means)

    @property
    def max_steps(self) -> int:
        """The step at which the run ends."""
        schedule = self.lr_schedulers[0]
        return schedule.max_steps if isinstance(schedule, WarmupStableDecay) else self.args.max_steps

    def run(
        self,
        train_step: Callable[[dict[str, Any]], None],
        save: Callable[[], None],
        log: RunLog,
        hooks: Sequence[tuple[int, Callable[[], None]]] = (),
    ):
        r"""
        Trains until [`max_steps`], or until `max_minutes`, SIGTERM or Ctrl-C stop the run after the current step (with
        several processes on accelerators, up to 10 steps later). A second Ctrl-C interrupts it immediately.

        Args:
            train_step (`Callable`):
                Called with each batch, on the device; adds losses to `means` and calls [`optimize`]. PyTorch's global
                generator is seeded before each call, by step and process.
            save (`Callable`): called before each checkpoint to save the models in the run folder.
            log ([`RunLog`]): the run's log.
            hooks (`Sequence[tuple[int, Callable]]`):
                Pairs of an interval in steps and a function that is called whenever [`is_due`].

        Raises:
            `FloatingPointError`: if a gradient is not finite.
        """
        args, state, accelerator = self.args, self.state, self.accelerator
        received = install_signal_handlers()
        start = last_save = self._throughput_start = time.monotonic()
        minutes_before, self._throughput_step = state.minutes, state.step
        progress_bar = tqdm(
            initial=state.step, total=self.max_steps, desc="steps", disable=not accelerator.is_main_process
        )
        stream = iter(self.batches)
        is_stopped = is_complete = state.step >= self.max_steps
        self.model.train()

        while not is_stopped:
            learning_rate = self.lr_schedulers[0].get_last_lr()[0]
            for micro_step in range(self.accumulation_steps):
                batch = to_device(next(stream), accelerator.device)
                torch.manual_seed(derive_seed("step", args.seed, state.step, micro_step, accelerator.process_index))
                with accelerator.accumulate(self.model):
                    train_step(batch)
            for lr_scheduler in self.lr_schedulers:
                lr_scheduler.step()
            if self.ema is not None:
                self.ema.step(self.model.parameters())
            state.step += 1
            progress_bar.update()

            now = time.monotonic()
            state.minutes = minutes_before + (now - start) / 60
            is_late = args.max_minutes is not None and now - start >= args.max_minutes * 60
            is_save_due = 0 < args.checkpoint_minutes * 60 <= now - last_save
            decays = state.minutes >= self.stable_minutes
            is_stopped, is_saving, decays = self._agree(bool(received) or is_late, is_save_due, decays)
            if decays:
                for lr_scheduler in self.lr_schedulers:
                    lr_scheduler.start_decay()
                progress_bar.total = self.max_steps
            is_stopped = is_stopped or state.step >= self.max_steps
            is_saving = is_saving or is_stopped or _is_multiple(state.step, args.checkpoint_every)

            due = [hook for every, hook in hooks if self.is_due(every)]
            if due or is_saving or self.is_due(args.log_every):
                self._check_gradients()
            if self.is_due(args.log_every):
                entry = self.means.mean_and_reset() | {
                    "learning_rate": learning_rate,
                    f"{self.unit}_per_second": self._throughput(),
                    "minutes": round(state.minutes, 2),
                    "epoch": self.batches.epoch,
                }
                log.write(state.step, **entry)
                progress_bar.set_postfix({"loss": entry["loss"], "per_s": entry[f"{self.unit}_per_second"]})
            pause_start = time.monotonic()
            for hook in due:
                hook()
            if is_saving:
                # Save the models first, so that the run folder is never older than its last checkpoint.
                save()
                self.means.gather()
                save_checkpoint(accelerator, Path(args.output, "checkpoints"), state.step, args.keep_checkpoints)
                last_save = now
            if due or is_saving:
                self.model.train()
            self._throughput_start += time.monotonic() - pause_start

        progress_bar.close()
        if accelerator.is_main_process:
            self._print_outcome(is_complete)
        accelerator.end_training()

    def optimize(
        self, loss: torch.Tensor, *optimizers: torch.optim.Optimizer, model: torch.nn.Module | None = None
    ) -> None:
        r"""
        Backward pass, gradient clipping and steps of the optimizers. With gradient accumulation, the last two only
        happen after the last batch.

        Args:
            loss (`torch.Tensor`): a scalar.
            optimizers (`torch.optim.Optimizer`): the optimizers of the model, as prepared by Accelerate.
            model (`torch.nn.Module`, *optional*):
                The model, if it is not the loop's. Its gradient norm is not logged then.
        """
        self.accelerator.backward(loss)
        if self.accelerator.sync_gradients:
            parameters = (self.model if model is None else model).parameters()
            norm = self.accelerator.clip_grad_norm_(parameters, self.args.max_grad_norm)
            norm = norm.full_tensor() if isinstance(norm, DTensor) else torch.as_tensor(norm)
            self._norms.append((self.state.step, norm))
            if model is None:
                self.means.add(grad_norm=norm)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()

    def is_due(self, every: int) -> bool:
        """Whether a task is due that runs every `every` steps (0: never) and at the end of training."""
        return _is_multiple(self.state.step, every) or (bool(every) and self.state.step >= self.max_steps)

    def _check_gradients(self):
        norms, self._norms = self._norms, []
        # In fp16, the gradient scaler skips steps with infinite gradients.
        if self.accelerator.mixed_precision != "fp16" and norms:
            for (step, _), norm in zip(norms, torch.stack([norm for _, norm in norms]).tolist()):
                if not math.isfinite(norm):
                    raise FloatingPointError(
                        f"The gradient norm of step {step} is {norm}."
                        " Resume from an earlier checkpoint with a lower `learning_rate`."
                    )

    def _agree(self, *flags: bool) -> list[bool]:
        """For each flag, whether any process has raised it."""
        if self.accelerator.num_processes == 1:
            return list(flags)
        device = self.accelerator.device
        if device.type != "cpu" and self.state.step % AGREE_EVERY:
            return [False] * len(flags)
        raised = self.accelerator.reduce(torch.tensor(flags, dtype=torch.float32, device=device), reduction="sum")
        return (raised > 0).tolist()

    def _throughput(self) -> float:
        """Throughput since the last call: items per second of training over all processes."""
        now, steps = time.monotonic(), self.state.step - self._throughput_step
        items = steps * self.accumulation_steps * self.batches.global_batch_size
        seconds = max(now - self._throughput_start, 1e-9)
        self._throughput_start, self._throughput_step = now, self.state.step
        return round(items / seconds, 2)

    def _print_outcome(self, was_complete: bool):
        if was_complete:
            print(
                f"Training is complete: the checkpoint is from step {self.state.step} of {self.max_steps}. Nothing was done."
            )
        elif self.state.step < self.max_steps:
            print(
                f"Stopped after step {self.state.step} of {self.max_steps}, with a checkpoint."
                f" To resume: --output {self.args.output} --resume latest"
            )


def install_signal_handlers() -> list[int]:
    """Records SIGTERM and the first Ctrl-C in the returned list; a second Ctrl-C interrupts."""
    received = []

    def record(number: int, frame: Any):
        received.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, record)
    return received


def _is_multiple(step: int, every: int) -> bool:
    return bool(every) and step % every == 0
