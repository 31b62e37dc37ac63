"""The JSON Schema of a target's configuration with the options of backends, for editors.

``python -m scaling_tasks.compilers.schema`` prints it for every backend that is installed here, which is what
``doit scaling_init`` puts beside the configurations; with ``--publish`` it writes ``config/schema.json``, which has the
built-in backends, anew after a change of the specs or of options.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from scaling_tasks import config
from scaling_tasks.compilers.registry import BUILT_IN, backend_names, get_backend
from scaling_tasks.config.schema import target_schema
from scaling_tasks.documents import canonical_json
from scaling_tasks.files import write_if_changed

__all__ = ["PUBLISHED", "complete_schema", "schema_text"]

PUBLISHED = Path(config.__file__).with_name("schema.json")


def complete_schema(backends: Iterable[str] | None = None) -> dict[str, Any]:
    """Return the schema, in which ``compile.options`` depend on ``compile.backend``.

    Args:
        backends: Those whose options it has; all that are installed by default.

    Raises:
        CompileError: A backend that a package registers cannot be imported.
    """
    schema = target_schema()
    definitions = schema["$defs"]
    rules = []
    for name in backend_names() if backends is None else sorted(backends):
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


def schema_text(backends: Iterable[str] | None = None) -> str:
    """Return the schema as it is written to a file."""
    return canonical_json(complete_schema(backends), indent=1) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--publish"]:
        write_if_changed(PUBLISHED, schema_text(BUILT_IN).encode(), below=PUBLISHED.parent)
    else:
        sys.stdout.write(schema_text())
