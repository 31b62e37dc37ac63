"""Stage ``bundle``: artefacts to the manifest that makes their directory a bundle."""

from __future__ import annotations

from typing import Any

from scaling_tasks.files import write_if_changed
from scaling_tasks.onnx_model.reading import ModelSignature
from scaling_tasks.pipeline.artefacts import read_record, remove_others
from scaling_tasks.pipeline.relations import target_relations
from scaling_tasks.pipeline.target import Target
from scaling_tasks.pipeline.units import read_units

__all__ = ["run"]


def run(target: Target) -> dict[str, Any]:
    """Write ``manifest.json`` and remove the artefacts of buckets that are no longer planned; the store keeps them.

    Raises:
        ModelError: An output axis follows no known relation to the input sizes.
    """
    from scaling_tasks.planning.plan import BucketPlan
    from scaling_tasks.runtime.manifest import ArtefactFile, make_manifest

    document = read_units(target.units)
    plan = BucketPlan.from_json(target.buckets.read_bytes(), where=str(target.buckets))
    order = [plan.variables.index(variable) for variable in document.inputs.variables]
    costs = {
        tuple(int(bucket[column]) for column in order): float(cost)
        for bucket, cost in zip(plan.buckets, plan.bucket_costs, strict=True)
    }
    files = [
        (unit, [ArtefactFile(file["name"], file["digest"]) for file in read_record(target, unit.name)["files"]])
        for unit in document.units
    ]
    manifest = make_manifest(
        target.model.stem,
        target.options["backend"],
        target.options,
        ModelSignature(document.inputs, document.outputs),
        target_relations(target, document),
        files,
        costs,
    )
    removed = remove_others(target, [unit.name for unit in document.units])
    write_if_changed(target.manifest, manifest.to_json().encode())
    return {"path": target.directory.as_posix(), "removed": len(removed)}
