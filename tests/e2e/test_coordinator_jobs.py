"""Jobs as clients see them: submitting again, bad input, waiting, cancelling, dead letters."""

from __future__ import annotations

import json
import time

import pytest

from fleet import (ASSIGN, DISCARDED, FAIL, RETRY, RESULT_ACK, RETURNED, REVOKE, Coordinator, Front,
                   RemoteError, result)

SPEC = json.dumps({"drover": 1, "stages": [{"kind": "noop"}], "sinks": [{"kind": "store"}]})


def spec(**more) -> str:
    return json.dumps({**json.loads(SPEC), **more})


def refused(front: Front, verb: str, **args) -> RemoteError:
    with pytest.raises(RemoteError) as caught:
        front.call(verb, **args)
    return caught.value


# ---- submit ----

def test_submit_again_with_the_same_key_goes_on_where_it_stopped(front: Front) -> None:
    first = front.call("job.submit", spec=SPEC, idem="a")
    assert first == {"job": first["job"], "existing": False, "chunks": 0, "sealed": False, "warnings": []}
    assert front.call("job.input", job=first["job"], chunk=0, items=["x", "y"]) == {"accepted": 2, "tasks": 2}
    assert front.call("job.input", job=first["job"], chunk=0, items=["x", "y"]) == {"accepted": 0, "tasks": 0}
    again = front.call("job.submit", spec=SPEC, idem="a")
    assert again == {"job": first["job"], "existing": True, "chunks": 1, "sealed": False, "warnings": []}
    front.call("job.seal", job=first["job"])
    front.call("job.seal", job=first["job"])
    assert front.call("job.submit", spec=SPEC, idem="a")["sealed"] is True
    assert front.call("job.status", job=first["job"])["items"] == 2


def test_another_description_under_the_same_name_is_refused(front: Front) -> None:
    front.call("job.submit", spec=spec(name="nightly"), idem="a")
    error = refused(front, "job.submit", spec=spec(name="nightly", priority=9), idem="b")
    assert (error.name, error.code) == ("DUPLICATE_JOB", 13)


@pytest.mark.parametrize("text, path", [
    ("{", ""),
    ("[]", ""),
    (spec(colour="red"), "colour"),
    (spec(priority="high"), "priority"),
    (spec(priority=10), "priority"),
    (spec(stages=[]), "stages"),
    (spec(stages=[{"kind": "nope"}]), "stages[0].kind"),
    (spec(stages=[{"kind": "noop", "colour": 1}]), "stages[0].colour"),
    (spec(stages=[{"kind": "scrape", "extract": {"t": "h1:::x"}}]), "stages[0].extract.t"),
    (spec(sinks=[{"kind": "paper"}]), "sinks[0].kind"),
    (spec(input={"items": []}), "input"),
])
def test_bad_descriptions_name_the_place(front: Front, text: str, path: str) -> None:
    error = refused(front, "job.submit", spec=text)
    assert error.name == "INVALID_SPEC"
    assert path in error.detail
    assert front.call("job.ls")["jobs"] == []


def test_a_bad_item_names_its_index_and_nothing_of_the_chunk_is_kept(front: Front) -> None:
    job = front.call("job.submit", spec=spec(stages=[{"kind": "scrape"}]))["job"]
    items = ["http://a.example/", "http://b.example/", "ftp://c.example/"]
    error = refused(front, "job.input", job=job, chunk=0, items=items)
    assert error.name == "INVALID_ARGUMENT" and "items[2]" in error.detail
    assert front.call("job.status", job=job)["items"] == 0
    error = refused(front, "job.input", job=job, chunk=0, items=["http://a.example/", 7])
    assert "items[1]" in error.detail
    assert front.call("job.input", job=job, chunk=0, items=items[:2])["accepted"] == 2


@pytest.mark.parametrize("verb, args, name", [
    ("job.fly", {}, "NOT_FOUND"),
    ("job.submit", {}, "INVALID_ARGUMENT"),
    ("job.submit", {"spec": 5}, "INVALID_ARGUMENT"),
    ("job.submit", {"spec": SPEC, "colour": "red"}, "INVALID_ARGUMENT"),
    ("job.input", {"job": 99, "chunk": 0, "items": []}, "NOT_FOUND"),
    ("job.input", {"job": 99, "chunk": 0, "items": "x"}, "INVALID_ARGUMENT"),
    ("job.status", {"job": 99}, "NOT_FOUND"),
    ("job.status", {"job": "nightly"}, "NOT_FOUND"),
    ("job.status", {}, "INVALID_ARGUMENT"),
    ("job.status", {"job": -1}, "INVALID_ARGUMENT"),
    ("job.results", {"job": 99}, "NOT_FOUND"),
    ("job.cancel", {"job": 99}, "NOT_FOUND"),
    ("job.rm", {"job": 99}, "NOT_FOUND"),
    ("dead.show", {"task": 99}, "NOT_FOUND"),
    ("dead.retry", {"task": 99}, "NOT_FOUND"),
    ("dead.retry", {}, "INVALID_ARGUMENT"),
    ("worker.show", {"worker": "w9"}, "NOT_FOUND"),
    ("worker.drain", {"worker": "w9"}, "NOT_FOUND"),
    ("key.ls", {}, "WRONG_STATE"),
])
def test_requests_that_make_no_sense(front: Front, verb: str, args: dict, name: str) -> None:
    error = refused(front, verb, **args)
    assert error.name == name and error.detail
    assert front.call("server.info")["protocol"] == 1


def test_sealed_and_cancelled_jobs_take_no_input(front: Front) -> None:
    job = front.submit(["x"])
    assert refused(front, "job.input", job=job, chunk=1, items=["y"]).name == "WRONG_STATE"
    other = front.submit(["x"], seal=False)
    assert front.call("job.cancel", job=other)["job"] == other
    assert refused(front, "job.input", job=other, chunk=1, items=["y"]).name in ("JOB_CANCELLED", "NOT_FOUND")


def test_an_empty_job_ends_at_once(front: Front) -> None:
    assert front.wait(front.submit([]))["state"] == "done"


def test_many_items_in_chunks(coordinator: Coordinator, front: Front, fake_workers) -> None:
    items = [f"i{i}" for i in range(20000)]
    job = front.submit(items, chunk=5000, task_items=100, name="big")
    worker = fake_workers(coordinator)
    worker.hello()
    worker.work(until=lambda: len(worker.acks) >= front.call("job.status", job=job)["tasks"])
    ended = front.wait(job)
    assert (ended["items"], ended["rows"], ended["name"]) == (20000, 20000, "big")
    assert front.call("job.status", job="big")["job"] == job
    assert sorted(front.rows(job)) == sorted(items)


# ---- waiting ----

def test_wait_answers_on_a_change_and_when_the_time_is_over(
        coordinator: Coordinator, front: Front, fake_workers) -> None:
    job = front.submit(["x"])
    version = front.call("job.status", job=job)["version"]
    began = time.monotonic()
    assert front.call("job.wait", job=job, version=version, wait_ms=300)["version"] == version
    assert 0.25 < time.monotonic() - began < 5
    seq = front.send("job.wait", job=job, version=version, wait_ms=30000)
    worker = fake_workers(coordinator)
    worker.hello()
    worker.credit(1)
    worker.finish(worker.take(1))
    assert front.receive(seq)["version"] != version
    assert front.wait(job)["state"] == "done"
    # A job that ended answers at once, whatever the version.
    assert front.call("job.wait", job=job, version=0, wait_ms=30000, timeout_s=5)["state"] == "done"


def test_results_come_while_the_job_runs(
        coordinator: Coordinator, front: Front, fake_workers) -> None:
    job = front.submit(["a", "b"], seal=False, task_items=1)
    seq = front.send("job.results", job=job, cursor=0, wait_ms=30000)
    worker = fake_workers(coordinator)
    worker.hello()
    worker.credit(10)
    first, second = worker.take(2)
    worker.finish([first])
    page = front.receive(seq)
    assert [batch[0] for batch in page["batches"]] == [first.id]
    assert page["state"] == "open" and not page["end"]
    seq = front.send("job.results", job=job, cursor=page["cursor"], wait_ms=30000)
    worker.finish([second])
    page = front.receive(seq)
    assert [batch[0] for batch in page["batches"]] == [second.id]
    seq = front.send("job.results", job=job, cursor=page["cursor"], wait_ms=30000)
    front.call("job.seal", job=job)
    page = front.receive(seq)
    assert page["batches"] == [] and page["end"] and page["state"] == "done"


def test_more_waiting_requests_than_allowed_are_answered_at_once(coordinators, fronts) -> None:
    coordinator = coordinators(**{"limits.waiting_requests": 2}).start()
    front = fronts(coordinator)
    job = front.submit(["x"])
    seqs = [front.send("job.results", job=job, wait_ms=30000) for _ in range(3)]
    assert front.receive(seqs[2], 5)["batches"] == []


# ---- results ----

def test_stats_rejects_and_counts(coordinator: Coordinator, front: Front, fake_workers) -> None:
    job = front.submit(["a"])
    worker = fake_workers(coordinator)
    worker.hello()
    worker.credit(1)
    task = worker.take(1)[0]
    rejects = [["b", "HTTP_404", "not found"], ["c", "ROBOTS", None]]
    worker.results([result(task, rows=["a"], stats={"pages": 3, "bytes": 1000}, rejects=rejects)])
    ended = front.wait(job)
    assert ended["stats"] == {"pages": 3, "bytes": 1000}
    assert ended["rejects_by_reason"] == {"HTTP_404": 1, "ROBOTS": 1}
    assert (ended["rows"], ended["rejects"]) == (1, 2)
    page = front.call("job.rejects", job=job)
    assert page["rejects"] == rejects
    assert front.call("job.rejects", job=job, cursor=page["cursor"])["end"] is True


def test_found_items_of_a_crawl_become_tasks_once(
        coordinator: Coordinator, front: Front, fake_workers) -> None:
    crawl = {"kind": "scrape", "follow": {"depth": 3}}
    job = front.submit(["http://a.example/"], stages=[crawl], task_items=1)
    worker = fake_workers(coordinator, kinds=1)
    worker.hello()
    worker.credit(10)
    start = worker.take(1)[0]
    assert start.input == [["http://a.example/", 0]]
    found = [["http://a.example/1", 1], ["http://a.example/2#x", 1], ["http://a.example/2", 1],
             ["http://a.example/", 1], ["javascript:void(0)", 1]]
    worker.results([result(start, rows=["start"], found=found)])
    seen = []
    while len(seen) < 2:  # one at a time, since they are of one host
        task = next((t for t in worker.held.values() if t.id != start.id and t.id not in worker.acks), None)
        if not task:
            worker.expect(ASSIGN)
            continue
        seen += task.input
        worker.results([result(task, rows=["page"], found=[["http://a.example/", 2]])])
        while task.id not in worker.acks:
            worker.expect(RESULT_ACK)
    assert sorted(seen) == [["http://a.example/1", 1], ["http://a.example/2", 1]]
    ended = front.wait(job)
    assert (ended["state"], ended["items"], ended["rows"]) == ("done", 3, 3)


def test_again_makes_a_task_with_one_attempt_more(
        coordinator: Coordinator, front: Front, fake_workers) -> None:
    job = front.submit(["http://a.example/1", "http://a.example/2"], stages=[{"kind": "scrape"}],
                       retry={"attempts": 3, "backoff_s": 0.01})
    worker = fake_workers(coordinator, kinds=1)
    worker.hello()
    worker.credit(10)
    task = worker.take(1)[0]
    worker.results([result(task, rows=["one"], again=[["http://a.example/2", 0, "HTTP_503: busy"]])])
    while True:
        worker.expect(ASSIGN)
        retries = [t for t in worker.held.values() if t.id != task.id]
        if retries:
            break
    assert (retries[0].input, retries[0].attempt) == ([["http://a.example/2", 0]], 2)
    worker.results([result(retries[0], rows=["two"])])
    ended = front.wait(job)
    assert (ended["state"], ended["rows"]) == ("done", 2)


# ---- cancel, pause ----

def test_cancel_before_and_while_running(
        coordinator: Coordinator, front: Front, fake_workers) -> None:
    job = front.submit([f"i{i}" for i in range(100)], task_items=1)
    worker = fake_workers(coordinator)
    worker.hello()
    worker.credit(3)
    tasks = worker.take(3)
    assert front.call("job.cancel", job=job)["cancelling"] is True
    while len(worker.revoked) < 3:
        worker.expect(REVOKE)
    assert set(worker.revoked.values()) == {"cancelled"}
    ended = front.wait(job)
    assert (ended["state"], ended["pending"], ended["rows"]) == ("cancelled", 0, 0)
    # A result that was under way is discarded.
    worker.results([result(tasks[0])])
    worker.expect(RESULT_ACK)
    assert worker.acks[tasks[0].id] == DISCARDED
    assert front.call("job.cancel", job=job)["state"] == "cancelled"
    assert front.rows(job) == []


def test_pause_holds_tasks_and_resume_lets_them_go(
        coordinator: Coordinator, front: Front, fake_workers) -> None:
    job = front.submit(["x"], seal=False)
    assert front.call("job.pause", job=job)["paused"] is True
    front.call("job.input", job=job, chunk=1, items=["y"])
    front.call("job.seal", job=job)
    worker = fake_workers(coordinator)
    worker.hello()
    worker.credit(10)
    assert worker.receive(0.5) is None
    assert front.call("job.resume", job=job)["paused"] is False
    worker.finish(worker.take(1))
    while front.call("job.status", job=job)["state"] == "open":
        new = [t for t in worker.held.values() if t.id not in worker.acks]
        worker.finish(new or worker.take(1))
    assert sorted(front.rows(job)) == ["x", "y"]


def test_rm_takes_ended_jobs_only(coordinator: Coordinator, front: Front) -> None:
    job = front.submit(["x"])
    assert refused(front, "job.rm", job=job).name == "WRONG_STATE"
    front.call("job.cancel", job=job)
    front.wait(job)
    front.call("job.rm", job=job)
    assert refused(front, "job.status", job=job).name == "NOT_FOUND"


# ---- failures ----

def test_retries_dead_letters_and_a_second_chance(
        coordinator: Coordinator, front: Front, fake_workers) -> None:
    job = front.submit(["a", "b"], task_items=1, retry={"attempts": 2, "backoff_s": 0.01})
    worker = fake_workers(coordinator)
    worker.hello()
    worker.credit(100)
    for attempt in (1, 2):
        tasks = worker.take(2)
        assert {t.attempt for t in tasks} == {attempt}
        worker.results([result(t, RETRY, error="BUSY: try later") for t in tasks])
        for task in tasks:
            while worker.acks.get(task.id) is None:
                worker.expect(RESULT_ACK)
            worker.acks.pop(task.id)
            worker.held.pop(task.id, None)
    ended = front.wait(job)
    assert (ended["state"], ended["dead"], ended["pending"]) == ("failed", 2, 0)
    dead = front.call("dead.ls", job=job)["dead"]
    assert [(d["job"], d["attempts"], d["error"]) for d in dead] == [(job, 2, "BUSY: try later")] * 2
    assert [d["input"] for d in dead] == [["a"], ["b"]]
    assert front.call("dead.show", task=dead[0]["task"]) == dead[0]
    # One by name of its task, the rest by the job; the job is open again.
    assert front.call("dead.retry", task=dead[0]["task"]) == {"retried": 1}
    assert front.call("job.status", job=job)["state"] == "open"
    assert front.call("job.retry", job=job) == {"retried": 1}
    assert front.call("job.retry", job=job) == {"retried": 0}
    worker.finish(worker.take(2))
    ended = front.wait(job)
    assert (ended["state"], ended["dead"], ended["rows"]) == ("done", 0, 2)


def test_letters_that_are_discarded_while_the_job_runs_do_not_fail_it(
        coordinator: Coordinator, front: Front, fake_workers) -> None:
    job = front.submit(["a", "b"], task_items=1)
    worker = fake_workers(coordinator)
    worker.hello()
    worker.credit(2)
    bad, good = worker.take(2)
    worker.results([result(bad, FAIL, error="BAD: never")])
    while bad.id not in worker.acks:
        worker.expect(RESULT_ACK)
    assert front.call("dead.discard", task=bad.id) == {"discarded": 1}
    worker.finish([good])
    ended = front.wait(job)
    assert (ended["state"], ended["dead"], ended["rows"]) == ("done", 0, 1)


def test_a_task_that_fails_for_good_is_a_dead_letter_that_can_be_discarded(
        coordinator: Coordinator, front: Front, fake_workers) -> None:
    job = front.submit(["a"])
    worker = fake_workers(coordinator)
    worker.hello()
    worker.credit(1)
    worker.results([result(worker.take(1)[0], FAIL, error="BAD: never")])
    assert front.wait(job)["state"] == "failed"
    assert front.call("dead.discard", job=job) == {"discarded": 1}
    assert front.call("dead.ls", job=job) == {"dead": []}


def test_a_returned_task_costs_no_attempt(
        coordinator: Coordinator, front: Front, fake_workers) -> None:
    job = front.submit(["a"], retry={"attempts": 1})
    worker = fake_workers(coordinator)
    worker.hello()
    worker.credit(1)
    worker.results([result(worker.take(1)[0], RETURNED)])
    worker.held.clear()
    worker.credit(1)
    again = worker.take(1)
    assert again[0].attempt == 1
    worker.finish(again)
    assert front.wait(job)["state"] == "done"


def test_rows_too_large_for_an_answer_fail_the_task(
        coordinator: Coordinator, front: Front, fake_workers) -> None:
    job = front.submit(["a"])
    worker = fake_workers(coordinator)
    worker.hello()
    worker.credit(1)
    worker.results([result(worker.take(1)[0], rows=["x" * (16 * 1024 * 1024 - 1000)])])
    assert front.wait(job)["state"] == "failed"
    assert "LIMIT" in front.call("dead.ls", job=job)["dead"][0]["error"]


def test_ls_is_newest_first_and_paged(front: Front) -> None:
    jobs = [front.submit(["x"], idem=str(i)) for i in range(5)]
    page = front.call("job.ls", max=2)["jobs"]
    assert [j["job"] for j in page] == jobs[:2:-1]
    assert [j["job"] for j in front.call("job.ls", before=page[-1]["job"])["jobs"]] == jobs[2::-1]
    assert page[0]["kinds"] == ["noop"] and page[0]["sink"] == "store" and page[0]["state"] == "open"
