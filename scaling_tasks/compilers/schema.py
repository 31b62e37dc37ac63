"""The JSON Schema of a target's configuration with the options of every backend that is installed here.

``python -m scaling_tasks.compilers.schema`` prints it; ``doit scaling_init`` puts it beside the configurations.
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from scaling_tasks.compilers.registry import backend_names, get_backend
from scaling_tasks.config.schema import target_schema
from scaling_tasks.documents import canonical_json

__all__ = ["complete_schema", "complete_schema_text"]


def complete_schema() -> dict[str, Any]:
    """Return the schema, in which ``compile.options`` depend on ``compile.backend``.

    Raises:
        CompileError: A backend that a package registers cannot be imported.
    """
    schema = target_schema()
    definitions = schema["$defs"]
    rules = []
    for name in backend_names():
        kind = get_backend(name).options_type
        own, components = msgspec.json.schema_components([kind], ref_template=f"#/$defs/{name}.{{name}}")
        definitions |= {f"{name}.{part}": definition for part, definition in components.items()}
        rules.append(
            {
                "if": {"properties": {"backend": {"const": name}}, "required": ["backend"]},
                "then": {"properties": {"options": own[0]}},
            }
        )
    definitions["CompileSpec"]["allOf"] = rules
    return schema


def complete_schema_text() -> str:
    """Return the schema as it is written to a file."""
    return canonical_json(complete_schema(), indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(complete_schema_text())
