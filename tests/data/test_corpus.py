"""Corpora as recipes list them: splits and variants by name, who is asked for what, the directories made of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

from espret.bin import main
from espret.data.check import check_audio
from espret.data.corpus import Asked, Clip, Corpus, Variant
from espret.data.datadir import DataDir, Segment
from espret.data.finish import finish_data
from espret.data.local import shares
from espret.data.prepare import prepare
from espret.data.validate import validate
from espret.errors import EspretError


class Sounds(Corpus):
    """A corpus with two axes of variants."""

    name = "sounds"
    axes = (("v1", "v1-fixed", "v2.1"), ("all", "few"), ("plain", "rich"))
    unsaid = frozenset({"plain"})

    def fetch(self, asked: Asked) -> None:
        Path("fetched").write_text(" ".join(asked.splits))

    def clips(self, asked: Asked) -> Iterator[Clip]:
        return iter(())

    def expected(self, split: str, variant: Variant) -> int | None:
        return None


class Extra(Sounds):
    name = "extra"
    splits = ("extra",)
    axes = ()


@pytest.mark.parametrize(
    ("split", "variant", "name"),
    [
        ("test", "", "v1.all"),
        ("test", "few", "v1.few"),
        ("test_rich", "few", "v1.few.rich"),
        ("test", "v2.1", "v2.1.all"),
        ("test", "v1-fixed.few", "v1-fixed.few"),
        ("test", "few, v2.1", "v2.1.few"),
        ("test_few", "v2.1.all", "v2.1.few"),
        ("train_v1-fixed_few".replace("_few", ".few"), "", "v1-fixed.few"),
    ],
)
def test_variants_by_name(split: str, variant: str, name: str) -> None:
    base, found = Sounds().parse(split, variant)
    assert split.startswith(base) and Sounds().called(found) == name


def test_unknown_splits_and_variants_name_their_neighbours() -> None:
    with pytest.raises(EspretError, match="sounds has no split 'tset'; did you mean 'test'"):
        Sounds().parse("tset", "")
    with pytest.raises(
        EspretError, match="no variant 'v1-fix'; did you mean 'v1-fixed'.; one of v1, .*, and one of all"
    ):
        Sounds().parse("test", "few v1-fix")
    assert not Sounds().provides("test_v9") and Sounds().provides("test_few") and not Sounds().provides("tests")


def test_each_corpus_is_asked_for_its_own(tmp_path: Path) -> None:
    (tmp_path / "extra").mkdir()
    asked = Asked(("train", "extra", "test_few"), "v2.1", archives=tmp_path, audio_dir=tmp_path)
    first, second = shares([Sounds(), Extra()], asked)
    assert first[1].splits == ("train", "test_few") and first[1].archives == tmp_path and first[1].variant == "v2.1"
    assert second[1].splits == ("extra",) and second[1].audio_dir == tmp_path / "extra" and second[1].variant == ""
    assert first[1].archive_folders("sounds") == [tmp_path]
    assert second[1].archive_folders("extra") == [tmp_path / "extra", tmp_path]
    (tmp_path / "extra").rmdir()
    _, second = shares([Sounds(), Extra()], asked)
    assert second[1].archive_folders("extra") == [tmp_path] and second[1].audio_dir is None
    with pytest.raises(
        EspretError, match="has a split 'dev'; sounds has train, valid, test, each also as SPLIT_VARIANT"
    ):
        shares([Sounds(), Extra()], Asked(("dev",)))
    with pytest.raises(EspretError, match="sounds has no variant 'v3'"):
        shares([Sounds()], Asked(("train",), "v3"))
    with pytest.raises(EspretError, match="sounds has no variant 'fwe'; did you mean 'few'"):
        shares([Sounds(), Extra()], Asked(("train", "test_fwe")))


USUAL = Asked(())
CORPUS = """
from espret.data.corpus import Clip, Corpus

class Tones(Corpus):
    name = "tones"
    on_youtube = True
    seconds = (0.5, 3.0)
    axes = (("v1", "v2"),)

    def fetch(self, asked):
        print("fetching", asked.splits, asked.archives, asked.youtube)

    def clips(self, asked):
        for split in asked.splits:
            yield from CLIPS(split)

    def expected(self, split, variant):
        return {"train": SIZE}.get(split)

    def own(self, asked):
        return asked.sources is not None

CORPORA = [Tones()]
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "a 'recipe'"
    (folder / "local").mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def describe(clips: str, size: int | None = None) -> str:
    """A local/data.py with a corpus whose clips of a split are the expression `clips`."""
    body = f"{CORPUS}\nSIZE = {size!r}\ndef CLIPS(split):\n    return {clips}\n"
    Path("local/data.py").write_text(body)
    return "local/data.py"


def tone(name: str, seconds: float, write_tone) -> None:  # type: ignore[no-untyped-def]
    soundfile.write(name, soundfile.read(write_tone("tone.wav", seconds, 8000))[0], 8000)


def prepared(function: str, asked: Asked = USUAL, *splits: str) -> DataDir:
    names = splits or ("train",)
    prepare(function, {split: f"data/{split}" for split in names}, "work", "data/issues.tsv", "x", asked)
    return DataDir.load(f"data/{names[0]}")


def test_names_origins_and_the_variant(recipe: Path, write_tone) -> None:  # type: ignore[no-untyped-def]
    tone("a.wav", 1.0, write_tone)
    function = describe(
        "[Clip(split, 'a', 'a.wav', ['one', 'two'], name=' 100% a.wav', origins=('youtube:x', 'freesound:3'))]", 1
    )
    train = prepared(function, Asked((), "v2"), "train", "test_v1")
    assert train.utt2fname == {"a": " 100% a.wav"} and train.utt2origin == {"a": ["youtube:x", "freesound:3"]}
    assert Path("data/train/utt2fname").read_text() == "a %20100%25 a.wav\n"
    assert [DataDir.load(f"data/{split}").about["variant"] for split in ("train", "test_v1")] == ["v2", "v1"]
    assert train.about["corpus"] == "tones" and train.about["listed"] == 1 and validate("data/train") == []


def test_counts_hold_unless_the_lists_are_the_users_own(recipe: Path, write_tone) -> None:  # type: ignore[no-untyped-def]
    tone("a.wav", 1.0, write_tone)
    function = describe("[Clip(split, 'a', 'a.wav', ['one'])]", 2)
    with pytest.raises(EspretError, match="train 1, not 2"):
        prepared(function)
    own = prepared(function, replace(USUAL, sources=Path("mine.tsv")))
    assert own.about["variant"] == "v1.own"


def test_segments_are_cut_where_the_recording_ends(recipe: Path, write_tone) -> None:  # type: ignore[no-untyped-def]
    tone("video.wav", 4.0, write_tone)
    tone("b.wav", 1.0, write_tone)
    function = describe(
        "[Clip(split, f'v-{k}', 'video.wav', ['x'], 'v', start, end) for k, start, end in"
        " ((1, 0.0, 2.5), (2, 2.5, 4.7), (3, 4.0, 6.0), (4, 3.5, None))] + ["
        " Clip(split, 'b', 'b.wav', ['x'])]"
    )
    train = prepared(function)
    assert train.segments == {
        "b": Segment("b", 0.0, 1.0),
        "v-1": Segment("v", 0.0, 2.5),
        "v-2": Segment("v", 2.5, 4.0),
        "v-4": Segment("v", 3.5, 4.0),
    }
    assert train.wav_scp == {"b": "b.wav", "v": "video.wav"} and train.reco2dur == {"b": 1.0, "v": 4.0}
    check_audio(["data/train"], "work", "1/1")
    with pytest.raises(EspretError, match="train 'v-3' video.wav: segment 4.000 to 6.000 s of a recording of 4.000 s"):
        finish_data(["data/train"], "work", "data/issues.tsv")
    assert finish_data(["data/train"], "work", "data/issues.tsv", "20%")[0].startswith("train: 4 of 5 clips")
    assert validate("data/train") == [] and DataDir.load("data/train").about["listed"] == 5


def test_missing_sound_and_odd_lengths_are_issues(recipe: Path, write_tone) -> None:  # type: ignore[no-untyped-def]
    tone("short.wav", 0.3, write_tone)
    function = describe(
        "[Clip(split, 'a', 'short.wav', ['x']), Clip(split, 'b', None, ['x'], why='no file named b'),"
        " Clip(split, 'c', None, ['x']), Clip(split, 'd', None, [], why='no caption')]"
    )
    assert prepared(function).utts == ["a"]
    rows = [line.split("\t") for line in Path("data/issues.tsv").read_text().splitlines()[1:]]
    assert rows == [
        ["train", "a", "short.wav", "0.300 s long; expected 0.5 to 3 s", "kept"],
        ["train", "b", "", "no file named b", "dropped"],
        ["train", "c", "", "missing", "dropped"],
        ["train", "d", "", "no caption", "dropped"],
    ]


def test_clips_without_sound_at_all(recipe: Path) -> None:
    function = describe("[Clip(split, f'u{i}', None, ['x', 'y'], name=f'v_{i}') for i in range(3)]")
    train = prepared(function)
    assert train.utts == ["u0", "u1", "u2"] and not Path("data/train/wav.scp").exists()
    check_audio(["data/train"], "work", "1/1")
    assert finish_data(["data/train"], "work", "data/issues.tsv")[0].startswith("train: 3 clips, 0.0 min, 6 captions")
    assert validate("data/train") == []
    Path("data/train/utt2dur").write_text("u0 1.0\n")  # then wav.scp is missing
    assert "wav.scp: no such file" in "\n".join(validate("data/train"))
    with pytest.raises(EspretError, match=r"wav\.scp: no such file"):
        DataDir.load("data/train")


def test_verbs(recipe: Path, write_tone, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    tone("a.wav", 1.0, write_tone)
    Path("mine").mkdir()
    function = describe("[Clip(split, 'a', 'a.wav', ['one'])]", 1)
    words = ["--function", function, "--corpus", "x", "--split", "train=data/train", "--archives", "mine"]
    assert main(["fetch-corpus", *words, "--youtube", "true"]) == 0
    assert capsys.readouterr().out == "fetching ('train',) mine True\ntones: everything is there for train\n"
    assert main(["prepare", *words, "--variant", "v2", "--work", "w", "--issues", "i.tsv"]) == 0
    assert json.loads(Path("data/train/about.json").read_text())["variant"] == "v2"
    assert main(["fetch-corpus", *words[:-1], "nowhere"]) == 2
    assert f"nowhere: no such folder, seen from {recipe}" in capsys.readouterr().err


def test_a_list_of_other_things(recipe: Path) -> None:
    Path("local/data.py").write_text("CORPORA = ['clotho']\n")
    with pytest.raises(EspretError, match="CORPORA is .'clotho'.; expected a list of espret.data.corpus.Corpus"):
        prepared("local/data.py")


def test_folders_are_not_for_clips_functions(recipe: Path) -> None:
    Path("local/data.py").write_text("def clips():\n    yield 'train', 'a', 'a.wav', ['x']\n")
    words = ["fetch-corpus", "--function", "local/data.py", "--corpus", "x", "--split", "train=data/train"]
    assert main(words) == 0
    assert main([*words, "--audio-dir", "."]) == 2
    assert main([*words, "--variant", "v2"]) == main([*words, "--youtube", "true"]) == 2


def test_youtube_is_for_corpora_that_lie_there() -> None:
    with pytest.raises(EspretError, match="--youtube true: the sound of sounds does not lie on YouTube"):
        shares([Sounds(), Extra()], Asked(("train",), youtube=True))
