"""A scheduler and workers as processes on loopback, and what the workers say they did."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scaling_tasks.execution.process_trees import die_with_parent

__all__ = ["Farm", "alive", "free_port", "wait_until"]

_ROOT = Path(__file__).resolve().parents[2]
_ENVIRONMENT = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s", "PYTHONPATH": str(_ROOT)}


class Farm:
    """Processes of ``dask scheduler`` and ``dask worker`` that keep everything below one directory.

    They run in ``directory``, where toolchains that a repository brings are looked for; in ``root`` by default.
    """

    def __init__(self, root: Path, directory: Path | None = None) -> None:
        self.root = root.resolve()
        self.directory = directory or root
        self.port = free_port()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        root.mkdir(parents=True, exist_ok=True)

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"dask://127.0.0.1:{self.port}"

    def start_scheduler(self) -> None:
        self._start("scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--dashboard-address", "127.0.0.1:0")
        wait_until(lambda: _listens(self.port))

    def start_worker(self, name: str, *options: str, environment: Mapping[str, str] | None = None) -> None:
        """Start a worker of one thread that keeps its files in a directory of its own."""
        self._start(
            "worker",
            self.address,
            *("--name", name, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--death-timeout", "60"),
            *("--local-directory", str(self.root / f"dask-{name}"), *options),
            name=name,
            environment={"SCALING_TASKS_WORKER_DIRECTORY": str(self.root / name), **(environment or {})},
        )

    def _start(self, kind: str, *arguments: str, name: str = "", environment: Mapping[str, str] | None = None) -> None:
        name = name or kind
        with (self.root / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments],
                cwd=self.directory,
                env={**os.environ, **_ENVIRONMENT, **(environment or {})},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # However the tests end.
                preexec_fn=functools.partial(die_with_parent, signal.SIGKILL, os.getpid()),
            )

    def await_workers(self, count: int) -> None:
        """Wait until so many workers have joined."""
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            wait_until(lambda: len(client.nthreads()) == count)

    def stop(self, name: str, number: int = signal.SIGKILL) -> None:
        """End one process, by its group, and wait for it."""
        process = self.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        process.wait(30)

    def close(self) -> None:
        for name in list(self.processes):
            self.stop(name)

    def journal(self, *names: str) -> list[dict[str, Any]]:
        """Return what the workers of these names noted, all of them by default, in order of time."""
        files = [self.root / name / "journal.jsonl" for name in names] or self.root.glob("*/journal.jsonl")
        lines = [line for file in files if file.exists() for line in file.read_text().splitlines()]
        return sorted((json.loads(line) for line in lines), key=lambda event: event["at"])

    def events(self, event: str, about: str = "") -> list[dict[str, Any]]:
        return [each for each in self.journal() if each["event"] == event and about in each["name"]]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Return what the condition gives once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{condition} did not come true in {seconds:g} s"
        time.sleep(0.05)
    return found


def alive(pid: int) -> bool:
    """Return whether a process runs and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
