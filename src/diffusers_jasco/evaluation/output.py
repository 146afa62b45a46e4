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

"""Output folder of an evaluation, which can be resumed."""

import json
import math
from pathlib import Path
from typing import Any

from ..utils.files import remove_leftovers, replace_file


SETTINGS_FILE = "settings.json"


def open_output(folder: Path, settings: dict[str, Any]):
    r"""
    Creates the folder, or checks that the evaluation in it has the same settings.

    Args:
        folder (`Path`): the folder.
        settings (`dict`, ready for JSON): all settings that affect the results.

    Raises:
        `ValueError`: if the folder belongs to an evaluation with other settings, or contains something else.
    """
    path = folder / SETTINGS_FILE
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        if differing := sorted(key for key in settings if settings[key] != before.get(key)):
            raise ValueError(
                f"{folder} contains an evaluation with another {', '.join(differing)}: choose another folder."
            )
        remove_leftovers(folder)
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is neither empty nor the folder of an evaluation: choose another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(settings, indent=1))


def write_text(path: Path, text: str):
    """Writes a file atomically."""
    with replace_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any):
    """Writes a file atomically. NaN and infinity, which JSON lacks, become null."""
    write_text(path, json.dumps(_clean(value), indent=1, ensure_ascii=False, allow_nan=False))


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
