"""The beanstalkd client of the queue benchmark: plain sockets, pipelined, nothing that is not needed.

put(n): n small jobs, `window` commands ahead of their answers. drain(n): reserve and delete n jobs the
same way. latencies(): one job at a time to a waiting consumer.
"""

from __future__ import annotations

import socket
import time


class Connection:
    """One connection that counts answers."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._left = b""

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def line(self) -> bytes:
        """The next line without its end."""
        while b"\r\n" not in self._left:
            self._left += self._socket.recv(1 << 16)
        line, _, self._left = self._left.partition(b"\r\n")
        return line

    def lines(self, n: int) -> list[bytes]:
        """The next n lines."""
        parts = [self._left]
        count = self._left.count(b"\r\n")
        while count < n:
            data = self._socket.recv(1 << 18)
            # A pair may be cut between two reads.
            if parts[-1].endswith(b"\r") and data.startswith(b"\n"):
                count += 1
            parts.append(data)
            count += data.count(b"\r\n")
        lines = b"".join(parts).split(b"\r\n")
        self._left = b"\r\n".join(lines[n:])
        return lines[:n]


def put(port: int, n: int, window: int) -> float:
    """Jobs/s of n puts."""
    connection = Connection(port)
    command = b"put 1024 0 60 4\r\ntask\r\n"
    start = time.monotonic()
    for sent in range(0, n, window):
        some = min(window, n - sent)
        connection.send(command * some)
        for line in connection.lines(some):
            assert line.startswith(b"INSERTED"), line
    return n / (time.monotonic() - start)


def drain(port: int, n: int, window: int) -> float:
    """Jobs/s of reserving and deleting n jobs."""
    connection = Connection(port)
    start = time.monotonic()
    for done in range(0, n, window):
        some = min(window, n - done)
        connection.send(b"reserve\r\n" * some)
        lines = connection.lines(2 * some)
        ids = [line.split()[1] for line in lines[::2]]
        connection.send(b"".join(b"delete " + job + b"\r\n" for job in ids))
        for line in connection.lines(some):
            assert line == b"DELETED", line
    return n / (time.monotonic() - start)


def latencies(port: int, n: int) -> tuple[list[float], list[float]]:
    """Seconds from a put until a waiting consumer has the job, and until it is deleted, n times."""
    producer, consumer = Connection(port), Connection(port)
    taken, deleted = [], []
    for _ in range(n):
        consumer.send(b"reserve\r\n")
        start = time.perf_counter()
        producer.send(b"put 1024 0 60 4\r\ntask\r\n")
        job = consumer.lines(2)[0].split()[1]
        taken.append(time.perf_counter() - start)
        consumer.send(b"delete " + job + b"\r\n")
        consumer.line()
        deleted.append(time.perf_counter() - start)
        producer.line()
    return taken, deleted
