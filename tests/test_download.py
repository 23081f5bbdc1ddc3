"""Downloads from a server on this machine that cuts off, sends other bytes, is busy, or has no such file."""

import errno
import hashlib
import io
import multiprocessing
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from web_server import Web, serving

from espret.download import NotThere, Remote, fetch
from espret.errors import EspretError

DATA = os.urandom(300_000)
NAME = "/ein%20'b%C3%B6ser'%20name.bin"


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as made:
        made.files[NAME] = DATA
        yield made


def remote(web: Web, digest: str | None = "md5", size: int | None = None) -> Remote:
    wanted = f"{digest}:{hashlib.new(digest, DATA).hexdigest()}" if digest else None
    return Remote(web.url + NAME, size, wanted)


def get(what: Remote, path: Path) -> list[str]:
    """What was said on the way."""
    said: list[str] = []
    assert fetch(what, path, timeout=5, pauses=(0.0, 0.0, 0.0), say=said.append) == path
    assert path.read_bytes() == DATA
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    return said


@pytest.mark.parametrize("digest, size", [("md5", None), ("sha256", len(DATA)), (None, len(DATA)), (None, None)])
def test_brings_a_file_once(web: Web, tmp_path: Path, digest: str | None, size: int | None) -> None:
    path = tmp_path / "ein 'böser' Ordner" / "a b.bin"
    assert get(remote(web, digest, size), path) == []
    assert get(remote(web, digest, size), path) == []
    assert web.requests == [(NAME, "")]


@pytest.mark.parametrize("digest", ["sha256", None])
def test_goes_on_where_the_connection_ended(web: Web, tmp_path: Path, digest: str | None) -> None:
    # More cuts than a fetch bears in a row without getting on.
    web.faults[NAME] = ["cut 50000"] * 5
    said = get(remote(web, digest), tmp_path / "x")
    assert web.requests == [(NAME, f"bytes={at}-" if at else "") for at in range(0, 300_000, 50_000)]
    assert len(said) == 5 and "250000 more expected" in said[0]


def test_a_server_that_does_not_get_on_is_given_up_and_a_later_call_goes_on(web: Web, tmp_path: Path) -> None:
    web.faults[NAME] = ["cut 1000", "cut 0", "503", "cut 0", "500"]
    with pytest.raises(EspretError, match=rf"could not fetch {re.escape(web.url)}.*HTTP 500"):
        get(remote(web), tmp_path / "x")
    assert not (tmp_path / "x").exists()
    get(remote(web), tmp_path / "x")
    assert web.requests[-1] == (NAME, "bytes=1000-")


def test_a_server_that_falls_silent_is_asked_again(web: Web, tmp_path: Path) -> None:
    web.faults[NAME] = ["stall 70000", "stall 0"]
    said: list[str] = []
    fetch(remote(web), tmp_path / "x", timeout=0.3, pauses=(0.0, 0.0), say=said.append)
    assert (tmp_path / "x").read_bytes() == DATA
    assert web.requests == [(NAME, ""), (NAME, "bytes=70000-"), (NAME, "bytes=70000-")]
    assert len(said) == 2 and all("timed out" in line for line in said)


def test_a_server_without_ranges_sends_it_whole_each_time(web: Web, tmp_path: Path) -> None:
    web.faults[NAME] = ["cut 1000", "whole", "cut 500", "whole"]
    get(remote(web), tmp_path / "x")
    assert web.counts(NAME) == 2
    (tmp_path / "x").unlink()
    get(remote(web), tmp_path / "x")
    assert web.counts(NAME) == 4


def test_a_length_that_is_not_true(web: Web, tmp_path: Path) -> None:
    """Too much announced is a cut, too little is another file; with a known size it is seen before a byte is read."""
    web.faults[NAME] = ["length 300001"]
    assert "300000 bytes read, 1 more expected" in get(remote(web), tmp_path / "x")[0]
    web.faults[NAME] = ["length 299999"]
    assert "another file: md5" in get(remote(web), tmp_path / "y" / "x")[0]
    web.faults[NAME] = ["length 299999"]
    assert "299999 bytes instead of 300000" in get(remote(web, size=len(DATA)), tmp_path / "z" / "x")[0]


class FullDisk(io.FileIO):
    """A file on a disk with room for 100,000 bytes."""

    def write(self, data: Any) -> int:
        room = 100_000 - os.fstat(self.fileno()).st_size
        if room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data[:room])


def test_a_full_disk_is_said_and_what_came_is_kept(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_full(path: Path, mode: str, **_: int) -> io.FileIO:
        return FullDisk(path, "a") if mode == "ab" else io.FileIO(path, mode.removesuffix("b"))

    with monkeypatch.context() as patched:
        patched.setattr("espret.download.open", open_full, raising=False)
        message = rf"{re.escape(str(tmp_path))}: No space left on device; [0-9.]+ [kMGT]B free, 300 kB needed; mend: "
        with pytest.raises(EspretError, match=message):
            get(remote(web, size=len(DATA)), tmp_path / "x")
    assert (tmp_path / ".x.part").read_bytes() == DATA[:100_000] and not (tmp_path / "x").exists()
    get(remote(web, size=len(DATA)), tmp_path / "x")
    assert web.requests[-1] == (NAME, "bytes=100000-")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(web: Web, tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(EspretError, match="Permission denied.*mend: take a folder that you may write to"):
        get(remote(web), tmp_path / "x")


def test_another_file_is_fetched_anew_then_refused(web: Web, tmp_path: Path) -> None:
    web.faults[NAME] = ["wrong"]
    assert "what came is another file: md5" in get(remote(web), tmp_path / "x")[0]
    web.faults[NAME] = ["wrong"] * 2
    with pytest.raises(EspretError, match="another file: md5 [0-9a-f]{32} instead of"):
        get(remote(web), tmp_path / "y")
    assert not list(tmp_path.glob("*y*"))


def test_another_size_is_not_fetched_at_all(web: Web, tmp_path: Path) -> None:
    with pytest.raises(EspretError, match="300000 bytes instead of 299999"):
        get(remote(web, size=299_999), tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_what_is_there_but_damaged_is_fetched_again(web: Web, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(DATA[:-1] + b"?")
    get(remote(web), tmp_path / "x")


def test_a_part_of_a_file_that_changed_is_dropped(web: Web, tmp_path: Path) -> None:
    web.files[NAME] = b"an older file" * 1000
    web.faults[NAME] = ["cut 5000", "404"]
    with pytest.raises(NotThere):
        get(remote(web, None), tmp_path / "x")
    web.files[NAME] = DATA
    get(remote(web, None), tmp_path / "x")
    assert web.requests[-1] == (NAME, "bytes=5000-")


def test_a_part_that_nothing_tells_of_is_dropped(web: Web, tmp_path: Path) -> None:
    """Without digest and ETag nothing would tell that the rest belongs to it."""
    (tmp_path / ".x.part").write_bytes(b"something else")
    web.faults[NAME] = ["no etag"]
    get(remote(web, None), tmp_path / "x")
    assert web.requests == [(NAME, "")]


def test_parts_of_every_state(web: Web, tmp_path: Path) -> None:
    (tmp_path / ".x.part").write_bytes(DATA)  # killed just before the end
    get(remote(web), tmp_path / "x")
    assert not web.requests
    (tmp_path / ".y.part").write_bytes(DATA + b"more")  # 416
    (tmp_path / "x").unlink()
    get(remote(web), tmp_path / "y")
    (tmp_path / "y").unlink()
    (tmp_path / ".z.part").write_bytes(DATA[:500])
    web.faults[NAME] = ["whole"]  # the server ignores ranges
    get(remote(web), tmp_path / "z")


def test_what_the_hub_tells_of_a_large_file_counts(web: Web, tmp_path: Path) -> None:
    web.headers[NAME] = {"X-Linked-ETag": f'"{hashlib.sha256(DATA).hexdigest()}"'}
    get(remote(web, None), tmp_path / "x")
    web.headers[NAME] = {"X-Linked-ETag": f'"{"0" * 64}"'}
    with pytest.raises(EspretError, match="another file: sha256"):
        get(remote(web, None), tmp_path / "y")


def test_what_no_other_try_mends(web: Web, tmp_path: Path) -> None:
    with pytest.raises(NotThere, match="HTTP 404"):
        get(Remote(f"{web.url}/nothing"), tmp_path / "x")
    web.faults[NAME] = ["403"]
    with pytest.raises(EspretError, match="HTTP 403"):
        get(remote(web), tmp_path / "x")
    with pytest.raises(EspretError, match="not an address"):
        get(Remote("no/scheme"), tmp_path / "x")
    assert len(web.requests) == 2 and not list(tmp_path.iterdir())


def test_a_busy_server_says_when_to_come_back(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("espret.download.time.sleep", slept.append)
    web.faults[NAME] = ["429 Retry-After: 7", "503 Retry-After: 99999", "502"]
    get(remote(web), tmp_path / "x")
    assert slept == [7, 600, 0]


def test_no_server(tmp_path: Path) -> None:
    with serving() as web:
        gone = Remote(f"{web.url}/x")
    with pytest.raises(
        EspretError, match="could not fetch .*ConnectionError: Failed to .*refused; HTTPS_PROXY"
    ) as error:
        get(gone, tmp_path / "x")
    assert "object at" not in str(error.value) and "Max retries" not in str(error.value)


def test_several_processes_fetch_it_once(web: Web, tmp_path: Path) -> None:
    web.faults[NAME] = ["cut 200000"]
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=get, args=(remote(web), tmp_path / "x")) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (tmp_path / "x").read_bytes() == DATA
    assert web.counts(NAME) == 2


def test_a_certificate_that_is_not_trusted_is_not_tried_again(tmp_path, monkeypatch):
    asked = []

    def get(url, **_):
        asked.append(url)
        raise requests.exceptions.SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate in chain")

    monkeypatch.setattr(requests, "get", get)
    with pytest.raises(EspretError, match=r"certificate of example\.org is not trusted; .* REQUESTS_CA_BUNDLE"):
        fetch(Remote("https://example.org/x"), tmp_path / "x")
    assert len(asked) == 1 and not list(tmp_path.iterdir())
