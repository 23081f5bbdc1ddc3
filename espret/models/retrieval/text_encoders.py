"""Text encoders trained from scratch: a bag of words and a Transformer. Tokens are those of espret.text, with PAD."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from espret.models.layers import sinusoids
from espret.models.retrieval.pooling import masked_mean
from espret.text.tokenizers import PAD


class WordsEncoder(nn.Module):
    """Mean of word embeddings: the order of words is lost."""

    def __init__(self, vocabulary: int, dim: int = 128, dropout: float = 0.0) -> None:
        super().__init__()
        self.dim = dim
        self.embedding = nn.Embedding(vocabulary, dim, padding_idx=PAD)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """[captions, length] -> [captions, dim]."""
        return self.dropout(masked_mean(self.embedding(tokens), tokens != PAD))


class TransformerTextEncoder(nn.Module):
    """Word embeddings with sinusoidal positions, Transformer encoder layers (pre-norm), mean over the tokens."""

    def __init__(
        self,
        vocabulary: int,
        dim: int = 128,
        heads: int = 4,
        layers: int = 2,
        feedforward: int = 512,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.embedding = nn.Embedding(vocabulary, dim, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=dim**-0.5)
        layer = nn.TransformerEncoderLayer(dim, heads, feedforward, dropout, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, nn.LayerNorm(dim), enable_nested_tensor=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """[captions, length] -> [captions, dim]."""
        mask = tokens != PAD
        positions = sinusoids(torch.arange(tokens.shape[1], device=tokens.device), self.dim)
        x = self.dropout(self.embedding(tokens) * math.sqrt(self.dim) + positions)
        return masked_mean(self.layers(x, src_key_padding_mask=~mask), mask)
