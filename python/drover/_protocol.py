"""The client's side of the protocol without any I/O: bytes in, bytes and answers out.

docs/PROTOCOL.md describes the messages. A request keeps its number until it is answered, so that it
can be sent again unchanged: every verb of the coordinator is idempotent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Generator, List, Mapping, Optional, Tuple, TypeVar, Union

import msgpack

from .errors import DroverError, InvalidArgument, ProtocolMismatch, QueueFull, error_from_wire

VERSION = 1
REQUEST, REPLY, ERROR = 32, 33, 34

RESEND_S = 2.0
"""A request without an answer is sent again after so long (plus the time it may wait for)."""

TIMEOUT_S = 10.0
"""A request without an answer for so long (plus the time it may wait for) is Unreachable."""


@dataclass(frozen=True)
class Request:
    """One verb with its arguments, and how long the coordinator may wait before it answers."""

    verb: str
    args: Mapping[str, Any]
    wait_s: float = 0.0


T = TypeVar("T")
Operation = Generator[Union[Request, List[Request]], Any, T]
"""A use of the protocol that needs several requests: yields each, is sent its value, returns T. A list
of requests is sent at once, and the list of their values comes back.

Both faces of the client, blocking and asyncio, run the same operations."""

Answer = Union[DroverError, Any]

Steps = Generator[Union[List[Request], float], Any, T]
"""What a face has to do: make these requests and send their answers (errors not raised), or sleep."""


def steps(operation: Operation[T], queue_timeout: float) -> Steps[T]:
    """An operation as steps. Requests that a full queue refused are made again, until the queue has been
    full for queue_timeout seconds; any other error is raised, in the operation first."""
    value: Any = None
    error: Optional[DroverError] = None
    while True:
        try:
            asked = operation.send(value) if error is None else operation.throw(error)
        except StopIteration as end:
            result: T = end.value
            return result
        requests = asked if isinstance(asked, list) else [asked]
        values: List[Any] = [None] * len(requests)
        left, waited_s = list(range(len(requests))), 0.0
        error = None
        while left and error is None:
            answers = yield [requests[i] for i in left]
            refused: List[int] = []
            pause_s = 0.0
            for i, answer in zip(left, answers):
                if isinstance(answer, QueueFull):
                    refused.append(i)
                    pause_s = max(pause_s, answer.retry_after)
                    if waited_s + pause_s > queue_timeout:
                        error = answer
                elif isinstance(answer, DroverError):
                    error = answer
                else:
                    values[i] = answer
            waited_s = waited_s + pause_s if len(refused) == len(left) else 0.0
            left = refused
            if left and error is None:
                yield float(pause_s)
        value = values if isinstance(asked, list) else values[0]


class Session:
    """Numbers requests and matches answers. Answers to unknown numbers are dropped."""

    def __init__(self) -> None:
        self._seq = 0
        self._open: Dict[int, Request] = {}

    def send(self, request: Request) -> Tuple[int, bytes]:
        """The request's number and its message. InvalidArgument: an argument that no message can hold."""
        seq = self._seq + 1
        body = [request.verb, {k: v for k, v in request.args.items() if v is not None}]
        try:
            message: bytes = msgpack.packb([VERSION, REQUEST, 0, 0, seq, 0, body],
                                           use_bin_type=True)
        except (TypeError, ValueError, OverflowError) as cause:
            raise InvalidArgument(f"{request.verb}: {cause}") from None
        self._seq = seq
        self._open[seq] = request
        return seq, message

    def forget(self, seq: int) -> None:
        """Gives a request up; a late answer is dropped."""
        self._open.pop(seq, None)

    def receive(self, message: bytes) -> Optional[Tuple[int, Answer]]:
        """The number and the value, or the error (not raised), of a message; None for others."""
        try:
            frame = msgpack.unpackb(message, raw=False, strict_map_key=False)
            version, kind, body = frame[0], frame[1], frame[6]
            seq = body[0]
            if kind == REPLY:
                answer: Answer = body[1]
            elif kind == ERROR:
                answer = error_from_wire(body[2], body[3], body[4] or 0)
            else:
                return None
        except (ValueError, IndexError, TypeError, msgpack.exceptions.UnpackException) as cause:
            raise ProtocolMismatch(f"not a message of drover's protocol: {cause}") from None
        if version != VERSION and kind == REPLY:
            raise ProtocolMismatch(f"the coordinator speaks version {version}, this client {VERSION}")
        if self._open.pop(seq, None) is None:
            return None
        return seq, answer
