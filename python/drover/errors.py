"""The errors that drover raises, made from the code that the coordinator sends."""

from __future__ import annotations

from typing import Dict, List, Optional, Type

__all__ = [
    "AuthError",
    "DroverError",
    "DuplicateJob",
    "InvalidArgument",
    "InvalidSpec",
    "JobCancelled",
    "JobExpired",
    "JobFailed",
    "NotFound",
    "NotReadable",
    "PayloadTooLarge",
    "ProtocolMismatch",
    "PredictTimeout",
    "QueueFull",
    "ResultExpired",
    "Unavailable",
    "Unreachable",
    "WaitTimeout",
    "WrongState",
]


class DroverError(Exception):
    """Base of all errors of this package. ``code`` is the coordinator's name for it, if it has one."""

    code: str = "INTERNAL"


class Unreachable(DroverError, ConnectionError):
    """No coordinator answered in time. What was submitted before stays where it is."""

    code = "UNREACHABLE"


class AuthError(DroverError, PermissionError):
    """The key is missing, unknown to the coordinator, or its role may not do this."""

    code = "AUTH"


class ProtocolMismatch(DroverError):
    """Client and coordinator share no protocol version: upgrade the older one."""

    code = "PROTOCOL_MISMATCH"


class InvalidSpec(DroverError, ValueError):
    """The job description is wrong; the text begins with the path of what is wrong."""

    code = "INVALID_SPEC"


class InvalidArgument(DroverError, ValueError):
    """An argument of a call is wrong, such as an input that is no http(s) URL."""

    code = "INVALID_ARGUMENT"


class QueueFull(DroverError):
    """The coordinator takes no more work now. ``retry_after`` is in seconds."""

    code = "QUEUE_FULL"

    def __init__(self, text: str = "the queue is full", retry_after: float = 1.0) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class DuplicateJob(DroverError):
    """A job of this name or idempotency key exists with another description."""

    code = "DUPLICATE_JOB"


class PayloadTooLarge(DroverError, ValueError):
    """One message would pass the coordinator's limit, which the text names."""

    code = "PAYLOAD_TOO_LARGE"


class NotFound(DroverError, LookupError):
    """There is no such job, task or worker."""

    code = "NOT_FOUND"


class NotReadable(DroverError):
    """The job's rows are in a sink that this program cannot read; the text says what to do."""


class WrongState(DroverError):
    """Not possible in the present state of the job or worker."""

    code = "WRONG_STATE"


class ResultExpired(DroverError):
    """The job's results are past their time to live and were removed."""

    code = "RESULT_EXPIRED"


class WaitTimeout(DroverError, TimeoutError):
    """The job has not ended within the given time; it goes on."""

    code = "TIMEOUT"


class PredictTimeout(DroverError, TimeoutError):
    """A prediction had no answer before its deadline."""

    code = "TIMEOUT"


class Unavailable(DroverError):
    """Not now: no worker is ready that can predict, or the model fails (its breaker is open)."""

    code = "UNAVAILABLE"


class JobFailed(DroverError):
    """The job ended with dead letters: inputs that used up their attempts."""

    code = "JOB_FAILED"


class JobCancelled(DroverError):
    """The job was cancelled."""

    code = "JOB_CANCELLED"


class JobExpired(DroverError):
    """The job passed its deadline."""

    code = "JOB_EXPIRED"


_CLASSES: List[Type[DroverError]] = [
    Unreachable, AuthError, ProtocolMismatch, InvalidSpec, InvalidArgument, QueueFull, DuplicateJob,
    PayloadTooLarge, NotFound, PredictTimeout, Unavailable, WrongState, ResultExpired, JobFailed, JobCancelled, JobExpired,
]
_BY_CODE: Dict[str, Type[DroverError]] = {cls.code: cls for cls in _CLASSES}
_BY_CODE["STORE_FULL"] = QueueFull  # refused for now, with a time to try again, as a full queue is


def error_from_wire(name: str, detail: Optional[str], retry_after_ms: int) -> DroverError:
    """The exception for an ERROR message: its code's name, its detail, its ``retry_after_ms``."""
    cls = _BY_CODE.get(name, DroverError)
    text = detail or name
    if cls is QueueFull:
        return QueueFull(text, retry_after_ms / 1000.0 or 1.0)
    error = cls(text)
    error.code = name
    return error
