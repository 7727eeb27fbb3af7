"""A web server in a thread, serving bytes from memory, with faults on request."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import unquote

Kind = Literal["missing", "corrupt", "cut", "stall"]


@dataclass(frozen=True)
class _Fault:
    pattern: str
    kind: Kind
    after: int
    seconds: float | None


class FaultyServer:
    """Serves `files` on loopback from the moment it is made.

    files: contents by absolute path; assign a new mapping to change them all at once.
    port, url: where it listens, and what comes before a path.
    requests: the paths asked for so far.
    """

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        self.files: Mapping[str, bytes] = files or {}
        self.requests: list[str] = []
        self._faults: list[_Fault] = []
        self._release = threading.Event()  # ends what stalls
        server = self

        class Handler(_Handler):
            owner = server

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()

    def fail(
        self, pattern: str, kind: Kind, *, after: int = 0, seconds: float | None = None
    ) -> None:
        """Break the answers for paths like ``*/InRelease`` or ``*/dash_*``.

        missing: there is no such file (404). corrupt: one bit in the middle is flipped.
        cut: the connection ends after that many bytes. stall: nothing comes after that many bytes,
        for so many seconds, and then it ends.
        """
        self._faults.append(_Fault(pattern, kind, after, seconds))

    def mend(self) -> None:
        """End all faults; what stalls is cut."""
        self._faults = []
        self._release.set()
        self._release = threading.Event()

    def stop(self) -> None:
        """End the server. May be called again."""
        self._release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        path = unquote(handler.path.partition("?")[0])
        self.requests.append(path)
        release = self._release  # before the faults: what is mended from now on must not stall
        fault = next((fault for fault in self._faults if fnmatch(path, fault.pattern)), None)
        data = self.files.get(path)
        if data is None or (fault and fault.kind == "missing"):
            data, status = b"not found\n", 404
            fault = None
        else:
            status = 200
        if fault and fault.kind == "corrupt":
            middle = len(data) // 2
            data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        if handler.command == "HEAD":
            return
        if fault and fault.kind in ("cut", "stall"):
            handler.wfile.write(data[: fault.after])
            if fault.kind == "stall":
                release.wait(fault.seconds)
            handler.close_connection = True
        else:
            handler.wfile.write(data)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # apt sends several requests down one connection
    disable_nagle_algorithm = True
    owner: FaultyServer

    def do_GET(self) -> None:
        try:
            self.owner.answer(self)
        except ConnectionError:  # the client has heard enough
            self.close_connection = True

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet: `FaultyServer.requests` is the log."""
