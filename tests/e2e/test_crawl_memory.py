"""The coordinator's memory during a crawl is bounded for each URL seen, whatever was fetched.

tests/bench/crawl.py measures the same with millions of URLs; docs/BENCHMARKS.md has the figures."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable

import pytest

from fleet import Coordinator

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "bench"))

from _crawler import Crawl, Moment
from _harness import resident

URLS = 100_000
WARM = 20_000  # seen when the first measurement is taken: pools and tables are there


@pytest.mark.parametrize("host_pages, bytes_per_url", [
    pytest.param(0, 150, id="one host"),
    pytest.param(4, 300, id="four pages on each host"),
])
def test_memory_follows_the_urls_seen(coordinators: Callable[..., Coordinator], host_pages: int,
                                      bytes_per_url: int) -> None:
    """Half of the URLs seen still wait when the last is found, and all are fetched in the end. The
    cache of inputs, which has a limit of its own, is off: it would fill while this measures."""
    coordinator = coordinators(**{"lease": "10s", "limits.inputs_memory": 0}).start()
    process = coordinator.process
    assert process is not None
    crawl = Crawl(coordinator.front, coordinator.back, URLS, host_pages)
    measured: list[tuple[int, int]] = []

    def watch(now: Moment) -> None:
        if now.seen >= (URLS if measured else WARM) and len(measured) < 2:
            measured.append((now.seen, resident(process.popen.pid)))

    end = crawl.run(watch, timeout_s=60)
    assert (end.seen, end.fetched) == (URLS, URLS)
    state = crawl.client.wait(crawl.job)
    crawl.close()
    assert (state["state"], state["items"], state["dead"]) == ("done", URLS, 0)

    (seen_before, before), (seen, after) = measured
    assert (after - before) / (seen - seen_before) < bytes_per_url
    # The second half was fetched without growth: what is fetched costs nothing.
    assert resident(process.popen.pid) <= after + 4 * 2**20
