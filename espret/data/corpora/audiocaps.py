"""AudioCaps: 51,308 stretches of ten seconds from YouTube videos (of AudioSet), with captions that people wrote.

Kim et al., "AudioCaps: Generating Captions for Audios in The Wild", NAACL 2019. A training clip has one caption, one
of validation and test has five. How the files are read: `audiocaps_text`.

Captions. `v1` is what was published in 2019. `v1-fixed` has training captions that aac-datasets corrected: 1,020 are
changed, 28 clips are gone; validation and test are v1's. `v2` (2025) has 91,256 training captions; its validation and
test clips are v1's, their captions in lower case, some otherwise edited, a few with new typing errors ("speask").
Four training captions of v1 are none ("On|on" twice, "The link is broken", "Video not available"): they are left out,
and the clips with them.

Clips. The literature has four test sets, so results of one cannot be compared with those of another:
- `ac975`: all of the files, 49,838/495/975 clips (v1-fixed: 49,810 for training).
- `ac957`: the clips that the authors of WavCaps had, 49,274/494/957 (v1-fixed: 49,254 for training).
- `ac816`: those of the audio retrieval benchmark, 49,291/428/816: what could be had then, without VGGSound's training
  clips. The lists lie in an archive of features only; put the three lists, or the archive, into the archives folder.
- `ac846`: all test clips without VGGSound's training clips; a test set only. The filter passed over ids with `_` in
  them, so that probably some 25 clips of VGGSound are left, accordingly in ac816.
Of the test captions 229 belong to more than one clip, 404 occur in the training captions too: R@1 cannot reach 100 %.

Sound. No archive of it may be published. The authors give a link on request (`FORM`); whoever fetches it from YouTube
finds about nine of ten clips (2023). So clips that are missing are normal, and results should tell how many were there.
File names: `NAMES`. A file named by a caption's id alone is a number: do not let other numbered sounds lie there. A
file named by the YouTube id alone may be the whole video: one longer than `LONGEST` seconds is cut.

Licence: the captions are for academic purposes (repository: MIT); sound is YouTube's and may not be passed on.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from espret.data.audio import AudioError, probe
from espret.data.corpora.audiocaps_text import Captioned, read_captions, read_list, take_lists
from espret.data.corpora.videos import VideoSound
from espret.data.corpus import Asked, Clip, Corpus, Variant
from espret.data.sources.sources import Sources
from espret.data.youtube.fetch import YouTubeClip, fetch_clips
from espret.errors import EspretError

FORM = "https://forms.gle/2wF54Y1Ft2LtPdhW8"
NAMES = "Y<YouTube id>, <id>_<start in s>, <id>_<start in ms>, <id>, <audiocap_id>"  # of sound files, without suffix
SECONDS = 10  # of a clip, unless its video ends before
LONGEST = 12.0  # seconds; a file by the name of a video that is longer is the video
V1 = {"train": "dataset/train.csv", "valid": "dataset/val.csv", "test": "dataset/test.csv"}
CAPTIONS = {
    "v1": V1,
    "v1-fixed": {**V1, "train": "train_fixed.csv"},
    "v2": {split: name.replace("dataset", "dataset2.0") for split, name in V1.items()},
}
PER_CLIP = {"train": 1, "valid": 5, "test": 5}  # captions
LISTS = {  # which clips; without a list all
    "ac957": {
        "train": "AudioCaps/csv_files/train.csv",
        "valid": "AudioCaps/csv_files/val.csv",
        "test": "AudioCaps/csv_files/test.csv",
    },
    "ac846": {"test": "dataset_stats/test_class_videoid_dict_all.json"},
    "ac816": {"train": "train_list.txt", "valid": "filtered_val_list.txt", "test": "final_filtered_test_list.txt"},
}
EXPERTS = "AudioCaps-experts-audio-only.tar.gz"  # has the lists of ac816
COUNTS = {
    "ac975": {"train": 49838, "valid": 495, "test": 975},
    "ac957": {"train": 49274, "valid": 494, "test": 957},
    "ac846": {"test": 846},
    "ac816": {"train": 49291, "valid": 428, "test": 816},
}
FIXED = {"ac975": 49810, "ac957": 49254}  # training clips of v1-fixed
REMOVED = 28  # training clips of v1 that v1-fixed has not


class AudioCaps(Corpus):
    """AudioCaps, with the sound that the user has."""

    name = "audiocaps"
    on_youtube = True
    axes = (("v1", "v1-fixed", "v2"), ("ac975", "ac957", "ac846", "ac816"))
    seconds = (9.0, 11.0)

    def expected(self, split: str, variant: Variant) -> int | None:
        version, selection = variant
        if split == "train" and version == "v1-fixed":
            return FIXED.get(selection)
        if split == "train" and version == "v2" and selection == "ac975":
            return None  # published is the number of its captions only
        return COUNTS[selection].get(split)

    def origins(self, asked: Asked) -> set[str]:
        sources = Sources(self.name, asked)
        files = [read_captions(sources.get(name), "drop", None, Counter()) for name in V1.values()]
        return {f"youtube:{video}" for clips in files for video in clips}

    def own(self, asked: Asked) -> bool:
        names = [name for split in asked.splits for name in self._names(split, asked) if name]
        return Sources(self.name, asked).own(names)

    def fetch(self, asked: Asked) -> None:
        """Bring captions and lists, extract the user's archives of sound, and, if asked for, go to YouTube."""
        sources = Sources(self.name, asked)
        files = self._files(sources, asked)
        sound = ClipSound(asked)
        sources.announce(files)
        clips = [clip for split in asked.splits for clip in self._listed(split, sources, asked, Counter()).values()]
        sound.fetch(clips)

    def clips(self, asked: Asked) -> Iterator[Clip]:
        sources = Sources(self.name, asked)
        sound = ClipSound(asked)
        notes: Counter[str] = Counter()
        for split in asked.splits:
            for captioned in self._listed(split, sources, asked, notes).values():
                yield sound.clip(split, captioned)
        for what, number in sorted(notes.items()):
            print(f"{self.name}: {what} ({number})", file=sys.stderr, flush=True)

    def _names(self, split: str, asked: Asked) -> tuple[str, str]:
        """The file with the captions of a split, and the list of its clips, "" for all clips.

        Raises EspretError for a split that the variant has not.
        """
        base, (version, selection) = self.parse(split, asked.variant)
        if base not in COUNTS[selection]:
            has = ", ".join(COUNTS[selection])
            raise EspretError(
                f"{self.name}: '{split}' of {selection} was asked for, which has {has} only; mend: say {selection} in "
                f"the name of that split, {has}_{selection}, and leave it out of --variant"
            )
        return CAPTIONS[version][base], LISTS[selection][base] if selection in LISTS else ""

    def _files(self, sources: Sources, asked: Asked) -> list[str]:
        """The files that are to be had for the splits asked for, each once."""
        names = (name for split in asked.splits for name in self._names(split, asked) if name)
        return list(dict.fromkeys(EXPERTS if _is_within_experts(sources, name) else name for name in names))

    def _listed(self, split: str, sources: Sources, asked: Asked, notes: Counter[str]) -> dict[str, Captioned]:
        """The clips of a split in the order of the caption file, by YouTube id."""
        base, (version, _) = self.parse(split, asked.variant)
        captions, selection = self._names(split, asked)
        per_clip = None if (version, base) == ("v2", "train") else PER_CLIP[base]
        path = sources.get(captions)
        clips = read_captions(path, asked.bad_caption, per_clip, notes)
        if not selection:
            return clips
        if _is_within_experts(sources, selection):
            take_lists(sources.get(EXPERTS), tuple(LISTS["ac816"].values()), sources.base)
        listed = read_list(sources.get(selection))
        gone = [video for video in listed if video not in clips]
        if len(gone) > (REMOVED if (version, base) == ("v1-fixed", "train") else 0):
            raise EspretError(
                f"{listed[gone[0]]}: '{gone[0]}' is no clip of {path}, and {len(gone)} of the list's {len(listed)} are "
                "none; expected all of them there; mend: complete one, or correct the other"
            )
        if gone:
            notes[f"{selection}: clips are not in {captions}"] += len(gone)
        return {video: clip for video, clip in clips.items() if video in listed}


def _is_within_experts(sources: Sources, name: str) -> bool:
    """Whether a file has to be taken out of the archive of experts, not lying anywhere by itself."""
    return name in LISTS["ac816"].values() and not sources.has(name) and not sources.own([name])


class ClipSound:
    """Where the sound of clips is: the user's folder or archives, and what was fetched from YouTube."""

    def __init__(self, asked: Asked) -> None:
        """Raises EspretError where there is no place at all for sound."""
        self._asked = asked
        self._clips: dict[str, Captioned] = {}
        self._sound = VideoSound("audiocaps", replace(asked, youtube=False), self._stems)
        if not (self._sound.folders() or asked.youtube):
            raise self._sound.nowhere(NAMES, f"\nThe authors of AudioCaps give a link to its sound on request: {FORM}")

    def fetch(self, clips: Iterable[Captioned]) -> None:
        """Extract the archives and, if asked for, fetch from YouTube what is missing."""
        self._sound.fetch([])
        if self._asked.youtube:
            missing = [clip for clip in clips if clip.captions and self.find(clip) is None]
            wanted = [YouTubeClip(clip.id, float(clip.start), float(clip.start + SECONDS)) for clip in missing]
            fetch_clips(wanted, self._sound.youtube, jobs=self._asked.youtube_jobs, cookies=self._asked.cookies)

    def find(self, clip: Captioned) -> Path | None:
        """The sound file of a clip, None where there is none."""
        self._clips[clip.id] = clip
        return self._sound.find(clip.id)

    def clip(self, split: str, captioned: Captioned) -> Clip:
        """A clip with its sound, or why it has none."""
        utt, name = f"Y{captioned.id}", f"{captioned.id}_{captioned.start}"
        clip = Clip(split, utt, None, captioned.captions, name=name, origins=(f"youtube:{captioned.id}",))
        if not captioned.captions:
            return replace(clip, why=f"no caption: {captioned.dropped!r} is none")
        path = self.find(captioned)
        if path is None:
            return replace(clip, why=self._sound.why(captioned.id))
        if path.stem == captioned.id and _seconds(path) > LONGEST:
            start, end = float(captioned.start), float(captioned.start + SECONDS)
            return replace(clip, path=path, recording=utt, start=start, end=end)
        return replace(clip, path=path)

    def _stems(self, video: str) -> tuple[str, ...]:
        clip = self._clips[video]
        names = (f"Y{video}", f"{video}_{clip.start}", f"{video}_{1000 * clip.start}", video, *clip.audiocap_ids)
        return tuple(dict.fromkeys(names))  # seconds and milliseconds are one where the clip starts at 0


def _seconds(path: Path) -> float:
    """How long a sound file is; 0 for one that cannot be read, which is found out later."""
    try:
        info = probe(path)
    except AudioError:
        return 0.0
    return info.frames / info.sample_rate
