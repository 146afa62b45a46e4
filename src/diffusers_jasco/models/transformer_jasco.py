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
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.hooks._helpers import TransformerBlockMetadata, TransformerBlockRegistry
from diffusers.loaders import PeftAdapterMixin
from diffusers.models.activations import get_activation
from diffusers.models.attention import AttentionMixin, AttentionModuleMixin
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.cache_utils import CacheMixin
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils.peft_utils import apply_lora_scale
from torch import nn

from ..controls import CONTROLS, null_value
from ..controls.chord_labels import default_chord_labels
from ..controls.melody import MELODY_BINS


class JascoAttnProcessor:
    _attention_backend = None
    _parallel_config = None

    def __call__(
        self,
        attn: "JascoAttention",
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        source = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        if attn.fused_projections and attn.is_cross_attention:
            query, (key, value) = attn.to_q(hidden_states), attn.to_kv(source).chunk(2, dim=-1)
        elif attn.fused_projections:
            query, key, value = attn.to_qkv(hidden_states).chunk(3, dim=-1)
        else:
            query, key, value = attn.to_q(hidden_states), attn.to_k(source), attn.to_v(source)

        query, key, value = (states.unflatten(-1, (attn.heads, attn.head_dim)) for states in (query, key, value))
        hidden_states = dispatch_attention_fn(
            query,
            key,
            value,
            attn_mask=attention_mask,
            backend=self._attention_backend,
            parallel_config=self._parallel_config,
        )
        hidden_states = hidden_states.flatten(2, 3).to(query.dtype)
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
        self.to_out = nn.ModuleList([nn.Linear(inner_dim, dim, bias=bias), nn.Dropout(dropout)])
        self.set_processor(processor if processor is not None else self._default_processor_cls())  # type: ignore[operator]

    def forward(
        self,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        return self.processor(self, hidden_states, encoder_hidden_states, attention_mask)


class JascoTransformerBlock(nn.Module):
    """
    Self-attention, cross-attention and a feed-forward network, each preceded (`pre_norm`) or followed by a layer norm.

    A block in the second half of a U-Net transformer (`skip_connection=True`) first merges the output of its mirror
    block. The merge is part of the block, so that block caches skip it and a device map keeps it on one device.
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
    ):
        super().__init__()
        self.pre_norm = pre_norm
        self.skip_proj = nn.Linear(2 * dim, dim) if skip_connection else None

        heads = (num_attention_heads, attention_head_dim)
        self.norm1 = nn.LayerNorm(dim)
        self.attn1 = JascoAttention(dim, *heads, bias=attention_bias, dropout=dropout)
        self.norm2 = nn.LayerNorm(dim)
        self.attn2 = JascoAttention(dim, *heads, bias=attention_bias, dropout=dropout, is_cross_attention=True)
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
    ) -> torch.Tensor:
        if self.skip_proj is not None:
            hidden_states = self.skip_proj(torch.cat([hidden_states, skip], dim=-1))  # type: ignore[list-item]

        if self.pre_norm:
            hidden_states = hidden_states + self.attn1(self.norm1(hidden_states))
            hidden_states = hidden_states + self.attn2(
                self.norm2(hidden_states), encoder_hidden_states, encoder_attention_mask
            )
            return hidden_states + self.feed_forward(self.norm3(hidden_states))

        # As in AudioCraft, the cross-attention's query is the layer's input, not the output of the self-attention.
        query = hidden_states
        hidden_states = self.norm1(hidden_states + self.attn1(hidden_states))
        hidden_states = self.norm2(hidden_states + self.attn2(query, encoder_hidden_states, encoder_attention_mask))
        return self.norm3(hidden_states + self.feed_forward(hidden_states))


# Block metadata for First Block Cache and similar hooks.
TransformerBlockRegistry.register(JascoTransformerBlock, TransformerBlockMetadata(return_hidden_states_index=0))


class JascoTransformerModel(ModelMixin, ConfigMixin, AttentionMixin, PeftAdapterMixin, CacheMixin):
    r"""
    The flow-matching transformer of JASCO ([arXiv 2406.10970](https://arxiv.org/abs/2406.10970), §3): predicts the
    velocity of normalized audio latents from text (cross-attention) and from chords, drums and melody, which are
    concatenated to the latents frame by frame, in this order.

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
        training_options (`dict`, *optional*):
            Training options of the checkpoint, which continued training inherits; unused at inference.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules = ["JascoTransformerBlock"]
    _repeated_blocks = ["JascoTransformerBlock"]
    _skip_layerwise_casting_patterns = ["time_embed", "chord_embedding", "norm"]

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
        training_options: dict[str, Any] | None = None,
    ):
        super().__init__()
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
        control_channels = sum(width or 0 for width in (chords_dim, drums_dim, melody_dim))

        # 2. Text and time: the time is added to every position of the text
        self.text_proj = nn.Linear(text_dim, dim)
        self.time_proj = Timesteps(time_embed_dim, flip_sin_to_cos=False, downscale_freq_shift=1)
        self.time_embed = TimestepEmbedding(time_embed_dim, 4 * time_embed_dim)
        self.time_embed_proj = nn.Linear(4 * time_embed_dim, dim)

        # 3. Transformer
        self.pos_embed = Timesteps(dim, flip_sin_to_cos=True, downscale_freq_shift=1)
        self.proj_in = nn.Linear(in_channels + control_channels, dim, bias=False)
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
        return tuple(name for name in CONTROLS if self.config[f"{name}_dim"] is not None)

    @property
    def null_controls(self) -> dict[str, int]:
        """For each control of this checkpoint, the value of a frame without the control."""
        return {name: null_value(name, self.config.chord_labels) for name in self.controls}

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

    def embed_controls(self, hidden_states: torch.Tensor, controls: dict[str, torch.Tensor | None]) -> torch.Tensor:
        """Appends the embedded controls, or their learned nulls, to the channels of the latents."""
        channels = [hidden_states]
        shape = hidden_states.shape[:2]
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

        for name, null in self.null_controls.items():
            control, frame_shape = controls.get(name), self.control_shape(name)
            if control is None:
                control = torch.full((*shape, *frame_shape), null, device=hidden_states.device)
            # Chord ids stay integers.
            control = control.to(hidden_states.dtype) if frame_shape else control
            channels.append(self._control_layer(name)(control))
        return torch.cat([states.to(hidden_states.dtype) for states in channels], dim=-1)

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
                Melody matrix; zeros or `None` are the null condition.
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
            `ValueError`: if a control is not supported by the checkpoint, or its batch size or number of frames
            differs from that of `hidden_states`.
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

        temb = self.time_proj(timestep.float() * self.config.time_scale).to(dtype)
        encoder_hidden_states = encoder_hidden_states + self.time_embed_proj(self.time_embed(temb))[:, None]

        latents = hidden_states
        controls = dict(zip(CONTROLS, (chords, drums, melody), strict=True))
        hidden_states = self.proj_in(self.embed_controls(hidden_states, controls))
        positions = torch.arange(hidden_states.shape[1], device=hidden_states.device)
        hidden_states = hidden_states + self.pos_embed(positions).to(dtype)

        skips: list[torch.Tensor] = []
        for block in self.transformer_blocks:
            # A view, since the middle block's skip is its own input, for which `torch.compile` would specialize.
            skip = skips.pop().view_as(hidden_states) if block.skip_proj is not None else None
            inputs = (hidden_states, encoder_hidden_states, encoder_attention_mask, skip)
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
