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


"""Training wrapper of the transformer, the text encoder and the tempo model."""

from contextlib import nullcontext

import torch
from torch import nn
from transformers import T5EncoderModel

from ..conditioning import JascoConditioning, TextSection
from ..models.tempo_model import JascoTempoModel
from ..models.transformer_jasco import JascoTransformerModel
from ..utils.compilation import is_compiled


class JascoTrainingModel(nn.Module):
    r"""
    The transformer and, if they are trained too, the text encoder and the tempo model in one module, so that one
    distributed wrapper and one EMA cover all of them.

    Args:
        transformer ([`JascoTransformerModel`]): the transformer.
        text_encoder ([`~transformers.T5EncoderModel`]): the text encoder.
        train_text_encoder (`bool`, defaults to `False`): whether the text encoder is trained.
        num_new_words (`int`, defaults to `0`):
            Number of words at the end of the vocabulary whose embeddings are trained while the rest of the text
            encoder is frozen. [`store_words`] copies them into the text encoder.
        tempo_model ([`JascoTempoModel`], *optional*): the tempo model.
    """

    def __init__(
        self,
        transformer: JascoTransformerModel,
        text_encoder: T5EncoderModel,
        train_text_encoder: bool = False,
        num_new_words: int = 0,
        tempo_model: JascoTempoModel | None = None,
    ):
        super().__init__()
        self.transformer = transformer
        self._is_compiled = is_compiled(transformer)
        self.text_encoder = text_encoder if train_text_encoder else None
        # In a list, so that it is not registered as a submodule.
        self._frozen = [] if train_text_encoder else [text_encoder.requires_grad_(False).eval()]
        self.new_words = None
        if num_new_words and not train_text_encoder:
            weight = text_encoder.get_input_embeddings().weight[-num_new_words:]
            self.new_words = nn.Embedding.from_pretrained(weight.clone(), freeze=False)
        self.tempo_model = tempo_model

    @torch.no_grad()
    def store_words(self):
        """Copies the trained embeddings of the new words into the frozen text encoder."""
        if self.new_words is not None:
            weight = self._frozen[0].get_input_embeddings().weight
            weight[-len(self.new_words.weight) :] = self.new_words.weight.to(weight)

    def _embed(self, encoder: T5EncoderModel, input_ids: torch.Tensor) -> torch.Tensor:
        """Token embeddings: trained ones for new words, and those of the frozen text encoder for all others."""
        known, new = encoder.get_input_embeddings(), self.new_words
        first_new = known.num_embeddings - new.num_embeddings
        is_new = (input_ids >= first_new)[..., None]
        return torch.where(is_new, new((input_ids - first_new).clamp(min=0)), known(input_ids))

    def encode_text(self, text: dict[str, torch.Tensor | bool]) -> torch.Tensor:
        """Returns hidden states `(batch, tokens, text_dim)`, encoded from token ids or from the feature cache."""
        if "hidden_states" in text:
            return text["hidden_states"]
        encoder = self.text_encoder if self.text_encoder is not None else self._frozen[0].to(text["input_ids"].device)
        attention_mask = text["attention_mask"] if text["is_padded"] else None
        if attention_mask is not None and encoder.config._attn_implementation == "sdpa":
            # Transformers inspects 2D masks, which synchronizes with the device, but uses 4D masks as they are.
            attention_mask = attention_mask[:, None, None].bool()
        if self.new_words is not None:
            return encoder(inputs_embeds=self._embed(encoder, text["input_ids"]), attention_mask=attention_mask)[0]
        with nullcontext() if self.text_encoder is not None else torch.no_grad():
            return encoder(text["input_ids"], attention_mask=attention_mask)[0]

    def forward(
        self,
        hidden_states: torch.Tensor,
        timestep: torch.Tensor,
        text: dict[str, torch.Tensor | bool],
        controls: dict[str, torch.Tensor],
        keep: dict[str, torch.Tensor],
        context: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        r"""
        Args:
            hidden_states (`torch.Tensor` of shape `(batch, frames, in_channels)`): noisy latents.
            timestep (`torch.Tensor` of shape `(batch,)`): their times in [0, 1].
            text (`dict`):
                The captions: `attention_mask` `(batch, tokens)`, 1 for tokens, 0 for padding; `is_padded`, whether
                there is padding; and either `input_ids` of that shape or `hidden_states` `(batch, tokens, text_dim)`
                of the text encoder.
            controls (`dict[str, torch.Tensor]`): the controls, as in [`JascoConditioning`].
            keep (`dict[str, torch.Tensor]`):
                Masks of the samples that keep each condition, see [`ConditionDropout.keep`].
            context (`torch.Tensor` of shape `(batch, frames, in_channels + 1)`, *optional*):
                Known latents and their mask, see [`~conditioning.make_context`].

        Returns:
            `tuple[torch.Tensor, torch.Tensor | None]`: the velocity, of the shape of `hidden_states`, and the output of
            the tempo model, if there is one. It gets the null text where the text is dropped.
        """
        mask, states = text["attention_mask"].bool(), self.encode_text(text)
        section = TextSection(0, states, mask, mask if text["is_padded"] else None)
        if self._is_compiled:
            # One graph for all batches: PyTorch stops compiling after eight.
            section = section.pad()
        conditioning = JascoConditioning(
            (section,), controls, self.transformer.null_controls, context, num_frames=hidden_states.shape[1]
        )
        velocity = self.transformer(
            hidden_states=hidden_states,
            timestep=timestep,
            **conditioning.mask(keep).model_kwargs(),
            return_dict=False,
        )[0]
        tempo_model = self.tempo_model
        return velocity, None if tempo_model is None else tempo_model(states, mask & keep["text"][:, None])
