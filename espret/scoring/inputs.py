"""What scoring captions reads: hyp.jsonl, which decoding or another system wrote, and a data directory's references."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from espret.data.datadir import DataDir
from espret.errors import EspretError
from espret.files import read_jsonl


def read_hyps(path: str | Path) -> dict[str, dict[str, Any]]:
    """Clip -> row of a hyp.jsonl, each an object with the strings utt and caption and whatever else it has.

    Raises EspretError naming file and line of a row that is not one, and of a clip's second row.
    """
    hyps: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(read_jsonl(path), 1):
        if not isinstance(row, dict) or not isinstance(row.get("utt"), str) or not isinstance(row.get("caption"), str):
            raise EspretError(
                f"{path}:{number}: expected an object with the strings utt and caption, found {row!r:.80}"
            )
        if row["utt"] in hyps:
            raise EspretError(f"{path}:{number}: a second caption for clip {row['utt']}; one a clip is scored")
        hyps[row["utt"]] = row
    return hyps


def read_nbest(path: str | Path) -> dict[str, list[str]]:
    """Clip -> the captions of its `nbest` in a hyp.jsonl, best first. As read_hyps, raises EspretError."""
    nbest: dict[str, list[str]] = {}
    for number, (utt, row) in enumerate(read_hyps(path).items(), 1):
        try:
            nbest[utt] = [str(one["caption"]) for one in row["nbest"]]
        except (KeyError, TypeError):
            found = f"found {row.get('nbest')!r:.80}"
            raise EspretError(
                f"{path}:{number}: expected nbest, a list of objects with a caption, {found}; decode with nbest set"
            ) from None
    return nbest


def read_references(path: str | Path) -> dict[str, list[str]]:
    """Clip -> captions in the order of utt2cap, of a data directory.

    Raises EspretError naming the file when it has no captions, and for a caption id without text.
    """
    data = DataDir.load(path)
    if not data.utt2cap:
        raise EspretError(f"{Path(path) / 'utt2cap'}: no captions to score against; prepare the data with captions")
    for captions in data.utt2cap.values():
        for caption in captions:
            if caption not in data.text:
                raise EspretError(f"{Path(path) / 'utt2cap'}: caption {caption} is not in {Path(path) / 'text'}")
    return {utt: [data.text[caption] for caption in data.utt2cap.get(utt, [])] for utt in data.utts}
