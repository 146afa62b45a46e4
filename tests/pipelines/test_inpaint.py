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

import copy
import inspect
import math

import numpy as np
import pytest
import soundfile
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    FlowMatchLCMScheduler,
    UniPCMultistepScheduler,
)

from diffusers_jasco import (
    FlowMatchDopri5Scheduler,
    JascoAudioToAudioPipeline,
    JascoInpaintPipeline,
    JascoPipeline,
    JascoTransformerModel,
)
from diffusers_jasco.audio.regions import mark_known, splice
from diffusers_jasco.audio.resampling import resample
from diffusers_jasco.codecs import encode, measure_reach
from diffusers_jasco.inputs import InputError
from diffusers_jasco.pipelines.regions import known_frames
from diffusers_jasco.pipelines.windows import WindowedVelocity


RATE = 32000
CALL = {"prompt": "a", "num_inference_steps": 2, "chords": "C:0 F:0.5"}


def recording(seconds: float = 1.0, frequency: float = 220.0) -> torch.Tensor:
    return 0.5 * torch.sin(2 * math.pi * frequency * torch.arange(round(seconds * RATE)) / RATE)[None]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def edit(pipe):
    return JascoInpaintPipeline.from_pipe(pipe)


def test_only_the_regions_change(edit):
    source = recording(2.0)
    options = {"mask_start_seconds": [0.4, 1.5], "mask_end_seconds": [0.8, 1.7]}
    audio = edit(**CALL, audio=(source, RATE), generator=generator(0), **options).audios
    assert audio.shape == (1, 1, 2 * RATE)
    changed = torch.zeros(2 * RATE, dtype=torch.bool)
    changed[round(0.4 * RATE) : round(0.8 * RATE)] = changed[round(1.5 * RATE) : round(1.7 * RATE)] = True
    assert torch.equal(audio[0, :, ~changed], source[:, ~changed])
    assert (audio[0, 0, changed] != source[0, changed]).float().mean() > 0.9
    array = edit(**CALL, audio=(source, RATE), generator=generator(0), output_type="np", **options).audios
    np.testing.assert_array_equal(array, audio.numpy())


def test_new_music_has_the_level_of_the_recording(edit):
    edit.transformer.register_to_config(music_loudness=-20.0)
    options = {**CALL, "mask_start_seconds": 0.4, "mask_end_seconds": 0.8}
    loud, quiet = recording(2.0), 0.01 * recording(2.0)
    first, second = (edit(**options, audio=(it, RATE), generator=generator(0)).audios for it in (loud, quiet))
    torch.testing.assert_close(0.01 * first, second, atol=1e-5, rtol=1e-2)
    assert torch.equal(second[0, :, : round(0.4 * RATE)], quiet[:, : round(0.4 * RATE)])


def test_recordings_are_extended_at_both_ends(edit):
    source = recording(0.8)
    audio = edit(**CALL, audio=(source, RATE), audio_start_seconds=0.5, duration=2.0, generator=generator(0)).audios
    first, last = RATE // 2, round(1.3 * RATE)
    assert audio.shape[-1] == 2 * RATE and torch.equal(audio[0, :, first:last], source)
    assert audio[0, 0, :first].abs().max() > 0 and audio[0, 0, last:].abs().max() > 0


FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}


@pytest.mark.parametrize(
    "scheduler",
    [
        None,
        FlowMatchDopri5Scheduler(),
        UniPCMultistepScheduler(**FLOW),
        DPMSolverMultistepScheduler(**FLOW, algorithm_type="sde-dpmsolver++"),
        FlowMatchEulerDiscreteScheduler(stochastic_sampling=True),
        FlowMatchHeunDiscreteScheduler(),
        FlowMatchLCMScheduler(),
    ],
    ids=lambda scheduler: type(scheduler).__name__,
)
def test_known_latents_are_those_of_the_recording(edit, scheduler):
    source, options = recording(1.0), dict(CALL)
    if scheduler is not None:
        edit.scheduler = scheduler
    if isinstance(scheduler, FlowMatchDopri5Scheduler):
        options.pop("num_inference_steps")
    options |= {"mask_start_seconds": 0.5, "mask_end_seconds": 0.6, "output_type": "latent"}
    latents = edit(**options, audio=(source, RATE), generator=generator(0)).audios
    before, _ = measure_reach(edit.codec)
    torch.testing.assert_close(
        latents[:, : 25 - before], latents_of(edit, source)[:, : 25 - before], atol=1e-4, rtol=1e-4
    )


def latents_of(edit, source):
    config = edit.transformer.config
    return (encode(edit.codec, source[None]) - torch.tensor(config.latents_mean)) / torch.tensor(config.latents_std)


def test_noise_from_a_callback_does_not_reach_known_frames(edit):
    def add_noise(pipe, step, timestep, tensors):
        return {"latents": tensors["latents"] + 1.0} if step == 0 else None

    options = {"mask_start_seconds": 0.5, "mask_end_seconds": 0.6, "output_type": "latent"}
    source = recording(1.0)
    latents = edit(**CALL, audio=(source, RATE), callback_on_step_end=add_noise, **options).audios
    before, _ = measure_reach(edit.codec)
    torch.testing.assert_close(
        latents[:, : 25 - before], latents_of(edit, source)[:, : 25 - before], atol=1e-4, rtol=1e-4
    )


def test_interrupted_edits_keep_the_recording(edit):
    def interrupt(pipe, step, timestep, tensors):
        pipe._interrupt = True

    source = recording(1.0)
    audio = edit(
        **CALL, audio=(source, RATE), mask_start_seconds=0.5, mask_end_seconds=0.6, callback_on_step_end=interrupt
    ).audios[0]
    assert torch.equal(audio[:, :16000], source[:, :16000]) and torch.isfinite(audio).all()
    # The next call is not affected.
    again = edit(**CALL, audio=(source, RATE), duration=2.0).audios[0]
    assert again.shape[-1] == 2 * RATE and torch.equal(again[:, :RATE], source)


def test_prompts_recordings_and_waveforms_are_paired(edit):
    sources = [recording(1.0), recording(1.0, 330.0)]
    regions = {"mask_start_seconds": [[0.2], [0.5, 0.8]], "mask_end_seconds": [[0.4], [0.6, 0.9]]}
    options = CALL | {"prompt": ["a", "b"], "num_waveforms_per_prompt": 2}
    batch = edit(
        **options, audio=[(x, RATE) for x in sources], generator=[generator(i) for i in range(4)], **regions
    ).audios
    assert len(batch) == 4
    for index, row in enumerate(batch):
        piece = index // 2
        single = edit(
            **CALL | {"prompt": "ab"[piece]},
            audio=(sources[piece], RATE),
            generator=generator(index),
            **{name: borders[piece] for name, borders in regions.items()},
        ).audios[0]
        torch.testing.assert_close(row, single, atol=1e-4, rtol=1e-4)


def test_a_mask_of_frames_equals_regions_in_seconds(edit):
    source = (recording(1.0), RATE)
    mask = torch.ones(1, 1, 50)
    mask[..., 10:20] = 0
    by_mask = edit(**CALL, audio=source, mask=mask, generator=generator(0)).audios
    by_seconds = edit(
        **CALL, audio=source, mask_start_seconds=0.2, mask_end_seconds=0.4, generator=generator(0)
    ).audios
    assert torch.equal(by_mask, by_seconds)


def test_recordings_longer_than_a_window(edit):
    source = recording(3.0)
    audio = edit(**CALL, audio=(source, RATE), mask_start_seconds=1.2, mask_end_seconds=2.9).audios[0]
    assert torch.equal(audio[:, : round(1.2 * RATE)], source[:, : round(1.2 * RATE)])
    assert torch.equal(audio[:, round(2.9 * RATE) :], source[:, round(2.9 * RATE) :])


def test_windows_in_which_everything_is_kept_are_not_evaluated(edit, monkeypatch):
    source, rows = recording(6.0), []
    edit.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: rows.append(len(kwargs["hidden_states"])), with_kwargs=True
    )
    options = CALL | {"audio": (source, RATE), "mask_start_seconds": 4.2, "mask_end_seconds": 4.4}
    audio = edit(**options, generator=generator(0)).audios
    few = sum(rows)
    rows.clear()
    monkeypatch.setattr(WindowedVelocity, "omit_unneeded", lambda self, is_needed: None)
    torch.testing.assert_close(audio, edit(**options, generator=generator(0)).audios, atol=1e-5, rtol=1e-5)
    assert few < 0.5 * sum(rows)


@pytest.mark.parametrize("borders", [(0.0, 0.3), (0.7, 1.0), (0.0, 1.0), (0.7, 1.005)])
def test_regions_touch_the_ends(edit, borders):
    source = recording(1.0)
    audio = edit(
        **CALL,
        audio=(source, RATE),
        mask_start_seconds=borders[0],
        mask_end_seconds=borders[1],
        generator=generator(0),
    ).audios[0]
    first, last = round(borders[0] * RATE), min(round(borders[1] * RATE), RATE)
    assert audio.shape == source.shape and torch.isfinite(audio).all()
    assert torch.equal(audio[:, :first], source[:, :first]) and torch.equal(audio[:, last:], source[:, last:])
    assert (audio[:, first:last] != source[:, first:last]).float().mean() > 0.9


def test_recordings_of_other_rates_and_channels(edit):
    source = torch.stack([recording(0.5)[0], recording(0.5, 330.0)[0]])
    audio = edit(**CALL, audio=(source, 44100), duration=1.0, generator=generator(0)).audios[0]
    expected = resample(source.mean(dim=0, keepdim=True), 44100, RATE)
    assert audio.shape == (1, RATE) and torch.equal(audio[:, : expected.shape[-1]], expected)


@pytest.mark.parametrize("num_samples", [RATE // 50, RATE // 50 + 1])
def test_recordings_of_a_frame_are_extended(edit, num_samples):
    source = torch.full((1, num_samples), 0.5)
    audio = edit(**CALL, audio=(source, RATE), audio_start_seconds=0.5, duration=1.0, generator=generator(0)).audios[0]
    middle = RATE // 2
    assert torch.equal(audio[:, middle : middle + num_samples], source) and torch.isfinite(audio).all()


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (torch.zeros(1, RATE), "has to have sound, but is silent for 1.00 s"),
        (torch.stack([recording()[0], -recording()[0]]), "is silent in mono: its channels cancel each other out"),
        (recording()[:, :639], "has to last at least one frame, 0.02 s, but lasts 0.02 s"),
        ([recording(), torch.zeros(1, RATE)], "For prompt 1: `audio` has to have sound"),
    ],
)
def test_recordings_without_sound(edit, audio, message):
    recordings = [(single, RATE) for single in audio] if isinstance(audio, list) else (audio, RATE)
    with pytest.raises(InputError, match=message) as error:
        edit(**CALL, audio=recordings, duration=2.0)
    assert error.value.argument == "audio"


def test_a_recording_of_several_prompts_is_read_and_encoded_once(edit, tmp_path, monkeypatch):
    soundfile.write(tmp_path / "song.wav", recording(2.0)[0].numpy(), RATE)
    sizes = []
    encode = JascoInpaintPipeline.encode_audio
    monkeypatch.setattr(
        JascoInpaintPipeline, "encode_audio", lambda self, audio: sizes.append(len(audio)) or encode(self, audio)
    )
    options = CALL | {"prompt": ["a", "b"], "mask_start_seconds": 0.5, "mask_end_seconds": 1.0}
    both = edit(**options, audio=str(tmp_path / "song.wav"), generator=[generator(0), generator(1)]).audios
    assert sizes == [1] and both.shape == (2, 1, 2 * RATE)
    second = edit(**options | {"prompt": "b"}, audio=(recording(2.0), RATE), generator=generator(1)).audios
    torch.testing.assert_close(both[1:], second, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_reach_does_not_depend_on_the_dtype(pipe, dtype):
    reach = measure_reach(pipe.codec)
    assert measure_reach(copy.deepcopy(pipe.codec).to(dtype)) == reach


def test_unknown_arguments_are_errors_at_once(edit):
    with pytest.raises(TypeError, match="unexpected keyword argument 'regions'"):
        edit(**CALL, audio="no file.wav", regions=[(0, 1)])


def test_regions_of_pieces_as_arrays(edit):
    sources = [(recording(1.0), RATE), (recording(0.6), RATE)]
    arrays = {"mask_start_seconds": [np.array([0.2]), np.array([])], "mask_end_seconds": [torch.tensor([0.4]), ()]}
    audio = edit(**CALL | {"prompt": ["a", "b"]}, audio=sources, **arrays).audios
    assert torch.equal(audio[0, :, round(0.4 * RATE) :], sources[0][0][:, round(0.4 * RATE) :])
    # The shorter recording is continued.
    assert torch.equal(audio[1, :, : round(0.6 * RATE)], sources[1][0]) and audio[1, :, -RATE // 5 :].abs().max() > 0


@pytest.fixture
def edit_with_context(edit):
    """The pipeline `edit`, whose transformer has a context without effect; and the contexts that it gets."""
    transformer = JascoTransformerModel(**{**edit.transformer.config, "context": True}).eval()
    transformer.load_state_dict(edit.transformer.state_dict(), strict=False)
    contexts = []
    transformer.register_forward_pre_hook(
        lambda _, __, kwargs: contexts.append(kwargs.get("context")), with_kwargs=True
    )
    return JascoInpaintPipeline(**edit.components | {"transformer": transformer}), contexts


def test_a_transformer_with_a_context_gets_what_is_known(edit_with_context):
    edit, contexts = edit_with_context
    edit.set_progress_bar_config(disable=True)
    sources = [(recording(1.0), RATE), (recording(1.0, 330.0), RATE)]
    regions = {"mask_start_seconds": [[0.2], [0.5]], "mask_end_seconds": [[0.4], [0.8]]}
    options = CALL | {"prompt": ["a", "b"], "num_waveforms_per_prompt": 2, "output_type": "latent"}
    latents = edit(**options, audio=sources, guidance_scale=3.0, text_guidance_scale=0.5, **regions).audios
    # The guidance has three branches.
    branches = contexts[0].chunk(3)
    assert len(contexts) == 2 and all(torch.equal(branch, branches[0]) for branch in branches)
    known = branches[0][..., -1:]
    before, after = measure_reach(edit.codec)
    for row, (start, end) in enumerate([(10, 20), (10, 20), (25, 40), (25, 40)]):
        expected = torch.ones(50)
        expected[start - before : end + after] = 0
        assert torch.equal(known[row, :, 0], expected)
    # The same latents are imposed on the music.
    torch.testing.assert_close(branches[0][..., :-1], latents * known, atol=1e-5, rtol=1e-5)


def test_an_untrained_context_changes_nothing(edit, edit_with_context):
    extended, _ = edit_with_context
    options = CALL | {"audio": (recording(2.2), RATE), "mask_start_seconds": 0.5, "mask_end_seconds": 1.4}
    expected = edit(**options, generator=generator(0)).audios
    # A recording of several windows.
    assert torch.equal(extended(**options, generator=generator(0)).audios, expected)
    torch.nn.init.normal_(extended.transformer.context_proj.weight)
    assert not torch.allclose(extended(**options, generator=generator(0)).audios, expected, atol=1e-3)


def test_music_without_a_recording_has_no_context(edit_with_context):
    edit, contexts = edit_with_context
    JascoPipeline.from_pipe(edit)(**CALL, duration=1.0)
    assert contexts and not any(torch.is_tensor(context) for context in contexts)


@pytest.mark.parametrize(
    ("options", "argument", "message"),
    [
        ({"audio": []}, "audio", "is an empty list"),
        ({"mask": "all"}, "mask", "has to be a tensor of numbers"),
        ({"mask_start_seconds": [[0.1]], "mask_end_seconds": [None]}, "mask_end_seconds", "be a number of seconds"),
        (
            {"audio": [(recording(), RATE)] * 2, "mask_start_seconds": [[0.1], None], "mask_end_seconds": [[0.2], []]},
            "mask_start_seconds",
            "a list of seconds for each piece, but one is None",
        ),
        ({"mask_start_seconds": 0.5, "mask_end_seconds": math.inf}, "mask_end_seconds", "inf"),
        ({"mask_start_seconds": 0.5, "mask_end_seconds": 1.02}, "mask_start_seconds", "within the music of 1 s"),
        ({"mask_start_seconds": 0.5}, "mask_end_seconds", "is missing"),
        ({"mask_start_seconds": 0.5, "mask_end_seconds": 0.5}, "mask_start_seconds", "start before they end"),
        ({"mask_start_seconds": 0.5, "mask_end_seconds": 0.2}, "mask_start_seconds", "from 0.5 to 0.2 s"),
        ({"mask_start_seconds": 0.5, "mask_end_seconds": 1.2}, "mask_start_seconds", "within the music of 1 s"),
        ({"mask_start_seconds": [0.1, 0.2], "mask_end_seconds": [0.3, 0.4]}, "mask_start_seconds", "overlap"),
        ({"mask_start_seconds": [0.1, 0.2], "mask_end_seconds": [0.3]}, "mask_end_seconds", "has 1 elements"),
        ({"mask_start_seconds": math.nan, "mask_end_seconds": 0.3}, "mask_start_seconds", "nan"),
        ({"mask_start_seconds": [[0.1], [0.2]], "mask_end_seconds": [[0.3], [0.4]]}, "mask_start_seconds", "2 lists"),
        ({"mask": torch.ones(1, 1, 7)}, "mask", r"has to have shape \(1, 1, 50\)"),
        ({"mask": torch.full((1, 1, 50), 2)}, "mask", "has to be 1 for kept frames"),
        ({"audio": None}, "audio", "is missing"),
        ({"audio": [(recording(), RATE)] * 2, "prompt": ["a", "b", "c"]}, "audio", "2 elements for 3 prompt"),
        ({"audio_start_seconds": 2.0, "duration": 1.0}, "audio_start_seconds", "the music has 1 s"),
        ({"audio_start_seconds": -1.0}, "audio_start_seconds", "-1"),
        ({}, "mask_start_seconds", "All of `audio` is kept"),
        ({"duration": 2.0, "sigmas": [0.5, 0.2], "num_inference_steps": None}, "sigmas", "start at 1"),
        ({"loop": True}, "loop", "can't be used with a recording"),
    ],
)
def test_invalid_input_is_rejected(edit, options, argument, message):
    with pytest.raises(InputError, match=message) as error:
        edit(**CALL | {"audio": (recording(), RATE)} | options)
    assert error.value.argument == argument


def test_frames_near_a_region_are_unknown():
    known = mark_known([(0.3, 0.5)], 0, 100, 100, 100)
    assert known_frames(known, 10, 0, 0).tolist() == [True] * 3 + [False] * 2 + [True] * 5
    assert known_frames(known, 10, 2, 1).tolist() == [True] + [False] * 5 + [True] * 4
    # A region that ends within a frame.
    assert known_frames(mark_known([(0.3, 0.41)], 0, 100, 100, 100), 10, 0, 0).tolist()[3:6] == [False, False, True]


def test_spliced_music_has_the_power_of_both():
    torch.manual_seed(0)
    new, old = torch.randn(1, 40000), torch.randn(1, 40000)
    known = mark_known([(0.25, 0.75)], 0, 40000, 40000, 40000)
    result = splice(new, old, known, 0, 40000, 40000)
    assert torch.equal(result[:, known], old[:, known]) and torch.equal(result[:, 13000:27000], new[:, 13000:27000])
    assert result[:, 10000:12000].square().mean().sqrt() == pytest.approx(1.0, abs=0.05)


def test_music_continues_a_recording_without_a_click():
    time = torch.arange(40000) / 40000
    old, new = torch.sin(2 * math.pi * 220 * time)[None], 0.7 * torch.sin(2 * math.pi * 220 * time + 0.5)[None]
    known = mark_known([], 10000, 30000, 40000, 40000)
    result = splice(new, old * known, known, 10000, 30000, 40000)
    assert torch.equal(result[:, 10000:30000], old[:, 10000:30000])
    # The steps of the plain cuts are 0.4 and more.
    assert result.diff().abs().max() < 0.06
    assert torch.equal(result[:, 35000:], new[:, 35000:])


def test_new_music_around_a_short_recording_does_not_repeat_itself():
    """Of the difference at the border, only what the recording covers is mirrored."""
    new, known = torch.full((1, 40000), 0.5), mark_known([], 20000, 20010, 40000, 40000)
    result = splice(new, torch.zeros(1, 40000), known, 20000, 20010, 40000)
    assert torch.equal(result[:, 20020:], new[:, 20020:]) and torch.equal(result[:, :19990], new[:, :19990])


@pytest.mark.parametrize("pipeline", [JascoInpaintPipeline, JascoAudioToAudioPipeline])
def test_the_signature_lists_all_arguments(pipeline):
    names = list(inspect.signature(pipeline.__call__).parameters)
    assert names[:3] == ["self", "prompt", "audio"] and "kwargs" not in names
    signature = inspect.signature(JascoPipeline.__call__)
    assert set(signature.parameters) < set(names)
    assert inspect.signature(pipeline.__call__).return_annotation == signature.return_annotation


def test_unknown_arguments_are_rejected(edit):
    with pytest.raises(TypeError, match="strenght"):
        edit(**CALL, audio=(recording(), RATE), duration=2.0, strenght=0.5)


@pytest.mark.parametrize("pipeline", [JascoInpaintPipeline, JascoAudioToAudioPipeline])
def test_recordings_that_end_after_the_music_cause_a_warning(pipe, warnings, pipeline):
    regions = {"mask_start_seconds": 0.2, "mask_end_seconds": 0.4} if pipeline is JascoInpaintPipeline else {}
    edit = pipeline.from_pipe(pipe)
    edit("a", audio=(recording(1.0), RATE), num_inference_steps=1, **regions)
    assert not warnings.records
    edit("a", audio=(recording(1.0), RATE), duration=0.5, num_inference_steps=1, **regions)
    assert "`audio` ends at 1.00 s, after the music at 0.50 s" in warnings.text
