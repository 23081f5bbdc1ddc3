"""Networks: padding does not matter, losses are what their equations say, cached decoding equals the whole pass."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from espret.config import build
from espret.errors import EspretError
from espret.models import AUDIO_ENCODERS, NETWORKS
from espret.models.batch import Batch, pad_features, pad_tokens
from espret.models.captioning import ADAPTERS
from espret.models.captioning.decoder import TransformerDecoder
from espret.models.layers import sinusoids
from espret.models.retrieval import POOLINGS, TEXT_ENCODERS
from espret.models.retrieval.losses import NTXent, Pairs, Triplet

DIM, VOCABULARY = 8, 12
CONV: dict[str, Any] = {"type": "conv", "channels": [4, 6], "convs": 2, "dropout": 0.5}


def clips(*frames: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(number, DIM, generator=generator) for number in frames]


def dual_encoder(**parts: Any) -> Any:
    torch.manual_seed(0)
    model = {
        "type": "dual_encoder",
        "audio": CONV,
        "pooling": {"type": "meanmax"},
        "text": {"type": "transformer", "dim": 8, "heads": 2, "layers": 1, "feedforward": 16},
        "loss": {"type": "nt_xent"},
        "embedding": 5,
        **parts,
    }
    return build(NETWORKS, model, dim=DIM, vocabulary=VOCABULARY)


def used(network: Any) -> Any:
    """The network in eval mode with batch-norm statistics that are not those of initialisation."""
    network.train()
    network.embed_audio(*pad_features(clips(20, 30)))
    return network.eval()


@pytest.mark.parametrize("pooling", list(POOLINGS))
@pytest.mark.parametrize("frequency", ["mean", "flatten"])
def test_padding_does_not_change_a_clips_embedding(pooling: str, frequency: str) -> None:
    network = used(dual_encoder(pooling={"type": pooling}, audio={**CONV, "frequency": frequency}))
    several = clips(21, 3, 50, 1)
    with torch.no_grad():
        together = network.embed_audio(*pad_features(several))
        alone = torch.cat([network.embed_audio(*pad_features([clip])) for clip in several])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(4))


@pytest.mark.parametrize("text", sorted(set(TEXT_ENCODERS) - {"huggingface"}))  # test_pretrained_text.py
def test_padding_does_not_change_a_captions_embedding(text: str) -> None:
    network = dual_encoder(text={"type": text, "dim": 8}, hidden=7).eval()
    several = [[1, 5, 6, 2], [1, 7, 2], [1, 8, 9, 10, 11, 4, 2]]
    with torch.no_grad():
        together = network.embed_text(pad_tokens(several))
        alone = torch.cat([network.embed_text(pad_tokens([tokens])) for tokens in several])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_encoder_lengths_and_bad_options() -> None:
    encoder = build(AUDIO_ENCODERS, CONV, dim=DIM)
    frames, lengths = encoder(*pad_features(clips(21, 3)))
    assert frames.shape == (2, 5, 6)
    assert lengths.tolist() == [5, 1]
    with pytest.raises(EspretError, match="mel_pool"):
        build(AUDIO_ENCODERS, {**CONV, "mel_pool": [4, 4]}, dim=DIM)
    with pytest.raises(EspretError, match="did you mean 'dropout'"):
        build(AUDIO_ENCODERS, {**CONV, "droput": 0.1}, dim=DIM)


def test_nt_xent_of_single_captions_is_symmetric_cross_entropy() -> None:
    similarity = torch.randn(4, 4, generator=torch.Generator().manual_seed(1))
    pairs = Pairs.of(torch.arange(4), torch.arange(4))
    expected = sum(
        torch.nn.functional.cross_entropy(matrix / 0.07, torch.arange(4)) for matrix in (similarity, similarity.T)
    )
    for duplicates in ("negatives", "exclude", "multi_positive"):
        loss = NTXent(0.07, duplicates=duplicates)(similarity, pairs)  # type: ignore[arg-type]
        torch.testing.assert_close(loss, 0.5 * expected)


def test_nt_xent_and_the_same_clip_twice() -> None:
    similarity = torch.tensor([[0.9, 0.8, 0.1], [0.7, 0.6, 0.2], [0.0, 0.3, 0.5]], dtype=torch.float64)
    pairs = Pairs.of(torch.arange(3), torch.tensor([7, 7, 8]))

    def by_hand(kept: list[list[int]], positive: list[list[int]]) -> float:
        rows = columns = 0.0
        for n, m in positive:
            rows -= math.log(
                math.exp(similarity[n, m]) / sum(math.exp(similarity[n, k]) for k in range(3) if kept[n][k])
            )
            columns -= math.log(
                math.exp(similarity[n, m]) / sum(math.exp(similarity[k, m]) for k in range(3) if kept[k][m])
            )
        return 0.5 * (rows + columns) / len(positive)

    own, every = [[0, 0], [1, 1], [2, 2]], [[1, 1, 1]] * 3
    expected = {
        "negatives": by_hand(every, own),
        "exclude": by_hand([[1, 0, 1], [0, 1, 1], [1, 1, 1]], own),
        "multi_positive": by_hand(every, [*own, [0, 1], [1, 0]]),
    }
    for duplicates, value in expected.items():
        loss = NTXent(1.0, duplicates=duplicates)(similarity, pairs)  # type: ignore[arg-type]
        assert loss.item() == pytest.approx(value, rel=1e-6)


def test_triplet_sum_and_hardest_by_hand() -> None:
    similarity = torch.tensor([[0.9, 0.8, 0.1], [0.7, 0.6, 0.5], [0.0, 0.3, 0.5]])
    pairs = Pairs.of(torch.arange(3), torch.tensor([7, 7, 8]))
    # Own 0.9, 0.6, 0.5; clips 0 and 1 are the same one. To clips: only (1, 2) by 0.1. To captions: (2, 1) by 0.2.
    assert Triplet(0.2)(similarity, pairs).item() == pytest.approx((0.1 + 0.2) / 3, abs=1e-6)
    similarity[2, :2] = torch.tensor([0.45, 0.4])
    assert Triplet(0.2)(similarity, pairs).item() == pytest.approx((0.1 + 0.15 + 0.1 + 0.2) / 3, abs=1e-6)
    hardest = Triplet(0.2, "hardest")(similarity, pairs).item()
    assert hardest == pytest.approx((0.1 + 0.15 + 0.2) / 3, abs=1e-6)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("adapter", list(ADAPTERS))
def test_cached_steps_equal_the_whole_pass(norm: str, adapter: str) -> None:
    torch.manual_seed(0)
    decoder = {"type": "transformer", "dim": 8, "heads": 2, "layers": 2, "norm": norm, "tie": True}
    options: dict[str, Any] = {"type": adapter} if adapter == "identity" else {"type": adapter, "dim": 8}
    model = {"type": "captioner", "audio": CONV, "adapter": options, "decoder": decoder}
    network = build(NETWORKS, model, dim=DIM, vocabulary=VOCABULARY).eval()
    tokens = torch.tensor([[[1, 5, 6, 7], [1, 8, 9, 10]], [[1, 4, 4, 4], [1, 11, 3, 5]]])  # [clips, beams, length]
    with torch.no_grad():
        memory, mask = network.encode(*pad_features(clips(17, 40)))
        whole = network.decoder(tokens.flatten(0, 1), memory, mask, torch.tensor([0, 0, 1, 1])).unflatten(0, (2, 2))
        state = network.decoder.start(memory, mask)
        for position in range(4):
            step = network.decoder.step(tokens[:, :, position], state)
            torch.testing.assert_close(step, whole[:, :, position], atol=1e-5, rtol=0)


def test_reordered_beams_continue_the_right_past() -> None:
    torch.manual_seed(0)
    decoder = TransformerDecoder(VOCABULARY, 8, dim=8, heads=2, layers=1).eval()
    memory, mask = torch.randn(2, 3, 8), torch.ones(2, 3, dtype=torch.bool)
    with torch.no_grad():
        state = decoder.start(memory, mask)
        decoder.step(torch.tensor([[1], [1]]), state)
        decoder.reorder(state, torch.zeros(2, 2, dtype=torch.long))
        decoder.step(torch.tensor([[5, 6], [7, 8]]), state)
        decoder.reorder(state, torch.tensor([[1, 1], [0, 1]]))
        step = decoder.step(torch.tensor([[9, 10], [4, 3]]), state)
        sequences = torch.tensor([[1, 6, 9], [1, 6, 10], [1, 7, 4], [1, 8, 3]])
        whole = decoder(sequences, memory, mask, torch.tensor([0, 0, 1, 1]))[:, -1].view(2, 2, -1)
    torch.testing.assert_close(step, whole, atol=1e-5, rtol=0)


def test_captioner_loss_ignores_padding_and_smooths_in_training_only() -> None:
    torch.manual_seed(0)
    model = {
        "type": "captioner",
        "audio": {"type": "identity"},
        "adapter": {"type": "identity"},
        "decoder": {"type": "transformer", "dim": 8, "heads": 2, "layers": 1, "dropout": 0.0},
        "label_smoothing": 0.2,
    }
    network = build(NETWORKS, model, dim=DIM, vocabulary=VOCABULARY)
    feats, lengths = pad_features(clips(5, 9))

    def loss(captions: list[list[int]], owner: list[int]) -> float:
        rows = torch.tensor(owner)
        batch = Batch(["a", "b"], feats, lengths, pad_tokens(captions), rows, torch.tensor([0, 1]))
        return float(network.loss(batch)[0].detach())

    short, long = [1, 5, 2], [1, 6, 7, 8, 9, 2]
    network.eval()
    assert loss([short, long], [0, 1]) == pytest.approx((2 * loss([short], [0]) + 5 * loss([long], [1])) / 7, abs=1e-5)
    plain = loss([short, long], [0, 1])
    network.train()
    assert loss([short, long], [0, 1]) != pytest.approx(plain, abs=1e-4)


def test_sinusoids_are_those_of_the_paper() -> None:
    table = sinusoids(torch.arange(3), 4)
    assert table[2].tolist() == pytest.approx(
        [math.sin(2), math.cos(2), math.sin(2 / 100), math.cos(2 / 100)], abs=1e-6
    )
