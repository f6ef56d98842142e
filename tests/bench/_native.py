"""Runs a benchmark that is a C program, built by scripts/bench, and reads its lines of JSON."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Tuple

from _harness import ROOT, note, run


def lines(name: str, arguments: List[str]) -> Tuple[List[Dict[str, Any]], float]:
    """What the program printed, and its peak memory in MB."""
    program = ROOT / "build-static/tests/bench" / name
    if not program.exists():
        raise SystemExit(f"{program.relative_to(ROOT)} is not built; ./scripts/bench builds it")
    done = run([program, *arguments], timeout=600)
    note(done.output)
    return [json.loads(line) for line in done.output.splitlines() if line.startswith("{")], done.peak_mb
