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

"""Settings for the preparation of a training set."""

import os
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from ...controls.chord_labels import default_chord_labels
from ...extraction import chords, drums, melody
from ...loaders.audiocraft.files import read_chord_labels
from ..sources import read_captions_table
from .chord_files import Chords, read_chords_per_track


METHODS = {
    "chords": (*chords.METHODS, "none"),
    "melody": (*melody.METHODS, "none"),
    "drums": (*drums.METHODS, "none"),
    "beats": ("auto", "none"),
}


@dataclass(frozen=True)
class PreparationSettings:
    r"""
    Settings of the preparation, shared by all tracks.

    Args:
        chords (`str`): method of [`~extraction.extract_chords`], `"none"`, or a path that
            [`~data.preparation.chord_files.read_chords_per_track`] reads.
        melody (`str`): method of [`~extraction.extract_melody`], `"none"`, or a folder of
            `<track>_multif0_salience.npz`.
        drums (`str`): method of [`~extraction.separate_drums`], `"none"`, or a folder of `<track>.drums.flac` or
            `.wav`.
        beats (`str`): `"auto"` for [`~extraction.extract_beats`], or `"none"`.
        melody_weights (`str`, *optional*): weights for `"deep_salience"`.
        chord_map (`str`, *optional*): a chord map. Chords that are not in it become "UNK".
        captions (`str`, *optional*): a table of captions; see [`~data.sources.read_captions_table`].
        codec (`str`, *optional*): folder of a codec or pipeline that encodes the clips.
        text_encoder (`str`, *optional*): a text encoder for [`~text_encoders.load_text_encoder`] that encodes the
            captions.
        sampling_rate (`int`): sampling rate of the clips in Hz; pass the codec's if there is one.
        clip_seconds (`float`): target duration of clips. Each track is cut into clips of equal length close to it.
        min_seconds (`float`): minimum duration of tracks; shorter ones are reported as errors. Training items have a
            fixed length, by default JASCO's 10 s.
        device (`str`): device of the codec and the text encoder.

    Raises:
        `ValueError`: if a value is invalid.
    """

    chords: str = "auto"
    melody: str = "auto"
    drums: str = "auto"
    beats: str = "auto"
    melody_weights: str | None = None
    chord_map: str | None = None
    captions: str | None = None
    codec: str | None = None
    text_encoder: str | None = None
    sampling_rate: int = 32000
    clip_seconds: float = 30.0
    min_seconds: float = 10.0
    device: str = "cpu"

    def __post_init__(self):
        for name, methods in METHODS.items():
            value = getattr(self, name)
            if value not in methods and (name == "beats" or not os.path.exists(value)):
                raise ValueError(
                    f"`{name}` has to be one of {', '.join(methods)}{' or an existing path' * (name != 'beats')}, but"
                    f" got {value!r}."
                )
        if not 0 < self.min_seconds <= self.clip_seconds:
            raise ValueError(
                f"`min_seconds` has to be positive and at most `clip_seconds`, but got {self.min_seconds} and"
                f" {self.clip_seconds}."
            )
        if self.sampling_rate < 1:
            raise ValueError(f"`sampling_rate` has to be at least 1 Hz, but got {self.sampling_rate}.")
        if self.text_encoder is not None and self.codec is None:
            raise ValueError("`text_encoder` needs `codec`: captions are encoded only together with clips.")

        # Validate shared inputs once, up front; clear the caches in case the files have changed.
        chord_table.cache_clear()
        captions_table.cache_clear()
        _ = self.labels, captions_table(self.captions)
        if "chords" in self.folders:
            chord_table(self.chords)

    @property
    def labels(self) -> list[str]:
        """The chord labels that clips are encoded with."""
        return default_chord_labels() if self.chord_map is None else read_chord_labels(self.chord_map)

    @property
    def folders(self) -> dict[str, str]:
        """The paths of those of chords, melody and drums that are read from files."""
        return {name: getattr(self, name) for name in METHODS if getattr(self, name) not in METHODS[name]}

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@lru_cache(maxsize=4)
def chord_table(path: str) -> dict[str, Chords]:
    return read_chords_per_track(path)


@lru_cache(maxsize=1)
def captions_table(path: str | None) -> dict[str, list[str]]:
    return {} if path is None else read_captions_table(path)
