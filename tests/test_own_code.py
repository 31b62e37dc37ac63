"""The package's own code in keys: what other code made is made again, and no more than that."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import scaling_tasks
from scaling_tasks import own_code
from scaling_tasks.compilers.registry import BUILT_IN
from scaling_tasks.known_digests import STATE
from scaling_tasks.own_code import code_of
from scaling_tasks.samples.container import CODE as MEASURING
from scaling_tasks.stages.compile import BOUNDING_CODE, CODE
from tests.doit_plugin.repository import Repository

PACKAGE = Path(scaling_tasks.__file__).parent
CARRIERS = {"execution", "imports", "known_digests", "own_code", "process_memory", "store"}
"""What runs a compiler and counts its bytes, and does not say what it makes."""
READERS = {"documents", "errors", "files", "names", "paths"}
"""What opens files, and does not say what is in them."""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of two rooms in the place of this one, and a repository that remembers."""
    place = tmp_path / "package"
    for name, text in {"one/a": "a = 1", "one/deep/b": "b = 2", "two/c": "c = 3", "plain": "d = 4"}.items():
        file = (place / name).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        os.utime(file, (1e9, 1e9))
    (tmp_path / STATE).mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(own_code, "_PACKAGE", place)
    forget()
    yield place
    monkeypatch.undo()
    forget()


def forget() -> None:
    """As a process that begins."""
    own_code._part.cache_clear()
    own_code._code_of.cache_clear()
    own_code._makers.cache_clear()


@pytest.mark.parametrize("changed", ["one/a.py", "one/deep/b.py"])
def test_a_changed_file_changes_what_it_is_part_of_and_nothing_else(package: Path, changed: str):
    before = [code_of("one"), code_of("two"), code_of("plain"), code_of()]
    (package / changed).write_text("x = 9")
    forget()
    after = [code_of("one"), code_of("two"), code_of("plain"), code_of()]
    assert [old == new for old, new in zip(before, after, strict=True)] == [False, True, True, False]


def test_a_renamed_and_a_new_file_change_it_and_what_is_no_code_does_not(package: Path):
    first = code_of("one")
    (package / "one/notes.txt").write_text("nothing")
    (package / "one/__pycache__").mkdir()
    (package / "one/__pycache__/a.py").write_text("nothing")
    forget()
    assert code_of("one") == first
    (package / "one/a.py").rename(package / "one/e.py")
    forget()
    second = code_of("one")
    (package / "one/f.py").write_text("")
    forget()
    assert len({first, second, code_of("one")}) == 3


def test_it_is_the_same_wherever_the_package_lies(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    before = code_of()
    shutil.copytree(package, tmp_path / "elsewhere")
    monkeypatch.setattr(own_code, "_PACKAGE", tmp_path / "elsewhere")
    forget()
    assert code_of() == before


def test_files_that_are_as_they_were_are_not_read(package: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(own_code, "_SECOND", 0)
    before = code_of()
    forget()
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} is read"))
    assert code_of() == before


def test_what_was_written_just_now_is_read_again(package: Path):
    """Two edits within one tick of the file system's clock look like one."""
    code_of("two")
    assert not (STATE / "digests.jsonl").exists()


def test_a_part_that_is_not_there_is_a_mistake(package: Path):
    with pytest.raises(ValueError, match="this package has no three"):
        code_of("three")


def imported(module: str) -> Iterator[str]:
    """Yield the modules of this package that a module imports, in its functions too."""
    for node in ast.walk(ast.parse(Path(importlib.import_module(module).__file__ or "").read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def parts_run_by(*modules: str) -> set[str]:
    """Return the parts of this package that lie within reach of modules' imports."""
    pending = list(modules)
    seen = set(pending)
    while pending:
        found = {name for name in imported(pending.pop()) if name.startswith("scaling_tasks.")}
        new = {name for name in found - seen if importlib.util.find_spec(name.rpartition(".")[0]) and is_module(name)}
        seen |= new
        pending += new
    return {name.split(".")[1] for name in seen}


def test_the_code_of_compiling_is_all_that_a_compiler_runs():
    backends = (place.partition(":")[0] for place in BUILT_IN.values())
    parts = parts_run_by("scaling_tasks.compilers.isolation", *backends)
    assert {"compilers", "engines"} <= parts <= {*CODE, *BOUNDING_CODE, *CARRIERS}


def test_the_code_of_measuring_is_all_that_takes_data_sets_apart():
    measure = [f"scaling_tasks.samples.{name}" for name in ("annotation", "images", "shards", "tables")]
    # What machine tells is itself in the key.
    assert {*MEASURING} <= parts_run_by(*measure) <= {*MEASURING, *CARRIERS, *READERS, "machine"}


def is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def test_every_part_of_the_package_is_known_to_make_results_or_only_to_move_them():
    parts = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert parts >= own_code._MOVES
    assert set(own_code._makers()) == parts - own_code._MOVES - {"__pycache__"}


@pytest.mark.parametrize(
    ("changed", "again", "kept"),
    [
        ("analysis/analyse", ["analysis:net"], ["compile:net:N1_H16_W24"]),
        ("compilers/onnxruntime", ["analysis:net", "compile:net:N1_H16_W24"], []),
        ("doit_plugin/console/reporter", [], ["analysis:net", "compile:net:N1_H16_W24"]),
    ],
)
def test_an_upgrade_makes_again_what_it_may_make_otherwise(
    tmp_path: Path, changed: str, again: list[str], kept: list[str]
):
    repository = Repository(tmp_path / "repository")
    repository.write_target(sizes=[(16, 24)])
    assert repository.doit("report:net").ok
    newer = tmp_path / "newer"
    shutil.copytree(PACKAGE, newer / "scaling_tasks", ignore=shutil.ignore_patterns("__pycache__"))
    with (newer / f"scaling_tasks/{changed}.py").open("a") as file:
        file.write("\n# Does what it did before.\n")
    environment = {"PYTHONPATH": str(newer)}
    why = repository.doit("why", *again, *kept, environment=environment).output
    assert ("code" in why) == bool(again), why
    run = repository.doit("report:net", environment=environment)
    assert run.ok, run.output
    assert set(again) <= set(run.executed), run.output
    assert not set(kept) & set(run.executed), run.output
    assert bool(run.compiled) == ("compile:net:N1_H16_W24" in again)
