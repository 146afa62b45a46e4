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

import functools
import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.hooks._helpers import TransformerBlockMetadata, TransformerBlockRegistry
from diffusers.loaders import PeftAdapterMixin
from diffusers.models.activations import get_activation
from diffusers.models.attention import AttentionMixin, AttentionModuleMixin
from diffusers.models.attention_dispatch import AttentionBackendName, dispatch_attention_fn
from diffusers.models.cache_utils import CacheMixin
from diffusers.models.embeddings import (
    TimestepEmbedding,
    Timesteps,
    apply_rotary_emb,
    get_1d_rotary_pos_embed,
)
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.normalization import RMSNorm
from diffusers.utils.peft_utils import apply_lora_scale
from torch import nn

from ..controls import CONTROLS, null_value
from ..controls.beats import NUM_BEAT_CHANNELS
from ..controls.chord_labels import default_chord_labels
from ..controls.melody import MELODY_BINS


# Flash and Sage attention refuse masks, and others misread boolean ones: xFormers adds them to the scores.
_WITH_MASKS = (
    AttentionBackendName.NATIVE,
    AttentionBackendName._NATIVE_CUDNN,
    AttentionBackendName._NATIVE_EFFICIENT,
    AttentionBackendName._NATIVE_MATH,
)


class JascoAttnProcessor:
    _attention_backend = None
    _parallel_config = None

    def __call__(
        self,
        attn: "JascoAttention",
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        rotary_emb: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        source = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        if attn.fused_projections and attn.is_cross_attention:
            query, (key, value) = attn.to_q(hidden_states), attn.to_kv(source).chunk(2, dim=-1)
        elif attn.fused_projections:
            query, key, value = attn.to_qkv(hidden_states).chunk(3, dim=-1)
        else:
            query, key, value = attn.to_q(hidden_states), attn.to_k(source), attn.to_v(source)

        query, key, value = (states.unflatten(-1, (attn.heads, attn.head_dim)) for states in (query, key, value))
        if attn.norm_q is not None and attn.norm_k is not None:
            # Under autocast, the norms return float32.
            query, key = attn.norm_q(query).to(value.dtype), attn.norm_k(key).to(value.dtype)
        if rotary_emb is not None:
            query, key = (
                apply_rotary_emb(states, rotary_emb, use_real_unbind_dim=-2, sequence_dim=1) for states in (query, key)
            )
        backend = self._attention_backend
        if attention_mask is not None and backend not in _WITH_MASKS:
            backend = AttentionBackendName.NATIVE
        dtype = query.dtype
        in_float32: AbstractContextManager = nullcontext()
        if query.device.type == "cpu" and query.dtype == torch.bfloat16 and query.requires_grad:
            # On CPUs, PyTorch's backward pass of the attention is several times slower in bfloat16 than in float32.
            query, key, value = query.float(), key.float(), value.float()
            in_float32 = torch.autocast("cpu", enabled=False)
        with in_float32:
            hidden_states = dispatch_attention_fn(
                query,
                key,
                value,
                attn_mask=attention_mask,
                backend=backend,
                parallel_config=self._parallel_config,
            )
        hidden_states = hidden_states.flatten(2, 3).to(dtype)
        return attn.to_out[1](attn.to_out[0](hidden_states))


class JascoAttention(nn.Module, AttentionModuleMixin):
    _default_processor_cls = JascoAttnProcessor
    _available_processors = [JascoAttnProcessor]
    processor: JascoAttnProcessor
    # Created by `fuse_projections`.
    to_qkv: nn.Linear
    to_kv: nn.Linear

    def __init__(
        self,
        dim: int,
        heads: int,
        head_dim: int,
        bias: bool = False,
        dropout: float = 0.0,
        is_cross_attention: bool = False,
        qk_norm: str | None = None,
        processor: JascoAttnProcessor | None = None,
    ):
        super().__init__()
        self.heads = heads
        self.head_dim = head_dim
        self.use_bias = bias
        self.is_cross_attention = is_cross_attention

        inner_dim = heads * head_dim
        self.to_q = nn.Linear(dim, inner_dim, bias=bias)
        self.to_k = nn.Linear(dim, inner_dim, bias=bias)
        self.to_v = nn.Linear(dim, inner_dim, bias=bias)
        self.norm_q = RMSNorm(head_dim, eps=1e-6) if qk_norm is not None else None
        self.norm_k = RMSNorm(head_dim, eps=1e-6) if qk_norm is not None else None
        self.to_out = nn.ModuleList([nn.Linear(inner_dim, dim, bias=bias), nn.Dropout(dropout)])
        self.set_processor(processor if processor is not None else self._default_processor_cls())  # type: ignore[operator]

    def forward(
        self,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        rotary_emb: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        return self.processor(self, hidden_states, encoder_hidden_states, attention_mask, rotary_emb)


class JascoTransformerBlock(nn.Module):
    """
    Self-attention, cross-attention and a feed-forward network, each preceded (`pre_norm`) or followed by a layer norm.

    A block in the second half of a U-Net transformer (`skip_connection=True`) first merges the output of its mirror
    block. The merge is part of the block, so that block caches skip it and a device map keeps it on one device.

    With `norm_type="ada_norm_single"`, the outputs of the layer norms are scaled and shifted depending on the time.
    """

    def __init__(
        self,
        dim: int,
        num_attention_heads: int,
        attention_head_dim: int,
        ff_inner_dim: int,
        activation_fn: str = "gelu",
        dropout: float = 0.0,
        attention_bias: bool = False,
        ff_bias: bool = False,
        pre_norm: bool = True,
        skip_connection: bool = False,
        norm_type: str = "layer_norm",
        qk_norm: str | None = None,
    ):
        super().__init__()
        self.pre_norm = pre_norm
        self.skip_proj = nn.Linear(2 * dim, dim) if skip_connection else None
        self.scale_shift_table = nn.Parameter(torch.zeros(6, dim)) if norm_type == "ada_norm_single" else None

        heads = (num_attention_heads, attention_head_dim)
        options: dict[str, Any] = {"bias": attention_bias, "dropout": dropout, "qk_norm": qk_norm}
        self.norm1 = nn.LayerNorm(dim)
        self.attn1 = JascoAttention(dim, *heads, **options)
        self.norm2 = nn.LayerNorm(dim)
        self.attn2 = JascoAttention(dim, *heads, **options, is_cross_attention=True)
        self.norm3 = nn.LayerNorm(dim)
        self.ff_in = nn.Linear(dim, ff_inner_dim, bias=ff_bias)
        self.ff_out = nn.Linear(ff_inner_dim, dim, bias=ff_bias)
        self.activation = get_activation(activation_fn)
        self.dropout = nn.Dropout(dropout)

    def feed_forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.ff_out(self.dropout(self.activation(self.ff_in(hidden_states)))))

    def forward(
        self,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        encoder_attention_mask: torch.Tensor | None = None,
        skip: torch.Tensor | None = None,
        rotary_emb: tuple[torch.Tensor, torch.Tensor] | None = None,
        modulation: torch.Tensor | None = None,
    ) -> torch.Tensor:
        if self.skip_proj is not None:
            hidden_states = self.skip_proj(torch.cat([hidden_states, skip], dim=-1))  # type: ignore[list-item]

        if self.pre_norm:
            changes: list[torch.Tensor | None] = [None] * 6
            if self.scale_shift_table is not None and modulation is not None:
                changes = list((self.scale_shift_table + modulation).to(hidden_states.dtype)[:, :, None].unbind(1))
            scales, shifts = changes[::2], changes[1::2]
            states = _modulate(self.norm1(hidden_states), scales[0], shifts[0])
            hidden_states = hidden_states + self.attn1(states, rotary_emb=rotary_emb)
            states = _modulate(self.norm2(hidden_states), scales[1], shifts[1])
            hidden_states = hidden_states + self.attn2(states, encoder_hidden_states, encoder_attention_mask)
            return hidden_states + self.feed_forward(_modulate(self.norm3(hidden_states), scales[2], shifts[2]))

        # As in AudioCraft, the cross-attention's query is the layer's input, not the output of the self-attention.
        query = hidden_states
        hidden_states = self.norm1(hidden_states + self.attn1(hidden_states, rotary_emb=rotary_emb))
        hidden_states = self.norm2(hidden_states + self.attn2(query, encoder_hidden_states, encoder_attention_mask))
        return self.norm3(hidden_states + self.feed_forward(hidden_states))


def _modulate(states: torch.Tensor, scale: torch.Tensor | None, shift: torch.Tensor | None) -> torch.Tensor:
    return states if scale is None or shift is None else states * (1 + scale) + shift


# Block metadata for First Block Cache and similar hooks.
TransformerBlockRegistry.register(JascoTransformerBlock, TransformerBlockMetadata(return_hidden_states_index=0))


def _zero_initialized(layer: nn.Linear) -> nn.Linear:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class JascoTransformerModel(ModelMixin, ConfigMixin, AttentionMixin, PeftAdapterMixin, CacheMixin):
    r"""
    The flow-matching transformer of JASCO ([arXiv 2406.10970](https://arxiv.org/abs/2406.10970), §3): predicts the
    velocity of normalized audio latents from text (cross-attention) and from chords, drums and melody, which are
    concatenated to the latents frame by frame, in this order. The options from `position_embedding` on are not part of
    AudioCraft's JASCO, and off by default.

    This model inherits from [`ModelMixin`]. The defaults are those of Meta's 400M models with chords, drums and
    melody. A control whose dimension is `None` is not supported by the checkpoint.

    Args:
        in_channels (`int`, defaults to `128`):
            Channels of the codec's latents.
        num_layers (`int`, defaults to `24`):
            Number of transformer blocks; has to be even with `skip_connections`.
        num_attention_heads (`int`, defaults to `16`):
            Number of attention heads. The model's width `num_attention_heads * attention_head_dim` has to be even.
        attention_head_dim (`int`, defaults to `64`):
            Channels per head.
        ff_inner_dim (`int`, defaults to `4096`):
            Inner width of the feed-forward networks.
        text_dim (`int`, defaults to `768`):
            Width of the text encoder's hidden states.
        time_embed_dim (`int`, defaults to `128`):
            Width of the sinusoidal time embedding; the following layers are four times as wide.
        chords_dim (`int`, *optional*, defaults to `16`):
            Width of the chord embedding, or `None` for a model without chords.
        drums_dim (`int`, *optional*, defaults to `2`):
            Width to which drum latents are projected, or `None` for a model without drums.
        melody_dim (`int`, *optional*, defaults to `16`):
            Width to which the melody matrix is projected, or `None` for a model without melody.
        melody_bins (`int`, defaults to `53`):
            Rows of the melody matrix: one per semitone.
        chord_labels (`list[str]`, *optional*):
            The chord vocabulary in the order of its ids, by default Chordino's 193 labels and `"UNK"`. The id after
            the last one is the learned "no chord condition".
        drums_blur (`int`, defaults to `3`):
            Number of consecutive frames over which drum latents are averaged before they reach the model.
        skip_connections (`bool`, defaults to `False`):
            Whether the blocks of the second half also get the outputs of those of the first half (U-Net).
        pre_norm (`bool`, defaults to `True`):
            Whether layer norms precede the attentions and feed-forward networks (with one more after the last block)
            instead of following them.
        attention_bias (`bool`, defaults to `False`):
            Whether the attention projections have biases.
        ff_bias (`bool`, defaults to `False`):
            Whether the feed-forward networks have biases.
        out_bias (`bool`, defaults to `False`):
            Whether the output projection has a bias.
        activation_fn (`str`, defaults to `"gelu"`):
            Activation function of the feed-forward networks.
        dropout (`float`, defaults to `0.0`):
            Dropout rate of attentions and feed-forward networks.
        sample_size (`int`, defaults to `500`):
            Number of latent frames in a training clip.
        latents_mean (`float` or `list[float]`, defaults to `-0.0074`):
            Mean of the codec's latents over the training data, overall or per channel: `latents = (codec latents -
            mean) / std`.
        latents_std (`float` or `list[float]`, defaults to `4.0102`):
            Standard deviation of the codec's latents over the training data, overall or per channel.
        preconditioning (`float` or `list[float]`, *optional*):
            Standard deviation s of the normalized latents, overall or per channel; useful for small models, and not
            part of AudioCraft. With it, the network only learns the residual of a linear prediction: the velocity is
            `c(t) z + network(z, t)` with `c(t) = (t s² - (1 - t)) / (t² s² + (1 - t)²)`, the optimal factor for data
            of variance s². `forward` returns the velocity in either case.
        time_scale (`float`, defaults to `1.0`):
            Factor applied to the time before its sinusoidal embedding. AudioCraft uses 1, which distinguishes only
            some tens of times; 1000 is common elsewhere.
        drums_loudness (`float`, *optional*):
            Loudness in LUFS to which drum recordings are normalized before encoding, close to that of the training
            data. By default, they are not normalized. It does not affect the network.
        music_loudness (`float`, *optional*):
            Loudness in LUFS to which recordings are normalized while they are edited, close to that of the training data.
            By default, they are not normalized. It does not affect the network.
        position_embedding (`str`, defaults to `"sinusoidal"`):
            `"sinusoidal"`: absolute positions, added to the input, as in AudioCraft; `"rotary"`: relative positions in
            the self-attentions ([arXiv 2104.09864](https://arxiv.org/abs/2104.09864)), which let the model
            copy repetitions by their distance. The periods are between 2π frames and four times `sample_size`.
        norm_type (`str`, defaults to `"layer_norm"`):
            With `"ada_norm_single"`, the time also scales and shifts the outputs of the blocks' layer norms, by one
            layer for all blocks and a table per block, both initialized with zeros (PixArt-α,
            [arXiv 2310.00426](https://arxiv.org/abs/2310.00426), §2.3). Requires `pre_norm`.
        qk_norm (`str`, *optional*):
            `"rms_norm"` normalizes the queries and keys of each head.
        presence_bits (`bool`, defaults to `False`):
            Whether the model knows for each frame which of chords, drums and melody are given (a layer that is
            initialized with zeros). A rest in the melody then differs from a frame whose melody is free; the latter is
            -1 in all bins (see `null_controls`).
        beats (`bool`, defaults to `False`):
            Whether the model supports the control `beats`: the position in the beat and in the bar, see
            [`~controls.beats.phases_to_frames`]. Its layer is initialized with zeros, and its output is added to that
            of the input projection.
        context (`bool`, defaults to `False`):
            Whether the model is told which frames are known, and their latents, as it needs to fill regions of a
            recording and to continue one (supervised inpainting). The layer is initialized with zeros, and its output is
            added to that of the input projection.
        training_options (`dict`, *optional*):
            Training options of the checkpoint, which continued training inherits; unused at inference.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules = ["JascoTransformerBlock"]
    _repeated_blocks = ["JascoTransformerBlock"]
    _skip_layerwise_casting_patterns = ["time_embed", "time_modulation", "chord_embedding", "norm"]

    @register_to_config
    def __init__(
        self,
        in_channels: int = 128,
        num_layers: int = 24,
        num_attention_heads: int = 16,
        attention_head_dim: int = 64,
        ff_inner_dim: int = 4096,
        text_dim: int = 768,
        time_embed_dim: int = 128,
        chords_dim: int | None = 16,
        drums_dim: int | None = 2,
        melody_dim: int | None = 16,
        melody_bins: int = MELODY_BINS,
        chord_labels: list[str] | None = None,
        drums_blur: int = 3,
        skip_connections: bool = False,
        pre_norm: bool = True,
        attention_bias: bool = False,
        ff_bias: bool = False,
        out_bias: bool = False,
        activation_fn: str = "gelu",
        dropout: float = 0.0,
        sample_size: int = 500,
        latents_mean: float | list[float] = -0.0074,
        latents_std: float | list[float] = 4.0102,
        preconditioning: float | list[float] | None = None,
        time_scale: float = 1.0,
        drums_loudness: float | None = None,
        music_loudness: float | None = None,
        position_embedding: str = "sinusoidal",
        norm_type: str = "layer_norm",
        qk_norm: str | None = None,
        presence_bits: bool = False,
        beats: bool = False,
        context: bool = False,
        training_options: dict[str, Any] | None = None,
    ):
        super().__init__()
        for option, value, values in (
            ("position_embedding", position_embedding, ("sinusoidal", "rotary")),
            ("norm_type", norm_type, ("layer_norm", "ada_norm_single")),
            ("qk_norm", qk_norm, (None, "rms_norm")),
        ):
            if value not in values:
                raise ValueError(f"`{option}` has to be {' or '.join(map(repr, values))}, but is {value!r}.")
        for option, switch in (
            ("skip_connections", skip_connections),
            ("pre_norm", pre_norm),
            ("attention_bias", attention_bias),
            ("ff_bias", ff_bias),
            ("out_bias", out_bias),
            ("presence_bits", presence_bits),
            ("beats", beats),
            ("context", context),
        ):
            if not isinstance(switch, bool):
                raise ValueError(f"`{option}` has to be True or False, but is {switch!r}.")
        if norm_type == "ada_norm_single" and not pre_norm:
            raise ValueError('`norm_type="ada_norm_single"` requires `pre_norm`.')
        if position_embedding == "rotary" and attention_head_dim % 2:
            raise ValueError(
                f"`attention_head_dim` has to be even with rotary positions, but is {attention_head_dim}."
            )
        if presence_bits and chords_dim is None and drums_dim is None and melody_dim is None:
            raise ValueError("`presence_bits` requires chords, drums or melody.")
        if skip_connections and num_layers % 2:
            raise ValueError(f"`num_layers` has to be even with `skip_connections`, but is {num_layers}.")
        dim = num_attention_heads * attention_head_dim
        if dim % 2:
            raise ValueError(f"The width `num_attention_heads * attention_head_dim` has to be even, but is {dim}.")
        if chords_dim is not None and chord_labels is None:
            chord_labels = default_chord_labels()
            self.register_to_config(chord_labels=chord_labels)

        # 1. Controls: each adds a few channels to the latents
        self.chord_embedding = (
            nn.Embedding(len(chord_labels or ()) + 1, chords_dim) if chords_dim is not None else None
        )
        self.drums_proj = nn.Linear(in_channels, drums_dim) if drums_dim is not None else None
        self.melody_proj = nn.Linear(melody_bins, melody_dim) if melody_dim is not None else None
        widths = [width for width in (chords_dim, drums_dim, melody_dim) if width is not None]

        # 2. Text and time: the time is added to every position of the text
        self.text_proj = nn.Linear(text_dim, dim)
        self.time_proj = Timesteps(time_embed_dim, flip_sin_to_cos=False, downscale_freq_shift=1)
        self.time_embed = TimestepEmbedding(time_embed_dim, 4 * time_embed_dim)
        self.time_embed_proj = nn.Linear(4 * time_embed_dim, dim)
        self.time_modulation = (
            _zero_initialized(nn.Linear(4 * time_embed_dim, 6 * dim)) if norm_type == "ada_norm_single" else None
        )

        # 3. Transformer
        self.pos_embed = Timesteps(dim, flip_sin_to_cos=True, downscale_freq_shift=1)
        self.proj_in = nn.Linear(in_channels + sum(widths), dim, bias=False)
        self.presence_proj = _zero_initialized(nn.Linear(len(widths), dim, bias=False)) if presence_bits else None
        self.beats_proj = _zero_initialized(nn.Linear(NUM_BEAT_CHANNELS, dim, bias=False)) if beats else None
        # One more channel for the mask.
        self.context_proj = _zero_initialized(nn.Linear(in_channels + 1, dim, bias=False)) if context else None
        self.transformer_blocks = nn.ModuleList(
            [
                JascoTransformerBlock(
                    dim,
                    num_attention_heads,
                    attention_head_dim,
                    ff_inner_dim,
                    activation_fn=activation_fn,
                    dropout=dropout,
                    attention_bias=attention_bias,
                    ff_bias=ff_bias,
                    pre_norm=pre_norm,
                    skip_connection=skip_connections and layer >= num_layers // 2,
                    norm_type=norm_type,
                    qk_norm=qk_norm,
                )
                for layer in range(num_layers)
            ]
        )
        self.norm_out = nn.LayerNorm(dim) if pre_norm else nn.Identity()
        self.proj_out = nn.Linear(dim, in_channels, bias=out_bias)

        if preconditioning is not None:
            self._variance = torch.tensor(preconditioning, dtype=torch.float32, device="cpu").square()

        self.gradient_checkpointing = False

    @property
    def controls(self) -> tuple[str, ...]:
        """The controls of this checkpoint, in the order of [`~controls.CONTROLS`]."""
        return tuple(name for name in CONTROLS if self._control_layer(name) is not None)

    @property
    def null_controls(self) -> dict[str, int]:
        """For each control of this checkpoint, the value of a frame without the control."""
        nulls = {name: null_value(name, self.config.chord_labels) for name in self.controls}
        return nulls | {"melody": -1} if self.presence_proj is not None and "melody" in nulls else nulls

    def control_shape(self, name: str) -> tuple[int, ...]:
        """The shape of one frame of a control: `()` for chord ids, otherwise `(channels,)`."""
        return () if name == "chords" else (self._control_layer(name).in_features,)

    def _control_layer(self, name: str) -> Any:
        """The layer that embeds a control."""
        return self.chord_embedding if name == "chords" else getattr(self, f"{name}_proj")

    # `wraps` because pipelines inspect the argument names, such as `variant`.
    @functools.wraps(ModelMixin.save_pretrained)
    def save_pretrained(self, *args: Any, **kwargs: Any):
        # LoRA layers rename the weights that they wrap, so a file saved with them would load as random weights.
        if self._has_lora_layers:
            raise ValueError(
                "The transformer can't be saved with LoRA layers: call `pipe.unload_lora_weights()` first, and"
                " `pipe.fuse_lora()` before that to keep their effect. `save_lora_weights` saves the LoRA."
            )
        super().save_pretrained(*args, **kwargs)

    @functools.wraps(PeftAdapterMixin.save_lora_adapter)
    def save_lora_adapter(self, save_directory: Any, adapter_name: str = "default", *args: Any, **kwargs: Any):
        # The words of a LoRA belong to the text encoder, so Diffusers would omit them.
        words = getattr(self, "lora_words", None)
        if words is not None and words.adapters.get(adapter_name):
            raise ValueError(
                f"The LoRA {adapter_name!r} has new words, which `save_lora_adapter` can't save. Use"
                " `JascoPipeline.save_lora_weights(folder, transformer, adapter_name=...)` instead."
            )
        super().save_lora_adapter(save_directory, adapter_name, *args, **kwargs)

    def fuse_qkv_projections(self):
        r"""
        Like [`AttentionMixin.fuse_qkv_projections`].

        Raises:
            `ValueError`: if a LoRA is loaded, which would be silently lost.
        """
        if self._has_lora_layers:
            raise ValueError(
                "Projections can't be fused with LoRA layers: before `fuse_qkv_projections`, call `pipe.fuse_lora()` (to"
                " keep their effect) and `pipe.unload_lora_weights()`."
            )
        super().fuse_qkv_projections()

    @property
    def _has_lora_layers(self) -> bool:
        return any(".base_layer." in name for name, _ in self.named_parameters())

    def rotary_embedding(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines of the rotary positions of frames, each of shape `(frames, attention_head_dim)`."""
        dim = self.config.attention_head_dim
        # The slowest of the dim / 2 rotations has the angular frequency theta^(2 / dim - 1).
        theta = (4 * self.config.sample_size / (2 * math.pi)) ** (dim / max(dim - 2, 1))
        return get_1d_rotary_pos_embed(dim, positions, theta, use_real=True, repeat_interleave_real=False)

    def linear_factor(self, timestep: torch.Tensor) -> torch.Tensor:
        """
        Returns `c(t)` of `preconditioning`, of shape `(batch, 1, 1)` or `(batch, 1, in_channels)`: the factor for
        which `c(t) z_t` is closest to the velocity. It increases from −1 (noise) to 1 (data).
        """
        time = timestep.float()[:, None, None]
        if self._variance.device != time.device:
            # Cached on the device to avoid a synchronizing copy per evaluation; not a buffer, which `to(dtype)` would
            # cast.
            self._variance = self._variance.to(time.device)
        variance = self._variance
        return (time * variance - (1 - time)) / (time**2 * variance + (1 - time) ** 2)

    def embed_frames(
        self,
        hidden_states: torch.Tensor,
        controls: dict[str, torch.Tensor | None],
        context: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Projects the latents, the controls or their nulls, and the context to the width of the blocks."""
        shape, dtype = hidden_states.shape[:2], hidden_states.dtype
        for name, control in controls.items():
            if control is None:
                continue
            if name not in self.controls:
                raise ValueError(
                    f"`{name}` was given, but this checkpoint does not support it, only: {self.controls or 'none'}."
                )
            if control.shape != (*shape, *self.control_shape(name)):
                raise ValueError(
                    f"`{name}` has to have shape {(*shape, *self.control_shape(name))}, with the batch size and frames of"
                    f" `hidden_states`, but has {tuple(control.shape)}."
                )

        nulls = self.null_controls
        beats = controls.get("beats")
        channels, presence = [hidden_states], []
        for name in (name for name in nulls if name != "beats"):
            control, frame_shape = controls.get(name), self.control_shape(name)
            if control is None:
                control = torch.full((*shape, *frame_shape), nulls[name], device=hidden_states.device)
            if self.presence_proj is not None:
                is_given = control != nulls[name]
                presence.append(is_given.any(dim=-1) if frame_shape else is_given)
                if name == "melody":
                    control = control.clamp(min=0)
            # Chord ids stay integers.
            control = control.to(dtype) if frame_shape else control
            channels.append(self._control_layer(name)(control).to(dtype))
        hidden_states = self.proj_in(torch.cat(channels, dim=-1))
        if self.presence_proj is not None and presence:
            hidden_states = hidden_states + self.presence_proj(torch.stack(presence, dim=-1).to(dtype))
        if self.beats_proj is not None and beats is not None:
            hidden_states = hidden_states + self.beats_proj(beats.to(dtype))
        if context is not None:
            hidden_states = hidden_states + self._embed_context(context, hidden_states)
        return hidden_states

    def _embed_context(self, context: torch.Tensor, hidden_states: torch.Tensor) -> torch.Tensor:
        """Projects the context to the width of the blocks, in the dtype of `hidden_states`."""
        if self.context_proj is None:
            raise ValueError("`context` was given, but this checkpoint does not support it.")
        shape = (*hidden_states.shape[:2], self.config.in_channels + 1)
        if context.shape != shape:
            raise ValueError(
                f"`context` has to have shape {shape}, with the batch size and frames of `hidden_states`, but has"
                f" {tuple(context.shape)}."
            )
        return self.context_proj(context.to(hidden_states.dtype))

    @apply_lora_scale("attention_kwargs")
    def forward(
        self,
        hidden_states: torch.Tensor,
        timestep: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        encoder_attention_mask: torch.Tensor | None = None,
        chords: torch.Tensor | None = None,
        drums: torch.Tensor | None = None,
        melody: torch.Tensor | None = None,
        beats: torch.Tensor | None = None,
        context: torch.Tensor | None = None,
        text_mask: torch.Tensor | None = None,
        attention_kwargs: dict | None = None,
        return_dict: bool = True,
    ) -> Transformer2DModelOutput | tuple[torch.Tensor]:
        r"""
        Args:
            hidden_states (`torch.Tensor` of shape `(batch, frames, in_channels)`):
                Noisy normalized latents.
            timestep (`torch.Tensor` of shape `(batch,)`):
                Flow-matching time in `[0, 1]`, where 0 is noise and 1 is data.
            encoder_hidden_states (`torch.Tensor` of shape `(batch, tokens, text_dim)`):
                Hidden states of the text encoder.
            encoder_attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*):
                `True` (or 1) where a token is attended to, for batches of prompts of different lengths. A row without
                such tokens is the null text. By default all tokens are attended to.
            chords (`torch.Tensor` of shape `(batch, frames)`, *optional*):
                Chord ids: indices into `config.chord_labels`, or `null_controls["chords"]` for frames without the
                condition. `None` is the null condition for the whole batch.
            drums (`torch.Tensor` of shape `(batch, frames, in_channels)`, *optional*):
                Drum latents; zeros or `None` are the null condition.
            melody (`torch.Tensor` of shape `(batch, frames, melody_bins)`, *optional*):
                Melody matrix; `null_controls["melody"]` (0, which is also a rest, or -1 with `presence_bits`) in all
                bins or `None` is the null condition.
            beats (`torch.Tensor` of shape `(batch, frames, 5)`, *optional*):
                Beat grid, as from [`~controls.beats.phases_to_frames`]; zeros or `None` are the null condition.
            context (`torch.Tensor` of shape `(batch, frames, in_channels + 1)`, *optional*):
                The normalized latents of known frames, zeros in all others, and a mask as the last channel: 1 where the
                frame is known. Zeros or `None` mean that nothing is known.
            text_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*):
                `True` (or 1) where a token is text. Other tokens are null tokens: since they are masked after the
                projection, as in AudioCraft, the blocks get zero vectors plus the time embedding. A row of null tokens
                is the null text. Defaults to `encoder_attention_mask`.
            attention_kwargs (`dict`, *optional*):
                `{"scale": float}` scales the LoRA layers.
            return_dict (`bool`, defaults to `True`):
                Whether to return a [`~models.modeling_outputs.Transformer2DModelOutput`] instead of a plain tuple.

        Returns:
            [`~models.modeling_outputs.Transformer2DModelOutput`] or `tuple`: the velocity data − noise, of the shape
            of `hidden_states`.

        Raises:
            `ValueError`: if a control or the context is not supported by the checkpoint, or its batch size or number of
            frames differs from that of `hidden_states`.
        """
        dtype = hidden_states.dtype
        encoder_hidden_states = self.text_proj(encoder_hidden_states.to(dtype))
        text_mask = encoder_attention_mask if text_mask is None else text_mask
        if text_mask is not None:
            encoder_hidden_states = encoder_hidden_states * text_mask.bool()[..., None]
        if encoder_attention_mask is not None:
            mask = encoder_attention_mask.bool()
            # A fully masked row would give NaN, so the null text attends to all tokens.
            mask = mask | ~mask.any(dim=-1, keepdim=True)
            encoder_attention_mask = mask[:, None, None, :]

        temb = self.time_embed(self.time_proj(timestep.float() * self.config.time_scale).to(dtype))
        encoder_hidden_states = encoder_hidden_states + self.time_embed_proj(temb)[:, None]
        modulation = None
        if self.time_modulation is not None:
            modulation = self.time_modulation(nn.functional.silu(temb)).unflatten(-1, (6, -1))

        latents = hidden_states
        controls = dict(zip(CONTROLS, (chords, drums, melody, beats), strict=True))
        hidden_states = self.embed_frames(hidden_states, controls, context)
        positions = torch.arange(hidden_states.shape[1], device=hidden_states.device)
        rotary_emb = None
        if self.config.position_embedding == "rotary":
            rotary_emb = self.rotary_embedding(positions)
        else:
            hidden_states = hidden_states + self.pos_embed(positions).to(dtype)

        skips: list[torch.Tensor] = []
        for block in self.transformer_blocks:
            # A view, since the middle block's skip is its own input, for which `torch.compile` would specialize.
            skip = skips.pop().view_as(hidden_states) if block.skip_proj is not None else None
            inputs = (hidden_states, encoder_hidden_states, encoder_attention_mask, skip, rotary_emb, modulation)
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                hidden_states = self._gradient_checkpointing_func(block, *inputs)
            else:
                hidden_states = block(*inputs)
            if self.config.skip_connections and block.skip_proj is None:
                skips.append(hidden_states)

        sample = self.proj_out(self.norm_out(hidden_states))
        if self.config.preconditioning is not None:
            sample = (self.linear_factor(timestep) * latents.float() + sample.float()).to(dtype)

        if not return_dict:
            return (sample,)
        return Transformer2DModelOutput(sample=sample)
