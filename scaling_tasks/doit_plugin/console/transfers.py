"""What went over the wire in a run: for the status line, and to see it through to its end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from scaling_tasks.config.environment import environment_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from scaling_tasks.store.remote_store import RemoteStore

__all__ = ["finish_transfers", "transfers_line", "transfers_under_way"]


def transfers_under_way() -> str:
    """Return what is fetched and sent at this moment; nothing where there is no remote store."""
    if (remote := _remote()) is None:
        return ""
    from scaling_tasks.doit_plugin.console.quantities import size

    parts = []
    fetched, expected = remote.connection.fetched, remote.reader.expected
    if fetched < expected and remote.reader.reading:
        parts.append(f"fetching {size(fetched)} of {size(expected)}")
    if pending := remote.pending:
        parts.append(f"sending {pending} results")
    return ", ".join(parts)


def finish_transfers(tell: Callable[[str], None]) -> None:
    """Wait until all results are sent or given up, unless the run was interrupted."""
    remote = _remote()
    if remote is None or sys.exc_info()[0] is KeyboardInterrupt:
        return
    if pending := remote.pending:
        tell(f"sending {pending} more results to {remote.connection.name}")
    remote.finish()


def transfers_line() -> str:
    """Return in one line what a remote store did for this run; nothing where nothing went."""
    remote = _remote()
    if remote is None or not remote.connection.attempts:
        return ""
    from scaling_tasks.doit_plugin.console.quantities import size

    sent = remote.sender.results if remote.sender is not None else 0
    connection = remote.connection
    return (
        f"remote store {connection.name}: {connection.attempts} requests, {size(connection.fetched)} fetched, "
        f"{sent} results with {size(connection.sent)} sent"
    )


def _remote() -> RemoteStore | None:
    if environment_settings().remote_store is None:
        return None
    from scaling_tasks.builds.workshop import opened_remote_store

    return opened_remote_store()
