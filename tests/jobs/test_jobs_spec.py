"""The calling convention: options, ranges of tasks, substitution, quoting."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import pytest

from espret.errors import EspretError
from espret.jobs import RUNNERS
from espret.jobs.spec import OPERATORS, Option, parse, shell_command, shell_template

PIECES = [
    " ",
    "'",
    '"',
    "$",
    "`",
    "\\",
    "\n",
    "\t",
    "*",
    "?",
    "~",
    "#",
    "!",
    "&",
    ";",
    "|",
    "<",
    ">",
    "(",
    ")",
    "{a,b}",
]
PIECES += ["$HOME", "$(id)", "a", "JO", "é", "世", "%s", "-n", "--", "=", ""]


def random_words(seed: int, count: int) -> list[str]:
    chance = random.Random(seed)
    words = ["".join(chance.choices(PIECES, k=chance.randrange(6))) for _ in range(count)]
    return [word for word in words if word not in OPERATORS]


def test_options_stand_before_and_after_the_range() -> None:
    request = parse(
        ["--mem", "4G", "JOB=2:4", "--max-jobs-run", "2", "-tc", "3", "--gpu=1", "x.JOB.log", "echo", "--mem"], "r"
    )
    assert request.options == (
        Option("mem", "4G"),
        Option("max_jobs_run", "2"),
        Option("-tc", "3"),
        Option("gpu", "1"),
    )
    assert (request.job, request.tasks) == ("JOB", (2, 3, 4))
    assert (request.log, request.words) == ("x.JOB.log", ("echo", "--mem"))


def test_the_last_of_an_option_wins() -> None:
    request = parse(["--mem", "1G", "--mem", "2G", "x.log", "true"], "r")
    assert request.option("mem") == "2G"


def test_any_name_and_a_single_index() -> None:
    request = parse(["SPLIT=7", "log/SPLIT/x.log", "cat", "feats.SPLIT.ark", "splitSPLIT"], "r")
    assert request.task_log(7) == "log/7/x.log"
    assert request.task_words(7) == ["cat", "feats.7.ark", "split7"]


@pytest.mark.parametrize(
    "spec", ["JOB=0:3", "JOB=3:2", "JOB=1:", "JOB=", "JOB=1:nan", "JOB=:4", "JOB=1:2:3", "JOB=-1:2"]
)
def test_what_is_not_a_range_is_said(spec: str) -> None:
    with pytest.raises(EspretError, match="range of tasks") as error:
        parse([spec, "x.JOB.log", "true"], "r")
    assert error.value.status == 2


@pytest.mark.parametrize("argv", [[], ["x.log"], ["--mem", "4G"], ["--mem"], ["JOB=1:2", "x.JOB.log"], ["-V"]])
def test_log_and_command_are_needed(argv: list[str]) -> None:
    with pytest.raises(EspretError, match="usage: r "):
        parse(argv, "r")


def test_an_array_needs_a_log_for_each_task() -> None:
    with pytest.raises(EspretError, match=r"2 tasks would write to one log, x\.log: put JOB into its name"):
        parse(["JOB=1:2", "x.log", "true"], "r")
    assert parse(["JOB=2:2", "x.log", "true"], "r").tasks == (2,)


@pytest.mark.parametrize("value", ["nan", "-1", "1.5", "", "inf"])
def test_a_number_is_a_number(value: str) -> None:
    with pytest.raises(EspretError, match="--max-jobs-run needs a whole number"):
        parse([f"--max-jobs-run={value}", "x.log", "true"], "r").number("max_jobs_run")


def test_an_option_taken_for_a_value_is_suspicious(capsys: pytest.CaptureFixture[str]) -> None:
    parse(["--mem", "--gpu", "1", "x.log", "true"], "r")
    assert "suspicious argument '--gpu'" in capsys.readouterr().err


def test_the_name_inside_a_longer_word_is_replaced_with_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    request = parse(["JOB=1:2", "MYJOBS/x.JOB.log", "cat", "a_JOB.ark"], "r")
    assert request.task_log(1) == "MY1S/x.1.log"
    messages = capsys.readouterr().err
    assert "part of a longer word in 'MYJOBS/x.JOB.log'" in messages
    assert "a_JOB.ark" not in messages


@pytest.mark.parametrize("seed", range(8))
def test_any_words_reach_the_command_as_they_are(seed: int) -> None:
    words = random_words(seed, 60)
    show = [sys.executable, "-c", "import json, sys; print(json.dumps(sys.argv[1:]))", *words]
    shown = subprocess.run(["bash", "-c", shell_command(show)], capture_output=True, check=True)
    assert json.loads(shown.stdout) == words


@pytest.mark.parametrize("seed", range(4))
def test_the_template_of_a_script_gives_the_same_words(seed: int) -> None:
    words = [f"{word}JOB{word}" for word in random_words(seed, 40)] + ["JOB", "JOBJOB", "", "x"]
    show = [sys.executable, "-c", "import json, sys; print(json.dumps(sys.argv[1:]))", *words]
    script = f"task=12\n{shell_template(show, 'JOB', 'task')}\n"
    shown = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    assert json.loads(shown.stdout) == [word.replace("JOB", "12") for word in words]


def test_operators_are_shell_syntax() -> None:
    assert shell_command(["a", "|", "b c", "2>", "x", "&&", "d;e"]) == "a | 'b c' 2> x && 'd;e'"


def test_runners_are_found_by_name() -> None:
    assert callable(RUNNERS.load("local")) and callable(RUNNERS.load("slurm"))
    with pytest.raises(EspretError, match="unknown job runner 'slrum'; did you mean 'slurm'"):
        RUNNERS.load("slrum")


def test_the_runners_need_only_the_standard_library() -> None:
    code = "import sys, espret.jobs.local, espret.jobs.slurm; print(*{'numpy', 'torch', 'yaml'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.strip() == b""
