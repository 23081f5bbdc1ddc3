"""Retrieval metrics: hand-worked cases, brute force, ties, chance, and the ranks of the reference implementation."""

import time
from pathlib import Path

import numpy as np
import pytest

from espret.errors import EspretError
from espret.scoring import retrieval
from espret.scoring.retrieval import rank_metrics, top

GOLDENS = Path(__file__).parents[1] / "goldens" / "scoring" / "retrieval.npz"


def test_hand_worked() -> None:
    # Clips x, y, z; captions x1 x2 y1 z1.
    sim = np.array([[0.9, 0.1, 0.2], [0.3, 0.8, 0.4], [0.2, 0.7, 0.1], [0.6, 0.5, 0.55]], dtype=np.float32)
    scores = rank_metrics(sim, [0, 0, 1, 2])
    assert scores.t2a_ranks.tolist() == [1, 3, 1, 2]
    # x: x1 first, x2 third; y: y1 second after x2; z: z1 first.
    assert scores.a2t_ranks.tolist() == [1, 2, 1]
    assert scores.a2t_own_ranks.tolist() == [1, 3, 2, 1]
    assert scores.metrics["t2a/R@1"] == 50 and scores.metrics["t2a/R@5"] == 100
    assert scores.metrics["t2a/mAP@10"] == pytest.approx(100 * (1 + 1 / 3 + 1 + 1 / 2) / 4)
    assert scores.metrics["a2t/mAP@10"] == pytest.approx(100 * ((1 + 2 / 3) / 2 + 1 / 2 + 1) / 3)
    assert scores.metrics["t2a/MedR"] == 1.5 and scores.metrics["a2t/MeanR"] == pytest.approx(4 / 3)


@pytest.mark.parametrize("block", [1, 7, 1 << 22])
def test_against_brute_force_in_blocks(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "BLOCK", block)
    draw = np.random.default_rng(1)
    own = draw.permutation(np.repeat(np.arange(12), [1, 2, 3, 5] * 3))
    sim = draw.standard_normal((len(own), 12)).astype(np.float32)
    scores = rank_metrics(sim, own)
    assert scores.t2a_ranks.tolist() == [1 + sorted(-row).index(-row[clip]) for row, clip in zip(sim, own)]
    precisions = []
    for clip in range(12):
        order = np.argsort(-sim[:, clip])
        right = own[order] == clip
        assert scores.a2t_ranks[clip] == 1 + np.flatnonzero(right)[0]
        at = np.cumsum(right)[:10] / np.arange(1, 11)
        precisions.append((at * right[:10]).sum() / min(right.sum(), 10))
    assert scores.metrics["a2t/mAP@10"] == pytest.approx(100 * np.mean(precisions))
    assert (top(sim, 4) == np.argsort(-sim, axis=1)[:, :4]).all()


def test_a_constant_matrix_is_guessing() -> None:
    scores = rank_metrics(np.zeros((100, 20)), np.repeat(np.arange(20), 5))
    assert scores.metrics["t2a/MedR"] == scores.metrics["t2a/MeanR"] == 10.5
    # The expected place of the first of 5 among 100 in random order.
    assert scores.metrics["a2t/MedR"] == pytest.approx(101 / 6)
    for direction in ("t2a", "a2t"):
        assert scores.metrics[f"{direction}/R@1"] == scores.metrics[f"{direction}/R@5"] == 0


def test_ties_follow_the_shuffled_expectation() -> None:
    draw = np.random.default_rng(2)
    own = np.repeat(np.arange(6), 3)
    sim = draw.integers(0, 3, (18, 6)).astype(np.float64)
    expected = rank_metrics(sim, own).a2t_ranks
    shuffled = [rank_metrics(sim + 1e-6 * draw.random(sim.shape), own).a2t_ranks for _ in range(4000)]
    assert np.allclose(np.mean(shuffled, axis=0), expected, atol=0.1)


def test_own_captions_that_tie_for_the_first_place_are_a_hit() -> None:
    sim = np.array([[1.0, 0.0], [1.0, 0.0], [0.5, 0.9]])
    assert rank_metrics(sim, [0, 0, 1]).metrics["a2t/R@1"] == 100
    assert rank_metrics(sim, [0, 0, 1]).metrics["a2t/mAP@10"] == 100
    assert rank_metrics(sim, [0, 0, 1], a2t_ties="averaged").metrics["a2t/R@1"] == 50


@pytest.mark.parametrize("name", ["signal", "tied", "constant"])
def test_ranks_of_the_reference_implementation(name: str) -> None:
    with np.load(GOLDENS) as golden:
        sim, t2v, v2t = (golden[f"{part}"] for part in (f"sims.{name}", f"{name}.t2v", f"{name}.v2t"))
    own = np.repeat(np.arange(50), 5)
    scores = rank_metrics(sim, own, a2t_ties="averaged")
    assert (scores.t2a_ranks == t2v + 1).all()
    assert (scores.a2t_ranks == v2t + 1).all()
    if name == "signal":  # without ties both ways of counting agree
        assert (rank_metrics(sim, own).a2t_ranks == v2t + 1).all()


def test_a_similarity_that_is_no_number_names_its_place() -> None:
    sim = np.zeros((3, 2))
    sim[2, 1] = np.nan
    with pytest.raises(EspretError, match="similarity of caption c3 and clip y is nan"):
        rank_metrics(sim, [0, 1, 1], ["c1", "c2", "c3"], ["x", "y"])
    sim[2, 1] = np.inf
    with pytest.raises(EspretError, match="caption row 2 and clip column 1 is inf"):
        rank_metrics(sim, [0, 1, 1])


@pytest.mark.parametrize(("shape", "own"), [((3, 2), [0, 1]), ((2,), [0, 1]), ((0, 2), []), ((2, 2), [0, 2])])
def test_shapes_that_do_not_fit(shape: tuple[int, ...], own: list[int]) -> None:
    with pytest.raises(EspretError):
        rank_metrics(np.zeros(shape), own)


def test_a_clip_without_captions_is_a_candidate_but_no_query() -> None:
    scores = rank_metrics(np.array([[0.5, 0.9], [0.9, 0.5]]), [0, 0])
    assert scores.t2a_ranks.tolist() == [2, 1]
    assert scores.a2t_ranks.tolist() == [1]


def test_top_orders_equals_by_column() -> None:
    assert top(np.array([[1.0, 3.0, 3.0, 2.0, 3.0]]), 2).tolist() == [[1, 2]]
    assert top(np.array([[1.0, 3.0]]), 10).tolist() == [[1, 0]]


def test_clotho_size_is_fast() -> None:
    sim = np.random.default_rng(0).standard_normal((5225, 1045)).astype(np.float32)
    began = time.process_time()
    rank_metrics(sim, np.repeat(np.arange(1045), 5))
    assert time.process_time() - began < 3  # 0.3 s on an idle core
