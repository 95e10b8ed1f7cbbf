"""With slbp.shm_path the command line and php-fpm see one segment."""

from __future__ import annotations

import os
import pwd
import stat

import pytest

from tests.support import account as accounts


@pytest.fixture
def shm_path():
    """A place for the segment's file that every user may reach."""
    path = f"/dev/shm/slbp-test-{os.getpid()}"
    yield path
    if os.path.exists(path):
        os.unlink(path)


def test_the_command_line_sees_what_php_fpm_counted(start_pool, shm_path):
    pool = start_pool(ini={"slbp.shm_path": shm_path, "slbp.site": "shop"})
    pool.ask_many(7)

    assert pool.cli(do="peek")["remaining"] == 993
    assert pool.cli(do="check")["remaining"] == 992
    assert pool.used() == 8
    assert stat.S_IMODE(os.stat(shm_path).st_mode) == 0o600


def test_without_it_the_command_line_has_its_own(start_pool):
    pool = start_pool()
    pool.ask_many(7)

    assert pool.cli(do="peek")["remaining"] == 1000


def test_the_file_outlives_the_master(start_pool, shm_path):
    pool = start_pool(ini={"slbp.shm_path": shm_path})
    pool.ask_many(5)
    pool.fpm.restart()

    assert pool.used() == 5


def test_a_file_of_another_user_is_not_used(start_pool, shm_path):
    """Whoever may write the file could hand us anything, so php-fpm starts without it."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a file that belongs to somebody else")
    with open(shm_path, "wb") as file:
        file.truncate(64 << 20)
    os.chmod(shm_path, 0o600)
    os.chown(shm_path, pwd.getpwnam("nobody").pw_uid, -1)

    pool = start_pool(ini={"slbp.shm_path": shm_path})

    answer = pool.ask()
    assert answer["allowed"]
    assert answer["info"]["mode"] == "private"
    assert "belongs to uid" in pool.complaints()
    with open(shm_path, "rb") as file:
        assert not any(file.read(4096)), "something was written into a stranger's file"


def test_a_master_of_root_shares_with_its_pools_user(start_pool, shm_path):
    """Debian's arrangement: root starts php-fpm, the workers are www-data, and WP-CLI runs as www-data."""
    if os.geteuid() != 0:
        pytest.skip("needs root to start php-fpm as root")
    workers = accounts.unprivileged()
    pool = start_pool(
        ini={"slbp.shm_path": shm_path, "slbp.shm_owner": workers.name},
        pool={"user": workers.name, "group": workers.name},
        account=accounts.current(),
    )
    pool.ask_many(4)

    assert pool.cli(workers, do="peek")["remaining"] == 996
