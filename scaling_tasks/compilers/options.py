"""What ``compile.options`` may hold: declared by each backend as a type, checked before anything runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from scaling_tasks.compilers.choices import check_choice
from scaling_tasks.engines.contract import backend_options
from scaling_tasks.errors import CompileError

__all__ = ["UNSET", "Annotated", "Meta", "Options", "UnsetType", "option", "option_names", "read_options"]

_WHERE = "compile.options"
_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of a backend's options: one field per key, with its type and default, described by ``option``."""


Kind = TypeVar("Kind", bound=Options)


def option(description: str, *choices: str, **bounds: Any) -> Meta:
    """Return what an ``Annotated`` field says of its key.

    Args:
        description: For people, shown by editors.
        *choices: The values that editors offer; the backend's own check refuses others.
        **bounds: Those of ``msgspec.Meta``: ``ge``, ``le``, ``min_length``, ``pattern`` and so on.
    """
    return Meta(description=description, extra_json_schema={"enum": list(choices)} if choices else None, **bounds)


def option_names(kind: type[Options]) -> tuple[str, ...]:
    """Return the keys that such options have."""
    return tuple(field.encode_name for field in msgspec.structs.fields(kind))


def read_options(kind: type[Kind], options: Mapping[str, Any], backend: str) -> Kind:
    """Return the backend's own options out of the target's ``compile`` section, defaults filled in.

    Args:
        kind: What they may be.
        options: The ``compile`` section as plain values.
        backend: The backend's name, for messages.

    Raises:
        CompileError: A key that does not exist, with the nearest one that does, or a value of another type or range.
    """
    own = dict(backend_options(options))
    for key in own:
        check_choice(key, option_names(kind), where=_WHERE, kind=f"option of {backend}")
    try:
        return msgspec.convert(own, kind, strict=True)
    except msgspec.ValidationError as cause:
        found = _PLACE.match(str(cause))
        what, path = (found["what"], found["path"] or "") if found else (str(cause), "")
        raise CompileError(f"{what[:1].lower()}{what[1:]}", where=f"{_WHERE}{path}") from cause
