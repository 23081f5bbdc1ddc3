from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from espret.bin import main
from espret.data.corpus import Asked
from espret.data.datadir import DataDir
from espret.data.ids import check_id, safe_id
from espret.data.prepare import prepare
from espret.errors import EspretError

WriteTone = Callable[..., Path]


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty recipe folder, as working directory."""
    folder = tmp_path / "my recipe's"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def describe(*items: object, extra: str = "") -> Path:
    """A local/data.py whose clips() yields these items."""
    path = Path("local/data.py")
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        f"from pathlib import Path\n{extra}\n\ndef clips():\n    yield from {list(items)!r}\n", encoding="utf-8"
    )
    return path


def run(path: Path, *splits: str, **options: str) -> object:
    where = {split: f"data/{split}.partial" for split in splits or ("train",)}
    return prepare(path, where, "work", "data/data_issues.tsv", "test", Asked((), **options))


def test_data_directories(recipe: Path, write_tone: WriteTone, odd_names: list[str]) -> None:
    items = []
    for i, name in enumerate(odd_names):
        path = write_tone(f"{recipe.name}/audio/{name}.wav", 0.5 + i / 10, 8000 * (i + 1))
        items.append(
            ("train" if i % 2 else "test", f"u{i}", f"audio/{name}.wav" if i < 4 else str(path), ["A dog  barks.", "x"])
        )
    outside = write_tone("elsewhere; $(x).flac", 1.0, 44100)
    items.append(("train", "Z", str(outside), ["one"]))
    result = run(describe(*items), "train", "test", variant="v1")
    train = DataDir.load("data/train.partial")
    assert list(train.wav_scp) == ["Z", "u1", "u3", "u5", "u7"]
    assert train.wav_scp["Z"] == str(outside)
    assert train.wav_scp["u5"] == f"audio/{odd_names[5]}.wav"
    assert train.utt2sr["u3"] == 32000 and train.utt2dur["u3"] == pytest.approx(0.8, abs=1e-5)
    assert train.text == {
        f"{utt}-{k}": words for utt in train.utts for k, words in ((1, "A dog barks."), (2, "x")) if utt != "Z"
    } | {"Z-1": "one"}
    assert train.utt2cap["u1"] == ["u1-1", "u1-2"] and train.cap2utt["u1-2"] == "u1"
    about = {"corpus": "test", "split": "train", "variant": "v1", "clips": 5, "captions": 9}
    assert about.items() <= train.about.items()
    assert all(Path(path).exists() for path in train.wav_scp.values())
    assert result.respaced == len(odd_names)


def test_relative_names_that_look_like_options_or_start_with_a_blank(recipe: Path, write_tone: WriteTone) -> None:
    for name in ("-x.wav", " y.wav"):
        write_tone(f"{recipe.name}/{name}")
    run(describe(("train", "a", "-x.wav", ["x"]), ("train", "b", " y.wav", ["x"])))
    assert DataDir.load("data/train.partial").wav_scp == {"a": "./-x.wav", "b": "./ y.wav"}


def test_unreadable_clips_are_issues(recipe: Path, write_tone: WriteTone) -> None:
    write_tone(f"{recipe.name}/good.wav")
    Path("bad\t.wav").write_text("no audio")
    run(describe(*(("train", name[0], name, ["x"]) for name in ("good.wav", "bad\t.wav", "absent.wav"))))
    assert DataDir.load("data/train.partial").utts == ["g"]
    rows = Path("data/data_issues.tsv").read_text().splitlines()
    assert rows[:2] == ["split\tid\tpath\treason\tclip", "train\ta\tabsent.wav\tmissing\tdropped"]
    assert rows[2].startswith("train\tb\tbad\\t.wav\tnot audio: ") and len(rows) == 3


GOOD = ("train", "a", "a.wav", ["x"])
MISTAKES = {
    "three fields": ([("train", "a", "a.wav")], "item 1 of clips.*expected .split, clip id, audio path, captions"),
    "other split": (
        [GOOD, ("dev", "b", "a.wav", ["x"])],
        "item 2 of clips.*split 'dev'; expected one of those asked for: train",
    ),
    "nothing": ([], "yields nothing for split 'train'"),
    "id twice": ([GOOD, GOOD], "item 2 of clips.*clip id 'a' again in split train"),
    "id with a blank": ([("train", "a b", "a.wav", ["x"])], "clip id 'a b'.*safe_id makes it 'a_b'"),
    "id with a slash": ([("train", "a/b", "a.wav", ["x"])], "clip id 'a/b'"),
    "id like an option": ([("train", "-a", "a.wav", ["x"])], "clip id '-a'.*makes it '_a'"),
    "empty id": ([("train", "", "a.wav", ["x"])], "clip id ''; expected a string"),
    "number as id": ([("train", 7, "a.wav", ["x"])], "clip id 7; expected a string"),
    "one caption without list": (
        [("train", "a", "a.wav", "a dog")],
        "'a'.: captions 'a dog'; expected a list of strings",
    ),
    "no captions": ([("train", "a", "a.wav", [])], "'a'.: no captions; expected at least one, or .* NO_CAPTIONS"),
    "None": ([("train", "a", "a.wav", None)], "no captions"),
    "empty caption": ([("train", "a", "a.wav", ["x", " \n"])], "caption 2 is empty"),
    "caption of bytes": ([("train", "a", "a.wav", [b"x"])], "expected a list of strings"),
    "caption that is no Unicode": ([("train", "a", "a.wav", ["x\udcff"])], "caption 1 .* is not valid Unicode"),
    "path of another type": ([("train", "a", 5, ["x"])], "audio path 5; expected"),
    "path with a line end": ([("train", "a", "a\n.wav", ["x"])], "expected a name in UTF-8 without line ends"),
    "path like a pipe": ([("train", "a", "cat a.wav |", ["x"])], "does not end in '|'"),
    "path that is not UTF-8": ([("train", "a", "a\udcff.wav", ["x"])], "expected a name in UTF-8"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_the_description_are_named(recipe: Path, mistake: str) -> None:
    items, message = MISTAKES[mistake]
    with pytest.raises(EspretError, match=f"(?s){message}"):
        run(describe(*items))
    assert not Path("data").exists()


def test_counts_are_asserted(recipe: Path, write_tone: WriteTone) -> None:
    write_tone(f"{recipe.name}/a.wav")
    run(describe(GOOD, extra="EXPECTED = {'train': 1}"))
    with pytest.raises(EspretError, match="train 1, not 2"):
        run(describe(GOOD, extra="EXPECTED = {'train': 2}"))


def test_splits_without_captions(recipe: Path, write_tone: WriteTone) -> None:
    write_tone(f"{recipe.name}/a.wav")
    run(describe(("train", "a", "a.wav", []), extra="NO_CAPTIONS = ['train']"))
    assert not Path("data/train.partial/text").exists()


def test_white_space_in_captions_is_collapsed_and_counted(recipe: Path, write_tone: WriteTone) -> None:
    write_tone(f"{recipe.name}/a.wav")
    result = run(describe(("train", "a", "a.wav", [" plain ", "two\nlines", "tab\tand  blanks\u00a0too\n"])))
    assert list(DataDir.load("data/train.partial").text.values()) == ["plain", "two lines", "tab and blanks too"]
    assert result.respaced == 2


def test_function_file(recipe: Path) -> None:
    with pytest.raises(EspretError, match="no such file"):
        run(Path("local/none.py"))
    Path("x.py").write_text("def clip(): pass\n")
    with pytest.raises(EspretError, match="defines no function 'clips'; did you mean 'clip'"):
        run(Path("x.py"))
    Path("x.txt").write_text("def clips(): pass\n")
    with pytest.raises(EspretError, match=r"expected a Python file, named \*\.py"):
        run(Path("x.txt"))


def test_what_an_earlier_run_left_is_removed(recipe: Path, write_tone: WriteTone) -> None:
    write_tone(f"{recipe.name}/a.wav")
    Path("work").mkdir()
    Path("work/issues.3.jsonl").write_text("old")
    Path("work/other.log").write_text("kept")
    run(describe(GOOD))
    assert sorted(os.listdir("work")) == ["issues.prepare.jsonl", "other.log"]


def test_verb(recipe: Path, write_tone: WriteTone, capsys: pytest.CaptureFixture[str]) -> None:
    write_tone(f"{recipe.name}/a.wav")
    path = describe(("train", "a", "a.wav", ["x\ny"]), ("test", "b", "none.wav", ["x"]))
    words = ["prepare", "--function", str(path), "--corpus", "c", "--work", "work", "--issues", "i.tsv"]
    assert main([*words, "--split", "train=out/train", "--split", "test=out/test"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[:2] == ["train: 1 clips", "test: 1 clips, 1 cannot be read"]
    assert "warning: 1 captions had line ends" in out
    assert json.loads(Path("out/test/about.json").read_text())["clips"] == 0
    assert main([*words, "--split", "train"]) == 2
    assert "expected NAME=DIR" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Dog barks (2)", "Dog_barks_2_"),
        ("-x", "_x"),
        ("a/b;c", "a_b_c"),
        ("Mo\u0308we", "M\u00f6we"),
        ("ok-1.2", "ok-1.2"),
    ],
)
def test_safe_ids(name: str, expected: str) -> None:
    assert safe_id(name) == expected
    assert check_id(safe_id(name), "here") == expected


def test_ids_that_are_too_long() -> None:
    with pytest.raises(EspretError, match="expected 200 at most"):
        check_id("a" * 201, "here")
