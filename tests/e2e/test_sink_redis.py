"""The Redis sink by itself, against a real server: modes, the ledger, bad rows, progress, faults."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet import wait_until
from polite_host import Background
from redis_landings import COLUMNS, P, landing, ledger, pages, sinks, spec, texts, unavailable  # noqa: F401
from redis_server import RedisServer, free_port
from sink_driver import OTHER, Sink


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis") / "server") as one:
        yield one


@pytest.fixture
def server(shared: RedisServer) -> RedisServer:
    shared.client().flushall()
    return shared


@pytest.fixture
def sink(server: RedisServer, sinks: Callable[..., Sink]) -> Sink:
    return sinks(server.url())


# ---- modes ----

TYPED = [["key", "text"], ["b", "bool"], ["i", "int64"], ["f", "float64"], ["d", "decimal"], ["j", "json"],
         ["day", "date"], ["at", "timestamp"], ["nothing", "text"]]
ROW = ["a:b {c} %\u20ac", True, -9223372036854775808, 0.1, "12.50", '{"x": [1]}', 20000, 1700000000123456, None]
FIELDS = {"key": "a:b {c} %\u20ac", "b": "true", "i": "-9223372036854775808", "f": "0.1", "d": "12.50",
          "j": '{"x": [1]}', "day": "2024-10-04", "at": "2023-11-14T22:13:20.123456Z"}


def test_hash(server: RedisServer, sink: Sink) -> None:
    assert sink.verdicts(landing(1, [ROW], columns=TYPED, key="key")) == ["DONE"]
    assert texts(server.client().hgetall(f"{P}:row:{ROW[0]}")) == FIELDS
    assert ledger(server.client()) == {"0:1": 1}
    assert set(server.client().keys()) == {f"{P}:{k}".encode() for k in ("ledger", "job", f"row:{ROW[0]}")}


def test_stream(server: RedisServer, sink: Sink) -> None:
    rows = [ROW, [*ROW[:2], 5, "nan", *ROW[4:]], [*ROW[:2], 6, "-inf", *ROW[4:]]]
    assert sink.verdicts(landing(1, rows, columns=TYPED, mode="stream")) == ["DONE"]
    got = [texts(fields) for _, fields in server.client().xrange(f"{P}:rows")]
    assert got[0] == FIELDS
    assert [row["f"] for row in got] == ["0.1", "NaN", "-Infinity"]


def test_list(server: RedisServer, sink: Sink) -> None:
    assert sink.verdicts(landing(1, [ROW, [None] * 9], columns=TYPED, mode="list")) == ["DONE"]
    got = [json.loads(text) for text in server.client().lrange(f"{P}:rows", 0, -1)]
    assert got[0] == {"key": ROW[0], "b": True, "i": -(2**63), "f": 0.1, "d": 12.5, "j": {"x": [1]},
                      "day": "2024-10-04", "at": "2023-11-14T22:13:20.123456Z", "nothing": None}
    assert set(got[1].values()) == {None}


@pytest.mark.parametrize("mode", ["hash", "stream", "list"])
def test_a_large_landing(server: RedisServer, sink: Sink, mode: str) -> None:
    """Beyond what Lua's stack takes at once, and beyond what may be under way beside others."""
    text = "x" * 500
    big = landing(1, [[f"/{i}", i, text] for i in range(20000)], columns=[*COLUMNS, ["text", "text"]], mode=mode)
    done = sink.write(big, *[pages(task, 5, mode=mode) for task in range(2, 50)], timeout_ms=60000)
    assert [one["verdict"] for one in done["landings"]] == ["DONE"] * 49
    client = server.client()
    assert sum(ledger(client).values()) == 20000 + 48 * 5
    if mode == "hash":
        assert len(client.keys(f"{P}:row:*")) == 20000 + 48 * 5
        assert texts(client.hgetall(f"{P}:row:/19999")) == {"url": "/19999", "n": "19999", "text": text}
    elif mode == "stream":
        assert client.xlen(f"{P}:rows") == 20000 + 48 * 5
    else:
        assert json.loads(client.lindex(f"{P}:rows", 19999))["n"] == 19999
    assert client.hget(f"{P}:job", "rows") == b"20240"


@pytest.mark.parametrize("mode", ["hash", "stream"])
def test_many_columns(server: RedisServer, sink: Sink, mode: str) -> None:
    columns = [["url", "text"], *[[f"c{i}", "int64"] for i in range(1599)]]
    assert sink.verdicts(landing(1, [["/", *range(1599)]], columns=columns, mode=mode)) == ["DONE"]
    client = server.client()
    got = client.hgetall(f"{P}:row:/") if mode == "hash" else client.xrange(f"{P}:rows")[0][1]
    assert texts(got) == {"url": "/", **{f"c{i}": str(i) for i in range(1599)}}


@pytest.mark.parametrize("mode", ["hash", "stream", "list"])
def test_no_rows(server: RedisServer, sink: Sink, mode: str) -> None:
    assert sink.verdicts(landing(1, [], mode=mode), landing(1, [], mode=mode)) == ["DONE", "DUPLICATE"]
    assert ledger(server.client()) == {"0:1": 0}


@pytest.mark.parametrize("mode", ["hash", "stream", "list"])
def test_time_to_live(server: RedisServer, sink: Sink, mode: str) -> None:
    assert sink.verdicts(pages(1, mode=mode, ttl_s=100)) == ["DONE"]
    client = server.client()
    keys = client.keys()
    assert len(keys) == (5 if mode == "hash" else 3)
    assert all(95000 < client.pttl(key) <= 100000 for key in keys)


def test_databases_and_socket(server: RedisServer, sinks: Callable[..., Sink]) -> None:
    assert sinks(server.socket_url(3)).verdicts(pages(1)) == ["DONE"]
    assert sinks(server.url(database=4)).verdicts(pages(1)) == ["DONE"]
    assert len(server.client(db=3).keys()) == len(server.client(db=4).keys()) == 5
    assert not server.client().keys()


# ---- once ----

def test_a_task_lands_once(server: RedisServer, sink: Sink) -> None:
    for _ in range(2):
        verdicts = sink.verdicts(pages(1, mode="stream"), pages(2, mode="stream"), pages(1, mode="stream"))
    assert verdicts == ["DUPLICATE"] * 3
    assert server.client().xlen(f"{P}:rows") == 6
    assert sink.verdicts(pages(1, mode="stream", uid=OTHER)) == ["DONE"]
    assert texts(server.client().hgetall(f"{P}:job"))["rows"] == "6"


def test_two_sinks_of_a_job_that_are_one_server(server: RedisServer, sink: Sink) -> None:
    """The mark of one is not taken for that of the other."""
    assert sink.verdicts(pages(1, index=0, mode="list"), pages(1, index=1, mode="list")) == ["DONE", "DONE"]
    assert ledger(server.client()) == {"0:1": 3, "1:1": 3}


class AnswerCutter(Background):
    """Carries connections to Redis. Armed, it cuts the first that sends EVALSHA, after the server has
    answered and before the answer has passed."""

    def __init__(self, to_port: int) -> None:
        super().__init__()
        self.to_port = to_port
        self.armed = False
        self.cuts = 0
        server = self.run(asyncio.start_server(self._client, "127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _client(self, reader: Any, writer: Any) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.to_port)
        asked = asyncio.Event()

        async def up() -> None:
            while data := await reader.read(65536):
                if b"EVALSHA" in data:
                    asked.set()
                far_writer.write(data)
                await far_writer.drain()
            far_writer.close()

        async def down() -> None:
            while data := await far_reader.read(65536):
                if self.armed and asked.is_set():
                    self.armed = False
                    self.cuts += 1
                    writer.transport.abort()
                    far_writer.close()
                    return
                writer.write(data)
                await writer.drain()
            writer.close()

        await asyncio.gather(up(), down(), return_exceptions=True)


@pytest.mark.parametrize("mode", ["stream", "list"])
def test_a_lost_answer(server: RedisServer, sinks: Callable[..., Sink], mode: str) -> None:
    cutter = AnswerCutter(server.port)
    try:
        sink = sinks(cutter.url)
        assert sink.verdicts(pages(1, mode=mode)) == ["DONE"]
        cutter.armed = True
        lost = sink.write(pages(2, mode=mode))
        unavailable(lost, "127.0.0.1")
        assert cutter.cuts == 1 and lost["landings"][0]["verdict"] == "UNDECIDED"
        wait_until(lambda: "0:2" in ledger(server.client()), "the server has run what it was sent")
        assert sink.verdicts(pages(2, mode=mode)) == ["DUPLICATE"]
        client = server.client()
        assert (client.xlen if mode == "stream" else client.llen)(f"{P}:rows") == 6
    finally:
        cutter.close()


def test_script_flush(server: RedisServer, sink: Sink) -> None:
    assert sink.verdicts(pages(1)) == ["DONE"]
    server.client().script_flush()
    assert sink.verdicts(pages(2), pages(3), pages(1)) == ["DONE", "DONE", "DUPLICATE"]


def test_restart(tmp_path: Path, sinks: Callable[..., Sink]) -> None:
    with RedisServer(tmp_path / "redis", appendonly="yes", appendfsync="always") as server:
        sink = sinks(server.url())
        assert sink.verdicts(pages(1, mode="list")) == ["DONE"]
        server.restart()
        unavailable(sink.write(pages(2, mode="list")), str(server.port))
        assert sink.verdicts(pages(1, mode="list"), pages(2, mode="list")) == ["DUPLICATE", "DONE"]
        assert server.client().llen(f"{P}:rows") == 6


def test_killed_while_it_writes(tmp_path: Path, sinks: Callable[..., Sink]) -> None:
    """kill -9 again and again: each task's rows are there once when it was acknowledged or tried again."""
    with RedisServer(tmp_path / "redis", appendonly="yes", appendfsync="always") as server:
        sink = sinks(server.url())
        over = threading.Event()
        kills = 0

        def killer() -> None:
            nonlocal kills
            while not over.is_set():
                seen = server.client().hlen(f"{P}:ledger")
                while not over.is_set() and server.client().hlen(f"{P}:ledger") < seen + 30:
                    time.sleep(0.001)
                server.restart()
                kills += 1

        thread = threading.Thread(target=killer)
        thread.start()
        tasks = 400
        try:
            for first in range(0, tasks, 20):
                group = [pages(task, 10, mode="list") for task in range(first, first + 20)]
                wait_until(lambda: sink.write(*group)["rc"] == "OK", "a group lands", 30)
        finally:
            over.set()
            thread.join()
        rows = [json.loads(row)["url"] for row in server.client().lrange(f"{P}:rows", 0, -1)]
        assert sorted(rows) == sorted(f"/{task}/{i}" for task in range(tasks) for i in range(10))
        assert sum(ledger(server.client()).values()) == len(rows)
        assert kills > 3


# ---- rows that do not fit ----

def test_null_in_the_key(server: RedisServer, sink: Sink) -> None:
    rows = [["/a", 1], [None, 2], ["/c", 3], ["x" * 9000, 4]]
    done = sink.write(landing(1, rows), landing(2, rows, bad_rows="fail"))
    rejected, failed = done["landings"]
    assert rejected["verdict"] == "DONE" and rejected["written"] == 2
    assert [(row, column) for row, column, _ in rejected["rejects"]] == [(1, "url"), (3, "url")]
    assert "NULL" in rejected["rejects"][0][2] and "8192" in rejected["rejects"][1][2]
    assert failed["verdict"] == "FAILED" and "row 1: column url: NULL" in failed["error"]
    assert ledger(server.client()) == {"0:1": 2}
    assert server.client().hget(f"{P}:row:/c", "n") == b"3"


def test_a_stream_entry_without_values(sink: Sink) -> None:
    done = sink.write(landing(1, [[None, None], [None, 1]], mode="stream"))["landings"][0]
    assert done["verdict"] == "DONE" and done["written"] == 1
    assert done["rejects"][0][0] == 0 and "NULL" in done["rejects"][0][2]


def test_too_many_rows_that_do_not_fit(server: RedisServer, sink: Sink) -> None:
    done = sink.write(landing(1, [[None, 1]] * 1001))["landings"][0]
    assert done["verdict"] == "FAILED" and "1000" in done["error"]
    assert not server.client().keys()


def test_nul_and_other_bytes(server: RedisServer, sink: Sink) -> None:
    assert sink.verdicts(landing(1, [["a\0b\r\n$9\r\n", 1]])) == ["DONE"]
    assert server.client().hget(f"{P}:row:a\0b\r\n$9\r\n", "n") == b"1"


def test_keys_that_hold_something_else(server: RedisServer, sink: Sink) -> None:
    client = server.client()
    client.set(f"{P}:row:/1/1", "mine")
    done = sink.write(pages(1), pages(2))["landings"]
    assert [one["verdict"] for one in done] == ["DONE", "DONE"]
    assert done[0]["written"] == 2 and done[0]["rejects"][0][0] == 1 and "WRONGTYPE" in done[0]["rejects"][0][2]
    assert ledger(client) == {"0:1": 2, "0:2": 3} and client.hget(f"{P}:job", "rows") == b"5"
    client.set(f"{P}:row:/3/2", "mine")
    client.set(f"{P}:rows", "mine")
    done = sink.write(pages(3, bad_rows="fail"), pages(4, mode="stream"), pages(5, mode="list"))["landings"]
    assert [one["verdict"] for one in done] == ["FAILED"] * 3
    assert all("holds a string" in one["error"] for one in done)
    assert set(ledger(client)) == {"0:1", "0:2"} and not client.exists(f"{P}:row:/3/0")
    client.delete(f"{P}:ledger")
    client.set(f"{P}:ledger", "mine")
    assert sink.verdicts(pages(6)) == ["FAILED"]
    assert not client.exists(f"{P}:row:/6/0")


def test_a_landing_beyond_the_limit(server: RedisServer, sink: Sink) -> None:
    text = "x" * 1_000_000
    rows = [[f"/{i}", text] for i in range(70)]
    done = sink.write(landing(1, rows, columns=[["url", "text"], ["t", "text"]]), pages(2), timeout_ms=60000)
    big, small = done["landings"]
    assert big["verdict"] == "FAILED" and "67108864" in big["error"] and "task_items" in big["error"]
    assert small["verdict"] == "DONE" and ledger(server.client()) == {"0:2": 3}


# ---- progress ----

def test_progress_and_end_are_published(server: RedisServer, sink: Sink) -> None:
    watcher = server.client().pubsub()
    watcher.subscribe(f"{P}:events")
    assert watcher.get_message(timeout=5)["type"] == "subscribe"
    assert sink.verdicts(pages(1), pages(2, n=5), pages(1)) == ["DONE", "DONE", "DUPLICATE"]
    assert sink.job_end(spec(), "done")["rc"] == "OK"
    events = [json.loads(watcher.get_message(timeout=5)["data"]) for _ in range(3)]
    assert events == [
        {"state": "open", "job": 7, "task": 1, "task_rows": 3, "tasks": 1, "rows": 3},
        {"state": "open", "job": 7, "task": 2, "task_rows": 5, "tasks": 2, "rows": 8},
        {"state": "done", "job": 7, "tasks": 2, "rows": 8},
    ]
    job = texts(server.client().hgetall(f"{P}:job"))
    assert abs(time.time() * 1000 - int(job.pop("updated_ms"))) < 60000
    assert job == {"state": "done", "job": "7", "tasks": "2", "rows": "8"}


def test_the_end_of_a_job_without_landings(server: RedisServer, sink: Sink) -> None:
    assert sink.job_end(spec(ttl_s=50), "failed")["rc"] == "OK"
    assert server.client().hget(f"{P}:job", "state") == b"failed"
    assert 0 < server.client().pttl(f"{P}:job") <= 50000


@pytest.mark.parametrize("mode", ["hash", "stream", "list"])
def test_a_fenced_job(server: RedisServer, sink: Sink, mode: str) -> None:
    assert sink.verdicts(pages(1, mode=mode, generation=3)) == ["DONE"]
    assert sink.job_end(spec(mode), "cancelled", generation=3, fenced=True)["rc"] == "OK"
    done = sink.write(pages(2, mode=mode, generation=3), pages(3, mode=mode, generation=2),
                      pages(4, mode=mode, generation=4), pages(2, mode=mode, generation=3, uid=OTHER))
    assert [one["verdict"] for one in done["landings"]] == ["FENCED", "FENCED", "DONE", "DONE"]
    assert "3" in done["landings"][0]["error"]
    assert set(ledger(server.client())) == {"0:1", "0:4"}
    assert sink.job_end(spec(mode), "cancelled", generation=2, fenced=True)["rc"] == "OK"
    assert server.client().hget(f"{P}:job", "fenced") == b"3"


def test_a_fence_outlives_the_time_to_live(server: RedisServer, sink: Sink) -> None:
    assert sink.job_end(spec(ttl_s=1), "cancelled", generation=1, fenced=True)["rc"] == "OK"
    assert server.client().pttl(f"{P}:job") > 80_000_000
    assert sink.verdicts(pages(1, generation=2, ttl_s=1)) == ["DONE"]
    assert server.client().pttl(f"{P}:job") > 80_000_000


# ---- the server's trouble ----

def test_not_there(tmp_path: Path, sinks: Callable[..., Sink], free: int) -> None:
    unavailable(sinks(f"redis://127.0.0.1:{free}").write(pages(1)), f"127.0.0.1:{free}", "refused")
    unavailable(sinks(f"unix://{tmp_path}/none.sock").write(pages(1)), "none.sock", "No such file")
    unavailable(sinks("redis://no-such-host.invalid").write(pages(1)), "no-such-host.invalid")


@pytest.fixture
def free() -> int:
    return free_port()


def test_loading(tmp_path: Path, sinks: Callable[..., Sink]) -> None:
    with RedisServer(tmp_path / "redis", save="3600 1", rdbcompression="no",
                     enable_debug_command="local") as server:
        server.client().execute_command("DEBUG", "POPULATE", 4000, "k", 100)
        server.client().execute_command("SAVE")
        server.stop()
        server.options["key-load-delay"] = 1000  # microseconds for each key
        server.options["loading-process-events-interval-bytes"] = 1024
        server.spawn()
        sink = sinks(server.url())

        def loading() -> bool:
            done = sink.write(pages(1))
            return done["rc"] == "UNAVAILABLE" and "LOADING" in done["error"]

        wait_until(loading, "LOADING is told")
        server.eventually_up()
        assert sink.verdicts(pages(1)) == ["DONE"]


@pytest.mark.parametrize("mode", ["hash", "stream", "list"])
def test_maxmemory(tmp_path: Path, sinks: Callable[..., Sink], mode: str) -> None:
    """The mark and the rows come together or not at all."""
    with RedisServer(tmp_path / "redis", maxmemory="8mb", maxmemory_policy="noeviction") as server:
        sink = sinks(server.url())
        text = "x" * 1000
        columns = [*COLUMNS, ["t", "text"]]
        task = 0

        def one(number: int) -> dict[str, Any]:
            return landing(number, [[f"/{number}/{i}", i, text] for i in range(100)], columns=columns, mode=mode)

        while (done := sink.write(one(task)))["rc"] == "OK":
            task += 1
            assert task < 1000
        unavailable(done, "OOM", "maxmemory")
        assert task > 10
        client = server.client()
        assert ledger(client) == {f"0:{i}": 100 for i in range(task)}
        count = {"hash": lambda: len(client.keys(f"{P}:row:*")), "stream": lambda: client.xlen(f"{P}:rows"),
                 "list": lambda: client.llen(f"{P}:rows")}[mode]
        assert count() == task * 100
        server.client().config_set("maxmemory", "100mb")
        assert sink.verdicts(one(task), one(0)) == ["DONE", "DUPLICATE"]


def test_read_only_replica(server: RedisServer, tmp_path: Path, sinks: Callable[..., Sink]) -> None:
    with RedisServer(tmp_path / "replica", replicaof=f"127.0.0.1 {server.port}") as replica:
        wait_until(lambda: replica.client().info()["master_link_status"] == "up", "the replica follows")
        unavailable(sinks(replica.url()).write(pages(1)), "READONLY")
        several = f"redis://127.0.0.1:{replica.port},127.0.0.1:{server.port}"
        assert sinks(several).verdicts(pages(1)) == ["DONE"]


def test_disk_full_on_the_server(tmp_path: Path, sinks: Callable[..., Sink]) -> None:
    with RedisServer(tmp_path / "redis", save="3600 1", enable_protected_configs="yes") as server:
        folder = tmp_path / "gone"
        folder.mkdir()
        server.client().config_set("dir", str(folder))
        folder.rmdir()
        server.client().set("x", 1)
        server.client().execute_command("BGSAVE")
        wait_until(lambda: server.client().info()["rdb_last_bgsave_status"] == "err", "the server cannot save")
        unavailable(sinks(server.url()).write(pages(1)), "MISCONF")


def test_passwords_and_users(tmp_path: Path, sinks: Callable[..., Sink]) -> None:
    allowed = ("+evalsha +eval +script|load +hget +hmget +hset +hsetnx +hincrby +hlen +type +time +publish "
               "+pexpire +xadd +rpush")
    users = [f"worker on >rows ~pages:* &pages:* {allowed}", f"readonly on >rows ~pages:* &pages:* {allowed} -hset",
             f"elsewhere on >rows ~other:* &other:* {allowed}", f"silent on >rows ~pages:* resetchannels {allowed}",
             f"unmarked on >rows ~pages:* &pages:* {allowed} -hsetnx",
             f"nostream on >rows ~pages:* &pages:* {allowed} -xadd", "admin on >x allkeys +@all",
             "default off"]
    with RedisServer(tmp_path / "redis", user=users) as server:
        url = server.url()
        assert sinks(url, user="worker", password="rows").verdicts(pages(1)) == ["DONE"]
        assert sinks(server.url("worker", "ro%77s")).verdicts(pages(1)) == ["DUPLICATE"]
        unavailable(sinks(url, user="worker", password="wrong").write(pages(1)), "WRONGPASS")
        unavailable(sinks(url).write(pages(1)), "NOAUTH")
        for mode in ("hash", "stream", "list"):
            fits = sinks(url, user="worker", password="rows").fits(spec(mode), COLUMNS)
            assert fits["rc"] == "OK", fits
        for user, mode, start in [("readonly", "hash", "name: "), ("elsewhere", "list", "prefix: "),
                                  ("nostream", "stream", "name: "), ("silent", "list", "prefix: ")]:
            fits = sinks(url, user=user, password="rows").fits(spec(mode), COLUMNS)
            assert fits["rc"] == "INVALID_SPEC" and fits["error"].startswith(start), (user, fits)
            assert "may not do what a landing does" in fits["error"]
        # Without permission for the rows, or for the mark, nothing is written and the task does not count.
        for user, mode in [("nostream", "stream"), ("readonly", "hash"), ("unmarked", "list"), ("unmarked", "hash")]:
            uid = f"{user}{mode}".encode().hex()[:32].ljust(32, "0")
            unavailable(sinks(url, user=user, password="rows").write(pages(9, mode=mode, uid=uid)), "can't run this")
            assert server.client(username="admin", password="x").keys(f"pages:{{{uid}}}:*") in (
                [], [f"pages:{{{uid}}}:job".encode()])
            assert sinks(url, user="worker", password="rows").verdicts(pages(9, mode=mode, uid=uid)) == ["DONE"]
        # Without permission for what goes with the rows, they are there, and the trouble is told.
        done = sinks(url, user="silent", password="rows").write(pages(10, mode="list", uid=OTHER))
        unavailable(done, "can't")
        assert done["landings"][0]["verdict"] == "DONE"


def test_requirepass(tmp_path: Path, sinks: Callable[..., Sink]) -> None:
    with RedisServer(tmp_path / "redis", requirepass="secret") as server:
        assert sinks(server.url(), password="secret").verdicts(pages(1)) == ["DONE"]
        unavailable(sinks(server.url()).write(pages(1)), "NOAUTH")
        unavailable(sinks(server.url(), password="wrong").write(pages(1)), "WRONGPASS")


def test_a_server_that_hangs(tmp_path: Path, sinks: Callable[..., Sink]) -> None:
    with RedisServer(tmp_path / "redis") as server:
        sink = sinks(server.url())
        assert sink.verdicts(pages(1)) == ["DONE"]
        server.signal(signal.SIGSTOP)
        try:
            for _ in range(2):  # of a connection that is open, and of a new one
                begin = time.monotonic()
                unavailable(sink.write(*[pages(2, n=1000)] * 50, timeout_ms=500), "in time")
                assert 0.4 < time.monotonic() - begin < 3
        finally:
            server.signal(signal.SIGCONT)
        assert sink.verdicts(pages(2, n=1000))[0] in ("DONE", "DUPLICATE")
        assert ledger(server.client()) == {"0:1": 3, "0:2": 1000}


# ---- fits ----

def test_fits(server: RedisServer, sink: Sink) -> None:
    for mode in ("hash", "stream", "list"):
        assert sink.fits(spec(mode), COLUMNS)["rc"] == "OK"
    keys = server.client().keys()  # of the trials, which expire by themselves
    assert keys and all(0 < server.client().pttl(key) <= 1000 for key in keys)


def test_old_servers_are_named(sinks: Callable[..., Sink]) -> None:
    """A server that answers as Redis 5 does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                while data := connection.recv(65536):
                    info = b"# Server\r\nredis_version:5.0.14\r\n"
                    connection.sendall(b"+OK\r\n" * data.count(b"CLIENT")
                                       + (b"$%d\r\n%s\r\n" % (len(info), info)) * data.count(b"INFO"))

        thread = threading.Thread(target=serve)
        thread.start()
        sink = sinks(f"redis://127.0.0.1:{listener.getsockname()[1]}")
        fits = sink.fits(spec("list"), COLUMNS)
        assert fits["rc"] == "INVALID_SPEC" and "5.0.14" in fits["error"] and "6.2" in fits["error"]
        sink.say({"close": True})
        thread.join()


@pytest.mark.parametrize("url,words", [
    ("http://x", "rediss://"), ("redis://", "host"), ("redis://x:0", "port"), ("redis://x:70000", "port"),
    ("redis://x/a", "database"), ("redis://x/0?db=1", "follow"), ("redis://::1", "brackets"),
    ("redis://u:%zz@x", "password"), ("unix://relative", "absolute"), ("unix:///x?a=1", "db="),
])
def test_bad_urls(url: str, words: str) -> None:
    one = Sink(kind="redis", url=url)
    assert one.check["rc"] == "INVALID_ARGUMENT" and words in one.check["error"], one.check
    one.close()
