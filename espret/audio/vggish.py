"""VGGish, a VGG network that makes 128 values of every 0.96 s, with the PCA and 8-bit codes of AudioSet's embeddings.

Its front end and the cutting into patches are in `espret.audio.htk_mel`.
Sources: Hershey et al., "CNN architectures for large-scale audio classification", ICASSP 2017; tensorflow/models,
research/audioset/vggish; the weights as torch has them: harritaylor/torchvggish.
"""

from __future__ import annotations

from torch import Tensor, nn

from espret.audio.htk_mel import HtkLogMel

WIDTHS = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool")
DIM, MAP_DIM, MAP_FRAMES, MAP_BANDS = 128, 512, 6, 4
LIMIT = 2.0  # of what is quantised


class VggishLogMel(HtkLogMel):
    """VGGish's front end: ln(magnitude + 0.01) of 64 mel bands at 16 kHz, 100 frames a second.

    A clip shorter than one patch (0.975 s) is padded with zeros to one; the reference gives nothing for it.
    """

    def __init__(self, sample_rate: int) -> None:
        super().__init__("vggish_logmel", sample_rate, offset=0.01)


class VggishBody(nn.Module):
    """The network behind the front end; its state dict has the keys of `vggish-10086976.pth`."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 1
        for width in WIDTHS:
            if isinstance(width, int):
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = width
            else:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(
            nn.Linear(MAP_DIM * MAP_FRAMES * MAP_BANDS, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, DIM),
            nn.ReLU(),  # not in place: what comes before it is an output too
        )

    def map(self, patches: Tensor) -> Tensor:
        """[patches, 96, 64] log-mel -> [patches, 512, 6 in time, 4 in frequency]."""
        found: Tensor = self.features(patches[:, None])
        return found

    def before_relu(self, patches: Tensor) -> Tensor:
        """[patches, 96, 64] log-mel -> [patches, 128], where the current code of tensorflow/models stops."""
        found: Tensor = self.embeddings[:-1](self.map(patches).permute(0, 2, 3, 1).flatten(1))
        return found

    def forward(self, patches: Tensor) -> Tensor:
        """[patches, 96, 64] log-mel -> [patches, 128], after the last ReLU, as torchvggish has it."""
        found: Tensor = self.embeddings[-1](self.before_relu(patches))
        return found
