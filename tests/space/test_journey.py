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


"""Tests of the page in a browser."""

import json
import re
import zipfile

import numpy as np
import pytest
import soundfile

from .conftest import ROOT, eventually, expect


pytest.importorskip("gradio")


class Window:
    """A browser window that records errors and requests to other servers."""

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
        contents = {"Chords": "#timeline", "Drums": "#steps", "Melody": "#roll", "Mixer": "#best-of", "Edit": "#edit"}
        self.find(contents[name]).wait_for()

    def make(self):
        """Clicks "Generate", and waits for the end of the run."""
        # The observer detects runs that end before the next check of the button.
        self.page.evaluate(
            """() => {
                window.started = false;
                new MutationObserver(() => { window.started ||= document.querySelector("#go")?.disabled; })
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
        """Uploads a file to a field, and waits for the end of the upload."""
        self.find(field).locator("input[type=file]").set_input_files(path)
        # The file name is not a reliable sign: the progress bar shows it, too, and the finished field shows stem and suffix in
        # separate elements.
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
        """Delays each response of the server by one second."""
        conditions = {"offline": False, "latency": 1000, "downloadThroughput": -1, "uploadThroughput": -1}
        self.context.new_cdp_session(self.page).send("Network.emulateNetworkConditions", conditions)

    def evaluate(self, script: str, expected):
        """Waits for the value of an expression in the page."""
        eventually(self.page, lambda: self.page.evaluate(script), expected)


@pytest.fixture
def open_window(browser, server):
    windows = []

    def open_window(**options) -> Window:
        windows.append(Window(browser, server, **options))
        return windows[-1]

    yield open_window
    for one in windows:
        one.context.close()
        assert not one.errors and not one.outside


def test_a_song_from_the_first_click_to_its_reproduction(open_window, tmp_path):
    window = open_window()
    window.find("#prompt textarea").fill("rock, organ, drums")

    # Chords: click on a cleared timeline
    window.find("#timeline").get_by_role("button", name="Clear").click()
    window.find("#timeline .beat").nth(0).click()
    for label in ("Am", "F", "C", "G"):
        window.find(f"#timeline .chip[data-label='{label}']").first.click()
    # Drums: add a hit on the last step
    window.tab("Drums")
    window.find("#steps .step[data-track='0'][data-step='15']").click()
    # Melody
    window.tab("Melody")
    lanes = window.find("#roll .lanes")
    lanes.scroll_into_view_if_needed()
    for beat, midi in enumerate((72, 76, 74)):
        window.find("#roll .lane").nth(95 - midi).click(position={"x": 30 + 80 * beat, "y": 6})
    expect(window.find("#roll .note")).to_have_count(3)

    window.make()
    window.expect_status("1 take in")
    window.expect_scores(
        *(rf"^{name}: .*\d+%.*(very close|close|partial|poor)" for name in ("Chords", "Melody", "Drums"))
    )
    expect(window.find(".card .picture img")).to_have_attribute("alt", re.compile("target and result"))
    window.evaluate("document.querySelector('.card .picture img').naturalWidth > 400", True)

    music, rate = soundfile.read(window.download("WAV", tmp_path / "take.wav"))
    assert len(music) == 10 * rate
    archive = window.download("ZIP", tmp_path / "take.zip")
    with zipfile.ZipFile(archive) as files:
        settings = json.loads(files.read("settings.json"))
    assert settings["prompt"] == "rock, organ, drums"
    assert [chord["label"] for chord in settings["chords"]["chords"]] == ["Am", "F", "C", "G"]
    assert settings["pattern"]["tracks"]["kick"][15] > 0
    assert [note["midi"] for note in settings["melody"]["notes"]] == [72, 76, 74]

    # In another session, the settings give the same music.
    other = open_window()
    other.find("#load button").first.click()
    other.upload("#settings-file", archive)
    other.page.get_by_text("Loaded take.zip.").wait_for()
    expect(other.find("#prompt textarea")).to_have_value("rock, organ, drums")
    expect(other.find("#seed input")).to_have_value(str(settings["seed"]))
    expect(other.find("#timeline .chord").first).to_have_text(re.compile(r"^\s*Am"))
    other.make()
    assert other.download("WAV", tmp_path / "again.wav").read_bytes() == (tmp_path / "take.wav").read_bytes()

    # Another take in the first session, to compare. The second session does not show it.
    window.make()
    window.find("#compare button").first.click()
    window.find("#compare input").first.click()
    expect(window.find("#compare").get_by_role("option")).to_have_count(2)
    expect(window.find("#seed input")).not_to_have_value(str(settings["seed"]))
    other.find("#compare button").first.click()
    other.find("#compare input").first.click()
    expect(other.find("#compare").get_by_role("option")).to_have_count(1)


def test_an_unknown_chord_is_reported_with_its_position(open_window):
    window = open_window()
    window.find("#timeline .beat").nth(4).dblclick()
    window.page.keyboard.type("Hm")
    window.page.keyboard.press("Enter")
    window.find("#timeline .chord.unknown").first.wait_for()
    window.tab("Drums")
    window.make()
    # The chords tab opens, with the message below the timeline.
    message = window.page.get_by_role("alert").filter(has_text="unknown chord 'Hm'")
    expect(message).to_be_visible()
    expect(message).to_contain_text("Bar 2, beat 1")
    expect(window.find("#timeline")).to_be_visible()
    window.expect_status("Nothing was generated")
    expect(window.find(".card").filter(visible=True)).to_have_count(0)

    # After the correction, generation works and the message disappears.
    window.find("#timeline .status .chip", has_text="Bm").first.click()
    window.make()
    window.expect_status("1 take in")
    window.expect_no_alert()


def test_unknown_words_are_reported(open_window):
    window = open_window()
    prompt = window.find("#prompt textarea")
    said = window.page.get_by_text("Not known to this model: klezmer")
    prompt.fill("slow klezmer, clarinet")
    expect(said).to_be_visible()
    prompt.fill("slow jazz, clarinet")
    expect(said).to_have_count(0)
    window.page.get_by_text("Words that this model knows").click()
    expect(window.find("#known")).to_contain_text(re.compile(r"\d+–\d+, .*80s, .*accompaniment, .*piano, "))


def test_typed_chords_appear_on_the_timeline_or_cause_an_error(open_window):
    window = open_window()
    window.page.get_by_text("Type chords or choose a progression").click()
    window.find("#words input, #words textarea").fill("Em | C | Qm")
    window.find("#place").click()
    window.page.get_by_role("alert").filter(has_text="unknown chord 'Qm'").wait_for()
    window.find("#words input, #words textarea").fill("Em | C | G | D")
    window.find("#place").click()
    window.find("#timeline [aria-label='bar 4, beat 1: D']").wait_for()
    window.expect_no_alert()


def test_tempo_and_time_signature_reach_all_parts(open_window):
    window = open_window()

    def has_bars(number: int):
        window.page.wait_for_function(f"document.querySelectorAll('#timeline .measure').length === {number}")

    tempo = window.page.get_by_label("number input for Tempo (BPM)")
    tempo.fill("999")
    tempo.press("Tab")
    has_bars(10)
    expect(tempo).to_have_value("240")
    window.page.get_by_label("Reset to default value").first.click()
    has_bars(5)
    window.page.get_by_label("Time signature").click()
    window.page.get_by_role("option", name="3/4").click()
    has_bars(7)
    window.tab("Drums")
    expect(window.find("#steps select")).to_have_value("12")


def test_a_progression_by_name_in_its_key(open_window):
    window = open_window()
    window.page.get_by_text("Type chords or choose a progression").click()
    window.choose("Progression", "minor axis")
    window.find("#timeline [aria-label='bar 1, beat 1: Cm']").wait_for()
    window.choose("Key", "A minor")
    window.find("#timeline [aria-label='bar 1, beat 1: Am']").wait_for()
    expect(window.find("#timeline [aria-label='Chords in the key'] .chip").first).to_have_text(re.compile(r"^\s*Am"))
    window.choose("Progression", "12-bar blues")
    window.page.get_by_text("The progression has 12 bars, but only 5 fit into 10 seconds at this tempo.").wait_for()


@pytest.mark.slow
def test_no_choice_is_lost_on_a_slow_connection(open_window):
    window = open_window()
    window.page.get_by_text("Type chords or choose a progression").click()
    window.slow_down()
    # Leave the list once without a choice.
    window.page.get_by_label("Progression", exact=True).click()
    window.page.keyboard.press("Escape")
    window.page.keyboard.press("Tab")
    window.choose("Progression", "minor axis")
    window.find("#timeline [aria-label='bar 1, beat 1: Cm']").wait_for()
    window.choose("Key", "A minor")
    window.choose("Key", "E minor")
    window.find("#timeline [aria-label='bar 1, beat 1: Em']").wait_for()
    # Typed chords are not lost, either.
    words = window.find("#words input, #words textarea")
    for chords in ("Dm | G", "Bb | Eb"):
        words.fill(chords)
        words.press("Enter")
    window.find("#timeline [aria-label='bar 1, beat 1: Bb']").wait_for()


def test_leaving_a_list_without_a_choice_changes_nothing(open_window):
    window = open_window()
    # The key that a progression sets is answered after the chord is edited.
    window.slow_down()

    def leave(name: str):
        window.page.get_by_label(name, exact=True).focus()
        window.page.keyboard.press("Tab")

    window.page.get_by_text("Type chords or choose a progression").click()
    window.choose("Progression", "minor axis")
    window.find("#timeline [aria-label='bar 3, beat 1: Eb']").wait_for()
    window.find("#timeline .beat").nth(8).click()
    window.find("#timeline .chip[data-label='Fm']").first.click()
    leave("Progression")
    leave("Key")
    window.tab("Drums")
    window.choose("Start from a groove", "disco")
    hit = window.find("#steps .step[data-track='0'][data-step='15']")
    expect(window.find("#steps .step[data-track='0'][data-step='4']")).not_to_have_attribute("data-state", "off")
    hit.click()
    leave("Start from a groove")
    # Earlier requests are answered before this one.
    window.find("#drums-from").get_by_text("Recording", exact=True).click()
    window.find("#drum-file").wait_for()
    window.find("#drums-from").get_by_text("Pattern", exact=True).click()
    expect(hit).not_to_have_attribute("data-state", "off")
    window.tab("Chords")
    expect(window.find("#timeline [aria-label='bar 3, beat 1: Fm']")).to_be_visible()


def test_a_recording_that_is_too_long(open_window, tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, np.zeros(601 * 8000), 8000, subtype="PCM_U8")
    window = open_window()
    window.page.get_by_text("Extract chords from a recording or file").click()
    window.upload("#chord-file", path)
    window.page.get_by_role("button", name="Extract chords", exact=True).click()
    message = window.page.get_by_role("alert").filter(has_text="lasts 10:01 minutes, but at most 10:00")
    message.wait_for()
    expect(window.find("body")).not_to_contain_text("Traceback")


def test_drums_from_a_recording(open_window, tmp_path):
    from diffusers_jasco.controls.drum_machine import GROOVES

    path = tmp_path / "beat.wav"
    soundfile.write(path, GROOVES["disco"].render(10.0, 32000)[0].numpy(), 32000)
    window = open_window()
    window.tab("Drums")
    window.find("#drums-from").get_by_text("Recording", exact=True).click()
    window.upload("#drum-file", path)
    # The recording is used without another click until it is removed.
    window.find("#recording [data-testid^=waveform]").first.wait_for()
    window.make()
    window.expect_scores("^Chords:", "^Drums:")
    archive = window.download("ZIP", tmp_path / "take.zip")
    window.find("#drum-file").get_by_label("Clear").click()
    window.find("#recording [data-testid^=waveform]").first.wait_for(state="detached")
    window.make()
    window.expect_status("Nothing was generated: see the message about the drums.")
    # Browsers do not classify WebM as audio.
    with window.page.expect_file_chooser() as chooser:
        window.find("#any-drum-file").click()
    chooser.value.set_files(ROOT / "tests/fixtures/cases/hum.webm")
    window.find("#recording [data-testid^=waveform]").first.wait_for()

    # The settings in the ZIP bring the recording back, and it can be edited as steps.
    other = open_window()
    other.find("#load button").first.click()
    other.upload("#settings-file", archive)
    other.page.get_by_text("Loaded take.zip.").wait_for()
    other.page.get_by_role("tab", name="Drums").click()
    other.find("#edit-drums").click()
    expect(other.page.get_by_label("number input for Tempo (BPM)")).to_have_value("116")
    expect(other.find("#steps .step[data-track='0'][data-step='12']")).to_have_attribute("data-state", "accent")
    expect(other.find("#steps .step[data-track='0'][data-step='13']")).to_have_attribute("data-state", "off")


def test_a_recorded_beat_is_edited_as_steps(open_window, tmp_path):
    from diffusers_jasco.controls.drum_machine import GROOVES, read_groove

    def step(track: int, number: int):
        return window.find(f"#steps .step[data-track='{track}'][data-step='{number}']")

    path = tmp_path / "beat.wav"
    soundfile.write(path, GROOVES["reggaeton"].render(10.0, 32000)[0].numpy(), 32000)
    window = open_window()
    tempo = window.page.get_by_label("number input for Tempo (BPM)")
    window.tab("Drums")
    window.choose("Start from a groove", "disco")
    window.find("#drums-from").get_by_text("Recording", exact=True).click()
    window.upload("#drum-file", path)
    window.find("#recording [data-testid^=waveform]").first.wait_for()
    window.find("#edit-drums").click()
    # The pattern appears, and the page has its tempo.
    expect(step(1, 3)).to_have_attribute("data-state", "accent")
    expect(step(2, 3)).to_have_attribute("data-state", "off")
    expect(tempo).to_have_value("94")
    expect(window.page.get_by_text("The tempo and the time signature are now 94 BPM and 4/4.")).to_be_visible()
    expect(window.page.get_by_label("Start from a groove", exact=True)).to_have_value("")
    # It can be edited, undone, and saved.
    step(4, 15).click()
    with window.page.expect_download() as download:
        window.find("#save-pattern").click()
    download.value.save_as(tmp_path / "saved.groove.json")
    assert download.value.suggested_filename == "pattern.groove.json"
    expect(window.page.get_by_text("Saved pattern")).not_to_be_visible()
    saved = read_groove(tmp_path / "saved.groove.json")
    assert saved.bpm == 94 and list(saved.tracks) == ["kick", "snare", "hat", "clap"]
    assert [velocity > 0 for velocity in saved.tracks["snare"]] == [
        char == "x" for char in GROOVES["reggaeton"].tracks["snare"]
    ]
    for _ in range(2):
        window.find("#steps").get_by_role("button", name="Undo (Ctrl+Z)").click()
    expect(step(1, 3)).to_have_attribute("data-state", "off")  # the preset
    window.make()
    window.expect_scores("^Chords:", "^Drums:")

    def load(name: str, content: dict):
        (tmp_path / name).write_text(json.dumps(content))
        with window.page.expect_file_chooser() as chooser:
            window.find("#load-pattern").click()
        chooser.value.set_files(tmp_path / name)

    # A file in another time signature, with a tempo between two whole numbers
    load("waltz.groove.json", {"tracks": {"kick": "x..........." * 3, "ride": "x..." * 9}, "bpm": 151.25})
    expect(step(0, 24)).to_have_attribute("data-state", "accent")
    expect(window.find("#steps select")).to_have_value("36")
    expect(tempo).to_have_value("151.25")
    expect(window.page.get_by_text("are left out: ride.")).to_be_visible()
    window.tab("Chords")
    window.evaluate("document.querySelectorAll('#timeline .measure').length", 9)
    window.tab("Drums")
    # A file that has no steps in the sequencer changes nothing.
    load("shuffle.groove.json", {"tracks": {"kick": "x..x..x..x.."}, "steps_per_beat": 3})
    expect(window.page.get_by_role("alert").filter(has_text="shuffle.groove.json")).to_have_count(0)
    expect(window.page.get_by_role("alert").filter(has_text="This beat has triplets")).to_be_visible()
    expect(step(0, 24)).to_have_attribute("data-state", "accent")


def test_a_part_of_a_recording_is_made_anew(open_window, tmp_path):
    from diffusers_jasco.controls.drum_machine import GROOVES

    path = tmp_path / "song.wav"
    music = 0.5 * GROOVES["disco"].render(3.2, 44100)[0].numpy()
    soundfile.write(path, np.stack([music, music], axis=1), 44100)
    window = open_window()
    window.tab("Edit")
    window.find("#edit").get_by_text("Parts of a recording", exact=True).click()
    window.upload("#source", path)
    expect(window.page.get_by_label("number input for Duration (seconds)")).to_have_value("3.5")
    window.find("#outro input").fill("1")
    expect(window.page.get_by_label("number input for Duration (seconds)")).to_have_value("4.5")
    window.find("#outro input").fill("0")
    window.make()
    alert = window.page.get_by_role("alert").filter(has_text="Enter the parts to regenerate")
    expect(alert).to_be_visible()
    window.expect_status("Nothing was generated: see the message about the parts.")
    window.find("#regions textarea, #regions input").fill("1-1.5")
    window.tab("Chords")
    window.make()
    window.expect_status("1 take in")
    expect(window.find(".card").first).to_contain_text("The recording with its new parts.")
    edited, rate = soundfile.read(window.download("WAV", tmp_path / "edited.wav"))
    assert rate == 44100 and edited.shape == (len(music), 2)
    original = soundfile.read(path)[0]
    np.testing.assert_array_equal(edited[:44100], original[:44100])
    assert not np.array_equal(edited, original)


def test_another_track_of_a_midi_file(open_window):
    window = open_window()
    window.tab("Melody")
    window.page.get_by_text("Hum or load a melody").click()
    with window.page.expect_file_chooser() as chooser:
        window.find("#melody-file").click()
    chooser.value.set_files(ROOT / "tests/fixtures/cases/named_melody.mid")
    window.page.get_by_text("Track 0 'MELODY' of named_melody.mid is used as the melody").wait_for()
    expect(window.find("#roll .note").first).to_have_text("C4", use_inner_text=True)
    window.page.get_by_label("Track of a MIDI file").fill("bridge")
    window.page.get_by_label("Track of a MIDI file").press("Enter")
    expect(window.find("#roll .note").first).to_have_text("G5", use_inner_text=True)


def test_one_thing_plays_at_a_time(open_window):
    window = open_window()
    window.make()
    take, chords = window.find(".card .player").first, window.find("#timeline")
    take.get_by_text("0:10").wait_for()  # It is loaded.
    take.get_by_label("Play", exact=True).click()
    take.get_by_label("Pause").wait_for()
    chords.get_by_role("button", name="Play").click()
    take.get_by_label("Play", exact=True).wait_for()
    take.get_by_label("Play", exact=True).click()
    chords.get_by_role("button", name="Play").wait_for()
    take.get_by_label("Pause").wait_for()


def test_a_run_can_be_stopped(open_window):
    window = open_window()
    window.page.get_by_text("Advanced").click()
    window.page.get_by_label("number input for Steps").fill("100")
    window.page.get_by_label("number input for Steps").press("Enter")
    window.page.get_by_label("number input for Variations").fill("4")
    window.page.get_by_label("number input for Variations").press("Enter")
    window.find("#go").click()
    window.find("#status").get_by_text(re.compile(r"Take 1 of 4: step \d+ of 100, .* left")).wait_for()
    window.find("#stop").click()
    window.page.get_by_text("Stopped.", exact=True).wait_for()
    window.page.wait_for_function(
        "!document.querySelector('#go').disabled && document.querySelector('#stop').disabled"
    )


def test_a_phone(open_window):
    window = open_window(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    window.find("#timeline .beat").nth(4).tap()
    window.find("#timeline .chip[data-label='Em']").first.tap()
    for name in ("Drums", "Melody", "Mixer", "Chords"):
        window.tab(name)
        # Nothing sticks out to the side.
        window.evaluate("document.documentElement.scrollWidth <= 390", True)
    window.evaluate("document.querySelector('#new-seed').getBoundingClientRect().right <= 390", True)
    window.make()
    expect(window.find(".card .picture img")).to_be_visible()
    window.evaluate("document.documentElement.scrollWidth <= 390", True)


def test_the_keyboard_reaches_everything(open_window):
    """From the first field to the button and on, without a mouse."""
    window = open_window()
    names = ["ideas", "measure", "use-chords", "timeline", "words", "seed", "new-seed", "go", "compare", "load"]
    window.page.get_by_text("Type chords or choose a progression").click()
    reached = set()
    window.find("#prompt textarea").focus()
    for _ in range(150):
        window.page.keyboard.press("Tab")
        reached |= set(
            window.page.evaluate("names => names.filter((name) => document.activeElement.closest('#' + name))", names)
        )
    assert reached == set(names)
    window.find("#go").focus()
    window.page.keyboard.press("Enter")
    window.find(".card .scores").first.wait_for()


def test_every_field_has_an_accessible_name(open_window):
    window = open_window()
    for name in ("Chords", "Drums", "Melody", "Mixer"):
        window.tab(name)
        window.evaluate(
            """() => [...document.querySelectorAll("input, textarea, select, button")]
                .filter((node) => node.checkVisibility() && !node.closest("[aria-hidden=true]"))
                .filter((node) => !(node.labels?.length || node.getAttribute("aria-label") || node.title
                    || node.getAttribute("aria-labelledby") || node.innerText?.trim()))
                .map((node) => node.outerHTML.slice(0, 200))""",
            [],
        )


def test_the_picture_follows_the_dark_theme(open_window):
    window = open_window(color_scheme="dark")
    window.make()
    window.evaluate(
        """() => { const image = document.querySelector(".card .picture img");
        const canvas = document.createElement("canvas"); canvas.width = canvas.height = 1;
        const context = canvas.getContext("2d"); context.drawImage(image, 0, 0, 1, 1);
        const [red, green, blue, alpha] = context.getImageData(0, 0, 1, 1).data;
        return alpha === 255 && Math.max(red, green, blue) < 100; }""",
        True,
    )


def test_the_mixer(open_window, tmp_path):
    window = open_window()
    window.tab("Mixer")
    chords = window.page.get_by_label("number input for Strength of the chords")
    candidates = window.page.get_by_label("number input for Candidates")
    level = window.page.get_by_label("number input for Level of the drums (dB)")
    for field, value in ((chords, "1.5"), (candidates, "2"), (level, "-6")):
        field.fill(value)
        field.press("Enter")
    window.make()
    window.expect_status("1 take in")
    card = window.find(".card").first
    expect(card).to_contain_text("chords × 1.5 · best of 2 · drums -6 dB")
    archive = window.download("ZIP", tmp_path / "take.zip")

    window.find("#reset-mixer").click()
    for field, value in ((chords, "1"), (candidates, "1"), (level, "0")):
        expect(field).to_have_value(value)
    window.find("#load button").first.click()
    window.upload("#settings-file", archive)
    for field, value in ((chords, "1.5"), (candidates, "2"), (level, "-6")):
        expect(field).to_have_value(value)

    # Edits have no candidates, and the message is in the mixer.
    window.tab("Edit")
    window.find("#edit").get_by_text("Variation of a recording", exact=True).click()
    window.make()
    expect(window.page.get_by_role("alert").filter(has_text="set the number of candidates to 1")).to_be_visible()
    window.expect_status("Nothing was generated: see the message about the mixer.")
    expect(window.find("#reset-mixer")).to_be_visible()
