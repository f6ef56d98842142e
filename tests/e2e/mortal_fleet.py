"""A fleet whose processes are killed and stopped, and come back."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from fleet import Coordinator, Process, find_binary


class MortalFleet:
    """A coordinator and two workers, worker-1 and worker-2; arguments are for the workers."""

    def __init__(self, folder: Path, coordinator: Coordinator, *arguments: str) -> None:
        self.folder = folder
        self.coordinator = coordinator
        self.arguments = arguments
        coordinator.start()
        coordinator.keep_ports()
        self.workers = {name: self.worker(name) for name in ("worker-1", "worker-2")}

    def worker(self, name: str) -> Process:
        return Process(name, [str(find_binary("drover-worker")), "--coordinator", self.coordinator.back,
                              "--id", name, "--loops", "1", *self.arguments], self.folder)

    def kill_worker(self, name: str) -> None:
        self.workers[name].kill()
        self.workers[name] = self.worker(name)

    def stop_worker(self, name: str, seconds: float) -> None:
        """For longer than a lease it is a zombie, which wakes in the middle of whatever it was doing."""
        stop(self.workers[name], seconds)

    def kill_coordinator(self) -> None:
        self.coordinator.kill()
        self.coordinator.start()

    def stop_coordinator(self, seconds: float) -> None:
        assert self.coordinator.process
        stop(self.coordinator.process, seconds)

    def close(self) -> None:
        for worker in self.workers.values():
            worker.kill()


def stop(process: Process, seconds: float) -> None:
    """SIGSTOP, and SIGCONT so many seconds later."""
    process.popen.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    process.popen.send_signal(signal.SIGCONT)
