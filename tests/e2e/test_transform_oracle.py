"""PostgreSQL is the oracle of the transform engine.

Tables with NULLs, extremes, Unicode, quotes and newlines, and queries from the grammar that the engine
supports, are made from a seed (DROVER_SEED; DROVER_CASES says how many expressions). The engine reads
the table as CSV, PostgreSQL has it by COPY from the same file, and the rows must be the same. A row in
which PostgreSQL raises an error must be a reject here.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pg_server import PgServer

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("DROVER_BUILD", ROOT / "build"))
CLI = BUILD / "tests" / "unit" / "transform_cli"
SEED = int(os.environ.get("DROVER_SEED", "1"))
CASES = int(os.environ.get("DROVER_CASES", "3000"))
PER_QUERY = 8  # expressions in a SELECT list
ROWS = 60

Row = list[str | None]

COLUMNS = {"id": "integer", "i": "integer", "j": "integer", "k": "bigint", "n": "numeric", "m": "numeric",
           "f": "double precision", "b": "boolean", "s": "text", "t": "text", "w": "text",
           "d": "date", "e": "date", "u": "timestamp", "z": "timestamptz", "v": "interval", "x": "text", "y": "text", "o": "json", "p": "text"}

VALUES: dict[str, list[str]] = {
    "integer": ["0", "1", "-1", "2", "3", "7", "10", "-13", "100", "2147483647", "-2147483648", "65536"],
    "bigint": ["0", "1", "-1", "5", "9223372036854775807", "-9223372036854775808", "4294967296",
               "-5000000000", "1000000007"],
    "numeric": ["0", "0.00", "1", "-1", "1.5", "-2.5", "0.5", "-0.5", "10.005", "99999.995", "3.14159", "-7.25",
                "123456789012345678901234567890.123456789", "0.000000000000000001", "1e20", ".5", "5.",
                "-0.00", "9223372036854775807", "9223372036854775808.5", "-12345678.9", "2.50", "1e-10",
                "0.045", "1234567890.12", "-99999999999999999999.9", "1000000", "0.1", "12.345"],
    "double precision": ["0", "1", "-1", "0.1", "1e15", "1e-5", "123456.789", "-2.5", "1e300", "-1e-300",
                         "NaN", "Infinity", "-Infinity", "3", "0.5", "1e14", "33.333333333333336"],
    "boolean": ["t", "f", "true", "false", "yes", "no", "on", "off", "1", "0"],
    "text": ["", "a", "b", "A", "abc", "ABC", "  x  ", "Hello World", "àÉîõü", "ß", "日本語テキスト", "a,b", 'q"q',
             "two\nlines", "crlf\r\nline", "tab\there", "100%", "under_score", "back\\slash", "😀 emoji",
             "don't", "aXbXc", "a,b,,c", "   ", "ÀÖ", "İstanbul", "Ǆ", "xyxyx", "drover", "12", "zzzzzzzzzzzzzzzzzzzz"],
}
VALUES |= {
    "date": ["2024-01-05", "2024-02-29", "1969-12-31", "1970-01-01", "2000-12-31", "1999-1-3", "20240229", "2024/03/31",
             "0001-01-01", "9999-12-31", "0044-03-15 BC", "2024-12-30", "2021-01-03", "200000-12-31", "1900-02-28"],
    "timestamp": ["2024-01-05 10:20:30", "2024-02-29T23:59:59.999999", "1969-12-31 23:59:59.5", "2024-01-05",
                  "1970-01-01 00:00", "2024-03-31 24:00:00", "2024-05-31 12:00:60", "0001-01-01 00:00:00", "2024-01-05 1:2",
                  "0044-03-15 00:00:00 BC", "9999-12-31 23:59:59", "2024-07-04 00:00:00.1234567", "1582-10-10 12:34:56.7"],
    "timestamptz": ["2024-01-05 10:20:30+00", "2024-01-05T10:20:30Z", "2024-12-31 23:30:00-01", "2024-01-01 00:30+0530",
                    "1969-12-31 23:59:59.25+00:00", "2024-02-29 12:00 UTC", "2024-06-30", "0001-01-01 00:00+14",
                    "2024-01-05 10:20:30.000001+00"],
    "interval": ["1 day", "2 hours", "3 months", "-1 day 02:03:04.5", "1 year 2 mons 3 days", "90 minutes", "1.5 hours",
                 "-3 months", "00:00:00", "1 week", "2 days ago", "100:00:00", "1 mon -1 day", "30 days", "24 hours",
                 "-00:00:00.000001"],
}
JSON_VALUES = ['{"a": 1, "b": [1, 2, {"c": "x"}]}', '{"a": "text", "b": null}', '[1, "two", [3], {"a": 4}]', '"just text"', "3.50",
               "null", "true", '{"a": {"b": {"c": [10, 20]}}}', '{"a":"q\\"uo\\\\te\\n","b":[]}', "{}", "[]", ' { "a" : [ 1 ] } ',
               '{"a": "\\u00e9\\ud83d\\ude00", "b": -1e3}', '{"a": 1, "a": 2}', '{"\\u0061": 5, "b": false}', '{"a": "]}", "b": ["[{"]}']
WRONG_JSON = [*JSON_VALUES, "{", "[1,]", '{"a"}', "tru", "01", "1.", "", "{'a': 1}", '{"a": 1} x', '"\\x"', "[1 2]", "-"]
WRONG_TIMES = ["2024-02-30", "2024-13-01", "12:00", "2024-01-05 25:00", "2024-01-05 10:61", "", " 2024-01-05 ",
               "2024-01-05 10:20:30+00", "2024-01-05x", "2024-1", "abc", "2024-01-05 10:20:30.5Z", "1 day", "3",
               "2024-01-05 10:20 ", "20240105", "2024-12-31 23:59:59.9999999"]
# What PostgreSQL reads by DateStyle, and the engine only by a format.
WRONG_FORMATS = [*WRONG_TIMES, "yesterday", "5.1.2024", "Jan 5 2024", "05.01.24 3:04 PM", "24-01-05", "12.31.99", "31.12.1999 12:00 am"]
WRONG = ["12", " 7 ", "-3", "abc", "1.5", "1e3", "99999999999", "99999999999999999999", "true", "f", "yes",
         "", "0x10", "--1", "1_000", "+5", ".", "-", "1e", "12a", "oui", "TRUE", "0", "1", "１２"]


def csv_field(value: str | None) -> str:
    """As COPY ... CSV reads it: nothing for NULL, quotes where they are needed."""
    if value is None:
        return ""
    if value == "" or any(c in value for c in ',"\r\n'):
        return '"' + value.replace('"', '""') + '"'
    return value


def table(rng: random.Random) -> str:
    """A CSV file."""
    lines = [",".join(COLUMNS)]
    for number in range(ROWS):
        row = [str(number)]
        for name, kind in list(COLUMNS.items())[1:]:
            values = {"o": JSON_VALUES, "p": WRONG_JSON, "w": WRONG, "x": WRONG_FORMATS, "y": WRONG_TIMES}.get(name) or VALUES[kind]
            row.append(csv_field(None if rng.random() < 0.12 else rng.choice(values)))
        if rng.random() < 0.1:  # quotes that are not needed mean the same
            row = [f'"{v}"' if v and '"' not in v else v for v in row]
        lines.append(",".join(row))
    end = rng.choice(["\n", "\r\n"])
    return end.join(lines) + rng.choice(["", end])


# ---- expressions ----

@dataclass
class Maker:
    """Makes expressions of a wanted type; every one has a column in it, so that PostgreSQL cannot compute
    it before it has a row."""

    rng: random.Random
    columns: dict[str, list[str]] = field(default_factory=lambda: {
        kind: [name for name, k in COLUMNS.items() if k == kind and name not in ("p", "w", "x", "y", "id")]
        for kind in VALUES})

    def literal(self, kind: str) -> str:
        rng = self.rng
        if kind == "integer":
            return rng.choice(["0", "1", "2", "3", "-1", "10", "100000", "2147483647"])
        if kind == "bigint":
            return rng.choice(["1::bigint", "3000000000", "-5000000000", "2::bigint"])
        if kind == "numeric":
            return rng.choice(["1.21", "0.5", "-2.50", "100.0", "0.001", "3.0", "7.", "123456789012.345", "1e3"])
        if kind == "double precision":
            return rng.choice(["1.5::float8", "'1e10'::double precision", "2::float8", "-0.25::float8"])
        if kind == "boolean":
            return rng.choice(["true", "false", "NULL::boolean"])
        if kind == "date":
            return rng.choice(["date '2024-01-31'", "date '1970-01-01'", "'2024-02-29'::date", "date '1999-12-31'"])
        if kind in ("timestamp", "timestamptz"):
            return kind + rng.choice([" '2024-01-31 12:00'", " '1970-01-01'", " '2000-02-29 23:59:59.5'"])
        if kind == "interval":
            return rng.choice(["interval '1 day'", "interval '2 hours'", "interval '3 months'", "interval '1 week'",
                               "interval '-1 month 15 days'", "interval '1 year'", "interval '00:00:01.5'"])
        value = rng.choice(["a", "b", "X", "", " ", "abc", "é", "%", "l", ",", "xy", "日", "do"])
        return "'" + value.replace("'", "''") + "'"

    def column(self, kind: str) -> str:
        return self.rng.choice(self.columns[kind])

    def small(self) -> str:
        """A whole number for positions and lengths."""
        return self.rng.choice(["1", "2", "3", "0", "-1", "5", "-2", "(i % 5)", "(j % 4)", "length(s)"])

    def any(self, kind: str, depth: int) -> str:
        if depth <= 0:
            return self.column(kind)
        if self.rng.random() < 0.15:
            return self.column(kind)
        made: str = {"integer": self.integer, "bigint": self.bigint, "numeric": self.numeric,
                     "double precision": self.double, "boolean": self.boolean, "text": self.text, "date": self.date,
                     "timestamp": self.timestamp, "timestamptz": self.timestamptz,
                     "interval": self.interval}[kind](depth - 1)
        return made

    def pair(self, kind: str, depth: int) -> tuple[str, str]:
        """Two operands, of which one may be a literal."""
        one = self.any(kind, depth)
        two = self.literal(kind) if self.rng.random() < 0.4 else self.any(kind, depth)
        return (one, two) if self.rng.random() < 0.7 else (two, one)

    def choice(self, kind: str, d: int) -> str:
        """What every type has: CASE, COALESCE and their like."""
        one, two = self.pair(kind, d)
        return self.rng.choice([
            f"CASE WHEN {self.any('boolean', d)} THEN {one} ELSE {two} END",
            f"CASE {self.any('integer', d)} WHEN 1 THEN {one} WHEN i THEN {two} END",
            f"coalesce({one}, {two})",
            f"nullif({one}, {two})",
            f"greatest({one}, {two}, {self.column(kind)})",
            f"least({one}, {two})"])

    UNITS = ("microseconds", "milliseconds", "second", "minute", "hour", "day", "week", "month", "quarter", "year",
             "decade", "century", "millennium")

    def unit(self, kind: str) -> str:
        """What can be extracted of the type."""
        first = 5 if kind == "date" else 0
        names = [n for n in self.UNITS[first:] if kind != "interval" or n != "week"] + ["epoch"]
        return self.rng.choice(names + ([] if kind == "interval" else ["dow", "isodow", "doy", "isoyear"]))

    def some_time(self) -> str:
        return self.rng.choice(["date", "timestamp", "timestamptz"])

    # Without a year PostgreSQL makes a date before Christ, and the engine makes none.
    LONG = "CASE WHEN length(x) > 5 THEN x END"

    def date(self, d: int) -> str:
        one = self.any("date", d)
        form, text = self.rng.choice([
            ("YYYY-MM-DD", f"({one})::text"), ("YYYYMMDD", f"to_char({one}, 'YYYYMMDD')"), ("DD.MM.YY", self.LONG), ("YYYY-MM-DD", self.LONG),
            ("FMMonth DD, YYYY", f"to_char({self.any('timestamp', d)}, 'FMMonth DD, YYYY')"),
            ("YYYY DDD", f"to_char({one}, 'YYYY DDD')")])
        return self.rng.choice([
            f"({one} + {self.small()})", f"({one} - {self.small()})", f"({self.small()} + {one})", f"date({self.any('timestamp', d)})",
            f"({self.any('timestamp', d)})::date", f"({self.any('timestamptz', d)})::date", "y::date",
            f"to_date({text}, '{form}')", f"make_date(2000 + i % 9, {self.small()}, {self.small()})",
            self.choice("date", d)])

    def times(self, kind: str, d: int) -> list[str]:
        one, other, gap = self.any(kind, d), self.any("date", d), self.any("interval", d)
        return [f"({one} + {gap})", f"({gap} + {one})", f"({one} - {gap})", f"({other})::{kind}", f"y::{kind}",
                f"date_trunc('{self.rng.choice(self.UNITS)}', {one})", self.choice(kind, d),
                f"date_bin('{self.rng.choice(['15 minutes', '1 day', '1 week', '90 sec'])}', {one}, {self.literal(kind)})"]

    def timestamp(self, d: int) -> str:
        return self.rng.choice([*self.times("timestamp", d), f"({self.any('date', d)} + {self.any('interval', d)})",
                                f"({self.any('timestamptz', d)} AT TIME ZONE 'UTC')", f"({self.any('timestamptz', d)})::timestamp"])

    def timestamptz(self, d: int) -> str:
        return self.rng.choice([*self.times("timestamptz", d), f"({self.any('timestamp', d)})::timestamptz",
                                f"date_trunc('month', {self.any('date', d)})", "to_timestamp(CASE WHEN abs(f) < 1e10 THEN f END)",
                                f"to_timestamp({self.LONG}, 'YYYY-MM-DD HH24:MI:SS')", f"to_timestamp({self.LONG}, 'DD.MM.YY HH12:MI AM')"])

    def interval(self, d: int) -> str:
        one, two = self.pair("interval", d)
        kind = self.rng.choice(["timestamp", "timestamptz"])
        return self.rng.choice([
            f"({one} + {two})", f"({one} - {two})", f"(-{one})", f"({one} * {self.small()})", f"({one} * 1.5)", f"({one} / 7)",
            f"({self.any(kind, d)} - {self.any(kind, d)})", f"({self.small()} * {one})", "v::text::interval",
            self.choice("interval", d)])

    FORMS = ("YYYY-MM-DD", "YYYY-MM-DD HH24:MI:SS", "DD.MM.YY", "FMDD FMMonth YYYY", "Day DY Dy dy", "MON mon Month MONTH",
             "HH12:MI:SS.MS am", "HH:MI P.M.", "US SSSS", "IYYY-IW-ID", "DDD D Q CC WW W", '"Week" IW "of" IYYY', "Y YY YYY",
             "TZ OF", "yyyy/mm/dd", "FMHH24:FMMI")

    def integer(self, d: int) -> str:
        one, two = self.pair("integer", d)
        if self.rng.random() < 0.1:
            return f"({self.any('date', d)} - {self.any('date', d)})"
        return self.rng.choice([
            f"({one} + {two})", f"({one} - {two})", f"({one} * {two})", f"({one} / {two})", f"({one} % {two})",
            f"(-{self.any('integer', d)})", f"abs({self.any('integer', d)})", f"mod({one}, {two})",
            f"length({self.any('text', d)})", f"octet_length({self.any('text', d)})",
            f"position({self.literal('text')} in {self.any('text', d)})", f"ascii({self.any('text', d)})",
            f"strpos({self.any('text', d)}, {self.any('text', d)})", f"({self.any('numeric', d)})::integer",
            f"({self.any('double precision', d)})::integer", f"({self.any('boolean', d)})::integer",
            "w::integer", f"({self.any('bigint', d)})::integer", self.choice("integer", d)])

    def bigint(self, d: int) -> str:
        one, two = self.pair("bigint", d)
        return self.rng.choice([
            f"({one} + {two})", f"({one} - {self.any('integer', d)})", f"({one} * {two})", f"({one} / {two})",
            f"({one} % {two})", f"abs({self.any('bigint', d)})", f"(-{self.any('bigint', d)})",
            f"({self.any('integer', d)})::bigint", f"({self.any('numeric', d)})::bigint", "w::bigint",
            f"({self.any('double precision', d)})::bigint", self.choice("bigint", d)])

    def numeric(self, d: int) -> str:
        one, two = self.pair("numeric", d)
        x, y = self.any("numeric", d), self.any("double precision", d)
        if self.rng.random() < 0.15:
            kind = self.rng.choice(["date", "timestamp", "timestamptz", "interval"])
            return f"extract({self.unit(kind)} from {self.any(kind, d)})"
        return self.rng.choice([
            f"({one} + {two})", f"({one} - {two})", f"({one} * {two})", f"({one} / {two})", f"({one} % {two})",
            f"round({x}, {self.small()})", f"trunc({x}, {self.small()})", f"round({x})", f"trunc({x})", f"ceil({x})",
            f"floor({x})", f"abs({x})", f"sign({x})", f"(-{x})", f"mod({one}, {two})", f"div({one}, {two})",
            f"({x} + {self.any('integer', d)})", f"({self.any('bigint', d)} * {x})", f"({x})::numeric(12,3)",
            f"({x})::numeric(5)", f"(CASE WHEN abs({y}) < 1e30 THEN {y} END)::numeric", "w::numeric",
            f"({self.any('integer', d)})::numeric", self.choice("numeric", d)])

    def double(self, d: int) -> str:
        one, two = self.pair("double precision", d)
        x = self.any("double precision", d)
        if self.rng.random() < 0.08:
            kind = self.some_time()
            return f"date_part('{self.unit(kind)}', {self.any(kind, d)})"
        return self.rng.choice([
            f"({one} + {two})", f"({one} - {two})", f"({one} * {two})", f"({one} / {two})", f"abs({x})", f"ceil({x})",
            f"floor({x})", f"round({x})", f"trunc({x})", f"sign({x})", f"sqrt({x})", f"ln({x})", f"exp({x})",
            f"power({one}, {two})", f"({x} + {self.any('integer', d)})", f"({x} * {self.any('numeric', d)})",
            f"({self.any('numeric', d)})::double precision", "w::double precision", f"round({self.any('integer', d)})",
            f"sqrt({self.any('integer', d)})", f"(-{x})", f"log({x})", self.choice("double precision", d)])

    PATTERNS = ("a", "^a", "c$", "[a-c]+", "x.x", "\\d+", "\\s", "\\w+", "^\\s+|\\s+$", "(a|ab)(c|bcd)?", "[^a-z ]", "l+o?",
                "\\mW", "o\\M", "\\y", "b*", "(.)(.)", "^$", "[[:upper:]]", "é|õ", "\\.", "a?(ab)?", "X|Xb|XbX", "\n", "[,\"]",
                "(x)?y", "W.*?", "((l)|(o))+", "\\Aa", "d\\Z", "[\\d%]", "a{1,2}", "(ab){0,2}c", "(?i)HELLO", "(?:xy)+", "q(?!q)",
                "(?<=a)b", "日|本", "a|b|c|", "[]]", "(l)\\1", "\\u00e9")

    def pattern(self) -> str:
        return "'" + self.rng.choice(self.PATTERNS).replace("'", "''") + "'"

    def boolean(self, d: int) -> str:
        kind = self.rng.choice(list(VALUES))
        one, two = self.pair(kind, d)
        if self.rng.random() < 0.1:
            one, two = self.any(self.some_time(), d), self.any(self.some_time(), d)
        text = self.any("text", d)
        number = self.any("numeric", d)
        pattern = self.rng.choice(["'%a%'", "'a%'", "'%c'", "'_b%'", "'%X%c'", "''", "'%'", "'abc'", "'%é%'",
                                   "'100\\%'", "'%\\_%'", "'__'", "'%_l_o%'", "t"])
        return self.rng.choice([
            *(f"({one} {op} {two})" for op in ("=", "<>", "<", "<=", ">", ">=")),
            f"({one} IS DISTINCT FROM {two})", f"({one} IS NULL)", f"({one} IS NOT NULL)",
            f"({self.any('boolean', d)} AND {self.any('boolean', d)})",
            f"({self.any('boolean', d)} OR {self.any('boolean', d)})", f"(NOT {self.any('boolean', d)})",
            f"({self.any('boolean', d)} IS TRUE)", f"({self.any('boolean', d)} IS NOT FALSE)",
            f"({self.any('boolean', d)} IS UNKNOWN)", f"({text} LIKE {pattern})", f"({text} NOT LIKE {pattern})",
            f"({text} ILIKE {pattern})", f"({text} {self.rng.choice(['~', '~*', '!~', '!~*'])} {self.pattern()})",
            f"regexp_like({text}, {self.pattern()}, 'i')", f"({number} BETWEEN {self.any('numeric', d)} AND {self.literal('numeric')})",
            f"({number} NOT BETWEEN -1 AND {self.any('integer', d)})", f"({self.any('integer', d)} IN (1, 2, i, NULL))",
            f"({text} NOT IN ('a', t, 'xyz'))", f"starts_with({text}, {self.literal('text')})", "w::boolean",
            f"({self.any('integer', d)})::boolean", self.choice("boolean", d)])

    def text(self, d: int) -> str:
        x, y = self.any("text", d), self.any("text", d)
        part = self.literal("text")
        kind = self.rng.choice([k for k in VALUES if k != "text"])
        if self.rng.random() < 0.1:
            return f"to_char({self.any(self.some_time(), d)}, '{self.rng.choice(self.FORMS)}')"
        if self.rng.random() < 0.1:
            key = self.rng.choice(["'a'", "'b'", "0", "1", "-1", "2", "i % 3", "'zz'", "'a'->'b'"])
            path = self.rng.choice(["{a}", "{b,2,c}", "{a,b,c,-1}", "{}", "{3,a}", '{"b", 0}', "{b,x}", "{0}"])
            document = self.rng.choice(["o", "o", "p::json"])
            return self.rng.choice([
                f"({document} ->> {key.split('->')[-1]})", f"({document} -> {key.replace('->', ' -> ')})::text", f"(o #>> '{path}')",
                f"(o #> '{path}')::text", "json_typeof(p::json)", "coalesce(o, '[0]'::json)::text",
                "CASE WHEN json_typeof(o) = 'array' THEN json_array_length(o)::text END",
                "CASE WHEN (o ->> 'a') ~ '^[0-9]+$' THEN ((o ->> 'a')::int + 1)::text END"])
        if self.rng.random() < 0.15:
            with_ = self.rng.choice(["''", "'-'", "'[\\1]'", "'\\2\\1'", "'<\\&>'", "'\\\\x\\q'", "s"])
            return self.rng.choice([
                f"regexp_replace({x}, {self.pattern()}, {with_}, 'g')", f"regexp_replace({x}, {self.pattern()}, {with_})",
                f"regexp_replace({x}, {self.pattern()}, {with_}, 'gi')", f"regexp_substr({x}, {self.pattern()})",
                f"substring({x} from {self.pattern()})", f"regexp_count({x}, {self.pattern()})::text"])
        return self.rng.choice([
            f"lower({x})", f"upper({x})", f"initcap({x})", f"trim({x})", f"ltrim({x})", f"rtrim({x})",
            f"trim(both {part} from {x})", f"ltrim({x}, {part})", f"rtrim({x}, 'xy ')", f"({x} || {y})",
            f"({x} || {self.any(kind, d)})", f"concat({x}, {self.any(kind, d)}, {part})",
            f"concat_ws({part}, {x}, {y}, {self.any(kind, d)})", f"substring({x} from {self.small()})",
            f"substring({x} from {self.small()} for {self.small()})", f"left({x}, {self.small()})",
            f"right({x}, {self.small()})", f"lpad({x}, {self.small()} + 4, {part})", f"rpad({x}, {self.small()} + 6)",
            f"replace({x}, {part}, {self.literal('text')})", f"split_part({x}, {part}, {self.small()})",
            f"repeat({x}, {self.small()})", f"md5({x})", f"reverse({x})", f"translate({x}, 'abl', 'xé')", f"({self.any(kind, d)})::text",
            f"({x})::varchar(3)", f"chr({self.any('integer', d)} % 3000)", self.choice("text", d)])


# ---- the two engines ----

FUNCTION = r"""
CREATE FUNCTION shown(q text, n int, source text) RETURNS text LANGUAGE sql AS $f$
  SELECT 'SELECT jsonb_agg(jsonb_build_array('
      || string_agg(format('CASE WHEN c%s IS NULL THEN NULL ELSE concat(c%s) END', k, k), ',' ORDER BY k)
      || ')) FROM (' || replace(q, 'FROM input', 'FROM ' || source) || ') q('
      || string_agg('c' || k, ',' ORDER BY k) || ')'
    FROM generate_series(0, n - 1) k
$f$;
CREATE FUNCTION answer(q text, n int) RETURNS jsonb LANGUAGE plpgsql AS $f$
DECLARE r input; all_rows jsonb := '[]'; one jsonb; one_q text;
BEGIN
  BEGIN
    EXECUTE shown(q, n, 'input') INTO all_rows;
    RETURN coalesce(all_rows, '[]');
  EXCEPTION WHEN OTHERS THEN
    all_rows := '[]';
  END;
  -- OFFSET 0 keeps the planner from computing what a CASE or AND does not reach.
  one_q := shown(q, n, '(SELECT ($1::input).* OFFSET 0) input');
  FOR r IN SELECT * FROM input ORDER BY id LOOP
    BEGIN
      EXECUTE one_q INTO one USING r;
      all_rows := all_rows || coalesce(one, '[]');
    EXCEPTION WHEN data_exception OR invalid_parameter_value OR program_limit_exceeded THEN
      NULL;
    END;
  END LOOP;
  RETURN all_rows;
END $f$;
"""


def read_csv(text: str) -> list[Row]:
    """Rows with NULL apart from the empty text, which the csv module does not tell."""
    rows: list[Row] = []
    row: Row = []
    i = 0
    while i < len(text):
        if text[i] == '"':
            value, i = "", i + 1
            while True:
                end = text.index('"', i)
                value += text[i:end]
                i = end + 1
                if text[i:i + 1] != '"':
                    break
                value, i = value + '"', i + 1
            row.append(value)
        else:
            end = i
            while text[end] not in ",\n":
                end += 1
            row.append(text[i:end] or None)
            i = end
        if text[i] == "\n":
            rows.append(row)
            row = []
        elif text[i + 1:i + 2] == "\n":
            row.append(None)
            rows.append(row)
            row, i = [], i + 1
        i += 1
    return rows


class Engine:
    """transform_cli over one file."""

    def __init__(self, path: Path, types: dict[str, str] | None = None) -> None:
        self.path, self.types = path, types
        self.tables: dict[str, tuple[Path, dict[str, str]]] = {}  # lookup tables: file, and types of columns

    def output(self, sql: str, *args: str) -> tuple[bytes, str]:
        stage: dict[str, object] = {"kind": "transform", "sql": sql}
        if self.types:
            stage["columns"] = self.types
        if self.tables:
            stage["tables"] = {name: {"columns": types} for name, (_, types) in self.tables.items()}
            args += tuple(arg for name, (path, _) in self.tables.items() for arg in ("--table", f"{name}={path}"))
        done = subprocess.run([str(CLI), "--stage", json.dumps(stage), *args, str(self.path)], capture_output=True,
                              timeout=60, check=False)
        assert done.returncode == 0, f"{sql}\n{done.stderr.decode()}"
        return done.stdout, done.stderr.decode()

    def rows(self, sql: str, *args: str) -> list[Row]:
        return read_csv(self.output(sql, *args)[0].decode())[1:]


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PgServer]:
    with PgServer(tmp_path_factory.mktemp("oracle"), schema=False, fsync="off", full_page_writes="off",
                  max_parallel_workers_per_gather=0, timezone="UTC") as server:
        yield server


@dataclass
class World:
    """A table in both."""

    postgres: PgServer
    engine: Engine
    rng: random.Random

    def answers(self, queries: list[tuple[str, int]]) -> list[list[Row]]:
        script = "".join(f"SELECT answer($q${q}$q$, {n});\n" for q, n in queries)
        return [json.loads(line) for line in self.postgres.psql(script)]


def world(postgres: PgServer, tmp_path: Path, seed: int) -> World:
    rng = random.Random(seed)
    print(f"seed {seed} (DROVER_SEED)")
    path = tmp_path / "input.csv"
    path.write_text(table(rng), newline="")
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    postgres.psql("SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public;\n"
                  f"CREATE TABLE input ({columns});\n"
                  f"\\copy input FROM '{path}' (FORMAT csv, HEADER)\n" + FUNCTION)
    return World(postgres, Engine(path, COLUMNS), rng)


def difference(ours: list[Row], theirs: list[Row]) -> str:
    """What is not the same, in a few words; nothing when all is."""
    if ours == theirs:
        return ""
    for a, b in zip(ours, theirs):
        if a[:1] != b[:1]:
            break
        if a != b:
            return f"row {a[0]}: drover {a[1:]!r}, PostgreSQL {b[1:]!r}"
    here, there = {str(a[0]) for a in ours}, {str(b[0]) for b in theirs}
    return (f"{len(ours)} rows, PostgreSQL has {len(theirs)}; only here: {sorted(here - there)[:5]}, "
            f"only there: {sorted(there - here)[:5]}")


def same(sql: str, ours: list[Row], theirs: list[Row]) -> None:
    found = difference(ours, theirs)
    if found:
        pytest.fail(f"{found}\n{sql}")


def blame(w: World, exprs: list[str], where: str) -> list[str]:
    """Which of the expressions of a query differ, each by itself."""
    queries = [f"SELECT id, {expr} FROM input{where}" for expr in exprs]
    found = [(difference(w.engine.rows(sql), theirs), sql)
             for sql, theirs in zip(queries, w.answers([(sql, 2) for sql in queries]))]
    return [f"{text}\n  {sql}" for text, sql in found if text]


def test_expressions(postgres: PgServer, tmp_path: Path) -> None:
    """SELECT lists of every type, and WHERE."""
    per_world = 50
    wrong: list[str] = []
    for number in range(max(1, CASES // (per_world * PER_QUERY))):
        w = world(postgres, tmp_path, SEED * 1000 + number)
        maker = Maker(w.rng)
        queries = []
        for _ in range(per_world):
            exprs = [maker.any(kind, w.rng.randint(1, 3)) for kind in w.rng.choices(list(VALUES), k=PER_QUERY)]
            where = f" WHERE {maker.any('boolean', 1)}" if w.rng.random() < 0.3 else ""
            queries.append((f"SELECT id, {', '.join(exprs)} FROM input{where}", exprs, where))
        theirs = w.answers([(q, PER_QUERY + 1) for q, _, _ in queries])
        for (sql, exprs, where), rows in zip(queries, theirs):
            simd = w.rng.choice(["scalar", "sse42", "avx2", "avx512"])
            args = ["--simd", simd] if has_simd(simd) else []
            if difference(w.engine.rows(sql, *args), rows):
                wrong += blame(w, exprs, where) or [sql]
    if wrong:
        pytest.fail(f"{len(wrong)} expressions differ:\n" + "\n".join(sorted(wrong, key=len)[:20]))


def has_simd(name: str) -> bool:
    flags = Path("/proc/cpuinfo").read_text()
    need = {"scalar": "", "sse42": "sse4_2", "avx2": "avx2", "avx512": "avx512bw"}[name]
    return need in flags


def parts(rng: random.Random) -> list[str]:
    """Tasks whose states are saved, and loaded in another order."""
    return ["--parts", str(rng.randint(2, 40)), "--seed", str(rng.randrange(1 << 30))]


AGGREGATES = ["count(*)", "count(i)", "count(s)", "sum(i)", "sum(k)", "sum(n)", "avg(i)", "avg(n)", "min(i)", "max(k)",
              "round(min(n), 25)", "round(max(n), 25)", "min(s)", "max(t)", "bool_and(b)", "bool_or(b)", "every(b)", "count(DISTINCT i)",
              "count(DISTINCT n)", "count(DISTINCT s)", "sum(n * 1.21)", "avg(n / 3)", "max(lower(s))",
              "sum(i) FILTER (WHERE i > 0)", "count(*) FILTER (WHERE b)", "min(f)", "max(f)", "sum(m / 7)",
              "count(DISTINCT f)", "stddev(i)", "variance(n)", "stddev_pop(n / 7)", "var_pop(i)",
              "var_samp(k)", "stddev_samp(n * 1e10)", "stddev(m) FILTER (WHERE m > 0)", "var_pop(n) FILTER (WHERE id < 3)",
              "round((stddev(f) FILTER (WHERE abs(f) < 1e6))::numeric, 6)", "variance(f) FILTER (WHERE f > 1 AND f < 4)",
              "round((var_pop(f) FILTER (WHERE abs(f) < 100))::numeric, 6)",
              "string_agg(s, ', ')", "string_agg(lower(t), '') FILTER (WHERE b)", "string_agg(id::text, 'é')", "string_agg(t, NULL)",
              "sum(DISTINCT i)", "round(avg(DISTINCT round(n, 25)), 10)", "round(sum(DISTINCT n), 25)", "sum(DISTINCT k / 100)",
              "avg(DISTINCT i)", "sum(DISTINCT f) FILTER (WHERE f IN (0.5, 3, -1, -2.5))", "sum(DISTINCT i % 7)",
              "count(DISTINCT z)", "count(DISTINCT v)", "min(d)", "max(u)", "min(z)", "count(DISTINCT d)", "max(v) > interval '1 day'", "round(avg(n), 2)", "max(i) - min(i)", "sum(n) / count(*)", "coalesce(sum(m), 0)"]
KEYS = ["d", "z", "date_trunc('month', u)", "extract(year from d)", "v > interval '1 day'", "b", "i", "round(n, 25)", "s", "lower(t)", "i % 3", "f", "length(s)", "n > 0", "round(n)", "coalesce(b, false)"]


def test_groups(postgres: PgServer, tmp_path: Path) -> None:
    """GROUP BY, HAVING and aggregates; in parts that are merged, the same bytes."""
    for number in range(4):
        w = world(postgres, tmp_path, SEED * 1000 + 500 + number)
        queries = []
        for _ in range(40):
            keys = w.rng.sample(KEYS, w.rng.randint(0, 2))
            shown = keys + w.rng.sample(AGGREGATES, w.rng.randint(1, 6))
            # Sums that leave the range are errors of the whole query there, and of the group here.
            sql = f"SELECT {', '.join(shown)} FROM input WHERE i BETWEEN -1000000 AND 1000000"
            if keys:
                sql += " GROUP BY " + ", ".join(keys)
            if w.rng.random() < 0.3:
                sql += " HAVING " + w.rng.choice(["count(*) > 1", "sum(i) > 0", "bool_or(b)", "max(n) IS NOT NULL"])
            queries.append((sql, len(shown)))
        # The engine joins in the order of the input, which PostgreSQL has to be told.
        told = [(re.sub(r"(string_agg\(.*?, (?:'[^']*'|NULL))\)", r"\1 ORDER BY id)", sql), n) for sql, n in queries]
        for (sql, _), rows in zip(queries, w.answers(told)):
            whole = sorted(w.engine.rows(sql), key=str)
            same(sql, whole, sorted(rows, key=str))
            same(sql, sorted(w.engine.rows(sql, *parts(w.rng)), key=str), sorted(rows, key=str))


def test_order(postgres: PgServer, tmp_path: Path) -> None:
    """DISTINCT, ORDER BY, LIMIT, OFFSET."""
    w = world(postgres, tmp_path, SEED * 1000 + 900)
    queries = []
    for _ in range(60):
        keys = w.rng.sample(["i", "k", "n", "s", "t", "b", "f", "lower(s)", "n * 2", "d", "u", "z", "d + 1"], 2)
        order = ", ".join(k + w.rng.choice(["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]) for k in keys)
        limit = w.rng.choice(["", " LIMIT 7", " LIMIT 3 OFFSET 2", " OFFSET 50", " LIMIT 0"])
        if w.rng.random() < 0.3:
            # 1.5 and 1.50 are one value, and which of them is shown is not said.
            keys = [k if k[0] != "n" else "round(n, 25)" for k in keys]
            queries.append((f"SELECT DISTINCT {keys[0]}, {keys[1]} FROM input ORDER BY 1, 2{limit}", 2))
        else:
            queries.append((f"SELECT id, {keys[0]} FROM input ORDER BY {order}, id{limit}", 2))
    for (sql, _), rows in zip(queries, w.answers(queries)):
        same(sql, w.engine.rows(sql), rows)
        same(sql, w.engine.rows(sql, *parts(w.rng)), rows)


LOOKUPS = {"look": {"a": "integer", "label": "text", "price": "numeric", "since": "date"},
           "wide": {"s": "text", "a": "bigint", "flag": "boolean", "z": "timestamptz", "gap": "interval"}}
JOINS = ["JOIN look ON input.i = look.a", "LEFT JOIN look ON look.a = i", "JOIN look ON i % 5 = look.a AND d = look.since",
         "LEFT JOIN look l ON lower(s) = l.label", "JOIN wide USING (s)", "LEFT JOIN wide USING (z)",
         "JOIN look ON n = look.price LEFT JOIN wide w ON w.s = look.label AND w.a = look.a",
         "LEFT JOIN look ON i = look.a JOIN wide ON wide.a = look.a", "JOIN look x ON x.a = i % 3 JOIN look y ON y.a = x.a"]


def add_lookups(w: World, folder: Path) -> None:
    """Small tables with keys that come again, and with NULLs."""
    for name, types in LOOKUPS.items():
        path = folder / f"{name}.csv"
        lines = [",".join(types)]
        for _ in range(25):
            lines.append(",".join(csv_field(None if w.rng.random() < 0.1 else w.rng.choice(VALUES[kind][:8]))
                                  for kind in types.values()))
        path.write_text("\n".join(lines) + "\n", newline="")
        columns = ", ".join(f"{column} {kind}" for column, kind in types.items())
        w.postgres.psql(f"CREATE TABLE {name} ({columns});\n\\copy {name} FROM '{path}' (FORMAT csv, HEADER)\n")
        w.engine.tables[name] = (path, types)


def test_joins(postgres: PgServer, tmp_path: Path) -> None:
    """Inner and left joins with lookup tables; in groups too, and in parts."""
    for number in range(3):
        w = world(postgres, tmp_path, SEED * 1000 + 700 + number)
        add_lookups(w, tmp_path)
        queries = []
        for _ in range(40):
            join = w.rng.choice(JOINS)
            table = re.findall(r"JOIN (\w+) (?!ON|USING)(\w+)?|JOIN (\w+)", join)[-1]
            alias = table[1] or table[2]
            kind = "wide" if alias in ("w", "wide") else "look"
            columns = [f"{alias}.{column}" for column in LOOKUPS[kind]]
            where = w.rng.choice(["", " WHERE id < 40", f" WHERE {columns[0]} IS NOT NULL AND i > 0",
                                  f" WHERE {columns[1]} IS NULL OR b", f" WHERE coalesce({columns[1]}::text, 'none') <> input.s"])
            if w.rng.random() < 0.4:
                shown = [w.rng.choice([c for c in columns if "price" not in c]), "count(*)", "sum(input.i % 1000)", f"max({w.rng.choice(columns[:2])})",
                         f"count(DISTINCT {columns[1]})"]
                queries.append((f"SELECT {', '.join(shown)} FROM input {join}{where} GROUP BY {shown[0]}", len(shown)))
            else:
                shown = ["id", "input.i", *w.rng.sample(columns, 2), f"upper({columns[1]}::text)"]
                if w.rng.random() < 0.3:
                    shown.append(f"1 / ({columns[0]}::text = '1')::int")  # errors of single joined rows
                queries.append((f"SELECT {', '.join(shown)} FROM input {join}{where}", len(shown)))
        for (sql, _), rows in zip(queries, w.answers(queries)):
            if "1 / (" in sql:  # there the whole row of the input is an error
                kept = [row for row in w.engine.rows(sql) if row in rows]
                same(sql, sorted(kept, key=str), sorted(rows, key=str))
                continue
            same(sql, sorted(w.engine.rows(sql), key=str), sorted(rows, key=str))
            if "GROUP BY" in sql:
                same(sql, sorted(w.engine.rows(sql, "--parts", "4"), key=str), sorted(rows, key=str))


def test_types_come_from_use(postgres: PgServer, tmp_path: Path) -> None:
    """Without types, the engine finds those with which PostgreSQL has the table."""
    w = world(postgres, tmp_path, SEED * 1000 + 950)
    engine = Engine(w.engine.path)
    exprs = ["n", "lower(s)", "length(t)", "i::integer + 1", "s || t", "round(n * 1.21, 2)", "f::double precision * 2",
             "coalesce(n, 0)", "CASE WHEN n > 1 THEN n ELSE m END", "substr(s, i::integer % 5)", "sqrt(abs(f::float8))"]
    cases = [f"SELECT id, {expr} FROM input" for expr in exprs]
    cases += ["SELECT id, n FROM input WHERE n > 0", "SELECT id, b FROM input WHERE b"]
    cases[0] += " WHERE n BETWEEN m AND 10"
    for sql, rows in zip(cases, w.answers([(sql, 2) for sql in cases])):
        same(sql, engine.rows(sql), rows)


def test_functions_of_the_table(postgres: PgServer, tmp_path: Path) -> None:
    """Every example of the table of functions has its answer in PostgreSQL too."""
    w = world(postgres, tmp_path, SEED)
    listed = subprocess.run([str(CLI), "--functions"], capture_output=True, text=True, check=True).stdout
    examples = [line.split("\t") for line in listed.splitlines()]
    assert len(examples) > 100
    queries = [(f"SELECT {example} FROM input WHERE id = 0", 1) for *_, example, _ in examples]
    for (*_, example, answer), rows in zip(examples, w.answers(queries)):
        assert rows == [[None if answer == "NULL" else answer]], example
