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


"""Tests of `scripts/train_nano.sh`: at a tiny scale, and with programs that only log their options."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from diffusers_jasco import JascoPipeline
from diffusers_jasco.data.synthetic.rendering import find_soundfonts, get_renderer


ROOT = Path(__file__).parents[1]

# Stands for `python` and `accelerate`: logs the call and writes what the next stages need.
STUB = r"""#!/usr/bin/env bash
echo "$(basename "$0") $*" >> "$WORK/calls"
output=$(sed -nE 's/.*--output ([^ ]+).*/\1/p' <<< "$*")
[ -z "$output" ] || mkdir -p "$output"
case "$*" in
    "-c import torch"*) exit ${NO_GPU:-0} ;;
    *"--split train"*)
        [ -z "${FAIL:-}" ] || exit 3
        echo $$ > "$WORK/renderer"
        touch "$output/parts.json"
        [ "$DEVICE" = cpu ] || exec sleep 60 ;;
    *train_tokenizer.py*) touch "$output/tokenizer_config.json" ;;
    *train_text_encoder.py*) touch "$output/config.json" ;;
    *train_jasco.py*) touch "$output/log.jsonl" "$output/config.yaml" ;;
esac
"""


def find_renderer() -> dict[str, str]:
    """Settings for a renderer that is installed with a sound font, preferring the one of jasco-nano's training."""
    reasons = []
    for name in ("fluidsynth", "tinysoundfont"):
        try:
            font = str(find_soundfonts(name)[0])
            get_renderer(name, font, 24000)
            return {"RENDERER": name} | ({"SOUNDFONTS": font} if name == "tinysoundfont" else {})
        except (ImportError, FileNotFoundError) as error:
            reasons.append(str(error))
    pytest.skip("; ".join(reasons))


def train(work: Path, **settings: str) -> str:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "WORK": str(work),
        "OUTPUT": str(work / "pipeline"),
        **find_renderer(),
        **{"CLIPS": "24", "VALIDATION_CLIPS": "8", "STEPS": "4", "STUDENT_STEPS": "2"},
        **{"TOKENIZER_CLIPS": "50", "TEXT_ENCODER_CLIPS": "50", "TEXT_ENCODER_STEPS": "4"},
        **settings,
    }
    process = subprocess.run([ROOT / "scripts/train_nano.sh"], env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-3000:]
    return process.stdout


def read_weights(work: Path) -> dict[Path, bytes]:
    return {path.relative_to(work): path.read_bytes() for path in sorted((work / "pipeline").rglob("*.safetensors"))}


@pytest.mark.slow
def test_the_script_trains_a_pipeline_and_skips_finished_stages(tmp_path):
    train(tmp_path)
    pipe = JascoPipeline.from_pretrained(tmp_path / "pipeline")
    pipe.set_progress_bar_config(disable=True)
    audio = pipe("pop, drums", chords="C:0 F:1", duration=2.0, num_inference_steps=2).audios
    assert audio.shape == (1, 1, 2 * pipe.sampling_rate) and audio.isfinite().all() and audio.abs().max() > 0
    # The pipeline has latent statistics and is small enough to ship.
    assert len(pipe.transformer.config.latents_mean) == pipe.codec.config.latent_dim
    weights = load_file(tmp_path / "pipeline/transformer/diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    assert sum(file.stat().st_size for file in (tmp_path / "pipeline").rglob("*") if file.is_file()) <= 24e6

    # Words alone get a tempo, because the model has a beats control and a tempo model.
    tempos = pipe("pop, drums", duration=2.0, num_inference_steps=2).tempos
    assert tempos[0] is not None and "beats" in pipe.transformer.controls

    # Finished stages are skipped; missing results are recreated identically.
    features = tmp_path / "features/train/parts.json"
    before, rendered = read_weights(tmp_path), features.stat().st_mtime_ns
    shutil.rmtree(tmp_path / "pipeline")
    shutil.rmtree(tmp_path / "model")
    shutil.rmtree(tmp_path / "features/validation")
    train(tmp_path)
    assert read_weights(tmp_path) == before
    assert features.stat().st_mtime_ns == rendered


@pytest.mark.slow
def test_the_script_trains_in_legs_while_music_is_rendered(tmp_path):
    settings = {"CODEC": "pipelines/jasco-nano", "REMIXES": "0", "BESIDE": "1", "RESULTS": str(tmp_path / "results")}
    assert "The same command continues the run." in train(tmp_path, MAX_MINUTES="0", **settings)
    assert not (tmp_path / "pipeline").exists()
    train(tmp_path, **settings)
    assert (tmp_path / "features/train/part-00000").is_dir()

    # The packed files are the pipeline and its log.
    results = tmp_path / "results"
    subprocess.run(["sha256sum", "--check", "--quiet", "nano.sha256"], cwd=results, check=True)
    assert max(path.stat().st_size for path in results.iterdir()) < 16e6
    (tmp_path / "unpacked").mkdir()
    subprocess.run("cat results/nano.tar.* | tar -x -C unpacked", shell=True, cwd=tmp_path, check=True)
    pipe = JascoPipeline.from_pretrained(tmp_path / "unpacked")
    assert len(pipe.tokenizer) > 100 and (tmp_path / "unpacked/log.jsonl").read_text().count("\n") >= 1
    for name in read_weights(tmp_path):
        assert (tmp_path / "unpacked" / name.relative_to("pipeline")).read_bytes() == (tmp_path / name).read_bytes()


def call_stubs(work: Path, errors: Path | None = None, **settings: str) -> tuple[int, list[str]]:
    """Runs the script with [`STUB`]; returns the exit code and the calls, and writes its messages to a file."""
    for name in ("python", "accelerate"):
        (work / "bin").mkdir(exist_ok=True)
        (work / "bin" / name).write_text(STUB)
        (work / "bin" / name).chmod(0o755)
    (work / "calls").write_text("")
    environment = os.environ | {"PATH": f"{work / 'bin'}:{os.environ['PATH']}", "WORK": str(work)} | settings
    environment |= {"OUTPUT": str(work / "pipeline"), "RESULTS": str(work / "results")}
    # The stub of the renderer keeps pipes open.
    with open(errors or os.devnull, "w") as file:
        process = subprocess.run(
            [ROOT / "scripts/train_nano.sh"], env=environment, stdout=subprocess.DEVNULL, stderr=file
        )
    return process.returncode, (work / "calls").read_text().splitlines()


def find_option(call: str, name: str) -> float:
    words = call.split()
    return float(words[words.index(f"--{name}") + 1])


@pytest.mark.parametrize("limit, minutes", [(None, 6), ("2", 2), ("0", 0.01)])
def test_the_script_renders_beside_the_training_on_a_gpu_and_keeps_its_limit(tmp_path, limit, minutes):
    settings = {} if limit is None else {"LIMIT_MINUTES": limit}
    code, calls = call_stubs(tmp_path, DEVICE="cuda", MAX_MINUTES="5", **settings)
    assert code == 0 and (tmp_path / "results/nano.sha256").is_file()
    (training,) = (call for call in calls if "train_jasco.py" in call)
    assert calls[-1].startswith("python scripts/save_half_precision.py") and "--no-cpu" in training
    # The learning rate follows MAX_MINUTES, whatever the limit is.
    assert find_option(training, "total_minutes") == 5
    for call in (training, *(call for call in calls if "render_features.py" in call)):
        assert minutes - 0.2 < find_option(call, "max_minutes") <= minutes
    renderer = Path(f"/proc/{(tmp_path / 'renderer').read_text().strip()}")
    end = time.monotonic() + 10
    while renderer.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not renderer.exists(), "the renderer is still running"


def test_the_script_fails_with_its_renderer(tmp_path):
    code, calls = call_stubs(tmp_path, DEVICE="cuda", FAIL="1")
    assert code != 0 and not any("train_jasco.py" in call for call in calls)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"DEVICE": "cuda", "NO_GPU": "1"}, "DEVICE is cuda, but PyTorch finds no CUDA device."),
        ({"DEVICE": "gpu"}, "DEVICE has to be cpu or cuda, but is gpu."),
        (
            {"RENDERER": "tinysoundfont", "SOUNDFONTS": ""},
            "SOUNDFONTS has to be set with RENDERER=tinysoundfont, because the font in its package is under the GPL.",
        ),
    ],
)
def test_settings_are_checked_before_anything_is_rendered(tmp_path, settings, message):
    code, calls = call_stubs(tmp_path, tmp_path / "errors", **settings)
    assert code == 2 and not any(".py" in call for call in calls)
    assert (tmp_path / "errors").read_text() == f"train_nano.sh: {message}\n"


def test_a_leg_on_a_cpu_includes_all_stages(tmp_path):
    code, calls = call_stubs(tmp_path, DEVICE="cpu", MAX_MINUTES="5")
    stages = [Path(next(word for word in call.split() if word.endswith(".py"))).stem for call in calls]
    training = ["train_tokenizer", "train_text_encoder", "train_jasco", "train_jasco_distill"]
    assert code == 0 and stages == [*["render_features"] * 2, *training, "save_half_precision"]
    assert all(4.8 < find_option(call, "max_minutes") <= 5 for call in (*calls[:2], *calls[4:6]))
    assert "--num_processes 2" in calls[4] and "total_minutes" not in calls[4]
    assert f"--text_encoder {tmp_path}/text_encoder " in calls[4]
    assert f"--checkpoint {tmp_path}/student --teacher {tmp_path}/model" in calls[6]


def test_the_distillation_can_be_skipped(tmp_path):
    code, calls = call_stubs(tmp_path, DEVICE="cpu", STUDENT_STEPS="0")
    assert code == 0 and not any("train_jasco_distill.py" in call for call in calls)
    assert f"--checkpoint {tmp_path}/model --output" in calls[-1]
