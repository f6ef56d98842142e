"""A crawl without pages: a site that exists only as a rule, and a worker that "fetches" it by saying at
once which links its pages have. What is left to measure is the coordinator.

Every page has NEW links that nobody has seen and OLD ones to pages that are known, until the site has
as many pages as it was given; from then on all links are old.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, List

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from fleet import ASSIGN, DONE, RESULT_ACK, SCRAPE, FakeWorker, Front, Task

NEW, OLD = 2, 8
PER_HOST = 8  # leases at once for one host
WINDOW_PAGES = 4000  # in hand, or answered and not acknowledged; a task is 1 to 64 pages
MESSAGE_PAGES = 2000  # in one RESULT: about 1.5 MB of links
SPEC = json.dumps({"drover": 1, "stages": [{
    "kind": "scrape", "extract": {"title": "title::text"}, "robots": False,
    "follow": {"depth": 1000, "max_pages": 10**12, "same_host": False},
    "per_host": {"concurrency": PER_HOST, "autothrottle": False}}]})


@dataclass
class Moment:
    """What the crawl looked like at one time."""

    seen: int     # URLs that the coordinator knows and has acknowledged
    fetched: int  # pages whose results are acknowledged
    seconds: float


class Site:
    """Its pages are numbered; `host_pages` of them share a host (0: all)."""

    def __init__(self, pages: int, host_pages: int) -> None:
        self._pages, self._host_pages = pages, host_pages
        self._random = random.Random(1)
        self.told = 1  # the start page

    def url(self, number: int) -> str:
        host = f"host{number // self._host_pages:08d}" if self._host_pages else "www"
        return f"https://{host}.example.org/section{number % 1000:03d}/page-{number:010d}.html"

    def links(self, pages: int) -> List[List[Any]]:
        """All links of so many pages, as they stand in a result: [url, depth]."""
        fresh = min(NEW * pages, self._pages - self.told)
        old = [int(self._random.random() * self.told) for _ in range((NEW + OLD) * pages - fresh)]
        self.told += fresh
        numbers = [*range(self.told - fresh, self.told), *old]
        return [[self.url(number), 1] for number in numbers]


class Crawl:
    """One job, and the worker that runs it."""

    def __init__(self, front: str, back: str, pages: int, host_pages: int) -> None:
        self.site = Site(pages, host_pages)
        self.client = Front(front)
        self._worker = FakeWorker(back, "crawler", kinds=SCRAPE)
        self._pages_a_task = min(host_pages or 64, 64)
        self._pages_of: dict[int, int] = {}
        self.job = self.client.call("job.submit", spec=SPEC)["job"]
        self.client.call("job.input", job=self.job, chunk=0, items=[self.site.url(0)])
        self.client.call("job.seal", job=self.job)

    def run(self, watch: Callable[[Moment], None], timeout_s: float) -> Moment:
        """Until every page of the site is fetched; `watch` is told after each acknowledgement."""
        worker, start = self._worker, time.monotonic()
        told_by: dict[int, int] = {}  # task -> what the site had told when its result was sent
        now = Moment(1, 0, 0)
        worker.hello()
        worker.credit(WINDOW_PAGES // self._pages_a_task)
        while now.fetched < self.site.told or now.seen < self.site.told:
            assert now.seconds < timeout_s, f"not within {timeout_s:g} s: {now}"
            message = worker.receive(5)
            assert message, f"the coordinator is silent: {now}"
            worker.note(*message)
            if message[0] == ASSIGN:
                tasks = [task for task in worker.held.values() if task.id not in told_by]
                self._answer(tasks)
                told_by.update({task.id: self.site.told for task in tasks})
                self._pages_of.update({task.id: len(task.input) for task in tasks})
            if message[0] != RESULT_ACK:
                continue
            for task, _, _, code, _ in message[1]:
                assert code == 0
                now.fetched += self._pages_of.pop(task)
                now.seen = max(now.seen, told_by.pop(task))
            worker.acks.clear()
            worker.credit(len(message[1]))
            now.seconds = time.monotonic() - start
            watch(now)
        return now

    def _answer(self, tasks: List[Task]) -> None:
        results: List[List[Any]] = []
        pages = 0
        for task in tasks:
            if results and (pages + len(task.input) > MESSAGE_PAGES or len(results) == 500):
                self._worker.results(results)
                results, pages = [], 0
            n = len(task.input)
            results.append([*task.token, DONE, None, None, 0, [["pages", n]], [], 0,
                            self.site.links(n), [], 0, 0, 0])
            pages += n
        if results:
            self._worker.results(results)

    def close(self) -> None:
        self._worker.close()
        self.client.close()
