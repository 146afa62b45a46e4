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


import numpy as np
import pytest
import torch

from diffusers_jasco.evaluation.estimators.embeddings import clap_estimator, load_embedding

from .clips import RATE, play_chords, play_drums, tone


def test_the_spectrum_depends_on_timbre_more_than_on_pitch():
    embed = load_embedding("spectrum")
    low, high = (embed((tone(pitch, 3.0), RATE)) for pitch in (60, 62))
    drums = embed((play_drums([0.2, 0.8, 1.4, 2.0], 3.0), RATE))
    assert low.shape == (96,) and np.isfinite(low).all()
    assert np.linalg.norm(low - high) < 0.5 * np.linalg.norm(low - drums)
    assert np.isfinite(embed((torch.zeros(1, 100), RATE))).all()


def test_audio_models_of_transformers_can_be_embeddings(tmp_path):
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    config = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )
    Wav2Vec2Model(config).save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    embedding = load_embedding(str(tmp_path))
    assert embedding((tone(60, 0.5, rate=32000).repeat(2, 1), 32000)).shape == (16,)
    assert embedding.name == str(tmp_path)


@pytest.fixture(scope="module")
def clap(tmp_path_factory):
    """A tiny CLAP with random weights."""
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, ClapProcessor, RobertaTokenizer

    folder = tmp_path_factory.mktemp("clap")
    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *"abcdefghijklmnopqrstuvwxyzĠ"]
    tokenizer = RobertaTokenizer(vocab={word: index for index, word in enumerate(words)}, merges=[])
    text = {"vocab_size": len(words), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    audio = {"patch_embeds_hidden_size": 8, "depths": [1, 1], "num_attention_heads": [1, 1], "hidden_size": 16}
    text |= {"intermediate_size": 16, "projection_dim": 8}
    audio |= {"num_hidden_layers": 2, "spec_size": 256, "window_size": 4, "projection_dim": 8}
    torch.manual_seed(0)
    ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=8)).save_pretrained(folder)
    ClapProcessor(ClapFeatureExtractor(truncation="rand_trunc"), tokenizer).save_pretrained(folder)
    return folder


def test_the_clap_score_is_a_deterministic_cosine(clap):
    estimator = clap_estimator(clap)
    # Longer than CLAP's input.
    audio = (play_chords([("C", 0.0)], 12.0), RATE)
    estimate = estimator.analyze(audio)
    assert torch.equal(estimate, estimator.analyze(audio)) and float(estimate.norm()) == pytest.approx(1, abs=1e-5)
    drums, waltz = (estimator.compare(estimate, {"caption": caption})["clap"] for caption in ("drums", "a slow waltz"))
    assert -1 <= drums <= 1 and drums != waltz
    assert np.isnan(estimator.compare(estimate, {"caption": ""})["clap"])
    assert load_embedding(str(clap))(audio).shape == (8,)
