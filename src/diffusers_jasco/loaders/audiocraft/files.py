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

"""Locates and reads AudioCraft's files. They are treated as data: no code in them is executed."""

import json
import os
import pickle
import re
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)


INDEX_FILE = "model_index.json"  # of Diffusers' layout
MODEL_FILE = "state_dict.bin"
CODEC_FILE = "compression_state_dict.bin"
CHORDS_FILE = "chord_to_index_mapping.pkl"
TRAINING_FILE = "checkpoint.th"

# The AudioCraft version that writes this layout.
AUDIOCRAFT_VERSION = "1.4.0a2"

# Arguments of `from_pretrained` for downloads from the Hub.
HUB_ARGUMENTS = ("cache_dir", "revision", "token", "local_files_only", "force_download")

# State-dict prefixes added by DDP, FSDP and `torch.compile` wrappers.
_WRAPPERS = re.compile(r"(?:^|(?<=\.))(?:module|_fsdp_wrapped_module|_orig_mod)\.")


@dataclass
class AudiocraftCheckpoint:
    r"""
    Args:
        path (`Path`): the file with the weights.
        weights (`dict[str, torch.Tensor]`): weights with AudioCraft's names.
        config (`dict`): AudioCraft's configuration, with `${...}` resolved.
        config_text (`str`): the configuration as the YAML text of `xp.cfg`.
        extras (`dict`): other contents of the file, such as the version of AudioCraft.
    """

    path: Path
    weights: dict[str, torch.Tensor]
    config: dict[str, Any]
    config_text: str
    extras: dict[str, Any] = field(default_factory=dict)


def find_audiocraft_checkpoint(source: str | os.PathLike, **hub: Any) -> Path | None:
    r"""
    Finds a checkpoint in AudioCraft's layout. Files on the Hub are downloaded.

    Args:
        source (`str` or `os.PathLike`):
            A folder (exported or from a training run), a checkpoint file, or a Hub id.
        hub:
            `cache_dir`, `revision`, `token`, `local_files_only`, `force_download` of
            `huggingface_hub.hf_hub_download`.

    Returns:
        `Path` or `None`: the folder or file for [`read_audiocraft_checkpoint`], or `None` if the source is not in
            AudioCraft's layout.

    Raises:
        `PermissionError`: for a gated repository without access.
        `FileNotFoundError`: if the folder, repository or revision does not exist, or the repository has neither
            layout.
    """
    if os.path.isdir(source):
        is_ours = os.path.isfile(Path(source, INDEX_FILE))
        is_theirs = any(os.path.isfile(Path(source, name)) for name in (MODEL_FILE, TRAINING_FILE))
        return Path(source) if is_theirs and not is_ours else None
    if os.path.isfile(source):
        return Path(source)

    name = os.fspath(source)
    try:
        try:
            hf_hub_download(name, INDEX_FILE, **hub)
            return None
        except LocalEntryNotFoundError:
            # Offline, use the checkpoint if it is in the cache.
            where = {key: hub[key] for key in ("cache_dir", "revision") if hub.get(key) is not None}
            if not isinstance(try_to_load_from_cache(name, MODEL_FILE, **where), str):
                raise
        except EntryNotFoundError:
            pass
        model = hf_hub_download(name, MODEL_FILE, **hub)
        for optional in (CODEC_FILE, CHORDS_FILE):
            try:
                hf_hub_download(name, optional, **hub)
            except EntryNotFoundError:
                pass
    except LocalEntryNotFoundError as error:
        raise FileNotFoundError(
            f"There is no folder {name!r} and no cached Hub repository of that name, and the Hub is disabled"
            " (`local_files_only`, HF_HUB_OFFLINE) or can't be reached."
        ) from error
    except GatedRepoError as error:
        raise PermissionError(
            f"{name} is gated: request access at https://huggingface.co/{name} (Meta's JASCO weights are under"
            " CC-BY-NC 4.0: not for commercial use), then log in with `hf auth login` or pass `token=`."
        ) from error
    except RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"There is no folder or Hub repository {name!r}. If the repository is private, log in with `hf auth login`"
            " or pass `token=`."
        ) from error
    except RevisionNotFoundError as error:
        raise FileNotFoundError(f"{name} has no revision {hub.get('revision')!r}.") from error
    except HFValidationError as error:
        raise FileNotFoundError(f"There is no folder {name!r}, and this is not a valid Hub id.") from error
    except EntryNotFoundError as error:
        raise FileNotFoundError(
            f"{name} is not a JASCO checkpoint: it has neither {INDEX_FILE} nor AudioCraft's {MODEL_FILE}."
        ) from error
    return Path(model).parent


def read_audiocraft_checkpoint(
    path: str | os.PathLike, weights: Literal["best", "ema", "last"] = "best"
) -> AudiocraftCheckpoint:
    r"""
    Reads an exported checkpoint (`state_dict.bin`) or one of a training run (`checkpoint.th`). No code in it is
    executed.

    Args:
        path (`str` or `os.PathLike`):
            The file, or a folder that contains one of the two.
        weights (`str`, defaults to `"best"`):
            Weights of a training run to read: `"best"` in validation, `"ema"` (the moving average after the last
            epoch) or `"last"`. An exported checkpoint contains only the best ones.

    Raises:
        `FileNotFoundError`: if the file does not exist.
        `ValueError`: if the file is corrupt, contains another kind of model, or lacks these weights.
    """
    path = Path(path)
    if path.is_dir():
        path = next((path / name for name in (MODEL_FILE, TRAINING_FILE) if (path / name).is_file()), path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} has neither {MODEL_FILE} nor {TRAINING_FILE}.")
    content = load_tensors(path)
    if "xp.cfg" not in content:
        raise ValueError(f"{path} is not an AudioCraft checkpoint: it lacks 'xp.cfg'.")
    text = content.pop("xp.cfg")
    if not isinstance(text, str):  # a training run keeps it as an object
        text = yaml.safe_dump(_to_plain(text), sort_keys=False)
    try:
        config = parse_config(text)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if config.get("solver") != "jasco":
        raise ValueError(f"{path} is a checkpoint of the solver {config.get('solver')!r}, not of 'jasco'.")

    is_training_run = any(isinstance(content.get(name), dict) for name in ("model", "optimizer", "fsdp_best_state"))
    state = _select_weights(content, weights, is_training_run, path)
    tensors = {_WRAPPERS.sub("", key): value for key, value in state.items()}
    if wrong := [key for key, value in tensors.items() if not isinstance(value, torch.Tensor)]:
        raise ValueError(f"{path}: these weights are not tensors: {', '.join(map(str, wrong[:5]))}.")
    extras = {key: value for key, value in content.items() if key != "best_state"}
    if is_training_run:  # as AudioCraft exports them
        extras = {"version": AUDIOCRAFT_VERSION, "exported": True}
    return AudiocraftCheckpoint(path, tensors, config, text, extras)


def _select_weights(content: dict[str, Any], weights: str, is_training_run: bool, path: Path) -> dict[str, Any]:
    if weights not in ("best", "ema", "last"):
        raise ValueError(f"`weights` has to be 'best', 'ema' or 'last', but is {weights!r}.")
    if not is_training_run:
        if weights != "best":
            raise ValueError(
                f"{path} does not have {weights!r} weights: exported checkpoints contain only the best ones."
            )
        state = content.get("best_state")
    elif weights == "best":
        # With FSDP, `best_state` is only a shard.
        state = (content.get("fsdp_best_state") or content.get("best_state") or {}).get("model")
    elif weights == "ema":
        state = ((content.get("ema") or {}).get("state") or {}).get("model")
    else:
        state = content.get("model")
    if not isinstance(state, dict) or not state:
        raise ValueError(
            f"{path} is not a complete AudioCraft checkpoint: it lacks the {weights!r} weights (best_state)."
        )
    return state


def load_tensors(path: Path) -> dict[str, Any]:
    r"""
    Loads a dictionary written by `torch.save`. Only tensors and OmegaConf's containers are allowed; the latter are
    loaded as plain records.

    Raises:
        `ValueError`: if the file is corrupt or refers to any other class or function.
    """
    if not path.is_file():
        raise FileNotFoundError(f"The file {path} does not exist.")
    try:
        with torch.serialization.safe_globals(_OMEGACONF):
            content = torch.load(path, map_location="cpu", weights_only=True)
    # Corrupt files make torch and pickle fail in many ways.
    except Exception as error:
        # The message of torch would recommend loading the file unsafely.
        forbidden = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"{type(error).__name__}: {str(error).rpartition('WeightsUnpickler error: ')[2].strip()}"
        reason = f"it contains more than data: {forbidden[1]}" if forbidden else reason
        raise ValueError(f"{path} can't be read ({reason}).") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} has to contain a dictionary, but contains a {type(content).__name__}.")
    return content


class _Record:
    """Replaces an OmegaConf object: it has the saved fields, but no code."""

    def __init__(self, *args: Any):
        self.args = args

    def __setstate__(self, state: Any):
        self.__dict__.update(state if isinstance(state, dict) else {})


def _record(name: str) -> tuple[type, str]:
    # Separate classes, since torch also looks them up by class.
    return type(name.rpartition(".")[2], (_Record,), {}), name


def _make_dict(*factory: Any) -> OrderedDict:
    """Replaces `defaultdict`, which torch can't fill."""
    return OrderedDict()


# Includes the types of their fields.
_OMEGACONF = [
    _record(name)
    for name in (
        "omegaconf.dictconfig.DictConfig",
        "omegaconf.listconfig.ListConfig",
        "omegaconf.base.ContainerMetadata",
        "omegaconf.base.Metadata",
        "omegaconf.base.SCMode",
        *(
            f"omegaconf.nodes.{kind}Node"
            for kind in ("Any", "String", "Integer", "Float", "Boolean", "Bytes", "Path", "Enum", "Interpolation")
        ),
        "typing.Any",
        "pathlib.PosixPath",
        "pathlib.WindowsPath",
    )
]
_OMEGACONF += [(_make_dict, "collections.defaultdict"), dict, list, tuple, int, float, bool, str]


def _to_plain(value: Any) -> Any:
    """Converts an OmegaConf object to dictionaries, lists and values."""
    if not isinstance(value, _Record):
        return value
    if "_val" in value.__dict__:
        return _to_plain(value._val)
    content = value.__dict__.get("_content")
    if isinstance(content, dict):
        return {_to_plain(key): _to_plain(item) for key, item in content.items()}
    if isinstance(content, list):
        return [_to_plain(item) for item in content]
    if value.args:  # a path
        return "/".join(map(str, value.args))
    return content


def parse_config(text: str) -> dict[str, Any]:
    r"""
    Parses the YAML text of `xp.cfg` and resolves `${...}`.

    Raises:
        `ValueError`: if it is not a YAML mapping.
    """
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"'xp.cfg' is not YAML: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"'xp.cfg' has to be a mapping, but is a {type(config).__name__}.")
    return _resolve(config, config)


def _resolve(value: Any, root: dict[str, Any], depth: int = 0) -> Any:
    """Replaces `${a.b}` by the value at `a.b`. Unresolvable references, mostly for training, are kept."""
    if isinstance(value, dict):
        return {key: _resolve(item, root, depth) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, root, depth) for item in value]
    reference = re.fullmatch(r"\$\{([\w.]+)\}", value) if isinstance(value, str) else None
    if reference is None or depth > 20:
        return value
    target = root
    for key in reference[1].split("."):
        if not isinstance(target, dict) or key not in target:
            return value
        target = target[key]
    # The depth limit ends circular references.
    return _resolve(target, root, depth + 1)


class _DataUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it refers to {module}.{name}")


def load_plain_pickle(path: str | os.PathLike) -> Any:
    r"""
    Reads a pickle of dictionaries, lists, tuples, strings and numbers. No code in it is executed.

    Raises:
        `FileNotFoundError`: if the file does not exist.
        `ValueError`: for any other file, including pickles that refer to a function or class.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"The file {path} does not exist.")
    try:
        with open(path, "rb") as file:
            return _DataUnpickler(file).load()
    # Corrupt pickles fail in many ways.
    except Exception as error:
        raise ValueError(f"{path} can't be read as plain data ({error}).") from error


def load_json(path: str | os.PathLike) -> Any:
    r"""
    Reads a JSON file.

    Raises:
        `FileNotFoundError`: if the file does not exist.
        `ValueError`: if it is not JSON.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"The file {path} does not exist.")
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}).") from error


def read_chord_labels(path: str | os.PathLike) -> list[str]:
    r"""
    Reads a chord vocabulary, a dictionary from labels to ids: AudioCraft's pickle (`chord_to_index_mapping.pkl`, in
    which no code is executed) or JSON (`chord_to_index_mapping.json`).

    Returns:
        `list[str]`: the labels in the order of their ids.

    Raises:
        `FileNotFoundError`: if the file does not exist.
        `ValueError`: if it is not a chord vocabulary.
    """
    ids = load_json(path) if Path(path).suffix == ".json" else load_plain_pickle(path)
    if not (
        isinstance(ids, dict)
        and all(isinstance(label, str) and type(number) is int for label, number in ids.items())
        and sorted(ids.values()) == list(range(len(ids)))
    ):
        raise ValueError(f"{path} is not a chord vocabulary: it has to map labels to the ids 0, 1, 2 …")
    return sorted(ids, key=ids.__getitem__)
