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

"""Lead sheets as JSON."""

import json
import re
from dataclasses import MISSING, fields
from fractions import Fraction
from typing import Any

from ...utils.errors import InputError, shorten
from ...utils.numbers import to_float
from .bars import Bar, ChordMark, Hit, Note, Section, TempoMark, TimeSignature
from .sheet import LeadSheet


FORMAT = "diffusers-jasco lead sheet"
VERSION = 1

_ITEMS = {"chords": ChordMark, "notes": Note, "hits": Hit, "tempos": TempoMark}
_LENGTHS = ("length", "start", "unit", "beat_unit")


def to_json(sheet: LeadSheet) -> str:
    """Converts a sheet to JSON. Fractions are texts such as `"3/2"`; values that have their default are omitted."""
    content = {"format": FORMAT, "version": VERSION} | _encode(sheet)
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _encode(value: Any) -> Any:
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, TimeSignature):
        return str(value)
    if isinstance(value, (LeadSheet, Section, Bar)):
        pairs = ((item.name, getattr(value, item.name), item.default) for item in fields(value))
        return {name: _encode(content) for name, content, default in pairs if content != default}
    if isinstance(value, (ChordMark, Note, Hit, TempoMark)):
        defaults = type(value)._field_defaults
        return {
            name: _encode(content)
            for name, content in value._asdict().items()
            if name not in defaults or content != defaults[name]
        }
    return [_encode(item) for item in value] if isinstance(value, tuple) else value


def is_json(text: str) -> bool:
    """Whether a text is a JSON object; ChordPro also begins with a brace."""
    return re.match(r"\s*\{\s*\"", text) is not None


def read_json(text: str, name: str = "the text") -> LeadSheet:
    r"""
    Reads a sheet that [`to_json`] wrote.

    Args:
        text (`str`): JSON.
        name (`str`): name of the source for error messages.

    Raises:
        [`InputError`]: if the text is not JSON or not a lead sheet; the message names the bar and the field.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:  # also for integers of thousands of digits
        raise InputError(f"`source`: {name} is not JSON: {error}.", "source") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"`source`: {name} is JSON, but not a lead sheet: `format` has to be {FORMAT!r}.", "source")
    if content.get("version") != VERSION:
        raise InputError(
            f"`source`: {name} has version {shorten(content.get('version'))}, but version {VERSION} is read.", "source"
        )
    del content["format"], content["version"]
    return _decode(LeadSheet, content, name)


def _decode(kind: Any, content: Any, name: str) -> Any:
    """Creates an object of a class from a dictionary with its fields."""
    if not isinstance(content, dict):
        raise InputError(
            f"`source`: {name}: a {kind.__name__} has to be an object with fields, but is {shorten(content)}.",
            "source",
        )
    if issubclass(kind, tuple):
        known, required = kind._fields, [field for field in kind._fields if field not in kind._field_defaults]
    else:
        known = [item.name for item in fields(kind)]
        required = [item.name for item in fields(kind) if item.default is MISSING]
    for field in content:
        if field not in known:
            raise InputError(
                f"`source`: {name}: unknown field {shorten(field)} of a {kind.__name__}; known: {', '.join(known)}.",
                "source",
            )
    for field in required:
        if field not in content:
            raise InputError(f"`source`: {name}: a {kind.__name__} needs the field {field!r}.", "source")
    try:
        return kind(**{field: _decode_field(kind, field, value, name) for field, value in content.items()})
    except InputError as error:
        if str(error).startswith("`source`: "):
            raise
        raise InputError(f"`source`: {name}: {error}", "source") from None


def _decode_field(kind: Any, field: str, value: Any, name: str) -> Any:
    children = {"sections": Section, "bars": Bar} | _ITEMS
    if field in children:
        places = {"sections": "section", "bars": "bar"}
        return tuple(
            _decode(children[field], item, f"{name}, {places[field]} {number}" if field in places else name)
            for number, item in enumerate(_check(value, list, field, name), 1)
        )
    if field in _LENGTHS:
        return _fraction(value, field, name)
    if field == "time_signature":
        return TimeSignature.parse(_check(value, str, field, name))
    if field == "endings":
        return tuple(_check(number, int, field, name) for number in _check(value, list, field, name))
    if field in ("tempo", "bpm", "velocity"):
        return to_float(_check(value, (int, float), field, name), field)
    if field in ("pitch", "repeats", "repeat_end"):
        return _check(value, int, field, name)
    default = kind._field_defaults[field] if issubclass(kind, tuple) and field in kind._field_defaults else None
    if not issubclass(kind, tuple):
        default = next(item.default for item in fields(kind) if item.name == field)
    return _check(value, bool if isinstance(default, bool) else str, field, name)


def _check(value: Any, kind: Any, field: str, name: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        expected = {bool: "true or false", str: "text", list: "a list", int: "a whole number"}.get(kind, "a number")
        raise InputError(f"`source`: {name}: {field!r} has to be {expected}, but is {shorten(value)}.", "source")
    if isinstance(value, str) and re.search(r"[\ud800-\udfff]", value):
        raise InputError(f"`source`: {name}: {field!r} has half of a surrogate pair: {shorten(value)}.", "source")
    return value


def _fraction(value: Any, field: str, name: str) -> Fraction:
    try:
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float, str))
            or len(str(value)) > 40
            or "e" in str(value).lower()
        ):
            raise ValueError
        return Fraction(value)
    except (ValueError, ZeroDivisionError, OverflowError):
        raise InputError(
            f"`source`: {name}: {field!r} has to be quarter notes such as 1.5 or '3/2', but is {shorten(value)}.",
            "source",
        ) from None
