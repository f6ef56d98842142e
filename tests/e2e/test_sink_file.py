"""The file sink by itself: NDJSON and CSV, whole files, the manifest, full disks."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet import wait_until
from sink_driver import CLI, OTHER, UID, Sink

COLUMNS = [["url", "text"], ["n", "int64"]]
HOST = "".join(c if c.isalnum() or c in "-_." else "_" for c in socket.gethostname())
MANIFEST = f"manifest-{HOST}.ndjson"


def landing(task: int, rows: list[list[Any]], columns: list[list[str]] = COLUMNS, uid: str = UID,
            **sink: Any) -> dict[str, Any]:
    return {"uid": uid, "task": task, "generation": 1, "columns": columns, "rows": rows,
            "sink": {"kind": "file", **sink}}


def pages(task: int, n: int = 3, **more: Any) -> dict[str, Any]:
    return landing(task, [[f"/{task}/{i}", i] for i in range(n)], **more)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "rows").mkdir()
    return tmp_path / "rows"


@pytest.fixture
def sinks(root: Path) -> Iterator[Callable[[], Sink]]:
    made: list[Sink] = []

    def make() -> Sink:
        made.append(Sink(kind="file", url=f"file://{root}"))
        assert made[-1].check["rc"] == "OK", made[-1].check
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def sink(sinks: Callable[[], Sink]) -> Sink:
    return sinks()


def manifest(folder: Path, name: str = MANIFEST) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def check_whole(folder: Path) -> int:
    """Every file is as its line says, nothing else is there, and no line is there twice. Rows."""
    rows = 0
    lines = manifest(folder)
    for line in lines:
        data = (folder / line["file"]).read_bytes()
        assert len(data) == line["bytes"] and hashlib.sha256(data).hexdigest() == line["sha256"]
        assert line["file"].split(".")[0] == str(line["task"])
        rows += line["rows"]
    assert sorted(os.listdir(folder)) == sorted([MANIFEST, *(line["file"] for line in lines)])
    assert len({line["task"] for line in lines}) == len(lines)
    return rows


def unavailable(done: dict[str, Any], *words: str) -> None:
    assert done["rc"] == "UNAVAILABLE", done
    for word in words:
        assert word in done["error"], done


# ---- what is written ----

TYPED = [["t", "text"], ["b", "bool"], ["i", "int64"], ["f", "float64"], ["d", "decimal"], ["j", "json"],
         ["day", "date"], ["at", "timestamp"]]
ROWS: list[list[Any]] = [
    ['a "b", c\r\nd \u20ac', True, -(2**63), 0.1, "12.50", '{"x":\n[1]}', 20000, 1700000000123456],
    ["", False, 0, "nan", "0", "null", 0, 0],
    [None] * 8,
    ["\\.", True, 1, "-inf", "-1", '"x"', -1, 1500000],
]


def test_ndjson(root: Path, sink: Sink) -> None:
    assert sink.verdicts(landing(12, ROWS, columns=TYPED)) == ["DONE"]
    folder = root / UID
    lines = (folder / "12.ndjson").read_text().split("\n")
    assert len(lines) == 5 and lines[4] == ""
    rows = [json.loads(line) for line in lines[:4]]
    assert rows[0] == {"t": ROWS[0][0], "b": True, "i": -(2**63), "f": 0.1, "d": 12.5, "j": {"x": [1]},
                       "day": "2024-10-04", "at": "2023-11-14T22:13:20.123456Z"}
    assert rows[1]["t"] == "" and rows[1]["f"] is None
    assert set(rows[2].values()) == {None}
    assert check_whole(folder) == 4


def test_csv(root: Path, sink: Sink) -> None:
    assert sink.verdicts(landing(12, ROWS, columns=TYPED, mode="csv", directory="pages")) == ["DONE"]
    folder = root / "pages" / UID
    text = (folder / "12.csv").read_bytes().decode()
    with (folder / "12.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {"t": ROWS[0][0], "b": "true", "i": str(-(2**63)), "f": "0.1", "d": "12.50", "j": '{"x":\n[1]}',
                       "day": "2024-10-04", "at": "2023-11-14T22:13:20.123456Z"}
    assert [row["f"] for row in rows] == ["0.1", "NaN", "", "-Infinity"]
    assert text.startswith("t,b,i,f,d,j,day,at\r\n")
    assert '\r\n"",false,' in text  # an empty text is not NULL
    assert "\r\n,,,,,,,\r\n" in text
    assert '\r\n"\\.",true,' in text
    assert check_whole(folder) == 4


def test_no_rows_and_many(root: Path, sink: Sink) -> None:
    assert sink.verdicts(*[pages(task, n=task * 100) for task in range(150)]) == ["DONE"] * 150
    assert check_whole(root / UID) == sum(task * 100 for task in range(150))
    assert (root / UID / "0.ndjson").read_bytes() == b""
    assert sink.verdicts(pages(7, n=0, mode="csv")) == ["DONE"]
    assert (root / UID / "7.csv").read_bytes() == b"url,n\r\n"


def test_a_large_file(root: Path, sink: Sink) -> None:
    rows = [[f"/{i}" + "x" * 1000, i] for i in range(5000)]
    assert sink.verdicts(landing(1, rows)) == ["DONE"]
    assert check_whole(root / UID) == 5000


def test_jobs_share_a_directory(root: Path, sink: Sink) -> None:
    group = [pages(task, uid=uid, directory="pages") for task in range(3) for uid in (UID, OTHER)]
    assert sink.verdicts(*group) == ["DONE"] * 6
    assert check_whole(root / "pages" / UID) == check_whole(root / "pages" / OTHER) == 9


# ---- once ----

def test_a_task_lands_once(root: Path, sink: Sink) -> None:
    assert sink.verdicts(pages(1), pages(2), pages(1)) == ["DONE", "DONE", "DUPLICATE"]
    assert sink.verdicts(pages(2), pages(3), pages(1)) == ["DUPLICATE", "DONE", "DUPLICATE"]
    assert check_whole(root / UID) == 9


def test_a_file_without_its_line_does_not_count(root: Path, sink: Sink) -> None:
    """What an attempt left that ended between the file's new name and its line."""
    (root / UID).mkdir()
    (root / UID / "1.ndjson").write_text('{"url":"of another attempt","n":0}\n')
    assert sink.verdicts(pages(1)) == ["DONE"]
    assert check_whole(root / UID) == 3


def test_a_torn_line_is_cut_off(root: Path, sink: Sink) -> None:
    assert sink.verdicts(pages(1)) == ["DONE"]
    with (root / UID / MANIFEST).open("a") as file:
        file.write('{"file":"2.ndjson","task":2,"ro')
    (root / UID / "2.ndjson").write_text("half")
    assert sink.verdicts(pages(2), pages(1)) == ["DONE", "DUPLICATE"]
    assert check_whole(root / UID) == 6


def test_another_machine_landed_it(root: Path, sink: Sink) -> None:
    assert sink.verdicts(pages(1)) == ["DONE"]
    (root / UID / MANIFEST).rename(root / UID / "manifest-other.host.ndjson")
    assert sink.verdicts(pages(1), pages(2)) == ["DUPLICATE", "DONE"]
    assert [line["task"] for line in manifest(root / UID)] == [2]


def test_several_connections(root: Path, sinks: Callable[[], Sink]) -> None:
    """They land the same tasks at the same time."""
    group = [pages(task) for task in range(200)]
    verdicts: list[list[str]] = []

    def land() -> None:
        verdicts.append(sinks().verdicts(*group, timeout_ms=60000))

    threads = [threading.Thread(target=land) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(sum(verdicts, []))) == ["DONE", "DUPLICATE"]
    assert sum(one.count("DONE") for one in verdicts) == 200
    assert check_whole(root / UID) == 600


def test_killed_while_it_writes(root: Path) -> None:
    """kill -9 at any moment: what was acknowledged is whole, and all of it lands when it is tried again."""
    tasks = 300
    for attempt in range(6):
        process = subprocess.Popen([CLI], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin and process.stdout
        process.stdin.write(json.dumps({"kind": "file", "url": f"file://{root}"}) + "\n")
        process.stdin.write(json.dumps({"write": [pages(task, 200) for task in range(tasks)],
                                        "timeout_ms": 60000}) + "\n")
        process.stdin.flush()
        process.stdout.readline()
        seen = len(os.listdir(root / UID)) if (root / UID).exists() else 0
        wait_until(lambda: process.poll() is not None or (
            (root / UID).exists() and len(os.listdir(root / UID)) > seen + 10 * attempt), "it is at work")
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
        for line in manifest(root / UID) if (root / UID / MANIFEST).exists() else []:
            data = (root / UID / line["file"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == line["sha256"]
    one = Sink(kind="file", url=f"file://{root}")
    one.verdicts(*[pages(task, 200) for task in range(tasks)], timeout_ms=60000)
    one.close()
    for left in (root / UID).glob(".*.tmp-*"):
        left.unlink()
    assert check_whole(root / UID) == tasks * 200


# ---- trouble ----

def test_the_root_is_not_there(root: Path, sink: Sink) -> None:
    root.rmdir()
    unavailable(sink.write(pages(1)), str(root), "mount its disk")
    root.write_text("a file")
    unavailable(sink.write(pages(1)), str(root), "no folder")
    root.unlink()
    root.mkdir()
    assert sink.verdicts(pages(1)) == ["DONE"]


def test_links_are_not_followed(root: Path, tmp_path: Path, sink: Sink) -> None:
    (tmp_path / "elsewhere").mkdir()
    (root / "pages").symlink_to(tmp_path / "elsewhere")
    unavailable(sink.write(pages(1, directory="pages")), "pages", "symbolic link")
    (root / UID).mkdir()
    (tmp_path / "target").write_text("keep")
    (root / UID / MANIFEST).symlink_to(tmp_path / "target")
    unavailable(sink.write(pages(1)), MANIFEST)
    assert (tmp_path / "target").read_text() == "keep" and not os.listdir(tmp_path / "elsewhere")
    assert not [name for name in os.listdir(root / UID) if ".tmp-" in name]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=False).returncode:
        pytest.skip("a file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    one = Sink(kind="file", url=f"file://{small_disk}")
    text = "x" * 1000
    task = 0
    while (done := one.write(landing(task, [[text, i] for i in range(300)])))["rc"] == "OK":
        task += 1
        assert task < 100
    unavailable(done, "the disk is full", UID)
    assert done["landings"][0]["verdict"] == "UNDECIDED"
    assert check_whole(small_disk / UID) == task * 300 and task > 5
    (small_disk / UID / "0.ndjson").unlink()
    assert one.verdicts(landing(task, [[text, i] for i in range(300)])) == ["DONE"]
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    unavailable(one.write(pages(1000)), "read-only")
    one.close()


def test_a_limit_on_files(root: Path) -> None:
    """RLIMIT_FSIZE stands for a quota: the write ends in the middle."""
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    process = subprocess.Popen([CLI], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=limit)
    said, _ = process.communicate("\n".join([
        json.dumps({"kind": "file", "url": f"file://{root}"}),
        json.dumps({"write": [pages(1), landing(2, [["x" * 1000, i] for i in range(200)])]})]) + "\n", timeout=20)
    done = json.loads(said.splitlines()[1])
    unavailable(done, "2.ndjson", "File too large")
    assert os.listdir(root / UID) == []


@pytest.mark.parametrize("url,words", [("file://relative", "absolute"), ("file://host/x", "no host"),
                                       ("file:///a?b", "?"), ("http:///x", "file:///")])
def test_bad_urls(url: str, words: str) -> None:
    one = Sink(kind="file", url=url)
    assert one.check["rc"] == "INVALID_ARGUMENT" and words in one.check["error"], one.check
    one.close()


def test_fits_and_job_end(sink: Sink) -> None:
    """They are asked of the coordinator, which has none of the worker's files."""
    target = {"kind": "file", "mode": "csv"}
    assert sink.fits(target, COLUMNS)["rc"] == "OK"
    assert sink.job_end(target, "cancelled", fenced=True)["rc"] == "OK"


def test_the_manifest_is_locked_by_another(root: Path, sink: Sink) -> None:
    import fcntl
    assert sink.verdicts(pages(1)) == ["DONE"]
    with (root / UID / MANIFEST).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        begin = time.monotonic()
        unavailable(sink.write(pages(2), timeout_ms=300), "lock")
        assert 0.2 < time.monotonic() - begin < 3
    assert sink.verdicts(pages(2)) == ["DONE"]
    shutil.rmtree(root / UID)
    assert sink.verdicts(pages(2)) == ["DONE"]
