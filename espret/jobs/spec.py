"""The calling convention that Kaldi's users know: `runner [options] [JOB=1:N] LOG COMMAND WORD...`.

Here an argument list becomes a `Request`: options, the range of tasks, the log and the words of the command, and a
request becomes the shell text of one task. What an option means is the runner's business; running is not done here.
"""

from __future__ import annotations

import re
import shlex
import sys
from typing import NamedTuple, NoReturn

from espret.errors import EspretError

# A word that is exactly one of these is shell syntax; every other word is data and is quoted. A command therefore
# cannot be given such a word as an argument, and needs none: file names never look like this.
OPERATORS = frozenset(("|", "<", ">", ">>", "2>", "2>&1", "&&", "||", ";", "&>"))

_JOB = r"([A-Za-z_]\w*)=([0-9]+)(?::([0-9]+))?"
_NOT_A_JOB = r"[A-Za-z_]\w*=([^/]*:[^/]*|)"


class Option(NamedTuple):
    """One option as given. `name` is `max_jobs_run` for `--max-jobs-run`, but `-p` for the short option `-p`."""

    name: str
    value: str


class Request(NamedTuple):
    """What the user asked for. Without a `JOB=1:N` word `job` is None and `tasks` is (1,)."""

    runner: str
    options: tuple[Option, ...]
    job: str | None
    tasks: tuple[int, ...]
    log: str
    words: tuple[str, ...]

    def option(self, *names: str) -> str | None:
        """The value of the last option that has one of `names`, or None."""
        return next((value for name, value in reversed(self.options) if name in names), None)

    def number(self, *names: str) -> int | None:
        """The same as a number >= 0. Raises EspretError for anything else."""
        value = self.option(*names)
        if value is None:
            return None
        if not re.fullmatch("[0-9]+", value):
            raise _usage(self.runner, f"option {_spelled(names[0])} needs a whole number >= 0, found '{value}'")
        return int(value)

    def flag(self, name: str) -> bool:
        """An option that is true or false (the default). Raises EspretError for anything else."""
        value = self.option(name)
        if value not in (None, "true", "false"):
            raise _usage(self.runner, f"option {_spelled(name)} needs true or false, found '{value}'")
        return value == "true"

    def task_log(self, task: int) -> str:
        """The log file of a task."""
        return substitute(self.log, self.job, str(task))

    def task_words(self, task: int) -> list[str]:
        """The words of a task's command."""
        return [substitute(word, self.job, str(task)) for word in self.words]


def parse(argv: list[str], runner: str) -> Request:
    """Read a runner's arguments. Options may stand before and after `JOB=1:N`; each (`--x v`, `--x=v`, `-x v`) takes
    one value.

    Raises EspretError (status 2) when the log or the command is missing, when the range of tasks is not one, and when
    an array of tasks would write to one log.
    """
    rest = list(argv)
    options: list[Option] = []
    job: str | None = None
    tasks: tuple[int, ...] = (1,)
    while rest:
        if rest[0].startswith("-"):
            options.append(_take_option(rest, runner))
        elif (found := _job_range(rest[0], runner)) is not None:
            if job is not None:
                raise _usage(runner, f"two ranges of tasks, the second is '{rest[0]}'")
            job, tasks = found
            rest.pop(0)
        else:
            break
    if len(rest) < 2:
        raise _usage(runner, "needs a log file and a command")
    request = Request(runner, tuple(options), job, tasks, rest[0], tuple(rest[1:]))
    if job is not None and len(tasks) > 1 and job not in request.log:
        raise _usage(
            runner,
            f"{len(tasks)} tasks would write to one log, {request.log}: put {job} into its name "
            f"(for example {request.log.removesuffix('.log')}.{job}.log)",
        )
    for word in (request.log, *request.words):
        if not word.isascii() and word != word.encode("utf-8", "replace").decode("utf-8"):
            raise _usage(runner, f"{ascii(word)} is not UTF-8: rename the file, logs and records are text")
    _warn_of_embedded(request)
    return request


def _take_option(rest: list[str], runner: str) -> Option:
    word = rest.pop(0)
    if word == "-V":
        return Option("-V", "")
    if word.startswith("--") and "=" in word:
        name, _, value = word.partition("=")
        return Option(_key(name), value)
    count = 2 if word == "-pe" else 1
    if len(rest) < count:
        raise _usage(runner, f"option {word} needs a value")
    values = [rest.pop(0) for _ in range(count)]
    if values[0].startswith("--"):
        print(f"{runner}: warning: suspicious argument '{values[0]}' as the value of {word}", file=sys.stderr)
    return Option(_key(word), " ".join(values))


def _key(word: str) -> str:
    return word[2:].replace("-", "_") if word.startswith("--") else word


def _spelled(name: str) -> str:
    return name if name.startswith("-") else "--" + name.replace("_", "-")


def _job_range(word: str, runner: str) -> tuple[str, tuple[int, ...]] | None:
    if "=" not in word:
        return None
    match = re.fullmatch(_JOB, word)
    if not match:
        if re.fullmatch(_NOT_A_JOB, word):
            raise _usage(runner, f"'{word}' is not a range of tasks; expected NAME=FIRST:LAST, for example JOB=1:4")
        return None
    name, first = match[1], int(match[2])
    last = int(match[3]) if match[3] else first
    if first < 1 or last < first:
        raise _usage(runner, f"'{word}' is not a range of tasks: the first must be at least 1, the last not below it")
    return name, tuple(range(first, last + 1))


def _usage(runner: str, problem: str) -> EspretError:
    return EspretError(f"{problem}\nusage: {runner} [options] [JOB=1:N] LOG COMMAND [WORD...]", status=2)


def _warn_of_embedded(request: Request) -> None:
    """The name of the job is replaced wherever it stands; inside a longer word that is seldom meant."""
    if request.job is None:
        return
    inside = re.compile(rf"(?<=[^\W_]){request.job}|{request.job}(?=[^\W_])")
    for word in (request.log, *request.words):
        if inside.search(word):
            print(
                f"{request.runner}: warning: '{request.job}' is part of a longer word in '{word}', "
                "and is replaced by the number of the task there too",
                file=sys.stderr,
            )


def substitute(word: str, job: str | None, value: str) -> str:
    """`word` with the name of the job replaced by `value`, wherever it stands (`feats.JOB.ark`, `splitJOB`)."""
    return word if job is None else word.replace(job, value)


def shell_command(words: list[str]) -> str:
    """Shell text that runs `words`: operators as they are, every other word (an empty one too) as exactly one word."""
    return " ".join(word if word in OPERATORS else shlex.quote(word) for word in words)


def shell_template(words: list[str] | tuple[str, ...], job: str | None, variable: str) -> str:
    """The same for a script that serves all tasks: the name of the job becomes `"${variable}"`."""
    return " ".join(word if word in OPERATORS else shell_word(word, job, variable) for word in words)


def shell_word(word: str, job: str | None, variable: str) -> str:
    """One word of a script, quoted, with the name of the job replaced by `"${variable}"`."""
    if job is None or job not in word:
        return shlex.quote(word)
    pieces = [shlex.quote(piece) if piece else "" for piece in word.split(job)]
    return f'"${{{variable}}}"'.join(pieces)


def extra_environment(request: Request) -> dict[str, str]:
    """Variables that a runner sets for every task."""
    threads = request.number("num_threads")
    variables = {"OMP_NUM_THREADS": str(threads)} if threads else {}
    if request.flag("tee"):  # else a Python that sees no terminal keeps its lines back
        variables["PYTHONUNBUFFERED"] = "1"
    return variables


def fail(runner: str, problem: str) -> NoReturn:
    """Raise the usage error of a runner (status 2)."""
    raise _usage(runner, problem)
