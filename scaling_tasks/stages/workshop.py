"""The workshop of the repository in the current directory: its store, its executor and what it knows of files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaling_tasks.config.environment import knobs
from scaling_tasks.stages.target import STATE

if TYPE_CHECKING:
    from scaling_tasks.actions.known_digests import KnownDigests
    from scaling_tasks.actions.perform import Workshop
    from scaling_tasks.store.store import Store

__all__ = ["known", "open_store", "open_workshop"]


def open_store() -> Store:
    """Return the store: ``.scaling/store``, or the directory that ``SCALING_TASKS_STORE`` names.

    Raises:
        ConfigError: An environment variable of this package holds something unusable.
    """
    from scaling_tasks.store.store import Store

    return Store(knobs().store or STATE / "store")


def known() -> KnownDigests:
    """Return the digests of files that did not change."""
    from scaling_tasks.actions.known_digests import known_digests

    return known_digests(STATE)


def open_workshop() -> Workshop:
    """Return where and with what this repository's actions are done."""
    from scaling_tasks.actions.perform import Workshop
    from scaling_tasks.execution.local import LocalExecutor

    return Workshop(STATE, open_store(), LocalExecutor(), known())
