"""Recipes over real clips, where ESPRET_TEST_DATA names a folder that has them: see tests/README.md."""

import os
from pathlib import Path

import pytest
import yaml
from test_new_recipe import new_recipe
from whole_recipes import run_recipe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

READ_MANIFEST = '''"""Real clips, from the table beside them."""

import csv
from pathlib import Path

AUDIO = Path({audio!r})


def rows():
    with open(AUDIO / "manifest.csv", encoding="utf-8", newline="") as stream:
        yield from csv.DictReader(stream)
'''

# ESC-50 has labels, not captions; clips of one source recording stay on one side of the split.
ESC50 = """

def clips():
    groups = sorted({row["group"] for row in rows() if row["dataset"] == "ESC-50"})
    side = {group: ("valid", "test", "train", "train", "train")[index % 5] for index, group in enumerate(groups)}
    for row in rows():
        if row["dataset"] == "ESC-50":
            label = row["label"].replace("_", " ")
            patterns = ("the sound of {}", "{}", "a recording of {}", "{} is heard", "there is {}")
            captions = [pattern.format(label) for pattern in patterns]
            yield side[row["group"]], Path(row["file"]).stem, AUDIO / row["file"], captions
"""

# AudioCaps train clips have one caption, the others five; Clotho's names have blanks.
CAPTIONED = """

def clips():
    number = 0
    for row in rows():
        captions = [row[f"caption_{k}"] for k in range(1, 6) if row[f"caption_{k}"]]
        if row["dataset"].startswith(("AudioCaps", "Clotho")) and captions:
            number += 1
            split = ("valid", "test", "train", "train", "train")[number % 5]
            yield split, f"clip-{number:03d}", AUDIO / row["file"], captions
"""


@pytest.mark.parametrize("name, clips, at_least", [("esc", ESC50, 400), ("captioned", CAPTIONED, 60)])
def test_real_clips(repository, environment, name, clips, at_least):
    data = os.environ.get("ESPRET_TEST_DATA")
    if not data:
        pytest.skip("ESPRET_TEST_DATA does not name a folder with real clips")
    audio = Path(data) / "audio"
    new_recipe(repository, name)
    recipe = repository / "egs" / name
    (recipe / "local/data.py").write_text(READ_MANIFEST.replace("{audio!r}", repr(str(audio))) + clips)
    for task in ("retrieval", "captioning"):
        path = recipe / f"conf/{task}/mini.yaml"
        system = yaml.safe_load(path.read_text())
        system["train"]["epochs"] = 3
        path.write_text(yaml.safe_dump(system, sort_keys=False))
    printed = run_recipe(recipe, environment)
    assert "Successfully finished." in printed
    clips_there = sum(
        len((recipe / f"data/{split}/wav.scp").read_text().splitlines()) for split in ("train", "valid", "test")
    )
    assert clips_there >= at_least
    assert (recipe / "data/data_issues.tsv").read_text().count("\n") == 1
    assert "SPIDEr" in (recipe / "RESULTS.md").read_text()
    assert (recipe / "report.html").stat().st_size > 100_000
    assert "Nothing to do" in run_recipe(recipe, environment)
