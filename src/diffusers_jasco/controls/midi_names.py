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

"""Classifies names of MIDI tracks (melody, bass, chords or drums) in many languages."""

import re
import unicodedata


# Words in names of melody tracks, most reliable first.
_MELODY_WORDS = (
    # Words for the melody or the singer.
    "melody melodies melodia melodía melodie mélodie melodi melodie melodija melodija melodia melodika dallam melodiya"
    " мелодия мелодія μελωδία vocal vocals vokal vokale vocale vocali vocaux vox voxs singer singing sänger sängerin"
    " sanger gesang gesangsstimme singstimme canto cantante cantor cantora chant chanteur chanteuse voz voces voix"
    " voce voci sang sång laulu zang zangstem stem śpiew spiew zpěv ének şan vokál вокал голос пение спів ledvox"
    " leadvox leadvocal leadvocals leadvoice mainvocal mainmelody melo mel メロディ メロディー メロ 主旋律 旋律 歌 歌唱 人声 人聲 唱"
    " ボーカル ヴォーカル うた 멜로디 주선율 보컬 노래 가창",
    # Words that may also refer to an instrument or one of several voices.
    "lead leads tune theme thema tema thème solo soloist solist voice voice1 voices stimme stimmen lied song sologtr"
    " hauptstimme oberstimme soprano sopran sopraan cantus discant superius mezzo リード ソロ 独奏 独唱 主唱 领唱",
)
_MELODY_PARTS = (
    "メロディ",
    "主旋律",
    "旋律",
    "ボーカル",
    "ヴォーカル",
    "멜로디",
    "주선율",
    "보컬",
    "人声",
    "人聲",
    "歌",
    "мелоди",
    "вокал",
)
# Words that mark an accompanying voice even if a melody word is present.
_SECONDARY = frozenset(
    "backing back backup background bkg bkgd bg bgv bgvs bgvox bvox bv bvs harmony harmonies harmonie harm harmo"
    " armonia counter countermelody countermel pad pads choir choeur chor coro coros kor ahh ahhs aah aahs aahh ooh"
    " oohs oo chord chords akkord accords bass basso baixo bajo basse drum drums rhythm rhythmus effect fx echo delay"
    " 2nd second seconda zweite alto alt tenor ténor tenore bariton baritone comp accompaniment begleitung accomp"
    " hintergrund fondo choeurs"
    " コーラス ハモリ 和声 和聲 伴唱 코러스 бэк подпевка".split()
)
_BASS = frozenset(
    "bass basse basso bajo baixo bas bassi kontrabass contrabass contrabaixo contrabajo contrebasse ebass ベース 贝斯 貝斯"
    " 低音 베이스 бас басс".split()
)
_CHORDS = frozenset(
    "chord chords akkord akkorde akkorden accord accords accordi acorde acordes akordy akkordok harmony comping comp"
    " コード 和弦 和音 화음 코드 аккорд аккорды".split()
)
_DRUMS = frozenset(
    "drum drums drumkit drumset kit percussion perc percs percusion percusión percussao percussão percussioni beat"
    " beats schlagzeug schlagwerk trommel trommeln drumz batterie battery batteria bateria batería trap groove"
    " slagverk slagtøj"
    " trummor ドラム ドラムス パーカッション 鼓 架子鼓 爵士鼓 打击乐 打擊樂 드럼 퍼커션 타악기 барабан барабаны ударные".split()
)
_DRUM_PARTS = ("ドラム", "드럼", "鼓", "ударн", "барабан")

_ENCODINGS = ("cp932", "gbk", "big5", "euc_kr", "cp1251")


def decode_name(data: bytes) -> str:
    r"""
    Decodes text of a MIDI file, whose encoding is not specified. The encoding is UTF-8 if possible, or else the first
    one in which the text contains a known word for a melody or drums, or else the more probable one of Shift-JIS and
    Latin-1.

    Args:
        data (`bytes`): the encoded text.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _clean(data[:200].decode("utf-16", "replace"))
    data = data[:200].strip(b"\0 \t\r\n")
    try:
        return _clean(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        pass
    latin = _clean(data.decode("latin-1"))
    if melody_rank(latin) is None and not is_drum_name(latin):
        for encoding in _ENCODINGS:
            try:
                text = _clean(data.decode(encoding))
            except UnicodeDecodeError:
                continue
            if melody_rank(text) is not None or is_drum_name(text):
                return text
    # Most characters of Shift-JIS start with bytes that are not printable in Latin-1.
    if any(0x81 <= byte <= 0x9F for byte in data):
        try:
            return _clean(data.decode("cp932"))
        except UnicodeDecodeError:
            pass
    return latin


def melody_rank(name: str) -> int | None:
    r"""
    Ranks track names by how likely they refer to the melody: 0 (`"MELODY"`, `"Lead vocals"`, `"Gesang"`), 1 (`"Solo"`,
    `"Voice 1"`), larger for higher numbers (`"Melody 2"`), `None` for other names (`"Backing vocals"`, `"Bass"`).

    Args:
        name (`str`): name of the track.
    """
    words = _split_words(name)
    if not words or any(word in _SECONDARY for word in words):
        return None
    for rank, candidates in enumerate(_MELODY):
        if any(word in candidates for word in words):
            break
    else:
        if not any(part in name.casefold() for part in _MELODY_PARTS):
            return None
        rank = 0
    number = next((int(word) for word in words if word.isdecimal()), 1)
    return rank + 2 * (min(number, 9) - 1 if number > 1 else 0)


def is_bass_name(name: str) -> bool:
    return any(word in _BASS for word in _split_words(name))


def is_chords_name(name: str) -> bool:
    """Whether a track with this name contains the chords."""
    return any(word in _CHORDS for word in _split_words(name))


def is_drum_name(name: str) -> bool:
    return any(word in _DRUMS for word in _split_words(name)) or any(part in name.casefold() for part in _DRUM_PARTS)


def _split_words(name: str) -> list[str]:
    """Splits a name into lower-case words and numbers: `"LeadVocal_2"` becomes lead, vocal and 2."""
    name = re.sub(r"(?<=[a-zà-ÿ])(?=[A-ZÀ-Þ])", " ", unicodedata.normalize("NFKC", name))
    return re.findall(r"[^\W\d_]+|\d+", name.casefold())


def _clean(text: str) -> str:
    """Replaces control characters, which would corrupt terminal output, by spaces."""
    return "".join(character if character.isprintable() else " " for character in text).strip()[:100]


_MELODY = tuple(frozenset(unicodedata.normalize("NFKC", words).casefold().split()) for words in _MELODY_WORDS)
