"""./scripts/bench crawl: what a crawl costs the coordinator, in memory and disk for each URL seen.

A worker that answers every page at once with two new links and eight known ones (_crawler.py) drives
one job until --urls of them are seen and fetched; once with all pages on one host, once with four
pages on each. Cases, for each of the two:
  rate         URLs seen and fetched a second, each committed with fsync; ten links are looked up for each
  memory N     resident memory of the coordinator when N URLs were seen; about half of them wait
  pending N    how many waited then
  growth       bytes of memory for each further URL between the last two of these moments
  done         resident memory when every page is fetched
  disk         bytes of the data directory for each URL seen, when every page is fetched
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import List, Tuple

from _crawler import Crawl, Moment
from _harness import DIST, OURS, Bench, Sample, free_port, note, peak_mb, resident, server, wait_port

MARKS = (100_000, 300_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000)
SITES = {"one host": 0, "four pages a host": 4}


def human(n: int) -> str:
    return f"{n // 1_000_000} M" if n >= 1_000_000 else f"{n // 1000} k"


def crawl(bench: Bench, folder: Path, name: str, host_pages: int, urls: int) -> None:
    front, back = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    command = [DIST / "drover-coordinator", "--data-dir", folder, "--listen-front", front,
               "--listen-back", back, "--listen-http", f"http://127.0.0.1:{free_port()}",
               "--log-level", "warn"]
    with server(command, int(front.rpartition(":")[2])) as process:
        wait_port(int(back.rpartition(":")[2]))
        job = Crawl(front, back, urls, host_pages)
        marks = [mark for mark in MARKS if mark < urls] + [urls]
        sizes: List[Tuple[int, int]] = []

        def watch(now: Moment) -> None:
            if not marks or now.seen < marks[0]:
                return
            mark, bytes_now = marks.pop(0), resident(process.pid)
            sizes.append((now.seen, bytes_now))
            bench.add(f"{name}: memory {human(mark)}", OURS, Sample(bytes_now / 2**20, "MB"))
            bench.add(f"{name}: pending {human(mark)}", OURS, Sample(now.seen - now.fetched, "URLs"))
            note(f"{name}: {now.seen:,} seen, {now.seen - now.fetched:,} wait, "
                 f"{bytes_now / 2**20:.1f} MB, {now.seen / now.seconds:,.0f} URLs/s")

        end = job.run(watch, timeout_s=1800)
        state = job.client.wait(job.job, 60)
        assert state["state"] == "done" and state["items"] == urls, state
        bench.add(f"{name}: rate", OURS, Sample(urls / end.seconds, "URLs/s", peak_mb(process.pid)))
        if len(sizes) > 1:
            (seen_before, before), (seen, after) = sizes[-2:]
            bench.add(f"{name}: growth", OURS,
                      Sample((after - before) / (seen - seen_before), "bytes/URL"))
        bench.add(f"{name}: done", OURS, Sample(resident(process.pid) / 2**20, "MB"))
        job.close()
    # After an orderly end the log is copied into the database and gone.
    used = sum(path.stat().st_size for path in folder.glob("drover.db*"))
    bench.add(f"{name}: disk", OURS, Sample(used / urls, "bytes/URL"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--urls", type=int, default=1_000_000)
    parser.add_argument("--site", choices=sorted(SITES), help="only this one")
    arguments = parser.parse_args()
    bench = Bench("crawl")
    for name, host_pages in SITES.items():
        if arguments.site in (None, name):
            with tempfile.TemporaryDirectory(prefix="drover-bench-") as folder:
                crawl(bench, Path(folder), name, host_pages, arguments.urls)
    bench.report()


if __name__ == "__main__":
    main()
