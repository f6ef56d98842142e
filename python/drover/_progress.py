"""Progress of a job: a tqdm bar where there is one and someone looks, log lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any, Optional

from ._operations import JobStatus

LOG_EVERY_S = 10.0
log = logging.getLogger("drover")


def _tqdm() -> Optional[Any]:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    interactive = sys.stderr.isatty() or "ipykernel" in sys.modules
    return tqdm if interactive else None


def describe(status: JobStatus) -> str:
    """One line of text."""
    parts = [f"{status.done:,} of {status.tasks:,} tasks", f"{status.rows:,} rows"]
    for name, count in (("rejects", status.rejects), ("waiting to retry", status.delayed),
                        ("dead", status.dead)):
        if count:
            parts.append(f"{count:,} {name}")
    return f"job {status.id} {status.state}: " + ", ".join(parts)


class Progress:
    """Shows the states that it is given. A crawl's total grows while it runs."""

    def __init__(self, enabled: bool) -> None:
        self._bar: Optional[Any] = None
        self._last_log = 0.0
        self._enabled = enabled
        self._tqdm = _tqdm() if enabled else None

    def show(self, status: JobStatus) -> None:
        """Draws, or writes a line when the last one is LOG_EVERY_S ago or the job ended."""
        if not self._enabled:
            return
        if self._tqdm is not None:
            if self._bar is None:
                self._bar = self._tqdm(unit="task", total=status.tasks)
            self._bar.total = status.tasks
            self._bar.n = status.done + status.dead
            self._bar.set_postfix_str(f"{status.rows:,} rows, {status.rejects:,} rejects")
        elif status.ended_at_all or time.monotonic() - self._last_log >= LOG_EVERY_S:
            self._last_log = time.monotonic()
            self._line(describe(status))

    @staticmethod
    def _line(text: str) -> None:
        if log.hasHandlers() and log.isEnabledFor(logging.INFO):
            log.info("%s", text)
        else:
            print(f"drover: {text}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leaves the bar as it is."""
        if self._bar is not None:
            self._bar.close()
