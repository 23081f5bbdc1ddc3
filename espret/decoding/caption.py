"""Captions of a split by a captioning network: shards of hypotheses, and their merging."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from espret.data.datadir import DataDir
from espret.data.split import parse_shard
from espret.decoding.beam import Beam, search
from espret.decoding.embed import evaluating
from espret.errors import EspretError
from espret.files import CONTENT, read_json, read_jsonl, sha256_file, write_json, write_jsonl, write_text
from espret.text.tokenizers import Tokenizer
from espret.training.data import Split, clips_only, read

MERGED = "hyp.jsonl"


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
    """Write the rows of shard "J/N" of data directory `data` to `hyp.J.jsonl` in folder `out`.

    hyp.J.json comes last: a shard without it is not done. What was merged before is out of date and removed.
    """
    number, shards = parse_shard(shard)
    for stale in (MERGED, CONTENT, f"hyp.{number}.json"):
        (Path(out) / stale).unlink(missing_ok=True)
    write_jsonl(Path(out) / f"hyp.{number}.jsonl", rows)
    write_json(Path(out) / f"hyp.{number}.json", {"shards": shards, "data": data})


def merge(out: str | Path) -> int:
    """Merge the shards in folder `out` to `hyp.jsonl`, sorted by utt, and remove them; returns the number of rows.

    May be repeated, also after a kill: every shard written later removes hyp.jsonl, so where it is, it is whole. Raises
    EspretError if a shard is missing, or if the shards do not hold each clip of their data directory once.
    """
    folder = Path(out)
    if not (folder / MERGED).exists():
        write_jsonl(folder / MERGED, _joined(folder))
    write_text(folder / CONTENT, sha256_file(folder / MERGED) + "\n")
    for path in folder.iterdir():  # the folder is the same for any number of jobs
        if re.fullmatch(r"hyp\.[0-9]+\.jsonl?|\.hyp\..+\.tmp", path.name):
            path.unlink()
    return len(read_jsonl(folder / MERGED))


def _joined(folder: Path) -> list[dict[str, Any]]:
    """The rows of all shards, sorted by utt."""
    shards, data = _whole_set(folder)
    rows = [row for number in range(1, shards + 1) for row in read_jsonl(folder / f"hyp.{number}.jsonl")]
    found = [row["utt"] for row in rows]
    expected = set(DataDir.load(data).utts)
    missing, extra = sorted(expected - set(found)), sorted(set(found) - expected)
    if missing or extra or len(found) != len(expected):
        raise EspretError(
            f"{folder}: captions of {len(found)} clips, expected the {len(expected)} of {data}; "
            f"missing: {missing[:5]}, not in the data: {extra[:5]}; run stage 4 again"
        )
    return sorted(rows, key=lambda row: row["utt"].encode())


def _whole_set(folder: Path) -> tuple[int, str]:
    """The number of shards and the data directory of the shards in `folder`, the leftovers of other numbers aside."""
    about = {int(path.name.split(".")[1]): read_json(path) for path in folder.glob("hyp.*.json")}
    for shards in sorted({one["shards"] for one in about.values()}):
        missing = [n for n in range(1, shards + 1) if about.get(n, {}).get("shards") != shards]
        if not missing:
            return shards, about[1]["data"]
    what = f"shard {missing[0]} of {shards} is missing" if about else "no shards (hyp.J.jsonl)"
    raise EspretError(f"{folder}: {what}; run espret caption --shard J/N --out {folder} for each J first")
