"""What scoring captions reads: hyp.jsonl, which decoding or another system wrote, and a data directory's references."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from espret.data.datadir import DataDir
from espret.data.tables import is_utf8
from espret.errors import EspretError
from espret.files import read_jsonl


def read_hyps(path: str | Path) -> dict[str, dict[str, Any]]:
    """Clip -> row of a hyp.jsonl, each an object with the strings utt and caption and whatever else it has.

    Raises EspretError naming file and line of a row that is not one, and of a clip's second row.
    """
    hyps: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(_rows(path), 1):
        if not isinstance(row, dict) or not isinstance(row.get("utt"), str) or not isinstance(row.get("caption"), str):
            raise EspretError(
                f"{path}:{number}: expected an object with the strings utt and caption, found {row!r:.80}"
            )
        _check_text(path, number, row["utt"], row["caption"])
        if row["utt"] in hyps:
            raise EspretError(f"{path}:{number}: a second caption for clip {row['utt']}; one a clip is scored")
        hyps[row["utt"]] = row
    return hyps


def read_nbest(path: str | Path) -> dict[str, list[str]]:
    """Clip -> the captions of its `nbest` in a hyp.jsonl, best first. As read_hyps, raises EspretError."""
    nbest: dict[str, list[str]] = {}
    for number, (utt, row) in enumerate(read_hyps(path).items(), 1):
        try:
            nbest[utt] = [_string(one["caption"]) for one in row["nbest"]]
        except (KeyError, TypeError):
            found = f"found {row.get('nbest')!r:.80}"
            raise EspretError(
                f"{path}:{number}: expected nbest, a list of objects with a caption, {found}; decode with nbest set"
            ) from None
        _check_text(path, number, *nbest[utt])
    return nbest


def _rows(path: str | Path) -> list[Any]:
    try:
        return read_jsonl(path)
    except OSError as error:
        raise EspretError(
            f"{path}: cannot be read: {error.strerror}; expected a file with one JSON row a clip"
        ) from None


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _check_text(path: str | Path, number: int, *texts: str) -> None:
    for text in texts:
        if not is_utf8(text):
            raise EspretError(f"{path}:{number}: {text!r:.80} has a lone surrogate, which is no character; remove it")


def read_references(path: str | Path) -> dict[str, list[str]]:
    """Clip -> captions in the order of utt2cap, of a data directory.

    Raises EspretError naming the file when it has no captions, and file and line for a caption id without text and for
    captions of a clip that the directory does not have.
    """
    data = DataDir.load(path)
    file = Path(path) / "utt2cap"
    if not data.utt2cap:
        raise EspretError(f"{file}: no captions to score against; prepare the data with captions")
    clips, mend = set(data.utts), f"mend: espret validate {shlex.quote(str(path))} says what else is wrong"
    for number, (utt, captions) in enumerate(data.utt2cap.items(), 1):
        if utt not in clips:
            raise EspretError(f"{file}:{number}: {utt} is no clip of {path} (wav.scp, segments); {mend}")
        for caption in captions:
            if caption not in data.text:
                raise EspretError(f"{file}:{number}: caption {caption} is not in {Path(path) / 'text'}; {mend}")
    return {utt: [data.text[caption] for caption in data.utt2cap.get(utt, [])] for utt in data.utts}
