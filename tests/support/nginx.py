"""nginx in front of php-fpm, with WordPress' permalinks."""

from __future__ import annotations

import signal
from pathlib import Path

from . import process
from .account import Account
from .ports import LOOPBACK, accepts

CONFIGURATION = """\
{user}worker_processes 2;
pid {run}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log {log}/access.log;
    client_max_body_size 64m;
    server_tokens off;
    client_body_temp_path {tmp}/body;
    fastcgi_temp_path {tmp}/fastcgi;
    proxy_temp_path {tmp}/proxy;
    scgi_temp_path {tmp}/scgi;
    uwsgi_temp_path {tmp}/uwsgi;

    server {{
        listen {host}:{port};
        root {root};
        index index.php;

        location / {{ try_files $uri $uri/ /index.php?$args; }}
        location ~ /\\. {{ deny all; }}
        location ~* ^/wp-content/uploads/.*\\.php$ {{ deny all; }}
        location ~ \\.php$ {{
            try_files $uri =404;
            include /etc/nginx/fastcgi_params;
            # Debian passes $host alone there, which loses the port; WordPress would redirect for ever.
            fastcgi_param HTTP_HOST $host:$server_port;
            fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
            fastcgi_read_timeout 60s;
            fastcgi_pass unix:{socket};
        }}
    }}
}}
"""


class Nginx(process.Service):
    def __init__(self, port: int, root: Path, socket: Path, folder: Path, run: Path, tmp: Path, log: Path, account: Account):
        self.port = port
        config = folder / "nginx.conf"
        user = "user root;\n" if account.is_root else ""
        config.write_text(
            CONFIGURATION.format(user=user, host=LOOPBACK, port=port, root=root, socket=socket, run=run, tmp=tmp, log=log)
        )
        super().__init__(
            "nginx",
            ["nginx", "-p", run, "-c", config, "-e", "stderr", "-g", "daemon off;"],
            account,
            log / "nginx.log",
            ready=lambda: accepts((LOOPBACK, port)),
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            stop_signal=signal.SIGTERM,
        )
