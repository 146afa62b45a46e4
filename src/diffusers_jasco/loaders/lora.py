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
from diffusers.loaders.lora_base import (
    LORA_WEIGHT_NAME,
    LORA_WEIGHT_NAME_SAFE,
    LoraBaseMixin,
    _fetch_state_dict,
    _pack_dict_with_prefix,
)
from diffusers.utils import _get_model_file, is_peft_available, logging
from diffusers.utils.peft_utils import require_peft_backend
from huggingface_hub import constants, list_repo_files, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
from safetensors import SafetensorError
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
# With any other initialization the LoRA adds to changed base weights, which are not in the file.
_INITIALIZATIONS = (True, False, "gaussian", "orthogonal", "eva")
_MAX_LISTED = 20


class JascoLoraLoaderMixin(LoraBaseMixin):
    """
    Loads, saves, fuses and unloads LoRA layers of [`JascoTransformerModel`], as Diffusers' own pipelines do, for files of
    Diffusers and of PEFT. Unlike there, a LoRA that fits only a part of the transformer is an error.
    """

    _lora_loadable_modules = ["transformer"]
    transformer_name = "transformer"

    @classmethod
    def lora_state_dict(
        cls,
        pretrained_model_name_or_path_or_dict: str | os.PathLike | dict[str, torch.Tensor],
        weight_name: str | None = None,
        subfolder: str | None = None,
        use_safetensors: bool | None = None,
        return_lora_metadata: bool = False,
        **hub: Any,
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
                `True`: nothing but safetensors; `False`: look for pickled weights; by default pickled weights are read only
                from a file that is named. Nothing in them is executed.
            return_lora_metadata (`bool`, defaults to `False`):
                Whether to return the LoRA's configuration too.
            hub:
                `revision`, `token`, `cache_dir`, `force_download` and `local_files_only` of
                [`DiffusionPipeline.from_pretrained`], for Hub repositories.

        Returns:
            `dict`, or `tuple` of it and the arguments of [`peft.LoraConfig`] as Diffusers stores them (each after
            `transformer.`), `None` where the file has none.

        Raises:
            `ValueError`: for a file that holds something else, or can't be chosen among several.
            `OSError`: for a file that is absent or can't be read.
        """
        state_dict, metadata = pretrained_model_name_or_path_or_dict, None
        if not isinstance(state_dict, dict):
            state_dict, metadata = _read(state_dict, weight_name, subfolder, use_safetensors, **hub)
        state_dict = _pack_dict_with_prefix(_strip_prefixes(state_dict), cls.transformer_name)
        if metadata and not any(key.startswith(_DIFFUSERS_PREFIX) for key in metadata):
            metadata = _pack_dict_with_prefix(metadata, cls.transformer_name)
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
        """
        Loads a LoRA into the transformer and makes it the active one, by default under the name `default_0`, `default_1`, …
        The arguments are those of Diffusers' pipelines and, as `kwargs`, of [`~JascoLoraLoaderMixin.lora_state_dict`].

        Raises:
            `ValueError`: for a LoRA that does not fit the transformer, with the keys that do not.
            `OSError`: for a file that is absent or can't be read.
        """
        state_dict, metadata = self.lora_state_dict(
            pretrained_model_name_or_path_or_dict, **kwargs, return_lora_metadata=True
        )
        loaded = getattr(self.transformer, "peft_config", {})
        if adapter_name is None:
            # Diffusers counts the adapters, and would replace another one after one was deleted.
            adapter_name = next(name for i in itertools.count() if (name := f"default_{i}") not in loaded)
        if not adapter_name or "." in adapter_name:
            raise ValueError(f"`adapter_name` has to be a text without a dot, but is {adapter_name!r}.")

        config = None if metadata is None else _check_metadata(_strip_prefixes(metadata))
        if config is None:
            logger.warning(
                "The LoRA does not say its alpha: it is taken to be its rank. What `save_lora_weights` is to store is"
                f" `transformer_lora_adapter_metadata`; beside a file of PEFT belongs its {PEFT_CONFIG_NAME}."
            )
        layers = _strip_prefixes(state_dict)
        _check_layers(self.transformer, layers, config)
        self.transformer.load_lora_adapter(
            layers,
            prefix=None,
            adapter_name=adapter_name,
            metadata=config,
            _pipeline=self,
            low_cpu_mem_usage=low_cpu_mem_usage,
            hotswap=hotswap,
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
                Folder; it is created if it does not exist.
            transformer_lora_layers (`torch.nn.Module` or `dict[str, torch.Tensor]`):
                The transformer with one adapter, whose alpha and rank are stored too, or the tensors by name as
                [`peft.get_peft_model_state_dict`] returns them.
            transformer_lora_adapter_metadata (`dict`, *optional*):
                For tensors by name: `transformer.peft_config[adapter_name].to_dict()`. Without it the file does not say
                the alpha, and loads with the rank as its alpha.
            kwargs:
                `weight_name`, `safe_serialization`, `save_function` and `is_main_process` of Diffusers' loaders.

        Raises:
            `ValueError`: without layers, for a transformer with several adapters, and for a file in place of the folder.
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
        cls._save_lora_weights(
            save_directory,
            lora_layers={cls.transformer_name: _strip_prefixes(transformer_lora_layers)},
            lora_metadata={cls.transformer_name: transformer_lora_adapter_metadata},
            **kwargs,
        )

    def set_adapters(self, adapter_names: list[str] | str, adapter_weights: Any = None):
        """
        Makes adapters the active ones, each with its weight, as Diffusers' method does. Raises a `ValueError` while a LoRA
        is fused: `unfuse_lora` would then not remove what was added.
        """
        self._check_not_fused("set_adapters")
        super().set_adapters(adapter_names, adapter_weights)

    def delete_adapters(self, adapter_names: list[str] | str):
        """Removes adapters. Raises a `ValueError` for one that is not loaded, or while a LoRA is fused."""
        self._check_not_fused("delete_adapters")
        self._check_loaded([adapter_names] if isinstance(adapter_names, str) else adapter_names)
        super().delete_adapters(adapter_names)

    def fuse_lora(
        self,
        components: list[str] = ["transformer"],
        lora_scale: float = 1.0,
        safe_fusing: bool = False,
        adapter_names: list[str] | None = None,
    ):
        """
        Adds adapters, by default the active ones, to the weights of the transformer, so that they cost no time. A `scale` in
        `attention_kwargs` has no effect on them then. The arguments are those of [`~loaders.LoraBaseMixin.fuse_lora`].

        Raises:
            `ValueError`: for an adapter that is not loaded or fused already. Where PEFT can't fuse one (NaN with
            `safe_fusing`, a LoRA with biases), nothing is fused.
        """
        names = self.get_active_adapters() if adapter_names is None else adapter_names
        names = [names] if isinstance(names, str) else names
        self._check_loaded(names)
        if not names or self.fused_loras & set(names):
            raise ValueError(f"No adapters are left to fuse: requested {names}, already fused {self.fused_loras}.")

        layers = [layer for layer in self.transformer.modules() if isinstance(layer, BaseTunerLayer)]
        if not self.fused_loras:
            self._scalings_before_fusing = [(layer, dict(layer.scaling)) for layer in layers]
        # Diffusers would scale the active adapters instead of those that are fused, and leave them scaled.
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
        """Removes fused adapters from the weights of the transformer (the one component that has LoRA layers)."""
        super().unfuse_lora(components)
        for layer, scaling in getattr(self, "_scalings_before_fusing", []):
            layer.scaling.update(scaling)
        self._scalings_before_fusing = []

    def unload_lora_weights(self):
        """Removes all adapters. Fused ones stay in the weights, unless `unfuse_lora` is called before."""
        super().unload_lora_weights()
        self._merged_adapters, self._scalings_before_fusing = set(), []

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


def _read(
    source: str | os.PathLike, weight_name: str | None, subfolder: str | None, use_safetensors: bool | None, **hub: Any
) -> tuple[dict[str, torch.Tensor], dict[str, Any] | None]:
    """The tensors and the configuration in a file, a folder or a Hub repository."""
    if weight_name is not None:
        path = Path(subfolder or "", weight_name)
        subfolder, weight_name = "/".join(path.parts[:-1]), path.name
    if os.path.isfile(source):
        source, name = os.path.split(source)
        if weight_name not in (None, name):
            raise ValueError(f"`weight_name` is {weight_name!r}, but {Path(source, name)} is a file of another name.")
        source, weight_name, subfolder = source or ".", name, None
    elif os.path.isdir(source):
        source, subfolder = os.path.join(source, subfolder or ""), None
    names = _list_files(str(source), weight_name, subfolder, **hub)
    where = Path(source, subfolder or "")
    if weight_name is None:
        suffix = ".bin" if use_safetensors is False else ".safetensors"
        found = [name for name in names if name.endswith(suffix)]
        found = sorted(name for name in found if name in WEIGHT_NAMES) or sorted(found)
        if len(found) > 1:
            raise ValueError(f"{where} has more than one file: {found}. Choose one by `weight_name`.")
        if not found:
            raise FileNotFoundError(
                f"There is no LoRA in {where}: no file that ends in {suffix}. Name others by `weight_name`."
            )
        weight_name = found[0]
    elif weight_name not in names:
        raise FileNotFoundError(f"There is no file {where / weight_name}.")
    if use_safetensors and not weight_name.endswith(".safetensors"):
        raise ValueError(f"{where / weight_name} is not a safetensors file, and `use_safetensors` is `True`.")

    hub = dict.fromkeys(("revision", "token", "cache_dir", "force_download", "local_files_only")) | hub
    hub |= {"subfolder": subfolder, "proxies": None, "user_agent": None}
    try:
        state_dict, metadata = _fetch_state_dict(
            source, weight_name=weight_name, use_safetensors=None, allow_pickle=False, **hub
        )
        if metadata is None and PEFT_CONFIG_NAME in names and any(_PEFT_PREFIX in key for key in state_dict):
            metadata = json.loads(Path(_get_model_file(source, weights_name=PEFT_CONFIG_NAME, **hub)).read_bytes())
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{where / weight_name} or its configuration is not intact: {error}") from error
    if not isinstance(metadata, dict | None) or not all(map(torch.is_tensor, state_dict.values())):
        raise ValueError(f"{where / weight_name} has to hold tensors by name, and its configuration a dictionary.")
    return state_dict, metadata


def _list_files(
    source: str,
    weight_name: str | None,
    subfolder: str | None,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike | None = None,
    local_files_only: bool = False,
    **_: Any,
) -> list[str]:
    """The names of the files in a folder or a repository; offline, of the usual ones that are in the cache."""
    if os.path.isdir(source):
        return os.listdir(source)
    try:
        if local_files_only or constants.HF_HUB_OFFLINE:
            names = {*WEIGHT_NAMES, PEFT_CONFIG_NAME, weight_name} - {None}
            paths = {name: Path(subfolder or "", name).as_posix() for name in names}
            return [
                name
                for name, path in paths.items()
                if isinstance(try_to_load_from_cache(source, path, cache_dir, revision), str)
            ]
        paths = [Path(name) for name in list_repo_files(source, revision=revision, token=token)]
        return [path.name for path in paths if path.parent == Path(subfolder or "")]
    except (HFValidationError, RepositoryNotFoundError) as error:
        raise FileNotFoundError(
            f"There is neither a file or folder nor a Hub repository {source!r} that you have access to. For a private or gated"
            " one log in with `hf auth login`, or give `token=`."
        ) from error


def _strip_prefixes(values: dict[str, Any]) -> dict[str, Any]:
    """The tensors or options by the names that they have in the transformer or in PEFT."""
    stripped = {key.removeprefix(_DIFFUSERS_PREFIX).removeprefix(_PEFT_PREFIX): value for key, value in values.items()}
    if len(stripped) < len(values):
        raise ValueError("The LoRA has the same layers under names of Diffusers and of PEFT: keep one of both.")
    return stripped


def _check_metadata(options: dict[str, Any]) -> dict[str, Any]:
    """The options that PEFT knows. Raises a `ValueError` where it can't make a plain LoRA of them."""
    if options.get("peft_type", "LORA") != "LORA":
        raise ValueError(f"The adapter is a {options['peft_type']}, not a LoRA.")
    if options.get("init_lora_weights", True) not in _INITIALIZATIONS:
        raise ValueError(
            f"The LoRA was started with `init_lora_weights={options['init_lora_weights']!r}`, and adds to base weights that"
            " are not in its file. Convert it to a plain one by `path_initial_model_for_weight_conversion` of PEFT's"
            " `save_pretrained`."
        )
    known = {field.name for field in dataclasses.fields(LoraConfig)}
    if unknown := sorted(name for name, value in options.items() if name not in known and value):
        raise ValueError(f"The LoRA's options {unknown} are not known to the installed version of PEFT.")
    # All weights are in the file, so their initialization does not matter.
    options = {name: value for name, value in options.items() if name in known} | {"init_lora_weights": True}
    try:
        config = LoraConfig(**options)
        for pattern in (*config.rank_pattern, *config.alpha_pattern):
            re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"The LoRA's `rank_pattern` or `alpha_pattern` has the key {error.pattern!r}: {error}"
        ) from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"The LoRA's configuration can't be used: {error}") from error
    return options


def _check_layers(transformer: nn.Module, weights: dict[str, torch.Tensor], options: dict[str, Any] | None):
    """Raises a `ValueError` unless every tensor has its place in the transformer, and every LoRA layer is whole."""
    if any(getattr(module, "fused_projections", False) for module in transformer.modules()):
        raise ValueError(
            "The transformer's attention projections are fused, so that LoRA layers of the single ones would have no"
            " effect: call `pipe.transformer.unfuse_qkv_projections()` first."
        )
    if not weights:
        raise ValueError("The LoRA is empty.")

    modules, layers, unfit = _find_layers(transformer), {}, []
    for key, weight in weights.items():
        match = re.fullmatch(rf"(.+)\.({_PARTS})", key)
        if match is None or match[1] not in modules:
            unfit.append(_DIFFUSERS_PREFIX + key)
        else:
            layers.setdefault(match[1], {})[match[2]] = tuple(weight.shape)
    if unfit:
        raise ValueError(
            f"{len(unfit)} of the LoRA's {len(weights)} keys fit no layer of the transformer: {_shorten(unfit)}. Right are keys"
            f" like `{_DIFFUSERS_PREFIX}transformer_blocks.0.attn1.to_q.lora_A.weight`, or PEFT's with `{_PEFT_PREFIX}`"
            f" instead of `{_DIFFUSERS_PREFIX}`, for linear layers and embeddings of this transformer, with the parts"
            " lora_A and lora_B. It may be the LoRA of another model, or of one with more blocks or controls."
        )

    if options is None:
        if any(isinstance(modules[name], nn.Embedding) for name in layers):
            raise ValueError(
                f"A LoRA of an embedding needs its configuration, e.g. PEFT's {PEFT_CONFIG_NAME} beside it."
            )
        found = {part for parts in layers.values() for part in parts}
        options = {"lora_bias": "lora_B.bias" in found, "use_dora": "lora_magnitude_vector" in found}
        options["rank_pattern"] = {f"^{name}": parts.get("lora_B.weight", [0])[-1] for name, parts in layers.items()}
    config, wrong = LoraConfig(**options), []
    for name, parts in layers.items():
        rank = config.rank_pattern.get(get_pattern_key(config.rank_pattern, name), config.r)
        expected = _expected_shapes(modules[name], rank, config)
        wrong += [
            f"{_DIFFUSERS_PREFIX}{name}.{part} is {parts.get(part, 'absent')}, but has to be {expected.get(part, 'absent')}"
            for part in sorted(expected.keys() | parts.keys())
            if parts.get(part) != expected.get(part)
        ]
    if wrong:
        raise ValueError(f"The LoRA does not fit the transformer, or its own configuration: {_shorten(wrong, '; ')}.")


def _expected_shapes(module: nn.Linear | nn.Embedding, rank: int, config: "LoraConfig") -> dict[str, tuple[int, ...]]:
    if isinstance(module, nn.Embedding):
        return {"lora_embedding_A": (rank, module.num_embeddings), "lora_embedding_B": (module.embedding_dim, rank)}
    shapes = {"lora_A.weight": (rank, module.in_features), "lora_B.weight": (module.out_features, rank)}
    if config.lora_bias:
        shapes["lora_B.bias"] = (module.out_features,)
    if config.use_dora:
        shapes["lora_magnitude_vector"] = (module.out_features,)
    return shapes


def _find_layers(transformer: nn.Module) -> dict[str, nn.Module]:
    """The linear layers and embeddings by the names that they have without adapters."""
    return {
        name.removesuffix(".base_layer"): module
        for name, module in transformer.named_modules()
        if isinstance(module, (nn.Linear, nn.Embedding)) and ".lora_" not in name
    }


def _shorten(items: list[str], separator: str = ", ") -> str:
    rest = len(items) - _MAX_LISTED
    return separator.join(items[:_MAX_LISTED]) + (f" and {rest} more" if rest > 0 else "")
