"""Redis behind the shared memory: fetched ahead, gone in the middle of traffic, back again."""

from __future__ import annotations

import threading

import pytest

from tests.support import ports, process
from tests.support.redis import Redis


@pytest.fixture
def redis(cached):
    state = cached.stack.state
    server = Redis(ports.free_port(), state / "redis", state / "log" / "redis.log", cached.stack.account)
    server.start()
    cached.configure(constants={"WP_REDIS_HOST": "127.0.0.1", "WP_REDIS_PORT": server.port, "WP_REDIS_PREFIX": "shop"})
    cached.cli("wp_cache_flush();")
    yield server
    cached.configure()
    server.stop()


def commands(server: Redis, account) -> int:
    """How many commands the server has run, this one included."""
    answer = process.run(["redis-cli", "-p", server.port, "info", "stats"], account).stdout
    return int(next(line for line in answer.splitlines() if line.startswith("total_commands_processed")).split(":")[1])


def test_workers_and_command_line_share_it(cached, redis):
    cached.result("wp_cache_set('k', ['from' => 'php-fpm'], 'g');")

    assert cached.result("return slbp_native_object_cache()->backend();") == "redis"
    assert cached.cli("echo wp_cache_get('k', 'g')['from'];") == "php-fpm"
    cached.cli("update_option('blogname', 'from the command line'); wp_cache_set('k', 'changed', 'g');")
    seen = "return [get_option('blogname'), wp_cache_get('k', 'g')];"
    assert process.wait_until(lambda: cached.result(seen) == ["from the command line", "changed"], 5)


def test_a_flush_on_the_command_line_is_obeyed(cached, redis):
    cached.result("wp_cache_set('k', 1, 'g');")
    cached.cli("wp_cache_flush();")

    assert process.wait_until(lambda: cached.result("return wp_cache_get('k', 'g');") is False, 5)


def test_what_requests_of_a_kind_used_is_fetched_ahead(cached, redis):
    """With empty memory, a page costs a handful of commands instead of one for each key."""
    constants = {"WP_REDIS_HOST": "127.0.0.1", "WP_REDIS_PORT": redis.port, "WP_REDIS_PREFIX": "shop"}
    account = cached.stack.account

    def cost_of_a_page() -> int:
        cached.configure(constants=constants)  # a restarted php-fpm has nothing in memory
        before = commands(redis, account)
        assert cached.visitor().get("/").status_code == 200
        return commands(redis, account) - before

    cached.visitor().get("/")
    unlearned = cost_of_a_page()
    for _ in range(4):
        cached.configure(constants=constants)
        cached.visitor().get("/")
    assert cost_of_a_page() < unlearned / 2


def test_pages_go_on_when_it_is_killed_and_nothing_is_stale_when_it_is_back(cached, redis):
    cached.in_every_worker("return get_option('blogname');")
    codes: set[int] = set()
    ended = threading.Event()

    def traffic() -> None:
        while not ended.is_set():
            codes.add(cached.visitor().get("/").status_code)

    visitors = [threading.Thread(target=traffic) for _ in range(3)]
    for visitor in visitors:
        visitor.start()
    try:
        assert process.wait_until(lambda: bool(codes), 20)
        redis.kill()
        for number in range(5):
            cached.result(f"return update_option('blogname', 'while it was away {number}');")
        assert cached.result("return get_option('blogname');") == "while it was away 4"
        redis.start()
        linked = "return slbp_native_object_cache()->stats()['breaker'];"
        assert process.wait_until(lambda: cached.result(linked) in ("closed", None, False), 30), cached.result(linked)
        for _ in range(3):
            assert set(cached.in_every_worker("return get_option('blogname');")) == {"while it was away 4"}
    finally:
        ended.set()
        for visitor in visitors:
            visitor.join()
    assert codes == {200}
    assert cached.cli("echo get_option('blogname');") == "while it was away 4"


def test_one_site_of_a_server_does_not_flush_another(cached, redis):
    cached.result("wp_cache_set('k', 'mine', 'g');")
    other = {"WP_REDIS_HOST": "127.0.0.1", "WP_REDIS_PORT": redis.port, "WP_REDIS_PREFIX": "another"}
    cached.stack.wordpress.write_config(cached.stack.mariadb, other)
    assert cached.cli("var_dump(wp_cache_get('k', 'g')); wp_cache_flush();").strip() == "bool(false)"

    cached.stack.wordpress.write_config(cached.stack.mariadb, {**other, "WP_REDIS_PREFIX": "shop"})
    assert cached.cli("echo wp_cache_get('k', 'g');") == "mine"
