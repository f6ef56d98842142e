"""./scripts/bench sinks: rows/s into PostgreSQL and Redis, by drover's sinks and by bare programs.

PostgreSQL: a private server with its usual settings (fsync on) on one processor, the client on another; the tables are
emptied before each run, outside of the measured time. Batches of 100, 1,000 and 10,000 rows, beside a bare
binary COPY in a transaction a batch (copy) and one INSERT with all rows of the batch (insert). Redis: see
_sinks_redis.py. Ratios are drover's rows/s divided by the peer's.
"""

from __future__ import annotations

import argparse
import functools
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable

import _sinks_redis
from _harness import OURS, ROOT, Bench, Sample, run

sys.path.insert(0, str(ROOT / "tests/e2e"))
from pg_server import BIN, PgServer  # noqa: E402

PROGRAM = ROOT / "build-static/tests/bench/bench_sinks"
BATCHES = (100, 1_000, 10_000)
TABLE = "CREATE TABLE rows (id bigint, url text, price numeric, seen timestamptz)"


def measure(server: PgServer, url: str, engine: str, rows: int, a_batch: int) -> Sample:
    server.sql("TRUNCATE rows, drover.ledger; CHECKPOINT")
    said = json.loads(run([PROGRAM, engine, url, rows, a_batch], cpu=1).output)
    assert server.value("SELECT count(*) FROM rows") == str(rows)
    return Sample(said["rows_per_s"], "rows/s", said["peak_mb"])


def postgres(bench: Bench, rows: int, rounds: int) -> None:
    """rows/s for each size of a batch, the engines in turn."""
    if not (BIN / "postgres").exists():
        for peer in ("copy", "insert"):
            bench.miss(peer, "postgresql is not installed")
        return
    with tempfile.TemporaryDirectory(prefix="drover-bench-") as folder, PgServer(
            Path(folder) / "pg", max_wal_size="4GB", shared_buffers="256MB") as server:
        pid = server.pid()
        subprocess.run(["taskset", "-a", "-p", "-c", "0", str(pid)], check=True, capture_output=True)
        server.sql(TABLE)
        url = server.socket_url()
        for a_batch in BATCHES:
            n = rows if a_batch >= 1000 else rows // 4
            engines: dict[str, Callable[[], Sample]] = {
                engine: functools.partial(measure, server, url, engine, n, a_batch)
                for engine in (OURS, "copy", "insert")}
            bench.rounds(f"postgres, {a_batch:,} rows a batch", engines, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=400_000, help="for PostgreSQL")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["postgres", "redis"])
    options = parser.parse_args()
    bench = Bench("sinks")
    if options.only != "redis":
        postgres(bench, options.rows, options.rounds)
    if options.only != "postgres":
        _sinks_redis.cases(bench)
    bench.report()


if __name__ == "__main__":
    main()
