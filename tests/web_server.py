"""A web server on this machine for the tests of downloads: it knows ranges and ETags, and can be told to misbehave."""

from __future__ import annotations

import contextlib
import hashlib
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Web:
    """What the server has and does, and what it was asked.

    `files` by path ("/a/b"). `faults[path]` are what the next requests get, in order: `cut N` (N bytes of the body,
    then the end), `stall N` (N bytes, then nothing until the client goes), `length N` (N bytes are announced), `wrong`
    (other bytes), `whole` (a server without ranges), `no etag`, or a status with a header (`503 Retry-After: 7`).
    `headers[path]` are sent besides.
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
        kind, _, number = fault.partition(" ")
        self._head(206 if start else 200, int(number) if kind == "length" else len(body), headers)
        if kind in ("cut", "stall"):
            body = body[: int(number)]
        self.close_connection = kind in ("cut", "stall", "length")
        if self.command != "HEAD":
            self.wfile.write(bytes(byte ^ 1 for byte in body) if fault == "wrong" else body)
        if kind == "stall":
            self.connection.recv(1)

    def _head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *words: object) -> None:
        """Nothing."""


class Server(ThreadingHTTPServer):
    """Clients that go without a word are no errors."""

    daemon_threads = True

    def handle_error(self, *request: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(*request)


@contextlib.contextmanager
def serving() -> Iterator[Web]:
    """A running server."""
    web = Web()
    server = Server(("127.0.0.1", 0), Handler)
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
