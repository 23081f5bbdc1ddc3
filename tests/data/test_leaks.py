"""Overlaps between data directories: what is found, counted, declared and refused."""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from espret.bin import main
from espret.data.datadir import DataDir
from espret.data.leaks import Declared, Overlap, Side, load_declared, overlaps, reason, sentence
from espret.errors import EspretError

Clips = Mapping[str, tuple[Sequence[str], Sequence[str]]]  # id -> (captions, origins)

TRAIN: Clips = {
    "a": (["A dog barks."], ["youtube:-one_"]),
    "b": (["a dog barks", "Rain, on a roof"], ["youtube:-one_"]),
    "c": (["wind"], ["freesound:12"]),
    "d": (["birds sing"], []),
}
TEST: Clips = {
    "d": (["The man\u2019s car starts"], ["youtube:other"]),
    "e": (["rain on a  roof."], ["youtube:-one_", "freesound:12"]),
    "f": (["wind"], ["freesound:13"]),
}


def directory(clips: Clips, variant: str = "") -> DataDir:
    made = DataDir(wav_scp={utt: f"{utt}.wav" for utt in clips}, utt2dur=dict.fromkeys(clips, 1.0))
    made.utt2sr = dict.fromkeys(clips, 16000)
    for utt, (captions, origins) in clips.items():
        if origins:
            made.utt2origin[utt] = list(origins)
        for k, caption in enumerate(captions, 1):
            made.text[f"{utt}-{k}"] = caption
            made.cap2utt[f"{utt}-{k}"] = utt
        if captions:
            made.utt2cap[utt] = [f"{utt}-{k}" for k in range(1, len(captions) + 1)]
    made.about = {"variant": variant, **made.counts()}
    return made


def side(name: str, clips: Clips, variant: str = "") -> Side:
    return Side(f"data/{name}", directory(clips, variant))


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the directories `da ta/train` and `da ta/it's test`, the working directory."""
    monkeypatch.chdir(tmp_path)
    directory(TRAIN, "segments.v1.official").write("da ta/train")
    directory(TEST).write("da ta/it's test")
    return tmp_path


def test_every_kind_is_counted() -> None:
    train, test = side("train", TRAIN), side("test", TEST)
    assert overlaps(train, test) == [
        Overlap("train", "test", "id", 1, 1, 4, 1, 3, ("d",)),
        Overlap("train", "test", "freesound", 1, 1, 4, 1, 3, ("12",)),
        Overlap("train", "test", "youtube", 1, 2, 4, 1, 3, ("-one_",)),
        Overlap("train", "test", "caption", 2, 2, 5, 2, 3, ("rain on a roof", "wind")),
    ]


def test_nothing_in_common_and_nothing_known() -> None:
    assert overlaps(side("a", {"a": ([], [])}), side("b", {"b": (["x"], ["youtube:y"])})) == []


def test_ambiguous_captions_are_counted_between_clips_only() -> None:
    clips: Clips = {"a": (["One.", "one", "two"], []), "b": (["ONE", "three", "three"], []), "c": (["two"], [])}
    made = side("test", clips)
    assert (made.captions, made.ambiguous, made.sentences) == (7, 5, 2)  # "three" is said twice of one clip


@pytest.mark.parametrize(
    "caption", ["the man's car, starts", "The man\u2019s   car starts.", " THE MAN'S CAR: STARTS "]
)
def test_captions_are_compared_without_case_punctuation_and_blanks(caption: str) -> None:
    assert sentence(caption) == "the man's car starts"


def test_an_origin_without_a_kind_is_an_error() -> None:
    for origin in ("12", "youtube:", ":x", "id:12"):
        with pytest.raises(EspretError, match=rf"my data/utt2origin: 'a' comes from '{origin}'; expected youtube:<id>"):
            Side("my data", directory({"a": ([], [origin])}))


def test_the_table(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory({"z": ([], [])}).write("new")
    assert main(["leaks", "da ta/train", "da ta/it's test", "new"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "da ta/train: 4 clips, 5 captions, 2 of them (1 sentences) said of several clips" in lines
    assert "new: 1 clips" in lines
    assert "no YouTube ids known in new" in lines and "no Freesound ids known in new" in lines
    assert "YouTube ids known of 2 of 4 clips in da ta/train" in lines
    rows = [" ".join(line.split()) for line in lines]
    assert "da ta/train da ta/it's test YouTube ids 1 2 of 4 1 of 3 -one_" in rows
    assert "da ta/train da ta/it's test captions 2 2 of 5 2 of 3 rain on a roof; wind" in rows
    assert "da ta/it's test new nothing" in rows


def test_unknown_origins_are_said(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory({"y": ([], [])}).write("old")
    directory({"z": ([], [])}).write("new")
    assert main(["leaks", "old", "new"]) == 0
    assert "no YouTube or Freesound ids known in any" in capsys.readouterr().out


def test_training_clips_in_a_test_set_stop(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["leaks", "--train", "da ta/train", "--test", "da ta/it's test", "--out", "leaks.json"]) == 1
    error = capsys.readouterr().err
    assert "da ta/train and da ta/it's test share 1 YouTube ids (-one_): 2 of 4 training clips, 1 of 3 clips" in error
    assert "1 Freesound ids (12)" in error and "1 ids (d)" in error and "captions" not in error
    assert (
        'conf/leaks.yaml:\n  overlaps:\n  - {train: train, test: it\'s test, kind: id, at_most: 1, reason: "..."}'
        in error
    )
    assert "mend: train on a variant without these clips" in error
    assert not (written / "leaks.json").exists()


def test_what_the_message_says_to_declare_is_accepted(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["leaks", "--train", "da ta/train", "--test", "da ta/it's test"]
    assert main(command) == 1
    said = capsys.readouterr().err
    (written / "leaks.yaml").write_text(said[said.index("  overlaps:") :].replace("  overlaps:", "overlaps:"))
    assert main([*command, "--declared", "leaks.yaml", "--out", "leaks.json"]) == 0
    first = (written / "leaks.json").read_bytes()
    found = json.loads(first)
    assert found["train"] == ["train"] and found["test"] == ["it's test"]
    assert found["directories"]["train"] == {
        "clips": 4,
        "captions": 5,
        "ambiguous": 2,
        "origins": {"freesound": 1, "youtube": 2},
    }
    kinds = [(pair["kind"], pair["shared"], pair["in_test"], pair["declared"]) for pair in found["pairs"]]
    assert kinds == [("caption", 2, 2, None), ("freesound", 1, 1, "..."), ("id", 1, 1, "..."), ("youtube", 1, 1, "...")]
    assert main([*command, "--declared", "leaks.yaml", "--out", "leaks.json"]) == 0
    assert (written / "leaks.json").read_bytes() == first


def test_shared_captions_alone_do_not_stop(written: Path) -> None:
    directory({"x": (["Wind!"], [])}).write("test")
    assert main(["leaks", "--train", "da ta/train", "--test", "test"]) == 0


def test_more_than_declared_stops_again(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = {**TRAIN, "g": ([], ["freesound:13"])}
    del more["d"]
    directory(more).write("da ta/train")
    item = '{train: train, test: "*test", kind: %s, at_most: 1, reason: official}'
    (written / "leaks.yaml").write_text(f"overlaps: [{item % 'youtube'}, {item % 'freesound'}]")
    command = ["leaks", "--train", "da ta/train", "--test", "da ta/it's test", "--declared", "leaks.yaml"]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert "share 2 Freesound ids" in error and "leaks.yaml declares at most 1" in error
    assert "YouTube" not in error and "at_most: 2" in error


def test_a_declaration_holds_for_its_names_kind_number_and_variant() -> None:
    overlap = Overlap("train_v1", "test", "youtube", 7, 9, 10, 8, 10, ("x",))
    good = Declared("train*", "test", "youtube", 7, "official", "segments.*.official")
    variant = "segments.v1.official"
    assert reason(overlap, variant, [good]) == "official"
    assert reason(overlap, "segments.v1.byvideo", [good]) is None
    for change in ({"train": "valid"}, {"test": "valid"}, {"kind": "id"}, {"at_most": 6}):
        other = Declared(**{**vars(good), **change})  # type: ignore[arg-type]
        assert reason(overlap, variant, [other]) is None
    assert reason(overlap, "", [Declared("train*", "test", "youtube", 700, "any variant")]) == "any variant"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", "expected a list 'overlaps'"),
        ("overlaps: {}", "expected a list 'overlaps'"),
        ("overlaps: []\nmore: 1", "expected a list 'overlaps'"),
        ("overlaps: [x]", r"overlaps\[1\]: 'x'; expected a mapping of train, test, kind, at_most, reason"),
        ("overlaps: [{train: a, tets: b}]", "unknown key 'tets'; did you mean 'test'"),
        ("overlaps: [{train: a, test: b, kind: id, at_most: 3}]", "no 'reason'"),
        ("overlaps: [{train: a, test: b, kind: id, at_most: '3', reason: x}]", "at_most is '3'; expected a number"),
        ("overlaps: [{train: a, test: b, kind: id, at_most: yes, reason: x}]", "at_most is True"),
        ("overlaps: [{train: a, test: b, kind: id, at_most: 0, reason: x}]", "at_most is 0"),
        ("overlaps: [{train: a, test: b, kind: id, at_most: 3, reason: ' '}]", "reason is ' '; expected text"),
        ("overlaps: [{train: a, test: b, kind: caption, at_most: 3, reason: x}]", "reported and never refused"),
        ("overlaps: [", r"leaks.yaml:\d: not YAML"),
    ],
)
def test_declarations_are_strict(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "leaks.yaml"
    path.write_text(text)
    with pytest.raises(EspretError, match=expected):
        load_declared(path)


def test_usage_errors_and_missing_directories(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["da ta/train"], ["a", "b", "--train", "c"], ["--train", "a"], ["--test", "a"]):
        with pytest.raises(SystemExit, match="2"):
            main(["leaks", *words])
    assert main(["leaks", "da ta/train", "nowhere"]) == 1
    assert "nowhere/wav.scp: no such file" in capsys.readouterr().err


def test_a_directory_that_a_step_still_writes_has_its_final_name() -> None:
    assert Side("data/train.partial", directory(TRAIN)).name == "train"


# The known cases of the published lists.


@pytest.fixture(scope="module")
def lists() -> Path:
    root = os.environ.get("ESPRET_TEST_DATA")
    if not root:
        pytest.skip("ESPRET_TEST_DATA is not set")
    return Path(root, "csv")


def queryd(lists: Path, name: str, split: str) -> Side:
    """A split of the published lists; the YouTube id of a key is its first 11 characters (after `video-`)."""
    keys = (lists / "audio_retrieval_splits" / name / f"{split}_list.txt").read_text().split()
    return side(split, {key: ([], [f"youtube:{key.removeprefix('video-')[:11]}"]) for key in keys})


def test_segments_of_one_video_are_in_train_and_test(lists: Path) -> None:
    train = queryd(lists, "querydsegments", "train")
    for split, shared, videos, clips in (("test", 737, 791, 1954), ("val", 752, 813, 1952)):
        other = queryd(lists, "querydsegments", split)
        [found] = overlaps(train, other)
        assert (found.kind, found.shared, len(set(other.keys["youtube"].keys))) == ("youtube", shared, videos)
        assert found.of_test == clips and found.shared < found.in_test < clips
    assert overlaps(queryd(lists, "queryd", "train"), queryd(lists, "queryd", "test")) == []


def audiocaps_rows(lists: Path, split: str) -> list[tuple[str, str]]:
    """(YouTube id, caption) of each row."""
    with open(lists / "audiocaps_v1" / f"{split}.csv", encoding="utf-8", newline="") as stream:
        return [(row["youtube_id"], row["caption"]) for row in csv.DictReader(stream)]


def audiocaps(lists: Path, split: str) -> Side:
    clips: dict[str, tuple[list[str], list[str]]] = {}
    for clip, caption in audiocaps_rows(lists, split):
        clips.setdefault(clip, ([], [f"youtube:{clip}"]))[0].append(caption)
    return side(split, clips)


def test_audiocaps_shares_captions_but_no_clips(lists: Path) -> None:
    train, valid, test = (audiocaps(lists, split) for split in ("train", "val", "test"))
    # 404 and 216 where only case and a final period are ignored; the others differ in commas and hyphens.
    [found] = overlaps(train, test)
    assert (found.kind, found.in_test, found.of_test) == ("caption", 409, 4875)
    [found] = overlaps(train, valid)
    assert (found.kind, found.in_test, found.of_test) == ("caption", 217, 2475)
    assert overlaps(valid, test)[0].kind == "caption"
    assert (test.ambiguous, test.sentences) == (229, 71)
    plain = {caption.lower().removesuffix(".") for _, caption in audiocaps_rows(lists, "train")}
    assert sum(caption.lower().removesuffix(".") in plain for _, caption in audiocaps_rows(lists, "test")) == 404


def clotho(lists: Path, split: str) -> Side:
    """A split with the Freesound ids that are known of it."""
    rows = json.loads(gzip.decompress((lists / "wavcaps_clotho_json" / f"retrieval_{split}.json.gz").read_bytes()))
    clips: dict[str, tuple[list[str], list[str]]] = {}
    for number, row in enumerate(rows["data"], 1):
        origins = [f"freesound:{row['id']}"] if row["id"].isdigit() else []
        clips[f"clotho-{split}-{number:05d}"] = ([row[f"caption_{k}"] for k in range(1, 6)], origins)
    return side(split, clips)


def test_clotho_shares_captions_and_a_few_sounds_between_its_splits(lists: Path) -> None:
    train, valid, test = (clotho(lists, split) for split in ("train", "val", "test"))
    assert [made.clips - made.known("freesound") for made in (train, valid, test)] == [8, 6, 5]
    found = {(o.train, o.test, o.kind): o for a, b in ((train, test), (train, valid)) for o in overlaps(a, b)}
    assert found["train", "test", "caption"].in_test == 13
    assert (found["train", "test", "freesound"].shared, found["train", "val", "freesound"].shared) == (1, 2)


def blacklist(lists: Path, name: str) -> dict[str, list[str]]:
    packed = (lists / "wavcaps" / f"blacklist_exclude_{name}.json.gz").read_bytes()
    return dict(json.loads(gzip.decompress(packed)))


def test_clotho_and_audiocaps_are_found_in_what_wavcaps_excludes(lists: Path) -> None:
    listed = blacklist(lists, "all_ac")
    clips: dict[str, tuple[list[str], list[str]]] = {
        f"wc-fs-{i}": ([], [f"freesound:{i}"]) for i in listed["FreeSound"]
    }
    clips |= {f"wc-as-{i}": ([], [f"youtube:{i[1:12]}"]) for i in listed["AudioSet"]}
    wavcaps = side("wavcaps", clips)
    for split, known in (("train", 3831), ("val", 1039), ("test", 1040)):
        made = clotho(lists, split)
        found = {overlap.kind: overlap for overlap in overlaps(wavcaps, made)}
        assert found["freesound"].in_test == made.known("freesound") == known
    found = {overlap.kind: overlap for overlap in overlaps(wavcaps, audiocaps(lists, "test"))}
    assert (found["youtube"].shared, found["youtube"].of_test) == (957, 975)  # 18 test clips are in no blacklist


def test_sounds_of_esc50_in_clotho(lists: Path) -> None:
    with open(lists.parent / "audio" / "manifest.csv", encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["dataset"] == "ESC-50"]
    esc = side("esc50", {Path(row["file"]).stem: ([], [f"freesound:{row['group']}"]) for row in rows})
    shared = [overlap.shared for split in ("train", "val", "test") for overlap in overlaps(esc, clotho(lists, split))]
    assert (len(rows), sum(shared)) == (400, 23)
