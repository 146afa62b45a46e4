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
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from safetensors.torch import load_file

from diffusers_jasco import JascoPipeline, SpectralCodecModel
from diffusers_jasco.codecs import load_codec
from diffusers_jasco.data.sources import find_sources
from diffusers_jasco.training.codec.codebooks import CodebookTrainer

from ..conftest import load_pipeline, run_script
from ..data.test_crops import load_mono, write


ROOT = Path(__file__).parents[2]
ENCODEC = {
    "class": "EncodecModel", "sampling_rate": 8000, "num_filters": 2, "hidden_size": 8, "codebook_dim": 8,
    "codebook_size": 16, "upsampling_ratios": [4, 5, 8], "num_lstm_layers": 1, "target_bandwidths": [0.4],
    "use_causal_conv": False,
}  # fmt: skip
SPECTRAL = {
    "class": "SpectralCodecModel", "sampling_rate": 8000, "hop_length": 320, "latent_dim": 8, "num_pitches": 130,
    "num_mels": 20, "hidden_dim": 8, "num_layers": 1, "num_noise_bands": 8, "codebook_size": 16,
}  # fmt: skip


@pytest.fixture(autouse=True)
def signals():
    """Restores the signal handlers that a script replaces."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """Recordings in many formats, one of which is shorter than a sample."""
    folder = tmp_path_factory.mktemp("music")
    write(folder / "mono.wav", 2.0, 8000, seed=0)
    write(folder / "a" / "stereo.flac", 1.3, 44100, channels=2, seed=1)
    write(folder / "a" / "b" / "short.ogg", 0.25, 22050, seed=2)
    write(folder / "old.mp3", 1.5, 32000, channels=2, seed=3)
    write(folder / "surround.aiff", 0.7, 16000, channels=6, seed=4)
    (folder / "notes.txt").write_text("no music")
    return folder


@pytest.fixture(scope="module")
def drums(tmp_path_factory):
    """A dataset with drum stems."""
    folder = tmp_path_factory.mktemp("drums")
    rng, lines = np.random.default_rng(0), []
    for index in range(4):
        clicks = rng.standard_normal(16000) * np.exp(-40 * (np.arange(16000) / 8000 % 0.5))
        tone = np.sin(np.arange(16000) * (0.2 + 0.05 * index))
        for name, audio in (("mix", 0.3 * clicks + 0.3 * tone), ("drums", 0.3 * clicks)):
            soundfile.write(folder / f"{index}.{name}.flac", audio.clip(-1, 1), 8000)
        lines.append({"file_name": f"{index}.mix.flac", "stems": {"drums": f"{index}.drums.flac"}})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def arguments(dataset: Path, output: Path, codec: dict = ENCODEC, **options) -> list[str]:
    options = {
        "dataset": dataset, "output": output, "codec": json.dumps(codec), "seconds": 0.32, "batch_size": 2,
        "max_steps": 5, "warmup_steps": 1, "log_every": 1, "learning_rate": 5e-3, "complex_weight": 1.0,
        "discriminator_filters": 2, "cpu": True,
    } | options  # fmt: skip
    flags = []
    for name, value in options.items():
        flags += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return flags


def train(*args, **options):
    run_script("train_codec", *arguments(*args, **options))


def read_log(output: Path) -> list[dict]:
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


def assert_same_run(output: Path, reference: Path, step: int):
    names = sorted(path.name for path in (output / "codec").iterdir())
    for name in (*names, f"../checkpoints/step-{step:08d}/model.safetensors"):
        assert (output / "codec" / name).read_bytes() == (reference / "codec" / name).read_bytes(), name
    logs = [
        [{k: v for k, v in line.items() if k not in ("minutes", "samples_per_second")} for line in read_log(folder)]
        for folder in (output, reference)
    ]
    assert logs[0] == logs[1]


@pytest.mark.parametrize("codec", [ENCODEC, SPECTRAL], ids=lambda codec: codec["class"])
def test_codecs_learn_from_recordings_in_many_formats(tmp_path, music, codec):
    # SpectralCodecModel improves less, as its linear part is fitted before the first step.
    ratio, complex_weight = (0.97, 1.0) if codec is ENCODEC else (0.99, 0.0)
    options = {"validation_dataset": music, "validate_every": 40, "fit_clips": 5, "complex_weight": complex_weight}
    train(music, tmp_path, codec, max_steps=40, **options)
    log = read_log(tmp_path)
    losses = [line["validation_loss"] for line in log if "validation_loss" in line]
    assert len(losses) == 2 and losses[1] < ratio * losses[0]
    lines = [line for line in log if "loss" in line]
    assert [line["step"] for line in lines] == list(range(1, 41))
    assert np.mean([line["loss"] for line in lines[-5:]]) < ratio * np.mean([line["loss"] for line in lines[:5]])
    assert all(line["grad_norm"] > 0 and line["epoch"] == (line["step"] - 1) // 8 for line in lines)
    lost = [line["validation_lost_variance"] for line in log if "validation_lost_variance" in line][-1]
    assert len(lost) == len(load_codec(tmp_path).quantizer.layers) and lost == sorted(lost, reverse=True)
    assert 0 < lost[0] < 0.9


def test_the_codec_keeps_its_sampling_rate_with_mixed_rates(tmp_path, music):
    train(music, tmp_path, max_steps=1)
    codec = load_codec(tmp_path)
    assert codec.config.sampling_rate == 8000 and codec.config.hop_length == 160
    assert not codec.training and all(parameter.isfinite().all() for parameter in codec.parameters())


@pytest.mark.parametrize("kind", ["encodec", "adversarial", "spectral"])
def test_a_killed_run_resumes_exactly(tmp_path, drums, monkeypatch, kind):
    options = {"codec": SPECTRAL if kind == "spectral" else ENCODEC, "adversarial": kind == "adversarial"}
    options |= {
        "checkpoint_every": 3,
        "log_every": 2,
        "commitment_weight": 0.1,
        "max_steps": 6,
        "validation_dataset": drums,
        "validate_every": 4,
    }
    options = {name: value for name, value in options.items() if value is not False}
    train(drums, tmp_path / "straight", **options)

    calls = []

    def die_in_the_sixth_step(self, *args):
        calls.append(args)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return forward(self, *args)

    forward = CodebookTrainer.forward
    with monkeypatch.context() as patch:
        patch.setattr(CodebookTrainer, "forward", die_in_the_sixth_step)
        with pytest.raises(KeyboardInterrupt):
            train(drums, tmp_path / "killed", **options)
    assert [line["step"] for line in read_log(tmp_path / "killed")] == [0, 2, 4, 4]
    assert [path.name for path in (tmp_path / "killed/checkpoints").iterdir()] == ["step-00000003"]
    torch.manual_seed(12345)
    train(drums, tmp_path / "killed", **options, resume="latest")
    assert_same_run(tmp_path / "straight", tmp_path / "killed", 6)


def test_a_run_killed_before_its_first_checkpoint_starts_over(tmp_path, drums):
    train(drums, tmp_path / "straight", validation_dataset=drums)
    (tmp_path / "killed").mkdir()
    lines = (tmp_path / "straight" / "log.jsonl").read_text()
    (tmp_path / "killed" / "log.jsonl").write_text(lines + '{"step": 6, "lo')
    train(drums, tmp_path / "killed", validation_dataset=drums, resume="latest")
    assert_same_run(tmp_path / "straight", tmp_path / "killed", 5)


def test_statistics_of_the_latents(tmp_path, music):
    train(music, tmp_path)
    statistics = json.loads((tmp_path / "codec" / "latents_statistics.json").read_text())
    codec = load_codec(tmp_path)
    # All recordings are shorter than 10 s, so each is one clip, without padding.
    files = [Path(source.url.removeprefix("file://")) for source in find_sources(music)]
    with torch.no_grad():
        latents = torch.cat([codec.encoder(load_mono(path, 8000)[None])[0] for path in files], dim=1).double()
    num_frames = sum(math.ceil(load_mono(path, 8000).shape[1] / 160) for path in files)
    assert statistics["num_frames"] == latents.shape[1] == num_frames
    assert statistics["mean"] == pytest.approx(latents.mean().item(), abs=1e-5)
    assert statistics["std"] == pytest.approx(latents.std(unbiased=False).item(), rel=1e-4)
    assert statistics["channel_mean"] == pytest.approx(latents.mean(1).tolist(), abs=1e-5)
    assert statistics["channel_std"] == pytest.approx(latents.std(1, unbiased=False).tolist(), rel=1e-4)
    embed = codec.quantizer.layers[0].codebook.embed.double()
    error = torch.cdist(latents.T, embed).min(dim=1).values.square().sum()
    assert statistics["codebooks_lost_variance"][0] == pytest.approx(
        (error / latents.shape[1] / latents.var(1, unbiased=False).sum()).item(), rel=1e-3
    )


def test_the_codec_is_a_component_of_a_pipeline(tmp_path, music):
    pipe = load_pipeline("chords-drums-melody")
    options = {"sampling_rate": 32000, "hidden_size": 16, "codebook_dim": 16, "upsampling_ratios": [8, 5, 4, 4]}
    train(music, tmp_path / "run", ENCODEC | options, max_steps=1)
    pipe.save_pretrained(tmp_path / "pipe")
    shutil.rmtree(tmp_path / "pipe" / "codec")
    shutil.copytree(tmp_path / "run" / "codec", tmp_path / "pipe" / "codec")
    loaded = JascoPipeline.from_pretrained(tmp_path / "pipe")
    weights, trained = loaded.codec.state_dict(), load_file(tmp_path / "run" / "codec" / "model.safetensors")
    assert all(torch.equal(weights[name], trained[name]) for name in trained)
    loaded.set_progress_bar_config(disable=True)
    audio = loaded(
        "rock",
        drums=(0.1 * torch.randn(1, 8000, generator=torch.Generator().manual_seed(0)), 8000),
        duration=1.0,
        num_inference_steps=2,
    ).audios
    assert audio.shape == (1, 1, 32000) and audio.isfinite().all()


def test_adversarial_training_changes_the_codec(tmp_path, music):
    train(music, tmp_path / "plain", max_steps=4)
    train(music, tmp_path / "adversarial", max_steps=4, adversarial=True, checkpoint_every=2, keep_checkpoints=0)
    names = {"adversarial_loss", "feature_loss", "discriminator_loss"}
    assert not names & read_log(tmp_path / "plain")[0].keys()
    lines = read_log(tmp_path / "adversarial")
    # The third step only trains the codec.
    assert [names <= line.keys() for line in lines] == [True, True, False, True]
    plain, adversarial = (load_codec(tmp_path / name).decoder.state_dict() for name in ("plain", "adversarial"))
    assert plain.keys() == adversarial.keys()
    assert any(not torch.equal(plain[name], adversarial[name]) for name in plain)
    before, after = (
        load_file(tmp_path / "adversarial" / "checkpoints" / f"step-{step:08d}" / "model_1.safetensors")
        for step in (2, 4)
    )
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_the_octave_loss_changes_the_codec(tmp_path, music):
    options = {"max_steps": 2, "seconds": 1.1}
    train(music, tmp_path / "plain", SPECTRAL, **options)
    train(music, tmp_path / "octaves", SPECTRAL, **options, octave_weight=1.0)
    assert read_log(tmp_path / "octaves")[0]["octave_loss"] > 0
    plain, octaves = (load_codec(tmp_path / name).decoder.state_dict() for name in ("plain", "octaves"))
    assert any(not torch.equal(plain[name], octaves[name]) for name in plain)


@pytest.mark.parametrize("codec", [ENCODEC, SPECTRAL], ids=lambda codec: codec["class"])
def test_a_frozen_encoder_keeps_latents_and_codebooks(tmp_path, music, codec):
    train(music, tmp_path / "first", codec, fit_clips=5)
    start = {"init_from": tmp_path / "first", "max_steps": 3, "fit_clips": 5}
    train(music, tmp_path / "frozen", codec, **start, freeze_encoder=True, adversarial=True)
    train(music, tmp_path / "free", codec, **start)
    first, frozen, free = (load_codec(tmp_path / name).state_dict() for name in ("first", "frozen", "free"))
    kept = [name for name in first if not name.startswith("decoder.")]
    assert all(torch.equal(first[name], frozen[name]) for name in kept)
    assert any(not torch.equal(first[name], free[name]) for name in kept)
    assert any(not torch.equal(first[name], frozen[name]) for name in first if name not in kept)


def test_the_bass_loss_trains_the_decoder(tmp_path, music):
    for name, weight in (("little", 1e-3), ("much", 10.0)):
        train(music, tmp_path / name, SPECTRAL, fit_clips=5, max_steps=8, bass_weight=weight)
    losses = [read_log(tmp_path / name)[-1]["bass_loss"] for name in ("little", "much")]
    assert losses[1] < 0.99 * losses[0]
    with pytest.raises(ValueError, match="`bass_weight` has to be 0 for EncodecModel, but is 2"):
        train(music, tmp_path / "encodec", bass_weight=2.0)


@pytest.fixture(scope="module")
def spectral_run(tmp_path_factory, music):
    """A run of a spectral codec."""
    folder = tmp_path_factory.mktemp("spectral")
    train(music, folder, SPECTRAL, fit_clips=5, max_steps=20)
    return folder


def test_a_decoder_imitates_another_one(tmp_path, music, spectral_run):
    options = {"init_from": spectral_run, "freeze_encoder": True, "imitate": spectral_run}
    # The reference itself has no loss.
    train(music, tmp_path / "same", {}, **options, max_steps=1)
    (line,) = read_log(tmp_path / "same")
    assert line["loss"] == line["imitation_loss"] == line["grad_norm"] == 0 and "time_loss" not in line
    # A decoder that looks ahead less learns to imitate it.
    short = {"codec": SPECTRAL | {"look_ahead": 1}, "max_steps": 40} | options
    for name, weight in (("little", 1e-3), ("much", 1.0)):
        train(music, tmp_path / name, **short, bass_weight=weight)
    little, much = (read_log(tmp_path / name) for name in ("little", "much"))
    first, last = (np.mean([line["imitation_loss"] for line in lines]) for lines in (little[:8], little[-8:]))
    assert last < 0.8 * first
    assert much[-1]["bass_loss"] < 0.97 * little[-1]["bass_loss"]
    assert much[-1]["loss"] == pytest.approx(much[-1]["imitation_loss"] + much[-1]["bass_loss"])
    first, codec = (load_codec(folder) for folder in (spectral_run, tmp_path / "little"))
    assert codec.config.look_ahead == 1 and torch.equal(codec.encoder.projection, first.encoder.projection)


def test_a_stopped_imitation_resumes_exactly(tmp_path, music, spectral_run):
    options = {"init_from": spectral_run, "freeze_encoder": True, "imitate": spectral_run, "bass_weight": 1.0}
    train(music, tmp_path / "straight", SPECTRAL | {"look_ahead": 1}, **options, max_steps=4)
    train(music, tmp_path / "stopped", SPECTRAL | {"look_ahead": 1}, **options, max_steps=4, max_minutes=0)
    assert read_log(tmp_path / "stopped")[-1]["step"] == 1
    run_script("train_codec", "--output", tmp_path / "stopped", "--resume", "latest", "--max_minutes", 10)
    assert_same_run(tmp_path / "straight", tmp_path / "stopped", 4)


def test_only_decoders_of_the_same_latents_are_imitated(tmp_path, music, spectral_run):
    train(music, tmp_path / "encodec", max_steps=1)
    train(music, tmp_path / "other", SPECTRAL, fit_clips=5, max_steps=1, seed=1)
    cases = [
        (tmp_path / "encodec", spectral_run, "`imitate` has to be None for EncodecModel"),
        (spectral_run, tmp_path / "encodec", "with the same latents as `init_from`"),
        (spectral_run, tmp_path / "other", "with the same latents as `init_from`"),
    ]
    for init_from, reference, message in cases:
        with pytest.raises(ValueError, match=message):
            train(music, tmp_path / "run", {}, init_from=init_from, imitate=reference, freeze_encoder=True)


def test_a_decoder_is_trained_for_another_look_ahead(tmp_path, music):
    train(music, tmp_path / "first", SPECTRAL, fit_clips=5, max_steps=1)
    short = SPECTRAL | {"look_ahead": 1}
    train(music, tmp_path / "short", short, init_from=tmp_path / "first", max_steps=1, learning_rate=1e-9)
    first, codec = (load_codec(tmp_path / name) for name in ("first", "short"))
    assert codec.config.look_ahead == 1 and codec.decoder.context == (6, 3)
    # The kernels keep the frames before, and those within the look-ahead.
    weights = [model.decoder.blocks[0].depthwise.weight for model in (first, codec)]
    torch.testing.assert_close(weights[1], weights[0][..., :4])
    assert torch.equal(codec.encoder.projection, first.encoder.projection)


def test_drums_train_the_first_codebook(tmp_path, drums):
    for name, share in (("mixes", 0.0), ("drums", 0.9)):
        train(drums, tmp_path / name, SPECTRAL, max_steps=1, drums_share=share, validation_dataset=drums)
    lost = [read_log(tmp_path / name)[-1]["validation_drums_lost_variance"] for name in ("mixes", "drums")]
    assert lost[1] < 0.7 * lost[0]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"codec": {"class": "VocosModel"}}, "`class` of `codec` has to be .* but is 'VocosModel'"),
        ({"codec": ENCODEC | {"num_filter": 2}}, "unknown options for EncodecModel: num_filter"),
        ({"codec": SPECTRAL | {"depth": 2}}, "unknown options for SpectralCodecModel: depth"),
        ({"codec": ENCODEC | {"normalize": True}}, "normalize: false"),
        ({"codec": ENCODEC | {"audio_channels": 2}}, "audio_channels: 1"),
        ({"seconds": 0.1}, "at least 0.256 at 8000 Hz"),
        ({"seconds": 0.5, "octave_weight": 1.0}, "at least 1.024 at 8000 Hz"),
        ({"codec": ENCODEC | {"codebook_size": 4096, "target_bandwidths": [0.6]}}, "at least 4096 latents"),
        ({"codec": ENCODEC | {"target_bandwidths": [0.1]}}, "at least the bandwidth of one codebook"),
        ({"learning_rate": 1e30}, "gradient norm of step"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_invalid_options_are_named(tmp_path, music, options, message):
    with pytest.raises((ValueError, FloatingPointError), match=message):
        train(music, tmp_path, **options)


def test_the_batch_size_is_reduced_to_the_size_of_the_data(tmp_path, music, warnings):
    train(music, tmp_path, max_steps=1, batch_size=99)
    assert "instead of 99" in warnings.text


def test_invalid_datasets_are_named(tmp_path, music):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no audio"):
        train(tmp_path / "empty", tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="absent"):
        train(tmp_path / "absent", tmp_path / "run")
    shutil.copytree(music, tmp_path / "broken")
    (tmp_path / "broken" / "noise.wav").write_bytes(os.urandom(100))
    with pytest.raises(ValueError, match="1 of 6 recordings.*noise.wav"):
        train(tmp_path / "broken", tmp_path / "run")
    (tmp_path / "splits" / "train").mkdir(parents=True)
    (tmp_path / "splits" / "train" / "metadata.jsonl").write_text("{}\n")
    with pytest.raises(ValueError, match="pass one of them, such as .*train"):
        train(tmp_path / "splits", tmp_path / "run")


def test_runs_are_neither_overwritten_nor_mixed_up(tmp_path, music):
    train(music, tmp_path, max_steps=1)
    with pytest.raises(ValueError, match="--resume latest"):
        train(music, tmp_path, max_steps=1)
    with pytest.raises(ValueError, match="`adversarial` has to be False to resume"):
        train(music, tmp_path, adversarial=True, resume="latest")
    with pytest.raises(ValueError, match="differs from `codec`"):
        train(music, tmp_path / "other", ENCODEC | {"hidden_size": 16, "codebook_dim": 16}, init_from=tmp_path)
    # Resuming a finished run changes nothing.
    before = (tmp_path / "codec" / "model.safetensors").read_bytes()
    train(music, tmp_path, max_steps=1, resume="latest")
    assert (tmp_path / "codec" / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    "options, message",
    [
        ({"freeze_encoder": True}, "--freeze_encoder needs --init_from"),
        ({"freeze_encoder": True, "init_from": "x", "commitment_weight": 0.1}, "--commitment_weight"),
        ({"imitate": "x", "init_from": "x"}, "--imitate needs --freeze_encoder"),
        ({"imitate": "x", "init_from": "x", "freeze_encoder": True, "adversarial": True}, "--adversarial needs"),
        ({"bass_weight": -1}, "--bass_weight has to be 0 or more"),
        ({"drums_share": 1.5}, "from 0 to 1"),
        ({"codec": {}}, "--codec is missing"),
        ({"batch_size": 0}, "--batch_size has to be at least 1"),
        ({"time_weight": -1}, "--time_weight has to be 0 or more"),
    ],
    ids=str,
)
def test_mistakes_in_the_flags_are_named(tmp_path, capsys, options, message):
    with pytest.raises(SystemExit):
        train(tmp_path, tmp_path, **options)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["codec_encodec", "codec_spectral"])
def test_configuration_files_are_valid(tmp_path, music, name):
    config = yaml.safe_load((ROOT / "training" / "configs" / f"{name}.yaml").read_text())
    config["codec"] |= {"codebook_size": 64} | ({"num_filters": 2} if name == "codec_encodec" else {})
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config | {"batch_size": 2, "max_steps": 1}))
    options = ("--dataset", music, "--output", tmp_path / "run", "--cpu", "--seconds", 0.5)
    run_script("train_codec", "--config", tmp_path / "config.yaml", *options)
    assert load_codec(tmp_path / "run").config.sampling_rate == config["codec"]["sampling_rate"]
    assert isinstance(load_codec(tmp_path / "run"), SpectralCodecModel) == (name == "codec_spectral")


def launch(args: list[str], processes: int = 1) -> subprocess.Popen:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, str(ROOT / "training" / "train_codec.py"), *args]
    if processes > 1:
        command[1:1] = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    return subprocess.Popen(command, env=environment, **options)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_resumes_exactly_after_sigkill(tmp_path, drums, processes):
    options = {"max_steps": 12, "batch_size": 1, "checkpoint_every": 3, "adversarial": True, "commitment_weight": 0.1}

    def run(output: Path, **extra):
        process = launch(arguments(drums, output, **options, **extra), processes)
        errors = process.communicate(timeout=300)[1]
        assert process.returncode == 0, errors

    run(tmp_path / "straight")
    process = launch(arguments(drums, tmp_path / "killed", **options), processes)
    deadline = time.monotonic() + 120
    while not (tmp_path / "killed/checkpoints/step-00000003").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    run(tmp_path / "killed", resume="latest")
    assert_same_run(tmp_path / "straight", tmp_path / "killed", 12)
