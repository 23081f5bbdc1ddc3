"""egs/mini as a newcomer runs it: both tasks, several seeds; the systems must really learn."""

import json

import pytest
from whole_recipes import run_recipe

from espret.data.datadir import DataDir
from espret.scoring.constant import best_constant_caption

pytestmark = [pytest.mark.slow, pytest.mark.java, pytest.mark.timeout(3600)]
SEEDS = ["1", "2", "3"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, environment):
    """The recipe after a run with three seeds, and what the run printed."""
    from whole_recipes import copy_repository

    recipe = copy_repository(tmp_path_factory.mktemp("a b") / "espret") / "egs/mini"
    return recipe, run_recipe(recipe, environment, "--seeds", " ".join(SEEDS))


def values(recipe, metric):
    rows = [json.loads(line) for line in (recipe / "results.jsonl").read_text().splitlines()]
    return {row["seed"]: row["value"] for row in rows if row["metric"] == metric and row["split"] == "test"}


def test_retrieval_learns(finished):
    recall = values(finished[0], "t2a/R@10")
    assert len(recall) == len(SEEDS)
    chance = 100 * 10 / 100  # ten places among 100 clips
    assert min(recall.values()) >= 1.4 * 5 * chance, recall


def test_captioning_learns(finished):
    recipe = finished[0]
    spider = values(recipe, "SPIDEr")
    assert len(spider) == len(SEEDS)
    test, train = DataDir.load(recipe / "data/test"), DataDir.load(recipe / "data/train")
    refs = {utt: [test.text[cap] for cap in caps] for utt, caps in test.utt2cap.items()}
    caption, constant = best_constant_caption(refs, [*train.text.values(), *test.text.values()])
    assert min(spider.values()) >= 1.4 * 3 * constant, (spider, caption, constant)


def test_it_ends_with_the_table_and_the_files(finished):
    recipe, printed = finished
    tail = printed[printed.rindex("stage 5") :]
    for word in ("R@10", "SPIDEr", "±", f"{recipe}/RESULTS.md", f"{recipe}/report.html", "Successfully finished."):
        assert word in tail
    assert "n/a" not in (recipe / "RESULTS.md").read_text()
    assert (recipe / "report.html").stat().st_size > 100_000


def test_again_does_nothing_and_says_so(finished, environment):
    recipe = finished[0]
    before = {path: path.stat().st_mtime_ns for path in recipe.rglob("*") if path.is_file()}
    printed = run_recipe(recipe, environment, "--stage", "0", "--stop-stage", "5", "--seeds", " ".join(SEEDS))
    assert "Nothing to do: everything is up to date." in printed
    changed = [path for path in before if path.stat().st_mtime_ns != before[path] and not path.name.endswith(".lock")]
    assert changed == []
    assert "done" in run_recipe(recipe, environment, "--status", "--seeds", " ".join(SEEDS))
