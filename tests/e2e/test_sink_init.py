"""`drover sink init` makes a database ready: what it makes is enough for a fleet, and no more than needed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleet import Coordinator, Front, Process, find_binary
from pg_server import PgServer

JOB = {"drover": 1, "stages": [{"kind": "noop", "rows": True}],
       "sinks": [{"kind": "postgres", "name": "main", "table": "made"},
                 {"kind": "postgres", "name": "main", "table": "kept", "mode": "upsert", "key": ["item"]}]}


def drover(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(find_binary("drover")), *map(str, words)], text=True, capture_output=True,
                          timeout=60, check=False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PgServer]:
    with PgServer(tmp_path / "pg", schema=False) as one:
        yield one


def files(folder: Path) -> tuple[Path, Path]:
    job, password = folder / "job.json", folder / "password"
    job.write_text(json.dumps(JOB))
    password.write_text("a secret'\n")
    password.chmod(0o600)
    return job, password


def test_from_an_empty_database_to_rows(server: PgServer, tmp_path: Path,
                                        coordinators: Callable[..., Coordinator],
                                        fronts: Callable[..., Front]) -> None:
    job, password = files(tmp_path)
    for _ in range(2):  # again changes nothing
        done = drover("sink", "init", server.socket_url(), "--worker-role", "rows-role", "--password-file",
                      password, "--for-job", job)
        assert done.returncode == 0, done.stderr
    assert "rows-role" in done.stdout
    assert "a secret" not in server.log.read_text()
    coordinator = coordinators(**{"sink.main.url": server.url("rows-role"), "sink.main.password_file": password})
    coordinator.start()
    worker = Process("worker", [str(find_binary("drover-worker")), "--coordinator", coordinator.back,
                                "--id", "w", "--loops", "1"], tmp_path)
    try:
        front = fronts(coordinator)
        number = front.submit(["a", "b", "a"], **JOB)
        assert front.wait(number)["state"] == "done"
    finally:
        worker.kill()
    assert server.sql("SELECT item, drover_task IS NOT NULL FROM made ORDER BY 1") == [
        ["a", "t"], ["a", "t"], ["b", "t"]]
    assert server.sql("SELECT item FROM kept ORDER BY 1") == [["a"], ["b"]]
    # The role can do nothing else.
    for statement in ("SELECT * FROM made", "DELETE FROM kept", "SELECT * FROM drover.ledger",
                      "TRUNCATE drover.ledger", "CREATE TABLE x (y int)"):
        with pytest.raises(AssertionError, match="permission denied"):
            server.sql(f'SET ROLE "rows-role"; {statement}')


def test_a_table_that_is_another_one_is_told(server: PgServer, tmp_path: Path) -> None:
    job, _ = files(tmp_path)
    server.sql("CREATE TABLE made (other text)")
    done = drover("sink", "init", server.socket_url(), "--for-job", job)
    assert done.returncode == 1 and 'table: "made" has no column "item"' in done.stderr


def test_a_dry_run_does_nothing(server: PgServer, tmp_path: Path) -> None:
    job, _ = files(tmp_path)
    done = drover("sink", "init", server.socket_url(), "--for-job", job, "--dry-run")
    assert done.returncode == 0 and 'CREATE TABLE IF NOT EXISTS "made"' in done.stdout
    assert server.value("SELECT count(*) FROM pg_namespace WHERE nspname = 'drover'") == "0"
    server.sql(done.stdout)
    assert server.value("SELECT drover.version()") == "2"


def test_what_is_wrong_is_told(server: PgServer, tmp_path: Path) -> None:
    assert drover("sink", "init", "postgresql:///x?host=/nowhere").returncode == 1
    done = drover("sink", "init", server.socket_url(), "--for-job", tmp_path / "none.json")
    assert done.returncode == 1 and "none.json" in done.stderr
    (tmp_path / "store.json").write_text(json.dumps({**JOB, "sinks": [{"kind": "store"}]}))
    done = drover("sink", "init", server.socket_url(), "--for-job", tmp_path / "store.json")
    assert done.returncode == 1 and 'no sink of kind "postgres"' in done.stderr
