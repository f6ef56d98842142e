"""Rows land exactly once, whatever is killed: workers, the coordinator, PostgreSQL and Redis die, stop and
lose connections at COMMIT while jobs run into both; then every row is there once and the ledgers say so. Some
of the jobs scrape a site whose pages fail at times, so that their tasks end in parts: each of their URLs is
one row in either sink, or one reject.

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
from moody_site import MoodySite
from mortal_fleet import MortalFleet
from pg_server import PgServer
from polite_host import Relay
from redis_server import RedisServer

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python"))
from drover import Client, DroverError, Pipeline, Retry, noop, scrape  # noqa: E402

SEED = int(os.environ.get("DROVER_CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
SECONDS = float(os.environ.get("DROVER_CHAOS_SECONDS", "30"))
LEASE_S = 1.0
ITEMS = 4000
PAGES = 400

TABLE = """
CREATE TABLE rows (item text NOT NULL, drover_job uuid NOT NULL, drover_task bigint NOT NULL);
GRANT INSERT ON rows TO worker;
CREATE TABLE pages (url text NOT NULL, title text NOT NULL, drover_job uuid NOT NULL, drover_task bigint NOT NULL);
GRANT INSERT ON pages TO worker;
"""

# The control: a ledger that forgets, and so lets every batch pass.
NO_LEDGER = """
CREATE OR REPLACE FUNCTION drover.commit_tasks(jobs uuid[], generations bigint[], tasks bigint[], sinks smallint[],
    nrows integer[]) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, drover AS 'SELECT'
"""

POSTGRES = {"kind": "postgres", "name": "main", "table": "rows"}
REDIS = {"kind": "redis", "name": "cache", "prefix": "rows", "mode": "list"}
PAGES_SINKS = [{"kind": "postgres", "name": "main", "table": "pages"},
               {"kind": "redis", "name": "cache", "prefix": "pages", "mode": "list"}]
# A page is tried until it is had or is a reject; nothing is to become a dead letter.
PAGES_OPTIONS = {"task_items": 8, "retry": Retry(attempts=100, backoff=0.05, backoff_max=0.3, budget_percent=100)}


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

    def __init__(self, url: str, prefix: str, pipeline: Callable[[str], Pipeline], pending_max: int = 3,
                 **options: Any) -> None:
        super().__init__()
        self.url = url
        self.prefix = prefix
        self.pipeline = pipeline
        self.pending_max = pending_max
        self.options = options
        self.ending = threading.Event()
        self.jobs: dict[str, int] = {}
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            number = 0
            while not self.ending.is_set():
                self.submit(f"{self.prefix}-{number}")
                number += 1
        except BaseException as error:  # reported by the test's thread
            self.error = error

    def submit(self, name: str) -> None:
        while True:
            try:
                with Client(self.url, timeout=10) as client:
                    job = client.submit(self.pipeline(name), name=name, **self.options)
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
            mine = (job for job in client.jobs(limit=50) if (job.name or "").startswith(self.prefix))
            if sum(job.state == "open" for job in mine) < self.pending_max:
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

    def worker_dies_between_sinks(self) -> None:
        """Rows have landed in PostgreSQL, and wait for Redis."""
        self.redis.kill()
        time.sleep(self.rng.uniform(0.3, 1.0))
        self.worker_dies()
        self.redis.start()

    def worker_dies_unheard(self) -> None:
        """Rows have landed, and the coordinator has not taken notice."""
        assert self.fleet.coordinator.process
        self.fleet.coordinator.process.popen.send_signal(signal.SIGSTOP)
        time.sleep(self.rng.uniform(0.05, 0.3))
        self.worker_dies()
        self.fleet.coordinator.process.popen.send_signal(signal.SIGCONT)

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
        kinds = [self.worker_dies, self.worker_dies_between_sinks, self.worker_dies_unheard, self.zombie_wakes, self.coordinator_dies, self.coordinator_hangs,
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
               "sink.main.password_file": secret, "sink.cache.url": self.redis.url()}),
            "--allow-net", "127.0.0.0/8")
        self.site = MoodySite(seed + 2, hosts=6)

    def close(self) -> None:
        self.fleet.close()
        self.site.close()
        self.cutter.close()
        self.redis.close()
        self.postgres.close()


@pytest.fixture
def world(tmp_path: Path, coordinators: Callable[..., Coordinator]) -> Iterator[World]:
    one = World(tmp_path, coordinators, SEED)
    yield one
    one.close()


def rows_jobs(world: World, sinks: list[dict[str, Any]]) -> Submitter:
    def pipeline(name: str) -> Pipeline:
        return noop([f"{name}/{i}" for i in range(ITEMS)], rows=True)

    return Submitter(world.fleet.coordinator.front, "chaos", pipeline, sink=sinks, task_items=16)


def pages_jobs(world: World) -> Submitter:
    def pipeline(name: str) -> Pipeline:
        return scrape(world.site.urls(name, PAGES), extract={"url": "@url", "title": "h1::text"}, robots=False,
                      per_host=8, per_host_options={"autothrottle": False}, retry={"times": 0})

    return Submitter(world.fleet.coordinator.front, "pages", pipeline, sink=PAGES_SINKS, **PAGES_OPTIONS)


def submit_until(world: World, submitters: list[Submitter], faults: Callable[[], None]) -> None:
    """Jobs one after the other while the faults go on, and then until all have ended."""
    for submitter in submitters:
        submitter.start()
    try:
        faults()
    finally:
        for submitter in submitters:
            submitter.ending.set()
        for submitter in submitters:
            submitter.join(60)
    for submitter in submitters:
        assert not submitter.is_alive() and submitter.error is None, submitter.error
        with Client(world.fleet.coordinator.front, timeout=20) as client:
            for name, job in submitter.jobs.items():
                state = client.job(job).wait(timeout=120)
                assert (state.state, state.dead) == ("done", 0), (name, state, client.job(job).dead())


def test_rows_are_there_exactly_once_whatever_dies(world: World) -> None:
    print(f"DROVER_CHAOS_SEED={SEED}")
    faults = Faults(world.rng, world.fleet, world.postgres, world.redis, world.cutter)
    rows, pages = rows_jobs(world, [POSTGRES, REDIS]), pages_jobs(world)
    submit_until(world, [rows, pages], lambda: faults.run(SECONDS))
    print(f"faults: {dict(faults.done)}, {world.cutter.cuts} cuts at COMMIT")
    assert world.cutter.cuts > 0
    check_rows(world, rows.jobs)
    check_pages(world, pages.jobs)


def in_redis(world: World, prefix: str, column: str) -> Counter[str]:
    cache = world.redis.client(decode_responses=True)
    return Counter(json.loads(row)[column] for key in cache.scan_iter(f"{prefix}:*:rows")
                   for row in cache.lrange(key, 0, -1))


def check_rows(world: World, jobs: dict[str, int]) -> None:
    want = {f"{name}/{i}" for name in jobs for i in range(ITEMS)}
    print(f"{len(jobs)} jobs, {len(want)} rows")
    sql = world.postgres.sql
    rows = Counter(row[0] for row in sql("SELECT item FROM rows"))
    assert [item for item, n in rows.items() if n > 1][:5] == [], "doubled in PostgreSQL"
    assert rows.keys() == want, "missing in PostgreSQL, or nobody's"
    # Every task that was reported done is in the ledger, with as many rows as it has in the table.
    assert sql("""SELECT count(*) FROM drover.ledger AS l FULL JOIN
        (SELECT drover_job AS job, drover_task AS task, count(*) AS n FROM rows GROUP BY 1, 2) AS r
        USING (job, task) WHERE l.nrows IS DISTINCT FROM r.n AND job IN (SELECT drover_job FROM rows)""") == [["0"]]
    with Client(world.fleet.coordinator.front) as client:
        status = [client.job(job).status() for job in jobs.values()]
    assert sum(state.rejects for state in status) == 0
    assert sql("SELECT count(*) FROM drover.ledger WHERE job IN (SELECT drover_job FROM rows)") == [
        [str(sum(state.done for state in status))]]

    there = in_redis(world, "rows", "item")
    assert [item for item, n in there.items() if n > 1][:5] == [], "doubled in Redis"
    assert there.keys() == want, "missing in Redis, or nobody's"


def check_pages(world: World, jobs: dict[str, int]) -> None:
    """Each URL is one row in PostgreSQL and the same in Redis, or one reject."""
    want = Counter(url for name in jobs for url in world.site.urls(name, PAGES))
    sql = world.postgres.sql
    table = Counter(row[0] for row in sql("SELECT url FROM pages"))
    with Client(world.fleet.coordinator.front) as client:
        rejects = Counter(reject.input for job in jobs.values() for reject in client.job(job).rejects())
        stats = Counter[str]()
        for job in jobs.values():
            stats.update(client.job(job).status().stats)
    print(f"{len(jobs)} jobs, {len(table)} pages, {len(rejects)} rejects, {dict(stats)}")
    assert len(rejects) > 0, "a site where nothing is refused proves less"
    assert [url for url, n in (table + rejects).items() if n > 1][:5] == [], "doubled"
    assert list((want - table - rejects).elements())[:5] == [], "missing"
    assert table + rejects == want
    assert in_redis(world, "pages", "url") == table
    assert sql("SELECT sum(nrows) FROM drover.ledger WHERE job IN (SELECT drover_job FROM pages)") == [
        [str(len(table))]]


def test_without_the_ledger_rows_are_doubled(world: World) -> None:
    """The control: the same harness, cuts alone, and no ledger. It must see doubled rows."""
    world.postgres.sql(NO_LEDGER)

    def faults() -> None:
        world.cutter.share = 0.5
        wait_until(lambda: world.cutter.cuts >= 3, "cuts at COMMIT", 60)
        world.cutter.share = 0.0

    submit_until(world, [rows_jobs(world, [POSTGRES])], faults)
    assert int(world.postgres.value("SELECT count(*) - count(DISTINCT item) FROM rows")) > 0
