"""The kinds of sound event: one row each, with what makes its sound and the words that people use for it.

Adding a kind is a function in `nature` or `objects` and a row here. How the words become sentences is in `captions`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from numpy.random import Generator

from espret.data.scenes import nature, objects
from espret.data.scenes.signal import Samples

Synth = Callable[[Generator, int, float, float], Samples]  # generator, samples, pitch and rate multipliers


@dataclass(frozen=True)
class Phrase:
    """One way to say it: "a dog", "barks", "barking"; a subject without article is plural or a mass ("rain")."""

    subject: str
    verb: str
    participle: str


@dataclass(frozen=True)
class Kind:
    """A kind of sound event: its sound, its phrases (the usual one first), which of its traits are worth words."""

    name: str
    synth: Synth
    steady: bool  # goes on without pause, so that it can serve as a background
    traits: frozenset[str]  # of "pitch", "rate"; loudness always is
    phrases: tuple[Phrase, ...]


def _kind(name: str, synth: Synth, steady: bool, traits: str, *phrases: str) -> Kind:
    rows = (Phrase(*(part.strip() for part in phrase.split("|"))) for phrase in phrases)
    return Kind(name, synth, steady, frozenset(traits.split()), tuple(rows))


# fmt: off
_ROWS = (
    _kind("siren", objects.siren, True, "pitch",
          "a siren | wails | wailing", "an emergency siren | blares | blaring", "a police siren | sounds | sounding"),
    _kind("bell", objects.bell, False, "pitch rate",
          "a church bell | rings | ringing", "a bell | tolls | tolling", "a large bell | chimes | chiming"),
    _kind("telephone", objects.telephone, False, "pitch",
          "a telephone | rings | ringing", "an old phone | rings | ringing", "a phone | keeps ringing | ringing"),
    _kind("beeps", objects.beeps, False, "pitch rate",
          "an alarm | beeps | beeping", "an electronic alarm | beeps | beeping",
          "an alarm clock | goes off | going off"),
    _kind("whistle", objects.whistle, False, "",
          "a person | whistles a tune | whistling a tune", "someone | whistles | whistling",
          "a man | whistles a melody | whistling a melody"),
    _kind("horn", objects.horn, False, "",
          "a train horn | blows | blowing", "a train | blows its horn | blowing its horn",
          "a train horn | honks | honking"),
    _kind("engine", objects.engine, True, "",
          "a car engine | idles | idling", "an engine | runs | running", "a vehicle engine | hums | humming"),
    _kind("motorbike", objects.motorbike, True, "rate",
          "a motorcycle | revs its engine | revving its engine", "a motorbike | accelerates | accelerating",
          "a motorcycle | revs up and down | revving up and down"),
    _kind("helicopter", objects.helicopter, True, "",
          "a helicopter | flies overhead | flying overhead", "a helicopter | hovers | hovering",
          "helicopter blades | spin | spinning"),
    _kind("saw", objects.saw, True, "rate",
          "a person | saws wood | sawing wood", "someone | cuts wood with a saw | cutting wood with a saw",
          "a hand saw | cuts through wood | cutting through wood"),
    _kind("footsteps", objects.footsteps, False, "rate",
          "a person | walks | walking", "footsteps | thump on a floor | thumping on a floor",
          "someone | walks across a floor | walking across a floor"),
    _kind("knocking", objects.knocking, False, "rate",
          "someone | knocks on a door | knocking on a door",
          "a person | knocks on a wooden door | knocking on a wooden door",
          "a hand | raps on a door | rapping on a door"),
    _kind("ticking", objects.ticking, False, "rate",
          "a clock | ticks | ticking", "a clock | ticks and tocks | ticking and tocking", "a watch | ticks | ticking"),
    _kind("typing", objects.typing, False, "rate",
          "a person | types on a keyboard | typing on a keyboard", "keyboard keys | click | clicking",
          "someone | types on a computer | typing on a computer"),
    _kind("applause", objects.applause, True, "",
          "a crowd | applauds | applauding", "people | clap their hands | clapping their hands",
          "an audience | claps | clapping"),
    _kind("rain", nature.rain, True, "",
          "rain | falls | falling", "heavy rain | pours down | pouring down",
          "rain | patters on the ground | pattering on the ground"),
    _kind("wind", nature.wind, True, "",
          "wind | blows | blowing", "strong wind | blows | blowing", "the wind | howls | howling"),
    _kind("thunder", nature.thunder, False, "",
          "thunder | rumbles | rumbling", "thunder | roars | roaring", "a thunder clap | rolls | rolling"),
    _kind("drops", nature.drops, False, "rate",
          "water | drips | dripping", "drops of water | fall | falling", "a faucet | drips | dripping"),
    _kind("bird", nature.bird, False, "pitch rate",
          "a bird | chirps | chirping", "birds | sing | singing", "a small bird | tweets | tweeting"),
    _kind("dog", nature.dog, False, "rate",
          "a dog | barks | barking", "a dog | barks repeatedly | barking repeatedly", "a puppy | yaps | yapping"),
    _kind("cat", nature.cat, False, "",
          "a cat | meows | meowing", "a kitten | meows | meowing", "a cat | cries | crying"),
    _kind("baby", nature.baby, False, "",
          "a baby | cries | crying", "an infant | cries | crying", "a baby | wails | wailing"),
    _kind("frog", nature.frog, False, "rate",
          "a frog | croaks | croaking", "frogs | croak | croaking", "a toad | croaks | croaking"),
    _kind("cricket", nature.cricket, True, "",
          "crickets | chirp | chirping", "a cricket | chirps | chirping",
          "insects | chirp in the grass | chirping in the grass"),
)
# fmt: on

KINDS: dict[str, Kind] = {row.name: row for row in _ROWS}
