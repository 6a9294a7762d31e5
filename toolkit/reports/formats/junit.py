"""JUnit XML, as GitLab and Jenkins read it: a suite for each profile, a test case for each control.

A test case is told from others by its name and class, so that both stay the same from scan to scan: they are
the control's and the profile's. Characters that XML 1.0 (section 2.2) forbids are shown as codes.
"""

from __future__ import annotations

from collections import Counter
from typing import IO

from lxml import etree

from toolkit.reports import hdf
from toolkit.reports.formats.base import (
    MAX_TEXT,
    Judged,
    by_profile,
    judged,
    said,
    seconds,
    target_of,
    title_of,
)
from toolkit.reports.hdf import Report, Status
from toolkit.reports.text import legible, visible

#: Characters of an attribute: a line in a list.
_NAME, _MESSAGE = 400, 1000

_ELEMENTS = {
    Status.FAILED: "failure",
    Status.PROFILE_ERROR: "error",
    Status.NOT_REVIEWED: "skipped",
    Status.NOT_APPLICABLE: "skipped",
}


def write(report: Report, stream: IO[bytes]) -> None:
    """Write the suites; a report that is no answer gets one whose case is in error, never an empty pass."""
    groups = by_profile(judged(report))
    with etree.xmlfile(stream, encoding="utf-8") as file:
        file.write_declaration()
        with file.element("testsuites", {"name": "barescan"}):
            for number, problem in enumerate(hdf.problems(report)):
                file.write(_problem(problem, number), pretty_print=True)
            for profile, controls in groups:
                with file.element("testsuite", _suite(title_of(profile), controls)):
                    file.write(_properties(report), pretty_print=True)
                    for each in controls:
                        file.write(_case(each), pretty_print=True)


def _suite(title: str, controls: list[Judged]) -> dict[str, str]:
    numbers = Counter(_ELEMENTS.get(each.finding.status) for each in controls)
    took = sum(seconds(each.results) for each in controls)
    return {
        "name": visible(title, _NAME),
        "tests": str(len(controls)),
        "failures": str(numbers["failure"]),
        "errors": str(numbers["error"]),
        "skipped": str(numbers["skipped"]),
        "time": f"{took:.3f}",
    }


def _properties(report: Report) -> etree._Element:
    properties = etree.Element("properties")
    etree.SubElement(properties, "property", name="target", value=visible(target_of(report), _NAME))
    for flag in hdf.lifted(report):
        etree.SubElement(properties, "property", name="lifted", value=hdf.meaning(flag))
    return properties


def _case(each: Judged) -> etree._Element:
    finding = each.finding
    name = _short(finding.id) + (f": {_short(finding.title)}" if finding.title else "")
    case = etree.Element(
        "testcase",
        name=visible(name, _NAME),
        classname=visible(finding.profile, _NAME),
        time=f"{seconds(each.results):.3f}",
    )
    element = _ELEMENTS.get(finding.status)
    if element:
        reason = finding.messages[0] if finding.messages else ""
        told = etree.SubElement(case, element, message=visible(_worded(finding.status, reason), _MESSAGE))
        if element != "skipped":
            told.set("type", finding.severity.value)
        told.text = _told(each)
    return case


def _worded(status: Status, reason: str) -> str:
    return f"{status.label}: {reason[: 16 * _MESSAGE]}" if reason else status.label


def _told(each: Judged) -> str:
    """Return the results that did not pass, each with its test; the reasons where there are none."""
    lines = [
        f"{result.get('status') or 'no status'}: {_short(result.get('code_desc') or '')}\n"
        f"{_short(said(result))}"
        for result in each.results
        if result.get("status") != "passed" or result.get("backtrace") is not None
    ]
    return legible("\n".join(lines or map(_short, each.finding.messages)), MAX_TEXT)


def _short(text: str) -> str:
    """Return as much as could be shown, so that texts of megabytes are not put together first."""
    return text[: MAX_TEXT + 1]


def _problem(text: str, number: int) -> etree._Element:
    suite = etree.Element("testsuite", name="report", tests="1", failures="0", errors="1", skipped="0")
    case = etree.SubElement(suite, "testcase", name=f"the report is an answer ({number})", classname="report")
    etree.SubElement(case, "error", message=visible(text, _MESSAGE), type="report")
    return suite
