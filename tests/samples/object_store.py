"""An S3 server on this machine for tests: rclone's, or SeaweedFS's, whichever is installed."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

KEY, SECRET = "reader", "not-a-secret"


@dataclass(frozen=True)
class ObjectStore:
    """A server, and the directory in which every bucket is one."""

    url: str
    directory: Path

    @property
    def environment(self) -> dict[str, str]:
        """What those who read from it have in their environment."""
        return {"AWS_ENDPOINT_URL": self.url, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}


def rclone() -> str | None:
    """Return the program, None where it is not installed."""
    return shutil.which("rclone", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))


@contextlib.contextmanager
def object_store(directory: Path) -> Iterator[ObjectStore]:
    """Serve a directory's sub-directories as buckets."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(rclone()), "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}"]
    log = (directory.parent / "rclone.log").open("wb")
    server = subprocess.Popen(
        [*command, "--dir-cache-time", "0", "--buffer-size", "0", "--config", "", str(directory)],
        stdout=log,
        stderr=log,
    )
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert server.poll() is None, (directory.parent / "rclone.log").read_text()
            time.sleep(0.05)
        yield ObjectStore(f"http://127.0.0.1:{port}", directory)
    finally:
        server.terminate()
        server.wait(10)
        log.close()
