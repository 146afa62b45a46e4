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

# Trains jasco-nano from scratch: music, tokenizer, text encoder, model, and the student that is distilled from it.
# Completed stages are skipped and interrupted ones resume, so the same command also continues a run. OUTPUT is the
# student, with the model as its teacher; STUDENT_STEPS=0 skips the distillation, and OUTPUT is the model.
#
#     DEVICE=cpu    Two processes with one thread each, in legs of at most MAX_MINUTES (default: 120).
#     DEVICE=cuda   One process on the GPU, while the other CPU cores render music, which the training uses as it
#                   appears. The model is trained for MAX_MINUTES (default: 420), and the learning rate decays at the end.
#                   LIMIT_MINUTES stops it that many minutes after the start of the script, wherever it is, also before
#                   the decay. Without a GPU, the script fails.
#
# The music needs the FluidSynth library and MIT-licensed sound fonts; on Debian:
#     apt install libfluidsynth3 fluid-soundfont-gm musescore-general-soundfont-small
# RENDERER=tinysoundfont SOUNDFONTS=file renders it without the library. (The font in that renderer's package is under
# the GPL, so it is not the default here.) REMIXES variants of each clip (default: 0.1) have other levels of their stems.
# CODEC=folder uses another codec, or that of a pipeline. RESULTS=folder packs the pipeline and the log into files below
# 16 MB.
#
# To test all stages in a few minutes:
#     WORK=runs/try OUTPUT=runs/try/pipeline CLIPS=40 VALIDATION_CLIPS=8 STEPS=20 STUDENT_STEPS=4 \
#         scripts/train_nano.sh
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "train_nano.sh: $*" >&2
    exit 2
}

device=${DEVICE:-cpu}
work=${WORK:-runs/nano}
output=${OUTPUT:-$work/pipeline}
codec=${CODEC:-pipelines/jasco-nano/codec}
validation_clips=${VALIDATION_CLIPS:-96}
remixes=${REMIXES:-0.1}
student_steps=${STUDENT_STEPS:-470}
music=(--start "${START:-mixed}" --renderer "${RENDERER:-fluidsynth}")
if [ "${RENDERER:-}" = tinysoundfont ] && [ -z "${SOUNDFONTS:-}" ]; then
    fail "SOUNDFONTS has to be set with RENDERER=tinysoundfont, because the font in its package is under the GPL."
fi
[ -z "${SOUNDFONTS:-}" ] || music+=(--soundfonts $SOUNDFONTS)

export OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
if [ "$device" = cuda ]; then
    python -c 'import torch; raise SystemExit(not torch.cuda.is_available())' ||
        fail "DEVICE is cuda, but PyTorch finds no CUDA device."
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
    model_options=(--compile --batch_size 256 --num_workers 4 --total_minutes "$minutes"
        --validate_every 2000)
    student_options=(--batch_size 192 --num_workers 4 --learning_rate 1e-3 --muon_learning_rate 2e-3
        --ema_decay 0.97)
elif [ "$device" = cpu ]; then
    minutes=${MAX_MINUTES:-120}
    clips=${CLIPS:-30000}
    steps=${STEPS:-48000}
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
    student_options=()
else
    fail "DEVICE has to be cpu or cuda, but is $device."
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

# render_features <split> <number of clips> <maximum number of clips per part> <remixes> [exec, in a background process]
render_features() {
    check_time
    ${5:-} python scripts/render_features.py --codec "$codec" --output "$work/features/$1" --split "$1" "${music[@]}" \
        --num_clips "$2" --clips_per_part $(($2 < $3 ? $2 : $3)) --remixes "$4" --processes "$processes" \
        --max_minutes "$(minutes_left)"
}

render_features validation "$validation_clips" 8 0
if [ "$beside" = 1 ]; then
    render_features train "$clips" 128 "$remixes" exec &
    renderer=$!
    trap 'kill "$renderer" 2>/dev/null || true' EXIT
    until [ -f "$work/features/train/parts.json" ]; do
        kill -0 "$renderer"
        sleep 1
    done
else
    render_features train "$clips" 128 "$remixes"
    check_time
fi

[ -f "$work/tokenizer/tokenizer_config.json" ] || python training/train_tokenizer.py --synthetic_clips "${TOKENIZER_CLIPS:-2000}" \
    --output "$work/tokenizer"

check_time
if [ ! -f "$work/text_encoder/config.json" ]; then
    rm -rf "$work/text_encoder.partial"
    python training/train_text_encoder.py --tokenizer "$work/tokenizer" --output "$work/text_encoder.partial" \
        --num_clips "${TEXT_ENCODER_CLIPS:-20000}" --max_steps "${TEXT_ENCODER_STEPS:-4000}" --processes "$processes"
    mv "$work/text_encoder.partial" "$work/text_encoder"
fi

check_time
accelerate launch "${launch[@]}" --quiet --num_machines 1 --dynamo_backend no --mixed_precision "$precision" \
    training/train_jasco.py --config training/configs/nano.yaml --mixed_precision "$precision" --max_steps "$steps" \
    --dataset "$work/features/train" --validation_dataset "$work/features/validation" --codec "$codec" \
    --tokenizer "$work/tokenizer" --text_encoder "$work/text_encoder" --output "$work/model" "${on_device[@]}" ${model_options[@]+"${model_options[@]}"} \
    --max_minutes "$(minutes_left)" --resume latest
check_time

if [ "$student_steps" = 0 ]; then
    python scripts/save_half_precision.py --checkpoint "$work/model" --output "$output"
else
    accelerate launch "${launch[@]}" --quiet --num_machines 1 --dynamo_backend no --mixed_precision "$precision" \
        training/train_jasco_distill.py --config training/configs/nano_student.yaml --mixed_precision "$precision" \
        --max_steps "$student_steps" --teacher "$work/model" --dataset "$work/features/train" \
        --validation_dataset "$work/features/validation" --output "$work/student" "${on_device[@]}" \
        ${student_options[@]+"${student_options[@]}"} --max_minutes "$(minutes_left)" --resume latest
    check_time
    python scripts/save_half_precision.py --checkpoint "$work/student" --teacher "$work/model" --output "$output"
fi

if [ -n "${RESULTS:-}" ]; then
    mkdir -p "$RESULTS"
    tar -c -C "$(realpath "$output")" . -C "$(realpath "$work/model")" log.jsonl config.yaml | split -b 15M - "$RESULTS/nano.tar."
    (cd "$RESULTS" && sha256sum nano.tar.* > nano.sha256)
    echo "To unpack: cat nano.tar.* | tar -x -C FOLDER"
fi
