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

# Runs the GPU tests, the benchmark and the training of jasco-nano on a machine without internet access:
#
#     run.sh <clone of the repository> <folder for results>
#
# The steps are those of SELECT (default: "test benchmark train"), with the time limits TEST_SECONDS, BENCHMARK_SECONDS
# and TRAIN_SECONDS. Each of the four parts of the benchmark starts no measurement after PART_MINUTES. The training
# takes MAX_MINUTES and the time for rendering the first clips and packing its results, for which a minute is left; see
# scripts/train_nano.sh for its other settings.
set -uo pipefail
kit=$(cd "$(dirname "$0")" && pwd)
repository=$(realpath "${1:?usage: run.sh <clone of the repository> <folder for results>}")
mkdir -p "${2:?usage: run.sh <clone of the repository> <folder for results>}"
results=$(realpath "$2")
steps=${SELECT:-test benchmark train}
site=${SITE:-/tmp/jasco-site}

[ -d "$site" ] || "$kit/install.sh" "$site" || exit
echo "packages installed after $SECONDS s"

export PYTHONPATH=$repository/src:$site PATH=$site/bin:$PATH HF_HUB_OFFLINE=1
export DEVICE=${DEVICE:-cuda} RENDERER=tinysoundfont SOUNDFONTS=${SOUNDFONTS:-$(echo "$kit"/*.sf3)}
export CODEC=${CODEC:-pipelines/jasco-nano/codec} MAX_MINUTES=${MAX_MINUTES:-6}
export WORK=${WORK:-/tmp/jasco-run} RESULTS=$results
export OUTPUT=${OUTPUT:-$WORK/pipeline}
cd "$repository" || exit

# step <name> <time limit in seconds> <command>: runs the command if the step is selected, with its output in a log
step() {
    local name=$1 limit=$2 start=$SECONDS
    shift 2
    [[ " $steps " == *" $name "* ]] || return 0
    timeout --signal "${STOP:-TERM}" --kill-after 20 "$limit" "$@" >"$results/$name.log" 2>&1
    echo "$name: exit code $? after $((SECONDS - start)) s"
    tail -n 15 "$results/$name.log" | tr '\r' '\n' | tail -n 15 | cut -c -300
}

# After Ctrl-C, pytest prints the results so far. Files with many tests in a short time come first. Plugins of the machine
# may not fit the kit's pytest.
tests=(tests/gpu/test_codecs.py tests/gpu/test_transformer.py tests/gpu/test_training.py tests/gpu/test_pipeline.py)
GPU_REPORT=$results/test.json STOP=INT step test "${TEST_SECONDS:-300}" \
    env PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python3 -m pytest -q -p pytest_timeout -p no:cacheprovider \
    -m "${TEST_MARKERS:-gpu and not slow}" "${tests[@]}"
step benchmark "${BENCHMARK_SECONDS:-240}" \
    python3 scripts/benchmark_gpu.py --max_minutes "${PART_MINUTES:-0.5}" --output "$results/benchmark.json"
train_seconds=${TRAIN_SECONDS:-$((60 * MAX_MINUTES + 180))}
LIMIT_MINUTES=$((train_seconds / 60 - 1)) step train "$train_seconds" scripts/train_nano.sh
ls -l "$results"
