"""espret collect: what the rows say, and that it refuses records which do not fit their place or their data."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

import espret
from espret.bin import main
from espret.errors import EspretError
from espret.report.results import collect, read_results, score_dir


def test_rows_have_the_contracts_keys_and_the_datas_identity(tree, retrieval_metrics):
    tree.data()
    folder = tree.score("retrieval", "two_words", 3, retrieval_metrics(40.0), data="data/test")
    assert main(["collect", "--out", "results.jsonl", str(folder)]) == 0
    rows = [json.loads(line) for line in Path("results.jsonl").read_text().splitlines()]
    listed = hashlib.sha256("".join(f"clip{n}\n" for n in range(8)).encode()).hexdigest()
    assert rows[2] == {
        "task": "retrieval",
        "system": "two_words",
        "corpus": "toy",
        "split": "test",
        "seed": 3,
        "metric": "t2a/R@10",
        "value": 40.0,
        "n_clips": 8,
        "n_captions": 16,
        "list_sha256": listed,
        "variant": "toy.v1",
        "date": "2023-11-14",
        "espret": espret.__version__,
    }
    assert len(rows) == 14


def test_order_does_not_depend_on_the_arguments_and_bytes_repeat(tree, retrieval_metrics, caption_metrics):
    tree.data()
    folders = [tree.score("captioning", "a", 1, caption_metrics)]
    folders += [tree.score("retrieval", "b", seed, retrieval_metrics(seed)) for seed in (10, 9)]
    main(["collect", "--out", "one.jsonl", *map(str, folders)])
    main(["collect", "--out", "two.jsonl", *map(str, [*reversed(folders), tree.root / folders[0]])])
    assert Path("one.jsonl").read_bytes() == Path("two.jsonl").read_bytes()
    keys = [(row.task, row.seed) for row in read_results("one.jsonl")]
    assert list(dict.fromkeys(keys)) == [("retrieval", 9), ("retrieval", 10), ("captioning", 1)]


def test_unavailable_metric_is_null_with_its_reason(tree, caption_metrics):
    tree.data()
    metrics = caption_metrics | {"SPICE": None}
    folder = tree.score("captioning", "a", 1, metrics, unavailable={"SPICE": "not installed; mend: tools/install.sh"})
    main(["collect", "--out", "results.jsonl", str(folder)])
    rows = {row.metric: row for row in read_results("results.jsonl")}
    assert rows["SPICE"].value is None
    assert rows["SPICE"].unavailable == "not installed; mend: tools/install.sh"
    assert rows["METEOR"].unavailable is None
    assert Path("results.jsonl").read_text().count("unavailable") == 1


def test_corpus_option_names_the_corpus(tree, caption_metrics):
    tree.data()
    assert {row.corpus for row in collect([tree.score("captioning", "a", 1, caption_metrics)], "mini")} == {"mini"}


@pytest.mark.parametrize(
    "path", ["exp/retrieval_a/score_test", "exp/tagging_a/seed1/score_test", "exp/x/seedy/score_t"]
)
def test_a_path_that_is_not_laid_out_as_experiments_is_refused(path):
    with pytest.raises(EspretError, match="expected exp/<task>_<system>/seed<k>/score_<split>"):
        score_dir(path)


def test_a_record_in_the_wrong_place_is_refused(tree, caption_metrics):
    tree.data()
    folder = tree.score("captioning", "a", 1, caption_metrics)
    moved = folder.parent / "score_valid"
    os.rename(folder, moved)
    with pytest.raises(EspretError, match=r"score_valid.*is of split 'test'"):
        collect([moved])


def test_scores_of_another_number_of_clips_than_the_data_are_refused(tree, caption_metrics):
    tree.data(clips=7)
    with pytest.raises(EspretError, match=r"7 clips, but .*scores.json has 8"):
        collect([tree.score("captioning", "a", 1, caption_metrics)])


def test_data_directory_that_is_gone_is_named_with_the_mending_command(tree, caption_metrics, capsys):
    folder = tree.score("captioning", "a", 1, caption_metrics, data="data/gone")
    assert main(["collect", "--out", "results.jsonl", str(folder)]) == 1
    message = capsys.readouterr().err
    assert "data/gone/about.json: no such file" in message
    assert "./run.sh --stage 0 --stop-stage 0" in message
    assert not Path("results.jsonl").exists()


def test_value_that_is_not_finite_is_refused(tree):
    tree.data()
    with pytest.raises(EspretError, match="SPIDEr is nan"):
        collect([tree.score("captioning", "a", 1, {"SPIDEr": float("nan")})])


def test_the_same_run_under_two_folders_is_refused(tree, caption_metrics):
    tree.data()
    folder = tree.score("captioning", "a", 1, caption_metrics)
    other = Path("elsewhere") / folder
    other.parent.mkdir(parents=True)
    (other.parent / "score_test").mkdir()
    with pytest.raises(EspretError, match="are both captioning a seed 1"):
        collect([folder, other])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[1]", "expected an object"),
        ('{"tusk": 1}', "unknown key 'tusk'; did you mean 'task'"),
        ('{"task": "x"}', "lacks"),
    ],
)
def test_malformed_results_name_file_and_line(tmp_path, line, message):
    file = tmp_path / "results.jsonl"
    file.write_text(line + "\n")
    with pytest.raises(EspretError, match=rf"results.jsonl:1: {message}"):
        read_results(file)
