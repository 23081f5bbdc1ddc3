"""A web server on this machine for the tests of downloads: it knows ranges and ETags, and can be told to misbehave."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Web:
    """What the server has and does, and what it was asked.

    `files` by path ("/a/b"). `faults[path]` are what the next requests get, in order: `cut N` (N bytes of the body,
    then the end), `wrong` (other bytes), `whole` (the range is ignored), `no etag`, or a status with a header
    (`503 Retry-After: 7`). `headers[path]` are sent besides.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[str]] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.requests: list[tuple[str, str]] = []  # path and range
        self.url = ""

    def counts(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(asked == path for asked, _ in self.requests)


class Handler(BaseHTTPRequestHandler):
    """Answers for `server.web`."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        web: Web = self.server.web  # type: ignore[attr-defined]
        web.requests.append((self.path, self.headers.get("Range", "")))
        faults = web.faults.get(self.path)
        fault = faults.pop(0) if faults else ""
        if fault[:3].isdigit() or self.path not in web.files:
            status, _, header = (fault or "404").partition(" ")
            self._head(int(status), 0, dict([header.split(": ", 1)]) if header else {})
        else:
            self._answer(web.files[self.path], fault, web.headers.get(self.path, {}))

    do_HEAD = do_GET

    def _answer(self, content: bytes, fault: str, headers: dict[str, str]) -> None:
        tag = f'"{hashlib.sha1(content).hexdigest()}"'
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        if fault == "whole" or self.headers.get("If-Range", tag) != tag:
            start = 0
        if start >= len(content) > 0:
            return self._head(416, 0, {})
        if fault != "no etag":
            headers = {**headers, "ETag": tag}
        if start:
            headers = {**headers, "Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        body = content[start:]
        self._head(206 if start else 200, len(body), headers)
        if fault.startswith("cut"):
            body = body[: int(fault.split()[1])]
            self.close_connection = True
        if self.command != "HEAD":
            self.wfile.write(bytes(byte ^ 1 for byte in body) if fault == "wrong" else body)

    def _head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *words: object) -> None:
        """Nothing."""


@contextlib.contextmanager
def serving() -> Iterator[Web]:
    """A running server."""
    web = Web()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.web = web  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    web.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
