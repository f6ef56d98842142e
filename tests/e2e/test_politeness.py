"""What a host sees of a whole fleet: never more requests at once than the job allows, never sooner one
after the other, while workers are killed, stopped and cut off, and the coordinator dies.

The host counts for itself (polite_host.py). Several real workers, each behind a relay of its own.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from fleet import Coordinator, Front, Process, find_binary, wait_until
from polite_host import Answer, PoliteHost, Relay, Visit

LEASE_S = 1.0
LATE_S = 0.1  # a request may reach the host so much later than it was sent
SEED = int(os.environ.get("DROVER_CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)


class PoliteFleet:
    """A coordinator and workers w1, w2, ... that can be killed, stopped and cut off."""

    def __init__(self, folder: Path, coordinator: Coordinator, n: int) -> None:
        self.folder = folder
        self.coordinator = coordinator
        coordinator.start()
        coordinator.keep_ports()
        self.front = Front(coordinator.front)
        self.relays: dict[str, Relay] = {}
        self.workers: dict[str, Process] = {}
        for i in range(1, n + 1):
            self.start(f"w{i}")
        wait_until(lambda: self.ready() == n, f"{n} workers")

    def start(self, name: str) -> None:
        if name not in self.relays:
            self.relays[name] = Relay(self.coordinator.back)
        self.workers[name] = Process(
            name, [str(find_binary("drover-worker")), "--coordinator", self.relays[name].url,
                   "--id", name, "--loops", "1", "--slots", "1", "--user-agent", f"{name}/1",
                   "--allow-net", "127.0.0.0/8"], self.folder)

    def states(self) -> dict[str, str]:
        return {w["worker"]: w["state"] for w in self.front.call("worker.ls")["workers"]}

    def ready(self) -> int:
        return Counter(self.states().values())["ready"]

    def busy(self, host: PoliteHost) -> str:
        """The worker that has the most requests under way, once one has."""
        def names() -> Counter[str]:
            return Counter(v.agent.split("/")[0] for v in list(host.visits) if v.ended is None)

        return str(wait_until(names, "a request under way").most_common(1)[0][0])

    def kill(self, name: str) -> None:
        self.workers.pop(name).kill()

    def stop(self, name: str) -> None:
        self.workers[name].popen.send_signal(signal.SIGSTOP)

    def wake(self, name: str) -> None:
        self.workers[name].popen.send_signal(signal.SIGCONT)

    def restart_coordinator(self) -> None:
        self.coordinator.kill()
        self.coordinator.start()
        self.front.close()
        self.front = Front(self.coordinator.front)

    def rotate(self, host: "PoliteHost", every: int, times: int) -> None:
        """Drains whichever worker asked last, so that another one goes on; several times."""
        drained = None
        for i in range(1, times + 1):
            host.wait(i * every)
            last = host.visits[-1].agent.split("/")[0]
            self.front.call("worker.drain", worker=last)
            if drained:
                self.front.call("worker.resume", worker=drained)
            drained = last

    def submit(self, urls: list[str], task_items: int = 4, timeout_s: float = 10,
               **per_host: Any) -> int:
        stage = {"kind": "scrape", "extract": {"title": "title::text", "url": "@url"},
                 "per_host": {"autothrottle": False, **per_host}, "timeout_s": timeout_s}
        return self.front.submit(urls, stages=[stage], task_items=task_items,
                                 retry={"attempts": 50, "backoff_s": 0.1, "backoff_max_s": 1})

    def titles(self, job: int) -> Counter[str]:
        found: Counter[str] = Counter()
        for _task, n, wire in self.front.batches(job):
            _name, _type, _nulls, data, ends = msgpack.unpackb(wire)[2][0]
            stops = [int.from_bytes(ends[i:i + 4], "little") for i in range(0, 4 * n, 4)]
            found.update(data[a:b].decode() for a, b in zip([0, *stops], stops))
        return found

    def close(self) -> None:
        for worker in self.workers.values():
            worker.popen.send_signal(signal.SIGCONT)
            worker.kill()
        self.front.close()
        for relay in self.relays.values():
            relay.close()


@pytest.fixture
def fleet(tmp_path: Path, coordinators: Callable[..., Coordinator]) -> Iterator[PoliteFleet]:
    fleet = PoliteFleet(tmp_path, coordinators(lease=f"{int(LEASE_S * 1000)}ms", kills_max=100), 3)
    yield fleet
    fleet.close()


@pytest.fixture
def host() -> Iterator[PoliteHost]:
    host = PoliteHost()
    yield host
    host.close()


def check_limit(host: PoliteHost, limit: int) -> None:
    most, which = host.most_at_once()
    first = which[0].began if which else 0
    assert most <= limit, f"{most} requests at once, the limit is {limit}:\n" + "\n".join(
        f"{v.agent} {v.path} {v.began - first:.3f} to {(v.ended or 0) - first:.3f}" for v in which)


def all_once(host: PoliteHost, n: int) -> Counter[str]:
    return Counter({f"/{i}": 1 for i in range(n)})


def urls(host: PoliteHost, n: int) -> list[str]:
    return [host.url(i) for i in range(n)]


# ---- nothing goes wrong ----


@pytest.mark.parametrize("limit", [1, 5])
def test_limit(fleet: PoliteFleet, host: PoliteHost, limit: int) -> None:
    job = fleet.submit(urls(host, 120), concurrency=limit)
    assert fleet.front.wait(job, 60)["state"] == "done"
    check_limit(host, limit)
    assert fleet.titles(job) == all_once(host, 120)
    if limit > 1:
        assert host.most_at_once()[0] == limit, "the limit is used"
        assert len({v.agent for v in host.visits}) > 1, "by more than one worker"


def test_two_jobs_share_the_limit_of_a_host(fleet: PoliteFleet, host: PoliteHost) -> None:
    jobs = [fleet.submit(urls(host, 60), concurrency=4) for _ in range(2)]
    for job in jobs:
        assert fleet.front.wait(job, 60)["state"] == "done"
    check_limit(host, 4)


def test_delay(fleet: PoliteFleet, host: PoliteHost) -> None:
    job = fleet.submit(urls(host, 16), task_items=2, concurrency=5, delay_s=0.4)
    fleet.rotate(host, 5, 3)
    assert fleet.front.wait(job, 60)["state"] == "done"
    assert host.gaps()[0] >= 0.4 - LATE_S, host.gaps()
    assert len({v.agent for v in host.visits}) > 1
    check_limit(host, 1)


def test_crawl_delay_is_kept_from_the_first_contact_on(fleet: PoliteFleet, host: PoliteHost) -> None:
    """Nobody knows the Crawl-delay before robots.txt was read: till then one worker goes alone."""
    host.robots = "User-agent: *\nCrawl-delay: 0.4\n"
    job = fleet.submit(urls(host, 16), task_items=2, concurrency=6)
    fleet.rotate(host, 5, 3)
    assert fleet.front.wait(job, 60)["state"] == "done"
    assert host.gaps()[0] >= 0.4 - LATE_S, host.gaps()
    assert len({v.agent for v in host.visits}) > 1
    assert fleet.titles(job) == all_once(host, 16)


def test_crawl_delay_of_a_host_whose_robots_txt_fails_at_first(
    fleet: PoliteFleet, host: PoliteHost
) -> None:
    """A first contact that came to nothing was none: the next one goes alone as well."""
    host.robots = "User-agent: *\nCrawl-delay: 0.4\n"
    page = host._page
    asked: list[str] = []

    def failing(visit: Visit) -> Answer:
        if visit.path == "/robots.txt" and len(asked) < 2:
            asked.append(visit.agent)
            return 503, {}, ""
        return page(visit)

    host._page = failing  # type: ignore[method-assign]
    job = fleet.submit(urls(host, 12), task_items=2, concurrency=6)
    assert fleet.front.wait(job, 60)["state"] == "done"
    assert host.gaps()[0] >= 0.4 - LATE_S, host.gaps()
    assert fleet.titles(job) == all_once(host, 12)


@pytest.mark.parametrize("wait_s", [2, 7])
def test_retry_after(fleet: PoliteFleet, host: PoliteHost, wait_s: int) -> None:
    """After a 429 each slot may learn of it by one request more; then there is silence. A short wait is
    the worker's own, a long one goes by way of the coordinator."""
    limit, busy = 6, {"from": 0.0}

    def answer(visit: Visit) -> Answer | None:
        now = time.monotonic()
        if len(host.visits) >= 40 and not busy["from"]:
            busy["from"] = now
        if busy["from"] and now < busy["from"] + wait_s:
            left_s = busy["from"] + wait_s - now
            return 429, {"retry-after": str(int(left_s + 1))}, "later"
        return None

    host.answer = answer
    job = fleet.submit(urls(host, 100), concurrency=limit)
    assert fleet.front.wait(job, 60)["state"] == "done"
    inside = [v for v in host.visits if busy["from"] < v.began < busy["from"] + wait_s - LATE_S]
    assert len(inside) <= limit, [(v.agent, v.path, v.began - busy["from"]) for v in inside]
    check_limit(host, limit)
    assert fleet.titles(job) == all_once(host, 100)


# ---- faults ----


def kills(fleet: PoliteFleet, host: PoliteHost) -> None:
    """One comes back under its name, one under another, one not at all."""
    first = fleet.busy(host)
    fleet.kill(first)
    fleet.start(first)
    host.wait(len(host.visits) + 20)
    fleet.kill(fleet.busy(host))
    fleet.start("w4")
    host.wait(len(host.visits) + 20)
    fleet.kill(fleet.busy(host))


def stop(fleet: PoliteFleet, host: PoliteHost) -> None:
    name = fleet.busy(host)
    fleet.stop(name)
    wait_until(lambda: fleet.states()[name] == "lost", "the coordinator to give it up")
    host.wait(len(host.visits) + 20)
    fleet.wake(name)
    wait_until(lambda: fleet.states()[name] == "ready", "its new session")


def coordinator_dies(fleet: PoliteFleet, host: PoliteHost) -> None:
    fleet.restart_coordinator()
    host.wait(len(host.visits) + 20)
    fleet.restart_coordinator()


def cut(side: str) -> Callable[[PoliteFleet, PoliteHost], None]:
    def fault(fleet: PoliteFleet, host: PoliteHost) -> None:
        for _ in range(3):
            fleet.relays[fleet.busy(host)].cut(side)
            host.wait(len(host.visits) + 20)

    return fault


def hold(fleet: PoliteFleet, host: PoliteHost) -> None:
    name = fleet.busy(host)
    fleet.relays[name].hold(True)
    wait_until(lambda: fleet.states()[name] == "lost", "the coordinator to give it up")
    host.wait(len(host.visits) + 20)
    fleet.relays[name].hold(False)


@pytest.mark.parametrize(("fault"), [
    pytest.param(kills, id="kill -9"),
    pytest.param(stop, id="stopped past its lease"),
    pytest.param(coordinator_dies, id="coordinator restarted"),
    pytest.param(cut("both"), id="connection cut"),
    pytest.param(cut("coordinator"), id="connection cut, and the worker does not know"),
    pytest.param(cut("worker"), id="connection cut, and the coordinator does not know"),
    pytest.param(hold, id="network holds everything back"),
])
def test_limit_under_a_fault(
    fleet: PoliteFleet, host: PoliteHost, fault: Callable[[PoliteFleet, PoliteHost], None]
) -> None:
    """Slow pages, so that most slots are in use when it happens."""
    host.latency_s = lambda visit: 0.15
    job = fleet.submit(urls(host, 240), concurrency=6, timeout_s=2)
    host.wait(30)
    fault(fleet, host)
    assert fleet.front.wait(job, 120)["state"] == "done"
    check_limit(host, 6)
    assert fleet.titles(job) == all_once(host, 240)


@pytest.mark.parametrize("fault", ["stop", "coordinator", "hold"])
def test_requests_longer_than_the_lease(fleet: PoliteFleet, host: PoliteHost, fault: str) -> None:
    """What a worker has under way when it is lost counts, until it is over. One that lives cuts it off
    at the end of its lease; one that is stopped cannot, so that its slots rest for the job's time-out."""
    slow_ones: list[Visit] = []

    def latency(visit: Visit) -> float:
        if len(host.visits) < 30 or len(slow_ones) == 6:
            return 0.05
        slow_ones.append(visit)
        return 4 * LEASE_S

    host.latency_s = latency
    job = fleet.submit(urls(host, 120), concurrency=6, timeout_s=5 * LEASE_S)
    wait_until(lambda: len(slow_ones) == 6, "slow requests")
    name = fleet.busy(host)
    if fault == "stop":
        fleet.stop(name)
    elif fault == "coordinator":
        fleet.relays[name].cut("coordinator")
    else:
        fleet.relays[name].hold(True)
    wait_until(lambda: fleet.states()[name] == "lost", "the coordinator to give it up")
    if fault != "stop":
        lost = time.monotonic()
        wait_until(lambda: all(v.ended for v in host.visits if v.agent.startswith(name)
                               and v.began < lost - LEASE_S), "an end of what it had under way")
        assert time.monotonic() < lost + 2 * LEASE_S
    wait_until(lambda: all(v.ended for v in slow_ones), "an end of the slow requests")
    fleet.wake(name)
    fleet.relays[name].hold(False)
    assert fleet.front.wait(job, 120)["state"] == "done"
    check_limit(host, 6)
    assert fleet.titles(job) == all_once(host, 120)


@pytest.mark.parametrize("fault", [kills, stop, cut("coordinator")], ids=["kill", "stop", "cut"])
def test_delay_under_a_fault(
    fleet: PoliteFleet, host: PoliteHost, fault: Callable[[PoliteFleet, PoliteHost], None]
) -> None:
    host.robots = "User-agent: *\nCrawl-delay: 0.1\n"
    host.latency_s = lambda visit: 0.01
    job = fleet.submit(urls(host, 100), task_items=3, concurrency=6, timeout_s=2)
    host.wait(15)
    fault(fleet, host)
    assert fleet.front.wait(job, 120)["state"] == "done"
    assert host.gaps()[0] >= 0.1 - 0.06, host.gaps()[:10]
    check_limit(host, 1)
    assert fleet.titles(job) == all_once(host, 100)


def test_limit_under_any_faults(fleet: PoliteFleet, host: PoliteHost) -> None:
    """Twelve seconds of faults drawn at random."""
    print(f"DROVER_CHAOS_SEED={SEED}")
    rng = random.Random(SEED)
    host.latency_s = lambda visit: rng.choice([0.02, 0.1, 0.1, 0.5])
    job = fleet.submit(urls(host, 400), task_items=6, concurrency=6, timeout_s=2)
    host.wait(20)
    until = time.monotonic() + 12
    while time.monotonic() < until:
        name = rng.choice(["w1", "w2", "w3"])
        match rng.choice(["kill", "stop", "cut", "cut", "hold", "coordinator"]):
            case "kill":
                fleet.kill(name)
                fleet.start(name)
            case "stop":
                fleet.stop(name)
                time.sleep(rng.uniform(0, 2 * LEASE_S))
                fleet.wake(name)
            case "cut":
                fleet.relays[name].cut(rng.choice(["both", "worker", "coordinator"]))
            case "hold":
                fleet.relays[name].hold(True)
                time.sleep(rng.uniform(0, 2 * LEASE_S))
                fleet.relays[name].hold(False)
            case "coordinator":
                fleet.restart_coordinator()
        time.sleep(rng.uniform(0, 1))
    assert fleet.front.wait(job, 120)["state"] == "done"
    check_limit(host, 6)
    assert fleet.titles(job) == all_once(host, 400)
