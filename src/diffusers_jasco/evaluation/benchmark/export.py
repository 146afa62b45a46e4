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

"""Writes the requests of the benchmark as files that any system can read."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ...audio.export import export_audio
from ...controls import CONTROLS
from ...controls.drum_machine import play_hits
from ...controls.lead_sheet import LeadSheet
from ...utils.cli import without_warnings
from ...utils.errors import list_names
from ...utils.files import atomic_folder
from ..metrics.sample_sizes import MIN_CLIPS
from ..output import write_json, write_text
from .rendering import RATE, TONES, render_song
from .songs import Song, annotate, hash_songs


EDIT_SUFFIX = ".edit"
INFO_FILE = "benchmark.json"
REQUESTS_FILE = "requests.jsonl"
EDITS_FILE = "edits.jsonl"
MANIFEST_FILE = "jasco.jsonl"
CAPTIONS_FILE = "jasco_captions.jsonl"
CONTROL_FILE = "jasco_{}.jsonl"
SHEET_SUFFIXES = (".json", ".mid", ".musicxml", ".abc")

_DRUMS_FILE = "songs/{}.drums.flac"
_PEAK = 0.8  # of the drums

_README = """\
# Requests of the adherence benchmark {version}

{num_songs}{selection} and {num_edits}. SHA-256 of the songs: `{hash}`.

## Files

- `{requests}`: one JSON object per line for each song: `name`, `caption`, `duration` (seconds), `tempo` (beats per minute),
  `time_signature`, `key`, `chords` (`[label, start]`), `melody` (`[MIDI number, start, end]`), `drum_hits` (`[drum, start,
  velocity]`), `drum_onsets`, `beats`, `downbeats`, and `files`. All times are in seconds. In 6/8 and 12/8, a beat is a
  dotted quarter.
- `songs/NAME.json`, `.mid`, `.musicxml`, `.abc`: the song as a lead sheet. JSON is the format of diffusers-jasco. MIDI has
  the melody on channel 1, chords on channel 2 and drums on channel 10. ABC has no drums.
- `songs/NAME.lab`: the chords with their start and end in seconds.
- `songs/NAME.drums.flac`: the drums as audio, for songs with drums. A drum machine plays them; no sound font is used.
- `{edits}`: one JSON object per line for each edit, with the same fields for the edited song, the recording to edit
  (`source`), and the `region` (start and end in seconds) in which the chords change. The recording has to stay
  unchanged outside of the region. The edited song has no melody in the region.
- `edits/NAME.source.flac`: the recording to edit, of organ tones and the drum machine.
- `edits/NAME.json`, `.mid`, `.musicxml`, `.abc`, `.lab`: the edited song.
- `{manifest}`: the same requests for `scripts/generate_jasco.py` of diffusers-jasco. `{captions}`: only the captions and
  durations of the songs; {controls}: these and one control.
- `{info}`: version and hash of the songs, and the names of these files.

## Your answers

Write one audio file for each request into a folder: `NAME.wav` for a song (for example `{example}.wav`) and
`NAME{edit_suffix}.wav` for an edit. Files can also be `.flac`, `.mp3`, `.ogg`, and others, with any sampling rate and number
of channels. They begin at the beginning of the song, and last as long as the request; longer files are cut. Songs can be
left out, and so can edits. You may use the caption and any of the controls: state which ones.

    python scripts/benchmark_adherence.py --score FOLDER{options}
"""


@without_warnings()
def export_requests(folder: Path, songs: Sequence[Song], version: str = "v1", is_complete: bool = True):
    r"""
    Writes the requests. The same songs give the same files.

    Args:
        folder (`Path`): a new folder; one that an earlier export wrote is replaced.
        songs (`Sequence[Song]`): the songs.
        version (`str`, defaults to `"v1"`): version of the set.
        is_complete (`bool`, defaults to `True`): whether these are all songs of the version.

    Raises:
        `ValueError`: if the folder contains a file that no export wrote.
    """
    _check_folder(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    edits = [song for song in songs if song.edited_sheet is not None]
    with atomic_folder(folder) as target:
        for name in ("songs", "edits"):
            (target / name).mkdir(parents=True)
        write_lines(target / REQUESTS_FILE, (_export_song(song, target) for song in songs))
        write_lines(target / EDITS_FILE, (_export_edit(song, target) for song in edits))
        write_lines(target / MANIFEST_FILE, [*map(_to_manifest, songs), *map(_edit_to_manifest, edits)])
        write_lines(target / CAPTIONS_FILE, map(_caption_to_manifest, songs))
        for control in CONTROLS:
            write_lines(target / CONTROL_FILE.format(control), _control_to_manifest(songs, control))
        text = _README.format(
            version=version,
            num_songs=_count(songs, "song"),
            selection="" if is_complete else " (a part of the set)",
            num_edits=_count(edits, "edit"),
            hash=hash_songs(version),
            requests=REQUESTS_FILE,
            edits=EDITS_FILE,
            manifest=MANIFEST_FILE,
            captions=CAPTIONS_FILE,
            controls=", ".join(f"`{CONTROL_FILE.format(control)}`" for control in CONTROLS),
            info=INFO_FILE,
            example=songs[0].name,
            options="" if is_complete else _options_of_part(songs),
            edit_suffix=EDIT_SUFFIX,
        )
        write_text(target / "README.md", text)
        info = {"version": version, "sha256": hash_songs(version), "songs": [song.name for song in songs]}
        write_json(target / INFO_FILE, info | {"files": _list_files(target)})


def _options_of_part(songs: Sequence[Song]) -> str:
    """Without them, the other songs would be missing, and too few would have a score."""
    options = f" --songs {' '.join(song.name for song in songs)}"
    return options + (f" --min_clips {len(songs)}" if len(songs) < MIN_CLIPS else "")


def _count(items: Sequence[Any], noun: str) -> str:
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"


def _list_files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def _check_folder(folder: Path):
    """Raises a `ValueError` if the folder is a file, or contains files that no export wrote, such as answers."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ValueError(f"{folder} is a file: choose a folder.")
    try:
        written = {INFO_FILE, *json.loads((folder / INFO_FILE).read_text(encoding="utf-8"))["files"]}
    except (OSError, ValueError, LookupError, TypeError):  # something else, such as scores
        written = set()
    if others := [name for name in _list_files(folder) if name not in written]:
        raise ValueError(
            f"{folder} would be replaced, but has files that are not an export of the benchmark: {list_names(others)}."
            " Choose another folder."
        )


def write_lines(path: Path, lines: Iterable[dict[str, Any]]):
    """Writes JSON Lines, with numbers rounded to microseconds."""
    write_text(path, "".join(json.dumps(_round(line), ensure_ascii=False) + "\n" for line in lines))


def _round(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _round(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_round(item) for item in value]
    return round(value, 6) if isinstance(value, float) else value


def save_sheet(sheet: LeadSheet, stem: Path) -> list[str]:
    """Writes a sheet in all formats, and its chords as `.lab`. Returns the names of the files."""
    without_hits = tuple(
        replace(section, bars=tuple(replace(bar, hits=()) for bar in section.bars)) for section in sheet.sections
    )
    written = {suffix: sheet for suffix in (*SHEET_SUFFIXES, ".lab")}
    written[".abc"] = replace(sheet, sections=without_hits)  # ABC has no drums
    for suffix, version in written.items():
        version.save(stem.with_name(stem.name + suffix))
    return [stem.name + suffix for suffix in written]


def _export_song(song: Song, folder: Path) -> dict[str, Any]:
    annotations = annotate(song.sheet, song.name)
    files = [f"songs/{name}" for name in save_sheet(song.sheet, folder / "songs" / song.name)]
    if annotations["drum_hits"]:
        drums = torch.from_numpy(play_hits(annotations["drum_hits"], annotations["duration"], RATE))[None]
        files.append(_DRUMS_FILE.format(song.name))
        export_audio(drums * min(1.0, _PEAK / float(drums.abs().max())), folder / files[-1], RATE)
    return annotations | {"files": files}


def _export_edit(song: Song, folder: Path) -> dict[str, Any]:
    source = f"edits/{song.name}.source.flac"
    export_audio(render_source(song), folder / source, RATE)
    files = [f"edits/{name}" for name in save_sheet(song.edited_sheet, folder / "edits" / song.name)]
    annotations = annotate(song.edited_sheet, song.name + EDIT_SUFFIX)
    return annotations | {"source": source, "region": list(song.region), "files": files}


def render_source(song: Song) -> torch.Tensor:
    """The recording of a song that is to be edited: `(1, samples)` at 32 kHz, rounded to the 24 bits of its file."""
    audio = render_song(annotate(song.sheet), song.programs, TONES)
    return (audio.double() * 2**23).round().div(2**23).float()


def _to_manifest(song: Song) -> dict[str, Any]:
    return {"name": song.name, "lead_sheet": f"songs/{song.name}.json"}


def _caption_to_manifest(song: Song) -> dict[str, Any]:
    return {"name": song.name, "prompt": song.sheet.prompt, "duration": song.sheet.duration}


def _control_to_manifest(songs: Iterable[Song], control: str) -> Iterator[dict[str, Any]]:
    """Captions with a single control, of the songs that have it."""
    for song in songs:
        annotations = annotate(song.sheet)
        value = annotations.get(control)
        if control == "drums":
            value = annotations["drum_hits"] and _DRUMS_FILE.format(song.name)
        elif control == "beats":
            value = [annotations["beats"], annotations["downbeats"]]
        if value:
            yield _caption_to_manifest(song) | {control: value}


def _edit_to_manifest(song: Song) -> dict[str, Any]:
    return {
        "name": song.name + EDIT_SUFFIX,
        "audio": f"edits/{song.name}.source.flac",
        "regions": [list(song.region)],
        "lead_sheet": f"edits/{song.name}.json",
    }
