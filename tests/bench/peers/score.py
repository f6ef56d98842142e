"""The peers of the score engine: the training library and ONNX Runtime, one thread, in one process each.

usage: score.py make FOLDER            trains and exports the models, and writes rows.f32
       score.py run ENGINE MODEL FOLDER  measures library or onnxruntime; prints a JSON object
       score.py csv ENGINE MODEL FOLDER  reads rows.csv, scores it and writes scores.csv

Runs in the environment of tests/e2e/score_peers.py. 28 features, varied rows: repeated ones are learnt by heart
by the branch predictor.
"""

from __future__ import annotations

import json
import pickle
import sys
import time
import warnings
from pathlib import Path
from typing import Any, Callable

import numpy as np

FEATURES = 28
TRAINING = 20_000
ROWS = 65_536
BLOCK = 8_192  # rows a call
SECONDS = 1.0
THREADS = 1


def rows(n: int, seed: int) -> Any:
    """Numbers of several scales."""
    rng = np.random.RandomState(seed)
    return (rng.standard_normal((n, FEATURES)) * np.exp(rng.uniform(-1, 1, FEATURES))).astype(np.float32)


def models() -> Any:
    """Name and estimator of each row of the table."""
    from sklearn import ensemble, linear_model, neural_network
    from xgboost import XGBClassifier
    return {
        "forest-100-unlimited": ensemble.RandomForestClassifier(100, random_state=0, n_jobs=1),
        "forest-100-depth-8": ensemble.RandomForestClassifier(100, max_depth=8, random_state=0, n_jobs=1),
        "histogram-100x31": ensemble.HistGradientBoostingClassifier(max_iter=100, early_stopping=False,
                                                                    random_state=0),
        "histogram-100x64": ensemble.HistGradientBoostingClassifier(max_iter=100, max_leaf_nodes=64,
                                                                    early_stopping=False, random_state=0),
        "boosting-100-depth-3": ensemble.GradientBoostingClassifier(n_estimators=100, random_state=0),
        "xgboost-100-depth-6": XGBClassifier(n_estimators=100, max_depth=6, n_jobs=1),
        "isolation-100": ensemble.IsolationForest(n_estimators=100, random_state=0),
        "logistic": linear_model.LogisticRegression(max_iter=200),
        "network-64-32": neural_network.MLPClassifier((64, 32), max_iter=10, random_state=0),
    }


def make(folder: Path) -> None:
    """Models as pickles and as ONNX files."""
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType
    from skl2onnx import to_onnx
    x = rows(TRAINING, 0)
    noise = np.random.RandomState(1).standard_normal(TRAINING)
    y = (x[:, 0] + np.abs(x[:, 1]) - x[:, 2] * x[:, 3] + np.sin(x[:, 4] * 2) + noise > 0.6).astype(int)
    for name, model in models().items():
        model.fit(x, y)
        if name.startswith("xgboost"):
            made = onnxmltools.convert_xgboost(model, initial_types=[("X", FloatTensorType([None, FEATURES]))])
        elif name.startswith("isolation"):
            made = to_onnx(model, x[:1], target_opset={"": 17, "ai.onnx.ml": 3})
        else:  # columns, as drover makes them too: a list of dictionaries would be measured otherwise
            made = to_onnx(model, x[:1], target_opset={"": 17, "ai.onnx.ml": 3}, options={"zipmap": False})
        (folder / f"{name}.onnx").write_bytes(made.SerializeToString())
        (folder / f"{name}.pickle").write_bytes(pickle.dumps(model))
    rows(ROWS, 2).tofile(folder / "rows.f32")


def call_of(engine: str, name: str, folder: Path) -> Callable[[Any], Any]:
    """What scores a matrix."""
    if engine == "onnxruntime":
        import onnxruntime
        onnxruntime.set_default_logger_severity(3)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = THREADS
        session = onnxruntime.InferenceSession(str(folder / f"{name}.onnx"), options)
        entry = session.get_inputs()[0].name
        return lambda x: session.run(None, {entry: x})
    import threadpoolctl
    threadpoolctl.threadpool_limits(THREADS)
    model = pickle.loads((folder / f"{name}.pickle").read_bytes())
    if hasattr(model, "predict_proba"):
        return lambda x: model.predict_proba(x)
    return lambda x: model.decision_function(x)


def run(engine: str, name: str, folder: Path) -> None:
    """Rows a second in blocks, and the microseconds of one row."""
    x = np.fromfile(folder / "rows.f32", np.float32).reshape(-1, FEATURES)
    call = call_of(engine, name, folder)
    blocks = [np.ascontiguousarray(x[i:i + BLOCK]) for i in range(0, len(x), BLOCK)]
    call(blocks[0])
    done, start = 0, time.process_time()
    while time.process_time() - start < SECONDS:
        for block in blocks:
            call(block)
            done += len(block)
            if time.process_time() - start > SECONDS * 3:
                break
    rate = done / (time.process_time() - start)
    singles, done, start = [x[i:i + 1] for i in range(512)], 0, time.process_time()
    while time.process_time() - start < SECONDS / 4:
        call(singles[done % len(singles)])
        done += 1
    print(json.dumps({"rows_per_s": rate, "single_us": (time.process_time() - start) / done * 1e6}))


def run_csv(engine: str, name: str, folder: Path) -> None:
    """What a script does: read a part of the file, score it, write."""
    call = call_of(engine, name, folder)
    with open(folder / "rows.csv") as file, open("/dev/null", "w") as out:
        file.readline()
        while lines := file.readlines(4 << 20):
            table = np.loadtxt(lines, delimiter=",", dtype=np.float32, ndmin=2)
            scores = call(np.ascontiguousarray(table[:, 1:]))
            first = scores[1] if isinstance(scores, list) else scores
            out.writelines(f"{int(row)},{p}\n" for row, p in zip(table[:, 0], first[:, 1]))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]))
    elif sys.argv[1] == "csv":
        run_csv(sys.argv[2], sys.argv[3], Path(sys.argv[4]))
    else:
        run(sys.argv[2], sys.argv[3], Path(sys.argv[4]))
