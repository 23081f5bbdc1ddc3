"""From an experiment to an archive: what of it is needed to decode, and what it scored."""

from __future__ import annotations

import io
import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import torch
import yaml

import espret
from espret.config import load_system
from espret.errors import EspretError
from espret.packing.archive import CONFIG, SCORES, TEXT, write_archive
from espret.recipe.systems import IMPORTED, SAFE_NAME
from espret.report.results import score_dir
from espret.text.prepare import load_tokenizer
from espret.training import TASKS, checkpoint, weights


class Experiment(NamedTuple):
    """What the path of an experiment says: `exp/<task>_<system>/seed<k>`."""

    task: str
    system: str
    seed: int


def pack(
    exp: str | os.PathLike[str],
    text: str | os.PathLike[str],
    corpus: str,
    out: str | os.PathLike[str],
    scores: Iterable[str | os.PathLike[str]] = (),
    config: str | os.PathLike[str] | None = None,
) -> Path:
    """Pack experiment `exp` with tokenizer folder `text` and score directories; returns the archive's path.

    The archive is `<out>/<corpus>_<task>_<system>_seed<k>.zip`; the same experiment gives the same bytes. The decode
    section is that of the system file `config` where given, as in stage 4. Raises EspretError for what is not an
    experiment, not its scores, or not whole.
    """
    experiment = _experiment(exp)
    if not SAFE_NAME.fullmatch(corpus):
        raise EspretError(f"--corpus '{corpus}': names a file: letters, digits, '_', '-', '+' and '.' only")
    best = Path(exp) / checkpoint.BEST
    members = {CONFIG: _config(exp, config), checkpoint.BEST: _weights(Path(exp)), **_tokenizer(text)}
    for folder in scores:
        members[f"{Path(folder).name}/{SCORES}"] = _scores(experiment, folder)
    about = {
        **experiment._asdict(),
        "corpus": corpus,
        "espret": espret.__version__,
        "torch": str(torch.__version__),
        "date": datetime.fromtimestamp(int(best.stat().st_mtime), timezone.utc).isoformat(),
    }
    path = Path(out) / f"{corpus}_{experiment.task}_{experiment.system}_seed{experiment.seed}.zip"
    write_archive(path, members, about)
    return path


def _experiment(exp: str | os.PathLike[str]) -> Experiment:
    parts = Path(os.path.abspath(exp)).parts[-2:]
    match = re.fullmatch(rf"({'|'.join(TASKS)})_({SAFE_NAME.pattern})/seed(\d+)", "/".join(parts))
    if not match:
        raise EspretError(f"{exp}: not an experiment; expected exp/<task>_<system>/seed<k>, task {' or '.join(TASKS)}")
    return Experiment(match[1], match[2], int(match[3]))


def _config(exp: str | os.PathLike[str], config: str | os.PathLike[str] | None) -> bytes:
    """The experiment's configuration, with the decode section of `config`."""
    system = load_system(Path(exp) / CONFIG)
    if system.features.frontend.get("type") == IMPORTED:
        raise EspretError(f"{exp}: hears imported features, which are not made of sound files; leave stage 6 out")
    system.train.average = 1  # the archive's weights are the mean already
    if config is not None:
        system.decode = load_system(Path(config)).decode
    return yaml.safe_dump(asdict(system), sort_keys=False, allow_unicode=True).encode()


def _weights(exp: Path) -> bytes:
    """A checkpoint with the weights that the experiment decodes with and nothing else."""
    stream = io.BytesIO()
    checkpoint.write(stream, {"model": weights.load(exp, load_system(exp / CONFIG).train)})
    return stream.getvalue()


def _tokenizer(text: str | os.PathLike[str]) -> dict[str, bytes]:
    """The files that the tokenizer saves, and none that only lie beside them."""
    tokenizer = load_tokenizer(Path(text))
    with tempfile.TemporaryDirectory(prefix="espret-pack-") as folder:
        tokenizer.save(Path(folder))
        files = {f"{TEXT}/{path.name}": path.read_bytes() for path in Path(folder).iterdir()}
    return {**files, f"{TEXT}/tokenizer.json": (Path(text) / "tokenizer.json").read_bytes()}


def _scores(experiment: Experiment, folder: str | os.PathLike[str]) -> bytes:
    """The score record of a directory that is the experiment's."""
    one = score_dir(folder)
    if (one.task, one.system, one.seed) != experiment:
        task, system, seed = experiment
        raise EspretError(f"{folder}: not the scores of {task} {system} seed {seed}, which is being packed")
    one.scores()  # is whole and of this task and split
    return (one.path / SCORES).read_bytes()
