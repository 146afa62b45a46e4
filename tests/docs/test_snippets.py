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

"""Executes the code blocks of the README, the guides, and other pages, each page from top to bottom."""

import os
from pathlib import Path

import pytest
import soundfile

from diffusers_jasco import JascoPipeline, export_audio
from diffusers_jasco.controls.chords import chords_to_lab
from diffusers_jasco.controls.drum_machine import GROOVES
from diffusers_jasco.controls.previews import preview_chords, preview_melody

from .snippets import ROOT, read_snippets, run_snippets, split_commands


PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "examples/space/README.md",
    ROOT / "pipelines/jasco-nano/README.md",
    ROOT / "training/README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
SNIPPETS = {page.relative_to(ROOT).as_posix(): read_snippets(page) for page in PAGES}
QUICK = [name for name, snippets in SNIPPETS.items() if any(snippet.kind is None for snippet in snippets)]
SLOW = [name for name, snippets in SNIPPETS.items() if any(snippet.kind == "slow" for snippet in snippets)]


@pytest.fixture(scope="session")
def media(tmp_path_factory):
    """Input files for the pages: eight seconds of chords, a melody, and a beat."""
    for package in ("datasets", "librosa", "matplotlib", "mir_eval", "peft", "pretty_midi", "tinysoundfont"):
        pytest.importorskip(package)
    import pretty_midi

    folder, duration, rate = tmp_path_factory.mktemp("media"), 8.0, 32000
    chords = [("C", 0.0), ("Am", 2.0), ("F", 4.0), ("G", 6.0)]
    notes = [(72, 0.0, 1.0), (76, 2.0, 3.0), (79, 4.0, 5.5), (74, 6.0, 7.5)]
    drums = GROOVES["rock backbeat"].render(duration, rate)
    melody = preview_melody(notes, duration, rate)
    song = preview_chords(chords, duration, rate) + melody + drums
    for name, audio in (
        ("song.wav", song),
        ("song.mp3", song),
        ("beat.wav", drums),
        ("hum.wav", melody[..., : 3 * rate]),
    ):
        export_audio(audio, folder / name, rate)
    chords_to_lab(chords, folder / "song.lab", duration)
    midi = pretty_midi.PrettyMIDI()
    midi.instruments.append(pretty_midi.Instrument(0, name="melody"))
    midi.instruments[0].notes += [pretty_midi.Note(100, pitch, start, end) for pitch, start, end in notes]
    midi.write(str(folder / "song.mid"))
    return folder


@pytest.fixture(scope="session")
def adapter(tmp_path_factory):
    """A folder with an untrained LoRA of jasco-nano."""
    import peft

    folder = tmp_path_factory.mktemp("adapter")
    transformer = JascoPipeline.from_pretrained(ROOT / "pipelines/jasco-nano").transformer
    lora = peft.get_peft_model(transformer, peft.LoraConfig(r=2, target_modules=["to_q", "to_v"]))
    JascoPipeline.save_lora_weights(folder, lora)
    return folder


@pytest.fixture
def clone(media, adapter, nano_in_two_steps, tmp_path, monkeypatch):
    """
    Changes to a folder that looks like a clone of the repository and contains the input files of the pages. Its
    jasco-nano generates in two steps by default.
    """
    for name in ("examples", "scripts", "tests", "training", "setup.py", "README.md"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name in ("pipelines", "jasco-nano"):
        (tmp_path / name).symlink_to(nano_in_two_steps / name)
    for path in media.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (weights,) = adapter.glob("*.safetensors")
    (tmp_path / "lofi.safetensors").write_bytes(weights.read_bytes())
    (tmp_path / "runs").mkdir()
    for name in ("jazz", "style"):
        (tmp_path / "runs" / name).symlink_to(adapter)
    (tmp_path / "outputs").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", QUICK)
def test_page(name, clone, monkeypatch):
    run_snippets(SNIPPETS[name], monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_page_with_its_slow_snippets(name, clone, monkeypatch):
    run_snippets(SNIPPETS[name], monkeypatch, slow=True)


def test_readme_writes_ten_seconds_of_music(clone, monkeypatch):
    run_snippets(SNIPPETS["README.md"][:2], monkeypatch)
    (song,) = (path for path in clone.glob("*.wav") if path.name not in ("song.wav", "beat.wav", "hum.wav"))
    assert soundfile.info(song).duration == 10


def write(folder: Path, text: str) -> Path:
    path = folder / "page.md"
    path.write_text(text)
    return path


def test_a_failing_python_snippet_fails_on_its_line(tmp_path, monkeypatch):
    page = write(tmp_path, "One\n\n```python\nx = 1\n```\n\nTwo\n\n```python\nassert x == 2\n```\n")
    with pytest.raises(AssertionError) as error:
        run_snippets(read_snippets(page), monkeypatch)
    assert error.traceback[-1].lineno == 9 and str(error.traceback[-1].path) == str(page)


@pytest.mark.parametrize(
    "command", ["false", "python missing.py", "jasco-generate --unknown", "echo x | grep y", "unknown-command"]
)
def test_a_failing_command_fails(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = write(tmp_path, f"```bash\n{command}\n```\n")
    with pytest.raises((Exception, SystemExit)):
        run_snippets(read_snippets(page), monkeypatch)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("This is not run.\n<!-- snippet: skip -->\n```python\n```\n", "needs a reason"),
        ("<!-- snippet: skip (no GPU) -->\n```python\n```\n", "tell its readers"),
        ("<!-- snippet: tested (tests/missing.py) -->\n```python\n```\n", "no test tests/missing.py"),
        ("<!-- snippet: later -->\n```python\n```\n", "unknown marker"),
        ("<!-- snippet: slow -->\n\nText.\n\n```python\n```\n", "line before"),
    ],
)
def test_markers_are_checked(text, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read_snippets(write(tmp_path, text))


def test_indented_and_marked_blocks_are_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = write(
        tmp_path,
        "1. Item\n\n   ```python\n   if True:\n       x = 1\n   ```\n\n<!-- snippet: slow -->\n```python\ny = x\n```\n"
        "<!-- snippet: slow (with --max_steps 2) -->\n```bash\ntrue\n```\n```text\nnone\n```\n",
    )
    snippets = read_snippets(page)
    assert [(snippet.language, snippet.kind) for snippet in snippets] == [
        ("python", None),
        ("python", "slow"),
        ("bash", "slow"),
    ]
    assert snippets[2].options == ["--max_steps", "2"]
    assert "y" not in run_snippets(snippets, monkeypatch)
    assert run_snippets(snippets, monkeypatch, slow=True)["y"] == 1


def test_only_simple_commands_run_without_a_shell():
    code = "# comment\nA=1 python x.py --chords 'C | F' \\\n    --seed 1  # why\n\necho x > y\nfor i in $x; do\n"
    assert list(split_commands(code)) == [
        ["A=1", "python", "x.py", "--chords", "C | F", "--seed", "1"],
        None,
        None,
    ]


def test_installations_are_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = write(tmp_path, "```bash\nmake demo\npip install x\ngit clone x && cd x\n```\n")
    run_snippets(read_snippets(page), monkeypatch)
    assert os.listdir(tmp_path) == ["page.md"]
