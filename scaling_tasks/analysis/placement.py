"""Where padding is set to zero: at the cheapest cut between what fills it and what needs zeros.

An operator that needs zeros may have them cleaned right before it, or further up where tensors are smaller or lead to
several such operators, as long as what lies between keeps zeros. So tensors are vertices, what an operator computes
from them are edges, tensors that an operator fills with something else are sources, those that must be zero are sinks,
and the places to clean are a vertex cut of the least total size (Ford and Fulkerson, 1956), the one nearest to the
sinks, so that a convolution stays beside its activation.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from scaling_tasks.analysis.cleaning import Cleaner, RowsMixed
from scaling_tasks.analysis.domain import Domain
from scaling_tasks.analysis.emitter import Emitter
from scaling_tasks.analysis.operation import Operation, Surroundings
from scaling_tasks.analysis.refusal import Refused
from scaling_tasks.analysis.registry import rule_for
from scaling_tasks.analysis.tensors import Tensor, is_symbolic
from scaling_tasks.shapes.behaviour import DATA

if TYPE_CHECKING:
    import onnx

__all__ = ["Step", "cleaned_elements", "early_tensors", "unfilled_axes"]

_SOURCE, _SINK = ("", "source"), ("", "sink")

Vertex = tuple[str, str]


@dataclass(frozen=True)
class Step:
    """One operator as a walk met it.

    Attributes:
        node: The node of the original graph.
        inputs: What was known of its inputs, before it cleaned any.
        outputs: What it gave.
    """

    node: onnx.NodeProto
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]


def cleaned_elements(cleaner: Cleaner, domain: Domain) -> float:
    """Return how many elements are gone over for cleaning, on average over the admissible sizes."""
    return sum(_elements(tensor, domain) for tensor in cleaner.cleaned)


def early_tensors(steps: Iterable[Step], cleaner: Cleaner, domain: Domain, opset: int) -> frozenset[str]:
    """Return the tensors that are best cleaned where they are computed, not where zeros are needed.

    Args:
        steps: A finished walk's.
        cleaner: The walk's.
        domain: The walk's.
        opset: Version of the default operator set.
    """
    return _Search(steps, cleaner, domain, opset).chosen()


class _Search:
    """The flow network around the operators that need zeros."""

    def __init__(self, steps: Iterable[Step], cleaner: Cleaner, domain: Domain, opset: int) -> None:
        self._around = Surroundings(domain, Emitter(opset, set()), Cleaner(Emitter(opset, set()), cleaner.rows), opset)
        self._producers = {name: step for step in steps for name in step.node.output if name}
        self._tensors = {name: _named_output(step, name) for name, step in self._producers.items()}
        self._needs = [t.name for t in cleaner.zeroed if t.name in self._producers]
        self._capacities: dict[Vertex, dict[Vertex, float]] = {}
        self._fed: set[str] = set()

    def chosen(self) -> frozenset[str]:
        """Return the tensors in the cut that lead to others."""
        pending, seen = list(dict.fromkeys(self._needs)), set(self._needs)
        for name in pending:
            self._join((name, "out"), _SINK, np.inf)
        while pending:
            name = pending.pop()
            self._join((name, "in"), (name, "out"), _elements(self._tensors[name], self._around.domain))
            feeders = self._feeders(name)
            if feeders is None:
                self._join(_SOURCE, (name, "in"), np.inf)
            for feeder in feeders or ():
                self._fed.add(feeder)
                self._join((feeder, "out"), (name, "in"), np.inf)
                if feeder not in seen:
                    seen.add(feeder)
                    pending.append(feeder)
        kept = _sink_side(self._capacities)
        cut = {name for name in seen if (name, "out") in kept and (name, "in") not in kept}
        return frozenset(cut & self._fed)

    def _join(self, start: Vertex, end: Vertex, capacity: float) -> None:
        self._capacities.setdefault(start, {})[end] = capacity
        self._capacities.setdefault(end, {}).setdefault(start, 0.0)

    def _feeders(self, name: str) -> list[str] | None:
        """Return the inputs whose padding must be zero for this tensor's to be, None where nothing makes it so."""
        step = self._producers[name]
        dirty = [at for at, each in enumerate(step.node.input) if self._is_dirty(each)]
        if not dirty or len(step.node.output) != 1 or not self._keeps_zero(step, dirty):
            return None
        if len(dirty) == 2:  # Of the factors of a product one is enough.
            single = [at for at in dirty if self._keeps_zero(step, [at])]
            followed = [at for at in single if self._feeds_on(step.node.input[at])]
            dirty = (followed or single or dirty)[: 1 if single else 2]
        return list(dict.fromkeys(step.node.input[at] for at in dirty))

    def _feeds_on(self, name: str) -> bool:
        step = self._producers[name]
        dirty = [at for at, each in enumerate(step.node.input) if self._is_dirty(each)]
        return bool(dirty) and self._keeps_zero(step, dirty)

    def _is_dirty(self, name: str) -> bool:
        tensor = self._tensors.get(name)
        return tensor is not None and bool(unfilled_axes(tensor, self._around.cleaner.rows))

    def _keeps_zero(self, step: Step, zeroed: Sequence[int]) -> bool:
        """Return whether the output's padding is zero once that of some inputs is."""
        rule = rule_for(step.node.domain, step.node.op_type)
        if rule is None:
            return False
        inputs = [self._tensors.get(name, tensor) for name, tensor in zip(step.node.input, step.inputs, strict=True)]
        if any(t is not None and is_symbolic(t.value) and at not in rule.sizes for at, t in enumerate(inputs)):
            return False
        for at in zeroed:
            tensor = inputs[at]
            assert tensor is not None
            inputs[at] = _zero_padded(tensor, self._around.cleaner.rows)
        op = Operation(_copy(step.node), inputs, self._around)
        try:
            found = rule.function(op)
        except (Refused, RowsMixed):
            return False
        outputs = [found] if isinstance(found, Tensor) else list(found)
        clean = not op.newly_cleaned and outputs[0].axes is not None
        return clean and not unfilled_axes(outputs[0], self._around.cleaner.rows)


def _named_output(step: Step, name: str) -> Tensor:
    return step.outputs[list(step.node.output).index(name)]


def _zero_padded(tensor: Tensor, rows: str | None) -> Tensor:
    """Return what would be known of the tensor if it were cleaned along all axes that hold padding."""
    fills = {**tensor.fills, **dict.fromkeys(unfilled_axes(tensor, rows), 0.0)}
    return replace(tensor, fills=fills, low=min(tensor.low, 0.0), high=max(tensor.high, 0.0))


def unfilled_axes(tensor: Tensor, rows: str | None) -> list[int]:
    """Return the axes along which padding holds something other than zeros."""
    found = []
    for at, axis in enumerate(tensor.axes or ()):
        padded = [name for name in axis.variables if name != rows and not name.startswith(DATA)]
        if padded and tensor.fills.get(at) != 0:
            found.append(at)
    return found


def _elements(tensor: Tensor, domain: Domain) -> float:
    product = np.ones(domain.count)
    for axis in tensor.known_axes:
        product = product * domain.values(axis.length)
    return float(product.mean())


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    import onnx

    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy


def _sink_side(capacities: dict[Vertex, dict[Vertex, float]]) -> set[Vertex]:
    """Return the vertices from which the sink can still be reached once the greatest flow is sent.

    Shortest augmenting paths (Edmonds and Karp, 1972); ``capacities`` become what is left of them.
    """
    while (path := _path(capacities)) is not None:
        amount = min(capacities[start][end] for start, end in path)
        if not np.isfinite(amount):
            break
        for start, end in path:
            capacities[start][end] -= amount
            capacities[end][start] += amount
    found, pending = {_SINK}, [_SINK]
    while pending:
        end = pending.pop()
        for start in capacities.get(end, ()):
            if start not in found and capacities[start].get(end, 0.0) > 0:
                found.add(start)
                pending.append(start)
    return found


def _path(capacities: dict[Vertex, dict[Vertex, float]]) -> list[tuple[Vertex, Vertex]] | None:
    """Return a shortest path from the source to the sink along which something can still flow."""
    before: dict[Vertex, Vertex] = {}
    pending = deque([_SOURCE])
    while pending:
        start = pending.popleft()
        for end, capacity in capacities.get(start, {}).items():
            if capacity > 0 and end not in before and end != _SOURCE:
                before[end] = start
                if end == _SINK:
                    break
                pending.append(end)
    if _SINK not in before:
        return None
    path, end = [], _SINK
    while end != _SOURCE:
        path.append((before[end], end))
        end = before[end]
    return path
