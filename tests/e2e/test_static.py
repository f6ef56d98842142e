"""dist/drover-worker is one file that needs nothing else on a server: it is copied alone into an
empty folder, which becomes its root directory, and scrapes there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet import find_binary
from scrape_server import ScrapeServer, make_certificates, tls_context

PAGES = 20


def is_static(path: Path) -> bool:
    """Without a program interpreter in its headers."""
    found = subprocess.run(["readelf", "-lW", str(path)], capture_output=True, text=True, check=True)
    return "INTERP" not in found.stdout


@pytest.fixture
def jail(tmp_path: Path) -> Iterator[Path]:
    worker = find_binary("drover-worker")
    if not is_static(worker):
        pytest.skip(f"{worker} is not static: scripts/build-static makes one that is")
    if os.geteuid() != 0 and not shutil.which("unshare"):
        pytest.skip("chroot needs root or user namespaces")
    folder = tmp_path / "jail"
    folder.mkdir()
    shutil.copy(worker, folder / "drover-worker")
    yield folder


@pytest.fixture
def server() -> Iterator[ScrapeServer]:
    server = ScrapeServer()
    yield server
    server.close()


def chroot(jail: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Runs the worker with the folder as its root, as root or in a user namespace."""
    prefix = ["chroot", str(jail)]
    if os.geteuid() != 0:
        prefix = ["unshare", "--user", "--map-root-user", *prefix]
    done = subprocess.run(
        [*prefix, "/drover-worker", *args], capture_output=True, text=True, timeout=60
    )
    if os.geteuid() != 0 and "unshare" in done.stderr:
        pytest.skip(f"no user namespaces here: {done.stderr}")
    return done


def write_job(jail: Path, urls: list[str]) -> None:
    stage = {"kind": "scrape", "extract": {"title": "title::text"}, "robots": False}
    job = {"drover": 1, "stages": [stage], "input": {"urls": urls}, "retry": {"attempts": 1}}
    (jail / "job.json").write_text(json.dumps(job))


def run(jail: Path, *args: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    done = chroot(
        jail,
        *("run", "--job", "/job.json", "--output", "/rows.ndjson", "--rejects", "/rejects.ndjson"),
        *("--allow-net", "127.0.0.0/8", *args),
    )
    assert done.returncode == 0, done
    rows = [json.loads(line) for line in (jail / "rows.ndjson").read_text().splitlines()]
    return json.loads(done.stdout), rows


def test_scrapes_in_an_empty_folder(jail: Path, server: ScrapeServer) -> None:
    assert [p.name for p in jail.iterdir()] == ["drover-worker"]
    port = server.listen()
    write_job(jail, [f"http://127.0.0.1:{port}/page/{i}" for i in range(PAGES)])
    stats, rows = run(jail)
    assert {r["title"] for r in rows} == {f"Page {i}" for i in range(PAGES)}
    assert stats["rows"] == PAGES and stats["rejects"] == 0


def test_verifies_certificates_with_the_given_authority(
    jail: Path, server: ScrapeServer, tmp_path: Path
) -> None:
    made = make_certificates(tmp_path)
    port = server.listen(tls=tls_context(made["good"]))
    write_job(jail, [f"https://localhost:{port}/page/1"])
    # Without /etc/hosts there is no localhost; with an address in it, there is.
    (jail / "etc").mkdir()
    (jail / "etc/hosts").write_text("127.0.0.1 localhost\n")
    shutil.copy(made["ca"], jail / "ca.pem")
    stats, rows = run(jail, "--ca-file", "/ca.pem")
    assert [r["title"] for r in rows] == ["Page 1"], (stats, (jail / "rejects.ndjson").read_text())
    # The authorities that are built in do not know this one.
    stats, rows = run(jail)
    assert rows == [] and list(stats["rejects_by_reason"]) == ["TLS"], stats


def test_check_says_what_is_missing_there(jail: Path) -> None:
    done = chroot(jail, "--check")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith(" ok    binary ") and ", static, protocol 1, kinds scrape" in lines[0]
    assert any(line.startswith(" ok    CA bundle built in, 1") for line in lines)
    assert any("FAIL  DNS: no name server" in line and "->" in line for line in lines)
    assert any("coordinator is not set" in line for line in lines)
