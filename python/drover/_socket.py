"""A DEALER socket with the settings that drover needs, and what its monitor says of a failure."""

from __future__ import annotations

from typing import Any, Optional, Tuple

import zmq
from zmq.utils.monitor import parse_monitor_message

from ._config import Target
from .errors import AuthError, DroverError, Unreachable

_REFUSED = zmq.EVENT_HANDSHAKE_FAILED_AUTH
_OTHER_MECHANISM = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL


def connect(context: "zmq.Context[Any]", target: Target) -> Tuple[Any, Any]:
    """A connecting socket and its monitor. IMMEDIATE: nothing is queued for a peer that is not there."""
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.IMMEDIATE, 1)
    socket.setsockopt(zmq.IPV6, 1)
    socket.setsockopt(zmq.HANDSHAKE_IVL, 5000)
    socket.setsockopt(zmq.HEARTBEAT_IVL, 2000)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 6000)
    socket.setsockopt(zmq.RECONNECT_IVL, 100)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 2000)
    if target.server is not None:
        socket.curve_serverkey = target.server
        socket.curve_publickey = target.public
        socket.curve_secretkey = target.secret
    try:
        monitor = socket.get_monitor_socket(_REFUSED | _OTHER_MECHANISM)
        socket.connect(target.url)
    except zmq.ZMQError as cause:
        socket.close(linger=0)
        raise Unreachable(f"{target.url} is no address: {cause}") from None
    return socket, monitor


def failure(monitor: Optional[Any], target: Target, timeout_s: float) -> DroverError:
    """The error for a request without an answer, with the reason where the handshake told one."""
    seen = 0
    while monitor is not None and monitor.poll(0):
        seen |= int(parse_monitor_message(monitor.recv_multipart())["event"])
    if seen & _REFUSED:
        return AuthError(f"the coordinator at {target.url} does not know this key: "
                         "`drover key authorize` adds it")
    if seen & _OTHER_MECHANISM:
        need = "does not accept" if target.server is not None else "asks for"
        return AuthError(f"the coordinator at {target.url} {need} keys")
    return Unreachable(f"no coordinator answered at {target.url} within {timeout_s:g} s")
