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

import builtins
import json
from collections import Counter
from pathlib import Path

import pytest
import soundfile
import torch

from diffusers_jasco.training.components import load_components
from diffusers_jasco.training.datasets import make_batches

from ..data.test_clips import encode_flac
from ..data.test_features import make_items
from .run_tools import arguments


@pytest.fixture
def clips(tmp_path) -> Path:
    """Three clips of 1 s or more for training, and a shorter one for validation."""
    for split, frames in {"train": [70, 60, 65], "validation": [40]}.items():
        (tmp_path / split).mkdir()
        lines = []
        for number, count in enumerate(frames):
            item = make_items(frames=count, count=1)[0]
            (tmp_path / split / f"{number}.flac").write_bytes(encode_flac(item["audio"] / 4))
            lines.append(json.dumps({"file_name": f"{number}.flac", "caption": f"clip {number}"}))
        (tmp_path / split / "metadata.jsonl").write_text("\n".join(lines))
    return tmp_path


def test_every_file_is_opened_once_at_the_start(data, clips, scripts, monkeypatch):
    opened = Counter()

    class CountedFile(soundfile.SoundFile):
        def __init__(self, file, *args, **kwargs):
            opened[Path(file).relative_to(clips).as_posix()] += 1
            super().__init__(file, *args, **kwargs)

    def counted_open(file, *args, **kwargs):
        if str(file).endswith(".jsonl"):
            opened[Path(file).as_posix().removeprefix(f"{clips}/")] += 1
        return plain_open(file, *args, **kwargs)

    plain_open = builtins.open
    monkeypatch.setattr(soundfile, "SoundFile", CountedFile)
    monkeypatch.setattr(builtins, "open", counted_open)
    # The statistics are from the cache, the tokenizer's captions from both, the number of frames from the validation
    # set.
    sets = ("--dataset", data / "train", clips, "--validation_dataset", clips, "--train_tokenizer")
    args = scripts[0].parse_args(arguments(data, clips / "run", *sets))
    pipeline, info, _ = load_components(args)
    batches, (validation, encode) = make_batches(args, info, pipeline)
    files = ["train/0.flac", "train/1.flac", "train/2.flac", "train/metadata.jsonl"]
    files += ["validation/0.flac", "validation/metadata.jsonl", f"{data}/train/captions.jsonl"]
    assert opened == dict.fromkeys(files, 1)
    assert batches.num_frames == validation.num_frames == 40
    assert len(pipeline.tokenizer("clip 2").input_ids) == 3

    batch = next(iter(batches))
    assert batch["latents"].shape == (2, 40, 16)
    held_out = encode([validation[0]])
    assert held_out["caption"] == ["clip 0"] and held_out["latents"].shape == (1, 40, 16)
    assert torch.equal(held_out["chords"], torch.full((1, 40), len(pipeline.transformer.config.chord_labels)))


def test_remixes_need_audio(data, tmp_path, scripts):
    with pytest.raises(ValueError, match="--vary_drums needs audio, but .*train is a feature cache"):
        scripts[0].main(arguments(data, tmp_path, "--vary_drums", 0.5))
