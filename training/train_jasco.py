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
Trains JASCO, from scratch or from the weights of a pipeline:

    python training/train_jasco.py --config training/configs/nano.yaml \
        --features features/train --validation_features features/dev \
        --codec codec --tokenizer tokenizer --output runs/nano

The features are what `scripts/encode_features.py` writes, the tokenizer what `training/train_tokenizer.py` does (or any
T5 tokenizer). Every key of the configuration is also a flag, which overrides it.

The run folder is a pipeline, `JascoPipeline.from_pretrained("runs/nano")`, of the averaged weights at the last checkpoint;
beside it are `log.jsonl`, `config.yaml` and `checkpoints/`. `--resume latest` goes on exactly where the last checkpoint
was written: what follows is the same to the bit as without the interruption, with the same number of processes. SIGTERM,
Ctrl-C and `--max_minutes` stop after the current step, with a checkpoint.

On one GPU or several: `accelerate launch training/train_jasco.py ...`. On a CPU with two cores, two processes of one thread
are faster than one of two. Accelerate starts them if it is told `--multi_gpu` (its own `--cpu` would need MPI):

    OMP_NUM_THREADS=1 accelerate launch --multi_gpu --num_processes 2 training/train_jasco.py --cpu --config ...
"""

import argparse
import inspect
import json
import os
import signal
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from tqdm import tqdm
from transformers import AutoTokenizer, PreTrainedTokenizerBase, T5Config, T5EncoderModel

from diffusers_jasco import FlowMatchEulerScheduler, JascoPipeline, JascoTransformerModel
from diffusers_jasco.controls.chord_labels import default_chord_labels
from diffusers_jasco.data.features import FeatureDataset, codec_hash, collate_features, derive_seed, first_codebook
from diffusers_jasco.files import finish_folder, partial_path, publish_files
from diffusers_jasco.training.checkpoints import (
    checkpoint_path,
    find_checkpoint,
    list_checkpoints,
    prune_checkpoints,
)
from diffusers_jasco.training.conditions import ConditionDropout
from diffusers_jasco.training.control_init import init_controls_from_notes
from diffusers_jasco.training.data_order import EpochBatches
from diffusers_jasco.training.modules import JascoTrainingModel, load_codec
from diffusers_jasco.training.objective import draw_times, flow_matching_loss, noise_latents


# The loss is logged for so many equal parts of the time.
TIME_BINS = 5


def mapping(value: str | dict) -> dict:
    """A dictionary, written as YAML on the command line: `"{num_layers: 4, dropout: 0.1}"`."""
    value = yaml.safe_load(value) if isinstance(value, str) else value
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"has to be a mapping such as '{{num_layers: 4}}', but is {value!r}")
    return value


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Trains JASCO, from scratch or from the weights of a pipeline.")
    switch = {"action": argparse.BooleanOptionalAction, "default": False}

    group = parser.add_argument_group("what goes in and out")
    add = group.add_argument
    add("--config", help="YAML file with any of these options.")
    add("--features", help="Feature cache of the training set.")
    add("--validation_features", help="Feature cache of the validation set; without one there is no validation.")
    add("--codec", help="Folder of the codec; by default that of `--init_from`.")
    add("--tokenizer", help="Folder of the tokenizer; by default that of `--init_from`.")
    add("--text_encoder", help="Folder or Hub id of a T5 encoder, in the place of `--text_encoder_config`.")
    add("--init_from", help="Folder of a pipeline, whose weights training starts from.")
    add("--output", help="The run folder.")
    add("--resume", help='"latest", a step or a checkpoint folder to go on from; "latest" may be absent.')

    group = parser.add_argument_group("model")
    add = group.add_argument
    add("--transformer", type=mapping, default={}, help="Options of JascoTransformerModel; a flag adds to the file.")
    add("--text_encoder_config", type=mapping, default={}, help="Options of T5Config; a flag adds to the file.")
    add("--train_text_encoder", **switch, help="Train the text encoder too.")
    add(
        "--precondition",
        **switch,
        help="Normalise the latents as a whole, not by channel, and precondition on the rest.",
    )
    add(
        "--init_from_notes", **switch, help="Start new layers of chords and melody from the notes that they stand for."
    )
    add("--gradient_checkpointing", **switch, help="Less memory, more time.")
    add("--compile", **switch, help="Compile the transformer's blocks.")

    group = parser.add_argument_group("objective")
    add = group.add_argument
    add("--time_sampling", choices=["uniform", "power"], default="uniform", help="Distribution of the time.")
    add("--time_power", type=float, default=2.0, help="t = u^power with `--time_sampling power`.")
    add("--loss_weighting", choices=["uniform", "increasing", "decreasing"], default="increasing", help="1, 1+t, 2-t.")
    for name, probability in (("all", 0.2), ("text", 0.0), ("chords", 0.5), ("drums", 0.5), ("melody", 0.5)):
        add(f"--drop_{name}", type=float, default=probability, help=f"How often a sample is trained without {name}.")

    group = parser.add_argument_group("data")
    add = group.add_argument
    add("--num_frames", type=int, help="Frames of a sample; by default those of the shortest clip.")
    add("--batch_size", type=int, default=4, help="Samples per batch of each process.")
    add("--num_workers", type=int, default=0, help="Loader processes.")
    add("--seed", type=int, default=0, help="Seed of everything.")

    group = parser.add_argument_group("optimisation")
    add = group.add_argument
    add("--max_steps", type=int, default=1000, help="Steps in total; the learning rate falls to 0 by then.")
    add("--learning_rate", type=float, default=1e-4, help="Highest learning rate.")
    add("--lr_scheduler", default="cosine", help="Any of Diffusers' schedules.")
    add("--warmup_steps", type=int, default=0, help="Steps in which the learning rate rises.")
    add("--adam_beta1", type=float, default=0.9, help="AdamW.")
    add("--adam_beta2", type=float, default=0.95, help="AdamW.")
    add("--adam_epsilon", type=float, default=1e-8, help="AdamW.")
    add("--weight_decay", type=float, default=0.01, help="AdamW; not of biases, norms and embeddings.")
    add("--max_grad_norm", type=float, default=1.0, help="Gradients are clipped to this norm.")
    add("--gradient_accumulation_steps", type=int, default=1, help="Batches per step.")
    add("--ema_decay", type=float, default=0.999, help="Decay of the averaged weights.")
    add("--mixed_precision", choices=["no", "fp16", "bf16"], default="no", help="Type of the computation.")
    add("--cpu", **switch, help="Train on the CPU, even where there is a GPU.")

    group = parser.add_argument_group("course")
    add = group.add_argument
    add("--max_minutes", type=float, help="Stop after so much time.")
    add("--log_every", type=int, default=20, help="Steps.")
    add("--validate_every", type=int, default=500, help="Steps.")
    add("--validation_clips", type=int, default=64, help="At most so many clips are used for validation.")
    add("--checkpoint_every", type=int, default=0, help="Steps; 0: never.")
    add("--checkpoint_minutes", type=float, default=10.0, help="Minutes; 0: never. There is one at the end too.")
    add("--keep_checkpoints", type=int, default=2, help="Older ones are deleted; 0 keeps all.")

    group = parser.add_argument_group("defaults of the pipeline")
    add = group.add_argument
    add("--default_num_inference_steps", type=int, default=50, help="Steps.")
    add("--default_guidance_scale", type=float, default=1.5, help="Weight of the branch with all conditions.")
    add("--default_text_guidance_scale", type=float, default=0.0, help="Weight of the branch with the text only.")
    return parser


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    """The flags over the configuration file over the defaults."""
    parser = make_parser()
    file = parser.parse_known_args(args)[0].config
    config = {}
    if file is not None:
        config = yaml.safe_load(Path(file).read_text(encoding="utf-8")) or {}
        actions = {action.dest: action for action in parser._actions if action.dest not in ("help", "config")}
        if unknown := sorted(set(config) - set(actions)):
            parser.error(f"{file}: unknown keys {', '.join(unknown)}. There are: {', '.join(actions)}.")
        for key, value in config.items():
            try:
                config[key] = check_value(actions[key], value)
            except (ValueError, argparse.ArgumentTypeError) as error:
                parser.error(f"{file}: {key}: {error}")
        parser.set_defaults(**config)
    args = parser.parse_args(args)

    # What a flag says about a mapping is added to what the file says.
    args.transformer = config.get("transformer", {}) | args.transformer
    args.text_encoder_config = config.get("text_encoder_config", {}) | args.text_encoder_config
    for name in ("features", "output"):
        if getattr(args, name) is None:
            parser.error(f"--{name} is missing.")
    for name in ("codec", "tokenizer"):
        if getattr(args, name) is None and args.init_from is None:
            parser.error(f"--{name} is missing (or --init_from, a pipeline that has one).")
    if args.init_from is None and args.text_encoder is None and not args.train_text_encoder:
        parser.error("A text encoder that is not trained has to come from --text_encoder or --init_from.")
    unknown = set(args.transformer) - set(inspect.signature(JascoTransformerModel.__init__).parameters)
    unknown |= set(args.text_encoder_config) - set(T5Config().to_dict())
    if unknown:
        parser.error(f"unknown options of the transformer or the text encoder: {', '.join(sorted(unknown))}.")
    return args


def check_value(action: argparse.Action, value: Any) -> Any:
    """A value of the configuration file, as the flag would have given it. YAML reads 2e-3 as a text."""
    if value is None:
        return action.default
    if isinstance(action, argparse.BooleanOptionalAction):
        if not isinstance(value, bool):
            raise ValueError(f"has to be true or false, but is {value!r}")
        return value
    if action.type is mapping:
        return mapping(value)
    value = (action.type or str)(str(value))
    if action.choices is not None and value not in action.choices:
        raise ValueError(f"has to be one of {', '.join(action.choices)}, but is {value!r}")
    return value


def load_components(args: argparse.Namespace) -> dict[str, Any]:
    """The pipeline's components, in float32: new ones, or those of `--init_from`."""
    features = json.loads((Path(args.features) / "features.json").read_text(encoding="utf-8"))
    start = None if args.init_from is None else Path(args.init_from)
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer or start / "tokenizer")
    codec = load_codec(args.codec or start)

    if args.text_encoder is not None:
        text_encoder = T5EncoderModel.from_pretrained(args.text_encoder, dtype=torch.float32)
    elif start is not None:
        text_encoder = T5EncoderModel.from_pretrained(start / "text_encoder", dtype=torch.float32)
    else:
        vocabulary = {"vocab_size": len(tokenizer), "pad_token_id": 0, "eos_token_id": 1, "is_encoder_decoder": False}
        text_encoder = T5EncoderModel(T5Config(**vocabulary | args.text_encoder_config))

    if start is not None:
        transformer = JascoTransformerModel.from_pretrained(
            start / "transformer", torch_dtype=torch.float32, dropout=args.transformer.get("dropout", 0.0)
        )
    else:
        given = {
            "in_channels": features["latent_dim"],
            "text_dim": text_encoder.config.d_model,
            "latents_mean": features["latents_mean"],
            "latents_std": features["latents_std"],
        }
        if clash := sorted(set(given) & set(args.transformer)):
            raise ValueError(f"The features and the text encoder say what these are: {', '.join(clash)}.")
        if args.precondition:
            # Channels keep their differences: noise hides the weak ones first, as it should.
            std = torch.tensor(features["latents_std"])
            given["latents_std"] = std.square().mean().sqrt().item()
            given["preconditioning"] = (std / given["latents_std"]).tolist()
        options = {"chord_labels": default_chord_labels()} | args.transformer | given
        transformer = JascoTransformerModel(**options)
        if args.init_from_notes:
            init_controls_from_notes(transformer)

    for what, has, needs in (
        ("The tokenizer's size", len(tokenizer), range(text_encoder.config.vocab_size + 1)),
        ("The text encoder's width", text_encoder.config.d_model, [transformer.config.text_dim]),
        ("The latents' number of channels", features["latent_dim"], [transformer.config.in_channels]),
    ):
        if has not in needs:
            raise ValueError(f"{what} is {has}, but the model is made for {needs[-1]}.")
    return {
        "tokenizer": tokenizer,
        "text_encoder": text_encoder,
        "codec": codec.requires_grad_(False),
        "transformer": transformer,
        "scheduler": FlowMatchEulerScheduler(),
    }


def load_dataset(
    folder: str, transformer: JascoTransformerModel, codec: torch.nn.Module, num_frames: int | None, seed: int
) -> FeatureDataset:
    """A feature cache as the model needs it. It has to be of the same codec."""
    config = transformer.config
    dataset = FeatureDataset(
        folder,
        labels=config.chord_labels,
        num_frames=num_frames,
        drums_blur=config.drums_blur,
        latents_mean=config.latents_mean,
        latents_std=config.latents_std,
        seed=seed,
    )
    # A codec in half precision is still the same.
    difference = (first_codebook(codec) - dataset.codebook).norm()
    if dataset.info["codec_hash"] != codec_hash(codec) or difference > 0.01 * dataset.codebook.norm():
        raise ValueError(f"The features in {folder} were made with another codec.")
    return dataset


def parameter_groups(model: torch.nn.Module, weight_decay: float) -> list[dict]:
    """Weight decay for matrices, none for biases, norms and embeddings."""
    embeddings = {id(p) for m in model.modules() if isinstance(m, torch.nn.Embedding) for p in m.parameters()}
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decayed = [p for p in parameters if p.ndim >= 2 and id(p) not in embeddings]
    others = [p for p in parameters if p.ndim < 2 or id(p) in embeddings]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def tokenize(tokenizer: PreTrainedTokenizerBase, captions: list[str], device: torch.device) -> dict[str, torch.Tensor]:
    """Token ids and mask `(batch, tokens)`."""
    inputs = tokenizer(captions, padding=True, return_tensors="pt").to(device)
    return {"input_ids": inputs.input_ids, "attention_mask": inputs.attention_mask}


def catch_signals() -> list[int]:
    """From now on SIGTERM and the first Ctrl-C are noted in the list that is returned; the second Ctrl-C interrupts."""
    received = []

    def note(number: int, frame: Any):
        received.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, note)
    return received


class Progress:
    """How far the training is, as a part of the checkpoint."""

    def __init__(self):
        self.step = 0
        self.minutes = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step, "minutes": self.minutes}

    def load_state_dict(self, state_dict: dict[str, Any]):
        self.step, self.minutes = state_dict["step"], state_dict["minutes"]


class TimeBins:
    """Means of the loss and of the squared errors by time, over all processes."""

    def __init__(self, device: torch.device):
        self.sums = torch.zeros(2, TIME_BINS + 1, dtype=torch.float64 if device.type == "cpu" else None, device=device)

    def add(self, loss: torch.Tensor, errors: torch.Tensor, times: torch.Tensor):
        bins = (times * TIME_BINS).long().clamp(max=TIME_BINS - 1)
        self.sums[0, -1] += loss.detach()
        self.sums[1, -1] += 1
        self.sums[0].index_add_(0, bins, errors.to(self.sums.dtype))
        self.sums[1].index_add_(0, bins, torch.ones_like(errors, dtype=self.sums.dtype))

    def take(self, accelerator: Accelerator) -> dict[str, Any]:
        """The means since the last call; `None` for a part of the time that was not drawn."""
        sums, counts = accelerator.reduce(self.sums, reduction="sum").tolist()
        self.sums.zero_()
        means = [round(total / count, 5) if count else None for total, count in zip(sums, counts)]
        return {"loss": means[-1], "mse_by_time": means[:-1]}


@contextmanager
def averaged_weights(ema: EMAModel, model: torch.nn.Module):
    """The model with its averaged weights."""
    ema.store(model.parameters())
    ema.copy_to(model.parameters())
    try:
        yield
    finally:
        ema.restore(model.parameters())


@torch.no_grad()
def validate(
    model: JascoTrainingModel,
    dataset: FeatureDataset,
    tokenizer: PreTrainedTokenizerBase,
    scheduler: FlowMatchEulerScheduler,
    accelerator: Accelerator,
    num_clips: int,
    batch_size: int,
) -> dict[str, Any]:
    """The unweighted loss with all conditions, on noise and evenly spread times that are always the same."""
    model.eval()
    num_clips = min(num_clips, len(dataset))
    bins = TimeBins(accelerator.device)
    starts = range(0, num_clips, batch_size)
    for start in starts[accelerator.process_index :: accelerator.num_processes]:
        indices = range(start, min(start + batch_size, num_clips))
        batch = collate_features([dataset[index] for index in indices])
        latents = batch["latents"].to(accelerator.device)
        generators = [torch.Generator().manual_seed(derive_seed("validation", index)) for index in indices]
        noise = torch.stack([torch.randn(latents.shape[1:], generator=generator) for generator in generators])
        # The golden ratio spreads the times evenly, whatever the number of clips.
        times = torch.tensor([(index + 0.5) * 0.6180339887498949 % 1 for index in indices], device=latents.device)
        z, target = noise_latents(scheduler, latents, noise.to(latents.device), times)
        keep = ConditionDropout().draw(len(indices))
        controls = {name: batch[name].to(latents.device) for name in model.transformer.controls}
        velocity = model(z, times, **tokenize(tokenizer, batch["caption"], z.device), controls=controls, keep=keep)
        errors = flow_matching_loss(scheduler, velocity, target, times)[1]
        bins.sums[1, -1] += len(errors) - 1
        bins.add(errors.sum(), errors, times)
    model.train()
    return {f"validation_{name}": value for name, value in bins.take(accelerator).items()}


def save_pipeline(args: argparse.Namespace, components: dict[str, Any], model: JascoTrainingModel, ema: EMAModel):
    """Writes the pipeline of the averaged weights into the run folder."""
    defaults = {name: value for name, value in vars(args).items() if name.startswith("default_")}
    with averaged_weights(ema, model):
        pipeline = JascoPipeline(**components, **defaults)
        partial = partial_path(Path(args.output) / "pipeline")
        pipeline.save_pretrained(partial)
    publish_files(partial, args.output)


def main(args: list[str] | None = None):
    args = parse_args(args)
    accelerator = Accelerator(
        mixed_precision=args.mixed_precision,
        cpu=args.cpu,
        kwargs_handlers=[DistributedDataParallelKwargs(gradient_as_bucket_view=True)],
    )
    device, is_main = accelerator.device, accelerator.is_main_process
    output = Path(args.output)
    checkpoints = output / "checkpoints"
    checkpoint = None if args.resume is None else find_checkpoint(checkpoints, args.resume)
    if args.resume is None and list_checkpoints(checkpoints):
        raise ValueError(f"{output} has checkpoints: go on with --resume latest, or give another --output.")

    # 1. Models. All processes start from the same weights.
    torch.manual_seed(derive_seed("weights", args.seed))
    components = load_components(args)
    tokenizer, scheduler, transformer = (components[name] for name in ("tokenizer", "scheduler", "transformer"))
    if args.gradient_checkpointing:
        transformer.enable_gradient_checkpointing()
    if args.compile:
        transformer.compile_repeated_blocks()
    model = JascoTrainingModel(transformer, components["text_encoder"], args.train_text_encoder).train()
    dropout = ConditionDropout(args.drop_all, args.drop_text, args.drop_chords, args.drop_drums, args.drop_melody)

    # 2. Data
    dataset = load_dataset(args.features, transformer, components["codec"], args.num_frames, args.seed)
    if args.init_from is None:
        transformer.register_to_config(sample_size=dataset.num_frames)
    validation = None
    if args.validation_features is not None:
        # Always the same wordings and crops, so its seed is not the run's.
        validation = load_dataset(
            args.validation_features, transformer, components["codec"], dataset.num_frames, seed=0
        )
    batches = EpochBatches(
        dataset,
        args.batch_size,
        collate_features,
        args.seed,
        accelerator.process_index,
        accelerator.num_processes,
        args.num_workers,
    )

    # 3. Optimisation
    optimizer = torch.optim.AdamW(
        parameter_groups(model, args.weight_decay),
        lr=args.learning_rate,
        betas=(args.adam_beta1, args.adam_beta2),
        eps=args.adam_epsilon,
    )
    # Not prepared by Accelerate, which would advance it once per process.
    lr_scheduler = get_scheduler(
        args.lr_scheduler, optimizer, num_warmup_steps=args.warmup_steps, num_training_steps=args.max_steps
    )
    model, optimizer = accelerator.prepare(model, optimizer)
    module = accelerator.unwrap_model(model)
    ema = EMAModel(module.parameters(), decay=args.ema_decay, foreach=True)
    progress = Progress()
    accelerator.register_for_checkpointing(lr_scheduler, ema, batches, progress)
    if checkpoint is not None:
        accelerator.load_state(str(checkpoint))
        ema.to(device)

    # 4. The run folder
    log_path = output / "log.jsonl"
    if is_main:
        output.mkdir(parents=True, exist_ok=True)
        config = {name: value for name, value in vars(args).items() if name not in ("config", "resume")}
        (output / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        # What was logged after the checkpoint happens again.
        lines = log_path.read_text(encoding="utf-8").splitlines() if log_path.exists() else []
        lines = [line for line in lines if json.loads(line)["step"] <= progress.step]
        log_path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        count = sum(parameter.numel() for parameter in module.parameters())
        print(
            f"{count / 1e6:.2f}M parameters, {len(dataset)} clips of {dataset.num_frames} frames, from step {progress.step}"
        )

    def log(entry: dict[str, Any]):
        if is_main:
            with open(log_path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"step": progress.step} | entry) + "\n")

    def save():
        path = checkpoint_path(checkpoints, progress.step)
        if is_main:
            partial_path(path).mkdir(parents=True, exist_ok=True)
        accelerator.wait_for_everyone()
        accelerator.save_state(str(partial_path(path)))
        accelerator.wait_for_everyone()
        if is_main:
            finish_folder(path)
            prune_checkpoints(checkpoints, args.keep_checkpoints)
            save_pipeline(args, components, module, ema)
        accelerator.wait_for_everyone()

    # 5. Train
    stop_signals = catch_signals()
    minutes_before, start = progress.minutes, time.monotonic()
    last_log = last_save = start
    bins = TimeBins(device)
    norms = []
    saved_step, stopped = progress.step if checkpoint is not None else -1, False
    progress_bar = tqdm(initial=progress.step, total=args.max_steps, desc="steps", disable=not is_main)
    stream = iter(batches)

    while progress.step < args.max_steps and not stopped:
        for micro_step in range(args.gradient_accumulation_steps):
            is_last = micro_step == args.gradient_accumulation_steps - 1
            batch = next(stream)
            latents = batch["latents"].to(device)
            controls = {name: batch[name].to(device) for name in transformer.controls}
            inputs = tokenize(tokenizer, batch["caption"], device)

            # What is random in a step depends on the step and the process only, so a resumed run draws the same.
            seed = derive_seed("step", args.seed, progress.step, micro_step, accelerator.process_index)
            generator = torch.Generator().manual_seed(seed)
            torch.manual_seed(seed)
            noise = torch.randn(latents.shape, generator=generator).to(device)
            times = draw_times(len(latents), args.time_sampling, args.time_power, generator).to(device)
            keep = dropout.draw(len(latents), generator)

            z, target = noise_latents(scheduler, latents, noise, times)
            with nullcontext() if is_last else accelerator.no_sync(model):
                velocity = model(z, times, **inputs, controls=controls, keep=keep)
                loss, errors = flow_matching_loss(scheduler, velocity, target, times, args.loss_weighting)
                accelerator.backward(loss / args.gradient_accumulation_steps)
            bins.add(loss, errors, times)

        norm = accelerator.clip_grad_norm_(module.parameters(), args.max_grad_norm)
        norms.append(float(norm))
        # Half precision's scaler skips such steps by itself.
        if args.mixed_precision != "fp16" and not torch.isfinite(norm):
            raise FloatingPointError(
                f"The gradient of step {progress.step} is {float(norm)}. Try a lower learning rate."
            )
        optimizer.step()
        learning_rate = lr_scheduler.get_last_lr()[0]
        lr_scheduler.step()
        optimizer.zero_grad()
        ema.step(module.parameters())
        progress.step += 1
        progress_bar.update()

        # All processes have to do the same: if one is told to stop, all do, and the first one has the clock.
        now = time.monotonic()
        progress.minutes = minutes_before + (now - start) / 60
        is_late = is_main and args.max_minutes is not None and now - start >= args.max_minutes * 60
        is_due = is_main and args.checkpoint_minutes > 0 and now - last_save >= args.checkpoint_minutes * 60
        flags = torch.tensor([bool(stop_signals) or is_late, is_due], dtype=torch.float32, device=device)
        stopped, is_due = (accelerator.reduce(flags, reduction="sum") > 0).tolist()
        is_end = stopped or progress.step == args.max_steps

        if progress.step % args.log_every == 0 or is_end:
            clips = len(norms) * args.gradient_accumulation_steps * batches.global_batch_size
            entry = bins.take(accelerator) | {
                "grad_norm": round(sum(norms) / len(norms), 4),
                "learning_rate": learning_rate,
                "clips_per_second": round(clips / (now - last_log), 2),
                "minutes": round(progress.minutes, 2),
                "epoch": batches.epoch,
            }
            log(entry)
            progress_bar.set_postfix(loss=entry["loss"], clips_per_s=entry["clips_per_second"])
            norms, last_log = [], now

        if validation is not None and (progress.step % args.validate_every == 0 or progress.step == args.max_steps):
            with averaged_weights(ema, module):
                clips, size = args.validation_clips, args.batch_size
                entry = validate(module, validation, tokenizer, scheduler, accelerator, clips, size)
            log(entry)
            last_log += time.monotonic() - now

        if is_due or (args.checkpoint_every and progress.step % args.checkpoint_every == 0) or is_end:
            before = time.monotonic()
            save()
            saved_step, last_save = progress.step, time.monotonic()
            last_log += last_save - before

    if saved_step != progress.step:
        save()
    progress_bar.close()
    accelerator.end_training()


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
