"""Whatever ends a task or utils/run.py itself, no process that it started lives on."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from espret.jobs.guard import descendants

UTILS = Path(__file__).resolve().parents[2] / "utils"

# A task in the worst manner: a pipeline, a child in the background, and one that has left its session and its parent.
# Each process writes its id into a folder and then lives for ever.
LIVE = """
import os, sys, time, signal
kind, folder = sys.argv[1:]
if kind == "daemon":
    if os.fork(): sys.exit()
    os.setsid()
    if os.fork(): sys.exit()
if kind == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(os.path.join(folder, f"{kind}.{os.getpid()}"), "w").close()
while True: time.sleep(0.1)
"""
TASK = [sys.executable, "-c", LIVE, "daemon", "pids", "&&", sys.executable, "-c", LIVE, "first", "pids"]
TASK += ["|", sys.executable, "-c", LIVE, "second", "pids"]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def pids(folder: Path) -> list[int]:
    return [int(path.suffix[1:]) for path in (folder / "pids").iterdir()]


@pytest.fixture
def two_tasks(start: Callable[..., Any], folder: Path, wait_until: Callable[..., bool]) -> Any:
    """run.py with two tasks of three processes each running, and a third waiting."""
    (folder / "pids").mkdir()
    process = start("run.py", "--max-jobs-run", "2", "--num-threads", "1", "JOB=1:3", "x.JOB.log", *TASK)
    running = min(2, len(os.sched_getaffinity(0)))
    assert wait_until(lambda: len(pids(folder)) == 3 * running), pids(folder)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_every_descendant(two_tasks: Any, folder: Path, number: signal.Signals) -> None:
    processes = pids(folder)
    two_tasks.send_signal(number)
    _, errors = two_tasks.communicate(timeout=30)
    assert two_tasks.returncode == 2
    assert not [pid for pid in processes if alive(pid)]
    assert len(pids(folder)) == len(processes)  # the third task was not started
    assert f"interrupted ({number.name})" in errors
    record = json.loads((folder / "x.1.log.json").read_text())
    assert record["state"] == "interrupted" and record["argv"] == TASK
    assert not (folder / "x.3.log.json").exists()


def test_kill_9_of_run_py_ends_every_descendant(two_tasks: Any, folder: Path, wait_until: Callable[..., bool]) -> None:
    processes = pids(folder)
    two_tasks.kill()
    assert wait_until(lambda: not any(alive(pid) for pid in processes))
    assert wait_until(lambda: (folder / "x.1.log.json").exists())
    assert json.loads((folder / "x.1.log.json").read_text())["state"] == "interrupted"


def test_kill_9_of_the_supervisor_ends_every_descendant(two_tasks: Any, folder: Path) -> None:
    processes = pids(folder)
    supervisor = next(
        pid
        for pid in descendants(two_tasks.pid)
        if f"PPid:\t{two_tasks.pid}\n" in Path(f"/proc/{pid}/status").read_text()
    )
    os.kill(supervisor, signal.SIGKILL)
    _, errors = two_tasks.communicate(timeout=30)
    assert two_tasks.returncode == 1 and "its supervisor was killed by signal 9" in errors
    assert not [pid for pid in processes if alive(pid)]
    assert not list(folder.glob("*.json"))


def test_kill_9_of_a_task_ends_what_it_started(
    start: Callable[..., Any], folder: Path, wait_until: Callable[..., bool]
) -> None:
    (folder / "pids").mkdir()
    process = start("run.py", "x.log", *TASK)
    assert wait_until(lambda: len(pids(folder)) == 3)
    shell = next(pid for pid in descendants(process.pid) if b"pipefail" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(shell, signal.SIGKILL)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1 and "job failed: killed by SIGKILL" in errors
    assert not [pid for pid in pids(folder) if alive(pid)]


def test_what_ignores_term_is_killed_after_the_grace_period(
    start: Callable[..., Any], folder: Path, wait_until: Callable[..., bool]
) -> None:
    (folder / "pids").mkdir()
    process = start("run.py", "x.log", sys.executable, "-c", LIVE, "stubborn", "pids")
    assert wait_until(lambda: pids(folder))
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 2 and 4 < time.monotonic() - begin < 20
    assert not any(alive(pid) for pid in pids(folder))


def test_a_second_signal_kills_at_once(
    start: Callable[..., Any], folder: Path, wait_until: Callable[..., bool]
) -> None:
    (folder / "pids").mkdir()
    process = start("run.py", "x.log", sys.executable, "-c", LIVE, "stubborn", "pids")
    assert wait_until(lambda: pids(folder))
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 2 and time.monotonic() - begin < 4


def test_under_nohup_a_hangup_ends_nothing(
    start: Callable[..., Any], folder: Path, wait_until: Callable[..., bool]
) -> None:
    handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # inherited, as from nohup
    try:
        process = start("run.py", "x.log", "bash", "-c", "touch started; while [ ! -e go ]; do sleep 0.05; done")
    finally:
        signal.signal(signal.SIGHUP, handler)
    assert wait_until((folder / "started").exists)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    (folder / "go").write_text("")
    assert process.wait(20) == 0


def test_what_is_interrupted_is_not_done(
    start: Callable[..., Any], run: Callable[..., Any], folder: Path, wait_until: Callable[..., bool]
) -> None:
    """Also when the command takes TERM for a reason to stop in good order, with status 0."""
    gentle = "trap 'exit 0' TERM; [ -e go ] && exit 0; touch started; while :; do sleep 0.05; done"
    process = start("run.py", "x.log", "bash", "-c", gentle)
    assert wait_until((folder / "started").exists)
    process.terminate()
    assert process.wait(20) == 2
    record = json.loads((folder / "x.log.json").read_text())
    assert (record["state"], record["rc"]) == ("interrupted", 0)
    (folder / "go").write_text("")
    again = run("--pick", "incomplete", "x.log", "bash", "-c", gentle)
    assert again.returncode == 0 and "done already" not in again.stderr


def test_a_lock_stays_held_while_a_descendant_lives(folder: Path, environment: dict[str, str]) -> None:
    """The recipe runner passes its lock on; even with run.py and its supervisor killed at once it is not free early."""
    (folder / "pids").mkdir()
    with open(folder / "lock", "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        process = subprocess.Popen(
            [sys.executable, str(UTILS / "run.py"), "x.log", sys.executable, "-c", LIVE, "task", "pids"],
            cwd=folder,
            env={**environment, "ESPRET_LOCK_FD": str(stream.fileno())},
            pass_fds=(stream.fileno(),),
        )
    # Ours is closed: what holds the lock now is run.py and what it has started.
    deadline = time.monotonic() + 20
    while not pids(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    (task,) = pids(folder)
    inherited = [os.readlink(path) for path in Path(f"/proc/{task}/fd").iterdir()]
    with open(folder / "lock") as other:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process.terminate()
        assert process.wait(20) == 2
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert str(folder / "lock") in inherited
