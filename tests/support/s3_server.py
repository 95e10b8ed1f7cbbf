"""An S3 server for the tests: moto, installed by pip into the build folder and nowhere else.

It keeps objects in memory and checks signatures with botocore's own signer. Run as a module it prints
one line of JSON (`endpoint`, `bucket`, `access_key`, `secret_key`) once it answers, and ends with its
standard input: python3 -m tests.support.s3_server
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
PACKAGES = ("moto[s3]==5.2.5", "flask==3.1.3", "flask-cors==6.0.5")
BUCKET = "slbp-copies"
ACCOUNT = "123456789012"


def install() -> Path:
    """Where the packages are; fetched on the first call, by one process."""
    folder = BUILD / "s3-server"
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "s3-server.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "complete"
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--root-user-action=ignore"]
            subprocess.run([*pip, "--target", str(folder), *PACKAGES], check=True, stdout=sys.stderr)
            done.touch()
    return folder


def serve() -> None:
    sys.path.insert(0, str(install()))
    os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "0"
    from moto.iam.models import iam_backends
    from moto.s3.models import s3_backends
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    iam = iam_backends[ACCOUNT]["aws"]
    iam.create_user(region_name="us-east-1", user_name="backups")
    key = iam.create_access_key(user_name="backups")
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    iam.put_user_policy("backups", "everything", json.dumps(everything))
    s3_backends[ACCOUNT]["aws"].create_bucket(BUCKET, "us-east-1")

    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    told = {"endpoint": f"http://127.0.0.1:{server.port}", "bucket": BUCKET}
    print(json.dumps({**told, "access_key": key.access_key_id, "secret_key": key.secret_access_key}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    serve()
