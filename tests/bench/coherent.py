"""The cache with Redis behind it, while a php-fpm on the same shared memory hears what Redis pushes.

That is when reads come from shared memory. A command does not listen itself, so php-fpm does it for the measurement.
"""

import json
import os
import pathlib
import time

from tests.support import account as accounts
from tests.support import fastcgi, php

SCRIPT = pathlib.Path(__file__).parent / "cache.php"


def measure(extension, folder, redis_socket):
    account = accounts.choose(extension, SCRIPT)
    log = account.own(folder / "log")
    shm_path = f"/dev/shm/slbp-bench-{os.getpid()}"
    configuration = php.Configuration(folder / "coherent", log, extension, {"slbp.shm_path": shm_path, "slbp.site": "bench"})
    socket = account.own(folder / "run") / "fpm.sock"
    fpm = php.PhpFpm(folder, socket, log / "fpm.log", account, configuration, workers=1)
    fpm.start()
    try:
        deadline = time.monotonic() + 20
        while fastcgi.request(socket, SCRIPT, f"redis={redis_socket}").body != "linked":
            if time.monotonic() > deadline:
                raise TimeoutError("no link to Redis")
            time.sleep(0.05)
        output = configuration.run(account, SCRIPT, "redis", redis_socket).stdout
        return [json.loads(line) for line in output.splitlines()]
    finally:
        fpm.stop()
        pathlib.Path(shm_path).unlink(missing_ok=True)
