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

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from diffusers_jasco.controls import CONTROLS
from diffusers_jasco.controls.chord_syntax import parse_chord
from diffusers_jasco.controls.lead_sheet import read_lead_sheet
from diffusers_jasco.controls.lead_sheet.playback import drum_hits
from diffusers_jasco.controls.melody import HIGHEST_PITCH, LOWEST_PITCH
from diffusers_jasco.controls.progressions import chords_from_progression
from diffusers_jasco.evaluation.benchmark import scoring
from diffusers_jasco.evaluation.benchmark.export import INFO_FILE, export_requests, render_source
from diffusers_jasco.evaluation.benchmark.judges import ALL_JUDGES, JUDGES, cut_annotations, keep_region, measure_lags
from diffusers_jasco.evaluation.benchmark.overlap import (
    TRAINING_MUSIC,
    TRAINING_VERSIONS,
    check_training,
    harmonic_patterns,
    known_progressions,
    measure_overlap,
    melodic_patterns,
)
from diffusers_jasco.evaluation.benchmark.rendering import RATE, TONES, render_song
from diffusers_jasco.evaluation.benchmark.report import COLUMNS, PROTOCOLS, write_judges, write_report
from diffusers_jasco.evaluation.benchmark.scoring import (
    analyze_songs,
    describe_drift,
    describe_set,
    read_answer,
    reference_rows,
    score_folder,
    summarize_drift,
)
from diffusers_jasco.evaluation.benchmark.songs import annotate, hash_songs, load_songs
from diffusers_jasco.evaluation.estimators.spectra import SAMPLING_RATE, load_mono
from diffusers_jasco.evaluation.lead_sheets import chords_of, equal
from diffusers_jasco.generation.requests import read_requests
from diffusers_jasco.utils.errors import InputError

from ..conftest import run_script


# 4/4, 6/8, 12/8, and 3/4 without drums; the first three have edits.
SOME = ("01", "11", "13", "20")
SCORED = ("11", "20", "23")
ROOT = Path(__file__).parents[2]
WEIGHTS = ROOT / "src/diffusers_jasco/extraction/weights"


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark") / "requests"
    export_requests(folder, load_songs(names=SOME), is_complete=False)
    return folder


@pytest.fixture(scope="module")
def references():
    pytest.importorskip("mir_eval")
    pytest.importorskip("librosa")
    return analyze_songs(load_songs(names=SCORED), TONES)


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """The rendered songs, an edit that is the recording itself, and one at another rate."""
    folder = tmp_path_factory.mktemp("answers")
    for song, suffix in zip(load_songs(names=SCORED), (".wav", ".flac", ".ogg")):
        audio = render_song(annotate(song.sheet), song.programs)[0].numpy()
        soundfile.write(folder / f"{song.name}{suffix}", np.pad(audio, (0, RATE)), RATE)
    soundfile.write(folder / "11_lantern.edit.flac", render_source(load_songs(names=["11"])[0])[0], RATE, "PCM_24")
    edited = load_songs(names=["23"])[0]
    audio = render_song(annotate(edited.edited_sheet), edited.programs)[0]
    soundfile.write(folder / "23_red_clay.edit.wav", audio[::2], RATE // 2)
    return folder


@pytest.fixture(scope="module")
def result(references, answers):
    return score_folder(answers, references, min_clips=2)


# The songs


def test_published_songs_never_change():
    assert hash_songs("v1") == "139f69163a14fecd277b048c0e4b301a38152f6603f9c453c036329c9aad99a2"


def test_songs_cover_what_the_benchmark_promises():
    songs = load_songs()
    sheets = [song.sheet for song in songs]
    assert len(songs) == 28 and len({song.name for song in songs}) == 28
    assert {str(sheet.time_signature) for sheet in sheets} == {"4/4", "3/4", "6/8", "12/8"}
    assert min(sheet.tempo for sheet in sheets) == 60 and max(sheet.tempo for sheet in sheets) == 180
    assert len({sheet.key for sheet in sheets}) > 16
    assert sum(10 <= sheet.duration <= 30 for sheet in sheets) == 24 and min(sheet.duration for sheet in sheets) > 10
    assert sum(song.edited_sheet is not None for song in songs) >= 12
    pitches = [pitch for sheet in sheets for pitch, _, _ in sheet.melody]
    assert LOWEST_PITCH <= min(pitches) < 50 and 93 < max(pitches) <= HIGHEST_PITCH
    chords = [parse_chord(label) for sheet in sheets for label, _ in sheet.chords]
    assert None not in chords and len({chord.intervals for chord in chords}) >= 10
    assert sum(chord.bass != 0 for chord in chords) >= 15


def test_unknown_names_are_errors():
    assert [song.name for song in load_songs(names=["03", "01_harbor_lights"])] == ["01_harbor_lights", "03_night_bus"]
    with pytest.raises(InputError, match="has no song '99', only "):
        load_songs(names=["99"])
    with pytest.raises(InputError, match="`version`"):
        load_songs("v0")


def test_an_edit_changes_only_its_bars():
    song = load_songs(names=["01"])[0]
    start, end = song.region
    before, after = annotate(song.sheet), annotate(song.edited_sheet)
    assert after["chords"] != before["chords"] and after["drum_hits"] == before["drum_hits"]
    assert [chord for chord in after["chords"] if not start <= chord[1] < end] == [
        chord for chord in before["chords"] if not start <= chord[1] < end
    ]
    assert after["melody"] == [note for note in before["melody"] if not start <= note[1] < end]
    inside = keep_region(after, (start, end))["chords"]
    assert inside == [("N", 0.0), ("F", start), ("Fm6", pytest.approx(12.0)), ("N", end)]


# Export


@pytest.mark.parametrize("suffix", [".json", ".mid", ".musicxml", ".abc"])
def test_exported_files_read_back_to_the_same_song(exported, suffix):
    for song in load_songs(names=SOME):
        versions = [("songs", song.sheet)] + ([("edits", song.edited_sheet)] if song.edited else [])
        for folder, sheet in versions:
            again = read_lead_sheet(exported / folder / f"{song.name}{suffix}").expand()
            assert equal(chords_of(again), chords_of(sheet)) and equal(list(again.melody), list(sheet.melody))
            assert again.duration == pytest.approx(sheet.duration, abs=1e-3)
            assert again.key == sheet.key and again.time_signature == sheet.time_signature
            assert again.beats()[1] == pytest.approx(sheet.beats()[1], abs=1e-3)
            if suffix != ".abc":
                assert {hit[:2] for hit in drum_hits(again)} == {hit[:2] for hit in drum_hits(sheet)}
            if suffix == ".json":
                assert again == sheet


def test_requests_have_everything_that_a_system_may_need(exported):
    requests = read_lines(exported / "requests.jsonl")
    assert [request["name"] for request in requests] == [song.name for song in load_songs(names=SOME)]
    for request in requests:
        assert {"caption", "duration", "tempo", "time_signature", "key", "chords", "melody", "beats"} <= set(request)
        assert all((exported / name).is_file() for name in request["files"])
        assert any(name.endswith(".drums.flac") for name in request["files"]) == bool(request["drum_onsets"])
    for edit in read_lines(exported / "edits.jsonl"):
        source = soundfile.info(exported / edit["source"])
        assert source.duration == pytest.approx(edit["duration"], abs=1e-3)
        assert 0 < edit["region"][0] < edit["region"][1] <= edit["duration"]
    drums, rate = soundfile.read(exported / "songs/01_harbor_lights.drums.flac")
    for onset in requests[0]["drum_onsets"]:
        assert np.abs(drums[round(onset * rate) : round((onset + 0.03) * rate)]).max() > 0.03
    readme = (exported / "README.md").read_text()
    assert "01_harbor_lights.wav" in readme
    # The command scores these songs only.
    assert readme.endswith(
        "--score FOLDER --songs 01_harbor_lights 11_lantern 13_blue_kettle 20_snow_globe --min_clips 4\n"
    )


def test_the_manifest_is_read_by_our_own_generation(exported):
    requests = read_requests(exported / "jasco.jsonl")
    assert [request.name for request in requests][-1] == "13_blue_kettle.edit"
    assert all(set(request.controls) <= {"chords", "drums", "melody"} for request in requests)
    assert requests[0].duration == pytest.approx(19.2) and len(requests[0].controls["melody"]) == 32
    assert len(requests[-1].regions) == 1


@pytest.mark.parametrize("control", CONTROLS)
def test_manifests_of_single_controls(exported, control):
    requests = read_requests(exported / f"jasco_{control}.jsonl", controls=CONTROLS)
    songs = {song.name: annotate(song.sheet) for song in load_songs(names=SOME)}
    if control == "drums":  # one song has none
        songs.pop("20_snow_globe")
    assert [request.name for request in requests] == list(songs)
    for request, song in zip(requests, songs.values()):
        assert request.prompt == song["caption"] and request.duration == pytest.approx(song["duration"])
        assert set(request.controls) == {control} and (control != "drums" or Path(request.controls[control]).is_file())
    assert [request.controls for request in read_requests(exported / "jasco_captions.jsonl")] == [{}] * len(SOME)


def test_an_export_is_byte_identical(exported, tmp_path):
    export_requests(tmp_path / "again", load_songs(names=SOME), is_complete=False)
    files = sorted(path.relative_to(exported) for path in exported.rglob("*") if path.is_file())
    assert files == sorted(p.relative_to(tmp_path / "again") for p in (tmp_path / "again").rglob("*") if p.is_file())
    for file in files:
        assert (exported / file).read_bytes() == (tmp_path / "again" / file).read_bytes(), file


def test_an_export_does_not_replace_other_files(tmp_path):
    songs = load_songs(names=["20"])
    export_requests(tmp_path / "export", load_songs(names=["13"]))
    export_requests(tmp_path / "export", songs)
    assert not list((tmp_path / "export").rglob("*blue_kettle*"))
    # An answer inside of an export, scores, and a folder of something else.
    (tmp_path / "export/songs/20_snow_globe.wav").write_text("mine")
    for name, content in (("scores/benchmark.json", '{"systems": {}}'), ("thesis/benchmark.json", "mine")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(content)
    for name, file in (("export", "songs/20_snow_globe.wav"), ("scores", INFO_FILE), ("thesis", INFO_FILE)):
        with pytest.raises(ValueError, match=f"would be replaced, but has files .*: {file}. Choose another"):
            export_requests(tmp_path / name, songs)
    with pytest.raises(ValueError, match="benchmark.json is a file"):
        export_requests(tmp_path / "thesis" / INFO_FILE, songs)


# Scores


def test_the_rendered_truth_scores_far_above_other_songs(result, references):
    assert result.songs == ["11_lantern", "20_snow_globe", "23_red_clay"] and result.problems == []
    reported = result.reported
    for metric in (("chords", "root"), ("chords", "majmin"), ("melody", "pitch"), ("drums", "onset_f1")):
        assert reported[metric].value == pytest.approx(1, abs=0.1), metric
        assert reported[metric].ceiling - reported[metric].floor > 0.3
    assert result.drift["in_time"] == 1 and result.drift["lag"] < 20
    truth, others = reference_rows(references, min_clips=2)
    assert {row.value for row in truth.reported.values()} == {1.0}
    assert {row.value for row in others.reported.values()} == {0.0}


def test_another_tempo_costs_what_depends_on_time(references, tmp_path):
    for song in load_songs(names=SCORED):
        slower = annotate(song.sheet.with_tempo(0.85 * song.sheet.tempo))
        soundfile.write(tmp_path / f"{song.name}.wav", render_song(slower, song.programs)[0], RATE)
    result = score_folder(tmp_path, references, min_clips=2)
    assert result.reported["chords", "key"].value == 1
    for metric in (("chords", "root"), ("melody", "pitch"), ("drums", "onset_f1")):
        assert result.reported[metric].value < 0.6, metric
    assert result.drift["in_time"] < 0.5


def test_late_music_is_out_of_time():
    song = load_songs(names=["11"])[0]
    item = annotate(song.sheet)
    samples = load_mono((render_song(item, song.programs), RATE))
    times, lags = measure_lags(samples, item)
    assert times.tolist() == [5.0] and abs(lags[0]) < 25
    _, late = measure_lags(np.pad(samples, (round(0.12 * SAMPLING_RATE), 0)), item)
    assert late[0] - lags[0] == pytest.approx(120, abs=10)
    drift = summarize_drift([describe_drift((samples[None, : 8 * SAMPLING_RATE], SAMPLING_RATE), item), None])
    assert drift["num_windows"] == 1 and np.isnan(drift["in_time_after"]["60"]) and np.isnan(drift["slope"])


def test_missing_and_foreign_files_are_reported(references, answers, tmp_path):
    (tmp_path / "20_snow_globe.flac").symlink_to(answers / "20_snow_globe.flac")
    (tmp_path / "23_red_clay.txt").write_text("no audio")
    soundfile.write(tmp_path / "demo.wav", np.zeros(100), RATE)
    result = score_folder(tmp_path, references, "mine")
    assert result.songs == ["20_snow_globe"]
    assert result.problems == [
        "ignored, as no request has their name: demo.wav",
        "missing (2 of 3 songs): 11_lantern, 23_red_clay",
    ]
    assert not result.reported  # fewer than 20 songs
    assert not result.edits


def test_short_and_silent_files_are_reported(references, tmp_path):
    song = load_songs(names=["11"])[0]
    audio = render_song(annotate(song.sheet), song.programs)[0]
    path = tmp_path / "11_lantern.wav"
    soundfile.write(path, audio[: 10 * RATE], RATE)
    waveform, rate, message = read_answer(path, 16.0)
    assert waveform.shape == (1, 16 * RATE) and not waveform[:, 10 * RATE :].any()
    assert message == "11_lantern.wav lasts 10.00 s, but 16.00 s were requested: the rest counts as silence"
    soundfile.write(path, np.zeros(16 * RATE), RATE)
    assert read_answer(path, 16.0)[2] == "11_lantern.wav is silent"
    soundfile.write(path, audio[: 7 * RATE], RATE)
    with pytest.raises(InputError, match="lasts 7.00 s, but 16.00 s were requested: it is not scored"):
        read_answer(path, 16.0)
    (tmp_path / "20_snow_globe.wav").write_text("not audio")
    with pytest.raises(InputError, match="can be scored.*11_lantern.*not scored.*20_snow_globe"):
        score_folder(tmp_path, references)


def test_folders_without_answers_and_with_two_are_errors(references, tmp_path):
    with pytest.raises(InputError, match="no audio file for any request, such as 11_lantern.wav"):
        score_folder(tmp_path, references)
    for suffix in ("wav", "flac"):
        soundfile.write(tmp_path / f"11_lantern.{suffix}", np.zeros(100), RATE)
    with pytest.raises(InputError, match="2 files for 11_lantern: 11_lantern.flac, 11_lantern.wav"):
        score_folder(tmp_path, references)


def test_edits_are_scored_by_what_they_keep_and_change(result):
    edits = result.edits
    assert edits["num_edits"] == 2 and edits["num_exact"] == 1
    assert edits["snr"][0] < 120 and edits["chroma"][0] > 0.9
    # One edit has the new chords, the other one those of the recording.
    rows = {(row["estimator"], row["metric"]): row for row in edits["adherence"]}
    assert rows["blind estimate", "root"]["num_clips"] == 2


def test_annotations_are_cut_at_the_shorter_length():
    item = cut_annotations(annotate(load_songs(names=["01"])[0].sheet), 6.0)
    assert item["duration"] == 6.0 and max(item["beats"]) < 6 and max(end for *_, end in item["melody"]) <= 6
    assert [label for label, _ in item["chords"]] == ["C", "G/B", "Am7"]


def test_the_report_names_all_judges_and_their_training(result, references):
    assert set(JUDGES) == {judge.name for judge in ALL_JUDGES}
    metrics = {(judge.control, metric) for judge in ALL_JUDGES for metric in judge.metrics}
    assert set(COLUMNS) <= metrics
    assert {key for *_, key in PROTOCOLS} <= set(result.raw)
    report = write_report([replace(result, name="mine")], reference_rows(references, 2), describe_set(references))
    for text in (
        "| mine | 3 |",
        "| rendered truth | 3 | 1.00",
        "| MusiConGen | chord tetrads |",
        "1 of 2",
        "| raw pitch | harmonic sum, note fit | melody extractor |",
    ):
        assert text in report


def test_the_command_exports(tmp_path, capsys):
    run_script("benchmark_adherence", "--export", tmp_path / "requests", "--songs", "20")
    assert "requests for 1 song(s)" in capsys.readouterr().out
    assert (tmp_path / "requests/songs/20_snow_globe.abc").is_file()
    with pytest.raises(InputError, match="`export`, `score` or `check_training`"):
        run_script("benchmark_adherence")


def test_the_command_checks_folders_before_it_renders(tmp_path, monkeypatch):
    monkeypatch.setattr(scoring, "render_song", None)
    for folder in ("one/system", "two/system", "empty", "rendered truth"):
        (tmp_path / folder).mkdir(parents=True)
        soundfile.write(tmp_path / folder / "11_lantern.wav", np.zeros(100), RATE)
    (tmp_path / "empty/11_lantern.wav").unlink()
    for folders, message in (
        (["one/system", "empty"], "no audio file for any request"),
        (["one/system", "two/system"], "'system', 'system': give other ones with --names"),
        (["rendered truth"], "have to differ from each other and from 'rendered truth' and"),
    ):
        with pytest.raises(InputError, match=message):
            run_script("benchmark_adherence", "--songs", "11", "20", "--score", *(tmp_path / name for name in folders))


def test_patterns_do_not_depend_on_key_and_tempo():
    song = load_songs(names=["01"])[0]
    own = annotate(song.sheet)
    moved = annotate(song.sheet.transpose(3).with_tempo(120))
    assert melodic_patterns(own) == melodic_patterns(moved) and len(melodic_patterns(own)) == 25
    assert harmonic_patterns(own) == harmonic_patterns(moved)
    assert measure_overlap([song], [moved]) == {"melody": (25, 25), "chords": (5, 5)}
    assert measure_overlap([song], [annotate(load_songs(names=["02"])[0].sheet)])["melody"] == (0, 25)


def test_no_melody_of_the_songs_is_in_the_training_music_of_a_judge():
    assert set(TRAINING_MUSIC) == {judge for judge, (_, data) in JUDGES.items() if not data.startswith("nothing")}
    overlap = check_training(load_songs(), limit=10)
    assert overlap.keys() > TRAINING_MUSIC.keys()
    for counts in overlap.values():
        assert counts["melody"][0] == 0 and counts["melody"][1] > 1000


def test_the_training_music_is_that_of_the_weights():
    folders = {"melody extractor": "melody", "beat extractor": "beats", "key extractor": "key"}
    assert set(TRAINING_MUSIC) == set(TRAINING_VERSIONS) == set(folders)
    for judge, music in TRAINING_MUSIC.items():
        text = (WEIGHTS / folders[judge] / "README.md").read_text()
        assert f"{music['size']:,} clips" in text
        assert f"seed {music['seed']}" in text or music["seed"] == 0
        assert f"version {TRAINING_VERSIONS[judge]} of the generator" in text or "melody" in judge


def test_known_progressions_of_the_key_extractor_are_counted():
    axis = {"chords": chords_from_progression("axis", "D", bpm=100, num_bars=8), "melody": [], "beats": []}
    patterns = set().union(*map(harmonic_patterns, known_progressions()))
    assert harmonic_patterns(axis) <= patterns and len(patterns) > 20


def test_the_page_has_the_judges():
    page = (ROOT / "docs/reports/adherence_benchmark.md").read_text()
    for table in write_judges().split("\n\n"):
        assert table in page


def test_the_command_counts_in_other_training_music(tmp_path, capsys):
    songs = load_songs(names=["01", "02"])
    file = tmp_path / "mine.jsonl"
    file.write_text(json.dumps(annotate(songs[0].sheet)) + '\n{"chords": [["C", 0.0]]}\n')
    run_script("benchmark_adherence", "--check_training", file, "--songs", "01")
    assert f"| {file} |  | 25 of 25 | 5 of 5 |" in capsys.readouterr().out
    for line in ('{"text": "no annotations"}', '{"chords": "song.lab"}', "[1]", "no JSON"):
        file.write_text(f'{{"chords": [["C", 0.0]]}}\n{line}\n')
        with pytest.raises(InputError, match="line 2 of .*mine.jsonl has to be a JSON object with lists of chords"):
            run_script("benchmark_adherence", "--check_training", file)


@pytest.mark.slow
def test_the_command_scores(answers, tmp_path, capsys):
    pytest.importorskip("mir_eval")
    run_script(
        *("benchmark_adherence", "--songs", "11", "20", "--renderer", TONES),
        *("--score", answers, "--names", "mine", "--output", tmp_path / "scores", "--min_clips", 2),
    )
    result = json.loads((tmp_path / "scores/benchmark.json").read_text())
    assert result["sha256"] == hash_songs() and result["songs"] == ["11_lantern", "20_snow_globe"]
    assert set(result["systems"]) == {"rendered truth", "other songs", "mine"}
    assert "23_red_clay" in result["systems"]["mine"]["problems"][0]
    assert (tmp_path / "scores/benchmark.md").read_text() in capsys.readouterr().out


@pytest.mark.slow
def test_all_songs_are_exported_and_read_back(tmp_path):
    export_requests(tmp_path / "all", load_songs())
    for song in load_songs():
        for suffix in (".json", ".mid", ".musicxml", ".abc"):
            again = read_lead_sheet(tmp_path / "all/songs" / f"{song.name}{suffix}").expand()
            assert equal(chords_of(again), chords_of(song.sheet)), (song.name, suffix)
            assert equal(list(again.melody), list(song.sheet.melody)), (song.name, suffix)


@pytest.mark.slow
def test_judges_are_reliable_on_the_rendered_songs():
    pytest.importorskip("tinysoundfont")
    references = analyze_songs(load_songs(), "tinysoundfont")
    reported = reference_rows(references)[0].reported
    assert set(COLUMNS) <= set(reported)  # at least one judge counts for each metric
    assert torch.tensor([row.floor for row in reported.values()]).max() < 0.75
