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

import pytest

from .conftest import eventually, expect


pytest.importorskip("gradio", reason="the Space needs gradio: pip install gradio")

import gradio as gr  # noqa: E402

from diffusers_jasco.controls.chord_labels import default_chord_labels  # noqa: E402
from parts import (  # noqa: E402
    ACCENT,
    NORMAL,
    TRACKS,
    ChordTimeline,
    PianoRoll,
    StepSequencer,
    check_chord_timeline,
    check_piano_roll,
    check_steps,
    chord_tones,
    empty_chord_timeline,
    empty_piano_roll,
    empty_steps,
    resize_chord_timeline,
    step_start,
)


def timeline(*chords, bars=4, beats_per_bar=4):
    return {
        "beats_per_bar": beats_per_bar,
        "bars": bars,
        "chords": [{"label": label, "beat": beat} for label, beat in chords],
    }


def roll(*notes, beats=16.0):
    return {
        "beats": beats,
        "notes": [{"midi": midi, "beat": beat, "beats": length} for midi, beat, length in notes],
    }


class TestChecks:
    def test_chords_come_in_order(self):
        value = check_chord_timeline(timeline(("G", 12), ("Db", 0.5)), default_chord_labels())
        assert value == timeline(("Db", 0.5), ("G", 12.0))

    @pytest.mark.parametrize(
        "value, message",
        [
            (None, "has to be an object with 'bars', 'beats_per_bar', 'chords'"),
            ({"bars": 4, "chords": []}, "has no 'beats_per_bar'"),
            ({**timeline(), "key": "C"}, "has 'key', but may only have"),
            (timeline(bars=0), "'bars' has to be a number from 1 to"),
            (timeline(bars=2.5), "has to be a whole number"),
            (timeline(bars=True), "'bars' has to be a number"),
            (timeline(bars=64, beats_per_bar=16), "1024 beats, but at most"),
            (timeline(("C", 16)), "chord 1 .C. starts on beat 16, where the timeline ends"),
            (timeline(("C", math.nan)), "the beat of chord 1 .C. has to be a number"),
            (timeline(("C", "0")), "the beat of chord 1 .C. has to be a number"),
            (timeline(("", 0)), "chord 1 has to be a string"),
            (timeline((7, 0)), "chord 1 has to be a string"),
            (timeline(("C", 5), ("G", 5)), "two chords start bar 2, beat 2: C and G"),
            ({**timeline(), "chords": "C"}, "'chords' has to be a list"),
            ({**timeline(), "chords": [{"label": "C", "beat": 0}] * 800}, "800 entries, but at most"),
            (timeline(("C", 0), ("Hm", 6)), "bar 2, beat 3: unknown chord 'Hm'. Did you mean 'Bm'"),
        ],
    )
    def test_wrong_chords(self, value, message):
        with pytest.raises(ValueError, match=message):
            check_chord_timeline(value, default_chord_labels())

    def test_unknown_chords_pass_while_they_are_edited(self):
        assert check_chord_timeline(timeline(("Hm", 0.0))) == timeline(("Hm", 0.0))

    def test_other_bars_and_metre(self):
        value = timeline(("C", 0.0), ("F", 6.0), ("G7", 7.0), ("Am", 8.0), ("G", 12.0))
        assert resize_chord_timeline(value, 3, 3) == timeline(
            ("C", 0.0), ("F", 5.0), ("Am", 6.0), bars=3, beats_per_bar=3
        )
        assert resize_chord_timeline(value, 8, 4)["chords"] == value["chords"]

    def test_chord_tones_last_until_the_next_chord(self):
        assert chord_tones(timeline(("Am", 4.0), ("N", 8.0), ("G/B", 12.0))) == [
            {"beat": 4.0, "beats": 4.0, "pitch_classes": [0, 4, 9]},
            {"beat": 12.0, "beats": 4.0, "pitch_classes": [2, 7, 11]},
        ]

    def test_steps_without_a_drum_are_silent(self):
        value = check_steps({"steps": 4, "tracks": {"kick": [1, 0, 0.5, 0]}, "swing": 0})
        assert value["tracks"] == {name: [0.0] * 4 for name in TRACKS} | {"kick": [1.0, 0.0, 0.5, 0.0]}

    @pytest.mark.parametrize(
        "changes, message",
        [
            ({"steps": 65}, "'steps' has to be a number from 1 to 64"),
            ({"swing": 1.5}, "'swing' has to be a number from 0 to 1"),
            ({"tracks": {"cowbell": [0.0] * 16}}, "has 'cowbell', but may only have"),
            ({"tracks": {"kick": [0.0] * 15}}, "'kick' has 15 values, but the pattern has 16 steps"),
            (
                {"tracks": {"kick": [0.0] * 15 + [2]}},
                "step 16 of the drum track 'kick' has to be a number from 0 to 1",
            ),
            ({"tracks": []}, "'tracks' has to be an object"),
        ],
    )
    def test_wrong_steps(self, changes, message):
        with pytest.raises(ValueError, match=message):
            check_steps({**empty_steps(), **changes})

    def test_swing_delays_every_second_step(self):
        assert [step_start(step, 0.0) for step in range(3)] == [0, 1, 2]
        assert [step_start(step, 1.0) for step in range(3)] == pytest.approx([0, 4 / 3, 2])

    def test_notes_come_in_order(self):
        assert check_piano_roll(roll((60, 4, 1), (95, 0, 4))) == roll((95, 0.0, 4.0), (60, 4.0, 1.0))

    @pytest.mark.parametrize(
        "value, message",
        [
            (roll((42, 0, 1)), "note 1's 'midi' has to be a number from 43 to 95"),
            (roll((60.5, 0, 1)), "has to be a whole number"),
            (roll((60, 0, 0)), "note 1 lasts from beat 0 to 0; its length has to be positive"),
            (
                roll((60, 15.5, 1)),
                "from beat 15.5 to 16.5; its length has to be positive, and it has to end by beat 16",
            ),
            (roll((60, 0, 2), (62, 1, 1)), "two notes sound at once on beat 1 .MIDI 60 and 62."),
            (roll((60, -1, 1)), "note 1's 'beat' has to be a number from 0"),
            (roll(beats=1e9), "'beats' has to be a number"),
            ({"beats": 4.0, "notes": [[60, 0, 1]]}, "note 1 has to be an object"),
        ],
    )
    def test_wrong_notes(self, value, message):
        with pytest.raises(ValueError, match=message):
            check_piano_roll(value)

    @pytest.mark.parametrize("part", [ChordTimeline, StepSequencer, PianoRoll])
    def test_what_a_part_shows_is_what_it_takes(self, part):
        part = part(render=False)
        assert part.preprocess(part.value) == part.value
        assert part.preprocess(part.example_value()) == part.postprocess(part.example_value()) == part.example_value()
        with pytest.raises(gr.Error, match="has to be an object"):
            part.preprocess("<b>")

    def test_shown_chords_are_in_the_models_spelling(self):
        part = ChordTimeline(render=False)
        shown = part.postprocess(timeline(("Db", 0.0), ("Csus4", 4.0), ("Hm", 8.0)))
        assert shown == timeline(("C#", 0.0), ("Csus4", 4.0), ("Hm", 8.0))
        assert part.spell_chord("Csus4") == {"label": "C", "difference": "without F, with E"}
        assert "Bm" in part.spell_chord("Hm")["suggestions"]


@pytest.fixture(scope="module")
def received():
    """What Python got last from each part."""
    return {}


@pytest.fixture(scope="module")
def address(received):
    chords = timeline(("F", 0.0), ("Bb", 6.0))
    drums = StepSequencer(render=False).example_value()
    melody = {"value": roll((60, 0.0, 2.0)), "chord_tones": chord_tones(chords)}
    with gr.Blocks() as demo:
        parts = {
            "chords": ChordTimeline(elem_id="chords", musical_key="A minor", bpm=60),
            "other": ChordTimeline(elem_id="other", label="Other chords"),
            "steps": StepSequencer(elem_id="steps", bpm=60),
            "roll": PianoRoll(elem_id="roll", bpm=60),
        }
        for name, part in parts.items():
            part.change(lambda value, name=name: received.update({name: value}), part, api_name=name)
        shown = [parts[name] for name in ("chords", "steps", "roll")]
        gr.Button("Preset").click(lambda: (chords, drums, gr.update(**melody)), None, shown)
        gr.Button("Waltz").click(
            lambda value: gr.update(value=resize_chord_timeline(value, 6, 3), bpm=90, musical_key="G major"),
            parts["chords"],
            parts["chords"],
        )
    demo.launch(prevent_thread_lock=True, quiet=True)
    yield demo.local_url
    demo.close()


class Page:
    """The page in a tab of its own."""

    def __init__(self, context, address, received):
        received.clear()
        self.received, self.context = received, context
        self.page, self.errors = self.context.new_page(), []
        self.page.set_default_timeout(120_000)
        self.page.on("pageerror", lambda error: self.errors.append(error))
        self.page.goto(address)
        self.page.locator("#roll .key").first.wait_for()

    def find(self, selector, **options):
        return self.page.locator(selector, **options)

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def drag(self, start, *others):
        self.page.mouse.move(*start)
        self.page.mouse.down()
        for point in others:
            self.page.mouse.move(*point, steps=8)
        self.page.mouse.up()

    def center(self, selector):
        box = self.find(selector).first.bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def in_roll(self, midi, beat):
        box = self.find("#roll .lanes").bounding_box()
        return box["x"] + box["width"] * beat / 16, box["y"] + box["height"] * (95 - midi + 0.5) / 53

    def expect(self, name, value):
        eventually(self.page, lambda: self.received.get(name), value)
        assert not self.errors

    def expect_count(self, selector, count):
        expect(self.find(selector)).to_have_count(count)

    def expect_status(self, text):
        expect(self.find("#chords .status")).to_contain_text(text)


@pytest.fixture(scope="module")
def screens(browser):
    """A large one and a phone's; their tabs share a cache, as the page is large."""
    screens = (
        browser.new_context(viewport={"width": 1400, "height": 1000}),
        browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True),
    )
    yield screens
    for screen in screens:
        screen.close()


@pytest.fixture
def page(screens, address, received):
    page = Page(screens[0], address, received)
    yield page
    page.page.close()


@pytest.fixture
def phone(screens, address, received):
    page = Page(screens[1], address, received)
    yield page
    page.page.close()


def steps(**hits):
    value = empty_steps()
    for name, velocities in hits.items():
        for step, velocity in velocities.items():
            value["tracks"][name][step] = velocity
    return value


class TestChordTimeline:
    def test_clicks_make_a_progression(self, page):
        page.find("#chords .beat").nth(0).click()
        for label in ("Am", "F", "C", "G"):
            page.find(f"#chords .chip[data-label='{label}']").first.click()
        page.expect("chords", timeline(("Am", 0.0), ("F", 4.0), ("C", 8.0), ("G", 12.0)))
        page.expect_count("#chords [aria-label='bar 2, beat 3: F continues']", 1)
        page.expect_count("#other .chord", 0)
        assert "other" not in page.received

    def test_every_chord_of_a_root(self, page):
        page.find("#chords .tab", has_text="Eb").click()
        labels = sorted(label for label in default_chord_labels() if label.startswith("Eb"))
        chips = page.find("#chords [aria-label='Chords of the root'] .chip")
        eventually(page.page, lambda: sorted(chips.all_inner_texts()), labels)

    def test_typed_chords(self, page):
        page.find("#chords .beat").nth(5).click()
        page.press("B", "b", "m", "7", "Enter")
        page.expect("chords", timeline(("Bbm7", 5.0)))
        page.press("ArrowRight", "Enter")
        page.page.keyboard.type("Db")
        page.press("Enter")
        page.expect("chords", timeline(("Bbm7", 5.0), ("C#", 6.0)))
        page.press("ArrowRight", "Enter")
        page.page.keyboard.type("Gsus4")
        page.press("Enter")
        page.expect("chords", timeline(("Bbm7", 5.0), ("C#", 6.0), ("G", 7.0)))
        page.expect_status("Gsus4 is not among the model's chords; G is the nearest")

    def test_an_unknown_chord_is_marked_and_mended(self, page):
        page.find("#chords .beat").nth(4).dblclick()
        page.page.keyboard.type("Hm")
        page.press("Enter")
        page.find("#chords .chord.unknown").first.wait_for()
        page.expect_count("#chords [aria-invalid]", 12)
        page.find("#chords .status .chip", has_text="Bm").first.click()
        page.expect("chords", timeline(("Bm", 4.0)))
        page.expect_count("#chords [aria-invalid]", 0)

    def test_drag_and_keys_move_a_chord(self, page):
        beats = [page.center(f"#chords .beat[data-beat='{beat}']") for beat in range(16)]
        page.drag(page.center("#chords .chip[data-label='Dm']"), beats[3])
        page.expect("chords", timeline(("Dm", 3.0)))
        page.drag(beats[5], beats[9])  # the chord still sounds on beat 5
        page.expect("chords", timeline(("Dm", 7.0)))
        page.press("Shift+ArrowRight")
        page.expect("chords", timeline(("Dm", 8.0)))
        page.press("Delete")
        page.expect("chords", timeline())
        page.press("Control+z", "Control+z")
        page.expect("chords", timeline(("Dm", 7.0)))
        page.press("Control+Shift+z")
        page.expect("chords", timeline(("Dm", 8.0)))

    def test_chords_before_a_beat_are_repeated_until_the_end(self, page):
        page.find("#chords .beat").nth(0).click()
        repeat = page.find("#chords").get_by_role("button", name="Repeat the chords before it")
        repeat.click()
        page.expect_status("Select the beat after the chords")
        for label in ("Am", "F"):
            page.find(f"#chords .chip[data-label='{label}']").first.click()
        page.find("#chords .beat").nth(6).click()
        repeat.click()
        page.expect("chords", timeline(("Am", 0.0), ("F", 4.0), ("Am", 6.0), ("F", 10.0), ("Am", 12.0)))

    def test_python_changes_bars_time_signature_and_key(self, page):
        page.find("#chords .chip[data-label='Am']").first.click()
        page.expect("chords", timeline(("Am", 0.0)))
        page.page.get_by_role("button", name="Waltz").click()
        page.expect("chords", timeline(("Am", 0.0), bars=6, beats_per_bar=3))
        page.expect_count("#chords .beat", 18)
        in_key = page.find("#chords [aria-label='Chords in the key'] .chip span")
        expect(in_key).to_have_text(["G", "Am", "Bm", "C", "D", "Em", "F#dim", "D7"], use_inner_text=True)

    def test_small_letters_and_what_is_said_of_one_chord_beside_a_wrong_one(self, page):
        for beat, text, message in (
            (0, "Hx", "does not know “Hx”"),
            (4, "Fmaj9", "Fmaj7 is the nearest"),
            (8, "am7", "Am7"),
        ):
            page.find("#chords .beat").nth(beat).dblclick()
            page.page.keyboard.type(text)
            page.press("Enter")
            page.find("#chords .status", has_text=message).wait_for()
        page.expect("chords", timeline(("Hx", 0.0), ("Fmaj7", 4.0), ("Am7", 8.0)))


class TestStepSequencer:
    def test_clicks_and_drags(self, page):
        for step, clicks in {0: 1, 4: 2, 8: 3}.items():
            for _ in range(clicks):
                page.find(f"#steps .step[data-track='0'][data-step='{step}']").click()
        page.drag(*(page.center(f"#steps .step[data-track='2'][data-step='{step}']") for step in (8, 11)))
        hats = {step: NORMAL for step in (8, 9, 10, 11)}
        page.expect("steps", steps(kick={0: NORMAL, 4: ACCENT}, hat=hats))
        page.page.get_by_role("button", name="Clear Hat", exact=True).click()
        page.expect("steps", steps(kick={0: NORMAL, 4: ACCENT}))
        page.press("Control+z")
        page.expect("steps", steps(kick={0: NORMAL, 4: ACCENT}, hat=hats))

    def test_keys(self, page):
        page.find("#steps .step").first.focus()
        page.press("ArrowDown", "ArrowRight", "Space", "ArrowRight", "Space", "Space")
        page.expect("steps", steps(snare={1: NORMAL, 2: ACCENT}))
        page.expect_count("#steps [aria-label='Snare, step 3: accent']", 1)

    def test_swing_and_length(self, page):
        page.find("#steps .step[data-track='0'][data-step='1']").click()
        page.page.get_by_label("Swing").focus()
        page.press("End")
        page.page.get_by_label("Steps", exact=True).select_option("32")
        value = empty_steps(32) | {"swing": 1.0}
        value["tracks"]["kick"][1] = value["tracks"]["kick"][17] = NORMAL
        page.expect("steps", value)

    def test_taps_are_recorded_on_the_nearest_step(self, page):
        page.find("#steps .record").click()
        # The key is pressed in the page itself, as soon as the playhead is on the fifth step.
        page.page.evaluate(
            """() => new Promise((done) => {
                const part = document.querySelector("#steps .part");
                const timer = setInterval(() => {
                    if (!part.querySelector(".now[data-step='4']")) return;
                    clearInterval(timer);
                    part.dispatchEvent(new KeyboardEvent("keydown", { code: "Digit2", bubbles: true }));
                    done();
                }, 5);
            })"""
        )
        page.find("#steps .record").click()
        page.expect_count("#steps .now", 0)
        hit = page.find("#steps .step[data-state='on']")
        hit.wait_for()
        step = int(hit.get_attribute("data-step"))
        assert step in (4, 5, 6)  # later ones where the machine is busy
        page.expect("steps", steps(snare={step: NORMAL}))


class TestPianoRoll:
    def test_drawing(self, page):
        page.find("#roll").scroll_into_view_if_needed()
        at = page.in_roll
        page.drag(at(72, 0.1), at(72, 1.9))
        page.expect("roll", roll((72, 0.0, 2.0)))
        page.drag(at(76, 2.1), at(76, 2.4))
        page.expect("roll", roll((72, 0.0, 2.0), (76, 2.0, 0.5)))
        page.drag(at(72, 1.0), at(74, 2.0))  # moved up and to the right, where it cuts the other note off
        page.expect("roll", roll((74, 1.0, 2.0)))
        page.drag(at(74, 2.97), at(74, 4.5))
        page.expect("roll", roll((74, 1.0, 3.5)))
        page.drag(at(65, 2.1), at(65, 2.9))  # drawn over it
        page.expect("roll", roll((74, 1.0, 1.0), (65, 2.0, 1.0)))
        page.page.mouse.dblclick(*at(74, 1.5))
        page.expect("roll", roll((65, 2.0, 1.0)))
        page.press("Control+z")
        page.expect("roll", roll((74, 1.0, 1.0), (65, 2.0, 1.0)))

    def test_keys(self, page):
        page.find("#roll .frame").focus()
        page.press("ArrowUp", "Enter", "ArrowUp", "Enter", "Shift+ArrowRight", "Shift+ArrowDown")
        page.expect("roll", roll((73, 0.0, 1.0), (73, 1.0, 1.25)))
        page.press("Home", "Delete")
        page.expect("roll", roll((73, 1.0, 1.25)))
        page.press("End", "Enter")
        page.expect("roll", roll((73, 1.0, 1.25), (73, 15.75, 0.25)))


class TestPage:
    def test_python_sets_the_values(self, page):
        page.page.get_by_role("button", name="Preset").click()
        page.find("#chords [aria-label='bar 2, beat 3: Bb']").wait_for()
        page.expect_count("#steps .step[data-state='on']", 12)
        expect(page.find("#roll .note")).to_have_text(["C4"], use_inner_text=True)
        page.expect_count("#roll .tone", 26)  # F A C and Bb D F, from G2 to B6
        page.expect_count("#other .chord", 0)
        # What is done next starts from there.
        page.find("#steps .step[data-track='6'][data-step='15']").click()
        page.expect("steps", steps(kick={0: NORMAL, 8: NORMAL}, snare={4: NORMAL, 12: NORMAL},
                                   hat={step: NORMAL for step in range(0, 16, 2)}, rim={15: NORMAL}))  # fmt: skip

    def test_the_parts_play(self, page):
        page.page.get_by_role("button", name="Preset").click()
        page.find("#roll .note").wait_for()
        page.find("#chords").get_by_role("button", name="Play").click()
        # Any beat: on a loaded machine, a single one may be over before it is seen.
        page.find("#chords .beat.playing:not([data-beat='0'])").wait_for()
        page.find("#roll").get_by_role("button", name="Play").click()  # one part plays at a time
        page.find("#roll .playhead").wait_for()
        page.expect_count("#chords .beat.playing", 0)
        page.find("#roll").get_by_role("button", name="Stop").click()
        expect(page.find("#roll .playhead")).to_be_hidden()
        assert not page.errors

    def test_a_phone(self, phone):
        phone.find("#chords .beat").nth(8).tap()
        phone.find("#chords .chip[data-label='Am']").first.tap()
        phone.expect("chords", timeline(("Am", 8.0)))
        phone.find("#steps .step[data-track='1'][data-step='4']").tap()
        phone.expect("steps", steps(snare={4: NORMAL}))
        phone.find("#roll .lane").nth(95 - 74).tap(position={"x": 100, "y": 8})
        eventually(
            phone.page, lambda: [note["midi"] for note in phone.received.get("roll", {"notes": []})["notes"]], [74]
        )
        eventually(phone.page, lambda: phone.page.evaluate("document.documentElement.scrollWidth"), 390)

    def test_a_finger_draws_horizontally_and_scrolls_vertically(self, phone):
        protocol = phone.context.new_cdp_session(phone.page)

        def swipe(x, y, right, down):
            for part in range(11):
                point = {"x": x + right * part / 10, "y": y + down * part / 10}
                kind = "touchMove" if part else "touchStart"
                protocol.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
                phone.page.wait_for_timeout(16)
            protocol.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

        for name, where, length in (
            ("steps", ".step[data-track='3'][data-step='0']", lambda value: sum(value["tracks"]["open_hat"])),
            ("roll", ".lane:nth-child(26)", lambda value: sum(note["beats"] for note in value["notes"])),
        ):
            phone.find(f"#{name} {where}").evaluate("node => node.scrollIntoView({block: 'center'})")
            box = phone.find(f"#{name} {where}").bounding_box()
            x, y = box["x"] + 12, box["y"] + box["height"] / 2
            swipe(x, y, 70, 0)
            eventually(phone.page, lambda: name in phone.received and length(phone.received[name]) > 1.5, True)
            drawn = phone.received[name]
            # Either the page or the roll scrolls.
            phone.page.evaluate("document.addEventListener('scroll', () => window.scrolled = true, true)")
            phone.page.evaluate("window.scrolled = false")
            swipe(x, y, 0, -150)
            phone.page.wait_for_function("window.scrolled")
            # Time for a change that must not happen.
            phone.page.wait_for_timeout(500)
            assert phone.received[name] == drawn
        assert not phone.errors

    def test_a_client_gets_error_messages(self, address):
        client = pytest.importorskip("gradio_client")
        with pytest.raises(client.exceptions.AppError, match="'midi' has to be a number from 43 to 95, but is '20'"):
            client.Client(address, verbose=False).predict(roll((20, 0, 1)), api_name="/roll")


def test_empty_values_are_valid():
    assert check_chord_timeline(empty_chord_timeline(2, 3)) == timeline(bars=2, beats_per_bar=3)
    assert check_piano_roll(empty_piano_roll(8.0)) == roll(beats=8.0)
