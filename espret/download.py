"""Files from the web, whole or absent: resumed after a cut, verified, tried again with growing pauses.

One file a call. What is fetched, from where and what it must be is the caller's (espret.data.sources.sources).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from espret import __version__
from espret.disk import writing
from espret.errors import EspretError

if TYPE_CHECKING:
    import requests
    from tqdm import tqdm

TIMEOUT = 60.0  # seconds without an answer or without a byte
PAUSES = (1.0, 4.0, 15.0, 60.0)  # seconds before each further try; a try that brought the file on starts them anew
LONGEST_PAUSE = 600.0  # of what a busy server may ask for
PASSING = {408, 425, 429, 500, 502, 503, 504}  # HTTP statuses that another try may mend
BLOCK = 1 << 18


@dataclass(frozen=True)
class Remote:
    """A file on the web and what is known of it: size in bytes, digest as `sha256:HEX` or `md5:HEX`."""

    url: str
    size: int | None = None
    digest: str | None = None


class NotThere(EspretError):
    """The server is reached and has no such file (HTTP 404 or 410)."""


class _Passing(Exception):
    """What another try may mend; `pause` is what the server asks for, in seconds."""

    def __init__(self, message: str, pause: float = 0.0) -> None:
        super().__init__(message)
        self.pause = pause


class _Wrong(Exception):
    """All bytes came, or are announced, and they are not those of the file."""


def _say(text: str) -> None:
    print(f"download: {text}", file=sys.stderr, flush=True)


def fetch(
    remote: Remote,
    path: Path,
    *,
    timeout: float = TIMEOUT,
    pauses: Sequence[float] | None = None,
    say: Callable[[str], None] = _say,
) -> Path:
    """Bring the file to `path`; at once when it is there and is what it must be. Returns `path`.

    Bytes are gathered in a hidden sibling, from which a later call goes on; it becomes `path` when it is verified.
    Several processes may fetch one file: one does, the others wait for it. Proxies, certificates and passwords are
    those of the environment (HTTPS_PROXY, REQUESTS_CA_BUNDLE, ~/.netrc).

    Raises NotThere, and EspretError when the server refuses, cannot be reached, or sends another file twice, and when
    the disk is full.
    """
    with writing(path.parent, remote.size):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() and not difference(path, remote):
            return path
        with _part(path) as part:
            if path.is_file() and not difference(path, remote):
                return path  # another process fetched it while we waited
            _gather(remote, part, timeout, PAUSES if pauses is None else pauses, say)
            os.fsync(part.fileno())
            os.replace(part.name, path)
            _validator(part).unlink(missing_ok=True)
    return path


def difference(path: Path, remote: Remote) -> str:
    """In what a file differs from what is known of the remote one; empty when in nothing."""
    size = path.stat().st_size
    if remote.size is not None and size != remote.size:
        return f"{size} bytes instead of {remote.size}"
    if remote.digest is None:
        return ""
    kind, _, wanted = remote.digest.partition(":")
    found = file_digest(path, kind)
    return "" if found == wanted.lower() else f"{kind} {found} instead of {wanted}"


def file_digest(path: Path, kind: str) -> str:
    """The hex digest of a file's content; `kind` is md5, sha1 or sha256."""
    digest = hashlib.new(kind)
    with open(path, "rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _gather(
    remote: Remote, part: IO[bytes], timeout: float, pauses: Sequence[float], say: Callable[[str], None]
) -> None:
    """Fill the part until it is the file."""
    most, failures, wrong = _size(part), 0, 0
    while True:
        pause = 0.0
        try:
            return _attempt(remote, part, timeout)
        except _Passing as error:
            problem, pause = str(error), error.pause
        except _Wrong as error:
            problem, wrong, most = str(error), wrong + 1, 0
            part.truncate(0)
        # A server that is cut off again and again, but brings the file on, is borne with.
        failures, most = (0, _size(part)) if _size(part) > most else (failures + 1, most)
        if failures > len(pauses) or wrong > 1:
            raise EspretError(f"could not fetch {remote.url}: {problem:.500}")
        pause = max(pause, pauses[max(failures - 1, 0)]) if pauses else pause
        say(f"{remote.url}: {problem:.300}; trying again in {pause:.0f} s")
        time.sleep(pause)


def _attempt(remote: Remote, part: IO[bytes], timeout: float) -> None:
    """One request: what is missing of the part, then the check. Raises _Passing and _Wrong."""
    path, validator = Path(part.name), _validator(part)
    if _size(part) and remote.digest and not difference(path, remote):
        return  # the process was killed just before the end
    import requests
    import urllib3

    if _size(part) and not (remote.digest or validator.is_file()):
        part.truncate(0)  # nothing would tell that the rest is of the same file
    headers = {"Accept-Encoding": "identity", "User-Agent": f"espret/{__version__}"}
    if start := _size(part):
        headers["Range"] = f"bytes={start}-"
        if validator.is_file():
            headers["If-Range"] = validator.read_text(encoding="latin-1")
    try:
        with requests.get(remote.url, headers=headers, stream=True, timeout=timeout) as response:
            _receive(response, remote, part)
            expected = Remote(remote.url, remote.size, remote.digest or _announced(response))
    except (
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.exceptions.MissingSchema,
    ) as error:
        raise EspretError(f"not an address to download from: {error}") from None
    except requests.exceptions.SSLError as error:
        if "CERTIFICATE_VERIFY_FAILED" not in str(error):
            raise _Passing(f"{type(error).__name__}: {error}") from None
        host = urlsplit(remote.url).hostname
        mend = "where your site has certificates of its own, let REQUESTS_CA_BUNDLE name their file"
        raise EspretError(f"could not fetch {remote.url}: the certificate of {host} is not trusted; {mend}") from None
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _Passing(_said(error)) from None
    if problem := difference(path, expected):
        raise _Wrong(f"what came is another file: {problem}")


def _said(error: Exception) -> str:
    """What went wrong with a connection, without the address and the objects that the libraries put before it."""
    inner = error.args[0] if error.args else None
    cause = getattr(inner, "reason", None)
    if not isinstance(cause, Exception):
        return f"{type(error).__name__}: {error}"
    reason = re.sub(r"^(<.*?>|\w+\(.*?\)): ", "", str(cause))
    return f"{type(error).__name__}: {reason}; HTTPS_PROXY names a proxy, where your site has one"


def _receive(response: requests.Response, remote: Remote, part: IO[bytes]) -> None:
    """Add the body of an answer to the part. Raises NotThere, EspretError, _Passing and _Wrong."""
    _check_status(response)
    if response.status_code != 206:
        part.truncate(0)
    start = _size(part)
    if response.status_code == 206 and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        part.truncate(0)
        raise _Passing(f"asked to go on at byte {start}, the server sent {response.headers.get('Content-Range')}")
    length = response.headers.get("Content-Length", "")
    total = start + int(length) if length.isdigit() else None
    if remote.size is not None and total not in (None, remote.size):
        raise _Wrong(f"the server has another file: {total} bytes instead of {remote.size}")
    _keep_validator(response, part)
    with progress(unquote(urlsplit(remote.url).path).rsplit("/", 1)[-1], total, start) as bar:
        # Not `iter_content`: of a connection that ends within a block, it drops the bytes that came.
        while block := response.raw.read1(BLOCK, decode_content=False):
            _write(part, block)
            bar.update(len(block))
    if total is not None and _size(part) != total:
        raise _Passing(f"the connection ended after {_size(part)} of {total} bytes")


def _write(part: IO[bytes], block: bytes) -> None:
    """All of a block; a disk that fills up takes the beginning of one."""
    rest = memoryview(block)
    while rest:
        rest = rest[part.write(rest) :]


def _check_status(response: requests.Response) -> None:
    status = response.status_code
    if status in (200, 206):
        return
    what = f"HTTP {status} {response.reason}"
    if status in (404, 410):
        raise NotThere(f"{response.url}: {what}")
    if status == 416:
        raise _Wrong(f"{what}: the server's file is shorter than what was fetched of it")
    if status in PASSING:
        asked = response.headers.get("Retry-After", "")
        raise _Passing(what, min(float(asked), LONGEST_PAUSE) if asked.isdigit() else 0.0)
    raise EspretError(f"{response.url}: {what}")


def _announced(response: requests.Response) -> str | None:
    """The SHA-256 that the Hugging Face hub tells for a large file, in the answer that redirects to where it lies."""
    for answer in [*response.history, response]:
        tag = answer.headers.get("X-Linked-ETag", "").strip('"')
        if len(tag) == 64:
            return f"sha256:{tag}"
    return None


def part_path(path: Path) -> Path:
    """Where the bytes of a file that is being fetched to `path` are gathered."""
    return path.parent / f".{path.name}.part"


@contextlib.contextmanager
def _part(path: Path) -> Iterator[IO[bytes]]:
    """The hidden sibling that bytes are gathered in, open to append and locked."""
    name = part_path(path)
    while True:
        # Unbuffered: of what came nothing is lost when the process is killed, nor written again when a disk is full.
        with open(name, "ab", buffering=0) as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            # Who held the lock before may have renamed or removed what we opened.
            if name.exists() and os.path.samestat(os.fstat(stream.fileno()), name.stat()):
                try:
                    yield stream
                finally:
                    if name.exists() and not _size(stream):
                        name.unlink()  # nothing to go on from
                        _validator(stream).unlink(missing_ok=True)
                return


def _size(part: IO[bytes]) -> int:
    return os.fstat(part.fileno()).st_size


def _validator(part: IO[bytes]) -> Path:
    """Where the ETag of the file that the part is of is kept."""
    return Path(f"{part.name}.etag")


def _keep_validator(response: requests.Response, part: IO[bytes]) -> None:
    tag = response.headers.get("ETag", "")
    if tag and not tag.startswith("W/"):
        _validator(part).write_text(tag, encoding="latin-1")
    else:
        _validator(part).unlink(missing_ok=True)


@contextlib.contextmanager
def progress(name: str, total: int | None, start: int = 0) -> Iterator[tqdm]:
    """A bar of bytes, unless it is over within a second; in a log a line every ten seconds."""
    from tqdm import tqdm

    interval = 0.2 if sys.stderr.isatty() else 10.0
    with tqdm(total=total, initial=start, desc=name, unit="B", unit_scale=True, mininterval=interval, delay=1) as bar:
        yield bar
