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

import pytest
import torch
from accelerate import Accelerator
from transformers import T5Config, T5EncoderModel

from diffusers_jasco import JascoTransformerModel
from diffusers_jasco.controls.beats import phases_to_frames
from diffusers_jasco.data.features import collate_features
from diffusers_jasco.training.modules import JascoTrainingModel
from diffusers_jasco.training.validation import validation_loss


FRAMES, CLIPS = 12, 10
SIZES = {
    "in_channels": 4,
    "num_layers": 2,
    "num_attention_heads": 2,
    "attention_head_dim": 4,
    "ff_inner_dim": 12,
    "text_dim": 8,
    "time_embed_dim": 8,
    "chords_dim": 4,
    "melody_dim": 3,
    "chord_labels": ["N", "C", "Am"],
    "sample_size": FRAMES,
}


def make_model(**options) -> JascoTrainingModel:
    torch.manual_seed(0)
    transformer = JascoTransformerModel(**SIZES | options)
    for weight in transformer.parameters():
        torch.nn.init.normal_(weight, std=0.4)
    text_encoder = T5EncoderModel(T5Config(vocab_size=8, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2))
    return JascoTrainingModel(transformer, text_encoder)


def make_items(kept: tuple[str, ...] = ("chords", "drums", "melody", "beats")) -> list[dict]:
    """Items of a feature dataset with cached text; controls that are not kept are their nulls."""
    generator = torch.Generator().manual_seed(0)
    items = []
    for _ in range(CLIPS):
        item = {
            "latents": torch.randn(FRAMES, 4, generator=generator),
            "chords": torch.randint(0, 3, (FRAMES,), generator=generator),
            "drums": torch.randn(FRAMES, 4, generator=generator),
            "melody": torch.nn.functional.one_hot(torch.randint(0, 53, (FRAMES,), generator=generator), 53).float(),
            "beats": phases_to_frames(torch.rand(FRAMES, 2, generator=generator)),
            "text_embeds": torch.randn(3, 8, generator=generator),
            "text_mask": torch.ones(3, dtype=torch.bool),
            "has_text": torch.tensor(True),
        }
        nulls = {"chords": 3, "drums": 0, "melody": 0, "beats": 0}
        items.append(item | {name: torch.full_like(item[name], nulls[name]) for name in nulls if name not in kept})
    return items


def validate(model: JascoTrainingModel, items: list[dict], reach=None) -> dict:
    return validation_loss(model, items, collate_features, None, Accelerator(cpu=True), CLIPS, 4, reach)


def test_the_loss_is_measured_with_fewer_conditions():
    model, kept = make_model(beats=True), {"_text": (), "_beats": ("beats",), "_beats_chords": ("beats", "chords")}
    result = validate(model, make_items())
    losses = {result[f"validation_loss{suffix}"] for suffix in ("", *kept)}
    assert len(losses) == 4
    for suffix, controls in kept.items():
        expected = validate(model, make_items(controls))
        assert result[f"validation_loss{suffix}"] == pytest.approx(expected["validation_loss"], abs=2e-6)
        by_time, expected = (
            values[f"validation_mse_by_time{name}"] for values, name in ((result, suffix), (expected, ""))
        )
        assert by_time == pytest.approx(expected, abs=2e-6)


def test_sets_of_conditions_that_the_model_lacks_are_left_out():
    def losses(**options) -> set[str]:
        return {name for name in validate(make_model(**options), make_items()) if name.startswith("validation_loss")}

    assert losses() == {"validation_loss", "validation_loss_text"}
    with_beats = {"validation_loss", "validation_loss_text", "validation_loss_beats"}
    assert losses(beats=True, chords_dim=None) == with_beats
    nothing = {"chords_dim": None, "drums_dim": None, "melody_dim": None}
    assert losses(**nothing) == {"validation_loss"}


def test_the_loss_of_unknown_frames_is_measured_with_and_without_a_context():
    model = make_model(context=True)
    result = validate(model, make_items(), (1, 1))
    plain = validate(model, make_items())
    assert plain.keys() == result.keys() - {"validation_loss_context", "validation_loss_no_context"}
    assert all(result[name] == value for name, value in plain.items())
    assert result["validation_loss_context"] != result["validation_loss_no_context"]
    torch.nn.init.zeros_(model.transformer.context_proj.weight)
    result = validate(model, make_items(), (1, 1))
    assert result["validation_loss_context"] == result["validation_loss_no_context"]
