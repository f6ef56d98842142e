"""An HTTP server that behaves badly on request, for the tests of the scrape engine.

One asyncio loop on a thread, any number of ports; each port is a host of its own to the engine. It
records every request with its time and how many were under way at once, so that tests can check
politeness. Run it alone to try things by hand: python3 scrape_server.py [PORT]
"""

from __future__ import annotations

import asyncio
import functools
import gzip
import ssl
import subprocess
import sys
import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

PAGE = (
    "<html><head><title>Page {name}</title></head><body><h1>Page {name}</h1>"
    "<p>{text}</p><a href='/page/next'>next</a></body></html>"
)


@functools.cache
def bomb() -> bytes:
    """64 MB of one letter in about 300 KB. Takes a moment, so made before a clock runs."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    chunk = b"b" * (1 << 20)
    return b"".join(packer.compress(chunk) for _ in range(64)) + packer.flush()


@dataclass
class Request:
    """What a client asked, and when (seconds of the monotonic clock)."""

    time: float
    port: int
    path: str
    headers: dict[str, str]
    connection: int
    active: int  # requests to this port under way, with this one


@dataclass
class Site:
    """The behaviour of one port, which a test may change while it runs."""

    robots: str | None = None  # None: 404
    robots_status: int = 200
    latency_s: float = 0.0
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    gate: asyncio.Event | None = None  # pages wait for it when it is there


Reply = tuple[int, dict[str, str], bytes]


class ScrapeServer:
    """Serves until close(). The methods may be called from any thread."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.sites: dict[int, Site] = {}
        self._active: dict[int, int] = defaultdict(int)
        self._connections = 0
        self._changed = threading.Condition()
        self._servers: list[asyncio.AbstractServer] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    # -- for tests

    def listen(self, site: Site | None = None, tls: ssl.SSLContext | None = None,
               address: str = "127.0.0.1", port: int = 0) -> int:
        """Opens a port and returns its number."""
        async def start() -> int:
            server = await asyncio.start_server(self._client, address, port, ssl=tls, backlog=4096)
            self._servers.append(server)
            number: int = server.sockets[0].getsockname()[1]
            self.sites[number] = site or Site()
            return number

        return asyncio.run_coroutine_threadsafe(start(), self._loop).result(10)

    def close(self) -> None:
        async def stop() -> None:
            for server in self._servers:
                server.close()
            for task in asyncio.all_tasks():
                if task is not asyncio.current_task():
                    task.cancel()

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def gate(self, port: int) -> None:
        """Pages of the port wait until open_gate."""
        self.sites[port].gate = asyncio.Event()

    def open_gate(self, port: int) -> None:
        gate = self.sites[port].gate
        assert gate is not None
        self._loop.call_soon_threadsafe(gate.set)

    def of(self, port: int, prefix: str = "/") -> list[Request]:
        with self._changed:
            return [r for r in self.requests if r.port == port and r.path.startswith(prefix)]

    def wait_requests(self, port: int, n: int, prefix: str = "/", timeout_s: float = 20) -> None:
        """Returns when the port was asked n times; TimeoutError otherwise."""
        def enough() -> bool:
            found = [r for r in self.requests if r.port == port and r.path.startswith(prefix)]
            return len(found) >= n

        with self._changed:
            if not self._changed.wait_for(enough, timeout_s):
                raise TimeoutError(f"fewer than {n} requests to {port}{prefix}")

    # -- serving

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        number = self._connections
        port: int = writer.get_extra_info("sockname")[1]
        try:
            while await self._one(reader, writer, port, number):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int,
                   number: int) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        target = lines[0].split(" ")[1]
        pairs = (line.split(":", 1) for line in lines[1:] if ":" in line)
        headers = {name.lower(): value.strip() for name, value in pairs}
        with self._changed:
            self._active[port] += 1
            self.requests.append(Request(time.monotonic(), port, target, headers, number,
                                         self._active[port]))
            self._changed.notify_all()
        try:
            return await self._serve(writer, self.sites[port], target, headers)
        finally:
            with self._changed:
                self._active[port] -= 1

    async def _serve(self, writer: asyncio.StreamWriter, site: Site, target: str,
                     headers: dict[str, str]) -> bool:
        url = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        site.counts[url.path] += 1
        if site.latency_s:
            await asyncio.sleep(site.latency_s)
        if url.path == "/robots.txt":
            found = site.robots is not None
            body = (site.robots or "").encode()
            await self._reply(writer, (site.robots_status if found else 404,
                                       {"content-type": "text/plain"}, body))
            return True
        if site.gate:
            await site.gate.wait()
        name = url.path.strip("/").split("/")[0].split(".")[0]
        stream = getattr(self, f"stream_{name}", None)
        if stream:
            streamer: Callable[..., Awaitable[None]] = stream
            await streamer(writer, query)
            return False
        page: Callable[..., Reply] = getattr(self, f"page_{name}", self.page_page)
        await self._reply(writer, page(site, url.path, query, headers))
        return True

    @staticmethod
    async def _reply(writer: asyncio.StreamWriter, reply: Reply) -> None:
        status, headers, body = reply
        lines = [f"HTTP/1.1 {status} Status"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if status not in (204, 304):
            lines.append(f"content-length: {len(body)}")
        writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")
        if status not in (204, 304):
            writer.write(body)
        await writer.drain()

    # -- pages: (site, path, query, request headers) -> reply

    @staticmethod
    def html(text: str, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return 200, {"content-type": "text/html; charset=utf-8"} | named, text.encode()

    def page_page(self, site: Site, path: str, query: dict[str, str], headers: dict[str, str]) -> Reply:
        size = int(query.get("size", "0"))
        return self.html(PAGE.format(name=path.rsplit("/", 1)[-1], text="x" * size))

    def page_status(self, site: Site, path: str, query: dict[str, str], headers: dict[str, str]) -> Reply:
        extra = {"retry-after": query["retry"]} if "retry" in query else {}
        status = int(path.split("/")[2])
        return status, {"content-type": "text/html"} | extra, b"<h1>status</h1>"

    def page_flaky(self, site: Site, path: str, query: dict[str, str], headers: dict[str, str]) -> Reply:
        """503 (or status=) for the first n requests to the path, then a page."""
        if site.counts[path] <= int(query.get("n", "1")):
            extra = {"retry-after": query["retry"]} if "retry" in query else {}
            return int(query.get("status", "503")), {"content-type": "text/html"} | extra, b"busy"
        return self.page_page(site, path, query, headers)

    def page_redirect(self, site: Site, path: str, query: dict[str, str], headers: dict[str, str]) -> Reply:
        return int(query.get("status", "302")), {"location": query["to"]}, b""

    def page_loop(self, site: Site, path: str, query: dict[str, str], headers: dict[str, str]) -> Reply:
        return 302, {"location": "/loop/b" if path.endswith("a") else "/loop/a"}, b""

    def page_hops(self, site: Site, path: str, query: dict[str, str], headers: dict[str, str]) -> Reply:
        left = int(path.split("/")[2])
        return (302, {"location": f"/hops/{left - 1}"}, b"") if left else self.page_page(site, path, query, headers)

    def page_login(self, site: Site, path: str, query: dict[str, str], headers: dict[str, str]) -> Reply:
        """Sets a cookie and redirects to itself until the cookie comes."""
        if "visited=1" in headers.get("cookie", ""):
            return self.page_page(site, path, query, headers)
        return 302, {"location": path, "set-cookie": "visited=1; Path=/"}, b""

    def page_cookie(self, site: Site, path: str, query: dict[str, str], headers: dict[str, str]) -> Reply:
        got = headers.get("cookie", "none")
        return self.html(f"<h1>{got}</h1>", set_cookie=f"id={query.get('set', 'x')}; Path=/")

    def page_echo(self, site: Site, path: str, query: dict[str, str], headers: dict[str, str]) -> Reply:
        return self.html(f"<h1>{headers.get(query['name'], 'none')}</h1>")

    def page_etag(self, site: Site, path: str, query: dict[str, str], headers: dict[str, str]) -> Reply:
        if headers.get("if-none-match") == '"v1"':
            return 304, {"etag": '"v1"'}, b""
        return self.html("<h1>etag</h1>", etag='"v1"')

    def page_gzip(self, site: Site, path: str, query: dict[str, str], headers: dict[str, str]) -> Reply:
        body = PAGE.format(name="gzip", text="y" * 30000).encode()
        return 200, {"content-type": "text/html", "content-encoding": "gzip"}, gzip.compress(body)

    def page_deflate(self, site: Site, path: str, query: dict[str, str], headers: dict[str, str]) -> Reply:
        packed = zlib.compress(PAGE.format(name="deflate", text="z" * 3000).encode())
        if "raw" in query:
            packed = packed[2:-4]
        return 200, {"content-type": "text/html", "content-encoding": "deflate"}, packed

    def page_bomb(self, site: Site, path: str, query: dict[str, str], headers: dict[str, str]) -> Reply:
        return 200, {"content-type": "text/html", "content-encoding": "gzip"}, bomb()

    def page_cutgzip(self, site: Site, path: str, query: dict[str, str], headers: dict[str, str]) -> Reply:
        packed = gzip.compress(PAGE.format(name="cut", text="c" * 9000).encode())
        return 200, {"content-type": "text/html", "content-encoding": "gzip"}, packed[:-30]

    def page_notgzip(self, site: Site, path: str, query: dict[str, str], headers: dict[str, str]) -> Reply:
        return 200, {"content-type": "text/html", "content-encoding": "gzip"}, b"<h1>plain</h1>"

    def page_type(self, site: Site, path: str, query: dict[str, str], headers: dict[str, str]) -> Reply:
        return 200, {"content-type": query["type"]}, b"\x89PNG" * 100

    def page_badutf8(self, site: Site, path: str, query: dict[str, str], headers: dict[str, str]) -> Reply:
        body = b"<html><title>\xff\xfe\xc3(</title><h1>ok \x80\xf5\x00 end</h1></html>"
        return 200, {"content-type": "text/html; charset=utf-8"}, body

    def page_charset(self, site: Site, path: str, query: dict[str, str], headers: dict[str, str]) -> Reply:
        body = "<html><h1>žluťoučký kůň</h1></html>".encode("iso-8859-2")
        return 200, {"content-type": "text/html; charset=iso-8859-2"}, body

    def page_sitemap(self, site: Site, path: str, query: dict[str, str], headers: dict[str, str]) -> Reply:
        host = headers["host"]
        locs = "".join(f"<url><loc>http://{host}/page/{i}</loc></url>" for i in range(3))
        body = f'<?xml version="1.0"?><urlset>{locs}</urlset>'.encode()
        if path.endswith(".gz"):
            return 200, {"content-type": "application/gzip"}, gzip.compress(body)
        return 200, {"content-type": "application/xml"}, body

    def page_bigheaders(self, site: Site, path: str, query: dict[str, str], headers: dict[str, str]) -> Reply:
        many = {f"x-filler-{i}": "h" * 1000 for i in range(100)}
        return 200, {"content-type": "text/html"} | many, b"<h1>x</h1>"

    # -- answers that a plain reply cannot make; the connection ends after

    async def stream_huge(self, writer: asyncio.StreamWriter, query: dict[str, str]) -> None:
        """2 GB, with its length announced or not."""
        length = "" if "chunked" in query else f"content-length: {2 << 30}\r\n"
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n{length}\r\n".encode())
        chunk = b"h" * 65536
        for _ in range((2 << 30) // len(chunk)):
            writer.write(chunk)
            await writer.drain()

    async def stream_slow(self, writer: asyncio.StreamWriter, query: dict[str, str]) -> None:
        """One byte a second."""
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"s")
            await writer.drain()
            await asyncio.sleep(1)

    async def stream_cut(self, writer: asyncio.StreamWriter, query: dict[str, str]) -> None:
        """Less than was announced."""
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 1000\r\n\r\nabc")
        await writer.drain()

    async def stream_garbage(self, writer: asyncio.StreamWriter, query: dict[str, str]) -> None:
        writer.write(b"\x00\x01\x02 this is not HTTP\r\n\r\n")
        await writer.drain()

    async def stream_silent(self, writer: asyncio.StreamWriter, query: dict[str, str]) -> None:
        """Takes the request and never answers."""
        await asyncio.sleep(3600)

    async def stream_big(self, writer: asyncio.StreamWriter, query: dict[str, str]) -> None:
        """size bytes in pieces, with a pause between them."""
        size, pause = int(query["size"]), float(query.get("pause", "0.01"))
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {size}\r\n\r\n".encode())
        while size > 0:
            n = min(size, 65536)
            writer.write(b"B" * n)
            await writer.drain()
            size -= n
            await asyncio.sleep(pause)


def make_certificates(folder: Path) -> dict[str, Path]:
    """A CA and two server certificates for 127.0.0.1 and localhost: one good, one expired."""
    def openssl(*args: str) -> None:
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
            "-days", "30", "-subj", "/CN=Test CA",
            "-addext", "basicConstraints=critical,CA:TRUE")
    (folder / "ext").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    (folder / "index").write_text("")
    (folder / "ca.conf").write_text(
        "[ca]\ndefault_ca=c\n[c]\nnew_certs_dir=.\ndatabase=index\nrand_serial=yes\n"
        "default_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n")
    for name, start, end in (("good", "20200101000000Z", "20990101000000Z"),
                             ("expired", "20200101000000Z", "20210101000000Z")):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key",
                "-out", f"{name}.csr", "-subj", "/CN=localhost")
        openssl("ca", "-batch", "-config", "ca.conf", "-cert", "ca.pem", "-keyfile", "ca.key",
                "-in", f"{name}.csr", "-out", f"{name}.pem", "-notext", "-startdate", start,
                "-enddate", end, "-extfile", "ext")
    return {"ca": folder / "ca.pem", "good": folder / "good.pem", "expired": folder / "expired.pem"}


def tls_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    return context


if __name__ == "__main__":
    print(ScrapeServer().listen(port=int(sys.argv[1]) if len(sys.argv) > 1 else 0), flush=True)
    threading.Event().wait()
