"""Grouping buckets into the gears of Ascend artefacts, under MindOCR's names."""

from __future__ import annotations

from collections.abc import Sequence

from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.errors import CompileError
from scaling_tasks.shapes.signature import BATCH, HEIGHT, WIDTH, Signature
from scaling_tasks.shapes.unit import Unit

__all__ = ["FEWEST_GEARS", "MOST_GEARS", "gear_units", "open_axes", "open_sizes"]

# Ascend's graph engine refuses fewer (E10035), more (E10036) and equal gears (E10039).
FEWEST_GEARS, MOST_GEARS = 2, 100

_Bucket = tuple[int, ...]


def gear_units(
    model_stem: str, signature: Signature, buckets: Sequence[Sequence[int]], *, joint: bool = False
) -> tuple[Unit, ...]:
    """Return the artefacts that hold the buckets as gears.

    Without variables that is ``<model>_static``; with N alone ``<model>_dynamic_bs``; with sizes alone
    ``<model>_dynamic_hw``; with N and sizes one ``<model>_dynamic_bs{N}_hw`` per N. All other variables, and every
    kind when ``joint`` is set, go into one ``<model>_dynamic_dims``. Equal gears are merged, and a single one is
    completed to two.

    Raises:
        CompileError: An artefact would hold more gears than the platform takes.
    """
    variables = signature.variables
    if not variables:
        return (Unit("static", f"{model_stem}_static", (), ((),)),)
    distinct = sorted({tuple(int(value) for value in bucket) for bucket in buckets})
    groups = _groups(variables, distinct, joint)
    return tuple(_unit(model_stem, name, variables, gears) for name, gears in groups.items())


def _groups(variables: tuple[str, ...], buckets: list[_Bucket], joint: bool) -> dict[str, list[_Bucket]]:
    if joint or not set(variables) <= {BATCH, HEIGHT, WIDTH}:
        return {"dynamic_dims": buckets}
    if variables == (BATCH,):
        return {"dynamic_bs": buckets}
    if BATCH not in variables:
        return {"dynamic_hw": buckets}
    column = variables.index(BATCH)
    groups: dict[str, list[_Bucket]] = {}
    for bucket in sorted(buckets, key=lambda values: values[column]):
        groups.setdefault(f"dynamic_bs{bucket[column]}_hw", []).append(bucket)
    return groups


def _unit(model_stem: str, name: str, variables: tuple[str, ...], gears: list[_Bucket]) -> Unit:
    stem = f"{model_stem}_{name}"
    if len(gears) > MOST_GEARS:
        raise CompileError(
            f"{len(gears)} gears in one artefact, and Ascend takes at most {MOST_GEARS}",
            where=stem,
            fix="Lower `auto_scaling.max_scaling_num`.",
        )
    varying = [index for index, variable in enumerate(variables) if variable != BATCH or variables == (BATCH,)]
    complete = gears if len(gears) >= FEWEST_GEARS else [_companion(gears[0], varying[-1]), gears[0]]
    return Unit(name, stem, variables, tuple(sorted(complete)))


def _companion(gear: _Bucket, column: int) -> _Bucket:
    """Return a second gear, the next smaller one that keeps the value's alignment, or a larger one where none is.

    A value of 320 is a multiple of 64, so its companion is 256; 32 has no smaller multiple of 32, so 64.
    """
    value = gear[column]
    alignment = value & -value
    other = value - alignment if value > alignment else 2 * value
    return (*gear[:column], other, *gear[column + 1 :])


def open_axes(job: CompileJob) -> dict[str, tuple[int, ...]]:
    """Return per input the axes whose length differs between the unit's gears."""
    shapes = [job.signature.shapes(values) for values in job.unit.values()]
    return {
        tensor.name: tuple(
            axis for axis in range(len(tensor.dims)) if len({shape[tensor.name][axis] for shape in shapes}) > 1
        )
        for tensor in job.signature.inputs
    }


def open_sizes(job: CompileJob) -> list[list[int]]:
    """Return per gear one number for every open axis, in the order of the inputs and their axes."""
    axes = open_axes(job)
    shapes = [job.signature.shapes(values) for values in job.unit.values()]
    return [[shape[name][axis] for name, found in axes.items() for axis in found] for shape in shapes]
