"""Breakers and sinks as the coordinator's users and workers see them: opening, holding, probing,
recovering, setting by hand, what is refused at submit, and explain. The sinks are addresses at which nobody
answers, and the worker is one that the test steers; real servers are in test_sinks_submit.py."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from fleet import (ASSIGN, CLOSED, DONE, OPEN, PROBE, RETRY, Coordinator, FakeWorker, Front, RemoteError,
                   find_binary, result, wait_until)

NOWHERE = "postgresql://127.0.0.1:1/nowhere"
MAIN = "postgres:main"
CACHE, CACHE_URL = "redis:cache", "redis://127.0.0.1:1"
TO_MAIN = {"kind": "postgres", "name": "main", "table": "t"}
ROWS = [{"kind": "noop", "rows": True}]


@pytest.fixture
def coordinator(coordinators: Callable[..., Coordinator], tmp_path: pathlib.Path) -> Coordinator:
    password = tmp_path / "password"
    password.write_text("secret-word\n")
    password.chmod(0o600)
    one = coordinators(**{"sink.main.url": NOWHERE, "sink.main.user": "rows",
                          "sink.main.password_file": password,
                          "sink.cache.url": CACHE_URL})
    one.start()
    one.keep_ports()
    return one


def breaker(front: Front, downstream: str = MAIN) -> dict[str, Any]:
    return next(b for b in front.call("breaker.ls")["breakers"] if b["downstream"] == downstream)


def job_of(front: Front, n: int, **spec: Any) -> int:
    return front.submit([f"i{i}" for i in range(n)], task_items=1, stages=ROWS,
                        **{"sinks": [TO_MAIN], **spec})


def open_it(worker: FakeWorker) -> None:
    worker.calls(MAIN, fail=20, waiting=1, error="connection refused")
    worker.until_told(MAIN, OPEN)


def landed(task: Any) -> list[Any]:
    return result(task, stats={f"rows.{MAIN}": 1})[:3] + [DONE, None, None, 1, [[f"rows.{MAIN}", 1]],
                                                          [], 0, [], [], 0, 0, 0]


# ---- the life of a breaker ----

def test_it_opens_holds_probes_and_recovers(
        coordinator: Coordinator, front: Front, fake_workers: Callable[..., FakeWorker]) -> None:
    worker = fake_workers(coordinator)
    worker.hello()
    job = job_of(front, 50)
    worker.credit(2)
    first = worker.take(2)
    assert worker.sinks["main"] == ("postgres", {"url": NOWHERE, "user": "rows", "password": "secret-word",
                                                 "ca_pem": ""})
    open_it(worker)
    worker.credit(60)  # room for all of them, but they are held

    state = breaker(front)
    assert (state["state"], state["manual"], state["error"]) == ("open", None, "connection refused")
    assert state["held"] == 48 and state["waiting"] == 1
    shown = front.call("job.status", job=job)
    assert (shown["held"], shown["breaker"], shown["sink"]) == (48, MAIN, "postgres:main table t")
    status = front.call("status")
    assert [b["downstream"] for b in status["breakers"]] == [MAIN]
    assert not status["healthy"] and "48 tasks are held" in status["problems"][0]
    worker.live_until(lambda: coordinator.get("/readyz") == (200, f"ok\nbreaker open: {MAIN}\n"), "a note in readyz")
    metrics = worker.live_until(lambda: (m := coordinator.metrics())["drover_tasks_held"] == 48 and m, "held tasks")
    states = [metrics[f'drover_breaker_state{{downstream_kind="postgres",state="{state}"}}']
              for state in ("open", "half_open")]
    assert sum(states) == 1
    assert metrics[f'drover_breaker_state{{downstream_kind="{CACHE.split(":")[0]}",state="closed"}}'] == 1
    assert metrics['drover_breaker_state{downstream_kind="host",state="open"}'] == 0
    assert "breaker open" in coordinator.process.text()  # type: ignore[union-attr]

    probes = 0
    while worker.told.get(MAIN) != CLOSED:
        worker.until_told(MAIN, PROBE)
        probes += 1
        worker.calls(MAIN, ok=1, waiting=1)
        worker.told[MAIN] = OPEN
        if probes == 3:
            worker.until_told(MAIN, CLOSED)
    assert probes == 3
    worker.results([landed(t) for t in first])
    done: set[int] = {t.id for t in first}
    while len(done) < 50:
        fresh = [t for t in worker.held.values() if t.id not in done]
        worker.results([landed(t) for t in fresh])
        done.update(t.id for t in fresh)
        assert all(t.attempt == 1 for t in fresh)
        if len(done) < 50:
            worker.expect(ASSIGN)
    ended = front.wait(job)
    assert (ended["state"], ended["rows"], ended["dead"], ended["held"]) == ("done", 50, 0, 0)
    assert breaker(front)["state"] == "closed" and breaker(front)["opened"] == 1
    metrics = wait_until(lambda: (m := coordinator.metrics())["drover_tasks_held"] == 0 and m, "nothing held")
    assert metrics[f'drover_sink_rows_total{{sink="{MAIN}"}}'] == 50
    assert metrics['drover_sink_rows_total{sink="store"}'] == 0
    assert metrics["drover_sink_breaker_opened_total"] == 1


def test_a_failed_probe_opens_it_again(
        coordinator: Coordinator, front: Front, fake_workers: Callable[..., FakeWorker]) -> None:
    worker = fake_workers(coordinator)
    worker.hello()
    job_of(front, 3)
    worker.credit(1)
    worker.take(1)
    open_it(worker)
    worker.until_told(MAIN, PROBE)
    worker.calls(MAIN, fail=1, waiting=1, error="still refused")
    worker.until_told(MAIN, OPEN)
    assert breaker(front)["error"] == "still refused" and breaker(front)["opened"] == 2


def test_jobs_of_other_sinks_go_on(
        coordinator: Coordinator, front: Front, fake_workers: Callable[..., FakeWorker]) -> None:
    worker = fake_workers(coordinator)
    worker.hello()
    job_of(front, 2)
    worker.credit(1)
    worker.take(1)
    open_it(worker)
    other = front.submit(["x"])
    worker.credit(5)
    while not (mine := [t for t in worker.held.values() if t.job == other]):
        worker.expect(ASSIGN)
    worker.finish(mine)
    assert front.wait(other)["state"] == "done"


def test_a_new_session_is_told_what_is_open_and_where_sinks_are(
        coordinator: Coordinator, front: Front, fake_workers: Callable[..., FakeWorker]) -> None:
    worker = fake_workers(coordinator)
    worker.hello()
    job_of(front, 2)
    worker.credit(1)
    tasks = worker.take(1)
    open_it(worker)
    worker.reconnect()
    worker.hello(tasks)
    worker.until_told(MAIN, OPEN)


def test_rows_that_wait_on_workers_are_shown(
        coordinator: Coordinator, front: Front, fake_workers: Callable[..., FakeWorker]) -> None:
    worker = fake_workers(coordinator)
    worker.counters = {f"landing.{MAIN}": 4096, "landing.postgres:other": 1, f"landing.{CACHE}": 0, "pages": 7}
    worker.hello()
    series = f'drover_sink_backlog_bytes{{sink="{MAIN}"}}'
    metrics = worker.live_until(lambda: (m := coordinator.metrics()).get(series) == 4096 and m, "the backlog")
    assert [name for name in metrics if "postgres:other" in name] == []
    assert {s["sink"]: s["backlog_bytes"] for s in front.call("sink.ls")["sinks"]} == {"main": 4096, "cache": 0}


def test_hosts_have_breakers_too(
        coordinator: Coordinator, front: Front, fake_workers: Callable[..., FakeWorker]) -> None:
    worker = fake_workers(coordinator, kinds=9)
    worker.hello()
    stage = {"kind": "scrape", "extract": {"t": "title::text"}, "robots": False}
    job = front.submit([f"http://{host}.example/{i}" for host in "ab" for i in range(20)], task_items=1,
                       stages=[stage], sinks=[{"kind": "store"}])
    worker.credit(4)
    worker.take(2)  # one of each, since these hosts are new
    worker.calls("host:http://a.example", fail=5, error="CONNECT: refused")
    state = wait_until(lambda: next((b for b in front.call("breaker.ls")["breakers"]
                                     if b["downstream"] == "host:http://a.example"), None), "its breaker")
    assert (state["kind"], state["state"], state["error"]) == ("host", "open", "CONNECT: refused")
    shown = front.call("job.explain", job=job)
    held = next(r for r in shown["reasons"] if r["reason"] == "breaker")
    assert held["tasks"] > 10 and "host:http://a.example" in held["text"] and "refused" in held["text"]
    assert front.call("breaker.reset", downstream="http://A.example:80/")["state"] == "closed"


# ---- by hand ----

def test_what_was_set_by_hand_survives_kill_9(
        coordinator: Coordinator, front: Front, fronts: Callable[..., Front],
        fake_workers: Callable[..., FakeWorker]) -> None:
    assert front.call("breaker.trip", downstream="main")["state"] == "open"
    assert front.call("breaker.pin", downstream=CACHE)["manual"] == "pinned"
    front.call("breaker.trip", downstream="https://Slow.example/")
    job = job_of(front, 3)
    coordinator.kill()
    coordinator.start()
    front = fronts(coordinator)
    state = breaker(front)
    assert (state["state"], state["manual"], state["retry_s"]) == ("open", "tripped", None)
    assert breaker(front, CACHE)["manual"] == "pinned"
    assert breaker(front, "host:https://slow.example")["manual"] == "tripped"
    worker = fake_workers(coordinator)
    worker.hello()
    worker.credit(5)
    worker.until_told(MAIN, OPEN)
    worker.live_until(lambda: front.call("job.status", job=job)["held"] == 3, "held tasks")
    assert front.call("breaker.reset", downstream=MAIN)["manual"] is None
    assert len(worker.take(3)) == 3
    coordinator.kill()
    coordinator.start()
    assert breaker(fronts(coordinator))["manual"] is None


def test_a_pinned_one_stays_closed(
        coordinator: Coordinator, front: Front, fake_workers: Callable[..., FakeWorker]) -> None:
    front.call("breaker.pin", downstream="main")
    worker = fake_workers(coordinator)
    worker.hello()
    job_of(front, 4)
    worker.credit(1)
    worker.take(1)
    worker.calls(MAIN, fail=100, error="refused")
    worker.credit(3)
    assert len(worker.take(4)) == 4
    assert breaker(front)["state"] == "closed" and breaker(front)["error"] == "refused"


@pytest.mark.parametrize("downstream, name, word", [
    ("mian", "NOT_FOUND", 'did you mean "main"'),
    ("postgres:other", "NOT_FOUND", "postgres:other"),
    ("redis:main", "NOT_FOUND", "redis:main"),
    ("host:example.org", "INVALID_ARGUMENT", "host:https://example.org"),
    ("https://example.org/path", "INVALID_ARGUMENT", "host:https://example.org"),
    ("http://", "NOT_FOUND", "http://"),
    ("", "INVALID_ARGUMENT", "downstream"),
])
def test_downstreams_that_are_none(front: Front, downstream: str, name: str, word: str) -> None:
    with pytest.raises(RemoteError) as caught:
        front.call("breaker.trip", downstream=downstream)
    assert caught.value.name == name and word in caught.value.detail


# ---- what is refused ----

@pytest.mark.parametrize("sink, words", [
    ({**TO_MAIN, "name": "mian"}, ['sinks[0].name: there is no sink "mian"', 'did you mean "main"', "known: main"]),
    ({"kind": "postgres", "table": "t"}, ['there is no sink "postgres"']),
    ({"kind": "redis", "name": "main", "key": "item"}, ['"main" is a sink of postgres, not of redis']),
    ({"kind": "file", "name": "f"}, ["the coordinator has no sink of file", "[sink.f]"]),
])
def test_unknown_sinks_are_refused_at_submit(front: Front, sink: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(RemoteError) as caught:
        front.submit([], stages=ROWS, sinks=[sink])
    assert caught.value.name == "INVALID_SPEC"
    for word in words:
        assert word in caught.value.detail


def test_the_path_of_a_second_sink(front: Front) -> None:
    with pytest.raises(RemoteError, match=r"sinks\[1\]\.name"):
        front.submit([], stages=ROWS, sinks=[{"kind": "store"}, {**TO_MAIN, "name": "x"}])


@pytest.mark.parametrize("flags, words", [
    (["--sink-main-url=mysql://h/d"], ["sink.main.url", "postgresql://"]),
    (["--sink-main-url=postgresql://u:pw@h/d"], ["sink.main.url", "password_file"]),
    (["--sink-main-url=postgresql://h/d?sslmode=require&password=x"], ["sink.main.url", "password_file"]),
    (["--sink-main-user=me"], ["sink.main.url", "missing"]),
    (["--sink-store-url=postgresql://h/d"], ["sink.store", "name"]),
    (["--sink-9x-url=postgresql://h/d"], ["sink.9x", "name"]),
    (["--sink-main-url=postgresql://h/d", "--sink-main-password-file=/nonexistent"],
     ["sink.main.password_file", "/nonexistent"]),
    (["--sink-main-url=postgresql://h/d", "--sink-main-ca-file=/nonexistent"],
     ["sink.main.ca_file", "/nonexistent"]),
    (["--sink-main-ulr=x"], ["sink"]),
])
def test_bad_sinks_of_the_configuration_are_named(
        tmp_path: pathlib.Path, flags: list[str], words: list[str]) -> None:
    args = [f"--data-dir={tmp_path}/d", "--listen-front=tcp://127.0.0.1:0",
            "--listen-back=tcp://127.0.0.1:0", "--listen-http=off", *flags]
    done = subprocess.run([str(find_binary("drover-coordinator")), *args], capture_output=True,
                          text=True, timeout=20, check=False)
    assert done.returncode == 2
    for word in words:
        assert word in done.stderr
    assert "pw@" not in done.stderr


def test_a_password_that_others_may_read_is_refused(tmp_path: pathlib.Path) -> None:
    password = tmp_path / "password"
    password.write_text("x")
    password.chmod(0o644)
    args = [f"--data-dir={tmp_path}/d", "--listen-http=off", f"--sink-main-url={NOWHERE}",
            f"--sink-main-password-file={password}"]
    done = subprocess.run([str(find_binary("drover-coordinator")), *args], capture_output=True,
                          text=True, timeout=20, check=False)
    assert done.returncode == 2 and "sink.main.password_file" in done.stderr


def test_a_sink_that_cannot_be_asked_refuses_nothing(coordinator: Coordinator, front: Front) -> None:
    spec = {"drover": 1, "stages": ROWS, "sinks": [TO_MAIN]}
    answer = front.call("job.submit", spec=json.dumps(spec))
    assert len(answer["warnings"]) == 1 and answer["warnings"][0].startswith("sinks[0]: postgres:main could not")
    front.call("breaker.trip", downstream="main")
    answer = front.call("job.submit", spec=json.dumps({**spec, "name": "another"}))
    assert "its breaker is open" in answer["warnings"][0]
    assert front.call("job.submit", spec=json.dumps({**spec, "sinks": [{"kind": "store"}]}))["warnings"] == []


def test_a_job_whose_sink_is_gone_from_the_configuration_is_held(
        coordinator: Coordinator, front: Front, fronts: Callable[..., Front],
        fake_workers: Callable[..., FakeWorker]) -> None:
    job = job_of(front, 2)
    sink = {key: coordinator.options.pop(key) for key in list(coordinator.options) if key.startswith("sink.main")}
    coordinator.kill()
    coordinator.start()
    front = fronts(coordinator)
    worker = fake_workers(coordinator)
    worker.hello()
    worker.credit(2)
    worker.live_until(lambda: front.call("job.status", job=job)["held"] == 2, "held tasks")
    reason = front.call("job.explain", job=job)["reasons"][0]
    assert "add [sink.main] and restart" in reason["text"]
    assert coordinator.stop() == 0
    coordinator.options.update(sink)
    coordinator.start()
    worker.reconnect()
    worker.hello()
    worker.credit(2)
    assert len(worker.take(2)) == 2


# ---- explain ----

def reasons(front: Front, job: int) -> dict[str, dict[str, Any]]:
    return {r["reason"]: r for r in front.call("job.explain", job=job)["reasons"]}


def test_explain_a_job(
        coordinator: Coordinator, front: Front, fake_workers: Callable[..., FakeWorker]) -> None:
    job = front.submit(["a", "b", "c"], task_items=1, seal=False, retry={"attempts": 3, "backoff_s": 30})
    why = reasons(front, job)
    assert why["workers"]["tasks"] == 3 and "no worker is connected" in why["workers"]["text"]
    assert "not sealed" in why["input"]["text"]
    other = fake_workers(coordinator, name="other", kinds=1)
    other.hello()
    assert "they need noop" in reasons(front, job)["workers"]["text"]
    worker = fake_workers(coordinator)
    worker.hello()
    assert reasons(front, job)["queued"]["tasks"] == 3
    worker.credit(2)
    tasks = worker.take(2)
    worker.results([result(tasks[0], RETRY, error="CONNECT: refused")])
    why = wait_until(lambda: "delayed" in (r := reasons(front, job)) and r, "a delayed task")
    assert (why["delayed"]["tasks"], why["running"]["tasks"], why["queued"]["tasks"]) == (1, 1, 1)
    front.call("job.pause", job=job)
    assert reasons(front, job)["paused"]["tasks"] == 1
    front.call("job.cancel", job=job)
    front.wait(job)
    assert list(reasons(front, job)) == ["ended"]


def test_explain_a_task(
        coordinator: Coordinator, front: Front, fake_workers: Callable[..., FakeWorker]) -> None:
    worker = fake_workers(coordinator, name="w-9")
    worker.hello()
    job = job_of(front, 4, retry={"attempts": 2, "backoff_s": 1000, "backoff_max_s": 1000})
    worker.credit(2)
    running, failing = worker.take(2)
    said = front.call("task.explain", task=running.id)
    assert (said["job"], said["state"]) == (job, "running") and "worker w-9 has it" in said["reasons"][0]["text"]
    worker.results([result(failing, RETRY, error="CONNECT: refused")])

    def delayed() -> Any:
        said = front.call("task.explain", task=failing.id)
        return said["state"] == "delayed" and said

    said = wait_until(delayed, "the delayed task")
    assert re.search(r"next attempt is in \d+\.\d s; the last one failed: CONNECT: refused", said["reasons"][0]["text"])
    assert said["attempts"] == 1
    open_it(worker)
    for task in {1, 2, 3, 4} - {running.id, failing.id}:
        said = front.call("task.explain", task=task)
        assert said["state"] == "ready" and said["reasons"][0]["breaker"]["downstream"] == MAIN
    with pytest.raises(RemoteError, match="neither waiting nor running") as caught:
        front.call("task.explain", task=99)
    assert caught.value.name == "NOT_FOUND"


# ---- the command line ----

def test_on_the_command_line(
        coordinator: Coordinator, front: Front, fake_workers: Callable[..., FakeWorker]) -> None:
    def drover(*args: str, code: int = 0) -> str:
        done = subprocess.run([str(find_binary("drover")), "--url", coordinator.front, *args],
                              capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    worker = fake_workers(coordinator)
    worker.hello()
    job = job_of(front, 5)
    worker.credit(1)
    task = worker.take(1)[0]
    open_it(worker)
    line = next(line for line in drover("status").splitlines() if line.startswith("BREAKER"))
    assert re.search(r'postgres:main  (OPEN|HALF OPEN) for \S+  "connection refused"   4 tasks held', line)
    assert "postgres:main" in drover("breaker", "ls") and CACHE in drover("breaker", "ls")
    assert "held: the breaker of postgres:main is" in drover("explain", str(job))
    assert "worker w1 has it" in drover("explain", "--task", str(task.id))
    assert json.loads(drover("explain", "last", "-o", "json"))["reasons"][0]["breaker"]["downstream"] == MAIN
    assert "tripped" in drover("breaker", "trip", "main")
    assert "CLOSED for" in next(line for line in (drover("breaker", "pin", "main") and drover("status")).splitlines()
                                if line.startswith("BREAKER"))
    assert drover("breaker", "reset", "main", "-o", "name") == "postgres:main\n"
    assert "did you mean" in drover("breaker", "trip", "mian", code=3)
    sinks = json.loads(drover("sink", "ls", "-o", "json"))
    assert {s["sink"]: (s["kind"], s["url"], s["user"]) for s in sinks} == {
        "main": ("postgres", NOWHERE, "rows"), "cache": (CACHE.split(":")[0], CACHE_URL, None)}
    assert "secret-word" not in drover("sink", "ls", "-o", "json") + drover("config", "show", "--server", "-o", "json")
    assert "no" in drover("sink", "check", "main", code=1)
    shown = drover("job", "show", str(job))
    assert re.search(r"^SINK\s+postgres:main table t$", shown, re.M) and re.search(r"^HELD\s+\d", shown, re.M)
    assert "give a job, or --task" in drover("explain", code=2)
    assert "there is no job and no waiting task" in drover("explain", "987654", code=3)
