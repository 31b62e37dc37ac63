"""The workshop of the repository in the current directory: its store, its executor and what it knows of files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaling_tasks.actions.known_digests import STATE, known_digests
from scaling_tasks.config.environment import environment_settings, parse_executor

if TYPE_CHECKING:
    from scaling_tasks.actions.perform import Workshop
    from scaling_tasks.execution.contract import Executor
    from scaling_tasks.store.store import Store

__all__ = ["open_store", "open_workshop"]


def open_store() -> Store:
    """Return the store: ``.scaling/store``, or the directory that ``SCALING_TASKS_STORE`` names.

    Raises:
        ConfigError: An environment variable of this package holds something unusable.
    """
    from scaling_tasks.store.store import Store

    return Store(environment_settings().store or STATE / "store")


def open_workshop(executor: str | None = None) -> Workshop:
    """Return where and with what this repository's actions are done.

    Args:
        executor: Where the configuration has work done; what the environment says comes before it.

    Raises:
        ConfigError: An environment variable of this package holds something unusable.
    """
    from scaling_tasks.actions.perform import Workshop

    return Workshop(STATE, open_store(), _executor(executor), known_digests())


def _executor(configured: str | None) -> Executor:
    url = environment_settings().executor or parse_executor(configured or "", where="executor")
    if url is None or url == "local":
        from scaling_tasks.execution.local import LocalExecutor

        return LocalExecutor()
    from scaling_tasks.execution.farm.executor import FarmExecutor

    return FarmExecutor(url)
