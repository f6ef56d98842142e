"""Rows land exactly once, whatever is killed: workers, the coordinator, PostgreSQL and Redis die, stop and
lose connections at COMMIT while jobs run into both; then every row is there once and the ledgers say so.

DROVER_CHAOS_SECONDS (default 30) is how long the faults go on; the long suite uses 300. The control run
takes the ledger away and must find doubled rows, or the harness could not fail.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleet import Coordinator, Process, find_binary, wait_until
from pg_server import PgServer
from polite_host import Relay
from redis_server import RedisServer

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python"))
from drover import Client, DroverError, noop  # noqa: E402

SEED = int(os.environ.get("DROVER_CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
SECONDS = float(os.environ.get("DROVER_CHAOS_SECONDS", "30"))
LEASE_S = 1.0
ITEMS = 4000
ROOT = Path(__file__).resolve().parents[2]

TABLE = """
CREATE TABLE rows (item text NOT NULL, drover_job uuid NOT NULL, drover_task bigint NOT NULL)
"""

NO_LEDGER = """
CREATE OR REPLACE FUNCTION drover.commit_tasks(jobs uuid[], tasks bigint[], nrows integer[],
    generations bigint[]) RETURNS void LANGUAGE sql AS 'SELECT'
"""


class CommitCutter(Relay):
    """Carries connections to PostgreSQL. While armed, some of those that send COMMIT are cut at both ends as
    soon as it has passed: the server commits, and nobody hears of it."""

    def __init__(self, to: str, rng: random.Random) -> None:
        self.rng = rng
        self.share = 0.0
        self.cuts = 0
        super().__init__(to)

    async def _carry(self, reader, writer, pair):  # type: ignore[no-untyped-def]
        from_client = writer is pair[1]
        try:
            while data := await reader.read(65536):
                await self._open.wait()
                if pair not in self._pairs:
                    continue
                writer.write(data)
                await writer.drain()
                if from_client and b"COMMIT" in data and self.rng.random() < self.share:
                    self.cuts += 1
                    self._pairs.remove(pair)
                    pair[0].transport.abort()
                    writer.close()
                    return
        except OSError:
            pass
        if pair in self._pairs:
            writer.close()


class Fleet:
    """A coordinator and two workers with both sinks; each can be killed, stopped and restarted."""

    def __init__(self, folder: Path, coordinator: Coordinator) -> None:
        self.folder = folder
        self.coordinator = coordinator
        coordinator.start()
        coordinator.keep_ports()
        self.workers = {name: self.worker(name) for name in ("worker-1", "worker-2")}

    def worker(self, name: str) -> Process:
        return Process(name, [str(find_binary("drover-worker")), "--coordinator", self.coordinator.back,
                              "--id", name, "--loops", "1"], self.folder)

    def kill_worker(self, name: str) -> None:
        self.workers[name].kill()
        self.workers[name] = self.worker(name)

    def stop_worker(self, name: str, seconds: float) -> None:
        """A zombie: it wakes after its lease is over, in the middle of whatever it was doing."""
        process = self.workers[name].popen
        process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        process.send_signal(signal.SIGCONT)

    def kill_coordinator(self) -> None:
        self.coordinator.kill()
        self.coordinator.start()

    def stop_coordinator(self, seconds: float) -> None:
        assert self.coordinator.process
        process = self.coordinator.process.popen
        process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        for worker in self.workers.values():
            worker.popen.send_signal(signal.SIGCONT)
            worker.kill()


class Submitter(threading.Thread):
    """Submits one job after the other until it is told to end; each until it is acknowledged."""

    def __init__(self, url: str, pending_max: int) -> None:
        super().__init__()
        self.url = url
        self.pending_max = pending_max
        self.ending = threading.Event()
        self.jobs: dict[str, int] = {}
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            number = 0
            while not self.ending.is_set():
                self.submit(f"chaos-{number}")
                number += 1
        except BaseException as error:  # reported by the test's thread
            self.error = error

    def submit(self, name: str) -> None:
        items = [f"{name}/{i}" for i in range(ITEMS)]
        sinks = [{"kind": "postgres", "name": "main", "table": "rows"},
                 {"kind": "redis", "name": "cache", "prefix": "rows", "mode": "list"}]
        while True:
            try:
                with Client(self.url, timeout=10) as client:
                    job = client.submit(noop(items, rows=True), name=name, sink=sinks)
                    self.jobs[name] = job.id
                    self.wait_for_room(client)
                    return
            except DroverError:
                if self.ending.wait(0.2) and name in self.jobs:
                    return

    def wait_for_room(self, client: Client) -> None:
        """Not more than a few jobs at a time: what is under way when something dies matters, not how
        much waits."""
        while not self.ending.wait(0.05):
            if sum(job.state == "open" for job in client.jobs(max=50)) < self.pending_max:
                return


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[PgServer]:
    with PgServer(tmp_path / "pg") as server:
        yield server


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis", appendonly="yes", appendfsync="always") as server:
        yield server
