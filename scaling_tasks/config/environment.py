"""The environment variables that adjust a run without touching any configuration: what a CI system sets.

Nothing here changes what is built, only where things are kept, what is checked and what is reported.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from scaling_tasks.errors import ConfigError, one_line
from scaling_tasks.files import read_regular

__all__ = [
    "EXECUTOR_VARIABLE",
    "LOCKED_VARIABLE",
    "EnvironmentSettings",
    "environment_settings",
    "job_threads",
    "parse_executor",
    "parse_flag",
    "parse_size",
    "store_secret",
    "unknown_variables",
]

_PREFIX = "SCALING_TASKS_"
EXECUTOR_VARIABLE = f"{_PREFIX}EXECUTOR"
LOCKED_VARIABLE = f"{_PREFIX}LOCKED"
# Read in other modules, or set for the processes that are started.
_ELSEWHERE = (
    "DATA",
    "DIRECTORY",
    "MINDSPORE_LITE_PYTHON",
    "PARENT",
    "STORE_KEY",
    "STORE_KEY_FILE",
    "THREADS",
    "WORKER_DIRECTORY",
    "WORKER_SIZE",
)
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")
_FEWEST_KEY_BYTES, _MOST_KEY_BYTES = 16, 1 << 16
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


@dataclass(frozen=True)
class EnvironmentSettings:
    """What the environment says; the variable's name is ``SCALING_TASKS_`` and the attribute's in capitals.

    Attributes:
        locked: Whether a build that would change ``scaling.lock`` fails instead.
        store: Directory of the store, ``.scaling/store`` where None.
        remote_store: Address of a store that is asked for what ``store`` does not have, None for none; may hold
            credentials.
        remote_store_mode: ``read-write``, or ``read-only``: nothing is sent there.
        remote_store_patience: Seconds that it may cost a build where it is slow or gone.
        store_size: Bytes that ``doit prune`` leaves in the store, None for no limit.
        junit: File for the JUnit XML report of a run, None for none.
        summary: File that a run's Markdown summary is appended to; ``GITHUB_STEP_SUMMARY`` where it is not given.
        progress: ``bar`` or ``plain``; ``auto`` is a bar on a terminal unless ``CI`` is set.
        executor: Where work is done: ``local``, or what Dask calls its scheduler's address; None where nothing is said.
        jobs: How many compilers run at once, so that each gets its share of the cores; the plugin sets it from ``-n``.
    """

    locked: bool = False
    store: Path | None = None
    remote_store: str | None = field(default=None, repr=False)
    remote_store_mode: str = "read-write"
    remote_store_patience: float = 2.0
    store_size: int | None = None
    junit: Path | None = None
    summary: Path | None = None
    progress: str = "auto"
    executor: str | None = None
    jobs: int = 1


@functools.cache
def _cores() -> int:
    return os.cpu_count() or 1


def job_threads(environment: Mapping[str, str] | None = None) -> int:
    """Return one job's share of the cores, at least 1.

    Raises:
        ConfigError: The number of jobs is not usable.
    """
    # Without the other settings: it is asked for with every unit.
    return max(1, _cores() // _count(os.environ if environment is None else environment, "JOBS"))


def environment_settings(environment: Mapping[str, str] | None = None) -> EnvironmentSettings:
    """Return what the environment (by default the process's own) says.

    Raises:
        ConfigError: Naming the variable whose value is not usable.
    """
    variables = os.environ if environment is None else environment
    size = variables.get(f"{_PREFIX}STORE_SIZE", "")
    return EnvironmentSettings(
        locked=parse_flag(variables.get(LOCKED_VARIABLE, ""), where=LOCKED_VARIABLE),
        store=_path(variables, f"{_PREFIX}STORE"),
        remote_store=variables.get(f"{_PREFIX}REMOTE_STORE") or None,
        remote_store_mode=_choice(variables, "REMOTE_STORE_MODE", ("read-write", "read-only")),
        remote_store_patience=_seconds(variables, "REMOTE_STORE_PATIENCE", 2.0),
        store_size=parse_size(size, where=f"{_PREFIX}STORE_SIZE") if size else None,
        junit=_path(variables, f"{_PREFIX}JUNIT"),
        summary=_path(variables, f"{_PREFIX}SUMMARY") or _path(variables, "GITHUB_STEP_SUMMARY"),
        progress=_choice(variables, "PROGRESS", ("auto", "bar", "plain")),
        executor=parse_executor(variables.get(EXECUTOR_VARIABLE, ""), where=EXECUTOR_VARIABLE),
        jobs=_count(variables, "JOBS"),
    )


def parse_executor(text: str, *, where: str) -> str | None:
    """Return ``local``, or the address of the scheduler that ``dask://host:port`` names, as Dask writes it.

    Dask's own ``tcp://`` and ``tls://`` are taken as they are.

    Returns:
        None for an empty text.

    Raises:
        ConfigError: It is neither.
    """
    if text in ("", "local"):
        return text or None
    match = re.fullmatch(r"(dask|tcp|tls)://([^/\s:@]+|\[[0-9a-fA-F:.]+\]):([0-9]{1,5})/?", text)
    if match is None:
        fix = "Write local, dask://host:port, or tls://host:port."
        raise ConfigError(f"{_shown(text)} is no executor", where=where, fix=fix)
    scheme = "tcp" if match[1] == "dask" else match[1]
    return f"{scheme}://{match[2]}:{match[3]}"


def store_secret(environment: Mapping[str, str] | None = None) -> bytes | None:
    """Return the key that signs records of the remote store, None where none is set.

    It is read when it is needed and kept in no settings, so that nothing shows it.

    Raises:
        ConfigError: It is too short to be a secret, or its file cannot be read.
    """
    variables = os.environ if environment is None else environment
    secret, where = os.fsencode(variables.get(f"{_PREFIX}STORE_KEY", "")), f"{_PREFIX}STORE_KEY"
    if path := _path(variables, f"{_PREFIX}STORE_KEY_FILE"):
        where = f"{_PREFIX}STORE_KEY_FILE"
        try:
            secret = read_regular(path, _MOST_KEY_BYTES)
        except OSError as cause:
            fix = "Name a file that holds the key, such as `openssl rand -hex 32` writes, and that this user may read."
            raise ConfigError(f"{_shown(str(path))} cannot be read ({cause.strerror})", where=where, fix=fix) from cause
    secret = secret.strip()
    if secret and len(secret) < _FEWEST_KEY_BYTES:
        fix = "Make one with `openssl rand -hex 32`."
        raise ConfigError(f"a key of {len(secret)} bytes can be guessed", where=where, fix=fix)
    return secret or None


def unknown_variables(environment: Mapping[str, str]) -> dict[str, str | None]:
    """Return the variables that look like this package's and are not, each with the one probably meant."""
    known = [_PREFIX + name for name in (*(each.name.upper() for each in fields(EnvironmentSettings)), *_ELSEWHERE)]
    # What begins with TEST_ is the test suite's.
    strange = [name for name in environment if name.startswith(_PREFIX) and not name.startswith(f"{_PREFIX}TEST_")]
    found: dict[str, str | None] = {}
    for name in sorted(set(strange).difference(known)):
        # All begin alike, which would make all of them near.
        import difflib  # Of no use but to a mistake.

        near = difflib.get_close_matches(name.removeprefix(_PREFIX), [each.removeprefix(_PREFIX) for each in known], 1)
        found[name] = _PREFIX + near[0] if near else None
    return found


def parse_flag(text: str, *, where: str) -> bool:
    """Return whether a text such as ``1``, ``yes``, ``0`` or the empty one means yes.

    Raises:
        ConfigError: It means neither.
    """
    if text.lower() not in (*_TRUE, *_FALSE):
        raise ConfigError(f"{_shown(text)} is neither yes nor no", where=where, fix="Write 1 or 0.")
    return text.lower() in _TRUE


def parse_size(text: str, *, where: str) -> int:
    """Return the bytes that a text such as ``500M`` or ``2GiB`` stands for.

    Raises:
        ConfigError: It is no size.
    """
    match = re.fullmatch(r"(\d{1,18}(?:\.\d{1,18})?)\s*([kmgt]?i?)b?", text.strip().lower(), re.ASCII)
    if match is None or match[2] not in _UNITS:
        raise ConfigError(f"{_shown(text)} is not a size", where=where, fix="Write it like 500M, 2G or 1.5GiB.")
    return int(float(match[1]) * _UNITS[match[2]])


def _shown(text: str) -> str:
    return one_line(repr(text), 80)


def _count(variables: Mapping[str, str], name: str) -> int:
    value = variables.get(_PREFIX + name, "") or "1"
    if not re.fullmatch("0*[1-9][0-9]{0,8}", value):
        raise ConfigError(f"{_shown(value)} is no count", where=_PREFIX + name, fix="Write a whole number from 1 on.")
    return int(value)


def _seconds(variables: Mapping[str, str], name: str, default: float) -> float:
    value = variables.get(_PREFIX + name, "")
    try:
        found = float(value) if value else default
    except ValueError:
        found = -1.0
    if not 0 <= found < float("inf"):
        raise ConfigError(f"{_shown(value)} is no time", where=_PREFIX + name, fix="Write seconds, such as 2.")
    return found


def _choice(variables: Mapping[str, str], name: str, known: tuple[str, ...]) -> str:
    value = variables.get(_PREFIX + name, "") or known[0]
    if value not in known:
        raise ConfigError(
            f"{_shown(value)} is not known", where=_PREFIX + name, fix=f"Known values: {', '.join(known)}."
        )
    return value


def _path(variables: Mapping[str, str], name: str) -> Path | None:
    value = variables.get(name, "")
    return Path(value) if value else None
