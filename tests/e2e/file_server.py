"""A web server for files: ranges, ETag and Last-Modified, conditions, redirects, and failures on demand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer:
    """files: by path. `ranges` and `etag` say what it can; `fail` may answer a request with a status
    of its own (0: none), or -1: it breaks off in the middle of the body."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.ranges = True
        self.etag = True
        self.modified = True
        self.conditions = True
        self.version = 1
        self.fail: Callable[[int, str], int] = lambda number, path: 0
        self.requests: list[tuple[str, str | None]] = []  # path, range
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:  # the name is http.server's
                outer.answer(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> "FileServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def etag_value(self) -> str:
        return f'"v,{self.version}"'

    @property
    def modified_value(self) -> str:
        return f"Wed, 21 Oct 2015 07:28:{self.version:02d} GMT"

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        """One request."""
        wanted = to.headers.get("Range")
        with self._lock:
            self.requests.append((to.path, wanted))
            number = len(self.requests)
        data = self.files.get(to.path)
        status = self.fail(number, to.path)
        if to.path in self.redirects:
            self.send(to, 302, b"elsewhere", {"Location": self.redirects[to.path]})
        elif status > 0:
            self.send(to, status, b"an error page\n", {})
        elif data is None:
            self.send(to, 404, b"not here\n", {})
        elif self.conditions and (to.headers.get("If-Match", self.etag_value) != self.etag_value or
                                  to.headers.get("If-Unmodified-Since", self.modified_value) != self.modified_value):
            self.send(to, 412, b"", {})
        else:
            self.send_file(to, data, wanted if self.ranges else None, broken=status < 0)

    def send_file(self, to: BaseHTTPRequestHandler, data: bytes, wanted: str | None, broken: bool) -> None:
        headers = {}
        if self.ranges:
            headers["Accept-Ranges"] = "bytes"
        if self.etag:
            headers["ETag"] = self.etag_value
        if self.modified:
            headers["Last-Modified"] = self.modified_value
        status = 200
        if wanted:
            first, last = wanted.removeprefix("bytes=").split("-")
            begin, end = int(first), int(last) + 1 if last else len(data)
            headers["Content-Range"] = f"bytes {begin}-{min(end, len(data)) - 1}/{len(data)}"
            data, status = data[begin:end], 206
        self.send(to, status, data, headers, broken)

    def send(self, to: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str],
             broken: bool = False) -> None:
        to.send_response(status)
        for name, value in headers.items():
            to.send_header(name, value)
        to.send_header("Content-Length", str(len(body)))
        to.end_headers()
        try:
            to.wfile.write(body[:len(body) // 2] if broken else body)
        except OSError:
            return  # who asked has gone
        if broken:
            to.close_connection = True
