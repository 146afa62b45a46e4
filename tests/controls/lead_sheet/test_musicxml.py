import io
import re
import zipfile
from fractions import Fraction as F
from pathlib import Path

import pytest

from diffusers_jasco.controls.lead_sheet import TimeSignature
from diffusers_jasco.controls.lead_sheet.musicxml_reader import parse_musicxml, read_musicxml
from diffusers_jasco.utils.errors import InputError


FIXTURES = Path(__file__).parents[2] / "fixtures" / "lead_sheets"
FOUR_FOUR = "<time><beats>4</beats><beat-type>4</beat-type></time>"


def note(pitch, duration, extra="", chord=False, voice=1):
    step, alter, octave = re.fullmatch(r"([A-G])([#b]?)(\d)", pitch).groups()
    alter = {"": "", "#": "<alter>1</alter>", "b": "<alter>-1</alter>"}[alter]
    pitch = f"<pitch><step>{step}</step>{alter}<octave>{octave}</octave></pitch>"
    return f"<note>{'<chord/>' * chord}{pitch}<duration>{duration}</duration><voice>{voice}</voice>{extra}</note>"


def harmony(root, kind="major", text=None, extra=""):
    alter = {"": "", "#": "<root-alter>1</root-alter>", "b": "<root-alter>-1</root-alter>"}[root[1:]]
    text = "" if text is None else f' text="{text}"'
    return f"<harmony><root><root-step>{root[0]}</root-step>{alter}</root><kind{text}>{kind}</kind>{extra}</harmony>"


def score(*measures, attributes=FOUR_FOUR, divisions=2, head="", part_list=""):
    first = f"<attributes><divisions>{divisions}</divisions>{attributes}</attributes>"
    bars = "".join(
        f'<measure number="{number}">{first if number == 1 else ""}{content}</measure>'
        for number, content in enumerate(measures, 1)
    )
    names = part_list or '<score-part id="P1"><part-name>Lead</part-name></score-part>'
    part = f'<part id="P1">{bars}</part>' if bars else ""
    return f"<score-partwise>{head}<part-list>{names}</part-list>{part}</score-partwise>"


def read(*measures, **options):
    return parse_musicxml(score(*measures, **options))


# 1. A file as MuseScore writes it


def test_sheet_of_a_transposing_part():
    sheet = read_musicxml(FIXTURES / "musescore.musicxml")
    assert (sheet.title, sheet.composer) == ("Two Lamps", "Jo Example")
    assert (sheet.tempo, sheet.beat_unit, sheet.key, sheet.swing) == (70, 2, "F major", True)
    assert [bar.length for bar in sheet.bars] == [1, 4, 4, 4]
    assert [(section.name, len(section.bars)) for section in sheet.sections] == [("", 1), ("A", 3)]
    # Written for tenor saxophone, which sounds a ninth lower.
    assert sheet.chords == (("Gm7", 1), ("C7b9/E", F(3)), ("FMaj7", 5), ("N", 9))
    assert sheet.melody == (
        (60, 0, 1), (62, 1, F(5, 3)), (60, F(5, 3), 2), (58, 2, 7)
    )  # fmt: skip
    assert sheet.lyrics == "Two\nwindows"
    assert sheet.bars[1].repeat_start and sheet.bars[2].repeat_end == 2
    assert [bar.endings for bar in sheet.bars] == [(), (), (1,), (2,)]
    assert sheet.bars[3].jump == "D.S. al Coda"


# 2. Chords


@pytest.mark.parametrize(
    ("element", "label"),
    [
        (harmony("C"), "C"),
        (harmony("Bb", "minor-seventh"), "Bbm7"),
        (harmony("F#", "half-diminished", "ø"), "F#ø"),
        (harmony("C", "dominant", "7"), "C7"),
        (harmony("C", "minor", "m7"), "Cm7"),  # the nearest kind, and the chord as text
        (harmony("C", "augmented-ninth", "9+"), "C9+"),
        (harmony("C", "minor", "sus4"), "Cm"),  # a text that contradicts the kind
        (harmony("C", "other", "7alt"), "C7alt"),
        (harmony("C", "none"), "N"),
        (harmony("C", "dominant", extra="<bass><bass-step>B</bass-step><bass-alter>-1</bass-alter></bass>"), "C7/Bb"),
        (harmony("C", "major", extra="<inversion>1</inversion>"), "C/E"),
        (harmony("C", "suspended-fourth", "7sus", "<degree><degree-value>7</degree-value><degree-alter>0</degree-alter>"
                 "<degree-type>add</degree-type></degree>"), "C7sus4"),
        (harmony("C", "dominant", "7", "<degree><degree-value>5</degree-value><degree-alter>1</degree-alter>"
                 "<degree-type>alter</degree-type></degree>"), "Caug7"),
        (harmony("C", "dominant-13th", None, "<degree><degree-value>9</degree-value><degree-alter>-1</degree-alter>"
                 "<degree-type>add</degree-type></degree>"), "C13b9"),
    ],
)  # fmt: skip
def test_chord(element, label):
    sheet = read(element + note("C5", 8))
    assert sheet.chords == ((label, 0),)


def test_chords_above_one_note_are_spread_over_it(caplog):
    three = harmony("C") + harmony("F") + harmony("G") + note("C5", 8)
    two = harmony("C") + harmony("F") + note("C5", 4) + harmony("G") + note("C5", 4)
    sheet = read(three, two)
    assert [(label, float(start)) for label, start in sheet.chords] == [
        ("C", 0), ("F", 2), ("G", 3), ("C", 4), ("F", 5), ("G", 6)
    ]  # fmt: skip


def test_offset_of_a_chord():
    sheet = read(harmony("C") + harmony("G", extra="<offset>5</offset>") + note("C5", 8))
    assert sheet.chords == (("C", 0), ("G", F(5, 2)))


# 3. Notes


def test_voices_chords_and_backup():
    top = note("C5", 4) + note("E5", 4) + note("G4", 4, chord=True)
    low = note("C4", 8, voice=2)
    sheet = read(top + "<backup><duration>8</duration></backup>" + low)
    assert sheet.melody == ((72, 0, 2), (76, 2, 4))


def test_tuplets_with_rounded_durations():
    triplet = (
        "<type>eighth</type><time-modification><actual-notes>3</actual-notes><normal-notes>2</normal-notes>"
        "</time-modification>"
    )
    bar = "".join(note("C5", duration, triplet) for duration in (3, 3, 2)) + note("D5", 24)
    sheet = read(bar, divisions=8)
    assert [start for _, start, _ in sheet.melody] == [0, F(1, 3), F(2, 3), 1]
    assert sheet.length == 4


def test_octave_clef_does_not_transpose():
    clef = "<clef><sign>G</sign><line>2</line><clef-octave-change>-1</clef-octave-change></clef>"
    assert read(note("G3", 8), attributes=FOUR_FOUR + clef).melody == ((55, 0, 4),)


def test_slashes_cues_and_grace_notes_are_not_melody():
    slash = note("B4", 2, "<notehead>slash</notehead>")
    cue = "<note><cue/><pitch><step>C</step><octave>6</octave></pitch><duration>2</duration></note>"
    grace = "<note><grace/><pitch><step>C</step><octave>6</octave></pitch></note>"
    assert read(slash + cue + grace + note("C5", 4)).melody == ((72, 2, 4),)


# 4. Form


def test_jump_in_words_only():
    def words(text):
        return f"<direction><direction-type><words>{text}</words></direction-type></direction>"

    sign = "<direction><direction-type>{}</direction-type></direction>"
    sheet = read(
        note("C5", 8),
        sign.format("<segno/>") + note("D5", 8),
        note("E5", 8) + sign.format("<words>To </words></direction-type><direction-type><coda/>"),
        note("F5", 8) + words("D.S. al Coda"),
        sign.format("<coda/>") + note("G5", 8),
    )
    assert [pitch for pitch, _, _ in sheet.expand().melody] == [72, 74, 76, 77, 74, 76, 79]


def test_repeat_three_times():
    sheet = read(note("C5", 8) + '<barline location="right"><repeat direction="backward" times="3"/></barline>')
    assert sheet.bars[0].repeat_end == 3
    assert sheet.expand().length == 12


def test_time_signatures():
    change = "<attributes><time><beats>3+2</beats><beat-type>8</beat-type></time></attributes>"
    sheet = read(note("C5", 8), change + note("C5", 5))
    assert sheet.bars[1].time_signature == TimeSignature(5, 8)
    assert sheet.bars[1].length == F(5, 2)


# 5. Files


def archive(files):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return data.getvalue()


def container(path):
    return f'<container><rootfiles><rootfile full-path="{path}"/></rootfiles></container>'


def test_compressed_file(tmp_path):
    path = tmp_path / "song.mxl"
    files = {"other.xml": score(note("C4", 8)), "scores/song.xml": score(note("C5", 8))}
    path.write_bytes(archive({"META-INF/container.xml": container("scores/song.xml"), **files}))
    assert read_musicxml(path).melody == ((72, 0, 4),)
    path.write_bytes(archive({"song.musicxml": score(note("C5", 8))}))
    assert read_musicxml(path).melody == ((72, 0, 4),)
    path.write_bytes(archive({"META-INF/container.xml": container("../../etc/passwd")}))
    with pytest.raises(InputError, match="no MusicXML file"):
        read_musicxml(path)


def test_archive_that_expands_enormously(tmp_path):
    path = tmp_path / "bomb.mxl"
    path.write_bytes(archive({"song.xml": b" " * (65 * 2**20)}))
    assert path.stat().st_size < 100_000
    with pytest.raises(InputError, match="64 MiB"):
        read_musicxml(path)


def test_entities_are_refused():
    bomb = '<!DOCTYPE score-partwise [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
    with pytest.raises(InputError, match="line 1.*entities"):
        parse_musicxml(bomb + score(note("C5", 8)))
    external = '<!DOCTYPE score-partwise [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    with pytest.raises(InputError, match="entities"):
        parse_musicxml(external + score(note("C5", 8)))


def test_depth_is_limited():
    with pytest.raises(InputError, match="64 levels"):
        parse_musicxml("<score-partwise>" + "<a>" * 100_000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<score-partwise><part></score-partwise>", "line 1, column 25"),
        ("<html></html>", "not a MusicXML score.*web page"),
        ("<museScore/>", "export it as MusicXML"),
        ("<score-partwise/>", "no <part>"),
        (score("<note><rest/><duration>8</duration></note>"), "no notes and no chord symbols"),
        (score(note("C5", 99999)), "bar 1 lasts"),
    ],
)
def test_errors_describe_the_problem(text, message):
    with pytest.raises(InputError, match=message):
        parse_musicxml(text)


def test_missing_file():
    with pytest.raises(FileNotFoundError):
        read_musicxml("missing.musicxml")
