"""Models trained by scikit-learn, written as ONNX by onnx_write.py, scored by the engine; the library's own
predictions are what must come out: labels equal, probabilities within 1e-5, on rows with NaN, infinities and
extremes where the estimator takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Tuple

import numpy as np
import pytest

import onnx_write as ow
from score_tool import explain, matrix, score

sklearn = pytest.importorskip("sklearn")

from sklearn import ensemble, linear_model, neural_network, preprocessing  # noqa: E402
from sklearn.impute import SimpleImputer  # noqa: E402

FEATURES = 12
KERNELS = ("walk", "lockstep", "quick-scalar", "quick-avx2", "quick-avx512")
Data = Tuple[Any, Any]


def data(n: int, classes: int = 2, seed: int = 0, regression: bool = False) -> Data:
    """Rows, and labels that depend on them."""
    rng = np.random.RandomState(seed)
    x = (rng.standard_normal((n, FEATURES)) * np.exp(rng.uniform(-2, 2, FEATURES))).astype(np.float32)
    raw = x[:, 0] + np.abs(x[:, 1]) * 0.7 - x[:, 2] * x[:, 3] + rng.standard_normal(n) * 0.3
    if regression:
        return x, raw
    return x, np.digitize(raw, np.quantile(raw, np.linspace(0, 1, classes + 1)[1:-1]))


def rows(n: int = 4000, nan: bool = False, extreme: bool = True) -> Any:
    """Rows to score, not those of the training."""
    x = data(n, seed=99)[0].copy()
    rng = np.random.RandomState(7)
    if extreme:
        for value in (3e38, -3e38, 1e-38, -1e-45, 0.0, -0.0, 1e10):
            x[rng.randint(0, n, 40), rng.randint(0, FEATURES, 40)] = value
    if nan:
        x[rng.uniform(size=x.shape) < 0.1] = np.nan
        x[rng.randint(0, n, 40), rng.randint(0, FEATURES, 40)] = np.inf
        x[rng.randint(0, n, 40), rng.randint(0, FEATURES, 40)] = -np.inf
        x[0] = np.nan
    return x


def model_of(build: Any, *arguments: Any) -> bytes:
    """One matrix in, one estimator."""
    g = ow.Graph()
    build(g, g.input("X", ow.FLOAT, None, FEATURES), *arguments)
    return g.bytes()


def check_classes(got: Any, model: Any, x: Any) -> None:
    """Labels and probabilities are the library's, but for rows on the edge of two classes."""
    want = model.predict_proba(x)
    for i, name in enumerate(model.classes_):
        np.testing.assert_allclose(got[f"probability_{name}"], want[:, i], atol=1e-5)
    order = np.sort(want, axis=1)
    sure = order[:, -1] - order[:, -2] > 1e-6
    assert sure.mean() > 0.9
    np.testing.assert_array_equal(got["label"][sure], model.predict(x)[sure])


def usable(folder: Path, model: bytes, kernel: str) -> bool:
    """Has this processor the kernel, and has the forest that form?"""
    from score_tool import Refused
    try:
        explain(folder, model, "--kernel", kernel)
    except Refused as refused:
        assert "no kernel" in str(refused)
        return False
    return True


def all_kernels(folder: Path, model: bytes, x: Any) -> Any:
    """Every kernel gives the same bits; the last one's results."""
    first, used = None, []
    for kernel in KERNELS:
        if not usable(folder, model, kernel):
            continue
        got = score(folder, model, matrix(x), "--kernel", kernel)
        used.append(kernel)
        if first is None:
            first = got
        for name, values in got.items():
            np.testing.assert_array_equal(values, first[name], err_msg=f"{kernel} {name}")
    assert "walk" in used and "lockstep" in used, used
    return first


@pytest.mark.parametrize("depth,leaves", [(3, None), (8, None), (None, 32), (None, 64), (None, None)])
@pytest.mark.parametrize("classes", [2, 5])
def test_random_forest(tmp_path: Path, depth: Any, leaves: Any, classes: int) -> None:
    """Shared classes at each leaf; trees of all sizes."""
    x, y = data(3000, classes)
    model = ensemble.RandomForestClassifier(20, max_depth=depth, max_leaf_nodes=leaves, random_state=1).fit(x, y)
    got = all_kernels(tmp_path, model_of(ow.forest, model), rows())
    check_classes(got, model, rows())


def test_lists_of_trees_as_protobuf_allows_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One field an element, as exporters write them, and in pieces: the same model."""
    x, y = data(1000, 3)
    model = ensemble.RandomForestClassifier(5, random_state=1).fit(x, y)
    want = score(tmp_path, model_of(ow.forest, model), matrix(rows()))
    plain = ow.attribute

    def attribute(name: str, value: Any, piece: int) -> bytes:
        values = list(value) if isinstance(value, list) else []
        if not values or isinstance(values[0], str):
            return plain(name, value)
        pieces = [values[i:i + piece] for i in range(0, len(values), piece)]
        whole = isinstance(values[0], (int, np.integer))
        if piece > 1:
            body = b"".join(ow.chunk(8, b"".join(ow.varint(int(v)) for v in one)) if whole else
                            ow.chunk(7, np.asarray(one, "<f4").tobytes()) for one in pieces)
        else:
            body = b"".join(ow.number(8, int(v)) if whole else
                            ow.varint(7 << 3 | 5) + np.float32(v).tobytes() for v in values)
        return ow.chunk(1, name) + body + ow.number(20, 7 if whole else 6)

    for piece in (1, 7):
        monkeypatch.setattr(ow, "attribute", lambda name, value, piece=piece: attribute(name, value, piece))
        got = score(tmp_path, model_of(ow.forest, model), matrix(rows()))
        for name, values in got.items():
            np.testing.assert_array_equal(values, want[name], err_msg=f"{piece} {name}")


def test_random_forest_of_names(tmp_path: Path) -> None:
    """Classes that are text."""
    x, y = data(2000, 3)
    names = np.asarray(["ham", "späm", "eggs"])[y]
    model = ensemble.RandomForestClassifier(10, max_depth=6, random_state=1).fit(x, names)
    check_classes(all_kernels(tmp_path, model_of(ow.forest, model), rows()), model, rows())


def test_random_forest_regressor(tmp_path: Path) -> None:
    """Two targets."""
    x, y = data(2000, regression=True)
    model = ensemble.RandomForestRegressor(20, max_depth=9, random_state=1).fit(x, np.stack([y, -y * 2], 1))
    got = all_kernels(tmp_path, model_of(ow.forest, model), rows())
    want = model.predict(rows())
    np.testing.assert_allclose(np.stack([got["variable_0"], got["variable_1"]], 1), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("classes", [2, 4])
def test_gradient_boosting(tmp_path: Path, classes: int) -> None:
    """Small trees, LOGISTIC and SOFTMAX."""
    x, y = data(2000, classes)
    model = ensemble.GradientBoostingClassifier(n_estimators=50, random_state=1).fit(x, y)
    start = model._raw_predict_init(x[:1].astype(np.float32))[0]
    got = all_kernels(tmp_path, model_of(ow.gradient_boosting, model, start), rows())
    check_classes(got, model, rows())


@pytest.mark.parametrize("leaves", [31, 64, 200])
@pytest.mark.parametrize("classes", [2, 4])
def test_histogram(tmp_path: Path, leaves: int, classes: int) -> None:
    """Missing values have ways of their own."""
    x, y = data(4000, classes)
    x[np.random.RandomState(3).uniform(size=x.shape) < 0.1] = np.nan
    model = ensemble.HistGradientBoostingClassifier(max_iter=30, max_leaf_nodes=leaves, random_state=1).fit(x, y)
    got = all_kernels(tmp_path, model_of(ow.hist_gradient_boosting, model), rows(nan=True))
    check_classes(got, model, rows(nan=True))


def test_histogram_regressor(tmp_path: Path) -> None:
    """Base values of a regressor."""
    x, y = data(3000, regression=True)
    model = ensemble.HistGradientBoostingRegressor(max_iter=60, random_state=1).fit(x, y)
    got = all_kernels(tmp_path, model_of(ow.hist_gradient_boosting, model), rows(nan=True))
    np.testing.assert_allclose(got["variable"], model.predict(rows(nan=True)), rtol=1e-5, atol=1e-5)


def test_isolation_forest(tmp_path: Path) -> None:
    """Path lengths at the leaves, arithmetic after the trees."""
    x, _ = data(3000)
    model = ensemble.IsolationForest(n_estimators=50, random_state=1).fit(x)
    got = all_kernels(tmp_path, model_of(ow.isolation_forest, model), rows())
    want = model.decision_function(rows())
    np.testing.assert_allclose(got["scores"], want, atol=1e-5)
    sure = np.abs(want) > 1e-5
    np.testing.assert_array_equal(got["label"][sure], model.predict(rows())[sure])


@pytest.mark.parametrize("classes", [2, 5])
def test_logistic_regression(tmp_path: Path, classes: int) -> None:
    """Weighted sums of columns, without a transpose."""
    x, y = data(2000, classes)
    model = linear_model.LogisticRegression(max_iter=500).fit(x, y)
    check_classes(score(tmp_path, model_of(ow.logistic, model), matrix(rows(extreme=False))), model,
                  rows(extreme=False))


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic"])
@pytest.mark.parametrize("classes", [2, 3])
def test_network(tmp_path: Path, activation: str, classes: int) -> None:
    """Products, additions and activations become dense kernels."""
    x, y = data(1500, classes)
    model = neural_network.MLPClassifier((37, 20), activation=activation, max_iter=60, random_state=1)
    with np.testing.suppress_warnings() as quiet:
        quiet.filter(Warning)
        model.fit(x, y)
    onnx = model_of(ow.network, model)
    check_classes(score(tmp_path, onnx, matrix(rows(extreme=False))), model, rows(extreme=False))
    assert explain(tmp_path, onnx).count("activation that follow") == (3 if classes == 2 else 2)


def test_pipeline(tmp_path: Path) -> None:
    """Imputer and Scaler are read by the forest itself; text becomes numbers by OneHotEncoder."""
    x, y = data(3000, 3)
    x[np.random.RandomState(3).uniform(size=x.shape) < 0.1] = np.nan
    fill = SimpleImputer(strategy="median").fit(x)
    scale = preprocessing.StandardScaler().fit(fill.transform(x))

    def both(z: Any) -> Any:
        return scale.transform(fill.transform(z)).astype(np.float32)

    model = ensemble.RandomForestClassifier(20, max_depth=7, random_state=1).fit(both(x), y)
    g = ow.Graph()
    ow.forest(g, ow.scaler(g, ow.imputer(g, g.input("X", ow.FLOAT, None, FEATURES), fill), scale), model)
    z = rows(nan=True, extreme=False)
    z[~np.isfinite(z)] = np.nan
    assert "missing values replaced on the way in; inputs scaled on the way in" in explain(tmp_path, g.bytes())
    got = score(tmp_path, g.bytes(), matrix(z))
    want = model.predict_proba(both(z))
    near = np.stack([got[f"probability_{k}"] for k in range(3)], 1)
    assert (np.abs(near - want).max(axis=1) < 1e-5).mean() > 0.995  # float32 scaling moves some across a threshold


def test_columns_of_several_types(tmp_path: Path) -> None:
    """Inputs by name: numbers with NULL, text, and what is not known."""
    rng = np.random.RandomState(0)
    n = 3000
    age = rng.uniform(18, 90, n)
    city = rng.choice(["Wien", "Zürich", "Köln"], n)
    y = ((age > 50) ^ (city == "Wien")).astype(int)
    hot = preprocessing.OneHotEncoder(handle_unknown="ignore").fit(city[:, None])
    x = np.hstack([age[:, None], hot.transform(city[:, None]).toarray()]).astype(np.float32)
    model = ensemble.RandomForestClassifier(20, max_depth=6, random_state=1).fit(x, y)
    g = ow.Graph()
    names = [g.input("age", ow.FLOAT), ow.one_hot(g, [g.input("city", ow.STRING)], hot)]
    ow.forest(g, g.add("Concat", names, axis=1), model)
    city[:100] = "Oslo"
    x = np.hstack([age[:, None], hot.transform(city[:, None]).toarray()]).astype(np.float32)
    got = score(tmp_path, g.bytes(), {"city": city, "id": np.arange(n), "age": age}, "--stage",
                '{"kind": "score", "keep": ["id"], "outputs": ["probability_1", "label"]}')
    assert list(got) == ["id", "probability_1", "label"]
    np.testing.assert_array_equal(got["id"], np.arange(n))
    np.testing.assert_allclose(got["probability_1"], model.predict_proba(x)[:, 1], atol=1e-5)
