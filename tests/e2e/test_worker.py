"""drover-worker against a coordinator that a test plays: sessions, credit, results, faults."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgpack
import pytest

from fleet import wait_until

import fake_coordinator as fc
from fake_coordinator import FakeCoordinator, Worker, binary

Pair = tuple[FakeCoordinator, Worker]


@pytest.fixture
def pair() -> Iterator[Pair]:
    coordinator = FakeCoordinator()
    worker = Worker(coordinator.url, "--id", "w1", "--slots", "4")
    yield coordinator, worker
    worker.kill()
    coordinator.close()


def rows_of(result: fc.Result) -> list[str]:
    """The one text column of a noop batch."""
    _version, n_rows, columns = result.rows
    name, _type, _nulls, data, ends = columns[0]
    assert name == "item"
    stops = [int.from_bytes(ends[i : i + 4], "little") for i in range(0, 4 * n_rows, 4)]
    return [data[a:b].decode() for a, b in zip([0, *stops], stops)]


def test_hello_says_who_it_is(pair: Pair) -> None:
    coordinator, _ = pair
    coordinator.wait_session()
    low, high, name, boot, kinds, slots, version, host, held = coordinator.hello
    assert (low, high, name, slots, held) == (1, 1, "w1", 4, [])
    assert len(boot) == 16 and kinds & 9 == 9 and version and host


def test_noop_rows_come_back(pair: Pair) -> None:
    coordinator, _ = pair
    coordinator.wait_session()
    tokens = coordinator.assign([["a", "b"], ["c"], []])
    results = coordinator.wait_results(3)
    assert [r.token for r in results] == tokens
    assert [r.outcome for r in results] == [fc.DONE] * 3
    assert [r.n_rows for r in results] == [2, 1, 0]
    assert [rows_of(r) for r in results[:2]] == [["a", "b"], ["c"]]
    assert results[2].rows is None and results[0].error is None


def test_credit_is_cumulative_and_grows_with_the_rate(pair: Pair) -> None:
    coordinator, _ = pair
    coordinator.wait_session()
    assert coordinator.credit[0] == 5  # slots and the smallest prefill
    done, until = 0, time.monotonic() + fc.WAIT_S
    while (n := coordinator.credit[0] - coordinator.assigned) < 50:
        assert n > 0 and time.monotonic() < until
        coordinator.assign([["x"]] * n, first_task=done + 1)
        done += n
        coordinator.wait_results(done)
        coordinator.run_until(lambda: coordinator.credit[0] > coordinator.assigned, "more credit")
    assert coordinator.credit[1] > 0


def test_heartbeats_tell_what_was_done(pair: Pair) -> None:
    coordinator, _ = pair
    coordinator.wait_session()
    coordinator.assign([["x"]])
    coordinator.wait_results(1)
    coordinator.run_until(lambda: coordinator.heartbeats and coordinator.heartbeats[-1][5] == 1)
    busy, queued, buffered, rss, cpu, done, failed, rows, _counters = coordinator.heartbeats[-1]
    assert (busy, queued, done, failed, rows) == (0, 0, 1, 0, 1)
    assert rss > 1 << 20 and cpu > 0


def test_result_leaves_memory_only_when_acknowledged(pair: Pair) -> None:
    coordinator, _ = pair
    coordinator.auto_ack = False
    coordinator.wait_session()
    tokens = coordinator.assign([["a"], ["b"]])
    first = list(coordinator.wait_results(2))
    coordinator.acknowledge(first[:1])
    coordinator.send(fc.RESYNC, ["test"])
    coordinator.wait_session(2)
    assert coordinator.held() == tokens[1:]
    coordinator.wait_results(3)
    assert coordinator.results[2].raw == first[1].raw
    coordinator.acknowledge(coordinator.results[2:])
    coordinator.send(fc.RESYNC, ["test"])
    coordinator.wait_session(3)
    assert coordinator.held() == []


def test_gap_in_the_numbers_begins_a_new_session(pair: Pair) -> None:
    coordinator, _ = pair
    coordinator.wait_session()
    coordinator.seq_out += 1  # a message that never arrives
    coordinator.assign([["lost"]])
    coordinator.wait_session(2)
    assert coordinator.held() == []
    coordinator.run_for(0.3)
    assert coordinator.results == []


def test_revoke_drops_the_result(pair: Pair) -> None:
    coordinator, _ = pair
    coordinator.auto_ack = False
    coordinator.wait_session()
    tokens = coordinator.assign([["a"], ["b"]])
    coordinator.wait_results(2)
    coordinator.revoke([(1, 9, 9), tokens[1]])  # the first token is of nobody
    coordinator.send(fc.RESYNC, ["test"])
    coordinator.wait_session(2)
    assert coordinator.held() == tokens[:1]


def test_restarted_coordinator_gets_what_was_not_acknowledged() -> None:
    first = FakeCoordinator(epoch=1)
    worker = Worker(first.url, "--id", "w1")
    try:
        first.auto_ack = False
        first.wait_session()
        tokens = first.assign([["a"], ["b"]])
        first.wait_results(2)
        first.close()
        second = FakeCoordinator(epoch=2, port=first.port)
        try:
            second.wait_session()
            assert second.held() == tokens
            results = second.wait_results(2)
            assert [r.token for r in results] == tokens  # with the epoch of the lease
            later = second.assign([["c"]], first_task=7)
            second.wait_results(3)
            assert second.results[2].token == later[0] == (7, 2, 1)
        finally:
            second.close()
    finally:
        worker.kill()


def test_no_welcome_makes_a_new_connection() -> None:
    coordinator = FakeCoordinator()
    coordinator.silent = True
    worker = Worker(coordinator.url, "--id", "w1")
    try:
        coordinator.run_until(lambda: len(coordinator.hellos) == 1)
        peer = coordinator.peer
        coordinator.run_until(lambda: len(coordinator.hellos) == 2, "a second HELLO")
        assert coordinator.peer != peer
        coordinator.silent = False
        coordinator.wait_session(3)
    finally:
        worker.kill()
        coordinator.close()


def test_refused_worker_says_so_and_stays() -> None:
    coordinator = FakeCoordinator()
    coordinator.silent = True
    worker = Worker(coordinator.url, "--id", "w1")
    try:
        coordinator.run_until(lambda: len(coordinator.hellos) == 1)
        coordinator.send(fc.REFUSE, [31, "no common protocol version"])
        assert worker.process.stderr is not None
        seen = b""
        while b"refuses" not in seen:
            seen = worker.process.stderr.readline()
            assert seen
        assert b"PROTOCOL_MISMATCH" in seen and b"no common protocol version" in seen
        assert worker.process.poll() is None
    finally:
        worker.kill()
        coordinator.close()


def test_messages_that_cannot_be_read_do_no_harm(pair: Pair) -> None:
    coordinator, worker = pair
    coordinator.wait_session()
    bad = [b"", b"junk" * 1000, msgpack.packb([1, 5, 1])]
    bad += [b"\x97\x01\x05\x01\xcd\x00\x65\x02\x01\xdd\xff\xff\xff\xff"]  # 4 G jobs declared
    for n, message in enumerate(bad):
        coordinator.socket.send_multipart([coordinator.peer, message])
        coordinator.wait_session(n + 2)
    coordinator.assign([["a"]])
    coordinator.wait_results(1)
    assert worker.process.poll() is None


def test_job_that_does_not_compile_fails_its_task(pair: Pair) -> None:
    coordinator, _ = pair
    coordinator.wait_session()
    spec = '{"drover": 1, "stages": [{"kind": "noop", "rowz": 1}]}'
    coordinator.assign([["a"]], spec=spec)
    coordinator.assign([["a"]], job=2, first_task=2)
    results = coordinator.wait_results(2)
    assert results[0].outcome == fc.FAIL
    assert results[0].error.startswith("INVALID_SPEC: stages[0]") and "rowz" in results[0].error
    assert results[1].outcome == fc.DONE


def test_result_that_is_too_large_fails_and_names_the_limit(pair: Pair) -> None:
    coordinator, _ = pair
    coordinator.wait_session()
    item = "x" * 60000
    coordinator.assign([[item] * 60])  # 3.6 MB: fits a message
    assert coordinator.wait_results(1)[0].n_rows == 60
    # Of short items the rows are larger than the input: each has an offset of four bytes.
    coordinator.assign([["x"] * 3_500_000], first_task=2)
    result = coordinator.wait_results(2)[1]
    assert result.outcome == fc.FAIL and result.rows is None
    assert result.error.startswith("LIMIT: ") and "16777216" in result.error
    assert "task_items" in result.error


def test_drain_by_the_coordinator(pair: Pair) -> None:
    coordinator, _ = pair
    coordinator.wait_session()
    coordinator.send(fc.DRAIN, [True])
    coordinator.run_until(lambda: coordinator.credit[0] == coordinator.assigned, "credit taken back")
    tokens = coordinator.assign([["a"]])  # crossed on the way
    results = coordinator.wait_results(1)
    assert results[0].token == tokens[0] and results[0].outcome == fc.RETURNED
    coordinator.send(fc.DRAIN, [False])
    coordinator.run_until(lambda: coordinator.credit[0] > coordinator.assigned, "credit again")
    coordinator.assign([["a"]], first_task=2)
    assert coordinator.wait_results(2)[1].outcome == fc.DONE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_drains_and_says_goodbye(pair: Pair, number: int) -> None:
    coordinator, worker = pair
    coordinator.auto_ack = False
    coordinator.wait_session()
    coordinator.assign([["a"]])
    results = list(coordinator.wait_results(1))
    worker.signal(number)
    coordinator.run_until(lambda: coordinator.credit[0] == coordinator.assigned, "credit taken back")
    assert worker.process.poll() is None and not coordinator.byes  # the result is not safe yet
    coordinator.acknowledge(results)
    coordinator.run_until(lambda: bool(coordinator.byes), "BYE")
    assert worker.process.wait(10) == 0


def test_second_signal_ends_at_once(pair: Pair) -> None:
    coordinator, worker = pair
    coordinator.auto_ack = False
    coordinator.wait_session()
    coordinator.assign([["a"]])
    coordinator.wait_results(1)
    worker.signal(signal.SIGTERM)
    coordinator.run_until(lambda: coordinator.credit[0] == coordinator.assigned, "credit taken back")
    worker.signal(signal.SIGTERM)
    assert worker.process.wait(5) == 0


def test_drain_ends_when_the_coordinator_is_gone(pair: Pair) -> None:
    coordinator, worker = pair
    coordinator.wait_session()
    coordinator.close()
    worker.signal(signal.SIGTERM)
    assert worker.process.wait(10) == 0


def test_stopped_worker_starts_nothing_until_it_is_welcome_again() -> None:
    coordinator = FakeCoordinator(lease_ms=600, heartbeat_ms=100)
    worker = Worker(coordinator.url, "--id", "w1")
    try:
        coordinator.wait_session()
        worker.signal(signal.SIGSTOP)
        # Given while it is stopped, and taken away from it before it wakes.
        coordinator.assign([["zombie"]])
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            time.sleep(0.05)
        coordinator.session += 1000  # forgotten: the next message of the old session means RESYNC
        coordinator.silent = False
        worker.signal(signal.SIGCONT)
        coordinator.run_until(lambda: len(coordinator.hellos) == 2, "a new session")
        assert coordinator.results == []
        # Read before the session was found to be over, or dropped with its connection.
        assert coordinator.held() in ([], [(1, 1, 1)])
        coordinator.revoke([(1, 1, 1)], "stale")
        coordinator.assign([["fresh"]], first_task=2)
        results = coordinator.wait_results(1)
        assert [r.task for r in results] == [2]
    finally:
        worker.kill()
        coordinator.close()


def test_silent_coordinator_freezes_the_worker() -> None:
    coordinator = FakeCoordinator(lease_ms=600, heartbeat_ms=100)
    worker = Worker(coordinator.url, "--id", "w1")
    try:
        coordinator.wait_session()
        coordinator.silent = True
        coordinator.run_until(lambda: len(coordinator.hellos) == 2, "HELLO after silence")
        coordinator.silent = False
        coordinator.welcome()
        coordinator.wait_session(2)
        coordinator.assign([["a"]])
        coordinator.wait_results(1)
    finally:
        worker.kill()
        coordinator.close()


def test_unacknowledged_results_close_the_credit() -> None:
    coordinator = FakeCoordinator()
    worker = Worker(coordinator.url, "--id", "w1", "--memory-max", "4MiB")
    try:
        coordinator.auto_ack = False
        coordinator.wait_session()
        n = 0
        while coordinator.credit[0] > coordinator.assigned:
            coordinator.assign([["x" * 60000] * 4], first_task=n + 1)
            n += 1
            assert n < 100
            coordinator.wait_results(n)
            coordinator.run_for(0.02)
        assert 4 <= n <= 10  # a quarter of the budget is for results
        coordinator.acknowledge(coordinator.results)
        coordinator.run_until(lambda: coordinator.credit[0] > coordinator.assigned, "credit again")
    finally:
        worker.kill()
        coordinator.close()


def test_noop_rate_and_memory(pair: Pair) -> None:
    coordinator, worker = pair
    coordinator.wait_session()
    coordinator.assign([["x"]] * 5)
    coordinator.wait_results(5)
    begin, done = time.monotonic(), 5
    while done < 20000:
        coordinator.run_until(lambda: coordinator.credit[0] > coordinator.assigned, "credit")
        n = min(500, coordinator.credit[0] - coordinator.assigned)
        coordinator.assign([["x"]] * n, first_task=done + 1)
        done += n
    coordinator.wait_results(done)
    seconds = time.monotonic() - begin
    print(f"{done / seconds:.0f} tasks/s, {worker.rss_mb():.1f} MB")
    assert fc.sanitized() or worker.rss_mb() < 24


def test_names_are_kept_in_the_state_directory(tmp_path: Path) -> None:
    coordinator = FakeCoordinator()
    names = []
    for n in range(2):
        worker = Worker(coordinator.url, "--state-dir", str(tmp_path))
        coordinator.run_until(lambda: len(coordinator.hellos) == n + 1)
        names.append(coordinator.hellos[-1][2])
        worker.kill()
    coordinator.close()
    assert names[0] == names[1] == (tmp_path / "worker-id").read_text().strip()


def test_wrong_options_end_with_2(tmp_path: Path) -> None:
    for args, said in [
        (["--coordinatr", "x"], "coordinator"),
        ([], "coordinator is not set"),
        (["--coordinator", "tcp://127.0.0.1:1", "--id", "a b"], "id:"),
        (["--coordinator", "tcp://127.0.0.1:1", "--key-file", "/nope"], "server_key_file"),
        (["--coordinator", "nonsense"], "nonsense"),
        (["serve"], "serve"),
    ]:
        done = subprocess.run([binary(), *args], capture_output=True, text=True, timeout=20)
        assert done.returncode == 2, (args, done)
        assert said in done.stderr, (args, done)


def refuses(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_check_names_what_is_wrong() -> None:
    coordinator = FakeCoordinator()
    args = [binary(), "--check", "--coordinator", coordinator.url]
    good = subprocess.run(args, capture_output=True, text=True, timeout=30)
    assert " ok    binary" in good.stdout and "no key needed" in good.stdout
    assert coordinator.hellos == []  # a check opens no session
    coordinator.close()
    port = int(coordinator.url.rsplit(":", 1)[1])
    wait_until(lambda: refuses(port), "the port to be closed")  # by ZeroMQ's own thread
    bad = subprocess.run(args, capture_output=True, text=True, timeout=30)
    assert bad.returncode == 1
    assert "FAIL" in bad.stdout and "start drover-coordinator" in bad.stdout


def test_systemd_is_told(tmp_path: Path) -> None:
    import socket

    path = tmp_path / "notify"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(path))
    listener.settimeout(fc.WAIT_S)
    coordinator = FakeCoordinator()
    worker = Worker(coordinator.url, env={"NOTIFY_SOCKET": str(path)})
    try:
        assert listener.recv(300) == b"READY=1"
        coordinator.wait_session()
        assert b"serving" in listener.recv(300)
        worker.signal(signal.SIGTERM)
        seen = b""
        while seen != b"STOPPING=1":
            seen = listener.recv(300)
        coordinator.run_until(lambda: bool(coordinator.byes), "BYE")
        assert worker.process.wait(10) == 0
    finally:
        worker.kill()
        coordinator.close()
        listener.close()
