"""The walk over a graph in the order of its nodes: what is known of every tensor, and the cleaned graph."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from scaling_tasks.analysis.axes import grid
from scaling_tasks.analysis.bodies import follow_branches
from scaling_tasks.analysis.cleaning import Cleaner
from scaling_tasks.analysis.domain import Domain
from scaling_tasks.analysis.emitter import Emitter
from scaling_tasks.analysis.evaluation import evaluate_node
from scaling_tasks.analysis.filling_up import pad_instead
from scaling_tasks.analysis.floating_sizes import element_type
from scaling_tasks.analysis.growing import collect_what_grows
from scaling_tasks.analysis.indicators import indicated, note_indicators
from scaling_tasks.analysis.lengths import as_length
from scaling_tasks.analysis.loops import follow_loop
from scaling_tasks.analysis.operation import Operation, Surroundings
from scaling_tasks.analysis.origins import explained
from scaling_tasks.analysis.parts import note_elements
from scaling_tasks.analysis.placement import Step, unfilled_axes
from scaling_tasks.analysis.positions import positions_of
from scaling_tasks.analysis.preparation import outer_names, renamed
from scaling_tasks.analysis.quotients import note_quotients
from scaling_tasks.analysis.refusal import Refused
from scaling_tasks.analysis.registry import refusal_for, rule_for
from scaling_tasks.analysis.scans import scan_as_loop
from scaling_tasks.analysis.sequences import Sequences
from scaling_tasks.analysis.shapes_of_data import note_shape
from scaling_tasks.analysis.symbolic import follow_sizes
from scaling_tasks.analysis.telling import Telling
from scaling_tasks.analysis.tensors import Reason, Tensor, constant_tensor, is_symbolic
from scaling_tasks.analysis.triangles import follow_order
from scaling_tasks.errors import ModelError, one_line
from scaling_tasks.shapes.behaviour import DATA

if TYPE_CHECKING:
    import onnx

    from scaling_tasks.analysis.bounding.bounds import Bounds

__all__ = ["Walk"]

_MOST_FOLDED = 1 << 24
"""Elements; larger constants are not computed here."""

_RANDOM = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli")

_SEQUENCE = "it is a sequence, which no bucket gives"

_RESHAPING = ("Unsqueeze", "Expand", "Reshape", "Identity")

_REWRITTEN = {"Scan": scan_as_loop, "Loop": collect_what_grows}
_WITH_BODIES = {"Loop": follow_loop, "If": follow_branches}


class Walk:
    """One walk.

    Args:
        model: The model; functions inlined.
        inputs: What is known of its inputs.
        domain: The admissible sizes; narrowed by what the model requires.
        rows: The variable taken for independent rows.
        taken: Names that the original graph uses.
        early: Tensors to clean where they are computed, by name in the original graph.
        bounds: Where lengths that data decides are to be fixed ones; None where they stay what they are.

    Attributes:
        tensors: What is known, by name in the original graph.
        steps: Every operator as it was met.
        kept_initializers: Those of branches that became part of the graph.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        inputs: Iterable[Tensor],
        domain: Domain,
        rows: str | None,
        *,
        taken: set[str],
        early: frozenset[str] = frozenset(),
        bounds: Bounds | None = None,
    ) -> None:
        opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 1)
        self.emitter = Emitter(opset, taken)
        self.cleaner = Cleaner(self.emitter, rows)
        self.domain = domain
        self._telling = Telling(self.emitter, self.cleaner, domain)
        self.tensors: dict[str, Tensor] = {tensor.name: tensor for tensor in inputs}
        self._around = Surroundings(domain, self.emitter, self.cleaner, opset, self.tensors)
        self.steps: list[Step] = []
        self._early, self._bounds = early, bounds
        if bounds is not None:
            self.emitter.tells = bounds.tell(self.emitter)
        self.kept_initializers: dict[str, Any] = {}
        self._sequences = Sequences(self.emitter.fresh, self.tensors, domain, opset)

    def run(self, graph: onnx.GraphProto) -> None:
        """Follow all nodes of ``graph``.

        Raises:
            RowsMixed: An operator mixes the variable that was taken for rows.
        """
        from onnx import numpy_helper

        for initializer in graph.initializer:
            if initializer.name not in self.tensors:
                value = numpy_helper.to_array(initializer)
                self.tensors[initializer.name] = constant_tensor(initializer.name, initializer.data_type, value)
        self._around.subtracted = _subtracted(graph)
        for node in graph.node:
            self._follow(node)

    def finish(self, outputs: Iterable[str]) -> None:
        """Tell the exact sizes where an output of the graph consists of them."""
        for name in outputs:
            if name in self._sequences.known:
                reason = Reason(name, "SequenceConstruct", _SEQUENCE, "Let the model give its parts as outputs.")
                self.tensors[name] = Tensor(name, 1, None, blames=dict.fromkeys(self.domain.limits, reason))
                continue
            tensor = self.tensors.get(name)
            if tensor is None or not is_symbolic(tensor.value):
                continue
            told = self._output_told(tensor)
            if told is None or told.name == name:
                continue

            inner = self.emitter.fresh("size")
            for node in self.emitter.nodes:
                for names in (node.input, node.output):
                    for at, each in enumerate(names):
                        if each == name:
                            names[at] = inner
            self.emitter.into(name, "Identity", [told.name])
            self.tensors[name] = told.named(name)

    def _output_told(self, tensor: Tensor) -> Tensor | None:
        """Return sizes that are an output as they are at the exact size; where they cannot be told, blame that."""
        try:
            return self._telling.told(tensor)
        except Refused as refusal:
            reason = Reason(tensor.name, "Shape", refusal.text, refusal.fix)
            blames = dict.fromkeys(self.domain.limits, reason)
            self.tensors[tensor.name] = replace(tensor, axes=None, value=None, blames=blames)
            return None

    def _follow(self, original: onnx.NodeProto) -> None:
        import onnx

        parts = self._sequences.as_tensors(original)
        if parts is not None:
            for each in parts:
                self._follow(each)
            return
        node = onnx.NodeProto()
        node.CopyFrom(original)
        inputs = [self._input(name) for name in node.input]
        for at, tensor in enumerate(inputs):
            if tensor is not None:
                node.input[at] = tensor.name
        op = Operation(node, list(inputs), self._around)
        if node.op_type == "If" and self._branch(op, original):
            return
        rewrite = _REWRITTEN.get(node.op_type)
        if rewrite and self._touched(op) and (turns := rewrite(original, self.emitter.fresh, self.tensors)):
            for each in turns:
                self._follow(each)
            return
        if self.emitter.opset >= 13 and (
            padding := pad_instead(original, self.emitter.fresh, self.tensors, self.steps)
        ):
            for each in padding:
                self._follow(each)
            return
        outputs = self._outputs(op)
        follow_order(op, outputs)
        if not op.replaced:
            self.emitter.nodes.append(op.node)
        for name, output in zip(original.output, outputs, strict=False):
            if name:
                self.tensors[name] = self._cleaned_early(output) if name in self._early else output
        self.steps.append(Step(original, tuple(inputs), tuple(outputs)))
        self._remember(original, op)

    def _cleaned_early(self, tensor: Tensor) -> Tensor:
        axes = unfilled_axes(tensor, self.cleaner.rows)
        if not axes or any(name.startswith(DATA) for name in tensor.variables):
            return tensor
        variables = frozenset().union(*(tensor.known_axes[at].variables for at in axes)) - {self.cleaner.rows}
        try:
            cleaned = self.cleaner.clean(tensor, axes, 0.0)
        except Refused:
            return tensor
        return replace(cleaned, cleaned=cleaned.cleaned | variables)

    def _input(self, name: str) -> Tensor | None:
        return self.tensors.get(name) or (Tensor(name, 1, None) if name else None)

    def _outputs(self, op: Operation) -> Sequence[Tensor]:
        """Return an operator's outputs; whatever had to be told an exact size is not exact as it is."""
        before, self.emitter.told = self.emitter.told, set()
        found = [_carrying(tensor, op) for tensor in self._followed(op)]
        told = frozenset(name for name in self.emitter.told - {self.cleaner.rows} if not name.startswith(DATA))
        self.emitter.told = before
        return [replace(tensor, cleaned=tensor.cleaned | told) for tensor in found]

    def _followed(self, op: Operation) -> Sequence[Tensor]:
        given = list(op.inputs)
        try:
            folded = self._folded(op)
            if folded is not None:
                return [
                    constant_tensor(name, _element_type(value, op), value)
                    for name, value in zip(op.node.output, folded, strict=False)
                ]
            rule = rule_for(op.node.domain, op.kind)
            if op.kind in _WITH_BODIES and (self._touched(op) or self._hides_lengths(op)):
                with self._around.inside(op):
                    return self._fixed(op, _WITH_BODIES[op.kind](self, op))
            if rule is None:
                return self._unknown(op)
            self._telling.inputs(op, rule)
            found = rule.function(op)
            outputs = self._fixed(op, [found] if isinstance(found, Tensor) else list(found))
        except Refused as refusal:
            return self._refused(op, explained(refusal, op, self.steps), refusal.fix)
        except (IndexError, KeyError, TypeError, ValueError, ZeroDivisionError) as fault:
            return self._refused(op, f"its inputs do not go together as its definition says ({fault})", "")
        if any(list(op.node.output)[len(outputs) :]):
            return self._refused(op, "more of its outputs are used than are followed", "")
        note_quotients(op, given, outputs[0])
        note_shape(op, given, outputs[0])
        note_elements(op, given, outputs[0])
        note_indicators(op, given, outputs[0])
        told = positions_of(op, given, outputs[0])
        return [replace(outputs[0], positions=told), *outputs[1:]] if told else outputs

    def _fixed(self, op: Operation, outputs: Sequence[Tensor]) -> Sequence[Tensor]:
        return outputs if self._bounds is None else self._bounds.fixed(op, outputs, self.domain)

    def _folded(self, op: Operation) -> list[NDArray[Any]] | None:
        """Return the outputs where they are constants or follow the sizes alone."""
        if op.kind in _RANDOM or any(attribute.HasField("g") for attribute in op.node.attribute):
            return None
        sizes = follow_sizes(op) or indicated(op)
        if sizes is not None:
            return sizes
        given = [tensor for tensor in op.inputs if tensor is not None]
        if any(not tensor.is_constant for tensor in given) or op.kind.startswith("QuantizeLinear"):
            return None
        if sum(tensor.value.size for tensor in given if tensor.value is not None) > _MOST_FOLDED:
            return None
        return evaluate_node(op)

    def told(self, tensor: Tensor) -> Tensor:
        """Return a tensor of sizes as data: those of the request."""
        return self._telling.told(tensor)

    def mark(self) -> tuple[Any, ...]:
        """Return where the walk is, before it goes into a body."""
        known = dict(self.tensors), dict(self._sequences.known)
        return known, len(self.steps), self.emitter.mark(), self.cleaner.mark(), self._around.order.copy()

    def leave(self, mark: tuple[Any, ...], *, keep: bool) -> None:
        """Leave a body: what it holds is out of reach from now on, and forgotten unless it is kept."""
        self.tensors.clear()
        self.tensors.update(mark[0][0])
        self._sequences.known = mark[0][1]
        if not keep:
            del self.steps[mark[1] :]
        self.emitter.leave(mark[2])
        self.cleaner.leave(mark[3], keep=keep)
        self._around.order = mark[4]

    def _touched(self, op: Operation) -> bool:
        """Return whether sizes reach an operator or its bodies."""
        outer = [self.tensors[name] for name in outer_names(op.node) if name in self.tensors]
        given = [tensor for tensor in [*op.inputs, *outer] if tensor is not None]
        return any(tensor.axes is None or tensor.variables or is_symbolic(tensor.value) for tensor in given)

    def _hides_lengths(self, op: Operation) -> bool:
        """Return whether data may decide lengths in an operator's bodies, where that matters."""
        return self._bounds is not None and any(tensor.axes is None for tensor in self._static(op))

    def _unknown(self, op: Operation) -> list[Tensor]:
        refusal = refusal_for(op.node.domain, op.kind)
        if self._touched(op) or refusal.always:
            return self._refused(op, refusal.text, refusal.fix)
        return self._static(op)

    def _refused(self, op: Operation, text: str, fix: str) -> list[Tensor]:
        given = [tensor for tensor in op.inputs if tensor is not None]
        variables = frozenset().union(*(tensor.variables | _counted(tensor) for tensor in given))
        unknown = any(tensor is not None and tensor.axes is None for tensor in op.inputs)
        blamed_before = any(tensor.blames for tensor in op.inputs if tensor is not None)
        if not unknown or not blamed_before:
            blamed = variables or frozenset(self.domain.limits)
            for variable in blamed:
                op.blames.setdefault(variable, Reason(op.name, op.kind, text, fix))
        return [op.result(None, output=at) for at in range(len(op.node.output))]

    def _static(self, op: Operation) -> list[Tensor]:
        """Infer the outputs of an unknown operator that no variable reaches."""
        from onnx import ModelProto, TensorProto, helper, shape_inference

        named = [tensor for tensor in op.inputs if tensor is not None]
        values = [
            helper.make_tensor_value_info(t.name, t.dtype, [axis.constant for axis in t.known_axes]) for t in named
        ]
        outputs = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in op.node.output if name]
        graph = helper.make_graph([op.node], "one", values, outputs)
        model: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.emitter.opset)])
        try:
            inferred = {value.name: value for value in shape_inference.infer_shapes(model).graph.output}
        except shape_inference.InferenceError:
            inferred = {}  # An operator of a domain that the model does not define.
        found = []
        for at, name in enumerate(op.node.output):
            kind = inferred[name].type.tensor_type if name in inferred else None
            dims = [dim.dim_value for dim in kind.shape.dim] if kind is not None and kind.HasField("shape") else None
            axes = None if dims is None or any(dim <= 0 for dim in dims) else [grid(dim) for dim in dims]
            found.append(op.result(axes, kind.elem_type if kind is not None else None, output=at, finite=False))
        return found

    def _branch(self, op: Operation, original: onnx.NodeProto) -> bool:
        """Follow the branch that is taken at all sizes; return whether there is one."""
        condition = op.inputs[0]
        if condition is None or not condition.is_constant or condition.value is None or condition.value.size != 1:
            return False
        wanted = "then_branch" if bool(condition.value.reshape(-1)[0]) else "else_branch"
        graph = self._apart(next(attribute.g for attribute in original.attribute if attribute.name == wanted))
        self.run(graph)

        for name, inner in zip(original.output, graph.output, strict=True):
            tensor = self.tensors.get(inner.name)
            if inner.name in self._sequences.known:
                self._sequences.known[name] = self._sequences.known[inner.name]
                continue
            if tensor is None:  # Nodes that wait for each other cannot be put in order.
                what = f"a branch gives {one_line(repr(inner.name), 60)}, which is made only behind it"
                raise ModelError(what, fix="Export the model again.")
            self.emitter.into(name, "Identity", [tensor.name])
            self.tensors[name] = tensor.named(name)
        for initializer in graph.initializer:
            self.kept_initializers[initializer.name] = initializer
        return True

    def _apart(self, graph: onnx.GraphProto) -> onnx.GraphProto:
        """Return a branch without names that are taken; two branches may use the same ones."""
        made = {name for node in graph.node for name in node.output} | {each.name for each in graph.initializer}
        other = {name: self.emitter.fresh("branch") for name in sorted(made & self.tensors.keys()) if name}
        return self.emitter.own(renamed(graph, other))

    def _remember(self, original: onnx.NodeProto, op: Operation) -> None:
        """Let later operators start from what was cleaned to zero: it is as valid, and need not be cleaned again."""
        for name, tensor in zip(original.input, op.inputs, strict=False):
            before = self.tensors.get(name)
            if before is None or tensor is None or tensor.name == before.name:
                continue
            if (tensor.dtype, tensor.axes) != (before.dtype, before.axes):
                continue
            added = {at: fill for at, fill in tensor.fills.items() if before.fills.get(at) != fill}
            if added and all(fill == 0 for fill in added.values()):
                self.tensors[name] = tensor


def _carrying(tensor: Tensor, op: Operation) -> Tensor:
    """Return an output; lengths that data decides hang on what the data went through."""
    if not any(name.startswith(DATA) for name in _counted(tensor)):
        return tensor
    known = op.result(None)
    return replace(tensor, cleaned=tensor.cleaned | known.cleaned, blames={**known.blames, **tensor.blames})


def _subtracted(graph: onnx.GraphProto) -> frozenset[str]:
    """Return what is subtracted from something, also what becomes that in another shape."""
    found: set[str] = set()
    for node in reversed(graph.node):
        if node.op_type == "Sub" or (node.op_type in _RESHAPING and not found.isdisjoint(node.output)):
            found |= {name for name in node.input if name}
    return frozenset(found)


def _counted(tensor: Tensor) -> frozenset[str]:
    """Return the variables that a tensor's numbers follow."""
    numbers = tensor.value.reshape(-1) if is_symbolic(tensor.value) and tensor.value is not None else ()
    return frozenset().union(*(as_length(number).variables for number in numbers))


def _element_type(value: NDArray[Any], op: Operation) -> int:
    from onnx import helper

    return element_type(op) if value.dtype == object else int(helper.np_dtype_to_tensor_dtype(value.dtype))
