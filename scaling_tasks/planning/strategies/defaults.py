"""The buckets of a target without a data set: MindOCR's default lists."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.config.specs import DefaultScaling
from scaling_tasks.errors import PlanError, one_line
from scaling_tasks.planning.solver.product import product_of
from scaling_tasks.planning.strategies.mindocr import cut_evenly
from scaling_tasks.shapes.signature import HEIGHT, WIDTH, is_batch

__all__ = ["default_buckets", "default_sizes"]


def default_sizes(defaults: DefaultScaling, variables: Sequence[str]) -> dict[str, list[int]]:
    """Return the list of each variable, in order.

    Raises:
        PlanError: A variable has none.
    """
    known = {name: defaults.batch_size for name in variables if is_batch(name)}
    known |= {HEIGHT: defaults.height, WIDTH: defaults.width}
    for name in variables:
        if not known.get(name):
            raise PlanError(
                f"there is neither a data set nor a default list for {one_line(repr(name), 60)}",
                where="dataset",
                fix="Name a data set, or give ranges under shape_bucket.",
            )
    return {name: sorted(set(known[name])) for name in variables}


def default_buckets(
    defaults: DefaultScaling, variables: Sequence[str], limit: int | None, *, per_batch: bool
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the product of the default lists, int64 [k, d], and warnings.

    Lists are thinned evenly, in proportion to their lengths; the largest sizes stay.

    Args:
        defaults: The lists.
        variables: The target's variables.
        limit: Most buckets.
        per_batch: Whether the limit is on the buckets of each batch size, as on platforms where each batch size is one
            model of many buckets, and not on all of them together.

    Raises:
        PlanError: A variable has no default list.
    """
    lists = default_sizes(defaults, variables)
    limited = [name for name in variables if not is_batch(name) or not per_batch] or list(variables)
    whole = math.prod(len(lists[name]) for name in limited)
    warnings: tuple[str, ...] = ()
    if limit is not None and whole > limit:
        room = limit
        for index, name in enumerate(limited):
            left = limited[index + 1 :]
            share = len(lists[name]) * (room / (len(lists[name]) * math.prod(len(lists[n]) for n in left))) ** (
                1 / (len(left) + 1)
            )
            count = min(len(lists[name]), room, max(1, math.floor(share + 1e-9)))
            lists[name] = cut_evenly(lists[name], count)
            room //= len(lists[name])
        kept = math.prod(len(lists[name]) for name in limited)
        warnings = (
            f"The default lists make {whole} buckets; {kept} were kept, evenly spread, as {limit} is the limit.",
        )
    return product_of([np.asarray(lists[name], dtype=np.int64) for name in variables]), warnings
