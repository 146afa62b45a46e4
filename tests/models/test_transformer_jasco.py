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
from torch import nn

from diffusers_jasco import JascoTransformerModel


SIZES = {
    "in_channels": 8,
    "num_layers": 4,
    "num_attention_heads": 2,
    "attention_head_dim": 8,
    "ff_inner_dim": 24,
    "text_dim": 12,
    "time_embed_dim": 10,
    "chords_dim": 4,
    "melody_dim": 3,
    "sample_size": 20,
}
FRAMES, TOKENS = 20, 5


def make_model(**options) -> JascoTransformerModel:
    torch.manual_seed(0)
    return JascoTransformerModel(**SIZES | options).eval()


def make_inputs(batch_size: int = 2, controls: tuple[str, ...] = ("chords", "drums", "melody")) -> dict:
    generator = torch.Generator().manual_seed(1)

    def randn(*shape):
        return torch.randn(batch_size, *shape, generator=generator)

    inputs = {
        "hidden_states": randn(FRAMES, 8),
        "timestep": torch.linspace(0.2, 0.9, batch_size),
        "encoder_hidden_states": randn(TOKENS, 12),
    }
    given = {
        "chords": torch.randint(0, 195, (batch_size, FRAMES), generator=generator),
        "drums": randn(FRAMES, 8),
        "melody": randn(FRAMES, 53).relu(),
    }
    return inputs | {name: given[name] for name in controls}


@torch.no_grad()
def run(model: JascoTransformerModel, **inputs) -> torch.Tensor:
    return model(**inputs).sample


OPTIONS = [
    {},
    {"skip_connections": True},
    {"pre_norm": False},
    {"pre_norm": False, "skip_connections": True},
    {"attention_bias": True, "ff_bias": True, "out_bias": True},
    {"activation_fn": "relu"},
    {"num_layers": 3},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_architecture_runs_saves_and_loads(options, tmp_path):
    model, inputs = make_model(**options), make_inputs()
    velocity = run(model, **inputs)
    assert velocity.shape == inputs["hidden_states"].shape and velocity.isfinite().all()
    model.save_pretrained(tmp_path, max_shard_size="10KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert torch.equal(run(JascoTransformerModel.from_pretrained(tmp_path), **inputs), velocity)


@pytest.mark.parametrize(
    "controls", [(), ("chords",), ("drums",), ("melody",), ("chords", "drums"), ("chords", "drums", "melody")], ids=str
)
def test_any_subset_of_controls(controls):
    absent = {f"{name}_dim": None for name in ("chords", "drums", "melody") if name not in controls}
    model = make_model(**absent)
    assert model.controls == controls
    with_controls = run(model, **make_inputs(controls=controls))
    without = run(model, **make_inputs(controls=()))
    assert torch.equal(with_controls, without) == (not controls)
    for name in {"chords", "drums", "melody"} - set(controls):
        with pytest.raises(ValueError, match=f"`{name}` was given, but this checkpoint does not support it"):
            run(model, **make_inputs(controls=(name,)))


def test_a_missing_control_is_the_learned_null():
    model, inputs = make_model(), make_inputs()
    assert model.null_controls == {"chords": 194, "drums": 0, "melody": 0}
    nulls = {
        "chords": torch.full((2, FRAMES), model.null_controls["chords"]),
        "drums": torch.zeros(2, FRAMES, 8),
        "melody": torch.zeros(2, FRAMES, 53),
    }
    for name, null in nulls.items():
        without = {key: value for key, value in inputs.items() if key != name}
        assert torch.equal(run(model, **without), run(model, **inputs | {name: null}))


def test_controls_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"`chords`.*\(2, 20\).*\(2, 19\)"):
        run(make_model(), **make_inputs() | {"chords": torch.zeros(2, 19, dtype=torch.long)})


def test_masked_tokens_have_no_effect():
    model, inputs = make_model(), make_inputs(controls=())
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    padded = inputs["encoder_hidden_states"].clone()
    padded[1, 3:] = 100.0
    velocity = run(model, **inputs | {"encoder_hidden_states": padded, "encoder_attention_mask": mask})
    for row, tokens in ((0, 5), (1, 3)):
        single = {key: value[row : row + 1] for key, value in inputs.items()}
        single["encoder_hidden_states"] = single["encoder_hidden_states"][:, :tokens]
        torch.testing.assert_close(run(model, **single)[0], velocity[row], atol=1e-5, rtol=1e-5)


def test_all_forms_of_null_text_are_equal():
    # Null tokens of any number and states, and a row in which no token counts, are the same null text.
    model, inputs = make_model(), make_inputs()
    null = run(model, **inputs | {"text_mask": torch.zeros(2, TOKENS)})
    shorter = run(model, **inputs | {"encoder_hidden_states": torch.zeros(2, 1, 12), "text_mask": torch.zeros(2, 1)})
    masked = run(model, **inputs | {"encoder_attention_mask": torch.zeros(2, TOKENS)})
    torch.testing.assert_close(shorter, null, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(masked, null, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(run(model, **inputs), null, atol=1e-3)


def test_a_state_of_zeros_is_text():
    # Presence is a mask, not a value.
    model, inputs = make_model(), make_inputs()
    zeros = inputs | {"encoder_hidden_states": torch.zeros(2, TOKENS, 12)}
    assert not torch.allclose(run(model, **zeros), run(model, **zeros, text_mask=torch.zeros(2, TOKENS)), atol=1e-3)


def test_the_post_norm_block_equals_audiocrafts():
    # AudioCraft's post-norm layer in torch's modules; the query of the cross-attention is the layer's input.
    model = make_model(pre_norm=False, attention_bias=True)
    block = model.transformer_blocks[0]
    hidden_states, text = torch.randn(2, FRAMES, 16), torch.randn(2, TOKENS, 16)

    def attend(attention, query, source):
        reference = nn.MultiheadAttention(16, 2, batch_first=True)
        projections = (attention.to_q, attention.to_k, attention.to_v)
        reference.in_proj_weight.copy_(torch.cat([projection.weight for projection in projections]))
        reference.in_proj_bias.copy_(torch.cat([projection.bias for projection in projections]))
        reference.out_proj.load_state_dict(attention.to_out[0].state_dict())
        return reference(query, source, source, need_weights=False)[0]

    with torch.no_grad():
        x = block.norm1(hidden_states + attend(block.attn1, hidden_states, hidden_states))
        x = block.norm2(x + attend(block.attn2, hidden_states, text))
        x = block.norm3(x + block.ff_out(nn.functional.gelu(block.ff_in(x))))
        torch.testing.assert_close(block(hidden_states, text), x, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_layers": 3, "skip_connections": True}, "even"),
        ({"num_attention_heads": 1, "attention_head_dim": 7}, "even"),
    ],
)
def test_impossible_sizes_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_model(**options)


@pytest.mark.parametrize("skip_connections", [False, True])
def test_gradient_checkpointing_gives_the_same_gradients(skip_connections):
    gradients = []
    for checkpointing in (False, True):
        model = make_model(skip_connections=skip_connections).train()
        if checkpointing:
            model.enable_gradient_checkpointing()
        model(**make_inputs()).sample.square().mean().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for plain, checkpointed in zip(*gradients):
        torch.testing.assert_close(checkpointed, plain)


def test_device_map_moves_whole_blocks(tmp_path):
    # Offloaded blocks are loaded when they are called, so each block has to contain all of its weights, skips included.
    model, inputs = make_model(skip_connections=True), make_inputs()
    velocity = run(model, **inputs)
    model.save_pretrained(tmp_path / "model")
    names = [name for name, _ in model.named_children() if name != "transformer_blocks"]
    places = dict.fromkeys(names, "cpu") | {f"transformer_blocks.{i}": ("cpu", "disk")[i % 2] for i in range(4)}
    mapped = JascoTransformerModel.from_pretrained(
        tmp_path / "model", device_map=places, offload_folder=str(tmp_path / "offload")
    )
    assert mapped.transformer_blocks[3].skip_proj.weight.device.type == "meta"
    assert torch.equal(run(mapped, **inputs), velocity)


def test_small_model_options_are_off_by_default():
    model = make_model()
    assert model.config.preconditioning is None and model.config.time_scale == 1.0
    assert make_model(preconditioning=1.0, time_scale=1000.0).state_dict().keys() == model.state_dict().keys()


def test_preconditioning_adds_the_linear_prediction():
    model, inputs = make_model(preconditioning=1.0), make_inputs()
    nn.init.zeros_(model.proj_out.weight)
    times = torch.tensor([0.0, 0.25, 0.5, 1.0])
    inputs = {name: value.repeat(2, *[1] * (value.ndim - 1)) for name, value in inputs.items()} | {"timestep": times}
    factors = torch.tensor([-1.0, -0.5 / 0.625, 0.0, 1.0])[:, None, None]
    torch.testing.assert_close(run(model, **inputs), factors * inputs["hidden_states"])


def test_preconditioning_changes_only_the_output():
    inputs = make_inputs()
    plain, model = make_model(), make_model(preconditioning=1.0)
    difference = run(model, **inputs) - run(plain, **inputs)
    torch.testing.assert_close(difference, model.linear_factor(inputs["timestep"]) * inputs["hidden_states"])


def test_the_linear_factor_is_the_regression_of_the_velocity():
    # Least-squares factor of the velocity on z_t, from the variances of noise and data.
    generator = torch.Generator().manual_seed(0)
    deviations = [0.5, 1.0, 2.0, *[1.0] * 5]
    model = make_model(preconditioning=deviations)
    for time in (0.0, 0.3, 0.8, 1.0):
        factors = model.linear_factor(torch.tensor([time]))[0, 0]
        for deviation, factor in zip(deviations[:3], factors):
            noise, data = torch.randn(2, 200_000, generator=generator)
            z = (1 - time) * noise + time * deviation * data
            slope = ((deviation * data - noise) @ z) / (z @ z)
            assert abs(factor.item() - slope.item()) < 0.02


def test_time_scale_multiplies_the_time():
    model, inputs = make_model(), make_inputs()
    scaled = make_model(time_scale=0.5)
    assert torch.equal(run(scaled, **inputs), run(model, **inputs | {"timestep": inputs["timestep"] * 0.5}))
    assert not torch.allclose(run(scaled, **inputs), run(model, **inputs), atol=1e-4)


def test_statistics_by_channel_are_saved(tmp_path):
    means, deviations = [0.25 * i for i in range(8)], [1.0 + i for i in range(8)]
    make_model(latents_mean=means, latents_std=deviations).save_pretrained(tmp_path)
    config = JascoTransformerModel.from_pretrained(tmp_path).config
    assert (config.latents_mean, config.latents_std) == (means, deviations)
