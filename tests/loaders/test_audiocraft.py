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

import os
import shutil

import pytest
import torch
import yaml
from transformers import AutoTokenizer, T5EncoderModel

from diffusers_jasco import FlowMatchDopri5Scheduler, JascoPipeline, JascoTransformerModel
from diffusers_jasco.loaders.audiocraft import (
    find_audiocraft_checkpoint,
    load_audiocraft_transformer,
    read_audiocraft_checkpoint,
)

from ..conftest import FIXTURES, load_pipeline


CHECKPOINT = FIXTURES / "chords-drums"


def load_transformer(path):
    return load_audiocraft_transformer(read_audiocraft_checkpoint(path))


@pytest.fixture
def edit(tmp_path):
    """Copies the checkpoint and lets a function change it."""

    def apply(change):
        checkpoint = torch.load(CHECKPOINT / "state_dict.bin", weights_only=True)
        config = yaml.safe_load(checkpoint["xp.cfg"])
        change(checkpoint["best_state"], config)
        checkpoint["xp.cfg"] = yaml.safe_dump(config)
        torch.save(checkpoint, tmp_path / "state_dict.bin")
        shutil.copy(CHECKPOINT / "compression_state_dict.bin", tmp_path)
        return tmp_path

    return apply


def test_the_layout_is_recognized(tmp_path):
    assert find_audiocraft_checkpoint(CHECKPOINT) == find_audiocraft_checkpoint(str(CHECKPOINT)) == CHECKPOINT
    assert find_audiocraft_checkpoint(tmp_path) is None


def test_audiocrafts_solver_and_scales_are_the_defaults():
    given = ("tokenizer", "text_encoder", "codec")
    components = {name: load_pipeline("chords-drums").components[name] for name in given}
    pipe = JascoPipeline.from_pretrained(CHECKPOINT, **components)
    assert isinstance(pipe.scheduler, FlowMatchDopri5Scheduler)
    assert (pipe.scheduler.config.rtol, pipe.scheduler.config.atol) == (1e-5, 1e-5)
    assert (pipe.guider.guidance_scale, pipe.guider.text_guidance_scale) == (5.0, 0.0)
    half = JascoPipeline.from_pretrained(CHECKPOINT, **components, dtype=torch.bfloat16)
    assert half.transformer.dtype == torch.bfloat16


def test_weights_override_the_configuration(edit):
    def change(weights, config):
        config["transformer_lm"]["skip_connections"] = False

    model = load_transformer(edit(change))
    assert model.config.skip_connections and model.transformer_blocks[2].skip_proj is not None


def test_biases_and_post_norm_are_read_from_the_weights(edit):
    def change(weights, config):
        del weights["out_norm.weight"], weights["out_norm.bias"]
        weights["linear.bias"] = torch.ones(16)
        for layer in range(4):
            for name, size in (
                ("linear1", 192),
                ("linear2", 48),
                ("self_attn.out_proj", 48),
                ("cross_attention.out_proj", 48),
            ):
                weights[f"transformer.layers.{layer}.{name}.bias"] = torch.zeros(size)
            for name in ("self_attn", "cross_attention"):
                weights[f"transformer.layers.{layer}.{name}.in_proj_bias"] = torch.arange(144.0)

    model = load_transformer(edit(change))
    config = model.config
    assert (config.pre_norm, config.attention_bias, config.ff_bias, config.out_bias) == (False, True, True, True)
    assert torch.equal(model.transformer_blocks[1].attn2.to_k.bias, torch.arange(48.0, 96.0))


def drop(key):
    return lambda weights, config: weights.pop(key)


def put(key, value):
    return lambda weights, config: weights.update({key: value})


def option(section, key, value):
    return lambda weights, config: config[section].update({key: value})


BROKEN = [
    (lambda weights, config: config.update(solver="musicgen"), "solver 'musicgen'"),
    (drop("linear.weight"), "not a complete JASCO checkpoint"),
    (drop("temb_proj.bias"), "(?s)not a complete JASCO checkpoint.*time_embed_proj.bias"),
    (drop("transformer.layers.1.norm1.weight"), "transformer_blocks.1.norm1.weight"),
    (put("extra.weight", torch.zeros(3)), r"not part of JASCO: extra.weight \(3,\)"),
    (
        put("transformer.layers.0.layer_scale_1.scale", torch.zeros(48)),
        "not part of JASCO: transformer.layers.0.layer_scale",
    ),
    (put("condition_provider.conditioners.chords.emb.weight", torch.zeros(11, 16)), "has 10 chords"),
    (option("transformer_lm", "causal", True), "causal: True"),
    (option("transformer_lm", "positional_embedding", "rope"), "positional_embedding: rope"),
    (option("fuser", "cross_attention_pos_emb", True), "cross_attention_pos_emb"),
    (lambda weights, config: config.pop("transformer_lm"), "(?s)not a complete JASCO checkpoint.*transformer_lm"),
]


@pytest.mark.parametrize("change, message", BROKEN)
def test_other_checkpoints_are_refused_with_reasons(edit, change, message):
    with pytest.raises(ValueError, match=message):
        load_transformer(edit(change))


def test_damaged_files_are_reported(tmp_path):
    content = (CHECKPOINT / "state_dict.bin").read_bytes()
    for broken in (b"", b"text", content[: len(content) // 2]):
        (tmp_path / "state_dict.bin").write_bytes(broken)
        with pytest.raises(ValueError, match="can't be read"):
            load_transformer(tmp_path)
    torch.save([1], tmp_path / "state_dict.bin")
    with pytest.raises(ValueError, match="contains a list"):
        load_transformer(tmp_path)
    torch.save({"model": {}}, tmp_path / "state_dict.bin")
    with pytest.raises(ValueError, match="lacks 'xp.cfg'"):
        load_transformer(tmp_path)
    torch.save({"xp.cfg": "solver: jasco", "model": {}}, tmp_path / "state_dict.bin")
    with pytest.raises(ValueError, match="lacks.*best_state"):
        load_transformer(tmp_path)
    torch.save({"xp.cfg": "solver: [", "best_state": {}}, tmp_path / "state_dict.bin")
    with pytest.raises(ValueError, match="'xp.cfg' is not YAML"):
        load_transformer(tmp_path)


def test_a_malicious_checkpoint_is_not_executed(tmp_path):
    class Malicious:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    for name in ("state_dict.bin", "compression_state_dict.bin"):
        torch.save(Malicious(), tmp_path / name)
    with pytest.raises(ValueError, match="can't be read"):
        JascoPipeline.from_pretrained(tmp_path)
    components = load_pipeline("chords-drums").components
    shutil.copy(CHECKPOINT / "state_dict.bin", tmp_path)
    with pytest.raises(ValueError, match="can't be read"):
        JascoPipeline.from_pretrained(tmp_path, **{name: components[name] for name in ("tokenizer", "text_encoder")})
    assert not (tmp_path / "executed").exists()


def test_a_text_encoder_requires_its_tokenizer(tmp_path):
    text_encoder = T5EncoderModel.from_pretrained(FIXTURES / "t5")
    pipe = JascoPipeline.from_pretrained(CHECKPOINT, text_encoder=text_encoder)
    assert pipe.tokenizer("80s pop").input_ids == AutoTokenizer.from_pretrained(FIXTURES / "t5")("80s pop").input_ids
    text_encoder.save_pretrained(tmp_path)
    without = T5EncoderModel.from_pretrained(tmp_path)
    with pytest.raises(OSError, match="`text_encoder` was given without `tokenizer`, which can't be loaded from .*"):
        JascoPipeline.from_pretrained(CHECKPOINT, text_encoder=without)


def test_text_only_checkpoints(edit):
    def change(weights, config):
        for key in [key for key in weights if ".chords." in key or ".self_wav." in key]:
            del weights[key]
        weights["emb.weight"] = weights["emb.weight"][:, :16].clone()

    model = load_transformer(edit(change))
    assert model.controls == () and isinstance(model, JascoTransformerModel)
    noise = torch.zeros(1, 50, 16)
    assert model(noise, torch.zeros(1), torch.ones(1, 3, 48)).sample.shape == noise.shape
