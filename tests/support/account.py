"""Which user the services run as.

Started by an ordinary user, everything runs as that user. Started by root, everything runs as
www-data, because neither MariaDB nor php-fpm wants root; unless www-data cannot reach the
checkout (it lies below /root, say), and then root it is, with the switches that allow it.
"""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Union

UNPRIVILEGED = "www-data"


@dataclass(frozen=True)
class Account:
    name: str
    uid: int
    gid: int

    @property
    def is_root(self) -> bool:
        return self.uid == 0

    def switch(self) -> dict:
        """Arguments for subprocess that start a child as this account."""
        if os.geteuid() == self.uid:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path, mode: int = 0o750) -> Path:
        """Makes the folder `path`, belonging to this account."""
        path.mkdir(parents=True, exist_ok=True)
        os.chmod(path, mode)
        self.claim(path)
        return path

    def claim(self, file: Union[Path, int]) -> None:
        """Gives a path or an open file to this account, where we have the right to."""
        if os.geteuid() == 0:
            os.chown(file, self.uid, self.gid)


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _open_to_others(path: Path) -> bool:
    """Whether any user may read `path`, going by the permissions of every folder above it."""
    path = path.resolve()
    folders_open = all(parent.stat().st_mode & stat.S_IXOTH for parent in path.parents)
    return folders_open and bool(path.stat().st_mode & stat.S_IROTH)


def current() -> Account:
    """Whoever runs this."""
    return _account(pwd.getpwuid(os.geteuid()))


def unprivileged() -> Account:
    """The user that services of root run as. KeyError where the system has none."""
    return _account(pwd.getpwnam(UNPRIVILEGED))


def choose(*needed: Path) -> Account:
    """The account for services that must read each of the `needed` paths."""
    if not current().is_root:
        return current()
    try:
        candidate = unprivileged()
    except KeyError:
        return current()
    return candidate if all(_open_to_others(path) for path in needed) else current()
