"""The probes of a load balancer under nginx and php-fpm: answered at the door, and by WordPress' REST API.

    python3 -m tests.bench.probes path/to/libslbp.so

Besides answers a second it measures what one costs the pool in processor time, of all its workers, as the kernel counts it:
that is what the ratio is made of, because a neighbour on the machine takes much from the first and little from the second.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.request

from tests.support import ports
from tests.support.stack import Stack
from tests.wordpress.visitor import API

PROBES = ("live", "ready", "health")
WORKERS, CLIENTS, SECONDS = 2, 4, 10


def measure(extension, folder):
    """{probe: {"door" or "WordPress": (answers a second, microseconds of processor time each)}}."""
    found = {probe: {} for probe in PROBES}
    for name, switch in (("door", "1"), ("WordPress", "0")):
        with Stack(folder / name, ports.free_port(), extension, workers=WORKERS, ini={"slbp.probes": switch}) as stack:
            for probe in PROBES:
                url = f"{stack.url}{API}/{probe}"
                for _ in range(WORKERS * 4):
                    _ask(url)
                before = _processor_time(stack)
                answers, rate = _load(url, SECONDS)
                found[probe][name] = (rate, (_processor_time(stack) - before) / answers * 1e6)
    return found


def table(found):
    lines = ["| probe | answers a second | by WordPress | processor time of one | by WordPress | ratio |", "|---|---|---|---|---|---|"]
    for probe, by in found.items():
        (rate, cost), (peer_rate, peer_cost) = by["door"], by["WordPress"]
        lines.append(f"| /{probe} | {rate:,.0f} | {peer_rate:,.0f} | {cost:,.0f} µs | {peer_cost:,.0f} µs | **{cost / peer_cost:.3f}** |")
    return "\n".join(lines)


def _ask(url):
    """One answer: the first ones of a worker compile WordPress."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        answer.read()


def _load(url, seconds):
    command = ["wrk", "-t2", f"-c{CLIENTS}", f"-d{seconds}s", url]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 60).stdout
    assert "Non-2xx" not in output, output
    return int(re.search(r"(\d+) requests in", output)[1]), float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])


def _processor_time(stack):
    """Seconds that the pool's workers have computed."""
    def ticks(pid):
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    return sum(ticks(pid) for pid in stack.fpm.workers()) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="slbp-bench-") as place:
        pathlib.Path(place).chmod(0o755)
        print(table(measure(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(place))))
