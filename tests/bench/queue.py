"""./scripts/bench queue: what a task that does nothing costs, from submit to acknowledged completion.

Cases, all durable as each engine can be:
  bulk         200,000 tasks submitted together and run by one worker; tasks/s from the first byte of
               the submit until the last completion is on disk
  one a call   each task in a request of its own, 256 requests ahead of their answers; tasks/s of
               acknowledged submits
  latency      one task at a time through an idle fleet: submit until done, p50 and p99
  memory       bytes of the server's memory for each pending task, at a million

drover acknowledges after fsync. beanstalkd writes its log (-b) and syncs every 50 ms, as it does by
default. Celery goes by Redis with append-only file, synced every second, as Redis does by default;
one worker process.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List

import msgpack
import zmq

from _harness import DIST, OURS, Bench, Sample, free_port, note, peak_mb, server, tool
from peers import beanstalk

from drover import Client, noop
from drover._protocol import Request, Session

BULK = 200_000
CELERY = 4_000  # it does some hundred to a few thousand a second
ONE_A_CALL = 50_000
WINDOW = 256
LATENCY = 300
PENDING = 1_000_000
PEERS = Path(__file__).parent / "peers"


class Fleet:
    """A coordinator in a folder of its own, with workers as asked for."""

    def __init__(self, folder: Path) -> None:
        self.front = f"tcp://127.0.0.1:{free_port()}"
        self.back = f"tcp://127.0.0.1:{free_port()}"
        self._coordinator = server([DIST / "drover-coordinator", "--data-dir", folder / "data",
                                    "--listen-front", self.front, "--listen-back", self.back,
                                    "--listen-http", f"http://127.0.0.1:{free_port()}",
                                    "--log-level", "warn"])
        self._workers: List[Any] = []

    def __enter__(self) -> "Fleet":
        self.process = self._coordinator.__enter__()
        self.client = Client(self.front).__enter__()
        self.client.info()
        return self

    def worker(self) -> None:
        """Starts a worker and waits until it is there."""
        context = server([DIST / "drover-worker", "--coordinator", self.back, "--id", "bench",
                          "--log-level", "warn"])
        context.__enter__()
        self._workers.append(context)
        while not any(worker["state"] == "ready" for worker in self.client.workers()):
            time.sleep(0.01)

    def __exit__(self, *error: object) -> None:
        self.client.close()
        for context in self._workers:
            context.__exit__(None, None, None)
        self._coordinator.__exit__(None, None, None)

    def rss(self) -> int:
        """Bytes of the coordinator that are resident now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


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
    for sent in range(min(WINDOW, ONE_A_CALL)):
        socket.send(messages[sent])
    for answered in range(ONE_A_CALL):
        kind, body = msgpack.unpackb(socket.recv())[1::5]
        assert kind == 33, body
        if answered + WINDOW < ONE_A_CALL:
            socket.send(messages[answered + WINDOW])
    seconds = time.monotonic() - start
    ask("job.seal", job=job)
    fleet.client.job(job).wait()
    socket.close(0)
    return Sample(ONE_A_CALL / seconds, "tasks/s", peak_mb(fleet.process.pid))


def drover_latencies(fleet: Fleet) -> List[float]:
    seconds = []
    for _ in range(LATENCY):
        start = time.monotonic()
        fleet.client.submit(noop(["task"])).wait()
        seconds.append(time.monotonic() - start)
    return seconds


def drover_pending(fleet: Fleet) -> float:
    """Bytes a pending task. The input cache is full before, so that only the tasks are counted."""
    fleet.client.submit(noop(texts(PENDING)), task_items=1)
    before = fleet.rss()
    fleet.client.submit(noop(texts(PENDING)), task_items=1)
    return (fleet.rss() - before) / PENDING


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

    def latencies(self) -> List[float]:
        seconds = []
        for _ in range(LATENCY):
            start = time.monotonic()
            self.mark()
            seconds.append(time.monotonic() - start)
        return seconds


def beanstalk_bulk(port: int, pid: int) -> Sample:
    start = time.monotonic()
    beanstalk.put(port, BULK, WINDOW)
    beanstalk.drain(port, BULK, WINDOW)
    return Sample(BULK / (time.monotonic() - start), "tasks/s", peak_mb(pid))


def add_latencies(bench: Bench, engine: str, rounds: List[List[float]]) -> None:
    for seconds in rounds:
        ordered = sorted(seconds)
        bench.add("latency p50", engine, Sample(1000 * statistics.median(ordered), "ms"))
        bench.add("latency p99", engine, Sample(1000 * ordered[int(len(ordered) * 0.99)], "ms"))


def beanstalk_bytes(folder: Path, program: str) -> float:
    port = free_port()
    with server([program, "-l", "127.0.0.1", "-p", port, "-b", folder], port) as process:
        statm = Path(f"/proc/{process.pid}/statm")
        before = int(statm.read_text().split()[1])
        beanstalk.put(port, PENDING, 4096)
        return (int(statm.read_text().split()[1]) - before) * os.sysconf("SC_PAGE_SIZE") / PENDING


def main() -> None:
    bench = Bench("queue")
    beanstalkd = tool("beanstalkd", "/usr/bin/beanstalkd")
    with tempfile.TemporaryDirectory(prefix="drover-bench-") as name:
        folders = {}
        for engine in ("drover", "drover-memory", "beanstalkd", "beanstalkd-memory", "celery"):
            folders[engine] = Path(name) / engine
            folders[engine].mkdir()
        with Fleet(folders["drover"]) as fleet:
            fleet.worker()
            runs: Dict[str, Dict[str, Any]] = {
                "bulk": {OURS: lambda: drover_bulk(fleet)},
                "one a call": {OURS: lambda: drover_one_a_call(fleet)},
            }
            latency = {OURS: lambda: drover_latencies(fleet)}
            open_peers: List[Any] = []
            try:
                if beanstalkd is None:
                    bench.miss("beanstalkd", "needs the package beanstalkd")
                else:
                    port = free_port()
                    context = server([beanstalkd, "-l", "127.0.0.1", "-p", port, "-b",
                                      folders["beanstalkd"]], port)
                    pid = context.__enter__().pid
                    open_peers.append(context)

                    def put_all() -> Sample:
                        sample = Sample(beanstalk.put(port, ONE_A_CALL, WINDOW), "tasks/s", peak_mb(pid))
                        beanstalk.drain(port, ONE_A_CALL, WINDOW)
                        return sample

                    runs["bulk"]["beanstalkd"] = lambda: beanstalk_bulk(port, pid)
                    runs["one a call"]["beanstalkd"] = put_all
                    latency["beanstalkd"] = lambda: beanstalk.latencies(port, LATENCY)
                try:
                    celery = Celery(folders["celery"])
                    celery.__enter__()
                    open_peers.append(celery)
                    runs["bulk"]["celery"] = celery.bulk
                    runs["one a call"]["celery"] = celery.one_a_call
                    latency["celery"] = celery.latencies
                except (ImportError, FileNotFoundError) as why:
                    bench.miss("celery", f"needs python3-celery, python3-redis, redis-server: {why}")
                for case, engines in runs.items():
                    bench.rounds(case, engines)
                for _ in range(3):
                    for engine, measure in latency.items():
                        add_latencies(bench, engine, [measure()])
                        note(f"latency {engine}")
            finally:
                for context in open_peers:
                    context.__exit__(None, None, None)
        with Fleet(folders["drover-memory"]) as fleet:
            bench.add("memory", OURS, Sample(drover_pending(fleet), "bytes/task"))
        if beanstalkd is not None:
            bench.add("memory", "beanstalkd", Sample(
                beanstalk_bytes(folders["beanstalkd-memory"], beanstalkd), "bytes/task"))
    bench.report()


if __name__ == "__main__":
    main()
