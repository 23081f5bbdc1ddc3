"""Sounds of weather, water, animals and voices, one function each.

Each takes a generator, the number of samples, and multipliers of pitch and rate around 1, and returns that many
samples of no particular level. What machines and people's things sound like lives in `objects`.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from espret.data.scenes.signal import (
    Samples,
    clock,
    count,
    every,
    fading,
    glide,
    noise,
    resonate,
    scatter,
    strike,
    swell,
    tone,
    unit,
    wander,
)


def rain(rng: Generator, n: int, pitch: float, rate: float) -> Samples:
    """Steady bright hiss with fine patter in it."""
    grain = noise(rng, count(0.008), 2500.0, 7000.0) * strike(count(0.008), 0.002, 0.0002)
    return 0.5 * noise(rng, n, 1500.0 * pitch, 9000.0, 0.2) + unit(scatter(rng, n, 90.0 * rate, grain))


def wind(rng: Generator, n: int, pitch: float, rate: float) -> Samples:
    """Low moan and higher whoosh that come and go in gusts."""
    gusts = wander(rng, n, 1.6 * rate, 0.15, 1.0)
    low = noise(rng, n, 120.0, 420.0 * pitch) * gusts
    return low + 0.7 * noise(rng, n, 380.0 * pitch, 800.0 * pitch) * gusts**2.5


def thunder(rng: Generator, n: int, pitch: float, rate: float) -> Samples:
    """A crack, then a rumble that rolls and dies away."""
    rolls = wander(rng, n, 6.0 * rate, 0.2, 1.0) * strike(n, 0.35 * n / 16000.0, 0.03)
    crack = noise(rng, n, 100.0, 3000.0, 0.8) * strike(n, 0.09, 0.004)
    return 2.0 * noise(rng, n, 25.0, 110.0 * pitch) * rolls + 0.8 * crack


def drops(rng: Generator, n: int, pitch: float, rate: float) -> Samples:
    """Water dripping: each drop a short tone that rises as its bubble shrinks."""

    def drop(_: int) -> Samples:
        size = count(0.13)
        base = 900.0 * pitch * rng.uniform(0.85, 1.2)
        return tone(glide(size, base, 1.1 * base, 2.0 * base), size) * strike(size, 0.03)

    return every(rng, n, 0.38 / rate, 0.25, drop)


def bird(rng: Generator, n: int, pitch: float, rate: float) -> Samples:
    """Songbird: quick sweeps up and down between 3 and 6 kHz, in phrases."""

    def phrase(_: int) -> Samples:
        size = count(0.42 / rate)
        top = 5200.0 * pitch * rng.uniform(0.92, 1.08)

        def chirp(number: int) -> Samples:
            length = count(0.075 / rate)
            low = 0.62 * top if number % 2 else 0.72 * top
            return tone(glide(length, low, top, 0.8 * low), length) * swell(length, 0.02)

        return every(rng, size, 0.1 / rate, 0.08, chirp)

    return every(rng, n, 0.62 / rate, 0.06, phrase)


def dog(rng: Generator, n: int, pitch: float, rate: float) -> Samples:
    """Barks: short rough bursts, falling from about 500 Hz, with an open-mouth resonance."""

    def bark(_: int) -> Samples:
        size = count(0.2)
        base = 380.0 * pitch * rng.uniform(0.94, 1.06)
        voice = tone(glide(size, 0.9 * base, 1.35 * base, 0.7 * base), size, fading(14, 0.6))
        rough = voice + 0.8 * noise(rng, size, 300.0, 2500.0, 0.5)
        return resonate(rough, (850.0 * pitch, 250.0, 1.0), (1700.0 * pitch, 300.0, 0.5)) * strike(size, 0.06, 0.01)

    return every(rng, n, 0.48 / rate, 0.1, bark)


def cat(rng: Generator, n: int, pitch: float, rate: float) -> Samples:
    """Meows: a thin voice that rises and falls while the mouth opens and closes."""

    def meow(_: int) -> Samples:
        size = count(0.62 / rate)
        base = 620.0 * pitch * rng.uniform(0.95, 1.05)
        voice = tone(glide(size, 0.95 * base, 1.4 * base, 1.25 * base, 0.8 * base), size, fading(9, 0.5))
        closed = resonate(voice, (900.0, 200.0, 1.0))
        opened = resonate(voice, (1900.0, 350.0, 1.2), (3200.0, 400.0, 0.6))
        mouth = np.sin(np.pi * np.linspace(0.0, 1.0, size)) ** 2
        return (closed * (1.0 - mouth) + opened * mouth) * swell(size, 0.1)

    return every(rng, n, 0.95 / rate, 0.05, meow)


def baby(rng: Generator, n: int, pitch: float, rate: float) -> Samples:
    """Crying: long trembling wails around 450 Hz, rich in harmonics, with breaths between."""

    def wail(_: int) -> Samples:
        size = count(0.85 / rate)
        base = 430.0 * pitch * rng.uniform(0.96, 1.04)
        tremble = 1.0 + 0.025 * np.sin(2.0 * np.pi * 9.0 * clock(size))
        contour = glide(size, 0.85 * base, 1.12 * base, 1.08 * base, 1.0 * base, 0.75 * base) * tremble
        voice = tone(contour, size, fading(16, 0.35))
        return resonate(voice, (1150.0, 220.0, 1.0), (3300.0, 450.0, 0.8)) * swell(size, 0.08)

    return every(rng, n, 1.05 / rate, 0.03, wail)


def frog(rng: Generator, n: int, pitch: float, rate: float) -> Samples:
    """Croaks: bursts of rattling pulses through a throat resonance."""
    grain = resonate(noise(rng, count(0.02), 200.0, 3000.0), (620.0 * pitch, 90.0, 1.0), (1350.0 * pitch, 120.0, 0.4))
    pulse = grain * strike(count(0.02), 0.006, 0.0005)

    def croak(_: int) -> Samples:
        size = count(0.33)
        return every(rng, size, 1.0 / 36.0, 0.05, lambda _: pulse) * swell(size, 0.08)

    return every(rng, n, 0.58 / rate, 0.06, croak)


def cricket(rng: Generator, n: int, pitch: float, rate: float) -> Samples:
    """Chirping of a cricket: triplets of pure pulses near 4.6 kHz, as regular as a machine."""

    def chirp(_: int) -> Samples:
        length = count(0.022)
        pulse = tone(4600.0 * pitch, length) * swell(length, 0.008)
        return every(rng, count(0.11), 0.036, 0.0, lambda _: pulse)

    return every(rng, n, 0.27 / rate, 0.01, chirp)
