"""`drover-worker run --sql` (binary COPY: the engine alone) against what a user would write instead, on one
processor and, where a program can, on all; output to /dev/null (a disk would be measured otherwise). Beside wall
clock there are the figures by CPU time.

Query: SELECT id, round(amount*1.21, 2), date, lower(trim(category)) FROM input WHERE amount > 0, from CSV to CSV,
to NDJSON and to binary COPY (ours alone), and from NDJSON of the same rows to CSV; and a group-by with count and sum. 5 million rows of 37 bytes, 2 % of them with quotes, 5 %
filtered out. Peers: Go's encoding/csv, Python's csv, pandas, DuckDB and Polars (the last two from pip into
a virtual environment, when it can fetch them). What the engines answer is compared where they are exact. Into PostgreSQL the peer is a bare COPY.

DROVER_BENCH_ROWS changes the number of rows.
"""

from __future__ import annotations

import csv
import json
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import Callable, Dict, List

from _harness import OURS, ROOT, Bench, Sample, note, run, tool

sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from pg_server import PgServer  # noqa: E402

ROWS = int(os.environ.get("DROVER_BENCH_ROWS", "5000000"))
BLOCK = 250_000  # different rows; a shorter period would be learnt by heart by the branch predictor
PEERS = Path(__file__).parent / "peers"
WORKER = ROOT / "dist" / "drover-worker"
PARALLEL = (OURS, "duckdb", "polars")  # what uses all processors when it may
CLI = ROOT / "build-static" / "tests" / "unit" / "transform_cli"
CATEGORIES = ("Books", "toys ", "Garden", " Music", "Food", "ELECTRONICS", "Sports", "health", "Auto", "Office")
SELECT = "SELECT id, round(amount*1.21,2), date, lower(trim(category)) FROM input WHERE amount > 0"
GROUP = "SELECT category, count(*), sum(amount) FROM input GROUP BY category ORDER BY category"


def make_input(path: Path, lines: Path) -> None:
    """Numbered rows over a block of random ones, as CSV and as NDJSON."""
    rng = random.Random(1)
    block: List[str] = []
    for _ in range(BLOCK):
        cents = -rng.randint(0, 9999) if rng.random() < 0.05 else rng.randint(1, 9999999)
        category = rng.choice(CATEGORIES)
        if rng.random() < 0.02:
            category = f'"{category}, other"'
        sign = "-" if cents < 0 else ""
        block.append(f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d},2024-{rng.randint(1, 12):02d}-"
                     f"{rng.randint(1, 28):02d},{category}\n")
    with path.open("w") as out:
        out.write("id,amount,date,category\n")
        for start in range(0, ROWS, BLOCK):
            out.write("".join(f"{start + i},{row}" for i, row in enumerate(block[:ROWS - start])))
    objects = [json.dumps({"amount": 0, "date": date, "category": category}).replace(": 0,", f": {amount},")[1:]
               for amount, date, category in csv.reader(block)]
    with lines.open("w") as out:
        for start in range(0, ROWS, BLOCK):
            out.write("".join(f'{{"id": {start + i}, {line}\n' for i, line in enumerate(objects[:ROWS - start])))


def virtual_environment(bench: Bench, folder: Path) -> str | None:
    """A Python with DuckDB, Polars and pandas, or None."""
    home = folder / "venv"
    try:
        run(["/usr/bin/python3", "-m", "venv", home])
        run([home / "bin" / "pip", "-q", "--disable-pip-version-check", "install", "duckdb", "polars", "pandas"],
            timeout=600)
    except SystemExit as wrong:
        for name in ("duckdb", "polars"):
            bench.miss(name, f"pip could not install it: {str(wrong)[-200:]}")
        return None
    return str(home / "bin" / "python")


def go_program(bench: Bench, folder: Path) -> Path | None:
    """The Go program, built with whatever compiler there is."""
    go = tool("go", "/usr/bin/go")
    if go is None:
        bench.miss("go", "needs the package golang-go")
        return None
    program = folder / "transform-go"
    run([go, "build", "-o", program, PEERS / "transform.go"],
        env={"GO111MODULE": "off", "GOFLAGS": "", "GOCACHE": str(folder / "gocache")})
    return program


def engines(bench: Bench, folder: Path, source: Path, lines: Path) -> Dict[str, Callable[[str, Path], List[object]]]:
    """Commands by engine: case and output file."""
    def ours(case: str, out: Path) -> List[object]:
        if case == "copy":
            return ["sh", "-c", 'exec "$0" --sql "$1" --format copy "$2" >"$3"', CLI, SELECT, source, out]
        one, _, everywhere = case.partition(" ")
        return [WORKER, "run", "--sql", GROUP if one == "group" else SELECT, "--output", out, "--format",
                "ndjson" if one == "ndjson" else "csv", *([] if everywhere else ["--loops", "1"]),
                lines if one == "from-ndjson" else source]

    found: Dict[str, Callable[[str, Path], List[object]]] = {OURS: ours}
    go = go_program(bench, folder)
    if go is not None:
        found["go"] = lambda case, out: [go, case, source, out]
    python = "/usr/bin/python3"
    found["python"] = lambda case, out: [python, PEERS / "transform.py", "csv", case,
                                         lines if case == "from-ndjson" else source, out]
    environment = virtual_environment(bench, folder)
    for name, program in (("duckdb", environment), ("polars", environment), ("pandas", environment or python)):
        if program is None:
            continue
        try:
            run([program, "-c", f"import {name}"])
        except SystemExit:
            bench.miss(name, "it cannot be imported")
            continue
        found[name] = lambda case, out, n=name, p=program: [p, PEERS / "transform.py", n, case,
                                                            lines if case == "from-ndjson" else source, out]
    return found


def compare(peers: Dict[str, Callable[[str, Path], List[object]]], folder: Path, env: Dict[str, str]) -> None:
    """The rows must be those of DuckDB's exact decimals."""
    if "duckdb" not in peers:
        return
    answers = []
    for engine, case in ((OURS, "csv"), ("duckdb", "csv"), (OURS, "from-ndjson"), ("duckdb", "from-ndjson")):
        out = folder / f"{engine}.csv"
        run(peers[engine](case, out), env=env)
        answers.append(out.read_bytes().split(b"\n", 1)[1])
        out.unlink()
    if any(answer != answers[0] for answer in answers):
        raise SystemExit("the rows are not those of DuckDB")


def into_postgres(bench: Bench, folder: Path, source: Path) -> None:
    """The query into a table, by `run` with a sink, on all processors; beside it the bare COPY of rows that somebody
    has transformed before."""
    ready = folder / "ready.csv"
    run([WORKER, "run", "--sql", SELECT.replace("SELECT id", "SELECT id::bigint"), "--output", ready, "--format", "csv",
         source])
    with PgServer(folder / "pg", shared_buffers="512MB", max_wal_size="8GB") as server:
        server.sql("""CREATE TABLE rows (id bigint, amount numeric, date date, category text);
                      GRANT INSERT ON rows TO worker;""")
        secret = folder / "password"
        secret.write_text("rows\n")
        secret.chmod(0o600)
        job = folder / "job.json"
        job.write_text(json.dumps({
            "drover": 1, "input": {"items": [str(source)]},
            "sinks": [{"kind": "postgres", "name": "main", "table": "rows"}],
            "stages": [{"kind": "transform", "sql":
                        "SELECT id::bigint AS id, round(amount*1.21,2) AS amount, date::date AS date,"
                        " lower(trim(category)) AS category FROM input WHERE amount > 0"}]}))
        ours = [WORKER, "run", "--job", job, f"--sink-main-url={server.url()}", f"--sink-main-password-file={secret}"]
        copy = ["psql", "-qX", server.socket_url(), "-c", f"\\copy rows from '{ready}' csv header"]

        def measured(command: List[object]) -> Sample:
            server.sql("TRUNCATE rows; CHECKPOINT")
            ran = run(command)
            return Sample(ROWS / ran.seconds, "rows/s", ran.peak_mb)

        bench.rounds("into PostgreSQL, all processors", {OURS: lambda: measured(ours), "copy": lambda: measured(copy)})


def main() -> None:
    bench = Bench("transform")
    with tempfile.TemporaryDirectory(prefix="drover-bench-") as name:
        folder = Path(name)
        source, lines = folder / "input.csv", folder / "input.ndjson"
        note(f"making {ROWS:,} rows")
        make_input(source, lines)
        peers = engines(bench, folder, source, lines)
        one_thread = {"GOMAXPROCS": "1", "POLARS_MAX_THREADS": "1"}
        compare(peers, folder, one_thread)
        for case in ("csv", "ndjson", "group", "from-ndjson", "copy"):
            def measured(engine: str, case: str = case) -> Sample:
                ran = run(peers[engine](case, Path("/dev/null")), cpu=0, env=one_thread)
                bench.add(f"{case}, CPU", engine, Sample(ROWS / ran.cpu_s, "rows/CPU s", ran.peak_mb))
                return Sample(ROWS / ran.seconds, "rows/s", ran.peak_mb)
            without = {"from-ndjson": {"go"}, "copy": set(peers) - {OURS}}.get(case, set())
            bench.rounds(case, {engine: (lambda engine=engine: measured(engine)) for engine in peers
                                if engine not in without})
            if case in ("csv", "group"):
                def everywhere(engine: str, case: str = case) -> Sample:
                    ran = run(peers[engine](f"{case} everywhere" if engine == OURS else case, Path("/dev/null")))
                    return Sample(ROWS / ran.seconds, "rows/s", ran.peak_mb)
                bench.rounds(f"{case}, all processors", {engine: (lambda engine=engine: everywhere(engine))
                                                         for engine in PARALLEL if engine in peers})
        into_postgres(bench, folder, source)
    bench.report()


if __name__ == "__main__":
    main()
