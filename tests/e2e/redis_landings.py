"""Landings for the tests of the Redis sink, and what a reader finds of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sink_driver import UID, Sink

P = f"pages:{{{UID}}}"
COLUMNS = [["url", "text"], ["n", "int64"]]


def landing(task: int, rows: list[list[Any]], columns: list[list[str]] = COLUMNS, uid: str = UID, job: int = 7,
            generation: int = 1, index: int = 0, **sink: Any) -> dict[str, Any]:
    return {"uid": uid, "task": task, "job": job, "generation": generation, "index": index,
            "columns": columns, "rows": rows, "sink": spec(**sink)}


def spec(mode: str = "hash", **sink: Any) -> dict[str, Any]:
    key = {"key": "url"} if mode == "hash" else {}
    return {"kind": "redis", "prefix": "pages", "mode": mode, **key, **sink}


def pages(task: int, n: int = 3, **more: Any) -> dict[str, Any]:
    return landing(task, [[f"/{task}/{i}", i] for i in range(n)], **more)


@pytest.fixture
def sinks() -> Iterator[Callable[..., Sink]]:
    made: list[Sink] = []

    def make(url: str, **settings: Any) -> Sink:
        made.append(Sink(kind="redis", url=url, **settings))
        assert made[-1].check["rc"] == "OK", made[-1].check
        return made[-1]

    yield make
    for one in made:
        one.close()


def ledger(client: Any, p: str = P) -> dict[str, int]:
    return {k.decode(): int(v) for k, v in client.hgetall(f"{p}:ledger").items()}


def texts(value: dict[bytes, bytes]) -> dict[str, str]:
    return {k.decode(): v.decode() for k, v in value.items()}


def unavailable(done: dict[str, Any], *words: str) -> None:
    assert done["rc"] == "UNAVAILABLE", done
    for word in words:
        assert word in done["error"], done
