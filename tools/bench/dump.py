#!/usr/bin/env python3
"""Stage 1: how a dump of log-mels gains from a second core, and reading features at random against HDF5.

    tools/bench/dump.py [--clips N] [--reads M] [--runs K] [--folder DIR]

Dumps N flac files of 10 s at 32 kHz as log-mels at 16 kHz, by one job on one core and by two jobs on two, in turns, and
prints the least time of K runs of each and their ratio to linear. Times begin when all jobs have started and imported
what they need. Then reads M of the matrices in random order, by FeatureReader and from an HDF5 file of the same
matrices (a dataset each), in turns, from the page cache; prints the least time of K runs a matrix. Exits 1 below 0.9 of
linear, or where HDF5 is faster.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import soundfile

from espret.data.datadir import DataDir
from espret.features.merge import merge_dump
from espret.features.reader import FeatureReader

RATE, SECONDS, DIFFERENT = 32_000, 10, 50
FEATS = Path("dump/logmel/train")
LINEAR = 0.9
JOB = """
import os, sys, time
core, shard, out = sys.argv[1:]
os.sched_setaffinity(0, {int(core)})
from espret.config import Features
from espret.features.dump import dump
features = Features("logmel", {"type": "logmel"}, 16000)
dump(features, "data/warm", out + ".warm" + core)  # what is imported or made only once
print("ready", flush=True)
sys.stdin.readline()
dump(features, "data/train", out, shard)
print("done", flush=True)
"""


def make(clips: int) -> None:
    """Sound files as links to a few different ones, noise under a slow envelope; two data directories."""
    rng = np.random.default_rng(0)
    Path("audio").mkdir()
    for number in range(clips):
        path = f"audio/{number:06d}.flac"
        if number < DIFFERENT:
            envelope = np.repeat(rng.uniform(0, 0.2, 100), RATE * SECONDS // 100)
            soundfile.write(path, rng.standard_normal(RATE * SECONDS) * envelope, RATE)
        else:
            os.link(f"audio/{number % DIFFERENT:06d}.flac", path)
    directory = DataDir(wav_scp={f"clip{number:06d}": f"audio/{number:06d}.flac" for number in range(clips)})
    directory.write("data/train")
    directory.subset(directory.utts[:2]).write("data/warm")


def seconds_of(jobs: int, cores: list[int], run: int) -> float:
    """Wall time of a dump by `jobs` jobs, each on a core of its own."""
    out = f"{FEATS}.{run}.{jobs}"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", JOB, str(cores[j]), f"{j + 1}/{jobs}", out],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for j in range(jobs)
    ]
    for process in processes:
        expect(process, "ready")
    began = time.perf_counter()
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        expect(process, "done")
    taken = time.perf_counter() - began
    for process in processes:
        process.communicate()
    return taken


def expect(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout
    if process.stdout.readline().strip() != word:
        sys.exit(f"a job ended without saying {word}")


def scaling(runs: int, clips: int) -> bool:
    """Whether two jobs are fast enough."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        sys.exit("one core only; the comparison needs two")
    times: dict[int, list[float]] = {1: [], 2: []}
    for run in range(runs):
        for jobs, taken in times.items():
            taken.append(seconds_of(jobs, cores, run))
    one, two = min(times[1]), min(times[2])
    for jobs, best in ((1, one), (2, two)):
        print(f"dump of {clips} clips, {jobs} job(s): {best:.2f} s, {clips * SECONDS / best:.0f} times real time")
    print(f"ratio to linear: {one / two / 2:.2f} (limit {LINEAR})")
    return one / two / 2 >= LINEAR


def reading(runs: int, reads: int) -> bool:
    """Whether reading is no slower than from HDF5."""
    partial = Path(f"{FEATS}.0.2")
    merge_dump(partial)
    reader = FeatureReader(partial)
    with h5py.File("feats.h5", "w") as made:
        for utt in reader:
            made[utt] = reader[utt]
    order = random.Random(0).choices(reader.utts, k=reads)
    with h5py.File("feats.h5", "r") as file:
        readers: dict[str, Callable[[str], np.ndarray]] = {
            "espret": reader.__getitem__,
            "h5py": lambda utt: file[utt][()],
        }
        if not all(np.array_equal(reader[utt], readers["h5py"](utt)) for utt in order[:100]):
            sys.exit("the files differ")
        times: dict[str, list[float]] = {name: [] for name in readers}
        for _ in range(runs):
            for name, read in readers.items():
                began = time.perf_counter()
                for utt in order:
                    read(utt)
                times[name].append(time.perf_counter() - began)
    shape = reader[order[0]].shape
    ours, theirs = (1e6 * min(times[name]) / reads for name in ("espret", "h5py"))
    print(f"random reads of {shape}: espret {ours:.0f} us, h5py {theirs:.0f} us, ratio {theirs / ours:.2f}")
    return ours <= theirs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1000, metavar="N")
    parser.add_argument("--reads", type=int, default=5000, metavar="M")
    parser.add_argument("--runs", type=int, default=3, metavar="K")
    parser.add_argument("--folder", type=Path, help="where to work (a temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        os.chdir(folder)
        make(options.clips)
        passed = [scaling(options.runs, options.clips), reading(options.runs, options.reads)]
        os.chdir("/")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
