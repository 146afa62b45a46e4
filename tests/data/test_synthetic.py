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


import hashlib
import io
import json
import multiprocessing
import runpy
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from diffusers_jasco.controls.chord_labels import default_chord_labels, parse_chord
from diffusers_jasco.data import SyntheticMusic, to_datasets
from diffusers_jasco.data.synthetic import harmony, parts, rendering
from diffusers_jasco.data.synthetic import music as synthetic
from diffusers_jasco.data.synthetic.composition import FORMS, SPLITS, compose
from diffusers_jasco.data.synthetic.instruments import DRUM_KEYS
from diffusers_jasco.data.synthetic.material import split_of
from diffusers_jasco.data.synthetic.orchestration import OrchestratedMusic
from diffusers_jasco.data.synthetic.rendering import find_soundfonts
from diffusers_jasco.data.synthetic.styles import STYLES

from ..conftest import run_script


SCRIPT = Path(__file__).parents[2] / "scripts/make_synthetic_dataset.py"


def make_music(split="train", size=100, **options):
    pytest.importorskip("tinysoundfont")
    options = {"duration": 3.0, "renderer": "tinysoundfont", "stems": True, **options}
    return SyntheticMusic(split, size, **options)


def digest(index: int) -> str:
    return hashlib.sha256(make_music()[index]["audio"].numpy().tobytes()).hexdigest()


@pytest.fixture(scope="module")
def items():
    music = make_music(subset="both")
    return [music[index] for index in range(12)]


def compose_many(split="train", subset="full", count=150, form="steady"):
    return [compose(split, subset, np.random.default_rng(seed), 12, form) for seed in range(count)]


def make_scores(count=150, **options):
    """Scores of ten seconds, as (annotations, stem → notes with times from the beginning of the clip)."""
    music = SyntheticMusic("train", count, duration=10.0, renderer=None, **options)
    for score in map(music.score, range(count)):
        yield (
            score.annotations,
            {
                stem: [
                    (start - score.preroll, end - score.preroll, key, velocity) for start, end, key, velocity in notes
                ]
                for stem, notes in score.notes.items()
            },
        )


@pytest.fixture(scope="module")
def pieces():
    return compose_many()


def test_the_mix_is_the_sum_of_its_stems(items):
    for item in items:
        total = torch.zeros_like(item["audio"])
        for stem in item["stems"].values():
            total += stem
        assert torch.equal(total, item["audio"])


def test_clips_do_not_depend_on_the_process_or_on_previous_clips():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(digest, [7]) == [digest(7)]
    assert digest(7) != digest(8)


def test_clips_do_not_depend_on_the_size_of_the_dataset():
    assert torch.equal(make_music(size=10)[3]["audio"], make_music(size=50)[3]["audio"])


def test_audio_has_valid_levels(items):
    for item in items:
        audio = item["audio"]
        assert audio.shape == (1, 3 * 16000) and audio.dtype == torch.float32
        assert audio.abs().max() <= 0.9501
        assert audio.mean().abs() < 0.01
        assert 0.02 < audio.std() < 0.3


def test_clips_can_start_on_a_downbeat():
    scores = {
        start: [make_music(start=start, duration=10.0).score(i) for i in range(40)]
        for start in ("random", "mixed", "downbeat")
    }
    on_downbeat = {
        start: sum(score.annotations["downbeats"][0] == 0.0 for score in group) for start, group in scores.items()
    }
    # Intros always start on one.
    assert on_downbeat["random"] < 10 and on_downbeat["downbeat"] == 40 and 20 <= on_downbeat["mixed"] <= 34
    # The start is moved within the same piece, by less than a bar.
    for moved, score in zip(scores["downbeat"], scores["random"]):
        assert moved.annotations["tempo"] == score.annotations["tempo"]
        assert moved.annotations["downbeats"][1] - 1e-3 >= score.annotations["downbeats"][0]


def test_annotations_lie_within_the_clip(items):
    labels = default_chord_labels()
    for item in items:
        times = [time for _, time in item["chords"]]
        assert times[0] == 0 and times == sorted(times) and times[-1] < item["duration"]
        assert all(label in labels for label, _ in item["chords"])
        assert all(0 <= start < end <= item["duration"] for _, start, end in item["melody"])
        assert all(43 <= key <= 95 for key, _, _ in item["melody"])
        for first, second in zip(item["melody"], item["melody"][1:]):
            assert first[2] <= second[1]
        assert all(0 <= onset < item["duration"] for onset in item["drum_onsets"])
        assert bool(item["drum_onsets"]) == ("drums" in item["stems"])
        assert item["caption"] in item["captions"] and len(set(item["captions"])) >= 4
        json.dumps({key: value for key, value in item.items() if key not in ("audio", "stems")})


def test_drums_sound_at_their_onsets(items):
    item = next(item for item in items if len(item["drum_onsets"]) > 5)
    energy = item["stems"]["drums"][0].square()
    for onset in item["drum_onsets"]:
        if 0.1 < onset < 2.8:
            first = int(onset * 16000)
            assert energy[first - 64 : first + 800].sum() > 1e-4


def test_the_melody_sounds_at_its_pitch():
    music = make_music(subset="plain")
    item = next(item for item in map(music.__getitem__, range(20)) if item["melody"])
    key, start, end = max(item["melody"], key=lambda note: note[2] - note[1])
    tone = item["stems"]["lead"][0, int(start * 16000) : int(end * 16000)]
    spectrum = torch.fft.rfft(tone * torch.hann_window(len(tone)), 1 << 17).abs()
    frequencies = torch.fft.rfftfreq(1 << 17, 1 / 16000)
    expected = 440 * 2 ** ((key - 69) / 12)
    # In some instruments, the fundamental is softer than the overtones.
    harmonics = [spectrum[(frequencies - multiple * expected).abs() < 0.02 * expected].max() for multiple in (1, 2, 3)]
    assert max(harmonics) > 0.5 * spectrum.max()


def test_all_chords_of_the_vocabulary_occur(pieces):
    labels = {label for piece in pieces + compose_many("train", count=700) for label, _ in piece.chords}
    assert labels <= set(default_chord_labels()) - {"N", "UNK"}
    assert len(labels) >= 185


def test_plain_subset():
    for piece in compose_many(subset="plain"):
        assert piece.time_signature == "4/4" and piece.swing == 0.5
        for label, _ in piece.chords:
            chord = parse_chord(label)
            assert chord.bass == 0 and label.lstrip("ABCDEFG#b") in ("", "m", "7", "m7", "maj7", "dim") or "b" in label


def test_all_styles_meters_and_energies_occur(pieces):
    assert len(STYLES) >= 20
    assert len({piece.style.name for piece in pieces}) >= 20
    assert {piece.time_signature for piece in pieces} == {"4/4", "3/4", "6/8"}
    assert {piece.energy for piece in pieces} == {"calm", "medium", "energetic"}


def test_splits_do_not_share_progressions():
    def progressions(split):
        # Sequences of six chords, independent of the key.
        sequences = set()
        for piece in compose_many(split, count=120):
            chords = [parse_chord(label) for label, time in piece.chords]
            for i in range(len(chords) - 5):
                six = chords[i : i + 6]
                sequences.add(tuple(((chord.root - six[0].root) % 12, chord.intervals, chord.bass) for chord in six))
        return sequences

    test, train = progressions("test"), progressions("train")
    assert len(test & train) < 0.1 * len(test)


@pytest.mark.parametrize("start", ["random", "downbeat"])
def test_forms_are_true_of_their_clips(start):
    counts = dict.fromkeys(FORMS, 0)
    for clip, notes in make_scores(120, start=start):
        form = clip["form"]
        counts[form] += 1
        bar = clip["downbeats"][1] - clip["downbeats"][0]
        first_bar = {stem for stem, played in notes.items() if any(note[0] < 0.9 * bar - 0.03 for note in played)}
        if form == "ending":
            label, time = [chord for chord in clip["chords"] if chord[0] != "N"][-1]
            assert min(abs(time - downbeat) for downbeat in clip["downbeats"]) < 1e-3
            assert bar - 1e-3 <= time <= 10 - bar + 1e-3
            # The chord is held for at least a bar, and nothing follows.
            for stem in ("bass", "comp"):
                held = [note for note in notes[stem] if note[0] > time - 0.03]
                assert held and all(note[0] < time + 0.05 and note[1] > time + 0.9 * bar for note in held)
            assert all(onset < time + 0.03 for onset in clip["drum_onsets"])
            assert all(note[0] < time + 0.03 for note in notes.get("lead", ()))
        if form in ("intro", "build"):
            assert len(first_bar) < len(notes) and "comp" in first_bar
        if form == "intro":
            assert clip["downbeats"][0] == 0 and not {"drums", "lead"} & first_bar or len(notes) == 2
        if form in ("build", "quiet to loud"):
            velocities = [
                np.mean([note[3] for played in notes.values() for note in played if low <= note[0] < low + 2.4])
                for low in (0, 7.6)
            ]
            early, late = velocities
            assert late > 1.15 * early
        if form != "ending":
            assert "N" not in dict(clip["chords"])
    assert 0.5 < counts["steady"] / 120 < 0.7
    assert all(5 <= count for count in counts.values())


def test_clips_that_are_too_short_for_a_form_are_steady():
    assert compose("train", "full", np.random.default_rng(0), 1.0, "ending").form == "steady"


def test_silent_stems_are_not_mentioned():
    for clip, notes in make_scores(100):
        assert all(any(note[1] > 0 and note[0] < 10 for note in played) for played in notes.values())
        assert clip["instruments"].keys() == notes.keys() - {"drums"} and bool(clip["drum_onsets"]) == (
            "drums" in notes
        )


def test_fills_are_at_the_ends_of_phrases():
    fills = {4: [], 8: []}
    for piece in compose_many(subset="plain", count=80):
        if "drums" not in piece.notes:
            continue
        sixteenth = 15 / piece.tempo
        bars = [set() for _ in piece.downbeats]
        for note in piece.notes["drums"]:
            bar, step = divmod(round(note.start / sixteenth), 16)
            if note.key != DRUM_KEYS["crash"]:
                bars[bar].add((step, note.key))
        groove = bars[0]
        for index, bar in enumerate(bars):
            if index % 4 != 3:
                assert bar == groove
            else:
                fills[8 if index % 8 == 7 else 4].append(bar != groove)
    assert 0.3 < np.mean(fills[4]) < 0.7 < np.mean(fills[8]) < 1


@pytest.mark.parametrize("form", ["steady", "ending"])
def test_chords_start_on_their_bass(form):
    for piece in compose_many(form=form):
        sixteenth = piece.downbeats[1] / (16 if piece.time_signature == "4/4" else 12)
        for label, time in piece.chords:
            if label == "N":
                continue
            chord = parse_chord(label)
            note = next(note for note in piece.notes["bass"] if note.start > time - 0.03)
            assert note.key % 12 == (chord.root + chord.bass) % 12
            assert note.start < time + 3 * sixteenth


def test_slash_chords_have_their_bass_before_the_bass_enters():
    for form in ("intro", "build"):
        for piece in compose_many(count=80, form=form):
            first = min(note.start for note in piece.notes["bass"])
            entry = max(downbeat for downbeat in piece.downbeats if downbeat < first + 0.03)
            for label, time in piece.chords:
                if time < entry - 0.1:
                    chord = parse_chord(label)
                    end = min([entry] + [start for _, start in piece.chords if start > time])
                    keys = [note.key for note in piece.notes["comp"] if time - 0.03 <= note.start < end - 0.03]
                    assert not keys or min(keys) % 12 == (chord.root + chord.bass) % 12


def test_walking_basses_walk():
    walking = [piece for piece in compose_many(count=160) if piece.patterns["bass"] == "walking"]
    assert len(walking) >= 8
    moves = []
    for piece in walking:
        beats = np.array(piece.beats)
        notes = [note for note in piece.notes["bass"] if np.abs(beats - note.start).min() < 0.03]
        assert len(notes) == len(beats)
        moves += [abs(second.key - first.key) for first, second in zip(notes, notes[1:])]
    # Often by step, seldom repeated.
    assert np.mean([move in (1, 2) for move in moves]) > 0.4 and np.mean([move == 0 for move in moves]) < 0.1


def test_inversions():
    shares = []
    for piece in compose_many():
        ends = [time for _, time in piece.chords[1:]] + [piece.duration]
        lengths = [end - start for end, (_, start) in zip(ends, piece.chords)]
        shares.append(np.average([parse_chord(label).bass != 0 for label, _ in piece.chords], weights=lengths))
    assert 0.14 < np.mean(shares) < 0.26


@pytest.mark.parametrize("voicing", parts.VOICINGS)
def test_voicings_contain_the_tones_and_move_little(voicing):
    rng = np.random.default_rng(0)
    forms = list(harmony.CHORD_TYPES)
    chords = [
        parts.Chord(step, step + 1, int(rng.integers(12)), forms[rng.integers(len(forms))], 0) for step in range(100)
    ]
    voiced = parts._voice(chords, voicing, 62)
    for chord, keys in zip(chords, voiced):
        expected = chord.tones[1:] if voicing == "rootless" and len(chord.tones) == 4 else chord.tones
        assert {key % 12 for key in keys} == set(expected) and keys == sorted(set(keys))
        assert abs(np.mean(keys) - 62) < 7
    assert np.mean([abs(second[-1] - first[-1]) for first, second in zip(voiced, voiced[1:])]) < 4


def test_beats_divide_the_whole_piece():
    beats_per_bar = {"4/4": 4, "3/4": 3, "6/8": 2}
    for form in FORMS:
        for piece in compose_many(count=20, form=form):
            assert piece.beats[:: beats_per_bar[piece.time_signature]] == pytest.approx(piece.downbeats)
            assert np.diff([*piece.beats, piece.duration]) == pytest.approx(60 / piece.tempo)


@pytest.mark.parametrize("split", SPLITS)
def test_pieces_use_the_material_of_their_split(split, monkeypatch):
    drawn = []

    def record(*args, draw_for=harmony.draw_for):
        drawn.append(draw_for(*args))
        return drawn[-1]

    monkeypatch.setattr(harmony, "draw_for", record)
    monkeypatch.setattr(parts, "draw_for", record)
    for form in FORMS:
        for seed in range(4):
            drawn.clear()
            piece = compose(split, "full", np.random.default_rng(seed), 10, form)
            assert len(drawn) >= 2 + ("drums" in piece.notes) + ("lead" in piece.notes)
            assert {split_of(material) for material in drawn} == {split}


@pytest.mark.parametrize("streaming", [True, False])
def test_conversion_to_the_datasets_library(streaming, tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    music = make_music(size=4, duration=1.0)
    rows = list(to_datasets(music, streaming, num_shards=2))
    assert sorted(row["index"] for row in rows) == [0, 1, 2, 3]
    row, item = rows[0], music[rows[0]["index"]]
    samples, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32")
    assert rate == 16000 and np.abs(samples - item["audio"][0].numpy()).max() < 1e-6
    assert [(chord["label"], chord["start"]) for chord in row["chords"]] == item["chords"]
    assert row["caption"] == item["caption"] and row["soundfont_sha256"] == item["soundfont_sha256"]


def test_material_belongs_to_one_split():
    shares = np.unique([split_of((seed, "material")) for seed in range(2000)], return_counts=True)
    assert dict(zip(*shares)).keys() == set(SPLITS)
    counts = dict(zip(*map(list, shares)))
    assert 0.76 < counts["train"] / 2000 < 0.84


def test_errors():
    with pytest.raises(ValueError, match="split.*train, validation, test"):
        make_music(split="dev")
    with pytest.raises(ValueError, match="subset"):
        make_music(subset="easy")
    with pytest.raises(FileNotFoundError, match="nothing.sf2"):
        make_music(soundfonts=["nothing.sf2"])
    with pytest.raises(IndexError):
        make_music(size=3)[3]


@pytest.mark.parametrize("part", ["package", "library", "font"])
def test_the_missing_part_of_fluidsynth_is_named(part, tmp_path, monkeypatch):
    fonts = [tmp_path / "font.sf2"]
    fonts[0].touch()
    monkeypatch.delitem(sys.modules, "fluidsynth", raising=False)
    rendering.get_renderer.cache_clear()
    if part == "package":
        monkeypatch.setitem(sys.modules, "fluidsynth", None)
    else:
        (tmp_path / "fluidsynth.py").write_text('raise ImportError("Couldn\'t find the FluidSynth library.")')
        monkeypatch.syspath_prepend(tmp_path)
    if part == "font":
        fonts = None
        monkeypatch.setattr(rendering, "_FREE_FONTS", ())
    installation = {
        "package": "the package pyfluidsynth: pip install",
        "library": "the FluidSynth library: apt install libfluidsynth3",
        "font": "a sound font: apt install fluid-soundfont-gm",
    }
    with pytest.raises((ImportError, FileNotFoundError)) as error:
        SyntheticMusic("train", 1, soundfonts=fonts)
    assert [name for name, text in installation.items() if text in str(error.value)] == [part]
    assert "--renderer tinysoundfont" in str(error.value)


def test_the_script_writes_and_resumes(tmp_path):
    pytest.importorskip("tinysoundfont")
    run = runpy.run_path(str(SCRIPT))["main"]
    options = ["--renderer", "tinysoundfont", "--duration", "1", "--num_workers", "0"]
    options += ["--num_clips", "3", "--subset", "both", "--output"]
    run([*options, str(tmp_path / "whole")])
    lines = (tmp_path / "whole/metadata.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) == 3

    # The state after a run that was killed while writing its second line.
    stopped = tmp_path / "stopped"
    run([*options, str(stopped)])
    (stopped / "metadata.jsonl").rename(stopped / "metadata.jsonl.part")
    (stopped / "metadata.jsonl.part").write_text(lines[0] + lines[1][:50])
    run([*options, str(stopped)])
    assert (stopped / "metadata.jsonl").read_text() == "".join(lines)

    item, line = make_music(duration=1.0, subset="both", size=3)[1], json.loads(lines[1])
    audio, rate = soundfile.read(tmp_path / "whole" / line["file_name"], dtype="float32")
    assert rate == 16000
    assert np.abs(audio - item["audio"][0].numpy()).max() < 1e-4
    assert line["chords"] == [list(chord) for chord in item["chords"]]

    with pytest.raises(ValueError, match="other settings .seed."):
        run([*options, str(stopped), "--seed", "1"])


@pytest.mark.slow
def test_a_killed_worker_ends_the_script_with_one_line(tmp_path):
    pytest.importorskip("tinysoundfont")
    psutil = pytest.importorskip("psutil")
    options = ["--renderer", "tinysoundfont", "--duration", "1", "--num_workers", "2", "--num_clips", "2000"]
    process = subprocess.Popen(
        [sys.executable, SCRIPT, *options, "--output", tmp_path], stderr=subprocess.PIPE, text=True
    )
    try:
        lines = tmp_path / "metadata.jsonl.part"
        for _ in range(600):
            if lines.exists() and lines.stat().st_size:
                break
            time.sleep(0.1)
        workers = [
            child for child in psutil.Process(process.pid).children() if "spawn_main" in " ".join(child.cmdline())
        ]
        workers[0].kill()
        error = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 2
    assert (
        "make_synthetic_dataset: A process was killed" in error
        and "resumes the run" in error
        and "Traceback" not in error
    )


def test_drum_machines_play_the_same_beat(monkeypatch):
    music = make_music(subset="full")
    kits, machines = [], []
    for share, items in ((0.0, kits), (1.0, machines)):
        monkeypatch.setattr(synthetic, "_DRUM_MACHINES", share)
        items.extend(music[index] for index in range(4))
    for kit, machine in zip(kits, machines):
        assert kit["drum_onsets"] == machine["drum_onsets"] and kit["stems"].keys() == machine["stems"].keys()
        if kit["drum_onsets"]:
            energy = machine["stems"]["drums"][0].square()
            assert not torch.allclose(kit["stems"]["drums"], machine["stems"]["drums"], atol=0.01)
            for onset in kit["drum_onsets"]:
                sample = round(onset * machine["sampling_rate"])
                assert energy[sample : sample + 1600].sum() > 1e-3
    assert any(kit["drum_onsets"] for kit in kits)


@pytest.mark.parametrize(
    "num_clips, num_cpus, expected", [(8, 16, 0), (63, 16, 0), (64, 16, 2), (6000, 16, 16), (6000, 1, 0)]
)
def test_few_clips_are_rendered_without_worker_processes(num_clips, num_cpus, expected):
    choose = runpy.run_path(str(SCRIPT))["choose_num_workers"]
    assert choose(num_clips, num_cpus) == expected


def test_the_script_prints_the_loudness_of_clips(capsys):
    pytest.importorskip("tinysoundfont")
    options = ["--split", "validation", "--num_clips", 2, "--num_rendered", 2, "--renderer", "tinysoundfont"]
    run_script("describe_synthetic_music", *options)
    row = capsys.readouterr().out.splitlines()[-1]
    values = [float(cell.split()[0]) for cell in row.split(" | ")[1:]]
    assert "loudness in LUFS" in row and len(values) == 2 and all(-30 < value < -10 for value in values)


def test_orchestrated_music_has_other_instruments_and_no_annotations():
    pytest.importorskip("tinysoundfont")
    music = OrchestratedMusic("train", 8, "full", 2.0, 22050, renderer="tinysoundfont", seed=1)
    plain = SyntheticMusic("train", 8, "full", 2.0, 22050, renderer="tinysoundfont", seed=1)
    items = [music[index] for index in range(8)]
    assert all(item["audio"].shape == (1, 44100) and 0.001 < item["audio"].abs().max() <= 0.96 for item in items)
    assert all(item["duration"] == 2.0 and "chords" not in item and "melody" not in item for item in items)
    assert torch.equal(items[3]["audio"], music[3]["audio"])
    assert music.duration == 2.0
    assert not any(torch.equal(item["audio"], plain[index]["audio"]) for index, item in enumerate(items))
    with pytest.raises(IndexError, match="-1 is out of range"):
        music[-1]
    with pytest.raises(ValueError, match="no stems"):
        OrchestratedMusic("train", 8, stems=True, renderer=None)


def test_orchestrated_music_names_the_font_of_clips_that_are_unchanged(monkeypatch, tmp_path):
    pytest.importorskip("tinysoundfont")
    fonts = find_soundfonts("tinysoundfont")
    other = tmp_path / "other.sf2"
    other.symlink_to(fonts[0])
    options = {"renderer": "tinysoundfont", "soundfonts": [fonts[0], other], "seed": 1}
    monkeypatch.setattr("diffusers_jasco.data.synthetic.orchestration._UNCHANGED", 1.0)
    music = OrchestratedMusic("train", 6, "full", 0.5, **options)
    plain = SyntheticMusic("train", 6, "full", 0.8, **options)
    for index in range(6):
        assert music[index]["soundfont"] == plain[index]["soundfont"]


def test_the_script_writes_orchestrated_music(tmp_path):
    pytest.importorskip("tinysoundfont")
    options = (
        "--num_clips",
        2,
        "--duration",
        1,
        "--renderer",
        "tinysoundfont",
        "--orchestrate",
        "--output",
        tmp_path / "a",
    )
    run_script("make_synthetic_dataset", *options, "--stems", "--num_workers", 0)
    lines = [json.loads(line) for line in (tmp_path / "a/metadata.jsonl").read_text().splitlines()]
    assert [line["file_name"] for line in lines] == ["audio/000000.flac", "audio/000001.flac"]
    assert soundfile.info(tmp_path / "a/audio/000001.flac").frames == 16000
    with pytest.raises(ValueError, match="--stems without names"):
        run_script("make_synthetic_dataset", *options)
