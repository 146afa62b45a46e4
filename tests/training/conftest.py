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

import signal
import sys

import pytest
from transformers import EncodecModel

from diffusers_jasco.data.features import write_features

from ..data.test_features import make_items
from .run_tools import CODEC, ROOT, arguments


@pytest.fixture(scope="module")
def scripts():
    """The scripts `train_jasco` and `train_tokenizer`, imported as modules."""
    sys.path.insert(0, str(ROOT / "training"))
    import train_jasco
    import train_tokenizer

    yield train_jasco, train_tokenizer
    sys.path.remove(str(ROOT / "training"))


@pytest.fixture(scope="module")
def data(tmp_path_factory, scripts):
    """Feature caches of 12 clips of 1 s for training and 4 for validation, and a tokenizer."""
    folder = tmp_path_factory.mktemp("data")
    codec = EncodecModel.from_pretrained(CODEC).eval()
    items = make_items(count=16)
    write_features(items[:12], codec, folder / "train")
    write_features(items[12:], codec, folder / "dev")
    scripts[1].main(["--captions", str(folder / "train" / "captions.jsonl"), "--output", str(folder / "tokenizer")])
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory, data, scripts):
    """A run of six steps: one epoch of 12 clips in batches of 2, with validation and two checkpoints."""
    output = tmp_path_factory.mktemp("runs") / "run"
    scripts[0].main(arguments(data, output, "--max_steps", 6, "--checkpoint_every", 3, "--keep_checkpoints", 0))
    return output


@pytest.fixture(autouse=True)
def signals():
    """Restores the signal handlers that a script replaces."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
