"""Transforms while workers and the coordinator are killed: the answer is that of an undisturbed run, also
when the task dies that brings the parts together, and sinks have what PostgreSQL itself makes of the file.

DROVER_TRANSFORM_MB (default 200) is the size of the file that goes into PostgreSQL; the long suite uses
4000.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import pytest

import transform_data as data
from fleet import Coordinator, Front, wait_until
from mortal_fleet import MortalFleet
from pg_server import PgServer
from redis_server import RedisServer
from transform_data import GROUP_SQL, ROWS_SQL

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python"))
from drover import Client, File, Job, JobStatus, Postgres, Redis, transform  # noqa: E402

PART = 64 * 1024
MIB = 1 << 20
SIZE_MB = int(os.environ.get("DROVER_TRANSFORM_MB", "200"))
WAIT_S = 120 + SIZE_MB
MANY_GROUPS_SQL = "SELECT id, count(*) AS n, sum(amount) AS total FROM input GROUP BY id ORDER BY total DESC, id::bigint"


class Fleet(MortalFleet):
    """Two workers that may read files under `roots`, and a client."""

    def __init__(self, folder: Path, coordinator: Coordinator) -> None:
        self.roots = folder / "roots"
        self.roots.mkdir()
        super().__init__(folder, coordinator, "--input-roots", str(self.roots))
        self.client = Client(coordinator.front, timeout=30)

    def close(self) -> None:
        self.client.close()
        super().close()

    def holder(self) -> str:
        """The worker that has a task, when one alone has."""
        def only() -> str | None:
            found = [one["worker"] for one in self.client.workers() if one["leased"] > 0]
            return found[0] if len(found) == 1 else None

        return str(wait_until(only, "one worker with a task"))


Fleets = Callable[..., Fleet]


@pytest.fixture
def fleets(tmp_path: Path, coordinators: Callable[..., Coordinator]) -> Iterator[Fleets]:
    made: list[Fleet] = []

    def make(**options: Any) -> Fleet:
        made.append(Fleet(tmp_path, coordinators(lease="1s", kills_max=50, **options)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def in_parts(path: Path, part: int = PART) -> int:
    """About how many tasks read a file."""
    return path.stat().st_size // part


def row_after(file: BinaryIO, offset: int) -> int:
    """Where the next row begins, in a file without quotes."""
    file.seek(offset - 1)
    file.readline()
    return file.tell()


def in_tasks(path: Path, part: int = PART) -> int:
    """How many tasks a file comes to, with those that cut it: eight parts at first, and then as many as there are
    before, by a task that takes the rest."""
    size, begin, tasks = path.stat().st_size, 0, 0
    with path.open("rb") as file:
        while size > begin + 2 * part:
            n, first = (size - begin) // part, max(8, begin // part)
            tasks += 1 + min(n, first)
            if n <= first:
                return tasks
            begin = row_after(file, begin + first * part)
    return tasks + 1


def until(job: Job, what: str, check: Callable[[JobStatus], bool]) -> JobStatus:
    """Waits for a moment of an open job."""
    def reached() -> JobStatus | None:
        state = job.status()
        if check(state):
            return state
        assert state.state == "open", f"the job was over before {what}: {state}"
        return None

    found: JobStatus = wait_until(reached, what, WAIT_S)
    return found


def rows_of(job: Job) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in job.results()]


@pytest.mark.parametrize("sql", [ROWS_SQL, GROUP_SQL])
def test_kills_in_the_middle_change_nothing(fleets: Fleets, sql: str) -> None:
    fleet = fleets()
    table = data.table(250_000)
    path = data.write(fleet.roots / "table.csv", table)
    parts = in_parts(path)
    assert parts > 60
    job = fleet.client.submit(transform(f"file://{path}", sql, task_bytes=PART))
    for share, victim in ((8, "worker-1"), (4, "coordinator"), (3, "worker-2"), (2, "coordinator")):
        until(job, f"1/{share}", lambda state, share=share: state.done > parts / share)
        if victim == "coordinator":
            fleet.kill_coordinator()
        else:
            fleet.kill_worker(victim)
    state = job.wait(WAIT_S)
    assert (state.state, state.dead, state.rejects) == ("done", 0, 0)
    rows, want = rows_of(job), data.answer(sql, table)
    assert rows == want if data.is_sorted(sql) else sorted(rows) == sorted(want)


@pytest.mark.parametrize("victim", ["worker", "coordinator", "both"])
def test_kills_while_the_parts_are_brought_together(fleets: Fleets, victim: str) -> None:
    """So many groups that it takes a while."""
    fleet = fleets()
    table = data.table(150_000)
    path = data.write(fleet.roots / "table.csv", table)
    job = fleet.client.submit(transform(f"file://{path}", MANY_GROUPS_SQL, task_bytes=PART))
    all_tasks = in_tasks(path) + 1
    until(job, "the last task", lambda state: state.tasks == all_tasks and state.running == 1)
    holder = fleet.holder()
    if victim != "worker":
        fleet.kill_coordinator()
    if victim != "coordinator":
        fleet.kill_worker(holder)
    assert job.status().state == "open", "it was over before something died"
    state = job.wait(WAIT_S)
    assert (state.state, state.rows, state.tasks, state.dead) == ("done", len(table), all_tasks, 0)
    ids = sorted(table, key=lambda row: (-row[1], row[0]))
    assert rows_of(job) == [(row[0], 1, row[1]) for row in ids]


def test_a_limit_on_rejects_counts_over_restarts(fleets: Fleets) -> None:
    """Rejects before the coordinator died and after it."""
    fleet = fleets()
    for name in ("first", "second"):
        (fleet.roots / f"{name}.csv").write_text("id,amount\n" + "1,dear\n" * 60)
    front = Front(fleet.coordinator.front)
    spec = {"stages": [{"kind": "transform", "sql": "SELECT sum(amount) AS s FROM input", "rejects_max": 100}]}
    number = front.submit([str(fleet.roots / "first.csv")], seal=False, **spec)
    front.close()
    job = fleet.client.job(number)
    until(job, "the first file", lambda state: state.rejects == 60)
    fleet.kill_coordinator()
    front = Front(fleet.coordinator.front)
    front.call("job.input", job=number, chunk=1, items=[str(fleet.roots / "second.csv")])
    front.call("job.seal", job=number)
    front.close()
    state = job.wait(WAIT_S, on_error="return")
    assert (state.state, state.rejects, state.rows) == ("failed", 120, 0)
    fleet.kill_coordinator()
    assert fleet.client.job(number).status().error == "120 rejects, and rejects_max allows 100"


# ---- into sinks ----


TABLES = """
CREATE TABLE loaded (id bigint, amount numeric, date text, category text);
CREATE TABLE rows (id text, gross numeric, category text);
CREATE TABLE sums (category text PRIMARY KEY, n bigint, total numeric, least numeric);
GRANT INSERT, UPDATE, SELECT ON rows, sums TO worker;
"""
SUMS_SQL = "SELECT category, count(*) AS n, sum(amount) AS total, min(amount) AS least FROM input GROUP BY category"


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[PgServer]:
    with PgServer(tmp_path / "pg", fsync="off", max_wal_size="4GB") as server:
        server.sql(TABLES)
        yield server


def large_file(path: Path, size_mb: int) -> int:
    """The same block of rows again and again; how many rows there are."""
    rows = data.table(40_000)
    block = data.csv_of(rows, header="")
    n = max(size_mb * MIB // len(block), 1)
    with path.open("wb") as out:
        out.write(data.HEADER.encode())
        for _ in range(n):
            out.write(block)
    return n * len(rows)


def into_postgres(fleets: Fleets, folder: Path, postgres: PgServer) -> Fleet:
    password = folder / "rows.password"
    password.write_text("rows\n")
    password.chmod(0o600)
    return fleets(**{"sink_main_url": postgres.url(), "sink_main_password_file": password})


def end_with_kills(fleet: Fleet, job: Job, tasks: int) -> JobStatus:
    """Both workers die on the way, and the coordinator."""
    until(job, "a tenth", lambda state: state.done > tasks // 10)
    fleet.kill_worker("worker-1")
    until(job, "a third", lambda state: state.done > tasks // 3)
    fleet.kill_coordinator()
    until(job, "half", lambda state: state.done > tasks // 2)
    fleet.kill_worker("worker-2")
    state = job.wait(WAIT_S)
    assert (state.state, state.dead, state.rejects) == ("done", 0, 0)
    return state


def test_a_large_file_into_postgres(fleets: Fleets, tmp_path: Path, postgres: PgServer) -> None:
    """Rows are appended, and groups merged by the sink alone; both as PostgreSQL has it over the file."""
    fleet = into_postgres(fleets, tmp_path, postgres)
    path = fleet.roots / "large.csv"
    n = large_file(path, SIZE_MB)
    part = max(path.stat().st_size // 64, PART)

    merged = fleet.client.submit(
        transform(f"file://{path}", SUMS_SQL, task_bytes=part),
        sink=Postgres("sums", "main", "merge", "category", {"n": "count", "total": "sum", "least": "min"}))
    tasks = end_with_kills(fleet, merged, 64).tasks
    assert tasks == in_tasks(path, part), "nothing is gathered"
    some = "SELECT id, amount FROM input WHERE id::bigint % 10 = 0"
    appended = fleet.client.submit(transform(f"file://{path}", some.replace("amount", "round(amount * 1.21, 2) AS gross"),
                                             task_bytes=part), sink="main", table="rows")
    end_with_kills(fleet, appended, 64)

    postgres.psql(f"\\copy loaded FROM '{path}' (FORMAT csv, HEADER)")
    assert postgres.value("SELECT count(*) FROM loaded") == str(n)
    assert postgres.sql("SELECT category, n, total, least FROM sums ORDER BY 1") == postgres.sql(
        "SELECT category, count(*), sum(amount), min(amount) FROM loaded GROUP BY 1 ORDER BY 1")
    assert postgres.sql("SELECT count(*), sum(gross), sum(id::bigint) FROM rows") == postgres.sql(
        "SELECT count(*), sum(round(amount * 1.21, 2)), sum(id) FROM loaded WHERE id % 10 = 0")


def test_groups_into_postgres_that_must_be_gathered(fleets: Fleets, tmp_path: Path, postgres: PgServer) -> None:
    """Rows of groups that are appended: a sink that does not add up gets the answer, once."""
    fleet = into_postgres(fleets, tmp_path, postgres)
    path = fleet.roots / "some.csv"
    large_file(path, 12)
    job = fleet.client.submit(transform(f"file://{path}", SUMS_SQL, task_bytes=PART), sink="main", table="sums")
    end_with_kills(fleet, job, in_parts(path))
    postgres.psql(f"\\copy loaded FROM '{path}' (FORMAT csv, HEADER)")
    assert postgres.sql("SELECT category, n, total, least FROM sums ORDER BY 1") == postgres.sql(
        "SELECT category, count(*), sum(amount), min(amount) FROM loaded GROUP BY 1 ORDER BY 1")


def test_into_redis_and_files(fleets: Fleets, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    with RedisServer(tmp_path / "redis") as redis:
        fleet = fleets(**{"sink_cache_url": redis.url(), "sink_archive_url": f"file://{archive}"})
        table = data.table(60_000)
        path = data.write(fleet.roots / "table.csv", table)
        job = fleet.client.submit(
            transform(f"file://{path}", "SELECT id, amount::numeric AS amount FROM input", task_bytes=PART),
            sink=[Redis("rows", "cache", "hash", "id"), File("rows", "archive", "csv")])
        end_with_kills(fleet, job, in_parts(path))
        cache = redis.client(decode_responses=True)
        there = {key.rsplit(":", 1)[1]: cache.hget(key, "amount") for key in cache.scan_iter("rows:*", count=10_000)
                 if cache.type(key) == "hash" and cache.hexists(key, "amount")}
        want = {str(row[0]): row[1] for row in table}
        assert {key: Decimal(value) for key, value in there.items()} == want
    files: dict[str, Path] = {}
    for manifest in archive.rglob("manifest-*.ndjson"):
        for line in manifest.read_text().splitlines():
            name = str(json.loads(line)["file"])
            files[name] = manifest.parent / name
    rows = Counter((row["id"], Decimal(row["amount"])) for one in files.values()
                   for row in csv.DictReader(one.open(newline="")))
    assert rows == Counter((str(row[0]), row[1]) for row in table)
