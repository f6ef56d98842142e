"""drover-worker run: one job on one machine, without a coordinator."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_coordinator import sanitized
from fleet import find_binary
from scrape_server import ScrapeServer

TIMEOUT_S = 60


class Site(ScrapeServer):
    """/tree/I links to 2I+1 and 2I+2 below `size`; /wide links to `width` pages."""

    size, width = 300, 2000

    def page_tree(self, site: Any, path: str, query: Any, headers: Any) -> Any:
        i = int(path.rsplit("/", 1)[-1])
        links = "".join(
            f"<a href='/tree/{n}'>{n}</a>" for n in (2 * i + 1, 2 * i + 2, 0) if n < self.size
        )
        return self.html(f"<html><head><title>Page {i}</title></head><body>{links}</body></html>")

    def page_wide(self, site: Any, path: str, query: Any, headers: Any) -> Any:
        links = "".join(f"<a href='/page/{'x' * 200}/{n}'>{n}</a>" for n in range(self.width))
        return self.html(f"<html><head><title>Wide</title></head><body>{links}</body></html>")


@pytest.fixture
def site() -> Iterator[Site]:
    server = Site()
    yield server
    server.close()


def stage(**more: Any) -> dict[str, Any]:
    extract = {"title": "title::text", "url": "@url", "price": ".price::text"}
    return {"kind": "scrape", "extract": extract, "robots": False, **more}


class Run:
    """A job in a folder; what came of it."""

    def __init__(self, folder: Path, spec: dict[str, Any] | str) -> None:
        self.folder = folder
        text = spec if isinstance(spec, str) else json.dumps({"drover": 1, **spec})
        (folder / "job.json").write_text(text)
        self.rows_file, self.rejects_file = folder / "rows.ndjson", folder / "rejects.ndjson"

    def command(self, *args: str, output: str | None = None) -> list[str]:
        return [
            str(find_binary("drover-worker")),
            *("run", "--job", str(self.folder / "job.json")),
            *("--output", output or str(self.rows_file), "--rejects", str(self.rejects_file)),
            *("--allow-net", "127.0.0.0/8", *args),
        ]

    def __call__(self, *args: str, output: str | None = None, **kw: Any) -> Any:
        return subprocess.run(
            self.command(*args, output=output), capture_output=True, text=True, timeout=TIMEOUT_S, **kw
        )

    def stats(self, *args: str, **kw: Any) -> dict[str, Any]:
        done = self(*args, **kw)
        assert done.returncode == 0, done
        value: dict[str, Any] = json.loads(done.stdout)
        return value

    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.rows_file.read_text().splitlines()]

    def rejects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.rejects_file.read_text().splitlines()]


def test_urls_of_the_job(site: Site, tmp_path: Path) -> None:
    port = site.listen()
    urls = [f"http://127.0.0.1:{port}/page/{i}" for i in range(40)]
    run = Run(tmp_path, {"stages": [stage()], "input": {"urls": urls}})
    stats = run.stats()
    assert Counter(r["url"] for r in run.rows()) == Counter(urls)
    assert (stats["rows"], stats["pages"], stats["inputs"]) == (40, 40, 40)
    assert stats["state"] == "done" and stats["rejects"] == 0 and stats["rejects_by_reason"] == {}
    assert stats["fill"] == {"title": 1.0, "url": 1.0, "price": 0.0}
    assert stats["bytes"] > 40 * 100 and stats["pages_per_s"] > 0
    assert stats["seconds"] > 0 and stats["cpu_s"] > 0
    assert 1 < stats["peak_mb"] < 20 or sanitized()


def test_urls_of_a_file_and_of_standard_input(site: Site, tmp_path: Path) -> None:
    port = site.listen()
    urls = [f"http://127.0.0.1:{port}/page/{i}" for i in range(5)]
    text = "\n# a comment\n".join(urls) + "\n\n  \n"
    (tmp_path / "urls.txt").write_text(text.replace("\n", "\r\n"))
    run = Run(tmp_path, {"stages": [stage()]})
    assert run.stats("--input", str(tmp_path / "urls.txt"))["rows"] == 5
    assert run.stats("--input", "-", input=text.rstrip("\n"))["rows"] == 5


def test_rows_to_standard_output_leave_it_to_them(site: Site, tmp_path: Path) -> None:
    port = site.listen()
    urls = [f"http://127.0.0.1:{port}/page/{i}" for i in range(3)]
    done = Run(tmp_path, {"stages": [stage()], "input": {"urls": urls}})(output="-")
    assert done.returncode == 0
    assert {json.loads(line)["url"] for line in done.stdout.splitlines()} == set(urls)
    assert json.loads(done.stderr.splitlines()[-1])["rows"] == 3


def test_crawl_visits_each_page_once(site: Site, tmp_path: Path) -> None:
    port = site.listen()
    spec = {
        "stages": [stage(follow={"css": "a", "depth": 30})],
        "input": {"urls": [f"http://127.0.0.1:{port}/tree/0"]},
    }
    run = Run(tmp_path, spec)
    stats = run.stats("--loops", "2")
    assert Counter(r["title"] for r in run.rows()) == Counter({f"Page {i}": 1 for i in range(300)})
    assert stats["rows"] == stats["inputs"] == 300 and stats["duplicates"] >= 299
    assert len(site.of(port)) == 300


def test_limits_hold_for_a_host(site: Site, tmp_path: Path) -> None:
    port, other = site.listen(), site.listen()
    for one in (port, other):
        site.sites[one].latency_s = 0.01
    urls = [f"http://127.0.0.1:{p}/page/{i}" for i in range(80) for p in (port, other)]
    spec = {"stages": [stage(per_host={"concurrency": 3})], "input": {"urls": urls}}
    Run(tmp_path, spec).stats("--loops", "2")
    for one in (port, other):
        assert len(site.of(one)) == 80
        assert max(r.active for r in site.of(one)) == 3


def test_rejects_have_reasons(site: Site, tmp_path: Path) -> None:
    port = site.listen()
    urls = [
        f"http://127.0.0.1:{port}/page/1",
        f"http://127.0.0.1:{port}/status/404?x",
        f"http://127.0.0.1:{port}/status/410?x",
        "ftp://127.0.0.1/x",
        "http://10.1.2.3/",
    ]
    spec = {"stages": [stage()], "input": {"urls": urls}, "retry": {"attempts": 1}}
    run = Run(tmp_path, spec)
    stats = run.stats()
    assert stats["rows"] == 1 and stats["rejects"] == 4
    reasons = {r["input"]: r["reason"] for r in run.rejects()}
    assert reasons[urls[1]] == "HTTP_404" and reasons[urls[2]] == "HTTP_410"
    assert reasons["ftp://127.0.0.1/x"] == "INVALID_INPUT" and "http://10.1.2.3/" in reasons
    assert sum(stats["rejects_by_reason"].values()) == 4


def test_failures_that_pass_are_tried_again(site: Site, tmp_path: Path) -> None:
    port = site.listen()
    urls = [f"http://127.0.0.1:{port}/flaky/{i}?fail=1" for i in range(3)]
    urls.append(f"http://127.0.0.1:{port}/status/503?x")
    spec = {
        "stages": [stage(retry={"times": 1, "backoff_s": 0.05})],
        "input": {"urls": urls},
        "retry": {"attempts": 2, "backoff_s": 0.05, "backoff_max_s": 0.1},
    }
    run = Run(tmp_path, spec)
    stats = run.stats()
    assert stats["rows"] == 3
    assert {r["reason"] for r in run.rejects()} == {"HTTP_503"} and stats["rejects"] == 1


def test_host_that_is_down_is_tried_again_and_then_rejected(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    spec = {
        "stages": [stage(retry={"times": 0})],
        "input": {"urls": [f"http://127.0.0.1:{port}/{i}" for i in range(3)]},
        "retry": {"attempts": 2, "backoff_s": 0.05, "backoff_max_s": 0.1},
    }
    run = Run(tmp_path, spec)
    stats = run.stats()
    assert stats["rows"] == 0 and stats["rejects"] == 3 and stats["retried"] == 3
    assert all(str(port) in r["detail"] for r in run.rejects())


def test_frontier_has_a_limit(site: Site, tmp_path: Path) -> None:
    port = site.listen()
    site.width = 6000  # of more than 200 bytes each
    spec = {
        "stages": [stage(follow={"css": "a", "depth": 1}, retry={"times": 0})],
        "input": {"urls": [f"http://127.0.0.1:{port}/wide/{i}" for i in range(1)]},
    }
    run = Run(tmp_path, spec)
    stats = run.stats("--frontier-max", "1MiB")
    full = stats["rejects_by_reason"]["FRONTIER_FULL"]
    assert full > 0 and stats["rows"] + full == 6001
    assert any("--frontier-max" in r["detail"] for r in run.rejects())


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("{", "JSON"),
        ('{"drover": 1}', "stages"),
        ('{"drover": 1, "stages": [{"kind": "scrap"}]}', "stages[0].kind"),
        ('{"drover": 1, "stages": [{"kind": "scrape", "extract": {"a": "h1::"}}]}', "stages[0].extract.a"),
        ('{"drover": 1, "stages": [{"kind": "noop"}], "nme": "x"}', "nme"),
        ('{"drover": 1, "stages": [{"kind": "noop"}]}', "--input"),
    ],
)
def test_bad_descriptions_end_with_2(tmp_path: Path, spec: str, said: str) -> None:
    done = Run(tmp_path, spec)()
    assert done.returncode == 2 and done.stdout == ""
    assert said in done.stderr


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    run = Run(tmp_path, {"stages": [{"kind": "noop", "rows": True}], "input": {"items": ["a"] * 10}})
    assert run("--input", str(tmp_path / "none")).returncode == 1
    done = run(output=str(tmp_path / "no" / "rows"))
    assert done.returncode == 1 and "cannot write" in done.stderr
    done = run(output="/dev/full")
    assert done.returncode == 1 and "No space left" in done.stderr
    run.folder.joinpath("job.json").unlink()
    assert run().returncode == 1
    assert subprocess.run([str(find_binary("drover-worker")), "run"], capture_output=True).returncode == 2


def test_line_that_is_too_long(tmp_path: Path) -> None:
    (tmp_path / "urls").write_text("a\n" + "x" * 100_000)
    done = Run(tmp_path, {"stages": [{"kind": "noop"}]})("--input", str(tmp_path / "urls"))
    assert done.returncode == 1 and "line 2" in done.stderr


def test_reader_of_the_rows_that_goes_away(tmp_path: Path) -> None:
    run = Run(tmp_path, {"stages": [{"kind": "noop", "rows": True}]})
    (tmp_path / "items").write_text("item\n" * 2_000_000)
    process = subprocess.Popen(
        run.command("--input", str(tmp_path / "items"), output="-"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(TIMEOUT_S) == 1
    assert b"Broken pipe" in process.stderr.read()
    process.stderr.close()


def test_interrupt_keeps_what_there_is(site: Site, tmp_path: Path) -> None:
    port, slow = site.listen(), site.listen()
    site.gate(slow)
    urls = [f"http://127.0.0.1:{port}/page/{i}" for i in range(16)]
    urls += [f"http://127.0.0.1:{slow}/page/{i}" for i in range(16)]
    run = Run(tmp_path, {"stages": [stage()], "input": {"urls": urls}})
    process = subprocess.Popen(run.command(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    site.wait_requests(port, 16)
    site.wait_requests(slow, 1)
    # The fast host's pages are in; its connection is idle when the rows are counted.
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130
    stats = json.loads(out)
    assert stats["state"] == "stopped" and stats["rows"] == len(run.rows()) <= 16


def test_many_inputs_in_bounded_memory(tmp_path: Path) -> None:
    n = 2_000_000
    with (tmp_path / "items").open("w") as f:
        f.writelines(f"item-{i}\n" for i in range(n))
    run = Run(tmp_path, {"stages": [{"kind": "noop", "rows": True}]})
    stats = run.stats("--input", str(tmp_path / "items"), output=os.devnull)
    assert stats["rows"] == n
    assert stats["peak_mb"] < 24 or sanitized(), stats


def test_large_rows_make_small_tasks(site: Site, tmp_path: Path) -> None:
    """Rows wait until their task ends: with few of them in a task, few wait."""
    ports = [site.listen() for _ in range(40)]
    urls = [f"http://127.0.0.1:{p}/wide?{i}" for i in range(16) for p in ports]
    body = {"css": "body", "attr": "html"}  # half a megabyte
    spec = {"stages": [{**stage(), "extract": {"body": body, "url": "@url"}}]}
    (tmp_path / "urls").write_text("\n".join(urls))
    run = Run(tmp_path, spec)
    stats = run.stats("--input", str(tmp_path / "urls"), "--loops", "1", output=os.devnull)
    assert stats["rows"] == len(urls)
    assert stats["tasks"] > len(urls) // 2
    assert stats["peak_mb"] < 80 or sanitized(), stats
    small = Run(tmp_path, {"stages": [stage()]})
    assert small.stats("--input", str(tmp_path / "urls"), "--loops", "1")["tasks"] < len(urls) // 2


def test_run_timeout(site: Site, tmp_path: Path) -> None:
    port = site.listen()
    site.gate(port)
    spec = {
        "stages": [stage(retry={"times": 0})],
        "input": {"urls": [f"http://127.0.0.1:{port}/page/1"]},
        "retry": {"attempts": 1},
        "run_timeout_s": 1,
    }
    run = Run(tmp_path, spec)
    stats = run.stats()
    assert stats["rejects_by_reason"] == {"TIMEOUT": 1}
