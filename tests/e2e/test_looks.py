"""Models are looked at beside the loop while a job is submitted. A look is held where it opens the model's blob, by
a lease (fcntl) on that file: the kernel lets the coordinator wait there, and tells the test that it does."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pathlib
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("sklearn")

from fake_coordinator import DONE, FakeCoordinator, Worker  # noqa: E402
from fleet import ROOT, Coordinator, Front, Process, RemoteError, find_binary, wait_until  # noqa: E402
import predict_model as pm  # noqa: E402

sys.path.insert(0, str(ROOT / "python"))

from drover import export_check, score, transform  # noqa: E402

Coordinators = Callable[..., Coordinator]
Fronts = Callable[..., Front]
Leases = Callable[[Coordinator, str], "Lease"]
NAMES = [f"f{i}" for i in range(6)]
SQL = "SELECT " + ", ".join(f"{name}::float8 AS {name}" for name in NAMES) + " FROM input"


class Lease:
    """Whoever opens the file waits until it is given up; `taken` is that someone does."""

    def __init__(self, path: pathlib.Path) -> None:
        self.fd = os.open(path, os.O_RDWR)
        fcntl.fcntl(self.fd, fcntl.F_SETSIG, signal.SIGURG)  # one that is ignored: the lease is asked instead
        wait_until(self._take, f"nobody has {path} open")

    def _take(self) -> bool:
        try:
            fcntl.fcntl(self.fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except BlockingIOError:
            return False
        return True

    def wait(self) -> None:
        wait_until(lambda: fcntl.fcntl(self.fd, fcntl.F_GETLEASE) != fcntl.F_WRLCK, "the file is opened")

    def give_up(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1


@pytest.fixture
def leases() -> Iterator[Leases]:
    """Leases on blobs of coordinators, given up at the latest before those stop."""
    made: list[Lease] = []

    def make(coordinator: Coordinator, blob: str) -> Lease:
        [path] = coordinator.data_dir.glob(f"blobs/**/{blob}")
        made.append(Lease(path))
        return made[-1]

    yield make
    for one in made:
        one.give_up()


@pytest.fixture(scope="module")
def trained() -> tuple[bytes, Any]:
    return pm.classifier()


def description(blob: str, name: str | None = None, **model: Any) -> str:
    return json.dumps({"drover": 1, **({"name": name} if name else {}), "stages": [
        {"kind": "transform", "sql": SQL}, {"kind": "score", "model": {"blob": blob, **model}}]})


def test_others_are_answered_while_a_model_is_looked_at(
    coordinator: Coordinator, fronts: Fronts, leases: Leases, tmp_path: pathlib.Path, trained: tuple[bytes, Any]
) -> None:
    front = fronts(coordinator)
    blob = pm.upload(front, trained[0])
    lease = leases(coordinator, blob)
    slow = front.send("job.submit", spec=description(blob), idem="slow")
    lease.wait()
    checked = front.send("job.check", spec=description(blob))
    worker = Process("w1", [str(find_binary("drover-worker")), "--coordinator", coordinator.back, "--id", "w1",
                            "--loops", "1"], tmp_path)
    try:
        done = front.wait(front.submit([f"item-{i}" for i in range(100)]))
        assert (done["state"], done["items"]) == ("done", 100)
        assert [job["job"] for job in front.call("job.ls")["jobs"]] == [done["job"]]
        assert front.answers == {}
        lease.give_up()
        job = front.receive(slow)["job"]
        assert job > done["job"]
        front.call("job.seal", job=job)
        assert front.wait(job)["state"] == "done"
        assert front.receive(checked)["columns"][0] == ["label", "int64"]
    finally:
        worker.kill()


def test_the_same_submit_twice_while_it_is_looked_at(coordinator: Coordinator, fronts: Fronts, leases: Leases,
                                                     trained: tuple[bytes, Any]) -> None:
    front, other = fronts(coordinator), fronts(coordinator)
    blob = pm.upload(front, trained[0])
    lease = leases(coordinator, blob)
    spec = description(blob, "nightly")
    first = front.send("job.submit", spec=spec, idem="nightly")
    lease.wait()
    again = front.send("job.submit", spec=spec, idem="nightly")
    beside = other.send("job.submit", spec=description(blob, "beside"))
    another = other.send("job.submit", spec=description(blob, "nightly", tolerance=0.5))
    added = other.send("model.add", name="churn", blob=blob)
    other.call("status")  # all that was sent before has been read
    lease.give_up()
    one, two, three = front.receive(first), front.receive(again), other.receive(beside)
    assert (one["existing"], two["existing"], three["existing"]) == (False, True, False)
    assert one["job"] == two["job"] != three["job"]
    with pytest.raises(RemoteError, match="DUPLICATE_JOB"):
        other.receive(another)
    assert other.receive(added)["version"] == 1
    assert len(front.call("job.ls")["jobs"]) == 2


def test_a_client_that_is_gone(coordinator: Coordinator, fronts: Fronts, leases: Leases, trained: tuple[bytes, Any]) -> None:
    front, gone = fronts(coordinator), fronts(coordinator)
    blob = pm.upload(front, trained[0])
    lease = leases(coordinator, blob)
    gone.send("job.submit", spec=description(blob, "left"), idem="left")
    lease.wait()
    gone.close()
    lease.give_up()
    assert front.call("job.submit", spec=description(blob, "left"), idem="left")["existing"]
    assert [job["name"] for job in front.call("job.ls")["jobs"]] == ["left"]


def test_a_stop_in_the_middle(coordinators: Coordinators, fronts: Fronts, leases: Leases,
                              trained: tuple[bytes, Any]) -> None:
    """The look under way is finished, the next is not begun, nothing is half done; all can be said again."""
    coordinator = coordinators().start()
    coordinator.keep_ports()
    front = fronts(coordinator)
    blob = pm.upload(front, trained[0])
    next_blob = pm.upload(front, pm.classifier(seed=2)[0])
    lease, _ = leases(coordinator, blob), leases(coordinator, next_blob)  # the second one is never given up
    asked = [front.send("job.submit", spec=description(one), idem=one) for one in (blob, next_blob)]
    lease.wait()
    front.call("status")
    process = coordinator.process
    assert process
    process.popen.send_signal(signal.SIGTERM)
    text = process.text
    wait_until(lambda: "stopping" in text(), "the coordinator is stopping")
    lease.give_up()
    assert process.wait() == 0, process.text()
    for seq in asked:
        with pytest.raises(RemoteError, match="UNAVAILABLE: the coordinator is stopping"):
            front.receive(seq)
    coordinator.start()
    again = fronts(coordinator)
    assert again.call("job.ls")["jobs"] == []
    assert not again.call("job.submit", spec=description(blob), idem=blob)["existing"]


def test_what_is_wrong_with_a_sample_is_said_at_submit(front: Front, trained: tuple[bytes, Any]) -> None:
    data, model = trained
    x = [[0.5 * i, 1, -1, 0, 2, 0.25] for i in range(3000)]
    right = model.predict(x).tolist()
    wrong = [*right[:2500], 7, *right[2501:]]
    blob = pm.upload(front, data)
    good = pm.upload(front, export_check(model, x, names=NAMES))
    bad = pm.upload(front, export_check(None, x, {"label": wrong}, names=NAMES))
    no_sample = pm.upload(front, b"no sample")
    narrow = pm.upload(front, export_check(None, [[1, 2]], {"label": [1]}, names=["a", "b"]))
    missing = "0" * 64
    told = f"model: it does not give what its sample expects: row 2500, output 'label': {right[2500]}, not 7"

    def refused(verb: str, **args: Any) -> str:
        with pytest.raises(RemoteError) as error:
            front.call(verb, **args)
        return str(error.value)

    for verb in ("job.submit", "job.check"):
        front.call(verb, spec=description(blob, sample={"blob": good}))
        assert refused(verb, spec=description(blob, sample={"blob": bad})) == f"INVALID_SPEC: stages[1].{told}"
        assert refused(verb, spec=description(blob, sample={"blob": no_sample})).startswith(
            "INVALID_SPEC: stages[1].model.sample: it is no sample")
        assert refused(verb, spec=description(blob, sample={"blob": narrow})) == (
            "INVALID_SPEC: stages[1].model.sample: inputs: the model's input 'X' takes 6 columns, not 2")
        assert f"NOT_FOUND: blob {missing} is not here" in refused(verb, spec=description(missing))
        assert f"NOT_FOUND: blob {missing} is not here" in refused(verb, spec=description(blob, sample={"blob": missing}))
        assert "INVALID_SPEC: stages[1].model.blob: " in refused(verb, spec=description("no name"))
    front.call("model.add", name="churn", blob=blob, sample=good)
    assert refused("model.add", name="churn", blob=blob, sample=bad) == f"INVALID_ARGUMENT: {told}"
    assert [job["name"] for job in front.call("job.ls")["jobs"]] == [None]


def test_a_worker_proves_the_model_once_more(trained: tuple[bytes, Any]) -> None:
    """By all rows of the sample, whatever the coordinator says: here one that looks at nothing."""
    data, model = trained
    x = [[0.5 * i, 1, -1, 0, 2, 0.25] for i in range(3000)]
    labels = model.predict(x).tolist()
    rows = transform(io.BytesIO((",".join(NAMES) + "\n1,2,3,4,5,6\n").encode()), SQL)
    [part] = rows.items
    results = {}
    for told in (labels, [*labels[:-1], 7]):
        coordinator = FakeCoordinator()
        worker = Worker(coordinator.url, "--id", "w1")
        try:
            job = rows | score(data, outputs=["label"], sample=export_check(None, x, {"label": told}, names=NAMES))
            spec: dict[str, Any] = {**job.to_json(), "sinks": [{"kind": "store"}]}
            spec["stages"][1]["columns"] = [["label", "int64"]]
            for blob in (*job.blobs, part):
                coordinator.blobs[bytes.fromhex(blob.sha)] = bytes(blob.data)
            coordinator.wait_session()
            coordinator.assign([[[part.item(), 0]]], spec=json.dumps(spec))
            results[told[-1]] = coordinator.wait_results(1)[0]
        finally:
            worker.kill()
            coordinator.close()
    assert (results[labels[-1]].outcome, results[labels[-1]].n_rows) == (DONE, 1)
    wrong = results[7]
    assert wrong.outcome != DONE and wrong.error
    assert f"model: it does not give what its sample expects: row 2999, output 'label': {labels[-1]}, not 7" in wrong.error


def test_too_many_looks(coordinator: Coordinator, fronts: Fronts, leases: Leases, trained: tuple[bytes, Any]) -> None:
    front = fronts(coordinator)
    blob = pm.upload(front, trained[0])
    lease = leases(coordinator, blob)
    asked = [front.send("job.check", spec=description(blob)) for _ in range(64)]
    with pytest.raises(RemoteError, match="QUEUE_FULL: 64 models wait to be looked at"):
        front.call("job.submit", spec=description(blob))
    lease.give_up()
    assert all(front.receive(seq)["columns"] for seq in asked)
    assert front.call("job.submit", spec=description(blob))["job"]
