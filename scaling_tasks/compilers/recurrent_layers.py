"""Recurrent layers for importers that do not know them, or in one form only.

MindSpore Lite 2.0.0 knows no GRU and no RNN, and of LSTMs those alone that say all of bias and initial states; what it
does not know of one (``sequence_lens``, other activations, the way it reads), it leaves out without a word. nncase
2.11.0 knows neither, and its LSTM is another: off by a fifth in the plainest case. OpenVINO 2026.4 leaves out
peepholes and ``input_forget``, see ``refuse_left_out``.

What is no LSTM as an importer takes it is written out step by step. Where rows end before the last step, a step there
gives 0 and hands on the state that it was given, so that a layer that reads backwards begins at each row's own end.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_tasks.compilers.node_writer import Writer, attributes_of, constants_of, replace_nodes, static_shapes
from scaling_tasks.errors import CompileError
from scaling_tasks.onnx_model.reading import opset_of

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    Array = NDArray[Any]

__all__ = ["MOST_STEPS", "refuse_left_out", "write_out_recurrences"]

MOST_STEPS = 256
"""How many steps of a model are written out: each is twenty nodes, and takes importers a fifth of a second or more."""

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_ACTIVATIONS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
_KNOWN = {"Sigmoid", "Tanh", "Relu"}
_SENSES = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
_SPLIT_TAKES_INPUT = 13
_UNKNOWN = ("clip", "input_forget", "activation_alpha", "activation_beta", "layout")


@dataclass(frozen=True)
class _Layer:
    """One direction of a layer.

    Attributes:
        x: Its input, ``[steps, rows, width]``.
        weights: ``[gates · hidden, width]``.
        recurrence: ``[gates · hidden, hidden]``.
        bias: ``[2, gates · hidden]``.
        states: Its initial states, ``[rows, hidden]``, for a plain LSTM ``[1, rows, hidden]``; one or for an LSTM two.
        activations: The kinds of its activations.
        valid: 1 where a step is within the row and 0 beyond, ``[steps, rows, 1]``, and the opposite; none if all are.
        backwards: Whether it begins at the last step.
        reset_late: Whether a GRU resets what it made of the state, not the state.
    """

    x: str
    weights: Array
    recurrence: Array
    bias: Array
    states: tuple[str, ...]
    activations: tuple[str, ...]
    valid: tuple[str, str] | None
    backwards: bool
    reset_late: bool


def write_out_recurrences(
    model: onnx.ModelProto, directory: Path, *, importer: str, has_lstm: bool = True, most_steps: int = MOST_STEPS
) -> bool:
    """Replace recurrent layers of one shape, in place, by what an importer takes; return whether there was any.

    A plain LSTM becomes one that reads forwards, with bias, states and all outputs. A layer of unknown shape or
    computed weights is left.

    Args:
        model: The model.
        directory: Where its external data is.
        importer: What is to import it, for messages.
        has_lstm: Whether that has the plain LSTM.
        most_steps: How many steps are written out, of all layers and directions together.

    Raises:
        CompileError: There are more, or a layer says what has no form here.
    """
    if all(node.op_type not in _GATES for node in model.graph.node):
        return False
    shapes, constants = static_shapes(model), constants_of(model, directory)
    total = 0

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        nonlocal total
        if node.op_type not in _GATES or node.domain not in ("", "ai.onnx"):
            return None
        found = _Recurrence(model, node, shapes, constants, has_lstm=has_lstm)
        _refuse(node, found.unknown(), importer)
        if not found.is_known():
            return None
        total += found.steps
        if total > most_steps:
            raise CompileError(
                f"{importer} has no form of the {node.op_type} {node.name or node.output[0]!r}, and written out it "
                f"makes {total} steps of the model, more than {most_steps}",
                fix="Plan for smaller buckets, or choose another backend.",
            )
        return found.written()

    return replace_nodes(model, replace)


def refuse_left_out(model: onnx.ModelProto) -> None:
    """Refuse what OpenVINO leaves out of an LSTM.

    Raises:
        CompileError: One has peepholes or ``input_forget``.
    """
    for node in model.graph.node:
        if node.op_type == "LSTM":
            _refuse(node, _left_out(node, ("input_forget",)), "OpenVINO")


def _left_out(node: onnx.NodeProto, names: Collection[str]) -> list[str]:
    """Return which of these attributes a node has, and peepholes."""
    given = attributes_of(node)
    return [name for name in names if given.get(name)] + ["peepholes"] * bool("".join(node.input[7:8]))


def _refuse(node: onnx.NodeProto, unknown: Sequence[str], importer: str) -> None:
    if unknown:
        name = node.name or next(filter(None, node.output))
        raise CompileError(
            f"{importer} leaves out {unknown[0]} of the {node.op_type} {name!r}",
            fix="Export the model otherwise, or choose another backend.",
        )


class _Recurrence:
    """A recurrent node, and the nodes that stand for it."""

    def __init__(
        self,
        model: onnx.ModelProto,
        node: onnx.NodeProto,
        shapes: Mapping[str, tuple[int, ...]],
        constants: Mapping[str, Array],
        *,
        has_lstm: bool,
    ) -> None:
        self._node, self._constants, self._has_lstm = node, constants, has_lstm
        self._inputs = [*node.input, *[""] * (8 - len(node.input))]
        self._attributes = attributes_of(node)
        self.dims = shapes.get(node.input[0], ())
        self._senses = _SENSES[self._attributes.get("direction", "forward")]
        self._opset = opset_of(model)
        self._write = Writer(model, f"{next(filter(None, node.output))}/steps")

    @property
    def _kind(self) -> str:
        return str(self._node.op_type)

    @property
    def _activations(self) -> tuple[str, ...]:
        found = self._attributes.get("activations") or _ACTIVATIONS[self._kind] * len(self._senses)
        return tuple(each.capitalize() for each in found)

    def unknown(self) -> list[str]:
        """Return what it says that has no form here."""
        others = [f"the activation {name}" for name in self._activations if name not in _KNOWN]
        return _left_out(self._node, _UNKNOWN) + others

    def is_known(self) -> bool:
        """Return whether there is a form of it here."""
        if len(self.dims) != 3:
            return False
        weights = [self._constants.get(name) for name in self._inputs[1:4] if name]
        return all(each is not None and each.dtype == np.float32 for each in weights)

    def is_plain(self) -> bool:
        """Return whether it is an LSTM as the importer knows it, which is told no lengths."""
        plain = self._activations == _ACTIVATIONS["LSTM"] * len(self._senses)
        return self._has_lstm and self._kind == "LSTM" and plain and self._ends() is None

    @property
    def steps(self) -> int:
        """How many steps are written out."""
        return 0 if self.is_plain() else self.dims[0] * len(self._senses)

    def written(self) -> list[onnx.NodeProto]:
        """Return the nodes that stand for it."""
        write, count = self._write, len(self._senses)
        directions = [self._direction(at) for at in range(count)]
        run = self._plain if self.is_plain() else self._steps
        parts = [run(layer) for layer in directions]
        for name, axis, each in zip(self._node.output, (1, 0, 0), zip(*parts, strict=True), strict=False):
            if name and count == 1:
                write.node("Identity", each, name)
            elif name:
                write.node("Concat", each, name, axis=axis)
        return write.nodes

    def _ends(self) -> Array | str | None:
        """Return how long rows are: numbers, or the tensor that says so, or None where all are as long as can be."""
        name = self._inputs[4]
        ends = self._constants.get(name) if name else None
        if not name or (ends is not None and (ends >= self.dims[0]).all()):
            return None
        return name if ends is None else ends

    def _direction(self, at: int) -> _Layer:
        weights, recurrence = (self._constants[name][at] for name in self._inputs[1:3])
        bias = self._constants[self._inputs[3]][at] if self._inputs[3] else np.zeros(2 * len(weights), np.float32)
        shape: tuple[int, ...] = (self.dims[1], recurrence.shape[1])
        shape = (1, *shape) if self.is_plain() else shape
        states = tuple(self._state(name, at, shape) for name in self._inputs[5 : 7 if self._kind == "LSTM" else 6])
        each = len(_ACTIVATIONS[self._kind])
        return _Layer(
            self._inputs[0],
            weights,
            recurrence,
            bias.reshape(2, -1),
            states,
            self._activations[at * each : (at + 1) * each],
            self._valid,
            self._senses[at],
            bool(self._attributes.get("linear_before_reset")),
        )

    def _state(self, name: str, at: int, shape: tuple[int, ...]) -> str:
        write = self._write
        if not name:
            return write.constant(np.zeros(shape))
        if (value := self._constants.get(name)) is not None:
            return write.constant(value[at].reshape(shape))
        return write.reshape(self._part(name, at, 0) if len(self._senses) > 1 else name, shape)

    def _part(self, name: str, at: int, axis: int) -> str:
        return self._write.node("Gather", [name, self._write.constant(at, "int64")], axis=axis)

    @functools.cached_property
    def _valid(self) -> tuple[str, str] | None:
        ends = self._ends()
        if ends is None:
            return None
        write, (steps, rows, _) = self._write, self.dims
        numbers = np.arange(steps)[:, None]
        if not isinstance(ends, str):
            within = (numbers < ends)[:, :, None]
            return write.constant(within), write.constant(~within)
        ends = write.node("Cast", [write.reshape(ends, [1, rows])], to=1)
        # No comparison, whose result some importers do not cast.
        left = write.node("Sub", [ends, write.constant(numbers)])
        inside = write.node("Clip", [left, write.constant(0.0), write.constant(1.0)])
        inside = write.reshape(inside, [steps, rows, 1])
        return inside, write.node("Sub", [write.constant(1.0), inside])

    def _plain(self, layer: _Layer) -> tuple[str, ...]:
        """Write an LSTM that reads forwards, and says all."""
        write, steps, hidden = self._write, self.dims[0], layer.recurrence.shape[1]
        turned = write.constant(np.arange(steps)[::-1], "int64") if layer.backwards else ""
        x = write.node("Gather", [layer.x, turned], axis=0) if turned else layer.x
        weights = [write.constant(each[None]) for each in (layer.weights, layer.recurrence, layer.bias.reshape(-1))]
        y, *rest = write.several("LSTM", [x, *weights, "", *layer.states], 3, hidden_size=hidden)
        return write.node("Gather", [y, turned], axis=0) if turned else y, *rest

    def _steps(self, layer: _Layer) -> tuple[str, ...]:
        write, (steps, rows, _) = self._write, self.dims
        hidden = layer.recurrence.shape[1]
        step = {"LSTM": self._lstm, "GRU": self._gru, "RNN": self._rnn}[self._kind](layer)
        states, made = layer.states, [""] * steps
        for at in reversed(range(steps)) if layer.backwards else range(steps):
            new = step(at, *states)
            made[at] = new[0]
            if layer.valid is not None:
                inside, beyond = (self._part(name, at, 0) for name in layer.valid)
                kept = [write.node("Mul", [each, inside]) for each in new]
                made[at] = kept[0]
                pairs = zip(kept, states, strict=True)
                new = tuple(write.node("Add", [one, write.node("Mul", [old, beyond])]) for one, old in pairs)
            states = new
        whole = made[0] if steps == 1 else write.node("Concat", made, axis=0)
        last = (write.reshape(each, [1, rows, hidden]) for each in states)
        return write.reshape(whole, [steps, 1, rows, hidden]), *last

    def _projected(self, layer: _Layer, first: int, end: int, bias: Array) -> str:
        """Return what gates are told by the input, at all steps at once."""
        write, hidden = self._write, layer.recurrence.shape[1]
        part = slice(first * hidden, end * hidden)
        return write.node(
            "Add",
            [write.node("MatMul", [layer.x, write.constant(layer.weights[part].T)]), write.constant(bias[part])],
        )

    def _split(self, name: str, parts: int, hidden: int) -> list[str]:
        if parts == 1:
            return [name]
        sizes = [hidden] * parts
        if self._opset < _SPLIT_TAKES_INPUT:
            return self._write.several("Split", [name], parts, axis=1, split=sizes)
        return self._write.several("Split", [name, self._write.constant(sizes, "int64")], parts, axis=1)

    def _lstm(self, layer: _Layer) -> Any:
        write, hidden = self._write, layer.recurrence.shape[1]
        told = self._projected(layer, 0, 4, layer.bias.sum(axis=0))
        recurrence = write.constant(layer.recurrence.T)
        gate, content, out = layer.activations

        def step(at: int, h: str, c: str) -> tuple[str, str]:
            gates = write.node("Add", [self._part(told, at, 0), write.node("MatMul", [h, recurrence])])
            enter, leave, forget, new = self._split(gates, 4, hidden)
            enter, leave, forget = (write.node(gate, [each]) for each in (enter, leave, forget))
            entered = write.node("Mul", [enter, write.node(content, [new])])
            c = write.node("Add", [write.node("Mul", [forget, c]), entered])
            return write.node("Mul", [leave, write.node(out, [c])]), c

        return step

    def _gru(self, layer: _Layer) -> Any:
        write, hidden = self._write, layer.recurrence.shape[1]
        gate, content = layer.activations
        summed = layer.bias.sum(axis=0)
        told_gates = self._projected(layer, 0, 2, summed)
        told_new = self._projected(layer, 2, 3, layer.bias[0] if layer.reset_late else summed)
        for_gates, for_new = (write.constant(part.T) for part in np.split(layer.recurrence, [2 * hidden]))
        late_bias = write.constant(layer.bias[1][2 * hidden :]) if layer.reset_late else ""
        one = write.constant(1.0)

        def step(at: int, h: str) -> tuple[str]:
            gates = write.node("Add", [self._part(told_gates, at, 0), write.node("MatMul", [h, for_gates])])
            update, reset = self._split(write.node(gate, [gates]), 2, hidden)
            if layer.reset_late:
                remembered = write.node("Add", [write.node("MatMul", [h, for_new]), late_bias])
                remembered = write.node("Mul", [reset, remembered])
            else:
                remembered = write.node("MatMul", [write.node("Mul", [reset, h]), for_new])
            new = write.node(content, [write.node("Add", [self._part(told_new, at, 0), remembered])])
            fresh = write.node("Mul", [write.node("Sub", [one, update]), new])
            return (write.node("Add", [fresh, write.node("Mul", [update, h])]),)

        return step

    def _rnn(self, layer: _Layer) -> Any:
        write = self._write
        told = self._projected(layer, 0, 1, layer.bias.sum(axis=0))
        recurrence = write.constant(layer.recurrence.T)

        def step(at: int, h: str) -> tuple[str]:
            summed = write.node("Add", [self._part(told, at, 0), write.node("MatMul", [h, recurrence])])
            return (write.node(layer.activations[0], [summed]),)

        return step
