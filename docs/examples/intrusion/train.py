"""Trains both models on captures of which the attackers are known, and writes anomaly.onnx and attack.onnx.
Needs scikit-learn and skl2onnx. The flows come from the fleet, so that training and detection see the same."""

from __future__ import annotations

from typing import Any, List, Tuple

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest

from capture import Capture, make
from detect import FEATURES, flows
from drover import Client

Floats = Any


def kind_of(row: Any, capture: Capture) -> int:
    """The class of a flow, by who began it."""
    for number, group in enumerate((capture.scanners, capture.flooders, capture.leaks), start=1):
        if row["src_addr"] in group:
            return number
    return 0


def examples(fleet: Client, capture: Capture, path: str) -> Tuple[Floats, Floats]:
    """Features and classes of the flows of a capture."""
    with open(path, "wb") as file:
        file.write(capture.bytes())
    rows: List[Any] = list(fleet.submit(flows(path)).results())
    return (np.array([[row[name] for name in FEATURES] for row in rows], np.float32),
            np.array([kind_of(row, capture) for row in rows]))


def train(x: Floats, y: Floats) -> Tuple[IsolationForest, HistGradientBoostingClassifier]:
    """The anomaly detector learns what is normal, the classifier what is not."""
    anomaly = IsolationForest(n_estimators=100, contamination=0.02, random_state=1).fit(x[y == 0])
    attack = HistGradientBoostingClassifier(max_iter=50, random_state=1).fit(x, y)
    return anomaly, attack


def main() -> None:
    from skl2onnx import to_onnx  # type: ignore[import-not-found]

    with Client() as fleet:
        x, y = examples(fleet, make(seed=1), "training.pcap")
    for name, model in zip(("anomaly", "attack"), train(x, y)):
        options = {"zipmap": False} if name == "attack" else {}
        onnx = to_onnx(model, x[:1], target_opset={"": 15, "ai.onnx.ml": 3},
                       options={id(model): options} if options else None)
        with open(f"{name}.onnx", "wb") as file:
            file.write(onnx.SerializeToString())
    with open("traffic.pcap", "wb") as file:
        file.write(make(seed=2).bytes())


if __name__ == "__main__":
    main()
