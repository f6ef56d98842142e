"""What the programs can say is in the documents: each reason code, each count of the statistics, each
limit with its value. Compared with the C sources, where each has one table or one spelling."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet import ROOT

OPERATIONS, SCRAPE = "docs/OPERATIONS.md", "docs/SCRAPE.md"

# Bounds of the inside: nobody meets them as an error or as something that is left out.
INTERNAL_LIMITS = {
    "CATALOG_BYTES_MAX", "CATALOG_COMPILED_MAX",  # a new session, by itself
    "BLOB_FILES_OPEN_MAX", "BLOBS_SWEEP_MAX", "CACHE_ASKS_MAX",  # steps and files at a time
    "CLIENT_WAIT_MAX_MS",  # the CLI's side of FRONT_WAIT_MAX_MS
    "CREDIT_PREFILL_MAX", "CREDIT_RESULTS_MAX", "WORKLOAD_COUNTERS_MAX", "LOCAL_TASK_ITEMS_MAX", "LOCAL_LANDING_MAX",
    "FETCH_IDLE_MAX", "HOST_IDLE_MAX", "HOST_IDLE_BYTES_MAX", "JARS_IDLE_MAX", "INTERN_STRINGS_MAX",  # caches
    "RECOVERY_RELEASE_MAX", "RUN_UNREACHABLE_MAX", "RUN_QUICK_WAIT_MAX_MS", "UPLINK_BACKOFF_MAX_MS",
    "RESULT_BYTES_MAX",  # WIRE_MESSAGE_MAX with room for the rest of the message
    "SETTINGS_HOST_MAX",  # of a host name, which has 253 characters
    "JOB_RETRIES_MAX",  # a stock of retries that were not used
    "SUGGEST_WORD_MAX", "JOB_RUN_COUNTERS_MAX",
    "NUM_SCALE_MAX", "NUM_POW10_MAX", "NUM_TEXT_MAX", "TEXTCASE_BYTES_MAX", "TEXTFLOAT_MAX", "TEXTFLOAT_READ_MAX",
    "FUNC_ARGS_MAX",  # forms of numbers and texts, what fits into 64 bits
    "BROADCAST_MAX", "QUICK_TREE_LEAVES_MAX",  # which kernel, and what there is
    "TASK_COUNT_MAX",  # above every value of "attempts" and "kills_max"
}


def read(path: str | Path) -> str:
    return (ROOT / path).read_text()


def sources(*folders: str, suffix: str = ".c") -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob(f"*{suffix}"))


def table_rows() -> list[list[str]]:
    """The cells of every row of every table in both documents."""
    lines = (read(OPERATIONS) + read(SCRAPE)).splitlines()
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in lines if line.startswith("|") and not line.startswith("|---")]


def documented() -> set[str]:
    """What stands in backticks in the first cell of a row, with a meaning behind it."""
    return {name for row in table_rows() for name in re.findall(r"`([^`]+)`", row[0]) if any(row[1:])}


# ---- reason codes ----

def reasons() -> dict[str, str]:
    return dict(re.findall(r'^#define REASON_(\w+) "(\w+)"', read("common/reason.h"), re.M))


def test_each_reason_code_is_documented() -> None:
    codes = reasons()
    assert len(codes) > 25 and all(name == text for name, text in codes.items())
    assert set(codes.values()) - documented() == set()
    assert '"HTTP_%zu"' in read("worker/scrape/page.c") or '"HTTP_%d"' in read("worker/scrape/page.c")
    assert "HTTP_404" in documented()


def test_each_reason_code_comes_from_the_table() -> None:
    """No code is spelt out where it is made, so that the table has them all."""
    calls = re.compile(r"\b(?:classify|stop|page_reject|reject|output_reject|run_give_up|run_page_failed|run_abort|"
                       r"pipeline_fail|failed|lease_commit|lease_fail|lease_dead_on_arrival|settle|result_pack_plain|"
                       r"finished_plain|error_reason =)\b[^;{}]*?\"([A-Z][A-Z_]+)(?::[^\"]*)?\"")
    spelt = {f"{path.relative_to(ROOT)}: {code}" for path in sources("worker", "coordinator/core")
             for code in calls.findall(path.read_text())}
    # Ends of a transfer inside fetch.c, which its caller sees as an answer.
    assert spelt == {"worker/scrape/fetch.c: CUT", "worker/scrape/fetch.c: DROPPED"}


def test_each_reason_code_is_used() -> None:
    text = "".join(path.read_text() for path in sources("worker", "coordinator"))
    assert {name for name in reasons() if not re.search(rf"\bREASON_{name}\b", text)} == set()


def test_each_error_that_a_worker_gives_as_a_reason_is_documented() -> None:
    """Where an engine has no reason of its own, the error's name is the reason (result.c)."""
    text = "".join(path.read_text() for path in sources("worker") if path.name in
                   ("engines.c", "pipeline.c", "result.c", "workload.c", "catalog.c"))
    names = set(re.findall(r"\bERR_(?!CLASS)([A-Z_]+)\b", text)) - {"OK", "STALE"}
    assert names and names - documented() == set()


# ---- statistics ----

def counts() -> set[str]:
    names: set[str] = set()
    for path in sources("worker"):
        text = path.read_text()
        names.update(re.findall(r'\b(?:output_stat|add_stat)\(out, "(\w+)"', text))
        names.update(re.findall(r'\[RUN_\w+\] = "(\w+)"', text))
        names.update(re.findall(r'^    X\([A-Z_]+, "(links\w*)"\)', text, re.M))
        names.update(f"{prefix}.{'NAME' if prefix == 'fill' else 'PATH'}"
                     for prefix in re.findall(r'\bset_stat\(r, "(\w+)"', text))
    return names


def test_each_count_is_documented() -> None:
    names = counts()
    assert {"requests", "links_off_host", "rows", "fill.NAME", "bad.PATH", "sitemaps"} <= names and len(names) > 30
    assert names - documented() == set()


# ---- limits ----

def limits() -> list[tuple[str, int]]:
    """Every constant NAME_MAX (or NAME_MAX_MS, NAME_MAX_MIB) of an enum in a header, with its value."""
    found = []
    for path in sources("common", "worker", "coordinator", "admin", suffix=".h"):
        text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)
        for body in re.findall(r"\benum\b[^{;()]*\{([^}]*)\}", text):
            for name, value in re.findall(r"\b([A-Z][A-Z0-9_]*_MAX(?:_[A-Z]+)?)\s*=\s*([^,}]+)", body):
                if name not in INTERNAL_LIMITS and not re.fullmatch(r"[A-Z_]+_MAX\s*", value):  # that one has a row
                    assert re.fullmatch(r"[\d\s*<]+", value), f"{name} = {value}"
                    found.append((name, int(eval(value))))
    return found


def spellings(name: str, value: int) -> set[str]:
    """10,000; and for whole multiples 64 KiB, 16 MiB, 30 s."""
    ways = {f"{value:,}"}
    if name.endswith("_MIB"):
        ways.add(f"{value:,} MiB")
    if name.endswith("_MS") and value % 1000 == 0:
        ways.add(f"{value // 1000:,} s")
    for size, unit in ((1024, "KiB"), (1024 * 1024, "MiB")):
        if value % size == 0:
            ways.add(f"{value // size:,} {unit}")
    if value >= 1_000_000 and value % 1_000_000 == 0:
        ways.add(f"{value // 1_000_000} million")
    return ways


@pytest.mark.parametrize("name, value", sorted(limits()))
def test_each_limit_is_documented_with_its_value(name: str, value: int) -> None:
    rows = [row for row in table_rows() if f"`{name}`" in row[0]]
    assert rows, f"{name} has no row"
    told = " ".join(cell for row in rows for cell in row[1:])
    assert any(re.search(rf"(?<![\d,.]){re.escape(way)}(?![\d,.]\d)", told) for way in spellings(name, value)), \
        f"{name} is {value}; the document says: {told}"


def test_no_limit_is_documented_that_is_gone() -> None:
    there = {name for name, _ in limits()}
    named = set(re.findall(r"`([A-Z][A-Z0-9_]*_MAX(?:_[A-Z]+)?)`", read(OPERATIONS) + read(SCRAPE)))
    assert named - there == set()


def test_the_readme_leads_to_the_limits() -> None:
    assert "(docs/OPERATIONS.md#limits)" in read("README.md")
    assert "\n## Limits\n" in read(OPERATIONS)
