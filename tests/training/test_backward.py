"""Gradients: a batch in parts has those of the whole, in every precision they are near those of float32."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_corpus import system
from torch import nn

from espret.config import build
from espret.models import NETWORKS
from espret.models.batch import Batch
from espret.text.prepare import load_tokenizer
from espret.training.backward import Backward, statistics_kept, stats_in_parts
from espret.training.data import Split, epoch_items
from espret.training.precision import Precision
from espret.training.seeds import Seeds

CPU = torch.device("cpu")
TASKS = ("retrieval", "captioning")


def network(task: str, split: Split, dropout: float, vocabulary: int) -> nn.Module:
    """A network without batch norm, whose statistics would be those of the parts."""
    model = system(task)["model"]
    model["audio"] = {"type": "identity"}
    model["text" if task == "retrieval" else "decoder"]["dropout"] = dropout
    torch.manual_seed(0)
    return build(NETWORKS, model, dim=split.dim, vocabulary=vocabulary).train()


def gradients(
    net: nn.Module, batch: Batch, parts: int, precision: str = "float32"
) -> tuple[float, dict[str, Any], dict[str, Any]]:
    """Loss, reported means and gradients."""
    net.zero_grad(set_to_none=True)
    seeds = Seeds(3, 1, 0, 1)
    seeds.plant()
    chosen = Precision(precision, CPU)  # type: ignore[arg-type]
    chosen.scaler = torch.amp.GradScaler("cpu", init_scale=256.0, enabled=precision == "float16")
    loss, stats = Backward(net, chosen, parts)(batch, seeds)
    scale = chosen.scaler.get_scale()
    found = {name: one.grad / scale for name, one in net.named_parameters() if one.grad is not None}
    return float(loss), {name: float(value) for name, value in stats.items()}, found


@pytest.fixture
def batch(split: Split) -> Batch:
    """7 clips: all captions of some, none too even."""
    items = epoch_items(split, "group", 1, 1)[:7]
    return split.batch([(clip, captions[: 1 + row % 2]) for row, (clip, captions) in enumerate(items)])


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("parts", [2, 3, 7, 50])
def test_parts_have_the_gradients_of_the_whole(task: str, parts: int, split: Split, batch: Batch, corpus: Path) -> None:
    net = network(task, split, 0.0, len(load_tokenizer(corpus / "text")))
    loss, stats, whole = gradients(net, batch, 1)
    again, means, found = gradients(net, batch, parts)
    assert again == pytest.approx(loss, rel=1e-6) and means == pytest.approx(stats, rel=1e-6)
    assert found.keys() == whole.keys() and len(whole) == len(list(net.parameters()))
    for name, gradient in whole.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-7, msg=name)


@pytest.mark.parametrize("task", TASKS)
def test_validation_in_parts_is_that_of_the_whole(task: str, split: Split, batch: Batch, corpus: Path) -> None:
    net = network(task, split, 0.5, len(load_tokenizer(corpus / "text"))).eval()
    whole, seen = stats_in_parts(net, batch, 1), []
    encoder = net.embed_audio if task == "retrieval" else net.encode
    name = encoder.__name__  # type: ignore[union-attr]
    setattr(net, name, lambda feats, lengths: (seen.append(len(feats)), encoder(feats, lengths))[1])  # type: ignore
    for count, clips in ((3, [2, 2, 3]), (50, [1] * 7)):
        found = stats_in_parts(net, batch, count)
        assert {key: float(one) for key, one in found.items()} == pytest.approx(
            {key: float(one) for key, one in whole.items()}, rel=1e-5
        )
        assert seen == clips and not any(one.requires_grad for one in found.values())
        seen.clear()


def test_both_passes_over_a_part_drop_the_same(split: Split, batch: Batch, corpus: Path) -> None:
    """Else the gradients would belong to other embeddings than the loss does."""
    net = network("retrieval", split, 0.5, len(load_tokenizer(corpus / "text")))
    rows, seen = net.rows, []
    loss, _, _ = gradients(net, batch, 2)

    def watched(part: Batch) -> Any:
        found = rows(part)  # type: ignore[operator]
        seen.append([one.detach().clone() for one in found])
        return found

    net.rows = watched  # type: ignore[assignment]
    assert gradients(net, batch, 2)[0] == loss
    first, second = seen[:2], seen[2:]
    assert all(torch.equal(a, b) for one, other in zip(first, second) for a, b in zip(one, other))
    assert not torch.equal(first[0][1][:2], first[1][1][:2])


def test_parts_are_the_batch(batch: Batch) -> None:
    parts = batch.parts(3)
    assert [one for part in parts for one in part.utts] == batch.utts
    assert torch.equal(torch.cat([part.clip for part in parts]), batch.clip)
    first = 0
    for part in parts:
        assert part.feats.shape[1] == part.lengths.max() and int(part.owner[0]) == 0
        owner = part.owner + first
        rows = [row for row, one in enumerate(batch.owner.tolist()) if one in owner.tolist()]
        assert torch.equal(owner, batch.owner[rows])
        assert torch.equal(part.tokens, batch.tokens[rows][:, : part.tokens.shape[1]])
        assert not batch.tokens[rows][:, part.tokens.shape[1] :].any()
        first += len(part.utts)


def test_statistics_of_batch_norms_are_counted_once() -> None:
    norm = nn.BatchNorm1d(3).train()
    before = copy.deepcopy(norm.state_dict())
    x = torch.randn(8, 3)
    with statistics_kept(norm):
        torch.testing.assert_close(norm(x).mean(0), torch.zeros(3), atol=1e-6, rtol=0)
    assert all(torch.equal(before[name], value) for name, value in norm.state_dict().items())
    norm(x)
    assert int(norm.num_batches_tracked) == 1 and not torch.equal(norm.running_mean, before["running_mean"])


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_is_near(task: str, precision: str, split: Split, batch: Batch, corpus: Path) -> None:
    net = network(task, split, 0.0, len(load_tokenizer(corpus / "text")))
    loss, _, whole = gradients(net, batch, 1)
    lower, _, found = gradients(net, batch, 1, precision)
    in_parts, _, parts = gradients(net, batch, 3, precision)
    assert lower != loss and lower == pytest.approx(loss, rel=0.02) == pytest.approx(in_parts, rel=0.02)
    norm = sum(float(one.norm()) ** 2 for one in whole.values()) ** 0.5
    for several in (found, parts):
        assert all(one.dtype is torch.float32 for one in several.values())
        distance = sum(float((several[name] - whole[name]).norm()) ** 2 for name in whole) ** 0.5
        assert distance < 0.05 * norm


def test_float16_leaves_a_step_out_that_overflows_and_gives_up_in_the_end() -> None:
    from espret.errors import EspretError

    precision = Precision("float16", CPU)
    weight = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=0.1)

    def step(value: float) -> bool:
        optimizer.zero_grad()
        precision.scaler.scale((weight * value).sum()).backward()
        precision.scaler.unscale_(optimizer)
        return precision.step(optimizer)

    assert not step(float("inf")) and torch.equal(weight.data, torch.ones(2))
    assert step(1.0) and torch.allclose(weight.data, torch.full((2,), 0.9))
    with pytest.raises(EspretError, match="set train.precision to bfloat16"):
        for _ in range(40):
            step(float("inf"))
