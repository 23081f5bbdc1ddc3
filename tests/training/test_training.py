"""Training runs: resumed ones end like undisturbed ones, failures are named, several processes see the global batch."""

from __future__ import annotations

import errno
import inspect
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_corpus import system, train_arguments

from espret.bin import main
from espret.files import read_json, read_jsonl
from espret.training import augment, checkpoint, loop, optim, tasks
from espret.training.data import cut
from espret.training.optim import Cosine, Step
from espret.training.run import save_progress
from espret.training.weights import best_epoch

TIMES = ("time", "seconds", "valid_seconds", "clips_per_second", "data_wait", "memory_gb")


def rows(out: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without what differs from run to run."""
    return [{key: value for key, value in row.items() if key not in TIMES} for row in read_jsonl(out / "metrics.jsonl")]


def assert_same_run(one: Path, other: Path) -> None:
    assert rows(one) == rows(other)
    assert [row["epoch"] for row in rows(one)] == list(range(1, len(rows(one)) + 1))
    names = [str(path.relative_to(one)) for path in one.rglob("*.pt") if path.name != checkpoint.PREVIOUS]
    assert {checkpoint.LAST, checkpoint.BEST} <= {*names}
    for name in names:
        first, second = checkpoint.load(one / name)["model"], checkpoint.load(other / name)["model"]
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("task", ["retrieval", "captioning"])
@pytest.mark.parametrize("mode", ["one", "group", "all"])
def test_training_learns_and_a_finished_run_returns_at_once(task: str, mode: str, corpus: Path, tmp_path: Path) -> None:
    content = system(task, captions_per_clip=mode, epochs=12, select="loss", optimizer={"type": "adam", "lr": 0.02})
    words = train_arguments(corpus, tmp_path / "exp", task, content)
    assert main(words) == 0
    history = read_jsonl(tmp_path / "exp/metrics.jsonl")
    assert history[-1]["train"]["loss"] < 0.8 * history[0]["train"]["loss"]
    if task == "retrieval":
        assert max(row["valid"]["t2a/mAP@10"] for row in history) > 60
    best = checkpoint.load(tmp_path / "exp" / checkpoint.BEST)
    assert best["valid"]["loss"] == min(row["valid"]["loss"] for row in history)
    before = (tmp_path / "exp" / checkpoint.LAST).stat().st_mtime_ns
    assert main(words) == 0
    assert (tmp_path / "exp" / checkpoint.LAST).stat().st_mtime_ns == before
    assert read_jsonl(tmp_path / "exp/metrics.jsonl") == history


BFLOAT16 = {"precision": "bfloat16", "ema": 0.9, "accumulate": 2, "average": 2, "keep_best": 3}
FLOAT16 = {"precision": "float16", "optimizer": {"type": "adam", "lr": 0.01}}


@pytest.mark.parametrize("task", ["retrieval", "captioning"])
@pytest.mark.parametrize(
    ("minutes", "options"),  # between checkpoints within an epoch: none, and one after each step
    [(10.0, {}), (0.0, {}), (10.0, BFLOAT16), (0.0, BFLOAT16), (0.0, FLOAT16)],
    ids=["epochs", "steps", "bfloat16-epochs", "bfloat16-steps", "float16-steps"],
)
def test_a_crash_at_any_write_changes_nothing(
    task: str,
    minutes: float,
    options: dict[str, Any],
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert main(train_arguments(corpus, tmp_path / "whole", task, system(task, **options))) == 0
    words = train_arguments(corpus, tmp_path / "broken", task, system(task, save_minutes=minutes, **options))
    torch_save, interruptions = torch.save, 0

    def failing(limit: int) -> Any:
        count = 0

        def save(value: Any, stream: Any) -> None:
            nonlocal count
            count += 1
            torch_save(value, stream)
            if count > limit:
                stream.flush()
                raise KeyboardInterrupt  # the file is whole but not yet renamed

        return save

    for limit in (0, 1, 2, 0, 1, 3, 2) if minutes else range(7):
        monkeypatch.setattr(torch, "save", failing(limit))
        interruptions += main(words) == 130
    monkeypatch.setattr(torch, "save", torch_save)
    assert interruptions > 3
    assert main(words) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "broken")
    assert not list((tmp_path / "broken").rglob(".*"))


@pytest.mark.parametrize("minutes", [10.0, 0.0])
def test_sigkill_at_random_moments_changes_nothing(minutes: float, corpus: Path, tmp_path: Path) -> None:
    content = system("retrieval", epochs=60, save_minutes=minutes)
    assert main(train_arguments(corpus, tmp_path / "whole", "retrieval", content)) == 0
    words = train_arguments(corpus, tmp_path / "killed", "retrieval", content)
    rng, kills = random.Random(time.time_ns()), 0
    while kills < 4:
        child = subprocess.Popen([sys.executable, "-m", "espret", *words], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        if not child.stdout.readline():  # the first line: an epoch is done, or the run is resumed
            break
        time.sleep(rng.uniform(0, 0.4))
        child.kill()
        kills += child.wait() != 0
    assert kills
    subprocess.run([sys.executable, "-m", "espret", *words], check=True, capture_output=True)
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


def test_another_number_of_processes_goes_on_from_the_middle(corpus: Path, tmp_path: Path) -> None:
    content = system("retrieval", epochs=2, batch_size=4, save_minutes=0.0)
    words = train_arguments(corpus, tmp_path / "exp", "retrieval", content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "save_progress", lambda run: (save_progress(run), os.kill(os.getpid(), signal.SIGINT)))
        assert main(words) == 130
    saved = checkpoint.load(tmp_path / "exp" / checkpoint.LAST)["progress"]
    assert saved["step"] >= 1 and len(saved["totals"]) == 1
    command = [sys.executable, "-m", "espret", *words, "--processes", "2"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert f"resuming after epoch 0 of 2, step {saved['step']} of the next" in done.stdout
    assert [row["epoch"] for row in rows(tmp_path / "exp")] == [1, 2]


def test_what_a_killed_run_left_half_written_is_removed(corpus: Path, tmp_path: Path) -> None:
    old, new = ".checkpoint.pt.0123456789ab.tmp", ".best.pt.0123456789ab.tmp"
    (tmp_path / "exp/nbest").mkdir(parents=True)
    for folder in (tmp_path / "exp", tmp_path / "exp/nbest"):
        for name in (old, new, ".mine.tmp"):
            (folder / name).write_bytes(b"PK")
            if name != new:  # which another process may be writing
                os.utime(folder / name, (1, 1))
    assert main(train_arguments(corpus, tmp_path / "exp", "retrieval", system("retrieval", epochs=1))) == 0
    assert sorted(path.name for path in (tmp_path / "exp").rglob(".*")) == [new, new, ".mine.tmp", ".mine.tmp"]


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(train_arguments(corpus, tmp_path / "whole", "retrieval", system("retrieval"))) == 0
    words = train_arguments(corpus, tmp_path / "exp", "retrieval", system("retrieval"))
    assert main(words) == 0
    path = tmp_path / "exp" / checkpoint.LAST
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(content)
    assert main(words) == 0
    assert "warning" in capsys.readouterr().err
    assert_same_run(tmp_path / "whole", tmp_path / "exp")
    for name in (checkpoint.LAST, checkpoint.PREVIOUS):
        (tmp_path / "exp" / name).write_bytes(b"PK")
    assert main(words) == 1


def test_another_configuration_in_the_same_folder_is_refused(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(train_arguments(corpus, tmp_path / "exp", "retrieval", system("retrieval"))) == 0
    assert main(train_arguments(corpus, tmp_path / "exp", "retrieval", system("retrieval", batch_size=7))) == 1
    assert "train.batch_size: 6 -> 7" in capsys.readouterr().err
    constant = {"schedule": {"type": "constant"}}
    assert main(train_arguments(corpus, tmp_path / "b", "retrieval", system("retrieval", **constant))) == 0
    assert main(train_arguments(corpus, tmp_path / "b", "retrieval", system("retrieval", epochs=6, **constant))) == 0
    assert len(rows(tmp_path / "b")) == 6


def test_a_loss_that_is_not_finite_names_epoch_step_and_clips(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = system("retrieval", optimizer={"type": "sgd", "lr": 1e30}, grad_clip=0.0, schedule={"type": "constant"})
    assert main(train_arguments(corpus, tmp_path / "exp", "retrieval", content)) == 1
    message = capsys.readouterr().err
    assert "epoch 1, step 2" in message
    assert "train-0" in message


def test_usage_errors(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "exp"
    assert main(train_arguments(corpus, out, "retrieval", system("retrieval", select="t2a/mAP"))) == 1
    assert "did you mean 't2a/mAP@10'" in capsys.readouterr().err
    assert main(train_arguments(corpus, tmp_path / "b", "retrieval", system("retrieval", captions_per_clip="al"))) == 1
    assert "did you mean 'all'" in capsys.readouterr().err
    assert main(train_arguments(corpus, tmp_path / "c", "retrieval", system("retrieval"), "--ngpu", "99")) == 1
    assert "--ngpu 99: found" in capsys.readouterr().err
    assert main(train_arguments(corpus, tmp_path / "d", "retrieval", system("retrieval", threads=-1))) == 1
    assert "train.threads is -1" in capsys.readouterr().err
    for option in ("--seed", "--num-workers", "--ngpu"):
        with pytest.raises(SystemExit):
            main(train_arguments(corpus, out, "retrieval", system("retrieval"), option, "-1"))
        assert f"{option}: -1: expected 0 or more" in capsys.readouterr().err


def test_where_nothing_can_be_written_the_folder_is_named(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "exp").write_text("mine")
    assert main(train_arguments(corpus, tmp_path / "exp", "retrieval", system("retrieval"))) == 1
    assert f"{tmp_path / 'exp'}: it, or what it lies in, is a file" in capsys.readouterr().err
    for number, said in ((errno.ENOSPC, "mend: make room there"), (errno.EROFS, "a folder that you may write to")):

        def save(*_: Any, number: int = number) -> None:
            raise OSError(number, os.strerror(number))  # as by a stream, which does not know its name

        monkeypatch.setattr(torch, "save", save)
        assert main(train_arguments(corpus, tmp_path / "b", "retrieval", system("retrieval"))) == 1
        error = capsys.readouterr().err
        assert f"error: {tmp_path / 'b'}: {os.strerror(number)}" in error and said in error


def test_captions_and_embeddings_of_a_trained_system(corpus: Path, tmp_path: Path) -> None:
    import numpy as np

    inputs = ["--data", str(corpus / "data/valid"), "--feats", str(corpus / "feats/valid")]
    inputs += ["--text", str(corpus / "text")]
    for task in ("retrieval", "captioning"):
        assert main(train_arguments(corpus, tmp_path / task, task, system(task))) == 0
    assert main(["embed", "--exp", str(tmp_path / "retrieval"), *inputs, "--out", str(tmp_path / "r.partial")]) == 0
    sim, audio, text = (np.load(tmp_path / f"r.partial/{name}.npy") for name in ("sim", "audio", "text"))
    assert sim.dtype == np.float32
    np.testing.assert_allclose(sim, text @ audio.T, atol=1e-5)
    assert sim.shape == (16, 8)
    assert (tmp_path / "r.partial/clips.txt").read_text().splitlines() == [f"valid-{n:03d}" for n in range(8)]
    assert (tmp_path / "r.partial/captions.txt").read_text().splitlines()[1] == "valid-000-2"

    caption = ["caption", "--exp", str(tmp_path / "captioning"), *inputs]
    for shard in range(1, 11):  # more shards than clips: some are empty
        assert main(["merge-captions", str(tmp_path / "ten")]) == 1
        assert main([*caption, "--shard", f"{shard}/10", "--out", str(tmp_path / "ten")]) == 0
    assert main([*caption, "--out", str(tmp_path / "one")]) == 0
    for name in ("ten", "one"):
        assert main(["merge-captions", str(tmp_path / name)]) == 0
    ten, one = (read_jsonl(tmp_path / name / "hyp.jsonl") for name in ("ten", "one"))
    assert [row["utt"] for row in ten] == [f"valid-{n:03d}" for n in range(8)]
    assert [row["caption"] for row in ten] == [row["caption"] for row in one]
    assert all(len(row["nbest"]) == 2 and row["nbest"][0]["caption"] == row["caption"] for row in ten)


def test_batches_are_near_equal_and_shared_out() -> None:
    items = [(number, ()) for number in range(23)]
    batches = cut(items, 6)
    assert [len(batch) for batch in batches] == [5, 6, 6, 6]
    assert [one for batch in batches for one in batch] == items
    first, second = cut(items, 6, 0, 2), cut(items, 6, 1, 2)
    assert [sorted([*a, *b]) for a, b in zip(first, second)] == [list(batch) for batch in batches]


def test_schedules_and_best_epoch() -> None:
    assert [Step(2, 0.1).factor(epoch, 6) for epoch in (0.5, 2.0, 2.1)] == [1.0, 1.0, 0.1]
    cosine = Cosine(warmup=1, final=0.2)
    assert [round(cosine.factor(epoch, 5), 6) for epoch in (0.5, 1.0, 3.0, 5.0)] == [0.5, 1.0, 0.6, 0.2]
    history = [{"valid": {"loss": loss, "t2a/R@1": hits}} for loss, hits in ((3, 1), (1, 2), (1, 2), (2, 0))]
    assert best_epoch(history, "loss") == best_epoch(history, "t2a/R@1") == 2


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"schedule": {"type": "cosine", "warmpu": 1}}, "train.schedule"),
        ({"schedule": {"type": "cosin"}}, "did you mean 'cosine'"),
        ({"augment": [{"type": "gain", "spraed": 1.0}]}, "train.augment"),
    ],
)
def test_a_wrong_option_is_an_error_before_training(
    section: dict[str, Any], message: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "exp"
    assert main(train_arguments(corpus, out, "retrieval", system("retrieval", **section))) == 1
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_schedule_and_augmentations_are_built_once(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []
    for kind in (augment.SpecAugment, optim.Cosine):

        def counted(self: Any, *args: Any, real: Any = kind.__init__, **options: Any) -> None:
            built.append(type(self).__name__)
            real(self, *args, **options)

        counted.__signature__ = inspect.signature(kind.__init__)  # type: ignore[attr-defined]
        monkeypatch.setattr(kind, "__init__", counted)
    assert main(train_arguments(corpus, tmp_path / "exp", "retrieval", system("retrieval"))) == 0
    assert sorted(built) == ["Cosine", "SpecAugment"]


def test_a_validation_loss_that_is_not_finite_names_the_epoch(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tasks, "mean_stats", lambda *_: {"loss": math.nan})
    assert main(train_arguments(corpus, tmp_path / "exp", "retrieval", system("retrieval"))) == 1
    assert "the validation loss is nan in epoch 1" in capsys.readouterr().err


def test_config_and_history_are_readable(corpus: Path, tmp_path: Path) -> None:
    from espret.config import load_system

    assert main(train_arguments(corpus, tmp_path / "exp", "retrieval", system("retrieval"))) == 0
    assert load_system(tmp_path / "exp/config.yaml").train.batch_size == 6
    row = json.loads((tmp_path / "exp/metrics.jsonl").read_text().splitlines()[0])
    assert set(row) == {"epoch", "train", "valid", "lr", "steps", *TIMES}
    assert read_json(corpus / "text/stats.json")["train"]["captions"] == 46
