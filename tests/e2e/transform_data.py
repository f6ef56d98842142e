"""Tables for the tests of transforms in a fleet, and what queries over them come to, by Python alone."""

from __future__ import annotations

import random
from collections import defaultdict
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

CATEGORIES = ("Books", "toys ", "Garden", " Music", 'quoted, "so"', "two\nlines", "Straße", "")
HEADER = "id,amount,date,category\n"

ROWS_SQL = ("SELECT id, round(amount * 1.21, 2) AS gross, lower(trim(category)) AS category FROM input "
            "WHERE amount > 50")
GROUP_SQL = ("SELECT category, count(*) AS n, sum(amount) AS total, min(amount) AS least, "
             "count(DISTINCT date) AS days FROM input GROUP BY category ORDER BY total DESC, category")
TOP_SQL = "SELECT id, amount::numeric AS amount FROM input ORDER BY 2 DESC, id::bigint LIMIT 7 OFFSET 2"
DISTINCT_SQL = "SELECT DISTINCT category, date FROM input ORDER BY category, date"
LIMIT_SQL = "SELECT category FROM input WHERE category = 'Books' LIMIT 5"
TOTAL_SQL = "SELECT count(*) AS n, sum(amount) AS total, avg(amount)::numeric(20,6) AS mean FROM input"

Row = tuple[int, Decimal, str, str]


def table(n: int, seed: int = 1, first: int = 0) -> list[Row]:
    """Rows as they are meant."""
    rng = random.Random(seed)
    return [(first + i, Decimal(rng.randint(-99, 99999)).scaleb(-2), f"2024-{rng.randint(1, 12):02d}-01",
             rng.choice(CATEGORIES)) for i in range(n)]


def csv_of(rows: list[Row], newline: str = "\n", header: str = HEADER) -> bytes:
    """Rows as a file has them; an empty text is quoted, so that it is none of NULL."""
    def field(text: str) -> str:
        quoted = text == "" or any(c in text for c in ',"\n\r')
        return '"' + text.replace('"', '""') + '"' if quoted else text

    lines = [f"{i},{amount},{date},{field(category)}" for i, amount, date, category in rows]
    return (header.replace("\n", newline) + "".join(line + newline for line in lines)).encode()


def write(path: Path, rows: list[Row], **how: Any) -> Path:
    path.write_bytes(csv_of(rows, **how))
    return path


def cents(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.01"), ROUND_HALF_UP)


def answer(sql: str, rows: list[Row]) -> list[tuple[Any, ...]]:
    """What the query comes to."""
    if sql == ROWS_SQL:
        return [(str(i), cents(amount * Decimal("1.21")), category.strip(" ").lower())
                for i, amount, _, category in rows if amount > 50]
    if sql == GROUP_SQL:
        groups: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            groups[row[3]].append(row)
        found = [(category, len(some), sum(row[1] for row in some), min(row[1] for row in some),
                  len({row[2] for row in some})) for category, some in groups.items()]
        return sorted(found, key=lambda group: (-group[2], group[0].encode()))
    if sql == TOP_SQL:
        return [(i, amount) for i, amount, _, _ in sorted(rows, key=lambda row: (-row[1], row[0]))[2:9]]
    if sql == DISTINCT_SQL:
        return sorted({(row[3], row[2]) for row in rows}, key=lambda pair: (pair[0].encode(), pair[1]))
    if sql == LIMIT_SQL:
        return [("Books",)] * 5
    assert sql == TOTAL_SQL, sql
    total = sum((row[1] for row in rows), Decimal(0))
    return [(len(rows), total, (total / len(rows)).quantize(Decimal("0.000001"), ROUND_HALF_UP))]


def is_sorted(sql: str) -> bool:
    """Whether the query says in which order."""
    return "ORDER BY" in sql
