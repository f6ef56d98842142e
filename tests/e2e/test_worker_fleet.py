"""Real workers and a real coordinator: work gets done, and killing or stopping any of them loses and
doubles nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from fleet import TIMEOUT_S, Coordinator, Front, find_binary, wait_until
from scrape_server import ScrapeServer

LEASE = {"lease": "2s"}


class RealWorker:
    """drover-worker with its log in the test's folder."""

    def __init__(self, coordinator: Coordinator, folder: Path, name: str, *args: str) -> None:
        self.log = (folder / f"{name}.log").open("ab")
        command = [str(find_binary("drover-worker")), "--coordinator", coordinator.back, "--id", name]
        self.process = subprocess.Popen(
            [*command, "--loops", "1", "--allow-net", "127.0.0.0/8", *args],
            stderr=self.log,
            stdout=subprocess.DEVNULL,
        )

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        self.log.close()


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Callable[..., RealWorker]]:
    made: list[RealWorker] = []

    def make(coordinator: Coordinator, name: str, *args: str) -> RealWorker:
        made.append(RealWorker(coordinator, tmp_path, name, *args))
        return made[-1]

    yield make
    for worker in made:
        worker.kill()


class Tree(ScrapeServer):
    """/tree/I links to 2I+1 and 2I+2, up to SIZE pages, and back to the root."""

    size = 400

    def page_tree(self, site: Any, path: str, query: Any, headers: Any) -> Any:
        i = int(path.rsplit("/", 1)[-1])
        next_ones = [n for n in (2 * i + 1, 2 * i + 2, 0) if n < self.size]
        links = "".join(f"<a href='/tree/{n}'>{n}</a>" for n in next_ones)
        return self.html(f"<html><head><title>Page {i}</title></head><body>{links}</body></html>")


@pytest.fixture
def tree() -> Iterator[Tree]:
    server = Tree()
    yield server
    server.close()


def crawl(port: int, **http: Any) -> dict[str, Any]:
    stage = {
        "kind": "scrape",
        "extract": {"title": "title::text", "url": "@url"},
        "follow": {"css": "a", "depth": 30},
        "per_host": {"concurrency": 8},
        **http,
    }
    return {"stages": [stage], "task_items": 8}


def titles(front: Front, job: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for _task, n, wire in front.batches(job):
        _version, _n, columns = msgpack.unpackb(wire)
        _name, _type, _nulls, data, ends = columns[0]
        stops = [int.from_bytes(ends[i : i + 4], "little") for i in range(0, 4 * n, 4)]
        found.update(data[a:b].decode() for a, b in zip([0, *stops], stops))
    return found


def expected(size: int = Tree.size) -> Counter[str]:
    return Counter({f"Page {i}": 1 for i in range(size)})


def test_noop_rows_from_two_workers(
    coordinators: Any, fronts: Any, workers: Callable[..., RealWorker]
) -> None:
    coordinator = coordinators().start()
    front = fronts(coordinator)
    for name in ("w1", "w2"):
        workers(coordinator, name)
    wait_until(lambda: len(front.call("worker.ls")["workers"]) == 2, "two workers")
    items = [f"item-{i}" for i in range(5000)]
    job = front.submit(items, stages=[{"kind": "noop", "rows": True}], task_items=10)
    status = front.wait(job, 60)
    assert status["state"] == "done" and status["rows"] == 5000
    assert Counter(front.rows(job)) == Counter(items)


def test_crawl(coordinators: Any, fronts: Any, workers: Any, tree: Tree) -> None:
    coordinator = coordinators().start()
    front = fronts(coordinator)
    for name in ("w1", "w2"):
        workers(coordinator, name)
    port = tree.listen()
    job = front.submit([f"http://127.0.0.1:{port}/tree/0"], **crawl(port))
    status = front.wait(job, 60)
    assert status["state"] == "done"
    assert titles(front, job) == expected()


def test_kill_9_of_workers_loses_and_doubles_nothing(
    coordinators: Any, fronts: Any, workers: Any, tree: Tree
) -> None:
    coordinator = coordinators(**LEASE).start()
    front = fronts(coordinator)
    port = tree.listen()
    tree.sites[port].latency_s = 0.01
    fleet = [workers(coordinator, f"w{i}") for i in range(2)]
    job = front.submit([f"http://127.0.0.1:{port}/tree/0"], **crawl(port))
    for n in (60, 120, 180):
        tree.wait_requests(port, n, "/tree")
        victim = fleet.pop(0)
        victim.process.kill()
        fleet.append(workers(coordinator, f"w{n}"))
    status = front.wait(job, 90)
    assert status["state"] == "done"
    assert titles(front, job) == expected()


def test_kill_9_of_the_coordinator_loses_and_doubles_nothing(
    coordinators: Any, fronts: Any, workers: Any, tree: Tree
) -> None:
    coordinator = coordinators(**LEASE).start()
    coordinator.keep_ports()
    front = fronts(coordinator)
    port = tree.listen()
    tree.sites[port].latency_s = 0.01
    fleet = [workers(coordinator, f"w{i}") for i in range(2)]
    job = front.submit([f"http://127.0.0.1:{port}/tree/0"], **crawl(port))
    for n in (60, 150):
        tree.wait_requests(port, n, "/tree")
        coordinator.kill()
        coordinator.start()
    status = fronts(coordinator).wait(job, 90)
    assert status["state"] == "done"
    assert titles(fronts(coordinator), job) == expected()
    assert all(w.process.poll() is None for w in fleet)


def test_a_stopped_worker_that_wakes_up_changes_nothing(
    coordinators: Any, fronts: Any, workers: Any, tree: Tree
) -> None:
    coordinator = coordinators(**LEASE).start()
    front = fronts(coordinator)
    port = tree.listen()
    tree.sites[port].latency_s = 0.01
    first = workers(coordinator, "zombie")
    job = front.submit([f"http://127.0.0.1:{port}/tree/0"], **crawl(port, timeout_s=3))
    tree.wait_requests(port, 60, "/tree")
    first.signal(signal.SIGSTOP)
    workers(coordinator, "fresh")
    status = front.wait(job, 90)
    assert status["state"] == "done"
    asked = len(tree.of(port))
    first.signal(signal.SIGCONT)

    def is_back() -> bool:
        found = {w["worker"]: w for w in front.call("worker.ls")["workers"]}
        return bool(found["zombie"]["state"] == "ready" and found["zombie"]["leased"] == 0)

    wait_until(is_back, "the zombie's new session")
    assert titles(front, job) == expected()
    # What it had under way when it was stopped may have ended; it began next to nothing new.
    assert len(tree.of(port)) - asked <= 8


def test_drained_worker_gives_its_work_to_the_other(
    coordinators: Any, fronts: Any, workers: Any, tree: Tree
) -> None:
    coordinator = coordinators(**LEASE).start()
    front = fronts(coordinator)
    port = tree.listen()
    tree.sites[port].latency_s = 0.005
    first = workers(coordinator, "w1")
    job = front.submit([f"http://127.0.0.1:{port}/tree/0"], **crawl(port))
    tree.wait_requests(port, 60, "/tree")
    workers(coordinator, "w2")
    first.signal(signal.SIGTERM)
    assert first.process.wait(20) == 0
    status = front.wait(job, 60)
    assert status["state"] == "done"
    assert titles(front, job) == expected()


def test_keys(coordinators: Any, fronts: Any, workers: Any, tmp_path: Path) -> None:
    """One key for each worker: the coordinator knows it by the name of its key."""
    for name in ("server", "w7", "stranger", "me"):
        command = [str(find_binary("drover")), "key", "gen", str(tmp_path / name)]
        subprocess.run(command, check=True, capture_output=True)

    def public(name: str) -> str:
        words = (tmp_path / f"{name}.pub").read_text().split()
        return next(word.strip('"') for word in words if len(word.strip('"')) == 40)

    allowed = tmp_path / "authorized"
    allowed.write_text(f"worker worker-7 {public('w7')}\nclient me {public('me')}\n")
    coordinator = coordinators(
        **{"key.file": tmp_path / "server", "key.authorized": allowed}
    ).start()

    def keys(name: str) -> list[str]:
        return ["--key-file", str(tmp_path / name), "--server-key-file", str(tmp_path / "server.pub")]

    def check(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(find_binary("drover-worker")), "--check", "--coordinator", coordinator.back, *args],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S * 2,
        )

    good, bad, none = check(*keys("w7")), check(*keys("stranger")), check()
    assert "key accepted" in good.stdout
    assert "is not allowed -> on the coordinator: drover key authorize" in bad.stdout, bad.stdout
    assert public("stranger") in bad.stdout and bad.returncode == 1
    assert "it wants a key" in none.stdout and none.returncode == 1
    workers(coordinator, "name-of-no-importance", *keys("w7"))
    workers(coordinator, "stranger", *keys("stranger"))
    secret = [
        word.strip('"')
        for word in (tmp_path / "me").read_text().split()
        if len(word.strip('"')) == 40
    ]
    client = {
        "curve_publickey": public("me").encode(),
        "curve_secretkey": next(s for s in secret if s != public("me")).encode(),
        "curve_serverkey": public("server").encode(),
    }
    front = fronts(coordinator, keys=client)
    wait_until(lambda: front.call("worker.ls")["workers"], "the worker")
    job = front.submit(["a", "b"])
    assert front.wait(job)["state"] == "done"
    assert [w["worker"] for w in front.call("worker.ls")["workers"]] == ["worker-7"]


def test_local_run_gives_the_rows_of_the_fleet(
    coordinators: Any, fronts: Any, workers: Any, tree: Tree, tmp_path: Path
) -> None:
    coordinator = coordinators().start()
    front = fronts(coordinator)
    workers(coordinator, "w1")
    port = tree.listen()
    job = front.submit([f"http://127.0.0.1:{port}/tree/0"], **crawl(port))
    assert front.wait(job, 60)["state"] == "done"
    spec = {"drover": 1, **crawl(port), "input": {"urls": [f"http://127.0.0.1:{port}/tree/0"]}}
    (tmp_path / "job.json").write_text(json.dumps(spec))
    rows = tmp_path / "rows.ndjson"
    subprocess.run(
        [
            str(find_binary("drover-worker")),
            *("run", "--job", str(tmp_path / "job.json"), "--output", str(rows)),
            *("--allow-net", "127.0.0.0/8"),
        ],
        check=True,
        timeout=TIMEOUT_S * 3,
        stdout=sys.stderr,
    )
    local = Counter(json.loads(line)["title"] for line in rows.read_text().splitlines())
    assert local == titles(front, job) == expected()
