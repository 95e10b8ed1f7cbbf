"""Two php-fpm nodes behind the balancers whose files we render: one is drained and stopped under load."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
from pathlib import Path

import pytest
import requests

from tests.support import php, ports, process
from tests.support.extension import EXTENSION
from tests.support.nginx import Nginx
from tests.support.ports import LOOPBACK
from tests.wordpress.visitor import API

# Seconds between two checks; nginx leaves a node alone for as long.
INTERVAL = 1


class Node:
    """A second server of the same site: its own php-fpm and nginx, the same files and database."""

    def __init__(self, site, folder: Path):
        conf, run, log, tmp = (folder / name for name in ("conf", "run", "log", "tmp"))
        for place in (run, log, tmp):
            place.mkdir(parents=True)
            site.account.own(place)
        conf.mkdir()
        self.port = ports.free_port()
        self.drain_file = folder / "drain"
        self.configuration = php.Configuration(conf, log, EXTENSION, {"slbp.drain_file": self.drain_file})
        self.fpm = php.PhpFpm(conf, ports.socket_folder(run) / "fpm.sock", log / "fpm.log", site.account, self.configuration, 3)
        site.account.own(self.fpm.socket.parent)
        self.fpm.stop_signal = signal.SIGQUIT
        self.nginx = Nginx(self.port, site.wordpress.root, self.fpm.socket, conf, run, tmp, log, site.account)

    def start(self):
        self.fpm.start()
        self.nginx.start()

    def stop(self):
        for service in (self.fpm, self.nginx):
            if service.running:
                service.stop()

    def ask(self, route: str) -> requests.Response:
        return requests.get(f"http://{LOOPBACK}:{self.port}{API}{route}", timeout=15)


class Load:
    """Visitors who ask the balancer without a pause until they are stopped."""

    def __init__(self, url: str, threads: int = 3):
        self.answers: list[object] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._visit, args=(url,)) for _ in range(threads)]

    def _visit(self, url: str):
        with requests.Session() as session:
            while not self._stop.is_set():
                try:
                    self.answers.append(session.get(url, timeout=30, allow_redirects=False).status_code)
                except requests.RequestException as error:
                    self.answers.append(repr(error))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def more(self, count: int):
        """Waits for so many more answers."""
        wanted = len(self.answers) + count
        assert process.wait_until(lambda: len(self.answers) >= wanted, timeout=60), "the visitors get no answers"


@pytest.fixture
def node(site, tmp_path_factory):
    folder = tmp_path_factory.mktemp("node-b")
    for place in (folder, folder.parent, folder.parent.parent):
        place.chmod(0o755)
    second = Node(site, folder)
    second.start()
    yield second
    second.stop()


def render(site, server: str, ports_: list[int]) -> str:
    nodes = ", ".join(f"'{LOOPBACK}:{port}'" for port in ports_)
    # A machine that is busy with other tests answers late, which is no reason to call a node dead.
    settings = f"['load_balancer' => ['interval' => {INTERVAL}, 'check_timeout' => 20, 'connect_timeout' => 10, 'host' => '{LOOPBACK}']]"
    return site.php(f"echo (new SLBP_Scalability_Manager({settings}))->render_load_balancer_config('{server}', [{nodes}]);")


def start_nginx(site, folder: Path, node: Node, port: int) -> process.Service:
    text = render(site, "nginx", [node.port, site.nginx.port]).replace("listen 80;", f"listen {LOOPBACK}:{port};")
    (folder / "balancer.conf").write_text(text)
    config = folder / "nginx.conf"
    places = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root;\n" if site.account.is_root else ""
    config.write_text(
        f"{user}worker_processes 1;\npid {folder}/nginx.pid;\nerror_log stderr warn;\nevents {{ worker_connections 256; }}\n"
        f"http {{\naccess_log off;\n{places}include {folder}/balancer.conf;\n}}\n"
    )
    command = ["nginx", "-p", folder, "-c", config, "-e", "stderr"]
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    process.run([*command, "-t"], site.account, env=env)
    ready = lambda: ports.accepts((LOOPBACK, port))
    return process.Service("balancer", [*command, "-g", "daemon off;"], site.account, folder / "log", ready, env)


def start_haproxy(site, folder: Path, node: Node, port: int) -> process.Service:
    config = folder / "haproxy.cfg"
    config.write_text(render(site, "haproxy", [node.port, site.nginx.port]).replace("bind :80", f"bind {LOOPBACK}:{port}"))
    binary = shutil.which("haproxy", path="/usr/sbin:/usr/bin")
    subprocess.run([binary, "-c", "-f", str(config)], check=True, capture_output=True)
    ready = lambda: ports.accepts((LOOPBACK, port)) and requests.get(f"http://{LOOPBACK}:{port}{API}/live", timeout=15).ok
    return process.Service("balancer", [binary, "-db", "-f", config], site.account, folder / "log", ready)


@pytest.mark.parametrize("start", [start_nginx, start_haproxy])
def test_a_node_is_drained_and_stopped_under_load_without_a_failed_request(site, node, tmp_path_factory, start):
    folder = tmp_path_factory.mktemp("balancer")
    for place in (folder, folder.parent, folder.parent.parent):
        place.chmod(0o755)
    site.account.own(folder)
    port = ports.free_port()
    assert node.ask("/ready").status_code == 200
    balancer = start(site, folder, node, port)
    balancer.start()
    try:
        with Load(f"http://{LOOPBACK}:{port}/wp-login.php") as load:
            load.more(20)
            node.drain_file.touch()
            assert process.wait_until(lambda: node.ask("/ready").status_code == 503, timeout=15)
            load.more(20)
            node.stop()
            load.more(20)
    finally:
        balancer.stop()

    assert set(load.answers) == {200}


@pytest.mark.parametrize("affinity", ["none", "ip", "cookie"])
def test_every_affinity_gives_files_that_the_balancers_accept(site, tmp_path, affinity):
    def rendered(server: str) -> str:
        manager = f"(new SLBP_Scalability_Manager(['load_balancer' => ['affinity' => '{affinity}']]))"
        return site.php(f"echo {manager}->render_load_balancer_config('{server}', ['10.0.0.1:80', '[2001:db8::2]:8080', '10.0.0.3:80']);")

    (tmp_path / "nginx.conf").write_text(f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{rendered('nginx')}\n}}\n")
    (tmp_path / "haproxy.cfg").write_text(rendered("haproxy"))
    for command in (["nginx", "-t", "-e", "stderr", "-p", tmp_path, "-c", tmp_path / "nginx.conf"], ["haproxy", "-c", "-f", tmp_path / "haproxy.cfg"]):
        done = subprocess.run([str(word) for word in command], env={"PATH": "/usr/sbin:/usr/bin"}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr + done.stdout
