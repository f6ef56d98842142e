"""A private Redis for a test: in a temporary folder, on a free port and a socket, with the options that the
test gives. RedisCluster is several of them that share the slots."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
from typing import Any

import redis

SLOTS = 16384
TIMEOUT_S = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_cluster_port() -> int:
    """One whose bus port, 10000 above it, is free too. Below the range that connections take theirs from."""
    for port in range(20000 + os.getpid() % 3000, 32000):
        try:
            with socket.socket() as near, socket.socket() as far:
                near.bind(("127.0.0.1", port))
                far.bind(("127.0.0.1", port + 10000))
                return port
        except OSError:
            continue
    raise OSError("no free port")


class RedisServer:
    """with RedisServer(tmp_path / "redis", maxmemory="10mb") as server: server.client().set("k", "v")

    Options are those of redis.conf with "_" for "-"; a list gives an option several times. tls: a folder
    with ca.pem, server.pem and server.key; then the port speaks TLS alone.
    """

    def __init__(self, folder: pathlib.Path, port: int | None = None, start: bool = True,
                 tls: pathlib.Path | None = None, **options: Any) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        # The path of a socket has 107 bytes at most: a long folder gets it in a short one.
        self.socket = folder / "redis.sock"
        self._short: pathlib.Path | None = None
        if len(str(self.socket)) > 100:
            self._short = pathlib.Path("/tmp") / f"drover-redis-{os.getpid()}-{self.port}"
            self._short.mkdir()
            self.socket = self._short / "redis.sock"
        self.log = folder / "redis.log"
        self.tls = tls
        listen: dict[str, Any] = {"port": self.port}
        if tls:
            listen = {"port": 0, "tls-port": self.port, "tls-cert-file": tls / "server.pem",
                      "tls-key-file": tls / "server.key", "tls-ca-cert-file": tls / "ca.pem",
                      "tls-auth-clients": "no"}
        self.options: dict[str, Any] = {
            **listen, "bind": "127.0.0.1", "unixsocket": self.socket, "dir": folder, "save": "",
            "appendonly": "no", **{key.replace("_", "-"): value for key, value in options.items()}}
        self.process: subprocess.Popen[bytes] | None = None
        if start:
            self.start()

    def _conf(self) -> pathlib.Path:
        lines = []
        for key, value in self.options.items():
            for one in value if isinstance(value, list) else [value]:
                lines.append(f"{key} {one}" if str(one) else f'{key} ""')
        conf = self.folder / "redis.conf"
        conf.write_text("\n".join(lines) + "\n")
        return conf

    def spawn(self) -> "RedisServer":
        """Starts it without waiting: it may be LOADING for a while."""
        assert not self.process or self.process.poll() is not None
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(["redis-server", str(self._conf())], cwd=self.folder,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def start(self) -> "RedisServer":
        self.spawn()
        self.eventually_up()
        return self

    def eventually_up(self, timeout_s: float = TIMEOUT_S) -> None:
        """Until it answers and has loaded its data."""
        deadline = time.monotonic() + timeout_s
        while True:
            assert self.process and self.process.poll() is None, self.log.read_text()[-3000:]
            try:
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.settimeout(5)
                    probe.connect(str(self.socket))
                    probe.sendall(b"PING\r\n")
                    if probe.recv(100).startswith((b"+PONG", b"-NOAUTH")):
                        return
            except OSError:
                pass
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.01)

    def kill(self) -> None:
        """kill -9, and waits until it is gone."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(TIMEOUT_S)

    def stop(self) -> None:
        """SIGTERM: it saves when it is told to (save, appendonly)."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(TIMEOUT_S)

    def restart(self, kill: bool = True) -> None:
        """With kill, what was not fsynced to the append-only file before is a matter of its options."""
        if kill:
            self.kill()
        else:
            self.stop()
        self.start()

    def signal(self, number: int) -> None:
        """SIGSTOP makes it a machine that hangs."""
        assert self.process
        self.process.send_signal(number)

    def client(self, **more: Any) -> "redis.Redis[bytes]":
        """By the socket, so that a test of TLS or of the network can look at what is there."""
        return redis.Redis(unix_socket_path=str(self.socket), socket_timeout=TIMEOUT_S, **more)

    def url(self, user: str = "", password: str = "", database: int | None = None) -> str:
        login = f"{user}:{password}@" if user or password else ""
        path = "" if database is None else f"/{database}"
        return f"{'rediss' if self.tls else 'redis'}://{login}127.0.0.1:{self.port}{path}"

    def socket_url(self, database: int | None = None) -> str:
        return f"unix://{self.socket}" + ("" if database is None else f"?db={database}")

    def close(self) -> None:
        self.kill()
        if self._short:
            shutil.rmtree(self._short, ignore_errors=True)

    def __enter__(self) -> "RedisServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RedisCluster:
    """with RedisCluster(tmp_path / "cluster") as cluster: cluster.nodes[0].client() ..."""

    def __init__(self, folder: pathlib.Path, n: int = 3, **options: Any) -> None:
        self.nodes: list[RedisServer] = []
        try:
            for i in range(n):
                self.nodes.append(RedisServer(
                    folder / f"node{i}", port=free_cluster_port(), cluster_enabled="yes",
                    cluster_config_file="nodes.conf", cluster_node_timeout=5000, **options))
            self._join()
        except BaseException:
            self.close()
            raise

    def _join(self) -> None:
        n = len(self.nodes)
        for i, node in enumerate(self.nodes):
            first, last = SLOTS * i // n, SLOTS * (i + 1) // n - 1
            client = node.client()
            client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", i + 1)
            if i:
                client.execute_command("CLUSTER MEET", "127.0.0.1", self.nodes[0].port)
        deadline = time.monotonic() + TIMEOUT_S
        while not all(self._knows_all(node) for node in self.nodes):
            assert time.monotonic() < deadline, "the nodes of the cluster do not find each other"
            time.sleep(0.02)

    def _knows_all(self, node: RedisServer) -> bool:
        said = node.client().execute_command("CLUSTER INFO")
        text = said if isinstance(said, dict) else dict(
            line.split(":", 1) for line in said.decode().split())
        return (text["cluster_state"] == "ok" and int(text["cluster_known_nodes"]) == len(self.nodes)
                and int(text["cluster_slots_assigned"]) == SLOTS)

    def slot(self, key: str) -> int:
        return int(self.nodes[0].client().execute_command("CLUSTER KEYSLOT", key))

    def id(self, i: int) -> str:
        said = self.nodes[i].client().execute_command("CLUSTER MYID")
        return said.decode() if isinstance(said, bytes) else str(said)

    def owner(self, slot: int) -> int:
        """The index of the node that serves it, as the first node says."""
        ports = [node.port for node in self.nodes]
        for first, last, master, *_ in self.nodes[0].client().execute_command("CLUSTER SLOTS"):
            if first <= slot <= last:
                return ports.index(master[1])
        raise AssertionError(f"nobody has slot {slot}")

    def migrate_begin(self, slot: int, to: int) -> int:
        """From now on the old owner sends those who ask for keys it does not have to the new one (ASK).
        Returns the old owner."""
        old = self.owner(slot)
        self.nodes[to].client().execute_command("CLUSTER SETSLOT", slot, "IMPORTING", self.id(old))
        self.nodes[old].client().execute_command("CLUSTER SETSLOT", slot, "MIGRATING", self.id(to))
        return old

    def migrate_keys(self, slot: int, old: int, to: int) -> None:
        client = self.nodes[old].client()
        while keys := client.execute_command("CLUSTER GETKEYSINSLOT", slot, 1000):
            client.execute_command("MIGRATE", "127.0.0.1", self.nodes[to].port, "", 0, 30000, "KEYS", *keys)

    def migrate_end(self, slot: int, to: int) -> None:
        for i in [to, *(i for i in range(len(self.nodes)) if i != to)]:
            self.nodes[i].client().execute_command("CLUSTER SETSLOT", slot, "NODE", self.id(to))

    def migrate(self, slot: int, to: int) -> None:
        old = self.migrate_begin(slot, to)
        self.migrate_keys(slot, old, to)
        self.migrate_end(slot, to)

    def close(self) -> None:
        for node in self.nodes:
            node.close()

    def __enter__(self) -> "RedisCluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
