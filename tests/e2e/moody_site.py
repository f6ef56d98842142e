"""A site whose pages fail at times, for the tests that count what came of each."""

from __future__ import annotations

import random

from scrape_server import Reply, ScrapeServer, Site


class MoodySite(ScrapeServer):
    """Some hosts. Each request for a page may be answered with 503, cut off, or refused with a 404 that is
    gone at the next request, so that two attempts at one task seldom come to the same."""

    BUSY, CUT, GONE = 0.08, 0.10, 0.11  # shares of the requests, added up

    def __init__(self, seed: int, hosts: int) -> None:
        super().__init__()
        self.rng = random.Random(seed)
        self.hosts = [f"http://127.0.0.1:{self.listen()}" for _ in range(hosts)]

    def urls(self, name: str, n: int) -> list[str]:
        return [f"{self.hosts[i % len(self.hosts)]}/moody/{name}/{i}" for i in range(n)]

    def page_moody(self, site: Site, path: str, query: dict[str, str], headers: dict[str, str]) -> Reply:
        dice = self.rng.random()
        if dice < self.BUSY:
            return 503, {}, b"busy"
        if dice < self.CUT:
            raise ConnectionResetError
        if dice < self.GONE:
            return 404, {}, b"gone"
        return self.html(f"<h1>{path}</h1>")
