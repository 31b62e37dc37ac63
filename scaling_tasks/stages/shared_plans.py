"""Searches for buckets that several targets want: the cells of a matrix differ in what comes after the plan.

The key of a target's ``buckets`` is made of its backend too, which groups them into units, so that the store cannot
tell that two of them begin with the same search. Within a process it is made once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from scaling_tasks.documents import canonical_json

if TYPE_CHECKING:
    from scaling_tasks.planning.bucket_plan import BucketPlan

__all__ = ["shared_plan"]

_MOST_KEPT = 32

_plans: OrderedDict[str, BucketPlan] = OrderedDict()
_searching: dict[str, threading.Lock] = {}
_lock = threading.Lock()


def shared_plan(made_from: Any, search: Callable[[], BucketPlan]) -> BucketPlan:
    """Return the plan that ``search`` finds, or found before; who wants it meanwhile waits for it.

    Args:
        made_from: Everything that the plan depends on, as JSON values.
        search: Makes it; what it raises is not kept.
    """
    key = canonical_json(made_from)
    with _lock:
        own = _searching.setdefault(key, threading.Lock())
    try:
        with own:
            found = _plans.get(key)
            if found is None:
                found = search()
                with _lock:
                    _plans[key] = found
                    while len(_plans) > _MOST_KEPT:
                        _plans.popitem(last=False)
            return found
    finally:
        with _lock:
            _searching.pop(key, None)
