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
from diffusers.models.attention_dispatch import AttentionBackendName, dispatch_attention_fn
from torch import nn

from diffusers_jasco import JascoConditioning, JascoTransformerModel
from diffusers_jasco.conditioning import TextSection, make_context
from diffusers_jasco.controls.beats import phases_to_frames
from diffusers_jasco.models import transformer_jasco


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


def make_random_model(**options) -> JascoTransformerModel:
    """A model whose layers that are initialized with zeros are random."""
    model = make_model(**options)
    for weight in model.parameters():
        if not weight.any():
            nn.init.normal_(weight, std=0.3)
    return model


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
        "beats": phases_to_frames(torch.rand(batch_size, FRAMES, 2, generator=generator)),
        "context": make_context(randn(FRAMES, 8), torch.rand(batch_size, FRAMES, generator=generator) < 0.5),
    }
    return inputs | {name: given[name] for name in controls}


@torch.no_grad()
def run(model: JascoTransformerModel, **inputs) -> torch.Tensor:
    return model(**inputs).sample


# All options that are not part of AudioCraft's JASCO.
ALL_OPTIONS = {
    "position_embedding": "rotary",
    "norm_type": "ada_norm_single",
    "qk_norm": "rms_norm",
    "presence_bits": True,
    "beats": True,
    "context": True,
}
# Those that do not change the output of a new model.
ZERO_INITIALIZED = {"norm_type": "ada_norm_single", "presence_bits": True, "beats": True, "context": True}

OPTIONS = [
    {},
    {"skip_connections": True},
    {"pre_norm": False},
    {"pre_norm": False, "skip_connections": True},
    {"attention_bias": True, "ff_bias": True, "out_bias": True},
    {"activation_fn": "relu"},
    {"num_layers": 3},
    {"position_embedding": "rotary"},
    {"norm_type": "ada_norm_single", "skip_connections": True},
    {"qk_norm": "rms_norm", "pre_norm": False},
    ALL_OPTIONS,
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


@pytest.mark.parametrize(
    ("backend", "masked"),
    [
        ("_native_math", "_native_math"),
        (None, "native"),
        ("flash", "native"),
        ("sage", "native"),
        ("xformers", "native"),
    ],
)
def test_masked_attention_has_the_chosen_backend_if_it_supports_boolean_masks(backend, masked, monkeypatch):
    backends = {}

    def dispatch(*args, attn_mask, backend, parallel_config):
        backends["plain" if attn_mask is None else "masked"] = backend
        return dispatch_attention_fn(*args, attn_mask=attn_mask, backend=AttentionBackendName.NATIVE)

    monkeypatch.setattr(transformer_jasco, "dispatch_attention_fn", dispatch)
    model, inputs = make_random_model(), make_inputs()
    for processor in model.attn_processors.values():
        processor._attention_backend = None if backend is None else AttentionBackendName(backend)
    mask = torch.ones(inputs["encoder_hidden_states"].shape[:2], dtype=torch.bool)
    mask[0, -1] = False
    run(model, **inputs | {"encoder_attention_mask": mask})
    assert backends == {"plain": backend, "masked": masked}


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
        ({"position_embedding": "rotary", "attention_head_dim": 7}, "`attention_head_dim` has to be even"),
        (
            {"position_embedding": "learned"},
            "`position_embedding` has to be 'sinusoidal' or 'rotary', but is 'learned'",
        ),
        ({"norm_type": "rms_norm"}, "`norm_type` has to be"),
        ({"norm_type": "ada_norm_single", "pre_norm": False}, "requires `pre_norm`"),
        ({"qk_norm": "layer_norm"}, "`qk_norm` has to be"),
        ({"beats": "maybe"}, "`beats` has to be True or False, but is 'maybe'"),
        ({"skip_connections": 1}, "`skip_connections` has to be True or False, but is 1"),
        (
            {"presence_bits": True, "chords_dim": None, "drums_dim": None, "melody_dim": None},
            "`presence_bits` requires",
        ),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_model(**options)


@pytest.mark.parametrize("options", [{}, {"skip_connections": True} | ALL_OPTIONS], ids=["", "all options"])
def test_gradient_checkpointing_gives_the_same_gradients(options):
    gradients = []
    for checkpointing in (False, True):
        model = make_random_model(**options).train()
        if checkpointing:
            model.enable_gradient_checkpointing()
        model(**make_inputs(controls=model.controls)).sample.square().mean().backward()
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


# Options that are not part of AudioCraft's JASCO


def test_options_are_off_by_default():
    defaults = {"position_embedding": "sinusoidal", "norm_type": "layer_norm", "qk_norm": None}
    defaults |= {"presence_bits": False, "beats": False, "context": False}
    model, inputs = make_model(), make_inputs()
    assert {name: model.config[name] for name in ALL_OPTIONS} == defaults
    # The weights are those of checkpoints from before these options.
    assert model.controls == ("chords", "drums", "melody")
    checkpoint = make_model(**ZERO_INITIALIZED).state_dict()
    added = checkpoint.keys() - model.state_dict().keys()
    layers = {"beats_proj", "context_proj", "presence_proj", "time_modulation", "scale_shift_table"}
    assert {name.split(".")[2 if name.startswith("transformer_blocks") else 0] for name in added} == layers
    model.load_state_dict({name: weight for name, weight in checkpoint.items() if name not in added})
    run(model, **inputs)


def copy_weights(source: JascoTransformerModel, target: JascoTransformerModel):
    missing, unexpected = target.load_state_dict(source.state_dict(), strict=False)
    assert missing and not unexpected


@pytest.mark.parametrize("name", ZERO_INITIALIZED)
def test_zero_initialized_options_keep_the_output_and_learn(name):
    model, inputs = make_model(), make_inputs()
    extended = make_model(**{name: ZERO_INITIALIZED[name]})
    copy_weights(model, extended)
    inputs |= make_inputs(controls=(*extended.controls, "context") if name == "context" else extended.controls)
    others = {key: value for key, value in inputs.items() if key not in ("beats", "context")}
    assert torch.equal(run(extended, **inputs), run(model, **others))
    nulls = {key: value for key, value in others.items() if key not in model.controls}
    assert torch.equal(run(extended, **nulls), run(model, **nulls))
    extended(**inputs).sample.square().mean().backward()
    added = extended.state_dict().keys() - model.state_dict().keys()
    gradients = dict(extended.named_parameters())
    assert all(gradients[weight].grad.abs().max() > 0 for weight in added)


def test_rotary_attention_depends_on_distances_only():
    model = make_model(position_embedding="rotary", in_channels=16, chords_dim=None, drums_dim=None, melody_dim=None)
    attention = model.transformer_blocks[0].attn1
    states = torch.randn(1, 12, 16, generator=torch.Generator().manual_seed(0))

    def attend(order: torch.Tensor, first: int = 0) -> torch.Tensor:
        with torch.no_grad():
            return attention(states[:, order], rotary_emb=model.rotary_embedding(first + torch.arange(len(order))))

    order = torch.arange(12)
    torch.testing.assert_close(attend(order, 1000), attend(order), atol=1e-4, rtol=1e-4)
    # Without positions, attention would not depend on the order.
    assert (attend(order.flip(0)).flip(1) - attend(order)).abs().max() > 1e-3


def test_rotary_periods_fit_the_window():
    model = make_model(position_embedding="rotary", attention_head_dim=16, sample_size=250)
    # After one period, the rotations of each pair of channels repeat.
    angles = torch.atan2(*(part[:, :8] for part in reversed(model.rotary_embedding(torch.tensor([1])))))[0]
    periods = 2 * torch.pi / angles
    assert periods[0].item() == pytest.approx(2 * torch.pi, rel=1e-4)
    assert periods[-1].item() == pytest.approx(1000, rel=1e-4)
    ratios = periods[1:] / periods[:-1]
    torch.testing.assert_close(ratios, ratios[:1].expand(7), atol=1e-3, rtol=1e-3)


def test_rotary_positions_replace_absolute_ones_for_any_length():
    model = make_model(position_embedding="rotary", chords_dim=None, drums_dim=None, melody_dim=None)
    inputs = make_inputs(controls=())
    longer = inputs | {"hidden_states": torch.randn(2, 7 * FRAMES, 8, generator=torch.Generator().manual_seed(2))}
    assert run(model, **longer).isfinite().all()
    # Absolute positions would distinguish frames with equal latents.
    constant = run(model, **inputs | {"hidden_states": torch.ones(2, FRAMES, 8)})
    torch.testing.assert_close(constant, constant[:, :1].expand_as(constant), atol=1e-5, rtol=1e-5)


def test_rotary_angles_are_precise_in_half_precision():
    model, positions = make_model(position_embedding="rotary"), torch.arange(2000)
    expected = model.rotary_embedding(positions)
    with torch.autocast("cpu", torch.bfloat16):
        angles = model.bfloat16().rotary_embedding(positions)
    assert all(torch.equal(part, other) for part, other in zip(angles, expected))
    assert expected[0].dtype == torch.float32


def test_qk_norm_bounds_attention_scores():
    plain, model = make_model(), make_model(qk_norm="rms_norm")
    copy_weights(plain, model)
    inputs = make_inputs()
    for block in model.transformer_blocks:
        for attention in (block.attn1, block.attn2):
            # Scores do not depend on the size of the projections.
            attention.to_q.weight.data *= 100
    scaled = run(model, **inputs)
    copy_weights(plain, model)
    torch.testing.assert_close(scaled, run(model, **inputs), atol=1e-3, rtol=1e-3)
    assert not torch.allclose(scaled, run(plain, **inputs), atol=1e-3)


def test_time_modulation_acts_without_text_tokens_changing():
    model, inputs = make_random_model(norm_type="ada_norm_single"), make_inputs()
    # The time reaches the blocks through the text as well, which this switches off.
    nn.init.zeros_(model.time_embed_proj.weight)
    early, late = (run(model, **inputs | {"timestep": torch.full((2,), time)}) for time in (0.1, 0.9))
    assert (early - late).abs().max() > 1e-3
    # Each sample has its own time.
    mixed = run(model, **inputs | {"timestep": torch.tensor([0.1, 0.9])})
    torch.testing.assert_close(mixed, torch.stack([early[0], late[1]]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("control", ["chords", "drums", "melody"])
def test_presence_bits_tell_a_given_control_from_none(control):
    model, inputs = make_random_model(presence_bits=True), make_inputs(controls=())
    assert model.null_controls == {"chords": 194, "drums": 0, "melody": -1}
    # Frames 10 to 19 are given. The null of the chords has its own embedding, which would also make a difference.
    shape = {"chords": (2, FRAMES), "drums": (2, FRAMES, 8), "melody": (2, FRAMES, 53)}[control]
    free = torch.full(shape, model.null_controls[control])
    given = free.clone()
    given[:, 10:] = {"chords": 3, "drums": 1, "melody": 0}[control]
    assert torch.equal(run(model, **inputs, **{control: free}), run(model, **inputs))
    bits = []
    model.presence_proj.register_forward_hook(lambda _, arguments, output: bits.append(arguments[0]))
    run(model, **inputs, **{control: given})
    index = model.controls.index(control)
    assert (bits[0][:, :10] == 0).all() and (bits[0][:, 10:, index] == 1).all() and bits[0].sum() == 2 * 10


def test_a_rest_differs_from_a_free_melody():
    rest = torch.zeros(2, FRAMES, 53)
    for presence_bits in (False, True):
        model, inputs = make_random_model(presence_bits=presence_bits), make_inputs(controls=())
        difference = (run(model, **inputs, melody=rest) - run(model, **inputs)).abs().max()
        assert (difference > 1e-3) == presence_bits


def test_masked_controls_are_free_with_presence_bits():
    model, inputs = make_random_model(presence_bits=True, beats=True), make_inputs(controls=())
    controls = {name: value for name, value in make_inputs(controls=model.controls).items() if name not in inputs}
    text, time = inputs["encoder_hidden_states"], {key: inputs[key] for key in ("hidden_states", "timestep")}
    section = TextSection(0, text, torch.ones(2, TOKENS, dtype=torch.bool), None)
    conditioning = JascoConditioning((section,), controls, model.null_controls, num_frames=FRAMES)

    def predict(conditioning: JascoConditioning) -> torch.Tensor:
        return run(model, **time, **conditioning.model_kwargs())

    torch.testing.assert_close(predict(conditioning), run(model, **inputs, **controls))
    torch.testing.assert_close(predict(conditioning.keep(("text",))), run(model, **inputs))
    # The first half of the first sample's melody, and the second sample's beats, are dropped.
    masks = {name: torch.ones(2, FRAMES, dtype=torch.bool) for name in controls}
    masks["melody"][0, :10] = masks["beats"][1] = False
    expected = {name: value.clone() for name, value in controls.items()}
    expected["melody"][0, :10], expected["beats"][1] = -1, 0
    torch.testing.assert_close(predict(conditioning.mask(masks)), run(model, **inputs, **expected))


def test_beats_are_a_control_of_their_own():
    model, inputs = make_random_model(beats=True), make_inputs(controls=("chords",))
    assert model.controls == ("chords", "drums", "melody", "beats") and model.null_controls["beats"] == 0
    assert model.control_shape("beats") == (5,) and model.proj_in.in_features == make_model().proj_in.in_features
    beats = make_inputs(controls=("beats",))["beats"]
    assert torch.equal(run(model, **inputs, beats=torch.zeros_like(beats)), run(model, **inputs))
    assert (run(model, **inputs, beats=beats) - run(model, **inputs)).abs().max() > 1e-3
    with pytest.raises(ValueError, match=r"`beats`.*\(2, 20, 5\).*\(2, 20, 4\)"):
        run(model, **inputs, beats=beats[..., :4])
    with pytest.raises(ValueError, match="`beats` was given, but this checkpoint does not support it"):
        run(make_model(), **inputs, beats=beats)


def test_known_latents_are_a_condition_but_not_a_control():
    model, inputs = make_random_model(context=True), make_inputs()
    context = make_inputs(controls=("context",))["context"]
    assert model.controls == make_model().controls and "context" not in model.null_controls
    assert torch.equal(run(model, **inputs, context=torch.zeros_like(context)), run(model, **inputs))
    velocity = run(model, **inputs, context=context)
    assert (velocity - run(model, **inputs)).abs().max() > 1e-3
    # Known silence differs from unknown frames.
    silence = torch.cat([torch.zeros_like(context[..., :-1]), context[..., -1:]], dim=-1)
    assert (run(model, **inputs, context=silence) - run(model, **inputs)).abs().max() > 1e-3
    with pytest.raises(ValueError, match=r"`context`.*\(2, 20, 9\).*\(2, 20, 8\)"):
        run(model, **inputs, context=context[..., :-1])
    with pytest.raises(ValueError, match="`context` was given, but this checkpoint does not support it"):
        run(make_model(), **inputs, context=context)


def test_half_precision_with_all_options_trains():
    model = make_model(**ALL_OPTIONS).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(**make_inputs(controls=(*model.controls, "context"))).sample.float().square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.isfinite() and all(weight.isfinite().all() for weight in model.parameters())
    zeros = [name for name, weight in model.named_parameters() if not weight.any()]
    assert not zeros
