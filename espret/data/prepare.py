"""The first step of stage 0: from a recipe's `clips()` to data directories with headers probed.

The recipe's local/data.py defines `clips()`, which yields (split, clip id, audio path, captions), and may define
EXPECTED, the number of clips of each split, and NO_CAPTIONS, the splits that have none. Its mistakes are errors; clips
that cannot be read are issues, left out of the directories and reported. Decoding every clip is `check`; accepting or
refusing the issues is `finish`.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from espret.data.audio import AudioError, AudioInfo, probe
from espret.data.datadir import DataDir
from espret.data.ids import check_id
from espret.data.issues import PREPARE, Issue, write_issues
from espret.data.tables import is_utf8
from espret.errors import EspretError, nearest
from espret.files import write_jsonl

PROBES = 16  # threads that read headers: the wait is for the disk


class Clip(NamedTuple):
    """One item of `clips()`, checked: a safe id, a path as wav.scp has it, clean captions."""

    id: str
    path: str
    captions: list[str]


@dataclass
class Prepared:
    """What prepare did: clips and issues by split, and captions whose inner white space was collapsed."""

    clips: dict[str, int] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)
    respaced: int = 0


def prepare(
    function: str | os.PathLike[str],
    splits: Mapping[str, str | os.PathLike[str]],
    work: str | os.PathLike[str],
    issues: str | os.PathLike[str],
    corpus: str,
    variant: str = "",
) -> Prepared:
    """Write the data directories `splits` (name -> directory) of the corpus that the file `function` describes.

    Leaves what the header probe found in `work` (and nothing there of an earlier run) and, for the eye, in the table
    `issues`. Raises EspretError for what is wrong with the corpus' description, naming the item.
    """
    module = load_module(function)
    result = Prepared()
    collected = _collect(module, splits, result)
    _assert_expected(module, collected)
    for stale in Path(work).glob("issues.*.jsonl"):
        stale.unlink()
    for split, clips in collected.items():
        directory = _probed(split, clips, result)
        directory.about = {"corpus": corpus, "split": split, "variant": variant, **directory.counts()}
        directory.write(splits[split])
        result.clips[split] = len(clips)
    write_jsonl(Path(work) / PREPARE, [issue._asdict() for issue in sorted(result.issues)])
    write_issues(issues, result.issues)
    return result


def load_module(function: str | os.PathLike[str]) -> ModuleType:
    """The Python file `function` as a module, under a name of its own. Raises EspretError without a `clips` in it."""
    path = Path(function)
    if not path.is_file():
        raise EspretError(f"{path}: no such file; expected a Python file that defines clips()")
    spec = importlib.util.spec_from_file_location("espret_recipe_local_data", path)
    if spec is None or spec.loader is None:
        raise EspretError(f"{path}: expected a Python file, named *.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    if not callable(getattr(module, "clips", None)):
        known = [name for name in vars(module) if not name.startswith("_")]
        raise EspretError(f"{path}: defines no function 'clips'{nearest('clips', known)}")
    return module


def _collect(module: ModuleType, splits: Mapping[str, object], result: Prepared) -> dict[str, list[Clip]]:
    """All clips by split, in the order of `splits`."""
    collected: dict[str, list[Clip]] = {split: [] for split in splits}
    seen: dict[str, str] = {}
    without = set(getattr(module, "NO_CAPTIONS", ()))
    for where, item in _items(module):
        split, clip_id, path, captions = item
        if split not in collected:
            asked = ", ".join(collected)
            raise EspretError(f"{where}: split {split!r}; expected one of those asked for: {asked}")
        utt = check_id(clip_id, where)
        if utt in seen:
            raise EspretError(f"{where}: clip id '{utt}' again, first seen in split {seen[utt]}; expected unique ids")
        seen[utt] = split
        cleaned, respaced = clean_captions(captions, f"{where} ('{utt}')", needed=split not in without)
        result.respaced += respaced
        collected[split].append(Clip(utt, scp_path(path, f"{where} ('{utt}')"), cleaned))
    for split, clips in collected.items():
        if not clips:
            raise EspretError(f"{module.__file__}: clips() yields nothing for split '{split}', which was asked for")
    return collected


def _items(module: ModuleType) -> Iterator[tuple[str, tuple[object, object, object, object]]]:
    """Each item of clips() with where it stands, for messages."""
    for number, item in enumerate(module.clips(), 1):
        where = f"{module.__file__}: item {number} of clips()"
        if not isinstance(item, (tuple, list)) or len(item) != 4:
            raise EspretError(f"{where}: {item!r:.100}; expected (split, clip id, audio path, captions)")
        yield where, (item[0], item[1], item[2], item[3])


def _assert_expected(module: ModuleType, collected: Mapping[str, list[Clip]]) -> None:
    """Compare the counts with EXPECTED, where the recipe states it."""
    expected = getattr(module, "EXPECTED", {})
    wrong = [
        f"{split} {len(clips)}, not {expected[split]}"
        for split, clips in collected.items()
        if split in expected and len(clips) != expected[split]
    ]
    if wrong:
        raise EspretError(
            f"{module.__file__}: clips() yields other numbers of clips than EXPECTED says: {'; '.join(wrong)}; "
            "mend: complete the corpus, or correct EXPECTED"
        )


def clean_captions(captions: object, where: str, needed: bool) -> tuple[list[str], int]:
    """The captions with white space at the ends removed and inner runs (line ends too) made one blank, and how many
    had such runs. Raises EspretError for none where they are `needed`, an empty one, or anything but strings."""
    if captions is None:
        captions = []
    if isinstance(captions, str) or not all(isinstance(caption, str) for caption in _iterable(captions, where)):
        raise EspretError(f"{where}: captions {captions!r:.80}; expected a list of strings")
    originals: list[str] = list(captions)  # type: ignore[call-overload]
    if needed and not originals:
        raise EspretError(f"{where}: no captions; expected at least one, or the split named in NO_CAPTIONS")
    cleaned = [" ".join(caption.split()) for caption in originals]
    for k, caption in enumerate(cleaned, 1):
        if not caption:
            raise EspretError(f"{where}: caption {k} is empty; expected words")
        if not is_utf8(caption):
            raise EspretError(f"{where}: caption {k} {caption!r:.80} is not valid Unicode; expected UTF-8 text")
    return cleaned, sum(new != old.strip() for new, old in zip(cleaned, originals))


def _iterable(captions: object, where: str) -> Iterator[object]:
    if not isinstance(captions, (list, tuple)):
        raise EspretError(f"{where}: captions {captions!r:.80}; expected a list of strings")
    return iter(captions)


def scp_path(path: object, where: str) -> str:
    """`path` as wav.scp has it: relative to the working directory when below it, else absolute.

    Raises EspretError for names that a line of wav.scp cannot hold; anything else in a name is fine.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise EspretError(f"{where}: audio path {path!r:.80}; expected a string or a Path")
    absolute = os.path.abspath(os.fspath(path))
    here = os.getcwd().rstrip(os.sep) + os.sep
    name = absolute.removeprefix(here)
    if name.startswith(("-", " ", "\t")):
        name = f"./{name}"
    if "\n" in name or "\r" in name or name.endswith("|") or not is_utf8(name):
        raise EspretError(
            f"{where}: audio path {name!r}; expected a name in UTF-8 without line ends that does not end in '|'; "
            "mend: rename the file"
        )
    return name


def _probed(split: str, clips: list[Clip], result: Prepared) -> DataDir:
    """The data directory of a split's readable clips; the others become issues."""
    directory = DataDir(wav_scp={})
    with ThreadPoolExecutor(PROBES) as pool:
        probed = pool.map(_header, (clip.path for clip in clips))
        for clip, info in zip(clips, probed):
            if isinstance(info, str):
                result.issues.append(Issue(split, clip.id, clip.path, info))
                continue
            directory.wav_scp[clip.id] = clip.path
            directory.utt2dur[clip.id] = info.frames / info.sample_rate
            directory.utt2sr[clip.id] = info.sample_rate
            ids = [f"{clip.id}-{k}" for k in range(1, len(clip.captions) + 1)]
            directory.text.update(zip(ids, clip.captions))
            directory.cap2utt.update(dict.fromkeys(ids, clip.id))
            if ids:
                directory.utt2cap[clip.id] = ids
    return directory


def _header(path: str) -> AudioInfo | str:
    try:
        return probe(path)
    except AudioError as error:
        return error.reason
