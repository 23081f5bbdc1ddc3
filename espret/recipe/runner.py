"""Running a recipe's stages: for each step, what is fresh is skipped, the rest is made and entered in the ledger.

The order, per step: lock its output, look at its state, check its inputs, run its commands into `<output>.partial`,
commit. Nothing here knows what a step computes.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espret import __version__
from espret.data.validate import validate
from espret.errors import EspretError
from espret.recipe import ledger
from espret.recipe.commands import expand, run_command
from espret.recipe.fingerprint import fingerprint
from espret.recipe.lock import locked
from espret.recipe.plan import Plan, Stage, Step


@dataclass
class Choice:
    """Which stages to run, and how."""

    first: int
    last: int
    skip: set[int]
    force: bool = False

    def wants(self, number: int) -> bool:
        """Whether a stage was asked for."""
        return self.first <= number <= self.last and number not in self.skip


def say(message: str) -> None:
    """One log line, with the time, on the terminal."""
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {message}", flush=True)


class Runner:
    """Runs the chosen stages of a plan in the current directory."""

    def __init__(self, plan: Plan, choice: Choice) -> None:
        self.plan = plan
        self.choice = choice
        self.done = 0  # steps that were made in this run

    def run(self) -> None:
        """Run every chosen stage. Raises EspretError where a step cannot be made."""
        started = time.monotonic()
        for stage in self.plan.stages:
            if stage.number in self.choice.skip and self.choice.first <= stage.number <= self.choice.last:
                say(f"stage {stage.number} {stage.name}: skipped")
            elif self.choice.wants(stage.number):
                self.run_stage(stage)
        elapsed = time.monotonic() - started
        if self.done:
            say(f"Successfully finished. {self.done} steps done. [elapsed={elapsed:.0f}s]")
        else:
            say(f"Nothing to do: everything is up to date. [elapsed={elapsed:.1f}s]")

    def run_stage(self, stage: Stage) -> None:
        """Run one stage's steps, then the commands that show its results."""
        say(f"stage {stage.number} {stage.name}: {stage.purpose}")
        done = self.done
        for step in stage.steps:
            self.run_step(step)
        if stage.steps and done == self.done:
            say(f"stage {stage.number} {stage.name}: up to date")
        for command in stage.shows:
            run_command(command, {}, say=say, what=f"stage {stage.number}")

    def run_step(self, step: Step) -> None:
        """Make one step's outputs unless they are fresh."""
        with ExitStack() as stack:
            for other in [*self.enclosing(step), *self.producers(step)]:
                stack.enter_context(locked(other.outputs[0], True, say))
            self.check_presence(step)
            lock = stack.enter_context(locked(step.outputs[0], False, say))
            wanted = self.wanted(step)
            state = ledger.state(step, wanted)
            if not self.must_run(step, state):
                ledger.Partial(step, wanted).sweep()
                return
            self.check_inputs(step)
            self.make(step, wanted, lock)
        self.done += 1

    def must_run(self, step: Step, state: ledger.State) -> bool:
        """Whether a step has to be made, saying why where it is not obvious."""
        if state.kind == "foreign" and not self.choice.force:
            raise EspretError(
                f"{state.reasons[0]}, and stage {step.stage} would replace it: move it away, leave this stage out "
                f"(--stage {step.stage + 1}), or replace it with --force"
            )
        if self.choice.force or not state.usable:
            if state.kind not in ("absent", "fresh"):
                say(f"  {step.name} is {state.kind}: {'; '.join(state.reasons)}")
            return True
        if state.kind == "edited":
            say(f"  {state.reasons[0]}")
        return False

    def make(self, step: Step, wanted: dict[str, Any], lock: int) -> None:
        """Run a step's commands and commit what they wrote."""
        partial = ledger.Partial(step, wanted)
        if not self.choice.force and partial.is_made():
            partial.put_in_place()
            say(f"  {step.name}: made by an earlier run, put in its place")
            return
        started = time.time()
        resumed = partial.open(self.choice.force)
        say(f"  {step.name}{': taking up an interrupted run' if resumed else ''}")
        for command in step.commands:
            words = expand(command, partial)
            run_command(
                words,
                {"ESPRET_RESUME": "1" if resumed else "0"},
                say=say,
                what=f"stage {step.stage}, {step.name}",
                lock=lock,
                follow=partial.log if step.follow else None,
            )
        seconds = time.time() - started
        partial.commit(
            {
                "stage": step.stage,
                "commands": step.commands,
                "started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(started)),
                "seconds": round(seconds, 2),
                "host": socket.gethostname(),
                "run": sys.argv[1:],
                "cwd": os.getcwd(),
                "espret": __version__,
                "python": sys.version.split()[0],
            }
        )
        say(f"  {step.name}: done in {seconds:.1f}s")

    def producers(self, step: Step) -> list[Step]:
        """The steps that make this step's inputs, each once."""
        found: list[Step] = []
        for path in step.inputs:
            made = self.plan.producer(path)
            if made is not None and made[0] not in found:
                found.append(made[0])
        return found

    def enclosing(self, step: Step) -> list[Step]:
        """The steps whose outputs lie around this step's: made again, they would take this one's place away."""
        return [
            other
            for other in self.plan.steps
            if any(mine.startswith(around.rstrip("/") + "/") for mine in step.outputs for around in other.outputs)
        ]

    def wanted(self, step: Step) -> dict[str, Any]:
        """The fingerprint of a step with its inputs as they are now."""
        return fingerprint(step, {path: self.input_digest(path) for path in step.inputs})

    def input_digest(self, path: str) -> str | None:
        """Digest of an input: what the ledger says of it, or of the output around it, else the content itself."""
        made = self.plan.producer(path)
        if made is None or ledger.read_record(path) is not None:  # by an earlier run, whose step is not in this plan
            return ledger.current_digest(path)
        return ledger.current_digest(made[1])

    def check_inputs(self, step: Step) -> None:
        """Every input must be there, whole, made with today's options, and a valid data directory if it is one."""
        self.check_presence(step, needed=True)
        for path in step.inputs:
            made = self.plan.producer(path)
            if made is not None and not self.choice.force:
                self.check_producer(step, made[0])
            if (Path(path) / "wav.scp").is_file():
                problems = validate(Path(path))
                if problems:
                    raise EspretError(f"{path} is not a valid data directory:\n  " + "\n  ".join(problems))

    def check_presence(self, step: Step, needed: bool = False) -> None:
        """Every input must exist, if the step's outputs do not or the inputs are `needed` anyway.

        Looked at before the step's lock, which must not make folders where an input is still to appear.
        """
        if not needed and all(ledger.read_record(output) for output in step.outputs):
            return
        for path in step.inputs:
            made = self.plan.producer(path)
            if not ledger.is_absent(path):
                continue
            if made is None:
                raise EspretError(f"stage {step.stage} ({step.name}) needs {path}, which does not exist")
            raise EspretError(
                f"{path} does not exist: needs stage {made[0].stage}: "
                f"run ./run.sh --stage {made[0].stage} --stop-stage {made[0].stage}"
            )

    def check_producer(self, step: Step, producer: Step) -> None:
        """Refuse an input that was made with other options than those of this run, or from such an input."""
        for earlier in self.producers(producer):
            if ledger.read_record(earlier.outputs[0]) is not None:  # else it was cleaned away, which proves nothing
                self.check_producer(step, earlier)
        state = ledger.state(producer, self.wanted(producer))
        if not state.usable:
            raise EspretError(
                f"stage {step.stage} ({step.name}) reads {producer.name}, which is {state.kind} "
                f"({'; '.join(state.reasons)}): run ./run.sh --stage {producer.stage} "
                f"--stop-stage {step.stage}, or take it as it is with --force"
            )
