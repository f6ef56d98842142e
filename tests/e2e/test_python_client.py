"""The Python client as its users use it, on a real coordinator and real workers."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet import Coordinator, Process, find_binary, wait_until

PACKAGE = Path(__file__).resolve().parents[2] / "python"
sys.path.insert(0, str(PACKAGE))
import drover  # noqa: E402
from drover import AsyncClient, Client, noop, scrape  # noqa: E402


@pytest.fixture
def fleet(coordinator: Coordinator) -> Iterator[Client]:
    with Client(coordinator.front) as client:
        yield client


@pytest.fixture
def worker(tmp_path: Path, coordinator: Coordinator) -> Iterator[Process]:
    process = Process("worker", [str(find_binary("drover-worker")), "--coordinator", coordinator.back,
                                 "--id", "w1", "--loops", "1", "--allow-net", "127.0.0.0/8"], tmp_path)
    yield process
    process.kill()


def texts(n: int) -> list[str]:
    return [f"text-{i}" for i in range(n)]


def test_rows_come_while_the_job_runs(fleet: Client, worker: Process) -> None:
    job = fleet.submit(noop(texts(100), rows=True), task_items=1)
    rows = job.results()
    assert next(rows)["item"].startswith("text-")
    assert len(list(rows)) == 99
    assert job.wait().rows == 100


def test_input_is_streamed_while_it_is_made(fleet: Client, worker: Process) -> None:
    """What was sent is worked on before the iterable has ended."""
    def items() -> Iterator[str]:
        yield from texts(10_001)
        job = fleet_of_its_own.jobs()[0]
        wait_until(lambda: fleet_of_its_own.job(job.id).status().rows == 10_000, "the first chunk")
        yield "last"

    with Client(fleet._target.url) as fleet_of_its_own:
        job = fleet.submit(noop(items(), rows=True))
        assert job.wait(timeout=30).rows == 10_002


def test_status_and_lists(fleet: Client, worker: Process) -> None:
    wait_until(lambda: fleet.workers(), "a worker")
    job = fleet.submit(noop(texts(3), rows=True), name="named", priority=7)
    job.wait(timeout=20)
    state = job.status()
    assert (state.name, state.state, state.items, state.rows) == ("named", "done", 3, 3)
    assert state.raw["priority"] == 7 and state.created and state.ended and state.expires
    assert [one.id for one in fleet.jobs()] == [job.id]
    assert fleet.status()["workers"]["ready"] == 1
    assert fleet.workers()[0]["worker"] == "w1"
    assert fleet.info()["protocol"] == 1


def test_reopening_by_id_and_name(fleet: Client) -> None:
    job = fleet.submit(noop(texts(1)), name="reopened")
    assert fleet.job(job.id).id == fleet.job("reopened").id == job.id
    for unknown in (job.id + 1, "no-such-job"):
        with pytest.raises(drover.NotFound):
            fleet.job(unknown)


def test_the_same_name_again(fleet: Client, worker: Process) -> None:
    first = fleet.submit(noop(texts(5), rows=True), name="again")
    assert fleet.submit(noop(texts(5), rows=True), name="again").id == first.id
    with pytest.raises(drover.DuplicateJob, match=f"job {first.id} "):
        fleet.submit(noop(texts(5)), name="again")
    assert first.wait(timeout=20).rows == 5


def test_the_same_idempotency_key_again(fleet: Client) -> None:
    jobs = {fleet.submit(noop(texts(2)), idempotency_key="once").id for _ in range(3)}
    assert len(jobs) == 1


def test_cancel(fleet: Client) -> None:
    job = fleet.submit(noop(texts(10)))
    job.cancel()
    with pytest.raises(drover.JobCancelled):
        job.wait(timeout=20)
    assert job.wait(on_error="return").state == "cancelled"
    with pytest.raises(drover.JobCancelled):
        list(job.results())
    assert list(job.results(on_error="skip")) == []


def test_wait_timeout_leaves_the_job_alone(fleet: Client) -> None:
    job = fleet.submit(noop(texts(1)))
    with pytest.raises(drover.WaitTimeout):
        job.wait(timeout=0.2)
    assert job.status().state == "open"


BAD_SPECS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "unknown key": (lambda: scrape([], {"a": "h1"}, folow=True), {}, r"stages\[0\].*folow.*follow"),
    "selector": (lambda: scrape([], {"a": "h1["}), {}, r"stages\[0\]\.extract\.a"),
    "regex": (lambda: scrape([], {"a": {"css": "h1", "regex": "(x"}}), {}, r"extract\.a\.regex"),
    "type": (lambda: scrape([], {"a": {"css": "h1", "type": "numbr"}}), {}, r"extract\.a\.type"),
    "priority": (lambda: noop([]), {"priority": 11}, "priority"),
    "sink": (lambda: noop([]), {"sink": {"kind": "stoer"}}, r"sinks\[0\].*stoer"),
    "stage": (lambda: drover.Pipeline([{"kind": "scrap"}]), {}, r"stages\[0\]\.kind"),
}


@pytest.mark.parametrize("name", BAD_SPECS)
def test_a_bad_description_is_refused_with_its_path(fleet: Client, name: str) -> None:
    make, options, pattern = BAD_SPECS[name]
    with pytest.raises(drover.InvalidSpec, match=pattern):
        fleet.submit(make(), **options)
    assert fleet.jobs() == []


@pytest.mark.parametrize("url", ["ftp://h/", "no url", "http://", "http://h:99999/", ""])
def test_a_bad_input_names_its_place(fleet: Client, url: str) -> None:
    with pytest.raises(drover.InvalidArgument, match=r"items\[1\]|item 1|input 1"):
        fleet.submit(scrape(["http://h/", url], {"a": "h1"}))


def test_rejects_and_dead_letters(fleet: Client, worker: Process) -> None:
    """Nothing listens on port 1: after its attempts the page is a dead letter; retry runs it again."""
    job = fleet.submit(scrape(["http://127.0.0.1:1/a"], {"t": "title::text"}, robots=False),
                       retry=drover.Retry(2, backoff=0.05, backoff_max=0.1))
    with pytest.raises(drover.JobFailed, match="1 dead letter"):
        job.wait(timeout=60)
    letters = job.dead()
    assert len(letters) == 1 and letters[0].attempts == 2 and "CONNECT" in letters[0].error
    assert "http://127.0.0.1:1/a" in json.dumps(letters[0].input)
    assert job.retry() == 1
    assert job.status().state == "open"
    with pytest.raises(drover.JobFailed):
        list(job.results())


def test_to_pandas(fleet: Client, worker: Process) -> None:
    import pandas

    frame = fleet.submit(noop(texts(10), rows=True)).to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert sorted(frame["item"]) == sorted(texts(10))


def test_progress_is_written(fleet: Client, worker: Process, capsys: Any) -> None:
    fleet.submit(noop(texts(10))).wait(progress=True)
    assert "done: 10 of 10 tasks" in capsys.readouterr().err


def test_asyncio(coordinator: Coordinator, worker: Process) -> None:
    async def one(fleet: AsyncClient, n: int) -> int:
        job = await fleet.submit(noop(texts(n), rows=True))
        rows = [row async for row in job.results()]
        state = await job.wait()
        assert state.rows == len(rows)
        return len(rows)

    async def many() -> list[int]:
        async with AsyncClient(coordinator.front) as fleet:
            return list(await asyncio.gather(*(one(fleet, n) for n in range(1, 20))))

    assert asyncio.run(many()) == list(range(1, 20))


def test_a_coordinator_that_comes_back_is_not_noticed(coordinator: Coordinator, fleet: Client,
                                                      worker: Process) -> None:
    coordinator.keep_ports()
    job = fleet.submit(noop(texts(50), rows=True), task_items=1)
    waited: list[Any] = []
    thread = threading.Thread(target=lambda: waited.append(Client(coordinator.front).job(job.id).wait()))
    thread.start()
    coordinator.kill()
    coordinator.start()
    thread.join(60)
    assert waited and waited[0].rows == 50


def test_ctrl_c_tells_how_to_come_back(coordinator: Coordinator, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import sys\nfrom drover import Client, noop\n"
                      "job = Client().submit(noop(['a']))\n"
                      "print(job.id, flush=True)\njob.wait()\n")
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True,
                               # A shell starts what is in its background with SIGINT ignored.
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                               env={**os.environ, "DROVER_URL": coordinator.front,
                                    "PYTHONPATH": str(PACKAGE)})
    assert process.stdout
    job = process.stdout.readline().strip()
    # The wait is on the coordinator's list before the signal is sent.
    wait_until(lambda: coordinator.metrics().get("drover_requests_waiting", 0) > 0, "a waiting request")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert f"Client().job({job})" in err


def test_ten_million_urls_in_one_submit(coordinator: Coordinator, fleet: Client) -> None:
    """Accepted in chunks: neither side holds them. The client's memory is that of a small one."""
    n = 10_000_000
    urls = (f"http://host{i % 100}.example/{i}" for i in itertools.count())
    before = peak_mb(os.getpid())
    job = fleet.submit(scrape(itertools.islice(urls, n), {"t": "title"}), task_items=1000)
    assert job.status().items == n
    assert peak_mb(os.getpid()) - before < 60
    assert coordinator.process
    # 64 MiB of inputs, 64 MiB of store cache, and the records of the tasks.
    assert peak_mb(coordinator.process.popen.pid) < 250
    job.cancel()
    assert job.wait(on_error="return", timeout=60).state == "cancelled"


def peak_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmHWM")


def test_pip_install(tmp_path: Path, make_environment: Callable[[], Path]) -> None:
    """`pip install ./python` gives an importable, typed package."""
    python = make_environment()
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    out = subprocess.run([python, "-c", "import drover; print(drover.__version__, drover.__file__)"],
                         cwd=tmp_path, env=env, capture_output=True, text=True, check=True).stdout
    assert out.startswith("0.1.0") and "site-packages" in out
    installed = Path(out.split()[1]).parent
    assert (installed / "py.typed").exists()


@pytest.fixture
def make_environment(tmp_path: Path) -> Callable[[], Path]:
    """An environment with Debian's packages and the client, installed by pip without any download."""
    def make() -> Path:
        folder = tmp_path / "environment"
        copy = tmp_path / "package"
        subprocess.run(["cp", "-r", str(PACKAGE), str(copy)], check=True)
        subprocess.run(["/usr/bin/python3", "-m", "venv", "--system-site-packages", str(folder)], check=True)
        subprocess.run([folder / "bin/python", "-m", "pip", "install", "-q", "--no-index",
                        "--no-build-isolation", str(copy)], check=True, stdout=subprocess.DEVNULL)
        return folder / "bin/python"

    return make


@pytest.fixture
def keyed(tmp_path: Path, coordinators: Callable[..., Coordinator]) -> tuple[Coordinator, Path]:
    """A coordinator with keys, and a folder with the keys `server`, `me` (admin) and `other`."""
    folder = tmp_path / "keys"
    folder.mkdir()
    cli = str(find_binary("drover"))
    for name in ("server", "me", "other"):
        subprocess.run([cli, "key", "gen", name], cwd=folder, check=True, capture_output=True)
    subprocess.run([cli, "key", "authorize", "admin", "me", "me.pub", "--file", "authorized"], cwd=folder,
                   check=True, capture_output=True)
    return coordinators(**{"key.file": folder / "server", "key.authorized": folder / "authorized"}).start(), folder


def test_keys(keyed: tuple[Coordinator, Path]) -> None:
    coordinator, folder = keyed
    server = str(folder / "server.pub")
    with Client(coordinator.front, key_file=str(folder / "me"), server_key_file=server) as client:
        assert (client.info()["name"], client.info()["role"]) == ("me", "admin")
    itself = (folder / "server.pub").read_text().split("public = ")[1].split()[0]
    with Client(coordinator.front, key_file=str(folder / "me"), server_key_file=itself) as client:
        assert client.info()["name"] == "me"
    with Client(coordinator.front, key_file=str(folder / "other"), server_key_file=server) as client:
        with pytest.raises(drover.AuthError, match="does not know this key"):
            client.info()
    with Client(coordinator.front) as client:
        with pytest.raises(drover.AuthError, match="asks for keys"):
            client.info()


def test_keys_async(keyed: tuple[Coordinator, Path]) -> None:
    coordinator, folder = keyed

    async def ask() -> Any:
        async with AsyncClient(coordinator.front, key_file=str(folder / "other"),
                               server_key_file=str(folder / "server.pub")) as client:
            return await client.info()

    with pytest.raises(drover.AuthError, match="does not know this key"):
        asyncio.run(ask())


def test_max_pages_of_a_crawl(fleet: Client, worker: Process, tmp_path: Path) -> None:
    """A chain of pages that never ends: the crawl stops at its limit and says what it left out."""
    from scrape_server import ScrapeServer

    class Endless(ScrapeServer):
        def page_n(self, site: Any, path: str, query: Any, headers: Any) -> Any:
            i = int(path.rsplit("/", 1)[-1])
            return self.html(f"<title>{i}</title><a href='/n/{2 * i + 1}'>a</a><a href='/n/{2 * i + 2}'>b</a>")

    server = Endless()
    try:
        job = fleet.submit(scrape([f"http://127.0.0.1:{server.listen()}/n/0"], {"t": "title::text"},
                                  follow={"max_pages": 20, "depth": 100}, robots=False))
        state = job.wait(timeout=60)
    finally:
        server.close()
    assert (state.items, state.rows, state.stats["pages"]) == (20, 20, 20)
    assert state.stats["dropped.LIMIT"] > 0


def test_large_rows_are_spread_over_results(fleet: Client, worker: Process) -> None:
    """64 pages of 300 kB are one task, and more than a message may hold: what is not read within one
    result goes on in another, and uses no attempt. A page that is too much alone is a reject."""
    from scrape_server import ScrapeServer

    class Large(ScrapeServer):
        def page_large(self, site: Any, path: str, query: Any, headers: Any) -> Any:
            size = 4_000_000 if path.endswith("/13") else 100_000
            return self.html(f"<title>{path}</title>" + f"<p>{'x' * size}</p>" * 3)

    server = Large()
    try:
        port = server.listen()
        job = fleet.submit(scrape([f"http://127.0.0.1:{port}/large/{i}" for i in range(64)],
                                  {"t": "title::text", "text": {"css": "p", "list": True}}, robots=False),
                           retry=drover.Retry(1))
        state = job.wait(timeout=60)
        titles = [row["t"] for row in job.results()]
    finally:
        server.close()
    assert sorted(titles) == sorted(f"/large/{i}" for i in range(64) if i != 13)
    assert state.rejects_by_reason == {"OUTPUT_TOO_LARGE": 1}
    assert state.tasks > 1 and state.dead == 0


def test_fill_rates_in_python_and_on_the_command_line(fleet: Client, worker: Process) -> None:
    from scrape_server import ScrapeServer

    class Half(ScrapeServer):
        def page_half(self, site: Any, path: str, query: Any, headers: Any) -> Any:
            price = "<b class=price>1.50</b>" if path.endswith("/1") else ""
            return self.html(f"<title>{path}</title>{price}")

    server = Half()
    try:
        port = server.listen()
        job = fleet.submit(scrape([f"http://127.0.0.1:{port}/half/{i}" for i in range(4)],
                                  {"title": "title::text", "price": {"css": ".price", "type": "decimal"}}))
        state = job.wait(timeout=60)
    finally:
        server.close()
    assert state.fill_rates == {"title": 1.0, "price": 0.25}
    shown = subprocess.run([str(find_binary("drover")), "--url", fleet._target.url, "job", "show", str(job.id)],
                           check=True, capture_output=True, text=True).stdout
    filled = shown[shown.index("FILLED"):].split("\n")
    assert sorted(line.split() for line in filled[1:3]) == [["price", "25", "%"], ["title", "100", "%"]]


def test_a_submit_that_breaks_off_leaves_no_open_job(fleet: Client) -> None:
    """Without a name nobody could go on with it; with one the same script can."""
    def broken() -> Iterator[str]:
        yield "https://example.org/"
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        fleet.submit(scrape(broken(), {"title": "title::text"}))
    with pytest.raises(drover.InvalidArgument):
        fleet.submit(scrape(["no-url"], {"title": "title::text"}))
    assert [job.state for job in fleet.jobs()] == ["cancelled", "cancelled"]
    with pytest.raises(OSError, match="the disk is gone"):
        fleet.submit(scrape(broken(), {"title": "title::text"}), name="nightly")
    assert fleet.job("nightly").status().state == "open"


def test_a_failed_job_tells_its_first_error(fleet: Client, worker: Process, tmp_path: Path) -> None:
    job = fleet.submit(drover.transform(f"file://{tmp_path}/nothing.csv", "SELECT id FROM input"))
    with pytest.raises(drover.JobFailed, match=r"1 dead letter \(the first: .*\): see job.dead\(\) or "
                       rf"`drover dead ls {job.id}`"):
        job.wait()


@pytest.mark.parametrize("url", ["coordinator", "http://127.0.0.1:7700", "tcp://127.0.0.1", "tcp://h:99999"])
def test_a_wrong_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(drover.InvalidArgument, match="is no address such as tcp://127.0.0.1:7700"):
        Client(url)


def test_arguments_of_other_types(fleet: Client) -> None:
    pages = scrape(["https://example.org/"], {"title": "title::text"})
    with pytest.raises(drover.InvalidArgument, match=r"retry is a Retry, such as Retry\(attempts=4\), not 3"):
        fleet.submit(pages, retry=3)  # type: ignore[arg-type]
    with pytest.raises(drover.InvalidArgument, match="a job is what scrape"):
        fleet.submit("pages")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unsupported operand"):
        pages | "SELECT 1"  # type: ignore[operator]


@pytest.mark.parametrize("begin, want", [
    (b"PK\x03\x04rest", "zip archive"), (b"\xff\xfei\0d\0", "UTF-16"), (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ", "xz file"), (b"PAR1", "Parquet")])
def test_files_of_other_formats_are_named(tmp_path: Path, begin: bytes, want: str) -> None:
    path = tmp_path / "sales.csv"
    path.write_bytes(begin + bytes(100))
    with pytest.raises(drover.InvalidArgument, match=rf"sales.csv is .*{want}"):
        drover.transform(str(path), "SELECT id FROM input")


def test_two_results_of_one_name_are_refused(fleet: Client, tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text("id,amount\n1,2\n")
    both = drover.transform(str(tmp_path / "sales.csv"), "SELECT count(*), count(amount) FROM input")
    with pytest.raises(drover.InvalidSpec, match='columns 1 and 2 of its rows are both called "count"'):
        fleet.submit(both)


def test_the_configuration_file_of_the_command_line(coordinator: Coordinator, tmp_path: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "drover").mkdir()
    (tmp_path / "drover" / "client.conf").write_text(f'url = "{coordinator.front}"\n')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("DROVER_URL", raising=False)
    monkeypatch.delenv("DROVER_CONFIG", raising=False)
    with Client() as client:
        assert client.info()["protocol"] == 1


def test_a_frame_without_rows_has_its_columns(coordinator: Coordinator, fleet: Client, worker: Process,
                                              tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text("id,amount,day\n1,2.5,2026-01-05\n")
    none = drover.transform(str(tmp_path / "sales.csv"), "SELECT id::bigint AS id, amount::float8 AS amount, "
                            "day::timestamp AS day, amount AS exact FROM input WHERE id::bigint > 5")
    one = drover.transform(str(tmp_path / "sales.csv"), none.stages[0]["sql"].replace("> 5", "= 1"))
    frame = fleet.submit(none).to_pandas()
    assert len(frame) == 0 and list(frame.columns) == ["id", "amount", "day", "exact"]
    assert list(frame.dtypes) == list(fleet.submit(one).to_pandas().dtypes)

    async def ask() -> Any:
        async with AsyncClient(coordinator.front) as client:
            return await (await client.submit(none)).to_pandas()

    assert list(asyncio.run(ask()).dtypes) == list(frame.dtypes)


def test_text_instead_of_bytes(fleet: Client) -> None:
    with pytest.raises(drover.InvalidArgument, match="gives str: open it in binary mode"):
        drover.transform(io.StringIO("id\n1\n"), "SELECT id FROM input")
    with pytest.raises(drover.InvalidArgument, match="DataFrame is sent as"):
        drover.transform(pytest.importorskip("pandas").DataFrame({"id": [1]}), "SELECT id FROM input")
