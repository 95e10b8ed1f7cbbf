"""Every stylesheet and script of WordPress through the minifiers."""

from __future__ import annotations

import os
import subprocess

from tests.support import wordpress_release
from tests.support.stack import BUILD, ROOT


def test_wordpress_own_files_keep_their_meaning():
    # Built by `make test-rust` already.
    command = ["cargo", "test", "--locked", "--no-default-features", "--test", "assets", "--", "--ignored", "corpus", "--nocapture"]
    environment = {**os.environ, "SLBP_CORPUS": str(wordpress_release.tree(BUILD))}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout, done.stdout
