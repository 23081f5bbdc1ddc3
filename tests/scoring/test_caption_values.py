"""Every caption metric against the original programs, on made-up captions and on hand-worked cases."""

import itertools
import math
import random
from typing import Any

import numpy as np
import pytest

from espret.scoring.bleu import Bleu
from espret.scoring.captions import evaluate
from espret.scoring.cider import CiderD
from espret.scoring.constant import constant_ciders
from espret.scoring.meteor.metric import Meteor
from espret.scoring.metric import Captions
from espret.scoring.ptb.tokenizer import clean, tokenise
from espret.scoring.rouge import RougeL, common_length


def captions_of(ids: list[str], hyps: list[str], refs: list[list[str]]) -> Captions:
    return Captions(ids, hyps, refs, hyps, refs)


def of(handmade: dict[str, Any]) -> Captions:
    return captions_of(handmade["ids"], handmade["tokens"]["hyps"], handmade["tokens"]["refs"])


@pytest.mark.parametrize("metric", [Bleu, Meteor, RougeL, CiderD])
def test_values_of_the_original_programs(handmade: dict[str, Any], metric: Any) -> None:
    result = metric().score(of(handmade))
    for name in metric.names:
        expected = handmade["values"][name]
        assert result.corpus[name] == pytest.approx(expected["corpus"], abs=1e-12)
        assert result.items[name] == pytest.approx(expected["items"], abs=1e-12)


def test_tokens_of_the_original_program(handmade: dict[str, Any]) -> None:
    assert tokenise(handmade["hyps"]) == handmade["tokens"]["hyps"]
    flat = [ref for refs in handmade["refs"] for ref in refs]
    assert tokenise(flat) == [ref for refs in handmade["tokens"]["refs"] for ref in refs]


@pytest.mark.java
def test_spice_of_the_original_program(handmade: dict[str, Any]) -> None:
    scores = evaluate(dict(zip(handmade["ids"], handmade["hyps"])), dict(zip(handmade["ids"], handmade["refs"])))
    expected = handmade["values"]["SPICE"]
    ours = [scores.items[utt]["SPICE"] for utt in handmade["ids"]]
    assert ours == expected["items"]
    assert [round(value, 3) for value in ours] == expected["official"]
    halves = (scores.value("CIDEr-D") + scores.value("SPICE")) / 2
    assert scores.value("SPIDEr") == pytest.approx(halves, abs=1e-12)
    assert not scores.unavailable


def test_tokeniser_keeps_one_line_a_caption() -> None:
    captions = ["", "", "a dog\nbarks", "a\tcat|||meows\r\n", "rain\u2028falls", "", "end.", ""]
    expected = ["", "", "a dog barks", "a cat meows", "rain falls", "", "end", ""]
    assert tokenise(captions) == expected
    for caption, tokens in zip(captions, expected):
        assert tokenise([caption]) == [tokens]
    assert tokenise([]) == []


def test_parentheses_stay_as_tokens() -> None:
    assert tokenise(["A dog (loud), isn't it?"]) == ["a dog -lrb- loud -rrb- is n't it"]


def test_clean_leaves_other_text_alone() -> None:
    assert clean("a | b || c  d\u00a0e") == "a | b || c  d\u00a0e"


def test_bleu_of_a_hand_worked_case() -> None:
    # 3 of 4 words right, 1 of 3 bigrams, no trigram; lengths 3 and 5 are equally close: the shorter counts.
    result = Bleu().score(captions_of(["x"], ["a b c d"], [["a b z", "c y x w v"]]))
    assert result.corpus["BLEU-1"] == pytest.approx(3 / 4)
    assert result.corpus["BLEU-2"] == pytest.approx(math.sqrt(3 / 4 * 1 / 3))
    assert result.corpus["BLEU-3"] < 1e-4


def test_bleu_brevity_and_clipping() -> None:
    result = Bleu().score(captions_of(["x"], ["a a"], [["a b c d"]]))
    assert result.corpus["BLEU-1"] == pytest.approx(1 / 2 * math.exp(1 - 4 / 2))


def test_rouge_takes_precision_and_recall_from_different_references() -> None:
    value = RougeL().score(captions_of(["x"], ["a b c"], [["a b c d e f"]])).corpus["ROUGE-L"]
    assert value == pytest.approx((1 + 1.44) * 1 * 0.5 / (0.5 + 1.44 * 1))
    both = RougeL().score(captions_of(["x"], ["a b c"], [["a b c d e f", "a b"]])).corpus["ROUGE-L"]
    assert both == pytest.approx(1.0)


def test_common_length_against_the_definition() -> None:
    def slow(a: list[str], b: list[str]) -> int:
        for n in range(min(len(a), len(b)), 0, -1):
            if set(itertools.combinations(a, n)) & set(itertools.combinations(b, n)):
                return n
        return 0

    draw = random.Random(0)
    for _ in range(200):
        a, b = ([draw.choice("abc") for _ in range(draw.randrange(7))] for _ in range(2))
        assert common_length(a, b) == slow(a, b)


def test_cider_counts_equal_references_for_the_matching_caption() -> None:
    same, other = "a dog barks loudly", "rain falls on roofs"
    many = CiderD().score(captions_of(["x", "y"], [same, other], [[same] * 5, [other] * 5]))
    assert many.items["CIDEr-D"] == pytest.approx([10, 10])
    half = CiderD().score(captions_of(["x", "y"], [same, other], [[same, "one two three four"], [other]]))
    assert half.items["CIDEr-D"] == pytest.approx([5, 10])


def test_cider_depends_on_the_set_and_one_clip_scores_zero() -> None:
    assert CiderD().score(captions_of(["x"], ["a dog barks"], [["a dog barks"]])).corpus["CIDEr-D"] == 0


def test_cider_length_penalty_and_clipping() -> None:
    # One shared word of equal idf, four times against once: clipped to 1 * 1 over norms 4 * 1; 3 bigrams against none.
    result = CiderD().score(captions_of(["x", "y"], ["dog dog dog dog", "z"], [["dog"], ["z"]]))
    assert result.items["CIDEr-D"][0] == pytest.approx(10 * (1 / 4) / 4 * math.exp(-9 / 72))


def test_constant_ciders_equal_those_of_the_metric(handmade: dict[str, Any]) -> None:
    captions = of(handmade)
    hyps = [captions.refs[0][0], captions.refs[3][1], "a dog", "", "nothing of this kind"]
    expected = [
        CiderD().score(captions_of(captions.ids, [hyp] * len(captions.ids), captions.refs)).corpus["CIDEr-D"]
        for hyp in hyps
    ]
    assert np.allclose(constant_ciders(hyps, captions.refs), expected, atol=1e-12)
    assert max(expected) > 0
