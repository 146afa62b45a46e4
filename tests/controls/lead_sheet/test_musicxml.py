import copy
import io
import random
import re
import zipfile
from dataclasses import replace
from fractions import Fraction as F
from pathlib import Path
from xml.etree import ElementTree

import pytest

from diffusers_jasco.controls.chord_syntax import parse_chord
from diffusers_jasco.controls.lead_sheet import (
    Bar,
    ChordMark,
    Hit,
    LeadSheet,
    Note,
    Section,
    TempoMark,
    TimeSignature,
    musicxml,
    read_lead_sheet,
)
from diffusers_jasco.controls.lead_sheet.musicxml.file import is_musicxml
from diffusers_jasco.controls.lead_sheet.musicxml.reader import parse_musicxml, read_musicxml
from diffusers_jasco.controls.lead_sheet.musicxml.writer import to_musicxml
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


def test_unreadable_chord_symbols_are_reported_with_their_bar(caplog):
    sheet = read(harmony("C") + note("C5", 8), "<harmony><kind>major</kind></harmony>" + note("C5", 8))
    assert sheet.chords == (("C", 0),)
    assert "the chord before them continues: bar 2 (it has no root)" in caplog.text


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


def test_measure_repeats_and_rhythmic_slashes():
    percent = '<attributes><measure-style><measure-repeat type="{}">1</measure-repeat></measure-style></attributes>'
    slash = '<attributes><measure-style><slash type="{}"/></measure-style></attributes>'
    rest = '<note><rest measure="yes"/><duration>8</duration></note>'
    sheet = read(
        harmony("C") + note("C5", 4) + harmony("F") + note("D5", 4),
        percent.format("start") + rest,
        percent.format("stop") + slash.format("start") + harmony("G") + note("B4", 8),
        slash.format("stop") + note("E5", 8),
    )
    assert sheet.chords == (("C", 0), ("F", 2), ("C", 4), ("F", 6), ("G", 8))
    assert [pitch for pitch, _, _ in sheet.melody] == [72, 74, 72, 74, 76]


def test_drum_part():
    names = (
        '<score-part id="P1"><part-name>Drumset</part-name><score-instrument id="I1"><instrument-name>Drum 38'
        '</instrument-name></score-instrument><score-instrument id="I2"><instrument-name>Closed Hi-Hat</instrument-name>'
        '</score-instrument><midi-instrument id="I1"><midi-unpitched>39</midi-unpitched></midi-instrument></score-part>'
    )
    hit = (
        "<note><unpitched><display-step>C</display-step><display-octave>5</display-octave></unpitched>"
        '<duration>4</duration><instrument id="{}"/></note>'
    )
    sheet = read(hit.format("I1") + hit.format("I2"), part_list=names)
    assert sheet.hits == (("snare", 0, 1.0), ("hat", 2, 1.0))
    assert sheet.melody == ()


def two_parts():
    names = '<score-part id="P1"><part-name>Piano</part-name></score-part>'
    names += '<score-part id="P2"><part-name>Voice</part-name></score-part>'
    lyric = "<lyric><text>la</text></lyric>"
    text = score(harmony("C") + note("C6", 8), part_list=names)
    second = f'<part id="P2"><measure><attributes><divisions>1</divisions></attributes>{note("C4", 4, lyric)}</measure></part>'
    return text.replace("</score-partwise>", second + "</score-partwise>")


def test_choice_of_a_part():
    sheet = parse_musicxml(two_parts())
    assert sheet.melody == ((60, 0, 4),) and sheet.chords == (("C", 0),)  # the voice, with the chords of the piano
    for part in ("Piano", "piano", "P1", 1, "1"):
        assert parse_musicxml(two_parts(), part=part).melody == ((84, 0, 4),)
    with pytest.raises(InputError, match="no part 'Flute'; it has 1 'Piano', 2 'Voice'"):
        parse_musicxml(two_parts(), part="Flute")


# 4. Form


def test_tempo_marks():
    metronome = (
        "<direction><direction-type><metronome><beat-unit>quarter</beat-unit><beat-unit-dot/><per-minute>80</per-minute>"
        "</metronome></direction-type></direction>"
    )
    words = "<direction><direction-type><words>Slower (♩. = 60)</words></direction-type></direction>"
    sheet = read(metronome + note("C5", 4) + '<sound tempo="150"/>' + note("C5", 4), words + note("C5", 8))
    assert (sheet.tempo, sheet.beat_unit) == (80, F(3, 2))
    assert sheet.bars[0].tempos == (TempoMark(150, F(1), F(2)),)
    assert sheet.bars[1].tempos == (TempoMark(60, F(3, 2)),)


def test_time_signature_of_another_part():
    text = two_parts().replace(
        '<part id="P2"><measure><attributes>', '<part id="P2"><measure><attributes>' + FOUR_FOUR
    )
    text = text.replace("<beats>4</beats><beat-type>4</beat-type>", "<beats>12</beats><beat-type>8</beat-type>", 1)
    assert parse_musicxml(text).time_signature == TimeSignature(4, 4)


def test_no_chord_in_words():
    words = "<direction><direction-type><words>N.C.</words></direction-type></direction>"
    assert read(harmony("C") + note("C5", 4) + words + note("C5", 4)).chords == (("C", 0), ("N", 2))


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


def test_repeat_that_is_also_played_after_a_jump():
    repeat = '<barline location="right"><repeat direction="backward" after-jump="yes"/></barline>'
    sheet = read(note("C4", 8), note("D4", 8) + repeat, note("E4", 8))
    assert [pitch for pitch, *_ in sheet.expand().melody] == [60, 62, 60, 62, 64]


def test_detection_of_texts():
    root = "<score-partwise>"
    comment = "<!-- a --> <!---->\n"
    assert is_musicxml(root) and is_musicxml(f'\n<?xml version="1.0"?>\n{comment}<!DOCTYPE score-timewise>{root}')
    assert not is_musicxml(comment) and not is_musicxml(f"{comment}<mei>") and not is_musicxml("X:1")
    for text in ("<!---->", "<!--", "<!DOCTYPE ", "<?xml ?>", " "):
        assert not is_musicxml(500 * text + "x")  # takes years with backtracking


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


def test_score_in_time_order():
    text = "<score-timewise><part-list/>"
    for number, pitch in enumerate(("C5", "D5"), 1):
        bars = "".join(f'<part id="{part}">{note(pitch, 4)}</part>' for part in ("P1", "P2"))
        text += f'<measure number="{number}">{bars}</measure>'
    assert parse_musicxml(text + "</score-timewise>").melody == ((72, 0, 4), (74, 4, 8))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1"])
def test_encodings(tmp_path, encoding):
    declared = "utf-16" if encoding == "utf-8" else encoding.removesuffix("-sig")  # Sibelius files that were converted
    text = score(note("C5", 8), head="<movement-title>Für Åse</movement-title>")
    path = tmp_path / "song.xml"
    path.write_bytes(f'<?xml version="1.0" encoding="{declared}"?>\n{text}'.encode(encoding))
    assert read_musicxml(path).title == "Für Åse"


def test_archive_that_expands_enormously(tmp_path, monkeypatch):
    monkeypatch.setattr(musicxml.file, "_MAX_BYTES", 2**20)
    path = tmp_path / "bomb.mxl"
    path.write_bytes(archive({"song.xml": b" " * (2**20 + 1)}))
    assert path.stat().st_size < 10_000
    with pytest.raises(InputError, match="larger than 1 MiB"):
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


# 6. Writing


def bar(*notes, length=4, **fields):
    return Bar(F(length), notes=tuple(notes), **fields)


def make_sheet():
    verse = (
        bar(Note(60, F(3, 4), F(1, 4), lyric="A"), length=1, tempos=()),
        bar(
            Note(62, F(0), F(2, 3), lyric="riv-"),
            Note(64, F(2, 3), F(1, 3), lyric="er"),
            Note(65, F(1), F(5, 2)),
            Note(66, F(7, 2), F(1, 2), tied=True),
            chords=(ChordMark("Dm7"), ChordMark("G7b9/F", F(5, 2))),
            repeat_start=True,
            segno=True,
        ),
        bar(Note(66, F(0), F(4)), chords=(ChordMark("F#m7b5", F(1, 3)), ChordMark("N", F(7, 2))), endings=(1, 2),
            repeat_end=3),
        bar(endings=(3,), ending_stop=True, to_coda=True, tempos=(TempoMark(66.5, F(3, 2), F(2)),)),
        bar(length=3, time_signature=TimeSignature(6, 8), key="E minor", jump="D.S. al Coda"),
    )  # fmt: skip
    coda = (
        bar(Note(63, F(0), F(1, 5)), Note(75, F(1, 5), F(4, 5)), length=3, coda=True,
            hits=(Hit("kick", F(0)), Hit("hat", F(0), 0.5), Hit("open hat", F(4, 3), 0.25))),
        bar(length=3, chords=(ChordMark("Em(maj7)"), ChordMark("C:(b2,5,b7)", F(1))), fine=True),
    )  # fmt: skip
    return LeadSheet(
        (Section("Verse <1> & more", verse), Section("Coda", coda)),
        title="Río & <Co>",
        composer="Nobody",
        tempo=97.3,
        beat_unit=F(1, 2),
        key="Bb major",
        swing=True,
    )


def test_round_trip(tmp_path):
    sheet = make_sheet()
    for suffix in (".musicxml", ".mxl"):
        sheet.save(tmp_path / f"sheet{suffix}")
        again = read_lead_sheet(tmp_path / f"sheet{suffix}")
        for name in ("title", "composer", "tempo", "beat_unit", "time_signature", "key", "swing"):
            assert getattr(again, name) == getattr(sheet, name), name
        assert [section.name for section in again.sections] == ["Verse <1> & more", "Coda"]
        assert again.melody == sheet.melody
        assert again.hits == sheet.hits
        assert again.lyrics == sheet.lyrics
        assert [start for _, start in again.chords] == [start for _, start in sheet.chords]
        assert [parse_chord(label) for label, _ in again.chords] == [parse_chord(label) for label, _ in sheet.chords]
        assert [replace(one, chords=(), notes=(), hits=()) for one in again.bars] == [
            replace(one, chords=(), notes=(), hits=()) for one in sheet.bars
        ]


def test_written_note_values_and_spelling():
    notes = (Note(61, F(0), F(1, 3)), Note(63, F(1, 3), F(2, 3)), Note(61, F(1), F(5, 2)))
    root = ElementTree.fromstring(to_musicxml(LeadSheet((Section("", (bar(*notes),)),), key="Db major")).encode())
    written = [
        (
            element.findtext("pitch/step"),
            element.findtext("pitch/alter"),
            element.findtext("type"),
            element.findtext("time-modification/actual-notes"),
            [tie.get("type") for tie in element.findall("tie")],
        )
        for element in root.iter("note")
    ]
    assert written == [
        ("D", "-1", "eighth", "3", []),
        ("E", "-1", "quarter", "3", []),
        ("D", "-1", "half", None, ["start"]),
        ("D", "-1", "eighth", None, ["stop"]),
        (None, None, "eighth", None, []),
    ]


def test_repeated_sections_are_written_with_repeat_signs():
    chorus = Section("Chorus", (bar(Note(60, F(0), F(4))), bar(Note(62, F(0), F(4)))), repeats=3)
    again = parse_musicxml(to_musicxml(LeadSheet((chorus, Section("Outro", (bar(Note(64, F(0), F(4))),))))))
    assert again.bars[0].repeat_start and again.bars[1].repeat_end == 3
    assert again.duration == LeadSheet((chorus, Section("Outro", (bar(Note(64, F(0), F(4))),)))).duration


# 7. Hostile input


def test_damaged_files_raise_only_input_errors():
    generator = random.Random(0)
    source = (FIXTURES / "musescore.musicxml").read_text()
    read = 0
    for number in range(150):
        try:
            sheet = parse_musicxml((damage if number % 3 else damage_text)(source, generator))
            sheet.to_controls()
            assert parse_musicxml(to_musicxml(sheet)).melody == sheet.melody
            read += 1
        except InputError:
            pass
    assert read > 50


VALUES = ("", "-1", "0", "1", "3", "0.0001", "7.5", "1e9", "999999999", "9" * 400, "³", "1/0", "x", "none", "start", "stop",
          "forward", "backward", "yes", "no", "P9", "1-99", "D.S. al Coda", "Fine", "Swing", "quarter", "breve", "slash")  # fmt: skip
TAGS = ("note", "rest", "chord", "grace", "backup", "forward", "harmony", "root", "kind", "measure", "part", "attributes",
        "time", "key", "senza-misura", "transpose", "measure-style", "measure-repeat", "barline", "direction", "sound",
        "duration", "divisions", "unpitched", "tie", "lyric", "degree", "inversion", "offset", "numeral")  # fmt: skip


def damage(text, generator):
    """Changes texts, attributes and tags of a score, and deletes, copies and moves elements."""
    root = ElementTree.fromstring(text)
    for _ in range(generator.randint(1, 12)):
        parents = [element for element in root.iter() if len(element)]
        parent = generator.choice(parents)
        index = generator.randrange(len(parent))
        element = parent[index]
        kind = generator.randrange(7)
        if kind == 0:
            element.text = generator.choice(VALUES)
        elif kind == 1 and element.attrib:
            element.set(generator.choice(list(element.attrib)), generator.choice(VALUES))
        elif kind == 2:
            element.tag = generator.choice(TAGS)
        elif kind == 3 and len(parents) > 1 and element is not root:
            parent.remove(element)
        elif kind == 4:
            parent.insert(generator.randrange(len(parent) + 1), copy.deepcopy(element))
        elif kind == 5:
            target = copy.deepcopy(element)
            generator.choice(parents).append(target)
        else:
            child = ElementTree.SubElement(element, generator.choice(TAGS))
            child.text = generator.choice(VALUES)
        if sum(1 for _ in root.iter()) > 5000:
            break
    return ElementTree.tostring(root, encoding="unicode")


def damage_text(text, generator):
    """Deletes or inserts characters and lines."""
    for _ in range(generator.randint(1, 4)):
        position = generator.randrange(len(text))
        if generator.random() < 0.5:
            end = text.find("\n", position) + 1 or len(text)
            text = text[:position] + text[end:]
        else:
            values = [*"<>&\"'\x00\udcff½", "&amp;", "&nbsp;", "<![CDATA[", "<!--", "<?x?>", "</note>"]
            text = text[:position] + generator.choice(values) + text[position:]
        text = text or "<"
    return text
