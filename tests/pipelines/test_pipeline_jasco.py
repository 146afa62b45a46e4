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
import soundfile
import torch
from diffusers import (
    DDIMScheduler,
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    FlowMatchLCMScheduler,
    SASolverScheduler,
    UniPCMultistepScheduler,
)

from diffusers_jasco import (
    AudiocraftGuidance,
    FlowMatchDopri5Scheduler,
    FlowMatchEulerScheduler,
    JascoGuidance,
    JascoPipeline,
)
from diffusers_jasco.extraction import separate_drums
from diffusers_jasco.inputs import InputError

from ..conftest import load_pipeline, relative_error


RATE = 32000
PROMPTS = ["Strings, woodwind, orchestral, symphony.", "80s pop"]
CHORDS = [("C", 0.0), ("Am", 0.5)]
NOTES = [("C4", 0.1, 0.4), (64, 0.5, 0.9)]
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}


def beat(seed: int = 0, seconds: float = 1.0) -> tuple[np.ndarray, int]:
    """Four decaying noise bursts per second."""
    time = np.arange(int(RATE * seconds)) / RATE
    noise = np.random.default_rng(seed).standard_normal(len(time))
    return (0.3 * noise * np.exp(-20 * (time % 0.25))).astype(np.float32), RATE


def seed(value: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(value)


def latents(pipe, *args, **kwargs) -> torch.Tensor:
    return pipe(*args, **{"num_inference_steps": 3, "generator": seed(), "output_type": "latent"} | kwargs).audios


def test_output_types_and_shapes(pipe):
    assert (pipe.sampling_rate, pipe.frame_rate) == (32000, 50.0)
    audio = pipe(PROMPTS[0], num_inference_steps=2, generator=seed()).audios
    assert audio.shape == (1, 1, 32000) and audio.dtype == torch.float32
    array = pipe(PROMPTS[0], num_inference_steps=2, generator=seed(), output_type="np", return_dict=False)[0]
    np.testing.assert_array_equal(array, audio.numpy())
    assert latents(pipe, PROMPTS[0]).shape == (1, 50, 16)


@pytest.mark.parametrize("batch", ["shared", "different"])
def test_a_batch_equals_single_runs(pipe, batch):
    controls = [{"chords": CHORDS, "drums": beat(0), "melody": NOTES}, {"chords": "F:0 G:0.3", "drums": beat(1)}]
    if batch == "shared":
        controls = [controls[0], controls[0]]
        together = controls[0]
    else:
        together = {name: [control.get(name) for control in controls] for name in ("chords", "drums", "melody")}
    noise = torch.randn(2, 50, 16, generator=seed())
    scales = {"guidance_scale": 1.5, "text_guidance_scale": 2.0}
    both = latents(pipe, PROMPTS, latents=noise, **together, **scales)
    for i in range(2):
        single = latents(pipe, PROMPTS[i], latents=noise[i : i + 1], **controls[i], **scales)
        assert relative_error(both[i : i + 1], single) < 1e-4


def test_all_waveforms_of_a_prompt_follow_its_controls(pipe):
    chords, drums, melody = [CHORDS, None], [None, beat()], [None, NOTES]
    noise = torch.randn(4, 50, 16, generator=seed())
    four = latents(pipe, PROMPTS, chords=chords, drums=drums, melody=melody, num_waveforms_per_prompt=2, latents=noise)
    for row in range(4):
        own = {"chords": chords[row // 2], "drums": drums[row // 2], "melody": melody[row // 2]}
        single = latents(pipe, PROMPTS[row // 2], **own, latents=noise[row : row + 1])
        assert relative_error(four[row : row + 1], single) < 1e-4


@pytest.mark.parametrize(
    "control", [{"chords": CHORDS}, {"drums": beat()}, {"melody": NOTES}], ids=lambda c: next(iter(c))
)
def test_every_control_and_the_text_affect_the_output(pipe, control):
    plain = latents(pipe, PROMPTS[0])
    assert relative_error(latents(pipe, PROMPTS[0], **control), plain) > 1e-3
    assert relative_error(latents(pipe, PROMPTS[1]), plain) > 1e-3


def test_none_and_empty_prompts_are_equal(pipe):
    silent = latents(pipe, None, chords=CHORDS)
    assert torch.equal(latents(pipe, "", chords=CHORDS), silent)
    both = latents(pipe, [None, ""], chords=CHORDS, latents=torch.randn(1, 50, 16, generator=seed()).repeat(2, 1, 1))
    torch.testing.assert_close(both[:1], silent, atol=1e-5, rtol=1e-5)
    assert torch.equal(latents(pipe, chords=[]), latents(pipe))


def test_the_same_seed_gives_the_same_music(pipe):
    first = latents(pipe, PROMPTS[0])
    assert torch.equal(latents(pipe, PROMPTS[0]), first)
    assert not torch.equal(latents(pipe, PROMPTS[0], generator=seed(1)), first)
    two = latents(pipe, PROMPTS[0], num_waveforms_per_prompt=2, generator=[seed(0), seed(1)])
    torch.testing.assert_close(two[:1], first, atol=1e-5, rtol=1e-5)


STOCHASTIC = {
    "euler": lambda: FlowMatchEulerDiscreteScheduler(stochastic_sampling=True),
    "lcm": lambda: FlowMatchLCMScheduler(),
    "sde": lambda: DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++", **FLOW),
    "singlestep": lambda: DPMSolverSinglestepScheduler(algorithm_type="sde-dpmsolver++", **FLOW),
    "sa": lambda: SASolverScheduler(**FLOW),
}


@pytest.mark.parametrize("name", STOCHASTIC)
def test_stochastic_schedulers_draw_from_the_generators(pipe, name):
    pipe.scheduler = STOCHASTIC[name]()
    both = latents(pipe, PROMPTS, chords=CHORDS, generator=[seed(0), seed(1)])
    torch.manual_seed(7)
    for i in range(2):
        single = latents(pipe, PROMPTS[i], chords=CHORDS, generator=[seed(i)])
        assert relative_error(both[i : i + 1], single) < 1e-4
        assert torch.equal(latents(pipe, PROMPTS[i], chords=CHORDS, generator=seed(i)), single)
    # The solver's noise also depends on the generator, not only on the initial latents.
    noise = torch.randn(1, 50, 16, generator=seed())
    first, second = (latents(pipe, PROMPTS[0], latents=noise, generator=seed(i)) for i in range(2))
    assert relative_error(first, second) > 1e-3


def count_rows(pipe) -> list[int]:
    rows = []
    pipe.transformer.register_forward_hook(
        lambda module, args, kwargs, output: rows.append(kwargs["hidden_states"].shape[0]), with_kwargs=True
    )
    return rows


@pytest.mark.parametrize(
    "scales, branches", [((1.0, 0.0), 1), ((5.0, 0.0), 2), ((0.0, 1.0), 1), ((1.75, 3.5), 3), ((0.0, 0.0), 1)]
)
def test_branches_without_weight_are_not_computed(pipe, scales, branches):
    rows = count_rows(pipe)
    latents(pipe, PROMPTS, chords=CHORDS, guidance_scale=scales[0], text_guidance_scale=scales[1])
    assert rows == 3 * [2 * branches]


def test_guidance_combines_the_branches(pipe):
    # One Euler step from the same noise is linear in the branches' velocities.
    def step(all_, text):
        scales = {"guidance_scale": all_, "text_guidance_scale": text}
        return latents(pipe, PROMPTS[0], chords=CHORDS, num_inference_steps=1, **scales)

    everything, text, null = step(1, 0), step(0, 1), step(0, 0)
    combined = 1.75 * everything + 3.5 * text + (1 - 1.75 - 3.5) * null
    assert relative_error(step(1.75, 3.5), combined) < 1e-5


def test_rescaled_velocities_keep_the_standard_deviation_of_unguided_ones(pipe):
    noise = torch.randn(2, 50, pipe.transformer.config.in_channels, generator=torch.Generator().manual_seed(0))

    # One step from noise, so the difference is the velocity.
    def velocity(scale, rescale):
        options = {"guidance_scale": scale, "guidance_rescale": rescale, "num_inference_steps": 1, "latents": noise}
        return latents(pipe, PROMPTS, chords=CHORDS, **options) - noise

    plain, guided, half, whole = velocity(1, 1.0), velocity(6, 0.0), velocity(6, 0.5), velocity(6, 1.0)
    assert torch.allclose(plain, velocity(1, 0.0))
    ratios = plain.std(dim=(1, 2), keepdim=True) / guided.std(dim=(1, 2), keepdim=True)
    assert relative_error(whole, guided * ratios) < 1e-5
    assert relative_error(half, (guided + whole) / 2) < 1e-5
    # Separately for each sample of the batch.
    assert not torch.allclose(ratios[0], ratios[1], rtol=1e-3)
    with pytest.raises(ValueError, match="between 0 and 1"):
        latents(pipe, PROMPTS, guidance_rescale=1.5)


def test_conditions_are_encoded_once(pipe):
    calls = []
    for module in (pipe.text_encoder, pipe.codec.encoder):
        module.register_forward_hook(lambda module, *_: calls.append(type(module).__name__))
    latents(pipe, PROMPTS, drums=beat(), num_inference_steps=5, num_waveforms_per_prompt=2)
    assert len(calls) == 2


def test_saving_and_loading_keeps_the_output(pipe, tmp_path):
    before = latents(pipe, PROMPTS[0], chords=CHORDS)
    pipe.save_pretrained(tmp_path)
    for path in tmp_path.rglob("*"):
        assert path.suffix not in (".bin", ".pt", ".pkl"), "safetensors and JSON only"
    for loader in (JascoPipeline, DiffusionPipeline):
        loaded = loader.from_pretrained(tmp_path)
        assert type(loaded) is JascoPipeline
        loaded.set_progress_bar_config(disable=True)
        assert torch.equal(latents(loaded, PROMPTS[0], chords=CHORDS), before)


def test_half_precision_variant_in_shards(pipe, tmp_path):
    pipe.to(torch.float16).save_pretrained(tmp_path, variant="fp16", max_shard_size="200KB")
    names = [path.name for path in (tmp_path / "transformer").glob("*.safetensors")]
    assert len(names) > 1 and all(".fp16" in name for name in names)
    loaded = JascoPipeline.from_pretrained(tmp_path, variant="fp16", dtype=torch.float16)
    for name, weight in pipe.transformer.state_dict().items():
        assert torch.equal(loaded.transformer.state_dict()[name], weight)
    assert loaded.transformer.dtype == loaded.codec.dtype == torch.float16


def test_components_are_recorded_under_the_package(pipe, tmp_path):
    # Required to load a repository by its Hub id.
    pipe.save_config(tmp_path)
    index = pipe.load_config(tmp_path)
    assert index["transformer"] == ["diffusers_jasco", "JascoTransformerModel"]
    assert index["scheduler"] == ["diffusers_jasco", "FlowMatchEulerScheduler"]


SWAPS = {
    "euler": (lambda config: FlowMatchEulerDiscreteScheduler.from_config(config), 1),
    "euler inverted": (lambda config: FlowMatchEulerDiscreteScheduler.from_config(config, invert_sigmas=True), 1),
    "heun": (lambda config: FlowMatchHeunDiscreteScheduler.from_config(config), 2),
    "unipc": (lambda config: UniPCMultistepScheduler.from_config(config, **FLOW), 2),
    "dpm++": (lambda config: DPMSolverMultistepScheduler.from_config(config, num_train_timesteps=100_000, **FLOW), 2),
}


@pytest.fixture(scope="module")
def exact():
    """A pipeline and its output with a much more accurate solver."""
    pipe = load_pipeline("chords-drums-melody", scheduler=FlowMatchDopri5Scheduler(rtol=1e-6, atol=1e-6))
    return pipe, latents(pipe, PROMPTS[0], chords=CHORDS, num_inference_steps=None)


@pytest.mark.parametrize("name", SWAPS)
def test_other_schedulers_converge_with_their_order(exact, name):
    pipe, reference = exact
    make, order = SWAPS[name]
    pipe.scheduler = make(FlowMatchEulerScheduler().config)
    errors = [
        relative_error(latents(pipe, PROMPTS[0], chords=CHORDS, num_inference_steps=n), reference) for n in (16, 64)
    ]
    # Four times the steps reduce the error by 4 ** order, down to float32 precision.
    assert errors[1] < 2e-4 or math.log(errors[0] / errors[1], 4) > 0.75 * order, errors
    assert errors[1] < (0.05 if order == 1 else 0.005), errors


def test_euler_equals_diffusers_euler(pipe):
    ours = latents(pipe, PROMPTS[0])
    pipe.scheduler = FlowMatchEulerDiscreteScheduler.from_config(pipe.scheduler.config)
    assert relative_error(latents(pipe, PROMPTS[0]), ours) < 1e-5


@pytest.mark.parametrize(
    "scheduler, hint",
    [
        (UniPCMultistepScheduler(), "UniPCMultistepScheduler.from_config.*use_flow_sigmas=True.*flow_prediction"),
        (DPMSolverMultistepScheduler(use_flow_sigmas=True), "DPMSolverMultistepScheduler.from_config"),
        (DDIMScheduler(), "FlowMatchEulerScheduler.from_config"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_schedulers_that_do_not_integrate_a_flow_are_rejected(pipe, scheduler, hint):
    pipe.scheduler = scheduler
    with pytest.raises(ValueError, match=hint):
        latents(pipe, PROMPTS[0])


def test_sigmas(pipe):
    uniform = latents(pipe, PROMPTS[0], num_inference_steps=4)
    explicit = latents(pipe, PROMPTS[0], num_inference_steps=None, sigmas=[1.0, 0.75, 0.5, 0.25])
    assert torch.equal(explicit, uniform)
    assert not torch.equal(latents(pipe, PROMPTS[0], num_inference_steps=None, sigmas=[1.0, 0.4]), uniform)
    with pytest.raises(ValueError, match="`num_inference_steps` is 3"):
        latents(pipe, PROMPTS[0], sigmas=[1.0, 0.5])
    pipe.scheduler = FlowMatchHeunDiscreteScheduler()
    with pytest.raises(ValueError, match="does not support `sigmas`"):
        latents(pipe, PROMPTS[0], num_inference_steps=None, sigmas=[1.0, 0.5])


def test_adaptive_solver_rejects_a_number_of_steps(pipe):
    pipe.scheduler = FlowMatchDopri5Scheduler()
    with pytest.raises(ValueError, match="chooses its own steps"):
        latents(pipe, PROMPTS[0], num_inference_steps=10)


def test_encoded_conditions_can_be_reused(pipe):
    controls = {"chords": [CHORDS, None], "drums": beat(), "melody": NOTES}
    conditioning = pipe.encode_conditioning(PROMPTS, **controls, duration=0.913)
    for value in range(2):
        direct = pipe(PROMPTS, **controls, duration=0.913, num_inference_steps=2, generator=seed(value)).audios
        reused = pipe(conditioning=conditioning, num_inference_steps=2, generator=seed(value)).audios
        assert torch.equal(reused, direct) and reused.shape[-1] == round(0.913 * RATE)
    noise = torch.randn(4, 46, 16, generator=seed())
    four = latents(pipe, conditioning=conditioning, num_waveforms_per_prompt=2, latents=noise)
    direct = latents(pipe, PROMPTS, **controls, duration=0.913, num_waveforms_per_prompt=2, latents=noise)
    assert torch.equal(four, direct)


@pytest.mark.parametrize(
    "other", [{"prompt": "pop"}, {"chords": CHORDS}, {"melody": NOTES}, {"duration": 0.5}], ids=lambda o: next(iter(o))
)
def test_encoded_conditions_exclude_the_arguments_they_contain(pipe, other):
    conditioning = pipe.encode_conditioning("pop", chords=CHORDS)
    with pytest.raises(InputError, match=f"either `conditioning` or `{next(iter(other))}`") as error:
        pipe(conditioning=conditioning, **other)
    assert error.value.argument == "conditioning"


def test_a_guider_replaces_the_scales_and_is_not_modified(pipe):
    guider = JascoGuidance(2.0, 0.5, 0.7)
    scales = {"guidance_scale": 2.0, "text_guidance_scale": 0.5, "guidance_rescale": 0.7}
    assert torch.equal(latents(pipe, "", chords=CHORDS, guider=guider), latents(pipe, "", chords=CHORDS, **scales))

    def change(pipe, step, timestep, kwargs):
        pipe.guidance_scale = 1.0
        return kwargs

    latents(pipe, "", chords=CHORDS, guider=guider, callback_on_step_end=change)
    assert guider.guidance_scale == 2.0
    with pytest.raises(InputError, match="either `guider` or `guidance_scale`"):
        latents(pipe, "", guider=guider, guidance_scale=1.0)
    with pytest.raises(InputError, match="`guider` has to be a `JascoGuidance`"):
        latents(pipe, "", guider=5.0)


@pytest.mark.parametrize(
    "other", [{"separate_drums": True}, {"audiocraft_compatible": True}], ids=lambda o: next(iter(o))
)
def test_encoding_options_with_encoded_conditions_are_rejected(pipe, other):
    conditioning = pipe.encode_conditioning("pop", chords=CHORDS)
    with pytest.raises(InputError, match=f"either `conditioning` or `{next(iter(other))}`"):
        pipe(conditioning=conditioning, **other)


def test_encoding_checks_its_arguments(pipe):
    invalid = [
        ({"duration": -1.0}, "duration"),
        ({"prompt": 3}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": "a", "prompt_embeds": torch.zeros(1, 2, 48)}, "prompt"),
        ({"num_frames": 0}, "num_frames"),
        ({"num_frames": 10, "duration": 0.2}, "num_frames"),
    ]
    for arguments, name in invalid:
        with pytest.raises(InputError) as error:
            pipe.encode_conditioning(**arguments)
        assert error.value.argument == name


def test_encoded_conditions_that_a_checkpoint_does_not_have(pipe):
    conditioning = pipe.encode_conditioning("pop", melody=NOTES)
    with pytest.raises(
        InputError, match="`conditioning` has melody, but the controls of this checkpoint are"
    ) as error:
        load_pipeline("chords-drums")(conditioning=conditioning)
    assert error.value.argument == "conditioning"


def test_audiocraft_compatible_calls_with_encoded_conditions(pipe):
    arguments = {"prompt": PROMPTS, "drums": beat(), "melody": NOTES}
    noise = torch.randn(2, 50, 16, generator=seed())
    direct = latents(pipe, **arguments, latents=noise, audiocraft_compatible=True)
    conditioning = pipe.encode_conditioning(**arguments, audiocraft_compatible=True)
    assert torch.equal(latents(pipe, conditioning=conditioning, guider=AudiocraftGuidance(5.0), latents=noise), direct)


@pytest.mark.parametrize("name", ["_guidance_scale", "_text_guidance_scale", "_guidance_rescale", "guidance_rescale"])
def test_callbacks_change_every_scale(pipe, name):
    def change(pipe, step, timestep, kwargs):
        setattr(pipe, name, 0.5)
        return kwargs

    changed = latents(pipe, PROMPTS[0], chords=CHORDS, callback_on_step_end=change)
    assert relative_error(changed, latents(pipe, PROMPTS[0], chords=CHORDS)) > 1e-3


def test_errors_name_the_prompt_of_a_list(pipe):
    with pytest.raises(InputError, match="For prompt 0: `chords`") as error:
        pipe(["a"], chords=["Hx:0"])
    assert (error.value.argument, error.value.position, error.value.prompt) == ("chords", 0, 0)


def test_callback_receives_and_changes_the_latents_and_the_scales(pipe):
    seen = []

    def callback(pipe, step, timestep, kwargs):
        seen.append((step, float(timestep), pipe.guidance_scale))
        pipe._guidance_scale = 1.0
        return {"latents": torch.zeros_like(kwargs["latents"])} if step == 2 else kwargs

    rows = count_rows(pipe)
    result = latents(pipe, PROMPTS[0], callback_on_step_end=callback)
    assert [step for step, *_ in seen] == [0, 1, 2] and [scale for *_, scale in seen] == [5.0, 1.0, 1.0]
    assert rows == [2, 1, 1], "the null branch has no weight after the first step"
    assert torch.equal(result, torch.zeros(1, 50, 16))


def test_callback_with_an_adaptive_solver_receives_only_solutions(pipe):
    pipe.scheduler = FlowMatchDopri5Scheduler(rtol=1e-3, atol=1e-3)
    untouched = latents(pipe, PROMPTS[0], num_inference_steps=None)
    evaluations, solutions = pipe.scheduler.function_evaluations, []

    def record(pipe, step, timestep, kwargs):
        solutions.append((step, kwargs["latents"]))
        return kwargs

    observed = latents(pipe, PROMPTS[0], num_inference_steps=None, callback_on_step_end=record)
    assert torch.equal(observed, untouched) and torch.equal(solutions[-1][1], untouched)
    assert [step for step, _ in solutions] == list(range(len(solutions)))
    assert 0 < len(solutions) <= (evaluations - 2) // 6

    def change(pipe, step, timestep, kwargs):
        return {"latents": kwargs["latents"] + 1.0} if step == 0 else kwargs

    changed = latents(pipe, PROMPTS[0], num_inference_steps=None, callback_on_step_end=change)
    assert relative_error(changed, untouched) > 1e-2


@pytest.mark.parametrize("scheduler", [FlowMatchEulerScheduler(), FlowMatchDopri5Scheduler(rtol=1e-3, atol=1e-3)])
def test_interrupt(pipe, scheduler):
    pipe.scheduler = scheduler
    seen = []

    def stop(pipe, step, timestep, kwargs):
        seen.append(step)
        pipe._interrupt = True
        return kwargs

    steps = 3 if isinstance(scheduler, FlowMatchEulerScheduler) else None
    latents(pipe, PROMPTS[0], num_inference_steps=steps, callback_on_step_end=stop)
    assert seen == [0]


def test_progress_bar_ends_full(pipe, capsys):
    for scheduler, steps in ((FlowMatchEulerScheduler(), 3), (FlowMatchDopri5Scheduler(rtol=1e-3, atol=1e-3), None)):
        pipe.scheduler = scheduler
        pipe.set_progress_bar_config(disable=False)
        latents(pipe, PROMPTS[0], num_inference_steps=steps)
        count = pipe.num_timesteps
        assert f"{count}/{count}" in capsys.readouterr().err


def test_prompt_embeds_replace_the_prompt(pipe):
    embeds, mask = pipe.encode_prompt(PROMPTS)
    assert mask.dtype == torch.bool and mask.sum(1).tolist() == [mask.shape[1], int(mask[1].sum())] and not mask.all()
    assert (embeds[~mask] == 0).all()
    noise = torch.randn(2, 50, 16, generator=seed())
    result = latents(pipe, prompt_embeds=embeds, prompt_attention_mask=mask, latents=noise)
    assert relative_error(result, latents(pipe, PROMPTS, latents=noise)) < 1e-5
    assert not torch.equal(latents(pipe, prompt_embeds=embeds, latents=noise), result), (
        "without the mask, padding is attended to"
    )


def test_long_prompts_are_not_truncated(pipe, warnings):
    long = "a b " * 600
    embeds, _ = pipe.encode_prompt(long)
    assert embeds.shape[1] > 1000
    assert "T5 was trained on at most 512" in warnings.text


def test_drums_are_separated_from_mixes(pipe, tmp_path):
    time = np.arange(RATE) / RATE
    mixes = [beat(0)[0] + 0.1 * np.sin(2 * np.pi * 330 * time).astype(np.float32), 0.5 * beat(1, seconds=0.7)[0]]
    stems = [separate_drums(mix, RATE) for mix in mixes]
    noise = torch.randn(3, 50, 16, generator=seed())
    prompts = [PROMPTS[0], "", PROMPTS[1]]
    soundfile.write(tmp_path / "mix.wav", mixes[0], RATE, subtype="FLOAT")
    given = [tmp_path / "mix.wav", None, {"array": mixes[1], "sampling_rate": RATE}]
    separated = latents(pipe, prompts, drums=given, separate_drums=True, latents=noise)
    expected = latents(pipe, prompts, drums=[stems[0], None, stems[1]], latents=noise)
    torch.testing.assert_close(separated, expected, atol=1e-4, rtol=1e-3)
    assert relative_error(latents(pipe, prompts, drums=given, latents=noise), expected) > 1e-3


def test_drums_are_separated_once_for_all_waveforms(pipe, monkeypatch):
    calls = []
    monkeypatch.setattr(
        "diffusers_jasco.inputs.separate_drums", lambda *args: calls.append(args) or separate_drums(*args)
    )
    # Audio after the end of the music is not separated.
    latents(pipe, PROMPTS, drums=beat(seconds=20), separate_drums=True, num_waveforms_per_prompt=2)
    assert len(calls) == 1 and calls[0][0][0].shape[-1] < 4 * RATE


def test_other_durations(pipe, warnings):
    assert pipe("", num_inference_steps=1).audios.shape[-1] == 32000
    assert not warnings.records
    audio = pipe("", num_inference_steps=1, duration=1.713, drums=beat()).audios
    assert audio.shape[-1] == round(1.713 * RATE)
    assert latents(pipe, "", duration=0.28, chords=CHORDS).shape[1] == 14
    assert latents(pipe, "", latents=torch.zeros(1, 25, 16)).shape[1] == 25


BAD_INPUTS = [
    ({"prompt": []}, "`prompt` is an empty list"),
    ({"prompt": 3}, "`prompt` has to be a `str`"),
    ({"prompt": ["a", 3]}, r"`prompt\[1\]`"),
    ({"prompt": "a", "prompt_embeds": torch.zeros(1, 2, 48)}, "not both"),
    ({"prompt_embeds": torch.zeros(2, 48)}, r"\(batch, tokens, dim\)"),
    ({"prompt": "a", "prompt_attention_mask": torch.ones(1, 2)}, "requires `prompt_embeds`"),
    ({"prompt_embeds": torch.ones(1, 2, 48), "prompt_attention_mask": torch.ones(1, 3)}, r"shape \(1, 2\)"),
    ({"prompt": ["a", "b"], "chords": [CHORDS]}, "`chords` has 1 elements for 2 prompt"),
    ({"prompt": ["a", "b"], "drums": [beat(), None, None]}, "`drums` has 3 elements for 2 prompt"),
    ({"prompt": ["a", "b"], "melody": [None]}, "`melody` has 1 elements for 2 prompt"),
    ({"chords": [("Xyz", 0.0)]}, "Xyz"),
    ({"drums": (np.full(100, np.nan, dtype=np.float32), RATE)}, "drums"),
    ({"drums": (np.zeros(10, dtype=np.float32), 0)}, "drums"),
    ({"drums": 3}, "drums"),
    ({"melody": torch.zeros(7, 9)}, "melody"),
    ({"melody": {"a": 1}}, "melody"),
    ({"duration": 0}, "`duration` has to be a positive number"),
    ({"duration": math.nan}, "`duration`"),
    ({"duration": "long"}, "`duration`"),
    ({"latents": torch.zeros(2, 50, 16)}, r"`latents` has to have shape \(1, 50, 16\)"),
    ({"latents": torch.zeros(1, 50, 16), "duration": 2.0}, "`latents` has 50 frames, but `duration`"),
    ({"num_waveforms_per_prompt": 0}, "`num_waveforms_per_prompt`"),
    ({"num_waveforms_per_prompt": 2, "generator": [seed()]}, "1 elements for 2 waveform"),
    ({"output_type": "wav"}, "`output_type`"),
    ({"callback_on_step_end_tensor_inputs": ["x"]}, "callback_on_step_end_tensor_inputs"),
    ({"num_inference_steps": 0}, "`num_inference_steps`"),
    ({"drums": 3, "separate_drums": True}, "drums"),
]


@pytest.mark.parametrize("inputs, message", BAD_INPUTS)
def test_invalid_input_is_reported(pipe, inputs, message):
    with pytest.raises(ValueError, match=message):
        latents(pipe, **inputs)


def test_missing_files_and_missing_controls(pipe):
    for control in ({"drums": "absent.wav"}, {"melody": "absent.mid"}, {"chords": "absent.lab"}):
        with pytest.raises(FileNotFoundError, match="absent"):
            latents(pipe, "", **control)
        for name in ("x" * 300, "x\0"):
            with pytest.raises(FileNotFoundError, match="does not exist"):
                latents(pipe, "", **{key: name + value[-4:] for key, value in control.items()})
    with pytest.raises(ValueError, match="no melody control. It has: chords, drums"):
        latents(load_pipeline("chords-drums"), "", melody=NOTES)


def test_bfloat16_output_is_close(pipe):
    full = latents(pipe, PROMPTS[0], chords=CHORDS, guidance_scale=2.0)
    pipe.to(torch.bfloat16)
    half = latents(pipe, PROMPTS[0], chords=CHORDS, guidance_scale=2.0)
    assert half.dtype == torch.float32, "the solver's state is float32"
    assert relative_error(half, full) < 0.1
    assert pipe(PROMPTS[0], drums=beat(), num_inference_steps=1).audios.isfinite().all()


def test_one_dtype_per_component(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    loaded = JascoPipeline.from_pretrained(tmp_path, dtype={"transformer": torch.bfloat16, "default": torch.float32})
    assert (loaded.transformer.dtype, loaded.codec.dtype) == (torch.bfloat16, torch.float32)
    assert loaded(PROMPTS[0], drums=beat(), num_inference_steps=1).audios.isfinite().all()


def test_model_offload_runs_the_codecs_hook_before_encoder_and_decoder(pipe):
    before = pipe(PROMPTS[0], drums=beat(), num_inference_steps=2, generator=seed()).audios
    pipe.enable_model_cpu_offload(device="cpu")
    events = []
    hook = pipe.codec._hf_hook
    onload = hook.pre_forward
    hook.pre_forward = lambda module, *args, **kwargs: (events.append("hook"), onload(module, *args, **kwargs))[1]
    for name in ("encoder", "decoder"):
        getattr(pipe.codec, name).register_forward_pre_hook(lambda *_, name=name: events.append(name))
    after = pipe(PROMPTS[0], drums=beat(), num_inference_steps=2, generator=seed()).audios
    assert events == ["hook", "encoder", "hook", "decoder"]
    assert torch.equal(after, before)


def test_lora_weights_load_scale_and_unload(pipe, tmp_path):
    peft = pytest.importorskip("peft")
    before = latents(pipe, PROMPTS[0])
    pipe.transformer.add_adapter(
        peft.LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_v"], init_lora_weights=False)
    )
    adapted = latents(pipe, PROMPTS[0])
    assert relative_error(adapted, before) > 1e-3
    layers = peft.get_peft_model_state_dict(pipe.transformer)
    JascoPipeline.save_lora_weights(tmp_path, transformer_lora_layers=layers)

    fresh = load_pipeline("chords-drums-melody")
    fresh.load_lora_weights(tmp_path)
    assert relative_error(latents(fresh, PROMPTS[0]), adapted) < 1e-5
    assert relative_error(latents(fresh, PROMPTS[0], attention_kwargs={"scale": 0.0}), before) < 1e-5
    fresh.unload_lora_weights()
    assert torch.equal(latents(fresh, PROMPTS[0]), before)


def test_audiocrafts_layout_provides_the_defaults():
    pipe = load_pipeline("chords-drums")
    assert pipe.transformer.controls == ("chords", "drums")
    assert pipe.transformer.config.skip_connections is True
    assert pipe.transformer.config.chord_labels[:2] != [] and len(pipe.transformer.config.chord_labels) == 194
    assert (pipe.transformer.config.latents_mean, pipe.transformer.config.latents_std) == (-0.0074, 4.0102)
    with pytest.raises(ValueError, match="variant"):
        JascoPipeline.from_pretrained(pipe_folder(), variant="fp16", **pipe.components)


def pipe_folder():
    from ..conftest import FIXTURES

    return FIXTURES / "chords-drums"
