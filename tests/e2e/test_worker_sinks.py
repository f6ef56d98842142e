"""Rows of drover-worker on their way into a real PostgreSQL, with a coordinator that the test plays: when a
task is done, what an outage costs, what is told of it."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import fake_coordinator as fc
from fake_coordinator import FakeCoordinator, Worker
from fleet import wait_until
from pg_server import PgServer
from scrape_server import ScrapeServer

MAIN = "postgres:main"


def job(*sinks: dict[str, Any]) -> str:
    stage = {"kind": "noop", "rows": True}
    return json.dumps({"drover": 1, "stages": [stage], "sinks": list(sinks)})


def into(table: str, **more: Any) -> dict[str, Any]:
    return {"kind": "postgres", "name": "main", "table": table, **more}


INTO_T = job(into("t"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[PgServer]:
    """Not in pytest's own folder, which another run of pytest closes to the user postgres."""
    with tempfile.TemporaryDirectory(prefix="drover-pg-") as folder:
        with PgServer(Path(folder) / "server") as one:
            yield one


@pytest.fixture
def server(cluster: PgServer) -> Iterator[PgServer]:
    """With the empty table t(item) and an empty ledger; it runs again after the test."""
    cluster.sql("DROP TABLE IF EXISTS t; CREATE TABLE t (item text); GRANT INSERT ON t TO worker;"
                "TRUNCATE drover.ledger, drover.fenced")
    yield cluster
    cluster.signal_all(signal.SIGCONT)
    if not cluster.pid():
        cluster.start()


@pytest.fixture
def coordinator() -> Iterator[FakeCoordinator]:
    """It is silent while a test waits for the server, which must cost no session."""
    one = FakeCoordinator(lease_ms=60000)
    yield one
    one.close()


Start = Callable[..., Worker]


@pytest.fixture
def start(coordinator: FakeCoordinator, server: PgServer) -> Iterator[Start]:
    """Starts the worker; the coordinator has told it of the sink main."""
    made: list[Worker] = []

    def make(*args: str) -> Worker:
        made.append(Worker(coordinator.url, "--id", "w1", *args))
        coordinator.wait_session()
        tell(coordinator, server)
        return made[-1]

    yield make
    for worker in made:
        worker.kill()


def tell(coordinator: FakeCoordinator, server: PgServer) -> None:
    coordinator.sink("main", "postgres", url=server.url(), password="rows")


def items(server: PgServer) -> list[str]:
    return [row[0] for row in server.sql("SELECT item FROM t ORDER BY item")]


def fails(coordinator: FakeCoordinator) -> int:
    return sum(one.fail for one in coordinator.calls_of(MAIN))


def test_a_task_is_done_when_its_rows_are_there(
    coordinator: FakeCoordinator, server: PgServer, start: Start
) -> None:
    start()
    coordinator.assign([["a", "b"], ["c"], []], spec=INTO_T)
    results = coordinator.wait_results(3)
    assert items(server) == ["a", "b", "c"]  # when the last result came, not later
    assert [r.outcome for r in results] == [fc.DONE] * 3
    by_task = sorted(results, key=lambda r: r.task)
    assert [r.n_rows for r in by_task] == [2, 1, 0]
    assert all(r.rows is None for r in results)  # the store is no sink of the job
    assert [r.stats[f"rows.{MAIN}"] for r in by_task] == [2, 1, 0]
    assert server.value("SELECT count(*) FROM drover.ledger") == "3"
    coordinator.run_until(lambda: coordinator.calls_of(MAIN), "calls that went well")
    assert coordinator.calls_of(MAIN)[0].ok >= 1 and fails(coordinator) == 0
    coordinator.run_until(
        lambda: dict(coordinator.heartbeats[-1][8]).get(f"rows.{MAIN}") == 3, "rows in a heartbeat")


def test_rows_for_the_store_travel_too(
    coordinator: FakeCoordinator, server: PgServer, start: Start
) -> None:
    start()
    coordinator.assign([["a"]], spec=job(into("t"), {"kind": "store"}))
    result = coordinator.wait_results(1)[0]
    assert result.outcome == fc.DONE and result.rows[1] == 1 and items(server) == ["a"]


def test_many_tasks_share_a_transaction(
    coordinator: FakeCoordinator, server: PgServer, start: Start
) -> None:
    start("--slots", "500")
    coordinator.run_until(lambda: coordinator.credit[0] >= 400, "credit")
    coordinator.assign([[f"{i:03}"] for i in range(400)], spec=INTO_T)
    coordinator.wait_results(400)
    assert len(items(server)) == 400
    transactions = int(server.value("SELECT count(DISTINCT xmin::text) FROM t"))
    assert transactions < 40


def test_a_second_attempt_writes_nothing_twice(
    coordinator: FakeCoordinator, server: PgServer, start: Start
) -> None:
    start()
    for attempt in (1, 2):
        coordinator.assign([["a", "b"]], spec=INTO_T, attempt=attempt)
        result = coordinator.wait_results(attempt)[-1]
        assert result.outcome == fc.DONE and result.n_rows == 2
    assert items(server) == ["a", "b"]


def test_an_outage_is_waited_out(
    coordinator: FakeCoordinator, server: PgServer, start: Start
) -> None:
    start()
    coordinator.assign([["before"]], spec=INTO_T)
    coordinator.wait_results(1)
    server.stop()
    coordinator.assign([["a"], ["b"]], spec=INTO_T, first_task=2)
    coordinator.run_until(lambda: fails(coordinator) > 0, "a failure that is told")
    told = [one for one in coordinator.calls_of(MAIN) if one.fail][0]
    assert told.waiting >= 1 and told.error
    coordinator.run_for(0.5)
    assert len(coordinator.results) == 1 and fails(coordinator) < 6  # it waits between its calls
    server.start()
    results = coordinator.wait_results(3)[1:]
    assert [r.outcome for r in results] == [fc.DONE] * 2 and items(server) == ["a", "b", "before"]


def test_a_breaker_is_obeyed_and_probed(
    coordinator: FakeCoordinator, server: PgServer, start: Start
) -> None:
    start()
    coordinator.breaker(MAIN, fc.OPEN)
    coordinator.assign([["a"]], spec=INTO_T)
    coordinator.run_until(lambda: coordinator.calls_of(MAIN), "rows that wait are told at once")
    assert coordinator.calls_of(MAIN)[-1].waiting == 1
    coordinator.run_for(0.5)
    assert items(server) == [] and coordinator.results == []
    server.stop()
    seen = len(coordinator.calls_of(MAIN))
    coordinator.breaker(MAIN, fc.PROBE)
    coordinator.run_until(lambda: fails(coordinator) == 1, "the probe that failed")
    coordinator.run_for(1.0)
    assert fails(coordinator) == 1  # one call, whatever the time
    server.start()
    seen = len(coordinator.calls_of(MAIN))
    coordinator.breaker(MAIN, fc.PROBE)
    coordinator.wait_results(1)
    coordinator.run_until(lambda: any(one.ok for one in coordinator.calls_of(MAIN)[seen:]), "its success")
    coordinator.assign([["b"]], spec=INTO_T, first_task=2)
    coordinator.run_for(0.5)
    assert items(server) == ["a"]
    coordinator.breaker(MAIN, fc.CLOSED)
    coordinator.wait_results(2)
    assert items(server) == ["a", "b"]


def test_a_quarantined_worker_gives_its_tasks_back(
    coordinator: FakeCoordinator, server: PgServer, start: Start
) -> None:
    start()
    coordinator.breaker(MAIN, fc.OPEN)
    coordinator.assign([["a"], ["b"]], spec=INTO_T)
    coordinator.run_until(lambda: coordinator.calls_of(MAIN), "rows that wait")
    coordinator.breaker(MAIN, fc.QUARANTINED)
    results = coordinator.wait_results(2)
    assert [r.outcome for r in results] == [fc.RETURNED] * 2 and items(server) == []


def test_a_new_session_knows_of_no_breaker(
    coordinator: FakeCoordinator, server: PgServer, start: Start
) -> None:
    start()
    coordinator.breaker(MAIN, fc.OPEN)
    tokens = coordinator.assign([["a"]], spec=INTO_T)
    coordinator.run_until(lambda: coordinator.calls_of(MAIN), "rows that wait")
    coordinator.send(fc.RESYNC, ["test"])
    coordinator.wait_session(2)
    assert coordinator.held() == tokens  # also while its rows land
    coordinator.wait_results(1)
    assert items(server) == ["a"]


def test_rows_land_without_a_coordinator(server: PgServer) -> None:
    first = FakeCoordinator(epoch=1)
    worker = Worker(first.url, "--id", "w1")
    try:
        first.wait_session()
        tell(first, server)
        first.breaker(MAIN, fc.OPEN)
        tokens = first.assign([["a"]], spec=INTO_T)
        first.run_until(lambda: first.calls_of(MAIN), "rows that wait")
        first.close()
        wait_until(lambda: items(server) == ["a"], "rows without a session")
        second = FakeCoordinator(epoch=2, port=first.port)
        try:
            second.wait_session()
            assert second.held() == tokens
            assert second.wait_results(1)[0].outcome == fc.DONE
        finally:
            second.close()
    finally:
        worker.kill()
        first.close()


def test_a_revoked_task_leaves_the_queue(
    coordinator: FakeCoordinator, server: PgServer, start: Start
) -> None:
    """And a new lease of it does not stand beside the old one's rows in a batch."""
    start()
    coordinator.breaker(MAIN, fc.OPEN)
    tokens = coordinator.assign([["a"], ["b"]], spec=INTO_T)
    coordinator.run_until(lambda: coordinator.calls_of(MAIN), "rows that wait")
    coordinator.revoke(tokens, "stale")
    coordinator.assign([["a"]], spec=INTO_T)
    coordinator.breaker(MAIN, fc.CLOSED)
    coordinator.wait_results(1)
    coordinator.run_for(0.3)
    assert len(coordinator.results) == 1 and items(server) == ["a"] and fails(coordinator) == 0


def test_rows_that_wait_take_the_credit(
    coordinator: FakeCoordinator, server: PgServer, start: Start
) -> None:
    start("--slots", "4", "--memory-max", "4MiB")  # 1 MiB for rows that wait
    coordinator.breaker(MAIN, fc.OPEN)
    text, sent = "x" * 60000, 0
    full = coordinator.credit[0] - coordinator.assigned
    assert full == 5
    for _ in range(40):
        n = coordinator.credit[0] - coordinator.assigned
        if n <= 0:
            break
        coordinator.assign([[text, text]] * n, spec=INTO_T, first_task=sent + 1)
        sent += n
        coordinator.run_for(0.15)
    assert 8 <= sent <= 14  # of 120 kB each
    coordinator.run_for(0.3)
    assert coordinator.credit[0] == coordinator.assigned and coordinator.results == []
    assert coordinator.heartbeats[-1][2] > 900_000  # buffered
    assert dict(coordinator.heartbeats[-1][8])[f"landing.{MAIN}"] > 900_000
    coordinator.breaker(MAIN, fc.CLOSED)
    coordinator.wait_results(sent)
    coordinator.run_until(lambda: coordinator.credit[0] - coordinator.assigned >= 5, "credit again")
    assert len(items(server)) == 2 * sent
    coordinator.run_until(lambda: dict(coordinator.heartbeats[-1][8])[f"landing.{MAIN}"] == 0, "nothing waits")


def test_no_more_rows_are_made_than_may_wait(
    coordinator: FakeCoordinator, server: PgServer, start: Start
) -> None:
    """Also by tasks that are here already."""
    start("--slots", "4", "--memory-max", "4MiB")
    coordinator.breaker(MAIN, fc.OPEN)
    text = "x" * 60000
    coordinator.assign([[text, text]] * 30, spec=INTO_T)
    coordinator.assign([["for the store"]], job=2, first_task=31)
    coordinator.wait_results(1)  # goes on
    coordinator.run_until(lambda: coordinator.heartbeats[-1][1] > 0, "tasks that wait")
    assert 1_000_000 < coordinator.heartbeats[-1][2] < 1_300_000
    assert 20 <= coordinator.heartbeats[-1][1] < 25
    coordinator.breaker(MAIN, fc.CLOSED)
    coordinator.wait_results(31)
    assert len(items(server)) == 60


def test_bad_rows_and_refusals(
    coordinator: FakeCoordinator, server: PgServer, start: Start
) -> None:
    server.sql("DROP TABLE IF EXISTS n; CREATE TABLE n (item integer PRIMARY KEY); GRANT ALL ON n TO worker")
    start()
    coordinator.assign([["1", "two", "3"]], spec=job(into("n")))
    coordinator.assign([["4"], ["five"]], spec=job(into("n", bad_rows="fail")), job=2, first_task=2)
    coordinator.assign([["6"]], spec=job(into("nowhere")), job=3, first_task=4)
    coordinator.assign([["7"]], spec=job({**into("t"), "name": "other"}), job=4, first_task=5)
    results = {r.task: r for r in coordinator.wait_results(5)}
    assert results[1].outcome == fc.DONE and results[1].stats[f"rows.{MAIN}"] == 2
    [[name, reason, detail]] = results[1].rejects
    assert name == 'task 1, row 2: item="two"' and reason == "BAD_ROW"
    assert detail.startswith(f"{MAIN}, column item: ")
    assert results[2].outcome == fc.DONE and results[3].outcome == fc.FAIL
    assert results[3].error.startswith(f"SINK: {MAIN}: row 1, column ")
    assert results[4].outcome == fc.FAIL and "nowhere" in results[4].error
    assert results[5].outcome == fc.FAIL and '"other"' in results[5].error
    assert server.sql("SELECT item FROM n ORDER BY 1") == [["1"], ["3"], ["4"]]
    coordinator.run_for(0.3)
    assert fails(coordinator) == 0  # bad data is no fault of the sink


def test_a_wrong_password_is_the_sinks_fault(
    coordinator: FakeCoordinator, server: PgServer, start: Start
) -> None:
    start()
    coordinator.sink("main", "postgres", url=server.url(), password="wrong")
    coordinator.assign([["a"]], spec=INTO_T)
    coordinator.run_until(lambda: fails(coordinator) > 0, "a failure")
    assert "password authentication failed" in (coordinator.calls_of(MAIN)[-1].error or "")
    tell(coordinator, server)  # the administrator mends it
    assert coordinator.wait_results(1)[0].outcome == fc.DONE and items(server) == ["a"]


def test_one_sink_may_wait_for_another(
    coordinator: FakeCoordinator, server: PgServer, start: Start
) -> None:
    server.sql("DROP TABLE IF EXISTS u; CREATE TABLE u (item text); GRANT INSERT ON u TO worker")
    start()
    coordinator.sink("second", "postgres", url=server.url(), password="rows")
    coordinator.breaker("postgres:second", fc.OPEN)
    both = job(into("t"), {**into("u"), "name": "second"})
    coordinator.assign([["a"]], spec=both)
    wait_until(lambda: items(server) == ["a"], "rows in the first")
    coordinator.run_for(0.3)
    assert coordinator.results == []
    coordinator.breaker("postgres:second", fc.CLOSED)
    assert coordinator.wait_results(1)[0].stats == {f"rows.{MAIN}": 1, "rows.postgres:second": 1}
    # Where one refuses for good, nothing waits for the other.
    coordinator.breaker("postgres:second", fc.OPEN)
    coordinator.assign([["b"]], spec=job(into("nowhere"), {**into("u"), "name": "second"}), job=2, first_task=2)
    assert coordinator.wait_results(2)[1].outcome == fc.FAIL
    assert server.value("SELECT count(*) FROM u") == "1"


def test_sigterm_lands_what_it_can(
    coordinator: FakeCoordinator, server: PgServer, start: Start
) -> None:
    worker = start()
    coordinator.breaker(MAIN, fc.OPEN)
    coordinator.assign([["a"]], spec=INTO_T)
    coordinator.run_until(lambda: coordinator.calls_of(MAIN), "rows that wait")
    worker.signal(signal.SIGTERM)
    coordinator.run_for(0.3)
    assert worker.process.poll() is None  # within the time to drain
    coordinator.breaker(MAIN, fc.CLOSED)
    assert coordinator.wait_results(1)[0].outcome == fc.DONE
    coordinator.run_until(lambda: worker.process.poll() == 0, "the end")
    assert items(server) == ["a"]


def test_sigterm_gives_back_what_cannot_land(
    coordinator: FakeCoordinator, server: PgServer, start: Start
) -> None:
    worker = start("--drain-timeout", "300ms")
    coordinator.breaker(MAIN, fc.OPEN)
    coordinator.assign([["a"], ["b"]], spec=INTO_T)
    coordinator.run_until(lambda: coordinator.calls_of(MAIN), "rows that wait")
    worker.signal(signal.SIGTERM)
    results = coordinator.wait_results(2)
    assert [r.outcome for r in results] == [fc.RETURNED] * 2
    coordinator.run_until(lambda: worker.process.poll() == 0, "the end")


def test_a_server_that_hangs_does_not_keep_the_worker(
    coordinator: FakeCoordinator, server: PgServer, start: Start
) -> None:
    worker = start("--drain-timeout", "100ms")
    coordinator.assign([["a"]], spec=INTO_T)
    coordinator.wait_results(1)
    server.signal_all(signal.SIGSTOP)
    coordinator.assign([["b"]], spec=INTO_T, first_task=2)
    coordinator.run_until(lambda: coordinator.heartbeats[-1][2] > 0, "rows in a call")
    worker.signal(signal.SIGTERM)
    coordinator.run_until(lambda: worker.process.poll() is not None, "the end", wait_s=30)
    assert worker.process.poll() == 0


# ---- run ----

@pytest.fixture
def run(server: PgServer, tmp_path: Path) -> Callable[..., Any]:
    """drover-worker run with the sink main; what it prints, parsed when it went well."""
    (tmp_path / "password").write_text("rows\n")
    (tmp_path / "password").chmod(0o600)
    config = tmp_path / "worker.conf"
    config.write_text(f'[sink.main]\nurl = "{server.url()}"\npassword_file = "{tmp_path}/password"\n')

    def go(spec: str, lines: list[str], *args: str) -> Any:
        (tmp_path / "job.json").write_text(spec)
        (tmp_path / "input").write_text("".join(f"{line}\n" for line in lines))
        done = subprocess.run(
            [fc.binary(), "--config", str(config), "run", "--job", str(tmp_path / "job.json"),
             "--input", str(tmp_path / "input"), *args],
            capture_output=True, text=True, timeout=60, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else done

    return go


def test_run_lands_rows(server: PgServer, run: Callable[..., Any]) -> None:
    stats = run(INTO_T, [f"{i:04}" for i in range(2000)])
    assert stats["rows"] == 2000 and stats["stats"][f"rows.{MAIN}"] == 2000
    assert len(items(server)) == 2000
    run(INTO_T, ["0000"])  # another job to the sink
    assert len(items(server)) == 2001


def test_run_again_with_its_id(server: PgServer, run: Callable[..., Any]) -> None:
    run(INTO_T, ["a", "b", "b"], "--run-id", "nightly")
    stats = run(INTO_T, ["b", "c", "a"], "--run-id", "nightly")
    assert items(server) == ["a", "b", "c"] and stats["state"] == "done"
    run(INTO_T, ["a"], "--run-id", "weekly")
    assert items(server) == ["a", "a", "b", "c"]


def test_run_again_tries_what_had_no_rows(server: PgServer, run: Callable[..., Any]) -> None:
    site = ScrapeServer()
    try:
        url = f"http://127.0.0.1:{site.listen()}/flaky/x?n=1&status=404"
        spec = json.dumps({"drover": 1, "sinks": [into("t")], "stages": [
            {"kind": "scrape", "extract": {"item": "title::text"}, "robots": False}]})
        again = ("--run-id", "x", "--allow-net", "127.0.0.0/8")
        assert run(spec, [url], *again)["rejects_by_reason"] == {"HTTP_404": 1}
        assert run(spec, [url], *again)["rows"] == 1 and len(items(server)) == 1
    finally:
        site.close()


def test_run_stops_at_a_signal(server: PgServer, run: Callable[..., Any], tmp_path: Path) -> None:
    """A call that does not end keeps it for a moment only."""
    run(INTO_T, ["first"])
    lock = subprocess.Popen(["psql", "-Xq", server.socket_url(), "-c",
                             "BEGIN; LOCK TABLE t IN SHARE MODE; SELECT pg_sleep(60)"])
    wait_until(lambda: server.value("SELECT count(*) FROM pg_locks WHERE mode = 'ShareLock' AND granted") == "1",
               "the lock")
    process = subprocess.Popen(
        [fc.binary(), "--config", str(tmp_path / "worker.conf"), "run", "--job", str(tmp_path / "job.json"),
         "--input", str(tmp_path / "input")], stdout=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: server.value("SELECT count(*) FROM pg_locks WHERE NOT granted") == "1", "a call that waits")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
        assert process.returncode == 130 and json.loads(out)["state"] == "stopped"
    finally:
        process.kill()
        lock.kill()
        lock.wait()
        server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%'"
                   " AND pid <> pg_backend_pid()")


def test_run_says_what_is_wrong_before_it_begins(server: PgServer, run: Callable[..., Any]) -> None:
    for spec, status, words in [
        (job({**into("t"), "name": "other"}), 2, '--sink-other-url'),
        (job(into("nowhere")), 2, "sinks[0].table: "),
        (job({"kind": "redis", "name": "main", "prefix": "x", "mode": "list"}), 2, "is a sink of the kind postgres"),
    ]:
        done = run(spec, ["a"])
        assert done.returncode == status and words in done.stderr, done
    server.stop()
    done = run(INTO_T, ["a"])
    assert done.returncode == 1 and 'sink "main": ' in done.stderr


def test_run_rejects_what_a_sink_refuses(server: PgServer, run: Callable[..., Any], tmp_path: Path) -> None:
    server.sql("DROP TABLE IF EXISTS n; CREATE TABLE n (item integer); GRANT ALL ON n TO worker")
    stats = run(job(into("n")), ["1", "two"], "--rejects", str(tmp_path / "rejects"))
    assert stats["rejects_by_reason"] == {"BAD_ROW": 1} and stats["stats"][f"rows.{MAIN}"] == 1
    assert '"two' in json.loads((tmp_path / "rejects").read_text())["input"]
    stats = run(job(into("n", bad_rows="fail")), ["3", "four"], "--run-id", "x")
    assert stats["rejects_by_reason"] == {"SINK": 1} and stats["failed_tasks"] == 1
    assert server.sql("SELECT item FROM n ORDER BY 1") == [["1"], ["3"]]
