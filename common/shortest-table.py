#!/usr/bin/env python3
"""Writes the C table of powers of ten for common/shortest.c.

usage: shortest-table.py OUTPUT. Entry k stands for 10^(k + FIRST): its 128 highest bits, rounded down, plus 1.
"""

import sys

FIRST, LAST = -292, 324


def bits(k):
    """10^k as an integer of 128 bits, the highest of which is set."""
    if k >= 0:
        n = 10 ** k
        shift = n.bit_length() - 128
        return (n >> shift if shift > 0 else n << -shift) + 1
    n = 10 ** -k
    shift = n.bit_length() + 127
    g = (1 << shift) // n
    return (g if g < 1 << 128 else g >> 1) + 1


with open(sys.argv[1], "w", encoding="ascii") as out:
    out.write(f"enum {{ POWERS_FIRST = {FIRST}, POWERS_LAST = {LAST} }};\n")
    out.write("static const uint64_t powers_of_ten[][2] = {\n")
    for k in range(FIRST, LAST + 1):
        g = bits(k)
        assert 1 << 127 <= g < 1 << 128
        out.write(f"    {{0x{g >> 64:016x}, 0x{g & (1 << 64) - 1:016x}}},\n")
    out.write("};\n")
