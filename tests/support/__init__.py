"""The real parts the site runs on, started privately: MariaDB, php-fpm, nginx, Redis, Memcached, WordPress.

`python3 -m tests.support.serve` is `make serve`; the pytest suites use the same modules as a library.

Rules of this package: standard library only; every process is a `Service` with its own
configuration, its data below one folder, a socket there or a loopback port, and is stopped by its
own pid; nothing outside that folder is written.
"""
