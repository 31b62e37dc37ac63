"""Stage ``analysis``: the model to what padding does to its answers, and to the model that is compiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scaling_tasks.documents import document_text, read_document
from scaling_tasks.errors import ModelError, PlanError
from scaling_tasks.files import digest_bytes, write_if_changed
from scaling_tasks.pipeline.signature import target_signature
from scaling_tasks.pipeline.target import Target
from scaling_tasks.shapes.behaviour import Behaviour, Verdict, plain_layouts

if TYPE_CHECKING:
    from scaling_tasks.onnx_model.reading import ModelSignature

__all__ = ["Analysed", "analyse", "check_buckets", "read_analysis", "run"]

_KIND, _VERSION = "analysis", 1
_PROBED = 64


@dataclass(frozen=True)
class Analysed:
    """What the stage found.

    Attributes:
        behaviour: How answers relate to sizes and padding.
        places: How many tensors are cleaned.
        original: SHA-256 of the original model with its external data.
        prepared: SHA-256 of the model that is compiled.
    """

    behaviour: Behaviour
    places: int
    original: str
    prepared: str


def run(target: Target) -> dict[str, Any]:
    """Analyse the target's model; write what was found, and the model to compile.

    Returns:
        ``verdict``: of the whole model.

    Raises:
        ModelError: The model cannot be read or contradicts the configuration.
    """
    analysed, model = analyse(target)
    write_if_changed(target.prepared_model, model)
    payload = {**vars(analysed), "behaviour": analysed.behaviour.to_payload()}
    write_if_changed(target.analysis, document_text(_KIND, _VERSION, payload).encode())
    return {"verdict": analysed.behaviour.kind, "places": analysed.places}


def read_analysis(target: Target) -> Analysed:
    """Return what the stage found.

    Raises:
        PlanError: It has not run, or its document is damaged.
    """
    payload = read_document(target.analysis, _KIND, _VERSION, error=PlanError)
    try:
        return Analysed(
            Behaviour.from_payload(payload["behaviour"]),
            int(payload["places"]),
            str(payload["original"]),
            str(payload["prepared"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as cause:
        where = str(target.analysis)
        raise PlanError(f"incomplete ({cause!r})", where=where, fix="Delete it and build again.") from cause


def check_buckets(
    target: Target, behaviour: Behaviour, variables: Sequence[str], buckets: Sequence[Sequence[int]]
) -> None:
    """Refuse buckets that could not answer as the original does.

    Raises:
        ModelError: Padding of a variable that is padded reaches an answer, or the model does not run at a bucket.
    """
    where = target.config or target.name
    for bucket in buckets:
        sizes = dict(zip(variables, (int(size) for size in bucket), strict=True))
        if not behaviour.runs_at(sizes):
            near = behaviour.next_running(sizes)
            raise ModelError(
                f"the model does not run at the planned bucket {sizes}",
                where=where,
                fix=f"It does at {near}: set auto_scaling.interval accordingly." if near != sizes else "",
            )
    largest = {name: max(int(bucket[at]) for bucket in buckets) for at, name in enumerate(variables)} if buckets else {}
    # Below a bucket of 1 there is nothing that could be padded.
    blocking = [verdict for verdict in behaviour.refusals if largest.get(verdict.variable, 0) > 1]
    if blocking:
        raise _refusal(blocking, where)


def _refusal(blocking: Sequence[Verdict], where: str) -> ModelError:
    first = blocking[0]
    outputs = sorted({verdict.output for verdict in blocking})
    variables = sorted({verdict.variable for verdict in blocking})
    fix = f"{first.fix} " if first.fix else ""
    return ModelError(
        f"padding {' and '.join(variables)} would change the answer {', '.join(map(repr, outputs))}: {first}",
        where=where,
        fix=f"{fix}Fix {variables[0]} with input_shape, or accept it with `runtime: {{padding: accept}}`.",
    )


def analyse(target: Target) -> tuple[Analysed, bytes]:
    """Return what is found of the target's model, and the model to compile; nothing is written.

    Raises:
        ModelError: The model cannot be read or contradicts the configuration.
    """
    from scaling_tasks.onnx_model.digest import digest_model

    signature = target_signature(target)
    original = digest_model(target.model)
    if target.model.suffix == ".tflite":
        behaviour, places, model = _probed(target, signature), 0, target.model.read_bytes()
    else:
        behaviour, places, model = _followed(target, signature)
    return Analysed(behaviour, places, original, digest_bytes(model)), model


def _followed(target: Target, signature: ModelSignature) -> tuple[Behaviour, int, bytes]:
    from scaling_tasks.analysis.analyse import analyse_model
    from scaling_tasks.analysis.preparation import prepare

    dims = {tensor.name: [_written(dim) for dim in tensor.dims] for tensor in signature.inputs.inputs}
    fixed = target.spec.inputs
    found = analyse_model(target.model, input_shape=dims, fixed_inputs=fixed)
    if target.spec.runtime.exact:
        return found.behaviour, found.places, bytes(found.cleaned.SerializeToString(deterministic=True))
    # What is accepted is the model as it is.
    model = prepare(target.model, dims, fixed).model
    return found.behaviour.accepted(), 0, bytes(model.SerializeToString(deterministic=True))


def _written(dim: Any) -> int | str:
    """Return a dimension as ``input_shape`` takes it."""
    from scaling_tasks.shapes.expressions import as_text

    return dim if isinstance(dim, int) else as_text(dim)


def _probed(target: Target, signature: ModelSignature) -> Behaviour:
    """Return the behaviour of a model whose graph cannot be followed: its lengths by running it, all else refused."""
    from scaling_tasks.onnx_model.relations import derive_relations

    buckets = [[_PROBED] * len(signature.inputs.variables)]
    relations = derive_relations(target.model, signature, buckets)
    reason = "the graph of a TFLite model is not followed"
    verdicts = tuple(
        Verdict(output, variable, "refused", reason=reason)
        for output in relations.axes
        for variable in signature.inputs.variables
    )
    behaviour = Behaviour(plain_layouts(relations.axes), verdicts)
    return behaviour if target.spec.runtime.exact else behaviour.accepted()
