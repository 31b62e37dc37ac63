"""``changed_since=REV``: the tasks of the targets that what git says has changed touches."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scaling_tasks.errors import ConfigError, one_line

if TYPE_CHECKING:
    from scaling_tasks.stages.target import Target

__all__ = ["VARIABLE", "changed_files", "touched_tasks"]

VARIABLE = "changed_since"


def touched_tasks(targets: Sequence[Target], revision: str) -> list[str]:
    """Return the names of all tasks of the targets that the changes since a revision touch.

    Raises:
        ConfigError: As of `changed_files`.
    """
    from scaling_tasks.builds.graph import stages_of
    from scaling_tasks.builds.touched import touched

    found = touched(targets, changed_files(revision))
    return [f"{stage.name}:{target.name}" for target in found for stage in stages_of(target)]


def changed_files(revision: str) -> list[Path]:
    """Return what differs from where this branch left ``revision``: committed since, uncommitted, and untracked.

    Raises:
        ConfigError: There is no git or no repository here, or it has no such revision.
    """
    root = Path(_git("rev-parse", "--show-toplevel", fix="Run it in a git repository.").removesuffix("\n"))
    verify = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    unknown = "Name a branch, a tag or a commit that this clone has; a shallow one has few (`git fetch`)."
    commit = _git(*verify, what=f"there is no revision {one_line(revision, 60)!r}", fix=unknown).strip()
    apart = f"{one_line(revision, 60)!r} and what is checked out have no common commit here"
    base = _git("merge-base", commit, "HEAD", what=apart, fix="Fetch more of the history (`git fetch --unshallow`).")
    different = _git("diff", "--name-only", "--no-renames", "--no-ext-diff", "-z", base.strip(), "--", at=root)
    untracked = _git("ls-files", "--others", "--exclude-standard", "-z", at=root)
    real = root.resolve()
    return [real / name.rstrip("/") for name in f"{different}{untracked}".split("\0") if name]


def _git(*arguments: str, at: Path = Path(), what: str = "", fix: str = "") -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=at, capture_output=True, check=False, encoding="utf-8", errors="surrogateescape"
        )
    except FileNotFoundError as cause:
        raise ConfigError("git is not installed", where=VARIABLE, fix="Install it, or leave this out.") from cause
    if done.returncode:
        said = one_line(done.stderr.strip().removeprefix("fatal: ").partition("\n")[0])
        raise ConfigError(what or f"git says: {said}", where=VARIABLE, fix=fix)
    return done.stdout
