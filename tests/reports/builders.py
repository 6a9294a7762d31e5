"""Small reports to test with, and Hypothesis' way to make many."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

HOSTILE = (
    "\x1b[31mred\x1b[0m [bold]not markup[/bold] [/] \u202eevil\u202c \x00\x07 \x9b2J :skull: a\nb\r\tend"
)
"""What a target could put into any text: ANSI and C1 controls, rich markup, bidirectional overrides."""


def result(status: str | None = "passed", **members: Any) -> dict[str, Any]:
    """Return one result."""
    return {"status": status, "code_desc": "a test", "start_time": "2026-01-01T00:00:00Z", **members}


def control(control_id: str, *statuses: str | None, impact: float = 0.5, **members: Any) -> dict[str, Any]:
    """Return one control with a result of each status."""
    return {
        "id": control_id,
        "title": f"Title of {control_id}",
        "desc": "",
        "impact": impact,
        "tags": {},
        "refs": [],
        "source_location": {},
        "results": [result(status) for status in statuses],
        **members,
    }


def profile(name: str, *controls: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Return one profile."""
    return {
        "name": name,
        "sha256": "",
        "supports": [],
        "attributes": [],
        "groups": [],
        "controls": list(controls),
        **members,
    }


def report(*profiles: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Return a whole report."""
    return {
        "platform": {"name": "debian", "release": "12", "target_id": "pid://1"},
        "version": "5.22.97",
        "statistics": {"duration": 0.1},
        "profiles": list(profiles),
        **members,
    }


statuses = st.lists(st.sampled_from(["passed", "failed", "skipped", "error", None]), max_size=4)
impacts = st.sampled_from([0, 0.0, 0.05, 0.1, 0.3, 0.4, 0.5, 0.69, 0.7, 0.89, 0.9, 1.0, 1])
tags = st.fixed_dictionaries(
    {},
    optional={
        "severity": st.sampled_from(["low", "Medium", "HIGH", "unknown", "none", 3, None]),
        "severityoverride": st.sampled_from(["critical", "bogus", "low"]),
    },
)


@st.composite
def reports(draw: st.DrawFn) -> dict[str, Any]:
    """Make reports of one profile with controls of every status and severity."""
    drawn = draw(st.lists(st.tuples(statuses, impacts, tags), max_size=12))
    return report(
        profile(
            "p",
            *(control(f"c{number}", *s, impact=i, tags=t) for number, (s, i, t) in enumerate(drawn)),
        )
    )
