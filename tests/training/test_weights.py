"""Which weights of a run are kept and decoded with: the best epochs, their mean, the moving average of the steps."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_corpus import system, train_arguments
from torch import nn

from espret.bin import main
from espret.config import Train
from espret.decoding.network import load_network
from espret.errors import EspretError
from espret.files import read_jsonl
from espret.text.prepare import load_tokenizer
from espret.training import checkpoint, loop, weights
from espret.training.precision import Precision


def history(*losses: float) -> list[dict[str, Any]]:
    return [{"epoch": epoch, "valid": {"loss": loss, "t2a/R@1": 10 - loss}} for epoch, loss in enumerate(losses, 1)]


def test_ranking() -> None:
    rows = history(3.0, 1.0, 2.0, 1.0)
    assert weights.ranking(rows, "loss") == weights.ranking(rows, "t2a/R@1") == [2, 4, 3, 1]
    assert weights.best_epoch([], "loss") == 0
    with pytest.raises(EspretError, match="no validation metric 't2a/R@2'.*did you mean 't2a/R@1'"):
        weights.ranking(rows, "t2a/R@2")


def leave(folder: Path, train: Train, *losses: float) -> None:
    """A run whose weights after epoch k are k."""
    for epoch in range(1, len(losses) + 1):
        rows = history(*losses[:epoch])
        value = {
            "w": torch.full((2,), float(epoch)),
            "half": torch.tensor(epoch, dtype=torch.float16),
            "n": torch.tensor(epoch),
        }
        weights.keep(folder, train, rows, value)
        weights.forget(folder, train, rows)


def test_the_n_best_and_their_mean(tmp_path: Path) -> None:
    losses = (5.0, 2.0, 4.0, 1.0, 3.0, 9.0)
    train = Train(keep_best=2, average=3)
    leave(tmp_path, train, *losses)
    assert sorted(path.name for path in (tmp_path / weights.NBEST).iterdir()) == [f"epoch-000{n}.pt" for n in (2, 4, 5)]
    assert checkpoint.load(tmp_path / checkpoint.BEST)["epoch"] == 4
    weights.finish(tmp_path, train, history(*losses))
    found = checkpoint.load(tmp_path / weights.AVERAGED)
    assert found["epochs"] == [4, 2, 5] and int(found["model"]["n"]) == 4
    assert (
        torch.allclose(found["model"]["w"], torch.full((2,), 11 / 3)) and found["model"]["half"].dtype is torch.float16
    )
    before = (tmp_path / weights.AVERAGED).stat().st_mtime_ns
    weights.finish(tmp_path, train, history(*losses))
    assert (tmp_path / weights.AVERAGED).stat().st_mtime_ns == before
    weights.finish(tmp_path, Train(average=2), history(*losses))
    assert checkpoint.load(tmp_path / weights.AVERAGED)["epochs"] == [4, 2]
    with pytest.raises(EspretError, match=r"epoch-0003\.pt: the weights of epoch 3 were not kept; train\.average is 4"):
        weights.finish(tmp_path, Train(average=4), history(*losses))


def test_before_the_first_epoch_there_is_nothing_to_decode_with(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("")
    for average in (1, 2):
        with pytest.raises(EspretError, match=r"best\.pt: no such checkpoint; needs stage 3"):
            weights.load(tmp_path, Train(average=average))


def test_one_best_epoch_needs_no_folder(tmp_path: Path) -> None:
    leave(tmp_path, Train(), 2.0, 1.0, 3.0)
    weights.finish(tmp_path, Train(), history(2.0, 1.0, 3.0))
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.BEST]


def test_the_moving_average_by_hand() -> None:
    net = nn.BatchNorm1d(1)
    with torch.no_grad():
        net.weight.fill_(0.0)
    average = weights.ema(net, 0.3)
    assert average is not None and weights.ema(net, 0.0) is None
    expected = None
    for number, value in enumerate((1.0, 2.0, 4.0, 8.0)):
        with torch.no_grad():
            net.weight.fill_(value)
            net.running_mean.fill_(value)
        average.update_parameters(net)
        decay = min(0.3, (1 + number) / (10 + number))  # after `number` updates
        expected = value if expected is None else decay * expected + (1 - decay) * value
        assert float(average.module.weight.detach()) == pytest.approx(expected, rel=1e-6)
        assert float(average.module.running_mean) == value


def test_the_moving_average_leaves_out_what_overflowed() -> None:
    net, precision = nn.Linear(1, 1), Precision("float16", torch.device("cpu"))
    average = weights.ema(net, 0.9)
    assert average is not None
    options = {"optimizer": torch.optim.SGD(net.parameters(), lr=0.1), "ema": average, "network": net}
    run: Any = SimpleNamespace(**options, system=SimpleNamespace(train=Train()), backward=SimpleNamespace())
    run.backward.precision = precision
    for number, (value, counted) in enumerate(((1.0, 1), (math.inf, 1), (1.0, 2))):
        precision.scaler.scale(value * net(torch.ones(1)).sum()).backward()
        assert float(loop.update(run)["skipped"]) == (number == 1)
        assert int(average.n_averaged) == counted
        net.zero_grad()


def test_ema_and_average_of_a_whole_run(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = {"ema": 0.9, "average": 2, "keep_best": 3, "captions_per_clip": "group"}
    assert main(train_arguments(corpus, tmp_path / "exp", "retrieval", system("retrieval", **options))) == 0
    rows = read_jsonl(tmp_path / "exp/metrics.jsonl")
    assert len(list((tmp_path / "exp" / weights.NBEST).iterdir())) == 3
    best, last = (checkpoint.load(tmp_path / "exp" / name) for name in (checkpoint.BEST, checkpoint.LAST))
    assert best["valid"] == rows[best["epoch"] - 1]["valid"]
    name = "project_text.weight"
    assert not torch.equal(last["ema"][f"module.{name}"], last["model"][name])
    assert torch.equal(
        checkpoint.load(weights.path_of(tmp_path / "exp", best["epoch"]))["model"][name], best["model"][name]
    )
    used, _ = load_network(tmp_path / "exp", 6, len(load_tokenizer(corpus / "text")), torch.device("cpu"))
    two = weights.ranking(rows, "loss")[:2]
    of_two = [checkpoint.load(weights.path_of(tmp_path / "exp", epoch))["model"][name] for epoch in two]
    assert torch.allclose(used.project_text.weight, (of_two[0] + of_two[1]) / 2)
    path = tmp_path / "exp" / weights.AVERAGED
    for spoil in (path.unlink, lambda: path.write_bytes(b"PK"), lambda: checkpoint.save(path, {"epochs": [1]})):
        spoil()  # as when a run has not ended yet, is damaged, or went on after it had ended
        again, _ = load_network(tmp_path / "exp", 6, len(load_tokenizer(corpus / "text")), torch.device("cpu"))
        assert torch.equal(again.project_text.weight, used.project_text.weight)
