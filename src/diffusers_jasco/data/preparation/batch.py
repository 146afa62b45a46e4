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

"""Commands that process tracks one by one."""

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from diffusers.utils import logging
from tqdm import tqdm

from ..sources import Source, find_sources


logger = logging.get_logger(__name__)


def add_track_arguments(parser: argparse.ArgumentParser):
    """Adds the arguments of commands that write a file per track: `src_dir`, `tracks_list`, `out_dir`, `override`."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--src_dir", help="folder of audio files")
    source.add_argument("--tracks_list", help="one audio file per line: a path, or JSON with `path`")
    parser.add_argument("--out_dir", type=Path, required=True, help="folder to write")
    parser.add_argument("--override", action="store_true", help="overwrite existing files")


def named_tracks(args: argparse.Namespace) -> list[Source]:
    """The tracks that the arguments of [`add_track_arguments`] name."""
    return find_sources(args.src_dir if args.src_dir is not None else args.tracks_list)


def process_tracks(
    tracks: Iterable[Source],
    output: Path,
    suffix: str,
    process: Callable[[Path, Path], None],
    override: bool = False,
    errors: str = "errors.jsonl",
) -> int:
    r"""
    Writes one file per track into a folder. Tracks whose file exists are skipped. A track that fails is reported, and
    processing continues.

    Args:
        tracks (`Iterable[Source]`): audio files.
        output (`Path`): output folder.
        suffix (`str`): suffix of the files, which follows the track's name.
        process (`Callable`): called with the path of the track's audio and the path of the file to write.
        override (`bool`, defaults to `False`): whether to overwrite existing files.
        errors (`str`, defaults to `"errors.jsonl"`):
            Name of a file in the folder that lists the failed tracks, one object with `path` and `error` per line. It
            is deleted if no track fails.

    Returns:
        `int`: number of tracks that failed.

    Raises:
        `ValueError`: if two tracks have the same name.
    """
    files: dict[str, Source] = {}
    for track in tracks:
        other = files.setdefault(track.track, track)
        if other != track:
            raise ValueError(f"{track.name} and {other.name} have the same name, so their output files would collide.")
    output.mkdir(parents=True, exist_ok=True)
    failed = []
    for name, track in tqdm(files.items(), unit="track"):
        file = output / f"{name}{suffix}"
        if file.exists() and not override:
            continue
        try:
            with track.local() as path:
                process(path, file)
        except (ValueError, OSError) as error:
            failed.append({"path": track.name, "error": str(error)})
            logger.warning(f"{track.name}: {error}")
    (output / errors).unlink(missing_ok=True)
    if failed:
        (output / errors).write_text("".join(json.dumps(line) + "\n" for line in failed), encoding="utf-8")
    return len(failed)
