"""Pages and addresses that mean harm, through a whole fleet: each is a reject with its reason, next to
the rows of the good pages, and the worker lives on within its memory. test_scrape_engine.py has more
of them, against the engine alone; docs/TESTING.md names the test of each kind of bad input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet import Coordinator, Front, Process, find_binary, wait_until
from scrape_server import ScrapeServer, bomb, make_certificates, tls_context

Start = Callable[..., Process]


@pytest.fixture
def server() -> Iterator[ScrapeServer]:
    server = ScrapeServer()
    yield server
    server.close()


@pytest.fixture
def start(coordinator: Coordinator, front: Front, tmp_path: Path) -> Iterator[Start]:
    made: list[Process] = []

    def make(*args: str) -> Process:
        made.append(Process("worker", [str(find_binary("drover-worker")), "--coordinator",
                                       coordinator.back, "--id", "w1", "--loops", "1", *args], tmp_path))
        wait_until(lambda: front.call("worker.ls")["workers"], "the worker")
        return made[-1]

    yield make
    for worker in made:
        assert worker.running(), worker.text()
        worker.kill()


def scrape(front: Front, urls: list[str], **stage: Any) -> dict[str, Any]:
    """The ended job: one try for each URL."""
    job = front.submit(urls, retry={"attempts": 1}, stages=[{
        "kind": "scrape", "extract": {"title": "title::text", "url": "@url"}, "robots": False, **stage}])
    return front.wait(job, 60)


def rejects(front: Front, job: int) -> dict[str, str]:
    """Reason by URL."""
    found: dict[str, str] = {}
    cursor, end = 0, False
    while not end:
        value = front.call("job.rejects", 30, job=job, cursor=cursor, wait_ms=1000)
        cursor, end = value["cursor"], value["end"]
        found.update({url: reason for url, reason, _detail in value["rejects"]})
    return found


def peak_rss_kb(worker: Process) -> int:
    for line in Path(f"/proc/{worker.popen.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1])
    raise AssertionError("no VmHWM")


BAD_PAGES = {
    "/huge": "TOO_LARGE",  # 2 GB, announced
    "/huge?chunked=1": "TOO_LARGE",  # and not
    "/bomb": "TOO_LARGE",  # 64 MB of one letter in 300 KB of gzip
    "/loop/a": "REDIRECT_LOOP",
    "/hops/11": "REDIRECT_LIMIT",
    "/cutgzip": "DECODE",
    "/notgzip": "DECODE",
    "/bigheaders": "PROTOCOL",
    "/garbage": "PROTOCOL",
    "/type?type=image/png": "TYPE",
    "/status/404": "HTTP_404",
}
# What may pass, and did not within the job's attempts, is a dead letter that can be retried.
BAD_FOR_NOW = {
    "/slow": "SLOW",  # one byte a second
    "/silent": "SLOW",  # answers nothing
    "/cut": "CLOSED",
    "/status/503": "HTTP_503",
}


def test_bad_pages(server: ScrapeServer, start: Start, front: Front) -> None:
    assert len(bomb()) < 1_000_000
    worker = start("--allow-net", "127.0.0.0/8")
    port = server.listen()
    base = f"http://127.0.0.1:{port}"
    urls = [base + path for path in [*BAD_PAGES, *BAD_FOR_NOW, "/page/1", "/badutf8", "/page/2"]]
    ended = scrape(front, urls, timeout_s=12, max_bytes=1_000_000, min_speed=100, min_speed_s=3)
    assert rejects(front, ended["job"]) == {base + path: why for path, why in BAD_PAGES.items()}
    assert ended["rows"] == 3 and ended["rejects"] == len(BAD_PAGES)
    assert sum(ended["rejects_by_reason"].values()) == len(BAD_PAGES)
    letters = front.call("dead.ls", job=ended["job"])["dead"]
    why = {url.removeprefix(base): letter["error"] for letter in letters for url, _depth in letter["input"]}
    assert {path: error.split(":")[0] for path, error in why.items()} == BAD_FOR_NOW
    assert peak_rss_kb(worker) < 40_000


def test_certificates(server: ScrapeServer, start: Start, front: Front, tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    start("--allow-net", "127.0.0.0/8", "--ca-file", str(made["ca"]))
    urls = [f"https://127.0.0.1:{server.listen(tls=tls_context(made[name]))}/page/1"
            for name in ("expired", "good")]
    ended = scrape(front, urls)
    assert ended["rows"] == 1
    assert rejects(front, ended["job"]) == {urls[0]: "TLS"}


FORBIDDEN = [
    "127.0.0.1:{port}",
    "localhost:{port}",
    "LOCALHOST:{port}",
    "127.1:{port}",
    "2130706433:{port}",  # 127.0.0.1 as one number
    "0x7f000001:{port}",
    "0177.0.0.1:{port}",
    "0.0.0.0:{port}",
    "0:{port}",
    "[::1]:{port}",
    "[::]:{port}",
    "[::ffff:127.0.0.1]:{port}",
    "[::ffff:7f00:1]:{port}",
    "[64:ff9b::7f00:1]:{port}",  # NAT64
    "[2002:7f00:1::]:{port}",  # 6to4
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "169.254.169.254",  # metadata of clouds
    "2852039166",  # the same
    "[fd00:ec2::254]",
    "[fe80::1]",
    "[fc00::1]",
    "224.0.0.1",
    "255.255.255.255",
]


def test_a_worker_asks_nobody_inside(server: ScrapeServer, start: Start, front: Front) -> None:
    """Without --allow-net: no loopback, private or metadata address, however it is written."""
    start()
    port = server.listen()
    urls = [f"http://{host.format(port=port)}/page/{i}" for i, host in enumerate(FORBIDDEN)]
    ended = scrape(front, urls, timeout_s=3)
    assert ended["rejects_by_reason"] == {"BLOCKED_ADDRESS": len(urls)}, rejects(front, ended["job"])
    assert ended["rows"] == 0 and not server.requests


def test_no_redirect_leads_inside(server: ScrapeServer, start: Start, front: Front) -> None:
    """One address is allowed; what it redirects to is not for that."""
    start("--allow-net", "127.0.0.2/32")
    port = server.listen(address="127.0.0.2")
    inside = server.listen()
    base = f"http://127.0.0.2:{port}/redirect?to="
    urls = [f"{base}http://{host.format(port=inside)}/page/{i}" for i, host in enumerate(FORBIDDEN)]
    ended = scrape(front, [*urls, f"{base}/page/1"], timeout_s=3)
    assert ended["rows"] == 1
    assert ended["rejects_by_reason"] == {"BLOCKED_ADDRESS": len(urls)}, rejects(front, ended["job"])
    assert not server.of(inside)
