"""Models in jobs of a fleet: scrape | transform | score into PostgreSQL while a worker is killed, what is refused
when a job is submitted, and samples that prove a model."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet import ROOT, find_binary, wait_until

np = pytest.importorskip("numpy")
ensemble = pytest.importorskip("sklearn.ensemble")
sys.path.insert(0, str(ROOT / "python"))

import onnx_write as ow  # noqa: E402
from drover import Client, InvalidSpec, export_check, score, scrape, transform  # noqa: E402
from mortal_fleet import MortalFleet  # noqa: E402
from pg_server import PgServer  # noqa: E402
from test_chaos import site  # noqa: E402, F401

FEATURES = ["title_len", "text_len", "selects"]
PAGES_SQL = """SELECT url, length(title)::double precision AS title_len, length(text)::double precision AS text_len,
                      ((length(text) - length(replace(text, 'SELECT', ''))) / 6)::double precision AS selects
                 FROM input"""


@pytest.fixture(scope="module")
def trained() -> Any:
    """A classifier of pages by three numbers."""
    rng = np.random.default_rng(3)
    x = np.column_stack([rng.integers(1, 120, 4000), rng.integers(100, 60000, 4000), rng.integers(0, 40, 4000)])
    y = (x[:, 2] * 700 + rng.normal(0, 500, 4000) > x[:, 1]).astype(int)
    return ensemble.HistGradientBoostingClassifier(max_iter=40, random_state=0).fit(x.astype(np.float32), y)


@pytest.fixture(scope="module")
def model(trained: Any) -> bytes:
    g = ow.Graph()
    ow.hist_gradient_boosting(g, g.input("X", ow.FLOAT, None, len(FEATURES)), trained)
    return g.bytes()


def as_library(trained: Any, rows: Any) -> Any:
    return trained.predict_proba(np.array(rows, np.float32))[:, 1]


def test_pages_are_scored_into_postgresql_while_a_worker_is_killed(
    coordinators: Any, tmp_path: Path, site: str, trained: Any, model: bytes  # noqa: F811
) -> None:
    with PgServer(tmp_path / "pg") as server:
        server.sql("""CREATE TABLE pages (url text, title_len float8, text_len float8, selects float8, label bigint,
                                          probability_1 float8);
                      GRANT INSERT ON pages TO worker;""")
        secret = tmp_path / "password"
        secret.write_text("rows\n")
        secret.chmod(0o600)
        fleet = MortalFleet(tmp_path, coordinators(
            lease="1s", kills_max=50, **{"sink.main.url": server.url(), "sink.main.password_file": secret}),
            "--allow-net", "127.0.0.0/8")
        try:
            with Client(fleet.coordinator.front) as client:
                job = client.submit(
                    scrape([site], extract={"url": "@url", "title": "title::text", "text": "body"}, follow=True,
                           per_host=4)
                    | transform(sql=PAGES_SQL)
                    | score(model, inputs={"X": FEATURES}, outputs=["label", "probability_1"],
                            keep=["url", *FEATURES], sample=export_check(trained, [[1, 2, 3], [50, 90, 8]], names=FEATURES)),
                    sink="main", table="pages", task_items=4)
                wait_until(lambda: job.status().rows > 300, "300 pages", 60)
                fleet.kill_worker("worker-1")
                status = job.wait(120)
            rows = server.sql("SELECT url, title_len, text_len, selects, label, probability_1 FROM pages")
        finally:
            fleet.close()
    assert status.state == "done" and len(rows) == status.rows > 1000
    assert len({row[0] for row in rows}) == len(rows)
    want = as_library(trained, [row[1:4] for row in rows])
    got = np.array([float(row[5]) for row in rows])
    assert np.abs(want - got).max() < 1e-5
    assert [int(row[4]) for row in rows] == [int(p > 0.5) for p in want]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    from fleet import Coordinator

    folder = tmp_path_factory.mktemp("small")
    fleet = MortalFleet(folder, Coordinator(folder, lease="2s"))
    with Client(fleet.coordinator.front) as client:
        yield client
    fleet.close()
    fleet.coordinator.stop()


def numbers(n: int = 3) -> Any:
    lines = "".join(f"{i},{i % 100},{i * 37 % 5000},{i % 30}\n" for i in range(n))
    return transform(io.BytesIO(f"id,title_len,text_len,selects\n{lines}".encode()),
                     f"SELECT id::bigint AS id, {', '.join(f'{f}::double precision AS {f}' for f in FEATURES)} FROM input")


def test_rows_of_many_tasks(small: Client, trained: Any, model: bytes) -> None:
    job = small.submit(numbers(500_000) | score(model, keep=["id"]))
    rows = sorted((row["id"], row["label"], row["probability_1"]) for row in job.results())
    want = as_library(trained, [[i % 100, i * 37 % 5000, i % 30] for i in range(500_000)])
    assert [row[0] for row in rows] == list(range(500_000)) and job.status().tasks > 1
    assert np.abs(want - np.array([row[2] for row in rows])).max() < 1e-5


def test_a_filter_between_two_models_and_groups_after_them(small: Client, trained: Any, model: bytes) -> None:
    job = small.submit(numbers(2000)
                       | score(model, inputs={"X": FEATURES}, keep=["id", *FEATURES], outputs=["probability_1"])
                       | transform(sql="SELECT * FROM input WHERE probability_1 > 0.5")
                       | score(model, inputs={"X": FEATURES}, keep=["id", "probability_1"], outputs=["label"])
                       | transform(sql="SELECT label, count(*) AS n, min(id) AS first FROM input GROUP BY label"))
    want = as_library(trained, [[i % 100, i * 37 % 5000, i % 30] for i in range(2000)])
    chosen = [i for i in range(2000) if want[i] > 0.5]
    assert list(job.results()) == [{"label": 1, "n": len(chosen), "first": chosen[0]}]


def test_missing_values_are_missing(small: Client, trained: Any, model: bytes) -> None:
    rows = transform(io.BytesIO(b"title_len,text_len,selects\n5,,3\n,400,\n"),
                     f"SELECT {', '.join(f'{f}::double precision AS {f}' for f in FEATURES)} FROM input")
    got = [row["probability_1"] for row in small.submit(rows | score(model)).results()]
    want = as_library(trained, [[5, np.nan, 3], [np.nan, 400, np.nan]])
    assert np.abs(want - np.array(got)).max() < 1e-5


@pytest.mark.parametrize("pipeline, words", [
    (lambda m: numbers() | score(m, keep=["nothing"]), "stages[1].keep: there is no column 'nothing'"),
    (lambda m: numbers() | score(m, inputs={"Y": FEATURES}), "stages[1].inputs.Y: the model has no such input"),
    (lambda m: numbers() | score(m), "stages[1].inputs: the model's input 'X' takes 3 columns, not 4"),
    (lambda m: numbers() | score(m, keep=["id"], outputs=["lable"]), "stages[1].outputs"),
    (lambda m: numbers() | score(m[:1000], keep=["id"]), "stages[1].model"),
    (lambda m: numbers() | score(b"", keep=["id"]), "stages[1].model"),
    (lambda m: score(m), "stages[0].kind: \"score\" cannot be the first stage"),
    (lambda m: numbers() | score(m, keep=["id"]) | transform(sql="SELECT probability_9 FROM input"),
     "stages[2].sql, character 8"),
    (lambda m: transform(io.BytesIO(b"a,b,c\n1,2,x\n"), "SELECT a, b, c FROM input") | score(m),
     "cast it in a transform stage"),
])
def test_what_does_not_fit_is_refused_at_submit(small: Client, model: bytes, pipeline: Any, words: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        small.submit(pipeline(model))
    assert words in str(refused.value)


def test_a_model_that_computes_something_else_is_refused(small: Client, trained: Any, model: bytes) -> None:
    x = [[5, 300, 2], [90, 40, 39]]
    job = small.submit(numbers() | score(model, keep=["id"], sample=export_check(trained, x, names=FEATURES)))
    assert job.wait(30).rows == 3
    wrong = export_check(None, x, {"label": [0, 0], "probability_1": [0.25, 0.25]}, names=FEATURES)
    with pytest.raises(InvalidSpec, match=r"stages\[1\].model: it does not give what its sample expects: row 0"):
        small.submit(numbers() | score(model, keep=["id"], sample=wrong))


def test_the_example_of_the_guide(small: Client, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    code = re.findall(r"```python\n(.*?)```",
                      (ROOT / "docs/GUIDE.md").read_text().split("\n## Models\n")[1].split("\n## ")[0], re.S)[0]
    rng = np.random.default_rng(5)
    x = pandas.DataFrame({"age": rng.integers(18, 90, 1000), "income": rng.integers(0, 90000, 1000),
                          "visits": rng.integers(0, 30, 1000)}).astype(np.float32)
    known = ensemble.HistGradientBoostingClassifier(max_iter=20).fit(x.to_numpy(), x["visits"] < 5)
    known.classes_ = np.array([0, 1])
    g = ow.Graph()
    ow.hist_gradient_boosting(g, g.input("X", ow.FLOAT, None, 3), known)
    (tmp_path / "churn.onnx").write_bytes(g.bytes())
    x.astype(int).to_csv(tmp_path / "customers-1.csv", index_label="id")
    (tmp_path / "known").write_bytes(pickle.dumps((known, x)))
    out = subprocess.run(
        [sys.executable, "-c", f"import pickle, sys\nmodel, X = pickle.load(open('known', 'rb'))\n{code}"], cwd=tmp_path,
        check=True, text=True, timeout=60, stdout=subprocess.PIPE,
        env={**os.environ, "DROVER_URL": small._target.url, "PYTHONPATH": str(ROOT / "python")}).stdout
    told = {int(line.split()[0]) for line in out.splitlines()}
    want = known.predict_proba(x.to_numpy())[:, 1]
    assert told == {i for i in range(1000) if want[i] > 0.8} and 50 < len(told) < 500


def test_without_a_fleet(trained: Any, model: bytes, tmp_path: Path) -> None:
    (tmp_path / "pages.onnx").write_bytes(model)
    (tmp_path / "pages.check").write_bytes(export_check(trained, [[5, 300, 2]], names=FEATURES))
    (tmp_path / "rows.csv").write_text("title_len,text_len,selects\n5,300,2\n90,40,39\n")
    columns = ", ".join(f"{f}::float8 AS {f}" for f in FEATURES)
    job = {"drover": 1, "input": {"items": ["rows.csv"]}, "stages": [
        {"kind": "transform", "sql": f"SELECT {columns} FROM input"},
        {"kind": "score", "model": {"file": "pages.onnx", "sample": {"file": "pages.check"}}}]}

    def worker(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([str(find_binary("drover-worker")), *arguments], cwd=tmp_path, text=True, timeout=60,
                              capture_output=True, check=False)

    (tmp_path / "job.json").write_text(json.dumps(job))
    done = worker("run", "--job", "job.json", "--output", "out.ndjson")
    assert done.returncode == 0, done.stderr
    got = [json.loads(line)["probability_1"] for line in (tmp_path / "out.ndjson").read_text().splitlines()]
    assert np.abs(as_library(trained, [[5, 300, 2], [90, 40, 39]]) - np.array(got)).max() < 1e-5
    shown = worker("model", "show", "pages.onnx")
    assert shown.returncode == 0 and "X float32[rows,3]" in shown.stdout and "kernel" in shown.stdout
    assert "cannot read nothing.onnx" in worker("model", "show", "nothing.onnx").stderr
    wrong = worker("model", "show", "rows.csv")
    assert wrong.returncode == 2 and "rows.csv: model: " in wrong.stderr
    job["stages"][1]["model"] = {"file": "nothing.onnx"}  # type: ignore[index]
    (tmp_path / "job.json").write_text(json.dumps(job))
    assert "cannot read nothing.onnx: No such file" in worker("run", "--job", "job.json").stderr
