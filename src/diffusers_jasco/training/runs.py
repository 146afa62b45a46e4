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

"""Run folders: the output of a training run, and how to load it."""

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
    Finds the pipeline of a run, which holds EMA weights.

    Args:
        folder (`str` or `os.PathLike`): the run folder.
        which (`str`, defaults to `"last"`): `"last"` checkpoint, or `"best"` for the lowest validation loss.

    Returns:
        `Path`: the folder of the pipeline.

    Raises:
        `FileNotFoundError`: if there is no pipeline yet.
        `ValueError`: for an unknown `which`.
    """
    if which not in ("last", BEST):
        raise ValueError(f"`which` has to be 'last' or 'best', but is {which!r}.")
    path = Path(folder, BEST) if which == BEST else Path(folder)
    if not (path / "model_index.json").is_file():
        needed = "first validation" if which == BEST else "first checkpoint"
        raise FileNotFoundError(f"There is no pipeline in {path}: a run saves it at its {needed}.")
    return path


def read_config(folder: str | os.PathLike) -> dict[str, Any]:
    r"""
    Reads the options of a run.

    Raises:
        `FileNotFoundError`: if the folder is not a run folder.
    """
    path = Path(folder, CONFIG_FILE)
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is not a run folder: there is no {CONFIG_FILE} in it.")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Run:
    r"""
    Args:
        folder (`Path`): the run folder.
        config (`argparse.Namespace`): its options, which are those of `training/train_jasco.py`.
        pipeline ([`JascoPipeline`]): the pipeline with EMA weights.
        batches ([`EpochBatches`], [`StreamBatches`] or [`InterleavedBatches`]):
            Endless batches of the training data, from the beginning.
        validation (`Dataset`, *optional*): the validation dataset.
        encode ([`BatchEncoder`], *optional*): turns a list of validation items into a batch.
    """

    folder: Path
    config: argparse.Namespace
    pipeline: JascoPipeline
    batches: EpochBatches | StreamBatches | InterleavedBatches
    validation: Dataset | None
    encode: BatchEncoder | None


def load_run(folder: str | os.PathLike, which: Literal["last", "best"] = "last", **overrides: Any) -> Run:
    r"""
    Loads the pipeline, options and data of a finished or unfinished run (as AudioCraft's `get_eval_solver_from_sig`).

    Args:
        folder (`str` or `os.PathLike`): the run folder.
        which (`str`, defaults to `"last"`):
            Weights of the `"last"` checkpoint, or `"best"` for the lowest validation loss.
        overrides: options that override the run's, such as `dataset=["elsewhere"]`, `batch_size=8`.

    Raises:
        `FileNotFoundError`: if the folder is not a run folder, or has no pipeline yet.
        `ValueError`: for an unknown option.

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
        raise ValueError(f"`overrides` has to contain only {', '.join(config)}, but contains {', '.join(unknown)}.")
    args = argparse.Namespace(**config | overrides)
    pipeline = JascoPipeline.from_pretrained(find_pipeline(folder, which))
    batches, validation = make_batches(args, open_datasets(args, pipeline.codec), pipeline)
    return Run(Path(folder), args, pipeline, batches, *(validation or (None, None)))
