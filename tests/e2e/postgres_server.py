"""A private PostgreSQL for tests: in a folder of its own, on a Unix socket, gone at the end."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

BINARIES = Path("/usr/lib/postgresql/15/bin")


class PostgresServer:
    """Started by the constructor; PostgreSQL refuses to run as root, and then becomes `postgres`."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="drover-pg-"))
        self.prefix: list[str] = []
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            self.prefix = ["runuser", "-u", "postgres", "--"]
        self.folder.chmod(0o755)
        self._run("initdb", "-D", str(self.folder / "data"), "-A", "trust", "-U", "postgres", "-E", "UTF8",
                  "--locale=C.UTF-8", "--no-sync")
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-l", str(self.folder / "log"), "-o",
                  f"-c listen_addresses= -c unix_socket_directories={self.folder} -c fsync=off "
                  "-c full_page_writes=off -c max_parallel_workers_per_gather=0", "start")

    def _run(self, program: str, *args: str) -> None:
        done = subprocess.run([*self.prefix, str(BINARIES / program), *args], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/",
                              timeout=60, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {done.stdout}")

    def psql(self, script: str) -> list[str]:
        """Runs a script; the lines that it prints, unaligned and without headers."""
        done = subprocess.run([str(BINARIES / "psql"), "-h", str(self.folder), "-U", "postgres", "-X", "-A",
                               "-t", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-"], input=script, text=True,
                              capture_output=True, timeout=300, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return done.stdout.splitlines()

    def stop(self) -> None:
        """Ends the server and removes its folder."""
        try:
            self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "stop")
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
