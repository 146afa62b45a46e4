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

r"""
Distills a JASCO model: a student that generates music in few steps, without guidance, learns the trajectories of its
teacher, a checkpoint with its default guidance.

    accelerate launch training/train_jasco_distill.py --teacher pipelines/jasco-nano/teacher --dataset features/train \
        --output runs/distilled --times 0 0.05 0.15 0.4 0.7

The run folder is an ordinary pipeline, whose defaults are the steps that it was distilled for:
`JascoPipeline.from_pretrained("runs/distilled")`. Each training step solves the teacher's flow anew, which costs
`2 * substeps * branches` evaluations per interval; `--trajectories_per_clip 1` stores the solutions of the first epoch
and uses them in all others. With many intervals, such as `--num_steps 12 --substeps 1`, this is guidance distillation.
Most options are those of `training/train_jasco.py`.
"""

import argparse
import copy
import os
import sys
from pathlib import Path
from typing import Any

import torch

from diffusers_jasco import FlowMatchEulerScheduler, JascoGuidance, JascoPipeline
from diffusers_jasco.guiders.jasco_guidance import SCALES
from diffusers_jasco.training.arguments import add_training_options, parse_with_config, write_config
from diffusers_jasco.training.batches import to_device
from diffusers_jasco.training.checkpoints import find_start
from diffusers_jasco.training.checks import check_options, check_resources
from diffusers_jasco.training.context import context_reach
from diffusers_jasco.training.datasets import make_batches, open_datasets
from diffusers_jasco.training.distillation import TrajectoryObjective, trajectory_loss
from diffusers_jasco.training.ema import EMA
from diffusers_jasco.training.logs import RunLog, is_first_process, silence_libraries
from diffusers_jasco.training.loop import TrainingLoop, make_accelerator
from diffusers_jasco.training.modules import JascoTrainingModel
from diffusers_jasco.training.optimization import check_sharding, make_optimizers_and_schedulers
from diffusers_jasco.training.recipes import inherit_options
from diffusers_jasco.training.runs import BEST
from diffusers_jasco.training.stages import Evaluator
from diffusers_jasco.training.weight_transfer import load_source
from diffusers_jasco.utils.arguments import CommandParser
from diffusers_jasco.utils.cli import run_command
from diffusers_jasco.utils.files import partial_path, publish_files
from diffusers_jasco.utils.seeding import derive_seed


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description="Distills a JASCO model to few steps without guidance.")
    add_training_options(parser)
    group = parser.add_argument_group("distillation")
    add = group.add_argument
    add("--teacher", help="Hub id, pipeline, AudioCraft checkpoint or run folder of the teacher.")
    add("--times", type=float, nargs="+", help="Flow times at which the student's steps begin, from 0 (noise).")
    add("--num_steps", type=int, default=4, help="Number of equal steps of the student, without `--times`.")
    add("--substeps", type=int, default=2, help="Midpoint steps of the teacher per step of the student.")
    add(
        "--trajectories_per_clip",
        type=int,
        default=0,
        help="Number of trajectories stored for each clip. Captions, crops, and noise repeat after this many epochs. 0"
        " solves new ones in each step.",
    )
    for name in SCALES:
        add(f"--{name}", type=float, help="Guidance of the teacher; default: that of its checkpoint.")
    add("--ema_decay", type=float, default=0.99, help="Decay of the EMA of the weights.")
    switch = {"action": argparse.BooleanOptionalAction, "default": False}
    add("--gradient_checkpointing", **switch, help="Reduce memory at the cost of speed.")
    # The student only has to know the conditions of its calls: guidance, which needs the nulls, is built in.
    parser.set_defaults(drop_all=0.0, drop_text=0.05, drop_span=0.0, tempo_weight=0.0)
    args = parse_with_config(parser, args)
    if args.trajectories_per_clip < 0:
        parser.error(f"--trajectories_per_clip has to be at least 0, but is {args.trajectories_per_clip}.")
    if args.trajectories_per_clip and args.streaming:
        parser.error(
            "--trajectories_per_clip can't be used with --streaming: the items of a stream differ in each epoch."
        )
    for name in ("teacher", "output", "dataset"):
        if getattr(args, name) is None:
            parser.error(f"--{name} is missing.")
    if args.times is None:
        args.times = [number / args.num_steps for number in range(args.num_steps)]
    message = inherit_options(args, args.teacher)
    check_options(parser, args)
    if message is not None and is_first_process():
        print(message)
    return args


def trajectory_folder(args: argparse.Namespace, guider: JascoGuidance) -> Path:
    """The folder of stored trajectories, which is another one if anything that they depend on has changed."""
    names = (
        "teacher",
        "dataset",
        "dataset_weights",
        "remix",
        "vary_drums",
        "num_frames",
        "seed",
        "times",
        "substeps",
        "mixed_precision",
        "only_beats",
        "context",
    )
    names += tuple(sorted(name for name in vars(args) if name.startswith("drop_")))
    options = [(name, getattr(args, name)) for name in names]
    return Path(args.output) / "trajectories" / f"{derive_seed(repr((options, sorted(guider.config.items())))):016x}"


def make_fixed_batches(
    validation: tuple[Any, Any],
    objective: TrajectoryObjective,
    model: JascoTrainingModel,
    args: argparse.Namespace,
    accelerator: Any,
) -> list[dict[str, Any]]:
    """The solved batches of the validation clips for this process, which may be none."""
    dataset, encode = validation
    count, batches = min(args.validation_clips, len(dataset)), []
    for start in range(0, count, args.batch_size)[accelerator.process_index :: accelerator.num_processes]:
        indices = range(start, min(start + args.batch_size, count))
        batch = encode([dataset[index] for index in indices])
        batch = objective.prepare(batch | {"key": [f"validation/0/{index}" for index in indices]})
        batches.append(objective.solve(to_device(batch, accelerator.device), model.encode_text))
    return batches


def main(args: list[str] | None = None):
    args = parse_args(args)
    check_resources(args)
    silence_libraries()
    accelerator = make_accelerator(args)
    device, is_main = accelerator.device, accelerator.is_main_process
    output = Path(args.output)
    checkpoint = find_start(output / "checkpoints", args.resume)

    # 1. The teacher, and the student, which begins as its copy
    torch.manual_seed(derive_seed("weights", args.seed))
    pipeline = load_source(args.teacher)
    guider = copy.copy(pipeline.guider) or JascoGuidance()
    for name in SCALES:
        if getattr(args, name) is not None:
            setattr(guider, name, getattr(args, name))
    teacher = copy.deepcopy(pipeline.transformer).requires_grad_(False).eval().to(device)
    pipeline.codec.to(device)
    if args.gradient_checkpointing:
        pipeline.transformer.enable_gradient_checkpointing()
    model = JascoTrainingModel(pipeline.transformer, pipeline.text_encoder)
    data = open_datasets(args, pipeline.codec)
    batches, validation = make_batches(args, data, pipeline, accelerator.process_index, accelerator.num_processes)
    objective = TrajectoryObjective(
        args,
        teacher,
        guider,
        pipeline.tokenizer,
        args.times,
        args.substeps,
        accelerator.autocast,
        trajectory_folder(args, guider) if args.trajectories_per_clip else None,
        context_reach(pipeline),
    )
    batches.prepare = objective.prepare
    batches.distinct_epochs = args.trajectories_per_clip or None
    averaged = copy.deepcopy(pipeline.transformer)
    steps = len(args.times)
    scheduler = FlowMatchEulerScheduler(num_inference_steps=steps, inference_sigmas=objective.sigmas)
    defaults = {"transformer": averaged, "scheduler": scheduler, "guider": JascoGuidance(1.0)}
    student = JascoPipeline(**pipeline.components | defaults)
    student.set_progress_bar_config(disable=True)
    averaged_model = JascoTrainingModel(averaged, pipeline.text_encoder).eval()
    evaluator, fixed = Evaluator(args), []

    # 2. Optimization
    optimizers, lr_schedulers = make_optimizers_and_schedulers(model, args)
    check_sharding(accelerator, args)
    model, *optimizers = accelerator.prepare(model, *optimizers)
    module = accelerator.unwrap_model(model)
    ema = EMA(module.parameters(), decay=args.ema_decay)
    loop = TrainingLoop(args, accelerator, model, batches, lr_schedulers, ema)
    state = loop.state
    if checkpoint is not None:
        accelerator.load_state(str(checkpoint))

    # 3. Run folder
    if is_main:
        output.mkdir(parents=True, exist_ok=True)
        write_config(args)
        print(
            f"{steps} steps at the times {', '.join(f'{time:g}' for time in args.times)}, starting at step {state.step}"
        )
    accelerator.wait_for_everyone()
    log = RunLog(output, accelerator, state.step, vars(args))

    # 4. Training
    def train_step(batch: dict[str, Any]):
        losses = objective(model, objective.solve(batch, module.encode_text))
        loop.means.add_losses(losses)
        loop.optimize(losses.loss, *optimizers)

    def save_pipeline(folder: Path = output):
        ema.copy_whole_to(averaged_model if is_main else None)
        if is_main:
            student.save_pretrained(partial_path(folder / "pipeline"))
            publish_files(partial_path(folder / "pipeline"), folder)

    def validate():
        if validation is None:
            return
        if not fixed:
            fixed.extend(make_fixed_batches(validation, objective, module, args, accelerator))
        with ema.applied(module):
            sums = trajectory_loss(objective, module, fixed)
        total, clips = accelerator.reduce(torch.tensor(sums, device=device), reduction="sum").tolist()
        loss = total / clips
        log.write(state.step, validation_loss=loss)
        if loss < state.best:
            state.best = loss
            save_pipeline(output / BEST)

    def evaluate_with_ema(stage: Any, *stage_args: Any):
        """Evaluates or generates with the EMA weights in the main process, while the others wait."""
        ema.copy_whole_to(averaged_model if is_main else None)
        if is_main:
            log.write(state.step, **stage(student.to(device), *stage_args))
        accelerator.wait_for_everyone()

    hooks = [
        (args.validate_every, validate),
        (args.evaluate_every, lambda: evaluate_with_ema(evaluator.evaluate)),
        (args.generate_every, lambda: evaluate_with_ema(evaluator.generate, output, state.step, log)),
    ]
    loop.run(train_step, save_pipeline, log, hooks)


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(run_command(main, "train_jasco_distill"))
