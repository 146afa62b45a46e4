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
Trains the network of the drum transcription on synthetic music:

    accelerate launch --cpu training/train_drum_transcriber.py --output runs/drum_hits \
        --samples /usr/share/sonic-pi/samples

The hits of a clip are those of our synthetic music (split "train"), or random. Their sounds are those of the kits of
General MIDI sound fonts, of the drum machine, and single hits from --samples (a folder of Sonic Pi's samples). They are
trained alone, in mixes with the other instruments, and separated from such mixes. The clips are made once, and kept in
--clips (default: OUTPUT/clips.safetensors).
"""

import argparse
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from safetensors.numpy import load_file, save_file
from torch.nn import functional as F
from tqdm import tqdm

from diffusers_jasco.audio.io import load_audio
from diffusers_jasco.audio.resampling import resample
from diffusers_jasco.audio.stream import frame_blocks
from diffusers_jasco.controls.drum_machine import play_hits
from diffusers_jasco.controls.midi_drums import DRUM_VOICES
from diffusers_jasco.data import SyntheticMusic
from diffusers_jasco.data.synthetic.augmentation import make_room
from diffusers_jasco.data.synthetic.rendering import find_soundfonts, get_renderer
from diffusers_jasco.evaluation.metrics.drum_hits import match_onsets
from diffusers_jasco.extraction import separate_drums
from diffusers_jasco.extraction.drum_hit_model import (
    BANDS,
    FRAME_RATE,
    HOP,
    LOUDEST,
    RATE,
    VOICES,
    WINDOW,
    DrumHitModel,
)
from diffusers_jasco.extraction.drum_hits import choose_hits, pick_hits
from diffusers_jasco.training.checks import check_options
from diffusers_jasco.training.extractors import train_extractor
from diffusers_jasco.utils.arguments import CommandParser
from diffusers_jasco.utils.cli import run_command
from diffusers_jasco.utils.files import replace_file


KITS = (0, 2, 5, 8, 16, 24, 25, 32, 40)  # General MIDI kits
KEYS = tuple(key for key in DRUM_VOICES if 35 <= key <= 81)
LAYERS = (55, 105)  # velocities at which the sounds of a font are recorded
SPACING = 2.0  # seconds between recorded sounds
LENGTH = 1.2  # seconds of a recorded sound
ATTACK = 0.08  # seconds whose root mean square is the level of a hit
GAIN = 320.0  # magnitude of a sine of amplitude 1
# Files of Sonic Pi (CC0) whose names identify the drum.
SAMPLES = {
    "kick": "bd_808 bd_ada bd_boom bd_fat bd_gas bd_haus bd_klub bd_pure bd_sone bd_tek bd_zome bd_zum drum_bass_hard"
    " drum_bass_soft drum_heavy_kick elec_hollow_kick elec_soft_kick",
    "snare": "drum_snare_hard drum_snare_soft elec_filt_snare elec_hi_snare elec_lo_snare elec_mid_snare elec_snare"
    " sn_dolf sn_dub sn_zome",
    "hat": "drum_cymbal_closed drum_cymbal_pedal",
    "open hat": "drum_cymbal_open drum_splash_hard drum_splash_soft drum_cymbal_hard drum_cymbal_soft elec_cymbal",
    "tom": "drum_tom_hi_hard drum_tom_hi_soft drum_tom_lo_hard drum_tom_lo_soft drum_tom_mid_hard drum_tom_mid_soft"
    " elec_fuzz_tom",
    "cowbell": "drum_cowbell",
    "clap": "perc_snap perc_snap2",
    "rim": "elec_wood elec_tick",
}
# Keys by their frequency in random grooves.
FREQUENT = (
    *(36, 36, 36, 35, 38, 38, 38, 40, 42, 42, 42, 42, 44, 46, 46, 46, 49, 57, 51, 51, 51, 53, 59, 39, 39, 39, 37, 37),
    *(37, 41, 43, 45, 45, 47, 48, 50, 56, 56, 70, 70, 54, 82, 69, 55, 62, 63, 64, 75, 76, 60, 61),
)

ODD = 0.5  # share of clips with random hits
DRUMLESS = 0.12  # share of clips without drums
ALONE = 0.4  # share of clips with drums alone
SEPARATED = 0.6  # share of the other clips, from which the drums are separated
NOISY = 0.3  # share of examples with noise
NEIGHBOR = 0.5  # target of the frames beside a hit
HIT_WEIGHT = 3.0  # weight of the frames of hits, which are rare
LEVEL_WEIGHT = 0.3  # of the loss of levels
TOLERANCE = 5.0  # frames (50 ms) between estimated hits and those of a clip


def parse_args(args=None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--init", type=Path, help="folder of a model to start from (default: random weights)")
    parser.add_argument("--clips", type=Path, help="file of the clips, which is read if it exists")
    parser.add_argument("--renderer", default="fluidsynth")
    parser.add_argument("--soundfonts", type=Path, nargs="*", help="General MIDI sound fonts (default: the MIT fonts)")
    parser.add_argument("--kits", type=int, nargs="+", default=KITS, help="General MIDI kits of the sound fonts")
    parser.add_argument("--samples", type=Path, help="folder with Sonic Pi's samples")
    parser.add_argument("--num_clips", type=int, default=1800)
    parser.add_argument("--num_validation_clips", type=int, default=150)
    parser.add_argument("--num_music", type=int, default=160, help="clips of other instruments for mixes")
    parser.add_argument("--duration", type=float, default=6.0, help="seconds per clip")
    parser.add_argument("--max_steps", type=int, default=5000)
    parser.add_argument("--batch_size", type=int, default=12)
    parser.add_argument("--num_frames", type=int, default=200, help="frames (10 ms) per example")
    parser.add_argument("--learning_rate", type=float, default=3e-3)
    parser.add_argument("--weight_decay", type=float, default=0.01)
    parser.add_argument("--warmup_steps", type=int, default=100)
    parser.add_argument("--log_every", type=int, default=500, help="steps")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(args)
    check_options(parser, args)
    return args


@dataclass(frozen=True)
class Hit:
    """A hit of a General MIDI drum: seconds, and a velocity in (0, 1]."""

    start: float
    key: int
    velocity: float


# 1. Sounds


class Sounds:
    """Recorded sounds by kit and key: for each, waveforms of the layers with their amplitudes."""

    def __init__(self, args: argparse.Namespace):
        self.kits: list[dict[int, list[tuple[float, np.ndarray]]]] = []
        for font in args.soundfonts or find_soundfonts(args.renderer):
            renderer = get_renderer(args.renderer, str(font), RATE)
            for program in tqdm(args.kits, desc=font.name):
                self.kits.append(_record_kit(renderer, program))
        self.samples = [] if args.samples is None else _read_samples(args.samples)

    def draw(self, keys: set[int], rng: np.random.Generator) -> dict[int, list[tuple[float, np.ndarray]]]:
        """Sounds for the keys: mostly those of one kit, sometimes of the drum machine or single samples."""
        kit, tuning = self.kits[rng.integers(len(self.kits))], rng.uniform(0.7, 1.4)
        kind = rng.random()
        speed = rng.uniform(0.85, 1.18) if rng.random() < 0.5 else 1.0
        chosen = {}
        for key in sorted(keys):
            voice = DRUM_VOICES[key]
            samples = [sound for name, sound in self.samples if name == voice]
            if kind < 0.2 or key not in kit:
                chosen[key] = [(1.0, play_hits([(voice, 0.0, 1.0)], LENGTH, RATE, tuning))]
            elif samples and rng.random() < (0.7 if kind < 0.45 else 0.05):
                chosen[key] = [(1.0, samples[rng.integers(len(samples))])]
            else:
                source = self.kits[rng.integers(len(self.kits))] if kind > 0.9 else kit
                chosen[key] = source.get(key, kit[key])
        return {key: [(level, _change_speed(sound, speed)) for level, sound in own] for key, own in chosen.items()}


def _record_kit(renderer, program: int) -> dict[int, list[tuple[float, np.ndarray]]]:
    jobs = [(key, velocity) for key in KEYS for velocity in LAYERS]
    notes = [(index * SPACING, index * SPACING + 0.12, *job) for index, job in enumerate(jobs)]
    audio = renderer.render({"drums": (program, True, notes)}, len(jobs) * SPACING)["drums"]
    kit = defaultdict(list)
    size, fade = round(LENGTH * RATE), np.linspace(1, 0, round(0.2 * RATE), dtype=np.float32)
    for index, (key, velocity) in enumerate(jobs):
        sound = audio[round(index * SPACING * RATE) :][:size].copy()
        sound[-len(fade) :] *= fade
        if np.abs(sound).max() > 1e-4:
            kit[key].append(((velocity / 127) ** 2, sound))
    return dict(kit)


def _read_samples(folder: Path) -> list[tuple[str, np.ndarray]]:
    samples = []
    for voice, names in SAMPLES.items():
        for name in names.split():
            audio, rate = load_audio(folder / f"{name}.flac")
            sound = resample(audio.mean(dim=0, keepdim=True), rate, RATE)[0].numpy()[: round(LENGTH * RATE)]
            first = int(np.argmax(np.abs(sound) > 0.02 * np.abs(sound).max()))
            samples.append((voice, sound[first:] / np.abs(sound).max() * 0.6))
    return samples


def _change_speed(sound: np.ndarray, speed: float) -> np.ndarray:
    if speed == 1:
        return sound
    positions = np.arange(0, len(sound) - 1, speed)
    return np.interp(positions, np.arange(len(sound)), sound).astype(np.float32)


# 2. Hits


def _odd_hits(duration: float, rng: np.random.Generator) -> list[Hit]:
    """A random groove with a random feel."""
    steps_per_beat = rng.choice([4, 3, 6, 2], p=[0.65, 0.2, 0.08, 0.07])
    step = 60 / rng.uniform(60, 190) / steps_per_beat
    swing = rng.uniform(0.5, 0.7) if steps_per_beat % 2 == 0 and rng.random() < 0.3 else 0.5
    size = int(rng.choice([2, 3, 4])) * int(steps_per_beat) * int(rng.choice([1, 2]))
    jitter = rng.choice([0.0, 0.004, 0.01])
    first = rng.uniform(0, 4 * step)
    hits = []
    for key in set(rng.choice(FREQUENT, rng.integers(1, 7)).tolist()):
        pattern = rng.random(size) < rng.uniform(0.08, 0.6)
        if rng.random() < 0.4:
            pattern = np.arange(size) % rng.choice([1, 2, 3, 4]) == 0
        accents = rng.choice([0.3, 0.5, 0.7, 1.0], size)
        if rng.random() < 0.4:
            accents[:] = 1
        for number in range(int((duration - first) / step)):
            place = number % size
            if not pattern[place]:
                continue
            start = first + (number + (2 * swing - 1) * (number % 2)) * step + rng.normal() * jitter
            velocity = float(np.clip(accents[place] * rng.uniform(0.9, 1.1), 0.1, 1))
            hits.append(Hit(start, key, velocity))
            if rng.random() < 0.02:
                hits.append(Hit(start + step / 2, key, 0.7 * velocity))
    return [hit for hit in hits if 0 <= hit.start < duration - 0.02]


def _music_hits(music: SyntheticMusic, rng: np.random.Generator) -> list[Hit]:
    """The hits of a piece with drums."""
    while True:
        score = music.score(int(rng.integers(len(music))))
        hits = [
            Hit(start - score.preroll, key, (velocity / 127) ** 2)
            for start, _, key, velocity in score.notes.get("drums", [])
            if score.preroll <= start < score.preroll + score.duration - 0.02 and key in KEYS
        ]
        if hits:
            return hits


def _play(
    hits: list[Hit], sounds: dict[int, list[tuple[float, np.ndarray]]], duration: float
) -> tuple[np.ndarray, list[tuple[int, float, float]]]:
    """The audio, and the hits as `(index in VOICES, start, level)`."""
    audio, played = np.zeros(round(duration * RATE), np.float32), []
    closings = sorted(hit.start for hit in hits if DRUM_VOICES[hit.key] == "hat")
    for hit in hits:
        layers = sounds[hit.key]
        amplitude, sound = min(layers, key=lambda layer: abs(layer[0] - hit.velocity))
        sound = sound * np.float32(hit.velocity / amplitude)
        if hit.key == 46 and (later := [time for time in closings if time > hit.start]):
            time = np.arange(len(sound)) / RATE
            sound = sound * np.clip(1 - (time - (later[0] - hit.start)) / 0.01, 0, 1)
        first = round(hit.start * RATE)
        part = sound[: len(audio) - first]
        audio[first : first + len(part)] += part
        level = np.sqrt(np.square(sound[: round(ATTACK * RATE)]).mean())
        played.append((VOICES.index(DRUM_VOICES[hit.key]), hit.start, float(level)))
    return audio, played


# 3. Clips


def make_clips(split: str, num_clips: int, sounds: Sounds, args: argparse.Namespace) -> list[tuple]:
    """Magnitudes (frames, bands) in float16, and hits `(index in VOICES, start in frames, level)`, of each clip."""
    seed = [args.seed, split == "train"]
    options = {"renderer": args.renderer, "soundfonts": args.soundfonts, "stems": True, "sampling_rate": RATE}
    num_music = args.num_music if split == "train" else max(args.num_music // 8, 1)
    music = SyntheticMusic(split, num_music, "both", args.duration, seed=args.seed + 900, **options)
    rest = []
    for item in tqdm(music, desc=f"{split}: music", total=num_music):
        drums = item["stems"].get("drums")
        rest.append((item["audio"] if drums is None else item["audio"] - drums)[0].numpy().astype(np.float16))
    scores = SyntheticMusic(split, 10**6, "both", args.duration, renderer=None, seed=args.seed + 901)
    return [
        _make_clip(scores, rest, sounds, args.duration, np.random.default_rng([*seed, index]))
        for index in tqdm(range(num_clips), desc=f"{split}: clips")
    ]


def save_clips(clips: dict[str, list[tuple]], file: Path):
    """Saves the clips of each split."""
    tensors = {}
    for split, split_clips in clips.items():
        for index, (magnitudes, hits) in enumerate(split_clips):
            tensors[f"{split}/{index:05d}/magnitudes"] = np.ascontiguousarray(magnitudes)
            tensors[f"{split}/{index:05d}/hits"] = np.array(hits, dtype=np.float64).reshape(-1, 3)
    with replace_file(file) as partial:
        save_file(tensors, partial)


def load_clips(file: Path) -> dict[str, list[tuple]]:
    """Loads the clips of each split."""
    tensors, clips = load_file(file), defaultdict(list)
    for name in sorted(name for name in tensors if name.endswith("/hits")):
        split, index, _ = name.split("/")
        hits = [(int(voice), start, level) for voice, start, level in tensors[name].tolist()]
        clips[split].append((tensors[f"{split}/{index}/magnitudes"], hits))
    return clips


def _make_clip(
    scores: SyntheticMusic, rest: list[np.ndarray], sounds: Sounds, duration: float, rng: np.random.Generator
) -> tuple[np.ndarray, list[tuple[int, float, float]]]:
    hits = _odd_hits(duration, rng) if rng.random() < ODD else _music_hits(scores, rng)
    drums, played = _play(hits, sounds.draw({hit.key for hit in hits}, rng), duration)
    volume = 0.5 / max(float(np.abs(drums).max()), 1e-4)
    drums *= np.float32(volume)
    if rng.random() < 0.6:
        drums = make_room({"drums": drums}, RATE, rng, {"drums": rng.uniform(0, 1)})["drums"]
    if rng.random() < 0.2:
        gain = rng.uniform(1, 4)
        drums = np.tanh(gain * drums) / gain
    audio = drums
    kind = rng.random()
    separated = rng.random() < SEPARATED
    if kind < 1 - ALONE:
        other = rest[rng.integers(len(rest))].astype(np.float32)
        if rng.random() < 0.5:
            other = np.roll(other, rng.integers(len(other)))
        other = other / max(float(np.sqrt(np.square(other).mean())), 1e-3)
        audio = np.float32(0.1 * 10 ** rng.uniform(-0.5, 0.2)) * other
        if kind < DRUMLESS:
            played = []
        else:
            audio = audio + drums
    loudest = _loudest(audio)
    if kind < 1 - ALONE and separated:
        audio = separate_drums(torch.from_numpy(audio)[None], RATE, method="builtin")[0][0].numpy()
    magnitudes = np.concatenate([BANDS.magnitudes(frames) for frames in frame_blocks([audio], WINDOW, HOP)])
    scale = LOUDEST / max(loudest, 1e-6)
    factor = GAIN * scale * volume
    played = [
        (voice, start * FRAME_RATE, float(np.log10(max(factor * level, 1e-4)))) for voice, start, level in played
    ]
    return (magnitudes * scale).astype(np.float16), played


def _loudest(audio: np.ndarray) -> float:
    return float(max(BANDS.magnitudes(frames).max() for frames in frame_blocks([audio], WINDOW, HOP)))


def make_targets(hits: list[tuple[int, float, float]], num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and levels (frames, 10); the levels are NaN where there is no hit."""
    onsets = np.zeros((num_frames, len(VOICES)), np.float32)
    levels = np.full((num_frames, len(VOICES)), np.nan, np.float32)
    for offset, value in ((-1, NEIGHBOR), (1, NEIGHBOR), (0, 1.0)):
        for voice, start, level in sorted(hits, key=lambda hit: hit[2]):
            frame = round(start) + offset
            if 0 <= frame < num_frames:
                onsets[frame, voice], levels[frame, voice] = value, level
    return onsets, levels


# 4. Training


def draw_examples(clips: list[tuple], args: argparse.Namespace, rng: np.random.Generator) -> tuple[torch.Tensor, ...]:
    """Augmented excerpts (batch, frames, bands), with their onsets and levels (batch, frames, 10)."""
    examples = [_draw(clips[rng.integers(len(clips))], args.num_frames, rng) for _ in range(args.batch_size)]
    return tuple(torch.from_numpy(np.stack(parts)) for parts in zip(*examples))


def _draw(clip: tuple, num_frames: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    magnitudes, hits = clip
    start = int(rng.integers(max(len(magnitudes) - num_frames, 0) + 1))
    onsets, levels = make_targets([(voice, time - start, level) for voice, time, level in hits], num_frames)
    excerpt = magnitudes[start : start + num_frames].astype(np.float32)
    excerpt = np.pad(excerpt, ((0, num_frames - len(excerpt)), (0, 0)))
    size = excerpt.shape[1]
    if (bands := int(rng.integers(-1, 2))) != 0:
        excerpt = np.roll(excerpt, bands, axis=1)
        excerpt[:, 0 if bands > 0 else -1] = 0
    position = np.linspace(-1, 1, size)
    ripple = np.sin(position * rng.uniform(2, 8) + rng.uniform(0, 2 * np.pi))
    level = rng.normal(0, 0.2) * position + rng.normal(0, 0.15) * position**2 + rng.normal(0, 0.12) * ripple
    gain = rng.normal(0, 0.15)
    excerpt *= 10 ** (level + gain).astype(np.float32)
    if rng.random() < 0.15:  # low-pass as by a lower sampling rate or a codec
        excerpt[:, int(rng.integers(int(0.7 * size), size)) :] = 0
    if rng.random() < NOISY:
        noise = np.abs(rng.standard_normal(excerpt.shape, dtype=np.float32))
        excerpt += np.float32(10 ** rng.uniform(-2.5, -0.5)) * noise
    return excerpt, onsets, levels + np.float32(gain)


def hit_loss(output: tuple[torch.Tensor, torch.Tensor], onsets: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the onsets, weighted for the rare hits, and the absolute error of the levels of the hits."""
    logits, estimates = output
    weights = 1 + (HIT_WEIGHT - 1) * onsets
    loss = (F.binary_cross_entropy_with_logits(logits, onsets, reduction="none") * weights).mean()
    known = ~levels.isnan()
    errors = F.smooth_l1_loss(estimates, levels.nan_to_num(), reduction="none", beta=0.1) * known
    return 10 * loss + LEVEL_WEIGHT * errors.sum() / known.sum().clamp(min=1)


def validate(model: DrumHitModel, clips: list[tuple]) -> dict[str, float]:
    """Loss, and F1 (within 50 ms) of each drum, over all clips."""
    losses, counts = [], np.zeros((len(VOICES), 3))
    for magnitudes, hits in clips:
        logits, levels = model(torch.from_numpy(magnitudes.astype(np.float32))[None])
        targets = [torch.from_numpy(part)[None] for part in make_targets(hits, len(magnitudes))]
        losses.append(hit_loss((logits, levels), *targets).item())
        found = choose_hits(pick_hits(logits[0].sigmoid().numpy(), levels[0].numpy()))
        for voice in range(len(VOICES)):
            estimate = sorted(hit.frame for hit in found if hit.drum == voice)
            reference = sorted({start for drum, start, _ in hits if drum == voice})
            counts[voice] += match_onsets(estimate, reference, TOLERANCE), len(estimate), len(reference)
    scores = 2 * counts[:, 0] / np.maximum(counts[:, 1] + counts[:, 2], 1)
    return {"validation": float(np.mean(losses))} | {
        voice: round(float(score), 3) for voice, score in zip(VOICES, scores)
    }


def main(args=None):
    args = parse_args(args)
    accelerator = Accelerator()
    set_seed(args.seed)
    rng = np.random.default_rng([args.seed, accelerator.process_index])
    args.output.mkdir(parents=True, exist_ok=True)
    file = args.clips or args.output / "clips.safetensors"
    if accelerator.is_main_process and not file.is_file():
        sounds = Sounds(args)
        sizes = {"validation": args.num_validation_clips, "train": args.num_clips}
        save_clips({split: make_clips(split, size, sounds, args) for split, size in sizes.items()}, file)
    accelerator.wait_for_everyone()
    clips = load_clips(file)

    def draw_loss(model: torch.nn.Module) -> torch.Tensor:
        magnitudes, onsets, levels = (part.to(accelerator.device) for part in draw_examples(clips["train"], args, rng))
        return hit_loss(model(magnitudes), onsets, levels)

    model = DrumHitModel() if args.init is None else DrumHitModel.from_pretrained(args.init)
    train_extractor(model, draw_loss, lambda model: validate(model, clips["validation"]), accelerator, args)


if __name__ == "__main__":
    sys.exit(run_command(main, "train_drum_transcriber"))
