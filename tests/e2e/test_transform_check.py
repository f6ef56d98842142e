"""What a job would do, asked before it is submitted: job.check, Client.explain, Client.head, `drover job check`,
and job files of pipelines over local files."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import transform_data as data
from fleet import Coordinator, Front, Process, RemoteError, find_binary
from transform_data import GROUP_SQL, ROWS_SQL

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python"))
from drover import AsyncClient, Client, InvalidSpec, Postgres, noop, transform  # noqa: E402

TABLE = data.table(60_000)


@pytest.fixture
def table_file(tmp_path: Path) -> Path:
    return data.write(tmp_path / "table.csv", TABLE)


def test_explain_submits_nothing(coordinator: Coordinator, table_file: Path) -> None:
    with Client(coordinator.front) as fleet:
        rows = fleet.explain(transform(str(table_file), ROWS_SQL))
        assert rows.columns == {"id": "text", "gross": "decimal", "category": "text"} and not rows.gathers
        assert "where: (amount > 50)" in str(rows) and rows.warnings == []
        groups = fleet.explain(transform(str(table_file), GROUP_SQL))
        assert groups.gathers and "brings the parts together" in groups.plan
        assert list(groups.columns) == ["category", "n", "total", "least", "days"]
        chain = fleet.explain(noop(["a"], rows=True) | transform(sql="SELECT upper(item) AS u FROM input"))
        assert "stage 1: noop" in chain.plan and "stage 2: transform" in chain.plan and chain.columns == {"u": "text"}
        assert fleet.jobs() == []
        with pytest.raises(InvalidSpec, match=r'stages\[0\].sql, character 8.*did you mean "amount"'):
            fleet.explain(transform(str(table_file), "SELECT amont FROM input"))
        with pytest.raises(InvalidSpec, match="sinks"):
            fleet.explain(transform(str(table_file), ROWS_SQL), sink=Postgres("t", "nowhere"))


def test_explain_from_a_coroutine(coordinator: Coordinator, table_file: Path) -> None:
    async def ask() -> None:
        async with AsyncClient(coordinator.front) as fleet:
            assert (await fleet.explain(transform(str(table_file), ROWS_SQL))).columns["gross"] == "decimal"

    asyncio.run(ask())


def test_the_verb(front: Front) -> None:
    stage = {"kind": "transform", "sql": "SELECT a::bigint AS a FROM input"}
    value = front.call("job.check", spec=json.dumps({"stages": [stage]}))
    assert value["columns"] == [["a", "int64"]] and value["gathers"] is False and value["warnings"] == []
    for spec, words in ((None, "spec"), ("{", "not JSON"), ('{"stages": []}', "stages")):
        with pytest.raises(RemoteError, match=words):
            front.call("job.check", **({} if spec is None else {"spec": spec}))
    assert front.call("job.ls")["jobs"] == []


def test_the_command(coordinator: Coordinator, tmp_path: Path) -> None:
    def check(job: object, *words: str, status: int = 0) -> str:
        (tmp_path / "job.json").write_text(json.dumps(job))
        done = subprocess.run([str(find_binary("drover")), "--url", coordinator.front, "job", "check", "job.json", *words],
                              cwd=tmp_path, text=True, capture_output=True, timeout=60, check=False)
        assert done.returncode == status, done
        return done.stdout + done.stderr

    job = {"stages": [{"kind": "transform", "sql": "SELECT max(a) AS m FROM input"}], "input": {"items": ["/a.csv"]}}
    assert "aggregate" in check(job) and "columns: m text" in check(job)
    assert json.loads(check(job, "-o", "json"))["columns"] == [["m", "text"]]
    job["stages"] = [{"kind": "transform", "sql": "SELECT maxi(a) FROM input"}]
    assert 'there is no function "maxi"' in check(job, status=1)


@pytest.fixture
def worker(coordinator: Coordinator, tmp_path: Path) -> Callable[[], Process]:
    """Starts one that ends with the test."""
    return lambda: Process("worker", [str(find_binary("drover-worker")), "--coordinator", coordinator.back, "--id", "w",
                                      "--loops", "1", "--input-roots", str(tmp_path)], tmp_path)


def test_head(coordinator: Coordinator, worker: Callable[[], Process], table_file: Path) -> None:
    """The first rows, over the first MiB and not the whole file, and nothing of it stays."""
    process = worker()
    try:
        with Client(coordinator.front) as fleet:
            rows = fleet.head(transform(str(table_file), ROWS_SQL), 3)
            assert [tuple(row.values()) for row in rows] == data.answer(ROWS_SQL, TABLE)[:3]
            assert fleet.head(transform(f"file://{table_file}", ROWS_SQL), 3) == rows
            assert fleet.jobs() == []
            count = fleet.head(transform(str(table_file), "SELECT count(*) AS n FROM input"))
            assert 1000 < count[0]["n"] < len(TABLE)
            assert fleet.head(noop((str(i) for i in range(10**9)), rows=True)) == [{"item": "0"}]

            async def ask() -> None:
                async with AsyncClient(coordinator.front) as same:
                    assert await same.head(transform(str(table_file), ROWS_SQL), 3) == rows

            asyncio.run(ask())
    finally:
        process.kill()


def test_a_job_file_of_local_files(tmp_path: Path, table_file: Path) -> None:
    """What save() writes runs by `drover-worker run`, with the same answer."""
    transform(str(table_file), GROUP_SQL).save(str(tmp_path / "job.json"))
    subprocess.run([str(find_binary("drover-worker")), "run", "--job", "job.json", "-o", "out.ndjson"], cwd=tmp_path,
                   check=True, capture_output=True, timeout=60)
    rows = [json.loads(line, parse_float=str) for line in (tmp_path / "out.ndjson").read_text().splitlines()]
    want = [(category, n, str(total), str(least), days) for category, n, total, least, days in
            data.answer(GROUP_SQL, TABLE)]
    assert [tuple(row.values()) for row in rows] == want
