"""What a build and a worker tell each other: an order, and what came of it."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import msgspec

from scaling_tasks.execution.contract import Limits, Subject
from scaling_tasks.files import digest_bytes
from scaling_tasks.machine import versions
from scaling_tasks.own_code import code_of
from scaling_tasks.store.records import StoredFile

__all__ = ["TOPIC", "Answer", "Blob", "Order", "Outcome", "package_identity"]

TOPIC = "scaling-tasks"
"""Under which workers tell all builds at a scheduler what they need and what they do."""


_PACKAGE = "scaling-tasks"
_Amount = Annotated[float, msgspec.Meta(ge=0, le=1e12)]


@dataclass(frozen=True)
class Blob:
    """A file by its content.

    Attributes:
        digest: Its SHA-256.
        size: Bytes.
    """

    digest: str
    size: int


@dataclass(frozen=True)
class Order:
    """Work for whoever gets it.

    Attributes:
        name: What is done, for people.
        key: The action's key.
        function: See ``contract.Work``.
        parameters: The same; without directories of whoever orders it.
        inputs: Every input file by its name.
        scratch: Names of directories of shared work, by the parameter that holds the directory.
        tools: See ``contract.Origin``.
        expected: The same.
        limits: What it may use.
        subject: By whose rule the log is read.
        sender: Who has the inputs.
        package: ``package_identity`` of whoever orders it.
        lost: Addresses of workers whose results cannot be had any more.
    """

    name: str
    key: str
    function: str
    parameters: Mapping[str, Any]
    inputs: Mapping[str, Blob]
    scratch: Mapping[str, str]
    tools: str
    expected: Mapping[str, Mapping[str, str]]
    limits: Limits
    subject: Subject
    sender: str
    package: str
    lost: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What came of an order.

    Attributes:
        worker: The worker's name.
        address: Where the files are to be had.
        values: What the work returned.
        files: What it made, by name.
        log: What it printed; None where it was not begun.
        problem: What is not well, see ``local.Attempt``.
        workdir: Where it was done, as the problem's text calls it.
        refused: Why this worker does not do it; another one may.
        waited: Seconds for inputs.
        seconds: Seconds of the work itself.
        peak_memory_bytes: Its largest resident size.
    """

    worker: str
    address: str
    values: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Blob] = field(default_factory=dict)
    log: Blob | None = None
    problem: tuple[str, str, str] | None = None
    workdir: str = ""
    refused: str = ""
    waited: _Amount = 0.0
    seconds: _Amount = 0.0
    peak_memory_bytes: int = 0

    def __post_init__(self) -> None:
        for name, blob in self.files.items():
            StoredFile(name, blob.digest, blob.size)

    def to_json(self) -> str:
        """Return it as text, for whoever does not have this package: the scheduler."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Outcome:
        """Return what ``to_json`` wrote.

        Raises:
            ValueError: It is none, or a file has a name that leads elsewhere, or no digest.
        """
        return msgspec.json.decode(text, type=cls)


@dataclass(frozen=True)
class Answer:
    """What a worker says it has.

    Attributes:
        worker: Its name.
        package: Its ``package_identity``.
        tools: What it found for the tools that it was asked for.
        memory: Bytes that it may use, None where it does not say.
        resources: What it was started with, by Dask's names.
    """

    worker: str
    package: str
    tools: Mapping[str, Any]
    memory: int | None
    resources: Mapping[str, float]


@functools.cache
def package_identity() -> str:
    """Return the version of this package with a digest of its code: results are the same only where that is."""
    code = digest_bytes((code_of() + code_of("execution", "store")).encode())
    return f"{versions(_PACKAGE)[_PACKAGE]}+{code[:12]}"
