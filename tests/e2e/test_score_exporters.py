"""Models as the exporters of pip write them (skl2onnx, onnxmltools), against the libraries' predictions and ONNX
Runtime's. Left out, with the reason, where pip cannot fetch them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from score_peers import peers_python
from score_tool import Refused, explain, matrix, score

HERE = Path(__file__).parent
MADE_AT_LEAST = 45


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models and what is expected of them."""
    python, why = peers_python()
    if python is None:
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("exports")
    done = subprocess.run([str(python), str(HERE / "score_exports.py"), str(folder)], capture_output=True, timeout=600,
                          check=False)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    print(done.stdout.decode())
    return folder


def test_exported_models(exports: Path, tmp_path: Path) -> None:
    """Labels and numbers within 1e-5 of the library's and 2e-5 of ONNX Runtime's; see compare()."""
    models = sorted(path for path in exports.glob("*.onnx") if not path.name.endswith(".text.onnx"))
    wrong = []
    for path in models:
        data = np.load(path.with_suffix(".npz"), allow_pickle=True)
        try:
            compare(score(tmp_path, path.read_bytes(), matrix(data["x"])), data)
        except Exception as difference:  # one list of all that differ
            wrong.append(f"{path.stem}: {str(difference).strip()[:400]}")
    assert not wrong, "\n".join(wrong)
    assert len(models) >= MADE_AT_LEAST


def test_text_models(exports: Path, tmp_path: Path) -> None:
    """Words, pairs of words and letters, counted as scikit-learn counts them; every cut is refused."""
    models = sorted(exports.glob("*.text.onnx"))
    for path in models:
        data = np.load(path.with_suffix(".npz"), allow_pickle=True)
        got = score(tmp_path, path.read_bytes(), {"text": data["text"].tolist()})
        scores = np.stack([v for k, v in got.items() if k.startswith("probability")], 1)
        np.testing.assert_allclose(scores, data["value"], rtol=1e-5, atol=1e-5, err_msg=path.name)
        np.testing.assert_array_equal(got["label"], data["label"], path.name)
    assert len(models) == 6


@pytest.mark.parametrize("name", ["tfidf.text", "lightgbm_categories", "random_forest", "svc_probability"])
def test_cut_models(exports: Path, tmp_path: Path, name: str) -> None:
    """A model that lost its end is refused wherever it was cut."""
    whole = (exports / f"{name}.onnx").read_bytes()
    for part in range(20):
        with pytest.raises(Refused, match="truncated|has no graph|has 0 nodes|operator set"):
            explain(tmp_path, whole[:len(whole) * part // 20])


def compare(got: Any, data: Any) -> None:
    """One model's results. An exporter writes float32 where the library has float64, so a few rows lie on another
    side of a threshold than the library's: no more of them than ONNX Runtime has, and a thousandth."""
    flat = np.hstack([data[f"onnx_{i}"] for i in range(2) if f"onnx_{i}" in data])
    assert flat.shape[1] == len(got), list(got)
    for (name, values), want in zip(got.items(), flat.T):
        if np.asarray(values).dtype.kind != "i":
            np.testing.assert_allclose(values, want, rtol=2e-5, atol=2e-5, err_msg=f"{name} is not ONNX Runtime's")
    if "label" not in got:
        agree(got["variable"], flat[:, 0], np.ravel(data["label"]))
        return
    exact = np.asarray(got["label"] == flat[:, 0])
    scores = flat[:, 1:]
    if scores.shape[1] > 1:
        order = np.sort(scores, axis=1)
        exact |= order[:, -1] - order[:, -2] < 1e-6  # on the edge of two classes
    assert exact.all(), f"{(~exact).sum()} labels are not ONNX Runtime's"
    agree(got["label"], flat[:, 0], data["label"])
    if "value" in data and "probability_0" in got:
        agree(np.stack([v for k, v in got.items() if k.startswith("probability")], 1), scores, data["value"])


def agree(ours: Any, peer: Any, want: Any) -> None:
    """As many rows are the library's as of ONNX Runtime."""
    rows = len(want)

    def right(x: Any) -> float:
        return float(np.isclose(x.reshape(rows, -1), want.reshape(rows, -1), rtol=1e-5, atol=1e-5).all(axis=1).mean())

    assert right(ours) >= right(peer) - 0.001, f"{right(ours):.4f} of the rows are right, {right(peer):.4f} of ONNX's"


def test_isolation_forest_becomes_one_forest(exports: Path, tmp_path: Path) -> None:
    """Hundreds of operators as exported, ten when planned."""
    text = explain(tmp_path, (exports / "isolation_forest.onnx").read_bytes())
    assert "nodes after planning (10)" in text and "50 trees" in text
