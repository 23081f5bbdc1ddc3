"""Room on disks: how it is measured, said, and missed."""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path

import pytest

from espret.bin import VERBS, main
from espret.disk import Unwritable, amount, free_bytes, writing


@pytest.mark.parametrize(
    "size, text",
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (99_400, "99.4 kB"),
        (99_500, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (6_512_345_678, "6.5 GB"),
        (941 * 10**12, "941 TB"),
        (10**16, "10000 TB"),
    ],
)
def test_amounts(size: int, text: str) -> None:
    assert amount(size) == text


def test_free_space_of_a_folder_that_is_not_there_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    total = shutil.disk_usage(tmp_path).total
    assert 0 < free_bytes(tmp_path / "a b" / "c") <= total
    monkeypatch.chdir(tmp_path)
    assert 0 < free_bytes(Path("downloads")) <= total


@pytest.mark.parametrize(
    "number, needed, message",
    [
        (errno.ENOSPC, 1500, r"a b: No space left on device; .* free, 1.5 kB needed; mend: make room"),
        (errno.EDQUOT, None, r"a b: Disk quota exceeded; [0-9.]+ .?B free; mend: make room"),
        (errno.EROFS, None, r"a b: Read-only file system: x'y; mend: take a folder that you may write to"),
        (errno.EACCES, 1500, r"a b: Permission denied: x'y; mend: take a folder"),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, number: int, needed: int | None, message: str) -> None:
    with (
        pytest.raises(Unwritable, match=f"^{re.escape(str(tmp_path))}/{message}"),
        writing(tmp_path / "a b", needed),
    ):
        raise OSError(number, os.strerror(number), "x'y")


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), writing(tmp_path):
        raise IsADirectoryError(errno.EISDIR, "a folder")


@pytest.mark.parametrize("name", ["exp/x", None])
def test_a_disk_that_fills_up_ends_a_verb_with_a_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str | None
) -> None:
    def verb(_words: list[str]) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)

    monkeypatch.setattr(VERBS, "load", lambda _name: verb)
    assert main(["prepare"]) == 1
    where = name or os.getcwd()
    said = f"espret prepare: error: {where}: No space left on device; mend: make room there, and run again\n"
    assert capsys.readouterr().err == said
