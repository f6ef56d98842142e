"""Columns of a job's rows as a pandas DataFrame. pandas is imported only here."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping

from ._batch import BOOL, DATE, FLOAT64, INT64, TIMESTAMP, Row, decode_columns

_DTYPES = {BOOL: "boolean", INT64: "Int64"}


def rows_to_frame(rows: List[Row]) -> Any:
    """One DataFrame from rows of another server, with the types that its library gave them."""
    return _pandas().DataFrame(rows)


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise ImportError("to_pandas() needs pandas: install python3-pandas or `pip install pandas`"
                          ) from None
    return pandas


_TYPES = {"bool": BOOL, "int64": INT64, "float64": FLOAT64, "date": DATE, "timestamp": TIMESTAMP}


def to_frame(wires: List[bytes], columns: Mapping[str, str]) -> Any:
    """One DataFrame from batches in wire form; ``columns``: names and types for a frame without rows. Integers and booleans keep their NULLs (Int64,
    boolean); times become datetime64 in UTC; decimals stay exact (object)."""
    pandas = _pandas()
    values: Dict[str, List[Any]] = {}
    types: Dict[str, int] = {}
    for wire in wires:
        for column in decode_columns(wire):
            values.setdefault(column.name, []).extend(column.values)
            types[column.name] = column.type
    if not wires:
        values = {name: [] for name in columns}
        types = {name: _TYPES.get(kind, 0) for name, kind in columns.items()}
    series = {}
    for name, cells in values.items():
        if types[name] in (DATE, TIMESTAMP):
            series[name] = pandas.to_datetime(pandas.Series(cells, dtype="object"),
                                              utc=types[name] == TIMESTAMP, errors="coerce")
        else:
            without = "float64" if types[name] == FLOAT64 else "object"  # what pandas makes of cells by itself
            series[name] = pandas.Series(cells, dtype=_DTYPES.get(types[name], None if cells else without))
    return pandas.DataFrame(series)
