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


"""Checkpoint folders, which are written atomically."""

import os
import re
import shutil
from pathlib import Path

from accelerate import Accelerator

from ..utils.files import finish_folder, partial_path


_NAME = re.compile(r"step-(\d+)")


def checkpoint_path(folder: str | os.PathLike, step: int) -> Path:
    """Returns the checkpoint folder of a step."""
    return Path(folder) / f"step-{step:08d}"


def list_checkpoints(folder: str | os.PathLike) -> list[Path]:
    """Lists the complete checkpoints in a folder, sorted by step."""
    folder = Path(folder)
    paths = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(paths, key=checkpoint_step)


def checkpoint_step(path: str | os.PathLike) -> int:
    """Returns the step of a checkpoint folder."""
    return int(_NAME.fullmatch(Path(path).name)[1])


def find_checkpoint(folder: str | os.PathLike, which: str) -> Path | None:
    r"""
    Finds the checkpoint to resume from.

    Args:
        folder (`str` or `os.PathLike`): folder of the checkpoints.
        which (`str`): `"latest"`, the number of a step, or the path of a checkpoint.

    Returns:
        `Path` of the checkpoint, or `None` for `"latest"` if there is none.

    Raises:
        `FileNotFoundError`: for a step or a path that does not exist.
    """
    if which == "latest":
        checkpoints = list_checkpoints(folder)
        return checkpoints[-1] if checkpoints else None
    path = checkpoint_path(folder, int(which)) if which.isdigit() else Path(which)
    if not path.is_dir() or not _NAME.fullmatch(path.name):
        found = ", ".join(checkpoint.name for checkpoint in list_checkpoints(folder)) or "none"
        raise FileNotFoundError(f"There is no checkpoint {path}. Checkpoints in {folder}: {found}.")
    return path


def find_start(folder: str | os.PathLike, resume: str | None) -> Path | None:
    r"""
    Finds the checkpoint that a run starts from.

    Args:
        folder (`str` or `os.PathLike`): folder of the run's checkpoints.
        resume (`str`, *optional*): as in [`find_checkpoint`].

    Returns:
        `Path` of the checkpoint, or `None` for a new run.

    Raises:
        `FileNotFoundError`: for a step or a path that does not exist.
        `ValueError`: without `resume`, if there are checkpoints, which a new run would overwrite.
    """
    if resume is not None:
        return find_checkpoint(folder, resume)
    if list_checkpoints(folder):
        raise ValueError(
            f"{Path(folder).parent} has checkpoints: resume with --resume latest, or choose another --output."
        )
    return None


def prune_checkpoints(folder: str | os.PathLike, keep: int):
    """Deletes all but the last `keep` checkpoints; 0 keeps all."""
    for path in list_checkpoints(folder)[: -keep if keep else 0]:
        shutil.rmtree(path)


def save_checkpoint(accelerator: Accelerator, folder: str | os.PathLike, step: int, keep: int):
    r"""
    Saves a checkpoint: Accelerate's state and all objects registered for checkpointing. All processes have to call it.

    Args:
        accelerator (`Accelerator`): the processes and their state.
        folder (`str` or `os.PathLike`): folder of the checkpoints.
        step (`int`): the current step.
        keep (`int`): number of checkpoints to keep; 0 keeps all.
    """
    path = checkpoint_path(folder, step)
    if accelerator.is_main_process:
        partial_path(path).mkdir(parents=True, exist_ok=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(partial_path(path)))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        finish_folder(path)
        prune_checkpoints(folder, keep)
    accelerator.wait_for_everyone()
