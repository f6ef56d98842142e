"""The score engine's door: stages that fit their input or say what does not, samples that prove a model, and
models that are no good."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Callable, Dict

import msgpack
import numpy as np
import pytest

import onnx_write as ow
from score_tool import ROOT, Refused, explain, matrix, pack, run, score

ROWS = 2500  # more than two blocks


def doubling(columns: int = 2) -> ow.Graph:
    """y = 2 * X, z = the sum of X."""
    g = ow.Graph()
    x = g.input("X", ow.FLOAT, None, columns)
    g.add("Mul", [x, g.constant([2.0], ow.FLOAT)], ["y"])
    g.add("ReduceSum", [x, g.constant([1], ow.INT64)], ["z"], keepdims=0)
    g.output("y", ow.FLOAT, None, columns)
    g.output("z", ow.FLOAT, None)
    return g


def rows() -> Dict[str, Any]:
    """Numbers of all types, text, NULL."""
    rng = np.random.RandomState(0)
    price = [None if i % 7 == 0 else float(v) for i, v in enumerate(rng.standard_normal(ROWS))]
    return {"id": np.arange(ROWS), "price": price, "count": rng.randint(0, 9, ROWS),
            "flag": rng.randint(0, 2, ROWS).astype(bool), "name": [f"n{i % 5}" for i in range(ROWS)]}


def stage(**more: Any) -> str:
    """A stage's JSON."""
    return json.dumps({"kind": "score", "model": {"blob": "0" * 64}, **more})


def test_columns_in_and_out(tmp_path: Path) -> None:
    """NULL becomes NaN, integers and bools become numbers, kept columns stay what they are."""
    data = rows()
    got = score(tmp_path, doubling(3).bytes(), data, "--stage",
                stage(inputs={"X": ["price", "count", "flag"]}, keep=["name", "price", "id"], outputs=["z", "y_1", "y_0"]))
    assert list(got) == ["name", "price", "id", "z", "y_1", "y_0"]
    price = np.asarray([np.nan if v is None else v for v in data["price"]], np.float32)
    np.testing.assert_array_equal(got["y_0"].astype(np.float32), price * 2)
    np.testing.assert_array_equal(got["y_1"], data["count"] * 2)
    np.testing.assert_allclose(got["z"], price + data["count"] + data["flag"], rtol=1e-6)
    assert [v is None for v in got["price"]] == [v is None for v in data["price"]]
    np.testing.assert_array_equal(got["id"], data["id"])
    assert list(got["name"]) == data["name"]


def test_all_columns_that_are_not_kept(tmp_path: Path) -> None:
    """Without inputs one matrix takes what is there."""
    data = {k: v for k, v in rows().items() if k in ("id", "price", "count")}
    got = score(tmp_path, doubling(2).bytes(), data, "--stage", stage(keep=["id"]))
    np.testing.assert_array_equal(got["y_1"], data["count"] * 2)


def test_a_model_for_one_row(tmp_path: Path) -> None:
    """A first dimension of 1 is filled row by row."""
    g = ow.Graph()
    g.add("Softmax", [g.input("X", ow.FLOAT, 1, 3)], ["p"], axis=1)
    g.output("p", ow.FLOAT, 1, 3)
    x = np.random.RandomState(0).standard_normal((50, 3)).astype(np.float32)
    got = score(tmp_path, g.bytes(), {f"c{i}": x[:, i].astype(float) for i in range(3)})
    np.testing.assert_allclose(np.stack(list(got.values()), 1).sum(axis=1), 1, rtol=1e-6)


def test_products_without_constant_matrices(tmp_path: Path) -> None:
    """Weights that are a vector, as of skl2onnx's PoissonRegressor, and products of what the model itself computes."""
    x = np.random.RandomState(0).standard_normal((ROWS, 3)).astype(np.float32)
    w = np.asarray([0.5, -2.0, 4.0], np.float32)
    g = ow.Graph()
    a = g.input("X", ow.FLOAT, None, 3)
    g.add("MatMul", [a, g.constant(w.tolist(), ow.FLOAT)], ["vector"])
    g.add("MatMul", [a, g.add("Exp", [g.constant(w.tolist(), ow.FLOAT)])], ["computed"])
    g.add("Gemm", [a, a], ["square"], transB=1)
    g.add("ReduceSum", ["square", g.constant([1], ow.INT64)], ["sums"], keepdims=0)
    for name in ("vector", "computed", "sums"):
        g.output(name, ow.FLOAT, None)
    got = score(tmp_path, g.bytes(), matrix(x))
    np.testing.assert_allclose(got["vector"], x @ w, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(got["computed"], x @ np.exp(w), rtol=1e-5, atol=1e-4)
    blocks = [x[i:i + 1024] for i in range(0, ROWS, 1024)]
    np.testing.assert_allclose(got["sums"], np.hstack([(b @ b.T).sum(axis=1) for b in blocks]), rtol=1e-3, atol=1e-3)


STAGES = [
    ({"inputs": {"X": ["price", "count"]}}, "inputs.X: the model's input 'X' takes 3 columns, not 2"),
    ({"inputs": {"X": ["price", "count", "nope"]}}, "inputs.X: there is no column 'nope' (there are: id, price,"),
    ({"inputs": {"X": ["price", "count", "name"]}},
     "inputs.X: the column 'name' is text, the model's input 'X' takes float32 (cast it in a transform stage)"),
    ({"inputs": {"Y": ["price"]}}, "inputs.Y: the model has no such input"),
    ({"inputs": {}}, "inputs: the model's input 'X' is missing"),
    ({"inputs": {"X": 3}}, "inputs.X: must be a list of names of columns"),
    ({"inputs": {"X": ["price", "count", 7]}}, "inputs.X[2]: must be the name of a column"),
    ({"keep": ["id", "price"]}, "the column 'name' is text"),
    ({"keep": ["nope"]}, "keep: there is no column 'nope'"),
    ({"keep": ["name", "id"], "outputs": ["w"]}, "outputs[0]: the model has no output 'w'"),
    ({"keep": ["name", "id"], "outputs": []}, "outputs: must be a list of names, not an empty one"),
    ({"keep": ["name", "id", "id"]}, "keep: two columns of the results are named 'id'"),
    ({"output": ["z"]}, "output"),
]


@pytest.mark.parametrize("more,message", STAGES)
def test_stages_that_do_not_fit(tmp_path: Path, more: Any, message: str) -> None:
    """The error names the path inside the stage, and what is there instead."""
    with pytest.raises(Refused) as refused:
        score(tmp_path, doubling(3).bytes(), rows(), "--stage", stage(**more))
    assert "INVALID_SPEC: " in str(refused.value) and message in str(refused.value)


def test_integers_cannot_be_missing(tmp_path: Path) -> None:
    """The row and the column are named."""
    g = ow.Graph()
    g.add("Add", [g.input("n", ow.INT64), g.constant([1], ow.INT64)], ["m"])
    g.output("m", ow.INT64)
    assert list(score(tmp_path, g.bytes(), {"n": [1, 2]})["m"]) == [2, 3]
    with pytest.raises(Refused, match="column 'n', row 1: NULL, where the model takes int64"):
        score(tmp_path, g.bytes(), {"n": [1, None]})


# ---- samples ----

def verify(folder: Path, sample: bytes, *arguments: object) -> None:
    """Runs the check."""
    (folder / "model.onnx").write_bytes(doubling().bytes())
    (folder / "sample").write_bytes(sample)
    run("--model", folder / "model.onnx", "--verify", folder / "sample", *arguments)


def sample(x: Any, **outputs: Any) -> bytes:
    """As drover.export_check packs it."""
    packed: bytes = msgpack.packb([1, msgpack.unpackb(pack({"a": x[0], "b": x[1]})), msgpack.unpackb(pack(outputs))])
    return packed


def test_samples(tmp_path: Path) -> None:
    """What fits passes; what does not names row, output, both numbers and the difference."""
    a, b = [1.0, 2.0, float("nan")], [0.5, 100.0, 1.0]
    verify(tmp_path, sample((a, b), z=[1.5, 102.0, float("nan")], y_1=[1.0, 200.0, 2.0]))
    verify(tmp_path, sample((a, b), z=[1.5, 102.0005, float("nan")]))
    with pytest.raises(Refused, match=r"row 1, output 'z': 102, not 102.01 \(a difference of 0.01; 0.00102 is allowed"):
        verify(tmp_path, sample((a, b), z=[1.5, 102.01, float("nan")]))
    verify(tmp_path, sample((a, b), z=[1.5, 102.01, float("nan")]), "--tolerance", "1e-3")
    with pytest.raises(Refused, match="row 2, output 'z': nan, not 1"):
        verify(tmp_path, sample((a, b), z=[1.5, 102.0, 1.0]))
    with pytest.raises(Refused, match="the model has no output 'w'"):
        verify(tmp_path, sample((a, b), w=[1.5, 102.0, 1.0]))
    with pytest.raises(Refused, match="output 'z' is int64 in the sample and float64 in the model"):
        verify(tmp_path, sample((a, b), z=[1, 2, 3]))
    with pytest.raises(Refused, match="MALFORMED: sample: 3 rows go in, and 2 rows"):
        verify(tmp_path, sample((a, b), z=[1.0, 2.0]))
    with pytest.raises(Refused, match="MALFORMED"):
        verify(tmp_path, b"\x93\x02\x90\x90")


# ---- models that are no good ----

def with_graph(change: Callable[[ow.Graph], None]) -> bytes:
    """The model after a change."""
    g = doubling()
    change(g)
    return g.bytes()


def stump(**change: Any) -> bytes:
    """A tree of one comparison, its attributes changed."""
    g = ow.Graph()
    trees = ow.Trees("target")
    trees.node(0, 0, "BRANCH_LEQ", 0.5, 1, 2, False)
    trees.leaf(1, [(0, 1.0)])
    trees.leaf(2, [(0, 2.0)])
    attributes = {"n_targets": 1, **trees.attributes(), **change}
    g.ml("TreeEnsembleRegressor", [g.input("X", ow.FLOAT, None, 2)], ["v"], **attributes)
    g.output("v", ow.FLOAT, None, 1)
    return g.bytes()


MODELS = [
    (b"", "it has no graph"),
    (doubling().bytes()[:150], "truncated"),
    (with_graph(lambda g: g.add("Frobnicate", ["X"])), "operator Frobnicate of domain ai.onnx, version 15, is not supported"),
    (with_graph(lambda g: g.add("Add", ["X", "X"], domain="com.example")), "of domain com.example"),
    (with_graph(lambda g: g.add("Add", ["X", "nobody"])), "nothing makes its input 'nobody'"),
    (with_graph(lambda g: g.add("Add", ["X"])), "it has 1 inputs; 2 to 2 are allowed"),
    (with_graph(lambda g: g.add("Add", ["X", "loop_b"], ["loop_a"]) and g.add("Add", ["loop_a", "X"], ["loop_b"])),
     "it is part of a cycle"),
    (with_graph(lambda g: g.add("Neg", ["X"], ["y"])), "output 'y' has the name of another value"),
    (with_graph(lambda g: g.outputs.append(ow.port("missing", ow.FLOAT, [None]))), "nothing makes the output ('missing')"),
    (with_graph(lambda g: setattr(g, "opset", 99)), "version 99 of the operator set ai.onnx; versions 7 to 23"),
    (with_graph(lambda g: g.inputs.append(ow.port("h", 10, [None, 1]))), "input 'h' is float16"),
    (with_graph(lambda g: g.inputs.append(ow.port("h", ow.FLOAT, [64, 1]))), "is for exactly 64 rows"),
    (with_graph(lambda g: g.inputs.append(ow.port("h", ow.FLOAT, [None, 9999]))), "has more than 1600 columns"),
    (with_graph(lambda g: g.constants.append(ow.number(1, 1 << 40) + ow.number(2, 1) + ow.chunk(8, "big"))), "more than"),
    (with_graph(lambda g: g.constants.append(ow.number(1, -5) + ow.number(2, 1) + ow.chunk(8, "big"))), "negative"),
    (with_graph(lambda g: g.constants.append(ow.number(1, 5) + ow.number(2, 1) + ow.chunk(8, "c") + ow.chunk(9, b"1234"))),
     "raw_data has 4 bytes where the shape needs 20"),
    (with_graph(lambda g: g.add("Add", ["X", g.constant([1, 2], ow.INT64)], ["q"]) and g.output("q", ow.FLOAT)),
     "its inputs have two types"),
    (with_graph(lambda g: g.add("Add", ["X", g.constant([1.0] * 3, ow.FLOAT)], ["q"]) and g.output("q", ow.FLOAT)),
     "shapes do not go together"),
    (with_graph(lambda g: g.add("Shape", ["X"], ["q"]) and g.output("q", ow.INT64)), "has no dimension for the rows"),
    (stump(nodes_truenodeids=[0, 0, 0]), "reached from no root: a cycle"),
    (stump(nodes_truenodeids=[2, 0, 0]), "tree 0 has two roots"),
    (stump(nodes_truenodeids=[9, 0, 0]), "node 0 has no true child: tree 0 has no node 9"),
    (stump(nodes_featureids=[-4, 0, 0]), "compares feature -4"),
    (stump(nodes_featureids=[5, 0, 0]), "it needs a matrix of at least 6 columns"),
    (stump(nodes_modes=["BRANCH_LEQ", "LEAF"]), "nodes_modes 2, where 3 are needed"),
    (stump(target_ids=[0, 7]), "is for target 7; there are 1"),
    (stump(n_targets=-1), "n_targets is -1"),
    (stump(nodes_nodeids=[0, 1, 1]), "has two nodes of number 1"),
    (stump(post_transform="MAGIC"), "post_transform 'MAGIC' is unknown"),
]


@pytest.mark.parametrize("model,message", MODELS, ids=[m[:40] for _, m in MODELS])
def test_models_that_are_no_good(tmp_path: Path, model: bytes, message: str) -> None:
    """The error says which node or field, and what is wrong."""
    with pytest.raises(Refused) as refused:
        explain(tmp_path, model)
    assert message in str(refused.value)


def test_every_cut_is_refused(tmp_path: Path) -> None:
    """A file that ends too soon is no model, wherever it ends."""
    whole = stump()
    for end in range(0, len(whole) - 30, 11):
        with pytest.raises(Refused):
            explain(tmp_path, whole[:end])


def test_a_deep_tree(tmp_path: Path) -> None:
    """Deeper than the limit: refused without recursion."""
    def chain(depth: int) -> bytes:
        g = ow.Graph()
        trees = ow.Trees("target")
        for i in range(depth):
            trees.node(2 * i, 0, "BRANCH_LEQ", float(i), 2 * i + 1, 2 * i + 2, False)
            trees.leaf(2 * i + 1, [(0, float(i))])
        trees.leaf(2 * depth, [(0, -1.0)])
        g.ml("TreeEnsembleRegressor", [g.input("X", ow.FLOAT, None, 1)], ["v"], n_targets=1, **trees.attributes())
        g.output("v", ow.FLOAT, None, 1)
        return g.bytes()

    got = score(tmp_path, chain(4000), {"x": [-1.0, 17.5, 3999.5, float("nan")]})
    assert list(got["v"]) == [0, 18, -1, -1]
    with pytest.raises(Refused, match="deeper than the 4096 levels allowed"):
        explain(tmp_path, chain(5000))


def test_the_document_lists_every_operator() -> None:
    """docs/SCORE.md and the table of operators say the same."""
    table = set(re.findall(r'\{(?:""|ML), "(\w+)"', (ROOT / "worker" / "score" / "op_table.c").read_text()))
    chapter = (ROOT / "docs" / "SCORE.md").read_text().split("## Operators")[1].split("Trees: all")[0]
    listed = set(re.findall(r"\b[A-Z]\w+\b", "".join(line for line in chapter.splitlines() if line.startswith("|"))))
    assert len(table) > 80 and table == listed
