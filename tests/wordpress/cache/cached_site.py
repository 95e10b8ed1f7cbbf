"""A site with the object cache, and the ways in which its tests look into it."""

from __future__ import annotations

import json
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from typing import Mapping, Optional

from tests.support import php, process
from tests.support.extension import EXTENSION
from tests.support.stack import Stack
from tests.wordpress.visitor import Visitor

RUN = "echo json_encode(['pid' => getmypid(), 'result' => (static function () {{ {code} }})()]);"
# Stops behind the first query that contains `word`, until the test says go: what was read is then old.
STOP_BEHIND = """
define('SAVEQUERIES', true);
$GLOBALS['wp_filter']['log_query_custom_data'][10]['stop'] = ['accepted_args' => 2, 'function' => static function ($data, $query) {{
    if (str_contains($query, '{word}') && !file_exists('{reached}')) {{
        touch('{reached}');
        for ($round = 0; $round < 2000 && !file_exists('{go}'); $round++) {{ usleep(5000); clearstatcache(); }}
    }}
    return $data;
}}];
"""


class CachedSite:
    def __init__(self, stack: Stack):
        self.stack = stack
        self.dropin = stack.wordpress.content / "object-cache.php"
        self.segment = stack.state / "run" / "segment"
        self._scripts = count()
        self._executor = ThreadPoolExecutor(8)
        self._stops: list[Stopped] = []

    def configure(self, ini: Optional[Mapping] = None, constants: Optional[Mapping] = None, extension=EXTENSION) -> None:
        """php.ini lines and constants; php-fpm starts anew, with empty memory."""
        stack = self.stack
        stack.fpm.stop()
        self.segment.unlink(missing_ok=True)
        php.Configuration(stack.state / "conf", stack.state / "log", extension, ini)
        stack.wordpress.write_config(stack.mariadb, constants or {})
        stack.fpm.start()

    def reset(self) -> None:
        self.stack.wordpress.content.chmod(0o755)
        self.configure()
        self.dropin.unlink(missing_ok=True)
        self.cli(
            "require_once ABSPATH . 'wp-admin/includes/plugin.php'; activate_plugin('slbp/slbp.php');"
            "$failure = slbp_enable_object_cache(); if ($failure) { exit($failure); }"
        )

    def release(self) -> None:
        for stop in self._stops:
            stop.go()
        self._stops.clear()
        assert all(service.running for service in self.stack.services)

    def cli(self, code: str) -> str:
        """What `code` prints in this WordPress on the command line."""
        return self.stack.php(code)

    def worker(self, code: str, before: str = "", **query) -> dict:
        """Runs the body of a PHP function in a php-fpm worker; its pid and what the function returned."""
        script = self._script(code, before)
        try:
            answer = self.visitor().get(f"/{script.name}", params=query)
            assert answer.status_code == 200, f"{answer.status_code}: {answer.text[:500]}"
            return json.loads(answer.text)
        finally:
            script.unlink()

    def result(self, code: str, **query):
        return self.worker(code, **query)["result"]

    def in_every_worker(self, code: str) -> list:
        """The results of `code` once from each worker at least."""
        results: dict[int, object] = {}
        workers = set(self.stack.fpm.workers())
        for _ in range(50):
            futures = [self._executor.submit(self.worker, f"usleep(20000); {code}") for _ in range(8)]
            results.update((answer["pid"], answer["result"]) for answer in (future.result() for future in futures))
            if workers <= set(results):
                return list(results.values())
        raise AssertionError("some workers never answered")

    def together(self, code: str, numbers: range) -> list:
        """Runs `code` once for each number, which it finds in $_GET['number'], eight at a time."""
        script = self._script(code)
        ask = lambda number: self.visitor().get(f"/{script.name}", params={"number": number})
        try:
            answers = list(self._executor.map(ask, numbers))
        finally:
            script.unlink()
        assert {answer.status_code for answer in answers} == {200}
        return [json.loads(answer.text)["result"] for answer in answers]

    def stopped_behind(self, word: str, code: str) -> "Stopped":
        """Begins `code` in a worker, which has then read from the database and not yet gone on."""
        folder = self.stack.state / "run"
        stopped = Stopped(folder / f"reached-{next(self._scripts)}", folder / f"go-{next(self._scripts)}")
        before = STOP_BEHIND.format(word=word, reached=stopped.reached, go=stopped.go_file)
        stopped.future = self._executor.submit(self.worker, code, before)
        self._stops.append(stopped)
        assert process.wait_until(lambda: stopped.reached.exists() or stopped.future.done(), 20), "the query never ran"
        assert stopped.reached.exists(), f"the query never ran: {stopped.future.result()}"
        return stopped

    def visitor(self) -> Visitor:
        return Visitor(self.stack)

    def admin(self) -> Visitor:
        return self.visitor().log_in(self.stack.wordpress.user, self.stack.wordpress.password)

    def sql(self, statement: str) -> str:
        return self.stack.mariadb.sql(statement, "wordpress").strip()

    def _script(self, code: str, before: str = ""):
        script = self.stack.wordpress.root / f"probe-{next(self._scripts)}.php"
        script.write_text(f"<?php\n{before}\nrequire __DIR__ . '/wp-load.php';\n{RUN.format(code=code)}\n")
        return script


class Stopped:
    """A request that waits in the middle."""

    def __init__(self, reached, go_file):
        self.reached = reached
        self.go_file = go_file
        self.future: Future

    def go(self) -> None:
        self.go_file.touch()

    def finish(self) -> dict:
        self.go()
        return self.future.result(timeout=20)
