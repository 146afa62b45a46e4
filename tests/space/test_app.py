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


"""Tests of the API of a running app."""

import io
import re
import threading
import time
import zipfile

import numpy as np
import pytest
import soundfile

from diffusers_jasco.controls.previews import preview_chords

from .conftest import BACKBEAT, C_AM_F_G, MELODY


gradio_client = pytest.importorskip("gradio_client")
pytest.importorskip("gradio")

from parts import check_steps  # noqa: E402


REQUESTED = {
    "prompt": "80s pop, drums",
    "duration": 4.0,
    "steps": 6,
    "chords": C_AM_F_G,
    "drums": "pattern",
    "pattern": BACKBEAT,
    "melody": MELODY,
}
RATE = 32000


def connect(server: str, folder) -> gradio_client.Client:
    return gradio_client.Client(server, verbose=False, download_files=str(folder), httpx_kwargs={"timeout": 300})


@pytest.fixture
def client(server, tmp_path):
    return connect(server, tmp_path)


def write_wav(path, audio):
    soundfile.write(path, np.asarray(audio).T, RATE)
    return gradio_client.handle_file(str(path))


def test_every_endpoint_is_named_and_typed(client):
    endpoints = client.view_api(return_format="dict", print_info=False)
    assert not endpoints["unnamed_endpoints"]
    assert set(endpoints["named_endpoints"]) == {
        "/generate",
        "/stop",
        "/chords_from_text",
        "/chords_from_file",
        "/drums_from_file",
        "/pattern_from_file",
        "/pattern_to_file",
        "/melody_from_file",
        "/preview_chords",
        "/preview_drums",
        "/preview_melody",
        "/load_settings",
    }
    for endpoint in endpoints["named_endpoints"].values():
        assert endpoint["description"]
        for value in endpoint["parameters"]:
            assert value["parameter_name"] and value["type"], value
    parameters = {value["parameter_name"]: value for value in endpoints["named_endpoints"]["/generate"]["parameters"]}
    assert set(REQUESTED) < set(parameters)
    assert parameters["chords"]["type"]["properties"]["chords"]["items"]["required"] == ["label", "beat"]


def test_music_with_its_report_and_settings(client):
    wavs, zips, report = client.predict(**REQUESTED, seed=5, variations=2, api_name="/generate")
    assert report["seeds"] == [5, 6] and report["remarks"][0].startswith("2 takes in")
    for wav, scores in zip(wavs, report["scores"]):
        audio, rate = soundfile.read(wav)
        assert len(audio) == 4 * rate and np.abs(audio).max() > 0.1
        assert set(scores) == {"chords", "melody", "drums"}
        assert scores["chords"]["value"] > 0.5 and scores["chords"]["words"] in ("partial", "close", "very close")
    assert open(wavs[0], "rb").read() != open(wavs[1], "rb").read()

    # The second take again, from its ZIP.
    settings, recording = client.predict(gradio_client.handle_file(zips[1]), api_name="/load_settings")
    assert settings.pop("format") and settings["seed"] == 6 and settings["variations"] == 1 and recording is None
    (again,), _, _ = client.predict(**settings, api_name="/generate")
    assert open(again, "rb").read() == open(wavs[1], "rb").read()


def test_controls_from_text_and_files_and_their_previews(client, tmp_path):
    chords = client.predict(
        text="C | F",
        key="C major",
        beats_per_bar=4,
        duration=4.0,
        tempo=120.0,
        repeat=False,
        api_name="/chords_from_text",
    )
    assert chords == {"beats_per_bar": 4, "bars": 2, "chords": [{"label": "C", "beat": 0}, {"label": "F", "beat": 4}]}
    preview = client.predict(chords, 120, 4, api_name="/preview_chords")
    assert soundfile.info(preview).duration == 4

    found = client.predict(gradio_client.handle_file(preview), 0, 4, 4.0, 120, api_name="/chords_from_file")
    assert [chord["label"] for chord in found["chords"]] == ["C", "F"]

    preview = client.predict(BACKBEAT, 120, 4, api_name="/preview_drums")
    assert np.abs(soundfile.read(preview)[0]).max() > 0.3
    drums = client.predict(gradio_client.handle_file(preview), 0, False, api_name="/drums_from_file")
    (wav,), (archive,), _ = client.predict(
        **{**REQUESTED, "drums": "recording"}, recording=gradio_client.handle_file(drums), api_name="/generate"
    )
    with zipfile.ZipFile(archive) as files:
        kept, rate = soundfile.read(io.BytesIO(files.read("drums.wav")))
    assert np.allclose(kept, soundfile.read(drums)[0][: 4 * rate])
    settings, recording = client.predict(gradio_client.handle_file(archive), api_name="/load_settings")
    settings.pop("format")
    (again,), _, _ = client.predict(**settings, recording=gradio_client.handle_file(recording), api_name="/generate")
    assert open(again, "rb").read() == open(wav, "rb").read()

    # The same beat as steps, from the recording and from a file of the pattern
    beat = client.predict(gradio_client.handle_file(drums), 0, False, 4, api_name="/pattern_from_file")
    file = client.predict(BACKBEAT, 97.5, api_name="/pattern_to_file")
    same = client.predict(gradio_client.handle_file(file), 0, False, 4, api_name="/pattern_from_file")
    assert (list(beat[1:]), list(same)) == ([120, 4], [check_steps(BACKBEAT), 97.5, 4])
    for drum in ("kick", "snare", "hat"):
        assert np.array_equal(np.sign(beat[0]["tracks"][drum]), np.sign(BACKBEAT["tracks"][drum]))

    preview = client.predict(MELODY, 120, 4, api_name="/preview_melody")
    melody = client.predict(gradio_client.handle_file(preview), 0, True, 4.0, 120, api_name="/melody_from_file")
    assert {note["midi"] for note in melody["notes"] if note["beats"] > 1} == {64, 67, 69, 72}


def wrong(client, message: str, **values):
    """Expects an error message without paths or tracebacks."""
    with pytest.raises(gradio_client.exceptions.AppError, match=message) as error:
        client.predict(**values)
    # "F/A" is a chord.
    assert "Traceback" not in str(error.value) and not re.search(r"(^|[^\w'])/|/.*/", str(error.value))


def test_the_server_enforces_limits(client, tmp_path):
    generate = {**REQUESTED, "api_name": "/generate"}
    wrong(client, "180", **{**generate, "duration": 181})
    wrong(client, "4", **{**generate, "variations": 5})
    wrong(client, "100", **{**generate, "steps": 1000})
    wrong(client, "10", **{**generate, "guidance_scale": 99})
    wrong(client, "500|characters", **{**generate, "prompt": "la" * 500})
    wrong(client, "seed", **{**generate, "seed": -3})
    wrong(client, "Bar 2, beat 1.*unknown chord 'Xyz'", **{
        **generate, "chords": {**C_AM_F_G, "chords": [{"label": "Xyz", "beat": 4}]}})  # fmt: skip
    wrong(client, "swing", **{**generate, "pattern": {**BACKBEAT, "swing": 7}})
    wrong(client, "43", **{**generate, "melody": {"beats": 4, "notes": [{"midi": 1, "beat": 0, "beats": 1}]}})
    wrong(client, "Choose a file first", **{**generate, "drums": "recording"})
    wrong(
        client,
        "no hits",
        pattern={"steps": 16, "tracks": {}, "swing": 0},
        tempo=120,
        duration=4,
        api_name="/preview_drums",
    )
    short = tmp_path / "slow.wav"
    soundfile.write(short, np.zeros(601 * 8000), 8000, subtype="PCM_U8")
    wrong(client, "lasts 10:01 minutes, but at most 10:00", file=gradio_client.handle_file(str(short)), start=0,
          beats_per_bar=4, duration=4, tempo=120, api_name="/chords_from_file")  # fmt: skip


def test_uploads_above_the_limit_are_refused(server, tmp_path):
    httpx = pytest.importorskip("httpx")
    response = httpx.post(f"{server}gradio_api/upload", files={"files": ("big.wav", b"\0" * 26_500_000)})
    assert response.status_code == 413


def test_other_files_of_the_server_are_not_accessible(client, server, tmp_path):
    """The server reads only uploaded files, and serves only generated ones."""
    httpx = pytest.importorskip("httpx")
    song = tmp_path / "song.wav"
    write_wav(song, preview_chords([("C", 0)], 4.0, RATE))
    assert client.predict(gradio_client.handle_file(str(song)), 0, 4, 4.0, 120, api_name="/chords_from_file")["chords"]

    data = [{"path": str(song), "meta": {"_type": "gradio.FileData"}}, 0, 4, 4.0, 120]
    call = httpx.post(f"{server}gradio_api/call/chords_from_file", json={"data": data}).json()["event_id"]
    answer = httpx.get(f"{server}gradio_api/call/chords_from_file/{call}").text
    assert "event: error" in answer and "chords" not in answer
    assert httpx.get(f"{server}gradio_api/file={song}").status_code == 403


def test_one_of_several_overlapping_requests_is_stopped(server, tmp_path):
    """A stop ends only the session's own run, within one step. Other results are unaffected."""
    first, second = connect(server, tmp_path / "first"), connect(server, tmp_path / "second")
    alone = open(first.predict(**REQUESTED, seed=11, api_name="/generate")[0][0], "rb").read()

    endless = second.submit(**REQUESTED | {"duration": 30.0, "steps": 100, "variations": 4}, api_name="/generate")
    while "step 1 " not in str(endless.status().progress_data):
        assert not endless.done()
        time.sleep(0.02)
    running = first.submit(**REQUESTED, seed=11, api_name="/generate")
    assert second.predict(api_name="/stop") == 1
    started = time.monotonic()
    wavs, zips, report = endless.result()
    assert (wavs, zips, report["seeds"], report["remarks"]) == ([], [], [], ["Stopped."])
    # 400 steps of these take a minute.
    assert time.monotonic() - started < 30
    assert open(running.result()[0][0], "rb").read() == alone
    assert first.predict(api_name="/stop") == 0


def test_takes_that_were_finished_before_a_stop_are_kept(server, tmp_path):
    client = connect(server, tmp_path)
    job = client.submit(**REQUESTED | {"steps": 40, "variations": 4}, api_name="/generate")
    while "Take 2" not in str(job.status().progress_data):
        assert not job.done()
        time.sleep(0.02)
    client.predict(api_name="/stop")
    wavs, _, report = job.result()
    assert 1 <= len(wavs) < 4 and report["remarks"] == [
        f"Stopped. {len(wavs)} take{'s' * (len(wavs) > 1)} finished before."
    ]


@pytest.mark.slow
def test_eight_concurrent_clients_get_the_same_results_as_alone(server, tmp_path):
    alone = connect(server, tmp_path / "alone")
    requests = [[{**REQUESTED, "seed": 100 * number + index, "prompt": f"{['rock', 'techno'][index % 2]}, drums"}
                 for index in range(5)] for number in range(8)]  # fmt: skip
    got = [[] for _ in requests]

    def make(client, request: dict, seconds: list[float]) -> bytes:
        started = time.monotonic()
        wavs, _, _ = client.predict(**request, api_name="/generate")
        seconds.append(time.monotonic() - started)
        return open(wavs[0], "rb").read()

    together, one_by_one = [], []

    def visit(number: int):
        client = connect(server, tmp_path / str(number))
        for request in requests[number]:
            got[number].append(make(client, request, together))

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(8)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - started
    for number, mine in enumerate(requests):
        for index, request in enumerate(mine):
            assert got[number][index] == make(alone, request, one_by_one), (number, index)
    print(
        f"\n40 requests of 8 clients at once: {took:.1f} s; a request took {np.median(together):.1f} s (median), "
        f"{max(together):.1f} s (longest); alone {np.median(one_by_one):.1f} s"
    )
    assert len({wav for wavs in got for wav in wavs}) == 40
