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

"""Tiny real components that need no download: tokenizers built from a literal vocabulary."""

import torch
from transformers import EncodecConfig, EncodecModel, T5Config, T5EncoderModel, T5Tokenizer


def t5_tokenizer():
    """A real `T5Tokenizer` (Unigram) over printable ASCII: every prompt tokenizes, no `<unk>`."""
    pieces = ["<pad>", "</s>", "<unk>", "▁"]
    pieces += [chr(c) for c in range(33, 127)] + ["▁" + chr(c) for c in range(97, 123)]
    return T5Tokenizer(vocab=[(p, 0.0 if i < 3 else -float(i)) for i, p in enumerate(pieces)], extra_ids=0)


def t5_encoder(vocab_size, d_model=16):
    torch.manual_seed(0)
    config = T5Config(vocab_size=vocab_size, d_model=d_model, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    return T5EncoderModel(config).eval()


def encodec(latent_dim=8, sampling_rate=32):
    """EnCodec at toy size: 4 samples per latent frame, i.e. 8 frames/s at 32 Hz (the real one: 640 at 32 kHz)."""
    torch.manual_seed(0)
    config = EncodecConfig(
        hidden_size=latent_dim,
        codebook_dim=latent_dim,
        codebook_size=16,
        num_filters=4,
        upsampling_ratios=[2, 2],
        num_lstm_layers=1,
        sampling_rate=sampling_rate,
        target_bandwidths=[0.032],
        use_causal_conv=False,
    )
    return EncodecModel(config).eval()
