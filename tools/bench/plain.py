"""A training step as a careful but plain script has it, for tools/bench/train.py: networks of the sizes of espret's.

Batches come from torch's DataLoader, which pads to the longest; losses, attention and optimisers are the textbook's, in
float32 (torch's defaults, TF32 in convolutions included) or under autocast. A caption comes with its clip's features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import kaldiio
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import BertConfig, BertModel

Pair = tuple[str, list[int]]  # an utterance and the tokens of its caption


class Conv(nn.Module):
    """PANNs' CNN10 or CNN14 on log-mels, to the maximum plus the mean over time."""

    def __init__(self, widths: Sequence[int], pools: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(64)
        pairs = list(zip([1, *widths], widths))
        self.blocks = nn.ModuleList(nn.Sequential(*self._layer(a, b), *self._layer(b, b)) for a, b in pairs)
        self.pools, self.dim = pools, widths[-1]

    @staticmethod
    def _layer(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]

    def forward(self, feats: Tensor) -> Tensor:
        x = self.norm(feats[:, None].transpose(1, 3)).transpose(1, 3)
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number < self.pools:
                x = F.avg_pool2d(x, 2)
            x = F.dropout(x, 0.2, self.training)
        x = x.mean(3)
        return x.amax(2) + x.mean(2)


class Block(nn.Module):
    """A block of ViT, attention written out."""

    def __init__(self, dim: int = 768, heads: int = 12) -> None:
        super().__init__()
        self.heads, self.scale = heads, (dim // heads) ** -0.5
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        weights = ((q @ k.transpose(-2, -1)) * self.scale).softmax(-1)
        x = x + self.proj((weights @ v).transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class Passt(nn.Module):
    """PaSST on spectrograms filled up to 10 s, as espret fills them; `patchout` rows and columns of patches are left
    out."""

    dim = 768

    def __init__(self, stride: int, depth: int, patchout: tuple[int, int]) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 768, 16, stride)
        rows, columns = (128 - 16) // stride + 1, (1000 - 16) // stride + 1
        self.place = nn.Parameter(0.02 * torch.randn(1, 768, rows, columns))
        self.first = nn.Parameter(0.02 * torch.randn(1, 2, 768))
        self.blocks = nn.Sequential(*(Block() for _ in range(depth)), nn.LayerNorm(768))
        self.kept = rows - patchout[0], columns - patchout[1]

    def forward(self, feats: Tensor) -> Tensor:
        feats = F.pad(feats, (0, 0, 0, 1000 - feats.shape[1]))
        x = self.patches(feats.transpose(1, 2)[:, None]) + self.place
        for axis, kept in zip((2, 3), self.kept):
            x = x.index_select(axis, torch.randperm(x.shape[axis], device=x.device)[:kept].sort().values)
        x = torch.cat([self.first.expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1)
        return self.blocks(x)[:, :2].mean(1)


class Retrieval(nn.Module):
    """An audio tower beside BERT, the contrastive loss of both directions."""

    def __init__(self, audio: Any, bert: dict[str, Any], embedding: int) -> None:
        super().__init__()
        self.audio, self.text = audio, BertModel(BertConfig(**bert))
        self.project_audio = nn.Linear(audio.dim, embedding)
        self.project_text = nn.Linear(self.text.config.hidden_size, embedding)
        self.scale = nn.Parameter(torch.tensor(0.07))

    def forward(self, feats: Tensor, _lengths: Tensor, tokens: Tensor) -> Tensor:
        audio = F.normalize(self.project_audio(self.audio(feats)), dim=1)
        hidden = self.text(input_ids=tokens, attention_mask=(tokens != 0).long()).last_hidden_state
        text = F.normalize(self.project_text(hidden[:, 0]), dim=1)
        logits = text @ audio.T / self.scale
        right = torch.arange(len(logits), device=logits.device)
        return (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2


class Captioner(nn.Module):
    """An adapter of two layers and torch's Transformer decoder."""

    def __init__(self, inputs: int, vocabulary: int, adapter: dict[str, Any], decoder: dict[str, Any]) -> None:
        super().__init__()
        dim, hidden = adapter["dim"], adapter["hidden"]
        self.adapter = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, dim))
        self.embedding = nn.Embedding(vocabulary, dim, padding_idx=0)
        self.place = nn.Parameter(0.02 * torch.randn(1, 100, dim))
        one = nn.TransformerDecoderLayer(
            dim, decoder["heads"], decoder["feedforward"], decoder["dropout"], batch_first=True
        )
        self.decoder = nn.TransformerDecoder(one, decoder["layers"])
        self.out = nn.Linear(dim, vocabulary)

    def forward(self, feats: Tensor, lengths: Tensor, tokens: Tensor) -> Tensor:
        memory = self.adapter(feats)
        beyond = torch.arange(memory.shape[1], device=feats.device)[None] >= lengths[:, None]
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        x = self.embedding(inputs) + self.place[:, : inputs.shape[1]]
        future = nn.Transformer.generate_square_subsequent_mask(inputs.shape[1], device=x.device) != 0
        x = self.decoder(x, memory, future, tgt_key_padding_mask=inputs == 0, memory_key_padding_mask=beyond)
        return F.cross_entropy(self.out(x).flatten(0, 1), targets.flatten(), ignore_index=0)


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    """Features and tokens of pairs, read with kaldiio."""

    def __init__(self, feats: Path) -> None:
        self.matrices = kaldiio.load_scp(str(feats / "feats.scp"))

    def __getitem__(self, pair: Pair) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        utt, tokens = pair
        return torch.from_numpy(self.matrices[utt].copy()), torch.tensor(tokens)


def collate(rows: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """Features padded to the longest, their lengths, tokens padded."""
    feats, tokens = zip(*rows)
    pad = nn.utils.rnn.pad_sequence
    return pad(feats, batch_first=True), torch.tensor([len(one) for one in feats]), pad(tokens, batch_first=True)


def batches(feats: Path, pairs: Sequence[Sequence[Pair]], workers: int) -> Iterator[Any]:
    """The batches, by a DataLoader."""
    return iter(DataLoader(Pairs(feats), batch_sampler=pairs, collate_fn=collate, num_workers=workers))  # type: ignore[arg-type]
