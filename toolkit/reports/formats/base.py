"""What all formats ask of a report, in types that hold whatever an engine wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import IO, NamedTuple, TypeAlias

from toolkit.reports import hdf
from toolkit.reports.hdf import Control, Finding, Profile, Report, Result

#: Writes a report to a stream of bytes.
Writer: TypeAlias = Callable[[Report, IO[bytes]], None]

#: Characters of one text in a format that people read; a text of megabytes makes no page or viewer usable.
MAX_TEXT = 65_536


class Judged(NamedTuple):
    """A control that counts, the profile it is from, and its verdict."""

    profile: Profile
    control: Control
    finding: Finding

    @property
    def results(self) -> list[Result]:
        """Its results, none where it has none."""
        return self.control.get("results") or []


def judged(report: Report) -> list[Judged]:
    """Return each control once with its verdict, in the report's order."""
    findings = hdf.summarise(report).findings
    return [
        Judged(profile, control, finding)
        for (profile, control), finding in zip(hdf.effective_controls(report), findings, strict=True)
    ]


def by_profile(controls: list[Judged]) -> list[tuple[Profile, list[Judged]]]:
    """Return the profiles that have controls, each with them."""
    groups: dict[int, list[Judged]] = {}  # by identity: two profiles may have one name
    for each in controls:
        groups.setdefault(id(each.profile), []).append(each)
    return [(group[0].profile, group) for group in groups.values()]


def target_of(report: Report) -> str:
    """Return what was scanned, as the user named it; empty where the report does not say."""
    return str((report.get("platform") or {}).get("target_id") or "")


def title_of(profile: Profile) -> str:
    """Return what a profile calls itself."""
    return str(profile.get("title") or profile["name"])


def said(result: Result) -> str:
    """Return what a result says beyond its test: why it failed, was skipped or broke."""
    return next((result[key] for key in ("message", "skip_message", "exception") if result.get(key)), "")


def nist_of(control: Control) -> list[str]:
    """Return the tag `nist`: controls of NIST SP 800-53."""
    tags = (control.get("tags") or {}).get("nist")
    return [each for each in tags if isinstance(each, str)] if isinstance(tags, list) else []


def descriptions(control: Control) -> dict[str, str]:
    """Return further texts of a control by their labels ("check", "fix").

    HDF has them as pairs of `label` and `data`, older reports as one object; `fix` and `check` may be tags.
    """
    found = {label: text for label, text in _labelled(control.get("descriptions")) if text}
    tags = control.get("tags") or {}
    found |= {
        label: tags[label]
        for label in ("check", "fix")
        if label not in found and isinstance(tags.get(label), str) and tags[label]
    }
    return found


def _labelled(given: object) -> Iterator[tuple[str, str]]:
    pairs: list[tuple[object, object]] = []
    if isinstance(given, dict):
        pairs = list(given.items())
    elif isinstance(given, list):
        pairs = [(each.get("label"), each.get("data")) for each in given if isinstance(each, dict)]
    for label, text in pairs:
        if isinstance(label, str) and isinstance(text, str):
            yield label, text


def seconds(results: list[Result]) -> float:
    """Return how long results took in all; what is no time (negative, not a number) counts nothing."""
    times = [result.get("run_time") for result in results]
    return float(
        sum(
            time
            for time in times
            if isinstance(time, int | float) and not isinstance(time, bool) and 0 <= time < 1e9
        )
    )
