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

"""Killed and resumed preparations give the same files as uninterrupted ones."""

import json
import multiprocessing
import os
import random
import runpy
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ..conftest import FIXTURES


ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts/prepare_dataset.py"
CODEC = FIXTURES / "chords-drums-melody" / "encodec"
TEXT_ENCODER = FIXTURES / "t5"
FORMATS = (
    (".wav", "PCM_16"),
    (".wav", "FLOAT"),
    (".flac", "PCM_24"),
    (".ogg", "VORBIS"),
    (".mp3", None),
    (".aiff", "PCM_16"),
)
RATES = (8000, 16000, 22050, 32000, 44100, 48000)
NAMES = ("a song", "Müsik für dich", "日本の歌", "naïve. part 2", "100% jazz #3", "plain")


def write_music(folder: Path, count: int, seconds: float):
    """Writes `count` files of various formats, rates and names. One is truncated, one empty, and one contains text."""
    generator = np.random.default_rng(0)
    for index in range(count - 3):
        suffix, subtype = FORMATS[index % len(FORMATS)]
        rate, channels = RATES[index // 2 % len(RATES)], 1 + index % 3 % 2
        times = np.arange(round(seconds * (0.5 + generator.random()) * rate)) / rate
        keys = 45 + index % 12 + np.array([0, 4, 7, 12])
        chord = sum(np.sin(2 * np.pi * 440 * 2 ** ((key - 69) / 12) * times) for key in keys)
        noise = generator.normal(size=len(times)) * np.exp(-8 * (times % 0.5))
        samples = np.repeat(0.1 * (chord + noise)[:, None], channels, axis=1)
        album = folder / f"album {index % 7}"
        album.mkdir(parents=True, exist_ok=True)
        path = album / f"{NAMES[index % len(NAMES)]} {index}{suffix}"
        soundfile.write(path, samples, rate, subtype=subtype)
        if index % 2:
            path.with_suffix(".txt").write_text(f"a chord, {index} of {count}\n", encoding="utf-8")
    soundfile.write(folder / "truncated.flac", generator.normal(size=round(seconds * 8000)) / 10, 8000)
    content = (folder / "truncated.flac").read_bytes()
    (folder / "truncated.flac").write_bytes(content[: len(content) // 2])
    (folder / "empty.mp3").touch()
    (folder / "not audio.wav").write_text("This is a text.")


def arguments(music: Path, output: Path, *options: str) -> list[str]:
    arguments = ["--audio", music, "--output", output, "--resume", "--min_seconds", 1]
    arguments += ["--chords", "builtin", "--melody", "none", "--drums", "none", "--beats", "none", "--encode", CODEC]
    arguments += ["--text_encoder", TEXT_ENCODER, *options]
    return [str(argument) for argument in arguments]


class Command:
    """The command in a new session, so that all its processes can be killed."""

    def __init__(self, *args):
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *arguments(*args)],
            env=environment,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self):
        text, _ = self.process.communicate()
        assert self.process.returncode == 0, text

    def kill(self) -> bool:
        """Kills the command; returns whether it was still running."""
        running = self.process.poll() is None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()
        return running


class Fork:
    """The command in a fork of this process, which avoids repeated imports."""

    def __init__(self, *args):
        main = runpy.run_path(str(SCRIPT))["main"]
        self.process = multiprocessing.get_context("fork").Process(target=main, args=(arguments(*args),))
        self.process.start()

    def finish(self):
        self.process.join()
        assert self.process.exitcode == 0

    def kill(self) -> bool:
        running = self.process.is_alive()
        self.process.kill()
        self.process.join()
        return running


def read_all(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def kill_and_compare(run: type, folder: Path, count: int, seconds: float, kills: int, *options: str):
    music, reference, killed = (folder / name for name in ("my müsic", "reference", "killed"))
    write_music(music, count, seconds)
    runpy.run_path(str(SCRIPT))  # Warm up imports, so that they do not count as run time.
    began = time.monotonic()
    run(music, reference, *options).finish()
    duration = time.monotonic() - began

    delays, num_running, done = random.Random(0), 0, {}
    for _ in range(kills):
        command = run(music, killed, *options)
        # The kill comes before the first track, during one, or during the assembly. Each run has less left to do.
        time.sleep(delays.uniform(0.02, 0.4) * duration)
        num_running += command.kill()
        times = {path: path.stat().st_mtime_ns for path in killed.glob("tracks/*/*.json")}
        assert all(times.get(path) == time_ns for path, time_ns in done.items()), "a track was prepared twice"
        done = times
    assert num_running, "every run had ended before it was killed"
    run(music, killed, *options).finish()

    expected, actual = read_all(reference), read_all(killed)
    assert actual.keys() == expected.keys()
    assert [name for name in expected if actual[name] != expected[name]] == []
    errors = [json.loads(line)["path"] for line in (killed / "errors.jsonl").read_text(encoding="utf-8").splitlines()]
    assert errors == ["empty.mp3", "not audio.wav", "truncated.flac"]
    print(f"{count} files in {duration:.1f} s; {num_running} of {kills} kills hit a running command")


def test_killed_runs_can_be_resumed(tmp_path):
    kill_and_compare(Fork, tmp_path, 12, 2.0, 4)


@pytest.mark.slow
def test_killed_runs_can_be_resumed_with_two_hundred_files(tmp_path):
    kill_and_compare(Command, tmp_path, 200, 8.0, 10, "--num_proc", "2", "--webdataset")


@pytest.mark.slow
def test_workers_do_not_outlive_their_parent(tmp_path):
    write_music(tmp_path / "music", 40, 20.0)
    command = Command(tmp_path / "music", tmp_path / "data", "--num_proc", "2")
    while len(list((tmp_path / "data").glob("tracks/*/track.json"))) < 2:
        assert command.process.poll() is None
        time.sleep(0.1)
    os.kill(command.process.pid, signal.SIGKILL)
    # The pipe closes once no process can write to it.
    command.process.communicate(timeout=60)


def ray_processes() -> list[int]:
    """The processes of Ray's actors that this process's Ray has started."""
    psutil = pytest.importorskip("psutil")
    children = psutil.Process().children(recursive=True)
    return [child.pid for child in children if any("_RayProcess" in word for word in child.cmdline())]


@pytest.mark.slow
def test_two_ray_processes_of_which_one_is_killed_prepare_the_same_files(tmp_path, ray_cluster):
    write_music(tmp_path / "music", 40, 10.0)
    main = runpy.run_path(str(SCRIPT))["main"]
    main(arguments(tmp_path / "music", tmp_path / "local"))
    killed = []

    def kill_one():
        while len(list((tmp_path / "ray").glob("tracks/*/*.json"))) < 3:
            time.sleep(0.05)
        killed.append(ray_processes()[0])
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill_one, daemon=True)
    thread.start()
    main(arguments(tmp_path / "music", tmp_path / "ray", "--engine", "ray"))
    thread.join(timeout=10)
    assert killed and read_all(tmp_path / "ray") == read_all(tmp_path / "local")


@pytest.mark.slow
def test_a_killed_ray_driver_resumes(tmp_path):
    pytest.importorskip("ray")
    write_music(tmp_path / "music", 30, 10.0)
    runpy.run_path(str(SCRIPT))["main"](arguments(tmp_path / "music", tmp_path / "local"))
    options = tmp_path / "music", tmp_path / "ray", "--engine", "ray", "--num_proc", "2"
    command = Command(*options)
    while len(list((tmp_path / "ray").glob("tracks/*/*.json"))) < 3:
        assert command.process.poll() is None, command.process.communicate()[0]
        time.sleep(0.05)
    assert command.kill()
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "ray").glob("tracks/*/*.json")}
    Command(*options).finish()
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in times.items()), "a track was prepared twice"
    assert read_all(tmp_path / "ray") == read_all(tmp_path / "local")
