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

"""Tracks: audio files by folder or by list, and work on one after the other."""

import argparse
import gzip
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from diffusers.utils import logging
from tqdm import tqdm

from ..audio import AUDIO_SUFFIXES


logger = logging.get_logger(__name__)


def track_name(path: str | os.PathLike) -> str:
    """A file's name without the ending of its format: `a/b.c.wav` → `b.c`. (The original cuts at the first dot.)"""
    path = Path(path)
    return path.stem if path.suffix.lower() in AUDIO_SUFFIXES else path.name


def find_audio(folder: str | os.PathLike) -> list[Path]:
    r"""
    Audio files in a folder and those below it, in the order of their names.

    Raises:
        `ValueError`: if there is no such folder, or no audio in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder}.")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file())
    if not files:
        raise ValueError(f"There is no audio in {folder} (files that end in {', '.join(AUDIO_SUFFIXES)}).")
    return files


def read_tracks_list(path: str | os.PathLike) -> list[Path]:
    r"""
    Reads a list of files.

    Args:
        path (`str` or `os.PathLike`):
            A text with one path per line, or one JSON object with `path` per line as in AudioCraft's manifests (`.jsonl`,
            `.jsonl.gz`). Relative paths are relative to the list's folder.

    Raises:
        `FileNotFoundError`: for an absent list.
        `ValueError`: for an empty one, and for a line that has no path.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no list {path}.")
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
        lines = [line.strip() for line in lines]
    tracks = []
    for number, line in enumerate(lines, start=1):
        if line.startswith("{"):
            try:
                line = json.loads(line)["path"]
            except (ValueError, KeyError) as error:
                raise ValueError(f"{path}, line {number}: there is no `path` in it ({error}).") from error
        if line:
            tracks.append(path.parent / line)
    if not tracks:
        raise ValueError(f"{path} names no files.")
    return tracks


def add_track_arguments(parser: argparse.ArgumentParser):
    """The arguments of a command that makes a file of each track: `src_dir` or `tracks_list`, `out_dir`, `override`."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--src_dir", type=Path, help="folder of audio files")
    source.add_argument("--tracks_list", type=Path, help="one audio file per line: a path, or JSON with `path`")
    parser.add_argument("--out_dir", type=Path, required=True, help="folder to write")
    parser.add_argument("--override", action="store_true", help="write files again that exist")


def named_tracks(args: argparse.Namespace) -> list[Path]:
    """The tracks that [`add_track_arguments`] name."""
    return find_audio(args.src_dir) if args.src_dir is not None else read_tracks_list(args.tracks_list)


def process_tracks(
    tracks: Iterable[Path],
    output: Path,
    suffix: str,
    process: Callable[[Path, Path], None],
    override: bool = False,
    errors: str = "errors.jsonl",
) -> int:
    r"""
    Makes a file of each track in one folder. A track whose file exists is passed over; one that fails is reported and does
    not stop the others.

    Args:
        tracks (`Iterable[Path]`): audio files.
        output (`Path`): the folder.
        suffix (`str`): ending of the files, which begin with the track's name.
        process (`Callable`): called with the track and the file to write.
        override (`bool`, defaults to `False`): whether files that exist are written again.
        errors (`str`, defaults to `"errors.jsonl"`):
            File in the folder for those that failed: one object with `path` and `error` per line. Absent if none did.

    Returns:
        `int`: number of tracks that failed.

    Raises:
        `ValueError`: if two tracks have the same name.
    """
    files: dict[str, Path] = {}
    for track in tracks:
        other = files.setdefault(track_name(track), track)
        if other != track:
            raise ValueError(f"{track} and {other} have the same name, and would have the same output.")
    output.mkdir(parents=True, exist_ok=True)
    failed = []
    for name, track in tqdm(files.items(), unit="track"):
        file = output / f"{name}{suffix}"
        if file.exists() and not override:
            continue
        try:
            process(track, file)
        except (ValueError, OSError) as error:
            failed.append({"path": str(track), "error": str(error)})
            logger.warning(f"{track}: {error}")
    (output / errors).unlink(missing_ok=True)
    if failed:
        (output / errors).write_text("".join(json.dumps(line) + "\n" for line in failed), encoding="utf-8")
    return len(failed)
