"""Dumping a front end's features to Kaldi ark/scp, one shard a task. Putting the shards together is `merge`."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kaldiio
import numpy as np
from numpy.typing import NDArray

import espret
from espret.audio import FRONTENDS
from espret.config import Component, Features, build
from espret.data.audio import AudioError, Samples, load_clip
from espret.data.datadir import DataDir
from espret.data.split import parse_shard, shard
from espret.data.tables import list_sha256, write_table
from espret.errors import EspretError
from espret.files import atomic_write, final_path, write_json

Extract = Callable[[Samples], NDArray[np.float32]]


def dump(features: Features, data: str | os.PathLike[str], out: str | os.PathLike[str], spec: str = "1/1") -> int:
    """Dump shard `spec` ("J/N") of data directory `data` to directory `out`; returns the number of utterances.

    Writes feats.J.ark, utt2num_frames.J, utt2sha256.J, about.J.json and feats.J.scp in this order, each atomically: a
    shard without its scp is not done. The scp names the ark where it will be when the step is (`files.final_path`).
    Raises EspretError for a clip that cannot be decoded, naming its id and path.
    """
    j, n = parse_shard(spec)
    directory = DataDir.load(data)
    utts = shard(directory.utts, spec)
    root = Path(out)
    root.mkdir(parents=True, exist_ok=True)
    for stale in (root / "about.json", root / f"feats.{j}.scp"):
        stale.unlink(missing_ok=True)
    extract, about = load_frontend(features)
    rows, frames, hashes = _write_ark(root / f"feats.{j}.ark", directory, utts, features.sample_rate, extract)
    write_table(root / f"utt2num_frames.{j}", frames)
    write_table(root / f"utt2sha256.{j}", hashes)
    about |= {"shards": n, "all_sha256": list_sha256(directory.utts), "utterances": len(utts)}
    write_json(root / f"about.{j}.json", about)
    write_table(root / f"feats.{j}.scp", rows)
    return len(utts)


def load_frontend(features: Features) -> tuple[Extract, dict[str, Any]]:
    """The front end of a features section as a function from samples [n] to frames [frames, dim], and its about.json.

    One CPU thread, unless OMP_NUM_THREADS says otherwise: parallelism is the array's.
    """
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    frontend = build(FRONTENDS, features.frontend, "features.frontend", sample_rate=features.sample_rate).eval()

    def extract(samples: Samples) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(frontend(torch.from_numpy(samples)[None])[0].numpy(), dtype=np.float32)

    return extract, {
        "frontend": features.frontend["type"],
        "options": _options(frontend, features.frontend),
        "sample_rate": features.sample_rate,
        "dim": frontend.dim,
        "hop_seconds": frontend.hop_seconds,
        "espret": espret.__version__,
    }


def _options(frontend: object, component: Component) -> dict[str, Any]:
    """The options that were given, and the values that the others took."""
    defaults = {key: value.default for key, value in inspect.signature(type(frontend)).parameters.items()}
    given = {key: value for key, value in component.items() if key != "type"}
    return {key: value for key, value in defaults.items() if value is not inspect.Parameter.empty} | given


def _write_ark(
    path: Path, directory: DataDir, utts: list[str], sample_rate: int, extract: Extract
) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Write the ark; returns, by utterance, the rows of its scp, the numbers of frames and hashes of the matrices."""
    rows: dict[str, str] = {}
    frames: dict[str, str] = {}
    hashes: dict[str, str] = {}
    named = final_path(path)
    with atomic_write(path, "wb") as stream:
        for utt in utts:
            source = directory.source(utt)
            try:
                samples = load_clip(source.path, sample_rate, source.start, source.end)
            except AudioError as error:
                raise EspretError(
                    f"'{utt}': {error}; expected audio that stage 0 has checked; "
                    "mend: ./run.sh --stage 0 --stop-stage 0 --force"
                ) from None
            matrix = extract(samples)
            if not np.isfinite(matrix).all():
                raise EspretError(f"'{utt}': {source.path}: features are not finite; expected finite samples")
            rows[utt] = f"{named}:{stream.tell() + len(utt.encode('utf-8')) + 1}"
            frames[utt] = str(len(matrix))
            hashes[utt] = hashlib.sha256(f"{matrix.shape} {matrix.dtype} ".encode() + matrix.tobytes()).hexdigest()
            kaldiio.save_ark(stream, {utt: matrix})
    return rows, frames, hashes
