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

"""`from_pretrained`, `from_pipe` and the default call arguments of pipelines."""

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from accelerate.hooks import CpuOffload
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from transformers.utils import logging as transformers_logging

from ..guiders import JascoGuidance
from ..guiders.jasco_guidance import SCALES
from ..loaders.audiocraft import HUB_ARGUMENTS, find_audiocraft_checkpoint, load_audiocraft_pipeline
from ..loaders.lora_files import WEIGHT_NAMES
from ..schedulers.scheduling_flow_match_euler import FlowMatchEulerScheduler
from ..schedulers.steps import STEPS_KEY, default_steps, set_default_steps, stored_steps, with_default_steps
from ..utils.bundled import resolve_checkpoint


class JascoPipelineLoadingMixin(DiffusionPipeline):
    """`from_pretrained`, `from_pipe` and the default call arguments, which are stored in the components."""

    scheduler: Any
    guider: Any

    @property
    def defaults(self) -> dict[str, Any]:
        r"""
        The default call arguments: `num_inference_steps` from the scheduler's configuration (`None` if the scheduler
        is adaptive) and the guidance scales of the `guider` component.
        """
        guider = self.guider or JascoGuidance()
        steps = {"num_inference_steps": default_steps(self.scheduler)}
        return steps | {name: getattr(guider, name) for name in SCALES}

    def set_defaults(
        self,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        text_guidance_scale: float | None = None,
        guidance_rescale: float | None = None,
    ):
        r"""
        Changes [`defaults`]. They are saved with the pipeline; pipelines that share its components are not affected.
        A grid in the scheduler's configuration that has another number of steps is removed, with a warning.

        Args:
            num_inference_steps (`int`, *optional*), guidance_scale (`float`, *optional*), \
            text_guidance_scale (`float`, *optional*), guidance_rescale (`float`, *optional*): new values; the others
                stay unchanged.

        Raises:
            [`~inputs.InputError`]: for a value that a call would not accept.
        """
        if num_inference_steps is not None:
            scheduler = copy.deepcopy(self.scheduler)
            set_default_steps(scheduler, num_inference_steps)
            self.scheduler = scheduler
        scales = zip(SCALES, (guidance_scale, text_guidance_scale, guidance_rescale))
        if given := {name: scale for name, scale in scales if scale is not None}:
            guider = copy.copy(self.guider) or JascoGuidance()
            for name, scale in given.items():
                setattr(guider, name, scale)
            self.guider = guider

    def __setattr__(self, name: str, value: Any):
        if name == "scheduler":
            # A scheduler without a number of steps inherits that of its predecessor.
            value = with_default_steps(value, stored_steps(self.__dict__.get("scheduler")))
        if name in self._optional_components and value is not None and self.__dict__.get(name, value) is None:
            # Diffusers would still record the component as missing and not save it.
            self.__dict__[name] = value
            return self.register_modules(**{name: value})
        super().__setattr__(name, value)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any) -> Any:
        r"""
        Loads a pipeline from a folder or a Hub repository, either in Diffusers' layout (written by `save_pretrained`)
        or in AudioCraft's layout (`state_dict.bin` and `compression_state_dict.bin`, or the `checkpoint.th` of a
        training run), which is converted on the fly.

        Args:
            pretrained_model_name_or_path (`str` or `os.PathLike`):
                Folder, Hub id or `checkpoint.th`; or `"jasco-nano"`, the model that ships with this package, or
                `"jasco-nano-teacher"`, which it was distilled from. A pipeline folder within another one shares the
                components that it lacks.
            kwargs:
                Arguments of [`DiffusionPipeline.from_pretrained`]. For AudioCraft's layout: components (`codec`,
                `text_encoder`, `tokenizer`, `scheduler`, `guider`, `tempo_model`) that replace those of the checkpoint,
                `dtype` (default: float32), `cache_dir`, `revision`, `token`, `local_files_only` and `force_download`.

        Raises:
            `FileNotFoundError`: if the folder or repository does not exist.
            `PermissionError`: for a gated repository without access.
            `ValueError`: for a file in AudioCraft's layout that is not a JASCO checkpoint.
        """
        pretrained_model_name_or_path = resolve_checkpoint(pretrained_model_name_or_path)
        hub = {name: kwargs[name] for name in HUB_ARGUMENTS if name in kwargs}
        checkpoint = find_audiocraft_checkpoint(pretrained_model_name_or_path, **hub)
        if checkpoint is None:
            _check_folder(pretrained_model_name_or_path)
            kwargs = cls._shared_components(pretrained_model_name_or_path, kwargs) | kwargs
            with _single_progress_bar():
                pipeline = super().from_pretrained(pretrained_model_name_or_path, **kwargs)
            if "scheduler" in kwargs and stored_steps(pipeline.scheduler) is None:
                with suppress(OSError):
                    saved = FlowMatchEulerScheduler.load_config(
                        pretrained_model_name_or_path, subfolder="scheduler", **hub
                    )
                    pipeline.scheduler = with_default_steps(pipeline.scheduler, saved.get(STEPS_KEY))
            return pipeline

        components = {name: kwargs.pop(name) for name in cls._get_signature_keys(cls)[0] if name in kwargs}
        dtype = kwargs.pop("dtype", kwargs.pop("torch_dtype", None)) or torch.float32
        if unknown := sorted(set(kwargs) - set(hub)):
            raise ValueError(f"{unknown} are not supported for a checkpoint in AudioCraft's layout.")
        loaded, arguments = load_audiocraft_pipeline(checkpoint, hub=hub, **components)
        dtypes = dtype if isinstance(dtype, dict) else {"default": dtype}
        for name in loaded.keys() - components.keys():
            if isinstance(loaded[name], torch.nn.Module):
                loaded[name].to(dtypes.get(name, dtypes.get("default", torch.float32)))
        if not os.path.exists(pretrained_model_name_or_path):
            arguments["audiocraft"]["base_model"] = os.fspath(pretrained_model_name_or_path)
        return cls(**loaded, **arguments)

    @classmethod
    def _shared_components(cls, folder: str | os.PathLike, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The components that a folder within another pipeline's folder lacks, from the latter."""
        if not os.path.isfile(Path(folder, "model_index.json")):
            return {}
        index = cls.load_config(folder)
        names = cls._get_signature_keys(cls)[0] - kwargs.keys()
        missing = [name for name in names if (index.get(name) or [None])[0] and not Path(folder, name).is_dir()]
        if not missing or not os.path.isfile(Path(folder).parent / "model_index.json"):
            return {}
        pipeline = super().from_pretrained(Path(folder).parent, **kwargs)
        return {name: pipeline.components[name] for name in missing}

    @classmethod
    def from_pipe(cls, pipeline: DiffusionPipeline, **kwargs: Any) -> Any:
        r"""
        Creates a pipeline that shares the modules of another one, including their LoRAs and model CPU offloading. Unlike
        [`DiffusionPipeline.from_pipe`], it keeps their dtypes by default, and copies the scheduler and the guider.

        Args:
            pipeline ([`DiffusionPipeline`]): the other pipeline.
            kwargs: components that replace those of `pipeline`; `dtype`, which casts the modules of both pipelines.

        Raises:
            `ValueError`: if a component is missing.
        """
        dtype = kwargs.pop("dtype", kwargs.pop("torch_dtype", None))
        names = cls._get_signature_keys(cls)[0]
        shared = {name: component for name, component in pipeline.components.items() if name in names}
        own = {name: copy.deepcopy(shared[name]) for name in ("scheduler", "guider") if name in shared}
        components = shared | own | kwargs
        if missing := sorted(names - components.keys() - set(cls._optional_components)):
            raise ValueError(
                f"`{type(pipeline).__name__}` does not have {', '.join(missing)}. Pass them as keyword arguments."
            )
        new = cls(**{"audiocraft": pipeline.config.get("audiocraft")} | components)
        if "_name_or_path" in pipeline.config:
            new.register_to_config(_name_or_path=pipeline.config["_name_or_path"])
        if new.transformer is shared.get("transformer"):
            new._share_fused_loras(pipeline)
        if hooks := _offload_hooks(pipeline):
            # Components that replace others have no hooks yet.
            new.enable_model_cpu_offload(device=hooks[0].execution_device)
        return new if dtype is None else new.to(dtype=dtype)

    def maybe_free_model_hooks(self):
        # Pipelines that share modules share their hooks: another one may have enabled or disabled model CPU offloading.
        self._all_hooks = _offload_hooks(self)
        if self._all_hooks:
            self._offload_device = self._all_hooks[0].execution_device
        super().maybe_free_model_hooks()


def _offload_hooks(pipeline: DiffusionPipeline) -> list[CpuOffload]:
    """Hooks of model CPU offloading, which `enable_model_cpu_offload` adds to the modules."""
    hooks = [getattr(component, "_hf_hook", None) for component in pipeline.components.values()]
    return [hook for hook in hooks if isinstance(hook, CpuOffload)]


@contextmanager
def _single_progress_bar() -> Iterator[None]:
    """Disables Transformers' bar for each model, which would be nested in Diffusers' bar for all components."""
    # Download progress bars are not affected.
    previous = transformers_logging.set_tqdm_hook(
        lambda factory, args, kwargs: factory(*args, **kwargs | {"disable": True})
    )
    try:
        yield
    finally:
        transformers_logging.set_tqdm_hook(previous)


def _check_folder(folder: str | os.PathLike):
    """Raises an error for a local folder that does not contain a pipeline."""
    if not os.path.isdir(folder) or os.path.isfile(Path(folder, "model_index.json")):
        return
    is_lora = any(os.path.isfile(Path(folder, name)) for name in WEIGHT_NAMES)
    raise FileNotFoundError(
        f"{os.fspath(folder)} is not a JASCO checkpoint: it has neither model_index.json nor AudioCraft's"
        " state_dict.bin."
        + (
            " It contains a LoRA: load a pipeline first, then call `load_lora_weights` (or pass `lora`)."
            if is_lora
            else ""
        )
    )
