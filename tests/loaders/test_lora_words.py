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

"""LoRAs with words of their own, on the model that ships with the repository."""

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from diffusers_jasco import JascoPipeline
from diffusers_jasco.loaders.lora_words import LoraWords, fingerprint
from diffusers_jasco.text_encoders import text_encoder_hash

from ..conftest import load_pipeline, relative_error


peft = pytest.importorskip("peft")

NANO = Path(__file__).parents[2] / "pipelines/jasco-nano"
FILE = "pytorch_lora_weights.safetensors"
WORD = "text_encoder.words."


def latents(pipe, prompt: str) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return pipe(prompt, num_inference_steps=1, duration=1.0, generator=generator, output_type="latent").audios


def make_lora(folder: Path, *words: str, seed: int = 0) -> Path:
    """A LoRA of random numbers that brings words."""
    pipe = JascoPipeline.from_pretrained(NANO)
    pipe.transformer.add_adapter(peft.LoraConfig(r=2, target_modules=["to_q", "to_v"]))
    generator = torch.Generator().manual_seed(seed)
    for name, weight in pipe.transformer.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(0, 0.2, generator=generator)
    embeddings = {word: torch.randn(128, generator=generator) for word in words}
    if words:
        pipe.transformer.lora_words = LoraWords({"default": embeddings}, vocabulary=fingerprint(pipe.tokenizer))
    pipe.save_lora_weights(folder, pipe.transformer)
    return folder


@pytest.fixture(scope="module")
def loaded_nano():
    pipe = JascoPipeline.from_pretrained(NANO)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture
def nano(loaded_nano):
    return copy.deepcopy(loaded_nano)


@pytest.fixture(scope="module")
def baroque(tmp_path_factory):
    return make_lora(tmp_path_factory.mktemp("baroque"), "baroque", "harpsichord")


@pytest.fixture(scope="module")
def opera(tmp_path_factory):
    return make_lora(tmp_path_factory.mktemp("opera"), "opera", "baroque", seed=1)


def test_words_are_added_and_removed_with_their_lora(nano, baroque, warnings):
    base_hash, base = text_encoder_hash(nano.tokenizer, nano.text_encoder), latents(nano, "slow baroque")
    assert "'baroque'" in warnings.text
    warnings.clear()
    nano.load_lora_weights(baroque)
    assert {"baroque", "harpsichord"} <= set(nano.known_words())
    style, other = latents(nano, "slow baroque"), latents(nano, "slow harpsichord")
    assert "does not know" not in warnings.text
    assert relative_error(style, other) > 1e-3  # each has its own embedding
    assert torch.equal(latents(nano, "slow klezmer"), latents(nano, "slow opera"))
    assert "'klezmer'" in warnings.text
    nano.unload_lora_weights()
    assert "baroque" not in nano.known_words()
    assert text_encoder_hash(nano.tokenizer, nano.text_encoder) == base_hash
    assert torch.equal(latents(nano, "slow baroque"), base)


def test_words_are_saved_unchanged(nano, baroque, tmp_path):
    nano.load_lora_weights(baroque, adapter_name="style")
    nano.save_lora_weights(tmp_path, nano.transformer)
    ours, original = load_file(tmp_path / FILE), load_file(baroque / FILE)
    assert ours.keys() == original.keys() and all(torch.equal(ours[name], original[name]) for name in ours)
    assert {f"{WORD}baroque", f"{WORD}harpsichord"} <= ours.keys()
    again = JascoPipeline.from_pretrained(NANO)
    again.load_lora_weights(tmp_path)
    assert torch.equal(latents(again, "slow baroque"), latents(nano, "slow baroque"))
    from_dictionary = JascoPipeline.from_pretrained(NANO)
    from_dictionary.load_lora_weights(original)
    assert "harpsichord" in from_dictionary.known_words()
    with pytest.raises(ValueError, match="save_lora_weights"):
        nano.transformer.save_lora_adapter(tmp_path, "style")


def test_words_of_active_adapters_are_known(nano, baroque, opera, tmp_path, warnings):
    nano.load_lora_weights(baroque, adapter_name="a")
    alone = latents(nano, "slow baroque")
    nano.load_lora_weights(opera, adapter_name="b")
    assert "opera" in nano.known_words() and "harpsichord" not in nano.known_words()
    other = latents(nano, "slow baroque")
    assert relative_error(other, alone) > 1e-3
    nano.set_adapters("a")
    assert torch.equal(latents(nano, "slow baroque"), alone) and "opera" not in nano.known_words()
    nano.disable_lora()
    assert "baroque" not in nano.known_words()
    nano.enable_lora()
    assert torch.equal(latents(nano, "slow baroque"), alone)
    warnings.clear()
    nano.set_adapters(["a", "b"])
    assert {"opera", "harpsichord", "baroque"} <= set(nano.known_words())
    assert "'baroque'" in warnings.text and "mean" in warnings.text
    nano.save_lora_weights(tmp_path, nano.transformer, adapter_name="b")
    assert {name for name in load_file(tmp_path / FILE) if WORD in name} == {f"{WORD}opera", f"{WORD}baroque"}
    nano.delete_adapters("a")
    nano.set_adapters("b")
    assert torch.equal(latents(nano, "slow baroque"), other)


def test_hot_swapping_swaps_the_words(nano, baroque, opera):
    nano.load_lora_weights(opera, adapter_name="a")
    expected = latents(nano, "slow baroque")
    nano.unload_lora_weights()
    nano.load_lora_weights(baroque, adapter_name="a")
    nano.load_lora_weights(opera, adapter_name="a", hotswap=True)
    assert "opera" in nano.known_words() and "harpsichord" not in nano.known_words()
    assert relative_error(latents(nano, "slow baroque"), expected) < 1e-5


def test_half_precision_and_offloading(nano, baroque):
    half = JascoPipeline.from_pretrained(NANO, torch_dtype=torch.float16)
    half.load_lora_weights(baroque)
    assert half.text_encoder.get_input_embeddings().weight.dtype == torch.float16
    nano.enable_sequential_cpu_offload(device="cpu")
    with pytest.raises(ValueError, match="before `enable_sequential_cpu_offload`"):
        nano.load_lora_weights(baroque)


def test_fused_words_stay_and_are_saved_with_the_pipeline(nano, baroque, opera, tmp_path):
    nano.load_lora_weights(baroque)
    expected = latents(nano, "slow baroque")
    nano.fuse_lora()
    assert relative_error(latents(nano, "slow baroque"), expected) < 1e-5
    nano.unfuse_lora()
    assert relative_error(latents(nano, "slow baroque"), expected) < 1e-5
    nano.fuse_lora()
    nano.unload_lora_weights()
    assert "baroque" in nano.known_words()
    nano.save_pretrained(tmp_path)
    saved = JascoPipeline.from_pretrained(tmp_path)
    assert saved.known_words() == nano.known_words()
    assert relative_error(latents(saved, "slow baroque"), expected) < 1e-5
    with pytest.raises(ValueError, match="'baroque', which this model already knows"):
        saved.load_lora_weights(opera)
    assert "opera" not in saved.known_words() and not getattr(saved.transformer, "peft_config", {})


def test_pipelines_with_the_same_components_share_the_words(nano, baroque):
    other = JascoPipeline(**nano.components)
    nano.load_lora_weights(baroque)
    assert "baroque" in other.known_words()
    other.unload_lora_weights()
    assert "baroque" not in nano.known_words()


def test_a_lora_without_words_leaves_the_text_encoder_alone(nano, baroque, tmp_path):
    plain = make_lora(tmp_path)
    nano.load_lora_weights(plain)
    assert not hasattr(nano.transformer, "lora_words")
    nano.load_lora_weights(baroque, adapter_name="words")
    nano.set_adapters("default_0")
    assert "baroque" not in nano.known_words()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({f"{WORD}jazz": torch.zeros(128)}, "'jazz', which this model already knows"),
        ({f"{WORD}<unk>": torch.zeros(128)}, "'<unk>'"),
        ({f"{WORD}Opera": torch.zeros(128)}, "'Opera', which the tokenizer does not read as one word"),
        ({f"{WORD}two words": torch.zeros(128)}, "'two words'"),
        ({f"{WORD}": torch.zeros(128)}, "''"),
        ({f"{WORD}opera": torch.zeros(64)}, r"shape \(128,\), but is \(64,\)"),
        ({f"{WORD}opera": torch.zeros(128, dtype=torch.int32)}, "'opera'"),
        ({f"{WORD}opera": torch.full((128,), torch.nan)}, "not finite"),
    ],
)
def test_words_of_a_file_are_checked(nano, baroque, tmp_path, change, message):
    save_file(load_file(baroque / FILE) | change, tmp_path / FILE)
    before = text_encoder_hash(nano.tokenizer, nano.text_encoder)
    with pytest.raises(ValueError, match=message):
        nano.load_lora_weights(tmp_path)
    assert text_encoder_hash(nano.tokenizer, nano.text_encoder) == before
    assert not getattr(nano.transformer, "peft_config", {})


def test_a_model_with_another_tokenizer_is_refused(nano, baroque):
    first, *_, last = (word for word in nano.tokenizer.get_vocab() if word.isalpha())
    vocabulary = nano.tokenizer.get_vocab()
    vocabulary[first], vocabulary[last] = vocabulary[last], vocabulary[first]
    model = nano.tokenizer.backend_tokenizer.model
    nano.tokenizer.backend_tokenizer.model = type(model)(vocabulary, unk_token="<unk>")
    with pytest.raises(ValueError, match="a different base vocabulary"):
        nano.load_lora_weights(baroque)
    nano.tokenizer = load_pipeline("chords-drums").tokenizer
    with pytest.raises(ValueError, match="subword tokenizer"):
        nano.load_lora_weights(baroque)


def test_peft_warns_only_about_mistakes(nano, baroque, opera, recwarn):
    nano.load_lora_weights(baroque, adapter_name="a")
    nano.load_lora_weights(opera, adapter_name="b")
    nano.set_adapters(["a", "b"])
    assert [str(warning.message) for warning in recwarn if "peft" in warning.filename] == []
