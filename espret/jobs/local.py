"""The local runner, utils/run.py: the tasks of a request on this machine, as many at a time as cores and GPUs allow.

Options it honours: --max-jobs-run N (-tc N), --num-threads N (exported as OMP_NUM_THREADS; tasks x threads stays within
the cores), --gpu N (concurrent tasks get disjoint CUDA_VISIBLE_DEVICES), --pick, --tee true. All others are those of
clusters (--mem, --time, ...) and do nothing here. Ending processes is the work of espret/jobs/guard.py.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from espret.errors import EspretError
from espret.jobs import gpus, log, record
from espret.jobs.guard import Wakeup, die_with_parent, end_descendants, exited, guarded
from espret.jobs.report import Failure, Progress, report_failures, say
from espret.jobs.spec import Request, extra_environment, fail, parse, shell_command

LONGEST = 120_000  # bytes of one command: Linux allows 128 KiB for one argument


def main(argv: list[str]) -> int:
    """Run the tasks; returns 0 if all succeeded, 1 if some failed, 2 if interrupted."""
    request = parse(argv, "run.py")
    tasks, attempts = record.pick(request)
    if not tasks:
        say(request.runner, f"nothing to do: all {len(request.tasks)} tasks are done already ({request.log})")
        return 0
    pool = Pool(request, tasks, attempts)
    _prepare(request, tasks)
    return guarded(request.runner, pool.run)


def _prepare(request: Request, tasks: list[int]) -> None:
    """Make the folders of the logs, and forget the tasks' last results, before anything runs."""
    for folder in {os.path.dirname(request.task_log(task)) or "." for task in tasks}:
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise EspretError(f"{folder}: cannot make the folder of the logs: {error.strerror}") from None
        if not os.access(folder, os.W_OK | os.X_OK):
            raise EspretError(f"{folder}: cannot write logs there: Permission denied")
    for task in tasks:
        size = len(os.fsencode(shell_command(request.task_words(task))))
        if size > LONGEST:
            raise EspretError(
                f"the command of task {task} has {size} bytes, at most {LONGEST} can run: use a file list"
            )
    record.forget(request, tasks)


class Task:
    """A task that runs: its process, and what its record will say."""

    def __init__(self, number: int, log_path: str, words: list[str], attempt: int, devices: list[str]) -> None:
        self.number, self.log, self.words, self.attempt, self.devices = number, log_path, words, attempt, devices
        self.start = time.time()
        self.oom_kills = _oom_kills()
        self.pid = 0


class Pool:
    """The tasks of one request, run in order, some at a time."""

    def __init__(self, request: Request, tasks: list[int], attempts: dict[int, int]) -> None:
        self.request = request
        self.waiting = list(reversed(tasks))
        self.total = len(tasks)
        self.attempts = attempts
        self.running: dict[int, Task] = {}
        self.done = 0
        self.failures: list[Failure] = []
        self.host = os.uname().nodename
        self.threads = request.number("num_threads")
        self.environment = extra_environment(request)
        self.gpus_each = request.number("gpu") or 0
        self.free_gpus = _gpus_for(request, self.gpus_each)
        self.limit = self._concurrency()
        self.interrupted = False
        self.follower = log.Follower(request.task_log(tasks[0])) if request.flag("tee") else None
        self.progress = Progress(request.runner, self.total, quiet=self.follower is not None)

    def _concurrency(self) -> int:
        cores = len(os.sched_getaffinity(0))
        limits = [cores // max(1, self.threads or 1)]
        most = self.request.number("max_jobs_run", "-tc")
        if most is not None:
            limits.append(most)
        if self.gpus_each:
            limits.append(len(self.free_gpus) // self.gpus_each)
        return max(1, min(limits))

    def run(self, wake: Wakeup) -> int:
        """Run all tasks, report, and return the exit status. This is the supervisor's main loop."""
        if self.follower and self.total > 1:
            say(self.request.runner, f"--tee shows the first of the {self.total} tasks only")
        pause = 0.1 if self.follower else 0.5 if self.progress.active else None
        while (self.waiting or self.running) and not wake.interrupts:
            while self.waiting and len(self.running) < self.limit:
                self._start(self.waiting.pop())
            wake.wait(pause)
            self._reap()
            self._show()
        if wake.interrupts and (self.waiting or self.running):
            return self._interrupt(wake)
        end_descendants(wake, self._reap)
        self._show(last=True)
        if self.failures:
            report_failures(self.request, self.failures, self.total)
        return 1 if self.failures else 0

    def _show(self, last: bool = False) -> None:
        if self.follower:
            self.follower.pump(last)
        if last:
            self.progress.clear()
        else:
            self.progress.show(self.done, len(self.failures), len(self.running))

    def _start(self, number: int) -> None:
        path = self.request.task_log(number)
        devices, self.free_gpus = self.free_gpus[: self.gpus_each], self.free_gpus[self.gpus_each :]
        task = Task(number, path, self.request.task_words(number), self.attempts[number], devices)
        command = shell_command(task.words)
        try:
            output = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise EspretError(f"{path}: cannot write the log: {error.strerror}") from None
        try:
            os.write(output, os.fsencode(log.head(command, self.host)))
            task.pid = _spawn(command, output, self._environment(devices))
        finally:
            os.close(output)
        self.running[task.pid] = task

    def _environment(self, devices: list[str]) -> dict[str, str]:
        environment = {**os.environ, **self.environment}
        if devices:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
        return environment

    def _reap(self) -> None:
        for pid in exited():
            task = self.running.get(pid)
            if task is None:  # an orphan of a task, which has become ours
                os.waitpid(pid, 0)
                continue
            _kill_group(pid)
            _, status, usage = os.wait4(pid, 0)
            del self.running[pid]
            self.free_gpus += task.devices
            self._finish(task, status, usage)

    def _finish(self, task: Task, status: int, usage: Any) -> None:
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        code = 128 + number if number else os.WEXITSTATUS(status)
        end = time.time()
        with open(task.log, "rb+") as stream:
            stream.seek(0, os.SEEK_END)
            whole = stream.tell() == 0 or (stream.seek(-1, os.SEEK_END), stream.read(1))[1] == b"\n"
            stream.write(log.tail(code, number, end - task.start, self.threads or 1, whole).encode())
        state = "interrupted" if self.interrupted else "failed" if code else "done"
        cause = None
        if state == "failed":
            cause = log.cause(task.log, code)
            if cause == "killed by SIGKILL" and _oom_kills() > task.oom_kills:
                cause += ": the machine was out of memory (run fewer tasks at a time: --max-jobs-run)"
            self.failures.append(Failure(task.number, task.log, cause))
        self.done += state == "done"
        record.write(
            task.log,
            {
                "task": task.number if self.request.job else None,
                "argv": task.words,
                "cwd": os.getcwd(),
                "host": self.host,
                "runner": self.request.runner,
                "attempt": task.attempt,
                "state": state,
                "start": record.iso(task.start),
                "end": record.iso(end),
                "seconds": round(end - task.start, 3),
                "rc": code,
                "signal": log.signal_of(code),
                "cause": cause,
                "maxrss_bytes": usage.ru_maxrss * 1024,
                "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
                "gpus": ",".join(task.devices) or None,
                "slurm_id": None,
            },
        )

    def _interrupt(self, wake: Wakeup) -> int:
        self.interrupted = True
        self.progress.clear()
        running = len(self.running)
        end_descendants(wake, self._reap)
        name = signal.Signals(wake.interrupt).name
        say(
            self.request.runner,
            f"interrupted ({name}): {self.done} tasks done, {len(self.failures)} failed, {running} ended, "
            f"{len(self.waiting)} not started",
        )
        return 2


def _gpus_for(request: Request, each: int) -> list[str]:
    if not each:
        return []
    devices = gpus.visible()
    if not devices:
        say(request.runner, f"warning: --gpu {each}, but no GPU is visible here; running one task at a time without")
    elif len(devices) < each:
        fail(request.runner, f"--gpu {each}, but only {len(devices)} visible here ({','.join(devices)})")
    return devices


def _spawn(command: str, output: int, environment: dict[str, str]) -> int:
    """Start bash on a command in a session of its own, with its output in the log and no input.

    Descriptors that were inherited stay open in it: a lock that the recipe runner holds on one of them (named by
    ESPRET_LOCK_FD) stays held as long as any descendant lives.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these
            signal.signal(number, signal.SIG_DFL)
        die_with_parent(parent, signal.SIGKILL)
        os.execvpe("bash", ["bash", "-o", "pipefail", "-c", command], environment)
    except BaseException as error:
        os.write(2, f"cannot run bash: {error}\n".encode())
    finally:
        os._exit(127)


def _kill_group(pid: int) -> None:
    """End what a task has left in its group. It is not reaped yet, so the group's number cannot be another's."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # nothing is left


def _oom_kills() -> int:
    """How many processes this kernel has killed for want of memory; 0 where it does not say."""
    try:
        with open("/proc/vmstat") as stream:
            return next((int(line.split()[1]) for line in stream if line.startswith("oom_kill ")), 0)
    except OSError:
        return 0
