"""The dual encoder of language-based audio retrieval: one vector a clip, one a caption, cosine similarity."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from espret.config import Component, build
from espret.models import AUDIO_ENCODERS
from espret.models.batch import Batch, length_mask
from espret.models.retrieval import LOSSES, POOLINGS, TEXT_ENCODERS
from espret.models.retrieval.losses import Pairs
from espret.training.distributed import gather_pairs


class DualEncoder(nn.Module):
    """Audio encoder, pooling and projection beside text encoder and projection (Mei et al., 2022).

    A projection is Linear-ReLU-Linear through `hidden` units, or one Linear layer if `hidden` is 0; both sides end in
    `embedding` values of unit L2 norm.
    """

    def __init__(
        self,
        dim: int,
        vocabulary: int,
        audio: Component,
        pooling: Component,
        text: Component,
        loss: Component,
        embedding: int = 256,
        hidden: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.audio = build(AUDIO_ENCODERS, audio, "model.audio", dim=dim)
        self.pooling = build(POOLINGS, pooling, "model.pooling", dim=self.audio.dim)
        self.text = build(TEXT_ENCODERS, text, "model.text", vocabulary=vocabulary)
        self.criterion = build(LOSSES, loss, "model.loss")
        self.project_audio = _projection(self.pooling.dim, hidden, embedding, dropout)
        self.project_text = _projection(self.text.dim, hidden, embedding, dropout)

    def embed_audio(self, feats: Tensor, lengths: Tensor) -> Tensor:
        """Clips [batch, frames, dim] of lengths [batch] to unit vectors [batch, embedding]."""
        frames, lengths = self.audio(feats, lengths)
        pooled = self.pooling(frames, length_mask(lengths, frames.shape[1]))
        return F.normalize(self.project_audio(pooled), dim=1)

    def embed_text(self, tokens: Tensor) -> Tensor:
        """Captions [captions, length] (BOS ... EOS, PAD) to unit vectors [captions, embedding]."""
        return F.normalize(self.project_text(self.text(tokens)), dim=1)

    def similarity(self, text: Tensor, audio: Tensor) -> Tensor:
        """Cosine similarities [captions, clips] of embeddings."""
        return text @ audio.T

    def rows(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the loss needs of a batch: embeddings of its clips and of its captions."""
        return self.embed_audio(batch.feats, batch.lengths), self.embed_text(batch.tokens)

    def loss_of(self, rows: tuple[Tensor, Tensor], batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The contrastive loss over the batch, in float32; in training over the batches of all processes."""
        with torch.autocast(batch.feats.device.type, enabled=False):
            audio, text, owner, clip = rows[0].float(), rows[1].float(), batch.owner, batch.clip
            if self.training:
                audio, text, owner, clip = gather_pairs(audio, text, owner, clip)
            loss = self.criterion(self.similarity(text, audio), Pairs.of(owner, clip))
        return loss, {"loss": loss.detach()}

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """`loss_of` the batch's own rows."""
        return self.loss_of(self.rows(batch), batch)


def _projection(inputs: int, hidden: int, outputs: int, dropout: float) -> nn.Module:
    if not hidden:
        return nn.Linear(inputs, outputs)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, outputs))
