"""What the library that reads values says of a wrong one, in the words of who wrote it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from msgspec import inspect

from scaling_tasks.errors import one_line

__all__ = ["choices", "described", "in_words", "nearest"]

_BOUND = r"`(?:int|float)` (?P<sign>[<>]=?) (?P<bound>\S+)$"
_LENGTH = r"of length .*, got (?P<count>\d+)$"
_BEYOND = {">=": "is below", "<=": "is above", ">": "is not above", "<": "is not below"}
_CHOSEN = ("strategy", "format", "device", "kind", "mode", "side", "preprocessing")
"""Keys that are called what their values are."""

_BY_NAME = {"compile": "backend"}
"""Sections that a name alone may be given for, and the key that it is meant for."""


def in_words(message: str, value: Any, kind: Any, key: str) -> tuple[str, str]:
    """Return what is wrong with a value, and what to write.

    Args:
        message: What msgspec says.
        value: What is given.
        kind: What is wanted, as ``msgspec.inspect`` describes it.
        key: Of the value.
    """
    bound, length = re.search(_BOUND, message), re.search(_LENGTH, message)
    given = _shown(value)
    fix = f"Write {_wanted(kind, upper=bool(bound and '<' in bound['sign']))}."
    if message.startswith("Invalid"):
        words = choices(kind)
        near = nearest(str(value), words)
        if key == "kind":  # a mapping's tag, which is no value of its own
            fix = f"Write {', '.join(map(repr, words[:-1]))} or {words[-1]!r}." if words else fix
        noun = key if key in _CHOSEN else f"value of {key}"
        return f"{given} is no {noun}", f"Did you mean {near!r}?" if near else fix
    if bound:
        return f"{given} {_BEYOND[bound['sign']]} {_number(float(bound['bound']))}", fix
    if length:
        return f"{given} has {length['count']} value{'s' * (length['count'] != '1')}", fix
    if isinstance(value, str) and key in _BY_NAME:
        fix = f"Write `{{{_BY_NAME[key]}: {one_line(value, 60)}}}`."
    if ", got " in message:
        return f"{given} is {_type(value)}", fix
    return f"{given} is not valid ({message[:1].lower()}{message[1:]})", fix


def nearest(given: str, known: list[str]) -> str:
    """Return the known word that is probably meant, empty where none is near."""
    import difflib  # Of no use but to a mistake.

    return next(iter(difflib.get_close_matches(given, known, n=1, cutoff=0.5)), "")


def choices(kind: Any) -> list[str]:
    """Return the words that a type names, and the tags of its mappings."""
    words = [str(value) for each in _members(kind) if isinstance(each, inspect.LiteralType) for value in each.values]
    tags = [str(each.tag) for each in _members(kind) if isinstance(each, inspect.StructType) and each.tag]
    return list(dict.fromkeys([*words, *tags]))


def described(kind: Any) -> Any:
    """Return a type without the words for people that it may come with."""
    return described(kind.type) if isinstance(kind, inspect.Metadata) else kind


def _members(kind: Any) -> tuple[Any, ...]:
    plain = described(kind)
    return tuple(map(described, plain.types)) if isinstance(plain, inspect.UnionType) else (plain,)


def _wanted(kind: Any, *, upper: bool) -> str:
    """Return what a type takes, with its lower bound or the upper one."""
    parts = list(dict.fromkeys(part for member in _members(kind) for part in _parts(member, upper)))
    if "a number" in parts and "a whole number" in parts:
        parts.remove("a whole number")
    *others, last = parts or ["something else"]
    return f"{', '.join(others)} or {last}" if others else last


def _parts(kind: Any, upper: bool) -> Iterator[str]:
    if isinstance(kind, (inspect.IntType, inspect.FloatType)):
        noun = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
        bounds = {"of at most": kind.le, "below": kind.lt} if upper else {"of at least": kind.ge, "above": kind.gt}
        yield next((f"{noun} {said} {_number(value)}" for said, value in bounds.items() if value is not None), noun)
    elif isinstance(kind, inspect.LiteralType):
        yield from map(repr, kind.values)
    elif isinstance(kind, inspect.TupleType):
        yield f"a list of {len(kind.item_types)} values"
    else:
        yield from (word for types, word in _WORDS if isinstance(kind, types))


_WORDS: tuple[tuple[tuple[type, ...], str], ...] = (
    ((inspect.StrType,), "a text"),
    ((inspect.BoolType,), "true or false"),
    ((inspect.ListType, inspect.VarTupleType), "a list"),
    ((inspect.DictType, inspect.StructType), "a mapping"),
)


def _type(value: Any) -> str:
    kinds = (
        (bool, "true or false"),
        (int, "a whole number"),
        (float, "a number"),
        (str, "a text"),
        (dict, "a mapping"),
    )
    return next((word for kind, word in kinds if isinstance(value, kind)), "nothing" if value is None else "a list")


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return one_line(repr(value), 60)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)
