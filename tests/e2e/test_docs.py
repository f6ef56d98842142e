"""What the documents show works as written: the README's example, the quickstart, the job of PROTOCOL."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet import ROOT, Coordinator, Process, find_binary
from scrape_server import ScrapeServer


class Site(ScrapeServer):
    """Two pages that link to each other."""

    def page_first(self, site: object, path: str, query: object, headers: object) -> object:
        return self.html("<title>First</title><a href='/second/'>on</a><a href='http://other.example/'>out</a>")

    def page_second(self, site: object, path: str, query: object, headers: object) -> object:
        return self.html("<title>Second</title><a href='/first/'>back</a>")


@pytest.fixture
def site() -> Iterator[str]:
    server = Site()
    yield f"http://127.0.0.1:{server.listen()}/first/"
    server.close()


@pytest.fixture
def fleet(tmp_path: Path, coordinator: Coordinator) -> Iterator[Coordinator]:
    worker = Process("worker", [str(find_binary("drover-worker")), "--coordinator", coordinator.back,
                                "--id", "w1", "--allow-net", "127.0.0.0/8"], tmp_path)
    yield coordinator
    worker.kill()


def python_blocks(document: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.S)


def run_python(code: str, url: str, folder: Path) -> str:
    return subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, text=True, timeout=60,
                          stdout=subprocess.PIPE,
                          env={**os.environ, "DROVER_URL": url, "PYTHONPATH": str(ROOT / "python")}).stdout


def test_the_readme_example(fleet: Coordinator, site: str, tmp_path: Path) -> None:
    example = python_blocks("README.md")[0]
    assert "https://example.org/" in example
    out = run_python(example.replace("https://example.org/", site), fleet.front, tmp_path)
    assert sorted(out.split("\n")) == ["", "First 2", "Second 1"]


def test_the_asyncio_example_of_the_guide(fleet: Coordinator, site: str, tmp_path: Path) -> None:
    example = next(block for block in python_blocks("docs/GUIDE.md") if "asyncio.run" in block)
    out = run_python(example.replace("https://example.org/", site), fleet.front, tmp_path)
    assert out == "{'title': 'First'}\n"


def sales(folder: Path) -> None:
    """The files of the examples."""
    for number, rows in enumerate(("1,10.50,Books\n2,3,Toys\n3,-1,Toys\n", "4,20.25,Books\n5,7,\n6,n/a,Toys\n"), 1):
        (folder / f"sales-{number}.csv").write_text("id,amount,category\n" + rows)


def chapter(document: str, title: str) -> str:
    return (ROOT / document).read_text().split(f"## {title}\n")[1].split("\n## ")[0]


def test_the_transform_examples_of_the_guide(fleet: Coordinator, tmp_path: Path) -> None:
    sales(tmp_path)
    text = chapter("docs/GUIDE.md", "SQL over files")
    first, second = re.findall(r"```python\n(.*?)```", text, re.S)[:2]
    out = run_python(first, fleet.front, tmp_path)
    assert "aggregate (partial states merge exactly)" in out
    assert out.endswith("Books 2 30.75\nNone 1 7\nToys 1 3\n"), out
    out = run_python("from drover import Client, transform\n" + second, fleet.front, tmp_path)
    assert out == "[{'total': Decimal('39.75')}] 1\nsales-2.csv:4 BAD_VALUE amount: \"n/a\"\n"
    shell = re.findall(r"```sh\n(.*?)```", text, re.S)[0]
    ran = subprocess.run(["sh", "-ec", shell], cwd=tmp_path, check=True, text=True, timeout=60, capture_output=True,
                         env={**os.environ, "PATH": f"{find_binary('drover-worker').parent}:{os.environ['PATH']}"})
    assert ran.stdout.startswith("category,n,total\nBooks,2,30.75\nToys,2,2\n,1,7\nstage 1: transform\n"), ran


def test_every_statement_of_the_pandas_page(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text("id,amount,category,date\n1,10.50,Books,2024-01-02\n2,,Toys-x,2024-02-03\n")
    statements = [cell.replace("\\|", "|") for cell in
                  re.findall(r"\| `(SELECT.*?)`(?: |$)", (ROOT / "docs/PANDAS.md").read_text(), re.M)]
    assert len(statements) > 30
    for statement in statements:
        ran = subprocess.run([find_binary("drover-worker"), "run", "--sql", statement, "sales.csv"], cwd=tmp_path,
                             text=True, capture_output=True, timeout=60, check=False)
        assert ran.returncode == 0 and '"rejects":0' in ran.stderr, (statement, ran)


@pytest.mark.parametrize("document", ["README.md", "docs/GUIDE.md", "docs/PANDAS.md", "docs/SCRAPE.md",
                                      "python/README.md"])
def test_python_blocks_are_python(document: str) -> None:
    for block in python_blocks(document):
        compile(block, document, "exec")


def test_links_between_documents_lead_somewhere() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_the_job_of_the_protocol_document(fleet: Coordinator, site: str, tmp_path: Path) -> None:
    block = re.search(r"```json\n(.*?)```", (ROOT / "docs/PROTOCOL.md").read_text(), re.S)
    assert block
    job = json.loads(block[1])
    job["input"]["urls"] = [site]
    (tmp_path / "job.json").write_text(json.dumps(job))
    out = subprocess.run([find_binary("drover-worker"), "run", "--job", "job.json", "--output", "rows",
                          "--allow-net", "127.0.0.0/8"], cwd=tmp_path, check=True, text=True, timeout=60,
                         stdout=subprocess.PIPE).stdout
    assert json.loads(out)["rows"] == 1
    assert json.loads((tmp_path / "rows").read_text()) == {"title": "First"}


@pytest.mark.skipif("DROVER_DIST" in os.environ and not os.environ["DROVER_DIST"].endswith("/dist"),
                    reason="the quickstart runs the static programs")
def test_the_quickstart(tmp_path: Path) -> None:
    """It ends by itself with every page once, although a worker was killed, and leaves nothing."""
    ran = subprocess.run([ROOT / "scripts/quickstart"], cwd=tmp_path, text=True, timeout=300,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                         env={**os.environ, "TMPDIR": str(tmp_path)})
    assert ran.returncode == 0, ran.stdout
    pages = re.search(r"(\d+) pages, (\d+) different ones", ran.stdout)
    assert pages and pages[1] == pages[2] and int(pages[1]) > 1000, ran.stdout
    assert "kill -9 of worker" in ran.stdout and "healthy" in ran.stdout
    assert list(tmp_path.iterdir()) == []
