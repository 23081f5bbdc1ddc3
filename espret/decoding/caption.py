"""Captions of a split by a captioning network: shards of hypotheses, and their merging."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from espret.data.datadir import DataDir
from espret.data.split import parse_shard
from espret.decoding.beam import Beam, search
from espret.decoding.embed import evaluating
from espret.errors import EspretError
from espret.files import read_json, read_jsonl, write_json, write_jsonl
from espret.text.tokenizers import Tokenizer
from espret.training.data import Split, clips_only, read


def caption_clips(
    network: Any,
    split: Split,
    numbers: Sequence[int],
    tokenizer: Tokenizer,
    options: Beam,
    device: torch.device,
) -> list[dict[str, Any]]:
    """Rows of hyp.jsonl for the clips `numbers`: utt, caption, score (log-probability a token), nbest."""
    rows = []
    with evaluating(network):
        for batch in read(split, clips_only(split, options.batch_size, numbers)):
            batch = batch.to(device)
            memory, mask = network.encode(batch.feats, batch.lengths)
            for utt, found in zip(batch.utts, search(network.decoder, memory, mask, options)):
                nbest = [{"caption": tokenizer.decode(one.tokens), "score": round(one.score, 6)} for one in found]
                rows.append({"utt": utt, **nbest[0], "nbest": nbest})
    return rows


def write_shard(rows: Sequence[dict[str, Any]], shard: str, data: str, out: str | Path) -> None:
    """Write the rows of shard "J/N" of data directory `data` to `hyp.J.jsonl` in folder `out`."""
    number, shards = parse_shard(shard)
    write_jsonl(Path(out) / f"hyp.{number}.jsonl", rows)
    write_json(Path(out) / f"hyp.{number}.json", {"shards": shards, "data": data})


def merge(out: str | Path) -> int:
    """Merge the shards in folder `out` to `hyp.jsonl`, sorted by utt; returns the number of rows.

    Raises EspretError if a shard is missing, or if the shards do not hold each clip of their data directory once.
    """
    folder = Path(out)
    about = sorted(folder.glob("hyp.*.json"))
    if not about:
        raise EspretError(f"{folder}: no shards (hyp.J.jsonl) to merge; run espret caption --out {folder} first")
    head = read_json(about[0])
    rows: list[dict[str, Any]] = []
    for number in range(1, head["shards"] + 1):
        rows += read_jsonl(folder / f"hyp.{number}.jsonl")
    found = [row["utt"] for row in rows]
    expected = set(DataDir.load(head["data"]).utts)
    missing, extra = sorted(expected - set(found)), sorted(set(found) - expected)
    if missing or extra or len(found) != len(expected):
        raise EspretError(
            f"{folder}: captions of {len(found)} clips, expected the {len(expected)} of {head['data']}; "
            f"missing: {missing[:5]}, not in the data: {extra[:5]}; run stage 4 again"
        )
    write_jsonl(folder / "hyp.jsonl", sorted(rows, key=lambda row: row["utt"].encode()))
    for path in [*about, *folder.glob("hyp.*.jsonl")]:
        path.unlink()
    return len(rows)
