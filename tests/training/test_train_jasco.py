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
import os
import shutil
import signal

import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import EncodecModel

from diffusers_jasco import FlowMatchMultistepScheduler, JascoPipeline, JascoTransformerModel
from diffusers_jasco.data.features import write_features
from diffusers_jasco.training.ema import EMA
from diffusers_jasco.training.objective import FlowMatchingObjective

from ..conftest import FIXTURES, run_script
from ..data.test_features import make_items
from .run_tools import CODEC, ROOT, WEIGHTS, arguments, assert_same_weights, read_log, read_steps, without_times


def test_the_run_folder_is_a_pipeline(run, data):
    pipe = JascoPipeline.from_pretrained(run)
    pipe.set_progress_bar_config(disable=True)
    info = json.loads((data / "train" / "features.json").read_text())
    config = pipe.transformer.config
    assert (config.in_channels, config.text_dim, config.sample_size) == (16, 16, 50)
    assert config.latents_mean == info["latents_mean"] and len(config.chord_labels) == 194
    assert pipe.defaults["num_inference_steps"] == 2 and pipe.defaults["guidance_scale"] == 1.5
    controls = {"chords": "C:0 Am:0.5", "melody": [(60, 0.0, 0.5)], "drums": (torch.randn(1, 32000), 32000)}
    latents = pipe("clip 3 slow", **controls, output_type="latent", generator=torch.Generator().manual_seed(0)).audios
    assert latents.shape == (1, 50, 16) and latents.isfinite().all()


def test_the_default_scheduler_is_saved_with_the_pipeline(tmp_path, data, run):
    sampler = ("--default_scheduler", "multistep", "--default_num_inference_steps", 3, "--default_power", 2.0)
    run_script("train_jasco", *arguments(data, tmp_path, "--max_steps", 1, *sampler))
    scheduler = JascoPipeline.from_pretrained(tmp_path).scheduler
    assert isinstance(scheduler, FlowMatchMultistepScheduler)
    assert scheduler.config.num_inference_steps == 3
    assert scheduler.config.inference_sigmas == pytest.approx([1.0, 8 / 9, 5 / 9])
    # Fine-tuning keeps it; the grid is that of its number of steps.
    continued = ("--dataset", data / "train", "--log_with", "none", "--cpu", "--max_steps", 1)
    for name, options, sigmas in (
        ("same", (), [1.0, 8 / 9, 5 / 9]),
        ("fewer", ("--default_num_inference_steps", 2), None),
    ):
        run_script("train_jasco", *continued, "--continue_from", tmp_path, "--output", tmp_path / name, *options)
        config = JascoPipeline.from_pretrained(tmp_path / name).scheduler.config
        assert config.inference_sigmas == (sigmas and pytest.approx(sigmas))


def test_a_power_needs_a_number_of_steps(tmp_path, data, run):
    source = JascoPipeline.from_pretrained(run)
    source.scheduler.register_to_config(num_inference_steps=None)
    source.save_pretrained(tmp_path / "source")
    options = ("--dataset", data / "train", "--log_with", "none", "--cpu", "--default_power", 2.0)
    with pytest.raises(ValueError, match="--default_power needs --default_num_inference_steps"):
        run_script("train_jasco", *options, "--continue_from", tmp_path / "source", "--output", tmp_path / "run")


def test_the_run_folder_generates_audio(run):
    pipe = JascoPipeline.from_pretrained(run)
    pipe.set_progress_bar_config(disable=True)
    assert pipe("slow", chords="C:0").audios.shape == (1, 1, 32000)


def test_the_log_contains_losses_and_learning_rates(run):
    log = read_log(run)
    training = [entry for entry in log if "loss" in entry]
    assert [entry["step"] for entry in training] == [1, 2, 3, 4, 5, 6]
    assert [entry["step"] for entry in log if "validation_loss" in entry] == [2, 4, 6]
    for entry in training:
        assert entry["grad_norm"] > 0 and entry["clips_per_second"] > 0 and len(entry["mse_by_time"]) == 5
    rates = [entry["learning_rate"] for entry in training]
    assert rates[0] == 0 and rates[1] == 1e-3 and rates == [0, *sorted(rates[1:], reverse=True)]


def test_a_run_resumes_exactly_after_sigterm(tmp_path, data, run, scripts, monkeypatch):
    # SIGTERM stops the first part in its third step.
    calls = []
    objective = FlowMatchingObjective.__call__

    def terminate_in_third_step(*args):
        calls.append(args)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return objective(*args)

    with monkeypatch.context() as patch:
        patch.setattr(FlowMatchingObjective, "__call__", terminate_in_third_step)
        scripts[0].main(arguments(data, tmp_path, "--max_steps", 6))
    assert [entry["step"] for entry in read_steps(tmp_path)] == [1, 2, 3]
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000003"]
    torch.manual_seed(12345)
    scripts[0].main(arguments(data, tmp_path, "--max_steps", 6, "--resume", "latest"))
    assert_same_weights(tmp_path, run, 6)
    assert without_times(read_log(tmp_path)) == without_times(read_log(run))


def test_a_run_resumes_from_an_earlier_checkpoint(tmp_path, data, run, scripts):
    # Log entries after the checkpoint are replaced, not repeated.
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    scripts[0].main(arguments(data, copy, "--max_steps", 6, "--resume", "3"))
    assert_same_weights(copy, run, 6)
    assert without_times(read_log(copy)) == without_times(read_log(run))


def test_a_complete_run_says_that_nothing_was_done(tmp_path, data, scripts, capsys):
    scripts[0].main(arguments(data, tmp_path, "--max_steps", 1))
    assert "Nothing was done" not in capsys.readouterr().out
    weights = (tmp_path / WEIGHTS[0]).read_bytes()
    scripts[0].main(arguments(data, tmp_path, "--max_steps", 1, "--resume", "latest"))
    message = "Training is complete: the checkpoint is from step 1 of 1. Nothing was done."
    assert message in capsys.readouterr().out
    assert (tmp_path / WEIGHTS[0]).read_bytes() == weights


def test_a_time_limit_stops_with_a_checkpoint(tmp_path, data, scripts, capsys, caplog):
    scripts[0].main(arguments(data, tmp_path, "--max_steps", 6, "--max_minutes", 0))
    assert len(read_steps(tmp_path)) == 1
    printed = capsys.readouterr()
    assert (
        f"Stopped after step 1 of 6, with a checkpoint. To resume: --output {tmp_path} --resume latest" in printed.out
    )
    # There are no progress bars or irrelevant warnings of libraries.
    assert not any(record.name.startswith("accelerate") for record in caplog.records)
    assert "shards" not in printed.err and "steps:" in printed.err
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]
    assert (tmp_path / "model_index.json").exists()


def test_validation_clips_may_be_shorter_than_training_clips(tmp_path, data, scripts, capsys):
    codec = EncodecModel.from_pretrained(CODEC).eval()
    write_features(make_items(frames=40, count=4), codec, tmp_path / "dev")
    options = ("--max_steps", 1, "--validate_every", 1, "--validation_dataset", tmp_path / "dev")
    scripts[0].main(arguments(data, tmp_path / "run", *options))
    assert "clips of 40 frames" in capsys.readouterr().out
    assert any("validation_loss" in entry for entry in read_log(tmp_path / "run"))


def test_a_run_is_not_overwritten_by_mistake(data, run, scripts):
    with pytest.raises(ValueError, match="--resume latest"):
        scripts[0].main(arguments(data, run))


def test_the_pipeline_has_ema_weights(tmp_path, data, run, scripts, monkeypatch):
    # The EMA is recomputed from the weights after each step k + 1, with the decay min(decay, (1 + k) / (10 + k)).
    recorded = []
    step = EMA.step

    def record(self, parameters):
        parameters = list(parameters)
        recorded.append([parameter.detach().clone() for parameter in parameters])
        step(self, parameters)

    monkeypatch.setattr(EMA, "step", record)
    scripts[0].main(arguments(data, tmp_path, "--max_steps", 4, "--gradient_accumulation_steps", 2))
    # The decay of the first step is 0, so the average starts from the weights after it.
    average = recorded[0]
    for k, weights in enumerate(recorded[1:], start=1):
        decay = min(0.9, (1 + k) / (10 + k))
        average = [decay * a + (1 - decay) * w for a, w in zip(average, weights)]
    saved = load_file(tmp_path / WEIGHTS[0])
    final = load_file(tmp_path / "checkpoints" / "step-00000004" / "model.safetensors")
    names = [name for name, _ in JascoPipeline.from_pretrained(tmp_path).transformer.named_parameters()]
    for name, expected, last in zip(names, average, recorded[-1]):
        torch.testing.assert_close(saved[name], expected, atol=1e-6, rtol=1e-5)
        assert torch.equal(final[f"transformer.{name}"], last)
    assert not torch.equal(saved["proj_out.weight"], final["transformer.proj_out.weight"])


def test_training_learns(tmp_path, data, scripts):
    options = (
        "--max_steps",
        60,
        "--learning_rate",
        1e-2,
        "--validate_every",
        60,
        "--log_every",
        60,
        "--ema_decay",
        0.8,
    )
    scripts[0].main(arguments(data, tmp_path, *options, "--validation_dataset", data / "train", "--drop_all", 0))
    losses = [entry["validation_loss"] for entry in read_log(tmp_path) if "validation_loss" in entry]
    untrained = 1.9
    assert losses[-1] < 0.9 * untrained


def test_training_starts_from_half_precision_weights(tmp_path, data, run, scripts):
    snapshot, output = tmp_path / "snapshot", tmp_path / "run"
    JascoPipeline.from_pretrained(run).to(torch.float16).save_pretrained(snapshot)
    config = yaml.safe_load((run / "config.yaml").read_text())
    options = {key: config[key] for key in ("train_text_encoder", "cpu", "time_sampling", "loss_weighting")}
    (tmp_path / "fine-tune.yaml").write_text(yaml.safe_dump(options | {"learning_rate": "0e-0"}))
    arguments = ["--config", tmp_path / "fine-tune.yaml", "--dataset", data / "dev", "--continue_from", snapshot]
    arguments += ["--output", output, "--max_steps", 1, "--batch_size", 2]
    scripts[0].main([str(argument) for argument in arguments])
    for name in WEIGHTS:
        before, after = load_file(snapshot / name), load_file(output / name)
        assert all(torch.equal(after[key], before[key].float()) for key in before)
        assert after[next(iter(after))].dtype == torch.float32
    # The statistics are those that the weights were trained with, not the new data's.
    config = JascoPipeline.from_pretrained(output).transformer.config
    assert config.latents_mean == json.loads((data / "train" / "features.json").read_text())["latents_mean"]


def test_a_frozen_text_encoder_is_unchanged(tmp_path, data, scripts, run):
    scripts[0].main(
        arguments(data, tmp_path, "--no-train_text_encoder", "--text_encoder", run / "text_encoder", "--max_steps", 2)
    )
    before, after = (load_file(folder / WEIGHTS[1]) for folder in (run, tmp_path))
    assert all(torch.equal(after[key], before[key]) for key in before)


def test_features_of_another_codec_are_rejected(tmp_path, data, scripts):
    other = ("--codec", FIXTURES / "chords-drums" / "encodec")
    with pytest.raises(ValueError, match="another codec"):
        scripts[0].main(arguments(data, tmp_path / "run", *other))


@pytest.mark.parametrize(
    "config, message",
    [
        ({"learning_rat": 1}, "unknown keys learning_rat"),
        ({"transformer": {"num_layer": 2}}, "num_layer"),
        ({"transformer": 3}, "mapping"),
        ({"text_encoder_config": {"width": 2}}, "width"),
        ({"train_text_encoder": "yes"}, "true or false"),
        ({"time_sampling": "normal"}, "uniform, logit_normal, power"),
        ({"max_steps": 1.5}, "max_steps"),
        ({"dataset": None}, "--dataset is missing"),
    ],
    ids=str,
)
def test_mistakes_in_the_configuration_are_named(tmp_path, scripts, capsys, config, message):
    path = tmp_path / "config.yaml"
    base = {"dataset": "f", "output": "o", "codec": "c", "tokenizer": "t", "train_text_encoder": True}
    path.write_text(yaml.safe_dump(base | config))
    with pytest.raises(SystemExit):
        scripts[0].parse_args(["--config", str(path)])
    assert message in capsys.readouterr().err


def test_flags_override_the_configuration_file(tmp_path, scripts):
    path = tmp_path / "config.yaml"
    path.write_text("{dataset: f, output: o, codec: c, tokenizer: t, train_text_encoder: true, learning_rate: 2e-3,"
                    " transformer: {num_layers: 4, dropout: 0.2}}")  # fmt: skip
    args = scripts[0].parse_args(["--config", str(path), "--transformer", "{num_layers: 2}", "--output", "p"])
    assert args.learning_rate == 0.002 and args.output == "p" and args.dataset == ["f"]
    assert args.transformer == {"num_layers": 2, "dropout": 0.2}


SETS = {"text": (), "chords-drums": ("chords", "drums"), "chords-drums-melody": ("chords", "drums", "melody")}


@pytest.mark.parametrize(
    "name", ["nano", "debug", *(f"{controls}-{size}" for controls in SETS for size in ("400M", "1B"))]
)
def test_configuration_files_are_valid(scripts, name):
    paths = ["--dataset", "f", "--output", "o", "--codec", "c", "--tokenizer", "t"]
    paths += ["--text_encoder", "e"] if name == "nano" else []
    args = scripts[0].parse_args(["--config", str(ROOT / "training" / "configs" / f"{name}.yaml"), *paths])
    if name in ("nano", "debug"):
        assert args.train_text_encoder == (name == "debug") and args.time_sampling == "power"
        return
    with torch.device("meta"):
        model = JascoTransformerModel(**args.transformer)
    assert model.controls == SETS[name.rsplit("-", 1)[0]]
    size = sum(parameter.numel() for parameter in model.parameters())
    assert 0.35e9 < size < 0.45e9 if name.endswith("400M") else 1e9 < size < 2e9
    assert args.loss_weighting == "increasing" and args.time_sampling == "uniform" and args.warmup_steps == 4000


@pytest.mark.parametrize("model", ["word", "unigram"])
def test_the_tokenizer_is_like_that_of_t5(tmp_path, scripts, model):
    captions = ["Slow rock with piano", "fast funk with organ and drums", "a calm waltz on the piano"] * 3
    tokenizer = scripts[1].train_tokenizer(iter(captions), model, vocab_size=60)
    tokenizer.save_pretrained(tmp_path)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (0, 1, 2)
    upper, lower, empty = tokenizer(["SLOW Piano", "slow piano", ""]).input_ids
    assert upper == lower and upper[-1] == 1 and 2 not in upper and empty == [1]
    assert 2 in tokenizer("zyx 🎵").input_ids
    batch = tokenizer(["slow", "slow rock with piano"], padding=True, return_tensors="pt")
    assert batch.attention_mask.sum(dim=1).tolist() == [
        len(tokenizer(t).input_ids) for t in ("slow", "slow rock with piano")
    ]


NEW_OPTIONS = ("--transformer", "{beats: true, presence_bits: true, position_embedding: rotary}", "--drop_beats", 0.3)
NEW_OPTIONS += ("--only_beats", 0.3, "--words_time_logit_mean", -1, "--optimizer", "muon", "--lr_scheduler", "wsd")


def test_a_run_with_beats_resumes_exactly(tmp_path, data, scripts):
    codec = EncodecModel.from_pretrained(CODEC).eval()
    grid = {"beats": [0.1, 0.35, 0.6, 0.85], "downbeats": [0.1, 0.6], "time_signature": "2/4"}
    write_features([item | grid for item in make_items(count=12)], codec, tmp_path / "train")
    options = (*NEW_OPTIONS, "--dataset", tmp_path / "train", "--max_steps", 6)
    scripts[0].main(arguments(data, tmp_path / "straight", *options))
    scripts[0].main(arguments(data, tmp_path / "parts", *options, "--max_minutes", 0))
    scripts[0].main(arguments(data, tmp_path / "parts", *options, "--resume", "latest"))
    assert_same_weights(tmp_path / "straight", tmp_path / "parts", 6)
    assert without_times(read_log(tmp_path / "straight")) == without_times(read_log(tmp_path / "parts"))
    pipe = JascoPipeline.from_pretrained(tmp_path / "straight")
    assert pipe.transformer.controls == ("chords", "drums", "melody", "beats")
    assert pipe.transformer.beats_proj.weight.any(), "the layer of the beats is trained"
    assert pipe.transformer.config.training_options["only_beats"] == 0.3


def test_a_checkpoint_learns_to_use_a_context(tmp_path, data, run, scripts):
    options = ["--continue_from", run, "--dataset", data / "train", "--validation_dataset", data / "dev"]
    options += ["--transformer", "{context: true}", "--context", 0.5, "--learning_rate", 1e-3, "--batch_size", 4]
    options += ["--max_steps", 4, "--log_every", 1, "--validate_every", 2, "--log_with", "none", "--cpu"]
    options = [str(option) for option in options]
    scripts[0].main([*options, "--output", str(tmp_path / "straight")])
    scripts[0].main([*options, "--output", str(tmp_path / "parts"), "--max_minutes", "0"])
    scripts[0].main([*options, "--output", str(tmp_path / "parts"), "--resume", "latest", "--max_minutes", "9"])
    assert_same_weights(tmp_path / "straight", tmp_path / "parts", 4)
    log = read_log(tmp_path / "straight")
    assert without_times(log) == without_times(read_log(tmp_path / "parts"))
    assert any(entry.get("mse_unknown") for entry in log)
    assert all(entry["validation_loss_context"] > 0 for entry in log if "validation_loss" in entry)
    assert "context_proj.weight" in (tmp_path / "straight/continued_from.md").read_text()
    transformer = JascoPipeline.from_pretrained(tmp_path / "straight").transformer
    assert transformer.config.context and transformer.context_proj.weight.any()
    assert transformer.config.training_options["context"] == 0.5
    with pytest.raises(ValueError, match="--context needs a transformer"):
        scripts[0].main([*options, "--transformer", "{context: false}", "--output", str(tmp_path / "without")])
