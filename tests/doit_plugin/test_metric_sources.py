"""A metric is its own code with all that is worked on and imported, run from a copy, under the same settings."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.doit_plugin.repository import Repository

METRIC = """
from pathlib import Path

from mine.parts import helping


def score(run, dataset):
    for file in (__file__, helping.__file__):
        assert ".scaling/work" in file, f"{file} is no copy"
    return helping.VALUE
"""
PATH_FILE = "import site\n\nsite.addsitedir({here!r})\n"


def write_package(root: Path) -> None:
    (root / "mine/parts").mkdir(parents=True)
    (root / "mine/metrics.py").write_text(METRIC)
    (root / "mine/parts/helping.py").write_text("VALUE = 1\n")


def write_labelled_target(repository: Repository, metric: str) -> None:
    (repository.root / "labels.txt").write_text("1\n")
    repository.write_target(sizes=[(32, 64)], more=f"verify: {{metric: '{metric}', dataset: labels.txt}}\n")


def found_by(way: str, repository: Repository, package: Path) -> dict[str, str]:
    """Return the environment in which a package is found where somebody works on it."""
    if way == "PYTHONPATH":
        return {"PYTHONPATH": str(package)}
    site = repository.root / "site"  # As an editable installation has it.
    site.mkdir()
    (site / "sitecustomize.py").write_text(PATH_FILE.format(here=str(site)))
    (site / "mine.pth").write_text(f"{package}\n")
    return {"PYTHONPATH": str(site)}


@pytest.mark.parametrize("way", ["PYTHONPATH", "editable"])
@pytest.mark.parametrize("regular", [True, False])
@pytest.mark.parametrize("inside", [True, False])
def test_a_package_that_is_worked_on_is_part_of_the_metric(
    repository: Repository, tmp_path: Path, way: str, regular: bool, inside: bool
) -> None:
    package = (repository.root if inside else tmp_path) / "src"
    write_package(package)
    if regular:
        (package / "mine/__init__.py").touch()
    write_labelled_target(repository, "mine.metrics:score")
    environment = found_by(way, repository, package)
    run = repository.doit(environment=environment)
    assert run.ok, run.output
    (package / "mine/parts/helping.py").write_text("VALUE = float('nan')\n")
    run = repository.doit(environment=environment)
    assert "the metric gave nan" in run.output


def test_a_module_here_is_the_metric_whatever_else_is_called_so(repository: Repository) -> None:
    write_package(repository.root)
    write_package(repository.root / "other")
    write_labelled_target(repository, "mine.metrics:score")
    assert repository.doit(environment={"PYTHONPATH": f"{repository.root / 'other'}:{repository.root}"}).ok


SETTINGS = """
import locale
import sys
import time


def score(run, dataset):
    return time.localtime(0).tm_hour + len(locale.getpreferredencoding(False)) + sys.flags.optimize
"""


def test_settings_of_whoever_builds_change_no_result(repository: Repository) -> None:
    (repository.root / "scoring.py").write_text(SETTINGS)
    write_labelled_target(repository, "scoring:score")

    def scored(**environment: str) -> bytes:
        run = repository.doit(environment=environment)
        assert run.ok, run.output
        found = (repository.root / "build/net/report.html").read_bytes()
        shutil.rmtree(repository.root / ".scaling")
        return found

    assert scored(TZ="UTC", LANG="C.UTF-8") == scored(TZ="Asia/Tokyo", LC_ALL="C", PYTHONUTF8="0", PYTHONOPTIMIZE="1")


COUNTING = """
def score(run, dataset):
    return sorted(path.name for path in dataset.rglob("*.txt")) == ["one.txt", "two.txt"] or float("nan")
"""


def test_labelled_data_behind_links_is_given_to_the_metric(repository: Repository, tmp_path: Path) -> None:
    """As the images of a data set are found: no link is passed over, none is followed in a circle."""
    (repository.root / "scoring.py").write_text(COUNTING)
    labelled, elsewhere = repository.root / "labelled", tmp_path / "elsewhere"
    labelled.mkdir()
    elsewhere.mkdir()
    (labelled / "one.txt").touch()
    (elsewhere / "two.txt").touch()
    (labelled / "more").symlink_to(elsewhere)
    (elsewhere / "circle").symlink_to(labelled)
    more = "verify: {metric: 'scoring:score', dataset: labelled}\n"
    repository.write_target(sizes=[(32, 64)], more=more)
    run = repository.doit()
    assert run.ok, run.output
    (elsewhere / "three.txt").touch()
    assert "the metric gave nan" in repository.doit().output
