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
Prepares music for training: cuts it into clips, extracts chords, melody, drums and beats, collects captions, and
encodes the clips.

    python scripts/prepare_dataset.py --audio my_music --output data --encode pipelines/jasco-nano --num_proc 2
    python training/train_jasco.py --dataset data/features/train ...

`--audio` is a folder, or a manifest with one path or JSON object per line (`path` as in AudioCraft's `data.jsonl`, or
`file_name`, and any of `captions`, `chords`, `melody`, `stems`, `beats`, `downbeats`, `tempo`, `time_signature`).
`--audio`, `--output` and `--captions` may be URLs that fsspec supports (`s3://`, `hf://`, ...). The output is described
in `diffusers_jasco/data/preparation/assembly.py`.

`--resume` continues a killed run, with the same result. Unusable tracks are reported in `errors.jsonl`. With `--num_proc
n`, n processes share the work, and with `--engine ray` those of a Ray cluster, with the same result. With `--shard i/n`, n
runs on different machines do; a final run without `--shard` assembles the tracks.
"""

import argparse
import functools
import json
import sys
from collections.abc import Sequence
from dataclasses import fields, replace

from tqdm import tqdm

from diffusers_jasco.codecs import load_codec
from diffusers_jasco.data.output import OutputFolder
from diffusers_jasco.data.preparation.assembly import assemble, check_shares
from diffusers_jasco.data.preparation.settings import PreparationSettings
from diffusers_jasco.data.preparation.track import find_track, prepare_track
from diffusers_jasco.data.sources import Source, find_sources, warn_of_unused_fields
from diffusers_jasco.text_encoders import load_text_encoder
from diffusers_jasco.utils.arguments import CommandParser, integer, number
from diffusers_jasco.utils.cli import run_command, select_shard
from diffusers_jasco.utils.engines import (
    ENGINE_FLAGS,
    LostWorkerError,
    add_engine_arguments,
    check_engine_arguments,
    create_engine,
)
from diffusers_jasco.utils.errors import list_names
from diffusers_jasco.utils.files import is_leftover, remove_leftovers


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("--audio", required=True, help="folder or manifest (.jsonl, .jsonl.gz)")
    add("--output", required=True, help="folder to write")
    add("--chords", default="auto", help="auto, chordino, builtin, none; or a folder or file with chords")
    add(
        "--melody",
        default="auto",
        help="auto, builtin, deep_salience, monophonic, none; or a folder of salience files",
    )
    add("--drums", default="auto", help="auto, demucs, builtin, none; or a folder of <track>.drums.flac")
    add("--beats", choices=("auto", "none"), default="auto", help="whether to extract beats and downbeats")
    add("--melody_weights", help="multif0.h5, for --melody deep_salience")
    add("--chord_map", help="chord map (.json, .pkl); other labels become UNK and are counted")
    add("--captions", help="CSV with file_name and caption (default: <track>.txt, <track>.json or tags)")
    add("--encode", metavar="CODEC", help="folder of a codec or pipeline to encode the clips with")
    add("--text_encoder", help="frozen T5 (folder or Hub id) or pipeline to encode the captions with")
    add(
        "--sampling_rate",
        type=integer(1000, 655_350),
        default=32000,
        help="sampling rate of the clips in Hz (with --encode, the codec's)",
    )
    add("--clip_seconds", type=number(above=0, unit="seconds"), default=30.0, help="approximate duration of clips")
    add("--min_seconds", type=number(0, unit="seconds"), default=10.0, help="minimum duration of tracks")
    add("--group_by", choices=("track", "album"), default="track", help="unit that is never divided among splits")
    add(
        "--shares",
        type=float,
        nargs=4,
        help="shares of train, validation, evaluation and generation (default: .9 .05 .025 .025, or all for training"
        " with fewer than 20 tracks or albums)",
    )
    add("--webdataset", action="store_true", help="also write tar shards; once written, --resume updates them")
    add_engine_arguments(parser, "cpu", threads=False)
    add("--shard", metavar="i/n", help="prepare only shard i of n of the tracks, starting at 0")
    add("--resume", action="store_true", help="resume the run in the output folder")
    parsed = parser.parse_args(args)
    check_engine_arguments(parser, parsed)
    return parsed


def check_sources(sources: Sequence[Source], settings: PreparationSettings, args: argparse.Namespace):
    """Raises an error for ambiguous track names, and for an output folder inside the input folder."""
    audio, output = (OutputFolder(url) for url in (args.audio, args.output))
    if audio.is_local and output.is_local and f"{output.root}/".startswith(f"{audio.root}/"):
        raise ValueError(
            f"--output {args.output} is inside --audio, so it would be read as music: choose another folder."
        )
    if settings.folders:
        names: dict[str, str] = {}
        for source in sources:
            other = names.setdefault(source.track, source.name)
            if other != source.name:
                raise ValueError(
                    f"{other} and {source.name} have the same name, so the files of --{next(iter(settings.folders))}"
                    " are ambiguous."
                )


def check_output(output: OutputFolder, settings: PreparationSettings, args: argparse.Namespace):
    """Rejects folders with other files or a run with other settings, and saves the settings of a new run."""
    current = {"audio": args.audio, **settings.to_dict()}
    paths = output.fs.ls(output.root, detail=False) if output.exists() else []
    names = [path.rstrip("/").rpartition("/")[2] for path in paths]
    # Checked after the listing, because other shards may start at the same time.
    if output.exists("settings.json"):
        # Older versions did not extract beats.
        previous = {"beats": "none"} | json.loads(output.read("settings.json"))
        if differing := sorted(key for key in current if current[key] != previous.get(key)):
            if differing == ["beats"] and previous["beats"] == "none":
                raise ValueError(f"{args.output} was started without beats: pass --beats none to continue the run.")
            raise ValueError(
                f"{args.output} was started with other settings ({', '.join(differing)}): choose another folder."
            )
        if not args.resume and args.shard is None:
            raise ValueError(f"{args.output} exists: pass --resume to continue the run.")
    elif not all(map(is_leftover, names)):
        raise ValueError(f"{args.output} is not empty: choose another folder.")
    else:
        output.write("settings.json", json.dumps(current, ensure_ascii=False, indent=1) + "\n")


def main(args: list[str] | None = None):
    args = parse_args(args)
    # One thread, so that the result does not depend on the number of processes.
    engine = create_engine(args, threads=1)
    if args.shares is not None:
        check_shares(args.shares)
    options = {field.name: getattr(args, field.name) for field in fields(PreparationSettings) if field.name in args}
    settings = PreparationSettings(**options | {"codec": args.encode})
    sources = find_sources(args.audio)
    select_shard(sources, args.shard)
    warn_of_unused_fields(sources)
    if args.text_encoder is not None:
        load_text_encoder(args.text_encoder)
    if args.encode is not None:
        settings = replace(settings, sampling_rate=load_codec(args.encode).config.sampling_rate)
    output = OutputFolder(args.output)
    check_sources(sources, settings, args)
    check_output(output, settings, args)

    pending = [source for source in select_shard(sources, args.shard) if find_track(output, source) is None]
    prepare = functools.partial(prepare_track, settings=settings, output=output)
    failed, lost = 0, []
    with tqdm(total=len(pending), unit="track") as bar:
        for source, usable in engine.map(prepare, pending):
            if isinstance(usable, LostWorkerError):
                lost.append(f"{source.name} ({usable})")
            failed += usable is not True
            bar.set_postfix(errors=failed)
            bar.update()
    if lost:
        raise OSError(
            f"{len(lost)} of {len(pending)} tracks are not prepared. Try them again with --resume: {list_names(lost, 3)}"
        )
    if args.shard is not None:
        print(f"Shard {args.shard}: {len(pending)} tracks processed, {failed} of them failed.")
        return
    if output.is_local:
        remove_leftovers(output.root)
    summary = assemble(sources, settings, output, args.group_by, args.shares, args.webdataset)
    print(json.dumps(summary, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    sys.exit(run_command(main, "prepare_dataset", ENGINE_FLAGS))
