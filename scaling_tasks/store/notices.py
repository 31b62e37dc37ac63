"""What a store, and whoever else finds something that is not used, has to tell whoever runs a build."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable

__all__ = ["tell", "tell_once", "when_told"]

Notice = Callable[[str], None]
_notice: Notice | None = None


def when_told(notice: Notice | None) -> None:
    """Have ``notice`` called with each line; None for standard error."""
    global _notice
    _notice = notice


def tell(line: str) -> None:
    """Tell one line."""
    if _notice is not None:
        _notice(line)
    else:
        sys.stderr.write(line + "\n")


@functools.cache
def tell_once(line: str) -> None:
    """Tell a line that this process has not told yet."""
    tell(line)
