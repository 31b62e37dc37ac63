"""The work of measuring a part of a data set elsewhere: a function of the document that names it, see `parts`."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling_tasks.errors import DatasetError, one_line
from scaling_tasks.machine import versions
from scaling_tasks.samples.blocks import Block, pack
from scaling_tasks.samples.container import Header, write_container
from scaling_tasks.samples.headers import UNREADABLE
from scaling_tasks.samples.listing import Folder
from scaling_tasks.samples.parts import DOCUMENT, RESULT, Part, read_part
from scaling_tasks.samples.remote import Remote

if TYPE_CHECKING:
    from scaling_tasks.samples.measurements import Measurements

__all__ = ["measure_part", "read_file", "tools"]

_STRETCH = 1024


def tools(inputs: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return what reads a part where this is called.

    Raises:
        DatasetError: A package is missing.
    """
    try:
        import fsspec

        for protocol in parameters["protocol"].split("::"):
            fsspec.get_filesystem_class(protocol)
        if parameters["kind"] in ("parquet", "arrow"):
            import pyarrow  # noqa: F401 - whether it is there
    except (ImportError, ValueError) as cause:
        what = f"reading {parameters['kind']} from {parameters['protocol']}:// needs a package ({one_line(cause)})"
        raise DatasetError(what) from cause
    reads = f"{parameters['protocol']} {parameters['kind']}"
    # Results hold numbers as they lie in memory.
    return {"toolchain": {**versions("imagesize"), "reads": reads}, "platform": {"byteorder": sys.byteorder}}


def measure_part(inputs: Path, outputs: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Measure the part that ``part.json`` names; ``measured`` is a cache of it.

    Raises:
        DatasetError: The files are others here or by now, or what one of them holds is no such data set.
    """
    part = read_part(inputs / DOCUMENT)
    remote = Remote(part.url)
    if part.kind == "images":
        count = _images(remote, part, outputs / RESULT)
    elif part.kind == "shards":
        count = _shards(part, outputs / RESULT)
    else:
        count = _file(part, outputs / RESULT)
    if others := remote.others(part.files, parameters.get("listed", ())):
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        what = f"{one_line(others[0].path, 200)}{more} is another version here than was listed, or not to be had"
        raise DatasetError(what, where=part.url)
    return {"files": [RESULT], "read": count}


def _images(remote: Remote, part: Part, target: Path) -> int:
    from scaling_tasks.samples.remote_images import RemoteHeaders

    headers, folder = RemoteHeaders(remote), Folder("")
    heights, widths = array("i"), array("i")
    for start in range(0, len(part.files), _STRETCH):
        files = part.files[start : start + _STRETCH]
        sides = headers([file.path for file in files], [file.size for file in files])
        for file, (high, wide) in zip(files, sides, strict=True):
            if (high, wide) != UNREADABLE:
                folder.names.append(file.path)
                folder.sizes.append(file.size)
                folder.times.append(file.tag)
                heights.append(high)
                widths.append(wide)
    _write_blocks(target, part.kind, [Block.of(folder, "", heights, widths)] if folder.names else [])
    return len(folder.names)


def _shards(part: Part, target: Path) -> int:
    from scaling_tasks.samples.shards import read_shards

    blocks = [block for _, block in read_shards(part.url, part.files) if block.listed]
    _write_blocks(target, part.kind, sorted(blocks, key=lambda block: block.path))
    return len(blocks)


def _write_blocks(target: Path, kind: str, blocks: Sequence[Block]) -> None:
    write_container(target, Header(kind=kind, rows=0, skipped=0, summary=""), pack(blocks))


def _file(part: Part, target: Path) -> int:
    from scaling_tasks.samples.stored import store_measurements

    found, content = read_file(part.url, part.kind)
    header = Header(kind=part.kind, rows=len(found.values), skipped=0, summary="", content=content)
    store_measurements(target, found, header)
    return 1


def read_file(path: str, kind: str) -> tuple[Measurements, str]:
    """Measure a data set of one file; return the measurements and the file's digest, empty where it is not known.

    Raises:
        DatasetError: It is none of that kind.
        OSError: It cannot be read.
    """
    from scaling_tasks.samples.annotation import read_annotation
    from scaling_tasks.samples.tables import read_table

    return read_annotation(path) if kind == "annotation" else read_table(path, kind)
