"""The site with a plugin that enqueues what real ones do, and a page that shows it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def dressed(site, set_option):
    """The site with the demo's stylesheets, scripts and images; `optimize` switches the options on."""
    content = site.wordpress.content
    demo = content / "plugins" / "demo-assets"
    shutil.rmtree(demo, ignore_errors=True)
    shutil.copytree(HERE / "demo", demo)
    shutil.rmtree(content / "uploads" / "slbp-cache", ignore_errors=True)
    loader = content / "mu-plugins" / "demo-assets.php"
    loader.parent.mkdir(exist_ok=True)
    loader.write_text("<?php require WP_PLUGIN_DIR . '/demo-assets/demo.php';")
    for path in (loader.parent, loader, demo, *demo.rglob("*")):
        site.account.claim(path)

    def optimize(**config: object) -> None:
        set_option("slbp_asset_config", config)

    site.optimize = optimize
    yield site
    loader.unlink()
    shutil.rmtree(demo)
