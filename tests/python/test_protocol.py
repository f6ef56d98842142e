"""The session without I/O, the operations, and the errors."""

import re
from pathlib import Path

import msgpack
import pytest

import drover
from drover import _operations as ops
from drover import errors
from drover._protocol import Request, Session

ERR_H = Path(__file__).resolve().parents[2] / "common" / "err.h"


def reply(seq, value):
    return msgpack.packb([1, 33, 7, 0, 1, 0, [seq, value]])


def failed(seq, name, detail="because", retry_after_ms=0):
    return msgpack.packb([1, 34, 7, 0, 1, 0, [seq, 10, name, detail, retry_after_ms]])


def drive(operation, values):
    """Runs an operation against a list of values; returns its requests and its result."""
    requests, values = [next(operation)], iter(values)
    while True:
        try:
            requests.append(operation.send(next(values)))
        except StopIteration as end:
            return requests, end.value


def test_request_has_the_documented_form():
    _, message = Session().send(Request("job.status", {"job": 5, "version": None}))
    assert msgpack.unpackb(message) == [1, 32, 0, 0, 1, 0, ["job.status", {"job": 5}]]


def test_answers_are_matched_and_late_ones_dropped():
    session = Session()
    first, _ = session.send(Request("a", {}))
    second, _ = session.send(Request("b", {}))
    assert session.receive(reply(second, "B")) == (second, "B")
    assert session.receive(reply(first, "A")) == (first, "A")
    assert session.receive(reply(first, "A again")) is None
    third, _ = session.send(Request("c", {}))
    session.forget(third)
    assert session.receive(reply(third, "late")) is None


@pytest.mark.parametrize("message", [b"", b"\xc1", b"\x90", msgpack.packb([1, 33]), msgpack.packb("x"),
                                     msgpack.packb([1, 33, 0, 0, 0, 0, None])])
def test_garbage_is_a_protocol_error(message):
    with pytest.raises(errors.ProtocolMismatch):
        Session().receive(message)


def test_every_code_a_client_can_meet_has_its_class():
    names = re.findall(r"^    X\((\w+), \d+, (?:RETRY|REJECT)", ERR_H.read_text(), re.M)
    internal = {"IO", "LIMIT", "MALFORMED", "STALE", "TIMEOUT", "UNAVAILABLE", "CONFIG"}
    for name in set(names) - internal:
        assert type(errors.error_from_wire(name, "x", 0)) is not errors.DroverError, name


def test_errors_are_also_what_python_users_catch():
    assert issubclass(drover.Unreachable, ConnectionError)
    assert issubclass(drover.InvalidSpec, ValueError)
    assert issubclass(drover.WaitTimeout, TimeoutError)


def test_queue_full_carries_its_delay():
    session = Session()
    seq, _ = session.send(Request("job.submit", {}))
    answer = session.receive(failed(seq, "QUEUE_FULL", retry_after_ms=2500))
    assert isinstance(answer[1], drover.QueueFull) and answer[1].retry_after == 2.5


def submission(items):
    return ops.Submission("{}", "key", items)


def test_submit_sends_chunks_and_seals():
    items = [f"http://h/{i}" for i in range(ops.CHUNK_ITEMS + 1)]
    requests, job = drive(ops.submit(submission(items)), [{"job": 9, "chunks": 0}, {}, {}, {}])
    assert job == 9
    assert [r.verb for r in requests] == ["job.submit", "job.input", "job.input", "job.seal"]
    assert [len(r.args["items"]) for r in requests[1:3]] == [ops.CHUNK_ITEMS, 1]


def test_submit_again_sends_only_what_is_missing():
    items = [f"http://h/{i}" for i in range(2 * ops.CHUNK_ITEMS)]
    requests, _ = drive(ops.submit(submission(items)), [{"job": 9, "chunks": 1}, {}, {}])
    assert [r.args.get("chunk") for r in requests] == [None, 1, None]


def test_submit_of_a_sealed_job_sends_nothing():
    requests, job = drive(ops.submit(submission(iter(["x"]))),
                          [{"job": 9, "existing": True, "sealed": True, "chunks": 1}])
    assert (job, len(requests)) == (9, 1)


def test_chunks_are_bounded_in_bytes():
    sizes = [len(chunk) for chunk in ops.chunks("x" * 400_000 for _ in range(5))]
    assert sizes == [2, 2, 1]


def test_input_is_read_lazily():
    taken = []

    def endless():
        for i in range(10**9):
            taken.append(i)
            yield f"http://h/{i}"

    operation = ops.submit(submission(endless()))
    next(operation)
    operation.send({"job": 1, "chunks": 0})
    assert len(taken) == ops.CHUNK_ITEMS + 1


@pytest.mark.parametrize("item", [None, 3, b"x", {"a": 1}])
def test_an_input_that_is_no_text_is_refused(item):
    with pytest.raises(drover.InvalidArgument, match="no text"):
        list(ops.chunks([item]))


@pytest.mark.parametrize("state, error", [("failed", drover.JobFailed),
                                          ("cancelled", drover.JobCancelled)])
def test_bad_ends_raise(state, error):
    with pytest.raises(error, match="job 4 "):
        ops.status_from({"job": 4, "state": state, "dead": 2}).raise_for_state()


def test_fill_rates():
    status = ops.status_from({"job": 1, "state": "done", "rows": 4, "stats": {"rows": 4, "fill.a": 3}})
    assert status.fill_rates == {"a": 0.75}
