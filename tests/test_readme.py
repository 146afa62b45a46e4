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

"""The Python code in the READMEs runs as it stands, from top to bottom."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from diffusers_jasco import JascoPipeline

from .evaluation.clips import play_chords, play_drums, play_melody


ROOT = Path(__file__).parents[1]
# A piece of each block that cannot run here, and why.
ABSENT = {
    'from_pretrained("facebook/jasco-chords-drums-melody-400M")': "Meta's weights are gated",
    "from audiocraft.models import JASCO": "AudioCraft is not installed",
    "import ray": "Ray is not installed",
    "from diffusers_jasco.training import load_run": "needs a training run; see tests/training/test_runs.py",
}


def python_blocks(path: Path) -> Iterator[tuple[int, str]]:
    """The line before each block of Python code, and the code."""
    text = path.read_text(encoding="utf-8")
    for match in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield text[: match.start(1)].count("\n"), match[1]


def run(path: Path, namespace: dict):
    for line, code in python_blocks(path):
        if not any(piece in code for piece in ABSENT):
            # An error names the line of the README.
            exec(compile("\n" * line + code, str(path), "exec"), namespace)


@pytest.fixture(scope="module")
def workplace(nano_in_two_steps):
    """A folder with the files that the READMEs name."""
    for package in ("datasets", "librosa", "matplotlib", "mir_eval", "peft", "pretty_midi", "tinysoundfont"):
        pytest.importorskip(package)
    import peft
    import pretty_midi

    folder, rate = nano_in_two_steps, 32000
    chords = [("C", 0.0), ("Am", 2.0), ("F", 4.0), ("G", 6.0)]
    notes = [(72, 0.0, 1.0), (76, 2.0, 3.0), (79, 4.0, 5.5)]
    drums = play_drums([0.5 * beat for beat in range(16)], 8.0, rate)
    melody = play_melody(notes, 8.0, rate)
    for name, audio in (
        ("song.mp3", play_chords(chords, 8.0, rate) + melody + drums),
        ("hum.wav", melody[:, : 3 * rate]),
        ("beat.wav", drums),
    ):
        soundfile.write(folder / name, audio[0].clamp(-1, 1).numpy(), rate)
    (folder / "song.lab").write_text("".join(f"{start} {start + 2} {label}\n" for label, start in chords))
    midi = pretty_midi.PrettyMIDI()
    midi.instruments.append(pretty_midi.Instrument(0, name="melody"))
    midi.instruments[0].notes += [pretty_midi.Note(100, pitch, start, end) for pitch, start, end in notes]
    midi.write(str(folder / "song.mid"))

    transformer = JascoPipeline.from_pretrained(folder / "pipelines/jasco-nano").transformer
    lora = peft.get_peft_model(transformer, peft.LoraConfig(r=2, target_modules=["to_q", "to_v"]))
    for name in ("path/or/org/repo", "runs/style"):
        JascoPipeline.save_lora_weights(folder / name, lora)
    (file,) = (folder / "path/or/org/repo").glob("*.safetensors")
    (folder / "other.safetensors").write_bytes(file.read_bytes())
    (folder / "outputs").mkdir(exist_ok=True)
    return folder


def test_readme(workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    namespace = {"prompt": "80s pop"}
    run(ROOT / "README.md", namespace)
    assert soundfile.info("song.wav").duration == 10
    assert namespace["audios"].shape == (4, 1, 240_000)
    assert namespace["transcription"].chords and Path("take.png").stat().st_size > 10_000


def test_every_block_that_does_not_run_is_known():
    blocks = [code for path in (ROOT / "README.md", ROOT / "training/README.md") for _, code in python_blocks(path)]
    for piece in ABSENT:
        assert sum(piece in code for code in blocks) == 1, f"No longer there, so remove from `ABSENT`: {piece}"
