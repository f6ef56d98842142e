"""Rows in Redis and in files, as the sinks lay them out (docs/SINKS_REDIS.md, SINKS_FILE.md), read back."""

import json
import pathlib
import sys

import pytest

import drover
from drover import File, Redis
from drover import _places as places

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from redis_server import RedisServer  # noqa: E402

UID = "00112233445566778899aabbccddeeff"
N = 2 * places.PAGE_ROWS + 7


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with RedisServer(tmp_path_factory.mktemp("redis")) as one:
        yield one


@pytest.fixture
def connection(server):
    redis = pytest.importorskip("redis")
    one = redis.Redis.from_url(server.url())
    one.flushall()
    yield one
    one.close()


def read(url, sink):
    return list(places.rows(places.Place(sink, url, UID, 7)))


def test_hashes(server, connection):
    with connection.pipeline() as pipe:
        for i in range(N):
            pipe.hset(f"pages:{{{UID}}}:row:k{i}", mapping={"id": f"k{i}", "n": i})
        pipe.hset(f"pages:{{{UID}}}:job", "state", "done")
        pipe.hset(f"pages:{{{'f' * 32}}}:row:other", "id", "other")
        pipe.execute()
    rows = read(server.url(), Redis("pages", key="id"))
    assert sorted(int(row["n"]) for row in rows) == list(range(N))
    assert {row["id"] for row in rows} == {f"k{i}" for i in range(N)}


def test_streams_and_lists(server, connection):
    with connection.pipeline() as pipe:
        for i in range(N):
            pipe.xadd(f"s:{{{UID}}}:rows", {"n": i})
            pipe.rpush(f"l:{{{UID}}}:rows", json.dumps({"n": i, "list": ["a"]}))
        pipe.execute()
    assert [row["n"] for row in read(server.url(), Redis("s", mode="stream"))] == [str(i) for i in range(N)]
    assert read(server.url(), Redis("l", mode="list")) == [{"n": i, "list": ["a"]} for i in range(N)]


def test_nothing_there(server, connection):
    for mode in ("hash", "stream", "list"):
        assert read(server.url(), Redis("nothing", mode=mode)) == []


def manifest(folder, host, *entries):
    folder.mkdir(exist_ok=True, parents=True)
    with (folder / f"manifest-{host}.ndjson").open("a") as file:
        file.writelines(json.dumps(entry) + "\n" for entry in entries)


def test_files(tmp_path):
    mine = tmp_path / UID
    manifest(mine, "a", {"file": "1.ndjson", "task": 1})
    manifest(mine, "b", {"file": "2.ndjson", "task": 2}, {"file": "2.ndjson", "task": 2})
    (mine / "1.ndjson").write_text('{"n": 1}\n{"n": 2}\n')
    (mine / "2.ndjson").write_text('{"n": 3}\n')
    (mine / "3.ndjson").write_text('{"n": "not in a manifest"}\n')
    assert [row["n"] for row in read(f"file://{tmp_path}", File())] == [1, 2, 3]


def test_csv_files_of_a_directory(tmp_path):
    folder = tmp_path / "pages" / UID
    manifest(folder, "a", {"file": "1.csv", "task": 1})
    (folder / "1.csv").write_text('n,text\r\n1,"a\nb"\r\n')
    assert read(f"file://{tmp_path}", File("pages", mode="csv")) == [{"n": "1", "text": "a\nb"}]


def test_files_that_are_elsewhere(tmp_path):
    with pytest.raises(drover.NotReadable, match="no manifest"):
        read(f"file://{tmp_path}", File())
    with pytest.raises(drover.InvalidArgument, match="file:///path"):
        read("postgresql://h", File())
