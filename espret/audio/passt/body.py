"""The body of PaSST, the patchout spectrogram transformer: log-mel spectrograms of up to a segment to tokens."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from espret.audio.passt.mel import BANDS
from espret.errors import EspretError

WIDTH, HEADS, PATCH, CLASSES = 768, 12, 16, 527
FIRST = 2  # tokens before those of the patches: class and distillation

Number = TypeVar("Number", int, Tensor)


class Variant(NamedTuple):
    """A published network: hop of the patches (in bands and frames), positions in time, blocks, segment in seconds."""

    stride: int
    positions: int
    depth: int
    seconds: int

    @property
    def rows(self) -> int:
        """Patches over frequency."""
        return (BANDS - PATCH) // self.stride + 1

    def columns(self, frames: Number) -> Number:
        """Patches over time that lie within so many frames of a spectrogram (those left over are not heard)."""
        return (frames - PATCH) // self.stride + 1


VARIANTS = {
    "passt_n": Variant(16, 62, 12, 10),
    "passt_s": Variant(10, 99, 12, 10),
    "passt_l": Variant(10, 99, 7, 10),
    "passt_s20": Variant(10, 200, 12, 20),
}


class Attention(nn.Module):
    """Self-attention whose queries, keys and values come of one matrix, as ViT checkpoints have it."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.proj = nn.Linear(WIDTH, WIDTH)
        self.dropout = dropout

    def forward(self, x: Tensor, wanted: int | None) -> Tensor:
        """[batch, tokens, 768] -> what the first `wanted` tokens (None: all) gather from all of them."""
        query, key, value = self.qkv(x).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        gathered = F.scaled_dot_product_attention(query[:, :, :wanted], key, value)
        return F.dropout(self.proj(gathered.transpose(1, 2).flatten(2)), self.dropout, self.training)


class Mlp(nn.Module):
    """Two linear layers with a GELU between."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(WIDTH, 4 * WIDTH)
        self.fc2 = nn.Linear(4 * WIDTH, WIDTH)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """[batch, tokens, 768] -> the same shape."""
        x = F.dropout(F.gelu(self.fc1(x)), self.dropout, self.training)
        return F.dropout(self.fc2(x), self.dropout, self.training)


class Block(nn.Module):
    """A transformer block that normalises first. Its sums, and so its norms, stay in float32 under autocast."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH, eps=1e-6)
        self.attn = Attention(dropout)
        self.norm2 = nn.LayerNorm(WIDTH, eps=1e-6)
        self.mlp = Mlp(dropout)

    def forward(self, x: Tensor, wanted: int | None = None) -> Tensor:
        """[batch, tokens, 768] -> the first `wanted` of the tokens (None: all)."""
        x = x[:, :wanted] + self.attn(self.norm1(x), wanted)
        return x + self.mlp(self.norm2(x))


class Tokens(NamedTuple):
    """What the transformer makes of spectrograms, after its last norm."""

    cls: Tensor  # [batch, 768]
    dist: Tensor  # [batch, 768]
    patches: Tensor  # [batch, rows (frequency), columns (time), 768]
    kept: Tensor  # [columns] where the columns stood before patchout


class Passt(nn.Module):
    """The transformer: log-mel spectrograms [batch, frames, 128] of at most a segment to tokens.

    `variant` is one of VARIANTS. In train mode `patchout_f` rows and `patchout_t` columns of patches, drawn for the
    batch, are left out (one of each always stays), and `dropout` acts on the tokens and within the blocks, as in the
    reference. Spectrograms shorter than the segment take the first of the positions in time.
    """

    def __init__(self, variant: str, patchout_f: int = 0, patchout_t: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        self.name, self.variant = variant, VARIANTS[variant]
        if not (0 <= patchout_f < self.variant.rows and 0 <= patchout_t < self.variant.positions):
            raise EspretError(
                f"{variant}: patchout_f {patchout_f}, patchout_t {patchout_t}; expected less than its "
                f"{self.variant.rows} rows and {self.variant.positions} columns of patches"
            )
        self.patchout_f, self.patchout_t, self.dropout = patchout_f, patchout_t, dropout
        self.cls_token = _small(1, 1, WIDTH)
        self.dist_token = _small(1, 1, WIDTH)
        self.new_pos_embed = _small(1, FIRST, WIDTH)
        self.freq_new_pos_embed = _small(1, WIDTH, self.variant.rows, 1)
        self.time_new_pos_embed = _small(1, WIDTH, 1, self.variant.positions)
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(1, WIDTH, PATCH, self.variant.stride)})
        self.blocks = nn.ModuleList(Block(dropout) for _ in range(self.variant.depth))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-6)
        self.head = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, CLASSES))
        self.head_dist = nn.Linear(WIDTH, CLASSES)

    def forward(self, mel: Tensor) -> Tokens:
        """[batch, frames, 128] -> tokens. Raises EspretError for fewer than 16 frames, or more than positions."""
        x, rows, kept = self._heard(mel)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return Tokens(x[:, 0], x[:, 1], x[:, FIRST:].unflatten(1, (rows, -1)), kept)

    def embedding(self, mel: Tensor) -> Tensor:
        """[batch, frames, 128] -> mean of the class and the distillation token [batch, 768]."""
        x, _, _ = self._heard(mel)
        for number, block in enumerate(self.blocks, start=1):
            x = block(x, FIRST if number == len(self.blocks) else None)  # nobody asks for the other tokens
        return self.norm(x).mean(1)

    def logits(self, embedding: Tensor) -> Tensor:
        """[batch, 768] -> AudioSet's classes [batch, 527], before the sigmoid."""
        return self.head(embedding)

    def _heard(self, mel: Tensor) -> tuple[Tensor, int, Tensor]:
        """What goes into the first block [batch, tokens, 768]; the rows and columns (by number) of the patches."""
        columns = self.variant.columns(mel.shape[1])
        if not 1 <= columns <= self.variant.positions:
            most = self.variant.positions * self.variant.stride + PATCH - 1
            raise EspretError(
                f"{self.name}: a spectrogram of {mel.shape[1]} frames; expected {PATCH} to {most}: cut it into segments"
            )
        x = self.patch_embed["proj"](mel.transpose(1, 2)[:, None])  # [batch, 768, rows, columns]
        x = x + self.time_new_pos_embed[..., :columns] + self.freq_new_pos_embed
        kept = torch.arange(columns, device=x.device)
        if self.training and self.patchout_t:
            kept = _left(columns, self.patchout_t, x.device)
            x = x[..., kept]
        if self.training and self.patchout_f:
            x = x[:, :, _left(self.variant.rows, self.patchout_f, x.device)]
        first = torch.cat([self.cls_token, self.dist_token], dim=1) + self.new_pos_embed
        rows = x.shape[2]
        x = torch.cat([first.expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], dim=1)
        return F.dropout(x, self.dropout, self.training), rows, kept


def _small(*shape: int) -> nn.Parameter:
    """What tokens and positions start from where there is no checkpoint."""
    return nn.Parameter(0.02 * torch.randn(shape))


def _left(size: int, out: int, device: torch.device) -> Tensor:
    """Numbers below `size`, ascending, without `out` of them (one always stays)."""
    return torch.randperm(size, device=device)[: max(1, size - out)].sort().values
