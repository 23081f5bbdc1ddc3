"""VGGish, a VGG network that makes 128 values of every 0.96 s, with the PCA and 8-bit codes of AudioSet's embeddings.

Its spectrogram and the cutting into patches are in `espret.audio.htk_mel`.
Sources: Hershey et al., "CNN architectures for large-scale audio classification", ICASSP 2017; tensorflow/models,
research/audioset/vggish; its weights for torch: harritaylor/torchvggish.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from espret.audio.checkpoint import load_network
from espret.audio.htk_mel import PATCH, RATE, HtkLogMel, MelPatchNetwork, hop_frames
from espret.audio.network import check_rate
from espret.errors import EspretError

WIDTHS = (64, 0, 128, 0, 256, 256, 0, 512, 512, 0)  # of convolutions; 0 is a pooling
DIM, MAP_DIM, MAP_FRAMES, MAP_BANDS = 128, 512, 6, 4
LARGEST = 2.0  # magnitude of what is coded in 8 bits

Output = Literal["embedding", "embedding_pre", "pca", "quantised", "fmap"]


class VggishLogMel(HtkLogMel):
    """VGGish's spectrogram: ln(magnitude + 0.01) of 64 mel bands at 16 kHz, 100 frames a second.

    A clip shorter than one patch (0.975 s) is padded with zeros to one; the reference gives nothing for it.
    """

    def __init__(self, sample_rate: int) -> None:
        super().__init__("vggish_logmel", sample_rate, offset=0.01)


class VggishBody(nn.Module):
    """The network behind the spectrogram; its state dict has the keys of `vggish-10086976.pth`."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 1
        for width in WIDTHS:
            if width:
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = width
            else:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(
            nn.Linear(MAP_FRAMES * MAP_BANDS * MAP_DIM, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, DIM),
        )

    def maps(self, patches: Tensor) -> Tensor:
        """[patches, 96, 64] log-mel -> [patches, 512, 6 in time, 4 in frequency]."""
        found: Tensor = self.features(patches[:, None])
        return found

    def before_relu(self, patches: Tensor) -> Tensor:
        """[patches, 96, 64] log-mel -> [patches, 128], where the current code of tensorflow/models stops."""
        found: Tensor = self.embeddings(self.maps(patches).permute(0, 2, 3, 1).flatten(1))
        return found

    def forward(self, patches: Tensor) -> Tensor:
        """[patches, 96, 64] log-mel -> [patches, 128], after the last ReLU: torchvggish, and AudioSet's embeddings."""
        return self.before_relu(patches).relu()


class VggishPca(nn.Module):
    """PCA with whitening, and 8-bit codes; its state dict has the keys of `vggish_pca_params-970ea276.pth`."""

    vectors = ("pca_means",)  # AudioSet's own file has them as a column

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("pca_eigen_vectors", torch.eye(DIM))
        self.register_buffer("pca_means", torch.zeros(DIM))
        self.pca_eigen_vectors: Tensor
        self.pca_means: Tensor

    def forward(self, embeddings: Tensor) -> Tensor:
        """[patches, 128] after the ReLU -> [patches, 128], computed in float32, under autocast too."""
        with torch.autocast(embeddings.device.type, enabled=False):
            return (embeddings.float() - self.pca_means) @ self.pca_eigen_vectors.T

    def quantise(self, components: Tensor) -> Tensor:
        """[patches, 128] -> [patches, 128], whole numbers: -2..2 becomes 0..255, what lies beyond the nearer end."""
        return ((components.clamp(-LARGEST, LARGEST) + LARGEST) * (255 / (2 * LARGEST))).round()


class Vggish(MelPatchNetwork):
    """VGGish at 16 kHz: a token for each patch of 0.96 s, `hop` seconds apart.

    Options: `checkpoint`: "official", the path of torchvggish's file, or "random"; `output`: "embedding" (after the
    last ReLU), "embedding_pre" (before it), "pca", "quantised" (whole numbers 0..255) or "fmap" (the last maps averaged
    over frequency: 6 tokens a patch of 512 values; with hop 0.96 only); `pca`: the file for "pca" and "quantised",
    "official" or a path (random weights go without).

    An incomplete patch at the end is dropped; a clip shorter than one patch is padded with zeros to one.
    """

    def __init__(
        self,
        sample_rate: int,
        checkpoint: str = "official",
        output: Output = "embedding",
        hop: float = 0.96,
        pca: str = "official",
    ) -> None:
        super().__init__(VggishLogMel(check_rate("vggish", sample_rate, RATE)), hop_frames("vggish", hop))
        if output == "fmap" and self.hop != PATCH:
            raise EspretError(f"front end vggish: output fmap with hop {hop}; expected hop 0.96, patches side by side")
        self.output, self.dim, self.per_patch = output, DIM, 1
        if output == "fmap":
            self.dim, self.per_patch, self.hop_seconds = MAP_DIM, MAP_FRAMES, self.hop_seconds / MAP_FRAMES
        self.body, self.provenance = load_network("vggish", checkpoint, VggishBody)
        if output in ("pca", "quantised"):
            pca = "random" if checkpoint == "random" else pca
            self.pca, self.provenance["pca"] = load_network("vggish_pca", pca, VggishPca)

    def frames(self, samples: int) -> int:
        """Tokens that come out of a clip of `samples`."""
        return self.per_patch * super().frames(samples)

    def embed(self, patches: Tensor) -> Tensor:
        """[patches, 96, 64] -> [patches, 128], or [patches, 6, 512] for "fmap"."""
        if self.output == "fmap":
            return self.body.maps(patches).mean(dim=3).transpose(1, 2).float()
        if self.output == "embedding_pre":
            return self.body.before_relu(patches).float()
        found: Tensor = self.body(patches).float()
        if self.output == "embedding":
            return found
        components: Tensor = self.pca(found)
        return components if self.output == "pca" else self.pca.quantise(components)

    def _embed_all(self, clips: list[Tensor]) -> list[Tensor]:
        return [tokens.reshape(-1, self.dim) for tokens in super()._embed_all(clips)]
