"""Samples that travel with a model: rows, and what Python made of them (worker/score/verify.h)."""

from __future__ import annotations

import sys
from array import array
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

import msgpack

from ._batch import BOOL, FLOAT64, INT64, TEXT
from ._cells import cells, frame_columns, is_frame, is_listed, named
from .errors import InvalidArgument

SAMPLE_ROWS_MAX = 100_000
"""Rows of one sample."""


def _numbers(code: str, values: Iterable[Any]) -> bytes:
    packed = array(code, values)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def _kind(values: Sequence[Any]) -> int:
    """Of the values that are not None."""
    known = [value for value in values if value is not None]
    if any(isinstance(value, str) for value in known):
        return TEXT
    if known and all(isinstance(value, bool) for value in known):
        return BOOL
    return INT64 if known and all(isinstance(value, int) for value in known) else FLOAT64


def _texts(where: str, values: Sequence[Any]) -> List[Any]:
    """The bytes of a column of texts, and where each ends."""
    pieces, ends, at = [], [], 0
    for row, value in enumerate(values):
        if value is not None and not isinstance(value, str):
            raise InvalidArgument(f"{where}[{row}]: a text is wanted, as in other rows, not {value!r:.60}")
        pieces.append((value or "").encode())
        at += len(pieces[-1])
        ends.append(at)
    return [b"".join(pieces), _numbers("I", ends)]


def _column(name: str, raw: Sequence[Any]) -> List[Any]:
    where = f"column {name!r}, rows"
    values = cells(raw, where)
    kind = _kind(values)
    nulls: Optional[bytes] = None
    if any(value is None for value in values):
        bits = bytearray((len(values) + 7) // 8)
        for row, value in enumerate(values):
            if value is None:
                bits[row >> 3] |= 1 << (row & 7)
        nulls = bytes(bits)
    if kind == TEXT:
        return [name, kind, nulls, *_texts(where, values)]
    for row, value in enumerate(values):
        if isinstance(value, bytes):
            raise InvalidArgument(f"{where}[{row}]: a number or a text is wanted, not bytes")
    if kind == BOOL:
        return [name, kind, nulls, bytes(value or False for value in values), None]
    if kind == INT64:
        return [name, kind, nulls, _numbers("q", (value or 0 for value in values)), None]
    return [name, kind, nulls, _numbers("d", (0.0 if value is None else float(value) for value in values)), None]


def batch_of(columns: Mapping[str, Sequence[Any]]) -> List[Any]:
    """Columns of the same length in the wire form (common/batch.h), not packed yet: texts, bools, integers or
    floats; None is NULL."""
    rows = _length(columns)
    return [1, rows, [_column(name, values) for name, values in columns.items()]]


def _length(columns: Mapping[str, Sequence[Any]]) -> int:
    """How many rows there are."""
    rows = -1
    for name, values in columns.items():
        if rows >= 0 and len(values) != rows:
            raise InvalidArgument(f"column {name!r} has {len(values)} rows, the columns before have {rows}")
        rows = len(values)
    return max(rows, 0)


def _plain(values: Any) -> Any:
    """Lists of Python values from arrays, data frames and lists."""
    return values.tolist() if hasattr(values, "tolist") else values


def _once(pairs: Iterable[Tuple[str, List[Any]]]) -> Dict[str, List[Any]]:
    """Columns by name."""
    found: Dict[str, List[Any]] = {}
    for name, values in pairs:
        if name in found:
            raise InvalidArgument(f"column {name!r}: it is there twice")
        found[name] = values
    return found


def _by_row(rows: List[Any]) -> Dict[str, List[Any]]:
    """Columns from dictionaries, which all have the names of the first."""
    names = list(rows[0])
    for number, row in enumerate(rows):
        if row is None or row.keys() != rows[0].keys():
            raise InvalidArgument(f"rows[{number}]: a dictionary with the columns of the first row is wanted")
    return {str(name): [row[name] for row in rows] for name in names}


def table(rows: Any, names: Optional[Sequence[str]] = None) -> Dict[str, List[Any]]:
    """Columns from a data frame, a mapping of columns, a matrix, or a list of rows."""
    if isinstance(names, str):
        raise InvalidArgument(f"names: a list of names is wanted, not the text {names!r:.60}")
    if is_frame(rows):
        return _once(frame_columns(rows))
    if isinstance(rows, Mapping):
        return {str(name): list(_plain(values)) for name, values in rows.items()}
    if isinstance(rows, (str, bytes)) or not hasattr(rows, "__iter__"):
        raise InvalidArgument(f"a data frame, a matrix or a list of rows is wanted, not {type(rows).__name__}")
    some = list(rows)
    if some and named(some[0]) is not None:
        return _by_row([named(row) for row in some])
    matrix = [list(row) if is_listed(row) else [row] for row in some]
    width = len(matrix[0]) if matrix else 0
    for number, row in enumerate(matrix):
        if len(row) != width:
            raise InvalidArgument(f"rows[{number}]: {len(row)} values, and {width} in the first row")
    chosen = list(names) if names is not None else [f"f{i}" for i in range(width)]
    if len(chosen) != width:
        raise InvalidArgument(f"names: {len(chosen)} for rows of {width} values")
    return _once((name, [row[i] for row in matrix]) for i, name in enumerate(chosen))


def _outputs(model: Any, rows: Any, y: Any) -> Dict[str, List[Any]]:
    """What the engine calls them: label, and probability_<class> of a classifier."""
    if y is not None:
        if isinstance(y, Mapping) or is_frame(y):
            return table(y)
        labels = list(_plain(y)) if hasattr(y, "__iter__") and not isinstance(y, (str, bytes)) else []
        if not labels or is_listed(labels[0]):
            raise InvalidArgument("y: one label a row is wanted, or a mapping of the outputs' names to their values")
        return {"label": labels}
    found: Dict[str, List[Any]] = {}
    if hasattr(model, "predict"):
        predicted = _plain(model.predict(rows))
        found["label" if hasattr(model, "classes_") else "variable"] = list(predicted)
    if hasattr(model, "predict_proba") and hasattr(model, "classes_"):
        matrix = _plain(model.predict_proba(rows))
        for i, name in enumerate(_plain(model.classes_)):
            found[f"probability_{name}"] = [row[i] for row in matrix]
    if not found:
        raise InvalidArgument(f"y: the outputs are wanted, since {type(model).__name__} cannot predict()")
    return found


def export_check(model: Any, X: Any, y: Any = None, *, names: Optional[Sequence[str]] = None) -> bytes:
    """A sample that travels with a model: rows, and the outputs that Python gave for them. A model
    that gives something else is refused at submit, and by each worker: ``score("churn.onnx", sample=export_check(model, X))``.

    ``model``: the trained estimator, whose predict and predict_proba are asked when ``y`` is None. ``X``:
    a data frame, a mapping of columns, a matrix or rows (lists or dictionaries; at most 100,000), with
    ``names`` for its columns where it has none. None, NaN and pandas' NA are missing values. ``y``: the outputs by the names that the model's columns have in
    drover (``label``, ``probability_<class>``, or the graph's own), or the labels. InvalidArgument names the column
    and the row that is wrong.
    """
    if hasattr(X, "__next__"):
        X = list(X)
    columns = table(X, names)
    rows = _length(columns)
    if not 0 < rows <= SAMPLE_ROWS_MAX:
        raise InvalidArgument(f"X: a sample has 1 to {SAMPLE_ROWS_MAX} rows, not {rows}")
    outputs = _outputs(model, X, y)
    if _length(outputs) != rows:
        raise InvalidArgument(f"y: {_length(outputs)} outputs for {rows} rows")
    sample: bytes = msgpack.packb([1, batch_of(columns), batch_of(outputs)])
    return sample
