"""Reshape and Flatten: which lengths of the old axes make up the new ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from scaling_tasks.analysis.axes import Axis, grid
from scaling_tasks.analysis.lengths import Length, Rounding, as_length, product_of
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor

__all__ = ["regroup"]

_MOST_PIECES = 64


@operator("Reshape", sizes=(1,))
def follow_reshape(op: Operation) -> Tensor:
    """Follow Reshape, with its 0 (keep) and -1 (the rest)."""
    tensor = op.input(0)
    wanted = _wanted(op, tensor)
    return _reshaped(op, wanted)


@operator("Flatten")
def follow_flatten(op: Operation) -> Tensor:
    """Follow Flatten."""
    tensor = op.input(0)
    at = op.axis(int(op.attribute("axis", 1)), tensor.rank)
    halves = (tensor.known_axes[:at], tensor.known_axes[at:])
    return _reshaped(op, [product_of(axis.length for axis in axes) for axes in halves])


def _reshaped(op: Operation, wanted: Sequence[Length]) -> Tensor:
    axes = regroup(op, wanted)
    tensor = op.input(0)
    fills = _fills(op, tensor, axes)
    return op.result(axes, tensor.dtype, fills=fills, finite=tensor.finite, low=tensor.low, high=tensor.high)


def _wanted(op: Operation, tensor: Tensor) -> list[Length]:
    given = op.numbers(1, "shape") or []
    lengths: list[Length | None] = []
    for at, length in enumerate(given):
        if length.constant == 0 and not op.attribute("allowzero", 0):
            lengths.append(tensor.known_axes[at].length)
        else:
            lengths.append(None if length.constant == -1 else length)
    if None not in lengths:
        return [length for length in lengths if length is not None]
    # What is left is what remains of the old lengths once the known ones are taken out of them.
    pool = [length for axis in tensor.known_axes for length in _lengths(axis)]
    known = [each for each in lengths if each is not None]
    pool, rest = _cancelled(pool, known)
    if op.domain.divide(product_of(pool), rest) is None and _whole_blocks(op, pool, known):
        pool, rest = _cancelled([length for axis in tensor.known_axes for length in _blocks(op, axis, known)], known)
    total = product_of(pool)
    quotient = op.domain.divide(total, rest)
    if quotient is None and (matched := _matched(op, tensor, lengths)) != lengths:
        known = [each for each in matched if each is not None]
        pool, rest = _cancelled([length for axis in tensor.known_axes for length in _lengths(axis)], known)
        lengths, total = matched, product_of(pool)
        quotient = op.domain.divide(total, rest)
    if quotient is None:
        # The model only runs where what is left is whole.
        quotient = total // rest
        if not op.domain.require(total, quotient * rest):
            raise Refused(f"{total} positions are never a whole number of times {rest}")
    return [quotient if length is None else length for length in lengths]


def _matched(op: Operation, tensor: Tensor, lengths: Sequence[Length | None]) -> list[Length | None]:
    """Take lengths that come from another tensor to be meant for those that stand at their places."""
    found = list(lengths)
    for at, (axis, length) in enumerate(zip(tensor.known_axes, lengths, strict=False)):
        own = axis.length
        if length is None or not length.variables or not own.variables or length.variables <= tensor.variables:
            continue
        if op.domain.require(own, length):
            found[at] = own
    return found


def _lengths(axis: Axis) -> list[Length]:
    return list(axis.pieces[0]) if len(axis.pieces) == 1 else [axis.length]


def _cancelled(pool: list[Length], known: Sequence[Length]) -> tuple[list[Length], Length]:
    """Take lengths out of a pool of factors; return what is left of either."""
    rest = as_length(1)
    for each in known:
        pool, uncancelled = _cancel(pool, each)
        rest = rest * uncancelled
    return pool, rest


def _block(length: Length, known: Sequence[Length]) -> tuple[Length, int] | None:
    """Return one of the known lengths that is ``length // size``, and that size."""
    for each in known:
        atom = each.terms[0][0][0] if len(each.terms) == 1 and len(each.terms[0][0]) == 1 else None
        if isinstance(atom, Rounding) and each.terms[0][1] == 1 and atom.operator == "//" and atom.left == length:
            size = atom.right.constant
            if size is not None:
                return each, int(size)
    return None


def _whole_blocks(op: Operation, pool: Sequence[Length], known: Sequence[Length]) -> bool:
    """Take a model that cuts an axis into blocks to be meant for whole ones; return whether there is such an axis."""
    found = [(length, block) for length in pool if (block := _block(length, known)) is not None]
    return bool(found) and all(op.domain.require(length, each * size) for length, (each, size) in found)


def _blocks(op: Operation, axis: Axis, known: Sequence[Length]) -> list[Length]:
    lengths: list[Length] = []
    for length in _lengths(axis):
        block = _block(length, known)
        whole = block is not None and op.domain.equal(length, block[0] * block[1])
        lengths += [block[0], as_length(block[1])] if block is not None and whole else [length]
    return lengths


def _cancel(pool: list[Length], length: Length) -> tuple[list[Length], Length]:
    """Take a length out of a pool of factors; what cannot be taken out comes back."""
    left = list(pool)
    for at, factor in enumerate(left):
        if factor == length:
            return [*left[:at], *left[at + 1 :]], as_length(1)
    for at, factor in enumerate(left):
        quotient = factor.divided(length)
        if quotient is not None:
            left[at] = quotient
            return left, as_length(1)
    for at, factor in enumerate(left):
        quotient = length.divided(factor)
        if factor.constant != 1 and quotient is not None and quotient != length:
            return _cancel([*left[:at], *left[at + 1 :]], quotient)
    return left, length


def regroup(op: Operation, wanted: Sequence[Length]) -> list[Axis]:
    """Return the axes of input 0 reshaped to the wanted lengths, realigning it where its padding lies across them.

    Raises:
        Refused: The lengths do not go together, or not in a way that can be followed.
    """
    old, new = (product_of(lengths) for lengths in ([axis.length for axis in op.input(0).known_axes], wanted))
    if not op.domain.equal(old, new) and not op.domain.require(old, new):
        raise Refused(f"{old} positions are never {new}")
    for _ in range(8):
        try:
            return _regroup(op, op.input(0), wanted)
        except _Across as across:
            op.realign(0, across.axis, across.target)
        except _Uneven:
            return _in_order(op, wanted)
    raise Refused("its old and new axes do not go together")


class _Uneven(Exception):  # noqa: N818
    """New axes begin within old ones."""


def _in_order(op: Operation, wanted: Sequence[Length]) -> list[Axis]:
    """Take all valid positions in their order and lay them out as the new axes need them.

    The axes that differ are flattened, read in the new order, and given their old lengths, so that the node does the
    same as before.
    """
    tensor, emitter = op.input(0), op.emitter
    old, domain = list(tensor.known_axes), op.domain
    lead = 0
    while lead < min(len(old), len(wanted)) and domain.equal(old[lead].length, wanted[lead]):
        lead += 1
    tail = 0
    while tail < min(len(old), len(wanted)) - lead and domain.equal(old[-1 - tail].length, wanted[-1 - tail]):
        tail += 1
    middle, fresh = old[lead : len(old) - tail], wanted[lead : len(wanted) - tail]
    if op.opset < 10 or any(len(axis.pieces) > 1 for axis in middle):
        raise Refused("its new axes begin within its old ones")
    source = grid(*(length for axis in middle for length in axis.pieces[0]))
    op.mixes(source)
    size = emitter.once("Shape", [tensor.name])
    before = emitter.part_of_shape(tensor.name, 0, lead)
    after = emitter.part_of_shape(tensor.name, len(old) - tail, len(old))
    parts = [before, emitter.numbers([-1]), after]
    flat = emitter.node("Reshape", [tensor.name, emitter.once("Concat", parts, axis=0)])
    axes = (*old[:lead], source, *old[len(old) - tail :])
    known = tensor.changed(name=flat, axes=axes, fills={})
    op.newly_cleaned |= op.padded(source)
    moved = op.around.cleaner.gather(known, lead, grid(*fresh), as_length(0), 1, "step")
    op.use(0, moved.named(emitter.node("Reshape", [moved.name, size])))
    return [*old[:lead], *(grid(length) for length in fresh), *old[len(old) - tail :]]


class _Across(Exception):  # noqa: N818
    """An axis has to be laid out otherwise before it can be cut."""

    def __init__(self, axis: int, target: Axis) -> None:
        super().__init__(str(target))
        self.axis, self.target = axis, target


Part = tuple[int, "Length | Axis"]
"""An old axis, and one of its lengths, or the whole axis where it has several pieces."""


def _parts(tensor: Tensor) -> deque[Part]:
    parts: deque[Part] = deque()
    for at, axis in enumerate(tensor.known_axes):
        if len(axis.pieces) == 1:
            parts.extend((at, length) for length in axis.pieces[0])
        else:
            parts.append((at, axis))
    return parts


def _regroup(op: Operation, tensor: Tensor, wanted: Sequence[Length]) -> list[Axis]:
    parts = _parts(tensor)
    axes: list[Axis] = []
    for at, length in enumerate(wanted):
        last = at == len(wanted) - 1
        taken = _take(op, tensor, parts, length)
        if last:
            # What is left are axes of length 1.
            while parts:
                _, part = parts.popleft()
                if op.domain.constant(part.length if isinstance(part, Axis) else part) != 1:
                    raise Refused("its new axes hold fewer positions than its old ones")
        axes.append(_axis(op, tensor, taken))
    return axes


def _take(op: Operation, tensor: Tensor, parts: deque[Part], wanted: Length) -> list[Part]:
    """Take parts from the front until they make up ``wanted``."""
    taken: list[Part] = []
    missing = wanted
    while op.domain.constant(missing) != 1:
        if not parts:
            raise Refused(f"its old axes do not make up {wanted}")
        at, part = parts.popleft()
        own = part.length if isinstance(part, Axis) else part
        if own.constant == 1:
            continue
        if op.domain.equal(own, missing):
            taken.append((at, part))
            return taken
        rest = op.domain.divide(missing, own)
        if rest is not None:
            taken.append((at, part))
            missing = rest
            continue
        taken.append((at, _split(op, tensor, at, part, missing, parts)))
        return taken
    return taken


def _split(op: Operation, tensor: Tensor, at: int, part: Length | Axis, first: Length, parts: deque[Part]) -> Length:
    """Cut one length into an outer one, which is returned, and an inner one, which goes back to the front."""
    own = part.length if isinstance(part, Axis) else part
    inner = op.domain.divide(own, first)
    if inner is None:
        raise _Uneven
    constant = op.domain.constant(inner)
    inner = inner if constant is None else as_length(constant)
    varies = bool(own.variables - {op.rows})
    if isinstance(part, Axis) or (varies and constant is None):
        # Valid positions are the first ones, or pieces; they have to lie in the first rows and columns instead.
        axis = tensor.known_axes[at]
        before = list(axis.pieces[0]) if len(axis.pieces) == 1 else [own]
        place = next((i for i, length in enumerate(before) if length == own), 0)
        target = Axis(((*before[:place], first, inner, *before[place + 1 :]),))
        if target.normal == axis.normal:
            raise Refused("its axes cannot be told apart")
        raise _Across(at, target)
    if own.variables and op.rows in own.variables:
        op.mixes(grid(own))
    parts.appendleft((at, inner))
    return first


def _axis(op: Operation, tensor: Tensor, taken: Sequence[Part]) -> Axis:
    """Return the axis that the parts make up, one after another from the outermost."""
    whole: tuple[tuple[Length, ...], ...] = ((),)
    for at, part in taken:
        if isinstance(part, Axis):
            outer = as_length(1)
            for piece in whole:
                for length in piece:
                    outer = outer * length
            count = outer.constant
            if len(whole) != 1 or count is None or count * len(part.pieces) > _MOST_PIECES:
                raise _Across(at, grid(part.length))
            whole = tuple(part.pieces) * int(count)
        elif part.variables and len(whole) > 1:
            index = next(i for i, each in taken if isinstance(each, Axis))
            raise _Across(index, grid(tensor.known_axes[index].length))
        else:
            whole = tuple((*piece, part) for piece in whole)
    kept = tuple(tuple(length for length in piece if length.constant != 1) or (as_length(1),) for piece in whole)
    return Axis(kept)


def _fills(op: Operation, tensor: Tensor, axes: Sequence[Axis]) -> dict[int, float]:
    """Return what new axes' padding holds: known where all padded old axes agree."""
    padded = [at for at, axis in enumerate(tensor.known_axes) if op.padded(axis)]
    numbers = {tensor.fills.get(at) for at in padded}
    if len(numbers) == 1 and (fill := numbers.pop()) is not None:
        return dict.fromkeys(range(len(axes)), fill)
    fills = {}
    for new, axis in enumerate(axes):
        same = [at for at in padded if tensor.known_axes[at].normal == axis.normal]
        if len(same) == 1 and same[0] in tensor.fills:
            fills[new] = tensor.fills[same[0]]
    return fills
