"""The batch that needs the most memory is tried before a run; a batch that ends a run is named and kept."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_corpus import system, train_arguments

from espret.bin import main
from espret.config import Train
from espret.errors import EspretError
from espret.models.batch import Batch
from espret.training import checkpoint, longest, loop
from espret.training.data import Split
from espret.training.longest import longest_batches, memory_for
from espret.training.run import Run
from espret.training.seeds import Seeds
from espret.training.suspect import Finite


@pytest.mark.parametrize(("mode", "captions"), [("one", 6), ("group", 12), ("all", 6)])
def test_no_batch_of_an_epoch_is_longer(mode: str, captions: int, split: Split) -> None:
    by_frames, by_words = longest_batches(split, Train(batch_size=6, captions_per_clip=mode))
    frames = split.reader.num_frames()
    longest_first = sorted((frames[utt] for utt in split.utts), reverse=True)
    lengths = [frames[split.utts[clip]] for clip, _ in by_frames]
    assert max(lengths) == longest_first[0] and len(by_frames) == len(by_words) == 6
    if mode != "all":
        assert lengths == longest_first[:6]
    assert sum(len(numbers) for _, numbers in by_words) == captions
    most = max(len(tokens) for tokens in split.tokens)
    assert all(max(len(split.tokens[one]) for one in numbers) == most for _, numbers in by_words)


def test_what_does_not_fit_is_an_error_before_the_first_step(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(longest.Backward, "__call__", full)
    assert main(train_arguments(corpus, tmp_path / "exp", "retrieval", system("retrieval"))) == 1
    error = capsys.readouterr().err
    assert "a batch of 6 clips of up to 20 frames, with 6 captions, does not fit into the memory of cpu" in error
    assert "set train.accumulate to 2" in error
    assert not (tmp_path / "exp" / checkpoint.LAST).exists()


@pytest.mark.parametrize("task", ["retrieval", "captioning"])
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_trying_changes_nothing_of_a_run(
    task: str, precision: str, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = system(task, epochs=2, accumulate=2, ema=0.9, precision=precision)
    assert main(train_arguments(corpus, tmp_path / "tried", task, content)) == 0
    monkeypatch.setattr(loop, "try_longest", lambda *_: None)
    assert main(train_arguments(corpus, tmp_path / "untried", task, content)) == 0
    tried, untried = (checkpoint.load(tmp_path / name / checkpoint.LAST) for name in ("tried", "untried"))
    for part in ("model", "ema"):
        assert all(torch.equal(value, untried[part][key]) for key, value in tried[part].items())
    assert tried["scaler"] == untried["scaler"]


def test_other_errors_are_none_of_memory() -> None:
    cpu = torch.device("cpu")
    with pytest.raises(RuntimeError, match="shapes"), memory_for("x", cpu):
        raise RuntimeError("shapes differ")
    with pytest.raises(EspretError, match="x does not fit"), memory_for("x", cpu):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried")


def batch_of(*utts: str) -> Batch:
    feats, tokens = torch.randn(len(utts), 4, 2), torch.ones(len(utts), 3, dtype=torch.long)
    return Batch(
        list(utts), feats, torch.full((len(utts),), 4), tokens, torch.arange(len(utts)), torch.arange(len(utts))
    )


def test_a_value_that_is_not_finite_is_refused_a_step_later(tmp_path: Path) -> None:
    finite = Finite(tmp_path)
    finite.now()
    finite.later({"the loss": torch.tensor(1.0), "the norm": torch.tensor(2.0)}, batch_of("good"), Seeds(1, 2, 0, 3))
    bad = batch_of("bad one", "bad-2")
    finite.later({"the loss": torch.tensor(1.0), "the norm": torch.tensor(math.inf)}, bad, Seeds(1, 2, 0, 4))
    with pytest.raises(EspretError, match="the norm is inf in epoch 2, step 4; clips of the batch") as error:
        finite.now()
    assert f"(it is in {tmp_path / 'bad_batch.pt'}): bad one bad-2; look" in str(error.value)
    found = torch.load(tmp_path / "bad_batch.pt", weights_only=True)
    assert found["utts"] == bad.utts and torch.equal(found["feats"], bad.feats)
    assert (found["epoch"], found["step"], found["seed"]) == (2, 4, 1)
    finite.now()  # said once


def test_a_step_that_fails_leaves_its_batch(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    update, steps = loop.update, 0

    def failing(run: Run) -> Any:
        nonlocal steps
        steps += 1
        if steps == 3:
            raise EspretError("it failed")
        return update(run)

    monkeypatch.setattr(loop, "update", failing)
    words = train_arguments(corpus, tmp_path / "exp", "retrieval", system("retrieval"))
    assert main(words) == 1
    error = capsys.readouterr().err
    assert "it failed" in error and f"the batch of epoch 1, step 3 is in {tmp_path / 'exp/bad_batch.pt'}" in error
    assert len(torch.load(tmp_path / "exp/bad_batch.pt", weights_only=True)["utts"]) == 6
