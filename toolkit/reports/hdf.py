"""Reports in Heimdall Data Format: reading, writing, and what they say.

A report is the ExecJSON document that InSpec's `json` reporter writes and Heimdall reads (JSON schema
`exec-json.json` of mitre/heimdall2): `platform`, `profiles[].controls[].results[]`, `statistics`, `version`.
It stays the plain dictionary it is on disk, so that nothing an engine adds is lost; the types of this module
are what is derived from it. How a status and a severity follow from a control is that of MITRE's `inspecjs`,
so that barescan, the SAF command line and Heimdall count alike.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from toolkit.errors import BarescanError, CallError
from toolkit.reports import json_tree
from toolkit.reports.files import read_capped, write_new
from toolkit.reports.text import visible

#: One whole document, one profile of it, one control of that, one result of that.
Report: TypeAlias = dict[str, Any]
Profile: TypeAlias = dict[str, Any]
Control: TypeAlias = dict[str, Any]
Result: TypeAlias = dict[str, Any]

#: Bytes. A STIG baseline of 453 controls gives about 3 MB; parsed, a report takes up to ten times its size.
MAX_SIZE = 64 * 2**20

#: Levels of nesting. A result is at the sixth; inputs and tags may hold structures of their own.
MAX_DEPTH = 64

#: Profiles in one report: an overlay and what it depends on are a handful; links between them are followed.
MAX_PROFILES = 1000

_RESULT_STATUSES = frozenset({"passed", "failed", "skipped", "error", "pending", "not_applicable"})


class Status(StrEnum):
    """What became of a control."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_REVIEWED = "not_reviewed"
    NOT_APPLICABLE = "not_applicable"
    PROFILE_ERROR = "profile_error"

    @property
    def label(self) -> str:
        """Heimdall's spelling, for people ("Not Reviewed")."""
        return self.value.replace("_", " ").title()


class Severity(StrEnum):
    """How much a control matters, worst first."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    NONE = "none"


#: The smallest impact (0 to 1) of each severity (InSpec's `Inspec::Impact`, `inspecjs`).
_IMPACTS = (
    (0.9, Severity.CRITICAL),
    (0.7, Severity.HIGH),
    (0.4, Severity.MEDIUM),
    (0.1, Severity.LOW),
)


def control_status(control: Control) -> Status:
    """Return a control's status; the order of the questions is `inspecjs`' and decides.

    Any result in error → Profile Error; impact 0, or skipped by a waiver → Not Applicable; no results →
    Profile Error; any failed → Failed; any passed → Passed; any skipped → Not Reviewed; else Profile Error.
    A result that carries a backtrace, be it empty, is in error whatever its status says.
    """
    statuses = {_result_status(result) for result in _results(control)}
    if "error" in statuses:
        return Status.PROFILE_ERROR
    if control.get("impact") == 0 or _is_waived(control):
        return Status.NOT_APPLICABLE
    for name, status in (
        ("failed", Status.FAILED),
        ("passed", Status.PASSED),
        ("skipped", Status.NOT_REVIEWED),
    ):
        if name in statuses:
            return status
    return Status.PROFILE_ERROR


def control_severity(control: Control) -> Severity:
    """Return a control's severity: tag `severityoverride`, else tag `severity`, else by its impact.

    A tag that names no severity is passed over, upper and lower case are the same.
    """
    tags = control.get("tags") or {}
    for tag in ("severityoverride", "severity"):
        value = tags.get(tag)
        if isinstance(value, str) and value.lower() in set(Severity):
            return Severity(value.lower())
    impact = control.get("impact", 0)
    return next((severity for least, severity in _IMPACTS if impact >= least), Severity.NONE)


@dataclass(frozen=True)
class Finding:
    """One control as it counts: its verdict and what is worth reading about it.

    `messages` are those of the results that made the status, in the report's order: failures of a failed
    control, exceptions of one in error, reasons of one that was not reviewed or does not apply.
    """

    id: str
    title: str
    profile: str
    status: Status
    severity: Severity
    impact: float
    messages: tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """The findings of a report, each control once, in its order, and what follows from their number."""

    findings: tuple[Finding, ...]

    @cached_property
    def _counts(self) -> Mapping[tuple[Status, Severity], int]:
        return Counter((finding.status, finding.severity) for finding in self.findings)

    @property
    def total(self) -> int:
        """Number of controls."""
        return len(self.findings)

    def count(self, status: Status, severity: Severity | None = None) -> int:
        """Number of controls of a status, of one severity or of all."""
        severities = Severity if severity is None else (severity,)
        return sum(self._counts.get((status, each), 0) for each in severities)

    def of(self, status: Status, severity: Severity | None = None) -> tuple[Finding, ...]:
        """Findings of a status, of one severity or of all."""
        return tuple(
            finding
            for finding in self.findings
            if finding.status is status and severity in {None, finding.severity}
        )

    @property
    def compliance(self) -> int:
        """Per cent of passed among passed, failed, not reviewed and in error; 0 when there are none.

        Halves are rounded up as JavaScript's Math.round does, for SAF and Heimdall show that figure.
        """
        passed = self.count(Status.PASSED)
        considered = self.total - self.count(Status.NOT_APPLICABLE)
        return (200 * passed + considered) // (2 * considered) if considered else 0


def summarise(report: Report) -> Summary:
    """Return what a report says, every control once.

    Where a profile (an overlay) wraps controls of the profiles it depends on, those of the same id are one
    control, and the innermost that has results speaks for it, as in `inspecjs`. A wrapped profile's control
    that the overlay left out counts only if it was run.
    """
    return Summary(
        tuple(_finding(control, profile.get("name") or "") for profile, control in effective_controls(report))
    )


def problems(report: Report) -> list[str]:
    """Return why a report is no answer at all, a sentence each; an empty list when it is one.

    A profile that failed to load, and not one control: both end in success in some versions of InSpec.
    """
    found = [
        f"profile {visible(str(profile.get('name')))} failed to load: {_load_message(profile)}"
        for profile in report["profiles"]
        if profile.get("status") == "failed"
    ]
    if not any(True for _ in effective_controls(report)):
        skipped = [profile for profile in report["profiles"] if profile.get("status") == "skipped"]
        reason = f": {_load_message(skipped[0])}" if skipped else ""
        found.append(f"not one control was run{reason}")
    return found


_LIFTED = {
    "--allow-target-exec": "programs of the target may have run, and what they said is what "
    "the target wanted",
    "--allow-network": "the profile could speak to the target's network",
}


def meaning(flag: str) -> str:
    """Return a sentence about a flag by which a layer of the confinement was lifted."""
    return f"{flag}: {_LIFTED[flag]}" if flag in _LIFTED else flag


def lifted(report: Report) -> list[str]:
    """Return the flags by which layers of the confinement were lifted for the scan, as the report says."""
    ours = report.get("passthrough", {}).get("barescan", {})
    flags = ours.get("lifted", []) if isinstance(ours, dict) else []
    return [visible(str(flag), 40) for flag in flags] if isinstance(flags, list) else []


def override(report: Report, control_id: str, reason: str) -> Status | None:
    """Turn a control into Not Reviewed, in place, because no true answer to it was possible.

    The results are replaced by one skipped result with `reason`; the tag `barescan` keeps `engine_status` and
    `reason`. A control that does not apply stays so. Every control of that id is changed, wrapped ones too.
    Returns the status it had, or None when the report has no such control.
    """
    before = next((control_status(c) for _, c in effective_controls(report) if c["id"] == control_id), None)
    for profile in report["profiles"]:
        for control in profile["controls"]:
            results = _results(control)
            if control["id"] != control_id or not results:
                continue
            status = control_status(control)
            if status is Status.NOT_APPLICABLE:
                continue
            control["results"] = [
                {
                    "status": "skipped",
                    "code_desc": results[0].get("code_desc", ""),
                    "start_time": results[0].get("start_time", ""),
                    "skip_message": reason,
                }
            ]
            tags = control.get("tags") or {}
            control["tags"] = tags | {"barescan": {"engine_status": status.value, "reason": reason}}
    return before


def load(path: Path) -> Report:
    """Read a report from a file: a regular one, of at most `MAX_SIZE` bytes, checked by `parse`.

    Raises `CallError`, in one line.
    """
    return parse(read_capped(path, MAX_SIZE, "report"), str(path))


def parse(data: bytes, source: str, error: type[BarescanError] = CallError) -> Report:
    """Read a report from bytes: strict JSON in UTF-8 of the shape that the functions here rely on.

    `source` names it in messages; `error` is the class raised, `ScanError` where an engine wrote it. Refused
    are sizes above `MAX_SIZE`, nesting above `MAX_DEPTH`, more profiles than `MAX_PROFILES`, NaN and
    infinities, a key twice in one object, and wrong types. What the schema requires but nothing here needs
    may be missing.
    """
    try:
        if len(data) > MAX_SIZE:
            raise _MalformedError(f"it is larger than {MAX_SIZE} bytes")
        document = json.loads(data.decode("utf-8"), object_pairs_hook=_distinct, parse_constant=_no_constant)
        report: Report = _typed(document, dict, "the document")
        json_tree.check(report, MAX_DEPTH)
        _check_report(report)
    except (ValueError, RecursionError) as problem:
        raise error(f"{visible(source)} is no report in Heimdall Data Format: {_why(problem)}") from problem
    return report


def write(report: Report, path: Path) -> None:
    """Write a report to a new file: whole or not at all, mode 0600, never over an existing one.

    The JSON is pure ASCII, so that no terminal that shows the file obeys a character of it.
    Raises `CallError` or `ScanError` as `files.write_new` does.
    """
    data = json.dumps(report, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    write_new(data.encode("ascii") + b"\n", path)


def effective_controls(report: Report) -> Iterator[tuple[Profile, Control]]:
    """Yield each control that counts with the profile it is from (see `summarise`)."""
    profiles: Sequence[Profile] = report["profiles"]
    children = _children(profiles)
    inner = {child for below in children.values() for child in below}
    indices = [_by_id(profile) for profile in profiles]
    wrapped: set[_Place] = set()
    for position in _outside_in(len(profiles), children):
        for number, control in enumerate(profiles[position]["controls"]):
            if (position, number) in wrapped or (position in inner and not _results(control)):
                continue
            chain = _chain((position, number), control["id"], children, indices)
            wrapped.update(chain)
            layers = [(profiles[each], profiles[each]["controls"][n]) for each, n in chain]
            yield next((layer for layer in reversed(layers) if _results(layer[1])), layers[-1])


#: Where a control is: the number of its profile in the report, its own number in that.
_Place: TypeAlias = tuple[int, int]


def _children(profiles: Sequence[Profile]) -> dict[int, list[int]]:
    """Which profiles each one wraps, by position; `parent_profile` names the first profile of that name.

    A link that would close a circle is none, so that every profile hangs below an outermost one.
    """
    positions: dict[str, int] = {}
    for position, profile in enumerate(profiles):
        positions.setdefault(profile["name"], position)
    parents: dict[int, int] = {}
    children: dict[int, list[int]] = {}
    for position, profile in enumerate(profiles):
        parent = positions.get(profile.get("parent_profile") or "")
        above = parent
        while above is not None and above != position:
            above = parents.get(above)
        if parent is not None and above is None:
            parents[position] = parent
            children.setdefault(parent, []).append(position)
    return children


def _outside_in(number: int, children: Mapping[int, list[int]]) -> list[int]:
    """Positions of all profiles, wrappers before what they wrap."""
    inner = {child for below in children.values() for child in below}
    order = [position for position in range(number) if position not in inner]
    for position in order:  # grows while it is walked
        order.extend(children.get(position, ()))
    return order


def _by_id(profile: Profile) -> dict[str, int]:
    index: dict[str, int] = {}
    for number, control in enumerate(profile["controls"]):
        index.setdefault(control["id"], number)
    return index


def _chain(
    place: _Place, control_id: str, children: Mapping[int, list[int]], indices: Sequence[Mapping[str, int]]
) -> list[_Place]:
    """Return the place of a control and of those of its id that it wraps, outermost first."""
    chain = [place]
    while True:
        below = children.get(chain[-1][0], ())
        link = next((child for child in below if control_id in indices[child]), None)
        if link is None:
            return chain
        chain.append((link, indices[link][control_id]))


def _results(control: Control) -> list[Result]:
    results: list[Result] = control.get("results") or []
    return results


def _result_status(result: Result) -> str:
    return "error" if result.get("backtrace") is not None else str(result.get("status") or "no_status")


def _is_waived(control: Control) -> bool:
    return (control.get("waiver_data") or {}).get("skipped_due_to_waiver") is True


def _finding(control: Control, profile: str) -> Finding:
    status = control_status(control)
    return Finding(
        id=control["id"],
        title=control.get("title") or "",
        profile=profile,
        status=status,
        severity=control_severity(control),
        impact=float(control.get("impact", 0)),
        messages=tuple(_messages(control, status)),
    )


def _messages(control: Control, status: Status) -> Iterator[str]:
    if status is Status.PASSED:
        return
    if status is Status.NOT_APPLICABLE and _is_waived(control):
        yield str((control.get("waiver_data") or {}).get("justification") or "waived")
        return
    speaking = {
        Status.FAILED: {"failed"},
        Status.PROFILE_ERROR: {"error", "no_status", "pending", "not_applicable"},
    }
    results = _results(control)
    for result in results:
        if _result_status(result) in speaking.get(status, {"skipped"}):
            yield str(_first(result, "skip_message", "message", "exception", "code_desc"))
    if not results and status is Status.PROFILE_ERROR:
        yield "the control has no results"


def _first(result: Result, *keys: str) -> object:
    return next((result[key] for key in keys if result.get(key)), "no message")


def _load_message(profile: Profile) -> str:
    message = profile.get("status_message") or profile.get("skip_message") or "no reason given"
    return visible(str(message), 300)


class _MalformedError(ValueError):
    """A document is not what it should be; the message says where."""


def _why(problem: ValueError | RecursionError) -> str:
    if isinstance(problem, RecursionError):
        return f"it is nested deeper than {MAX_DEPTH} levels"
    if isinstance(problem, json.JSONDecodeError):
        return f"{problem.msg} at line {problem.lineno}, column {problem.colno}"
    if isinstance(problem, UnicodeDecodeError):
        return f"byte {problem.start} is not UTF-8"
    return visible(str(problem), 300)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = next(key for key, number in Counter(key for key, _ in pairs).items() if number > 1)
        raise _MalformedError(f"the key {twice[:80]!r} occurs twice in one object")
    return members


def _no_constant(name: str) -> Any:
    raise _MalformedError(f"{name} is no JSON number")


def _check_report(report: Report) -> None:
    for key in ("platform", "statistics", "passthrough"):
        _typed(report.get(key, {}), dict, key)
    _optional(report.get("platform", {}), "target_id", str, "platform")
    _typed(report.get("version", ""), str, "version")
    if "profiles" not in report:
        raise _MalformedError("it has no profiles")
    profiles = _typed(report["profiles"], list, "profiles")
    if len(profiles) > MAX_PROFILES:
        raise _MalformedError(f"it has more than {MAX_PROFILES} profiles")
    for number, profile in enumerate(profiles):
        _check_profile(profile, f"profiles[{number}]")


def _check_profile(profile: object, where: str) -> None:
    members = _typed(profile, dict, where)
    _typed(members.get("name"), str, f"{where}.name")
    for key in ("title", "version", "parent_profile", "status", "status_message", "skip_message"):
        _optional(members, key, str, where)
    for key in ("supports", "attributes"):
        _optional(members, key, list, where)
    for number, control in enumerate(_typed(members.get("controls"), list, f"{where}.controls")):
        _check_control(control, f"{where}.controls[{number}]")


def _check_control(control: object, where: str) -> None:
    members = _typed(control, dict, where)
    _typed(members.get("id"), str, f"{where}.id")
    impact = members.get("impact")
    if isinstance(impact, bool) or not isinstance(impact, int | float) or not 0 <= impact <= 1:
        raise _MalformedError(f"{where}.impact is no number from 0 to 1")
    for key in ("title", "desc"):
        _optional(members, key, str, where)
    for key in ("tags", "waiver_data"):
        _optional(members, key, dict, where)
    _optional(members, "results", list, where)
    for number, result in enumerate(members.get("results") or ()):
        _check_result(result, f"{where}.results[{number}]")


def _check_result(result: object, where: str) -> None:
    members = _typed(result, dict, where)
    for key in ("code_desc", "start_time", "message", "skip_message", "exception", "status"):
        _optional(members, key, str, where)
    _optional(members, "backtrace", list, where)
    status = members.get("status")
    if status is not None and status not in _RESULT_STATUSES:
        raise _MalformedError(f"{where}.status is {status[:40]!r}, which is no status of a result")


_NAMES: Mapping[type, str] = {dict: "an object", list: "an array", str: "a string"}


def _typed(value: object, kind: type, where: str) -> Any:
    if not isinstance(value, kind):
        raise _MalformedError(f"{where} is not {_NAMES[kind]}")
    return value


def _optional(members: dict[str, Any], key: str, kind: type, where: str) -> None:
    if members.get(key) is not None:
        _typed(members[key], kind, f"{where}.{key}")
