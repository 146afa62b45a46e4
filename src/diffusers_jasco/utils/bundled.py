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

"""The model that ships with this package."""

import os
from pathlib import Path


BUNDLED = "jasco-nano"

_PACKAGE = Path(__file__).parents[1]
# In an installed package (copied by `setup.py`) and in a clone of the repository.
_FOLDERS = (_PACKAGE / "checkpoints" / BUNDLED, _PACKAGE.parents[1] / "pipelines" / BUNDLED)


def resolve_checkpoint(name: str | os.PathLike) -> str | os.PathLike:
    r"""
    Returns the folder of `"jasco-nano"`, the model that ships with this package; any other name is returned unchanged.
    A folder with that name in the working directory takes precedence.

    Raises:
        `FileNotFoundError`: if this installation does not have the model.
    """
    if name != BUNDLED or os.path.isdir(name):
        return name
    for folder in _FOLDERS:
        if (folder / "model_index.json").is_file():
            return folder
    raise FileNotFoundError(
        f"This installation does not include {BUNDLED}: install the package from a clone of its repository (pip"
        " install .), or pass the folder or Hub id of another checkpoint."
    )
