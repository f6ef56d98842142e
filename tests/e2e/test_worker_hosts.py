"""Hosts that fail, as drover-worker sees and tells them, and what a coordinator's word about a host does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import fake_coordinator as fc
from fake_coordinator import FakeCoordinator, Worker
from scrape_server import ScrapeServer
from test_worker_scrape import SCRAPE, pages

Start = Callable[..., Worker]


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
def start(coordinator: FakeCoordinator) -> Iterator[Start]:
    made: list[Worker] = []

    def make(*args: str) -> Worker:
        made.append(Worker(coordinator.url, "--id", "w1", "--allow-net", "127.0.0.0/8", *args))
        coordinator.wait_session()
        return made[-1]

    yield make
    for worker in made:
        worker.kill()


def host(port: int) -> str:
    return f"host:http://127.0.0.1:{port}"


def untried(result: fc.Result) -> list[str]:
    return [url for url, _depth, error in result.again if error is None]


def test_five_failures_give_the_rest_back(
    coordinator: FakeCoordinator, server: ScrapeServer, start: Start
) -> None:
    port = server.listen()
    start()
    coordinator.assign([pages(port, 20, "status/500")], spec=SCRAPE, grant=1)
    result = coordinator.wait_results(1)[0]
    assert result.outcome == fc.DONE and len(server.of(port)) == 5
    assert len(result.again) == 20 and len(untried(result)) >= 15
    assert all(error.startswith("HTTP_500") for _url, _depth, error in result.again if error)
    coordinator.run_until(lambda: sum(c.fail for c in coordinator.calls_of(host(port))) == 5, "five failures")
    assert coordinator.calls_of(host(port))[0].error == "HTTP 500"
    assert sum(c.row for c in coordinator.calls_of(host(port))) == 5
    # The next task sees for itself.
    coordinator.assign([pages(port, 2)], spec=SCRAPE, first_task=2)
    assert coordinator.wait_results(2)[1].n_rows == 2


def test_a_failure_is_told_at_once_and_successes_while_it_is_watched(
    coordinator: FakeCoordinator, server: ScrapeServer, start: Start
) -> None:
    good, bad = server.listen(), server.listen()
    start()
    coordinator.assign([pages(good, 3), pages(bad, 1, "flaky/x?n=1&")], spec=SCRAPE)
    coordinator.run_until(lambda: coordinator.calls_of(host(bad)), "a failure")
    assert coordinator.calls_of(host(bad))[0].fail == 1
    coordinator.run_until(lambda: any(c.ok for c in coordinator.calls_of(host(bad))), "its success")
    coordinator.wait_results(2)
    assert coordinator.calls_of(host(good)) == []


def test_refusals_are_no_failures(
    coordinator: FakeCoordinator, server: ScrapeServer, start: Start
) -> None:
    port = server.listen()
    start()
    coordinator.assign([pages(port, 10, "status/404")], spec=SCRAPE)
    result = coordinator.wait_results(1)[0]
    assert len(result.rejects) == 10 and result.again == []
    coordinator.run_for(0.3)
    assert coordinator.calls == []


def test_an_open_host_is_left(coordinator: FakeCoordinator, server: ScrapeServer, start: Start) -> None:
    port, other = server.listen(), server.listen()
    server.gate(port)
    start()
    coordinator.assign([pages(port, 20)], spec=SCRAPE, grant=1)
    server.wait_requests(port, 1)
    coordinator.breaker(host(port), fc.OPEN)
    coordinator.assign([pages(other, 1)], spec=SCRAPE, first_task=2)
    coordinator.wait_results(1)  # by then the loop has heard of the other host's breaker
    server.open_gate(port)
    result = coordinator.wait_results(2)[1]
    assert result.n_rows == 1 and len(untried(result)) == 19 == len(result.again)
    coordinator.assign([pages(port, 5)], spec=SCRAPE, first_task=3)
    result = coordinator.wait_results(3)[2]
    assert result.outcome == fc.RETURNED and len(server.of(port)) == 1
    coordinator.breaker(host(port), fc.CLOSED)
    coordinator.assign([pages(port, 5)], spec=SCRAPE, first_task=4)
    assert coordinator.wait_results(4)[3].n_rows == 5


def test_a_probe_is_over_at_its_first_failure(
    coordinator: FakeCoordinator, server: ScrapeServer, start: Start
) -> None:
    port = server.listen()
    start()
    coordinator.breaker(host(port), fc.OPEN)
    coordinator.breaker(host(port), fc.PROBE)
    coordinator.assign([pages(port, 5, "status/500")], spec=SCRAPE, grant=1)
    result = coordinator.wait_results(1)[0]
    assert len(server.of(port)) == 1 and len(untried(result)) == 4
    coordinator.breaker(host(port), fc.PROBE)
    coordinator.assign([pages(port, 5)], spec=SCRAPE, first_task=2)
    assert coordinator.wait_results(2)[1].n_rows == 5


def test_a_new_session_knows_of_no_held_host(
    coordinator: FakeCoordinator, server: ScrapeServer, start: Start
) -> None:
    port = server.listen()
    start()
    coordinator.breaker(host(port), fc.OPEN)
    coordinator.send(fc.RESYNC, ["test"])
    coordinator.wait_session(2)
    coordinator.assign([pages(port, 2)], spec=SCRAPE)
    assert coordinator.wait_results(1)[0].n_rows == 2


def test_rows_are_kept_when_a_host_fails_in_the_middle(
    coordinator: FakeCoordinator, server: ScrapeServer, start: Start
) -> None:
    """And what was tried uses an attempt, what was not does not."""
    port = server.listen()
    start()
    items: list[Any] = pages(port, 3) + pages(port, 10, "status/502")
    coordinator.assign([items], spec=SCRAPE, grant=1)
    result = coordinator.wait_results(1)[0]
    assert result.n_rows == 3 and len(result.again) == 10
    assert 5 <= len(untried(result)) < 10
