"""Selection of the best epoch by any metric of stage 5: known and computable before training, and equal to stage 5."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_corpus import make_split, system, train_arguments

from espret.bin import main
from espret.config import System, check
from espret.decoding.embed import Embeddings
from espret.errors import EspretError
from espret.files import read_json, read_jsonl
from espret.scoring.fense.fluency import Fluency
from espret.scoring.fense.sbert import Sbert
from espret.scoring.meteor.metric import Meteor
from espret.scoring.metric import Captions, Result, mean
from espret.scoring.retrieval import rank_metrics
from espret.scoring.spice import install
from espret.scoring.spice.metric import Spice
from espret.text.prepare import load_tokenizer
from espret.training import checkpoint, tasks
from espret.training.data import Split

WITH_JAVA = install.installed() or "ESPRET_REQUIRE_JAVA" in os.environ
NO_JAVA = pytest.mark.skipif(not WITH_JAVA, reason=f"no SPICE parser in {install.home()}: run {install.COMMAND}")
JAVA = [pytest.mark.java, NO_JAVA]
FAST = {"optimizer": {"type": "adam", "lr": 0.03}, "schedule": {"type": "constant"}}


def valid_split(corpus: Path) -> Split:
    return Split(corpus / "data/valid", corpus / "feats/valid", load_tokenizer(corpus / "text"))


def made(task: str, corpus: Path, select: str, **sections: Any) -> Any:
    """A task over the validation set of the corpus."""
    content = {**system(task, select=select), **sections}
    kinds = {"retrieval": tasks.Retrieval, "captioning": tasks.Captioning}
    return kinds[task](check(System, content, "file"), valid_split(corpus), load_tokenizer(corpus / "text"))


def stage_5(exp: Path, task: str, corpus: Path, *metrics: str) -> dict[str, float]:
    """The scores of the validation set by the verbs of stages 4 and 5."""
    data, out = str(corpus / "data/valid"), exp.parent / f"{exp.name} decoded"
    inputs = ["--exp", str(exp), "--data", data, "--feats", str(corpus / "feats/valid"), "--text", str(corpus / "text")]
    if task == "retrieval":
        assert main(["embed", *inputs, "--out", str(out)]) == 0
        assert main(["score-retrieval", "--decode", str(out), "--data", data, "--out", str(out)]) == 0
    else:
        assert main(["caption", *inputs, "--out", str(out)]) == 0
        assert main(["merge-captions", str(out)]) == 0
        words = ["--hyp", str(out / "hyp.jsonl"), "--ref", data, "--out", str(out), "--metrics", *metrics]
        assert main(["score-captions", *words]) == 0
    return read_json(out / "scores.json")["metrics"]


def best(exp: Path, select: str, lower: bool) -> dict[str, Any]:
    """best.pt, which must be the first epoch with the best value."""
    values = [row["valid"][select] for row in read_jsonl(exp / "metrics.jsonl")]
    found = checkpoint.load(exp / checkpoint.BEST)
    assert found["epoch"] == 1 + values.index(min(values) if lower else max(values))
    assert len(set(values)) > 1, "the test shows nothing where all epochs are equal"
    return found


@pytest.mark.parametrize(
    ("select", "lower"), [("loss", True), ("t2a/R@5", False), ("a2t/mAP@10", False), ("t2a/MedR", True)]
)
def test_a_retrieval_run_selects_by_any_metric(select: str, lower: bool, corpus: Path, tmp_path: Path) -> None:
    content = system("retrieval", **FAST, select=select, epochs=5)
    assert main(train_arguments(corpus, tmp_path / "exp", "retrieval", content)) == 0
    found = best(tmp_path / "exp", select, lower)["valid"]
    for name, value in stage_5(tmp_path / "exp", "retrieval", corpus).items():
        assert found[name] == pytest.approx(value, abs=1e-9), name


@pytest.mark.parametrize(
    ("select", "metric"),
    [
        ("CIDEr-D", "CIDEr-D"),
        ("BLEU-4", "BLEU"),
        ("METEOR", "METEOR"),
        ("ROUGE-L", "ROUGE-L"),
        pytest.param("SPIDEr", "SPIDEr", marks=JAVA),
        pytest.param("SPIDEr-max", "SPIDEr-max", marks=JAVA),
    ],
)
def test_a_captioning_run_selects_by_what_stage_5_gives(
    select: str, metric: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = system("captioning", **FAST, select=select, epochs=5)
    # Processes that read ahead are forked beside the machine of Java.
    words = ["--cache-gb", "0", "--num-workers", "2"] if select == "SPIDEr" else []
    assert main(train_arguments(corpus, tmp_path / "exp", "captioning", content, *words)) == 0
    assert f"  {select} " in capsys.readouterr().out  # on the progress line
    found = best(tmp_path / "exp", select, lower=False)["valid"]
    assert {"loss", "accuracy", select} <= found.keys()
    for name, value in stage_5(tmp_path / "exp", "captioning", corpus, metric).items():
        assert found[name] == value, name


def test_a_captioning_run_selects_by_the_metrics_of_networks(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FER, of which less is better, and FENSE, made of it, with networks that only count."""

    def likeness(_: Sbert, captions: Captions) -> Result:
        items = [len({*hyp.split()} & {*refs[0].split()}) / 10 for hyp, refs in zip(captions.hyps, captions.refs)]
        return Result({"SBERT": mean(items)}, {"SBERT": items})

    def errors(_: Fluency, captions: Captions) -> Result:
        items = [float(len(hyp.split()) != 4) for hyp in captions.hyps]
        return Result({"FER": mean(items)}, {"FER": items})

    monkeypatch.setattr(Sbert, "score", likeness)
    monkeypatch.setattr(Fluency, "score", errors)
    for select in ("FER", "FENSE"):
        content = system("captioning", **FAST, select=select, epochs=5)
        assert main(train_arguments(corpus, tmp_path / select, "captioning", content)) == 0
        best(tmp_path / select, select, lower=select == "FER")


def test_validation_has_the_retrieval_metrics_of_stage_5(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ties included: a network that finds all alike gets the metrics of guessing."""
    split = valid_split(corpus)
    sim = torch.randn(len(split.captions), len(split.utts), generator=torch.Generator().manual_seed(0)).round()
    result = Embeddings(torch.zeros(0), torch.zeros(0), sim)
    monkeypatch.setattr(tasks, "embed", lambda *_: result)
    monkeypatch.setattr(tasks, "mean_stats", lambda *_: {"loss": 1.0})
    expected = rank_metrics(sim.numpy(), split.owner).metrics
    assert (sim == sim.max(1, keepdim=True)[0]).sum() > len(sim)
    task = made("retrieval", corpus, "loss")
    assert task.validate(None, torch.device("cpu")) == {"loss": 1.0, **expected}
    assert set(task.shown) < expected.keys()


@pytest.mark.parametrize("captions", [[""], ["a dog"], ["", "rain"]])
@pytest.mark.parametrize(
    "select",
    ["CIDEr-D", "BLEU-1", "METEOR", "ROUGE-L", "vocabulary", *(pytest.param(one, marks=JAVA) for one in ("SPIDEr",))],
)
def test_empty_and_equal_captions_have_a_score(
    select: str, captions: list[str], corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(_network: Any, split: Split, *_: Any) -> list[dict[str, Any]]:
        hyps = [captions[number % len(captions)] for number in range(len(split.utts))]
        return [{"utt": utt, "caption": hyp, "nbest": [{"caption": hyp}]} for utt, hyp in zip(split.utts, hyps)]

    task = made("captioning", corpus, select)
    monkeypatch.setattr(tasks, "caption_clips", found)
    monkeypatch.setattr(tasks, "mean_stats", lambda *_: {"loss": 1.0, "accuracy": 0.0})
    valid = task.validate(None, torch.device("cpu"))
    assert np.isfinite(valid[select]) and valid["loss"] == 1.0


def test_a_loss_that_is_not_finite_is_not_scored(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "mean_stats", lambda *_: {"loss": float("nan")})
    for task, select in (("retrieval", "t2a/R@1"), ("captioning", "CIDEr-D")):
        assert made(task, corpus, select).validate(None, torch.device("cpu")).keys() == {"loss"}


def test_only_what_is_asked_for_is_computed(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for metric in (Spice, Meteor, Sbert, Fluency):
        monkeypatch.setattr(metric, "score", None)
    made("captioning", corpus, "CIDEr-D")  # which scores something, to see whether it can
    with pytest.raises(TypeError):
        made("captioning", corpus, "SPIDEr")
    monkeypatch.setattr(tasks, "caption_clips", None)  # nothing is decoded for what needs no captions
    monkeypatch.setattr(tasks, "mean_stats", lambda *_: {"loss": 1.0, "accuracy": 0.0})
    assert made("captioning", corpus, "accuracy").validate(None, torch.device("cpu")).keys() == {"loss", "accuracy"}


@pytest.mark.parametrize(
    ("task", "select", "message"),
    [
        ("retrieval", "t2a/mAP", "did you mean 't2a/mAP@10'"),
        ("retrieval", "CIDEr-D", "no validation metric 'CIDEr-D'"),
        ("captioning", "CIDEr", "did you mean 'CIDEr-D'"),
        ("captioning", "BLEU", "did you mean 'BLEU-"),
        ("captioning", "SPICE", "train.select: SPICE is unavailable: SPICE's parser is not in"),
        ("captioning", "SPIDEr", "is unavailable: SPICE's parser is not in"),
        ("captioning", "FENSE", "is unavailable: Sentence-BERT is not in"),
    ],
)
def test_a_metric_that_cannot_be_had_is_an_error_before_training(
    task: str,
    select: str,
    message: str,
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ESPRET_SPICE", str(tmp_path / "no spice"))
    monkeypatch.setenv("ESPRET_FENSE", str(tmp_path / "no fense"))
    assert main(train_arguments(corpus, tmp_path / "exp", task, system(task, select=select))) == 1
    said = capsys.readouterr().err
    assert "train.select: " in said and message in said
    assert "unavailable" not in message or re.search(r"; run .*tools/", said)
    assert not (tmp_path / "exp").exists()


def test_references_and_decoding_are_looked_at_before_training(corpus: Path, tmp_path: Path) -> None:
    make_split(tmp_path, "bare'set", 3)
    file = tmp_path / "data/bare'set/utt2cap"
    kept = file.read_text().splitlines()[1:]
    file.write_text("".join(f"{line}\n" for line in kept))
    (tmp_path / "data/bare'set/text").write_text("".join(f"{cap} a dog\n" for line in kept for cap in line.split()[1:]))
    tokenizer = load_tokenizer(corpus / "text")
    bare = Split(tmp_path / "data/bare'set", tmp_path / "feats/bare'set", tokenizer)
    content = check(System, system("captioning", select="CIDEr-D"), "file")
    with pytest.raises(EspretError, match="1 of 3 clips have an empty list of references"):
        tasks.Captioning(content, bare, tokenizer)
    with pytest.raises(EspretError, match="decode: unknown key 'bema'"):
        made("captioning", corpus, "CIDEr-D", decode={"bema": 3})


def assert_same_best(one: Path, other: Path) -> None:
    first, second = (checkpoint.load(exp / checkpoint.BEST) for exp in (one, other))
    assert first["epoch"] == second["epoch"] and first["valid"] == second["valid"]
    assert all(torch.equal(value, second["model"][key]) for key, value in first["model"].items())


@pytest.mark.java
@NO_JAVA
def test_signals_while_java_scores_are_obeyed_afterwards(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = system("captioning", **FAST, select="SPIDEr")
    assert main(train_arguments(corpus, tmp_path / "whole", "captioning", content)) == 0
    words = train_arguments(corpus, tmp_path / "asked", "captioning", content)
    score, numbers, calls = Spice.score, [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT], 0

    def interrupted(spice: Spice, captions: Captions) -> Result:
        nonlocal calls
        calls += 1
        if calls % 2 == 0:  # the odd ones are those before training
            threading.Thread(target=os.kill, args=(os.getpid(), numbers[calls // 2 - 1])).start()
        return score(spice, captions)

    monkeypatch.setattr(Spice, "score", interrupted)
    for number in numbers:
        assert main(words) != 0
        assert f"stopped by {number.name}" in capsys.readouterr().err
    monkeypatch.setattr(Spice, "score", score)
    assert len(read_jsonl(tmp_path / "asked/metrics.jsonl")) == 3
    assert main(words) == 0
    assert_same_best(tmp_path / "whole", tmp_path / "asked")


@pytest.mark.slow
@pytest.mark.java
@NO_JAVA
def test_a_process_with_java_in_it_is_asked_to_stop(corpus: Path, tmp_path: Path) -> None:
    content = system("captioning", **FAST, select="SPIDEr", epochs=12)
    assert main(train_arguments(corpus, tmp_path / "whole", "captioning", content)) == 0
    words = [sys.executable, "-m", "espret", *train_arguments(corpus, tmp_path / "asked", "captioning", content)]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    while not re.search("epoch 2/", line := child.stdout.readline()):
        assert line, child.communicate()
    child.terminate()
    _, said = child.communicate(timeout=60)
    assert "stopped by SIGTERM" in said and child.returncode, said
    assert 2 <= len(read_jsonl(tmp_path / "asked/metrics.jsonl")) < 12
    subprocess.run(words, check=True, capture_output=True)
    assert_same_best(tmp_path / "whole", tmp_path / "asked")
