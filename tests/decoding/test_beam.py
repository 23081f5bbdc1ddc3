"""Beam search against enumeration, greedy search, and itself item by item."""

from __future__ import annotations

import itertools

import pytest
import torch

from espret.decoding.beam import Beam, search
from espret.errors import EspretError
from espret.models.captioning.decoder import TransformerDecoder
from espret.text.tokenizers import BOS, EOS, PAD

VOCABULARY = 7  # four special tokens and three words


@pytest.fixture
def decoder() -> TransformerDecoder:
    torch.manual_seed(3)
    network = TransformerDecoder(VOCABULARY, 6, dim=8, heads=2, layers=2)
    torch.nn.init.normal_(network.out.weight, std=1.0)
    return network.eval()


def memories(clips: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    memory = torch.randn(clips, 4, 6, generator=torch.Generator().manual_seed(5)) * 3
    lengths = torch.tensor([4, 2, 3, 1, 4, 4, 3])[:clips]
    return memory, torch.arange(4)[None] < lengths[:, None]


def log_probability(
    decoder: TransformerDecoder, words: tuple[int, ...], memory: torch.Tensor, mask: torch.Tensor
) -> float:
    tokens = torch.tensor([[BOS, *words]])
    with torch.no_grad():
        steps = decoder(tokens, memory, mask, torch.tensor([0])).log_softmax(2)[0]
    return float(sum(steps[position, token] for position, token in enumerate([*words, EOS])))


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_a_wide_beam_finds_the_best_of_all_sequences(decoder: TransformerDecoder, penalty: float) -> None:
    memory, mask = memories()
    options = Beam(beam=400, nbest=400, min_length=1, max_length=4, length_penalty=penalty)
    found = search(decoder, memory, mask, options)
    for clip in range(len(memory)):
        words = [w for size in range(1, 5) for w in itertools.product([3, 4, 5, 6], repeat=size)]
        scores = {
            w: log_probability(decoder, w, memory[clip : clip + 1], mask[clip : clip + 1]) / (len(w) + 1) ** penalty
            for w in words
        }
        best = max(scores, key=lambda w: scores[w])
        assert tuple(found[clip][0].tokens) == best
        assert found[clip][0].score == pytest.approx(scores[best], abs=1e-5)
        assert len({tuple(one.tokens) for one in found[clip]}) == len(found[clip]) == len(words)


def test_batched_equals_item_by_item(decoder: TransformerDecoder) -> None:
    memory, mask = memories(7)
    options = Beam(beam=3, nbest=3, max_length=8)
    together = search(decoder, memory, mask, options)
    for clip in range(7):
        alone = search(decoder, memory[clip : clip + 1], mask[clip : clip + 1], options)[0]
        assert [one.tokens for one in alone] == [one.tokens for one in together[clip]]
        assert [one.score for one in alone] == pytest.approx([one.score for one in together[clip]], abs=1e-5)


def test_beam_of_one_is_greedy(decoder: TransformerDecoder) -> None:
    memory, mask = memories()
    for clip, found in enumerate(search(decoder, memory, mask, Beam(beam=1, min_length=0, max_length=6))):
        words: list[int] = []
        while len(words) < 6:
            with torch.no_grad():
                one, its = memory[clip : clip + 1], mask[clip : clip + 1]
                logits = decoder(torch.tensor([[BOS, *words]]), one, its, torch.tensor([0]))[0, -1]
            logits[[PAD, BOS]] = float("-inf")
            if int(logits.argmax()) == EOS:
                break
            words.append(int(logits.argmax()))
        assert found[0].tokens == words


@pytest.mark.parametrize("low,high", [(3, 3), (2, 5), (0, 1)])
def test_lengths_are_kept(decoder: TransformerDecoder, low: int, high: int) -> None:
    found = search(decoder, *memories(), Beam(beam=3, nbest=3, min_length=low, max_length=high))
    assert all(low <= len(one.tokens) <= high for clip in found for one in clip)
    assert all(clip == sorted(clip, reverse=True) for clip in found)


def test_impossible_options_are_refused() -> None:
    with pytest.raises(EspretError, match="nbest"):
        Beam(beam=2, nbest=3)
    with pytest.raises(EspretError, match="min_length"):
        Beam(min_length=5, max_length=4)
