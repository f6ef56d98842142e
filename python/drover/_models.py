"""Named models and predictions, as operations without I/O on the network."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Union

from ._batch import Row, decode_rows
from ._blobs import Source, blob_of, upload
from ._cells import cells, frame_columns, is_frame, is_listed, named
from ._protocol import Operation, Request
from .errors import InvalidArgument

Rows = Union[Iterable[Mapping[str, Any]], Iterable[Iterable[Any]]]
"""Dictionaries, or lists in the order of the model's columns; a data frame, a matrix of numpy."""

ROWS_MAX = 10_000
"""Rows of one prediction; of an iterable no more are read than it takes for the coordinator to refuse them."""

TIMEOUT_MAX_S = 1_000_000
"""For a prediction."""

CHECK_WAIT_S = 60.0
"""How long the coordinator may take to load a model and look at it."""

PREDICT_WAIT_S = 10.0
"""How long a prediction may take when the caller does not say; the coordinator's predict.timeout bounds it
too."""


@dataclass(frozen=True)
class Model:
    """A version of a named model. ``columns`` and ``results`` map names to types; when ``positional`` the
    columns have no names, and rows are lists. ``breaker``: closed, open or half_open, with the last
    ``error``."""

    name: str
    version: int
    newest: bool
    positional: bool
    columns: Dict[str, str]
    results: Dict[str, str]
    breaker: str
    error: Optional[str]
    raw: Dict[str, Any] = field(default_factory=dict, repr=False)


def model_from(value: Mapping[str, Any]) -> Model:
    """A Model from the model map of the protocol."""
    return Model(
        name=str(value["model"]), version=int(value["version"]), newest=bool(value["newest"]),
        positional=bool(value["positional"]),
        columns={str(c["name"]): str(c["type"]) for c in value["columns"]},
        results={str(c["name"]): str(c["type"]) for c in value["results"]},
        breaker=str(value["breaker"]), error=value.get("error"), raw=dict(value))


def models() -> Operation[List[Model]]:
    """All versions of all models, in order."""
    value = yield Request("model.ls", {})
    return [model_from(one) for one in value["models"]]


def add_model(name: str, source: Source, sample: Optional[Source], tolerance: Optional[float],
              columns: Optional[Sequence[str]], version: Optional[int]) -> Operation[int]:
    """Uploads a model's file and gives it a name; returns the version."""
    if isinstance(columns, str):
        raise InvalidArgument(f"columns: a list of names is wanted, not the text {columns!r:.60}")
    blobs = [blob_of(one) for one in ((source,) if sample is None else (source, sample))]
    yield from upload(blobs)
    args = {"name": name, "blob": blobs[0].sha, "sample": blobs[1].sha if sample is not None else None,
            "tolerance": tolerance, "columns": list(columns) if columns is not None else None,
            "version": version}
    value = yield Request("model.add", args, CHECK_WAIT_S)
    return int(value["version"])


def remove_model(name: str, version: Optional[int]) -> Operation[None]:
    """Forgets a version, or all of a name."""
    yield Request("model.rm", {"name": name, "version": version})


def _listed(rows: List[Any]) -> Dict[str, Any]:
    """Rows that are lists of values, in the order of the model's columns."""
    values = []
    for number, row in enumerate(rows):
        if not is_listed(row):
            raise InvalidArgument(f"rows[{number}]: a list of values is wanted, as in the first row, not {row!r:.60}")
        values.append(cells(row, f"rows[{number}]"))
    return {"columns": None, "rows": values}


def _named(rows: List[Any], first: Mapping[str, Any]) -> Dict[str, Any]:
    """Rows with names; all have the columns of the first."""
    names = list(first)
    texts = cells(map(str, names), "columns")
    values = []
    for number, row in enumerate(rows):
        by_name = named(row)
        if by_name is None:
            raise InvalidArgument(f"rows[{number}]: a dictionary is wanted, as in the first row, not {row!r:.60}")
        if len(by_name) != len(names) or by_name.keys() != first.keys():
            missing = [name for name in names if name not in by_name]
            extra = [name for name in by_name if name not in first]
            raise InvalidArgument(f"rows[{number}]: " + (
                f"the column {missing[0]!r} is missing" if missing else
                f"the column {extra[0]!r} is not in the first row"))
        values.append(cells((by_name[name] for name in names), f"rows[{number}]", texts))
    return {"columns": texts, "rows": values}


def _framed(frame: Any) -> Dict[str, Any]:
    """The rows of a data frame, without its index."""
    columns = frame_columns(frame[:ROWS_MAX + 1])
    names = cells((name for name, _ in columns), "columns")
    values = [cells(row, f"rows[{number}]", names)
              for number, row in enumerate(zip(*(of for _, of in columns)))]
    if not values:
        raise InvalidArgument("predict() takes a list of rows, not an empty frame")
    return {"columns": names, "rows": values}


def table(rows: Rows) -> Dict[str, Any]:
    """Rows as names and lists of values; all rows have the columns of the first. No names: rows are lists."""
    if is_frame(rows):
        return _framed(rows)
    if isinstance(rows, (str, bytes)) or not hasattr(rows, "__iter__") or named(rows) is not None:
        raise InvalidArgument(f"predict() takes a list of rows, not {type(rows).__name__}; one row is [row]")
    some = list(islice(rows, ROWS_MAX + 1))
    if not some:
        raise InvalidArgument("predict() takes a list of rows, not an empty one")
    first = named(some[0])
    if first is None and not is_listed(some[0]):
        raise InvalidArgument(f"rows[0]: a dictionary or a list of values is wanted, not {some[0]!r:.60}; "
                              "one row is [row]")
    return _listed(some) if first is None else _named(some, first)


def _timeout_ms(timeout: Optional[float]) -> Optional[int]:
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout <= TIMEOUT_MAX_S:
        raise InvalidArgument(f"timeout: seconds above 0 and up to {TIMEOUT_MAX_S:,} are wanted, not {timeout!r:.60}")
    return max(1, int(timeout * 1000))


def predict(name: str, rows: Rows, version: Optional[int],
            timeout: Optional[float]) -> Operation[List[Row]]:
    """The model's results for each row."""
    timeout_ms = _timeout_ms(timeout)
    args = {"name": name, "version": version, **table(rows), "timeout_ms": timeout_ms}
    value = yield Request("predict", args, PREDICT_WAIT_S if timeout is None else timeout)
    return list(decode_rows(value["rows"]))
