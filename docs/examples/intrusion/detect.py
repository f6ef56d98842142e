"""An intrusion detector: packets to flows, an anomaly score for each, and what kind of attack the odd ones
are. Everything after submit() runs on the fleet.

    python3 detect.py traffic.pcap anomaly.onnx attack.onnx
"""

from __future__ import annotations

import sys
from typing import Any, List

from drover import Client, Pipeline, score, transform

FEATURES = ["duration_s", "packets", "bytes", "fwd_packets", "bwd_packets", "fwd_payload_bytes", "bwd_payload_bytes",
            "len_mean_bytes", "len_std_bytes", "iat_mean_s", "syn_count", "ack_count", "rst_count", "psh_count",
            "down_up_ratio"]
"""Columns of a flow (docs/TRANSFORM.md) that both models look at, in this order."""

KINDS = ["normal", "port scan", "flood", "leak"]
"""What the classes of the attack classifier mean."""

WHO = ["src_addr", "dst_addr", "dst_port", "start_s"]


def flows(capture: Any) -> Pipeline:
    """Packets to flows, with what the models want as numbers."""
    numbers = ", ".join(f"{name}::double precision AS {name}" for name in FEATURES)
    return transform(capture, f"SELECT {', '.join(WHO)}, {numbers} FROM input", format="pcap")


def detector(capture: Any, anomaly: Any, attack: Any, threshold: float = 0.0) -> Pipeline:
    """Score, keep what is odd, score again: the second model sees few rows. ``anomaly``: an isolation forest,
    whose ``scores`` are negative for outliers; ``attack``: a classifier of KINDS by number. Files or bytes."""
    kinds = " ".join(f"WHEN {number} THEN '{name}'" for number, name in enumerate(KINDS))
    return (flows(capture)
            | score(anomaly, inputs={"X": FEATURES}, outputs=["scores"], keep=WHO + FEATURES)
            | transform(sql=f"SELECT * FROM input WHERE scores < {threshold}")
            | score(attack, inputs={"X": FEATURES}, outputs=["label"], keep=WHO + ["scores"])
            | transform(sql=f"""SELECT src_addr, dst_addr, dst_port, to_timestamp(start_s) AS at, scores AS anomaly,
                                       CASE label {kinds} END AS attack
                                  FROM input WHERE label <> 0"""))


def main(arguments: List[str]) -> None:
    if len(arguments) != 3:
        sys.exit("usage: detect.py CAPTURE ANOMALY_MODEL ATTACK_MODEL")
    with Client() as fleet:
        job = fleet.submit(detector(*arguments))  # sink="main", table="alarms" puts them into PostgreSQL
        for row in job.results():
            print(row["at"], row["attack"], row["src_addr"], "->", f'{row["dst_addr"]}:{row["dst_port"]}',
                  f'{row["anomaly"]:.3f}')


if __name__ == "__main__":
    main(sys.argv[1:])
