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

"""Words in MIDI files: lyrics, section names and chord labels."""

import re
from collections.abc import Sequence
from itertools import groupby

from ...chord_syntax import is_no_chord, parse_chord
from ...midi import Midi, MidiEvent


TEXT, NAME, LYRIC, MARKER, CUE, KEY = 0x01, 0x03, 0x05, 0x06, 0x07, 0x59  # kinds of meta events
# Texts of the files that we write.
CHORD_PREFIX = "chord:"
OWN_FILE = "lead sheet by diffusers-jasco"
SWING = "swing"
COMPOSER_PREFIX = "composer: "
ENDING_PREFIX = "ending: "

_SECTION_WORDS = (
    "intro verse chorus refrain bridge solo outro coda interlude instrumental break breakdown hook ending end tag vamp"
    " prechorus pre-chorus postchorus post-chorus drop build buildup theme head strophe stanza couplet estribillo"
    " estrofa puente refrão estrofe ponte strofa ritornello introduction interludio middle"
).split()
_SECTION = re.compile(rf"[\[(]?\s*(?:\d+(?:st|nd|rd|th)?\s+)?(?:{'|'.join(_SECTION_WORDS)})\b.{{0,20}}", re.IGNORECASE)
_REHEARSAL = re.compile(r"[A-Z]\d?'?")
_WORD = re.compile(r"Am?|[A-G]o|NC?")
_LONGEST_NAME = 40
_MIN_CHORDS = 4


def decode_all(texts: Sequence[bytes]) -> list[str]:
    r"""
    Decodes texts of one file, which share an encoding: UTF-8 if possible, or else Shift-JIS or Windows-1252. Control
    characters are replaced by spaces.

    Args:
        texts (`Sequence[bytes]`): the encoded texts.
    """
    data = b"\n".join(texts)[:100_000]
    encoding = "cp1252"
    for candidate in ("utf-8", "cp932"):
        # Most characters of Shift-JIS start with bytes that are rare in Windows-1252.
        if candidate == "cp932" and sum(0x81 <= byte <= 0x9F for byte in data) < 0.1 * len(data):
            continue
        try:
            data.decode(candidate)
        except UnicodeDecodeError as error:
            if error.start < len(data) - 4:
                continue
        encoding = candidate
        break
    return [
        "".join(char if char.isprintable() else " " for char in text.decode(encoding, "replace")) for text in texts
    ]


def midi_texts(midi: Midi) -> set[str]:
    """The texts at the beginning of a file."""
    return {text.strip() for text in decode_all([e.data for e in midi.events if e.kind == TEXT and e.tick == 0])}


def read_ending(midi: Midi) -> tuple[str, int]:
    """How the music of one of our files ends, and the tick of its last bar line, or `("cut", 0)`."""
    for event in midi.events:
        if event.kind == TEXT and event.data.startswith(ENDING_PREFIX.encode()):
            name = event.data[len(ENDING_PREFIX) :].decode("latin-1")
            if name in ("ring", "fade") and event.tick > 0:
                return name, event.tick
    return "cut", 0


def read_sections(midi: Midi) -> list[tuple[int, str]]:
    """The names of sections with their ticks: markers, and cue points and texts that look like such names."""
    events = [event for event in midi.events if event.kind in (TEXT, MARKER, CUE)]
    names: dict[int, str] = {}
    chords = {(tick, label) for label, tick in read_chord_labels(midi)}
    for event, text in zip(events, decode_all([event.data for event in events])):
        name = re.sub(r"^[\[(<\"](.*)[\])>\"]$", r"\1", " ".join(text.split())).strip()
        if not name or len(name) > _LONGEST_NAME or name.lower().startswith(CHORD_PREFIX):
            continue
        if (event.tick, text.strip()) in chords:
            continue
        is_name = _SECTION.fullmatch(name) is not None
        if event.kind == MARKER:
            is_chord = is_no_chord(name) or parse_chord(name) is not None
            is_name = is_name or (any(map(str.isalpha, name)) and not (is_chord and not _REHEARSAL.fullmatch(name)))
        if is_name:
            names.setdefault(event.tick, name)
    return sorted(names.items())


def read_chord_labels(midi: Midi) -> list[tuple[str, int]]:
    """
    Chords that are written as text, as `(label, tick)`: texts such as `chord: Am7`, or else texts, markers or lyrics that
    are nearly all chords.
    """
    events = [event for event in midi.events if event.kind in (TEXT, MARKER, CUE, LYRIC)]
    texts = [text.strip() for text in decode_all([event.data for event in events])]
    own = [
        (text[len(CHORD_PREFIX) :].strip(), event.tick)
        for text, event in zip(texts, events)
        if text.lower().startswith(CHORD_PREFIX)
    ]
    own = [(label, tick) for label, tick in own if _is_chord(label)]
    if own:
        return _last_at_each_tick(own)
    for kind in (TEXT, MARKER, CUE, LYRIC):
        named = [(text, event.tick) for text, event in zip(texts, events) if event.kind == kind and text]
        chords = [(label, tick) for text, tick in named if (label := _as_chord(text)) is not None]
        if len(chords) >= 0.8 * len(named) and _are_chords([label for label, _ in chords], kind):
            return _last_at_each_tick(chords)
    return []


def _are_chords(labels: list[str], kind: int) -> bool:
    """Whether texts that may be chords are: rehearsal letters and words such as "a", "am" and "do" look like chords."""
    other = _WORD if kind == LYRIC else _REHEARSAL
    return len(labels) >= _MIN_CHORDS and any(not other.fullmatch(label) for label in labels)


def _as_chord(text: str) -> str | None:
    """The label of a chord that may be written with spaces and a small letter: `am`, `F sus2`."""
    label = "".join(text.split())
    label = label[:1].upper() + label[1:]
    return label if _is_chord(label) else None


def _is_chord(text: str) -> bool:
    return is_no_chord(text) or parse_chord(text) is not None


def _last_at_each_tick(chords: list[tuple[str, int]]) -> list[tuple[str, int]]:
    return [(label, tick) for tick, label in sorted({tick: label for label, tick in chords}.items())]


def read_syllables(midi: Midi) -> list[tuple[int, str]]:
    r"""
    The syllables of the lyrics with their ticks: lyric events, or else the texts of a karaoke file. A syllable ends with
    `-` if the next one continues the word.
    """
    sung = [event for event in midi.events if event.kind == LYRIC]
    labels = [label for text in decode_all([event.data for event in sung]) if (label := _as_chord(text)) is not None]
    if len(labels) >= 0.8 * len(sung) and _are_chords(labels, LYRIC):
        sung = []
    texts = [event for event in midi.events if event.kind == TEXT and not event.data.startswith(b"@")]
    karaoke = [event for event in texts if event.tick > 0]
    events = sung
    if len(karaoke) > len(sung) and any(event.data[:2] in (b"@K", b"@L", b"@T") for event in midi.events):
        events = texts
    events = _longest_track(events)
    pieces = decode_all([event.data for event in events])
    if len(pieces) > 1 and any(map(_continues_karaoke, pieces[1:])) and any(piece[:1] in " \\/" for piece in pieces):
        # Karaoke: a space or a sign for a new line before a syllable begins a word.
        pieces = [
            piece + ("-" if following and _continues_karaoke(following) and not piece.endswith((" ", "-")) else "")
            for piece, following in zip(pieces, [*pieces[1:], ""])
        ]
    elif any(piece.endswith(" ") for piece in pieces):
        pieces = [piece if piece.endswith((" ", "-")) or not piece.strip() else piece + "-" for piece in pieces]
    cleaned = [re.sub(r"\s+", " ", piece.strip(" \\/<>^%")) for piece in pieces]
    return [(event.tick, text) for event, text in zip(events, cleaned) if text.strip("-_ ")]


def _longest_track(events: Sequence[MidiEvent]) -> list[MidiEvent]:
    """The events of the track with the most of them: others repeat the words for other voices."""
    tracks = [list(group) for _, group in groupby(sorted(events, key=lambda event: event.track), lambda e: e.track)]
    return max(tracks, key=len, default=[])


def _continues_karaoke(piece: str) -> bool:
    return bool(piece) and (piece[0].isalpha() or piece[0] in "'’")
