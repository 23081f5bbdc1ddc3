"""All 1,045 items of a published system on Clotho, where ESPRET_TEST_GOLDENS names the folder with them.

Captions and per-item scores of Labbeti/conette-audio-captioning, commit 9a8612cd0a5885f44c25caec0617be13ee47c119; the
captions are third parties' text and not part of this repository.
"""

import csv
import gzip
import json
import os
from pathlib import Path

import pytest

from espret.scoring.captions import CaptionScores, evaluate

FOLDER = os.environ.get("ESPRET_TEST_GOLDENS")
pytestmark = pytest.mark.skipif(not FOLDER, reason="ESPRET_TEST_GOLDENS does not name the folder of the goldens")

NAMES = {"METEOR": "meteor", "ROUGE-L": "rouge_l", "CIDEr-D": "cider_d", "SPICE": "spice", "SPIDEr": "spider"}
NAMES |= {f"BLEU-{n}": f"bleu_{n}" for n in range(1, 5)}


def compare(metrics: list[str]) -> CaptionScores:
    """Score with `metrics`; every value, of items and of the set, must be the published one."""
    folder = Path(FOLDER or "") / "captions"
    with gzip.open(folder / "clotho_eval_captions.jsonl.gz", "rt", encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    with gzip.open(folder / "clotho_eval_scores.csv.gz", "rt", encoding="utf-8", newline="") as stream:
        published = {f"{int(row['index']):06d}": row for row in csv.DictReader(stream)}
    corpus = json.loads((folder / "clotho_eval_corpus.json").read_text(encoding="utf-8"))
    hyps = {f"{row['index']:06d}": row["cand"] for row in rows}
    refs = {f"{row['index']:06d}": row["refs"] for row in rows}
    scores = evaluate(hyps, refs, metrics, tokenised=True)
    assert not scores.unavailable and len(scores.items) == 1045
    for name in scores.corpus:
        assert scores.value(name) == pytest.approx(corpus[NAMES[name]], abs=1e-12)
        for utt, item in scores.items.items():
            assert item[name] == pytest.approx(float(published[utt][NAMES[name]]), abs=1e-12), (name, utt)
    return scores


def test_everything_but_spice() -> None:
    compare(["BLEU", "METEOR", "ROUGE-L", "CIDEr-D"])


@pytest.mark.java
@pytest.mark.slow  # 6,000 parses, two minutes of two cores, unless they are stored
def test_spice_is_exact_on_every_item() -> None:
    compare(["SPIDEr"])
