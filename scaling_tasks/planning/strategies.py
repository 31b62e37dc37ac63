"""One function per family of strategies: samples on the lattice in, buckets out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.errors import PlanError
from scaling_tasks.planning.grids import rule_buckets
from scaling_tasks.planning.mindocr import batch_values, side_range, side_values, two_side_values
from scaling_tasks.planning.optimal import Choice, choose_buckets
from scaling_tasks.planning.product import product_of
from scaling_tasks.planning.rules import RULES
from scaling_tasks.planning.segments import combine_segments, equal_parts, nncase_segments
from scaling_tasks.planning.task import Task
from scaling_tasks.shapes.signature import BATCH

__all__ = ["choose", "explicit_rows"]


def choose(task: Task, strategy: str, most: int) -> Choice:
    """Return the buckets of a strategy, at most ``most``.

    Raises:
        PlanError: The strategy's options do not fit the samples.
    """
    if strategy == "optimal":
        return _optimal(task, most)
    if strategy in RULES:
        return Choice(_rule(task, strategy, most), None)
    if strategy in ("mean_std", "max_min"):
        return Choice(_mindocr(task, strategy, most), None)
    if strategy == "segments":
        return Choice(_segments(task, most), None)
    return Choice(_explicit(task, most), None)


def _optimal(task: Task, most: int) -> Choice:
    samples, weights, options = task.rounded.samples, task.rounded.weights, task.options
    starts: Sequence[NDArray[np.int64]] = ()
    if samples.shape[1] > 1 and not options.product:
        starts = [rule_buckets(rule, samples, weights, task.model, most, task.lattice) for rule in RULES]
    return choose_buckets(
        samples,
        weights,
        task.model,
        most,
        price=options.bucket_price,
        top=task.top,
        product=options.product,
        starts=starts,
        effort=task.effort,
    )


def _rule(task: Task, strategy: str, most: int) -> NDArray[np.int64]:
    given = {
        "min_size": task.options.min_size,
        "pad_percent": task.options.pad_percent,
        "pad_max": task.options.pad_max,
    }
    options = {name: value for name, value in given.items() if value is not None}
    samples, weights = task.rounded.samples, task.rounded.weights
    if task.top is not None:
        # The headroom takes part as one more observed size, of no weight.
        samples, weights = np.vstack([samples, task.top]), np.append(weights, 0.0)
    return rule_buckets(strategy, samples, weights, task.model, most, task.lattice, options)


def _mindocr(task: Task, strategy: str, most: int) -> NDArray[np.int64]:
    """Cut each variable's range evenly; the limit is on the product of all but the batch."""
    options, names = task.options, task.original.variables
    bounds, allowed, steps = [], [], []
    for name, sizes in zip(names, task.lattice.allowed, strict=True):
        column = task.columns.get(name) or task.original.project([name])
        bounds.append(side_range(column, strategy, options.n_std, options.expand_ratio))
        allowed.append((sizes.low, sizes.high if sizes.high is not None else float("inf")))
        steps.append(sizes.interval)
    sides = [index for index, name in enumerate(names) if not (name == BATCH and task.lattice.allowed[index].choices)]
    lists: dict[int, list[int]] = {}
    if len(sides) == 2 and steps[sides[0]] == steps[sides[1]]:
        first, second = sides
        pair = two_side_values((bounds[first], bounds[second]), (allowed[first], allowed[second]), steps[first], most)
        lists = dict(zip(sides, pair, strict=True))
    else:
        share = max(1, int(most ** (1 / max(1, len(sides))) + 1e-9))
        lists = {index: side_values(bounds[index], allowed[index], steps[index], share) for index in sides}
    for index in set(range(len(names))) - set(sides):
        column = task.columns.get(names[index]) or task.original.project([names[index]])
        lists[index] = batch_values(column, bounds[index], task.lattice.allowed[index].choices)
    return product_of([np.asarray(lists[index], dtype=np.int64) for index in range(len(names))])


def _segments(task: Task, most: int) -> NDArray[np.int64]:
    """Cut each variable's range into as many segments as give at most ``most`` buckets."""
    names, options = task.original.variables, task.options
    info = options.range_info or {}
    unknown = [name for name in info if name not in names]
    if unknown:
        raise PlanError(f"{unknown[0]!r} is no variable", where="range_info", fix=f"There are {list(names)}.")
    count = most if options.combine == "diagonal" else max(1, int(most ** (1 / len(names)) + 1e-9))
    lists = []
    for column, name in enumerate(names):
        low, high = info.get(
            name, (int(task.original.samples[:, column].min()), int(task.original.samples[:, column].max()))
        )
        if not 1 <= low <= high:
            raise PlanError(f"[{low}, {high}] is no range of sizes", where=f"range_info.{name}")
        values = nncase_segments(low, high, count) if options.segments == "nncase" else equal_parts(low, high, count)
        rounded = task.lattice.allowed[column].round(np.asarray(values, dtype=np.int64))
        lists.append(np.unique(rounded[rounded > 0]).tolist())
    return combine_segments(lists, options.combine)


def _explicit(task: Task, most: int) -> NDArray[np.int64]:
    rows = explicit_rows(task.options.buckets, task.original.variables)
    if len(rows) > most:
        raise PlanError(f"{len(rows)} buckets are listed, at most {most} are taken", where="buckets")
    return rows


def explicit_rows(buckets: Sequence[Sequence[int] | Mapping[str, int]], variables: Sequence[str]) -> NDArray[np.int64]:
    """Return listed buckets as rows, int64 [k, d].

    Raises:
        PlanError: Nothing is listed, or a bucket lacks a variable, has an unknown one, or a size that is not positive.
    """
    if not len(buckets):
        raise PlanError("no bucket is listed", where="buckets", fix="List them, or choose another strategy.")
    rows = []
    for number, bucket in enumerate(buckets):
        if isinstance(bucket, Mapping) and set(bucket) != set(variables):
            raise PlanError(
                f"bucket {number} names {sorted(bucket)}",
                where="buckets",
                fix=f"Give a size to each of {list(variables)}.",
            )
        row = [bucket[name] for name in variables] if isinstance(bucket, Mapping) else list(bucket)
        if len(row) != len(variables) or not all(int(size) == size and size >= 1 for size in row):
            raise PlanError(
                f"bucket {number} is {row}", where="buckets", fix=f"Give a positive size to each of {list(variables)}."
            )
        rows.append([int(size) for size in row])
    return np.unique(np.asarray(rows, dtype=np.int64).reshape(-1, len(variables)), axis=0)
