"""Killing workers and the coordinator at random moments of a crawl of real pages leaves the rows of an
undisturbed run, each exactly once. By the Python client, the static programs and a real nginx."""

from __future__ import annotations

import os
import random
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet import Coordinator, Process, wait_until
from mortal_fleet import MortalFleet

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python"))
from drover import Client, Job, scrape  # noqa: E402

PAGES = Path("/usr/share/doc/postgresql-doc-15/html")
LOCAL = ("--allow-net", "127.0.0.0/8")
SEED = int(os.environ.get("DROVER_CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
FIELDS = {
    "url": "@url",
    "title": "title::text",
    "headings": {"css": "h1, h2, h3", "list": True},
    "links": {"css": "a[href]", "attr": "href", "type": "url", "list": True},
    "code": {"css": "pre", "default": None},
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """PostgreSQL's documentation from a private nginx."""
    nginx = shutil.which("nginx", path=f"/usr/sbin:{os.environ['PATH']}")
    assert nginx and (PAGES / "index.html").exists(), "needs nginx-light and postgresql-doc-15"
    folder = tmp_path_factory.mktemp("nginx")
    folder.chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    temporary = "".join(f"{name}_temp_path {folder}/{name};"
                        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(f"""
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 256; }}
http {{ access_log off; default_type text/html; charset utf-8; gzip on; {temporary}
    server {{ listen 127.0.0.1:{port}; root {PAGES}; }} }}
""")
    process = Process("nginx", [nginx, "-p", str(folder), "-c", str(folder / "nginx.conf")], folder)

    def listens() -> bool:
        assert process.running(), process.text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, "nginx")
    yield f"http://127.0.0.1:{port}/index.html"
    process.terminate()


@pytest.fixture
def fleet(tmp_path: Path, coordinators: Callable[..., Coordinator]) -> Iterator[MortalFleet]:
    fleet = MortalFleet(tmp_path, coordinators(lease="1s", kills_max=50), *LOCAL)
    yield fleet
    fleet.close()


def crawl(client: Client, site: str) -> Job:
    return client.submit(scrape([site], extract=FIELDS, follow=True, per_host=4), task_items=4)


def rows_of(job: Job) -> dict[str, dict[str, Any]]:
    rows = list(job.results())
    by_url = {row["url"]: row for row in rows}
    assert len(by_url) == len(rows), "a page came twice"
    return by_url


@pytest.fixture(scope="module")
def undisturbed(site: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The rows of a run that nothing happens to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    fleet = MortalFleet(folder, Coordinator(folder), *LOCAL)
    try:
        with Client(fleet.coordinator.front) as client:
            return rows_of(crawl(client, site))
    finally:
        fleet.close()
        fleet.coordinator.kill()


def test_kills_during_a_crawl_change_nothing(
    site: str, fleet: MortalFleet, undisturbed: dict[str, dict[str, Any]]
) -> None:
    print(f"DROVER_CHAOS_SEED={SEED}")
    rng = random.Random(SEED)
    victims = ["worker-1", "coordinator", "worker-2", "coordinator", "worker-1", "coordinator"]
    rng.shuffle(victims)
    moments = sorted(rng.sample(range(50, len(undisturbed) - 50), len(victims)))
    with Client(fleet.coordinator.front) as client:
        job = crawl(client, site)
        for rows, victim in zip(moments, victims):
            wait_until(lambda rows=rows: job.status().rows >= rows, f"{rows} rows", 60)
            assert job.status().state == "open", f"the job was over before {rows} rows"
            if victim == "coordinator":
                fleet.kill_coordinator()
            else:
                fleet.kill_worker(victim)
        state = job.wait(timeout=120)
        assert state.state == "done" and state.rows == len(undisturbed)
        assert rows_of(job) == undisturbed


def test_kills_during_a_submit_lose_nothing(fleet: MortalFleet) -> None:
    """The coordinator dies between chunks; the same script, run again, sends what is missing."""
    from drover import DroverError, noop

    texts = [f"text-{i}" for i in range(35_000)]

    def script(kill_at: int | None) -> Job | None:
        def items() -> Iterator[str]:
            for number, text in enumerate(texts):
                if number == kill_at:
                    fleet.kill_coordinator()
                yield text

        with Client(fleet.coordinator.front, timeout=20) as client:
            try:
                return Job(client, client.submit(noop(items(), rows=True), name="submit-and-die").id)
            except DroverError:
                return None

    assert script(kill_at=25_000) is not None, "a restart in the middle is ridden out"
    with Client(fleet.coordinator.front) as client:
        job = client.job("submit-and-die")
        assert job.wait(timeout=60).rows == len(texts)
        assert sorted(row["item"] for row in job.results()) == sorted(texts)
