"""./scripts/bench scrape: pages/s on one core, fetch + gunzip + parse + 8 selectors.

nginx serves gzip files of 10, 29 and 86 KB (uncompressed) on one processor; each engine fetches them
over 32 connections on the other and extracts the same eight fields. Engines: drover-worker run, a Go
program (a pool of goroutines, goquery), a Python program (aiohttp, BeautifulSoup with lxml).

"CPU" cases are the same runs by the seconds of CPU that they used: on a machine that others use too,
these say what the clock does not, because a fast client waits for a server that has to wait.
"""

from __future__ import annotations

import gzip
import json
import random
import tempfile
from pathlib import Path
from typing import Callable, Dict

from _harness import DIST, OURS, Bench, Sample, free_port, note, run, server, tool

SIZES_KB = (10, 29, 86)
VARIANTS = 64  # different pages of a size
CONNECTIONS = 32
PEERS = Path(__file__).parent / "peers"

FIELDS: Dict[str, object] = {
    "title": "title::text",
    "heading": "h1.page-title::text",
    "description": {"meta": "description"},
    "price": {"css": "div.product span.price", "type": "decimal"},
    "sku": "div.product::attr(data-sku)",
    "image": {"css": "div.product img", "attr": "src", "type": "url"},
    "tags": {"css": "ul.tags > li", "list": True},
    "related": {"css": "article.card a.link", "attr": "href", "type": "url", "list": True, "max": 20},
}

WORDS = ("alder birch cedar drover ember fallow grove harrow ivory juniper kestrel larch meadow nettle "
         "orchard pasture quarry rowan sedge thicket upland vetch willow yarrow").split()


def page(size_kb: int, seed: int) -> str:
    """A page like a shop's: head, navigation, a product, then cards of text up to the size."""
    rng = random.Random(size_kb * 1000 + seed)

    def words(n: int) -> str:
        return " ".join(rng.choice(WORDS) for _ in range(n))

    head = (f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{words(4)}</title>'
            f'<meta name="description" content="{words(12)}"><link rel="stylesheet" href="/s.css">'
            f'</head><body><nav><ul>'
            + "".join(f'<li><a href="/c/{i}">{words(1)}</a></li>' for i in range(12))
            + f'</ul></nav><h1 class="page-title">{words(5)}</h1><div class="product" '
              f'data-sku="SKU-{seed:05d}"><img src="/img/{seed}.jpg" alt="{words(2)}"><span '
              f'class="price">{rng.randint(1, 999)}.{rng.randint(0, 99):02d}</span></div><ul class="tags">'
            + "".join(f"<li>{words(1)}</li>" for _ in range(6)) + "</ul><main>")
    parts, size, number = [head], len(head), 0
    while size < size_kb * 1024 - 40:
        card = (f'<article class="card" id="c{number}"><h3>{words(3)}</h3><p class="text">{words(18)} '
                f'<em>{words(2)}</em> {words(9)}</p><a class="link" href="/p/{seed}/{number}">'
                f'{words(2)}</a></article>\n')
        parts.append(card)
        size += len(card)
        number += 1
    return "".join(parts) + "</main></body></html>"


def nginx_config(folder: Path, port: int) -> Path:
    """A server of the folder's gzip files, with everything it writes inside the folder."""
    config = folder / "nginx.conf"
    temporary = "\n".join(f"    {name}_temp_path {folder}/{name};" for name in
                          ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config.write_text(f"""
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
    access_log off; default_type text/html; charset utf-8; gzip_static always; keepalive_requests 1000000;
    open_file_cache max=1000; open_file_cache_valid 1h;
{temporary}
    server {{ listen 127.0.0.1:{port} backlog=1024; root {folder}/pages; }}
}}
""")
    return config


def pages_per_s(n: int, command: Callable[[Path], list], check: Callable[[str], int],
                urls: Path, env: Dict[str, str], cpu: Callable[[Sample], None]) -> Sample:
    """Runs an engine over n pages on processor 0."""
    ran = run(command(urls), cpu=0, env=env)
    rows = check(ran.output)
    if rows != n:
        raise SystemExit(f"{command(urls)[0]}: {rows} rows from {n} pages")
    cpu(Sample(n / ran.cpu_s, "pages/CPU s", ran.peak_mb))
    return Sample(n / ran.seconds, "pages/s", ran.peak_mb)


def main() -> None:
    bench = Bench("scrape")
    with tempfile.TemporaryDirectory(prefix="drover-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        port = free_port()
        (folder / "pages").mkdir()
        for size in SIZES_KB:
            for variant in range(VARIANTS):
                (folder / "pages" / f"{size}-{variant}.html.gz").write_bytes(
                    gzip.compress(page(size, variant).encode(), 6))
        go = build_go(bench, folder)
        python = python_peer(bench)
        nginx = tool("nginx", "/usr/sbin/nginx")
        if nginx is None:
            raise SystemExit("nginx is missing: scripts/deps bench")
        with server(["taskset", "-c", "1", nginx, "-p", folder, "-c", nginx_config(folder, port)], port):
            for size in SIZES_KB:
                bench.rounds(f"{size} KB", engines(bench, folder, port, size, go, python))
    bench.report()


def engines(bench: Bench, folder: Path, port: int, size: int, go: Path | None,
            python: str | None) -> Dict[str, Callable[[], Sample]]:
    """The runs of one page size; each engine gets as many pages as it does in a few seconds."""
    def urls(n: int) -> Path:
        path = folder / f"urls-{size}-{n}.txt"
        if not path.exists():
            path.write_text("".join(f"http://127.0.0.1:{port}/{size}-{i % VARIANTS}.html?n={i}\n"
                                    for i in range(n)))
        return path

    job = folder / "job.json"
    job.write_text(json.dumps({"drover": 1, "stages": [{
        "kind": "scrape", "extract": FIELDS, "robots": False,
        "per_host": {"concurrency": CONNECTIONS, "autothrottle": False}}]}))
    rows = folder / "rows.ndjson"
    def cpu(engine: str) -> Callable[[Sample], None]:
        return lambda sample: bench.add(f"{size} KB, CPU", engine, sample)

    ours_n, go_n, python_n = 300_000 // size, 120_000 // size, 6_000 // size

    def ours() -> Sample:
        return pages_per_s(
            ours_n,
            lambda path: [DIST / "drover-worker", "run", "--job", job, "--input", path, "--output", rows,
                          "--loops", "1", "--allow-net", "127.0.0.0/8"],
            lambda output: json.loads(output)["rows"], urls(ours_n), {}, cpu(OURS))

    runs: Dict[str, Callable[[], Sample]] = {OURS: ours}
    if go is not None:
        runs["go"] = lambda: pages_per_s(
            go_n, lambda path: [go, path, rows, str(CONNECTIONS)],
            lambda output: json.loads(output)["rows"], urls(go_n), {"GOMAXPROCS": "1"}, cpu("go"))
    if python is not None:
        runs["python"] = lambda: pages_per_s(
            python_n, lambda path: [python, PEERS / "scrape.py", path, rows, str(CONNECTIONS)],
            lambda output: json.loads(output)["rows"], urls(python_n), {}, cpu("python"))
    return runs


def build_go(bench: Bench, folder: Path) -> Path | None:
    """The Go program, built with Debian's compiler and packages."""
    go = tool("go", "/usr/bin/go")
    if go is None or not Path("/usr/share/gocode/src/github.com/PuerkitoBio/goquery").exists():
        bench.miss("go", "needs the packages golang-go and golang-github-puerkitobio-goquery-dev")
        return None
    note("building the Go program")
    program = folder / "scrape-go"
    run([go, "build", "-o", program, PEERS / "scrape.go"],
        env={"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": "", "GOCACHE": str(folder / "gocache")})
    return program


def python_peer(bench: Bench) -> str | None:
    """Debian's python3, when it has what the Python program imports."""
    try:
        run(["/usr/bin/python3", "-c", "import aiohttp, bs4, lxml"])
    except SystemExit:
        bench.miss("python", "needs the packages python3-aiohttp, python3-bs4 and python3-lxml")
        return None
    return "/usr/bin/python3"


if __name__ == "__main__":
    main()
