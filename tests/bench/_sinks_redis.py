"""The cases of ./scripts/bench sinks for Redis: rows/s of drover's sink beside bare pipelines of the same commands.

A private server without persistence on one processor, the client on another; the database is emptied before
each run, outside of the measured time. Run it alone with: python3 tests/bench/_sinks_redis.py [ROWS]
"""

from __future__ import annotations

import functools
import json
import sys
import tempfile
from pathlib import Path
from typing import Callable

from _harness import OURS, ROOT, Bench, Sample, free_port, run, server, tool

PROGRAM = ROOT / "build-static/tests/bench/bench_sinks_redis"
A_CALL = 100
CASES = ("hash", "stream", "list")


def measure(engine: str, port: int, mode: str, rows: int) -> Sample:
    run(["redis-cli", "-p", port, "FLUSHALL", "SYNC"])
    said = json.loads(run([PROGRAM, engine, f"redis://127.0.0.1:{port}", mode, rows, A_CALL], cpu=1).output)
    return Sample(said["rows_per_s"], "rows/s", said["peak_mb"])


def cases(bench: Bench, rows: int = 300_000) -> None:
    """Adds rows/s of each mode, drover's sink and its peers in turn."""
    program = tool("redis-server")
    if not program:
        bench.miss("pipeline", "redis-server is not installed")
        return
    if not PROGRAM.exists():
        raise SystemExit(f"{PROGRAM.relative_to(ROOT)} is not built; ./scripts/bench builds it")
    with tempfile.TemporaryDirectory(prefix="drover-bench-") as folder:
        port = free_port()
        (Path(folder) / "redis.conf").write_text(
            f'port {port}\nbind 127.0.0.1\ndir {folder}\nsave ""\nappendonly no\nlogfile redis.log\n')
        with server(["taskset", "-c", "0", program, Path(folder) / "redis.conf"], port):
            for mode in CASES:
                engines: dict[str, Callable[[], Sample]] = {
                    engine: functools.partial(measure, engine, port, mode, rows)
                    for engine in (OURS, "pipeline", "pipeline-deep")}
                bench.rounds(f"redis {mode}, {A_CALL} rows a call", engines, 5)


def main() -> None:
    bench = Bench("sinks_redis")
    cases(bench, *map(int, sys.argv[1:]))
    bench.report()


if __name__ == "__main__":
    main()
