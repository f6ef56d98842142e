"""A coordinator made of a ROUTER socket and what a test tells it to say (docs/PROTOCOL.md).

It checks what every worker must keep: the envelope, numbers without a gap, credit that is never
passed. Tests wait for messages by type; nothing sleeps."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
import zmq

from fleet import find_binary

HELLO, WELCOME, REFUSE, CREDIT, ASSIGN, RESULT, RESULT_ACK = 1, 2, 3, 4, 5, 6, 7
HEARTBEAT, REVOKE, DRAIN, BYE, RESYNC = 8, 9, 10, 11, 12
BLOB, BREAKER, SINK, CALLS, BEGUN = 13, 14, 15, 16, 17
CLOSED, OPEN, PROBE, QUARANTINED = 0, 1, 2, 3
DONE, RETRY, FAIL, RETURNED, LAND = range(5)
STORED, DISCARDED, LEAVE = range(3)

WAIT_S = 20.0
NOOP = '{"drover": 1, "stages": [{"kind": "noop", "rows": true}], "sinks": [{"kind": "store"}]}'


def binary(name: str = "drover-worker") -> str:
    return str(find_binary(name))


def uid_of(job: int) -> bytes:
    """What names the job in sinks."""
    return job.to_bytes(16, "big")


def sanitized() -> bool:
    """AddressSanitizer and ThreadSanitizer use much more memory."""
    program = Path(binary()).read_bytes()
    return b"__asan_init" in program or b"__tsan_init" in program


@dataclass
class Result:
    task: int
    epoch: int
    counter: int
    outcome: int
    error: str | None
    rows: Any
    n_rows: int
    raw: list[Any] = field(repr=False, default_factory=list)

    @property
    def token(self) -> tuple[int, int, int]:
        return (self.task, self.epoch, self.counter)

    @property
    def stats(self) -> dict[str, int]:
        return dict(self.raw[7])

    @property
    def rejects(self) -> list[list[Any]]:
        return self.raw[8]

    @property
    def again(self) -> list[list[Any]]:
        return self.raw[11]

    @property
    def found(self) -> list[list[Any]]:
        return self.raw[10]

    @property
    def left(self) -> list[int]:
        """LAND: the places of the items that have no part in the rows."""
        return [i for i in range(8 * len(self.raw[15] or b"")) if self.raw[15][i // 8] >> i % 8 & 1]


@dataclass
class Calls:
    downstream: str
    ok: int
    fail: int
    slow: int
    waiting: int
    error: str | None
    row: int  # of the failures, those since the last success


def _result(raw: list[Any]) -> Result:
    return Result(*raw[:7], raw)


class FakeCoordinator:
    """One worker at a time. `auto_ack`: results are acknowledged as they come."""

    def __init__(
        self, epoch: int = 1, lease_ms: int = 3000, heartbeat_ms: int = 200, port: int = 0
    ) -> None:
        self.epoch, self.lease_ms, self.heartbeat_ms = epoch, lease_ms, heartbeat_ms
        self.context = zmq.Context.instance()
        self.socket = self.context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.port = port or self.socket.bind_to_random_port("tcp://127.0.0.1")
        if port:
            self._bind(port)
        self.peer: bytes | None = None
        self.session = 100 * epoch
        self.seq_out = self.seq_in = 0
        self.auto_ack = True
        self.silent = False
        self.welcome_draining = False
        self.hello: list[Any] | None = None
        self.hellos: list[list[Any]] = []
        self.results: list[Result] = []
        self.heartbeats: list[list[Any]] = []
        self.calls: list[Calls] = []
        self.blobs: dict[bytes, bytes] = {}  # by the 32 bytes of the name
        self.blob_asks: list[list[Any]] = []
        self.blobs_wait = False  # questions are noted and not answered
        self.begun: list[tuple[int, int, int]] = []
        self.credit = [0, 0]
        self.assigned = 0
        self.byes: list[str] = []
        self.counter = 0
        self.jobs_told: set[int] = set()
        self._beat_at = 0.0

    def _bind(self, port: int) -> None:
        until = time.monotonic() + WAIT_S
        while True:
            try:
                self.socket.bind(f"tcp://127.0.0.1:{port}")
                return
            except zmq.ZMQError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)

    @property
    def url(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def close(self) -> None:
        self.socket.close(0)

    # ---- sending ----

    def send(self, kind: int, body: Any, seq: int | None = None) -> None:
        assert self.peer is not None
        if seq is None:
            self.seq_out += 1
            seq = self.seq_out
        message = [1, kind, self.epoch, self.session, seq, self.seq_in, body]
        self.socket.send_multipart([self.peer, msgpack.packb(message)])

    def assign(
        self, inputs: list[list[Any]], job: int = 1, spec: str = NOOP, first_task: int = 1, **kw: Any
    ) -> list[tuple[int, int, int]]:
        """One task for each list of items; the tokens."""
        tokens, tasks = [], []
        for i, items in enumerate(inputs):
            self.counter += 1
            tokens.append((first_task + i, self.epoch, self.counter))
            tasks.append(
                [first_task + i, self.counter, job, kw.get("attempt", 1), kw.get("grant", 0),
                 kw.get("run_timeout_ms", 0), items, kw.get("whole", False)]
            )
        jobs = [] if job in self.jobs_told else [[job, spec, kw.get("uid", uid_of(job)), 1]]
        self.jobs_told.add(job)
        self.assigned += len(tasks)
        self.send(ASSIGN, [jobs, tasks])
        return tokens

    def sink(self, name: str, kind: str, **settings: str) -> None:
        """Tells where a sink is; in every session before a task that needs it."""
        self.send(SINK, [name, kind, [[key, value] for key, value in settings.items()]])

    def breaker(self, downstream: str, state: int) -> None:
        self.send(BREAKER, [[downstream, state]])

    def calls_of(self, downstream: str) -> list[Calls]:
        return [one for one in self.calls if one.downstream == downstream]

    def answer_blob(self, ask: list[Any]) -> None:
        what, name, offset, count = ask
        assert what == 1
        data = self.blobs.get(name)
        if data is None:
            self.send(BLOB, [what, name, offset, offset, 0, b"", 12, "gone"])
            return
        piece = data[offset:offset + count]
        self.send(BLOB, [what, name, offset, offset + len(piece), len(data), piece, 0, None])

    def acknowledge(self, results: list[Result], code: int = STORED) -> None:
        self.send(RESULT_ACK, [[*r.token, code, None] for r in results])

    def revoke(self, tokens: list[tuple[int, int, int]], reason: str = "cancelled") -> None:
        self.send(REVOKE, [[*t, 0, reason] for t in tokens])

    def welcome(self) -> None:
        self.session += 1
        self.seq_out, self.seq_in = 0, 1
        self.credit, self.assigned = [0, 0], 0
        self.jobs_told = set()
        self.send(WELCOME, [1, self.lease_ms, self.heartbeat_ms, self.welcome_draining])

    # ---- receiving ----

    def _handle(self, kind: int, body: list[Any]) -> None:
        if kind == CREDIT:
            self.credit = body
        elif kind == RESULT:
            got = [_result(raw) for raw in body]
            self.results += got
            if self.auto_ack:
                for one in got:
                    self.acknowledge([one], LEAVE if one.outcome == LAND else STORED)
        elif kind == HEARTBEAT:
            self.heartbeats.append(body)
        elif kind == CALLS:
            self.calls += [Calls(*raw) for raw in body]
        elif kind == BLOB:
            self.blob_asks.append(body)
            if not self.blobs_wait:
                self.answer_blob(body)
        elif kind == BEGUN:
            self.begun += [tuple(token) for token in body]
        elif kind == BYE:
            self.byes.append(body[0])

    def _receive(self) -> None:
        peer, data = self.socket.recv_multipart()
        version, kind, epoch, session, seq, _ack, body = msgpack.unpackb(data, strict_map_key=False)
        assert version == 1
        if kind == HELLO:
            assert seq == 1 and session == 0
            self.peer, self.hello = peer, body
            self.hellos.append(body)
            if not self.silent:
                self.welcome()
            return
        if peer != self.peer or session != self.session or epoch != self.epoch:
            self.peer_told(peer, session, seq)
            return
        assert seq == self.seq_in + 1, f"gap: {seq} after {self.seq_in}"
        self.seq_in = seq
        self._handle(kind, body)

    def peer_told(self, peer: bytes, session: int, seq: int) -> None:
        """A message of a session that is not known: RESYNC."""
        if self.silent:
            return
        message = [1, RESYNC, self.epoch, session, 1, seq, ["unknown session"]]
        self.socket.send_multipart([peer, msgpack.packb(message)])

    def run_until(self, condition: Callable[[], Any], what: str = "", wait_s: float = WAIT_S) -> None:
        until = time.monotonic() + wait_s
        while not condition():
            left = until - time.monotonic()
            assert left > 0, f"waited {wait_s} s for {what or condition}"
            if not self.silent and self.hello and time.monotonic() >= self._beat_at:
                self._beat_at = time.monotonic() + self.heartbeat_ms / 1000
                try:
                    self.send(HEARTBEAT, [])
                except zmq.ZMQError:
                    self.seq_out -= 1
            if self.socket.poll(int(min(left, self.heartbeat_ms / 2000) * 1000) + 1):
                self._receive()

    def run_for(self, seconds: float) -> None:
        """Serves for so long: to see that something does not happen."""
        until = time.monotonic() + seconds
        self.run_until(lambda: time.monotonic() >= until, wait_s=seconds + 1)

    def wait_session(self, n: int = 1) -> None:
        self.run_until(lambda: len(self.hellos) >= n and self.credit[0] > 0, f"session {n} with credit")

    def wait_results(self, n: int) -> list[Result]:
        self.run_until(lambda: len(self.results) >= n, f"{n} results; there are {len(self.results)}")
        return self.results

    def held(self) -> list[tuple[int, int, int]]:
        assert self.hello is not None
        return [tuple(t) for t in self.hello[8]]


class Worker:
    def __init__(self, url: str, *args: str, **kw: Any) -> None:
        self.process = subprocess.Popen(
            [binary(), "--coordinator", url, "--loops", "1", *args],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            **kw,
        )

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.communicate()

    def rss_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024
