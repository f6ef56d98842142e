"""Writes a PEM file of certification authorities as a C source and its header.

Usage: ca-bundle.py BUNDLE.crt OUT.c OUT.h

Only the certificates are kept: comments and blank lines between them are dropped. The array ends
with a NUL that drover_ca_bundle_len does not count.
"""

import re
import sys
from pathlib import Path

HEADER = """\
/* ca_bundle.h: the certification authorities built into the programs, as PEM text. Generated. */
#ifndef DROVER_CA_BUNDLE_H
#define DROVER_CA_BUNDLE_H

#include <stddef.h>

extern const unsigned char drover_ca_bundle[]; /* PEM, and a NUL after it */
extern const size_t drover_ca_bundle_len;      /* bytes without the NUL */

#endif
"""

CERTIFICATE = re.compile(
    rb"-----BEGIN CERTIFICATE-----\r?\n[A-Za-z0-9+/=\r\n]+-----END CERTIFICATE-----"
)


def main(source: str, out_c: str, out_h: str) -> None:
    certificates = CERTIFICATE.findall(Path(source).read_bytes())
    if not certificates:
        sys.exit(f"{source}: no certificate in this file")
    pem = b"".join(c.replace(b"\r", b"") + b"\n" for c in certificates)
    lines = [
        ",".join(str(byte) for byte in pem[i : i + 64]) + ","
        for i in range(0, len(pem), 64)
    ]
    body = "\n".join(lines)
    Path(out_h).write_text(HEADER)
    Path(out_c).write_text(
        '#include "ca_bundle.h"\n\n'
        f"const unsigned char drover_ca_bundle[] = {{\n{body}\n0}};\n"
        f"const size_t drover_ca_bundle_len = {len(pem)};\n"
    )


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
