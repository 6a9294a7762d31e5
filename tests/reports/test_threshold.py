from __future__ import annotations

import operator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.reports.builders import control, profile, report, reports
from toolkit.errors import CallError
from toolkit.reports import threshold
from toolkit.reports.hdf import Severity, Status, control_severity, control_status
from toolkit.reports.threshold import STATUSES, Bounds

EVERYTHING = b"""
compliance: {min: 79.5, max: 100}
passed:
  total: {min: 1, max: 9}
  critical: {min: 0, max: 1, controls: [a]}
failed:
  total: 0
  high: {max: 0}
skipped:
  total: {max: 3}
  medium: {controls: []}
error:
  low: {min: 0}
no_impact:
  total: 2
  none: {min: 1, max: 2, controls: [1.10, "x y"]}
"""


def test_every_key_is_read() -> None:
    read = threshold.parse(EVERYTHING, "t.yml")
    assert read.compliance == Bounds(79.5, 100)
    assert read.counts == {
        (Status.PASSED, None): Bounds(1, 9),
        (Status.PASSED, Severity.CRITICAL): Bounds(0, 1, controls=frozenset({"a"})),
        (Status.FAILED, None): Bounds(exactly=0),
        (Status.FAILED, Severity.HIGH): Bounds(maximum=0),
        (Status.NOT_REVIEWED, None): Bounds(maximum=3),
        (Status.NOT_REVIEWED, Severity.MEDIUM): Bounds(controls=frozenset()),
        (Status.PROFILE_ERROR, Severity.LOW): Bounds(0),
        (Status.NOT_APPLICABLE, None): Bounds(exactly=2),
        (Status.NOT_APPLICABLE, Severity.NONE): Bounds(1, 2, controls=frozenset({"1.10", "x y"})),
    }


def test_the_flat_spelling_is_the_same_gate() -> None:
    flat = (
        b"compliance.min: 80\nfailed.total: 1\nfailed.high.min: 0\nfailed.high.max: 2\nerror.total.max: 0\n"
    )
    nested = b"compliance: {min: 80}\nfailed: {total: 1, high: {min: 0, max: 2}}\nerror: {total: {max: 0}}\n"
    assert threshold.parse(flat, "t") == threshold.parse(nested, "t")


def test_a_file_is_read_with_and_without_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "t.yml").write_bytes(b"\xef\xbb\xbf" + EVERYTHING)
    assert threshold.load(tmp_path / "t.yml") == threshold.parse(EVERYTHING, "t")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("failled: {total: 0}", "t:1:1: unknown key 'failled' in a threshold file → did you mean failed?"),
        ("failed:\n  total: {max: 1}\n  hihg: {max: 0}", "t:3:3: unknown key 'hihg' in failed"),
        ("failed:\n  high:\n    mix: 0", "t:3:5: unknown key 'mix' in failed.high"),
        ("failed: {total: {controls: [a]}}", "unknown key 'controls' in failed.total"),
        ("compliance: {min: 1, controls: []}", "unknown key 'controls' in compliance"),
        ("compliance.min: 1\nfailed.tutal: 3", "t:2:1: unknown key 'tutal' in failed"),
        ("failed.total.max.more: 1", "t:1:1: failed.total.max is a mapping, not a whole number"),
        ("failed.total.max.even.more: 1", "t:1:1: failed.total.max is a mapping, not a whole number"),
        ("compliance.min: 1\nfailed: {total: 0}", "unknown key 'compliance.min'"),
        ("failed.total: 1\nfailed.total.max: 2", "t:2:1: key 'total' was given before, in line 1"),
        ("failed.: {max: 1}", "unknown key ''"),
        ("failed: {total: 0}\nfailed: {total: 1}", "t:2:1: key 'failed' was given before, in line 1"),
        ("failed: {high: {max: 1, max: 2}}", "t:1:25: key 'max' was given before, in line 1"),
        ("failed: {high: {max: '0'}}", "t:1:22: failed.high.max is '0', not a whole number"),
        ("failed: {high: {max: 0.5}}", "failed.high.max is '0.5', not a whole number"),
        ("failed: {high: {max: yes}}", "failed.high.max is 'yes', not a whole number"),
        ("failed: {high: {max: 010}}", "failed.high.max is '010', not a whole number"),
        ("failed: {high: {max: 1_000}}", "not a whole number"),
        ("failed: {high: {max: }}", "failed.high.max is empty, not a whole number"),
        ("failed: {high: {max: [1]}}", "failed.high.max is a list, not a whole number"),
        ("failed: {total: many}", "failed.total is 'many', not a whole number"),
        ("failed: {high: 3}", "t:1:16: failed.high is '3', not a mapping"),
        ("failed: 3", "t:1:9: failed is '3', not a mapping"),
        ("failed:", "t:1:8: failed is empty, not a mapping"),
        ("- failed", "t:1:1: the file is a list, not a mapping"),
        ("compliance: {min: .inf}", "compliance.min is '.inf', not a number"),
        ("compliance: {min: .nan}", "compliance.min is '.nan', not a number"),
        ("compliance: {min: 100.5}", "t:1:19: compliance.min is 100.5, which is more than 100 per cent"),
        ("compliance: {max: -1}", "compliance.max is -1, which is negative"),
        ("failed: {total: -1}", "failed.total is -1, which is negative"),
        ("failed: {low: {max: 1, min: 2}}", "t:1:21: failed.low.max is 1, below failed.low.min, which is 2"),
        ("failed: {low: {controls: a}}", "failed.low.controls is 'a', not a list"),
        ("failed: {low: {controls: [[a]]}}", "failed.low.controls holds a list, not a control id"),
        ("failed: {low: {controls: [~]}}", "failed.low.controls holds empty, not a control id"),
        ("failed: {low: {controls: ['']}}", "not a control id"),
        ("failed: {low: {controls: [a, b, a]}}", "t:1:33: failed.low.controls names 'a' twice"),
        ("failed: {? [a] : 1}", "has a key that is a list"),
        ("failed: &a {low: *a}", "failed.low"),
        ("<<: {failed: {total: 0}}", "unknown key '<<'"),
        ("failed: !!python/name:os.system {total: 0}\nx: 1", "unknown key 'x'"),
        ("", "is empty"),
        ("# nothing", "is empty"),
        ("{}", "sets no bound"),
        ("failed: {high: {}}\npassed: {}", "sets no bound"),
        ("failed: {", "t:1:10: no YAML"),
        ("failed: {total: 0}\n---\nx: 1", "no YAML"),
        ("failed:\n\ttotal: 0", "t:2:1: no YAML"),
        ("a\x00b", "no YAML"),
        ("[" * 5000, "t is nested too deep"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, words: str) -> None:
    with pytest.raises(CallError) as caught:
        threshold.parse(text.encode(), "t")
    assert words in str(caught.value).replace("the threshold file ", "")
    assert str(caught.value).isprintable()


def test_what_is_not_utf8_is_refused() -> None:
    with pytest.raises(CallError, match=r"not UTF-8 \(byte 9\)"):
        threshold.parse(b"failed:  \xe4", "t")


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "ignore")))
def test_no_bytes_do_anything_but_be_read_or_refused_in_one_line(data: bytes) -> None:
    message = ""
    try:
        threshold.parse(data, "t")
    except CallError as error:
        message = str(error)
    assert not message or message.isprintable()


REPORT = report(
    profile(
        "p",
        control("p1", "passed", impact=0.7),
        control("p2", "passed", impact=0.5),
        control("f1", "failed", impact=0.7),
        control("f2", "failed", impact=0.5),
        control("s1", "skipped", impact=0.5),
        control("e1", "error", impact=0.5),
        control("n1", "failed", impact=0),
    )
)


@pytest.mark.parametrize(
    ("text", "key", "bound", "value", "controls"),
    [
        ("compliance: {min: 34}", "compliance.min", 34, 33, ("f1", "f2", "s1", "e1")),
        ("compliance: {max: 0}", "compliance.max", 0, 33, ("p1", "p2")),
        ("failed: {total: 1}", "failed.total", 1, 2, ("f1", "f2")),
        ("failed: {total: 3}", "failed.total", 3, 2, ()),
        ("failed: {total: {max: 0}}", "failed.total.max", 0, 2, ("f1", "f2")),
        ("failed: {high: {max: 0}}", "failed.high.max", 0, 1, ("f1",)),
        ("passed: {total: {min: 3}}", "passed.total.min", 3, 2, ()),
        ("skipped: {medium: {max: 0}}", "skipped.medium.max", 0, 1, ("s1",)),
        ("error: {total: 0}", "error.total", 0, 1, ("e1",)),
        ("no_impact: {total: 0}", "no_impact.total", 0, 1, ("n1",)),
        ("no_impact: {none: {max: 0}}", "no_impact.none.max", 0, 1, ("n1",)),
        (
            "failed: {high: {controls: [f1, f2]}}",
            "failed.high.controls",
            ("f1", "f2"),
            ("f1",),
            ("f2",),
        ),
        ("failed: {high: {controls: []}}", "failed.high.controls", (), ("f1",), ("f1",)),
    ],
)
def test_a_bound_that_is_broken_names_what_broke_it(
    text: str, key: str, bound: object, value: object, controls: tuple[str, ...]
) -> None:
    verdict = threshold.judge(threshold.parse(text.encode(), "t"), REPORT)
    assert not verdict.met
    (check,) = verdict.broken
    assert (check.key, check.bound, check.value, check.controls) == (key, bound, value, controls)


@pytest.mark.parametrize(
    "text",
    [
        "compliance: {min: 33, max: 33}",
        "failed: {total: 2, high: {min: 1, max: 1, controls: [f1]}}",
        "no_impact: {total: {min: 1, max: 1}, none: {controls: [n1]}, high: {max: 0}}",
        "passed: {critical: {max: 0}}",
    ],
)
def test_a_bound_that_is_kept_names_nothing(text: str) -> None:
    verdict = threshold.judge(threshold.parse(text.encode(), "t"), REPORT)
    assert verdict.met
    assert verdict.broken == ()
    assert all(check.controls == () for check in verdict.checks)


def test_two_controls_of_one_id_are_not_one_of_a_list() -> None:
    twice = report(profile("p", control("a", "failed")), profile("q", control("a", "failed")))
    verdict = threshold.judge(threshold.parse(b"failed: {medium: {controls: [a]}}", "t"), twice)
    assert not verdict.met
    assert verdict.broken[0].controls == ("a",)


def test_an_empty_report_has_no_compliance() -> None:
    assert not threshold.judge(threshold.parse(b"compliance: {min: 1}", "t"), report()).met


_bounds = st.fixed_dictionaries({}, optional={"min": st.integers(0, 4), "max": st.integers(0, 4)}).filter(
    lambda each: each.get("min", 0) <= each.get("max", 4)
)
_cell = st.builds(
    lambda bounds, ids: bounds | ({"controls": ids} if ids is not None else {}),
    _bounds,
    st.none() | st.lists(st.sampled_from([f"c{i}" for i in range(6)]), unique=True, max_size=3),
)
_status = st.fixed_dictionaries(
    {}, optional={"total": st.integers(0, 6) | _bounds, **{each.value: _cell for each in Severity}}
)
_gates = st.fixed_dictionaries({}, optional={"compliance": _bounds, **dict.fromkeys(STATUSES, _status)})


def _expected(gate: dict[str, Any], document: dict[str, Any]) -> list[bool]:
    """Judge by hand: each bound of the gate on the controls as they are, without the code that is tested."""
    controls = document["profiles"][0]["controls"]
    by_status = {
        name: [each for each in controls if control_status(each) is status]
        for name, status in STATUSES.items()
    }
    tests = {"min": operator.ge, "max": operator.le}
    met = []
    for name, severities in gate.items():
        if name == "compliance":
            considered = len(controls) - len(by_status["no_impact"])
            share = int(100 * len(by_status["passed"]) / considered + 0.5) if considered else 0
            met += [tests[word](share, bound) for word, bound in severities.items()]
            continue
        for severity, bounds in severities.items():
            cell = [
                each["id"] for each in by_status[name] if severity in {"total", control_severity(each).value}
            ]
            if isinstance(bounds, int):
                met.append(len(cell) == bounds)
                continue
            for word, bound in bounds.items():
                met.append(set(cell) == set(bound) if word == "controls" else tests[word](len(cell), bound))
    return met


@given(_gates, reports())
def test_the_verdict_is_that_of_every_single_bound(gate: dict[str, Any], document: dict[str, Any]) -> None:
    expected = _expected(gate, document)
    data = yaml.safe_dump(gate).encode()
    if not expected:
        with pytest.raises(CallError):
            threshold.parse(data, "t")
        return
    verdict = threshold.judge(threshold.parse(data, "t"), document)
    assert sorted(check.met for check in verdict.checks) == sorted(expected)
    assert verdict.met is all(expected)
