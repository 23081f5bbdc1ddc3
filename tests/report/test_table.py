"""espret table: the text of the tables to the letter, and the arithmetic over seeds."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from espret.bin import main
from espret.files import write_json
from espret.report.metrics import COLUMNS, TASKS, UNITS
from espret.report.results import collect, read_results, write_results
from espret.report.table import tables
from espret.training import TASKS as TRAINED

EXPECTED = Path(__file__).with_name("expected_results.md")

PRINTED = """\
toy, captioning, test
system         seeds  BLEU-4  METEOR  ROUGE-L  CIDEr-D    SPICE   SPIDEr
------------------------------------------------------------------------
a-long-system      1   0.200   0.300    0.400    0.500    0.600    0.700
mini               1   0.200   0.300    0.400    0.500  n/a (1)  n/a (1)
(1) SPICE_3 is not installed; mend: tools/install.sh
Fractions, as the metrics' authors define them; SPIDEr is the mean of CIDEr-D and SPICE.
8 clips, 16 captions; split test, variant toy.v1, clip list 64933bca453c.
"""

NO_SPICE = dict.fromkeys(("SPICE", "SPIDEr"), "SPICE_3 is not installed; mend: tools/install.sh")


def test_every_task_that_can_be_trained_has_a_table():
    assert set(TASKS) == set(TRAINED) == set(COLUMNS) == set(UNITS)


def test_results_md_to_the_letter(tree, retrieval_metrics, caption_metrics):
    tree.data()
    folders = [tree.score("retrieval", "mini_x", s, retrieval_metrics(v)) for s, v in ((1, 40.0), (2, 44.0), (3, 48.0))]
    folders.append(tree.score("retrieval", "base", 7, retrieval_metrics(20.0)))
    metrics = caption_metrics | dict.fromkeys(NO_SPICE)
    folders.append(tree.score("captioning", "mini", 1, metrics, unavailable=NO_SPICE))
    (tree.root / "conf/retrieval").mkdir(parents=True)
    (tree.root / "conf/retrieval/base.yaml").touch()
    (tree.root / "exp/retrieval_mini_x/seed1/config.yaml").touch()
    write_results("results.jsonl", collect(folders))
    assert main(["table", "--results", "results.jsonl", "--out", "RESULTS.md"]) == 0
    assert Path("RESULTS.md").read_text(encoding="utf-8") == EXPECTED.read_text(encoding="utf-8")
    first = Path("RESULTS.md").read_bytes()
    main(["table", "--results", str(tree.root / "results.jsonl"), "--out", "RESULTS.md"])
    assert Path("RESULTS.md").read_bytes() == first


def test_printed_table_to_the_letter(tree, caption_metrics, capsys):
    tree.data()
    without = caption_metrics | dict.fromkeys(NO_SPICE)
    folders = [tree.score("captioning", "mini", 1, without, unavailable=NO_SPICE)]
    folders.append(tree.score("captioning", "a-long-system", 1, caption_metrics))
    write_results("results.jsonl", collect(folders))
    assert main(["table", "--results", "results.jsonl", "--print"]) == 0
    assert capsys.readouterr().out == PRINTED


def test_printed_retrieval_table_has_a_line_a_direction(tree, retrieval_metrics, capsys):
    tree.data()
    metrics = retrieval_metrics(40.0) | {"a2t/R@10": 8.0}
    write_results("results.jsonl", collect([tree.score("retrieval", "mini", 1, metrics)]))
    main(["table", "--results", "results.jsonl", "--print"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[1:5:2] + lines[4:5]] == [
        ["system", "seeds", "R@1", "R@5", "R@10", "mAP@10", "MedR"],
        ["mini", "1", "t2a", "10.0", "20.0", "40.0", "30.0", "4.0"],
        ["a2t", "10.0", "20.0", "8.0", "30.0", "4.0"],
    ]
    assert max(map(len, lines)) <= 100


def test_standard_deviation_is_over_n_minus_1_and_absent_for_one_seed(tree, caption_metrics):
    tree.data()
    folders = [tree.score("captioning", "a", s, caption_metrics | {"SPIDEr": v}) for s, v in ((1, 0.1), (2, 0.4))]
    folders.append(tree.score("captioning", "b", 1, caption_metrics))
    (table,) = tables(collect(folders))
    cells = [line.cells[-1] for line in table.lines]
    assert cells[0].mean == 0.25
    assert abs(cells[0].sd - 0.3 / 2**0.5) < 1e-12
    assert cells[1].sd is None


def test_a_seed_without_a_metric_is_left_out_of_its_mean_and_a_note_says_so(tree, caption_metrics):
    tree.data()
    lacking = {name: value for name, value in caption_metrics.items() if name != "METEOR"} | {"SPICE": None}
    folders = [tree.score("captioning", "a", seed, caption_metrics) for seed in (1, 2)]
    folders.append(tree.score("captioning", "a", 5, lacking, unavailable={"SPICE": "no parser"}))
    (table,) = tables(collect(folders))
    cells = {column.metric: cell for column, cell in zip(table.columns, table.lines[0].cells)}
    assert table.lines[0].seeds == [1, 2, 5]
    assert cells["METEOR"].mean == caption_metrics["METEOR"]
    assert table.notes[cells["METEOR"].note - 1] == "without seed 5: METEOR was not scored"
    assert table.notes[cells["SPICE"].note - 1] == "without seed 5: no parser"


def test_different_clip_lists_are_never_in_one_table(tree, caption_metrics):
    tree.data()
    rows = collect([tree.score("captioning", "a", 1, caption_metrics)])
    other = [replace(row, system="b", list_sha256="f" * 64) for row in rows]
    assert [[line.system for line in table.lines] for table in tables([*rows, *other])] == [["a"], ["b"]]


def test_no_results_yet(tree, capsys):
    write_results("results.jsonl", [])
    assert main(["table", "--results", "results.jsonl", "--out", "RESULTS.md", "--print"]) == 0
    assert capsys.readouterr().out == "No results yet.\n"
    assert "No results yet." in Path("RESULTS.md").read_text()


def test_collecting_and_tabulating_import_nothing_heavy():
    code = (
        "import sys, espret.bin.collect, espret.bin.table, espret.bin.report; "
        "print([m for m in ('numpy', 'torch', 'matplotlib', 'jinja2', 'soundfile') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_table_without_anything_to_do_is_a_usage_error(tree, capsys):
    tree.lines("results.jsonl", [])
    try:
        main(["table", "--results", "results.jsonl"])
    except SystemExit as stop:
        assert stop.code == 2
    assert "give --out FILE, --print, or both" in capsys.readouterr().err
    assert read_results("results.jsonl") == []


def test_fense_has_a_column_where_a_system_was_scored_with_it(tree, caption_metrics):
    tree.data()
    folders = [tree.score("captioning", "plain", 1, caption_metrics)]
    (table,) = tables(collect(folders))
    assert [column.metric for column in table.columns][-1] == "SPIDEr"
    folders.append(tree.score("captioning", "fluent", 1, caption_metrics | {"FENSE": 0.5, "SPIDEr-FL": 0.25}))
    (table,) = tables(collect(folders))
    assert [column.metric for column in table.columns][-3:] == ["SPIDEr", "SPIDEr-FL", "FENSE"]
    assert [line.cells[-1].mean for line in table.lines] == [0.5, None] and "FENSE was not scored" in table.notes


def test_missing_clips_and_declared_leaks_stand_beside_the_numbers(tree, retrieval_metrics):
    tree.data(listed=9)
    folders = [tree.score("retrieval", name, 1, retrieval_metrics(40.0)) for name in ("clean", "leaky")]
    pair = {"train": "train", "test": "test", "kind": "youtube", "shared": 2, "in_test": 3, "of_test": 8}
    undeclared = {**pair, "kind": "caption", "declared": None}
    write_json(folders[0] / "leaks.json", {"pairs": [undeclared]})
    write_json(folders[1] / "leaks.json", {"pairs": [{**pair, "declared": "segments | of one video"}, undeclared]})
    main(["collect", "--out", "results.jsonl", *map(str, folders)])
    main(["table", "--results", "results.jsonl", "--out", "RESULTS.md"])
    text = Path("RESULTS.md").read_text()
    note = "3 of 8 test clips share YouTube ids with the training data (segments \\| of one video)"
    assert f"\n(1) {note}\n" in text and "| leaky (1) |" in text and "| clean |" in text
    assert "8 of 9 clips, 16 captions; split test, variant toy.v1" in text
    rows = read_results("results.jsonl")
    assert {row.listed for row in rows} == {9} and {bool(row.leak) for row in rows if row.system == "clean"} == {False}
    main(["report", "--results", "results.jsonl", "--out", "report.html", *map(str, folders)])
    page = Path("report.html").read_text()
    assert '<th scope="row">leaky<sup>1</sup></th>' in page and "3 of 8 test clips share YouTube ids" in page
