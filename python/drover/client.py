"""The blocking client. The asyncio one (aio.py) runs the same operations."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from itertools import islice
from types import TracebackType
from typing import (
    Any, Dict, Iterator, List, Literal, Mapping, Optional, Sequence, Type, TypeVar, Union, overload,
)

import zmq

from . import _blobs as blobs
from . import _models as model_ops
from . import _operations as ops
from . import _places as places
from ._config import Target, find_target
from ._frames import rows_to_frame, to_frame
from ._models import Model, Rows
from ._operations import DeadLetter, JobRef, JobStatus, Reject
from ._batch import Row
from ._progress import Progress
from ._protocol import RESEND_S, TIMEOUT_S, Answer, Operation, Request, Session, steps
from ._socket import connect, failure
from .errors import AuthError, InvalidArgument, WaitTimeout
from .sinks import Sink, SinkArgument
from .spec import Pipeline, Retry

__all__ = ["Client", "Job"]

T = TypeVar("T")


class Client:
    """A connection to a coordinator. Use it from one thread; it is a context manager.

    ``url`` is the coordinator's front, by default DROVER_URL, the configuration file, or
    tcp://127.0.0.1:7700. ``key_file`` and ``server_key_file`` are made by ``drover key gen`` and needed
    where the coordinator is not on loopback. ``timeout`` is how long a request may stay unanswered
    before Unreachable; ``queue_timeout`` how long submit() waits for room in a full queue before
    QueueFull. ``sinks`` says where this program finds the coordinator's sinks, for job.results():
    ``{"main": "postgresql://reader@db/warehouse"}``; DROVER_SINK_MAIN_URL does the same. Nothing is sent
    before the first call.
    """

    def __init__(self, url: Optional[str] = None, *, key_file: Optional[str] = None,
                 server_key_file: Optional[str] = None, timeout: float = TIMEOUT_S,
                 queue_timeout: float = 60.0, sinks: Optional[Mapping[str, str]] = None) -> None:
        self._sinks: Dict[str, str] = dict(sinks or {})
        self._target: Target = find_target(url, key_file, server_key_file)
        self._timeout = timeout
        self._queue_timeout = queue_timeout
        self._session = Session()
        self._context: Optional[zmq.Context[Any]] = None
        self._socket: Any = None
        self._monitor: Any = None
        self._pid = os.getpid()

    # ---- connection ----

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection. Jobs go on."""
        self._disconnect()
        if self._context is not None and self._pid == os.getpid():
            self._context.destroy(linger=0)
        self._context = None

    def _disconnect(self) -> None:
        for socket in (self._monitor, self._socket):
            if socket is not None and self._pid == os.getpid():
                socket.close(linger=0)
        self._monitor = self._socket = None

    def _connected(self) -> Any:
        if self._pid != os.getpid():
            self._context = self._socket = self._monitor = None
            self._pid = os.getpid()
        if self._context is None:
            self._context = zmq.Context()
        if self._socket is None:
            self._socket, self._monitor = connect(self._context, self._target)
        return self._socket

    def _call(self, requests: Sequence[Request]) -> List[Answer]:
        """The answers, errors not raised. Sends again what was not answered, until nothing came for too
        long; on a new socket after a silence, because a socket may have given up on its peer."""
        order, open_ = [], {}
        for request in requests:
            seq, message = self._session.send(request)
            order.append(seq)
            open_[seq] = message
        wait_s = max(request.wait_s for request in requests)
        answers: Dict[int, Answer] = {}
        deadline = time.monotonic() + wait_s + self._timeout
        try:
            while open_:
                before = len(open_)
                self._exchange(open_, answers, min(deadline, time.monotonic() + wait_s + RESEND_S))
                if len(open_) < before:
                    deadline = time.monotonic() + wait_s + self._timeout
                    continue
                error = failure(self._monitor, self._target, self._timeout)
                if isinstance(error, AuthError) or time.monotonic() >= deadline:
                    raise error
                self._disconnect()
        finally:
            for seq in open_:
                self._session.forget(seq)
        return [answers[seq] for seq in order]

    def _exchange(self, open_: Dict[int, bytes], answers: Dict[int, Answer], until: float) -> None:
        """Sends all and takes answers until there are all, or none came for too long."""
        socket = self._connected()
        patience = until - time.monotonic()
        if not socket.poll(max(0, int(patience * 1000)), zmq.POLLOUT):
            return
        for message in open_.values():
            socket.send(message, zmq.DONTWAIT)
        while open_:
            left_ms = int((until - time.monotonic()) * 1000)
            if left_ms <= 0 or not socket.poll(left_ms, zmq.POLLIN):
                return
            answer = self._session.receive(socket.recv())
            if answer is not None and open_.pop(answer[0], None) is not None:
                answers[answer[0]] = answer[1]
                until = time.monotonic() + patience

    def run(self, operation: Operation[T], queue_timeout: Optional[float] = None) -> T:
        """Runs an operation of drover._operations; waits where the queue is full."""
        todo = steps(operation, self._queue_timeout if queue_timeout is None else queue_timeout)
        try:
            step = next(todo)
            while True:
                if isinstance(step, float):
                    time.sleep(step)
                    step = next(todo)
                else:
                    step = todo.send(self._call(step))
        except StopIteration as end:
            result: T = end.value
            return result

    def _upload(self, *sources: blobs.Source) -> List[str]:
        """Sends bytes and files as blobs, as far as they are not there; their names (SHA-256)."""
        every = [blobs.blob_of(source) for source in sources]
        self.run(blobs.upload(every))
        return [blob.sha for blob in every]

    # ---- models ----

    def models(self) -> List[Model]:
        """All versions of all named models."""
        return self.run(model_ops.models())

    def add_model(self, name: str, source: blobs.Source, *, sample: Optional[blobs.Source] = None,
                  tolerance: Optional[float] = None, columns: Optional[Sequence[str]] = None,
                  version: Optional[int] = None) -> int:
        """Uploads a model (ONNX: a path, or bytes) and gives it a name; returns its version, by default the
        next one. Adding the newest again changes nothing.

        ``columns`` names the columns of a model that takes one matrix, in the matrix' order; without them
        predict takes rows as lists alone, in that order. ``sample``: rows with what Python made of them, which
        must come out within ``tolerance``. InvalidSpec or InvalidArgument when the model cannot be used.
        """
        return self.run(model_ops.add_model(name, source, sample, tolerance, columns, version))

    def remove_model(self, name: str, version: Optional[int] = None) -> None:
        """Forgets a version, or all of a name. NotFound."""
        self.run(model_ops.remove_model(name, version))

    def predict(self, name: str, rows: Rows, *, version: Optional[int] = None,
                timeout: Optional[float] = None) -> List[Row]:
        """What the model makes of each row, now: a list of dictionaries in the order of the rows.

        Rows (up to 10,000) are a data frame of pandas, or an iterable of dictionaries, or of lists of values
        in the order of the model's columns, such as a matrix of numpy. A model that takes a matrix and was
        added without ``columns`` knows no names, and takes lists alone. None, NaN and pandas' NA are missing
        values.

        The newest version is asked, or ``version``. InvalidArgument names the row and the column that is
        wrong; PredictTimeout after ``timeout`` seconds (at most the coordinator's predict.timeout);
        Unavailable when no worker is ready or the model fails; QueueFull after waiting for room; NotFound.
        """
        return self.run(model_ops.predict(name, rows, version, timeout),
                        model_ops.PREDICT_WAIT_S if timeout is None else timeout)

    # ---- jobs ----

    def submit(self, job: Pipeline, *, sink: SinkArgument = "store",
               table: Optional[str] = None, prefix: Optional[str] = None,
               directory: Optional[str] = None, mode: Optional[str] = None,
               key: Union[str, Sequence[str], None] = None,
               merge: Optional[Mapping[str, str]] = None, name: Optional[str] = None,
               priority: Optional[int] = None, retry: Optional[Retry] = None,
               idempotency_key: Optional[str] = None, result_ttl: Optional[float] = None,
               run_timeout: Optional[float] = None,
               task_items: Optional[int] = None) -> "Job":
        """Submits a job and returns when it is on the coordinator's disk.

        The input is read lazily and sent in chunks. With ``name`` (or ``idempotency_key``) the same
        script can run again: it reattaches to the job and sends what is missing; another description
        under that name is DuplicateJob. ``priority`` is 0 to 9, higher sooner. ``result_ttl`` and
        ``run_timeout`` (of one attempt at a task) are seconds; ``task_items`` is the number of inputs
        a task.

        ``sink`` says where the rows go: "store" (the coordinator, from where results() reads them), a
        sink of the administrator by name, with ``table`` (PostgreSQL), ``prefix`` (Redis) or
        ``directory`` (files) and, as needed, ``mode``, ``key`` and ``merge``; or Postgres(), Redis(),
        File(), Store(), or a list of them. Raises InvalidSpec with the path of what is wrong, QueueFull, Unreachable.
        """
        submission = ops.prepare(
            job, sink=sink, name=name, priority=priority, retry=retry,
            place={"table": table, "prefix": prefix, "directory": directory, "mode": mode, "key": key,
                   "merge": merge},
            idempotency_key=idempotency_key, result_ttl=result_ttl, run_timeout=run_timeout,
            task_items=task_items)
        return Job(self, self.run(ops.submit(submission)), submission.spec)

    def explain(self, job: Pipeline, *, sink: SinkArgument = "store", table: Optional[str] = None,
                prefix: Optional[str] = None, directory: Optional[str] = None, mode: Optional[str] = None,
                key: Union[str, Sequence[str], None] = None,
                merge: Optional[Mapping[str, str]] = None) -> ops.Explanation:
        """What a job would do, and the columns of its rows, without submitting it. Arguments and errors as
        those of submit(); ``print(fleet.explain(job))`` shows the plan."""
        return self.run(ops.explain(job, sink=sink, table=table, prefix=prefix, directory=directory,
                                    mode=mode, key=key, merge=merge))

    def head(self, job: Pipeline, n: int = 5, *, timeout: Optional[float] = 60.0) -> List[Row]:
        """Up to n rows that the job makes of the beginning of its input: about the first MiB of the first
        local file, else the first input. An answer over all rows (GROUP BY, ORDER BY) is one over these
        alone. The job is removed afterwards. Raises as Job.wait()."""
        small = self.submit(job.head(), result_ttl=ops.HEAD_TTL_S)
        try:
            small.wait(timeout)
            return list(islice(small.results(), n))
        finally:
            self.run(ops.remove(small.id))

    def job(self, ref: JobRef) -> "Job":
        """A job by its id or name. NotFound."""
        return Job(self, self.run(ops.status(ref)).id)

    def jobs(self, limit: int = 100) -> List[JobStatus]:
        """The newest jobs."""
        value = self.run(ops.simple("job.ls", max=limit))
        return [ops.status_from(one) for one in value["jobs"]]

    def status(self) -> Dict[str, Any]:
        """The fleet at a glance: workers, slots, tasks, rates, problems."""
        value: Dict[str, Any] = self.run(ops.simple("status"))
        return value

    def workers(self) -> List[Dict[str, Any]]:
        """The workers with their state and figures."""
        value: List[Dict[str, Any]] = self.run(ops.simple("worker.ls"))["workers"]
        return value

    def breakers(self) -> List[Dict[str, Any]]:
        """The breakers of all sinks, and of hosts that are in trouble."""
        value: List[Dict[str, Any]] = self.run(ops.simple("breaker.ls"))["breakers"]
        return value

    def info(self) -> Dict[str, Any]:
        """Version, protocol and role. The cheapest way to see whether the coordinator answers."""
        value: Dict[str, Any] = self.run(ops.simple("server.info"))
        return value


class Job:
    """A job on the coordinator. Dropping the handle changes nothing: the job goes on."""

    def __init__(self, client: Client, job_id: int, spec: Optional[str] = None) -> None:
        self._client = client
        self._spec = spec
        self.id = job_id

    def __repr__(self) -> str:
        return f"<drover.Job {self.id}>"

    def status(self) -> JobStatus:
        """The job as it is now."""
        return self._client.run(ops.status(self.id))

    @property
    def sink(self) -> Optional[str]:
        """Where the rows go, in words: "postgres:main table pages"."""
        return self.status().sink

    @property
    def sinks(self) -> List[Sink]:
        """Where the rows go: Store, Postgres, Redis and File objects."""
        return self.status().sinks

    def explain(self) -> Dict[str, Any]:
        """Why it does not run, or not faster: ``reasons`` with codes, counts and texts."""
        value: Dict[str, Any] = self._client.run(ops.simple("job.explain", job=self.id))
        return value

    @contextmanager
    def _resumable(self) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            print(f"\ndrover: job {self.id} goes on. Come back with Client().job({self.id}), stop it "
                  f"with `drover job cancel {self.id}`.", file=sys.stderr)
            raise

    def wait(self, timeout: Optional[float] = None, *, progress: bool = False,
             on_error: str = "raise") -> JobStatus:
        """Waits for the end and returns the last state.

        WaitTimeout after ``timeout`` seconds; the job goes on. JobFailed or JobCancelled when it ended
        so, unless ``on_error`` is "return".
        """
        if on_error not in ("raise", "return"):
            raise InvalidArgument('on_error is "raise" or "return"')
        deadline = None if timeout is None else time.monotonic() + timeout
        shown = Progress(progress)
        state: Optional[JobStatus] = None
        try:
            with self._resumable():
                while state is None or not state.ended_at_all:
                    wait_s = ops.POLL_S
                    if deadline is not None:
                        wait_s = min(wait_s, max(0.0, deadline - time.monotonic()))
                    state = self._client.run(ops.news(self.id, state, wait_s))
                    shown.show(state)
                    if not state.ended_at_all and deadline is not None \
                            and time.monotonic() >= deadline:
                        raise WaitTimeout(f"job {self.id} has not ended within {timeout} s")
        finally:
            shown.close()
        if on_error == "raise":
            self._client.run(ops.raise_for(state))
        return state

    @overload
    def results(self, *, on_error: Literal["raise", "skip"] = "raise",
                sink: Optional[str] = None) -> Iterator[Row]: ...

    @overload
    def results(self, *, on_error: Literal["return"],
                sink: Optional[str] = None) -> Iterator[Union[Row, Reject]]: ...

    def results(self, *, on_error: str = "raise", sink: Optional[str] = None) -> Iterator[Any]:
        """The rows as dictionaries, each exactly once, from wherever they are.

        From the store they come as tasks finish, until the job ends. From PostgreSQL, Redis or files they
        are read when the job has ended; the client must have been told where the sink is (``sinks`` of
        Client), else NotReadable says how. ``sink`` chooses among several. At the end a failed or
        cancelled job raises, unless ``on_error`` is "skip", or "return", which also yields what came to
        no row as Reject.
        """
        if on_error not in ("raise", "skip", "return"):
            raise InvalidArgument('on_error is "raise", "skip" or "return"')
        place = places.choose(self.status(), sink, self._client._sinks)
        if place is None:
            yield from self._stored()
        else:
            self.wait(on_error="return")
            yield from places.rows(place)
        if on_error == "return":
            yield from self.rejects()
        elif on_error == "raise":
            self._client.run(ops.raise_for(self.status()))

    def _stored(self) -> Iterator[Row]:
        reader = ops.ResultReader(self.id)
        with self._resumable():
            end = False
            while not end:
                page = self._client.run(reader.page())
                yield from page.rows
                end = page.end

    def rejects(self) -> Iterator[Reject]:
        """The inputs that came to no row, with the reason, until the job ends."""
        reader = ops.RejectReader(self.id)
        with self._resumable():
            end = False
            while not end:
                rejects, end = self._client.run(reader.page())
                yield from rejects

    def dead(self) -> List[DeadLetter]:
        """The dead letters: inputs that used up their attempts. retry() runs them again."""
        return self._client.run(ops.dead_letters(self.id))

    def to_pandas(self, *, sink: Optional[str] = None) -> Any:
        """All rows as a pandas.DataFrame, when the job has ended. Needs pandas. ``sink`` as in
        results(). Without rows it has columns when this is the handle that submit() returned."""
        place = places.choose(self.status(), sink, self._client._sinks)
        if place is not None:
            self.wait()
            return rows_to_frame(list(places.rows(place)))
        reader = ops.ResultReader(self.id)
        wires: List[bytes] = []
        with self._resumable():
            end = False
            while not end:
                some, end, _ = self._client.run(reader.batches())
                wires += some
        self._client.run(ops.raise_for(self.status()))
        # Without rows nothing of them says what their columns are; the description does.
        ask = not wires and self._spec is not None
        return to_frame(wires, self._client.run(ops.columns_of(self._spec or "")) if ask else {})

    def cancel(self) -> JobStatus:
        """Asks to stop; what runs is told to stop too. Rows that are there stay."""
        return ops.status_from(self._client.run(ops.simple("job.cancel", job=self.id)))

    def retry(self) -> int:
        """Runs the dead letters again; returns how many."""
        return int(self._client.run(ops.simple("job.retry", job=self.id))["retried"])
