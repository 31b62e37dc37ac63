"""The exceptions of the package: what is wrong, where, and what to do about it."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

__all__ = [
    "BundleError",
    "CacheError",
    "CompileError",
    "ConfigError",
    "DatasetError",
    "EngineError",
    "ExecutorError",
    "LockError",
    "Mistakes",
    "ModelError",
    "PlanError",
    "RequestError",
    "ScalingTasksError",
    "VerificationFailed",
    "all_of",
    "in_order",
    "of_disk",
    "one_line",
    "printable",
    "reason_of",
]


_LONGEST_PLACE = 1000
_LONGEST_ADVICE = 1500


class ScalingTasksError(Exception):
    """Root of every error that a user can cause or can mend.

    Args:
        what: One sentence on what is wrong, without a full stop.
        where: File, key or value it is about, shown in front.
        fix: What to do, one sentence.
    """

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        # Names of files may be of any length, and hold what no terminal should be sent.
        if len(where) > _LONGEST_PLACE or not where.isprintable():
            where = one_line(where, _LONGEST_PLACE)
        if len(fix) > _LONGEST_ADVICE or not fix.isprintable():  # It lists names that a model gives.
            fix = one_line(fix, _LONGEST_ADVICE)
        what = printable(what)
        super().__init__(what, where, fix)
        self.what = what
        self.where = where
        self.fix = fix

    @property
    def errors(self) -> tuple[ScalingTasksError, ...]:
        """The single things that are wrong: this one, unless it stands for several."""
        return (self,)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}. {self.fix}" if self.fix else text

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        # Keyword-only arguments would be lost when the error crosses a process border.
        return (_rebuild, (type(self), self.what, self.where, self.fix))


def _rebuild(kind: type[ScalingTasksError], what: str, where: str, fix: str) -> ScalingTasksError:
    return kind(what, where=where, fix=fix)


_Error = TypeVar("_Error", bound=ScalingTasksError)


class ConfigError(ScalingTasksError):
    """A configuration file or option is wrong."""


class Mistakes(ConfigError):  # noqa: N818 - what they are
    """Several things are wrong with configurations.

    Args:
        errors: Them, two at least.
    """

    def __init__(self, errors: Sequence[ScalingTasksError]) -> None:
        super().__init__(f"{len(errors)} mistakes")
        self._errors = tuple(errors)

    @property
    def errors(self) -> tuple[ScalingTasksError, ...]:
        """All that is wrong."""
        return self._errors

    def __str__(self) -> str:
        return f"{self.what}:" + "".join(f"\n  {each}" for each in self._errors)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Mistakes, (self._errors,))


def in_order(errors: Iterable[_Error]) -> list[_Error]:
    """Return errors by the file and the line that they name."""

    def place(error: _Error) -> tuple[str, int]:
        file, _, rest = error.where.partition(":")
        line = rest.partition(":")[0]
        return file, int(line) if line.isdecimal() else 0

    return sorted(errors, key=place)


def all_of(errors: Sequence[ScalingTasksError]) -> ScalingTasksError:
    """Return the only error there is, or all of them as one."""
    return errors[0] if len(errors) == 1 else Mistakes(in_order(errors))


class DatasetError(ScalingTasksError):
    """The data set cannot be read or measured."""


class ModelError(ScalingTasksError):
    """The ONNX model cannot be read or does not fit its configuration."""


class PlanError(ScalingTasksError):
    """No plan can be made from these samples and parameters."""


class CompileError(ScalingTasksError):
    """A compiler is missing, failed, or produced something unusable."""


class EngineError(ScalingTasksError):
    """An engine is missing, an artefact does not load, or a run failed."""


class ExecutorError(ScalingTasksError):
    """Work cannot be done where the configuration says: nobody is there, nobody fits, or those who were are gone."""


class NobodyFitsError(ExecutorError):
    """Of those who are there nobody can do the work."""


class CacheError(ScalingTasksError):
    """The store or a cache is damaged or cannot be written."""


class LockError(ScalingTasksError):
    """The lock file is damaged, or a build would change it where that is not wanted."""


class BundleError(ScalingTasksError):
    """A bundle cannot be loaded, or a request does not fit it."""


class RequestError(BundleError):
    """A request does not fit the model: another one would be served."""


class VerificationFailed(ScalingTasksError):  # noqa: N818 - what happened, not what is wrong with the input
    """A compiled model answers differently from the original."""


_REMEDIES = {
    errno.ENOSPC: "Free some space.",
    errno.EDQUOT: "Free some space.",
    errno.EFBIG: "Raise the limit of a file's size.",
    errno.EROFS: "Make it writable.",
    errno.EACCES: "Check its permissions.",
    errno.EPERM: "Check its permissions.",
    errno.EMFILE: "Raise the limit of open files.",
    errno.ENFILE: "Raise the limit of open files.",
    **dict.fromkeys(
        (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.EINVAL, errno.ENXIO),
        "Remove what stands in its place.",
    ),
}


def of_disk(
    cause: OSError, error: type[ScalingTasksError], *, where: object, what: str = "cannot be used"
) -> ScalingTasksError:
    """Return what the operating system says of a file or directory as an error that a user can mend.

    Args:
        cause: What it says.
        error: The type of what is returned.
        where: What it is about where the cause does not name it.
        what: What cannot be done.
    """
    place = str(cause.filename or where)
    with contextlib.suppress(OSError):
        place = place.removeprefix(f"{Path.cwd()}/")
    return error(f"{what} ({cause.strerror or cause})", where=place, fix=_REMEDIES.get(cause.errno or 0, ""))


def one_line(message: object, most: int = 200) -> str:
    """Return the beginning of a foreign text, such as a library's message or a key, on one line and printable.

    Args:
        message: The text, or what has one.
        most: Characters.
    """
    try:
        text = str(message)
    except ValueError:  # Python writes no number of thousands of digits
        text = "a number of thousands of digits"
    words = " ".join(text[: 4 * most].split())
    shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in words)
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def reason_of(cause: BaseException) -> str:
    """Return on one line what an engine's error says is wrong, without where: whoever passes it on knows better."""
    return one_line(cause.what if isinstance(cause, ScalingTasksError) else cause)


def printable(text: str) -> str:
    """Return a text that names of files or models are part of, on one line and without what steers a terminal."""
    return text if text.isprintable() else one_line(text, 10 * len(text))
