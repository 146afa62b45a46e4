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
Trains JASCO, from scratch or from any checkpoint:

    python training/train_jasco.py --config training/configs/nano.yaml --output runs/nano \
        --dataset features/train --validation_dataset features/validation --codec codec --tokenizer tokenizer \
        --text_encoder text_encoder

Datasets are feature caches (`scripts/prepare_dataset.py --encode`), prepared folders, Hub ids, or `synthetic`. Every
key of the configuration is also a flag, which overrides it.

The run folder is a pipeline with the EMA weights of the last checkpoint, `JascoPipeline.from_pretrained("runs/nano")`,
and `runs/nano/best` is a pipeline with the EMA weights of the lowest validation loss. The folder also contains
`log.jsonl`, `config.yaml`, `checkpoints/` and `samples/`. `--resume latest` resumes from the last checkpoint; with the
same number of processes, the result is bitwise identical to an uninterrupted run. SIGTERM, Ctrl-C and `--max_minutes`
stop the run after the current step, with a checkpoint.

On several GPUs: `accelerate launch training/train_jasco.py ...`; for clusters, see `docs/guides/training/multi_gpu.md`. On
a CPU with two cores, two processes with one thread each are faster than one process with two threads. Accelerate starts
them with `--multi_gpu` (its own `--cpu` would need MPI):

    OMP_NUM_THREADS=1 accelerate launch --multi_gpu --num_processes 2 training/train_jasco.py --cpu --config ...
"""

import argparse
import copy
import inspect
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import T5Config

from diffusers_jasco import JascoPipeline, JascoTransformerModel
from diffusers_jasco.training.arguments import add_training_options, mapping, parse_with_config, write_config
from diffusers_jasco.training.checkpoints import find_start
from diffusers_jasco.training.checks import check_options, check_resources
from diffusers_jasco.training.components import SAMPLERS, load_components
from diffusers_jasco.training.context import context_reach
from diffusers_jasco.training.datasets import make_batches
from diffusers_jasco.training.ema import EMA
from diffusers_jasco.training.logs import RunLog, is_first_process, silence_libraries
from diffusers_jasco.training.loop import TrainingLoop, make_accelerator
from diffusers_jasco.training.modules import JascoTrainingModel
from diffusers_jasco.training.new_words import add_new_words
from diffusers_jasco.training.objective import FlowMatchingObjective
from diffusers_jasco.training.optimization import check_sharding, configure_deepspeed, make_optimizers_and_schedulers
from diffusers_jasco.training.recipes import inherit_options, options_to_record, warn_of_high_learning_rate
from diffusers_jasco.training.runs import BEST
from diffusers_jasco.training.stages import STAGES, Evaluator, run_stage
from diffusers_jasco.training.validation import validation_loss
from diffusers_jasco.utils.arguments import CommandParser
from diffusers_jasco.utils.cli import run_command
from diffusers_jasco.utils.files import partial_path, publish_files
from diffusers_jasco.utils.seeding import derive_seed


def make_parser() -> argparse.ArgumentParser:
    parser = CommandParser(description="Trains JASCO, from scratch or from any checkpoint.")
    add_training_options(parser)
    switch = {"action": argparse.BooleanOptionalAction, "default": False}

    group = parser.add_argument_group("components")
    add = group.add_argument
    add(
        "--continue_from",
        help="Hub id, pipeline, AudioCraft checkpoint or run folder with the weights to start from.",
    )
    add("--codec", help="Folder of the codec; default: that of `--continue_from`.")
    add("--tokenizer", help="Folder of a tokenizer or a pipeline; default: that of `--continue_from`.")
    add("--text_encoder", help="Pretrained T5 encoder (folder, Hub id or pipeline) instead of a new one.")
    add("--only", choices=STAGES, help="Only run this stage, with the weights in the run folder, without training.")
    add("--best", **switch, help="With `--only`: use the weights with the lowest validation loss.")

    group = parser.add_argument_group("model")
    add = group.add_argument
    add(
        "--transformer",
        type=mapping,
        default={},
        help="Options of JascoTransformerModel, merged with those of the file.",
    )
    add("--text_encoder_config", type=mapping, default={}, help="Options of T5Config, merged with those of the file.")
    add("--train_text_encoder", **switch, help="Also train the text encoder.")
    add("--new_words", nargs="+", help="Caption words to add to the vocabulary of the `--continue_from` model.")
    add("--train_tokenizer", **switch, help="First train a word tokenizer on the captions of the datasets.")
    add(
        "--latents_statistics",
        choices=["channel", "whole"],
        default="channel",
        help="Normalize latents by channel, or as a whole as AudioCraft does, which its format requires.",
    )
    add("--precondition", **switch, help="Normalize all channels alike, and precondition on their deviations.")
    add("--init_from_notes", **switch, help="Initialize new chord and melody layers from music theory.")
    add("--gradient_checkpointing", **switch, help="Reduce memory at the cost of speed.")
    add("--compile", **switch, help="Compile the transformer's blocks.")
    add("--ema_decay", type=float, default=0.999, help="Decay of the EMA of the weights.")

    group = parser.add_argument_group(
        "pipeline defaults (of `--continue_from`, otherwise 50 Euler steps, 1.5, 0 and 0)"
    )
    add = group.add_argument
    add("--default_scheduler", choices=sorted(SAMPLERS), help="Scheduler.")
    add("--default_num_inference_steps", type=int, help="Number of inference steps.")
    add("--default_power", type=float, help="Power of the grid; above 1, steps are shorter near noise.")
    add("--default_guidance_scale", type=float, help="Guidance scale of all conditions together.")
    add("--default_text_guidance_scale", type=float, help="Guidance scale of the text alone.")
    add("--default_guidance_rescale", type=float, help="Strength of guidance rescaling, 0 to 1.")
    return parser


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser()
    args = parse_with_config(parser, args)
    for name in ("output", "dataset"):
        if getattr(args, name) is None:
            parser.error(f"--{name} is missing.")
    if args.codec is None and args.continue_from is None:
        parser.error("--codec is missing (or --continue_from, a pipeline with a codec).")
    if args.tokenizer is None and args.continue_from is None and not args.train_tokenizer:
        parser.error("--tokenizer is missing (or --train_tokenizer, or --continue_from, a pipeline with a tokenizer).")
    if args.continue_from is None and args.text_encoder is None and not args.train_text_encoder:
        parser.error("--text_encoder is missing (or --train_text_encoder, or --continue_from).")
    known = {
        "transformer": set(inspect.signature(JascoTransformerModel).parameters) - {"training_options"},
        "text_encoder_config": set(T5Config().to_dict()),
    }
    for name, names in known.items():
        if unknown := sorted(set(getattr(args, name)) - names):
            parser.error(f"--{name}: unknown options {', '.join(unknown)}. There are: {', '.join(sorted(names))}.")
    if args.new_words and args.continue_from is None:
        parser.error(
            "--new_words needs --continue_from. A new text encoder learns all words in captions (--train_tokenizer)."
        )
    if args.continue_from is not None and args.train_tokenizer:
        parser.error("--train_tokenizer needs a new text encoder. Add words to --continue_from with --new_words.")
    if args.only == "valid" and args.validation_dataset is None:
        parser.error("--only valid needs --validation_dataset.")
    if args.best and args.only is None:
        parser.error("--best needs --only.")
    message = inherit_options(args, args.continue_from)
    check_options(parser, args)
    if args.only is None and is_first_process():
        if message is not None:
            print(message)
        warn_of_high_learning_rate(args)
    return args


def make_averaged_model(
    pipeline: JascoPipeline, args: argparse.Namespace, num_new_words: int
) -> tuple[JascoPipeline, JascoTrainingModel]:
    """Creates the pipeline that is saved, with the unsharded EMA weights on the CPU, and its models in one module."""
    is_trained = {"transformer": True, "text_encoder": args.train_text_encoder, "tempo_model": args.tempo_weight > 0}
    trained = [name for name, value in is_trained.items() if value]
    averaged_pipeline = JascoPipeline(
        **pipeline.components | {name: copy.deepcopy(getattr(pipeline, name)) for name in trained}
    )
    averaged_pipeline.set_progress_bar_config(disable=True)
    averaged = JascoTrainingModel(
        averaged_pipeline.transformer,
        averaged_pipeline.text_encoder,
        args.train_text_encoder,
        num_new_words,
        averaged_pipeline.tempo_model if args.tempo_weight else None,
    )
    return averaged_pipeline, averaged.eval()


def main(args: list[str] | None = None):
    args = parse_args(args)
    silence_libraries()
    check_resources(args)
    if args.only is not None:
        print(json.dumps(run_stage(args), indent=2))
        return
    accelerator = make_accelerator(args)
    device, is_main = accelerator.device, accelerator.is_main_process
    output = Path(args.output)
    checkpoint = find_start(output / "checkpoints", args.resume)

    # 1. Models, with the same initial weights in all processes, and data
    torch.manual_seed(derive_seed("weights", args.seed))
    pipeline, data, transfer = load_components(args)
    transformer = pipeline.transformer
    transformer.register_to_config(training_options=options_to_record(args))
    new_words = add_new_words(pipeline, args.new_words or [])
    pipeline.codec.to(device)
    if pipeline.tempo_model is not None:
        pipeline.tempo_model.to(device)
    tempo_model = pipeline.tempo_model if args.tempo_weight else None
    batches, validation = make_batches(args, data, pipeline, accelerator.process_index, accelerator.num_processes)
    if args.continue_from is None:
        transformer.register_to_config(sample_size=batches.num_frames)
    averaged_pipeline, averaged = make_averaged_model(pipeline, args, len(new_words))
    if args.gradient_checkpointing:
        transformer.enable_gradient_checkpointing()
    if args.compile:
        transformer.compile_repeated_blocks()
    model = JascoTrainingModel(
        transformer, pipeline.text_encoder, args.train_text_encoder, len(new_words), tempo_model
    )
    evaluator = Evaluator(args)
    objective = FlowMatchingObjective(
        args,
        transformer.controls,
        pipeline.tokenizer,
        len(new_words),
        None if tempo_model is None else tempo_model.config,
        context_reach(pipeline),
    )
    batches.prepare = objective.prepare

    # 2. Optimization
    optimizers, lr_schedulers = make_optimizers_and_schedulers(model, args)
    check_sharding(accelerator, args)
    configure_deepspeed(accelerator, args)
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
        count = sum(parameter.numel() for parameter in averaged.parameters())
        print(f"{count / 1e6:.2f}M parameters, clips of {batches.num_frames} frames, starting at step {state.step}")
        if transfer is not None:
            print(transfer)
            (output / "continued_from.md").write_text(transfer + "\n", encoding="utf-8")
    accelerator.wait_for_everyone()
    log = RunLog(output, accelerator, state.step, vars(args))

    # 4. Training
    def train_step(batch: dict[str, Any]):
        losses = objective(model, batch)
        loop.means.add_losses(losses)
        loop.optimize(losses.total(args.tempo_weight), *optimizers)

    def save_pipeline(folder: Path = output):
        ema.copy_whole_to(averaged if is_main else None)
        if is_main:
            averaged.store_words()
            averaged_pipeline.save_pretrained(partial_path(folder / "pipeline"))
            publish_files(partial_path(folder / "pipeline"), folder)

    def validate():
        if validation is None:
            return
        with ema.applied(module):
            clips, size = args.validation_clips, args.batch_size
            entry = validation_loss(module, *validation, pipeline.tokenizer, accelerator, clips, size, objective.reach)
        log.write(state.step, **entry)
        if entry["validation_loss"] < state.best:
            state.best = entry["validation_loss"]
            save_pipeline(output / BEST)

    def evaluate_with_ema(stage: Callable[..., dict[str, Any]], *stage_args: Any):
        """Evaluates or generates with the EMA weights in the main process, while the others wait."""
        ema.copy_whole_to(averaged if is_main else None)
        if is_main:
            averaged.store_words()
            averaged.to(device)
            log.write(state.step, **stage(averaged_pipeline, *stage_args))
            averaged.to("cpu")
        accelerator.wait_for_everyone()

    hooks = [
        (args.validate_every, validate),
        (args.evaluate_every, lambda: evaluate_with_ema(evaluator.evaluate)),
        (args.generate_every, lambda: evaluate_with_ema(evaluator.generate, output, state.step, log)),
    ]
    loop.run(train_step, save_pipeline, log, hooks)


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(run_command(main, "train_jasco"))
