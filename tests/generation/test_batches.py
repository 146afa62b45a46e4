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


import functools
import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from diffusers_jasco import JascoAudioToAudioPipeline, JascoPipeline, load_audio
from diffusers_jasco.audio.metadata import read_metadata
from diffusers_jasco.commands.generate import main as generate
from diffusers_jasco.controls.drum_machine import GROOVES
from diffusers_jasco.generation import batches
from diffusers_jasco.generation.batches import (
    SOURCES,
    GenerationRequest,
    Workers,
    create_workers,
    generate_batch,
    generate_clips,
    hash_pipeline,
    plan_batches,
    save_clips,
)
from diffusers_jasco.inputs import SingleVoice
from diffusers_jasco.utils.engines import LocalEngine, LostWorkerError, RayEngine
from diffusers_jasco.utils.files import hash_file

from ..conftest import load_pipeline, relative_error, run_script


STEPS = {"num_inference_steps": 2}


def make_requests(count=5):
    chords = ["C:0 Am:0.5", None, [("G", 0.0)], "F:0", None]
    return [
        GenerationRequest(
            f"clip {i}", f"music {i}", controls={"chords": chords[i]}, duration=1.0, seed=i, settings=STEPS
        )
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def pipe():
    return load_pipeline("chords-drums-melody")


def test_similar_consecutive_requests_share_batches():
    requests = make_requests(5)
    other = GenerationRequest("long", duration=2.0)
    planned = plan_batches([*requests, other, *requests[:1]], batch_size=3)
    assert [[request.name[-1] for request in batch] for batch in planned] == [list("012"), list("34"), ["g"], ["0"]]


def test_clips_depend_on_their_seed_and_not_on_their_batch(pipe):
    together = {request.name: clip.audio for request, clip in generate_clips(pipe, make_requests(), 4)}
    alone = {request.name: clip.audio for request, clip in generate_clips(pipe, make_requests(), 1)}
    for name, audio in together.items():
        assert audio.shape == (1, 32000)
        torch.testing.assert_close(audio, alone[name], atol=1e-4, rtol=1e-3)
    assert not torch.allclose(together["clip 1"], together["clip 4"], atol=1e-2)


def test_generation_continues_after_invalid_requests(pipe):
    requests = make_requests(2)
    invalid = [
        GenerationRequest("bad chord", controls={"chords": "Hx:0"}, duration=1.0, settings=STEPS),
        GenerationRequest("no file", controls={"drums": "absent.wav"}, duration=1.0, settings=STEPS),
    ]
    results = {request.name: result for request, result in generate_clips(pipe, [requests[0], *invalid, requests[1]])}
    assert "unknown chord 'Hx'" in str(results["bad chord"]) and "absent.wav" in str(results["no file"])
    for request, clip in generate_clips(pipe, requests):
        torch.testing.assert_close(results[request.name].audio, clip.audio, atol=1e-4, rtol=1e-3)


def test_clips_fade_out(pipe, tmp_path):
    requests = [
        GenerationRequest(name, "music", duration=1.0, settings=STEPS, fade_seconds=seconds)
        for name, seconds in (("plain", 0.0), ("faded", 0.5))
    ]
    assert save_clips(pipe, requests, tmp_path, batch_size=1, suffix=".wav") == []
    plain, faded = (soundfile.read(tmp_path / f"{name}.wav")[0] for name in ("plain", "faded"))
    half = len(plain) // 2
    np.testing.assert_allclose(faded[:half], plain[:half], atol=1e-3)
    assert abs(faded[-10:]).max() < 1e-3 < abs(plain[-10:]).max()


def test_only_missing_or_changed_clips_are_generated_again(pipe, tmp_path):
    requests = make_requests()
    assert save_clips(pipe, requests, tmp_path, batch_size=2) == []
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    assert len(before) == 10 and soundfile.info(tmp_path / "clip 0.flac").frames == 32000
    # The state after a run that was killed between the two files of a clip.
    (tmp_path / "clip 1.json").unlink()
    requests[4] = GenerationRequest("clip 4", "other music", duration=1.0, seed=9, settings=STEPS)
    save_clips(pipe, requests, tmp_path, batch_size=2)
    after = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"clip 1.flac", "clip 1.json", "clip 4.flac", "clip 4.json"}
    assert after["clip 1.flac"][0] == before["clip 1.flac"][0]
    assert json.loads((tmp_path / "clip 4.json").read_text())["prompt"] == "other music"


def test_waveforms_are_described_by_a_hash():
    first, second = (
        GenerationRequest("a", controls={"drums": (torch.full((1, 10), value), 16000)}).describe()["drums"]
        for value in (0.0, 1.0)
    )
    assert first[1] == 16000 and first[0]["shape"] == [1, 10] and first != second
    json.dumps(first)


def test_grooves_and_single_voices_are_described():
    controls = {"drums": GROOVES["waltz"], "melody": SingleVoice((torch.ones(1, 10), 16000))}
    described = json.loads(json.dumps(GenerationRequest("a", controls=controls).describe()))
    assert described["drums"]["bpm"] == 144 and described["melody"]["audio"][1] == 16000


def test_the_hash_of_a_pipeline_depends_on_its_weights(pipe):
    other = load_pipeline("chords-drums-melody")
    assert hash_pipeline(pipe) == hash_pipeline(other)
    with torch.no_grad():
        next(other.transformer.parameters()).view(-1)[0] += 1e-3
    assert hash_pipeline(pipe) != hash_pipeline(other)


def read_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_workers_generate_with_the_same_model(pipe, tmp_path):
    requests = make_requests(3)
    workers = Workers(
        LocalEngine(threads=torch.get_num_threads()), functools.partial(load_pipeline, "chords-drums-melody")
    )
    for name, value in (("here", None), ("workers", workers)):
        assert save_clips(pipe, requests, tmp_path / name, 2, metadata={}, workers=value) == []
    assert read_files(tmp_path / "here") == read_files(tmp_path / "workers")
    with pytest.raises(OSError, match="A process on .* has loaded another model than the main process"):
        list(generate_clips(pipe, requests, workers=Workers(LocalEngine(), lambda: load_pipeline("chords-drums"))))


def test_workers_that_cannot_load_the_pipeline_say_where(pipe, tmp_path):
    workers = Workers(LocalEngine(), functools.partial(JascoPipeline.from_pretrained, tmp_path / "nothing"))
    with pytest.raises(OSError, match="A process on .* can't load the pipeline: .*nothing"):
        list(generate_clips(pipe, make_requests(1), workers=workers))


class LosesFirst:
    """An engine that loses the process of the first item."""

    def map(self, function, items):
        items = list(items)
        yield items[0], LostWorkerError("3 processes were killed")
        yield from LocalEngine().map(function, items[1:])


def test_clips_of_lost_workers_are_reported(pipe, tmp_path):
    workers = Workers(LosesFirst(), lambda: pipe)
    errors = save_clips(pipe, make_requests(3), tmp_path, 2, workers=workers)
    assert errors == [{"name": f"clip {i}", "error": "3 processes were killed"} for i in (0, 1)]
    assert sorted(read_files(tmp_path)) == ["clip 2.flac", "clip 2.json"]
    assert save_clips(pipe, make_requests(3), tmp_path, 2) == [] and len(read_files(tmp_path)) == 6


class KillsOnce:
    """Generates a batch. The first process that gets the clip is killed."""

    def __init__(self, file: Path, name: str):
        self.file, self.name = file, name

    def __call__(self, pipe, requests):
        if self.name in [request.name for request in requests] and not self.file.exists():
            self.file.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return generate_batch(pipe, requests)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_two_ray_workers_of_which_one_is_killed_write_the_same_files(run, tmp_path, ray_cluster):
    folder, _ = run
    pipe = JascoPipeline.from_pretrained(folder / "checkpoint")
    pipe.set_progress_bar_config(disable=True)
    requests = [
        GenerationRequest(f"clip {i}", f"music {i}", {"chords": "C:0 G:0.5"}, duration=1.0, seed=i, settings=STEPS)
        for i in range(12)
    ]
    requests[5] = GenerationRequest("invalid", controls={"chords": "Hx:0"}, duration=1.0, settings=STEPS)
    # As the processes of Ray have.
    torch.set_num_threads(1)
    errors = save_clips(pipe, requests, tmp_path / "local", 2, metadata={})
    workers = create_workers(RayEngine(gpus=0), folder / "checkpoint", "cpu", pipe)
    generate = KillsOnce(tmp_path / "killed", "clip 6")
    assert save_clips(pipe, requests, tmp_path / "ray", 2, metadata={}, generate=generate, workers=workers) == errors
    assert (tmp_path / "killed").exists() and [error["name"] for error in errors] == ["invalid"]
    assert read_files(tmp_path / "ray") == read_files(tmp_path / "local")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generate")
    load_pipeline("chords-drums-melody").save_pretrained(folder / "checkpoint")
    lines = [{"name": f"song {i}", "prompt": f"music {i}", "chords": [["C", 0], ["G", 0.5]]} for i in range(3)]
    lines += [{"prompt": "with drums", "drums": "beat.wav"}, {"promt": "typo"}, {"chords": "Hx:0"}]
    (folder / "songs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    soundfile.write(
        folder / "beat.wav", torch.randn(32000, generator=torch.Generator().manual_seed(0)).numpy() * 0.1, 32000
    )
    arguments = ["--checkpoint", folder / "checkpoint", "--manifest", folder / "songs.jsonl", "--duration", 1]
    return folder, [*arguments, "--num_inference_steps", 2, "--device", "cpu"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_killed_command_on_a_ray_cluster_is_resumed(run, tmp_path, cluster_on_this_machine):
    folder, (*arguments, _, _) = run
    lines = [{"name": f"song {i}", "prompt": f"music {i}", "chords": [["C", 0], ["G", 0.5]]} for i in range(40)]
    lines[30]["chords"] = "Hx:0"
    (tmp_path / "songs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    arguments += ["--manifest", tmp_path / "songs.jsonl", "--batch_size", 2, "--threads", 1, "--device", "cpu"]
    run_script("generate_jasco", *arguments, "--output", tmp_path / "local")

    command = cluster_on_this_machine.start_script("generate_jasco", *arguments, "--output", tmp_path / "ray")
    while len(list((tmp_path / "ray").glob("*.json"))) < 4:
        assert command.poll() is None, command.communicate()[0]
        time.sleep(0.02)
    command.kill()
    command.communicate()
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "ray").glob("*.json")}
    assert len(times) < 39, "the command had ended before it was killed"
    command = cluster_on_this_machine.start_script("generate_jasco", *arguments, "--output", tmp_path / "ray")
    output, _ = command.communicate()
    assert command.returncode == 1 and "39 of 40 clips" in output, output
    kept = [path for path, time_ns in times.items() if path.stat().st_mtime_ns == time_ns]
    # A batch is repeated as a whole if one of its clips was missing, but existing clips are kept.
    assert kept == list(times)
    assert read_files(tmp_path / "ray") == read_files(tmp_path / "local")


def test_generation_from_a_manifest(run, capsys):
    folder, arguments = run
    run_script("generate_jasco", *arguments, "--output", folder / "all")
    names = {path.name for path in (folder / "all").iterdir()}
    clips = ["song 0", "song 1", "song 2", "00004"]
    assert names == {f"{name}{suffix}" for name in clips for suffix in (".flac", ".json")} | {"errors.jsonl"}
    errors = [json.loads(line) for line in (folder / "all" / "errors.jsonl").read_text().splitlines()]
    assert errors[0]["line"] == 5 and "promt" in errors[0]["error"] and errors[1]["name"] == "00006"
    assert "4 of 6 clips" in capsys.readouterr().out
    info = json.loads((folder / "all" / "song 1.json").read_text())
    assert info["settings"] == {"num_inference_steps": 2} and info["duration"] == 1 and info["seed"] > 0
    metadata = read_metadata(folder / "all" / "song 1.flac")
    assert metadata["prompt"] == "music 1" and metadata["chords"] == [["C", 0], ["G", 0.5]]
    assert metadata["seed"] == info["seed"] and metadata["num_inference_steps"] == 2
    assert metadata["model"] == info["model"] and metadata["checkpoint"] == str(folder / "checkpoint")
    assert generate(["--from", str(folder / "all" / "song 1.flac"), "--output", str(folder / "again.flac")]) == 0
    first, again = (load_audio(folder / name)[0] for name in ("all/song 1.flac", "again.flac"))
    assert relative_error(again, first) < 1e-3  # rounding depends on the batch size
    assert "differ" not in capsys.readouterr().err


def test_mp3_without_metadata(run):
    folder, arguments = run
    run_script("generate_jasco", *arguments, "--output", folder / "mp3", "--format", "mp3", "--no-metadata")
    assert read_metadata(folder / "mp3" / "song 1.mp3") is None


@pytest.mark.parametrize(
    "options, message",
    [
        (["--loudness", 3], "--loudness: has to be"),
        (["--seed", 2**80], "--seed: has to be"),
        (["--batch_size", 0], "--batch_size: has to be"),
        (["--device", "xyz"], "--device: there is no device"),
        (["--duration", -1], "--duration: has to be"),
    ],
)
def test_options_are_checked_before_the_checkpoint_is_loaded(tmp_path, options, message, capsys):
    paths = ["--checkpoint", tmp_path / "absent", "--manifest", tmp_path / "absent", "--output", tmp_path / "a"]
    with pytest.raises(SystemExit) as error:
        run_script("generate_jasco", *paths, *options)
    assert error.value.code == 2 and message in capsys.readouterr().err


def test_an_unwritable_output_is_an_error_before_loading(tmp_path):
    paths = ["--checkpoint", tmp_path / "absent", "--manifest", tmp_path / "absent", "--output", "/dev/null/a"]
    with pytest.raises(ValueError, match="`output`: /dev/null/a can't be written"):
        run_script("generate_jasco", *paths)


def test_sharded_runs_match_a_single_run(run):
    folder, arguments = run
    for shard in ("0/2", "1/2"):
        run_script("generate_jasco", *arguments, "--output", folder / "shards", "--shard", shard)
    run_script("generate_jasco", *arguments, "--output", folder / "single")
    sharded, single = ({path.name for path in (folder / name).glob("*.json")} for name in ("shards", "single"))
    assert sharded == single
    for name in single:
        assert (folder / "shards" / name).read_text() == (folder / "single" / name).read_text()
    assert (folder / "shards" / "errors-0-of-2.jsonl").is_file()


@pytest.fixture
def song(tmp_path):
    """A file in stereo at 44.1 kHz, with 1 s."""
    samples = 0.1 * torch.randn(44100, 2, generator=torch.Generator().manual_seed(0))
    soundfile.write(tmp_path / "song.wav", samples.numpy(), 44100, subtype="PCM_16")
    return str(tmp_path / "song.wav")


def test_edits_are_batched_by_recording(song):
    edits = [GenerationRequest(f"{i}", audio=song, regions=[(0.1 * i, 0.5)]) for i in range(3)]
    others = [
        GenerationRequest("other file", audio="other.wav", regions=[(0.0, 0.5)]),
        GenerationRequest("later", audio=song, regions=[(0.0, 0.5)], audio_start_seconds=1.0),
        GenerationRequest("variation", audio=song, strength=0.5),
        GenerationRequest("stronger", audio=song, strength=0.7),
        GenerationRequest("loop", loop=True),
        GenerationRequest("windows", window_overlap=1.0),
    ]
    planned = plan_batches([*edits, *others], batch_size=8)
    assert [len(batch) for batch in planned] == [3, 1, 1, 1, 1, 1, 1]


def test_recordings_are_edited_continued_and_varied(pipe, tmp_path, song):
    common = {"settings": STEPS, "prompt": "pop", "audio": song}
    requests = [
        GenerationRequest("edit", regions=[(0.25, 0.5)], seed=1, **common),
        GenerationRequest("edits", regions=[(0.25, 0.5), (0.6, 0.9)], seed=2, **common),
        GenerationRequest("longer", duration=2.0, audio_start_seconds=0.5, seed=3, **common),
        GenerationRequest("varied", strength=0.5, seed=4, **common),
    ]
    assert save_clips(pipe, requests, tmp_path / "out", metadata={"checkpoint": "tiny"}) == []
    before = load_audio(song)[0]
    clips = {request.name: load_audio(tmp_path / "out" / f"{request.name}.flac") for request in requests}
    is_kept = torch.ones(44100, dtype=torch.bool)
    is_kept[11025:22050] = False
    assert torch.equal(clips["edit"][0][:, is_kept], before[:, is_kept])
    assert not torch.equal(clips["edit"][0], before)
    is_kept[26460:39690] = False
    assert torch.equal(clips["edits"][0][:, is_kept], before[:, is_kept])
    assert clips["longer"][0].shape == (2, 88200) and torch.equal(clips["longer"][0][:, 22050:66150], before)
    assert clips["varied"][1] == 32000 and clips["varied"][0].shape == (1, 32000)
    described = {name: json.loads((tmp_path / "out" / f"{name}.json").read_text()) for name in clips}
    assert [described[name]["sampling_rate"] for name in clips] == [44100, 44100, 44100, 32000]
    assert described["edits"]["regions"] == [[0.25, 0.5], [0.6, 0.9]]
    options = {name: read_metadata(tmp_path / "out" / f"{name}.flac") for name in clips}
    assert options["edits"]["edit"] == song and options["edits"]["regions"] == "0.25-0.5,0.6-0.9"
    assert options["longer"]["extend"] == song and options["longer"]["intro"] == 0.5
    assert options["varied"]["vary"] == song and options["varied"]["strength"] == 0.5

    (tmp_path / "out" / "edit.json").unlink()
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert save_clips(pipe, requests, tmp_path / "out", metadata={"checkpoint": "tiny"}) == []
    assert torch.equal(load_audio(tmp_path / "out" / "edit.flac")[0], clips["edit"][0])
    changed = {path.name for path in (tmp_path / "out").iterdir() if times.get(path.name) != path.stat().st_mtime_ns}
    assert changed == {"edit.flac", "edit.json"}


def test_edits_of_samples_that_flac_cannot_hold_are_wav(pipe, tmp_path):
    samples = 0.1 * np.random.default_rng(0).standard_normal(44100)
    common = {"regions": [(0.25, 0.5)], "settings": STEPS}
    requests = []
    for name, encoding in (("float.wav", "FLOAT"), ("lossy.mp3", "MPEG_LAYER_III"), ("whole.wav", "PCM_24")):
        soundfile.write(tmp_path / name, samples, 44100, subtype=encoding)
        requests.append(GenerationRequest(Path(name).stem, audio=str(tmp_path / name), **common))
    assert save_clips(pipe, requests, tmp_path / "out") == []
    names = {path.name for path in (tmp_path / "out").iterdir() if path.suffix != ".json"}
    assert names == {"float.wav", "lossy.wav", "whole.flac"}
    before, after = (soundfile.read(path)[0] for path in (tmp_path / "float.wav", tmp_path / "out" / "float.wav"))
    assert (before[:11025] == after[:11025]).all()
    times = [path.stat().st_mtime_ns for path in sorted((tmp_path / "out").iterdir())]
    assert save_clips(pipe, requests, tmp_path / "out") == []
    assert times == [path.stat().st_mtime_ns for path in sorted((tmp_path / "out").iterdir())], "resumed"


def test_edits_from_a_description(pipe, tmp_path, song):
    common = {"audio": song, "settings": STEPS, "seed": 1}
    chords = [("C", 0.0), ("F", 0.5)]
    requests = [
        GenerationRequest(
            "edit", source_prompt="pop", source_chords=chords, controls={"chords": [("G", 0.0)]}, **common
        ),
        GenerationRequest("other", "jazz", source_prompt="pop", source_chords="C:0", **common),
        GenerationRequest("removed", "jazz", source_chords=chords, controls={"chords": []}, **common),
        GenerationRequest("drums", "pop", source_drums="extract", **common),
        GenerationRequest("plain", "pop", strength=0.9, **common),
    ]
    assert [len(batch) for batch in plan_batches(requests, 8)] == [2, 1, 1, 1]
    assert not any(request.keeps_samples for request in requests)
    clips = {request.name: clip for request, clip in generate_clips(pipe, requests)}
    alone = {request.name: clip for request, clip in generate_clips(pipe, requests, batch_size=1)}
    for name, clip in clips.items():
        assert clip.audio.shape == (1, 32000)
        torch.testing.assert_close(clip.audio, alone[name].audio, atol=1e-4, rtol=1e-3)
    edit = JascoAudioToAudioPipeline.from_pipe(pipe)
    generator = torch.Generator().manual_seed(1)
    result = edit(
        audio=song, source_prompt="pop", source_chords=chords, chords=[("G", 0.0)], generator=generator, **STEPS
    )
    torch.testing.assert_close(alone["edit"].audio, result.audios[0], atol=1e-4, rtol=1e-3)
    pipe.save_pretrained(tmp_path / "checkpoint")
    metadata = {"checkpoint": str(tmp_path / "checkpoint")}
    assert save_clips(pipe, requests[:1], tmp_path / "out", metadata=metadata) == []
    options = read_metadata(tmp_path / "out" / "edit.flac")
    assert options["vary"] == song and options["source_chords"] == [["C", 0.0], ["F", 0.5]]
    assert generate(["--from", str(tmp_path / "out" / "edit.flac"), "--output", str(tmp_path / "again.flac")]) == 0
    first, again = (load_audio(tmp_path / name)[0] for name in ("out/edit.flac", "again.flac"))
    assert relative_error(again, first) < 1e-3
    assert not set(SOURCES) & GenerationRequest("a").describe().keys(), "clips of earlier versions count as done"


def test_clips_of_a_changed_recording_are_generated_again(pipe, tmp_path, song):
    common = {"settings": {"num_inference_steps": 1}, "audio": song}
    requests = [
        GenerationRequest("edit", regions=[(0.25, 0.5)], **common),
        GenerationRequest("varied", strength=0.5, **common),
        GenerationRequest("plain", duration=0.5, settings=common["settings"]),
    ]
    names = [request.name for request in requests]

    def save() -> list[str]:
        """Names of the clips that are generated."""
        times = [path.stat().st_mtime_ns for path in paths if path.is_file()] or [0] * len(paths)
        assert save_clips(pipe, requests, tmp_path / "out", metadata={}) == []
        return [name for name, path, time in zip(names, paths, times) if path.stat().st_mtime_ns != time]

    paths = [tmp_path / "out" / f"{name}.flac" for name in names]
    assert save() == names and save() == []
    with open(song, "rb") as file:
        content = file.read()
    with open(song, "wb") as file:
        file.write(content[:-2] + b"ab")
    assert save() == ["edit", "varied"] and save() == []
    assert read_metadata(paths[0])["files"] == {"edit": hash_file(song)}


@pytest.mark.parametrize("duration, start", [(0.8, 0.0), (1.2, 0.5)])
def test_a_duration_that_cuts_the_recording_is_reported_before_generation(
    pipe, tmp_path, song, monkeypatch, duration, start
):
    monkeypatch.setattr(batches, "generate_batch", lambda *arguments: pytest.fail("generated"))
    request = GenerationRequest("a", audio=song, duration=duration, audio_start_seconds=start, regions=[(0.1, 0.2)])
    (error,) = save_clips(pipe, [request], tmp_path / "out")
    assert f"`duration` has to be at least {1 + start:.2f} s, where the recording ends" in error["error"]


def test_a_recording_that_is_deleted_meanwhile_fails_only_its_clip(pipe, tmp_path, song):
    settings = {"num_inference_steps": 1}
    requests = [
        GenerationRequest("edit", audio=song, regions=[(0.25, 0.5)], settings=settings),
        GenerationRequest("plain", duration=0.5, settings=settings),
    ]

    def generate_and_delete(pipe, batch):
        clips = generate_batch(pipe, batch)
        Path(song).unlink(missing_ok=True)
        return clips

    (error,) = save_clips(pipe, requests, tmp_path / "out", generate=generate_and_delete)
    assert error["name"] == "edit" and "does not exist" in error["error"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"plain.flac", "plain.json"}


def test_edits_that_cannot_be_saved_are_reported(pipe, tmp_path, song):
    requests = [
        GenerationRequest("edit", audio=song, regions=[(0.25, 0.5)], settings=STEPS),
        GenerationRequest("absent", audio="absent.wav", regions=[(0.25, 0.5)], settings=STEPS),
        GenerationRequest("plain", duration=0.5, settings=STEPS),
    ]
    errors = save_clips(pipe, requests, tmp_path / "a", suffix=".mp3")
    assert [error["name"] for error in errors] == ["edit", "absent"]
    assert "have to be .wav or .flac, but are .mp3" in errors[0]["error"]
    errors = save_clips(pipe, requests[:1], tmp_path / "b", loudness=-20.0)
    assert "`loudness` can't be used with `audio`" in errors[0]["error"]
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"plain.mp3", "plain.json"}


def test_timelines_and_loops(pipe, tmp_path):
    timeline = [("calm", 0.0), ("loud", 0.5)]
    requests = [
        GenerationRequest("sections", timeline, duration=1.0, seed=1, settings=STEPS),
        GenerationRequest("plain", "calm", duration=1.0, seed=1, settings=STEPS),
        GenerationRequest("loop", "calm", duration=1.0, seed=1, settings=STEPS, loop=True),
    ]
    assert save_clips(pipe, requests, tmp_path) == []
    audio = {request.name: load_audio(tmp_path / f"{request.name}.flac")[0] for request in requests}
    assert not torch.equal(audio["sections"], audio["plain"]) and audio["loop"].shape == audio["plain"].shape
    assert json.loads((tmp_path / "sections.json").read_text())["prompt"] == [["calm", 0.0], ["loud", 0.5]]
    assert "loop" not in json.loads((tmp_path / "plain.json").read_text()), "clips of earlier versions count as done"
