"""Training data: a split's features and captions, how an epoch is cut into batches, and reading these batches.

The order is a function of (seed, epoch) alone, and a global batch is cut the same way for any number of processes. How
batches are made ahead of the loop is in prefetch.py.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from espret.data.datadir import DataDir
from espret.errors import EspretError, nearest
from espret.features.reader import FeatureReader
from espret.models.batch import Batch, pad_features, pad_tokens
from espret.text.normalise import normalise
from espret.text.tokenizers import BOS, EOS, Tokenizer
from espret.training.prefetch import ahead

Item = tuple[int, tuple[int, ...]]  # a clip's number and the numbers of the captions that come with it
CAPTIONS_PER_CLIP = ("one", "all", "group")


class Split:
    """Clips with features and, if there is a tokenizer, encoded captions.

    `utts` and `captions` (ids) are in the order of the data directory; `owner[k]` is the clip of caption k. Features
    are kept in memory, as float16 where they are stored so, when they take less than `cache_gb` GB. Raises EspretError
    if a clip has no features.
    """

    def __init__(self, data: str | Path, feats: str | Path, tokenizer: Tokenizer | None, cache_gb: float = 2.0) -> None:
        directory = DataDir.load(data)
        self.name = str(data)
        self.utts = directory.utts
        self.reader = FeatureReader(feats)
        self.dim = self.reader.dim
        missing = [utt for utt in self.utts if utt not in self.reader]
        if missing:
            mend = "redo stage 1"
            if (self.reader.path / "missing").exists():
                mend = "what they were imported from has none of these; train on a set without them"
            raise EspretError(
                f"{feats}: no features of {len(missing)} clip(s) of {data}, the first is {missing[0]}; {mend}"
            )
        self.captions: list[str] = []
        self.tokens: list[list[int]] = []
        self.owner: list[int] = []
        self._captions_of: list[list[int]] = [[] for _ in self.utts]
        if tokenizer is not None:
            self._encode(directory, tokenizer)
        half = self.reader.about.get("dtype") == "float16"  # imported features do not say
        kept = np.dtype(np.float16 if half else np.float32)
        self._cache: dict[int, Tensor] | None = {} if self._gigabytes(kept) < cache_gb else None
        self._kept = kept if self.cached else np.dtype(np.float32)

    def _gigabytes(self, kept: np.dtype[Any]) -> float:
        frames = self.reader.num_frames()
        return sum(frames[utt] for utt in self.utts) * self.dim * kept.itemsize / 1e9

    def _encode(self, directory: DataDir, tokenizer: Tokenizer) -> None:
        numbers = {utt: number for number, utt in enumerate(self.utts)}
        for number, (caption, words) in enumerate(directory.text.items()):
            clip = numbers[directory.cap2utt[caption]]
            self.captions.append(caption)
            self.tokens.append([BOS, *tokenizer.encode(normalise(words)), EOS])
            self.owner.append(clip)
            self._captions_of[clip].append(number)

    @property
    def cached(self) -> bool:
        """Whether features are kept in memory once read."""
        return self._cache is not None

    def features(self, clip: int) -> Tensor:
        """[frames, dim] of clip number `clip`, float32 or, where they are kept so, float16."""
        if self._cache is not None and clip in self._cache:
            return self._cache[clip]
        matrix = torch.from_numpy(np.require(self.reader.stored(self.utts[clip]), self._kept, "W"))
        if self._cache is not None:
            self._cache[clip] = matrix
        return matrix

    def batch(self, items: Sequence[Item], pinned: bool = False) -> Batch:
        """The batch of `items`; `pinned`: in memory that a GPU copies from by itself."""
        feats, lengths = pad_features([self.features(clip) for clip, _ in items], pinned)
        owner = [row for row, (_, captions) in enumerate(items) for _ in captions]
        batch = Batch(
            utts=[self.utts[clip] for clip, _ in items],
            feats=feats,
            lengths=lengths,
            tokens=pad_tokens([self.tokens[caption] for _, captions in items for caption in captions]),
            owner=torch.tensor(owner, dtype=torch.long),
            clip=torch.tensor([clip for clip, _ in items], dtype=torch.long),
        )
        return batch.pinned() if pinned else batch

    def captions_of(self) -> list[list[int]]:
        """For each clip the numbers of its captions."""
        return self._captions_of


def epoch_items(split: Split, mode: str, seed: int, epoch: int) -> list[Item]:
    """The examples of an epoch, shuffled. `mode` is `train.captions_per_clip`.

    `one`: every clip with a random one of its captions; `group`: every clip with all its captions, so that its audio
    is encoded once; `all`: every (clip, caption) pair.
    """
    if mode not in CAPTIONS_PER_CLIP:
        raise EspretError(f"train.captions_per_clip: unknown '{mode}'{nearest(mode, CAPTIONS_PER_CLIP)}")
    rng = random.Random(f"{seed} {epoch}")
    clips = [(clip, captions) for clip, captions in enumerate(split.captions_of()) if captions]
    if not clips:
        raise EspretError(f"{split.name}: no captions to train on")
    if mode == "one":
        items: list[Item] = [(clip, (rng.choice(captions),)) for clip, captions in clips]
    elif mode == "group":
        items = [(clip, tuple(captions)) for clip, captions in clips]
    else:
        items = [(clip, (caption,)) for clip, captions in clips for caption in captions]
    rng.shuffle(items)
    return items


def cut(items: Sequence[Item], batch_size: int, rank: int = 0, world: int = 1) -> list[Sequence[Item]]:
    """Near-equal batches of at most `batch_size`, so that no example is left out and no batch is tiny.

    `batch_size` counts the examples of all processes; this one gets every `world`-th from `rank`. Raises EspretError
    if a process would get none.
    """
    count = -(-len(items) // batch_size)
    bounds = [len(items) * number // count for number in range(count + 1)]
    batches = [items[start:end] for start, end in zip(bounds, bounds[1:])]
    if min(len(batch) for batch in batches) < world:
        raise EspretError(f"{len(items)} examples in {count} batch(es) do not suffice for {world} processes")
    return [batch[rank::world] for batch in batches]


def read(
    split: Split, batches: Sequence[Sequence[Item]], workers: int = 0, device: torch.device | None = None
) -> Iterator[Batch]:
    """The batches in order, made ahead by `workers` threads; 0: each when it is asked for.

    `device` says where they go next: for a GPU they are made in memory that it copies from by itself.
    """
    pinned = device is not None and device.type == "cuda"
    make = functools.partial(split.batch, pinned=True) if pinned else split.batch
    if not workers:
        return map(make, batches)
    # A thread's own device is the first GPU; pinned memory would take room there for each process.
    begin = functools.partial(torch.cuda.set_device, device) if pinned else None
    return ahead(make, batches, workers, begin)


def clips_only(split: Split, batch_size: int, numbers: Sequence[int] | None = None) -> list[Sequence[Item]]:
    """Batches of clips without captions, in order, for decoding; `numbers` restricts them."""
    clips = range(len(split.utts)) if numbers is None else numbers
    items: list[Item] = [(clip, ()) for clip in clips]
    return [items[start : start + batch_size] for start in range(0, len(items), batch_size)]
