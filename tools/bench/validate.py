#!/usr/bin/env python3
"""How long a data directory's validation takes, Python's start included: 50,000 utterances of five captions.

    tools/bench/validate.py [--utts N] [--runs K]

Prints the best and the median wall time of K fresh processes, and beside them, on the same directory, the time that
`sort -c` needs for the same files: the floor for anything that looks at every line.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from espret.data.datadir import DataDir

WORDS = ["a", "dog", "barks", "while", "rain", "falls", "on", "the", "roof", "and", "an", "engine", "idles", "near"]


def data_dir(n: int) -> DataDir:
    """A sound directory of `n` utterances with five captions each."""
    utts = [f"utt-{i:06d}" for i in range(n)]
    captions = {f"{utt}-{k}": utt for utt in utts for k in range(1, 6)}
    return DataDir(
        wav_scp={utt: f"data/local/audio/some folder/{utt}.flac" for utt in utts},
        utt2dur={utt: 3 + i % 977 / 977 for i, utt in enumerate(utts)},
        utt2sr=dict.fromkeys(utts, 16000),
        text={cap: " ".join(WORDS[i % 7 :]) for i, cap in enumerate(captions)},
        cap2utt=captions,
        utt2cap={utt: [f"{utt}-{k}" for k in range(1, 6)] for utt in utts},
    )


def times(command: list[str], runs: int) -> list[float]:
    """Wall seconds of `runs` runs of a command that must succeed."""
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - start)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utts", type=int, default=50_000)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "data"
        data_dir(options.utts).write(root)
        files = [str(root / name) for name in ("wav.scp", "text", "cap2utt", "utt2cap", "utt2dur", "utt2sr")]
        checks = "; ".join(f"LC_ALL=C sort -c '{name}'" for name in files)
        ours = times([sys.executable, "-m", "espret", "validate", str(root)], options.runs)
        floor = times(["sh", "-ec", checks], options.runs)
    print(f"{options.utts} utterances, {5 * options.utts} captions, {options.runs} runs")
    for name, taken in (("espret validate", ours), ("sort -c of the same files", floor)):
        print(f"{name}: best {min(taken):.3f} s, median {statistics.median(taken):.3f} s")


if __name__ == "__main__":
    main()
