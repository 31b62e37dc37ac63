"""Many tasks that fail for one reason are told once, with what repeats the first of them; reports name each."""

from __future__ import annotations

import re
import shlex
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from scaling_tasks.doit_plugin.console.causes import cause_of
from tests.doit_plugin.repository import Repository

BROKEN = """
import os

from scaling_tasks.compilers.openvino import OpenVinoBackend


class Fussy(OpenVinoBackend):
    name = "fussy"

    def compile(self, job, workdir):
        print(f"error: {job.unit.stem}: pass 3 does not know the operator Relu", flush=True)
        os._exit(3)
"""
SIZES = [(16, 24), (24, 40), (32, 64), (40, 64)]
CAUSE = "pass 3 does not know the operator Relu"


def test_each_cause_is_told_once(repository: Repository, tmp_path: Path) -> None:
    """A compiler that does nothing right, for two targets; a toolchain that two lack; a tolerance that none meets."""
    repository.install_fussy_backend()
    (repository.root / "site/fussy.py").write_text(BROKEN)
    repository.write_target("det", sizes=SIZES, backend="fussy")
    repository.write_target("rec", sizes=SIZES[1:3], backend="fussy")
    for name in ("one", "two"):
        repository.write_target(name, sizes=SIZES[:2], backend="atc\n  soc_version: Ascend310P3")
    repository.write_target(sizes=SIZES[1:3], backend="openvino", more="verify: {absolute: 0, relative: 0}\n")
    reports = {"SCALING_TASKS_JUNIT": str(tmp_path / "junit.xml"), "GITHUB_STEP_SUMMARY": str(tmp_path / "page.md")}
    run = repository.doit("-n", "2", "--continue", environment={**reports, "PATH": "/usr/bin:/bin"})
    assert run.status != 0

    at_once, _, closing = run.output.partition("10 failed for 3 causes; ")
    for cause in (CAUSE, "no CANN", "differs from the original"):
        assert at_once.count(cause) == closing.count(cause) == 1, run.output
    assert len(re.findall("^!  ", at_once, re.MULTILINE)) == 3
    told = re.findall(r"^  (\w+, \d times): |^    (\w+): (.*)$", closing, re.MULTILINE)
    assert sorted(times for times, _, _ in told if times) == ["compile, 2 times", "compile, 6 times", "verify, 2 times"]
    units = {target: set(units.split(", ")) for _, target, units in told if target}
    names = [f"N1_H{height}_W{width}" for height, width in SIZES]
    assert units["det"] == set(names)
    assert units["rec"] == units["net"] == set(names[1:3])
    assert units["one"] == units["two"] == {"dynamic_bs1_hw"}
    assert re.search(r"no CANN.* Run it alone: doit compile:(one|two):dynamic_bs1_hw$", closing, re.MULTILINE)
    assert_repeats(repository, closing)

    # What machines read misses nothing.
    cases = ET.parse(tmp_path / "junit.xml").iter("testcase")
    failed = {case.get("name") for case in cases if case.find("failure") is not None}
    stages = {"net": "verify"}
    assert failed == {f"{stages.get(target, 'compile')}:{target}:{unit}" for target in units for unit in units[target]}
    page = (tmp_path / "page.md").read_text()
    assert page.count(CAUSE) == 1
    assert all(name in page for name in names)


def assert_repeats(repository: Repository, closing: str) -> None:
    """Assert that the compiler's failure comes with the command that brings it about again."""
    command = re.search(rf"{CAUSE}.* Run it alone: (.*)$", closing, re.MULTILINE)
    assert command is not None
    done = subprocess.run(
        ["/usr/bin/env", *shlex.split(command[1])],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(repository.root / "site")},
    )
    assert done.returncode != 0
    assert CAUSE in done.stdout


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("net_N1_H8_W8: error in pass 3", "net_N1_H8_W16: error in pass 3", True),
        ("differs by 1.91e-06 at {'H': 5}", "differs by 2.38e-05 at {'H': 7}", True),
        ("a.log. Log: a. Run it alone: x", "a.log. Log: b. Run it alone: y", True),
        ("no kernel for 8 columns", "no kernel for 16 columns", True),
        ("needs more than the limit of 16 MiB", "needs more than the limit of 16 MiB", True),
        ("took longer than 16 s", "took longer than 16 s", True),
        ("ended with status 3", "ended with status 4", False),
        ("models/net1.onnx: cannot be read", "models/net2.onnx: cannot be read", False),
        ("error E10001: unknown", "error E10002: unknown", False),
        ("configs/a.yaml: wrong", "configs/b.yaml: wrong", False),
    ],
)
def test_what_counts_as_one_cause(one: str, other: str, same: bool) -> None:
    assert (cause_of(one, "N1_H8_W8") == cause_of(other, "N1_H8_W16")) is same
