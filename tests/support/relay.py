"""A TCP relay in front of a server, whose link can be cut the way networks cut it: nothing arrives any more."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

from .ports import LOOPBACK


class Relay:
    """Listens on a free loopback port and passes everything on to a unix socket."""

    def __init__(self, target: Path):
        self._target = str(target)
        self._open = threading.Event()
        self._open.set()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """From now on nothing passes, and nobody is told."""
        self._open.clear()

    def mend(self) -> None:
        """What waited passes, and so does everything new."""
        self._open.set()

    def close(self) -> None:
        self.mend()
        for each in [self._listener, *self._sockets]:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
            self._sockets += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self._open.wait()
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass
