"""JOIN with lookup tables through a fleet: the tables are blobs that come to each worker once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from fleet import Coordinator, Process, find_binary

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python"))

import drover  # noqa: E402

REGIONS = "code,name,rate,since\n1,north,1.5,2024-01-31\n2,south,2.50,2023-12-01\n3,\"east, far\",0.1,\n"
SQL = ("SELECT id, r.name, round(amount * r.rate, 2) AS due, r.since + 1 AS day FROM input "
       "LEFT JOIN regions r ON region = r.code WHERE amount > 0")
TYPES = {"code": "integer", "name": "text", "rate": "numeric", "since": "date"}


@pytest.fixture
def workers(coordinator: Coordinator, tmp_path: Path) -> Any:
    made = [Process(name, [str(find_binary("drover-worker")), "--coordinator", coordinator.back, "--id", name, "--loops",
                           "2", f"--cache-dir={tmp_path}/cache-{name}"], tmp_path) for name in ("worker-1", "worker-2")]
    yield made
    for one in made:
        one.kill()


def sales(n: int) -> bytes:
    return b"id,region,amount\n" + b"".join(b"%d,%d,%d.10\n" % (i, i % 5, i % 100) for i in range(n))


def expected(n: int) -> list[tuple[Any, ...]]:
    rates = {1: ("north", 150, "2024-02-01"), 2: ("south", 250, "2023-12-02"), 3: ("east, far", 10, None)}
    rows = []
    for i in range(n):
        name, rate, day = rates.get(i % 5, (None, None, None))
        cents = None if rate is None else ((i % 100 * 100 + 10) * rate + 50) // 100  # half away from zero
        rows.append((str(i), name, cents, day))
    return rows


def run(coordinator: Coordinator, pipeline: drover.Pipeline) -> list[dict[str, Any]]:
    with drover.Client(coordinator.front) as fleet:
        job = fleet.submit(pipeline)
        job.wait(60)
        return list(job.results())


def test_every_task_of_every_worker_has_the_tables(coordinator: Coordinator, workers: Any, tmp_path: Path) -> None:
    n = 20_000
    files = []
    for k in range(8):  # several tasks
        files.append(tmp_path / f"sales-{k}.csv")
        files[-1].write_bytes(sales(n))
    (tmp_path / "regions.csv").write_text(REGIONS)
    tables = {"regions": {"file": tmp_path / "regions.csv", "columns": TYPES}}
    rows = run(coordinator, drover.transform([str(f) for f in files], sql=SQL, tables=tables))
    found = sorted(((row["id"], row["name"], None if row["due"] is None else round(float(row["due"]) * 100),
                     None if row["day"] is None else str(row["day"])) for row in rows), key=str)
    assert found == sorted(expected(n) * 8, key=str)


def test_groups_over_a_joined_column(coordinator: Coordinator, workers: Any, tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_bytes(sales(10_000))
    sql = ("SELECT r.name, count(*) AS n, sum(amount) AS total, string_agg(id, ' ') FILTER (WHERE id::int < 12) AS ids "
           "FROM input JOIN regions r ON r.code = region GROUP BY 1 ORDER BY 1")
    tables = {"regions": {"file": REGIONS.encode(), "columns": TYPES}}
    rows = run(coordinator, drover.transform(str(tmp_path / "sales.csv"), sql=sql, tables=tables))
    assert [(row["name"], row["n"], float(row["total"]), row["ids"]) for row in rows] == [
        (name, 2000, float(sum(i % 100 * 100 + 10 for i in range(k, 10_000, 5))) / 100,
         " ".join(str(i) for i in range(k, 12, 5))) for name, k in (("east, far", 3), ("north", 1), ("south", 2))]


def test_a_table_without_types_is_text(coordinator: Coordinator, workers: Any, tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_bytes(sales(10))
    (tmp_path / "regions.csv").write_text(REGIONS)
    sql = "SELECT name, rate, count(*) AS n FROM input JOIN regions ON region = code GROUP BY 1, 2 ORDER BY 1"
    rows = run(coordinator, drover.transform(str(tmp_path / "sales.csv"), sql=sql,
                                             tables={"regions": tmp_path / "regions.csv"}))
    assert [(row["name"], row["rate"], row["n"]) for row in rows] == [("east, far", "0.1", 2), ("north", "1.5", 2),
                                                                     ("south", "2.50", 2)]


def test_a_wrong_value_in_a_table_is_named(coordinator: Coordinator, workers: Any, tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_bytes(sales(10))
    tables = {"regions": {"file": b"code,name,rate,since\n1,north,much,\n", "columns": TYPES}}
    with drover.Client(coordinator.front) as fleet:
        job = fleet.submit(drover.transform(str(tmp_path / "sales.csv"), sql=SQL, tables=tables))
        job.wait(60, on_error="return")
        told = str(list(job.dead())) + str(list(job.rejects()))
        assert "the table regions: line 2, column rate: BAD_VALUE: 'much'" in told, told


def test_a_table_that_is_not_given_is_refused_at_once(coordinator: Coordinator) -> None:
    with drover.Client(coordinator.front) as fleet, pytest.raises(drover.DroverError, match="no table \"regions\""):
        fleet.submit(drover.transform("file:///data/sales.csv", sql=SQL))
