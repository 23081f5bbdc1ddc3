"""The configuration of a cluster runner, in the grammar of Kaldi's conf/slurm.conf.

    command sbatch --export=ALL       how to submit, with a site's options
    option mem=* --mem=$0             what `--mem VALUE` becomes; $0 is the value
    option gpu=0                      a value of its own comes before `*`; it may become nothing
    default gpu=0                     as if the user had said `--gpu 0`
    # a comment, also after an entry

A file `slurm.local.conf` beside `slurm.conf` is read after it: its `command` and `default` replace, and the first
`option` it has for a name replaces all that slurm.conf has for that name.
"""

from __future__ import annotations

import os
import shlex

from espret.errors import EspretError, nearest
from espret.jobs.spec import Option, Request

DEFAULT_FILE = "conf/slurm.conf"

# Used where there is no conf/slurm.conf: nothing in it depends on the site.
BUILT_IN = """
command sbatch --export=ALL --ntasks-per-node=1 --requeue
option name=* --job-name=$0
option time=* --time=$0
option mem=* --mem=$0
option num_threads=* --cpus-per-task=$0
option num_nodes=* --nodes=$0
option gpu=0
option gpu=* --gres=gpu:$0
option warning=0
option warning=* --signal=B:USR1@$0
"""

# What a runner does itself; none of these reaches the configuration.
OWN_OPTIONS = ("config", "max_jobs_run", "-tc", "pick", "tee", "dry_run", "submit_timeout", "poll_interval")


class Conf:
    """A configuration that has been read: the submitting command, options by name and value, and defaults."""

    def __init__(self) -> None:
        self.command: list[str] = []
        self.options: dict[str, dict[str, list[str]]] = {}
        self.defaults: dict[str, str] = {}

    def read(self, text: str, where: str) -> None:
        """Add the entries of a file. Raises EspretError naming file and line."""
        replaced: set[str] = set()
        for number, line in enumerate(text.splitlines(), 1):
            try:
                words = shlex.split(line, comments=True)
            except ValueError as error:
                raise EspretError(f"{where}:{number}: {error}: {line.strip()}") from None
            if words:
                self._entry(words, f"{where}:{number}", replaced)

    def _entry(self, words: list[str], where: str, replaced: set[str]) -> None:
        kind, rest = words[0], words[1:]
        name, equals, value = rest[0].partition("=") if rest else ("", "", "")
        name = name.replace("-", "_")
        if kind == "command" and rest:
            self.command = rest
        elif kind == "option" and equals:
            if name not in replaced:
                replaced.add(name)
                self.options[name] = {}
            self.options[name][value] = rest[1:]
        elif kind == "default" and equals and len(rest) == 1:
            self.defaults[name] = value
        else:
            raise EspretError(
                f"{where}: found '{' '.join(words)}', expected 'command sbatch ...', 'option NAME=VALUE ...' or "
                "'default NAME=VALUE'"
            )

    def words(self, given: Option) -> list[str]:
        """What an option becomes on the submitting command's line. Raises EspretError if it is not described."""
        if given.name.startswith("-"):  # a short option is the submitting command's own
            if given.name == "-pe":
                raise EspretError("option -pe is Grid Engine's; say --num-threads N", status=2)
            return [given.name, given.value] if given.name != "-V" else ["-V"]
        values = self.options.get(given.name)
        dashed = given.name.replace("_", "-")
        if values is None:
            known = [name.replace("_", "-") for name in (*self.options, *OWN_OPTIONS) if not name.startswith("-")]
            raise EspretError(
                f"option --{dashed} is not described in the configuration{nearest(dashed, known)}", status=2
            )
        template = values.get(given.value, values.get("*"))
        if template is None:
            raise EspretError(
                f"option --{dashed}: the configuration does not allow '{given.value}'{nearest(given.value, values)}", 2
            )
        return [word.replace("$0", given.value) for word in template]


def load(path: str | None) -> Conf:
    """The configuration in `path` (or conf/slurm.conf, or the built-in one) with the site's `.local.conf` over it.

    Raises EspretError when a file that was named is missing, or names no command.
    """
    conf = Conf()
    base = path or DEFAULT_FILE
    if path or os.path.exists(base):
        conf.read(_text(base), base)
    else:
        conf.read(BUILT_IN, "built-in configuration")
    local = base.removesuffix(".conf") + ".local.conf"
    if os.path.exists(local):
        conf.read(_text(local), local)
    if not conf.command:
        raise EspretError(f"{base}: no line 'command sbatch ...'")
    return conf


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except (OSError, UnicodeDecodeError) as error:
        raise EspretError(f"{path}: cannot read the configuration: {error}") from None


def submit_words(conf: Conf, request: Request) -> list[str]:
    """The submitting command with all options: the configuration's own, its defaults, the user's in the order given.

    Of an option given twice the last counts; what the user gave stands after the defaults, so it wins there too.
    """
    given: dict[str, Option] = {}
    for option in request.options:
        if option.name not in OWN_OPTIONS:
            given.pop(option.name, None)
            given[option.name] = option
    words = list(conf.command)
    for name, value in conf.defaults.items():
        if name not in given:
            words += conf.words(Option(name, value))
    for option in given.values():
        words += conf.words(option)
    return words
