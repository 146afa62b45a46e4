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

"""Renders notes with General MIDI sound fonts. The same notes give the same bytes in every process."""

import ctypes
import importlib.metadata
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from ...utils.files import hash_file
from ...utils.optional_imports import import_optional, pip_install
from .soundfonts import KIT_BANK, SoundFont, read_soundfont, select_presets, to_file


# Block size in samples, as in FluidSynth. Events are moved to the start of their block.
BLOCK = 64

# MIT-licensed General MIDI fonts, installed by Debian's `fluid-soundfont-gm` and `musescore-general-soundfont-small`.
_FREE_FONTS = (
    "/usr/share/sounds/sf2/FluidR3_GM.sf2",
    "/usr/share/sounds/sf3/MuseScore_General_Lite.sf3",
)
_ALTERNATIVE = "or use the renderer tinysoundfont, which needs no system library (--renderer tinysoundfont)"


class Renderer(ABC):
    r"""
    Renders stems with a General MIDI sound font, one instrument each, dry (no reverb, no chorus) and in mono.

    Args:
        soundfont (`str` or `os.PathLike`): an `.sf2` or `.sf3` file.
        sampling_rate (`int`): Hz.
    """

    name: str

    @property
    @abstractmethod
    def version(self) -> str:
        """Version of the synthesizer. Another version may give other bytes."""

    def __init__(self, soundfont: str | os.PathLike, sampling_rate: int):
        self.soundfont = Path(soundfont)
        self.sampling_rate = sampling_rate
        if not self.soundfont.is_file():
            raise FileNotFoundError(f"`soundfont` has to be an existing file, but got {self.soundfont}.")

    @property
    def description(self) -> dict[str, str]:
        """Everything apart from the notes that determines the audio: renderer, version, sound font and its SHA-256."""
        return {
            "renderer": self.name,
            "renderer_version": self.version,
            "soundfont": self.soundfont.name,
            "soundfont_sha256": _sha256(self.soundfont),
        }

    @abstractmethod
    def render(
        self, stems: dict[str, tuple[int, bool, Sequence[tuple[float, float, int, int]]]], duration: float
    ) -> dict[str, np.ndarray]:
        r"""
        Renders stems.

        Args:
            stems (`dict`):
                Name → (program, is drum kit, notes). A note is (start in s, end in s, key 0 ... 127, velocity 1 ...
                127).
            duration (`float`): duration in seconds.

        Returns:
            `dict[str, np.ndarray]`: name → float32 samples (samples,).
        """

    def _events(self, channels: Sequence[Sequence[tuple[float, float, int, int]]], num_blocks: int):
        """[(block, [(channel, key, velocity)])] in temporal order, note-offs (velocity 0) before note-ons."""
        events: dict[int, list[tuple[int, int, int]]] = {}
        for channel, notes in enumerate(channels):
            for start, end, key, velocity in notes:
                first = int(start * self.sampling_rate / BLOCK)
                last = max(int(end * self.sampling_rate / BLOCK), first + 1)
                if first < num_blocks:
                    events.setdefault(first, []).append((channel, key, velocity))
                    events.setdefault(last, []).append((channel, key, 0))
        return [
            (block, sorted(events[block], key=lambda event: (event[2] > 0, event)))
            for block in sorted(events)
            if block < num_blocks
        ]


class FluidSynthRenderer(Renderer):
    """Renders with the system's FluidSynth library (through pyfluidsynth), all stems in one pass."""

    name = "fluidsynth"

    def __init__(self, soundfont: str | os.PathLike, sampling_rate: int):
        super().__init__(soundfont, sampling_rate)
        self._cache_synth = None
        self._cached_programs: dict[tuple[int, bool], int] = {}
        self._library = _load_fluidsynth()

    @property
    def version(self) -> str:
        major, minor, micro = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        self._library._fl.fluid_version(ctypes.byref(major), ctypes.byref(minor), ctypes.byref(micro))
        return f"{major.value}.{minor.value}.{micro.value}"

    def _synth(self, num_outputs: int, num_channels: int = 16):
        synth = self._library.Synth(
            gain=0.5,
            samplerate=float(self.sampling_rate),
            **{
                "synth.audio-channels": num_outputs,
                "synth.audio-groups": num_outputs,
                "synth.midi-channels": num_channels,
                "synth.reverb.active": 0,
                "synth.chorus.active": 0,
                "synth.cpu-cores": 1,
                "synth.polyphony": 256,
                # Loads only the instruments that are used.
                "synth.dynamic-sample-loading": 1,
            },
        )
        font = synth.sfload(str(self.soundfont))
        if font < 0:
            raise ValueError(f"FluidSynth can't read the sound font {self.soundfont}.")
        return synth, font

    def _select(self, synth, font: int, channel: int, program: int, is_kit: bool):
        if is_kit:
            self._library._fl.fluid_synth_set_channel_type(ctypes.c_void_p(synth.synth), channel, 1)
        if synth.program_select(channel, font, 128 if is_kit else 0, program) != 0:
            synth.program_select(channel, font, 128 if is_kit else 0, 0)

    def render(self, stems, duration):
        # A reused synth renders differently, so every call creates a new one. A second, persistent synth keeps the
        # decoded samples of all instruments in FluidSynth's cache, with one channel per instrument.
        if self._cache_synth is None:
            self._cache_synth = self._synth(1, num_channels=256)
        cache_synth, cache_font = self._cache_synth
        synth, font = self._synth(len(stems))
        try:
            for channel, (program, is_kit, _) in enumerate(stems.values()):
                self._select(synth, font, channel, program, is_kit)
                if (program, is_kit) not in self._cached_programs:
                    cache_channel = len(self._cached_programs)
                    self._cached_programs[program, is_kit] = cache_channel
                    self._select(cache_synth, cache_font, cache_channel, program, is_kit)
            num_blocks = -(-int(round(duration * self.sampling_rate)) // BLOCK)
            buffers = np.zeros((2 * len(stems), num_blocks * BLOCK), np.float32)
            position = 0
            for block, events in self._events([notes for _, _, notes in stems.values()], num_blocks) + [
                (num_blocks, [])
            ]:
                self._process(synth, buffers, position * BLOCK, (block - position) * BLOCK)
                position = block
                for channel, key, velocity in events:
                    if velocity:
                        synth.noteon(channel, key, velocity)
                    else:
                        synth.noteoff(channel, key)
        finally:
            synth.delete()
        num_samples = int(round(duration * self.sampling_rate))
        mono = 0.5 * (buffers[0::2, :num_samples] + buffers[1::2, :num_samples])
        return dict(zip(stems, mono))

    def _process(self, synth, buffers: np.ndarray, start: int, length: int):
        if length == 0:
            return
        pointers = (ctypes.c_void_p * len(buffers))(*(row[start:].ctypes.data for row in buffers))
        self._library._fl.fluid_synth_process(
            ctypes.c_void_p(synth.synth), length, 0, None, len(buffers), ctypes.cast(pointers, ctypes.c_void_p)
        )


class TinySoundFontRenderer(Renderer):
    """Renders with tinysoundfont, which needs no system library."""

    name = "tinysoundfont"

    def __init__(self, soundfont: str | os.PathLike, sampling_rate: int):
        super().__init__(soundfont, sampling_rate)
        _import_tinysoundfont()
        self._font: SoundFont | None = None
        self._presets: dict[tuple[int, int], bytes] = {}

    def _source(self, bank: int, program: int) -> str | bytes:
        """The font to load. tinysoundfont plays `.sf3` incorrectly, so their presets are converted one by one."""
        if self.soundfont.suffix.lower() != ".sf3":
            return str(self.soundfont)
        if self._font is None:
            self._font = read_soundfont(self.soundfont)
        if (bank, program) not in self._presets:
            self._presets[bank, program] = to_file(select_presets(self._font, [(bank, program)]))
        return self._presets[bank, program]

    @property
    def version(self) -> str:
        return importlib.metadata.version("tinysoundfont")

    def render(self, stems, duration):
        return {name: self._render_stem(*stem, duration) for name, stem in stems.items()}

    def _render_stem(self, program: int, is_kit: bool, notes, duration: float) -> np.ndarray:
        num_samples = int(round(duration * self.sampling_rate))
        num_blocks = -(-num_samples // BLOCK)
        synth = _import_tinysoundfont().Synth(gain=-6.0, samplerate=self.sampling_rate)
        bank = KIT_BANK if is_kit else 0
        font = synth.sfload(self._source(bank, program))
        synth.program_select(0, font, bank, program, is_kit)
        segments, position = [], 0
        for block, events in self._events([notes], num_blocks) + [(num_blocks, [])]:
            if block > position:
                segments.append(np.frombuffer(synth.generate((block - position) * BLOCK), np.float32).copy())
                position = block
            for _, key, velocity in events:
                if velocity:
                    synth.noteon(0, key, velocity)
                else:
                    synth.noteoff(0, key)
        stereo = np.concatenate(segments).reshape(-1, 2)[:num_samples]
        return 0.5 * (stereo[:, 0] + stereo[:, 1])


RENDERERS = {renderer.name: renderer for renderer in (FluidSynthRenderer, TinySoundFontRenderer)}


def find_soundfonts(renderer: str) -> list[Path]:
    r"""
    The default sound fonts of a renderer: for FluidSynth the MIT-licensed fonts of Debian and Ubuntu, for
    tinysoundfont the small font in the pretty_midi package (GPL-2).

    Raises:
        `FileNotFoundError`: if no font is found. The message explains how to install one.
        `ImportError`: for tinysoundfont, if pretty_midi is not installed.
    """
    if renderer == TinySoundFontRenderer.name:
        # The package contains the font.
        pretty_midi = import_optional("pretty_midi", "synthetic")
        return [Path(pretty_midi.__file__).parent / "TimGM6mb.sf2"]
    fonts = [Path(path) for path in _FREE_FONTS if os.path.isfile(path)]
    if not fonts:
        raise FileNotFoundError(
            "The renderer fluidsynth needs a sound font: apt install fluid-soundfont-gm"
            f" musescore-general-soundfont-small, or pass files with `soundfonts`, {_ALTERNATIVE}."
        )
    return fonts


@lru_cache(maxsize=None)
def get_renderer(name: str, soundfont: str, sampling_rate: int) -> Renderer:
    """The renderer for a font. There is one per process, so fonts are loaded once."""
    if name not in RENDERERS:
        raise ValueError(f"`renderer` has to be one of {', '.join(RENDERERS)}, but got {name!r}.")
    return RENDERERS[name](soundfont, sampling_rate)


@lru_cache(maxsize=None)
def _sha256(path: Path) -> str:
    return hash_file(path)


def _import_tinysoundfont():
    try:
        import tinysoundfont
    except ImportError as error:
        raise ImportError("Synthetic music needs tinysoundfont: pip install --no-deps tinysoundfont") from error
    return tinysoundfont


def _load_fluidsynth():
    try:
        import fluidsynth
    except ModuleNotFoundError as error:
        raise ImportError(
            f"The renderer fluidsynth needs the package pyfluidsynth: {pip_install('synthetic')}, {_ALTERNATIVE}."
        ) from error
    # pyfluidsynth is installed, but does not find the library, or can't load it.
    except (ImportError, OSError) as error:
        raise ImportError(
            f"The renderer fluidsynth needs the FluidSynth library: apt install libfluidsynth3, {_ALTERNATIVE}."
        ) from error
    library = fluidsynth._fl
    library.fluid_synth_process.restype = ctypes.c_int
    library.fluid_synth_process.argtypes = [
        ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p,
    ]  # fmt: skip
    library.fluid_synth_set_channel_type.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
    return fluidsynth
