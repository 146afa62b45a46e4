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


"""Tests of the actions behind the page."""

import numpy as np
import pytest
import soundfile

from diffusers_jasco.controls.drum_machine import GROOVES

from ..conftest import load_pipeline
from .conftest import BACKBEAT, C_AM_F_G, MELODY


pytest.importorskip("gradio")

import actions  # noqa: E402
from engine import Engine  # noqa: E402
from settings import FieldError, Settings  # noqa: E402


def test_another_duration_keeps_chords_and_notes():
    """A shorter duration keeps chords and notes beyond its end; a longer one adds room."""
    chords, melody = actions.fit_length(C_AM_F_G, MELODY, 120.0, 4, 4.0)
    assert (chords, melody["notes"]) == (C_AM_F_G, MELODY["notes"])
    chords, melody = actions.fit_length(C_AM_F_G, MELODY, 120.0, 4, 20.0)
    assert (chords["bars"], chords["chords"], melody["beats"]) == (10, C_AM_F_G["chords"], 40.0)
    chords, _ = actions.fit_length(C_AM_F_G, MELODY, 120.0, 3, 10.0)
    assert [chord["beat"] for chord in chords["chords"]] == [0, 3, 6, 9, 12] and chords["bars"] == 7


def test_the_longest_timeline_fits_any_time_signature():
    chords = {"beats_per_bar": 2, "bars": 60, "chords": [{"label": "C", "beat": 2.0 * bar} for bar in range(60)]}
    fitted, _ = actions.fit_length(chords, MELODY, 240.0, 7, 180.0)
    assert fitted["beats_per_bar"] == 7 and 720 <= fitted["bars"] * 7 <= actions.MAX_BEATS


@pytest.mark.parametrize("name", [name for name in GROOVES if actions.is_playable(name)])
def test_a_preset_groove_sounds_the_same_as_a_pattern(name):
    pattern = Settings(drums="pattern", pattern=actions.load_groove(name), tempo=100.0)
    groove = GROOVES[name]
    expected = sorted(
        (drum, start * groove.bpm / 100, velocity) for drum, start, velocity in groove.hits(100 / groove.bpm)
    )
    found = sorted(pattern.groove().hits(1.0))
    assert [hit[0] for hit in found] == [hit[0] for hit in expected]
    assert np.allclose([hit[1:] for hit in found], [hit[1:] for hit in expected])


def test_empty_controls_have_no_preview():
    empty = Settings()
    for function, value, field in (
        (actions.preview_chords, empty.chords, "chords"),
        (actions.preview_drums, empty.pattern, "drums"),
        (actions.preview_melody, empty.melody, "melody"),
    ):
        with pytest.raises(FieldError, match="yet") as error:
            function(value, 120.0, 4.0)
        assert error.value.field == field


def test_previews_are_audible():
    for function, value in (
        (actions.preview_chords, C_AM_F_G),
        (actions.preview_drums, BACKBEAT),
        (actions.preview_melody, MELODY),
    ):
        audio, rate = soundfile.read(function(value, 120.0, 4.0))
        assert len(audio) == 4 * rate and 0.1 < np.abs(audio).max() <= 1


def test_dropped_input_is_reported_with_the_take():
    chords = {**C_AM_F_G, "chords": [{"label": "Csus4", "beat": 0.0}, {"label": "G", "beat": 18.0}]}
    settings = Settings(chords=chords, melody=MELODY, duration=2.0, steps=1)
    (take,), remarks = actions.make_takes(settings, None, actions.TOKENS.issue("me"))
    assert any("Csus4 → C" in remark for remark in remarks) and any(
        "start after the end" in remark for remark in remarks
    )
    assert list(take.scores) == ["chords", "melody"] and take.settings.duration == 2.0


def test_seeds_count_up_and_around():
    from settings import MAX_SEED

    settings = Settings(duration=1.0, steps=1, seed=MAX_SEED, variations=2)
    takes, _ = actions.make_takes(settings, None, actions.TOKENS.issue("me"))
    assert [take.settings.seed for take in takes] == [MAX_SEED, 0]


def test_deleted_takes_are_reported(tmp_path):
    from takes import Take

    with pytest.raises(FieldError, match="kept for 60 minutes"):
        actions.find_take([Take(Settings(), tmp_path, {})], 0)


def test_errors_of_the_pipeline_find_their_field(monkeypatch, tmp_path):
    """API clients can request a control that the checkpoint does not have."""
    load_pipeline("chords-drums").save_pretrained(tmp_path)
    monkeypatch.setattr(actions, "ENGINE", Engine(str(tmp_path)))
    settings = Settings(melody=MELODY, duration=1.0, steps=1)
    with pytest.raises(FieldError, match="“melody” was given, but this checkpoint has no melody control") as error:
        actions.make_takes(settings, None, actions.TOKENS.issue("me"))
    assert error.value.field == "melody"


def test_a_recording_is_decoded_once_for_all_takes(monkeypatch, tmp_path):
    recording = tmp_path / "drums.wav"
    soundfile.write(recording, GROOVES["disco"].render(2.0, 44100)[0].numpy(), 44100)
    opened = []

    class Counted(soundfile.SoundFile):
        def __init__(self, file, mode="r", *arguments, **options):
            opened.append((str(file), mode))
            super().__init__(file, mode, *arguments, **options)

    monkeypatch.setattr(soundfile, "SoundFile", Counted)
    settings = Settings(drums="recording", duration=1.0, steps=1, variations=3)
    takes, _ = actions.make_takes(settings, str(recording), actions.TOKENS.issue("me"))
    # Once for the header, once for the samples.
    assert opened.count((str(recording), "r")) == 2
    # Each take is decoded once for scoring.
    for take in takes:
        modes = [mode for file, mode in opened if file.endswith(f"{take.folder.name}/{take.wav.name}")]
        assert modes == ["r", "r"]
        assert list(take.scores) == ["drums"]


def test_a_pattern_follows_the_time_signature():
    """Each bar is cut or extended; a pattern of partial bars is kept."""
    backbeat = actions.load_groove("rock backbeat")
    waltz = actions.fit_beats_per_bar(backbeat, 4, 3)
    assert waltz["steps"] == 12 and waltz["tracks"]["kick"] == backbeat["tracks"]["kick"][:12]
    longer = actions.fit_beats_per_bar(backbeat, 4, 5)["tracks"]["snare"]
    assert longer == backbeat["tracks"]["snare"] + backbeat["tracks"]["snare"][:4]
    two_bars = {**BACKBEAT, "steps": 32, "tracks": {drum: steps * 2 for drum, steps in BACKBEAT["tracks"].items()}}
    assert actions.fit_beats_per_bar(two_bars, 4, 3)["tracks"]["hat"] == BACKBEAT["tracks"]["hat"][:12] * 2
    assert actions.fit_beats_per_bar(waltz, 4, 5) == waltz and actions.fit_beats_per_bar(backbeat, 4, 4) == backbeat


def test_unknown_words_of_a_prompt():
    said = actions.describe_unknown_words("slow klezmer, drumz and piano")
    assert said == ["Not known to this model: klezmer, drumz. Similar words that it knows: drum, drums, drumless."]
    assert actions.describe_unknown_words("80s pop, synth bass, drums") == []
    # While typing, the last word may be the beginning of a known one.
    assert actions.describe_unknown_words("synth bas", is_typed=True) == []
    assert actions.describe_unknown_words("synth bas, ", is_typed=True)
    assert actions.describe_unknown_words("synth bas")
    assert "klezmer" in actions.describe_unknown_words("klezmer", is_typed=True)[0]


def test_warnings_of_a_run_are_remarks(tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(32000), 32000)
    chords = {**C_AM_F_G, "chords": [{"label": "Csus4", "beat": 0.0}]}
    settings = Settings("klezmer", chords=chords, drums="recording", duration=1.0, steps=1, variations=2)
    _, remarks = actions.make_takes(settings, str(tmp_path / "silence.wav"), actions.TOKENS.issue("me"))
    assert remarks[0].startswith("2 takes in")
    for words in ("Not known to this model: klezmer", "“drums” is silent", "Csus4 → C"):
        assert sum(words in remark for remark in remarks) == 1, remarks
    assert "known_words" not in "".join(remarks)


def test_quiet_drums_cause_no_warning(tmp_path):
    soundfile.write(tmp_path / "quiet.wav", 0.003 * GROOVES["disco"].render(2.0, 32000)[0].numpy(), 32000, "FLOAT")
    settings = Settings(drums="recording", duration=2.0, steps=1)
    takes, remarks = actions.make_takes(settings, str(tmp_path / "quiet.wav"), actions.TOKENS.issue("me"))
    assert len(remarks) == 1 and "drums" in takes[0].scores
