"""Captures for tests: packets to bytes, bytes to files, and flows by their definition.

Nothing here is shared with the engine: the files are written with struct, and the features of a flow are
computed from the list of its packets.
"""

from __future__ import annotations

import ipaddress
import statistics
import struct
from collections.abc import Sequence
from dataclasses import dataclass

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))
ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58
IDLE_S, ACTIVE_S, OVER_S, PAUSE_S = 120, 1800, 5, 5
NS = 1_000_000_000

Feature = int | float | str | None


@dataclass
class Packet:
    ns: int
    src: str
    dst: str
    protocol: int
    sport: int = 0
    dport: int = 0
    flags: int = 0
    window: int = 0
    payload: int = 0
    options: int = 0  # words of TCP options

    @property
    def version(self) -> int:
        return ipaddress.ip_address(self.src).version

    @property
    def header_bytes(self) -> int:
        ip = 20 if self.version == 4 else 40
        return ip + (20 + 4 * self.options if self.protocol == TCP else 8)

    @property
    def bytes(self) -> int:
        return self.header_bytes + self.payload

    def transport(self) -> bytes:
        if self.protocol == TCP:
            return struct.pack("!HHIIBBHHH", self.sport, self.dport, 1, 2, (5 + self.options) << 4, self.flags,
                               self.window, 0, 0) + bytes(4 * self.options)
        if self.protocol == UDP:
            return struct.pack("!HHHH", self.sport, self.dport, 8 + self.payload, 0)
        return bytes([8, 0, 0, 0, 0, 1, 0, 1])

    def ip(self) -> bytes:
        body = self.transport() + bytes(self.payload)
        src, dst = ipaddress.ip_address(self.src).packed, ipaddress.ip_address(self.dst).packed
        if self.version == 4:
            return ipv4(src, dst, self.protocol, body)
        return struct.pack("!IHBB", 6 << 28, len(body), self.protocol, 64) + src + dst + body


def ipv4(src: bytes, dst: bytes, protocol: int, body: bytes, fragment: int = 0, number: int = 0) -> bytes:
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), number, fragment, 64, protocol, 0) + src + dst + body


# ---- links ----

def ethernet(ip: bytes, vlans: int = 0) -> bytes:
    kind = 0x0800 if ip[0] >> 4 == 4 else 0x86DD
    tags = b"".join(struct.pack("!HH", 0x8100, 5 + n) for n in range(vlans))
    frame = bytes(12) + tags + struct.pack("!H", kind) + ip
    return frame.ljust(60, b"\0")  # the padding of a short frame is none of IP


def cooked(ip: bytes) -> bytes:
    return struct.pack("!HHH8sH", 0, 1, 6, bytes(8), 0x0800 if ip[0] >> 4 == 4 else 0x86DD) + ip


def cooked2(ip: bytes) -> bytes:
    return struct.pack("!HHIHBB8s", 0x0800 if ip[0] >> 4 == 4 else 0x86DD, 0, 1, 1, 0, 6, bytes(8)) + ip


# ---- files ----

Frame = tuple[int, bytes]  # nanoseconds, bytes


def pcap(frames: Sequence[Frame], link: int = 1, order: str = "<", nanoseconds: bool = False, snap: int = 65535) -> bytes:
    magic, unit = (0xA1B23C4D, 1) if nanoseconds else (0xA1B2C3D4, 1000)
    out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snap, link)]
    for ns, frame in frames:
        kept = frame[:snap]
        out.append(struct.pack(order + "IIII", ns // NS, ns % NS // unit, len(kept), len(frame)) + kept)
    return b"".join(out)


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + size + body + size


def pcapng(frames: Sequence[Frame], link: int = 1, order: str = "<", resolution: int = 9) -> bytes:
    """With a second interface that has a clock of 2^-20 s, which every third packet comes from, and blocks
    that nobody needs."""
    section = block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
    fine = struct.pack(order + "HHI", link, 0, 0) + struct.pack(order + "HHB3x", 9, 1, resolution) + bytes(4)
    binary = struct.pack(order + "HHI", link, 0, 0) + struct.pack(order + "HHB3x", 9, 1, 0x80 | 20) + bytes(4)
    out = [section, block(order, 1, fine), block(order, 1, binary), block(order, 4, bytes(4000))]
    for number, (ns, frame) in enumerate(frames):
        interface = int(number % 3 == 2)
        ticks = (ns << 20) // NS if interface else ns * 10 ** resolution // NS
        out.append(block(order, 6, struct.pack(order + "IIIII", interface, ticks >> 32, ticks & 0xFFFFFFFF,
                                               len(frame), len(frame)) + frame))
        if number % 5 == 0:
            out.append(block(order, 5, bytes(16)))
    return b"".join(out)


# ---- flows by their definition ----

def split_flows(packets: Sequence[Packet], idle_s: int = IDLE_S, active_s: int = ACTIVE_S) -> list[tuple[str, list[Packet]]]:
    """Lists of packets with why each ended; times are in order."""
    done: list[tuple[str, list[Packet]]] = []
    flows: dict[object, list[Packet]] = {}

    def over(flow: list[Packet]) -> bool:
        ends = {(p.src, p.sport) for p in flow if p.flags & FIN}
        return any(p.flags & RST for p in flow) or len(ends) == 2

    def finish(key: object, why: str) -> None:
        done.append((why, flows.pop(key)))

    for packet in packets:
        for key, flow in list(flows.items()):
            quiet = packet.ns - flow[-1].ns
            if over(flow) and quiet > min(idle_s, OVER_S) * NS:
                finish(key, "over")
            elif not over(flow) and quiet > idle_s * NS:
                finish(key, "idle")
        key = (frozenset([(packet.src, packet.sport), (packet.dst, packet.dport)]), packet.protocol, packet.version)
        if key in flows:
            if packet.ns - flows[key][0].ns > active_s * NS:
                finish(key, "active")
            elif over(flows[key]) and packet.flags & (SYN | ACK) == SYN:
                finish(key, "over")
        flows.setdefault(key, []).append(packet)
    for key in list(flows):
        finish(key, "over" if over(flows[key]) else "capture")
    return done


def series(name: str, unit: str, values: Sequence[float]) -> dict[str, Feature]:
    return {f"{name}_min{unit}": min(values, default=0), f"{name}_max{unit}": max(values, default=0),
            f"{name}_mean{unit}": statistics.fmean(values) if values else 0,
            f"{name}_std{unit}": statistics.stdev(values) if len(values) > 1 else 0}


def gaps(packets: Sequence[Packet]) -> list[float]:
    return [(b.ns - a.ns) / NS for a, b in zip(packets, packets[1:])]


def side(name: str, packets: Sequence[Packet], duration: float) -> dict[str, Feature]:
    total = sum(p.bytes for p in packets)
    return {
        f"{name}_packets": len(packets), f"{name}_bytes": total,
        f"{name}_header_bytes": sum(p.header_bytes for p in packets),
        f"{name}_header_min_bytes": min((p.header_bytes for p in packets), default=0),
        f"{name}_payload_bytes": sum(p.payload for p in packets),
        f"{name}_data_packets": sum(p.payload > 0 for p in packets),
        f"{name}_init_window_bytes": packets[0].window if packets and packets[0].protocol == TCP else None,
        f"{name}_psh_count": sum(bool(p.flags & PSH) for p in packets),
        f"{name}_urg_count": sum(bool(p.flags & URG) for p in packets),
        f"{name}_packets_per_s": len(packets) / duration if duration else 0,
        f"{name}_bytes_per_s": total / duration if duration else 0,
        **series(f"{name}_len", "_bytes", [p.bytes for p in packets]),
        f"{name}_iat_total_s": sum(gaps(packets)),
        **series(f"{name}_iat", "_s", gaps(packets))}


def features(why: str, packets: Sequence[Packet]) -> dict[str, Feature]:
    first, last = packets[0], packets[-1]
    forward = [p for p in packets if (p.src, p.sport) == (first.src, first.sport)]
    backward = [p for p in packets if (p.src, p.sport) != (first.src, first.sport)]
    duration = (last.ns - first.ns) / NS
    total = sum(p.bytes for p in packets)
    periods, begin = [], first.ns
    for a, b in zip(packets, packets[1:]):
        if b.ns - a.ns > PAUSE_S * NS:
            periods.append((a.ns - begin) / NS)
            begin = b.ns
    periods.append((last.ns - begin) / NS)
    return {
        "start_s": first.ns / NS, "end_s": last.ns / NS, "duration_s": duration, "end_reason": why,
        "src_addr": first.src, "src_port": first.sport, "dst_addr": first.dst, "dst_port": first.dport,
        "ip_version": first.version, "protocol": first.protocol, "packets": len(packets), "bytes": total,
        "packets_per_s": len(packets) / duration if duration else 0,
        "bytes_per_s": total / duration if duration else 0,
        "down_up_ratio": len(backward) / len(forward),
        **series("len", "_bytes", [p.bytes for p in packets]), **series("iat", "_s", gaps(packets)),
        **series("active", "_s", periods), **series("idle", "_s", [g for g in gaps(packets) if g > PAUSE_S]),
        **{f"{name}_count": sum(bool(p.flags & bit) for p in packets)
           for name, bit in (("fin", FIN), ("syn", SYN), ("rst", RST), ("psh", PSH), ("ack", ACK), ("urg", URG),
                             ("ece", ECE), ("cwr", CWR))},
        "fragments": 0, **side("fwd", forward, duration), **side("bwd", backward, duration)}
