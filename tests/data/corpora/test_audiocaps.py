"""AudioCaps: variants, captions and their defects, lists of clips, where sound is found.

The corpus is generated: captions in the published form, given in place of the official files by a table of one's own.
With ESPRET_TEST_DATA the real captions are read, and must be as many as is written of them.
"""

from __future__ import annotations

import functools
import gzip
import io
import json
import os
import shutil
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espret.data.corpora import audiocaps
from espret.data.corpora.audiocaps import AudioCaps
from espret.data.corpora.audiocaps_text import read_captions, read_list
from espret.data.corpus import Asked, Clip
from espret.data.prepare import prepare
from espret.data.sources.sources import TABLES
from espret.data.sources.table import read_download_table
from espret.errors import EspretError

HEADER = "audiocap_id,youtube_id,start_time,caption"
PLAIN, DASH, UNDERSCORE, WHY = "abcdefghijk", "-bcdefghij_", "a_c-efgh_j_", "Ybcdefghijk"
IDS = (PLAIN, DASH, UNDERSCORE, WHY)
STARTS = {PLAIN: 0, DASH: 30, UNDERSCORE: 130, WHY: 7}


def rows(ids: Sequence[str] = IDS, captions: int = 5, first: int = 100) -> list[str]:
    """Captions as published: those of one clip do not follow each other."""
    pairs = [(video, k) for k in range(1, captions + 1) for video in ids]
    return [f"{first + n},{video},{STARTS[video]},a dog barks {k}" for n, (video, k) in enumerate(pairs)]


def write(path: Path, lines: Sequence[str], end: str = "\r\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


@dataclass
class Folder:
    """A user's archives folder, with files in place of the official ones."""

    root: Path
    own: dict[str, Path] = field(default_factory=dict)

    def put(self, name: str, lines: Sequence[str], end: str = "\r\n") -> Path:
        self.own[name] = write(self.root / "archives" / name, lines, end)
        table = "".join(f"{name}\t-\t-\t-\n" for name in self.own)
        (self.root / "own.tsv").write_text(f"name\turl\tbytes\tdigest\n{table}")
        return self.own[name]

    def sound(self, *names: str, seconds: float = 0.1) -> None:
        """Sound files in the folder of --audio-dir."""
        for name in names:
            path = self.root / "my sound" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, np.full(round(8000 * seconds), 0.1), 8000)

    def asked(self, *splits: str, **options: object) -> Asked:
        (self.root / "my sound").mkdir(exist_ok=True)
        asked = Asked(
            splits or ("test",),
            downloads=self.root / "down loads",
            archives=self.root / "archives",
            audio_dir=self.root / "my sound",
            sources=self.root / "own.tsv",
        )
        return replace(asked, **options)  # type: ignore[arg-type]

    def clips(self, *splits: str, **options: object) -> dict[str, Clip]:
        asked = self.asked(*splits, **options)
        AudioCaps().fetch(asked)
        return {clip.id: clip for clip in AudioCaps().clips(asked)}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """One with four test and four training clips."""
    (tmp_path / 'it\'s "mine" ; x').mkdir()
    made = Folder(tmp_path / 'it\'s "mine" ; x')
    made.put("dataset/test.csv", [HEADER, *rows()])
    made.put("dataset/train.csv", [HEADER, *rows(captions=1)])
    return made


@pytest.fixture
def captions(tmp_path: Path) -> Callable[..., Path]:
    """captions(row, ..., end="\r\n") -> a caption file with these rows."""
    return lambda *lines, end="\r\n": write(tmp_path / "t.csv", [HEADER, *lines], end)


def read(path: Path, bad_caption: str = "error", per_clip: int | None = None) -> dict[str, list[str]]:
    return {key: clip.captions for key, clip in read_captions(path, bad_caption, per_clip, Counter()).items()}


# ------------------------------------------------------------------------------------------------------- captions
def test_clips_are_grouped_by_video_in_the_order_of_the_file(folder):
    clips = folder.clips()
    assert list(clips) == [f"Y{video}" for video in IDS]
    assert clips[f"Y{DASH}"].captions == [f"a dog barks {k}" for k in range(1, 6)]
    assert clips[f"Y{DASH}"].name == f"{DASH}_30"
    assert clips[f"Y{DASH}"].origins == (f"youtube:{DASH}",)


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_line_ends_of_v1_and_v2(captions, end):
    assert read(captions(f"1,{PLAIN},0,rain", f"2,{DASH},3,wind", end=end)) == {PLAIN: ["rain"], DASH: ["wind"]}


@pytest.mark.parametrize("caption", ["a|b; c (d)", "it\u2019s raining", "two  blanks, man speask", " rain."])
def test_captions_stay_as_they_are(captions, caption):
    assert read(captions(f'1,{PLAIN},0,"{caption}"'), per_clip=1) == {PLAIN: [caption]}


def test_one_caption_may_be_said_of_two_clips_and_twice_of_one(captions):
    path = captions(f"1,{PLAIN},0,rain", f"2,{PLAIN},0,rain", f"3,{DASH},0,rain")
    assert read(path) == {PLAIN: ["rain", "rain"], DASH: ["rain"]}


@pytest.mark.parametrize("none", ["On|on", "The link is broken", "Video not available"])
def test_what_is_known_to_be_no_caption_is_left_out_by_name(folder, capsys, none):
    folder.put("dataset/train.csv", [HEADER, f"1,{PLAIN},0,{none}", f"2,{DASH},30,rain"])
    folder.sound(f"Y{PLAIN}.wav", f"Y{DASH}.wav")
    clips = folder.clips("train")
    assert (clips[f"Y{PLAIN}"].captions, clips[f"Y{PLAIN}"].path) == ([], None)
    assert clips[f"Y{PLAIN}"].why == f"no caption: {none!r} is none"
    assert clips[f"Y{DASH}"].path
    assert f"train.csv: {none!r} is no caption and left out (1)" in capsys.readouterr().err
    assert folder.clips("train", bad_caption="keep")[f"Y{PLAIN}"].captions == [none]


@pytest.mark.parametrize("caption", ["", "  "])
def test_an_empty_caption(captions, caption):
    path = captions(f"1,{PLAIN},0,rain", f"2,{PLAIN},0,{caption}")
    for policy in ("error", "keep"):
        with pytest.raises(EspretError, match=r"t\.csv:3: the caption of 'abcdefghijk' is empty; .*--bad-caption drop"):
            read(path, policy)
    assert read(path, "drop") == {PLAIN: ["rain"]}


def test_another_number_of_captions(captions):
    path = captions(*rows(captions=5)[:-1])
    with pytest.raises(EspretError, match=rf"t\.csv:5: clip '{WHY}' has 4 captions; expected 5; mend: .*keep"):
        read(path, per_clip=5)
    assert len(read(path, "keep", 5)[WHY]) == 4


def test_a_raw_line_end_in_a_caption(captions):
    with pytest.raises(EspretError, match=r"t\.csv:3: a line end within 'caption', 'rain\\nwind'"):
        read(captions(f"1,{PLAIN},0,rain", f'2,{DASH},0,"rain\nwind"', end="\n"))
    with pytest.raises(EspretError, match=r"t\.csv:3: 1 fields, 'wind'; expected 4"):
        read(captions(f"1,{PLAIN},0,rain", "wind", end="\n"))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (f"x,{PLAIN},0,rain", "'audiocap_id' is 'x'; expected a number"),
        ("2,short,0,rain", "'youtube_id' is 'short'; expected the 11 characters of a YouTube id"),
        ("2,abc/efghijk,0,rain", "'youtube_id' is 'abc/efghijk'"),
        (f"2,{DASH},1.5,rain", "'start_time' is '1.5'; expected whole seconds"),
        (f"2,{DASH},-1,rain", "'start_time' is '-1'"),
        (f"1,{DASH},0,rain", "'audiocap_id' '1' again, first in line 2"),
        (f"2,{PLAIN},9,rain", f"'{PLAIN}' starts at 9 s; expected 0 s as in .*t.csv:2"),
    ],
)
def test_malformed_rows(captions, row, message):
    with pytest.raises(EspretError, match=rf"t\.csv:3: {message}"):
        read(captions(f"1,{PLAIN},0,wind", row))


# ----------------------------------------------------------------------------------------------- variants and lists
def test_variants_and_their_counts():
    corpus = AudioCaps()

    def count(split: str, variant: str = "") -> int | None:
        return corpus.expected(*corpus.parse(split, variant))

    assert [count(split) for split in corpus.splits] == [49838, 495, 975]
    assert [count(split, "v2.ac957") for split in corpus.splits] == [49274, 494, 957]
    assert [count(split, "v1-fixed") for split in corpus.splits] == [49810, 495, 975]
    assert [count(split, "ac816") for split in corpus.splits] == [49291, 428, 816]
    assert [count("train", variant) for variant in ("v1-fixed.ac957", "v1-fixed.ac816", "v2")] == [49254, None, None]
    assert [count(split) for split in ("test_ac846", "test_v2.ac957", "valid_ac816")] == [846, 957, 428]


def test_every_file_is_in_the_download_table():
    table = read_download_table(TABLES / "audiocaps.tsv")
    names = [name for part in (audiocaps.CAPTIONS, audiocaps.LISTS) for of in part.values() for name in of.values()]
    assert set(table) == {*names, audiocaps.EXPERTS}


def test_a_split_that_the_variant_has_not(folder):
    with pytest.raises(EspretError, match="'train' of ac846 was asked for, which has test only; mend: .*test_ac846"):
        folder.clips("train", "test", variant="ac846")


def test_each_version_has_its_captions(folder):
    folder.put("dataset2.0/test.csv", [HEADER, *(row.replace("dog", "cat") for row in rows())], end="\n")
    folder.put("train_fixed.csv", [HEADER, *rows((DASH,), captions=1)])
    assert folder.clips("test_v2")[f"Y{DASH}"].captions[0] == "a cat barks 1"
    assert folder.clips("test", variant="v1-fixed")[f"Y{DASH}"].captions[0] == "a dog barks 1"
    assert list(folder.clips("train", variant="v1-fixed")) == [f"Y{DASH}"]


def test_training_clips_of_v2_have_any_number_of_captions(folder):
    folder.put("dataset2.0/train.csv", [HEADER, f"1,{PLAIN},0,rain", f"2,{PLAIN},0,wind", f"3,{DASH},30,rain"])
    assert [len(clip.captions) for clip in folder.clips("train_v2").values()] == [2, 1]


@pytest.mark.parametrize(
    ("split", "name", "lines"),
    [
        ("test_ac957", "AudioCaps/csv_files/test.csv", ["file_name,caption_1", f"Y{WHY}.wav,x", f"Y{DASH}.wav,x"]),
        ("train_ac957", "AudioCaps/csv_files/train.csv", ["file_name,caption", f"Y{WHY}.wav,x", f"Y{DASH}.wav,x"]),
        (
            "test_ac846",
            "dataset_stats/test_class_videoid_dict_all.json",
            [json.dumps({"Dog": [f"{WHY}_7000"], "Rain": [f"{DASH}_30000", f"{WHY}_7000"]})],
        ),
        ("test_ac816", "final_filtered_test_list.txt", [f"{WHY}_7000", f"{DASH}_30000"]),
    ],
)
def test_selections(folder, split, name, lines):
    folder.put(name, lines, end="\n")
    assert list(folder.clips(split)) == [f"Y{DASH}", f"Y{WHY}"]  # as the caption file has them


def test_the_results_tell_an_own_list(folder):
    assert AudioCaps().own(folder.asked("test"))
    assert not AudioCaps().own(folder.asked("valid"))
    folder.put("AudioCaps/csv_files/test.csv", ["file_name", f"Y{DASH}.wav"])
    table = folder.root / "own.tsv"
    table.write_text(table.read_text().replace("dataset/test.csv", "dataset/val.csv"))
    assert not AudioCaps().own(folder.asked("test"))
    assert AudioCaps().own(folder.asked("test_ac957"))


@pytest.mark.parametrize("video", IDS)
@pytest.mark.parametrize("form", ["{}", "Y{}", "{}_7", "{}_130000", "Y{}.wav"])
def test_a_clip_in_a_list_is_known_however_it_is_called(tmp_path, video, form):
    assert list(read_list(write(tmp_path / "list.txt", [form.format(video)]))) == [video]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abcdefghijk\nnot a clip\n", r":2: 'not a clip'; expected a clip as <YouTube id>"),
        ("abcdefghijk\n\n", r":2: ''; expected a clip"),
        ("abcdefghijk\nYabcdefghijk\n", r":2: clip 'abcdefghijk' again, first at .*:1"),
        ("file_name,x\nYabcdefghijk.wav,1\nYabcdefghi.wav,1\n", r":3: 'Yabcdefghi.wav'; expected a clip"),
        ('{"Dog": "abcdefghijk"}', "'Dog' has 'abcdefghijk'; expected a list of clips"),
        ('{"Dog": ["abc"]}', "'abc'; expected a clip as"),
        ('{"Dog": ', ":1: not JSON"),
        ("", "an empty list; expected a clip a line"),
    ],
)
def test_malformed_lists(tmp_path, text, message):
    path = tmp_path / "list.txt"
    path.write_text(text)
    with pytest.raises(EspretError, match=message):
        read_list(path)


def test_a_clip_of_the_list_that_has_no_captions(folder):
    folder.put("final_filtered_test_list.txt", [DASH, "zzzzzzzzzzz"])
    with pytest.raises(EspretError, match=r"test_list\.txt:2: 'zzzzzzzzzzz' is no clip of .*test\.csv.* 1 of the"):
        folder.clips("test_ac816")


def test_only_training_clips_of_v1_fixed_may_be_gone(folder, capsys):
    folder.put("train_fixed.csv", [HEADER, *rows((DASH,), captions=1)])
    folder.put("AudioCaps/csv_files/train.csv", ["file_name", f"Y{DASH}.wav", f"Y{PLAIN}.wav"])
    assert list(folder.clips("train", variant="v1-fixed ac957")) == [f"Y{DASH}"]
    assert "csv_files/train.csv: clips are not in train_fixed.csv (1)" in capsys.readouterr().err
    gone = [f"Y{number:011}.wav" for number in range(audiocaps.REMOVED + 1)]
    folder.put("AudioCaps/csv_files/train.csv", ["file_name", f"Y{DASH}.wav", *gone])
    with pytest.raises(EspretError, match="'00000000000' is no clip"):
        folder.clips("train", variant="v1-fixed ac957")


def experts(folder: Folder, members: dict[str, str]) -> Path:
    """The archive of experts in the archives folder, with these text files in it, and a large member before."""
    path = folder.root / "archives" / audiocaps.EXPERTS
    with tarfile.open(path, "w:gz") as archive:
        for name, text in {"vggish-raw.hickle": "x" * 100000, **members}.items():
            member = tarfile.TarInfo(f"data/AudioCaps/structured-symlinks/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


LISTS_816 = {
    "filtered_val_list.txt": f"{PLAIN}_0\n",
    "final_filtered_test_list.txt": f"{UNDERSCORE}_130000\n{DASH}_30000\n",
    "train_list.txt": f"{PLAIN}_0\n",
}


def test_the_lists_of_ac816_are_taken_out_of_the_archive_of_experts(folder):
    archive = experts(folder, LISTS_816)
    assert list(folder.clips("test_ac816")) == [f"Y{DASH}", f"Y{UNDERSCORE}"]
    archive.unlink()
    assert list(folder.clips("train_ac816")) == [f"Y{PLAIN}"]
    brought = {path.name for path in (folder.root / "down loads" / "audiocaps").iterdir() if path.is_file()}
    assert set(LISTS_816) <= brought and "vggish-raw.hickle" not in brought


def test_the_lists_of_ac816_may_lie_in_the_archives_folder(folder):
    (folder.root / "archives" / "final_filtered_test_list.txt").write_text(f"{DASH}_30000\n")
    assert list(folder.clips("test_ac816")) == [f"Y{DASH}"]


def test_a_damaged_archive_of_experts(folder):
    archive = experts(folder, LISTS_816)
    archive.write_bytes(archive.read_bytes()[:-60])
    with pytest.raises(EspretError, match=r"audio-only\.tar\.gz: not a whole tar archive: .*mend: fetch it again"):
        folder.clips("test_ac816")
    experts(folder, {"train_list.txt": PLAIN})
    with pytest.raises(EspretError, match=r"tar\.gz: has no filtered_val_list\.txt, final_filtered_test_list\.txt"):
        folder.clips("test_ac816")


# ---------------------------------------------------------------------------------------------------------- sound
@pytest.mark.parametrize(
    "name",
    [f"Y{DASH}.wav", f"{DASH}_30.flac", f"{DASH}_30000.ogg", f"{DASH}.wav", "101.wav", "105.mp3", f"a b/Y{DASH}.flac"],
)
def test_file_names(folder, name):
    folder.sound(name, f"{DASH}_31.wav", f"x{DASH}.wav")
    clips = folder.clips()
    assert clips[f"Y{DASH}"].path == folder.root / "my sound" / name
    assert clips[f"Y{PLAIN}"].path is None


def test_a_start_at_zero_and_an_id_that_begins_with_y(folder):
    folder.sound(f"{PLAIN}_0.wav", f"{WHY}.wav", f"Y{UNDERSCORE}.wav")
    found = {key: clip.path and clip.path.stem for key, clip in folder.clips().items()}
    expected = {PLAIN: f"{PLAIN}_0", WHY: WHY, UNDERSCORE: f"Y{UNDERSCORE}", DASH: None}
    assert found == {f"Y{video}": stem for video, stem in expected.items()}


def test_why_a_clip_is_missing(folder):
    why = folder.clips()[f"Y{DASH}"].why
    for name in (f"Y{DASH}", f"{DASH}_30", f"{DASH}_30000", "101", "my sound"):
        assert name in why
    assert folder.clips()[f"Y{PLAIN}"].why.startswith(f"no file named Y{PLAIN} or {PLAIN}_0 or {PLAIN} or 100 or ")


def test_a_whole_video_is_cut(folder, tmp_path):
    folder.sound(f"{DASH}.wav", seconds=36)
    folder.sound(f"{PLAIN}.wav", seconds=9.3)
    folder.sound(f"Y{WHY}.wav", seconds=13)  # by its name the clip: kept as it is, and remarked on
    clips = folder.clips()
    assert clips[f"Y{WHY}"].recording == ""
    cut, whole = clips[f"Y{DASH}"], clips[f"Y{PLAIN}"]
    assert (cut.recording, cut.start, cut.end) == (f"Y{DASH}", 30.0, 40.0)
    assert (whole.recording, whole.start, whole.end) == ("", None, None)
    local = tmp_path / "data.py"
    local.write_text("from espret.data.corpora.audiocaps import AudioCaps\nCORPORA = [AudioCaps()]\n")
    data, asked = tmp_path / "data", folder.asked()
    prepare(local, {"test": data}, tmp_path / "work", tmp_path / "issues.tsv", "audiocaps", asked)
    assert (data / "segments").read_text().splitlines()[0].split()[:2] == [f"Y{DASH}", f"Y{DASH}"]
    durations = dict(line.split() for line in (data / "utt2dur").read_text().splitlines())
    assert float(durations[f"Y{DASH}"]) == pytest.approx(6.0)  # the video ends before the clip does
    assert float(durations[f"Y{PLAIN}"]) == pytest.approx(9.3)
    assert "13.000 s long; expected 9 to 11 s" in (tmp_path / "issues.tsv").read_text()


def zipped(folder: Folder, archive: str, *names: str) -> Path:
    folder.sound(*names)
    path = folder.root / "archives" / archive
    with zipfile.ZipFile(path, "w") as stream:
        for name in names:
            stream.write(folder.root / "my sound" / name, f"wavs/{name}")
    shutil.rmtree(folder.root / "my sound")
    return path


def test_archives_of_sound_are_extracted_once(folder):
    zipped(folder, "wav files.zip", f"Y{DASH}.wav", f"{PLAIN}_0.flac")
    first = folder.clips(audio_dir=None)
    assert first[f"Y{DASH}"].path and first[f"Y{PLAIN}"].path and not first[f"Y{WHY}"].path
    before = first[f"Y{DASH}"].path.stat()
    again = folder.clips(audio_dir=None)[f"Y{DASH}"].path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (again.st_ino, again.st_mtime_ns)


def test_the_folder_of_sound_comes_before_archives(folder):
    zipped(folder, "wavs.zip", f"Y{DASH}.wav")
    assert folder.clips()[f"Y{DASH}"].path is None


def test_an_archive_of_experts_is_none_of_sound(folder):
    experts(folder, {**LISTS_816, f"Y{DASH}.wav": "x"})
    with pytest.raises(EspretError, match="in .*archives there is no archive of sound"):
        folder.clips(audio_dir=None)


def test_without_any_sound_the_ways_to_it_are_told(folder):
    asked = replace(folder.asked(), audio_dir=None)
    for work in (AudioCaps().fetch, lambda asked: list(AudioCaps().clips(asked))):
        with pytest.raises(EspretError) as error:
            work(asked)
        for way in ("--audio-dir DIR", "--archives DIR", "--youtube true", "https://forms.gle/", "Y<YouTube id>"):
            assert way in str(error.value)


def test_what_is_missing_is_fetched_from_youtube(folder, monkeypatch):
    calls = []

    def fetch_clips(wanted, into, jobs, cookies):
        calls.append((list(wanted), jobs, cookies))
        into.mkdir(parents=True)
        soundfile.write(into / f"Y{DASH}.flac", np.zeros(800), 8000)
        (into / "states.jsonl").write_text(json.dumps({"id": WHY, "state": "private"}) + "\n")
        return {}

    monkeypatch.setattr(audiocaps, "fetch_clips", fetch_clips)
    folder.sound(f"Y{PLAIN}.wav")
    folder.put("dataset/test.csv", [HEADER, *rows((PLAIN, DASH, WHY)), f"9,{UNDERSCORE},130,On|on"])
    clips = folder.clips(youtube=True, youtube_jobs=3, cookies="browser:firefox", bad_caption="drop")
    assert calls == [([(DASH, 30.0, 40.0), (WHY, 7.0, 17.0)], 3, "browser:firefox")]
    assert clips[f"Y{DASH}"].path.name == f"Y{DASH}.flac"
    assert clips[f"Y{WHY}"].path is None and clips[f"Y{WHY}"].why.endswith("; YouTube: private")


# ----------------------------------------------------------------------------------------------------- the real files
SPLITS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """The published captions and lists, laid out as the table names them, and the sound of 50 clips."""
    if not os.environ.get("ESPRET_TEST_DATA"):
        pytest.skip("reads the real captions: set ESPRET_TEST_DATA")
    data = Path(os.environ["ESPRET_TEST_DATA"])
    root = tmp_path_factory.mktemp("real")
    folders = {
        "audiocaps_v1": "dataset",
        "audiocaps_v2": "dataset2.0",
        "audiocaps_v1_fixed": ".",
        "audiocaps_wavcaps_49274_494_957": "AudioCaps/csv_files",
        "audio_retrieval_splits/audiocaps": "dataset_stats",
    }
    for source, target in folders.items():
        (root / "archives" / target).mkdir(parents=True, exist_ok=True)
        for path in sorted((data / "csv" / source).iterdir()):
            content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            (root / "archives" / target / path.name.removesuffix(".gz")).write_bytes(content)
    return Asked(SPLITS, archives=root / "archives", audio_dir=data / "audio/audiocaps", downloads=root / "downloads")


@pytest.fixture(scope="module")
def real_clips(real: Asked) -> Callable[[str], dict[str, list[Clip]]]:
    """real_clips(variant) -> the clips of each split; read once, for it takes seconds."""

    @functools.cache
    def clips(variant: str) -> dict[str, list[Clip]]:
        asked = replace(real, variant=variant)
        AudioCaps().fetch(asked)
        found: dict[str, list[Clip]] = {split: [] for split in SPLITS}
        for clip in AudioCaps().clips(asked):
            found[clip.split].append(clip)
        return found

    return clips


def ids(clips: Sequence[Clip]) -> set[str]:
    assert len({clip.id for clip in clips}) == len(clips)
    return {clip.id for clip in clips}


@pytest.mark.parametrize("variant", ["v1", "v1-fixed", "v1.ac957", "v1-fixed.ac957"])
def test_real_counts(real_clips, variant):
    corpus, clips = AudioCaps(), real_clips(variant)
    for split in SPLITS:
        assert len(ids(clips[split])) == corpus.expected(*corpus.parse(split, variant))
    captions = Counter((split, len(clip.captions)) for split in SPLITS for clip in clips[split])
    assert {key for key in captions if key[1]} == {("train", 1), ("valid", 5), ("test", 5)}
    assert captions["train", 0] == (0 if "fixed" in variant else 4)
    assert [sum(clip.path is not None for clip in clips[split]) for split in SPLITS] == [7, 43, 0]


def test_real_training_sets(real_clips):
    v1, fixed, wavcaps = (ids(real_clips(variant)["train"]) for variant in ("v1", "v1-fixed", "v1.ac957"))
    assert sum(key.startswith("Y-") for key in v1) == 2406
    assert (len(v1 - fixed), len(wavcaps - fixed)) == (28, 20)
    assert fixed < v1 > wavcaps


def test_real_splits_share_no_clip(real_clips):
    train, valid, test = (ids(of) for of in real_clips("v1").values())
    assert not (train & valid or train & test or valid & test)


def test_real_corrections(real_clips):
    first = {clip.id: clip.captions for clip in real_clips("v1")["train"]}
    assert sum(first[clip.id] != clip.captions for clip in real_clips("v1-fixed")["train"]) == 1020


def test_real_test_sets(real, real_clips):
    names = ("test_v2", "test_ac957", "test_v2.ac957", "test_ac846")
    clips: dict[str, list[Clip]] = {split: [] for split in names}
    for clip in AudioCaps().clips(replace(real, splits=names)):
        clips[clip.split].append(clip)
    v2, wavcaps, v2_wavcaps, without_vggsound = (ids(of) for of in clips.values())
    test = ids(real_clips("v1")["test"])
    assert v2 == test and v2_wavcaps == wavcaps < test
    assert (len(test), len(wavcaps), len(without_vggsound)) == (975, 957, 846)
    assert all(len(clip.captions) == 5 for clip in clips["test_v2"])
    derived = Path(os.environ["ESPRET_TEST_DATA"], "csv/derived/audiocaps_test_846_minus_vggsound_train.txt")
    assert without_vggsound == {f"Y{video}" for video in read_list(derived)}
    with_underscore = {key for key in test if "_" in key}
    assert len(with_underscore) == 156 and with_underscore < without_vggsound
    assert sum(key.startswith("Y-") for key in test) == 19


def test_real_lists_are_the_official_ones(real):
    assert not AudioCaps().own(replace(real, splits=("train_ac957", "valid", "test_v2", "test_ac846")))
