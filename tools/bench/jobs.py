#!/usr/bin/env python3
"""What utils/run.py adds to a command: `run.py x.log true` against `bash -c true`, in one run, medians of many.

Prints both times, the difference in milliseconds and the ratio; exits 1 when the difference is not below --limit-ms.
A bare start of the same Python is shown too: that is the part which no runner in Python can do without.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUN = Path(__file__).resolve().parents[2] / "utils" / "run.py"


def milliseconds(command: list[str], folder: str) -> float:
    """How long one run of `command` takes."""
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True)
    return 1000 * (time.perf_counter() - start)


def main() -> int:
    """Measure in turns, so that other load on the machine falls on all alike."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--limit-ms", type=float, default=50.0)
    options = parser.parse_args()
    commands = {
        "bash -c true": ["bash", "-c", "true"],
        "python -c pass": [sys.executable, "-c", "pass"],
        "run.py x.log true": [sys.executable, str(RUN), "x.log", "true"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a user's Python keeps what it has compiled
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.repeats):
            for name, command in commands.items():
                times[name].append(milliseconds(command, folder))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, value in medians.items():
        print(f"{name:20s} {value:7.1f} ms")
    bash, ours = medians["bash -c true"], medians["run.py x.log true"]
    print(f"run.py adds {ours - bash:.1f} ms (limit {options.limit_ms:.0f}), ratio {ours / bash:.1f}")
    return 0 if ours - bash < options.limit_ms else 1


if __name__ == "__main__":
    sys.exit(main())
