"""What a pass must rest on, told from a report without barescan's own code for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def check_pass(report: Mapping[str, Any]) -> None:
    """Raise AssertionError when a report in HDF can't be the reason for exit status 0.

    Heimdall's rules (`inspecjs`), for reports in which no profile wraps another: a control counts as passed
    with a passed result and none that failed or broke; one with impact 0, or waived, does not apply.
    """
    profiles = report["profiles"]
    if any(profile.get("parent_profile") for profile in profiles):
        return  # which of several controls of one id counts is told by the tests of `summarise`
    controls = [control for profile in profiles for control in profile["controls"]]
    assert controls, "a pass without a control"
    assert any(map(_passed, controls)), "a pass in which nothing passed"
    for control in controls:
        assert _passed(control) or _does_not_apply(control), f"a pass with {control}"
    assert not any(profile.get("status") == "failed" for profile in profiles)


def _statuses(control: Mapping[str, Any]) -> set[object]:
    results = control.get("results") or []
    return {"error" if each.get("backtrace") is not None else each.get("status") for each in results}


def _passed(control: Mapping[str, Any]) -> bool:
    return "passed" in _statuses(control) and not {"failed", "error"} & _statuses(control)


def _does_not_apply(control: Mapping[str, Any]) -> bool:
    waived = (control.get("waiver_data") or {}).get("skipped_due_to_waiver") is True
    return "error" not in _statuses(control) and (control["impact"] == 0 or waived)
