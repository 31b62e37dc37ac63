"""Whether the nodes of a model fit together: every value is made once, and bodies and functions fit their calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from scaling_tasks.errors import ModelError, one_line

__all__ = ["check_wired"]

_FIX = "Export the model again."
_STANDARD = ("", "ai.onnx")
_Function = tuple[str, str]


def check_wired(model: Any, where: str) -> None:
    """Refuse a model whose nodes do not fit together.

    Raises:
        ModelError: A value is used that nothing makes, or made twice; a node's bodies or a
            function take or give another number of values than it.
    """
    functions = {(function.domain, function.name): function for function in model.functions}
    if len(functions) < len(model.functions):
        raise ModelError("two functions have one name", where=where, fix=_FIX)
    checker = _Checker(where, functions)
    checker.graph(model.graph, ())
    for function in model.functions:
        checker.nodes(function.node, function.input, function.output)


class _Checker:
    def __init__(self, where: str, functions: dict[_Function, Any]) -> None:
        self._where, self._functions = where, functions

    def graph(self, graph: Any, outer: Collection[str]) -> None:
        given = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
        given |= {sparse.values.name for sparse in graph.sparse_initializer}
        outputs = [value.name for value in graph.output]
        self.nodes(graph.node, given, outputs, outer)

    def nodes(
        self,
        nodes: Sequence[Any],
        given: Collection[str],
        outputs: Collection[str],
        outer: Collection[str] = (),
    ) -> None:
        """Check the nodes of one graph or function, which runtimes and the analysis put in order."""
        made = Counter(name for node in nodes for name in node.output if name)
        made.update(set(given))
        twice = next((name for name, count in made.items() if count > 1), None)
        if twice is not None:
            raise self._error(f"{_shown(twice)} is made twice")
        known = {*made, *outer}
        for node in nodes:
            self._node(node, known)
        missing = next((name for name in outputs if name not in known), None)
        if missing is not None:
            raise self._error(f"the output {_shown(missing)} is computed by no node")

    def _node(self, node: Any, known: set[str]) -> None:
        missing = next((name for name in node.input if name and name not in known), None)
        if missing is not None:
            raise self._error(f"{_called(node)} takes {_shown(missing)}, which nothing makes")
        function = self._functions.get((node.domain, node.op_type))
        if function is not None:
            if len(node.input) > len(function.input) or len(node.output) > len(function.output):
                raise self._error(f"{_called(node)} does not fit the function that it calls")
        elif node.domain in _STANDARD and not _bodies_fit(node):
            raise self._error(f"{_called(node)} does not fit its bodies")
        for attribute in node.attribute:
            if attribute.type == attribute.GRAPH:
                self.graph(attribute.g, known)
            elif attribute.type == attribute.GRAPHS:
                for graph in attribute.graphs:
                    self.graph(graph, known)

    def _error(self, what: str) -> ModelError:
        return ModelError(what, where=self._where, fix=_FIX)


def _bodies_fit(node: Any) -> bool:
    """Return whether the bodies of `If`, `Loop` and `Scan` are there and take and give as many values as the node."""
    if node.op_type not in ("If", "Loop", "Scan"):
        return True
    bodies = {attribute.name: attribute.g for attribute in node.attribute if attribute.type == attribute.GRAPH}
    if node.op_type == "If":
        branches = [bodies.get("then_branch"), bodies.get("else_branch")]
        return len(node.input) == 1 and all(
            branch is not None and not branch.input and len(branch.output) == len(node.output) for branch in branches
        )
    body = bodies.get("body")
    if body is None:
        return False
    if node.op_type == "Loop":
        # The body takes the number of the turn, the condition, and what is carried along; it gives the condition first.
        return len(body.input) == max(2, len(node.input)) and len(body.output) == len(node.output) + 1
    scanned = next((attribute.i for attribute in node.attribute if attribute.name == "num_scan_inputs"), 0)
    return 0 < scanned <= len(body.input) and len(body.output) == len(node.output)


def _called(node: Any) -> str:
    return f"the node {_shown(node.name or node.op_type)}"


def _shown(name: str) -> str:
    return one_line(repr(name), 60)
