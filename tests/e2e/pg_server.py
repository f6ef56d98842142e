"""A private PostgreSQL server for a test: it listens on a free port and on a unix socket, lives in a temporary
folder of its own, and runs as the user `postgres`, because PostgreSQL refuses root.

    with PgServer(tmp_path) as server:
        server.sql("CREATE TABLE t (a int)")
        server.restart("immediate")  # as after a crash
"""

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
USER = "postgres"
START_S = 60
ROWS, FIELDS = "\x1e", "\x1f"

# Sizes and speeds for tests; fsync stays on, because it belongs to what is tested.
SETTINGS: dict[str, str] = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "32MB",
    "max_connections": "40",
    "autovacuum": "off",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] %u ",
    "lc_messages": "C",
}


def free_port() -> int:
    """A port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PgError(Exception):
    """A statement failed; the text is what psql printed."""


class PgServer:
    """folder: where the log goes when the server ends (the tests' own folder), or None. settings: for
    postgresql.conf, beside those above. auth: the method on TCP; the superuser's socket is always trusted."""

    def __init__(self, folder: pathlib.Path | None = None, port: int | None = None, start: bool = True,
                 settings: dict[str, str] | None = None, auth: str = "trust") -> None:
        self.log_folder = folder
        self.port = port or free_port()
        # Not below the tests' folder: user postgres cannot enter that one.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="drover-pg-"))
        self.data = self.folder / "data"
        self.log = self.folder / "postgres.log"
        self.stopped: list[int] = []
        if os.geteuid() == 0:
            shutil.chown(self.folder, USER, USER)
        self.folder.chmod(0o755)
        try:
            self._run(BIN / "initdb", "-D", self.data, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8",
                      "-A", "trust", "--no-sync", "--no-instructions")
            self.configure(settings or {})
            self.hba(f"local all all trust\nhost all all 127.0.0.1/32 {auth}\nlocal replication all trust")
            if start:
                self.start()
        except BaseException:
            self.close()
            raise

    # -- its processes

    def _run(self, *words: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A program of PostgreSQL's, as its user. Output goes to a file: a server that is started would hold
        a pipe open."""
        options: dict[str, Any] = {}
        if os.geteuid() == 0:
            who = pwd.getpwnam(USER)
            options = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=output,
                                  stderr=output, cwd="/", check=False, timeout=2 * START_S,
                                  env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PGTZ": "UTC"}, **options)
            output.seek(0)
            text = output.read()
        if check and done.returncode != 0:
            raise PgError(f"{words[0]} ended with {done.returncode}: {text}\n{self.log_text()[-3000:]}")
        return subprocess.CompletedProcess(done.args, done.returncode, text, "")

    def _ctl(self, *words: object, check: bool = True) -> None:
        self._run(BIN / "pg_ctl", "-D", self.data, "-w", "-t", START_S, *words, check=check)

    def configure(self, settings: dict[str, str]) -> None:
        """Adds to postgresql.conf; takes effect with the next start or reload."""
        merged = {**SETTINGS, **settings} if not (self.data / "drover").exists() else settings
        (self.data / "drover").touch()
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.write(f"port = {self.port}\nunix_socket_directories = '{self.folder}'\n")
            for key, value in merged.items():
                quoted = value.replace("'", "''")
                conf.write(f"{key} = '{quoted}'\n")

    def hba(self, text: str) -> None:
        """Replaces pg_hba.conf; takes effect with the next start or reload."""
        (self.data / "pg_hba.conf").write_text(text + "\n")

    def start(self) -> "PgServer":
        self._ctl("-l", self.log, "start")
        return self

    def stop(self, mode: str = "immediate") -> None:
        """Modes: immediate (as a crash), fast, smart."""
        self.resume_all()
        if self.pid() is not None:
            self._ctl("-m", mode, "stop", check=False)

    def restart(self, mode: str = "immediate") -> None:
        self.stop(mode)
        self.start()

    def reload(self) -> None:
        """Returns when the server has read its files again."""
        loaded = self.value("SELECT pg_conf_load_time()")
        self._ctl("reload")
        deadline = time.monotonic() + START_S
        while self.value("SELECT pg_conf_load_time()") == loaded:
            if time.monotonic() > deadline:
                raise PgError("the server does not reload its configuration")

    def pid(self) -> int | None:
        """Of the postmaster; None when it does not run."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split()[0])
            os.kill(pid, 0)
        except (OSError, ValueError, IndexError):
            return None
        return pid

    def processes(self) -> list[int]:
        """The postmaster and its children."""
        postmaster = self.pid()
        if postmaster is None:
            return []
        children = pathlib.Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        return [postmaster, *map(int, children)]

    def signal_all(self, number: int) -> None:
        """To every process of the server. SIGSTOP makes it a machine that hangs; SIGCONT wakes it."""
        for pid in self.processes():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
            if number == signal.SIGSTOP:
                self.stopped.append(pid)

    def resume_all(self) -> None:
        for pid in self.stopped:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
        self.stopped = []

    def close(self) -> None:
        """Ends the server and removes its folder."""
        self.stop()
        if self.log_folder is not None and self.log.exists():
            shutil.copyfile(self.log, self.log_folder / f"postgres-{self.port}.log")
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> "PgServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    # -- what to connect to

    def url(self, role: str = "worker", database: str = "postgres", password: str = "", more: str = "") -> str:
        """By TCP. more: parameters ("sslmode=require")."""
        secret = f":{password}" if password else ""
        return f"postgresql://{role}{secret}@127.0.0.1:{self.port}/{database}" + (f"?{more}" if more else "")

    def socket_url(self, role: str = "postgres", database: str = "postgres") -> str:
        return f"postgresql://{role}@/{database}?host={self.folder}&port={self.port}"

    # -- statements, as the superuser

    def sql(self, text: str, database: str = "postgres", role: str = "postgres") -> list[list[str]]:
        """Runs statements; the rows that they gave, as texts (NULL is "\\N")."""
        done = subprocess.run(
            [str(BIN / "psql"), "-X", "-q", "-A", "-t", "-F", FIELDS, "-R", ROWS, "-P", "null=\\N", "-v",
             "ON_ERROR_STOP=1", "-d", self.socket_url(role, database), "-f", "-"],
            input=text, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            raise PgError(done.stderr.strip())
        output = done.stdout.removesuffix("\n")
        return [row.removeprefix("\n").split(FIELDS) for row in output.split(ROWS)] if output else []

    def value(self, text: str, database: str = "postgres") -> str:
        """The first cell of the last row."""
        return self.sql(text, database)[-1][0]

    def eventually(self, text: str, wanted: str, timeout_s: float = 30) -> None:
        """Until the query's value is the wanted one: for events that another process brings about."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                found = self.value(text)
            except PgError as failed:
                found = str(failed)
            if found == wanted:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{text}: {found}, not {wanted}")
            time.sleep(0.02)

    def eventually_up(self, timeout_s: float = 30) -> None:
        """Until it answers."""
        self.eventually("SELECT 1", "1", timeout_s)
