"""./scripts/bench store: how fast the SQLite store takes and finishes tasks, without a network.

The program bench_store calls the store as the coordinator's store thread does, with fsync at each
commit. Arguments: the number of tasks, and of seen URLs. Rates are of one run each.
"""

from __future__ import annotations

import sys
import tempfile

from _harness import OURS, Bench, Sample
from _native import lines


def main() -> None:
    numbers = sys.argv[1:] or ["300000", "500000"]
    bench = Bench("store")
    with tempfile.TemporaryDirectory(prefix="drover-bench-") as folder:
        for line in lines("bench_store", [folder + "/data", *numbers])[0]:
            bench.add(line["case"], OURS, Sample(line["value"], line["unit"], line["peak_mb"]))
    bench.report()


if __name__ == "__main__":
    main()
