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
Trains a codec on a folder of recordings, including its subfolders. Formats, sampling rates, lengths and numbers of
channels may vary:

    python training/train_codec.py --config training/configs/codec_encodec.yaml --dataset my_music --output runs/codec

The dataset can also be a split of a folder written by `scripts/make_synthetic_dataset.py` or
`scripts/prepare_dataset.py`. If it has drum stems, the first codebook, with which JASCO quantizes drums, is trained on
them, too.

The configuration names the codec's class: `SpectralCodecModel` (its closed-form parts are fitted before training), or
Transformers' `EncodecModel`. Every key of the configuration is also a flag, which overrides it. As in JASCO, audio is
decoded from the latents before quantization; the codebooks are trained alongside. `--adversarial` adds a
discriminator.

In the run folder, `codec/` is the codec at the last checkpoint, in the form of a pipeline component, with
`latents_statistics.json`. The folder also contains `log.jsonl`, `config.yaml` and `checkpoints/`. `--resume latest`
resumes from the last checkpoint; with the same number of processes, the result is bitwise identical to an
uninterrupted run. SIGTERM, Ctrl-C and `--max_minutes` stop the run after the current step, with a checkpoint.

On one or more GPUs: `accelerate launch training/train_codec.py ...`. On a CPU with two cores, two processes with one
thread each are faster than one process with two threads:

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
from diffusers_jasco.codecs import (
    codebooks,
    codec_hash,
    decode,
    encode,
    first_codebook,
    is_same_codec,
    load_codec,
)
from diffusers_jasco.data.crops import AudioCrops, open_tracks
from diffusers_jasco.data.latent_statistics import LatentStatistics
from diffusers_jasco.training.arguments import (
    CpuSwitch,
    add_checkpoint_options,
    add_folder_options,
    mapping,
    parse_with_config,
    write_config,
)
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


LONG_SECONDS = 10  # length of the clips for validation, closed-form fits and statistics, as in JASCO
FIT_VECTORS = 100_000  # latents that the codebooks are initialized from


def make_parser() -> argparse.ArgumentParser:
    parser = CommandParser(description="Trains a codec on a folder of recordings.")
    switch = {"action": argparse.BooleanOptionalAction, "default": False}

    group = parser.add_argument_group("input and output")
    add = group.add_argument
    add_folder_options(add)
    add("--dataset", help="Folder of recordings, folder with a manifest, or manifest.")
    add("--validation_dataset", help="The same for validation; default: no validation.")
    add("--init_from", help="Folder of a codec, a run or a pipeline with the codec to start from.")

    group = parser.add_argument_group("codec")
    add = group.add_argument
    add("--codec", type=mapping, default={}, help="`class` and its options, merged with those of the file.")
    add("--freeze_encoder", **switch, help="Keep the encoder and codebooks of `--init_from`.")
    add("--fit_clips", type=int, default=800, help="Number of 10 s clips for the initial closed-form fits.")

    group = parser.add_argument_group("objective")
    add = group.add_argument
    add("--time_weight", type=float, default=0.0, help="Weight of the L1 distance of waveforms.")
    add("--log_weight", type=float, default=1.0, help="Weight of the distance of log magnitudes.")
    add("--complex_weight", type=float, default=0.0, help="Weight of the distance of complex spectra.")
    add(
        "--octave_weight",
        type=float,
        default=0.0,
        help="Weight of the octave loss, in which all octaves count equally.",
    )
    add(
        "--bass_weight",
        type=float,
        default=0.0,
        help="Weight of the loss of bass notes, for SpectralCodecModel.",
    )
    add(
        "--imitate",
        help="Folder of a codec, a run or a pipeline: instead of audio, learn the loudness of oscillators and noise"
        " that its decoder predicts, below 130 Hz only in total. Of the other losses, only `--bass_weight` is added."
        " Needs `--freeze_encoder` and a SpectralCodecModel with the same latents.",
    )
    add("--commitment_weight", type=float, default=0.0, help="Weight of the commitment loss.")
    add("--adversarial", **switch, help="Also train against a discriminator.")
    add(
        "--adversarial_weight",
        type=float,
        default=3.0,
        help="Adversarial share of the gradient, relative to the losses above.",
    )
    add("--feature_weight", type=float, default=3.0, help="The same for feature matching.")
    add("--discriminator_filters", type=int, default=32, help="Number of channels of the discriminator.")

    group = parser.add_argument_group("data")
    add = group.add_argument
    add("--seconds", type=float, default=2.56, help="Length of a training sample.")
    add("--drums_share", type=float, default=0.3, help="Probability of using the drum stem of a clip that has one.")
    add("--batch_size", type=int, default=8, help="Samples per batch in each process.")
    add("--num_workers", type=int, default=0, help="Number of data loader workers.")
    add("--seed", type=int, default=0, help="Seed for all random numbers.")

    group = parser.add_argument_group("optimization")
    add = group.add_argument
    add("--max_steps", type=int, default=2000, help="Total steps; the learning rate decays to 0 by then.")
    add("--learning_rate", type=float, default=1e-3, help="Peak learning rate.")
    add("--warmup_steps", type=int, default=50, help="Warmup steps of the learning rate.")
    add("--max_grad_norm", type=float, default=1.0, help="Maximum norm for gradient clipping.")
    add("--cpu", action=CpuSwitch, default=False, help="Train on the CPU even if there is a GPU.")

    group = parser.add_argument_group("logging, validation and checkpoints")
    add = group.add_argument
    add("--log_every", type=int, default=50, help="Steps between log entries.")
    add(
        "--validate_every",
        type=int,
        default=500,
        help="Steps between validations, which also happen before the first and after the last step.",
    )
    add("--validation_clips", type=int, default=32, help="Maximum number of 10 s clips for validation.")
    add("--statistics_clips", type=int, default=128, help="Number of 10 s clips for the latent statistics.")
    add_checkpoint_options(add)
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
        parser.error("--freeze_encoder needs --init_from, a codec with a trained encoder.")
    if args.freeze_encoder and args.commitment_weight:
        parser.error("--commitment_weight trains the encoder, and can't be used with --freeze_encoder.")
    if args.imitate is not None and not args.freeze_encoder:
        parser.error("--imitate needs --freeze_encoder, as both decoders have to get the same latents.")
    if args.imitate is not None and args.adversarial:
        parser.error("--adversarial needs decoded audio, and can't be used with --imitate.")
    check_options(parser, args)
    return args


def make_codec(options: dict[str, Any]) -> nn.Module:
    """Creates a codec from its class and options."""
    options = dict(options)
    name = options.pop("class", None)
    if name == "SpectralCodecModel":
        known = set(inspect.signature(SpectralCodecModel.__init__).parameters)
    elif name == "EncodecModel":
        known = set(EncodecConfig().to_dict())
    else:
        raise ValueError(f"`class` of `codec` has to be SpectralCodecModel or EncodecModel, but is {name!r}.")
    if unknown := sorted(set(options) - known):
        raise ValueError(f"`codec` has unknown options for {name}: {', '.join(unknown)}.")
    if name == "SpectralCodecModel":
        return SpectralCodecModel(**options)
    config = EncodecConfig(**options)
    if config.audio_channels != 1 or config.normalize:
        raise ValueError("`codec` has to be mono (audio_channels: 1) and keep the level (normalize: false) for JASCO.")
    if not config.num_quantizers:
        raise ValueError(
            "`target_bandwidths` of `codec` has to be at least the bandwidth of one codebook, but is"
            f" {config.target_bandwidths} kbit/s."
        )
    codec = EncodecModel(config)
    # With Transformers' initial weights, which are only meant to be overwritten, the latents would be almost zero.
    for module in codec.modules():
        if isinstance(module, (nn.Conv1d, nn.ConvTranspose1d)):
            nn.utils.parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            nn.init.zeros_(module.bias)
            nn.utils.parametrizations.weight_norm(module)
    return codec


def load_initial_codec(args: argparse.Namespace) -> nn.Module:
    """Creates the codec, or loads that of `--init_from`, which has to match `codec` if both are set."""
    codec = make_codec(args.codec) if args.codec else None
    if args.init_from is None:
        return codec
    loaded = load_codec(args.init_from)
    if codec is None:
        return loaded
    if codec_hash(codec) != codec_hash(loaded):
        raise ValueError(f"The codec in {args.init_from} differs from `codec`: omit `codec`.")
    # With another look-ahead, kernels keep their common frames.
    weights = loaded.state_dict()
    for name, own in codec.state_dict().items():
        if own.shape != weights[name].shape:
            weights[name] = nn.functional.pad(weights[name], (0, own.shape[-1] - weights[name].shape[-1]))
    codec.load_state_dict(weights)
    return codec


def load_reference(args: argparse.Namespace, codec: nn.Module) -> nn.Module:
    """Loads the decoder of `--imitate`, which has to decode the same latents as that of the codec."""
    if not isinstance(codec, SpectralCodecModel):
        raise ValueError(f"`imitate` has to be None for {type(codec).__name__}, but is {args.imitate}.")
    reference = load_codec(args.imitate)
    if not is_same_codec(codec, codec_hash(reference), first_codebook(reference)):
        raise ValueError(
            f"`imitate` has to be a codec with the same latents as `init_from` ({args.init_from}), but is"
            f" {args.imitate}."
        )
    return reference.decoder


@torch.no_grad()
def initialize_codec(codec: nn.Module, mixes: AudioCrops, args: argparse.Namespace):
    """Fits the closed-form parts of the codec to mixes, and the codebooks to mixes and drums, before training."""
    codec.eval()
    mixes_and_drums = AudioCrops(mixes.tracks, mixes.sampling_rate, mixes.num_samples, args.seed, args.drums_share)
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
    """Returns latent statistics, and the shares of the variance that are lost with one codebook, two, and so on."""
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
    """Spectral distance of decoded music, and the variance lost by the codebooks; for drums, only by the first one."""
    indices = mixes.sample(num_clips)
    distance = torch.zeros((), device=accelerator.device)
    for index in indices[accelerator.process_index :: accelerator.num_processes]:
        audio = mixes.read(index)[None].to(accelerator.device)
        # Pad to the longest window.
        audio = nn.functional.pad(audio, (0, max(WINDOWS[0] - audio.shape[-1], 0)))
        distance += spectral_loss(decode(codec, encode(codec, audio))[..., : audio.shape[-1]], audio)
    entry = {
        "validation_loss": round(accelerator.reduce(distance, "sum").item() / len(indices), 5),
        "validation_lost_variance": measure_latents(codec, mixes, indices, accelerator)[1],
    }
    if indices := [index for index in indices if drums.has_drums(index)]:
        entry["validation_drums_lost_variance"] = measure_latents(codec, drums, indices, accelerator)[1][0]
    return entry


def check_unchanged(args: argparse.Namespace):
    """Checks that a resumed run has the same models as before."""
    config = read_config(args.output)
    for name in ("codec", "freeze_encoder", "adversarial", "discriminator_filters"):
        if config[name] != getattr(args, name):
            raise ValueError(
                f"`{name}` has to be {config[name]} to resume the run in {args.output}, but is {getattr(args, name)}."
            )


def open_data(
    args: argparse.Namespace, codec: nn.Module, accelerator: Accelerator
) -> tuple[EpochBatches, AudioCrops, list[AudioCrops] | None]:
    """Opens the datasets: training batches, 10 s clips of the mixes, and 10 s validation clips of mixes and drums."""
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
        # Fixed seed: validation uses the same excerpts in every run.
        held_out = open_tracks(args.validation_dataset)
        validation = [AudioCrops(held_out, rate, long_samples, drums_share=share) for share in (0.0, 1.0)]
    args.batch_size = fitting_batch_size(
        args.batch_size, len(crops), accelerator.num_processes, accelerator.is_main_process
    )
    batches = EpochBatches(
        crops,
        args.batch_size,
        seed=args.seed,
        process_index=accelerator.process_index,
        num_processes=accelerator.num_processes,
        num_workers=args.num_workers,
    )
    return batches, mixes, validation


def save_codec(args: argparse.Namespace, codec: nn.Module, mixes: AudioCrops, accelerator: Accelerator):
    """Saves the codec with its latent statistics in the run folder. All processes have to call it."""
    codec.eval()
    statistics, lost = measure_latents(codec, mixes, mixes.sample(args.statistics_clips), accelerator)
    if accelerator.is_main_process:
        with atomic_folder(Path(args.output, "codec")) as folder:
            codec.save_pretrained(folder)
            text = json.dumps(statistics | {"codebooks_lost_variance": lost}, indent=2)
            (folder / "latents_statistics.json").write_text(text + "\n", encoding="utf-8")


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
        check_unchanged(args)

    # 1. Models, with the same initial weights in all processes
    torch.manual_seed(derive_seed("weights", args.seed))
    codec = load_initial_codec(args)
    if args.bass_weight and not isinstance(codec, SpectralCodecModel):
        raise ValueError(f"`bass_weight` has to be 0 for {type(codec).__name__}, but is {args.bass_weight:g}.")
    if args.freeze_encoder:
        codec.encoder.requires_grad_(False)
    reference = None if args.imitate is None else load_reference(args, codec).to(device)
    discriminator = MultiScaleSTFTDiscriminator(args.discriminator_filters) if args.adversarial else None

    # 2. Data
    batches, mixes, validation = open_data(args, codec, accelerator)
    if args.init_from is None and checkpoint is None and is_main:
        # Preparing the model copies the weights to the other processes.
        initialize_codec(codec, mixes, args)

    # 3. Optimization
    def prepare(model: nn.Module, betas: tuple[float, float]) -> tuple[nn.Module, torch.optim.Optimizer]:
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = fused_adamw(parameters, lr=args.learning_rate, betas=betas, weight_decay=0.01)
        # Not prepared by Accelerate, which would step it once per process.
        lr_scheduler = get_scheduler(
            "cosine", optimizer, num_warmup_steps=args.warmup_steps, num_training_steps=args.max_steps
        )
        lr_schedulers.append(lr_scheduler)
        return accelerator.prepare(model, optimizer)

    lr_schedulers = []
    model, optimizer = prepare(CodecTrainingModel(codec, bool(args.bass_weight), reference), (0.9, 0.99))
    if args.adversarial:
        # `discriminator` stays unwrapped for the codec's losses, which do not train it.
        wrapped_discriminator, discriminator_optimizer = prepare(discriminator, (0.5, 0.9))
    codebook_trainer = CodebookTrainer(codec).to(device)
    accelerator.register_for_checkpointing(codebook_trainer)
    loop = TrainingLoop(args, accelerator, model, batches, lr_schedulers, unit="samples")
    state, means = loop.state, loop.means
    if checkpoint is not None:
        accelerator.load_state(str(checkpoint))

    # 4. Run folder
    if is_main:
        output.mkdir(parents=True, exist_ok=True)
        write_config(args)
        count = sum(parameter.numel() for parameter in codec.parameters())
        print(
            f"{count / 1e6:.2f}M parameters, {len(batches.dataset)} samples per epoch, starting at step {state.step}"
        )
    log = RunLog(output, accelerator, -1 if checkpoint is None else state.step, vars(args))

    def log_validation():
        if validation is not None:
            log.write(state.step, **validate(codec.eval(), *validation, accelerator, args.validation_clips))

    # 5. Training
    def train_step(batch: dict[str, Any]):
        audio = batch["audio"]
        decoded, latents, losses = model(audio)
        if args.imitate is not None:
            loss = losses["imitation_loss"]
        else:
            losses["time_loss"] = (decoded - audio).abs().mean()
            spectra = spectral_loss(decoded, audio, args.log_weight, args.complex_weight)
            loss = spectra + args.time_weight * losses["time_loss"]
            if args.octave_weight:
                losses["octave_loss"] = octave_loss(decoded, audio)
                loss = loss + args.octave_weight * losses["octave_loss"]
        if args.bass_weight:
            loss = loss + args.bass_weight * losses["bass_loss"]
        means.add(loss=loss, **losses)
        if args.adversarial:
            hinge, matching = adversarial_losses(discriminator(torch.cat([audio, decoded])))
            means.add(adversarial_loss=hinge, feature_loss=matching)
            weighted = [(1.0, loss), (args.adversarial_weight, hinge), (args.feature_weight, matching)]
            loss = balance_losses(decoded, weighted)
        if not args.freeze_encoder:
            # The same in all processes and in resumed runs.
            generator = torch.Generator().manual_seed(derive_seed("step", args.seed, state.step))
            commitment = codebook_trainer(latents, generator)
            means.add(commitment_loss=commitment)
            loss = loss + args.commitment_weight * commitment
        loop.optimize(loss, optimizer)
        # As in EnCodec, the discriminator is only trained in two of three steps, so that it does not get too strong.
        if args.adversarial and state.step % 3 != 2:
            loss = discriminator_loss(wrapped_discriminator(torch.cat([audio, decoded.detach()])))
            means.add(discriminator_loss=loss)
            loop.optimize(loss, discriminator_optimizer, model=wrapped_discriminator)

    if checkpoint is None:
        log_validation()
    hooks = [(args.validate_every, log_validation)]
    loop.run(train_step, lambda: save_codec(args, codec, mixes, accelerator), log, hooks)


if __name__ == "__main__":
    sys.exit(run_command(main, "train_codec"))
