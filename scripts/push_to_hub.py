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
Publishes a pipeline with a model card on the Hugging Face Hub (log in first: `hf auth login`).

    python scripts/push_to_hub.py --checkpoint jasco --repo_id organization/name --license apache-2.0

A README.md in the checkpoint's folder becomes the model card. Without one, a card is generated.
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
    parser.add_argument("--repo_id", required=True, help="repository to publish: organization/name")
    parser.add_argument("--private", action="store_true", help="make the repository private")
    parser.add_argument(
        "--license", help="license, such as apache-2.0; has to be cc-by-nc-4.0 for derivatives of Meta's weights"
    )
    parser.add_argument("--base_model", help="Hub id of the model that the weights were converted or trained from")
    parser.add_argument(
        "--standalone",
        action="store_true",
        help="make the pipeline loadable without an import of diffusers_jasco, but only with trust_remote_code=True",
    )
    parser.add_argument("--variant", help="variant of the weights, such as fp16")
    parser.add_argument(
        "--dtype", choices=["float32", "float16", "bfloat16"], help="data type of the weights (default: as stored)"
    )
    parser.add_argument("--max_shard_size", help="maximum size of weight files, such as 2GB")
    parser.add_argument("--revision", help="branch to push to; created if it does not exist")
    parser.add_argument("--commit_message")
    parser.add_argument("--token", help="Hub token (default: that of `hf auth login`)")
    args = parser.parse_args(args)

    # Fails early without login or connection.
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
