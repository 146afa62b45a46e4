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


"""
What the tests of the Hub do in processes of their own: `python -m tests.hub_processes FOLDER FUNCTION ...`. Each function's
findings go to a file FUNCTION.json, and its audio to FUNCTION.safetensors in the folder, where the tests look.
"""

import importlib.util
import json
import logging
import os
import re
import sys
from pathlib import Path
from urllib.request import urlopen


ROOT = Path(__file__).parents[1]
CHORDS = [("C", 0.0), ("Am", 0.5)]


def play(pipe):
    """A short piece that depends on all controls."""
    import torch

    beat = (torch.arange(32000) % 8000 < 200).float()
    pipe.set_progress_bar_config(disable=True)
    return pipe(
        "80s pop",
        chords=CHORDS,
        drums=(beat, 32000),
        melody=[("C4", 0.0, 0.5)],
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(0),
    ).audios.contiguous()


def error_of(function, *args, **kwargs) -> str:
    try:
        function(*args, **kwargs)
    except Exception as error:
        cause = "" if error.__cause__ is None else f" from {type(error.__cause__).__name__}: {error.__cause__}"
        return f"{type(error).__name__}: {error}{cause}"
    return "no error"


class Warnings(logging.Handler):
    """Warnings of this package, one list per step."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.messages = []
        logging.getLogger("diffusers_jasco").addHandler(self)

    def emit(self, record):
        self.messages.append(record.getMessage())

    def take(self) -> list[str]:
        messages, self.messages = self.messages, []
        return messages


def run_snippet(card: str) -> dict:
    code = re.search(r"```python\n(.+?)```", card, re.DOTALL)[1]
    variables = {}
    exec(code, variables)
    return variables


def publish(folder: Path) -> tuple[dict, dict]:
    import torch
    from huggingface_hub import HfApi, metadata_update

    from diffusers_jasco import JascoAudioToAudioPipeline, JascoInpaintPipeline

    from .conftest import load_pipeline

    seen, warnings, api = {}, Warnings(), HfApi()
    pipe = load_pipeline("chords-drums-melody")
    original = pipe.config.audiocraft
    pipe.register_to_config(audiocraft=None)
    # A custom order, so that chords are right only with these labels.
    pipe.transformer.register_to_config(chord_labels=pipe.transformer.config.chord_labels[::-1])
    pipe.set_defaults(num_inference_steps=4, guidance_scale=2.0)
    audios = {"pipeline": play(pipe)}

    commit = pipe.push_to_hub("org/pipeline", license="apache-2.0", commit_message="First version")
    seen["commit"] = commit.oid
    api.create_tag("org/pipeline", tag="v1")
    seen["warnings"] = {"first": warnings.take()}
    pipe.push_to_hub("org/pipeline", license="mit", revision="try/other", base_model="org/other")
    pipe.push_to_hub("org/metadata", license="mit", base_model="org/other")
    metadata_update("org/metadata", {"language": "en"})
    pipe.set_defaults(guidance_scale=3.0)
    pipe.push_to_hub("org/pipeline", license="mit")
    pipe.push_to_hub("org/metadata")
    seen["warnings"]["again"] = warnings.take()
    audios["stronger"] = play(pipe)

    pipe.register_to_config(audiocraft=original)
    pipe.push_to_hub("org/from-audiocraft", license="mit")
    seen["warnings"]["from AudioCraft"] = warnings.take()
    pipe.register_to_config(audiocraft=None)
    pipe.push_to_hub("org/pieces", license="mit", max_shard_size="100KB")
    pipe.push_to_hub("org/one-piece", license="mit", max_shard_size="100KB")
    pipe.push_to_hub("org/one-piece", license="mit")
    pipe.push_to_hub("org/standalone", license="mit", standalone=True)
    for pipeline_class, repo_id in ((JascoInpaintPipeline, "org/inpaint"), (JascoAudioToAudioPipeline, "org/vary")):
        pipeline_class.from_pipe(pipe).push_to_hub(repo_id, license="mit")
    warnings.take()
    pipe.save_pretrained(folder / "private", push_to_hub=True, repo_id="org/private", private=True)
    seen["warnings"]["without license"] = warnings.take()
    pipe.transformer.push_to_hub("org/transformer")
    pipe.transformer.push_to_hub("org/parts", subfolder="transformer")
    seen["pull request"] = pipe.push_to_hub("org/pieces", license="mit", create_pr=True).pr_url

    pipe.push_to_hub("org/by-hand", license="mit")
    api.upload_file(path_or_fileobj=b"# Mine\n", path_in_repo="README.md", repo_id="org/by-hand")
    warnings.take()
    pipe.push_to_hub("org/by-hand", license="mit")
    seen["warnings"]["card on the Hub"] = warnings.take()
    (folder / "mine").mkdir()
    (folder / "mine" / "README.md").write_text("---\nlicense: mit\n---\n# Mine, too\n")
    pipe.save_pretrained(folder / "mine", push_to_hub=True, repo_id="org/by-hand")
    seen["warnings"]["two cards"] = warnings.take()

    seen["errors"] = {
        "public": error_of(pipe.push_to_hub, "org/pipeline", private=True),
        "license": error_of(pipe.push_to_hub, "org/x", license="mit", base_model="facebook/jasco-chords-drums-400M"),
        "standalone": error_of(pipe.push_to_hub, "org/x", subfolder="x", standalone=True),
        "token": error_of(pipe.push_to_hub, "org/x", token="hf_stranger", license="mit"),
    }

    # The command; its checkpoint already has a card.
    (folder / "private" / "README.md").write_text("---\nlicense: mit\n---\n# By hand\n")
    script = load_script("push_to_hub")
    arguments = {"checkpoint": folder / "private", "repo_id": "org/script", "variant": "fp16", "dtype": "float16"}
    arguments |= {"max_shard_size": "60KB", "revision": "half", "license": "mit"}
    script.main([*(f"--{name}={value}" for name, value in arguments.items()), "--private"])

    publish_original(folder)

    pipe.to(torch.float16)
    pipe.push_to_hub("org/pipeline", license="mit", variant="fp16")
    pipe.push_to_hub("org/half", license="mit", variant="fp16")
    audios["half"] = play(pipe.to(torch.float32))
    # Interrupted downloads resume in steps of 10 MB.
    pipe.text_encoder.resize_token_embeddings(120_000, mean_resizing=False)
    pipe.push_to_hub("org/large", license="mit")
    return seen, audios


def publish_original(folder: Path):
    """A checkpoint in AudioCraft's layout, like Meta's: it names its text encoder and contains its codec."""
    import torch
    from huggingface_hub import HfApi

    api, fixtures = HfApi(), ROOT / "tests" / "fixtures"
    content = torch.load(fixtures / "chords-drums-melody" / "state_dict.bin", weights_only=True)
    content["xp.cfg"] = content["xp.cfg"].replace("t5-base", "org/t5")
    (folder / "original").mkdir()
    torch.save(content, folder / "original" / "state_dict.bin")
    compression = fixtures / "chords-drums-melody" / "compression_state_dict.bin"
    (folder / "original" / compression.name).write_bytes(compression.read_bytes())
    for repo_id, path in (("org/t5", fixtures / "t5"), ("org/original", folder / "original")):
        api.create_repo(repo_id)
        api.upload_folder(repo_id=repo_id, folder_path=path)


def load_script(name: str):
    specification = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    return script


def load(folder: Path) -> tuple[dict, dict]:
    import torch
    from diffusers import AutoModel, AutoPipelineForText2Audio, DiffusionPipeline
    from huggingface_hub import ModelCard

    from diffusers_jasco import JascoPipeline, JascoTransformerModel, register_auto_pipeline
    from diffusers_jasco.training.weight_transfer import load_source

    seen, audios = {}, {}
    # The connection fails once.
    audios["large"] = play(JascoPipeline.from_pretrained("org/large"))
    pipe = JascoPipeline.from_pretrained("org/pipeline", revision="v1")
    audios["v1"], seen["labels"] = play(pipe), pipe.transformer.config.chord_labels
    audios["branch"] = play(JascoPipeline.from_pretrained("org/pipeline", revision="try/other"))
    audios["main"] = play(JascoPipeline.from_pretrained("org/pipeline"))
    audios["variant"] = play(JascoPipeline.from_pretrained("org/pipeline", variant="fp16"))
    seen["half dtype"] = str(
        JascoPipeline.from_pretrained("org/script", revision="half", variant="fp16", dtype=torch.float16).dtype
    )
    audios["pieces"] = play(JascoPipeline.from_pretrained("org/pieces"))
    audios["one piece"] = play(JascoPipeline.from_pretrained("org/one-piece"))
    general = DiffusionPipeline.from_pretrained("org/pipeline")
    audios["general"], seen["general"] = play(general), type(general).__name__
    register_auto_pipeline()
    seen["auto pipeline"] = type(AutoPipelineForText2Audio.from_pretrained("org/pipeline", revision="v1")).__name__
    seen["others"] = [type(DiffusionPipeline.from_pretrained(name)).__name__ for name in ("org/inpaint", "org/vary")]
    audios["saved by another class"] = play(JascoPipeline.from_pretrained("org/inpaint"))
    audios["source of a training"] = play(load_source("org/pipeline"))

    elsewhere = JascoPipeline.from_pretrained("org/pipeline", cache_dir=folder / "elsewhere")
    audios["elsewhere"] = play(elsewhere)
    for name, arguments in {
        "pipeline": {"pretrained_model_name_or_path": "org/pipeline", "subfolder": "transformer"},
        "alone": {"pretrained_model_name_or_path": "org/transformer"},
        "part": {"pretrained_model_name_or_path": "org/parts", "subfolder": "transformer"},
    }.items():
        pipe.transformer = JascoTransformerModel.from_pretrained(**arguments)
        audios[f"model {name}"] = play(pipe)
    seen["auto"] = type(AutoModel.from_pretrained("org/pipeline", subfolder="transformer")).__name__

    audios["private"] = play(JascoPipeline.from_pretrained("org/private"))
    # AudioCraft's layout, by id and by the command.
    audios["original"] = play(JascoPipeline.from_pretrained("org/original", scheduler=pipe.scheduler))
    load_script("convert_jasco_to_diffusers").main(
        [
            "--checkpoint=facebook/jasco-tiny",
            f"--output={folder / 'converted'}",
            "--push_to_hub=org/converted",
        ]
    )
    audios["converted"] = play(JascoPipeline.from_pretrained("org/converted", scheduler=pipe.scheduler))
    load_script("convert_diffusers_to_jasco").main(["--checkpoint=org/converted", f"--output={folder / 'back'}"])

    # A folder remembers that it was derived from Meta's weights.
    push = load_script("push_to_hub").main
    arguments = [f"--checkpoint={folder / 'converted'}", "--repo_id=org/converted-too"]
    push(arguments)

    seen["errors"] = {
        "license of a converted folder": error_of(push, [*arguments, "--license=apache-2.0"]),
        "gated original": error_of(JascoPipeline.from_pretrained, "org/gated-original", token="hf_stranger"),
        "neither layout": error_of(JascoPipeline.from_pretrained, "org/t5"),
        "no id": error_of(JascoPipeline.from_pretrained, "no/such/folder"),
        "private": error_of(JascoPipeline.from_pretrained, "org/private", token=False, cache_dir=folder / "none"),
        "gated": error_of(JascoPipeline.from_pretrained, "org/gated", token="hf_stranger"),
        "absent": error_of(JascoPipeline.from_pretrained, "org/absent"),
        "revision": error_of(JascoPipeline.from_pretrained, "org/pipeline", revision="v7"),
        "standalone": error_of(JascoPipeline.from_pretrained, "org/standalone"),
    }
    for repo_id in ("org/pipeline", "org/half"):
        variables = run_snippet(ModelCard.load(repo_id).content)
        seen[f"snippet {repo_id}"] = [list(variables["audio"].shape), os.path.getsize("song.wav")]
        os.remove("song.wav")
    return seen, audios


def load_standalone(folder: Path) -> tuple[dict, dict]:
    from diffusers import DiffusionPipeline

    seen = {"untrusted": error_of(DiffusionPipeline.from_pretrained, "org/standalone")}
    seen["imported"] = [name for name in sys.modules if name.startswith("diffusers_jasco")]
    pipe = DiffusionPipeline.from_pretrained("org/standalone", trust_remote_code=True)
    audios = {"standalone": play(pipe)}
    # A pipeline loaded this way is like any other.
    pipe.save_pretrained(folder / "saved")
    seen["index"] = json.loads((folder / "saved" / "model_index.json").read_text())

    from huggingface_hub import ModelCard

    seen["snippet"] = list(run_snippet(ModelCard.load("org/standalone").content)["audio"].shape)
    return seen, audios


def load_offline(folder: Path) -> tuple[dict, dict]:
    from diffusers_jasco import JascoPipeline, JascoTransformerModel

    urlopen(f"{os.environ['HF_ENDPOINT']}/stop", data=b"").close()
    audios = {
        "local files only": play(JascoPipeline.from_pretrained("org/pipeline", local_files_only=True)),
        "no connection": play(JascoPipeline.from_pretrained("org/pipeline")),
        "elsewhere": play(
            JascoPipeline.from_pretrained("org/pipeline", cache_dir=folder / "elsewhere", local_files_only=True)
        ),
    }
    pipe = JascoPipeline.from_pretrained("org/pipeline", revision="v1", local_files_only=True)
    audios["v1"] = play(pipe)
    pipe.transformer = JascoTransformerModel.from_pretrained("org/transformer", local_files_only=True)
    audios["model"] = play(pipe)
    for name, arguments in (("original", {}), ("original, local files only", {"local_files_only": True})):
        audios[name] = play(JascoPipeline.from_pretrained("org/original", scheduler=pipe.scheduler, **arguments))
    error = error_of(JascoPipeline.from_pretrained, "org/never-loaded", local_files_only=True)
    return {"error": error}, audios


def read_data_set(folder: Path) -> tuple[dict, dict]:
    from itertools import islice

    from transformers import EncodecModel

    from diffusers_jasco.data.opening import open_dataset
    from diffusers_jasco.training.batches import StreamBatches

    from .conftest import FIXTURES

    codec = EncodecModel.from_pretrained(FIXTURES / "chords-drums-melody" / "encodec")
    music = open_dataset("org/music@main", codec, num_frames=50)
    seen = {"captions": [music[index]["caption"] for index in range(len(music))]}

    def batches(num_workers: int) -> StreamBatches:
        stream = open_dataset("org/music", codec, num_frames=50, streaming=True)
        return StreamBatches(stream, 2, list, num_workers=num_workers, encode=to_captions, shuffle_buffer=4)

    def to_captions(items: list[dict]) -> dict:
        return {"caption": [item["caption"] for item in items]}

    seen["streamed"] = list(islice(iter(batches(0)), 12))
    first, second = batches(2), batches(2)
    seen["resumed"] = list(islice(iter(first), 5))
    second.load_state_dict(first.state_dict())
    seen["resumed"] += islice(iter(second), 7)
    seen["errors"] = [
        error_of(open_dataset, "org/absent", codec),
        error_of(open_dataset, "org/music@absent", codec, streaming=True),
        error_of(open_dataset, "org/music", codec, "validation"),
        error_of(open_dataset, "org/music", codec, "validation", streaming=True),
    ]
    return seen, {}


if __name__ == "__main__":
    from safetensors.torch import save_file

    folder = Path(sys.argv[1])
    for name in sys.argv[2:]:
        seen, audios = globals()[name](folder)
        save_file(audios, folder / f"{name}.safetensors")
        (folder / f"{name}.json").write_text(json.dumps(seen))
