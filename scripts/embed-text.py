"""Writes a text file as a C source and its header.

Usage: embed-text.py FILE NAME OUT.c OUT.h

The array drover_NAME ends with a NUL that drover_NAME_len does not count.
"""

import sys
from pathlib import Path


def main(source: str, name: str, out_c: str, out_h: str) -> None:
    text = Path(source).read_bytes()
    lines = [",".join(str(byte) for byte in text[i : i + 64]) + "," for i in range(0, len(text), 64)]
    body = "\n".join(lines)
    header = Path(out_h).name
    guard = "DROVER_" + header.upper().replace(".", "_")
    Path(out_h).write_text(
        f"/* {header}: {Path(source).name}, built into the program. Generated. */\n"
        f"#ifndef {guard}\n#define {guard}\n\n#include <stddef.h>\n\n"
        f"extern const char drover_{name}[]; /* and a NUL after it */\n"
        f"extern const size_t drover_{name}_len;\n\n#endif\n"
    )
    Path(out_c).write_text(
        f'#include "{header}"\n\nconst char drover_{name}[] = {{\n{body}\n0}};\n'
        f"const size_t drover_{name}_len = {len(text)};\n"
    )


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
