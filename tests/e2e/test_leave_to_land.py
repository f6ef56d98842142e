"""Leave to land: what a scrape task's rows hold is on the coordinator's disk before they are in a sink. The
worker against a coordinator that the test plays, with a real PostgreSQL; the coordinator against workers that
the test plays."""

from __future__ import annotations

import json
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import fake_coordinator as fc
from fake_coordinator import FakeCoordinator, Worker
from fleet import (DISCARDED, DONE, FAIL, LAND, LEAVE, RESULT_ACK, SCRAPE, STORED, Coordinator, Front, Task,
                   result)
from pg_server import PgServer
from scrape_server import ScrapeServer

SPEC = json.dumps({
    "drover": 1,
    "stages": [{"kind": "scrape", "extract": {"url": "@url", "title": "h1::text"}, "robots": False,
                "retry": {"times": 0}, "per_host": {"autothrottle": False}}],
    "sinks": [{"kind": "postgres", "name": "main", "table": "t"}],
})


# ---- the worker ----

@pytest.fixture(scope="module")
def cluster() -> Iterator[PgServer]:
    """Not in pytest's own folder, which another run of pytest closes to the user postgres."""
    with tempfile.TemporaryDirectory(prefix="drover-pg-") as folder:
        with PgServer(Path(folder) / "server") as one:
            yield one


@pytest.fixture
def server(cluster: PgServer) -> PgServer:
    cluster.sql("DROP TABLE IF EXISTS t; CREATE TABLE t (url text, title text); GRANT INSERT ON t TO worker;"
                "TRUNCATE drover.ledger, drover.fenced")
    return cluster


class Site(ScrapeServer):
    def __init__(self) -> None:
        super().__init__()
        self.root = f"http://127.0.0.1:{self.listen()}"

    def items(self, *paths: str) -> list[Any]:
        return [[f"{self.root}{path}", 0] for path in paths]


@pytest.fixture
def site() -> Iterator[Site]:
    one = Site()
    yield one
    one.close()


class Played(FakeCoordinator):
    """Acknowledges nothing by itself."""

    def __init__(self) -> None:
        super().__init__(lease_ms=60000)
        self.auto_ack = False

    def next(self) -> fc.Result:
        """The next result that was not looked at."""
        self.run_until(lambda: self.results, "a result")
        return self.results.pop(0)

    def give_leave(self, asked: fc.Result) -> None:
        assert asked.outcome == fc.LAND, asked
        self.acknowledge([asked], LEAVE)


@pytest.fixture
def played() -> Iterator[Played]:
    one = Played()
    yield one
    one.close()


Start = Callable[..., Worker]


@pytest.fixture
def start(played: Played, server: PgServer) -> Iterator[Start]:
    made: list[Worker] = []

    def make(*args: str) -> Worker:
        made.append(Worker(played.url, "--id", "w1", "--allow-net", "127.0.0.0/8", *args))
        played.wait_session()
        played.sink("main", "postgres", url=server.url(), password="rows")
        return made[-1]

    yield make
    for worker in made:
        worker.kill()


def paths(server: PgServer) -> list[str]:
    return sorted("/" + row[0].split("/", 3)[3] for row in server.sql("SELECT url FROM t"))


def ledger(server: PgServer) -> list[list[str]]:
    return server.sql("SELECT task, nrows FROM drover.ledger ORDER BY task")


def test_nothing_lands_before_the_leave(played: Played, server: PgServer, site: Site, start: Start) -> None:
    start()
    played.assign([site.items("/page/a", "/status/404", "/status/503", "/page/b")], spec=SPEC)
    asked = played.next()
    assert (asked.outcome, asked.rows, asked.n_rows, asked.stats) == (fc.LAND, None, 0, {})
    assert asked.left == [1, 2]
    assert [reject[:2] for reject in asked.rejects] == [[f"{site.root}/status/404", "HTTP_404"]]
    assert asked.again == [[f"{site.root}/status/503", 0, "HTTP_503"]]
    played.run_for(0.5)
    assert paths(server) == [] and ledger(server) == [] and played.results == []
    played.give_leave(asked)
    done = played.next()
    assert (done.token, done.outcome, done.n_rows) == (asked.token, fc.DONE, 2)
    assert (done.rejects, done.again, done.found) == ([], [], [])
    assert done.stats["pages"] == 2 and done.stats["rows.postgres:main"] == 2
    assert paths(server) == ["/page/a", "/page/b"] and ledger(server) == [["1", "2"]]


def test_the_question_is_asked_again_in_a_new_session(
    played: Played, server: PgServer, site: Site, start: Start
) -> None:
    start()
    played.assign([site.items("/page/a")], spec=SPEC)
    first = played.next()
    assert first.left == []
    played.send(fc.RESYNC, ["test"])
    played.wait_session(2)
    assert played.held() == [first.token]
    repeated = played.next()
    assert repeated.raw == first.raw
    played.sink("main", "postgres", url=server.url(), password="rows")
    played.give_leave(repeated)
    played.give_leave(repeated)  # says nothing new
    done = played.next()
    assert done.outcome == fc.DONE and paths(server) == ["/page/a"]
    played.acknowledge([done])
    played.run_for(0.3)
    assert played.results == []


def test_what_has_no_rows_does_not_ask(played: Played, server: PgServer, site: Site, start: Start) -> None:
    start()
    played.assign([site.items("/status/404", "/status/503")], spec=SPEC)
    done = played.next()
    assert (done.outcome, done.n_rows, len(done.rejects), len(done.again)) == (fc.DONE, 0, 1, 1)
    assert ledger(server) == []


@pytest.mark.parametrize("bad, outcome, word", [
    ("/status/503", fc.RETRY, "HTTP_503"),
    ("/status/404", fc.RETRY, "HTTP_404"),
])
def test_a_whole_task_does_not_end_in_parts(
    played: Played, server: PgServer, site: Site, start: Start, bad: str, outcome: int, word: str
) -> None:
    start()
    played.assign([site.items("/page/a", bad)], spec=SPEC, whole=True)
    back = played.next()
    assert back.outcome == outcome and back.error is not None
    assert back.error.startswith(f"{word}: {site.root}{bad}") and "all of its inputs" in back.error
    assert paths(server) == [] and ledger(server) == []


def test_a_whole_task_lands_without_asking(played: Played, server: PgServer, site: Site, start: Start) -> None:
    start()
    played.assign([site.items("/page/a", "/page/b")], spec=SPEC, whole=True)
    done = played.next()
    assert (done.outcome, done.n_rows) == (fc.DONE, 2)
    played.acknowledge([done])
    # As if that had not been heard: it has landed, which is as good.
    played.assign([site.items("/page/a", "/page/b")], spec=SPEC, whole=True, attempt=2)
    done = played.next()
    assert (done.outcome, done.stats["rows.postgres:main"]) == (fc.DONE, 2)
    assert paths(server) == ["/page/a", "/page/b"]


def test_a_whole_task_makes_as_much_as_it_must(
    played: Played, server: PgServer, site: Site, start: Start
) -> None:
    """Another stops at 1 MiB."""
    start()
    spec = json.dumps(json.loads(SPEC) | {"stages": [json.loads(SPEC)["stages"][0] | {
        "extract": {"url": "@url", "title": "p::text"}}]})
    some = site.items(*(f"/page/{i}?size=300000" for i in range(8)))
    played.assign([some], spec=spec, whole=True, grant=1)
    assert played.next().n_rows == 8
    played.assign([some], spec=spec, first_task=2, grant=1)
    asked = played.next()
    assert len(asked.left) == len(asked.again) == 4 and all(error is None for _, _, error in asked.again)


def test_a_revoked_question_is_forgotten(played: Played, server: PgServer, site: Site, start: Start) -> None:
    start()
    played.assign([site.items("/page/a")], spec=SPEC)
    asked = played.next()
    played.run_until(lambda: played.heartbeats and played.heartbeats[-1][2] > 0, "rows that wait")
    played.revoke([asked.token])
    played.run_until(lambda: played.heartbeats[-1][2] == 0, "nothing waits")
    played.give_leave(asked)
    played.run_for(0.3)
    assert paths(server) == [] and played.results == []


def test_rows_that_ask_take_the_credit(played: Played, server: PgServer, site: Site, start: Start) -> None:
    start("--slots", "4", "--memory-max", "4MiB")  # 1 MiB for rows that wait
    spec = json.dumps(json.loads(SPEC) | {"stages": [json.loads(SPEC)["stages"][0] | {
        "extract": {"url": "@url", "title": "p::text"}}]})
    sent = 0
    for _ in range(40):
        n = played.credit[0] - played.assigned
        if n <= 0:
            break
        played.assign([site.items(f"/page/{sent + i}?size=120000") for i in range(n)], spec=spec,
                      first_task=sent + 1)
        sent += n
        played.run_until(lambda: len(played.results) == sent, "questions")
        played.run_for(0.15)
    assert 8 <= sent <= 14 and all(one.outcome == fc.LAND for one in played.results)
    asked, played.results = played.results, []
    for one in asked:
        played.give_leave(one)
    assert [one.outcome for one in played.wait_results(sent)] == [fc.DONE] * sent
    played.run_until(lambda: played.credit[0] - played.assigned >= 5, "credit again")
    assert len(paths(server)) == sent


def test_sigterm_waits_for_the_leave(played: Played, server: PgServer, site: Site, start: Start) -> None:
    worker = start()
    played.assign([site.items("/page/a")], spec=SPEC)
    asked = played.next()
    worker.signal(signal.SIGTERM)
    played.run_until(lambda: played.credit[0] <= played.assigned, "no credit")
    played.give_leave(asked)
    done = played.next()
    assert done.outcome == fc.DONE and paths(server) == ["/page/a"]
    played.acknowledge([done])
    played.run_until(lambda: played.byes, "BYE")
    assert worker.process.wait(10) == 0


# ---- the coordinator ----

def land(task: Task, left: list[int], **more: Any) -> list[Any]:
    """The question, which leaves these items of the task out."""
    bits = bytearray((max(left, default=-1) + 8) // 8)
    for i in left:
        bits[i // 8] |= 1 << i % 8
    return [*result(task, LAND, rows=[], **more), bytes(bits) if left else None]


def ask(worker: Any, question: list[Any]) -> int:
    """Asks, and returns the answer."""
    worker.acks.clear()
    worker.results([question])
    while question[0] not in worker.acks:
        worker.expect(RESULT_ACK)
    return int(worker.acks[question[0]])


def url(i: int) -> str:
    return f"http://127.0.0.1:9/{i}"


def again(i: int, error: str | None = "LATER") -> list[Any]:
    return [url(i), 0, error]


def numbers(task: Task) -> list[int]:
    """Of the task's URLs."""
    return [int(one.rsplit("/", 1)[1]) for one, _ in task.input]


def one_task(front: Front, worker: Any, n: int = 5) -> tuple[int, Task]:
    job = front.submit(map(url, range(n)), task_items=n, stages=[{"kind": "scrape", "extract": {"t": "h1::text"}}],
                       retry={"backoff_s": 0.01})
    worker.hello()
    worker.credit(1)
    return job, worker.take(1)[0]


def finish_all(worker: Any, n: int) -> dict[tuple[int, ...], Task]:
    """The next n tasks, one after the other, since they are of one host; by the numbers of their URLs."""
    done = {}
    for _ in range(n):
        worker.credit(1)
        task = worker.take(1)[0]
        worker.results([result(task, rows=[one for one, _ in task.input])])
        worker.live_until(lambda: not worker.held, "an acknowledgement")
        done[tuple(numbers(task))] = task
    return done


def test_a_part_goes_on_and_the_rest_is_whole(
        coordinator: Coordinator, front: Front, fake_workers: Callable[..., Any]) -> None:
    worker = fake_workers(coordinator, kinds=SCRAPE)
    job, task = one_task(front, worker)
    assert not task.whole
    question = land(task, [0, 3, 4], rejects=[[url(0), "BAD", None]], again=[again(3), again(4, None)])
    assert ask(worker, question) == LEAVE
    status = front.call("job.status", job=job)
    assert (status["tasks"], status["pending"], status["rejects"], status["rows"]) == (3, 3, 1, 0)
    assert ask(worker, question) == LEAVE  # again: the same answer, and nothing more of it
    assert front.call("job.status", job=job)["tasks"] == 3

    # Its worker dies: the next one gets what is left of it, and is told.
    worker.close()
    other = fake_workers(coordinator, name="w2", kinds=SCRAPE)
    other.hello()
    tasks = finish_all(other, 3)
    assert {key: (one.whole, one.attempt) for key, one in tasks.items()} == {
        (1, 2): (True, 1), (3,): (False, 2), (4,): (False, 1)}
    done = front.wait(job)
    assert (done["state"], done["rows"], done["rejects"], done["done"]) == ("done", 4, 1, 3)
    assert sorted(front.rows(job)) == [url(i) for i in (1, 2, 3, 4)]


def test_the_question_survives_the_coordinator(
        coordinator: Coordinator, front: Front, fronts: Callable[..., Front],
        fake_workers: Callable[..., Any]) -> None:
    worker = fake_workers(coordinator, kinds=SCRAPE)
    job, task = one_task(front, worker)
    question = land(task, [1], again=[again(1)])
    assert ask(worker, question) == LEAVE
    coordinator.keep_ports()
    coordinator.kill()
    coordinator.start()
    worker.reconnect()
    worker.hello([task])  # as if the leave had been lost
    worker.held = {task.id: task}
    assert ask(worker, question) == LEAVE
    after = fronts(coordinator)
    assert after.call("job.status", job=job)["tasks"] == 2
    worker.results([result(task, rows=[])])
    worker.live_until(lambda: not worker.held, "an acknowledgement")
    assert list(finish_all(worker, 1)) == [(1,)]
    assert after.wait(job)["done"] == 2


def test_only_who_asked_may_land(
        coordinators: Callable[..., Coordinator], fronts: Callable[..., Front],
        fake_workers: Callable[..., Any]) -> None:
    """A lease of before a restart that asks what another was given leave for."""
    coordinator = coordinators(lease="1s").start()
    front = fronts(coordinator)
    early, late = (fake_workers(coordinator, name=name, kinds=SCRAPE) for name in ("early", "late"))
    job, first = one_task(front, early)
    early.close()
    late.hello()
    late.credit(1)
    second = late.take(1)[0]
    assert ask(late, land(second, [1], again=[again(1)])) == LEAVE
    late.close()
    coordinator.keep_ports()
    coordinator.kill()
    coordinator.start()
    early.reconnect()
    early.hello([first])  # the first to come: it is adopted
    early.results([land(first, [2], again=[again(2)])])
    early.live_until(lambda: early.revoked.get(first.id) == "stale", "a REVOKE")
    early.held.clear()
    tasks = finish_all(early, 2)
    assert {key: one.whole for key, one in tasks.items()} == {(0, 2, 3, 4): True, (1,): False}
    assert fronts(coordinator).wait(job)["rows"] == 5


def test_a_dead_letter_that_may_have_landed_stays_whole(
        coordinator: Coordinator, front: Front, fake_workers: Callable[..., Any]) -> None:
    worker = fake_workers(coordinator, kinds=SCRAPE)
    job, task = one_task(front, worker, n=2)
    assert ask(worker, land(task, [0], rejects=[[url(0), "BAD", None]])) == LEAVE
    assert ask(worker, result(task, FAIL, error="SINK: no")) == STORED
    assert front.wait(job)["state"] == "failed"
    assert front.call("dead.ls", job=job)["dead"][0]["error"] == "SINK: no"
    front.call("job.retry", job=job)
    task = finish_all(worker, 1)[1,]
    assert (task.whole, task.attempt) == (True, 1)
    assert front.wait(job)["state"] == "done"


def test_a_cancelled_job_gives_no_leave(
        coordinator: Coordinator, front: Front, fake_workers: Callable[..., Any]) -> None:
    worker = fake_workers(coordinator, kinds=SCRAPE)
    job, task = one_task(front, worker)
    front.call("job.cancel", job=job)
    worker.live_until(lambda: task.id in worker.revoked, "a REVOKE")
    assert ask(worker, land(task, [1], again=[again(1)])) == DISCARDED
    assert front.wait(job)["state"] == "cancelled"
