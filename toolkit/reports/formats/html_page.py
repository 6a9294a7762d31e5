"""HTML: one page that needs nothing else, for people, on a screen or on paper.

It holds no script and no link, and its content security policy lets nothing be loaded or run. Elements are
made by lxml, which escapes what is put into them; no text of a report becomes part of a tag, a style or an
address.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import IO

from lxml import etree

from toolkit.reports import hdf
from toolkit.reports.formats.base import (
    MAX_TEXT,
    Judged,
    by_profile,
    descriptions,
    judged,
    nist_of,
    said,
    target_of,
    title_of,
)
from toolkit.reports.hdf import Profile, Report, Severity, Status, Summary
from toolkit.reports.text import counted, legible, visible

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""The content security policy: nothing is fetched, run or sent; only the page's own style counts."""

#: Characters of an id, a title or the name of a target.
_LINE = 1000

#: Results shown of one control; a profile that loops over every file of a target makes thousands.
_RESULTS = 1000

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --line: #c4c4c4; --soft: #f2f2f2;
  --passed: #14682b; --failed: #b3161b; --open: #7a5200; --error: #8a1a85; --none: #565656; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --paper: #161616; --line: #4a4a4a; --soft: #232323;
    --passed: #6fce86; --failed: #ff8f8a; --open: #e8b65a; --error: #ec9ae7; --none: #adadad; }
}
body { font: 1rem/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 70rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; margin: 1rem 0; }
caption { text-align: start; font-weight: bold; }
th, td { border: 1px solid var(--line); padding: .25rem .6rem; text-align: start; vertical-align: top; }
th { background: var(--soft); }
td.number { text-align: end; font-variant-numeric: tabular-nums; }
article { border: 1px solid var(--line); border-inline-start: .4rem solid var(--line); margin: .6rem 0;
  padding: .2rem .8rem; }
h3 { font-size: 1rem; margin: .3rem 0; }
h4 { font-size: .95rem; margin: .8rem 0 .2rem; }
summary { cursor: pointer; }
dt { font-weight: bold; }
.text { white-space: pre-wrap; }
.code { white-space: pre-wrap; font-family: ui-monospace, monospace; font-size: .9rem; }
.passed { border-inline-start-color: var(--passed); } .passed .status { color: var(--passed); }
.failed { border-inline-start-color: var(--failed); } .failed .status { color: var(--failed); }
.not_reviewed { border-inline-start-color: var(--open); } .not_reviewed .status { color: var(--open); }
.profile_error { border-inline-start-color: var(--error); } .profile_error .status { color: var(--error); }
.not_applicable { border-inline-start-color: var(--none); } .not_applicable .status { color: var(--none); }
.problem { border: 2px solid var(--failed); padding: .5rem; }
@media print {
  :root { --ink: #000; --paper: #fff; --soft: #eee; color-scheme: light; }
  body { max-width: none; padding: 0; }
  details::details-content { display: block; content-visibility: visible; block-size: auto; }
  thead { display: table-header-group; }
  tr, h3, summary { break-inside: avoid; break-after: avoid-page; }
}
"""


def write(report: Report, stream: IO[bytes]) -> None:
    """Write the page, a control at a time."""
    controls = judged(report)
    summary = Summary(tuple(each.finding for each in controls))
    with etree.htmlfile(stream, encoding="utf-8") as page:
        page.write_doctype("<!DOCTYPE html>")
        with page.element("html", {"lang": "en"}):
            page.write(_head(_heading(report)), method="html")
            with page.element("body"), page.element("main"):
                for element in _overview(report, summary):
                    page.write(element, method="html")
                for profile, group in by_profile(controls):
                    with page.element("section"):
                        page.write(_e("h2", _line(title_of(profile))), method="html")
                        for each in group:
                            page.write(_control(each), method="html")


def _e(tag: str, *content: str | Mapping[str, str] | etree._Element) -> etree._Element:
    """Return an element with attributes, elements and texts, in their order."""
    element = etree.Element(tag)
    for each in content:
        if isinstance(each, Mapping):
            for name, value in each.items():
                element.set(name, value)
        elif isinstance(each, etree._Element):
            element.append(each)
        elif len(element):
            element[-1].tail = (element[-1].tail or "") + each
        else:
            element.text = (element.text or "") + each
    return element


def _line(text: str) -> str:
    return visible(text, _LINE)


def _heading(report: Report) -> str:
    target = target_of(report)
    return f"Compliance of {_line(target)}" if target else "Compliance report"


def _head(title: str) -> etree._Element:
    return _e(
        "head",
        _e("meta", {"charset": "utf-8"}),
        _e("meta", {"http-equiv": "Content-Security-Policy", "content": POLICY}),
        _e("meta", {"name": "referrer", "content": "no-referrer"}),
        _e("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        _e("title", title),
        _e("style", _STYLE),
    )


def _overview(report: Report, summary: Summary) -> Iterator[etree._Element]:
    yield _e("h1", _heading(report))
    for problem in hdf.problems(report):
        yield _e("p", {"class": "problem"}, _line(problem))
    for flag in hdf.lifted(report):
        yield _e("p", {"class": "problem"}, hdf.meaning(flag))
    yield _facts(report)
    applying = counted(summary.total - summary.count(Status.NOT_APPLICABLE), "applicable control")
    yield _e(
        "p",
        _e("strong", f"{summary.compliance} % compliance"),
        f": {summary.count(Status.PASSED)} passed of {applying}.",
    )
    yield _counts(summary)


def _facts(report: Report) -> etree._Element:
    platform = report.get("platform") or {}
    system = " ".join(str(platform[key]) for key in ("name", "release") if isinstance(platform.get(key), str))
    listed = _e("dl")
    for name, value in (
        ("Target", target_of(report)),
        ("System", system),
        ("Profiles", ", ".join(_profile(each) for each in report["profiles"][:20])),
        ("SHA-256", ", ".join(str(each.get("sha256") or "unknown") for each in report["profiles"][:20])),
    ):
        if value:
            listed.extend((_e("dt", name), _e("dd", _line(value))))
    return listed


def _profile(profile: Profile) -> str:
    return f"{title_of(profile)[:_LINE]} {(profile.get('version') or '')[:_LINE]}".strip()


def _counts(summary: Summary) -> etree._Element:
    columns = (*(each.value.title() for each in Severity), "Total")
    rows = []
    for status in Status:
        numbers = [*(summary.count(status, each) for each in Severity), summary.count(status)]
        cells = (_e("td", {"class": "number"}, str(number)) for number in numbers)
        rows.append(_e("tr", _e("th", {"scope": "row"}, status.label), *cells))
    return _table("Controls by status and severity", ("Status", *columns), rows)


def _table(caption: str, columns: Iterable[str], rows: Iterable[etree._Element]) -> etree._Element:
    heads = (_e("th", {"scope": "col"}, column) for column in columns)
    return _e("table", _e("caption", caption), _e("thead", _e("tr", *heads)), _e("tbody", *rows))


def _control(each: Judged) -> etree._Element:
    finding, number = each.finding, counted(len(each.results), "result")
    details = _e("details", _e("summary", f"Severity {finding.severity.value}, {number}"))
    if finding.status in {Status.FAILED, Status.PROFILE_ERROR}:
        details.set("open", "")  # also for browsers that print only what is open
    details.extend(_texts(each))
    title = _e("h3", _e("span", {"class": "status"}, finding.status.label), " ", _e("bdi", _line(finding.id)))
    if finding.title:
        title.extend((_e("span", ": "), _e("bdi", _line(finding.title))))
    return _e("article", {"class": finding.status.value}, title, details)


def _texts(each: Judged) -> Iterator[etree._Element]:
    if each.results:
        yield _results(each)
    else:
        yield from (_e("p", {"class": "text"}, legible(text, MAX_TEXT)) for text in each.finding.messages)
    further = descriptions(each.control)
    description = each.control.get("desc") or further.get("default") or ""
    for heading, text, kind in (
        ("Description", description, "text"),
        ("Check", further.get("check", ""), "code"),
        ("Fix", further.get("fix", ""), "code"),
        ("NIST SP 800-53", ", ".join(nist_of(each.control)), "text"),
    ):
        if text:
            yield _e("h4", heading)
            yield _e("div", {"class": kind, "dir": "auto"}, legible(text, MAX_TEXT))


def _results(each: Judged) -> etree._Element:
    rows = [
        _e(
            "tr",
            _e("td", result.get("status") or "no status"),
            _e("td", {"class": "text", "dir": "auto"}, legible(result.get("code_desc") or "", MAX_TEXT)),
            _e("td", {"class": "code", "dir": "auto"}, legible(said(result), MAX_TEXT)),
        )
        for result in each.results[:_RESULTS]
    ]
    more = len(each.results) - _RESULTS
    if more > 0:
        rows.append(_e("tr", _e("td", {"colspan": "3"}, f"and {more} more; the report in HDF has them all")))
    return _table("Results", ("Result", "Test", "Message"), rows)
