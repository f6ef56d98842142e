"""Reads the wire form of a batch of rows (common/batch.h)."""

from __future__ import annotations

import datetime
import decimal
import json
import sys
from array import array
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional

import msgpack

BOOL, INT64, FLOAT64, DECIMAL, TEXT, JSON, DATE, TIMESTAMP = range(1, 9)

Row = Dict[str, Any]
_EPOCH_DATE = datetime.date(1970, 1, 1)
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


class Column(NamedTuple):
    """A column: its name, its type's number, and one Python value (or None) a row."""

    name: str
    type: int
    values: List[Any]


def _vector(code: str, data: bytes) -> List[Any]:
    values = array(code)
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tolist()


def _texts(data: bytes, ends: bytes) -> List[str]:
    start, texts = 0, []
    for end in _vector("I", ends):
        texts.append(data[start:end].decode("utf-8", "replace"))
        start = end
    return texts


def _date(days: int) -> Any:
    try:
        return _EPOCH_DATE + datetime.timedelta(days=days)
    except OverflowError:
        return days


def _timestamp(us: int) -> Any:
    try:
        return _EPOCH + datetime.timedelta(microseconds=us)
    except OverflowError:
        return us


_CONVERT: Dict[int, Callable[[Any], Any]] = {
    DECIMAL: decimal.Decimal,
    JSON: json.loads,
    DATE: _date,
    TIMESTAMP: _timestamp,
}


def _values(kind: int, data: bytes, ends: Optional[bytes], null: Callable[[int], bool]) -> List[Any]:
    raw: List[Any]
    if kind == BOOL:
        raw = [byte != 0 for byte in data]
    elif kind in (INT64, DATE, TIMESTAMP):
        raw = _vector("q", data)
    elif kind == FLOAT64:
        raw = _vector("d", data)
    else:
        raw = _texts(data, ends or b"")
    convert = _CONVERT.get(kind)
    if convert is None:
        return [None if null(i) else value for i, value in enumerate(raw)]
    return [None if null(i) else convert(value) for i, value in enumerate(raw)]


def decode_columns(wire: bytes) -> List[Column]:
    """The columns of a batch. Decimals become Decimal, JSON is parsed, times are aware and in UTC."""
    version, _, packed = msgpack.unpackb(wire, raw=False)[:3]
    if version != 1:
        raise ValueError(f"batch of version {version}")
    columns = []
    for name, kind, nulls, data, ends in (column[:5] for column in packed):
        bitmap: bytes = nulls or b""

        def null(row: int, bitmap: bytes = bitmap) -> bool:
            return row >> 3 < len(bitmap) and bool(bitmap[row >> 3] >> (row & 7) & 1)

        columns.append(Column(name, kind, _values(kind, data, ends, null)))
    return columns


def decode_rows(wire: bytes) -> Iterator[Row]:
    """The rows of a batch as dictionaries, in the order of the columns."""
    columns = decode_columns(wire)
    names = [column.name for column in columns]
    for values in zip(*(column.values for column in columns)):
        yield dict(zip(names, values))
