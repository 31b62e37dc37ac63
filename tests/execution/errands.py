"""Work for the tests of executors, found by workers under its name."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scaling_tasks.errors import CompileError
from scaling_tasks.execution.contract import Done, Limits, Origin, Subject, Work
from scaling_tasks.execution.farm.executor import FarmExecutor
from scaling_tasks.files import digest_bytes, digest_file

TOOLS_VARIABLE = "SCALING_TASKS_TEST_TOOLS"


def tools(inputs: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {"toolchain": {"errand": os.environ.get(TOOLS_VARIABLE, "1")}, "platform": {}}


def shout(inputs: Path, outputs: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    print("shouting")
    (outputs / "deep").mkdir()
    for path in sorted(path for path in inputs.rglob("*") if path.is_file()):
        (outputs / "deep" / path.name).write_bytes(path.read_bytes().upper())
    scratch = Path(parameters["scratch"])
    scratch.mkdir(parents=True, exist_ok=True)
    return {"seen": sorted(str(path.relative_to(inputs)) for path in inputs.rglob("*")), "scratch": str(scratch)}


def fail(inputs: Path, outputs: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    print("about to fail")
    raise CompileError("no such operator", where=str(inputs / "text"))


def hold(inputs: Path, outputs: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    gate = Path(parameters["gate"])
    (gate / f"{os.getpid()}").touch()
    while (gate / "hold").exists():
        time.sleep(0.02)
    (outputs / "result").write_text("held")
    return {}


def eat(inputs: Path, outputs: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    eaten = []
    while True:
        eaten.append(bytearray(8 << 20))
        time.sleep(0.01)


@dataclass
class Errand:
    """One piece of such work, with a directory of its own for a build's end of it."""

    root: Path
    function: str = "shout"
    files: Mapping[str, bytes] = field(default_factory=lambda: {"text": b"hello"})
    parameters: Mapping[str, Any] = field(default_factory=dict)
    needs: str = "1"
    limits: Limits = field(default_factory=lambda: Limits(60.0))
    at_home: bool = False

    @property
    def key(self) -> str:
        return digest_bytes(repr((self.function, sorted(self.files.items()), self.parameters, self.needs)).encode())

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def outputs(self) -> Path:
        return self.root / "outputs"

    def run(self, url: str) -> Done:
        for name, content in self.files.items():
            path = self.root / "inputs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self.outputs.mkdir(exist_ok=True)
        digests = {name: digest_file(self.root / "inputs" / name) for name in self.files}
        expected = {"toolchain": {"errand": self.needs}, "platform": {}}
        origin = Origin(
            f"errand {self.root.name}",
            self.key,
            digests,
            f"{__name__}:tools",
            expected,
            {"scratch": "errands"},
            self.at_home,
        )
        work = Work(
            f"{__name__}:{self.function}",
            self.root / "inputs",
            self.outputs,
            {"scratch": str(self.root / "mine"), **self.parameters},
            origin,
        )
        subject = Subject("errand", "the tool", CompileError)
        return FarmExecutor(url).submit(work, self.limits, subject, job_file=self.root / "job.json", log=self.log)
