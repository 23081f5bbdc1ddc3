"""utils/slurm.py against a fake Slurm (fake_slurm.py): what a real one does only when something breaks."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from espret.jobs import main, submission, watch

FAKE = Path(__file__).parent / "fake_slurm.py"


class Cluster:
    """The fake, and slurm.py called in this process."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self._capsys = root, capsys

    def plan(self, **plan: Any) -> None:
        (self.root / "plan.json").write_text(json.dumps(plan))

    def slurm(self, *words: str) -> tuple[int, str]:
        status = main("slurm", "slurm.py", ["--poll-interval", "0", *words])
        output = self._capsys.readouterr()
        return status, output.out + output.err

    def calls(self, name: str) -> list[list[str]]:
        if not (self.root / "calls").exists():
            return []
        lines = map(json.loads, (self.root / "calls").read_text().splitlines())
        return [words[1:] for words in lines if words[0] == name]


@pytest.fixture
def cluster(
    folder: Path, tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> Iterator[Cluster]:
    root = tmp_path / "fake"
    (root / "bin").mkdir(parents=True)
    for name in ("sbatch", "squeue", "scancel", "sacct", "scontrol"):
        program = root / "bin" / name
        program.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, str(FAKE), name])} "$@"\n')
        program.chmod(0o755)
    for name in set(os.environ) - set(environment):
        monkeypatch.delenv(name)
    monkeypatch.setenv("FAKE_SLURM", str(root))
    monkeypatch.setenv("PATH", f"{root / 'bin'}:{environment['PATH']}")
    monkeypatch.chdir(folder)
    for module, name in ((watch, "GRACE"), (watch, "SOON"), (submission, "RETRY")):
        monkeypatch.setattr(module, name, 0.1)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield Cluster(root, capsys)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def record(log: str) -> dict[str, Any]:
    return dict(json.loads(Path(f"{log}.json").read_text(encoding="utf-8")))


def test_an_array_with_a_failure(cluster: Cluster) -> None:
    words = ["a b", "it's", "", "$HOME", "x\ny", "JOB.ark"]
    show = [sys.executable, "-c", "import sys, json; print(json.dumps(sys.argv[1:]))", *words]
    status, text = cluster.slurm("JOB=1:4", "log dir/x.JOB.log", *show, "&&", "[", "JOB", "!=", "3", "]", "|", "cat")
    assert status == 1
    assert text.splitlines()[0].startswith("slurm.py: 1 / 4 failed: 3")
    lines = Path("log dir/x.2.log").read_text().splitlines()
    assert json.loads(lines[lines.index("#") + 1]) == [*words[:-1], "2.ark"]
    assert lines[0].startswith("# Running on ") and lines[1].startswith("# Started at ")
    assert lines[-1].startswith("# Finished at ") and lines[-1].endswith("with status 0")
    found = record("log dir/x.3.log")
    assert (found["state"], found["rc"], found["slurm_id"], found["task"]) == ("failed", 1, "100003", 3)
    assert record("log dir/x.2.log")["state"] == "done"
    assert sorted(path.name for path in Path("log dir/q").iterdir()) == ["x.JOB.log.out", "x.JOB.log.sh"]


def test_no_command_for_each_task(cluster: Cluster) -> None:
    assert cluster.slurm("--poll-interval", "15", "JOB=1:30", "x.JOB.log", "true")[0] == 0
    assert len(cluster.calls("sbatch")) == 1 and len(cluster.calls("squeue")) <= 1 and len(cluster.calls("sacct")) == 1


def test_only_what_is_not_done_is_submitted_again(cluster: Cluster) -> None:
    command = ["--pick", "incomplete", "JOB=1:6", "x.JOB.log", "bash", "-c", "[ -e mended ] || [ $(( JOB % 2 )) = 0 ]"]
    assert cluster.slurm(*command)[0] == 1
    Path("mended").write_text("")
    assert cluster.slurm(*command)[0] == 0
    assert [word for word in cluster.calls("sbatch")[1] if word.startswith("--array")] == ["--array=1,3,5"]
    status, text = cluster.slurm(*command)
    assert status == 0 and "all 6 tasks are done already" in text and len(cluster.calls("sbatch")) == 2
    assert record("x.1.log")["attempt"] == 2 and record("x.2.log")["attempt"] == 1


@pytest.mark.parametrize(
    ("plan", "cause"),
    [
        ({"state": "TIMEOUT", "reason": "TimeLimit"}, "TIMEOUT: it ran longer than it may (--time)"),
        ({"state": "OUT_OF_MEMORY", "reason": "OutOfMemory"}, "OUT_OF_MEMORY: it used more memory than it may (--mem)"),
        ({"state": "NODE_FAIL", "reason": "NodeDown"}, "NODE_FAIL: its node failed"),
        ({"state": "PREEMPTED", "reason": "None"}, "PREEMPTED: another job took its place"),
        ({"state": "CANCELLED", "reason": "None"}, "CANCELLED (scancel)"),
        ({"state": "FAILED", "reason": "JobLaunchFailure"}, "FAILED: it left no exit status"),
        ({"state": "COMPLETED", "reason": "None"}, "COMPLETED: it left no exit status"),
        ({"state": "GONE"}, "lost: Slurm does not know it any more"),
        ({"state": "PENDING", "reason": "DependencyNeverSatisfied"}, "Slurm cannot run it: DependencyNeverSatisfied"),
        (
            {"state": "PENDING", "reason": "launch failed requeued held"},
            "Slurm cannot run it: launch failed requeued held",
        ),
        (
            {
                "state": "FAILED",
                "says": "slurmstepd: error: StepId=%s.batch exceeded memory limit (9 > 3), being killed",
            },
            "OUT_OF_MEMORY: it used more memory than it may (--mem)",
        ),
        (
            {"state": "FAILED", "says": "slurmstepd: error: *** JOB %s ON n1 CANCELLED AT now DUE TO TIME LIMIT ***"},
            "TIMEOUT: it ran longer than it may (--time)",
        ),
    ],
)
def test_a_task_without_an_exit_status_has_failed(cluster: Cluster, plan: dict[str, str], cause: str) -> None:
    cluster.plan(tasks={"2": plan})
    status, text = cluster.slurm("JOB=1:3", "x.JOB.log", "true")
    assert status == 1
    assert text.splitlines()[:2] == ["slurm.py: 1 / 3 failed: 2", f"slurm.py:   2: {record('x.2.log')['cause']}"]
    assert record("x.2.log")["cause"].startswith(cause)
    assert record("x.2.log")["rc"] is None and record("x.1.log")["state"] == "done"


def test_the_same_without_an_array(cluster: Cluster) -> None:
    cluster.plan(tasks={"0": {"state": "GONE"}})
    status, text = cluster.slurm("x.log", "true")
    assert status == 1 and "job failed: lost" in text
    assert not [word for word in cluster.calls("sbatch")[0] if word.startswith("--array")]


def test_a_requeued_task_counts_by_its_last_attempt(cluster: Cluster) -> None:
    cluster.plan(tasks={"2": {"requeue": True}})
    command = ["bash", "-c", 'echo attempt; [ "JOB" != 2 ] || [ -n "$SLURM_RESTART_COUNT" ]']
    assert cluster.slurm("JOB=1:3", "x.JOB.log", *command)[0] == 0
    assert Path("x.2.log").read_text().count("\nattempt\n") == 2  # the first attempt's log is kept


def test_submission_waits_for_a_controller_that_is_down(cluster: Cluster) -> None:
    cluster.plan(down={"sbatch": 3, "squeue": 2})
    status, text = cluster.slurm("x.log", "true")
    assert status == 0
    assert "waiting for Slurm, up to 600 s: sbatch: error: Unable to contact slurm controller" in text
    assert "Slurm answers again" in text


def test_submission_gives_up_in_the_end(cluster: Cluster) -> None:
    cluster.plan(down={"sbatch": 1000, "squeue": 1000})
    status, text = cluster.slurm("--submit-timeout", "1", "x.log", "true")
    assert status == 1 and "no answer from Slurm in 1 s" in text


def test_a_submission_whose_answer_was_lost_is_not_repeated(cluster: Cluster) -> None:
    cluster.plan(lost_answer=1)
    assert cluster.slurm("x.log", "echo", "x", ">>", "ran")[0] == 0
    assert len(cluster.calls("sbatch")) == 1 and Path("ran").read_text() == "x\n"


def test_a_controller_that_is_down_while_we_wait_fails_nothing(cluster: Cluster) -> None:
    cluster.plan(down={"squeue": 5}, tasks={"2": {"requeue": True}})
    command = ["bash", "-c", '[ "JOB" != 2 ] || [ -n "$SLURM_RESTART_COUNT" ]']
    status, text = cluster.slurm("JOB=1:2", "x.JOB.log", *command)
    assert status == 0 and "waiting, Slurm does not answer" in text


def test_after_long_silence_the_status_file_is_believed(cluster: Cluster) -> None:
    cluster.plan(down={"squeue": 10_000})
    status, text = cluster.slurm("--submit-timeout", "1", "x.log", "bash", "-c", "echo ValueError: bad; exit 1")
    assert status == 1 and "job failed: ValueError: bad" in text


def test_an_array_beyond_the_limit_is_several(cluster: Cluster) -> None:
    cluster.plan(max_array=4)
    assert cluster.slurm("JOB=2:9", "x.JOB.log", "echo", "JOB", ">", "out.JOB")[0] == 0
    assert [Path(f"out.{task}").read_text() for task in range(2, 10)] == [f"{task}\n" for task in range(2, 10)]
    arrays = [word for call in cluster.calls("sbatch") for word in call if word.startswith("--array")]
    assert arrays == ["--array=2-3", "--array=0-3", "--array=0-1"]
    assert record("x.9.log")["state"] == "done"


def test_with_a_limit_of_running_tasks_they_follow_each_other(cluster: Cluster) -> None:
    cluster.plan(max_array=4)
    assert cluster.slurm("--max-jobs-run", "2", "JOB=1:5", "x.JOB.log", "true")[0] == 0
    first, second = cluster.calls("sbatch")
    assert "--array=1-3%2" in first and "--array=0-1%2" in second and "--dependency=afterany:100" in second


def test_a_refusal_cancels_what_was_accepted(cluster: Cluster) -> None:
    cluster.plan(max_array=4, refuse="Invalid account", tasks={"1": {"state": "RUNNING"}})
    status, text = cluster.slurm("JOB=1:5", "x.JOB.log", "true")
    assert status == 1 and "slurm.py: error: sbatch: sbatch: error: Invalid account" in text
    assert ["100"] in cluster.calls("scancel")


def test_a_wrapper_of_sbatch_may_say_more(cluster: Cluster) -> None:
    cluster.plan(wrapper="Welcome to the cluster\n")
    assert cluster.slurm("x.log", "true")[0] == 0
    cluster.plan(wrapper="Submitted batch job ")
    assert cluster.slurm("x.log", "true")[0] == 0


def test_what_a_killed_slurm_py_left_is_cancelled_and_its_results_kept(cluster: Cluster) -> None:
    """The job file of a dead process says what was submitted; task 1 has succeeded since, task 2 still runs."""
    cluster.plan(tasks={"2": {"state": "RUNNING"}})
    command = ["--pick", "incomplete", "JOB=1:2", "x.JOB.log", "bash", "-c", "echo x >> ran.JOB"]
    pid = os.fork()
    if pid == 0:
        watch.Watch.step = lambda self: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
        main("slurm", "slurm.py", command)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    assert not Path("x.1.log.json").exists()
    cluster.plan()
    status, text = cluster.slurm(*command)
    assert status == 0 and "an earlier slurm.py left in the queue: jobs 100" in text
    assert ["100"] in cluster.calls("scancel")
    assert [word for word in cluster.calls("sbatch")[1] if word.startswith("--array")] == ["--array=2"]
    assert Path("ran.1").read_text() == Path("ran.2").read_text() == "x\n"
    assert record("x.1.log")["state"] == "done"
    assert sorted(path.name for path in Path("q").iterdir()) == ["x.JOB.log.out", "x.JOB.log.sh"]


def test_a_slurm_py_that_still_lives_is_left_alone(cluster: Cluster) -> None:
    Path("q").mkdir()
    started = Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19]
    job = {"pid": 1, "started": started, "host": os.uname().nodename}
    Path("q/x.log.job").write_text(json.dumps(job))
    status, text = cluster.slurm("x.log", "true")
    assert status == 1 and "process 1 on this machine is running it already" in text


def test_an_ending_signal_cancels(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.plan(tasks={"2": {"state": "RUNNING"}})
    look = watch.Watch.step

    def step(self: watch.Watch) -> None:
        look(self)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(watch.Watch, "step", step)
    status, text = cluster.slurm("JOB=1:2", "x.JOB.log", "true")
    assert status == 2 and "interrupted (SIGTERM): 1 of 2 tasks had ended, jobs cancelled: 100" in text
    assert ["100"] in cluster.calls("scancel")
    assert record("x.2.log")["state"] == "interrupted" and record("x.1.log")["state"] == "done"
    assert not list(Path("q").glob("*.job"))


def test_memory_comes_from_accounting(cluster: Cluster) -> None:
    cluster.plan(sacct="100_1|COMPLETED|\n100_1.batch|COMPLETED|2048K\n100_2|COMPLETED|\n100_2.batch|COMPLETED|1.5M")
    assert cluster.slurm("JOB=1:2", "x.JOB.log", "true")[0] == 0
    assert [record(f"x.{task}.log")["maxrss_bytes"] for task in (1, 2)] == [2048 * 1024, 1536 * 1024]


def test_tee_shows_the_log(cluster: Cluster) -> None:
    status, text = cluster.slurm("--tee", "true", "x.log", "echo", "epoch 1")
    assert (status, text) == (0, "epoch 1\n")


def test_inside_a_job_its_variables_do_not_reach_ours(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "32")
    monkeypatch.setenv("ESPRET_LOCK_FD", "9")
    show = 'echo "<${SLURM_CPUS_PER_TASK:-none} ${ESPRET_LOCK_FD:-none}>"'
    assert cluster.slurm("x.log", "bash", "-c", show)[0] == 0
    assert "<none none>" in Path("x.log").read_text()


def test_dry_run_prints_the_script_and_submits_nothing(cluster: Cluster) -> None:
    status, text = cluster.slurm(
        "--dry-run", "true", "--mem", "2G", "--num-threads", "3", "JOB=1:9", "x.JOB.log", "echo", "JOB"
    )
    assert status == 0 and text.startswith("#!/bin/bash\n")
    assert "export OMP_NUM_THREADS=3\n" in text and 'echo "${task}"' in text
    assert "--mem=2G --cpus-per-task=3" in text.splitlines()[-1] and "--array=1-9" in text.splitlines()[-1]
    assert cluster.calls("sbatch") == [] and list(Path().iterdir()) == []


def test_a_warning_is_asked_for_and_passed_on_only_where_it_is_wanted(cluster: Cluster) -> None:
    _, plain = cluster.slurm("--dry-run", "true", "x.log", "true")
    _, none = cluster.slurm("--dry-run", "true", "--warning", "0", "x.log", "true")
    _, warned = cluster.slurm("--dry-run", "true", "--warning", "120", "x.log", "true")
    for text in (plain, none):
        assert "USR1" not in text and "scontrol requeue" not in text
    assert " --signal=B:USR1@120 " in warned.splitlines()[-1]
    assert "kill -s USR1 0" in warned and '[ "${rc}" = 75 ]' in warned


def test_without_slurm_it_says_so(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(cluster.root))
    status, text = cluster.slurm("x.log", "true")
    assert status == 1 and "sbatch: command not found: Slurm is not installed on this machine" in text
