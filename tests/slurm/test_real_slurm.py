"""utils/slurm.py on a real Slurm: arrays, failures, limits, cancelling, a controller that goes away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slurm

SLURM = Path(__file__).resolve().parents[2] / "utils" / "slurm.py"
Start = Callable[..., "subprocess.Popen[str]"]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def start(folder: Path, slurm_env: dict[str, str]) -> Iterator[Start]:
    """Start slurm.py; one that a failing test leaves is ended."""
    started = []

    def popen(*words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(SLURM), "--poll-interval", "2", *words],
            cwd=folder,
            env=slurm_env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield popen
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


@pytest.fixture
def run(start: Start) -> Run:
    """Run slurm.py to its end."""

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        process = start(*words)
        output, errors = process.communicate(timeout=300)
        return subprocess.CompletedProcess(words, process.returncode, output, errors)

    return call


def record(log: Path) -> dict[str, Any]:
    return dict(json.loads(Path(f"{log}.json").read_text(encoding="utf-8")))


def test_words_and_paths_of_any_kind(run: Run, folder: Path) -> None:
    words = ["a b", "it's", "", "$HOME", "`id`", "x\ny", "世", "*", "feats.JOB.ark"]
    show = "import json, sys; print(json.dumps(sys.argv[1:]))"
    result = run(
        "JOB=1:2", "log dir/x 100%.JOB.log", sys.executable, "-c", show, *words, "|", "cat", ">", "out 'put.JOB"
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads((folder / "out 'put.2").read_text()) == [*words[:-1], "feats.2.ark"]
    found = record(folder / "log dir/x 100%.2.log")
    assert found["slurm_id"].isdigit() and found["rc"] == 0 and found["cpu_seconds"] > 0 and found["cwd"] == str(folder)
    assert sorted(path.name for path in (folder / "log dir/q").iterdir()) == ["x 100%.JOB.log.out", "x 100%.JOB.log.sh"]


def test_an_array_of_five_hundred_tasks(run: Run, folder: Path) -> None:
    result = run("JOB=1:500", "log/JOB.log", "bash", "-c", "echo JOB > out.JOB; [ JOB != 77 ] && [ JOB != 400 ]")
    assert result.returncode == 1
    assert result.stderr.splitlines()[0] == "slurm.py: 2 / 500 failed: 77, 400"
    assert all((folder / f"out.{task}").read_text() == f"{task}\n" for task in range(1, 501))
    assert sum(record(folder / f"log/{task}.log")["state"] == "done" for task in range(1, 501)) == 498


def test_a_task_that_fails_then_only_it_runs_again(run: Run, folder: Path) -> None:
    command = ["--pick", "incomplete", "JOB=1:4", "x.JOB.log", "bash", "-c"]
    command += ["echo x >> ran.JOB; [ JOB != 3 ] || [ -e mended ] || { echo 'ValueError: not yet'; exit 7; }"]
    result = run(*command)
    assert result.returncode == 1
    assert result.stderr.splitlines()[:2] == ["slurm.py: 1 / 4 failed: 3", "slurm.py:   3: ValueError: not yet"]
    assert (record(folder / "x.3.log")["rc"], record(folder / "x.3.log")["attempt"]) == (7, 1)
    (folder / "mended").write_text("")
    assert run(*command).returncode == 0
    assert [(folder / f"ran.{task}").read_text() for task in range(1, 5)] == ["x\n", "x\n", "x\nx\n", "x\n"]


def test_a_task_that_is_killed(run: Run, folder: Path) -> None:
    """Task 2 kills itself; task 3 also the job's script, so that nobody is left to write a status."""
    kill = 'case JOB in 2) kill -9 $$ ;; 3) kill -9 "$SLURM_TASK_PID" $$ ;; esac'
    result = run("JOB=1:3", "x.JOB.log", "bash", "-c", kill)
    assert result.returncode == 1 and "slurm.py: 2 / 3 failed: 2, 3" in result.stderr
    assert record(folder / "x.2.log")["cause"] == "killed by SIGKILL"
    assert (record(folder / "x.2.log")["rc"], record(folder / "x.2.log")["signal"]) == (137, "SIGKILL")
    assert record(folder / "x.3.log")["cause"].startswith("FAILED: it left no exit status")
    assert record(folder / "x.1.log")["state"] == "done"


def test_a_task_that_uses_too_much_memory(run: Run, folder: Path) -> None:
    eat = "import time; block = bytearray(b'x') * 500_000_000; time.sleep(60)"
    result = run("--mem", "200M", "x.log", sys.executable, "-c", eat)
    assert (
        result.returncode == 1 and "job failed: OUT_OF_MEMORY: it used more memory than it may (--mem)" in result.stderr
    )


@pytest.mark.slow
def test_a_task_that_exceeds_its_time(run: Run, folder: Path) -> None:
    result = run("--time", "1", "JOB=1:2", "x.JOB.log", "bash", "-c", "[ JOB = 1 ] || sleep 600")
    assert result.returncode == 1
    assert result.stderr.splitlines()[:2] == [
        "slurm.py: 1 / 2 failed: 2",
        "slurm.py:   2: TIMEOUT: it ran longer than it may (--time)",
    ]


def test_a_gpu_and_threads_and_memory(run: Run, folder: Path) -> None:
    show = 'echo "<$CUDA_VISIBLE_DEVICES $OMP_NUM_THREADS $SLURM_CPUS_PER_TASK $SLURM_MEM_PER_NODE>"'
    assert run("--gpu", "1", "--num-threads", "3", "--mem", "300M", "x.log", "bash", "-c", show).returncode == 0
    assert "<0 3 3 300>" in (folder / "x.log").read_text()
    result = run("--gpu", "2", "x.log", "true")  # the node has one
    assert result.returncode == 1 and "Requested node configuration is not available" in result.stderr


def test_no_more_tasks_at_a_time_than_asked(run: Run, folder: Path) -> None:
    span = "import time; a = time.time(); time.sleep(0.5); print('span', a, time.time())"
    assert run("--max-jobs-run", "2", "JOB=1:6", "x.JOB.log", sys.executable, "-c", span).returncode == 0
    lines = [line for n in range(1, 7) for line in (folder / f"x.{n}.log").read_text().splitlines()]
    spans = [tuple(map(float, line.split()[1:])) for line in lines if line.startswith("span")]
    assert len(spans) == 6 and max(sum(a <= start < b for a, b in spans) for start, _ in spans) <= 2


def test_tee_follows_the_log(start: Start, folder: Path) -> None:
    wait = "import os, time\nprint('epoch 1')\nwhile not os.path.exists('go'): time.sleep(0.1)\nprint('epoch 2')"
    process = start("--tee", "true", "x.log", sys.executable, "-c", wait)
    assert process.stdout is not None and process.stdout.readline() == "epoch 1\n"
    (folder / "go").write_text("")
    assert process.communicate(timeout=60)[0] == "epoch 2\n"
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_cancel(
    start: Start, folder: Path, slurm_cluster: Any, wait_until: Callable[..., bool], number: signal.Signals
) -> None:
    process = start("JOB=1:3", "x.JOB.log", "bash", "-c", "echo $$ > pid.JOB; [ JOB = 1 ] || sleep 600")
    assert wait_until(lambda: len(list(folder.glob("pid.*"))) == 3 and (folder / "x.1.log.json").exists())
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2 and f"interrupted ({number.name}): 1 of 3 tasks had ended" in errors
    assert slurm_cluster.squeue() == []
    for task in (2, 3):
        assert not Path(f"/proc/{(folder / f'pid.{task}').read_text().strip()}/cmdline").exists()
        assert record(folder / f"x.{task}.log")["state"] == "interrupted"
    assert record(folder / "x.1.log")["state"] == "done"


def test_cancelled_by_somebody_else(
    start: Start, folder: Path, slurm_cluster: Any, slurm_env: dict[str, str], wait_until: Callable[..., bool]
) -> None:
    process = start("JOB=1:2", "x.JOB.log", "bash", "-c", "echo > started.JOB; [ JOB = 1 ] || sleep 600")
    assert wait_until((folder / "started.2").exists)
    subprocess.run(["scancel", *slurm_cluster.squeue("-r", "-t", "running")], env=slurm_env, check=True)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and "slurm.py:   2: CANCELLED (scancel)" in errors


def test_a_requeued_task(
    start: Start, folder: Path, slurm_cluster: Any, slurm_env: dict[str, str], wait_until: Callable[..., bool]
) -> None:
    process = start(
        "x.log", "bash", "-c", 'echo "attempt ${SLURM_RESTART_COUNT:-0}"; [ -e again ] || { : > again; sleep 600; }'
    )
    assert wait_until((folder / "again").exists)
    (job,) = slurm_cluster.squeue()
    subprocess.run(["scontrol", "requeue", job], env=slurm_env, check=True)
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    text = (folder / "x.log").read_text()
    assert "attempt 0\n" in text and "attempt 1\n" in text


def test_kill_9_of_slurm_py_then_again(
    start: Start, run: Run, folder: Path, slurm_cluster: Any, wait_until: Callable[..., bool]
) -> None:
    command = ["--pick", "incomplete", "JOB=1:3", "x.JOB.log", "bash", "-c"]
    command += ["echo $$ >> ran.JOB; [ JOB = 1 ] || [ -e go ] || sleep 600"]
    process = start(*command)
    assert wait_until(lambda: len(list(folder.glob("ran.*"))) == 3 and (folder / "x.1.log.json").exists())
    process.kill()
    process.wait()
    (folder / "go").write_text("")
    result = run(*command)
    assert result.returncode == 0 and "ending what an earlier slurm.py left in the queue: jobs" in result.stderr
    assert [len((folder / f"ran.{task}").read_text().split()) for task in (1, 2, 3)] == [1, 2, 2]
    first = (folder / "ran.2").read_text().split()[0]
    assert not Path(f"/proc/{first}/cmdline").exists()
    assert slurm_cluster.squeue() == []


def test_submission_while_the_controller_is_down(start: Start, folder: Path, slurm_cluster: Any) -> None:
    slurm_cluster.stop_controller()
    process = start("JOB=1:2", "x.JOB.log", "echo", "task JOB")
    assert process.stderr is not None
    assert "waiting for Slurm, up to 600 s" in process.stderr.readline()
    slurm_cluster.start()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0 and "Slurm answers again" in errors
    assert "task 2\n" in (folder / "x.2.log").read_text()


@pytest.mark.parametrize("kill", [False, True])
def test_the_controller_is_restarted_meanwhile(
    start: Start, folder: Path, slurm_cluster: Any, wait_until: Callable[..., bool], kill: bool
) -> None:
    """One task ends while it is away (and fails), one runs on, one has ended before."""
    command = "echo > started.JOB; case JOB in 2) while [ ! -e go ]; do sleep 0.1; done; exit 5 ;; 3) sleep 20 ;; esac"
    process = start("JOB=1:3", "x.JOB.log", "bash", "-c", command)
    assert wait_until(lambda: len(list(folder.glob("started.*"))) == 3 and (folder / "x.1.log.json").exists())
    if kill:
        time.sleep(8)  # it saves its state every few seconds; what is younger is lost when it is killed
    slurm_cluster.stop_controller(kill)
    (folder / "go").write_text("")
    again = threading.Timer(4, slurm_cluster.start)
    again.start()
    _, errors = process.communicate(timeout=180)
    again.join()
    assert process.returncode == 1 and "slurm.py: 1 / 3 failed: 2" in errors
    assert record(folder / "x.2.log")["rc"] == 5 and record(folder / "x.3.log")["state"] == "done"


def test_a_job_that_slurm_refuses(run: Run, folder: Path, slurm_cluster: Any) -> None:
    result = run("-p", "nowhere", "x.log", "true")
    assert result.returncode == 1 and "invalid partition specified: nowhere" in result.stderr
    assert slurm_cluster.squeue() == [] and not list((folder / "q").glob("*.job"))


def test_a_job_inside_a_job(run: Run, folder: Path) -> None:
    """A recipe that was itself sent to Slurm submits as if it were not."""
    show = 'echo "<${SLURM_CPUS_PER_TASK:-none}>"'
    inner = [sys.executable, str(SLURM), "--poll-interval", "2", "inner.log", "bash", "-c", show]
    assert run("--num-threads", "2", "outer.log", *inner).returncode == 0
    assert "<none>" in (folder / "inner.log").read_text()
    assert os.path.exists(folder / "inner.log.json")
