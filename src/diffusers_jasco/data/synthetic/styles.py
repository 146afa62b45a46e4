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


"""Styles of the synthetic music: their tempos, grooves, patterns and instruments."""

from dataclasses import dataclass

from . import instruments as gm


@dataclass(frozen=True)
class Style:
    r"""
    A style.

    Args:
        name (`str`): name in captions.
        moods (`tuple[str, ...]`): adjectives for captions.
        tempo (`tuple[int, int]`): range in beats per minute. A beat of 6/8 is a dotted quarter.
        time_signatures (`tuple[str, ...]`): "4/4", "3/4" or "6/8".
        drums (`tuple[dict[str, str], ...]`): grooves of one bar. A groove maps drums to patterns with one character per
            sixteenth: "x" loud, "o" soft, "g" a ghost note, "." rest.
        bass, comp (`tuple[str, ...]`): names of patterns in `composition`.
        bass_programs, comp_programs, pad_programs, lead_programs (`tuple[int, ...]`): General MIDI programs.
        swing (`float`): position of the second half of a beat, from 0.5 (straight) to 0.67.
        minor (`float`): probability of a minor key.
        sevenths (`float`): probability of a seventh or sixth chord instead of a triad.
        drummed (`float`): probability of drums.
        kit (`int`): General MIDI drum kit.
        blues (`float`): probability of a twelve-bar blues.
    """

    name: str
    moods: tuple[str, ...]
    tempo: tuple[int, int]
    drums: tuple[dict[str, str], ...]
    bass: tuple[str, ...]
    comp: tuple[str, ...]
    bass_programs: tuple[int, ...]
    comp_programs: tuple[int, ...]
    lead_programs: tuple[int, ...]
    pad_programs: tuple[int, ...] = gm.STRINGS
    time_signatures: tuple[str, ...] = ("4/4",)
    swing: float = 0.5
    minor: float = 0.35
    sevenths: float = 0.2
    drummed: float = 0.9
    kit: int = 0
    blues: float = 0.0


def _groove(kick: str, snare: str = "", hat: str = "", **other_drums: str) -> dict[str, str]:
    patterns = {"kick": kick, "snare": snare, "hat": hat, **other_drums}
    return {name: pattern for name, pattern in patterns.items() if pattern}


_FOUR = "x...x...x...x..."
_BACK = "....x.......x..."
_EIGHTHS = "x.o.x.o.x.o.x.o."
_SIXTEENTHS = "xoooxoooxoooxooo"
_OFFBEAT = "..x...x...x...x."

STYLES: tuple[Style, ...] = (
    Style(
        "pop", ("bright", "catchy", "uplifting"), (92, 128),
        (_groove("x.....x.x.......", _BACK, _EIGHTHS),
         _groove("x.......x.x.....", _BACK, _SIXTEENTHS),
         _groove("x..x....x..x....", _BACK, _EIGHTHS, clap=_BACK),
         _groove("x..x..x...x.....", _BACK, _EIGHTHS),
         _groove("x...x...x...x...", "....x.......x..o", _OFFBEAT, clap=_BACK),
         _groove("x......xx.x.....", _BACK, "", shaker=_SIXTEENTHS)),
        ("roots", "eighths", "syncopated"), ("block", "eighths", "push", "arpeggio"),
        gm.ELECTRIC_BASSES, gm.PIANOS + gm.CLEAN_GUITARS, gm.SYNTH_LEADS + gm.FLUTES + gm.PIANOS,
    ),
    Style(
        "80s pop", ("groovy", "glossy", "nostalgic"), (100, 126),
        (_groove("x...x...x...x...", _BACK, _SIXTEENTHS, clap=_BACK),
         _groove("x.......x.x.....", _BACK, _EIGHTHS, tom="..............xx"),
         _groove("x..x..x.x..x..x.", _BACK, _EIGHTHS),
         _groove("x.....x.x.....x.", _BACK, _SIXTEENTHS, clap=_BACK),
         _groove("x.......x.......", "....x.......x.x.", _OFFBEAT, tom="......x.......x.")),
        ("eighths", "octaves"), ("push", "arpeggio", "stabs"),
        gm.SYNTH_BASSES, gm.ELECTRIC_PIANOS + gm.SYNTH_PADS, gm.SYNTH_LEADS + gm.SAXES, gm.SYNTH_PADS, sevenths=0.3,
    ),
    Style(
        "rock", ("driving", "energetic", "raw"), (104, 152),
        (_groove("x.....x.x.x.....", _BACK, _EIGHTHS),
         _groove("x.x.....x.x...x.", _BACK, _EIGHTHS),
         _groove("x.......xx......", _BACK, "", ride=_EIGHTHS),
         _groove("x..x..x.x.x.....", _BACK, _EIGHTHS),
         _groove("x.x...x.x.x...x.", "....x..g.g..x...", _EIGHTHS),
         _groove("x.......x.x.....", _BACK, "", crash="x...x...x...x..."),
         _groove("x..x..x...x...x.", "....x.......x...", "", tom="o.o.o.o.o.o.o.o.")),
        ("eighths", "roots"), ("eighths", "block", "push"),
        gm.ELECTRIC_BASSES, gm.DRIVEN_GUITARS + gm.CLEAN_GUITARS + gm.ORGANS, gm.DRIVEN_GUITARS + gm.ORGANS, gm.ORGANS, sevenths=0.1, blues=0.1,
    ),
    Style(
        "metal", ("heavy", "aggressive", "dark"), (120, 170),
        (_groove("x.xxx.xxx.xxx.xx", _BACK, "", ride=_EIGHTHS),
         _groove("xxxxxxxxxxxxxxxx", "........x.......", "", crash="x.......x......."),
         _groove("x..x..x..x..x.x.", _BACK, "", ride="x...x...x...x..."),
         _groove("x.x.x.x.x.x.x.x.", "..x...x...x...x.", "", crash="x...x...x...x..."),
         _groove("xx.xxx.xxx.xxx.x", "........x.......", _EIGHTHS)),
        ("eighths", "gallop"), ("gallop", "eighths"),
        gm.ELECTRIC_BASSES, gm.DRIVEN_GUITARS, gm.DRIVEN_GUITARS, minor=0.9, sevenths=0.05,
    ),
    Style(
        "ballad", ("tender", "romantic", "slow"), (58, 80),
        (_groove("x.........x.....", "........x.......", _EIGHTHS),
         _groove("x.......x.......", "", _EIGHTHS, rim=_BACK),
         _groove("x......x..x.....", "........x.......", "", ride=_EIGHTHS),
         _groove("x.....x.x.......", _BACK, _EIGHTHS),
         _groove("x...............", "........x.......", "o.x.o.x.o.x.o.x.", shaker=_EIGHTHS)),
        ("roots", "fifths"), ("arpeggio", "alberti", "block"),
        gm.ELECTRIC_BASSES + gm.UPRIGHT_BASSES, gm.PIANOS + gm.ACOUSTIC_GUITARS, gm.FLUTES + gm.SAXES + gm.BOWED + gm.PIANOS, sevenths=0.35, drummed=0.7,
    ),
    Style(
        "folk", ("warm", "pastoral", "simple"), (84, 124),
        (_groove("x.......x.......", "....o.......o...", "", tambourine=_OFFBEAT),
         _groove("x...o...x...o...", "", "", shaker=_SIXTEENTHS),
         _groove("x.......x.....x.", "", "", tambourine="....x.......x...", shaker=_EIGHTHS),
         _groove("x..x....x..x....", "", "", conga="....o..o....o.o."),
         _groove("x.......x.......", "o.o.x.o.o.o.x.oo", "")),
        ("fifths", "roots"), ("strum", "travis"),
        gm.UPRIGHT_BASSES, gm.ACOUSTIC_GUITARS + gm.BANJOS, gm.FIDDLES + gm.FLUTES + gm.REEDS, sevenths=0.08, drummed=0.5,
    ),
    Style(
        "country", ("cheerful", "twangy", "easy-going"), (96, 138),
        (_groove("x.......x.......", _BACK, _EIGHTHS),
         _groove("x.......x.......", "o.oox.ooo.oox.oo"),
         _groove("x...x...x...x...", "..x...x...x...x.", ""),
         _groove("x.....x.x.......", _BACK, "", ride="x.oox.oox.oox.oo"),
         _groove("x.......x...x...", "..o.x.o...o.x.o.", _OFFBEAT)),
        ("fifths", "walking"), ("boom-chick", "strum"),
        gm.UPRIGHT_BASSES + gm.ELECTRIC_BASSES, gm.ACOUSTIC_GUITARS + gm.BANJOS + gm.PIANOS, gm.FIDDLES + gm.CLEAN_GUITARS + gm.HARMONICAS, minor=0.1, sevenths=0.15,
    ),
    Style(
        "blues", ("gritty", "soulful", "laid-back"), (70, 112),
        (_groove("x.....x.x.......", _BACK, _EIGHTHS),
         _groove("x.......x.......", _BACK, "", ride=_EIGHTHS),
         _groove("x..x..x.x.......", "....x..g....x..g", _EIGHTHS),
         _groove("x.......x.x.....", _BACK, "x...x.x.x...x.x."),
         _groove("x.....x.....x...", "....x.......x...", "", ride="x...x.x.x...x.x.")),
        ("walking", "eighths"), ("boom-chick", "push", "block"),
        gm.ELECTRIC_BASSES, gm.PIANOS + gm.CLEAN_GUITARS + gm.ORGANS, gm.DRIVEN_GUITARS + gm.HARMONICAS + gm.SAXES, gm.ORGANS, swing=0.65, sevenths=0.7, blues=0.7,
    ),
    Style(
        "swing jazz", ("smoky", "lively", "sophisticated"), (110, 176),
        (_groove("x.......o.......", "......o.......o.", "....x.......x...", ride="x...x.x.x...x.x."),
         _groove("", "..........o.....", "....x.......x...", ride="x...x.x.x...x.x."),
         _groove("o...o...o...o...", "......g...g.....", "....x.......x...", ride="x...x.x.x...x.x."),
         _groove("......x.........", "..g.......o...g.", "....x.......x...", ride="x...x...x...x.x."),
         _groove("x.........x.....", "....o.......o...", "x...x.x.x...x.x.")),
        ("walking",), ("charleston", "stabs"),
        gm.UPRIGHT_BASSES, gm.PIANOS + gm.JAZZ_GUITARS, gm.SAXES + gm.TRUMPETS + gm.VIBES, swing=0.66, sevenths=0.9, blues=0.15,
    ),
    Style(
        "bossa nova", ("relaxed", "sunny", "intimate"), (110, 148),
        (_groove("x..xx..xx..xx..x", "", _EIGHTHS, rim="x..x..x...x..x.."),
         _groove("x..xx..xx..xx..x", "", "", shaker=_SIXTEENTHS, rim="..x...x.x..x..x."),
         _groove("x.....xxx.....xx", "", _EIGHTHS, rim="x..x..x....x..x."),
         _groove("x..xx..xx..xx..x", "", "oooooooooooooooo", rim="..x..x..x..x..x."),
         _groove("x.....x.x.....x.", "", "", shaker=_EIGHTHS, rim="x.....x...x.....", conga="..o...oo..o...oo")),
        ("bossa",), ("bossa", "push"),
        gm.UPRIGHT_BASSES, gm.ACOUSTIC_GUITARS + gm.ELECTRIC_PIANOS, gm.FLUTES + gm.SAXES + gm.VIBES, sevenths=0.85,
    ),
    Style(
        "funk", ("funky", "tight", "playful"), (94, 116),
        (_groove("x..x..x...x..x..", "....x..o.o..x..o", _SIXTEENTHS),
         _groove("x.x.......xx....", "....x..o....x...", _EIGHTHS),
         _groove("x.....x..x....x.", "....x..g.g..x..g", _SIXTEENTHS),
         _groove("x..x....x.x..x..", "....x..g.gg.x...", "x.x.x.x.x.x.xxx."),
         _groove("x.x...x...x..x..", "....x.g..g..x.g.", _EIGHTHS, cowbell="x...x...x...x...")),
        ("funk", "syncopated"), ("stabs", "sixteenths"),
        gm.ELECTRIC_BASSES, gm.CLEAN_GUITARS + gm.ELECTRIC_PIANOS + gm.ORGANS, gm.SAXES + gm.BRASS + gm.SYNTH_LEADS, minor=0.6, sevenths=0.8,
    ),
    Style(
        "disco", ("danceable", "glamorous", "joyful"), (112, 126),
        (_groove(_FOUR, _BACK, "..x...x...x...x."),
         _groove(_FOUR, _BACK, "oox.oox.oox.oox.", clap=_BACK),
         _groove(_FOUR, _BACK, "xox.xox.xox.xox."),
         _groove(_FOUR, "....x.......x..o", _OFFBEAT, tambourine=_SIXTEENTHS),
         _groove(_FOUR, _BACK, "..x...x...x...x.", cowbell="x.x.x.x.x.x.x.x.")),
        ("octaves", "syncopated"), ("stabs", "sixteenths", "push"),
        gm.ELECTRIC_BASSES, gm.CLEAN_GUITARS + gm.ELECTRIC_PIANOS + gm.PIANOS, gm.BRASS + gm.BOWED + gm.FLUTES, minor=0.5, sevenths=0.5,
    ),
    Style(
        "house", ("hypnotic", "energetic", "club"), (118, 130),
        (_groove(_FOUR, "", _OFFBEAT, clap=_BACK),
         _groove(_FOUR, "", "o.x.o.x.o.x.o.x.", clap=_BACK, shaker=_SIXTEENTHS),
         _groove(_FOUR, "", _OFFBEAT, clap=_BACK, conga="..o..o...oo..o.."),
         _groove(_FOUR, "......o..o......", "..x...x...x...xx", clap=_BACK),
         _groove(_FOUR, "", "xoxoxoxoxoxoxoxo", clap="....x.......x..o", rim="...x..x....x..x.")),
        ("offbeats", "syncopated"), ("stabs", "push"),
        gm.SYNTH_BASSES, gm.PIANOS + gm.SYNTH_PADS + gm.ORGANS, gm.SYNTH_LEADS, gm.SYNTH_PADS, minor=0.6, sevenths=0.5, kit=25,
    ),
    Style(
        "techno", ("dark", "mechanical", "driving"), (124, 142),
        (_groove(_FOUR, "", _OFFBEAT),
         _groove(_FOUR, "", _SIXTEENTHS, clap="....x.......x...", rim="..x..x....x..x.."),
         _groove(_FOUR, "", "..x...x...x...x.", tom="...o..o....o..o."),
         _groove(_FOUR, "............x...", "xxxxxxxxxxxxxxxx", ride=_OFFBEAT),
         _groove("x...x...x..xx...", "", _OFFBEAT, clap="....x.......x...", cowbell="..o..o....o..o..")),
        ("sixteenths", "offbeats"), ("sixteenths", "arpeggio"),
        gm.SYNTH_BASSES, gm.SYNTH_LEADS + gm.SYNTH_PADS, gm.SYNTH_LEADS, gm.SYNTH_PADS, minor=0.85, kit=25,
    ),
    Style(
        "trance", ("euphoric", "soaring", "spacious"), (130, 142),
        (_groove(_FOUR, _BACK, _OFFBEAT),
         _groove(_FOUR, "", "o.x.o.x.o.x.o.x.", clap=_BACK),
         _groove(_FOUR, _BACK, "oox.oox.oox.oox."),
         _groove(_FOUR, "", _OFFBEAT, clap=_BACK, shaker=_SIXTEENTHS),
         _groove(_FOUR, "....x.......x..x", _OFFBEAT, ride="x.x.x.x.x.x.x.x.")),
        ("offbeats", "sixteenths"), ("arpeggio", "sixteenths"),
        gm.SYNTH_BASSES, gm.SYNTH_LEADS, gm.SYNTH_LEADS, gm.SYNTH_PADS, minor=0.75, kit=25,
    ),
    Style(
        "hip hop", ("laid-back", "urban", "confident"), (78, 100),
        (_groove("x..x....x.x.....", _BACK, _EIGHTHS),
         _groove("x.....x...x.....", _BACK, "x.x.x.xxx.x.x.x.", clap=_BACK),
         _groove("x......x..xx....", "....x..g....x...", _EIGHTHS),
         _groove("x..x......x..x..", _BACK, "x.xxx.x.x.x.x.xx"),
         _groove("x.x....x..x.....", "....x.......x..g", "", shaker=_EIGHTHS, clap=_BACK)),
        ("syncopated", "roots"), ("block", "stabs", "arpeggio"),
        gm.SYNTH_BASSES + gm.ELECTRIC_BASSES, gm.ELECTRIC_PIANOS + gm.PIANOS, gm.FLUTES + gm.SYNTH_LEADS + gm.VIBES, minor=0.7, sevenths=0.5, swing=0.55, kit=25,
    ),
    Style(
        "lo-fi", ("mellow", "dreamy", "cozy"), (68, 88),
        (_groove("x......x..x.....", _BACK, _EIGHTHS),
         _groove("x.....x...x.....", "", "o.o.o.o.o.o.o.o.", rim=_BACK),
         _groove("x..x......x.....", "....x..g....x..g", _EIGHTHS),
         _groove("x.....xx..x.....", _BACK, "o.x.o.x.o.x.o.x."),
         _groove("x.........xx....", "", _EIGHTHS, rim="....x..o....x...")),
        ("roots", "fifths"), ("block", "charleston", "arpeggio"),
        gm.UPRIGHT_BASSES + gm.ELECTRIC_BASSES, gm.ELECTRIC_PIANOS + gm.JAZZ_GUITARS, gm.VIBES + gm.FLUTES + gm.JAZZ_GUITARS, swing=0.6, sevenths=0.9,
    ),
    Style(
        "reggae", ("sunny", "easy-going", "warm"), (68, 92),
        (_groove("........x.......", "........x.......", _EIGHTHS),
         _groove(_FOUR, "........x.......", _EIGHTHS, rim="......x...x...x."),
         _groove("........x.......", "", _EIGHTHS, rim="........x....x.."),
         _groove("x.......x.......", "........x.......", "x.xox.xox.xox.xo"),
         _groove(_FOUR, "........x.....g.", _OFFBEAT)),
        ("reggae", "syncopated"), ("skank",),
        gm.ELECTRIC_BASSES, gm.CLEAN_GUITARS + gm.ORGANS + gm.PIANOS, gm.TRUMPETS + gm.SAXES + gm.ORGANS, gm.ORGANS, sevenths=0.15, swing=0.57,
    ),
    Style(
        "ska", ("bouncy", "cheerful", "fast"), (128, 168),
        (_groove("x.......x.......", _BACK, _OFFBEAT),
         _groove(_FOUR, _BACK, _EIGHTHS),
         _groove("x...x...x...x...", "....x.......x.g.", "..x...x...x...x.", tambourine=_BACK),
         _groove("x.....x.x.......", _BACK, "", ride=_EIGHTHS),
         _groove("........x.......", "........x.......", _OFFBEAT, rim="x...x.......x...")),
        ("walking", "eighths"), ("skank",),
        gm.ELECTRIC_BASSES, gm.CLEAN_GUITARS + gm.ORGANS, gm.TRUMPETS + gm.BRASS + gm.SAXES, gm.ORGANS, minor=0.25, sevenths=0.15,
    ),
    Style(
        "salsa", ("fiery", "festive", "rhythmic"), (92, 116),
        (_groove("...x..x....x..x.", "", "", cowbell="x.x.x.xxx.x.x.x.", conga="..x...xx..x...xx"),
         _groove("x..x..x.x..x..x.", "", "", cowbell="x...x...x...x...", rim="x..x..x...x.x...", conga="....x.xx....x.xx"),
         _groove("......x.......x.", "", "", cowbell="x.xxx.x.x.xxx.x.", conga="o.x.o.xxo.x.o.xx"),
         _groove("...x..x....x..x.", "", "", shaker=_EIGHTHS, rim="x..x...x..x.x...", conga="..x...xx..x...xx"),
         _groove("x.....x.x.....x.", "..........o..o..", "", cowbell="x...x.x.x...x.x.", tom="............x.xx")),
        ("tumbao",), ("montuno", "push"),
        gm.UPRIGHT_BASSES, gm.PIANOS, gm.TRUMPETS + gm.FLUTES + gm.BRASS, minor=0.6, sevenths=0.4,
    ),
    Style(
        "waltz", ("elegant", "graceful", "old-fashioned"), (96, 168),
        (_groove("x...........", "....o...o...", ""),
         _groove("x...........", "", "....x...x...", rim="....o...o..."),
         _groove("x...........", "........o...", "....o...o..."),
         _groove("x.........x.", "....x...x...", "", ride="x...x...x..."),
         _groove("x...........", "", "", tambourine="....x...x...", shaker="x.o.x.o.x.o.")),
        ("roots", "fifths"), ("waltz", "arpeggio"),
        gm.UPRIGHT_BASSES, gm.PIANOS + gm.ACCORDIONS + gm.STRINGS, gm.ACCORDIONS + gm.BOWED + gm.REEDS + gm.FLUTES, time_signatures=("3/4",), sevenths=0.15, drummed=0.45,
    ),
    Style(
        "celtic jig", ("lively", "dancing", "bright"), (92, 124),
        (_groove("x.....x.....", "", "", tambourine="x.x.x.x.x.x."),
         _groove("x...o.x...o.", "", "", conga="x.o.o.x.o.o."),
         _groove("x...x.x...x.", "", "", tambourine="x.o.o.x.o.o."),
         _groove("x.....x.....", "..o.o...o.o.", ""),
         _groove("x.........x.", "", "", conga="x.o.x.x.o.o.", shaker="x.x.x.x.x.x.")),
        ("roots", "fifths"), ("strum", "arpeggio"),
        gm.UPRIGHT_BASSES, gm.ACOUSTIC_GUITARS + gm.HARPS + gm.ACCORDIONS, gm.FIDDLES + gm.FLUTES, time_signatures=("6/8",), minor=0.45, sevenths=0.03, drummed=0.6,
    ),
    Style(
        "slow 6/8 soul", ("heartfelt", "swaying", "vintage"), (46, 66),
        (_groove("x.....o.....", "......x.....", "x.x.x.x.x.x."),
         _groove("x....xo.....", "......x.....", "x.x.x.x.x.x."),
         _groove("x.....o...x.", "......x.....", "", ride="x.x.x.x.x.x."),
         _groove("x...x.......", "......x....g", "xoxoxoxoxoxo"),
         _groove("x.....x.....", "", "x.x.x.x.x.x.", rim="......x.....", tambourine="......x.....")),
        ("roots", "fifths", "eighths"), ("arpeggio", "block"),
        gm.ELECTRIC_BASSES, gm.PIANOS + gm.ORGANS + gm.CLEAN_GUITARS, gm.SAXES + gm.TRUMPETS + gm.ORGANS, gm.ORGANS, time_signatures=("6/8",), sevenths=0.3,
    ),
    Style(
        "orchestral", ("epic", "cinematic", "majestic"), (66, 112),
        (_groove("x.......x.......", "", "", tom="x..x..x.x..x..x."),
         _groove("x...............", "o.oox.ooo.oox.oo", "", crash="x..............."),
         _groove("x.......x...x...", "", "", tom="x...x...x..xx..."),
         _groove("x.....x...x.....", "o...o...o...o.oo", ""),
         _groove("x...........x...", "", "", tom="x.xxx.x.x.xxx.x.", crash="x...............")),
        ("roots", "fifths"), ("tremolo", "block", "arpeggio"),
        gm.LOW_STRINGS, gm.STRINGS + gm.HARPS + gm.BRASS, gm.BOWED + gm.FLUTES + gm.REEDS + gm.TRUMPETS, time_signatures=("4/4", "3/4"), minor=0.6, drummed=0.4, kit=48,
    ),
    Style(
        "ambient", ("calm", "spacious", "floating"), (56, 84),
        (_groove("x...............", "", "....o.......o..."),
         _groove("x.........x.....", "", "", shaker="..o...o...o...o."),
         _groove("x...............", "", "", rim="......o.......o."),
         _groove("x.......x.......", "", "o...o...o...o...", tom="............o..."),
         _groove("x.....x.........", "", "", shaker="x.o.x.o.x.o.x.o.")),
        ("roots",), ("arpeggio", "block"),
        gm.SYNTH_BASSES, gm.SYNTH_PADS + gm.HARPS + gm.ELECTRIC_PIANOS, gm.FLUTES + gm.VIBES + gm.SYNTH_LEADS, gm.SYNTH_PADS, minor=0.5, sevenths=0.5, drummed=0.25,
    ),
    Style(
        "synthwave", ("neon", "nostalgic", "driving"), (84, 118),
        (_groove("x.......x.......", _BACK, _EIGHTHS),
         _groove(_FOUR, _BACK, _SIXTEENTHS),
         _groove("x.....x.x.......", _BACK, _EIGHTHS, clap=_BACK),
         _groove("x..x..x...x.x...", _BACK, _SIXTEENTHS),
         _groove(_FOUR, _BACK, _OFFBEAT, tom="..............xx")),
        ("sixteenths", "octaves"), ("arpeggio", "block"),
        gm.SYNTH_BASSES, gm.SYNTH_PADS + gm.SYNTH_LEADS, gm.SYNTH_LEADS, gm.SYNTH_PADS, minor=0.8, sevenths=0.2, kit=25,
    ),
    Style(
        "march", ("proud", "festive", "ceremonial"), (104, 126),
        (_groove("x.......x.......", "o.oxo.oxo.oxo.xx"),
         _groove("x...x...x...x...", "x.oox.oox.oox.oo", crash="x..............."),
         _groove("x.......x.......", "x.o.x.o.x.o.xxxx"),
         _groove("x...x...x...x...", "o...x...o...x.oo", crash="x.......x......."),
         _groove("x.......x.x.....", "xoo.xoo.xoo.xoxo")),
        ("fifths",), ("skank", "block"),
        gm.TUBAS, gm.BRASS + gm.REEDS, gm.TRUMPETS + gm.FLUTES + gm.REEDS, gm.BRASS, minor=0.1, sevenths=0.1, kit=48,
    ),
)  # fmt: skip
