"""``manifest.json``: everything a runtime needs to know of a bundle."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scaling_tasks.documents import document_text, parse_document
from scaling_tasks.errors import BundleError
from scaling_tasks.names import Digest, InnerName, inner_name
from scaling_tasks.names import digest as digest_of
from scaling_tasks.runtime.policies import OVERSIZE, Oversize, Padding, padding_of
from scaling_tasks.shapes.behaviour import Behaviour
from scaling_tasks.shapes.signature import ModelSignature, Signature, TensorSpec, parse_dims
from scaling_tasks.shapes.unit import Unit

__all__ = ["MANIFEST", "ArtefactFile", "BundleArtefact", "Fallback", "Manifest", "make_manifest"]

MANIFEST = "manifest.json"

_KIND, _VERSION = "manifest", 6


@dataclass(frozen=True)
class ArtefactFile:
    """A file of the bundle.

    Attributes:
        name: Its name below the bundle's directory.
        digest: SHA-256 of its content, hexadecimal.
        size: Its bytes; None in bundles of earlier versions, which do not tell.
    """

    name: InnerName
    digest: Digest
    size: int | None = None

    @classmethod
    def of(cls, name: str, digest: str, size: int | None = None) -> ArtefactFile:
        """Return the file that plain values tell of.

        Raises:
            ValueError: The name leads out of the bundle, or the digest is none, or the size.
        """
        if size is not None and (type(size) is not int or size < 0):
            raise ValueError(f"{size!r} is no number of bytes")
        return cls(inner_name(name), digest_of(digest), size)

    def to_payload(self) -> dict[str, Any]:
        """Return plain values for a JSON document."""
        told = {} if self.size is None else {"size": self.size}
        return {"name": self.name, "digest": self.digest, **told}


@dataclass(frozen=True)
class BundleArtefact:
    """What one unit produced.

    Attributes:
        stem: The unit's stem.
        files: Its files; the first is the one that is loaded.
        buckets: The buckets it runs at, one value per variable of the manifest each.
        costs: What one inference at each bucket costs, in the plan's unit.
        hits: How often the data set that was planned for uses each bucket.
        longest: Of outputs that have fixed shapes in this artefact though data decides how long they are: per axis how
            long it can get, None where data does not decide that. The runtime cuts them to what the data made.
    """

    stem: str
    files: tuple[ArtefactFile, ...]
    buckets: tuple[tuple[int, ...], ...]
    costs: tuple[float, ...]
    hits: tuple[float, ...]
    longest: Mapping[str, tuple[int | None, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Fallback:
    """The dynamic model that serves what no bucket contains.

    Attributes:
        engine: Name of the engine that loads it.
        file: The model.
        options: The options it is loaded with.
    """

    engine: str
    file: ArtefactFile
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """What a bundle holds and how it is to be used.

    Attributes:
        model: Name of the model.
        backend: Name of the backend that made the artefacts.
        options: The options they are loaded with (the target's ``compile`` section).
        signature: Inputs with named variables, and outputs; how long these are is in ``behaviour``.
        behaviour: How answers relate to sizes and padding.
        artefacts: All artefacts, sorted by stem.
        padding: How each input is padded.
        oversize: What to do with sizes that no bucket contains.
        round_up: Whether a size at which the original does not run is padded to the next one at which it does.
        fallback: The dynamic model for ``oversize: fallback``.
        engine: Name of the engine that loads the artefacts.
    """

    model: str
    backend: str
    options: Mapping[str, Any]
    signature: ModelSignature
    behaviour: Behaviour
    artefacts: tuple[BundleArtefact, ...]
    padding: Mapping[str, Padding]
    oversize: Oversize = "error"
    round_up: bool = False
    fallback: Fallback | None = None
    engine: str = ""

    @property
    def variables(self) -> tuple[str, ...]:
        """The columns of all buckets."""
        return self.signature.inputs.variables

    @property
    def files(self) -> tuple[ArtefactFile, ...]:
        """All files of the bundle but the manifest itself."""
        fallback = () if self.fallback is None else (self.fallback.file,)
        return (*(file for artefact in self.artefacts for file in artefact.files), *fallback)

    def to_json(self) -> str:
        """Return the ``manifest.json`` document, byte-deterministic."""
        payload: dict[str, Any] = {
            "model": self.model,
            "backend": self.backend,
            "engine": self.engine,
            "options": dict(self.options),
            "variables": list(self.variables),
            "inputs": [
                {"name": tensor.name, "dtype": tensor.dtype, "dims": list(tensor.dims)}
                | {"padding": self.padding[tensor.name].to_payload()}
                for tensor in self.signature.inputs.inputs
            ],
            "outputs": [{"name": tensor.name, "dtype": tensor.dtype} for tensor in self.signature.outputs],
            "behaviour": self.behaviour.to_payload(),
            "artefacts": [_artefact_payload(artefact) for artefact in self.artefacts],
            "oversize": self.oversize,
            "round_up": self.round_up,
        }
        if self.fallback is not None:
            payload["fallback"] = {
                "engine": self.fallback.engine,
                "file": self.fallback.file.to_payload(),
                "options": dict(self.fallback.options),
            }
        return document_text(_KIND, _VERSION, payload)

    @classmethod
    def from_json(cls, text: str | bytes, *, where: str = MANIFEST) -> Manifest:
        """Read what ``to_json`` wrote.

        Raises:
            BundleError: The text is not such a document.
        """
        return parse_document(text, _KIND, _VERSION, where=where, error=BundleError, build=_from_payload)


def make_manifest(
    model: str,
    backend: str,
    options: Mapping[str, Any],
    signature: ModelSignature,
    behaviour: Behaviour,
    artefacts: Sequence[tuple[Unit, Sequence[ArtefactFile]]],
    costs: Mapping[tuple[int, ...], float],
    *,
    hits: Mapping[tuple[int, ...], float] | None = None,
    padding: Mapping[str, Padding] | None = None,
    oversize: Oversize = "error",
    round_up: bool = False,
    fallback: Fallback | None = None,
    engine: str = "",
    longest: Mapping[str, Mapping[str, Sequence[int | None]]] | None = None,
) -> Manifest:
    """Return the manifest of what was built.

    Args:
        model: Name of the model, shown in messages.
        backend: Name of the backend that made the artefacts.
        options: The target's ``compile`` section as plain values.
        signature: The model's inputs with named variables, and its outputs.
        behaviour: How answers relate to sizes and padding.
        artefacts: Each unit with its files, the one to load first.
        costs: Cost per bucket, columns in the order of the signature's variables; a bucket that is missing costs the
            product of its sizes, as all do where ``costs`` is empty.
        hits: How often the data set that was planned for uses each bucket; those that are missing, never.
        padding: Policies of inputs that differ from the default, see ``padding_of``.
        oversize: What to do with sizes that no bucket contains.
        round_up: Whether a size at which the original does not run is padded to the next one at which it does.
        fallback: The dynamic model, needed for ``oversize="fallback"``.
        engine: Name of the engine that loads the artefacts; the backend's where left out.
        longest: By stem of a unit, see ``BundleArtefact``.

    Raises:
        BundleError: Units over other variables, or a policy that names no input or lacks its model.
    """
    variables = signature.inputs.variables
    policies = padding_of(signature.inputs, padding or {})
    if oversize == "fallback" and fallback is None:
        raise BundleError("the dynamic model is not in the bundle", where="oversize: fallback")
    told = longest or {}
    built = [_built(unit, files, variables, costs, hits or {}, told.get(unit.stem, {})) for unit, files in artefacts]
    return Manifest(
        model,
        backend,
        dict(options),
        signature,
        behaviour,
        tuple(sorted(built, key=lambda artefact: artefact.stem)),
        policies,
        oversize,
        round_up,
        fallback,
        engine or backend,
    )


def _built(
    unit: Unit,
    files: Sequence[ArtefactFile],
    variables: tuple[str, ...],
    costs: Mapping[tuple[int, ...], float],
    hits: Mapping[tuple[int, ...], float],
    longest: Mapping[str, Sequence[int | None]],
) -> BundleArtefact:
    if set(unit.variables) != set(variables):
        raise BundleError(f"its variables are {list(unit.variables)}, not {list(variables)}", where=unit.stem)
    columns = [unit.variables.index(name) for name in variables]
    buckets = tuple(tuple(int(bucket[column]) for column in columns) for bucket in unit.buckets)
    spent = tuple(float(_cost(costs, bucket)) for bucket in buckets)
    used = tuple(float(hits.get(bucket, 0)) for bucket in buckets)
    return BundleArtefact(unit.stem, tuple(files), buckets, spent, used, _lengths(longest))


def _cost(costs: Mapping[tuple[int, ...], float], bucket: tuple[int, ...]) -> float:
    if bucket in costs:
        return costs[bucket]
    product = 1.0
    for size in bucket:
        product *= size
    return product


def _artefact_payload(artefact: BundleArtefact) -> dict[str, Any]:
    return {
        "stem": artefact.stem,
        "files": [file.to_payload() for file in artefact.files],
        "buckets": [list(bucket) for bucket in artefact.buckets],
        "costs": list(artefact.costs),
        "hits": list(artefact.hits),
        "longest": {name: list(axes) for name, axes in artefact.longest.items()},
    }


def _lengths(payload: Mapping[str, Sequence[int | None]]) -> dict[str, tuple[int | None, ...]]:
    if any(each is not None and (type(each) is not int or each < 1) for axes in payload.values() for each in axes):
        raise ValueError(f"{dict(payload)!r} are no lengths of outputs")
    return {str(name): tuple(axes) for name, axes in payload.items()}


def _from_payload(payload: Mapping[str, Any]) -> Manifest:
    behaviour = Behaviour.from_payload(payload["behaviour"])
    inputs = tuple(TensorSpec(each["name"], parse_dims(each["dims"]), each["dtype"]) for each in payload["inputs"])
    # The axes of an output stand in the behaviour; here they only say which axes there are.
    outputs = tuple(
        TensorSpec(each["name"], tuple(f"{each['name']}_{axis}" for axis in range(rank)), each["dtype"])
        for each in payload["outputs"]
        for rank in (len(behaviour.layouts[each["name"]] or ()),)
    )
    fallback = payload.get("fallback")
    _check(payload, inputs, behaviour)
    return Manifest(
        payload["model"],
        payload["backend"],
        payload["options"],
        ModelSignature(Signature(inputs), outputs),
        behaviour,
        tuple(_artefact(each, Signature(inputs).variables) for each in payload["artefacts"]),
        {each["name"]: Padding.from_payload(each["padding"]) for each in payload["inputs"]},
        payload["oversize"],
        bool(payload["round_up"]),
        fallback and Fallback(fallback["engine"], _file(fallback["file"]), fallback["options"]),
        payload["engine"],
    )


def _check(payload: Mapping[str, Any], inputs: Sequence[TensorSpec], behaviour: Behaviour) -> None:
    """Refuse names that are none, inputs of no element type, and a behaviour over other variables than theirs."""
    names = [payload[key] for key in ("model", "backend", "engine")] + [tensor.name for tensor in inputs]
    if not all(isinstance(name, str) for name in names) or not isinstance(payload["options"], dict):
        raise ValueError("its names are texts, and its options a mapping")
    if payload["oversize"] not in OVERSIZE:
        raise ValueError(f"{payload['oversize']!r} is none of {', '.join(OVERSIZE)}")
    for tensor in inputs:
        if np.dtype(tensor.dtype).name != tensor.dtype:
            raise ValueError(f"{tensor.name!r} of {tensor.dtype!r} is no input")
    if unknown := behaviour.variables - set(Signature(tuple(inputs)).variables):
        raise ValueError(f"{min(map(str, unknown))!r} is no variable of its inputs")


def _artefact(payload: Mapping[str, Any], variables: tuple[str, ...]) -> BundleArtefact:
    files = tuple(_file(file) for file in payload["files"])
    buckets = tuple(tuple(bucket) for bucket in payload["buckets"])
    costs, hits = (tuple(map(float, payload[name])) for name in ("costs", "hits"))
    for bucket in buckets:
        if len(bucket) != len(variables) or any(type(size) is not int or size < 1 for size in bucket):
            raise ValueError(f"{list(bucket)} is no bucket over {list(variables)}")
    if (
        not files
        or not buckets
        or any(
            len(numbers) != len(buckets) or not all(0 <= number < math.inf for number in numbers)
            for numbers in (costs, hits)
        )
    ):
        raise ValueError(f"{payload['stem']} needs files, buckets, and a cost for each of them")
    return BundleArtefact(payload["stem"], files, buckets, costs, hits, _lengths(payload["longest"]))


def _file(payload: Mapping[str, Any]) -> ArtefactFile:
    return ArtefactFile.of(payload["name"], payload["digest"], payload.get("size"))
