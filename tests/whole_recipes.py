"""Whole recipes, run as a user runs them, in a copy of the repository whose path has blanks and quotes."""

import shutil
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
COPIED = ("path.sh", "cmd.sh", "egs", "utils", "tools/install.sh", "tools/requirements.lock", "setup.py")
MADE = shutil.ignore_patterns(
    "data", "dump", "exp", ".espret", "downloads", "results.jsonl", "RESULTS.md", "report.html", "*.partial"
)


def copy_repository(target: Path) -> Path:
    """The part of the repository that runs recipes; espret itself is imported from where it is installed."""
    for name in COPIED:
        source, copy = ROOT / name, target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, ignore=MADE)
        else:
            shutil.copy2(source, copy)
    return target


def run_recipe(recipe: Path, environment: dict[str, str], *options: str, status: int = 0) -> str:
    """Run a recipe's run.sh from somewhere else; returns what it printed."""
    done = subprocess.run(
        [str(recipe / "run.sh"), *options],
        cwd="/",
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == status, f"status {done.returncode}, expected {status}:\n{done.stdout}"
    return done.stdout


def shorten(recipe: Path, epochs: int, name: str = "mini") -> list[str]:
    """Options for systems that train only `epochs` epochs: copies of the recipe's own with that one number changed."""
    options = []
    for task in ("retrieval", "captioning"):
        system = yaml.safe_load((recipe / f"conf/{task}/{name}.yaml").read_text())
        system["train"]["epochs"] = epochs
        (recipe / f"conf/{task}/short.yaml").write_text(yaml.safe_dump(system, sort_keys=False))
        options += [f"--{task}-config", f"conf/{task}/short.yaml"]
    return options
