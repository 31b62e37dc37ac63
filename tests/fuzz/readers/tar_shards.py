"""Tar shards with images in them."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

from PIL import Image

from scaling_tasks.config.specs import DatasetSpec
from scaling_tasks.samples.scan import scan
from tests.fuzz.mutations import binary_numbers
from tests.fuzz.reader import Reader, anything


def _make(directory: Path) -> list[Path]:
    paths = []
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        paths.append(directory / f"{form}.tar")
        with tarfile.open(paths[-1], "w", format=form) as tar:
            for name in ("0.png", "0.json", f"{'long' * 40}.bmp"):
                content = io.BytesIO()
                Image.new("RGB", (5, 7)).save(content, "BMP" if name.endswith("bmp") else "PNG")
                member = tarfile.TarInfo(name)
                member.size = len(content.getvalue())
                tar.addfile(member, io.BytesIO(content.getvalue()))
    return paths


def _read(directory: Path) -> Any:
    found = scan(DatasetSpec(path=str(directory), format="shards"), directory / "scan.cache")
    return found.values.tolist(), dict(found.source)


_WORDS = (b"77777777777", b"\x80" + b"\xff" * 11, b"99 path=", b"00000000000", b"ustar", b"././@LongLink")

READERS = (Reader("tar", _make, _read, allowed=anything, mutators=(binary_numbers,), words=_WORDS),)
