"""Recipes of real corpora from folders of archives in their official layouts: generated sounds, or real clips."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import official_layouts as layouts
import pytest
import yaml
from whole_recipes import run_recipe, shorten

from espret.data.datadir import DataDir
from espret.data.validate import validate

ODD = " {split} & 'sound' #{number};  100% .wav"  # what Clotho's names are like
SIZES = {"train": 20, "valid": 6, "test": 8}
Build = Callable[[Path], dict[str, int]]  # fills a folder with archives; how many clips each set has


def clotho(folder: Path) -> dict[str, int]:
    sounds = layouts.generated(SIZES, ODD)
    sounds["test"][0].name = sounds["train"][0].name  # some names are in two splits
    layouts.clotho(
        folder, {"development": sounds["train"], "validation": sounds["valid"], "evaluation": sounds["test"]}
    )
    return SIZES


def real_clotho(folder: Path) -> dict[str, int]:
    """Real clips, all of the validation split: shared out to the three."""
    rows = [{**row, "name": Path(row["file"]).stem + ".wav"} for row in layouts.manifest("Clotho")]
    sounds = layouts.recorded(rows, "name")
    assert len(sounds) >= 10
    layouts.clotho(folder, {"development": sounds[6:], "validation": sounds[:3], "evaluation": sounds[3:6]})
    return {"train": len(sounds) - 6, "valid": 3, "test": 3}


def audiocaps(folder: Path) -> dict[str, int]:
    sounds = layouts.generated(SIZES, "-_{split:_<6}{number:03d}", rate=32000)
    layouts.audiocaps(folder, {"train": sounds["train"], "val": sounds["valid"], "test": sounds["test"]})
    return SIZES


def real_audiocaps(folder: Path) -> dict[str, int]:
    """Real clips of the training split, and of validation, half of which are taken for testing."""
    rows = layouts.manifest("AudioCaps")
    train, val = (
        layouts.recorded((row for row in rows if row["split"] == split), "youtube_id") for split in ("train", "val")
    )
    assert len(train) >= 7 and len(val) >= 40
    layouts.audiocaps(folder, {"train": train, "val": val[::2], "test": val[1::2]})
    return {"train": len(train), "valid": len(val[::2]), "test": len(val[1::2])}


def queryd(folder: Path) -> dict[str, int]:
    sounds = layouts.generated(SIZES, "-_{split:_<6}{number:03d}", captions=2)
    layouts.queryd(folder, {"train": sounds["train"], "val": sounds["valid"], "test": sounds["test"]})
    return SIZES


CORPORA: dict[str, tuple[str, Build]] = {
    "clotho": ("v2.1.own", clotho),
    "audiocaps": ("v1.ac975.own", audiocaps),
    "queryd": ("paragraphs.v1.official.own", queryd),
}
REAL: dict[str, tuple[str, Build]] = {
    "clotho": ("v2.1.own", real_clotho),
    "audiocaps": ("v1.ac975.own", real_audiocaps),
}


def published(name: str, build: Build, tmp_path: Path) -> tuple[list[str], dict[str, int]]:
    """A folder with the corpus' archives; the options that name it, and the sizes of the sets."""
    folder = tmp_path / "the 'archives'"
    sizes = build(folder)
    layouts.write_sources(folder, tmp_path / "sources.tsv")
    return ["--archives", str(folder), "--sources", str(tmp_path / "sources.tsv")], sizes


def check_data(recipe: Path, sizes: dict[str, int], variant: str) -> None:
    for split, size in sizes.items():
        path = recipe / "data" / split
        directory = DataDir.load(path)
        assert validate(path) == []
        assert (len(directory.utts), directory.about["listed"], directory.about["variant"]) == (size, size, variant)
        assert directory.utt2fname.keys() == directory.utt2dur.keys() == directory.utt2sr.keys()


@pytest.mark.parametrize("name", CORPORA)
def test_stage_0_from_archives_twice(repository, environment, tmp_path, name):
    variant, build = CORPORA[name]
    options, sizes = published(name, build, tmp_path)
    recipe = repository / "egs" / name
    options += ["--stop-stage", "0"]
    printed = run_recipe(recipe, environment, *options)
    assert f"{name}: everything is there for train, valid, test" in printed
    check_data(recipe, sizes, variant)
    assert json.loads((recipe / "data/leaks.json").read_text())["test"] == ["test", "valid"]
    before = {path: path.stat().st_mtime_ns for path in recipe.rglob("*") if path.is_file()}
    assert "Nothing to do" in run_recipe(recipe, environment, *options)
    run_recipe(recipe, environment, *options, "--force")  # the data directories again, but nothing is extracted again
    extracted = [path for path in before if "downloads" in path.parts and path.suffix == ".wav"]
    assert len(extracted) == sum(sizes.values())
    assert [path for path in extracted if path.stat().st_mtime_ns != before[path]] == []


@pytest.mark.slow
@pytest.mark.java
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name, corpora", [(name, CORPORA) for name in CORPORA] + [(name, REAL) for name in REAL])
def test_all_stages(repository, environment, tmp_path, name, corpora):
    variant, build = corpora[name]
    options, sizes = published(name, build, tmp_path)
    recipe = repository / "egs" / name
    options += shorten(recipe, 2, "small")
    printed = run_recipe(recipe, environment, *options)
    assert "Successfully finished." in printed
    check_data(recipe, sizes, variant)
    results = [json.loads(line) for line in (recipe / "results.jsonl").read_text().splitlines()]
    assert {(row["variant"], row["n_clips"], row["listed"]) for row in results} == {(variant, *[sizes["test"]] * 2)}
    assert {row["task"] for row in results} == {"retrieval", "captioning"}
    assert f"variant {variant}" in (recipe / "RESULTS.md").read_text().replace("\\", "")
    assert (recipe / "report.html").stat().st_size > 50_000
    assert "Nothing to do" in run_recipe(recipe, environment, *options)


@pytest.mark.slow
@pytest.mark.java
@pytest.mark.timeout(1800)
def test_imported_features_without_any_sound(repository, environment, tmp_path):
    names = {"train": [f"v_-_train{k:04d}" for k in range(540)], "val_1": [f"v_-_val_1{k:04d}" for k in range(12)]}
    folder = tmp_path / "archives"
    layouts.activitynet(folder, names, ["A man runs.", "He falls into the water."])
    layouts.write_sources(folder, tmp_path / "sources.tsv")
    recipe = repository / "egs/activitynet"
    rng = np.random.default_rng(0)
    experts = {key: rng.standard_normal((4, 128), dtype=np.float32) for keys in names.values() for key in keys}
    np.savez(recipe / "vggish experts.npz", **experts)
    options = shorten(recipe, 1, "small")
    for task in ("retrieval", "captioning"):
        path = recipe / f"conf/{task}/short.yaml"
        system = yaml.safe_load(path.read_text())
        imported = {"type": "imported", "file": "vggish experts.npz", "expert": "vggish"}
        system["features"] = {"name": "vggish", "frontend": imported}
        system["model"]["audio"] = {"type": "identity"}
        system["train"].pop("augment", None)
        path.write_text(yaml.safe_dump(system, sort_keys=False))
    options += ["--archives", str(folder), "--sources", str(tmp_path / "sources.tsv")]
    printed = run_recipe(recipe, environment, *options)
    assert "Successfully finished." in printed
    assert not (recipe / "data/train/wav.scp").exists() and not (recipe / "dump/vggish/train/missing").exists()
    assert json.loads((recipe / "dump/vggish/val_1/about.json").read_text())["utterances"] == 12
    results = [json.loads(line) for line in (recipe / "results.jsonl").read_text().splitlines()]
    assert {row["task"] for row in results} == {"retrieval", "captioning"} and {row["n_clips"] for row in results} == {
        12
    }
    assert "Nothing to do" in run_recipe(recipe, environment, *options)
    assert "hears imported features" in run_recipe(recipe, environment, *options, "--stop-stage", "6", status=1)


LEAKY = """
from pathlib import Path
from espret.data.scenes import write_corpus

def clips():
    found = list(write_corpus(Path("data/local"), {"train": 4, "extra": 3, "valid": 2, "test": 3}, 1))
    yield from found
    yield "extra", found[-1][1], found[-1][2], found[-1][3]  # a test clip
"""


def test_a_leak_stops_stage_0_until_it_is_declared(repository, environment):
    recipe = repository / "egs/mini"
    (recipe / "local/data.py").write_text(LEAKY)
    options = ["--train-set", "train+extra", "--stop-stage", "0"]
    printed = run_recipe(recipe, environment, *options, status=1)
    assert "in a test or validation set: data/train+extra and data/test share 1 ids (scene-test-0002)" in printed
    assert "conf/leaks.yaml" in printed and not (recipe / "data/leaks.json").exists()
    declared = {"train": "train+extra", "test": "test", "kind": "id", "at_most": 1, "reason": "to see that it is said"}
    (recipe / "conf/leaks.yaml").write_text(yaml.safe_dump({"overlaps": [declared]}))
    assert "Successfully finished." in run_recipe(recipe, environment, *options)
    mix = DataDir.load(recipe / "data/train+extra")
    assert len(mix.utts) == 8 and mix.about["split"] == "train+extra" and validate(recipe / "data/train+extra") == []
    planned = run_recipe(recipe, environment, *options[:2], "--dry-run")
    assert "espret leaks --train data/train+extra --test data/valid --test data/test --declared" in planned
    assert "--train-data data/train+extra --train-feats dump/logmel/train+extra" in planned
