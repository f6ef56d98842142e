"""A host that counts: it records when every request began and ended, so that a test can say how many
were under way at once, and how far apart they began, whichever workers they came from. And a relay
that cuts connections, to put between a worker and its coordinator.

A request begins when its head was read and ends when its answer was handed over, or when its
connection ends: what a killed client asked for is over then.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any


class Background:
    """An asyncio loop on a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def call(self, function: Callable[[], Any]) -> None:
        """Calls it on the loop, and waits."""
        async def work() -> None:
            function()

        self.run(work())

    def close(self) -> None:
        async def stop() -> None:
            tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.run(stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@dataclass
class Visit:
    """One request."""

    path: str
    agent: str
    began: float  # seconds of the monotonic clock
    ended: float | None = None
    status: int = 0  # 0: the connection ended before the answer


Answer = tuple[int, dict[str, str], str]


class PoliteHost(Background):
    """Every path is a page. latency_s(visit) is how long it takes; answer(visit) may say what it is."""

    def __init__(self, robots: str | None = None) -> None:
        super().__init__()
        self.robots = robots
        self.visits: list[Visit] = []
        self.latency_s: Callable[[Visit], float] = lambda visit: 0.05
        self.answer: Callable[[Visit], Answer | None] = lambda visit: None
        self._changed = threading.Condition()
        server = self.run(asyncio.start_server(self._client, "127.0.0.1", 0, backlog=1024))
        self.port: int = server.sockets[0].getsockname()[1]

    def url(self, name: Any) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.split(": ", 1) for line in head[1:] if ": " in line)
        headers = {name.lower(): value for name, value in pairs}
        visit = Visit(head[0].split(" ")[1], headers.get("user-agent", ""), time.monotonic())
        with self._changed:
            self.visits.append(visit)
            self._changed.notify_all()
        gone: asyncio.Task[bytes] = asyncio.create_task(reader.read(1))
        try:
            ended, _ = await asyncio.wait({gone}, timeout=self.latency_s(visit))
            if ended:
                return False
            status, extra, text = self._page(visit)
            lines = [f"HTTP/1.1 {status} Status", f"content-length: {len(text)}"]
            lines += [f"{name}: {value}" for name, value in extra.items()]
            writer.write(("\r\n".join(lines) + "\r\n\r\n" + text).encode())
            visit.status = status
            await writer.drain()
            # An answer is complete; what comes now is the next request.
            with self._changed:
                visit.ended = time.monotonic()
                self._changed.notify_all()
            more = await gone
            if not more:
                return False
            reader._buffer[:0] = more  # type: ignore[attr-defined]
            return True
        finally:
            gone.cancel()
            with self._changed:
                visit.ended = visit.ended or time.monotonic()
                self._changed.notify_all()

    def _page(self, visit: Visit) -> Answer:
        if visit.path == "/robots.txt":
            return (404, {}, "") if self.robots is None else (200, {}, self.robots)
        given = self.answer(visit)
        if given:
            return given
        text = f"<html><head><title>{visit.path}</title></head><body>page</body></html>"
        return 200, {"content-type": "text/html"}, text

    # ---- what tests ask ----

    def wait(self, n: int, timeout_s: float = 60) -> None:
        """Until the host has been asked n times."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.visits) >= n, timeout_s):
                raise TimeoutError(f"{len(self.visits)} requests and not {n} in {timeout_s:g} s")

    def most_at_once(self) -> tuple[int, list[Visit]]:
        """The largest number of requests that were under way at one time, and which they were."""
        with self._changed:
            visits = list(self.visits)
        most: list[Visit] = []
        for visit in visits:
            now = [v for v in visits
                   if v.began <= visit.began and (v.ended is None or v.ended > visit.began)]
            if len(now) > len(most):
                most = now
        return len(most), most

    def gaps(self) -> list[float]:
        """Seconds between the beginnings of requests, the smallest first."""
        times = sorted(v.began for v in self.visits)
        return sorted(b - a for a, b in zip(times, times[1:]))


class Relay(Background):
    """Carries TCP connections to a port; cut() and hold() are faults of the network on the way."""

    def __init__(self, to: str) -> None:
        super().__init__()
        self.to_port = int(to.rsplit(":", 1)[1])
        self._open = asyncio.Event()
        self._pairs: list[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = []
        server = self.run(asyncio.start_server(self._client, "127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self.call(self._open.set)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._open.wait()
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.to_port)
        except OSError:
            writer.close()
            return
        pair = (writer, far_writer)
        self._pairs.append(pair)
        await asyncio.gather(self._carry(reader, far_writer, pair),
                             self._carry(far_reader, writer, pair))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
                     pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        try:
            while data := await reader.read(65536):
                await self._open.wait()
                if pair in self._pairs:  # else: into the void
                    writer.write(data)
                    await writer.drain()
        except OSError:
            pass
        if pair in self._pairs:
            writer.close()

    def cut(self, side: str) -> None:
        """Ends all connections: of the "worker", of the "coordinator", or "both". The other side is
        not told: its connection stays, and nobody answers."""
        def now() -> None:
            for near, far in self._pairs:
                if side in ("worker", "both"):
                    near.transport.abort()
                if side in ("coordinator", "both"):
                    far.transport.abort()
            self._pairs.clear()

        self.call(now)

    def hold(self, on: bool) -> None:
        """While on, nothing passes, and no connection ends."""
        self.call(self._open.clear if on else self._open.set)


