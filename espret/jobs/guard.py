"""No orphans: every process that a runner starts ends with it, however the runner itself ends.

The runner that the user sees (the parent) forks a supervisor, which starts the tasks. Each is a "child subreaper"
(prctl(2)), so a descendant whose own parent has died becomes its child, whatever session or group it has moved to:

* the parent is signalled (Ctrl-C, TERM, HUP): it passes the signal on; the supervisor ends its descendants by TERM,
  and after a grace period by KILL.
* the parent is killed (SIGKILL): the kernel sends the supervisor TERM (PR_SET_PDEATHSIG); the same happens.
* the supervisor is killed: its descendants become the parent's, which ends them.
* both are killed in the same moment: the kernel kills each task's shell (PR_SET_PDEATHSIG). Only then may processes
  that this shell had started in turn survive, until they next write to a pipe of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator

from espret.errors import EspretError

GRACE = 5.0  # seconds between TERM and KILL
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")


def die_with_parent(parent: int, number: int) -> None:
    """In a child: be sent signal `number` when the process `parent` ends, also if it has ended already."""
    _prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


class Wakeup:
    """Waits for children, for signals and for time to pass, without polling and without losing one.

    `interrupts` counts the ending signals that came, `interrupt` is the last one.
    """

    def __init__(self) -> None:
        self.interrupts = 0
        self.interrupt = 0
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        for number in ENDING:
            # Under nohup HUP is ignored, in a shell's background INT is: that is somebody's wish.
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._note)

    def _note(self, number: int, frame: object) -> None:
        self.interrupts += 1
        self.interrupt = number

    def wait(self, seconds: float | None) -> None:
        """Return when a signal has come (a child ended, say) or after `seconds`; None waits for a signal only."""
        select.select([self._read], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            while os.read(self._read, 4096):
                pass


def descendants(root: int) -> list[int]:
    """All living processes below process `root`, from /proc (zombies are left out)."""
    children: dict[int, list[int]] = {}
    dead = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            # It may end while we look.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                with open(f"/proc/{name}/stat", "rb") as stream:
                    state, parent = stream.read().rpartition(b")")[2].split()[:2]
                children.setdefault(int(parent), []).append(int(name))
                if state in (b"Z", b"X"):
                    dead.add(int(name))
    found, todo = [], [root]
    while todo:
        below = children.get(todo.pop(), [])
        todo += below
        found += [pid for pid in below if pid not in dead]
    return found


def exited() -> Iterator[int]:
    """Ids of the children that have ended, each still to be reaped by os.wait4."""
    while True:
        try:
            info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if info is None:
            return
        yield info.si_pid


def has_children() -> bool:
    """Whether this process has any child, living or not. A subreaper without children has no descendants."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def end_descendants(wake: Wakeup, reap: Callable[[], None], grace: float = GRACE) -> None:
    """End every descendant: TERM, KILL after `grace` seconds or at once when one more ending signal comes.

    `reap` is called to collect children that have ended.
    """
    asked: set[int] = set()
    patience = wake.interrupts
    deadline = time.monotonic() + grace
    while True:
        reap()
        if not has_children():
            return
        living = descendants(os.getpid())
        hard = time.monotonic() >= deadline or wake.interrupts > patience
        for pid in living:
            if hard or pid not in asked:
                asked.add(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL if hard else signal.SIGTERM)
                    # A stopped process acts on TERM only once it goes on.
                    os.kill(pid, signal.SIGCONT)
        wake.wait(0.05)


def _reap_all() -> None:
    for pid in exited():
        os.waitpid(pid, 0)


def guarded(name: str, work: Callable[[Wakeup], int]) -> int:
    """Run `work` in a supervisor process; returns its exit status when it and all its descendants have ended.

    `name` (the runner's) stands before messages.
    """
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    supervisor = os.fork()
    if supervisor == 0:
        _supervise(name, work, parent, blocked)
    wake = Wakeup()
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    status = _wait_for(supervisor, wake)
    end_descendants(wake, _reap_all)
    if os.WIFSIGNALED(status):
        print(f"{name}: error: its supervisor was killed by signal {os.WTERMSIG(status)}", file=sys.stderr)
        return 1
    return os.WEXITSTATUS(status)


def _wait_for(supervisor: int, wake: Wakeup) -> int:
    passed = 0
    while True:
        for pid in exited():
            status = os.waitpid(pid, 0)[1]
            if pid == supervisor:
                return status
        if wake.interrupts > passed:
            passed = wake.interrupts
            os.kill(supervisor, wake.interrupt)
        wake.wait(None)


def _supervise(name: str, work: Callable[[Wakeup], int], parent: int, blocked: set[int | signal.Signals]) -> None:
    """The supervisor's life; never returns."""
    code = 1
    try:
        os.setsid()
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        wake = Wakeup()
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        die_with_parent(parent, signal.SIGTERM)
        try:
            code = work(wake)
        finally:
            end_descendants(wake, _reap_all)
    except (EspretError, OSError) as error:  # a log that cannot be written, a full disk
        print(f"{name}: error: {error}", file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(BrokenPipeError, OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
