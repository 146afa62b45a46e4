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

"""JSON files with chords: JAMS with any chord namespace, and lists of chords."""

import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

from diffusers.utils import logging

from ..utils.errors import EmptyInputError, InputError, list_names, shorten
from ..utils.files import read_text
from .chord_charts import chords_from_jaah
from .chord_labels import NO_CHORD, is_no_chord
from .chord_tables import Segment, is_label, join_segments, to_harte_segments
from .chord_timeline import Chords, check_pairs
from .forms import chords_from_items, is_chord_item, is_chord_table, to_list
from .roman_numerals import numeral_to_chord, parse_key


logger = logging.get_logger(__name__)

# Tempo of score annotations, whose times are bars and beats.
_SCORE_BPM = 120.0
_NO_CHORDS = "no chords"
# Limits of the search for a list of chords in nested objects.
_MAX_DEPTH = 4
_MAX_FIELDS = 100
_ERRORS = (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError, OverflowError)


def chords_from_jams(path: str | os.PathLike) -> Chords:
    r"""
    Reads the first readable chord annotation of a JAMS file, with any namespace that starts with `chord`. Annotations
    with chord names are preferred to those with Roman numerals. The key of a Roman numeral is taken from its value
    (`{"tonic": "Ab", "chord": "V7"}`, `"Ab:V7"`) or from a key annotation. A beat of a score annotation, whose times
    are bars, lasts half a second.

    Args:
        path (`str` or `os.PathLike`): the JAMS file.

    Raises:
        `FileNotFoundError`: if the file does not exist.
        [`InputError`]: if the file is not a JAMS file or has no chords.
    """
    name = os.fspath(path)
    return _from_jams(_load(read_text(path, "chords"), name), name)


def chords_from_json(text: str, name: str) -> Chords:
    r"""
    Reads chords from JSON: a JAMS file, an annotation of the Jazz Audio-Aligned Harmony dataset, or a list that
    [`~controls.forms.chords_from_items`] reads, such as the `<track>.chords.json` of a prepared training set.

    Args:
        text (`str`): the JSON.
        name (`str`): name of the file for error messages.

    Raises:
        [`InputError`]: if the JSON is invalid or is not in one of these formats.
    """
    content = _load(text, name)
    if isinstance(content, dict):
        annotations = content.get("annotations")
        if isinstance(annotations, list) and any(
            isinstance(item, dict) and "namespace" in item for item in annotations
        ):
            return _from_jams(content, name)
        parts = content.get("parts")
        if parts is not None and not (isinstance(parts, list) and parts and all(map(is_chord_item, parts))):
            return chords_from_jaah(content, name)
        content = _find_list(content, name)
    if isinstance(content, (list, tuple)):
        return check_pairs(chords_from_items(content)[0])
    raise InputError(f"`chords`: {name} has to contain a list of chords, but contains {shorten(content)}.", "chords")


def _find_list(content: dict, name: str) -> list | tuple:
    """Finds the list of chords in a JSON object of any layout; the key `chords` takes precedence."""
    found: list[tuple[str, list | tuple]] = []
    values = [("", content, 0)]
    for key, value, depth in values:
        value = to_list(value)
        if is_chord_table(value) or (isinstance(value, list) and value and all(map(is_chord_item, value))):
            labels = [label for label, _ in chords_from_items(value)[0]]
            if key == "chords" or sum(map(is_label, labels)) >= len(labels) / 2:
                found.append((key, value))
        elif isinstance(value, (dict, list)) and len(value) <= _MAX_FIELDS and depth < _MAX_DEPTH:
            fields = value.items() if isinstance(value, dict) else [(key, item) for item in value]
            values += [(str(inner), item, depth + 1) for inner, item in fields]
    found = [item for item in found if item[0] == "chords"] or found
    if len(found) > 1:
        raise InputError(
            f"`chords`: {name} has {len(found)} lists of chords: {list_names([repr(key) for key, _ in found])}. Keep"
            " one of them.",
            "chords",
        )
    if found:
        return found[0][1]
    if isinstance(content.get("chords"), list):
        return content["chords"]  # later errors name its first invalid element
    raise InputError(
        f"`chords`: {name} has no list of chords, such as [{{'start': 0.0, 'chord': 'C'}}, ...], and is not a JAMS"
        " file.",
        "chords",
    )


def _load(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        if lines := _load_lines(text):
            return lines
        kind = "not a JAMS file" if name.lower().endswith(".jams") else "not JSON"
        raise InputError(f"`chords`: {name} is {kind} ({error}).", "chords") from None


def _load_lines(text: str) -> list[dict]:
    """The objects of a JSON Lines text, or an empty list for other text."""
    try:
        lines = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        return []
    return lines if all(isinstance(line, dict) for line in lines) else []


def _from_jams(content: Any, name: str) -> Chords:
    try:
        annotations = [item for item in content["annotations"] if str(item["namespace"]).startswith("chord")]
        keys = [item for item in content["annotations"] if str(item["namespace"]).startswith("key")]
    except _ERRORS as error:
        raise InputError(
            f"`chords`: {name} is not a JAMS file: it has no list of annotations with namespaces.", "chords"
        ) from error
    # Chord names contain more information than Roman numerals.
    order = sorted(annotations, key=lambda item: "roman" in str(item["namespace"]))
    reasons = []
    for annotation in order:
        namespace = str(annotation["namespace"])
        try:
            chords = _read_annotation(annotation, keys, name)
        except _ERRORS as error:
            reasons.append(f"{namespace}: {error}" if isinstance(error, ValueError) else f"{namespace}: {error!r}")
            continue
        if len(annotations) > 1:
            skipped = f"; not readable: {'; '.join(reasons)}" if reasons else ""
            logger.warning(
                f"`chords`: {name} has {len(annotations)} chord annotations; number"
                f" {annotations.index(annotation) + 1} ({namespace}) is used{skipped}."
            )
        return chords
    if reasons and set(reasons) == {f"{annotation['namespace']}: {_NO_CHORDS}" for annotation in annotations}:
        raise EmptyInputError(f"`chords`: {name} has no chords.", "chords")
    namespaces = dict.fromkeys(str(item["namespace"]) for item in content["annotations"])
    raise InputError(
        f"`chords`: {name} is not a JAMS file with a readable chord annotation"
        f" ({'; '.join(reasons) or 'its namespaces: ' + (list_names(list(namespaces)) or 'none')}).",
        "chords",
    )


def _read_annotation(annotation: dict, keys: list[dict], name: str) -> Chords:
    namespace = str(annotation["namespace"])
    observations = _observations(annotation)
    if not observations:
        raise ValueError(_NO_CHORDS)
    key_changes = [(float(item["time"]), item["value"]) for key in keys for item in _observations(key)]
    segments = []
    for item in observations:
        start, duration, value = float(item["time"]), float(item.get("duration") or 0), item["value"]
        if "roman" in namespace:
            label = _from_roman(value, _key_at(start, key_changes))
        else:
            value = value.get("chord") if isinstance(value, dict) else value
            if not isinstance(value, str):
                raise TypeError("a chord is not a string")
            label = _to_plain_label(value.strip(), namespace, key_changes)
        segments.append((start, duration, label))
    known = sum(is_label(label) for *_, label in segments)
    if known < len(segments) / 2:
        unknown = next(label for *_, label in segments if not is_label(label))
        raise ValueError(f"{shorten(unknown)} is not a chord")
    if _is_score(segments):
        logger.warning(
            f"`chords`: the times of {name} are bars and beats of a score; they are read at {_SCORE_BPM:g} BPM."
        )
        segments = _score_to_seconds(segments)
    return join_segments(
        [Segment(start, start + duration if duration else None, label) for start, duration, label in segments]
    )


def _observations(annotation: dict) -> list[dict]:
    data = annotation["data"]
    if isinstance(data, dict):  # the older of the two layouts of the format
        return [dict(zip(data, values)) for values in zip(*data.values(), strict=True)]
    return list(data)


def _key_at(time: float, changes: list[tuple[float, Any]]) -> Any:
    """The annotated key at a time: the last key change up to it, or else the first key."""
    return ([key for start, key in changes if start <= time][-1:] or [key for _, key in changes[:1]] or [None])[0]


def _from_roman(value: Any, key: Any) -> str:
    """Converts a Roman numeral to a chord: `{"tonic", "chord"}`, `"Ab:V7"`, or `"V7"` in the annotated key."""
    annotated = _key_text(key)
    if isinstance(value, dict):
        tonic, numeral = value.get("tonic"), str(value["chord"])
        # The tonic has no mode, which the key annotation provides.
        if tonic and not (annotated and parse_key(annotated)[0] == parse_key(_key_text(tonic) or "")[0]):
            annotated = _key_text(tonic)
    else:
        tonic, colon, numeral = str(value).strip().rpartition(":")
        if colon:
            annotated = _key_text(tonic)
    if is_no_chord(numeral):
        return NO_CHORD
    if not annotated:
        raise ValueError(f"the key of {shorten(numeral)} is not known")
    return numeral_to_chord(numeral, annotated)


def _key_text(value: Any) -> str | None:
    """Converts a key (`"Eb:minor"`, music21's `"E- major"`, `"a"` for A minor) to a form that [`parse_key`] reads."""
    if value is None or is_no_chord(str(value)):
        return None
    text = re.sub(r"^([A-Ga-g])(-{1,2})", lambda match: match[1] + "b" * len(match[2]), str(value).strip())
    text = text.replace(":", " ")
    return f"{text[0].upper()}{text[1:]} minor" if re.fullmatch(r"[a-g][#b]?", text) else text


def _to_plain_label(label: str, namespace: str, keys: list[tuple[float, Any]]) -> str:
    # music21 writes flats as "-". In a plain namespace, a key such as "E- major" indicates music21.
    if "m21" in namespace or any(re.match(r"[A-Ga-g]-", str(key)) for _, key in keys):
        label = re.sub(r"(^|/)([A-G])(-{1,2})", lambda match: match[1] + match[2] + "b" * len(match[3]), label)
    elif "weimar" in namespace:
        # Tensions follow the seventh, each with a trailing accidental: G79b13 is G7(b9,13).
        notes = re.fullmatch(r"([^/]*?7)((?:(?:9|1[0-3])[#b]?)+)(/.*)?", label)
        if notes:
            added = ",".join(f"{sign}{number}" for number, sign in re.findall(r"(9|1[0-3])([#b]?)", notes[2]))
            label = f"{notes[1]}({added}){notes[3] or ''}"
    return label


def _is_score(segments: list[tuple[float, float, str]]) -> bool:
    """Whether the times are bars and the durations beats, in which case most chords seem to overlap."""
    pairs = list(zip(segments, segments[1:]))
    overlaps = sum(start + duration > following[0] + 0.05 for (start, duration, _), following in pairs)
    return len(pairs) > 1 and overlaps > 0.6 * len(pairs)


def _score_to_seconds(segments: list[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    bars: dict[int, float] = {}
    placed = []
    for time, duration, label in segments:
        bar = int(time)
        placed.append((bar, bars.get(bar, 0.0), duration, label))
        bars[bar] = bars.get(bar, 0.0) + duration
    beats = Counter(bars.values()).most_common(1)[0][0]
    first, seconds = placed[0][0], 60 / _SCORE_BPM
    return [
        ((bar - first) * beats * seconds + at * seconds, length * seconds, label) for bar, at, length, label in placed
    ]


def chords_to_jams(chords: Chords, path: str | os.PathLike, duration: float):
    """Writes a JAMS file with a single chord annotation. The last chord ends at `duration` seconds."""
    data = [
        {"time": start, "duration": end - start, "value": label, "confidence": None}
        for start, end, label in to_harte_segments(chords, duration)
    ]
    annotation = {
        "namespace": "chord",
        "data": data,
        "time": 0,
        "duration": duration,
        "annotation_metadata": {},
        "sandbox": {},
    }
    content = {"annotations": [annotation], "file_metadata": {"duration": duration}, "sandbox": {}}
    Path(path).write_text(json.dumps(content, indent=1), encoding="utf-8")
