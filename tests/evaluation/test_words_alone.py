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


import json
import math
from dataclasses import replace

import pytest
import torch

from diffusers_jasco.controls.drum_machine import GROOVES
from diffusers_jasco.evaluation import analyze_references
from diffusers_jasco.evaluation.handwritten import handwritten_items
from diffusers_jasco.evaluation.report import write_summary
from diffusers_jasco.evaluation.words_alone import evaluate_words, score_tempos
from diffusers_jasco.models.codec_spectral import SpectralCodecModel
from diffusers_jasco.utils.bundled import resolve_checkpoint

from .clips import RATE
from .test_evaluate import QUICK, ReferencePipeline


CAPTIONS = [
    {"caption": "rock at 100 bpm", "style": "rock", "lead": None, "tempo": "medium", "energy": None, "drums": None},
    {"caption": "blues, 150 bpm", "style": "blues", "lead": None, "tempo": "fast", "energy": None, "drums": None},
    {"caption": "drums", "style": None, "lead": None, "tempo": None, "energy": None, "drums": "yes"},
]
BPM = (100, 150, None)


def test_tempi_are_scored_against_the_caption_and_against_chance():
    scores = score_tempos([100, 75, 120, None], [98, 150, 120, 60], min_clips=4)
    # Half the requested tempo counts for Acc2 only, and no beat for neither.
    assert scores["num_clips"] == 4 and scores["acc1"] == 0.5 and scores["acc2"] == 0.75
    assert 0 <= scores["low"] <= scores["acc1"] <= scores["high"] <= 1
    # One of the twelve other pairs agrees by a factor of two: 120 and 60.
    assert scores["chance_acc1"] == 0 and scores["chance_acc2"] == pytest.approx(1 / 12)
    assert score_tempos([100, 100], [100, None], min_clips=1)["num_clips"] == 1
    assert math.isnan(score_tempos([100, 100], [100, 100])["acc1"])


def test_music_with_the_requested_tempo_scores_better_than_chance():
    """The pipeline plays a groove at the tempo of the caption."""
    answers = ({"style": "rock", "tempo": 100.0}, {"style": "blues", "tempo": 150.0})
    items = [item | answer for item, answer in zip(handwritten_items(RATE, 10.0), answers)]
    references = analyze_references(items, QUICK)
    rows = [row | {"bpm": bpm} for row, bpm in zip(CAPTIONS, BPM)]

    class GroovePipeline(ReferencePipeline):
        def __call__(self, prompt, **arguments):
            self.calls.append(prompt)
            bpm = {row["caption"]: row["bpm"] for row in rows}
            grooves = [
                replace(GROOVES["rock backbeat"], bpm=bpm[text] or 120).render(10.0, self.sampling_rate)
                for text in prompt
            ]
            return type("Output", (), {"audios": torch.stack(grooves), "tempos": [None] * len(grooves)})

    pipe = GroovePipeline(references.items)
    pipe.codec = SpectralCodecModel.from_pretrained(resolve_checkpoint("jasco-nano"), subfolder="codec")
    pipe.sampling_rate = pipe.codec.config.sampling_rate
    result = evaluate_words(pipe, rows, references, batch_size=2, min_clips=2)
    assert pipe.calls == [["rock at 100 bpm", "blues, 150 bpm"], ["drums"]] and result["num_clips"] == 3
    condition = result["conditions"]["text"]
    for scores in condition["tempo"].values():
        assert scores["num_clips"] == 2 and scores["acc2"] == 1 and scores["chance_acc1"] == 0
    assert len(condition["form"]) == len(condition["sound"]) == 3
    assert {row["question"] for row in condition["captions"]} == {"style", "tempo"}
    assert json.loads(json.dumps(result)).keys() == result.keys()
    summary = write_summary({"captions": result})
    assert "## captions: 3 clips" in summary and "### captions: tempo in captions" in summary
