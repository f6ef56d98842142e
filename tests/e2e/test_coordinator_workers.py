"""The coordinator and its workers under faults: restarts, lost messages, zombies, drains."""

from __future__ import annotations

import os
import time

import msgpack
import pytest
import zmq

from fleet import (ASSIGN, BYE, CREDIT, DISCARDED, DRAIN, HEARTBEAT, HELLO, REFUSE, RESULT,
                   RESULT_ACK, RESYNC, STORED, WELCOME, Coordinator, Front, RemoteError, result, wait_until)


def start_job(front: Front, worker, n: int, hold: int, **spec) -> tuple[int, list]:
    """A job of n tasks of which the worker holds some."""
    job = front.submit([f"i{i}" for i in range(n)], task_items=1, **spec)
    worker.hello()
    worker.credit(hold)
    return job, worker.take(hold)


# ---- restarts of the coordinator ----

def test_kill_in_the_middle_loses_nothing(
        coordinator: Coordinator, front: Front, fronts, fake_workers) -> None:
    """Acknowledged input is there, acknowledged results are not repeated, leases are re-adopted."""
    worker = fake_workers(coordinator)
    job, tasks = start_job(front, worker, 30, 10)
    worker.finish(tasks[:4])
    coordinator.keep_ports()
    coordinator.kill()
    coordinator.start()
    again = fronts(coordinator)
    assert again.call("server.info")["epoch"] == 2
    status = again.call("job.status", job=job)
    assert (status["items"], status["done"], status["pending"]) == (30, 4, 26)
    held = tasks[4:]
    worker.reconnect()
    worker.hello(held)
    assert worker.epoch == 2
    worker.finish(held)  # by their old tokens
    assert all(worker.acks[t.id] == STORED for t in held)
    worker.work(until=lambda: len(worker.acks) >= 30)
    ended = again.wait(job)
    assert (ended["state"], ended["rows"], ended["done"]) == ("done", 30, 30)
    assert sorted(again.rows(job)) == sorted(f"i{i}" for i in range(30))


def test_a_result_sent_again_after_a_restart_is_stored_once(
        coordinator: Coordinator, front: Front, fronts, fake_workers) -> None:
    worker = fake_workers(coordinator)
    job, tasks = start_job(front, worker, 2, 2)
    worker.finish(tasks[:1])
    coordinator.keep_ports()
    coordinator.kill()
    coordinator.start()
    worker.acks.clear()
    worker.reconnect()
    worker.hello(tasks)  # as if the acknowledgement had been lost
    worker.results([result(t) for t in tasks])
    while not all(t.id in worker.acks or t.id in worker.revoked for t in tasks):
        worker.note(*(worker.receive() or pytest.fail("no answer about the tasks")))
    again = fronts(coordinator)
    assert again.wait(job)["rows"] == 2
    assert sorted(again.rows(job)) == ["i0", "i1"]


def test_tasks_of_workers_that_do_not_come_back_go_to_others(
        coordinators, fronts, fake_workers) -> None:
    coordinator = coordinators(lease="500ms").start()
    worker = fake_workers(coordinator, name="gone")
    job, _ = start_job(fronts(coordinator), worker, 5, 5)
    worker.close()
    coordinator.keep_ports()
    coordinator.kill()
    coordinator.start()
    other = fake_workers(coordinator, name="other")
    other.hello()
    other.work(until=lambda: len(other.acks) >= 5)
    assert fronts(coordinator).wait(job)["rows"] == 5


def test_random_kills_of_the_coordinator(coordinators, fronts, fake_workers) -> None:
    """Input and results under way while it dies four times: each item's row is there once."""
    coordinator = coordinators(lease="500ms").start()
    coordinator.keep_ports()
    front = fronts(coordinator)
    items = [f"i{i}" for i in range(3000)]
    job = front.submit(items, task_items=1, chunk=500)
    done: set[int] = set()
    for round_ in range(5):
        worker = fake_workers(coordinator, name="w1")
        worker.hello()
        goal = 600
        try:
            worker.work(until=lambda: len(worker.acks) >= goal or round_ == 4 and
                        len(done | set(worker.acks)) >= 3000, window=64 + 100 * round_)
        finally:
            worker.close()
        done |= {task for task, code in worker.acks.items() if code == STORED}
        if round_ < 4:
            coordinator.kill()
            coordinator.start()
    ended = fronts(coordinator).wait(job)
    assert (ended["state"], ended["done"], ended["rows"], ended["dead"]) == ("done", 3000, 3000, 0)
    assert sorted(fronts(coordinator).rows(job)) == sorted(items)


def test_sigterm_commits_and_ends_with_0(
        coordinator: Coordinator, front: Front, fronts, fake_workers) -> None:
    worker = fake_workers(coordinator)
    job, tasks = start_job(front, worker, 200, 100)
    worker.results([result(t) for t in tasks])
    wait_until(lambda: front.call("job.status", job=job)["done"] > 0, "the first completions")
    assert coordinator.stop() == 0
    coordinator.start()
    assert fronts(coordinator).call("job.status", job=job)["done"] == 100


def test_a_job_that_had_only_its_end_left_ends_after_a_restart(
        coordinators, fronts) -> None:
    """Sealed and without tasks when the coordinator died: nothing else would ever end it."""
    coordinator = coordinators(lease="300ms").start()
    front = fronts(coordinator)
    jobs = [front.submit([], seal=False, idem=str(i)) for i in range(20)]
    for job in jobs:
        front.send("job.seal", job=job)
    front.call("server.info")
    coordinator.kill()
    coordinator.start()
    again = fronts(coordinator)
    for job in jobs:
        again.call("job.seal", job=job)
        assert again.wait(job)["state"] == "done"


def test_the_end_of_a_job_survives(
        coordinator: Coordinator, front: Front, fronts, fake_workers) -> None:
    worker = fake_workers(coordinator)
    job, tasks = start_job(front, worker, 1, 1)
    worker.finish(tasks)
    assert front.wait(job)["state"] == "done"
    cancelled = front.submit(["x"])
    front.call("job.cancel", job=cancelled)
    coordinator.kill()
    coordinator.start()
    again = fronts(coordinator)
    assert again.call("job.status", job=job)["state"] == "done"
    assert again.wait(cancelled)["state"] == "cancelled"


# ---- sessions ----

def test_a_silent_worker_loses_its_tasks_and_its_late_results_are_discarded(
        coordinators, fronts, fake_workers) -> None:
    coordinator = coordinators(lease="400ms").start()
    front = fronts(coordinator)
    zombie = fake_workers(coordinator, name="zombie")
    job, tasks = start_job(front, zombie, 3, 3)
    fresh = fake_workers(coordinator, name="fresh")
    fresh.hello()
    fresh.credit(3)
    taken = fresh.take(3)  # the zombie sends no heartbeat while nobody waits for it
    assert {t.id for t in taken} == {t.id for t in tasks}
    fresh.finish(taken)
    # The zombie wakes up: its session is over, and so are its leases.
    zombie.results([result(t, rows=["zombie"]) for t in tasks])
    assert zombie.receive()[0] in (BYE, RESYNC)
    zombie.reconnect()
    zombie.hello(tasks)
    zombie.results([result(t, rows=["zombie"]) for t in tasks])
    while not all(t.id in zombie.acks or t.id in zombie.revoked for t in tasks):
        zombie.note(*(zombie.receive() or pytest.fail("no answer about the leases")))
    assert STORED not in zombie.acks.values()
    ended = front.wait(job)
    assert (ended["state"], ended["rows"]) == ("done", 3)
    assert "zombie" not in front.rows(job)


def test_a_second_hello_of_the_same_worker_replaces_the_first(
        coordinator: Coordinator, front: Front, fake_workers) -> None:
    first = fake_workers(coordinator, name="same")
    job, tasks = start_job(front, first, 4, 2)
    second = fake_workers(coordinator, name="same")
    second.hello(tasks[:1])  # took over one of the leases; the other goes back
    assert first.expect(BYE) == ["replaced"]
    second.credit(4)
    second.finish([tasks[0]])
    assert second.acks[tasks[0].id] == STORED
    second.work(until=lambda: len(second.acks) >= 4)
    assert front.wait(job)["rows"] == 4
    workers = front.call("worker.ls")["workers"]
    assert [(w["worker"], w["state"]) for w in workers] == [("same", "ready")]


def test_hello_again_on_the_same_connection(
        coordinator: Coordinator, front: Front, fake_workers) -> None:
    worker = fake_workers(coordinator)
    job, tasks = start_job(front, worker, 2, 2)
    before = worker.session
    worker.hello(tasks)
    assert worker.session != before
    worker.finish(tasks)
    assert front.wait(job)["rows"] == 2


def test_a_gap_in_the_numbers_asks_for_a_new_session(
        coordinator: Coordinator, front: Front, fake_workers) -> None:
    worker = fake_workers(coordinator)
    job, tasks = start_job(front, worker, 3, 3)
    worker.seq += 1  # as if one message had been lost
    worker.results([result(t) for t in tasks])
    assert worker.receive()[0] == RESYNC
    assert front.call("job.status", job=job)["done"] == 0
    worker.hello(tasks)
    worker.finish(tasks)
    assert front.wait(job)["rows"] == 3


def test_a_message_sent_twice_counts_once(
        coordinator: Coordinator, front: Front, fake_workers) -> None:
    worker = fake_workers(coordinator)
    job, tasks = start_job(front, worker, 1, 1)
    frame = msgpack.packb([1, RESULT, worker.epoch, worker.session, worker.seq + 1, worker.seq_in,
                           [result(tasks[0])]])
    worker.raw(frame)
    worker.raw(frame)
    worker.seq += 1
    while tasks[0].id not in worker.acks:
        worker.expect(RESULT_ACK)
    assert front.wait(job)["rows"] == 1
    assert worker.receive(0.3) is None


def test_messages_of_another_session_or_epoch_are_told_so(
        coordinator: Coordinator, fake_workers) -> None:
    worker = fake_workers(coordinator)
    worker.hello()
    for epoch, session in ((worker.epoch, worker.session + 7), (worker.epoch + 1, worker.session), (0, 0)):
        worker.raw(msgpack.packb([1, CREDIT, epoch, session, worker.seq + 1, 0, [5, 5]]))
        assert worker.receive()[0] == RESYNC


def test_bye_gives_everything_back_uncounted(
        coordinator: Coordinator, front: Front, fake_workers) -> None:
    leaving = fake_workers(coordinator, name="leaving")
    job, tasks = start_job(front, leaving, 3, 3, retry={"attempts": 1})
    leaving.send(BYE, ["shutting down"])
    other = fake_workers(coordinator, name="other")
    other.hello()
    other.credit(3)
    again = other.take(3)
    assert {t.attempt for t in again} == {1}
    other.finish(again)
    assert front.wait(job)["state"] == "done"
    assert front.call("worker.show", worker="leaving")["state"] == "left"


def test_a_task_that_kills_its_workers_is_a_dead_letter(coordinators, fronts, fake_workers) -> None:
    coordinator = coordinators(lease="300ms", kills_max=2).start()
    front = fronts(coordinator)
    job = front.submit(["poison"])
    for n in range(2):
        worker = fake_workers(coordinator, name=f"victim{n}")
        worker.hello()
        worker.credit(1)
        worker.take(1)
        worker.close()
    ended = front.wait(job)
    assert (ended["state"], ended["dead"]) == ("failed", 1)
    letter = front.call("dead.ls", job=job)["dead"][0]
    assert letter["kills"] == 2 and letter["error"]


def test_credit_is_never_passed(coordinator: Coordinator, front: Front, fake_workers) -> None:
    worker = fake_workers(coordinator)
    job, tasks = start_job(front, worker, 50, 7)
    assert worker.receive(0.3) is None and len(worker.held) == 7
    worker.send(CREDIT, [7, 7 << 20])  # a repeated one gives nothing
    assert worker.receive(0.3) is None
    worker.credit(3)
    assert len(worker.take(10)) == 10


def test_the_description_is_sent_once_in_a_session(
        coordinator: Coordinator, front: Front, fake_workers) -> None:
    worker = fake_workers(coordinator)
    job = front.submit(["a", "b"], task_items=1)
    worker.hello()
    worker.credit(1)
    assert [j for j, *_ in worker.expect(ASSIGN)[0]] == [job]
    worker.credit(1)
    assert worker.expect(ASSIGN)[0] == []
    worker.hello(worker.held.values())
    worker.finish(list(worker.held.values()))
    other = front.submit(["c"])
    worker.credit(1)
    assert [j for j, *_ in worker.expect(ASSIGN)[0]] == [other]


def test_heartbeats_come_both_ways(coordinator: Coordinator, fake_workers, front: Front) -> None:
    worker = fake_workers(coordinator)
    welcome = worker.hello()
    assert welcome[1] == 2000 and 0 < welcome[2] <= 500 and welcome[3] is False
    deadline = time.monotonic() + 10
    frames = []
    while len(frames) < 3:
        assert time.monotonic() < deadline
        worker.heartbeat()
        if worker.socket.poll(500):
            frames.append(msgpack.unpackb(worker.socket.recv()))
    assert all(f[1] == HEARTBEAT and f[6] == [] for f in frames)
    assert [f[4] for f in frames] == [2, 3, 4]


def test_inputs_that_are_not_in_memory_come_from_the_store(
        coordinators, fronts, fake_workers) -> None:
    coordinator = coordinators(**{"limits.inputs_memory": 0}).start()
    front = fronts(coordinator)
    items = [f"i{i}" for i in range(500)]
    job = front.submit(items, task_items=1)
    worker = fake_workers(coordinator)
    worker.hello()
    worker.work(until=lambda: len(worker.acks) >= 500)
    assert front.wait(job)["rows"] == 500
    assert sorted(front.rows(job)) == sorted(items)


# ---- drain ----

def test_drain_is_told_kept_and_taken_back(
        coordinator: Coordinator, front: Front, fronts, fake_workers) -> None:
    worker = fake_workers(coordinator)
    worker.hello()
    assert front.call("worker.drain", worker="w1")["state"] == "draining"
    assert worker.expect(DRAIN) == [True]
    job = front.submit(["x"])
    worker.credit(5)
    assert worker.receive(0.3) is None
    coordinator.keep_ports()
    coordinator.kill()
    coordinator.start()
    worker.reconnect()
    assert worker.hello()[3] is True
    worker.credit(5)
    assert worker.receive(0.3) is None
    again = fronts(coordinator)
    assert again.call("worker.resume", worker="w1")["state"] == "ready"
    assert worker.expect(DRAIN) == [False]
    worker.finish(worker.take(1))
    assert again.wait(job)["state"] == "done"


# ---- refusals and garbage ----

@pytest.mark.parametrize("change, code", [
    ({"versions": (2, 3)}, 31),
    ({"versions": (0, 0)}, 31),
    ({"name": "no spaces"}, 11),
    ({"name": ""}, 11),
    ({"name": "x" * 65}, 11),
    ({"slots": 0}, 11),
    ({"kinds": 0}, 11),
])
def test_hellos_that_are_refused(
        coordinator: Coordinator, fake_workers, change: dict, code: int) -> None:
    versions = change.pop("versions", (1, 1))
    worker = fake_workers(coordinator, **change)
    worker.send_hello(versions=versions)
    kind, body = worker.receive()
    assert kind == REFUSE and body[0] in (code, 5) and body[1]


GARBAGE = [
    b"", b"\x00", b"\xc1", b"hello", b"\xdd\xff\xff\xff\xff", b"\xdc\xff\xff" + b"\x01" * 20,
    b"\x97" + b"\xc0" * 7, b"\x97\x01\x01\x00\x00\x01\x00\xdf\xff\xff\xff\xff", b"\x91" * 10000,
    msgpack.packb([1, HELLO, 0, 0, 1, 0, []]), msgpack.packb([1, HELLO, 0, 0, 1, 0, ["x"] * 9]),
    msgpack.packb([1, 99, 0, 0, 1, 0, []]), msgpack.packb([1, RESULT, 0, 0, 1, 0, [[1]]]),
    msgpack.packb([1, -1, 0, 0, 1, 0, []]), msgpack.packb([99, HELLO, 0, 0, 1, 0, []]),
    msgpack.packb({"a": 1}), os.urandom(64), os.urandom(4096), b"\xc6\xff\xff\xff\xff" + b"x" * 100,
]


def test_garbage_on_both_ports_harms_nobody_else(
        coordinator: Coordinator, front: Front, fronts, fake_workers) -> None:
    good = fake_workers(coordinator, name="good")
    job, tasks = start_job(front, good, 2, 2)
    for port in (coordinator.back, coordinator.front):
        for garbage in GARBAGE:
            socket = zmq.Context.instance().socket(zmq.DEALER)
            socket.linger = 1000
            socket.connect(port)
            socket.send(garbage)
            socket.close()
    bad = fake_workers(coordinator, name="bad")
    bad.hello()
    for kind in (CREDIT, RESULT, HEARTBEAT, BYE, RESYNC, 77):
        bad.send(kind, ["nonsense", {}, [[]]])
    good.finish(tasks)
    assert front.wait(job)["rows"] == 2
    with pytest.raises(RemoteError) as caught:
        stranger = fronts(coordinator)
        stranger.socket.send(msgpack.packb([1, HELLO, 0, 0, 7, 0, []]))
        stranger.receive(7)
    assert caught.value.name == "MALFORMED"
    metrics = wait_until(lambda: (m := coordinator.metrics())["drover_frames_bad_total"] > 0 and m, "metrics")
    assert metrics["drover_frames_bad_total"] >= 10


def test_a_malformed_result_costs_only_its_session(
        coordinator: Coordinator, front: Front, fake_workers) -> None:
    worker = fake_workers(coordinator)
    job, tasks = start_job(front, worker, 1, 1)
    worker.send(RESULT, [[*tasks[0].token, 0, None, "not a batch"]])
    assert worker.receive()[0] == RESYNC
    worker.hello(tasks)
    worker.finish(tasks)
    assert front.wait(job)["rows"] == 1


def test_results_and_leases_that_nobody_gave(
        coordinator: Coordinator, front: Front, fake_workers) -> None:
    worker = fake_workers(coordinator)
    job, tasks = start_job(front, worker, 2, 2)
    strange = [[0, 0, 0], [tasks[0].id, 0, 0], [tasks[0].id, worker.epoch, 2**64 - 1], [2**64 - 1, 1, 1]]
    worker.results([[*token, 0, None, None, 0, [], [], 0, [], [], 0, 0, 0] for token in strange])
    worker.expect(RESULT_ACK)
    assert set(worker.acks.values()) == {DISCARDED}
    worker.acks.clear()
    worker.held = {task.id: task for task in tasks}
    # A HELLO that lists what it was never given, twice, beside what it has.
    body = [1, 1, worker.name, worker.boot, worker.kinds, worker.slots, "0.1.0", "host",
            [*strange, *strange, *[task.token for task in tasks], tasks[0].token]]
    worker.epoch = worker.session = worker.seq = 0
    worker.send(HELLO, body)
    worker.expect(WELCOME)
    worker.credit_tasks = worker.credit_bytes = 0
    worker.work(until=lambda: front.call("job.status", job=job)["state"] != "open")
    assert front.wait(job)["rows"] == 2


def test_peers_that_speak_something_else(coordinator: Coordinator, front: Front) -> None:
    import socket
    for url in (coordinator.front, coordinator.back):
        host, port = url.removeprefix("tcp://").rsplit(":", 1)
        for bytes_ in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00", os.urandom(500)):
            with socket.create_connection((host, int(port)), 5) as peer:
                peer.sendall(bytes_)
    assert front.call("server.info")["protocol"] == 1
