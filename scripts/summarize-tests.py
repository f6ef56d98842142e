"""Adds up test reports: meson's testlog.json files and pytest's JUnit XML files.

Usage: summarize-tests.py REPORT...

Prints one line, "N passed, N failed" (with ", N skipped" when there are some), and exits with 1
when something failed or nothing ran. A program that prints TAP counts by its cases. A report that
does not exist counts as nothing: its stage did not run.
"""

import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

TAP_CASE = re.compile(r"^(not ok|ok)\b(?:[^#\n]*)(#\s*skip)?", re.IGNORECASE | re.MULTILINE)


def count_meson(path: Path) -> Counter[str]:
    total: Counter[str] = Counter()
    for line in path.read_text().splitlines():
        test = json.loads(line)
        cases: Counter[str] = Counter()
        for verdict, skip in TAP_CASE.findall(test.get("stdout") or ""):
            cases["skipped" if skip else "passed" if verdict.lower() == "ok" else "failed"] += 1
        result = test["result"]
        if result == "SKIP":
            cases = Counter(skipped=1)
        elif result not in ("OK", "EXPECTEDFAIL"):
            cases["failed"] = max(cases["failed"], 1)  # a crash, a timeout, a bad plan
        elif not cases:
            cases["passed"] = 1
        total += cases
    return total


def count_junit(path: Path) -> Counter[str]:
    total: Counter[str] = Counter()
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            total["failed"] += 1
        elif case.find("skipped") is not None:
            total["skipped"] += 1
        else:
            total["passed"] += 1
    return total


def main(names: list[str]) -> int:
    total: Counter[str] = Counter()
    for path in map(Path, names):
        if path.exists():
            total += count_junit(path) if path.suffix == ".xml" else count_meson(path)
    line = f"{total['passed']} passed, {total['failed']} failed"
    if total["skipped"]:
        line += f", {total['skipped']} skipped"
    print(line)
    return 1 if total["failed"] or not total["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
