"""Features that others have published, as a feature directory: for each utterance of a data directory its key's array.

Experts as collaborative-experts and audio-retrieval publish them are one array a clip, [frames, dim], or [dim] where
they were averaged over time. A clip that an expert has nothing for is not in feats.scp but in `missing`. The files
themselves are read by `published`; which key is an utterance's is told by `keys`.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kaldiio
import numpy as np
from numpy.typing import NDArray

import espret
from espret.data.datadir import DataDir, quote_name
from espret.data.tables import list_sha256, some, write_table
from espret.errors import EspretError
from espret.features.keys import choose_keys
from espret.features.published import EXPECTED, Published, open_published
from espret.files import CONTENT, atomic_write, final_path, sha256_file, write_json, write_text

# The widths of the experts of collaborative-experts and audio-retrieval.
DIMS = {
    "vggish": 128,
    "vggsound": 512,
    "pann": 2048,
    "syncnet": 1024,
    "scene": 2208,
    "inst": 2048,
    "r2p1d": 512,
}

MISSING = "missing"  # the utterances without features, one a line

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Imported:
    """What an import found: numbers of utterances, the ids of those without features, keys that no utterance has."""

    found: int
    missing: list[str]
    unused: int
    dim: int


def import_features(
    source: str | os.PathLike[str],
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    name: str = "",
    dim: int | None = None,
    keys: str | os.PathLike[str] | None = None,
    utt2key: str | os.PathLike[str] | None = None,
    max_missing: int | None = None,
) -> Imported:
    """Write the features of data directory `data` that file `source` holds to feature directory `out`.

    Writes feats.ark (float32 [frames, dim]), feats.scp, utt2num_frames, utt2key, missing (where any are) and
    about.json. Which key is an utterance's is found by its id and by its name in the corpus (utt2fname), or said by the
    table `utt2key`; `keys` has the keys of an .npy. A key that is absent, None, empty or NaN throughout is missing.
    Raises EspretError for a value that is no array or not finite, for differing dims or another than `dim` or that of
    the known expert `name`, where more than `max_missing` are missing, and where all are.
    """
    expected = _expected_dim(name, dim)
    directory = DataDir.load(data)
    root = Path(out)
    with open_published(source, keys) as published:
        chosen = choose_keys(source, published.keys, data, directory, utt2key)
        root.mkdir(parents=True, exist_ok=True)
        for stale in ("about.json", "feats.scp", CONTENT, MISSING):
            (root / stale).unlink(missing_ok=True)
        rows, frames, width = _write_ark(root / "feats.ark", _matrices(source, published, chosen, expected))
        missing = [utt for utt in directory.utts if utt not in rows]
        unused = len(set(published.keys).difference(chosen.values()))
    if not rows or (max_missing is not None and len(missing) > max_missing):
        (root / "feats.ark").unlink()
        raise EspretError(
            f"{source}: no features of {len(missing)} of the {len(directory.utts)} clips of {data}: {some(missing)}; "
            f"expected {f'at most {max_missing} such clips' if rows else 'features of some of the keys'}"
        )
    result = Imported(len(rows), missing, unused, width)
    write_table(root / "utt2num_frames", frames)
    write_table(root / "utt2key", {utt: quote_name(key) for utt, key in chosen.items() if utt in rows})
    if missing:
        write_text(root / MISSING, "".join(f"{utt}\n" for utt in missing))
    write_table(root / "feats.scp", rows)
    write_json(root / "about.json", _about(source, published.format, name, rows, result))
    return result


def _expected_dim(name: str, dim: int | None) -> tuple[int, str] | None:
    """The dim that features must have, and who says so."""
    known = DIMS.get(name)
    if known is not None and dim is not None and known != dim:
        raise EspretError(f"--dim {dim}: the expert '{name}' has {known}; mend: another --name, or --dim {known}")
    if known is not None:
        return known, f"the dim of {name}"
    return (dim, "the dim asked for") if dim is not None else None


def _about(
    source: str | os.PathLike[str], form: str, name: str, rows: Collection[str], result: Imported
) -> dict[str, Any]:
    return {
        "frontend": "imported",
        "name": name,
        "source": Path(source).name,
        "source_sha256": sha256_file(source),
        "format": form,
        "dim": result.dim,
        "utterances": result.found,
        "missing": len(result.missing),
        "unused_keys": result.unused,
        "list_sha256": list_sha256(rows),
        "espret": espret.__version__,
    }


def _matrices(
    source: str | os.PathLike[str], published: Published, chosen: Mapping[str, str], expected: tuple[int, str] | None
) -> Iterator[tuple[str, Matrix]]:
    """(utterance, float32 [frames, dim]) of those that are not missing, in the order of the utterances."""
    for utt in sorted(chosen):
        where = f"{source}: '{chosen[utt]}' (of {utt})"
        matrix = to_matrix(published.read(chosen[utt]), where)
        if matrix is None:
            continue
        dim = matrix.shape[1]
        expected = expected or (dim, f"the dim of '{chosen[utt]}'")
        if dim != expected[0]:
            raise EspretError(f"{where}: dim {dim}; expected {expected[0]}, {expected[1]}")
        yield utt, matrix


def to_matrix(value: object, where: str) -> Matrix | None:
    """A published value as float32 [frames, dim], one frame for [dim]; None for None, no frames, and NaN throughout.

    Raises EspretError for numbers that are not finite and for what is no such array.
    """
    if value is None:
        return None
    if not isinstance(value, (np.ndarray, np.generic, float, int)):  # a list of lists may be many times its file
        raise EspretError(f"{where}: a {type(value).__name__}; {EXPECTED}")
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise EspretError(f"{where}: an array of {array.dtype}; {EXPECTED}, of numbers")
    if array.size == 0 or np.isnan(array).all():
        return None
    if array.ndim not in (1, 2):
        raise EspretError(f"{where}: an array {list(array.shape)}; {EXPECTED}")
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is counted below
        matrix = np.ascontiguousarray(np.atleast_2d(array), dtype=np.float32)
    bad = int(np.count_nonzero(~np.isfinite(matrix)))
    if bad:
        raise EspretError(
            f"{where}: {bad} of {matrix.size} numbers are NaN or infinite as float32; "
            "expected none, or NaN throughout for a clip without features"
        )
    return matrix


def _write_ark(path: Path, matrices: Iterator[tuple[str, Matrix]]) -> tuple[dict[str, str], dict[str, str], int]:
    """Write the ark; returns, by utterance, the rows of its scp and the numbers of frames, and the dim."""
    rows: dict[str, str] = {}
    frames: dict[str, str] = {}
    dim = 0
    named = final_path(path)
    with atomic_write(path, "wb") as stream:
        for utt, matrix in matrices:
            rows[utt] = f"{named}:{stream.tell() + len(utt.encode('utf-8')) + 1}"
            frames[utt] = str(len(matrix))
            dim = matrix.shape[1]
            kaldiio.save_ark(stream, {utt: matrix})
    return rows, frames, dim
