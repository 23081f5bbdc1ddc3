"""Training data: a split's features and captions, how an epoch is cut into batches, and reading these batches.

The order is a function of (seed, epoch) alone, and a global batch is cut the same way for any number of processes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from espret.data.datadir import DataDir
from espret.errors import EspretError, nearest
from espret.features.reader import FeatureReader
from espret.models.batch import Batch, pad_features, pad_tokens
from espret.text.normalise import normalise
from espret.text.tokenizers import BOS, EOS, Tokenizer

Item = tuple[int, tuple[int, ...]]  # a clip's number and the numbers of the captions that come with it
CAPTIONS_PER_CLIP = ("one", "all", "group")


class Split:
    """Clips with features and, if there is a tokenizer, encoded captions.

    `utts` and `captions` (ids) are in the order of the data directory; `owner[k]` is the clip of caption k. Features
    are kept in memory when they take less than `cache_gb` GB. Raises EspretError if a clip has no features.
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
        if tokenizer is not None:
            self._encode(directory, tokenizer)
        self._cache: dict[int, Tensor] | None = {} if self._gigabytes() < cache_gb else None

    def _gigabytes(self) -> float:
        frames = self.reader.num_frames()
        return sum(frames[utt] for utt in self.utts) * self.dim * 4 / 1e9

    def _encode(self, directory: DataDir, tokenizer: Tokenizer) -> None:
        numbers = {utt: number for number, utt in enumerate(self.utts)}
        for caption, words in directory.text.items():
            self.captions.append(caption)
            self.tokens.append([BOS, *tokenizer.encode(normalise(words)), EOS])
            self.owner.append(numbers[directory.cap2utt[caption]])

    @property
    def cached(self) -> bool:
        """Whether features are kept in memory once read."""
        return self._cache is not None

    def features(self, clip: int) -> Tensor:
        """[frames, dim] of clip number `clip`."""
        if self._cache is not None and clip in self._cache:
            return self._cache[clip]
        matrix = torch.from_numpy(self.reader[self.utts[clip]].copy())
        if self._cache is not None:
            self._cache[clip] = matrix
        return matrix

    def batch(self, items: Sequence[Item]) -> Batch:
        """The batch of `items`."""
        feats, lengths = pad_features([self.features(clip) for clip, _ in items])
        owner = [row for row, (_, captions) in enumerate(items) for _ in captions]
        return Batch(
            utts=[self.utts[clip] for clip, _ in items],
            feats=feats,
            lengths=lengths,
            tokens=pad_tokens([self.tokens[caption] for _, captions in items for caption in captions]),
            owner=torch.tensor(owner, dtype=torch.long),
            clip=torch.tensor([clip for clip, _ in items], dtype=torch.long),
        )

    def captions_of(self) -> list[list[int]]:
        """For each clip the numbers of its captions."""
        numbers: list[list[int]] = [[] for _ in self.utts]
        for caption, clip in enumerate(self.owner):
            numbers[clip].append(caption)
        return numbers


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


def read(split: Split, batches: Sequence[Sequence[Item]], workers: int = 0) -> Iterator[Batch]:
    """The batches in order: from memory, or read ahead by `workers` processes when the features are not kept."""
    if split.cached or not workers:
        return (split.batch(items) for items in batches)
    dataset = _Batches(split, batches)
    return iter(DataLoader(dataset, batch_size=None, num_workers=workers, pin_memory=torch.cuda.is_available()))


class _Batches(Dataset[Batch]):
    """Batches by number, for the workers."""

    def __init__(self, split: Split, batches: Sequence[Sequence[Item]]) -> None:
        self.split = split
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> Batch:
        return self.split.batch(self.batches[number])


def clips_only(split: Split, batch_size: int, numbers: Sequence[int] | None = None) -> list[Sequence[Item]]:
    """Batches of clips without captions, in order, for decoding; `numbers` restricts them."""
    clips = range(len(split.utts)) if numbers is None else numbers
    items: list[Item] = [(clip, ()) for clip in clips]
    return [items[start : start + batch_size] for start in range(0, len(items), batch_size)]
