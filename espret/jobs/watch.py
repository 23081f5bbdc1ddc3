"""How the tasks of a Slurm submission ended, from their status files and from what squeue says of all of them at once.

A task has succeeded only if its status file says so. Everything else takes two witnesses: a status that is not 0 counts
once Slurm will not run the task again (it may have been requeued), and a task without a status file has failed when
Slurm says that it is over, or knows it no longer, and the file has not come up within a grace period (shared file
systems are slow).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from typing import NamedTuple

from espret.errors import EspretError
from espret.jobs import queue
from espret.jobs.log import cause as log_cause

GRACE = 10.0  # seconds for a status file to come up
SOON = 1.0  # seconds between two questions to Slurm while there is something to find out

# Pending for one of these reasons is pending for ever.
NEVER = ("DependencyNeverSatisfied", "BadConstraints", "InvalidAccount", "InvalidQOS", "JobHoldMaxRequeue")
_LAUNCH_HELD = re.compile(r"launch.failed.requeued.held")

# Pending for these is the ordinary course of things; any other reason is worth telling.
_ORDINARY = re.compile(
    "None|Priority|Resources|JobArrayTaskLimit|Dependency|BeginTime|Prolog|Cleaning|Licenses|Reservation|"
    "QOS.*|Assoc.*|MaxJobs.*|.*Limit"
)

_MEANING = {
    "TIMEOUT": "TIMEOUT: it ran longer than it may (--time)",
    "OUT_OF_MEMORY": "OUT_OF_MEMORY: it used more memory than it may (--mem)",
    "NODE_FAIL": "NODE_FAIL: its node failed",
    "PREEMPTED": "PREEMPTED: another job took its place",
    "DEADLINE": "DEADLINE: it could not end before its deadline",
    "BOOT_FAIL": "BOOT_FAIL: its node did not start",
}


class Outcome(NamedTuple):
    """How a task ended. `rc` is None where nothing says it; `status` are the lines of its status file."""

    rc: int | None
    cause: str | None
    status: dict[str, str]

    @property
    def ok(self) -> bool:
        return self.rc == 0


class Watch:
    """Follows the tasks of one submission until each has an outcome."""

    def __init__(
        self,
        tasks: list[int],
        status_dir: str,
        offsets: dict[str, int],
        log: Callable[[int], str],
        output: str,
        interval: float = 15.0,
        patience: float = 600.0,
    ) -> None:
        self.open = set(tasks)
        self.outcomes: dict[int, Outcome] = {}
        self.running = 0
        self.note = ""  # why tasks pend, where that is out of the ordinary
        self._dir, self._offsets, self._log, self._output = status_dir, offsets, log, output
        self._interval, self._patience = interval, patience
        self._statuses: dict[int, tuple[int, dict[str, str]]] = {}  # task -> attempt, lines
        self._read: set[str] = set()
        self._missing: dict[int, float] = {}  # task -> since when it is over without a status file
        self._asked = time.monotonic()
        self._silent_since: float | None = None

    def step(self) -> None:
        """Look at the files; ask Slurm if it is time."""
        self._look()
        doubtful = bool(self._missing) or any(task in self.open for task in self._statuses)
        if self.open and time.monotonic() - self._asked >= (min(SOON, self._interval) if doubtful else self._interval):
            self._ask()
            self._asked = time.monotonic()

    def _look(self) -> None:
        for name in os.listdir(self._dir):
            match = re.fullmatch(r"(\d+)\.(\d+)", name)
            if match and name not in self._read:
                self._read.add(name)
                task, attempt = int(match[1]), int(match[2])
                if attempt >= self._statuses.get(task, (0, {}))[0]:
                    self._statuses[task] = attempt, read_status(os.path.join(self._dir, name))
        for task in [task for task in self.open if task in self._statuses]:
            status = self._statuses[task][1]
            if status["rc"] == "0":
                self._close(task, Outcome(0, None, status))

    def _close(self, task: int, outcome: Outcome) -> None:
        self.open.discard(task)
        self._missing.pop(task, None)
        self.outcomes[task] = outcome

    def _ask(self) -> None:
        try:
            states = queue.states(list(self._offsets))
        except queue.Unreachable as error:
            self._silence(str(error))
            return
        self._silent_since = None
        self._refresh()
        self._look()  # what squeue calls ended may have written its file since the last look
        known = {index + self._offsets[job]: (job, index, state) for (job, index), state in states.items()}
        self.running = sum(state.state in ("RUNNING", "COMPLETING") for _, _, state in known.values())
        self.note = ""
        for task in sorted(self.open):
            job, index, state = known.get(task, ("", 0, queue.State("", "")))
            if state.state == "PENDING" and (state.reason in NEVER or _LAUNCH_HELD.search(state.reason)):
                queue.cancel([f"{job}_{index}" if len(known) > 1 or index else job])
                self._close(task, Outcome(None, f"Slurm cannot run it: {state.reason}", {}))
            elif state.state in queue.ACTIVE:
                self._missing.pop(task, None)
                if state.state == "PENDING" and not _ORDINARY.fullmatch(state.reason):
                    self.note = f"waiting, Slurm says: {state.reason}"
            else:
                self._over(task, state)

    def _silence(self, error: str) -> None:
        """The controller does not answer. What runs goes on; after long silence a status file's word is enough."""
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        self.note = f"waiting, Slurm does not answer: {error}"
        if now - self._silent_since >= self._patience:
            for task in [task for task in self.open if task in self._statuses]:
                self._over(task, queue.State("", ""))

    def _refresh(self) -> None:
        """Make a network file system look at the folder again: it does when the folder has been changed from here."""
        path = os.path.join(self._dir, ".kick")
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        os.unlink(path)

    def _over(self, task: int, state: queue.State) -> None:
        """Slurm will not run this task again."""
        if task in self._statuses:
            status = self._statuses[task][1]
            self._close(task, Outcome(int(status["rc"]), self._cause(task, state, int(status["rc"])), status))
            return
        since = self._missing.setdefault(task, time.monotonic())
        if time.monotonic() - since >= GRACE:
            self._close(task, Outcome(None, self._cause(task, state, None), {}))

    def _cause(self, task: int, state: queue.State, rc: int | None) -> str:
        if state.state in _MEANING:
            return _MEANING[state.state]
        if state.state == "CANCELLED":
            return "CANCELLED (scancel)"
        said = said_of(self._output, slurm_id(self._log(task)))
        if said:
            return said
        if rc is not None:
            return log_cause(self._log(task), rc)
        if not state.state:
            return "lost: Slurm does not know it any more, and it left no exit status"
        return f"{state.state}: it left no exit status (killed, or never started); Slurm's reason: {state.reason}"


def read_status(path: str) -> dict[str, str]:
    """The `name=value` lines of a status file, and as `times` the CPU time of the command.

    Raises EspretError if it is not a status file.
    """
    with open(path, encoding="utf-8") as stream:
        text = stream.read().splitlines()
    lines = dict(line.partition("=")[::2] for line in text if "=" in line)
    lines["times"] = next(iter([line for line in text if "=" not in line][1:2]), "")
    if not lines.get("rc", "").isdigit():
        raise EspretError(f"{path}: expected a line rc=NUMBER, found {lines!r:.100}")
    return lines


def slurm_id(log: str) -> str | None:
    """The job's own id (array tasks have one each) from the head of a task's log."""
    try:
        with open(log, encoding="utf-8", errors="replace") as stream:
            match = re.search(r"^# SLURM_JOB_ID=(\d+)$", stream.read(20_000), re.MULTILINE)
    except FileNotFoundError:
        return None
    return match[1] if match else None


def said_of(output: str, job: str | None) -> str | None:
    """What Slurm's own messages say of a job that was killed for want of memory or of time, or None."""
    if job is None or not os.path.exists(output):
        return None
    with open(output, encoding="utf-8", errors="replace") as stream:
        text = stream.read()
    if re.search(rf"(?i)StepId={job}\..*(exceeded .*memory limit|oom|out of memory)", text):
        return _MEANING["OUT_OF_MEMORY"]
    if re.search(rf"JOB {job} ON .* DUE TO TIME LIMIT", text):
        return _MEANING["TIMEOUT"]
    return None
