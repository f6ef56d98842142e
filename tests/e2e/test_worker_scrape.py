"""Scrape tasks in drover-worker, against a coordinator and sites that a test plays: slots, drain,
revoke, freeze, results."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

import fake_coordinator as fc
from fake_coordinator import FakeCoordinator, Worker
from scrape_server import ScrapeServer

SCRAPE = json.dumps(
    {
        "drover": 1,
        "stages": [
            {"kind": "scrape", "extract": {"title": "title::text", "url": "@url"}, "robots": False}
        ],
        "sinks": [{"kind": "store"}],
    }
)


@pytest.fixture
def server() -> Iterator[ScrapeServer]:
    server = ScrapeServer()
    yield server
    server.close()


@pytest.fixture
def coordinator() -> Iterator[FakeCoordinator]:
    coordinator = FakeCoordinator()
    yield coordinator
    coordinator.close()


@pytest.fixture
def start(coordinator: FakeCoordinator) -> Iterator[Any]:
    made: list[Worker] = []

    def make(*args: str) -> Worker:
        made.append(
            Worker(coordinator.url, "--id", "w1", "--allow-net", "127.0.0.0/8", *args)
        )
        coordinator.wait_session()
        return made[-1]

    yield make
    for worker in made:
        worker.kill()


def pages(port: int, n: int, path: str = "page") -> list[list[Any]]:
    return [[f"http://127.0.0.1:{port}/{path}/{i}", 0] for i in range(n)]


def texts(result: fc.Result, column: int) -> list[str]:
    _version, n, columns = result.rows
    _name, _type, _nulls, data, ends = columns[column]
    stops = [int.from_bytes(ends[i : i + 4], "little") for i in range(0, 4 * n, 4)]
    return [data[a:b].decode() for a, b in zip([0, *stops], stops)]


def test_rows_stats_and_rejects(coordinator: FakeCoordinator, server: ScrapeServer, start: Any) -> None:
    port = server.listen()
    start()
    items = pages(port, 3) + [[f"http://127.0.0.1:{port}/status/404?x", 0]]
    coordinator.assign([items], spec=SCRAPE)
    result = coordinator.wait_results(1)[0]
    assert result.outcome == fc.DONE and result.n_rows == 3
    assert sorted(texts(result, 0)) == ["Page 0", "Page 1", "Page 2"]
    stats = dict(result.raw[7])
    assert stats["requests"] >= 4 and stats["status_2xx"] == 3
    rejects = result.raw[8]
    assert result.raw[9] == 1 and rejects[0][0].endswith("404?x") and rejects[0][1] == "HTTP_404"
    coordinator.run_until(lambda: coordinator.heartbeats[-1][7] == 3, "rows in a heartbeat")
    assert dict(coordinator.heartbeats[-1][8])["status_2xx"] == 3


def test_host_that_is_down_asks_for_another_attempt(
    coordinator: FakeCoordinator, start: Any
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    start()
    coordinator.assign([pages(port, 2)], spec=SCRAPE)
    result = coordinator.wait_results(1)[0]
    assert result.outcome == fc.RETRY and str(port) in (result.error or "")


def test_bad_items_fail_the_task(coordinator: FakeCoordinator, start: Any) -> None:
    start()
    coordinator.assign([["text"]], spec=SCRAPE)
    coordinator.assign([[[1, 2]], []], first_task=2)
    results = coordinator.wait_results(3)
    assert [r.outcome for r in results] == [fc.FAIL] * 3
    assert all((r.error or "").startswith("MALFORMED") for r in results)


def test_prefill_waits_for_a_slot(
    coordinator: FakeCoordinator, server: ScrapeServer, start: Any
) -> None:
    ports = [server.listen() for _ in range(3)]
    for port in ports:
        server.gate(port)
    start("--slots", "2")
    assert coordinator.credit[0] == 3
    coordinator.assign([pages(port, 1) for port in ports], spec=SCRAPE)
    server.wait_requests(ports[0], 1)
    server.wait_requests(ports[1], 1)
    coordinator.run_until(lambda: coordinator.heartbeats[-1][:2] == [2, 1], "2 busy, 1 queued")
    assert server.of(ports[2]) == []
    for port in ports:
        server.open_gate(port)
    coordinator.wait_results(3)
    coordinator.run_until(lambda: coordinator.credit[0] >= 6, "credit for more")


def test_drain_finishes_what_runs_and_returns_the_rest(
    coordinator: FakeCoordinator, server: ScrapeServer, start: Any
) -> None:
    ports = [server.listen() for _ in range(3)]
    for port in ports:
        server.gate(port)
    worker = start("--slots", "2")
    coordinator.assign([pages(port, 1) for port in ports], spec=SCRAPE)
    server.wait_requests(ports[0], 1)
    server.wait_requests(ports[1], 1)
    worker.signal(signal.SIGTERM)
    returned = coordinator.wait_results(1)[0]
    assert (returned.task, returned.outcome) == (3, fc.RETURNED)
    for port in ports[:2]:
        server.open_gate(port)
    coordinator.run_until(lambda: bool(coordinator.byes), "BYE")
    assert worker.process.wait(10) == 0
    assert {r.task: r.outcome for r in coordinator.results} == {1: fc.DONE, 2: fc.DONE, 3: fc.RETURNED}
    assert server.of(ports[2]) == []


def test_drain_gives_back_what_does_not_finish_in_time(
    coordinator: FakeCoordinator, server: ScrapeServer, start: Any
) -> None:
    port = server.listen()
    server.gate(port)
    worker = start("--drain-timeout", "500ms")
    coordinator.assign([pages(port, 5)], spec=SCRAPE)
    server.wait_requests(port, 1)
    worker.signal(signal.SIGTERM)
    begin = time.monotonic()
    result = coordinator.wait_results(1)[0]
    assert result.outcome == fc.RETURNED and result.rows is None
    assert 0.3 < time.monotonic() - begin < 5
    coordinator.run_until(lambda: bool(coordinator.byes), "BYE")
    assert worker.process.wait(10) == 0


def test_second_signal_does_not_wait_for_pages(
    coordinator: FakeCoordinator, server: ScrapeServer, start: Any
) -> None:
    port = server.listen()
    server.gate(port)
    worker = start()
    coordinator.assign([pages(port, 5)], spec=SCRAPE)
    server.wait_requests(port, 1)
    worker.signal(signal.SIGTERM)
    coordinator.run_until(lambda: coordinator.credit[0] == coordinator.assigned, "credit taken back")
    worker.signal(signal.SIGTERM)
    assert worker.process.wait(5) == 0


def test_revoke_stops_a_running_task(
    coordinator: FakeCoordinator, server: ScrapeServer, start: Any
) -> None:
    port = server.listen()
    server.gate(port)
    start("--slots", "1")
    tokens = coordinator.assign([pages(port, 50)], spec=SCRAPE)
    server.wait_requests(port, 1)
    coordinator.run_until(lambda: coordinator.heartbeats[-1][0] == 1, "one busy")
    coordinator.revoke(tokens)
    coordinator.run_until(lambda: coordinator.heartbeats[-1][0] == 0, "nothing busy")
    server.open_gate(port)
    # The slot is free, and nothing of the revoked task is heard of.
    other = server.listen()
    coordinator.assign([pages(other, 1)], first_task=2)
    results = coordinator.wait_results(1)
    assert [r.task for r in results] == [2]
    coordinator.send(fc.RESYNC, ["test"])
    coordinator.wait_session(2)
    assert coordinator.held() == []


def test_same_task_given_again_replaces_the_old_lease(
    coordinator: FakeCoordinator, server: ScrapeServer, start: Any
) -> None:
    port = server.listen()
    server.gate(port)
    start()
    coordinator.assign([pages(port, 1)], spec=SCRAPE)
    server.wait_requests(port, 1)
    newer = coordinator.assign([pages(port, 1)])
    server.wait_requests(port, 2)
    server.open_gate(port)
    results = coordinator.wait_results(1)
    assert results[0].token == newer[0] and results[0].outcome == fc.DONE
    coordinator.run_for(0.3)
    assert len(coordinator.results) == 1


def test_tasks_of_one_host_share_its_loop_and_limit(
    coordinator: FakeCoordinator, server: ScrapeServer, start: Any
) -> None:
    port = server.listen()
    server.sites[port].latency_s = 0.02
    start("--loops", "4")
    coordinator.assign([pages(port, 10, f"page/{i}") for i in range(6)], spec=SCRAPE, grant=1)
    results = coordinator.wait_results(6)
    assert sum(r.n_rows for r in results) == 60
    # Six tasks with one request each at most; the stage's own limit for a host holds above them.
    limit = 8
    assert max(r.active for r in server.of(port)) <= min(6, limit)


def test_silence_freezes_and_the_next_session_thaws(server: ScrapeServer) -> None:
    coordinator = FakeCoordinator(lease_ms=700, heartbeat_ms=100)
    port = server.listen()
    server.gate(port)
    worker = Worker(coordinator.url, "--id", "w1", "--allow-net", "127.0.0.0/8")
    try:
        coordinator.wait_session()
        tokens = coordinator.assign([pages(port, 200)], spec=SCRAPE, grant=1)
        server.wait_requests(port, 1)
        coordinator.silent = True
        coordinator.run_until(lambda: len(coordinator.hellos) == 2, "HELLO after silence")
        server.open_gate(port)  # the page under way ends; the next must not begin
        coordinator.run_for(0.5)
        assert len(server.of(port)) <= 2
        assert coordinator.held() == tokens
        coordinator.silent = False
        coordinator.welcome()
        coordinator.wait_session(2)
        result = coordinator.wait_results(1)[0]
        assert result.token == tokens[0] and result.n_rows == 200
    finally:
        worker.kill()
        coordinator.close()


def test_found_links_are_told(coordinator: FakeCoordinator, server: ScrapeServer, start: Any) -> None:
    port = server.listen()
    start()
    spec = json.loads(SCRAPE)
    spec["stages"][0]["follow"] = {"css": "a", "depth": 3}
    coordinator.assign([pages(port, 1)], spec=json.dumps(spec))
    result = coordinator.wait_results(1)[0]
    assert result.found == [[f"http://127.0.0.1:{port}/page/next", 1]]
