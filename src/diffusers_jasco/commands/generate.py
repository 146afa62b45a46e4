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

"""Music from the command line: `jasco-generate --help`."""

import argparse
import sys
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..utils.cli import run_command


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="jasco-generate",
        description="Makes music from a text, a chord progression, a drum recording and a melody.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("prompt", nargs="?", default=None, help="what the music is like; none: no text")
    parser.add_argument("--output", default="jasco.wav", help=".wav or .flac; several waveforms are numbered")

    model = parser.add_argument_group("model")
    model.add_argument("--checkpoint", required=True, help="folder (ours or the original's layout) or Hub id")
    model.add_argument("--text_encoder", help="T5 folder or Hub id, for the original's layout (with its tokenizer)")
    model.add_argument("--codec", help="EnCodec folder or Hub id, for the original's layout")
    model.add_argument("--lora", help="LoRA to add: folder, file or Hub id")
    model.add_argument("--variant", help="of the files, such as fp16")
    model.add_argument("--device", help="cuda, mps or cpu; by default the best there is")
    model.add_argument("--dtype", choices=["float32", "float16", "bfloat16"], default="float32")

    controls = parser.add_argument_group("controls")
    controls.add_argument(
        "--chords", help="'C:0 Am:2.5', a .lab, .jams, .mid or audio file, or with --bpm bars: 'C | Am | F | G'"
    )
    controls.add_argument("--bpm", type=float, help="tempo of --chords in bars")
    controls.add_argument("--beats_per_bar", type=int, default=4, help="metre of --chords in bars")
    controls.add_argument("--key", help="key of --chords in Roman numerals, such as Bb or Am")
    controls.add_argument("--drums", help="recording of drums alone, or of music with --separate_drums")
    controls.add_argument("--separate_drums", action="store_true", help="take the drums out of --drums first")
    controls.add_argument(
        "--normalize_drums",
        action=argparse.BooleanOptionalAction,
        help="bring --drums to the loudness that the model knows; by default as the checkpoint says",
    )
    controls.add_argument(
        "--start",
        type=float,
        default=0.0,
        help="seconds into recordings, MIDI and chord files at which the music begins",
    )
    controls.add_argument("--melody", help=".mid, .npz, .th, .pt or audio file")

    sampling = parser.add_argument_group("sampling")
    sampling.add_argument("--duration", type=float, help="seconds; by default what the model was trained on")
    sampling.add_argument("--scheduler", choices=["euler", "dopri5"], help="by default the checkpoint's")
    sampling.add_argument("--steps", type=int, help="steps of the solver; by default the checkpoint's")
    sampling.add_argument("--guidance_scale", type=float, help="weight of all conditions; by default the checkpoint's")
    sampling.add_argument(
        "--text_guidance_scale", type=float, help="weight of the text only; by default the checkpoint's"
    )
    sampling.add_argument(
        "--guidance_rescale", type=float, help="0 to 1, against loudness by guidance; by default the checkpoint's"
    )
    sampling.add_argument("--num_waveforms", type=int, default=1, help="number of versions")
    sampling.add_argument("--seed", type=int, default=0, help="the same seed gives the same music")
    sampling.add_argument("--latents", help="noise to start from: .safetensors with a tensor `latents`")
    sampling.add_argument("--audiocraft_compatible", action="store_true", help="reproduce the original's defects")
    sampling.add_argument("--loudness", type=float, help="normalise to this loudness in LUFS, such as -14")
    return parser.parse_args(argv)


def load_pipeline(args: argparse.Namespace):
    # Imported late, so that --help is quick.
    from transformers import AutoTokenizer, EncodecModel, T5EncoderModel

    from .. import FlowMatchDopri5Scheduler, FlowMatchEulerScheduler, JascoPipeline

    components = {}
    if args.text_encoder is not None:
        components["tokenizer"] = AutoTokenizer.from_pretrained(args.text_encoder)
        components["text_encoder"] = T5EncoderModel.from_pretrained(args.text_encoder)
    if args.codec is not None:
        components["codec"] = EncodecModel.from_pretrained(args.codec)
    if args.variant is not None:
        components["variant"] = args.variant
    if args.dtype != "float32":
        components["dtype"] = getattr(torch, args.dtype)
    pipe = JascoPipeline.from_pretrained(args.checkpoint, **components)
    if args.lora is not None:
        pipe.load_lora_weights(args.lora)

    scheduler = args.scheduler
    if scheduler is None and args.steps is not None and isinstance(pipe.scheduler, FlowMatchDopri5Scheduler):
        scheduler = "euler"
    if scheduler is not None:
        classes = {"euler": FlowMatchEulerScheduler, "dopri5": FlowMatchDopri5Scheduler}
        pipe.scheduler = classes[scheduler].from_config(pipe.scheduler.config)

    device = args.device
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    return pipe.to(device)


def read_controls(args: argparse.Namespace) -> dict:
    from ..controls.chords import chords_from_bars, chords_from_roman

    chords = args.chords
    if chords is None and (args.bpm is not None or args.key is not None):
        raise ValueError("`--bpm` and `--key` belong to `--chords`, which was not given.")
    if args.key is not None:
        chords = chords_from_roman(chords, args.key, bpm=args.bpm or 120, beats_per_bar=args.beats_per_bar)
    elif args.bpm is not None:
        chords = chords_from_bars(chords, bpm=args.bpm, beats_per_bar=args.beats_per_bar)
    if args.separate_drums and args.drums is None:
        raise ValueError("`--separate_drums` belongs to `--drums`, which was not given.")
    if args.normalize_drums is not None and args.drums is None:
        raise ValueError("`--normalize_drums` belongs to `--drums`, which was not given.")
    return {
        "chords": chords,
        "drums": args.drums,
        "separate_drums": args.separate_drums,
        "normalize_drums": args.normalize_drums,
        "melody": args.melody,
        "start": args.start,
    }


def read_latents(path: str) -> torch.Tensor:
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"`--latents`: {path} is no safetensors file ({error}).") from error
    if "latents" not in tensors:
        raise ValueError(f"`--latents`: {path} has no tensor `latents`, but {sorted(tensors)}.")
    return tensors["latents"]


def generate(args: argparse.Namespace) -> list[Path]:
    from ..audio.io import export_audio

    controls = read_controls(args)
    latents = None if args.latents is None else read_latents(args.latents)
    pipe = load_pipeline(args)
    audios = pipe(
        args.prompt,
        **controls,
        duration=args.duration,
        num_inference_steps=args.steps,
        guidance_scale=args.guidance_scale,
        text_guidance_scale=args.text_guidance_scale,
        guidance_rescale=args.guidance_rescale,
        audiocraft_compatible=args.audiocraft_compatible,
        num_waveforms_per_prompt=args.num_waveforms,
        generator=torch.Generator().manual_seed(args.seed),
        latents=latents,
    ).audios

    output = Path(args.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    paths = [output]
    if len(audios) > 1:
        paths = [output.with_stem(f"{output.stem}-{number}") for number in range(1, len(audios) + 1)]
    for path, audio in zip(paths, audios):
        export_audio(audio, path, pipe.sampling_rate, loudness=args.loudness)
        print(path)
    return paths


def main(argv: list[str] | None = None) -> int:
    """Runs the command; bad input ends in one line that says what is wrong, and the exit code 2."""
    args = parse_args(argv)
    return run_command(lambda: generate(args), "jasco-generate")


if __name__ == "__main__":
    sys.exit(main())
