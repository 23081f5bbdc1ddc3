"""The Transformer caption decoder: whole captions in training, one cached step at a time in the search.

In the search a clip's cross-attention keys and values are computed once and shared by its beams, which stand on the
query axis; self-attention keeps the keys and values of earlier positions for each beam.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from espret.models.layers import Attention, sinusoids
from espret.text.tokenizers import PAD

KeysValues = tuple[Tensor, Tensor]


@dataclass
class State:
    """What the search carries from step to step, for B clips with K beams each; one item a layer in the lists.

    `cross`: keys and values [B, heads, S, d]; `mask` [B, S]; `past`: keys and values [B * K, heads, position, d].
    """

    cross: list[KeysValues]
    mask: Tensor
    past: list[KeysValues | None]
    position: int


class DecoderLayer(nn.Module):
    """Self-attention, cross-attention, feed-forward, each with a residual; layer norm before (`pre`) or after it."""

    def __init__(
        self, dim: int, memory_dim: int, heads: int, feedforward: int, dropout: float, norm: Literal["pre", "post"]
    ) -> None:
        super().__init__()
        self.self_attention = Attention(dim, heads, dropout=dropout)
        self.cross_attention = Attention(dim, heads, memory_dim, dropout)
        self.feedforward = nn.Sequential(
            nn.Linear(dim, feedforward), nn.ReLU(), nn.Dropout(dropout), nn.Linear(feedforward, dim)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))
        self.dropout = nn.Dropout(dropout)
        self.pre = norm == "pre"

    def _residual(self, norm: int, x: Tensor, part: Callable[[Tensor], Tensor]) -> Tensor:
        if self.pre:
            return x + self.dropout(part(self.norms[norm](x)))
        return self.norms[norm](x + self.dropout(part(x)))

    def forward(self, x: Tensor, cross: KeysValues, mask: Tensor) -> Tensor:
        """Whole sequences: `x` [N, length, dim], `cross` and `mask` of N memories."""
        attention = self.self_attention
        x = self._residual(0, x, lambda y: attention(y, attention.keys_values(y), causal=True))
        x = self._residual(1, x, lambda y: self.cross_attention(y, cross, mask))
        return self._residual(2, x, self.feedforward)

    def step(self, x: Tensor, state: State, layer: int) -> Tensor:
        """The next position of every beam: `x` [B, K, dim]; extends `state.past[layer]`."""

        def attend_past(y: Tensor) -> Tensor:
            row = y.flatten(0, 1)[:, None]  # every beam is a row of its own here, as its past is its own
            new, past = self.self_attention.keys_values(row), state.past[layer]
            kv = new if past is None else (torch.cat([past[0], new[0]], 2), torch.cat([past[1], new[1]], 2))
            state.past[layer] = kv
            return self.self_attention(row, kv).view_as(y)

        x = self._residual(0, x, attend_past)
        x = self._residual(1, x, lambda y: self.cross_attention(y, state.cross[layer], state.mask))
        return self._residual(2, x, self.feedforward)


class TransformerDecoder(nn.Module):
    """Word embeddings with sinusoidal positions, `layers` decoder layers, a linear layer to the vocabulary.

    `tie` uses the embedding table as that layer's weight. `memory_dim` is the width of the audio sequence.
    """

    def __init__(
        self,
        vocabulary: int,
        memory_dim: int,
        dim: int = 128,
        heads: int = 4,
        layers: int = 3,
        feedforward: int = 128,
        dropout: float = 0.25,
        norm: Literal["pre", "post"] = "post",
        tie: bool = False,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.embedding = nn.Embedding(vocabulary, dim, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=dim**-0.5)
        self.layers = nn.ModuleList(
            DecoderLayer(dim, memory_dim, heads, feedforward, dropout, norm) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(dim) if norm == "pre" else nn.Identity()
        self.out = nn.Linear(dim, vocabulary)
        if tie:
            self.out.weight = self.embedding.weight
        self.dropout = nn.Dropout(dropout)

    def _layers(self) -> list[DecoderLayer]:
        return cast(list[DecoderLayer], list(self.layers))

    def _cross(self, memory: Tensor) -> list[KeysValues]:
        return [layer.cross_attention.keys_values(memory) for layer in self._layers()]

    def _embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        return self.dropout(self.embedding(tokens) * math.sqrt(self.dim) + sinusoids(positions, self.dim))

    def forward(self, tokens: Tensor, memory: Tensor, mask: Tensor, owner: Tensor) -> Tensor:
        """Logits [N, length, vocabulary] of the token after each of `tokens` [N, length].

        `memory` [B, S, memory_dim] and `mask` [B, S] are of the clips; caption n belongs to clip `owner[n]`.
        """
        x = self._embed(tokens, torch.arange(tokens.shape[1], device=tokens.device))
        mask = mask.index_select(0, owner)
        for layer, (keys, values) in zip(self._layers(), self._cross(memory)):
            x = layer(x, (keys.index_select(0, owner), values.index_select(0, owner)), mask)
        return self.out(self.norm(x))

    def start(self, memory: Tensor, mask: Tensor) -> State:
        """The state before the first token, for `memory` [B, S, memory_dim] and `mask` [B, S]."""
        return State(self._cross(memory), mask, [None] * len(self.layers), 0)

    def step(self, tokens: Tensor, state: State) -> Tensor:
        """Logits [B, K, vocabulary] after `tokens` [B, K], the beams' latest; `state` moves on by one position."""
        x = self._embed(tokens, torch.tensor([state.position], device=tokens.device))
        for index, layer in enumerate(self._layers()):
            x = layer.step(x, state, index)
        state.position += 1
        return self.out(self.norm(x))

    def reorder(self, state: State, parents: Tensor) -> None:
        """Let beam k of clip b continue its beam `parents[b, k]` ([B, K])."""
        clips, beams = parents.shape
        past_beams = [kv[0].shape[0] // clips for kv in state.past if kv is not None][0]
        rows = (torch.arange(clips, device=parents.device)[:, None] * past_beams + parents).flatten()
        state.past = [kv and (kv[0].index_select(0, rows), kv[1].index_select(0, rows)) for kv in state.past]
