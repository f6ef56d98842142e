"""The PostgreSQL sink by itself, against a real server: types, modes, the ledger, bad rows, faults."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet import ROOT, wait_until
from pg_server import PgServer
from polite_host import Relay

CLI = ROOT / "build/tests/unit/sink_cli"
UID = "00112233445566778899aabbccddeeff"
OTHER = "ffeeddccbbaa99887766554433221100"


class Sink:
    """One connection of the sink, driven through sink_cli."""

    def __init__(self, **settings: Any) -> None:
        self.process = subprocess.Popen([CLI], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.check = self.say(settings)

    def say(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"sink_cli ended with {self.process.wait()}"
        return json.loads(line)

    def write(self, *landings: dict[str, Any], timeout_ms: int = 10000) -> dict[str, Any]:
        return self.say({"write": list(landings), "timeout_ms": timeout_ms})

    def verdicts(self, *landings: dict[str, Any]) -> list[str]:
        done = self.write(*landings)
        assert done["rc"] == "OK", done
        return [one["verdict"] for one in done["landings"]]

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        assert self.process.wait(20) == 0


def landing(task: int, columns: list[list[str]], rows: list[list[Any]], table: str = "t", uid: str = UID,
            generation: int = 1, **sink: Any) -> dict[str, Any]:
    return {"uid": uid, "task": task, "generation": generation, "columns": columns, "rows": rows,
            "sink": {"kind": "postgres", "table": table, **sink}}


ID = [["id", "int64"]]


def numbers(task: int, n: int = 3, **more: Any) -> dict[str, Any]:
    return landing(task, ID, [[task * 1000 + i] for i in range(n)], **more)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PgServer]:
    with PgServer(tmp_path_factory.mktemp("pg") / "server") as one:
        yield one


@pytest.fixture
def table(server: PgServer) -> Iterator[PgServer]:
    """A server with an empty table t(id) and an empty ledger."""
    server.sql("DROP TABLE IF EXISTS t; CREATE TABLE t (id bigint); GRANT INSERT ON t TO worker;"
               "TRUNCATE drover.ledger, drover.fenced")
    yield server


@pytest.fixture
def sink(server: PgServer) -> Iterator[Sink]:
    one = Sink(kind="postgres", url=server.url(), password="rows")
    yield one
    one.close()


def ledger_agrees(server: PgServer, table: str = "t") -> int:
    rows = int(server.value(f"SELECT count(*) FROM {table}"))
    assert rows == int(server.value("SELECT coalesce(sum(nrows), 0) FROM drover.ledger"))
    return rows


# ---- types ----

@pytest.mark.parametrize("type_,cell,value,shown", [
    ("boolean", "bool", True, "t"),
    ("smallint", "int64", -32768, "-32768"),
    ("integer", "int64", 2147483647, "2147483647"),
    ("bigint", "int64", -9223372036854775808, "-9223372036854775808"),
    ("bigint", "decimal", "12.000", "12"),
    ("bigint", "text", " 77 ", "77"),
    ("real", "float64", 1.5, "1.5"),
    ("double precision", "float64", 0.1, "0.1"),
    ("double precision", "decimal", "1e300", "1e+300"),
    ("double precision", "float64", "nan", "NaN"),
    ("numeric", "int64", 10000, "10000"),
    ("numeric", "decimal", "-0.00012345678900", "-0.00012345678900"),
    ("numeric", "decimal", "123456789012345678901234567890.5", "123456789012345678901234567890.5"),
    ("numeric", "decimal", "0", "0"),
    ("numeric", "decimal", "0.000", "0.000"),
    ("numeric", "decimal", "1e5", "100000"),
    ("numeric", "decimal", "12e-3", "0.012"),
    ("numeric", "decimal", "99990000", "99990000"),
    ("numeric", "decimal", "100010001.0001", "100010001.0001"),
    ("numeric", "float64", 0.1, "0.1"),
    ("numeric", "float64", "-inf", "-Infinity"),
    ("numeric(5,2)", "decimal", "999.994", "999.99"),
    ("numeric(5,2)", "decimal", "2.345", "2.35"),
    ("text", "text", "grüße \U0001f600\n\t\"x\"", "grüße \U0001f600\n\t\"x\""),
    ("text", "int64", 5, "5"),
    ("text", "bool", False, "false"),
    ("text", "date", -1, "1969-12-31"),
    ("text", "timestamp", 1500000, "1970-01-01 00:00:01.500000+00"),
    ("varchar(3)", "text", "äöü", "äöü"),
    ("char(3)", "text", "ab", "ab "),
    ("json", "json", '{"a": [1, 2]}', '{"a": [1, 2]}'),
    ("jsonb", "json", '{"b":1,"a":[true,null]}', '{"a": [true, null], "b": 1}'),
    ("jsonb", "text", '"x"', '"x"'),
    ("date", "date", 20000, "2024-10-04"),
    ("date", "date", -2451545 + 10957, "4714-11-24 BC"),
    ("date", "text", "2024-02-29", "2024-02-29"),
    ("timestamptz", "timestamp", 1700000000123456, "2023-11-14 22:13:20.123456+00"),
    ("timestamptz", "text", "2026-01-02T03:04:05.5+01:30", "2026-01-02 01:34:05.5+00"),
    ("timestamptz", "date", 1, "1970-01-02 00:00:00+00"),
    ("timestamp", "timestamp", -1, "1969-12-31 23:59:59.999999"),
    ("uuid", "text", "{00112233-4455-6677-8899-AABBCCDDEEFF}", "00112233-4455-6677-8899-aabbccddeeff"),
    ("text[]", "json", '["a,b", "\\"q\\"", null, 5]', '{"a,b","\\"q\\"",NULL,5}'),
    ("text[]", "json", "[]", "{}"),
    ("positive", "int64", 3, "3"),
    ("mood", "text", "sad", "sad"),
])
def test_values_arrive(server: PgServer, sink: Sink, type_: str, cell: str, value: Any, shown: str) -> None:
    server.sql("DROP TABLE IF EXISTS types; TRUNCATE drover.ledger; SET client_min_messages = error;"
               "DROP DOMAIN IF EXISTS positive; CREATE DOMAIN positive AS integer CHECK (value > 0);"
               "DROP TYPE IF EXISTS mood; CREATE TYPE mood AS ENUM ('sad', 'ok');"
               f"CREATE TABLE types (v {type_}); GRANT INSERT ON types TO worker")
    sink.say({"close": True})  # the catalogue is kept for a connection
    done = sink.write(landing(1, [["v", cell]], [[value], [None]], table="types"))["landings"][0]
    assert done == {"verdict": "DONE", "written": 2, "rejects": [], "error": ""}
    got = server.sql("SET timezone = 'UTC'; SELECT v, v IS NULL FROM types ORDER BY v IS NULL")
    assert got == [[shown, "f"], ["", "t"]]


@pytest.mark.parametrize("type_,cell,value,why", [
    ("smallint", "int64", 32768, "out of range"),
    ("integer", "decimal", "1.5", "not a whole number"),
    ("bigint", "text", "12x", "not a whole number"),
    ("real", "float64", 1e300, "out of range"),
    ("double precision", "text", "0x10", "not a number"),
    ("numeric", "text", "1.2.3", "not a number"),
    ("numeric(5,2)", "decimal", "1000", "overflow"),
    ("numeric(5,2)", "decimal", "999.995", "overflow"),  # by the server: rounding makes it so
    ("text", "text", "a\0b", "NUL"),
    ("varchar(3)", "text", "abcd", "too long"),
    ("jsonb", "text", "{", "not JSON"),
    ("jsonb", "json", '"\\u0000"', "u0000"),
    ("date", "date", 2147483494, "out of range"),
    ("date", "text", "2023-02-29", "not a date"),
    ("timestamptz", "timestamp", -9223372036854775808, "out of range"),
    ("timestamptz", "text", "yesterday", "not a time"),
    ("uuid", "text", "0011", "not a uuid"),
    ("text[]", "json", '{"a": 1}', "not a JSON array"),
    ("boolean", "text", "maybe", "not true or false"),
    ("integer NOT NULL", "int64", None, "NOT NULL"),
    ("integer CHECK (v > 0)", "int64", -5, "check constraint"),
    ("mood", "text", "angry", "invalid input value for enum"),
])
def test_values_that_do_not_fit_are_rejected_alone(server: PgServer, sink: Sink, type_: str, cell: str,
                                                   value: Any, why: str) -> None:
    server.sql("DROP TABLE IF EXISTS types; TRUNCATE drover.ledger; SET client_min_messages = error;"
               "DROP TYPE IF EXISTS mood; CREATE TYPE mood AS ENUM ('sad', 'ok');"
               f"CREATE TABLE types (id bigint, v {type_}); GRANT INSERT ON types TO worker")
    sink.say({"close": True})
    good: dict[str, Any] = {"bool": True, "int64": 1, "float64": 1.5, "decimal": "1", "date": 0, "timestamp": 0,
            "json": "[]", "text": {"double precision": "1", "numeric": "1", "bigint": "1", "boolean": "t",
                                   "jsonb": "{}", "uuid": UID, "date": "2020-01-01", "mood": "ok",
                                   "timestamptz": "2020-01-01"}.get(type_, "a")}
    columns = [["id", "int64"], ["v", cell]]
    fine = [[i, good[cell]] for i in range(4)]
    done = sink.write(landing(1, columns, [*fine[:2], [99, value], *fine[2:]], table="types"),
                      landing(2, columns, fine, table="types"))
    assert done["rc"] == "OK"
    first, second = done["landings"]
    assert (first["verdict"], first["written"], second["verdict"], second["written"]) == ("DONE", 4, "DONE", 4)
    [[row, column, detail]] = first["rejects"]
    assert row == 2 and why in detail, detail
    assert ledger_agrees(server, "types") == 8
    assert server.value("SELECT count(*) FROM types WHERE id = 99") == "0"


def test_a_bad_row_fails_its_task_alone_when_the_job_says_so(server: PgServer, sink: Sink) -> None:
    server.sql("DROP TABLE IF EXISTS types; TRUNCATE drover.ledger;"
               "CREATE TABLE types (v smallint CHECK (v <> 13)); GRANT INSERT ON types TO worker")
    sink.say({"close": True})
    columns = [["v", "int64"]]
    done = sink.write(landing(1, columns, [[1], [40000]], table="types", bad_rows="fail"),
                      landing(2, columns, [[2]], table="types", bad_rows="fail"),
                      landing(3, columns, [[13]], table="types", bad_rows="fail"))["landings"]
    assert [one["verdict"] for one in done] == ["FAILED", "DONE", "FAILED"]
    assert "row 2" in done[0]["error"] and "out of range" in done[0]["error"]
    assert "check constraint" in done[2]["error"]
    assert ledger_agrees(server, "types") == 1


def test_too_many_bad_rows_fail_the_task(server: PgServer, sink: Sink) -> None:
    server.sql("DROP TABLE IF EXISTS types; TRUNCATE drover.ledger;"
               "CREATE TABLE types (v smallint); GRANT INSERT ON types TO worker")
    sink.say({"close": True})
    done = sink.write(landing(1, [["v", "int64"]], [[40000]] * 1001, table="types"))["landings"][0]
    assert done["verdict"] == "FAILED" and "more than 1000 rows" in done["error"]
    assert ledger_agrees(server, "types") == 0


# ---- once ----

def test_a_task_lands_once(table: PgServer, sink: Sink) -> None:
    assert sink.verdicts(numbers(1), numbers(2), numbers(1, uid=OTHER)) == ["DONE"] * 3
    assert sink.verdicts(numbers(2), numbers(3), numbers(1)) == ["DUPLICATE", "DONE", "DUPLICATE"]
    assert sink.verdicts(numbers(4, n=0)) == ["DONE"]
    assert ledger_agrees(table) == 12


def test_a_task_has_several_sinks_in_one_database(table: PgServer, sink: Sink) -> None:
    both = [{**numbers(1), "index": 0}, {**numbers(1), "index": 1}]
    assert sink.verdicts(*both) == ["DONE", "DONE"]
    assert sink.verdicts(*both, {**numbers(1), "index": 2}) == ["DUPLICATE", "DUPLICATE", "DONE"]
    assert ledger_agrees(table) == 9


def test_batches_of_many_tables_and_shapes_are_one_transaction(table: PgServer, sink: Sink) -> None:
    table.sql("DROP TABLE IF EXISTS \"Other\"; CREATE TABLE \"Other\" (id bigint, name text DEFAULT 'none',"
              "drover_job uuid, drover_task bigint); GRANT INSERT ON \"Other\" TO worker")
    done = sink.verdicts(numbers(1), landing(2, [["name", "text"]], [["x"]], table="Other"),
                         landing(3, ID, [[7]], table="public.Other"), numbers(4))
    assert done == ["DONE"] * 4
    assert table.sql('SELECT id, name, drover_job, drover_task FROM "Other" ORDER BY drover_task') == [
        ["", "x", "00112233-4455-6677-8899-aabbccddeeff", "2"],
        ["7", "none", "00112233-4455-6677-8899-aabbccddeeff", "3"]]
    assert len({row[0] for row in table.sql("SELECT landed FROM drover.ledger")}) == 1


def test_two_writers_of_one_task(table: PgServer, sink: Sink) -> None:
    """A zombie and its successor at the same time: one wins, the other finds out."""
    zombie = Sink(kind="postgres", url=table.url(), password="rows")
    for round_ in range(20):
        tasks = [numbers(round_ * 100 + i, n=20) for i in range(10)]
        verdicts: list[list[str]] = []
        threads = [threading.Thread(target=lambda one=one: verdicts.append(one.verdicts(*tasks)))
                   for one in (sink, zombie)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(a + b for a, b in zip(*verdicts)) == ["DONEDUPLICATE"] * 10 or \
            sorted("".join(sorted(pair)) for pair in zip(*verdicts)) == ["DONEDUPLICATE"] * 10
    assert ledger_agrees(table) == 20 * 10 * 20
    zombie.close()


class CommitCutter(Relay):
    """Cuts the connection as soon as a COMMIT has passed: the server commits and nobody hears of it."""

    armed = True

    async def _carry(self, reader: Any, writer: Any, pair: Any) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
            if writer is pair[1] and b"COMMIT" in data and self.armed:
                self.armed = False
                pair[0].transport.abort()
                writer.close()
                return
        writer.close()


def test_a_connection_lost_at_commit(table: PgServer) -> None:
    relay = CommitCutter(f"tcp://127.0.0.1:{table.port}")
    port = relay.url.rsplit(":", 1)[1]
    sink = Sink(kind="postgres", url=f"postgresql://worker@127.0.0.1:{port}/postgres", password="rows")
    lost = sink.write(numbers(1), numbers(2))
    assert lost["rc"] == "UNAVAILABLE"
    assert {one["verdict"] for one in lost["landings"]} == {"UNDECIDED"}
    wait_until(lambda: table.value("SELECT count(*) FROM drover.ledger") == "2", "the commit")
    assert sink.verdicts(numbers(1), numbers(2), numbers(3)) == ["DUPLICATE", "DUPLICATE", "DONE"]
    assert ledger_agrees(table) == 9
    sink.close()
    relay.close()


def test_a_server_that_dies_in_the_middle(table: PgServer, sink: Sink) -> None:
    assert sink.verdicts(numbers(1)) == ["DONE"]
    table.restart("immediate")
    lost = sink.write(numbers(1), numbers(2))
    assert lost["rc"] == "UNAVAILABLE" and lost["error"]
    assert sink.verdicts(numbers(1), numbers(2)) == ["DUPLICATE", "DONE"]
    assert ledger_agrees(table) == 6


@pytest.mark.parametrize("bad_rows", ["reject", "fail"])
def test_a_task_lands_once_in_a_table_with_a_key_of_its_own(table: PgServer, sink: Sink, bad_rows: str) -> None:
    """Rows that are there break the table's key long before the ledger is asked: they are no bad rows."""
    table.sql("ALTER TABLE t ADD PRIMARY KEY (id)")
    assert sink.verdicts(numbers(1, bad_rows=bad_rows)) == ["DONE"]
    done = sink.write(numbers(1, bad_rows=bad_rows), numbers(2, bad_rows=bad_rows))
    assert [one["verdict"] for one in done["landings"]] == ["DUPLICATE", "DONE"], done
    assert not done["landings"][0]["rejects"]
    other = sink.write(numbers(3, bad_rows=bad_rows), landing(4, ID, [[1000], [4000]], bad_rows=bad_rows))
    verdict = other["landings"][1]
    assert verdict["verdict"] == ("DONE" if bad_rows == "reject" else "FAILED"), other
    assert ledger_agrees(table) == (10 if bad_rows == "reject" else 9)


def test_a_fenced_job_with_a_bad_row(table: PgServer, sink: Sink) -> None:
    table.sql("ALTER TABLE t ADD CHECK (id <> 1001)")
    table.sql(f"SELECT drover.fence('{UID}', 1)")
    assert sink.verdicts(numbers(1)) == ["FENCED"]
    assert ledger_agrees(table) == 0


def test_a_fence_is_seen_whatever_the_role_prefers(table: PgServer) -> None:
    """With a snapshot of its beginning the batch would not see a fence that came meanwhile."""
    table.sql("CREATE OR REPLACE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
              " PERFORM pg_advisory_xact_lock_shared(4711); RETURN NEW; END $$;"
              "CREATE TRIGGER gate BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION gate();"
              "ALTER ROLE worker SET default_transaction_isolation = 'repeatable read'")
    sink = Sink(kind="postgres", url=table.url(), password="rows")
    holder = subprocess.Popen(["psql", "-Xqd", table.socket_url()], stdin=subprocess.PIPE, text=True)
    try:
        assert holder.stdin
        holder.stdin.write("SELECT pg_advisory_lock(4711) \\g /dev/null\n")
        holder.stdin.flush()
        held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND granted = {}"
        wait_until(lambda: table.value(held.format("true")) == "1", "the gate")
        verdicts: list[str] = []
        writer = threading.Thread(target=lambda: verdicts.extend(sink.verdicts(numbers(1))))
        writer.start()
        wait_until(lambda: table.value(held.format("false")) == "1", "a batch at the gate")
        table.sql(f"SELECT drover.fence('{UID}', 1)")
        holder.stdin.close()
        writer.join(20)
        assert verdicts == ["FENCED"] and ledger_agrees(table) == 0
    finally:
        holder.kill()
        holder.wait()
        table.sql("ALTER ROLE worker RESET default_transaction_isolation")
        sink.close()


def test_the_workers_role_runs_nothing_as_the_owner(table: PgServer) -> None:
    """A type of the caller's in pg_temp is not taken for PostgreSQL's."""
    for type_ in ("text", "uuid"):
        done = subprocess.run(["psql", "-XqAt", "-d", table.socket_url("worker"), "-f", "-"], text=True,
                              capture_output=True, check=False, input=f"""
            CREATE FUNCTION pg_temp.who(v pg_catalog.{type_}) RETURNS bool LANGUAGE plpgsql AS
                $$ BEGIN RAISE WARNING 'runs as %', current_user; RETURN true; END $$;
            CREATE DOMAIN pg_temp.{type_} AS pg_catalog.{type_} CHECK (pg_temp.who(VALUE));
            SELECT drover.commit_tasks('{{{UID}}}', '{{1}}', '{{7}}', '{{0}}', '{{0}}');
            SELECT drover.landed('{{{UID}}}', '{{7}}', '{{0}}');
            SELECT drover.fence('{OTHER}', 1);""")
        assert done.returncode == 0, done.stderr
        assert "runs as postgres" not in done.stderr
        table.sql("TRUNCATE drover.ledger")


def test_done_is_durable_whatever_the_role_prefers(table: PgServer) -> None:
    table.sql("ALTER TABLE t ADD how text DEFAULT current_setting('synchronous_commit');"
              "ALTER ROLE worker SET synchronous_commit = off")
    try:
        sink = Sink(kind="postgres", url=table.url(), password="rows")
        assert sink.verdicts(numbers(1, n=1)) == ["DONE"]
        sink.close()
        assert table.value("SELECT how FROM t") == "on"
    finally:
        table.sql("ALTER ROLE worker RESET synchronous_commit")


@pytest.mark.parametrize("how", [
    "CREATE OR REPLACE FUNCTION picky() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " IF NEW.text LIKE 'xx%' THEN RAISE EXCEPTION 'not x'; END IF; RETURN NEW; END $$;"
    "CREATE TRIGGER picky BEFORE INSERT ON picky FOR EACH ROW EXECUTE FUNCTION picky()",
    "CREATE INDEX ON picky (text); ALTER TABLE picky ALTER text SET STORAGE PLAIN"])
def test_rows_that_a_trigger_or_an_index_refuses(table: PgServer, sink: Sink, how: str) -> None:
    table.sql(f"DROP TABLE IF EXISTS picky; CREATE TABLE picky (text text); GRANT INSERT ON picky TO worker; {how}")
    done = sink.write(landing(1, [["text", "text"]], [["a"], ["x" * 3000], ["b"]], table="picky"))["landings"][0]
    assert done["verdict"] == "DONE" and [row for row, _, _ in done["rejects"]] == [1], done
    assert ledger_agrees(table, "picky") == 2


def test_a_fenced_job_lands_nothing_more(table: PgServer, sink: Sink) -> None:
    assert sink.verdicts(numbers(1)) == ["DONE"]
    end = {"job_end": {"sink": {"kind": "postgres", "table": "t"}, "uid": UID, "generation": 1, "fenced": True,
                       "state": "cancelled"}}
    assert sink.say(end)["rc"] == "OK"
    assert sink.say(end)["rc"] == "OK", "again is no matter"
    assert sink.verdicts(numbers(2), numbers(2, uid=OTHER), numbers(3)) == ["FENCED", "DONE", "FENCED"]
    assert sink.verdicts(numbers(4, generation=2)) == ["DONE"]
    assert ledger_agrees(table) == 9


def test_a_fence_waits_for_what_is_under_way(table: PgServer, sink: Sink) -> None:
    """Once it has returned, nothing that began before can come after it."""
    holder = subprocess.Popen(
        ["psql", "-Xq", "-h", table.folder, "-p", str(table.port), "-U", "postgres", "-c",
         f"BEGIN; SELECT drover.commit_tasks('{{{UID}}}', '{{1}}', '{{1}}', '{{0}}', '{{0}}'); SELECT pg_sleep(1); COMMIT"],
        stdout=subprocess.DEVNULL)
    wait_until(lambda: table.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == "1", "the lock")
    table.sql(f"SELECT drover.fence('{UID}', 1)")
    assert table.value("SELECT count(*) FROM drover.ledger") == "1"
    assert holder.wait(20) == 0


# ---- modes ----

def test_upsert_keeps_the_last_row_of_each_key(server: PgServer, sink: Sink) -> None:
    server.sql("DROP TABLE IF EXISTS prices; CREATE TABLE prices (sku text PRIMARY KEY, price numeric, n int DEFAULT 7,"
               "drover_task bigint); GRANT SELECT, INSERT, UPDATE ON prices TO worker; TRUNCATE drover.ledger, drover.fenced")
    columns = [["sku", "text"], ["price", "decimal"]]
    how = {"table": "prices", "mode": "upsert", "key": ["sku"]}
    assert sink.verdicts(landing(1, columns, [["a", "1"], ["b", "2"], ["a", "3"]], **how)) == ["DONE"]
    assert sink.verdicts(landing(2, columns, [["b", "20"], ["c", None]], **how),
                         landing(3, columns, [["c", "5"]], **how)) == ["DONE", "DONE"]
    assert sink.verdicts(landing(1, columns, [["a", "1"]], **how)) == ["DUPLICATE"]
    assert server.sql("SELECT sku, price, n, drover_task FROM prices ORDER BY 1") == [
        ["a", "3", "7", "1"], ["b", "20", "7", "2"], ["c", "5", "7", "3"]]


def test_merge_adds_up_over_tasks(server: PgServer, sink: Sink) -> None:
    server.sql("DROP TABLE IF EXISTS totals; CREATE TABLE totals (day date PRIMARY KEY, n bigint, amount numeric,"
               "low numeric, high numeric); GRANT SELECT, INSERT, UPDATE ON totals TO worker; TRUNCATE drover.ledger, drover.fenced")
    columns = [["day", "date"], ["n", "int64"], ["amount", "decimal"], ["low", "decimal"], ["high", "decimal"]]
    how = {"table": "totals", "mode": "merge", "key": ["day"],
           "merge": {"n": "count", "amount": "sum", "low": "min", "high": "max"}}
    day = [[0, 2, "1.10", "0.5", "0.6"], [1, 1, "5", "5", "5"], [0, 1, None, "0.4", None]]
    assert sink.verdicts(landing(1, columns, day, **how), landing(2, columns, day, **how)) == ["DONE", "DONE"]
    assert sink.verdicts(landing(3, columns, [[0, 4, "0.30", None, "9"]], **how)) == ["DONE"]
    assert sink.verdicts(landing(2, columns, day, **how)) == ["DUPLICATE"]
    assert server.sql("SELECT * FROM totals ORDER BY 1") == [
        ["1970-01-01", "10", "2.50", "0.4", "9"], ["1970-01-02", "2", "10", "5", "5"]]


def test_bad_rows_of_upserts_are_rejected_alone(server: PgServer, sink: Sink) -> None:
    server.sql("DROP TABLE IF EXISTS prices; CREATE TABLE prices (sku text PRIMARY KEY, price numeric CHECK (price > 0));"
               "GRANT SELECT, INSERT, UPDATE ON prices TO worker; TRUNCATE drover.ledger, drover.fenced")
    sink.say({"close": True})
    columns = [["sku", "text"], ["price", "decimal"]]
    how = {"table": "prices", "mode": "upsert", "key": ["sku"]}
    rows = [[f"s{i}", str(i - 3)] for i in range(9)]
    done = sink.write(landing(1, columns, rows, **how))["landings"][0]
    assert done["verdict"] == "DONE" and [row for row, _, _ in done["rejects"]] == [0, 1, 2, 3]
    assert server.value("SELECT count(*), sum(price) FROM prices") == "5"


def test_upserts_of_the_same_keys_side_by_side(server: PgServer, sink: Sink) -> None:
    server.sql("DROP TABLE IF EXISTS totals; CREATE TABLE totals (k bigint PRIMARY KEY, n bigint);"
               "GRANT SELECT, INSERT, UPDATE ON totals TO worker; TRUNCATE drover.ledger, drover.fenced")
    other = Sink(kind="postgres", url=server.url(), password="rows")
    columns = [["k", "int64"], ["n", "int64"]]
    how = {"table": "totals", "mode": "merge", "key": "k", "merge": {"n": "sum"}}

    def work(one: Sink, base: int) -> None:
        for task in range(30):
            keys = list(range(50)) if base else list(reversed(range(50)))
            assert one.verdicts(landing(base + task, columns, [[k, 1] for k in keys], **how)) == ["DONE"]

    threads = [threading.Thread(target=work, args=args) for args in ((sink, 0), (other, 1000))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.sql("SELECT DISTINCT n FROM totals") == [["60"]]
    other.close()


# ---- what is wrong is told ----

@pytest.mark.parametrize("columns,sink_,words", [
    ([["id", "int64"]], {"table": "nowhere"}, 'no table "nowhere"'),
    ([["idd", "int64"]], {}, 'no column "idd" (did you mean "id"?)'),
    ([["id", "date"]], {}, 'column "id" is date in the rows, which does not go into bigint'),
    ([["id", "int64"]], {"table": "strict"}, 'column "must" of "strict" is NOT NULL'),
    ([["id", "int64"], ["must", "int64"]], {"table": "secret"}, "may not insert into"),
    ([["id", "int64"]], {"mode": "upsert", "key": "id"}, "no unique index"),
    ([["gen", "int64"]], {"table": "strict"}, "generated"),
])
def test_what_does_not_fit_is_told_at_submit(table: PgServer, sink: Sink, columns: Any, sink_: Any,
                                             words: str) -> None:
    table.sql("DROP TABLE IF EXISTS strict, secret; CREATE TABLE strict (id bigint, must bigint NOT NULL,"
              "fine bigint NOT NULL DEFAULT 1, gen bigint GENERATED ALWAYS AS (id + 1) STORED);"
              "CREATE TABLE secret (id bigint, must bigint); GRANT INSERT ON strict TO worker")
    answer = sink.say({"fits": {"sink": {"kind": "postgres", "table": "t", **sink_}, "columns": columns}})
    assert answer["rc"] == "INVALID_SPEC" and words in answer["error"], answer


def test_what_fits(table: PgServer, sink: Sink) -> None:
    table.sql("DROP TABLE IF EXISTS keyed; CREATE TABLE keyed (b text, a bigint, v numeric, UNIQUE (a, b));"
              "GRANT SELECT, INSERT, UPDATE ON keyed TO worker")
    for one in ({"sink": {"kind": "postgres", "table": "t"}, "columns": ID},
                {"sink": {"kind": "postgres", "table": "keyed", "mode": "upsert", "key": ["b", "a"]},
                 "columns": [["a", "int64"], ["b", "text"], ["v", "float64"]]}):
        assert sink.say({"fits": one}) == {"rc": "OK", "error": ""}


def test_a_database_without_the_schema(table: PgServer) -> None:
    table.sql("DROP DATABASE IF EXISTS bare", "postgres")
    table.sql("CREATE DATABASE bare", "postgres")
    sink = Sink(kind="postgres", url=table.url(database="bare"), password="rows")
    answer = sink.say({"fits": {"sink": {"kind": "postgres", "table": "t"}, "columns": ID}})
    assert answer["rc"] == "INVALID_SPEC" and "drover sink init" in answer["error"]
    sink.close()


def test_a_table_that_changes_under_the_sink(table: PgServer, sink: Sink) -> None:
    assert sink.verdicts(numbers(1)) == ["DONE"]
    table.sql("ALTER TABLE t ALTER id TYPE text")
    assert sink.verdicts(numbers(2)) == ["DONE"]
    assert ledger_agrees(table) == 6
    table.sql("ALTER TABLE t ALTER id TYPE bigint USING id::bigint")
    assert sink.verdicts(numbers(4, bad_rows="fail")) == ["DONE"]
    assert ledger_agrees(table) == 9
    table.sql("ALTER TABLE t RENAME id TO other")
    done = sink.write(numbers(3))["landings"][0]
    assert done["verdict"] == "FAILED" and 'no column "id"' in done["error"]
    table.sql("DROP TABLE t")
    done = sink.write(numbers(3))["landings"][0]
    assert done["verdict"] == "FAILED" and "no table" in done["error"]


def test_a_type_of_the_same_width_is_noticed(table: PgServer, sink: Sink) -> None:
    """The bytes of a bigint are a time too: COPY takes them."""
    assert sink.verdicts(numbers(1)) == ["DONE"]
    table.sql("ALTER TABLE t ALTER id TYPE timestamptz USING 'epoch'")
    done = sink.write(numbers(2))["landings"][0]
    assert done["verdict"] == "FAILED" and "timestamp with time zone" in done["error"], done
    assert table.value("SELECT count(*) FROM t") == "3"
    table.sql("ALTER TABLE t RENAME TO old; CREATE TABLE t (id bigint); GRANT INSERT ON t TO worker")
    assert sink.verdicts(numbers(2)) == ["DONE"]
    table.sql("DROP TABLE old")


def test_which_unique_indexes_are_keys(server: PgServer, sink: Sink) -> None:
    target = {"kind": "postgres", "table": "keyed", "mode": "upsert", "key": ["id"]}
    for index, rc in (("CREATE UNIQUE INDEX ON keyed (id) INCLUDE (v)", "OK"),
                      ("ALTER TABLE keyed ADD UNIQUE (id) DEFERRABLE", "INVALID_SPEC"),
                      ("CREATE UNIQUE INDEX ON keyed (id, v)", "INVALID_SPEC"),
                      ("CREATE UNIQUE INDEX ON keyed (id) WHERE v > 0", "INVALID_SPEC")):
        server.sql("DROP TABLE IF EXISTS keyed; CREATE TABLE keyed (id bigint, v bigint);"
                   f"GRANT SELECT, INSERT, UPDATE ON keyed TO worker; {index}")
        assert sink.say({"fits": {"sink": target, "columns": [["id", "int64"], ["v", "int64"]]}})["rc"] == rc, index


def test_a_password_in_a_broken_url_is_not_told() -> None:
    sink = Sink(kind="postgres", url="postgresql://worker:sec%zzret@127.0.0.1/postgres")
    assert sink.check["rc"] == "INVALID_ARGUMENT" and "sec" not in sink.check["error"]
    sink.close()


def test_a_url_with_a_password_is_refused(server: PgServer) -> None:
    sink = Sink(kind="postgres", url="postgresql://worker:rows@127.0.0.1/postgres")
    assert sink.check["rc"] == "INVALID_ARGUMENT" and "password_file" in sink.check["error"]
    sink.close()
    sink = Sink(kind="postgres", url="postgresql://worker@[::1/postgres")
    assert sink.check["rc"] == "INVALID_ARGUMENT"
    sink.close()


# ---- the server is at fault ----

def test_a_database_that_lost_its_schema(table: PgServer) -> None:
    """Its administrator's matter: no task fails by it."""
    table.sql("DROP DATABASE IF EXISTS bare", "postgres")
    table.sql("CREATE DATABASE bare", "postgres")
    table.sql("CREATE TABLE t (id bigint); GRANT INSERT ON t TO worker", "bare")
    sink = Sink(kind="postgres", url=table.url(database="bare"), password="rows")
    answer = sink.write(numbers(1))
    assert answer["rc"] == "UNAVAILABLE" and "drover sink init" in answer["error"], answer
    sink.close()


def test_authorities_that_are_configured_are_asked(table: PgServer) -> None:
    """Without sslmode in the URL too: rows never go in the clear where TLS was meant."""
    sink = Sink(kind="postgres", url=table.url(), password="rows", ca_pem="-----BEGIN CERTIFICATE-----\n")
    answer = sink.write(numbers(1))
    assert answer["rc"] == "UNAVAILABLE" and ("SSL" in answer["error"] or "certificate" in answer["error"]), answer
    sink.close()


def test_a_wrong_password(table: PgServer) -> None:
    sink = Sink(kind="postgres", url=table.url(), password="wrong")
    answer = sink.write(numbers(1))
    assert answer["rc"] == "UNAVAILABLE" and "password authentication failed" in answer["error"]
    sink.close()


def test_a_read_only_server(table: PgServer, sink: Sink) -> None:
    assert sink.verdicts(numbers(1)) == ["DONE"]
    table.sql("ALTER SYSTEM SET default_transaction_read_only = on; SELECT pg_reload_conf()")
    try:
        wait_until(lambda: sink.write(numbers(2))["rc"] == "UNAVAILABLE" or
                   table.sql("DELETE FROM drover.ledger WHERE task = 2") == "", "a refusal")
    finally:
        table.sql("SET default_transaction_read_only = off; ALTER SYSTEM RESET default_transaction_read_only;"
                  "SELECT pg_reload_conf()")


def test_a_server_that_hangs(table: PgServer, sink: Sink) -> None:
    assert sink.verdicts(numbers(1)) == ["DONE"]
    table.signal_all(signal.SIGSTOP)
    try:
        answer = sink.write(numbers(2), timeout_ms=500)
        assert answer["rc"] == "UNAVAILABLE" and "in time" in answer["error"]
    finally:
        table.signal_all(signal.SIGCONT)
    assert set(sink.verdicts(numbers(1), numbers(2))) <= {"DONE", "DUPLICATE"}
    assert ledger_agrees(table) == 6


def test_a_full_disk_of_the_server(table: PgServer, sink: Sink) -> None:
    """The table is on a small disk of its own; when there is room again the same rows land."""
    disk = table.folder / "small"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        (disk / "space").mkdir()
        table.own_folder("small/space")
        table.sql(f"CREATE TABLESPACE small LOCATION '{disk}/space'")
        table.sql("CREATE TABLE filled (id bigint, text text) TABLESPACE small; GRANT INSERT ON filled TO worker;"
                  "ALTER TABLE filled ALTER text SET STORAGE PLAIN")
        columns = [["id", "int64"], ["text", "text"]]
        rows = [[i, "x" * 1000] for i in range(4000)]
        answer = sink.write(landing(1, columns, rows[:10], table="filled"), landing(2, columns, rows, table="filled"))
        assert answer["rc"] == "UNAVAILABLE" and "No space left on device" in answer["error"], answer
        assert {one["verdict"] for one in answer["landings"]} == {"UNDECIDED"}
        subprocess.run(["mount", "-o", "remount,size=16m", disk], check=True)
        assert sink.verdicts(landing(1, columns, rows[:10], table="filled")) == ["DONE"]
        assert table.value("SELECT count(*) FROM filled") == "10"
    finally:
        table.sql("DROP TABLE IF EXISTS filled")
        table.sql("CHECKPOINT")
        table.sql("DROP TABLESPACE IF EXISTS small")
        subprocess.run(["umount", "-l", disk], check=True)


def test_failover_to_another_host(table: PgServer) -> None:
    url = f"postgresql://worker@127.0.0.1:1,127.0.0.1:{table.port}/postgres"
    sink = Sink(kind="postgres", url=url, password="rows")
    assert sink.verdicts(numbers(1)) == ["DONE"]
    sink.close()


def openssl(*words: object, folder: Path) -> None:
    subprocess.run(["openssl", *map(str, words)], cwd=folder, check=True, capture_output=True)


def test_tls_is_verified(tmp_path: Path) -> None:
    """sslmode=verify-full with a private authority; another authority, and another name, are refused."""
    with PgServer(tmp_path / "pg", start=False) as server:
        folder = server.folder  # that the user postgres may read
        for name in ("ca", "other"):
            openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout",
                    f"{name}.key", "-out", f"{name}.pem", folder=folder)
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-addext",
                "subjectAltName=DNS:localhost", "-keyout", "server.key", "-out", "server.csr", folder=folder)
        openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days",
                "2", "-copy_extensions", "copy", "-out", "server.pem", folder=folder)
        server.own("server.key", "server.pem")
        server.options.update(ssl="on", ssl_cert_file=folder / "server.pem", ssl_key_file=folder / "server.key")
        server.start()
        server.create_schema()
        server.sql("CREATE TABLE t (id bigint); GRANT INSERT ON t TO worker")

        def write(host: str, authority: str) -> dict[str, Any]:
            sink = Sink(kind="postgres", password="rows", ca_pem=(folder / authority).read_text(),
                        url=f"postgresql://worker@{host}:{server.port}/postgres?sslmode=verify-full")
            answer = sink.write(numbers(1))
            sink.close()
            return answer

        assert write("localhost", "ca.pem")["landings"][0]["verdict"] == "DONE"
        assert server.value("SELECT count(*) FROM drover.ledger") == "1"
        assert "certificate verify failed" in write("localhost", "other.pem")["error"]
        assert "does not match" in write("127.0.0.1", "ca.pem")["error"]
