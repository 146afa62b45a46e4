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
Trains a codec on a folder of recordings of any format, rate, length and number of channels, with the folders below it:

    python training/train_codec.py --config training/configs/codec_encodec.yaml --dataset my_music --output runs/codec

or on a data set that `scripts/make_synthetic_dataset.py` or `scripts/prepare_dataset.py` wrote (the folder of one split),
whose drum stems make the first codebook, through which JASCO's drums go, a good one for drums.

The configuration names the codec's class: `SpectralCodecModel` (what has a closed form is computed first), or transformers'
`EncodecModel`. Every key of the configuration is also a flag, which overrides it. Audio is decoded from the latents before
quantization, as in JASCO; the codebooks are trained beside it. `--adversarial` adds a discriminator.

In the run folder, `codec/` is the component of a pipeline, at the last checkpoint, with `latents_statistics.json`; beside it
are `log.jsonl`, `config.yaml` and `checkpoints/`. `--resume latest` goes on exactly where the last checkpoint was written:
what follows is the same to the bit as without the interruption, with the same number of processes. SIGTERM, Ctrl-C and
`--max_minutes` stop after the current step, with a checkpoint.

On one GPU or several: `accelerate launch training/train_codec.py ...`. On a CPU with two cores, two processes of one thread
are faster than one of two:

    OMP_NUM_THREADS=1 accelerate launch --multi_gpu --num_processes 2 training/train_codec.py --cpu --config ...
"""

import argparse
import inspect
import json
import math
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from diffusers.optimization import get_scheduler
from torch import nn
from transformers import EncodecConfig, EncodecModel

from diffusers_jasco import SpectralCodecModel
from diffusers_jasco.codecs import codebooks, codec_hash, decode, encode, load_codec
from diffusers_jasco.data.crops import AudioCrops, open_tracks
from diffusers_jasco.data.latent_statistics import LatentStatistics
from diffusers_jasco.training.arguments import mapping, parse_with_config, write_config
from diffusers_jasco.training.batches import EpochBatches, fitting_batch_size
from diffusers_jasco.training.checkpoints import find_start
from diffusers_jasco.training.checks import check_options
from diffusers_jasco.training.codec.codebooks import CodebookTrainer, fit_codebooks, quantization_errors
from diffusers_jasco.training.codec.discriminator import (
    WINDOWS,
    MultiScaleSTFTDiscriminator,
    adversarial_losses,
    discriminator_loss,
)
from diffusers_jasco.training.codec.module import CodecTrainingModel
from diffusers_jasco.training.codec.objective import OCTAVE_WINDOW, balance_losses, octave_loss, spectral_loss
from diffusers_jasco.training.logs import RunLog, silence_libraries
from diffusers_jasco.training.loop import TrainingLoop
from diffusers_jasco.training.optimization import fused_adamw
from diffusers_jasco.training.runs import read_config
from diffusers_jasco.utils.arguments import CommandParser
from diffusers_jasco.utils.cli import run_command
from diffusers_jasco.utils.files import atomic_folder
from diffusers_jasco.utils.seeding import derive_seed


# Seconds of what is not trained on: validation, closed forms, statistics. The length of JASCO's music.
LONG_SECONDS = 10
# Vectors that the codebooks are first fitted to.
FIT_VECTORS = 100_000


def make_parser() -> argparse.ArgumentParser:
    parser = CommandParser(description="Trains a codec on a folder of recordings.")
    switch = {"action": argparse.BooleanOptionalAction, "default": False}

    group = parser.add_argument_group("what goes in and out")
    add = group.add_argument
    add("--config", help="YAML file with any of these options.")
    add("--dataset", help="Folder of recordings, folder with a manifest, or manifest.")
    add("--validation_dataset", help="The same for validation; without one there is none.")
    add("--output", help="The run folder.")
    add("--resume", help='"latest", a step or a checkpoint folder to go on from; "latest" may be absent.')
    add("--init_from", help="Folder of a codec, of a run or of a pipeline, whose codec training starts from.")

    group = parser.add_argument_group("codec")
    add = group.add_argument
    add("--codec", type=mapping, default={}, help="`class` and its options; a flag adds to the file.")
    add("--freeze_encoder", **switch, help="Keep latents and codebooks as they are in `--init_from`.")
    add("--fit_clips", type=int, default=800, help="Clips of 10 s for what is fitted first.")

    group = parser.add_argument_group("objective")
    add = group.add_argument
    add("--time_weight", type=float, default=0.0, help="Weight of the L1 distance of the waveforms.")
    add("--log_weight", type=float, default=1.0, help="Weight of logarithms beside spectral magnitudes.")
    add("--complex_weight", type=float, default=0.0, help="Weight of complex values beside spectral magnitudes.")
    add("--octave_weight", type=float, default=0.0, help="Weight of spectra where octaves count alike: for basses.")
    add("--commitment_weight", type=float, default=0.0, help="Weight of the latents' distance to quantized ones.")
    add("--adversarial", **switch, help="Train against a discriminator, too.")
    add("--adversarial_weight", type=float, default=3.0, help="Its share of the gradient, all of the above being 1.")
    add("--feature_weight", type=float, default=3.0, help="The same of feature matching.")
    add("--discriminator_filters", type=int, default=32, help="Channels of the discriminator.")

    group = parser.add_argument_group("data")
    add = group.add_argument
    add("--seconds", type=float, default=2.56, help="Length of a sample.")
    add("--drums_share", type=float, default=0.3, help="How often a sample is of a drum stem, where there is one.")
    add("--batch_size", type=int, default=8, help="Samples per batch of each process.")
    add("--num_workers", type=int, default=0, help="Loader processes.")
    add("--seed", type=int, default=0, help="Seed of everything.")

    group = parser.add_argument_group("optimization")
    add = group.add_argument
    add("--max_steps", type=int, default=2000, help="Steps in total; the learning rate falls to 0 by then.")
    add("--learning_rate", type=float, default=1e-3, help="Highest learning rate.")
    add("--warmup_steps", type=int, default=50, help="Steps in which the learning rate rises.")
    add("--max_grad_norm", type=float, default=1.0, help="Gradients are clipped to this norm.")
    add("--cpu", **switch, help="Train on the CPU, even where there is a GPU.")

    group = parser.add_argument_group("course")
    add = group.add_argument
    add("--max_minutes", type=float, help="Stop after so much time.")
    add("--log_every", type=int, default=50, help="Steps.")
    add("--validate_every", type=int, default=500, help="Steps; also before the first and after the last one.")
    add("--validation_clips", type=int, default=32, help="At most so many clips of 10 s are used for validation.")
    add("--statistics_clips", type=int, default=128, help="Clips of 10 s for the latents' statistics.")
    add("--checkpoint_every", type=int, default=0, help="Steps; 0: never.")
    add("--checkpoint_minutes", type=float, default=10.0, help="Minutes; 0: never. There is one at the end too.")
    add("--keep_checkpoints", type=int, default=2, help="Older ones are deleted; 0 keeps all.")
    return parser


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser()
    args = parse_with_config(parser, args)
    for name in ("dataset", "output"):
        if getattr(args, name) is None:
            parser.error(f"--{name} is missing.")
    if not args.codec and args.init_from is None:
        parser.error("--codec is missing (or --init_from, a codec to start from).")
    if args.freeze_encoder and args.init_from is None:
        parser.error("--freeze_encoder needs --init_from: the encoder has to come from there.")
    if args.freeze_encoder and args.commitment_weight:
        parser.error("--commitment_weight is for the encoder, which --freeze_encoder keeps as it is.")
    check_options(parser, args)
    return args


def make_codec(options: dict[str, Any]) -> nn.Module:
    """A new codec of a class and its options."""
    options = dict(options)
    name = options.pop("class", None)
    if name == "SpectralCodecModel":
        known = set(inspect.signature(SpectralCodecModel.__init__).parameters)
    elif name == "EncodecModel":
        known = set(EncodecConfig().to_dict())
    else:
        raise ValueError(f"`codec`: the class {name!r} is neither SpectralCodecModel nor EncodecModel.")
    if unknown := sorted(set(options) - known):
        raise ValueError(f"`codec`: {name} has no options {', '.join(unknown)}.")
    if name == "SpectralCodecModel":
        return SpectralCodecModel(**options)
    config = EncodecConfig(**options)
    if config.audio_channels != 1 or config.normalize:
        raise ValueError("`codec`: JASCO's codecs are mono (audio_channels: 1) and keep the level (normalize: false).")
    if not config.num_quantizers:
        raise ValueError(
            f"`codec`: target_bandwidths of {config.target_bandwidths} kbit/s are less than one codebook's."
        )
    codec = EncodecModel(config)
    # transformers' initial weights are for loading over: with them the latents are all but zero.
    for module in codec.modules():
        if isinstance(module, (nn.Conv1d, nn.ConvTranspose1d)):
            nn.utils.parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            nn.init.zeros_(module.bias)
            nn.utils.parametrizations.weight_norm(module)
    return codec


def load_start(args: argparse.Namespace) -> nn.Module:
    """A new codec, or that of `--init_from`, which has to be what `codec` describes."""
    codec = make_codec(args.codec) if args.codec else None
    if args.init_from is None:
        return codec
    loaded = load_codec(args.init_from)
    if codec is not None and codec_hash(codec) != codec_hash(loaded):
        raise ValueError(f"The codec in {args.init_from} has other options than `codec`: leave `codec` out.")
    return loaded


@torch.no_grad()
def fit_first(codec: nn.Module, mixes: AudioCrops, mixes_and_drums: AudioCrops, args: argparse.Namespace):
    """What can be computed before training: closed forms, and the codebooks' start."""
    codec.eval()
    if hasattr(codec, "fit"):
        codec.fit(torch.stack([mixes[index]["audio"] for index in mixes.sample(args.fit_clips)]))
    indices = mixes_and_drums.sample(args.fit_clips)
    latents = torch.cat([encode(codec, mixes_and_drums.read(index)[None])[0] for index in indices])
    generator = torch.Generator().manual_seed(derive_seed("codebooks", args.seed))
    chosen = torch.randperm(len(latents), generator=generator)[:FIT_VECTORS]
    fit_codebooks(codec, latents[chosen], generator)


@torch.no_grad()
def measure_latents(
    codec: nn.Module, crops: AudioCrops, indices: list[int], accelerator: Accelerator
) -> tuple[dict[str, Any], list[float]]:
    """Statistics of items' latents, and the share of their variance that is lost with one codebook, with two, ..."""
    statistics = LatentStatistics()
    errors = torch.zeros(len(codebooks(codec)), device=accelerator.device)
    for index in indices[accelerator.process_index :: accelerator.num_processes]:
        latents = encode(codec, crops.read(index)[None])
        statistics.add(latents)
        errors += quantization_errors(codec, latents)
    statistics = statistics.gather()
    total = statistics.num_frames * statistics.variance.sum().item()
    return statistics.to_dict(), [round(error / total, 5) for error in accelerator.reduce(errors, "sum").tolist()]


@torch.no_grad()
def validate(
    codec: nn.Module, mixes: AudioCrops, drums: AudioCrops, accelerator: Accelerator, num_clips: int
) -> dict[str, Any]:
    """The spectral distance of decoded music, and what the codebooks lose; of drums, what the first one does."""
    indices = mixes.sample(num_clips)
    distance = torch.zeros((), device=accelerator.device)
    for index in indices[accelerator.process_index :: accelerator.num_processes]:
        audio = mixes.read(index)[None].to(accelerator.device)
        # The spectra need some samples.
        audio = nn.functional.pad(audio, (0, max(WINDOWS[0] - audio.shape[-1], 0)))
        distance += spectral_loss(decode(codec, encode(codec, audio))[..., : audio.shape[-1]], audio)
    entry = {
        "validation_loss": round(accelerator.reduce(distance, "sum").item() / len(indices), 5),
        "validation_lost_variance": measure_latents(codec, mixes, indices, accelerator)[1],
    }
    if indices := [index for index in indices if drums.has_drums(index)]:
        entry["validation_drums_lost_variance"] = measure_latents(codec, drums, indices, accelerator)[1][0]
    return entry


def main(args: list[str] | None = None):
    args = parse_args(args)
    silence_libraries()
    accelerator = Accelerator(
        cpu=args.cpu, kwargs_handlers=[DistributedDataParallelKwargs(gradient_as_bucket_view=True)]
    )
    device, is_main = accelerator.device, accelerator.is_main_process
    output = Path(args.output)
    checkpoint = find_start(output / "checkpoints", args.resume)
    if checkpoint is not None:
        before = read_config(output)
        for name in ("codec", "freeze_encoder", "adversarial", "discriminator_filters"):
            if before[name] != getattr(args, name):
                raise ValueError(f"{output} was begun with {name}={before[name]}, which stays as it is with --resume.")

    # 1. Models. All processes start from the same weights.
    torch.manual_seed(derive_seed("weights", args.seed))
    codec = load_start(args)
    if args.freeze_encoder:
        codec.encoder.requires_grad_(False)
    discriminator = MultiScaleSTFTDiscriminator(args.discriminator_filters) if args.adversarial else None

    # 2. Data. Long clips are for all that is not trained on them.
    rate, hop = codec.config.sampling_rate, codec.config.hop_length
    num_samples, long_samples = (math.ceil(seconds * rate / hop) * hop for seconds in (args.seconds, LONG_SECONDS))
    shortest = OCTAVE_WINDOW if args.octave_weight else WINDOWS[0]
    if num_samples < shortest:
        raise ValueError(f"--seconds has to be at least {shortest / rate:g} at {rate} Hz, but is {args.seconds:g}.")
    tracks = open_tracks(args.dataset)
    crops = AudioCrops(tracks, rate, num_samples, args.seed, args.drums_share)
    mixes = AudioCrops(tracks, rate, long_samples, args.seed)
    validation = None
    if args.validation_dataset is not None:
        # Always the same parts, so its seed is not the run's.
        held_out = open_tracks(args.validation_dataset)
        validation = [AudioCrops(held_out, rate, long_samples, drums_share=share) for share in (0.0, 1.0)]
    processes = accelerator.num_processes
    args.batch_size = fitting_batch_size(args.batch_size, len(crops), processes, is_main)
    batches = EpochBatches(
        crops,
        args.batch_size,
        seed=args.seed,
        process_index=accelerator.process_index,
        num_processes=processes,
        num_workers=args.num_workers,
    )
    if args.init_from is None and checkpoint is None and is_main:
        # The other processes get it from this one, when the model is prepared.
        fit_first(codec, mixes, AudioCrops(tracks, rate, long_samples, args.seed, args.drums_share), args)

    # 3. Optimisation
    def prepare(model: nn.Module, betas: tuple[float, float]) -> tuple[nn.Module, torch.optim.Optimizer]:
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = fused_adamw(parameters, lr=args.learning_rate, betas=betas, weight_decay=0.01)
        # Not prepared by Accelerate, which would advance it once per process.
        schedule = get_scheduler(
            "cosine", optimizer, num_warmup_steps=args.warmup_steps, num_training_steps=args.max_steps
        )
        schedules.append(schedule)
        return accelerator.prepare(model, optimizer)

    schedules = []
    model, optimizer = prepare(CodecTrainingModel(codec), (0.9, 0.99))
    if args.adversarial:
        judge, judge_optimizer = prepare(discriminator, (0.5, 0.9))
    codebooks = CodebookTrainer(codec).to(device)
    accelerator.register_for_checkpointing(codebooks)
    loop = TrainingLoop(args, accelerator, model, batches, schedules, unit="samples")
    state, means = loop.state, loop.means
    if checkpoint is not None:
        accelerator.load_state(str(checkpoint))

    # 4. The run folder
    if is_main:
        output.mkdir(parents=True, exist_ok=True)
        write_config(args)
        count = sum(parameter.numel() for parameter in codec.parameters())
        print(f"{count / 1e6:.2f}M parameters, {len(crops)} samples an epoch, from step {state.step}")
    log = RunLog(output, accelerator, -1 if checkpoint is None else state.step, vars(args))

    def log_validation():
        if validation is not None:
            log.write(state.step, **validate(codec.eval(), *validation, accelerator, args.validation_clips))

    def save_codec():
        codec.eval()
        statistics, lost = measure_latents(codec, mixes, mixes.sample(args.statistics_clips), accelerator)
        if is_main:
            with atomic_folder(output / "codec") as folder:
                codec.save_pretrained(folder)
                text = json.dumps(statistics | {"codebooks_lost_variance": lost}, indent=2)
                (folder / "latents_statistics.json").write_text(text + "\n", encoding="utf-8")

    # 5. Train
    def train_step(batch: dict[str, Any]):
        audio = batch["audio"]
        decoded, latents = model(audio)
        time_loss = (decoded - audio).abs().mean()
        spectra = spectral_loss(decoded, audio, args.log_weight, args.complex_weight)
        loss = spectra + args.time_weight * time_loss
        if args.octave_weight:
            octaves = octave_loss(decoded, audio)
            means.add(octave_loss=octaves)
            loss = loss + args.octave_weight * octaves
        means.add(loss=loss, time_loss=time_loss)
        if args.adversarial:
            hinge, matching = adversarial_losses(discriminator(torch.cat([audio, decoded])))
            means.add(adversarial_loss=hinge, feature_loss=matching)
            weighted = [(1.0, loss), (args.adversarial_weight, hinge), (args.feature_weight, matching)]
            loss = balance_losses(decoded, weighted)
        if not args.freeze_encoder:
            # The same in all processes, and in a run that is resumed.
            generator = torch.Generator().manual_seed(derive_seed("step", args.seed, state.step))
            commitment = codebooks(latents, generator)
            means.add(commitment_loss=commitment)
            loss = loss + args.commitment_weight * commitment
        loop.optimize(loss, optimizer)
        # As in EnCodec, the discriminator takes two steps of three, so that it does not run away from the codec.
        if args.adversarial and state.step % 3 != 2:
            judged = discriminator_loss(judge(torch.cat([audio, decoded.detach()])))
            means.add(discriminator_loss=judged)
            loop.optimize(judged, judge_optimizer, judge)

    if checkpoint is None:
        log_validation()
    loop.run(train_step, save_codec, log, [(args.validate_every, log_validation)])


if __name__ == "__main__":
    sys.exit(run_command(main, "train_codec"))
