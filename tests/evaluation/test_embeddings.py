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

from diffusers_jasco.evaluation.caption_probe import caption_recogniser, describe_clip, read_caption
from diffusers_jasco.evaluation.embeddings import clap_recogniser, load_embedding

from .clips import RATE, play_chords, play_drums, tone


def test_the_spectrum_knows_timbre_and_not_pitch():
    embed = load_embedding("spectrum")
    low, high = (embed((tone(pitch, 3.0), RATE)) for pitch in (60, 62))
    drums = embed((play_drums([0.2, 0.8, 1.4, 2.0], 3.0), RATE))
    assert low.shape == (96,) and np.isfinite(low).all()
    assert np.linalg.norm(low - high) < 0.5 * np.linalg.norm(low - drums)
    assert np.isfinite(embed((torch.zeros(1, 100), RATE))).all()


def test_any_audio_model_of_transformers_is_an_embedding(tmp_path):
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
    """CLAP with few random weights."""
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


def test_the_clap_score_is_a_cosine_and_the_same_again(clap):
    recogniser = clap_recogniser(clap)
    # Longer than CLAP hears at once.
    audio = (play_chords([("C", 0.0)], 12.0), RATE)
    heard = recogniser.analyse(audio)
    assert torch.equal(heard, recogniser.analyse(audio)) and float(heard.norm()) == pytest.approx(1, abs=1e-5)
    one, other = (recogniser.compare(heard, {"caption": caption})["clap"] for caption in ("drums", "a slow waltz"))
    assert -1 <= one <= 1 and one != other
    assert np.isnan(recogniser.compare(heard, {"caption": ""})["clap"])
    assert load_embedding(str(clap))(audio).shape == (8,)


def make_item(index, is_fast, has_drums):
    step = 0.25 if is_fast else 0.75
    onsets = list(np.arange(0.1, 4, step)) if has_drums else []
    chords = [(label, number * step) for number, label in zip(range(int(4 / step)), ["C", "F", "G", "Am"] * 8)]
    audio = play_chords(chords, 4.0) + play_drums(onsets, 4.0, seed=index)
    style = "march" if is_fast else "waltz"
    caption = f"{'fast' if is_fast else 'slow'} {style}{', drums' if has_drums else ', no drums'}"
    return {
        "audio": audio + 0.001 * torch.randn(audio.shape, generator=torch.Generator().manual_seed(index)),
        "sampling_rate": RATE,
        "style": style,
        "tempo": 140 if is_fast else 70,
        "drum_onsets": onsets,
        "caption": caption,
    }


def test_the_probe_hears_whether_music_is_what_its_caption_says():
    items = [make_item(index, index % 2, index % 4 < 2) for index in range(16)]
    recogniser = caption_recogniser(items[:12])
    for item in items[12:]:
        heard = recogniser.analyse((item["audio"], RATE))
        assert recogniser.compare(heard, item) == {"style": 1, "tempo": 1, "drums": 1}
        other = items[13] if item is items[12] else items[12]
        if other["style"] != item["style"]:
            assert recogniser.compare(heard, other)["style"] == 0


def test_the_probe_asks_only_what_the_caption_says():
    assert read_caption({"caption": "waltz at 90 bpm", "style": "waltz", "tempo": 90}) == {
        "style": "waltz",
        "tempo": "medium",
        "drums": None,
    }
    assert read_caption({"caption": "calm waltz, no drums", "style": "waltz", "tempo": 90})["drums"] == "no"
    assert read_caption({"caption": "calm waltz with a beat", "style": "waltz", "tempo": 90})["tempo"] is None
    assert set(read_caption({}).values()) == {None}


def test_repetition_is_seen_at_its_tempo():
    audio = (play_drums(np.arange(0.1, 8, 0.5), 8.0), RATE)
    repeats = describe_clip(audio)[96:]
    # Every fourth beat is a beat, too.
    tempi = 40 * 2 ** np.linspace(0, 3, 49)
    assert tempi[repeats[1:].argmax() + 1] == pytest.approx(120, rel=0.03)
