"""A store that fsspec speaks to: its listing, and parts of its files.

Credentials, addresses of servers and proxies come from the environment and the files of those libraries alone. Whatever
they raise becomes an `OSError` here, so that files elsewhere fail as files do.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from scaling_tasks.errors import DatasetError, one_line
from scaling_tasks.samples.listing import UNTRUSTED

__all__ = ["THREADS", "Entry", "Remote"]

THREADS = 32
"""Requests at once, where a library does not see to that itself."""

_HTTP = "Install scaling-tasks[remote]."
_ETAGS = ("ETag", "etag", "md5Hash", "content_md5", "Content-MD5", "generation")
_TIMES = ("LastModified", "last_modified", "Last-Modified", "mtime", "updated", "modified", "created")
# Where only a time tells versions apart, a file this young may change again without another one.
_COARSE_SECONDS = 2.0


@dataclass(frozen=True)
class Entry:
    """One file.

    Attributes:
        path: As the store's library takes it.
        size: Bytes, -1 where they are not told.
        tag: A number below 2**60 that another version of the file would not have; `UNTRUSTED` where nothing tells.
    """

    path: str
    size: int
    tag: int


class Remote:
    """The store that a URL is about.

    Args:
        url: Of a file or directory; ``root`` is its path within the store.

    Raises:
        DatasetError: What the URL needs is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            import fsspec

            self._files, self.root = fsspec.core.url_to_fs(url)
        except ImportError as cause:
            # Of other stores' packages the message says which.
            own = {"s3": "Install scaling-tasks[s3].", "http": _HTTP, "https": _HTTP}.get(url.partition("://")[0])
            what = f"reading from there needs a package ({one_line(cause)})"
            raise DatasetError(what, where=url, fix=own or "Install scaling-tasks[remote] and it.") from cause
        except Exception as cause:
            raise DatasetError(f"cannot be used ({one_line(cause)})", where=url, fix="Correct dataset.path.") from cause
        self.root = str(self.root).rstrip("/")

    def entries(self, below: str | None = None) -> list[Entry]:
        """Return every file below a directory, by default the root, by one listing.

        Raises:
            OSError: It cannot be listed.
        """
        with _as_os_error():
            self._files.invalidate_cache()
            found = self._files.find(below or self.root, detail=True)
        told = [(path, info) for path, info in found.items() if info.get("type", "file") == "file"]
        vague = [path for path, info in told if info.get("size") is None]
        if not vague:
            return [_entry(path, info) for path, info in told]
        # Pages of links, which say nothing of what they lead to.
        with ThreadPoolExecutor(THREADS) as pool:
            asked = dict(zip(vague, pool.map(self._entry_if_there, vague), strict=True))
        known = [asked[path] if path in asked else _entry(path, info) for path, info in told]
        return [entry for entry in known if entry is not None]

    def entry(self, path: str) -> Entry:
        """Return what is known of one file.

        Raises:
            OSError: There is none, or nothing tells its size.
        """
        with _as_os_error():
            self._files.invalidate_cache()
            info = self._files.info(path)
        if info.get("type") == "directory" or info.get("size") is None:
            raise OSError(errno.EISDIR, "it is no file, or nothing tells its size", path)
        return _entry(path, info)

    def named(self, paths: Sequence[str]) -> list[Entry]:
        """Return what is known of each of many files.

        Raises:
            OSError: One of them is not there.
        """
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(self.entry, paths))

    def matching(self, pattern: str) -> list[Entry]:
        """Return the files that a pattern such as ``*.tar`` stands for.

        Raises:
            OSError: They cannot be listed.
        """
        with _as_os_error():
            self._files.invalidate_cache()
            found: Mapping[str, Any] = self._files.glob(pattern, detail=True)
        return (
            self.named(sorted(found))
            if any(info.get("size") is None for info in found.values())
            else [_entry(path, info) for path, info in sorted(found.items())]
        )

    def read(self, path: str, start: int, stop: int) -> bytes:
        """Return a part of a file.

        Raises:
            OSError: It cannot be read.
        """
        with _as_os_error():
            return _cut(self._files.cat_file(path, start=start, end=stop), start, stop)

    def beginnings(self, paths: Sequence[str], sizes: Sequence[int]) -> list[bytes | None]:
        """Return the first bytes of many files, asked for at once; None of one that cannot be read."""
        if not paths:
            return []
        with _as_os_error():
            found = self._files.cat_ranges(list(paths), [0] * len(paths), list(sizes), on_error="return")
        return [
            _cut(each, 0, size) if isinstance(each, bytes) else None for each, size in zip(found, sizes, strict=True)
        ]

    def others(self, files: Sequence[Entry], listed: Sequence[str] = ()) -> list[Entry]:
        """Return those of the files that are not, or not any more, the version that they are said to be.

        Args:
            files: What was listed elsewhere, or before.
            listed: Directories that are worth a listing; of files in others each is asked for.
        """
        told: set[Entry] = set()
        for directory in listed:
            with contextlib.suppress(OSError):
                told.update(self._directly_in(directory))
        doubtful = [file for file in files if file not in told]
        # Listings of some stores tell versions in another way than what is told of one file.
        with ThreadPoolExecutor(THREADS) as pool:
            asked = list(pool.map(self._entry_if_there, [file.path for file in doubtful]))
        return [file for file, found in zip(doubtful, asked, strict=True) if found != file]

    def _directly_in(self, directory: str) -> list[Entry]:
        with _as_os_error():
            self._files.invalidate_cache()
            found = self._files.ls(directory, detail=True)
        return [_entry(info["name"], info) for info in found if info.get("size") is not None]

    def _entry_if_there(self, path: str) -> Entry | None:
        try:
            return self.entry(path)
        except OSError:
            return None


def _cut(found: bytes, start: int, stop: int) -> bytes:
    """Return the part that was asked for; some servers send the whole file whatever is asked."""
    return found if len(found) <= stop - start else found[start:stop]


def _entry(path: str, info: Mapping[str, Any]) -> Entry:
    size = info.get("size")
    return Entry(path, -1 if size is None else int(size), _tag(info))


def _tag(info: Mapping[str, Any]) -> int:
    """Return a number for what tells a version of a file: its ETag, else when it was written."""
    # Some servers write an ETag with quotes where they are asked for one file, and without where they list many.
    told = next((str(info[name]).removeprefix("W/").strip('"') for name in _ETAGS if info.get(name)), "")
    if not told:
        when = next((info[name] for name in _TIMES if info.get(name)), None)
        if when is None or abs(time.time() - _seconds(when)) < _COARSE_SECONDS:
            return UNTRUSTED
        told = str(when)
    return int.from_bytes(hashlib.blake2b(told.encode(), digest_size=8).digest(), "big") >> 4


def _seconds(when: Any) -> float:
    """Return a time as each library tells it, in seconds; that of what cannot be read is long past."""
    with contextlib.suppress(TypeError, ValueError):
        if isinstance(when, str):
            when = parsedate_to_datetime(when)
        return when.timestamp() if isinstance(when, datetime) else float(when)
    return 0.0


@contextlib.contextmanager
def _as_os_error() -> Iterator[None]:
    """Turn what a store's library raises into an `OSError`."""
    try:
        yield
    except FileNotFoundError as cause:
        raise FileNotFoundError(errno.ENOENT, "there is no such file or directory") from cause
    except Exception as cause:  # Each library has its own kinds.
        raise OSError(errno.EIO, one_line(f"{type(cause).__name__}: {cause}")) from cause
