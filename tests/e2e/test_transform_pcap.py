"""Captures to flows: the engine against the definition of every feature, over every kind of file.

Packets are drawn from a seed (DROVER_SEED) and written with struct (captures.py).
"""

from __future__ import annotations

import gzip
import json
import math
import os
import random
import re
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import captures
from captures import ACK, FIN, NS, RST, SYN, TCP, UDP, Feature, Frame, Packet

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("DROVER_BUILD", ROOT / "build"))
CLI = BUILD / "tests" / "unit" / "transform_cli"
SEED = int(os.environ.get("DROVER_SEED", "1"))
START = 1_700_000_000 * NS


def transform(path: Path, sql: str = "SELECT * FROM input", fails: bool = False,
              **options: object) -> tuple[list[dict[str, Feature]], dict[str, int], str]:
    stage = {"kind": "transform", "sql": sql, "pcap": options.pop("pcap", {}), **options}
    rejects = path.with_suffix(".rejects")
    done = subprocess.run([str(CLI), "--stage", json.dumps(stage), "--format", "ndjson", "--rejects", str(rejects),
                           str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode != 0) == fails, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return rows, {} if fails else json.loads(done.stderr), done.stderr if fails else rejects.read_text()


def ordered(rows: list[dict[str, Feature]]) -> list[dict[str, Feature]]:
    return sorted(rows, key=lambda r: (round(float(r["start_s"] or 0), 3), str(r["src_addr"]), str(r["src_port"]),
                                       str(r["dst_addr"]), str(r["dst_port"]), str(r["protocol"])))


def same(found: list[dict[str, Feature]], wanted: list[dict[str, Feature]]) -> None:
    assert len(found) == len(wanted)
    for ours, theirs in zip(ordered(found), ordered(wanted)):
        assert set(ours) == set(theirs)
        for name, want in theirs.items():
            have = ours[name]
            if isinstance(want, float) and isinstance(have, (int, float)):
                # Differences of large times, and of squares, lose digits.
                assert math.isclose(have, want, rel_tol=1e-6, abs_tol=2e-6), (name, have, want, theirs)
            else:
                assert have == want, (name, have, want, theirs)


def packets(rng: random.Random, n: int, unit_ns: int) -> list[Packet]:
    """Talk of a few hosts in both directions, in bursts with pauses of every length."""
    hosts4 = [f"10.0.0.{k}" for k in range(1, 5)] + ["192.168.255.254"]
    hosts6 = ["2001:db8::1", "fe80::ffff", "::1"]
    ns, out = START, []
    for _ in range(n):
        ns += rng.choice([0, 1000, rng.randrange(10**6), rng.randrange(10**9), rng.randrange(10**9) * rng.choice([1, 10, 300])])
        hosts = rng.choice([hosts4, hosts4, hosts6])
        src, dst = rng.sample(hosts, 2)
        protocol = rng.choice([TCP, TCP, TCP, UDP, captures.ICMP if hosts is hosts4 else captures.ICMP6])
        packet = Packet(ns // unit_ns * unit_ns, src, dst, protocol, payload=rng.choice([0, 0, 1, 100, 1400]))
        if protocol in (TCP, UDP):
            packet.sport, packet.dport = rng.choice([80, 5000, 65535]), rng.choice([80, 5000])
        if protocol == TCP:
            packet.flags = rng.choice([ACK, ACK, SYN, SYN | ACK, FIN | ACK, RST, ACK | 8, ACK | 32, 64, 128])
            packet.window, packet.options = rng.randrange(65536), rng.choice([0, 3, 10])
        out.append(packet)
    return out


Files = dict[str, tuple[int, Callable[[list[Packet]], bytes]]]


def frames(of: list[Packet], link: Callable[[bytes], bytes]) -> list[Frame]:
    return [(p.ns, link(p.ip())) for p in of]


FILES: Files = {
    "microseconds": (1000, lambda p: captures.pcap(frames(p, captures.ethernet))),
    "big-endian": (1000, lambda p: captures.pcap(frames(p, captures.ethernet), order=">")),
    "nanoseconds": (1, lambda p: captures.pcap(frames(p, captures.ethernet), nanoseconds=True)),
    "nanoseconds-big-endian": (1, lambda p: captures.pcap(frames(p, captures.ethernet), nanoseconds=True, order=">")),
    "vlan": (1000, lambda p: captures.pcap(frames(p, lambda ip: captures.ethernet(ip, vlans=2)))),
    "raw": (1000, lambda p: captures.pcap(frames(p, bytes), link=101)),
    "loopback": (1000, lambda p: captures.pcap(frames(p, lambda ip: struct.pack("<I", 2) + ip), link=0)),
    "cooked": (1000, lambda p: captures.pcap(frames(p, captures.cooked), link=113)),
    "cooked2": (1000, lambda p: captures.pcap(frames(p, captures.cooked2), link=276)),
    "snapped": (1000, lambda p: captures.pcap(frames(p, captures.ethernet), snap=94)),
    "gzip": (1000, lambda p: gzip.compress(captures.pcap(frames(p, captures.ethernet)))),
    "pcapng": (NS, lambda p: captures.pcapng(frames(p, captures.ethernet))),
    "pcapng-big-endian": (NS, lambda p: captures.pcapng(frames(p, captures.ethernet), order=">", resolution=6)),
}


@pytest.mark.parametrize("kind", FILES)
def test_every_feature(kind: str, tmp_path: Path) -> None:
    unit_ns, write = FILES[kind]
    path = tmp_path / "input.pcap"
    for number in range(3):
        seed = SEED * 100 + number
        print(f"seed {seed} (DROVER_SEED)")
        drawn = packets(random.Random(seed), 600, unit_ns)
        path.write_bytes(write(drawn))
        rows, counts, rejects = transform(path)
        same(rows, [captures.features(why, flow) for why, flow in captures.split_flows(drawn)])
        assert {str(r["end_reason"]) for r in rows} >= {"idle", "over"}
        assert rejects == "" and counts["rejects"] == 0 and counts["skipped"] == 0


def test_timeouts(tmp_path: Path) -> None:
    path = tmp_path / "input.pcap"
    drawn = packets(random.Random(SEED), 400, 1000)
    path.write_bytes(captures.pcap(frames(drawn, captures.ethernet)))
    rows, _, _ = transform(path, pcap={"idle_timeout_s": 3, "active_timeout_s": 20})
    same(rows, [captures.features(why, flow) for why, flow in captures.split_flows(drawn, 3, 20)])
    steady = [Packet(START + k * NS, "10.0.0.1", "10.0.0.2", UDP, 1, 2) for k in range(100)]
    path.write_bytes(captures.pcap(frames(steady, captures.ethernet)))
    rows, _, _ = transform(path, "SELECT packets, end_reason FROM input", pcap={"active_timeout_s": 20})
    assert [(r["packets"], r["end_reason"]) for r in rows] == [(21, "active")] * 4 + [(16, "capture")]


def test_sql_over_flows(tmp_path: Path) -> None:
    path = tmp_path / "input.pcap"
    drawn = packets(random.Random(SEED), 500, 1000)
    path.write_bytes(captures.pcap(frames(drawn, captures.ethernet)))
    rows, counts, _ = transform(path, "SELECT dst_port, count(*) AS n, sum(bytes) AS b FROM input WHERE protocol = 6 "
                                "GROUP BY dst_port ORDER BY dst_port")
    flows = [f for _, f in captures.split_flows(drawn) if f[0].protocol == TCP]
    assert rows == [{"dst_port": port, "n": sum(f[0].dport == port for f in flows),
                     "b": sum(p.bytes for f in flows for p in f if f[0].dport == port)}
                    for port in sorted({f[0].dport for f in flows})]
    assert counts["rows"] == len(captures.split_flows(drawn))
    assert len(transform(path, "SELECT bytes FROM input LIMIT 3")[0]) == 3
    _, _, error = transform(path, "SELECT scr_port FROM input", fails=True)
    assert 'did you mean "src_port"' in error


def test_fragments(tmp_path: Path) -> None:
    """Later fragments have no ports, and belong to the flow of their first one."""
    src, dst = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
    udp = struct.pack("!HHHH", 7, 9, 8 + 1472, 0)
    ip = [captures.ipv4(src, dst, UDP, udp + bytes(992), fragment=0x2000, number=77),
          captures.ipv4(src, dst, UDP, bytes(480), fragment=1000 // 8, number=77),
          captures.ipv4(src, dst, UDP, bytes(480), fragment=1000 // 8, number=78)]  # nobody knows its ports
    path = tmp_path / "input.pcap"
    path.write_bytes(captures.pcap([(START, captures.ethernet(p)) for p in ip]))
    rows, counts, _ = transform(path)
    assert [(r["src_port"], r["dst_port"], r["packets"], r["bytes"], r["fragments"], r["fwd_payload_bytes"])
            for r in rows] == [(7, 9, 2, 1020 + 500, 2, 992 + 480)]
    assert counts["skipped"] == 1


def test_packets_of_no_flow_are_counted(tmp_path: Path) -> None:
    good = captures.ethernet(Packet(0, "10.0.0.1", "10.0.0.2", TCP, 1, 2, SYN).ip())
    arp = bytes(12) + b"\x08\x06" + bytes(46)
    long = bytearray(good)
    long[16:18] = b"\xff\xff"  # says that it is longer than it is
    bad = [arp, good[:20], b"", bytes(long), good[:14] + b"\x41" + good[15:], good[:46] + b"\x10" + good[47:]]
    path = tmp_path / "input.pcap"
    path.write_bytes(captures.pcap([(START, frame) for frame in [good, *bad]]))
    rows, counts, _ = transform(path)
    assert len(rows) == 1 and counts["skipped"] == len(bad)


def test_captures_that_are_cut_or_damaged(tmp_path: Path) -> None:
    path = tmp_path / "input.pcap"
    drawn = [Packet(START + k, "10.0.0.1", "10.0.0.2", UDP, 1, 2) for k in range(3)]
    for whole in (captures.pcap(frames(drawn, captures.ethernet)), captures.pcapng(frames(drawn, captures.ethernet))):
        path.write_bytes(whole[:-5])
        rows, counts, rejects = transform(path, "SELECT packets FROM input")
        assert counts["rejects"] == 1 and rows == [{"packets": 2}]
        assert json.loads(rejects)["reason"] == "CUT_CAPTURE" and json.loads(rejects)["line"] == 3
        _, _, error = transform(path, fails=True, on_error="fail")
        assert "line 3: CUT_CAPTURE" in error
    path.write_bytes(captures.pcap([(START, bytes(300000))], snap=300000))
    assert re.search("more than 262144 bytes at byte 24", transform(path, fails=True)[2])
    path.write_bytes(b"id,amount\n1,2\n")
    assert "neither as pcap nor as pcapng" in transform(path, fails=True)[2]
    path.write_bytes(b"")
    assert "neither as pcap nor as pcapng" in transform(path, fails=True)[2]


def test_documented(tmp_path: Path) -> None:
    """Every column has its row in the documentation."""
    path = tmp_path / "input.pcap"
    path.write_bytes(captures.pcap([(START, captures.ethernet(Packet(0, "10.0.0.1", "10.0.0.2", UDP).ip()))]))
    text = (ROOT / "docs" / "TRANSFORM.md").read_text()
    shown = {name.replace("{fwd,bwd}", way).replace("{min,max,mean,std}", stat)
             for name in re.findall(r"`([a-z_{},]+)`", text) for way in ("fwd", "bwd") for stat in ("min", "max", "mean", "std")}
    assert set(transform(path)[0][0]) <= shown
