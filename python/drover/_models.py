"""Named models and predictions, as operations without I/O on the network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

from ._batch import Row, decode_rows
from ._blobs import Source, blob_of, upload
from ._protocol import Operation, Request
from .errors import InvalidArgument

Rows = Union[Sequence[Mapping[str, Any]], Sequence[Sequence[Any]]]
"""Dictionaries, or lists in the order of the model's columns."""

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
    blobs = [blob_of(one) for one in (source, sample) if one is not None]
    yield from upload(blobs)
    args = {"name": name, "blob": blobs[0].sha, "sample": blobs[1].sha if sample is not None else None,
            "tolerance": tolerance, "columns": list(columns) if columns is not None else None,
            "version": version}
    value = yield Request("model.add", args, CHECK_WAIT_S)
    return int(value["version"])


def remove_model(name: str, version: Optional[int]) -> Operation[None]:
    """Forgets a version, or all of a name."""
    yield Request("model.rm", {"name": name, "version": version})


def plain(value: Any) -> Any:
    """A cell as msgpack packs it: numbers of numpy and Decimal become Python's own."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if hasattr(value, "item"):
        return value.item()
    return float(value) if hasattr(value, "__float__") else value


def _listed(rows: Rows) -> Dict[str, Any]:
    """Rows that are lists of values, in the order of the model's columns."""
    values = []
    for number, row in enumerate(rows):
        if isinstance(row, (str, bytes, Mapping)) or not hasattr(row, "__iter__"):
            raise InvalidArgument(f"rows[{number}]: a list of values is wanted, as in the first row, not {row!r:.60}")
        try:
            values.append([plain(value) for value in row])
        except (TypeError, ValueError) as cause:
            raise InvalidArgument(f"rows[{number}]: {cause}") from None
    return {"columns": None, "rows": values}


def table(rows: Rows) -> Dict[str, Any]:
    """Rows as names and lists of values; all rows have the columns of the first. No names: rows are lists."""
    if len(rows) == 0:
        raise InvalidArgument("predict() takes a list of rows, not an empty one")
    if not isinstance(rows[0], Mapping):
        return _listed(rows)
    names = list(rows[0])
    values = []
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InvalidArgument(f"rows[{number}]: a dictionary is wanted, as in the first row, not {row!r:.60}")
        if len(row) != len(names):
            missing = [name for name in names if name not in row]
            extra = [name for name in row if name not in rows[0]]
            raise InvalidArgument(f"rows[{number}]: " + (
                f"the column {missing[0]!r} is missing" if missing else
                f"the column {extra[0]!r} is not in the first row"))
        try:
            values.append([plain(row[name]) for name in names])
        except KeyError as cause:
            raise InvalidArgument(f"rows[{number}]: the column {cause.args[0]!r} is missing") from None
        except (TypeError, ValueError) as cause:
            raise InvalidArgument(f"rows[{number}]: {cause}") from None
    return {"columns": [str(name) for name in names], "rows": values}


def predict(name: str, rows: Rows, version: Optional[int],
            timeout: Optional[float]) -> Operation[List[Row]]:
    """The model's results for each row."""
    wait_s = PREDICT_WAIT_S if timeout is None else timeout
    args = {"name": name, "version": version, **table(rows),
            "timeout_ms": None if timeout is None else max(1, int(timeout * 1000))}
    value = yield Request("predict", args, wait_s)
    return list(decode_rows(value["rows"]))
