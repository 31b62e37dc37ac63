"""Work that all units of a target have in common: done by the first of them, taken over by the others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.document_fields import DigestField, NameField, SizeField
from scaling_tasks.documents import MOST_BYTES
from scaling_tasks.files import digest_file, link_or_copy, publish, read_regular, write_if_changed
from scaling_tasks.names import inner_name

__all__ = ["SHARED", "made_once", "shared_name"]

SHARED = "weights"
"""What the names of files begin with that units have in common."""

_DIGESTS = "digests.json"


def made_once(job: CompileJob, workdir: Path, names: Sequence[str], make: Callable[[], None]) -> None:
    """Have the files ``names`` in ``workdir``: from the job's shared directory, or by calling ``make``.

    ``make`` must write the same bytes for every unit: units that start together both make them, and each file is
    published by a rename. What is taken is a link of one's own, so that the shared directory may vanish at any moment,
    and is compared with its digest, so that a file that a power failure cut short is made again.

    Args:
        job: Its ``shared`` directory is read and filled; without one, ``make`` is called.
        workdir: Where the files are wanted; leave their content alone.
        names: File names, without directories.
        make: Writes them all to ``workdir``.
    """
    if job.shared is None:
        make()
    elif not _take(job.shared, workdir, names):
        make()
        with contextlib.suppress(OSError):  # A full disk costs the next unit some time, not this one its result.
            _give(job.shared, workdir, names)


def _take(shared: Path, workdir: Path, names: Sequence[str]) -> bool:
    try:
        text = read_regular(shared / _DIGESTS, MOST_BYTES, below=shared)
        made = msgspec.json.decode(text, type=dict[NameField, tuple[DigestField, SizeField]])
        for name in names:
            link_or_copy(shared / name, workdir / name)
        if all(digest_file(workdir / name, most=made[name][1]) == made[name][0] for name in map(inner_name, names)):
            return True
    except (OSError, ValueError, LookupError, RecursionError):
        # Not made yet, removed meanwhile, or damaged.
        pass
    for name in names:
        (workdir / name).unlink(missing_ok=True)
    return False


def _give(shared: Path, workdir: Path, names: Sequence[str]) -> None:
    for name in names:
        with publish(shared / name, below=shared, derived=True) as temporary:
            link_or_copy(workdir / name, temporary)
    made = {name: (digest_file(workdir / name), (workdir / name).stat().st_size) for name in names}
    write_if_changed(shared / _DIGESTS, msgspec.json.encode(made, order="sorted"), below=shared, derived=True)


def shared_name(file: Path) -> Path:
    """Return beside ``file`` the path to give it where units may have it in common: it tells the content.

    A bundle then has equal files once, under one name, and no copying can make them several.
    """
    return file.with_name(f"{SHARED}-{digest_file(file)[:16]}{file.suffix}")
