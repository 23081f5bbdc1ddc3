"""PANNs as a trained audio encoder: dumped log-mel spectrograms (front end `panns_logmel`) to a sequence of vectors."""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from espret.audio.checkpoint import load_network
from espret.audio.panns.body import Cnn10, Cnn14, Panns, ResNet38
from espret.audio.panns.logmel import MELS
from espret.errors import EspretError

BODIES: dict[str, type[Panns]] = {"cnn10": Cnn10, "cnn14": Cnn14, "resnet38": ResNet38}


class PannsEncoder(nn.Module):
    """The body of CNN10, CNN14 or ResNet38. Padding never changes a clip's vectors in eval mode.

    `output`: "frames", the last map averaged over frequency, a vector for 32 frames (CNN10: 16); "embedding", one of
    the clip, after `fc1` and ReLU. `checkpoint`: "official", a path, or "random". `spec_augment`: mask stripes in
    training, as the reference does.
    """

    def __init__(
        self,
        dim: int,
        variant: Literal["cnn10", "cnn14", "resnet38"],
        checkpoint: str,
        output: Literal["frames", "embedding"] = "frames",
        spec_augment: bool = True,
    ) -> None:
        super().__init__()
        if dim != MELS:
            raise EspretError(
                f"model.audio ({variant}): features have {dim} dimensions; expected the {MELS} bands of the front end "
                "panns_logmel; mend: features.frontend: {type: panns_logmel}"
            )
        self.body, self.provenance = load_network(variant, checkpoint, partial(BODIES[variant], spec_augment))
        self.dim, self.output = self.body.dim, output
        # What is not asked here gets no gradients; distributed training would wait for them.
        self.body.fc_audioset.requires_grad_(False)
        self.body.fc1.requires_grad_(output == "embedding")

    def forward(self, feats: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, frames, 64] in dB -> [batch, frames / 32 or 1, dim], zero beyond the new lengths [batch]."""
        frames, lengths = self.body.frames(self.body(feats, lengths)), self.body.pooled(lengths)
        if self.output == "frames":
            return frames, lengths
        embedding = F.dropout(self.body.embedding(frames, lengths), 0.5, self.training)
        return embedding[:, None], torch.ones_like(lengths)
