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

"""There and back: checkpoints of AudioCraft to our layout and to AudioCraft's again."""

import os
import pickle
import random
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoTokenizer, EncodecModel, T5Config, T5EncoderModel

from diffusers_jasco import FlowMatchEulerScheduler, JascoPipeline, JascoTransformerModel
from diffusers_jasco.commands.conversion import stored_dtypes
from diffusers_jasco.controls.chord_labels import default_chord_labels
from diffusers_jasco.loaders.audiocraft import (
    load_audiocraft_pipeline,
    load_audiocraft_transformer,
    read_audiocraft_checkpoint,
    save_audiocraft_checkpoint,
)
from diffusers_jasco.loaders.audiocraft.codec import build_codec, rename_weight_norm
from diffusers_jasco.loaders.audiocraft.files import read_chord_labels
from diffusers_jasco.loaders.audiocraft.weights import EMBEDDED_CODEC

from ..conftest import CHECKPOINTS, FIXTURES, load_pipeline


sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import convert_diffusers_to_jasco  # noqa: E402
import convert_jasco_to_diffusers  # noqa: E402


TEXT_ENCODER = str(FIXTURES / "t5")


def load(path: Path) -> dict:
    return torch.load(path, weights_only=True)


def copy_checkpoint(folder: Path, change, name: str = "chords-drums") -> Path:
    """Copies a checkpoint, and applies a function to its weights and configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    content = load(FIXTURES / name / "state_dict.bin")
    config = yaml.safe_load(content["xp.cfg"])
    content["best_state"] = change(content["best_state"], config) or content["best_state"]
    content["xp.cfg"] = yaml.safe_dump(config)
    torch.save(content, folder / "state_dict.bin")
    shutil.copy(FIXTURES / name / "compression_state_dict.bin", folder)
    return folder


def there_and_back(checkpoint: Path, folder: Path, *arguments: str) -> Path:
    """Runs both conversion commands, and returns the checkpoint in AudioCraft's layout."""
    ours = ["--checkpoint", str(checkpoint), "--output", str(folder / "ours"), "--text_encoder", TEXT_ENCODER]
    if "drums" not in load_audiocraft_transformer(read_audiocraft_checkpoint(checkpoint)).controls:
        ours += ["--codec", str(FIXTURES / "chords-drums/encodec")]
    convert_jasco_to_diffusers.main([*ours, *arguments])
    convert_diffusers_to_jasco.main(["--checkpoint", str(folder / "ours"), "--output", str(folder / "back")])
    return folder / "back"


def assert_same_files(folder: Path, other: Path):
    first, second = load(folder / "state_dict.bin"), load(other / "state_dict.bin")
    assert first.keys() == second.keys()
    assert first["best_state"].keys() == second["best_state"].keys()
    for name, weight in first["best_state"].items():
        assert weight.dtype == second["best_state"][name].dtype and torch.equal(weight, second["best_state"][name]), (
            name
        )
    assert {k: v for k, v in first.items() if k != "best_state"} == {
        k: v for k, v in second.items() if k != "best_state"
    }
    assert load(folder / "compression_state_dict.bin") == load(other / "compression_state_dict.bin")


def keep_controls(*names: str):
    """Removes all other controls from a checkpoint."""
    theirs = {"chords": ("chords", 16), "drums": ("self_wav", 2), "melody": ("melody", 16)}

    def change(weights: dict, config: dict):
        columns = [torch.arange(16)]
        start = 16
        for ours, (conditioner, width) in theirs.items():
            if ours in names:
                columns.append(torch.arange(start, start + width))
            else:
                config["conditioners"].pop(conditioner)
                config["transformer_lm"].pop(f"{ours}_dim")
            start += width
        weights["emb.weight"] = weights["emb.weight"][:, torch.cat(columns)].clone()
        gone = [f".conditioners.{conditioner}." for ours, (conditioner, _) in theirs.items() if ours not in names]
        return {name: weight for name, weight in weights.items() if not any(part in name for part in gone)}

    return change


def add_biases(weights: dict, config: dict):
    config["transformer_lm"] |= {"bias_ff": True, "bias_attn": True, "bias_proj": True}
    generator = torch.Generator().manual_seed(0)

    def bias(name: str, size: int):
        weights[name] = 0.1 * torch.randn(size, generator=generator)

    bias("linear.bias", 16)
    for layer in range(4):
        prefix = f"transformer.layers.{layer}"
        for module, size in (("linear1", 192), ("linear2", 48)):
            bias(f"{prefix}.{module}.bias", size)
        for attention in ("self_attn", "cross_attention"):
            bias(f"{prefix}.{attention}.in_proj_bias", 144)
            bias(f"{prefix}.{attention}.out_proj.bias", 48)


def use_post_norm(weights: dict, config: dict):
    config["transformer_lm"]["norm_first"] = False
    return {name: weight for name, weight in weights.items() if not name.startswith("out_norm")}


def drop_skips(weights: dict, config: dict):
    config["transformer_lm"]["skip_connections"] = False
    return {name: weight for name, weight in weights.items() if "skip_projections" not in name}


def use_old_weight_norm(weights: dict, config: dict):
    return rename_weight_norm(weights, "weight_g")


def cast(dtype: torch.dtype):
    return lambda weights, config: {name: weight.to(dtype) for name, weight in weights.items()}


CHANGES = {
    "biases": ("chords-drums", add_biases),
    "post-norm": ("chords-drums", use_post_norm),
    "no skips": ("chords-drums", drop_skips),
    "old weight norm": ("chords-drums", use_old_weight_norm),
    "half precision": ("chords-drums", cast(torch.float16)),
    "text only": ("chords-drums-melody", keep_controls()),
    "chords": ("chords-drums-melody", keep_controls("chords")),
    "drums": ("chords-drums-melody", keep_controls("drums")),
    "chords and melody": ("chords-drums-melody", keep_controls("chords", "melody")),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_reference_checkpoints_survive_a_round_trip_bit_for_bit(name, tmp_path):
    back = there_and_back(FIXTURES / name, tmp_path)
    assert_same_files(FIXTURES / name, back)
    assert read_chord_labels(back / "chord_to_index_mapping.pkl") == default_chord_labels()

    def play(folder: Path, **components) -> torch.Tensor:
        pipe = JascoPipeline.from_pretrained(folder, scheduler=FlowMatchEulerScheduler(), **components)
        pipe.set_progress_bar_config(disable=True)
        noise = torch.randn(1, 50, 16, generator=torch.Generator().manual_seed(0))
        beat = torch.randn(1, 32000, generator=torch.Generator().manual_seed(1)) * 0.1
        return pipe("techno", chords="C:0 Am:0.5", drums=(beat, 32000), latents=noise, num_inference_steps=2).audios

    text = {"tokenizer": AutoTokenizer.from_pretrained(TEXT_ENCODER)}
    text["text_encoder"] = T5EncoderModel.from_pretrained(TEXT_ENCODER)
    audio = play(FIXTURES / name, **text)
    assert torch.equal(audio, play(tmp_path / "ours")) and torch.equal(audio, play(back, **text))


@pytest.mark.parametrize("case", CHANGES)
def test_every_option_survives_a_round_trip_bit_for_bit(case, tmp_path):
    name, change = CHANGES[case]
    checkpoint = copy_checkpoint(tmp_path / "original", change, name)
    assert_same_files(checkpoint, there_and_back(checkpoint, tmp_path))


def test_an_included_codec_equals_the_named_one():
    weights = load(FIXTURES / "chords-drums/state_dict.bin")["best_state"]
    weights = {k.removeprefix(EMBEDDED_CODEC): v for k, v in weights.items() if k.startswith(EMBEDDED_CODEC)}
    expected = EncodecModel.from_pretrained(FIXTURES / "chords-drums/encodec")
    for spelling in ("weight_g", "parametrizations"):
        codec = build_codec(rename_weight_norm(weights, spelling), 32000)
        found, wanted = codec.config.to_dict(), expected.config.to_dict()
        ignored = {"_name_or_path", "architectures", "dtype", "transformers_version"}
        assert {k: v for k, v in found.items() if k not in ignored} == {
            k: v for k, v in wanted.items() if k not in ignored
        }
        for name, weight in expected.state_dict().items():
            assert torch.equal(weight, codec.state_dict()[name])
    with pytest.raises(ValueError, match="not an EnCodec"):
        build_codec({name: weight for name, weight in weights.items() if "lstm" not in name}, 32000)


def test_a_codec_like_the_released_ones_is_recognized():
    config = {
        "sampling_rate": 32000, "num_filters": 8, "hidden_size": 16, "codebook_size": 2048, "codebook_dim": 16,
        "upsampling_ratios": [8, 5, 4, 4], "target_bandwidths": [2.2], "use_causal_conv": False, "use_conv_shortcut": False,
    }  # fmt: skip
    codec = EncodecModel(EncodecModel.config_class(**config))
    found = build_codec(codec.state_dict(), 32000).config
    assert {name: getattr(found, name) for name in config} == config
    assert found.num_quantizers == 4 and found.hop_length == 640


# A training run stores its configuration as a pickled object, and its weights in several places.


def make_training_run(folder: Path, prefix: str = "", fsdp: bool = False) -> dict[str, dict]:
    omegaconf = pytest.importorskip("omegaconf")
    exported = load(FIXTURES / "chords-drums/state_dict.bin")
    config = omegaconf.OmegaConf.create(yaml.safe_load(exported["xp.cfg"]))
    config.transformer_lm.flow_dim = "${compression_model_latent_dim}"
    states = {
        name: {prefix + key: weight + number for key, weight in exported["best_state"].items()}
        for number, name in enumerate(("best", "ema", "last"))
    }
    best = {"model": states["best"]}
    content = {
        "xp.cfg": config,
        "xp.sig": "0123abcd",
        "history": [{"train": {"loss": 1.0}}],
        "best_state": {"model": {}} if fsdp else best,
        "fsdp_best_state": best if fsdp else {},
        "ema": {"state": {"model": states["ema"]}, "count": 3.0},
        "model": states["last"],
        "optimizer": {"state": {}, "param_groups": [{"lr": 1e-4}]},
    }
    folder.mkdir(exist_ok=True)
    torch.save(content, folder / "checkpoint.th")
    return states


@pytest.mark.parametrize("prefix, fsdp", [("", False), ("module.", False), ("_fsdp_wrapped_module.", True)])
def test_training_runs(prefix, fsdp, tmp_path):
    states = make_training_run(tmp_path / "run", prefix, fsdp)
    for name, state in states.items():
        checkpoint = read_audiocraft_checkpoint(tmp_path / "run", name)
        assert checkpoint.config["transformer_lm"]["flow_dim"] == 16
        assert checkpoint.weights.keys() == {key.removeprefix(prefix) for key in state}
        for key, weight in state.items():
            assert torch.equal(checkpoint.weights[key.removeprefix(prefix)], weight)
        model = load_audiocraft_transformer(checkpoint)
        assert torch.equal(model.proj_in.weight, state[f"{prefix}emb.weight"])
    with pytest.raises(ValueError, match="'best', 'ema' or 'last'"):
        read_audiocraft_checkpoint(tmp_path / "run", "worst")


def test_a_training_run_is_exported_as_by_audiocraft(tmp_path):
    states = make_training_run(tmp_path / "run")
    back = there_and_back(tmp_path / "run" / "checkpoint.th", tmp_path, "--weights", "ema", "--codec", str(FIXTURES / "chords-drums/encodec"))  # fmt: skip
    exported = load(back / "state_dict.bin")
    codec = {key for key in states["ema"] if key.startswith(EMBEDDED_CODEC)}
    for key in states["ema"].keys() - codec:
        assert torch.equal(exported["best_state"][key], states["ema"][key])
    assert yaml.safe_load(exported["xp.cfg"])["transformer_lm"]["flow_dim"] == "${compression_model_latent_dim}"
    assert exported["exported"] is True


def test_an_exported_checkpoint_has_the_best_weights_only():
    with pytest.raises(ValueError, match="does not have 'ema' weights"):
        read_audiocraft_checkpoint(FIXTURES / "chords-drums", "ema")


def test_interpolations_are_resolved_and_cycles_are_detected(tmp_path):
    def change(weights, config):
        config["seconds"], config["a"], config["b"] = 1, "${b}", "${a}"
        config["dataset"]["segment_duration"] = "${seconds}"
        config["conditioners"]["self_wav"]["drum_latents"]["cache_path"] = "${oc.env:HOME}/cache"

    checkpoint = read_audiocraft_checkpoint(copy_checkpoint(tmp_path, change))
    assert load_audiocraft_transformer(checkpoint).config.sample_size == 50


# Export of models that were not converted from AudioCraft


def make_pipeline(**options) -> JascoPipeline:
    torch.manual_seed(0)
    pipe = load_pipeline("chords-drums")
    t5 = T5Config(**pipe.text_encoder.config.to_diff_dict() | {"d_model": 512})
    sizes = {
        "in_channels": 16, "num_layers": 2, "num_attention_heads": 2, "attention_head_dim": 24, "ff_inner_dim": 100,
        "text_dim": 512, "time_embed_dim": 16, "sample_size": 100, "melody_dim": 8, "skip_connections": True,
    }  # fmt: skip
    model = JascoTransformerModel(**sizes | options).eval()
    return JascoPipeline(pipe.tokenizer, T5EncoderModel(t5).eval(), pipe.codec, model, pipe.scheduler, 20, 3.0, 0.5)


def test_new_models_get_a_matching_configuration(tmp_path):
    pipe = make_pipeline(
        chord_labels=default_chord_labels()[::-1], attention_bias=True, latents_mean=0.5, drums_blur=5
    )
    save_audiocraft_checkpoint(pipe, tmp_path / "own", "t5-small", "someone/codec")
    components = {name: pipe.components[name] for name in ("tokenizer", "text_encoder")}
    loaded, arguments = load_audiocraft_pipeline(tmp_path / "own", **components)
    found, expected = loaded["transformer"].config, pipe.transformer.config
    assert {k: v for k, v in found.items() if k[0] != "_"} == {k: v for k, v in expected.items() if k[0] != "_"}
    for name in ("transformer", "codec"):
        for key, weight in pipe.components[name].state_dict().items():
            assert torch.equal(weight, loaded[name].state_dict()[key])
    assert (loaded["guider"].guidance_scale, loaded["guider"].text_guidance_scale) == (3.0, 0.5)
    assert load(tmp_path / "own" / "compression_state_dict.bin")["pretrained"] == "someone/codec"
    config = yaml.safe_load(load(tmp_path / "own" / "state_dict.bin")["xp.cfg"])
    assert int(config["transformer_lm"]["hidden_scale"] * 48) == 100 and config["dataset"]["segment_duration"] == 2


def test_another_transformer_in_a_pipeline_from_audiocraft_gets_a_new_configuration(tmp_path, warnings):
    loaded, arguments = load_audiocraft_pipeline(
        FIXTURES / "chords-drums", **{name: load_pipeline("chords-drums").components[name] for name in ("tokenizer",)},
        text_encoder=make_pipeline().text_encoder,
    )  # fmt: skip
    pipe = JascoPipeline(**loaded | {"transformer": make_pipeline().transformer}, **arguments)
    save_audiocraft_checkpoint(pipe, tmp_path / "new", "t5-small")
    assert "recreated" in warnings.text
    assert load_audiocraft_transformer(read_audiocraft_checkpoint(tmp_path / "new")).config.num_layers == 2


@pytest.mark.parametrize(
    "options, message",
    [
        ({"time_scale": 1000.0}, "scales the time"),
        ({"preconditioning": 1.0}, "preconditioned"),
        ({"position_embedding": "rotary"}, "position_embedding='rotary'"),
        ({"norm_type": "ada_norm_single"}, "norm_type='ada_norm_single'"),
        ({"qk_norm": "rms_norm"}, "qk_norm='rms_norm'"),
        ({"presence_bits": True, "beats": True}, "presence_bits=True; its transformer has beats=True"),
        ({"context": True}, "context=True"),
        ({"latents_std": [1.0] * 16}, "normalized per channel"),
        ({"sample_size": 60}, "trained on 1.2 s"),
        ({"chord_labels": ["N", "C", "Am"]}, "has 3 chords instead of 194"),
    ],
)
def test_models_that_audiocraft_cannot_represent_are_refused(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        save_audiocraft_checkpoint(make_pipeline(**options), tmp_path / "x", "t5-small", "someone/codec")
    assert not (tmp_path / "x").exists()


def test_names_required_by_audiocraft(tmp_path):
    pipe = make_pipeline()
    with pytest.raises(ValueError, match="not one of its text encoders of width 512.*t5-small, google/flan-t5-small"):
        save_audiocraft_checkpoint(pipe, tmp_path / "x", "t5-base", "someone/codec")
    pipe.codec.config._name_or_path = str(FIXTURES)
    with pytest.raises(ValueError, match="publish this codec"):
        save_audiocraft_checkpoint(pipe, tmp_path / "x", "t5-small")


# Malicious and damaged files


def test_the_shipped_model_is_refused_with_reasons(tmp_path):
    nano = Path(__file__).parents[2] / "pipelines/jasco-nano"
    with pytest.raises(ValueError, match="can't represent.*preconditioned.*SpectralCodecModel"):
        convert_diffusers_to_jasco.main(["--checkpoint", str(nano), "--output", str(tmp_path / "x")])
    assert list(tmp_path.iterdir()) == []


def test_existing_output_is_not_overwritten_without_force(tmp_path):
    there = ["--checkpoint", str(FIXTURES / "chords-drums"), "--text_encoder", TEXT_ENCODER, "--output"]
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("precious")
    for arguments in ([], ["--force"]):
        with pytest.raises(ValueError, match="is not a checkpoint"):
            convert_jasco_to_diffusers.main([*there, str(tmp_path / "notes"), *arguments])
    convert_jasco_to_diffusers.main([*there, str(tmp_path / "jasco")])
    with pytest.raises(ValueError, match="--force"):
        convert_jasco_to_diffusers.main([*there, str(tmp_path / "jasco")])
    convert_jasco_to_diffusers.main([*there, str(tmp_path / "jasco"), "--force", "--dtype", "bfloat16"])
    pipe = JascoPipeline.from_pretrained(tmp_path / "jasco", dtype=torch.bfloat16)
    assert pipe.transformer.dtype == torch.bfloat16 and sorted(os.listdir(tmp_path)) == ["jasco", "notes"]


def test_variants_and_shards(tmp_path):
    convert_jasco_to_diffusers.main(
        ["--checkpoint", str(FIXTURES / "chords-drums"), "--text_encoder", TEXT_ENCODER, "--output", str(tmp_path / "x"),
         "--dtype", "float16", "--variant", "fp16", "--max_shard_size", "200KB"]
    )  # fmt: skip
    assert len(list((tmp_path / "x/transformer").glob("*.fp16-0000*.safetensors"))) > 1
    convert_diffusers_to_jasco.main(
        ["--checkpoint", str(tmp_path / "x"), "--variant", "fp16", "--output", str(tmp_path / "y")]
    )
    weights = load(tmp_path / "y" / "state_dict.bin")["best_state"]
    original = load(FIXTURES / "chords-drums/state_dict.bin")["best_state"]
    assert all(torch.equal(weight, original[name].half()) for name, weight in weights.items())


def test_forced_output_replaces_only_the_checkpoint(tmp_path):
    there = ["--checkpoint", str(FIXTURES / "chords-drums"), "--text_encoder", TEXT_ENCODER]
    there += ["--output", str(tmp_path / "x")]
    convert_jasco_to_diffusers.main([*there, "--max_shard_size", "200KB"])
    (tmp_path / "x" / "README.md").write_text("mine")
    convert_jasco_to_diffusers.main([*there, "--force"])
    assert (tmp_path / "x" / "README.md").read_text() == "mine"
    weights = [path.name for path in (tmp_path / "x" / "transformer").iterdir() if "json" not in path.name]
    assert weights == ["diffusion_pytorch_model.safetensors"]
    assert not list((tmp_path / "x" / "transformer").glob("*.index.json"))


def test_saving_for_audiocraft_keeps_other_folders(tmp_path):
    (tmp_path / "diary.txt").write_text("precious")
    with pytest.raises(ValueError, match="is not a checkpoint"):
        save_audiocraft_checkpoint(make_pipeline(), tmp_path, "t5-small", "someone/codec", force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["diary.txt"]


def test_a_pipeline_with_a_lora_is_not_exported(tmp_path):
    peft = pytest.importorskip("peft")
    pipe = make_pipeline()
    pipe.transformer.add_adapter(peft.LoraConfig(r=2, target_modules=["to_q", "to_v"]))
    with pytest.raises(ValueError, match="does not support.*fuse_lora"):
        save_audiocraft_checkpoint(pipe, tmp_path / "x", "t5-small", "someone/codec")
    assert list(tmp_path.iterdir()) == []


def test_variants_keep_their_own_dtypes(tmp_path):
    pipe = load_pipeline("chords-drums")
    pipe.save_pretrained(tmp_path)
    pipe.to(torch.float16).save_pretrained(tmp_path, variant="half")
    assert stored_dtypes(tmp_path)["codec"] == stored_dtypes(tmp_path)["transformer"] == torch.float32
    assert stored_dtypes(tmp_path, "half")["codec"] == torch.float16 and stored_dtypes(tmp_path, "fp16") == {}


class Malicious:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_malicious_chord_vocabulary_is_not_executed(tmp_path):
    copy_checkpoint(tmp_path / "checkpoint", lambda weights, config: None)
    for content in (
        pickle.dumps(Malicious(tmp_path / "executed")),
        pickle.dumps({"C": Malicious(tmp_path / "executed")}),
    ):
        (tmp_path / "checkpoint" / "chord_to_index_mapping.pkl").write_bytes(content)
        with pytest.raises(ValueError, match="(?s)plain data.*mkdir"):
            JascoPipeline.from_pretrained(tmp_path / "checkpoint")
    assert not (tmp_path / "executed").exists()
    for wrong in ([1], {"C": "0"}, {"C": 1}, {1: 0}, {"C": True}):
        (tmp_path / "map.pkl").write_bytes(pickle.dumps(wrong))
        with pytest.raises(ValueError, match="has to map labels"):
            read_chord_labels(tmp_path / "map.pkl")


def test_a_training_run_may_contain_only_data(tmp_path):
    content = {"xp.cfg": Malicious(tmp_path / "executed"), "model": {}, "best_state": {"model": {}}}
    torch.save(content, tmp_path / "checkpoint.th")
    with pytest.raises(ValueError, match="can't be read"):
        read_audiocraft_checkpoint(tmp_path)
    assert not (tmp_path / "executed").exists()


def damage(content: bytes, rng: random.Random, folder: Path) -> bytes:
    """A checkpoint that is truncated, whose archive or structure is damaged, or that has other content."""
    kind = rng.randrange(7)
    if kind == 0:
        return content[: rng.randrange(len(content))]
    if kind == 1:  # the directory of an archive is at its end
        return content[: -rng.randrange(1, 3000)] + rng.randbytes(rng.randrange(3000))
    if kind == 2:  # the header and the pickle
        position = rng.randrange(2000)
        return content[:position] + rng.randbytes(rng.randrange(1, 50)) + content[position + 50 :]
    checkpoint = load(FIXTURES / "chords-drums/state_dict.bin")
    weights, config = checkpoint["best_state"], yaml.safe_load(checkpoint["xp.cfg"])
    name = rng.choice(list(weights))
    if kind == 3:
        del weights[name]
    elif kind == 4:
        shape = [rng.randrange(1, 5) for _ in range(rng.randrange(4))]
        weights[name] = torch.zeros(shape) if shape != list(weights[name].shape) else torch.zeros(7, 7, 7)
    elif kind == 5:
        wrong = [None, "text", 1.0, [1], torch.zeros(weights[name].shape, dtype=torch.int64), {"a": 1}]
        weights[name] = rng.choice(wrong)
    else:
        section = rng.choice(["transformer_lm", "conditioners", "dataset", "fuser", "solver"])
        config[section] = rng.choice([None, "text", 3, [1, 2], {}])
        if section in ("conditioners", "dataset"):
            config["compression_model_latent_std"] = config[section]
    checkpoint["xp.cfg"] = yaml.safe_dump(config)
    torch.save(checkpoint, folder / "damaged.bin")
    return (folder / "damaged.bin").read_bytes()


@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_damaged_checkpoints_give_clear_errors(count, tmp_path):
    content = (FIXTURES / "chords-drums/state_dict.bin").read_bytes()
    given = {name: load_pipeline("chords-drums").components[name] for name in ("tokenizer", "text_encoder")}
    shutil.copy(FIXTURES / "chords-drums/compression_state_dict.bin", tmp_path)
    refused = 0
    for seed in range(count):
        damaged = damage(content, random.Random(seed), tmp_path)
        (tmp_path / "state_dict.bin").write_bytes(damaged)
        try:
            load_audiocraft_pipeline(tmp_path, **given)
        except ValueError as error:
            assert str(error).strip(), seed
            refused += 1
    # Some of the changed bytes have no meaning.
    assert refused > 0.85 * count


def test_a_custom_vocabulary_comes_from_the_folder_or_the_argument(tmp_path):
    labels = default_chord_labels()[::-1]
    copy_checkpoint(tmp_path / "checkpoint", lambda weights, config: None)
    (tmp_path / "map.pkl").write_bytes(pickle.dumps({label: number for number, label in enumerate(labels)}))
    given = {name: load_pipeline("chords-drums").components[name] for name in ("tokenizer", "text_encoder")}
    loaded, _ = load_audiocraft_pipeline(tmp_path / "checkpoint", chord_mapping=tmp_path / "map.pkl", **given)
    assert loaded["transformer"].config.chord_labels == labels
    shutil.copy(tmp_path / "map.pkl", tmp_path / "checkpoint" / "chord_to_index_mapping.pkl")
    assert JascoPipeline.from_pretrained(tmp_path / "checkpoint", **given).transformer.config.chord_labels == labels

    (tmp_path / "map.pkl").write_bytes(pickle.dumps({"C": 0, "N": 1}))
    with pytest.raises(ValueError, match="has 194 chords, but the given vocabulary has 2"):
        load_audiocraft_pipeline(tmp_path / "checkpoint", chord_mapping=tmp_path / "map.pkl", **given)
