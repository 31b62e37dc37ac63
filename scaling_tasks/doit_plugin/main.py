"""``scaling-doit``: doit with this package's loader, from any directory of a repository.

doit reads ``pyproject.toml`` in the current directory only, so that a loader named there is unknown in sub-directories.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["main", "repository_root"]


def repository_root(start: Path) -> Path | None:
    """Return the nearest directory from ``start`` upwards that holds configurations, None where there is none."""
    places = [start, *start.parents]
    return next((place for place in places if any((place / "configs").glob("*.yaml"))), None)


def main() -> int:
    """Run doit at the repository's root; return its exit status."""
    from doit.doit_cmd import DoitMain

    from scaling_tasks.doit_plugin.loader import ScalingLoader

    root = repository_root(Path.cwd())
    if root is not None:
        os.chdir(root)
        sys.path.insert(0, str(root))
    return int(DoitMain(ScalingLoader()).run(sys.argv[1:]) or 0)
