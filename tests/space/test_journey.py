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


"""The page, as a visitor uses it: in a browser."""

import json
import re
import zipfile

import numpy as np
import pytest
import soundfile

from .conftest import ROOT, eventually, expect


pytest.importorskip("gradio")


class Visit:
    """A window of its own; it notes what goes wrong in it, and what it asks of other machines."""

    def __init__(self, browser, server: str, **options):
        self.context = browser.new_context(**{"viewport": {"width": 1400, "height": 1000}, **options})
        self.page, self.errors, self.outside = self.context.new_page(), [], []
        self.page.set_default_timeout(120_000)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._note)
        self.page.goto(server)
        self.page.locator("#timeline .beat").first.wait_for()
        self.find = self.page.locator

    def _note(self, request):
        if not re.match(r"(http|ws)://127\.0\.0\.1:|data:|blob:", request.url):
            self.outside.append(request.url)

    def tab(self, name: str):
        self.page.get_by_role("tab", name=name).click()
        self.find({"Chords": "#timeline", "Drums": "#steps", "Melody": "#roll"}[name]).wait_for()

    def make(self):
        """Presses the button, and waits for the run's end."""
        # An observer sees even a run that is over before the next look at the button.
        self.page.evaluate(
            """() => {
                window.started = false;
                new MutationObserver(() => { window.started ||= document.querySelector("#go").disabled; })
                    .observe(document.body, { attributes: true, childList: true, subtree: true });
            }"""
        )
        self.find("#go").click()
        self.page.wait_for_function("window.started && !document.querySelector('#go').disabled")

    def download(self, name: str, path):
        with self.page.expect_download() as download:
            self.find(".card").get_by_role("button", name=name).first.click()
        download.value.save_as(path)
        return path

    def upload(self, field: str, path):
        """Uploads a file into a field, and waits until it is there."""
        self.find(field).locator("input[type=file]").set_input_files(path)
        # Its name is not a sign of that: the progress bar shows it, too, but may be gone before the test looks, and the
        # finished field shows the stem and the suffix in separate elements.
        expect(self.find(field).get_by_label("Clear")).to_be_visible()

    def expect_status(self, text: str):
        expect(self.find("#status")).to_contain_text(text)

    def expect_scores(self, *patterns: str):
        scores = [re.compile(pattern, re.DOTALL) for pattern in patterns]
        expect(self.find(".card .scores li")).to_have_text(scores, use_inner_text=True)

    def expect_no_alert(self):
        expect(self.page.get_by_role("alert")).to_have_count(0)

    def choose(self, name: str, option: str):
        self.page.get_by_label(name, exact=True).click()
        self.page.get_by_role("option", name=option, exact=True).click()

    def slow_down(self):
        """From now on, each answer of the server takes a second longer."""
        conditions = {"offline": False, "latency": 1000, "downloadThroughput": -1, "uploadThroughput": -1}
        self.context.new_cdp_session(self.page).send("Network.emulateNetworkConditions", conditions)

    def evaluate(self, script: str, wanted):
        """Waits for a value in the page."""
        eventually(self.page, lambda: self.page.evaluate(script), wanted)


@pytest.fixture
def visit(browser, server):
    visits = []

    def open_window(**options) -> Visit:
        visits.append(Visit(browser, server, **options))
        return visits[-1]

    yield open_window
    for one in visits:
        one.context.close()
        assert not one.errors and not one.outside


def test_a_song_from_the_first_click_to_the_same_song_again(visit, tmp_path):
    me = visit()
    me.find("#prompt textarea").fill("rock, organ, drums")

    # Chords by clicks, onto a cleared timeline
    me.find("#timeline").get_by_role("button", name="Clear").click()
    me.find("#timeline .beat").nth(0).click()
    for label in ("Am", "F", "C", "G"):
        me.find(f"#timeline .chip[data-label='{label}']").first.click()
    # A beat: one more stroke, on the last step
    me.tab("Drums")
    me.find("#steps .step[data-track='0'][data-step='15']").click()
    # A tune
    me.tab("Melody")
    lanes = me.find("#roll .lanes")
    lanes.scroll_into_view_if_needed()
    for beat, midi in enumerate((72, 76, 74)):
        me.find("#roll .lane").nth(95 - midi).click(position={"x": 30 + 80 * beat, "y": 6})
    expect(me.find("#roll .note")).to_have_count(3)

    me.make()
    me.expect_status("1 take in")
    me.expect_scores(*(rf"^{name}: .*\d+%.*(very close|close|partial|poor)" for name in ("Chords", "Melody", "Drums")))
    expect(me.find(".card .picture img")).to_have_attribute("alt", re.compile("asked"))
    me.evaluate("document.querySelector('.card .picture img').naturalWidth > 400", True)

    music, rate = soundfile.read(me.download("WAV", tmp_path / "take.wav"))
    assert len(music) == 10 * rate
    archive = me.download("ZIP", tmp_path / "take.zip")
    with zipfile.ZipFile(archive) as files:
        settings = json.loads(files.read("settings.json"))
    assert settings["prompt"] == "rock, organ, drums"
    assert [chord["label"] for chord in settings["chords"]["chords"]] == ["Am", "F", "C", "G"]
    assert settings["pattern"]["tracks"]["kick"][15] > 0
    assert [note["midi"] for note in settings["melody"]["notes"]] == [72, 76, 74]

    # In another visit, its settings make the same music.
    other = visit()
    other.find("#load button").first.click()
    other.upload("#settings-file", archive)
    other.page.get_by_text("take.zip is loaded.").wait_for()
    expect(other.find("#prompt textarea")).to_have_value("rock, organ, drums")
    expect(other.find("#seed input")).to_have_value(str(settings["seed"]))
    expect(other.find("#timeline .chord").first).to_have_text(re.compile(r"^\s*Am"))
    other.make()
    assert other.download("WAV", tmp_path / "again.wav").read_bytes() == (tmp_path / "take.wav").read_bytes()

    # Another take of the first visit, to compare: nothing of it is in the second one.
    me.make()
    me.find("#compare button").first.click()
    me.find("#compare input").first.click()
    expect(me.find("#compare").get_by_role("option")).to_have_count(2)
    expect(me.find("#seed input")).not_to_have_value(str(settings["seed"]))
    other.find("#compare button").first.click()
    other.find("#compare input").first.click()
    expect(other.find("#compare").get_by_role("option")).to_have_count(1)


def test_a_wrong_chord_is_named_at_its_place(visit):
    me = visit()
    me.find("#timeline .beat").nth(4).dblclick()
    me.page.keyboard.type("Hm")
    me.page.keyboard.press("Enter")
    me.find("#timeline .chord.unknown").first.wait_for()
    me.tab("Drums")
    me.make()
    # The tab of the chords comes to the front, with the message below the timeline.
    message = me.page.get_by_role("alert").filter(has_text="unknown chord 'Hm'")
    expect(message).to_be_visible()
    expect(message).to_contain_text("Bar 2, beat 1")
    expect(me.find("#timeline")).to_be_visible()
    me.expect_status("Nothing was made")
    expect(me.find(".card").filter(visible=True)).to_have_count(0)

    # Mended, all is well, and the message is gone.
    me.find("#timeline .status .chip", has_text="Bm").first.click()
    me.make()
    me.expect_status("1 take in")
    me.expect_no_alert()


def test_words_that_the_model_does_not_know(visit):
    me = visit()
    prompt = me.find("#prompt textarea")
    said = me.page.get_by_text("Not known to this model: klezmer")
    prompt.fill("slow klezmer, clarinet")
    expect(said).to_be_visible()
    prompt.fill("slow jazz, clarinet")
    expect(said).to_have_count(0)
    me.page.get_by_text("words that this model knows").click()
    expect(me.find("#known")).to_contain_text("46–176, 80s, a, accompaniment,")


def test_typed_chords_reach_the_timeline_or_say_what_is_wrong(visit):
    me = visit()
    me.page.get_by_text("Type chords, or choose a progression").click()
    me.find("#words input, #words textarea").fill("Em | C | Qm")
    me.find("#place").click()
    me.page.get_by_role("alert").filter(has_text="unknown chord 'Qm'").wait_for()
    me.find("#words input, #words textarea").fill("Em | C | G | D")
    me.find("#place").click()
    me.find("#timeline [aria-label='bar 4, beat 1: D']").wait_for()
    me.expect_no_alert()


def test_tempo_and_metre_reach_all_parts(visit):
    me = visit()

    def has_bars(number: int):
        me.page.wait_for_function(f"document.querySelectorAll('#timeline .measure').length === {number}")

    tempo = me.page.get_by_label("number input for Beats a minute")
    tempo.fill("999")
    tempo.press("Tab")
    has_bars(10)
    expect(tempo).to_have_value("240")
    me.page.get_by_label("Reset to default value").first.click()
    has_bars(5)
    me.page.get_by_label("Beats in a bar").click()
    me.page.get_by_role("option", name="3").click()
    has_bars(7)
    me.tab("Drums")
    expect(me.find("#steps select")).to_have_value("12")


def test_a_progression_by_name_in_its_key(visit):
    me = visit()
    me.page.get_by_text("Type chords, or choose a progression").click()
    me.choose("Progression", "minor axis")
    me.find("#timeline [aria-label='bar 1, beat 1: Cm']").wait_for()
    me.choose("Key", "A minor")
    me.find("#timeline [aria-label='bar 1, beat 1: Am']").wait_for()
    expect(me.find("#timeline [aria-label='Chords in the key'] .chip").first).to_have_text(re.compile(r"^\s*Am"))
    me.choose("Progression", "12-bar blues")
    me.page.get_by_text("The progression has 12 bars, of which 5 fit into 10 seconds at this tempo.").wait_for()


@pytest.mark.slow
def test_no_choice_is_lost_on_a_slow_line(visit):
    me = visit()
    me.page.get_by_text("Type chords, or choose a progression").click()
    me.slow_down()
    # The list is left once without a choice.
    me.page.get_by_label("Progression", exact=True).click()
    me.page.keyboard.press("Escape")
    me.page.keyboard.press("Tab")
    me.choose("Progression", "minor axis")
    me.find("#timeline [aria-label='bar 1, beat 1: Cm']").wait_for()
    me.choose("Key", "A minor")
    me.choose("Key", "E minor")
    me.find("#timeline [aria-label='bar 1, beat 1: Em']").wait_for()
    # Typed chords are a choice as well.
    words = me.find("#words input, #words textarea")
    for chords in ("Dm | G", "Bb | Eb"):
        words.fill(chords)
        words.press("Enter")
    me.find("#timeline [aria-label='bar 1, beat 1: Bb']").wait_for()


def test_a_list_that_is_left_without_a_choice_changes_nothing(visit):
    me = visit()

    def leave(name: str):
        me.page.get_by_label(name, exact=True).focus()
        me.page.keyboard.press("Tab")

    me.page.get_by_text("Type chords, or choose a progression").click()
    me.choose("Progression", "minor axis")
    me.find("#timeline [aria-label='bar 3, beat 1: Eb']").wait_for()
    me.find("#timeline .beat").nth(8).click()
    me.find("#timeline .chip[data-label='Fm']").first.click()
    leave("Progression")
    leave("Key")
    me.tab("Drums")
    me.choose("Start from a groove", "disco")
    stroke = me.find("#steps .step[data-track='0'][data-step='15']")
    expect(me.find("#steps .step[data-track='0'][data-step='4']")).not_to_have_attribute("data-state", "off")
    stroke.click()
    leave("Start from a groove")
    # All that was asked before this is answered before it.
    me.find("#drums-from").get_by_text("A recording").click()
    me.find("#drum-file").wait_for()
    me.find("#drums-from").get_by_text("A pattern").click()
    expect(stroke).not_to_have_attribute("data-state", "off")
    me.tab("Chords")
    expect(me.find("#timeline [aria-label='bar 3, beat 1: Fm']")).to_be_visible()


def test_a_recording_that_is_too_long(visit, tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, np.zeros(601 * 8000), 8000, subtype="PCM_U8")
    me = visit()
    me.page.get_by_text("Take the chords of a song or file").click()
    me.upload("#chord-file", path)
    me.page.get_by_role("button", name="Put its chords on the timeline").click()
    message = me.page.get_by_role("alert").filter(has_text="lasts 10:01 minutes; at most 10:00")
    message.wait_for()
    expect(me.find("body")).not_to_contain_text("Traceback")


def test_drums_from_a_recording(visit, tmp_path):
    from diffusers_jasco.controls.drum_machine import GROOVES

    path = tmp_path / "beat.wav"
    soundfile.write(path, GROOVES["disco"].render(10.0, 32000)[0].numpy(), 32000)
    me = visit()
    me.tab("Drums")
    me.find("#drums-from").get_by_text("A recording").click()
    me.upload("#drum-file", path)
    # It is used without another click, and no more once it is taken away.
    me.find("#recording [data-testid^=waveform]").first.wait_for()
    me.make()
    me.expect_scores("^Chords:", "^Drums:")
    me.find("#drum-file").get_by_label("Clear").click()
    me.find("#recording [data-testid^=waveform]").first.wait_for(state="detached")
    me.make()
    me.expect_status("Nothing was made: see the message about the drums.")
    # Browsers do not take WebM for audio.
    with me.page.expect_file_chooser() as chooser:
        me.find("#any-drum-file").click()
    chooser.value.set_files(ROOT / "tests/fixtures/cases/hum.webm")
    me.find("#recording [data-testid^=waveform]").first.wait_for()


def test_another_track_of_a_midi_file(visit):
    me = visit()
    me.tab("Melody")
    me.page.get_by_text("Hum a tune, or load one").click()
    with me.page.expect_file_chooser() as chooser:
        me.find("#melody-file").click()
    chooser.value.set_files(ROOT / "tests/fixtures/cases/named_melody.mid")
    me.page.get_by_text("Track 0 'MELODY' of named_melody.mid is the melody").wait_for()
    expect(me.find("#roll .note").first).to_have_text("C4", use_inner_text=True)
    me.page.get_by_label("Track of a MIDI file").fill("bridge")
    me.page.get_by_label("Track of a MIDI file").press("Enter")
    expect(me.find("#roll .note").first).to_have_text("G5", use_inner_text=True)


def test_one_thing_plays_at_a_time(visit):
    me = visit()
    me.make()
    take, chords = me.find(".card .player").first, me.find("#timeline")
    take.get_by_text("0:10").wait_for()  # It is loaded.
    take.get_by_label("Play", exact=True).click()
    take.get_by_label("Pause").wait_for()
    chords.get_by_role("button", name="Play").click()
    take.get_by_label("Play", exact=True).wait_for()
    take.get_by_label("Play", exact=True).click()
    chords.get_by_role("button", name="Play").wait_for()
    take.get_by_label("Pause").wait_for()


def test_a_stop_in_mid_run(visit):
    me = visit()
    me.page.get_by_text("Advanced").click()
    me.page.get_by_label("number input for Steps").fill("100")
    me.page.get_by_label("number input for Steps").press("Enter")
    me.page.get_by_label("number input for Variations").fill("4")
    me.page.get_by_label("number input for Variations").press("Enter")
    me.find("#go").click()
    me.find("#status").get_by_text(re.compile(r"Take 1 of 4: step \d+ of 100, .* left")).wait_for()
    me.find("#stop").click()
    me.page.get_by_text("Stopped.", exact=True).wait_for()
    me.page.wait_for_function("!document.querySelector('#go').disabled && document.querySelector('#stop').disabled")


def test_a_phone(visit):
    me = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    me.find("#timeline .beat").nth(4).tap()
    me.find("#timeline .chip[data-label='Em']").first.tap()
    for name in ("Drums", "Melody", "Chords"):
        me.tab(name)
        # Nothing sticks out to the side.
        me.evaluate("document.documentElement.scrollWidth <= 390", True)
    me.evaluate("document.querySelector('#new-seed').getBoundingClientRect().right <= 390", True)
    me.make()
    expect(me.find(".card .picture img")).to_be_visible()
    me.evaluate("document.documentElement.scrollWidth <= 390", True)


def test_the_keyboard_reaches_everything(visit):
    """From the first field to the button and on, without a mouse."""
    me = visit()
    names = ["ideas", "measure", "use-chords", "timeline", "words", "seed", "new-seed", "go", "compare", "load"]
    me.page.get_by_text("Type chords, or choose a progression").click()
    reached = set()
    me.find("#prompt textarea").focus()
    for _ in range(150):
        me.page.keyboard.press("Tab")
        reached |= set(
            me.page.evaluate("names => names.filter((name) => document.activeElement.closest('#' + name))", names)
        )
    assert reached == set(names)
    me.find("#go").focus()
    me.page.keyboard.press("Enter")
    me.find(".card .scores").first.wait_for()


def test_every_field_has_a_name(visit):
    me = visit()
    for name in ("Chords", "Drums", "Melody"):
        me.tab(name)
        me.evaluate(
            """() => [...document.querySelectorAll("input, textarea, select, button")]
                .filter((node) => node.checkVisibility() && !node.closest("[aria-hidden=true]"))
                .filter((node) => !(node.labels?.length || node.getAttribute("aria-label") || node.title
                    || node.getAttribute("aria-labelledby") || node.innerText?.trim()))
                .map((node) => node.outerHTML.slice(0, 200))""",
            [],
        )


def test_the_picture_is_as_dark_as_the_page(visit):
    me = visit(color_scheme="dark")
    me.make()
    me.evaluate(
        """() => { const image = document.querySelector(".card .picture img");
        const canvas = document.createElement("canvas"); canvas.width = canvas.height = 1;
        const context = canvas.getContext("2d"); context.drawImage(image, 0, 0, 1, 1);
        const [red, green, blue, alpha] = context.getImageData(0, 0, 1, 1).data;
        return alpha === 255 && Math.max(red, green, blue) < 100; }""",
        True,
    )
