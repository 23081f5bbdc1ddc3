"""What every front end and frozen network of stage 1 is: a module that makes frames of waveforms.

The networks themselves live in modules of their own (`espret.audio.FRONTENDS` lists them), reading their checkpoints in
`espret.audio.checkpoint`, writing what they make to ark/scp in `espret.features.dump`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from espret.errors import EspretError


class Extractor(nn.Module):
    """From mono waveforms at `sample_rate` Hz to frames of `dim` values, `hop_seconds` apart.

    A frozen network is one too: its frames are tokens, patches, segments, or one frame for the whole clip (then
    `hop_seconds` is 0). What it gives for a clip does not depend on the clips that are processed with it. `provenance`
    says where its weights come from (`checkpoint`, `sha256`, ...); of a front end it is empty.

    The networks of networks.tsv have two parts: `front`, from waveforms to spectrograms, without weights, and `body`,
    whose state dict has the keys of the official file (of Keras's: its method `from_keras` makes it one).
    """

    sample_rate: int
    dim: int
    hop_seconds: float

    def __init__(self) -> None:
        super().__init__()
        self.provenance: dict[str, Any] = {}

    @abstractmethod
    def frames(self, samples: int) -> int:
        """Frames that come out of a clip of `samples` (at least 1)."""

    @abstractmethod
    def forward(self, samples: Tensor) -> Tensor:
        """[batch, samples] float32, about -1..1, all of one length -> [batch, frames, dim] float32."""

    def extract(self, clips: Sequence[Tensor]) -> list[Tensor]:
        """The frames [frames, dim] of clips [samples] of any lengths, on the clips' device.

        Here clips of the same length go through `forward` together; networks that cut clips into patches or segments
        put these together instead.
        """
        return heard_by_length(clips, lambda some: self(torch.stack(some)), at_a_time=len(clips))


def heard_by_length(
    clips: Sequence[Tensor],
    hear: Callable[[list[Tensor]], Tensor],
    at_a_time: int,
    length: Callable[[Tensor], int] = len,
) -> list[Tensor]:
    """What `hear` makes of each of the clips; it gets at most `at_a_time` together, all of one `length`."""
    order = sorted(range(len(clips)), key=lambda number: length(clips[number]))
    found: dict[int, Tensor] = {}
    for _, group in groupby(order, key=lambda number: length(clips[number])):
        numbers = list(group)
        for some in (numbers[first : first + at_a_time] for first in range(0, len(numbers), at_a_time)):
            found.update(zip(some, hear([clips[number] for number in some])))
    return [found[number] for number in range(len(clips))]


class WrongRate(EspretError):
    """The configuration says another sample rate than `needed` (Hz), the one that a front end is made for."""

    def __init__(self, name: str, given: int, needed: int) -> None:
        super().__init__(f"front end {name}: features.sample_rate is {given}; expected {needed} Hz, which it hears")
        self.needed = needed


def check_rate(name: str, given: int, needed: int) -> int:
    """`needed`, the rate that a network was trained at. Raises WrongRate where the configuration says another."""
    if given != needed:
        raise WrongRate(name, given, needed)
    return needed
