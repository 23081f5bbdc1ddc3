"""Score a similarity matrix: R@1, 5, 10, 50, mAP@10, median and mean rank, from text to audio and from audio to text.

Reads sim.npy [captions, clips], captions.txt and clips.txt from --decode and whose caption is whose from --data; writes
scores.json (the set) and items.jsonl (every caption: the rank of its clip, the ten clips it found, and as a2t_rank its
own rank among all captions for its clip) to --out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from espret.bin import parser
from espret.data.datadir import DataDir
from espret.errors import EspretError
from espret.scoring.output import summary, write_scores
from espret.scoring.retrieval import RetrievalScores, Similarity, rank_metrics, top


def main(argv: list[str]) -> int:
    """Score and write; always 0."""
    options = parser("score-retrieval", __doc__)
    options.add_argument("--decode", required=True, help="folder with sim.npy, captions.txt and clips.txt")
    options.add_argument("--data", required=True, help="data directory of the clips and their captions")
    options.add_argument("--out", required=True, help="score directory to write")
    values = options.parse_args(argv)
    decode = Path(values.decode)
    captions, clips = _ids(decode / "captions.txt"), _ids(decode / "clips.txt")
    sim = _similarities(decode / "sim.npy", (len(captions), len(clips)))
    cap2utt = DataDir.load(values.data).cap2utt
    _same(decode / "captions.txt", captions, Path(values.data) / "cap2utt", set(cap2utt))
    column = {utt: number for number, utt in enumerate(clips)}
    _same(decode / "clips.txt", clips, Path(values.data), set(DataDir.load(values.data).utts))
    scores = rank_metrics(sim, [column[cap2utt[caption]] for caption in captions], captions, clips)
    counts = {"n_clips": len(clips), "n_captions": len(captions)}
    items = _items(sim, captions, clips, cap2utt, scores)
    write_scores(values.out, "retrieval", values.data, counts, scores.metrics, items)
    print(summary(scores.metrics))
    return 0


def _ids(path: Path) -> list[str]:
    if not path.is_file():
        raise EspretError(f"{path}: no such file; the decoding stage writes it: ./run.sh --stage 4 --stop-stage 4")
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def _similarities(path: Path, shape: tuple[int, int]) -> Similarity:
    try:
        sim: Similarity = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise EspretError(f"{path}: not a similarity matrix: {error}") from None
    if sim.shape != shape:
        raise EspretError(f"{path}: shape {sim.shape}, but captions.txt and clips.txt beside it have {shape} ids")
    return sim


def _same(path: Path, ids: list[str], other: Path, expected: set[str]) -> None:
    for problem, names in (
        (f"lacks ids of {other}", expected.difference(ids)),
        (f"has ids that are not in {other}", set(ids).difference(expected)),
        ("has ids twice", {name for name, again in zip(sorted(ids), sorted(ids)[1:]) if name == again}),
    ):
        if names:
            some = ", ".join(sorted(names)[:5]) + (", ..." if len(names) > 5 else "")
            raise EspretError(f"{path}: {problem}: {some} ({len(names)} in all); decode this data again (stage 4)")


def _items(
    sim: Similarity, captions: list[str], clips: list[str], cap2utt: dict[str, str], scores: RetrievalScores
) -> Iterator[dict[str, Any]]:
    for row, (caption, columns) in enumerate(zip(captions, top(sim))):
        found = [{"utt": clips[column], "score": float(sim[row, column])} for column in columns]
        ranks = {"rank": float(scores.t2a_ranks[row]), "a2t_rank": float(scores.a2t_own_ranks[row])}
        yield {"caption": caption, "utt": cap2utt[caption], **ranks, "top": found}
