"""Serving a folder over HTTP on loopback, and serving it badly on purpose.

A mirror needs little: GET and HEAD, ranges (pacman resumes what was cut), and an answer to
If-Modified-Since (pacman asks so for databases). Source: RFC 9110.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from fnmatch import fnmatchcase
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

_CHUNK = 64 * 1024


@dataclass
class Faults:
    """What the server does wrong; it may be changed while it serves. Globs match request paths.

    missing: answered with 404.
    stall: answered with headers and no contents, until the server closes.
    cut: the connection is closed after `cut_after` bytes of contents.
    throttle: bytes a second for all contents; 0 for no limit.
    """

    missing: str = ""
    stall: str = ""
    cut: str = ""
    cut_after: int = 0
    throttle: int = 0


@dataclass
class Server:
    """A folder being served.

    url: where, without a slash at the end.
    requests: what was asked for so far, as ``GET /path STATUS`` lines.
    """

    url: str
    faults: Faults
    requests: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Return the port on 127.0.0.1."""
        return int(self.url.rsplit(":", 1)[1])

    @property
    def mirror(self) -> str:
        """Return the value of pacman's ``Server`` for a mirror served here."""
        return f"{self.url}/$repo/os/$arch"


@contextmanager
def serve(folder: Path, faults: Faults | None = None, *, port: int = 0) -> Iterator[Server]:
    """Serve `folder` on 127.0.0.1 until the block ends.

    port: which one; 0 for one that is free.
    Raises OSError when the port cannot be had.
    """
    root = folder.resolve()
    closing = threading.Event()
    answer = Server("", faults or Faults())

    class Handler(_Handler):
        served, server_state, stop = root, answer, closing

    with _Http(("127.0.0.1", port), Handler) as http:
        answer.url = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield answer
        finally:
            closing.set()
            http.shutdown()
            thread.join()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    # A client that keeps its connection open must not hold up the end.
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that goes away in the middle is no news here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    served: Path
    server_state: Server
    stop: threading.Event

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""

    def do_HEAD(self) -> None:
        """Answer with headers only."""
        self._answer(body=False)

    def do_GET(self) -> None:
        """Answer with the file, or the part of it that was asked for."""
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        name = unquote(urlsplit(self.path).path)
        faults = self.server_state.faults
        path = (self.served / name.lstrip("/")).resolve()
        hidden = not path.is_relative_to(self.served) or not path.is_file()
        if hidden or (faults.missing and fnmatchcase(name, faults.missing)):
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        with path.open("rb") as stream:
            status = path.stat()
            if self._unchanged(status.st_mtime):
                self._begin(HTTPStatus.NOT_MODIFIED)
                self.end_headers()
                return
            start, end = self._range(status.st_size)
            if start >= end and status.st_size:
                self._refuse(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                return
            partial = end - start < status.st_size
            self._begin(HTTPStatus.PARTIAL_CONTENT if partial else HTTPStatus.OK)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(end - start))
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Last-Modified", formatdate(status.st_mtime, usegmt=True))
            if partial:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{status.st_size}")
            self.end_headers()
            if body:
                self._send(stream, start, end, name)

    def _begin(self, status: HTTPStatus) -> None:
        self.server_state.requests.append(f"{self.command} {self.path} {status.value}")
        self.send_response(status)

    def _refuse(self, status: HTTPStatus) -> None:
        self._begin(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _unchanged(self, mtime: float) -> bool:
        since = self.headers.get("If-Modified-Since")
        if not since or "Range" in self.headers:
            return False
        with suppress(ValueError, TypeError):
            return int(mtime) <= parsedate_to_datetime(since).timestamp()
        return False

    def _range(self, size: int) -> tuple[int, int]:
        """Return the bytes asked for as [start, end); an unreadable range asks for all."""
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if not found or found.groups() == ("", ""):
            return 0, size
        first, last = found.groups()
        if not first:
            return max(0, size - int(last)), size
        return int(first), min(size, int(last) + 1) if last else size

    def _send(self, stream: BinaryIO, start: int, end: int, name: str) -> None:
        faults = self.server_state.faults
        if faults.stall and fnmatchcase(name, faults.stall):
            self.wfile.flush()
            self.stop.wait()
            self.close_connection = True
            return
        cut = bool(faults.cut) and fnmatchcase(name, faults.cut)
        left = min(end - start, faults.cut_after) if cut else end - start
        stream.seek(start)
        while left and not self.stop.is_set():
            # A throttled client is to see the bytes trickle, not arrive in rare lumps.
            size = min(left, _CHUNK, max(1, faults.throttle // 10) if faults.throttle else _CHUNK)
            data = stream.read(size)
            if not data:
                break
            if faults.throttle:
                self.stop.wait(len(data) / faults.throttle)
            self.wfile.write(data)
            left -= len(data)
        if cut or left:
            self.close_connection = True
