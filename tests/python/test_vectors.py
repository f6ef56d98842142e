"""The byte examples of tests/vectors, which the C tests decode too, by the client's own code."""

import json
from pathlib import Path

import msgpack
import pytest

from drover import QueueFull, _batch
from drover._protocol import Request, Session

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "messages.json"
MESSAGES = {row["name"]: row for row in json.loads(VECTORS.read_text())["messages"]}


def raw(name):
    return bytes.fromhex(MESSAGES[name]["hex"])


def test_bytes_and_messages_agree():
    def plain(value):
        if isinstance(value, dict):
            return bytes.fromhex(value["bin"]) if set(value) == {"bin"} else \
                {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, list) else value

    for name, row in MESSAGES.items():
        assert msgpack.unpackb(raw(name), strict_map_key=False) == plain(row["message"]), name


@pytest.mark.parametrize("name", ["request", "request_without_arguments", "job_check", "blob_put"])
def test_requests_are_packed_to_the_same_bytes(name):
    verb, args = msgpack.unpackb(raw(name))[6]
    session = Session()
    for _ in range(MESSAGES[name]["message"][4]):
        _, message = session.send(Request(verb, args))
    assert message == raw(name)


def test_answers():
    session = Session()
    session.send(Request("job.submit", {}))
    session.send(Request("job.submit", {}))
    assert session.receive(raw("reply")) == (1, MESSAGES["reply"]["message"][6][1])
    seq, error = session.receive(raw("error"))
    assert (seq, type(error), error.retry_after) == (2, QueueFull, 5.0)


def test_messages_that_are_not_for_clients_are_left_alone():
    assert Session().receive(raw("assign")) is None


def test_rows_of_a_result():
    rows = msgpack.unpackb(raw("result"))[6][0][5]
    assert list(_batch.decode_rows(msgpack.packb(rows, use_bin_type=True))) == [
        {"title": "a", "price": 1.5}, {"title": "b\u00e9", "price": None}]
