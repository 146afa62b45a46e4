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

"""Common calls show progress bars and nothing else."""

import importlib.util
import os
import subprocess
import sys

from .stderr import other_than_bars


# In the order of a first session; each step prints its name, so that a failure names the step.
SESSION = """
import sys
import torch
import diffusers_jasco
from diffusers import DiffusionPipeline
from diffusers_jasco import FlowMatchDopri5Scheduler, JascoPipeline, export_audio
from diffusers_jasco.extraction import extract_chords, extract_melody, separate_drums

def step(name):
    print(f"step: {name}", file=sys.stderr)

step("bfloat16")
pipe = JascoPipeline.from_pretrained("jasco-nano")
pipe.to(torch.bfloat16)
audio = pipe("80s pop", chords=[("C", 0.0), ("G", 1.0)], duration=2.0, num_inference_steps=2).audios[0].float()
step("export")
for suffix in ("wav", "flac", "mp3"):
    export_audio(audio, f"song.{suffix}", pipe.sampling_rate, loudness=-14)
step("saved folder")
pipe.to(torch.float32).save_pretrained("saved")
DiffusionPipeline.from_pretrained("saved", dtype=torch.bfloat16)
pipe = JascoPipeline.from_pretrained("saved")
step("several prompts")
pipe(["80s pop", "rock"], num_inference_steps=2)
step("another scheduler")
other = JascoPipeline.from_pipe(pipe)
other.scheduler = FlowMatchDopri5Scheduler.from_config(other.scheduler.config)
step("extraction")
for extract in (extract_chords, extract_melody, separate_drums):
    extract(audio, pipe.sampling_rate)
"""
LORA = """
step("LoRA")
from peft import LoraConfig
pipe.transformer.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"]))
JascoPipeline.save_lora_weights("lora", pipe.transformer)
pipe = JascoPipeline.from_pretrained("saved")
pipe.load_lora_weights("lora")
pipe("rock", num_inference_steps=2)
pipe.fuse_lora()
pipe.unload_lora_weights()
"""


def show(folder, code: str) -> list[str]:
    """The lines on standard error other than progress bars, with Python's own filters of warnings."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", timeout=600)
    assert process.returncode == 0, process.stderr[-5000:]
    assert not process.stdout
    # The steps stay: in a failure they tell where a line comes from.
    return other_than_bars(process.stderr)


def test_a_first_session_shows_only_progress_bars(tmp_path):
    code = SESSION
    if importlib.util.find_spec("peft") is not None:
        code += LORA
    lines = show(tmp_path, code)
    assert lines == [line for line in lines if line.startswith("step: ")] and len(lines) >= 6
