"""Transforms in a fleet of two workers, as users meet them: files in slices, by path and by pattern; the
answer of many tasks is that of one; what is wrong in files, and in what is asked."""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import transform_data as data
from fleet import Coordinator
from mortal_fleet import MortalFleet
from scrape_server import ScrapeServer
from transform_data import (DISTINCT_SQL, GROUP_SQL, LIMIT_SQL, ROWS_SQL, TOP_SQL, TOTAL_SQL)

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python"))
from drover import Client, InvalidArgument, InvalidSpec, JobFailed, Pipeline, noop, scrape, transform  # noqa: E402
from drover._files import Dialect, LocalFiles  # noqa: E402

PART = 64 * 1024
QUERIES = (ROWS_SQL, GROUP_SQL, TOP_SQL, DISTINCT_SQL, LIMIT_SQL, TOTAL_SQL)
WAIT_S = 60
TABLE = data.table(20_000)


class Fleet(MortalFleet):
    """Two workers that may read files under `roots`, and a client."""

    def __init__(self, folder: Path, coordinator: Coordinator) -> None:
        self.roots = folder / "roots"
        self.roots.mkdir()
        super().__init__(folder, coordinator, "--input-roots", str(self.roots), "--allow-net", "127.0.0.0/8")
        self.client = Client(coordinator.front)

    def close(self) -> None:
        self.client.close()
        super().close()

    def rows(self, pipeline: Pipeline, least_tasks: int = 1, **options: Any) -> list[tuple[Any, ...]]:
        """All rows of a job that must end well, over at least so many tasks."""
        job = self.client.submit(pipeline, **options)
        state = job.wait(WAIT_S)
        assert state.rejects == 0 and state.tasks >= least_tasks, state
        return [tuple(row.values()) for row in job.results()]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One for all: nothing here does harm to it."""
    folder = tmp_path_factory.mktemp("fleet")
    coordinator = Coordinator(folder)
    one = Fleet(folder, coordinator)
    yield one
    one.close()
    coordinator.stop()


@pytest.fixture(scope="module")
def table_file(fleet: Fleet) -> Path:
    return data.write(fleet.roots / "table.csv", TABLE)


@pytest.fixture
def roots(fleet: Fleet) -> Path:
    return fleet.roots


def in_slices(path: Path, sql: str, slice_bytes: int = PART, **more: Any) -> Pipeline:
    """As transform(path), in smaller slices."""
    pipeline = transform(str(path), sql, **more)
    names = pipeline.stages[0]["csv"]["names"]
    return replace(pipeline, items=LocalFiles([str(path)], Dialect("csv", ",", '"', True), names, slice_bytes))


def same(sql: str, rows: list[tuple[Any, ...]], want: list[tuple[Any, ...]]) -> bool:
    return rows == want if data.is_sorted(sql) else sorted(rows) == sorted(want)


# ---- the answer of many tasks is that of one ----


@pytest.mark.parametrize("sql", QUERIES)
def test_a_file_in_slices(fleet: Fleet, table_file: Path, sql: str) -> None:
    assert same(sql, fleet.rows(in_slices(table_file, sql), 10, task_items=2), data.answer(sql, TABLE))


@pytest.mark.parametrize("sql", QUERIES)
def test_a_file_of_the_workers_in_parts(fleet: Fleet, table_file: Path, sql: str) -> None:
    pipeline = transform(f"file://{table_file}", sql, task_bytes=PART)
    assert same(sql, fleet.rows(pipeline, 10), data.answer(sql, TABLE))


@pytest.mark.parametrize("sql", QUERIES)
def test_one_task(fleet: Fleet, table_file: Path, sql: str) -> None:
    job = fleet.client.submit(transform(f"file://{table_file}", sql))
    assert job.wait(WAIT_S).tasks <= 2  # the file, and bringing together what it came to
    assert same(sql, [tuple(row.values()) for row in job.results()], data.answer(sql, TABLE))


@pytest.mark.parametrize("sql", QUERIES)
def test_a_pattern(fleet: Fleet, roots: Path, sql: str) -> None:
    rows = []
    for number in range(5):
        some = data.table(3000, seed=number, first=3000 * number)
        data.write(roots / f"many-{number}.csv", some)
        rows += some
    (roots / "many.txt").write_text("is not meant\n")
    pipeline = transform(f"file://{roots}/many-*.csv", sql, task_bytes=PART)
    assert same(sql, fleet.rows(pipeline, 5), data.answer(sql, rows))


def test_several_local_files_by_pattern(fleet: Fleet, tmp_path: Path) -> None:
    rows = [data.table(100, seed=n, first=100 * n) for n in range(3)]
    for number, some in enumerate(rows):
        data.write(tmp_path / f"local-{number}.csv", some)
    found = fleet.rows(transform(str(tmp_path / "local-*.csv"), GROUP_SQL))
    assert found == data.answer(GROUP_SQL, sum(rows, []))


def test_compressed_and_open_files(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "table.csv.gz").write_bytes(gzip.compress(data.csv_of(TABLE[:500])))
    want = data.answer(GROUP_SQL, TABLE[:500])
    assert fleet.rows(transform(str(tmp_path / "table.csv.gz"), GROUP_SQL)) == want
    assert fleet.rows(transform(io.BytesIO(data.csv_of(TABLE[:500])), GROUP_SQL)) == want


def test_all_columns(fleet: Fleet, table_file: Path) -> None:
    """`*` from here, since the client knows the header."""
    rows = fleet.rows(transform(str(table_file), "SELECT * FROM input WHERE id::int < 3", columns={"amount": "numeric"}))
    assert sorted(rows) == TABLE[:3]


# ---- after another stage ----


def test_after_rows_of_another_stage(fleet: Fleet) -> None:
    items = [f"{word}-{i}" for i in range(500) for word in ("a", "b")]
    counted = transform(sql="SELECT left(item, 1) AS word, count(*) AS n FROM input GROUP BY 1 ORDER BY 1")
    assert fleet.rows(noop(items, rows=True) | counted, 4, task_items=16) == [("a", 500), ("b", 500)]
    again = transform(sql="SELECT upper(word) AS word, n * 2 AS n FROM input WHERE n > 0")
    assert fleet.rows(noop(items, rows=True) | counted | again, 4, task_items=16) == [("A", 1000), ("B", 1000)]
    first = transform(sql="SELECT upper(item) AS item FROM input WHERE item LIKE 'a%'")
    total = transform(sql="SELECT count(*) AS n, max(item) AS most FROM input")
    assert fleet.rows(noop(items, rows=True) | first | total, 4, task_items=16) == [(500, "A-99")]


class Shop(ScrapeServer):
    """/item/N has a price of N.50."""

    def page_item(self, site: Any, path: str, query: Any, headers: Any) -> Any:
        n = path.rsplit("/", 1)[-1]
        return self.html(f"<html><h1>Thing {n}</h1><b class=price>{n}.50</b></html>")


def test_after_a_crawl(fleet: Fleet) -> None:
    shop = Shop()
    try:
        port = shop.listen()
        pages = scrape([f"http://127.0.0.1:{port}/item/{n}" for n in range(40)],
                       {"name": "h1::text", "price": {"css": ".price", "type": "decimal"}}, robots=False)
        dear = transform(sql="SELECT name, price * 2 AS twice FROM input WHERE price > 37 ORDER BY price DESC")
        rows = fleet.rows(pages | dear, task_items=8)
    finally:
        shop.close()
    assert [(name, str(twice)) for name, twice in rows] == [("Thing 39", "79.00"), ("Thing 38", "77.00"),
                                                            ("Thing 37", "75.00")]


# ---- files as they are ----


def test_a_newline_in_quotes_at_every_boundary(fleet: Fleet, roots: Path) -> None:
    """Rows of which most bytes are quoted newlines, so that every cut falls into one."""
    lines = [f'{i},"{chr(10) * 300}"' for i in range(2000)]
    (roots / "newlines.csv").write_text("id,text\n" + "\n".join(lines) + "\n")
    sql = "SELECT count(*) AS n, sum(id) AS ids, sum(length(text)) AS bytes FROM input"
    want = [(2000, sum(range(2000)), 2000 * 300)]
    assert fleet.rows(transform(f"file://{roots}/newlines.csv", sql, task_bytes=PART), 8) == want
    assert fleet.rows(in_slices(roots / "newlines.csv", sql), 8, task_items=1) == want


def test_a_byte_order_mark_and_carriage_returns(fleet: Fleet, roots: Path) -> None:
    rows = data.table(9000)
    plain = [row[:3] + (row[3].replace("\n", " "),) for row in rows]  # type: ignore[misc]
    (roots / "windows.csv").write_bytes(b"\xef\xbb\xbf" + data.csv_of(plain, newline="\r\n"))
    for pipeline in (transform(f"file://{roots}/windows.csv", GROUP_SQL, task_bytes=PART),
                     in_slices(roots / "windows.csv", GROUP_SQL)):
        assert fleet.rows(pipeline, 3, task_items=1) == data.answer(GROUP_SQL, plain)


def test_an_empty_file(fleet: Fleet, roots: Path, tmp_path: Path) -> None:
    (roots / "empty.csv").write_bytes(b"")
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(InvalidArgument, match="empty.csv is empty"):
        transform(str(tmp_path / "empty.csv"), GROUP_SQL)
    assert "empty.csv" in dies(fleet, transform(f"file://{roots}/empty.csv", GROUP_SQL))
    (roots / "only-header.csv").write_text(data.HEADER)
    assert fleet.rows(transform(f"file://{roots}/only-header.csv", TOTAL_SQL)) == [(0, None, None)]
    assert fleet.rows(transform(f"file://{roots}/only-header.csv", GROUP_SQL)) == []
    assert fleet.rows(transform(str(roots / "only-header.csv"), TOTAL_SQL)) == [(0, None, None)]


def test_a_header_that_differs(fleet: Fleet, roots: Path, tmp_path: Path) -> None:
    """Local files must be alike. Files of workers may have their columns in another order, and must have
    those that the query names."""
    for folder in (tmp_path, roots):
        (folder / "alike-1.csv").write_text("a,b\n1,2\n")
        (folder / "alike-2.csv").write_text("b,a\n20,10\n")
    sql = "SELECT sum(a) AS a FROM input"
    with pytest.raises(InvalidArgument, match=r"alike-2.csv has the columns \['b', 'a'\], the first file has"):
        fleet.client.submit(transform(str(tmp_path / "alike-*.csv"), sql))
    assert fleet.rows(transform(f"file://{roots}/alike-*.csv", sql)) == [(11,)]
    (roots / "alike-3.csv").write_text("b,c\n1,2\n")
    said = dies(fleet, transform(f"file://{roots}/alike-*.csv", sql))
    assert "alike-3.csv" in said and '"a"' in said


# ---- values that are wrong ----


def bad_file(path: Path) -> Path:
    """Row 3000 has a wrong amount, row 7000 a wrong id (line 2 is row 0)."""
    lines = data.csv_of([row[:3] + ("x",) for row in data.table(9000)]).decode().splitlines()  # type: ignore[misc]
    lines[3001] = "3000,dear,2024-01-01,x"
    lines[7001] = "seven,1.00,2024-01-01,x"
    path.write_text("\n".join(lines) + "\n")
    return path


BAD_SQL = "SELECT count(*) AS n, count(amount::numeric) AS amounts, count(id::int) AS ids FROM input"
PLAIN_BAD_SQL = "SELECT id, amount FROM input WHERE id::bigint >= 0 AND amount::numeric > -1000"


@pytest.mark.parametrize("how", ["parts", "slices"])
@pytest.mark.parametrize("sql", [BAD_SQL, PLAIN_BAD_SQL])
def test_rejects_name_file_and_line(fleet: Fleet, roots: Path, how: str, sql: str) -> None:
    path = bad_file(roots / "bad.csv")
    pipeline = (transform(f"file://{path}", sql, task_bytes=PART) if how == "parts" else in_slices(path, sql))
    job = fleet.client.submit(pipeline, task_items=1)
    state = job.wait(WAIT_S)
    assert (state.state, state.rejects, state.rejects_by_reason) == ("done", 2, {"BAD_VALUE": 2})
    found = sorted((one.input.rsplit("/", 1)[-1], one.reason, one.detail) for one in job.rejects())
    assert [(where, reason) for where, reason, _ in found] == [("bad.csv:3002", "BAD_VALUE"),
                                                               ("bad.csv:7002", "BAD_VALUE")]
    assert found[0][2] == 'amount: "dear"' and found[1][2] == 'id: "seven"'
    if sql == BAD_SQL:
        assert [tuple(row.values()) for row in job.results()] == [(8998, 8998, 8998)]
    else:
        assert state.rows == 8998


def test_wrong_values_as_null(fleet: Fleet, roots: Path) -> None:
    path = bad_file(roots / "bad-null.csv")
    rows = fleet.rows(transform(f"file://{path}", BAD_SQL, on_error="null", task_bytes=PART), 3)
    assert rows == [(9000, 8999, 8999)]


def dies(fleet: Fleet, pipeline: Pipeline, **options: Any) -> str:
    """The job must end as failed, without rows; what its first letter says."""
    job = fleet.client.submit(pipeline, **options)
    state = job.wait(WAIT_S, on_error="return")
    assert (state.state, state.rows) == ("failed", 0) and state.dead >= 1, state
    return job.dead()[0].error


def test_wrong_values_that_fail(fleet: Fleet, roots: Path) -> None:
    """No answer over a part of the file, and the line in the letter."""
    path = bad_file(roots / "bad-fail.csv")
    said = dies(fleet, transform(f"file://{path}", BAD_SQL, on_error="fail", task_bytes=PART))
    assert "bad-fail.csv" in said and ("3002" in said or "7002" in said), said


@pytest.mark.parametrize("sql", [BAD_SQL, PLAIN_BAD_SQL])
def test_a_limit_on_rejects(fleet: Fleet, roots: Path, sql: str) -> None:
    """Two rejects in two tasks: a limit of two is kept, one of one is not."""
    path = bad_file(roots / "bad-max.csv")
    good = fleet.client.submit(transform(f"file://{path}", sql, rejects_max=2, task_bytes=PART))
    assert good.wait(WAIT_S).state == "done" and good.status().error is None
    for most in (1, 0):
        job = fleet.client.submit(transform(f"file://{path}", sql, rejects_max=most, task_bytes=PART))
        state = job.wait(WAIT_S, on_error="return")
        assert (state.state, state.dead, state.pending) == ("failed", 0, 0), state
        assert state.error == f"{state.rejects} rejects, and rejects_max allows {most}"
        with pytest.raises(JobFailed, match=f"rejects_max allows {most}; see job.rejects"):
            list(job.results())
        assert len(list(job.rejects())) == state.rejects
    with pytest.raises(InvalidSpec, match="rejects_max"):
        fleet.client.submit(transform(f"file://{path}", sql, rejects_max=-1))


def test_a_limit_on_rejects_ends_the_rest(fleet: Fleet, roots: Path) -> None:
    """More rejects than one task lists, and tasks that need not be done any more."""
    lines = [f"{i},dear" for i in range(200_000)]
    (roots / "all-bad.csv").write_text("id,amount\n" + "\n".join(lines) + "\n")
    job = fleet.client.submit(transform(f"file://{roots}/all-bad.csv", "SELECT sum(amount) AS s FROM input",
                                        rejects_max=2500, task_bytes=PART))
    state = job.wait(WAIT_S, on_error="return")
    assert state.state == "failed" and state.rejects > 2500 and state.rows == 0, state
    assert state.stats["rejects_not_listed"] == state.rejects - len(list(job.rejects()))


# ---- what cannot be ----


@pytest.mark.parametrize(("sql", "words"), [
    ("SELECT lowr(a) FROM input", r"stages\[0\].sql, character 8: .*lowr.*did you mean \"lower\""),
    ("SELECT a FROM other", r"stages\[0\].sql.*other"),
    ("SELECT a FROM input WHERE", r"stages\[0\].sql.*"),
    ("DELETE FROM input", r"stages\[0\].sql"),
])
def test_wrong_sql_is_refused_at_submit(fleet: Fleet, table_file: Path, sql: str, words: str) -> None:
    with pytest.raises(InvalidSpec, match=words):
        fleet.client.submit(transform(f"file://{table_file}", sql))


def test_a_column_that_is_not_there(fleet: Fleet, table_file: Path) -> None:
    with pytest.raises(InvalidSpec, match="amont.*did you mean \"amount\""):
        fleet.client.submit(transform(str(table_file), "SELECT amont FROM input"))
    assert "amont" in dies(fleet, transform(f"file://{table_file}", "SELECT amont FROM input"))


def test_files_that_cannot_be_read(fleet: Fleet, roots: Path, tmp_path: Path) -> None:
    sql = "SELECT count(*) AS n FROM input"
    data.write(tmp_path / "outside.csv", TABLE[:5])
    (roots / "link.csv").symlink_to(tmp_path / "outside.csv")
    (roots / "folder.csv").mkdir()
    for path, words in ((roots / "missing.csv", "No such file"), (roots / "missing-*.csv", "no file is called"),
                        (tmp_path / "outside.csv", "input_roots"), (roots / "link.csv", "input_roots"),
                        (roots / "folder.csv", "not a regular file")):
        said = dies(fleet, transform(f"file://{path}", sql))
        assert path.name in said and words in said, said
    with pytest.raises(InvalidArgument, match="there is no file"):
        transform(str(tmp_path / "nowhere.csv"), sql)
    with pytest.raises(InvalidArgument, match="absolute"):
        transform("file://data.csv", sql)
