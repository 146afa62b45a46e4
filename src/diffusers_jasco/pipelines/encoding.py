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

"""Conversion of text, controls and audio to the forms that the transformer uses, and back."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.utils import logging
from transformers import EncodecModel, PreTrainedTokenizerBase, T5EncoderModel

from ..audio.levels import DRUMS_LOUDNESS
from ..audio.resampling import resample_period
from ..codecs import decode, decode_loop, encode, encode_drums
from ..conditioning import JascoConditioning, TextSection
from ..controls import CONTROLS
from ..controls.beats import Tempo, beats_to_frames, regular_beats
from ..controls.chords import Chords, chords_to_frames
from ..controls.forms import to_list
from ..inputs import read_beats, read_chords, read_chords_or_bars, read_drums, read_melody
from ..loaders.audiocraft.compat import read_melody_late
from ..models.codec_spectral import SpectralCodecModel
from ..models.tempo_model import JascoTempoModel
from ..models.transformer_jasco import JascoTransformerModel
from ..per_prompt import check_starts, encode_per_prompt, is_given, open_grooves, place_chords, split_per_prompt
from ..tempo import (
    PieceInputs,
    TempoDistribution,
    Timing,
    choose_timing,
    draw_seeds,
    estimate_tempos,
    report_tempos,
    warn_of_unused_tempo,
)
from ..text_encoders import attended_tokens, encode_prompts, known_words
from ..utils.errors import InputError
from ..utils.numbers import to_integer
from .checks import (
    MAX_DURATION,
    check_duration,
    check_generator,
    check_prompt,
    check_switches,
    check_tempos,
    check_text,
    count_pieces,
)
from .control_mixer import ControlRegions, read_control_regions, region_masks
from .prompt_timeline import opening, split_sections
from .timeline import Timeline, place_frames, place_frames_of_loop, warn_of_rounded_loop


logger = logging.get_logger(__name__)


class JascoEncodingMixin(DiffusionPipeline):
    """Encodes text, controls and audio with the components of a pipeline, and decodes latents."""

    tokenizer: PreTrainedTokenizerBase
    text_encoder: T5EncoderModel
    codec: EncodecModel | SpectralCodecModel
    transformer: JascoTransformerModel
    tempo_model: JascoTempoModel | None

    @property
    def sampling_rate(self) -> int:
        """Sampling rate of the audio in Hz."""
        return self.codec.config.sampling_rate

    @property
    def frame_rate(self) -> float:
        """Latent frames per second."""
        return self.sampling_rate / self._hop_length

    @property
    def _hop_length(self) -> int:
        return self.codec.config.hop_length

    def known_words(self) -> list[str] | None:
        r"""
        The text vocabulary in alphabetical order, for checkpoints with a closed vocabulary: other words all become the
        same unknown token, and a call warns about them. `None` for checkpoints that accept any word, such as Meta's
        with T5.
        """
        return known_words(self.tokenizer)

    def encode_prompt(
        self,
        prompt: str | list[str | None] | None = None,
        device: torch.device | None = None,
        num_waveforms_per_prompt: int = 1,
        prompt_embeds: torch.Tensor | None = None,
        prompt_attention_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        r"""
        Encodes prompts.

        Args:
            prompt (`str` or `list[str]`, *optional*):
                Prompts; `None` or an empty string is the null text.
            device (`torch.device`, *optional*):
                Device of the results.
            num_waveforms_per_prompt (`int`, defaults to `1`):
                Number of repetitions of each prompt.
            prompt_embeds (`torch.Tensor` of shape `(batch, tokens, text_dim)`, *optional*):
                Precomputed hidden states, instead of `prompt`.
            prompt_attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*):
                Their mask; by default all tokens are text.

        Returns:
            `tuple`: the text encoder's hidden states and a boolean mask of the tokens that are text (all `False` for
            an empty prompt), both for `batch * num_waveforms_per_prompt` waveforms.
        """
        device = device or self._execution_device
        if prompt_embeds is None:
            checked = check_prompt(prompt)
            prompts = checked if isinstance(checked, list) else [checked]
            texts = [single for single in prompts if not isinstance(single, tuple)]
            if len(texts) < len(prompts):
                raise InputError("`prompt` has to be text here: use `encode_conditioning` for timelines.", "prompt")
            prompt_embeds, prompt_attention_mask = encode_prompts(texts, self.tokenizer, self.text_encoder, device)
        elif prompt_attention_mask is None:
            prompt_attention_mask = torch.ones(prompt_embeds.shape[:2])

        prompt_embeds = prompt_embeds.to(device).repeat_interleave(num_waveforms_per_prompt, dim=0)
        prompt_attention_mask = prompt_attention_mask.to(device).bool()
        prompt_attention_mask = prompt_attention_mask.repeat_interleave(num_waveforms_per_prompt, dim=0)
        return prompt_embeds, prompt_attention_mask

    def encode_chords(self, chords: Any, num_frames: int, start: float = 0.0) -> torch.Tensor | None:
        """Encodes one chord progression with starts in seconds, as ids `(num_frames,)`; `None` if it is empty."""
        labels = self.transformer.config.chord_labels
        timeline = read_chords(chords, labels, duration=num_frames / self.frame_rate, start=start)
        return chords_to_frames(timeline, labels, num_frames, self.frame_rate) if timeline else None

    def encode_drums(
        self,
        drums: Any,
        num_frames: int,
        separate_drums: bool = False,
        normalize_drums: bool | None = None,
        start: float = 0.0,
        bpm: float | None = None,
        frame_rate: float | None = None,
    ) -> torch.Tensor | None:
        """
        Encodes one drum recording, in any form, as latents of shape `(num_frames, latent_dim)`; `None` if it is empty.
        `bpm` is the tempo of a groove. See `separate_drums` and `normalize_drums` in [`__call__`]. With a `frame_rate`
        other than the codec's, the recording is stretched, as a loop that lasts as long as the frames.
        """
        loudness = self._drums_loudness(normalize_drums)
        num_samples = round(num_frames / (frame_rate or self.frame_rate) * self.sampling_rate)
        waveform = read_drums(drums, self.sampling_rate, num_samples, separate_drums, loudness, start, bpm)
        if waveform is None:
            return None
        waveform = resample_period(waveform, num_frames * self._hop_length)
        return encode_drums(self.codec, waveform[None], self.transformer.config.drums_blur)[0]

    def _drums_loudness(self, normalize_drums: bool | None) -> float | None:
        """Target loudness of drum recordings in LUFS, or `None` to keep theirs."""
        check_switches(normalize_drums=normalize_drums)
        loudness = self.transformer.config.drums_loudness
        if normalize_drums is None:
            return loudness
        return (DRUMS_LOUDNESS if loudness is None else loudness) if normalize_drums else None

    def encode_melody(
        self,
        melody: Any,
        num_frames: int,
        audiocraft_compatible: bool = False,
        start: float = 0.0,
        bpm: float | None = None,
        frame_rate: float | None = None,
    ) -> torch.Tensor | None:
        """
        Encodes one melody, in any form, as a matrix of shape `(num_frames, melody_bins)`; `None` if it is empty. `bpm`
        is the tempo of notes as text, `frame_rate` that of the music, by default the codec's. With
        `audiocraft_compatible`, melodies of recordings are 0.15% late, as in AudioCraft.
        """
        read = read_melody_late if audiocraft_compatible else read_melody
        matrix = read(melody, num_frames, frame_rate or self.frame_rate, start, bpm)
        return matrix if matrix.any() else None

    @torch.no_grad()
    def encode_conditioning(
        self,
        prompt: str | list | None = None,
        chords: Any = None,
        drums: Any = None,
        separate_drums: bool = False,
        normalize_drums: bool | None = None,
        melody: Any = None,
        start: float | list[float] = 0.0,
        duration: float | None = None,
        bpm: float | bool | list[float | bool | None] | None = None,
        beats_per_bar: int | list[int | None] | None = None,
        beats: Any = None,
        prompt_embeds: torch.Tensor | None = None,
        prompt_attention_mask: torch.Tensor | None = None,
        audiocraft_compatible: bool = False,
        num_frames: int | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        control_regions: dict[str, list] | list[dict[str, list] | None] | None = None,
        loop: bool = False,
    ) -> JascoConditioning:
        r"""
        Encodes text and controls, for reuse in any number of calls with `conditioning=`.

        Args:
            prompt, chords, drums, separate_drums, normalize_drums, melody, start, bpm, beats_per_bar, beats,
            prompt_embeds, prompt_attention_mask:
                As in [`__call__`].
            audiocraft_compatible (`bool`, defaults to `False`): as in [`__call__`].
            duration (`float`, *optional*):
                Duration in seconds; by default that of the training clips.
            num_frames (`int`, *optional*):
                Number of latent frames, instead of `duration`.
            generator (`torch.Generator` or `list[torch.Generator]`, *optional*):
                Random generator for tempos, or a list with one per prompt; its state does not change.
            control_regions (`dict[str, list]` or `list`, *optional*): as in [`__call__`].
            loop (`bool`, defaults to `False`): whether the conditions are for a call with `loop=True`.

        Returns:
            [`JascoConditioning`]: the conditions of one waveform per prompt.

        Raises:
            [`~inputs.InputError`], `FileNotFoundError`: as [`__call__`].
        """
        sample_size = self.transformer.config.sample_size
        check_switches(
            separate_drums=separate_drums,
            normalize_drums=normalize_drums,
            audiocraft_compatible=audiocraft_compatible,
            loop=loop,
        )
        if normalize_drums is None and audiocraft_compatible:
            normalize_drums = False
        prompt, prompt_embeds, prompt_attention_mask = check_text(
            prompt, prompt_embeds, prompt_attention_mask, self.transformer.config.text_dim
        )
        duration, rate = check_duration(duration), self.frame_rate
        if num_frames is not None and duration is not None:
            raise InputError("Give either `num_frames` or `duration`, not both.", "num_frames")
        if duration is not None:
            timeline = self._place_frames(duration, loop)
            warn_of_rounded_loop(timeline, duration)
            num_frames, rate, duration = timeline
        elif num_frames is None:
            num_frames = sample_size
        else:
            num_frames = to_integer(num_frames, "num_frames", 1, self._num_frames(MAX_DURATION))
        num_prompts = count_pieces(prompt, prompt_embeds, None)
        inputs = dict(zip(CONTROLS, map(to_list, (chords, drums, melody, beats)), strict=True))
        tempos = check_tempos(bpm, beats_per_bar, inputs["beats"], num_prompts)
        nulls = self.transformer.null_controls
        for name, control in inputs.items():
            if name not in nulls and is_given(control):
                available = ", ".join(nulls) or "none"
                raise InputError(
                    f"`{name}` was given, but this checkpoint has no {name} control. It has: {available}.", name
                )
        inputs["drums"] = open_grooves(inputs["drums"])
        # Beats also come from tempos.
        given_names = [name for name in nulls if name == "beats" or is_given(inputs[name])]
        regions = read_control_regions(control_regions, num_prompts, given_names, num_frames / rate)
        self._warn_of_rests(regions)
        starts = check_starts(start, num_prompts, tuple(inputs.values()))
        device = self._execution_device
        generator = check_generator(generator, num_prompts, device)
        prompts = prompt if isinstance(prompt, list) else [prompt] * num_prompts
        sections, encoded_texts = [], {}
        for first_frame, texts in split_sections(prompts, num_frames, rate):
            if (key := tuple(texts)) not in encoded_texts:
                encoded_texts[key] = self.encode_prompt(texts, device, 1, prompt_embeds, prompt_attention_mask)
            states, text_mask = encoded_texts[key]
            attention_mask = attended_tokens(text_mask, audiocraft_compatible)
            sections.append(TextSection(first_frame, states, text_mask, attention_mask))

        # 1. Choose a tempo
        openings = [opening(single) for single in prompts]
        timings, timelines, grids, reported = self._place_in_time(
            openings, inputs, *tempos, starts, num_frames / rate, sections[0], generator
        )

        # 2. Convert the controls to frames
        labels = self.transformer.config.chord_labels
        bpms = [None if timing is None else timing.tempo.bpm for timing in timings]
        read: Callable[..., Any] = partial(
            self.encode_drums,
            num_frames=num_frames,
            frame_rate=rate,
            separate_drums=separate_drums,
            normalize_drums=normalize_drums,
        )
        drum_latents = encode_per_prompt("drums", inputs["drums"], num_prompts, read, starts, bpm=bpms)
        options = {"audiocraft_compatible": audiocraft_compatible}
        read = partial(self.encode_melody, num_frames=num_frames, frame_rate=rate, **options)
        melodies = encode_per_prompt("melody", inputs["melody"], num_prompts, read, starts, bpm=bpms)
        frames_of: tuple[Sequence[torch.Tensor | None], ...] = (
            [chords_to_frames(timeline, labels, num_frames, rate) if timeline else None for timeline in timelines],
            drum_latents,
            melodies,
            [beats_to_frames(*grid, num_frames, rate) if grid and grid[0] else None for grid in grids],
        )
        controls: dict[str, torch.Tensor] = {}
        given: dict[str, torch.Tensor] = {}
        for name, frames in zip(CONTROLS, frames_of, strict=True):
            encoded = next((single for single in frames if single is not None), None)
            if encoded is None:
                continue
            null = torch.full_like(encoded, nulls[name])
            controls[name] = torch.stack([null if single is None else single for single in frames]).to(device)
            given[name] = torch.tensor([single is not None for single in frames], device=device)
        kept: dict[str, int | torch.Tensor] = {name: nulls[name] for name in controls}
        conditioning = JascoConditioning(tuple(sections), controls, kept, None, num_frames, given, duration, reported)
        if rate != self.frame_rate:
            conditioning = replace(conditioning, frame_rate=rate)
        return conditioning.mask(region_masks(regions, num_frames, rate, device))

    def _warn_of_rests(self, regions: Sequence[ControlRegions]):
        if any("melody" in single for single in regions) and not self.transformer.config.presence_bits:
            logger.warning("`control_regions`: with this checkpoint, the melody rests outside of its regions.")

    def _place_in_time(
        self,
        prompts: Sequence[str | None],
        inputs: dict[str, Any],
        bpms: Sequence[float | bool | None],
        meters: Sequence[int | None],
        starts: Sequence[float],
        duration: float,
        section: TextSection,
        generator: torch.Generator | list[torch.Generator] | None,
    ) -> tuple[
        list[Timing | None],
        list[Chords | None],
        list[tuple[list[float], list[float]] | None],
        tuple[Tempo | None, ...],
    ]:
        """
        The timing, the chords, and the beats and downbeats of each piece, in seconds, and its tempo; `None` where there
        are none.
        """
        num_prompts, labels = len(prompts), self.transformer.config.chord_labels
        read: Callable[..., Any] = partial(read_chords_or_bars, labels=labels, duration=duration)
        timelines = encode_per_prompt("chords", inputs["chords"], num_prompts, read, starts)
        read = partial(read_beats, duration=duration)
        grids = encode_per_prompt("beats", inputs["beats"], num_prompts, read, starts, beats_per_bar=meters)
        drums = split_per_prompt("drums", inputs["drums"], num_prompts)
        melodies = split_per_prompt("melody", inputs["melody"], num_prompts)
        rows = zip(prompts, bpms, meters, timelines, drums, melodies, grids, starts, strict=True)
        pieces = [PieceInputs(*row) for row in rows]
        timings = self._choose_timings(pieces, section, generator)
        has_control = "beats" in self.transformer.controls
        if has_control:
            grids = [
                regular_beats(*timing.tempo, duration, timing.first_downbeat) if timing else grid
                for grid, timing in zip(grids, timings)
            ]
        tempos = [timing and timing.tempo for timing in timings]
        placed = place_chords(timelines, tempos, labels, duration)
        reported = report_tempos(pieces, timings, grids, has_control, self.tempo_model is not None)
        return timings, placed, grids, reported

    def _choose_timings(
        self,
        pieces: list[PieceInputs],
        section: TextSection,
        generator: torch.Generator | list[torch.Generator] | None,
    ) -> list[Timing | None]:
        """The tempo of each piece; `None` for pieces that have or need none."""
        has_control = "beats" in self.transformer.controls
        uses_tempo = [has_control or piece.is_in_beats for piece in pieces]
        distributions: list[TempoDistribution | None] = [None] * len(pieces)
        seeds = [0] * len(pieces)
        if self.tempo_model is not None and any(used and piece.is_free for used, piece in zip(uses_tempo, pieces)):
            distributions = [*estimate_tempos(self.tempo_model, section.states, section.mask)]
            seeds = draw_seeds(generator, len(pieces))
        timings: list[Timing | None] = []
        for index, (piece, used, distribution, seed) in enumerate(zip(pieces, uses_tempo, distributions, seeds)):
            try:
                timings.append(choose_timing(piece, distribution, seed) if used else None)
            except InputError as error:
                raise error.for_prompt(index) if len(pieces) > 1 else error
        warn_of_unused_tempo(pieces, timings, uses_tempo, has_control)
        return timings

    def encode_audio(self, audio: torch.Tensor) -> torch.Tensor:
        """Encodes audio `(batch, channels, samples)` as normalized latents `(batch, frames, latent_dim)`."""
        latents = encode(self.codec, audio)
        config = self.transformer.config
        mean, std = (torch.tensor(value, device=latents.device) for value in (config.latents_mean, config.latents_std))
        return (latents - mean) / std

    def decode_latents(
        self, latents: torch.Tensor, loop: bool = False, num_samples: int | None = None
    ) -> torch.Tensor:
        """
        Decodes normalized latents `(batch, frames, latent_dim)` to audio of shape `(batch, channels, samples)`, with
        `loop` to audio whose end continues with its beginning. `num_samples` is the length of a loop, by default that
        of whole frames; see [`~codecs.decode_loop`].
        """
        config = self.transformer.config
        mean, std = (torch.tensor(value, device=latents.device) for value in (config.latents_mean, config.latents_std))
        latents = latents * std + mean
        return decode_loop(self.codec, latents, num_samples) if loop else decode(self.codec, latents)

    def _place_frames(self, duration: float, loop: bool = False) -> Timeline:
        return place_frames_of_loop(self.codec, duration) if loop else place_frames(self.codec, duration)

    def _num_frames(self, duration: float) -> int:
        return place_frames(self.codec, duration).num_frames
