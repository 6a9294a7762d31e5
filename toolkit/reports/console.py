"""A report for the terminal: what matters, in as much room as there is.

Every text of a report came from a profile or a target. None of it is taken as rich's markup, and every
character that a terminal would obey instead of draw (ANSI escapes, bidirectional overrides) is shown as its
code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from toolkit.reports.hdf import (
    Finding,
    Report,
    Severity,
    Status,
    Summary,
    lifted,
    meaning,
    problems,
    summarise,
)
from toolkit.reports.text import visible
from toolkit.reports.threshold import Check, Verdict

#: From this width (columns) a failed control fits into one line with its title and message.
_WIDE = 120

#: From this width the counts fit by severity; below, only their totals do, and a cut number would be a lie.
_BY_SEVERITY = 66

#: Columns of a failed control that are neither its id nor its title.
_BESIDE = 18

#: Characters of a title, message or reason; more is in the report.
_SHORT = 160

#: Characters of an id that are looked at: the rest is not shown, and a search through megabytes takes long.
_LONGEST_ID = 4096

#: Reasons and ids after which a list only says how many more there are.
_REASONS = 12
_IDS = 6

#: Targets that share a cause, after which it is only said how many more do; the table has them all.
_TARGETS = 20

_STYLES = {
    Status.PASSED: "green",
    Status.FAILED: "red",
    Status.NOT_REVIEWED: "yellow",
    Status.NOT_APPLICABLE: "dim",
    Status.PROFILE_ERROR: "magenta",
}
_NARROW = {
    Status.PASSED: "Passed",
    Status.FAILED: "Failed",
    Status.NOT_REVIEWED: "Not rev.",
    Status.NOT_APPLICABLE: "N/A",
    Status.PROFILE_ERROR: "Error",
}
_SEVERITY_STYLES = {Severity.CRITICAL: "bold red", Severity.HIGH: "red", Severity.MEDIUM: "yellow"}

#: XCCDF ids are `xccdf_<reverse domain>_rule_<name>` (XCCDF 1.2); the name tells rules apart.
_XCCDF_ID = re.compile(r"xccdf_[A-Za-z0-9.-]+(?:_[A-Za-z0-9.-]+)*?_(?:rule|profile)_(?=.)")


def print_summary(
    console: Console,
    report: Report,
    verdict: Verdict | None = None,
    *,
    note: str = "",
    limit: int = 50,
) -> None:
    """Print what a report says: counts, what failed, why something was not reviewed, and the gate's verdict.

    `report` is as `hdf.load` returns it; `note` is a sentence printed first ("the scan was interrupted");
    `limit` is the number of failed controls listed, those of the highest severity first.
    """
    summary = summarise(report)
    console.print(_headline(report), highlight=False)
    for warning in (*filter(None, [note]), *problems(report)):
        console.print(_plain(warning, 4 * _SHORT, "bold red"), highlight=False)
    print_lifted(console, lifted(report))
    console.print(_counts(summary, by_severity=console.width >= _BY_SEVERITY))
    console.print(_compliance(summary), highlight=False)
    for status in (Status.FAILED, Status.PROFILE_ERROR):
        _print_bad(console, status, summary.of(status), limit)
    if unreviewed := summary.of(Status.NOT_REVIEWED):
        reasons = _reasons(unreviewed)
        console.print(_reason_table(reasons[:_REASONS]))
        _print_rest(console, len(reasons) - _REASONS, "reasons")
    if verdict is not None:
        _print_verdict(console, verdict)


def print_lifted(console: Console, flags: Iterable[str]) -> None:
    """Print what it means for the results that layers of the confinement were lifted by these flags."""
    for flag in flags:
        console.print(_plain(meaning(flag), 4 * _SHORT, "yellow"), highlight=False)


@dataclass(frozen=True)
class Row:
    """One target of several: what was found, and how it ended in a word or number.

    Of a target without a result also why, and what to do next.
    """

    target: str
    summary: Summary | None
    word: str
    cause: str = ""
    remedy: str = ""


def print_overview(console: Console, rows: Iterable[Row]) -> None:
    """Print a table of targets with the counts of their controls; below it why some have no result."""
    rows = tuple(rows)
    scheme = _shared_scheme(row.target for row in rows)
    if scheme:
        console.print(Text.assemble("\nTargets: ", (f"{visible(scheme, _SHORT)}…", "bold")), highlight=False)
    table = _table("")
    table.add_column("Target", overflow="fold")
    for status in Status:
        table.add_column(_NARROW[status], justify="right", no_wrap=True)
    table.add_column("Outcome", no_wrap=True)
    for row in rows:
        counts = [row.summary.count(status) if row.summary else None for status in Status]
        cells = [
            Text("") if count is None else Text(str(count), style=_STYLES[status] if count else "dim")
            for status, count in zip(Status, counts, strict=True)
        ]
        word = Text(row.word, style="" if row.summary else "bold red")
        table.add_row(_plain(row.target.removeprefix(scheme), _SHORT), *cells, word)
    console.print(table)
    _print_causes(console, rows)


def _shared_scheme(targets: Iterable[str]) -> str:
    """Return the `scheme://` that all targets have, or nothing."""
    schemes = {target.partition("://")[0] for target in targets if "://" in target}
    return f"{schemes.pop()}://" if len(schemes) == 1 else ""


def _print_causes(console: Console, rows: Iterable[Row]) -> None:
    """Say why targets have no result, those with the same cause together, each with its next step: uncut."""
    without = [row for row in rows if row.cause]
    shared = set[str].intersection(*(_names(row.target) for row in without)) if without else set[str]()
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in without:
        own = _names(row.target) - shared
        groups.setdefault((_unnamed(row.cause, own), _unnamed(row.remedy, own)), []).append(row)
    whole = not console.is_terminal  # lines that a program reads are not broken
    for (cause, remedy), alike in groups.items():
        if len({(row.cause, row.remedy) for row in alike}) == 1:
            cause, remedy = alike[0].cause, alike[0].remedy  # noqa: PLW2901
        targets = [row.target for row in alike]
        more = f", and {len(targets) - _TARGETS} more" if len(targets) > _TARGETS else ""
        names = visible(", ".join(targets[:_TARGETS]) + more)
        for text, style in ((names, ""), (f"  {visible(cause)}", "red"), (f"  → {visible(remedy)}", "")):
            if text.strip() != "→":
                console.print(Text(text, style=style), highlight=False, soft_wrap=whole)
    if groups:
        console.print()


def _names(target: str) -> set[str]:
    """Return the names that a target's URI is made of."""
    return set(filter(None, target.partition("://")[2].split("/")))


def _unnamed(text: str, names: set[str]) -> str:
    """Return a text without the names, so that what was said of several targets alike is the same."""
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-]|\.\w)", "NAME", text)
    return text


def _print_bad(console: Console, status: Status, findings: Sequence[Finding], limit: int) -> None:
    """List the controls of a status, those of the highest severity first."""
    if not findings:
        return
    listed = sorted(findings, key=lambda finding: list(Severity).index(finding.severity))[:limit]
    console.print()
    console.print(_failures(status.label, listed, console.width))
    shared = {finding.messages[:1] for finding in listed}
    if len(listed) > 1 and len(shared) == 1 and console.width < _WIDE:
        console.print(_plain(f"all: {(*shared.pop(), '')[0]}", _SHORT, "dim"), highlight=False)
    words = "failed" if status is Status.FAILED else "ended in an error"
    _print_rest(console, len(findings) - limit, f"controls {words}")


def _headline(report: Report) -> Text:
    titles = [str(profile.get("title") or profile["name"]) for profile in report["profiles"]]
    target = (report.get("platform") or {}).get("target_id")
    line = Text("\n")
    line.append_text(_plain(", ".join(titles[:3]) or "no profile", _SHORT, "bold"))
    if isinstance(target, str) and target:
        line.append(" on ")
        line.append_text(_plain(target, _SHORT, "bold"))
    return line


def _counts(summary: Summary, *, by_severity: bool) -> Table:
    severities = tuple(Severity) if by_severity else ()
    table = _table("")
    table.add_column("Status", no_wrap=True)
    for severity in severities:
        table.add_column(severity.value.title(), justify="right", no_wrap=True)
    table.add_column("Total", justify="right", no_wrap=True, style="bold")
    for status in Status:
        cells = [_number(summary.count(status, severity)) for severity in severities]
        total = Text(str(summary.count(status)))
        table.add_row(Text(status.label, style=_STYLES[status]), *cells, total)
    return table


def _number(count: int) -> Text:
    return Text(str(count)) if count else Text("·", style="dim")


def _compliance(summary: Summary) -> Text:
    considered = summary.total - summary.count(Status.NOT_APPLICABLE)
    return Text.assemble(
        ("Compliance ", "bold"),
        (f"{summary.compliance} %", "bold"),
        f": {summary.count(Status.PASSED)} passed of "
        + (f"{considered} controls that apply" if considered != 1 else "1 control that applies"),
    )


def _failures(title: str, findings: Sequence[Finding], width: int) -> Table:
    wide = width >= _WIDE
    names = [_identifier(finding.id, _STYLES[finding.status]) for finding in findings]
    share = width // 2 if width >= _BY_SEVERITY else max(1, (width - _BESIDE) // 2)
    room = min(share, max(cell_len(each) for each in ("Control", *(name.plain for name in names))))
    table = _table(title, expand=wide)
    table.add_column("Severity", no_wrap=True)
    # Fixed: with a least width rich lays the table out wider than it draws it, and cuts the ends of lines.
    table.add_column("Control", overflow="fold", width=room)
    table.add_column("Title", overflow="ellipsis" if wide else "fold", no_wrap=wide, ratio=4)
    if wide:
        table.add_column("Message", overflow="ellipsis", no_wrap=True, ratio=4)
    # A message that all of them share tells nothing about any of them and costs a line each.
    is_told = wide or len(findings) == 1 or len({finding.messages[:1] for finding in findings}) > 1
    for finding, name in zip(findings, names, strict=True):
        severity = Text(finding.severity.value, style=_SEVERITY_STYLES.get(finding.severity, ""))
        cells = [severity, _in_lines(name, room)]
        texts = [_plain(finding.title, _SHORT), *([_message(finding)] if is_told else [])]
        table.add_row(*cells, *(texts if wide else [Text("\n").join(text for text in texts if text.plain)]))
    return table


def _in_lines(name: Text, width: int) -> Text:
    """Break an id that is too long where one of its parts ends."""
    lines, rest = list[str](), name.plain
    while len(rest) > width > 1 and (part := re.match(rf".{{1,{width - 1}}}[_.:/-](?=.)", rest)):
        lines.append(part.group())
        rest = rest[part.end() :]
    return Text("\n".join([*lines, rest]), style=name.style)


def _message(finding: Finding) -> Text:
    first = _plain(finding.messages[0] if finding.messages else "", _SHORT, "dim")
    more = len(finding.messages) - 1
    return Text.assemble(first, (f" (+{more})" if more > 0 else "", "dim"))


def _reasons(findings: Iterable[Finding]) -> list[tuple[str, list[str]]]:
    """Return the reasons with the ids of their controls, the commonest first."""
    by_reason: dict[str, list[str]] = {}
    for finding in findings:
        by_reason.setdefault(finding.messages[0] if finding.messages else "", []).append(finding.id)
    return sorted(by_reason.items(), key=lambda item: -len(item[1]))


def _reason_table(reasons: Iterable[tuple[str, list[str]]]) -> Table:
    table = _table("Not reviewed")
    table.add_column("Count", justify="right", no_wrap=True)
    table.add_column("Reason", overflow="fold", ratio=4)
    table.add_column("Controls", overflow="fold", ratio=3)
    for reason, ids in reasons:
        table.add_row(Text(str(len(ids))), _plain(reason or "no reason given", _SHORT), _some(ids))
    return table


def _print_verdict(console: Console, verdict: Verdict) -> None:
    number = len(verdict.checks)
    kept = number - len(verdict.broken)
    word, style = ("met", "bold green") if verdict.met else ("not met", "bold red")
    console.print(Text.assemble("Gate ", (word, style), f": {kept} of {number} bounds kept"), highlight=False)
    if verdict.met:
        return
    table = _table("Bounds not kept")
    table.add_column("Bound", overflow="fold", ratio=3)
    table.add_column("Asked", justify="right", overflow="fold", ratio=1)
    table.add_column("Was", justify="right", overflow="fold", ratio=1)
    table.add_column("Controls", overflow="fold", ratio=4)
    for check in verdict.broken:
        table.add_row(
            Text(check.key), _amount(check, check.bound), _amount(check, check.value), _some(check.controls)
        )
    console.print(table)


def _amount(check: Check, figure: float | tuple[str, ...]) -> Text:
    if isinstance(figure, tuple):
        return Text(f"{len(figure)} listed" if figure is check.bound else str(len(figure)))
    return Text(f"{figure} %" if check.key.startswith("compliance") else str(figure))


def _print_rest(console: Console, more: int, what: str) -> None:
    if more > 0:
        console.print(
            Text(f"… and {more} more {what}; the report has them all", style="dim"), highlight=False
        )


def _some(ids: Sequence[str]) -> Text:
    names = Text(", ").join(_identifier(each) for each in ids[:_IDS])
    return names.append(f", +{len(ids) - _IDS}") if len(ids) > _IDS else names


def _identifier(control_id: str, style: str = "") -> Text:
    beginning = control_id[:_LONGEST_ID]
    prefix = _XCCDF_ID.match(beginning)
    return _plain(beginning[prefix.end() :] if prefix else beginning, 200, style)


def _plain(text: str, limit: int, style: str = "") -> Text:
    """Return text that is neither markup nor terminal control; rich adds no link or emoji to it."""
    return Text(visible(text, limit), style=style)


def _table(title: str, *, expand: bool = False) -> Table:
    return Table(
        title=Text(title, style="bold") if title else None,
        title_justify="left",
        box=box.SIMPLE,
        pad_edge=False,
        expand=expand,
    )
