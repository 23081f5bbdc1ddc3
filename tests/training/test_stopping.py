"""Runs that are asked to stop, as users, Slurm and terminals ask: they save the step at hand, and say one line."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest
import torch
from several_processes import below, finish, start
from tiny_corpus import system, train_arguments

from espret.bin import main
from espret.training import checkpoint, interruption
from espret.training.interruption import WARNING, Interruption, Stopped


def test_exit_statuses() -> None:
    assert [Stopped(number, 1, 1).status for number in interruption.SIGNALS] == [143, 130, 75]


def send(number: int) -> None:
    os.kill(os.getpid(), number)


def test_one_request_may_come_several_times_and_a_second_one_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with Interruption() as asked:
        send(signal.SIGINT)
        send(signal.SIGINT)
        send(signal.SIGTERM)
        assert asked.number == signal.SIGINT
        monkeypatch.setattr(interruption, "ECHO", 0.0)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("processes", ["1", "2"])
def test_ctrl_c_while_libraries_are_loaded_is_not_lost(processes: str, corpus: Path, tmp_path: Path) -> None:
    words = train_arguments(
        corpus, tmp_path / "exp", "retrieval", system("retrieval", epochs=1), "--processes", processes
    )
    # As a library that swallows what is raised while it looks whether another one is there.
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Swallows:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'torch':\n"
        "            try: os.kill(os.getpid(), signal.SIGINT)\n"
        "            except BaseException: pass\n"
        "sys.meta_path.insert(0, Swallows())\n"
    )
    done = finish(start(words, PYTHONPATH=str(tmp_path)))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "espret train: interrupted\n")


def test_the_end_after_the_warning_is_no_second_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruption, "ECHO", 0.0)
    with Interruption() as asked:
        send(WARNING)
        assert asked.number == WARNING
        send(WARNING)
        send(signal.SIGTERM)
        assert asked.number == signal.SIGTERM


def test_a_warning_before_the_loop_counts() -> None:
    with Interruption([WARNING]):
        send(WARNING)
        with Interruption() as asked:
            assert asked.number == WARNING


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "processes"), [("launcher", 2), ("scancel", 2), ("terminal", 2), ("warning", 2), ("readers", 1)]
)
def test_what_is_asked_to_stop_goes_on_exactly(way: str, processes: int, corpus: Path, tmp_path: Path) -> None:
    """`scancel`: every process gets TERM at once, and again; `terminal`: Ctrl-C reaches a whole group; `readers`: so do
    the processes that read features."""
    number = {"terminal": signal.SIGINT, "warning": signal.SIGUSR1}.get(way, signal.SIGTERM)
    content = system("retrieval", epochs=8, batch_size=4)
    more = ("--processes", str(processes), "--num-workers", "2", "--cache-gb", "0" if way == "readers" else "2")
    words = train_arguments(corpus, tmp_path / "asked", "retrieval", content, *more)
    process = start(words, "at_step(2, lambda run: (print('step 2', flush=True), time.sleep(0.5)))" * (processes > 1))
    assert process.stdout is not None
    process.stdout.readline()  # some step has been done
    if way == "terminal":
        os.killpg(process.pid, number)
    elif way in ("scancel", "readers"):
        for _ in range(2 if processes > 1 else 1):  # alone, it may have ended when the echo comes
            for pid in (process.pid, *below(process)):
                os.kill(pid, number)
            time.sleep(0.1 if way == "scancel" else 0)
    else:
        process.send_signal(number)
    done = finish(process)
    assert done.returncode == {"terminal": 130, "warning": 75}.get(way, 143), done.stderr
    said = rf"espret train: stopped by {number.name} in epoch \d+ after step \d+; the same command goes on there\n"
    assert re.fullmatch(said, done.stderr)
    again = finish(start(words))
    assert again.returncode == 0 and again.stdout.startswith("resuming after epoch ")
    whole = train_arguments(corpus, tmp_path / "whole", "retrieval", content, *more)
    assert (main(whole) if processes == 1 else finish(start(whole)).returncode) == 0
    one, other = (checkpoint.load(tmp_path / name / checkpoint.LAST)["model"] for name in ("whole", "asked"))
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.slow
def test_asked_before_the_first_step_nothing_is_said_to_have_failed(corpus: Path, tmp_path: Path) -> None:
    words = train_arguments(corpus, tmp_path / "exp", "retrieval", system("retrieval"), "--processes", "2")
    process = start(words)
    while len(below(process)) < 2:
        time.sleep(0.02)
    process.terminate()
    done = finish(process)
    assert done.returncode == 143
    assert done.stderr == "espret train: stopped by SIGTERM before the first step\n"
