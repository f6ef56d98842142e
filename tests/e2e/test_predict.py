"""Predictions end to end: real coordinators, workers and models; what comes back is scikit-learn's."""

from __future__ import annotations

import asyncio
import json
import pathlib
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from fleet import ROOT, Coordinator, FakeWorker, Front, Process, RemoteError, find_binary, wait_until  # noqa: E402
import predict_model as pm  # noqa: E402
from predict_http import TOKEN, Http, serving_twice, token_file  # noqa: E402

sys.path.insert(0, str(ROOT / "python"))

import drover  # noqa: E402

PREDICT, PREDICTED, SCORE = 18, 19, 4
INVALID_ARGUMENT, UNAVAILABLE = 11, 23
Start = Callable[..., Process]


@pytest.fixture
def served(coordinators: Callable[..., Coordinator], tmp_path: pathlib.Path) -> Coordinator:
    """A coordinator with the HTTP port."""
    return coordinators(**{"predict.listen": "http://127.0.0.1:0",
                           "predict.token_file": token_file(tmp_path)}).start()


@pytest.fixture
def start_worker(tmp_path: pathlib.Path) -> Iterator[Start]:
    """Starts real workers and waits until they are ready."""
    made: list[Process] = []

    def start(to: Coordinator, name: str = "w1", wait: bool = True) -> Process:
        made.append(Process(name, [str(find_binary("drover-worker")), "--coordinator", to.back, "--id", name,
                                   "--loops", "1"], tmp_path))
        if wait:
            wait_until(lambda: "session up" in made[-1].text(), f"the session of {name}")
        return made[-1]

    yield start
    for one in made:
        one.kill()
        assert "Sanitizer" not in one.text() and "runtime error:" not in one.text()


def ready(front: Front, n: int = 1) -> None:
    wait_until(lambda: front.call("status")["workers"]["ready"] >= n, f"{n} workers")


def rows_of(x: Any) -> list[dict[str, float]]:
    return [{f"f{i}": float(v) for i, v in enumerate(row)} for row in x]


def matrix(n: int, features: int, seed: int = 9) -> Any:
    return np.random.RandomState(seed).standard_normal((n, features)).astype(np.float32)


# ---- values ----

def test_values_are_the_librarys(served: Coordinator, fronts: Any, start_worker: Start) -> None:
    """By the Python client, by HTTP with objects and with lists, and by asyncio: the same."""
    data, model = pm.classifier()
    names = [f"f{i}" for i in range(6)]
    x = matrix(500, 6)
    want, labels = model.predict_proba(x), model.predict(x)
    start_worker(served)
    ready(fronts(served))

    def check(rows: list[dict[str, Any]]) -> None:
        assert [row["label"] for row in rows] == labels.tolist()
        np.testing.assert_allclose([row["probability_1"] for row in rows], want[:, 1], atol=1e-5)

    with drover.Client(served.front) as client:
        assert client.add_model("churn", data, columns=names) == 1
        check(client.predict("churn", rows_of(x)))
        backwards = [dict(reversed(list(row.items()))) for row in rows_of(x)]
        check(client.predict("churn", backwards))
        [model_row] = client.models()
        assert (model_row.name, model_row.version, model_row.newest) == ("churn", 1, True)
        assert list(model_row.columns) == names and not model_row.positional
    http = Http(served)
    for body in ({"rows": backwards}, {"rows": x.tolist(), "columns": names}, {"rows": x.tolist()},
                 {"columns": names[::-1], "rows": x[:, ::-1].tolist()}):
        status, answer = http.predict("churn", body)
        assert status == 200 and (answer["model"], answer["version"]) == ("churn", 1)
        check(answer["rows"])

    async def many() -> list[list[dict[str, Any]]]:
        async with drover.AsyncClient(served.front) as client:
            return await asyncio.gather(*(client.predict("churn", [row]) for row in rows_of(x[:50])))

    check([row for [row] in asyncio.run(many())] + client_rest(served, x))


def client_rest(served: Coordinator, x: Any) -> list[dict[str, Any]]:
    with drover.Client(served.front) as client:
        return client.predict("churn", rows_of(x[50:]))


def test_a_matrix_without_names_takes_lists(served: Coordinator, fronts: Any, start_worker: Start) -> None:
    """Names that nobody can check are refused: they could be in any order."""
    data, model = pm.classifier()
    x = matrix(50, 6)
    start_worker(served)
    ready(fronts(served))
    http = Http(served)
    with drover.Client(served.front) as client:
        client.add_model("churn", data)
        assert client.models()[0].positional
        for rows in (x, x.tolist(), [tuple(row) for row in x]):
            got = [row["probability_1"] for row in client.predict("churn", rows)]
            np.testing.assert_allclose(got, model.predict_proba(x)[:, 1], atol=1e-5)
        status, answer = http.predict("churn", {"rows": x.tolist()})
        assert status == 200 and len(answer["rows"]) == 50
        words = "the columns of this model have no names, and their order counts: give rows as lists, or add the model"
        with pytest.raises(drover.InvalidArgument, match=f"columns: 'f0': {words}"):
            client.predict("churn", rows_of(x))
        for body, where in (({"rows": rows_of(x)}, r"rows\[0\]"), ({"columns": list("abcdef"), "rows": x.tolist()}, "columns")):
            status, answer = http.predict("churn", body)
            assert status == 400 and re.match(f"{where}: '(f0|a)': {words}", answer["error"]["detail"]), answer
        with pytest.raises(drover.InvalidArgument, match=r"rows\[0\]: 5 values for 6 columns"):
            client.predict("churn", x[:, :5].tolist())
        with pytest.raises(drover.InvalidArgument, match=r"rows\[1\]: a list of values is wanted"):
            client.predict("churn", [[1, 2, 3, 4, 5, 6], {"a": 1}])
        client.add_model("named", data, columns=[f"f{i}" for i in range(6)])
        np.testing.assert_allclose([row["probability_1"] for row in client.predict("named", x)],
                                   model.predict_proba(x)[:, 1], atol=1e-5)


def test_texts_and_missing_values(served: Coordinator, fronts: Any, start_worker: Start) -> None:
    """Inputs by name; escapes and UTF-8; null is a missing number and an empty text."""
    pm.add(fronts(served), "twice", pm.twice())
    start_worker(served)
    http = Http(served)
    wait_until(lambda: http.predict("twice", {"rows": [{"x": 1, "city": "a"}]})[0] == 200, "a worker")
    body = (b'{"rows": [{"x": 1.5e2, "city": "\\u00e9\\ud83d\\ude00\\"\\n"}, {"city": "Sk\xc3\xb6vde", "x": -0.25},'
            b' {"x": null, "city": null}, {"x": 123456789012345678, "city": ""}, {"x": true, "city": "t"}]}')
    status, answer = http.post("/v1/models/twice/predict", body)
    assert status == 200, answer
    assert [row["y"] for row in answer["rows"]] == [300, -0.5, None, 2 * 123456789012345678.0, 2]
    assert [row["name"] for row in answer["rows"]] == ['é😀"\n', "Skövde", "", "", "t"]


# ---- versions ----

def test_versions(served: Coordinator, fronts: Any, start_worker: Start) -> None:
    """The newest is served, others by number; numbers are never given twice; adding again changes nothing."""
    front = fronts(served)
    (first, model_1), (second, model_2) = pm.classifier(seed=1), pm.classifier(seed=2)
    x = matrix(100, 6)
    start_worker(served)
    ready(front)
    with drover.Client(served.front) as client:
        assert client.add_model("m", first) == 1
        assert client.add_model("m", first) == 1
        assert client.add_model("m", second) == 2
        assert client.add_model("m", second, version=2) == 2
        with pytest.raises(drover.WrongState, match="version 2 of m is another model"):
            client.add_model("m", first, version=2)

        def probabilities(version: int | None = None) -> Any:
            return np.asarray([row["probability_1"] for row in client.predict("m", x, version=version)])

        np.testing.assert_allclose(probabilities(), model_2.predict_proba(x)[:, 1], atol=1e-5)
        np.testing.assert_allclose(probabilities(1), model_1.predict_proba(x)[:, 1], atol=1e-5)
        http = Http(served)
        assert http.post("/v1/models/m/versions/1/predict", {"rows": x[:1].tolist()})[1]["version"] == 1
        assert http.post("/v1/models/m/predict", {"rows": x[:1].tolist()})[1]["version"] == 2
        status, answer = http.post("/v1/models/m/versions/7/predict", {"rows": x[:1].tolist()})
        assert status == 404 and "no version 7 of the model m; the newest is 2" in answer["error"]["detail"]
        client.remove_model("m", 2)
        assert http.post("/v1/models/m/predict", {"rows": x[:1].tolist()})[1]["version"] == 1
        assert client.add_model("m", second) == 3
        with pytest.raises(drover.NotFound, match="no model named \"other\""):
            client.predict("other", rows_of(x))
        client.remove_model("m")
        assert client.models() == []
        with pytest.raises(drover.NotFound):
            client.remove_model("m")


def test_restart_keeps_models(served: Coordinator, fronts: Any, start_worker: Start) -> None:
    """Models are in the store, and their blobs stay."""
    data, model = pm.classifier()
    pm.add(fronts(served), "churn", data, columns=list("abcdef"))
    served.keep_ports()
    served.kill()
    served.start()
    start_worker(served)
    http = Http(served)
    x = matrix(20, 6)
    body = {"columns": list("abcdef"), "rows": x.tolist()}
    wait_until(lambda: http.predict("churn", body)[0] == 200, "an answer after the restart")
    rows = http.predict("churn", body)[1]["rows"]
    np.testing.assert_allclose([row["probability_1"] for row in rows], model.predict_proba(x)[:, 1], atol=1e-5)
    assert http.get("/v1/models")[1]["models"] == [
        {"model": "churn", "version": 1, "newest": True, "positional": False, "columns": list("abcdef")}]


def test_blobs_of_models_stay(coordinators: Callable[..., Coordinator], fronts: Any) -> None:
    """What no job and no model needs goes after blob_keep; a model's blob stays, until the model goes."""
    coordinator = coordinators(blob_keep="1s").start()
    front = fronts(coordinator)
    sha = pm.upload(front, pm.twice())
    front.call("model.add", name="twice", blob=sha)
    other = pm.upload(front, b"nobody needs this")

    def folder() -> set[str]:
        return {path.name for path in (coordinator.data_dir / "blobs").iterdir()}

    wait_until(lambda: other not in folder(), "the removal of a blob that nobody needs", 30)
    assert sha in folder()
    front.call("model.rm", name="twice")
    wait_until(lambda: sha not in folder(), "the removal of the model's blob", 30)


# ---- refusals ----

def test_models_that_are_refused(served: Coordinator, fronts: Any) -> None:
    """In the engine's words, when they are added."""
    front = fronts(served)
    data, _ = pm.classifier()
    sample = drover.export_check(None, matrix(2, 6), {"probability_1": [0.5, 5.0]})
    for args, code, words in (
            ({"name": "a b", "blob": pm.upload(front, data)}, "INVALID_ARGUMENT", "name: 1 to 64"),
            ({"name": "m", "blob": "0" * 64}, "NOT_FOUND", "blob: blob 000"),
            ({"name": "m", "blob": pm.upload(front, b"no model")}, None, ""),
            ({"name": "m", "blob": pm.upload(front, data[:2000])}, None, ""),
            ({"name": "m", "blob": pm.upload(front, data), "columns": ["a", "b"]}, "INVALID_ARGUMENT",
             "the model takes 6 columns, and 2 are named"),
            ({"name": "m", "blob": pm.upload(front, data), "columns": list("abcdea")}, "INVALID_ARGUMENT",
             "'a' is there twice"),
            ({"name": "m", "blob": pm.upload(front, data), "version": 0}, "INVALID_ARGUMENT", "from 1 to"),
            ({"name": "m", "blob": pm.upload(front, data), "tolerance": 3.0}, "INVALID_ARGUMENT", "from 0 to 1"),
            ({"name": "m", "blob": pm.upload(front, data), "sample": pm.upload(front, sample)},
             "INVALID_ARGUMENT", "does not give what its sample expects: row")):
        with pytest.raises(RemoteError) as wrong:
            front.call("model.add", **args)
        assert words in wrong.value.detail and wrong.value.name == (code or wrong.value.name)
    unknown = pm.ow.Graph()
    unknown.output(unknown.add("Erosion", [unknown.input("X", pm.ow.FLOAT, None, 3)]), pm.ow.FLOAT, None, 3)
    with pytest.raises(RemoteError, match="Erosion"):
        pm.add(front, "m", unknown.bytes())
    assert front.call("model.ls") == {"models": []}


@pytest.mark.parametrize("body, words", [
    (b"", "the text ends too early"), (b"[]", "an object with"), (b'{"rows": [}', "character 11"),
    (b'{"rows": [[1,2]]} x', "more behind"), (b'{"rows": [{"x": NaN, "city": "a"}]}', "null is a missing value"),
    (b'{"rows": [{"x": 1, "city": "a"}], "rows": []}', "twice"), (b'{"row": []}', "'row'"), (b"{}", "is missing"),
    (b'{"rows": []}', "there are none"), (b'{"rows": {}}', "a list of rows"), (b'{"rows": [1]}', "rows[0]"),
    (b'{"rows": [{"x": 1}]}', "rows[0]: the column 'city' is missing"),
    (b'{"rows": [{"x": 1, "city": "a"}, {"x": 1}]}', "rows[1]: the column 'city' is missing"),
    (b'{"rows": [{"x": 1, "city": "a", "z": 1}]}', "no column 'z' (it takes: x, city)"),
    (b'{"rows": [{"x": 1, "city": "a"}, {"x": 1, "zip": 1}]}', "rows[1]: the model has no column 'zip'"),
    (b'{"rows": [{"x": "a", "city": "a"}]}', "rows[0].x: a number is wanted, not a text"),
    (b'{"rows": [{"x": 1, "city": 5}]}', "rows[0].city: a text is wanted, not a number"),
    (b'{"rows": [{"x": [1], "city": "a"}]}', "rows[0].x: a number is wanted, not a list"),
    (b'{"rows": [{"x": 1e999, "city": "a"}]}', "the number is too large"),
    (b'{"rows": [{"x": 01, "city": "a"}]}', "character"), (b'{"rows": [{"x": 1, "city": "\\ud800"}]}', "surrogate"),
    (b'{"rows": [{"x": 1, "city": "\xff"}]}', "UTF-8"), (b'{"rows": [{"x": 1, "city": "\\u0000"}]}', "NUL"),
    (b'{"rows": [{"x": 1, "city": "a\nb"}]}', "control character"),
    (b'{"columns": ["x"], "rows": [[1]]}', "columns: the column 'city' is missing"),
    (b'{"columns": ["x", "city"], "rows": [[1, "a", 3]]}', "more than 2 values"),
    (b'{"columns": ["x", "city"], "rows": [[1]]}', "rows[0]: 1 values for 2 columns"),
    (b'{"rows": [{"x": 1, "x": 2, "city": "a"}]}', "twice"), (b'{"rows": ' + b"[" * 40 + b"]" * 40 + b"}", "deep"),
])
def test_bad_bodies(bodies: Http, body: bytes, words: str) -> None:
    """400 with row and column, or the place; and the next request is answered."""
    status, answer = bodies.post("/v1/models/twice/predict", body)
    assert status == 400 and words in answer["error"]["detail"], answer
    assert bodies.predict("twice", {"rows": [{"x": 2, "city": "b"}]})[1]["rows"] == [{"y": 4, "name": "b"}]


@pytest.fixture(scope="module")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http]:
    """A fleet with the model `twice`."""
    with serving_twice(tmp_path_factory.mktemp("bodies")) as coordinator:
        yield Http(coordinator)


def test_http_refusals(served: Coordinator, fronts: Any) -> None:
    """Token, paths, methods, sizes; 503 without a worker; keep-alive goes on after an error."""
    pm.add(fronts(served), "twice", pm.twice())
    http = Http(served)
    body = {"rows": [{"x": 1, "city": "a"}]}
    for token in (None, "", "wrong", TOKEN + "x", TOKEN[:-1]):
        status, answer = http.post("/v1/models/twice/predict", body, token=token)
        assert status == 401 and answer["error"]["code"] == "AUTH"
        assert http.headers["www-authenticate"] == "Bearer"
    for path in ("/", "/v1/models/", "/v1/models/a%20b/predict", "/v1/models/twice", "/v1/models/twice/versions/0/predict",
                 "/v1/models/twice/versions/x/predict", "/v1/models/" + "a" * 65 + "/predict", "/v1/models/nobody/predict"):
        assert http.post(path, body)[0] == 404, path
    assert http.get("/v1/models/twice/predict")[0] == 405
    assert http.post("/v1/models", b"{}")[0] == 405
    status, answer = http.post("/v1/models/twice/predict", body)
    assert status == 503 and "no worker is ready" in answer["error"]["detail"]
    assert int(http.headers["retry-after"]) >= 1
    status, answer = http.post("/v1/models/twice/predict", b" " * (1 << 20) + b"{}")
    assert status == 413 and "predict.body_max" in answer["error"]["detail"]
    status, answer = http.post("/v1/models/twice/predict", iter([b" " * 600_000] * 4))
    assert status == 413
    assert http.get("/v1/models")[0] == 200


def test_the_port_needs_a_token(coordinators: Callable[..., Coordinator], tmp_path: pathlib.Path) -> None:
    """Without one, with one that others may read, or one that is short, the coordinator does not start."""
    short = tmp_path / "short"
    short.write_text("abc")
    short.chmod(0o600)
    for options, words in (({}, "needs predict.token_file"), ({"predict.token_file": str(short)}, "16 to 1024"),
                           ({"predict.token_file": token_file(tmp_path), "predict.listen": "http://0.0.0.0:0"},
                            "set predict.anywhere")):
        coordinator = coordinators(**{"predict.listen": "http://127.0.0.1:0", **options})
        process = coordinator.spawn()
        assert process.wait() != 0 and words in process.text()
        coordinator.process = None


def test_errors_of_the_python_client(served: Coordinator, fronts: Any, start_worker: Start) -> None:
    """They name row and column."""
    pm.add(fronts(served), "twice", pm.twice())
    with drover.Client(served.front) as client:
        with pytest.raises(drover.Unavailable, match="no worker is ready"):
            client.predict("twice", [{"x": 1, "city": "a"}])
        start_worker(served)
        ready(fronts(served))
        good = {"x": 1.5, "city": "a"}
        assert client.predict("twice", [good]) == [{"y": 3.0, "name": "a"}]
        for rows, words in (([], "not an empty one"), ([good, {"x": 1}], "rows\\[1\\]: the column 'city' is missing"),
                            ([good, {**good, "z": 1}], "rows\\[1\\]: the column 'z' is not in the first row"),
                            ([{"x": 1}], "'city' is missing"), ([good, {"x": "a", "city": "b"}], "rows\\[1\\].x: a number"),
                            ([{"x": b"1", "city": "b"}], "rows\\[0\\].x: a number is wanted, not bytes")):
            with pytest.raises(drover.InvalidArgument, match=words):
                client.predict("twice", rows)
        with pytest.raises(drover.DroverError, match="more than 10000"):
            client.predict("twice", [good] * 10_001)


# ---- many at once ----

def test_answers_are_not_mixed_up(served: Coordinator, fronts: Any, start_worker: Start) -> None:
    """Hundreds of requests at a time over two workers, each with its own value, bad ones among them."""
    front = fronts(served)
    pm.add(front, "twice", pm.twice())
    start_worker(served)
    start_worker(served, "w2")
    ready(front, 2)
    wrong: list[str] = []

    def ask(thread: int) -> None:
        http = Http(served)
        for i in range(40):
            base = thread * 10_000 + i * 10
            if i % 7 == 3:
                status, answer = http.predict("twice", {"rows": [{"x": base, "city": "a"}, {"x": "bad", "city": "b"}]})
                if status != 400 or "rows[1].x" not in answer["error"]["detail"]:
                    wrong.append(f"{status} {answer}")
                continue
            n = 1 + i % 3
            status, answer = http.predict("twice", {"rows": [{"x": base + k, "city": f"{base}/{k}"} for k in range(n)]})
            want = [{"y": 2 * (base + k), "name": f"{base}/{k}"} for k in range(n)]
            if status != 200 or answer["rows"] != want:
                wrong.append(f"{status} {answer}")

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(200)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(120)
        assert not one.is_alive(), "a request hangs"
    assert wrong == []
    label = 'model="twice",version="1"'
    bad = 200 * len([i for i in range(40) if i % 7 == 3])
    wait_until(lambda: served.metrics()[f'drover_predict_requests_total{{{label},outcome="ok"}}'] == 200 * 40 - bad,
               "the metrics to be published")
    metrics = served.metrics()
    assert metrics[f'drover_predict_requests_total{{{label},outcome="rejected"}}'] == bad
    assert metrics[f"drover_predict_seconds_count{{{label}}}"] == 200 * 40 - bad
    assert metrics[f"drover_predict_batch_rows_count{{{label}}}"] < 200 * 40 - bad, "nothing was batched"


def test_a_killed_worker(served: Coordinator, fronts: Any, start_worker: Start) -> None:
    """In the middle of requests: every one is answered or refused, and with another worker all go on."""
    front = fronts(served)
    pm.add(front, "twice", pm.twice())
    first = start_worker(served)
    start_worker(served, "w2")
    ready(front, 2)
    outcomes: list[int] = []
    killed = threading.Event()

    def ask(thread: int) -> None:
        http = Http(served)
        for i in range(60):
            status, answer = http.predict("twice", {"rows": [{"x": thread, "city": str(i)}]})
            outcomes.append(status)
            assert status != 200 or answer["rows"] == [{"y": 2 * thread, "name": str(i)}]
            if i == 10:
                killed.wait(20)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(40)]
    for one in threads:
        one.start()
    wait_until(lambda: len(outcomes) > 200, "the first answers")
    first.kill()
    killed.set()
    for one in threads:
        one.join(60)
        assert not one.is_alive(), "a request hangs"
    assert len(outcomes) == 40 * 60 and set(outcomes) <= {200, 503}
    assert outcomes.count(200) == len(outcomes), "another worker was there: each is given to it"


# ---- with workers that do what the test says ----

class Scorer(FakeWorker):
    """A worker that is told by the test what to answer."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__(url, name, kinds=SCORE)
        self.hello()

    def asked(self, timeout_s: float = 20) -> list[Any]:
        """The next PREDICT with rows; loading ahead is answered well."""
        while True:
            body = self.expect(PREDICT, timeout_s)
            if body[5] is not None:
                return body
            self.answer(body)

    def answer(self, body: list[Any], code: int = 0, detail: str | None = None) -> None:
        self.send(PREDICTED, [body[0], code, detail, body[5] if code == 0 else None])


@pytest.fixture
def scorer(fake_workers: Any) -> Iterator[Callable[..., Scorer]]:
    """Makes workers that tests steer."""
    made: list[Scorer] = []

    def make(to: Coordinator, name: str = "fake") -> Scorer:
        made.append(Scorer(to.back, name))
        return made[-1]

    yield make
    for one in made:
        one.close()


def asking(front: Front, n: int = 1, rows: int = 1, **args: Any) -> list[int]:
    """Requests under way: their numbers."""
    return [front.send("predict", name="twice", columns=["x", "city"],
                       rows=[[i, "a"] for _ in range(rows)], **args) for i in range(n)]


def failure(front: Front, number: int) -> RemoteError:
    with pytest.raises(RemoteError) as wrong:
        front.receive(number)
    return wrong.value


def slow_fleet(coordinators: Any, fronts: Any, scorer: Any, **options: Any) -> tuple[Coordinator, Front, Scorer]:
    coordinator = coordinators(**options).start()
    front = fronts(coordinator)
    pm.add(front, "twice", pm.twice())
    worker = scorer(coordinator)
    [number] = asking(front)
    worker.answer(worker.asked())  # what is loaded ahead is answered then, too
    assert front.receive(number)["model"] == "twice"
    return coordinator, front, worker


def test_full_queue(coordinators: Any, fronts: Any, scorer: Any) -> None:
    """Beyond predict.queue_rows requests are refused with a time to try again; those that wait are not."""
    _, front, worker = slow_fleet(coordinators, fronts, scorer,
                                  **{"predict.queue_rows": 100, "predict.batch_rows": 10, "predict.batch_wait": "0s"})
    numbers = asking(front, 20, rows=10)
    bodies = [worker.asked() for _ in range(8)]
    wrong = failure(front, numbers[-1])
    assert wrong.name == "QUEUE_FULL" and "predict.queue_rows" in wrong.detail and wrong.retry_after_ms > 0
    for body in bodies:
        worker.answer(body)
    for _ in range(10):
        worker.answer(worker.asked())
    for number in numbers[:18]:
        assert front.receive(number)["model"] == "twice"
    assert failure(front, numbers[18]).name == "QUEUE_FULL"


def test_batches_wait_for_a_busy_worker(coordinators: Any, fronts: Any, scorer: Any) -> None:
    """The first goes at once; what comes while it is open is collected, to the number of rows."""
    _, front, worker = slow_fleet(coordinators, fronts, scorer,
                                  **{"predict.batch_rows": 5, "predict.batch_wait": "1s"})
    numbers = asking(front, 1)
    first = worker.asked()
    numbers += asking(front, 7)
    second = worker.asked()
    assert [len(pm.batch_rows(body[5])) for body in (first, second)] == [1, 5]
    worker.answer(first)
    worker.answer(second)
    third = worker.asked()
    assert len(pm.batch_rows(third[5])) == 2
    worker.answer(third)
    for i, number in enumerate(numbers[1:]):
        [row] = pm.batch_rows(front.receive(number)["rows"])
        assert row["x"] == i


def test_deadline(coordinators: Any, fronts: Any, scorer: Any) -> None:
    """A worker that does not answer: TIMEOUT at the request's deadline or at predict.timeout, the sooner one; and a
    late answer does no harm."""
    _, front, worker = slow_fleet(coordinators, fronts, scorer, **{"predict.timeout": "1s"})
    [soon] = asking(front, timeout_ms=50)
    body = worker.asked()
    assert body[4] <= 50
    assert failure(front, soon).name == "TIMEOUT"
    worker.answer(body)
    [later] = asking(front, timeout_ms=60_000)
    body = worker.asked()
    assert 50 < body[4] <= 1000
    assert failure(front, later).name == "TIMEOUT"
    [good] = asking(front)
    worker.answer(worker.asked())
    assert front.receive(good)["version"] == 1


def test_one_more_worker(coordinators: Any, fronts: Any, scorer: Any) -> None:
    """A request whose worker is lost goes to another one, once."""
    coordinator, front, first = slow_fleet(coordinators, fronts, scorer)
    [number] = asking(front)
    first.asked()
    second, third = scorer(coordinator, "second"), scorer(coordinator, "third")
    first.close()
    for worker in (second, third):
        worker.receive(0.1)
    holders = []

    def holder() -> Scorer | None:
        for worker in (second, third):
            message = worker.receive(0.05)
            if message and message[0] == PREDICT and message[1][5] is not None:
                return worker
        return None

    holders.append(wait_until(holder, "the request at another worker"))
    holders[0].close()
    other = third if holders[0] is second else second
    wrong = other.live_until(lambda: number in front.answers or front.socket.poll(0), "the answer")
    assert wrong
    error = failure(front, number)
    assert error.name == "UNAVAILABLE" and "lost" in error.detail


def test_rows_are_blamed_one_by_one(coordinators: Any, fronts: Any, scorer: Any) -> None:
    """A worker refuses a batch of several requests: each is asked again alone."""
    _, front, worker = slow_fleet(coordinators, fronts, scorer, **{"predict.batch_wait": "200ms"})
    [first] = asking(front)
    body = worker.asked()
    numbers = asking(front, 3)
    batch = worker.asked()
    assert len(pm.batch_rows(batch[5])) == 3
    worker.answer(body)
    worker.answer(batch, INVALID_ARGUMENT, "row 1: no such category")
    for _ in range(3):
        alone = worker.asked()
        [row] = pm.batch_rows(alone[5])
        bad = row["x"] == 1
        worker.answer(alone, INVALID_ARGUMENT if bad else 0, "no such category" if bad else None)
    assert front.receive(first) and front.receive(numbers[0]) and front.receive(numbers[2])
    assert failure(front, numbers[1]).detail == "no such category"


def test_breaker(coordinators: Any, fronts: Any, scorer: Any) -> None:
    """A model that fails again and again is asked no more, with its reason; a probe finds out that it is well."""
    coordinator, front, worker = slow_fleet(coordinators, fronts, scorer)
    for _ in range(5):
        [number] = asking(front)
        worker.answer(worker.asked(), UNAVAILABLE, "the model cannot be loaded: no memory")
        assert failure(front, number).name == "UNAVAILABLE"
    [number] = asking(front)
    wrong = failure(front, number)
    assert "breaker is open" in wrong.detail and "no memory" in wrong.detail and wrong.retry_after_ms > 0
    [model] = front.call("model.ls")["models"]
    assert (model["breaker"], model["error"]) == ("open", "the model cannot be loaded: no memory")
    series = 'drover_predict_breaker_open{model="twice",version="1"}'
    worker.live_until(lambda: coordinator.metrics().get(series) == 1, "the metric")
    probe = None
    while probe is None:
        [number] = asking(front)
        message = worker.receive(0.2)
        if message and message[0] == PREDICT:
            probe = message[1]
        else:
            assert "breaker is open" in failure(front, number).detail
    [second] = asking(front)
    assert failure(front, second).name == "UNAVAILABLE"
    worker.answer(probe)
    assert front.receive(number)["version"] == 1
    assert front.call("model.ls")["models"][0]["breaker"] == "closed"


def test_removed_while_asked(coordinators: Any, fronts: Any, scorer: Any) -> None:
    """Requests under way are answered with NOT_FOUND, and the worker's answer is nobody's."""
    _, front, worker = slow_fleet(coordinators, fronts, scorer)
    numbers = asking(front, 3)
    body = worker.asked()
    front.call("model.rm", name="twice")
    for number in numbers:
        assert failure(front, number).name == "NOT_FOUND"
    worker.answer(body)
    pm.add(front, "twice", pm.twice())
    [number] = asking(front, rows=5)
    while len(pm.batch_rows(body[5])) != 5:  # those before may have been two batches
        body = worker.asked()
        worker.answer(body)
    assert front.receive(number)["version"] == 2


def test_drained_workers_get_nothing(served: Coordinator, fronts: Any, start_worker: Start) -> None:
    """A drained worker is not asked; one that is told to end answers what it has."""
    front = fronts(served)
    pm.add(front, "twice", pm.twice())
    worker = start_worker(served)
    ready(front)
    [number] = asking(front)
    assert front.receive(number)["version"] == 1
    front.call("worker.drain", worker="w1")
    [number] = asking(front)
    assert "no worker is ready" in failure(front, number).detail
    front.call("worker.resume", worker="w1")
    [number] = asking(front)
    assert front.receive(number)["version"] == 1
    assert worker.terminate() == 0


# ---- the command line ----

def test_command_line(served: Coordinator, fronts: Any, tmp_path: pathlib.Path) -> None:
    """drover model add, ls, show, rm."""
    data, model = pm.classifier()
    file, sample = tmp_path / "m.onnx", tmp_path / "sample"
    file.write_bytes(data)
    sample.write_bytes(drover.export_check(model, matrix(50, 6)))

    def drover_model(*args: str, code: int = 0) -> str:
        done = subprocess.run([find_binary("drover"), "--url", served.front, "model", *args], capture_output=True,
                              text=True, timeout=60, check=False)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    assert drover_model("add", "churn", str(file), "--sample", str(sample), "--columns", "a,b,c,d,e,f") == "churn@1\n"
    assert "was there already" in drover_model("add", "churn", str(file), "--sample", str(sample), "--columns",
                                               "a,b,c,d,e,f")
    assert drover_model("add", "churn@7", str(file)) == "churn@7\n"
    lines = drover_model("ls").splitlines()
    assert len(lines) == 3 and lines[1].split()[:2] == ["churn", "1"] and "a, b, c" in lines[1]
    shown = drover_model("show", "churn")
    assert "TreeEnsembleClassifier" in shown and "measured" in shown
    assert json.loads(drover_model("show", "churn@1", "-o", "json"))["version"] == 1
    drover_model("rm", "churn@7")
    assert "no model" in drover_model("show", "nobody", code=3)
    assert "a version is a number" in drover_model("rm", "churn@x", code=2)
    drover_model("rm", "churn", "-y")
    assert len(drover_model("ls").splitlines()) == 1
