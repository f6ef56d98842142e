"""One connection of a sink by itself, driven through sink_cli."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CLI = ROOT / "build/tests/unit/sink_cli"
UID = "00112233445566778899aabbccddeeff"
OTHER = "ffeeddccbbaa99887766554433221100"


class Sink:
    """Opens when it is needed; closed by UNAVAILABLE, and opened again by the next command."""

    def __init__(self, **settings: Any) -> None:
        self.process = subprocess.Popen([CLI], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.check = self.say(settings)

    def send(self, command: dict[str, Any]) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, f"sink_cli ended with {self.process.wait()}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def say(self, command: dict[str, Any]) -> dict[str, Any]:
        self.send(command)
        return self.answer()

    def write(self, *landings: dict[str, Any], timeout_ms: int = 10000) -> dict[str, Any]:
        return self.say({"write": list(landings), "timeout_ms": timeout_ms})

    def verdicts(self, *landings: dict[str, Any], timeout_ms: int = 10000) -> list[str]:
        done = self.write(*landings, timeout_ms=timeout_ms)
        assert done["rc"] == "OK", done
        return [one["verdict"] for one in done["landings"]]

    def fits(self, sink: dict[str, Any], columns: list[list[str]], timeout_ms: int = 10000) -> dict[str, Any]:
        return self.say({"fits": {"sink": sink, "columns": columns}, "timeout_ms": timeout_ms})

    def job_end(self, sink: dict[str, Any], state: str, uid: str = UID, generation: int = 1,
                fenced: bool = False) -> dict[str, Any]:
        return self.say({"job_end": {"sink": sink, "uid": uid, "generation": generation, "fenced": fenced,
                                     "state": state}})

    def close(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        assert self.process.wait(20) == 0
        self.process.stdout.close()
