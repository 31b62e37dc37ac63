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
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


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
