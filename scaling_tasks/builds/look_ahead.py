"""Asking the remote store for the results of all units of a plan at once, before the first of them is needed."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling_tasks.actions.request import ActionRequest
from scaling_tasks.errors import ScalingTasksError
from scaling_tasks.stages.stage import Built, Made, Stage
from scaling_tasks.stages.target import Target
from scaling_tasks.stages.units import planned_units

if TYPE_CHECKING:
    from scaling_tasks.store.store import Store

__all__ = ["expect_units", "look_up_units"]

_lock = threading.Lock()
_seen: set[tuple[Any, ...]] = set()


def look_up_units(store: Store, stage: Stage, target: Target, made: Made) -> list[ActionRequest]:
    """Look for the results of all units of a stage that are not here, in one round; return what was looked for.

    Units whose inputs are not made yet are left out: they are looked for one by one.
    """
    requests = []
    if stage.request is not None and store.remote is not None and store.remote.reader.reading:
        for unit in planned_units(made).units:
            with contextlib.suppress(ScalingTasksError):
                requests.append(stage.request(target, made, unit.name))
        store.look_up(request.action.components for request in requests if request.stored)
    return requests


def expect_units(store: Store, stage: Stage, target: Target) -> None:
    """Look for all units of a stage and begin to fetch what was found, once per process and plan."""
    if store.remote is None:
        return
    made = Built(target)
    plan = made.result("buckets").file("units.json").digest
    seen = (os.getpid(), Path.cwd(), stage.name, target.name, plan)
    with _lock:  # The units that come at the same time wait, so that all are looked for once.
        if seen in _seen:
            return
        _seen.add(seen)
        for request in look_up_units(store, stage, target, made):
            if (found := store.peek(request.action.components)) is not None:
                store.expect(file for file in found.files if request.action.makes(file.name))
