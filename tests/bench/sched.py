"""./scripts/bench sched: the scheduler alone, without store or network.

The program bench_sched adds tasks of many keys, assigns them to 64 workers and completes 500,000 of
them, with the rest as a backlog; and starts with ten million parked tasks. Arguments: other numbers of
tasks. The figures: tasks/s through assignment, result and completion; bytes for each waiting task.
"""

from __future__ import annotations

import sys
from typing import Any, Dict

from _harness import OURS, Bench, Sample
from _native import lines


def add(bench: Bench, line: Dict[str, Any], peak_mb: float) -> None:
    if "restart_with" in line:
        name = f"restart, {line['restart_with']:,} tasks"
        for what, key, unit in (("memory", "parked_bytes_per_task", "bytes/task"),
                                ("parked", "parked_s", "s"), ("released", "released_s", "s"),
                                ("longest step", "longest_step_ms", "ms")):
            bench.add(f"{name}: {what}", OURS, Sample(line[key], unit, peak_mb))
        return
    name = f"{line['tasks']:,} tasks, {line['keys']:,} keys"
    bench.add(f"{name}: rate", OURS, Sample(line["tasks_per_s"], "tasks/s", peak_mb))
    bench.add(f"{name}: memory", OURS, Sample(line["bytes_per_task"], "bytes/task", peak_mb))


def main() -> None:
    bench = Bench("sched")
    found, peak_mb = lines("bench_sched", sys.argv[1:])
    for line in found:
        add(bench, line, peak_mb)
    bench.report()


if __name__ == "__main__":
    main()
