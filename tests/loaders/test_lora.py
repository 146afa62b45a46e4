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
import re
import shutil
import subprocess
import sys
import warnings as python_warnings
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from diffusers_jasco import JascoPipeline
from diffusers_jasco.loaders import lora_files

from ..conftest import load_pipeline, relative_error
from ..hub_server import Repository


peft = pytest.importorskip("peft")

LORA = {"r": 2, "lora_alpha": 8, "target_modules": ["to_q", "to_v", "ff_in"]}
# What PEFT can do beyond plain layers: other ranks, all layers, embeddings, biases, magnitudes.
CONFIGS = {
    "plain": LORA,
    "patterns": LORA | {"rank_pattern": {"ff_in": 4}, "alpha_pattern": {"ff_in": 1}, "use_rslora": True},
    "all linear": LORA | {"target_modules": "all-linear"},
    "embedding": LORA | {"target_modules": ["to_q", "chord_embedding"]},
    "bias": LORA | {"lora_bias": True},
    "dora": LORA | {"use_dora": True},
}
LAYER = "transformer_blocks.0.attn1.to_q"


def latents(pipe, **kwargs) -> torch.Tensor:
    inputs = {"num_inference_steps": 2, "generator": torch.Generator().manual_seed(0), "chords": "C:0 Am:0.5"}
    return pipe("80s pop", **inputs | {"output_type": "latent"} | kwargs).audios


def with_peft(seed: int = 0, **config):
    """A trained adapter as PEFT's own users have it: the wrapped transformer, and the pipeline it is part of."""
    pipe = load_pipeline("chords-drums-melody")
    model = peft.get_peft_model(pipe.transformer, peft.LoraConfig(**config))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name and "magnitude" not in name:
                weight.copy_(0.2 * torch.randn(weight.shape, generator=generator))
    return model.eval(), pipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A LoRA saved by PEFT, and what it makes."""
    path = tmp_path_factory.mktemp("peft")
    model, pipe = with_peft(**LORA)
    model.save_pretrained(path)
    return path, latents(pipe)


@pytest.fixture(scope="module")
def other_folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("other")
    model, _ = with_peft(seed=1, r=3, lora_alpha=3, target_modules=["to_k", "ff_in"])
    model.save_pretrained(path)
    return path


@pytest.mark.parametrize("name", CONFIGS)
def test_loras_of_peft_and_diffusers_reproduce_the_trained_output(pipe, tmp_path, name, warnings):
    model, trained = with_peft(**CONFIGS[name])
    base, expected = latents(pipe), latents(trained)
    assert relative_error(expected, base) > 1e-3
    model.save_pretrained(tmp_path / "peft")
    JascoPipeline.save_lora_weights(tmp_path / "diffusers", model)
    trained.transformer.save_lora_adapter(tmp_path / "model")
    for kind in ("peft", "diffusers", "model"):
        pipe.load_lora_weights(tmp_path / kind)
        assert torch.equal(latents(pipe), expected), kind
        pipe.unload_lora_weights()
        assert torch.equal(latents(pipe), base), kind
    assert "alpha" not in warnings.text


def test_tensors_saved_without_alpha_cause_a_warning(tmp_path, warnings):
    model, trained = with_peft(**LORA)
    layers = peft.get_peft_model_state_dict(model)
    options = trained.transformer.peft_config["default"].to_dict()
    JascoPipeline.save_lora_weights(tmp_path / "with", layers, options)
    JascoPipeline.save_lora_weights(tmp_path / "module", trained.transformer)
    assert "alpha" not in warnings.text
    JascoPipeline.save_lora_weights(tmp_path / "without", layers)
    assert "`transformer_lora_adapter_metadata=" in warnings.text and "alpha" in warnings.text


def test_scale_interpolates_between_the_base_and_the_lora(pipe, folder):
    base = latents(pipe)
    pipe.load_lora_weights(folder[0])
    assert relative_error(latents(pipe, attention_kwargs={"scale": 0.0}), base) < 1e-6
    assert torch.equal(latents(pipe, attention_kwargs={"scale": 1.0}), folder[1])
    half = latents(pipe, attention_kwargs={"scale": 0.5})
    assert min(relative_error(half, other) for other in (base, folder[1])) > 1e-3
    pipe.set_adapters("default_0", 0.5)
    assert relative_error(latents(pipe), half) < 1e-6
    pipe.disable_lora()
    assert relative_error(latents(pipe), base) < 1e-6
    assert pipe(None, num_inference_steps=1).audios.isfinite().all()


def test_a_loaded_lora_is_saved_bit_for_bit(pipe, folder, tmp_path):
    pipe.load_lora_weights(folder[0])
    pipe.save_lora_weights(tmp_path, pipe.transformer)
    file = tmp_path / "pytorch_lora_weights.safetensors"
    saved, original = load_file(file), load_file(folder[0] / "adapter_model.safetensors")
    assert saved.keys() == {key.replace("base_model.model.", "transformer.") for key in original}
    for key, weight in original.items():
        assert torch.equal(saved[key.replace("base_model.model.", "transformer.")], weight)
    with safe_open(file, framework="pt") as opened:
        metadata = json.loads(opened.metadata()["lora_adapter_metadata"])
    assert (metadata["transformer.r"], metadata["transformer.lora_alpha"]) == (2, 8)
    fresh = load_pipeline("chords-drums-melody")
    fresh.load_lora_weights(file)
    assert torch.equal(latents(fresh), folder[1])


def test_several_adapters_with_weights(pipe, folder, other_folder):
    def merged(**weights):
        fresh = load_pipeline("chords-drums-melody")
        state = fresh.transformer.state_dict()
        for path, alpha, weight in ((folder[0], 8 / 2, weights["a"]), (other_folder, 3 / 3, weights["b"])):
            layers = load_file(path / "adapter_model.safetensors")
            for key in layers:
                if "lora_A" in key:
                    delta = layers[key.replace("lora_A", "lora_B")] @ layers[key]
                    state[key.removeprefix("base_model.model.").replace("lora_A.", "")] += weight * alpha * delta
        return latents(fresh)

    pipe.load_lora_weights(folder[0], adapter_name="a")
    pipe.load_lora_weights(other_folder, adapter_name="b")
    assert pipe.get_active_adapters() == ["b"]
    assert pipe.get_list_adapters() == {"transformer": ["a", "b"]}
    pipe.set_adapters(["a", "b"], [0.7, -0.4])
    assert pipe.get_active_adapters() == ["a", "b"]
    assert relative_error(latents(pipe), merged(a=0.7, b=-0.4)) < 1e-4
    pipe.set_adapters("b", 0.5)
    assert relative_error(latents(pipe), merged(a=0.0, b=0.5)) < 1e-4
    pipe.delete_adapters("b")
    pipe.set_adapters("a")
    assert torch.equal(latents(pipe), folder[1])
    for method in (pipe.set_adapters, pipe.delete_adapters):
        with pytest.raises(ValueError, match="b"):
            method("b")


def test_names_of_deleted_adapters_can_be_reused(pipe, folder, other_folder):
    pipe.load_lora_weights(other_folder)
    pipe.load_lora_weights(folder[0])
    pipe.delete_adapters("default_0")
    pipe.load_lora_weights(other_folder)
    assert sorted(pipe.get_list_adapters()["transformer"]) == ["default_0", "default_1"]
    pipe.set_adapters("default_1")
    assert torch.equal(latents(pipe), folder[1])


def test_fused_equals_unfused(pipe, folder, other_folder):
    base = latents(pipe)
    pipe.load_lora_weights(folder[0], adapter_name="a")
    pipe.load_lora_weights(other_folder, adapter_name="b")
    pipe.set_adapters(["a", "b"], [1.0, 0.5])
    loaded = latents(pipe)
    pipe.fuse_lora()
    assert pipe.fused_loras == {"a", "b"}
    assert relative_error(latents(pipe), loaded) < 1e-4
    with pytest.raises(ValueError, match="unfuse_lora"):
        pipe.set_adapters("a")
    with pytest.raises(ValueError, match="are fused"):
        pipe.fuse_lora()
    pipe.unfuse_lora()
    assert relative_error(latents(pipe), loaded) < 1e-4

    # An inactive adapter of weight 0.5 at half strength; afterwards, everything is unchanged.
    pipe.set_adapters("a", 0.3)
    before = latents(pipe)
    pipe.fuse_lora(lora_scale=0.5, adapter_names=["b"])
    fused = pipe.transformer.get_submodule("transformer_blocks.0.attn1.to_k").get_base_layer().weight.clone()
    pipe.unfuse_lora()
    unfused = pipe.transformer.get_submodule("transformer_blocks.0.attn1.to_k").get_base_layer().weight
    layers = load_file(other_folder / "adapter_model.safetensors")
    low, high = (layers[f"base_model.model.transformer_blocks.0.attn1.to_k.lora_{part}.weight"] for part in "AB")
    torch.testing.assert_close(fused - unfused, 0.25 * high @ low, atol=1e-5, rtol=1e-4)
    assert relative_error(latents(pipe), before) < 1e-4
    pipe.unload_lora_weights()
    assert relative_error(latents(pipe), base) < 1e-4


def test_a_failed_fusion_changes_nothing(pipe, folder, tmp_path):
    pipe.load_lora_weights(folder[0], adapter_name="a")
    layers = weights_of(folder)
    last = [key for key in layers if key.endswith("lora_B.weight")][-1]
    layers[last][0, 0] = torch.nan
    pipe.load_lora_weights(layers, adapter_name="b")
    pipe.set_adapters("a")
    with pytest.raises(ValueError, match="NaN"):
        pipe.fuse_lora(adapter_names=["b"], lora_scale=0.5, safe_fusing=True)
    assert pipe.num_fused_loras == 0 and pipe.transformer.get_submodule(LAYER).scaling == {"a": 4.0, "b": 1.0}
    assert relative_error(latents(pipe), folder[1]) < 1e-4


def test_a_fused_lora_can_be_saved_as_a_pipeline(pipe, folder, tmp_path):
    pipe.load_lora_weights(folder[0])
    for save in (pipe.save_pretrained, pipe.transformer.save_pretrained):
        with pytest.raises(ValueError, match="unload_lora_weights"):
            save(tmp_path / "refused")
    pipe.fuse_lora()
    pipe.unload_lora_weights()
    assert pipe.num_fused_loras == 0
    pipe.save_pretrained(tmp_path / "fused")
    loaded = JascoPipeline.from_pretrained(tmp_path / "fused")
    assert relative_error(latents(loaded), folder[1]) < 1e-4


def test_fused_projections_are_refused(pipe, folder):
    pipe.transformer.fuse_qkv_projections()
    with pytest.raises(ValueError, match="unfuse_qkv_projections"):
        pipe.load_lora_weights(folder[0])
    pipe.transformer.unfuse_qkv_projections()
    pipe.load_lora_weights(folder[0])
    with pytest.raises(ValueError, match="fuse_lora"):
        pipe.transformer.fuse_qkv_projections()
    assert torch.equal(latents(pipe), folder[1])


def test_files_folders_and_names(pipe, folder, other_folder, tmp_path):
    path, expected = folder
    shutil.copytree(path, tmp_path / "runs" / "step-100")
    for source, options in [
        (path / "adapter_model.safetensors", {}),
        (str(path), {"weight_name": "adapter_model.safetensors"}),
        (tmp_path / "runs", {"subfolder": "step-100"}),
        (tmp_path / "runs", {"weight_name": "step-100/adapter_model.safetensors"}),
        (tmp_path / "runs", {"subfolder": "step-100", "use_safetensors": True}),
    ]:
        pipe.load_lora_weights(source, **options)
        assert torch.equal(latents(pipe), expected)
        pipe.unload_lora_weights()

    styles = tmp_path / "styles"
    styles.mkdir()
    for name in ("jazz", "rock"):
        JascoPipeline.save_lora_weights(styles, with_peft(**LORA)[0], weight_name=f"{name}.safetensors")
    with pytest.raises(ValueError, match=r"jazz.safetensors.*rock.safetensors.*`weight_name`"):
        pipe.load_lora_weights(styles)
    pipe.load_lora_weights(styles, weight_name="rock.safetensors")
    assert torch.equal(latents(pipe), expected)


def test_missing_files(pipe, tmp_path):
    (tmp_path / "empty").mkdir()
    for source, options in [
        (tmp_path / "empty", {}),
        (tmp_path / "empty", {"weight_name": "x.safetensors"}),
        (tmp_path / "empty", {"subfolder": "absent"}),
        (tmp_path / "absent.safetensors", {}),
        (tmp_path / "absent", {}),
    ]:
        with pytest.raises(FileNotFoundError, match="empty|absent"):
            pipe.load_lora_weights(source, **options)


def test_without_a_configuration_alpha_is_the_rank_with_a_warning(pipe, folder, tmp_path, warnings):
    shutil.copy(folder[0] / "adapter_model.safetensors", tmp_path)
    pipe.load_lora_weights(tmp_path)
    assert "alpha" in warnings.text
    assert pipe.transformer.get_submodule(LAYER).scaling == {"default_0": 1.0}
    pipe.unload_lora_weights()
    pipe.load_lora_weights(load_file(folder[0] / "adapter_model.safetensors"))
    assert pipe.transformer.get_submodule(LAYER).scaling == {"default_0": 1.0}


def test_half_precision(pipe, folder):
    pipe.to(torch.bfloat16)
    base = latents(pipe)
    pipe.load_lora_weights(folder[0])
    assert relative_error(latents(pipe), folder[1]) < 0.5 * relative_error(folder[1], base)


def weights_of(folder) -> dict[str, torch.Tensor]:
    return load_file(folder[0] / "adapter_model.safetensors")


def assert_refused(pipe, source, message: str, **options) -> str:
    before = latents(pipe)
    with pytest.raises(ValueError, match=message) as error:
        pipe.load_lora_weights(source, **options)
    assert torch.equal(latents(pipe), before) and pipe.get_list_adapters() == {}
    return str(error.value)


def test_a_lora_of_another_model_is_refused_with_a_list_of_keys(pipe):
    flux = {
        f"transformer.single_transformer_blocks.{i}.attn.to_q.lora_{part}.weight": torch.zeros(2, 2)
        for i in range(30)
        for part in "AB"
    }
    message = assert_refused(pipe, flux, "60 of the LoRA's 60 keys fit no layer")
    assert next(iter(flux)) in message and "and 48 more" in message
    assert "transformer.transformer_blocks.0.attn1.to_q.lora_A.weight" in message


@pytest.mark.parametrize(
    "key",
    [
        "transformer_blocks.99.attn1.to_q.lora_A.weight",
        "text_encoder.encoder.block.0.layer.0.SelfAttention.q.lora_A.weight",
        f"base_model.model.{LAYER}.weight",
        f"{LAYER}.lora_A.default.weight",
        f"{LAYER}.alpha",
        f"{LAYER}.dora_scale",
        "norm_out.lora_A.weight",
        "proj_out.bias",
    ],
)
def test_a_lora_that_matches_partially_is_refused(pipe, folder, key):
    message = assert_refused(pipe, weights_of(folder) | {key: torch.zeros(2, 2)}, "1 of the LoRA's")
    assert key.removeprefix("base_model.model.") in message


def test_wrong_shapes_and_incomplete_layers_are_refused(pipe, folder, tmp_path):
    key = f"base_model.model.{LAYER}.lora_A.weight"
    wide = {**weights_of(folder), key: torch.zeros(2, 999)}
    assert "(2, 999)" in assert_refused(pipe, wide, re.escape(f"{LAYER}.lora_A.weight is"))
    half = weights_of(folder)
    del half[key]
    assert_refused(pipe, half, re.escape(f"{LAYER}.lora_A.weight is absent"))
    both = weights_of(folder) | {key.replace("base_model.model.", "transformer."): torch.zeros(2, 2)}
    assert_refused(pipe, both, "Diffusers' and PEFT's keys")
    assert_refused(pipe, {}, "empty")
    # The rank of the file contradicts its configuration.
    shutil.copytree(folder[0], tmp_path / "rank")
    edit_config(tmp_path / "rank", r=3)
    assert_refused(pipe, tmp_path / "rank", r"is \(2, \d+\), but has to be \(3, \d+\)")


@pytest.mark.parametrize("changes", [{"modules_to_save": ["proj_out"]}, {"bias": "all"}])
def test_weights_of_the_transformer_itself_are_refused(pipe, folder, tmp_path, changes):
    shutil.copytree(folder[0], tmp_path, dirs_exist_ok=True)
    edit_config(tmp_path, **changes)
    key = "base_model.model.proj_out.weight" if "modules_to_save" in changes else f"base_model.model.{LAYER}.bias"
    save_file(weights_of(folder) | {key: torch.zeros(2, 2)}, tmp_path / "adapter_model.safetensors")
    assert_refused(pipe, tmp_path, "1 of the LoRA's")


def edit_config(path, **changes):
    file = path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"init_lora_weights": "pissa"}, "path_initial_model_for_weight_conversion"),
        ({"use_hyperlora": True}, "use_hyperlora"),
        ({"use_dora": True}, "lora_magnitude_vector is absent"),
    ],
)
def test_unsupported_configurations_are_refused(pipe, folder, tmp_path, changes, message):
    shutil.copytree(folder[0], tmp_path, dirs_exist_ok=True)
    edit_config(tmp_path, **changes)
    assert_refused(pipe, tmp_path, message)


def test_damaged_files_are_refused(pipe, folder, tmp_path):
    file = tmp_path / "x.safetensors"
    content = (folder[0] / "adapter_model.safetensors").read_bytes()
    for damaged in (b"", content[:100], content[:-50]):
        file.write_bytes(damaged)
        with pytest.raises(OSError, match="Unable to load weights from .*x.safetensors"):
            pipe.load_lora_weights(file)
    save_file(weights_of(folder), file, metadata={"lora_adapter_metadata": "{"})
    assert_refused(pipe, file, "configuration of .*x.safetensors is not JSON")
    save_file(weights_of(folder), file, metadata={"lora_adapter_metadata": "[]"})
    assert_refused(pipe, file, "configuration of .*x.safetensors has to be a dictionary")


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_pickled_weights_load_by_name_and_code_is_refused(pipe, folder, tmp_path):
    shutil.copy(folder[0] / "adapter_config.json", tmp_path)
    file = tmp_path / "adapter_model.bin"
    torch.save(weights_of(folder), file)
    assert_refused(pipe, file, "use_safetensors", use_safetensors=True)
    with pytest.raises(FileNotFoundError, match=".safetensors"):
        pipe.load_lora_weights(tmp_path)
    for source, options in (
        (file, {}),
        (tmp_path, {"weight_name": file.name}),
        (tmp_path, {"use_safetensors": False}),
    ):
        pipe.load_lora_weights(source, **options)
        assert torch.equal(latents(pipe), folder[1])
        pipe.unload_lora_weights()

    torch.save(weights_of(folder) | {"x": Trap(tmp_path / "trapped")}, file)
    with pytest.raises(OSError, match="adapter_model.bin"):
        pipe.load_lora_weights(file)
    assert not (tmp_path / "trapped").exists()
    torch.save({"weights": weights_of(folder)}, file)
    assert_refused(pipe, file, "1 of the LoRA's 1 keys fit no layer")


def test_invalid_arguments(pipe, folder, tmp_path):
    with pytest.raises(TypeError, match="weight_nam"):
        pipe.load_lora_weights(folder[0], weight_nam="x")
    with pytest.raises(ValueError, match="weight_name"):
        pipe.load_lora_weights(folder[0] / "adapter_model.safetensors", weight_name="other.safetensors")
    for name in ("", "jazz.v2"):
        assert_refused(pipe, folder[0], "`adapter_name`", adapter_name=name)
    for layers in (None, {}, pipe.transformer):
        with pytest.raises(ValueError, match="`transformer_lora_layers`"):
            pipe.save_lora_weights(tmp_path, layers)
    for method in (pipe.fuse_lora, lambda: pipe.delete_adapters("a")):
        with pytest.raises(ValueError, match="not loaded"):
            method()
    pipe.load_lora_weights(folder[0], adapter_name="a")
    with pytest.raises(ValueError, match="already in use"):
        pipe.load_lora_weights(folder[0], adapter_name="a")
    with pytest.raises(ValueError, match="'b'"):
        pipe.fuse_lora(adapter_names=["b"])
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file"):
        pipe.save_lora_weights(tmp_path / "file", pipe.transformer)


def test_without_peft_the_error_names_the_install_command(pipe, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    calls = [
        lambda: pipe.load_lora_weights(folder[0]),
        lambda: pipe.save_lora_weights(folder[0], pipe.transformer),
        lambda: pipe.set_adapters("a"),
        pipe.fuse_lora,
        pipe.disable_lora,
        pipe.unload_lora_weights,
    ]
    for call in calls:
        with pytest.raises(ImportError, match="needs peft: .*pip install"):
            call()


@pytest.mark.parametrize("name", ["plain", "bias"])
def test_correct_use_causes_no_peft_warnings(pipe, tmp_path, name):
    model, _ = with_peft(**CONFIGS[name])
    JascoPipeline.save_lora_weights(tmp_path / "first", model)
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("error")
        pipe.load_lora_weights(tmp_path / "first", adapter_name="a")
        pipe.load_lora_weights(tmp_path / "first", adapter_name="b")
        pipe.set_adapters(["a", "b"], [0.7, 0.3])
        pipe.delete_adapters("b")
        pipe.save_lora_weights(tmp_path / "second", pipe.transformer)
        pipe.unload_lora_weights()


# Runs in a separate process, since this one is offline.
HUB_SCRIPT = """
import re
import sys
from safetensors.torch import save_file
from tests.loaders.test_lora import latents, load_pipeline

audios = {}
for name, source, options in [
    ("peft", "user/peft", {}),
    ("several", "user/several", {"subfolder": "runs", "weight_name": "rock.safetensors"}),
    ("nested", "user/several", {"weight_name": "runs/rock.safetensors"}),
    ("private", "user/private", {"revision": "v1", "token": "hf_owner"}),
    ("offline", "user/peft", {"local_files_only": True}),
]:
    pipe = load_pipeline("chords-drums-melody")
    pipe.load_lora_weights(source, **options)
    audios[name] = latents(pipe)
for name, source, options, expected in [
    ("several", "user/several", {"subfolder": "runs"}, "jazz.safetensors.*rock.safetensors"),
    ("absent file", "user/peft", {"weight_name": "x.safetensors"}, "x.safetensors"),
    ("none", "user/none", {}, "no LoRA in user/none"),
    ("absent", "user/absent", {}, ".user/absent. is neither a file or folder nor a Hub repository"),
    ("offline", "user/private", {"local_files_only": True, "revision": "main"}, "user/private|cache"),
]:
    pipe = load_pipeline("chords-drums-melody")
    try:
        pipe.load_lora_weights(source, **options)
    except (ValueError, OSError) as error:
        assert re.search(expected, str(error)), (name, error)
    else:
        raise AssertionError(name)
save_file(audios, sys.argv[1])
"""


@pytest.mark.parametrize(
    "source", ["absent", "absent.safetensors", "runs/absent.safetensors", "runs/a/absent", Path("runs")]
)
def test_missing_files_are_reported_without_a_request_to_the_hub(source, monkeypatch):
    monkeypatch.setattr(lora_files, "list_repo_files", lambda *args, **options: pytest.fail("request to the Hub"))
    with pytest.raises(FileNotFoundError, match=f"'{source}' is neither a file or folder nor a Hub repository"):
        load_pipeline("chords-drums-melody").load_lora_weights(source)


def test_loras_and_pipelines_are_not_confused(tmp_path):
    (tmp_path / "lora").mkdir()
    with pytest.raises(FileNotFoundError, match="lora is not a JASCO checkpoint"):
        JascoPipeline.from_pretrained(tmp_path / "lora")
    (tmp_path / "lora" / "pytorch_lora_weights.safetensors").touch()
    with pytest.raises(FileNotFoundError, match="contains a LoRA"):
        JascoPipeline.from_pretrained(tmp_path / "lora")
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match="contains a whole pipeline"):
        load_pipeline("chords-drums-melody").load_lora_weights(tmp_path)


@pytest.mark.xdist_group("hub")
def test_hub_repositories(hub, folder, tmp_path):
    weights, config = (
        (folder[0] / name).read_bytes() for name in ("adapter_model.safetensors", "adapter_config.json")
    )
    peft_files = {"adapter_model.safetensors": weights, "adapter_config.json": config}
    others = {f"other/{name}": b"no LoRA" for name in peft_files} | {"unet.safetensors": b"no LoRA"}
    runs = {"runs/rock.safetensors": weights, "runs/jazz.safetensors": b"no LoRA", "runs/adapter_config.json": config}
    for name, files in {"peft": peft_files | others, "several": runs, "private": peft_files, "none": {}}.items():
        hub.repositories[f"user/{name}"] = Repository(private=name == "private")
        hub.repositories[f"user/{name}"].commit("v1" if name == "private" else "main", files, "upload")

    root = Path(__file__).parents[2]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    environment |= {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "0",
        "NO_PROXY": "127.0.0.1",
        "HF_HUB_DISABLE_XET": "1",
        "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-c", HUB_SCRIPT, str(tmp_path / "audios.safetensors")]
    subprocess.run(command, env=environment, cwd=root, check=True, timeout=300)
    audios = load_file(tmp_path / "audios.safetensors")
    assert audios.keys() == {"peft", "several", "nested", "private", "offline"}
    for name, audio in audios.items():
        assert torch.equal(audio, folder[1]), name
    assert not any("other/" in path or "unet" in path for _, path, _ in hub.requests if "resolve" in path)
