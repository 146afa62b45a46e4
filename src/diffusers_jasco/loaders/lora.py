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

import dataclasses
import itertools
import json
import os
import re
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders import CogVideoXLoraLoaderMixin
from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY, LORA_WEIGHT_NAME, LORA_WEIGHT_NAME_SAFE
from diffusers.utils import is_peft_available, logging
from diffusers.utils.peft_utils import require_peft_backend
from huggingface_hub import constants, hf_hub_download, list_repo_files
from huggingface_hub.errors import (
    EntryNotFoundError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)
from safetensors import SafetensorError, safe_open
from torch import nn


if is_peft_available():
    from peft import LoraConfig
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import get_peft_model_state_dict
    from peft.utils.other import get_pattern_key

logger = logging.get_logger(__name__)

PEFT_CONFIG_NAME = "adapter_config.json"
WEIGHT_NAMES = (LORA_WEIGHT_NAME_SAFE, "adapter_model.safetensors", LORA_WEIGHT_NAME, "adapter_model.bin")

_DIFFUSERS_PREFIX = "transformer."
_PEFT_PREFIX = "base_model.model."
_PARTS = r"lora_A\.weight|lora_B\.weight|lora_B\.bias|lora_embedding_A|lora_embedding_B|lora_magnitude_vector"
# With any other initialisation the LoRA adds to changed base weights, which are not in the file.
_INITIALISATIONS = (True, False, "gaussian", "orthogonal", "eva")
_MAX_LISTED = 20


class JascoLoraLoaderMixin(CogVideoXLoraLoaderMixin):
    """
    Loads, saves, fuses and unloads LoRA layers of [`JascoTransformerModel`], as Diffusers' own pipelines do, for files of
    Diffusers and of PEFT. Unlike there, a LoRA that fits the transformer just in part is an error.
    """

    @classmethod
    def lora_state_dict(
        cls,
        pretrained_model_name_or_path_or_dict: str | os.PathLike | dict[str, torch.Tensor],
        weight_name: str | None = None,
        subfolder: str | None = None,
        use_safetensors: bool | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        return_lora_metadata: bool = False,
    ) -> dict[str, torch.Tensor] | tuple[dict[str, torch.Tensor], dict[str, Any] | None]:
        r"""
        Reads a LoRA. Names of PEFT (`base_model.model.…`) and of [`~JascoTransformerModel.save_lora_adapter`] (no prefix)
        become those of Diffusers (`transformer.…`).

        Args:
            pretrained_model_name_or_path_or_dict (`str`, `os.PathLike` or `dict`):
                A file, a folder, a Hub repository, or the tensors by name.
            weight_name (`str`, *optional*):
                The file's name, where the folder or repository has more than one.
            subfolder (`str`, *optional*):
                Folder of the file within the folder or repository.
            use_safetensors (`bool`, *optional*):
                `True`: safetensors only; `False`: pickled weights only; by default the first of them that is there.
                Pickled files are read with `weights_only=True`: nothing in them is executed.
            revision, token, cache_dir, force_download, local_files_only (*optional*):
                As in [`DiffusionPipeline.from_pretrained`], for Hub repositories.
            return_lora_metadata (`bool`, defaults to `False`):
                Whether to return the LoRA's configuration too.

        Returns:
            `dict`, or `tuple` of it and the arguments of [`peft.LoraConfig`] as Diffusers stores them (each after
            `transformer.`), `None` where the file has none.

        Raises:
            `ValueError`: for a file that can't be read, holds something else, or can't be chosen among several.
            `FileNotFoundError`: for an absent file.
        """
        if isinstance(pretrained_model_name_or_path_or_dict, dict):
            state_dict, metadata = pretrained_model_name_or_path_or_dict, None
        else:
            hub = {"revision": revision, "token": token, "cache_dir": cache_dir, "force_download": force_download}
            path = _find_file(
                pretrained_model_name_or_path_or_dict, weight_name, subfolder, use_safetensors, local_files_only, hub
            )
            state_dict, metadata = _read_file(path, use_safetensors)

        layers = _strip_prefixes(state_dict)
        state_dict = {f"{_DIFFUSERS_PREFIX}{key}": weight for key, weight in layers.items()}
        if metadata is not None and not any(key.startswith(_DIFFUSERS_PREFIX) for key in metadata):
            metadata = {f"{_DIFFUSERS_PREFIX}{key}": value for key, value in metadata.items()}
        return (state_dict, metadata) if return_lora_metadata else state_dict

    @require_peft_backend
    def load_lora_weights(
        self,
        pretrained_model_name_or_path_or_dict: str | os.PathLike | dict[str, torch.Tensor],
        adapter_name: str | None = None,
        hotswap: bool = False,
        low_cpu_mem_usage: bool = True,
        **kwargs: Any,
    ):
        r"""
        Loads a LoRA into the transformer and makes it the active one.

        Args:
            pretrained_model_name_or_path_or_dict (`str`, `os.PathLike` or `dict`):
                A file, a folder, a Hub repository, or the tensors by name.
            adapter_name (`str`, *optional*):
                Its name in `set_adapters` and the like; by default `default_0`, `default_1`, …
            hotswap (`bool`, defaults to `False`):
                Whether to replace the weights of the loaded adapter `adapter_name` in place.
            low_cpu_mem_usage (`bool`, defaults to `True`):
                Whether to skip the initialisation of the layers.
            kwargs:
                Arguments of [`~JascoLoraLoaderMixin.lora_state_dict`]: `weight_name`, `subfolder`, `revision`, …

        Raises:
            `ValueError`: for a LoRA that does not fit the transformer, with the keys that do not, and as
            [`~JascoLoraLoaderMixin.lora_state_dict`].
            `FileNotFoundError`: for an absent file.
        """
        state_dict, metadata = self.lora_state_dict(
            pretrained_model_name_or_path_or_dict, **kwargs, return_lora_metadata=True
        )
        self.load_lora_into_transformer(
            state_dict,
            transformer=self.transformer,
            adapter_name=adapter_name,
            metadata=metadata,
            _pipeline=self,
            low_cpu_mem_usage=low_cpu_mem_usage,
            hotswap=hotswap,
        )

    @classmethod
    def load_lora_into_transformer(
        cls,
        state_dict: dict[str, torch.Tensor],
        transformer: nn.Module,
        adapter_name: str | None = None,
        _pipeline: Any = None,
        low_cpu_mem_usage: bool = False,
        hotswap: bool = False,
        metadata: dict[str, Any] | None = None,
    ):
        r"""
        Loads what [`~JascoLoraLoaderMixin.lora_state_dict`] returned. The arguments are those of
        [`~JascoLoraLoaderMixin.load_lora_weights`].

        Raises:
            `ValueError`: for a LoRA that does not fit the transformer, with the keys that do not.
        """
        loaded = getattr(transformer, "peft_config", {})
        if adapter_name is None:
            # Diffusers counts the adapters, and so would replace another one after one was deleted.
            adapter_name = next(name for i in itertools.count() if (name := f"default_{i}") not in loaded)
        if not adapter_name or "." in adapter_name:
            raise ValueError(f"`adapter_name` has to be a text without a dot, but is {adapter_name!r}.")

        if metadata is not None:
            metadata = _check_metadata(metadata)
        else:
            logger.warning(
                "The LoRA does not say its alpha: it is taken to be its rank. What `save_lora_weights` is to store is"
                f" `transformer_lora_adapter_metadata`; beside a file of PEFT belongs its {PEFT_CONFIG_NAME}."
            )
        _check_layers(transformer, state_dict, metadata)
        super().load_lora_into_transformer(
            state_dict,
            transformer,
            adapter_name=adapter_name,
            _pipeline=_pipeline,
            low_cpu_mem_usage=low_cpu_mem_usage,
            hotswap=hotswap,
            metadata=metadata,
        )

    @classmethod
    def save_lora_weights(
        cls,
        save_directory: str | os.PathLike,
        transformer_lora_layers: nn.Module | dict[str, torch.Tensor] | None = None,
        transformer_lora_adapter_metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ):
        r"""
        Saves a LoRA as `pytorch_lora_weights.safetensors`, with its configuration in the file.

        Args:
            save_directory (`str` or `os.PathLike`):
                Folder; made where it is absent.
            transformer_lora_layers (`torch.nn.Module` or `dict[str, torch.Tensor]`):
                The transformer with one adapter, whose alpha and rank are stored too, or the tensors by name as
                [`peft.get_peft_model_state_dict`] returns them.
            transformer_lora_adapter_metadata (`dict`, *optional*):
                For tensors by name: `transformer.peft_config[adapter_name].to_dict()`. Without it the file does not say
                the alpha, and loads with the rank as its alpha.
            kwargs:
                `weight_name`, `safe_serialization`, `save_function` and `is_main_process` of Diffusers' loaders.

        Raises:
            `ValueError`: without layers, for a transformer with several adapters, and for a file in the place of the
            folder.
        """
        if os.path.isfile(save_directory):
            raise ValueError(f"`save_directory` has to be a folder, but {save_directory} is a file.")
        if isinstance(transformer_lora_layers, nn.Module):
            adapters = getattr(transformer_lora_layers, "peft_config", {})
            if len(adapters) != 1:
                raise ValueError(
                    f"`transformer_lora_layers` has to have one adapter, but has {list(adapters) or 'none'}. One of"
                    " several is saved by `pipe.transformer.save_lora_adapter(save_directory, adapter_name)`."
                )
            (name, config), *_ = adapters.items()
            transformer_lora_adapter_metadata = config.to_dict()
            transformer_lora_layers = get_peft_model_state_dict(transformer_lora_layers, adapter_name=name)
        if not transformer_lora_layers:
            raise ValueError("`transformer_lora_layers` has to be given, and not empty.")
        super().save_lora_weights(
            save_directory,
            transformer_lora_layers=_strip_prefixes(transformer_lora_layers),
            transformer_lora_adapter_metadata=transformer_lora_adapter_metadata,
            **kwargs,
        )

    def set_adapters(self, adapter_names: list[str] | str, adapter_weights: Any = None):
        r"""
        Makes adapters the active ones, each with its weight. As Diffusers' method, but not while a LoRA is fused: what
        `unfuse_lora` takes out then would not be what was put in.
        """
        self._check_not_fused("set_adapters")
        super().set_adapters(adapter_names, adapter_weights)

    def delete_adapters(self, adapter_names: list[str] | str):
        r"""
        Removes adapters.

        Args:
            adapter_names (`str` or `list[str]`):
                Their names.

        Raises:
            `ValueError`: for an adapter that is not loaded, or while a LoRA is fused.
        """
        adapter_names = [adapter_names] if isinstance(adapter_names, str) else adapter_names
        self._check_not_fused("delete_adapters")
        self._check_loaded(adapter_names)
        super().delete_adapters(adapter_names)

    def fuse_lora(
        self,
        components: list[str] = ["transformer"],
        lora_scale: float = 1.0,
        safe_fusing: bool = False,
        adapter_names: list[str] | None = None,
    ):
        r"""
        Adds adapters to the weights of the transformer, so that they cost no time. A `scale` in `attention_kwargs` has no
        effect on them then.

        Args:
            components (`list[str]`, defaults to `["transformer"]`):
                The one component that has LoRA layers.
            lora_scale (`float`, defaults to `1.0`):
                Factor of the adapters' weights.
            safe_fusing (`bool`, defaults to `False`):
                Whether to raise where a weight would be infinite or NaN.
            adapter_names (`list[str]`, *optional*):
                Their names, by default the active ones.

        Raises:
            `ValueError`: for an adapter that is not loaded or fused already. Where PEFT can't fuse one (NaN with
            `safe_fusing`, a LoRA with biases) nothing is fused after its error.
        """
        names = self.get_active_adapters() if adapter_names is None else adapter_names
        names = [names] if isinstance(names, str) else names
        self._check_loaded(names)
        if not names or self.fused_loras & set(names):
            raise ValueError(f"No adapters are left to fuse: {names} was asked for, {self.fused_loras} is fused.")

        layers = [layer for layer in self.transformer.modules() if isinstance(layer, BaseTunerLayer)]
        if not getattr(self, "_scalings_before_fusing", None):
            self._scalings_before_fusing = [(layer, dict(layer.scaling)) for layer in layers]
        # Diffusers scales the active adapters, whichever are fused, and leaves them scaled after `unfuse_lora`.
        for layer in layers:
            for name in set(names) & set(layer.scaling):
                layer.scaling[name] *= lora_scale
        try:
            super().fuse_lora(components, safe_fusing=safe_fusing, adapter_names=names)
        except Exception:
            # Some layers are fused, and others are not.
            self.unfuse_lora(components)
            raise

    def unfuse_lora(self, components: list[str] = ["transformer"]):
        r"""
        Takes fused adapters out of the transformer's weights again.

        Args:
            components (`list[str]`, defaults to `["transformer"]`):
                The one component that has LoRA layers.
        """
        super().unfuse_lora(components)
        for layer, scaling in getattr(self, "_scalings_before_fusing", None) or []:
            layer.scaling.update(scaling)
        self._scalings_before_fusing = None

    def unload_lora_weights(self):
        """Removes all adapters. What is fused stays in the weights: to be rid of it, call `unfuse_lora` before."""
        super().unload_lora_weights()
        self._merged_adapters = set()
        self._scalings_before_fusing = None

    def _check_loaded(self, adapter_names: list[str]):
        loaded = list(getattr(self.transformer, "peft_config", {}))
        absent = [name for name in adapter_names if name not in loaded]
        if absent or not loaded:
            raise ValueError(f"The adapters {absent} are not loaded. Loaded are: {loaded or 'none'}.")

    def _check_not_fused(self, method: str):
        if self.fused_loras:
            raise ValueError(
                f"`{method}` can't be used while {sorted(self.fused_loras)} is fused: `unfuse_lora` first."
            )


def _find_file(
    source: str | os.PathLike,
    weight_name: str | None,
    subfolder: str | None,
    use_safetensors: bool | None,
    local_files_only: bool,
    hub: dict[str, Any],
) -> Path:
    """The LoRA's file, downloaded where `source` is a Hub repository. PEFT's configuration is beside it."""
    if os.path.isfile(source):
        if weight_name not in (None, os.path.basename(source)):
            raise ValueError(f"`weight_name` is {weight_name!r}, but {source} is a file of another name.")
        return Path(source)

    suffixes = {True: (".safetensors",), False: (".bin",), None: (".safetensors", ".bin")}[use_safetensors]
    subfolder = subfolder or ""
    if os.path.isdir(source):
        folder = Path(source, subfolder)
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        path = folder / (weight_name or _choose_file(names, suffixes, folder))
        if not path.is_file():
            raise FileNotFoundError(f"There is no file {path}.")
        return path
    if str(source).endswith((".safetensors", ".bin")):
        raise FileNotFoundError(f"There is no file {source}.")
    try:
        return _download_file(str(source), weight_name, subfolder, suffixes, local_files_only, hub)
    except HFValidationError as error:
        raise FileNotFoundError(f"{source} is neither a file or folder nor a Hub repository: {error}") from error
    except RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"There is neither a file or folder nor a Hub repository {str(source)!r} that you have access to. For a private or"
            " gated one log in with `hf auth login`, or give `token=`."
        ) from error


def _download_file(
    repo_id: str,
    weight_name: str | None,
    subfolder: str,
    suffixes: tuple[str, ...],
    local_files_only: bool,
    hub: dict[str, Any],
) -> Path:
    is_offline = local_files_only or constants.HF_HUB_OFFLINE
    candidates = [weight_name]
    if weight_name is None and is_offline:
        # What the repository holds can't be asked.
        candidates = [name for name in WEIGHT_NAMES if name.endswith(suffixes)]
    elif weight_name is None:
        files = [Path(name) for name in list_repo_files(repo_id, revision=hub["revision"], token=hub["token"])]
        names = [path.name for path in files if path.parent == Path(subfolder)]
        candidates = [_choose_file(names, suffixes, Path(repo_id, subfolder))]

    hub = {"repo_id": repo_id, "subfolder": subfolder, "local_files_only": local_files_only} | hub
    for name in candidates:
        try:
            path = Path(hf_hub_download(filename=name, **hub))
        except EntryNotFoundError as error:
            reason = error
            continue
        try:
            hf_hub_download(filename=PEFT_CONFIG_NAME, **hub)
        except EntryNotFoundError as error:
            if isinstance(error, LocalEntryNotFoundError) and not is_offline:
                raise
        return path
    where = "the cache for" if is_offline else "the repository"
    raise FileNotFoundError(
        f"There is no file {' or '.join(candidates)} in {where} {Path(repo_id, subfolder)}: {reason}"
    ) from reason


def _choose_file(names: list[str], suffixes: tuple[str, ...], folder: str | os.PathLike) -> str:
    for suffix in suffixes:
        found = sorted(name for name in names if name.endswith(suffix))
        found = [name for name in found if name in WEIGHT_NAMES] or found
        if len(found) > 1:
            raise ValueError(f"{folder} has more than one file: {found}. Say which by `weight_name`.")
        if found:
            return found[0]
    raise FileNotFoundError(f"There is no LoRA in {folder}: no file that ends in {' or '.join(suffixes)}.")


def _read_file(path: Path, use_safetensors: bool | None) -> tuple[dict[str, torch.Tensor], dict[str, Any] | None]:
    metadata = None
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as file:
                state_dict = {key: file.get_tensor(key) for key in file.keys()}
                metadata = (file.metadata() or {}).get(LORA_ADAPTER_METADATA_KEY)
        except SafetensorError as error:
            raise ValueError(f"{path} is no intact safetensors file: {error}") from error
    else:
        if use_safetensors:
            raise ValueError(f"{path} is no safetensors file, and `use_safetensors` is `True`.")
        try:
            state_dict = torch.load(path, map_location="cpu", weights_only=True)
        # A broken file makes torch and pickle fail in many ways; one that wants code to be run is refused.
        except Exception as error:
            raise ValueError(f"{path} can't be read as weights only ({type(error).__name__}): {error}") from error
        is_weights = isinstance(state_dict, dict) and all(
            isinstance(key, str) and torch.is_tensor(weight) for key, weight in state_dict.items()
        )
        if not is_weights:
            raise ValueError(f"{path} has to hold tensors by name, but holds something else.")

    source = path
    if metadata is None and any(key.startswith(_PEFT_PREFIX) for key in state_dict):
        source = path.with_name(PEFT_CONFIG_NAME)
        metadata = source.read_bytes() if source.is_file() else None
    if metadata is not None:
        try:
            metadata = json.loads(metadata)
        except ValueError as error:
            raise ValueError(f"The LoRA's configuration in {source} is no JSON: {error}") from error
        if not isinstance(metadata, dict):
            raise ValueError(f"The LoRA's configuration in {source} has to be a dictionary.")
    return state_dict, metadata


def _strip_prefixes(state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors by the names that the transformer's layers have in it."""
    layers = {
        key.removeprefix(_DIFFUSERS_PREFIX).removeprefix(_PEFT_PREFIX): weight for key, weight in state_dict.items()
    }
    if len(layers) < len(state_dict):
        raise ValueError("The LoRA has the same layers under names of Diffusers and of PEFT: keep one of both.")
    return layers


def _check_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """Raises a `ValueError` for a configuration that PEFT can't make a LoRA of; drops what PEFT does not need."""
    config = {
        key.removeprefix(_DIFFUSERS_PREFIX): value
        for key, value in metadata.items()
        if key.startswith(_DIFFUSERS_PREFIX)
    }
    if config.get("peft_type", "LORA") != "LORA":
        raise ValueError(f"The adapter is a {config['peft_type']}, not a LoRA.")
    if config.get("init_lora_weights", True) not in _INITIALISATIONS:
        raise ValueError(
            f"The LoRA was started with `init_lora_weights={config['init_lora_weights']!r}`, and adds to base weights that"
            " are not in its file. Convert it to a plain one by `path_initial_model_for_weight_conversion` of PEFT's"
            " `save_pretrained`."
        )
    known = {field.name for field in dataclasses.fields(LoraConfig)}
    unknown = sorted(key for key, value in config.items() if key not in known and value)
    if unknown:
        raise ValueError(f"The LoRA's options {unknown} are not known to the installed version of PEFT.")
    # Every weight is in the file, so how they were started does not matter.
    config = {key: value for key, value in config.items() if key in known} | {"init_lora_weights": True}
    try:
        LoraConfig(**config)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The LoRA's configuration can't be used: {error}") from error
    return {f"{_DIFFUSERS_PREFIX}{key}": value for key, value in config.items()}


def _check_layers(transformer: nn.Module, state_dict: dict[str, torch.Tensor], metadata: dict[str, Any] | None):
    """Raises a `ValueError` unless every tensor has its place in the transformer, and every LoRA layer is whole."""
    if any(getattr(module, "fused_projections", False) for module in transformer.modules()):
        raise ValueError(
            "The transformer's attention projections are fused, so that LoRA layers of the single ones would have no"
            " effect: call `pipe.transformer.unfuse_qkv_projections()` first."
        )
    if not state_dict:
        raise ValueError("The LoRA is empty.")

    config = None
    if metadata is not None:
        config = LoraConfig(**{key.removeprefix(_DIFFUSERS_PREFIX): value for key, value in metadata.items()})
    modules, layers, unfit = _find_layers(transformer), {}, []
    for key, weight in state_dict.items():
        match = re.fullmatch(rf"{re.escape(_DIFFUSERS_PREFIX)}(.+)\.({_PARTS})", key)
        if match is None or match[1] not in modules:
            unfit.append(key)
        else:
            layers.setdefault(match[1], {})[match[2]] = weight
    if unfit:
        listed = ", ".join(unfit[:_MAX_LISTED]) + (
            f" and {len(unfit) - _MAX_LISTED} more" * (len(unfit) > _MAX_LISTED)
        )
        raise ValueError(
            f"{len(unfit)} of the LoRA's {len(state_dict)} keys fit no layer of the transformer: {listed}. Right are keys"
            f" like `{_DIFFUSERS_PREFIX}transformer_blocks.0.attn1.to_q.lora_A.weight`, or PEFT's with `{_PEFT_PREFIX}` in"
            f" the place of `{_DIFFUSERS_PREFIX}`, for linear layers and embeddings of this transformer, with the parts"
            " lora_A and lora_B. It may be the LoRA of another model, or of one with more blocks or controls."
        )

    has_bias = config.lora_bias if config else any("lora_B.bias" in parts for parts in layers.values())
    has_magnitude = config.use_dora if config else any("lora_magnitude_vector" in parts for parts in layers.values())
    wrong = []
    for name, parts in layers.items():
        module = modules[name]
        rank = next((parts[part].shape[-1] for part in ("lora_B.weight", "lora_embedding_B") if part in parts), 0)
        if config is not None:
            try:
                rank = config.rank_pattern.get(get_pattern_key(config.rank_pattern, name), config.r)
            except re.error as error:
                raise ValueError(f"The LoRA's `rank_pattern` can't be used: {error}") from error
        if isinstance(module, nn.Embedding):
            shapes = {
                "lora_embedding_A": (rank, module.num_embeddings),
                "lora_embedding_B": (module.embedding_dim, rank),
            }
        else:
            shapes = {"lora_A.weight": (rank, module.in_features), "lora_B.weight": (module.out_features, rank)}
            shapes |= {"lora_B.bias": (module.out_features,)} if has_bias else {}
            shapes |= {"lora_magnitude_vector": (module.out_features,)} if has_magnitude else {}
        for part in sorted(shapes.keys() | parts.keys()):
            found = tuple(parts[part].shape) if part in parts else "absent"
            expected = shapes.get(part, "absent")
            if found != expected:
                wrong.append(f"{_DIFFUSERS_PREFIX}{name}.{part} is {found}, but has to be {expected}")
    if wrong:
        listed = "; ".join(wrong[:_MAX_LISTED]) + (
            f" and {len(wrong) - _MAX_LISTED} more" * (len(wrong) > _MAX_LISTED)
        )
        raise ValueError(f"The LoRA does not fit the transformer, or its own configuration: {listed}.")
    if config is None and any(isinstance(modules[name], nn.Embedding) for name in layers):
        raise ValueError(f"A LoRA of an embedding needs its configuration, e.g. PEFT's {PEFT_CONFIG_NAME} beside it.")


def _find_layers(transformer: nn.Module) -> dict[str, nn.Module]:
    """The linear layers and embeddings by name, as they were before any adapter was loaded."""
    layers, inside = {}, "\0"
    for name, module in transformer.named_modules():
        if name.startswith(inside):
            continue
        if isinstance(module, BaseTunerLayer):
            inside, module = f"{name}.", module.get_base_layer()
        if isinstance(module, (nn.Linear, nn.Embedding)):
            layers[name] = module
    return layers
