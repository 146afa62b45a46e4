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


"""General MIDI programs by family, their names in captions, and the note numbers of drums."""

PIANOS = (0, 1, 2)
ELECTRIC_PIANOS = (4, 5)
VIBES = (9, 10, 11, 12)
ORGANS = (16, 17, 18)
ACCORDIONS = (21, 23)
HARMONICAS = (22,)
ACOUSTIC_GUITARS = (24, 25)
JAZZ_GUITARS = (26,)
CLEAN_GUITARS = (27, 28)
DRIVEN_GUITARS = (29, 30)
UPRIGHT_BASSES = (32,)
ELECTRIC_BASSES = (33, 34, 35, 36)
SYNTH_BASSES = (38, 39)
BOWED = (40, 41, 42)
LOW_STRINGS = (42, 43)
HARPS = (46,)
STRINGS = (48, 49, 50)
TRUMPETS = (56, 57)
TUBAS = (58,)
BRASS = (60, 61, 62)
SAXES = (64, 65, 66)
REEDS = (68, 71)
FLUTES = (72, 73, 74, 75)
SYNTH_LEADS = (80, 81, 84)
SYNTH_PADS = (88, 89, 90, 91)
BANJOS = (105,)
FIDDLES = (40, 110)

PROGRAM_NAMES = {
    **dict.fromkeys(PIANOS, "piano"),
    **dict.fromkeys(ELECTRIC_PIANOS, "electric piano"),
    9: "glockenspiel",
    10: "music box",
    11: "vibraphone",
    12: "marimba",
    **dict.fromkeys(ORGANS, "organ"),
    21: "accordion",
    22: "harmonica",
    23: "accordion",
    24: "nylon guitar",
    25: "acoustic guitar",
    26: "jazz guitar",
    27: "clean electric guitar",
    28: "muted guitar",
    29: "overdriven guitar",
    30: "distorted guitar",
    32: "upright bass",
    **dict.fromkeys(ELECTRIC_BASSES, "electric bass"),
    **dict.fromkeys(SYNTH_BASSES, "synth bass"),
    40: "violin",
    41: "viola",
    42: "cello",
    43: "double bass",
    46: "harp",
    48: "strings",
    49: "slow strings",
    50: "synth strings",
    56: "trumpet",
    57: "trombone",
    58: "tuba",
    60: "french horns",
    61: "brass section",
    62: "synth brass",
    64: "soprano saxophone",
    65: "alto saxophone",
    66: "tenor saxophone",
    68: "oboe",
    71: "clarinet",
    72: "piccolo",
    73: "flute",
    74: "recorder",
    75: "pan flute",
    **dict.fromkeys(SYNTH_LEADS, "synth lead"),
    **dict.fromkeys(SYNTH_PADS, "synth pad"),
    105: "banjo",
    110: "fiddle",
}

# Lead instruments by timbre. No synonym in captions is ambiguous between two families.
LEAD_FAMILIES = {
    "piano": ("piano", "electric piano"),
    "organ": ("organ",),
    "guitar": (
        "nylon guitar",
        "acoustic guitar",
        "jazz guitar",
        "clean electric guitar",
        "muted guitar",
        "overdriven guitar",
        "distorted guitar",
        "banjo",
    ),
    "mallets": ("glockenspiel", "music box", "vibraphone", "marimba"),
    "strings": ("violin", "viola", "cello", "fiddle"),
    "brass": ("trumpet", "trombone", "french horns", "brass section", "synth brass"),
    "reeds": (
        "soprano saxophone",
        "alto saxophone",
        "tenor saxophone",
        "oboe",
        "clarinet",
        "harmonica",
        "accordion",
    ),
    "flute": ("piccolo", "flute", "recorder", "pan flute"),
    "synth": ("synth lead",),
}

DRUM_KEYS = {
    "kick": 36,
    "rim": 37,
    "snare": 38,
    "clap": 39,
    "hat": 42,
    "open hat": 46,
    "tom": 45,
    "high tom": 48,
    "low tom": 41,
    "crash": 49,
    "ride": 51,
    "tambourine": 54,
    "cowbell": 56,
    "conga": 63,
    "shaker": 70,
}
