"""Beam search over captions, batched over clips, with cached steps (see models/captioning/decoder.py).

A hypothesis' score is its log-probability divided by its number of tokens (EOS included) to the power
`length_penalty`. A finished caption keeps its place in the beam, so with `beam: 1` the search is greedy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from espret.errors import EspretError
from espret.text.tokenizers import BOS, EOS, PAD


@dataclass
class Beam:
    """The decode section of a captioning system. Lengths count tokens without EOS; `beam: 1` is greedy search."""

    beam: int = 3
    nbest: int = 1
    min_length: int = 1
    max_length: int = 30
    length_penalty: float = 1.0
    batch_size: int = 32

    def __post_init__(self) -> None:
        if not (1 <= self.nbest <= self.beam and 0 <= self.min_length <= self.max_length and self.max_length):
            raise EspretError(f"decode: expected 1 <= nbest <= beam and 0 <= min_length <= max_length, found {self}")


@dataclass(order=True)
class Hypothesis:
    """A finished caption: tokens without BOS and EOS. Ordered by score."""

    score: float
    tokens: list[int] = field(compare=False)


@torch.no_grad()
def search(decoder: Any, memory: Tensor, mask: Tensor, options: Beam) -> list[list[Hypothesis]]:
    """For each clip of `memory` [B, S, dim] with `mask` [B, S], at most `nbest` hypotheses, best first."""
    clips, state = len(memory), decoder.start(memory, mask)
    tokens = torch.full((clips, 1, 1), BOS, device=memory.device)
    scores = torch.zeros(clips, 1, device=memory.device)
    done: list[list[Hypothesis]] = [[] for _ in range(clips)]
    for length in range(options.max_length + 1):
        steps = _log_probabilities(decoder.step(tokens[:, :, -1], state), length, options)
        candidates = (scores[:, :, None] + steps).flatten(1)
        scores, flat = candidates.topk(min(options.beam, candidates.shape[1]), dim=1)
        parents, chosen = flat // steps.shape[2], flat % steps.shape[2]
        scores = scores.masked_fill(_beyond(scores, done, options.beam), float("-inf"))
        tokens = torch.cat(
            [tokens.gather(1, parents[:, :, None].expand(-1, -1, tokens.shape[2])), chosen[..., None]], 2
        )
        ended = (chosen == EOS) & scores.isfinite()
        _finish(done, ended, tokens, scores, options)
        scores = scores.masked_fill(ended, float("-inf"))
        if not scores.isfinite().any():
            break
        decoder.reorder(state, parents)
    return [sorted(found, reverse=True)[: options.nbest] for found in done]


def _log_probabilities(logits: Tensor, length: int, options: Beam) -> Tensor:
    """Log-probabilities [B, K, vocabulary] of the token after `length` tokens; what may not come gets -inf."""
    steps = logits.float().log_softmax(dim=2)
    steps[:, :, [PAD, BOS]] = float("-inf")
    if length < options.min_length:
        steps[:, :, EOS] = float("-inf")
    if length == options.max_length:
        ending = steps[:, :, EOS].clone()
        steps.fill_(float("-inf"))
        steps[:, :, EOS] = ending
    return steps


def _beyond(scores: Tensor, done: list[list[Hypothesis]], beam: int) -> Tensor:
    """[B, K] bool, True for candidates (best first) beyond a clip's open beams: finished captions take one each."""
    still_open = torch.tensor([beam - len(found) for found in done], device=scores.device)
    return torch.arange(scores.shape[1], device=scores.device)[None, :] >= still_open[:, None]


def _finish(done: list[list[Hypothesis]], ended: Tensor, tokens: Tensor, scores: Tensor, options: Beam) -> None:
    """Move the hypotheses that `ended` [B, K] to `done`; `tokens` [B, K, BOS + length + EOS]."""
    size = (tokens.shape[2] - 1) ** options.length_penalty
    for clip, beam in ended.nonzero().tolist():
        done[clip].append(Hypothesis(float(scores[clip, beam]) / size, tokens[clip, beam, 1:-1].tolist()))
