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

"""The tempo of the music: `bpm`, `beats_per_bar`, `beats`, and tempos that are chosen."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
import torch
from diffusers.utils import logging

from diffusers_jasco import JascoAudioToAudioPipeline, JascoPipeline, JascoTempoModel, export_audio, load_audio
from diffusers_jasco.audio.metadata import read_metadata
from diffusers_jasco.commands.generate import main
from diffusers_jasco.controls.beats import Tempo, beats_to_frames, regular_beats
from diffusers_jasco.controls.chords import chords_from_bars, chords_to_frames
from diffusers_jasco.controls.drum_machine import GROOVES
from diffusers_jasco.controls.note_text import melody_from_text
from diffusers_jasco.extraction import Beats
from diffusers_jasco.generation.batches import GenerationRequest, generate_batch, save_clips
from diffusers_jasco.inputs import InputError, read_melody
from diffusers_jasco.tempo import TempoDistribution, draw_seeds, tempo_in_words

from ..conformance import adapter


TEMPOS = tuple(JascoTempoModel().config.tempos)
CHORDS = [("C", 0.0), ("Am", 2.5), ("F", 5.0), ("G", 7.5)]
IRREGULAR = [("C", 0.1), ("F", 0.38), ("G", 0.81), ("Am", 1.04), ("F", 1.52), ("C", 1.6)]
BEAT = (torch.sin(torch.arange(64)), adapter.SAMPLING_RATE)


def around(bpm: float, beats_per_bar: int = 4) -> TempoDistribution:
    """A distribution of tempos within about 10% of `bpm`."""
    probabilities = np.full((3, len(TEMPOS)), 1e-9)
    probabilities[beats_per_bar - 2] += np.exp(-0.5 * (np.log(np.array(TEMPOS) / bpm) / 0.05) ** 2)
    return TempoDistribution(np.array(TEMPOS), (2, 3, 4), probabilities / probabilities.sum())


@pytest.fixture(scope="module")
def pipe():
    """A pipeline with all controls at toy size, which finds tempos around 112 BPM probable for all prompts."""
    pipe = JascoPipeline(**adapter.pipeline_components())
    with torch.no_grad():
        pipe.tempo_model.proj_out.bias += torch.from_numpy(around(112).probabilities).float().log().flatten()
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def without_beats():
    """A pipeline like those of earlier checkpoints."""
    return JascoPipeline(**adapter.pipeline_components(beats=False) | {"tempo_model": None})


def run(pipe, prompt="pop", seed=0, **arguments):
    generator = torch.Generator().manual_seed(seed)
    defaults = {"num_inference_steps": 1, "output_type": "latent", "generator": generator}
    return pipe(prompt, **defaults | arguments)


# 1. Words


@pytest.mark.parametrize(
    "prompt, bpm",
    [
        ("80s pop at 96 bpm", 96),
        ("96 BPM, house", 96),
        ("techno, 132bpm", 132),
        ("a 90-BPM groove", 90),
        ("ballad at 72.5 beats per minute", 72.5),
        ("BPM: 104", 104),
        ("pop, bpm=99, drums", 99),
        ("80s pop", None),
        ("12 bar blues", None),
        ("9000 bpm", None),
        ("1.500 bpm", None),
        ("", None),
        (None, None),
    ],
)
def test_a_tempo_in_the_prompt(prompt, bpm):
    assert tempo_in_words(prompt) == bpm


def test_samples_follow_the_distribution():
    probabilities = np.zeros((3, len(TEMPOS)))
    probabilities[0, 10], probabilities[2, 30] = 0.25, 0.75
    distribution = TempoDistribution(np.array(TEMPOS), (2, 3, 4), probabilities)
    samples = [distribution.sample(seed) for seed in range(400)]
    assert {tempo.beats_per_bar for tempo in samples} == {2, 4}
    assert 0.65 < sum(tempo.beats_per_bar == 4 for tempo in samples) / len(samples) < 0.85
    for tempo in samples:
        center = TEMPOS[30 if tempo.beats_per_bar == 4 else 10]
        assert abs(tempo.bpm - center) <= 0.02 * center + 0.5 and tempo.bpm == round(tempo.bpm)
    # Beats per bar given the tempo, and the other way around.
    assert {distribution.sample(seed, TEMPOS[10] + 0.1) for seed in range(9)} == {Tempo(TEMPOS[10] + 0.1, 2)}
    assert {distribution.given(4).sample(seed).beats_per_bar for seed in range(9)} == {4}
    assert {distribution.given(7).sample(seed).beats_per_bar for seed in range(9)} == {7}


def test_a_tempo_in_the_prompt_that_is_not_used_is_reported(pipe, caplog):
    logging.enable_propagation()
    logging.set_verbosity_info()

    def report(prompt, **arguments):
        caplog.clear()
        run(pipe, prompt, **arguments)
        return [(record.levelname, record.message) for record in caplog.records if "BPM" in record.message]

    try:
        with caplog.at_level("INFO"):
            assert report("pop, 96BPM") == [("INFO", "Tempo: 96 BPM, 4 beats per bar.")]
            assert report("96 bpm", beats=[0, 0.5, 1.0, 1.5, 2.0]) == [
                ("INFO", "Tempo: 120 BPM, 4 beats per bar; 96 BPM in the prompt are not used."),
                ("WARNING", "The prompt says 96 BPM, which is not used: `beats` has 120 BPM."),
            ]
            assert report("96 bpm", bpm=96.2) == [("INFO", "Tempo: 96.2 BPM, 4 beats per bar.")]
            assert report("96 bpm", bpm=False) == [("INFO", "Tempo: none; 96 BPM in the prompt are not used.")]
            *infos, warning = report(["at 96 bpm", "96 BPM", "120 bpm", "from 96 bpm to 120 bpm"], bpm=120)
            assert [level for level, _ in infos] == ["INFO"] * 4
            assert warning == ("WARNING", "The prompt says 96 BPM, which is not used: `bpm` is 120.")
    finally:
        logging.set_verbosity_warning()
        logging.disable_propagation()


@pytest.mark.parametrize(
    "prompt, arguments, reason",
    [
        ("96 bpm", {"drums": GROOVES["waltz"]}, "the groove has 144 BPM"),
        ("96 bpm", {"drums": BEAT}, "with a recording of drums or a melody in seconds, only `bpm` sets a tempo"),
        ("101 bpm", {"chords": CHORDS, "duration": 10.0}, "the chords have 96 BPM"),
        ("96 bpm", {"chords": IRREGULAR}, "no tempo fits the chords"),
        ("500 bpm", {}, "a tempo has 20 to 400 BPM"),
    ],
)
def test_a_tempo_in_the_prompt_that_is_not_used_causes_a_warning(pipe, warnings, prompt, arguments, reason):
    run(pipe, prompt, **arguments)
    assert warnings.messages[-1] == f"The prompt says {prompt[:3].strip()} BPM, which is not used: {reason}."


# 2. Chords


def starts(bpm: float, bars: list[float], beats_per_bar: int = 4) -> list[float]:
    return [position * beats_per_bar * 60 / bpm for position in bars]


@pytest.mark.parametrize("shift", [0.0, 0.7])
@pytest.mark.parametrize("words", [100, 112, 120, 126])
def test_chords_of_one_bar_have_the_tempo_of_their_bars(words, shift):
    assert around(words).fit([time + shift for _, time in CHORDS]) == Tempo(96, 4)


def test_words_decide_between_tempos_that_fit_the_chords():
    times = [time for _, time in CHORDS]
    assert around(48).fit(times).bpm == 48 and around(192).fit(times) == Tempo(192, 4)
    assert around(72, 3).fit(times) == Tempo(72, 3) == around(112).given(3).fit(times)
    assert around(112).fit(times, bpm=96) == Tempo(96, 4) and around(112).fit(times, bpm=101) is None


@pytest.mark.parametrize("bpm", [61, 84.5, 119, 143])
def test_inexact_chords_have_a_tempo(bpm):
    rng = np.random.default_rng(0)
    exact = np.array(starts(bpm, [0, 1, 2, 2.5, 3, 4, 6, 7, 7.5, 8]))
    tempo = around(bpm).fit(np.round(exact + rng.normal(0, 0.02, len(exact)) * (exact > 0), 2))
    assert tempo.beats_per_bar == 4 and tempo.bpm == pytest.approx(bpm, rel=0.01)


def test_irregular_chords_have_none():
    rng = np.random.default_rng(0)
    found = [around(112).fit(np.sort(rng.uniform(0, 20, 14))) for _ in range(50)]
    assert sum(tempo is not None for tempo in found) <= 3


def test_the_tempo_of_long_pieces_is_precise():
    bars = list(range(180))
    tempo = around(120).fit([round(time, 2) for time in starts(117.3, bars)])
    assert tempo == (117.3, 4)


# 3. The pipeline


def test_the_grid_is_that_of_the_reported_tempo(pipe):
    for arguments in ({}, {"bpm": 100}, {"bpm": 80, "beats_per_bar": 3}, {"beats_per_bar": 3}):
        conditioning = pipe.encode_conditioning("pop", **arguments)
        (tempo,) = conditioning.tempos
        expected = beats_to_frames(*regular_beats(*tempo, 2.0), 16, 8.0)
        assert torch.equal(conditioning.controls["beats"][0], expected)
        assert tempo.beats_per_bar == arguments.get("beats_per_bar", 4)
        assert tempo.bpm == arguments.get("bpm", tempo.bpm)


def test_a_number_in_the_prompt_is_exact(pipe):
    tempos = run(pipe, ["pop at 87.5 bpm", "pop", "200 BPM"]).tempos
    assert tempos[0].bpm == 87.5 and tempos[2].bpm == 200 and 90 < tempos[1].bpm < 140


def test_the_seed_determines_the_tempo_but_the_tempo_does_not_change_the_noise(pipe):
    tempos = [run(pipe, seed=seed).tempos[0] for seed in (0, 0, 1, 2, 3)]
    assert tempos[0] == tempos[1] and len(set(tempos)) > 2
    # In a new model, the beats have no effect.
    sampled, given, none = (run(pipe, **arguments).audios for arguments in ({}, {"bpm": 90}, {"bpm": False}))
    assert torch.equal(sampled, given) and torch.equal(sampled, none)
    generator = torch.Generator().manual_seed(5)
    state = generator.get_state()
    draw_seeds(generator, 2)
    assert torch.equal(generator.get_state(), state)


def test_a_tempo_does_not_depend_on_the_batch(pipe):
    prompts = ["a", "b", "c"]
    generators = [torch.Generator().manual_seed(seed) for seed in (0, 1, 2)]
    batch = run(pipe, prompts, generator=generators).tempos
    assert batch == [run(pipe, prompt, seed).tempos[0] for seed, prompt in enumerate(prompts)]
    assert len(set(batch)) > 1
    assert run(pipe, prompts).tempos[:2] == run(pipe, prompts[:2]).tempos
    generators = [torch.Generator().manual_seed(seed) for seed in (0, 9, 1, 9)]
    repeated = run(pipe, prompts[:2], num_waveforms_per_prompt=2, generator=generators).tempos
    assert repeated == [batch[0], batch[0], batch[1], batch[1]]


def test_without_a_generator_tempos_vary_and_follow_the_global_seed(pipe):
    torch.manual_seed(0)
    tempos = [run(pipe, generator=None).tempos[0] for _ in range(5)]
    torch.manual_seed(0)
    assert len(set(tempos)) > 1 and run(pipe, generator=None).tempos[0] == tempos[0]


@pytest.mark.parametrize(
    "arguments",
    [{"bpm": False}, {"drums": BEAT}, {"melody": [("C4", 0.0, 0.5)]}, {"beats": []}, {"chords": IRREGULAR}],
    ids=lambda arguments: next(iter(arguments)),
)
def test_music_without_a_grid(pipe, arguments):
    conditioning = pipe.encode_conditioning("pop at 100 bpm", **arguments)
    assert "beats" not in conditioning.controls and conditioning.tempos == (None,)


def test_empty_beats_of_one_prompt_exclude_only_its_tempo(pipe):
    assert run(pipe, ["pop"], beats=[[]]).tempos == [None]
    free, chosen = run(pipe, ["pop", "pop"], beats=[[], None]).tempos
    assert free is None and chosen is not None


def test_a_tempo_with_drums_or_a_melody_is_used(pipe):
    for control in ({"drums": BEAT}, {"melody": [("C4", 0.0, 0.5)]}):
        assert run(pipe, bpm=100, **control).tempos == [(100, 4)]


@pytest.mark.parametrize("bpm", [None, False])
def test_beats_per_bar_without_a_tempo_have_no_effect(pipe, warnings, bpm):
    for arguments in ({"bpm": 100}, {"drums": None}, {"beats": [0.0, 0.5, 1.0]}, {"chords": "C F"}):
        run(pipe, beats_per_bar=3, **arguments)
    assert not warnings.text
    assert run(pipe, beats_per_bar=3, drums=BEAT, bpm=bpm).tempos == [None]
    assert "`beats_per_bar` has no effect: the music has no tempo; set `bpm`." in warnings.text


def test_the_tempo_fits_chords_with_times(pipe):
    chords = [("N", 0.0), *((label, time + 0.25) for label, time in CHORDS)]
    conditioning = pipe.encode_conditioning("80s pop", chords=chords, duration=10.0)
    assert conditioning.tempos == ((96, 4),)
    expected = beats_to_frames(*regular_beats(96, 4, 10.0, start=0.25), 80, 8.0)
    torch.testing.assert_close(conditioning.controls["beats"][0], expected)
    # The tempo in the prompt, if it fits.
    assert run(pipe, "192 bpm", chords=CHORDS, duration=10.0).tempos[0].bpm == 192
    assert run(pipe, "101 bpm", chords=CHORDS, duration=10.0).tempos[0].bpm == 96


def test_chords_notes_and_grooves_share_the_tempo(pipe):
    labels = pipe.transformer.config.chord_labels
    for arguments in ({}, {"bpm": 150}, {"drums": GROOVES["waltz"]}):
        conditioning = pipe.encode_conditioning("pop", chords="C | F G", melody="C4 D4 E4 F4", **arguments)
        (tempo,) = conditioning.tempos
        timeline = [chord for chord in chords_from_bars("C | F G", *tempo) if chord[1] < 2]
        assert torch.equal(conditioning.controls["chords"][0], chords_to_frames(timeline, labels, 16, 8.0))
        melody = read_melody(melody_from_text("C4 D4 E4 F4", tempo.bpm), 16, 8.0)
        assert torch.equal(conditioning.controls["melody"][0], melody)
    assert conditioning.tempos == ((144, 3),)
    assert run(pipe, drums=GROOVES["waltz"], bpm=160).tempos == [(160, 3)]
    assert run(pipe, drums=GROOVES["waltz"], bpm=False).tempos == [None]


def test_the_file_of_a_groove_is_the_groove(pipe, tmp_path, warnings):
    files = [tmp_path / "loop.groove.json", tmp_path / "none.groove.json"]
    files[0].write_text(json.dumps(asdict(GROOVES["waltz"])))
    recording = GROOVES["house"].render(2.0, 16000), 16000
    for prompts, wrap in (("pop", lambda drums: drums), (["pop"] * 3, lambda drums: [drums, None, recording])):
        for arguments in ({}, {"bpm": 160}, {"beats_per_bar": 6}):
            expected, found = (
                pipe.encode_conditioning(
                    prompts, drums=wrap(drums), generator=torch.Generator().manual_seed(0), **arguments
                )
                for drums in (GROOVES["waltz"], str(files[0]))
            )
            assert found.tempos == expected.tempos and found.tempos[0].bpm in (144, 160)
            assert found.controls.keys() == expected.controls.keys()
            assert all(torch.equal(found.controls[name], expected.controls[name]) for name in found.controls)
    assert not warnings.text
    pipe.encode_conditioning("pop", drums=files[0], start=1.0)
    assert "`start` has no effect" in warnings.text
    with pytest.raises(FileNotFoundError, match="`drums`: the file .*none.groove.json does not exist"):
        pipe.encode_conditioning("pop", drums=files[1])
    files[1].write_text("{}")
    with pytest.raises(InputError, match="For prompt 1: `drums`: .*none.groove.json is not a groove") as error:
        pipe.encode_conditioning(["pop", "pop"], drums=files)
    assert (error.value.argument, error.value.prompt) == ("drums", 1)


def test_the_grid_begins_with_the_notes(pipe):
    # The first chord is on the third beat of the notes' first bar.
    chords = [(label, time + 1.25) for label, time in CHORDS]
    for progression in (chords, chords[:1]):
        conditioning = pipe.encode_conditioning("96 bpm", chords=progression, melody="C4 D4 E4", duration=10.0)
        assert conditioning.tempos[0].bpm == 96
        beat = conditioning.controls["beats"][0, 0]
        assert beat.tolist() == [0, 1, 0, 1, 1]
    with pytest.raises(InputError, match="notes in beats, 'C4 D4', which need a tempo: set `bpm`"):
        irregular = [("C", 0.0), ("Am", 2.53), ("F", 3.1), ("G", 5.79), ("C", 6.2)]
        pipe.encode_conditioning("pop", chords=irregular, melody="C4 D4", duration=8.0)


def test_grooves_begin_with_the_grid_and_last_until_the_end_of_the_last_frame(pipe, tmp_path, warnings):
    rate = pipe.sampling_rate
    conditioning = pipe.encode_conditioning("pop", drums=GROOVES["waltz"], duration=1.93)
    expected = pipe.encode_conditioning("pop", drums=(GROOVES["waltz"].render(2.0, rate), rate), bpm=144, duration=2.0)
    assert torch.equal(conditioning.controls["drums"], expected.controls["drums"])
    torch.testing.assert_close(
        conditioning.controls["beats"][0], beats_to_frames(*regular_beats(144, 3, 2.0), 16, 8.0)
    )
    # `start` applies to the other controls.
    (tmp_path / "a.lab").write_text("0 2 C\n2 4 F\n")
    started = pipe.encode_conditioning(
        "pop", chords=tmp_path / "a.lab", drums=GROOVES["waltz"], start=1.3, duration=1.93
    )
    assert not warnings.text
    for name in ("drums", "beats"):
        assert torch.equal(started.controls[name], conditioning.controls[name])


def test_bars_in_a_file_begin_with_the_music(pipe, tmp_path, warnings):
    (tmp_path / "bars.txt").write_text("C | F :|")
    options = {"chords": tmp_path / "bars.txt", "bpm": 240}
    first, second = (pipe.encode_conditioning("pop", **options, **start).controls for start in ({}, {"start": 1.0}))
    assert torch.equal(first["chords"], second["chords"]) and "`start` has no effect" in warnings.text


def test_shared_bars_are_warned_about_once(pipe, warnings):
    pipe.encode_conditioning(["a", "b"], chords="C | Cmaj13 :|", bpm=200)
    assert warnings.text.count("not in the vocabulary") == 1


def test_given_beats(pipe):
    beats = [0.1, 0.7, 1.3, 1.9]
    conditioning = pipe.encode_conditioning(["a", "b", "c"], beats=[beats, (beats, [0.7, 1.9]), None])
    assert conditioning.tempos[:2] == ((100, 4), (100, 2)) and conditioning.given["beats"].all()
    expected = beats_to_frames(beats, [0.7, 1.9], 16, 8.0)
    assert torch.equal(conditioning.controls["beats"][1], expected)
    assert 90 < conditioning.tempos[2].bpm < 140
    assert pipe.encode_conditioning("a", beats=beats, beats_per_bar=3).tempos == ((100, 3),)
    # Uneven beats still have the number of beats per bar that was given.
    assert pipe.encode_conditioning("a", beats=[0, 0.5, 1.0, 1.9], beats_per_bar=4).tempos[0].beats_per_bar == 4
    assert pipe.encode_conditioning("a", beats=[-1, 0.6, 1.5], beats_per_bar=2).tempos[0].beats_per_bar == 2


def test_iterators_are_read_once(pipe):
    given = {"melody": [("C4", 0.0, 0.5)], "chords": [("C", 0.0), ("F", 1.0)], "beats": [0.0, 0.5, 1.0]}
    expected = pipe.encode_conditioning("pop", **given)
    conditioning = pipe.encode_conditioning("pop", **{name: iter(value) for name, value in given.items()})
    assert all(torch.equal(conditioning.controls[name], expected.controls[name]) for name in given)
    assert run(pipe, **{name: iter(value) for name, value in given.items()}).tempos == [(120, 4)]


def test_tempos_per_prompt(pipe):
    expected = [(90, 3), None, (70, 4)]
    assert run(pipe, ["a", "b", "c"], bpm=[90, False, 70], beats_per_bar=[3, 3, None]).tempos == expected
    assert run(pipe, ["a", "b"], bpm=np.array([90.0, 70.0]), beats_per_bar=torch.tensor(3)).tempos == [
        (90, 3),
        (70, 3),
    ]


@pytest.mark.parametrize(
    "arguments, argument, message",
    [
        ({"bpm": "fast"}, "bpm", "a number from 20 to 400 beats per minute"),
        ({"bpm": True}, "bpm", "a number from 20 to 400 beats per minute"),
        ({"bpm": [90, 100]}, "bpm", "2 elements for 1 prompt"),
        ({"bpm": 500}, "bpm", "from 20 to 400"),
        ({"beats_per_bar": 0}, "beats_per_bar", "from 1 to 64"),
        ({"bpm": 90, "beats": [0, 0.5, 1]}, "bpm", "either `bpm` or `beats`"),
        ({"bpm": False, "beats": [0, 0.5, 1]}, "bpm", "`bpm=False`, the music has no beat grid, but `beats` sets one"),
        ({"beats": 96}, "beats", "a list of times in seconds, .* but is 96. To set a tempo, use `bpm`"),
        (
            {"beats": ([0, 0.5, 1.0, 1.5], [0, 1.2])},
            "beats",
            "position 1: .* 1.2 s is 200 ms from the nearest beat, 1 s",
        ),
        ({"drums": "four-on-the-floor"}, "drums", r"find_groove\('four-on-the-floor'\)"),
        ({"beats": [0, 0.5, 0.4]}, "beats", "position 2"),
        ({"beats": [[0, 0.5], None]}, "beats", "2 elements for 1 prompt"),
        ({"chords": "C | Am", "bpm": False}, "bpm", "`bpm=False` .* can't be used with chords in bars"),
        ({"chords": "C | Am", "drums": BEAT}, "chords", "set `bpm`"),
        ({"melody": "C4 D4", "bpm": False}, "bpm", "can't be used with notes as text, .*: set `bpm` to a number"),
        ({"chords": "C | Am", "beats": []}, "bpm", r"empty `beats`\) can't be used with chords in bars"),
        ({"prompt": "96 bpm", "chords": "C | Am", "drums": BEAT}, "bpm", "96 BPM, does not count beside a recording"),
        ({"drums": GROOVES["waltz"], "beats_per_bar": 4}, "beats_per_bar", "is 4, but the groove has 3 beats per bar"),
        ({"beats": [], "bpm": 90}, "bpm", "Empty `beats` exclude a tempo, but `bpm` sets one"),
        ({"drums": GROOVES["waltz"], "beats": [0, 0.5, 1]}, "beats", "set `bpm` instead"),
        ({"chords": "C | Am", "beats": [0, 0.5, 1]}, "beats", "set `bpm` instead"),
    ],
)
def test_invalid_tempos(pipe, arguments, argument, message):
    with pytest.raises(InputError, match=message) as error:
        run(pipe, **arguments)
    assert error.value.argument == argument


def test_invalid_tempos_name_the_prompt(pipe):
    with pytest.raises(InputError, match="For prompt 1: `bpm=False`") as error:
        run(pipe, ["a", "b"], chords=["C | F", "C | F"], bpm=[90, False])
    assert error.value.prompt == 1
    with pytest.raises(
        InputError, match="For prompt 1: `bpm` has to be a number from 20 to 400 .* but is 15"
    ) as error:
        run(pipe, ["a", "b"], bpm=[90, 15])
    assert error.value.prompt == 1


# 4. Checkpoints without beats or a tempo model


def test_checkpoints_without_beats(without_beats, warnings):
    result = run(without_beats)
    assert result.tempos == [None] and not warnings.text
    assert run(without_beats, chords="C | Am", bpm=240).tempos == [(240, 4)]
    assert run(without_beats, drums=GROOVES["waltz"]).tempos == [(144, 3)]
    assert run(without_beats, drums=GROOVES["waltz"], beats_per_bar=6).tempos == [(144, 6)] and not warnings.text
    assert run(without_beats, bpm=[90, None], prompt=["a", "b"]).tempos == [None, None]
    assert "`bpm` has no effect" in warnings.text
    with pytest.raises(InputError, match="no beats control") as error:
        run(without_beats, beats=[0, 0.5, 1])
    assert error.value.argument == "beats"
    for control, unit in (({"chords": "C | Am"}, "Chords in bars"), ({"melody": "C4 D4"}, "Notes as text")):
        with pytest.raises(
            InputError, match=f"{unit} .*: set `bpm`. .* 96 BPM, counts only for checkpoints with a tempo"
        ):
            run(without_beats, "pop at 96 bpm", **control)
    (audio,) = run(without_beats, return_dict=False)
    assert torch.equal(audio, result.audios)


def test_without_a_tempo_model_only_given_tempos_are_used(pipe, warnings):
    other = JascoPipeline.from_pipe(pipe, tempo_model=None)
    assert run(other, "96 bpm").tempos == [None] and run(other, bpm=96).tempos == [(96, 4)]
    assert warnings.messages == [
        "The prompt says 96 BPM, which is not used: the pipeline has no tempo model; set `bpm`."
    ]


def test_the_tempo_model_is_saved_and_optional(pipe, tmp_path):
    pipe.save_pretrained(tmp_path / "a")
    loaded = JascoPipeline.from_pretrained(tmp_path / "a")
    assert run(loaded).tempos == run(pipe).tempos
    assert "beats" in loaded.components["transformer"].controls and loaded.components["tempo_model"] is not None
    JascoPipeline.from_pipe(pipe, tempo_model=None).save_pretrained(tmp_path / "b")
    loaded = JascoPipeline.from_pretrained(tmp_path / "b")
    assert loaded.tempo_model is None and not (tmp_path / "b" / "tempo_model").exists()
    loaded.tempo_model = pipe.tempo_model
    loaded.save_pretrained(tmp_path / "c")
    assert run(JascoPipeline.from_pretrained(tmp_path / "c")).tempos == run(pipe).tempos


def test_the_tempo_model_pools_the_text():
    model = adapter.make_tempo_model()
    torch.nn.init.normal_(model.proj_out.weight)
    states = torch.randn(3, 5, adapter.TEXT_DIM)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [False] * 5])
    logits = model(states, mask)
    assert logits.shape == (3, 3, len(TEMPOS))
    torch.testing.assert_close(logits[1:2], model(states[1:2, :3], mask[1:2, :3]))
    torch.testing.assert_close(logits[2], model(torch.zeros(1, 1, adapter.TEXT_DIM), torch.ones(1, 1))[0])
    assert TEMPOS[0] == 40 and all(math.isclose(b / a, 1.04, rel_tol=1e-4) for a, b in zip(TEMPOS, TEMPOS[1:]))


# 5. Batches and the command line


def test_requests_have_tempos(pipe):
    requests = [
        GenerationRequest("a", "pop", {"beats": [0, 0.5, 1]}, seed=1),
        GenerationRequest("b", "pop", {"chords": "C | F"}, seed=2, bpm=100),
        GenerationRequest("c", "pop", seed=3),
        GenerationRequest("d", "pop", seed=4, groove="waltz"),
    ]
    first = generate_batch(pipe, requests)
    alone = [generate_batch(pipe, [request])[0] for request in requests]
    for together, single in zip(first, alone):
        torch.testing.assert_close(together.audio, single.audio)
        assert together.tempo == single.tempo
    assert [clip.tempo for clip in first[:2]] == [(120, 4), (100, 4)] and first[3].tempo == (144, 3)
    expected = run(pipe, seed=4, drums=GROOVES["waltz"], num_inference_steps=None, output_type="pt").audios
    torch.testing.assert_close(first[3].audio, expected[0].float())
    assert requests[1].describe()["bpm"] == 100 and "bpm" not in requests[2].describe()


def test_saved_clips_have_a_tempo_and_can_be_generated_again(pipe, tmp_path):
    pipe.save_pretrained(tmp_path / "model")
    settings = {"duration": 2.0, "settings": {"num_inference_steps": 1}}
    requests = [
        GenerationRequest("chosen", "pop", {"chords": "C | F"}, seed=3, **settings),
        GenerationRequest("beats", "pop", {"beats": ([0.1, 0.6, 1.1, 1.6], [0.1, 1.1])}, **settings),
        GenerationRequest("free", "pop", {"beats": []}, **settings),
        GenerationRequest("none", "pop", bpm=False, **settings),
    ]
    metadata = {"checkpoint": str(tmp_path / "model")}
    assert save_clips(pipe, requests, tmp_path, suffix=".wav", metadata=metadata) == []
    chosen = run(pipe, seed=3, chords="C | F").tempos[0]
    expected = {"chosen": chosen._asdict(), "beats": {"bpm": 120, "beats_per_bar": 2}, "free": None, "none": None}
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.wav")}
    for name, tempo in expected.items():
        path = tmp_path / f"{name}.wav"
        assert json.loads(path.with_suffix(".json").read_text()).get("tempo") == tempo
        assert main(["--from", str(path), "--output", str(tmp_path / "again.wav")]) == 0
        assert read_metadata(path).get("tempo") == read_metadata(tmp_path / "again.wav").get("tempo") == tempo
        torch.testing.assert_close(load_audio(path)[0], load_audio(tmp_path / "again.wav")[0], atol=1e-3, rtol=0)
    # Finished clips are kept.
    assert save_clips(pipe, requests, tmp_path, suffix=".wav", metadata=metadata) == []
    assert before == {name: (tmp_path / name).stat().st_mtime_ns for name in before}


def test_the_command_reports_and_repeats_the_tempo(pipe, without_beats, tmp_path, capsys):
    pipe.save_pretrained(tmp_path / "model")
    without_beats.save_pretrained(tmp_path / "old")

    def generate(name, *options):
        common = ["--duration", "2", "--steps", "1", "--device", "cpu", "--output", str(tmp_path / name)]
        assert main([*options, *common]) == 0
        return read_metadata(tmp_path / name), capsys.readouterr()

    model = ["--checkpoint", str(tmp_path / "model")]
    metadata, output = generate("a.wav", "pop", *model, "--seed", "3")
    tempo = run(pipe, seed=3).tempos[0]
    assert metadata["tempo"] == {"bpm": tempo.bpm, "beats_per_bar": 4}
    assert f"Tempo: {tempo.bpm:g} BPM, 4 beats per bar" in output.err and output.out.split() == [
        str(tmp_path / "a.wav")
    ]
    assert generate("b.wav", "--from", str(tmp_path / "a.wav"))[0]["tempo"] == metadata["tempo"]
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    bars = ["--chords", "C | F", "--melody", "C4 D4"]
    assert generate("c.wav", "pop", *model, *bars, "--seed", "3")[0]["tempo"] == metadata["tempo"]
    assert generate("c.wav", "pop", *model, "--progression", "axis", "--seed", "3")[0]["tempo"] == metadata["tempo"]
    assert generate("d.wav", "pop", *model, *bars, "--bpm", "90")[0]["tempo"]["bpm"] == 90
    assert generate("e.wav", "pop", *model, "--groove", "waltz")[0]["tempo"] == {"bpm": 144, "beats_per_bar": 3}
    assert generate("f.wav", "pop", *model, "--bpm", "90", "--beats_per_bar", "3")[0]["tempo"]["beats_per_bar"] == 3
    assert "tempo" not in generate("g.wav", "pop", *model, "--bpm", "none")[0]
    assert "tempo" not in generate("h.wav", "--from", str(tmp_path / "g.wav"))[0]
    export_audio(GROOVES["house"].render(12.0, 16000), tmp_path / "beat.wav", 16000)
    beats = ["--beats", str(tmp_path / "beat.wav")]
    assert generate("i.wav", "pop", *model, *beats)[0]["tempo"]["bpm"] == pytest.approx(124, rel=0.01)
    assert generate("j.wav", "--from", str(tmp_path / "i.wav"), "--bpm", "90")[0]["tempo"]["bpm"] == 90
    metadata, _ = generate("j.wav", "pop", *model, "--beats", "0.1 0.7, 1.3")
    assert metadata["beats"] == [0.1, 0.7, 1.3] and metadata["tempo"] == {"bpm": 100, "beats_per_bar": 4}
    again, _ = generate("k.wav", "--from", str(tmp_path / "j.wav"))
    assert (again["beats"], again["tempo"]) == (metadata["beats"], metadata["tempo"])
    assert main(["pop", *model, "--beats", "b.txt", "--output", str(tmp_path / "l.wav")]) == 2
    assert "--beats has to be a list of times in seconds" in capsys.readouterr().err
    assert main(["pop", *model, *beats, "--groove", "waltz", "--output", str(tmp_path / "k.wav")]) == 2
    assert "--beats can't be used with --chords in bars" in capsys.readouterr().err
    old = ["--checkpoint", str(tmp_path / "old")]
    assert main(["pop", *old, *beats, "--output", str(tmp_path / "k.wav")]) == 2
    assert "--beats was given, but this checkpoint has no beats control" in capsys.readouterr().err


def test_edits_have_the_beats_of_the_recording(pipe, monkeypatch):
    vary = JascoAudioToAudioPipeline.from_pipe(pipe)
    audio = 0.5 * torch.ones(1, 4 * pipe.sampling_rate), pipe.sampling_rate
    options = {"audio": audio, "source_chords": [("C", 0.0)], "chords": [("F", 0.0)]}
    assert run(vary, **options).tempos == [None]
    times = [0.5 * index for index in range(8)]
    found = Beats(times, times[::4], 120.0, "4/4")
    monkeypatch.setattr("diffusers_jasco.pipelines.pipeline_jasco_audio2audio.extract_beats", lambda *audio: found)
    assert run(vary, **options).tempos == [(120, 4)]
    assert run(vary, **options, bpm=96).tempos[0].bpm == 96


def test_the_beats_of_a_loop_fill_its_frames(pipe):
    duration = 64 * 60 / 97  # 316.7 frames
    conditioning = pipe.encode_conditioning("pop", bpm=97, duration=duration, loop=True)
    num_frames = conditioning.num_frames
    assert conditioning.frame_rate == num_frames / duration != pipe.frame_rate
    bars = 16 * torch.arange(num_frames) / num_frames
    sines = (2 * math.pi * bars).sin()
    torch.testing.assert_close(conditioning.controls["beats"][0, :, 2], sines, atol=1e-4, rtol=0)
