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


"""Words for a composed piece."""

import numpy as np

from .composition import Piece
from .instruments import PROGRAM_NAMES


_SLOW_BELOW, _FAST_FROM = 84, 126  # beats per minute

_TEMPO_WORDS = {
    "slow": ("slow", "slow-paced", "unhurried"),
    "medium": ("mid-tempo", "moderate", "medium tempo"),
    "fast": ("fast", "up-tempo", "quick"),
}
_ENERGY_WORDS = {
    "calm": ("calm", "gentle", "soft"),
    "medium": ("steady", "flowing", "balanced"),
    "energetic": ("energetic", "busy", "powerful"),
}
_TEMPLATES = (
    "{tempo} {style} with {instruments}{drums}",
    "{mood} {style}, {instruments}{drums}, {tempo}",
    "a {energy} {style} track in {mode}, featuring {instruments}{drums}",
    "{style}: {instruments}{drums}; {mood}, {energy}, {bpm} bpm",
    "{instruments} playing a {tempo} {mood} {style} tune{drums}",
    "{energy} {mood} {style} at {bpm} bpm{drums}",
    "{style}, {tempo}",
)


def tempo_word(tempo: float) -> str:
    """slow, medium or fast for beats per minute."""
    return "slow" if tempo < _SLOW_BELOW else "fast" if tempo >= _FAST_FROM else "medium"


def instrument_names(piece: Piece) -> dict[str, str]:
    """Stem → instrument, without the drums."""
    return {stem: PROGRAM_NAMES[program] for stem, program in piece.programs.items() if stem != "drums"}


def write_captions(piece: Piece, rng: np.random.Generator, count: int = 5) -> list[str]:
    """`count` different wordings of what is heard: style, tempo, mood, energy, instruments, drums or none."""
    names = instrument_names(piece)
    has_drums = "drums" in piece.programs

    def pick(words):
        return words[int(rng.integers(len(words)))]

    def fill(template: str) -> str:
        # The tune and the chords are heard first; now and then one of the others is named too.
        stems = [stem for stem in ("lead", "comp") if stem in names]
        stems += [stem for stem in ("bass", "pad") if stem in names and rng.random() < 0.4]
        instruments = list(dict.fromkeys(names[stem] for stem in stems))
        listed = instruments[0] if len(instruments) == 1 else f"{', '.join(instruments[:-1])} and {instruments[-1]}"
        return template.format(
            tempo=pick(_TEMPO_WORDS[tempo_word(piece.tempo)]),
            style=piece.style.name,
            mood=pick(piece.style.moods),
            energy=pick(_ENERGY_WORDS[piece.energy]),
            mode=piece.key.split()[1],
            bpm=round(piece.tempo),
            instruments=listed,
            drums=pick((", drums", " and drums", ", with a beat")) if has_drums else pick((", no drums", "")),
        )

    order = rng.permutation(len(_TEMPLATES))
    return [fill(_TEMPLATES[int(index)]) for index in order[:count]]
