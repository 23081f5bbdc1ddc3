"""The corpus of this recipe: 550 synthetic sound scenes of 3-4 s with five captions each, made here from a seed.

For a corpus of your own this file is all there is to write: `clips` yields (split, clip id, audio path, captions) for
every clip, and EXPECTED says how many clips of each split there have to be. Audio of any rate, channel count and
common format will do; ids are of letters, digits and _.,+=@-; captions are taken as they are (stage 2 normalises them).
"""

from collections.abc import Iterator
from pathlib import Path

from espret.data.scenes import write_corpus

AUDIO = Path("data/local/audio")  # relative to the recipe's folder
EXPECTED = {"train": 400, "valid": 50, "test": 100}  # clips in each split
SEED = 2022


def clips() -> Iterator[tuple[str, str, Path, list[str]]]:
    """Yield (split, clip id, audio path, captions) for every clip of the corpus."""
    yield from write_corpus(AUDIO, EXPECTED, SEED)
