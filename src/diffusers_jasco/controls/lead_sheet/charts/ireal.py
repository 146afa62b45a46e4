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

"""Reads iReal Pro's links and exported pages: `irealb://` and `irealbook://`."""

import html
import re
from typing import NamedTuple
from urllib.parse import unquote

from diffusers.utils import logging

from ....utils.errors import InputError
from ...drum_machine import find_groove
from ..bars import TimeSignature
from ..sheet import LeadSheet
from ..tunes import choose_tune
from .ireal_music import read_music
from .key_names import read_key


logger = logging.get_logger(__name__)

_LINK = re.compile(r"irealb(?:ook)?://", re.IGNORECASE)
_QUOTED = re.compile(r"([\"'])\s*(irealb(?:ook)?://.*?)\1", re.IGNORECASE | re.DOTALL)
_PREFIX = "1r34LbKcu7"
_MAX_TUNES = 20_000
_PAGE = re.compile(r"(?i)\(?page (\d)\)?$")
_KEY = re.compile(r"[A-G][b#]?-?")
_STRAIGHT = re.compile(r"(?i)even|straight|latin|bossa|samba|rock|pop|funk|rnb|r&b|soul|disco|house|reggae|"
                       r"country|bluegrass|tango|bolero|cha cha|montuno|afro|calypso|virtual|smooth|"
                       r"16ths|12/8")  # fmt: skip
_SWING = re.compile(r"(?i)swing|shuffle|bebop|bop|jazz|blue note|doo doo|gypsy|new orleans|second line|"
                    r"dixie|guitar trio|^blues$|(slow|medium|fast|jump) blues")  # fmt: skip
# Words of styles, the groove of the drum machine, and the tempo in beats per minute if the tune has none.
_STYLES = (
    ("bossa", "bossa nova", 130), ("samba", None, 200), ("jazz waltz|waltz", "waltz", 140),
    ("shuffle", "shuffle", 120),
    ("up tempo swing|up tempo|fast swing|bebop", "swing", 240), ("medium up", "swing", 170),
    ("slow swing", "swing", 90),
    ("medium swing|swing", "swing", 130), ("slow blues", "swing", 80), ("blues", "swing", 120),
    ("rock ballad|slow rock|pop ballad", "rock backbeat", 75), ("ballad", None, 65), ("slow", None, 75),
    ("disco", "disco", 116), ("house", "house", 122), ("reggae", "reggae one drop", 76), ("funk", "funk", 100),
    ("rnb|r&b|soul", "funk", 90), ("rock|pop", "rock backbeat", 115), ("even 16ths", None, 90),
    ("even 8ths", None, 140),
    ("latin|afro|calypso|montuno|cha cha", None, 170), ("country|bluegrass|folk", None, 120),
)  # fmt: skip


class _Tune(NamedTuple):
    title: str
    composer: str
    style: str
    key: str
    transposition: str
    music: str
    groove: str
    bpm: str


def is_ireal(text: str) -> bool:
    """Whether a text contains a link of iReal Pro."""
    return _LINK.search(text) is not None


def read_ireal(text: str, name: str = "the text", tune: str | int | None = None) -> LeadSheet:
    r"""
    Reads a tune from a link of iReal Pro or a page that the app exported.

    - Sections, repeats, endings, segno, coda, Fine, D.C. and D.S. are kept. Alternative chords in parentheses and
      comments are ignored.
    - The cells of a bar place its chords on beats, as the app plays them.
    - The sheet is one chorus. Its style sets the prompt, the feel, the groove, and the tempo if the tune has none.

    Args:
        text (`str`): the link, or the content of the page.
        name (`str`): the source, for error messages.
        tune (`int` or `str`, *optional*): the number (from 1) or the title of the tune in a playlist. By default the
            first one, with a warning if there are others.

    Returns:
        [`LeadSheet`]

    Raises:
        [`InputError`]: if the tune does not exist, or its chords can't be read; the message contains the bar.
    """
    tunes = _split_tunes(text, name)
    chosen = tunes[choose_tune([(found.title,) for found in tunes], tune, name)]
    sections, signature, problems = read_music(chosen.music, f"{name}: {chosen.title!r}")
    if problems:
        logger.warning(f"{name}: {chosen.title!r}: {' '.join(problems)}")
    style = chosen.style
    words = f"{chosen.groove.partition('-')[2] or chosen.groove} {style}".strip()
    groove, default_tempo = _find_style(words, signature)
    bpm = re.match(r"\s*(\d{2,3})\b", chosen.bpm) or re.match(r"\s*(\d{2,3})\s?bpm", style, re.IGNORECASE)
    tempo = float(bpm[1]) if bpm and 20 <= int(bpm[1]) <= 400 else float(default_tempo)
    sheet = LeadSheet(
        sections,
        title=chosen.title,
        composer=chosen.composer,
        tempo=tempo,
        # Tempos are in quarter notes, except in compound time.
        beat_unit=signature.beat if signature.is_compound else TimeSignature(4, 4).beat,
        time_signature=signature,
        key=read_key(chosen.key) or "",
        prompt=_prompt(style, chosen.groove),
        groove=groove,
        swing=_swings(chosen.groove, style) and not signature.is_compound,
    )
    return sheet.transpose(_transposition(chosen.transposition))


def list_tunes(text: str, name: str = "the text") -> list[str]:
    """The titles of the tunes of a link or a page."""
    return [tune.title for tune in _split_tunes(text, name)]


# Links


def _split_tunes(text: str, name: str) -> list[_Tune]:
    """The tunes of all links. Those that can't be split into fields are skipped if there are others."""
    links = _find_links(text)
    tunes: list[_Tune] = []
    for link in links:
        scheme, _, body = link.partition("://")
        body = unquote(body)
        if scheme.lower() == "irealbook" and _PREFIX not in body:
            tunes.extend(_split_old(body))
        else:
            tunes.extend(tune for part in body.split("===") if (tune := _split_fields(part)))
        if len(tunes) > _MAX_TUNES:
            raise InputError(f"`source`: {name} has more than {_MAX_TUNES:,} tunes.", "source")
    tunes = _join_pages(tunes)
    if not tunes:
        raise InputError(
            f"`source`: {name} has no iReal Pro tune. A link has the form"
            " 'irealb://Title=Composer==Style=Key==1r34LbKcu7...' or"
            " 'irealbook://Title=Composer=Style=Key=n=T44C |G |'; copy it from the app (Share, HTML) as a whole.",
            "source",
        )
    return tunes


def _find_links(text: str) -> list[str]:
    stripped = text.strip()
    if _LINK.match(stripped):
        return [line.strip() for line in re.split(r"(?<![\r\n])[\r\n]+(?=irealb)", stripped)]
    quoted = [html.unescape(match[2]) for match in _QUOTED.finditer(text)]
    if quoted:
        return quoted
    return [html.unescape(match[0]) for match in re.finditer(r"(?i)irealb(?:ook)?://[^\s\"<>]+", text)]


def _split_fields(text: str) -> _Tune | None:
    """The fields of a tune in the current format."""
    fields = text.replace("\n", "").replace("\r", "").split("=")
    index = next((index for index, field in enumerate(fields) if field.startswith(_PREFIX)), None)
    if index is None or index < 2:
        return None
    before, after = fields[:index], [*fields[index + 1 :], "", "", ""]
    key_index = next(
        (position for position in range(index - 1, 1, -1) if _KEY.fullmatch(before[position].strip())), None
    )
    style = before[key_index - 1] if key_index else before[3] if len(before) > 3 else ""
    transposition = before[-1] if key_index is not None and key_index < index - 1 else ""
    music = _unscramble(fields[index][len(_PREFIX) :])
    return _Tune(
        _title(before[0]),
        _composer(before[1]),
        style.strip(),
        before[key_index].strip() if key_index else "",
        transposition.strip(),
        music,
        after[0].strip(),
        after[1].strip(),
    )


def _split_old(text: str) -> list[_Tune]:
    """The tunes of an `irealbook://` link: six fields each."""
    tunes = []
    for part in text.split("==="):
        fields = part.split("=")
        while len(fields) >= 6:
            title, composer, style, key, _, music, *fields = fields
            tunes.append(_Tune(_title(title), _composer(composer), style.strip(), key.strip(), "", music, "", ""))
    return tunes


def _join_pages(tunes: list[_Tune]) -> list[_Tune]:
    """Joins tunes that are called `Title (Page 1)`, `Title (Page 2)`."""
    joined: list[_Tune] = []
    last = ("", 0)  # title and page
    for tune in tunes:
        match = _PAGE.search(tune.title)
        title = tune.title[: match.start()].rstrip(" \t,-") if match else ""
        page = int(match[1]) if match and title else 0
        if page and last == (title, page - 1):
            joined[-1] = joined[-1]._replace(music=joined[-1].music + " " + tune.music)
        else:
            joined.append(tune._replace(title=title) if page == 1 else tune)
        last = (title, page)
    return joined


def _unscramble(text: str) -> str:
    """Restores the order of the characters within blocks of 50, and the abbreviations of cells."""
    blocks = []
    position = 0
    while len(text) - position > 51:
        block = list(text[position : position + 50])
        position += 50
        for index in (*range(5), *range(10, 24)):
            block[index], block[49 - index] = block[49 - index], block[index]
        blocks.append("".join(block))
    return "".join([*blocks, text[position:]]).replace("Kcl", "| x").replace("LZ", " |").replace("XyQ", "   ")


def _title(text: str) -> str:
    return re.sub(r"^(.*), (A|An|The)$", r"\2 \1", text.strip())


def _composer(text: str) -> str:
    """Composers with two names are written with the family name first."""
    names = text.split()
    return " ".join(reversed(names)) if len(names) == 2 else " ".join(names)


# Styles


def _find_style(words: str, signature: TimeSignature) -> tuple[str | None, int]:
    """The groove of the drum machine and the usual tempo of a style."""
    for pattern, groove, tempo in _STYLES:
        if re.search(rf"(?i)\b({pattern})", words):
            if signature == TimeSignature(3, 4):
                groove = "waltz"
            return (groove if groove is not None and _fits(groove, signature) else None), tempo
    return ("waltz" if signature == TimeSignature(3, 4) else None), 120


def _fits(groove: str, signature: TimeSignature) -> bool:
    return signature.denominator == 4 and find_groove(groove).beats_per_bar == signature.numerator


def _swings(groove: str, style: str) -> bool:
    for text in (groove.partition("-")[2] or groove, style):
        if _STRAIGHT.search(text) and not re.search(r"(?i)swing|shuffle", text):
            return False
        if _SWING.search(text):
            return True
        if text.strip().lower() in ("ballad", "waltz"):
            return True
    return False


def _prompt(style: str, groove: str) -> str:
    """The words of a style: `"medium swing jazz"`, `"slow bossa nova"`."""
    style = re.sub(r"(?i)(?<!\s)\s*\b\d{2,3}\s?bpm\b\s*", " ", style).strip().lower()
    is_jazz = groove.startswith("Jazz") or (not groove and re.search(r"swing|waltz|^ballad$|even 8ths", style))
    if not is_jazz or re.search(r"jazz|blues|bossa|latin|samba", style):
        return style
    return f"jazz {style}" if style in ("ballad", "waltz") else f"{style} jazz"


def _transposition(text: str) -> int:
    number = re.fullmatch(r"-?\d{1,2}", text)
    return int(text) if number and -11 <= int(text) <= 11 else 0
