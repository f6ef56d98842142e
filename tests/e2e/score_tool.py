"""Runs score_cli, and packs rows for it: the columnar form of common/batch.h."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Mapping

import msgpack
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("DROVER_BUILD", ROOT / "build"))
CLI = BUILD / "tests" / "unit" / "score_cli"
BOOL_T, INT64_T, FLOAT64_T, DECIMAL_T, TEXT_T, DATE_T = 1, 2, 3, 4, 5, 7
NUMPY_TYPES = {BOOL_T: "?", INT64_T: "<i8", FLOAT64_T: "<f8", DATE_T: "<i8"}


class Refused(Exception):
    """score_cli ended with an error; the text is what it said."""


def column(name: str, values: Any) -> List[Any]:
    """One column by the type of its values; None is NULL."""
    array = np.asarray(values, object) if any(v is None for v in values) else np.asarray(values)
    null = np.asarray([v is None for v in values]) if array.dtype == object else np.zeros(len(values), bool)
    bits = np.packbits(null, bitorder="little").tobytes() if null.any() else None
    if array.dtype.kind in "OU":
        present = [v for v in values if v is not None]
        if not present or isinstance(present[0], str):
            cells = ["" if v is None else str(v) for v in values]
            ends = np.cumsum([len(c.encode()) for c in cells]).astype("<u4")
            return [name, TEXT_T, bits, "".join(cells).encode(), ends.tobytes()]
        array = np.asarray([0 if v is None else v for v in values])
    kind = {"b": BOOL_T, "i": INT64_T, "u": INT64_T, "f": FLOAT64_T}[array.dtype.kind]
    return [name, kind, bits, array.astype(NUMPY_TYPES[kind]).tobytes(), None]


def pack(columns: Mapping[str, Any]) -> bytes:
    """Columns of one length as a packed batch."""
    rows = len(next(iter(columns.values()))) if columns else 0
    packed: bytes = msgpack.packb([1, rows, [column(k, v) for k, v in columns.items()]])
    return packed


def matrix(x: Any) -> Dict[str, Any]:
    """The columns of a matrix, named c0, c1, ..."""
    return {f"c{i}": np.asarray(x[:, i], np.float64) for i in range(x.shape[1])}


def unpack(data: bytes) -> Dict[str, Any]:
    """Columns of a packed batch: arrays, or lists of text."""
    _, rows, columns = msgpack.unpackb(data)
    out: Dict[str, Any] = {}
    for name, kind, nulls, cells, ends in columns:
        if kind in NUMPY_TYPES:
            out[name] = np.frombuffer(cells, NUMPY_TYPES[kind])
        else:
            stops = [0, *np.frombuffer(ends, "<u4")]
            out[name] = np.asarray([cells[a:b].decode() for a, b in zip(stops, stops[1:])])
        if nulls is not None:
            empty = np.unpackbits(np.frombuffer(nulls, np.uint8), count=rows, bitorder="little").astype(bool)
            out[name] = np.asarray([None if e else v for v, e in zip(out[name], empty)], object)
    return out


def run(*arguments: object) -> bytes:
    """What score_cli prints. Raises Refused with its last words."""
    done = subprocess.run([str(CLI), *map(str, arguments)], capture_output=True, timeout=300, check=False)
    if done.returncode == 2:
        raise Refused(done.stderr.decode().strip())
    if done.returncode != 0:
        raise AssertionError(f"score_cli ended with {done.returncode}: {done.stderr.decode()[-3000:]}")
    return done.stdout


def score(folder: Path, model: bytes, rows: Mapping[str, Any], *arguments: object) -> Dict[str, Any]:
    """The results of a model over rows."""
    (folder / "model.onnx").write_bytes(model)
    (folder / "rows.batch").write_bytes(pack(rows))
    return unpack(run("--model", folder / "model.onnx", "--batch", folder / "rows.batch", *arguments))


def explain(folder: Path, model: bytes, *arguments: object) -> str:
    """The text about a model."""
    (folder / "model.onnx").write_bytes(model)
    return run("--model", folder / "model.onnx", "--explain", *arguments).decode()
