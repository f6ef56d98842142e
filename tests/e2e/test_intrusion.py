"""docs/examples/intrusion: planted attackers are found by a fleet, visitors are not blamed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fleet import ROOT

pytest.importorskip("sklearn")
sys.path[:0] = [str(ROOT / "docs/examples/intrusion"), str(ROOT / "python")]

import onnx_write as ow  # noqa: E402
from capture import make  # noqa: E402
from detect import FEATURES, KINDS, detector  # noqa: E402
from drover import Client, export_check  # noqa: E402
from test_worker_fleet import RealWorker, workers  # noqa: E402, F401
from train import examples, train  # noqa: E402


def model_of(build: Any, model: Any) -> bytes:
    g = ow.Graph()
    build(g, g.input("X", ow.FLOAT, None, len(FEATURES)), model)
    return g.bytes()


def test_attackers_are_found(coordinators: Any, workers: Any, tmp_path: Path) -> None:  # noqa: F811
    coordinator = coordinators().start()
    for name in ("w1", "w2"):
        workers(coordinator, name)
    with Client(coordinator.front) as fleet:
        x, y = examples(fleet, make(seed=1), str(tmp_path / "training.pcap"))
        assert set(y) == {0, 1, 2, 3}
        anomaly, attack = train(x, y)
        assert export_check(attack, x[:100])
        files = []
        captures = [make(seed=seed) for seed in (2, 3)]
        for number, capture in enumerate(captures):
            files.append(str(tmp_path / f"traffic-{number}.pcap"))
            Path(files[-1]).write_bytes(capture.bytes())
        job = fleet.submit(detector(files, model_of(ow.isolation_forest, anomaly),
                                    model_of(ow.hist_gradient_boosting, attack)))
        alarms = list(job.results())
        status = job.status()
    assert status.tasks == 2 and status.rejects == 0
    blamed = {kind: {row["src_addr"] for row in alarms if row["attack"] == kind} for kind in KINDS}
    for group, kind in (("scanners", "port scan"), ("flooders", "flood"), ("leaks", "leak")):
        planted = set().union(*(getattr(capture, group) for capture in captures))
        assert planted <= blamed[kind], kind
    attackers = set().union(*(c.scanners | c.flooders | c.leaks for c in captures))
    innocent = [row for row in alarms if row["src_addr"] not in attackers]
    assert len(innocent) < 40, f"{len(innocent)} of 4,000 visits are blamed"


def test_usage() -> None:
    """Three files are wanted; without them it says so."""
    done = subprocess.run([sys.executable, str(ROOT / "docs/examples/intrusion/detect.py"), "traffic.pcap"], text=True,
                          capture_output=True, timeout=60, check=False, env={**os.environ, "PYTHONPATH": str(ROOT / "python")})
    assert done.returncode == 1 and done.stderr.startswith("usage: detect.py CAPTURE"), done.stderr
