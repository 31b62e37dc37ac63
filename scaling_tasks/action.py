"""The action: a value that names everything a result depends on; its digest is the result's key."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import msgspec

from scaling_tasks.document_fields import DigestField
from scaling_tasks.files import digest_bytes
from scaling_tasks.names import Digest

__all__ = ["Action", "action_text", "checked_components", "components_of", "key_of"]


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


def action_text(components: Mapping[str, Any] | msgspec.Struct) -> str:
    """Return the components as JSON with sorted keys; two actions are the same where their texts are."""
    # A build with nothing to do writes thousands; this takes a tenth of the time that Python's own encoder takes.
    return msgspec.json.encode(components, order="sorted").decode()


class _Components(msgspec.Struct):
    """An action's components; those that are not named were of none that this version makes."""

    stage: str = ""
    code: str = ""
    inputs: dict[str, DigestField] = {}
    parameters: dict[str, Any] = {}
    toolchain: dict[str, str] = {}
    platform: dict[str, str] = {}
    outputs: list[str] = []


def components_of(text: str | bytes) -> dict[str, Any]:
    """Return the components that are told as ``action_text`` tells them.

    Raises:
        ValueError: They are none.
    """
    return checked_components(msgspec.json.decode(text))


def checked_components(found: Any) -> dict[str, Any]:
    """Return what was read as an action's components.

    Raises:
        ValueError: They are none.
    """
    msgspec.convert(found, _Components)
    return dict(found)


def key_of(components: Mapping[str, Any]) -> Digest:
    """Return the SHA-256 of the components' text."""
    return digest_bytes(action_text(components).encode())
