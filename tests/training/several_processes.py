"""Running `espret train` in processes of its own, with something that goes wrong in one of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# A sitecustomize.py: the launcher starts plain `python -m espret`. Once the loop is loaded, the test's statements run.
HOOK = """
import os, sys
from importlib.machinery import PathFinder

rank = int(os.environ.get("RANK", -1))

class Loop(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        spec = PathFinder.find_spec(name, path, target) if name == "espret.training.loop" else None
        if spec is not None:
            load = spec.loader.exec_module
            spec.loader.exec_module = lambda module: (load(module), prepare(module))
        return spec

if rank >= 0:
    sys.meta_path.insert(0, Loop)

def prepare(loop):
    import signal, time, torch
    train_step = loop.train_step
    def at_step(number, action):
        def step(run, batch, place):
            if place.step == number:
                action(run)
            return train_step(run, batch, place)
        loop.train_step = step
"""


def start(words: list[str], before: str = "", **environment: str) -> subprocess.Popen[str]:
    """Start `espret WORDS`; each of several processes first runs the statements `before`."""
    every = {**os.environ, **environment, "OMP_NUM_THREADS": "1"}
    if before:
        folder = Path(words[words.index("--out") + 1]).parent / "hook"
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(HOOK + "".join(f"    {line}\n" for line in before.splitlines()))
        every["PYTHONPATH"] = f"{folder}:{every.get('PYTHONPATH', '')}"
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-m", "espret", *words], env=every, start_new_session=True, **pipes)


def finish(process: subprocess.Popen[str], seconds: float = 120) -> subprocess.CompletedProcess[str]:
    """Its end, which must come in time."""
    try:
        output, errors = process.communicate(timeout=seconds)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def run(words: list[str], before: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """`start`, to the end."""
    return finish(start(words, before, **environment))


def below(process: subprocess.Popen[str]) -> list[int]:
    """The living processes that it has started."""
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    """Whether a process has not ended; one that nobody has reaped has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for what must come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
