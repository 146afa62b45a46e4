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

import math

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler

from diffusers_jasco import FlowMatchDopri5Scheduler, FlowMatchEulerScheduler, JascoAudioToAudioPipeline
from diffusers_jasco.inputs import InputError, read_chords


RATE = 32000
CALL = {"prompt": "a", "num_inference_steps": 8, "output_type": "latent", "guidance_scale": 1.0}


def recording(frequency: float = 220.0, seconds: float = 1.0) -> tuple[torch.Tensor, int]:
    return 0.5 * torch.sin(2 * math.pi * frequency * torch.arange(round(seconds * RATE)) / RATE)[None], RATE


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def vary(pipe):
    return JascoAudioToAudioPipeline.from_pipe(pipe)


def test_more_strength_means_less_of_the_recording(vary):
    data = vary.encode_audio(recording()[0][None])
    distances = [
        (vary(**CALL, audio=recording(), strength=strength, generator=generator(0)).audios - data).norm().item()
        for strength in (0.05, 0.3, 0.6, 1.0)
    ]
    assert distances == sorted(distances) and distances[0] < 0.3 * distances[-1]


def test_variations_have_the_level_of_the_recording(vary):
    vary.transformer.register_to_config(music_loudness=-20.0)
    (loud, rate), options = recording(), CALL | {"output_type": "pt", "strength": 0.5}
    first, second = (vary(**options, audio=(it, rate), generator=generator(0)).audios for it in (loud, 0.01 * loud))
    torch.testing.assert_close(0.01 * first, second, atol=1e-5, rtol=1e-2)
    options["output_type"] = "np"
    np.testing.assert_allclose(vary(**options, audio=(loud, rate), generator=generator(0)).audios, first, atol=1e-6)


def test_full_strength_ignores_the_recording(vary, pipe):
    free = pipe(**CALL, duration=1.0, generator=generator(0)).audios
    assert torch.equal(vary(**CALL, audio=recording(), strength=1.0, generator=generator(0)).audios, free)


def test_a_variation_needs_a_share_of_the_steps(vary):
    calls = []
    handle = vary.transformer.register_forward_hook(lambda *args: calls.append(1))
    vary(**CALL, audio=recording(), strength=0.5)
    handle.remove()
    assert len(calls) == 4


def test_the_grid_of_the_scheduler_is_cut_at_the_strength(pipe):
    pipe.scheduler = FlowMatchEulerScheduler(num_inference_steps=3, inference_sigmas=[1.0, 0.8, 0.3])
    vary, times = JascoAudioToAudioPipeline.from_pipe(pipe), []
    hook = lambda module, args, kwargs: times.append(round(float(kwargs["timestep"][0]), 4))  # noqa: E731
    handle = pipe.transformer.register_forward_pre_hook(hook, with_kwargs=True)
    options = {"prompt": "a", "output_type": "latent", "guidance_scale": 1.0}
    vary(**options, audio=recording(), strength=0.5)
    assert times == [0.5, 0.7]
    times.clear()
    vary(**options, audio=recording(), strength=0.5, num_inference_steps=4)
    assert times == [0.5, 0.75], "other numbers of steps have the uniform grid"
    times.clear()
    vary(**options, audio=recording(), strength=0.82)
    assert times == [0.18, 0.7], "the step from 0.82 to 0.8 would be very short"
    times.clear()
    vary(**options, audio=recording(), source_chords="C:0", chords="F:0", strength=0.9)
    assert list(dict.fromkeys(times)) == [0.1, 0.2, 0.7], "edits use it, too"
    handle.remove()
    free = pipe(**options, duration=1.0, generator=generator(0)).audios
    assert torch.equal(vary(**options, audio=recording(), strength=1.0, generator=generator(0)).audios, free)


def test_prompts_recordings_and_waveforms_are_paired(vary):
    options = CALL | {"num_waveforms_per_prompt": 2, "strength": 0.4}
    generators = [generator(index) for index in range(4)]
    audio = [recording(), recording(330.0)]
    batch = vary(**options | {"prompt": ["a", "b"]}, audio=audio, generator=generators).audios
    for index, row in enumerate(batch):
        single = vary(
            **CALL | {"prompt": "ab"[index // 2], "strength": 0.4}, audio=audio[index // 2], generator=generator(index)
        )
        torch.testing.assert_close(row, single.audios[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "argument", "message"),
    [
        ({"strength": 0.0}, "strength", "above 0 and at most 1"),
        ({"strength": 1.5}, "strength", "is 1.5"),
        ({"strength": "much"}, "strength", "'much'"),
        ({"num_inference_steps": 0}, "num_inference_steps", "at least 1, but is 0"),
        ({"duration": 365 * 86400.0}, "duration", "to 3600, but is 31536000"),
        ({"audio": None}, "audio", "is missing"),
        ({"latents": torch.zeros(1, 50, 16)}, "latents", "can't be used with a recording"),
        ({"loop": True}, "loop", "can't be used with a recording"),
    ],
)
def test_invalid_input_is_rejected(vary, options, argument, message):
    with pytest.raises(InputError, match=message) as error:
        vary(**CALL | {"audio": recording()} | options)
    assert error.value.argument == argument


@pytest.mark.parametrize("scheduler", [FlowMatchDopri5Scheduler(), FlowMatchHeunDiscreteScheduler()])
def test_schedulers_that_always_begin_with_noise_are_refused(vary, scheduler):
    vary.scheduler = scheduler
    with pytest.raises(InputError, match="FlowMatchEulerScheduler") as error:
        vary("a", audio=recording())
    assert error.value.argument == "strength"


@pytest.mark.parametrize(
    ("scheduler", "level"),
    [
        (FlowMatchEulerDiscreteScheduler(), 0.5),
        (FlowMatchEulerDiscreteScheduler(shift=3.0), 0.75),
        (FlowMatchEulerDiscreteScheduler(num_train_timesteps=1, invert_sigmas=True), 0.5),
    ],
    ids=["plain", "shifted", "inverted"],
)
def test_the_noise_is_that_of_the_schedulers_first_time(vary, scheduler, level):
    vary.scheduler = scheduler
    seen = []
    vary.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append((kwargs | dict(zip(("hidden_states", "timestep"), args)))),
        with_kwargs=True,
    )
    noise = vary.prepare_latents(1, 50, torch.device("cpu"), generator(0))
    data = vary.encode_audio(recording()[0][None])
    vary(**CALL, audio=recording(), strength=0.5, generator=generator(0))
    torch.testing.assert_close(seen[0]["timestep"].float().mean().item(), 1 - level, atol=1e-6, rtol=0)
    torch.testing.assert_close(seen[0]["hidden_states"], level * noise + (1 - level) * data, atol=1e-5, rtol=1e-5)


# Edits


CHORDS = [("C", 0.0), ("F", 0.5)]
OTHER_CHORDS = [("Am", 0.0), ("G", 0.5)]
NOTES = [("C4", 0.0, 0.5), ("E4", 0.5, 1.0)]


@pytest.mark.parametrize("seconds", [1.0, 14.0])
def test_equal_source_and_target_leave_the_recording_as_it_is(vary, seconds):
    data = vary.encode_audio(recording(seconds=seconds)[0][None])
    options = CALL | {"audio": recording(seconds=seconds), "guidance_scale": 3.0, "generator": generator(0)}
    same = vary(**options, source_prompt="a", chords=CHORDS, source_chords=CHORDS).audios
    torch.testing.assert_close(same, data, atol=1e-4, rtol=1e-4)
    other = vary(**options, source_prompt="a", chords=OTHER_CHORDS, source_chords=CHORDS).audios
    assert (other - data).abs().max() > 1e-2


def test_controls_of_the_source_are_kept_unless_the_target_has_its_own(vary):
    sources = {"source_chords": CHORDS, "source_melody": NOTES, "source_prompt": "b"}
    options = CALL | {"audio": recording(), "strength": 0.9}

    def edit(**targets):
        return vary(**options | sources | targets, generator=generator(0)).audios

    chords = edit(chords=OTHER_CHORDS)
    assert torch.equal(edit(chords=OTHER_CHORDS, melody=NOTES), chords)
    assert not torch.allclose(edit(chords=OTHER_CHORDS, melody=[]), chords, atol=1e-3)
    options["prompt"] = None
    data = vary.encode_audio(recording()[0][None])
    torch.testing.assert_close(edit(), data, atol=1e-4, rtol=1e-4)


def test_a_batch_of_edits_equals_single_edits(vary):
    audio, prompts, targets = [recording(), recording(330.0)], ["a", "b"], [OTHER_CHORDS, None]
    sources = {"source_chords": [CHORDS, OTHER_CHORDS], "source_melody": [None, NOTES], "source_prompt": ["b c", "d"]}
    options = CALL | {"num_waveforms_per_prompt": 2, "strength": 0.9}
    generators = [generator(index) for index in range(4)]
    batch = vary(**options | {"prompt": prompts}, **sources, audio=audio, chords=targets, generator=generators).audios
    for index, row in enumerate(batch):
        piece = index // 2
        single = vary(
            **CALL | {"prompt": prompts[piece], "strength": 0.9},
            **{name: value[piece] for name, value in sources.items()},
            audio=audio[piece],
            chords=targets[piece],
            generator=generator(index),
        )
        torch.testing.assert_close(row, single.audios[0], atol=1e-4, rtol=1e-4)


def test_sources_are_extracted_from_the_recording(vary):
    audio = recording(seconds=2.0)
    options = CALL | {"audio": audio, "strength": 0.9, "chords": OTHER_CHORDS}
    extracted = vary(**options, source_chords="extract", generator=generator(0)).audios
    given = vary(**options, source_chords=read_chords(audio), generator=generator(0)).audios
    torch.testing.assert_close(extracted, given, atol=1e-4, rtol=1e-4)
    drums = vary(**options, source_drums="extract", source_melody="extract", generator=generator(0)).audios
    assert drums.shape == given.shape and not torch.allclose(drums, given, atol=1e-3)


def test_control_scales_act_on_the_target(vary):
    options = CALL | {"audio": recording(), "source_chords": CHORDS, "chords": OTHER_CHORDS, "strength": 0.9}
    plain = vary(**options, generator=generator(0)).audios
    assert torch.equal(vary(**options, generator=generator(0), control_scales={"chords": 1}).audios, plain)
    assert not torch.allclose(vary(**options, generator=generator(0), control_scales={"chords": 0.5}).audios, plain)


@pytest.mark.parametrize("targets", [{}, {"drums": []}, {"drums": (torch.rand(1, 32000) - 0.5, 32000)}])
def test_edits_like_audiocraft(vary, targets):
    options = CALL | {"audio": recording(), "source_chords": CHORDS, "source_drums": recording(110.0)}
    assert vary(**options, **targets, audiocraft_compatible=True).audios.isfinite().all()


def test_a_source_can_be_extracted_for_some_pieces(vary):
    audio, generators = [recording(seconds=2.0), recording(330.0, 2.0)], [generator(0), generator(1)]
    options = CALL | {"prompt": ["a", "b"], "chords": OTHER_CHORDS, "generator": generators}
    some = vary(**options, audio=audio, source_chords=["extract", CHORDS]).audios
    read = vary(
        **options | {"generator": [generator(0), generator(1)]},
        audio=audio,
        source_chords=[read_chords(audio[0]), CHORDS],
    )
    torch.testing.assert_close(some, read.audios, atol=1e-4, rtol=1e-4)


def test_a_callback_can_interrupt_an_edit(vary):
    steps = []

    def stop(pipe, step, timestep, tensors):
        steps.append(step)
        pipe._interrupt = step == 1

    vary(**CALL, audio=recording(), source_chords=CHORDS, strength=0.5, callback_on_step_end=stop)
    assert steps == [0, 1]


def test_a_call_within_an_edit_is_independent_of_it(vary):
    inner = []

    def vary_again(pipe, step, timestep, tensors):
        if not inner:
            inner.append(pipe(**CALL, audio=recording(), strength=0.4, generator=generator(1)).audios)

    outer = CALL | {"audio": recording(), "source_chords": CHORDS, "chords": OTHER_CHORDS}
    plain = vary(**outer, generator=generator(0)).audios
    assert torch.equal(vary(**outer, generator=generator(0), callback_on_step_end=vary_again).audios, plain)
    assert torch.equal(vary(**CALL, audio=recording(), strength=0.4, generator=generator(1)).audios, inner[0])


@pytest.mark.parametrize(
    "scheduler",
    [
        FlowMatchDopri5Scheduler(),
        FlowMatchHeunDiscreteScheduler(),
        FlowMatchEulerDiscreteScheduler(stochastic_sampling=True),
    ],
)
def test_edits_need_the_method_of_euler(vary, scheduler):
    vary.scheduler = scheduler
    with pytest.raises(InputError, match="Set `pipe.scheduler = FlowMatchEulerScheduler") as error:
        vary("a", audio=recording(), source_chords=CHORDS)
    assert error.value.argument == "source_chords"


def test_edits_work_with_the_euler_scheduler_of_diffusers(vary):
    options = CALL | {"audio": recording(), "source_chords": CHORDS, "chords": OTHER_CHORDS}
    ours = vary(**options, generator=generator(0)).audios
    vary.scheduler = FlowMatchEulerDiscreteScheduler()
    torch.testing.assert_close(vary(**options, generator=generator(0)).audios, ours, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("options", "argument", "message"),
    [
        ({"source_chords": [("H", 0.0)]}, "source_chords", "`source_chords`"),
        ({"source_drums": "no file.wav"}, "source_drums", "`source_drums`: the file no file.wav does not exist"),
        ({"output_type": "pil"}, "output_type", "`output_type` has to be"),
        ({"source_prompt": 3}, "source_prompt", "`source_prompt`"),
        ({"source_prompt": ["a", "b"]}, "source_prompt", "2 elements for 1 piece"),
        ({"source_chords": "extract", "strength": 0.0}, "strength", "above 0 and at most 1"),
        ({"source_chords": "extract", "conditioning": 1}, "conditioning", "can't be used with a recording"),
    ],
)
def test_invalid_sources_are_rejected(vary, options, argument, message):
    with pytest.raises((InputError, FileNotFoundError), match=message) as error:
        vary(**CALL | {"audio": recording()} | options)
    assert getattr(error.value, "argument", argument) == argument
