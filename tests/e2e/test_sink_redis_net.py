"""The Redis sink by itself, over TLS and against a real cluster."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet import wait_until
from redis_landings import COLUMNS, P, ledger, pages, sinks, spec, texts, unavailable  # noqa: F401
from redis_server import RedisCluster, RedisServer
from sink_driver import Sink


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis") / "server") as one:
        yield one


# ---- TLS ----

def openssl(*words: object, cwd: Path) -> None:
    subprocess.run(["openssl", *map(str, words)], cwd=cwd, check=True, capture_output=True)


def certificates(folder: Path, name: str, days: int = 30, expired: bool = False) -> Path:
    """A private authority and a server's certificate for that name."""
    folder.mkdir()
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key",
            "-out", "ca.pem", "-subj", "/CN=test authority", "-days", days, cwd=folder)
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "server.key",
            "-out", "server.csr", "-subj", "/CN=redis", cwd=folder)
    (folder / "ext").write_text(f"subjectAltName={name}\n")
    when = ["-days", "-1"] if expired else ["-days", days]
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-extfile", "ext", "-out", "server.pem", *when, cwd=folder)
    return folder


@pytest.mark.parametrize("name", ["IP:127.0.0.1", "DNS:localhost"])
def test_tls(tmp_path: Path, sinks: Callable[..., Sink], name: str) -> None:
    certs = certificates(tmp_path / "certs", name)
    ca = (certs / "ca.pem").read_text()
    host = name.split(":")[1]
    with RedisServer(tmp_path / "redis", tls=certs) as server:
        sink = sinks(f"rediss://{host}:{server.port}", ca_pem=ca)
        assert sink.verdicts(*[pages(task, n=1000) for task in range(30)]) == ["DONE"] * 30
        assert len(server.client().keys(f"{P}:row:*")) == 30000
        server.restart()
        unavailable(sink.write(pages(31)))
        assert sink.verdicts(pages(31)) == ["DONE"]
        unavailable(sinks(f"rediss://{host}:{server.port}").write(pages(40)), "not trusted")
        wrong = "localhost" if host == "127.0.0.1" else "127.0.0.1"
        unavailable(sinks(f"rediss://{wrong}:{server.port}", ca_pem=ca).write(pages(40)), "not trusted", "mismatch")
        unavailable(sinks(f"redis://{host}:{server.port}").write(pages(40), timeout_ms=2000))


def test_tls_expired(tmp_path: Path, sinks: Callable[..., Sink]) -> None:
    certs = certificates(tmp_path / "certs", "IP:127.0.0.1", expired=True)
    with RedisServer(tmp_path / "redis", tls=certs) as server:
        unavailable(sinks(server.url(), ca_pem=(certs / "ca.pem").read_text()).write(pages(1)), "expired")


def test_tls_of_a_server_without(server: RedisServer, sinks: Callable[..., Sink]) -> None:
    unavailable(sinks(f"rediss://127.0.0.1:{server.port}").write(pages(1), timeout_ms=1000), "TLS")


def test_a_ca_file_without_certificates() -> None:
    one = Sink(kind="redis", url="rediss://x", ca_pem="nothing")
    assert one.check["rc"] == "INVALID_ARGUMENT" and "ca_file" in one.check["error"]
    one.close()


# ---- cluster ----

@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with RedisCluster(tmp_path_factory.mktemp("cluster")) as one:
        yield one


def uids(n: int) -> list[str]:
    return [f"{i:032x}" for i in range(n)]


def cluster_rows(cluster: RedisCluster, uid: str) -> list[dict[str, str]]:
    owner = cluster.owner(cluster.slot(f"pages:{{{uid}}}:rows"))
    return [texts(fields) for _, fields in cluster.nodes[owner].client().xrange(f"pages:{{{uid}}}:rows")]


def test_cluster(cluster: RedisCluster, sinks: Callable[..., Sink]) -> None:
    sink = sinks(cluster.nodes[0].url())
    group = [pages(task, mode="stream", uid=uid) for task in range(4) for uid in uids(30)]
    assert sink.verdicts(*group) == ["DONE"] * 120
    assert sink.verdicts(*group) == ["DUPLICATE"] * 120
    assert all(len(cluster_rows(cluster, uid)) == 12 for uid in uids(30))
    assert len({cluster.owner(cluster.slot(f"{{{uid}}}")) for uid in uids(30)}) == 3
    for uid in uids(6):
        assert sink.job_end(spec("stream"), "done", uid=uid)["rc"] == "OK"
    for mode in ("hash", "stream", "list"):
        assert sink.fits(spec(mode), COLUMNS)["rc"] == "OK"


@pytest.mark.parametrize("mode", ["hash", "stream"])
def test_a_slot_that_moves(cluster: RedisCluster, sinks: Callable[..., Sink], mode: str) -> None:
    """MOVED after a slot went to another node; ASK and TRYAGAIN while it goes."""
    uid = mode.encode().hex().ljust(32, "0")
    p = f"pages:{{{uid}}}"
    slot = cluster.slot(f"{p}:rows")
    sink = sinks(cluster.nodes[0].url())
    assert sink.verdicts(pages(1, mode=mode, uid=uid)) == ["DONE"]
    cluster.migrate(slot, (cluster.owner(slot) + 1) % 3)
    assert sink.verdicts(pages(1, mode=mode, uid=uid), pages(2, mode=mode, uid=uid)) == ["DUPLICATE", "DONE"]

    to = (cluster.owner(slot) + 1) % 3
    old = cluster.migrate_begin(slot, to)
    # Its keys are still at the old node, those of new rows are not: all or nothing.
    done = sink.write(pages(3, mode=mode, uid=uid), timeout_ms=5000)
    if mode == "hash":
        unavailable(done, "TRYAGAIN")
        assert "0:3" not in ledger(cluster.nodes[old].client(), p)
    else:
        assert done["rc"] == "OK"
    cluster.migrate_keys(slot, old, to)
    done = sink.write(pages(4, mode=mode, uid=uid), timeout_ms=5000)  # by ASK
    if mode == "hash":
        unavailable(done, "TRYAGAIN")
    else:
        assert done["rc"] == "OK", done
        assert "0:4" in ledger(Asking(cluster, to), p)
    cluster.migrate_end(slot, to)
    again = sink.verdicts(*[pages(task, mode=mode, uid=uid) for task in range(1, 6)])
    assert again == ["DUPLICATE"] * 2 + ["DONE" if mode == "hash" else "DUPLICATE"] * 2 + ["DONE"]
    client = cluster.nodes[cluster.owner(slot)].client()
    assert ledger(client, p) == {f"0:{task}": 3 for task in range(1, 6)}
    assert client.hget(f"{p}:job", "rows") == b"15"
    assert (len(client.keys(f"{p}:row:*")) if mode == "hash" else client.xlen(f"{p}:rows")) == 15


class Asking:
    """Reads a key of a slot that is on its way to this node."""

    def __init__(self, cluster: RedisCluster, node: int) -> None:
        self.client = cluster.nodes[node].client()

    def hgetall(self, key: str) -> Any:
        pipe = self.client.pipeline(transaction=False)
        pipe.execute_command("ASKING")
        pipe.hgetall(key)
        return pipe.execute()[1]


def test_a_landing_while_a_slot_moves(cluster: RedisCluster, sinks: Callable[..., Sink]) -> None:
    """It waits for the end of the move within its time."""
    uid = "ab" * 16
    slot = cluster.slot(f"{{{uid}}}")
    sink = sinks(cluster.nodes[0].url())
    assert sink.verdicts(pages(1, uid=uid)) == ["DONE"]
    to = (cluster.owner(slot) + 1) % 3
    old = cluster.migrate_begin(slot, to)
    sink.send({"write": [pages(2, uid=uid)], "timeout_ms": 5000})
    cluster.migrate_keys(slot, old, to)
    cluster.migrate_end(slot, to)
    done = sink.answer()
    assert done["rc"] == "OK" and done["landings"][0]["verdict"] == "DONE", done


def test_a_node_of_the_cluster_is_down(tmp_path: Path, sinks: Callable[..., Sink]) -> None:
    with RedisCluster(tmp_path / "cluster", cluster_require_full_coverage="no") as cluster:
        sink = sinks(f"redis://127.0.0.1:{cluster.nodes[1].port},127.0.0.1:{cluster.nodes[0].port}")
        group = [pages(1, mode="list", uid=uid) for uid in uids(30)]
        assert sink.verdicts(*group) == ["DONE"] * 30
        lost = {uid for uid in uids(30) if cluster.owner(cluster.slot(f"{{{uid}}}")) == 1}
        cluster.nodes[1].kill()
        done = sink.write(*[pages(2, mode="list", uid=uid) for uid in uids(30)])
        unavailable(done)
        done = sink.write(*[pages(2, mode="list", uid=uid) for uid in sorted(set(uids(30)) - lost)])
        assert done["rc"] == "OK" and 0 < len(lost) < 30
        cluster.nodes[1].start()
        wait_until(lambda: sink.write(*[pages(2, mode="list", uid=uid) for uid in uids(30)])["rc"] == "OK",
                   "all land again")
