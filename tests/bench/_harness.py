"""What the benchmarks share: alternating runs, medians, the table, and the JSON object at the end.

A case is run by several engines in turn, A B C A B C ..., because machines are shared and their speed
drifts; what counts is the ratio of the medians. A run is a process measured from outside: wall clock,
and peak memory as the kernel counted it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple

ROOT = Path(__file__).resolve().parents[2]
DIST = Path(os.environ.get("DROVER_DIST", ROOT / "dist"))
OURS = "drover"


@dataclass
class Run:
    """One process: its seconds, its peak memory in MB, its seconds of CPU, what it printed."""

    seconds: float
    peak_mb: float
    cpu_s: float
    output: str = ""


@dataclass
class Sample:
    """One measurement: the figure, its unit, and the peak memory in MB (0: not measured)."""

    value: float
    unit: str
    peak_mb: float = 0.0


@dataclass
class Bench:
    """Collects samples and prints them."""

    name: str
    samples: Dict[Tuple[str, str], List[Sample]] = field(default_factory=dict)
    missing: List[str] = field(default_factory=list)

    def rounds(self, case: str, engines: Dict[str, Callable[[], Sample]], n: int = 3) -> None:
        """Runs the engines of a case in turn, n times."""
        for number in range(n):
            for engine, run in engines.items():
                sample = run()
                self.samples.setdefault((case, engine), []).append(sample)
                note(f"{case} {engine} {number + 1}/{n}: {sample.value:,.1f} {sample.unit}")

    def add(self, case: str, engine: str, sample: Sample) -> None:
        """One more measurement from outside rounds()."""
        self.samples.setdefault((case, engine), []).append(sample)

    def miss(self, engine: str, why: str) -> None:
        """A peer that cannot run here."""
        self.missing.append(engine)
        note(f"left out: {engine}: {why}")

    def report(self) -> None:
        """The table, and the JSON object as the last line."""
        results, ratios = [], {}
        print(f"{'case':40} {'engine':12} {'median':>12} {'min':>12} {'max':>12} {'unit':10} {'peak MB':>8}")
        for (case, engine), samples in self.samples.items():
            values = [sample.value for sample in samples]
            value, unit = statistics.median(values), samples[0].unit
            peak = max(sample.peak_mb for sample in samples)
            print(f"{case:40} {engine:12} {figure(value)} {figure(min(values))} {figure(max(values))} "
                  f"{unit:10} {peak:8.1f}")
            results.append({"case": case, "engine": engine, "value": round(value, 3), "unit": unit,
                            "peak_mb": round(peak, 1)})
            if engine != OURS and (case, OURS) in self.samples:
                ours = statistics.median(sample.value for sample in self.samples[case, OURS])
                ratios.setdefault(case, {})[engine] = round(ours / value, 2) if value else None
        print(json.dumps({"bench": self.name, "results": results, "ratios": ratios,
                          "missing": self.missing}))


def figure(value: float) -> str:
    """Twelve columns, with as many decimals as matter."""
    return f"{value:12,.0f}" if value >= 1000 else f"{value:12,.1f}" if value >= 10 else f"{value:12.3f}"


def note(text: str) -> None:
    """A line for the person who waits."""
    print(text, file=sys.stderr, flush=True)


def run(command: Sequence[object], *, cpu: Optional[int] = None, timeout: float = 300,
        env: Optional[Dict[str, str]] = None, cwd: Optional[Path] = None) -> Run:
    """Runs a command to its end, on one processor when cpu is given. Fails loudly."""
    words = [str(word) for word in command]
    if cpu is not None:
        words = ["taskset", "-c", str(cpu), *words]
    with tempfile.TemporaryDirectory(prefix="drover-bench-") as folder:
        # GNU time forks the command from a small process: the kernel counts what a process had before
        # it became another program, so the peak of a child of this one would be at least its own.
        figures, out = Path(folder) / "time", Path(folder) / "out"
        with out.open("w") as sink:
            done = subprocess.run(["/usr/bin/time", "-q", "-o", figures, "-f", "%e %M %U %S", *words],
                                  stdout=sink, stdin=subprocess.DEVNULL, cwd=cwd, timeout=timeout,
                                  env={**os.environ, **(env or {})}, check=False)
        output = out.read_text()
        if done.returncode != 0:
            raise SystemExit(f"{words} ended with {done.returncode}:\n{output[-2000:]}")
        seconds, peak_kib, user, system = figures.read_text().split()
    return Run(float(seconds), int(peak_kib) / 1024.0, float(user) + float(system), output)


def free_port() -> int:
    """A port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_port(port: int, timeout: float = 10) -> None:
    """Until something listens on the port."""
    deadline = time.monotonic() + timeout
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > deadline:
            raise SystemExit(f"nothing listens on port {port}")
        time.sleep(0.01)


@contextlib.contextmanager
def server(command: Sequence[object], port: Optional[int] = None, **options: object) -> Iterator[subprocess.Popen]:  # type: ignore[type-arg]
    """A process that is ended with the block; entered when it listens on the port."""
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, **options)  # type: ignore[call-overload]
    try:
        if port is not None:
            wait_port(port)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def peak_mb(pid: int) -> float:
    """Peak resident memory of a living process, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024.0
    return 0.0


def resident(pid: int) -> int:
    """Bytes of a living process that are in memory now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def tool(name: str, *places: str) -> Optional[str]:
    """A program by its usual places first, then by PATH."""
    for place in places:
        if os.access(place, os.X_OK):
            return place
    return shutil.which(name)
