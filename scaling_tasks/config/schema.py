"""The JSON Schema of a target's configuration, made from the specs; ``compilers`` adds the backends' options."""

from __future__ import annotations

import inspect
import re
from typing import Any

import msgspec

from scaling_tasks.config import preprocessing, specs

__all__ = ["target_schema"]

_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*(?:\n {8,}.*)*)", re.MULTILINE)
# MindOCR nests the parameters of two strategies; both spellings are read.
_NESTED = {"mean_std": ("n_std",), "max_min": ("expand_ratio",)}


def target_schema() -> dict[str, Any]:
    """Return the schema that describes what `load_target` reads."""
    schema: dict[str, Any] = msgspec.json.schema(specs.TargetSpec)
    definitions = schema["$defs"]
    for name, definition in definitions.items():
        _describe(definition, name)
    target = definitions["TargetSpec"]
    target["title"] = "A target of scaling_tasks"
    dataset = target["properties"]["dataset"]
    dataset["anyOf"] = [{"type": "string", "description": "The data set's path."}, *dataset["anyOf"]]
    scaling = definitions["AutoScalingSpec"]["properties"]
    for strategy, names in _NESTED.items():
        inner = {name: scaling[name] for name in names}
        scaling[strategy] = {
            "type": "object",
            "properties": inner,
            "additionalProperties": False,
            "description": "MindOCR's nesting; the same key may stand beside it instead.",
        }
    target["properties"]["matrix"] = _matrix(target["properties"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _matrix(keys: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of ``matrix``: lists of what each key may be; longer key paths are axes too."""
    axes = {name: {"type": "array", "minItems": 1, "items": said} for name, said in keys.items() if name != "name"}
    entries = {"type": "array", "items": {"type": "object"}}
    return {
        "type": "object",
        "description": "Several targets of one file: every combination of the values of these keys, which may be "
        "paths such as compile.options.precision, merged over the rest of the file.",
        "properties": {
            **axes,
            "name": {"type": "string", "description": "What each target is called, such as '{name}-{backend}'."},
            "include": {**entries, "description": "Further targets, each a mapping from axes to values."},
            "exclude": {**entries, "description": "Combinations left out: mappings from axes to values."},
        },
        "additionalProperties": {"type": "array", "minItems": 1},
    }


def _describe(definition: dict[str, Any], name: str) -> None:
    """Move the attributes' descriptions from a spec's docstring to the properties."""
    spec = getattr(specs, name, None) or getattr(preprocessing, name)
    text = inspect.cleandoc(spec.__doc__ or "")
    said, _, attributes = text.partition("\nAttributes:\n")
    definition["description"] = _one_line(said)
    for attribute, words in _ATTRIBUTE.findall(attributes):
        definition["properties"][attribute]["description"] = _one_line(words)


def _one_line(text: str) -> str:
    return " ".join(text.split())
