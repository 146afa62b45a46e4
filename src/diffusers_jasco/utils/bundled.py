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

"""The models that ship with this package."""

import os
from pathlib import Path

from diffusers.utils import logging


logger = logging.get_logger(__name__)

BUNDLED = "jasco-nano"
# The model that jasco-nano was distilled from.
TEACHER = "jasco-nano-teacher"

_PACKAGE = Path(__file__).parents[1]
_IN_WHEEL = _PACKAGE / "checkpoints" / BUNDLED
_IN_CLONE = _PACKAGE.parents[1] / "pipelines" / BUNDLED


def resolve_checkpoint(name: str | os.PathLike) -> str | os.PathLike:
    r"""
    Resolves `"jasco-nano"` and `"jasco-nano-teacher"` to the folders of the models that ship with this package. Other
    names are returned unchanged. A folder of that name in the working directory takes precedence, with a warning. Hub ids have an
    organization (`organization/jasco-nano`), so none of them is affected.

    Args:
        name (`str` or `os.PathLike`): folder, Hub id, or name of a model that ships with this package.

    Raises:
        `FileNotFoundError`: if this installation does not contain the model.
    """
    if name not in (BUNDLED, TEACHER):
        return name
    folders = [folder / "teacher" if name == TEACHER else folder for folder in (_IN_WHEEL, _IN_CLONE)]
    folder = next((folder for folder in folders if (folder / "model_index.json").is_file()), None)
    if os.path.isdir(name):
        if folder is not None and not os.path.samefile(name, folder):
            logger.warning(
                f"The folder {os.path.abspath(name)} is loaded, and not the {name} that ships with diffusers-jasco:"
                f" pass './{name}' to load the folder without this warning, or rename it to load the shipped model."
            )
        return name
    if folder is None:
        raise FileNotFoundError(
            f"This installation of diffusers-jasco does not contain {name}: install a wheel or a clone of the"
            " repository (pip install .), or pass the folder or Hub id of another checkpoint."
        )
    return folder
