"""espret train on a real Slurm: requeued, warned and cancelled it loses nothing; two nodes train as one process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_corpus import make_corpus, system, train_arguments

from espret.bin import main
from espret.files import read_jsonl
from espret.training import checkpoint

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

UTILS = Path(__file__).resolve().parents[2] / "utils"
ESPRET = [sys.executable, "-m", "espret"]
Start = Callable[..., "subprocess.Popen[str]"]
Wait = Callable[..., bool]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus ü"))


@pytest.fixture
def start(folder: Path, slurm_env: dict[str, str], slurm_cluster: Any) -> Iterator[Start]:
    """Start a command through slurm.py, log x.log; one that a failing test leaves is ended."""
    started = []

    def popen(options: list[str], command: list[str], **more: str) -> subprocess.Popen[str]:
        words = [
            sys.executable,
            str(UTILS / "slurm.py"),
            "--poll-interval",
            "1",
            "--mem",
            "2G",
            *options,
            "x.log",
            *command,
        ]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(words, cwd=folder, env={**slurm_env, "OMP_NUM_THREADS": "1", **more}, **pipes))
        return started[-1]

    yield popen
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


def has_run(runner: subprocess.Popen[str], log: Path, attempt: int = 0, epochs: int = 1) -> bool:
    """Whether an attempt has done so many epochs. What ends before fails the test."""
    attempts = log.read_text().split("# Running on ")[1:] if log.exists() else []
    assert runner.poll() is None, log.read_text()
    return len(attempts) > attempt and attempts[attempt].count("\nepoch ") >= epochs


def same_weights(one: Path, other: Path) -> bool:
    first, second = (checkpoint.load(folder / checkpoint.LAST)["model"] for folder in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_requeued_then_warned_it_ends_like_an_undisturbed_run(
    start: Start, corpus: Path, folder: Path, slurm_cluster: Any, slurm_env: dict[str, str], wait_until: Wait
) -> None:
    content = system("retrieval", epochs=60, batch_size=4)
    assert main(train_arguments(corpus, folder / "whole", "retrieval", content)) == 0
    words = train_arguments(corpus, folder / "exp", "retrieval", content)
    runner = start(["--warning", "1"], [*ESPRET, *words])
    log = folder / "x.log"
    for attempt, disturb in enumerate((["scontrol", "requeue"], ["scancel", "--signal=USR1", "--batch"])):
        assert wait_until(lambda number=attempt: has_run(runner, log, number, 2), 90)
        (job,) = slurm_cluster.squeue()
        subprocess.run([*disturb, job], env=slurm_env, check=True)
    output, errors = runner.communicate(timeout=120)
    assert (runner.returncode, errors) == (0, ""), log.read_text()
    said = log.read_text()
    assert said.count("resuming after epoch") == 2
    assert "stopped by SIGTERM" in said and "stopped by SIGUSR1" in said
    assert [line.rpartition(" ")[2] for line in said.splitlines() if line.startswith("# Finished")] == [
        "143",
        "75",
        "0",
    ]
    assert len(read_jsonl(folder / "exp/metrics.jsonl")) == 60
    assert same_weights(folder / "whole", folder / "exp")


def test_cancelled_it_saves_and_does_not_come_back(
    start: Start, corpus: Path, folder: Path, slurm_cluster: Any, slurm_env: dict[str, str], wait_until: Wait
) -> None:
    words = train_arguments(corpus, folder / "exp", "retrieval", system("retrieval", epochs=1000))
    runner = start(["--warning", "1"], [*ESPRET, *words, "--processes", "2"])
    assert wait_until(lambda: has_run(runner, folder / "x.log"), 90)
    subprocess.run(["scancel", *slurm_cluster.squeue()], env=slurm_env, check=True)
    _, errors = runner.communicate(timeout=60)
    assert runner.returncode == 1 and "job failed: CANCELLED (scancel)" in errors
    log = (folder / "x.log").read_text()
    assert "stopped by SIGTERM in epoch" in log and "with status 143" in log and "Traceback" not in log
    assert slurm_cluster.squeue() == []


def test_a_job_that_is_warned_before_it_could_do_anything_is_not_requeued(start: Start, folder: Path) -> None:
    runner = start(["--warning", "60"], ["bash", "-c", "exit 75"])
    _, errors = runner.communicate(timeout=60)
    assert runner.returncode == 1 and "needs a longer --time" in errors


def test_what_knows_no_warning_does_not_die_of_it(
    start: Start, folder: Path, slurm_cluster: Any, slurm_env: dict[str, str], wait_until: Wait
) -> None:
    runner = start(["--warning", "1"], ["bash", "-c", "touch begun; sleep 2; echo through"])
    assert wait_until((folder / "begun").exists)
    subprocess.run(["scancel", "--signal=USR1", "--batch", *slurm_cluster.squeue()], env=slurm_env, check=True)
    _, errors = runner.communicate(timeout=60)
    assert (runner.returncode, errors) == (0, "") and "through\n" in (folder / "x.log").read_text()


def content_for_several(epochs: int) -> dict[str, Any]:
    content = system("retrieval", epochs=epochs, augment=[], captions_per_clip="group")
    content["model"]["audio"] = {"type": "identity"}  # batch statistics and dropout differ between processes
    content["model"]["text"]["dropout"] = 0.0
    return content


SRUN = ["srun", "--export=ALL", "--nodes=2"]
NODES = ["--num-nodes", "2"]


@pytest.mark.parametrize(
    ("srun", "processes"),
    [
        pytest.param([*SRUN, "--ntasks-per-node=1", "--wait=60"], "2", id="a-launcher-on-each-node"),
        pytest.param([*SRUN, "--ntasks=2"], "1", id="one-process-on-each-node"),
    ],
)
def test_two_nodes_train_as_one_process_and_a_warning_reaches_them(
    start: Start,
    corpus: Path,
    folder: Path,
    slurm_cluster: Any,
    slurm_env: dict[str, str],
    wait_until: Wait,
    srun: list[str],
    processes: str,
) -> None:
    content = content_for_several(30)
    assert main(train_arguments(corpus, folder / "one", "retrieval", content)) == 0
    words = train_arguments(corpus, folder / "exp", "retrieval", content, "--processes", processes, *NODES)
    runner = start(["--warning", "1", *NODES], [*srun, *ESPRET, *words])
    log = folder / "x.log"
    assert wait_until(lambda: has_run(runner, log, epochs=2), 120)
    subprocess.run(["scancel", "--signal=USR1", "--batch", *slurm_cluster.squeue()], env=slurm_env, check=True)
    _, errors = runner.communicate(timeout=180)
    assert (runner.returncode, errors) == (0, "")
    assert "stopped by SIGUSR1" in log.read_text() and "resuming after epoch" in log.read_text()
    one, two = (read_jsonl(folder / name / "metrics.jsonl") for name in ("one", "exp"))
    for a, b in zip(one, two, strict=True):
        assert a["train"]["loss"] == pytest.approx(b["train"]["loss"], abs=1e-4)
        assert a["valid"]["loss"] == pytest.approx(b["valid"]["loss"], abs=1e-4)


@pytest.mark.parametrize(
    ("options", "launch", "asked", "message"),
    [
        (NODES, [], NODES, "--num-nodes 2 with 1 process(es) on each, but this was started without srun"),
        ([], ["srun"], NODES, "but this was started by srun as 1 task(s) on 1 node(s)"),
        (
            NODES,
            [*SRUN, "--ntasks=2"],
            [],
            "--num-nodes 1 with 1 process(es) on each, but this was started by srun as 2",
        ),
    ],
)
def test_other_nodes_than_were_asked_for_are_an_error(
    start: Start, corpus: Path, folder: Path, options: list[str], launch: list[str], asked: list[str], message: str
) -> None:
    words = train_arguments(corpus, folder / "exp", "retrieval", system("retrieval"), *asked)
    runner = start(options, [*launch, *ESPRET, *words])
    _, errors = runner.communicate(timeout=90)
    assert runner.returncode == 1 and message in (folder / "x.log").read_text() and "srun --nodes=" in errors
    assert not (folder / "exp").exists()


def test_a_node_whose_processes_never_come_is_named(start: Start, corpus: Path, folder: Path) -> None:
    """The second node's part ends at once."""
    words = train_arguments(corpus, folder / "exp", "retrieval", system("retrieval"), "--processes", "2", *NODES)
    absent = ["bash", "-c", '[ "$SLURM_PROCID" = 0 ] || exit 0; exec "$@"', "x"]
    runner = start(NODES, [*SRUN, "--ntasks-per-node=1", *absent, *ESPRET, *words], ESPRET_MEET_SECONDS="3")
    _, errors = runner.communicate(timeout=90)
    assert runner.returncode == 1
    assert (
        "of 4 processes these have not come: 2, 3; expected all to meet at 127.0.0.1:" in (folder / "x.log").read_text()
    )
    assert "(firewalls), and set GLOO_SOCKET_IFNAME" in errors


def test_a_process_that_is_killed_ends_both_nodes(start: Start, corpus: Path, folder: Path, wait_until: Wait) -> None:
    words = train_arguments(corpus, folder / "exp", "retrieval", system("retrieval", epochs=1000), *NODES)
    runner = start(NODES, [*SRUN, "--ntasks-per-node=1", "--wait=60", *ESPRET, *words, "--processes", "2"])
    log = folder / "x.log"
    assert wait_until(lambda: has_run(runner, log), 120)
    of_run = {pid: environment for pid, environment in environments().items() if str(folder / "exp") in environment[0]}
    os.kill(next(pid for pid, environment in of_run.items() if "RANK=3" in environment), signal.SIGKILL)
    _, errors = runner.communicate(timeout=60)
    assert runner.returncode == 1 and "was killed by SIGKILL" in log.read_text()
    assert not [pid for pid, environment in environments().items() if str(folder / "exp") in environment[0]]


def environments() -> dict[int, list[str]]:
    """The command, as one word, and the environment of every living process."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{name}/cmdline").read_text().replace("\0", " ")
            found[int(name)] = [words, *Path(f"/proc/{name}/environ").read_text(errors="replace").split("\0")]
    return found
