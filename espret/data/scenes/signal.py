"""Signal primitives that the sound events are made of: tones, shaped noise, envelopes, repetition, resonances.

Everything is a float64 array of samples at RATE, and random only through the generator that is passed in.
What the events are (siren, rain, ...) lives in `nature` and `objects`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

RATE = 16000  # samples per second
TOP = 7600.0  # Hz; partials above it are left out, so that nothing folds back from the Nyquist frequency

Samples = NDArray[np.float64]


def count(seconds: float) -> int:
    """Samples in `seconds`, at least one."""
    return max(1, round(seconds * RATE))


def clock(n: int) -> Samples:
    """The time of each of `n` samples, in seconds."""
    return np.arange(n) / RATE


def glide(n: int, *values: float) -> Samples:
    """A contour over `n` samples through equally spaced `values`, straight on a logarithmic (musical) scale."""
    knots = np.linspace(0.0, 1.0, len(values))
    return np.exp(np.interp(np.linspace(0.0, 1.0, n), knots, np.log(values)))


def tone(frequency: float | Samples, n: int, partials: Sequence[float] = (1.0,)) -> Samples:
    """A periodic tone: `partials[k]` is the amplitude of harmonic k + 1 of `frequency` (Hz, a number or a contour)."""
    contour = np.broadcast_to(np.asarray(frequency, dtype=np.float64), (n,))
    phase = 2.0 * np.pi * np.cumsum(contour) / RATE
    out = np.zeros(n)
    for number, amplitude in enumerate(partials, 1):
        out += amplitude * np.where(number * contour < TOP, np.sin(number * phase), 0.0)
    return out


def fading(count_: int, power: float = 1.0) -> list[float]:
    """Amplitudes 1, 2**-power, 3**-power, ... of `count_` harmonics."""
    return [number**-power for number in range(1, count_ + 1)]


def easy(n: int) -> int:
    """A length of at least `n` (at most 1/8 more) without large prime factors, which make Fourier transforms slow."""
    block = 1 << max(0, n.bit_length() - 4)
    return -(-n // block) * block


def noise(rng: Generator, n: int, low: float, high: float, slope: float = 0.0) -> Samples:
    """Gaussian noise between `low` and `high` Hz with soft edges, falling as frequency**-slope, of RMS 1."""
    size = easy(n)
    spectrum = np.fft.rfft(rng.standard_normal(size))
    frequency = np.maximum(np.fft.rfftfreq(size, 1.0 / RATE), 1.0)
    gain = (frequency / 1000.0) ** -slope / (1.0 + (low / frequency) ** 6) / (1.0 + (frequency / high) ** 6)
    return unit(np.fft.irfft(spectrum * gain, size)[:n])


def unit(x: Samples) -> Samples:
    """`x` scaled to an RMS of 1 (silence stays silence)."""
    power = float(np.sqrt(np.mean(x * x)))
    return x / power if power > 1e-12 else x


def resonate(x: Samples, *formants: tuple[float, float, float], floor: float = 0.03) -> Samples:
    """`x` through parallel resonances (centre Hz, half width Hz, gain), as a mouth or a wooden door would colour it."""
    size = easy(len(x))
    frequency = np.fft.rfftfreq(size, 1.0 / RATE)
    gain = np.full(len(frequency), floor)
    for centre, width, height in formants:
        gain += height / (1.0 + ((frequency - centre) / width) ** 2)
    return np.fft.irfft(np.fft.rfft(x, size) * gain, size)[: len(x)]


def strike(n: int, decay: float, attack: float = 0.001) -> Samples:
    """The envelope of something struck: up in about `attack` seconds, then down by 1/e every `decay` seconds."""
    t = clock(n)
    return (1.0 - np.exp(-t / attack)) * np.exp(-t / decay)


def swell(n: int, edge: float = 0.03) -> Samples:
    """An envelope that is 1 with raised-cosine edges of `edge` seconds (at most half of it each)."""
    width = min(count(edge), max(1, n // 2))
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(width) + 0.5) / width)
    out = np.ones(n)
    out[:width] = ramp
    out[-width:] *= ramp[::-1]
    return out


def wander(rng: Generator, n: int, per_second: float, low: float, high: float) -> Samples:
    """A smooth random contour between `low` and `high` that turns about `per_second` times a second."""
    knots = max(2, round(n / RATE * per_second) + 2)
    return np.interp(np.linspace(0.0, knots - 1.0, n), np.arange(knots), rng.uniform(low, high, knots))


def every(rng: Generator, n: int, period: float, jitter: float, make: Callable[[int], Samples]) -> Samples:
    """`make(0)`, `make(1)`, ... laid over `n` samples every `period` seconds, each up to `jitter` periods off."""
    out = np.zeros(n)
    for number in range(max(1, int(n / RATE / period + 0.7))):
        start = max(0, round((number + rng.uniform(-jitter, jitter)) * period * RATE))
        if start < n:
            piece = make(number)[: n - start]
            out[start : start + len(piece)] += piece
    return out


def scatter(rng: Generator, n: int, per_second: float, grain: Samples) -> Samples:
    """`grain` at random moments, `per_second` times a second on average, with random strength (Poisson process)."""
    impulses = np.zeros(n)
    hits = rng.integers(0, n, max(1, rng.poisson(per_second * n / RATE)))
    np.add.at(impulses, hits, rng.uniform(0.2, 1.0, len(hits)))
    size = easy(n + len(grain))
    return np.fft.irfft(np.fft.rfft(impulses, size) * np.fft.rfft(grain, size), size)[:n]
