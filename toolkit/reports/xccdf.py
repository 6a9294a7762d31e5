"""From XCCDF 1.2 results, as `oscap xccdf eval --results` writes them, to a report in HDF.

The file holds the benchmark (all its rules) and a TestResult; a lone TestResult and an asset report (ARF) are
read as well. It is streamed: an element is dropped as soon as it is read. What a result means follows XCCDF
1.2 (NIST IR 7275 rev. 4) and, where HDF leaves a choice, the mapper of Heimdall and of `saf convert
xccdf_results2hdf`. The facts about the machine in it (addresses, host names) are those of where the engine
ran and not the target's, and are left out.
"""

from __future__ import annotations

import contextlib
import gc
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO, NamedTuple

from lxml.etree import XMLSyntaxError, iterparse
from lxml.etree import _Element as Element

from toolkit.errors import ScanError
from toolkit.reports.hdf import Control, Report, Result
from toolkit.reports.text import visible

#: Bytes. Debian's and Ubuntu's content gives 7 to 9 MB, an asset report of the largest benchmark some 60 MB.
MAX_SIZE = 256 * 2**20

#: Levels of nesting; benchmarks have about a dozen groups in groups, and mark-up within.
MAX_DEPTH = 100

#: Characters of one text; scripts that fix a rule are the longest, with some 20 000.
MAX_TEXT = 65_536

_NAMESPACE = "{http://checklists.nist.gov/xccdf/1.2}"

#: Impact by XCCDF severity. To fail a rule of severity "info" is no failure to conform (XCCDF 1.2, severity).
_IMPACTS: Mapping[str, float] = {"high": 0.7, "medium": 0.5, "low": 0.3, "unknown": 0.5, "info": 0.0}


class _Meaning(NamedTuple):
    """What an XCCDF result is in HDF: its status, the words when the engine has none, whether it applies."""

    status: str
    words: str
    applies: bool = True


#: The tag of a control whose rule was run although the profile does not select it (`oscap --rule`).
NOT_OF_PROFILE = "not_of_profile"

_NOT_SELECTED = "notselected"
_MEANINGS: Mapping[str, _Meaning] = {
    "pass": _Meaning("passed", ""),
    "fixed": _Meaning("passed", "the rule had failed and was fixed"),
    "fail": _Meaning("failed", "the check found that the rule is not met"),
    "error": _Meaning("error", "the engine could not evaluate the check"),
    "unknown": _Meaning("error", "the engine could not tell whether the rule is met"),
    "notchecked": _Meaning("skipped", "the engine did not evaluate any check of the rule"),
    "notapplicable": _Meaning("skipped", "the rule does not apply to this target", applies=False),
    "informational": _Meaning("skipped", "the rule only informs and is not judged", applies=False),
}

#: What kind of identifier a reference or ident is, by its text, else by address and text.
_BY_TEXT = (
    ("cci", re.compile(r"CCI-\d{6}")),
    ("srg", re.compile(r"SRG-[A-Z]+-\d{6}(?:-[A-Z]+-\d{6}|-[A-Z]+-\d{5})?")),
    ("cce", re.compile(r"CCE-\d{4,}-\d")),
    ("rid", re.compile(r"SV-\d+r\d+_rule")),
)
_BY_ADDRESS = (
    ("nist", "800-53", re.compile(r"[A-Z]{2}-\d{1,2}(?:[ (].*)?")),
    ("cis", "cisecurity.org/benchmark", re.compile(r"\d.*")),
    ("anssi", "cyber.gouv.fr", re.compile(r"R\d+.*")),
    ("stig_id", "cyber.mil/stigs/downloads", re.compile(r"[A-Z0-9]{2,8}-[A-Z0-9]{2}-\d{4,6}")),
)

#: Tags that Heimdall and `saf convert hdf2ckl` expect as one string; the others are lists.
_SINGLE = frozenset({"rid", "stig_id"})

#: Mark-up that begins a line of its own.
_BLOCKS = frozenset({"br", "p", "pre", "li", "ul", "ol", "tr", "table", "div", "h1", "h2", "h3", "h4"})

_DISCUSSION = re.compile(r"<VulnDiscussion>(.*?)</VulnDiscussion>", re.DOTALL)


def xccdf_to_hdf(stream: BinaryIO, *, engine_version: str, target: str) -> Report:
    """Return the report of the last TestResult in an XCCDF 1.2 result file.

    `stream` yields the XML, at most `MAX_SIZE` bytes; `engine_version` becomes the report's version, `target`
    (the URI that was scanned) its `platform.target_id`. A control is a rule, in the order of the results;
    rules that were not selected are left out; several results of a rule (instances, checks) are results of
    one control. A rule that does not apply, or only informs, has impact 0.

    Raises `ScanError` when it is no such file, or one that is not to be trusted: cut short, with a DTD or
    entities, nested deeper than `MAX_DEPTH`.
    """
    reader = _Reader()
    try:
        with _uncollected():
            _walk(_Capped(stream), reader)
    except XMLSyntaxError as error:
        raise _untrustworthy(f"it is no well-formed XML ({visible(str(error), 120)})") from error
    if reader.test is None:
        raise _untrustworthy("it has no TestResult of XCCDF 1.2")
    return _report(reader, reader.test, engine_version, target)


@dataclass
class _Rule:
    """What the benchmark says about a rule."""

    title: str = ""
    desc: str = ""
    severity: str = ""
    group: str = ""
    selected: bool = True
    descriptions: dict[str, str] = field(default_factory=dict)
    identifiers: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class _Test:
    """What a TestResult says."""

    attributes: Mapping[str, str]
    profile: str = ""
    platforms: list[str] = field(default_factory=list)
    values: list[tuple[str, str]] = field(default_factory=list)
    rules: dict[str, list[Element]] = field(default_factory=dict)


class _Reader:
    """Takes the elements that matter, one after the other."""

    def __init__(self) -> None:
        self.benchmark: dict[str, str] = {}
        self.profiles: dict[str, str] = {}
        self.groups: dict[str, str] = {}
        self.rules: dict[str, _Rule] = {}
        self.platforms: list[str] = []
        self.selects: dict[str, dict[str, bool]] = {}
        self.extends: dict[str, str] = {}
        self.test: _Test | None = None

    def begin(self, element: Element) -> None:
        """Take an element whose attributes alone are known yet."""
        if element.tag == f"{_NAMESPACE}TestResult":
            self.test = _Test({str(name): str(value) for name, value in element.attrib.items()})
        elif element.tag == f"{_NAMESPACE}Benchmark":
            self.benchmark["id"] = element.get("id", "")
        elif element.tag == f"{_NAMESPACE}Profile":
            self.selects[element.get("id", "")] = {}
            self.extends[element.get("id", "")] = element.get("extends", "")
        elif element.tag == f"{_NAMESPACE}select" and (parent := element.getparent()) is not None:
            chosen = self.selects.setdefault(parent.get("id", ""), {})
            chosen[element.get("idref", "")] = element.get("selected") in {"true", "1"}

    def selected(self, rule_id: str, profile: str) -> bool:
        """Say whether a profile selects a rule, by itself or by one that it extends; true when unknown."""
        seen = set[str]()
        while profile in self.selects and profile not in seen:
            seen.add(profile)
            if rule_id in self.selects[profile]:
                return self.selects[profile][rule_id]
            profile = self.extends.get(profile, "")
        return not seen or rule_id not in self.rules or self.rules[rule_id].selected

    @staticmethod
    def wants(element: Element, parent: Element | None) -> bool:
        """Whether an element is to be kept until it is complete."""
        name, above = _name(element), "" if parent is None else _name(parent)
        return (above, name) in _WANTED or name == "Rule"

    def take(self, element: Element, ancestors: list[Element]) -> None:
        """Take an element that is complete."""
        parent, name = ancestors[-1] if ancestors else element, _name(element)
        if name == "Rule":
            groups = (each.get("id", "") for each in reversed(ancestors) if _name(each) == "Group")
            self.rules[element.get("id", "")] = _read_rule(element, next(groups, ""))
        elif _name(parent) == "TestResult":
            self._take_from_test(element, name)
        elif _name(parent) == "Benchmark" and name == "platform":
            self.platforms.append(element.get("idref", ""))
        elif _name(parent) == "Benchmark":
            self.benchmark.setdefault(name, _text(element))
        else:
            titles = self.groups if _name(parent) == "Group" else self.profiles
            titles.setdefault(parent.get("id", ""), _text(element))

    def _take_from_test(self, element: Element, name: str) -> None:
        if self.test is None:
            return
        idref = element.get("idref", "")
        if name == "rule-result":
            if not idref:
                raise _untrustworthy("a result of it names no rule")
            self.test.rules.setdefault(idref, []).append(element)
        elif name == "profile":
            self.test.profile = idref
        elif name == "platform":
            self.test.platforms.append(idref)
        elif name == "set-value":
            self.test.values.append((idref, _text(element)))


_WANTED = frozenset(
    {
        ("Benchmark", "title"),
        ("Benchmark", "description"),
        ("Benchmark", "version"),
        ("Benchmark", "platform"),
        ("Profile", "title"),
        ("Group", "title"),
        ("TestResult", "profile"),
        ("TestResult", "platform"),
        ("TestResult", "set-value"),
        ("TestResult", "rule-result"),
    }
)


class _Capped:
    """A stream that ends in an error once it has given more than `MAX_SIZE` bytes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._given = 0

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, at most `size` (64 KiB when it is not given)."""
        data = self._stream.read(size if size >= 0 else 65_536)
        self._given += len(data)
        if self._given > MAX_SIZE:
            raise _untrustworthy(f"it is larger than {MAX_SIZE} bytes")
        return data


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Hold the cyclic garbage collector off: there are no cycles, and it took 40 % of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _walk(stream: _Capped, reader: _Reader) -> None:
    """Hand the elements over as they end, and let go of them: memory holds what is kept and no more."""
    stack: list[Element] = []  # the element at hand and those around it, down to one that is kept
    depth = kept = 0  # the latter is that of the element that is being kept whole; 0 is none
    parsed = iterparse(
        stream,
        events=("start", "end"),
        load_dtd=False,
        no_network=True,
        resolve_entities=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    for event, element in parsed:
        if event == "start":
            if not stack and element.getroottree().docinfo.doctype:
                raise _untrustworthy("it has a DTD")
            depth += 1
            if depth > MAX_DEPTH:
                raise _untrustworthy(f"it is nested deeper than {MAX_DEPTH} levels")
            if kept:
                continue
            reader.begin(element)
            if reader.wants(element, stack[-1] if stack else None):
                kept = depth
            stack.append(element)
            continue
        depth -= 1
        if kept and depth >= kept:
            continue
        stack.pop()
        if kept:
            reader.take(element, stack)
            kept = 0
        if stack:
            stack[-1].remove(element)


def _read_rule(element: Element, group: str) -> _Rule:
    chosen = element.get("selected") not in {"false", "0"}
    rule = _Rule(severity=element.get("severity", ""), group=group, selected=chosen)
    warnings = []
    for child in element:
        name = _name(child)
        if name == "title":
            rule.title = rule.title or _text(child)
        elif name == "description":
            rule.desc = rule.desc or _discussion(_text(child))
        elif name == "rationale":
            rule.descriptions.setdefault("rationale", _text(child))
        elif name == "warning":
            warnings.append(_text(child))
        elif name in {"ident", "reference"}:
            rule.identifiers.append(_identifier(child))
    if warnings:
        rule.descriptions["caveat"] = "\n".join(warnings)[:MAX_TEXT]
    rule.descriptions["check"] = _check_text(element)
    rule.descriptions["fix"] = _fix_text(element)
    return rule


def _identifier(element: Element) -> tuple[str, str]:
    """Return where a reference or ident is from (address or system), and its text."""
    return element.get("href") or element.get("system") or "", _text(element)


def _check_text(rule: Element) -> str:
    manual = [_text(content) for content in rule.iter(f"{_NAMESPACE}check-content")]
    return "\n".join(text for text in manual if text)[:MAX_TEXT] or "\n".join(_checks(rule))


def _fix_text(rule: Element) -> str:
    """Return the words for people, else the shell script, else whatever script there is."""
    texts = [_text(element) for element in rule.iter(f"{_NAMESPACE}fixtext")]
    fixes = sorted(
        rule.iter(f"{_NAMESPACE}fix"), key=lambda fix: not fix.get("system", "").endswith("script:sh")
    )
    scripts = (_verbatim(fix)[:MAX_TEXT].strip() for fix in fixes)
    return next((text for text in (*texts, *scripts) if text), "")


def _checks(element: Element) -> list[str]:
    """Return what was or is to be evaluated: `oval:ssg-NAME:def:1 (FILE.xml)`; the target is never named."""
    found = []
    for reference in element.iter(f"{_NAMESPACE}check-content-ref"):
        name, href = reference.get("name", ""), reference.get("href", "")
        found.append(f"{name} ({href})" if name and href else name or href)
    return list(dict.fromkeys(text[:1000] for text in found if text))


def _discussion(text: str) -> str:
    """Return the discussion in a description of DISA's, which is escaped XML; others as they are."""
    found = _DISCUSSION.search(text)
    return found.group(1).strip() if found else text


def _report(reader: _Reader, test: _Test, engine_version: str, target: str) -> Report:
    controls = [
        control
        for rule_id, results in test.rules.items()
        if (control := _control(rule_id, results, reader)) is not None
    ]
    for control in controls:
        if not reader.selected(control["id"], test.profile):
            control["tags"][NOT_OF_PROFILE] = True
    name, release = _platform(test.platforms)
    return {
        "platform": {"name": name, "release": release, "target_id": target},
        "version": engine_version,
        "statistics": {"duration": _seconds(test.attributes)},
        "profiles": [
            {
                "name": test.profile or reader.benchmark.get("id") or "xccdf",
                "version": reader.benchmark.get("version") or test.attributes.get("version") or "",
                "title": reader.profiles.get(test.profile) or reader.benchmark.get("title") or "",
                "summary": reader.benchmark.get("description", ""),
                "sha256": "",
                "supports": [
                    {"platform": name} for name in dict.fromkeys(reader.platforms) if name.startswith("cpe:")
                ],
                "attributes": [{"name": key, "options": {"value": value}} for key, value in test.values],
                "groups": _groups(reader, controls),
                "status": "loaded",
                "controls": controls,
            }
        ],
    }


def _control(rule_id: str, elements: list[Element], reader: _Reader) -> Control | None:
    rule = reader.rules.get(rule_id, _Rule())
    selected = [(word, each) for each in elements if (word := _word(each)) != _NOT_SELECTED]
    if not selected:
        return None
    severity = selected[0][1].get("severity") or rule.severity or "unknown"
    applies = any(_meaning(word).applies for word, _ in selected)
    identifiers = [*rule.identifiers]
    identifiers += [_identifier(ident) for _, each in selected for ident in each.iter(f"{_NAMESPACE}ident")]
    group = {"gid": rule.group, "gtitle": reader.groups.get(rule.group, "")} if rule.group else {}
    return {
        "id": rule_id,
        "title": rule.title,
        "desc": rule.desc,
        "descriptions": [{"label": label, "data": data} for label, data in rule.descriptions.items() if data],
        "impact": _IMPACTS.get(severity, _IMPACTS["unknown"]) if applies else 0.0,
        "refs": _references(identifiers),
        "tags": {"severity": severity, **group, "xccdf_results": [word for word, _ in selected]}
        | _tags(identifiers),
        "code": "",
        "source_location": {},
        "results": [_result(word, each, rule) for word, each in selected],
    }


def _result(word: str, element: Element, rule: _Rule) -> Result:
    meaning = _meaning(word)
    checks = _checks(element)
    instances = [_text(each) for each in element.iter(f"{_NAMESPACE}instance")]
    said = "\n".join(_messages(element))[:MAX_TEXT] or meaning.words
    result: Result = {
        "status": meaning.status,
        "code_desc": " ".join([*checks, *instances])[:MAX_TEXT] or rule.title or element.get("idref", ""),
        "start_time": element.get("time", ""),
    }
    if said:
        result["skip_message" if meaning.status == "skipped" else "message"] = said
    return result


def _messages(element: Element) -> Iterator[str]:
    """Yield what the engine said, then what a script that checked the rule (SCE) printed."""
    for message in element.iter(f"{_NAMESPACE}message"):
        yield _text(message)
    for printed in element.iter(f"{_NAMESPACE}check-import"):
        text = _verbatim(printed).strip()
        if text:
            yield f"{printed.get('import-name', 'output')}: {text}"


def _word(element: Element) -> str:
    """Return the one word of a result; none where it has several, or mark-up in it, which XCCDF does not."""
    words = element.findall(f"{_NAMESPACE}result")
    return (words[0].text or "").strip() if len(words) == 1 and not len(words[0]) else ""


def _meaning(word: str) -> _Meaning:
    """Return what a result means; a word that XCCDF does not know is an error, never a pass."""
    return _MEANINGS.get(word) or _Meaning("error", f"the engine gave the unknown result {word[:40]!r}")


def _tags(identifiers: Iterable[tuple[str, str]]) -> dict[str, Any]:
    found: dict[str, list[str]] = {}
    for address, text in identifiers:
        kind = _kind(address, text)
        if kind and text not in found.setdefault(kind, []):
            found[kind].append(text)
    return {kind: texts[0] if kind in _SINGLE else texts for kind, texts in found.items()}


def _kind(address: str, text: str) -> str | None:
    for kind, pattern in _BY_TEXT:
        if pattern.fullmatch(text):
            return kind
    for kind, part, pattern in _BY_ADDRESS:
        if part in address and pattern.fullmatch(text):
            return kind
    return None


def _references(identifiers: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    by_address: dict[str, list[str]] = {}
    for address, text in identifiers:
        if text:
            by_address.setdefault(address, []).append(text)
    return [
        {"ref": ", ".join(dict.fromkeys(texts))} | ({"url": address} if "://" in address else {})
        for address, texts in by_address.items()
    ]


def _groups(reader: _Reader, controls: Iterable[Control]) -> list[dict[str, Any]]:
    members: dict[str, list[str]] = {}
    for control in controls:
        members.setdefault(control["tags"].get("gid", ""), []).append(control["id"])
    return [{"id": gid, "title": reader.groups.get(gid, ""), "controls": ids} for gid, ids in members.items()]


def _platform(idrefs: Iterable[str]) -> tuple[str, str]:
    """Return product and version of the one platform (CPE 2.2, `cpe:/o:VENDOR:PRODUCT:VERSION`) there is."""
    names = [idref.split(":") for idref in dict.fromkeys(idrefs) if idref.startswith("cpe:/")]
    if len(names) != 1 or len(names[0]) < 4:
        return "unknown", ""
    return names[0][3], names[0][4] if len(names[0]) > 4 else ""


def _seconds(attributes: Mapping[str, str]) -> float:
    """Return how long the test took, in oscap's whole seconds; 0 where a time is missing or wrong."""
    try:
        start, end = (datetime.fromisoformat(attributes[name]) for name in ("start-time", "end-time"))
        return max(0.0, (end - start).total_seconds())
    except (KeyError, ValueError, TypeError):
        return 0.0


def _name(element: Element) -> str:
    """Return an element's name when it is one of XCCDF, else nothing."""
    tag = str(element.tag)
    return tag.removeprefix(_NAMESPACE) if tag.startswith(_NAMESPACE) else ""


def _verbatim(element: Element) -> str:
    return "".join(map(str, element.itertext()))


def _text(element: Element) -> str:
    """Return an element's text, mark-up taken off, lines kept, at most `MAX_TEXT` characters."""
    text = ("".join(_pieces(element)) if len(element) else element.text or "")[:MAX_TEXT]
    if "\n" not in text:
        return " ".join(text.split())
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _pieces(element: Element) -> Iterator[str]:
    """Yield the pieces of a text; the recursion is bounded by `MAX_DEPTH`."""
    yield element.text or ""
    for child in element:
        name = str(child.tag).rpartition("}")[2]
        if name in _BLOCKS:
            yield "\n"
        yield from _pieces(child)
        yield child.tail or ""


def _untrustworthy(why: str) -> ScanError:
    return ScanError(
        f"the engine's result file is not to be trusted: {why}", "scan again; if it stays so, report it"
    )
