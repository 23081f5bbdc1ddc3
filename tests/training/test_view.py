"""What a run shows of itself: the pace of its epochs, TensorBoard's files, pictures, the environment it ran in."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from espret.report.runs import read_history
from espret.training import curves, distributed, environment, progress, view
from espret.training.progress import ERASE, LOG_SECONDS, TERMINAL_SECONDS, Pace, clock, epoch_line
from espret.training.tensorboard import Board
from espret.training.view import View

CPU = torch.device("cpu")


class Clock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (progress, view):
        monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
def exp(tmp_path: Path) -> Path:
    return tmp_path / "an 'exp' of; mine"


def row(epoch: int, **more: Any) -> dict[str, Any]:
    train = {"loss": 1.0 / epoch, "temperature": 0.07}
    valid = {"loss": 2.0 / epoch, "t2a/R@1": 10.0 * epoch}
    return {"epoch": epoch, "train": train, "valid": valid, "lr": 0.1, "seconds": 20.0, **more}


def done(step: int = 0, seconds: float = 0.0, waited: float = 0.0) -> SimpleNamespace:
    return SimpleNamespace(step=step, seconds=seconds, waited=waited)


def one_epoch(hands: Clock, pace: Pace, steps: int, wait: float = 0.5, work: float = 1.5, clips: int = 4) -> None:
    def batches() -> Iterator[int]:
        for number in range(steps):
            hands.now += wait
            yield number

    with pace:
        for _ in pace.watch(batches()):
            hands.now += work
            pace.step(clips, torch.tensor(2.0))


def test_the_row_of_an_epoch_counts_what_was_before_an_interruption(hands: Clock) -> None:
    pace = Pace([], 3, 10, 40, done(step=4, seconds=8.0, waited=4.0))
    one_epoch(hands, pace, 6)
    hands.now += 5.0  # validation
    made = pace.row(CPU)
    assert made.pop("memory_gb") > 0.01
    assert made == {
        "time": 1017,
        "steps": 10,
        "seconds": 20.0,
        "valid_seconds": 5.0,
        "clips_per_second": 2.0,
        "data_wait": 0.35,
    }


def test_waiting_is_counted_also_where_reading_fails(hands: Clock) -> None:
    def broken() -> Iterator[int]:
        hands.now += 3.0
        raise OSError("disk gone")
        yield 0

    pace = Pace([], 1, 1, 4, done())
    with pytest.raises(OSError, match="disk gone"):
        list(pace.watch(broken()))
    assert pace.waited == 3.0


def test_a_log_gets_a_line_a_minute(hands: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    one_epoch(hands, Pace([], 3, 100, 400, done()), 100)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 100 * 2 // LOG_SECONDS == 3
    assert lines[0] == "epoch 1/3  step 30/100  loss 2.000  2 clips/s  data wait 25%  ETA 9:00"
    assert "step 90/100" in lines[2] and "\r" not in "".join(lines)


def test_a_terminal_gets_one_line_rewritten(hands: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    one_epoch(hands, Pace([], 3, 1000, 4000, done()), 1000, wait=0.001, work=0.009)
    text = sys.stdout.getvalue()  # type: ignore[attr-defined]
    states = text.split("\r")[1:]
    assert 1000 * 0.01 / TERMINAL_SECONDS * 0.9 < len(states) <= 1000 * 0.01 / TERMINAL_SECONDS + 1
    assert all(len(state.removesuffix("\x1b[K")) < 40 for state in states)
    assert states[0].startswith("epoch 1/3  step 2") and text.endswith(ERASE) and "\n" not in text
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "dumb")
    one_epoch(hands, Pace([], 3, 10, 40, done()), 10)
    assert sys.stdout.getvalue() == ""  # type: ignore[attr-defined]


def test_other_ranks_print_nothing(
    hands: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], exp: Path
) -> None:
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    one_epoch(hands, Pace([], 3, 100, 400, done()), 100)
    with View(exp, [row(1)], lambda: 1, CPU) as shown:
        shown.epoch()
    captured = capsys.readouterr()
    assert captured.out == captured.err == "" and not exp.exists()


def test_the_time_left_counts_validation_and_what_was_measured_before(hands: Clock) -> None:
    history: list[dict[str, Any]] = []
    left = []
    begun = hands.now
    for epoch in range(1, 4):
        pace = Pace(history, 3, 10, 40, done())
        one_epoch(hands, pace, 10)
        left.append(pace.remaining() + hands.now)
        hands.now += 7.0
        history.append({**row(epoch), **pace.row(CPU)})
    end = hands.now - begun
    assert left == [1000 + end - 21.0, 1000 + end, 1000 + end]  # in the first epoch no validation was seen
    resumed = Pace(history[:1], 3, 10, 40, done(step=5, seconds=10.0, waited=0.0))
    hands.now += 1.0
    assert resumed.remaining() == pytest.approx((20 + 11) / 15 * 15 + 2 * 7.0)
    old = Pace([row(1)], 3, 10, 40, done(step=5, seconds=10.0))  # a row without steps, of an older espret
    assert old.remaining() == 30.0


def test_the_line_of_an_epoch() -> None:
    made = row(2, valid_seconds=10.0, clips_per_second=123.4)
    assert epoch_line(made, ("t2a/R@1",), 200, True) == (
        "epoch 2/200  loss 0.500  valid loss 1.000  t2a/R@1 20  lr 0.1  123 clips/s  ETA 1:39:00 *"
    )
    assert (clock(59.9), clock(3599), clock(36000)) == ("0:59", "59:59", "10:00:00")


def test_memory_is_this_process_s_own() -> None:
    """Not what it inherited from the process that started it."""
    big = b"x" * 300_000_000
    script = (
        "import torch; from espret.training.progress import peak_memory; print(peak_memory(torch.device('cpu')),"
        " sum(int(line.split()[1]) * 1024 for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    printed = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    mine, kernel = map(int, printed.split())
    assert len(big) and 0.9 * kernel < mine <= kernel


def points(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """{quantity: [(epoch, value)]}, as TensorBoard reads them."""
    read = EventAccumulator(str(folder), purge_orphaned_data=False).Reload()
    return {tag: [(event.step, event.value) for event in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def test_tensorboard_reads_every_epoch_once_however_often_a_run_is_interrupted(exp: Path) -> None:
    rows = [row(epoch, grad_norm=math.nan if epoch == 2 else 3.0, time=1e9 + epoch) for epoch in range(1, 7)]
    (exp / "train").mkdir(parents=True)
    other = exp / "train/events.out.tfevents.1.other"
    other.touch()
    for first, last, shown in ((0, 2, 2), (2, 4, 1), (4, 6, 2)):  # the second was killed before it showed epoch 4
        board = Board(exp, rows[:first])
        for one in rows[first : first + shown]:
            board.add(one)
            assert points(exp / "valid")["loss"][-1] == (one["epoch"], pytest.approx(2 / one["epoch"]))
        if last == 6:
            board.close()
    read = points(exp / "valid")
    assert read == {
        "loss": [(epoch, pytest.approx(2 / epoch)) for epoch in range(1, 7)],
        "t2a/R@1": [(epoch, 10.0 * epoch) for epoch in range(1, 7)],
    }
    train = points(exp / "train")
    assert set(train) == {"loss", "temperature", "lr", "seconds", "grad_norm"}
    assert train["grad_norm"] == [(epoch, 3.0) for epoch in (1, 3, 4, 5, 6)]
    assert other.exists() and len(list((exp / "train").iterdir())) == 2
    accumulated = EventAccumulator(str(exp / "train")).Reload()
    assert [event.wall_time for event in accumulated.Scalars("lr")] == [1e9 + epoch for epoch in range(1, 7)]


def test_a_file_cut_anywhere_can_be_read(exp: Path) -> None:
    board = Board(exp, [row(1)])
    for epoch in (2, 3):
        board.add(row(epoch))
    board.close()
    (file,) = (exp / "valid").iterdir()
    content = file.read_bytes()
    seen = set()
    for size in range(60, len(content), 7):
        file.write_bytes(content[:size])
        read = points(exp / "valid").get("loss", [])
        assert read == [(epoch, pytest.approx(2 / epoch)) for epoch in range(1, len(read) + 1)]
        seen.add(len(read))
    assert seen == {0, 1, 2}


def test_tensorflow_is_left_alone_and_the_start_is_quick(tmp_path: Path) -> None:
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow/__init__.py").write_text("raise SystemExit('tensorflow was imported')")
    script = (
        "import sys; from pathlib import Path; from espret.training.tensorboard import Board;"
        "Board(Path(sys.argv[1]), []).close(); assert 'torch' not in sys.modules"
    )
    paths = {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "exp")], check=True, env={**os.environ, **paths})


def test_pictures_have_both_curves_and_the_best_epoch(exp: Path) -> None:
    rows = [row(epoch) for epoch in range(1, 6)]
    rows[2]["valid"]["t2a/R@1"] = None  # missing in one epoch
    for names in ("../a$_b", "-n", ".hidden"):
        rows[0]["valid"][names] = 1.0
    rows[0]["valid"]["never"] = math.inf
    curves.draw(rows, 4, exp / "images")
    made = {path.name for path in (exp / "images").iterdir()}
    assert made == {"loss.png", "temperature.png", "t2a_R@1.png", "_n.png", "_hidden.png", "_._a__b.png"}
    colours = {name: imread(exp / f"images/{name}.png")[..., :3].reshape(-1, 3) for name in ("loss", "t2a_R@1")}

    def has(name: str, red: float, green: float, blue: float) -> bool:
        return bool((np.abs(colours[name] - np.array([red, green, blue])).max(1) < 0.05).any())

    assert has("loss", 0.12, 0.47, 0.71) and has("loss", 0.5, 0.5, 0.5) and has("loss", 0.84, 0.15, 0.16)
    assert has("t2a_R@1", 0.12, 0.47, 0.71) and has("t2a_R@1", 0.84, 0.15, 0.16)


def test_curves_are_drawn_at_the_end_and_seldom_before(
    exp: Path, hands: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[int, int]] = []

    def draw(rows: list[dict[str, Any]], best: int, folder: Path) -> None:
        folder.mkdir(exist_ok=True, parents=True)
        drawn.append((len(rows), best))

    monkeypatch.setattr(curves, "draw", draw)
    history: list[dict[str, Any]] = []

    def train(epochs: int) -> None:
        with View(exp, history, lambda: len(history), CPU) as shown:
            for _ in range(epochs):
                history.append(row(len(history) + 1))
                hands.now += 100.0
                shown.epoch()

    train(10)
    assert drawn == [(3, 3), (6, 6), (9, 9), (10, 10)]
    train(0)  # a finished run that is started again
    assert len(drawn) == 4
    with pytest.raises(KeyboardInterrupt), View(exp, history, lambda: 1, CPU) as shown:
        shown.epoch()
        raise KeyboardInterrupt
    assert len(drawn) == 4
    (exp / "images").rmdir()  # interrupted after its last epoch and before this: made good
    train(0)
    assert drawn[4:] == [(10, 10)]
    assert len(json.loads((exp / "environment.json").read_text())) == 4
    assert points(exp / "tensorboard/valid")["loss"][-1][0] == 10


def test_what_cannot_be_shown_is_said_once_and_training_goes_on(
    exp: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], hands: Clock
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(curves, "draw", full)
    monkeypatch.setattr(environment, "write_json", full)
    history = [row(1)]
    with View(exp, history, lambda: 1, CPU) as shown:
        for _ in range(3):
            hands.now += 1000.0
            shown.epoch()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and all(line.startswith(f"warning: {exp}: no ") for line in lines)
    assert "environment.json" in lines[0] and "images" in lines[2] and "No space left" in lines[2]
    assert "TensorBoard" in lines[1] and "mend: " in lines[1] and ("install" in lines[1])


def test_a_board_that_could_not_write_goes_on_when_it_can(exp: Path) -> None:
    """A full disk leaves no torn point between two whole ones."""

    class Full(io.FileIO):
        room = 10

        def write(self, data: Any) -> int:
            if self.room <= 0:
                raise OSError(28, "No space left on device")
            part = bytes(data)[: self.room]
            self.room -= len(part)
            return super().write(part) or 0

    board = Board(exp, [row(1)])
    (file,) = (exp / "valid").iterdir()
    board._streams["valid"].close()
    raw = Full(file, "ab")
    board._streams["valid"] = io.BufferedWriter(raw)
    with pytest.raises(OSError, match="No space"):
        board.add(row(2))
    raw.room = 1 << 20
    board.add(row(3))
    board.close()
    assert [epoch for epoch, _ in points(exp / "valid")["loss"]] == [1, 2, 3]


def test_each_start_adds_its_environment_and_no_secrets(exp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hush")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    monkeypatch.setenv("SLURM_JOB_PASSWORD", "hush")
    environment.record(exp, CPU)
    monkeypatch.setenv("NCCL_DEBUG", "WARN")
    environment.record(exp, CPU)
    text = (exp / "environment.json").read_text()
    first, second = json.loads(text)
    assert "hush" not in text
    assert first["variables"]["OMP_NUM_THREADS"] == "3" and first["variables"]["SLURM_RESTART_COUNT"] == "1"
    assert "NCCL_DEBUG" not in first["variables"] and second["variables"]["NCCL_DEBUG"] == "WARN"
    assert first["torch"] == torch.__version__ and first["cpu"]["cores"] >= 1 and first["gpu"] is None
    assert abs(time.mktime(time.strptime(first["time"], "%Y-%m-%dT%H:%M:%S%z")[:8] + (-1,)) - time.time()) < 90_000
    (exp / "environment.json").write_text('{"not": "a list"}')
    environment.record(exp, CPU)
    assert len(json.loads((exp / "environment.json").read_text())) == 1


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    outer = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", *identity, "-C", str(folder), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=outer).stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "a clone; 'mine'"
    (folder / "espret").mkdir(parents=True)
    (folder / "espret/code.py").write_text("1\n")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "x")
    return folder


def test_git_state_is_of_the_code_that_trains(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = git(clone, "rev-parse", "HEAD")
    (clone / "notes").write_text("not code")
    assert environment.git_state(clone) == {"commit": commit, "dirty": False}
    monkeypatch.setenv("GIT_DIR", str(clone / "elsewhere"))
    assert environment.git_state(clone) == {"commit": commit, "dirty": False}
    new = clone / "espret/new.py"
    new.write_text("2\n")
    assert environment.git_state(clone) == {"commit": commit, "dirty": True}
    new.unlink()
    (clone / "espret/code.py").write_text("3\n")
    assert environment.git_state(clone) == {"commit": commit, "dirty": True}


def test_git_runs_none_of_a_repository_s_programs(clone: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch '{tmp_path}/sprung'\n")
    trap.chmod(0o755)
    hook = clone / ".git/hooks/post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(trap.read_text())
    hook.chmod(0o755)
    git(clone, "config", "core.fsmonitor", str(trap))
    os.utime(clone / "espret/code.py", (1, 1))  # so that git would write its index anew
    index = (clone / ".git/index").read_bytes()
    found = environment.git_state(clone)
    assert found is not None and found["dirty"] is False
    assert (clone / ".git/index").read_bytes() == index
    assert not (tmp_path / "sprung").exists()
    git(clone, "status")
    assert (tmp_path / "sprung").exists()  # the trap works


def test_no_clone_no_git_no_error(clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = clone / "venv/lib/site-packages"  # of a wheel, inside a clone of something else
    installed.mkdir(parents=True)
    assert environment.git_state(installed) is None
    assert environment.git_state(tmp_path) is None
    empty = tmp_path / "fresh"
    empty.mkdir()
    git(empty, "init", "--quiet")
    assert environment.git_state(empty) == {"commit": None, "dirty": False}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment.git_state(clone) is None


def test_the_report_knows_rows_with_and_without_pace(tmp_path: Path) -> None:
    new = [row(epoch, clips_per_second=10, valid_seconds=10.0, memory_gb=epoch / 2, steps=3) for epoch in (1, 2, 3)]
    for rows, facts in (([row(1)], "1 epochs, 20 s"), (new, "3 epochs, 1 min 30 s, 10 clips/s, 1.5 GB")):
        (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
        history = read_history(tmp_path, 1)
        assert history is not None and history.facts() == facts
