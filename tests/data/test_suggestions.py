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

"""Lead sheets that are suggested for words."""

import json
from fractions import Fraction

import pytest
import torch

from diffusers_jasco import JascoPipeline, load_audio
from diffusers_jasco.audio.metadata import read_metadata
from diffusers_jasco.commands.control_arguments import Controls
from diffusers_jasco.commands.generate import build_parser, main
from diffusers_jasco.controls import CONTROLS
from diffusers_jasco.controls.drum_machine import DRUMS
from diffusers_jasco.controls.lead_sheet import TimeSignature
from diffusers_jasco.controls.lead_sheet.keys import parse_tonality
from diffusers_jasco.data import suggest_lead_sheet
from diffusers_jasco.data.synthetic import words
from diffusers_jasco.data.synthetic.captions import style_words, tempo_word
from diffusers_jasco.data.synthetic.harmony import follows_key
from diffusers_jasco.data.synthetic.prompts import read_words
from diffusers_jasco.data.synthetic.styles import STYLES
from diffusers_jasco.evaluation.test_sets import load_captions
from diffusers_jasco.generation.requests import InvalidLine, read_requests
from diffusers_jasco.inputs import InputError, read_chords, read_melody


@pytest.mark.parametrize("style", [style.name for style in STYLES])
def test_styles_are_found_by_their_names_synonyms_and_genres(style, warnings):
    for name in style_words(style):
        assert read_words(name).style.name == style, name
        assert read_words(f"Some {name.upper()} music, please").style.name == style, name
    own = [genre for genre in words.GENRES[style] if sum(genre in other for other in words.GENRES.values()) == 1]
    genres = own + list(words.OTHER_GENRES.get(style, ()))
    found = {genre: read_words(genre).style.name for genre in genres}
    assert sum(name == style for name in found.values()) >= 0.9 * len(found), found
    suggest_lead_sheet(style, bars=1)
    assert not warnings.text


def test_styles_of_captions_are_found():
    captions = [row for row in load_captions("v1")[:300] if row["style"] is not None]
    wrong = [row["caption"] for row in captions if read_words(row["caption"]).style.name != row["style"]]
    assert len(captions) > 100 and len(wrong) < 0.05 * len(captions), wrong
    for row in load_captions("v1")[:300]:
        description = read_words(row["caption"])
        assert row["bpm"] is None or description.tempo == row["bpm"], row
        assert row["drums"] is None or description.drums == (row["drums"] == "yes"), row


@pytest.mark.parametrize(
    "prompt, style",
    [
        ("jazz waltz", "swing jazz"),
        ("country rock", "rock"),
        ("pop ballad", "ballad"),
        ("funk with a touch of jazz", "funk"),
        ("lo-fi hip-hop beats for studying", "lo-fi"),
        ("music for a night drive", "synthwave"),
        ("something you would hear at a campfire", "folk"),
        ("drum'n'bass", "techno"),
        ("R&B", "slow 6/8 soul"),
        ("80's pop", "80s pop"),
        ("Viennese waltz", "waltz"),
        ("punk", "rock"),
    ],
)
def test_styles_that_users_describe(prompt, style):
    assert read_words(prompt).style.name == style


def test_unknown_words_give_a_default_style_with_a_warning(warnings):
    sheet = suggest_lead_sheet("zydeco in D")
    assert sheet.title.startswith("Pop in ") and sheet.prompt == "zydeco in D"
    assert "'zydeco in D' names no style" in warnings.text
    assert "so pop is suggested; understood: 'in D'. Styles: pop, 80s pop, rock, " in warnings.text
    warnings.clear()
    # Tempo, mode and instruments prefer some styles.
    assert suggest_lead_sheet("slow zydeco with flute").title.startswith("Ballad in ")
    assert "so ballad is suggested; understood: 'slow', 'flute'." in warnings.text
    warnings.clear()
    suggest_lead_sheet("")
    assert "understood: nothing" in warnings.text


@pytest.mark.parametrize(
    "prompt, key",
    [
        ("pop in E flat minor", "Eb minor"),
        ("blues in Am", "A minor"),
        ("12-bar blues in E", "E major"),
        ("metal in F#m", "F# minor"),
        ("Bb major disco", "Bb major"),
        ("disco, key of d flat major", "Db major"),
        ("pop in a minor, with piano", "A minor"),
        ("folk in C-sharp minor", "C# minor"),
    ],
)
def test_keys(prompt, key):
    assert suggest_lead_sheet(prompt).key == key


def test_words_without_a_tonic_determine_the_mode():
    for prompt, mode in (
        ("pop in a minor key", "minor"),
        ("a minor pop song", "minor"),
        ("sad pop", "minor"),
        ("joyous metal", "major"),
        ("pop in D dorian", "minor"),
    ):
        keys = {suggest_lead_sheet(prompt, 1, seed).key for seed in range(8)}
        assert {key.split()[1] for key in keys} == {mode} and ("dorian" in prompt) == (len(keys) == 1), prompt


@pytest.mark.parametrize(
    "prompt, tempo",
    [
        ("pop at 97.5 bpm", 97.5),
        ("90 BPM pop", 90),
        ("pop, tempo 104", 104),
        ("slow pop at 140 beats per minute", 140),
    ],
)
def test_tempos_in_numbers(prompt, tempo):
    assert suggest_lead_sheet(prompt).tempo == tempo


def test_tempos_in_words():
    for style in ("bossa nova", "techno", "ballad", "pop"):
        for word, expected in (("slow", "slow"), ("mid-tempo", "medium"), ("up-tempo", "fast")):
            tempos = [suggest_lead_sheet(f"{word} {style}", 1, seed).tempo for seed in range(4)]
            assert {tempo_word(tempo) for tempo in tempos} == {expected}, (style, word, tempos)
    for seed in range(4):
        assert 56 <= suggest_lead_sheet("largo ballad", 1, seed).tempo <= 64
        calm, energetic = (suggest_lead_sheet(f"{word} pop", 1, seed).tempo for word in ("calm", "energetic"))
        assert 92 <= calm <= 110 <= energetic <= 128


def test_time_signatures(warnings):
    for prompt, signature in (
        ("folk waltz", "3/4"),
        ("pop in 3/4", "3/4"),
        ("rock in 12/8", "6/8"),
        ("waltz in 4/4", "4/4"),
        ("celtic jig", "6/8"),
        ("jig in common time", "4/4"),
    ):
        sheet = suggest_lead_sheet(prompt, bars=3)
        assert sheet.time_signature == TimeSignature.parse(signature) and len(sheet.bars) == 3
        assert sheet.beat_unit == sheet.time_signature.beat and sheet.hits
    slow, fast = suggest_lead_sheet("pop in 6/8"), suggest_lead_sheet("pop")
    assert slow.tempo * 1.5 == pytest.approx(fast.tempo, abs=1), "eighths as fast as in 4/4"
    assert not warnings.text
    assert suggest_lead_sheet("rock in 5/4").time_signature == TimeSignature(4, 4)
    assert "The time signature 5/4 can't be composed" in warnings.text


def test_feel_and_left_out_parts():
    assert suggest_lead_sheet("swing jazz").swing and suggest_lead_sheet("rock with a shuffle feel").swing
    assert not suggest_lead_sheet("straight jazz").swing and not suggest_lead_sheet("techno").swing
    for prompt in ("pop without drums", "pop, no percussion", "drumless pop", "ambient"):
        sheet = suggest_lead_sheet(prompt)
        assert not sheet.hits and sheet.melody and sheet.chords and "drums" not in sheet.to_controls()
    assert suggest_lead_sheet("ambient with drums").hits
    sheet = suggest_lead_sheet("pop, no melody")
    assert not sheet.melody and sheet.hits and "melody" not in sheet.to_controls()


def test_the_melody_suits_its_instrument():
    def lowest(prompt: str) -> float:
        return sum(min(suggest_lead_sheet(prompt, 8, seed).melody)[0] for seed in range(5)) / 5

    assert lowest("pop with piccolo") > lowest("pop with flute") > lowest("pop with cello melody") + 12
    assert read_words("ballad with piano and flute").lead == "flute"
    assert read_words("piano melody and strings").lead == "piano"
    assert read_words("jazz without saxophone").lead is None
    long, short = (
        sum(len(suggest_lead_sheet(f"pop with {words}", 8, seed).melody) for seed in range(5))
        for words in ("long notes", "short notes")
    )
    assert short > 1.3 * long


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_sheets_of_all_styles_are_valid(style, warnings):
    for seed in range(2):
        sheet = suggest_lead_sheet(f"{style.name} with drums", bars=4, seed=seed)
        assert len(sheet.bars) == 4 and sheet.tempo and sheet.key and not sheet.groove
        assert all(43 <= pitch <= 95 for pitch, _, _ in sheet.melody) and len(sheet.melody) >= 3
        assert all(start < end for _, start, end in sheet.melody)
        assert all(before[2] <= after[1] for before, after in zip(sheet.melody, sheet.melody[1:])), "monophonic"
        assert {drum for drum, _, _ in sheet.hits} <= DRUMS.keys() and len(sheet.hits) > 8
        assert all(0 < velocity <= 1 for _, _, velocity in sheet.hits)
        assert len({(drum, start) for drum, start, _ in sheet.hits}) == len(sheet.hits)
        assert sheet.chords[0][1] == 0 and len(sheet.chords) >= 2
        tonic, mode = sheet.key.split()
        key = f"{ {'Db': 'C#', 'G#': 'Ab'}.get(tonic, tonic) } {mode}"
        chords = read_chords([(label, float(start)) for label, start in sheet.chords])
        assert style.blues or follows_key(chords, key), (key, chords)
        assert parse_tonality(sheet.key)[1] in ("major", "minor")
    read_melody(sheet.to_controls()["melody"], 2500, 100.0)
    assert not warnings.text


def test_the_same_words_and_seed_give_the_same_sheet():
    first, again, other = (suggest_lead_sheet("slow bossa nova with flute", seed=seed) for seed in (3, 3, 4))
    assert first == again and first != other
    # One more word changes only what it is about.
    faster = suggest_lead_sheet("slow bossa nova with flute at 120 bpm", seed=3)
    assert (faster.chords, faster.melody, faster.hits) == (first.chords, first.melody, first.hits)
    without = suggest_lead_sheet("slow bossa nova with flute, no drums", seed=3)
    assert (without.chords, without.melody, without.hits) == (first.chords, first.melody, ())


def test_more_bars_continue_the_sheet():
    for prompt in ("pop", "12-bar blues"):
        long = suggest_lead_sheet(prompt, bars=40, seed=2)
        for bars in (1, 7, 13, 24):
            short = suggest_lead_sheet(prompt, bars=bars, seed=2)
            assert short.chords == tuple(chord for chord in long.chords if chord[1] < short.length)
            assert short.hits == tuple(hit for hit in long.hits if hit[1] < short.length)
            assert [note[:2] for note in short.melody] == [n[:2] for n in long.melody if n[1] < short.length]


def test_long_sheets_have_repeated_sections():
    sheet = suggest_lead_sheet("pop", bars=256)
    names = [section.name for section in sheet.sections]
    assert len(sheet.bars) == 256 and {len(section.bars) for section in sheet.sections} == {8}
    assert names[0] == "A" and {"A", "B"} <= set(names) <= {"A", "B", "C"}
    parts = {
        name: {(bar.chords, bar.notes) for s in sheet.sections if s.name == name for bar in s.bars[:1]}
        for name in "AB"
    }
    assert all(len(bars) == 1 for bars in parts.values()) and parts["A"] != parts["B"]
    assert [section.name for section in suggest_lead_sheet("pop", bars=8).sections] == [""]
    blues = suggest_lead_sheet("twelve bar blues", bars=24)
    assert [(section.name, len(section.bars)) for section in blues.sections] == [("A", 12), ("B", 12)]
    assert sheet.duration == pytest.approx(256 * 4 * 60 / sheet.tempo)


def test_harmony_and_drum_sounds_in_words():
    def count(prompt: str) -> int:
        return sum(len(suggest_lead_sheet(prompt, 8, seed).chords) for seed in range(5))

    assert count("pop, few chords") < count("pop") < count("pop, many chords")
    labels = [label for label, _ in suggest_lead_sheet("jazz, plain triads", 32).chords]
    assert not [label for label in labels if "7" in label or "6" in label]
    for seed in range(5):
        assert "cowbell" in {drum for drum, _, _ in suggest_lead_sheet("funk with cowbell", 4, seed).hits}
    assert Fraction(1, 4) * 16 == suggest_lead_sheet("pop", 1).length


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("pop", 0), "`bars` has to be"),
        (("pop", 10_001), "`bars` has to be"),
        (("pop", 2.5), "`bars` has to be"),
        (("pop", 8, "a"), "`seed` has to be"),
        ((None,), "`words` has to be text"),
    ],
)
def test_invalid_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        suggest_lead_sheet(*arguments)


# Beside other controls: the command line and manifests


def controls_of(*options: str, duration: float = 9.0, **arguments):
    args = build_parser().parse_args(["slow bossa nova with flute", "--suggest", *options])
    return Controls(args).for_pipeline(duration, **arguments)


def test_the_command_line_suggests_all_controls(capsys):
    arguments = controls_of("--seed", "3", available=CONTROLS[:3])
    sheet = suggest_lead_sheet("slow bossa nova with flute", 3, seed=3)
    expected = sheet.to_controls()
    assert arguments["chords"] == [chord for chord in expected["chords"] if chord[1] < 9.0]
    assert arguments["melody"][:4] == expected["melody"][:4] and arguments["melody"][-1][2] <= 9.0
    waveform, rate = arguments["drums"]
    assert waveform.shape[-1] == 9 * rate
    assert "Suggested chords, drums, melody: bossa nova in " in capsys.readouterr().err
    assert controls_of()["chords"] != arguments["chords"], "another seed, another suggestion"
    # The tempo is an argument only where it has an effect.
    assert arguments["bpm"] is None and arguments["beats"] is None
    assert controls_of("--seed", "3", available=CONTROLS)["bpm"] == sheet.tempo
    alone = controls_of(available=CONTROLS[:1])
    assert alone["chords"] and alone["drums"] is None and alone["melody"] is None


def test_files_with_a_suggestion_are_regenerated_and_edited(tmp_path, capsys):
    paths = [str(tmp_path / f"{name}.wav") for name in "abc"]
    quick = ["--steps", "1", "--device", "cpu", "--output"]
    assert main(["fast techno", "--suggest", "--duration", "2", "--seed", "3", *quick, paths[0]]) == 0
    assert read_metadata(paths[0])["suggest"] is True
    assert main(["--from", paths[0], *quick, paths[1]]) == 0
    first, second = (load_audio(path)[0] for path in paths[:2])
    assert torch.equal(first, second) and first.shape[-1] == 2 * 24000
    capsys.readouterr()
    assert main(["--from", paths[0], "--edit", paths[0], "--regions", "0.5-1", *quick, paths[2]]) == 0
    assert "Suggested chords, drums, melody: techno" in capsys.readouterr().err


def test_the_duration_is_whole_bars_within_the_window_unless_it_is_given():
    controls = Controls(build_parser().parse_args(["pop at 100 bpm", "--suggest"]))
    assert controls.fit_duration(10.0) == pytest.approx(4 * 2.4) and controls.fit_duration(1.0) == 1.0
    assert Controls(build_parser().parse_args(["pop", "--suggest", "--duration", "7"])).fit_duration(10.0) == 7
    assert Controls(build_parser().parse_args(["pop"])).fit_duration(10.0) is None


def test_given_controls_are_kept():
    arguments = controls_of("--groove", "waltz", "--key", "F")
    assert arguments["bpm"] == 144 and arguments["beats_per_bar"] == 3 and arguments["drums"].bpm == 144
    assert arguments["chords"] and arguments["melody"]
    arguments = controls_of("--chords", "C | Am | F | G", "--bpm", "100")
    assert arguments["chords"] == "C | Am | F | G" and arguments["bpm"] == 100
    # The melody fits the given chords.
    strong = [pitch % 12 for pitch, start, _ in arguments["melody"] if start < 2.4 and start % 0.6 < 1e-6]
    assert arguments["drums"] and set(strong) <= {0, 4, 7}
    assert {pitch % 12 for pitch, _, _ in arguments["melody"]} <= {0, 2, 4, 5, 7, 9, 11}
    arguments = controls_of("--melody", "C4 D4 E4 -")
    assert (
        arguments["melody"] == "C4 D4 E4 -" and arguments["chords"] is None and arguments["bpm"] and arguments["drums"]
    )
    keys = {controls_of("--bpm", "90", "--key", "Bb", "--seed", str(seed))["chords"][0] for seed in range(3)}
    assert len(keys) > 1


def test_rests_in_given_chords_are_rests_in_the_melody():
    melody = controls_of("--chords", "C | N | Am | G", "--bpm", "120", duration=8.0)["melody"]
    assert melody and not [note for note in melody if 2 <= note[1] < 4]


@pytest.mark.parametrize(
    "options, message",
    [
        (["--beats", "0 0.5 1"], "--suggest can't be used with --beats"),
        (["--bpm", "none"], "--suggest requires a tempo"),
        (["--lead_sheet", "song.abc"], "Give either --lead_sheet or --suggest, not both"),
        (["--beats_per_bar", "5"], "--beats_per_bar has to be 4, 3 or 2"),
        (["--chords", "C:0 Am:2.5"], "--suggest requires --bpm, the tempo of the given chords"),
        (["--key", "H"], "--key has to be a note and a mode"),
        (["--chords", "C | F", "--melody", "C4 D4", "--groove", "techno"], "--suggest has nothing to add"),
    ],
)
def test_conflicts_on_the_command_line(options, message, capsys, monkeypatch):
    monkeypatch.setattr(JascoPipeline, "from_pretrained", lambda *_, **__: pytest.fail("the checkpoint was loaded"))
    assert main(["pop", "--suggest", *options, "--device", "cpu"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1, error
    assert main(["--suggest", "--device", "cpu"]) == 2
    assert "--suggest requires a prompt" in capsys.readouterr().err


def test_suggestions_in_manifests(tmp_path):
    def read(*lines, **arguments):
        (tmp_path / "songs.jsonl").write_text("\n".join(map(json.dumps, lines)))
        return read_requests(tmp_path / "songs.jsonl", **arguments)

    line = {"prompt": "pop at 120 bpm", "suggest": True, "seed": 5}
    short, default, groove, off = read(
        line | {"duration": 5}, line, line | {"groove": "techno"}, line | {"suggest": False}
    )
    assert default.duration == 16.0 and short.duration == 5 and off.duration is None
    expected = suggest_lead_sheet("pop at 120 bpm", 8, 5).to_controls()
    assert default.inputs["chords"] == expected["chords"] and default.inputs["melody"] == expected["melody"]
    assert all(start < 5 for _, start in short.inputs["chords"]) and short.describe()["suggest"] is True
    assert groove.inputs["drums"].tracks and groove.inputs["bpm"] == 132
    assert off.inputs["chords"] is None and "suggest" not in off.describe()
    assert not default.controls, "many lines need little memory"
    with_beats = read(line, controls=("chords", "beats"))[0]
    assert with_beats.bpm == 120 and with_beats.beats_per_bar == 4
    invalid = read(
        line | {"prompt": [["pop", 0], ["rock", 5]]},
        line | {"beats": [0, 0.5]},
        line | {"suggest": 1},
        {"suggest": True},
    )
    assert all(isinstance(entry, InvalidLine) for entry in invalid), invalid
    assert "requires a prompt that is a text" in invalid[0].error and "`beats`" in invalid[1].error
