"""Dumping a front end's features to Kaldi ark/scp, one shard a task. Putting the shards together is `merge`.

Which clips go through the front end together is said in `batches`, the front end is `extract`'s; the ark, which a
killed job goes on with, is written by `writer`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from espret.config import Features
from espret.data.audio import AudioError, Samples, load_clip, probe
from espret.data.datadir import DataDir
from espret.data.split import parse_shard, shard
from espret.data.tables import list_sha256, write_table
from espret.errors import EspretError
from espret.features.batches import Window, cut_windows, read_ahead
from espret.features.extract import ExtractAll, Matrix, load_extractor
from espret.features.writer import ArkWriter, Row, resumable_ark
from espret.files import final_path, write_json

if TYPE_CHECKING:
    import torch

BATCH_SECONDS = 600.0  # on a GPU; on the CPU, where batches gain little, clips go through the front end one by one
GPU_READERS = 8  # threads that read sound for a GPU, where there are as many cores


class Dumped(NamedTuple):
    """How many utterances a shard has, and how many of them an earlier run had left."""

    utterances: int
    resumed: int


def dump(
    features: Features,
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    spec: str = "1/1",
    device: str | torch.device = "cpu",
    batch_seconds: float | None = None,
    readers: int | None = None,
) -> Dumped:
    """Dump shard `spec` ("J/N") of data directory `data` to directory `out`.

    Writes feats.J.ark, utt2num_frames.J, utt2sha256.J, about.J.json and feats.J.scp in this order, each atomically: a
    shard without its scp is not done. The scp names the ark where it will be when the step is (`files.final_path`). A
    job that was killed or failed goes on with the first clip that it had not finished, if it is called with the same
    features, data and shard. Clips of up to `batch_seconds` (default: 600 on a GPU, one clip on the CPU) are computed
    together, and read ahead by `readers` threads (default: 8 for a GPU, one on the CPU). Raises EspretError for a clip
    that cannot be decoded or has samples that are not finite, naming its id and path.
    """
    import torch

    device = torch.device(device)
    j, n = parse_shard(spec)
    directory = DataDir.load(data)
    root = Path(out)
    root.mkdir(parents=True, exist_ok=True)
    for stale in (root / "about.json", root / f"feats.{j}.scp"):
        stale.unlink(missing_ok=True)
    extract, about = load_extractor(features, device)
    if batch_seconds is None:
        batch_seconds = 0.0 if device.type == "cpu" else BATCH_SECONDS
    if readers is None:
        readers = 1 if device.type == "cpu" else min(GPU_READERS, len(os.sched_getaffinity(0)))
    windows = shard(cut_windows(directory.utts, lambda utt: _seconds(directory, utt), batch_seconds), spec)
    groups = [sorted(utt for batch in window for utt in batch) for window in windows]
    ark = root / f"feats.{j}.ark"
    with resumable_ark(ark, lambda utt: _stamp(directory, utt), about["dtype"], features.sample_rate) as writer:
        done = writer.take_up(about, groups)
        resumed = len(writer.rows)
        ahead = readers if batch_seconds <= 0 else 2
        _write(writer, windows[done:], lambda utt: _read(directory, utt, features.sample_rate), extract, readers, ahead)
    about |= {"shards": n, "all_sha256": list_sha256(directory.utts), "utterances": len(writer.rows)}
    _write_lists(root, j, writer.rows, about, final_path(ark))
    return Dumped(len(writer.rows), resumed)


def _write(
    writer: ArkWriter,
    windows: Sequence[Window],
    read: Callable[[str], Samples],
    extract: ExtractAll,
    readers: int,
    ahead: int,
) -> None:
    """Write the features of each window's utterances, sorted."""
    with closing(read_ahead(read, (batch for window in windows for batch in window), readers, ahead)) as clips:
        for window in windows:
            found: dict[str, Matrix] = {}
            for batch in window:
                found.update(zip(batch, extract(next(clips))))
            for utt, matrix in found.items():
                if matrix.size == 0 or not np.isfinite(matrix).all():
                    raise EspretError(f"'{utt}': features {list(matrix.shape)} that are none or not finite")
            writer.write(sorted(found.items()))


def _write_lists(root: Path, j: int, rows: dict[str, Row], about: dict[str, Any], named: Path) -> None:
    write_table(root / f"utt2num_frames.{j}", {utt: str(row.frames) for utt, row in rows.items()})
    write_table(root / f"utt2sha256.{j}", {utt: row.sha256 for utt, row in rows.items()})
    write_json(root / f"about.{j}.json", about)
    write_table(root / f"feats.{j}.scp", {utt: f"{named}:{row.offset}" for utt, row in rows.items()})


def _read(directory: DataDir, utt: str, sample_rate: int) -> Samples:
    """The samples [n] of an utterance, checked."""
    source = directory.source(utt)
    try:
        samples = load_clip(source.path, sample_rate, source.start, source.end)
        if not np.isfinite(samples).all():
            raise AudioError(source.path, "NaN or infinite samples")
    except AudioError as error:
        raise _bad(utt, error) from None
    return samples


def _bad(utt: str, error: AudioError) -> EspretError:
    return EspretError(
        f"'{utt}': {error}; expected audio that stage 0 has checked; mend: ./run.sh --stage 0 --stop-stage 0 --force"
    )


def _seconds(directory: DataDir, utt: str) -> float:
    """The length of an utterance: from utt2dur or segments, else from the file's header."""
    if utt in directory.utt2dur:
        return directory.utt2dur[utt]
    source = directory.source(utt)
    if source.start is not None and source.end is not None:
        return source.end - source.start
    try:
        info = probe(source.path)
    except AudioError as error:
        raise _bad(utt, error) from None
    return info.frames / info.sample_rate


def _stamp(directory: DataDir, utt: str) -> list[Any]:
    """What says that an utterance's sound is still the same: where it is, and its file's size and time."""
    source = directory.source(utt)
    try:
        status = os.stat(source.path)
    except OSError:
        return []
    return [*source, status.st_size, status.st_mtime_ns]
