"""Samples that travel with a model: rows, and what Python made of them (worker/score/verify.h)."""

from __future__ import annotations

import sys
from array import array
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence

import msgpack

from ._batch import FLOAT64, INT64, TEXT
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
    if known and all(isinstance(value, int) and not isinstance(value, bool) for value in known):
        return INT64
    return FLOAT64


def _column(name: str, values: Sequence[Any]) -> List[Any]:
    kind = _kind(values)
    nulls: Optional[bytes] = None
    if any(value is None for value in values):
        bits = bytearray((len(values) + 7) // 8)
        for row, value in enumerate(values):
            if value is None:
                bits[row >> 3] |= 1 << (row & 7)
        nulls = bytes(bits)
    if kind == TEXT:
        texts = ["" if value is None else str(value) for value in values]
        pieces = [text.encode() for text in texts]
        ends, at = [], 0
        for piece in pieces:
            at += len(piece)
            ends.append(at)
        return [name, kind, nulls, b"".join(pieces), _numbers("I", ends)]
    try:
        if kind == INT64:
            return [name, kind, nulls, _numbers("q", (value or 0 for value in values)), None]
        return [name, kind, nulls,
                _numbers("d", (0.0 if value is None else float(value) for value in values)), None]
    except (TypeError, ValueError, OverflowError) as cause:
        raise InvalidArgument(f"column {name!r}: {cause}") from None


def batch_of(columns: Mapping[str, Sequence[Any]]) -> List[Any]:
    """Columns of the same length in the wire form (common/batch.h), not packed yet: texts, integers or
    floats; None is NULL."""
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise InvalidArgument(f"columns of different lengths: {sorted(lengths)}")
    rows = lengths.pop() if lengths else 0
    return [1, rows, [_column(name, list(values)) for name, values in columns.items()]]


def _plain(values: Any) -> Any:
    """Lists of Python values from arrays, data frames and lists."""
    return values.tolist() if hasattr(values, "tolist") else values


def table(rows: Any, names: Optional[Sequence[str]] = None) -> Dict[str, List[Any]]:
    """Columns from a data frame, a mapping of columns, a matrix, or a list of rows."""
    if hasattr(rows, "columns") and hasattr(rows, "iloc"):
        return {str(name): list(_plain(rows[name])) for name in rows.columns}
    if isinstance(rows, Mapping):
        return {str(name): list(_plain(values)) for name, values in rows.items()}
    matrix = [list(_plain(row)) if hasattr(row, "__len__") and not isinstance(row, str) else [row]
              for row in _plain(rows)]
    width = len(matrix[0]) if matrix else 0
    chosen = list(names) if names is not None else [f"f{i}" for i in range(width)]
    if len(chosen) != width or any(len(row) != width for row in matrix):
        raise InvalidArgument(f"rows of {width} values and {len(chosen)} names")
    return {name: [row[i] for row in matrix] for i, name in enumerate(chosen)}


def _outputs(model: Any, rows: Any, y: Any) -> Dict[str, List[Any]]:
    """What the engine calls them: label, and probability_<class> of a classifier."""
    if y is not None:
        return table(y) if isinstance(y, Mapping) or hasattr(y, "columns") else {"label": list(_plain(y))}
    found: Dict[str, List[Any]] = {}
    if hasattr(model, "predict"):
        predicted = _plain(model.predict(rows))
        found["label" if hasattr(model, "classes_") else "variable"] = list(predicted)
    if hasattr(model, "predict_proba") and hasattr(model, "classes_"):
        matrix = _plain(model.predict_proba(rows))
        for i, name in enumerate(_plain(model.classes_)):
            found[f"probability_{name}"] = [row[i] for row in matrix]
    return found


def export_check(model: Any, X: Any, y: Any = None, *, names: Optional[Sequence[str]] = None) -> bytes:
    """A sample that travels with a model: rows, and the outputs that Python gave for them. A model
    that gives something else is refused at submit, and by each worker: ``score("churn.onnx", sample=export_check(model, X))``.

    ``model``: the trained estimator, whose predict and predict_proba are asked when ``y`` is None. ``X``:
    a data frame, a mapping of columns, a matrix or a list of rows (of at most 100,000), with ``names`` for
    its columns where it has none. ``y``: the outputs by the names that the model's columns have in
    drover (``label``, ``probability_<class>``, or the graph's own), or the labels.
    """
    columns = table(X, names)
    outputs = _outputs(model, X, y)
    rows = {len(values) for values in [*columns.values(), *outputs.values()]}
    if not outputs or len(rows) != 1:
        raise InvalidArgument(f"as many outputs as rows are wanted, not {sorted(rows)}")
    if not 0 < next(iter(rows)) <= SAMPLE_ROWS_MAX:
        raise InvalidArgument(f"a sample has 1 to {SAMPLE_ROWS_MAX} rows")
    sample: bytes = msgpack.packb([1, batch_of(columns), batch_of(outputs)])
    return sample
