"""What the transform engine reads and writes beside CSV: NDJSON against Python's json, and binary COPY
against PostgreSQL, which loads it beside the same rows as CSV.

Rows are drawn from a seed (DROVER_SEED).
"""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pg_server import PgServer
from test_transform_oracle import CLI, COLUMNS, SEED, VALUES, read_csv, table


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PgServer]:
    with PgServer(tmp_path_factory.mktemp("inputs"), schema=False, fsync="off", full_page_writes="off") as server:
        yield server


def transform(path: Path, sql: str, *args: str, **options: object) -> bytes:
    stage = {"kind": "transform", "sql": sql, **options}
    done = subprocess.run([str(CLI), "--stage", json.dumps(stage), *args, str(path)], capture_output=True, timeout=60,
                          check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


# ---- NDJSON ----

Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]

KEYS = ["a", "b", "key", "a longer key, of more than thirty bytes", "é", 'qu"ote', "back\\slash"]


def value(rng: random.Random, depth: int) -> Value:
    kind = rng.randrange(8 if depth > 0 else 6)
    if kind < 2:
        return rng.choice(VALUES["text"] + ["\x00x"[1:], "\u2028", "a" * 300, "\x7f", "\x01\x1f\b\f"])
    if kind == 2:
        return rng.choice([0, -1, 10**18, 2**63, -(10**30)])
    if kind == 3:
        return rng.choice([0.5, -1e300, 1e-7, 3.0])
    if kind < 6:
        return rng.choice([None, True, False])
    if kind == 6:
        return [value(rng, depth - 1) for _ in range(rng.randrange(4))]
    return {key: value(rng, depth - 1) for key in rng.sample(KEYS, rng.randrange(4))}


def line(rng: random.Random) -> str:
    """An object, in one of the ways to write it."""
    made = {key: value(rng, 3) for key in rng.sample(KEYS, rng.randrange(len(KEYS) + 1))}
    separators = rng.choice([(",", ":"), (", ", ": "), (" ,\t", "  : ")])
    return json.dumps(made, ensure_ascii=rng.random() < 0.5, separators=separators)


def text_of(found: Value, source: str) -> str | None:
    """What the column shows: texts as they are, numbers as they are written; others are told by their value."""
    if found is None or isinstance(found, str):
        return found
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, (int, float)):
        return json.dumps(found)
    raise AssertionError(source)


def test_ndjson(tmp_path: Path) -> None:
    path = tmp_path / "input.ndjson"
    for number in range(10):
        seed = SEED * 1000 + number
        print(f"seed {seed} (DROVER_SEED)")
        rng = random.Random(seed)
        lines = [line(rng) for _ in range(3000)]
        path.write_text(rng.choice(["\n", "\r\n"]).join(lines), newline="")
        names = ", ".join('"' + key.replace('"', '""') + '"' for key in KEYS)
        args = rng.choice([[], ["--parts", str(rng.randint(2, 30))]])
        rows = read_csv(transform(path, f"SELECT {names}, deep FROM input", *args,
                                  ndjson={"columns": {"deep": '$.a["é"][1].key'}}).decode())[1:]
        assert len(rows) == len(lines)
        for row, source in zip(rows, lines):
            wanted = json.loads(source)
            for shown, key in zip(row, KEYS):
                want = wanted.get(key)
                if isinstance(want, (list, dict)):
                    assert shown is not None and json.loads(shown) == want and shown in source
                else:
                    assert shown == text_of(want, source), (key, source)
            try:
                deep = wanted["a"]["é"][1]["key"]
            except (KeyError, IndexError, TypeError):
                deep = None
            assert (row[-1] is None) == (deep is None), source


# ---- binary COPY ----

def test_copy(postgres: PgServer, tmp_path: Path) -> None:
    """The table that COPY BINARY makes is the one that COPY ... CSV makes of the same results."""
    sql = "SELECT id, i, j, k, n, m, f, b, s, t, n * m AS nm, round(n, 3) AS r, m / 7 AS q, i > 0 AS p, s || t AS st, n / 1e20 AS z FROM input"
    types = ["integer"] * 3 + ["bigint", "numeric", "numeric", "double precision", "boolean", "text", "text", "numeric",
                               "numeric", "numeric", "boolean", "text", "numeric"]
    for number in range(8):
        seed = SEED * 1000 + 300 + number
        print(f"seed {seed} (DROVER_SEED)")
        source = tmp_path / "input.csv"
        source.write_text(table(random.Random(seed)), newline="")
        for name, form in (("copy", "binary"), ("csv", "csv, header")):
            out = tmp_path / f"out.{name}"
            out.write_bytes(transform(source, sql, "--format", name, columns=COLUMNS))
            columns = ", ".join(f"c{k} {kind}" for k, kind in enumerate(types))
            postgres.psql(f"DROP TABLE IF EXISTS from_{name}; CREATE TABLE from_{name} ({columns});\n"
                          f"\\copy from_{name} FROM '{out}' (FORMAT {form})\n")
        # As rows of texts: 1.50 and 1.5 are equal numbers.
        shown = "SELECT t::text FROM {} t ORDER BY c0"
        ours, theirs = (postgres.psql(shown.format(f"from_{name}")) for name in ("copy", "csv"))
        assert len(ours) >= 50 and ours == theirs


def test_copy_of_nothing(postgres: PgServer, tmp_path: Path) -> None:
    source, out = tmp_path / "input.csv", tmp_path / "out.copy"
    source.write_text("a\n")
    out.write_bytes(transform(source, "SELECT a FROM input", "--format", "copy"))
    postgres.psql(f"CREATE TABLE nothing (a text);\n\\copy nothing FROM '{out}' (FORMAT binary)\n")
    assert postgres.psql("SELECT count(*) FROM nothing") == ["0"]
