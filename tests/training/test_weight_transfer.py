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
from transformers import AutoTokenizer, EncodecModel, T5EncoderModel

from diffusers_jasco import JascoPipeline, JascoTransformerModel
from diffusers_jasco.controls import CONTROLS, FRAME_CONDITIONS
from diffusers_jasco.loaders.audiocraft import load_audiocraft_transformer, read_audiocraft_checkpoint
from diffusers_jasco.training.weight_transfer import load_source, to_table, transfer_weights

from ..conftest import CHECKPOINTS, FIXTURES, load_pipeline
from ..loaders.test_audiocraft_export import make_training_run


FRAMES, TOKENS = 10, 3
NO_CONTROLS = {f"{name}_dim": None for name in ("chords", "drums", "melody")}
SIZES = {
    "in_channels": 6,
    "num_layers": 4,
    "num_attention_heads": 2,
    "attention_head_dim": 6,
    "ff_inner_dim": 20,
    "text_dim": 7,
    "time_embed_dim": 8,
    "chords_dim": 4,
    "drums_dim": 2,
    "melody_dim": 3,
    "chord_labels": ["N", "C", "Am", "F#", "G7", "UNK"],
    "sample_size": FRAMES,
}


def make_model(seed: int, options: dict) -> JascoTransformerModel:
    """A model in which all weights are random, without zeros and ones."""
    torch.manual_seed(seed)
    model = JascoTransformerModel(**SIZES | options).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.4)
    return model


def make_inputs(config, seed: int = 0) -> dict:
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape):
        return torch.randn(2, *shape, generator=generator)

    return {
        "hidden_states": randn(FRAMES, config.in_channels),
        "timestep": torch.rand(2, generator=generator),
        "encoder_hidden_states": randn(TOKENS, config.text_dim),
        "chords": torch.randint(0, len(config.chord_labels or []) + 1, (2, FRAMES), generator=generator),
        "drums": randn(FRAMES, config.in_channels),
        "melody": randn(FRAMES, config.melody_bins).relu(),
        "beats": randn(FRAMES, 5),
        "context": randn(FRAMES, config.in_channels + 1),
    }


@torch.no_grad()
def run(model: JascoTransformerModel, inputs: dict, controls: tuple[str, ...] = CONTROLS) -> torch.Tensor:
    """Predicts the velocity, with those of `controls` that the model has, and its context if there are any."""
    others = {key: value for key, value in inputs.items() if key not in FRAME_CONDITIONS}
    context = {"context": inputs["context"]} if controls and model.config.context else {}
    return model(**others | context | {name: inputs[name] for name in controls if name in model.controls}).sample


def outputs_are_equal(source: JascoTransformerModel, target: JascoTransformerModel) -> bool:
    """Compares the outputs with each model's controls, and without controls. The melody has only common pitches."""
    inputs = make_inputs(target.config)
    bins = [model.config.melody_bins for model in (source, target)]
    melody = torch.nn.functional.pad(inputs["melody"][..., : min(bins)], (0, max(bins) - min(bins)))
    for controls in (CONTROLS, ()):
        outputs = [
            run(model, inputs | {"melody": melody[..., : model.config.melody_bins]}, controls)
            for model in (source, target)
        ]
        if not torch.allclose(*outputs, rtol=1e-4, atol=1e-4):
            return False
    return True


def assert_accounted_for(rows, source: JascoTransformerModel, target: JascoTransformerModel):
    """Checks that each weight has one row, and that the rows are correct."""
    old, new = dict(source.named_parameters()), dict(target.named_parameters())
    assert sorted(row.target for row in rows if row.target) == sorted(new)
    assert sorted(row.source for row in rows if row.source) == sorted(old)
    for row in rows:
        assert row.target_shape == (tuple(new[row.target].shape) if row.target else None)
        assert row.source_shape == (tuple(old[row.source].shape) if row.source else None)
        assert row.note or row.status == "loaded"
        assert (row.source is None) == (row.status == "new") and (row.target is None) == (row.status == "dropped")
        if row.status == "loaded":
            assert torch.equal(new[row.target], old[row.source])
        if row.status == "partly loaded":
            is_copied = torch.isin(new[row.target], old[row.source])
            assert is_copied.any() and (row.target_shape != row.source_shape or not is_copied.all())


OWN_OPTIONS = {
    "position_embedding": "rotary",
    "norm_type": "ada_norm_single",
    "qk_norm": "rms_norm",
    "presence_bits": True,
    "beats": True,
    "context": True,
}

# Options of the source, and those that differ in the target, for transfers that do not change the initial output.
SAME = {
    "nothing": ({}, {}),
    "chords added": ({"chords_dim": None}, {"chords_dim": 4}),
    "drums added": ({"drums_dim": None}, {"drums_dim": 2}),
    "melody added": ({"melody_dim": None}, {"melody_dim": 3}),
    "all controls added": (NO_CONTROLS, {name: SIZES[name] for name in NO_CONTROLS}),
    "wider controls": ({}, {"chords_dim": 6, "drums_dim": 5, "melody_dim": 4}),
    "wider feed-forward": ({"ff_bias": True}, {"ff_inner_dim": 28}),
    "more pitches": ({}, {"melody_bins": 60}),
    "fewer pitches": ({}, {"melody_bins": 40}),
    "more layers": ({}, {"num_layers": 5}),
    "one layer more than three": ({"num_layers": 3}, {"num_layers": 4}),
    "more layers with skips": ({"skip_connections": True}, {"num_layers": 8}),
    "skips": ({}, {"skip_connections": True}),
    "skips without pre-norm": ({"pre_norm": False}, {"skip_connections": True}),
    "skips and more than three layers": ({"num_layers": 3}, {"num_layers": 6, "skip_connections": True}),
    "beats": ({}, {"beats": True}),
    "context": ({}, {"context": True}),
    "presence bits": ({}, {"presence_bits": True}),
    "a control with presence bits": ({"presence_bits": True, "drums_dim": None}, {"drums_dim": 2}),
    "time modulation": ({}, {"norm_type": "ada_norm_single"}),
    "more layers with all options": (OWN_OPTIONS, {"num_layers": 6, "skip_connections": True}),
    "a longer window": ({}, {"sample_size": 20}),
    "biases": ({}, {"attention_bias": True, "ff_bias": True, "out_bias": True}),
    "all at once": (
        {"melody_dim": None, "preconditioning": 0.5},
        {
            "melody_dim": 3, "chords_dim": 6, "num_layers": 6, "skip_connections": True, "ff_inner_dim": 24,
            "attention_bias": True, "ff_bias": True, "out_bias": True, "beats": True, "context": True,
            "presence_bits": True, "norm_type": "ada_norm_single",
        },
    ),
}  # fmt: skip

# Transfers that have to change the output.
DIFFERENT = {
    "chords removed": ({}, {"chords_dim": None}),
    "drums removed": ({}, {"drums_dim": None}),
    "melody removed": ({}, {"melody_dim": None}),
    "melody instead of drums": ({"melody_dim": None}, {"melody_dim": 3, "drums_dim": None}),
    "narrower melody": ({}, {"melody_dim": 2}),
    "narrower feed-forward": ({}, {"ff_inner_dim": 10}),
    "fewer layers": ({}, {"num_layers": 2}),
    "fewer layers with skips": ({"skip_connections": True, "num_layers": 6}, {"num_layers": 4}),
    "more layers without pre-norm": ({"pre_norm": False}, {"num_layers": 6}),
    "no skips": ({"skip_connections": True}, {"skip_connections": False}),
    "no beats": ({"beats": True}, {"beats": False}),
    "no context": ({"context": True}, {"context": False}),
    "no presence bits": ({"presence_bits": True}, {"presence_bits": False}),
    "drums removed with presence bits": ({"presence_bits": True}, {"drums_dim": None}),
    "no time modulation": ({"norm_type": "ada_norm_single"}, {"norm_type": "layer_norm"}),
    "rotary positions": ({}, {"position_embedding": "rotary"}),
    "a longer window with rotary positions": ({"position_embedding": "rotary"}, {"sample_size": 20}),
    "QK norm": ({}, {"qk_norm": "rms_norm"}),
    "no QK norm": ({"qk_norm": "rms_norm"}, {"qk_norm": None}),
    "no biases": ({"ff_bias": True}, {"ff_bias": False}),
    "pre-norm": ({"pre_norm": False}, {"pre_norm": True}),
    "post-norm": ({"pre_norm": True}, {"pre_norm": False}),
    "another activation": ({}, {"activation_fn": "relu"}),
    "more heads": ({}, {"num_attention_heads": 4, "attention_head_dim": 3}),
    "another time scale": ({}, {"time_scale": 1000.0}),
    "preconditioning": ({}, {"preconditioning": 0.5}),
    "another time embedding": ({}, {"time_embed_dim": 10}),
    "another width": ({}, {"attention_head_dim": 8, "num_layers": 6}),
}

# Changes outside of the model, or models without common inputs, whose outputs can't be compared.
INCOMPARABLE = {
    "another codec": ({}, {"in_channels": 5, "melody_dim": 4, "latents_mean": [0.0] * 5, "preconditioning": 0.5}),
    "another text encoder": ({}, {"text_dim": 9}),
    "another mean": ({}, {"latents_mean": 0.5}),
    "another drum blur": ({}, {"drums_blur": 1}),
}


def transfer(case: tuple[dict, dict]):
    source, target = make_model(1, case[0]), make_model(2, case[0] | case[1])
    weights = {name: weight.clone() for name, weight in source.state_dict().items()}
    rows = transfer_weights(source, target)
    assert all(torch.equal(weight, weights[name]) for name, weight in source.state_dict().items())
    return source, target, rows


@pytest.mark.parametrize("case", SAME)
def test_new_weights_do_not_change_the_output(case):
    source, target, rows = transfer(SAME[case])
    assert not any(row.changes_output for row in rows)
    assert outputs_are_equal(source, target)
    assert_accounted_for(rows, source, target)
    assert to_table(rows).endswith("The initial output equals the source's.")


@pytest.mark.parametrize("case", DIFFERENT)
def test_changes_of_the_output_are_reported(case):
    source, target, rows = transfer(DIFFERENT[case])
    assert any(row.changes_output for row in rows)
    assert not outputs_are_equal(source, target)
    assert_accounted_for(rows, source, target)
    assert to_table(rows).endswith("The initial output differs from the source's.")


@pytest.mark.parametrize("case", INCOMPARABLE)
def test_changes_outside_of_the_model_are_reported(case):
    source, target, rows = transfer(INCOMPARABLE[case])
    assert any(row.changes_output for row in rows)
    assert_accounted_for(rows, source, target)


def find(rows, name: str):
    return next(row for row in rows if name in (row.target, row.target or row.source))


def test_controls_are_kept_with_another_codec():
    source, target, rows = transfer(INCOMPARABLE["another codec"])
    row = find(rows, "proj_in.weight")
    assert row.status == "partly loaded" and "in_channels 6 → 5" in row.note and "different latents_mean" in row.note
    # The source has 6 latent, 4 chord, 2 drum and 3 melody channels, the target 5 latent channels and 1 more for
    # melody.
    assert torch.equal(target.proj_in.weight[:, 5:14], source.proj_in.weight[:, 6:15])
    assert not target.proj_in.weight[:, 14].any()
    new = {row.target for row in rows if row.status == "new"}
    assert new == {"drums_proj.weight", "proj_out.weight"}
    assert find(rows, "proj_out.weight").note == "in_channels 6 → 5; preconditioning None → 0.5"


def test_weights_that_do_not_depend_on_the_width_are_kept():
    rows = transfer(DIFFERENT["another width"])[2]
    loaded = {row.target.rpartition(".")[0] for row in rows if row.status == "loaded"}
    assert loaded == {"chord_embedding", "drums_proj", "melody_proj", "time_embed.linear_1", "time_embed.linear_2"}


def test_a_shallower_model_keeps_the_outer_blocks():
    source, target, rows = transfer(DIFFERENT["fewer layers with skips"])
    origins = {row.target: row.source for row in rows if row.target and row.target.endswith("ff_in.weight")}
    assert [int(name.split(".")[1]) for name in origins.values()] == [0, 1, 4, 5]
    dropped = [row for row in rows if row.source == "transformer_blocks.2.ff_in.weight"]
    assert dropped[0].status == "dropped" and dropped[0].note == "num_layers 6 → 4"


def test_a_removed_control_is_reported_with_its_null():
    rows = transfer(DIFFERENT["chords removed"])[2]
    row = find(rows, "chord_embedding.weight")
    assert row.status == "dropped" and row.note == "chords_dim 4 → None: includes its learned null"
    assert "chords_dim 4 → None" in find(rows, "proj_in.weight").note


@pytest.mark.parametrize("case", ["all at once", "all controls added"])
def test_new_weights_learn(case):
    _, target, rows = transfer(SAME[case])
    before = {name: weight.clone() for name, weight in target.named_parameters()}
    optimizer = torch.optim.SGD(target.parameters(), lr=0.1)
    for seed in range(4):  # some weights only get gradients once the zeros behind them have changed
        inputs = make_inputs(target.config, seed)
        conditions = (*target.controls, "context") if target.config.context else target.controls
        given = {name: value for name, value in inputs.items() if name not in FRAME_CONDITIONS or name in conditions}
        target(**given).sample.square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    # Biases of keys have no gradient, as they shift all scores of a query equally.
    same = {name for name, weight in target.named_parameters() if torch.equal(weight, before[name])}
    assert all(name.endswith("to_k.bias") for name in same)


def test_chords_are_matched_by_their_notes():
    source = make_model(1, {"chord_labels": ["N", "C", "Am", "F#", "G7", "UNK"]})
    labels = ["UNK", "A:min", "Gb", "C", "G9", "N", "Csus4", "noise"]
    target = make_model(2, {"chord_labels": labels})
    rows = transfer_weights(source, target)
    origins = [5, 2, 3, 1, 4, 0, 1, 5, 6]
    assert torch.equal(target.chord_embedding.weight, source.chord_embedding.weight[origins])
    row = find(rows, "chord_embedding.weight")
    assert row.status == "partly loaded" and not row.changes_output
    assert row.note == "chord_labels: 5 are known, 3 are new (G9 from G7, Csus4 from C, noise from UNK)"

    inputs = make_inputs(target.config)
    expected = run(source, inputs | {"chords": torch.tensor(origins)[inputs["chords"]]})
    torch.testing.assert_close(run(target, inputs), expected)
    torch.testing.assert_close(run(target, inputs, ()), run(source, inputs, ()))


def test_reordered_and_smaller_vocabularies():
    source = make_model(1, {})
    reordered = make_model(2, {"chord_labels": SIZES["chord_labels"][::-1]})
    row = find(transfer_weights(source, reordered), "chord_embedding.weight")
    assert (row.status, row.note) == ("loaded", "chord_labels: 6 are known")
    assert torch.equal(reordered.chord_embedding.weight, source.chord_embedding.weight[[5, 4, 3, 2, 1, 0, 6]])

    smaller = make_model(2, {"chord_labels": ["Am", "nothing"]})
    row = find(transfer_weights(make_model(1, {"chord_labels": ["Am", "C"]}), smaller), "chord_embedding.weight")
    assert row.note == "chord_labels: 1 are known, 1 are new (nothing from the null chord), 1 are dropped (C)"


def test_the_table_names_the_options():
    table = to_table(transfer(DIFFERENT["rotary positions"])[2])
    assert "position_embedding sinusoidal → rotary" in table
    assert "qk_norm None → rms_norm" in to_table(transfer(DIFFERENT["QK norm"])[2])
    lines = to_table(transfer(SAME["time modulation"])[2]).splitlines()
    assert (
        "| new | blocks 0–3: scale_shift_table | (6, 12) |  | the source has none (without effect at first) |" in lines
    )


def test_the_table_groups_similar_blocks():
    table = to_table(transfer(SAME["more layers with skips"])[2])
    lines = table.splitlines()
    assert len(lines) < 35 and max(map(len, lines)) < 300
    assert "| loaded | blocks 0–1: ff_in.weight | (20, 12) |  |  |" in lines
    assert "| loaded | blocks 6–7 (in the source 2–3): ff_in.weight | (20, 12) |  |  |" in lines
    assert "| new | blocks 2–5: ff_in.weight | (20, 12) |  | num_layers 4 → 8 (without effect at first) |" in lines
    table = to_table(transfer(DIFFERENT["melody instead of drums"])[2])
    note = "drums_dim 2 → None: includes its learned null"
    assert f"| dropped | drums_proj.weight | (2, 6) | changes | {note}" in table


# Sources of continued training


def text_components() -> dict:
    return {
        "tokenizer": AutoTokenizer.from_pretrained(FIXTURES / "t5"),
        "text_encoder": T5EncoderModel.from_pretrained(FIXTURES / "t5"),
    }


def assert_has_weights(pipe: JascoPipeline, expected: dict[str, torch.Tensor]):
    weights = pipe.transformer.state_dict()
    assert weights.keys() == expected.keys()
    for name, weight in expected.items():
        assert weights[name].dtype == torch.float32 and torch.equal(weights[name], weight)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_load_source_from_an_audiocraft_folder(name):
    expected = load_audiocraft_transformer(read_audiocraft_checkpoint(FIXTURES / name)).state_dict()
    assert_has_weights(load_source(FIXTURES / name, **text_components()), expected)


@pytest.mark.parametrize("path", ["", "checkpoint.th"])
def test_load_source_from_an_audiocraft_run_uses_its_best_weights(path, tmp_path):
    make_training_run(tmp_path)
    expected = load_audiocraft_transformer(read_audiocraft_checkpoint(tmp_path, "best")).state_dict()
    codec = EncodecModel.from_pretrained(FIXTURES / "chords-drums/encodec")
    pipe = load_source(str(tmp_path / path), codec=codec, **text_components())
    assert_has_weights(pipe, expected)
    # A local path is not the name of a base model.
    assert pipe.config.audiocraft.get("base_model") is None


def test_load_source_from_a_run_or_pipeline_of_any_dtype(tmp_path):
    pipe = load_pipeline("chords-drums")
    pipe.save_pretrained(tmp_path)
    (tmp_path / "checkpoints" / "step-00000005").mkdir(parents=True)
    weights = {name: weight.clone() for name, weight in pipe.transformer.state_dict().items()}
    assert_has_weights(load_source(tmp_path), weights)

    pipe.to(torch.bfloat16).save_pretrained(tmp_path / "best")
    best = load_source(tmp_path / "best")
    assert_has_weights(best, {name: weight.bfloat16().float() for name, weight in weights.items()})
    assert {best.text_encoder.dtype, best.codec.dtype} == {torch.float32} and best.device == torch.device("cpu")
    target = JascoTransformerModel(**{**best.transformer.config, "melody_dim": 4})
    assert find(transfer_weights(best.transformer, target), "melody_proj.weight").status == "new"


def test_load_source_errors(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(FileNotFoundError, match="nothing to continue from.*model_index.json.*checkpoint.th"):
        load_source(tmp_path)
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        load_source(tmp_path / "absent.th")
    (tmp_path / "broken.th").write_text("text")
    with pytest.raises(ValueError, match="can't be read"):
        load_source(tmp_path / "broken.th")
