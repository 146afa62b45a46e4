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
Turns music into a training set: cuts it into clips, hears chords, melody and drums in it, finds captions, and encodes it.

    python scripts/prepare_dataset.py --audio my_music --output data --encode pipelines/jasco-nano --num_proc 2
    python training/train_jasco.py --dataset data/features/train ...

`--audio` is a folder, or a manifest with a JSON object per line (`path` as in AudioCraft's `data.jsonl`, or `file_name`, and what
is known: `captions`, `chords`, `melody`, `stems`) or just a path. `--audio`, `--output` and `--captions` may be URLs that fsspec knows (`s3://`,
`hf://`, ...). The output is described in `diffusers_jasco/data/preparation/assembly.py`.

A run that was killed goes on with `--resume`, and ends with the same files. A track that can't be used is reported in
`errors.jsonl`. With `--shard i/n`, n runs on as many machines share the work; a run without it then puts the tracks together.
"""

import argparse
import json
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import fields, replace

import torch
from tqdm import tqdm

from diffusers_jasco.codecs import load_codec
from diffusers_jasco.data.output import OutputFolder
from diffusers_jasco.data.preparation.assembly import assemble, check_shares
from diffusers_jasco.data.preparation.settings import PreparationSettings
from diffusers_jasco.data.preparation.track import find_track, prepare_track
from diffusers_jasco.data.sources import Source, find_sources, warn_of_unused_fields
from diffusers_jasco.text_encoders import load_text_encoder
from diffusers_jasco.utils.arguments import CommandParser, add_device, integer, number
from diffusers_jasco.utils.cli import end_with_parent, run_command, select_shard
from diffusers_jasco.utils.files import is_leftover, remove_leftovers


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("--audio", required=True, help="folder or manifest (.jsonl, .jsonl.gz)")
    add("--output", required=True, help="folder to write")
    add("--chords", default="auto", help="auto, chordino, builtin, none; or chords that are there: a folder or a file")
    add(
        "--melody",
        default="auto",
        help="auto, builtin, deep_salience, monophonic, none; or a folder of salience files",
    )
    add("--drums", default="auto", help="auto, demucs, builtin, none; or a folder of <track>.drums.flac")
    add("--melody_weights", help="multif0.h5, for --melody deep_salience")
    add("--chord_map", help="chord map (.json, .pkl); labels that it does not have become UNK, and are counted")
    add("--captions", help="CSV with file_name and caption; otherwise <track>.txt, <track>.json or tags say them")
    add("--encode", metavar="CODEC", help="folder of a codec or pipeline to encode the clips with")
    add("--text_encoder", help="T5 (folder or Hub id) or pipeline to encode the captions with, if it won't be trained")
    add_device(parser, "cpu")
    add(
        "--sampling_rate",
        type=integer(1000, 655_350),
        default=32000,
        help="of the clips, in Hz; with --encode the codec's",
    )
    add("--clip_seconds", type=number(above=0, unit="seconds"), default=30.0, help="length of a clip, about")
    add("--min_seconds", type=number(0, unit="seconds"), default=10.0, help="shorter tracks are errors")
    add("--group_by", choices=("track", "album"), default="track", help="what stays in one split")
    add(
        "--shares",
        type=float,
        nargs=4,
        help="train, validation, evaluation, generation; default: .9 .05 .025 .025, or all for training with less than 20 songs",
    )
    add("--webdataset", action="store_true", help="write tar shards too; --resume keeps those that are there")
    add("--num_proc", type=integer(1), default=1, help="processes")
    add("--shard", metavar="i/n", help="prepare this part of the tracks only, i from 0 on")
    add("--resume", action="store_true", help="go on with what is in the output folder")
    args = parser.parse_args(args)
    if args.num_proc < 1:
        parser.error(f"--num_proc: at least 1, not {args.num_proc}.")
    return args


def check_sources(sources: Sequence[Source], settings: PreparationSettings, args: argparse.Namespace):
    """Refuses what can't be told apart, and to read what is written."""
    audio, output = (OutputFolder(url) for url in (args.audio, args.output))
    if audio.is_local and output.is_local and f"{output.root}/".startswith(f"{audio.root}/"):
        raise ValueError(f"--output {args.output} lies in --audio, and would be read as music: choose another folder.")
    if settings.folders:
        names: dict[str, str] = {}
        for source in sources:
            other = names.setdefault(source.track, source.name)
            if other != source.name:
                raise ValueError(
                    f"{other} and {source.name} have the same name, by which --{next(iter(settings.folders))} knows tracks."
                )


def check_output(output: OutputFolder, settings: PreparationSettings, args: argparse.Namespace):
    """Refuses a folder that was begun otherwise, and writes down how this one is begun."""
    begun = {"audio": args.audio, **settings.to_dict()}
    paths = output.fs.ls(output.root, detail=False) if output.exists() else []
    names = [path.rstrip("/").rpartition("/")[2] for path in paths]
    # After the listing, as other shards begin at the same moment.
    if output.exists("settings.json"):
        before = json.loads(output.read("settings.json"))
        if differing := sorted(key for key in begun if begun[key] != before.get(key)):
            raise ValueError(f"{args.output} was begun with another {', '.join(differing)}: choose another folder.")
        if not args.resume and args.shard is None:
            raise ValueError(f"{args.output} exists: --resume goes on with it.")
    elif not all(map(is_leftover, names)):
        raise ValueError(f"{args.output} is not empty: choose another folder.")
    else:
        output.write("settings.json", json.dumps(begun, ensure_ascii=False, indent=1) + "\n")


class Worker:
    """Prepares one track; sent to the processes whole."""

    def __init__(self, settings: PreparationSettings, output: str):
        self.settings, self.output = settings, output

    def __call__(self, source: Source) -> bool:
        torch.set_num_threads(1)
        return prepare_track(source, self.settings, OutputFolder(self.output))


def prepare_all(sources: list[Source], worker: Worker, num_proc: int) -> Iterator[bool]:
    if num_proc <= 1:
        yield from map(worker, sources)
        return
    with ProcessPoolExecutor(num_proc, multiprocessing.get_context("spawn"), end_with_parent) as pool:
        try:
            for result in as_completed([pool.submit(worker, source) for source in sources]):
                yield result.result()
        except BrokenProcessPool as error:
            raise OSError("A process was killed, for want of memory? --resume goes on, with --num_proc 1.") from error
        finally:
            pool.shutdown(cancel_futures=True)


def main(args: list[str] | None = None):
    args = parse_args(args)
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

    todo = [source for source in select_shard(sources, args.shard) if find_track(output, source) is None]
    with tqdm(total=len(todo), unit="track") as bar:
        failed = 0
        for usable in prepare_all(todo, Worker(settings, args.output), args.num_proc):
            failed += not usable
            bar.set_postfix(errors=failed)
            bar.update()
    if args.shard is not None:
        print(f"Shard {args.shard}: {len(todo)} tracks prepared, {failed} of them errors.")
        return
    if output.is_local:
        remove_leftovers(output.root)
    summary = assemble(sources, settings, output, args.group_by, args.shares, args.webdataset)
    print(json.dumps(summary, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    sys.exit(run_command(main, "prepare_dataset"))
