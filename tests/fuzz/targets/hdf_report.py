"""Reports that a user names: read, summed up, judged and shown."""

from __future__ import annotations

import io
import json

from rich.console import Console

from tests.fuzz.harness import Outcome, Target, mutate_json
from tests.fuzz.targets import inspec_report
from tests.reports.builders import control, profile, report
from toolkit.errors import CallError
from toolkit.reports import hdf, threshold
from toolkit.reports.console import print_summary

_GATE = threshold.parse(b"compliance: {min: 100}\nfailed: {total: {max: 0}}\nerror: {total: 0}\n", "gate")


def seeds() -> list[bytes]:
    overlay = profile("overlay", control("a", "passed"), control("b"))
    base = profile("base", control("a", "failed"), control("b", "skipped"), parent_profile="overlay")
    one = profile(
        "p", control("a", "passed", "skipped"), control("b", "error", impact=0.9, tags={"severity": "low"})
    )
    return [json.dumps(each).encode() for each in (report(one), report(overlay, base))]


def run(data: bytes) -> Outcome:
    """Read a report; a gate that asks for everything must not be met by one that is no pass."""
    found = hdf.parse(data, "report.json", CallError)
    summary = hdf.summarise(found)
    verdict = threshold.judge(_GATE, found)
    shown = io.StringIO()
    print_summary(Console(file=shown, width=100), found, verdict)
    assert "\x1b" not in shown.getvalue()
    shown.getvalue().encode()
    outcome = inspec_report.judge(found)
    if verdict.met:
        assert not summary.count(hdf.Status.FAILED) + summary.count(hdf.Status.PROFILE_ERROR)
        assert summary.count(hdf.Status.PASSED)
    return outcome


TARGET = Target(run, seeds, mutate_json)
