#!/usr/bin/env python3
"""What utils/run.py adds to a command: `run.py x.log true` against `bash -c true`, in one run.

Prints the least and the median wall-clock time and the least CPU time of each, and what run.py adds, in milliseconds
and as a ratio. Exits 1 when the least wall-clock times differ by more than --limit-ms; the least, for whatever else the
machine does can only add to a time. A bare start of the same Python is shown too: no runner in Python can do without.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

RUN = Path(__file__).resolve().parents[2] / "utils" / "run.py"


def milliseconds(command: list[str]) -> tuple[float, float]:
    """Wall-clock and CPU time of one run of `command`, with all its children."""
    start = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - start
    if status != 0:
        raise RuntimeError(f"{command} failed")
    return 1000 * wall, 1000 * (usage.ru_utime + usage.ru_stime)


def main() -> int:
    """Measure in turns, so that other load on the machine falls on all alike."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--limit-ms", type=float, default=50.0)
    options = parser.parse_args()
    commands = {
        "bash -c true": ["bash", "-c", "true"],
        "python3 -c pass": [sys.executable, "-c", "pass"],
        "run.py x.log true": [sys.executable, str(RUN), "x.log", "true"],
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a user's Python keeps what it has compiled
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for _ in range(options.repeats):
            for name, command in commands.items():
                times[name].append(milliseconds(command))
        os.chdir("/")
    least = {name: min(wall for wall, _ in values) for name, values in times.items()}
    for name, values in times.items():
        median = statistics.median(wall for wall, _ in values)
        print(
            f"{name:20s} least {least[name]:6.1f} ms, median {median:6.1f} ms, CPU {min(c for _, c in values):6.1f} ms"
        )
    bash, ours = least["bash -c true"], least["run.py x.log true"]
    print(f"run.py adds {ours - bash:.1f} ms (limit {options.limit_ms:.0f}), ratio {ours / bash:.1f}")
    return 0 if ours - bash < options.limit_ms else 1


if __name__ == "__main__":
    sys.exit(main())
