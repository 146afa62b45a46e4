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


"""Reads generation requests from manifests."""

import gzip
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from diffusers.utils import logging

from ..audio.regions import read_pairs
from ..controls import CONTROLS
from ..controls.drum_machine import accept_groove_as_drums, is_groove_file, is_groove_name, load_groove
from ..controls.lead_sheet import LeadSheet, read_lead_sheet
from ..controls.lead_sheet.charts.ireal import is_ireal
from ..controls.lead_sheet.playback import fade_seconds
from ..controls.midi import split_track
from ..data.features import beat_grid
from ..data.sources import Source, read_captions, read_track_info
from ..pipelines.prompt_timeline import check_timeline, is_timeline
from ..utils.errors import InputError
from ..utils.files import looks_like_path
from ..utils.numbers import to_integer
from ..utils.seeding import derive_seed
from .batches import SOURCES, GenerationRequest
from .suggestions import DEFAULT_BARS


logger = logging.get_logger(__name__)

_NUMBER = (int, float)
_TYPES = {
    "name": (str,),
    "prompt": (str, list),
    **dict.fromkeys(CONTROLS, (str, list)),
    "groove": (str,),
    "lead_sheet": (str,),
    "part": (str, int),
    "tune": (str, int),
    "transpose": (int,),
    "separate_drums": (bool,),
    "normalize_drums": (bool,),
    "start": _NUMBER,
    "duration": _NUMBER,
    "bpm": (*_NUMBER, bool),
    "beats_per_bar": (int,),
    "loop": (bool,),
    "window_overlap": _NUMBER,
    "audio": (str,),
    "regions": (list,),
    "audio_start_seconds": _NUMBER,
    "strength": _NUMBER,
    **dict.fromkeys(SOURCES, (str, list)),
    "control_scales": (dict,),
    "control_regions": (dict,),
    "best_of": (int,),
    "suggest": (bool,),
    "seed": (int,),
    "num_inference_steps": (int,),
    "guidance_scale": _NUMBER,
    "text_guidance_scale": _NUMBER,
    "guidance_rescale": _NUMBER,
}
_KINDS = {
    (str,): "a string",
    (str, list): "a string or a list",
    (str, int): "a string or a whole number",
    (list,): "a list",
    (dict,): "an object",
    (bool,): "true or false",
    (int,): "a whole number",
    _NUMBER: "a number",
    (*_NUMBER, bool): "a number or false",
}
FIELDS = tuple(_TYPES)
SETTINGS = FIELDS[-4:]


@dataclass(frozen=True)
class InvalidLine:
    """An invalid line of a manifest, with its number and the error message."""

    line: int
    error: str


def read_requests(
    manifest: str | os.PathLike,
    defaults: GenerationRequest | None = None,
    seed: int = 0,
    controls: Sequence[str] = CONTROLS[:3],
) -> list[GenerationRequest | InvalidLine]:
    r"""
    Reads generation requests from a manifest.

    Args:
        manifest (`str` or `os.PathLike`):
            A `.jsonl` or `.jsonl.gz` file, or a folder with `metadata.jsonl` or `data.jsonl`. Each line is a JSON
            object with:

            - any of `FIELDS`: `prompt` (a text, or `[[text, start], ...]`), `chords` (`[[label, start], ...]`,
              `"C:0 Am:2.5"`, or a file), `drums` (a file), `groove` (a name in [`~controls.drum_machine.GROOVES`],
              or a file such as `loop.groove.json`, instead of `drums`), `lead_sheet` (a file or text that [`~controls.lead_sheet.read_lead_sheet`] reads,
              for what the line doesn't give; `part` and `tune`: its options; `transpose`: semitones; `bpm` and `groove`
              replace its own), `melody` (`[[pitch, start, end], ...]` or a file), `beats` (`[seconds, ...]`,
              `[beats, downbeats]`, a file, or `[]` for none), `separate_drums`, `normalize_drums`, `start` (seconds
              into files), `duration` (seconds), `bpm` (or `false`), `beats_per_bar`, `loop`, `window_overlap`,
              `control_scales` (`{"chords": 1.5}`), `control_regions` (`{"melody": [[start, end], ...]}`), `best_of`
              (number of takes, of which the one that follows its controls best is kept), `suggest` (`true`: the controls
              that the line does not have are suggested for the prompt; without a duration, eight bars), `audio` (a recording) with `regions` (`[[start, end], ...]`), `audio_start_seconds` and `duration`, or with `strength`
              or `source_prompt`, `source_chords`, `source_drums`, `source_melody` (in the forms of `prompt`, `chords`,
              ..., or, for controls, `"extract"`), `seed`, `name` (of the clip's file; by default the line number), and
              the sampling settings
            - or `file_name`: a clip of a dataset. Its caption and `controls` are used, but not its duration
            - or `path`: a line of AudioCraft's `data.jsonl`, with the caption in the `.json` or `.txt` file beside the
              audio

            Files are searched for in the manifest's folder, then in the working directory.
        defaults (`GenerationRequest`, *optional*):
            Duration, settings and `best_of` of lines that do not specify them, by default the checkpoint's and `1`.
        seed (`int`, defaults to `0`): lines without a seed get one that is derived from this seed and the clip's name.
        controls (`Sequence[str]`, defaults to `("chords", "drums", "melody")`):
            The controls of a dataset's clips that are used: those of the checkpoint.

    Returns:
        `list`: a [`~generation.batches.GenerationRequest`] or an [`InvalidLine`] for each non-empty line.

    Raises:
        `FileNotFoundError`: if the manifest does not exist.
    """
    path = Path(manifest)
    if path.is_dir():
        path = next((path / name for name in ("metadata.jsonl", "data.jsonl") if (path / name).is_file()), path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no manifest {manifest}.")
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
        lines = file.read().splitlines()
    defaults = defaults or GenerationRequest(name="")
    entries: list[GenerationRequest | InvalidLine] = []
    lines_of: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            request = _read_line(line, number, path.parent, defaults, seed, controls)
            if request.name in lines_of:
                raise ValueError(f"line {lines_of[request.name]} has the same name, {request.name!r}.")
            lines_of[request.name] = number
            entries.append(request)
        except (ValueError, OSError) as error:
            entries.append(InvalidLine(number, str(error)))
    return entries


def _read_line(
    line: str, number: int, folder: Path, defaults: GenerationRequest, seed: int, dataset_controls: Sequence[str]
) -> GenerationRequest:
    info = json.loads(line)
    if not isinstance(info, dict):
        raise ValueError(f"a line has to be a JSON object, but got a {type(info).__name__}.")
    if "path" in info or "file_name" in info:
        info = _from_dataset(info, folder, dataset_controls)
    elif unknown := sorted(set(info) - set(FIELDS)):
        raise ValueError(f"unknown fields: {', '.join(unknown)}. A line may have {', '.join(FIELDS)}.")
    accept_groove_as_drums(info)
    info = {key: value for key, value in info.items() if value is not None}

    for key, value in info.items():
        # `isinstance` would accept `True` as a number.
        if type(value) not in _TYPES[key] or (key == "bpm" and value is True):
            raise ValueError(f"`{key}` has to be {_KINDS[_TYPES[key]]}, but is {json.dumps(value)}.")
    name = info.get("name", f"{number:05d}")
    if not re.fullmatch(r"[^./\\\x00-\x1f][^/\\\x00-\x1f]{0,199}", name):
        raise ValueError(
            f"`name` has to be a file name without slashes that does not start with a dot, but got {name!r}."
        )
    if "groove" in info:
        info["groove"] = _find_groove(info["groove"], folder)
    _check_drums(info, folder)
    audio = _read_audio(info, folder)
    info, supplied = _read_lead_sheet(info, folder, dataset_controls, info.get("loop", defaults.loop))
    controls = supplied | {key: _read_control(key, info[key], folder) for key in CONTROLS if key in info}
    # Other empty lists are controls that are not given, but empty `beats` also exclude a chosen tempo, and in edits from a
    # description, empty controls remove those of the recording.
    is_edit = any(name in info for name in SOURCES)
    controls = {key: value for key, value in controls.items() if value != [] or key == "beats" or is_edit}
    request = replace(
        defaults,
        name=name,
        prompt=_read_prompt(info["prompt"]) if "prompt" in info else defaults.prompt,
        controls=controls,
        separate_drums=info.get("separate_drums", False),
        normalize_drums=info.get("normalize_drums", defaults.normalize_drums),
        start=info.get("start", defaults.start),
        # Without a duration, edits have that of the recording.
        duration=info.get("duration", None if audio else defaults.duration),
        bpm=info.get("bpm", defaults.bpm),
        beats_per_bar=info.get("beats_per_bar", defaults.beats_per_bar),
        groove=info.get("groove"),
        loop=info.get("loop", defaults.loop),
        window_overlap=info.get("window_overlap", defaults.window_overlap),
        **audio,
        control_scales=info.get("control_scales", defaults.control_scales),
        control_regions=info.get("control_regions", defaults.control_regions),
        # Takes of recordings are not scored.
        best_of=to_integer(info.get("best_of", 1 if audio else defaults.best_of), "best_of", 1),
        # The range of PyTorch's generators.
        seed=to_integer(info["seed"], "seed", -(2**63), 2**64 - 1)
        if "seed" in info
        else derive_seed("generation", seed, name),
        settings=defaults.settings | {key: info[key] for key in SETTINGS if key in info},
        suggest=info.get("suggest", defaults.suggest),
        fade_seconds=info.get("fade_seconds", defaults.fade_seconds),
    )
    if not request.suggest:
        return request
    if audio:
        raise ValueError("`suggest` can't be used with `audio`.")
    suggestion = request.suggestion
    request = replace(request, duration=request.duration or suggestion.length(DEFAULT_BARS))
    if "beats" not in dataset_controls:
        return request
    return replace(request, bpm=suggestion.tempo, beats_per_bar=suggestion.beats_per_bar)


def _read_lead_sheet(
    info: dict[str, Any], folder: Path, controls: Sequence[str], is_loop: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the fields of a line with prompt, duration and fade-out of its lead sheet, and the controls of the sheet."""
    options = ("lead_sheet", "part", "tune", "transpose")
    if "lead_sheet" not in info:
        if given := [name for name in options if name in info]:
            raise ValueError(f"`{given[0]}` requires `lead_sheet`.")
        return info, {}
    if info.get("suggest"):
        raise ValueError("a line can have either `lead_sheet` or `suggest`, not both.")
    source: str | Path = info["lead_sheet"]
    file = _find_file(info["lead_sheet"], folder)
    if file is not None or (looks_like_path(source) and not is_ireal(info["lead_sheet"])):
        source = Path(file or folder / source)
    sheet = read_lead_sheet(source, info.get("part"), info.get("tune")).transpose(info.get("transpose", 0))
    if is_loop:
        sheet = cut_ending(sheet)
    remaining = {key: value for key, value in info.items() if key not in options}
    if info.get("bpm") and "chords" not in info:
        sheet = sheet.with_tempo(remaining.pop("bpm"))
    if "groove" in info:
        sheet = sheet.with_groove(remaining.pop("groove"))
    prompt = info.get("prompt")
    supplied = sheet.to_controls(prompt if isinstance(prompt, str) else None)
    if isinstance(prompt, list):
        supplied["prompt"] = prompt
    if "beats" in controls and "bpm" not in remaining:
        supplied["beats"] = sheet.beats()
    remaining |= {key: supplied[key] for key in ("prompt",) if key in supplied}
    if "audio" not in info:
        if "duration" not in info:
            remaining["fade_seconds"] = fade_seconds(sheet.expand())
        remaining = {"duration": supplied["duration"]} | remaining
    return remaining, {key: value for key, value in supplied.items() if key in CONTROLS}


def cut_ending(sheet: LeadSheet) -> LeadSheet:
    """The sheet of a loop, whose end continues with the beginning; an ending is left out, with a warning."""
    if sheet.ending == "cut":
        return sheet
    logger.warning(f"The ending {sheet.ending!r} of the lead sheet is left out, since a loop has no end.")
    return replace(sheet, ending="cut")


def _read_control(name: str, value: str | list[Any], folder: Path) -> Any:
    """A control in the form that the pipeline accepts."""
    # Chords may also be text instead of a file.
    return (_find_file(value, folder) or value) if isinstance(value, str) else control_from_json(name, value)


def _find_groove(groove: str, folder: Path) -> str:
    """The name of a preset, or the path of a groove's file; raises a `ValueError` or `OSError` for others."""
    found = _find_file(groove, folder) if is_groove_file(groove) else groove
    if found is None:
        raise FileNotFoundError(f"`groove`: the file {groove!r} does not exist.")
    try:
        load_groove(found)
    except InputError as error:
        raise error.renamed("groove") from None
    return found


def _check_drums(info: dict[str, Any], folder: Path):
    """Raises a `ValueError` for a groove beside `drums`, and for the name of a groove as `drums`."""
    drums = info.get("drums")
    if drums and "groove" in info:
        raise ValueError("a line can have either `drums` or `groove`, not both.")
    if isinstance(drums, str) and is_groove_name(drums) and _find_file(drums, folder) is None:
        raise ValueError(f"`drums`: the file {drums!r} does not exist; for the preset of this name, use `groove`.")


def _read_prompt(value: str | list[Any], name: str = "prompt") -> str | list[tuple[str | None, float]]:
    """A text, or a timeline of texts."""
    if isinstance(value, str):
        return value
    if not is_timeline(value):
        raise ValueError(f"`{name}` has to be a string or [[text, start], ...], but is {json.dumps(value)}.")
    return list(check_timeline(value, name))


def _read_audio(info: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The fields of a recording and its edit."""
    kept = [name for name in ("regions", "audio_start_seconds") if name in info]
    varied = [name for name in ("strength", *SOURCES) if name in info]
    if "audio" not in info:
        if kept or varied:
            raise ValueError(f"`{(kept + varied)[0]}` requires `audio`, a recording.")
        return {}
    audio = _find_file(info["audio"], folder)
    if audio is None:
        raise ValueError(f"`audio`: the file {info['audio']!r} does not exist.")
    if kept and varied:
        raise ValueError(f"`{kept[0]}` can't be used with `{varied[0]}`, which changes the whole recording.")
    if not kept and not varied and "duration" not in info:
        names = "`regions`, `audio_start_seconds`, `strength`, a `source_*`, or a `duration`"
        raise ValueError(f"`audio` requires {names}.")
    if info.get("loop") or info.get("best_of", 1) > 1:
        raise ValueError(f"`{'loop' if info.get('loop') else 'best_of'}` can't be used with `audio`.")
    fields: dict[str, Any] = {name: info[name] for name in kept + varied} | {"audio": audio}
    for name in set(varied) & set(SOURCES):
        is_prompt = name == "source_prompt"
        fields[name] = _read_prompt(info[name], name) if is_prompt else _read_control(name, info[name], folder)
    return fields | ({"regions": read_pairs(info["regions"], "regions")} if "regions" in info else {})


def control_from_json(name: str, value: list[Any]) -> Any:
    """Converts a control in a manifest or in metadata to the form that the pipeline accepts."""
    items = [tuple(item) if isinstance(item, list) else item for item in value]
    is_pair = name == "beats" and any(isinstance(item, tuple) for item in items)
    return tuple(items) if is_pair else items  # beats and downbeats


def _from_dataset(info: dict[str, Any], folder: Path, controls: Sequence[str]) -> dict[str, Any]:
    """Converts a clip of a dataset to the fields of a request."""
    name = info.get("path") or info.get("file_name")
    if not isinstance(name, str):
        raise ValueError(f"`path` has to be a string, but is {json.dumps(name)}.")
    source = Source(_find_file(name, folder) or str(folder / name), name, info)
    captions = read_captions(source, read_track_info(source), {})
    grid = beat_grid(info)
    drums = info.get("drums") or (info.get("stems") or {}).get("drums")
    given = info | {"drums": drums, "beats": grid and list(grid)}
    return {
        "name": source.id,
        "prompt": captions[0] if captions else None,
        **{name: given.get(name) for name in CONTROLS if name in controls},
    }


def _find_file(name: str, folder: Path) -> str | None:
    """The path of a file in the manifest's folder or in the working directory, or `None`."""
    # MIDI file names may have a track as suffix.
    name, track = split_track(name)
    # Long texts are chords, and could exceed the limit of file names.
    file = next((path for path in (folder / name, Path(name)) if len(name) < 1000 and os.path.isfile(path)), None)
    if file is None:
        return None
    return str(file) if track is None else f"{file}#{track}"
