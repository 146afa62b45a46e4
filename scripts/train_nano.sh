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

# Trains pipelines/jasco-nano from scratch: codec, tokenizer, music, model. Completed stages are skipped and interrupted
# ones resume, so the same command also continues a run.
#
#     DEVICE=cpu    Two processes with one thread each, in legs of at most MAX_MINUTES (default: 120).
#     DEVICE=cuda   One process on the GPU, while the other CPU cores render music, which the training uses as it
#                   appears. The model is trained for MAX_MINUTES (default: 420), and the learning rate decays at the end.
#                   LIMIT_MINUTES stops it that many minutes after the start of the script, wherever it is.
#
# The music needs the FluidSynth library and MIT-licensed sound fonts; on Debian:
#     apt install libfluidsynth3 fluid-soundfont-gm musescore-general-soundfont-small
# RENDERER=tinysoundfont SOUNDFONTS=file renders it without the library. CODEC=folder uses a trained codec, or that of a
# pipeline. RESULTS=folder packs the pipeline and the log into files below 16 MB.
#
# To test all stages in a few minutes:
#     WORK=runs/try OUTPUT=runs/try/pipeline CLIPS=40 VALIDATION_CLIPS=8 CODEC_CLIPS=40 CODEC_STEPS=20 STEPS=20 \
#         scripts/train_nano.sh
set -euo pipefail
cd "$(dirname "$0")/.."

device=${DEVICE:-cpu}
work=${WORK:-runs/nano}
output=${OUTPUT:-pipelines/jasco-nano}
codec=${CODEC:-$work/codec}
validation_clips=${VALIDATION_CLIPS:-96}
codec_clips=${CODEC_CLIPS:-6000}
codec_steps=${CODEC_STEPS:-6000}
music=(--start "${START:-mixed}" --renderer "${RENDERER:-fluidsynth}")
[ -z "${SOUNDFONTS:-}" ] || music+=(--soundfonts $SOUNDFONTS)

export OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
if [ "$device" = cuda ]; then
    minutes=${MAX_MINUTES:-420}
    clips=${CLIPS:-1000000}
    steps=${STEPS:-1000000}
    # The training and its data loader need cores, too.
    processes=${PROCESSES:-$(($(nproc) > 6 ? $(nproc) - 5 : 1))}
    beside=${BESIDE:-1}
    precision=bf16
    launch=(--num_processes 1)
    on_device=(--no-cpu)
    # 500 steps would take seconds, and each validation saves the best weights.
    model_options=(--compile --batch_size 256 --num_workers 4 --lr_scheduler wsd --total_minutes "$minutes"
        --validate_every 2000)
else
    minutes=${MAX_MINUTES:-120}
    clips=${CLIPS:-30000}
    steps=${STEPS:-28000}
    processes=${PROCESSES:-2}
    beside=${BESIDE:-0}
    # bf16 is many times slower than float32 on CPUs without native support.
    precision=no
    if grep -qE 'avx512_bf16|amx_bf16' /proc/cpuinfo 2>/dev/null; then
        precision=bf16
    fi
    # Two processes with one thread each are faster than one with two threads.
    launch=(--multi_gpu --num_processes 2)
    on_device=(--cpu)
    model_options=()
fi

# Prints the minutes until the end of the leg. On a GPU, there is a minute for the start of the training, and even a
# training that starts after LIMIT_MINUTES does a step, so that there is a pipeline.
minutes_left() {
    awk -v minutes="$minutes" -v passed=$SECONDS -v device="$device" -v limit="${LIMIT_MINUTES:-1000000}" 'BEGIN {
        left = minutes - passed / 60
        if (device == "cuda") {
            left = limit - passed / 60
            if (left > minutes + 1) left = minutes + 1
            if (left < 0.01) left = 0.01
        }
        printf "%.3f", (left > 0 ? left : 0)
    }'
}

# Ends the script if the leg is over.
check_time() {
    if [ "$(minutes_left)" = 0.000 ]; then
        echo "The leg of $minutes minutes is over. The same command continues the run."
        exit 0
    fi
}

# train <precision> <script and its options>
train() {
    check_time
    accelerate launch "${launch[@]}" --num_machines 1 --dynamo_backend no --mixed_precision "$@" "${on_device[@]}" \
        --max_minutes "$(minutes_left)" --resume latest
}

# render_features <split> <number of clips> <maximum number of clips per part> [exec, in a background process]
render_features() {
    check_time
    ${4:-} python scripts/render_features.py --codec "$codec" --output "$work/features/$1" --split "$1" "${music[@]}" \
        --num_clips "$2" --clips_per_part $(($2 < $3 ? $2 : $3)) --processes "$processes" --max_minutes "$(minutes_left)"
}

if [ -z "${CODEC:-}" ]; then
    codec_config=training/configs/codec_spectral.yaml
    rate=$(sed -n 's/^ *sampling_rate: *//p' "$codec_config")
    for split in train:$codec_clips validation:$validation_clips; do
        python scripts/make_synthetic_dataset.py --split "${split%:*}" --num_clips "${split#*:}" --subset both \
            --sampling_rate "$rate" "${music[@]}" --output "$work/music/${split%:*}"
    done
    train no training/train_codec.py --config "$codec_config" --batch_size 4 --max_steps "$codec_steps" \
        --dataset "$work/music/train" --validation_dataset "$work/music/validation" --output "$work/codec"
    check_time
fi

render_features validation "$validation_clips" 8
if [ "$beside" = 1 ]; then
    render_features train "$clips" 128 exec &
    renderer=$!
    trap 'kill "$renderer" 2>/dev/null || true' EXIT
    until [ -f "$work/features/train/parts.json" ]; do
        kill -0 "$renderer"
        sleep 1
    done
else
    render_features train "$clips" 128
    check_time
fi

[ -f "$work/tokenizer/tokenizer_config.json" ] || python training/train_tokenizer.py --synthetic_clips "${TOKENIZER_CLIPS:-2000}" \
    --output "$work/tokenizer"

train "$precision" training/train_jasco.py --config training/configs/nano.yaml --mixed_precision "$precision" \
    --max_steps "$steps" --dataset "$work/features/train" --validation_dataset "$work/features/validation" \
    --codec "$codec" --tokenizer "$work/tokenizer" --output "$work/model" ${model_options[@]+"${model_options[@]}"}
check_time

python scripts/save_half_precision.py --checkpoint "$work/model" --output "$output"

if [ -n "${RESULTS:-}" ]; then
    mkdir -p "$RESULTS"
    tar -c -C "$(realpath "$output")" . -C "$(realpath "$work/model")" log.jsonl config.yaml | split -b 15M - "$RESULTS/nano.tar."
    (cd "$RESULTS" && sha256sum nano.tar.* > nano.sha256)
    echo "To unpack: cat nano.tar.* | tar -x -C FOLDER"
fi
