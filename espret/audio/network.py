"""What every front end and frozen network of stage 1 is: a module that makes frames of waveforms.

The networks themselves live in modules of their own (`espret.audio.FRONTENDS` lists them), reading their checkpoints in
`espret.audio.checkpoint`, writing what they make to ark/scp in `espret.features.dump`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
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
    whose state dict has the keys of the official file.
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
        by_length: dict[int, list[int]] = {}
        for number, clip in enumerate(clips):
            by_length.setdefault(len(clip), []).append(number)
        found: dict[int, Tensor] = {}
        for numbers in by_length.values():
            frames = self(torch.stack([clips[number] for number in numbers]))
            found.update(zip(numbers, frames))
        return [found[number] for number in range(len(clips))]


def check_rate(name: str, given: int, needed: int) -> int:
    """`needed`, the rate that a network was trained at. Raises EspretError where the configuration says another."""
    if given != needed:
        raise EspretError(f"front end {name}: features.sample_rate is {given}; expected {needed} Hz, which it hears")
    return needed
