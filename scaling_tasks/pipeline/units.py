"""The units document: what the compile stage has to do, readable without numpy or a compiler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling_tasks.compilers.contract import Unit
from scaling_tasks.documents import document_text, read_document
from scaling_tasks.errors import PlanError
from scaling_tasks.files import write_if_changed
from scaling_tasks.shapes.behaviour import Behaviour
from scaling_tasks.shapes.signature import Signature, TensorSpec, parse_dims

if TYPE_CHECKING:
    from scaling_tasks.onnx_model.reading import ModelSignature
    from scaling_tasks.pipeline.analysis import Analysed

__all__ = ["UnitsDocument", "read_units", "read_units_if_there", "units_document", "units_text", "write_units"]

_KIND, _VERSION = "units", 2


@dataclass(frozen=True)
class UnitsDocument:
    """What was planned for the compiler.

    Attributes:
        original: SHA-256 of the original model with its external data.
        model_digest: SHA-256 of the model that is compiled.
        inputs: The model's inputs with the variables that remain.
        outputs: The model's outputs; their dimensions as the model declares them.
        behaviour: How answers relate to sizes and padding.
        units: One compiler invocation each.
    """

    original: str
    model_digest: str
    inputs: Signature
    outputs: tuple[TensorSpec, ...]
    behaviour: Behaviour
    units: tuple[Unit, ...]

    @property
    def compiled_inputs(self) -> Signature:
        """The inputs of the model that is compiled: the original's, and those that tell exact sizes."""
        return Signature((*self.inputs.inputs, *self.behaviour.tensors()))

    def unit(self, name: str) -> Unit:
        """Return the unit called ``name``.

        Raises:
            PlanError: The plan has no such unit.
        """
        for unit in self.units:
            if unit.name == name:
                return unit
        raise PlanError(f"the plan has no unit {name!r}", fix="Run `doit list --all` to see the units it has.")


def units_document(signature: ModelSignature, analysed: Analysed, units: tuple[Unit, ...]) -> UnitsDocument:
    """Return what there is to compile of a model that was analysed."""
    return UnitsDocument(
        analysed.original, analysed.prepared, signature.inputs, signature.outputs, analysed.behaviour, units
    )


def write_units(path: Path, document: UnitsDocument) -> bool:
    """Publish the document; return whether it changed."""
    return write_if_changed(path, units_text(document).encode())


def units_text(document: UnitsDocument) -> str:
    """Return the document as it is written."""
    payload = {
        "original": document.original,
        "model": document.model_digest,
        "inputs": [_tensor_payload(tensor) for tensor in document.inputs.inputs],
        "outputs": [_tensor_payload(tensor) for tensor in document.outputs],
        "behaviour": document.behaviour.to_payload(),
        "units": [
            {"name": unit.name, "stem": unit.stem, "variables": unit.variables, "buckets": unit.buckets}
            for unit in document.units
        ],
    }
    return document_text(_KIND, _VERSION, payload)


def read_units(path: Path) -> UnitsDocument:
    """Read the document.

    Raises:
        PlanError: It is missing or damaged.
    """
    payload = read_document(path, _KIND, _VERSION, error=PlanError)
    try:
        return UnitsDocument(
            payload["original"],
            payload["model"],
            Signature(_tensors(payload["inputs"])),
            _tensors(payload["outputs"]),
            Behaviour.from_payload(payload["behaviour"]),
            tuple(_unit(each) for each in payload["units"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as cause:
        raise PlanError(f"incomplete ({cause!r})", where=str(path), fix="Delete it and build again.") from cause


def read_units_if_there(path: Path) -> UnitsDocument | None:
    """Read the document, None where there is none that can be used: task creation must not fail."""
    try:
        return read_units(path)
    except PlanError:
        return None


def _unit(payload: Mapping[str, Any]) -> Unit:
    buckets = tuple(tuple(bucket) for bucket in payload["buckets"])
    return Unit(payload["name"], payload["stem"], tuple(payload["variables"]), buckets)


def _tensor_payload(tensor: TensorSpec) -> dict[str, Any]:
    return {"name": tensor.name, "dims": tensor.dims, "dtype": tensor.dtype}


def _tensors(payload: Sequence[Mapping[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(each["name"], parse_dims(each["dims"]), each["dtype"]) for each in payload)
