"""How output axes follow the variables: derived once per model and plan, then read from a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaling_tasks.documents import canonical_json, document_text, read_document
from scaling_tasks.errors import ModelError, ScalingTasksError
from scaling_tasks.files import digest_bytes, write_if_changed
from scaling_tasks.onnx_model.reading import ModelSignature
from scaling_tasks.pipeline.target import Target
from scaling_tasks.pipeline.units import UnitsDocument

if TYPE_CHECKING:
    from scaling_tasks.onnx_model.relations import Relations

__all__ = ["target_relations"]

_KIND, _VERSION = "relations", 1


def target_relations(target: Target, document: UnitsDocument) -> Relations:
    """Return the relations of the target's model.

    Raises:
        ModelError: An output axis follows no known relation to the input sizes.
    """
    from scaling_tasks.onnx_model.relations import Relations, derive_relations

    buckets = [bucket for unit in document.units for bucket in unit.buckets]
    dims = {tensor.name: list(tensor.dims) for tensor in document.inputs.inputs}
    key = digest_bytes(canonical_json([_VERSION, document.model_digest, dims, buckets]).encode())
    path = target.state / "relations.json"
    try:
        known = read_document(path, _KIND, _VERSION, error=ModelError)
        if known["key"] == key:
            return Relations.from_payload(known["axes"])
    except (ScalingTasksError, KeyError, TypeError, ValueError):
        pass  # Missing or damaged: derived anew.
    signature = ModelSignature(document.inputs, document.outputs)
    relations = derive_relations(target.model, signature, buckets)
    text = document_text(_KIND, _VERSION, {"key": key, "axes": relations.to_payload()})
    write_if_changed(path, text.encode())
    return relations
