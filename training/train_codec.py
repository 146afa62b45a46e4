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
Trains a codec on a folder that `scripts/make_synthetic_dataset.py` wrote (with the stem of the drums):

    accelerate launch --cpu training/train_codec.py --config training/configs/codec_spectral.yaml \
        --dataset data/synthetic/train --output runs/codec

The configuration names the class: `SpectralCodecModel` (what has a closed form is computed first) or transformers'
`EncodecModel`. The codebook for drums is fitted at the end, to drums and mixes. `--resume` goes on from `--output`.
"""

import argparse
import json
import math
import time
from pathlib import Path

import soundfile
import torch
import transformers
import yaml
from accelerate import Accelerator
from accelerate.utils import set_seed
from tqdm import tqdm

from diffusers_jasco.files import partial_path, publish_files
from diffusers_jasco.models.codec_spectral import SpectralCodecModel
from diffusers_jasco.training.codec_objective import fit_codebook, spectral_loss
from diffusers_jasco.training.modules import load_codec


DEFAULTS = {
    "learning_rate": 1e-3,
    "warmup_steps": 50,
    "max_steps": 2000,
    "max_minutes": None,
    "batch_size": 8,
    "seconds": 2.56,
    "log_weight": 1.0,
    "complex_weight": 0.0,
    "max_grad_norm": 1.0,
    "seed": 0,
    "fit_clips": 800,
}


def parse_args(args=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--config", type=Path, required=True, help="YAML: `codec` (class and sizes) and the flags below"
    )
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--resume", action="store_true", help="start from the codec in --output")
    for name, default in DEFAULTS.items():
        parser.add_argument(f"--{name}", type=float if default is None else type(default), default=None)
    args = parser.parse_args(args)
    config = yaml.safe_load(args.config.read_text())
    args.codec = config.pop("codec")
    if unknown := sorted(set(config) - set(DEFAULTS)):
        raise ValueError(f"{args.config}: unknown keys {', '.join(unknown)}.")
    for name, default in DEFAULTS.items():
        if getattr(args, name) is None:
            setattr(args, name, config.get(name, default))
    return args


def make_codec(sizes: dict) -> torch.nn.Module:
    sizes = dict(sizes)
    name = sizes.pop("class")
    if name == "SpectralCodecModel":
        return SpectralCodecModel(**sizes)
    if name != "EncodecModel":
        raise ValueError(f"`codec.class`: {name!r} is neither SpectralCodecModel nor EncodecModel.")
    codec = transformers.EncodecModel(transformers.EncodecConfig(**sizes))
    # transformers' initial weights are for loading over: with them the latents are all but zero.
    for module in codec.modules():
        if isinstance(module, (torch.nn.Conv1d, torch.nn.ConvTranspose1d)):
            torch.nn.utils.parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            torch.nn.init.zeros_(module.bias)
            torch.nn.utils.parametrizations.weight_norm(module)
    return codec


class Clips(torch.utils.data.Dataset):
    """Random parts (1, samples) of the clips' mixes or of one of their stems."""

    def __init__(self, dataset: Path, num_samples: int, seed: int, stem: str | None = None):
        lines = [json.loads(line) for line in (dataset / "metadata.jsonl").read_text().splitlines()]
        names = [line["file_name"] if stem is None else line["stems"].get(stem) for line in lines]
        self.files = [dataset / name for name in names if name is not None]
        self.num_samples, self.seed, self.epoch = num_samples, seed, 0

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(hash((self.seed, self.epoch, index)) % 2**63)
        length = soundfile.info(self.files[index]).frames
        start = int(torch.randint(max(length - self.num_samples, 0) + 1, (), generator=generator))
        samples, _ = soundfile.read(self.files[index], self.num_samples, start, dtype="float32")
        samples = torch.from_numpy(samples)
        return torch.nn.functional.pad(samples, (0, self.num_samples - len(samples)))[None]


def load_clips(clips: Clips, count: int) -> torch.Tensor:
    count = min(count, len(clips))
    return torch.stack([clips[index] for index in range(count)])


@torch.no_grad()
def refit_codebook(
    codec: torch.nn.Module, mixes: Clips, args: argparse.Namespace, generator: torch.Generator
) -> float:
    """Fits the codebook to drums, which it is for, and to some mixes; returns the share of the variance that it loses."""
    drums = load_clips(Clips(args.dataset, mixes.num_samples, args.seed, "drums"), 350)
    audio = torch.cat([drums, load_clips(mixes, 150)])
    latents = torch.cat([codec.encoder(part).transpose(1, 2).flatten(0, 1) for part in audio.split(8)])
    latents = latents[torch.randperm(len(latents), generator=generator)[:100_000]]
    codebook = codec.quantizer.layers[0]
    codebook = getattr(codebook, "codebook", codebook)
    vectors, lost = fit_codebook(latents, len(codebook.embed), generator)
    codebook.embed.copy_(vectors)
    return lost


def main(args=None):
    args = parse_args(args)
    accelerator = Accelerator()
    set_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    started = time.monotonic()

    codec = load_codec(args.output) if args.resume else make_codec(args.codec)
    hop_length = codec.config.hop_length
    sampling_rate = codec.config.sampling_rate
    num_samples = math.ceil(args.seconds * sampling_rate / hop_length) * hop_length
    clips = Clips(args.dataset, num_samples, args.seed)
    whole = Clips(args.dataset, 10 * sampling_rate // hop_length * hop_length, args.seed)
    held_out = load_clips(whole, 32)
    whole.files, clips.files = whole.files[32:], clips.files[32:]

    if hasattr(codec, "fit") and not args.resume:
        codec.fit(load_clips(whole, args.fit_clips))
        print(f"closed form: {time.monotonic() - started:.0f} s", flush=True)

    parameters = [parameter for parameter in codec.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=args.learning_rate, betas=(0.9, 0.99), weight_decay=0.01)
    loader = torch.utils.data.DataLoader(clips, args.batch_size, shuffle=True, drop_last=True, generator=generator)
    codec, optimizer, loader = accelerator.prepare(codec, optimizer, loader)
    model = accelerator.unwrap_model(codec)
    # `forward` of EncodecModel quantises; JASCO's latents are those before.
    reconstruct = lambda audio: model.decoder(model.encoder(audio))  # noqa: E731

    @torch.no_grad()
    def validate() -> float:
        model.eval()
        parts = [spectral_loss(reconstruct(part), part) * len(part) for part in held_out.to(model.device).split(8)]
        model.train()
        return float(sum(parts) / len(held_out))

    args.output.mkdir(parents=True, exist_ok=True)
    log = open(args.output / "log.jsonl", "a")

    def write_log(**values):
        log.write(json.dumps(values) + "\n")
        log.flush()
        tqdm.write(json.dumps(values))

    write_log(step=0, validation=validate(), seconds=round(time.monotonic() - started, 1))
    limit = math.inf if args.max_minutes is None else 60 * args.max_minutes
    progress, step = tqdm(total=args.max_steps, unit="step", mininterval=5), 0
    while step < args.max_steps and time.monotonic() - started < limit:
        for audio in loader:
            # By steps or by time, whichever is further.
            done = max(step / args.max_steps, (time.monotonic() - started) / limit)
            if done >= 1:
                break
            rate = min((step + 1) / args.warmup_steps, 1) * 0.5 * (1 + math.cos(math.pi * min(done, 1)))
            for group in optimizer.param_groups:
                group["lr"] = args.learning_rate * rate
            loss = spectral_loss(reconstruct(audio), audio, args.log_weight, args.complex_weight)
            accelerator.backward(loss)
            norm = accelerator.clip_grad_norm_(parameters, args.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            progress.update()
            if step % 100 == 0:
                write_log(
                    step=step, loss=loss.item(), grad_norm=float(norm), seconds=round(time.monotonic() - started)
                )
        clips.epoch += 1
    write_log(step=step, validation=validate(), seconds=round(time.monotonic() - started, 1))

    model.eval()
    # A flow model may have learnt the codebook of a codec whose encoder stays the same.
    if not (args.resume and hasattr(model, "fit")):
        lost = refit_codebook(model, whole, args, generator)
        write_log(codebook_lost_variance=lost, seconds=round(time.monotonic() - started, 1))

    partial = partial_path(args.output / "codec")
    model.save_pretrained(partial)
    publish_files(partial, args.output)


if __name__ == "__main__":
    main()
