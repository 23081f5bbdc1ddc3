"""Every recipe in egs/ keeps the contract: a new one passes this before it has run once."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from whole_recipes import ROOT, run_recipe

from espret.config import load_system
from espret.data.leaks import load_declared

RECIPES = sorted(path.parent for path in (ROOT / "egs").glob("*/run.sh"))
each = pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)


def test_there_are_recipes():
    assert "mini" in [recipe.name for recipe in RECIPES]


@each
def test_layout(recipe):
    assert os.access(recipe / "run.sh", os.X_OK)
    script = (recipe / "run.sh").read_text()
    assert script.rstrip().endswith('"$@"'), "the user's options come last and win"
    assert "../../utils/recipe.sh" in script
    assert f"--corpus {recipe.name}" in script
    assert not [path for path in recipe.rglob("*") if path.is_symlink()]


@each
def test_every_system_loads(recipe):
    systems = [path for task in ("retrieval", "captioning") for path in sorted((recipe / "conf" / task).glob("*.yaml"))]
    assert systems
    for path in systems:
        load_system(path)


@each
def test_list_and_dry_run(recipe, environment):
    listed = run_recipe(recipe, environment, "--list")
    assert [int(number) for number in re.findall(r"^stage (\d+)", listed, re.M)][:6] == [0, 1, 2, 3, 4, 5]
    planned = run_recipe(recipe, environment, "--dry-run", "--force", "--seeds", "3 4")
    for verb in (
        "fetch-corpus",
        "prepare",
        "leaks",
        "dump",
        "text",
        "train",
        "caption",
        "embed",
        "score-retrieval",
        "score-captions",
        "report",
    ):
        assert re.search(rf"espret {verb} ", planned), f"no {verb} in\n{planned}"
    assert "/seed4.partial" in planned


@each
def test_captions_are_parsed_by_an_array_and_scored_with_the_metrics_asked_for(recipe, environment):
    options = ("--dry-run", "--force", "--parse-nj", "3", "--caption-metrics", "CIDEr-D SPIDEr-max")
    planned = run_recipe(recipe, environment, *options)
    assert re.search(r"JOB=1:3 \S+/parse\.JOB\.log espret parse-captions .* --shard JOB/3$", planned, re.M)
    assert re.search(r"espret score-captions .* --metrics CIDEr-D SPIDEr-max --out", planned)


@each
def test_declared_leaks_load(recipe):
    path = recipe / "conf/leaks.yaml"
    assert not path.exists() or load_declared(path)


@each
def test_wrong_options(recipe, environment):
    assert "did you mean --stop-stage?" in run_recipe(recipe, environment, "--stop-stag", "3", status=2)
    assert "'two'" in run_recipe(recipe, environment, "--nj", "two", status=2)
    assert "no such file" in run_recipe(recipe, environment, "--retrieval-config", "conf/retrieval/x.yaml", status=1)
    assert "--task" in run_recipe(recipe, environment, "--task", "transcription", status=2)
    assert "not 'skip'" in run_recipe(recipe, environment, "--bad-caption", "skip", status=2)
    assert "true or false, not 'yes'" in run_recipe(recipe, environment, "--youtube", "yes", status=2)
    for option in ("--archives", "--audio-dir", "--sources"):
        printed = run_recipe(recipe, environment, option, "no such", status=2)
        assert f"{option} no such: no such f" in printed and f"seen from {recipe}" in printed


def test_no_symbolic_links():
    listed = subprocess.run(["git", "ls-files", "--stage"], cwd=ROOT, capture_output=True, text=True).stdout
    assert not [line for line in listed.splitlines() if line.startswith("120000")]


def test_help_does_not_need_an_installation(repository: Path):
    done = subprocess.run(
        [str(repository / "egs/mini/run.sh"), "--help"], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert done.returncode == 0 and "--retrieval-config" in done.stdout and done.stderr == ""
