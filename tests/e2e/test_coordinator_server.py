"""The coordinator as a server: addresses, keys and roles, HTTP, start, stop, a full disk."""

from __future__ import annotations

import json
import os
import pathlib
import re
import socket
import subprocess
import time

import msgpack
import pytest
import zmq

from fleet import (BYE, HELLO, NOOP, Coordinator, Front, Process, RemoteError, find_binary, result,
                   wait_until)

# ---- start and stop ----


def test_a_second_coordinator_on_one_data_directory_is_refused(
        coordinator: Coordinator, coordinators) -> None:
    second = coordinators(name="second")
    second.data_dir = coordinator.data_dir
    process = second.spawn()
    assert process.wait() == 1
    assert "STORE_LOCKED" in process.text() and str(coordinator.data_dir) in process.text()
    assert coordinator.get("/healthz")[0] == 200


def test_an_address_in_use_is_named(coordinator: Coordinator, coordinators) -> None:
    second = coordinators(name="second", **{"listen.front": coordinator.front})
    process = second.spawn()
    assert process.wait() == 1
    assert coordinator.front.removeprefix("tcp://") in process.text()


@pytest.mark.parametrize("option, value", [
    ("listen.front", "tcp://0.0.0.0:0"),
    ("listen.back", "tcp://0.0.0.0:0"),
    ("listen.back", "tcp://*:0"),
    ("listen.http", "http://0.0.0.0:0"),
])
def test_addresses_that_others_reach_are_refused_without_keys(
        coordinators, option: str, value: str) -> None:
    process = coordinators(**{option: value}).spawn()
    assert process.wait() != 0
    assert option in process.text() or "others" in process.text()


@pytest.mark.parametrize("flags, word", [
    (["--lease=1ms"], "lease"),
    (["--leese=1s"], "lease"),
    (["--log-level=loud"], "log.level"),
    (["--listen-front=nonsense"], "listen.front"),
    (["--listen-http=tcp://127.0.0.1:1"], "listen.http"),
    (["--key-file=/nonexistent"], "key"),
    (["--data-dir=/proc/nonexistent/x"], "/proc/nonexistent/x"),
])
def test_bad_options_are_named(tmp_path: pathlib.Path, flags: list[str], word: str) -> None:
    args = [f"--data-dir={tmp_path}/d", "--listen-front=tcp://127.0.0.1:0",
            "--listen-back=tcp://127.0.0.1:0", "--listen-http=http://127.0.0.1:0", *flags]
    done = subprocess.run([str(find_binary("drover-coordinator")), *args], capture_output=True,
                          text=True, timeout=20, check=False)
    assert done.returncode in (1, 2) and word in done.stderr


def test_help_and_version() -> None:
    binary = str(find_binary("drover-coordinator"))
    text = subprocess.run([binary, "--help"], capture_output=True, text=True, check=True).stdout
    assert "--data-dir" in text and "--ports-file" in text
    text = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(r"drover-coordinator \d+\.\d+\.\d+\n", text)


def test_it_tells_the_service_manager(coordinators, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(20)
        coordinator = coordinators()
        ports = tmp_path / "coordinator.ports"
        coordinator.process = Process("coordinator", coordinator.args(ports), tmp_path,
                                      {"NOTIFY_SOCKET": str(path)})
        assert manager.recv(100) == b"READY=1"
        assert ports.exists()
        assert coordinator.stop() == 0
        assert manager.recv(100) == b"STOPPING=1"


# ---- status, metrics, health ----

def test_every_series_is_there_from_the_start(coordinator: Coordinator) -> None:
    metrics = wait_until(lambda: coordinator.get("/metrics")[1] and coordinator.metrics(), "metrics")
    for name in ('drover_jobs_submitted_total{queue="default",kind="scrape"}',
                 'drover_jobs_finished_total{queue="default",outcome="failed"}',
                 'drover_task_attempts_total{queue="default",kind="noop",outcome="dead"}',
                 'drover_tasks{queue="default",state="ready"}', 'drover_steals_total',
                 'drover_queue_oldest_ready_age_seconds{queue="default"}',
                 'drover_workers{state="ready"}', 'drover_worker_slots{state="busy"}',
                 'drover_sink_rows_total{sink="store"}', 'drover_tasks_held', 'drover_quarantines',
                 'drover_breaker_state{downstream_kind="postgres",state="open"}',
                 'drover_breaker_state{downstream_kind="host",state="half_open"}',
                 'drover_sink_breaker_opened_total', 'drover_store_commit_seconds_count'):
        assert name in metrics, name
    for kind in ("scrape", "transform", "score", "noop"):
        for name in ("wait", "run"):
            labels = f'queue="default",kind="{kind}"'
            for series in (f'bucket{{{labels},le="0.001"}}', f'bucket{{{labels},le="5000"}}',
                           f'bucket{{{labels},le="+Inf"}}', f"sum{{{labels}}}", f"count{{{labels}}}"):
                assert metrics[f"drover_task_{name}_seconds_{series}"] == 0
    assert metrics['drover_build_info{version="0.1.0",protocol="1"}'] == 1
    text = coordinator.get("/metrics")[1]
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    counters = {line.split()[2] for line in text.splitlines() if line.endswith(" counter")}
    assert {n for n in names if n.endswith("_total")} == counters


def test_metrics_and_status_follow_the_work(
        coordinator: Coordinator, front: Front, fake_workers) -> None:
    worker = fake_workers(coordinator, name="w-7", slots=8)
    worker.hello()
    job = front.submit([f"i{i}" for i in range(100)], task_items=1)
    worker.work(until=lambda: len(worker.acks) >= 100)
    front.wait(job)

    def settled() -> dict[str, float] | None:
        worker.receive(0.05)  # heartbeats
        m = coordinator.metrics()
        return m if m.get('drover_worker_tasks_total{worker="w-7",outcome="done"}') == 100 else None

    metrics = wait_until(settled, "metrics of the work")
    assert metrics['drover_task_attempts_total{queue="default",kind="noop",outcome="done"}'] == 100
    assert metrics['drover_jobs_finished_total{queue="default",outcome="done"}'] == 1
    assert metrics['drover_sink_rows_total{sink="store"}'] == 100
    assert metrics['drover_workers{state="ready"}'] == 1
    assert metrics['drover_worker_memory_bytes{worker="w-7"}'] == 1 << 20
    assert metrics['drover_store_commit_seconds_count'] > 0
    status = front.call("status")
    assert status["workers"] == {"ready": 1, "draining": 0, "lost": 0}
    assert status["slots"]["total"] == 8 and status["healthy"] and status["problems"] == []
    assert status["tasks"] == {"ready": 0, "running": 0, "delayed": 0, "dead": 0}
    assert status["done_per_s"] > 0
    assert 0 < status["run_p95_s"] < 20 and status["eta_s"] == 0
    for name in ("wait", "run"):
        series = f'drover_task_{name}_seconds_%s{{queue="default",kind="noop"%s}}'
        assert metrics[series % ("count", "")] == metrics[series % ("bucket", ',le="+Inf"')] == 100
        assert 0 <= metrics[series % ("sum", "")] < 100 * 20
    worker.send(BYE, ["done"])
    metrics = wait_until(lambda: (m := coordinator.metrics())['drover_workers{state="left"}'] == 1 and m, "it left")
    assert metrics['drover_workers{state="lost"}'] == 0  # it is not missed
    assert front.call("status")["workers"] == {"ready": 0, "draining": 0, "lost": 0}
    assert not [name for name in metrics if "w-7" in name]


def test_waits_and_runs_are_timed(coordinator: Coordinator, front: Front, fake_workers) -> None:
    before = front.call("status")
    assert before["run_p95_s"] is None and before["eta_s"] == 0
    front.submit(["a", "b"], task_items=1)
    time.sleep(0.25)  # the time that is measured, not a wait for something
    worker = fake_workers(coordinator, slots=1)
    worker.hello()
    assert front.call("status")["eta_s"] is None  # nothing was done yet: no rate
    worker.credit(1)
    [task] = worker.take(1)
    time.sleep(0.25)
    worker.results([result(task, rows=["r"])])
    worker.work(until=lambda: len(worker.acks) >= 1)
    labels = '{queue="default",kind="noop"%s}'

    def counted() -> dict[str, float] | None:
        worker.receive(0.05)
        m = coordinator.metrics()
        return m if m["drover_task_run_seconds_count" + labels % ""] >= 1 else None

    metrics = wait_until(counted, "a run in the metrics")
    for name in ("wait", "run"):
        series = f"drover_task_{name}_seconds_"
        longer = metrics[series + "count" + labels % ""] - metrics[series + "bucket" + labels % ',le="0.2"']
        assert longer >= 1
        assert metrics[series + "bucket" + labels % ',le="20"'] >= 1
        assert 0.25 <= metrics[series + "sum" + labels % ""] < 20
    assert 0.2 < front.call("status")["run_p95_s"] < 20


def test_health_and_pages(coordinator: Coordinator) -> None:
    assert coordinator.get("/healthz") == (200, "ok\n")
    wait_until(lambda: coordinator.get("/readyz") == (200, "ok\n"), "ready")
    assert coordinator.get("/nothing")[0] == 404
    host, port = coordinator.ports["http"].removeprefix("http://").rsplit(":", 1)
    for request in (b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
                    b"\x00\xff\xfe garbage\r\n\r\n", b"GET " + b"x" * 100000):
        with socket.create_connection((host, int(port)), 5) as peer:
            peer.sendall(request)
    assert coordinator.get("/healthz")[0] == 200


def test_a_restart_is_not_ready_until_workers_had_time_to_come_back(coordinators, fronts) -> None:
    coordinator = coordinators(lease="3s").start()
    fronts(coordinator).submit(["x"])
    coordinator.kill()
    coordinator.start()
    front = fronts(coordinator)
    assert wait_until(lambda: coordinator.get("/readyz"), "a page")[0] == 503
    assert not front.call("status")["healthy"]
    wait_until(lambda: coordinator.get("/readyz")[0] == 200, "ready after one lease", 10)


# ---- keys and roles ----

class Keys:
    """Key files of a coordinator and of some peers."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.server_public, server_secret = zmq.curve_keypair()
        self.file = folder / "server.key"
        self.file.touch(0o600)
        self.file.write_text(f"public = {self.server_public.decode()}\nsecret = {server_secret.decode()}\n")
        self.list = folder / "authorized"
        self.list.write_text("# role name key\n")

    def peer(self, role: str | None, name: str = "") -> dict[str, bytes]:
        """Socket options of a peer; role None: a key that nobody authorized."""
        public, secret = zmq.curve_keypair()
        if role:
            with self.list.open("a") as file:
                file.write(f"{role} {name} {public.decode()}\n")
        return {"curve_publickey": public, "curve_secretkey": secret,
                "curve_serverkey": self.server_public}


@pytest.fixture
def keys(tmp_path: pathlib.Path) -> Keys:
    return Keys(tmp_path)


@pytest.fixture
def keyed(coordinators, keys: Keys) -> Coordinator:
    return coordinators(**{"key.file": keys.file, "key.authorized": keys.list})


def test_roles(keyed: Coordinator, keys: Keys, fronts, fake_workers) -> None:
    worker_key = keys.peer("worker", "worker-7")
    client_key, admin_key, other_worker = (keys.peer("client", "alice"), keys.peer("admin", "root"),
                                           keys.peer("worker", "worker-8"))
    keyed.start()
    client, admin = fronts(keyed, keys=client_key), fronts(keyed, keys=admin_key)
    assert {k: client.call("server.info")[k] for k in ("role", "name")} == {"role": "client", "name": "alice"}
    # The name of the key counts, not what the worker calls itself.
    worker = fake_workers(keyed, name="somebody-else", keys=worker_key)
    worker.hello()
    assert [w["worker"] for w in client.call("worker.ls")["workers"]] == ["worker-7"]
    job = client.submit(["x"])
    worker.credit(1)
    worker.finish(worker.take(1))
    assert client.wait(job)["client"] == "alice"
    for verb, args in (("worker.drain", {"worker": "worker-7"}), ("breaker.trip", {"downstream": "x"}), ("key.ls", {}), ("config.show", {})):
        with pytest.raises(RemoteError) as caught:
            client.call(verb, **args)
        assert caught.value.name == "AUTH"
    assert admin.call("worker.drain", worker="worker-7")["state"] == "draining"
    assert [k["name"] for k in admin.call("key.ls")["keys"]] == ["worker-7", "alice", "root", "worker-8"]
    options = {o["key"]: o for o in admin.call("config.show")["options"]}
    assert options["lease"]["value"] and "flag" in options["lease"]["origin"]
    assert other_worker


@pytest.mark.parametrize("who, port", [
    (None, "front"), (None, "back"), ("worker", "front"), ("client", "back"), ("admin", "back"),
    ("plain", "front"), ("plain", "back"),
])
def test_keys_of_the_wrong_role_get_no_answer(
        keyed: Coordinator, keys: Keys, fronts, who, port) -> None:
    good = keys.peer("client", "good")
    options = None if who == "plain" else keys.peer(who, "x")
    keyed.start()
    stranger = Front(getattr(keyed, port), options)
    try:
        with pytest.raises((TimeoutError, zmq.Again)):
            stranger.socket.sndtimeo = 500
            stranger.socket.send(msgpack.packb([1, HELLO, 0, 0, 1, 0, [1, 1, "x", b"b", NOOP, 1, "0", "h", []]]))
            stranger.call("server.info", timeout_s=1)
    finally:
        stranger.close()
    assert fronts(keyed, keys=good).call("server.info")["role"] == "client"


def test_a_revoked_key_is_out_at_once(keyed: Coordinator, keys: Keys, fronts, fake_workers) -> None:
    worker_key, client_key = keys.peer("worker", "w1"), keys.peer("client", "alice")
    admin_key = keys.peer("admin", "root")
    keyed.start()
    worker, client, admin = (fake_workers(keyed, keys=worker_key), fronts(keyed, keys=client_key),
                             fronts(keyed, keys=admin_key))
    worker.hello()
    job = client.submit(["x"])
    worker.credit(1)
    worker.take(1)
    assert {k["name"] for k in admin.call("key.revoke", name="w1")["keys"]} == {"alice", "root"}
    assert worker.expect(BYE) == ["key revoked"]
    admin.call("key.revoke", name="alice")
    with pytest.raises(RemoteError) as caught:
        client.call("server.info")
    assert caught.value.name == "AUTH"
    # A key authorized while it runs is let in, and gets the task.
    public, secret = zmq.curve_keypair()
    admin.call("key.authorize", name="w2", role="worker", public=public.decode())
    fresh = fake_workers(keyed, keys={"curve_publickey": public, "curve_secretkey": secret,
                                      "curve_serverkey": keys.server_public})
    fresh.hello()
    fresh.credit(1)
    fresh.finish(fresh.take(1))
    assert admin.wait(job)["state"] == "done"
    for args in ({"name": "bad name", "role": "worker", "public": public.decode()},
                 {"name": "n", "role": "king", "public": public.decode()},
                 {"name": "n", "role": "worker", "public": "short"}):
        with pytest.raises(RemoteError) as caught:
            admin.call("key.authorize", **args)
        assert caught.value.name == "INVALID_ARGUMENT"


def test_with_keys_it_serves_addresses_that_others_reach(coordinators, keys: Keys, fronts) -> None:
    client = keys.peer("client", "alice")
    coordinator = coordinators(**{"key.file": keys.file, "key.authorized": keys.list,
                                  "listen.front": "tcp://0.0.0.0:0"}).start()
    coordinator.ports["front"] = coordinator.front.replace("0.0.0.0", "127.0.0.1")
    assert fronts(coordinator, keys=client).call("server.info")["name"] == "alice"


# ---- limits ----

def test_a_full_queue_refuses_with_retry_after(coordinators, fronts, fake_workers) -> None:
    coordinator = coordinators(**{"limits.tasks_memory": "1MiB"}).start()
    front = fronts(coordinator)
    job = front.submit([], seal=False, task_items=1)
    chunk = 0
    with pytest.raises(RemoteError) as caught:
        while True:
            assert chunk < 100
            front.call("job.input", job=job, chunk=chunk, items=[f"{chunk}-{i}" for i in range(2000)])
            chunk += 1
    assert caught.value.name == "QUEUE_FULL" and caught.value.retry_after_ms > 0
    worker = fake_workers(coordinator)
    worker.hello()
    worker.work(until=lambda: len(worker.acks) >= chunk * 2000 - 2000)
    assert front.call("job.input", job=job, chunk=chunk, items=["one more"])["accepted"] == 1


def test_messages_above_the_limit_end_the_connection(
        coordinator: Coordinator, front: Front) -> None:
    big = Front(coordinator.front)
    try:
        job = front.submit([], seal=False)
        big.send("job.input", job=job, chunk=0, items=["x" * (17 << 20)])
        assert not big.socket.poll(500)
    finally:
        big.close()
    assert front.call("job.status", job=job)["items"] == 0


def test_a_chunk_of_too_many_items_is_refused(front: Front) -> None:
    job = front.submit([], seal=False)
    with pytest.raises(RemoteError) as caught:
        front.call("job.input", job=job, chunk=0, items=[""] * 100_001)
    assert caught.value.name == "PAYLOAD_TOO_LARGE"


def test_requests_that_wait_are_answered_when_it_stops(
        coordinator: Coordinator, front: Front) -> None:
    job = front.submit(["x"])
    version = front.call("job.status", job=job)["version"]
    seqs = [front.send("job.wait", job=job, version=version, wait_ms=30000),
            front.send("job.results", job=job, wait_ms=30000)]
    wait_until(lambda: coordinator.metrics()["drover_requests_waiting"] == 2, "both wait")
    assert coordinator.stop() == 0
    assert front.receive(seqs[0])["state"] == "open"
    assert front.receive(seqs[1])["batches"] == []


@pytest.fixture
def small_disk(tmp_path: pathlib.Path):
    """A file system of 24 MiB; needs root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)],
                                           check=False, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


def test_a_full_disk_refuses_submits_and_serves_the_rest(
        coordinators, fronts, fake_workers, small_disk: pathlib.Path) -> None:
    coordinator = coordinators()
    coordinator.data_dir = small_disk / "data"
    coordinator.start()
    front = fronts(coordinator)
    job = front.submit([], seal=False, task_items=1)
    chunk = 0
    with pytest.raises(RemoteError) as caught:
        while True:
            assert chunk < 1000
            front.call("job.input", job=job, chunk=chunk, items=[f"{chunk}-{i}" + "x" * 1000 for i in range(200)])
            chunk += 1
    assert caught.value.name == "STORE_FULL" and caught.value.retry_after_ms > 0 and chunk > 5
    with pytest.raises(RemoteError):
        front.call("job.submit", spec=json.dumps({"drover": 1, "stages": [{"kind": "noop"}],
                                                  "sinks": [{"kind": "store"}]}))
    wait_until(lambda: coordinator.get("/readyz")[0] == 503, "not ready")
    assert front.call("status")["problems"]
    # What was accepted is worked off.
    total = front.call("job.status", job=job)["tasks"]
    assert total == chunk * 200
    worker = fake_workers(coordinator)
    worker.hello()
    worker.credit(100)
    tasks = worker.take(100)
    worker.results([result(t, rows=["r"]) for t in tasks])
    wait_until(lambda: worker.receive(0.05) is None or front.call("job.status", job=job)["done"] >= 100,
               "work goes on with the disk full")
    wait_until(lambda: front.call("job.status", job=job)["done"] >= 100, "a hundred done")
    assert coordinator.process.running()
