"""Pretrained text encoders of transformers (BERT, RoBERTa, MPNet, ...), trained on. Their tokenizers are in
espret/text/pretrained.py."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from espret.errors import EspretError
from espret.files import read_json
from espret.huggingface import config_of, model_folder, text_encoder, tokenizer_of
from espret.models.retrieval.pooling import masked_mean
from espret.text.pretrained import special_ids
from espret.text.tokenizers import PAD, SPECIAL

FIRST = len(SPECIAL)  # the model's token 0 here
# Types to which a mask can be given as their attention takes it. Of a mask [captions, length], transformers asks
# whether it hides anything, for which the processor has to wait for the GPU.
BROAD = ("albert", "bert", "distilbert", "electra", "roberta", "xlm-roberta")


class HuggingFaceTextEncoder(nn.Module):
    """A text encoder of transformers, all of whose weights are trained. `model`: a folder that `save_pretrained` wrote,
    or a name on the Hugging Face hub; the tokens are those of `text.tokenizer: {type: huggingface, model: MODEL}`.

    `output`: "cls", the last layer's vector of the first token (Mei et al., 2022; Primus et al., 2023), or "mean" over
    all tokens, first and last included. `dropout` replaces what the model has in all its layers (0.1 in BERT).
    `architecture`, the content of the model's config.json, is what training writes into an experiment's configuration:
    with it nothing is read of `model`, and weights are random until trained ones take their place.
    """

    special: Tensor

    def __init__(
        self,
        vocabulary: int,
        model: str,
        output: Literal["cls", "mean"] = "cls",
        dropout: float | None = None,
        architecture: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.output = output
        special = [0] * FIRST  # the model's tokens for PAD, BOS, EOS and UNK; a trained network's come with its weights
        if architecture is None:
            folder = model_folder(model)
            self.network = text_encoder(folder)
            special = special_ids(tokenizer_of(folder), folder)
            architecture = {**read_json(folder / "config.json"), "model_type": config_of(folder).model_type}
        else:
            self.network = _made(architecture)
        self.architecture = architecture
        self.register_buffer("special", torch.tensor(special))
        self._check(vocabulary, model)
        if hasattr(self.network, "pooler"):
            self.network.pooler = None  # not asked here: distributed training would wait for its gradients
        for layer in self.network.modules():
            if dropout is not None and isinstance(layer, nn.Dropout):
                layer.p = dropout
        self.dim = int(self.network.config.hidden_size)
        config = self.network.config
        self.broad_mask = config.model_type in BROAD and config._attn_implementation == "sdpa"

    def _check(self, vocabulary: int, model: str) -> None:
        known = int(self.network.get_input_embeddings().num_embeddings)
        if vocabulary - FIRST > known or self.network.config.is_encoder_decoder:
            raise EspretError(
                f"model.text (huggingface): {model} is a {type(self.network).__name__} of {known} tokens, and the "
                f"tokenizer has {vocabulary - FIRST}; expected a text encoder and its own tokenizer; "
                f"mend: text.tokenizer: {{type: huggingface, model: {model}}}, then redo stage 2"
            )

    def forward(self, tokens: Tensor) -> Tensor:
        """[captions, length] -> [captions, dim]."""
        mask = tokens != PAD
        ids = torch.where(tokens < FIRST, self.special[tokens.clamp(max=FIRST - 1)], tokens - FIRST)
        seen = mask[:, None, None, :] if self.broad_mask else mask
        frames = self.network(input_ids=ids, attention_mask=seen).last_hidden_state
        return frames[:, 0] if self.output == "cls" else masked_mean(frames, mask)


def _made(architecture: dict[str, Any]) -> Any:
    """The encoder that a config.json describes, with random weights."""
    try:
        config = AutoConfig.for_model(**architecture)
        return AutoModel.from_config(config, trust_remote_code=False, dtype=torch.float32)
    except (ValueError, KeyError, TypeError, RuntimeError, ImportError) as error:
        raise EspretError(
            f"model.text (huggingface): architecture: no network that transformers knows: {error!s:.200}; expected "
            "what a model's config.json says"
        ) from None
