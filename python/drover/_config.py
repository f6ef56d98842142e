"""Where the coordinator is and which key to show it.

Arguments come before the environment (DROVER_URL, DROVER_KEY_FILE, DROVER_SERVER_KEY_FILE), and that
before the configuration file (DROVER_CONFIG, else drover/client.conf in XDG_CONFIG_HOME or ~/.config): lines of
``url = ...``, ``key_file = ...``, ``server_key_file = ...``.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional, Tuple

from .errors import AuthError, DroverError, InvalidArgument

DEFAULT_URL = "tcp://127.0.0.1:7700"
_KEYS = ("url", "key_file", "server_key_file")
_ADDRESS = re.compile(r"^tcp://[^\s/]+:(?P<port>[0-9]{1,5})$|^(ipc|inproc)://.")
_Z85_KEY = re.compile(r"^[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}$")


@dataclass(frozen=True)
class Target:
    """The address, and for CURVE the client's key pair and the coordinator's public key (Z85)."""

    url: str
    public: Optional[bytes] = None
    secret: Optional[bytes] = None
    server: Optional[bytes] = None


def _read_file(path: Path) -> Dict[str, str]:
    values: Dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        key, separator, value = line.partition("=")
        if not separator or key.strip() not in _KEYS:
            raise DroverError(f"{path}:{number}: expected one of {', '.join(_KEYS)} = value")
        values[key.strip()] = value.strip().strip('"')
    return values


def _file_values() -> Dict[str, str]:
    named = os.environ.get("DROVER_CONFIG")
    base = os.environ.get("XDG_CONFIG_HOME")
    path = Path(named) if named else (Path(base) if base else Path.home() / ".config") / "drover" / "client.conf"
    if named or path.is_file():
        return _read_file(path)
    return {}


def read_keys(path: str) -> Dict[str, bytes]:
    """The ``public = KEY`` and ``secret = KEY`` lines (Z85) of a key file."""
    keys: Dict[str, bytes] = {}
    try:
        text = Path(path).expanduser().read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as cause:
        raise AuthError(f"cannot read the key file {path}: {cause}") from None
    for line in text.splitlines():
        name, separator, value = (part.strip() for part in line.partition("="))
        if separator and name in ("public", "secret") and _Z85_KEY.match(value):
            keys[name] = value.encode("ascii")
    return keys


def _pair(path: str) -> Tuple[bytes, bytes]:
    keys = read_keys(path)
    if "public" not in keys or "secret" not in keys:
        raise AuthError(f"{path} holds no key pair: make one with `drover key gen`")
    return keys["public"], keys["secret"]


def _public(text: str) -> bytes:
    """The coordinator's public key: the key itself, or the file that holds it."""
    if _Z85_KEY.match(text) and not os.path.exists(text):
        return text.encode("ascii")
    keys = read_keys(text)
    if "public" not in keys:
        raise AuthError(f"{text} holds no public key")
    return keys["public"]


def _address(text: str) -> str:
    match = _ADDRESS.match(text)
    if not match or not 0 < int(match["port"] or 1) < 65536:
        raise InvalidArgument(f"{text!r} is no address such as {DEFAULT_URL}")
    return text


def find_target(url: Optional[str], key_file: Optional[str], server_key_file: Optional[str]) -> Target:
    """The target from arguments, environment and configuration file."""
    from_file = _file_values()

    def pick(name: str, given: Optional[str]) -> Optional[str]:
        return given or os.environ.get(f"DROVER_{name.upper()}") or from_file.get(name)

    address = _address(pick("url", url) or DEFAULT_URL)
    own, server = pick("key_file", key_file), pick("server_key_file", server_key_file)
    if not own and not server:
        return Target(address)
    if not own or not server:
        raise AuthError("a key file and a server key file go together: one of them is missing")
    public, secret = _pair(own)
    return Target(address, public, secret, _public(server))
