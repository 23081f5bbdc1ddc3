"""Running utils/run.py and utils/slurm.py as users do, and a Slurm of a few lines that runs jobs at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

UTILS = Path(__file__).resolve().parents[2] / "utils"
Runner = Callable[..., "subprocess.CompletedProcess[str]"]


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> bool:
    """Whether `condition` came true within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture(name="wait_until")
def wait_until_fixture() -> Callable[..., bool]:
    return wait_until


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of the runners, without what this machine or a recipe may have set."""
    unwanted = ("ESPRET_", "SLURM_", "SBATCH_", "CUDA_", "OMP_")
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with a name that breaks careless quoting."""
    path = tmp_path / 'it\'s a "recipe" für $HOME'
    path.mkdir()
    return path


@pytest.fixture
def start(folder: Path, environment: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a runner, `start("run.py", ...)`, in the background; one that a failing test leaves is ended."""
    started = []

    def popen(script: str, *words: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(UTILS / script), *words],
            cwd=folder,
            env={**environment, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield popen
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.wait(30)
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()


@pytest.fixture
def run(start: Callable[..., subprocess.Popen[str]]) -> Runner:
    """Run utils/run.py to its end."""

    def call(
        *words: str, env: dict[str, str] | None = None, script: str = "run.py"
    ) -> subprocess.CompletedProcess[str]:
        process = start(script, *words, env=env)
        output, errors = process.communicate(timeout=120)
        return subprocess.CompletedProcess(words, process.returncode, output, errors)

    return call
