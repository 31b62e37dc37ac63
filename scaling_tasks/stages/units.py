"""The units document: what the compile stage has to do, readable without numpy or a compiler."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from scaling_tasks.document_fields import DigestField
from scaling_tasks.documents import document_text, read_document
from scaling_tasks.errors import PlanError
from scaling_tasks.shapes.signature import ModelSignature, Signature, TensorSpec, parse_dims
from scaling_tasks.shapes.unit import Unit
from scaling_tasks.stages.stage import Made

if TYPE_CHECKING:
    from scaling_tasks.shapes.behaviour import Behaviour

__all__ = [
    "UnitsDocument",
    "planned_units",
    "read_units",
    "read_units_if_there",
    "signature_of",
    "write_units",
]

_KIND, _VERSION = "units", 5


class UnitsDocument(msgspec.Struct, frozen=True, dict=True):
    """What was planned for the compiler.

    Attributes:
        model_digest: SHA-256 of the original model with its external data.
        inputs: The model's inputs with the variables that remain.
        outputs: The model's outputs; their dimensions as the model declares them.
        behaviour: How answers relate to sizes and padding.
        units: One compiler invocation each.
    """

    model_digest: str
    inputs: Signature
    outputs: tuple[TensorSpec, ...]
    behaviour: Behaviour
    units: tuple[Unit, ...]

    @functools.cached_property
    def signature_parameters(self) -> dict[str, Any]:
        """The model's inputs, outputs and behaviour as an action's parameters."""
        return {
            "inputs": [_tensor_payload(tensor) for tensor in self.inputs.inputs],
            "outputs": [_tensor_payload(tensor) for tensor in self.outputs],
            "behaviour": self.behaviour.to_payload(),
        }

    @functools.cached_property
    def compiled_inputs(self) -> Signature:
        """The inputs of the model that is compiled: the original's, and those that tell exact sizes."""
        return Signature((*self.inputs.inputs, *self.behaviour.tensors()))

    def unit(self, name: str) -> Unit:
        """Return the unit called ``name``.

        Raises:
            PlanError: The plan has no such unit.
        """
        try:
            return self._by_name[name]
        except KeyError:
            fix = "Run `doit list --all` to see the units it has."
            raise PlanError(f"the plan has no unit {name!r}", fix=fix) from None

    @functools.cached_property
    def _by_name(self) -> dict[str, Unit]:
        return {unit.name: unit for unit in self.units}


def planned_units(made: Made) -> UnitsDocument:
    """Return what the buckets stage has planned.

    Raises:
        PlanError: It is damaged.
    """
    file = made.result("buckets").file("units.json")
    return _read(file.place, file.digest)


@functools.lru_cache(maxsize=1024)
def _read(place: str, digest: str) -> UnitsDocument:
    return read_units(Path(place))


def write_units(path: Path, document: UnitsDocument) -> None:
    """Write the document."""
    payload = {
        "model": document.model_digest,
        **document.signature_parameters,
        "units": [
            {"name": unit.name, "stem": unit.stem, "variables": unit.variables, "buckets": unit.buckets}
            for unit in document.units
        ],
    }
    path.write_text(document_text(_KIND, _VERSION, payload), encoding="utf-8")


def signature_of(parameters: Mapping[str, Any]) -> ModelSignature:
    """Return the inputs and outputs that ``signature_parameters`` tell."""
    return ModelSignature(Signature(_tensors(parameters["inputs"])), _tensors(parameters["outputs"]))


def read_units(path: Path) -> UnitsDocument:
    """Read the document.

    Raises:
        PlanError: It is missing or damaged.
    """
    return read_document(path, _KIND, _VERSION, error=PlanError, build=_document)


class _Tensor(msgspec.Struct):
    name: str
    dims: list[Any]
    dtype: str


class _Unit(msgspec.Struct):
    name: str
    stem: str
    variables: tuple[str, ...]
    buckets: tuple[tuple[Annotated[int, Meta(ge=0, lt=1 << 31)], ...], ...]

    def __post_init__(self) -> None:
        if any(len(bucket) != len(self.variables) for bucket in self.buckets):
            raise ValueError(f"a bucket that is not over {list(self.variables)}")


class _Document(msgspec.Struct):
    model: DigestField
    inputs: list[_Tensor]
    outputs: list[_Tensor]
    behaviour: dict[str, Any]
    units: list[_Unit]

    def __post_init__(self) -> None:
        if len({unit.name for unit in self.units}) != len(self.units):
            raise ValueError("two units of one name")


def _document(payload: Mapping[str, Any]) -> UnitsDocument:
    from scaling_tasks.shapes.behaviour import Behaviour  # Not for `doit list`, which looks at no units.

    found = msgspec.convert(payload, _Document)
    behaviour = Behaviour.from_payload(found.behaviour)
    inputs, outputs = Signature(_tensors(payload["inputs"])), _tensors(payload["outputs"])
    known = set(inputs.variables)
    if not behaviour.variables.union(*(unit.variables for unit in found.units)) <= known:
        raise ValueError(f"units or a behaviour over other variables than {sorted(known)}")
    units = tuple(Unit(each.name, each.stem, each.variables, each.buckets) for each in found.units)
    return UnitsDocument(found.model, inputs, outputs, behaviour, units)


def read_units_if_there(path: Path) -> UnitsDocument | None:
    """Read the document, None where there is none that can be used: task creation must not fail."""
    try:
        return read_units(path)
    except PlanError:
        return None


def _tensor_payload(tensor: TensorSpec) -> dict[str, Any]:
    return {"name": tensor.name, "dims": tensor.dims, "dtype": tensor.dtype}


def _tensors(payload: Sequence[Mapping[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(each["name"], parse_dims(each["dims"]), each["dtype"]) for each in payload)
