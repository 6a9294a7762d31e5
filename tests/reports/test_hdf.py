from __future__ import annotations

import json
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reports.builders import HOSTILE, control, profile, report, reports, result, statuses
from toolkit.errors import CallError, ScanError
from toolkit.reports import hdf
from toolkit.reports.hdf import Severity, Status


@pytest.mark.parametrize(
    ("given_statuses", "impact", "expected"),
    [
        (["passed", "failed", "error"], 0.5, Status.PROFILE_ERROR),
        (["passed", "error"], 0, Status.PROFILE_ERROR),
        (["failed"], 0.0, Status.NOT_APPLICABLE),
        ([], 0, Status.NOT_APPLICABLE),
        ([], 0.5, Status.PROFILE_ERROR),
        (["passed", "skipped", "failed"], 0.5, Status.FAILED),
        (["skipped", "passed"], 0.5, Status.PASSED),
        (["skipped", "skipped"], 0.5, Status.NOT_REVIEWED),
        ([None], 0.5, Status.PROFILE_ERROR),
        (["not_applicable"], 0.5, Status.PROFILE_ERROR),
    ],
)
def test_the_order_of_the_questions(given_statuses: list[str], impact: float, expected: Status) -> None:
    assert hdf.control_status(control("c", *given_statuses, impact=impact)) is expected


@pytest.mark.parametrize("backtrace", [[], ["x.rb:1"]])
def test_a_backtrace_is_an_error_even_where_the_result_passed(backtrace: list[str]) -> None:
    crashed = control("c", results=[result("passed", backtrace=backtrace)])
    assert hdf.control_status(crashed) is Status.PROFILE_ERROR
    assert hdf.control_status(control("c", results=[result(backtrace=None)])) is Status.PASSED


@pytest.mark.parametrize(
    ("waiver", "expected"),
    [
        ({"skipped_due_to_waiver": True}, Status.NOT_APPLICABLE),
        ({"skipped_due_to_waiver": False}, Status.FAILED),
        ({"skipped_due_to_waiver": "no"}, Status.FAILED),
        ({}, Status.FAILED),
        (None, Status.FAILED),
    ],
)
def test_only_a_waiver_that_skipped_excuses(waiver: object, expected: Status) -> None:
    assert hdf.control_status(control("c", "failed", waiver_data=waiver)) is expected


@pytest.mark.parametrize(
    ("tags", "impact", "expected"),
    [
        ({"severityoverride": "LOW", "severity": "high"}, 0.9, Severity.LOW),
        ({"severityoverride": "bogus", "severity": "High"}, 0.1, Severity.HIGH),
        ({"severity": "unknown"}, 0.7, Severity.HIGH),
        ({"severity": 7}, 0.69, Severity.MEDIUM),
        ({}, 1, Severity.CRITICAL),
        ({}, 0.9, Severity.CRITICAL),
        ({}, 0.4, Severity.MEDIUM),
        ({}, 0.39, Severity.LOW),
        ({}, 0.09, Severity.NONE),
        (None, 0, Severity.NONE),
    ],
)
def test_severity_comes_from_the_tags_then_from_the_impact(
    tags: Any, impact: float, expected: Severity
) -> None:
    assert hdf.control_severity(control("c", tags=tags, impact=impact)) is expected


@given(reports())
def test_every_control_counts_once_in_every_total(document: dict[str, Any]) -> None:
    summary = hdf.summarise(document)
    assert summary.total == len(document["profiles"][0]["controls"])
    assert sum(summary.count(status) for status in Status) == summary.total
    for status in Status:
        assert len(summary.of(status)) == summary.count(status)
        assert sum(summary.count(status, severity) for severity in Severity) == summary.count(status)


@given(statuses, st.permutations(range(4)))
def test_the_order_of_results_does_not_matter(given_statuses: list[str], order: list[int]) -> None:
    shuffled = [given_statuses[i] for i in order if i < len(given_statuses)]
    assert hdf.control_status(control("c", *given_statuses)) is hdf.control_status(control("c", *shuffled))


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_compliance_rounds_halves_up_and_leaves_out_what_does_not_apply(
    passed: int, failed: int, skipped: int, broken: int, outside: int
) -> None:
    controls = [
        *(control(f"p{i}", "passed") for i in range(passed)),
        *(control(f"f{i}", "failed") for i in range(failed)),
        *(control(f"s{i}", "skipped") for i in range(skipped)),
        *(control(f"e{i}") for i in range(broken)),
        *(control(f"n{i}", "failed", impact=0) for i in range(outside)),
    ]
    considered = passed + failed + skipped + broken
    exact = Decimal(100 * passed) / considered if considered else Decimal(0)
    expected = int(exact.quantize(Decimal(1), ROUND_HALF_UP))
    assert hdf.summarise(report(profile("p", *controls))).compliance == expected


@pytest.mark.parametrize(("passed", "failed", "expected"), [(1, 7, 13), (3, 5, 38), (1, 199, 1)])
def test_a_compliance_of_a_half_goes_up(passed: int, failed: int, expected: int) -> None:
    controls = [control("p", "passed")] * passed + [control("f", "failed")] * failed
    assert hdf.summarise(report(profile("p", *controls))).compliance == expected


def _ids(document: dict[str, Any]) -> list[tuple[str, str, Status]]:
    return [(each.profile, each.id, each.status) for each in hdf.summarise(document).findings]


def test_a_wrapped_control_counts_once_and_the_innermost_with_results_speaks() -> None:
    outer = profile("overlay", control("a"), control("own", "passed"), control("b", "passed"))
    middle = profile("middle", control("a"), control("b"), parent_profile="overlay")
    inner = profile(
        "base", control("a", "failed"), control("b"), control("left-out"), parent_profile="middle"
    )
    assert _ids(report(outer, middle, inner)) == [
        ("base", "a", Status.FAILED),
        ("overlay", "own", Status.PASSED),
        ("overlay", "b", Status.PASSED),
    ]
    assert sorted(_ids(report(inner, middle, outer))) == sorted(_ids(report(outer, middle, inner)))


def test_of_two_layers_with_results_the_inner_one_speaks() -> None:
    outer = profile("overlay", control("a", "passed"))
    inner = profile("base", control("a", "failed"), parent_profile="overlay")
    assert _ids(report(outer, inner)) == [("base", "a", Status.FAILED)]


def test_a_wrapped_profile_s_control_that_was_run_counts_though_the_overlay_left_it_out() -> None:
    outer = profile("overlay", control("a"))
    inner = profile("base", control("a", "passed"), control("b", "failed"), parent_profile="overlay")
    assert [(name, status) for _, name, status in _ids(report(outer, inner))] == [
        ("a", Status.PASSED),
        ("b", Status.FAILED),
    ]


def test_a_wrapped_control_that_never_ran_is_in_error() -> None:
    outer = profile("overlay", control("a"))
    inner = profile("base", control("a"), parent_profile="overlay")
    assert [status for *_, status in _ids(report(outer, inner))] == [Status.PROFILE_ERROR]


def test_profiles_that_know_nothing_of_each_other_do_not_share_controls() -> None:
    document = report(profile("p", control("a", "passed")), profile("q", control("a", "failed")))
    assert _ids(document) == [("p", "a", Status.PASSED), ("q", "a", Status.FAILED)]


def test_profiles_that_wrap_each_other_in_a_circle_still_count() -> None:
    document = report(
        profile("p", control("a", "passed"), parent_profile="r"),
        profile("q", control("a", "failed"), parent_profile="p"),
        profile("r", control("b", "passed"), control("c"), parent_profile="q"),
        profile("s", control("d"), parent_profile="s"),
    )
    assert _ids(document) == [
        ("r", "b", Status.PASSED),
        ("r", "c", Status.PROFILE_ERROR),
        ("s", "d", Status.PROFILE_ERROR),
        ("q", "a", Status.FAILED),
    ]


def test_a_long_chain_of_profiles_is_followed_and_a_longer_one_refused() -> None:
    names = [f"p{number}" for number in range(hdf.MAX_PROFILES + 1)]
    chain = [profile(name, control("a"), parent_profile=f"p{n - 1}") for n, name in enumerate(names)]
    chain[-2]["controls"][0]["results"].append(result("failed"))
    document = report(*chain[:-1])
    assert _ids(hdf.parse(json.dumps(document).encode(), "r")) == [("p999", "a", Status.FAILED)]
    with pytest.raises(CallError, match="more than 1000 profiles"):
        hdf.parse(json.dumps(report(*chain)).encode(), "r")


def test_findings_carry_the_messages_that_made_the_status() -> None:
    results = [
        result("passed", message="fine"),
        result("failed", message="expected 0600"),
        result("failed", code_desc="File /x"),
        result("skipped", skip_message="no"),
    ]
    document = report(
        profile(
            "p",
            control("failed", results=results),
            control("skipped", results=[results[3]]),
            control("waived", "failed", waiver_data={"skipped_due_to_waiver": True, "justification": "why"}),
            control("empty"),
            control("passed", "passed"),
        )
    )
    messages = {each.id: each.messages for each in hdf.summarise(document).findings}
    assert messages == {
        "failed": ("expected 0600", "File /x"),
        "skipped": ("no",),
        "waived": ("why",),
        "empty": ("the control has no results",),
        "passed": (),
    }


def test_nothing_found_and_nothing_loaded_are_problems() -> None:
    assert hdf.problems(report(profile("p", control("a", "passed")))) == []
    assert "not one control" in hdf.problems(report())[0]
    skipped = profile("p", status="skipped", skip_message="wrong platform\x1b[2J")
    assert hdf.problems(report(skipped)) == [r"not one control was run: wrong platform\x1b[2J"]
    failed = profile("p", control("a", "passed"), status="failed", status_message="undefined method")
    assert hdf.problems(report(failed)) == ["profile p failed to load: undefined method"]


def test_an_overridden_control_is_not_reviewed_and_says_what_the_engine_said() -> None:
    document = report(
        profile("overlay", control("a")),
        profile("base", control("a", "passed"), control("b", "passed"), parent_profile="overlay"),
        profile("na", control("n", "failed", impact=0)),
    )
    assert hdf.override(document, "a", "cannot be told here") is Status.PASSED
    assert hdf.override(document, "n", "cannot be told here") is Status.NOT_APPLICABLE
    assert hdf.override(document, "none", "x") is None
    by_id = {each.id: each for each in hdf.summarise(document).findings}
    assert {name: each.status for name, each in by_id.items()} == {
        "a": Status.NOT_REVIEWED,
        "b": Status.PASSED,
        "n": Status.NOT_APPLICABLE,
    }
    assert by_id["a"].messages == ("cannot be told here",)
    changed = document["profiles"][1]["controls"][0]
    assert changed["tags"]["barescan"] == {"engine_status": "passed", "reason": "cannot be told here"}
    assert hdf.parse(json.dumps(document).encode(), "r") == document


@given(reports(), st.text(st.characters(codec=None)))
def test_what_is_written_is_read_back_the_same(document: dict[str, Any], text: str) -> None:
    document["profiles"][0]["title"] = text
    data = json.dumps(document, ensure_ascii=True).encode()
    assert hdf.parse(data, "r") == document


def test_a_file_makes_the_round_trip_in_pure_ascii(tmp_path: Path) -> None:
    document = report(profile("p", control("a", "passed", title=HOSTILE)))
    hdf.write(document, tmp_path / "r.json")
    data = (tmp_path / "r.json").read_bytes()
    assert all(0x20 <= byte < 0x7F or byte == 0x0A for byte in data)
    assert hdf.load(tmp_path / "r.json") == document
    with pytest.raises(CallError, match="exists already"):
        hdf.write(document, tmp_path / "r.json")


def _bad(**members: Any) -> bytes:
    return json.dumps(report(profile("p", control("c", "passed") | members))).encode()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "Expecting value at line 1, column 1"),
        (b'{"profiles": [}', "line 1, column 15"),
        (b"\xff\xfe", "byte 0 is not UTF-8"),
        (b"[]", "the document is not an object"),
        (b"{}", "no profiles"),
        (b'{"profiles": {}}', "profiles is not an array"),
        (b'{"profiles": [], "profiles": []}', "'profiles' occurs twice"),
        (b'{"profiles": [], "x": NaN}', "NaN is no JSON number"),
        (b'{"profiles": [], "x": ' + b"[" * 100 + b"]" * 100 + b"}", "nested deeper than 64"),
        (b'{"profiles": [], "x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested deeper than 64"),
        (b'{"profiles": [], "x": ' + b"9" * 5000 + b"}", "no report"),
        (b'{"profiles": [{"controls": []}]}', "profiles[0].name is not a string"),
        (b'{"profiles": [{"name": "p"}]}', "profiles[0].controls is not an array"),
        (_bad(id=3), "controls[0].id is not a string"),
        (_bad(impact="0"), "impact is no number from 0 to 1"),
        (_bad(impact=True), "impact is no number from 0 to 1"),
        (_bad(impact=1.5), "impact is no number from 0 to 1"),
        (_bad(tags=[]), "controls[0].tags is not an object"),
        (_bad(results={}), "controls[0].results is not an array"),
        (_bad(results=["x"]), "results[0] is not an object"),
        (_bad(results=[result("Passed")]), "results[0].status is 'Passed'"),
        (_bad(results=[result(message=3)]), "results[0].message is not a string"),
        (_bad(results=[result(backtrace="x")]), "results[0].backtrace is not an array"),
    ],
)
def test_what_is_no_report_is_refused_in_one_line(data: bytes, words: str) -> None:
    with pytest.raises(CallError) as caught:
        hdf.parse(data, "a\nname\x1b[2J")
    assert words in str(caught.value)
    assert str(caught.value).isprintable()


def test_an_engine_s_report_can_be_refused_as_a_failed_scan() -> None:
    with pytest.raises(ScanError):
        hdf.parse(b"{}", "r", ScanError)


def test_nesting_up_to_the_limit_is_read() -> None:
    inner = hdf.MAX_DEPTH - 1  # the document itself is the first level
    hdf.parse(b'{"profiles": [], "x": ' + b"[" * inner + b"]" * inner + b"}", "r")
    with pytest.raises(CallError, match="nested deeper"):
        hdf.parse(b'{"profiles": [], "x": ' + b"[" * (inner + 1) + b"]" * (inner + 1) + b"}", "r")


def test_size_is_capped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hdf, "MAX_SIZE", 100)
    data = json.dumps(report(profile("p"))).encode()
    (tmp_path / "r").write_bytes(data)
    with pytest.raises(CallError, match="larger than 100"):
        hdf.parse(data, "r")
    with pytest.raises(CallError, match="larger than 100"):
        hdf.load(tmp_path / "r")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["id", "impact", "tags", "results", "title", "waiver_data"]), _json))
def test_whatever_is_let_in_can_be_summarised(members: dict[str, Any]) -> None:
    data = json.dumps(report(profile("p", control("c", "passed") | members))).encode()
    try:
        document = hdf.parse(data, "r")
    except CallError:
        return
    assert hdf.summarise(document).total == 1
