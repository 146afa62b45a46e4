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

# Installs the packages of this kit into a folder, without internet access: install.sh <folder>
set -euo pipefail
kit=$(cd "$(dirname "$0")" && pwd)
target=${1:?usage: install.sh <folder>}
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT

(cd "$kit" && sha256sum --check --quiet SHA256SUMS)
python3 -m tarfile --filter data -e "$kit/packages.tar.xz" "$wheels"
python3 -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$target" "$wheels"/*.whl
# The scripts of the repository call `python`, which some machines only have as `python3`.
mkdir -p "$target/bin"
printf '#!/bin/sh\nexec "%s" "$@"\n' "$(command -v python3)" >"$target/bin/python"
chmod +x "$target/bin/python"
