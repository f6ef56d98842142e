"""HTTP/2 and kept connections, as a real nginx saw them: its access log names the protocol of each
request and the connection that it came on."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from fleet import Process, find_binary, wait_until

PAGES = 200
CONCURRENCY = 4


class Request(NamedTuple):
    protocol: str
    connection: str
    number: int  # of its connection, from 1
    path: str


class Nginx:
    """Serves the same pages by TLS and in the clear."""

    def __init__(self, folder: pathlib.Path) -> None:
        binary = shutil.which("nginx", path=f"/usr/sbin:{os.environ['PATH']}")
        assert binary, "needs nginx-light"
        self.log, self.ca = folder / "access.log", folder / "cert.pem"
        self.make_certificate(folder)
        (folder / "pages").mkdir()
        for i in range(PAGES):
            (folder / "pages" / f"{i}.html").write_text(f"<title>Page {i}</title>")
        with socket.socket() as tls, socket.socket() as plain:
            tls.bind(("127.0.0.1", 0))
            plain.bind(("127.0.0.1", 0))
            self.tls_port, self.plain_port = tls.getsockname()[1], plain.getsockname()[1]
        temp = "".join(f"{name}_temp_path {folder}/{name}; "
                       for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        # The folders of pytest are closed to the user that nginx takes when root starts it.
        user = "user root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(f"""
{user} daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 256; }}
http {{
  types {{ text/html html; }} {temp}
  log_format seen '$server_protocol $connection $connection_requests $uri';
  access_log {self.log} seen; keepalive_requests 10000; root {folder}/pages;
  server {{ listen 127.0.0.1:{self.tls_port} ssl http2;
           ssl_certificate {self.ca}; ssl_certificate_key {folder}/key.pem; }}
  server {{ listen 127.0.0.1:{self.plain_port}; }}
}}""")
        self.process = Process("nginx", [binary, "-p", str(folder), "-c", str(folder / "nginx.conf")], folder)
        for port in (self.tls_port, self.plain_port):
            wait_until(lambda port=port: self.listens(port), f"nginx on port {port}")  # type: ignore[misc]

    def make_certificate(self, folder: pathlib.Path) -> None:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
             "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", str(folder / "key.pem"),
             "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", str(self.ca)],
            check=True, capture_output=True)

    def listens(self, port: int) -> bool:
        assert self.process.running(), self.process.text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def requests(self) -> list[Request]:
        """nginx writes a line when a request is over, which may be just after the answer was read."""
        fields = [line.split() for line in self.log.read_text().splitlines()]
        return [Request(f[0], f[1], int(f[2]), f[3]) for f in fields if len(f) == 4]


@pytest.fixture
def nginx(tmp_path: pathlib.Path) -> Iterator[Nginx]:
    server = Nginx(tmp_path)
    yield server
    server.process.terminate()
    server.process.kill()


def run(folder: pathlib.Path, base: str, *args: str) -> tuple[dict[str, Any], list[str]]:
    """Scrapes every page; the statistics and the titles."""
    stage = {"kind": "scrape", "extract": {"title": "title::text"}, "robots": False,
             "per_host": {"concurrency": CONCURRENCY}, "retry": {"times": 0}}
    job = {"drover": 1, "stages": [stage],
           "input": {"urls": [f"{base}/{i}.html" for i in range(PAGES)]}}
    (folder / "job.json").write_text(json.dumps(job))
    rows = folder / "rows.ndjson"
    done = subprocess.run(
        [str(find_binary("drover-worker")), "run", "--job", str(folder / "job.json"),
         "--output", str(rows), "--allow-net", "127.0.0.0/8", *args],
        capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout, done.stderr
    return json.loads(done.stdout), [json.loads(line)["title"] for line in rows.read_text().splitlines()]


def check_requests(nginx: Nginx, protocol: str, connections_max: int) -> None:
    """Every page once, in that protocol, on few connections that were each used again and again."""
    requests = wait_until(lambda: (r := nginx.requests()) and len(r) >= PAGES and r, "the access log")
    assert Counter(r.path for r in requests) == Counter(f"/{i}.html" for i in range(PAGES))
    assert {r.protocol for r in requests} == {protocol}
    of_connection = Counter(r.connection for r in requests)
    assert 1 <= len(of_connection) <= connections_max, of_connection
    assert max(r.number for r in requests) >= PAGES // connections_max


def test_https_is_http2_on_kept_connections(nginx: Nginx, tmp_path: pathlib.Path) -> None:
    stats, titles = run(tmp_path, f"https://127.0.0.1:{nginx.tls_port}", "--ca-file", str(nginx.ca))
    assert sorted(titles) == sorted(f"Page {i}" for i in range(PAGES)) and stats["rejects"] == 0
    check_requests(nginx, "HTTP/2.0", CONCURRENCY)


def test_http_is_http1_on_kept_connections(nginx: Nginx, tmp_path: pathlib.Path) -> None:
    stats, titles = run(tmp_path, f"http://127.0.0.1:{nginx.plain_port}")
    assert len(titles) == PAGES and stats["rejects"] == 0
    check_requests(nginx, "HTTP/1.1", CONCURRENCY)


def test_a_certificate_of_nobody_known_is_refused(nginx: Nginx, tmp_path: pathlib.Path) -> None:
    stats, titles = run(tmp_path, f"https://127.0.0.1:{nginx.tls_port}")
    assert titles == [] and stats["rejects"] == PAGES
    assert list(stats["rejects_by_reason"]) == ["TLS"]
    assert not nginx.log.exists() or nginx.requests() == []
