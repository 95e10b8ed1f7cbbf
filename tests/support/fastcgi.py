"""A FastCGI client: one request to php-fpm without a web server between.

Records of the protocol: https://fastcgi-archives.github.io/FastCGI_Specification.html
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Optional

BEGIN_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT, STDERR = 1, 3, 4, 5, 6, 7
RESPONDER = 1
REQUEST_ID = 1


class Broken(ConnectionError):
    """The worker went away before it had answered."""


@dataclass(frozen=True)
class Response:
    status: int
    headers: Mapping[str, str]
    body: str
    errors: str


def request(
    fpm_socket: Path,
    script: Path,
    query: str = "",
    headers: Optional[Mapping[str, str]] = None,
    timeout: float = 10,
    uri: Optional[str] = None,
    method: str = "GET",
) -> Response:
    """Asks `script`, for `uri` where a web server would have rewritten it. Raises Broken when the worker dies, TimeoutError
    when it hangs."""
    params = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "REQUEST_METHOD": method,
        "REQUEST_URI": uri or f"/{script.name}?{query}",
        "SCRIPT_FILENAME": str(script),
        "SCRIPT_NAME": f"/{script.name}",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "QUERY_STRING": query,
        "REMOTE_ADDR": "127.0.0.1",
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in (headers or {}).items()},
    }
    body = b"".join(_pair(name, value) for name, value in params.items())
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(str(fpm_socket))
            connection.sendall(
                _record(BEGIN_REQUEST, struct.pack("!HB5x", RESPONDER, 0))
                + _record(PARAMS, body)
                + _record(PARAMS, b"")
                + _record(STDIN, b"")
            )
            return _read(connection)
        except (ConnectionResetError, BrokenPipeError) as error:
            raise Broken(str(error)) from error


def _record(kind: int, content: bytes) -> bytes:
    return struct.pack("!BBHHBx", 1, kind, REQUEST_ID, len(content), 0) + content


def _pair(name: str, value: str) -> bytes:
    encoded = (name.encode(), value.encode())
    lengths = b"".join(struct.pack("!B", len(part)) if len(part) < 128 else struct.pack("!L", len(part) | 1 << 31) for part in encoded)
    return lengths + b"".join(encoded)


def _read(connection: socket.socket) -> Response:
    streams = {STDOUT: b"", STDERR: b""}
    while True:
        _, kind, _, length, padding = struct.unpack("!BBHHBx", _exactly(connection, 8))
        content = _exactly(connection, length + padding)[:length]
        if kind == END_REQUEST:
            return _parse(streams[STDOUT], streams[STDERR])
        streams[kind] += content


def _exactly(connection: socket.socket, length: int) -> bytes:
    received = b""
    while len(received) < length:
        chunk = connection.recv(length - len(received))
        if not chunk:
            raise Broken("the connection ended in the middle of an answer")
        received += chunk
    return received


def _parse(output: bytes, errors: bytes) -> Response:
    head, _, body = output.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
    status = int(headers.get("Status", "200").split()[0])
    return Response(status, headers, body.decode(), errors.decode())
