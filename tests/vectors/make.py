#!/usr/bin/env python3
"""Writes the "hex" of every message in messages.json from its "message", by Python's msgpack.

    tests/vectors/make.py          rewrites messages.json
    tests/vectors/make.py --check  fails when a message and its bytes disagree
"""
import json
import pathlib
import sys

import msgpack

PATH = pathlib.Path(__file__).with_name("messages.json")


def plain(value):
    """JSON to what msgpack packs: {"bin": hex} becomes bytes."""
    if isinstance(value, dict):
        if set(value) == {"bin"}:
            return bytes.fromhex(value["bin"])
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def main():
    document = json.loads(PATH.read_text())
    wrong = []
    for row in document["messages"]:
        packed = msgpack.packb(plain(row["message"]), use_bin_type=True)
        if row.get("hex") != packed.hex():
            wrong.append(row["name"])
        row["hex"] = packed.hex()
        if msgpack.unpackb(packed, raw=False, strict_map_key=False) != plain(row["message"]):
            sys.exit(f"{row['name']}: does not come back")
    if "--check" in sys.argv[1:]:
        sys.exit("these differ from their bytes: " + ", ".join(wrong) if wrong else 0)
    rows = ",\n".join("    " + json.dumps(row) for row in document["messages"])
    comment = json.dumps(document["comment"])
    PATH.write_text('{\n  "comment": %s,\n  "messages": [\n%s\n  ]\n}\n' % (comment, rows))


if __name__ == "__main__":
    main()
