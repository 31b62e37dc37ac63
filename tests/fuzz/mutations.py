"""Ways to spoil a file: by bytes, by lines, and by what it says."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Iterator
from random import Random
from typing import Any

from tests.fuzz.reader import Mutator

__all__ = [
    "HOSTILE_VALUES",
    "HOSTILE_WORDS",
    "binary_numbers",
    "change_value",
    "json_document",
    "json_line",
    "mutate",
    "table_cells",
]

HOSTILE_WORDS = (
    b"", b"\0", b"\n", b"\r", b"\t", b'"', b"'", b"\\", b"/", b"../", b"{", b"}", b"[", b"]", b",", b":", b"-", b"-0",
    b"0", b"1", b"-1", b"2147483648", b"4294967296", b"9007199254740993", b"9223372036854775808", b"1" + b"0" * 20,
    b"1" * 5000, b"1e400", b"-1e400", b"1e-400", b"NaN", b"Infinity", b"null", b"true", b"\xff", b"\xfe\xff",
    b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\\ud800", b"%s", b"{}", b"[[[[[[[[", b"[" * 10_000, b'{"a":' * 5_000,
    b"A" * 100_000, "é".encode(), "\u202e".encode(), "\U0010ffff".encode(), b"\x1b[31m",
)  # fmt: skip

HOSTILE_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -0.0, 1, -1, 2**24, 2**24 + 1, 2**31, 2**53 + 1, 2**63, 2**64, 10**20, -(2**63), 10**400,
    0.5, 1e308, float("nan"), float("inf"), float("-inf"), 5e-324, "", "0", "1e5", "NaN", "/etc/passwd", "../../x",
    "..", ".", "a/b",
    "\0", "a\nb", "\ud800", "-x", "*", "%s", "é", "x" * 300, "x" * 100_000, [], {}, [[]], [None], [1, 2, 3], {"a": 1},
    {"": ""}, [0] * 10_000,
)  # fmt: skip

_WIDTHS = {1: "B", 2: "H", 4: "I", 8: "Q"}


def mutate(content: bytes, chance: Random, mutators: tuple[Mutator, ...], words: tuple[bytes, ...]) -> bytes:
    """Return the content with one to three things changed."""
    own = (*mutators, *mutators, *_BYTES)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        chosen = chance.choice((*own, None))
        spoiled = _word(content, chance, words) if chosen is None else chosen(content, chance)
        content = spoiled[: 1 << 22]
    return content


def _word(content: bytes, chance: Random, words: tuple[bytes, ...]) -> bytes:
    """Put in a word, over some bytes or between them."""
    word = chance.choice((*HOSTILE_WORDS, *words, *words))
    start, stop = _range(content, chance, longest=chance.choice((0, 0, len(word), 8)))
    return content[:start] + word + content[stop:]


def _range(content: bytes, chance: Random, longest: int | None = None) -> tuple[int, int]:
    start = chance.randint(0, len(content))
    most = len(content) - start
    return start, start + chance.randint(0, most if longest is None else min(longest, most))


def _flip(content: bytes, chance: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 8)) if content else 0):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _cut_off(content: bytes, chance: Random) -> bytes:
    return content[: chance.randint(0, len(content))]


def _cut_out(content: bytes, chance: Random) -> bytes:
    start, stop = _range(content, chance, longest=chance.choice((1, 8, 64, None)))
    return content[:start] + content[stop:]


def _repeat(content: bytes, chance: Random) -> bytes:
    start, stop = _range(content, chance, longest=chance.choice((1, 8, 64, None)))
    return content[:stop] + content[start:stop] * chance.choice((1, 1, 2, 1000)) + content[stop:]


def _exchange(content: bytes, chance: Random) -> bytes:
    places = sorted(chance.randint(0, len(content)) for _ in range(4))
    first, second, third, fourth = places
    middle = content[second:third]
    return content[:first] + content[third:fourth] + middle + content[first:second] + content[fourth:]


def _noise(content: bytes, chance: Random) -> bytes:
    start, stop = _range(content, chance, longest=64)
    return content[:start] + chance.randbytes(chance.choice((1, 4, 64, 4096))) + content[stop:]


def _fill(content: bytes, chance: Random) -> bytes:
    start, stop = _range(content, chance)
    return content[:start] + chance.choice((b"\0", b"\xff", b" ", b"\n")) * (stop - start) + content[stop:]


def binary_numbers(content: bytes, chance: Random) -> bytes:
    """Write a number of 1 to 8 bytes that is often taken for a length, a count or an offset."""
    width = chance.choice((1, 2, 4, 8))
    top = 1 << 8 * width
    number = chance.choice((0, 1, 2, 7, 8, top // 2 - 1, top // 2, top - 1, top - 2, top // 256, len(content) % top))
    start = chance.randint(0, max(len(content) - width, 0))
    packed = struct.pack(chance.choice("<>") + _WIDTHS[width], number)
    return content[:start] + packed + content[start + width :]


def _lines(content: bytes, chance: Random) -> bytes:
    """Lose, repeat, exchange, join or indent lines."""
    lines = content.splitlines(keepends=True)
    if not lines:
        return content
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    action = chance.randrange(5)
    if action == 0:
        del lines[one]
    elif action == 1:
        lines.insert(other, lines[one])
    elif action == 2:
        lines[one], lines[other] = lines[other], lines[one]
    elif action == 3:
        lines[one] = lines[one].rstrip(b"\r\n")
    else:
        lines[one] = chance.choice((b" ", b"\t", b"- ", b"# ")) + lines[one]
    return b"".join(lines)


def _numbers(content: bytes, chance: Random) -> bytes:
    """Replace a number written in digits."""
    starts = [at for at, byte in enumerate(content) if 48 <= byte < 58 and not (at and 48 <= content[at - 1] < 58)]
    if not starts:
        return content
    start = stop = chance.choice(starts)
    while stop < len(content) and 48 <= content[stop] < 58:
        stop += 1
    number = chance.choice([value for value in HOSTILE_VALUES if type(value) in (int, float)])
    return content[:start] + str(number).encode() + content[stop:]


def _whole(content: bytes, chance: Random) -> bytes:
    """Be another file altogether."""
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
    others = (
        b"", b"\0" * 4096, b"\xff" * 4096, b"\n" * 4096, b"PK\x03\x04" + bytes(64), pointer, b"[" * 100_000,
        content.decode("latin-1").encode("utf-16"), b"\xef\xbb\xbf" + content, content[::-1], content * 3,
        gzip.compress(content, mtime=0), content.replace(b"\n", b"\r\n"), content.replace(b"\n", b"\r"),
        content + content, content + b"\0", content + b"{}", b" " * 100_000 + content,
    )  # fmt: skip
    return chance.choice(others)


_BYTES: tuple[Mutator, ...] = (
    _flip, _flip, _cut_off, _cut_out, _repeat, _exchange, _noise, _fill, binary_numbers, _lines, _numbers, _whole,
)  # fmt: skip


def json_document(content: bytes, chance: Random) -> bytes:
    """Change one value, key or list of a JSON document, give it another's, or say one twice."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return content
    return chance.choice((_changed_text, _changed_text, _changed_text, _grafted, _said_twice, _deep))(value, chance)


def _changed_text(value: Any, chance: Random) -> bytes:
    return _text(change_value(value, chance))


def _grafted(value: Any, chance: Random) -> bytes:
    """Put what stands at one place of a document at another, or have the two change places."""
    whole = [value]
    places = list(_places(whole))
    (one, key), (other, name) = chance.choice(places), chance.choice(places)
    kept = json.loads(_text(one[key])), json.loads(_text(other[name]))
    one[key] = kept[1]
    if chance.random() < 0.5:
        other[name] = kept[0]
    return _text(whole[0])


def _said_twice(value: Any, chance: Random) -> bytes:
    """Say one key of a mapping twice, with another value, which parsers take for one of the two."""
    mappings = [held for container, key in _places([value]) if isinstance(held := container[key], dict) and held]
    if not mappings:
        return _text(value)
    mapping = chance.choice(mappings)
    key = chance.choice(list(mapping))
    mark = "said a second time"
    other = _changed(mapping[key], chance)
    items = [*mapping.items(), (mark, other)] if chance.random() < 0.5 else [(mark, other), *mapping.items()]
    mapping.clear()
    mapping.update(items)
    return _text(value).replace(json.dumps(mark).encode(), json.dumps(key).encode())


def _deep(value: Any, chance: Random) -> bytes:
    """Put a value deep into lists or mappings."""
    whole = [value]
    container, key = chance.choice(list(_places(whole)))
    container[key] = "deep"
    depth = chance.choice((30, 900, 20_000))
    opening, closing = chance.choice((("[", "]"), ('{"a":', "}")))
    return _text(whole[0]).replace(b'"deep"', f"{opening * depth}1{closing * depth}".encode(), 1)


def json_line(content: bytes, chance: Random) -> bytes:
    """Change one value, key or list of one line, from its last tab on."""
    lines = content.split(b"\n")
    place = chance.randrange(len(lines))
    before, tab, text = lines[place].rpartition(b"\t")
    lines[place] = before + tab + json_document(text, chance)
    return b"\n".join(lines)


def table_cells(content: bytes, chance: Random) -> bytes:
    """Change the cells of a table whose lines are separated by commas or tabs."""
    lines = content.split(b"\n")
    place = chance.randrange(len(lines))
    mark = b"\t" if b"\t" in lines[0] else b","
    cells = lines[place].split(mark)
    value = chance.choice(HOSTILE_VALUES)
    cells[chance.randrange(len(cells))] = str(value).encode("utf-8", "surrogatepass")
    lines[place] = mark.join(cells * chance.choice((1, 1, 1, 1, 50)))
    return b"\n".join(lines)


def _text(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=True).encode()
    except (ValueError, RecursionError):
        return b"{}"


def change_value(value: Any, chance: Random) -> Any:
    """Return plain values with one of them, one key or one list changed."""
    whole = [value]
    container, key = chance.choice(list(_places(whole)))
    container[key] = _changed(container[key], chance)
    return whole[0]


def _places(whole: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield the place of every value: what holds it, and under which key."""
    pending: list[Any] = [whole]
    while pending:
        here = pending.pop()
        keys = here if isinstance(here, dict) else range(len(here)) if isinstance(here, list) else ()
        for key in keys:
            yield here, key
            pending.append(here[key])


def _changed(value: Any, chance: Random) -> Any:
    if isinstance(value, dict) and value and chance.random() < 0.6:
        return _changed_mapping(dict(value), chance)
    if isinstance(value, list) and value and chance.random() < 0.6:
        return _changed_list(list(value), chance)
    if isinstance(value, (int, float)) and chance.random() < 0.4:
        return value + chance.choice((1, -1, 0.5, -value, 1000, -2 * value))
    if isinstance(value, str) and chance.random() < 0.4:
        place = chance.randint(0, len(value))
        return value[:place] + chance.choice(("x", "/", "../", "\0", " ", "\n", "0")) + value[place:]
    return chance.choice(HOSTILE_VALUES)


def _changed_mapping(value: dict[Any, Any], chance: Random) -> dict[Any, Any]:
    key, other = chance.choice(list(value)), chance.choice(list(value))
    action = chance.randrange(4)
    if action == 0:
        del value[key]
    elif action == 1:
        value[chance.choice(("", "x", "../x", "\0", "\ud800", f"{key} ", str(key).upper()))] = value.pop(key)
    elif action == 2:
        value[key], value[other] = value[other], value[key]
    else:
        value["unknown"] = chance.choice(HOSTILE_VALUES)
    return value


def _changed_list(value: list[Any], chance: Random) -> list[Any]:
    one, other = chance.randrange(len(value)), chance.randrange(len(value))
    action = chance.randrange(5)
    if action == 0:
        del value[one]
    elif action == 1:
        value.insert(other, value[one])
    elif action == 2:
        value[one], value[other] = value[other], value[one]
    elif action == 3:
        value = value * chance.choice((2, 100))
    else:
        value.append(chance.choice(HOSTILE_VALUES))
    return value
