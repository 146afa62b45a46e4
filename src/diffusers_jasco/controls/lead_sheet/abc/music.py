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

"""Reads lines of music of ABC tunes."""

import re
from fractions import Fraction

from ...chord_syntax import MAX_LENGTH, NO_CHORD, is_no_chord, parse_chord
from ..form_words import jump_name, parse_ending_numbers
from .text import FIELD, Notes, decode_text
from .voice import Voice, VoiceError


_SPACE = re.compile(r"[\s`*;$\\]+|y\d*")
_TEXT = re.compile(r'"([^"]*)("?)')
_DECORATION = re.compile(r"!([^!|\[\]\":]{1,30})!|\+([A-Za-z][A-Za-z0-9.]{1,20})\+")
_INLINE = re.compile(r"\[([A-Za-z]):([^\]]{0,500})\]")
_BAR = re.compile(r"\.?(?:\[(?=\|)|[|:]|(?<=\|)\])+")
_ENDING = re.compile(r"\s*\[?\s*(\d{1,2}(?:\s*[-,.]\s*\d{1,2})*)\.?(?![\d/])|\s*\[\"(\d[^\"]*)\"")
_BRACKET_ENDING = re.compile(r"\[\s*(\d{1,2}(?:\s*[-,.]\s*\d{1,2})*)\.?|\[\"(\d[^\"]*)\"")
_OLD_CHORD = re.compile(r"\+([\^_=A-Ga-g,'\d/]{2,})\+")
_GRACE = re.compile(r"\{[^}]*\}?")
_TUPLET = re.compile(r"\(\s?(\d{1,2})(?::(\d{0,2}))?(?::(\d{0,2}))?")
_NOTE = re.compile(r"(?:(\^\^|\^|__|_|=)(\d*/+\d*|\d+)?)?([A-Ga-g])([,']*)(\d*(?:/+\d*)*)")
_REST = re.compile(r"([zxZX])(\d*(?:/+\d*)*)")
_LENGTH = re.compile(r"(\d*)((?:/+\d*)*)")
_BROKEN = re.compile(r"(>{1,6}|<{1,6})")
_SYMBOLS = "HIJKLMNOPQRSTUVWhijklmnopqrstuvw~."
_CHORD_PARTS = re.compile(
    r"[\s.~]+|(?P<tie>-)|(?P<text>\"[^\"]*\")|(?P<decoration>![^!\]]*!)|(?P<slur>[()])|(?P<other>[uvH-Wh-w])"
)

_SIGNS = {None: None, "^^": 2, "^": 1, "=": 0, "_": -1, "__": -2}
_DEFAULT_TUPLETS = {2: 3, 3: 2, 4: 3, 6: 2, 8: 3}

_JUMP = re.compile(
    r"(d\.?\s*c\.?|da\s*capo|d\.?\s*s\.?|dal\s*segno)\s*(?:(al)?\s*\.?(fine|coda))?\.?(?:\s*x\d)?", re.IGNORECASE
)
_SIGN_NAMES = {"segno": "segno", "sign": "segno", "coda": "coda", "dacoda": "to_coda", "tocoda": "to_coda",
               "alcoda": "to_coda", "fine": "fine"}  # fmt: skip
_BASS = re.compile(r"/([A-Ga-g])([#b+-]?)$")


class MusicReader:
    r"""
    Reads lines of music.

    Args:
        notes ([`Notes`]): collects warnings.
        fields: is called as `fields(voice, letter, value, line)` for inline fields and returns the voice that follows.
        chords_only (`bool`): whether bars have chords but no notes or rests: their chords divide the meter equally.
    """

    def __init__(self, notes: Notes, fields, chords_only: bool = False):
        self.notes = notes
        self.fields = fields
        self.chords_only = chords_only
        self.symbols = {"S": "segno", "O": "coda"}  # `U:` redefines them
        self.pending: list[str] = []  # signs and jumps before the next note or bar line
        self.waiting: list[str] = []  # chords of one text, which divide the next note

    def define_symbol(self, text: str):
        """Reads the value of `U:`, such as `T = !trill!`."""
        match = re.match(r"\s*([A-Za-z~])\s*=\s*[!+]?([^!+]*)[!+]?", text)
        if match:
            self.symbols[match[1]] = match[2].strip()

    def read(self, voice: Voice, text: str, line: int) -> Voice:
        r"""
        Reads a line.

        Returns:
            [`Voice`]: the voice at the end of the line.
        """
        voice.verse_line = len(voice.verse)
        text = _OLD_CHORD.sub(r"[\1]", text)
        position = 0
        while position < len(text):
            try:
                voice, position = self._step(voice, text, position, line)
            except VoiceError as error:
                self.notes.fail(line, f"{error}.", position + 1)
        return voice

    def _step(self, voice: Voice, text: str, position: int, line: int) -> tuple[Voice, int]:
        """Reads the token at a position, and returns the voice and the position after it."""
        if match := _SPACE.match(text, position):
            return voice, match.end()
        sign = text[position]
        if match := _NOTE.match(text, position):
            self._note(voice, match, line, position)
            return voice, match.end()
        if match := _REST.match(text, position):
            self._rest(voice, match, line)
            return voice, match.end()
        if match := _TEXT.match(text, position):
            self._text(voice, match[1], line)
            return voice, match.end()
        if match := _INLINE.match(text, position):
            return self.fields(voice, match[1], match[2].strip(), line), match.end()
        if match := _BAR.match(text, position):
            if "|" in match[0] or "::" in match[0]:
                return voice, self._bar_line(voice, match[0], text, match.end())
            if sign == ".":
                return voice, position + 1
            self.notes.add("characters that are not ABC are ignored", line, match[0])
            return voice, match.end()
        if sign == "[":
            if match := _BRACKET_ENDING.match(text, position):
                if numbers := parse_ending_numbers(match[1] or match[2] or ""):
                    voice.begin_ending(numbers)
                return voice, match.end()
            return voice, self._chord(voice, text, position, line)
        if (match := _BROKEN.match(text, position)) and not text.startswith("(", position):
            if not voice.break_rhythm(match[0][0], len(match[0])):
                self.notes.add("a broken rhythm without a note before it is ignored", line)
            return voice, match.end()
        return voice, self._mark(voice, text, position, line)

    def _mark(self, voice: Voice, text: str, position: int, line: int) -> int:
        """Reads decorations, tuplets, ties, slurs and layers."""
        sign = text[position]
        if match := _DECORATION.match(text, position):
            self._decorate(match[1] or match[2])
            return match.end()
        if match := _TUPLET.match(text, position):
            self._tuplet(voice, match, line)
            return match.end()
        if match := _GRACE.match(text, position):
            return match.end()
        if sign == "-":
            voice.tie_last()
        elif sign == "&":
            if voice.current.length and not text.startswith(")", position + 1):
                voice.overlay = True
                self.notes.add("only the first layer of bars with & is read", line)
        elif sign in self.symbols:
            self._decorate(self.symbols[sign])
        elif sign not in _SYMBOLS and sign not in "()!":
            self.notes.add("characters that are not ABC are ignored", line, sign)
        return position + 1

    # Notes

    def _note(self, voice: Voice, match: re.Match, line: int, position: int):
        letter, octave = match[3].upper(), _octave(match)
        if match[2]:
            self.notes.add("quarter tones are rounded", line, match[0])
        accidental = 0 if match[2] else _SIGNS[match[1]]
        if voice.overlay:
            voice.scale(self._length(match[5]) * voice.unit)
            return
        pitch = voice.pitch_of(letter, octave, accidental)
        length = voice.scale(self._length(match[5]) * voice.unit)
        self._place(voice, length)
        voice.add(pitch, length, line, ((letter, octave, pitch),))

    def _rest(self, voice: Voice, match: re.Match, line: int):
        if match[1] in "ZX":
            count = match[2].partition("/")[0][:6]
            self._place(voice, Fraction(0))
            voice.rest_bars(int(count or 1), line)
            return
        length = voice.scale(self._length(match[2]) * voice.unit)
        self._place(voice, length)
        voice.add(None, length, line)

    def _chord(self, voice: Voice, text: str, position: int, line: int) -> int:
        """Reads notes in brackets, of which the highest one counts. Their length is that of the first one."""
        start = position
        position += 1
        found: list[tuple[str, int, int]] = []
        length = None
        tied = False
        while position < len(text) and text[position] != "]":
            if match := _NOTE.match(text, position):
                letter, octave = match[3].upper(), _octave(match)
                accidental = 0 if match[2] else _SIGNS[match[1]]
                if not voice.overlay:
                    found.append((letter, octave, voice.pitch_of(letter, octave, accidental)))
                length = length or self._length(match[5])
            elif (match := _REST.match(text, position)) and match[1] in "zx":
                length = length or self._length(match[2])
            elif match := _CHORD_PARTS.match(text, position):
                tied = tied or bool(match["tie"])
                if match["text"]:
                    self._text(voice, match["text"][1:-1], line)
            else:
                break
            position = match.end()
        if not text.startswith("]", position):
            self.notes.add("characters that are not ABC are ignored", line, "[")
            return start + 1
        match = _LENGTH.match(text, position + 1)
        end = match.end() if match else position + 1
        if length is None:
            return end
        length = voice.scale(length * self._length(match[0] if match else "") * voice.unit)
        self._place(voice, length)
        highest = max((pitch for _, _, pitch in found), default=None)
        voice.add(highest, length, line, tuple(found))
        if tied:
            voice.tie_last()
        return end

    def _length(self, text: str) -> Fraction:
        """The value of a length such as `2`, `3/2`, `/` or `//`."""
        match = _LENGTH.match(text)
        if match is None or not text:
            return Fraction(1)
        if len(text) > 12:
            raise VoiceError(f"{text[:20]}... is too long for the length of a note")
        value = Fraction(int(match[1] or 1))
        for slash in re.findall(r"/\d*", match[2]):
            divisor = int(slash[1:] or 2)
            if not divisor:
                raise VoiceError(f"the length {text} divides by 0")
            value /= divisor
        return value

    def _tuplet(self, voice: Voice, match: re.Match, line: int):
        count = int(match[1])
        if not count:
            return
        default = _DEFAULT_TUPLETS.get(count)
        if default is None:
            signature = voice.meter.signature
            default = 3 if signature is not None and signature.numerator % 3 == 0 and signature.numerator > 3 else 2
        instead = int(match[2]) if match[2] else default
        members = int(match[3]) if match[3] else count
        if not instead or not members or count == 1:
            return
        if len(voice.tuplets) >= 3:
            self.notes.fail(line, "more than three tuplets are nested.")
        voice.tuplets.append([Fraction(instead, count), members])

    # Texts and signs

    def _text(self, voice: Voice, text: str, line: int):
        """Reads a text in quotes: a chord, or an annotation such as `^Fine`."""
        plain = text.strip()
        if plain[:1] in ("^", "_", "<", ">", "@"):
            self._sign(re.sub(r"^(@[\d.,+\s-]*|[\^_<>])", "", plain).strip())
            return
        if self._sign(plain):
            return
        labels = read_chords(plain, voice.current.chords or (voice.bars[-1].chords if voice.bars else ()))
        if not labels:
            if plain:
                self.notes.add(
                    "texts that are not chords are ignored, and the chord before them continues", line, plain
                )
            return
        if self.chords_only:
            self.waiting += labels
            return
        voice.add_chord(labels[0])
        self.waiting = labels

    def _sign(self, text: str) -> bool:
        """Notes a jump or a sign that is written as text. Returns whether it is one."""
        if match := _JUMP.fullmatch(text):
            self.pending.append(jump_name(match[1], match[3]))
            return True
        name = _SIGN_NAMES.get(re.sub(r"[\s.]", "", text).lower())
        if name is None:
            return False
        self.pending.append(name)
        return True

    def _decorate(self, name: str):
        plain = re.sub(r"[\s.]", "", name).lower()
        if match := _JUMP.fullmatch(name.strip()):
            self.pending.append(jump_name(match[1], match[3]))
        elif plain in _SIGN_NAMES:
            self.pending.append(_SIGN_NAMES[plain])

    def _place(self, voice: Voice, length: Fraction):
        """Sets the signs before a note, and the chords that divide it."""
        bar = voice.current
        for sign in self.pending:
            if sign == "coda" and bar.length:
                bar.coda_inside = True
            elif sign in ("segno", "coda", "to_coda", "fine"):
                setattr(bar, sign, True)
            else:
                bar.jump = sign
        self.pending = []
        for number, label in enumerate(self.waiting[1:], 1):
            if length:
                voice.add_chord(label, length * number / len(self.waiting))
        self.waiting = []

    def _bar_line(self, voice: Voice, sign: str, text: str, position: int) -> int:
        """Reads a bar line with the number of an ending, and returns the position after it."""
        if self.chords_only and self.waiting and not voice.current.length:
            for number, label in enumerate(self.waiting):
                voice.add_chord(label, voice.meter.length * number / len(self.waiting))
            voice.add(None, voice.meter.length, 0)
        at_end = [name for name in self.pending if name not in ("segno", "coda")]
        at_start = [name for name in self.pending if name in ("segno", "coda")]
        voice.end_bar(sign)
        last = voice.bars[-1] if voice.bars else None
        for name in at_end:
            if last is not None and name in ("to_coda", "fine"):
                setattr(last, name, True)
            elif last is not None:
                last.jump = name
        for name in at_start:
            setattr(voice.current, name, True)
        self.pending, self.waiting = [], []
        if match := _ENDING.match(text, position):
            numbers = parse_ending_numbers(match[1] or match[2] or "")
            if numbers:
                voice.begin_ending(numbers)
            return match.end()
        return position


def finish_signs(reader: MusicReader, voice: Voice):
    """Sets signs that follow the last bar line."""
    if voice.bars:
        for name in reader.pending:
            if name in ("to_coda", "fine"):
                setattr(voice.bars[-1], name, True)
            elif name not in ("segno", "coda"):
                voice.bars[-1].jump = name
    reader.pending = []


def read_chords(text: str, before=()) -> list[str]:
    r"""
    Reads a chord symbol.

    - `G(Em)` and `G (Em)`: the chord in parentheses is an alternative and is left out, unless it stands alone.
    - `G D7`: several chords.
    - `/F#`: the chord before with this bass.
    - `am`, `D/f+`: lower-case roots of minor chords and basses, and `+` for a sharp bass.

    Args:
        text (`str`): the text.
        before: chords before this one.

    Returns:
        `list[str]`: labels that [`~controls.chord_syntax.parse_chord`] reads, `"N"` for no chord; empty if the text is
            not a chord.
    """
    if is_no_chord(text):
        return [NO_CHORD]
    if not text or len(text) > 4 * MAX_LENGTH:
        return []
    if label := _to_label(text, before):
        return [label]
    if match := re.fullmatch(r"\(([^()]*)\)", text):
        return read_chords(match[1].strip(), before)
    if text.count("(") != text.count(")"):
        return read_chords(text.strip("() "), before) if text.strip("() ") != text else []
    main = re.split(r"\s*[(;]|\n", text)[0].strip()
    if main != text and main:
        return read_chords(main, before)
    words = [word for word in text.split() if not re.fullmatch(r"[a-g][#b]?", word)]
    labels = [_to_label(word, before) for word in words]
    return [label for label in labels if label] if len(words) > 0 and all(labels) else []


def _to_label(text: str, before=()) -> str:
    if text.startswith("/") and before:
        text = before[-1].label.partition("/")[0] + text
    text = re.sub(r"(?<=[A-Ga-g#b])(/dim|d)$", "dim", text)
    candidates = [text]
    if match := _BASS.search(text):
        accidental = {"+": "#", "-": "b"}.get(match[2], match[2])
        candidates.append(f"{text[: match.start()]}/{match[1].upper()}{accidental}")
    for candidate in candidates:
        if parse_chord(candidate) is not None:
            return candidate
        if re.match(r"[a-g][#b]?(m|7|dim)", candidate):
            upper = candidate[0].upper() + candidate[1:]
            if parse_chord(upper) is not None:
                return upper
    return ""


def _octave(match: re.Match) -> int:
    if len(match[4]) > 10:
        raise VoiceError(f"{match[0][:20]} has too many octave marks")
    return int(match[3].islower()) + match[4].count("'") - match[4].count(",")


def align_lyrics(voice: Voice, text: str):
    r"""
    Aligns a verse with the notes since the last one: `-` separates syllables, `_` holds the last one, `*` skips a note
    and `|` goes to the next bar.

    Args:
        voice ([`Voice`]): the voice.
        text (`str`): the value of `w:`. Further verses find no notes and are ignored.
    """
    syllables = _split_syllables(text)
    needed = sum(1 for syllable in syllables if syllable != "|")
    first = voice.verse_line if needed <= len(voice.verse) - voice.verse_line else 0
    targets = voice.verse[first:]
    index = 0
    for syllable in syllables:
        if syllable == "|":
            bar = targets[index - 1][0] if index else targets[0][0] if targets else 0
            while index < len(targets) and targets[index][0] <= bar:
                index += 1
            continue
        if index >= len(targets):
            break
        if syllable not in ("*", "_"):
            targets[index][1].lyric = syllable
        index += 1
    voice.verse = []


def _split_syllables(text: str) -> list[str]:
    text = re.sub(r"\\-", "\u2011", text)
    tokens = re.findall(r"\||\*|_|[^\s\-_*|]+|-", re.sub(r"--+", lambda match: "-" + " -" * (len(match[0]) - 1), text))
    result: list[str] = []
    joins = False  # whether the last token is a syllable, which a hyphen continues
    for token in tokens:
        if token == "-":
            if joins:
                result[-1] += "-"
            else:
                result.append("_")
            joins = False
        else:
            is_syllable = token not in ("|", "*", "_")
            result.append(decode_text(token.replace("~", " ")).replace("\u2011", "-") if is_syllable else token)
            joins = is_syllable
    return result


def is_text_line(text: str) -> bool:
    """Whether a line in the body of a tune is plain text instead of music."""
    if "|" in text or FIELD.match(text):
        return False
    plain = re.sub(r'"[^"]*"|![^!]*!|\+\w+\+', "", text)
    return len(re.findall(r"[hijklmnopqrstw]", plain)) > 2
