"""A run as JUnit XML, which CI systems show test by test: a suite per target, a case per task."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import defaultdict

from scaling_tasks.doit_plugin.console.run_outcomes import FAILED, UNREACHED, RunOutcomes, told_by

__all__ = ["junit_xml"]


def junit_xml(run: RunOutcomes) -> bytes:
    """Return the XML of every task that the run reached, in the order they ended."""
    suites: dict[str, list[str]] = defaultdict(list)
    for name in run.outcomes:
        suites[run.tasks[name].meta["target"]].append(name)
    root = ET.Element("testsuites", name="scaling_tasks")
    for target in sorted(suites):
        names = suites[target]
        outcomes = [run.outcomes[name] for name in names]
        suite = ET.SubElement(
            root,
            "testsuite",
            name=target,
            tests=str(len(names)),
            failures=str(outcomes.count(FAILED)),
            errors="0",
            skipped=str(sum(outcome in _SKIPPED for outcome in outcomes)),
            time=f"{sum(run.seconds.get(name, 0.0) for name in names):.3f}",
        )
        for name in names:
            suite.append(_case(run, name))
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


_SKIPPED = (UNREACHED, "left out")


def _case(run: RunOutcomes, name: str) -> ET.Element:
    task = run.tasks[name]
    case = ET.Element("testcase", classname=task.meta["target"], name=name, time=f"{run.seconds.get(name, 0.0):.3f}")
    outcome = run.outcomes[name]
    if outcome == FAILED:
        text = _printable(run.failures.messages.get(name, ""))
        failure = ET.SubElement(case, "failure", message=text.partition("\n")[0][:300])
        failure.text = text
    elif outcome in _SKIPPED:
        ET.SubElement(case, "skipped", message=_printable(told_by(task).get("reason", outcome)))
    else:
        ET.SubElement(case, "system-out").text = outcome
    return case


def _printable(text: str) -> str:
    """Return the text without the control characters that XML cannot hold."""
    return "".join(character for character in text if character in "\t\n" or character >= " ")
