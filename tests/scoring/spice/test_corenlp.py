"""Captions parsed with the compiled chart against CoreNLP's own pipeline: the same tuples, on odd captions too."""

import importlib.util
import random
from collections.abc import Callable
from typing import Any

import pytest

from espret.errors import EspretError
from espret.scoring import watch
from espret.scoring.spice import grammar
from espret.scoring.spice import metric as spice
from espret.scoring.spice.corenlp import Models, Parser
from espret.scoring.spice.store import Store

pytestmark = pytest.mark.java

WORDS = """
a the two several dog dogs man woman crowd rain wind engine door bell birds water is are was bark barks
barking speaks talking while and or with without in on of over near by through loudly slowly then as it its
their who which that not no 's n't his can will opens closes ringing rings large old wooden metallic -lrb-
-rrb- 3 tv radio someone something background foreground distance there he she they very quickly splashing hum
hums buzz clacking whirr zzz ñandú 世 o'clock
"""
ODD = [
    "dog",
    "dog dog dog dog",
    "the",
    "xqzt vvv brrr",
    "is it raining or not",
    "A Man Speaks In A Car",
    "3 4 5",
    "-lrb- music -rrb-",
    "a man speaks . a dog barks ! birds sing",
    "what",
    "rain rain rain on a roof roof",
    "he says i don't know and she says that's fine",
    "🐶 barks at 🐱",
]


def made_up(count: int) -> list[str]:
    choice = random.Random(4)
    return [" ".join(choice.choices(WORDS.split(), k=choice.randint(1, 18))) for _ in range(count)]


@pytest.fixture(scope="module")
def models() -> Models:
    return spice._models()


@pytest.fixture(scope="module")
def tuples(models: Models) -> Callable[[Any], Any]:
    return spice._rows()


def by_pipeline(models: Models, caption: str) -> Any:
    annotation = models.annotation(caption)
    models.pipeline.annotate(annotation)
    return annotation


def test_tuples_are_those_of_the_pipeline(models: Models, tuples: Callable[[Any], Any], monkeypatch: Any) -> None:
    parser = Parser(models)
    left_to_corenlp = []
    whole = Parser._parse
    monkeypatch.setattr(Parser, "_parse", lambda *words: whole(*words) or left_to_corenlp.append(words))
    captions = [*ODD, *made_up(300)]
    for caption in captions:
        assert tuples(parser.annotate(caption)) == tuples(by_pipeline(models, caption)), caption
    # Salads of words tie more often than captions do; most are parsed here all the same.
    assert len(left_to_corenlp) < len(captions) / 2


def test_trees_and_words_are_those_of_the_pipeline(models: Models) -> None:
    parser = Parser(models)
    key = models._tools.reflect("edu.stanford.nlp.trees.TreeCoreAnnotations$TreeAnnotation")
    for caption in made_up(40):
        ours, theirs = (
            annotation.get(models.sentences_key)
            for annotation in (parser.annotate(caption), by_pipeline(models, caption))
        )
        for one, other in zip(ours, theirs):
            assert str(one.get(key)) == str(other.get(key))
            for mine, its in zip(one.get(models.tokens_key), other.get(models.tokens_key)):
                assert (mine.word(), mine.tag(), mine.lemma()) == (its.word(), its.tag(), its.lemma())


def test_without_numba_the_pipeline_parses(models: Models, tuples: Callable[[Any], Any], monkeypatch: Any) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "numba" else find(name))
    without = object.__new__(Models)
    without.__dict__.update({key: value for key, value in models.__dict__.items() if key != "grammar"})
    parser = Parser(without)
    assert parser._chart is None
    for caption in made_up(5):
        assert tuples(parser.annotate(caption)) == tuples(by_pipeline(models, caption))


def test_long_captions(tmp_path: Any) -> None:
    store = Store(tmp_path / "store.sqlite", "test")
    parsed, *unparsed = "a dog barks at a man " * 9, "word " * 151, "word " * 10_000
    found = spice.tuples_of([parsed, *unparsed, ""], store)
    assert found.pop(parsed) and found == dict.fromkeys([*unparsed, ""], [])


def test_a_caption_that_takes_too_long_is_named(monkeypatch: Any) -> None:
    monkeypatch.setattr(watch, "LIMIT", 0.0)
    monkeypatch.setattr(watch, "POLL", 0.001)
    with pytest.raises(
        EspretError, match="SPICE: no answer within 0 s, (starting|parsing 'a very .*); shorten or remove"
    ):
        list(spice._parse_all(["a very long caption with many words " * 8], 1))


def test_grammar_is_kept_and_a_damaged_file_is_replaced(models: Models, monkeypatch: Any, tmp_path: Any) -> None:
    monkeypatch.setenv("ESPRET_SPICE", str(tmp_path))
    first = grammar.read_grammar(models)
    (kept,) = tmp_path.rglob("grammar.npz")
    size = kept.stat().st_size
    kept.write_bytes(kept.read_bytes()[:1000])
    again = grammar.read_grammar(models)
    assert kept.stat().st_size == size
    assert again.goal == first.goal and (again.by_parent.rules == first.by_parent.rules).all()
