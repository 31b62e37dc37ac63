"""What ``compile.options`` may hold: declared by each backend as a type, checked before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from scaling_tasks.compilers.choices import wrong_choice
from scaling_tasks.config.validation import read_values
from scaling_tasks.config.yaml_values import dotted
from scaling_tasks.engines.contract import backend_options
from scaling_tasks.errors import CompileError, all_of

__all__ = ["UNSET", "Annotated", "Meta", "Options", "UnsetType", "option", "option_names", "read_options"]

_WHERE = "compile.options"


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
        ScalingTasksError: Keys that do not exist, with the nearest ones that do, or values of another type or range.
    """
    own, names = backend_options(options), option_names(kind)
    noun = f"option of {backend}"
    found = [wrong_choice(key, names, where=_WHERE, kind=noun) for key in own if key not in names]
    read, wrong, _ = read_values({key: value for key, value in own.items() if key in names}, kind)
    found += [CompileError(each.what, where=f"{_WHERE}.{dotted(each.path)}", fix=each.fix) for each in wrong]
    if read is None or found:
        raise all_of(found)
    return read
