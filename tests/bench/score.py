"""The score engine against the training library and ONNX Runtime, on one processor, in one run: thousand rows a
second for the models of the table in docs/SCORE.md, and the microseconds of a single row.

Models are trained and exported in an environment that pip makes (tests/e2e/score_peers.py). Two figures of ours:
the graph over columns of float32 (what ONNX Runtime is given too), and a whole stage, from a batch of float64
columns to a batch of results. Besides, from a CSV file to a CSV of scores. DROVER_BENCH_MODELS names the models to
take, with commas between, and "from-csv".
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import Dict, List

from _harness import OURS, ROOT, Bench, Sample, note, run

sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from score_peers import peers_python  # noqa: E402

CLI = ROOT / "build-static" / "tests" / "unit" / "score_cli"
PEER = Path(__file__).parent / "peers" / "score.py"
STAGE = "drover, stage"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
CPU = 1
CSV_ROWS = 500_000
WORKER = ROOT / "dist" / "drover-worker"


def measure(bench: Bench, folder: Path, python: Path, name: str) -> None:
    """One model by all engines."""
    model = folder / f"{name}.onnx"
    commands: Dict[str, List[object]] = {
        OURS: [CLI, "--model", model, "--f32", folder / "rows.f32"],
        "onnxruntime": [python, PEER, "run", "onnxruntime", name, folder],
        "library": [python, PEER, "run", "library", name, folder]}

    def measured(engine: str) -> Sample:
        ran = run(commands[engine], cpu=CPU, env=ONE_THREAD)
        figures = json.loads(ran.output)
        bench.add(f"{name}, single row", engine, Sample(figures["single_us"], "us", ran.peak_mb))
        if engine == OURS:
            bench.add(name, STAGE, Sample(figures["stage_rows_per_s"] / 1000, "krows/s", ran.peak_mb))
        return Sample(figures["rows_per_s"] / 1000, "krows/s", ran.peak_mb)

    bench.rounds(name, {engine: (lambda engine=engine: measured(engine)) for engine in commands})


def end_to_end(bench: Bench, folder: Path, python: Path, name: str) -> None:
    """From a CSV file of an id and 28 numbers to a label and a probability for each row, one processor: `run` of a
    transform and a score stage against a script that reads, scores and writes in parts."""
    rng = random.Random(4)
    block = [",".join(f"{rng.gauss(0, 1):.4f}" for _ in range(28)) for _ in range(25_000)]
    names = [f"f{i}" for i in range(28)]
    with (folder / "rows.csv").open("w") as file:
        file.write(",".join(["id", *names]) + "\n")
        for i in range(CSV_ROWS):
            file.write(f"{i},{block[i % len(block)]}\n")
    numbers = ", ".join(f"{one}::float8 AS {one}" for one in names)
    (folder / "job.json").write_text(json.dumps({
        "drover": 1, "input": {"items": [str(folder / "rows.csv")]},
        "stages": [{"kind": "transform", "sql": f"SELECT id, {numbers} FROM input"},
                   {"kind": "score", "model": {"file": str(folder / f"{name}.onnx")}, "keep": ["id"]}]}))
    commands: Dict[str, List[object]] = {
        OURS: [WORKER, "run", "--job", folder / "job.json", "--output", "/dev/null", "--loops", "1"],
        "onnxruntime": [python, PEER, "csv", "onnxruntime", name, folder],
        "library": [python, PEER, "csv", "library", name, folder]}

    def measured(engine: str) -> Sample:
        ran = run(commands[engine], cpu=CPU, env=ONE_THREAD)
        return Sample(CSV_ROWS / ran.cpu_s / 1000, "krows/CPU s", ran.peak_mb)

    def everywhere() -> Sample:
        ran = run(commands[OURS][:-2])
        return Sample(CSV_ROWS / ran.seconds / 1000, "krows/s", ran.peak_mb)

    bench.rounds(f"from CSV, {name}", {engine: (lambda engine=engine: measured(engine)) for engine in commands})
    bench.rounds(f"from CSV, {name}, all processors", {OURS: everywhere})


def main() -> None:
    """Trains, then measures."""
    bench = Bench("score")
    python, why = peers_python()
    if python is None:
        raise SystemExit(why)
    with tempfile.TemporaryDirectory(prefix="drover-bench-") as name:
        folder = Path(name)
        note("training and exporting the models")
        run([python, PEER, "make", folder], timeout=900)
        found = sorted(path.stem for path in folder.glob("*.onnx"))
        wanted = os.environ.get("DROVER_BENCH_MODELS")
        for model in [one for one in found if not wanted or one in wanted.split(",")]:
            measure(bench, folder, python, model)
        if not wanted or "from-csv" in wanted.split(","):
            end_to_end(bench, folder, python, "histogram-100x31")
    bench.report()


if __name__ == "__main__":
    main()
