"""environment.json of an experiment: where and with what each of its runs was started, the last one last.

Of the environment variables only those listed here are written: others hold secrets. What is missing on the machine at
hand for the recipes: espret/doctor.py.
"""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import torch

import espret
from espret.errors import EspretError
from espret.files import read_json, write_json
from espret.mending import ROOT
from espret.training import distributed

FILE = "environment.json"
PREFIXES = ("OMP_", "CUDA_", "NCCL_")
VARIABLES = (
    "CUBLAS_WORKSPACE_CONFIG",
    "MKL_NUM_THREADS",
    "PYTHONHASHSEED",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "SLURM_JOB_ID",
    "SLURM_JOB_NODELIST",
    "SLURM_RESTART_COUNT",
)
PATIENCE = 20  # seconds for another program's answer


def record(folder: Path, device: torch.device) -> None:
    """Add this start to the list in `folder`/environment.json."""
    path = folder / FILE
    try:
        before = read_json(path)
    except EspretError:  # none yet, or not of our making
        before = []
    write_json(path, [*(before if isinstance(before, list) else []), describe(device)])


def describe(device: torch.device) -> dict[str, Any]:
    """Time, programs, machine and the variables that matter, of this process (rank 0's where there are several)."""
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "host": socket.gethostname(),
        "espret": espret.__version__,
        "git": git_state(ROOT),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "torch": torch.__version__,
        "cpu": {"model": _cpu_model(), "cores": len(os.sched_getaffinity(0)), "threads": torch.get_num_threads()},
        "processes": distributed.world(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "gpu": _gpus() if device.type == "cuda" else None,
        "variables": {
            name: value for name, value in sorted(os.environ.items()) if name.startswith(PREFIXES) or name in VARIABLES
        },
    }


def git_state(root: Path) -> dict[str, Any] | None:
    """Commit of the clone `root`, and whether its `espret` differs (changed or new files); None where it is no clone.

    Git runs without hooks, without waiting for locks and without what the environment says of other repositories.
    """
    top = _git(root, "rev-parse", "--show-toplevel")
    if top is None or Path(top) != root.resolve():  # a package installed somewhere inside another project's clone
        return None
    changes = _git(root, "status", "--porcelain", "--untracked-files=all", "--", "espret")
    return {"commit": _git(root, "rev-parse", "HEAD"), "dirty": None if changes is None else bool(changes)}


def _git(root: Path, *words: str) -> str | None:
    options = ["--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]
    outer = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return _answer(["git", *options, "-C", str(root), *words], outer)


def _answer(command: list[str], environment: dict[str, str] | None = None) -> str | None:
    """What a program prints, stripped; None where it is absent, fails or does not answer."""
    try:
        result = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return os.fsdecode(result.stdout).strip()


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _gpus() -> dict[str, Any]:
    driver = _answer(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"])
    return {
        "names": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "driver": driver.splitlines()[0] if driver else None,
    }
