"""egs/mini killed with SIGKILL in every stage at random moments: it ends like an undisturbed run."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from whole_recipes import copy_repository, run_recipe, shorten

pytestmark = [pytest.mark.slow, pytest.mark.java, pytest.mark.timeout(3600)]

KILLS = 3  # in each stage


def descendants(pid: int) -> list[int]:
    """Every process below `pid`, also those in sessions of their own."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, queue = [], [pid]
    while queue:
        queue += children.get(queue[0], [])
        found.append(queue.pop(0))
    return found


def killed_run(recipe: Path, environment: dict[str, str], options: list[str], delay: float, everything: bool) -> str:
    """Start the recipe and kill it after `delay` seconds: the run alone, or every process of it at once.

    Returns "ended" if it was faster than that, "at work" if it was killed in the middle of a step, else "between".
    """
    process = subprocess.Popen(
        [str(recipe / "run.sh"), *options], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process.wait(delay)
        return "ended"
    except subprocess.TimeoutExpired:
        for pid in descendants(process.pid) if everything else [process.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.wait()
    return "at work" if any(recipe.rglob("*.partial")) else "between"


def kill_often(
    recipe: Path, environment: dict[str, str], options: list[str], usual: float, chance: random.Random
) -> int:
    """Kill a run that usually takes `usual` seconds until it was KILLS times at work; returns how often it was."""
    hits = 0
    force: list[str] = []
    for _ in range(20):
        how = killed_run(
            recipe, environment, [*options, *force], chance.uniform(0.05, 0.95) * usual, chance.random() < 0.5
        )
        hits += how == "at work"
        if hits == KILLS:
            break
        # A run that came to its end leaves nothing to do for the next one, and was faster than usual.
        force = ["--force"] if how == "ended" else []
        usual *= 0.8 if how == "ended" else 1.0
    return hits


def outcome(recipe: Path) -> dict[str, object]:
    """What a run leads to, without times and dates."""
    results = [json.loads(line) for line in (recipe / "results.jsonl").read_text().splitlines()]
    found: dict[str, object] = {"results": [{**row, "date": None} for row in results]}
    for path in sorted(recipe.glob("data/*/*")) + sorted(recipe.glob("exp/*/*/decode_test/*.*")):
        if path.is_file() and path.suffix not in (".json", ".lock") and not path.name.startswith("."):
            found[str(path.relative_to(recipe))] = path.read_bytes()
    for path in sorted(recipe.glob("exp/*/*/best.pt")):
        state = torch.load(path, weights_only=True)["model"]
        found[str(path.relative_to(recipe))] = {name: value.tolist() for name, value in state.items()}
    return found


def test_killed_in_every_stage(tmp_path, environment):
    undisturbed = copy_repository(tmp_path / "undisturbed") / "egs/mini"
    killed = copy_repository(tmp_path / "killed") / "egs/mini"
    assert shorten(killed, 2) == (systems := shorten(undisturbed, 2))
    number = random.SystemRandom().randrange(1 << 30)
    chance = random.Random(number)
    for stage in range(6):
        options = [*systems, "--stage", str(stage), "--stop-stage", str(stage)]
        started = time.monotonic()
        run_recipe(undisturbed, environment, *options)
        usual = time.monotonic() - started
        hits = kill_often(killed, environment, options, usual, chance)
        assert hits > 0, f"stage {stage} was never killed at work (seed {number})"
        run_recipe(killed, environment, *options)
    printed = run_recipe(killed, environment, *systems)
    expected, found = outcome(undisturbed), outcome(killed)
    assert expected.keys() == found.keys(), f"seed {number}\n{printed}"
    different = [name for name in expected if expected[name] != found[name]]
    assert different == [], f"seed {number}\n{printed}"
    assert not [path for path in killed.rglob("*.partial") if path.suffix == ".partial"]
    assert "Nothing to do" in run_recipe(killed, environment, *systems)
