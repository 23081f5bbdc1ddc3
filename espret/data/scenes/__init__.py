"""Synthetic sound scenes with captions: the corpus of egs/mini, made from a seed, offline, in seconds.

A scene is one or two sound events of 25 kinds, one after the other or together, and five captions of it. `signal` has
the primitives, `nature` and `objects` the sounds, `kinds` the table of them, `captions` the sentences and `compose`
the scene; here is what others use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import soundfile

from espret.data.scenes.compose import Event, Scene, scene
from espret.data.scenes.kinds import KINDS
from espret.files import atomic_write

__all__ = ["KINDS", "Event", "Scene", "scene", "write_corpus"]


def write_corpus(root: Path, counts: Mapping[str, int], seed: int) -> Iterator[tuple[str, str, Path, list[str]]]:
    """Write `counts[split]` scenes of each split to `root/split/<clip id>.flac` (16 kHz, mono, 16 bit).

    Yields (split, clip id, path, captions) as each file is there, whole. The same seed gives the same bytes.
    """
    for split, number in counts.items():
        for index in range(number):
            clip = scene(seed, split, index)
            path = Path(root) / split / f"{clip.id}.flac"
            with atomic_write(path, "wb") as stream:
                soundfile.write(stream, clip.samples, clip.sample_rate, format="FLAC", subtype="PCM_16")
            yield split, clip.id, path, list(clip.captions)
