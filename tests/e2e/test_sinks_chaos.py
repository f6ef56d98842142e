"""Rows land exactly once, whatever is killed: workers, the coordinator, PostgreSQL and Redis die, stop and
lose connections at COMMIT while jobs run into both; then every row is there once and the ledgers say so.

DROVER_CHAOS_SECONDS (default 30) is how long the faults go on; the long suite uses 300. The control run
takes the ledger away and must find doubled rows, or the harness could not fail.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet import Coordinator, wait_until
from mortal_fleet import MortalFleet
from pg_server import PgServer
from polite_host import Relay
from redis_server import RedisServer

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python"))
from drover import Client, DroverError, noop  # noqa: E402

SEED = int(os.environ.get("DROVER_CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
SECONDS = float(os.environ.get("DROVER_CHAOS_SECONDS", "30"))
LEASE_S = 1.0
ITEMS = 4000

TABLE = """
CREATE TABLE rows (item text NOT NULL, drover_job uuid NOT NULL, drover_task bigint NOT NULL);
GRANT INSERT ON rows TO worker;
"""

# The control: a ledger that forgets, and so lets every batch pass.
NO_LEDGER = """
CREATE OR REPLACE FUNCTION drover.commit_tasks(jobs uuid[], generations bigint[], tasks bigint[], sinks smallint[],
    nrows integer[]) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, drover AS 'SELECT'
"""

POSTGRES = {"kind": "postgres", "name": "main", "table": "rows"}
REDIS = {"kind": "redis", "name": "cache", "prefix": "rows", "mode": "list"}


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


class Submitter(threading.Thread):
    """Submits one job after the other until it is told to end; each until it is acknowledged."""

    def __init__(self, url: str, sinks: list[dict[str, Any]], pending_max: int = 3) -> None:
        super().__init__()
        self.url = url
        self.sinks = sinks
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
        while True:
            try:
                with Client(self.url, timeout=10) as client:
                    job = client.submit(noop(items, rows=True), name=name, sink=self.sinks, task_items=16)
                    self.jobs[name] = job.id
                    self.wait_for_room(client)
                    return
            except DroverError:
                if name in self.jobs:
                    return
                time.sleep(0.1)  # the coordinator is down; the same name is the same job

    def wait_for_room(self, client: Client) -> None:
        """Not more than a few jobs at a time: what is under way when something dies matters, not how
        much waits."""
        while not self.ending.wait(0.05):
            if sum(job.state == "open" for job in client.jobs(limit=50)) < self.pending_max:
                return


class Faults:
    """Something breaks, again and again, for so many seconds; each kind of fault at least once."""

    def __init__(self, rng: random.Random, fleet: MortalFleet, postgres: PgServer, redis: RedisServer,
                 cutter: CommitCutter) -> None:
        self.rng = rng
        self.fleet, self.postgres, self.redis, self.cutter = fleet, postgres, redis, cutter
        self.done: Counter[str] = Counter()

    def worker_dies(self) -> None:
        self.fleet.kill_worker(self.rng.choice(["worker-1", "worker-2"]))

    def zombie_wakes(self) -> None:
        self.fleet.stop_worker(self.rng.choice(["worker-1", "worker-2"]), LEASE_S + self.rng.uniform(0.2, 1.5))

    def coordinator_dies(self) -> None:
        self.fleet.kill_coordinator()

    def coordinator_hangs(self) -> None:
        self.fleet.stop_coordinator(self.rng.uniform(0.1, LEASE_S + 0.5))

    def postgres_dies(self) -> None:
        self.postgres.stop("immediate")
        time.sleep(self.rng.uniform(0, 1.0))
        self.postgres.start()

    def postgres_hangs(self) -> None:
        self.postgres.signal_all(signal.SIGSTOP)
        time.sleep(self.rng.uniform(0.1, 1.0))
        self.postgres.signal_all(signal.SIGCONT)

    def commits_are_cut(self) -> None:
        """Until one is: nothing may be sent just then, after another fault."""
        cuts = self.cutter.cuts
        self.cutter.share = 0.5
        time.sleep(self.rng.uniform(0.2, 0.8))
        wait_until(lambda: self.cutter.cuts > cuts, "a cut at COMMIT", 60)
        self.cutter.share = 0.0

    def connections_are_cut(self) -> None:
        self.cutter.cut("both")

    def redis_dies(self) -> None:
        self.redis.kill()
        time.sleep(self.rng.uniform(0, 1.0))
        self.redis.start()

    def run(self, seconds: float) -> None:
        kinds = [self.worker_dies, self.zombie_wakes, self.coordinator_dies, self.coordinator_hangs,
                 self.postgres_dies, self.postgres_hangs, self.commits_are_cut, self.connections_are_cut,
                 self.redis_dies]
        end = time.monotonic() + seconds
        while time.monotonic() < end or len(self.done) < len(kinds):
            if not (left := [kind for kind in kinds if not self.done[kind.__name__]]):
                left = kinds
            fault = self.rng.choice(left)
            self.done[fault.__name__] += 1
            fault()
            time.sleep(self.rng.uniform(0.1, 0.8))


class World:
    """Servers, a fleet that uses them, and a way between the workers and PostgreSQL that can be cut."""

    def __init__(self, folder: Path, coordinators: Callable[..., Coordinator], seed: int) -> None:
        self.rng = random.Random(seed)
        self.postgres = PgServer(folder / "pg")
        self.postgres.sql(TABLE)
        self.redis = RedisServer(folder / "redis", appendonly="yes", appendfsync="always")
        self.cutter = CommitCutter(f"tcp://127.0.0.1:{self.postgres.port}", random.Random(seed + 1))
        secret = folder / "password"
        secret.write_text("rows\n")
        secret.chmod(0o600)
        port = self.cutter.url.rsplit(":", 1)[1]
        self.fleet = MortalFleet(folder, coordinators(
            lease=f"{LEASE_S:g}s", kills_max=100,
            **{"sink.main.url": f"postgresql://worker@127.0.0.1:{port}/postgres",
               "sink.main.password_file": secret, "sink.cache.url": self.redis.url()}))

    def close(self) -> None:
        self.fleet.close()
        self.cutter.close()
        self.redis.close()
        self.postgres.close()


@pytest.fixture
def world(tmp_path: Path, coordinators: Callable[..., Coordinator]) -> Iterator[World]:
    one = World(tmp_path, coordinators, SEED)
    yield one
    one.close()


def submit_until(world: World, sinks: list[dict[str, Any]], faults: Callable[[], None]) -> dict[str, int]:
    """Jobs one after the other while the faults go on, and then until all have ended; their ids."""
    submitter = Submitter(world.fleet.coordinator.front, sinks)
    submitter.start()
    try:
        faults()
    finally:
        submitter.ending.set()
        submitter.join(60)
    assert not submitter.is_alive() and submitter.error is None, submitter.error
    with Client(world.fleet.coordinator.front, timeout=20) as client:
        for name, job in submitter.jobs.items():
            state = client.job(job).wait(timeout=120)
            assert (state.state, state.dead, state.rejects) == ("done", 0, 0), (name, state)
    return submitter.jobs


def test_rows_are_there_exactly_once_whatever_dies(world: World) -> None:
    print(f"DROVER_CHAOS_SEED={SEED}")
    faults = Faults(world.rng, world.fleet, world.postgres, world.redis, world.cutter)
    jobs = submit_until(world, [POSTGRES, REDIS], lambda: faults.run(SECONDS))
    want = {f"{name}/{i}" for name in jobs for i in range(ITEMS)}
    print(f"{len(jobs)} jobs, {len(want)} rows, {world.cutter.cuts} cuts at COMMIT, faults: {dict(faults.done)}")
    assert world.cutter.cuts > 0

    sql = world.postgres.sql
    rows = Counter(row[0] for row in sql("SELECT item FROM rows"))
    assert [item for item, n in rows.items() if n > 1][:5] == [], "doubled in PostgreSQL"
    assert rows.keys() == want, "missing in PostgreSQL, or nobody's"
    assert sql("SELECT sum(nrows) FROM drover.ledger") == [[str(len(want))]]
    # Every task that was reported done is in the ledger, with as many rows as it has in the table.
    assert sql("""SELECT count(*) FROM drover.ledger AS l FULL JOIN
        (SELECT drover_job AS job, drover_task AS task, count(*) AS n FROM rows GROUP BY 1, 2) AS r
        USING (job, task) WHERE l.nrows IS DISTINCT FROM r.n""") == [["0"]]
    with Client(world.fleet.coordinator.front) as client:
        done = sum(client.job(job).status().done for job in jobs.values())
    assert sql("SELECT count(*) FROM drover.ledger") == [[str(done)]]

    cache = world.redis.client(decode_responses=True)
    there = Counter(json.loads(row)["item"] for key in cache.scan_iter("rows:*:rows")
                    for row in cache.lrange(key, 0, -1))
    assert [item for item, n in there.items() if n > 1][:5] == [], "doubled in Redis"
    assert there.keys() == want, "missing in Redis, or nobody's"


def test_without_the_ledger_rows_are_doubled(world: World) -> None:
    """The control: the same harness, cuts alone, and no ledger. It must see doubled rows."""
    world.postgres.sql(NO_LEDGER)

    def faults() -> None:
        world.cutter.share = 0.5
        wait_until(lambda: world.cutter.cuts >= 3, "cuts at COMMIT", 60)
        world.cutter.share = 0.0

    submit_until(world, [POSTGRES], faults)
    assert int(world.postgres.value("SELECT count(*) - count(DISTINCT item) FROM rows")) > 0
