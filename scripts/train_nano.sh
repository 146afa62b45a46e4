#!/usr/bin/env bash
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

# Trains pipelines/jasco-nano from nothing: music, codec, features, tokenizer, model. Each stage is skipped if its result is
# there, and one that was stopped goes on. Needs the fluidsynth library and fonts under the MIT licence, on Debian:
#     apt install libfluidsynth3 fluid-soundfont-gm musescore-general-soundfont-small
# The whole chain in some minutes, to see that it runs:
#     WORK=runs/try OUTPUT=runs/try/pipeline CLIPS=40 CODEC_STEPS=20 STEPS=20 scripts/train_nano.sh
set -euo pipefail
cd "$(dirname "$0")/.."
work=${WORK:-runs/nano}
output=${OUTPUT:-pipelines/jasco-nano}
export OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false

for split in train:${CLIPS:-6000} validation:96; do
    python scripts/make_synthetic_dataset.py --split "${split%:*}" --num_clips "${split#*:}" --subset both \
        --output "$work/music/${split%:*}"
done

python training/train_codec.py --config training/configs/codec_spectral.yaml --dataset "$work/music/train" \
    --validation_dataset "$work/music/validation" --max_steps "${CODEC_STEPS:-1100}" --output "$work/codec" --resume latest

for split in train validation; do
    [ -d "$work/features/$split" ] || python scripts/encode_features.py --dataset "$work/music/$split" \
        --codec "$work/codec" --output "$work/features/$split"
done

[ -d "$work/tokenizer" ] || python training/train_tokenizer.py --captions "$work/music/train/metadata.jsonl" \
    --output "$work/tokenizer"

# Two processes of one thread are faster than one of two.
accelerate launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no \
    training/train_jasco.py --config training/configs/nano.yaml \
    --dataset "$work/features/train" --validation_dataset "$work/features/validation" --codec "$work/codec" \
    --tokenizer "$work/tokenizer" --max_steps "${STEPS:-4200}" --output "$work/model" --resume latest

python scripts/save_half_precision.py --checkpoint "$work/model" --output "$output"
