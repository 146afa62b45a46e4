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

"""Finds tracks in folders, lists and manifests (ours and AudioCraft's), and reads the files beside them."""

import csv
import gzip
import hashlib
import io
import json
import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fsspec
from diffusers.utils import logging

from ..audio.io import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from ..controls import CONTROLS
from ..controls.drum_machine import is_groove_file
from ..utils.errors import list_names, shorten


logger = logging.get_logger(__name__)

# File suffixes that a folder is searched for. Videos are read only if they are named explicitly.
_FOUND_SUFFIXES = tuple(suffix for suffix in AUDIO_SUFFIXES if suffix not in VIDEO_SUFFIXES)
# A folder with one of these manifests (AudioCraft's or ours) is not searched for audio.
MANIFESTS = ("data.jsonl", "data.jsonl.gz", "metadata.jsonl")
# Fields of AudioCraft's `MusicInfo` that replace a missing description.
TAG_FIELDS = ("genre", "moods", "keywords", "instrument")
# Fields about the beats of a track; times in seconds, the tempo in beats per minute.
BEAT_FIELDS = ("beats", "downbeats", "tempo", "time_signature", "beats_per_bar")
# Manifest fields that are used.
FIELDS = (
    "path",
    "file_name",
    "captions",
    "caption",
    "text",
    "description",
    *TAG_FIELDS,
    *CONTROLS,
    "stems",
    "title",
    "artist",
    "album",
    *BEAT_FIELDS,
)
# Fields of AudioCraft's manifests that are ignored, because the audio file itself provides the information.
FILE_FIELDS = ("duration", "sample_rate", "sampling_rate", "amplitude", "weight", "info_path")


@dataclass(frozen=True)
class Source:
    """
    A track.

    Attributes:
        url (`str`): path of the audio, or any URL that fsspec reads.
        name (`str`): unique name: the path within the folder, or as written in the manifest.
        info (`dict`): the track's fields in the manifest.
    """

    url: str
    name: str
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def metadata(self) -> dict[str, Any]:
        """Additional scalar fields of the manifest, such as a key. They are stored with the clips, but not used."""
        extra = {name: value for name, value in self.info.items() if name not in (*FIELDS, *FILE_FIELDS)}
        return {name: value for name, value in extra.items() if isinstance(value, (str, int, float))}

    @property
    def track(self) -> str:
        """The file's name without its audio suffix: `a/b.c.wav` → `b.c`. (AudioCraft cuts at the first dot.)"""
        stem, suffix = posixpath.splitext(posixpath.basename(self.name))
        return stem if suffix.lower() in AUDIO_SUFFIXES else stem + suffix

    @property
    def id(self) -> str:
        """A name for files: letters and digits of the track's name, and a hash of `name`."""
        readable = re.sub(r"[^A-Za-z0-9]+", "-", self.track)[:40].strip("-")
        return f"{readable or 'track'}-{hashlib.blake2b(self.name.encode(), digest_size=6).hexdigest()}"

    @contextmanager
    def local(self) -> Iterator[Path]:
        """The audio as a local file. A remote file is downloaded, and deleted at the end of the block."""
        fs, path = fsspec.core.url_to_fs(self.url)
        if not fs.isfile(path):
            raise ValueError(f"The file {self.name} does not exist.")
        if _is_local(fs):
            yield Path(path)
            return
        with TemporaryDirectory() as folder:
            target = Path(folder, posixpath.basename(path))
            fs.get_file(path, str(target))
            yield target

    def read_beside(self, suffix: str) -> bytes | None:
        """The content of the file of the same name with another suffix, or `None` if there is none."""
        fs, path = fsspec.core.url_to_fs(self.url)
        path = posixpath.splitext(path)[0] + suffix
        return fs.cat_file(path) if fs.isfile(path) else None


def _is_local(fs: fsspec.AbstractFileSystem) -> bool:
    return isinstance(fs, fsspec.implementations.local.LocalFileSystem)


def find_sources(audio: str | os.PathLike) -> list[Source]:
    r"""
    Finds the tracks of a folder, a list or a manifest, sorted by name.

    Args:
        audio (`str` or `os.PathLike`):
            A folder of audio files, an audio file, a folder with a manifest, or a manifest. A manifest (`.jsonl` or
            `.gz`) has one JSON object per line, in AudioCraft's format (`path`) or in ours (`file_name` and any of
            `captions`, `chords`, `melody`, `beats`, `downbeats`, `tempo`, `time_signature`, `stems`, or `drums` for
            only a drum stem); or one path per line. Relative paths refer to the manifest's folder or, as in
            AudioCraft, to the working directory. Paths may be URLs that fsspec reads.

    Raises:
        `FileNotFoundError`: if the folder or file does not exist.
        `ValueError`: if there is no audio, a line has no path, or a file is named twice.
    """
    fs, root = fsspec.core.url_to_fs(os.fspath(audio))
    if fs.isdir(root):
        manifests = [name for name in MANIFESTS if fs.isfile(posixpath.join(root, name))]
        if not manifests:
            paths = (posixpath.relpath(path, root) for path in fs.find(root))
            # Skips hidden files, such as `._song.mp3` on macOS.
            names = sorted(name for name in paths if not any(part.startswith(".") for part in name.split("/")))
            names = [name for name in names if posixpath.splitext(name)[1].lower() in _FOUND_SUFFIXES]
            if not names:
                raise ValueError(f"There is no audio in {audio} (files that end in {', '.join(_FOUND_SUFFIXES)}).")
            return [Source(_url(fs, posixpath.join(root, name)), name) for name in names]
        root = posixpath.join(root, manifests[0])
    if not fs.isfile(root):
        raise FileNotFoundError(f"There is no folder or manifest {audio}.")
    if posixpath.splitext(root)[1].lower() in AUDIO_SUFFIXES:
        return [Source(_url(fs, root), posixpath.basename(root))]
    content = fs.cat_file(root)
    try:
        text = (gzip.decompress(content) if root.endswith(".gz") else content).decode("utf-8")
    except (UnicodeDecodeError, OSError, EOFError) as error:
        raise ValueError(f"{audio} is neither a manifest nor a text file with one path per line ({error}).") from error
    sources: dict[str, Source] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line:
            continue
        try:
            info = json.loads(line) if line.startswith("{") else {"path": line}
            name = info.get("path") or info["file_name"]
        except (ValueError, KeyError) as error:
            raise ValueError(f"{audio}, line {number} has neither `path` nor `file_name` ({error}).") from error
        if name in sources:
            raise ValueError(f"{audio}, line {number}: {name} is named twice.")
        drums = info.pop("drums", None)
        if drums is not None and not isinstance(drums, str):
            raise ValueError(f"{audio}, line {number}: `drums` has to be a file name, but got {shorten(drums)}.")
        if drums:
            info["stems"] = {**(info.get("stems") or {}), "drums": drums}
        if is_groove_file((info.get("stems") or {}).get("drums")):
            raise ValueError(
                f"{audio}, line {number}: the drums of a track have to be a recording that begins with the track, not a"
                " groove: omit them, and they are separated from the track, or render"
                " `read_groove(file).render(duration, sampling_rate)`, from `controls.drum_machine`."
            )
        sources[name] = Source(_resolve(name, fs, root), name, info)
    if not sources:
        raise ValueError(f"{audio} names no files.")
    return [sources[name] for name in sorted(sources)]


def _url(fs: fsspec.AbstractFileSystem, path: str) -> str:
    return path if _is_local(fs) else fs.unstrip_protocol(path)


def _resolve(name: str, fs: fsspec.AbstractFileSystem, manifest: str) -> str:
    if "://" in name:
        return name
    path = name if name.startswith("/") else posixpath.join(posixpath.dirname(manifest), name)
    if _is_local(fs) and not fs.isfile(path) and os.path.isfile(name):
        path = os.path.abspath(name)
    return _url(fs, path)


def warn_of_unused_fields(sources: Iterable[Source]):
    """Warns once about manifest fields that are only stored with the clips, and about fields that are dropped."""
    sources = list(sources)
    unused = {name for source in sources for name in source.info if name not in (*FIELDS, *FILE_FIELDS)}
    kept = {name for source in sources for name in source.metadata}
    if kept:
        logger.warning(
            f"The manifest has unknown fields: {list_names(sorted(kept))}. They are copied to metadata.jsonl, but not"
            " used."
        )
    if dropped := sorted(unused - kept):
        logger.warning(
            "The manifest has fields that are dropped, because they can't be divided among the clips of a song:"
            f" {list_names(dropped)}."
        )


def resolve_beside(source: Source, name: str) -> str:
    """Resolves the URL of another file in a track's manifest entry, such as a stem."""
    folder = source.url[: len(source.url) - len(source.name)] if source.url.endswith(source.name) else ""
    return name if "://" in name or name.startswith("/") else folder + name


def read_captions_table(path: str | os.PathLike) -> dict[str, list[str]]:
    r"""
    Reads a table of captions.

    Args:
        path (`str` or `os.PathLike`):
            A CSV file whose header has the columns `file_name` (or `path`) and `caption` (or `text`). Several rows
            with the same file name are caption variants.

    Returns:
        `dict`: file name → captions.

    Raises:
        `FileNotFoundError`: if the file does not exist.
        `ValueError`: if a column is missing.
    """
    with fsspec.open(os.fspath(path), "rb") as file:
        rows = csv.DictReader(io.StringIO(file.read().decode("utf-8-sig")))
    names = rows.fieldnames or []
    key = next((name for name in ("file_name", "path") if name in names), None)
    value = next((name for name in ("caption", "text") if name in names), None)
    if key is None or value is None:
        raise ValueError(
            f"{path} has to have the columns file_name and caption, but has {', '.join(names) or 'none'}."
        )
    table: dict[str, list[str]] = {}
    for row in rows:
        table.setdefault(row[key], []).append(row[value].strip())
    return table


def read_captions(
    source: Source, sidecar: dict[str, Any], tags: dict[str, str], table: dict[str, list[str]] | None = None
) -> list[str]:
    r"""
    The captions of a track, from the first of these sources that has any: the table (by the track's name or its file's
    name), the manifest, `<track>.txt` (one caption per line), `<track>.json`, the file's tags.

    Args:
        source (`Source`): the track.
        sidecar (`dict`): content of `<track>.json`, from [`read_track_info`].
        tags (`dict[str, str]`): the file's tags, as soundfile reads them.
        table (`dict`, *optional*): the table of captions, from [`read_captions_table`].

    Returns:
        `list[str]`: caption variants; empty if there is no description.
    """
    table = table or {}
    for name in (source.name, posixpath.basename(source.name)):
        if name in table:
            return table[name]
    if captions := captions_of(source.info):
        return captions
    if (text := source.read_beside(".txt")) is not None:
        captions = [line.strip() for line in text.decode("utf-8").splitlines() if line.strip()]
        if captions:
            return captions
    if captions := captions_of(sidecar):
        return captions
    return [tags["genre"]] if tags.get("genre") else []


def read_track_info(source: Source) -> dict[str, Any]:
    r"""
    Reads `<track>.json`, an AudioCraft `MusicInfo` or an object with the keys of [`captions_of`]; empty if there is no
    file.

    Raises:
        `ValueError`: if the file can't be read.
    """
    content = source.read_beside(".json")
    try:
        info = {} if content is None else json.loads(content)
    except ValueError as error:
        raise ValueError(f"the JSON file beside it can't be read ({error})") from error
    if not isinstance(info, dict):
        raise ValueError(f"the JSON file beside it has to contain an object, but contains a {type(info).__name__}")
    return info


def captions_of(info: dict[str, Any]) -> list[str]:
    r"""
    The captions in a JSON object: `captions`, otherwise `caption`, `text` or `description`, otherwise AudioCraft's
    tags (genre, moods, keywords, instrument).
    """
    if isinstance(info.get("captions"), list) and info["captions"]:
        return [str(caption) for caption in info["captions"]]
    for name in ("caption", "text", "description"):
        if isinstance(info.get(name), str) and info[name].strip():
            return [info[name].strip()]
    tags = []
    for name in TAG_FIELDS:
        value = info.get(name) or []
        tags += [value] if isinstance(value, str) else [str(tag) for tag in value]
    return [", ".join(tags)] if tags else []
