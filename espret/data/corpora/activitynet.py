"""ActivityNet Captions: 14,926 YouTube videos of people doing things, each told in a few sentences.

Krishna et al., "Dense-captioning events in videos", ICCV 2017. Retrieval from it follows Zhang et al. (paragraph to
video): the sentences of a video, in the order of their events, are one caption.

Lists, keys `v_<YouTube id>`: train has 10,009 videos, val_1 4,917; val_2 has 4,885 of val_1's videos with other
captions, so it is no second test set beside val_1. The published protocol trains on all of train, tests on val_1, and
has nothing else to choose a model by than val_1 itself. Here (`held-out`) 500 videos of train, those whose keys have
the smallest SHA-256, are the split `valid`, and train has the other 9,509. `official` has all 10,009 in train and no
valid.

There is no archive of its sound (849 hours). It is here for imported features; with --audio-dir, --archives or
--youtube the clips have sound. A video that is asked for with sound and has none is missing.

Captions: captions.zip of the authors' page has train.json, val_1.json and val_2.json, an object by key with
`sentences`, `timestamps` and `duration`. Licence: captions without one stated; videos are YouTube's: for research, not
to be passed on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from espret.data.corpora.videos import ID, VideoSound, file_within, read_keys
from espret.data.corpus import Asked, Clip, Corpus, Variant
from espret.data.sources.sources import Sources
from espret.errors import EspretError
from espret.files import read_json

CAPTIONS = "captions.zip"
KEY = re.compile(rf"v_{ID}")
HELD_OUT = 500  # videos of train that are `valid`
FILES = {"train": "train", "valid": "train", "val_1": "val_1", "val_2": "val_2"}  # list and captions of each split
COUNTS = {"train": 10009, "val_1": 4917, "val_2": 4885}


class ActivityNet(Corpus):
    """The corpus; the module says what is in it."""

    name = "activitynet"
    on_youtube = True
    splits = tuple(FILES)
    axes = (("held-out", "official"),)

    def parse(self, split: str, variant: str) -> tuple[str, Variant]:
        base, words = super().parse(split, variant)
        if base == "valid" and words == ("official",):
            raise EspretError(
                f"{self.name} has no split '{split}': the official lists have no validation set; "
                "mend: --variant held-out, which takes it from train"
            )
        return base, words

    def fetch(self, asked: Asked) -> None:
        """Bring lists, captions and what sound the user has (`VideoSound`)."""
        sources = Sources(self.name, asked)
        sources.announce(self._files(asked))
        sources.folder(CAPTIONS, "captions")
        _sound(asked).fetch([key[2:] for split in asked.splits for key in self._keys(asked, sources, split)])

    def clips(self, asked: Asked) -> Iterator[Clip]:
        sources, sound = Sources(self.name, asked), _sound(asked)
        folder = sources.folder(CAPTIONS, "captions")
        audible = bool(sound.folders())
        for split in asked.splits:
            path = file_within(folder, f"{FILES[self.parse(split, asked.variant)[0]]}.json")
            captions = read_captions(path)
            for key in self._keys(asked, sources, split):
                video, caption = key[2:], captions.get(key, "")
                clip = Clip(split, key, None, [caption] * bool(caption), name=key, origins=(f"youtube:{video}",))
                if not caption:
                    clip = replace(clip, why=f"no sentences in {path.name}")
                elif audible:
                    found = sound.find(video)
                    clip = replace(clip, path=found, why="" if found else sound.why(video))
                yield clip

    def expected(self, split: str, variant: Variant) -> int | None:
        held_out = {"train": COUNTS["train"] - HELD_OUT, "valid": HELD_OUT} if variant == ("held-out",) else {}
        return {**COUNTS, **held_out}[split]

    def own(self, asked: Asked) -> bool:
        return Sources(self.name, asked).own(self._files(asked))

    def _files(self, asked: Asked) -> list[str]:
        bases = [self.parse(split, asked.variant)[0] for split in asked.splits]
        return [CAPTIONS, *dict.fromkeys(_list(base) for base in bases)]

    def _keys(self, asked: Asked, sources: Sources, split: str) -> list[str]:
        """The keys of a split in the order of its list."""
        base, variant = self.parse(split, asked.variant)
        keys = read_keys(sources.get(_list(base)), KEY, "v_<id>")
        if FILES[base] != "train" or variant == ("official",):
            return keys
        valid = set(sorted(keys, key=lambda key: sha256(key.encode()).hexdigest())[:HELD_OUT])
        return [key for key in keys if (key in valid) == (base == "valid")]


def read_captions(path: Path) -> dict[str, str]:
    """The sentences of each key, joined by blanks. Raises EspretError naming the key that has anything else."""
    whole = read_json(path)
    if not isinstance(whole, dict):
        raise EspretError(f"{path}: found {str(whole)[:40]!r}; expected an object by key, v_<id>")
    joined = {}
    for key, told in whole.items():
        sentences = told.get("sentences") if isinstance(told, dict) else None
        if not isinstance(sentences, list) or not all(isinstance(sentence, str) for sentence in sentences):
            raise EspretError(f"{path}: '{key}': found {str(told)[:40]!r}; expected an object with a list 'sentences'")
        joined[key] = " ".join(" ".join(sentences).split())
    return joined


def _list(base: str) -> str:
    return f"lists/{FILES[base]}_list.txt"


def _sound(asked: Asked) -> VideoSound:
    return VideoSound("activitynet", asked, lambda video: (f"v_{video}", video, f"video-{video}", f"Y{video}"))
