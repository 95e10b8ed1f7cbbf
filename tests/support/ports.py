"""Loopback ports and socket paths."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

LOOPBACK = "127.0.0.1"
# sun_path of sockaddr_un holds 108 bytes with the closing NUL.
LONGEST_SOCKET_PATH = 107


def free_port() -> int:
    """A port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


def is_taken(port: int) -> bool:
    """Whether something already listens on `port` (or we may not have it, as with ports below 1024)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
    return False


def accepts(address) -> bool:
    """Whether a server accepts connections at `address`: a (host, port) pair or the path of a socket."""
    family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
    with socket.socket(family) as probe:
        probe.settimeout(1)
        try:
            probe.connect(address if isinstance(address, tuple) else str(address))
        except OSError:
            return False
    return True


def socket_folder(wanted: Path) -> Path:
    """`wanted`, or a short folder in its place when socket paths inside it would be too long for the kernel."""
    longest_name = "mariadb.sock"
    if len(str(wanted / longest_name)) <= LONGEST_SOCKET_PATH:
        return wanted
    return Path(tempfile.mkdtemp(prefix="slbp-"))
