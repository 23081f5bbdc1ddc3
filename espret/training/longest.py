"""Before a run: the batches that need the most memory of all that it can draw are tried once.

A run that does not fit then ends in its first seconds, not in its third epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from espret.config import Train
from espret.errors import EspretError
from espret.training import distributed
from espret.training.backward import Backward, statistics_kept
from espret.training.data import Item, Split, cut, epoch_items
from espret.training.seeds import Seeds


def try_longest(backward: Backward, split: Split, train: Train) -> None:
    """A step without update on each of `longest_batches`. Raises EspretError where memory is short."""
    backward.network.train()
    for items in longest_batches(split, train):
        batch = split.batch(items)
        frames, captions = int(batch.lengths.max()), len(batch.tokens)
        what = f"a batch of {len(items)} clips of up to {frames} frames, with {captions} captions,"
        with memory_for(what, backward.precision.device), statistics_kept(backward.network):
            backward(batch.to(backward.precision.device), Seeds(0))
        backward.network.zero_grad(set_to_none=True)


def longest_batches(split: Split, train: Train) -> list[Sequence[Item]]:
    """This process's share of the batch of the longest clips and of the batch of the most words."""
    items = epoch_items(split, train.captions_per_clip, 0, 0)
    if train.captions_per_clip == "one":  # any of a clip's captions may be drawn
        captions = split.captions_of()
        items = [(clip, (max(captions[clip], key=lambda one: len(split.tokens[one])),)) for clip, _ in items]
    frames = split.reader.num_frames()

    def length(item: Item) -> int:
        return frames[split.utts[item[0]]]

    def words(item: Item) -> int:
        return len(item[1]) * max(len(split.tokens[caption]) for caption in item[1])

    count = -(-len(items) // train.batch_size)
    size = -(-len(items) // count)  # of the largest batch of an epoch
    most = [sorted(items, key=key, reverse=True)[:size] for key in (length, words)]
    return [cut(one, size, distributed.rank(), distributed.world())[0] for one in most]


@contextmanager
def memory_for(what: str, device: torch.device) -> Iterator[None]:
    """Turns want of memory into an EspretError that names what did not fit, and what to do."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        short = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)
        if not short:
            raise
        total = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else 0
        has = f" ({total / 2**30:.0f} GiB)" if total else ""
        raise EspretError(
            f"{what} does not fit into the memory of {device}{has}; set train.accumulate to 2 or more, which needs "
            "less for the same gradients, or train.precision to bfloat16, or lower train.batch_size"
        ) from None
