"""Blobs through real processes: from the Python client to the coordinator's disk, from there to workers'
caches, whatever is killed on the way."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet import TIMEOUT_S, Coordinator, FakeWorker, Front, Process, RemoteError, find_binary, wait_until

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python"))

import drover  # noqa: E402
from drover import _blobs  # noqa: E402

MIB = 1 << 20
BLOB = 13


def sha_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def data_of(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def put(front: Front, data: bytes, sha: str | None = None) -> dict[str, Any]:
    """All of a blob, piece by piece; the last answer."""
    name, answer = sha or sha_of(data), {}
    for at in range(0, max(len(data), 1), MIB):
        answer = front.call("blob.put", sha=name, offset=at, total=len(data), data=data[at:at + MIB])
    return answer


def is_here(coordinator: Coordinator, sha: str) -> bool:
    return (coordinator.data_dir / "blobs" / sha).is_file()


@pytest.fixture
def worker_of(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    made: list[Process] = []

    def make(coordinator: Coordinator, name: str = "worker-1", *args: str) -> Process:
        cache = [] if any(a.startswith("--cache-dir") for a in args) else [f"--cache-dir={tmp_path}/cache-{name}"]
        made.append(Process(name, [str(find_binary("drover-worker")), "--coordinator", coordinator.back,
                                   "--id", name, "--loops", "1", *cache, *args], tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.kill()


def rows_of(coordinator: Coordinator, pipeline: drover.Pipeline, **options: Any) -> list[dict[str, Any]]:
    with drover.Client(coordinator.front) as fleet:
        job = fleet.submit(pipeline, **options)
        job.wait(60)
        return list(job.results())


# ---- the front ----


def test_a_blob_is_put_piece_by_piece_and_kept(coordinator: Coordinator, front: Front) -> None:
    data = data_of(2 * MIB + 17)
    sha = sha_of(data)
    assert front.call("blob.have", shas=[sha]) == {"missing": [sha]}
    assert front.call("blob.put", sha=sha, offset=0, total=len(data), data=data[:MIB]) == {
        "bytes": MIB, "whole": False}
    assert front.call("blob.have", shas=[sha]) == {"missing": [sha]}
    # a repeated piece, one that leaves a gap, one that overlaps
    assert front.call("blob.put", sha=sha, offset=0, total=len(data), data=data[:MIB])["bytes"] == MIB
    assert front.call("blob.put", sha=sha, offset=2 * MIB, total=len(data), data=data[2 * MIB:])["bytes"] == MIB
    assert front.call("blob.put", sha=sha, offset=MIB - 5, total=len(data),
                      data=data[MIB - 5:2 * MIB - 5])["bytes"] == 2 * MIB - 5
    assert front.call("blob.put", sha=sha, offset=2 * MIB - 5, total=len(data), data=data[2 * MIB - 5:]) == {
        "bytes": len(data), "whole": True}
    assert front.call("blob.have", shas=[sha]) == {"missing": []}
    assert (coordinator.data_dir / "blobs" / sha).read_bytes() == data
    assert front.call("blob.put", sha=sha, offset=0, total=len(data), data=data[:1])["whole"] is True


def test_an_empty_blob(coordinator: Coordinator, front: Front) -> None:
    assert put(front, b"") == {"bytes": 0, "whole": True}
    assert is_here(coordinator, sha_of(b""))


def test_wrong_bytes_are_refused_and_leave_nothing(coordinator: Coordinator, front: Front) -> None:
    wrong = sha_of(b"something else")
    with pytest.raises(RemoteError, match="INVALID_ARGUMENT.*" + wrong + ".*hash to"):
        put(front, data_of(1000), wrong)
    assert list((coordinator.data_dir / "blobs").iterdir()) == []
    assert put(front, b"something else")["whole"] is True


@pytest.mark.parametrize(("args", "what"), [
    ({"sha": "AB" * 32}, "INVALID_ARGUMENT.*lower-case hex"),
    ({"sha": "ab"}, "INVALID_ARGUMENT.*not the name of a blob"),
    ({"data": b"x" * (MIB + 1), "total": 3 * MIB}, "PAYLOAD_TOO_LARGE.*a piece of 1048577 bytes"),
    ({"total": (2 << 30) + 1}, "PAYLOAD_TOO_LARGE.*2147483649 bytes"),
    ({"offset": 8, "total": 10}, "INVALID_ARGUMENT.*passes the end"),
    ({"offset": (1 << 64) - 1}, "INVALID_ARGUMENT.*passes the end"),
    ({"data": "text"}, "INVALID_ARGUMENT.*data has the wrong type"),
])
def test_bad_pieces_are_named(front: Front, args: dict[str, Any], what: str) -> None:
    good = {"sha": sha_of(b"abc"), "offset": 0, "total": 3, "data": b"abc"}
    with pytest.raises(RemoteError, match=what):
        front.call("blob.put", **{**good, **args})


def test_a_job_that_names_a_missing_blob_is_refused(front: Front) -> None:
    sha = sha_of(b"nobody has it")
    with pytest.raises(RemoteError, match=f"NOT_FOUND.*{sha} is not here"):
        front.submit(["a"], stages=[{"kind": "noop", "blob": {"blob": sha}}])
    job = front.submit(seal=False, stages=[{"kind": "noop", "blob": "item"}])
    here = sha_of(b"here")
    put(front, b"here")
    items = [json.dumps({"blob": here}), json.dumps({"blob": sha})]
    with pytest.raises(RemoteError, match=rf"NOT_FOUND.*items\[1\].*{sha} is not here"):
        front.call("job.input", job=job, chunk=0, items=items)
    assert front.call("job.input", job=job, chunk=0, items=items[:1])["accepted"] == 1
    front.call("job.cancel", job=job)


def test_the_limit_of_all_blobs(coordinators: Callable[..., Coordinator], fronts: Callable[..., Front]) -> None:
    coordinator = coordinators(blob_bytes_max="2MiB").start()
    front = fronts(coordinator)
    first = data_of(MIB)
    put(front, first)
    with pytest.raises(RemoteError, match="STORE_FULL.*blob_bytes_max"):
        put(front, data_of(MIB + 1, 2))
    put(front, data_of(MIB, 3))
    coordinator.stop()
    coordinator.start()
    with pytest.raises(RemoteError, match="STORE_FULL"):
        put(fronts(coordinator), b"more")


def test_old_blobs_go_when_no_job_needs_them(
        coordinators: Callable[..., Coordinator], fronts: Callable[..., Front],
        worker_of: Callable[..., Process]) -> None:
    coordinator = coordinators(blob_keep="1s").start()
    front = fronts(coordinator)
    used, unused, part = data_of(1000, 1), data_of(1000, 2), data_of(1000, 3)
    put(front, used)
    job = front.submit(["a"], seal=False, stages=[{"kind": "noop", "blob": {"blob": sha_of(used)}}])
    put(front, unused)
    front.call("blob.put", sha=sha_of(part), offset=0, total=1000, data=part[:10])
    folder = coordinator.data_dir / "blobs"
    wait_until(lambda: [f.name for f in folder.iterdir()] == [sha_of(used)], "the others are removed")
    coordinator.stop()
    coordinator.start()
    front = fronts(coordinator)
    worker_of(coordinator)
    front.call("job.seal", job=job)
    assert front.wait(job)["state"] == "done"
    wait_until(lambda: not list(folder.iterdir()), "the job has ended, and nobody needs it")


# ---- to workers ----


def test_rows_have_the_blobs_of_the_job_and_of_the_items(
        coordinator: Coordinator, worker_of: Callable[..., Process], tmp_path: Path) -> None:
    worker_of(coordinator)
    model = data_of(11 * MIB + 3)
    (tmp_path / "model").write_bytes(model)
    rows = rows_of(coordinator, drover.noop(["a", "b"], blob=str(tmp_path / "model")))
    assert {(r["item"], r["bytes"], r["sha256"]) for r in rows} == {
        (item, len(model), sha_of(model)) for item in "ab"}
    text = b"".join(b"%d,\"a\nb\"\n" % i for i in range(200_000))
    parts = list(_blobs.slices(io.BytesIO(text), slice_bytes=MIB))
    rows = rows_of(coordinator, drover.noop(_blobs.slices(io.BytesIO(text), slice_bytes=MIB), slices=True))
    assert len(rows) == len(parts) > 2
    by_line = {json.loads(r["item"])["line"]: r for r in rows}
    for part in parts:
        row = by_line[part.line]
        assert (row["bytes"], row["sha256"]) == (part.size, part.sha)
    assert sum(r["bytes"] for r in rows) == len(text)


def test_the_async_client_sends_the_same(coordinator: Coordinator, worker_of: Callable[..., Process]) -> None:
    worker_of(coordinator)
    data = data_of(9 * MIB)

    async def run() -> list[dict[str, Any]]:
        async with drover.AsyncClient(coordinator.front) as fleet:
            assert await fleet._upload(data) == [sha_of(data)]
            job = await fleet.submit(drover.noop(["x"], blob=data))
            return [row async for row in job.results()]

    assert [(r["bytes"], r["sha256"]) for r in asyncio.run(run())] == [(len(data), sha_of(data))]
