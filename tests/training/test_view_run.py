"""A whole run seen from outside: what it leaves to look at, also where it was interrupted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_corpus import system, train_arguments

from espret.bin import main
from espret.files import read_jsonl
from espret.training import loop, progress


def test_an_interrupted_run_shows_the_same_points(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "an 'exp'; of mine"
    words = train_arguments(corpus, out, "retrieval", system("retrieval", save_minutes=0.0, batch_size=4))
    save, saves = loop.save, 0

    def killed(run: Any) -> None:
        nonlocal saves
        save(run)
        saves += 1
        if saves in (1, 3):
            raise KeyboardInterrupt  # saved, but not yet shown

    monkeypatch.setattr(loop, "save", killed)
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    assert [main(words), main(words), main(words)] == [130, 130, 0]
    rows = read_jsonl(out / "metrics.jsonl")
    for row in rows:
        assert row["steps"] > 1 and 0 <= row["data_wait"] <= 1 and row["memory_gb"] > 0 and row["valid_seconds"] > 0
    for part in ("train", "valid"):
        read = EventAccumulator(str(out / "tensorboard" / part), purge_orphaned_data=False).Reload()
        assert set(rows[0][part]) <= set(read.Tags()["scalars"])
        shown = [(event.step, event.value) for event in read.Scalars("loss")]
        assert shown == [(row["epoch"], pytest.approx(row[part]["loss"])) for row in rows]
    assert {"lr", "data_wait", "memory_gb", "grad_norm"} <= set(
        EventAccumulator(str(out / "tensorboard/train")).Reload().Tags()["scalars"]
    )
    names = {path.name for path in (out / "images").iterdir()}
    assert {"loss.png", "t2a_R@1.png"} <= names
    assert len(json.loads((out / "environment.json").read_text())) == 3
    lines = [line for line in capsys.readouterr().out.splitlines() if "  step " in line]
    steps = rows[0]["steps"]
    assert [line.partition("  loss")[0] for line in lines[: 2 * steps]] == [
        f"epoch {epoch}/4  step {step}/{steps}" for epoch in (1, 2) for step in range(1, steps + 1)
    ]
    assert not list(out.glob("**/.*"))
