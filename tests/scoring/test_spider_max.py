"""SPIDEr-max and parse-captions through their verbs: values worked by hand, and captions that are parsed once ever."""

import json
from pathlib import Path
from typing import Any

import pytest
from test_bad_input import data
from test_java_process import linked

from espret.bin import main
from espret.files import read_json, read_jsonl
from espret.scoring import captions as scoring
from espret.scoring.metric import Result
from espret.scoring.ptb.tokenizer import tokenise
from espret.scoring.spice import install
from espret.scoring.spice import metric as spice
from espret.scoring.spice.store import Store


class FromTable:
    """Values by candidate, as a metric."""

    def __init__(self, name: str, table: dict[str, float]) -> None:
        self.names, self._table = (name,), table

    def score(self, captions: Any) -> Result:
        values = [self._table[hyp] for hyp in captions.hyps]
        (name,) = self.names
        return Result({name: sum(values) / len(values)}, {name: values})


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """CIDEr-D and SPICE by hand."""
    cider = {"one": 1.0, "two": 0.2, "three": 0.6}
    spice = {"one": 0.2, "two": 0.8, "three": 0.4}

    def load(name: str) -> Any:
        return lambda settings=None: FromTable(name, cider if name == "CIDEr-D" else spice)

    monkeypatch.setattr(scoring.METRICS, "load", load)


def nbest(path: Path, lists: dict[str, list[str]]) -> Path:
    lines = [
        {"utt": utt, "caption": of[0] if of else "one", "nbest": [{"caption": caption, "score": 0.0} for caption in of]}
        for utt, of in lists.items()
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def score_nbest(tmp_path: Path, lists: dict[str, list[str]]) -> int:
    place = data(tmp_path / "test", dict.fromkeys(lists, ["x"]))
    hyp = nbest(tmp_path / "hyp.jsonl", lists)
    words = ["score-captions", "--hyp", str(hyp), "--ref", str(place), "--out", str(tmp_path / "out")]
    return main([*words, "--metrics", "SPIDEr", "SPIDEr-max"])


def test_spider_max_is_the_mean_of_each_clips_best(tables: None, tmp_path: Path) -> None:
    # SPIDEr: one 0.6, two 0.5, three 0.5. Best: a 0.6 (rank 2), b 0.5, c 0.6.
    assert score_nbest(tmp_path, {"a": ["two", "one"], "b": ["three", "two"], "c": ["one", "three"]}) == 0
    assert [row["SPIDEr-max"] for row in read_jsonl(tmp_path / "out" / "items.jsonl")] == pytest.approx([0.6, 0.5, 0.6])
    metrics = read_json(tmp_path / "out" / "scores.json")["metrics"]
    assert metrics["SPIDEr-max"] == pytest.approx(1.7 / 3) and metrics["SPIDEr"] == pytest.approx(1.6 / 3)


def test_spider_max_of_one_candidate_is_spider(tables: None, tmp_path: Path) -> None:
    assert score_nbest(tmp_path, {"a": ["two"], "b": ["one"]}) == 0
    metrics = read_json(tmp_path / "out" / "scores.json")["metrics"]
    assert metrics["SPIDEr-max"] == metrics["SPIDEr"] == pytest.approx(0.55)


@pytest.mark.parametrize("b", [["one", "two"], []])
def test_spider_max_of_unequal_numbers(
    b: list[str], tables: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert score_nbest(tmp_path, {"a": ["two"], "b": b}) == 1
    assert "SPIDEr-max needs as many candidates for every clip, found" in capsys.readouterr().err


def test_spider_max_without_spice(no_spice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert score_nbest(tmp_path, {"a": ["two"], "b": ["one"]}) == 3
    assert "SPIDEr-max is unavailable: SPICE's parser is not in" in capsys.readouterr().err


@pytest.mark.java
def test_shards_of_parsing_make_up_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "ein 'böser' Ordner"
    linked(install.home() / install.VERSION, home / install.VERSION)
    monkeypatch.setenv("ESPRET_SPICE", str(home))
    refs = {"a": ["A dog barks.", "The dog, barking"], "b": ["Rain falls."], "c": ["."]}
    hyp = nbest(tmp_path / "hyp.jsonl", {"a": ["a Dog", "rain"], "b": ["rain falls", "a bell"], "c": ["", "a bell"]})
    what = ["--hyp", str(hyp), "--ref", str(data(tmp_path / "test", refs))]
    for shard in ("1/9", "2/9", "3/9", "4/9", "5/9", "6/9", "7/9", "8/9", "9/9"):  # more shards than captions
        assert main(["parse-captions", *what, "--nbest", "--shard", shard]) == 0
    wanted = set(tokenise([*sum(refs.values(), []), "a Dog", "rain", "rain falls", "a bell"])) - {""}
    assert Store(home / "scene_graphs.sqlite", spice.PARSER).get(wanted).keys() == wanted

    def never(*_: Any) -> Any:
        raise AssertionError("parsed again")

    monkeypatch.setattr(spice, "_parse", never)
    assert main(["score-captions", *what, "--metrics", "SPIDEr-max", "SPIDEr"]) == 0


def test_parsing_without_spice_says_how_to_install_it(
    no_spice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["parse-captions", "--ref", str(data(tmp_path / "test"))]) == 1
    assert f"run {install.COMMAND}" in capsys.readouterr().err
