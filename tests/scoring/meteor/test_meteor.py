"""METEOR without Java against METEOR in Java: the same statistics and values to the last digit; when Java is asked."""

import gzip
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from espret.errors import EspretError
from espret.scoring.java import coco_tools, meteor_jar, start
from espret.scoring.meteor import alignment, paraphrases, powers
from espret.scoring.meteor import java as meteor_java
from espret.scoring.meteor import metric as meteor
from espret.scoring.meteor.lexicon import Lexicon, java_hash, normalised
from espret.scoring.meteor.stemmer import stem
from espret.scoring.metric import Captions, Result

SOUNDS = "a the dog dogs barks barking man men speaks talks while rain falls falling loudly in of car automobile"
WORDS = SOUNDS.split()
ENDINGS = "s ses sses ied ies us ed eed edly ing ingly y ational bli ogi li lessli ative ness ion ement e ll tt 's '"
MARKED = (
    "dog 's p.m. e.g. vs. v. pp. 12 no. 3.5 1,000 it's 't -lrb- o'clock walkie-talkie - -- ' '' .5 5. a.b x-. ñ’s '5's"
)


def phrase(choice: random.Random, longest: int) -> str:
    return " ".join(choice.choice(WORDS) for _ in range(choice.randint(1, longest)))


def entries(choice: random.Random, number: int) -> list[tuple[str, str]]:
    """Short phrases of few words, so that many captions have them; some in both directions, some twice."""
    once = [(phrase(choice, choice.choice([1, 2, 5])), phrase(choice, choice.choice([1, 2, 5]))) for _ in range(number)]
    return [*once, *[(right, left) for left, right in once[::2]], *once[::9]]


def write_table(path: Path, pairs: list[tuple[str, str]]) -> Path:
    path.write_bytes(gzip.compress("".join(f"0.5\n{left}\n{right}\n" for left, right in pairs).encode()))
    return path


def captions(items: list[tuple[str, list[str]]]) -> Captions:
    hyps, refs = [hyp for hyp, _ in items], [refs for _, refs in items]
    return Captions([f"utt{number}" for number in range(len(items))], hyps, refs, hyps, refs)


def made_up(choice: random.Random, number: int) -> list[tuple[str, list[str]]]:
    """Captions in which most words match in several ways, with what is rare: none, the same, many words."""

    def caption() -> str:
        return " ".join(
            choice.choice([*WORDS, "o'clock", "5", "-", "x.y."]) for _ in range(choice.choice([0, 3, 9, 9, 25]))
        )

    items = [(caption(), [caption() for _ in range(choice.choice([1, 5]))]) for _ in range(number)]
    return [*items, *[(refs[-1], refs) for _, refs in items[:20]]]


@pytest.fixture
def small_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A paraphrase table of a few hundred entries in place of METEOR's, and a folder of indexes of its own."""
    table = write_table(tmp_path / "ein 'kleines' table.gz", entries(random.Random(1), 400))
    monkeypatch.setattr(meteor_java, "table", lambda: table)
    monkeypatch.setenv("ESPRET_METEOR", str(tmp_path / "indexes 日本"))
    return table


def in_java(asked: Captions) -> Result:
    """What METEOR's own program makes of captions, all of its own arithmetic."""
    scorer = meteor_java._scorer(meteor_java.table())
    stats_of = coco_tools().load("edu.cmu.meteor.scorer.MeteorStats")
    total, items, rows = stats_of(), [], []
    for utt, hyp, refs in zip(asked.ids, asked.hyps, asked.refs):
        rows.append(meteor_java.statistics(utt, hyp, refs))
        stats = stats_of(" ".join(map(str, rows[-1])))
        scorer.computeMetrics(stats)
        items.append(float(stats.score))
        total.addStats(stats)
    scorer.computeMetrics(total)
    return Result({"METEOR": float(total.score)}, {"METEOR": items}, {"rows": rows})


def same_as_java(asked: Captions) -> None:
    expected, found = in_java(asked), meteor.Meteor().score(asked)
    assert (found.items, found.corpus) == (expected.items, expected.corpus)
    index = paraphrases.open_index(meteor_java.table())
    assert index
    scorer = meteor._Scorer(asked, index, powers.Powers())
    rows = [scorer.best(hyp, refs) for hyp, refs in zip(asked.hyps, asked.refs)]
    assert [row for row in rows if row] == [row for row, ours in zip(expected.statistics["rows"], rows) if ours]
    assert sum(row is not None for row in rows) > 0.9 * len(rows)


def no_java(*_: object) -> list[float]:
    raise AssertionError("Java was asked")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_same_statistics_and_values_as_java(small_table: Path, seed: int) -> None:
    same_as_java(captions(made_up(random.Random(seed), 150)))


@pytest.mark.slow
def test_same_as_java_with_phrases_of_the_whole_table() -> None:
    choice = random.Random(5)
    with gzip.open(meteor_java.table(), "rt", encoding="utf-8") as stream:
        lines = stream.read().split("\n")
    items = []
    for _ in range(2000):
        hyp, refs = [], [[] for _ in range(choice.choice([1, 2, 5]))]
        for _ in range(choice.choice([3, 6, 12])):
            at = 3 * choice.randrange(len(lines) // 3)
            sides = [lines[at + 1], lines[at + 2]] if choice.random() < 0.5 else [choice.choice(WORDS)]
            hyp.append(choice.choice(sides))
            for ref in refs:
                ref.append(choice.choice(sides))
                choice.shuffle(ref)
        items.append((" ".join(hyp), [" ".join(ref) for ref in refs]))
    same_as_java(captions(items))


def test_captions_that_only_java_knows_are_asked_of_it(small_table: Path) -> None:
    items = [
        ("a dog barks .. loudly", ["a dog barks"]),
        ("a dog barks", ["A Dog barks", "rain"]),
        ("狗 barks in the rain", ["狗 barks"]),
        ("a dog " * 400, ["a dog barks"]),
        ("rain falls", ["the rain falls in the car", "rain falling"]),
    ]
    asked = captions(items)
    expected, found = in_java(asked), meteor.Meteor().score(asked)
    assert found.items == expected.items and found.corpus == expected.corpus
    index = paraphrases.open_index(small_table)
    assert index
    scorer = meteor._Scorer(asked, index, powers.Powers())
    assert [scorer.best(hyp, refs) is None for hyp, refs in items] == [True, True, True, True, False]


def test_a_second_process_needs_no_java(small_table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = captions([("a dog barks in the rain", ["the dog is barking in rain", "rain falls"]), ("", ["a dog"])])
    expected = meteor.Meteor().score(asked)
    monkeypatch.setattr(meteor_java, "statistics", no_java)
    monkeypatch.setattr(meteor_java, "power", no_java)
    assert meteor.Meteor().score(asked) == expected
    assert expected.items["METEOR"][1] == 0.0


def test_a_folder_that_cannot_be_written_leaves_the_values_the_same(
    small_table: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = captions(made_up(random.Random(4), 30))
    expected = meteor.Meteor().score(asked)
    (tmp_path / "a file").touch()
    monkeypatch.setenv("ESPRET_METEOR", str(tmp_path / "a file" / "below"))
    assert paraphrases.open_index(small_table) is None
    assert meteor.Meteor().score(asked) == expected


@pytest.mark.parametrize("name", paraphrases.FILES)
@pytest.mark.parametrize("left", [None, 0, 90])
def test_a_damaged_index_is_built_anew(small_table: Path, name: str, left: int | None) -> None:
    whole = paraphrases.open_index(small_table)
    [path] = paraphrases.home().glob(f"*/{name}")
    content = path.read_bytes()
    path.unlink()
    if left is not None:
        path.write_bytes(content[:left])
    index = paraphrases.open_index(small_table)
    assert whole and index and index.words == whole.words
    assert np.array_equal(index.targets, whole.targets)
    assert path.read_bytes() == content


OPEN = """
import sys
from pathlib import Path
from espret.scoring.meteor import paraphrases
assert len(paraphrases.open_index(Path(sys.argv[1])).targets) == int(sys.argv[2])
"""


def test_many_processes_build_one_index(small_table: Path) -> None:
    number = len(entries(random.Random(1), 400))
    command = [sys.executable, "-c", OPEN, str(small_table), str(number)]
    running = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait(timeout=120) for process in running] == [0] * 4
    assert len(os.listdir(paraphrases.home())) == 1  # and nothing half-built beside it


def test_another_table_gets_another_index(small_table: Path) -> None:
    first = paraphrases.open_index(small_table)
    write_table(small_table, [("a dog", "the dog")])
    second = paraphrases.open_index(small_table)
    assert first and second and len(first.targets) > len(second.targets) == 1


@pytest.mark.parametrize("content", [b"0.5\na dog\n", b""])
def test_a_file_that_is_no_table(tmp_path: Path, content: bytes) -> None:
    table = tmp_path / "table.gz"
    table.write_bytes(gzip.compress(content) if content else b"this is not gzip at all")
    with pytest.raises(EspretError, match=r"table\.gz: .*(three lines|gzipped)"):
        paraphrases.build(table)


def test_index_holds_what_the_table_holds(small_table: Path) -> None:
    pairs = entries(random.Random(1), 400)
    index = paraphrases.open_index(small_table)
    assert index
    texts = [
        ["a", "dog", "barks", "in", "the", "rain"],
        [],
        ["unheard", "of"],
        *[side.split() for side, _ in pairs[:99]],
    ]
    found, rows = index.occurrences(texts)
    known = {words[:size] for side in pairs for words in [tuple(one.split()) for one in side] for size in range(1, 6)}
    expected = [
        (row, begin, size)
        for row, text in enumerate(texts)
        for begin in range(len(text))
        for size in range(1, 6)
        if begin + size <= len(text) and tuple(text[begin : begin + size]) in known
    ]
    assert [(row, begin, size) for row, (begin, size, _) in zip(rows.tolist(), found.tolist())] == expected
    name = {node: tuple(texts[row][b : b + s]) for row, (b, s, node) in zip(rows.tolist(), found.tolist())}
    assert len(set(name.values())) == len(name)
    kept = index.entries(np.unique(found[:, 2]))
    there = {words: node for node, words in name.items()}
    expected_entries: dict[int, list[int]] = {}
    for left, right in (tuple(tuple(side.split()) for side in pair) for pair in pairs):
        if left in there and right in there:
            expected_entries.setdefault(there[left], []).append(there[right])
    assert kept == expected_entries


def test_stems_as_java() -> None:
    choice = random.Random(2)
    parts = [*"aeiouybcdlstwxrgnm", "arsen", "gener", "commun", "yy", *ENDINGS.split()]
    words = {"".join(choice.choices(parts, k=choice.randint(1, 5))) for _ in range(20000)} | {*WORDS, "skies", "inning"}
    stemmer = coco_tools().load("edu.cmu.meteor.util.Constants").newStemmer("english")
    assert [(word, stem(word)) for word in words] == [(word, str(stemmer.stem(word))) for word in words]


def test_normalised_as_java() -> None:
    choice = random.Random(3)
    texts = [" ".join(choice.choices(MARKED.split(), k=choice.randint(0, 6))) for _ in range(3000)]
    texts += ["".join(choice.choices("abst09 .',-`\"!?:;&$()_/é’“–", k=choice.randint(0, 12))) for _ in range(3000)]
    normalizer = coco_tools().load("edu.cmu.meteor.util.Normalizer")
    known = [(text, found) for text in texts if (found := normalised(text)) is not None]
    assert len(known) > 5000
    assert known == [(text, str(normalizer.normalizeLine(text, 0, True)).lower().split()) for text, _ in known]


@pytest.mark.parametrize("kept", [False, True])
def test_synsets_and_hashes_as_java(tmp_path: Path, kept: bool) -> None:
    lexicon = [Lexicon(meteor_jar(), tmp_path / "kept") for _ in range(1 + kept)][-1]
    tools, url = coco_tools(), start().JClass("java.net.URL")
    folder = str(tools.load("edu.cmu.meteor.util.Constants").DEFAULT_SYN_DIR_URL.toString())
    names = ("exceptions", "synsets", "relations")
    dictionary = tools.load("edu.cmu.meteor.aligner.SynonymDictionary")(*(url(f"{folder}/english.{n}") for n in names))
    for word in [*WORDS, "boss", "cheerful", "armsful", "churches", "ran", "best", "unheardof", "ss", "é"]:
        java = {*map(int, dictionary.getSynSets(word)), *map(int, dictionary.getStemSynSets(word))}
        assert set(map(int, lexicon.synsets(word))) == java, word
        assert java_hash(word) == start().JClass("java.lang.String")(word).hashCode() & 0xFFFFFFFF


def test_words_with_equal_hashes_match_as_in_java(small_table: Path) -> None:
    assert java_hash("ap") == java_hash("c2")
    same_as_java(captions([("dog ap barks", ["dog c2 barks"]), *made_up(random.Random(9), 20)]))


def test_powers_are_those_of_java(small_table: Path) -> None:
    known = powers.Powers()
    bases = [
        chunks / (words / 2) for words in (2, 7, 30, 127, 128, 300, 4001) for chunks in range(1, words // 2 + 1, 3)
    ]
    assert [known(base) for base in bases] == [meteor_java.power(base, powers.BETA) for base in bases]


def test_a_doubtful_power_is_asked_of_java(small_table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = powers.Powers()
    asked = []
    monkeypatch.setattr(meteor_java, "power", lambda base, _: asked.append(base) or base**0.2)
    bases = [chunks / 4001 for chunks in range(1, 4001)]
    for base in bases:
        known(base)
    assert 0.03 < len(asked) / len(bases) < 0.1  # 6 % lie within 0.03 of the middle, on both sides


def test_more_matches_than_the_search_can_rank() -> None:
    assert alignment.searchable([[(0, 0, 1, 0, 1)]], 500)
    assert not alignment.searchable([[(0, 0, 1, 0, 1)] * 20_000_000], 500)


def test_value_of_sums_is_the_value_of_the_set(small_table: Path) -> None:
    result = meteor.Meteor().score(captions(made_up(random.Random(6), 60)))
    rows = np.array(result.statistics["METEOR"])
    assert meteor.of_sums(rows.sum(axis=0))["METEOR"] == pytest.approx(result.corpus["METEOR"], abs=1e-12)
    assert meteor.of_sums(rows)["METEOR"] == pytest.approx(result.items["METEOR"], abs=1e-12)
