#!/usr/bin/env python3
"""Writes the C tables of letter case and of letters and digits, from Python's Unicode database.

usage: textcase-table.py OUTPUT. Simple mappings only (one character to one), as towlower and towupper
make them, because PostgreSQL's lower and upper do no more for the C.UTF-8 locale.
"""

import sys
import unicodedata

LAST = 0x110000


def pairs(change):
    """(from, to) of every character above ASCII whose mapping is one other character."""
    for code in range(0x80, LAST):
        to = change(chr(code))
        if len(to) == 1 and ord(to) != code:
            yield code, ord(to)


def alnum_ranges():
    """Runs of letters and decimal digits above ASCII."""
    first = None
    for code in range(0x80, LAST + 1):
        inside = code < LAST and unicodedata.category(chr(code))[0] in "LN"
        if inside and first is None:
            first = code
        elif not inside and first is not None:
            yield first, code - 1
            first = None


def table(name, rows):
    """One static array of pairs."""
    lines = [f"    {{0x{a:x}, 0x{b:x}}}," for a, b in rows]
    return f"static const struct textcase_pair {name}[] = {{\n" + "\n".join(lines) + "\n};\n"


def main():
    with open(sys.argv[1], "w", encoding="ascii") as out:
        out.write(table("textcase_lower", sorted(list(pairs(str.lower)) + [(0x130, 0x69)])))
        out.write(table("textcase_upper", pairs(str.upper)))
        out.write(table("textcase_alnum", alnum_ranges()))


main()
