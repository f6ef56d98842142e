"""The wire form of batches, written here by hand from the description in common/batch.h."""

import datetime
import decimal
import struct

import msgpack
import pytest

from drover import _batch


def text_column(name, kind, cells, nulls=None):
    data = b"".join(cell.encode() for cell in cells)
    ends, end = [], 0
    for cell in cells:
        end += len(cell.encode())
        ends.append(end)
    return [name, kind, nulls, data, struct.pack(f"<{len(ends)}I", *ends)]


def pack(rows, *columns):
    return msgpack.packb([1, rows, list(columns)], use_bin_type=True)


CASES = {
    "bool": (["c", 1, None, b"\x01\x00", None], [True, False]),
    "int64": (["c", 2, None, struct.pack("<2q", -(2**63), 2**63 - 1), None], [-(2**63), 2**63 - 1]),
    "float64": (["c", 3, None, struct.pack("<2d", 0.1, -0.0), None], [0.1, -0.0]),
    "decimal": (text_column("c", 4, ["1.10", "-3"]), [decimal.Decimal("1.10"), decimal.Decimal(-3)]),
    "text": (text_column("c", 5, ["", "größe €"]), ["", "größe €"]),
    "json": (text_column("c", 6, ['["a"]', '{"k":1}']), [["a"], {"k": 1}]),
    "date": (["c", 7, None, struct.pack("<2q", 0, -1), None],
             [datetime.date(1970, 1, 1), datetime.date(1969, 12, 31)]),
    "timestamp": (["c", 8, None, struct.pack("<2q", 1, 0), None],
                  [datetime.datetime(1970, 1, 1, 0, 0, 0, 1, datetime.timezone.utc),
                   datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)]),
    "date out of Python's range": (["c", 7, None, struct.pack("<2q", 10**9, 0), None],
                                   [10**9, datetime.date(1970, 1, 1)]),
    "null in the middle": (text_column("c", 5, ["a", ""], b"\x02"), ["a", None]),
    "null of a type that is converted": (text_column("c", 4, ["", "2"], b"\x01"),
                                         [None, decimal.Decimal(2)]),
}


@pytest.mark.parametrize("name", CASES)
def test_column(name):
    column, expected = CASES[name]
    assert [row["c"] for row in _batch.decode_rows(pack(2, column))] == expected


def test_nulls_of_the_ninth_row():
    cells = ["x"] * 10
    rows = list(_batch.decode_rows(pack(10, text_column("c", 5, cells, b"\x00\x01"))))
    assert [row["c"] for row in rows].index(None) == 8


def test_unknown_version_is_refused():
    with pytest.raises(ValueError, match="version 2"):
        list(_batch.decode_rows(msgpack.packb([2, 0, []])))


def test_column_order_is_kept():
    wire = pack(1, text_column("b", 5, ["1"]), text_column("a", 5, ["2"]))
    assert list(next(_batch.decode_rows(wire))) == ["b", "a"]
