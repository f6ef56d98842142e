"""Writes ONNX models by hand, from what scikit-learn's estimators hold: no exporter, no protobuf library.

A field of protobuf is a tag and a value; ONNX's messages are in onnx.proto. Only what the tests need is here:
trees of forests, linear models, networks, and pipelines of preprocessing in front of them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any, Iterable, List, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

FLOAT, INT32, INT64, STRING, BOOL, DOUBLE = 1, 6, 7, 8, 9, 11
ML = "ai.onnx.ml"
NUMPY_TYPES = {FLOAT: "<f4", INT32: "<i4", INT64: "<i8", DOUBLE: "<f8", BOOL: "?"}
Floats = NDArray[Any]


# ---- the wire format ----

def varint(n: int) -> bytes:
    """Seven bits a byte; a negative number as its 64-bit complement."""
    n &= (1 << 64) - 1
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def number(tag: int, n: int) -> bytes:
    """A field of type varint."""
    return varint(tag << 3) + varint(n)


def chunk(tag: int, data: bytes | str) -> bytes:
    """A field of bytes, text or a message."""
    raw = data.encode() if isinstance(data, str) else data
    return varint(tag << 3 | 2) + varint(len(raw)) + raw


# ---- ONNX's messages ----

def tensor(name: str, value: Any, elem: int) -> bytes:
    """A TensorProto."""
    if elem == STRING:
        strings = [str(s) for s in np.ravel(value)]
        dims = np.shape(value)
        body = b"".join(chunk(6, s) for s in strings)
    else:
        array = np.asarray(value, NUMPY_TYPES[elem])
        dims = array.shape
        body = chunk(9, array.tobytes())
    return b"".join(number(1, d) for d in dims) + number(2, elem) + chunk(8, name) + body


def attribute(name: str, value: Any) -> bytes:
    """An AttributeProto, its type by the value's: bytes are a ready tensor."""
    head = chunk(1, name)
    if isinstance(value, bool) or isinstance(value, (int, np.integer)):
        return head + number(3, int(value)) + number(20, 2)
    if isinstance(value, (float, np.floating)):
        return head + varint(2 << 3 | 5) + struct.pack("<f", value) + number(20, 1)
    if isinstance(value, str):
        return head + chunk(4, value) + number(20, 3)
    if isinstance(value, bytes):
        return head + chunk(5, value) + number(20, 4)
    values = list(value)
    if values and isinstance(values[0], str):
        return head + b"".join(chunk(9, v) for v in values) + number(20, 8)
    if values and isinstance(values[0], (float, np.floating)):
        return head + chunk(7, np.asarray(values, "<f4").tobytes()) + number(20, 6)
    return head + chunk(8, b"".join(varint(int(v)) for v in values)) + number(20, 7)


def port(name: str, elem: int, dims: Sequence[int | None]) -> bytes:
    """A ValueInfoProto; None is a dimension that varies."""
    shape = b"".join(chunk(1, chunk(2, "N") if d is None else number(1, d)) for d in dims)
    return chunk(1, name) + chunk(2, chunk(1, number(1, elem) + chunk(2, shape)))


@dataclass
class Graph:
    """A model that is being put together; add() returns the name of a new value."""

    opset: int = 15
    ml_opset: int = 3
    nodes: List[bytes] = field(default_factory=list)
    constants: List[bytes] = field(default_factory=list)
    inputs: List[bytes] = field(default_factory=list)
    outputs: List[bytes] = field(default_factory=list)
    count: int = 0

    def fresh(self, stem: str) -> str:
        """A name that is not taken."""
        self.count += 1
        return f"{stem}_{self.count}"

    def input(self, name: str, elem: int, *dims: int | None) -> str:
        """An input; the first dimension varies when no dimensions are given."""
        self.inputs.append(port(name, elem, dims or (None, 1)))
        return name

    def constant(self, value: Any, elem: int) -> str:
        """An initializer."""
        name = self.fresh("const")
        self.constants.append(tensor(name, value, elem))
        return name

    def add(self, op: str, inputs: Iterable[str], outputs: int | Sequence[str] = 1, domain: str = "",
            **attributes: Any) -> Any:
        """A node; one name, or a list of them."""
        names = [self.fresh(op) for _ in range(outputs)] if isinstance(outputs, int) else list(outputs)
        self.nodes.append(b"".join(chunk(1, i) for i in inputs) + b"".join(chunk(2, o) for o in names) +
                          chunk(3, f"n{len(self.nodes)}") + chunk(4, op) +
                          b"".join(chunk(5, attribute(k, v)) for k, v in attributes.items() if v is not None) +
                          chunk(7, domain))
        return names[0] if len(names) == 1 else names

    def ml(self, op: str, inputs: Iterable[str], outputs: int | Sequence[str] = 1, **attributes: Any) -> Any:
        """A node of ai.onnx.ml."""
        return self.add(op, inputs, outputs, ML, **attributes)

    def output(self, name: str, elem: int, *dims: int | None) -> None:
        """An output."""
        self.outputs.append(port(name, elem, dims or (None, 1)))

    def bytes(self) -> bytes:
        """The file."""
        graph = (b"".join(chunk(1, n) for n in self.nodes) + chunk(2, "g") +
                 b"".join(chunk(5, c) for c in self.constants) + b"".join(chunk(11, i) for i in self.inputs) +
                 b"".join(chunk(12, o) for o in self.outputs))
        return (number(1, 8) + chunk(2, "drover-tests") + chunk(7, graph) +
                chunk(8, chunk(1, "") + number(2, self.opset)) + chunk(8, chunk(1, ML) + number(2, self.ml_opset)))


# ---- trees ----

def down(v: Floats) -> Floats:
    """The greatest float32 that is not above v: what x <= v compares with when x is float32."""
    with np.errstate(over="ignore"):
        f = np.asarray(v, np.float64).astype(np.float32)
    return np.where(f.astype(np.float64) > v, np.nextafter(f, np.float32(-np.inf)), f).astype(np.float32)


class Trees:
    """Attributes of a tree ensemble, tree by tree."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.columns: dict[str, List[Any]] = {
            k: [] for k in ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids",
                            "missing_value_tracks_true")}
        self.weights: List[Tuple[int, int, int, float]] = []
        self.n = 0

    def node(self, index: int, feature: int, mode: str, value: float, yes: int, no: int, missing: bool) -> None:
        """One node of the tree at hand."""
        for key, v in zip(self.columns, (self.n, index, feature, mode, value, yes, no, int(missing))):
            self.columns[key].append(v)

    def leaf(self, index: int, weights: Iterable[Tuple[int, float]]) -> None:
        """A leaf with its weights by target."""
        self.node(index, 0, "LEAF", 0.0, 0, 0, False)
        self.weights += [(self.n, index, target, float(w)) for target, w in weights]

    def sklearn(self, tree: Any, weights: Any) -> None:
        """A tree_ of scikit-learn; weights(node) gives pairs of target and weight."""
        thresholds = down(tree.threshold)
        for i in range(tree.node_count):
            if tree.children_left[i] == -1:
                self.leaf(i, weights(i))
            else:
                self.node(i, int(tree.feature[i]), "BRANCH_LEQ", float(thresholds[i]), int(tree.children_left[i]),
                          int(tree.children_right[i]), False)
        self.n += 1

    def histogram(self, nodes: Any, target: int) -> None:
        """The nodes of a TreePredictor of HistGradientBoosting."""
        thresholds = down(nodes["num_threshold"])
        for i, node in enumerate(nodes):
            if node["is_leaf"]:
                self.leaf(i, [(target, node["value"])])
            else:
                self.node(i, int(node["feature_idx"]), "BRANCH_LEQ", float(thresholds[i]), int(node["left"]),
                          int(node["right"]), bool(node["missing_go_to_left"]))
        self.n += 1

    def attributes(self) -> dict[str, Any]:
        """As keyword arguments for a node."""
        p, w = self.prefix, self.weights
        out: dict[str, Any] = {f"nodes_{k}": v for k, v in self.columns.items()}
        out.update({f"{p}_treeids": [x[0] for x in w], f"{p}_nodeids": [x[1] for x in w],
                    f"{p}_ids": [x[2] for x in w], f"{p}_weights": [x[3] for x in w]})
        return out


def classes(model: Any) -> dict[str, Any]:
    """The attribute with the names of the classes."""
    if np.issubdtype(np.asarray(model.classes_).dtype, np.number):
        return {"classlabels_int64s": [int(c) for c in model.classes_]}
    return {"classlabels_strings": [str(c) for c in model.classes_]}


def classifier_outputs(g: Graph, model: Any) -> List[str]:
    """Declares label and probabilities."""
    text = not np.issubdtype(np.asarray(model.classes_).dtype, np.number)
    g.output("output_label", STRING if text else INT64, None)
    g.output("probabilities", FLOAT, None, len(model.classes_))
    return ["output_label", "probabilities"]


# ---- estimators: each takes the name of a float32 matrix and adds itself ----

def forest(g: Graph, x: str, model: Any) -> None:
    """RandomForest and ExtraTrees, a tree's classes weighed by its leaf's share of samples."""
    trees = Trees("class" if hasattr(model, "classes_") else "target")
    n = len(model.estimators_)
    for estimator in model.estimators_:
        value = estimator.tree_.value

        def weights(i: int, v: Any = value) -> List[Tuple[int, float]]:
            if hasattr(model, "classes_"):
                share = v[i, 0] / v[i, 0].sum()
                return [(k, p / n) for k, p in enumerate(share)]
            return [(k, v[i, k, 0] / n) for k in range(v.shape[1])]

        trees.sklearn(estimator.tree_, weights)
    if hasattr(model, "classes_"):
        g.ml("TreeEnsembleClassifier", [x], classifier_outputs(g, model), post_transform="NONE",
             **classes(model), **trees.attributes())
        return
    targets = int(model.n_outputs_)
    g.ml("TreeEnsembleRegressor", [x], ["variable"], n_targets=targets, **trees.attributes())
    g.output("variable", FLOAT, None, targets)


def gradient_boosting(g: Graph, x: str, model: Any, start: Sequence[float]) -> None:
    """GradientBoosting; start: the raw prediction before the first tree."""
    classifier = hasattr(model, "classes_")
    trees = Trees("class" if classifier else "target")
    width = model.estimators_.shape[1]
    for stage in model.estimators_:
        for k, estimator in enumerate(stage):
            target = 1 if classifier and width == 1 else k
            trees.sklearn(estimator.tree_, lambda i, v=estimator.tree_.value, t=target:
                          [(t, model.learning_rate * v[i, 0, 0])])
    base = [float(v) for v in start]
    if classifier:
        g.ml("TreeEnsembleClassifier", [x], classifier_outputs(g, model), base_values=base,
             post_transform="LOGISTIC" if width == 1 else "SOFTMAX", **classes(model), **trees.attributes())
        return
    g.ml("TreeEnsembleRegressor", [x], ["variable"], n_targets=1, base_values=base, **trees.attributes())
    g.output("variable", FLOAT, None, 1)


def hist_gradient_boosting(g: Graph, x: str, model: Any) -> None:
    """HistGradientBoosting, with its paths for missing values."""
    classifier = hasattr(model, "classes_")
    trees = Trees("class" if classifier else "target")
    width = len(model._predictors[0])
    for stage in model._predictors:
        for k, predictor in enumerate(stage):
            trees.histogram(predictor.nodes, 1 if classifier and width == 1 else k)
    base = [float(v) for v in np.ravel(model._baseline_prediction)]
    if classifier:
        g.ml("TreeEnsembleClassifier", [x], classifier_outputs(g, model), base_values=base,
             post_transform="LOGISTIC" if width == 1 else "SOFTMAX", **classes(model), **trees.attributes())
        return
    g.ml("TreeEnsembleRegressor", [x], ["variable"], n_targets=1, base_values=base, **trees.attributes())
    g.output("variable", FLOAT, None, 1)


def path_left(n: Floats) -> Floats:
    """The average length of the rest of a path at a leaf of n samples (Liu et al., Isolation Forest, 2008)."""
    n = np.asarray(n, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        length = 2.0 * (np.log(n - 1.0) + np.euler_gamma) - 2.0 * (n - 1.0) / n
    return np.where(n <= 1, 0.0, np.where(n == 2, 1.0, length))


def isolation_forest(g: Graph, x: str, model: Any) -> None:
    """IsolationForest as one forest of path lengths: score_samples and predict."""
    trees = Trees("target")
    for estimator in model.estimators_:
        t = estimator.tree_
        depth = np.zeros(t.node_count)
        for i in range(t.node_count):
            for child in (t.children_left[i], t.children_right[i]):
                if child != -1:
                    depth[child] = depth[i] + 1
        length = depth + path_left(t.n_node_samples)
        trees.sklearn(t, lambda i, v=length: [(0, v[i])])
    total = g.ml("TreeEnsembleRegressor", [x], n_targets=1, **trees.attributes())
    scale = len(model.estimators_) * float(path_left(np.asarray([model.max_samples_]))[0])
    power = g.add("Neg", [g.add("Div", [total, g.constant([scale], FLOAT)])])
    score = g.add("Neg", [g.add("Pow", [g.constant([2.0], FLOAT), power])])
    g.add("Sub", [score, g.constant([float(model.offset_)], FLOAT)], ["scores"])
    low = g.add("Cast", [g.add("Less", ["scores", g.constant([0.0], FLOAT)])], to=INT64)
    g.add("Add", [g.add("Mul", [low, g.constant([-2], INT64)]), g.constant([1], INT64)], ["label"])
    g.output("label", INT64, None, 1)
    g.output("scores", FLOAT, None, 1)


def logistic(g: Graph, x: str, model: Any) -> None:
    """LogisticRegression, multinomial when there are more than two classes."""
    coef, intercept = model.coef_, model.intercept_
    if len(model.classes_) == 2:
        coef, intercept = np.vstack([-coef, coef]), np.hstack([-intercept, intercept])
    names = {k.replace("int64s", "ints"): v for k, v in classes(model).items()}
    g.ml("LinearClassifier", [x], classifier_outputs(g, model), coefficients=[float(v) for v in coef.ravel()],
         intercepts=[float(v) for v in intercept], multi_class=1,
         post_transform="LOGISTIC" if len(model.classes_) == 2 else "SOFTMAX", **names)


def network(g: Graph, x: str, model: Any) -> None:
    """MLPClassifier as an exporter writes it: products, additions, activations, ArgMax and a list of classes."""
    activation = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid"}[model.activation]
    for i, (w, b) in enumerate(zip(model.coefs_, model.intercepts_)):
        x = g.add("Add", [g.add("MatMul", [x, g.constant(w, FLOAT)]), g.constant(b[None, :], FLOAT)])
        if i + 1 < len(model.coefs_):
            x = g.add(activation, [x])
    if model.out_activation_ == "softmax":
        g.add("Softmax", [x], ["probabilities"], axis=1)
    else:
        p = g.add("Sigmoid", [x])
        g.add("Concat", [g.add("Sub", [g.constant([1.0], FLOAT), p]), p], ["probabilities"], axis=1)
    best = g.add("ArgMax", ["probabilities"], axis=1)
    text = not np.issubdtype(np.asarray(model.classes_).dtype, np.number)
    names = g.constant(model.classes_, STRING if text else INT64)
    label = g.ml("ArrayFeatureExtractor", [names, best])
    g.add("Reshape", [label, g.constant([-1], INT64)], ["output_label"])
    classifier_outputs(g, model)


# ---- preprocessing: each returns the name of a float32 matrix ----

def scaler(g: Graph, x: str, model: Any) -> str:
    """StandardScaler."""
    name: str = g.ml("Scaler", [x], offset=[float(v) for v in model.mean_], scale=[float(1 / v) for v in model.scale_])
    return name


def imputer(g: Graph, x: str, model: Any) -> str:
    """SimpleImputer of numbers."""
    name: str = g.ml("Imputer", [x], imputed_value_floats=[float(v) for v in model.statistics_],
                     replaced_value_float=float("nan"))
    return name


def one_hot(g: Graph, columns: Sequence[str], model: Any) -> str:
    """OneHotEncoder of text, a column an input."""
    parts = []
    for name, names in zip(columns, model.categories_):
        hot = g.ml("OneHotEncoder", [name], cats_strings=[str(c) for c in names], zeros=1)
        parts.append(g.add("Reshape", [hot, g.constant([-1, len(names)], INT64)]))
    joined: str = parts[0] if len(parts) == 1 else g.add("Concat", parts, axis=1)
    return joined
