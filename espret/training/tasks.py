"""What the loop is told about a task: how a network is validated, by the statistics of its loss and by the metrics of
stage 5. Networks and batches are the same for both tasks; which epoch is the best is told by weights.py.

A task is made before training begins and raises EspretError where `train.select` names a metric that it has not, or
that cannot be computed on this machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from espret.config import System, check
from espret.decoding.beam import Beam
from espret.decoding.caption import caption_clips
from espret.decoding.embed import embed
from espret.errors import EspretError, nearest
from espret.scoring import METRICS
from espret.scoring.captions import EVERYTHING, check_clips, evaluate
from espret.scoring.inputs import read_references
from espret.scoring.retrieval import rank_metrics
from espret.text.tokenizers import Tokenizer
from espret.training import distributed
from espret.training.backward import stats_in_parts
from espret.training.data import Split, cut, epoch_items, read


class Retrieval:
    """Validation by loss and by ranks among all clips of the split, each clip with all its captions.

    `shown` are the metrics that a progress line has room for.
    """

    def __init__(self, system: System, valid: Split, tokenizer: Tokenizer) -> None:
        self._split = valid
        self._batch_size, self._parts = system.train.batch_size, _parts(system)
        _require(system.train.select, ("loss", *rank_metrics(np.zeros((1, 1)), [0]).metrics))
        self.shown = _with(system.train.select, "t2a/R@1", "t2a/R@10", "t2a/mAP@10")

    def validate(self, network: Any, device: torch.device) -> dict[str, float]:
        """`loss`, and every metric of stage 5, named as there."""
        stats = mean_stats(network, self._split, self._batch_size, self._parts, device)
        if not math.isfinite(stats["loss"]):
            return stats  # nothing to rank; the loop refuses it, naming the epoch
        split = self._split
        sim = embed(network, split, -(-self._batch_size // self._parts), device).sim.numpy()
        return stats | rank_metrics(sim, split.owner, split.captions, split.utts).metrics


class Captioning:
    """Validation by the loss a token and the share of tokens predicted, both with the true words before; and, where
    `train.select` names a caption metric, by it, of the captions that the network finds as in stage 4.

    `shown` are the metrics that a progress line has room for.
    """

    def __init__(self, system: System, valid: Split, tokenizer: Tokenizer) -> None:
        self._split = valid
        self._batch_size, self._parts = system.train.batch_size, _parts(system)
        self._found: FoundCaptions | None = None
        select, scored = system.train.select, caption_metrics()
        _require(select, ("loss", "accuracy", *scored))
        self.shown = _with(select, "accuracy")
        if select in scored:
            self._found = FoundCaptions(scored[select], system, valid, tokenizer)

    def validate(self, network: Any, device: torch.device) -> dict[str, float]:
        """`loss` (nats a token), `accuracy` (percent of tokens), and the metric that selects with what it is made of,
        named as in stage 5."""
        stats = mean_stats(network, self._split, self._batch_size, self._parts, device)
        if self._found is None or not math.isfinite(stats["loss"]):
            return stats
        return stats | self._found.score(network, device)


class FoundCaptions:
    """The captions that a network finds for a split, and their score by one metric of espret.scoring.

    SPICE brings Java into this process. Its machine leaves signals alone (espret.scoring.java), so that a run which is
    asked to stop while captions are scored notes it as ever.
    """

    def __init__(self, metric: str, system: System, split: Split, tokenizer: Tokenizer) -> None:
        self._metric = metric
        self._split = split
        self._tokenizer = tokenizer
        self._options: Beam = check(Beam, system.decode, "decode")
        self._references = read_references(split.name)
        where = f"train.select: {metric}: {split.name}: "
        check_clips(dict.fromkeys(self._references, ""), self._references, where)
        if distributed.rank() == 0:  # the one that validates
            self._score({"a": "a dog barks"}, {"a": ["a dog barks"]}, {"a": ["a dog barks"]})

    def score(self, network: Any, device: torch.device) -> dict[str, float]:
        """The metric, and those that it is made of, as stage 5 gives them for this network."""
        clips = range(len(self._split.utts))
        rows = caption_clips(network, self._split, clips, self._tokenizer, self._options, device)
        hyps = {row["utt"]: row["caption"] for row in rows}
        nbest = {row["utt"]: [one["caption"] for one in row["nbest"]] for row in rows}
        return self._score(hyps, self._references, nbest)

    def _score(self, hyps: dict[str, str], refs: dict[str, list[str]], nbest: dict[str, list[str]]) -> dict[str, float]:
        scores = evaluate(hyps, refs, [self._metric], nbest=nbest)
        for name, reason in scores.unavailable.items():
            raise EspretError(f"train.select: {name} is unavailable: {reason}")
        return {name: value for name, value in scores.corpus.items() if value is not None}


def caption_metrics() -> dict[str, str]:
    """What stage 5 calls each value of a set of captions (BLEU-4), and the metric that it comes from (BLEU)."""
    parts = {name: metric for metric in METRICS for name in METRICS.load(metric).names}
    return parts | {metric: metric for metric in {*EVERYTHING}.difference(METRICS)}


def _require(select: str, known: Sequence[str]) -> None:
    if select not in known:
        raise EspretError(f"train.select: no validation metric '{select}'{nearest(select, known)}")


def _with(select: str, *main: str) -> tuple[str, ...]:
    """The `main` metrics and, where it is none of these and not the loss, the one that selects."""
    return main if select in ("loss", *main) else (*main, select)


def _parts(system: System) -> int:
    """In how many parts one process computes a batch, so that it need not hold more clips at once than in training."""
    return system.train.accumulate * distributed.world()


def mean_stats(network: Any, split: Split, batch_size: int, parts: int, device: torch.device) -> dict[str, float]:
    """Mean of the stats of `network.loss` over the split, weighted by what each batch's mean is over.

    For the loss of a token that is the number of tokens; contrastive losses have no such unit, and their batches are
    of near-equal size.
    """
    network.eval()
    totals: dict[str, float] = {}
    weight = 0
    items = epoch_items(split, "group", 0, 0)
    for batch in read(split, cut(items, batch_size)):
        stats = stats_in_parts(network, batch.to(device), parts)
        size = int((batch.tokens[:, 1:] > 0).sum())
        weight += size
        for name, value in stats.items():
            totals[name] = totals.get(name, 0.0) + float(value) * size
    return {name: value / weight for name, value in totals.items()}
