"""What the documents show of models and predictions works as written, line by line, in a scratch fleet."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
pd = pytest.importorskip("pandas")

from sklearn import ensemble  # noqa: E402

from fleet import Coordinator, Process, find_binary  # noqa: E402
import onnx_write as ow  # noqa: E402
from predict_http import TOKEN, token_file  # noqa: E402
from test_docs import chapter, run_python  # noqa: E402

GIVEN = """
import pickle
from drover import score, transform
model, X = pickle.load(open("trained", "rb"))
FEATURES = ["age", "income", "visits"]
numbers = ", ".join(f"{name}::double precision AS {name}" for name in FEATURES)
"""
"""What a reader has at hand: a model, its training data, and the names of the block before."""


@pytest.fixture
def fleet(coordinators: Callable[..., Coordinator], tmp_path: Path) -> Iterator[Coordinator]:
    """One worker and the port for predictions."""
    coordinator = coordinators(**{"predict.listen": "http://127.0.0.1:0",
                                  "predict.token_file": token_file(tmp_path)}).start()
    worker = Process("worker", [str(find_binary("drover-worker")), "--coordinator", coordinator.back, "--id", "w1"], tmp_path)
    yield coordinator
    worker.kill()


@pytest.fixture
def customers(tmp_path: Path) -> Any:
    """churn.onnx, customers-1.csv and what the model says of them."""
    rng = np.random.RandomState(0)
    x = pd.DataFrame({"age": rng.randint(18, 90, 400), "income": rng.randint(10_000, 90_000, 400),
                      "visits": rng.randint(0, 20, 400)})
    model = ensemble.RandomForestClassifier(30, random_state=0).fit(x, ((x.age > 50) & (x.visits < 8)).astype(int))
    g = ow.Graph()
    ow.forest(g, g.input("X", ow.FLOAT, None, 3), model)
    (tmp_path / "churn.onnx").write_bytes(g.bytes())
    (tmp_path / "trained").write_bytes(pickle.dumps((model, x)))
    x.to_csv(tmp_path / "customers-1.csv", index_label="id")
    return model.predict_proba(x)[:, 1]


def shell(code: str, folder: Path, **environment: str) -> str:
    path = f"{find_binary('drover-worker').parent}:{os.environ['PATH']}"
    return subprocess.run(["sh", "-ec", code], cwd=folder, check=True, text=True, timeout=60, capture_output=True,
                          env={**os.environ, "PATH": path, **environment}).stdout


def test_the_chapter_on_models(fleet: Coordinator, customers: Any, tmp_path: Path) -> None:
    text = chapter("docs/GUIDE.md", "Models")
    first, second = re.findall(r"```python\n(.*?)```", text, re.S)
    out = run_python(GIVEN + first, fleet.front, tmp_path)
    risky = [number for number, risk in enumerate(customers) if risk > 0.8 - 1e-6]  # sums of float32
    assert [int(line.split()[0]) for line in out.splitlines()] == risky
    run_python(GIVEN + second, fleet.front, tmp_path)
    shown = shell(re.findall(r"```sh\n(.*?)```", text, re.S)[0], tmp_path)
    assert "TreeEnsembleClassifier" in shown
    scored = pd.read_csv(tmp_path / "risk.csv")
    np.testing.assert_allclose(scored.sort_values("id").probability_1, customers, atol=1e-5)


def test_the_chapter_on_predictions(fleet: Coordinator, customers: Any, tmp_path: Path) -> None:
    text = chapter("docs/GUIDE.md", "Predictions")
    assert run_python(GIVEN + re.findall(r"```python\n(.*?)```", text, re.S)[0], fleet.front, tmp_path) == "0 0.0\n"
    curl = re.findall(r"```\n(curl .*?)```", text, re.S)[0].replace("http://127.0.0.1:7703", str(fleet.ports["predict"]))
    assert shell(curl.replace("curl", "curl -s"), tmp_path, TOKEN=TOKEN) == (
        '{"model": "churn", "version": 1, "rows": [{"label": 0, "probability_0": 1, "probability_1": 0}]}\n')
