"""Linux process plumbing: dying with the parent, killing whole trees, waiting without reaping."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import time
from pathlib import Path

from scaling_tasks.process_memory import process_memory

__all__ = ["descendants", "die_with_parent", "kill_tree", "resident_bytes", "status_text", "wait_exit"]

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.02


def die_with_parent(death_signal: int, parent: int | None = None) -> None:
    """Ask the kernel to send this process ``death_signal`` when its parent dies.

    Args:
        death_signal: What to receive.
        parent: The parent's process id as the parent knows it; where it is no longer the parent, it died before the
            kernel could be asked, and this process sends itself the signal.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), death_signal)


def descendants(pid: int) -> list[int]:
    """Return the process ids of all children, their children and so on, as far as they can be seen."""
    found: list[int] = []
    pending = [pid]
    while pending:
        children = _children(pending.pop())
        found += children
        pending += children
    return found


def _children(pid: int) -> list[int]:
    numbers: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            numbers += [int(text) for text in (task / "children").read_text().split()]
    return numbers


def kill_tree(leader: int) -> None:
    """Kill the process group of ``leader`` and every descendant that left it.

    ``leader`` must not have been reaped yet, or its number may already belong to another process.
    """
    strays = descendants(leader)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    for pid in strays:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def resident_bytes(pid: int) -> int:
    """Return the resident size of a process and all its descendants, in bytes.

    What they share, as after a fork, counts once where the kernel tells.
    """
    return sum(map(process_memory, (pid, *descendants(pid))))


def wait_exit(pid: int, timeout: float) -> bool:
    """Wait until the child ``pid`` has ended, without reaping it; return False after ``timeout`` seconds."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:  # Not every kernel and container has it.
        return _poll_exit(pid, timeout)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(timeout * 1000))
    finally:
        os.close(descriptor)


def _poll_exit(pid: int, timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def status_text(status: int) -> str:
    """Return how a process ended, in words that follow its name; a shell's 128 and more count as signals too."""
    number = -status if status < 0 else status - 128
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"ended with status {status}"
    return f"was killed by {name}"
