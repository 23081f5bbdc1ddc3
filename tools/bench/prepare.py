#!/usr/bin/env python3
"""Stage 0 at the size of AudioCaps: 50,000 flac files of 10 s with one caption each, headers read, then all decoded.

    tools/bench/prepare.py [--clips N] [--decode M] [--runs K] [--folder DIR]

Prints wall time (median of K fresh processes) and peak memory of `espret prepare` over N clips, beside a plain loop of
soundfile.info over the same files; then of check-audio over M clips as one job, as two, and as one that is killed half
way and started again, beside a plain loop of soundfile.read. The N files are links to 100 different ones.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

RATE, SECONDS, DIFFERENT = 32_000, 10, 100
DATA = """
from pathlib import Path

def clips():
    for number in range({clips}):
        yield "train", f"clip-{{number:06d}}", Path("audio") / f"{{number:06d}}.flac", ["a dog barks while rain falls"]
"""
INFO = "import soundfile, sys; [soundfile.info(path) for path in sys.stdin.read().split()]"
READ = "import soundfile, sys; [soundfile.read(path, dtype='float32') for path in sys.stdin.read().split()]"
OPTIONS = [
    "--function",
    "data.py",
    "--corpus",
    "bench",
    "--split",
    "train=train",
    "--work",
    "work",
    "--issues",
    "i.tsv",
]


def make(clips: int) -> None:
    """The files, as links to DIFFERENT ones: noise under a slow envelope, which flac packs about as recordings."""
    rng = np.random.default_rng(0)
    Path("different").mkdir()
    Path("audio").mkdir()
    for number in range(DIFFERENT):
        samples = 0.1 * rng.standard_normal(RATE * SECONDS) * np.repeat(rng.uniform(0, 1, 100), RATE * SECONDS // 100)
        soundfile.write(f"different/{number}.flac", samples, RATE)
    for number in range(clips):
        os.link(f"different/{number % DIFFERENT}.flac", f"audio/{number:06d}.flac")


def run(*commands: list[str], stdin: str = "") -> tuple[float, float]:
    """Wall seconds of commands side by side, and the peak memory of the largest in MB. They must succeed."""
    start = time.perf_counter()
    children = [subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) for words in commands]
    for child in children:
        assert child.stdin
        child.stdin.write(stdin.encode())
        child.stdin.close()
    peak = 0
    for child in children:
        _, status, usage = os.wait4(child.pid, 0)
        if status:
            sys.exit(f"failed: {child.args}")
        peak = max(peak, usage.ru_maxrss)
    return time.perf_counter() - start, peak / 1024


def report(name: str, taken: list[tuple[float, float]]) -> None:
    seconds, megabytes = zip(*taken)
    print(f"{name:<44} {statistics.median(seconds):7.1f} s   {max(megabytes):6.0f} MB", flush=True)


def espret(*words: str) -> list[str]:
    return [sys.executable, "-m", "espret", *words]


def check(shard: str) -> list[str]:
    return espret("check-audio", "--work", "work", "--shard", shard, "train")


def killed_and_gone_on(wait: float) -> tuple[float, float]:
    """check-audio killed after `wait` seconds, then again: wall time and memory of the second run."""
    shutil.rmtree("work")
    first = subprocess.Popen(check("1/1"), stdout=subprocess.DEVNULL)
    time.sleep(wait)
    first.kill()
    first.wait()
    return run(check("1/1"))


def bench(clips: int, decode: int, runs: int) -> None:
    make(clips)
    paths = [f"audio/{number:06d}.flac" for number in range(clips)]
    Path("data.py").write_text(DATA.format(clips=clips))
    print(f"{clips} clips: headers")
    report("espret prepare", [run(espret("prepare", *OPTIONS)) for _ in range(runs)])
    loop = [run([sys.executable, "-c", INFO], stdin="\n".join(paths)) for _ in range(runs)]
    report("a loop of soundfile.info", loop)
    Path("data.py").write_text(DATA.format(clips=decode))
    run(espret("prepare", *OPTIONS))
    print(f"{decode} clips of {SECONDS} s: decoded")
    once = [run(check("1/1")) for _ in range(runs)]
    report("espret check-audio, one job", once)
    report("espret check-audio, two jobs side by side", [run(check("1/2"), check("2/2")) for _ in range(runs)])
    half = statistics.median(seconds for seconds, _ in once) / 2
    report("espret check-audio, again after a kill", [killed_and_gone_on(half) for _ in range(runs)])
    loop = [run([sys.executable, "-c", READ], stdin="\n".join(paths[:decode])) for _ in range(runs)]
    report("a loop of soundfile.read", loop)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=50_000)
    parser.add_argument("--decode", type=int, default=2_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", help="where the files are made for the time (the system's, by default)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        os.chdir(folder)
        bench(options.clips, options.decode, options.runs)
        os.chdir("/")


if __name__ == "__main__":
    main()
