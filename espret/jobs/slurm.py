"""The Slurm runner, utils/slurm.py: the tasks of a request as one job array (or as few as MaxArraySize allows).

Its own options: --config FILE (conf/slurm.conf), --max-jobs-run N, --pick, --tee true, --dry-run true (print the script
and how it would be submitted), --submit-timeout SECONDS (how long to wait for a controller that is down; 600) and
--poll-interval SECONDS (how often squeue is asked, once for all tasks; 15). All others are the configuration's; of
these --num-threads N and --warning SECONDS (sbatch.py) also change the job's script.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
from typing import Any

from espret.errors import EspretError
from espret.jobs import conf, queue, record, sbatch
from espret.jobs.log import Follower, signal_of
from espret.jobs.report import Failure, Progress, report_failures, say
from espret.jobs.spec import Request, parse
from espret.jobs.submission import Interrupted, Signals, Submission, cancel_jobs, previous
from espret.jobs.watch import Outcome, Watch, read_status

POLL = 0.5  # seconds between two looks at the status files


def main(argv: list[str]) -> int:
    """Run the tasks; returns 0 if all succeeded, 1 if some failed, 2 if interrupted (the jobs are then cancelled)."""
    request = parse(argv, "slurm.py")
    words = conf.submit_words(conf.load(request.option("config")), request)
    signals = Signals()
    submission = Submission(request, signals)
    if request.flag("dry_run"):
        return _dry_run(request, submission, words)
    _prepare(request, submission.files)
    _take_over(request, submission.files)
    tasks, attempts = record.pick(request)
    if not tasks:
        say(request.runner, f"nothing to do: all {len(request.tasks)} tasks are done already ({request.log})")
        return 0
    record.forget(request, tasks)
    for task in tasks:  # an old log must not be taken for the new one
        if os.path.exists(request.task_log(task)):
            os.unlink(request.task_log(task))
    return Run(request, submission, tasks, attempts).run(words)


def _dry_run(request: Request, submission: Submission, words: list[str]) -> int:
    indices = list(request.tasks) if request.job else [0]
    command = submission.command(words, indices, 0, None)
    print(sbatch.script(request, submission.files, command), end="")
    print(f"# {shlex.join(command)}")
    return 0


def _prepare(request: Request, files: sbatch.Files) -> None:
    for folder in {os.path.dirname(request.task_log(task)) or "." for task in request.tasks} | {files.folder}:
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise EspretError(f"{folder}: cannot make the folder of the logs: {error.strerror}") from None
        if not os.access(folder, os.W_OK | os.X_OK):
            raise EspretError(f"{folder}: cannot write logs there: Permission denied")
    if shutil.which("sbatch") is None:
        queue.call(["sbatch", "--version"])  # says that Slurm is missing, and what to do


def _take_over(request: Request, files: sbatch.Files) -> None:
    """End what a killed slurm.py left in the queue for this log, and keep the records of its tasks that succeeded."""
    job = previous(request, files)
    if job is None:
        return
    say(
        request.runner,
        f"ending what an earlier slurm.py left in the queue: jobs {' '.join(job['offsets']) or '(unknown)'}",
    )
    if not cancel_jobs(request.runner, job["token"], list(job["offsets"])):
        raise EspretError(f"{request.log}: jobs of an earlier run are still in the queue; end them with scancel")
    status_dir = sbatch.Files(request, job["token"]).status_dir
    same = job["words"] == list(request.words) and job["log"] == os.path.abspath(request.log)
    for name in os.listdir(status_dir) if same and os.path.isdir(status_dir) else ():
        task, _, attempt = name.partition(".")
        if attempt.isdigit() and int(task or 0) in (*request.tasks, 0):
            status = read_status(os.path.join(status_dir, name))
            number = int(task) if request.job else request.tasks[0]
            if status["rc"] == "0":
                attempts = {int(key): value for key, value in job["attempts"].items()}
                _write_record(request, number, attempts.get(number, 1), Outcome(0, None, status), None)
    shutil.rmtree(status_dir, ignore_errors=True)
    os.unlink(files.job)


class Run:
    """One run of slurm.py: submit, wait, report."""

    def __init__(self, request: Request, submission: Submission, tasks: list[int], attempts: dict[int, int]) -> None:
        self.request, self.submission, self.tasks, self.attempts = request, submission, tasks, attempts
        self.follower = Follower(request.task_log(tasks[0])) if request.flag("tee") else None
        self.progress = Progress(request.runner, len(tasks), quiet=self.follower is not None)
        self.watch: Watch | None = None
        self.recorded: set[int] = set()
        self.told = ""

    def run(self, words: list[str]) -> int:
        """All of it; returns the exit status."""
        if self.follower and len(self.tasks) > 1:
            say(self.request.runner, f"--tee shows the first of the {len(self.tasks)} tasks only")
        try:
            self.submission.submit(words, self.tasks, self.attempts)
            outcomes = self._wait()
        except Interrupted:
            return self._interrupt()
        except BaseException:
            # Refused half-way, or a defect: nothing of ours may go on running unwatched.
            if self.submission.cancel():
                self.submission.clean()
            raise
        self._add_memory(outcomes)
        self.submission.clean()
        failures = [
            Failure(self._task(index), self.request.task_log(self._task(index)), outcome.cause or "")
            for index, outcome in outcomes.items()
            if not outcome.ok
        ]
        if failures:
            report_failures(self.request, failures, len(self.tasks))
        return 1 if failures else 0

    def _task(self, index: int) -> int:
        """A job without an array has the index 0."""
        return index if self.request.job else self.tasks[0]

    def _wait(self) -> dict[int, Outcome]:
        interval = self.request.number("poll_interval")
        self.watch = Watch(
            self.tasks if self.request.job else [0],
            self.submission.files.status_dir,
            self.submission.offsets,
            lambda index: self.request.task_log(self._task(index)),
            self.submission.files.output,
            15.0 if interval is None else float(interval),
            self.submission.patience,
        )
        while True:
            self.watch.step()
            self._record()
            self._show(self.watch)
            if not self.watch.open:
                break
            self.submission.signals.sleep(POLL)
        self.progress.clear()
        if self.follower:
            self.follower.pump(last=True)
        return self.watch.outcomes

    def _show(self, watch: Watch) -> None:
        if self.follower:
            self.follower.pump()
        if self.progress.active:
            done = sum(outcome.ok for outcome in watch.outcomes.values())
            self.progress.show(done, len(watch.outcomes) - done, watch.running, watch.note)
        elif watch.note and watch.note != self.told:
            self.told = watch.note
            say(self.request.runner, watch.note)

    def _record(self) -> None:
        """Write records as tasks end, so that a slurm.py that is killed leaves those of the tasks that have ended."""
        assert self.watch is not None
        for index, outcome in self.watch.outcomes.items():
            if index not in self.recorded:
                self.recorded.add(index)
                _write_record(self.request, self._task(index), self.attempts[self._task(index)], outcome, None)

    def _add_memory(self, outcomes: dict[int, Outcome]) -> None:
        """Where the site has accounting: add the memory that tasks used to their records."""
        for (job, index), account in queue.accounts(list(self.submission.offsets)).items():
            index += self.submission.offsets[job]
            if account.maxrss_bytes and index in outcomes:
                task = self._task(index)
                _write_record(self.request, task, self.attempts[task], outcomes[index], account.maxrss_bytes)

    def _interrupt(self) -> int:
        self.progress.clear()
        gone = self.submission.cancel()
        ended = self.watch.outcomes if self.watch else {}
        for index in self.watch.open if self.watch else ():
            task = self._task(index)
            _write_record(
                self.request, task, self.attempts[task], Outcome(None, "interrupted", {}), None, "interrupted"
            )
        name = signal.Signals(self.submission.signals.last).name
        ids = " ".join(self.submission.offsets) or "none yet"
        say(
            self.request.runner,
            f"interrupted ({name}): {len(ended)} of {len(self.tasks)} tasks had ended, jobs cancelled: {ids}",
        )
        if gone:
            self.submission.clean()
        return 2


def _write_record(
    request: Request, task: int, attempt: int, outcome: Outcome, maxrss: int | None, state: str | None = None
) -> None:
    status = outcome.status
    start, end = (float(status[key]) if key in status else None for key in ("start", "end"))
    fields: dict[str, Any] = {
        "task": task if request.job else None,
        "argv": request.task_words(task),
        "cwd": os.getcwd(),
        "host": status.get("host"),
        "runner": request.runner,
        "attempt": attempt,
        "state": state or ("done" if outcome.ok else "failed"),
        "start": record.iso(start) if start else None,
        "end": record.iso(end) if end else None,
        "seconds": round(end - start, 3) if start and end else None,
        "rc": outcome.rc,
        "signal": signal_of(outcome.rc) if outcome.rc else None,
        "cause": outcome.cause,
        "maxrss_bytes": maxrss,
        "cpu_seconds": _cpu_seconds(status.get("times", "")),
        "gpus": None,
        "slurm_id": status.get("slurm_id"),
    }
    record.write(request.task_log(task), fields)


def _cpu_seconds(times: str) -> float | None:
    """The sum of `0m1.234s 0m0.056s`, as bash's `times` prints it (with the locale's decimal mark)."""
    total = 0.0
    for word in times.split():
        minutes, _, seconds = word.rstrip("s").replace(",", ".").partition("m")
        total += 60 * int(minutes) + float(seconds)
    return round(total, 3) if times else None
