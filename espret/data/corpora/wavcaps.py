"""WavCaps: 403,050 sounds, each with one sentence that ChatGPT wrote from what a web site or tags say of it.

From four sources: AudioSet_SL (the strongly labelled part of AudioSet), BBC_Sound_Effects, FreeSound, SoundBible; from
1 s to 18 hours long, 7,563 h in all. Mei et al., "WavCaps: A ChatGPT-Assisted Weakly-Labelled Audio Captioning Dataset
for Audio-Language Multimodal Research", TASLP 2024; on the Hugging Face hub, some 820 GB. For academic use only.

There is one split, `wavcaps`, for training beside the recipe's own: `--train-set train+wavcaps`, or one source of it,
`train+wavcaps_soundbible`.

It contains much of the corpora that others test on. Its authors publish blacklists: of every AudioCaps and Clotho clip
(`blacklist-all`, the default here), and of those of their validation and test splits (`blacklist-test`). They know
50,725 of AudioCaps' 51,308 clips, 957 of the 975 for testing; so `blacklist-all` also leaves out what the lists of the
recipe's own corpus name. `unfiltered` has every clip. What is left in after all, `espret leaks` finds.

Files are FLAC at 32 kHz, `<id>.flac`. An early zip of FreeSound lacked 48,092 of them, and SoundBible's has 88 more
than its list. An id of one source may occur in another, so sounds are looked up by source.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from zipfile import BadZipFile

from espret.data.archives.split_zip import find_end
from espret.data.audio_index import AudioIndex
from espret.data.corpora.wavcaps_lists import SOURCES, Entry, Source, read_blacklist, read_list
from espret.data.corpus import Asked, Clip, Corpus, Variant
from espret.data.ids import safe_id
from espret.data.sources.extracted import Extracted
from espret.data.sources.sources import TABLES, Sources
from espret.data.sources.table import read_download_table
from espret.errors import EspretError

ALL = "blacklist-all"
BLACKLISTS = {ALL: "blacklist_exclude_all_ac.json", "blacklist-test": "blacklist_exclude_test_ac.json"}
UNFILTERED = "unfiltered"
COVERED = {"clotho": "FreeSound", "audiocaps": "AudioSet_SL"}  # the corpora of the blacklists, and where they are found
LAYOUTS = ("{}", "{}_flac", "Audio/{}", "audio/{}", "Zip_files/{}", "waveforms/{}_flac")  # of an --audio-dir


class WavCaps(Corpus):
    """WavCaps for a recipe whose clips must not be in it: those of the corpus `without`. A blacklist removes the clips
    of AudioCaps and of Clotho in any recipe; where a variant leaves in clips of `without`, it is said on stderr."""

    name = "wavcaps"
    splits = ("wavcaps",)
    axes = ((*BLACKLISTS, UNFILTERED), ("all", *SOURCES))

    def __init__(self, without: Corpus | None = None) -> None:
        self.without = without

    def fetch(self, asked: Asked) -> None:
        """Bring the lists, the blacklist and, without an --audio-dir, the archives of the sources asked for."""
        sources = Sources(self.name, asked)
        wanted = self._wanted(asked)
        archives = [] if asked.audio_dir is not None else [name for one in wanted for name in _needed(sources, one)]
        lists = self._lists(asked)
        sources.announce([*lists, *archives])
        for name in lists:
            sources.get(name)
        self._named_by_the_other(asked)
        for source in wanted if asked.audio_dir is None else ():
            _extracted(sources, source)

    def clips(self, asked: Asked) -> Iterator[Clip]:
        """Every clip that is not blacklisted, source by source, in the order of the lists."""
        sources = Sources(self.name, asked)
        for split in asked.splits:
            _, variant = self.parse(split, asked.variant)
            self._warn(variant)
            others = self._named_by_the_other(asked) if variant[0] == ALL else set()
            for source in _chosen(variant):
                yield from _clips(split, source, variant, sources, asked, others)

    def expected(self, split: str, variant: Variant) -> int | None:
        return sum(source.clips for source in _chosen(variant)) if variant[0] == UNFILTERED else None

    def own(self, asked: Asked) -> bool:
        return Sources(self.name, asked).own(self._lists(asked))

    def _wanted(self, asked: Asked) -> list[Source]:
        """The sources of all splits asked for."""
        chosen = [source for split in asked.splits for source in _chosen(self.parse(split, asked.variant)[1])]
        return list(dict.fromkeys(chosen))

    def _lists(self, asked: Asked) -> list[str]:
        """The lists and blacklists that the splits need."""
        variants = [self.parse(split, asked.variant)[1] for split in asked.splits]
        blacklists = [
            _blacklist(variant[0])
            for variant in variants
            if variant[0] != UNFILTERED and any(source.blacklist for source in _chosen(variant))
        ]
        return list(dict.fromkeys([source.list for source in self._wanted(asked)] + blacklists))

    def _named_by_the_other(self, asked: Asked) -> set[str]:
        """Where the sound of the corpus' clips that must not be here comes from."""
        chosen = [self.parse(split, asked.variant)[1][0] for split in asked.splits]
        return self.without.origins(asked) if self.without is not None and ALL in chosen else set()

    def _warn(self, variant: Variant) -> None:
        other = "" if self.without is None else self.without.name
        source = COVERED.get(other, "")
        if variant[0] != ALL and any(source == one.name for one in _chosen(variant)):
            left = "training clips" if variant[0] in BLACKLISTS else "clips, those it is tested on included,"
            _say(f"{variant[0]}: {left} of {other} are left in {source}")


def _say(text: str) -> None:
    print(f"wavcaps: {text}", file=sys.stderr, flush=True)


def _chosen(variant: Variant) -> list[Source]:
    return list(SOURCES.values()) if variant[1] == "all" else [SOURCES[variant[1]]]


def _blacklist(word: str) -> str:
    return f"json_files/blacklist/{BLACKLISTS[word]}"


def _clips(
    split: str, source: Source, variant: Variant, sources: Sources, asked: Asked, others: set[str]
) -> Iterator[Clip]:
    entries = list(read_list(sources.get(source.list), source))
    if len(entries) != source.clips and not sources.own([source.list]):
        raise EspretError(f"{sources.get(source.list)}: {len(entries)} clips; expected {source.clips}")
    excluded: set[str] = set()
    if variant[0] != UNFILTERED and source.blacklist:
        excluded = read_blacklist(sources.get(_blacklist(variant[0])), source)
        left_out = sum(entry.id in excluded for entry in entries)
        _say(f"{source.name}: {left_out} of {len(entries)} clips are in {BLACKLISTS[variant[0]]} and left out")
    by_origin = {entry.id for entry in entries if f"{source.origin}:{entry.id}" in others} - excluded
    if by_origin:
        _say(f"{source.name}: {len(by_origin)} more are in the lists of the recipe's corpus and left out")
    excluded |= by_origin
    index = AudioIndex(_folder(source, variant, sources, asked))
    for entry in entries:
        if entry.id not in excluded:
            yield _clip(split, source, entry, index, asked.bad_caption)


def _clip(split: str, source: Source, entry: Entry, index: AudioIndex, bad_caption: str) -> Clip:
    why = ""
    if not entry.caption.strip():
        if bad_caption != "drop":
            mend = "mend: leave the clip out with --bad-caption drop"
            raise EspretError(f"{entry.where}: the caption of '{entry.id}' is empty; expected words; {mend}")
        why = "its only caption is empty"
    path = None if why else index.find(entry.stems)
    if path is None and not why:
        why = f"no file named {' or '.join(entry.stems)} in {index.root}"
    return Clip(
        split=split,
        id=safe_id(f"wc-{source.short}-{entry.id}"),
        path=path,
        captions=() if not entry.caption.strip() else (entry.caption,),
        name=f"{source.name}/{entry.stems[0]}.flac",
        origins=(f"{source.origin}:{entry.id}",) if source.origin else (),
        why=why,
    )


def _folder(source: Source, variant: Variant, sources: Sources, asked: Asked) -> Path:
    """Where the sounds of a source are: one of LAYOUTS; a folder for one source may have the files themselves."""
    root = asked.audio_dir
    if root is None:
        return _extracted(sources, source)
    folders = [root / layout.format(source.name) for layout in LAYOUTS]
    if found := next((folder for folder in folders if folder.is_dir()), None):
        return found
    if variant[1] == "all":
        names = ", ".join(os.path.relpath(folder, root) for folder in folders)
        raise EspretError(f"{root}: no folder of {source.name}; expected one called {names} (--audio-dir)")
    return root


def _extracted(sources: Sources, source: Source) -> Path:
    return sources.folder(_parts(sources, source), f"audio/{source.name}")


def _needed(sources: Sources, source: Source) -> Sequence[str]:
    """The parts that are to be had, as far as that is known before the last part is there."""
    listed = _listed_parts(source)
    return _parts(sources, source) if sources.has(listed[-1]) else listed


def _parts(sources: Sources, source: Source) -> Sequence[str]:
    """The archive of a source: the last part, which says how many there are, after as many others of the table."""
    *first, last = _listed_parts(source)
    made = next((list(names) for names in Extracted(sources.base).all_of() if last in names), None)
    if made is not None and not sources.has(last):
        return made  # an archive may be deleted once it is extracted
    try:
        with open(sources.get(last), "rb") as stream:
            return [*first[: find_end(stream)[1] - 1], last]
    except BadZipFile:
        return [last]  # extracting it tells what it is instead


def _listed_parts(source: Source) -> list[str]:
    return [
        name for name in read_download_table(TABLES / "wavcaps.tsv") if name.startswith(f"Zip_files/{source.name}/")
    ]
