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
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.loaders.lora_base import LoraBaseMixin, _pack_dict_with_prefix
from diffusers.utils import is_peft_available, logging
from diffusers.utils.peft_utils import get_peft_kwargs
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
from torch import nn

from ..models.transformer_jasco import JascoTransformerModel
from ..utils.errors import list_names
from ..utils.optional_imports import import_optional
from .lora_files import PEFT_CONFIG_NAME, PEFT_PREFIX, find_lora_file, read_lora_file
from .lora_words import (
    VOCABULARY,
    LoraWords,
    add_prefix,
    check_words,
    fingerprint,
    install_words,
    split_off_words,
    words_of,
)


if is_peft_available():
    from peft import LoraConfig, inject_adapter_in_model
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import get_peft_model_state_dict

logger = logging.get_logger(__name__)

# Other initializations also modify the base weights, which a LoRA file does not contain.
_INITIALIZATIONS = (True, False, "gaussian", "orthogonal", "eva")


class JascoLoraLoaderMixin(LoraBaseMixin):
    """
    Loads, saves, fuses and unloads LoRA layers of [`JascoTransformerModel`] in Diffusers' and PEFT's formats, with the
    same methods as Diffusers' pipelines. There are two differences: a LoRA that only partially fits the transformer
    raises an error, and a LoRA may add words to a word tokenizer, which knows them while the LoRA is active or fused.
    """

    _lora_loadable_modules = ["transformer"]
    transformer_name = "transformer"
    # Pairs of a LoRA layer and its scaling factors by adapter.
    _scalings_before_fusing = ()

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
        Reads a LoRA. Keys in the format of PEFT (`base_model.model.…`) and
        [`~JascoTransformerModel.save_lora_adapter`] (no prefix) are converted to Diffusers' (`transformer.…`).
        Embeddings of new words have keys `text_encoder.words.<word>`.

        Args:
            pretrained_model_name_or_path_or_dict (`str`, `os.PathLike` or `dict`):
                A file, a folder, a Hub repository, or a state dict.
            weight_name (`str`, *optional*): Name of the file, if the folder or repository has more than one.
            subfolder (`str`, *optional*): Subfolder of the file within the folder or repository.
            use_safetensors (`bool`, *optional*):
                `True` for safetensors only, `False` for pickled weights. By default, pickled weights are only read
                from a file that is named explicitly. No code in them is executed.
            return_lora_metadata (`bool`, defaults to `False`): Whether to also return the LoRA's configuration, or
                `None`.
            hub:
                `revision`, `token`, `cache_dir`, `force_download` and `local_files_only` of
                [`DiffusionPipeline.from_pretrained`], for Hub repositories.

        Raises:
            `ValueError`: if there are several candidate files, or the configuration can't be read.
            `OSError`: if the file does not exist or can't be read.
        """
        state_dict, metadata = pretrained_model_name_or_path_or_dict, None
        if not isinstance(state_dict, dict):
            try:
                path = find_lora_file(state_dict, weight_name, subfolder, use_safetensors, **hub)
            except (HFValidationError, RepositoryNotFoundError) as error:
                raise FileNotFoundError(
                    f"{str(state_dict)!r} is neither a file or folder nor a Hub repository that you have access to."
                    " For a private or gated repository, log in with `hf auth login`, or pass `token=`."
                ) from error
            state_dict, metadata = read_lora_file(path)
        layers, words = split_off_words(state_dict)
        state_dict = _pack_dict_with_prefix(_strip_prefixes(layers), cls.transformer_name) | add_prefix(words)
        if metadata is not None:
            vocabulary = {VOCABULARY: metadata.pop(VOCABULARY)} if VOCABULARY in metadata else {}
            metadata = _pack_dict_with_prefix(_strip_prefixes(metadata), cls.transformer_name) | vocabulary
        return (state_dict, metadata) if return_lora_metadata else state_dict

    def load_lora_weights(
        self,
        pretrained_model_name_or_path_or_dict: str | os.PathLike | dict[str, torch.Tensor],
        adapter_name: str | None = None,
        hotswap: bool = False,
        low_cpu_mem_usage: bool = True,
        **kwargs: Any,
    ):
        """
        Loads a LoRA into the transformer and activates it, by default under the name `default_0`, `default_1`, …
        `kwargs` are those of [`~JascoLoraLoaderMixin.lora_state_dict`].

        Raises:
            `ValueError`: if the LoRA does not fit the transformer (the message lists the keys), or its new words do
                not fit the text encoder.
            `OSError`: if the file does not exist or can't be read.
            `ImportError`: if PEFT is not installed.
        """
        _require_peft()
        kwargs["return_lora_metadata"] = True
        weights, options = self.lora_state_dict(pretrained_model_name_or_path_or_dict, **kwargs)
        if adapter_name is None:
            # Diffusers numbers by the adapter count, which could reuse an existing name after a deletion.
            loaded = getattr(self.transformer, "peft_config", {})
            adapter_name = next(name for i in itertools.count() if (name := f"default_{i}") not in loaded)
        if not adapter_name or "." in adapter_name:
            raise ValueError(f"`adapter_name` has to be a nonempty string without a dot, but is {adapter_name!r}.")
        layers, words = split_off_words(weights)
        weights = _strip_prefixes(layers)
        vocabulary = None if options is None else options.pop(VOCABULARY, None)
        options = _infer_options(weights) if options is None else _check_options(_strip_prefixes(options))
        with _ignore_peft_warnings(options):
            _check_layers(self.transformer, weights, options)
        state = words_of(self.transformer)
        num_installed = 0 if state is None else state.num_installed
        check_words(words, vocabulary, self.tokenizer, self.text_encoder, num_installed)
        with _ignore_peft_warnings(options):
            self.transformer.load_lora_adapter(
                weights,
                prefix=None,
                adapter_name=adapter_name,
                metadata=options,
                _pipeline=self,
                low_cpu_mem_usage=low_cpu_mem_usage,
                hotswap=hotswap,
            )
        if words and state is None:
            self.transformer.lora_words = LoraWords(vocabulary=fingerprint(self.tokenizer))
        if words or state is not None:
            self.transformer.lora_words.adapters[adapter_name] = words
            self._install_words()

    @classmethod
    def save_lora_weights(
        cls,
        save_directory: str | os.PathLike,
        transformer_lora_layers: nn.Module | dict[str, torch.Tensor] | None = None,
        transformer_lora_adapter_metadata: dict[str, Any] | None = None,
        adapter_name: str | None = None,
        **kwargs: Any,
    ):
        r"""
        Saves a LoRA, including its configuration and its new words, as `pytorch_lora_weights.safetensors`.

        Args:
            save_directory (`str` or `os.PathLike`): Folder, which is created if it does not exist.
            transformer_lora_layers (`torch.nn.Module` or `dict[str, torch.Tensor]`):
                The transformer, or a state dict as returned by [`peft.get_peft_model_state_dict`].
            transformer_lora_adapter_metadata (`dict`, *optional*):
                `transformer.peft_config[adapter_name].to_dict()`, for a state dict. Without it, the file does not
                contain alpha, which then defaults to the rank when the LoRA is loaded.
            adapter_name (`str`, *optional*): Adapter to save, if the transformer has several.
            kwargs: `weight_name`, `safe_serialization`, `save_function` and `is_main_process` of Diffusers' loaders.

        Raises:
            `ValueError`: if there are no LoRA layers, if there are several adapters and no `adapter_name`, or if
                `save_directory` is a file.
        """
        _require_peft()
        if os.path.isfile(save_directory):
            raise ValueError(f"`save_directory` has to be a folder, but {save_directory} is a file.")
        layers, metadata = transformer_lora_layers, transformer_lora_adapter_metadata
        adapters = getattr(layers, "peft_config", {})
        name = next(iter(adapters)) if adapter_name is None and len(adapters) == 1 else adapter_name
        state, words = words_of(layers), {}
        if name in adapters:
            metadata = adapters[name].to_dict()
            with _ignore_peft_warnings(metadata):
                layers = get_peft_model_state_dict(layers, adapter_name=name)
            words = {} if state is None else add_prefix(state.adapters.get(name, {}))
        if not isinstance(layers, dict) or not layers:
            raise ValueError(
                "`transformer_lora_layers` has to be a transformer with a single adapter or the adapter `adapter_name`"
                f" ({adapter_name!r}), or a state dict. Its adapters are: {list(adapters) or 'none'}."
            )
        if metadata is None and not any(key.endswith(".alpha") for key in layers):
            logger.warning(
                "The file will not contain the alpha of the LoRA, which defaults to the rank at loading: if they"
                " differ, the LoRA will sound different. Pass the transformer instead of a state dict, or"
                " `transformer_lora_adapter_metadata=transformer.peft_config[adapter_name].to_dict()`."
            )
        packed = {cls.transformer_name: _strip_prefixes(layers)}
        packed_metadata = {cls.transformer_name: metadata}
        if words:
            prefix, _, key = VOCABULARY.partition(".")
            packed[prefix] = {name.removeprefix(f"{prefix}."): value for name, value in words.items()}
            packed_metadata[prefix] = {key: state.vocabulary}
        cls._save_lora_weights(save_directory, packed, packed_metadata, **kwargs)

    def set_adapters(self, adapter_names: list[str] | str, adapter_weights: Any = None):
        """
        Like Diffusers' method, but raises a `ValueError` while a LoRA is fused, which could not be unfused afterwards.
        """
        _require_peft()
        self._check_not_fused(self.fused_loras)
        super().set_adapters(adapter_names, adapter_weights)
        self._install_words()

    def delete_adapters(self, adapter_names: list[str] | str):
        """Like Diffusers' method, but raises a `ValueError` if an adapter is not loaded, or while a LoRA is fused."""
        _require_peft()
        self._check_not_fused(self.fused_loras)
        names = [adapter_names] if isinstance(adapter_names, str) else adapter_names
        self._check_loaded(names)
        super().delete_adapters(adapter_names)
        if (state := words_of(self.transformer)) is not None:
            for name in names:
                state.adapters.pop(name, None)
            self._install_words()

    def enable_lora(self):
        """Like Diffusers' method: re-enables the active adapters and their words."""
        _require_peft()
        super().enable_lora()
        self._install_words()

    def disable_lora(self):
        """Like Diffusers' method: disables all adapters and their words, except for fused ones."""
        _require_peft()
        super().disable_lora()
        self._install_words()

    def fuse_lora(
        self,
        components: list[str] = ["transformer"],
        lora_scale: float = 1.0,
        safe_fusing: bool = False,
        adapter_names: list[str] | None = None,
    ):
        """
        Fuses adapters, by default the active ones, into the weights of the transformer, which removes their overhead.
        The arguments are those of Diffusers' [`~loaders.LoraBaseMixin.fuse_lora`]. A `scale` in `attention_kwargs` has
        no effect on fused adapters.

        Raises:
            `ValueError`: if an adapter is not loaded, is already fused, or can't be fused by PEFT (NaN with
                `safe_fusing`, a LoRA with biases). In that case no adapter is fused.
        """
        _require_peft()
        names = self.get_active_adapters() if adapter_names is None else adapter_names
        self._check_loaded(names)
        self._check_not_fused(names)
        layers = [layer for layer in self.transformer.modules() if isinstance(layer, BaseTunerLayer)]
        if not self.fused_loras:
            self._scalings_before_fusing = [(layer, dict(layer.scaling)) for layer in layers]
        # Diffusers would scale the active adapters instead of those to fuse, and would not restore the scale.
        for layer in layers:
            layer.scaling.update({name: layer.scaling[name] * lora_scale for name in names if name in layer.scaling})
        try:
            super().fuse_lora(components, safe_fusing=safe_fusing, adapter_names=names)
        except Exception:
            self.unfuse_lora(components)  # some layers may be fused already
            raise
        self._install_words()

    def unfuse_lora(self, components: list[str] = ["transformer"]):
        """Removes fused adapters from the weights of the transformer (the only component with LoRA layers)."""
        super().unfuse_lora(components)
        for layer, scaling in self._scalings_before_fusing:
            layer.scaling.update(scaling)
        self._scalings_before_fusing = ()
        self._install_words()

    def unload_lora_weights(self):
        """
        Removes all adapters and their words. Fused adapters stay in the weights, and their words in the vocabulary,
        unless `unfuse_lora` is called first.
        """
        _require_peft()
        super().unload_lora_weights()
        if words_of(self.transformer) is not None:
            install_words(self.transformer, self.tokenizer, self.text_encoder, self.fused_loras)
            del self.transformer.lora_words
        self._merged_adapters, self._scalings_before_fusing = set(), ()

    def _share_fused_loras(self, pipeline: Any):
        """Marks the adapters as fused that another pipeline with the same transformer has fused."""
        self._merged_adapters = set(getattr(pipeline, "fused_loras", ()))
        self._scalings_before_fusing = getattr(pipeline, "_scalings_before_fusing", ())

    def _install_words(self):
        """
        Installs the words of the enabled and fused adapters, and no others, in the tokenizer and the text encoder.
        """
        layers = [layer for layer in self.transformer.modules() if isinstance(layer, BaseTunerLayer)]
        active = {name for layer in layers if not layer.disable_adapters for name in layer.active_adapters}
        install_words(self.transformer, self.tokenizer, self.text_encoder, active | self.fused_loras)

    def _check_loaded(self, names: list[str]):
        loaded = list(getattr(self.transformer, "peft_config", {}))
        if not loaded or not set(names) <= set(loaded):
            raise ValueError(f"The adapters {names} are not loaded. Loaded adapters: {loaded or 'none'}.")

    def _check_not_fused(self, names: Iterable[str]):
        if fused := sorted(self.fused_loras.intersection(names)):
            raise ValueError(f"The adapters {fused} are fused: call `unfuse_lora` first.")


def _require_peft():
    import_optional("peft", "train")


@contextmanager
def _ignore_peft_warnings(options: dict[str, Any]) -> Iterator[None]:
    """Suppresses PEFT's warnings about supported configurations: a second adapter, and biases in LoRA layers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Already found a `peft_config` attribute")
        if options.get("lora_bias"):
            # `fuse_lora` reports that biases can't be fused. PEFT mistakes 1-D tensors for ZeRO-3 partitions.
            warnings.filterwarnings("ignore", message="`lora_bias=True` was passed")
            warnings.filterwarnings("ignore", message=r"Adapter '.*': \d+ LoRA tensor\(s\) have invalid shape")
        yield


def _strip_prefixes(values: dict[str, Any]) -> dict[str, Any]:
    """Removes Diffusers' and PEFT's prefixes from the keys of tensors or options."""
    stripped = {key.removeprefix("transformer.").removeprefix(PEFT_PREFIX): value for key, value in values.items()}
    if len(stripped) < len(values):
        raise ValueError("The LoRA has the same layers under Diffusers' and PEFT's keys: remove one of the two.")
    return stripped


def _check_options(options: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments of `LoraConfig`; raises a `ValueError` for options that would change the LoRA's effect."""
    if options.get("init_lora_weights", True) not in _INITIALIZATIONS:
        raise ValueError(
            f"The LoRA was initialized with `init_lora_weights={options['init_lora_weights']!r}`, which modifies base"
            " weights that are not in its file. Convert it to a standard LoRA with"
            " `path_initial_model_for_weight_conversion` of PEFT's `save_pretrained`."
        )
    known = {field.name for field in dataclasses.fields(LoraConfig)}
    if unknown := sorted(name for name, value in options.items() if name not in known and value):
        raise ValueError(f"The LoRA's options {unknown} are not supported by the installed version of PEFT.")
    # All weights are in the file, so their initialization does not matter.
    return {name: value for name, value in options.items() if name in known} | {"init_lora_weights": True}


def _infer_options(weights: dict[str, torch.Tensor]) -> dict[str, Any]:
    ranks = {f"^{key}": weight.shape[-1] for key, weight in weights.items() if key.endswith(".lora_B.weight")}
    logger.warning(
        "The LoRA does not contain its alpha, which is assumed to equal its rank. Save it with"
        " `transformer_lora_adapter_metadata` in `save_lora_weights`, or put PEFT's"
        f" {PEFT_CONFIG_NAME} in the same folder."
    )
    return get_peft_kwargs(ranks, None, weights) if ranks else {}


def _check_layers(transformer: nn.Module, weights: dict[str, torch.Tensor], options: dict[str, Any]):
    """Raises a `ValueError` unless the tensors are exactly those that PEFT creates for these layers."""
    if any(getattr(module, "fused_projections", False) for module in transformer.modules()):
        raise ValueError(
            "The transformer's attention projections are fused, so LoRA layers of the separate projections would have"
            " no effect: call `pipe.transformer.unfuse_qkv_projections()` first."
        )
    if not weights:
        raise ValueError("The LoRA is empty.")
    with torch.device("meta"):
        model = JascoTransformerModel.from_config(transformer.config)
        layers = {name for name, module in model.named_modules() if isinstance(module, (nn.Linear, nn.Embedding))}
        fitting = {key: weight for key, weight in weights.items() if key.rpartition(".lora_")[0] in layers}
        if fitting:
            inject_adapter_in_model(LoraConfig(**options), model, state_dict=fitting)
    # Excludes the model's own weights (`modules_to_save`, `bias`), which would remain after the LoRA is unloaded.
    shapes = get_peft_model_state_dict(model, adapter_name="default") if fitting else {}
    shapes = {key: tuple(weight.shape) for key, weight in shapes.items() if ".lora_" in key}
    if unfit := [f"transformer.{key}" for key in weights if key not in shapes]:
        raise ValueError(
            f"{len(unfit)} of the LoRA's {len(weights)} keys fit no layer of the transformer: {list_names(unfit)}."
            " Keys have to be like `transformer.transformer_blocks.0.attn1.to_q.lora_A.weight` (or PEFT's, with"
            " `base_model.model.` instead of `transformer.`), for linear layers and embeddings of this"
            " transformer, with lora_A and lora_B. The LoRA may belong to another model, or to one with more blocks"
            " or controls."
        )
    found = {key: tuple(weights[key].shape) if key in weights else "absent" for key in shapes}
    wrong = [
        f"transformer.{key} is {found[key]}, but has to be {shape}"
        for key, shape in shapes.items()
        if found[key] != shape
    ]
    if wrong:
        raise ValueError(f"The LoRA does not fit the transformer or its own configuration: {list_names(wrong)}.")
