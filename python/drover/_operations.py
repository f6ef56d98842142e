"""What clients do, as operations without I/O: each yields requests and is sent their values."""

from __future__ import annotations

import json
import logging
import uuid
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from ._batch import Row, decode_rows
from ._blobs import Blob, Slice, upload
from ._protocol import Operation, Request
from .errors import InvalidArgument, JobCancelled, JobExpired, JobFailed
from .sinks import Sink, SinkArgument, sink_from, sinks_json
from .spec import Pipeline, Retry

log = logging.getLogger("drover")

CHUNK_ITEMS = 10_000
"""Inputs in one message at most."""

CHUNK_BYTES = 1 << 20
"""Bytes of inputs in one message at most; a single larger input still goes out alone."""

SLICE_WEIGHT = 16
"""So many bytes of a slice count as one of the message's: what is in memory at a time is bounded by that."""

POLL_S = 2.0
"""How long the coordinator holds a request that waits for news."""

RESULT_BYTES = 1 << 20
"""Bytes of rows in one answer."""

SUBMIT_WAIT_S = 6.0
"""The coordinator asks a job's sinks whether it fits: a sink that hangs costs it so long at most."""

LOOK_WAIT_S = 60.0
"""It looks at the models of a job, one job after the other."""

HEAD_TTL_S = 3600.0
"""How long the rows of a preview live when it cannot remove its job."""

JobRef = Union[int, str]


@dataclass(frozen=True)
class JobStatus:
    """A job at one moment. Times are RFC 3339 text in UTC, or None.

    ``state``: open, done, failed (ended with dead letters) or cancelled. ``items``: inputs accepted;
    ``duplicates``: inputs dropped because they were seen before. ``tasks`` are all so far, of which
    ``done``, ``dead``, and ``pending`` (``running``, ``delayed`` and ``held`` are parts of it). ``held``
    tasks wait for the ``breaker`` of a sink or host that fails; explain() says more. ``sink`` tells in
    words where the rows are, ``sinks`` as objects; ``uid`` names the job in sinks. ``rows`` and
    ``rejects`` count what was written; ``stats`` has the engine's counts, such as ``pages``, and
    ``fill.FIELD``, the rows in which the field had a value. ``error`` says why a job failed that has no
    dead letters.
    """

    id: int
    name: Optional[str]
    state: str
    sealed: bool
    items: int
    duplicates: int
    tasks: int
    done: int
    pending: int
    running: int
    delayed: int
    dead: int
    rows: int
    rejects: int
    created: Optional[str]
    ended: Optional[str]
    expires: Optional[str]
    held: int = 0
    breaker: Optional[str] = None
    uid: str = ""
    sink: Optional[str] = None
    sinks: List[Sink] = field(default_factory=list)
    stats: Dict[str, int] = field(default_factory=dict)
    rejects_by_reason: Dict[str, int] = field(default_factory=dict)
    error: Optional[str] = None
    raw: Dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def ended_at_all(self) -> bool:
        """Whether the job is over, however it ended."""
        return self.state != "open"

    @property
    def fill_rates(self) -> Dict[str, float]:
        """For each extracted field the share of rows in which it had a value."""
        rows = max(self.stats.get("rows", self.rows), 1)
        return {name[5:]: count / rows for name, count in self.stats.items()
                if name.startswith("fill.")}

    def raise_for_state(self, first_error: Optional[str] = None) -> None:
        """Raises JobFailed, JobCancelled or JobExpired when the job ended so. ``first_error``: of its dead
        letters."""
        label = f"job {self.id}" + (f" ({self.name})" if self.name else "")
        if self.state == "failed" and self.error:
            raise JobFailed(f"{label} failed: {self.error}; see job.rejects() or "
                            f"`drover job results {self.id} --rejects`")
        if self.state == "failed":
            letters = f"{self.dead} dead letter" + ("s" if self.dead != 1 else "")
            first = f" (the first: {first_error})" if first_error else ""
            raise JobFailed(f"{label} ended with {letters}{first}: see job.dead() or "
                            f"`drover dead ls {self.id}`")
        if self.state == "cancelled":
            raise JobCancelled(f"{label} was cancelled")
        if self.state == "expired":
            raise JobExpired(f"{label} passed its deadline")


def status_from(value: Mapping[str, Any]) -> JobStatus:
    """A JobStatus from the job map of the protocol."""
    def number(name: str) -> int:
        return int(value.get(name) or 0)

    return JobStatus(
        id=number("job"), name=value.get("name") or None, state=str(value.get("state")),
        sealed=bool(value.get("sealed")), items=number("items"), duplicates=number("duplicates"),
        tasks=number("tasks"), done=number("done"), pending=number("pending"),
        running=number("running"), delayed=number("delayed"), dead=number("dead"),
        rows=number("rows"), rejects=number("rejects"), created=value.get("created"),
        ended=value.get("ended"), expires=value.get("expires"),
        held=number("held"), breaker=value.get("breaker"), uid=str(value.get("uid") or ""),
        sink=value.get("sink"), sinks=[sink_from(one) for one in value.get("sinks") or []],
        stats=dict(value.get("stats") or {}),
        rejects_by_reason=dict(value.get("rejects_by_reason") or {}), error=value.get("error"),
        raw=dict(value))


@dataclass(frozen=True)
class Reject:
    """An input that came to no row: which, a reason code (docs/SCRAPE.md lists them), a detail."""

    input: str
    reason: str
    detail: Optional[str]


@dataclass(frozen=True)
class DeadLetter:
    """A task that used up its attempts, with its input and its last error."""

    task: int
    job: int
    attempts: int
    kills: int
    error: str
    input: Any
    at: Optional[str]


@dataclass(frozen=True)
class Explanation:
    """What a job would do. ``columns``: names and types of its rows; ``gathers``: whether its tasks end with
    parts of the answer, which one task more brings together; ``plan``: the stages in words, which str()
    gives too; ``warnings``: sinks that could not be asked whether the rows fit."""

    columns: Dict[str, str]
    gathers: bool
    plan: str
    warnings: List[str] = field(default_factory=list)

    def __str__(self) -> str:
        return self.plan


@dataclass(frozen=True)
class Submission:
    """A checked job description, ready to be sent, the blobs that it names, and its lazily read input,
    in which there may be slices. ``resumable``: submitting it again goes on with the same job."""

    spec: str
    idem: str
    items: Iterable[Any]
    blobs: Sequence[Blob] = ()
    resumable: bool = False
    wait_s: float = SUBMIT_WAIT_S
    """How long the coordinator may take over the description."""


def prepare(
    job: Pipeline, *, sink: SinkArgument, place: Mapping[str, Any], name: Optional[str],
    priority: Optional[int], retry: Optional[Retry],
    idempotency_key: Optional[str], result_ttl: Optional[float], run_timeout: Optional[float],
    task_items: Optional[int],
) -> Submission:
    """Builds the JSON description; the coordinator checks it."""
    if not isinstance(job, Pipeline):
        raise InvalidArgument("a job is what scrape(), transform() or noop() returns, not "
                              f"{type(job).__name__}")
    if retry is not None and not isinstance(retry, Retry):
        raise InvalidArgument(f"retry is a Retry, such as Retry(attempts=4), not {retry!r:.100}")
    spec = job.to_json()
    spec["sinks"] = sinks_json(sink, **place)
    optional = {
        "name": name, "priority": priority, "retry": retry.to_json() if retry else None,
        "result_ttl_s": result_ttl, "run_timeout_s": run_timeout, "task_items": task_items,
    }
    spec.update({key: value for key, value in optional.items() if value is not None})
    try:
        text = json.dumps(spec, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as cause:
        raise InvalidArgument(f"the job description is not JSON: {cause}") from None
    scores = any(stage["kind"] == "score" for stage in spec["stages"])
    return Submission(text, idempotency_key or uuid.uuid4().hex, job.items, job.blobs,
                      bool(name or idempotency_key), LOOK_WAIT_S if scores else SUBMIT_WAIT_S)


def chunks(items: Iterable[Any]) -> Iterator[List[Any]]:
    """Cuts the input into messages. The cuts depend on the input alone, so that a script that runs
    again sends the same chunks."""
    chunk: List[Any] = []
    size = 0
    for item in items:
        if not isinstance(item, (str, list, tuple, Slice)):
            raise InvalidArgument(f"input {item!r} is no text")
        if isinstance(item, Slice):
            weight = item.size // SLICE_WEIGHT
        else:
            weight = len(item) if isinstance(item, str) else len(str(item))
        if chunk and (len(chunk) == CHUNK_ITEMS or size + weight > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += weight
    if chunk:
        yield chunk


def submit(submission: Submission) -> Operation[int]:
    """Sends a job and its input, or what is missing of it; returns the job's id. Blobs go before what
    names them: those of the stages before the job, slices before the chunk that they are in."""
    yield from upload(submission.blobs)
    opened = yield Request("job.submit", {"spec": submission.spec, "idem": submission.idem},
                           submission.wait_s)
    job = int(opened["job"])
    for warning in opened.get("warnings") or []:
        log.warning("job %d: %s", job, warning)
    if opened.get("sealed"):
        return job
    try:
        yield from _send_input(job, submission.items, int(opened.get("chunks") or 0))
    except Exception:
        # Nobody could go on with it: without this it would wait for the rest of its input for ever.
        if not submission.resumable:
            yield Request("job.cancel", {"job": job})
        raise
    yield Request("job.seal", {"job": job})
    return job


def _send_input(job: int, items: Iterable[Any], present: int) -> Operation[None]:
    """The chunks that are not there, and before each the slices that it names."""
    for number, chunk in enumerate(chunks(items)):
        if number >= present:
            yield from upload(item for item in chunk if isinstance(item, Slice))
            texts = [item.item() if isinstance(item, Slice) else item for item in chunk]
            yield Request("job.input", {"job": job, "chunk": number, "items": texts})


def explain(job: Pipeline, *, sink: SinkArgument, **place: Any) -> Operation[Explanation]:
    """Has a job checked as submit would, and nothing else. Blobs that stages name are sent: some columns are
    known from them alone."""
    wanted = prepare(job, sink=sink, place=place, name=None, priority=None, retry=None, idempotency_key="",
                     result_ttl=None, run_timeout=None, task_items=None)
    yield from upload(wanted.blobs)
    value = yield Request("job.check", {"spec": wanted.spec}, wanted.wait_s)
    return Explanation({str(name): str(kind) for name, kind in value["columns"]}, bool(value["gathers"]),
                       str(value["plan"]), list(value["warnings"]))


def columns_of(spec: str) -> Operation[Dict[str, str]]:
    """Names and types of the rows that a job with that description makes."""
    value = yield Request("job.check", {"spec": spec}, SUBMIT_WAIT_S)
    return {str(name): str(kind) for name, kind in value["columns"]}


def status(job: JobRef) -> Operation[JobStatus]:
    """The job as it is now."""
    return status_from((yield Request("job.status", {"job": job})))


def news(job: JobRef, since: Optional[JobStatus], wait_s: float) -> Operation[JobStatus]:
    """The job when it has changed since then, or after wait_s."""
    version = since.raw.get("version") if since else None
    args = {"job": job, "wait_ms": int(wait_s * 1000), "version": version}
    return status_from((yield Request("job.wait", args, wait_s)))


@dataclass
class Page:
    """Some rows in the order of their commits, and whether more can come after them."""

    rows: List[Row]
    end: bool
    state: str


@dataclass
class ResultReader:
    """Reads a job's rows page by page; ``cursor`` can be kept and used later to go on."""

    job: int
    cursor: int = 0

    def batches(self, wait_s: float = POLL_S) -> Operation[Tuple[List[bytes], bool, str]]:
        """Batches in wire form, whether that was the end, and the job's state."""
        args = {"job": self.job, "cursor": self.cursor, "max_bytes": RESULT_BYTES,
                "wait_ms": int(wait_s * 1000)}
        value = yield Request("job.results", args, wait_s)
        self.cursor = int(value["cursor"])
        return [batch[2] for batch in value["batches"]], bool(value["end"]), str(value["state"])

    def page(self, wait_s: float = POLL_S) -> Operation[Page]:
        """The next rows; may be empty when none came within wait_s."""
        wires, end, state = yield from self.batches(wait_s)
        return Page([row for wire in wires for row in decode_rows(wire)], end, state)


@dataclass
class RejectReader:
    """Reads a job's rejects page by page."""

    job: int
    cursor: int = 0

    def page(self, wait_s: float = POLL_S) -> Operation[Tuple[List[Reject], bool]]:
        """The next rejects and whether that was the end."""
        args = {"job": self.job, "cursor": self.cursor, "max_bytes": RESULT_BYTES,
                "wait_ms": int(wait_s * 1000)}
        value = yield Request("job.rejects", args, wait_s)
        self.cursor = int(value["cursor"])
        return [Reject(*reject[:3]) for reject in value["rejects"]], bool(value["end"])


def dead_letters(job: int) -> Operation[List[DeadLetter]]:
    """All dead letters of a job."""
    letters: List[DeadLetter] = []
    after = 0
    while True:
        value = yield Request("dead.ls", {"job": job, "after": after, "max": 1000})
        page = [DeadLetter(int(d["task"]), int(d["job"]), int(d["attempts"]), int(d["kills"]),
                           str(d["error"]), d.get("input"), d.get("at")) for d in value["dead"]]
        if not page:
            return letters
        letters += page
        after = page[-1].task


def raise_for(state: JobStatus) -> Operation[None]:
    """As JobStatus.raise_for_state, with the error of the first dead letter."""
    error: Optional[str] = None
    if state.state == "failed" and not state.error and state.dead:
        value = yield Request("dead.ls", {"job": state.id, "after": 0, "max": 1})
        error = next((str(letter["error"]) for letter in value["dead"]), None)
    state.raise_for_state(error)


def remove(job: int) -> Operation[None]:
    """Forgets a job and its rows; one that has not ended is cancelled first."""
    state = status_from((yield Request("job.cancel", {"job": job})))
    while not state.ended_at_all:
        state = yield from news(job, state, POLL_S)
    yield Request("job.rm", {"job": job})


def simple(verb: str, **args: Any) -> Operation[Any]:
    """One request whose value is the answer."""
    return (yield Request(verb, args))
