"""The scrape engine alone, against a server that misbehaves: fetching, politeness, limits, guard.

What is extracted from pages is tested elsewhere; here each page gives its URL, status and heading.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scrape_server import ScrapeServer, Site, bomb, make_certificates, tls_context

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("DROVER_BUILD", ROOT / "build"))
CLI = BUILD / "tests" / "unit" / "scrape_cli"
SANITIZED = CLI.exists() and b"__asan_init" in CLI.read_bytes()  # memory means nothing then
LOOPBACK = ["--allow-net", "127.0.0.0/8"]
SPEC: dict[str, Any] = {
    "kind": "scrape",
    "extract": {"url": "@url", "status": "@status", "title": "h1"},
    "robots": False,
    "retry": {"backoff_s": 0.05},
}


class Result:
    """What scrape_cli printed, by kind of line."""

    def __init__(self, text: str) -> None:
        self.lines: dict[str, list[Any]] = {}
        for line in text.splitlines():
            for kind, value in json.loads(line).items():
                self.lines.setdefault(kind, []).append(value)

    def __getitem__(self, kind: str) -> list[Any]:
        return self.lines.get(kind, [])

    @property
    def stats(self) -> dict[str, int]:
        found: dict[str, int] = self.lines["stats"][0]
        return found

    @property
    def peak_kb(self) -> int:
        found: int = self.lines["usage"][0]["peak_rss_kb"]
        return 0 if SANITIZED else found

    def reasons(self, kind: str = "reject") -> list[str]:
        return [line["reason"] for line in self[kind]]

    def titles(self) -> list[str]:
        return sorted(row["title"] for row in self["row"])


class Engine:
    """Runs scrape_cli."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.specs = 0

    def command(self, spec: dict[str, Any], *args: str) -> list[str]:
        self.specs += 1
        path = self.folder / f"stage-{self.specs}.json"
        path.write_text(json.dumps(SPEC | spec))
        return [str(CLI), "--spec", str(path), *args]

    def run(self, urls: list[str], *args: str, spec: dict[str, Any] | None = None,
            nets: list[str] | None = None, timeout_s: float = 60) -> Result:
        nets = LOOPBACK if nets is None else nets
        done = subprocess.run(self.command(spec or {}, *nets, *args) + urls, capture_output=True,
                              text=True, timeout=timeout_s, check=False)
        assert done.returncode == 0, done.stderr
        return Result(done.stdout)


class Live:
    """scrape_cli under control: commands go in, lines come out as events."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.text = ""
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self.changed:
                self.text += line
                self.changed.notify_all()

    def say(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def wait(self, kind: str, n: int, timeout_s: float = 20) -> Result:
        with self.changed:
            if not self.changed.wait_for(lambda: len(Result(self.text)[kind]) >= n, timeout_s):
                raise TimeoutError(f"{n} {kind}: {self.text}")
            return Result(self.text)

    def end(self) -> Result:
        assert self.process.stdin
        self.process.stdin.close()
        assert self.process.wait(20) == 0
        self.reader.join(20)
        return Result(self.text)


@pytest.fixture
def server() -> Iterator[ScrapeServer]:
    found = ScrapeServer()
    yield found
    found.close()


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path)


@pytest.fixture
def live(engine: Engine) -> Iterator[Any]:
    running: list[Live] = []

    def start(*args: str, spec: dict[str, Any] | None = None) -> Live:
        running.append(Live(engine.command(spec or {}, "--control", *LOOPBACK, *args)))
        return running[-1]

    yield start
    for one in running:
        one.process.kill()
        one.process.wait()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def base(port: int, scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{port}"


# -- one URL, one outcome

OUTCOMES: list[tuple[str, str, str]] = [
    # path, kind of outcome, reason (of a row: its title)
    ("/page/1", "row", "Page 1"),
    ("/gzip", "row", "Page gzip"),
    ("/deflate", "row", "Page deflate"),
    ("/deflate?raw=1", "row", "Page deflate"),
    ("/badutf8", "row", "ok"),
    ("/charset", "row", "žluťoučký kůň"),
    ("/hops/10", "row", "Page 0"),
    ("/redirect?to=/page/7", "row", "Page 7"),
    ("/redirect?to=page/../page/8%23top", "row", "Page 8"),
    ("/redirect?status=308&to=//127.0.0.1:{port}/page/9", "row", "Page 9"),
    ("/login", "row", "Page login"),
    ("/flaky/1?n=2", "row", "Page 1"),
    ("/flaky/2?n=1&status=429&retry=1", "row", "Page 2"),
    ("/status/404", "reject", "HTTP_404"),
    ("/status/403", "reject", "HTTP_403"),
    ("/status/410", "reject", "HTTP_410"),
    ("/status/501", "reject", "HTTP_501"),
    ("/status/302", "reject", "HTTP_302"),
    ("/status/500", "retry", "HTTP_500"),
    ("/status/503", "retry", "HTTP_503"),
    ("/status/408", "retry", "HTTP_408"),
    ("/loop/a", "reject", "REDIRECT_LOOP"),
    ("/hops/11", "reject", "REDIRECT_LIMIT"),
    ("/redirect?to=ftp://127.0.0.1/x", "reject", "PROTOCOL"),
    ("/redirect?to=file:///etc/passwd", "reject", "PROTOCOL"),
    ("/redirect?to=http://169.254.169.254/latest/meta-data/", "reject", "BLOCKED_ADDRESS"),
    ("/redirect?to=http://[::1]:{port}/page/1", "reject", "BLOCKED_ADDRESS"),
    ("/redirect?to=http://2852039166/", "reject", "BLOCKED_ADDRESS"),
    ("/redirect?to=http://0x0a000001/", "reject", "BLOCKED_ADDRESS"),
    ("/type?type=image/png", "reject", "TYPE"),
    ("/huge", "reject", "TOO_LARGE"),
    ("/huge?chunked=1", "reject", "TOO_LARGE"),
    ("/bomb", "reject", "TOO_LARGE"),
    ("/cutgzip", "reject", "DECODE"),
    ("/notgzip", "reject", "DECODE"),
    ("/bigheaders", "reject", "PROTOCOL"),
    ("/garbage", "reject", "PROTOCOL"),
    ("/cut", "retry", "CLOSED"),
    ("/slow", "retry", "SLOW"),
    ("/silent", "retry", "TIMEOUT"),
]


@pytest.mark.parametrize(("path", "kind", "expected"), OUTCOMES, ids=[o[0] for o in OUTCOMES])
def test_outcome(server: ScrapeServer, engine: Engine, path: str, kind: str, expected: str) -> None:
    port = server.listen()
    assert len(bomb()) < 1_000_000  # not its length betrays it
    limits = {"timeout_s": 0.5 if expected == "TIMEOUT" else 20, "max_bytes": 1_000_000,
              "min_speed": 100, "min_speed_s": 1}
    result = engine.run([base(port) + path.format(port=port)], spec=limits)
    if kind == "row":
        assert result["row"], result.lines
        assert result["row"][0]["title"].startswith(expected)
    else:
        assert result.reasons(kind) == [expected]
    outcomes = len(result["row"]) + len(result["reject"]) + len(result["retry"])
    assert outcomes == 1
    assert result["task"][0]["error"] is None
    assert result.peak_kb < 40_000  # of the bomb and the 2 GB, nothing stayed


def test_many_urls_are_all_accounted_for(server: ScrapeServer, engine: Engine) -> None:
    port = server.listen()
    urls = [base(port) + (f"/page/{i}" if i % 3 else "/status/404?" + str(i)) for i in range(300)]
    result = engine.run(urls, "--grant", "4", "--task-urls", "150")
    assert len(result["row"]) == 200
    assert result.reasons() == ["HTTP_404"] * 100
    assert {row["url"] for row in result["row"]} | {r["input"] for r in result["reject"]} == set(urls)
    assert result.stats["status_2xx"] == 200 and result.stats["status_4xx"] == 100
    assert len({r.connection for r in server.of(port)}) <= 8  # keep-alive
    assert max(r.active for r in server.of(port)) <= 8


# -- hosts that cannot be had

def test_unreachable_host_fails_the_task(engine: Engine) -> None:
    with socket.socket() as unused:  # bound, not listening: nobody else takes the port
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        result = engine.run([f"{base(port)}/page/{i}" for i in range(40)])
    assert result["task"][0]["error"] == "UNAVAILABLE"
    assert result["task"][0]["reason"] == "CONNECT"
    assert not result["retry"] and not result["reject"]
    assert result.stats["requests"] < 12  # it did not try all 40


def test_unknown_name(engine: Engine) -> None:
    result = engine.run(["http://no-such-host.invalid/"])
    assert result["task"][0]["reason"] == "DNS"


def test_names_that_resolve_to_refused_addresses(engine: Engine, server: ScrapeServer) -> None:
    port = server.listen()
    result = engine.run([f"http://localhost:{port}/page/1"], nets=[])
    assert result.reasons() == ["BLOCKED_ADDRESS"]
    assert not server.of(port)


def test_literal_addresses_are_refused(engine: Engine) -> None:
    urls = ["http://127.0.0.1/", "http://10.0.0.1/", "http://[::ffff:127.0.0.1]/", "http://0/",
            "http://127.1:22/", "http://[64:ff9b::7f00:1]/"]
    result = engine.run(urls, nets=[])
    assert result.reasons() == ["BLOCKED_ADDRESS"] * len(urls)


# -- TLS

def test_tls(engine: Engine, server: ScrapeServer, certificates: dict[str, Path]) -> None:
    good = server.listen(tls=tls_context(certificates["good"]))
    expired = server.listen(tls=tls_context(certificates["expired"]))
    ca = ["--ca-file", str(certificates["ca"])]
    assert engine.run([base(good, "https") + "/page/1"], *ca).titles() == ["Page 1"]
    result = engine.run([base(expired, "https") + "/page/1"], *ca)
    assert result.reasons() == ["TLS"]
    assert "expired" in result["reject"][0]["detail"]
    # The built-in authorities do not know the test's.
    assert engine.run([base(good, "https") + "/page/1"]).reasons() == ["TLS"]
    result = engine.run([base(expired, "https") + "/page/1"], spec={"tls_verify": False})
    assert result.titles() == ["Page 1"]


# -- robots.txt

def test_robots(engine: Engine, server: ScrapeServer) -> None:
    port = server.listen(Site(robots="user-agent: *\ndisallow: /page/secret\nallow: /page/secret/ok\n"))
    result = engine.run([base(port) + path for path in ("/page/1", "/page/secret", "/page/secret/ok")],
                        spec={"robots": True})
    assert result.titles() == ["Page 1", "Page ok"]
    assert result.reasons() == ["ROBOTS"]
    assert result.stats["robots_denied"] == 1
    assert len(server.of(port, "/robots.txt")) == 1
    assert not server.of(port, "/page/secret?") and len(server.of(port)) == 3


def test_robots_of_a_redirect_target(engine: Engine, server: ScrapeServer) -> None:
    target = server.listen(Site(robots="user-agent: *\ndisallow: /page/no\n"))
    port = server.listen()
    result = engine.run([f"{base(port)}/redirect?to={base(target)}/page/{p}" for p in ("no", "yes")],
                        spec={"robots": True})
    assert result.titles() == ["Page yes"]
    assert result.reasons() == ["ROBOTS"]
    assert not server.of(target, "/page/no")


def test_robots_server_error_forbids_for_now(engine: Engine, server: ScrapeServer) -> None:
    port = server.listen(Site(robots="", robots_status=503))
    result = engine.run([f"{base(port)}/page/{i}" for i in range(5)], spec={"robots": True})
    assert result["task"][0]["error"] == "UNAVAILABLE"
    assert result["task"][0]["reason"] == "ROBOTS_UNAVAILABLE"
    assert result["task"][0]["key_backoff_ms"] > 0
    assert not server.of(port, "/page")


def test_crawl_delay_waits_and_drops_nothing(engine: Engine, server: ScrapeServer) -> None:
    port = server.listen(Site(robots="user-agent: *\ncrawl-delay: 0.3\n", latency_s=0.01))
    result = engine.run([f"{base(port)}/page/{i}" for i in range(5)], "--grant", "4",
                        spec={"robots": True})
    assert len(result["row"]) == 5
    assert result["task"][0]["key_delay_ms"] == 300
    times = [r.time for r in server.of(port)]
    assert min(b - a for a, b in zip(times, times[1:])) > 0.28
    assert max(r.active for r in server.of(port)) == 1


# -- politeness

def test_grant_is_the_most_at_once(engine: Engine, server: ScrapeServer) -> None:
    port = server.listen(Site(latency_s=0.02))
    result = engine.run([f"{base(port)}/page/{i}" for i in range(60)], "--grant", "3", "--task-urls", "60")
    assert len(result["row"]) == 60
    assert max(r.active for r in server.of(port)) == 3


def test_delay_between_starts(engine: Engine, server: ScrapeServer) -> None:
    port = server.listen()
    result = engine.run([f"{base(port)}/page/{i}" for i in range(6)], "--task-urls", "3",
                        spec={"per_host": {"delay_s": 0.1}})
    assert len(result["row"]) == 6
    times = [r.time for r in server.of(port)]
    assert min(b - a for a, b in zip(times, times[1:])) > 0.08  # also between the two tasks


def test_guest_host_gets_one_request_at_a_time(engine: Engine, server: ScrapeServer) -> None:
    target = server.listen(Site(latency_s=0.02))
    port = server.listen()
    result = engine.run([f"{base(port)}/redirect?to={base(target)}/page/{i}" for i in range(20)], "--grant", "8")
    assert len(result["row"]) == 20
    assert max(r.active for r in server.of(target)) == 1


def test_autothrottle_slows_down_after_429(engine: Engine, server: ScrapeServer) -> None:
    port = server.listen()
    urls = [f"{base(port)}/flaky/{i}?status=429&n=1" for i in range(2)]
    result = engine.run(urls, "--grant", "1", spec={"per_host": {"autothrottle": True}})
    assert len(result["row"]) == 2
    times = [r.time for r in server.of(port)]
    assert times[1] - times[0] > 0.45


def test_long_retry_after_ends_the_task(engine: Engine, server: ScrapeServer) -> None:
    port = server.listen()
    urls = [f"{base(port)}/page/0", f"{base(port)}/status/429?retry=30"] + [f"{base(port)}/page/{i}" for i in range(1, 9)]
    result = engine.run(urls, "--grant", "1")
    assert result.titles() == ["Page 0"]
    reasons = {r["input"]: r["reason"] for r in result["retry"]}
    # The others were not asked for: they lose no attempt.
    assert reasons == {urls[1]: "HTTP_429", **{url: None for url in urls[2:]}}
    assert 29_000 <= result["task"][0]["key_backoff_ms"] <= 30_000
    assert len(server.of(port)) == 2


# -- cookies, headers, conditional requests, proxy

def test_cookies_are_kept_per_job(live: Any, server: ScrapeServer) -> None:
    port = server.listen()
    one = live()
    one.say(f"add 1 1 {base(port)}/cookie?set=a {base(port)}/cookie?set=b")
    one.wait("task", 1)
    one.say(f"add 2 1 {base(port)}/cookie?set=c")
    result = one.wait("task", 2)
    assert [row["title"] for row in result["row"]] == ["none", "id=a", "none"]
    one.end()


def test_credentials_stay_at_home(engine: Engine, server: ScrapeServer) -> None:
    target, port = server.listen(), server.listen()
    spec = {"headers": {"Authorization": "Bearer secret", "X-Plain": "yes"}, "cookies": {"sid": "9"}}
    result = engine.run([f"{base(port)}/redirect?to={base(target)}/page/1"], spec=spec)
    assert result.titles() == ["Page 1"]
    home, guest = server.of(port)[0].headers, server.of(target)[0].headers
    assert home["authorization"] == "Bearer secret" and home["cookie"] == "sid=9"
    assert "authorization" not in guest and "sid" not in guest.get("cookie", "")
    assert guest["x-plain"] == "yes"
    assert home["user-agent"].startswith("drover/")


def test_conditional_requests_of_another_job(live: Any, server: ScrapeServer) -> None:
    port = server.listen()
    one = live(spec={"conditional": {"cache": True}})
    for i, job in enumerate((1, 1, 2)):
        one.say(f"add {job} 1 {base(port)}/etag")
        one.wait("task", i + 1)
    result = one.end()
    # The job that brought the validator reads the page again: its first rows may have been lost.
    assert len(result["row"]) == 2
    assert result.stats["not_modified"] == 1


def test_proxy(engine: Engine, server: ScrapeServer) -> None:
    port = server.listen()
    result = engine.run(["http://192.88.98.1/page/1"], "--proxy", base(port), nets=[])
    assert result.titles() != [] and server.of(port, "http://192.88.98.1/")
    # Addresses in URLs are refused with a proxy too.
    result = engine.run(["http://10.0.0.1/page/1"], "--proxy", base(port), nets=[])
    assert result.reasons() == ["BLOCKED_ADDRESS"]
    # A job's own proxy is an address like any other.
    result = engine.run(["http://192.88.98.1/page/1"], nets=[], spec={"proxy": base(port)})
    assert result.reasons() == ["BLOCKED_ADDRESS"]


def test_gzipped_sitemap(engine: Engine, server: ScrapeServer) -> None:
    port = server.listen()
    result = engine.run([base(port) + "/sitemap.xml.gz"], spec={"follow": {"sitemap": True}})
    assert [f["url"] for f in result["found"]] == [f"{base(port)}/page/{i}" for i in range(3)]


# -- control, memory, rest

def test_freeze(live: Any, server: ScrapeServer) -> None:
    port = server.listen()
    server.gate(port)
    one = live()
    one.say(f"add 1 1 {base(port)}/page/1 {base(port)}/page/2")
    server.wait_requests(port, 1)
    one.say("freeze")
    one.say(f"add 1 1 {base(port)}/page/3")
    one.say("cpu")
    one.wait("cpu", 1)
    server.open_gate(port)
    # The first page ends as usual; a marker task without a request would need a start.
    with pytest.raises(TimeoutError):
        server.wait_requests(port, 2, timeout_s=0.5)
    one.say("thaw")
    assert len(one.wait("task", 2)["row"]) == 3
    one.end()


def test_cancel_is_prompt(live: Any, server: ScrapeServer) -> None:
    port, other = server.listen(), server.listen()
    server.gate(port)
    one = live()
    one.say(f"add 1 2 {base(port)}/page/1 {base(port)}/page/2 {base(port)}/page/3")
    server.wait_requests(port, 2)
    one.say("cancel 1")
    result = one.wait("task", 1, timeout_s=3)
    assert result["task"][0]["error"] == "STALE" and not result["row"]
    one.say(f"add 1 2 {base(other)}/page/4")
    assert len(one.wait("row", 1)["row"]) == 1  # the loop goes on
    one.end()


def test_stop_gives_unfinished_tasks_back(live: Any, server: ScrapeServer) -> None:
    port = server.listen()
    server.gate(port)
    one = live()
    one.say(f"add 1 1 {base(port)}/page/1 {base(port)}/page/2")
    server.wait_requests(port, 1)
    result = one.end()
    assert [t["error"] for t in result["task"]] == ["STALE"]


def test_idle_costs_nothing(live: Any, server: ScrapeServer) -> None:
    port = server.listen()
    server.gate(port)
    one = live()
    one.say(f"add 1 1 {base(port)}/page/1")
    server.wait_requests(port, 1)
    one.say("cpu")
    before = one.wait("cpu", 1)["cpu"][0]
    with pytest.raises(TimeoutError):  # nothing happens for this long
        one.wait("row", 1, timeout_s=2)
    one.say("cpu")
    used = one.wait("cpu", 2)["cpu"][1] - before
    assert used < 0.02
    server.open_gate(port)
    one.wait("row", 1)
    one.end()


def test_memory_of_bodies_is_bounded(engine: Engine, server: ScrapeServer) -> None:
    ports = [server.listen() for _ in range(80)]
    result = engine.run([f"{base(port)}/big?size=1000000" for port in ports], "--memory", "4000000",
                        spec={"max_bytes": 3_000_000, "timeout_s": 50})
    assert len(result["row"]) == 80
    assert result.peak_kb < 36_000  # 80 MB of bodies went through


def test_thousands_of_hosts(engine: Engine, server: ScrapeServer) -> None:
    port = server.listen(address="0.0.0.0")
    urls = [f"http://127.0.{i // 250}.{i % 250 + 1}:{port}/page/{i}" for i in range(2000)]
    result = engine.run(urls, "--connections", "500", spec={"robots": True}, timeout_s=120)
    assert len(result["row"]) == 2000
    assert result.peak_kb < 80_000
