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

import logging

import diffusers
from diffusers import ModelMixin, SchedulerMixin
from diffusers.pipelines.pipeline_loading_utils import ALL_IMPORTABLE_CLASSES, LOADABLE_CLASSES

from .audio import export_audio, load_audio
from .conditioning import JascoConditioning
from .guiders import AudiocraftGuidance, JascoGuidance
from .models.codec_spectral import SpectralCodecModel
from .models.tempo_model import JascoTempoModel
from .models.transformer_jasco import JascoTransformerModel
from .pipelines.auto_pipeline import register_auto_pipeline
from .pipelines.pipeline_jasco import JascoPipeline
from .pipelines.pipeline_jasco_audio2audio import JascoAudioToAudioPipeline
from .pipelines.pipeline_jasco_inpaint import JascoInpaintPipeline
from .schedulers.scheduling_flow_match_dopri5 import FlowMatchDopri5Scheduler
from .schedulers.scheduling_flow_match_euler import FlowMatchEulerScheduler
from .schedulers.scheduling_flow_match_multistep import FlowMatchMultistepScheduler
from .utils.version import __version__


__all__ = [
    "AudiocraftGuidance",
    "FlowMatchDopri5Scheduler",
    "FlowMatchEulerScheduler",
    "FlowMatchMultistepScheduler",
    "JascoAudioToAudioPipeline",
    "JascoConditioning",
    "JascoGuidance",
    "JascoInpaintPipeline",
    "JascoPipeline",
    "JascoTempoModel",
    "JascoTransformerModel",
    "SpectralCodecModel",
    "__version__",
    "export_audio",
    "load_audio",
    "register_auto_pipeline",
]

# Diffusers only loads components from registered libraries, and finds their load methods by the names of these
# classes.
_METHODS = ["save_pretrained", "from_pretrained"]
_LOADABLE = (ModelMixin, SchedulerMixin, JascoGuidance)
LOADABLE_CLASSES.setdefault("diffusers_jasco", {_class.__name__: _METHODS for _class in _LOADABLE})
ALL_IMPORTABLE_CLASSES.setdefault(JascoGuidance.__name__, _METHODS)
# `DiffusionPipeline.from_pretrained`, `AutoModel` and the schedulers' `compatibles` look up classes by name in
# `diffusers`.
for _class in (
    JascoPipeline,
    JascoInpaintPipeline,
    JascoAudioToAudioPipeline,
    JascoTransformerModel,
    JascoTempoModel,
    SpectralCodecModel,
    FlowMatchEulerScheduler,
    FlowMatchMultistepScheduler,
    FlowMatchDopri5Scheduler,
    JascoGuidance,
    AudiocraftGuidance,
):
    setattr(diffusers, _class.__name__, _class)


def _is_true(record: logging.LogRecord) -> bool:
    """Filters out two misleading warnings: one about an empty list of modules, one about the scheduler's steps."""
    message = record.getMessage()
    return "should be kept in float32: []" not in message and "'num_inference_steps'" not in message


for _name in ("diffusers.models.modeling_utils", "diffusers.configuration_utils"):
    logging.getLogger(_name).addFilter(_is_true)
