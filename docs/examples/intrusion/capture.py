"""Makes captures of traffic that never was: clients of a web server, and attacks that are planted among
them. Run it for a file to look at: ``python3 capture.py traffic.pcap``."""

from __future__ import annotations

import random
import struct
import sys
from dataclasses import dataclass, field
from typing import List, Set, Tuple

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
SERVER = "10.0.0.80"


def address(text: str) -> bytes:
    return bytes(int(part) for part in text.split("."))


def tcp(src: str, dst: str, sport: int, dport: int, flags: int, payload: bytes = b"") -> bytes:
    """An Ethernet frame; checksums are left out, as captures at the sender have them."""
    segment = struct.pack("!HHIIBBHHH", sport, dport, 1, 1, 5 << 4, flags, 64240, 0, 0) + payload
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(segment), 0, 0, 64, 6, 0, address(src), address(dst))
    return bytes(12) + b"\x08\x00" + ip + segment


@dataclass
class Capture:
    """Packets with their times, and who the attackers are."""

    rng: random.Random
    packets: List[Tuple[float, bytes]] = field(default_factory=list)
    scanners: Set[str] = field(default_factory=set)
    flooders: Set[str] = field(default_factory=set)
    leaks: Set[str] = field(default_factory=set)

    def visit(self, at: float, client: str) -> None:
        """A client asks for a page and gets it."""
        port = self.rng.randint(20000, 60000)
        there = lambda flags, data=b"": tcp(client, SERVER, port, 443, flags, data)  # noqa: E731
        back = lambda flags, data=b"": tcp(SERVER, client, 443, port, flags, data)  # noqa: E731
        frames = [there(SYN), back(SYN | ACK), there(ACK)]
        for _ in range(self.rng.randint(1, 4)):
            frames.append(there(PSH | ACK, bytes(self.rng.randint(200, 700))))
            frames += [back(PSH | ACK, bytes(self.rng.randint(600, 1400)))
                       for _ in range(self.rng.randint(2, 12))]
            frames.append(there(ACK))
        frames += [there(FIN | ACK), back(FIN | ACK), there(ACK)]
        for frame in frames:
            self.packets.append((at, frame))
            at += self.rng.uniform(0.002, 0.08)

    def scan(self, at: float, source: str, ports: int = 200) -> None:
        """Asks every port, and is refused."""
        self.scanners.add(source)
        for port in range(1, ports + 1):
            sport = self.rng.randint(20000, 60000)
            self.packets.append((at, tcp(source, SERVER, sport, port, SYN)))
            self.packets.append((at + 0.0004, tcp(SERVER, source, port, sport, RST | ACK)))
            at += self.rng.uniform(0.001, 0.01)

    def flood(self, at: float, source: str, flows: int = 200) -> None:
        """Opens connections and leaves them."""
        self.flooders.add(source)
        for _ in range(flows):
            sport = self.rng.randint(1024, 65000)
            for again in range(3):
                self.packets.append((at + again, tcp(source, SERVER, sport, 443, SYN)))
            at += self.rng.uniform(0.0005, 0.002)

    def leak(self, at: float, source: str, megabytes: int = 4) -> None:
        """Sends much and asks for nothing."""
        self.leaks.add(source)
        port = self.rng.randint(20000, 60000)
        self.packets += [(at, tcp(source, "203.0.113.9", port, 443, SYN)),
                         (at + 0.01, tcp("203.0.113.9", source, 443, port, SYN | ACK))]
        for i in range(megabytes * 700):
            self.packets.append((at + 0.02 + i * 0.004, tcp(source, "203.0.113.9", port, 443, PSH | ACK, bytes(1400))))
        self.packets.append((at + 0.03 + megabytes * 2.8, tcp(source, "203.0.113.9", port, 443, FIN | ACK)))

    def bytes(self) -> bytes:
        """The file, in the order of time."""
        out = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)]
        for at, frame in sorted(self.packets, key=lambda one: one[0]):
            out.append(struct.pack("<IIII", int(at), int(at % 1 * 1e6), len(frame), len(frame)) + frame)
        return b"".join(out)


def make(seed: int, visits: int = 2000, attacks: bool = True) -> Capture:
    """A capture of about ten minutes. The same seed makes the same one."""
    rng = random.Random(seed)
    capture = Capture(rng)
    start = 1_790_000_000.0
    for _ in range(visits):
        capture.visit(start + rng.uniform(0, 500), f"10.1.{rng.randint(0, 40)}.{rng.randint(1, 250)}")
    if attacks:
        for i in range(3):
            capture.scan(start + rng.uniform(0, 500), f"198.51.100.{10 + i}")
            capture.flood(start + rng.uniform(0, 500), f"198.51.100.{50 + i}")
            capture.leak(start + rng.uniform(0, 500), f"10.2.0.{20 + i}")
    return capture


if __name__ == "__main__":
    with open(sys.argv[1] if len(sys.argv) > 1 else "traffic.pcap", "wb") as file:
        file.write(make(seed=1).bytes())
