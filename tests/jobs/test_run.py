"""utils/run.py as users call it: logs, records, failures, what is run again, how many run at a time."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
UTILS = Path(__file__).resolve().parents[2] / "utils"
CORES = len(os.sched_getaffinity(0))


def record(log: Path) -> dict[str, Any]:
    value = json.loads(Path(f"{log}.json").read_text(encoding="utf-8"))
    assert isinstance(value, dict)
    return value


def test_log_head_and_tail(run: Run, folder: Path) -> None:
    assert run("log/x.log", "printf", "one\ntwo").returncode == 0
    lines = (folder / "log/x.log").read_text().splitlines()
    assert lines[0] == "# printf 'one"
    assert re.fullmatch(r"# Started at \w{3} \w{3} [ \d]\d [\d:]{8} \w+ \d{4}", lines[2])
    assert lines[lines.index("#") + 1 : -2] == ["one", "two"]  # the tail begins a line of its own
    assert re.fullmatch(r"# Accounting: time=\d+ threads=1", lines[-2])
    assert re.fullmatch(r"# Ended \(code 0\) at .* \d{4}, elapsed time \d+ seconds", lines[-1])


def test_words_with_blanks_quotes_and_the_empty_word_arrive(run: Run, folder: Path) -> None:
    words = ["", "a b", "it's", '"', "$HOME", "`id`", "x\ny", "世", "*", "\\"]
    show = "import json, sys; print(json.dumps(sys.argv[1:]))"
    assert run("JOB=3", "a log.JOB.log", sys.executable, "-c", show, *words, "s.JOB").returncode == 0
    text = (folder / "a log.3.log").read_text()
    assert json.loads(next(line for line in text.splitlines() if line.startswith('["'))) == [*words, "s.3"]
    assert record(folder / "a log.3.log")["argv"][3:] == [*words, "s.3"]


def test_a_pipe_fails_when_its_first_part_does(run: Run, folder: Path) -> None:
    assert run("x.log", "false", "|", "cat").returncode == 1
    assert run("x.log", "echo", "one", "|", "cat", ">", "out put").returncode == 0
    assert (folder / "out put").read_text() == "one\n"


def test_record(run: Run, folder: Path) -> None:
    burn = "b = bytearray(60_000_000)\nfor i in range(2_000_000): pass\nraise SystemExit(3)"
    assert run("x.log", sys.executable, "-c", burn).returncode == 1
    found = record(folder / "x.log")
    assert found["argv"] == [sys.executable, "-c", burn]
    assert (found["rc"], found["signal"], found["state"], found["attempt"]) == (3, None, "failed", 1)
    assert found["cwd"] == str(folder) and found["host"] == os.uname().nodename and found["slurm_id"] is None
    assert found["maxrss_bytes"] > 60_000_000 and found["cpu_seconds"] > 0.01
    assert found["start"] < found["end"] and found["seconds"] > 0
    run("x.log", "true")
    assert record(folder / "x.log")["attempt"] == 2


def test_an_array_of_two_hundred_tasks(run: Run, folder: Path) -> None:
    result = run("JOB=1:200", "log/JOB.log", "echo", "task JOB", ">", "out.JOB")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert [(folder / f"out.{task}").read_text() for task in range(1, 201)] == [f"task {n}\n" for n in range(1, 201)]
    assert all(record(folder / f"log/{task}.log")["task"] == task for task in range(1, 201))


FAILING = """
import os, signal, sys
task = int(sys.argv[1])
print("line", *range(30), sep="\\n")
if task in (4, 17):
    raise ModuleNotFoundError(f"No module named 'x{task}'")
if task == 30:
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_failures_are_named_with_their_causes(run: Run, folder: Path) -> None:
    result = run("JOB=1:32", "log/a.JOB.log", sys.executable, "-c", FAILING, "JOB")
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    assert lines[0] == "run.py: 3 / 32 failed: 4, 17, 30"
    assert lines[1] == "run.py:   4, 17: ModuleNotFoundError: No module named 'x4'"
    assert lines[2] == "run.py:   30: killed by SIGKILL"
    assert lines[3] == "run.py: the last 20 lines of log/a.4.log:"
    assert lines[4:24] == [f"    {line}" for line in (folder / "log/a.4.log").read_text().splitlines()[-20:]]
    assert lines[-1] == "run.py: log is in log/a.4.log (all: log/a.JOB.log)"
    killed = record(folder / "log/a.30.log")
    assert (killed["rc"], killed["signal"]) == (137, "SIGKILL")
    assert "# Ended (code 137; signal 9) at" in (folder / "log/a.30.log").read_text()
    assert record(folder / "log/a.32.log")["state"] == "done"


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (["no-such-command"], "no-such-command: command not found"),
        (
            ["bash", "-c", "echo 'espret dump: error: data/x: no such folder' >&2; exit 1"],
            "espret dump: error: data/x: no",
        ),
        (["bash", "-c", "echo almost; exit 9"], "exit status 9, its last line is: almost"),
        (["false"], "exit status 1, nothing in the log"),
        (["bash", "-c", "kill -SEGV $$"], "killed by SIGSEGV"),
        (["bash", "-c", "kill -KILL $$", "|", "cat"], "killed by SIGKILL"),
    ],
)
def test_the_cause_of_one_failure(run: Run, words: list[str], cause: str) -> None:
    result = run("log dir/JOB.log", *words)
    assert result.returncode == 1
    assert cause in result.stderr.splitlines()[0]
    assert "log is in log dir/JOB.log" in result.stderr and "JOB=1:$nj is missing" in result.stderr


def test_one_log_for_many_tasks_is_refused(run: Run, folder: Path) -> None:
    result = run("JOB=1:2", "x.log", "true")
    assert result.returncode == 2 and "put JOB into its name" in result.stderr
    assert list(folder.iterdir()) == []


def test_a_log_that_cannot_be_written_is_said(run: Run, folder: Path) -> None:
    (folder / "file").write_text("")
    result = run("file/x.log", "true")
    assert result.returncode == 1 and "run.py: error: file: cannot make the folder of the logs" in result.stderr
    (folder / "x.log").mkdir()
    result = run("x.log", "true")
    assert result.returncode == 1 and "run.py: error: x.log: cannot write the log: Is a directory" in result.stderr


def test_in_the_c_locale_names_may_be_of_any_script_but_must_be_utf_8(run: Run, folder: Path) -> None:
    assert run("für.log", "echo", "世", env={"LC_ALL": "C"}).returncode == 0
    assert "世\n" in (folder / "für.log").read_text(encoding="utf-8")
    result = run("x.log", "echo", os.fsdecode(b"caf\xe9"), env={"LC_ALL": "C"})
    assert result.returncode == 2 and "'caf\\udce9' is not UTF-8" in result.stderr


def test_a_command_that_is_too_long_is_said(run: Run) -> None:
    result = run("x.log", "true", *["x" * 50_000] * 3)
    assert result.returncode == 1 and "150" in result.stderr and "use a file list" in result.stderr


def test_options_of_clusters_are_taken_and_do_nothing(run: Run) -> None:
    words = [
        "--mem",
        "4G",
        "--time",
        "1:0:0",
        "--num-nodes",
        "2",
        "--config",
        "none",
        "-q",
        "all.q",
        "-V",
        "-pe",
        "smp",
        "4",
    ]
    assert run(*words, "JOB=1:2", "--unheard-of", "v", "x.JOB.log", "true").returncode == 0


def counts(folder: Path, tasks: int) -> list[int]:
    return [len((folder / f"ran.{task}").read_text().splitlines()) for task in range(1, tasks + 1)]


@pytest.mark.parametrize("pick", [["--pick", "incomplete"], ["--pick", "failed"], []])
def test_only_what_is_not_done_runs_again(run: Run, folder: Path, pick: list[str]) -> None:
    env = {"ESPRET_RESUME": "" if pick else "1"}
    command = ["bash", "-c", 'echo x >> ran.JOB; [ -e mended ] || [ "$1" != 2 ]', "bash", "JOB"]
    assert run(*pick, "JOB=1:4", "x.JOB.log", *command, env=env).returncode == 1
    (folder / "mended").write_text("")
    (folder / "x.4.log.json").write_text("{")  # a record that cannot be read is none
    assert run(*pick, "JOB=1:4", "x.JOB.log", *command, env=env).returncode == 0
    assert counts(folder, 4) == [1, 2, 1, 2]
    again = run(*pick, "JOB=1:4", "x.JOB.log", *command, env=env)
    assert again.returncode == 0 and "all 4 tasks are done already" in again.stderr
    assert counts(folder, 4) == [1, 2, 1, 2]
    assert run(*pick, "JOB=1:4", "x.JOB.log", *command, "new", env=env).returncode == 0  # another command
    assert counts(folder, 4) == [2, 3, 2, 3]


def test_by_default_all_tasks_run_again(run: Run, folder: Path) -> None:
    for _ in range(2):
        assert run("JOB=1:2", "x.JOB.log", "echo", "x", ">>", "ran.JOB").returncode == 0
    assert counts(folder, 2) == [2, 2]
    assert run("--pick", "none", "x.log", "true").returncode == 2


SPAN = """
import os, sys, time
start = time.monotonic()
time.sleep(0.3)
print(start, time.monotonic(), os.environ.get(sys.argv[1]))
"""


def spans(folder: Path, tasks: int) -> list[tuple[float, float, str]]:
    found = []
    for task in range(1, tasks + 1):
        line = (folder / f"x.{task}.log").read_text().splitlines()[-3]
        first, last, value = line.split(" ", 2)
        found.append((float(first), float(last), value))
    return found


def most_at_once(found: list[tuple[float, float, str]]) -> int:
    return max(sum(a <= start < b for a, b, _ in found) for start, _, _ in found)


@pytest.mark.parametrize("option", [["--max-jobs-run", "1"], ["-tc", "1"], ["--num-threads", str(CORES)]])
def test_one_at_a_time(run: Run, folder: Path, option: list[str]) -> None:
    assert run(*option, "JOB=1:3", "x.JOB.log", sys.executable, "-c", SPAN, "OMP_NUM_THREADS").returncode == 0
    found = spans(folder, 3)
    assert most_at_once(found) == 1
    assert {value for _, _, value in found} == {option[1] if option[0] == "--num-threads" else "None"}


@pytest.mark.skipif(CORES < 2, reason="needs two cores")
def test_gpus_are_shared_out(run: Run, folder: Path) -> None:
    words = ["--gpu", "2", "JOB=1:6", "x.JOB.log", sys.executable, "-c", SPAN, "CUDA_VISIBLE_DEVICES"]
    assert run(*words, env={"ESPRET_GPUS": "0,1,5,7"}).returncode == 0
    found = spans(folder, 6)
    assert {value for _, _, value in found} == {"0,1", "5,7"}
    for first in found:
        for second in found:
            if first is not second and first[0] < second[1] and second[0] < first[1]:
                assert first[2] != second[2]
    assert most_at_once(found) == 2
    assert record(folder / "x.1.log")["gpus"] in ("0,1", "5,7")


def test_gpus_that_are_not_there(run: Run) -> None:
    result = run("--gpu", "1", "x.log", "true", env={"CUDA_VISIBLE_DEVICES": ""})
    assert result.returncode == 0 and "no GPU is visible here" in result.stderr
    result = run("--gpu", "3", "x.log", "true", env={"ESPRET_GPUS": "0,1"})
    assert result.returncode == 2 and "only 2 visible here (0,1)" in result.stderr


def test_tee_shows_what_the_command_writes_and_the_log_has_it(run: Run, folder: Path) -> None:
    show = "import sys; print('epoch 1', sys.stdout.isatty()); print('# note'); sys.stdout.write('the end')"
    result = run("--tee", "true", "x.log", sys.executable, "-c", show)
    assert result.stdout == "epoch 1 False\n# note\nthe end\n"
    assert "epoch 1 False" in (folder / "x.log").read_text()
    assert run("--tee", "perhaps", "x.log", "true").returncode == 2


def test_tee_shows_lines_as_they_come(start: Callable[..., Any], folder: Path) -> None:
    wait = "import os, time\nprint('one')\nwhile not os.path.exists('go'): time.sleep(0.05)"
    process = start("run.py", "--tee", "true", "x.log", sys.executable, "-c", wait)
    assert process.stdout.readline() == "one\n"  # the command still waits
    (folder / "go").write_text("")
    assert process.wait(20) == 0


def test_a_terminal_sees_one_line_that_tells_how_far_it_is(folder: Path, environment: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, str(UTILS / "run.py"), "--max-jobs-run", "1", "JOB=1:3", "x.JOB.log", "sleep", "0.6"]
    process = subprocess.Popen(command, cwd=folder, env=environment, stderr=theirs, stdout=theirs)
    os.close(theirs)
    assert process.wait(30) == 0
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert re.search(r"\r\x1b\[Krun\.py: 1 done, 0 failed, 1 running of 3, 0:0\d, 0:0\d left", shown)
    assert "\n" not in shown and shown.endswith("\r\x1b[K")


def test_run_py_adds_little_to_a_command(folder: Path, environment: dict[str, str]) -> None:
    """Starting is importing: tools/bench/jobs.py measures the time, which a busy machine would make mere luck."""

    def imported(*command: str) -> set[str]:
        words = [sys.executable, "-X", "importtime", *command]
        lines = subprocess.run(words, cwd=folder, env=environment, check=True, capture_output=True, text=True).stderr
        return {line.split("|")[2].strip() for line in lines.splitlines() if line.startswith("import time:")}

    added = imported(str(UTILS / "run.py"), "x.log", "true") - imported("-c", "pass")
    assert "espret.jobs.guard" in added
    assert len(added) < 40, sorted(added)
