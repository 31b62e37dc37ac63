"""From an address to the remote store that lies there."""

from __future__ import annotations

from urllib.parse import urlsplit

from scaling_tasks.errors import ConfigError
from scaling_tasks.store.fsspec_remote import FsspecRemote
from scaling_tasks.store.http_remote import HttpRemote
from scaling_tasks.store.remote import Remote, shown_url

__all__ = ["open_remote"]


def open_remote(url: str) -> Remote:
    """Return the remote store at an address: ``http(s)://``, or one that fsspec knows, such as ``s3://bucket/prefix``.

    Nothing is asked of it yet.

    Raises:
        ConfigError: It is no address, or a package for its kind is missing.
    """
    scheme, _, rest = url.partition("://")
    try:
        urlsplit(url)
    except ValueError:
        rest = ""  # Such as a bracket that is not closed.
    if not rest:
        fix = "Write it like https://host/path, s3://bucket/prefix or file:///directory."
        raise ConfigError(f"{shown_url(url)!r} is no address of a store", fix=fix)
    if scheme in ("http", "https"):
        return HttpRemote(url)
    return FsspecRemote(url)
