"""Leaving nothing behind: signals as interrupts, and workers that end with the process that started them."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import time
from types import TracebackType

__all__ = ["end_with_parent", "interruptible"]

_GRACE_SECONDS = 5.0
_INTERRUPTED = 128 + signal.SIGINT

_tied = False
_prepared = False


def interruptible() -> None:
    """Make this process, which runs doit, end in order however it is stopped.

    Continuous integration stops a job with SIGTERM; as an interrupt it lets doit close and compilers be stopped.
    Workers that are forked from here end when this process does, even by SIGKILL, when it can no longer tell them.
    """
    global _prepared
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not _prepared:
        _prepared = True
        sys.excepthook = _say_interrupted
        os.register_at_fork(after_in_child=_tie_forked)


def _tie_forked() -> None:
    """Have the kernel stop this process, just forked, when its parent ends."""
    global _tied
    from scaling_tasks.compilers.processes import die_with_parent

    _tied = True
    die_with_parent(signal.SIGTERM)


def end_with_parent() -> None:
    """Have a worker that doit spawned end with doit; called when such a worker receives its tasks.

    Its parent may be a server that outlives doit, so it watches doit itself.
    """
    global _tied
    if _tied or multiprocessing.current_process().name == "MainProcess":
        return
    _tied = True
    threading.Thread(target=_watch_parent, name="parent watch", daemon=True).start()


def _watch_parent() -> None:
    # Tasks are received before the process knows its parent.
    while (parent := multiprocessing.parent_process()) is None:
        time.sleep(0.05)
    multiprocessing.connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _say_interrupted(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write("interrupted; what is finished will not be done again\n")
        # doit stops its workers only where the interrupt finds it waiting for them, not while it starts them.
        for worker in multiprocessing.active_children():
            worker.terminate()
        threading.Thread(target=_end_in_time, name="end in time", daemon=True).start()
    else:
        sys.__excepthook__(kind, value, trace)


def _end_in_time() -> None:
    """End this process and its workers if their own way out takes too long.

    An interrupt inside Condition.notify can lose the next wake-up, and the interpreter then waits for ever for the
    thread that feeds a queue of multiprocessing.
    """
    time.sleep(_GRACE_SECONDS)
    for worker in multiprocessing.active_children():
        worker.kill()
    sys.stderr.flush()
    os._exit(_INTERRUPTED)
