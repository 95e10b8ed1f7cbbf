"""PHP sessions behind php-fpm: every store, two masters on one store, killed workers, servers that go and come back."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path

import pytest

from tests.support import account as accounts
from tests.support import fastcgi
from tests.support.extension import EXTENSION
from tests.support.mariadb import MariaDB
from tests.support.memcached import Memcached
from tests.support.ports import free_port
from tests.support.redis import Redis

SCRIPT = Path(__file__).parent / "scripts" / "sessions.php"
PROMISES = (Path(__file__).parents[1] / "phpt" / "session" / "native.phpt").read_text().split("--EXPECT--\n")[1]


class Servers:
    """Redis that keeps what it has, Memcached and MariaDB, started when they are asked for."""

    def __init__(self):
        # Sockets have short names only.
        self.folder = Path(tempfile.mkdtemp(prefix="slbp-sess-"))
        self.folder.chmod(0o755)
        self.account = accounts.choose(EXTENSION, SCRIPT)
        self.running = {}

    def __getitem__(self, name):
        if name not in self.running:
            server = getattr(self, f"_{name}")()
            server.start()
            self.running[name] = server
        return self.running[name]

    def path(self, name: str) -> str:
        """The session.save_path that leads to it."""
        server = self[name]
        if name == "database":
            server.create_database("shop", "shop", "word")
            return f"mysql://shop:word@localhost/shop?socket={server.socket}&read_timeout=1"
        return f"{name}://127.0.0.1:{server.port}"

    def _redis(self):
        return Redis(free_port(), self.folder / "redis", self.folder / "redis.log", self.account, {"appendonly": "yes"})

    def _memcached(self):
        return Memcached(free_port(), self.folder / "memcached.log", self.account)

    def _database(self):
        return MariaDB(self.account.own(self.folder / "db"), self.account.own(self.folder / "run") / "db.sock", self.folder / "db.log", self.account)

    def stop(self):
        for server in self.running.values():
            server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def servers():
    started = Servers()
    yield started
    started.stop()


def ini(save_path: str, **more) -> dict:
    return {"session.save_handler": "slbp", "session.save_path": save_path, "slbp.signing_key": "a key of the site", **more}


def promises(pool, native: str) -> str:
    response = fastcgi.request(pool.fpm.socket, SCRIPT, f"do=promises&native={native}", timeout=60)
    body = response.body if isinstance(response.body, str) else response.body.decode()
    return body + str(response.errors or "")


@pytest.mark.parametrize("store", ["redis", "memcached", "database"])
def test_every_store_keeps_phps_promises(servers, start_pool, store):
    pool = start_pool(workers=1, ini=ini(servers.path(store)))
    assert promises(pool, "1") == PROMISES
    assert promises(pool, "0") == PROMISES


def test_two_masters_share_sessions_and_one_may_go(servers, start_pool):
    one, other = (start_pool(workers=2, ini=ini(servers.path("redis"))) for _ in range(2))
    sid = secrets.token_hex(16)
    for turn in range(6):
        answer = (one, other)[turn % 2].call(SCRIPT, do="count", sid=sid)
        assert answer["saved"] and answer["n"] == turn, answer
    one.fpm.stop()
    assert other.call(SCRIPT, do="count", sid=sid)["n"] == 6


@pytest.mark.parametrize("store", ["shm", "redis", "memcached", "database"])
def test_the_lock_of_a_killed_worker_ends(servers, start_pool, tmp_path, store):
    pool = start_pool(workers=3, ini=ini("shm:" if store == "shm" else servers.path(store), **{"slbp.session_lock_ttl": 2}))
    sid, mark = secrets.token_hex(16), servers.folder / f"mark-{store}"
    pool.call(SCRIPT, do="count", sid=sid)
    mark.touch()
    mark.chmod(0o666)

    def hold():
        try:
            pool.call(SCRIPT, do="hold", sid=sid, mark=str(mark))
        except (fastcgi.Broken, AssertionError, OSError):
            pass

    holder = threading.Thread(target=hold)
    holder.start()
    deadline = time.monotonic() + 20
    while not mark.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(int(mark.read_text()), signal.SIGKILL)
    holder.join()

    answer = pool.call(SCRIPT, do="count", sid=sid)
    assert answer["saved"] and answer["n"] == 1, answer


def wait_for(pool, sid: str) -> dict:
    """The first request of which the session is saved again."""
    deadline = time.monotonic() + 30
    while True:
        answer = pool.call(SCRIPT, do="count", sid=sid)
        if answer["saved"] or time.monotonic() > deadline:
            return answer
        time.sleep(0.1)


@pytest.mark.parametrize("store", ["redis", "memcached", "database"])
@pytest.mark.parametrize("trouble", ["paused", "stopped"])
def test_requests_go_on_without_the_store(servers, start_pool, store, trouble):
    pool = start_pool(workers=2, ini=ini(servers.path(store)))
    sid, server = secrets.token_hex(16), servers[store]
    for expected in range(3):
        assert pool.call(SCRIPT, do="count", sid=sid)["n"] == expected
    if trouble == "paused":
        os.kill(server.pid, signal.SIGSTOP)
    else:
        server.stop()
    try:
        for _ in range(4):
            answer = pool.call(SCRIPT, do="count", sid=sid)
            assert not answer["started"] and answer["warnings"], answer
    finally:
        if trouble == "paused":
            os.kill(server.pid, signal.SIGCONT)
        else:
            server.start()
    began = time.monotonic()
    answer = wait_for(pool, sid)
    # The locks of requests that were given up would last for 30 s.
    assert time.monotonic() - began < 20
    # Memcached forgets when it is stopped; the others have what was saved, and nothing was saved meanwhile.
    assert answer["saved"] and answer["n"] == (0 if (store, trouble) == ("memcached", "stopped") else 3), answer


def test_a_chain_saves_through_every_outage_and_no_old_copy_wins(servers, start_pool):
    path = " | ".join(servers.path(name) for name in ("redis", "memcached", "database"))
    pool = start_pool(workers=3, ini=ini(path, **{"slbp.session_lock_ttl": 3}))
    over, failures, counts = threading.Event(), [], {}

    def visit(sid: str) -> None:
        expected = 0
        while not over.is_set():
            answer = pool.call(SCRIPT, do="count", sid=sid)
            # A write whose answer was lost may have been done: the count is one ahead then, and never behind.
            if answer["started"] and answer["n"] < expected:
                failures.append((sid, expected, answer))
                return
            if answer["saved"]:
                expected = answer["n"] + 1
            counts[sid] = expected

    visitors = [threading.Thread(target=visit, args=(secrets.token_hex(16),)) for _ in range(2)]
    for visitor in visitors:
        visitor.start()

    def pass_some(times: int = 10) -> None:
        start, deadline = sum(counts.values()), time.monotonic() + 30
        while sum(counts.values()) < start + times and time.monotonic() < deadline and not failures:
            time.sleep(0.02)
        assert failures or sum(counts.values()) >= start + times, "nothing is saved"

    try:
        pass_some()
        for name in ("redis", "database"):
            os.kill(servers[name].pid, signal.SIGSTOP)
            try:
                pass_some()
            finally:
                os.kill(servers[name].pid, signal.SIGCONT)
            pass_some()
            servers[name].stop()
            try:
                pass_some()
            finally:
                servers[name].start()
            pass_some()
    finally:
        over.set()
        for visitor in visitors:
            visitor.join()
    assert failures == []


def test_nothing_is_said_of_passwords(servers, start_pool):
    port = free_port()
    pool = start_pool(workers=1, ini=ini(f"redis://app:hunter2@127.0.0.1:{port}"))
    answer = pool.call(SCRIPT, do="count", sid=secrets.token_hex(16))
    assert not answer["started"] and len(answer["warnings"]) == 2
    assert not re.search("hunter2", str(answer["warnings"]) + pool.complaints())
