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

import json
import sys

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from transformers import AutoTokenizer, EncodecModel, T5EncoderModel

from diffusers_jasco import FlowMatchEulerScheduler, JascoPipeline, load_audio
from diffusers_jasco.codecs import load_codec
from diffusers_jasco.data.features import write_features
from diffusers_jasco.text_encoders import load_text_encoder
from diffusers_jasco.training import load_run
from diffusers_jasco.training.runs import find_pipeline

from ..conftest import FIXTURES, run_script
from ..data.test_clips import to_row
from ..data.test_features import make_items
from .run_tools import CODEC, WEIGHTS, arguments, assert_same_weights, read_log, without_times


TINY_MUSIC = ("--renderer", "tinysoundfont", "--num_frames", 50)


def losses(output) -> list[float]:
    return [entry["loss"] for entry in read_log(output) if "loss" in entry]


def make_latents(pipe: JascoPipeline, **controls) -> torch.Tensor:
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    return pipe("clip 3 slow", **controls, output_type="latent", generator=generator).audios


def test_a_run_resumes_from_its_folder(tmp_path, data, run, scripts):
    output = tmp_path / "run"
    scripts[0].main(arguments(data, output, "--max_steps", 6, "--max_minutes", 0))
    assert len(losses(output)) == 1
    scripts[0].main(["--output", str(output), "--resume", "latest", "--max_minutes", "9"])
    assert_same_weights(output, run, 6)
    assert without_times(read_log(output)) == without_times(read_log(run))


def test_errors_of_load_run(tmp_path, run):
    with pytest.raises(FileNotFoundError, match="first checkpoint"):
        find_pipeline(tmp_path)
    with pytest.raises(FileNotFoundError, match="not a run folder"):
        load_run(tmp_path)
    with pytest.raises(ValueError, match="'last' or 'best'"):
        find_pipeline(run, "worst")
    with pytest.raises(ValueError, match="`overrides` has to contain only .* but contains learning_rat"):
        load_run(run, learning_rat=1)


def test_the_best_weights_are_kept(tmp_path, data, scripts):
    # The learning rate is much too high, so the first validation is the best one.
    output = tmp_path / "run"
    options = ("--learning_rate", 3, "--max_steps", 4, "--validate_every", 1, "--warmup_steps", 1, "--ema_decay", 0)
    scripts[0].main(arguments(data, output, *options))
    validation = [entry["validation_loss"] for entry in read_log(output) if "validation_loss" in entry]
    assert validation.index(min(validation)) == 0
    early = tmp_path / "early"
    scripts[0].main(arguments(data, early, *options, "--max_minutes", 0))
    for name in WEIGHTS:
        weights, expected = load_file(output / "best" / name), load_file(early / name)
        assert all(torch.equal(weights[key], expected[key]) for key in weights)
    assert not torch.equal(make_latents(load_run(output).pipeline), make_latents(load_run(output, "best").pipeline))


def test_load_run_returns_pipeline_options_and_data(run, data):
    loaded = load_run(run, batch_size=3)
    assert loaded.config.learning_rate == 1e-3 and loaded.config.batch_size == 3
    assert torch.equal(make_latents(loaded.pipeline), make_latents(JascoPipeline.from_pretrained(run)))
    batch = next(iter(loaded.batches))
    assert batch["latents"].shape == (3, 50, 16) and len(batch["caption"]) == 3
    assert len(loaded.validation) == 4 and loaded.encode([loaded.validation[0]])["chords"].shape == (1, 50)


def test_the_validation_stage_reproduces_the_logged_loss(run, scripts, capsys):
    scripts[0].main(["--output", str(run), "--only", "valid"])
    result = json.loads(capsys.readouterr().out)
    logged = [entry for entry in read_log(run) if "validation_loss" in entry][-1]
    assert result["validation_loss"] == pytest.approx(logged["validation_loss"], abs=2e-6)


def test_evaluation_and_samples_during_training_and_as_stages(tmp_path, data, scripts, capsys):
    output = tmp_path / "run"
    options = (
        "--renderer",
        "tinysoundfont",
        "--evaluation_clips",
        3,
        "--min_clips",
        2,
        "--generate_clips",
        2,
        "--log_with",
        "tensorboard",
    )
    every = ("--evaluate_every", 2, "--generate_every", 2)
    scripts[0].main(arguments(data, output, "--max_steps", 2, *options, *every))
    entry = next(
        entry for entry in read_log(output) if "all/drums/onset_f1" in entry or "all/kernel_distance" in entry
    )
    assert entry["step"] == 2 and any(name.startswith("none/") for name in entry)
    samples = output / "samples" / "step-00000002"
    assert sorted(path.name for path in samples.iterdir()) == ["00000.png", "00000.wav", "00001.png", "00001.wav"]

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(output / "jasco")).Reload()
    assert "00001" in events.Tags()["audio"] and "00001" in events.Tags()["images"]
    assert {"loss", "mse_by_time/0", "grad_norm", "validation_loss"} <= set(events.Tags()["scalars"])

    capsys.readouterr()
    scripts[0].main(["--output", str(output), "--only", "evaluate"])
    alone = json.loads(capsys.readouterr().out)
    assert alone == pytest.approx({name: value for name, value in entry.items() if name != "step"}, abs=1e-3)
    assert all(value == round(value, 4) for value in alone.values()), "values are rounded"

    sample = load_audio(samples / "00001.wav")[0]
    for path in samples.iterdir():
        path.unlink()
    scripts[0].main(["--output", str(output), "--only", "generate"])
    torch.testing.assert_close(load_audio(samples / "00001.wav")[0], sample, atol=1e-4, rtol=0)
    assert "references" not in capsys.readouterr().err, "samples do not require transcriptions of the references"


def test_clips_are_logged_to_wandb(tmp_path, data, scripts, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    options = (
        "--log_with",
        "wandb",
        "--renderer",
        "tinysoundfont",
        "--evaluation_clips",
        2,
        "--min_clips",
        2,
        "--generate_clips",
        2,
    )
    scripts[0].main(arguments(data, tmp_path / "run", "--max_steps", 2, "--generate_every", 2, *options))
    (media,) = tmp_path.glob("wandb/offline-run-*/files/media")
    for kind, ending in (("audio", "wav"), ("images", "png")):
        assert len(list((media / kind).rglob(f"*.{ending}"))) == 2


def test_accumulated_batches_equal_one_large_batch(tmp_path, data, scripts):
    # Without the text encoder's dropout, which depends on the batch.
    common = ("--max_steps", 3, "--drop_chords", 0.5, "--text_encoder_config", "{dropout_rate: 0.0}")
    scripts[0].main(arguments(data, tmp_path / "large", *common, "--batch_size", 4))
    scripts[0].main(
        arguments(data, tmp_path / "small", *common, "--batch_size", 2, "--gradient_accumulation_steps", 2)
    )
    assert losses(tmp_path / "small") == pytest.approx(losses(tmp_path / "large"), abs=1e-5)


def test_clips_without_captions_are_reported(tmp_path, data, scripts, warnings):
    items = [item | {"captions": [], "caption": ""} for item in make_items(count=4)]
    write_features(items, EncodecModel.from_pretrained(CODEC).eval(), tmp_path / "mute")
    options = ("--max_steps", 1, "--dataset", data / "train", tmp_path / "mute")
    scripts[0].main(arguments(data, tmp_path / "run", *options))
    message = f"{tmp_path / 'mute'}: 4 of 4 clips have no caption. The model does not learn text from them."
    assert [record.getMessage() for record in warnings.records if "caption" in record.getMessage()] == [message]


def test_datasets_are_mixed_and_encoded_on_the_fly(tmp_path, data, scripts):
    output = tmp_path / "run"
    mixture = ("--dataset", data / "train", "synthetic:4", "--dataset_weights", 3, 1, *TINY_MUSIC)
    scripts[0].main(arguments(data, output, "--max_steps", 2, *mixture, "--train_tokenizer"))
    assert len(losses(output)) == 2
    words = AutoTokenizer.from_pretrained(output / "tokenizer").get_vocab()
    assert "clip" in words and len(words) > 30, "words of the cache and of the synthetic music"


def test_text_components_of_a_pipeline(tmp_path, data, scripts):
    scripts[0].main(arguments(data, tmp_path / "first", "--max_steps", 1))
    options = ("--tokenizer", tmp_path / "first", "--text_encoder", tmp_path / "first", "--no-train_text_encoder")
    scripts[0].main(arguments(data, tmp_path / "second", "--max_steps", 1, *options))
    first, second = (AutoTokenizer.from_pretrained(tmp_path / name / "tokenizer") for name in ("first", "second"))
    assert first.get_vocab() == second.get_vocab()
    before, after = (load_file(tmp_path / name / "text_encoder/model.safetensors") for name in ("first", "second"))
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_streams_are_mixed_with_local_datasets(tmp_path, data, scripts, monkeypatch):
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_list([to_row(item) for item in make_items(count=6)])

    def load(name, split, revision, streaming):
        assert (name, split, revision, streaming) == ("our/music", "train", None, True)
        return rows.to_iterable_dataset(num_shards=2)

    monkeypatch.setattr(datasets, "load_dataset", load)

    def train(output, *extra):
        sets = ("--dataset", "our/music", data / "train", "--streaming", "--num_frames", 50, "--max_steps", 6)
        scripts[0].main(arguments(data, tmp_path / output, *sets, *extra))

    weights = ("--dataset_weights", 1, 2)
    train("straight", *weights)
    train("parts", *weights, "--max_minutes", 0)
    train("parts", *weights, "--resume", "latest")
    assert_same_weights(tmp_path / "straight", tmp_path / "parts", 6)
    assert without_times(read_log(tmp_path / "straight")) == without_times(read_log(tmp_path / "parts"))
    with pytest.raises(ValueError, match="`dataset_weights` is required"):
        train("none")
    with pytest.raises(ValueError, match="training/train_tokenizer.py"):
        train("none", *weights, "--train_tokenizer")


def test_latent_statistics_are_measured_without_a_cache(tmp_path, data, scripts):
    output = tmp_path / "run"
    options = ("--dataset", "synthetic:4", *TINY_MUSIC, "--no-precondition", "--max_steps", 1)
    scripts[0].main([*arguments(data, output, *options)])
    config = JascoPipeline.from_pretrained(output).transformer.config
    batches = iter(load_run(output, validation_dataset=None).batches)
    latents = torch.cat([next(batches)["latents"] for _ in range(2)])
    assert len(config.latents_std) == 16
    assert 0.5 < latents.std() < 2 and abs(latents.mean()) < 0.5


def test_long_clips_are_cropped_to_10_s_by_default(tmp_path, data, run, scripts):
    codec = EncodecModel.from_pretrained(CODEC).eval()
    write_features(make_items(frames=520, count=2), codec, tmp_path / "long")
    long = {"dataset": [str(tmp_path / "long")], "validation_dataset": None}
    assert next(iter(load_run(run, **long).batches))["latents"].shape == (2, 500, 16)
    assert next(iter(load_run(run, **long, num_frames=510).batches))["latents"].shape == (2, 510, 16)


def test_cached_text_embeddings_equal_encoded_captions(tmp_path, data, run, scripts):
    tokenizer = AutoTokenizer.from_pretrained(run / "tokenizer")
    text_encoder = T5EncoderModel.from_pretrained(run / "text_encoder").eval()
    codec = EncodecModel.from_pretrained(CODEC).eval()
    write_features(make_items(count=12), codec, tmp_path / "cache", tokenizer=tokenizer, text_encoder=text_encoder)
    frozen = ("--no-train_text_encoder", "--text_encoder", run / "text_encoder", "--max_steps", 3)
    scripts[0].main(arguments(data, tmp_path / "cached", *frozen, "--dataset", tmp_path / "cache"))
    scripts[0].main(arguments(data, tmp_path / "encoded", *frozen, "--dataset", data / "train"))
    assert losses(tmp_path / "cached") == pytest.approx(losses(tmp_path / "encoded"), abs=1e-4)
    with pytest.raises(ValueError, match="while the text encoder is trained"):
        scripts[0].main(arguments(data, tmp_path / "trained", "--dataset", tmp_path / "cache"))
    with pytest.raises(ValueError, match="another text encoder"):
        other = ("--no-train_text_encoder", "--text_encoder", FIXTURES / "t5", "--tokenizer", FIXTURES / "t5")
        scripts[0].main(arguments(data, tmp_path / "other", *other, "--dataset", tmp_path / "cache"))


@pytest.mark.parametrize(
    "change, changes_output",
    [({"melody_dim": None}, True), ({"num_layers": 4}, False), ({"chords_dim": 20}, False)],
    ids=str,
)
def test_training_continues_with_different_layers(tmp_path, data, run, scripts, change, changes_output):
    output = tmp_path / "run"
    (tmp_path / "config.yaml").write_text("{cpu: true, log_with: none, learning_rate: 0, max_steps: 1}")
    options = ("--transformer", json.dumps(change), "--continue_from", run, "--config", tmp_path / "config.yaml")
    scripts[0].main(arguments(data, output, *options))
    pipe = JascoPipeline.from_pretrained(output)
    assert {name: pipe.transformer.config[name] for name in change} == change
    controls = {"chords": "C:0 Am:0.5"}
    before, after = make_latents(JascoPipeline.from_pretrained(run), **controls), make_latents(pipe, **controls)
    assert torch.allclose(before, after, atol=1e-5) != changes_output
    table = (output / "continued_from.md").read_text()
    assert "loaded" in table and ("dropped" in table) == changes_output


def test_a_new_control_has_no_effect_at_first(tmp_path, data, run, scripts):
    (tmp_path / "config.yaml").write_text("{cpu: true, log_with: none, learning_rate: 0, max_steps: 1}")
    outputs = [tmp_path / "without", tmp_path / "with"]
    config = ("--config", tmp_path / "config.yaml")
    scripts[0].main(
        arguments(data, outputs[0], "--continue_from", run, *config, "--transformer", "{melody_dim: null}")
    )
    scripts[0].main(
        arguments(data, outputs[1], "--continue_from", outputs[0], *config, "--transformer", "{melody_dim: 8}")
    )
    without, with_melody = (JascoPipeline.from_pretrained(output) for output in outputs)
    assert with_melody.transformer.controls == ("chords", "drums", "melody")
    melody = [(60, 0.0, 0.5)]
    assert torch.allclose(
        make_latents(without, chords="C:0"), make_latents(with_melody, chords="C:0", melody=melody), atol=1e-5
    )


def test_a_run_is_exported_to_audiocrafts_format(tmp_path, data, scripts):
    output = tmp_path / "run"
    plain = [
        "--no-precondition",
        "--latents_statistics",
        "whole",
        "--transformer",
        "{time_scale: 1.0}",
        "--max_steps",
        2,
    ]
    # The width of a text encoder that AudioCraft supports.
    plain += ["--text_encoder_config", "{d_model: 512}"]
    scripts[0].main(arguments(data, output, *plain))
    # One mean and one standard deviation over all channels.
    info = json.loads((data / "train" / "features.json").read_text())
    mean, std = (torch.tensor(info[f"latents_{name}"]).double() for name in ("mean", "std"))
    config = JascoPipeline.from_pretrained(output).transformer.config
    assert config.latents_mean == pytest.approx(mean.mean().item())
    assert config.latents_std**2 == pytest.approx((std**2 + mean**2).mean().item() - mean.mean().item() ** 2)
    for which in (output, output / "best"):
        exported = tmp_path / f"exported-{which.name}"
        names = ("--text_encoder", "t5-small", "--codec", "our/codec")
        run_script("convert_diffusers_to_jasco", "--checkpoint", which, "--output", exported, *names)
        assert {"state_dict.bin", "compression_state_dict.bin"} <= {path.name for path in exported.iterdir()}
        tokenizer, text_encoder = load_text_encoder(which)
        components = {"tokenizer": tokenizer, "text_encoder": text_encoder, "codec": load_codec(which)}
        pipe = JascoPipeline.from_pretrained(exported, **components, scheduler=FlowMatchEulerScheduler())
        settings = {"num_inference_steps": 4, "guidance_scale": 2.0, "chords": "C:0 Am:0.5"}
        expected = make_latents(JascoPipeline.from_pretrained(which), **settings)
        torch.testing.assert_close(make_latents(pipe, **settings), expected)


@pytest.fixture
def fresh_accelerator():
    """Resets Accelerate's state, which keeps the precision for the whole process."""
    AcceleratorState._reset_state()
    yield AcceleratorState._reset_state
    AcceleratorState._reset_state()


@pytest.mark.parametrize("options", [("--mixed_precision", "bf16"), ("--gradient_checkpointing",)], ids=str)
def test_mixed_precision_and_gradient_checkpointing(tmp_path, data, scripts, fresh_accelerator, options):
    scripts[0].main(
        arguments(data, tmp_path, "--max_steps", 2, "--text_encoder_config", "{dropout_rate: 0.0}", *options)
    )
    fresh_accelerator()
    plain = tmp_path / "plain"
    scripts[0].main(arguments(data, plain, "--max_steps", 2, "--text_encoder_config", "{dropout_rate: 0.0}"))
    # Checkpointing computes the same values; bf16 has less than three significant digits.
    assert losses(tmp_path) == pytest.approx(
        losses(plain), rel=1e-5 if "--gradient_checkpointing" in options else 0.02
    )


@pytest.mark.slow
def test_compiled_training_has_the_same_losses(tmp_path, data, scripts):
    losses_of = []
    for extra in ((), ("--compile",)):
        output = tmp_path / f"run{len(losses_of)}"
        scripts[0].main(arguments(data, output, "--max_steps", 3, *extra))
        losses_of.append(
            [entry[name] for entry in read_log(output) for name in ("loss", "validation_loss") if name in entry]
        )
    assert losses_of[0] == pytest.approx(losses_of[1], abs=1e-5)


def test_8_bit_adam_has_similar_losses_and_resumes(tmp_path, data, scripts):
    pytest.importorskip("bitsandbytes")
    # The states of tensors with less than 4096 values stay in 32 bits.
    wide = ("--transformer", "{ff_inner_dim: 512}", "--max_steps", 6)
    scripts[0].main(arguments(data, tmp_path / "plain", *wide))
    scripts[0].main(arguments(data, tmp_path / "straight", *wide, "--use_8bit_adam"))
    assert losses(tmp_path / "straight") == pytest.approx(losses(tmp_path / "plain"), rel=0.01)
    scripts[0].main(arguments(data, tmp_path / "parts", *wide, "--use_8bit_adam", "--max_minutes", 0))
    scripts[0].main(arguments(data, tmp_path / "parts", *wide, "--use_8bit_adam", "--resume", "latest"))
    assert_same_weights(tmp_path / "straight", tmp_path / "parts", 6)
    sizes = [
        (tmp_path / run / "checkpoints" / "step-00000006" / "optimizer.bin").stat().st_size
        for run in ("straight", "plain")
    ]
    assert sizes[0] < 0.6 * sizes[1]


def test_8_bit_adam_requires_bitsandbytes(tmp_path, data, scripts, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(ImportError, match=r'pip install "diffusers-jasco\[bitsandbytes\]"'):
        scripts[0].main(arguments(data, tmp_path, "--use_8bit_adam"))
