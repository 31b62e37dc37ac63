"""Where the store of this repository lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaling_tasks.config.environment import knobs
from scaling_tasks.pipeline.target import STATE

if TYPE_CHECKING:
    from scaling_tasks.store.store import Store

__all__ = ["open_store"]


def open_store() -> Store:
    """Return the store: ``.scaling/store``, or the directory that ``SCALING_TASKS_STORE`` names.

    Raises:
        ConfigError: An environment variable of this package holds something unusable.
    """
    from scaling_tasks.store.store import Store

    return Store(knobs().store or STATE / "store")
