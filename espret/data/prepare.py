"""The first step of stage 0: from a recipe's corpora to data directories with headers probed.

Mistakes of the corpus' description (`local`) are errors; clips that cannot be read are issues, left out of the
directories and reported. Decoding every clip is `check`; accepting or refusing the issues is `finish`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from espret.data.audio import AudioError, AudioInfo, probe
from espret.data.corpus import Asked, Clip, Corpus
from espret.data.datadir import DataDir, Segment
from espret.data.ids import check_id
from espret.data.issues import PREPARE, Issue, write_issues
from espret.data.local import corpora, shares
from espret.data.tables import is_utf8
from espret.data.validate import SLACK
from espret.errors import EspretError
from espret.files import write_jsonl

PROBES = 16  # threads that read headers: the wait is for the disk
PART = 64  # headers that a thread reads at a time: handing them out one by one takes longer than reading them
OWN = "own"  # what a variant's name ends with where the lists of clips are the user's own


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
    asked: Asked | None = None,
) -> Prepared:
    """Write the data directories `splits` (name -> directory) of the corpora that the file `function` describes.

    `corpus` names one that has only `clips()`. Leaves what the header probe found in `work` (and nothing there of an
    earlier run) and, for the eye, in the table `issues`. Raises EspretError for what is wrong with a corpus'
    description, naming the item.
    """
    result = Prepared()
    wanted = replace(asked or Asked(()), splits=tuple(splits))
    pairs = shares(corpora(function, corpus), wanted)
    collected = [(one, part, _collect(one, part, result)) for one, part in pairs]
    for stale in Path(work).glob("issues.*.jsonl*"):
        stale.unlink()
    for one, part, clips_of in collected:
        for split, clips in clips_of.items():
            directory = _probed(one, split, clips, result)
            directory.about = _about(one, part, split, clips, directory)
            directory.write(splits[split])
            result.clips[split] = len(clips)
    write_jsonl(Path(work) / PREPARE, [issue._asdict() for issue in sorted(result.issues)])
    write_issues(issues, result.issues)
    return result


def _about(corpus: Corpus, asked: Asked, split: str, clips: Sequence[Clip], directory: DataDir) -> dict[str, Any]:
    """about.json: which clips of which variant these are; `listed` is how many the corpus lists."""
    _, variant = corpus.parse(split, asked.variant)
    called = corpus.called((*variant, OWN) if corpus.own(asked) else variant)
    told = {"corpus": corpus.name, "split": split, "variant": called, "listed": len(clips)}
    return {**told, **directory.counts()}


def _collect(corpus: Corpus, asked: Asked, result: Prepared) -> dict[str, list[Clip]]:
    """All clips by split, in the order of the splits asked for, each checked."""
    collected: dict[str, dict[str, Clip]] = {split: {} for split in asked.splits}
    for number, clip in enumerate(corpus.clips(asked), 1):
        where = f"{corpus.where}: item {number} of clips()"
        if clip.split not in collected:
            wanted = ", ".join(collected)
            raise EspretError(f"{where}: split {clip.split!r}; expected one of those asked for: {wanted}")
        utt = check_id(clip.id, where)
        if utt in collected[clip.split]:
            raise EspretError(f"{where}: clip id '{utt}' again in split {clip.split}; expected unique ids")
        collected[clip.split][utt] = _checked(corpus, clip, f"{where} ('{utt}')", result)
    for split, clips in collected.items():
        if not clips:
            raise EspretError(f"{corpus.where}: clips() yields nothing for split '{split}', which was asked for")
    _assert_expected(corpus, asked, {split: len(clips) for split, clips in collected.items()})
    return {split: list(clips.values()) for split, clips in collected.items()}


def _checked(corpus: Corpus, clip: Clip, where: str, result: Prepared) -> Clip:
    """The clip with its path as wav.scp has it and its captions cleaned."""
    needed = clip.split not in corpus.without_captions and not clip.why
    captions, respaced = clean_captions(clip.captions, where, needed)
    result.respaced += respaced
    if clip.recording:
        check_id(clip.recording, f"{where}: recording")
    path = None if clip.path is None else scp_path(clip.path, where)
    return replace(clip, path=path, captions=captions)


def _assert_expected(corpus: Corpus, asked: Asked, counts: Mapping[str, int]) -> None:
    """Compare the counts with those that the corpus states, unless its lists are the user's own."""
    if corpus.own(asked):
        return
    wrong = []
    for split, count in counts.items():
        base, variant = corpus.parse(split, asked.variant)
        expected = corpus.expected(base, variant)
        if expected is not None and count != expected:
            wrong.append(f"{split} {count}, not {expected}")
    if wrong:
        raise EspretError(
            f"{corpus.where}: other numbers of clips than expected: {'; '.join(wrong)}; mend: complete the corpus' "
            "lists, or, where local/data.py has it, correct EXPECTED"
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


def _probed(corpus: Corpus, split: str, clips: list[Clip], result: Prepared) -> DataDir:
    """The data directory of a split's readable clips; the others become issues."""
    directory = DataDir(wav_scp={})
    headers = _headers(dict.fromkeys(str(clip.path) for clip in clips if clip.path is not None))
    segmented = any(clip.recording for clip in clips)
    for clip in clips:
        shown = "" if clip.path is None else str(clip.path)
        try:
            if shown:
                _add_sound(directory, clip, headers[shown], segmented)
            elif clip.why or headers:  # without any path the corpus has no sound, and none is missed
                raise AudioError(shown, clip.why or "missing")
        except AudioError as error:
            result.issues.append(Issue(split, clip.id, shown, error.reason))
            continue
        _add_words(directory, clip)
        result.issues += _odd_length(corpus, split, clip, directory.utt2dur.get(clip.id))
    return directory


def _headers(paths: Iterable[str]) -> dict[str, AudioInfo | AudioError]:
    """What the header of each file says, or why it says nothing."""
    listed = list(paths)
    parts = [listed[start : start + PART] for start in range(0, len(listed), PART)]
    with ThreadPoolExecutor(PROBES) as pool:
        found = pool.map(lambda part: [_header(path) for path in part], parts)
        return dict(zip(listed, chain.from_iterable(found)))


def _header(path: str) -> AudioInfo | AudioError:
    try:
        return probe(path)
    except AudioError as error:
        return error


def _add_sound(directory: DataDir, clip: Clip, header: AudioInfo | AudioError, segmented: bool) -> None:
    """wav.scp, segments and the lengths of a clip. Raises AudioError where it cannot be used."""
    if isinstance(header, AudioError):
        raise header
    seconds = header.frames / header.sample_rate
    if segmented:
        recording = clip.recording or clip.id
        segment = _segment(clip, recording, seconds)
        directory.segments[clip.id] = segment
        directory.reco2dur[recording] = seconds
        seconds = segment.end - segment.start
    else:
        recording = clip.id
    directory.wav_scp[recording] = str(clip.path)
    directory.utt2dur[clip.id] = seconds
    directory.utt2sr[clip.id] = header.sample_rate


def _segment(clip: Clip, recording: str, seconds: float) -> Segment:
    """The clip's stretch of its recording, cut where that ends. Raises AudioError for one that lies outside."""
    start = clip.start or 0.0
    end = seconds if clip.end is None else min(clip.end, seconds)
    if not 0 <= start < end or end - start < SLACK:
        asked = "end" if clip.end is None else f"{clip.end:.3f}"
        reason = f"segment {start:.3f} to {asked} s of a recording of {seconds:.3f} s"
        raise AudioError(str(clip.path), reason)
    return Segment(recording, start, end)


def _add_words(directory: DataDir, clip: Clip) -> None:
    """Captions, the corpus' name of the clip, and where its sound comes from."""
    ids = [f"{clip.id}-{k}" for k in range(1, len(clip.captions) + 1)]
    directory.text.update(zip(ids, clip.captions))
    directory.cap2utt.update(dict.fromkeys(ids, clip.id))
    if ids:
        directory.utt2cap[clip.id] = ids
    if clip.name:
        directory.utt2fname[clip.id] = clip.name
    if clip.origins:
        directory.utt2origin[clip.id] = list(clip.origins)


def _odd_length(corpus: Corpus, split: str, clip: Clip, seconds: float | None) -> list[Issue]:
    """A remark on a clip that is kept, but is not as long as clips of this corpus are."""
    if corpus.seconds is None or seconds is None:
        return []
    shortest, longest = corpus.seconds
    if shortest <= seconds <= longest:
        return []
    reason = f"{seconds:.3f} s long; expected {shortest:g} to {longest:g} s"
    return [Issue(split, clip.id, str(clip.path), reason, kept=True)]
