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

r"""
Trains the built-in drum separator on synthetic music, with new mixes: first the mask, then the network of the lowest
bins.

    apt install fluid-soundfont-gm musescore-general-soundfont-small sonic-pi-samples
    python scripts/make_synthetic_dataset.py --output data/drums/train --num_clips 2400 --subset both \
        --stems drums bass --sampling_rate 32000 --seed 41
    python scripts/make_synthetic_dataset.py --output data/drums/validation --split validation --num_clips 48 \
        --subset both --stems drums bass --sampling_rate 32000 --seed 41
    accelerate launch --cpu training/train_drum_separator.py --dataset data/drums --output runs/mask
    accelerate launch --cpu --mixed_precision bf16 training/train_drum_separator.py --dataset data/drums \
        --init runs/mask --output runs/drums --hits /usr/share/sonic-pi/samples --kit gogodze/Samples --batch_size 12 \
        --max_steps 11000

The folder `gogodze` is github.com/sfzinstruments/karoryfer.gogodze-phu-vol-ii, a drum kit (CC0) recorded by seven
microphones. The weights in the package were trained without `--kit`.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from tqdm import tqdm

from diffusers_jasco.audio.io import load_audio
from diffusers_jasco.audio.resampling import resample
from diffusers_jasco.controls.drum_machine import DRUMS, play_hits
from diffusers_jasco.controls.midi_drums import DRUM_VOICES
from diffusers_jasco.data.synthetic.instruments import DRUM_KEYS
from diffusers_jasco.data.synthetic.music import SyntheticMusic
from diffusers_jasco.data.synthetic.rendering import find_soundfonts, get_renderer
from diffusers_jasco.evaluation.metrics.separation import sdr, si_sdr, suppression
from diffusers_jasco.extraction.drum_mask import (
    HOP,
    LOW_BINS,
    NUM_BINS,
    RATE,
    DrumMaskModel,
    inverse_spectrogram,
    spectrogram,
)
from diffusers_jasco.training.checks import check_options
from diffusers_jasco.training.extractors import train_extractor
from diffusers_jasco.utils.arguments import CommandParser
from diffusers_jasco.utils.cli import run_command


DRUMLESS = 0.1  # share of examples without drums
DRUMS_ONLY = 0.2  # share of examples with drums only
OTHER_CLIP = 0.3  # share of examples with the drums of another clip
NEW_KIT = 0.6  # share of examples whose drums are played by a random kit
NEW_BASS = 0.5  # share of examples whose bass is synthesized
NEW_SPEED = 0.5  # share of examples with another speed
MAX_OCTAVES = 0.3  # logarithm (base 2) of the largest change of the speed
RENEWED = 0.15  # share of these examples for which the kit or the bass is new, not the last one of the clip
FLOOR = 1e-3  # power relative to the mix (-30 dB) below which errors have little effect

# Files with single hits in the package `sonic-pi-samples` that it lists as CC0. Its loops are used for evaluation, and
# its acoustic kit (`drum_*`) for choosing the settings.
HITS = {
    "kick": "bd_808 bd_ada bd_boom bd_fat bd_gas bd_haus bd_klub bd_pure bd_sone bd_tek bd_zome bd_zum elec_hollow_kick"
    " elec_soft_kick tabla_ghe1 tabla_ghe4 tabla_ghe8",
    "snare": "elec_filt_snare elec_hi_snare elec_lo_snare elec_mid_snare elec_snare sn_dolf sn_dub sn_zome tabla_na"
    " tabla_tas1 tabla_tas2 tabla_tun3",
    "rim": "elec_wood elec_tick perc_snap perc_snap2 tabla_ke1 tabla_ke2 tabla_te1 tabla_te2 tabla_re tabla_dhec",
    "clap": "perc_snap perc_snap2 elec_hi_snare elec_snare elec_filt_snare tabla_na_s tabla_te_ne",
    "hat": "elec_tick elec_flip tabla_ke3 tabla_te_m",
    "open hat": "elec_cymbal perc_swash",
    "ride": "elec_triangle elec_cymbal",
    "tom": "elec_fuzz_tom tabla_ghe2 tabla_ghe3 tabla_ghe5 tabla_ghe7 tabla_tun1 tabla_tun2 tabla_tas3 tabla_na_o",
    "crash": "elec_cymbal",
    "cowbell": "elec_bong elec_pop elec_plip elec_blup",
    "shaker": "elec_tick perc_swash",
}
# Beginnings of the names of files in the recorded kit.
KIT = {"kick": "ks", "snare": "sc se", "rim": "ss", "hat": "hc hf ht", "open hat": "hh hl ho", "tom": "th tl tm"}
KITS = (0, 8, 16, 24, 25, 32, 40, 48)  # General MIDI drum kits


def parse_args(args=None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True, help="folder with `train` and `validation`")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--hits", type=Path, help="folder of `sonic-pi-samples`: adds random kits and basses")
    parser.add_argument("--kit", type=Path, help="folder of microphones of a recorded kit, for these random kits")
    parser.add_argument("--init", type=Path, help="folder with a trained mask: trains the network of the lowest bins")
    parser.add_argument("--max_steps", type=int, default=1500)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--num_frames", type=int, default=192, help="frames (16 ms) per example")
    parser.add_argument("--learning_rate", type=float, default=2e-3)
    parser.add_argument("--weight_decay", type=float, default=0.01)
    parser.add_argument("--warmup_steps", type=int, default=50)
    parser.add_argument("--log_every", type=int, default=100, help="steps")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(args)
    check_options(parser, args)
    if args.kit is not None and args.hits is None:
        parser.error("--kit adds to the random kits of `--hits`, which is missing.")
    return args


@dataclass
class Clip:
    """The stems of a clip as 16-bit samples, and the line of its metadata."""

    drums: np.ndarray | None
    bass: np.ndarray | None
    rest: np.ndarray
    line: dict

    def notes(self, stem: str) -> list[tuple[float, float, int, int]]:
        """Notes of a stem: start and end in seconds, key, and velocity."""
        line = self.line
        music = SyntheticMusic(
            line["split"], line["index"] + 1, line["subset"], line["duration"], renderer=None, seed=line["seed"]
        )
        score = music.score(line["index"])
        return [
            (start - score.preroll, end - score.preroll, key, velocity)
            for start, end, key, velocity in score.notes.get(stem, [])
        ]


def load_clips(folder: Path) -> list[Clip]:
    clips = []
    for line in tqdm((folder / "metadata.jsonl").read_text().splitlines(), desc=str(folder)):
        line = json.loads(line)
        rest, rate = load_audio(folder / line["file_name"])
        if rate != RATE:
            raise ValueError(f"{folder / line['file_name']} has {rate} Hz instead of {RATE}.")
        parts = {}
        for name, file in line["stems"].items():
            parts[name] = load_audio(folder / file)[0]
            rest = rest - parts[name]
        drums, bass, rest = (
            None if part is None else (part[0].numpy() * 2**15).astype(np.int16)
            for part in (parts.get("drums"), parts.get("bass"), rest)
        )
        clips.append(Clip(drums, bass, rest, line))
    return clips


def to_float(samples: np.ndarray | None) -> np.ndarray | float:
    return 0.0 if samples is None else samples.astype(np.float32) / 2**15


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


# Random instruments


def voice_of(key: int) -> str:
    return "crash" if key in (49, 52, 55, 57) else DRUM_VOICES.get(key, "rim")


def load_kit(folder: Path) -> dict[str, list[np.ndarray]]:
    """Hits of a recorded kit, with all microphones and velocities."""
    kit = {}
    for voice, names in KIT.items():
        files = [file for name in names.split() for file in sorted(folder.glob(f"*/{name}_vl*_rr1.wav"))]
        if not files:
            raise ValueError(f"`--kit`: {folder} has no files such as front_mic/{names[:2]}_vl1_rr1.wav.")
        kit[voice] = [load_hit(file) for file in files]
    return kit


def load_hits(folder: Path, kit: dict[str, list[np.ndarray]]) -> dict[str, list[np.ndarray]]:
    """Single hits of each voice: the drum machine's, samples, those of a recorded kit, and of the sound fonts' kits."""
    hits: dict[str, list[np.ndarray]] = {voice: [] for voice in HITS}
    for voice in DRUMS:
        hits[voice].append(play_hits([(voice, 0.0, 1.0)], 2.0, RATE))
    for voice, names in HITS.items():
        hits[voice] += [load_hit(folder / f"{name}.flac") for name in names.split()]
        hits[voice] += kit.get(voice, [])
    for font in find_soundfonts("fluidsynth"):
        renderer = get_renderer("fluidsynth", str(font), RATE)
        for kit in KITS:
            for key in DRUM_KEYS.values():
                hit = renderer.render({"drums": (kit, True, [(0.0, 0.12, key, 110)])}, 1.5)["drums"]
                hits[voice_of(key)].append(hit)
    return {voice: [trim(hit) for hit in own if np.abs(hit).max() > 1e-4] for voice, own in hits.items()}


def load_hit(file: Path) -> np.ndarray:
    audio, rate = load_audio(file)
    return resample(audio.mean(dim=0, keepdim=True), rate, RATE)[0].numpy()


def trim(hit: np.ndarray) -> np.ndarray:
    """Removes silence before the hit and after 2 s, and normalizes the peak."""
    level = np.abs(hit) / np.abs(hit).max()
    hit = hit[int(np.argmax(level > 0.01)) :][: 2 * RATE] / np.abs(hit).max()
    hit[-200:] *= np.linspace(1, 0, len(hit[-200:]))
    return hit.astype(np.float32)


def synthesize_hit(voice: str, rng: np.random.Generator) -> np.ndarray:
    """A hit of decaying sines with falling pitch, and of decaying noise."""
    low, high, bend, tone, noise, cutoff, half_life = {
        "kick": (38, 85, 250, 1.0, 0.05, 1500, 0.1),
        "tom": (70, 250, 60, 1.0, 0.05, 1000, 0.12),
        "snare": (150, 300, 80, 0.6, 0.6, 1000, 0.06),
        "rim": (400, 1800, 0, 1.0, 0.5, 2000, 0.01),
        "cowbell": (500, 900, 0, 1.0, 0.05, 3000, 0.04),
        "clap": (900, 1500, 0, 0.0, 1.0, 900, 0.05),
        "hat": (3000, 9000, 0, 0.1, 1.0, 6000, 0.015),
        "shaker": (3000, 9000, 0, 0.0, 1.0, 5000, 0.025),
        "open hat": (3000, 9000, 0, 0.1, 1.0, 5500, 0.1),
        "ride": (2000, 6000, 0, 0.3, 1.0, 4500, 0.2),
        "crash": (2000, 6000, 0, 0.05, 1.0, 2500, 0.4),
    }[voice]
    half_life *= 2 ** rng.uniform(-1, 1)
    time = np.arange(int(min(8 * half_life, 2) * RATE), dtype=np.float32) / RATE
    fall = rng.uniform(0.008, 0.05)
    hit = np.zeros_like(time)
    pitch = rng.uniform(low, high)
    for multiple in (1.0, rng.uniform(1.4, 2.4))[: 1 if voice == "kick" else 2]:
        phase = multiple * pitch * time + rng.uniform(0.2, 1.5) * bend * fall * (1 - np.exp(-time / fall))
        hit += tone * np.sin(2 * np.pi * phase + rng.uniform(0, 0.5)) * 0.5 ** (time / half_life * multiple)
    spectrum = np.fft.rfft(rng.standard_normal(len(time)).astype(np.float32))
    ratio = np.fft.rfftfreq(len(time), 1 / RATE) / (cutoff * 2 ** rng.uniform(-0.7, 0.7))
    noise_hit = np.fft.irfft(spectrum * ratio**2 / (1 + ratio**2), len(time))
    decay = half_life * (rng.uniform(0.03, 0.3) if voice in ("kick", "tom") else rng.uniform(0.7, 1.5))
    hit += noise * 2 ** rng.uniform(-1, 1) * noise_hit * 0.5 ** (time / decay)
    hit *= np.minimum(time / rng.uniform(1e-4, 2e-3), 1) * np.minimum((time[-1] - time) / 0.002, 1)
    return (hit / np.abs(hit).max()).astype(np.float32)


def play_kit(
    notes: list[tuple[float, float, int, int]],
    hits: dict[str, list[np.ndarray]],
    num_samples: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Plays drum notes by a kit of random hits, with random tuning, decay and levels."""
    kit, synthetic = {}, rng.uniform(0, 0.7)
    audio = np.zeros(num_samples, np.float32)
    for time, _, key, velocity in notes:
        first = round(time * RATE)
        if not -2 * RATE < first < num_samples:
            continue
        if key not in kit:
            voice = voice_of(key)
            if rng.random() < synthetic:
                hit = synthesize_hit(voice, rng)
            else:
                hit = hits[voice][int(rng.integers(len(hits[voice])))]
            speed = 2 ** rng.uniform(-0.4, 0.4)
            hit = np.interp(np.arange(int(len(hit) / speed)) * speed, np.arange(len(hit)), hit)
            hit *= np.exp(-np.arange(len(hit)) / RATE * max(rng.uniform(-8, 8), 0))
            level = {"kick": 2.0, "snare": -1.0, "tom": 0.0, "clap": -4.0}.get(voice, -9.0) + rng.uniform(-4, 4)
            kit[key] = (hit * 10 ** (level / 20) * rng.choice([-1, 1])).astype(np.float32)
        hit = kit[key][max(-first, 0) : num_samples - first]
        audio[max(first, 0) : max(first, 0) + len(hit)] += hit * (velocity / 127) ** 1.5
    if rng.random() < 0.5:
        length = int(rng.uniform(0.15, 1.0) * RATE)
        room = rng.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
        room *= rng.uniform(0.03, 0.3) / np.sqrt(np.square(room).sum())
        size = 1 << (num_samples + length - 1).bit_length()
        spectrum = np.fft.rfft(audio, size)
        audio += np.fft.irfft(spectrum * np.fft.rfft(room, size), size)[:num_samples].astype(np.float32)
    if rng.random() < 0.3:
        drive = 10 ** rng.uniform(-0.3, 0.6) / max(np.abs(audio).max(), 1e-4)
        audio = np.tanh(drive * audio)
    return audio


def play_bass(notes: list[tuple[float, float, int, int]], num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Plays bass notes by a random synthesizer, sometimes octaves higher, or as pure tones."""
    audio = np.zeros(num_samples // 4, np.float32)
    slope, cutoff = rng.uniform(0.6, 2.5), 2 ** rng.uniform(7.5, 11)
    if rng.random() < 0.2:
        slope = 8.0
    transposition = 12 * rng.choice([0, 0, 0, 1, 2])
    harmonics = np.arange(1, 17)
    weights = harmonics**-slope * 10 ** (rng.uniform(-6, 6, 16) / 20)
    if rng.random() < 0.3:
        weights[1::2] *= 0.05
    attack, half_life, sustain = 2 ** rng.uniform(-9, -5), 2 ** rng.uniform(-4, 1), rng.choice([0, rng.uniform(0, 1)])
    release, detune = 2 ** rng.uniform(-6, -3), rng.choice([0, 1]) * rng.uniform(0, 0.006)
    rate = RATE // 4
    for begin, end, key, velocity in notes:
        first, last = round(begin * rate), round((end + release) * rate)
        if last <= 0 or first >= len(audio):
            continue
        pitch = 440 * 2 ** ((key + transposition - 69) / 12)
        time = (np.arange(max(first, 0), min(last, len(audio))) - first).astype(np.float32) / rate
        note = np.zeros_like(time)
        for n, weight in zip(harmonics, weights / (1 + (harmonics * pitch / cutoff) ** 2)):
            if n * pitch < 2000 and weight > 0.01:
                phase, omega = rng.uniform(0, 2 * np.pi), 2 * np.pi * n * pitch
                note += np.float32(weight) * np.sin(np.float32(omega) * time + np.float32(phase))
                if detune:
                    note += np.float32(weight) * np.sin(np.float32(omega * (1 + detune)) * time)
        envelope = np.minimum(time / attack, 1) * (sustain + (1 - sustain) * 0.5 ** (time / half_life))
        envelope *= np.clip((end - begin + release - time) / release, 0, 1)
        audio[max(first, 0) : max(first, 0) + len(time)] += (note * envelope * (velocity / 127)).astype(np.float32)
    return np.interp(np.arange(num_samples) / 4, np.arange(len(audio)), audio).astype(np.float32)


class Mixer:
    """Random mixes of drums and of the rest of a clip, with random levels, speeds, filters, kits and basses."""

    def __init__(self, clips: list[Clip], hits: dict[str, list[np.ndarray]] | None, num_frames: int, seed: int):
        self.clips, self.hits = clips, hits
        self.drummed = [clip for clip in clips if clip.drums is not None]
        self.num_samples = num_frames * HOP
        if not self.drummed:
            raise ValueError("No clip in `train` of `--dataset` has drums.")
        longest = int(self.num_samples * 2**MAX_OCTAVES) + 2
        if any(len(clip.rest) < longest or len(clip.rest) != len(clips[0].rest) for clip in clips):
            raise ValueError(
                f"The clips in `train` of `--dataset` must have equal lengths of at least {longest / RATE:.1f} s, as"
                f" examples have {num_frames} frames (`--num_frames`)."
            )
        self.rng = np.random.default_rng(seed)
        self.new: dict[tuple[int, str], np.ndarray] = {}

    def _stem(self, clip: Clip, stem: str) -> np.ndarray | None:
        """The drums or the bass of a clip, or their notes played by other instruments at the same level."""
        samples = getattr(clip, stem)
        share = NEW_KIT if stem == "drums" else NEW_BASS
        if samples is None or self.hits is None or self.rng.random() >= share:
            return samples
        key = (id(clip), stem)
        if key not in self.new or self.rng.random() < RENEWED:
            notes, size = clip.notes(stem), len(samples)
            if stem == "drums":
                new = play_kit(notes, self.hits, size, self.rng)
            else:
                new = play_bass(notes, size, self.rng)
            new = new * (rms(samples) / max(rms(new), 1e-4))
            self.new[key] = new.clip(-(2**15), 2**15 - 1).astype(np.int16)
        return self.new[key]

    def _part(self, samples: np.ndarray | None, start: int, speed: float) -> np.ndarray | float:
        if samples is None:
            return 0.0
        if speed == 1:
            return to_float(samples[start : start + self.num_samples])
        positions = np.arange(self.num_samples, dtype=np.float32) * speed
        samples = to_float(samples[start : start + int(positions[-1]) + 2])
        return np.interp(positions, np.arange(len(samples)), samples).astype(np.float32)

    def sample(self, batch_size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Spectra of mixes and of drums `(batch, frames + 1, bins)`, divided by a jittered RMS value of the mix."""
        rng = self.rng
        drums, rest = np.zeros((2, batch_size, self.num_samples), np.float32)
        filters = np.ones((2, batch_size, 1, NUM_BINS), np.float32)
        for index in range(batch_size):
            clip = other = self.clips[rng.integers(len(self.clips))]
            if clip.drums is None or rng.random() < OTHER_CLIP:
                other = self.drummed[rng.integers(len(self.drummed))]
            speed = 2 ** rng.uniform(-MAX_OCTAVES, MAX_OCTAVES) if rng.random() < NEW_SPEED else 1.0
            start = int(rng.integers(len(clip.rest) - int(self.num_samples * max(speed, 1)) - 1))
            kind = rng.random()
            if kind >= DRUMLESS:
                part = self._part(self._stem(other, "drums"), start, speed)
                drums[index] = part * 10 ** (rng.uniform(-7, 6) / 20)
            if kind < 1 - DRUMS_ONLY:
                bass = self._part(self._stem(clip, "bass"), start, speed)
                part = self._part(clip.rest, start, speed) + bass * 10 ** (rng.uniform(-3, 3) / 20)
                rest[index] = part * 10 ** (rng.uniform(-5, 5) / 20)
            for part in filters:
                part[index, 0] = random_filter(rng)
            if rng.random() < 0.2:  # low-pass as by a lower sampling rate or a codec
                filters[:, index, 0, int(rng.uniform(0.3, 1) * NUM_BINS) :] = 0
        drums = spectrogram(torch.from_numpy(drums)) * torch.from_numpy(filters[0])
        mix = drums + spectrogram(torch.from_numpy(rest)) * torch.from_numpy(filters[1])
        # Parseval: squared Hann windows have the mean 3/8.
        power = torch.view_as_real(mix).square().mean(dim=(1, 2, 3)) * 2 / (3 / 8 * 2 * (NUM_BINS - 1))
        jitter = torch.from_numpy(10 ** (rng.uniform(-6, 6, batch_size) / 20)).float()
        loudness = (power.sqrt() * jitter).clamp(min=1e-6)[:, None, None]
        return mix / loudness, drums / loudness


def random_filter(rng: np.random.Generator) -> np.ndarray:
    """Gains of all bins, with a random slope, and for half of the filters also random gains of octaves."""
    gains = rng.uniform(-6, 6) * np.linspace(-1, 1, NUM_BINS)
    if rng.random() < 0.5:
        octaves = np.arange(11)
        bins = np.log2(np.maximum(np.arange(NUM_BINS), 1))
        gains = gains + np.interp(bins, octaves, rng.uniform(-5, 5, len(octaves)))
    return 10 ** (gains / 20)


def distortion(estimate: torch.Tensor, drums: torch.Tensor, mix: torch.Tensor) -> torch.Tensor:
    """Mean distortion of the drums in dB; for examples without drums, the level of the residue."""

    def power(spectrum: torch.Tensor) -> torch.Tensor:
        return torch.view_as_real(spectrum).square().sum(dim=(1, 2, 3))

    floor = FLOOR * power(mix) + 1e-9
    return 10 * torch.log10((power(estimate - drums) + floor) / (power(drums) + floor)).mean()


def validate(model: DrumMaskModel, clips: list[Clip]) -> dict[str, float]:
    """Means over clips in dB: SI-SDR of drums in mixes, suppression without drums, and SDR of isolated drums."""
    scores = {"si_sdr": [], "suppression": [], "drums_only": []}

    def separate(audio: torch.Tensor) -> torch.Tensor:
        loudness = audio.square().mean().sqrt().clamp(min=1e-6)
        return inverse_spectrogram(model(spectrogram(audio[None] / loudness)), len(audio))[0] * loudness

    for clip in clips:
        rest = torch.from_numpy(to_float(clip.rest) + to_float(clip.bass))
        scores["suppression"].append(suppression(separate(rest), rest))
        if clip.drums is not None:
            drums = torch.from_numpy(to_float(clip.drums))
            scores["si_sdr"].append(si_sdr(separate(rest + drums), drums))
            scores["drums_only"].append(sdr(separate(drums), drums))
    return {name: round(float(np.nanmean(values)), 2) for name, values in scores.items()}


def main(args=None):
    args = parse_args(args)
    accelerator = Accelerator()
    if accelerator.num_processes > 1:
        raise ValueError("The drum separator is trained by one process: use `accelerate launch --num_processes 1`.")
    init = None if args.init is None else DrumMaskModel.from_pretrained(args.init).float()
    set_seed(args.seed)
    held_out = load_clips(args.dataset / "validation")
    hits = None
    if args.hits is not None:
        hits = load_hits(args.hits, {} if args.kit is None else load_kit(args.kit))
    mixer = Mixer(load_clips(args.dataset / "train"), hits, args.num_frames, args.seed)

    # Each network is trained alone.
    model = DrumMaskModel() if init is None else init
    model.requires_grad_(init is None)
    model.low.requires_grad_(init is not None)
    compute_loss = _mask_loss if init is None else _low_loss

    def draw_loss(model: torch.nn.Module) -> torch.Tensor:
        mix, drums = (part.to(accelerator.device) for part in mixer.sample(args.batch_size))
        return compute_loss(accelerator.unwrap_model(model), mix, drums, accelerator)

    model = model.to(memory_format=torch.channels_last)
    train_extractor(model, draw_loss, lambda model: validate(model, held_out), accelerator, args)


def _mask_loss(model: DrumMaskModel, mix: torch.Tensor, drums: torch.Tensor, accelerator: Accelerator) -> torch.Tensor:
    with accelerator.autocast():
        mask = model.mask(model.levels(mix))[:, :, LOW_BINS:]
    mix, drums = mix[:, :, LOW_BINS:], drums[:, :, LOW_BINS:]
    return distortion(mask * mix, drums, mix)


def _low_loss(model: DrumMaskModel, mix: torch.Tensor, drums: torch.Tensor, accelerator: Accelerator) -> torch.Tensor:
    levels = model.levels(mix)
    mix, drums = mix[:, :, :LOW_BINS], drums[:, :, :LOW_BINS]
    with accelerator.autocast():
        estimate = model.low(mix, levels)
    return distortion(estimate, drums, mix)


if __name__ == "__main__":
    sys.exit(run_command(main, "train_drum_separator"))
