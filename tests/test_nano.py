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


"""The model that ships with the repository."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from diffusers_jasco import JascoPipeline
from diffusers_jasco.controls.chords import chords_from_bars
from diffusers_jasco.data.synthetic.instruments import DRUM_KEYS
from diffusers_jasco.data.synthetic.rendering import find_soundfonts, get_renderer
from diffusers_jasco.evaluation import analyze_references, evaluate_pipeline, flatten
from diffusers_jasco.evaluation.control_estimators import ESTIMATORS
from diffusers_jasco.evaluation.estimators.chords import estimate_chords
from diffusers_jasco.evaluation.estimators.melody import melody_by_harmonic_sum
from diffusers_jasco.evaluation.estimators.onsets import onsets_by_noise_flux, onsets_by_percussive_flux
from diffusers_jasco.evaluation.handwritten import handwritten_items
from diffusers_jasco.evaluation.metrics.chord_qualities import score_labels
from diffusers_jasco.evaluation.metrics.chords import score_chords
from diffusers_jasco.evaluation.metrics.melody import score_melody
from diffusers_jasco.evaluation.metrics.onsets import score_onsets
from diffusers_jasco.evaluation.metrics.sound import check_sound


NANO = Path(__file__).parents[1] / "pipelines/jasco-nano"
ROOTS = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
DURATION = 10.0


@pytest.fixture(scope="module")
def pipe():
    pipe = JascoPipeline.from_pretrained(NANO)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def draw_progression(rng: random.Random) -> list[tuple[str, float]]:
    roots = [rng.randrange(12)]
    while len(roots) < 6:
        roots.append((roots[-1] + rng.randrange(1, 12)) % 12)
    bars = [ROOTS[root] + rng.choice(("", "m")) for root in roots]
    return chords_from_bars(" | ".join(bars), bpm=144)


def draw_beat(rng: random.Random, rate: int) -> tuple[torch.Tensor, list[float]]:
    """A kick and a snare in a pattern of a bar at a tempo of its own, hats between."""
    step = 15 / rng.uniform(85, 130)
    hits = {slot: rng.choice(("kick", "snare")) for slot in [0, *rng.sample(range(1, 16), 5)]}
    notes = [
        (time, time + 0.1, DRUM_KEYS[hits[index % 16]], 110)
        for index, time in enumerate(np.arange(0, DURATION, step))
        if index % 16 in hits
    ]
    renderer = get_renderer("tinysoundfont", str(find_soundfonts("tinysoundfont")[0]), rate)
    samples = renderer.render({"drums": (0, True, notes)}, DURATION)["drums"]
    return torch.from_numpy(0.5 * samples / np.abs(samples).max())[None], [start for start, *_ in notes]


def generate(pipe, prompt="pop, piano, drums", seed=0, **controls) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return pipe(prompt, generator=generator, duration=DURATION, **controls).audios[0]


def test_random_chords_and_a_random_beat_are_followed_better_than_others(pipe):
    pytest.importorskip("tinysoundfont")
    rng = random.Random(0)
    chords, (beat, onsets) = draw_progression(rng), draw_beat(rng, pipe.sampling_rate)
    audio = generate(pipe, chords=chords, drums=(beat, pipe.sampling_rate))

    estimate = estimate_chords((audio, pipe.sampling_rate))
    root = score_chords(estimate, chords, DURATION)["root"]
    others = [score_chords(estimate, draw_progression(rng), DURATION)["root"] for _ in range(20)]
    assert root > 0.3 and root > np.mean(others) + 0.2, f"{root:.2f}, others {np.mean(others):.2f}"

    estimate = onsets_by_percussive_flux((audio, pipe.sampling_rate))
    onset = score_onsets(estimate, onsets)["onset_f1"]
    others = [score_onsets(estimate, draw_beat(rng, pipe.sampling_rate)[1])["onset_f1"] for _ in range(10)]
    assert onset > np.mean(others) + 0.1, f"{onset:.2f}, others {np.mean(others):.2f}"


def test_a_melody_is_followed(pipe):
    rng = random.Random(1)
    melody = [(rng.choice((60, 62, 64, 65, 67, 69, 72, 74)), 0.5 * beat, 0.5 * beat + 0.45) for beat in range(20)]
    audio = generate(pipe, "pop, flute and piano, no drums", melody=melody)
    estimate = melody_by_harmonic_sum((audio, pipe.sampling_rate))
    shifted = [(pitch + 6, start, end) for pitch, start, end in melody]
    chroma = score_melody(estimate, melody)["chroma"]
    assert chroma > 0.4 and chroma > score_melody(estimate, shifted)["chroma"] + 0.3


@pytest.fixture(scope="module")
def adherence(pipe) -> dict[str, float]:
    """A of two songs and a walk through rare chords, all written by hand, by condition, control and metric."""
    quick = ("segment templates", "blind estimate", "note fit", "percussive flux")
    items = handwritten_items(pipe.sampling_rate, DURATION)
    estimators = [estimator for estimator in ESTIMATORS if estimator.name in quick]
    references = analyze_references([items[0], items[6], items[15]], estimators)
    conditions = ("all", "swapped", "chords", "drums", "melody", "none")
    return flatten(evaluate_pipeline(pipe, references, conditions, settings={"num_inference_steps": 12}, min_clips=2))


METRICS = {"chords": "root", "melody": "chroma", "drums": "onset_f1"}


@pytest.mark.parametrize("control", METRICS)
def test_handwritten_controls_are_followed_together_swapped_and_alone(adherence, control):
    together, swapped, alone, without = (
        adherence[f"{condition}/{control}/{METRICS[control]}"] for condition in ("all", "swapped", control, "none")
    )
    assert min(together, swapped, alone) > 0.4 and min(together, swapped, alone) > without + 0.3


@pytest.mark.parametrize("control, other", [("chords", "drums"), ("melody", "drums"), ("drums", "melody")])
def test_missing_controls_are_matched_by_chance_only(adherence, control, other):
    value = adherence[f"{other}/{control}/{METRICS[control]}"]
    assert value < 0.35 and value < adherence[f"all/{control}/{METRICS[control]}"] - 0.3


def test_rare_chords_contain_their_notes(pipe):
    requested = chords_from_bars("Cm7b5/Bb | Ebaug | F#dim | Abm6 | D7/F# | Bb/C", bpm=144)
    others = chords_from_bars("F#m7b5/E | Aaug | Cdim | Dm6 | Ab7/C | E/F#", bpm=144)
    estimate = estimate_chords((generate(pipe, chords=requested), pipe.sampling_rate))
    tones, by_chance = (score_labels(estimate, chords, DURATION)["tones"] for chords in (requested, others))
    assert tones > 0.6 and tones > by_chance + 0.2


def test_text_alone_controls_the_presence_of_drums(pipe):
    styles = ("rock with electric guitar", "pop with piano", "funk with electric bass", "jazz with piano")
    prompts = [f"{style}, {word}" for word in ("drums", "no drums") for style in styles]
    generators = [torch.Generator().manual_seed(seed) for seed in (0, 1, 2, 3)] * 2
    audios = pipe(prompts, duration=5.0, generator=generators).audios
    hits = [len(onsets_by_noise_flux((audio, pipe.sampling_rate))) for audio in audios]
    assert np.mean(hits[:4]) > np.mean(hits[4:]) + 5, hits


def test_the_same_seed_gives_the_same_audio(pipe):
    first, again, other = (generate(pipe, seed=seed, num_inference_steps=2) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.allclose(first, other, atol=1e-3)


def test_audio_is_clean(pipe):
    audio = generate(pipe, "energetic funk with clean electric guitar, drums", chords="C:0 F:2.5 G:5 C:7.5")
    assert audio.shape == (1, 10 * pipe.sampling_rate)
    sound = check_sound((audio, pipe.sampling_rate))
    assert sound.clipped_share == 0 and abs(sound.dc) < 0.01 and sound.longest_silence < 0.5


def test_other_durations(pipe):
    audio = pipe("calm ambient", duration=4.0, num_inference_steps=2).audios
    assert audio.shape == (1, 1, 4 * pipe.sampling_rate)


def test_the_folder_is_small_and_contains_only_data():
    files = [file for file in NANO.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 24e6
    assert {file.suffix for file in files} <= {".safetensors", ".json", ".md", ".png"}
