"""The captioning network: audio encoder, adapter, decoder, and the cross entropy of the next token."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from espret.config import Component, build
from espret.models import AUDIO_ENCODERS
from espret.models.batch import Batch, length_mask
from espret.models.captioning import ADAPTERS, DECODERS
from espret.text.tokenizers import PAD
from espret.training.distributed import means_over_processes


class Captioner(nn.Module):
    """Encoder-decoder captioning (Weck et al., 2021). `label_smoothing` applies in training only."""

    def __init__(
        self,
        dim: int,
        vocabulary: int,
        audio: Component,
        adapter: Component,
        decoder: Component,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.audio = build(AUDIO_ENCODERS, audio, "model.audio", dim=dim)
        self.adapter = build(ADAPTERS, adapter, "model.adapter", inputs=self.audio.dim)
        self.decoder = build(DECODERS, decoder, "model.decoder", vocabulary=vocabulary, memory_dim=self.adapter.dim)
        self.label_smoothing = label_smoothing

    def encode(self, feats: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """What the decoder attends to: ([batch, length, dim], mask [batch, length]) of features."""
        frames, lengths = self.audio(feats, lengths)
        mask = length_mask(lengths, frames.shape[1])
        return self.adapter(frames, mask), mask

    def loss(self, batch: Batch, whole: Batch | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean cross entropy a token (EOS counts, PAD does not), and the share of tokens that are predicted.

        With `whole`, of which `batch` is a part: what it adds to these means over the tokens of the whole. In training
        all means are over the batches of all processes.
        """
        memory, mask = self.encode(batch.feats, batch.lengths)
        logits = self.decoder(batch.tokens[:, :-1], memory, mask, batch.owner)
        targets = batch.tokens[:, 1:]
        smoothing = self.label_smoothing if self.training else 0.0
        total = F.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=PAD, reduction="sum", label_smoothing=smoothing
        )
        real = targets != PAD
        count = ((whole or batch).tokens[:, 1:] != PAD).sum()
        sums = torch.stack([total, ((logits.argmax(2) == targets) & real).sum().to(total)])
        losses, means = means_over_processes(sums, count) if self.training else (sums / count, sums.detach() / count)
        return losses[0], {"loss": means[0], "accuracy": 100 * means[1]}
