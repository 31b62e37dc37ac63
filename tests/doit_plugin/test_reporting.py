"""What a run shows: on a terminal, in a log, and to a CI system."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.doit_plugin.repository import Repository


def on_a_terminal(repository: Repository, *arguments: str, **environment: str) -> str:
    """Run doit with a terminal as its output and return everything written to it."""
    leader, follower = pty.openpty()
    variables = {name: value for name, value in os.environ.items() if name != "CI"}
    run = subprocess.Popen(
        [sys.executable, "-m", "doit", *arguments],
        cwd=repository.root,
        env={**variables, "TERM": "xterm", **environment},
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    written = b""
    while True:
        if not select.select([leader], [], [], 120)[0]:
            break
        try:
            if not (piece := os.read(leader, 65536)):
                break
        except OSError:
            break
        written += piece
    os.close(leader)
    assert run.wait(timeout=60) == 0, written.decode()
    return written.decode()


def break_unit(repository: Repository) -> None:
    repository.install_fussy_backend()
    repository.write_target(sizes=[(2, 2), (32, 64)], backend="fussy")


def shown(written: str) -> list[str]:
    """Return the lines that remain on the screen, as a terminal would leave them."""
    return [line.split("\x1b[2K")[-1].strip("\r") for line in written.split("\n")]


def test_a_terminal_shows_progress_below_whole_lines(repository: Repository) -> None:
    repository.write_target(sizes=[(16, 24), (24, 40), (32, 64)], backend="openvino")
    written = on_a_terminal(repository, "-n", "8")
    assert re.search(r"\[#*\.*\] \d+/\d+\+?  \d:\d\d.*  compile:net:N1_H", written)
    lines = shown(written)
    assert sum(line.startswith(".  compile:net:") for line in lines) == 3
    assert not any("/" in line and line.startswith("[") for line in lines)
    assert re.match(r"store: 0 hits, \d+ misses", lines[-2])


def test_the_remaining_time_comes_from_history(built: Repository) -> None:
    built.write_model(seed=1)
    written = on_a_terminal(built)
    assert re.search(r"about \d:\d\d left", written)


@pytest.mark.parametrize("environment", [{"CI": "true"}, {"SCALING_TASKS_PROGRESS": "plain"}, {"TERM": "dumb"}])
def test_ci_gets_plain_lines(repository: Repository, environment: dict[str, str]) -> None:
    written = on_a_terminal(repository, **environment)
    assert "\x1b" not in written
    assert re.search(r"^\.  compile:net:N1_H16_W24  compiled in .*  \(\d+/\d+\+?\)", written, re.MULTILINE)


@pytest.mark.parametrize("way", ["thread", "process"])
def test_nothing_is_lost_or_interleaved(repository: Repository, way: str) -> None:
    sizes = [(8 * row, 8 * column) for row in range(1, 5) for column in range(1, 4)]
    repository.write_target(sizes=[*sizes, (32, 64)])
    run = repository.doit("-n", "8", "-P", way)
    assert run.ok, run.output
    units = [f"compile:net:N1_H{height}_W{width}" for height, width in [*sizes, (32, 64)]]
    for unit in units:
        assert len(re.findall(rf"^\.  {unit}  compiled in [\d.]+ s  \(\d+/\d+\+?\)$", run.output, re.MULTILINE)) == 1
    allowed = r"^(\.  \S.*|target .*|[- ]+|net .*|store: .*|   warning: .*|)$"
    assert [line for line in run.output.splitlines() if not re.match(allowed, line)] == []


def test_the_store_line_counts_hits_and_misses(built: Repository) -> None:
    assert "store:" not in built.doit().output
    assert built.doit("clean", "compile:net").ok
    built.write_target(sizes=[(16, 24), (24, 40), (32, 64), (48, 80)])
    run = built.doit()
    assert re.search(r"^store: 3 hits, \d+ misses; .* restored, .* added; [\d.]+ s of work saved$", run.output, re.M)


def test_a_failure_is_told_at_once_and_at_the_end(repository: Repository) -> None:
    break_unit(repository)
    run = repository.doit("--continue")
    assert run.status != 0
    said = [line for line in run.output.splitlines() if "compile:net:N1_H2_W2" in line]
    assert said[0].startswith("!  compile:net:N1_H2_W2 failed: ")
    assert said[1].startswith("  compile:net:N1_H2_W2: ")
    assert ".scaling/logs/net/N1_H2_W2.log" in said[1]
    assert re.search(r"^1 failed; \d+ more could not start because of that:$", run.output, re.MULTILINE)


def test_junit_has_a_case_per_unit(repository: Repository, tmp_path: Path) -> None:
    break_unit(repository)
    report = tmp_path / "reports/junit.xml"
    run = repository.doit("--continue", environment={"SCALING_TASKS_JUNIT": str(report)})
    assert run.status != 0
    suite = ET.parse(report).getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("name"), suite.get("failures")) == ("net", "1")
    cases = {case.get("name"): case for case in suite}
    failure = cases["compile:net:N1_H2_W2"].find("failure")
    assert failure is not None
    assert "N1_H2_W2.log" in (failure.text or "")
    assert float(cases["compile:net:N1_H32_W64"].get("time") or 0) > 0
    assert cases["bundle:net"].find("skipped") is not None


def test_the_job_summary_is_appended(repository: Repository, tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    assert repository.doit(environment={"GITHUB_STEP_SUMMARY": str(summary)}).ok
    text = summary.read_text()
    assert text.startswith("before\n## scaling_tasks: all built\n")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 3
    assert len({line.count("|") for line in rows}) == 1
    assert re.search(r"store: 0 hits, \d+ misses", text)


def test_a_report_that_cannot_be_written_fails_nothing(repository: Repository) -> None:
    """Each is told by what it is, and keeps no other from being written."""
    profiles = repository.root / ".scaling/profiles"
    profiles.parent.mkdir(exist_ok=True)
    profiles.write_text("")
    run = repository.doit(environment={"GITHUB_STEP_SUMMARY": str(repository.root)})
    assert run.ok
    assert f"warning: {repository.root}: the job's summary could not be written (Is a directory)." in run.output
    assert "the profile of this run could not be written" in run.output


def test_names_of_files_steer_no_terminal_and_make_no_lines(repository: Repository) -> None:
    config = repository.root / "configs/net.yaml"
    config.write_text(
        config.read_text().replace("dataset: datasets/images", "dataset: {path: datasets/images, strict: true}")
    )
    (repository.root / "datasets/images/a\x1b]0;b\x07\n.  lock:net\u202e.png").write_text("")
    run = repository.doit()
    assert not run.ok
    assert r"(a\x1b]0;b\x07 . lock:net\u202e.png: " in run.output
    assert "lock:net" not in run.executed
    assert all(line.isprintable() for line in run.output.splitlines())
