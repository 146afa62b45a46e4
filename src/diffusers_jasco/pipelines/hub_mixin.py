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

"""Publishing a pipeline on the Hugging Face Hub: its card, its license, and files to load it without an import."""

import functools
import json
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from diffusers.utils import PushToHubMixin, logging
from huggingface_hub import CommitInfo

from ..codecs import num_channels
from ..controls.chord_labels import NO_CHORD, UNKNOWN_CHORD
from ..utils.files import variant_of
from ..utils.hub import HubRepository, tidy_configs


logger = logging.get_logger(__name__)

# Everything derived from Meta's weights is under their license.
RELEASED_WEIGHTS = re.compile(r"facebook/jasco-.+")
RELEASED_LICENSE = "cc-by-nc-4.0"
TAGS = ["jasco", "music", "text-to-music"]


class JascoPipelineHubMixin(PushToHubMixin):
    """`push_to_hub` and `save_pretrained(..., push_to_hub=True)` of a pipeline, with a card that says how to use it."""

    def push_to_hub(
        self,
        repo_id: str,
        commit_message: str | None = None,
        private: bool | None = None,
        token: str | None = None,
        create_pr: bool = False,
        safe_serialization: bool = True,
        variant: str | None = None,
        subfolder: str | None = None,
        **kwargs: Any,
    ) -> CommitInfo:
        r"""
        Publishes the pipeline on the Hugging Face Hub, in one commit and with a card. The arguments are those of Diffusers'
        `push_to_hub` (where `private=True` is an error for a public repository) and, as keywords:

        Args:
            max_shard_size (`int` or `str`, *optional*):
                Larger weights are split, for example at `"2GB"`.
            revision (`str`, *optional*):
                Branch to write to; it is created from the main one if it does not exist.
            license (`str`, *optional*):
                License as the Hub names it, such as `"apache-2.0"`. Weights derived from Meta's are under
                `"cc-by-nc-4.0"`, which need not be given.
            base_model (`str`, *optional*):
                Hub id of the model from which this one was converted or trained. By default the one that it was
                converted or loaded from, if that is known.
            standalone (`bool`, defaults to `False`):
                Whether to add files through which `DiffusionPipeline.from_pretrained(..., trust_remote_code=True)` loads
                the pipeline without an `import diffusers_jasco` before (the package has to be installed nevertheless). Then
                nothing loads it without `trust_remote_code=True`.

        Returns:
            `huggingface_hub.CommitInfo`: the commit, or the pull request.

        Raises:
            `ValueError`: if `license` contradicts `base_model`, the repository is public although `private=True`, or a
            standalone pipeline is to be in a `subfolder`.
        """
        kwargs |= {"repo_id": repo_id, "commit_message": commit_message, "private": private, "token": token}
        kwargs |= {"create_pr": create_pr, "subfolder": subfolder, "push_to_hub": True}
        with tempfile.TemporaryDirectory() as folder:
            return cast(CommitInfo, self.save_pretrained(folder, safe_serialization, variant, **kwargs))

    def save_pretrained(
        self,
        save_directory: str | os.PathLike,
        safe_serialization: bool = True,
        variant: str | None = None,
        max_shard_size: int | str | None = None,
        push_to_hub: bool = False,
        use_flashpack: bool = False,
        **kwargs: Any,
    ) -> CommitInfo | None:
        r"""
        Writes all components to a folder. This is [`DiffusionPipeline.save_pretrained`]; check there for the arguments.

        With `push_to_hub=True` the folder is also published: `kwargs` are those arguments of
        [`~JascoPipeline.push_to_hub`] that are not named here, `repo_id` is by default the folder's name, and the commit is
        returned. A `README.md` that you wrote in this folder becomes the repository's card.
        """
        save = functools.partial(
            super().save_pretrained,
            save_directory,
            safe_serialization,
            variant,
            max_shard_size,
            use_flashpack=use_flashpack,
        )
        if not push_to_hub:
            return save()
        folder = Path(save_directory).absolute()
        return self._publish(folder, save, variant, **{"repo_id": folder.name} | kwargs)

    def _publish(
        self,
        folder: Path,
        save: Callable[[], None],
        variant: str | None,
        license: str | None = None,
        base_model: str | None = None,
        standalone: bool = False,
        subfolder: str | None = None,
        commit_message: str | None = None,
        create_pr: bool = False,
        **options: Any,
    ) -> CommitInfo:
        if standalone and subfolder is not None:
            raise ValueError("`standalone=True` is for a pipeline at the top of its repository, not in a `subfolder`.")
        base_model = base_model or find_base_model(self)
        license = check_license(license, base_model)
        if base_model is None and self.config.get("audiocraft") and not (license or "").startswith("cc-by-nc"):
            logger.warning(
                "This model came from AudioCraft, and it is not known from where. If it derives from Meta's weights, it is"
                f" under {RELEASED_LICENSE}: give `base_model`, for example 'facebook/jasco-chords-drums-400M'."
            )
        # Anything wrong with the repository shows before files are written.
        repository = HubRepository(**options)
        save()
        tidy_configs(folder, variant)
        if standalone:
            make_standalone(folder)
        if subfolder is None:
            has_default = variant is None or any(variant_of(name) == "" for name in repository.files)
            text = describe_pipeline(self, repository.id, None if has_default else variant, standalone)
            metadata = {"license": license, "base_model": base_model, "pipeline_tag": "text-to-audio"}
            repository.write_card(folder, text, TAGS, **metadata)
        message = commit_message or f"Upload {type(self).__name__}"
        return repository.upload(folder, subfolder, commit_message=message, create_pr=create_pr)


def find_base_model(pipeline: Any) -> str | None:
    """The repository in AudioCraft's layout that a pipeline came from, or that of Meta that it was loaded from."""
    if original := (pipeline.config.get("audiocraft") or {}).get("base_model"):
        return original
    names = (part.config.get("_name_or_path") for part in (pipeline, pipeline.transformer))
    return next((name for name in names if RELEASED_WEIGHTS.fullmatch(str(name))), None)


def check_license(license: str | None, base_model: str | None) -> str | None:
    r"""
    The license to state in a card: `license`, and by default `"cc-by-nc-4.0"` for weights derived from Meta's.

    Raises:
        `ValueError`: for a license that allows more than that of Meta's weights.
    """
    license = license and license.lower()
    if not RELEASED_WEIGHTS.fullmatch(base_model or ""):
        return license
    if license is not None and not license.startswith("cc-by-nc"):
        raise ValueError(
            f"`license` is {license!r}, but {base_model} is under {RELEASED_LICENSE}, and so is everything derived from it:"
            " leave `license` out."
        )
    return license or RELEASED_LICENSE


def make_standalone(folder: Path):
    """
    Adds to a saved pipeline the files that `DiffusionPipeline.from_pretrained(folder, trust_remote_code=True)` needs to load
    it in a process that has not imported this package: they import our classes.
    """

    def write_import(path: Path, name: str):
        path.write_text(f'from diffusers_jasco import {name}\n\n\n__all__ = ["{name}"]\n')

    index_file = Path(folder, "model_index.json")
    index = json.loads(index_file.read_text())
    for component, entry in index.items():
        if isinstance(entry, list) and entry[0] == "diffusers_jasco":
            # Each has a name of its own, as Diffusers copies those of all components to one place.
            entry[0] = f"load_{component}"
            write_import(Path(folder, component, f"{entry[0]}.py"), entry[1])
    index["_class_name"] = ["pipeline", "JascoPipeline"]
    write_import(Path(folder, "pipeline.py"), "JascoPipeline")
    index_file.write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


def describe_pipeline(pipeline: Any, repo_id: str, variant: str | None = None, standalone: bool = False) -> str:
    """The text of a pipeline's card: inputs, outputs, defaults, and an example that loads it from `repo_id` and runs."""
    config, transformer, rate = pipeline.config, pipeline.transformer, pipeline.sampling_rate
    duration = transformer.config.sample_size / pipeline.frame_rate
    num = num_channels(pipeline.codec)
    channels = {1: "mono", 2: "stereo"}.get(num, f"{num} channels")
    steps = f"{config.default_num_inference_steps}"
    if "rtol" in pipeline.scheduler.config:
        steps = f"chosen by the solver (`rtol` {pipeline.scheduler.config.rtol:g})"
    parameters = sum(parameter.numel() for parameter in transformer.parameters())
    rows, arguments = "", ""
    for name in transformer.controls:
        description, argument = _describe_control(pipeline, name, duration)
        rows += f"| `{name}` | {description} |\n"
        arguments += f"    {name}={argument},\n"
    load, package = ("DiffusionPipeline", "diffusers") if standalone else ("JascoPipeline", "diffusers_jasco")
    load_arguments = f', variant="{variant}"' * (variant is not None) + ", trust_remote_code=True" * standalone
    return f"""
# {repo_id.split("/")[-1]}

[JASCO](https://arxiv.org/abs/2406.10970) for Diffusers: {duration:g} second{"s" * (duration != 1)} of music ({channels}, {rate} Hz)
from words{"".join(f", {name}" for name in transformer.controls)}. Needs the package `diffusers-jasco`.

```python
import torch
from {package} import {load}
from diffusers_jasco import export_audio

pipe = {load}.from_pretrained("{repo_id}"{load_arguments})
audio = pipe(
    "80s pop, groovy synth bass",
{arguments}).audios[0]
export_audio(audio, "song.wav", pipe.sampling_rate, loudness=-14)
```

| argument | accepts |
|---|---|
| `prompt` | a description of the music |
{rows}
All arguments are optional. The model was trained on clips of {duration:g} s; `duration` sets another length.

| default | |
|---|---|
| `scheduler` | `{type(pipeline.scheduler).__name__}` |
| `num_inference_steps` | {steps} |
| `guidance_scale` (all conditions) | {config.default_guidance_scale:g} |
| `text_guidance_scale` (text only) | {config.default_text_guidance_scale:g} |
| `guidance_rescale` | {config.default_guidance_rescale:g} |
| sampling rate | {rate} Hz |
| parameters of the transformer | {parameters / 1e6:.3g} M |
"""


def _describe_control(pipeline: Any, name: str, duration: float) -> tuple[str, str]:
    """The accepted values of a control, and one of them for an example of that duration, as Python code."""
    config, rate = pipeline.transformer.config, pipeline.sampling_rate
    starts = [duration * i / 4 for i in range(5)]
    if name == "chords":
        number = len(set(config.chord_labels) - {NO_CHORD, UNKNOWN_CHORD})
        example = ", ".join(f'("{chord}", {start:g})' for chord, start in zip(("C", "Am", "F", "G"), starts))
        return (
            'a progression: `[(label, start in seconds), ...]`, `"C:0 Am:2.5"`, a `.lab`, `.jams` or `.mid` file. It knows'
            f" {number} chords; others become the nearest one",
            f"[{example}]",
        )
    if name == "drums":
        samples = round(duration * rate)
        return (
            "a recording of drums alone: a file or `(waveform, sampling_rate)`. Its rhythm is followed, not its sound",
            f"((torch.arange({samples}) % {rate // 2} < {rate // 100}).float(), {rate})",
        )
    notes = zip(("E4", "C4", "A4", "G4"), starts, starts[1:])
    return (
        'one line of notes from G2 to B6: `[("C4", start, end), ...]`, a `.mid` file, or a matrix of'
        f" {config.melody_bins} pitches by frames ({pipeline.frame_rate:g} per second)",
        "[" + ", ".join(f'("{note}", {start:g}, {end:g})' for note, start, end in notes) + "]",
    )
