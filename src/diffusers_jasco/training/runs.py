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

"""A run folder: what a training leaves, and how to get at it."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from torch.utils.data import Dataset

from ..data.online_encoding import BatchEncoder
from ..pipelines.pipeline_jasco import JascoPipeline
from .arguments import CONFIG_FILE
from .batches import EpochBatches, InterleavedBatches, StreamBatches
from .datasets import make_batches, open_datasets


BEST = "best"


def find_pipeline(folder: str | os.PathLike, which: Literal["last", "best"] = "last") -> Path:
    r"""
    The folder of a run's pipeline, whose weights are averages over the training.

    Args:
        folder (`str` or `os.PathLike`): the run folder.
        which (`str`, defaults to `"last"`): of the last checkpoint, or with the lowest validation loss.

    Raises:
        `FileNotFoundError`: if there is none yet.
        `ValueError`: for another `which`.
    """
    if which not in ("last", BEST):
        raise ValueError(f"`which` has to be 'last' or 'best', but is {which!r}.")
    path = Path(folder, BEST) if which == BEST else Path(folder)
    if not (path / "model_index.json").is_file():
        needed = "first validation" if which == BEST else "first checkpoint"
        raise FileNotFoundError(f"There is no pipeline in {path}: a run has one from its {needed} on.")
    return path


def read_config(folder: str | os.PathLike) -> dict[str, Any]:
    r"""
    The options of a run.

    Raises:
        `FileNotFoundError`: if the folder is no run folder.
    """
    path = Path(folder, CONFIG_FILE)
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is no run folder: it has no {CONFIG_FILE}.")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Run:
    r"""
    Args:
        folder (`Path`): the run folder.
        config (`argparse.Namespace`): its options, those of `training/train_jasco.py`.
        pipeline ([`JascoPipeline`]): the pipeline of the averaged weights.
        batches ([`EpochBatches`], [`StreamBatches`] or [`InterleavedBatches`]):
            Endless batches of the training data, from the beginning.
        validation (`Dataset`, *optional*): the data set of the validation.
        encode ([`BatchEncoder`], *optional*): items of the validation → a batch.
    """

    folder: Path
    config: argparse.Namespace
    pipeline: JascoPipeline
    batches: EpochBatches | StreamBatches | InterleavedBatches
    validation: Dataset | None
    encode: BatchEncoder | None


def load_run(folder: str | os.PathLike, which: Literal["last", "best"] = "last", **overrides: Any) -> Run:
    r"""
    Loads a run, finished or not: its pipeline, its options and its data (the original's `get_eval_solver_from_sig`).

    Args:
        folder (`str` or `os.PathLike`): the run folder.
        which (`str`, defaults to `"last"`): the weights of the last checkpoint, or those with the lowest validation loss.
        overrides: options in the place of the run's, such as `dataset=["elsewhere"]`, `batch_size=8`.

    Raises:
        `FileNotFoundError`: if it is no run folder, or has no pipeline yet.
        `ValueError`: for an option that there is not.

    Example:

    ```py
    >>> from diffusers_jasco.training import load_run

    >>> run = load_run("runs/nano", which="best")
    >>> audio = run.pipeline("soft jazz", chords="C:0 Am:2.5").audios[0]
    >>> batch = next(iter(run.batches))
    ```
    """
    config = read_config(folder)
    if unknown := sorted(set(overrides) - set(config)):
        raise ValueError(f"Runs have no option {', '.join(unknown)}, but {', '.join(config)}.")
    args = argparse.Namespace(**config | overrides)
    pipeline = JascoPipeline.from_pretrained(find_pipeline(folder, which))
    batches, validation = make_batches(args, open_datasets(args, pipeline.codec), pipeline)
    return Run(Path(folder), args, pipeline, batches, *(validation or (None, None)))
