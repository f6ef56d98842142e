"""drover-worker run with transforms: --sql over files, jobs with relative paths, formats, --explain, and what a
user is told when the rows are not the answer."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import transform_data as data
from fleet import find_binary
from transform_data import GROUP_SQL, ROWS_SQL, TOTAL_SQL

TABLE = data.table(20_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data.write(tmp_path / "table.csv", TABLE)
    return tmp_path


def run(folder: Path, *words: str, status: int = 0) -> Any:
    """In that folder; standard output and standard error as texts."""
    done = subprocess.run([str(find_binary("drover-worker")), "run", *words], cwd=folder, text=True,
                          capture_output=True, timeout=60, check=False)
    assert done.returncode == status, done
    return done


def rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def texts(rows: list[tuple[Any, ...]]) -> list[list[str]]:
    return [[str(value) for value in row] for row in rows]


def test_sql_over_a_file(folder: Path) -> None:
    done = run(folder, "--sql", ROWS_SQL, "table.csv", "--loops", "1")
    assert rows_of(done.stdout) == [["id", "gross", "category"], *texts(data.answer(ROWS_SQL, TABLE))]
    stats = json.loads(done.stderr)
    assert stats["stats"] == {"input_rows": len(TABLE)} and stats["state"] == "done"


@pytest.mark.parametrize("loops", ["1", "3"])
def test_groups_of_several_files(folder: Path, loops: str) -> None:
    more = data.table(500, seed=2)
    data.write(folder / "other.csv", more)
    done = run(folder, "--sql", GROUP_SQL, "table.csv", str(folder / "other.csv"), "--loops", loops)
    assert rows_of(done.stdout)[1:] == texts(data.answer(GROUP_SQL, TABLE + more))
    assert run(folder, "--sql", GROUP_SQL, "*.csv", "--loops", loops).stdout == done.stdout


def test_all_columns_and_formats(folder: Path) -> None:
    sql = "SELECT * FROM input WHERE id::int IN (3, 4)"
    want = [dict(zip(("id", "amount", "date", "category"), [row[0], str(row[1]), row[2], row[3]])) for row in TABLE[3:5]]
    for words in (("--format", "ndjson"), ("--output", "out.ndjson"), ("--output", "out.x", "--format", "ndjson")):
        done = run(folder, "--sql", sql, "table.csv", *words)
        text = (folder / words[1]).read_text() if "--output" in words else done.stdout
        assert [json.loads(line) for line in text.splitlines()] == want
    run(folder, "--sql", sql, "--output", "out.csv", "table.csv")
    assert list(csv.DictReader((folder / "out.csv").open(newline=""))) == [
        {name: str(value) for name, value in row.items()} for row in want]


def test_files_whose_columns_are_in_another_order(folder: Path) -> None:
    """Each by its own header, also for *."""
    (folder / "a.csv").write_text("x,y\n1,2\n")
    (folder / "b.csv").write_text("y,x\n20,10\n")
    assert rows_of(run(folder, "--sql", "SELECT * FROM input ORDER BY x", "a.csv", "b.csv").stdout) == [
        ["x", "y"], ["1", "2"], ["10", "20"]]


def test_a_job_with_relative_paths(folder: Path) -> None:
    (folder / "below").mkdir()
    data.write(folder / "below/more.csv", TABLE[:10])
    job = {"drover": 1, "stages": [{"kind": "transform", "sql": TOTAL_SQL}],
           "input": {"items": ["table.csv", "below/*.csv", f"file://{folder}/below/more.csv"]}}
    (folder / "job.json").write_text(json.dumps(job))
    run(folder, "--job", "job.json", "--output", "out.csv")
    want = data.answer(TOTAL_SQL, TABLE + TABLE[:10] + TABLE[:10])
    assert rows_of((folder / "out.csv").read_text())[1:] == texts(want)
    del job["input"]
    (folder / "job.json").write_text(json.dumps(job))
    (folder / "names.txt").write_text("below/more.csv\n")
    run(folder, "--job", "job.json", "--input", "names.txt", "--output", "out.csv")
    assert rows_of((folder / "out.csv").read_text())[1:] == texts(data.answer(TOTAL_SQL, TABLE[:10]))


def test_explain_runs_nothing(folder: Path) -> None:
    sql = "SELECT category, sum(amount) AS s FROM input WHERE date > '2024' GROUP BY category"
    text = run(folder, "--explain", "--sql", sql, "table.csv", "--output", "never.csv").stdout
    for line in ("stage 1: transform", "  read: date text", "  read where true: amount numeric, category text",
                 "  group by: category", "columns: category text, s decimal"):
        assert line in text.splitlines(), text
    assert "one task more brings the parts together" in text
    assert not (folder / "never.csv").exists()
    job = {"drover": 1, "stages": [{"kind": "noop", "rows": True},
                                   {"kind": "transform", "sql": "SELECT upper(item) AS item FROM input"}]}
    (folder / "job.json").write_text(json.dumps(job))
    text = run(folder, "--explain", "--job", "job.json").stdout
    assert "stage 1: noop" in text and "stage 2: transform" in text and "gather" not in text


@pytest.mark.parametrize(("words", "status", "said"), [
    (("--sql", "SELECT lowr(category) FROM input", "table.csv"), 2, 'stages[0].sql, character 8: there is no function "lowr"'),
    (("--sql", "SELECT amont FROM input", "table.csv"), 2, 'there is no column "amont" (did you mean "amount"?)'),
    (("--sql", "SELECT id FROM input"), 2, "--sql QUERY and files"),
    (("--sql", "SELECT id FROM input", "--job", "job.json"), 2, "--sql QUERY and files"),
    (("--job", "job.json", "table.csv"), 2, "--job FILE, or --sql"),
    (("--sql", "SELECT id FROM input", "table.csv", "--format", "xml"), 2, '--format: "xml"'),
    (("--sql", "SELECT id FROM input", "missing.csv"), 1, "missing.csv: No such file"),
    (("--sql", "SELECT id FROM input", "missing-*.csv"), 1, "missing-*.csv: no file is called like that"),
    (("--sql", "SELECT id FROM input", "empty.csv"), 1, "empty.csv: the file is empty"),
])
def test_mistakes(folder: Path, words: tuple[str, ...], status: int, said: str) -> None:
    (folder / "empty.csv").write_bytes(b"")
    done = run(folder, *words, status=status)
    assert said in done.stderr and done.stdout == ""


@pytest.mark.parametrize("sql", [ROWS_SQL, TOTAL_SQL])
def test_an_answer_over_a_part_is_a_failure(folder: Path, sql: str) -> None:
    """A file that goes missing after the first: exit status 1, and no answer that looks like one."""
    done = run(folder, "--sql", sql, "--output", "out.csv", "table.csv", "missing.csv", status=1)
    assert json.loads(done.stdout)["state"] == "failed"
    assert "inputs that came to nothing: 1" in done.stderr and "missing.csv" in done.stderr
    if sql == TOTAL_SQL:
        assert len(rows_of((folder / "out.csv").read_text())) == 1, "only the header"


def test_wrong_values(folder: Path) -> None:
    (folder / "bad.csv").write_text("id,amount\n1,2\n2,dear\n3,4\n")
    sql = "SELECT sum(amount) AS s FROM input"
    done = run(folder, "--sql", sql, "bad.csv", "--rejects", "rejects.ndjson")
    assert rows_of(done.stdout) == [["s"], ["6"]] and json.loads(done.stderr)["rejects"] == 1
    assert json.loads((folder / "rejects.ndjson").read_text()) == {
        "input": f"{folder}/bad.csv:3", "reason": "BAD_VALUE", "detail": 'amount: "dear"'}
    job = {"drover": 1, "stages": [{"kind": "transform", "sql": sql, "rejects_max": 0}], "input": {"items": ["bad.csv"]}}
    (folder / "job.json").write_text(json.dumps(job))
    assert "1 rejects, and rejects_max allows 0" in run(folder, "--job", "job.json", status=1).stderr
    job = {"drover": 1, "stages": [{"kind": "transform", "sql": sql, "on_error": "fail"}], "input": {"items": ["bad.csv"]}}
    (folder / "job.json").write_text(json.dumps(job))
    done = run(folder, "--job", "job.json", status=1)
    assert "bad.csv" in done.stderr and "line 3" in done.stderr


def test_other_delimiters(folder: Path) -> None:
    (folder / "german.csv").write_text("id;betrag\n1;2\n")
    (folder / "bars.csv").write_text("id|betrag\n1|2\n")
    said = run(folder, "--sql", "SELECT id FROM input", "german.csv", status=2).stderr
    assert 'there is no column "id"; the only one is "id;betrag": is the delimiter another one?' in said
    for name, delimiter in (("german.csv", ";"), ("bars.csv", "|")):
        assert run(folder, "--sql", "SELECT betrag FROM input", "--delimiter", delimiter, name).stdout == "betrag\n2\n"
    (folder / "tabs.csv").write_text("id\tbetrag\n1\t2\n")
    assert run(folder, "--sql", "SELECT betrag FROM input", "--delimiter=tab", "tabs.csv").stdout == "betrag\n2\n"


def test_the_first_reject_is_told(folder: Path) -> None:
    (folder / "sales.csv").write_text("id,amount\n1,2\n2,n/a\n3,-\n")
    stats = json.loads(run(folder, "--sql", "SELECT sum(amount) AS total FROM input", "sales.csv").stderr)
    assert stats["rejects"] == 2
    assert stats["first_reject"] == f'{folder}/sales.csv:3: BAD_VALUE: amount: "n/a"'
    assert json.loads(run(folder, "--sql", "SELECT id FROM input", "sales.csv").stderr)["first_reject"] is None


@pytest.mark.parametrize("begin, want", [(b"PK\x03\x04", "a zip archive"), (b"\xff\xfei\0d\0", "text in UTF-16")])
def test_files_of_other_formats(folder: Path, begin: bytes, want: str) -> None:
    (folder / "sales.csv").write_bytes(begin + bytes(100))
    assert f"sales.csv: this is {want}" in run(folder, "--sql", "SELECT id FROM input", "sales.csv", status=1).stderr


def test_two_results_of_one_name(folder: Path) -> None:
    said = run(folder, "--sql", "SELECT count(*), count(id) FROM input", "table.csv", status=2).stderr
    assert 'stages[0]: columns 1 and 2 of its rows are both called "count": name one otherwise (in SQL with AS)' in said


@pytest.mark.parametrize("loops", ["1", "2"])
@pytest.mark.parametrize("output", ["out.csv", "out.ndjson"])
def test_stages_take_rows_in_pieces(folder: Path, loops: str, output: str) -> None:
    """Far more rows than a piece has, through three stages: none is lost, and a reject says which row it was."""
    stages = ["SELECT id, amount FROM input",
              "SELECT id::bigint AS id, 1 / (id::bigint - 15000) AS part FROM input WHERE id::bigint % 2 = 0",
              "SELECT id, id * 2 AS twice FROM input WHERE id <> 300"]
    job = {"drover": 1, "input": {"items": ["table.csv"]},
           "stages": [{"kind": "transform", "sql": sql} for sql in stages]}
    (folder / "job.json").write_text(json.dumps(job))
    done = run(folder, "--job", "job.json", "--output", output, "--rejects", "rejects.ndjson", "--loops", loops)
    ids = [row[0] for row in TABLE]
    want = [[str(one), str(2 * one)] for one in ids if one % 2 == 0 and one not in (300, 15000)]
    if output.endswith(".csv"):
        found = rows_of((folder / output).read_text())[1:]
    else:
        found = [[str(value) for value in json.loads(line).values()] for line in (folder / output).open()]
    assert found == want if loops == "1" else sorted(found) == sorted(want)
    stats = json.loads(done.stdout)
    assert (stats["rows"], stats["rejects"]) == (len(want), 1)
    reject = json.loads((folder / "rejects.ndjson").read_text())
    assert reject["input"] == f"row {ids.index(15000) + 1}"


@pytest.mark.parametrize("more", ["", " ORDER BY id", " LIMIT 5"])
def test_csv_is_the_same_whatever_the_query_does(folder: Path, more: str) -> None:
    """The lines of COPY: what was brought together at the end looks like what was not."""
    (folder / "days.csv").write_text("id,day\n1,2026-01-05\n2,\n")
    sql = f"SELECT id, day::timestamptz AS day, id::int > 1 AS late FROM input{more}"
    done = subprocess.run([str(find_binary("drover-worker")), "run", "--sql", sql, "days.csv"], cwd=folder,
                          capture_output=True, timeout=60, check=True)
    assert done.stdout == b"id,day,late\n1,2026-01-05 00:00:00+00,f\n2,,t\n"


@pytest.mark.parametrize("text", ['[{"id": 1}, {"id": 2}]\n', '\n[\n {"id": 1},\n {"id": 2}\n]\n'])
def test_a_json_array_is_no_ndjson(folder: Path, text: str) -> None:
    """Line by line, the last object alone would be one."""
    (folder / "sales.json").write_text(text)
    done = run(folder, "--sql", "SELECT sum(id) AS s FROM input", "sales.json", status=1)
    assert "sales.json: this is one JSON array; NDJSON has an object on each line" in done.stderr
