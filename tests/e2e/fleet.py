"""The programs of drover as processes, and peers that speak its protocol by hand.

Coordinator starts the real binary on free ports in a folder of its own. Front is a client and
FakeWorker a worker, written from docs/PROTOCOL.md alone, so that they also check the document.
Nothing here sleeps for luck: everything waits for an event with a deadline.
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgpack
import zmq

ROOT = pathlib.Path(__file__).resolve().parents[2]

HELLO, WELCOME, REFUSE, CREDIT, ASSIGN, RESULT, RESULT_ACK, HEARTBEAT = range(1, 9)
REVOKE, DRAIN, BYE, RESYNC = range(9, 13)
BREAKER, SINK, CALLS = range(14, 17)
CLOSED, OPEN, PROBE, QUARANTINED = range(4)
REQUEST, REPLY, ERROR = 32, 33, 34
SCRAPE, NOOP = 1, 8
DONE, RETRY, FAIL, RETURNED, LAND = range(5)
STORED, DISCARDED, LEAVE = range(3)

TIMEOUT_S = 20.0


def find_binary(name: str) -> pathlib.Path:
    """From the folder that DROVER_DIST names, dist/ or build/."""
    folders = [os.environ.get("DROVER_DIST"), ROOT / "dist", ROOT / "build/coordinator",
               ROOT / "build/worker", ROOT / "build/admin"]
    for folder in filter(None, folders):
        path = pathlib.Path(folder) / name
        if path.is_file():
            return path
    raise FileNotFoundError(f"{name} is in none of {[str(f) for f in folders if f]}: build it first")


def wait_until(check: Callable[[], Any], what: str, timeout_s: float = TIMEOUT_S) -> Any:
    """Polls until check() is true and returns what it gave."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.01)


class Process:
    """One process with its output in a file."""

    def __init__(self, name: str, args: list[str], folder: pathlib.Path,
                 env: dict[str, str] | None = None) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                args, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=folder,
                env={**{k: v for k, v in os.environ.items() if not k.startswith("DROVER_") or k == "DROVER_TEST_RUN"},
                     **(env or {})})

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def running(self) -> bool:
        return self.popen.poll() is None

    def kill(self) -> None:
        """kill -9, and waits until it is gone."""
        if self.running():
            self.popen.kill()
        self.popen.wait(TIMEOUT_S)

    def terminate(self, timeout_s: float = TIMEOUT_S) -> int:
        """SIGTERM; the exit code."""
        if self.running():
            self.popen.send_signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = TIMEOUT_S) -> int:
        return self.popen.wait(timeout_s)


class Coordinator:
    """drover-coordinator with its data directory, which outlives its processes."""

    def __init__(self, folder: pathlib.Path, name: str = "coordinator", **options: Any) -> None:
        self.folder = folder
        self.name = name
        self.data_dir = folder / f"{name}-data"
        self.options: dict[str, Any] = {"lease": "2s", **options}
        self.process: Process | None = None
        self.ports: dict[str, Any] = {}

    def args(self, ports_file: pathlib.Path) -> list[str]:
        options = {"data_dir": self.data_dir, "listen.front": "tcp://127.0.0.1:0",
                   "listen.back": "tcp://127.0.0.1:0", "listen.http": "http://127.0.0.1:0",
                   **self.options}
        flags = [f"--{key.replace('.', '-').replace('_', '-')}={value}"
                 for key, value in options.items()]
        return [str(find_binary("drover-coordinator")), *flags, f"--ports-file={ports_file}"]

    def spawn(self) -> Process:
        """Starts it without waiting: for starts that are expected to fail."""
        ports_file = self.folder / f"{self.name}.ports"
        ports_file.unlink(missing_ok=True)
        self.process = Process(self.name, self.args(ports_file), self.folder)
        return self.process

    def start(self) -> "Coordinator":
        process = self.spawn()
        ports_file = self.folder / f"{self.name}.ports"

        def serving() -> bool:
            assert process.running(), f"the coordinator ended:\n{process.text()}"
            return ports_file.exists()

        wait_until(serving, f"the ports file of {self.name}")
        self.ports = json.loads(ports_file.read_text())
        return self

    @property
    def front(self) -> str:
        return str(self.ports["front"])

    @property
    def back(self) -> str:
        return str(self.ports["back"])

    def keep_ports(self) -> None:
        """The next start binds the same addresses, as a real one does."""
        self.options.update({"listen.front": self.front, "listen.back": self.back,
                             "listen.http": self.ports["http"]})

    def kill(self) -> None:
        if self.process:
            self.process.kill()

    def stop(self) -> int:
        return self.process.terminate() if self.process else 0

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a page of the HTTP port."""
        try:
            with urllib.request.urlopen(self.ports["http"] + path, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self) -> dict[str, float]:
        """Every series, by its name with labels."""
        status, text = self.get("/metrics")
        assert status == 200
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


class RemoteError(Exception):
    """An ERROR answer."""

    def __init__(self, code: int, name: str, detail: str, retry_after_ms: int) -> None:
        super().__init__(f"{name}: {detail}")
        self.code, self.name, self.detail, self.retry_after_ms = code, name, detail, retry_after_ms


def dealer(url: str, keys: dict[str, bytes] | None = None) -> zmq.Socket[bytes]:
    """A DEALER; keys: curve_publickey, curve_secretkey, curve_serverkey."""
    socket = zmq.Context.instance().socket(zmq.DEALER)
    socket.linger = 0
    socket.sndtimeo = 5000  # a peer that is not let in must not hang the test
    for option, value in (keys or {}).items():
        setattr(socket, option, value)
    socket.connect(url)
    return socket


class Front:
    """A client."""

    def __init__(self, url: str, keys: dict[str, bytes] | None = None) -> None:
        self.socket = dealer(url, keys)
        self.seq = 0
        self.answers: dict[int, tuple[int, list[Any]]] = {}

    def close(self) -> None:
        self.socket.close()

    def send(self, verb: str, **args: Any) -> int:
        self.seq += 1
        self.socket.send(msgpack.packb([1, REQUEST, 0, 0, self.seq, 0, [verb, args]]))
        return self.seq

    def receive(self, seq: int, timeout_s: float = TIMEOUT_S) -> Any:
        """The answer to that request; others that come meanwhile are kept."""
        deadline = time.monotonic() + timeout_s
        while seq not in self.answers:
            left_ms = int((deadline - time.monotonic()) * 1000)
            if left_ms <= 0 or not self.socket.poll(left_ms):
                raise TimeoutError(f"no answer to request {seq} within {timeout_s:g} s")
            version, kind, _, session, answered, _, body = msgpack.unpackb(self.socket.recv())
            assert (version, session) == (1, 0)
            assert kind in (REPLY, ERROR) and answered == body[0]
            self.answers[answered] = (kind, body)
        kind, body = self.answers.pop(seq)
        if kind == ERROR:
            raise RemoteError(*body[1:5])
        return body[1]

    def call(self, verb: str, timeout_s: float = TIMEOUT_S, **args: Any) -> Any:
        return self.receive(self.send(verb, **args), timeout_s)

    # ---- what most tests do ----

    def submit(self, items: Iterable[str] = (), chunk: int = 1000, seal: bool = True,
               idem: str | None = None, **spec: Any) -> int:
        """A job of the noop engine, unless spec says otherwise; its id."""
        text = json.dumps({"drover": 1, "stages": [{"kind": "noop"}], "sinks": [{"kind": "store"}],
                           **spec})
        args = {"spec": text, **({"idem": idem} if idem else {})}
        job = int(self.call("job.submit", **args)["job"])
        every = list(items)
        for number, at in enumerate(range(0, len(every), chunk)):
            self.call("job.input", job=job, chunk=number, items=every[at:at + chunk])
        if seal:
            self.call("job.seal", job=job)
        return job

    def wait(self, job: int, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        """The job map once it has ended."""
        deadline = time.monotonic() + timeout_s
        value = self.call("job.status", job=job)
        while value["state"] == "open":
            left_s = deadline - time.monotonic()
            assert left_s > 0, f"job {job} did not end within {timeout_s:g} s: {value}"
            value = self.call("job.wait", left_s + 5, job=job, version=value["version"],
                              wait_ms=int(min(left_s, 5) * 1000))
        return value

    def batches(self, job: int, wait_ms: int = 1000) -> Iterator[tuple[int, int, bytes]]:
        """Everything in the job's store sink, until the job has ended."""
        cursor, end = 0, False
        while not end:
            value = self.call("job.results", wait_ms / 1000 + 10, job=job, cursor=cursor,
                              wait_ms=wait_ms)
            cursor, end = value["cursor"], value["end"]
            yield from (tuple(batch) for batch in value["batches"])

    def rows(self, job: int) -> list[str]:
        """The rows of text_batch()es."""
        return [text for _, _, wire in self.batches(job) for text in read_texts(wire)]


def text_batch(texts: list[str]) -> list[Any]:
    """A batch with one text column, in wire form (docs/PROTOCOL.md)."""
    data = [text.encode() for text in texts]
    ends, end = b"", 0
    for one in data:
        end += len(one)
        ends += end.to_bytes(4, "little")
    return [1, len(texts), [["item", 5, None, b"".join(data), ends]]]


def read_texts(wire: bytes) -> list[str]:
    _, n_rows, columns = msgpack.unpackb(wire)
    _, kind, _, data, ends = columns[0]
    assert kind == 5
    bounds = [0, *(int.from_bytes(ends[i * 4:i * 4 + 4], "little") for i in range(n_rows))]
    return [data[bounds[i]:bounds[i + 1]].decode() for i in range(n_rows)]


class Task:
    """One lease out of an ASSIGN."""

    def __init__(self, epoch: int, fields: list[Any]) -> None:
        self.id, self.counter, self.job, self.attempt, self.grant, self.timeout_ms = fields[:6]
        self.input = fields[6]
        self.whole = fields[7]
        self.epoch = epoch

    @property
    def token(self) -> list[int]:
        return [self.id, self.epoch, self.counter]


def result(task: Task, outcome: int = DONE, rows: list[str] | None = None, error: str | None = None,
           stats: dict[str, int] | None = None, rejects: list[list[Any]] | None = None,
           found: list[list[Any]] | None = None, again: list[list[Any]] | None = None,
           retry_after_ms: int = 0) -> list[Any]:
    """One element of a RESULT message. rows None and DONE: the task's input."""
    if rows is None and outcome == DONE:
        rows = list(task.input)
    batch = text_batch(rows) if rows else None
    return [*task.token, outcome, error, batch, len(rows or []), [list(s) for s in (stats or {}).items()],
            rejects or [], len(rejects or []), found or [], again or [], 0, 0, retry_after_ms]


class FakeWorker:
    """A worker that does what the test tells it. It sends a heartbeat whenever it waits."""

    def __init__(self, url: str, name: str = "w1", kinds: int = NOOP, slots: int = 4,
                 keys: dict[str, bytes] | None = None) -> None:
        self.url, self.name, self.kinds, self.slots, self.keys = url, name, kinds, slots, keys
        self.boot = os.urandom(16)
        self.socket = dealer(url, keys)
        self.epoch = self.session = self.seq = self.seq_in = 0
        self.credit_tasks = self.credit_bytes = 0
        self.heartbeat_s = 0.2
        self.heartbeat_due = 0.0
        self.specs: dict[int, Any] = {}
        self.held: dict[int, Task] = {}
        self.acks: dict[int, int] = {}
        self.revoked: dict[int, str] = {}
        self.uids: dict[int, bytes] = {}
        self.sinks: dict[str, tuple[str, dict[str, str]]] = {}
        self.told: dict[str, int] = {}
        self.counters: dict[str, int] = {}

    def close(self) -> None:
        self.socket.close()

    def reconnect(self, url: str | None = None) -> None:
        """A new connection, as after a network fault."""
        self.close()
        self.socket = dealer(url or self.url, self.keys)

    # ---- messages ----

    def raw(self, frame: bytes) -> None:
        self.socket.send(frame)

    def send(self, kind: int, body: list[Any]) -> None:
        self.seq += 1
        self.raw(msgpack.packb([1, kind, self.epoch, self.session, self.seq, self.seq_in, body]))

    def receive(self, timeout_s: float = TIMEOUT_S) -> tuple[int, list[Any]] | None:
        """The next message but heartbeats; None when there is none in time."""
        deadline = time.monotonic() + timeout_s
        while True:
            now = time.monotonic()
            if self.session and now >= self.heartbeat_due:
                self.heartbeat()
            wait_s = min(deadline - now, self.heartbeat_s)
            if not self.socket.poll(max(0, int(wait_s * 1000))):
                if time.monotonic() >= deadline:
                    return None
                continue
            version, kind, epoch, session, seq, _, body = msgpack.unpackb(self.socket.recv())
            assert version == 1
            if kind in (REFUSE, RESYNC) or (kind == BYE and seq == 0):
                return kind, body
            if kind == WELCOME:
                assert seq == 1
                self.epoch, self.session, self.seq_in = epoch, session, 1
                self.heartbeat_s = body[2] / 1000
                return kind, body
            if session != self.session:
                continue  # of a session that is over
            assert (epoch, seq) == (self.epoch, self.seq_in + 1), "a message is missing"
            self.seq_in = seq
            if kind != HEARTBEAT:
                return kind, body

    def expect(self, kind: int, timeout_s: float = TIMEOUT_S) -> list[Any]:
        """The next message, which must be of that kind; ASSIGN, acks and revokes are noted."""
        deadline = time.monotonic() + timeout_s
        while True:
            message = self.receive(deadline - time.monotonic())
            assert message, f"no message of type {kind} within {timeout_s:g} s"
            self.note(*message)
            if message[0] == kind:
                return message[1]

    def note(self, kind: int, body: list[Any]) -> None:
        if kind == ASSIGN:
            for job, spec, uid, generation in body[0]:
                assert len(uid) == 16 and generation == 1
                self.specs[job], self.uids[job] = json.loads(spec), uid
                for sink in self.specs[job].get("sinks", []):
                    if sink["kind"] != "store":
                        assert sink.get("name", sink["kind"]) in self.sinks, "a job before its sink"
            for fields in body[1]:
                task = Task(self.epoch, fields)
                assert task.job in self.specs, "a task without its job's description"
                self.held[task.id] = task
        elif kind == RESULT_ACK:
            for task, _, _, code, _ in body:
                self.acks[task] = code
                if code != LEAVE:
                    self.held.pop(task, None)
        elif kind == SINK:
            name, sink_kind, settings = body
            assert name not in self.sinks, "a sink is sent once in a session"
            self.sinks[name] = (sink_kind, dict(settings))
        elif kind == BREAKER:
            self.told.update(dict(body))
        elif kind == REVOKE:
            for task, _, _, _, reason in body:
                self.revoked[task] = reason
                self.held.pop(task, None)

    # ---- what workers do ----

    def hello(self, held: Iterable[Task] = (), versions: tuple[int, int] = (1, 1)) -> list[Any]:
        self.send_hello(held, versions)
        body = self.expect(WELCOME)
        self.credit_tasks = self.credit_bytes = 0
        return body

    def send_hello(self, held: Iterable[Task] = (), versions: tuple[int, int] = (1, 1)) -> None:
        self.epoch = self.session = self.seq = 0
        self.sinks.clear()
        self.told.clear()
        self.send(HELLO, [*versions, self.name, self.boot, self.kinds, self.slots, "0.1.0", "host",
                          [task.token for task in held]])

    def heartbeat(self) -> None:
        self.heartbeat_due = time.monotonic() + self.heartbeat_s
        self.send(HEARTBEAT, [len(self.held), 0, 0, 1 << 20, 0.5, 0, 0, 0,
                              [list(counter) for counter in self.counters.items()]])

    def credit(self, tasks: int) -> None:
        """May hold so many more."""
        self.credit_tasks += tasks
        self.credit_bytes += tasks << 20
        self.send(CREDIT, [self.credit_tasks, self.credit_bytes])

    def results(self, results: list[list[Any]]) -> None:
        self.send(RESULT, results)

    def live_until(self, check: Callable[[], Any], what: str, timeout_s: float = TIMEOUT_S) -> Any:
        """As wait_until, with heartbeats meanwhile, so that the session goes on."""
        def alive() -> Any:
            message = self.receive(0.02)
            if message:
                self.note(*message)
            return check()

        return wait_until(alive, what, timeout_s)

    def calls(self, downstream: str, ok: int = 0, fail: int = 0, slow: int = 0, waiting: int = 0,
              error: str | None = None) -> None:
        """Says what came of calls to a downstream."""
        self.send(CALLS, [[downstream, ok, fail, slow, waiting, error]])

    def until_told(self, downstream: str, state: int, timeout_s: float = TIMEOUT_S) -> None:
        """Waits until the last word about a downstream is this one."""
        deadline = time.monotonic() + timeout_s
        while self.told.get(downstream, CLOSED) != state:
            self.expect(BREAKER, deadline - time.monotonic())

    def take(self, n: int, timeout_s: float = TIMEOUT_S) -> list[Task]:
        """Waits until n tasks are held."""
        deadline = time.monotonic() + timeout_s
        while len(self.held) < n:
            self.expect(ASSIGN, deadline - time.monotonic())
        return list(self.held.values())

    def finish(self, tasks: Iterable[Task], timeout_s: float = TIMEOUT_S) -> None:
        """Sends results of tasks that are done, and waits for the acknowledgements."""
        tasks = list(tasks)
        self.results([result(task) for task in tasks])
        deadline = time.monotonic() + timeout_s
        while any(task.id not in self.acks for task in tasks):
            self.expect(RESULT_ACK, deadline - time.monotonic())

    def work(
            self, until: Callable[[], bool], timeout_s: float = TIMEOUT_S, window: int = 200) -> None:
        """Does every task that is held or comes, until the check is true (looked at between
        messages)."""
        deadline = time.monotonic() + timeout_s
        sent: set[int] = set()
        self.credit(window - len(self.held))
        while not until():
            assert time.monotonic() < deadline, f"not within {timeout_s:g} s"
            todo = [task for task in self.held.values() if task.counter not in sent]
            for at in range(0, len(todo), 500):
                self.results([result(task) for task in todo[at:at + 500]])
            sent.update(task.counter for task in todo)
            message = self.receive(0.05)
            if message:
                self.note(*message)
                if message[0] == RESULT_ACK:
                    self.credit(len(message[1]))
