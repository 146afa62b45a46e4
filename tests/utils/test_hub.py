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
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from ..hub_server import Hub


ROOT = Path(__file__).parents[2]


class Run:
    """The observations (JSON) and the audio that a process recorded."""

    def __init__(self, name: str, folder: Path):
        self.observations = json.loads((folder / f"{name}.json").read_text())
        self.audios = load_file(folder / f"{name}.safetensors")


def run(folder: Path, home: str, endpoint: str, *names: str) -> list[Run]:
    """Runs functions of `hub_processes` in a new process that only knows this Hub and none of the user's settings."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    environment |= {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(folder / home),
        "HF_TOKEN": Hub.token,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-m", "tests.hub_processes", str(folder), *names]
    process = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=600)
    assert process.returncode == 0, process.stderr[-5000:]
    return [Run(name, folder) for name in names]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="module")
def published(hub, folder):
    return run(folder, "home-of-publisher", hub.endpoint, "publish")[0]


@pytest.fixture(scope="module")
def loaded(hub, folder, published):
    hub.repositories["org/gated"] = replace(hub.repositories["org/pipeline"], gated=True)
    hub.repositories["facebook/jasco-tiny"] = hub.repositories["org/original"]
    hub.repositories["org/gated-original"] = replace(hub.repositories["org/original"], gated=True)
    hub.cut_next("text_encoder/model.safetensors")
    return run(folder, "home", hub.endpoint, "load")[0]


@pytest.fixture(scope="module")
def standalone_and_offline(hub, folder, loaded):
    return run(folder, "home", hub.endpoint, "load_standalone", "load_offline")


@pytest.fixture
def standalone(standalone_and_offline):
    return standalone_and_offline[0]


@pytest.fixture
def offline(standalone_and_offline):
    return standalone_and_offline[1]


def front_matter(card: bytes) -> dict:
    return yaml.safe_load(card.decode().split("---")[1])


def test_diffusers_still_has_the_private_table_that_we_register_in():
    hint = (
        "Diffusers has changed its private table of libraries, in which diffusers_jasco/__init__.py registers so that"
        " pipelines load by Hub id. Read `get_class_obj_and_candidates` and `_get_custom_components_and_folders` in"
        " its pipelines/pipeline_loading_utils.py, register in the table that they use now, run"
        " tests/utils/test_hub.py, and raise the lower bound of diffusers in setup.py. Until then, set an upper bound"
        " there. Published repositories need no change."
    )
    from diffusers.pipelines import pipeline_loading_utils

    table = getattr(pipeline_loading_utils, "LOADABLE_CLASSES", None)
    methods = ["save_pretrained", "from_pretrained"]
    assert isinstance(table, dict), hint
    assert {"ModelMixin", "SchedulerMixin"} <= set(table.get("diffusers", {})), hint
    assert table["diffusers"]["ModelMixin"] == table["diffusers"]["SchedulerMixin"] == methods, hint

    import diffusers_jasco

    ours = ("ModelMixin", "SchedulerMixin", "JascoGuidance")
    assert table.get("diffusers_jasco") == dict.fromkeys(ours, methods), hint
    assert pipeline_loading_utils.ALL_IMPORTABLE_CLASSES["JascoGuidance"] == methods, hint
    library = pipeline_loading_utils._fetch_class_library_tuple(diffusers_jasco.FlowMatchEulerScheduler())
    assert library == ("diffusers_jasco", "FlowMatchEulerScheduler"), hint


@pytest.mark.parametrize("name", ["v1", "branch", "model pipeline", "model alone", "model part"])
def test_the_first_version_is_bit_identical(published, loaded, name):
    assert torch.equal(loaded.audios[name], published.audios["pipeline"])


@pytest.mark.parametrize(
    "name",
    [
        "main",
        "pieces",
        "one piece",
        "general",
        "saved by another class",
        "source of a training",
        "elsewhere",
        "private",
    ],
)
def test_the_newest_version_is_bit_identical(published, loaded, name):
    assert torch.equal(loaded.audios[name], published.audios["stronger"])
    assert not torch.equal(published.audios["stronger"], published.audios["pipeline"])


def test_variants(hub, published, loaded):
    assert torch.equal(loaded.audios["variant"], published.audios["half"])
    assert not torch.equal(published.audios["half"], published.audios["stronger"])
    weights = {path for path in hub.files("org/pipeline") if path.startswith("transformer/") and "model" in path}
    assert weights == {f"transformer/diffusion_pytorch_model{variant}.safetensors" for variant in ("", ".fp16")}
    assert loaded.observations["half dtype"] == "torch.float16"


def test_chord_labels_are_preserved(loaded):
    from diffusers_jasco.controls.chord_labels import default_chord_labels

    assert loaded.observations["labels"] == default_chord_labels()[::-1]


def test_classes_are_found_by_name_after_importing_the_package(loaded):
    assert (loaded.observations["general"], loaded.observations["auto"]) == ("JascoPipeline", "JascoTransformerModel")
    assert loaded.observations["auto pipeline"] == "JascoPipeline"
    assert loaded.observations["others"] == ["JascoInpaintPipeline", "JascoAudioToAudioPipeline"]


def test_sharded_weights(hub, published):
    assert sum("-of-" in path for path in hub.files("org/pieces")) > 3
    # Old shards would be loaded instead of new unsharded weights.
    assert not [
        path for path in hub.files("org/one-piece") if "-of-" in path or path.endswith("index.json") and "/" in path
    ]


def test_an_interrupted_download_resumes(hub, published, loaded):
    path = "/org/large/resolve/"
    answers = [status for method, url, status in hub.requests if method == "GET" and path in url and "text_enc" in url]
    assert 206 in answers
    assert torch.equal(loaded.audios["large"], published.audios["half"])


def test_offline_loading_after_one_download(published, loaded, offline):
    for name in ("local files only", "no connection", "elsewhere"):
        assert torch.equal(offline.audios[name], published.audios["stronger"])
    for name in ("v1", "model"):
        assert torch.equal(offline.audios[name], published.audios["pipeline"])
    assert "LocalEntryNotFoundError" in offline.observations["error"]


def test_loading_errors_give_the_reason(loaded):
    errors = loaded.observations["errors"]
    for name in ("private", "absent"):
        assert f"org/{name}" in errors[name] and "RepositoryNotFoundError" in errors[name]
    assert "GatedRepoError" in errors["gated"] and "org/gated" in errors["gated"]
    assert "RevisionNotFoundError" in errors["revision"] and "v7" in errors["revision"]
    assert "trust_remote_code=True" in errors["standalone"]


def test_audiocraft_layout_by_repository_id(hub, folder, published, loaded, offline):
    from ..conftest import load_pipeline
    from ..hub_processes import play

    expected = play(load_pipeline("chords-drums-melody"))
    for audio in (loaded.audios["original"], loaded.audios["converted"], offline.audios["original"]):
        assert torch.equal(audio, expected)
    assert torch.equal(offline.audios["original, local files only"], expected)
    for name in ("org/converted", "org/converted-too"):
        card = front_matter(hub.files(name)["README.md"])
        assert (card["base_model"], card["license"]) == ("facebook/jasco-tiny", "cc-by-nc-4.0")
    original, back = (torch.load(folder / name / "state_dict.bin", weights_only=True) for name in ("original", "back"))
    weights, weights_back = original.pop("best_state"), back.pop("best_state")
    assert original == back and weights.keys() == weights_back.keys()
    assert all(torch.equal(weight, weights_back[name]) for name, weight in weights.items())


def test_errors_for_gated_and_unrelated_repositories(loaded):
    errors = loaded.observations["errors"]
    assert errors["gated original"].startswith("PermissionError: org/gated-original is gated: request access at http")
    assert "CC-BY-NC 4.0" in errors["gated original"]
    license_error = errors["license of a converted folder"]
    assert "facebook/jasco-tiny and everything derived from it is under cc-by-nc-4.0" in license_error
    assert errors["neither layout"].startswith("FileNotFoundError: org/t5 is not a JASCO checkpoint: it has neither")
    assert "There is no folder 'no/such/folder'" in errors["no id"]


def test_standalone_repositories_load_without_importing_the_package(published, standalone):
    assert standalone.observations["imported"] == []
    assert "trust_remote_code=True" in standalone.observations["untrusted"]
    assert torch.equal(standalone.audios["standalone"], published.audios["stronger"])
    # Saved again, it is an ordinary pipeline.
    index = standalone.observations["index"]
    assert index["_class_name"] == "JascoPipeline" and index["transformer"][0] == "diffusers_jasco"
    assert standalone.observations["snippet"] == [1, 32000]


def test_commits_and_branches(hub, published):
    repository = hub.repositories["org/pipeline"]
    assert repository.messages[:3] == ["initial commit", "First version", "Upload JascoPipeline"]
    assert repository.tags["v1"] == published.observations["commit"]
    assert set(repository.branches) == {"main", "try/other"}
    assert not repository.private and hub.repositories["org/private"].private
    assert published.observations["pull request"].endswith("org/pieces/discussions/1")


def test_no_local_paths_are_published(hub, folder, published):
    for repository in hub.repositories.values():
        for files in repository.commits.values():
            texts = [content.decode() for path, content in files.items() if path.endswith((".json", ".md", ".py"))]
            assert not [text for text in texts if str(ROOT) in text or str(folder) in text]


def test_the_card_of_a_pipeline(hub, published, loaded):
    card = hub.files("org/pipeline", "try/other")["README.md"]
    assert front_matter(card) == {
        "license": "mit",
        "library_name": "diffusers",
        "pipeline_tag": "text-to-audio",
        "base_model": "org/other",
        "tags": ["jasco", "music", "text-to-music"],
    }
    text = card.decode()
    for part in (
        "| `chords` |",
        "| `drums` |",
        "| `melody` |",
        "1 second of music",
        "The vocabulary has 192 chords",
        "32000 Hz",
        "`FlowMatchEulerScheduler`",
        "| 4 |",
    ):
        assert part in text
    assert "| `guidance_scale` (all conditions) | 2 |" in text
    # A card that was not edited is updated with the checkpoint.
    text = hub.files("org/pipeline")["README.md"].decode()
    assert "| `guidance_scale` (all conditions) | 3 |" in text and "variant=" not in text
    assert 'variant="fp16"' in hub.files("org/half")["README.md"].decode()


def test_the_card_describes_the_checkpoint():
    from diffusers_jasco import FlowMatchDopri5Scheduler, SpectralCodecModel
    from diffusers_jasco.pipelines.hub_mixin import describe_pipeline

    from ..conftest import load_pipeline

    pipe = load_pipeline("chords-drums", scheduler=FlowMatchDopri5Scheduler())
    text = describe_pipeline(pipe, "org/x")
    assert "drums=" in text and "melody" not in text
    assert "chosen by the solver (`rtol` 1e-05)" in text
    pipe.register_modules(codec=SpectralCodecModel())
    assert "2 seconds of music (mono, 16000 Hz)" in describe_pipeline(pipe, "org/x")


@pytest.mark.parametrize("repo_id", ["org/pipeline", "org/half"])
def test_the_code_example_of_the_card_runs(loaded, repo_id):
    shape, size = loaded.observations[f"snippet {repo_id}"]
    assert shape == [1, 32000] and size > 3 * 32000


def test_a_single_model_is_published_like_in_diffusers(hub, published):
    model = {"config.json", "diffusion_pytorch_model.safetensors"}
    assert set(hub.files("org/transformer")) == {".gitattributes", "README.md", *model}
    assert set(hub.files("org/parts")) == {".gitattributes", *(f"transformer/{name}" for name in model)}


def test_replacing_a_handwritten_card_warns(hub, published):
    warnings = published.observations["warnings"]
    assert warnings["first"] == warnings["again"] == []
    assert "set `license`" in warnings["without license"][0]
    assert "If it is derived from Meta's weights" in warnings["from AudioCraft"][0]
    assert "written by hand: it is kept" in warnings["card on the Hub"][0]
    repository = hub.repositories["org/by-hand"]
    cards = [files.get("README.md", b"") for files in repository.commits.values()]
    assert cards[-2:] == [b"# Mine\n", b"---\nlicense: mit\n---\n# Mine, too\n"]
    assert "It replaces the card of org/by-hand" in warnings["two cards"][0]
    # Metadata that was added on the Hub does not count as an edit of the generated text.
    card = hub.files("org/metadata")["README.md"]
    assert front_matter(card)["language"] == "en" and front_matter(card)["license"] == "mit"
    assert "base_model" not in front_matter(card)
    assert "| `guidance_scale` (all conditions) | 3 |" in card.decode()


def test_publishing_errors(hub, published):
    errors = published.observations["errors"]
    assert errors["public"].startswith("ValueError: `private=True`, but org/pipeline exists and is public")
    assert errors["license"].startswith(
        "ValueError: `license` is 'mit', but facebook/jasco-chords-drums-400M and everything derived from it is under"
    )
    assert errors["standalone"].startswith("ValueError: `standalone=True` requires a pipeline at the root")
    assert "403" in errors["token"]
    assert "org/x" not in hub.repositories


def test_publishing_from_the_command_line(hub, published):
    assert hub.repositories["org/script"].private
    files = hub.files("org/script", "half")
    assert files["README.md"] == b"---\nlicense: mit\n---\n# By hand\n"
    assert [path for path in files if path.startswith("transformer/") and ".fp16-00002-of-" in path]
    assert set(hub.files("org/script")) == {".gitattributes"}


def test_all_requests_are_known_to_the_server(hub, loaded, standalone):
    assert hub.unknown_requests == []
