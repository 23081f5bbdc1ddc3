"""Checking a data directory: the form of each file, and that the files agree. Reports every kind of problem at once.

One pass over the files and no per-row work in Python where all is well, because every stage calls this on entry:
50,000 utterances with 250,000 captions take well under a second (tools/bench/validate.py). Audio is not opened here;
that is `check`.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from espret.data.datadir import parse_segment, without_sound
from espret.data.tables import collector_paused, is_utf8, scan_table, some, unsorted
from espret.errors import EspretError
from espret.files import PARTIAL, read_json

REQUIRED = ("wav.scp", "utt2dur", "utt2sr")
CAPTIONS = ("text", "cap2utt", "utt2cap")
NAMES = ("utt2fname", "utt2origin")
OPTIONAL = ("segments", "reco2dur", *NAMES)
AGAIN = "mend: prepare the data again, ./run.sh --stage 0 --stop-stage 0 --force"
SLACK = 0.05  # seconds that a segment may exceed its recording or differ from utt2dur, for rounding in published lists

Tables = dict[str, dict[str, str]]


@collector_paused()
def validate(path: str | os.PathLike[str], need_text: bool | None = None) -> list[str]:
    """All that is wrong with a data directory, one message a kind of problem; [] where it is sound.

    Each message names the file, the first offending ids and the command that mends it. Captions may be absent where
    `need_text` is False, but are checked where they exist; None: absent where about.json counts no captions.
    """
    root = Path(path)
    if not root.is_dir():
        return [f"{root}: no such data directory; {AGAIN}"]
    if need_text is None:
        need_text = _captions_of(root) != 0
    required = ("utt2fname",) if without_sound(root) else REQUIRED
    tables, problems = _load(root, (*REQUIRED, *OPTIONAL), required)
    check = _Checker(root, tables, problems)
    check.audio()
    check.names()
    if _foretold(root, check.utts):
        return problems
    captions, found = _load(root, CAPTIONS, CAPTIONS if need_text else ())
    problems += found
    tables.update(captions)
    if captions:
        check.captions(need_text)
    return problems


def _captions_of(root: Path) -> object:
    """The number of captions that about.json says the directory has; None where it does not say."""
    try:
        about = read_json(root / "about.json")
    except EspretError:  # about.json is not needed to use a directory
        return None
    return about.get("captions") if isinstance(about, dict) else None


def _foretold(root: Path, utts: Mapping[str, str]) -> bool:
    """Whether the captions' files are what `DataDir.write` makes of the captions that utt2cap lists for `utts`.

    Then they are sound, which costs half of reading them; a file of another form may be sound too.
    """
    if not all((root / name).is_file() for name in CAPTIONS):
        return False
    utt2cap, problems = scan_table(root / "utt2cap")
    if problems or list(utt2cap) != list(utts):
        return False
    caps = " ".join(utt2cap.values()).split()
    cap2utt = "".join([f"{cap} {utt}\n" for utt, captions in utt2cap.items() for cap in captions.split()])
    if unsorted(caps) or (root / "cap2utt").read_bytes() != cap2utt.encode("utf-8"):
        return False
    body = (root / "text").read_bytes()
    if b" \n" in body or b"\r" in body or b"\t" in body:
        return False
    starts = [f"{cap} ".encode() for cap in caps]
    lines = body.split(b"\n")
    return len(lines) == len(caps) + 1 and not lines[-1] and all(map(bytes.startswith, lines, starts)) and is_utf8(body)


def _load(root: Path, names: Iterable[str], required: Iterable[str]) -> tuple[Tables, list[str]]:
    tables: Tables = {}
    problems: list[str] = []
    for name in names:
        if name not in required and not (root / name).exists():
            continue
        rows, found = scan_table(root / name)
        problems += [f"{message}; {AGAIN}" if message.endswith("no such file") else message for message in found]
        if not any(message.endswith("no such file") for message in found):
            tables[name] = rows
    if "wav.scp" in tables and not tables["wav.scp"]:
        problems.append(f"{root / 'wav.scp'}: empty; expected at least one utterance; {AGAIN}")
    return tables, problems


class _Checker:
    """The checks across the files of one directory; a check whose files are absent says nothing."""

    def __init__(self, root: Path, tables: Tables, problems: list[str]) -> None:
        self.root, self.tables, self.problems = root, tables, problems
        self.utts_name = "utt2fname" if without_sound(root) else "segments" if "segments" in tables else "wav.scp"
        self.utts = tables.get(self.utts_name, {})

    def report(self, name: str, wrong: str, offenders: Iterable[str], mend: str = AGAIN) -> None:
        found = list(offenders)
        if found:
            self.problems.append(f"{self.root / name}: {wrong}: {some(found)}; {mend}")

    def same_keys(self, name: str, other: str, keys: Mapping[str, object]) -> None:
        """Report the ids that only one of table `name` and `keys` (those of `other`) has."""
        if name not in self.tables or list(self.tables[name]) == list(keys):  # both are sorted where all is well
            return
        here = self.tables[name].keys()
        self.report(name, f"ids missing that {other} has", sorted(keys.keys() - here))
        self.report(name, f"ids that {other} has not", sorted(here - keys.keys()))

    def values(self, name: str, expected: str, sound: Callable[[str], bool]) -> None:
        """Report the rows of table `name` whose value is not `expected`."""
        rows = self.tables.get(name, {})
        good = {value: _holds(sound, value) for value in set(rows.values())}
        if not all(good.values()):
            bad = (f"'{key}' {value!r}" for key, value in rows.items() if not good[value])
            self.report(name, f"expected {expected}, found", bad)

    def audio(self) -> None:
        """wav.scp, segments, reco2dur, utt2dur and utt2sr."""
        piped = [key for key, value in self.tables.get("wav.scp", {}).items() if value.endswith("|")]
        mend = "expected a path; mend: run the command once and name the file that it makes"
        self.report("wav.scp", "pipes are not read", piped, mend)
        self.values("utt2dur", "a duration in seconds above 0", lambda value: 0 < float(value) < float("inf"))
        self.values("reco2dur", "a duration in seconds above 0", lambda value: 0 < float(value) < float("inf"))
        self.values("utt2sr", "a sample rate in Hz", lambda value: int(value) > 0)
        if "segments" in self.tables:
            self.segments()
        if self.utts_name in self.tables:
            self.same_keys("utt2dur", self.utts_name, self.utts)
            self.same_keys("utt2sr", self.utts_name, self.utts)

    def names(self) -> None:
        """utt2fname and utt2origin: of known utterances; every clip has a name where any has."""
        if self.utts_name in self.tables:
            self.same_keys("utt2fname", self.utts_name, self.utts)
            unknown = sorted(self.tables.get("utt2origin", {}).keys() - self.utts.keys())
            self.report("utt2origin", f"ids that {self.utts_name} has not", unknown)

    def segments(self) -> None:
        """That segments lie in known recordings, within them, and last as long as utt2dur says."""
        recordings = self.tables.get("wav.scp", {})
        used: dict[str, str] = {}
        unknown, outside, differ = [], [], []
        for utt, value in self.tables["segments"].items():
            try:
                segment = parse_segment(value)
            except ValueError:
                continue
            used[segment.recording] = utt
            length = _seconds(self.tables.get("reco2dur", {}).get(segment.recording))
            if segment.recording not in recordings:
                unknown.append(f"'{utt}' in '{segment.recording}'")
            if not 0 <= segment.start < segment.end < float("inf") or (
                length is not None and segment.end > length + SLACK
            ):
                outside.append(f"'{utt}' {value!r}" + (f" of {length:.3f} s" if length is not None else ""))
            seconds = _seconds(self.tables.get("utt2dur", {}).get(utt))
            if seconds is not None and abs(seconds - (segment.end - segment.start)) > SLACK:
                differ.append(f"'{utt}' {seconds:.3f} s, not {segment.end - segment.start:.3f} s")
        self.values("segments", "'recording start end'", lambda value: bool(parse_segment(value)))
        self.report("segments", "recordings that wav.scp has not", unknown)
        self.report("segments", "expected 0 <= start < end <= the recording's length, found", outside)
        self.report("utt2dur", "durations other than those of segments", differ)
        self.report("wav.scp", "recordings without a segment", sorted(recordings.keys() - used.keys()))
        if "wav.scp" in self.tables:
            self.same_keys("reco2dur", "wav.scp", recordings)

    def captions(self, need_text: bool) -> None:
        """text, cap2utt and utt2cap: one set of captions, each of a known utterance, each utterance with one."""
        text, cap2utt, utt2cap = (self.tables.get(name) for name in CAPTIONS)
        if cap2utt is None:
            if not need_text:
                self.report("cap2utt", "missing, though there are captions", ["no such file"])
            return
        self.same_keys("text", "cap2utt", cap2utt)
        captioned = set(cap2utt.values())
        if self.utts_name in self.tables:
            self.report("cap2utt", f"utterances that {self.utts_name} has not", sorted(captioned - self.utts.keys()))
            if need_text:
                self.report("cap2utt", "utterances without a caption", sorted(self.utts.keys() - captioned))
        if utt2cap is not None:
            self.inverse(cap2utt, utt2cap)
        if (text is None or utt2cap is None) and not need_text:
            self.report("cap2utt", "present without text and utt2cap beside it", ["no such file"])

    def inverse(self, cap2utt: dict[str, str], utt2cap: dict[str, str]) -> None:
        """That utt2cap lists for each utterance exactly the captions that cap2utt gives it."""
        caps = " ".join(utt2cap.values()).split()
        utts = [utt for utt, captions in utt2cap.items() for _ in captions.split()]
        if caps == list(cap2utt) and utts == list(cap2utt.values()):  # the usual order; other orders are sound too
            return
        listed = dict(zip(caps, utts))
        if listed == cap2utt and len(listed) == len(caps):
            return
        wrong = {utt for cap, utt in listed.items() if cap2utt.get(cap) != utt}
        wrong |= {utt for cap, utt in cap2utt.items() if listed.get(cap) != utt}
        wrong |= {utt for utt, caps in utt2cap.items() if len(set(caps.split())) != len(caps.split())}
        wrong |= utt2cap.keys() - set(cap2utt.values())
        c, u = shlex.quote(str(self.root / "cap2utt")), shlex.quote(str(self.root / "utt2cap"))
        mend = f"mend: awk '{{a[$2]=a[$2]\" \"$1}} END{{for(u in a) print u a[u]}}' {c} | LC_ALL=C sort > {u}"
        self.report("utt2cap", "not the inverse of cap2utt for utterances", sorted(wrong), mend)


def _holds(sound: Callable[[str], bool], value: str) -> bool:
    try:
        return sound(value)
    except ValueError:
        return False


def _seconds(value: str | None) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return None


def success(path: str | os.PathLike[str]) -> str:
    """The line that Kaldi's utils/validate_data_dir.sh ends with, for the directory's final name."""
    return f"Successfully validated data-directory {str(path).removesuffix(PARTIAL)}"
