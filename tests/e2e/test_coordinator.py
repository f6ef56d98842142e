"""The coordinator with clients and workers that speak the protocol by hand."""

from __future__ import annotations

from fleet import Coordinator, Front


def test_a_job_from_submit_to_rows(coordinator: Coordinator, front: Front, fake_workers) -> None:
    items = [f"item-{i}" for i in range(1000)]
    job = front.submit(items, task_items=10)
    worker = fake_workers(coordinator)
    worker.hello()
    worker.work(until=lambda: len(worker.acks) >= 100)
    ended = front.wait(job)
    assert ended["state"] == "done"
    assert (ended["items"], ended["done"], ended["pending"], ended["rows"]) == (1000, ended["tasks"], 0, 1000)
    assert sorted(front.rows(job)) == sorted(items)
