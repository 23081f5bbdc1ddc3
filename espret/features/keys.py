"""Which key of a file of published features is an utterance's: by its id, by its name in the corpus, or by a table."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from urllib.parse import unquote

from espret.data.datadir import DataDir
from espret.data.tables import read_table, some
from espret.errors import EspretError

_SUFFIX = re.compile(r"(\.(wav|flac|mp3|ogg|opus|m4a|aac|mp4|webm|mkv|avi))+$", re.IGNORECASE)


def choose_keys(
    source: str | os.PathLike[str],
    keys: Collection[str],
    data: str | os.PathLike[str],
    directory: DataDir,
    table: str | os.PathLike[str] | None = None,
) -> dict[str, str]:
    """{utterance: key} for the utterances of data directory `data` that have one of `keys`, as `table` says or by name.

    Keys in the table may have %XX, as in the utt2key that an import writes. Raises EspretError where none has one.
    """
    if table is None:
        chosen = match_keys(keys, directory.utts, directory.utt2fname)
    else:
        rows = {utt: unquote(key) for utt, key in read_table(table).items()}
        foreign = sorted(rows.keys() - set(directory.utts))
        if foreign:
            raise EspretError(f"{table}: {len(foreign)} utterances that are not in {data}: {some(foreign)}")
        chosen = {utt: key for utt, key in rows.items() if key in keys}
    if not chosen:
        names = [f"{utt} ({directory.utt2fname[utt]})" if utt in directory.utt2fname else utt for utt in directory.utts]
        raise EspretError(
            f"{source}: none of its {len(keys)} keys belongs to one of the {len(names)} clips of {data}; keys: "
            f"{some(map(repr, sorted(keys)))}; clips (and their names in the corpus): {some(names)}; expected the "
            "features of this corpus; mend: another file, or --utt2key FILE, a table of each utterance's key"
        )
    return chosen


def match_keys(keys: Collection[str], utts: Collection[str], fnames: Mapping[str, str]) -> dict[str, str]:
    """{utterance: key} for the utterances whose id or name in the corpus is a key, as it stands or in another form.

    The forms: without the suffix and outer blanks of a file name; a start in milliseconds for one in seconds
    (<video>_30000 for <video>_30); v_<video>, video-<video>, Y<video> or <video> for another of these. Raises
    EspretError where two utterances would get one key.
    """
    names = {utt: [utt, *([fnames[utt]] if utt in fnames else [])] for utt in utts}
    chosen = {utt: next((name for name in names[utt] if name in keys), None) for utt in utts}
    left = set(keys).difference(chosen.values())  # a key that is one clip's name is not another's in another form
    bare = Counter(map(_bare, keys))
    forms = {_bare(key): key for key in left if bare[_bare(key)] == 1}
    owner: dict[str, str] = {}
    for utt in utts:
        key = chosen[utt] or next((forms[form] for name in names[utt] for form in _forms(name) if form in forms), None)
        if key in owner:
            raise EspretError(
                f"key '{key}' would be the features of both '{owner[key]}' and '{utt}'; expected one utterance a key; "
                "mend: --utt2key FILE, a table of each utterance's key"
            )
        if key is not None:
            owner[key] = utt
    return {utt: key for key, utt in owner.items()}


def _bare(name: str) -> str:
    return _SUFFIX.sub("", name.strip()).strip()


def _forms(name: str) -> Iterator[str]:
    name = _bare(name)
    yield name
    start = re.fullmatch(r"([\w-]{11})_([0-9]+)", name)
    if start:
        yield f"{start[1]}_{int(start[2]) * 1000}"
    video = re.fullmatch(r"(?:v_|video-|Y)?([\w-]{11})", name)
    if video:
        yield from (f"v_{video[1]}", f"video-{video[1]}", video[1], f"Y{video[1]}")
