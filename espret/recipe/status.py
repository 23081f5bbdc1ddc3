"""What a plan looks like without running it: `--status`, `--list` and `--dry-run`."""

from __future__ import annotations

import shlex
from pathlib import Path

from espret.jobs import record as job_record
from espret.recipe import ledger
from espret.recipe.commands import expand
from espret.recipe.lock import holder
from espret.recipe.plan import Plan, Step
from espret.recipe.runner import Choice, Runner


def states(plan: Plan) -> dict[str, ledger.State]:
    """The state of every step, by name; one that reads what is not fresh is stale through it."""
    runner = Runner(plan, Choice(0, 0, set()))
    found: dict[str, ledger.State] = {}
    for step in plan.steps:
        state = ledger.state(step, runner.wanted(step))
        through = [p.name for p in runner.producers(step) if not found[p.name].usable]
        if through and state.kind in ("fresh", "edited"):
            state = ledger.State("stale", [f"{through[0]} is to be made again"], state.record)
        found[step.name] = state
    return found


def print_status(plan: Plan) -> None:
    """A table of all steps: stage, state, size, time, and why."""
    found = states(plan)
    rows = [("stage", "output", "state", "size", "took", "")]
    for stage in plan.stages:
        for step in stage.steps:
            state = found[step.name]
            record = state.record or {}
            who = holder(step.outputs[0])
            kind = "running" if who is not None else {"fresh": "done", "edited": "done"}.get(state.kind, state.kind)
            failed = [] if who is not None or state.kind != "unfinished" else _failed_logs(step)
            if failed:
                kind = "failed"
            note = f"process {who.get('pid')} on {who.get('host')}" if who else "; ".join(failed or state.reasons)
            took = f"{record['seconds']:.1f}s" if "seconds" in record else ""
            size = _size(sum(entry[0] for entry in record["files"].values())) if "files" in record else ""
            rows.append((f"{stage.number} {stage.name}", step.name, kind, size, took, note))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)) + f"  {row[5]}".rstrip())


def _failed_logs(step: Step) -> list[str]:
    """Where to look for why an unfinished step failed, by the records that our job runners keep beside their logs."""
    folder = Path(ledger.Partial(step, {}).log)
    for log in sorted(folder.glob("*.log")):
        record = job_record.read(str(log))
        if record is not None and record.get("state") == "failed":
            return [f"see {log}"]
    return []


def _size(count: float) -> str:
    for unit in ("B", "K", "M", "G"):
        if count < 1000:
            return f"{count:.0f}{unit}" if unit == "B" else f"{count:.1f}{unit}"
        count /= 1000
    return f"{count:.1f}T"


def print_list(plan: Plan) -> None:
    """Every stage: what it is for, what it reads and what it leaves."""
    for stage in plan.stages:
        print(f"stage {stage.number} {stage.name}: {stage.purpose}")
        for step in stage.steps:
            print(f"    {step.name}  <-  {' '.join(step.inputs) or '(nothing)'}")


def print_dry_run(plan: Plan, choice: Choice) -> None:
    """The commands that a run would carry out, and what it would skip."""
    found = states(plan)
    for stage in plan.stages:
        if not choice.wants(stage.number):
            continue
        print(f"# stage {stage.number} {stage.name}: {stage.purpose}")
        for step in stage.steps:
            state = found[step.name]
            if state.usable and not choice.force:
                print(f"# {step.name}: up to date")
                continue
            print(f"# {step.name}: {state.kind}{': ' if state.reasons else ''}{'; '.join(state.reasons)}")
            partial = ledger.Partial(step, {})
            for command in step.commands:
                print(shlex.join(expand(command, partial)))
            for output, path in partial.paths.items():
                print(shlex.join(["mv", path, output]))
        for command in stage.shows:
            print(shlex.join(command))
