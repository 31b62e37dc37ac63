"""What a model does with sizes and padding: found by the analysis, kept in documents, needed to serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from scaling_tasks.shapes.expressions import Expression, as_text, evaluate, parse_expression, variables_of
from scaling_tasks.shapes.layouts import Layout, is_plain, layout_variables, parse_layout
from scaling_tasks.shapes.signature import TensorSpec
from scaling_tasks.shapes.size_inputs import SizeInput, Sizes, fill_size_input

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["BEHIND", "DATA", "Behaviour", "Verdict", "VerdictKind", "depends_on_data", "plain_layouts"]

VerdictKind = Literal["exact", "cleaned", "approximate", "refused"]
_KINDS = ("exact", "cleaned", "approximate", "refused")

DATA = "?"
"""What the names of lengths start with that depend on the content of a request."""

BEHIND = ", behind which shapes are not known"
"""What a reason ends with that is about other variables: the output is refused for this one since it has no shape."""


@dataclass(frozen=True)
class Verdict:
    """The verdict of one variable for one output.

    Attributes:
        output: Name of the output.
        variable: Name of the variable.
        kind: ``exact`` as it is, ``cleaned`` (exact by cleaning), ``approximate`` or ``refused``.
        node: The node to blame, empty where there is none.
        operator: Its type.
        reason: What it does.
        fix: What the user can do.
    """

    output: str
    variable: str
    kind: VerdictKind
    node: str = ""
    operator: str = ""
    reason: str = ""
    fix: str = ""

    def __str__(self) -> str:
        who = f"{self.operator} {self.node!r}: " if self.node else ""
        return f"{who}{self.reason}" if self.reason else self.kind


@dataclass(frozen=True)
class Behaviour:
    """How answers relate to sizes.

    Attributes:
        layouts: Per output its axes; None where not even their number is known.
        verdicts: Per output and variable.
        rows: The variable that counts independent rows: along it requests are put together and cut apart.
        uniform: Variables in which all rows of one batch must agree.
        requirements: Pairs of expressions that are equal at every size at which the model runs.
        limits: More of such pairs, which say where a request would read beyond the end of a table; a bucket may.
        size_inputs: The extra inputs of the compiled model.
        empty: Variables that may be 0; all others are 1 at least.
        mixed: Where requests may be cut into pieces: variables whose positions are not known to be answered each by
            itself, along which none is cut.
        data_lengths: What stands for lengths that requests' content makes, anywhere in the model, or may make in
            outputs whose shape is not known.
    """

    layouts: Mapping[str, tuple[Layout, ...] | None]
    verdicts: tuple[Verdict, ...] = ()
    rows: str | None = None
    uniform: tuple[str, ...] = ()
    requirements: tuple[tuple[Expression, Expression], ...] = ()
    size_inputs: tuple[SizeInput, ...] = ()
    empty: tuple[str, ...] = ()
    mixed: tuple[str, ...] = ()
    data_lengths: tuple[str, ...] = ()
    limits: tuple[tuple[Expression, Expression], ...] = ()

    @property
    def refusals(self) -> tuple[Verdict, ...]:
        """The verdicts that stand in the way of an exact bundle."""
        return tuple(verdict for verdict in self.verdicts if verdict.kind == "refused")

    @property
    def kind(self) -> VerdictKind:
        """The verdict of the whole: the worst of all."""
        return max((verdict.kind for verdict in self.verdicts), key=_KINDS.index, default="exact")

    @property
    def blamed(self) -> tuple[Verdict, ...]:
        """The refusals whose reason is about their own variable: with these out of the way, the others may be too."""
        refused = self.refusals
        return tuple(verdict for verdict in refused if not verdict.reason.endswith(BEHIND)) or refused

    def accepted(self, *, zeros: bool = True) -> Behaviour:
        """Return the behaviour of the model as it is, with whatever padding does to it accepted.

        An output whose shape is not known stays refused: nobody could tell which part of it is the answer.

        Args:
            zeros: Whether inputs are padded with zeros at their end, for which verdicts were found; padded otherwise,
                only rows are known to be left alone.
        """
        softened = tuple(
            verdict
            if (verdict.kind == "exact" and (zeros or verdict.variable == self.rows))
            or (verdict.kind == "refused" and self.layouts[verdict.output] is None)
            else replace(verdict, kind="approximate")
            for verdict in self.verdicts
        )
        accepted = {verdict.variable for verdict in softened if verdict.kind == "approximate"}
        mixed = tuple(name for name in self.mixed if name not in accepted)
        return replace(self, verdicts=softened, size_inputs=(), uniform=(), mixed=mixed)

    def planned(self, largest: Mapping[str, int]) -> Behaviour:
        """Return the behaviour within buckets of these largest sizes: what has one size only is never padded."""
        reason = "never padded: its only size is 1"
        verdicts = tuple(
            Verdict(verdict.output, verdict.variable, "exact", reason=reason)
            if verdict.kind in ("approximate", "refused") and self._is_fixed(verdict.variable, largest)
            else verdict
            for verdict in self.verdicts
        )
        return replace(self, verdicts=verdicts)

    def _is_fixed(self, variable: str, largest: Mapping[str, int]) -> bool:
        return variable not in self.empty and largest.get(variable) == 1

    def row_axis(self, output: str) -> int | None:
        """Return the axis of an output that counts rows."""
        axes = self.layouts[output]
        if self.rows is None or axes is None:
            return None
        return next((at for at, axis in enumerate(axes) if axis == ((self.rows,),)), None)

    @property
    def variables(self) -> frozenset[str]:
        """All variables that it speaks of; not what stands for lengths that requests' content makes."""
        layouts = [axis for axes in self.layouts.values() for axis in axes or ()]
        expressions = [each for pair in (*self.requirements, *self.limits) for each in pair]
        for spec in self.size_inputs:
            layouts += [*spec.layouts, spec.source]
            expressions += spec.expressions
        named = {
            *self.uniform,
            *self.empty,
            *self.mixed,
            *(verdict.variable for verdict in self.verdicts),
            *filter(None, [self.rows]),
        }
        found = named.union(*map(layout_variables, layouts), *map(variables_of, expressions))
        return frozenset(name for name in found if not str(name).startswith(DATA))

    def join_axis(self, output: str, variable: str) -> int | None:
        """Return the axis of an output along which answers to pieces cut along a variable are as long as the whole's.

        None where several axes or none depend on the variable, or the axis is not made of plain positions.
        """
        along = [at for at, axis in enumerate(self.layouts[output] or ()) if variable in layout_variables(axis)]
        axes = self.layouts[output]
        return along[0] if axes is not None and len(along) == 1 and is_plain(axes[along[0]]) else None

    def runs_at(self, sizes: Mapping[str, int]) -> bool:
        """Return whether the original model runs at these sizes, as far as its own shapes say."""
        return bool(_all_equal((*self.requirements, *self.limits), sizes))

    def within_limits(self, sizes: Mapping[str, NDArray[np.int64]]) -> NDArray[np.bool_]:
        """Return which of many requests, arrays [n] of sizes, read within the model's tables; at least one limits."""
        holds: NDArray[np.bool_] = _all_equal(self.limits, sizes)
        return holds

    def tied_at(self, sizes: Mapping[str, int]) -> tuple[str, ...]:
        """Return the variables that do not go together at these sizes: of the first requirement that is not met."""
        failing = (_names(pair) for pair in self.requirements if not _all_equal([pair], sizes))
        return tuple(sorted(next(failing, ())))

    def takes(self, bucket: Mapping[str, int]) -> bool:
        """Return whether the model can be compiled for a bucket: as it is only where the original runs there too."""
        cleaned = self.kind in ("exact", "cleaned")
        return bool(_all_equal(self.requirements, bucket)) if cleaned else self.runs_at(bucket)

    def most_of(self, variable: str, largest: int) -> int | None:
        """Return the largest size up to ``largest`` at which the model runs, all others small or large.

        None where it runs at larger ones too, or at none.
        """
        import numpy as np

        # What is required of several together may be true again where the others are larger.
        pairs = [pair for pair in self.requirements if _names(pair) == {variable}]
        pairs += [pair for pair in self.limits if variable in _names(pair)]
        if not pairs:
            return None
        sizes = np.arange(1, largest + 1)
        # Where others leave less the larger they are, they leave most as small as they can be; else as large.
        holds = np.zeros(sizes.shape, bool)
        for others in (
            {name: int(name not in self.empty) for name in self.variables},
            dict.fromkeys(self.variables, largest),
        ):
            holds |= _all_equal(pairs, {**others, variable: sizes})
        found = np.flatnonzero(holds)
        return int(sizes[found[-1]]) if len(found) and found[-1] < largest // 2 else None

    def limited_sums(self) -> dict[str, int]:
        """Return the sums of several sizes up to which the model runs, such as ``past+seq``, and the most of each."""
        found: dict[str, int] = {}
        for whole, part in [*self.requirements, *((right, left) for left, right in self.requirements)]:
            if isinstance(part, tuple) and part[0] == "min" and whole in part[1:] and len(variables_of(whole)) > 1:
                most = part[1] if part[2] == whole else part[2]
                if isinstance(most, int) and _is_sum(whole):
                    text = as_text(whole)
                    found[text] = min(most, found.get(text, most))
        return found

    def next_running(self, sizes: Mapping[str, int], most: int = 4096, *, step: int = 1) -> dict[str, int]:
        """Return the nearest sizes, each at least (``step`` 1) or at most (-1) as given, at which the model runs.

        Variables are moved one after another, first by what is required of each alone, then by what is required of
        several together; ``sizes`` come back where none are found within ``most`` steps.
        """
        found = dict(sizes)
        involved = [(pair, _names(pair)) for pair in (*self.requirements, *self.limits)]
        alone = {
            variable: [pair for pair, names in involved if names == {variable}]
            for variable in dict.fromkeys(name for _, names in involved for name in sorted(names))
        }
        for variable, pairs in alone.items():
            found[variable] = next(iter(self._tried(found, variable, pairs, most, step)), found[variable])
        for pair, names in involved:
            together = sorted(names) if len(names) > 1 else []
            for variable in together:
                tried = self._tried(found, variable, [pair, *alone[variable]], most, step)
                found[variable] = next(iter(tried), found[variable])
            # Too much together whatever each is: others are as small as they can be.
            for variable in together if step < 0 and not _all_equal([pair], found) else ():
                tried = self._tried(found, variable, [pair, *alone[variable]], most, step)[:1]
                tried = tried or self._tried(found, variable, alone[variable], most, step)[-1:]
                found[variable] = next(iter(tried), found[variable])
        return found if self.runs_at(found) else dict(sizes)

    def _tried(
        self,
        sizes: Mapping[str, int],
        variable: str,
        pairs: Sequence[tuple[Expression, Expression]],
        most: int,
        step: int,
    ) -> list[int]:
        """Return the nearest and the furthest that one size may be so that all pairs are equal; nothing for none."""
        import numpy as np

        tried = np.arange(most) * step + sizes[variable]
        tried = tried[tried >= int(variable not in self.empty)]
        holds = np.broadcast_to(_all_equal(pairs, {**sizes, variable: tried}), tried.shape)
        return tried[holds][[0, -1]].tolist() if holds.any() else []

    def tensors(self) -> tuple[TensorSpec, ...]:
        """Return the extra inputs as inputs of the compiled model."""
        return tuple(
            TensorSpec(spec.name, tuple(_length(layout) for layout in spec.layouts), spec.dtype)
            for spec in self.size_inputs
        )

    def feeds(self, bucket: Mapping[str, int], sizes: Sizes) -> dict[str, NDArray[np.generic]]:
        """Return the content of all extra inputs for rows of the given exact sizes, one value per row and variable."""
        return {spec.name: fill_size_input(spec, bucket, sizes, self.rows) for spec in self.size_inputs}

    def feeds_of_one_size(self, bucket: Mapping[str, int], sizes: Mapping[str, int]) -> dict[str, NDArray[np.generic]]:
        """Return the content of all extra inputs where the rows of a bucket are all of the same exact sizes."""
        import numpy as np

        rows = bucket.get(self.rows, 1) if self.rows is not None else 1
        return self.feeds(bucket, {name: np.full(rows, size, np.int64) for name, size in sizes.items()})

    def to_payload(self) -> dict[str, Any]:
        """Return plain values for a JSON document."""
        return {
            "layouts": dict(self.layouts),
            "verdicts": [dict(vars(verdict)) for verdict in self.verdicts],
            "rows": self.rows,
            "uniform": list(self.uniform),
            "requirements": list(self.requirements),
            "limits": list(self.limits),
            "size_inputs": [spec.to_payload() for spec in self.size_inputs],
            "empty": list(self.empty),
            "mixed": list(self.mixed),
            "data_lengths": list(self.data_lengths),
        }

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Behaviour:
        """Return what ``to_payload`` gave.

        Raises:
            ValueError: The payload holds something else.
            KeyError: Something is missing.
            TypeError: Something is of another type.
        """
        verdicts = tuple(Verdict(**each) for each in payload["verdicts"])
        if any(verdict.kind not in _KINDS for verdict in verdicts):
            raise ValueError("no verdict")
        lists = ("uniform", "empty", "mixed", "data_lengths")
        named = [*(name for key in lists for name in payload[key]), *filter(None, [payload["rows"]])]
        texts = [text for verdict in verdicts for text in vars(verdict).values()]
        if not all(isinstance(text, str) for text in (*named, *texts)):
            raise TypeError("a name or a reason that is no text")
        return cls(
            {
                name: None if axes is None else tuple(parse_layout(axis) for axis in axes)
                for name, axes in payload["layouts"].items()
            },
            verdicts,
            payload["rows"],
            tuple(payload["uniform"]),
            _pairs(payload["requirements"]),
            tuple(SizeInput.from_payload(each) for each in payload["size_inputs"]),
            tuple(payload["empty"]),
            tuple(payload["mixed"]),
            tuple(payload["data_lengths"]),
            _pairs(payload["limits"]),
        )


def _pairs(payload: Sequence[Sequence[Any]]) -> tuple[tuple[Expression, Expression], ...]:
    return tuple((parse_expression(left), parse_expression(right)) for left, right in payload)


def _is_sum(expression: Expression) -> bool:
    """Return whether an expression is a sum of products of variables and numbers that are not negative."""
    if not isinstance(expression, tuple):
        return isinstance(expression, str) or expression >= 0
    if expression[0] == "*" and any(isinstance(side, tuple) and side[0] != "*" for side in expression[1:]):
        return False
    return expression[0] in ("+", "*") and all(map(_is_sum, expression[1:]))


def _names(pair: tuple[Expression, Expression]) -> frozenset[str]:
    return variables_of(pair[0]) | variables_of(pair[1])


def _all_equal(pairs: Sequence[tuple[Expression, Expression]], sizes: Mapping[str, Any]) -> Any:
    """Return whether the two of each pair are equal, at sizes or at arrays of them."""
    holds: Any = True
    for left, right in pairs:
        holds = holds & (evaluate(left, sizes) == evaluate(right, sizes))
    return holds


def depends_on_data(layout: Layout) -> bool:
    """Return whether an axis is as long as the content of a request makes it."""
    return any(name.startswith(DATA) for name in layout_variables(layout))


def plain_layouts(axes: Mapping[str, Sequence[Expression]]) -> dict[str, tuple[Layout, ...] | None]:
    """Return the layouts of outputs whose axes are one length each."""
    return {name: tuple(((axis,),) for axis in lengths) for name, lengths in axes.items()}


def _length(layout: Layout) -> Expression:
    """Return an axis' length as one expression."""
    total: Expression | None = None
    for piece in layout:
        product: Expression | None = None
        for length in piece:
            product = length if product is None else ("*", product, length)
        total = product if total is None or product is None else ("+", total, product)
    return 1 if total is None else total
