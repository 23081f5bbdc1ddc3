"""A scene: which events it has, when and how loud, and their samples mixed over a little background noise.

A scene depends on its seed, split and index alone, so that scenes can be made in any order and by any number of jobs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from zlib import crc32

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from espret.data.scenes.captions import describe
from espret.data.scenes.kinds import KINDS
from espret.data.scenes.signal import RATE, Samples, count, noise, swell, unit

RELATIONS = {"alone": 0.35, "then": 0.35, "while": 0.3}  # and how often each
NOTABLE = 0.45  # a trait (-1..1) beyond this stands out
OCTAVES = {"pitch": 0.25, "rate": 0.45}  # how far a trait of 1 moves an event
TRAITS = {"pitch": ("low", "high"), "rate": ("slow", "fast"), "loudness": ("quiet", "loud")}
SOUND, CARDS = 1, 2  # streams of randomness beside the one of what happens
PEAK = 0.98  # no sample is louder


@dataclass(frozen=True)
class Event:
    """A sound event of a scene. Times in seconds; `level` in dB; `pitch`, `rate` and `loudness` from -1 to 1."""

    kind: str
    onset: float
    duration: float
    level: float
    pitch: float
    rate: float
    loudness: float

    @property
    def traits(self) -> tuple[str, ...]:
        """What stands out: "loud" or "quiet", "high" or "low", "fast" or "slow"."""
        names = ("loudness", *sorted(KINDS[self.kind].traits))
        values = {name: getattr(self, name) for name in names}
        return tuple(TRAITS[name][value > 0] for name, value in values.items() if abs(value) > NOTABLE)


@dataclass(frozen=True)
class Scene:
    """A synthetic clip: what happens in it, its captions and, made when first asked for, its sound."""

    id: str
    seconds: float
    relation: str  # "alone"; "then": the second event follows; "while": both at once, the second in the background
    events: tuple[Event, ...]
    captions: tuple[str, ...]
    entropy: tuple[int, ...]  # seed of the sound's randomness
    sample_rate: int = RATE

    @cached_property
    def samples(self) -> NDArray[np.float32]:
        """The sound: mono float32, [frames], in -1..1."""
        return _mix(default_rng(self.entropy), self.events, count(self.seconds))


def scene(seed: int, split: str, index: int) -> Scene:
    """The scene number `index` (from 0) of `split`. Any `len(KINDS)` scenes in a row, from a multiple of it, have
    every kind as their first event once."""
    entropy = (seed, crc32(split.encode()), index)
    rng = default_rng(entropy)
    relation = str(rng.choice(list(RELATIONS), p=list(RELATIONS.values())))
    seconds = float(rng.uniform(3.0, 4.0))
    kinds = _kinds(seed, split, index)[: 1 if relation == "alone" else 2]
    if relation == "while" and KINDS[kinds[0]].steady and not KINDS[kinds[1]].steady:
        kinds = kinds[::-1]
    events = _arrange(rng, relation, kinds, seconds)
    return Scene(
        id=f"scene-{split}-{index:04d}",
        seconds=seconds,
        relation=relation,
        events=events,
        captions=tuple(describe(rng, events, relation)),
        entropy=(*entropy, SOUND),
    )


def _kinds(seed: int, split: str, index: int) -> list[str]:
    """Two different kinds for a scene, dealt from shuffled packs so that each comes up equally often."""
    pack, place = divmod(index, len(KINDS))
    rng = default_rng([seed, crc32(split.encode()), pack, CARDS])
    first = rng.permutation(len(KINDS))
    # The partner is the one some places further on in the same pack: never the kind itself, and each comes up once.
    shift = int(rng.integers(1, len(KINDS)))
    names = list(KINDS)
    return [names[first[place]], names[first[(place + shift) % len(KINDS)]]]


def _arrange(rng: Generator, relation: str, kinds: list[str], seconds: float) -> tuple[Event, ...]:
    start, end = float(rng.uniform(0.0, 0.15)), seconds - float(rng.uniform(0.0, 0.15))
    if relation == "then":
        middle = seconds * float(rng.uniform(0.46, 0.54))
        spans = [(start, middle - 0.08), (middle + 0.08, end)]
    else:
        spans = [(start, end)] * len(kinds)
    events = []
    for number, (kind, (onset, offset)) in enumerate(zip(kinds, spans)):
        pitch, rate, loudness = (float(value) for value in rng.uniform(-1.0, 1.0, 3))
        level = 4.5 * loudness - (3.0 if relation == "while" and number == 1 else 0.0)
        events.append(Event(kind, onset, offset - onset, level, pitch, rate, loudness))
    return tuple(events)


def _mix(rng: Generator, events: tuple[Event, ...], n: int) -> NDArray[np.float32]:
    out = noise(rng, n, 50.0, 7000.0, 0.5) * 10.0 ** (float(rng.uniform(-58.0, -48.0)) / 20.0)
    for event in events:
        start = count(event.onset)
        size = min(count(event.duration), n - start)
        out[start : start + size] += render(rng, event, size) * 10.0 ** (event.level / 20.0)
    peak = float(np.max(np.abs(out)))
    return (out * min(1.0, PEAK / peak)).astype(np.float32)


def render(rng: Generator, event: Event, n: int) -> Samples:
    """`n` samples of an event at the common level: an RMS of 0.06, or a peak of 0.55 if that is less."""
    pitch, rate = (2.0 ** (OCTAVES[trait] * getattr(event, trait)) for trait in ("pitch", "rate"))
    sound = unit(KINDS[event.kind].synth(rng, n, pitch, rate) * swell(n, 0.01))
    return sound * min(0.06, 0.55 / max(float(np.max(np.abs(sound))), 1e-9))
