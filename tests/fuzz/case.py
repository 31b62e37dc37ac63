"""One case: which file of a valid directory is spoiled how, and what reading it then comes to."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from scaling_tasks.errors import Mistakes, ScalingTasksError
from tests.fuzz.mutations import mutate
from tests.fuzz.reader import Reader

__all__ = ["OUTCOMES", "Outcome", "Workplace", "limited"]

OUTCOMES = ("refused", "as before", "otherwise", "silent", "exceptions", "hangs", "memory")
"""What a case can come to; the last four are failures."""

_ENDLESS = 1 << 40  # bytes
_MOST_CHARACTERS = 2000  # of a message
_CENTURIES = (-2_208_988_800, 13_569_465_600)  # 1900 and 2400, in seconds


@dataclass(frozen=True)
class Outcome:
    """What a case came to, one of `OUTCOMES`, and more about it."""

    kind: str
    detail: str = ""


class _TimeUp(BaseException):
    """The case took too long."""


class Workplace:
    """A directory in which one reader's cases run one after the other.

    Args:
        reader: The reader.
        root: An empty directory.
    """

    def __init__(self, reader: Reader, root: Path) -> None:
        self.reader = reader
        self._valid, self.directory = root / "valid", root / "case"
        self._valid.mkdir()
        self._targets = [path.relative_to(self._valid) for path in reader.make(self._valid)]
        self._restore()
        self._expected = reader.read(self.directory)
        self._restore()
        again = reader.read(self.directory)
        assert again == self._expected, f"{reader.name} reads one file in two ways: {self._expected} {again}"

    def run(self, seed: int, number: int) -> Outcome:
        """Spoil one file and read it."""
        self._restore()
        place = self.spoil(seed, number)
        try:
            with limited(self.reader.processor_seconds):
                found = self.reader.read(self.directory)
        except ScalingTasksError as error:
            if not self.reader.refuses and not place:
                return Outcome("exceptions", f"refused, where it has to be made anew: {error}")
            problem = _unusable(error)
            return Outcome("exceptions", f"{problem}: {error!r}"[:1000]) if problem else Outcome("refused", str(error))
        except _TimeUp:
            return Outcome("hangs", f"more than {self.reader.processor_seconds} s")
        except MemoryError:
            return Outcome("memory", _where())
        except BaseException:
            return Outcome("exceptions", traceback.format_exc())
        if found == self._expected:
            return Outcome("as before")
        if self.reader.allowed(self._expected, found):
            return Outcome("otherwise")
        return Outcome("silent", f"{self._expected!r} became {found!r}"[:1000])

    def spoil(self, seed: int, number: int) -> bool:
        """Spoil the file of a case; return whether something else than another regular file stands there now."""
        chance = Random(f"{self.reader.name} {seed} {number}")
        path = self.directory / chance.choice(self._targets)
        if chance.random() < 0.03:
            return _replace(path, chance)
        content = path.read_bytes()
        status = path.stat()
        path.write_bytes(mutate(content, chance, self.reader.mutators, self.reader.words))
        # As a flipped bit on the disk leaves it.
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        return False

    def _restore(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.copytree(self._valid, self.directory, symlinks=True)


def _replace(path: Path, chance: Random) -> bool:
    """Put something else where a file was, or give it a strange date."""
    action = chance.randrange(8)
    if action == 0:
        when = chance.choice(_CENTURIES)
        with suppress(OSError, OverflowError):
            os.utime(path, (when, when))
        return False
    if action == 7:
        os.truncate(path, _ENDLESS)  # No byte of it is on the disk.
        return True
    path.unlink()
    if action == 1:
        path.mkdir()
    elif action == 2:
        os.mkfifo(path)
    elif action == 3:
        path.symlink_to(path.name)
    elif action == 4:
        path.symlink_to("/dev/zero")
    elif action == 5:
        path.symlink_to(path.parent, target_is_directory=True)
    return True


def _unusable(error: ScalingTasksError) -> str:
    """Return what makes a message unfit for a terminal; empty where nothing does."""
    if isinstance(error, Mistakes):
        return next(filter(None, map(_unusable, error.errors)), "")
    text = str(error)
    try:
        text.encode()
    except UnicodeEncodeError:
        return "a message that cannot be written"
    if not error.where:
        return "a message that names no place"
    if len(text) > _MOST_CHARACTERS:
        return f"a message of {len(text)} characters"
    if not text.isprintable():
        return "a message of several lines, or with control characters"
    return ""


def _where() -> str:
    return traceback.format_exc(limit=-6)


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raise after so many seconds of processor time."""

    def stop(*_: Any) -> None:
        raise _TimeUp

    previous = signal.signal(signal.SIGPROF, stop)
    # Again and again, should the first one be swallowed.
    signal.setitimer(signal.ITIMER_PROF, seconds, 0.5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)


def limit_memory(most: int) -> None:
    """Let this process take so many bytes beyond what it has."""
    status = Path("/proc/self/status").read_text()
    taken = int(status.split("VmData:")[1].split()[0]) << 10
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (taken + most, hard))
