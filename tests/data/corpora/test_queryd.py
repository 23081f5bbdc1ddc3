import io
import json
import os
import pickle
import re
import tarfile
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from whole_recipes import ROOT

from espret.data.corpora import videos
from espret.data.corpora.queryd import QuerYD
from espret.data.corpora.youdescribe import Times, read_captions
from espret.data.corpus import Asked
from espret.data.datadir import DataDir
from espret.data.ids import check_id
from espret.data.leaks import Overlap, load_declared, reason
from espret.data.prepare import prepare
from espret.errors import EspretError

# Six videos with ids of every kind, and the names of their narrations' sound files in every form there is.
A, B, C, D, E, F = "-a_b-c_d-e_", "_bbbbbbbbbb", "ccccc-cc_cc", "ddddddddddd", "eeeeeeeeeee", "fffffffffff"
HEX = "5ce7a0f739770c52107c62c"
LISTS = {
    "paragraphs/train_list.txt": [f"video-{A}", f"video-{B}"],
    "paragraphs/val_list.txt": [f"video-{C}", f"video-{D}"],
    "paragraphs/test_list.txt": [f"video-{E}", f"video-{F}"],
    "segments/train_list.txt": [f"{A}-{A}_{HEX}1", f"{E}-14129634549391", f"{C}-{C}_{HEX}2"],
    "segments/val_list.txt": [f"{A}-{A}-27-1-0-10-0", f"{D}-{D}_{HEX}3"],
    "segments/test_list.txt": [f"{E}-1412963454939", f"{A}-{A}_{HEX}4"],
}
TIMES = {  # the last two narrate a picture that stands still, and have no end
    A: {f"{A}_{HEX}1.wav": (1.5, 4), f"{A}-27-1-0-10-0.mp3": (-0.2, "7.25"), f"{A}_{HEX}4.wav": (3, 3)},
    C: {f"{C}_{HEX}2.wav": (2, None)},
    E: {"14129634549391.mp3": (0, 10), "1412963454939.mp3": (10, 20.5)},
}


def words(key: str) -> list[list[str]]:
    return [["a", "man"], [], ["walks", key.lower()[:3]]]


def answer(clips: dict[str, tuple]) -> dict:
    told = [{"file_name": name, "start_time": start, "end_time": end} for name, (start, end) in clips.items()]
    unfinished = {"file_name": None, "start_time": 0, "end_time": 1}
    descriptions = [{"audio_clips": [clip]} for clip in (unfinished, *told)]
    return {"status": 200, "result": {"audio_descriptions": descriptions}}


def tar(path: Path, name: str, content: bytes) -> None:
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    """The official layout with small lists, in a folder of archives; a table says that these are meant."""
    archives = tmp_path / "the user's archives"
    for name, keys in LISTS.items():
        path = archives / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{key}\n" for key in keys))
    transcripts = {key: words(key) for name, keys in LISTS.items() if "par" in name for key in keys}
    (archives / "raw_captions_combined_filtered-v1.pkl").write_bytes(pickle.dumps(transcripts, protocol=4))
    (archives / "raw_captions_combined_filtered-v2.pkl").write_bytes(pickle.dumps({f"video-{A}": words("v2")}))
    segments = {key: words(key) for name, keys in LISTS.items() if "seg" in name for key in keys}
    inner = "data/QuerYDSegments/structured-symlinks/structured-symlinks/split_raw_captions_filtered.pkl"
    tar(archives / "QuerYDSegments-experts.tar.gz", inner, pickle.dumps(segments, protocol=2))
    with zipfile.ZipFile(archives / "json_metadata-v1.zip", "w") as metadata:
        for video, clips in TIMES.items():
            metadata.writestr(f"describe-api-results/assets-{video}.json", json.dumps(answer(clips)))
    table = tmp_path / "sources.tsv"
    names = [*LISTS, "QuerYDSegments-experts.tar.gz"]
    table.write_text("name\turl\tbytes\tdigest\n" + "".join(f"{name}\t-\t-\t-\n" for name in names))
    splits = ("train", "valid", "test")
    return Asked(
        splits, downloads=tmp_path / "down loads", archives=archives, sources=table, audio_dir=sounds(tmp_path)
    )


def sounds(tmp_path: Path) -> Path:
    """A sound for all but one video, under each of the names, with formats mixed and in folders."""
    folder = tmp_path / "sounds; & more"
    for name in (f"video-{A}.webm", f"x/Y{B}.flac", f"{C}.WAV", f"video-{D}.m4a", f"x/y/{E}.mp3"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def prepared(asked: Asked) -> dict[str, list]:
    """The clips by split, brought and read."""
    QuerYD().fetch(asked)
    found: dict[str, list] = {split: [] for split in asked.splits}
    for clip in QuerYD().clips(asked):
        found[clip.split].append(clip)
    return found


def test_paragraphs(asked):
    found = prepared(asked)
    first, second = found["train"]
    assert (first.id, first.name, first.origins) == (f"q-{A}", f"video-{A}", (f"youtube:{A}",))
    assert first.captions == ["a man walks vid"] and Path(first.path).name == f"video-{A}.webm"
    assert (first.recording, first.start, first.end, first.why) == ("", None, None, "")
    assert Path(second.path).name == f"Y{B}.flac"
    assert found["test"][1].path is None and f"no file named {F} or video-{F} or Y{F} in" in found["test"][1].why
    assert {check_id(clip.id, "") for clips in found.values() for clip in clips} == {
        f"q-{v}" for v in (A, B, C, D, E, F)
    }


def test_segments_have_the_stretch_that_their_narration_is_about(asked):
    found = prepared(replace(asked, variant="segments"))
    first, second, third = found["train"]
    assert re.fullmatch(f"qs-{A}-[0-9a-f]{{8}}", first.id) and first.recording == f"q-{A}"
    assert (first.start, first.end, Path(first.path).name) == (1.5, 4.0, f"video-{A}.webm")
    assert (second.start, second.end) == (0.0, 10.0)
    assert third.path is None and "its times are int 2 and NoneType; expected seconds" in third.why
    sooner, unknown = found["valid"]
    assert (sooner.start, sooner.end) == (0.0, 7.25), "times may be text; before the beginning is the beginning"
    assert unknown.path is None and unknown.why == f"no assets-{D}.json to tell its times"
    later, standing = found["test"]
    assert (later.start, later.end) == (10.0, 20.5)
    assert standing.path is None and standing.why == "it is told of no stretch: start 3 s, end 3 s"
    assert len({clip.id for clips in found.values() for clip in clips}) == 7


def test_by_video_divides_segments_as_paragraphs_are(asked):
    asked = replace(asked, splits=("train_segments.by-video", "valid_segments.by-video", "test_segments.by-video"))
    found = {split.split("_")[0]: [clip.name for clip in clips] for split, clips in prepared(asked).items()}
    by_list = {name: LISTS[f"segments/{name}_list.txt"] for name in ("train", "val", "test")}
    assert found["train"] == [by_list["train"][0], by_list["val"][0], by_list["test"][1]]
    assert found["valid"] == [by_list["train"][2], by_list["val"][1]]
    assert found["test"] == [by_list["train"][1], by_list["test"][0]]


def test_a_segment_of_a_video_without_a_paragraph_cannot_be_divided_by_video(asked):
    (asked.archives / "segments/test_list.txt").write_text("ggggggggggg-1412963454939\n")
    with pytest.raises(EspretError, match="test_list.txt: the video of segment 'ggggggggggg-1412963454939'"):
        prepared(replace(asked, variant="segments by-video"))


def test_videos_that_v2_lacks_are_missing_and_counted(asked):
    found = prepared(replace(asked, variant="v2"))
    assert found["train"][0].captions == ["a man walks v2"]
    assert [len(clips) for clips in found.values()] == [2, 2, 2]
    assert {clip.why for clip in found["test"]} == {"not in the transcripts of v2"}


def test_a_video_of_which_no_word_was_understood_is_missing(asked):
    (asked.archives / "raw_captions_combined_filtered-v1.pkl").write_bytes(pickle.dumps({f"video-{A}": [[], [" "]]}))
    first, _ = prepared(asked)["train"]
    assert first.captions == [] and first.path is None and first.why == "no words in the transcripts of v1"


def test_the_second_run_brings_nothing_anew(asked):
    asked = replace(asked, variant="segments")
    first = prepared(asked)
    before = {path: path.stat().st_mtime_ns for path in asked.downloads.rglob("*")}
    assert prepared(asked) == first
    assert {path: path.stat().st_mtime_ns for path in asked.downloads.rglob("*")} == before


def test_sound_from_archives(asked):
    with zipfile.ZipFile(asked.archives / "my sounds.zip", "w") as archive:
        archive.writestr(f"deep/video-{A}.opus", b"")
    found = prepared(replace(asked, audio_dir=None))
    assert Path(found["train"][0].path).name == f"video-{A}.opus"
    assert found["train"][1].path is None and str(asked.downloads) in found["train"][1].why


def test_sound_from_a_split_zip(asked, monkeypatch):
    calls = []

    def extract(paths, target):
        calls.append([path.name for path in paths])
        target.mkdir()

    monkeypatch.setattr("espret.data.archives.extract.extract", extract)
    asked = replace(asked, audio_dir=None)
    for name in ("x.zip", "x.Z02", "x.z01"):
        (asked.archives / name).write_bytes(b"")
    prepared(asked)
    assert [sorted(names) for names in calls] == [["x.Z02", "x.z01", "x.zip"]]


def test_sound_from_youtube_for_what_is_missing(asked, monkeypatch):
    calls = []

    def fetch_clips(wanted, into, jobs, cookies):
        calls.append((list(wanted), jobs, cookies))
        into.mkdir(parents=True, exist_ok=True)
        (into / f"Y{E}.flac").write_bytes(b"")
        (into / "states.jsonl").write_text(json.dumps({"id": F, "state": "private"}) + "\n")

    (asked.audio_dir / f"x/y/{E}.mp3").unlink()
    monkeypatch.setattr(videos, "fetch_clips", fetch_clips)
    found = prepared(replace(asked, youtube=True, youtube_jobs=2, cookies="browser:firefox"))
    wanted = [(E, 0.0, None), (F, 0.0, None)]
    assert calls == [(wanted, 2, "browser:firefox")], "whole videos, and only those without a file"
    assert Path(found["test"][0].path).name == f"Y{E}.flac"
    assert found["test"][1].why.endswith("; YouTube: private")
    assert Path(found["train"][0].path).parent == asked.audio_dir


def test_features_alone_need_no_sound(asked, capsys):
    found = prepared(replace(asked, audio_dir=None, variant="segments"))
    assert "for imported features" in capsys.readouterr().err
    clips = [clip for clips in found.values() for clip in clips]
    assert len(clips) == 7 and all(clip.path is None and clip.why == "" and clip.captions for clip in clips)


def test_features_may_lie_in_the_corpus_part_of_the_folder(asked, capsys):
    part = asked.archives / "queryd"
    part.mkdir()
    (asked.archives / "QuerYDSegments-experts.tar.gz").rename(part / "QuerYDSegments-experts.tar.gz")
    assert prepared(replace(asked, audio_dir=None, variant="segments")) and "imported" in capsys.readouterr().err


def test_archives_of_another_corpus_are_none_of_sound(asked):
    (asked.archives / "clotho_audio_development.7z").write_bytes(b"12 GB")
    with zipfile.ZipFile(asked.archives / "my sounds.zip", "w") as archive:
        archive.writestr(f"{A}.opus", b"")
    assert prepared(replace(asked, audio_dir=None))["train"][0].path is not None


def test_without_any_sound_the_ways_to_get_some_are_named(asked):
    (asked.archives / "QuerYDSegments-experts.tar.gz").unlink()
    with pytest.raises(EspretError) as error:
        prepared(replace(asked, audio_dir=None))
    for way in (
        f"in {asked.archives} there is no archive of sound",
        "--audio-dir DIR",
        "--archives DIR",
        "--youtube true",
    ):
        assert way in str(error.value)
    assert "video-<id>" in str(error.value) and "QuerYDSegments-experts*.tar.gz" in str(error.value)
    assert not asked.downloads.exists(), "said before anything is fetched"


def test_data_directories_of_segments(asked, tmp_path, monkeypatch, write_tone):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.py").write_text("from espret.data.corpora.queryd import QuerYD\nCORPORA = [QuerYD()]\n")
    asked = replace(asked, variant="segments", audio_dir=tmp_path / "wav")
    for video in (A, E):
        write_tone(f"wav/{video}.wav", seconds=12)
    QuerYD().fetch(asked)
    directories = {split: tmp_path / "data" / split for split in asked.splits}
    result = prepare("data.py", directories, "work", "issues.tsv", "queryd", asked)
    train, test = DataDir.load(directories["train"]), DataDir.load(directories["test"])
    assert sorted(result.clips.values()) == [2, 2, 3] and len(result.issues) == 3
    assert sorted(train.wav_scp) == [f"q-{A}", f"q-{E}"]
    assert sorted(train.segments.values()) == [(f"q-{A}", 1.5, 4.0), (f"q-{E}", 0.0, 10.0)]
    assert list(test.segments.values()) == [(f"q-{E}", 10.0, 12.0)], "cut where the video ends"
    assert train.about["variant"] == "segments.v1.official.own"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_transcripts_of_every_protocol(tmp_path, protocol):
    path = tmp_path / "it's.pkl"
    path.write_bytes(pickle.dumps({"k": [["two", "words"], ("more",)], "none": []}, protocol=protocol))
    assert read_captions(path) == {"k": "two words more", "none": ""}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1], "found list; expected a dict"),
        ({1: []}, "key int 1; expected a string"),
        ({"k": "a text"}, "'k': found str 'a text'; expected a list of captions"),
        ({"k": ["a text"]}, "'k': found str 'a text'; expected a list of captions"),
        ({"k": [["word", 3]]}, "'k': found int 3 in a caption; expected words"),
    ],
)
def test_transcripts_of_another_form(tmp_path, value, message):
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(value))
    with pytest.raises(EspretError, match=re.escape(f"{path}: ")) as error:
        read_captions(path)
    assert message in str(error.value)


class Evil:
    def __reduce__(self):
        return os.system, ("false",)


def test_a_transcript_that_would_run_a_command(tmp_path):
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps({"k": Evil()}))
    with pytest.raises(EspretError, match="system"):
        read_captions(path)


@pytest.mark.parametrize(
    "text", ['"not found"', "{}", '{"result": null}', '{"result": {"audio_descriptions": [{"audio_clips": 3}, 4]}}']
)
def test_an_answer_without_narrations(tmp_path, text):
    (tmp_path / f"assets-{A}.json").write_text(text)
    assert Times(tmp_path).of(A, "1").why == f"no narration 1 in assets-{A}.json"


def test_an_answer_that_is_damaged(tmp_path):
    (tmp_path / f"assets-{A}.json").write_text('{"result": ')
    with pytest.raises(EspretError, match=re.escape(f"assets-{A}.json:1: not JSON")):
        Times(tmp_path).of(A, "1")


@pytest.mark.parametrize("value", ["NaN", "1e999", True, "x", [1], 10**400])
def test_times_that_are_no_seconds(tmp_path, value):
    (tmp_path / f"assets-{A}.json").write_text(json.dumps(answer({"1.wav": (0, value)})))
    assert "expected seconds" in Times(tmp_path).of(A, "1").why


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("paragraphs", "video-short", "found 'video-short'; expected a key such as video-<id>"),
        ("paragraphs", f"video-{A}", f"'video-{A}' again, first in line 1"),
        ("segments", f"{A}-{B}_{HEX}1", f"found '{A}-{B}_{HEX}1'; expected a key such as"),
        ("segments", f"{A}-../1", f"found '{A}-../1'; expected a key such as"),
        ("segments", "Möwe", "expected a key such as"),
        ("segments", "", "found ''; expected a key such as"),
    ],
)
def test_a_damaged_list(asked, name, line, message):
    path = asked.archives / name / "train_list.txt"
    first = path.read_text().splitlines()[0]
    path.write_text(f"{first}\n{line}\n", encoding="utf-8")
    with pytest.raises(EspretError, match=re.escape(f"{path}:2: ")) as error:
        prepared(replace(asked, variant=name))
    assert message in str(error.value)


def test_an_empty_list_and_one_with_other_line_ends(asked):
    path = asked.archives / "paragraphs/train_list.txt"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(prepared(asked)["train"]) == 2
    path.write_bytes(b"")
    with pytest.raises(EspretError, match="an empty file"):
        prepared(asked)


def test_lists_of_ones_own_are_told(asked):
    assert QuerYD().own(asked)
    assert not QuerYD().own(replace(asked, sources=None))


def test_expected():
    corpus = QuerYD()
    for variant, counts in {
        "": (1796, 384, 386),
        "by-video": (1796, 384, 386),
        "segments": (9113, 1952, 1954),
        "segments v2 by-video": (8896, 2404, 1719),
    }.items():
        assert tuple(corpus.expected(*corpus.parse(split, variant)) for split in corpus.splits) == counts


# ------------------------------------------------------------------------------------------------- the real lists


@pytest.fixture
def official(tmp_path: Path) -> Asked:
    """The real lists, with the sound of no video; transcripts and times of one word for each key."""
    if "ESPRET_TEST_DATA" not in os.environ:
        pytest.skip("ESPRET_TEST_DATA is not set")
    data = Path(os.environ["ESPRET_TEST_DATA"]) / "csv/audio_retrieval_splits"
    archives = tmp_path / "archives"
    for form, folder in (("paragraphs", "queryd"), ("segments", "querydsegments")):
        (archives / form).mkdir(parents=True)
        words = {}
        for path in sorted((data / folder).glob("*_list.txt")):
            (archives / form / path.name).write_bytes(path.read_bytes())
            words.update({key: [["word"]] for key in path.read_text().splitlines()})
        if form == "paragraphs":
            (archives / "raw_captions_combined_filtered-v1.pkl").write_bytes(pickle.dumps(words))
        else:
            tar(archives / "QuerYDSegments-experts-v1.tar.gz", "x/split_raw_captions_filtered.pkl", pickle.dumps(words))
    return Asked(("train", "valid", "test"), downloads=tmp_path / "downloads", archives=archives)


def videos_of(clips: list) -> set[str]:
    return {clip.origins[0] for clip in clips}


def test_the_official_lists(official):
    corpus = QuerYD()
    for variant in ("paragraphs", "segments", "segments by-video"):
        asked = replace(official, variant=variant)
        assert not corpus.own(asked)
        found = prepared(asked)
        counts = {split: corpus.expected(*corpus.parse(split, variant)) for split in asked.splits}
        assert {split: len(clips) for split, clips in found.items()} == counts
        ids = Counter(check_id(clip.id, "") for clips in found.values() for clip in clips)
        assert max(ids.values()) == 1
        train, valid, test = (videos_of(found[split]) for split in asked.splits)
        shared = (len(test), len(test & train), len(valid), len(valid & train), len(valid & test))
        expected = {"paragraphs": (386, 0, 384, 0, 0), "segments": (791, 737, 813, 752, 574)}
        assert shared == expected.get(variant, (200, 0, 222, 0, 0))


def test_what_official_segments_share_is_declared(official):
    declared = load_declared(ROOT / "egs/queryd/conf/leaks.yaml")
    found = prepared(replace(official, variant="segments"))
    for split in ("valid", "test"):
        shared = len(videos_of(found["train"]) & videos_of(found[split]))
        overlap = Overlap("train", split, "youtube", shared, 1, 1, 1, 1, ())
        assert reason(overlap, "segments.v1.official", declared)
        assert not reason(overlap, "segments.v1.by-video", declared)
        assert not reason(replace(overlap, shared=shared + 1), "segments.v1.official", declared)


def test_the_keys_of_the_official_lists(official):
    folder = official.archives
    keys = [key for path in sorted((folder / "segments").glob("*")) for key in path.read_text().splitlines()]
    kinds = Counter(re.sub(r"^.{11}-(?:.{11}_[0-9a-f]{24}|(\d+)|.{11}-.*)$", _kind, key) for key in keys)
    assert kinds == {"hex": 9257, "digits": 3745, "other": 17}
    paragraphs = [key for path in (folder / "paragraphs").glob("*") for key in path.read_text().splitlines()]
    assert sum(key.startswith("video--") for key in paragraphs) == 40


def _kind(match: re.Match) -> str:
    return "digits" if match[1] else "hex" if "_" in match[0][23:24] else "other"


def test_which_version_the_official_lists_are_of(official):
    data = Path(os.environ["ESPRET_TEST_DATA"]) / "csv/queryd"
    version = {v: _ids(data / f"relevant-video-links-{v}.txt") for v in ("v1", "v2")}
    for variant, missing in (("paragraphs", [1, 1, 0]), ("segments", [1, 1, 1])):
        found = prepared(replace(official, variant=variant))
        ids = [{origin.removeprefix("youtube:") for origin in videos_of(clips)} for clips in found.values()]
        assert [len(one - version["v1"]) for one in ids] == [0, 0, 0]
        assert [len(one - version["v2"]) for one in ids] == missing
        foreign = _ids(data / "relevant-non-en-links.txt")
        assert len(set.union(*ids) & foreign) == 4


def _ids(path: Path) -> set[str]:
    return {line.split("v=")[1] for line in path.read_text().splitlines()}
