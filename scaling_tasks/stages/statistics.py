"""Stage ``statistics``: the scan cache to ``statistics.json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaling_tasks.action import Action
from scaling_tasks.actions.request import ActionRequest
from scaling_tasks.errors import DatasetError
from scaling_tasks.execution.contract import Subject
from scaling_tasks.own_code import code_of
from scaling_tasks.stages.inputs import digests, inside, model_files, spec_parameters
from scaling_tasks.stages.stage import Made, Stage
from scaling_tasks.stages.target import Target
from scaling_tasks.stages.target_signature import target_signature

__all__ = ["STAGE", "work"]

_CACHE, _SUMMARY = "scan/cache", "scan/cache.json"
# Keys of `auto_scaling` that say what the network sees.
_COUNTED = ("limit_side_len", "interval")


def _request(target: Target, made: Made, unit: str | None) -> ActionRequest:
    # The summary changes exactly when the measurements do; the cache also holds what tells whether it is current.
    summary = made.result("scan").file("cache.json")
    model = model_files(target.model) if target.spec.model else {}
    sections = ("input_shape", "inputs", "auto_scaling", "dataset", "shape_bucket")
    inputs = {_SUMMARY: summary.digest, **digests(model)}
    parameters = spec_parameters(target, *sections)
    # Of how buckets are chosen only this matters to what is counted: another strategy counts nothing anew.
    chosen = parameters["target"]["auto_scaling"]
    parameters["target"]["auto_scaling"] = {name: chosen[name] for name in _COUNTED if name in chosen}
    return ActionRequest(
        Action("statistics", code_of(), inputs, parameters, outputs=("statistics.json",)),
        lambda: {_SUMMARY: summary.path, **model},
        f"{__name__}:work",
        Subject(target.name, "the statistics", DatasetError),
        hints=lambda: {"where": target.config},
        carried={_CACHE: summary.path.with_suffix("")},
    )


def work(inputs: Path, outputs: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Count the shapes that the target's model will see.

    Raises:
        DatasetError: The data set has nothing that the model's variables could be taken from.
        ModelError: The model cannot be read.
    """
    from scaling_tasks.samples.compute_statistics import compute_statistics
    from scaling_tasks.samples.scan import read_measurements

    target = inside(inputs, parameters)
    measurements = read_measurements(target.dataset, inputs / _CACHE)
    if measurements.summary() != (inputs / _SUMMARY).read_text(encoding="utf-8"):
        raise DatasetError("it was scanned again meanwhile", where=target.dataset.path, fix="Build again.")
    signature = target_signature(target).inputs
    statistics = compute_statistics(measurements, signature, target.spec.auto_scaling, target.dataset)
    (outputs / "statistics.json").write_text(statistics.to_json(), encoding="utf-8")
    return {"samples": len(statistics.histogram.samples), "weight": statistics.histogram.total}


STAGE = Stage(
    name="statistics",
    doc="count the shapes the model will see",
    after=("scan",),
    applies=lambda target: target.needs_data,
    request=_request,
    place=lambda target, unit, name: target.directory / name,
    products=lambda target: (target.directory / "statistics.json",),
    after_plan=False,
)
