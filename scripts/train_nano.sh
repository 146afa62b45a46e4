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

# Trains pipelines/jasco-nano from scratch: music, codec, features, tokenizer, model. Completed stages are skipped, and
# interrupted ones resume. Needs the FluidSynth library and MIT-licensed sound fonts; on Debian:
#     apt install libfluidsynth3 fluid-soundfont-gm musescore-general-soundfont-small
# To test all stages in a few minutes:
#     WORK=runs/try OUTPUT=runs/try/pipeline CLIPS=40 VALIDATION_CLIPS=8 CODEC_STEPS=20 STEPS=20 scripts/train_nano.sh
set -euo pipefail
cd "$(dirname "$0")/.."

work=${WORK:-runs/nano}
output=${OUTPUT:-pipelines/jasco-nano}
clips=${CLIPS:-30000}
validation_clips=${VALIDATION_CLIPS:-96}
codec_steps=${CODEC_STEPS:-6000}
steps=${STEPS:-28000}
renderer=${RENDERER:-fluidsynth}

export OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
codec_config=training/configs/codec_spectral.yaml
rate=$(sed -n 's/^ *sampling_rate: *//p' "$codec_config")
# bf16 is many times slower than float32 on CPUs without native support.
precision=no
if grep -qE 'avx512_bf16|amx_bf16' /proc/cpuinfo 2>/dev/null; then
    precision=bf16
fi

# train <precision> <script and its options>. Two processes with one thread each are faster than one with two threads.
train() {
    accelerate launch --multi_gpu --num_processes 2 --num_machines 1 --dynamo_backend no --mixed_precision "$@" \
        --resume latest
}

for split in train:$clips validation:$validation_clips; do
    python scripts/make_synthetic_dataset.py --split "${split%:*}" --num_clips "${split#*:}" --subset both \
        --sampling_rate "$rate" --renderer "$renderer" --output "$work/music/${split%:*}"
done

train no training/train_codec.py --config "$codec_config" --cpu --batch_size 4 --max_steps "$codec_steps" \
    --dataset "$work/music/train" --validation_dataset "$work/music/validation" --output "$work/codec"

for split in train validation; do
    [ -d "$work/features/$split" ] || python scripts/encode_features.py --dataset "$work/music/$split" \
        --codec "$work/codec" --output "$work/features/$split"
done

[ -d "$work/tokenizer" ] || python training/train_tokenizer.py --captions "$work/music/train/metadata.jsonl" \
    --output "$work/tokenizer"

train "$precision" training/train_jasco.py --config training/configs/nano.yaml --mixed_precision "$precision" \
    --max_steps "$steps" --dataset "$work/features/train" --validation_dataset "$work/features/validation" \
    --codec "$work/codec" --tokenizer "$work/tokenizer" --output "$work/model"

python scripts/save_half_precision.py --checkpoint "$work/model" --output "$output"
