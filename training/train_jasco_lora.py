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
Trains a LoRA for a JASCO model: low-rank updates of its attention layers, which teach it a style from some clips.

    accelerate launch training/train_jasco_lora.py --base pipelines/jasco-nano/teacher --dataset my_music --output runs/lora

The run folder contains `pytorch_lora_weights.safetensors`, for `pipe.load_lora_weights("runs/lora")`. Most options are
those of `training/train_jasco.py`, but there is no EMA.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from diffusers_jasco import JascoPipeline
from diffusers_jasco.controls import CONTROLS, FRAME_CONDITIONS
from diffusers_jasco.training.arguments import add_training_options, parse_with_config, write_config
from diffusers_jasco.training.checkpoints import find_start
from diffusers_jasco.training.checks import check_options, check_resources
from diffusers_jasco.training.context import context_reach
from diffusers_jasco.training.datasets import make_batches, open_datasets
from diffusers_jasco.training.logs import RunLog, is_first_process, silence_libraries
from diffusers_jasco.training.loop import TrainingLoop, make_accelerator
from diffusers_jasco.training.modules import JascoTrainingModel
from diffusers_jasco.training.new_words import add_new_words, store_in_lora
from diffusers_jasco.training.objective import FlowMatchingObjective
from diffusers_jasco.training.optimization import check_sharding, make_optimizers_and_schedulers
from diffusers_jasco.training.recipes import inherit_options
from diffusers_jasco.training.stages import Evaluator
from diffusers_jasco.training.validation import validation_loss
from diffusers_jasco.training.weight_transfer import load_source
from diffusers_jasco.utils.arguments import CommandParser
from diffusers_jasco.utils.cli import run_command
from diffusers_jasco.utils.files import partial_path, publish_files
from diffusers_jasco.utils.optional_imports import import_optional
from diffusers_jasco.utils.seeding import derive_seed


NEW_WORDS = "new_words"  # key of their embeddings in checkpoints
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
# The projections of text, time, controls and context, and the feed-forward layers.
PROJECTIONS = ["text_proj", "time_embed_proj", "proj_in", "ff_in", "ff_out"]
PROJECTIONS += [f"{name}_proj" for name in FRAME_CONDITIONS if name != "chords"]


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description="Trains a LoRA for a JASCO model.")
    add_training_options(parser)
    switch = {"action": argparse.BooleanOptionalAction, "default": False}
    group = parser.add_argument_group("LoRA")
    add = group.add_argument
    add("--base", help="Hub id, pipeline, AudioCraft checkpoint or run folder of the model.")
    add("--rank", type=int, default=16, help="Rank of the LoRA matrices.")
    add("--alpha", type=float, help="The LoRA scale is alpha / rank; default: the rank.")
    add("--new_words", nargs="+", help="Caption words to add to the model's vocabulary, learned with the LoRA.")
    add("--lora_dropout", type=float, default=0.0, help="Dropout before the LoRA matrices.")
    add("--lora_projections", **switch, help="Also adapt text, time and control projections and feed-forward layers.")
    add("--gradient_checkpointing", **switch, help="Reduce memory at the cost of speed.")
    # The model already knows its nulls, and only needs enough dropout not to forget them.
    parser.set_defaults(
        drop_all=0.1, drop_text=0.0, drop_controls=0.0, only_beats=0.0, drop_span=0.0, drop_per_batch=False
    )
    parser.set_defaults(weight_decay=0.0, **{f"drop_{name}": 0.25 for name in CONTROLS})
    # The tempo model is not adapted.
    parser.set_defaults(tempo_weight=0.0)
    # Tuned for some minutes of music with jasco-nano.
    parser.set_defaults(learning_rate=2e-3, warmup_steps=10, max_steps=300, adam_beta2=0.99)
    args = parse_with_config(parser, args)
    for name in ("base", "output", "dataset"):
        if getattr(args, name) is None:
            parser.error(f"--{name} is missing.")
    if args.tempo_weight:
        parser.error("--tempo_weight has to be 0: a LoRA does not contain the tempo model.")
    message = inherit_options(args, args.base)
    check_options(parser, args)
    if message is not None and is_first_process():
        print(message)
    return args


def main(args: list[str] | None = None):
    args = parse_args(args)
    check_resources(args)
    peft = import_optional("peft", "train")
    silence_libraries()
    accelerator = make_accelerator(args)
    device, is_main = accelerator.device, accelerator.is_main_process
    output = Path(args.output)
    checkpoint = find_start(output / "checkpoints", args.resume)

    # 1. Model and data. Only the LoRA and the embeddings of new words are trained.
    torch.manual_seed(derive_seed("weights", args.seed))
    pipeline = load_source(args.base)
    pipeline.set_progress_bar_config(disable=True)
    new_words = add_new_words(pipeline, args.new_words or [])
    transformer = pipeline.transformer.requires_grad_(False)
    targets = ATTENTION + (PROJECTIONS if args.lora_projections else [])
    alpha = args.rank if args.alpha is None else args.alpha
    transformer.add_adapter(
        peft.LoraConfig(r=args.rank, lora_alpha=alpha, lora_dropout=args.lora_dropout, target_modules=targets)
    )
    if args.gradient_checkpointing:
        transformer.enable_gradient_checkpointing()
    pipeline.codec.to(device)
    model = JascoTrainingModel(transformer, pipeline.text_encoder, num_new_words=len(new_words))
    data = open_datasets(args, pipeline.codec)
    batches, validation = make_batches(args, data, pipeline, accelerator.process_index, accelerator.num_processes)
    objective = FlowMatchingObjective(
        args, transformer.controls, pipeline.tokenizer, len(new_words), reach=context_reach(pipeline)
    )
    batches.prepare = objective.prepare
    evaluator = Evaluator(args)

    # 2. Optimization
    optimizers, lr_schedulers = make_optimizers_and_schedulers(model, args)
    check_sharding(accelerator, args)
    model, *optimizers = accelerator.prepare(model, *optimizers)
    module = accelerator.unwrap_model(model)
    loop = TrainingLoop(args, accelerator, model, batches, lr_schedulers)
    state = loop.state

    # Checkpoints only contain the LoRA, not the base model.
    def save_lora(models: list, weights: list, folder: str):
        if is_main:
            state = peft.get_peft_model_state_dict(transformer)
            state |= {} if module.new_words is None else {NEW_WORDS: module.new_words.weight.detach()}
            save_file({name: weight.contiguous() for name, weight in state.items()}, Path(folder) / "lora.safetensors")
        weights.clear()

    def load_lora(models: list, folder: str):
        models.clear()
        state = load_file(Path(folder) / "lora.safetensors")
        if module.new_words is not None:
            module.new_words.weight.data.copy_(state.pop(NEW_WORDS))
        peft.set_peft_model_state_dict(transformer, state)

    accelerator.register_save_state_pre_hook(save_lora)
    accelerator.register_load_state_pre_hook(load_lora)
    if checkpoint is not None:
        accelerator.load_state(str(checkpoint))

    # 3. Run folder
    if is_main:
        output.mkdir(parents=True, exist_ok=True)
        write_config(args)
        count = sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
        print(f"{count / 1e6:.2f}M parameters, clips of {batches.num_frames} frames, starting at step {state.step}")
    accelerator.wait_for_everyone()
    log = RunLog(output, accelerator, state.step, vars(args))

    # 4. Training
    def train_step(batch: dict[str, Any]):
        losses = objective(model, batch)
        loop.means.add_losses(losses)
        loop.optimize(losses.loss, *optimizers)

    def save_weights():
        if is_main:
            if module.new_words is not None:
                store_in_lora(pipeline, new_words, module.new_words.weight)
            partial = partial_path(output / "lora")
            JascoPipeline.save_lora_weights(partial, transformer)
            publish_files(partial, output)

    def validate():
        if validation is not None:
            clips, size = args.validation_clips, args.batch_size
            entry = validation_loss(module, *validation, pipeline.tokenizer, accelerator, clips, size, objective.reach)
            log.write(state.step, **entry)

    def evaluate_on_main(stage: Callable[..., dict[str, Any]], *stage_args: Any):
        """Evaluates or generates in the main process, while the others wait."""
        if is_main:
            module.store_words()
            log.write(state.step, **stage(pipeline.to(device), *stage_args))
        accelerator.wait_for_everyone()

    hooks = [
        (args.validate_every, validate),
        (args.evaluate_every, lambda: evaluate_on_main(evaluator.evaluate)),
        (args.generate_every, lambda: evaluate_on_main(evaluator.generate, output, state.step, log)),
    ]
    loop.run(train_step, save_weights, log, hooks)


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(run_command(main, "train_jasco_lora"))
