"""The variations of Clotho's captions: joined by file and caption, mended where the cutting failed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from espret.data.corpora.clotho_gpt import read_variations
from espret.errors import EspretError

CLIPS = {" a & b.wav": ["one  thing.", "another "], "c.wav": ["one thing.", "last"]}


def entry(name: str, caption: str, variations: Any, **more: Any) -> dict[str, Any]:
    return {"path": f"/data/clotho_v2/development/{name}", "caption": caption, "variations": variations, **more}


def read(tmp_path: Path, *entries: Any) -> tuple[dict[str, list[str]], list[str]]:
    path = tmp_path / "the variations.json"
    path.write_text(json.dumps(list(entries)), encoding="utf-8")
    said: list[str] = []
    return read_variations(path, CLIPS, said.append), [line.removeprefix(f"{path}: ") for line in said]


def test_joined_by_file_and_caption(tmp_path: Path) -> None:
    """Whatever the order, the numbers, and the white space."""
    entries = [
        entry("c.wav", "last", list("fghij"), idx=3),
        entry(" a & b.wav", "another", list("klmno")),
        entry("c.wav", "one thing.", list("abcde"), idx=35),
        entry(" a & b.wav", "one thing.", list("pqrst"), idx=10, usage={"total_tokens": 7}),
    ]
    found, said = read(tmp_path, *entries)
    assert found == {" a & b.wav": list("pqrstklmno"), "c.wav": list("abcdefghij")}
    assert said == ["1 captions have another number there than in the corpus"]


def test_paths_of_windows(tmp_path: Path) -> None:
    one = entry("", "last", list("abcde"))
    found, _ = read(tmp_path, {**one, "path": "C:\\clotho\\c.wav"})
    assert found == {"c.wav": list("abcde")}


def test_what_is_mended_is_said(tmp_path: Path) -> None:
    found, said = read(
        tmp_path,
        entry("c.wav", "one thing.", ["1. A dog.", "2) Two dogs.", "3.5 seconds of rain", "", "- a cat", "(4) last"]),
        entry("c.wav", "last", ["1. A\n2. B\n\n3.", "10 bees"]),
        entry(" a & b.wav", "another", []),
        entry("c.wav", "last", ["again"]),
    )
    assert found["c.wav"] == ["A dog.", "Two dogs.", "3.5 seconds of rain", "a cat", "last", "A", "B", "10 bees"]
    assert found[" a & b.wav"] == []
    assert said == [
        "1 captions have no entry",
        "2 captions have other than 5 variations",
        "1 entries come again and are left out",
        "3 variations were empty and are left out",
        "7 variations were numbered",
    ]


def test_captions_that_the_corpus_does_not_have(tmp_path: Path) -> None:
    strangers = [entry(f"{i}.wav", "last", ["x"]) for i in range(7)]
    with pytest.raises(EspretError, match=r"entry 1 '0\.wav' 'last', entry 2 .* and 2 more; expected file names and"):
        read(tmp_path, entry("c.wav", "last", ["x"]), *strangers)


WRONG = [
    "text",
    {"path": "c.wav"},
    entry("c.wav", "last", "x"),
    entry("c.wav", "last", ["x", 3]),
    {**entry("c.wav", "last", []), "caption": None},
]


@pytest.mark.parametrize("wrong", WRONG)
def test_another_kind_of_file(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(EspretError, match=re.escape("the variations.json: entry 0: found ")):
        read(tmp_path, wrong)


def test_not_a_list(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(EspretError, match=r"x\.json: found \{\}; expected a list"):
        read_variations(tmp_path / "x.json", CLIPS, print)
