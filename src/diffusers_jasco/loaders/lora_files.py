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

"""Locating and reading LoRA files in folders and Hub repositories."""

import json
import os
import re
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders.lora_base import (
    LORA_WEIGHT_NAME,
    LORA_WEIGHT_NAME_SAFE,
    _load_sft_state_dict_metadata,
    load_state_dict,
)
from huggingface_hub import constants, list_repo_files, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError


PEFT_CONFIG_NAME = "adapter_config.json"
WEIGHT_NAMES = (LORA_WEIGHT_NAME_SAFE, "adapter_model.safetensors", LORA_WEIGHT_NAME, "adapter_model.bin")
PEFT_PREFIX = "base_model.model."
_HUB_ID = r"[\w.-]+/(?!.*\.(safetensors|bin|pt)$)[\w.-]+"


def find_lora_file(
    source: str | os.PathLike,
    weight_name: str | None,
    subfolder: str | None,
    use_safetensors: bool | None,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
) -> Path:
    """Returns the path of a LoRA file. Downloads files from the Hub, along with PEFT's configuration."""
    is_local, folder, subfolder = os.path.exists(source), str(source), Path(subfolder or "")
    if os.path.isfile(source):
        folder, subfolder = os.path.dirname(source), Path()
        if weight_name not in (None, os.path.basename(source)):
            raise ValueError(f"`weight_name` is {weight_name!r}, but {source} is a file with a different name.")
        weight_name = os.path.basename(source)
    elif not is_local and (isinstance(source, os.PathLike) or re.fullmatch(_HUB_ID, folder) is None):
        raise HFValidationError(f"{folder!r} is not a Hub id (organization/name)")
    if weight_name is None:
        if is_local:
            names = os.listdir(Path(folder, subfolder))
        elif local_files_only or constants.HF_HUB_OFFLINE:
            paths = {name: (subfolder / name).as_posix() for name in WEIGHT_NAMES}
            cached = {name: try_to_load_from_cache(folder, path, cache_dir, revision) for name, path in paths.items()}
            names = [name for name, path in cached.items() if isinstance(path, str)]
        else:
            paths = map(Path, list_repo_files(folder, revision=revision, token=token))
            names = [path.name for path in paths if path.parent == subfolder]
        weight_name = _choose(names, ".bin" if use_safetensors is False else ".safetensors", Path(folder, subfolder))
    file = subfolder / weight_name
    if use_safetensors and file.suffix != ".safetensors":
        raise ValueError(f"{file} is not a safetensors file, and `use_safetensors` is `True`.")
    if not is_local:
        hub = {"revision": revision, "token": token, "cache_dir": cache_dir}
        hub |= {"force_download": force_download, "local_files_only": local_files_only}
        patterns = [path.as_posix() for path in (file, file.with_name(PEFT_CONFIG_NAME))]
        folder = snapshot_download(folder, allow_patterns=patterns, **hub)
    if not Path(folder, file).is_file():
        raise FileNotFoundError(f"The file {file} does not exist in {source}.")
    return Path(folder, file)


def _choose(names: list[str], suffix: str, folder: Path) -> str:
    found = sorted(name for name in names if name.endswith(suffix))
    found = [name for name in found if name in WEIGHT_NAMES] or found
    if not found:
        hint = (
            "It contains a whole pipeline: use `from_pretrained` (`checkpoint`)."
            if "model_index.json" in names
            else "For other file names, set `weight_name`."
        )
        raise FileNotFoundError(f"There is no LoRA in {folder}: no {suffix} file. {hint}")
    if len(found) > 1:
        raise ValueError(f"{folder} has more than one file: {found}. Choose one with `weight_name`.")
    return found[0]


def read_lora_file(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any] | None]:
    """Reads the tensors and the configuration, which is in the file itself or, in PEFT's format, next to it."""
    state_dict, metadata = load_state_dict(str(path)), None
    config = path.with_name(PEFT_CONFIG_NAME)
    try:
        if path.suffix == ".safetensors":
            metadata = _load_sft_state_dict_metadata(path)
        if metadata is None and config.is_file() and any(PEFT_PREFIX in key for key in state_dict):
            metadata = json.loads(config.read_bytes())
    except ValueError as error:
        raise ValueError(f"The configuration of {path} is not JSON: {error}") from error
    if metadata is not None and not isinstance(metadata, dict):
        raise ValueError(f"The configuration of {path} has to be a dictionary, but is a {type(metadata).__name__}.")
    return state_dict, metadata
