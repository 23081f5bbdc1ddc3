"""A recipe folder with the records that stage 5 reads, made by hand: small numbers that a test can check on paper."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from espret.data.datadir import DataDir

DAY = 1_700_000_000  # 2023-11-14, in UTC
RATE = 16000
HOSTILE = "<script>alert('x')</script> & \"dogs\""


class RecipeTree:
    """A recipe folder in which score directories, data and training histories are put."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def data(self, split: str = "test", clips: int = 8, **about: Any) -> DataDir:
        """A data directory of short tones named clip<i> with two captions each; those of clip0 are hostile."""
        data = DataDir({})
        for number in range(clips):
            utt = f"clip{number}"
            path = self.root / "wav s" / f"{utt} é'.wav"
            path.parent.mkdir(exist_ok=True)
            tone = 0.3 * np.sin(2 * np.pi * (200 + 100 * number) * np.arange(RATE // 4) / RATE)
            soundfile.write(path, tone, RATE)
            data.wav_scp[utt] = str(path.relative_to(self.root))
            data.utt2dur[utt], data.utt2sr[utt] = 0.25, RATE
            for k in (1, 2):
                caption = f"{utt}-{k}"
                data.text[caption] = HOSTILE if number == 0 else f"sound {number} said {k}"
                data.cap2utt[caption] = utt
                data.utt2cap.setdefault(utt, []).append(caption)
        data.about = {"corpus": "toy", "split": split, "variant": "toy.v1", **data.counts(), **about}
        data.write(self.root / "data" / split)
        return data

    def score(
        self, task: str, system: str, seed: int, metrics: dict[str, float | None], split: str = "test", **more: Any
    ) -> Path:
        """A score directory with its record, dated DAY; returns its path relative to the recipe."""
        folder = Path("exp") / f"{task}_{system}" / f"seed{seed}" / f"score_{split}"
        record = {"task": task, "split": split, "n_clips": 8, "n_captions": 16, "metrics": metrics, **more}
        (self.root / folder).mkdir(parents=True)
        file = self.root / folder / "scores.json"
        file.write_text(json.dumps(record))
        os.utime(file, (DAY, DAY))
        return folder

    def lines(self, path: str | Path, rows: list[Any]) -> None:
        """Write JSON lines to a path relative to the recipe."""
        (self.root / path).write_text("".join(json.dumps(row) + "\n" for row in rows))

    def retrieval_items(self, folder: Path) -> None:
        """items.jsonl in which the query of clip<i> ranks its clip at i + 1, behind the clips before it."""
        order = [f"clip{number}" for number in range(8)]
        hits = [{"utt": utt, "score": 0.9 - 0.1 * place} for place, utt in enumerate(order)]
        rows = [{"caption": f"{utt}-1", "utt": utt, "rank": rank, "top": hits} for rank, utt in enumerate(order, 1)]
        self.lines(folder / "items.jsonl", rows)

    def caption_items(self, folder: Path, data: DataDir, **more: Any) -> None:
        """items.jsonl in which clip<i> has SPIDEr i / 10."""
        rows = []
        for number, (utt, captions) in enumerate(sorted(data.utt2cap.items())):
            references = [data.text[caption] for caption in captions]
            row = {"utt": utt, "caption": f"heard <b>{utt}</b>", "references": references, "SPIDEr": number / 10}
            rows.append({**row, **more})
        self.lines(folder / "items.jsonl", rows)

    def history(self, folder: Path, losses: list[float]) -> None:
        """metrics.jsonl beside a score directory: a training loss an epoch, a validation loss 0.5 above it."""
        rows = [
            {
                "epoch": epoch,
                "train": {"loss": loss},
                "valid": {"loss": loss + 0.5, "t2a/R@10": 10.0 * epoch},
                "lr": 0.001,
                "seconds": 30.0,
                "clips_per_second": 100.0,
            }
            for epoch, loss in enumerate(losses, 1)
        ]
        self.lines(folder.parent / "metrics.jsonl", rows)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecipeTree:
    """An empty recipe folder, whose name has a blank, a quote and a letter that is not ASCII, as working directory."""
    root = tmp_path / "é recipe's"
    root.mkdir()
    monkeypatch.chdir(root)
    return RecipeTree(root)


@pytest.fixture
def retrieval_metrics() -> Callable[[float], dict[str, float]]:
    """All retrieval metrics from one number, which is t2a R@10."""

    def make(value: float) -> dict[str, float]:
        named = {"R@1": 0.25, "R@5": 0.5, "R@10": 1.0, "R@50": 1.5, "mAP@10": 0.75, "MedR": 0.1, "MeanR": 0.2}
        return {f"{way}/{name}": value * factor for way in ("t2a", "a2t") for name, factor in named.items()}

    return make


@pytest.fixture
def caption_metrics() -> dict[str, float | None]:
    """All captioning metrics."""
    names = ("BLEU-1", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr-D", "SPICE", "SPIDEr")
    return {name: (number + 1) / 10 for number, name in enumerate(names)}
