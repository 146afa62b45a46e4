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

"""The command `jasco-generate`; see `jasco-generate --help`."""

import argparse
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers.utils.logging import get_logger
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..audio.export import check_export
from ..controls.drum_machine import accept_groove_as_drums
from ..pipelines.source_velocity import EULER
from ..utils.arguments import CommandParser, add_device, check_writable, integer, number, seed
from ..utils.bundled import BUNDLED
from ..utils.cli import run_command, warnings_name
from ..utils.errors import InputError
from .control_arguments import Controls, add_control_arguments
from .edit_arguments import Edit, add_edit_arguments
from .lead_sheet_arguments import Sheet, add_lead_sheet_arguments
from .mixer_arguments import Mixer, add_mixer_arguments
from .recipe import describe, parse_with_source, warn_of_differences


logger = get_logger(__name__)


def build_parser() -> CommandParser:
    parser = CommandParser(
        prog="jasco-generate",
        description="Generates music from a text prompt, chords, drums and a melody, and edits recordings.",
    )
    parser.add_argument("prompt", nargs="?", default=None, help="text description of the music (default: none)")
    parser.add_argument(
        "--output",
        default="jasco.wav",
        help="file to write: .wav, .flac, .mp3, .ogg or .opus (default: jasco.wav); multiple waveforms are numbered",
    )
    parser.add_argument(
        "--from",
        dest="source",
        metavar="FILE",
        help="regenerate the music of a file from its metadata; other options override the recorded ones",
    )
    parser.add_argument(
        "--no-metadata", action="store_true", help="do not write the prompt, seed and other options into the file"
    )

    model = parser.add_argument_group("model")
    model.add_argument(
        "--checkpoint", default=BUNDLED, help=f"folder or Hub id, in our layout or AudioCraft's (default: {BUNDLED})"
    )
    model.add_argument("--text_encoder", help="folder or Hub id of a T5 with tokenizer, for AudioCraft's layout")
    model.add_argument("--codec", help="folder or Hub id of an EnCodec model, for AudioCraft's layout")
    model.add_argument("--lora", help="folder, file or Hub id of a LoRA")
    model.add_argument("--variant", help="variant of the weights, such as fp16")
    add_device(model)
    model.add_argument("--dtype", choices=["float32", "float16", "bfloat16"], default="float32")

    add_control_arguments(parser)
    add_lead_sheet_arguments(parser)
    add_mixer_arguments(parser)
    add_edit_arguments(parser)

    sampling = parser.add_argument_group("sampling (defaults: those of the checkpoint)")
    add = sampling.add_argument
    add("--duration", type=number(above=0, unit="seconds"), help="seconds (default: as in the model's training)")
    add("--loop", action="store_true", help="the end continues with the beginning, for playing it repeatedly")
    add("--window_overlap", type=number(above=0, unit="seconds"), help="overlap of windows, for long music")
    add("--scheduler", choices=["euler", "dopri5"], help="ODE solver")
    add("--steps", dest="num_inference_steps", metavar="STEPS", type=integer(1), help="number of solver steps")
    add("--guidance_scale", type=number(), help="guidance scale of all conditions")
    add("--text_guidance_scale", type=number(), help="guidance scale of the text alone")
    add("--guidance_rescale", type=number(0, 1), help="0 to 1; counteracts the loudness that guidance adds")
    add("--num_waveforms", type=integer(1), default=1, help="number of waveforms (default: 1)")
    add("--seed", type=seed, default=0, help="random seed (default: 0)")
    add("--latents", help="initial noise: .safetensors file with a tensor `latents`")
    add("--audiocraft_compatible", action="store_true", help="reproduce AudioCraft's known bugs")

    output = parser.add_argument_group("output")
    output.add_argument("--loudness", type=number(-70, 0, unit="LUFS"), help="target loudness in LUFS, such as -14")
    output.add_argument("--rate", type=integer(1000, 655_350), help="sampling rate in Hz (default: the model's)")
    return parser


@contextmanager
def name_component(argument: str, name: str) -> Iterator[None]:
    """Adds the name of the component to loading errors raised within the block."""
    try:
        yield
    except OSError as error:
        raise InputError(f"`{argument}`: {name} can't be loaded: {error}", argument) from error


def load_pipeline(args: argparse.Namespace) -> Any:
    # Imported lazily, so that --help is fast.
    from transformers import EncodecModel

    from .. import FlowMatchDopri5Scheduler, FlowMatchEulerScheduler, JascoPipeline
    from ..text_encoders import load_text_encoder

    components: dict[str, Any] = {}
    if args.text_encoder is not None:
        with name_component("text_encoder", args.text_encoder):
            components["tokenizer"], components["text_encoder"] = load_text_encoder(args.text_encoder)
    if args.codec is not None:
        with name_component("codec", args.codec):
            components["codec"] = EncodecModel.from_pretrained(args.codec)
    if args.variant is not None:
        components["variant"] = args.variant
    if args.dtype != "float32":
        components["dtype"] = getattr(torch, args.dtype)
    pipe = JascoPipeline.from_pretrained(args.checkpoint, **components)
    width = pipe.text_encoder.config.d_model
    if width != pipe.transformer.config.text_dim:
        raise InputError(
            f"`text_encoder` has {width} dimensions, but this checkpoint needs {pipe.transformer.config.text_dim}.",
            "text_encoder",
        )
    if args.lora is not None:
        pipe.load_lora_weights(args.lora)

    scheduler = args.scheduler
    if scheduler is None and args.num_inference_steps is not None:
        scheduler = "euler" if isinstance(pipe.scheduler, FlowMatchDopri5Scheduler) else None
    if scheduler is not None:
        classes = {"euler": FlowMatchEulerScheduler, "dopri5": FlowMatchDopri5Scheduler}
        pipe.scheduler = classes[scheduler].from_config(pipe.scheduler.config)
    if args.dtype == "float16" and args.device == "cpu":
        logger.warning("`dtype=float16` is slow and less precise on a CPU: omit it, or use bfloat16.")
    return pipe.to(args.device, silence_dtype_warnings=True)


def read_latents(path: str) -> torch.Tensor:
    if not os.path.isfile(path):
        raise FileNotFoundError(f"`latents`: the file {path} does not exist.")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise InputError(f"`latents`: {path} is not a safetensors file ({error}).", "latents") from error
    if "latents" not in tensors:
        raise InputError(f"`latents`: {path} has no tensor `latents`; its tensors are {sorted(tensors)}.", "latents")
    return tensors["latents"]


def check_options(args: argparse.Namespace):
    """Checks the options that need neither the checkpoint nor the controls."""
    check_export(args.output, args.rate)
    check_writable(args.output)
    if os.path.isdir(args.output):
        raise InputError(f"`output` has to be a file name, but {args.output} is a folder.", "output")
    if args.scheduler == "dopri5" and args.num_inference_steps is not None:
        raise InputError(
            "dopri5 chooses its own steps: give either `scheduler` or `num_inference_steps`.", "scheduler"
        )
    for name in ("checkpoint", "lora", "text_encoder", "codec"):
        value = getattr(args, name)
        if value in (None, BUNDLED) or os.path.exists(value) or re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", value):
            continue
        if name in ("text_encoder", "codec") and re.fullmatch(r"\w[\w.-]*", value):
            continue  # Old Hub models, such as t5-base, have no organization.
        raise InputError(f"`{name}`: there is no folder {value}, and it is not a Hub id (organization/name).", name)


def number_paths(args: argparse.Namespace) -> dict[int, Path]:
    """The number of each waveform to write, from 1, and its file. `--from` regenerates one of several waveforms."""
    output = Path(args.output)
    if args.waveform is not None:
        return {args.waveform[0]: output}
    if args.num_waveforms == 1:
        return {1: output}
    return {i: output.with_stem(f"{output.stem}-{i}") for i in range(1, args.num_waveforms + 1)}


def generate(args: argparse.Namespace) -> list[Path]:
    from ..audio.export import export_audio
    from ..audio.metadata import fit_metadata
    from ..audio.resampling import resample
    from ..generation.batches import hash_pipeline

    # 1. Check inputs before loading anything
    accept_groove_as_drums(vars(args))
    check_options(args)
    paths = number_paths(args)
    edit, mixer = Edit(args, paths.values()), Mixer(args)
    sheet = Sheet(args)
    controls = Controls(sheet.other_options())
    latents = None if args.latents is None else read_latents(args.latents)

    # 2. Load
    pipe = load_pipeline(args)
    rate = args.rate or pipe.sampling_rate
    check_export(args.output, rate)
    model = hash_pipeline(pipe)
    warn_of_differences(args, model)

    # 3. Generate
    window = pipe.transformer.config.sample_size if latents is None or latents.ndim < 2 else latents.shape[1]
    duration, seconds = args.duration, window / pipe.frame_rate
    if edit.duration is None and latents is None:
        duration = controls.fit_duration(seconds)
    arguments = controls.for_pipeline(
        edit.duration or duration or seconds, pipe.tempo_model is not None, pipe.transformer.controls
    )
    arguments |= {"prompt": args.prompt, "duration": duration}
    audios, tempos, takes = mixer.generate(
        edit.adapt(pipe),
        **edit.for_pipeline(),
        **sheet.complete(arguments, pipe.transformer.config.beats, edit.kind is not None),
        loop=args.loop,
        window_overlap=args.window_overlap,
        num_inference_steps=args.num_inference_steps,
        guidance_scale=args.guidance_scale,
        text_guidance_scale=args.text_guidance_scale,
        guidance_rescale=args.guidance_rescale,
        audiocraft_compatible=args.audiocraft_compatible,
        num_waveforms_per_prompt=args.num_waveforms,
        latents=latents,
    )
    for number, take in enumerate(takes, start=1):
        scores = ", ".join(f"{name} {score:.2f}" for name, score in take.selecting.items())
        print(f"Take {number}: {scores}{' (written)' if take.is_best else ''}", file=sys.stderr)
    tempo = tempos[0]
    if tempo is not None and args.bpm is None:
        print(f"Tempo: {tempo}", file=sys.stderr)

    # 4. Write
    Path(args.output).parent.mkdir(parents=True, exist_ok=True)
    metadata = None if args.no_metadata else fit_metadata(describe(args, model, tempo))
    for i, path in paths.items():
        waveform_info = {"waveform": [i, len(audios)]} if len(audios) > 1 else {}
        audio, info = audios[i - 1].float().cpu(), None if metadata is None else metadata | waveform_info
        if edit.keeps_samples:
            edit.write(audio, pipe.sampling_rate, path, info)
        else:
            audio = sheet.finish(mixer.mix(audio, pipe.sampling_rate), pipe.sampling_rate)
            export_audio(resample(audio, pipe.sampling_rate, rate), path, rate, args.loudness, info)
        print(path)
    sheet.save(controls.suggested)
    return list(paths.values())


def main(argv: list[str] | None = None) -> int:
    """Runs the command. Invalid input gives a one-line error message and exit code 2."""
    parser = build_parser()
    flags = {action.dest: action.option_strings[0] for action in parser._actions if action.option_strings}
    flags |= {"path": "--output", "sampling_rate": "--rate", "num_waveforms_per_prompt": "--num_waveforms"}
    flags |= {"mask_start_seconds": "--regions", "mask_end_seconds": "--regions", "audio_start_seconds": "--intro"}
    flags |= {"FlowMatchEulerScheduler": "--scheduler euler", "FlowMatchDopri5Scheduler": "--scheduler dopri5"}
    flags[f"pipe.scheduler = {EULER}"] = "--scheduler euler"
    with warnings_name(flags):
        return run_command(lambda: generate(parse_with_source(parser, argv)), "jasco-generate", flags)


if __name__ == "__main__":
    sys.exit(main())
