"""Models for the tests of predictions, with what scikit-learn makes of their rows."""

from __future__ import annotations

import hashlib
from typing import Any

import msgpack
import numpy as np
from sklearn import ensemble, linear_model

import onnx_write as ow
from fleet import Front

CHUNK = 1 << 20


def classifier(features: int = 6, seed: int = 0, trees: int = 20) -> tuple[bytes, Any]:
    """A forest of two classes over one matrix: the file and the model."""
    rng = np.random.RandomState(seed)
    x = rng.standard_normal((1500, features)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] * x[:, 2] + rng.standard_normal(1500) * 0.2 > 0).astype(int)
    model = ensemble.RandomForestClassifier(trees, max_depth=8, random_state=seed).fit(x, y)
    g = ow.Graph()
    ow.forest(g, g.input("X", ow.FLOAT, None, features), model)
    return g.bytes(), model


def twice() -> bytes:
    """A model that gives each row's own value back, doubled: `x` to `y`; and `city`, a text, to `name`."""
    g = ow.Graph()
    x, city = g.input("x", ow.DOUBLE, None, 1), g.input("city", ow.STRING, None, 1)
    doubled = g.add("Add", [x, x])
    g.add("Identity", [doubled], ["y"])
    g.add("Identity", [city], ["name"])
    g.output("y", ow.DOUBLE, None, 1)
    g.output("name", ow.STRING, None, 1)
    return g.bytes()


def logistic(features: int = 4, classes: int = 3) -> tuple[bytes, Any]:
    """A regression over one matrix."""
    rng = np.random.RandomState(1)
    x = rng.standard_normal((600, features)).astype(np.float32)
    y = np.digitize(x[:, 0] - x[:, 1], [-0.5, 0.5]) if classes == 3 else (x[:, 0] > 0).astype(int)
    model = linear_model.LogisticRegression(max_iter=500).fit(x, y)
    g = ow.Graph()
    ow.logistic(g, g.input("X", ow.FLOAT, None, features), model)
    return g.bytes(), model


def upload(front: Front, data: bytes) -> str:
    """Puts a blob; its name."""
    sha = hashlib.sha256(data).hexdigest()
    for at in range(0, max(len(data), 1), CHUNK):
        front.call("blob.put", sha=sha, offset=at, total=len(data), data=data[at:at + CHUNK])
    return sha


def add(front: Front, name: str, data: bytes, **args: Any) -> int:
    """Adds a model; its version."""
    return int(front.call("model.add", name=name, blob=upload(front, data), **args)["version"])


def batch_rows(wire: bytes) -> list[dict[str, Any]]:
    """A batch in wire form (docs/PROTOCOL.md) as dictionaries."""
    _, n, columns = msgpack.unpackb(wire)
    out: list[dict[str, Any]] = [{} for _ in range(n)]
    for name, kind, _, data, ends in columns:
        if kind == 5:
            bounds = [0, *np.frombuffer(ends, "<u4").tolist()]
            values: Any = [data[bounds[i]:bounds[i + 1]].decode() for i in range(n)]
        else:
            values = np.frombuffer(data, {1: "?", 2: "<i8", 3: "<f8"}[kind]).tolist()
        for row, value in zip(out, values):
            row[name] = value
    return out
