#!/bin/sh
# Runs .phpt tests with PHP's own runner: run-phpt.sh EXTENSION FOLDER
# The runner leaves its .diff and .log files beside a failing test and nothing beside a passing one.
set -eu

php=$(command -v "${PHP:-php}")
api=$(basename "$(php-config --extension-dir)")
runner=$(php-config --prefix)/lib/php/$api/build/run-tests.php

[ -n "$(find "$2" -name '*.phpt' -print -quit)" ] || { echo "no .phpt below $2" >&2; exit 1; }
# An extension that does not load makes every test "skipped", which the runner takes for success.
"$php" -d "extension=$1" -r 'exit(extension_loaded("slbp") ? 0 : 1);' || { echo "$1 does not load" >&2; exit 1; }

NO_INTERACTION=1 TEST_PHP_EXECUTABLE=$php exec "$php" "$runner" -q -j2 --no-color --no-progress -d "extension=$1" --show-diff "$2"
