"""The options of the built-in backends as Markdown: ``python -m scaling_tasks.compilers.options_page`` renews the page.

It is made from the schema that editors complete keys from, so that both say the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaling_tasks.compilers.registry import BUILT_IN
from scaling_tasks.compilers.schema import complete_schema
from scaling_tasks.files import write_if_changed

__all__ = ["PAGE", "options_page"]

PAGE = Path(__file__).parents[2] / "docs" / "options.md"

_HEAD = """# Options of the built-in backends

What `compile.options` may say for each `compile.backend`, made from what is checked and what editors complete, by
`python -m scaling_tasks.compilers.options_page`. Where no default stands, the compiler's own holds,
or what the meaning says.
"""
_TABLE = "| option | value | default | meaning |\n|---|---|---|---|\n"


def options_page() -> str:
    """Return the whole page: a table per backend, a row per option."""
    definitions = complete_schema(BUILT_IN)["$defs"]
    parts = [_HEAD]
    for backend in BUILT_IN:
        (kind,) = (value for name, value in definitions.items() if name.startswith(f"{backend}."))
        rows = (_row(name, option) for name, option in kind["properties"].items())
        parts.append(f"## `{backend}`\n\n{_TABLE}{''.join(rows)}")
    return "\n".join(parts)


def _row(name: str, option: Mapping[str, Any]) -> str:
    default = option.get("default")
    said = "" if default is None else f" `{json.dumps(default)}`"
    return f"| `{name}` | {_values(option)} |{said} | {_meaning(option)} |\n"


def _meaning(option: Mapping[str, Any]) -> str:
    """Return the description, which lies in the one alternative that has it where null is another."""
    return next(str(each["description"]) for each in (option, *option.get("anyOf", ())) if "description" in each)


def _values(option: Mapping[str, Any]) -> str:
    """Return what may be said for an option, in the words of JSON Schema."""
    if "enum" in option:
        return ", ".join(f"`{json.dumps(value)}`" for value in option["enum"])
    if "anyOf" in option:
        return " or ".join(_values(each) for each in option["anyOf"] if each.get("type") != "null")
    kind = str(option.get("type", "anything"))
    inner = option.get("items") or option.get("additionalProperties")
    if kind == "array" and "prefixItems" in option:
        return f"list of {len(option['prefixItems'])}"
    return f"{kind} of {_values(inner)}" if isinstance(inner, dict) and inner else kind


if __name__ == "__main__":
    write_if_changed(PAGE, options_page().encode(), below=PAGE.parent)
