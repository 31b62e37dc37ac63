"""Reading a dodo file: what is wrong with it is one line, where doit would show how it came to import it."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from doit import loader as doit_loader
from doit.exceptions import InvalidCommand, InvalidDodoFile

from scaling_tasks.errors import ConfigError, of_disk, one_line

__all__ = ["read_dodo"]


def read_dodo(dodo: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names that a dodo file defines.

    Args:
        dodo: Where it is expected.
        options: What doit's command line says of it.

    Raises:
        InvalidDodoFile: It is not there, no file, no Python, or ends in an error.
    """
    try:
        module = doit_loader.get_module(options["dodoFile"], options["cwdPath"], options["seek_file"])
    except (InvalidDodoFile, InvalidCommand):
        raise
    except SyntaxError as cause:
        where = f"{cause.filename}:{cause.lineno}" if cause.filename else str(dodo)
        raise _invalid(f"it is no Python ({one_line(cause.msg)})", where, "Mend it.") from cause
    except OSError as cause:
        if _line(cause, dodo) is None:
            raise InvalidDodoFile(str(of_disk(cause, ConfigError, where=dodo, what="cannot be read"))) from cause
        raise _failed(cause, dodo) from cause
    except ModuleNotFoundError as cause:
        if cause.name != dodo.stem:
            raise _failed(cause, dodo) from cause
        raise _invalid("it is no regular file", str(dodo), "Remove what stands in its place.") from cause
    except Exception as cause:  # It is anybody's Python.
        raise _failed(cause, dodo) from cause
    return dict(inspect.getmembers(module))


def _failed(cause: Exception, dodo: Path) -> InvalidDodoFile:
    """Return the error for what a dodo file raised."""
    line = _line(cause, dodo)
    where = str(dodo) if line is None else f"{dodo}:{line}"
    return _invalid(f"{type(cause).__name__}: {one_line(cause)}", where, f"`python {dodo}` shows where it comes from.")


def _line(cause: Exception, dodo: Path) -> int | None:
    """Return the last line of the dodo file that an error went through, None where it came from elsewhere."""
    lines = [
        frame.lineno for frame in traceback.extract_tb(cause.__traceback__) if Path(frame.filename).name == dodo.name
    ]
    return lines[-1] if lines else None


def _invalid(what: str, where: str, fix: str) -> InvalidDodoFile:
    return InvalidDodoFile(str(ConfigError(what, where=where, fix=fix)))
