"""./scripts/bench queue: what a task that does nothing costs, from submit to acknowledged completion.

Cases, all durable as each engine can be:
  fsync        4 KiB written to a file on the same disk and fdatasync'ed, in ms: the limit of the
               machine; in place, and at the end of a file that grows
  bulk         tasks submitted together and run by one worker; tasks/s from the first byte of the
               submit until the last completion is on disk
  one a call   each task in a request of its own, 128 requests ahead of their answers; tasks/s of
               acknowledged submits, while a worker runs them
  dispatch     an idle fleet, one task at a time: from sending it until a worker has it
  round trip   the same until its completion is acknowledged
  job          drover alone: a whole job of one task through the Python client, submit() and wait()
  backlog      drover alone: tasks/s of a worker that is started beside two million pending tasks
  memory       bytes of the server's memory for each further pending task, at a million

drover acknowledges after fsync, the submit and the completion. beanstalkd writes its log (-b) and
syncs every 50 ms, Celery goes by Redis with an append-only file, synced every second: their defaults.
One process of the server and one worker each. Latencies are p50 and p99, and p1: what is left when
nobody else wants the processors. With --case NAME only the cases that begin so.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import msgpack
import zmq

from _harness import DIST, OURS, ROOT, Bench, Sample, free_port, note, peak_mb, resident, server, tool
from peers import beanstalk

sys.path.insert(0, str(ROOT / "tests/e2e"))

from drover import Client, noop
from drover._protocol import Request, Session
from fleet import ASSIGN, RESULT_ACK, FakeWorker, Front, result

BULK = 200_000
BEANSTALK = 100_000
CELERY = 3_000  # it does some hundred to a few thousand a second
ONE_A_CALL = 50_000
WINDOW = 128  # a connection's queue of answers holds at least so many (PROTOCOL.md)
LATENCY = 500
JOBS = 200
SYNCS = 1000
PENDING = 1_000_000
ROUNDS = 3
PEERS = Path(__file__).parent / "peers"

Latencies = Dict[str, List[float]]  # by case, seconds


class Fleet:
    """A coordinator in a folder of its own, with workers as asked for."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.front = f"tcp://127.0.0.1:{free_port()}"
        self.back = f"tcp://127.0.0.1:{free_port()}"
        self._workers = ExitStack()
        self._coordinator = server([DIST / "drover-coordinator", "--data-dir", folder / "data",
                                    "--listen-front", self.front, "--listen-back", self.back,
                                    "--listen-http", f"http://127.0.0.1:{free_port()}",
                                    "--log-level", "warn", *options])

    def __enter__(self) -> "Fleet":
        self.process = self._coordinator.__enter__()
        self.client = Client(self.front).__enter__()
        self.client.info()
        return self

    def worker(self) -> None:
        """Starts a worker and waits until it is there."""
        self._workers.enter_context(server([
            DIST / "drover-worker", "--coordinator", self.back, "--id", "bench", "--log-level", "warn"]))
        while not any(worker["state"] == "ready" for worker in self.client.workers()):
            time.sleep(0.01)

    def no_worker(self) -> None:
        """Ends the workers and waits until they are gone."""
        self._workers.close()
        while any(worker["state"] == "ready" for worker in self.client.workers()):
            time.sleep(0.01)

    def __exit__(self, *error: object) -> None:
        self.client.close()
        self._workers.close()
        self._coordinator.__exit__(None, None, None)

    def rss(self) -> int:
        """Bytes of the coordinator that are resident now."""
        return resident(self.process.pid)


def texts(n: int) -> Iterator[str]:
    return (f"task-{i}" for i in range(n))


def drover_bulk(fleet: Fleet) -> Sample:
    start = time.monotonic()
    job = fleet.client.submit(noop(texts(BULK)), task_items=1)
    state = job.wait()
    seconds = time.monotonic() - start
    assert state.done == BULK, state
    return Sample(BULK / seconds, "tasks/s", peak_mb(fleet.process.pid))


def drover_one_a_call(fleet: Fleet) -> Sample:
    """job.input with a single item, each acknowledged after its fsync."""
    session = Session()
    socket = zmq.Context.instance().socket(zmq.DEALER)
    socket.rcvtimeo = 10_000
    socket.connect(fleet.front)

    def ask(verb: str, **args: Any) -> Any:
        socket.send(session.send(Request(verb, args))[1])
        answer = session.receive(socket.recv())
        assert answer is not None and not isinstance(answer[1], Exception), answer
        return answer[1]

    spec = '{"drover":1,"stages":[{"kind":"noop"}],"task_items":1}'
    job = ask("job.submit", spec=spec, idem=os.urandom(8).hex())["job"]
    messages = [session.send(Request("job.input", {"job": job, "chunk": i, "items": [f"task-{i}"]}))[1]
                for i in range(ONE_A_CALL)]
    start = time.monotonic()
    for message in messages[:WINDOW]:
        socket.send(message)
    for answered in range(ONE_A_CALL):
        answer = msgpack.unpackb(socket.recv())
        assert answer[1] == 33, answer
        if answered + WINDOW < ONE_A_CALL:
            socket.send(messages[answered + WINDOW])
    seconds = time.monotonic() - start
    ask("job.seal", job=job)
    fleet.client.job(job).wait()
    socket.close(0)
    return Sample(ONE_A_CALL / seconds, "tasks/s", peak_mb(fleet.process.pid))


def drover_latencies(fleet: Fleet) -> Latencies:
    """By the protocol itself, as beanstalk.latencies() does it: this process is client and worker.
    The fleet has no other worker."""
    client, worker = Front(fleet.front), FakeWorker(fleet.back, "latency")
    dispatch, round_trip = [], []
    job = client.submit(seal=False, task_items=1)
    worker.hello()
    worker.credit(LATENCY)
    for number in range(LATENCY):
        start = time.perf_counter()
        seq = client.send("job.input", job=job, chunk=number, items=["task"])
        worker.expect(ASSIGN)
        dispatch.append(time.perf_counter() - start)
        worker.results([result(task, rows=[]) for task in worker.held.values()])
        worker.expect(RESULT_ACK)
        round_trip.append(time.perf_counter() - start)
        client.receive(seq)
    client.call("job.seal", job=job)
    client.close()
    worker.close()
    return {"dispatch": dispatch, "round trip": round_trip}


def drover_jobs(fleet: Fleet) -> Latencies:
    seconds = []
    for _ in range(JOBS):
        start = time.perf_counter()
        fleet.client.submit(noop(["task"])).wait()
        seconds.append(time.perf_counter() - start)
    return {"job": seconds}


def fsyncs(folder: Path) -> Latencies:
    """What one commit costs at least: 4 KiB written and synced. In place, as the store's log is written
    once it has its size, and at the end of a file that grows, as a log is that is never used again."""
    latencies: Latencies = {}
    page = b"x" * 4096
    for case, existing in (("fsync", SYNCS), ("fsync growing", 0)):
        file = os.open(folder / "syncs", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.pwrite(file, page * existing, 0)
        os.fsync(file)
        latencies[case] = []
        for number in range(SYNCS):
            start = time.perf_counter()
            os.pwrite(file, page, number * len(page))
            os.fdatasync(file)
            latencies[case].append(time.perf_counter() - start)
        os.close(file)
    return latencies


def drover_pending(bench: Bench, fleet: Fleet) -> None:
    """The store's page cache is full before, and inputs are not kept, so that only the tasks count."""
    jobs = [fleet.client.submit(noop(texts(PENDING)), task_items=1)]
    before = fleet.rss()
    jobs.append(fleet.client.submit(noop(texts(PENDING)), task_items=1))
    bench.add("memory", OURS, Sample((fleet.rss() - before) / PENDING, "bytes/task",
                                     peak_mb(fleet.process.pid)))
    note("two million tasks wait; a worker comes")
    start = time.monotonic()
    fleet.worker()
    for job in jobs:
        job.wait()
    bench.add("backlog", OURS, Sample(2 * PENDING / (time.monotonic() - start), "tasks/s",
                                      peak_mb(fleet.process.pid)))


class Celery:
    """A Redis with a log and one Celery worker."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        self.env = {**os.environ, "BENCH_REDIS_URL": self.url, "PYTHONPATH": str(PEERS)}
        self._redis = server(["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "",
                              "--appendonly", "yes", "--dir", folder], port)
        self._worker = server(
            ["/usr/bin/python3", "-m", "celery", "-A", "celery_app", "worker", "-c", "1", "--loglevel",
             "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"],
            env=self.env, stderr=subprocess.DEVNULL, cwd=folder)

    def __enter__(self) -> "Celery":
        import redis

        self._redis.__enter__()
        self._worker.__enter__()
        os.environ["BENCH_REDIS_URL"] = self.url
        sys.path.insert(0, str(PEERS))
        import celery_app

        self.app = celery_app
        self.redis = redis.Redis.from_url(self.url)
        self.mark()
        return self

    def __exit__(self, *error: object) -> None:
        self.redis.close()
        self._worker.__exit__(None, None, None)
        self._redis.__exit__(None, None, None)

    def mark(self) -> None:
        """Waits until a task that is sent now was run, and with it all before."""
        self.app.mark.delay("marks")
        assert self.redis.blpop("marks", 60) is not None

    def bulk(self) -> Sample:
        start = time.monotonic()
        for item in texts(CELERY):
            self.app.noop.delay(item)
        self.mark()
        return Sample(CELERY / (time.monotonic() - start), "tasks/s")

    def one_a_call(self) -> Sample:
        start = time.monotonic()
        for item in texts(CELERY):
            self.app.noop.delay(item)
        seconds = time.monotonic() - start
        self.mark()
        return Sample(CELERY / seconds, "tasks/s")

    def latencies(self) -> Latencies:
        seconds = []
        for _ in range(LATENCY):
            start = time.perf_counter()
            self.mark()
            seconds.append(time.perf_counter() - start)
        return {"dispatch": seconds}


class Beanstalkd:
    """beanstalkd with its log."""

    def __init__(self, folder: Path, program: str) -> None:
        self.port = free_port()
        self._server = server([program, "-l", "127.0.0.1", "-p", self.port, "-b", folder], self.port)

    def __enter__(self) -> "Beanstalkd":
        self.pid = self._server.__enter__().pid
        return self

    def __exit__(self, *error: object) -> None:
        self._server.__exit__(None, None, None)

    def bulk(self) -> Sample:
        start = time.monotonic()
        beanstalk.put(self.port, BEANSTALK, WINDOW)
        beanstalk.drain(self.port, BEANSTALK, WINDOW)
        return Sample(BEANSTALK / (time.monotonic() - start), "tasks/s", peak_mb(self.pid))

    def one_a_call(self) -> Sample:
        """Nobody takes them meanwhile, which is easier than what drover does."""
        sample = Sample(beanstalk.put(self.port, ONE_A_CALL, WINDOW), "tasks/s", peak_mb(self.pid))
        beanstalk.drain(self.port, ONE_A_CALL, WINDOW)
        return sample

    def latencies(self) -> Latencies:
        dispatch, round_trip = beanstalk.latencies(self.port, LATENCY)
        return {"dispatch": dispatch, "round trip": round_trip}

    def pending(self) -> Sample:
        before = resident(self.pid)
        beanstalk.put(self.port, PENDING, 4096)
        return Sample((resident(self.pid) - before) / PENDING, "bytes/task", peak_mb(self.pid))


def add_latencies(bench: Bench, engine: str, latencies: Latencies) -> None:
    for case, seconds in latencies.items():
        ordered = sorted(seconds)
        for percent in (1, 50, 99):
            value = 1000 * ordered[len(ordered) * percent // 100]
            bench.add(f"{case} p{percent}", engine, Sample(value, "ms"))
            note(f"{case} p{percent} {engine}: {value:.2f} ms")


def measure(bench: Bench, folder: Path, wanted: str) -> None:
    def want(case: str) -> bool:
        return case.startswith(wanted)

    def folder_of(name: str) -> Path:
        path = folder / name
        path.mkdir()
        return path

    beanstalkd = tool("beanstalkd", "/usr/bin/beanstalkd")
    with ExitStack() as stack:
        fleet = stack.enter_context(Fleet(folder_of("drover")))
        engines: Dict[str, Any] = {}
        if beanstalkd is None:
            bench.miss("beanstalkd", "needs the package beanstalkd")
        else:
            engines["beanstalkd"] = stack.enter_context(
                Beanstalkd(folder_of("beanstalkd"), beanstalkd))
        try:
            engines["celery"] = stack.enter_context(Celery(folder_of("celery")))
        except (ImportError, FileNotFoundError) as why:
            bench.miss("celery", f"needs python3-celery, python3-redis, redis-server: {why}")
        for _ in range(ROUNDS):
            if want("fsync"):
                add_latencies(bench, "disk", fsyncs(folder))
            if want("dispatch") or want("round trip"):
                add_latencies(bench, OURS, drover_latencies(fleet))
                for name, engine in engines.items():
                    add_latencies(bench, name, engine.latencies())
        fleet.worker()
        for _ in range(ROUNDS if want("job") else 0):
            add_latencies(bench, OURS, drover_jobs(fleet))
        if want("bulk"):
            bench.rounds("bulk", {OURS: lambda: drover_bulk(fleet),
                                  **{name: engine.bulk for name, engine in engines.items()}}, ROUNDS)
        if want("one a call"):
            bench.rounds("one a call", {
                OURS: lambda: drover_one_a_call(fleet),
                **{name: engine.one_a_call for name, engine in engines.items()}}, ROUNDS)
    if want("memory") or want("backlog"):
        with Fleet(folder_of("drover-memory"), "--limits-inputs-memory", "0") as fleet:
            drover_pending(bench, fleet)
        if beanstalkd is not None:
            with Beanstalkd(folder_of("beanstalkd-memory"), beanstalkd) as peer:
                bench.add("memory", "beanstalkd", peer.pending())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", default="", help="only the cases whose names begin so")
    arguments = parser.parse_args()
    bench = Bench("queue")
    with tempfile.TemporaryDirectory(prefix="drover-bench-") as name:
        measure(bench, Path(name), arguments.case)
    bench.report()


if __name__ == "__main__":
    main()
