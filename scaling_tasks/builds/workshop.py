"""The workshop of the repository in the current directory: its store, its executor and what it knows of files."""

from __future__ import annotations

import functools
import os
import threading
from typing import TYPE_CHECKING

from scaling_tasks.config.environment import environment_settings, parse_executor, store_secret
from scaling_tasks.errors import ConfigError
from scaling_tasks.known_digests import STATE, known_digests

if TYPE_CHECKING:
    from scaling_tasks.actions.perform import Workshop
    from scaling_tasks.execution.contract import Executor
    from scaling_tasks.store.remote_store import RemoteStore
    from scaling_tasks.store.store import Store

_opening = threading.Lock()

__all__ = ["open_store", "open_workshop", "opened_remote_store", "remote_store"]


def open_store() -> Store:
    """Return the store: ``.scaling/store``, or the directory that ``SCALING_TASKS_STORE`` names, and what lies behind.

    Raises:
        ConfigError: An environment variable of this package holds something unusable.
    """
    from scaling_tasks.store.store import Store

    return Store(environment_settings().store or STATE / "store", remote_store())


def remote_store() -> RemoteStore | None:
    """Return the remote store that ``SCALING_TASKS_REMOTE_STORE`` names, None where there is none.

    It is the same object each time in a process: what it costs is counted over all that is done.

    Raises:
        ConfigError: An environment variable of this package holds something unusable.
    """
    found = environment_settings()
    if found.remote_store is None:
        return None
    writes = found.remote_store_mode == "read-write"
    with _opening:
        return _opened(os.getpid(), found.remote_store, writes, store_secret(), found.remote_store_patience)


def opened_remote_store() -> RemoteStore | None:
    """Return the remote store where this process has used it, which is not worth opening to hear that."""
    return remote_store() if _opened.cache_info().currsize else None


@functools.lru_cache(maxsize=2)
def _opened(process: int, url: str, writes: bool, secret: bytes | None, patience: float) -> RemoteStore:
    from scaling_tasks.store.remote_store import open_remote_store

    try:
        return open_remote_store(url, writes=writes, secret=secret, patience=patience)
    except ConfigError as error:
        where = f"SCALING_TASKS_REMOTE_STORE{f': {error.where}' if error.where else ''}"
        raise ConfigError(error.what, where=where, fix=error.fix) from error


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
