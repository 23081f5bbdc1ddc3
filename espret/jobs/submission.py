"""Submitting the tasks of a request to Slurm, once: through a controller that is down for a while, and after a slurm.py
that was killed and left its jobs in the queue. Waiting for the tasks is espret/jobs/watch.py's work.

A file `q/LOG.job` says what is submitted from just before the first sbatch until all tasks have ended. Each array also
carries a comment that only it has, so that it is found even if nobody lived to read its id.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import time
from collections.abc import Callable
from typing import Any, TypeVar

from espret.errors import EspretError
from espret.files import read_json, write_json, write_text
from espret.jobs import queue, sbatch
from espret.jobs.report import ranges, say
from espret.jobs.spec import Request

T = TypeVar("T")

RETRY = 2.0  # seconds between two tries to reach the controller (a try itself takes sbatch some 9 s)
CANCEL_PATIENCE = 120.0  # seconds for cancelled jobs to be gone


class Interrupted(Exception):
    """An ending signal has come."""


class Signals:
    """Notes ending signals, to be acted upon where it is safe."""

    def __init__(self) -> None:
        self.last = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._note)

    def _note(self, number: int, frame: object) -> None:
        self.last = number

    def sleep(self, seconds: float) -> None:
        """Sleep. Raises Interrupted if a signal came, before or meanwhile."""
        deadline = time.monotonic() + seconds
        while not self.last and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))
        if self.last:
            raise Interrupted


def persistently(runner: str, patience: float, sleep: Callable[[float], None], action: Callable[[], T]) -> T:
    """Do `action` until the controller answers, for up to `patience` seconds, and say that we wait.

    Raises EspretError when it has not answered by then.
    """
    deadline = time.monotonic() + patience
    waiting = False
    while True:
        try:
            result = action()
        except queue.Unreachable as error:
            if time.monotonic() >= deadline:
                raise EspretError(
                    f"no answer from Slurm in {patience:.0f} s: {error} (--submit-timeout SECONDS)"
                ) from None
            if not waiting:
                say(runner, f"waiting for Slurm, up to {patience:.0f} s: {error}")
            waiting = True
            sleep(RETRY)
        else:
            if waiting:
                say(runner, "Slurm answers again")
            return result


class Submission:
    """The arrays that run the tasks of one request."""

    def __init__(self, request: Request, signals: Signals) -> None:
        self.request = request
        self.signals = signals
        self.token = f"espret-{os.urandom(6).hex()}"
        self.files = sbatch.Files(request, self.token)
        patience = request.number("submit_timeout")
        self.patience = 600.0 if patience is None else float(patience)
        self._tried = ""  # the comment of an array that may or may not have been accepted
        self.offsets: dict[str, int] = {}  # job id -> what to add to an index to get the task

    def _persistently(self, action: Callable[[], T]) -> T:
        return persistently(self.request.runner, self.patience, self.signals.sleep, action)

    def command(self, words: list[str], indices: list[int], offset: int, after: str | None) -> list[str]:
        """The submitting command of one array; `words` come from the configuration."""
        full = [*words, "--parsable", "--open-mode=append", f"--output={self.files.output.replace('%', '%%')}"]
        full += [f"--chdir={os.getcwd()}", f"--comment={self.token}.{offset}"]
        if not any(word.startswith(("--job-name", "-J")) for word in words):
            full.append(f"--job-name={os.path.basename(self.request.log).removesuffix('.log') or 'espret'}")
        if self.request.job is not None:
            most = self.request.number("max_jobs_run", "-tc")
            full.append(f"--array={ranges(indices, pairs=True).replace(' ', '')}{f'%{most}' if most else ''}")
        if after:  # --max-jobs-run holds for all arrays together: one after the other
            full.append(f"--dependency=afterany:{after}")
        return [*full, self.files.script, str(offset)]

    def submit(self, words: list[str], tasks: list[int], attempts: dict[int, int]) -> None:
        """Write the script and submit it for `tasks`. Raises EspretError if Slurm refuses, Interrupted on a signal."""
        os.makedirs(self.files.status_dir, exist_ok=True)
        is_array = self.request.job is not None
        chunks = [(0, [0])]
        if is_array:
            chunks = sbatch.submissions(tasks, self._persistently(queue.max_array_size))
        shown = self.command(words, chunks[0][1], chunks[0][0], None)
        write_text(self.files.script, sbatch.script(self.request, self.files, shown))
        os.chmod(self.files.script, 0o755)
        self._note(attempts)
        chained = self.request.number("max_jobs_run", "-tc") and len(chunks) > 1
        last = None
        for offset, indices in chunks:
            command = self.command(words, indices, offset, last if chained else None)
            last = self._persistently(functools.partial(self._once, command, offset))
            self.offsets[last] = offset
            self._note(attempts)

    def _once(self, command: list[str], offset: int) -> str:
        """Submit, unless an earlier try went through though its answer was lost."""
        if self.signals.last:
            raise Interrupted
        comment = f"{self.token}.{offset}"
        if self._tried == comment and (known := queue.with_comment(comment).get(comment)):
            return known
        try:
            return queue.submit(command)
        except queue.Unreachable as error:
            if error.sent:
                self._tried = comment
            raise

    def _note(self, attempts: dict[int, int]) -> None:
        write_json(
            self.files.job,
            {
                "token": self.token,
                "offsets": self.offsets,
                "pid": os.getpid(),
                "started": _started(os.getpid()),
                "host": os.uname().nodename,
                "words": self.request.words,
                "log": os.path.abspath(self.request.log),
                "attempts": {str(task): attempt for task, attempt in attempts.items()},
            },
        )

    def cancel(self) -> bool:
        """Cancel all arrays and wait until they are gone. False, with a message, if Slurm did not let us in time."""
        if not self.offsets and not self._tried:
            return True
        patience = min(self.patience, CANCEL_PATIENCE)
        return cancel_jobs(self.request.runner, self.token, list(self.offsets), patience)

    def clean(self) -> None:
        """Remove what is of no use once every task has ended; the script and Slurm's own output stay."""
        shutil.rmtree(self.files.status_dir, ignore_errors=True)
        if os.path.exists(self.files.job):
            os.unlink(self.files.job)


def cancel_jobs(runner: str, token: str, ids: list[str], patience: float = CANCEL_PATIENCE) -> bool:
    """Cancel the jobs `ids` and all that carry the token, and wait until none can run any more."""
    deadline = time.monotonic() + patience

    def once() -> bool:
        every = sorted({*ids, *queue.with_comment(token).values()})
        if every:
            queue.cancel(every)
        return any(state.state in queue.ACTIVE for state in queue.states(every).values())

    try:
        while persistently(runner, patience, time.sleep, once):
            if time.monotonic() > deadline:
                say(runner, f"Slurm has not ended jobs {' '.join(ids)} within {patience:.0f} s of scancel")
                return False
            time.sleep(0.2)
    except EspretError as error:
        say(runner, f"jobs {' '.join(ids)} may still be in the queue: {error}")
        return False
    return True


def cancel_left(folder: str) -> None:
    """Cancel the jobs that the notes in `folder`/q name, before the folder is discarded and the notes with it.

    Raises EspretError if they cannot be ended: they would write beside the next run.
    """
    for name in sorted(os.listdir(os.path.join(folder, "q"))) if os.path.isdir(os.path.join(folder, "q")) else ():
        if name.endswith(".job"):
            job = read_json(os.path.join(folder, "q", name))
            if not cancel_jobs("slurm.py", job["token"], list(job["offsets"])):
                raise EspretError(f"{job['log']}: jobs of an earlier run are still in the queue; end them with scancel")


def previous(request: Request, files: sbatch.Files) -> dict[str, Any] | None:
    """What a slurm.py that did not live to clean up left for this log, or None.

    Raises EspretError if that slurm.py is still alive on this machine.
    """
    if not os.path.exists(files.job):
        return None
    job = read_json(files.job)
    pid = job["pid"]
    if job["host"] == os.uname().nodename and _started(pid) == job["started"]:
        raise EspretError(f"{request.log}: process {pid} on this machine is running it already")
    return dict(job)


def _started(pid: int) -> str | None:
    """When a living process started (in the kernel's ticks): tells it from a later one with the same number."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            fields = stream.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in (b"Z", b"X") else fields[19].decode()
