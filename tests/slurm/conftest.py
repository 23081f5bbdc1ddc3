"""A real Slurm on this machine for the tests marked `slurm`: a controller and two nodes that pretend to have many CPUs.

It needs root and Debian's packages (tests/slurm/start_slurm.sh --install). Where they are missing the tests skip and
say why; with ESPRET_REQUIRE_SLURM=1, which CI sets, they fail instead.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "training"))  # tiny_corpus.py
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")


class SlurmCluster:
    """A running cluster. `env` is the environment in which its clients, and so utils/slurm.py, find it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._port = _free_ports(3)
        unwanted = ("ESPRET_", "SLURM_", "SBATCH_", "CUDA_", "OMP_")
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
        self.env["SLURM_CONF"] = str(root / "slurm.conf")

    def _script(self, name: str, *words: str) -> None:
        run = subprocess.run([HERE / name, *words, self.root], capture_output=True, text=True, timeout=120, check=False)
        if run.returncode != 0:
            raise RuntimeError(f"{name}: {run.stderr}")

    def start(self) -> None:
        """Start what does not run."""
        self._script("start_slurm.sh", "--nodes", "2", "--cpus", "12", "--port", str(self._port))

    def stop(self) -> None:
        """Stop everything; jobs are cancelled."""
        self._script("stop_slurm.sh")

    def stop_controller(self, kill: bool = False) -> None:
        """Stop the controller; jobs go on. `start` brings it back."""
        self._script("stop_slurm.sh", "--controller-only", *(["--kill"] if kill else []))

    def squeue(self, *words: str) -> list[str]:
        """Ids of the jobs that have not ended; options of squeue may choose among them."""
        return subprocess.run(
            ["squeue", "-h", "-o", "%i", *words], env=self.env, capture_output=True, text=True, check=True
        ).stdout.splitlines()


def _free_ports(count: int) -> int:
    """The first of `count` neighbouring ports that nobody listens to."""
    for first in range(16817 + os.getpid() % 1000 * count, 32000, count):
        try:
            for number in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", number))
        except OSError:
            continue
        return first
    raise RuntimeError(f"no {count} free ports")


def _missing() -> str | None:
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        return f"no Slurm here ({', '.join(absent)} not found): tests/slurm/start_slurm.sh --install"
    if os.getuid() != 0:
        return "a Slurm node must run as root"
    return None


@pytest.fixture(scope="session")
def slurm_cluster() -> Iterator[SlurmCluster]:
    """A cluster of its own for this session."""
    reason = _missing()
    if reason and os.environ.get("ESPRET_REQUIRE_SLURM") == "1":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    root = Path(tempfile.mkdtemp(prefix="espret-slurm-"))  # Slurm's configuration takes no blanks
    cluster = SlurmCluster(root)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def slurm_env(slurm_cluster: SlurmCluster) -> Iterator[dict[str, str]]:
    """The environment in which utils/slurm.py finds a running, empty cluster."""
    slurm_cluster.start()
    yield dict(slurm_cluster.env)
    slurm_cluster.start()  # a failed test may have left it without its controller
    left = slurm_cluster.squeue("-o", "%A")
    if left:
        subprocess.run(["scancel", *left], env=slurm_cluster.env, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with a name that breaks careless quoting."""
    path = tmp_path / 'it\'s a "recipe" für $HOME 100%'
    path.mkdir()
    return path


@pytest.fixture
def wait_until() -> Callable[..., bool]:
    """Whether a condition came true in time."""

    def wait(condition: Callable[[], object], seconds: float = 30.0) -> bool:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    return wait
