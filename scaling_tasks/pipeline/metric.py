"""Stage ``metric``: the user's task metric through the bundle and through the original at exact shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scaling_tasks.documents import parse_document
from scaling_tasks.errors import VerificationFailed
from scaling_tasks.files import write_if_changed
from scaling_tasks.pipeline.process import work_apart
from scaling_tasks.pipeline.target import Target

__all__ = ["run", "work"]


def run(target: Target) -> dict[str, Any]:
    """Score labelled data both ways and write both scores.

    Raises:
        VerificationFailed: The bundle loses more than ``verify.drop``, or the metric failed.
        ConfigError: The metric cannot be imported.
    """
    text = work_apart("metric", target)
    write_if_changed(target.metric, text.encode())
    found = parse_document(text, "metric", 1, where=target.name, error=VerificationFailed)
    return {"buckets": found["buckets"], "exact": found["exact"]}


def work(target: Target, unit: None) -> str:
    """Return the metric document; called in a process of its own."""
    from scaling_tasks.onnx_model.original import open_original
    from scaling_tasks.runtime.bundle import load_bundle
    from scaling_tasks.verification.metric import load_metric, score_task

    spec = target.spec.verify
    if spec.metric is None or spec.dataset is None:
        raise ValueError(f"target {target.name} has no metric")
    metric = load_metric(spec.metric, search=Path.cwd())
    original = open_original(target.model)

    def exact(requests: Any) -> list[Any]:
        return [original.run(request) for request in requests]

    with load_bundle(target.directory) as model:
        result = score_task(spec.metric, metric, Path(spec.dataset), model.run_many, exact, spec.drop)
    if failure := result.failure():
        raise failure
    return result.to_json()
