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

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from diffusers_jasco import JascoPipeline
from diffusers_jasco.pipelines.hub_mixin import describe_pipeline, describe_words
from diffusers_jasco.text_encoders import (
    encode_captions,
    known_words,
    similar_words,
    unknown_words,
    warn_of_unknown_captions,
)

from .conftest import FIXTURES


NANO = Path(__file__).parents[1] / "pipelines/jasco-nano"


@pytest.fixture(scope="module")
def nano():
    pipe = JascoPipeline.from_pretrained(NANO)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("klezmer opera", ["klezmer", "opera"]),
        ("String Quartet, 180 bpm!", ["Quartet", "180"]),
        ("SOFT Jazz; slow.", []),
        ("jazz, 96BPM", []),
        ("jazz at 180bpm", ["180"]),
        ("zzz zzz zzz", ["zzz"]),
        ("rock 🎸 音乐 x&z", ["🎸", "音乐", "x", "z"]),
        ("...!?", []),
        ("", []),
    ],
)
def test_unknown_words_are_found(nano, prompt, expected):
    assert unknown_words(prompt, nano.tokenizer) == expected


def test_a_tempo_without_a_space_is_read_like_one_with_a_space(nano):
    (written, _), (spaced, _) = (nano.encode_prompt(prompt) for prompt in ("jazz, 96BPM", "jazz, 96 bpm"))
    assert torch.equal(written, spaced)
    caption, other = encode_captions(["96bpm", "96 bpm"], nano.tokenizer, nano.text_encoder)
    assert torch.equal(caption, other)


def test_similar_words_have_a_similar_spelling_or_number(nano):
    assert similar_words("saxofone", nano.tokenizer)[0] == "saxophone"
    assert similar_words("Guitars", nano.tokenizer)[0] == "guitar"
    assert similar_words("190", nano.tokenizer) == ["176"]
    assert similar_words("zzz", nano.tokenizer) == []


def test_known_words_are_not_reported_as_unknown(nano):
    words = nano.known_words()
    assert words == sorted(words) and {"jazz", "piano", "120"} <= set(words)
    assert not {"<unk>", "</s>", "<pad>", ",", ";"} & set(words)
    assert unknown_words(" ".join(words), nano.tokenizer) == []


def test_a_subword_tokenizer_knows_all_words_that_it_can_spell():
    tokenizer = AutoTokenizer.from_pretrained(FIXTURES / "t5")
    assert known_words(tokenizer) is None
    assert unknown_words("klezmer opera", tokenizer) == []
    assert unknown_words("rock 🎸", tokenizer) == ["🎸"]


def test_a_call_warns_once_per_prompt_with_the_words(nano, warnings):
    prompts = ["klezmer opera", "saxofone solo", "klezmer opera", "soft jazz"]
    nano(prompts, num_inference_steps=1, output_type="latent", duration=1.0)
    warned = [record.message for record in warnings.records if "does not know" in record.message]
    assert len(warned) == 2
    assert "'klezmer'" in warned[0] and "'opera'" in warned[0] and "known_words()" in warned[0]
    assert "'saxofone'" in warned[1] and "'saxophone'" in warned[1] and "solo'," not in warned[1]


def test_unknown_words_of_captions_are_counted_over_all_of_them(nano, warnings):
    captions = ["calm xyzzy, xyzzy piano", "xyzzy and plugh", "a calm piano at 96bpm"] + 1000 * ["calm"] + ["Xyzzy"]
    warn_of_unknown_captions("music", iter(captions), nano.tokenizer, " Try {words}.")
    assert "music: 3 of 1004 captions have words" in warnings.text
    assert "'xyzzy' (3), 'plugh' (1). Try xyzzy plugh." in warnings.text


def test_the_model_card_lists_the_words(nano):
    words = describe_words(nano.known_words())
    assert words in (NANO / "README.md").read_text(encoding="utf-8")
    assert words in describe_pipeline(nano, "user/nano")
    assert all(f" {word}," in words for word in ("jazz", "piano", "80s"))


@pytest.mark.parametrize(
    ("words", "listed"),
    [(["10", "12", "13", "9", "a", "b"], "9–10, 12–13, a, b"), (["7"], "7"), (["x"], "x")],
)
def test_numbers_are_listed_as_ranges(words, listed):
    assert f"\n> {listed}\n" in describe_words(words)
    assert describe_words(None) == ""
