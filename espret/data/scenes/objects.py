"""Sounds of machines, vehicles, alarms and people's things, one function each.

Each takes a generator, the number of samples, and multipliers of pitch and rate around 1, and returns that many
samples of no particular level. Weather, animals and voices live in `nature`.
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


def siren(rng: Generator, n: int, pitch: float, rate: float) -> Samples:
    """An emergency siren: a bright tone that sweeps up and down an octave."""
    sweep = np.sin(2.0 * np.pi * (0.85 * rate * clock(n) + rng.uniform()))
    return tone(900.0 * pitch * 2.0 ** (0.55 * sweep), n, (1.0, 0.45, 0.3, 0.12)) * swell(n)


def bell(rng: Generator, n: int, pitch: float, rate: float) -> Samples:
    """A church bell: the inharmonic partials of bronze (hum, prime, minor third, fifth, nominal), slowly dying."""
    ratios = (0.5, 1.0, 1.19, 1.5, 2.0, 2.51, 2.66, 3.01, 4.17)
    amplitudes = (0.5, 0.8, 0.7, 0.3, 1.0, 0.4, 0.4, 0.3, 0.2)

    def toll(_: int) -> Samples:
        size = count(2.0)
        parts = (
            amplitude * tone(330.0 * pitch * ratio, size) * strike(size, 1.1 / (0.6 + 0.5 * ratio), 0.002)
            for ratio, amplitude in zip(ratios, amplitudes)
        )
        return np.sum(list(parts), axis=0)

    return every(rng, n, 0.8 / rate, 0.02, toll)


def telephone(rng: Generator, n: int, pitch: float, rate: float) -> Samples:
    """An old telephone: a clapper between two small bells, twenty times a second, in bursts."""

    def ring(_: int) -> Samples:
        size = count(0.6)
        turn = np.sin(2.0 * np.pi * 22.0 * clock(size)) > 0.0
        first = tone(1480.0 * pitch, size, (1.0, 0.0, 0.5)) * turn
        second = tone(1850.0 * pitch, size, (1.0, 0.0, 0.5)) * ~turn
        return (first + second) * swell(size, 0.02)

    return every(rng, n, 0.9 / rate, 0.01, ring)


def beeps(rng: Generator, n: int, pitch: float, rate: float) -> Samples:
    """An electronic alarm: equal square beeps with equal pauses."""

    def beep(_: int) -> Samples:
        size = count(0.13 / rate)
        return tone(2500.0 * pitch, size, (1.0, 0.0, 0.33)) * swell(size, 0.004)

    return every(rng, n, 0.26 / rate, 0.0, beep)


def whistle(rng: Generator, n: int, pitch: float, rate: float) -> Samples:
    """Somebody whistles a tune: pure notes of a pentatonic scale that slide into each other, with some breath."""
    notes = rng.choice((1.0, 9 / 8, 5 / 4, 3 / 2, 5 / 3), size=max(2, round(3.4 * rate * n / 16000)))
    steps = np.interp(np.linspace(0, len(notes), n), np.arange(len(notes)) + 0.5, notes)
    vibrato = 1.0 + 0.012 * np.sin(2.0 * np.pi * 6.0 * clock(n))
    breath = 0.03 * noise(rng, n, 800.0, 5000.0)
    return (tone(1150.0 * pitch * steps * vibrato, n) + breath) * wander(rng, n, 5.0, 0.6, 1.0) * swell(n, 0.05)


def horn(rng: Generator, n: int, pitch: float, rate: float) -> Samples:
    """A train horn: a five-note chord of reeds in long blasts."""

    def blast(_: int) -> Samples:
        size = count(1.0 / rate)
        chord = (tone(311.0 * pitch * ratio, size, fading(8, 0.7)) for ratio in (1.0, 1.19, 1.335, 1.59, 2.0))
        return np.sum(list(chord), axis=0) * swell(size, 0.08)

    return every(rng, n, 1.2 / rate, 0.02, blast)


def engine(rng: Generator, n: int, pitch: float, rate: float) -> Samples:
    """A car engine that idles: low firing pulses with a little unevenness and hum."""
    contour = 38.0 * pitch * wander(rng, n, 2.0 * rate, 0.97, 1.03)
    firing = tone(contour, n, (0.6, 1.0, 0.8, 0.9, 0.5, 0.5, 0.3, 0.2, 0.15, 0.1))
    return firing * (1.0 + 0.3 * tone(contour / 4, n)) + 0.25 * noise(rng, n, 60.0, 500.0, 0.5)


def motorbike(rng: Generator, n: int, pitch: float, rate: float) -> Samples:
    """A motorbike revved up and let down: buzzing harmonics that rise and fall."""
    turns = np.sin(2.0 * np.pi * (0.75 * rate * clock(n) + rng.uniform())) * 0.5 + 0.5
    contour = 85.0 * pitch * (1.0 + 1.3 * turns)
    return tone(contour, n, fading(32, 0.45)) * (0.45 + 0.55 * turns) + 0.2 * noise(rng, n, 200.0, 3000.0, 0.5)


def helicopter(rng: Generator, n: int, pitch: float, rate: float) -> Samples:
    """Rotor blades that chop the air some twelve times a second."""
    phase = (11.5 * rate * clock(n) + rng.uniform()) % 1.0
    chop = np.exp(-phase / 0.22)
    return noise(rng, n, 90.0, 1300.0 * pitch, 0.6) * chop + 0.25 * tone(90.0 * pitch, n, (1.0, 0.5)) * chop


def saw(rng: Generator, n: int, pitch: float, rate: float) -> Samples:
    """A hand saw in wood: rasping strokes, the forward one stronger and brighter than the one back."""

    def stroke(number: int) -> Samples:
        size = count(0.24 / rate)
        teeth = 0.5 + 0.5 * np.sin(2.0 * np.pi * 95.0 * clock(size)) ** 3
        band = (1400.0, 4200.0) if number % 2 else (900.0, 2600.0)
        rasp = noise(rng, size, band[0] * pitch, band[1] * pitch) * teeth
        return rasp * swell(size, 0.09 / rate) * (1.0 if number % 2 else 0.6)

    return every(rng, n, 0.29 / rate, 0.03, stroke)


def footsteps(rng: Generator, n: int, pitch: float, rate: float) -> Samples:
    """Somebody walks: a dull heel thump and a short scrape, evenly paced."""

    def step(_: int) -> Samples:
        size = count(0.16)
        thump = tone(glide(size, 130.0 * pitch, 70.0 * pitch), size) * strike(size, 0.035)
        scrape = noise(rng, size, 1500.0, 5000.0) * strike(size, 0.03, 0.02)
        return (thump + 0.16 * scrape) * rng.uniform(0.8, 1.0)

    return every(rng, n, 0.52 / rate, 0.05, step)


def knocking(rng: Generator, n: int, pitch: float, rate: float) -> Samples:
    """Knuckles on a wooden door: groups of three quick raps."""

    def rap(_: int) -> Samples:
        size = count(0.12)
        hit = noise(rng, size, 150.0, 2500.0) * strike(size, 0.02, 0.0005)
        return resonate(hit, (330.0 * pitch, 60.0, 1.0), (760.0 * pitch, 90.0, 0.7), floor=0.08)

    def group(_: int) -> Samples:
        return every(rng, count(0.5 / rate), 0.155 / rate, 0.04, rap)

    return every(rng, n, 0.95 / rate, 0.03, group)


def ticking(rng: Generator, n: int, pitch: float, rate: float) -> Samples:
    """A clock: dry clicks, tick and tock in turn, strictly regular."""

    def tick(number: int) -> Samples:
        size = count(0.05)
        ring = tone((3100.0 if number % 2 else 2400.0) * pitch, size, (1.0, 0.3)) * strike(size, 0.007, 0.0003)
        return ring + 0.4 * noise(rng, size, 2000.0, 7000.0) * strike(size, 0.003, 0.0002)

    return every(rng, n, 0.36 / rate, 0.0, tick)


def typing(rng: Generator, n: int, pitch: float, rate: float) -> Samples:
    """Typing on a keyboard: light clacks of differing strength in an uneven hurry."""

    def key(_: int) -> Samples:
        size = count(0.06)
        down = noise(rng, size, 1200.0 * pitch, 6500.0) * strike(size, 0.006, 0.0003)
        bottom = tone(420.0 * pitch * rng.uniform(0.8, 1.25), size) * strike(size, 0.012)
        return (down + 0.5 * bottom) * rng.uniform(0.35, 1.0)

    return every(rng, n, 0.11 / rate, 0.42, key)


def applause(rng: Generator, n: int, pitch: float, rate: float) -> Samples:
    """A crowd claps: a dense cloud of single claps of a few hand shapes."""
    out = np.zeros(n)
    for centre in (900.0, 1250.0, 1700.0):
        size = count(0.03)
        clap = noise(rng, size, 0.7 * centre * pitch, 1.5 * centre * pitch) * strike(size, 0.007, 0.0005)
        out += unit(scatter(rng, n, 26.0 * rate, clap))
    return out * swell(n, 0.15)
