"""QuerYD and QuerYDSegments: 2,566 YouTube videos that volunteers of YouDescribe narrate for blind people.

What they say was transcribed. `paragraphs`: a clip is a video, its caption all narrations joined; `segments`: a clip
is the stretch of a video that one narration is about. The sound is the video's own, never the narration. Oncescu et
al., "QuerYD: a video dataset with high-quality text and audio narrations", ICASSP 2021.

Lists. `official` are those of the audio retrieval benchmarks: 1,796/384/386 videos, 9,113/1,952/1,954 segments (the
paper counts one more). They were drawn from v1, which has all their videos; of v2 (April 2021: other transcripts, 360
videos more and 111 fewer) they have none of the new videos, and v2 lacks one training and one validation video of
them, which are then missing, as are their segments. The segments were divided at random: 737 of the 791 videos of the
test segments, and 752 of the 813 of the validation segments, are in the training segments too, so the official numbers
measure in part how well a video is recognised again. `by-video` puts each segment where the official list of
paragraphs has its video: 8,896/2,404/1,719 segments of 953/222/200 videos. No video is in two splits then, not even
in those of paragraphs and segments. Paragraphs are divided by video anyway.

Four of the videos are not in English (three in training, one in validation; as segments they are in all splits). They
are kept, for the lists are official.

Files. Transcripts are pickles, key -> list of captions, each a list of words, some of them empty. The keys are
`video-<id>` for paragraphs; for segments `<id>-<the name of the narration's sound file>`, which is
`<id>-<id>_<24 hex digits>` (9,257), `<id>-<13 or 14 digits>` (3,745) or `<id>-<id>-27-1-0-10-0` (17). When a narration
begins and ends is in what YouDescribe answered about the video (json_metadata), joined by the name of the sound file;
the published times_captions_*.pkl are by video and tell nothing of a segment's key.

Licence: none is stated; videos are YouTube's and narrations YouDescribe's: for research, not to be passed on.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from espret.data.corpora.videos import ID, VideoSound, file_within, read_keys
from espret.data.corpora.youdescribe import Times, read_captions
from espret.data.corpus import Asked, Clip, Corpus, Variant
from espret.data.sources.sources import TABLES, Sources
from espret.data.sources.table import read_download_table
from espret.errors import EspretError

PARAGRAPHS, SEGMENTS, BY_VIDEO = "paragraphs", "segments", "by-video"
LISTS = {"train": "train_list.txt", "valid": "val_list.txt", "test": "test_list.txt"}
COUNTS = {
    (PARAGRAPHS, "official"): {"train": 1796, "valid": 384, "test": 386},
    (PARAGRAPHS, BY_VIDEO): {"train": 1796, "valid": 384, "test": 386},
    (SEGMENTS, "official"): {"train": 9113, "valid": 1952, "test": 1954},
    (SEGMENTS, BY_VIDEO): {"train": 8896, "valid": 2404, "test": 1719},
}
KEYS = {
    PARAGRAPHS: (re.compile(rf"video-({ID})"), "video-<id>"),
    SEGMENTS: (re.compile(rf"({ID})-(?:\1_[0-9a-f]{{24}}|[0-9]+|\1(?:-[0-9]+)+)"), "<id>-<id>_<24 hex digits>"),
}
# The first that is there: each has the transcripts of the segments. Those without a version are v1's, as the lists are.
SEGMENT_ARCHIVES = {
    "v1": tuple(f"QuerYDSegments-experts{kind}.tar.gz" for kind in ("-v1", "", "-audio-only")),
    "v2": ("QuerYDSegments-experts-v2.tar.gz",),
}


class QuerYD(Corpus):
    """The corpus; the module says what is in it."""

    name = "queryd"
    on_youtube = True
    axes = ((PARAGRAPHS, SEGMENTS), ("v1", "v2"), ("official", BY_VIDEO))

    def fetch(self, asked: Asked) -> None:
        """Bring lists, transcripts, times and sound (`VideoSound`).

        Without sound, the corpus is for imported features where --archives has an archive of these; else EspretError
        names the ways to get sound.
        """
        sound, sources = _sound(asked), Sources(self.name, asked)
        audible = bool(sound.folders() or asked.youtube)
        if not audible:
            self._assert_features(asked, sound)
        variants = self._variants(asked)
        sources.announce([name for variant in variants for name in _files(sources, variant, audible)])
        for variant in variants:
            _transcripts(sources, variant)
            if audible and SEGMENTS in variant:
                _answers(sources, variant)
        sound.fetch([_video(variant[0], key) for _, variant, keys in self._keys(asked, sources) for key in keys])

    def clips(self, asked: Asked) -> Iterator[Clip]:
        sources, sound = Sources(self.name, asked), _sound(asked)
        audible = bool(sound.folders())
        read: dict[Variant, tuple[dict[str, str], Times | None]] = {}
        for split, variant, keys in self._keys(asked, sources):
            if variant not in read:
                times = Times(_answers(sources, variant)) if audible and SEGMENTS in variant else None
                read[variant] = read_captions(_transcripts(sources, variant)), times
            captions, times = read[variant]
            for key in keys:
                clip = _clip(split, variant[0], key, captions.get(key, ""))
                if not clip.captions:
                    why = f"no words in the transcripts of {variant[1]}"
                    yield replace(clip, why=why if key in captions else f"not in the transcripts of {variant[1]}")
                else:
                    yield _with_sound(clip, sound, times) if audible else clip

    def expected(self, split: str, variant: Variant) -> int | None:
        form, _, division = variant
        return COUNTS[form, division][split]

    def own(self, asked: Asked) -> bool:
        sources = Sources(self.name, asked)
        return sources.own([name for variant in self._variants(asked) for name in _files(sources, variant, True)])

    def _variants(self, asked: Asked) -> list[Variant]:
        return list(dict.fromkeys(self.parse(split, asked.variant)[1] for split in asked.splits))

    def _keys(self, asked: Asked, sources: Sources) -> Iterator[tuple[str, Variant, list[str]]]:
        """Each split asked for, its variant, and its keys in the order of the lists."""
        for split in asked.splits:
            base, variant = self.parse(split, asked.variant)
            form, _, division = variant
            if form == SEGMENTS and division == BY_VIDEO:
                yield split, variant, _by_video(sources, base)
            else:
                yield split, variant, _listed(sources, form, base)

    def _assert_features(self, asked: Asked, sound: VideoSound) -> None:
        archives = [name for name in _table() if "-experts" in name]
        if not any((folder / name).is_file() for folder in asked.archive_folders(self.name) for name in archives):
            more = (
                "\nor, for imported features alone,\n  --archives DIR       a folder with an archive of the authors' "
                "features, QuerYD-experts*.tar.gz or QuerYDSegments-experts*.tar.gz"
            )
            raise sound.nowhere("<id>, video-<id> or Y<id>", more)
        print(f"{self.name}: no sound: the clips are for imported features", file=sys.stderr)


def _table() -> list[str]:
    return list(read_download_table(TABLES / "queryd.tsv"))


def _sound(asked: Asked) -> VideoSound:
    return VideoSound("queryd", asked, lambda video: (video, f"video-{video}", f"Y{video}"))


def _files(sources: Sources, variant: Variant, audible: bool) -> list[str]:
    """The files that a variant is read from."""
    form, version, division = variant
    lists = [f"{form}/{name}" for name in LISTS.values()]
    if form == PARAGRAPHS:
        return [*lists, f"raw_captions_combined_filtered-{version}.pkl"]
    if division == BY_VIDEO:
        lists += [f"{PARAGRAPHS}/{name}" for name in LISTS.values()]
    return [*lists, _segment_archive(sources, version), *([f"json_metadata-{version}.zip"] if audible else [])]


def _segment_archive(sources: Sources, version: str) -> str:
    """The archive with the transcripts of the segments: one that is there or was extracted, else the first."""
    names = SEGMENT_ARCHIVES[version]
    return next((name for name in names if sources.has(name) or (sources.base / _into(name)).is_dir()), names[0])


def _into(archive: str) -> str:
    return archive.removesuffix(".tar.gz")


def _transcripts(sources: Sources, variant: Variant) -> Path:
    form, version, _ = variant
    if form == PARAGRAPHS:
        return sources.get(f"raw_captions_combined_filtered-{version}.pkl")
    archive = _segment_archive(sources, version)
    return file_within(sources.folder(archive, _into(archive)), "split_raw_captions_filtered.pkl")


def _answers(sources: Sources, variant: Variant) -> Path:
    """The folder with YouDescribe's answers about the videos."""
    name = f"json_metadata-{variant[1]}"
    return sources.folder(f"{name}.zip", name)


def _listed(sources: Sources, form: str, base: str) -> list[str]:
    return read_keys(sources.get(f"{form}/{LISTS[base]}"), *KEYS[form])


def _by_video(sources: Sources, base: str) -> list[str]:
    """The segments of the videos that the list of paragraphs has in the split `base`, in the order of the lists."""
    home = {_video(PARAGRAPHS, key): split for split in LISTS for key in _listed(sources, PARAGRAPHS, split)}
    keys = []
    for split in LISTS:
        for key in _listed(sources, SEGMENTS, split):
            video = _video(SEGMENTS, key)
            if video not in home:
                raise EspretError(
                    f"{sources.get(f'{SEGMENTS}/{LISTS[split]}')}: the video of segment '{key}' is in no list of "
                    f"paragraphs; expected it in one, for {BY_VIDEO} divides segments as these"
                )
            if home[video] == base:
                keys.append(key)
    return keys


def _video(form: str, key: str) -> str:
    """The YouTube id in a key: by its place, for ids have - and _ in them."""
    return key[6:17] if form == PARAGRAPHS else key[:11]


def _clip(split: str, form: str, key: str, caption: str) -> Clip:
    """A clip without its sound."""
    video, captions = _video(form, key), [caption] if caption else []
    origins = (f"youtube:{video}",)
    if form == PARAGRAPHS:
        return Clip(split, f"q-{video}", None, captions, name=key, origins=origins)
    utt = f"qs-{video}-{hashlib.sha1(key.encode()).hexdigest()[:8]}"
    return Clip(split, utt, None, captions, recording=f"q-{video}", name=key, origins=origins)


def _with_sound(clip: Clip, sound: VideoSound, times: Times | None) -> Clip:
    """The clip with path and, for a segment, its stretch of the video; else with what is missing."""
    video = _video(SEGMENTS if clip.recording else PARAGRAPHS, clip.name)
    path = sound.find(video)
    if path is None:
        return replace(clip, why=sound.why(video))
    if times is None:
        return replace(clip, path=path)
    stretch = times.of(video, clip.name[12:])
    if stretch.why:
        return replace(clip, why=stretch.why)
    return replace(clip, path=path, start=stretch.start, end=stretch.end)
