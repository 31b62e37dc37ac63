"""Lines of text, with one line below them that is redrawn while a run goes on, where a terminal shows it."""

from __future__ import annotations

import atexit
import os
import shutil
import threading
from collections.abc import Callable
from typing import Any

from scaling_tasks.doit_plugin.console.output import write_out

__all__ = ["StatusLine", "wants_bar"]

_SECONDS = 0.5
_CLEAR = "\r\x1b[2K"


def wants_bar(stream: Any, progress: str) -> bool:
    """Return whether a status line is to be shown on ``stream``: ``bar``, ``plain``, or by what it is for ``auto``."""
    if progress != "auto":
        return progress == "bar"
    terminal = hasattr(stream, "isatty") and stream.isatty()
    return bool(terminal and not os.environ.get("CI") and os.environ.get("TERM") != "dumb")


class StatusLine:
    """Writes whole lines from any thread; keeps the status below them.

    Args:
        stream: Where to.
        status: Returns the status, without line ends; asked for from a thread of its own.
        shown: Whether there is to be a status at all.
    """

    def __init__(self, stream: Any, status: Callable[[], str], *, shown: bool) -> None:
        self._stream = stream
        self._status = status
        self._shown = shown
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._drawn = False
        self._text = ""
        self._guests = 0
        self._pid = os.getpid()

    def start(self) -> None:
        """Begin to redraw.

        Only once the first task runs: doit forks its workers before, and a fork would copy a lock that is held.
        """
        if self._shown and self._thread is None:
            self._thread = threading.Thread(target=self._redraw, name="status line", daemon=True)
            self._thread.start()
            atexit.register(self._leave)

    def line(self, text: str) -> None:
        """Write a line, or several, above the status."""
        with self._lock:
            self._write(text + "\n" + self._line_below())

    def hide_for_guest(self) -> None:
        """Leave the terminal to a task that may write to it itself."""
        with self._lock:
            self._guests += 1
            self._write("")

    def guest_left(self) -> None:
        """Take the terminal back."""
        with self._lock:
            self._guests = max(0, self._guests - 1)

    def stop(self) -> None:
        """End the status; lines can still be written."""
        self._ended.set()
        with self._lock:
            self._shown = False
            self._write("")

    def _leave(self) -> None:
        """Have the thread gone before the interpreter takes the stream away, however the run ended."""
        self._ended.set()
        if self._thread is not None and os.getpid() == self._pid:
            self._thread.join(_SECONDS)

    def _redraw(self) -> None:
        while not self._ended.wait(_SECONDS):
            text = self._status()
            with self._lock:
                if self._shown and not self._guests:
                    self._text = text
                    self._write(self._line_below())

    def _line_below(self) -> str:
        if not self._shown or self._guests or not self._text:
            return ""
        return self._text[: max(10, shutil.get_terminal_size().columns - 1)]

    def _write(self, text: str) -> None:
        """Write in one piece, so that nothing of another process comes between, replacing the status drawn before."""
        # A forked worker cannot know whether its parent has drawn a status.
        drawn = self._drawn or (self._shown and os.getpid() != self._pid)
        whole = (_CLEAR if drawn else "") + text
        self._drawn = bool(text) and not text.endswith("\n")
        if whole:
            write_out(self._stream, whole)
