"""The plan of a recipe: its stages and their steps, as declared by utils/recipe.sh.

A step has outputs (directories, or single files), inputs, the configuration sections it depends on, and commands. This
module only reads the declaration; what is done is espret.recipe.ledger's, doing it espret.recipe.runner's.

The shell hands the plan over as NUL-terminated words: a record is `@stage`, `@step` or `@show`, the number of its
words, and the words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from espret.errors import EspretError


@dataclass
class Step:
    """One step: what it makes, from what, and by which commands."""

    stage: int
    outputs: list[str] = field(default_factory=list)  # the first one names the step
    files: set[str] = field(default_factory=set)  # those outputs that are single files
    inputs: list[str] = field(default_factory=list)
    conf: list[str] = field(default_factory=list)  # FILE:SECTION
    commands: list[list[str]] = field(default_factory=list)
    follow: bool = False  # show the log on the terminal while it grows

    @property
    def name(self) -> str:
        """How messages call the step."""
        return " ".join(self.outputs)

    def same_as(self, other: Step) -> bool:
        """Whether both declare the same work; two systems that share a feature declare its dump twice."""
        return (self.inputs, self.outputs) == (other.inputs, other.outputs)


@dataclass
class Stage:
    """One numbered stage."""

    number: int
    name: str
    purpose: str
    steps: list[Step] = field(default_factory=list)
    shows: list[list[str]] = field(default_factory=list)  # commands whose output ends the stage


@dataclass
class Plan:
    """All stages of a recipe, in order."""

    stages: list[Stage]

    @property
    def steps(self) -> list[Step]:
        """Every step, in order."""
        return [step for stage in self.stages for step in stage.steps]

    def producer(self, path: str) -> tuple[Step, str] | None:
        """The step that makes `path` or a folder around it, and that output; the innermost of nested outputs."""
        around = [
            (step, output)
            for step in self.steps
            for output in step.outputs
            if path == output or path.startswith(output.rstrip("/") + "/")
        ]
        return max(around, key=lambda found: len(found[1]), default=None)


def read_plan(stream: bytes) -> Plan:
    """The plan in a stream of NUL-terminated words, see the module's text."""
    words = stream.decode("utf-8", "surrogateescape").split("\0")[:-1]
    stages: list[Stage] = []
    for kind, record in _records(words):
        if kind == "@stage":
            stages.append(Stage(int(record[0]), record[1], record[2]))
        elif kind == "@show":
            stages[-1].shows.append(record)
        else:
            _add(stages, read_step(stages[-1].number, record))
    return Plan(stages)


def _records(words: list[str]) -> Iterator[tuple[str, list[str]]]:
    position = 0
    while position < len(words):
        count = int(words[position + 1])
        yield words[position], words[position + 2 : position + 2 + count]
        position += 2 + count


def _add(stages: list[Stage], step: Step) -> None:
    """Append a step to the last stage; the same work declared twice (by two systems) is done once."""
    for known in (known for stage in stages for known in stage.steps):
        shared = set(known.outputs) & set(step.outputs)
        if not shared:
            continue
        if not known.same_as(step):
            raise EspretError(f"two steps of stages {known.stage} and {step.stage} make {', '.join(sorted(shared))}")
        known.conf += [entry for entry in step.conf if entry not in known.conf]
        return
    stages[-1].steps.append(step)


def read_step(stage: int, words: list[str]) -> Step:
    """A step from its words: `to DIR`, `file PATH`, `from PATH`, `conf FILE:SECTION`, `follow`, `-- CMD --then CMD`."""
    step = Step(stage)
    if "--" not in words:
        raise EspretError(f"stage {stage}: a step without a command: {' '.join(words)}")
    end = words.index("--")
    head = iter(words[:end])
    for word in head:
        if word == "follow":
            step.follow = True
        elif word in ("to", "file", "from", "conf"):
            value = next(head, "")
            {"to": step.outputs, "file": step.outputs, "from": step.inputs, "conf": step.conf}[word].append(value)
            if word == "file":
                step.files.add(value)
        else:
            raise EspretError(f"stage {stage}: '{word}' in a step; expected to, file, from, conf, follow or --")
    if not step.outputs:
        raise EspretError(f"stage {stage}: a step without an output: {' '.join(words)}")
    step.commands = [[]]
    for word in words[end + 1 :]:
        if word == "--then":
            step.commands.append([])
        else:
            step.commands[-1].append(word)
    return step
