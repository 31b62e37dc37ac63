"""What a command-line compiler loads is part of its identity: stand-in toolkits, and the real MindSpore Lite."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from scaling_tasks import known_digests
from scaling_tasks.compilers.atc import AtcBackend
from scaling_tasks.compilers.lite import LiteBackend
from scaling_tasks.compilers.lite_toolchain import find_toolchain
from scaling_tasks.compilers.toolkit import _loaded, library_digest, toolkit_identity
from scaling_tasks.engines.lite_python import package_directory
from scaling_tasks.errors import CompileError


@pytest.fixture
def toolkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A toolkit with the layout of CANN's, which holds nothing that runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    root = tmp_path / "cann"
    for name in ("compiler/bin/atc", "compiler/bin/atc.bin", "compiler/lib64/libge.so", "compiler/lib64/libops.so.2"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"#!/bin/sh\n# {name}\n")
        (root / name).chmod(0o755)
    for name in ("compiler/version.info", "opp/version.info", "compiler/lib64/notes.txt"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("Version=8.0\n")
    (root / "bin").mkdir()
    (root / "bin/atc").symlink_to("../compiler/bin/atc")
    return root


def identity(root: Path) -> dict[str, str]:
    return toolkit_identity("atc", root / "bin/atc")


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("compiler/bin/atc", "atc"),
        ("compiler/bin/atc.bin", "atc"),
        ("compiler/lib64/libge.so", "atc libraries"),
        ("compiler/lib64/libops.so.2", "atc libraries"),
        ("compiler/lib64/libnew.so", "atc libraries"),
        ("compiler/version.info", "atc versions"),
        ("opp/version.info", "atc versions"),
    ],
)
def test_each_part_of_a_toolkit_is_told_by_its_content(toolkit: Path, file: str, part: str):
    before = identity(toolkit)
    (toolkit / file).write_text("changed")
    after = identity(toolkit)
    assert before.keys() == after.keys() == {"atc", "atc libraries", "atc versions"}
    assert [name for name in after if after[name] != before[name]] == [part]


def test_other_files_and_the_place_of_a_toolkit_change_nothing(toolkit: Path, tmp_path: Path):
    before = identity(toolkit)
    (toolkit / "compiler/lib64/notes.txt").write_text("changed")
    assert identity(toolkit) == before
    shutil.copytree(toolkit, tmp_path / "deeper/elsewhere", symlinks=True)
    assert identity(tmp_path / "deeper/elsewhere") == before


def test_libraries_are_looked_for_where_the_loader_does(toolkit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    far = tmp_path / "far"
    far.mkdir()
    (far / "libplugin.so").write_text("one")
    before = identity(toolkit)
    monkeypatch.setenv("LD_LIBRARY_PATH", f"/usr/lib:{far}:{tmp_path / 'nowhere'}")
    found = identity(toolkit)
    assert found["atc libraries"] != before["atc libraries"]
    (far / "libplugin.so").write_text("another")
    assert identity(toolkit)["atc libraries"] != found["atc libraries"]


def test_a_real_programs_libraries_are_those_that_its_loader_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = Path(str(shutil.which("true"))).resolve()
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    assert list(_loaded(program)) == []  # the operating system's alone
    source = next(path for path in Path("/").glob("[lu]*/**/libc.so.6") if path.is_file())
    copied = tmp_path / "libc.so.6"
    shutil.copyfile(source, copied)
    copied.chmod(0o755)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    assert list(_loaded(program)) == [copied]


def test_files_that_did_not_change_are_not_read_again(toolkit: Path, monkeypatch: pytest.MonkeyPatch):
    (toolkit.parent / known_digests.STATE).mkdir()
    for file in toolkit.rglob("*"):
        os.utime(file, ns=(1, 1), follow_symlinks=False)
    time.sleep(0.05)  # Files are believed once their change time is a tick ago.
    before = identity(toolkit)
    read: list[Path] = []
    monkeypatch.setattr(known_digests, "digest_file", read.append)
    known_digests._at.cache_clear()  # As in the next process.
    assert identity(toolkit) == before
    assert read == []


def test_the_backends_say_so(toolkit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(toolkit / "bin"), prepend=os.pathsep)
    options = {"backend": "atc", "soc_version": "Ascend310P3", "options": {}}
    before = AtcBackend().identity(options)
    (toolkit / "compiler/lib64/libge.so").write_text("changed")
    assert AtcBackend().identity(options) != before
    lite = tmp_path / "lite/tools/converter"
    for name in ("converter/converter_lite", "lib/libmindspore_converter.so"):
        (lite / name).parent.mkdir(parents=True)
        (lite / name).write_text("#!/bin/sh\n")
        (lite / name).chmod(0o755)
    monkeypatch.setenv("LITE_HOME", str(tmp_path / "lite"))
    monkeypatch.setenv("PATH", "/usr/bin")
    from scaling_tasks.compilers import lite_toolchain

    lite_toolchain._find.cache_clear()
    ascend = {"backend": "lite", "device": "ascend", "options": {}}
    before = LiteBackend().identity(ascend)
    assert set(before) == {"converter_lite", "converter_lite libraries", "onnx"}
    (lite / "lib/libmindspore_converter.so").write_text("changed")
    assert LiteBackend().identity(ascend)["converter_lite libraries"] != before["converter_lite libraries"]
    lite_toolchain._find.cache_clear()


def test_the_real_package_is_told_by_its_libraries(tmp_path: Path):
    try:
        toolchain = find_toolchain("cpu")
    except CompileError as missing:
        pytest.skip(str(missing))
    if toolchain.python is None:
        pytest.skip("only the converter is here")
    package = package_directory(toolchain.python)
    assert package is not None
    assert set(toolchain.identity()) == {"mindspore_lite", "mindspore_lite libraries"}
    (wrapper,) = (package / "lib").glob("_c_lite_wrapper*.so")
    found = list(_loaded(wrapper))
    assert found
    assert {file.parent for file in found} == {wrapper.parent.resolve()}
    small = sorted((file for file in (package / "lib").iterdir() if ".so" in file.name), key=lambda f: f.stat().st_size)
    for file in small[:4]:
        os.link(file, tmp_path / file.name)
    before = library_digest(tmp_path)
    changed = tmp_path / small[0].name
    content = changed.read_bytes()
    changed.unlink()
    changed.write_bytes(content + b"x")
    assert library_digest(tmp_path) != before
