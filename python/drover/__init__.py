"""drover: submit heavy data jobs to a fleet of workers and read the rows back.

    from drover import Client, scrape

    with Client() as fleet:
        job = fleet.submit(scrape(urls, extract={"title": "title::text"}))
        for row in job.results():
            print(row["title"])
"""

from ._models import Model
from ._operations import DeadLetter, Explanation, JobStatus, Reject
from .aio import AsyncClient, AsyncJob
from .client import Client, Job
from .errors import (
    AuthError,
    DroverError,
    DuplicateJob,
    InvalidArgument,
    InvalidSpec,
    JobCancelled,
    JobExpired,
    JobFailed,
    NotFound,
    NotReadable,
    PayloadTooLarge,
    PredictTimeout,
    ProtocolMismatch,
    QueueFull,
    ResultExpired,
    Unavailable,
    Unreachable,
    WaitTimeout,
    WrongState,
)
from .sinks import File, Postgres, Redis, Store
from ._check import export_check
from .spec import Pipeline, Retry, noop, score, scrape, transform

__version__ = "0.1.0"

__all__ = [
    "AsyncClient", "AsyncJob", "AuthError", "Client", "DeadLetter", "DroverError", "DuplicateJob",
    "Explanation", "File", "InvalidArgument", "InvalidSpec", "Job", "JobCancelled", "JobExpired", "JobFailed",
    "JobStatus", "Model", "NotFound", "NotReadable", "PayloadTooLarge", "Pipeline", "Postgres",
    "PredictTimeout", "ProtocolMismatch", "QueueFull", "Redis", "Reject", "ResultExpired", "Retry", "Store",
    "Unavailable", "Unreachable", "WaitTimeout", "WrongState", "export_check", "noop", "score",
    "scrape", "transform",
]
