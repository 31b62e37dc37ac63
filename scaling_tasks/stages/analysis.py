"""Stage ``analysis``: the model to what padding does to its answers, and to the model that is compiled."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from scaling_tasks.action import Action
from scaling_tasks.actions.request import ActionRequest
from scaling_tasks.document_fields import DigestField
from scaling_tasks.documents import document_text, read_document
from scaling_tasks.errors import ConfigError, ModelError, PlanError
from scaling_tasks.execution.contract import Subject
from scaling_tasks.files import digest_file
from scaling_tasks.machine import versions_for
from scaling_tasks.names import Digest
from scaling_tasks.own_code import code_of
from scaling_tasks.stages.inputs import digests, inside, model_files, spec_parameters
from scaling_tasks.stages.stage import Built, Made, Stage
from scaling_tasks.stages.target import Target
from scaling_tasks.stages.target_signature import target_signature
from scaling_tasks.stages.verdict import listed, verdict_line, way_out

if TYPE_CHECKING:
    from scaling_tasks.shapes.behaviour import Behaviour, VerdictKind
    from scaling_tasks.shapes.signature import ModelSignature

__all__ = [
    "DOCUMENT",
    "STAGE",
    "Analysed",
    "analysed_now",
    "check_buckets",
    "check_split",
    "prepared_name",
    "read_analysis",
    "tools",
    "work",
]

DOCUMENT = "analysis.json"
_KIND, _VERSION = "analysis", 5
_WORTH_SENDING = 256 << 20
"""Bytes of a model that is larger than to be sent to be analysed and fetched as it was prepared."""


class Analysed(msgspec.Struct, frozen=True):
    """What the stage found.

    Attributes:
        behaviour: How answers relate to sizes and padding.
        places: How many tensors are cleaned.
        original: SHA-256 of the original model with its external data.
        possible: The verdict of the whole model where nothing is accepted.
    """

    behaviour: Behaviour
    places: int
    original: str
    possible: VerdictKind

    @property
    def line(self) -> str:
        """The verdict of the whole model in one line."""
        return verdict_line(self.behaviour, self.places, self.possible)


def prepared_name(target: Target) -> str:
    """Return what the model is called that is compiled: fixed inputs folded, and cleaned unless padding is accepted."""
    return f"prepared{target.model.suffix}"


def _request(target: Target, made: Made, unit: str | None) -> ActionRequest:
    files = model_files(target.model)
    parameters = spec_parameters(target, "input_shape", "inputs", "shape_bucket")
    parameters["exact"] = target.spec.runtime.exact
    parameters["multiples"] = target.spec.runtime.multiples
    parameters["cut"] = target.spec.runtime.oversize == "split"
    policies = target.spec.runtime.policies.values()
    parameters["zeros"] = all(policy.mode == "zero" and policy.side == "end" for policy in policies)
    inputs = digests(files)
    return ActionRequest(
        Action(
            "analysis",
            code_of(),
            inputs,
            parameters,
            versions_for(target.model.name),
            outputs=(DOCUMENT, prepared_name(target)),
        ),
        lambda: files,
        f"{__name__}:work",
        Subject(target.name, "the analysis", ModelError),
        hints=lambda: {"where": target.config},
        tools=f"{__name__}:tools" if sum(path.stat().st_size for path in files.values()) <= _WORTH_SENDING else "",
        at_home=True,
    )


def tools(inputs: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the toolchain that is found where this is called; no verdict depends on the platform."""
    return {"toolchain": versions_for(parameters["target"]["model"]), "platform": {}}


def work(inputs: Path, outputs: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Analyse the target's model; write what was found, and the model to compile.

    Returns:
        ``verdict``: of the whole model, ``line``: the same in words.

    Raises:
        ModelError: The model cannot be read or contradicts the configuration.
    """
    from scaling_tasks.onnx_model.digest import digest_model

    target = inside(inputs, parameters)
    signature = target_signature(target)
    if target.model.suffix == ".tflite":
        behaviour, places, model = _asked(target, signature), 0, target.model.read_bytes()
    else:
        behaviour, places, model = _followed(
            target, signature, parameters["multiples"], exact=parameters["exact"], cut=parameters["cut"]
        )
    possible = behaviour.kind
    if not parameters["exact"]:
        behaviour = behaviour.accepted(zeros=parameters["zeros"])
    (outputs / prepared_name(target)).write_bytes(model)
    found = Analysed(behaviour, places, digest_model(target.model), possible)
    payload = {**msgspec.structs.asdict(found), "behaviour": behaviour.to_payload()}
    (outputs / DOCUMENT).write_text(document_text(_KIND, _VERSION, payload), encoding="utf-8")
    return {"verdict": behaviour.kind, "line": found.line}


def read_analysis(path: Path) -> Analysed:
    """Return what the stage found.

    Raises:
        PlanError: Its document is missing or damaged.
    """
    return read_document(path, _KIND, _VERSION, error=PlanError, build=_analysed)


def _analysed(payload: Mapping[str, Any]) -> Analysed:
    from scaling_tasks.shapes.behaviour import Behaviour, VerdictKind  # Not for `doit list`, which looks at no model.

    found = msgspec.convert(payload, _Document)
    possible: VerdictKind = msgspec.convert(found.possible, VerdictKind)
    return Analysed(Behaviour.from_payload(found.behaviour), found.places, found.original, possible)


class _Document(msgspec.Struct):
    behaviour: dict[str, Any]
    places: Annotated[int, Meta(ge=0)]
    original: DigestField
    possible: str


def analysed_now(target: Target) -> tuple[Analysed, Digest]:
    """Return what the stage would find, and the digest of the model that it would prepare; nothing is kept.

    Raises:
        ModelError: The model cannot be read or contradicts the configuration.
    """
    from scaling_tasks.actions.perform import do_here

    with tempfile.TemporaryDirectory() as directory:
        outputs = do_here(_request(target, Built(target), None), Path(directory))
        return read_analysis(outputs / DOCUMENT), digest_file(outputs / prepared_name(target))


def check_buckets(
    target: Target, behaviour: Behaviour, variables: Sequence[str], buckets: Sequence[Sequence[int]]
) -> Behaviour:
    """Return the behaviour within the buckets; refuse those that could not answer as the original does.

    Raises:
        ModelError: Padding of a variable that is padded reaches an answer, or the model does not run at a bucket.
    """
    from scaling_tasks.analysis.analyse import LARGEST_SIZE

    where = target.config or target.name
    for bucket in buckets:
        sizes = dict(zip(variables, (int(size) for size in bucket), strict=True))
        below = behaviour.next_running(sizes, step=-1)
        if not (behaviour.takes(sizes) and behaviour.runs_at(below)):
            what = f"the model does not run at the planned bucket {sizes}"
            listed_there = target.spec.auto_scaling.strategy == "explicit"
            raise ModelError(what, where=where, fix=_where_it_runs(behaviour, sizes, below, listed_there=listed_there))
    beyond = [int(size) for bucket in buckets for size in bucket if int(size) > LARGEST_SIZE]
    if beyond and behaviour.kind in ("exact", "cleaned") and behaviour.verdicts:
        raise ModelError(
            f"a bucket of {max(beyond)} is larger than the {LARGEST_SIZE} up to which padding is proven harmless",
            where=where,
            fix="Plan smaller buckets, or accept it with `runtime: {padding: accept}`.",
        )
    largest = {name: max(int(bucket[at]) for bucket in buckets) for at, name in enumerate(variables)} if buckets else {}
    planned = behaviour.planned(largest)
    if planned.refusals:
        raise _refusal(planned, where)
    return planned


def _where_it_runs(
    behaviour: Behaviour, sizes: Mapping[str, int], below: Mapping[str, int], *, listed_there: bool
) -> str:
    """Return what to do about a bucket at which the model does not run.

    Args:
        behaviour: Of the model.
        sizes: The bucket.
        below: The nearest smaller size at which it does run, or the bucket itself.
        listed_there: Whether the user lists the buckets, so that nothing else changes them.
    """
    near, tied = behaviour.next_running(sizes), behaviour.tied_at(sizes)
    found = below if near == sizes else near
    if len(tied) == 1 and behaviour.runs_at(found) and not _runs_beside(behaviour, found, tied[0]):
        only = f"{tied[0]} {found[tied[0]]}"
        return f"It does at {only} alone, which its exporter took for fixed: export it again, or fix it in input_shape."
    if near == sizes:
        way = "list it" if listed_there else "keep buckets within it with auto_scaling.reachable"
        return f"The nearest at which it does is {below}: {way}." if below != sizes else ""
    if len(tied) > 1:
        names, first = " and ".join(tied), tied[0]
        how = f"let one follow in input_shape, such as 8*{first}, or call both {first} where they are equal"
        return f"It does at {near}: {names} go together, so {how}."
    return f"It does at {near}: {'list that' if listed_there else 'set auto_scaling.interval accordingly'}."


def _runs_beside(behaviour: Behaviour, sizes: Mapping[str, int], variable: str) -> bool:
    """Return whether the model runs at another size of a variable."""
    tried = ({**sizes, variable: sizes[variable] + step} for step in (1, -1))
    found = (behaviour.next_running(each, step=step) for each, step in zip(tried, (1, -1), strict=True))
    return any(behaviour.runs_at(each) for each in found)


def check_split(target: Target, behaviour: Behaviour) -> None:
    """Refuse to cut requests into pieces where no cut gives pieces whose answers make the whole's.

    Raises:
        ConfigError: Naming the output that stands in the way.
    """
    variables = [name for name in target_signature(target).inputs.variables if name != behaviour.rows]
    stuck, fix = [], "Write `fallback` or `error`."
    for variable in variables:
        bare = [output for output in behaviour.layouts if behaviour.join_axis(output, variable) is None]
        padded = any(v.kind in ("cleaned", "refused") for v in behaviour.verdicts if v.variable == variable)
        if bare:
            stuck.append(f"output {bare[0]!r} has no axis for pieces along {variable}")
        elif variable in behaviour.mixed:
            stuck.append(f"output {next(iter(behaviour.layouts))!r} at one position of {variable} depends on others")
            if padded:
                fix = "Write `fallback` or `error`, or accept other answers with `runtime: {padding: accept}`."
        else:
            return
    if stuck:
        what = f"split cannot join answers: {' and '.join(stuck)}"
        raise ConfigError(what, where=f"{target.config or target.name}: runtime.oversize", fix=fix)


def _refusal(behaviour: Behaviour, where: str) -> ModelError:
    blocking = behaviour.blamed
    outputs = {repr(verdict.output) for verdict in blocking}
    padded = listed(verdict.variable for verdict in blocking)
    answers = f"answer{'s' * (len(outputs) > 1)} {listed(outputs)}"
    what = f"padding {padded} would change the {answers}: {blocking[0]}"
    return ModelError(what, where=where, fix=way_out(behaviour))


def _followed(
    target: Target, signature: ModelSignature, multiples: Mapping[str, int], *, exact: bool, cut: bool
) -> tuple[Behaviour, int, bytes]:
    from scaling_tasks.analysis.analyse import analyse_model
    from scaling_tasks.analysis.preparation import prepare

    dims = {tensor.name: [_written(dim) for dim in tensor.dims] for tensor in signature.inputs.inputs}
    fixed = target.spec.inputs
    found = analyse_model(target.model, input_shape=dims, fixed_inputs=fixed, multiples=multiples, cut=cut)
    if exact:
        return found.behaviour, found.places, bytes(found.cleaned.SerializeToString(deterministic=True))
    # What is accepted is the model as it is.
    model = prepare(target.model, dims, fixed).model
    return found.behaviour, 0, bytes(model.SerializeToString(deterministic=True))


def _written(dim: Any) -> int | str:
    """Return a dimension as ``input_shape`` takes it."""
    from scaling_tasks.shapes.expressions import as_text

    return dim if isinstance(dim, int) else as_text(dim)


def _asked(target: Target, signature: ModelSignature) -> Behaviour:
    """Return the behaviour of a TFLite model, whose graph is not followed: lengths from its interpreter, no promise."""
    from scaling_tasks.onnx_model.tflite_lengths import output_lengths
    from scaling_tasks.shapes.behaviour import Behaviour, Verdict, plain_layouts

    lengths = output_lengths(target.model, signature.inputs)
    reason = "the graph of a TFLite model is not followed"
    verdicts = tuple(
        Verdict(output, variable, "refused", reason=reason)
        for output in lengths
        for variable in signature.inputs.variables
    )
    return Behaviour(plain_layouts(lengths), verdicts)


STAGE = Stage(
    name="analysis",
    doc="tell what padding does to answers, and clean it",
    after=(),
    applies=lambda target: target.compiles,
    request=_request,
    place=lambda target, unit, name: target.state / "analysis" / name,
    after_plan=False,
    # All weights, and nothing but compilers reads it.
    awaited=lambda target, name: name == prepared_name(target),
)
