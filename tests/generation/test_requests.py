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


import gzip
import json
from dataclasses import asdict
from fractions import Fraction

import pytest
import torch

from diffusers_jasco.controls.drum_machine import GROOVES
from diffusers_jasco.controls.lead_sheet import Bar, ChordMark, LeadSheet, Section, read_lead_sheet
from diffusers_jasco.generation.batches import GenerationRequest
from diffusers_jasco.generation.requests import InvalidLine, read_requests
from diffusers_jasco.inputs import is_beats, read_beats


def read(tmp_path, *lines, **arguments):
    path = tmp_path / "songs.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return read_requests(path, **arguments)


def test_all_fields_of_a_line(tmp_path):
    (tmp_path / "beat.wav").touch()
    (tmp_path / "lead.mid").touch()
    line = {
        "name": "verse",
        "prompt": "pop",
        "chords": [["C", 0], ["Am", 2.5]],
        "drums": "beat.wav",
        "melody": "lead.mid",
        "separate_drums": True,
        "duration": 5,
        "seed": 7,
        "guidance_scale": 2.5,
    }
    (request,) = read(tmp_path, line)
    assert request == GenerationRequest(
        "verse",
        "pop",
        {"chords": [("C", 0), ("Am", 2.5)], "drums": str(tmp_path / "beat.wav"), "melody": str(tmp_path / "lead.mid")},
        True,
        5,
        7,
        {"guidance_scale": 2.5},
    )


def test_a_track_of_a_midi_file_beside_the_manifest(tmp_path):
    (tmp_path / "lead.mid").touch()
    line = {"melody": "lead.mid#vocals", "chords": "lead.mid#2", "drums": "absent.mid#1"}
    (request,) = read(tmp_path, line)
    path = str(tmp_path / "lead.mid")
    assert request.controls == {"melody": f"{path}#vocals", "chords": f"{path}#2", "drums": "absent.mid#1"}


def test_normalize_drums(tmp_path):
    lines = [{"prompt": "a", "normalize_drums": value} for value in (True, False, None)]
    defaults = GenerationRequest("", normalize_drums=False)
    assert [request.normalize_drums for request in read(tmp_path, *lines)] == [True, False, None]
    assert [request.normalize_drums for request in read(tmp_path, *lines, defaults=defaults)] == [True, False, False]
    assert "normalize_drums" not in GenerationRequest("a").describe(), "clips of earlier versions count as done"


def test_grooves(tmp_path):
    (tmp_path / "disco").touch()
    named, file = read(tmp_path, {"groove": "Waltz"}, {"drums": "disco"})
    assert named.groove == named.describe()["groove"] == "Waltz" and not named.controls
    assert file.controls == {"drums": str(tmp_path / "disco")} and "groove" not in file.describe()


@pytest.mark.parametrize("field", ["groove", "drums"])
def test_files_of_grooves(field, tmp_path):
    LeadSheet((Section("A", (Bar(Fraction(4), (ChordMark("C"),)),)),), tempo=60).save(tmp_path / "song.json")
    file = tmp_path / "loop.groove.json"
    file.write_text(json.dumps(asdict(GROOVES["disco"])))
    (tmp_path / "other.json").write_text("[]")
    lines = [
        {field: "loop.groove.json", "chords": "C | F"},
        {field: "loop.groove.json", "prompt": "pop", "suggest": True},
        {field: "loop.groove.json", "lead_sheet": "song.json"},
        {field: "loop.groove.json", {"groove": "drums", "drums": "groove"}[field]: "house"},
        {field: "none.groove.json"},
        {field: "other.json"},
    ]
    plain, suggestion, sheet, both, absent, other = read(tmp_path, *lines, controls=("chords", "drums"))
    assert plain.groove == plain.describe()["groove"] == str(file) and plain.controls == {"chords": "C | F"}
    assert plain.inputs["drums"] == suggestion.inputs["drums"] == GROOVES["disco"]
    assert suggestion.suggestion.tempo == GROOVES["disco"].bpm
    assert sheet.groove is None
    expected = read_lead_sheet(tmp_path / "song.json").with_groove("disco").to_controls()["drums"]
    assert torch.equal(sheet.controls["drums"][0], expected[0]), "at the tempo of the sheet"
    assert "either `drums` or `groove`" in both.error
    assert absent.error == "`groove`: the file 'none.groove.json' does not exist."
    assert "`groove`: " in other.error and "other.json is not a groove" in other.error


def test_lead_sheets(tmp_path):
    bars = (Bar(Fraction(4), (ChordMark("C"), ChordMark("G", Fraction(2)))),)
    LeadSheet((Section("A", bars, prompt="soft"), Section("B", bars, prompt="loud")), prompt="rock").save(
        tmp_path / "song.json"
    )
    lines = [
        {"lead_sheet": "song.json"},
        {"lead_sheet": "song.json", "prompt": "pop", "transpose": 2, "bpm": 60, "groove": "waltz", "seed": 1},
        {"lead_sheet": "song.json", "chords": [["F", 0]], "duration": 2.5},
        {"lead_sheet": "none.json"},
        {"transpose": 2},
    ]
    plain, changed, own, absent, alone = read(tmp_path, *lines)
    assert plain.prompt == [("rock, soft", 0.0), ("rock, loud", 2.0)] and plain.duration == 4.0
    assert plain.controls == {"chords": [("C", 0.0), ("G", 1.0), ("C", 2.0), ("G", 3.0)]}
    assert changed.prompt[1] == ("pop, loud", 4.0) and changed.controls["chords"][1] == ("A", 2.0)
    assert "drums" in changed.controls and changed.groove is None and changed.bpm is None
    json.dumps(changed.describe())
    assert own.controls == {"chords": [("F", 0)]} and own.duration == 2.5
    assert "none.json" in absent.error and "`transpose` requires `lead_sheet`" in alone.error
    (with_beats,) = read(tmp_path, lines[0], controls=("chords", "beats"))
    assert with_beats.controls["beats"][1] == [0.0, 2.0]


def test_lead_sheets_as_text_and_their_options(tmp_path):
    tunes = "X:1\nT:One\nL:1/4\nK:C\nV:1\nC4|\nV:2\nE4|\n\nX:2\nT:Two\nL:1/4\nK:C\nG4|\n"
    (tmp_path / "tunes.abc").write_text(tunes)
    link = "irealbook://Song=Ann=Medium Swing=C=n=T44C   |G   Z "
    lines = [
        {"lead_sheet": "tunes.abc", "part": 2, "tune": "One"},
        {"lead_sheet": tunes, "tune": 2},
        {"lead_sheet": "[Verse] C | G", "prompt": "pop"},
        {"lead_sheet": link},
        {"part": 1},
        {"lead_sheet": "C | G", "tune": 2},
        {"lead_sheet": "tunes.abc", "tune": 1.5},
    ]
    voice, tune, chart, ireal, alone, no_tunes, number = read(tmp_path, *lines)
    assert voice.controls["melody"][0][0] == 64 and tune.controls["melody"][0][0] == 67
    assert chart.controls["chords"] == ireal.controls["chords"][:1] + chart.controls["chords"][1:]
    assert "`part` requires `lead_sheet`" in alone.error and "`tune` is for ABC" in no_tunes.error
    assert "a string or a whole number" in number.error


def test_endings_of_lead_sheets(tmp_path, caplog):
    text = "Tempo: 120\nEnding: {}\nC | G"
    lines = [
        {"lead_sheet": text.format("fade")},
        {"lead_sheet": text.format("fade"), "duration": 3},
        {"lead_sheet": text.format("cut")},
    ]
    fading, shorter, plain = read(tmp_path, *lines)
    assert fading.fade_seconds == fading.describe()["fade_seconds"] == 2.0
    assert shorter.fade_seconds == plain.fade_seconds == 0 and "fade_seconds" not in plain.describe()
    assert not caplog.records
    loops = read(tmp_path, *({"lead_sheet": text.format(ending), "loop": True} for ending in ("ring", "fade")))
    assert [(loop.duration, loop.fade_seconds) for loop in loops] == [(4.0, 0.0)] * 2
    assert [record.message.split()[2] for record in caplog.records] == ["'ring'", "'fade'"]


def test_tempo_and_beats(tmp_path):
    lines = [{"bpm": 96, "beats_per_bar": 3}, {"bpm": False}, {"beats": [0, 0.5]}, {"beats": [[0, 0.5, 1], [0.5, 1]]}]
    first, second, third, fourth = read(tmp_path, *lines)
    assert (first.bpm, first.beats_per_bar, second.bpm, third.bpm) == (96, 3, False, None)
    assert is_beats(third.controls["beats"]) and third.controls["beats"] == [0, 0.5]
    assert is_beats(fourth.controls["beats"]) and read_beats(fourth.controls["beats"]) == ([0, 0.5, 1], [0.5, 1])
    (empty,) = read(tmp_path, {"beats": [], "chords": [], "melody": []})
    assert empty.controls == {"beats": []}
    assert not {"bpm", "beats_per_bar"} & GenerationRequest("a").describe().keys(), (
        "clips of earlier versions are done"
    )


def test_defaults_of_lines(tmp_path):
    defaults = GenerationRequest("", duration=3.0, settings={"num_inference_steps": 4})
    lines = [{"prompt": "a"}, "", {"chords": "C:0 G:1", "num_inference_steps": 9}]
    first, second = read(tmp_path, *lines, defaults=defaults)
    assert (first.name, second.name) == ("00001", "00003") and first.duration == 3.0
    assert first.settings == {"num_inference_steps": 4} and second.settings == {"num_inference_steps": 9}
    assert second.controls == {"chords": "C:0 G:1"} and second.prompt is None
    # Seeds depend on the name, not on the other lines.
    assert first.seed != second.seed and read(tmp_path, {"prompt": "b"})[0].seed == first.seed
    assert read(tmp_path, {"prompt": "b"}, seed=1)[0].seed != first.seed


@pytest.mark.parametrize(
    "line, message",
    [
        ({"promt": "x"}, "unknown fields: promt"),
        ("no json", "Expecting value"),
        ("[1]", "has to be a JSON object"),
        ({"name": "a/b"}, "a file name without slashes"),
        ({"name": ".hidden"}, "does not start with a dot"),
        ({"name": 3}, "`name` has to be a string, but is 3"),
        ({"chords": 5}, "`chords` has to be a string or a list"),
        ({"duration": "5"}, "`duration` has to be a number"),
        ({"seed": True}, "`seed` has to be a whole number"),
        ({"bpm": "96"}, '`bpm` has to be a number or false, but is "96".'),
        ({"bpm": True}, "`bpm` has to be a number or false, but is true."),
        ({"seed": 2**64}, "`seed` has to be a whole number from"),
        ({"path": 3}, "`path` has to be a string"),
        ({"name": "first"}, "line 1 has the same name"),
        ({"drums": "waltz"}, "`drums`: the file 'waltz' does not exist; for the preset of this name, use `groove`."),
        ({"groove": "walz"}, "`groove`: unknown groove 'walz'. Did you mean 'waltz'?"),
        ({"groove": "waltz", "drums": "beat.wav"}, "either `drums` or `groove`"),
    ],
)
def test_invalid_lines_do_not_affect_others(tmp_path, line, message):
    first, invalid, last = read(tmp_path, {"name": "first"}, line, {"name": "last"})
    assert (first.name, last.name) == ("first", "last")
    assert isinstance(invalid, InvalidLine) and invalid.line == 2 and message in invalid.error


def test_captions_and_controls_of_a_dataset(tmp_path):
    folder = tmp_path / "train"
    folder.mkdir()
    (tmp_path / "drums.flac").touch()
    line = {
        "file_name": "../000.flac",
        "captions": ["first", "second"],
        "chords": [["C", 0.0]],
        "melody": [[60, 0.0, 1.0]],
        "stems": {"drums": "../drums.flac"},
        "beats": [0.1, 0.7, 1.3, 1.9],
        "downbeats": [0.1, 1.3],
        "duration": 30.0,
    }
    (folder / "metadata.jsonl").write_text(json.dumps(line))
    (request,) = read_requests(folder)
    assert (
        request.prompt == "first"
        and request.controls["chords"] == [("C", 0.0)]
        and request.controls["melody"] == [(60, 0.0, 1.0)]
    )
    assert (
        request.controls["drums"].endswith("drums.flac")
        and request.duration is None
        and request.name.startswith("000-")
        and "beats" not in request.controls
    )
    (request,) = read_requests(folder, controls=("chords", "beats"))
    assert request.controls.keys() == {"chords", "beats"} and is_beats(request.controls["beats"])
    assert read_beats(request.controls["beats"]) == (line["beats"], line["downbeats"])


def test_drums_of_a_dataset_without_other_stems(tmp_path):
    (tmp_path / "drums.flac").touch()
    (request,) = read(tmp_path, {"file_name": "000.flac", "drums": "drums.flac"})
    assert request.controls == {"drums": str(tmp_path / "drums.flac")}


def test_captions_of_audiocraft_manifests(tmp_path):
    (tmp_path / "song.json").write_text(json.dumps({"description": "a slow waltz", "title": "Waltz"}))
    (tmp_path / "song.mp3").touch()
    lines = [{"path": "song.mp3", "duration": 200.0, "sample_rate": 44100}, {"path": "other.mp3", "duration": 9.0}]
    with gzip.open(tmp_path / "data.jsonl.gz", "wt") as file:
        file.write("\n".join(map(json.dumps, lines)))
    song, other = read_requests(tmp_path / "data.jsonl.gz")
    assert song.prompt == "a slow waltz" and song.name.startswith("song-") and song.duration is None
    assert other.prompt is None and other.name != song.name


def test_missing_manifests(tmp_path):
    with pytest.raises(FileNotFoundError, match="no manifest"):
        read_requests(tmp_path / "songs.jsonl")
    with pytest.raises(FileNotFoundError, match="no manifest"):
        read_requests(tmp_path)


def test_timelines_loops_and_windows(tmp_path):
    lines = [{"prompt": [["calm", 0], ["loud", 8.5]], "window_overlap": 1}, {"prompt": "pop", "loop": True}]
    timeline, loop = read(tmp_path, *lines)
    assert timeline.prompt == [("calm", 0.0), ("loud", 8.5)] and timeline.window_overlap == 1
    assert loop.loop and "loop" not in timeline.describe() and "window_overlap" not in loop.describe()


def test_recordings(tmp_path):
    (tmp_path / "song.wav").touch()
    lines = [
        {"audio": "song.wav", "regions": [[1, 2.5], [4, 5]]},
        {"audio": "song.wav", "audio_start_seconds": 2, "duration": 20},
        {"audio": "song.wav", "strength": 0.5},
        {"audio": "song.wav", "source_prompt": "pop", "source_chords": "C:0", "chords": [], "source_drums": "extract"},
        {"audio": "song.wav", "source_drums": "song.wav", "source_melody": [["C4", 0, 1]], "strength": 0.7},
    ]
    edit, longer, varied, described, files = read(tmp_path, *lines, defaults=GenerationRequest("", duration=5.0))
    assert edit.audio == longer.audio == varied.audio == str(tmp_path / "song.wav")
    assert edit.regions == [(1.0, 2.5), (4.0, 5.0)] and edit.duration is None and edit.keeps_samples
    assert (longer.audio_start_seconds, longer.duration, longer.regions) == (2, 20, []) and longer.keeps_samples
    assert varied.strength == 0.5 and not varied.keeps_samples
    assert (described.source_prompt, described.source_chords, described.source_drums) == ("pop", "C:0", "extract")
    assert described.controls == {"chords": []} and described.strength is None and described.duration is None
    assert files.source_drums == str(tmp_path / "song.wav") and files.source_melody == [("C4", 0, 1)]
    assert not described.keeps_samples and files.strength == 0.7
    assert not {"audio", "regions", "audio_start_seconds", "strength"} & GenerationRequest("a").describe().keys()


@pytest.mark.parametrize(
    "line, message",
    [
        ({"prompt": []}, "`prompt` has to be a string or"),
        ({"prompt": ["a", "b"]}, "`prompt` has to be a string or"),
        ({"prompt": [["a", 1]]}, "begin at 0 seconds"),
        ({"prompt": [["a", 0], ["b", 0]]}, "increasing starts"),
        ({"loop": 1}, "`loop` has to be true or false"),
        ({"audio": "absent.wav", "strength": 0.5}, "`audio`: the file 'absent.wav' does not exist"),
        ({"audio": "song.wav"}, "`audio` requires `regions`"),
        ({"audio": "song.wav", "regions": [1, 2]}, "list of pairs"),
        ({"audio": "song.wav", "regions": "1-2"}, "`regions` has to be a list"),
        ({"audio": "song.wav", "regions": [[1, 2]], "strength": 0.5}, "`regions` can't be used with `strength`"),
        (
            {"audio": "song.wav", "regions": [[1, 2]], "source_chords": "C"},
            "`regions` can't be used with `source_chords`",
        ),
        ({"audio": "song.wav", "source_prompt": ["a"]}, "`source_prompt` has to be a string or"),
        ({"source_chords": "C"}, "`source_chords` requires `audio`"),
        ({"audio": "song.wav", "duration": 9, "loop": True}, "`loop` can't be used with `audio`"),
        ({"regions": [[1, 2]]}, "`regions` requires `audio`"),
        ({"strength": 0.5}, "`strength` requires `audio`"),
    ],
)
def test_invalid_timelines_and_recordings(tmp_path, line, message):
    (tmp_path / "song.wav").touch()
    (entry,) = read(tmp_path, line)
    assert isinstance(entry, InvalidLine) and message in entry.error
