"""One WordPress site: its files, wp-config.php, installation and administrator."""

from __future__ import annotations

import json
import secrets
import shutil
import string
from pathlib import Path
from typing import Mapping

from . import php, wordpress_release
from .account import Account
from .mariadb import MariaDB

HERE = Path(__file__).parent
PLUGIN_FOLDER = "slbp"
SALTS = tuple(f"{kind}_{what}" for what in ("KEY", "SALT") for kind in ("AUTH", "SECURE_AUTH", "LOGGED_IN", "NONCE"))


class WordPress:
    def __init__(self, state: Path, url: str, plugin: Path, account: Account):
        self.root = state / "www"
        self.url = url
        self.plugin = plugin
        self.account = account
        self.user = "admin"
        self._secrets_file = state / "secrets.json"
        self._secrets = self._load_secrets()

    @property
    def password(self) -> str:
        return self._secrets["password"]

    @property
    def content(self) -> Path:
        return self.root / "wp-content"

    def install(
        self,
        build: Path,
        database: MariaDB,
        configuration: php.Configuration,
        constants: Mapping[str, object],
        options: Mapping[str, object],
        object_cache: bool,
    ) -> None:
        """Brings files, database, site and plugin into place; quick when they are."""
        self._lay_files(wordpress_release.tree(build))
        database.create_database("wordpress", "wordpress", self._secrets["database"])
        self.write_config(database, constants)
        setup = {
            "root": str(self.root),
            "url": self.url,
            "title": "SkyLearn Billing",
            "user": self.user,
            "password": self.password,
            "email": "admin@example.com",
            "plugin": f"{PLUGIN_FOLDER}/slbp.php",
            "options": dict(options),
            "object_cache": object_cache,
        }
        configuration.run(self.account, HERE / "wp" / "install.php", input=json.dumps(setup))

    def evaluate(self, code: str, configuration: php.Configuration) -> str:
        """Runs PHP inside this WordPress, on the command line; answers what it prints."""
        load = f"$_SERVER['HTTP_HOST'] = '{self.url.removeprefix('http://')}'; require '{self.root}/wp-load.php';"
        return configuration.run(self.account, "-r", load + code).stdout

    def _lay_files(self, release: Path) -> None:
        if not (self.root / "wp-load.php").exists():
            shutil.rmtree(self.root, ignore_errors=True)
            shutil.copytree(release, self.root)
            # As on a host whose site updates and restores itself.
            for path in self.content.rglob("*"):
                self.account.claim(path)
        for folder in (self.content, self.content / "uploads", self.content / "plugins"):
            self.account.own(folder, 0o755)
        link = self.content / "plugins" / PLUGIN_FOLDER
        if link.resolve() != self.plugin.resolve():
            link.unlink(missing_ok=True)
            link.symlink_to(self.plugin.resolve())

    def write_config(self, database: MariaDB, constants: Mapping[str, object]) -> None:
        """wp-config.php with these constants besides the usual ones; the next request obeys it."""
        defined = {
            "DB_NAME": "wordpress",
            "DB_USER": "wordpress",
            "DB_PASSWORD": self._secrets["database"],
            "DB_HOST": f"localhost:{database.socket}",
            "DB_CHARSET": "utf8mb4",
            "WP_HOME": self.url,
            "WP_SITEURL": self.url,
            "WP_DEBUG": True,
            "WP_DEBUG_DISPLAY": False,
            "WP_ENVIRONMENT_TYPE": "local",
            "WP_HTTP_BLOCK_EXTERNAL": True,
            "WP_ACCESSIBLE_HOSTS": "127.0.0.1,localhost",
            "AUTOMATIC_UPDATER_DISABLED": True,
            **{name: self._secrets[name] for name in SALTS},
            **constants,
        }
        lines = "".join(f"define({_literal(name)}, {_literal(value)});\n" for name, value in defined.items())
        config = self.root / "wp-config.php"
        config.touch()
        config.chmod(0o600)
        self.account.claim(config)
        config.write_text(f"<?php\n{lines}$table_prefix = 'wp_';\nrequire __DIR__ . '/wp-settings.php';\n")

    def _load_secrets(self) -> dict[str, str]:
        if not self._secrets_file.exists():
            made = {"password": _password(16), "database": _password(24), **{name: _password(64) for name in SALTS}}
            self._secrets_file.touch(0o600)
            self._secrets_file.write_text(json.dumps(made, indent=1))
        return json.loads(self._secrets_file.read_text())


def _password(length: int) -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(length))


def _literal(value: object) -> str:
    """`value` as a PHP literal."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"
