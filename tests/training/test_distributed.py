"""Several processes: they give what one gives with the whole batch; where one fails, all end by one message."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from several_processes import alive, below, finish, run, start, wait_until
from tiny_corpus import system, train_arguments

from espret.bin import main
from espret.errors import EspretError
from espret.files import read_jsonl
from espret.training import checkpoint, distributed, launch
from espret.training.interruption import ECHO
from espret.training.rendezvous import Place, place

HOST = os.uname().nodename
TWO = ("--processes", "2")


def rows(out: Path) -> list[dict[str, Any]]:
    return read_jsonl(out / "metrics.jsonl")


@pytest.mark.parametrize(
    ("task", "batch"),
    [
        pytest.param("retrieval", 23, id="retrieval-gradient"),
        pytest.param("retrieval", 4, id="retrieval-uneven", marks=pytest.mark.slow),
        pytest.param("captioning", 4, id="captioning-uneven", marks=pytest.mark.slow),
    ],
)
def test_two_processes_train_as_one(task: str, batch: int, corpus: Path, tmp_path: Path) -> None:
    """One step of plain gradient descent by the whole gradient (shares of 12 and 11 clips): the weights then say what
    it was. Two epochs in batches of 4 and 3, whose shares are 2 + 2 and 2 + 1, in parts where each has two."""
    whole = batch == 23
    content = system(
        task,
        epochs=1 if whole else 2,
        batch_size=batch,
        augment=[],
        accumulate=1 if whole else 2,
        captions_per_clip="group" if task == "retrieval" else "one",  # as many words each, or not
        optimizer={"type": "sgd", "lr": 1.0 if whole else 0.1},
        grad_clip=0.0,
        schedule={"type": "constant"},
    )
    content["model"]["audio"] = {"type": "identity"}  # batch statistics and dropout differ between processes
    content["model"]["text" if task == "retrieval" else "decoder"]["dropout"] = 0.0
    assert main(train_arguments(corpus, tmp_path / "one", task, content)) == 0
    done = run(train_arguments(corpus, tmp_path / "two", task, content, *TWO))
    assert (done.returncode, done.stderr) == (0, "")
    one, two = (checkpoint.load(tmp_path / name / checkpoint.LAST)["model"] for name in ("one", "two"))
    for key in one:
        torch.testing.assert_close(one[key], two[key], atol=5e-6, rtol=5e-5)
    for a, b in zip(rows(tmp_path / "one"), rows(tmp_path / "two"), strict=True):
        for part in ("train", "valid"):
            assert a[part] == pytest.approx(b[part], abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "message"),
    [
        pytest.param(
            "if rank == 1: at_step(2, lambda run: os.kill(os.getpid(), signal.SIGKILL))",
            f"error: process 1 on {HOST} was killed by SIGKILL",
            id="killed",
        ),
        pytest.param(
            "if rank == 1: at_step(2, lambda run: [one.data.fill_(torch.nan) for one in run.network.parameters()])",
            "error: the loss is nan in epoch 1, step 2; clips of the batch",
            id="not-finite",
        ),
        pytest.param(
            "if rank == 1: at_step(2, lambda run: time.sleep(100))\nif rank == 0: at_step(2, lambda run: 1 / 0)",
            "ZeroDivisionError: division by zero",
            id="exception-while-the-other-hangs",
        ),
        pytest.param(
            "if rank == 1: at_step(2, lambda run: os._exit(3))",
            f"error: process 1 on {HOST} ended with status 3 and did not say why",
            id="silent",
        ),
        pytest.param(
            "at_step(2, lambda run: loop.distributed.require_same({'training set': 23 - rank}))",
            "error: process 1 has another training set (22) than process 0 (23); expected all processes to read",
            id="shorter-data",
        ),
    ],
)
def test_a_process_that_fails_ends_all_by_one_message(before: str, message: str, corpus: Path, tmp_path: Path) -> None:
    words = train_arguments(corpus, tmp_path / "exp", "retrieval", system("retrieval"), *TWO)
    process = start(words, before)
    wait_until(lambda: len(below(process)) == 2)
    ranks = below(process)
    done = finish(process)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(re.findall(r"^espret train: error:|^\S*\s?Traceback|Error: ", done.stderr, re.MULTILINE)) <= 2
    assert "onnection" not in done.stderr  # what the others say when one is gone
    assert not any(map(alive, ranks))


@pytest.mark.slow
def test_a_full_disk_ends_all_and_after_making_room_the_run_goes_on(corpus: Path, tmp_path: Path) -> None:
    words = train_arguments(corpus, tmp_path / "exp", "retrieval", system("retrieval", epochs=3), *TWO)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, resource.RLIM_INFINITY))"
    done = run(words, f"{limit}\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)")
    assert done.returncode == 1 and "File too large" in done.stderr and "onnection" not in done.stderr
    assert not list((tmp_path / "exp").glob(".*"))
    assert run(words).returncode == 0
    assert [row["epoch"] for row in rows(tmp_path / "exp")] == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["1", "2"])
def test_where_nobody_reads_what_it_prints_a_run_ends_without_a_word(
    processes: str, corpus: Path, tmp_path: Path
) -> None:
    words = train_arguments(
        corpus, tmp_path / "exp", "retrieval", system("retrieval", epochs=60), "--processes", processes
    )
    process = start(words)
    assert process.stdout is not None and process.stdout.readline().startswith("epoch 1/60")
    process.stdout.close()
    process.stdout = None
    done = finish(process)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.slow
def test_an_output_that_is_closed_is_no_error(corpus: Path, tmp_path: Path) -> None:
    words = train_arguments(corpus, tmp_path / "exp", "retrieval", system("retrieval", epochs=1), *TWO)
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "espret", *words]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(rows(tmp_path / "exp")) == 1


def test_the_warning_before_the_first_step_brings_the_job_back(tmp_path: Path) -> None:
    assert launch._verdict({0: -signal.SIGUSR1, 1: -signal.SIGUSR1}, signal.SIGUSR1, tmp_path) == os.EX_TEMPFAIL


@pytest.mark.slow
def test_a_process_that_never_comes_is_named(corpus: Path, tmp_path: Path) -> None:
    words = train_arguments(corpus, tmp_path / "exp", "retrieval", system("retrieval"), *TWO)
    hangs = 'import os, time\nif os.environ.get("RANK") == "1": time.sleep(100)\n'
    (tmp_path / "sitecustomize.py").write_text(hangs)
    done = run(words, ESPRET_MEET_SECONDS="2", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert f"error: process 0 of 2 on {HOST}: of 2 processes these have not come: 1; expected" in done.stderr
    assert "by gloo within 2 s (ESPRET_MEET_SECONDS); mend: see that every node" in done.stderr


@pytest.mark.slow
def test_processes_that_torchrun_starts(corpus: Path, tmp_path: Path) -> None:
    words = train_arguments(corpus, tmp_path / "exp", "retrieval", system("retrieval", epochs=1), *TWO)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "espret"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*torchrun, *words], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch 1/1") == 1


def test_where_nobody_answers_the_message_says_what_to_look_at(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_PORT", "9")  # discard: nobody listens
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("ESPRET_MEET_SECONDS", "1")
    assert main(train_arguments(corpus, tmp_path / "exp", "retrieval", system("retrieval"), *TWO)) == 1
    said = capsys.readouterr().err
    assert "expected all to meet at 127.0.0.1:9" in said and "GLOO_SOCKET_IFNAME" in said


STEP = {"SLURM_STEP_ID": "0", "SLURM_JOB_ID": "70", "SLURM_STEP_NODELIST": "n[1-2]", "MASTER_ADDR": "n1"}


@pytest.mark.parametrize(
    ("variables", "processes", "nodes", "expected"),
    [
        ({}, 1, 1, None),
        ({}, 4, 1, None),
        ({**STEP, "SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_NUM_NODES": "1"}, 4, 1, None),
        ({**STEP, "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "2"}, 4, 2, None),
        (
            {
                **STEP,
                "SLURM_STEP_NUM_TASKS": "8",
                "SLURM_STEP_NUM_NODES": "2",
                "SLURM_PROCID": "5",
                "SLURM_LOCALID": "1",
            },
            4,
            2,
            Place(5, 1, 8, "n1", 20070, False),
        ),
        (
            {
                **STEP,
                "SLURM_STEP_NUM_TASKS": "2",
                "SLURM_STEP_NUM_NODES": "1",
                "SLURM_PROCID": "0",
                "SLURM_LOCALID": "0",
            },
            2,
            1,
            Place(0, 0, 2, "n1", 20070, True),
        ),
        ({}, 4, 2, "started without srun; mend: srun --nodes=2 --ntasks-per-node=1 espret train"),
        ({**STEP, "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "1"}, 1, 2, "as 2 task(s) on 1 node(s)"),
        ({**STEP, "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "2"}, 1, 1, "--num-nodes 1 with 1 process(es)"),
        ({"TORCHELASTIC_RUN_ID": "x", "LOCAL_RANK": "0", "WORLD_SIZE": "4"}, 2, 1, "torchrun started 4 processes"),
    ],
)
def test_places(
    variables: dict[str, str], processes: int, nodes: int, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith(("SLURM_", "MASTER_"))]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if isinstance(expected, str):
        with pytest.raises(EspretError, match=re.escape(expected)):
            place(processes, nodes)
    else:
        assert place(processes, nodes) == expected


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert [distributed.choose_device(2, local).index for local in (None, 0, 1)] == [0, 0, 1]
    for ngpu, local in ((3, None), (3, 2)):
        with pytest.raises(EspretError, match="use --ngpu 2"):
            distributed.choose_device(ngpu, local)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)  # srun has given each task its own
    assert distributed.choose_device(2, 1).index == 0
    assert len(chosen) == 4


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_the_launcher(number: signal.Signals, corpus: Path, tmp_path: Path) -> None:
    """Killed, or asked twice to stop while its processes hang."""
    words = train_arguments(corpus, tmp_path / "exp", "retrieval", system("retrieval", epochs=1000), *TWO)
    process = start(words, "at_step(3, lambda run: (os.write(1, b'hangs\\n'), time.sleep(100)))")
    assert process.stdout is not None and process.stdout.readline() == "hangs\n"
    ranks = below(process)
    assert len(ranks) == 2
    process.send_signal(number)
    if number == signal.SIGTERM:
        time.sleep(ECHO + 0.5)
        process.send_signal(number)
    assert finish(process, 30).returncode == -number
    wait_until(lambda: not any(map(alive, ranks)))
