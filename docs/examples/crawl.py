"""Crawls the site that is given, page by page over its links, and prints what it found.

    python3 docs/examples/crawl.py http://127.0.0.1:8080/index.html

scripts/quickstart runs it, and has it kill a worker in the middle (--kill PID) to show that nothing is
lost by that.
"""

import argparse
import os
import signal
import threading
import time

from drover import Client, Postgres, Redis, Store, scrape

FIELDS = {
    "url": "@url",
    "title": "title::text",
    "headings": {"css": "h1, h2, h3", "list": True},
    "links": {"css": "a[href]", "attr": "href", "type": "url", "list": True},
    "sample": {"any": [{"css": "pre"}, {"css": ".table table, .informaltable table"}], "max": 300,
               "default": None},
}

# With --servers the pages land in PostgreSQL and Redis too, each once. The administrator gave these
# sinks their names, [sink.main] and [sink.cache].
SINKS = [Store(), Postgres("pages", name="main"),
         Redis("pages", name="cache", mode="hash", key="url")]


def kill_half_way(job_id, pid, pages):
    """Ends a worker the hard way as soon as so many pages are there."""
    with Client() as fleet:
        for number, _ in enumerate(fleet.job(job_id).results(), 1):
            if number == pages:
                os.kill(pid, signal.SIGKILL)
                print(f"\n*** kill -9 of worker {pid} after {pages} pages ***", flush=True)
                return


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("start")
    parser.add_argument("--kill", type=int, metavar="PID")
    parser.add_argument("--servers", action="store_true", help="land the rows in PostgreSQL and Redis too")
    parser.add_argument("--kill-after", type=int, default=500, metavar="PAGES")
    options = parser.parse_args()

    with Client() as fleet:
        begin = time.monotonic()
        job = fleet.submit(scrape([options.start], extract=FIELDS, follow=True),
                           sink=SINKS if options.servers else "store")
        print(f"submitted as job {job.id}; it is on disk now")
        killer = None
        if options.kill:
            killer = threading.Thread(target=kill_half_way,
                                      args=(job.id, options.kill, options.kill_after))
            killer.start()
        state = job.wait(progress=True)
        seconds = time.monotonic() - begin
        if killer:
            killer.join()

        rows = list(job.results())
        print(f"\n{len(rows)} pages, {len({row['url'] for row in rows})} different ones, in "
              f"{seconds:.1f} s: {len(rows) / seconds:,.0f} pages/s")
        print(f"{state.rejects} pages came to no row: {state.rejects_by_reason or 'none'}")
        print("filled: " + ", ".join(f"{name} {rate:.0%}" for name, rate in state.fill_rates.items()))
        print("\nSome of the rows:")
        for row in [row for row in rows if row["sample"]][:5]:
            print(f"  {row['title'][:50]:50} {len(row['headings']):3} headings {len(row['links']):4} links"
                  f"  {row['sample'][:40]!r}")


if __name__ == "__main__":
    main()
