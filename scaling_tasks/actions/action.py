"""The action: a value that names everything a result depends on; its digest is the result's key."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from scaling_tasks.execution.contract import Limits, Subject
from scaling_tasks.files import digest_bytes
from scaling_tasks.names import Digest
from scaling_tasks.store.records import action_text

__all__ = ["TOOLCHAIN", "Action", "Request"]

TOOLCHAIN = "toolchain"
"""Under which work tells with which toolchain it was done, where that could have changed since the action was made."""


class Action(msgspec.Struct, frozen=True, dict=True):
    """Work, named by all that its result depends on.

    Attributes:
        stage: What kind of work.
        code: What ``code_of`` says of the part of this package that does the work.
        inputs: SHA-256 of each input file by its name in the directory that the work is given.
        parameters: Plain JSON values.
        toolchain: Versions and digests of the tools that do the work.
        platform: What of the machine the result depends on.
        outputs: Names, or patterns of names, of the files it makes.
    """

    stage: str
    code: str
    inputs: Mapping[str, Digest] = {}
    parameters: Mapping[str, Any] = {}
    toolchain: Mapping[str, str] = {}
    platform: Mapping[str, str] = {}
    outputs: tuple[str, ...] = ()

    @cached_property
    def components(self) -> dict[str, Any]:
        """The action as plain JSON values, as they are after being written and read."""
        plain: dict[str, Any] = json.loads(self.text)
        return plain

    @cached_property
    def key(self) -> Digest:
        """SHA-256 of the text."""
        return digest_bytes(self.text.encode())

    @cached_property
    def text(self) -> str:
        """The components as JSON: two actions are the same where their texts are."""
        return action_text(self)

    def makes(self, name: str) -> bool:
        """Return whether a file of this name is one of its outputs."""
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.outputs)


class Request(msgspec.Struct, frozen=True):
    """An action with what is needed to have it done here and now, none of which changes its result.

    Attributes:
        action: The action.
        sources: Gives where each input lies; asked for when work is done.
        function: ``module:function`` that does the work, see ``execution.contract.Work``.
        subject: How a failure is told.
        limits: Gives what the work may use in a process of its own; None where it is done in this one.
        hints: Gives parameters that change no result; asked for when work is done. They hold no paths to be opened.
        carried: Files for the work whose content the action names in another way, by name.
        stored: Whether the store keeps the result.
        tools: ``module:function`` that tells the toolchain and the platform that are found where it is called, see
            ``execution.contract.Origin``; empty where the work is bound to this machine.
        at_home: Whether the work is done on this machine where no other has these tools.
        scratch: Gives directories of work that several actions share, by the parameter that names each to the work.
    """

    action: Action
    sources: Callable[[], Mapping[str, Path]]
    function: str
    subject: Subject
    limits: Callable[[], Limits] | None = None
    hints: Callable[[], Mapping[str, Any]] = dict
    carried: Mapping[str, Path] = {}
    stored: bool = True
    tools: str = ""
    at_home: bool = False
    scratch: Callable[[], Mapping[str, Path]] = dict
