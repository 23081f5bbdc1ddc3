"""The launcher: `espret train` in several processes on this node, which end together, by one message if one fails.

Each process gets the environment that torchrun would give it, and a session of its own, so that a signal to the
launcher's group reaches it once, from here. What torchrun's agent does not do: it dies of Slurm's warning, gives
processes 30 s to save before it kills them, and prints a traceback for each. Where processes meet: rendezvous.py.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch.distributed as dist

from espret.jobs.guard import die_with_parent, exited
from espret.training.interruption import SIGNALS, Interruption, status
from espret.training.rendezvous import LAUNCHED, REPORTS, divert, slurm_address

GRACE = 5.0  # seconds that the others have to end by themselves once one has failed
AGREED = (0, *(status(number) for number in SIGNALS))  # exit statuses on which all processes agree
UNREAD = 128 + signal.SIGPIPE  # of a process whose output nobody reads any more
FOLLOWING = (signal.SIGABRT, signal.SIGPIPE)  # what may kill a process because another is gone


def launch(argv: list[str], processes: int, nodes: int) -> int:
    """Run `espret ARGV` in `processes` processes on this node, one of `nodes`; returns the exit status of all.

    On several nodes srun runs one launcher on each; the first node's keeps the store where the processes meet.
    """
    node = int(os.environ["SLURM_PROCID"]) if nodes > 1 else 0
    with tempfile.TemporaryDirectory(prefix="espret-") as reports, Interruption() as asked:
        environment = {**os.environ, **_environment(processes, nodes), LAUNCHED: str(os.getpid()), REPORTS: reports}
        address, port = slurm_address() if nodes > 1 else ("127.0.0.1", 0)
        store = _serve(address, port) if node == 0 else None
        environment |= {"MASTER_ADDR": address, "MASTER_PORT": str(store.port if store else port)}
        running: dict[int, subprocess.Popen[bytes]] = {}
        try:
            for local in range(processes):
                rank = node * processes + local
                environment |= {"RANK": str(rank), "LOCAL_RANK": str(local)}
                command = [sys.executable, "-m", "espret", *argv]
                running[rank] = subprocess.Popen(command, env=environment, start_new_session=True)
            ended = _wait(running, asked)
        finally:
            for process in running.values():
                _kill_group(process.pid)
                process.wait()
        return _verdict(ended, asked.number, Path(reports))


@contextlib.contextmanager
def member() -> Iterator[None]:
    """What a process that `launch` started does around its work: it ends with the launcher, and reports what fails."""
    launcher = os.environ.get(LAUNCHED)
    if launcher:
        die_with_parent(int(launcher), signal.SIGKILL)
    try:
        yield
    except BaseException:
        divert()
        raise


def _environment(processes: int, nodes: int) -> dict[str, str]:
    threads = max(1, len(os.sched_getaffinity(0)) // processes)
    environment = {"WORLD_SIZE": str(processes * nodes), "OMP_NUM_THREADS": str(threads)}
    if nodes == 1:  # gloo else looks for the address of this host's name, which may be none
        environment["GLOO_SOCKET_IFNAME"] = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    return {name: os.environ.get(name, value) if name != "WORLD_SIZE" else value for name, value in environment.items()}


def _serve(address: str, port: int) -> dist.TCPStore:
    return dist.TCPStore(address, port, is_master=True, wait_for_workers=False)


def _wait(running: dict[int, subprocess.Popen[bytes]], asked: Interruption) -> dict[int, int]:
    """The exit status of each process (-N: killed by signal N) that has ended, all or until one has failed; what is
    asked of this one is passed on."""
    ended: dict[int, int] = {}
    passed, failed = 0, 0.0
    ranks = {process.pid: rank for rank, process in running.items()}
    while len(ended) < len(running) and not (failed and time.monotonic() - failed > GRACE):
        for pid in exited():
            _kill_group(pid)  # its reading processes; not reaped yet, so the number is still theirs
            ended[ranks[pid]] = code = running[ranks[pid]].wait()
            failed = failed or (code not in AGREED and time.monotonic())
        if asked.number != passed:
            passed = asked.number
            for process in running.values():
                if process.returncode is None:
                    process.send_signal(passed)
        time.sleep(0.05)
    return ended


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _verdict(ended: dict[int, int], asked: int, folder: Path) -> int:
    """The exit status of the whole; where it is not 0 and nobody has said why, one message is printed."""
    codes = set(ended.values())
    reports = sorted(folder.iterdir())
    if codes <= set(AGREED) and not reports:
        return max(codes)
    if UNREAD in codes:  # as of a single process, without a word
        return UNREAD
    if asked and all(code in (*AGREED, -asked) for code in codes):
        _say(f"stopped by {signal.Signals(asked).name} before the first step")
        return status(asked)
    # One that says nothing is the cause, whatever others report: they have lost it.
    reported = {int(path.name.rpartition(".")[2]) for path in reports}
    silent = [rank for rank in ended if ended[rank] not in (*AGREED, *(-number for number in FOLLOWING))]
    silent = [rank for rank in silent if rank not in reported]
    if silent or not reports:
        rank = next(iter([*silent, *(rank for rank, code in ended.items() if code not in AGREED)]))
        _say(f"error: process {rank} on {os.uname().nodename} {_end(ended[rank])}; the same command goes on")
    elif int(reports[0].name.split(".")[0]) > 1:
        _say("ended, for a process on another node has failed")
    else:
        _say(f"process {reports[0].name.rpartition('.')[2]} on {os.uname().nodename} has failed:")
        sys.stderr.write(reports[0].read_text(encoding="utf-8", errors="replace"))
        sys.stderr.flush()
    return 1


def _end(code: int) -> str:
    if code >= 0:
        return f"ended with status {code} and did not say why"
    name = signal.Signals(-code).name
    return f"was killed by {name}" + (" (was there memory enough?)" if name == "SIGKILL" else "")


def _say(text: str) -> None:
    print(f"espret train: {text}", file=sys.stderr, flush=True)
