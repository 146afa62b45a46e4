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

import itertools
import re

import numpy as np
import pytest
from transformers import AutoTokenizer

from diffusers_jasco.data.synthetic import words
from diffusers_jasco.data.synthetic.captions import instrument_words, mentions, tempo_word, write_captions
from diffusers_jasco.data.synthetic.composition import compose
from diffusers_jasco.data.synthetic.harmony import follows_key
from diffusers_jasco.data.synthetic.instruments import LEAD_FAMILIES, PROGRAM_NAMES
from diffusers_jasco.data.synthetic.styles import STYLES
from diffusers_jasco.evaluation.estimators.caption_probe import QUESTIONS, read_caption
from diffusers_jasco.text_encoders import word_counts
from diffusers_jasco.training.tokenizer import train_tokenizer


def test_only_whole_words_are_mentioned():
    assert mentions("fast, up-tempo house", ["house"]) and mentions("6/8 soul", ["6/8 soul"])
    assert not mentions("slow-paced soulful", ["slow", "soul", "paced"])


def test_lead_families_are_disjoint_and_complete():
    leads = {PROGRAM_NAMES[program] for style in STYLES for program in style.lead_programs}
    members = [name for names in LEAD_FAMILIES.values() for name in names]
    assert leads <= set(members) and len(members) == len(set(members)) and set(members) <= set(PROGRAM_NAMES.values())
    words = [{word for name in names for word in instrument_words(name)} for names in LEAD_FAMILIES.values()]
    assert not any(first & second for first, second in itertools.combinations(words, 2))


def test_captions_mention_every_attribute_but_not_always():
    counts = dict.fromkeys(QUESTIONS, 0)
    for seed in range(100):
        piece = compose("validation", "plain", np.random.default_rng(seed), 12.0)
        item = {
            "caption": write_captions(piece, np.random.default_rng(seed))[0],
            "style": piece.style.name,
            "tempo": round(piece.tempo, 1),
            "energy": piece.energy,
            "instruments": {stem: PROGRAM_NAMES[n] for stem, n in piece.programs.items() if stem != "drums"},
        }
        answers = read_caption(item)
        assert answers["drums"] in (None, "yes" if "drums" in piece.programs else "no"), item
        for question in QUESTIONS:
            counts[question] += answers[question] is not None
    assert all(15 <= count <= 95 for count in counts.values()), counts


@pytest.fixture(scope="module")
def captioned():
    """Pieces with many captions of each."""
    pieces = [compose("train", ("plain", "full")[seed % 2], np.random.default_rng(seed), 12.0) for seed in range(400)]
    return [(piece, write_captions(piece, np.random.default_rng(1), 12)) for piece in pieces]


def test_captions_have_a_thousand_words(captioned):
    words = {word for _, captions in captioned for caption in captions for word in re.findall(r"[^\W\d]+", caption)}
    assert len(words) >= 1000, len(words)
    assert all(caption == caption.lower() and "{" not in caption for _, captions in captioned for caption in captions)


def test_captions_are_true_of_their_pieces(captioned):
    checked = dict.fromkeys(("bpm", "key", "time_signature", "drums"), 0)
    drum_sounds = [phrase for phrases in words.DRUM_SOUNDS.values() for phrase in phrases]
    for piece, captions in captioned:
        tonic, mode = piece.key.split()
        others = [phrases for name, phrases in words.TIME_SIGNATURES.items() if name != piece.time_signature]
        for caption in captions:
            for number in re.findall(r"(\d+) (?:bpm|beats per minute)|tempo (\d+)\b(?!/)", caption):
                assert int(number[0] or number[1]) == round(piece.tempo)
                checked["bpm"] += 1
            for name, found in re.findall(r"(?:in|key of) ([a-g](?: sharp| flat)?) (major|minor)", caption):
                assert name in words.KEY_NAMES[tonic] and found == mode and follows_key(piece.chords, piece.key)
                checked["key"] += 1
            assert not any(mentions(caption, phrases) for phrases in others), caption
            checked["time_signature"] += mentions(caption, words.TIME_SIGNATURES[piece.time_signature])
            if mentions(caption, drum_sounds):
                assert "drums" in piece.programs
                checked["drums"] += 1
    assert all(count > 20 for count in checked.values()), checked


def test_sentences_are_complete(captioned):
    rng = np.random.default_rng(0)
    # Styles that share words with their instruments.
    pieces = [piece for piece, _ in captioned if piece.style.name in ("metal", "swing jazz")]
    for caption in (caption for piece in pieces for caption in write_captions(piece, rng, 60)):
        assert not re.search(r"  |^,|, ,|with ,|: ,", caption), caption


def test_captions_repeat_no_word(captioned):
    for caption in (caption for _, captions in captioned for caption in captions):
        found = re.findall(r"[^\W_]+(?:/\d)?", caption)
        assert all(word != following for word, following in itertools.pairwise(found)), caption
        content = [word for word in found if word not in words.FUNCTION_WORDS]
        assert len(set(content)) == len(content), caption


def test_captions_agree_with_tempo_energy_and_feel(captioned):
    tempos = {
        "slow": ("slow", "slow-paced", "unhurried", "downtempo", "largo", "adagio", "leisurely", "crawling"),
        "medium": ("mid-tempo", "moderate", "medium", "moderato"),
        "fast": ("fast", "up-tempo", "quick", "fast-paced", "allegro", "brisk", "vivace", "rapid", "racing"),
    }
    energies = {
        "calm": ("calm", "gentle", "soft", "quiet", "subdued", "hushed"),
        "energetic": ("energetic", "busy", "powerful", "lively", "vigorous", "high energy"),
    }
    found = dict.fromkeys((*tempos, *energies, "swing"), 0)
    for piece, captions in captioned:
        for caption in captions:
            for true, table in ((tempo_word(piece.tempo), tempos), (piece.energy, energies)):
                mentioned = [name for name in table if mentions(caption, table[name])]
                assert set(mentioned) <= {true}, (round(piece.tempo), piece.energy, caption)
                found.update({name: found[name] + 1 for name in mentioned})
            swing = mentions(caption, ("swing", "swinging", "swung", "shuffle", "shuffled", "swing feel"))
            assert not (swing and piece.swing == 0.5) and not (piece.swing != 0.5 and "straight" in caption), caption
            found["swing"] += swing
    assert all(count > 20 for count in found.values()), found


def test_word_counts_are_saved_with_the_tokenizer(tmp_path):
    tokenizer = train_tokenizer(["Slow rock, slow drums", "rock"])
    tokenizer.save_pretrained(tmp_path)
    assert word_counts(AutoTokenizer.from_pretrained(tmp_path)) == {"slow": 2, "rock": 2, "drums": 1}
    assert word_counts(train_tokenizer(["slow rock"], "unigram", 30)) is None
