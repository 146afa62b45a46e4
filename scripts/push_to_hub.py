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


"""
Publishes a pipeline on the Hugging Face Hub, with a card that says how to use it (log in first: `hf auth login`).

    python scripts/push_to_hub.py --checkpoint jasco --repo_id organisation/name --license apache-2.0

A README.md in the checkpoint's folder becomes the repository's card; without one a card is generated.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import torch
from huggingface_hub import HfApi

from diffusers_jasco.commands.conversion import load_as_stored
from diffusers_jasco.utils.arguments import CommandParser
from diffusers_jasco.utils.cli import run_command


def main(args=None):
    parser = CommandParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True, help="folder or Hub id of a pipeline")
    parser.add_argument("--repo_id", required=True, help="where to publish: organisation/name")
    parser.add_argument("--private", action="store_true", help="a repository that only you see")
    parser.add_argument("--license", help="such as apache-2.0; what derives from Meta's weights is cc-by-nc-4.0")
    parser.add_argument("--base_model", help="Hub id of what the weights were converted or trained from")
    parser.add_argument("--standalone", action="store_true", help="loadable with trust_remote_code=True only")
    parser.add_argument("--variant", help="part of the weights' names, such as fp16")
    parser.add_argument(
        "--dtype", choices=["float32", "float16", "bfloat16"], help="of the weights (default: as stored)"
    )
    parser.add_argument("--max_shard_size", help="larger weights are split, for example at 2GB")
    parser.add_argument("--revision", help="branch to write to, made if it does not exist")
    parser.add_argument("--commit_message")
    parser.add_argument("--token", help="default: that of `hf auth login`")
    args = parser.parse_args(args)

    # A missing login or connection shows before anything is loaded.
    HfApi(token=args.token).whoami()
    pipe = load_as_stored(args.checkpoint, args.variant, token=args.token)
    if args.dtype is not None:
        pipe.to(getattr(torch, args.dtype))
    with tempfile.TemporaryDirectory() as folder:
        readme = Path(args.checkpoint, "README.md")
        if readme.is_file():
            shutil.copy(readme, folder)
        pipe.save_pretrained(
            folder,
            variant=args.variant,
            max_shard_size=args.max_shard_size,
            push_to_hub=True,
            repo_id=args.repo_id,
            private=args.private or None,
            license=args.license,
            base_model=args.base_model,
            standalone=args.standalone,
            revision=args.revision,
            commit_message=args.commit_message,
            token=args.token,
        )
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    print(f"{args.repo_id}: published, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    sys.exit(run_command(main, "push_to_hub"))
