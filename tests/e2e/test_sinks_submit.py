"""What the coordinator itself asks of a real PostgreSQL: whether a job fits when it is submitted, whether the
sink answers, and that a cancelled job is fenced there."""

from __future__ import annotations

import json
import pathlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fleet import Coordinator, Front, RemoteError, find_binary, wait_until
from pg_server import PgServer

ROWS = [{"kind": "noop", "rows": True}]
TO_MAIN = {"kind": "postgres", "name": "main", "table": "t"}


@pytest.fixture
def server(tmp_path: pathlib.Path) -> Iterator[PgServer]:
    with PgServer(tmp_path / "pg") as one:
        one.sql("CREATE TABLE t (item text, drover_job uuid, drover_task bigint); GRANT INSERT ON t TO worker;"
                "CREATE TABLE numbers (other bigint); GRANT INSERT ON numbers TO worker;"
                "CREATE TABLE secret (item text);")
        yield one


@pytest.fixture
def coordinator(coordinators: Callable[..., Coordinator], server: PgServer,
                tmp_path: pathlib.Path) -> Coordinator:
    password = tmp_path / "password"
    password.write_text("rows\n")
    password.chmod(0o600)
    return coordinators(**{"sink.main.url": server.url(), "sink.main.password_file": password}).start()


def submit(front: Front, **sink: Any) -> Any:
    spec = {"drover": 1, "stages": ROWS, "sinks": [{"kind": "store"}, {**TO_MAIN, **sink}]}
    return front.call("job.submit", spec=json.dumps(spec))


def test_a_job_that_fits_is_taken(front: Front) -> None:
    assert submit(front)["warnings"] == []


@pytest.mark.parametrize("sink, word", [
    ({"table": "absent"}, "absent"),
    ({"table": "numbers"}, "item"),
    ({"table": "secret"}, "secret"),
    ({"mode": "upsert", "key": ["item"]}, "unique"),
])
def test_a_job_that_does_not_fit_is_refused_with_its_path(front: Front, sink: dict[str, Any], word: str) -> None:
    with pytest.raises(RemoteError) as caught:
        submit(front, **sink)
    assert caught.value.name == "INVALID_SPEC"
    assert caught.value.detail.startswith("sinks[1].") and word in caught.value.detail


def test_a_server_that_comes_back_is_asked_on_a_new_connection(front: Front, server: PgServer) -> None:
    assert submit(front)["warnings"] == []
    server.restart()
    assert submit(front)["warnings"] == []
    server.stop()
    assert "could not be asked" in submit(front)["warnings"][0]


def test_a_server_that_hangs_delays_its_submit_alone(
        coordinator: Coordinator, front: Front, fronts: Callable[..., Front], server: PgServer) -> None:
    submit(front)
    server.signal_all(signal.SIGSTOP)
    began = time.monotonic()
    waiting = front.send("job.submit", spec=json.dumps({"drover": 1, "stages": ROWS, "sinks": [TO_MAIN]}))
    other = fronts(coordinator)
    other.submit(["x"])
    other.call("status")
    assert time.monotonic() - began < 3
    answer = front.receive(waiting)
    assert answer["warnings"] and time.monotonic() - began < 10
    # The command line and Python wait longer for it than for others.
    job = json.dumps({"stages": ROWS, "sinks": [TO_MAIN], "input": {"items": ["a"]}})
    done = subprocess.run([str(find_binary("drover")), "--url", coordinator.front, "job", "submit", "-", "-o", "name"],
                          input=job, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0 and "could not be asked" in done.stderr
    assert len(other.call("job.ls")["jobs"]) == 4
    server.signal_all(signal.SIGCONT)
    assert submit(front)["warnings"] == []


def test_sink_check(coordinator: Coordinator, front: Front, server: PgServer) -> None:
    assert [(s["sink"], s["kind"], s["ok"], s["error"]) for s in front.call("sink.check")["sinks"]] == [
        ("main", "postgres", True, None)]
    server.sql("ALTER ROLE worker PASSWORD 'other'")
    checked = front.call("sink.check", sink="main")["sinks"][0]
    assert not checked["ok"] and "password authentication failed" in checked["error"]
    with pytest.raises(RemoteError, match="did you mean"):
        front.call("sink.check", sink="mian")


def test_a_cancelled_job_is_fenced(front: Front, server: PgServer) -> None:
    job = int(submit(front)["job"])
    uid = front.call("job.status", job=job)["uid"]
    front.call("job.cancel", job=job)
    assert front.wait(job)["state"] == "cancelled"
    wait_until(lambda: server.value("SELECT count(*) FROM drover.fenced") == "1", "the fence")
    assert server.value("SELECT job FROM drover.fenced").replace("-", "") == uid


def test_a_fence_waits_for_its_server(front: Front, server: PgServer) -> None:
    job = int(submit(front)["job"])
    server.stop()
    front.call("job.cancel", job=job)
    assert front.wait(job)["state"] == "cancelled"  # which needs no sink
    server.start()
    wait_until(lambda: server.value("SELECT count(*) FROM drover.fenced") == "1", "the fence")


def test_it_stops_in_time_although_a_sink_hangs(coordinator: Coordinator, front: Front, server: PgServer) -> None:
    server.signal_all(signal.SIGSTOP)
    front.send("sink.check")
    front.send("job.submit", spec=json.dumps({"drover": 1, "stages": ROWS, "sinks": [TO_MAIN]}))
    front.call("server.info")
    began = time.monotonic()
    assert coordinator.stop() == 0
    assert time.monotonic() - began < 10
