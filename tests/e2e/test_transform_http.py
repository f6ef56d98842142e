"""Transforms over files of web servers: whole and in parts by ranges, changed files, failures that pass and
failures that do not, what may not be reached."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import transform_data as data
from file_server import FileServer
from fleet import Coordinator, find_binary, wait_until
from mortal_fleet import MortalFleet
from transform_data import GROUP_SQL, ROWS_SQL

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python"))
from drover import Client, Job, Retry, transform  # noqa: E402

PART = 64 * 1024
TABLE = data.table(20_000)
LOCAL = ("--allow-net", "127.0.0.0/8")
QUICK = Retry(attempts=3, backoff=0.05, backoff_max=0.1, budget_percent=1000)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as one:
        one.files["/table.csv"] = data.csv_of(TABLE)
        yield one


@pytest.fixture
def client_of(tmp_path: Path, coordinators: Callable[..., Coordinator]) -> Iterator[Callable[..., Client]]:
    """A client of a fleet whose workers have these arguments."""
    fleets: list[MortalFleet] = []
    clients: list[Client] = []

    def make(*arguments: str) -> Client:
        fleets.append(MortalFleet(tmp_path, coordinators(), *arguments))
        clients.append(Client(fleets[-1].coordinator.front))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
    for fleet in fleets:
        fleet.close()


@pytest.fixture
def client(client_of: Callable[..., Client]) -> Client:
    return client_of(*LOCAL)


def rows_of(job: Job) -> list[tuple[Any, ...]]:
    state = job.wait(60)
    assert (state.state, state.rejects, state.dead) == ("done", 0, 0), state
    return [tuple(row.values()) for row in job.results()]


def dies(job: Job) -> str:
    state = job.wait(60, on_error="return")
    assert (state.state, state.rows) == ("failed", 0), state
    return job.dead()[0].error


@pytest.mark.parametrize("sql", [ROWS_SQL, GROUP_SQL])
@pytest.mark.parametrize("version", ["etag", "modified"])
def test_in_parts_by_ranges(server: FileServer, client: Client, sql: str, version: str) -> None:
    server.etag = version == "etag"
    job = client.submit(transform(server.url("/table.csv"), sql, task_bytes=PART))
    rows, want = rows_of(job), data.answer(sql, TABLE)
    assert rows == want if data.is_sorted(sql) else sorted(rows) == sorted(want)
    assert job.status().tasks > 8
    whole = [wanted for _, wanted in server.requests if wanted is None]
    assert len(whole) == 1, "only to cut it"
    heads = [wanted for _, wanted in server.requests if wanted and wanted.startswith("bytes=0-")]
    assert len(heads) == len(server.requests) // 2, "each part has the names of the columns, and its own bytes"


@pytest.mark.parametrize("lacks", ["ranges", "versions"])
def test_whole_where_parts_cannot_be(server: FileServer, client: Client, lacks: str) -> None:
    if lacks == "ranges":
        server.ranges = False
    else:
        server.etag = server.modified = False
    job = client.submit(transform(server.url("/table.csv"), GROUP_SQL, task_bytes=PART))
    assert rows_of(job) == data.answer(GROUP_SQL, TABLE)
    assert server.requests == [("/table.csv", None)] and job.status().tasks == 2


def test_redirects_and_several_files(server: FileServer, client: Client) -> None:
    server.files["/other.csv"] = data.csv_of(TABLE[:10])
    server.redirects["/moved"] = server.url("/other.csv")
    job = client.submit(transform([server.url("/table.csv"), server.url("/moved")], GROUP_SQL))
    assert rows_of(job) == data.answer(GROUP_SQL, TABLE + TABLE[:10])
    server.redirects["/round"] = server.url("/round")
    assert "/round: more than 10 redirects" in dies(client.submit(transform(server.url("/round"), GROUP_SQL)))


@pytest.mark.parametrize("conditions", [True, False])
def test_a_file_that_changes(server: FileServer, client: Client, conditions: bool) -> None:
    """After it was cut: also where the server does not look at conditions."""
    server.conditions = conditions

    def change(number: int, path: str) -> int:
        if number > 4:
            server.version = 2
        return 0

    server.fail = change
    job = client.submit(transform(server.url("/table.csv"), GROUP_SQL, task_bytes=PART), retry=QUICK)
    said = dies(job)
    assert server.url("/table.csv") in said and "it has changed since it was cut" in said


def test_failures_that_pass(server: FileServer, client: Client) -> None:
    """503, 429 and a connection that breaks in the middle are tried again."""
    failures = {1: 503, 2: 429, 3: -1, 9: 503, 10: -1, 14: 500}
    server.fail = lambda number, path: failures.get(number, 0)
    job = client.submit(transform(server.url("/table.csv"), GROUP_SQL, task_bytes=PART),
                        retry=Retry(attempts=8, backoff=0.05, backoff_max=0.1, budget_percent=1000))
    assert rows_of(job) == data.answer(GROUP_SQL, TABLE)


@pytest.mark.parametrize(("status", "requests"), [(503, 3), (404, 1), (403, 1), (418, 1)])
def test_failures_that_stay(server: FileServer, client: Client, status: int, requests: int) -> None:
    server.fail = lambda number, path: status
    said = dies(client.submit(transform(server.url("/table.csv"), GROUP_SQL), retry=QUICK))
    assert f"{server.url('/table.csv')}: HTTP {status}" in said
    assert len(server.requests) == requests


def test_addresses_that_may_not_be_reached(server: FileServer, client_of: Callable[..., Client]) -> None:
    """Without --allow-net the workers' own network is out of reach, also by a redirect."""
    said = dies(client_of().submit(transform(server.url("/table.csv"), GROUP_SQL), retry=QUICK))
    assert "AUTH" in said and "its address is not public" in said and server.url("/table.csv") in said
    assert server.requests == []


def test_too_large_and_gone(server: FileServer, client_of: Callable[..., Client]) -> None:
    client = client_of(*LOCAL, "--input-bytes-max", "64KiB")
    said = dies(client.submit(transform(server.url("/table.csv"), GROUP_SQL), retry=QUICK))
    assert "LIMIT" in said and "more than 65536 bytes (input_bytes_max)" in said
    server.close()
    said = dies(client.submit(transform(server.url("/table.csv"), GROUP_SQL), retry=QUICK))
    assert "UNAVAILABLE" in said and server.url("/table.csv") in said


def test_a_cancelled_download_ends(server: FileServer, client: Client) -> None:
    """And the worker is free for the next one."""
    server.files["/slow.csv"] = b"id\n" + b"1\n" * 10_000_000
    job = client.submit(transform(server.url("/slow.csv"), "SELECT count(*) AS n FROM input"))
    wait_until(lambda: server.requests, "the download has begun")
    job.cancel()
    assert job.wait(20, on_error="return").state == "cancelled"


def test_run_alone(server: FileServer, tmp_path: Path) -> None:
    def run(*words: str, status: int = 0) -> str:
        done = subprocess.run([str(find_binary("drover-worker")), "run", *words], cwd=tmp_path, text=True,
                              capture_output=True, timeout=60, check=False)
        assert done.returncode == status, done
        return done.stdout if status == 0 else done.stderr

    one = run("--sql", GROUP_SQL, server.url("/table.csv"), "--loops", "1", *LOCAL)
    assert len(one.splitlines()) > 5
    assert run("--sql", GROUP_SQL, server.url("/table.csv"), "--loops", "2", *LOCAL) == one
    (tmp_path / "table.csv").write_bytes(data.csv_of(TABLE))
    assert run("--sql", GROUP_SQL, "table.csv") == one
    assert "its address is not public" in run("--sql", GROUP_SQL, server.url("/table.csv"), status=1)
    assert list(tmp_path.iterdir()) == [tmp_path / "table.csv"]
