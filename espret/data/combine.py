"""One data directory of several, for training on a mix of corpora; Kaldi's utils/combine_data.sh."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import fields

from espret.data.check import split_name
from espret.data.datadir import DataDir, Segment
from espret.errors import EspretError


def combine_data(dirs: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]) -> DataDir:
    """Write all clips of `dirs` to the directory `out`; returns it.

    Where some have segments, the whole recordings of the others become segments of their full length. about.json lists
    the parts. Raises EspretError for an id that two directories have.
    """
    parts = [DataDir.load(path) for path in dirs]
    if any(part.segments for part in parts):
        for part in parts:
            _segmented(part)
    whole = DataDir(wav_scp={})
    for path, part in zip(dirs, parts):
        _add(whole, part, path)
    abouts = [part.about for part in parts]
    whole.about = {
        "corpus": "+".join(dict.fromkeys(str(about.get("corpus", "?")) for about in abouts)),
        "split": "+".join(split_name(path, part) for path, part in zip(dirs, parts)),
        "variant": "+".join(str(about.get("variant", "")) for about in abouts),
        "listed": sum(int(about.get("listed", len(part.utts))) for about, part in zip(abouts, parts)),
        **whole.counts(),
        "parts": abouts,
    }
    whole.write(out)
    return whole


def _segmented(part: DataDir) -> None:
    """Make segments of whole recordings."""
    if not part.segments:
        part.segments = {utt: Segment(utt, 0.0, part.utt2dur[utt]) for utt in part.wav_scp}
        part.reco2dur = dict(part.utt2dur)


def _add(whole: DataDir, part: DataDir, path: str | os.PathLike[str]) -> None:
    twice = sorted(set(part.utts) & set(whole.utts))
    if twice:
        raise EspretError(f"{path}: {len(twice)} clips of it are in the mix already, first '{twice[0]}'; name it once")
    for one in fields(DataDir):
        if one.name != "about":
            getattr(whole, one.name).update(getattr(part, one.name))
