"""A private PostgreSQL for a test: in a temporary folder, on a free port and a socket, by the user postgres
(it refuses to run as root)."""

from __future__ import annotations

import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from typing import Any

BIN = pathlib.Path("/usr/lib/postgresql/15/bin")
SQL = pathlib.Path(__file__).resolve().parents[2] / "deploy/sql/drover.sql"

GRANTS = """
CREATE ROLE worker LOGIN PASSWORD 'rows';
GRANT USAGE ON SCHEMA drover TO worker;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA drover TO worker;
GRANT TEMPORARY ON DATABASE postgres TO worker;
"""


class PgServer:
    """with PgServer(tmp_path / "pg") as server: server.sql("SELECT ...")

    schema: with the schema drover, and the role worker that may use it. Further options are those of
    postgresql.conf.
    """

    def __init__(self, folder: pathlib.Path, port: int | None = None, start: bool = True,
                 schema: bool = True, **options: Any) -> None:
        # In a folder of its own, since those of pytest are closed to other users, the user postgres too.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="drover-pg-"))
        self.data = self.folder / "data"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port or 0))
            self.port = probe.getsockname()[1]
        self.options: dict[str, Any] = {"fsync": "on", "shared_buffers": "32MB", "max_connections": 30,
                                        **options}
        folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "postgres.log"
        (folder / "postgres.log").symlink_to(self.log)  # shown when a test fails
        self.folder.chmod(0o755)
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres")
        self._run(BIN / "initdb", "-D", self.data, "-U", "postgres", "--auth-local=trust",
                  "--auth-host=scram-sha-256", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8", "--no-instructions")
        if start:
            self.start()
        if start and schema:
            self.create_schema()

    def create_schema(self) -> None:
        """What `drover sink init` makes, and the role worker."""
        self.sql(SQL.read_text() + GRANTS)

    def own_folder(self, name: str) -> None:
        """A folder in its folder that is its user's."""
        if os.getuid() == 0:
            shutil.chown(self.folder / name, "postgres")

    def own(self, *names: str) -> None:
        """Files in its folder that are secret, and its user's."""
        for name in names:
            if os.getuid() == 0:
                shutil.chown(self.folder / name, "postgres")
            (self.folder / name).chmod(0o600)

    def _demote(self) -> None:
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)

    def _run(self, *words: object) -> None:
        done = subprocess.run([str(word) for word in words], cwd=self.folder, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              preexec_fn=self._demote, check=False)
        assert done.returncode == 0, f"{words}: {done.stdout}\n{self._tail()}"

    def _tail(self) -> str:
        return self.log.read_text()[-3000:] if self.log.exists() else ""

    def start(self) -> "PgServer":
        options = {"port": self.port, "listen_addresses": "127.0.0.1",
                   "unix_socket_directories": self.folder, **self.options}
        flags = " ".join(f"-c {key}='{value}'" for key, value in options.items())
        self._run(BIN / "pg_ctl", "-D", self.data, "-l", self.log, "-w", "-t", "60", "-o", flags, "start")
        return self

    def stop(self, mode: str = "immediate") -> None:
        """Nothing when it does not run: a test may have stopped it."""
        pid = self.pid()
        if pid and pathlib.Path(f"/proc/{pid}").exists():
            self._run(BIN / "pg_ctl", "-D", self.data, "-w", "-m", mode, "stop")

    def restart(self, mode: str = "immediate") -> None:
        self.stop(mode)
        self.start()

    def pid(self) -> int | None:
        """Of the postmaster."""
        try:
            return int((self.data / "postmaster.pid").read_text().split()[0])
        except (FileNotFoundError, IndexError):
            return None

    def signal_all(self, number: int) -> None:
        """To every process of the server: SIGSTOP makes it a machine that hangs."""
        pid = self.pid()
        if not pid:
            return
        children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True,
                                  check=False).stdout.split()
        for one in [pid, *map(int, children)]:
            try:
                os.kill(one, number)
            except ProcessLookupError:
                pass

    def url(self, role: str = "worker", database: str = "postgres") -> str:
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}"

    def socket_url(self, role: str = "postgres", database: str = "postgres") -> str:
        return f"postgresql://{role}@/{database}?host={self.folder}&port={self.port}"

    def _psql(self, text: str, *flags: str) -> str:
        done = subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder), "-p",
                               str(self.port), "-U", "postgres", *flags, "-f", "-"],
                              input=text, text=True, capture_output=True, timeout=300, check=False)
        assert done.returncode == 0, f"{text[:500]}: {done.stderr}"
        return done.stdout

    def psql(self, script: str) -> list[str]:
        """Runs a script as the superuser; the lines that it prints."""
        return self._psql(script).splitlines()

    def sql(self, text: str, database: str = "postgres") -> list[list[str]]:
        """Runs statements as the superuser; the rows of the last one, as texts."""
        out = self._psql(text, "-F", "\x1f", "-R", "\x1e", "-d", database).rstrip("\n")
        return [row.split("\x1f") for row in out.split("\x1e")] if out else []

    def value(self, text: str) -> str:
        return self.sql(text)[0][0]

    def eventually_up(self, timeout_s: float = 30) -> None:
        deadline = time.monotonic() + timeout_s
        while subprocess.run([BIN / "pg_isready", "-q", "-h", self.folder, "-p", str(self.port)],
                             check=False).returncode:
            assert time.monotonic() < deadline, self._tail()
            time.sleep(0.02)

    def __enter__(self) -> "PgServer":
        return self

    def close(self) -> None:
        """Ends it, stopped or hanging, and removes its folder."""
        self.signal_all(signal.SIGCONT)
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def __exit__(self, *_: object) -> None:
        self.close()
