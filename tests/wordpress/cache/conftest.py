"""A second site, whose object cache is on: php-fpm's memory alone, unless a test asks for more."""

from __future__ import annotations

import shutil

import pytest

from tests.support import ports
from tests.support.extension import EXTENSION
from tests.support.stack import BUILD, Stack
from tests.wordpress.cache.cached_site import CachedSite


@pytest.fixture(scope="session")
def running_cached_site():
    state = BUILD / "tests" / "wordpress-cache"
    shutil.rmtree(state, ignore_errors=True)
    with Stack(state, ports.free_port(), EXTENSION, workers=4, object_cache=True) as stack:
        yield CachedSite(stack)


@pytest.fixture
def cached(running_cached_site):
    """As installed: our drop-in, an empty cache, no server, memory that only php-fpm's workers share."""
    running_cached_site.reset()
    yield running_cached_site
    running_cached_site.release()


@pytest.fixture
def shared_with_cli(cached):
    cached.configure(ini={"slbp.shm_path": cached.segment})
    return cached
