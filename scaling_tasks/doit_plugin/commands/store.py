"""``doit store``: what the store holds, and what it has saved."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from doit.exceptions import InvalidCommand

from scaling_tasks.doit_plugin.commands.base import JSON_OPTION, TaskCommand, flag

if TYPE_CHECKING:
    from scaling_tasks.store.store import Store

__all__ = ["StoreReport"]

_SINCE = {
    "name": "since",
    "long": "since",
    "type": int,
    "default": 0,
    "help": "count only what happened after this mark, which an earlier call gave",
}
_SEND = flag("send", "first send all results that are here, and not there, to the remote store", long="send")


class StoreReport(TaskCommand):
    """Tells the store's statistics over all runs, of whatever process, or since a mark."""

    name = "store"
    doc_purpose = "tell what the store holds, its hits and misses, and what they saved"
    doc_usage = ""
    doc_description = (
        "With --json also a mark: give it to a later call as --since to count only what happened in between. "
        "Exit status: 0, or 1 when --send could not send all."
    )
    cmd_options = (JSON_OPTION, _SINCE, _SEND)
    needs_units = False

    def _execute(self, as_json: bool, since: int, send: bool) -> int:
        from scaling_tasks.builds.workshop import open_store

        self.dep_manager.close()
        store = open_store()
        if send and (store.remote is None or store.remote.sender is None):
            raise InvalidCommand("no remote store is named that could be sent to: see SCALING_TASKS_REMOTE_STORE")
        fault = ""
        sent: dict[str, int] = {}
        if send:
            sent["sent"], fault = _send(store)
        found = {
            **sent,
            "entries": sum(1 for _ in store.records()),
            "bytes": store.size(),
            "mark": store.mark(),
            **store.activity(since).to_payload(),
        }
        if as_json:
            self.write_json("store", found)
        else:
            self._tell(found)
        if fault:
            sys.stderr.write(f"error: {fault}\n")
        return 1 if fault else 0

    def _tell(self, found: dict[str, Any]) -> None:
        from scaling_tasks.doit_plugin.console.quantities import duration, size

        if "sent" in found:
            self.write(f"{found['sent']} results sent")
        self.write(f"{found['entries']} results, {size(found['bytes'])}")
        self.write(
            f"{found['hits']} hits, {found['misses']} misses; {size(found['bytes_restored'])} restored, "
            f"{size(found['bytes_stored'])} added; {duration(found['seconds_saved'])} of work saved"
        )
        self.write(f"{found['evicted']} evicted, {found['corrupt']} found damaged")


def _send(store: Store) -> tuple[int, str]:
    """Return how many results were sent, and why not all, if so."""
    assert store.remote is not None
    connection = store.remote.connection
    connection.announces = False
    sent = store.send_all()
    if connection.fault is None:
        return sent, ""
    how_many = f"only {sent} results" if sent else "nothing"
    said = f"{how_many} could be sent to the store {connection.name}: {connection.fault}"
    return sent, f"{said}. Results are kept here; send them when it is there again."
