"""The Python client with rows that are not in the store: submitted to real servers, landed by a real worker,
and read back from where they are."""

from __future__ import annotations

import asyncio
import os
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fleet import Coordinator, Process, find_binary, wait_until
from pg_server import PgServer
from redis_server import RedisServer

PACKAGE = pathlib.Path(__file__).resolve().parents[2] / "python"
sys.path.insert(0, str(PACKAGE))
import drover  # noqa: E402
from drover import AsyncClient, Client, File, Postgres, Redis, Store, noop  # noqa: E402

ITEMS = [f"text-{i}" for i in range(500)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PgServer]:
    with PgServer(tmp_path_factory.mktemp("servers") / "pg") as one:
        one.sql("CREATE TABLE pages (item text, at timestamptz DEFAULT now(), drover_job uuid, drover_task bigint);"
                "CREATE TABLE plain (item text);"
                "CREATE TABLE latest (item text PRIMARY KEY, drover_job uuid);"
                "GRANT INSERT ON pages, plain TO worker; GRANT SELECT, INSERT, UPDATE ON latest TO worker;")
        yield one


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as one:
        yield one


@pytest.fixture
def coordinator(coordinators: Callable[..., Coordinator], server: PgServer, redis_server: RedisServer,
                tmp_path: pathlib.Path) -> Coordinator:
    password = tmp_path / "password"
    password.write_text("rows\n")
    password.chmod(0o600)
    return coordinators(**{"sink.main.url": server.url(), "sink.main.password_file": password,
                           "sink.cache.url": redis_server.url(),
                           "sink.disk.url": f"file://{tmp_path}/rows"}).start()


@pytest.fixture
def worker(tmp_path: pathlib.Path, coordinator: Coordinator) -> Iterator[Process]:
    process = Process("worker", [str(find_binary("drover-worker")), "--coordinator", coordinator.back,
                                 "--id", "w1", "--loops", "1"], tmp_path)
    yield process
    process.kill()


@pytest.fixture
def fleet(coordinator: Coordinator, server: PgServer, redis_server: RedisServer) -> Iterator[Client]:
    known = {"main": server.socket_url(), "cache": redis_server.url()}
    with Client(coordinator.front, sinks=known) as client:
        yield client


def texts(rows: Any) -> list[str]:
    return sorted(row["item"] for row in rows)


def test_rows_in_postgres(fleet: Client, worker: Process, server: PgServer) -> None:
    other = fleet.submit(noop(["other"], rows=True), sink="main", table="pages")
    job = fleet.submit(noop(ITEMS, rows=True), sink="main", table="pages", task_items=10)
    rows = list(job.results())
    assert texts(rows) == sorted(ITEMS)
    assert set(rows[0]) == {"item", "at"} and rows[0]["at"].tzinfo
    assert (job.sink, job.sinks) == ("postgres:main table pages", [Postgres("pages", "main")])
    assert texts(other.results()) == ["other"]
    state = job.status()
    assert (state.rows, state.stats["rows.postgres:main"], state.held) == (500, 500, 0)
    assert server.value(f"SELECT count(*) FROM pages WHERE drover_job = '{state.uid}'") == "500"
    frame = job.to_pandas()
    assert sorted(frame["item"]) == sorted(ITEMS)


@pytest.mark.parametrize("mode, key", [("hash", "item"), ("stream", None), ("list", None)])
def test_rows_in_redis(fleet: Client, worker: Process, redis_server: RedisServer, mode: str,
                       key: str | None) -> None:
    job = fleet.submit(noop(ITEMS, rows=True), sink="cache", prefix=f"p-{mode}", mode=mode, key=key, task_items=10)
    assert texts(job.results()) == sorted(ITEMS)
    assert job.sink == f"redis:cache prefix p-{mode}"
    assert job.sinks == [Redis(f"p-{mode}", "cache", mode, [key] if key else None)]
    state = job.status()
    assert state.stats["rows.redis:cache"] == 500

    def told() -> bool:
        return redis_server.client().hget(f"p-{mode}:{{{state.uid}}}:job", "state") == b"done"

    wait_until(told, "the end in Redis")


@pytest.mark.parametrize("mode, directory", [("ndjson", None), ("csv", "pages")])
def test_rows_in_files(fleet: Client, worker: Process, tmp_path: pathlib.Path, mode: str, directory: str | None,
                       monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows").mkdir()
    monkeypatch.setenv("DROVER_SINK_DISK_URL", f"file://{tmp_path}/rows")
    job = fleet.submit(noop(ITEMS, rows=True), sink=File(directory, "disk", mode), task_items=10)
    assert texts(job.results()) == sorted(ITEMS)
    assert job.sinks == [File(directory, "disk", mode)]
    assert fleet.breakers() and job.status().stats["rows.file:disk"] == 500


def test_several_sinks(fleet: Client, worker: Process) -> None:
    job = fleet.submit(noop(ITEMS[:20], rows=True), sink=[Store(), Postgres("latest", "main", "upsert", "item")])
    assert texts(job.results()) == texts(job.results(sink="main")) == sorted(ITEMS[:20])
    assert [one.name for one in job.sinks] == ["store", "main"]


def test_asyncio(coordinator: Coordinator, worker: Process, server: PgServer) -> None:
    async def run() -> None:
        async with AsyncClient(coordinator.front, sinks={"main": server.socket_url()}) as fleet:
            job = await fleet.submit(noop(ITEMS, rows=True), sink="main", table="pages")
            assert texts([row async for row in job.results()]) == sorted(ITEMS)
            assert await job.sink == "postgres:main table pages"
            assert [one.name for one in await job.sinks] == ["main"]
            assert len(await job.to_pandas()) == 500
            assert {b["downstream"] for b in await fleet.breakers()} == {"postgres:main", "redis:cache", "file:disk"}
            assert [r["reason"] for r in (await job.explain())["reasons"]] == ["ended"]

    asyncio.run(run())


def test_where_it_is_must_be_known(coordinator: Coordinator, worker: Process, server: PgServer,
                                   monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(coordinator.front) as fleet:
        job = fleet.submit(noop(["a"], rows=True), sink="main", table="pages")
        with pytest.raises(drover.NotReadable, match="postgres:main table pages.*DROVER_SINK_MAIN_URL"):
            list(job.results())
        monkeypatch.setenv("DROVER_SINK_MAIN_URL", server.socket_url())
        assert texts(job.results()) == ["a"]


def test_a_table_that_does_not_tell_jobs_apart(fleet: Client, worker: Process) -> None:
    job = fleet.submit(noop(["a"], rows=True), sink="main", table="plain")
    job.wait(timeout=30)
    with pytest.raises(drover.NotReadable, match='SELECT "item" FROM "plain"'):
        list(job.results())


def test_what_does_not_fit_is_refused(fleet: Client) -> None:
    for options, words in (({"sink": "main", "table": "absent"}, r"sinks\[0\]\.table.*absent"),
                           ({"sink": "mian", "table": "pages"}, 'did you mean "main"'),
                           ({"sink": "main", "prefix": "p", "key": "item"}, "a sink of postgres, not of redis")):
        with pytest.raises(drover.InvalidSpec, match=words):
            fleet.submit(noop([], rows=True), **options)  # type: ignore[arg-type]


def test_held_while_the_sink_fails_and_explained(fleet: Client, worker: Process, server: PgServer,
                                                 caplog: pytest.LogCaptureFixture) -> None:
    job = fleet.submit(noop(ITEMS[:50], rows=True), sink="main", table="pages", task_items=1)
    job.wait(timeout=30)
    server.stop()
    try:
        job = fleet.submit(noop(ITEMS[:50], rows=True), sink="main", table="pages", task_items=1)
        assert "could not be asked" in caplog.text

        def opened() -> Any:
            return next((b for b in fleet.breakers() if b["state"] == "open" and b["error"]), None)

        error = wait_until(opened, "an open breaker")["error"]
        assert "refused" in error or "closed the connection" in error
        reasons = {r["reason"] for r in job.explain()["reasons"]}
        assert reasons & {"landing", "breaker"}
    finally:
        server.start()
    state = job.wait(timeout=60)
    assert (state.state, state.rows, state.dead, state.held) == ("done", 50, 0, 0)
    assert server.value(f"SELECT count(*) FROM pages WHERE drover_job = '{state.uid}'") == "50"
    assert server.value(f"SELECT sum(nrows) FROM drover.ledger WHERE job = '{state.uid}'") == "50"
