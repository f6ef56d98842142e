"""The asyncio client: the same operations and names as client.py, awaited."""

from __future__ import annotations

import asyncio
import itertools
import time
from types import TracebackType
from typing import (
    Any, AsyncIterator, Awaitable, Dict, Iterator, List, Literal, Mapping, Optional, Sequence, Type,
    TypeVar, Union, overload,
)

import zmq
import zmq.asyncio

from . import _blobs as blobs
from . import _models as model_ops
from . import _operations as ops
from . import _places as places
from ._batch import Row
from ._config import Target, find_target
from ._frames import rows_to_frame, to_frame
from ._models import Model, Rows
from ._operations import DeadLetter, JobRef, JobStatus, Reject
from ._progress import Progress
from ._protocol import RESEND_S, TIMEOUT_S, Answer, Operation, Request, Session, steps
from ._socket import connect, failure
from .errors import AuthError, DroverError, InvalidArgument, WaitTimeout
from .sinks import Sink, SinkArgument
from .spec import Pipeline, Retry

__all__ = ["AsyncClient", "AsyncJob"]

T = TypeVar("T")


class AsyncClient:
    """As Client, for asyncio: ``async with AsyncClient() as fleet``. Many calls may be under way at
    once; the answers are told apart by their numbers."""

    def __init__(self, url: Optional[str] = None, *, key_file: Optional[str] = None,
                 server_key_file: Optional[str] = None, timeout: float = TIMEOUT_S,
                 queue_timeout: float = 60.0, sinks: Optional[Mapping[str, str]] = None) -> None:
        self._sinks: Dict[str, str] = dict(sinks or {})
        self._target: Target = find_target(url, key_file, server_key_file)
        self._timeout = timeout
        self._queue_timeout = queue_timeout
        self._session = Session()
        self._context: Optional[zmq.asyncio.Context] = None
        self._socket: Any = None
        self._monitor: Any = None
        self._reader: Optional["asyncio.Task[None]"] = None
        self._answers: Dict[int, "asyncio.Future[Any]"] = {}
        self._last_heard = 0.0

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                        trace: Optional[TracebackType]) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection. Jobs go on."""
        await self._disconnect()
        if self._context is not None:
            self._context.destroy(linger=0)
            self._context = None

    async def _disconnect(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
            self._reader = None
        for socket in (self._monitor, self._socket):
            if socket is not None:
                socket.close(linger=0)
        self._monitor = self._socket = None

    def _connected(self) -> Any:
        if self._context is None:
            self._context = zmq.asyncio.Context()
        if self._socket is None:
            self._socket, self._monitor = connect(self._context, self._target)
            self._reader = asyncio.ensure_future(self._read(self._socket))
        return self._socket

    async def _read(self, socket: Any) -> None:
        while True:
            message = await socket.recv()
            self._last_heard = time.monotonic()
            answer = self._session.receive(message)
            if answer is None:
                continue
            waiting = self._answers.pop(answer[0], None)
            if waiting is not None and not waiting.done():
                waiting.set_result(answer[1])

    async def _call(self, request: Request) -> Answer:
        seq, message = self._session.send(request)
        answer: "asyncio.Future[Any]" = asyncio.get_running_loop().create_future()
        self._answers[seq] = answer
        patience = request.wait_s + RESEND_S
        deadline = time.monotonic() + request.wait_s + self._timeout
        try:
            while True:
                until = min(deadline, time.monotonic() + patience)
                value = await self._exchange(answer, message, until)
                if answer.done():
                    return value
                error = self._failure()
                if isinstance(error, AuthError) or time.monotonic() >= deadline:
                    raise error
                if time.monotonic() - self._last_heard > patience:
                    await self._disconnect()
        finally:
            self._answers.pop(seq, None)
            self._session.forget(seq)

    def _failure(self) -> DroverError:
        monitor = None if self._monitor is None else zmq.Socket.shadow(self._monitor.underlying)
        return failure(monitor, self._target, self._timeout)

    async def _exchange(self, answer: "asyncio.Future[Any]", message: bytes, until: float) -> Any:
        async def send_and_wait() -> Any:
            await self._connected().send(message)
            return await asyncio.shield(answer)

        try:
            return await asyncio.wait_for(send_and_wait(), max(0.0, until - time.monotonic()))
        except asyncio.TimeoutError:
            return None

    async def _call_all(self, requests: Sequence[Request]) -> List[Answer]:
        """The answers in order; what the coordinator refused is not raised."""
        calls = [asyncio.ensure_future(self._call(request)) for request in requests]
        try:
            answers: List[Answer] = await asyncio.gather(*calls)
            return answers
        finally:
            for call in calls:
                call.cancel()

    async def run(self, operation: Operation[T], queue_timeout: Optional[float] = None) -> T:
        """Runs an operation of drover._operations; waits where the queue is full."""
        todo = steps(operation, self._queue_timeout if queue_timeout is None else queue_timeout)
        try:
            step = next(todo)
            while True:
                if isinstance(step, float):
                    await asyncio.sleep(step)
                    step = next(todo)
                else:
                    step = todo.send(await self._call_all(step))
        except StopIteration as end:
            result: T = end.value
            return result

    async def _upload(self, *sources: blobs.Source) -> List[str]:
        """As Client._upload."""
        every = [blobs.blob_of(source) for source in sources]
        await self.run(blobs.upload(every))
        return [blob.sha for blob in every]

    async def models(self) -> List[Model]:
        """As Client.models."""
        return await self.run(model_ops.models())

    async def add_model(self, name: str, source: blobs.Source, *, sample: Optional[blobs.Source] = None,
                        tolerance: Optional[float] = None, columns: Optional[Sequence[str]] = None,
                        version: Optional[int] = None) -> int:
        """As Client.add_model."""
        return await self.run(model_ops.add_model(name, source, sample, tolerance, columns, version))

    async def remove_model(self, name: str, version: Optional[int] = None) -> None:
        """As Client.remove_model."""
        await self.run(model_ops.remove_model(name, version))

    async def predict(self, name: str, rows: Rows, *, version: Optional[int] = None,
                      timeout: Optional[float] = None) -> List[Row]:
        """As Client.predict; many may be under way at once, and the coordinator batches them."""
        return await self.run(model_ops.predict(name, rows, version, timeout),
                              model_ops.PREDICT_WAIT_S if timeout is None else timeout)

    async def submit(self, job: Pipeline, *, sink: SinkArgument = "store",
                     table: Optional[str] = None, prefix: Optional[str] = None,
                     directory: Optional[str] = None, mode: Optional[str] = None,
                     key: Union[str, Sequence[str], None] = None,
                     merge: Optional[Mapping[str, str]] = None, name: Optional[str] = None,
                     priority: Optional[int] = None, retry: Optional[Retry] = None,
                     idempotency_key: Optional[str] = None, result_ttl: Optional[float] = None,
                     run_timeout: Optional[float] = None,
                     task_items: Optional[int] = None) -> "AsyncJob":
        """As Client.submit."""
        submission = ops.prepare(
            job, sink=sink, name=name, priority=priority, retry=retry,
            place={"table": table, "prefix": prefix, "directory": directory, "mode": mode, "key": key,
                   "merge": merge},
            idempotency_key=idempotency_key, result_ttl=result_ttl, run_timeout=run_timeout,
            task_items=task_items)
        return AsyncJob(self, await self.run(ops.submit(submission)), submission.spec)

    async def explain(self, job: Pipeline, *, sink: SinkArgument = "store", table: Optional[str] = None,
                      prefix: Optional[str] = None, directory: Optional[str] = None,
                      mode: Optional[str] = None, key: Union[str, Sequence[str], None] = None,
                      merge: Optional[Mapping[str, str]] = None) -> ops.Explanation:
        """As Client.explain."""
        return await self.run(ops.explain(job, sink=sink, table=table, prefix=prefix, directory=directory,
                                          mode=mode, key=key, merge=merge))

    async def head(self, job: Pipeline, n: int = 5, *, timeout: Optional[float] = 60.0) -> List[Row]:
        """As Client.head."""
        small = await self.submit(job.head(), result_ttl=ops.HEAD_TTL_S)
        try:
            await small.wait(timeout)
            return list(itertools.islice([row async for row in small.results()], n))
        finally:
            await self.run(ops.remove(small.id))

    async def job(self, ref: JobRef) -> "AsyncJob":
        """A job by its id or name. NotFound."""
        return AsyncJob(self, (await self.run(ops.status(ref))).id)

    async def jobs(self, limit: int = 100) -> List[JobStatus]:
        """The newest jobs."""
        value = await self.run(ops.simple("job.ls", max=limit))
        return [ops.status_from(one) for one in value["jobs"]]

    async def status(self) -> Dict[str, Any]:
        """As Client.status."""
        value: Dict[str, Any] = await self.run(ops.simple("status"))
        return value

    async def workers(self) -> List[Dict[str, Any]]:
        """As Client.workers."""
        value: List[Dict[str, Any]] = (await self.run(ops.simple("worker.ls")))["workers"]
        return value

    async def breakers(self) -> List[Dict[str, Any]]:
        """As Client.breakers."""
        value: List[Dict[str, Any]] = (await self.run(ops.simple("breaker.ls")))["breakers"]
        return value

    async def info(self) -> Dict[str, Any]:
        """As Client.info."""
        value: Dict[str, Any] = await self.run(ops.simple("server.info"))
        return value


def _some(rows: Iterator[Row]) -> List[Row]:
    return list(itertools.islice(rows, places.PAGE_ROWS))


def _all(rows: Iterator[Row]) -> List[Row]:
    return list(rows)


def _close(rows: Iterator[Row]) -> None:
    close = getattr(rows, "close", None)
    if close is not None:
        close()


class AsyncJob:
    """As Job, awaited."""

    def __init__(self, client: AsyncClient, job_id: int, spec: Optional[str] = None) -> None:
        self._client = client
        self._spec = spec
        self.id = job_id

    def __repr__(self) -> str:
        return f"<drover.AsyncJob {self.id}>"

    async def status(self) -> JobStatus:
        """The job as it is now."""
        return await self._client.run(ops.status(self.id))

    @property
    def sink(self) -> Awaitable[Optional[str]]:
        """As Job.sink: ``await job.sink``."""
        async def ask() -> Optional[str]:
            return (await self.status()).sink

        return ask()

    @property
    def sinks(self) -> Awaitable[List[Sink]]:
        """As Job.sinks: ``await job.sinks``."""
        async def ask() -> List[Sink]:
            return (await self.status()).sinks

        return ask()

    async def explain(self) -> Dict[str, Any]:
        """As Job.explain."""
        value: Dict[str, Any] = await self._client.run(ops.simple("job.explain", job=self.id))
        return value

    async def wait(self, timeout: Optional[float] = None, *, progress: bool = False,
                   on_error: str = "raise") -> JobStatus:
        """As Job.wait."""
        if on_error not in ("raise", "return"):
            raise InvalidArgument('on_error is "raise" or "return"')
        deadline = None if timeout is None else time.monotonic() + timeout
        shown = Progress(progress)
        state: Optional[JobStatus] = None
        try:
            while state is None or not state.ended_at_all:
                wait_s = ops.POLL_S
                if deadline is not None:
                    wait_s = min(wait_s, max(0.0, deadline - time.monotonic()))
                state = await self._client.run(ops.news(self.id, state, wait_s))
                shown.show(state)
                if not state.ended_at_all and deadline is not None \
                        and time.monotonic() >= deadline:
                    raise WaitTimeout(f"job {self.id} has not ended within {timeout} s")
        finally:
            shown.close()
        if on_error == "raise":
            await self._client.run(ops.raise_for(state))
        return state

    @overload
    def results(self, *, on_error: Literal["raise", "skip"] = "raise",
                sink: Optional[str] = None) -> AsyncIterator[Row]: ...

    @overload
    def results(self, *, on_error: Literal["return"],
                sink: Optional[str] = None) -> AsyncIterator[Union[Row, Reject]]: ...

    async def results(self, *, on_error: str = "raise", sink: Optional[str] = None) -> AsyncIterator[Any]:
        """As Job.results: ``async for row in job.results()``."""
        if on_error not in ("raise", "skip", "return"):
            raise InvalidArgument('on_error is "raise", "skip" or "return"')
        place = places.choose(await self.status(), sink, self._client._sinks)
        async for row in self._stored() if place is None else self._placed(place):
            yield row
        if on_error == "return":
            async for reject in self.rejects():
                yield reject
        elif on_error == "raise":
            await self._client.run(ops.raise_for(await self.status()))

    async def _stored(self) -> AsyncIterator[Row]:
        reader = ops.ResultReader(self.id)
        end = False
        while not end:
            page = await self._client.run(reader.page())
            for row in page.rows:
                yield row
            end = page.end

    async def _placed(self, place: places.Place) -> AsyncIterator[Row]:
        """The servers' libraries block: they are called on another thread, some rows at a time."""
        await self.wait(on_error="return")
        rows = places.rows(place)
        try:
            while True:
                some = await asyncio.to_thread(_some, rows)
                if not some:
                    return
                for row in some:
                    yield row
        finally:
            await asyncio.to_thread(_close, rows)

    async def rejects(self) -> AsyncIterator[Reject]:
        """As Job.rejects."""
        reader = ops.RejectReader(self.id)
        end = False
        while not end:
            rejects, end = await self._client.run(reader.page())
            for reject in rejects:
                yield reject

    async def dead(self) -> List[DeadLetter]:
        """As Job.dead."""
        return await self._client.run(ops.dead_letters(self.id))

    async def to_pandas(self, *, sink: Optional[str] = None) -> Any:
        """As Job.to_pandas."""
        place = places.choose(await self.status(), sink, self._client._sinks)
        if place is not None:
            await self.wait()
            return rows_to_frame(await asyncio.to_thread(_all, places.rows(place)))
        reader = ops.ResultReader(self.id)
        wires: List[bytes] = []
        end = False
        while not end:
            some, end, _ = await self._client.run(reader.batches())
            wires += some
        await self._client.run(ops.raise_for(await self.status()))
        ask = not wires and self._spec is not None
        return to_frame(wires, await self._client.run(ops.columns_of(self._spec or "")) if ask else {})

    async def cancel(self) -> JobStatus:
        """As Job.cancel."""
        return ops.status_from(await self._client.run(ops.simple("job.cancel", job=self.id)))

    async def retry(self) -> int:
        """As Job.retry."""
        return int((await self._client.run(ops.simple("job.retry", job=self.id)))["retried"])
