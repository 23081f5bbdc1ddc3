"""Talking to Slurm: sbatch, squeue, scancel, scontrol, sacct. What the answers mean for tasks is decided elsewhere.

A controller that is down, restarting or too busy is `Unreachable`: to be asked again, never a reason to fail a task.
"""

from __future__ import annotations

import os
import re
import subprocess
from typing import NamedTuple

from espret.errors import EspretError

# What the clients say when the controller (or munge) does not answer: come back later.
_UNREACHABLE = re.compile(
    r"Unable to contact slurm controller|[Ss]ocket timed out|Connection (refused|reset|timed out)|"
    r"Protocol authentication error|Munge encode failed|temporarily unable to accept job|Zero Bytes were transmitted|"
    r"Slurm backup controller in standby mode|Transport endpoint is not connected|Unexpected message received|"
    r"Insane message length|controller not responding"
)
_NOT_SENT = re.compile(r"connect failure|Connection refused|[Mm]unge|authentication|temporarily unable")
_GONE = re.compile(r"Invalid job id")

# States in which a task may still run, again or for the first time; all others are final.
ACTIVE = frozenset(
    ("PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "RESIZING", "REQUEUED", "REQUEUE_FED")
    + ("REQUEUE_HOLD", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED", "SIGNALING", "RESV_DEL_HOLD")
)


class Unreachable(Exception):
    """The controller does not answer; the text says how. `sent`: it may have got the request all the same."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.sent = not _NOT_SENT.search(message)


class State(NamedTuple):
    """What Slurm says of one task."""

    state: str
    reason: str


class Account(NamedTuple):
    """What Slurm's accounting says of one task, where a site has it."""

    state: str
    maxrss_bytes: int | None


def call(words: list[str]) -> str:
    """Run one of Slurm's clients; returns what it prints. Its session is its own: Ctrl-C must not cut it short.

    Raises Unreachable, or EspretError with the client's own words.
    """
    try:
        run = subprocess.run(
            words, capture_output=True, text=True, env=_environment(), start_new_session=True, check=False
        )
    except FileNotFoundError:
        raise EspretError(
            f"{words[0]}: command not found: Slurm is not installed on this machine; "
            "submit from a login node, or choose another backend in cmd.sh (utils/run.py)"
        ) from None
    if run.returncode == 0:
        return run.stdout
    message = run.stderr.strip() or f"exit status {run.returncode}"
    if _UNREACHABLE.search(message):
        raise Unreachable(message.splitlines()[-1])
    raise EspretError(f"{words[0]}: {message}")


def _environment() -> dict[str, str]:
    """Ours, without what must not reach a job: the variables of a job that we run in ourselves, and the number of a
    descriptor that is open here only."""
    environment = dict(os.environ)
    environment.pop("ESPRET_LOCK_FD", None)
    if "SLURM_JOB_ID" in environment:
        keep = ("SLURM_CONF", "SLURM_CLUSTERS")
        environment = {k: v for k, v in environment.items() if not k.startswith("SLURM_") or k in keep}
    return environment


def max_array_size() -> int:
    """Slurm's MaxArraySize (array indices are below it), at least 1."""
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", call(["scontrol", "show", "config"]), re.MULTILINE)
    return max(1, int(match[1])) if match else 1001


def submit(words: list[str]) -> str:
    """Submit; returns the id of the job."""
    printed = call(words).strip()
    # --parsable prints `id` or `id;cluster`; a site's wrapper may add lines, or print the long form.
    match = re.search(r"^(\d+)(?:;\S+)?$", printed, re.MULTILINE) or re.search(r"Submitted batch job (\d+)", printed)
    if not match:
        raise EspretError(f"{words[0]} did not print the id of a job, but: {printed!r:.200}")
    return match[1]


def with_comment(prefix: str) -> dict[str, str]:
    """Our jobs whose comment begins with `prefix`: comment -> id."""
    printed = call(["squeue", "-h", "-t", "all", "-u", str(os.getuid()), "-o", "%F|%k"])
    rows = (line.strip().split("|", 1) for line in printed.splitlines())
    return {row[1]: row[0] for row in rows if len(row) == 2 and row[1].startswith(prefix)}


def states(ids: list[str]) -> dict[tuple[str, int], State]:
    """The state of each task of the jobs `ids` that Slurm still knows, by (job id, array index; 0 without array)."""
    if not ids:
        return {}
    try:
        printed = call(["squeue", "-h", "-r", "-t", "all", "-j", ",".join(ids), "-o", "%i|%T|%r"])
    except EspretError as error:
        if _GONE.search(str(error)):
            return {}
        raise
    found = {}
    for line in printed.splitlines():
        match = re.fullmatch(r"\s*(\d+)(?:_(\d+))?\|(\w+)\|(.*?)\s*", line)
        if match:
            found[match[1], int(match[2] or 0)] = State(match[3], match[4])
    return found


def cancel(ids: list[str]) -> None:
    """Cancel jobs; those that have ended already are no error."""
    try:
        call(["scancel", *ids])
    except EspretError as error:
        if not _GONE.search(str(error)):
            raise


def accounts(ids: list[str]) -> dict[tuple[str, int], Account]:
    """What accounting says of the tasks, by (job id, array index); {} where the site has none or it does not answer."""
    try:
        printed = call(["sacct", "-n", "-P", "-j", ",".join(ids), "-o", "JobID,State,MaxRSS"])
    except (Unreachable, EspretError):
        return {}  # without accounting squeue's states must do
    found: dict[tuple[str, int], Account] = {}
    for line in printed.splitlines():
        match = re.fullmatch(r"(\d+)(?:_(\d+))?(\.\w+)?\|([\w ]*)\|([\d.]*[KMGT]?)", line.strip())
        if not match:
            continue
        key = match[1], int(match[2] or 0)
        old = found.get(key, Account("", None))
        state = old.state if match[3] else match[4].split(" ")[0]  # `CANCELLED by 1000`
        size = _bytes(match[5])
        found[key] = Account(state, max(filter(None, (size, old.maxrss_bytes)), default=None))
    return found


def _bytes(text: str) -> int | None:
    if not text or text == "0":
        return None
    scale = {"K": 10, "M": 20, "G": 30, "T": 40}.get(text[-1], 0)
    return int(float(text.rstrip("KMGT")) * 2**scale)
