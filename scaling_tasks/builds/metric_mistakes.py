"""What is wrong with a target's metric, read out of its text: what its modules do when imported is not done here."""

from __future__ import annotations

import ast
import difflib
import importlib.machinery
import importlib.util
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from scaling_tasks.errors import ConfigError, one_line
from scaling_tasks.imports import own_modules

__all__ = ["check_metric"]

_WHERE = "verify.metric"
_GIVEN = 2  # run, dataset
_NO_NUMBERS = (
    ast.List, ast.Tuple, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp, ast.Lambda
)  # fmt: skip


def check_metric(name: str) -> None:
    """Refuse a metric that is not there, is no function of two to a number, or imports what is nowhere.

    Raises:
        ConfigError: Naming `verify.metric`.
    """
    module, _, function = name.partition(":")
    if not re.fullmatch(r"\w+(\.\w+)*", module) or not function.isidentifier():
        raise ConfigError(f"{one_line(repr(name))} names no function", where=_WHERE, fix="Write module:function.")
    parts = module.split(".")
    here, roots = own_modules(module)
    own = roots.get(parts[0], Path()).joinpath(*parts)
    file = next((each for each in (own / "__init__.py", own.with_suffix(".py")) if each in here), None)
    if file is None:
        if not _is_installed(module):
            what = f"there is no module {one_line(repr(module))}, neither from the repository's root nor installed"
            raise ConfigError(what, where=_WHERE, fix="Correct its name or its place.")
        if (installed := _installed_file(module)) is not None:
            _check_function(installed, _parsed(installed), function)
        return
    _check_function(file, _parsed(file), function)
    for each in here:
        _check_imports(each)


def _parsed(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError) as cause:
        raise ConfigError(f"{file.as_posix()} is no Python ({cause})", where=_WHERE, fix="Mend it.") from cause


def _check_function(file: Path, module: ast.Module, function: str) -> None:
    names = set(_top_names(module))
    if function not in names and "*" not in names:
        near = difflib.get_close_matches(function, names, n=1)
        fix = f"Did you mean {near[0]!r}?" if near else "Define it there, or name another."
        raise ConfigError(f"{file.as_posix()} has no {one_line(repr(function))}", where=_WHERE, fix=fix)
    for node in reversed(module.body):  # The last one counts.
        if isinstance(node, ast.FunctionDef) and node.name == function:
            if not node.decorator_list and (problem := _misfit(node.args) or _no_number(node)):
                what = f"{function!r} in {file.as_posix()}, line {node.lineno}, {problem}"
                raise ConfigError(what, where=_WHERE, fix="It is called as f(run, dataset), and gives a number.")
            return
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == function for to in node.targets):
            if isinstance(node.value, ast.Constant | ast.List | ast.Dict | ast.Tuple):
                what = f"{function!r} in {file.as_posix()}, line {node.lineno}, is no function"
                raise ConfigError(what, where=_WHERE, fix="Name one that is called as f(run, dataset).")
            return


def _misfit(arguments: ast.arguments) -> str:
    """Return why a function cannot be called with two values; nothing where it can."""
    plain = [*arguments.posonlyargs, *arguments.args]
    least = len(plain) - len(arguments.defaults)
    if least > _GIVEN or (len(plain) < _GIVEN and arguments.vararg is None):
        return f"takes {least if least > _GIVEN else len(plain)} values, not two"
    demanded = [
        key.arg for key, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if value is None
    ]
    return f"demands {demanded[0]!r} by name" if demanded else ""


def _no_number(function: ast.FunctionDef) -> str:
    """Return why a function cannot give a number, whatever happens in it; nothing where it may."""
    own = list(_statements(function))
    if any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in own):
        return "is a generator, not a function that gives a number"
    given = [node.value for node in own if isinstance(node, ast.Return) and node.value is not None]
    if not given:
        return "returns nothing, not a number"
    return "" if any(_may_be_number(value) for value in given) else "returns no number"


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what is in a function, but not what is in those that it defines."""
    for inner in ast.iter_child_nodes(node):
        if not isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            yield inner
            yield from _statements(inner)


def _may_be_number(value: ast.expr) -> bool:
    if isinstance(value, ast.Constant):
        try:
            return math.isfinite(float(value.value))  # type: ignore[arg-type]  # what it cannot take it says
        except (TypeError, ValueError):
            return False
    return not isinstance(value, _NO_NUMBERS)


def _check_imports(file: Path) -> None:
    """Refuse an import that fails whenever the module is read: one that stands by itself."""
    for node in _parsed(file).body:
        for module in _imported(node):
            root = module.split(".")[0]
            if not (Path(root).is_dir() or Path(f"{root}.py").is_file() or _is_installed(root)):
                what = f"{file.as_posix()}, line {node.lineno}, imports {root!r}, which is neither here nor installed"
                raise ConfigError(what, where=_WHERE, fix="Install it, or correct its name.")


def _imported(node: ast.stmt) -> Sequence[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module.split(".")[0]) is not None
    except (ImportError, ValueError):
        return False


def _installed_file(module: str) -> Path | None:
    """Return the file of an installed module, found without importing what is around it; None where it is no text."""
    places: Sequence[str] | None = None
    found = None
    for count in range(1, module.count(".") + 2):
        name = ".".join(module.split(".")[:count])
        try:
            found = importlib.machinery.PathFinder.find_spec(name, places)
        except (ImportError, ValueError):
            return None
        if found is None:
            return None
        places = found.submodule_search_locations
    return Path(found.origin) if found and found.origin and found.origin.endswith(".py") else None


def _top_names(module: ast.Module) -> Iterator[str]:
    """Yield what importing a module may define; ``*`` where that cannot be told."""
    for node in ast.walk(module):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield "*" if node.name == "__getattr__" else node.name
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((each.asname or each.name).split(".")[0] for each in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("globals", "setattr"):
            yield "*"
