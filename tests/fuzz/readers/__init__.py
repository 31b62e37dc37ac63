"""One module per kind of file that is read; each names its readers ``READERS = (Reader(…), …)``.

A reader writes valid files, reads them, and says what may come of spoiled ones; see `tests.fuzz.reader.Reader`:

    READERS = (Reader("lock", make, read, mutators=(json_document,)),)

``python -m tests.fuzz --reader lock --cases 1000`` runs it alone.
"""

from __future__ import annotations

import importlib
import pkgutil

from tests.fuzz.reader import Reader

__all__ = ["all_readers"]


def all_readers() -> list[Reader]:
    """Return the readers of every module here, in order of their names."""
    modules = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [each for name in modules for each in importlib.import_module(f"{__name__}.{name}").READERS]
