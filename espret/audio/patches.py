"""Networks that see patches of one size: those of all clips go through together, a bounded number at a time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from espret.audio.network import Extractor


class PatchExtractor(Extractor):
    """An Extractor that makes one frame of each patch; it holds what `at_a_time` patches need in its network."""

    at_a_time: int = 16

    @abstractmethod
    def patches(self, samples: Tensor) -> Tensor:
        """[batch, samples] -> [batch, patches, ...]; a view where patches overlap, for only parts of it are copied."""

    @abstractmethod
    def embed(self, patches: Tensor) -> Tensor:
        """[patches, ...] -> [patches, dim] float32."""

    def forward(self, samples: Tensor) -> Tensor:
        """[batch, samples] float32, about -1..1 -> [batch, patches, dim] float32."""
        return torch.stack(self._embed_all(list(self.patches(samples))))

    def extract(self, clips: Sequence[Tensor]) -> list[Tensor]:
        """The frames [patches, dim] of clips [samples] of any lengths, on the clips' device."""
        return self._embed_all([self.patches(clip[None])[0] for clip in clips])

    def _embed_all(self, clips: list[Tensor]) -> list[Tensor]:
        """Frames of each clip's patches [patches, ...], whose groups begin and end anywhere in the clips."""
        groups: list[list[Tensor]] = [[]]
        room = self.at_a_time
        for patches in clips:
            while len(patches):
                if not room:
                    groups.append([])
                    room = self.at_a_time
                groups[-1].append(patches[:room])
                patches, room = patches[room:], room - len(groups[-1][-1])
        frames = torch.cat([self.embed(torch.cat(group)) for group in groups])
        return list(frames.split([len(patches) for patches in clips]))
