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

import numpy as np

from diffusers_jasco.data.synthetic.captions import instrument_words, mentions, write_captions
from diffusers_jasco.data.synthetic.composition import compose
from diffusers_jasco.data.synthetic.instruments import LEAD_FAMILIES, PROGRAM_NAMES
from diffusers_jasco.data.synthetic.styles import STYLES
from diffusers_jasco.evaluation.estimators.caption_probe import QUESTIONS, read_caption


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
