"""Blobs through real processes: from the Python client to the coordinator's disk, from there to workers'
caches, whatever is killed on the way."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_coordinator import FAIL, RETURNED, FakeCoordinator, Worker
from fleet import Coordinator, FakeWorker, Front, Process, RemoteError, find_binary, wait_until

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


def sent_bytes(coordinator: Coordinator, jobs: int) -> float:
    """What workers were sent, by metrics from after so many jobs ended (they are made every second)."""
    def seen() -> Any:
        metrics = coordinator.metrics()
        ended = sum(n for name, n in metrics.items() if name.startswith("drover_jobs_finished_total"))
        return (metrics["drover_blob_sent_bytes_total"],) if ended >= jobs else None

    return float(wait_until(seen, "the metrics")[0])


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
    used, unused, part, item = (data_of(1000, seed) for seed in range(4))
    put(front, used)
    put(front, item)
    other = front.submit([json.dumps({"blob": sha_of(item)})], stages=[{"kind": "noop", "blob": "item"}])
    job = front.submit(["a"], seal=False, stages=[{"kind": "noop", "blob": {"blob": sha_of(used)}}])
    put(front, unused)
    front.call("blob.put", sha=sha_of(part), offset=0, total=1000, data=part[:10])
    folder = coordinator.data_dir / "blobs"
    wait_until(lambda: {f.name for f in folder.iterdir()} == {sha_of(used), sha_of(item)}, "the others are removed")
    coordinator.stop()
    coordinator.start()
    front = fronts(coordinator)
    worker_of(coordinator)
    front.call("job.seal", job=job)
    assert front.wait(job)["state"] == front.wait(other)["state"] == "done"
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


def test_several_workers_and_tasks_fetch_a_blob_once_each(
        coordinator: Coordinator, worker_of: Callable[..., Process]) -> None:
    data = data_of(10 * MIB)
    workers = [worker_of(coordinator, f"w{i}") for i in range(2)]
    rows = rows_of(coordinator, drover.noop([str(i) for i in range(200)], blob=data), task_items=1)
    assert len(rows) == 200 and {r["sha256"] for r in rows} == {sha_of(data)}
    assert sent_bytes(coordinator, 1) in (len(data), 2 * len(data))
    assert all(worker.running() for worker in workers)


def test_a_blob_that_vanished_from_the_cache_is_fetched_again(
        coordinator: Coordinator, worker_of: Callable[..., Process], tmp_path: Path) -> None:
    worker_of(coordinator)
    data = data_of(3 * MIB)
    cached = tmp_path / "cache-worker-1" / sha_of(data)
    assert len(rows_of(coordinator, drover.noop(["a"], blob=data))) == 1
    cached.unlink()
    assert [r["sha256"] for r in rows_of(coordinator, drover.noop(["b"], blob=data))] == [sha_of(data)]
    assert cached.read_bytes() == data


def test_a_damaged_file_in_the_cache_is_found_at_the_next_start(
        coordinator: Coordinator, worker_of: Callable[..., Process], tmp_path: Path) -> None:
    first = worker_of(coordinator)
    good, damaged = data_of(MIB, 1), data_of(MIB, 2)
    rows_of(coordinator, drover.noop(["a"], blob=good))
    rows_of(coordinator, drover.noop(["a"], blob=damaged))
    assert first.terminate() == 0
    file = tmp_path / "cache-worker-1" / sha_of(damaged)
    file.write_bytes(b"x" + damaged[1:])
    assert sent_bytes(coordinator, 2) == len(good) + len(damaged)
    worker_of(coordinator)
    for data in (good, damaged):
        assert [r["sha256"] for r in rows_of(coordinator, drover.noop(["b"], blob=data))] == [sha_of(data)]
    assert sent_bytes(coordinator, 4) == len(good) + 2 * len(damaged)
    assert file.read_bytes() == damaged


def test_a_blob_that_the_coordinator_lost_fails_the_task_with_that_reason(
        coordinator: Coordinator, front: Front, worker_of: Callable[..., Process]) -> None:
    data = b"soon gone"
    put(front, data)
    job = front.submit(["a"], stages=[{"kind": "noop", "blob": {"blob": sha_of(data)}}],
                       retry={"attempts": 1})
    (coordinator.data_dir / "blobs" / sha_of(data)).unlink()
    worker_of(coordinator)
    assert front.wait(job)["state"] == "failed"
    letter = front.call("dead.ls", job=job)["dead"][0]
    assert letter["error"].startswith("NOT_FOUND:") and sha_of(data) in letter["error"]
    # once it is there again, the letter can be retried
    assert put(front, data)["whole"] is True
    front.call("job.retry", job=job)
    assert front.wait(job)["state"] == "done"


def test_the_cache_keeps_its_bound_and_lets_the_oldest_go(
        coordinator: Coordinator, worker_of: Callable[..., Process], tmp_path: Path) -> None:
    worker_of(coordinator, "worker-1", "--cache-bytes-max=5MiB")
    folder = tmp_path / "cache-worker-1"
    data = [data_of(2 * MIB, seed) for seed in range(4)]
    for one in (data[0], data[1], data[0], data[2]):
        assert len(rows_of(coordinator, drover.noop(["a"], blob=one))) == 1
    wait_until(lambda: {f.name for f in folder.iterdir()} == {"lock", sha_of(data[0]), sha_of(data[2])},
               "the least recently used is gone")
    large = data_of(9 * MIB, 9)  # alone above the bound: it comes all the same
    assert [r["bytes"] for r in rows_of(coordinator, drover.noop(["a"], blob=large))] == [9 * MIB]


def test_slices_larger_than_the_cache_pass_through_it(
        coordinator: Coordinator, worker_of: Callable[..., Process], tmp_path: Path) -> None:
    worker_of(coordinator, "worker-1", "--cache-bytes-max=2MiB")
    text = b"".join(b"%d\n" % i for i in range(3_000_000))
    rows = rows_of(coordinator, drover.noop(_blobs.slices(io.BytesIO(text), slice_bytes=MIB // 2), slices=True),
                   task_items=1)
    assert sum(r["bytes"] for r in rows) == len(text)
    assert sum(f.stat().st_size for f in (tmp_path / "cache-worker-1").iterdir()) <= 2 * MIB


def test_two_workers_do_not_share_a_folder(
        coordinator: Coordinator, worker_of: Callable[..., Process], tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    first = worker_of(coordinator, "a", f"--cache-dir={folder}")
    wait_until(lambda: (folder / "lock").exists() and "session up" in first.text(), "the first one serves")
    second = worker_of(coordinator, "b", f"--cache-dir={folder}")
    assert second.wait() == 2
    assert "another worker uses" in second.text()


def test_a_temporary_cache_is_removed_also_that_of_a_killed_worker(
        coordinator: Coordinator, tmp_path: Path) -> None:
    root = tmp_path / "tmp"
    root.mkdir()

    def start(name: str) -> Process:
        return Process(name, [str(find_binary("drover-worker")), "--coordinator", coordinator.back, "--id",
                              name, "--loops", "1"], tmp_path, {"TMPDIR": str(root)})

    first = start("first")
    assert not list(root.iterdir()), "nothing is made before it is needed"
    rows_of(coordinator, drover.noop(["a"], blob=b"some bytes"))
    assert len(list(root.iterdir())) == 1
    first.kill()
    left = list(root.iterdir())
    assert len(left) == 1
    second = start("second")
    rows_of(coordinator, drover.noop(["b"], blob=b"some bytes"))
    assert left[0] not in root.iterdir()
    assert second.terminate() == 0
    assert not list(root.iterdir())


# ---- killed on the way ----


def test_an_upload_goes_on_after_the_coordinator_was_killed(coordinator: Coordinator, fronts: Any) -> None:
    data = data_of(30 * MIB)
    front = fronts(coordinator)
    for at in range(0, 20 * MIB, MIB):
        front.call("blob.put", sha=sha_of(data), offset=at, total=len(data), data=data[at:at + MIB])
    coordinator.kill()
    coordinator.start()
    front = fronts(coordinator)
    answer = front.call("blob.put", sha=sha_of(data), offset=0, total=len(data), data=data[:MIB])
    assert answer == {"bytes": 20 * MIB, "whole": False}
    with drover.Client(coordinator.front) as fleet:
        fleet._upload(data)
    assert (coordinator.data_dir / "blobs" / sha_of(data)).read_bytes() == data


def test_a_part_that_a_crash_damaged_begins_again(coordinator: Coordinator, fronts: Any) -> None:
    data = data_of(3 * MIB)
    fronts(coordinator).call("blob.put", sha=sha_of(data), offset=0, total=len(data), data=data[:MIB])
    coordinator.kill()
    part = coordinator.data_dir / "blobs" / f"{sha_of(data)}.part"
    part.write_bytes(bytes(MIB))  # the file has its length, and its bytes never reached the disk
    coordinator.start()
    with drover.Client(coordinator.front) as fleet:
        fleet._upload(data)
    assert (coordinator.data_dir / "blobs" / sha_of(data)).read_bytes() == data


@pytest.mark.parametrize("victim", ["worker", "coordinator", "both"])
def test_kills_in_the_middle_of_transfers_lose_nothing(
        victim: str, coordinators: Callable[..., Coordinator], worker_of: Callable[..., Process],
        tmp_path: Path) -> None:
    coordinator = coordinators().start()
    coordinator.keep_ports()
    data = data_of(150 * MIB)
    part = tmp_path / "cache-worker-1" / f"{sha_of(data)}.part"
    worker = worker_of(coordinator)
    with drover.Client(coordinator.front) as fleet:
        job = fleet.submit(drover.noop(["a", "b"], blob=data), task_items=1)
        for _ in range(3):
            wait_until(lambda: part.exists() or job.status().ended_at_all, "the transfer has begun")
            if victim != "coordinator":
                worker.kill()
            if victim != "worker":
                coordinator.kill()
                coordinator.start()
            if victim != "coordinator":
                worker = worker_of(coordinator)
        assert job.wait(60).state == "done"
        assert {(r["item"], r["bytes"], r["sha256"]) for r in job.results()} == {
            (item, len(data), sha_of(data)) for item in "ab"}


def test_leases_hold_while_a_large_blob_comes(
        coordinators: Callable[..., Coordinator], worker_of: Callable[..., Process]) -> None:
    """Heartbeats go on, and tasks that need no blob are not held up by one that does."""
    coordinator = coordinators(lease="1s").start()
    worker = worker_of(coordinator)
    data = data_of(200 * MIB)
    with drover.Client(coordinator.front) as fleet:
        large = fleet.submit(drover.noop(["x"], blob=data))
        quick = [fleet.submit(drover.noop(["y"], rows=True)) for _ in range(20)]
        for job in quick:
            assert job.wait(30).state == "done"
        assert large.wait(60).state == "done"
    assert "lease is in doubt" not in worker.text() and "session lost" not in worker.text()


# ---- what workers may ask ----


def ask(worker: FakeWorker, name: bytes, offset: int = 0, count: int = MIB, what: int = 1) -> None:
    worker.send(BLOB, [what, name, offset, count])


def test_answers_to_workers(coordinator: Coordinator, front: Front,
                            fake_workers: Callable[..., FakeWorker]) -> None:
    data = data_of(2 * MIB + 5)
    put(front, data)
    name = bytes.fromhex(sha_of(data))
    worker = fake_workers(coordinator)
    worker.hello()
    ask(worker, name, 0, 10)
    assert worker.expect(BLOB) == [1, name, 0, 10, len(data), data[:10], 0, None]
    ask(worker, name, MIB, 64 * MIB)
    answer = worker.expect(BLOB)
    assert (answer[3], answer[5]) == (2 * MIB, data[MIB:2 * MIB]), "never more than a chunk"
    ask(worker, name, len(data), MIB)
    assert worker.expect(BLOB)[3:6] == [len(data), len(data), b""]
    ask(worker, name, len(data) + 7, MIB)
    assert worker.expect(BLOB)[3:6] == [len(data) + 7, len(data), b""]
    for what, unknown in ((1, b"\1" * 32), (1, b"short"), (9, name)):
        ask(worker, unknown, 0, 10, what)
        answer = worker.expect(BLOB)
        assert (answer[1], answer[5], answer[6]) == (unknown, b"", 12), "NOT_FOUND"
    for _ in range(40):
        ask(worker, name, 0, 1000)
    codes = [worker.expect(BLOB)[6] for _ in range(40)]
    assert codes.count(0) >= 8 and set(codes) <= {0, 23}, "more than may be open: UNAVAILABLE"


def test_a_worker_that_reads_nothing_costs_bounded_memory(
        coordinator: Coordinator, front: Front, fake_workers: Callable[..., FakeWorker]) -> None:
    """Each has its few answers in the coordinator's queues, and all together a bound."""
    data = data_of(8 * MIB)
    put(front, data)
    name = bytes.fromhex(sha_of(data))
    for i in range(30):
        worker = fake_workers(coordinator, name=f"w{i}")
        worker.hello()
        for k in range(8):
            ask(worker, name, k * MIB)
    good = fake_workers(coordinator, name="good")
    good.hello()
    assert front.call("status")["workers"]["ready"] == 31
    assert coordinator.process
    status = Path(f"/proc/{coordinator.process.popen.pid}/status").read_text()
    assert int(status.split("VmHWM:")[1].split()[0]) < 300 * 1024


# ---- what workers do ----


@pytest.fixture
def played() -> Iterator[tuple[FakeCoordinator, Worker]]:
    coordinator = FakeCoordinator()
    worker = Worker(coordinator.url, "--id", "w1", "--slots", "4")
    yield coordinator, worker
    worker.kill()
    coordinator.close()


def described(pipeline: drover.Pipeline) -> str:
    return json.dumps({**pipeline.to_json(), "sinks": [{"kind": "store"}]})


def test_the_time_of_a_task_counts_from_when_it_has_its_blobs(
        played: tuple[FakeCoordinator, Worker]) -> None:
    coordinator, _ = played
    data = b"a,b\n1,2\n"
    job = drover.transform(io.BytesIO(data), sql="SELECT a FROM input")
    parts = list(job.items)
    name = bytes.fromhex(parts[0].sha)
    coordinator.blobs_wait = True
    coordinator.wait_session()
    tokens = coordinator.assign([[[parts[0].item(), 0]]], spec=described(job), run_timeout_ms=5000)
    coordinator.run_until(lambda: coordinator.blob_asks, "the question")
    coordinator.heartbeats.clear()
    coordinator.run_until(lambda: coordinator.heartbeats, "a heartbeat")
    assert coordinator.heartbeats[0][:2] == [0, 1] and not coordinator.begun, "it waits, and does not run"
    coordinator.blobs[name] = bytes(parts[0].data)
    coordinator.blobs_wait = False
    coordinator.answer_blob(coordinator.blob_asks[0])
    result = coordinator.wait_results(1)[0]
    assert (result.token, result.n_rows, result.error) == (tokens[0], 1, None)
    assert coordinator.begun == tokens
    coordinator.assign([[[parts[0].item(), 0]]], spec=described(job), first_task=9)
    coordinator.wait_results(2)
    assert coordinator.begun == tokens, "without a limit nobody need know"


def test_the_question_is_asked_again_in_a_new_session(played: tuple[FakeCoordinator, Worker]) -> None:
    coordinator, _ = played
    data = data_of(3 * MIB)
    name = bytes.fromhex(sha_of(data))
    coordinator.blobs[name] = data
    coordinator.blobs_wait = True
    coordinator.wait_session()
    tokens = coordinator.assign([["x"]], spec=described(drover.noop(blob=data)))
    coordinator.run_until(lambda: coordinator.blob_asks, "the first question")
    coordinator.answer_blob(coordinator.blob_asks[0])
    coordinator.run_until(lambda: len(coordinator.blob_asks) > 1, "the next one")
    coordinator.blobs_wait = False
    coordinator.send(12, ["anew"])  # RESYNC
    coordinator.wait_session(2)
    assert coordinator.held() == tokens
    assert coordinator.wait_results(1)[0].error is None
    again = [ask[2] for ask in coordinator.blob_asks[2:]]
    assert 0 not in again, "what is there is not asked for again"


def test_a_task_that_waits_for_blobs_is_revoked_and_given_back(
        played: tuple[FakeCoordinator, Worker]) -> None:
    coordinator, worker = played
    coordinator.blobs_wait = True
    coordinator.wait_session()
    tokens = coordinator.assign([["a"], ["b"]], spec=described(drover.noop(blob=b"never")))
    coordinator.run_until(lambda: coordinator.heartbeats and coordinator.heartbeats[-1][1] == 2, "both wait")
    coordinator.revoke(tokens[:1])
    coordinator.run_until(lambda: coordinator.heartbeats and coordinator.heartbeats[-1][1] == 1, "one left")
    worker.signal(15)
    result = coordinator.wait_results(1)[0]
    assert (result.token, result.outcome) == (tokens[1], RETURNED)
    coordinator.run_until(lambda: coordinator.byes, "the goodbye")
    assert worker.process.wait(10) == 0 and len(coordinator.results) == 1


def test_a_blob_that_is_gone_fails_the_task(played: tuple[FakeCoordinator, Worker]) -> None:
    coordinator, _ = played
    coordinator.wait_session()
    coordinator.assign([["a"]], spec=described(drover.noop(blob=b"gone")))
    result = coordinator.wait_results(1)[0]
    assert result.outcome == FAIL and result.error
    assert result.error.startswith("NOT_FOUND: blob " + sha_of(b"gone"))


# ---- run ----


def run_alone(tmp_path: Path, job: dict[str, Any], *args: str) -> tuple[int, list[dict[str, Any]], str]:
    (tmp_path / "job.json").write_text(json.dumps(job))
    process = Process("run", [str(find_binary("drover-worker")), "run", "--job", str(tmp_path / "job.json"),
                              "--output", str(tmp_path / "rows"), *args], tmp_path)
    code = process.wait()
    rows = (tmp_path / "rows").read_text().splitlines() if (tmp_path / "rows").exists() else []
    return code, [json.loads(row) for row in rows], process.text()


def test_run_takes_blobs_from_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "blobs"
    folder.mkdir()
    model, part = data_of(MIB, 1), data_of(1000, 2)
    for data in (model, part):
        (folder / sha_of(data)).write_bytes(data)
    job = {"drover": 1, "stages": [{"kind": "noop", "blob": {"blob": sha_of(model)}}], "input": {"items": ["a"]}}
    assert run_alone(tmp_path, job, "--blobs", str(folder))[1] == [
        {"item": "a", "bytes": MIB, "sha256": sha_of(model)}]
    code, _, text = run_alone(tmp_path, job)
    assert code == 1 and f"blob {sha_of(model)} is needed" in text and "--blobs DIR" in text
    job["stages"] = [{"kind": "noop", "blob": "item"}]
    missing = sha_of(b"missing")
    job["input"] = {"items": [json.dumps({"blob": sha_of(part)}), json.dumps({"blob": missing})]}
    code, rows, text = run_alone(tmp_path, job, "--blobs", str(folder), "--rejects", str(tmp_path / "rejects"))
    assert (code, [r["sha256"] for r in rows]) == (0, [sha_of(part)])
    reject = json.loads((tmp_path / "rejects").read_text())
    assert reject["reason"] == "NOT_FOUND" and missing in reject["detail"]
    (folder / sha_of(part)).write_bytes(b"damaged")
    code, rows, _ = run_alone(tmp_path, job, "--blobs", str(folder), "--rejects", str(tmp_path / "rejects"))
    assert rows == [] and (folder / sha_of(part)).read_bytes() == b"damaged", "nothing in it is changed"


# ---- a full disk ----


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)],
                             capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("no small file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_refuses_uploads_and_harms_nothing_else(
        small_disk: Path, coordinators: Callable[..., Coordinator], fronts: Callable[..., Front],
        worker_of: Callable[..., Process]) -> None:
    coordinator = coordinators(data_dir=small_disk / "data").start()
    front = fronts(coordinator)
    first = data_of(20 * MIB, 1)
    assert put(front, first)["whole"] is True
    large = data_of(MIB, 2)
    with pytest.raises(RemoteError, match="STORE_FULL.*disk of .*blobs is"):
        front.call("blob.put", sha="ab" * 32, offset=0, total=60 * MIB, data=large)
    with pytest.raises(RemoteError, match="STORE_FULL"):
        for seed in range(3, 60):
            put(front, data_of(MIB, seed))
    assert not list((small_disk / "data" / "blobs").glob("*.part"))
    worker_of(coordinator)
    assert [r["sha256"] for r in rows_of(coordinator, drover.noop(["a"], blob=first))] == [sha_of(first)]
    assert front.call("status")["healthy"] is True
