"""WordPress itself: Debian trixie's package, unpacked below the build folder and nowhere else.

Bookworm ships 6.1, which is too old, and the package is PHP and JavaScript only, so the newer one
works on any release. apt fetches and verifies it with a source list, state and cache of its own;
the machine's own lists are not touched. Later calls find the unpacked tree and return at once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from .process import StartError

SUITE = "trixie"
MIRROR = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# The package links to files of the others instead of shipping its own copies.
PACKAGES = (
    "wordpress",
    "wordpress-theme-twentytwentyfive",
    "libjs-cropper",
    "libjs-lodash",
    "libjs-underscore",
    "php-getid3",
)


def tree(build: Path) -> Path:
    """The unpacked WordPress below `build`, fetched on the first call."""
    unpacked = build / "wordpress"
    if not (unpacked / "wp-includes" / "version.php").exists():
        partial = build / "wordpress.partial"
        shutil.rmtree(partial, ignore_errors=True)
        _unpack(_download(partial / "apt"), partial / "root")
        _collect(partial / "root", partial / "tree")
        shutil.rmtree(unpacked, ignore_errors=True)
        (partial / "tree").rename(unpacked)
        shutil.rmtree(partial)
    return unpacked


def _download(folder: Path) -> list[Path]:
    for name in ("lists/partial", "cache/archives/partial", "debs"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {MIRROR} {SUITE} main\n")
    options = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State": folder,
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Acquire::Languages": "none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        "Acquire::Retries": "3",
        "APT::Sandbox::User": "",
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    print(f"Fetching WordPress from Debian {SUITE}", file=sys.stderr)
    for command in (["update"], ["download", *PACKAGES]):
        done = subprocess.run([*apt, *command], cwd=folder / "debs", capture_output=True, text=True)
        if done.returncode != 0:
            raise StartError(f"apt-get {command[0]} failed for Debian {SUITE}:\n{done.stderr}")
    return sorted((folder / "debs").glob("*.deb"))


def _unpack(packages: list[Path], root: Path) -> None:
    for package in packages:
        subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True)


def _collect(root: Path, target: Path) -> None:
    """Copies WordPress out of the unpacked packages with every link replaced by the file it names."""
    source = root / "usr" / "share" / "wordpress"
    outside = {".htaccess", "wp-config.php", "ca-bundle.crt"}  # Debian's own settings, below /etc
    shutil.copytree(source, target, symlinks=False, ignore=lambda _, names: outside & set(names))
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", target / "wp-includes/certificates/ca-bundle.crt")
