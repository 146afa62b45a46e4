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

"""Tests of words that a tokenizer lacks: training warns of them, and learns them on request."""

import pytest
import torch
from safetensors.torch import load_file
from transformers import EncodecModel, T5EncoderModel

from diffusers_jasco import JascoPipeline
from diffusers_jasco.data.features import write_features
from diffusers_jasco.text_encoders import unknown_words
from diffusers_jasco.training.new_words import mask_words

from ..conftest import run_script
from ..data.test_features import make_items
from .run_tools import CODEC, read_log, without_times


LORA = "pytorch_lora_weights.safetensors"


@pytest.fixture(scope="module")
def style(tmp_path_factory):
    """Features of clips whose captions have words that the tokenizer of `run` does not know."""
    folder = tmp_path_factory.mktemp("style") / "features"
    items = make_items(count=4)
    for number, item in enumerate(items):
        item["captions"] = ["slow Baroque", "clip 1 baroque, harpsichord"] if number else ["clip 1 slow"]
    write_features(items, EncodecModel.from_pretrained(CODEC).eval(), folder)
    return folder


def train_lora(base, dataset, output, *options):
    settings = ("--max_steps", 4, "--log_every", 1, "--batch_size", 2, "--rank", 2, "--learning_rate", 1e-2)
    paths = ("--base", base, "--dataset", dataset, "--output", output)
    run_script("train_jasco_lora", *paths, *settings, "--log_with", "none", "--cpu", *options)


def continue_training(run, dataset, output, *options):
    settings = ("--max_steps", 4, "--log_every", 1, "--batch_size", 2, "--learning_rate", 1e-2, "--log_with", "none")
    paths = ("--continue_from", run, "--dataset", dataset, "--output", output)
    run_script("train_jasco", *paths, *settings, "--cpu", *options)


def text_weights(folder) -> dict[str, torch.Tensor]:
    return dict(T5EncoderModel.from_pretrained(folder / "text_encoder").named_parameters())


def test_unknown_words_are_summarized_once(run, style, tmp_path, warnings):
    train_lora(run, style, tmp_path, "--max_steps", 1)
    (message,) = [record.message for record in warnings.records if "does not know" in record.message]
    assert "6 of 7 captions" in message and "'baroque' (6), 'harpsichord' (3)" in message
    assert "--new_words baroque harpsichord" in message


def test_words_are_only_masked_in_captions_without_new_words(run):
    tokenizer = JascoPipeline.from_pretrained(run).tokenizer
    count = 1  # the last known word serves as a new one
    new, slow = len(tokenizer) - count, tokenizer("clip slow").input_ids
    captions = torch.tensor([slow, [new, *slow[1:]]] * 100)
    keys = list(range(200))
    masked = mask_words(captions, keys, 0, tokenizer, count)
    assert torch.equal(masked[1::2], captions[1::2])
    is_masked = masked[::2] == tokenizer.unk_token_id
    assert 0.32 < is_masked[:, :-1].float().mean() < 0.52 and not is_masked[:, -1].any(), "the end token stays"
    # Masks only depend on the sample, not on its batch.
    assert torch.equal(mask_words(captions[:8], keys[:8], 0, tokenizer, count), masked[:8])
    assert not torch.equal(mask_words(captions, keys, 1, tokenizer, count), masked)


def test_a_lora_learns_new_words(run, style, tmp_path, warnings):
    train_lora(run, style, tmp_path / "lora", "--new_words", "Baroque", "harpsichord", "slow")
    assert "does not know" not in warnings.text and "already knows slow" in warnings.text
    base, pipe = JascoPipeline.from_pretrained(run), JascoPipeline.from_pretrained(run)
    pipe.load_lora_weights(tmp_path / "lora")
    assert unknown_words("baroque harpsichord", pipe.tokenizer) == []
    # The rest of the text encoder is unchanged, and the words have been trained.
    (before, _), (after, _) = (pipeline.encode_prompt("clip 1 slow") for pipeline in (base, pipe))
    assert torch.equal(before, after)
    words = {name: value for name, value in load_file(tmp_path / "lora" / LORA).items() if name.startswith("text")}
    assert words.keys() == {"text_encoder.words.baroque", "text_encoder.words.harpsichord"}
    train_lora(run, style, tmp_path / "untrained", "--new_words", "Baroque", "harpsichord", "--learning_rate", 0)
    start = load_file(tmp_path / "untrained" / LORA)
    assert all((value - start[name]).abs().max() > 1e-3 for name, value in words.items())
    pipe.set_progress_bar_config(disable=True)
    styled, plain = (
        pipe(prompt, generator=torch.Generator().manual_seed(0), output_type="latent").audios
        for prompt in ("slow baroque", "slow klezmer")
    )
    assert not torch.equal(styled, plain)


def test_new_words_that_no_caption_contains_are_named(run, style, tmp_path, warnings):
    train_lora(
        run, style, tmp_path / "lora", "--max_steps", 1, "--new_words", "Baroque", "harpsichord", "zither", "oboe"
    )
    (message,) = [record.message for record in warnings.records if "no caption" in record.message]
    assert "zither, oboe" in message and "baroque" not in message
    continue_training(run, style, tmp_path / "run", "--max_steps", 1, "--new_words", "zither")
    assert "--new_words: no caption contains zither" in warnings.text


def test_training_with_new_words_resumes_exactly(run, style, tmp_path):
    options = ("--new_words", "baroque", "harpsichord")
    train_lora(run, style, tmp_path / "whole", *options)
    train_lora(run, style, tmp_path / "parts", *options, "--max_minutes", 0)
    run_script("train_jasco_lora", "--output", tmp_path / "parts", "--resume", "latest", "--max_minutes", 9)
    weights, expected = load_file(tmp_path / "parts" / LORA), load_file(tmp_path / "whole" / LORA)
    assert weights.keys() == expected.keys() and all(torch.equal(weights[name], expected[name]) for name in weights)
    assert without_times(read_log(tmp_path / "parts")) == without_times(read_log(tmp_path / "whole"))


@pytest.mark.parametrize("option", ["--no-train_text_encoder", "--train_text_encoder"])
def test_continued_training_learns_new_words(run, style, tmp_path, option):
    continue_training(run, style, tmp_path, "--new_words", "baroque", "harpsichord", option)
    pipe = JascoPipeline.from_pretrained(tmp_path)
    assert {"baroque", "harpsichord", "slow"} <= set(pipe.known_words())
    before, after = text_weights(run), text_weights(tmp_path)
    size = len(before["shared.weight"])
    embeddings, old = after.pop("shared.weight"), before.pop("shared.weight")
    assert len(embeddings) == size + 2 == len(pipe.tokenizer)
    continue_training(
        run, style, tmp_path / "untrained", "--new_words", "baroque", "harpsichord", "--learning_rate", 0
    )
    start = text_weights(tmp_path / "untrained")["shared.weight"]
    assert ((embeddings[size:] - start[size:]).abs().amax(dim=1) > 1e-3).all()
    is_frozen = option == "--no-train_text_encoder"
    assert torch.equal(embeddings[:size], old) == is_frozen
    assert all(torch.equal(before[name], after[name]) for name in before) == is_frozen


def test_new_words_that_cannot_be_learned_are_rejected(run, style, tmp_path, data, warnings):
    with pytest.raises(ValueError, match="has to consist of words, but got '...'"):
        train_lora(run, style, tmp_path / "none", "--new_words", "...")
    pipe = JascoPipeline.from_pretrained(run)
    encoded = tmp_path / "encoded"
    text = {"tokenizer": pipe.tokenizer, "text_encoder": pipe.text_encoder}
    items = [item | {"captions": ["slow klezmer"]} for item in make_items(count=4)]
    write_features(items, EncodecModel.from_pretrained(CODEC).eval(), encoded, **text)
    assert "4 of 4 captions" in warnings.text and "'klezmer' (4)" in warnings.text
    with pytest.raises(ValueError, match="--new_words"):
        train_lora(run, encoded, tmp_path / "encoded-run", "--new_words", "baroque")
