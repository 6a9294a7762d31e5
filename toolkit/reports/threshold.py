"""The gate: a threshold file in SAF's format, and whether a report meets it.

The format is that of MITRE's `saf validate threshold`: bounds for the compliance and for the number of
controls by status and severity, in YAML, nested or flat (every key dotted, `compliance.min: 80`). Its keys
are kept, its gaps are not: a key that means nothing is an error and not silence, `no_impact.total` counts, a
bound of 0 is a bound, and a file without a bound is no gate.
"""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeAlias

import yaml

from toolkit.errors import CallError
from toolkit.reports.files import read_capped
from toolkit.reports.hdf import Finding, Report, Severity, Status, Summary, summarise
from toolkit.reports.text import visible

#: Bytes. A file that lists every control of a large baseline has some 20 kB.
MAX_SIZE = 2**20

#: SAF's names of the statuses.
STATUSES: Mapping[str, Status] = {
    "passed": Status.PASSED,
    "failed": Status.FAILED,
    "skipped": Status.NOT_REVIEWED,
    "error": Status.PROFILE_ERROR,
    "no_impact": Status.NOT_APPLICABLE,
}

Number: TypeAlias = int | float

_TOTAL = "total"
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,11})")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,11})\.[0-9]{1,12}")
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class Bounds:
    """What one figure must keep to; None is no bound.

    `minimum`, `maximum` and `exactly` are per cent for the compliance and numbers of controls elsewhere;
    `controls` are the ids of exactly those controls that must be there.
    """

    minimum: Number | None = None
    maximum: Number | None = None
    exactly: int | None = None
    controls: frozenset[str] | None = None


@dataclass(frozen=True)
class Threshold:
    """A gate: bounds of the compliance, and of the controls of a status, of one severity or (None) in all."""

    compliance: Bounds
    counts: Mapping[tuple[Status, Severity | None], Bounds]


@dataclass(frozen=True)
class Check:
    """One bound applied: `key` as in the file ("failed.high.max"), what it asks for, what there was.

    `bound` and `value` are numbers, or ids where the key ends in `controls`. `controls` are the ids that
    broke the bound: all where there are too many, those that kept the compliance down, or those on one of two
    lists only. A bound that was met, or a minimum of controls that are not there, names none.
    """

    key: str
    bound: Number | tuple[str, ...]
    value: Number | tuple[str, ...]
    met: bool
    controls: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """The outcome of a gate: every bound of the file, in a fixed order."""

    checks: tuple[Check, ...]

    @property
    def met(self) -> bool:
        """Whether every bound was met."""
        return all(check.met for check in self.checks)

    @property
    def broken(self) -> tuple[Check, ...]:
        """The checks that were not met."""
        return tuple(check for check in self.checks if not check.met)


def load(path: Path) -> Threshold:
    """Read a threshold file of at most `MAX_SIZE` bytes; raises `CallError` as `parse` does."""
    return parse(read_capped(path, MAX_SIZE, "threshold file"), str(path))


def parse(data: bytes, source: str) -> Threshold:
    """Read a threshold from bytes (YAML in UTF-8); `source` names it in messages.

    Raises `CallError`, in one line with line and column, at the first of: no YAML, unknown key, key given
    twice, wrong type, impossible bound (negative, per cent above 100, minimum above maximum), not one bound.
    """
    return _Reader(visible(source)).read(data)


def judge(threshold: Threshold, report: Report) -> Verdict:
    """Hold a report (as `hdf.load` returns it) against a threshold; every bound is checked."""
    summary = summarise(report)
    checks = list(_judge_compliance(threshold.compliance, summary))
    for name, status in STATUSES.items():
        for severity in (None, *Severity):
            bounds = threshold.counts.get((status, severity))
            if bounds is not None:
                key = f"{name}.{severity.value if severity else _TOTAL}"
                checks.extend(_judge_count(key, bounds, summary.of(status, severity)))
    return Verdict(tuple(checks))


def _judge_compliance(bounds: Bounds, summary: Summary) -> Iterator[Check]:
    value = summary.compliance
    if bounds.minimum is not None:
        kept_down = (Status.FAILED, Status.NOT_REVIEWED, Status.PROFILE_ERROR)
        missing = _ids(finding for finding in summary.findings if finding.status in kept_down)
        yield _check("compliance.min", bounds.minimum, value, value >= bounds.minimum, missing)
    if bounds.maximum is not None:
        passed = _ids(summary.of(Status.PASSED))
        yield _check("compliance.max", bounds.maximum, value, value <= bounds.maximum, passed)


def _judge_count(key: str, bounds: Bounds, findings: tuple[Finding, ...]) -> Iterator[Check]:
    there = _ids(findings)
    value = len(findings)
    if bounds.exactly is not None:
        too_many = there if value > bounds.exactly else ()
        yield _check(key, bounds.exactly, value, value == bounds.exactly, too_many)
    if bounds.minimum is not None:
        yield _check(f"{key}.min", bounds.minimum, value, value >= bounds.minimum, ())
    if bounds.maximum is not None:
        yield _check(f"{key}.max", bounds.maximum, value, value <= bounds.maximum, there)
    if bounds.controls is not None:
        wanted = tuple(sorted(bounds.controls))
        # Compared as lists: an id that two controls bear is there twice, and a set would hide one.
        met = sorted(there) == list(wanted)
        missing = sorted(bounds.controls.difference(there))
        unwanted = [
            each for each, number in Counter(there).items() if number > 1 or each not in bounds.controls
        ]
        odd = (*missing, *unwanted)
        yield _check(f"{key}.controls", wanted, there, met, odd)


def _check(
    key: str,
    bound: Number | tuple[str, ...],
    value: Number | tuple[str, ...],
    met: bool,
    controls: tuple[str, ...],
) -> Check:
    return Check(key, bound, value, met, () if met else controls)


def _ids(findings: Iterable[Finding]) -> tuple[str, ...]:
    return tuple(finding.id for finding in findings)


#: A key of the file with the node that says where it stands, and its value.
_Entry: TypeAlias = tuple[yaml.Node, yaml.Node]


class _Reader:
    """One reading of one file; it works on YAML's nodes because only they know their line and column."""

    def __init__(self, source: str) -> None:
        self.source = source

    def read(self, data: bytes) -> Threshold:
        entries = self._entries(_nested(self._root(data)), "the file")
        self._known(entries, ("compliance", *STATUSES), "a threshold file")
        compliance = Bounds()
        if "compliance" in entries:
            compliance = self._bounds(entries.pop("compliance")[1], "compliance", percent=True)
        counts: dict[tuple[Status, Severity | None], Bounds] = {}
        for name, (_, node) in entries.items():
            for severity, bounds in self._status(node, name):
                counts[STATUSES[name], severity] = bounds
        if all(bounds == Bounds() for bounds in (compliance, *counts.values())):
            raise CallError(
                f"the threshold file {self.source} sets no bound", "set one, such as compliance: {min: 80}"
            )
        return Threshold(compliance, counts)

    def _root(self, data: bytes) -> yaml.Node:
        try:
            node = yaml.compose(data.decode("utf-8-sig"), Loader=yaml.SafeLoader)
        except UnicodeDecodeError as error:
            raise CallError(
                f"the threshold file {self.source} is not UTF-8 (byte {error.start})", "save it as UTF-8"
            ) from error
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
            problem = getattr(error, "problem", None) or "a character that YAML does not allow"
            raise CallError(
                f"{self.source}{where}: no YAML: {visible(str(problem), 200)}", "correct the threshold file"
            ) from error
        except (ValueError, OverflowError) as error:  # of chr() and int(), which PyYAML lets out
            raise CallError(
                f"{self.source}: no YAML: an escape or a version that is none", "correct the threshold file"
            ) from error
        except RecursionError as error:
            raise CallError(
                f"the threshold file {self.source} is nested too deep", "use the documented keys"
            ) from error
        if node is None:
            raise CallError(
                f"the threshold file {self.source} is empty", "set a bound, such as compliance: {min: 80}"
            )
        return node

    def _status(self, node: yaml.Node, name: str) -> Iterator[tuple[Severity | None, Bounds]]:
        entries = self._entries(node, name)
        self._known(entries, (_TOTAL, *Severity), name)
        for key, (_, value) in entries.items():
            where = f"{name}.{key}"
            if key == _TOTAL:
                yield None, self._total(value, where)
            else:
                yield Severity(key), self._bounds(value, where, controls=True)

    def _total(self, node: yaml.Node, where: str) -> Bounds:
        if isinstance(node, yaml.MappingNode):
            return self._bounds(node, where)
        return Bounds(exactly=int(self._number(node, where)))

    def _bounds(
        self, node: yaml.Node, where: str, *, percent: bool = False, controls: bool = False
    ) -> Bounds:
        entries = self._entries(node, where)
        self._known(entries, ("min", "max", "controls") if controls else ("min", "max"), where)
        minimum, maximum = (
            self._number(entries[key][1], f"{where}.{key}", percent=percent) if key in entries else None
            for key in ("min", "max")
        )
        if minimum is not None and maximum is not None and minimum > maximum:
            self._fail(
                entries["max"][1],
                f"{where}.max is {maximum}, below {where}.min, which is {minimum}",
                "swap them",
            )
        listed = self._ids(entries["controls"][1], f"{where}.controls") if "controls" in entries else None
        return Bounds(minimum, maximum, controls=listed)

    def _number(self, node: yaml.Node, where: str, *, percent: bool = False) -> Number:
        value = _as_number(node, decimals=percent)
        if value is None:
            kind = "a number" if percent else "a whole number"
            self._fail(node, f"{where} is {_shown(node)}, not {kind}", f"write {kind}, without quotes")
        if value < 0:
            self._fail(node, f"{where} is {value}, which is negative", "write 0 or more")
        if percent and value > 100:
            self._fail(node, f"{where} is {value}, which is more than 100 per cent", "write 100 or less")
        return value

    def _ids(self, node: yaml.Node, where: str) -> frozenset[str]:
        if not isinstance(node, yaml.SequenceNode):
            self._fail(node, f"{where} is {_shown(node)}, not a list", "write a list of control ids")
        ids: set[str] = set()
        for item in node.value:
            # An id such as 1.10 is a number to YAML: what is written counts, not what it would become.
            if not isinstance(item, yaml.ScalarNode) or item.tag == f"{_TAG}null" or not item.value:
                self._fail(item, f"{where} holds {_shown(item)}, not a control id", "write ids only")
            if item.value in ids:
                self._fail(item, f"{where} names {_shown(item)} twice", "name each control once")
            ids.add(item.value)
        return frozenset(ids)

    def _entries(self, node: yaml.Node, where: str) -> dict[str, _Entry]:
        """Return a mapping's members by key, in order."""
        if not isinstance(node, yaml.MappingNode):
            self._fail(node, f"{where} is {_shown(node)}, not a mapping", "write `key: value` lines")
        entries: dict[str, _Entry] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._fail(key, f"{where} has a key that is {_shown(key)}", "use the documented keys")
            if key.value in entries:
                line = entries[key.value][0].start_mark.line + 1
                name = visible(key.value, 60)
                self._fail(key, f"key {name!r} was given before, in line {line}", "leave one")
            entries[key.value] = (key, value)
        return entries

    def _known(self, entries: Mapping[str, _Entry], keys: Iterable[str], where: str) -> None:
        keys = [str(key) for key in keys]
        for name, (key, _) in entries.items():
            if name not in keys:
                close = difflib.get_close_matches(name, keys, n=1)
                remedy = f"did you mean {close[0]}?" if close else f"the keys there are {', '.join(keys)}"
                self._fail(key, f"unknown key {visible(name, 60)!r} in {where}", remedy)

    def _fail(self, node: yaml.Node, problem: str, remedy: str) -> NoReturn:
        mark = node.start_mark
        raise CallError(f"{self.source}:{mark.line + 1}:{mark.column + 1}: {problem}", remedy)


def _as_number(node: yaml.Node, *, decimals: bool) -> Number | None:
    """Return the number, or None: YAML 1.1's octal, sexagesimal and underscored ones differ in YAML 1.2."""
    if not isinstance(node, yaml.ScalarNode):
        return None
    if node.tag == f"{_TAG}int" and _INTEGER.fullmatch(node.value):
        return int(node.value)
    if decimals and node.tag == f"{_TAG}float" and _DECIMAL.fullmatch(node.value):
        value = float(node.value)
        return value if math.isfinite(value) else None
    return None


def _nested(root: yaml.Node) -> yaml.Node:
    """Return the root with SAF's flat spelling (every key dotted) turned into the nested one."""
    if not isinstance(root, yaml.MappingNode) or not root.value:
        return root
    if not all(isinstance(key, yaml.ScalarNode) and "." in key.value for key, _ in root.value):
        return root
    flat = [(key.value.split(".", 3), key, value) for key, value in root.value]
    return yaml.MappingNode(root.tag, _nest(flat), *_marks(root))


def _nest(flat: list[tuple[list[str], yaml.Node, yaml.Node]]) -> list[_Entry]:
    groups: dict[str, list[tuple[list[str], yaml.Node, yaml.Node]]] = {}
    for (head, *rest), key, value in flat:
        groups.setdefault(head, []).append((rest, key, value))
    members: list[_Entry] = []
    for head, group in groups.items():
        for rest, key, value in group:
            if not rest:
                members.append((yaml.ScalarNode(f"{_TAG}str", head, *_marks(key)), value))
        inner = [each for each in group if each[0]]
        if inner:
            marks = _marks(inner[0][1])
            mapping = yaml.MappingNode(f"{_TAG}map", _nest(inner), *marks)
            members.append((yaml.ScalarNode(f"{_TAG}str", head, *marks), mapping))
    return members


def _marks(node: yaml.Node) -> tuple[yaml.Mark, yaml.Mark]:
    return node.start_mark, node.end_mark


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    if node.tag == f"{_TAG}null":
        return "empty"
    return repr(visible(str(node.value), 60))
