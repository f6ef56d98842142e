"""Predictions of one row over HTTP, under wrk, beside the Flask server that a team would write (gunicorn, a worker
for each processor) with the same model: 100 trees of histogram gradient boosting over 28 columns.

Saturation with 64 connections, and about 1,000 requests/s (wrk waits between the requests of 40 connections). The
coordinator, one worker and wrk share the machine, as the Flask server and wrk do. Every request has other values. Rows
per second in larger requests are there too, for those who have several.

DROVER_BENCH_SECONDS changes the length of a run.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict

import numpy as np
from sklearn import ensemble

from _harness import DIST, OURS, ROOT, Bench, Sample, free_port, note, peak_mb, server, tool, wait_port

sys.path.insert(0, str(ROOT / "tests" / "e2e"))

import onnx_write as ow  # noqa: E402
from drover import Client  # noqa: E402

SECONDS = int(os.environ.get("DROVER_BENCH_SECONDS", "10"))
FEATURES, BODIES = 28, 500
RATE_CONNECTIONS, RATE_DELAY_MS = 40, 38
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}

SCRIPT = """
local bodies = {}
for line in io.lines("%(bodies)s") do bodies[#bodies + 1] = line end
local headers = {["Content-Type"] = "application/json", ["Authorization"] = "Bearer %(token)s"}
local at = 0
request = function()
    at = at %% #bodies + 1
    return wrk.format("POST", nil, headers, bodies[at])
end
%(delay)s
"""


def train() -> Any:
    """The model, on rows that it can learn something from."""
    rng = np.random.RandomState(0)
    x = rng.standard_normal((20_000, FEATURES)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] * x[:, 2] + np.abs(x[:, 3]) + rng.standard_normal(20_000) > 0.8).astype(int)
    return ensemble.HistGradientBoostingClassifier(max_iter=100, max_leaf_nodes=31, early_stopping=False).fit(x, y)


def export(model: Any) -> bytes:
    graph = ow.Graph()
    ow.hist_gradient_boosting(graph, graph.input("X", ow.FLOAT, None, FEATURES), model)
    return graph.bytes()


def write_bodies(path: Path, rows: int) -> None:
    """Requests with varied rows, one a line."""
    rng = np.random.RandomState(1)
    with path.open("w") as out:
        for _ in range(BODIES):
            x = rng.standard_normal((rows, FEATURES)).round(6)
            out.write(json.dumps({"rows": [{f"f{i}": v for i, v in enumerate(row)} for row in x.tolist()]}) + "\n")


def wrk(folder: Path, url: str, token: str, connections: int, delay_ms: int = 0, rows: int = 1) -> Dict[str, float]:
    """One run: requests/s, p50 and p99 in ms."""
    bodies, script = folder / f"bodies-{rows}", folder / "wrk.lua"
    if not bodies.exists():
        write_bodies(bodies, rows)
    delay = f"delay = function() return {delay_ms} end" if delay_ms else ""
    script.write_text(SCRIPT % {"bodies": bodies, "token": token, "delay": delay})
    text = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency", "--timeout", "10s", "-s",
                           script, url], check=True, text=True, stdout=subprocess.PIPE).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise SystemExit(text)
    found = {f"p{m[0]}": float(m[1]) * UNITS[m[2]] for m in re.findall(r" +(50|99)% +([\d.]+)(us|ms|s)\b", text)}
    rate = re.search(r"Requests/sec: +([\d.]+)", text)
    assert rate and len(found) == 2, text
    return {"rate": float(rate[1]), **found}


def measure(bench: Bench, folder: Path, engine: str, url: str, token: str) -> None:
    """All cases of one engine, once."""
    wrk(folder, url, token, 8)  # warms up
    full = wrk(folder, url, token, 64)
    bench.add("saturation", engine, Sample(full["rate"], "requests/s"))
    bench.add("saturation, p50", engine, Sample(full["p50"], "ms"))
    bench.add("saturation, p99", engine, Sample(full["p99"], "ms"))
    note(f"{engine}: {full}")
    slow = wrk(folder, url, token, RATE_CONNECTIONS, RATE_DELAY_MS)
    note(f"{engine} at a fixed rate: {slow}")
    bench.add("fixed rate", engine, Sample(slow["rate"], "requests/s"))
    bench.add("fixed rate, p50", engine, Sample(slow["p50"], "ms"))
    bench.add("fixed rate, p99", engine, Sample(slow["p99"], "ms"))
    many = wrk(folder, url, token, 16, rows=100)
    bench.add("100 rows a request", engine, Sample(many["rate"] * 100, "rows/s"))


def ours(bench: Bench, folder: Path, data: bytes, x: Any, want: Any) -> None:
    """The coordinator and one worker."""
    token, ports = secrets.token_hex(16), folder / "ports"
    (folder / "token").write_text(token)
    (folder / "token").chmod(0o600)
    ports.unlink(missing_ok=True)
    command = [DIST / "drover-coordinator", f"--data-dir={folder / 'data'}", "--listen-front=tcp://127.0.0.1:0",
               "--listen-back=tcp://127.0.0.1:0", "--listen-http=off", f"--predict-listen=http://127.0.0.1:{free_port()}",
               f"--predict-token-file={folder / 'token'}", f"--ports-file={ports}", "--log-level=warn"]
    with server(command) as coordinator:
        while not ports.exists():
            if coordinator.poll() is not None:
                raise SystemExit("the coordinator did not start")
        at = json.loads(ports.read_text())
        worker = [DIST / "drover-worker", "--coordinator", at["back"], "--id", "bench", "--loops", "1", "--log-level=warn"]
        with server(worker) as process, Client(at["front"]) as client:
            client.add_model("bench", data, columns=[f"f{i}" for i in range(FEATURES)])
            while client.status()["workers"]["ready"] == 0:
                pass
            got = client.predict("bench", [{f"f{i}": float(v) for i, v in enumerate(row)} for row in x])
            np.testing.assert_allclose([row["probability_1"] for row in got], want, atol=1e-5)
            measure(bench, folder, OURS, at["predict"] + "/v1/models/bench/predict", token)
            note(f"peak memory: coordinator {peak_mb(coordinator.pid):.0f} MB, worker {peak_mb(process.pid):.0f} MB")


def python(bench: Bench, folder: Path, gunicorn: str) -> None:
    """Flask behind gunicorn."""
    port = free_port()
    command = [gunicorn, "-w", str(os.cpu_count()), "-b", f"127.0.0.1:{port}", "--chdir", Path(__file__).parent / "peers",
               "--log-level", "error", "predict_app:app"]
    with server(command, port, env={**os.environ, "BENCH_MODEL": str(folder / "model"), "OMP_NUM_THREADS": "1"}):
        wait_port(port)
        measure(bench, folder, "python", f"http://127.0.0.1:{port}/predict", "-")


def main() -> None:
    bench = Bench("predict")
    if tool("wrk", "/usr/bin/wrk") is None:
        raise SystemExit("it needs the package wrk")
    with tempfile.TemporaryDirectory(prefix="drover-bench-") as name:
        folder = Path(name)
        model = train()
        (folder / "model").write_bytes(pickle.dumps(model))
        x = np.random.RandomState(2).standard_normal((200, FEATURES)).astype(np.float32)
        want = model.predict_proba(x)[:, 1]
        gunicorn = tool("gunicorn", "/usr/bin/gunicorn")
        for _ in range(int(os.environ.get("DROVER_BENCH_ROUNDS", "3"))):
            ours(bench, folder, export(model), x, want)
            if gunicorn:
                python(bench, folder, gunicorn)
        if not gunicorn:
            bench.miss("python", "needs the packages gunicorn and python3-flask")
    bench.report()


if __name__ == "__main__":
    main()
