"""Embeddings of a split's clips and captions and the similarities between them, by a retrieval network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from espret.files import atomic_write, write_text
from espret.models.batch import pad_tokens
from espret.training.data import Split, clips_only, read

BLOCK = 512  # captions embedded and compared at a time


@dataclass
class Embed:
    """The decode section of a retrieval system."""

    batch_size: int = 64


@dataclass
class Embeddings:
    """On the CPU: `audio` [clips, ...] and `text` [captions, ...] in the split's order, `sim` [captions, clips]."""

    audio: Tensor
    text: Tensor
    sim: Tensor


@contextmanager
def evaluating(network: torch.nn.Module) -> Iterator[None]:
    """Eval mode without gradients; the mode is put back at the end."""
    before = network.training
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        network.train(before)


def embed(network: Any, split: Split, batch_size: int, device: torch.device) -> Embeddings:
    """Embed every clip once and every caption once, and compare all with all, a block of captions at a time."""
    audio = embed_clips(network, split, batch_size, device)
    text = embed_captions(network, split.tokens, device)
    with evaluating(network):
        sim = torch.cat([network.similarity(part, audio).float().cpu() for part in text.split(BLOCK)])
    return Embeddings(audio.float().cpu(), text.float().cpu(), sim)


def embed_clips(network: Any, split: Split, batch_size: int, device: torch.device) -> Tensor:
    """Embeddings [clips, ...] of the clips of `split`, in its order, on `device`."""
    with evaluating(network):
        batches = (batch.to(device) for batch in read(split, clips_only(split, batch_size)))
        return torch.cat([network.embed_audio(batch.feats, batch.lengths) for batch in batches])


def embed_captions(network: Any, tokens: list[list[int]], device: torch.device) -> Tensor:
    """Embeddings [captions, ...] of encoded captions (BOS and EOS included), on `device`."""
    blocks = [tokens[start : start + BLOCK] for start in range(0, len(tokens), BLOCK)]
    with evaluating(network):
        return torch.cat([network.embed_text(pad_tokens(block).to(device)) for block in blocks])


def write_embeddings(result: Embeddings, split: Split, out: str | Path) -> None:
    """Write `sim.npy`, `audio.npy`, `text.npy` (float32) and the ids of rows and columns to folder `out`."""
    folder = Path(out)
    for name, value in (("audio", result.audio), ("text", result.text), ("sim", result.sim)):
        with atomic_write(folder / f"{name}.npy", "wb") as stream:
            np.save(stream, value.numpy())
    write_text(folder / "captions.txt", "".join(f"{caption}\n" for caption in split.captions))
    write_text(folder / "clips.txt", "".join(f"{utt}\n" for utt in split.utts))
