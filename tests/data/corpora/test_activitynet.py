import json
import os
import re
import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from espret.data.corpora import activitynet
from espret.data.corpora.activitynet import ActivityNet, read_captions
from espret.data.corpus import Asked
from espret.data.datadir import DataDir
from espret.data.ids import check_id
from espret.data.prepare import prepare
from espret.errors import EspretError

TRAIN = [f"v_{video}" for video in ("-a_b-c_d-e_", "_bbbbbbbbbb", "ccccccccccc", "ddddddddddd", "eeeeeeeeeee")]
VAL = ["v_fffffffffff", "v_--gggggg-_g", "v_hhhhhhhhhhh"]
LISTS = {"train": TRAIN, "val_1": VAL, "val_2": VAL[:2]}


def told(name: str, key: str) -> dict:
    return {
        "duration": 80.5,
        "timestamps": [[0, 9.1], [9, 80.5]],
        "sentences": [f" {name} {key[2:5]} runs. ", "He\nsits."],
    }


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """The official layout with small lists, in a folder of archives; a table says that these are meant."""
    monkeypatch.setattr(activitynet, "HELD_OUT", 2)
    archives = tmp_path / "it's archives"
    (archives / "lists").mkdir(parents=True)
    with zipfile.ZipFile(archives / "captions.zip", "w") as captions:
        for name, keys in LISTS.items():
            (archives / "lists" / f"{name}_list.txt").write_text("".join(f"{key}\n" for key in keys))
            captions.writestr(f"{name}.json", json.dumps({key: told(name, key) for key in [*keys, "v_unlisted-__"]}))
        captions.writestr("train_ids.json", "[]")
    table = tmp_path / "own.tsv"
    table.write_text("name\turl\tbytes\tdigest\n" + "".join(f"lists/{name}_list.txt\t-\t-\t-\n" for name in LISTS))
    splits = ("train", "valid", "val_1")
    return Asked(splits, downloads=tmp_path / "down loads", archives=archives, sources=table)


def prepared(asked: Asked) -> dict[str, list]:
    """The clips by split, brought and read."""
    ActivityNet().fetch(asked)
    found: dict[str, list] = {split: [] for split in asked.splits}
    for clip in ActivityNet().clips(asked):
        found[clip.split].append(clip)
    return found


def test_the_sentences_of_a_video_are_one_caption_and_no_sound_is_needed(asked):
    found = prepared(replace(asked, splits=("val_1", "val_2")))
    first = found["val_1"][0]
    assert (first.id, first.name, first.origins) == (VAL[0], VAL[0], ("youtube:fffffffffff",))
    assert first.captions == ["val_1 fff runs. He sits."] and first.path is None and first.why == ""
    assert [clip.captions[0][:5] for clip in found["val_2"]] == ["val_2", "val_2"]
    assert [check_id(clip.id, "") for clip in found["val_1"]] == VAL


def test_the_validation_set_is_held_out_of_train(asked):
    found = prepared(asked)
    valid = sorted(TRAIN, key=lambda key: sha256(key.encode()).hexdigest())[:2]
    assert {clip.id for clip in found["valid"]} == set(valid)
    assert [clip.id for clip in found["train"]] == [key for key in TRAIN if key not in valid], "in the list's order"
    path = asked.archives / "lists/train_list.txt"
    path.write_text("\n".join(reversed(TRAIN)))
    assert {clip.id for clip in prepared(asked)["valid"]} == set(valid), "whatever the order of the list"


def test_the_official_lists_have_no_validation_set(asked):
    found = prepared(replace(asked, splits=("train", "val_1"), variant="official"))
    assert [clip.id for clip in found["train"]] == TRAIN
    with pytest.raises(EspretError, match="no split 'valid'.*mend: --variant held-out"):
        prepared(replace(asked, variant="official"))
    assert not ActivityNet().provides("valid_official")


def test_with_sound_a_video_without_one_is_missing(asked, tmp_path):
    folder = tmp_path / "sounds"
    for name in ("v_fffffffffff.m4a", "x/--gggggg-_g.flac"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    first, second, third = prepared(replace(asked, audio_dir=folder))["val_1"]
    assert (first.path.name, second.path.name, third.path) == ("v_fffffffffff.m4a", "--gggggg-_g.flac", None)
    assert "no file named v_hhhhhhhhhhh or hhhhhhhhhhh" in third.why


def test_a_video_without_sentences_is_missing(asked):
    (asked.archives / "lists/val_1_list.txt").write_text("v_zzzzzzzzzzz\n")
    (clip,) = prepared(asked)["val_1"]
    assert clip.captions == [] and clip.why == "no sentences in val_1.json"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "found '[]'; expected an object by key"),
        ({"v_a": ["x"]}, "'v_a': found \"['x']\"; expected an object with a list 'sentences'"),
        ({"v_a": {"sentences": "x"}}, "expected an object with a list 'sentences'"),
        ({"v_a": {"sentences": ["x", 1]}}, "expected an object with a list 'sentences'"),
    ],
)
def test_captions_of_another_form(tmp_path, value, message):
    path = tmp_path / "train.json"
    path.write_text(json.dumps(value))
    with pytest.raises(EspretError, match=re.escape(f"{path}: ")) as error:
        read_captions(path)
    assert message in str(error.value)


def test_an_archive_without_the_captions(asked):
    with zipfile.ZipFile(asked.archives / "captions.zip", "w") as captions:
        captions.writestr("readme.txt", "")
    with pytest.raises(EspretError, match="no file train.json in it"):
        prepared(asked)


def test_data_directories_for_imported_features(asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.py").write_text(
        "from espret.data.corpora.activitynet import ActivityNet\nCORPORA = [ActivityNet()]\n"
    )
    ActivityNet().fetch(asked)
    directories = {split: tmp_path / "data" / split for split in asked.splits}
    result = prepare("data.py", directories, "work", "issues.tsv", "activitynet", asked)
    assert result.issues == [] and result.clips == {"train": 3, "valid": 2, "val_1": 3}
    assert DataDir.load(directories["val_1"]).utt2origin["v_fffffffffff"] == ["youtube:fffffffffff"]


def test_the_real_lists(tmp_path):
    if "ESPRET_TEST_DATA" not in os.environ:
        pytest.skip("ESPRET_TEST_DATA is not set")
    archives = tmp_path / "archives"
    (archives / "lists").mkdir(parents=True)
    source = Path(os.environ["ESPRET_TEST_DATA"]) / "csv/audio_retrieval_splits/activity-net"
    with zipfile.ZipFile(archives / "captions.zip", "w") as captions:
        for path in source.glob("*_list.txt"):
            (archives / "lists" / path.name).write_bytes(path.read_bytes())
            keys = path.read_text().splitlines()
            captions.writestr(
                path.name.replace("_list.txt", ".json"), json.dumps({k: {"sentences": ["x"]} for k in keys})
            )
    asked = Asked(("train", "valid", "val_1", "val_2"), downloads=tmp_path / "downloads", archives=archives)
    corpus, found = ActivityNet(), prepared(asked)
    assert not corpus.own(asked)
    assert [len(clips) for clips in found.values()] == [9509, 500, 4917, 4885]
    assert [corpus.expected(*corpus.parse(split, "")) for split in asked.splits] == [9509, 500, 4917, 4885]
    assert [corpus.expected(*corpus.parse(split, "official")) for split in ("train", "val_1")] == [10009, 4917]
    train, valid, val_1, val_2 = ({clip.id for clip in clips} for clips in found.values())
    assert not train & valid and not (train | valid) & val_1 and val_2 < val_1
