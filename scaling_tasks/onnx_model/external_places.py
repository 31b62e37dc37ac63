"""Where a model says that weights lie which are not in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scaling_tasks.errors import ModelError, one_line
from scaling_tasks.paths import is_below

__all__ = ["ExternalPlace", "external_place"]

_FIX = "Export the model again."
_FURTHEST = 1 << 62


@dataclass(frozen=True)
class ExternalPlace:
    """Where a tensor's weights lie.

    Attributes:
        location: A file below the model's directory.
        offset: Where in it they begin.
        length: Their bytes; None where the model does not say.
    """

    location: str
    offset: int
    length: int | None


def external_place(tensor: Any, where: str) -> ExternalPlace:
    """Return where a tensor's weights lie.

    Raises:
        ModelError: It is not said, not in numbers, or outside the model's directory.
    """
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    name = one_line(repr(tensor.name), 60)
    if not is_below(location):
        what = f"the weights {name} lie outside the model's directory, at {one_line(repr(location), 60)}"
        raise ModelError(what, where=where, fix="Put the data beside the model.")
    offset, length = (_number(entries.get(key, ""), key, name, where) for key in ("offset", "length"))
    return ExternalPlace(location, offset or 0, length)


def _number(text: str, key: str, name: str, where: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) < _FURTHEST):
        what = f"the {key} of the weights {name} is {one_line(repr(text), 60)}, which is no place in a file"
        raise ModelError(what, where=where, fix=_FIX)
    return int(text)
