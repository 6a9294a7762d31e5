from __future__ import annotations

import io
import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from tests.reports.builders import HOSTILE, control, profile, report, result
from toolkit.reports import threshold
from toolkit.reports.console import Row, print_overview, print_summary
from toolkit.reports.hdf import summarise

_OURS = re.compile(r"\x1b\[[0-9;]*m")


def _shown(document: dict[str, Any], width: int = 140, *, color: bool = False, **options: Any) -> str:
    stream = io.StringIO()
    console = Console(
        file=stream, width=width, force_terminal=color, color_system="truecolor" if color else None
    )
    print_summary(console, document, **options)
    return stream.getvalue()


def _hostile(text: str) -> dict[str, Any]:
    return report(
        profile(
            text,
            control(text, title=text, results=[result("failed", message=text)]),
            control(f"{text}2", title=text, results=[result("skipped", skip_message=text)]),
            control(f"{text}3", title=text, results=[result("error", exception=text)]),
            title=text,
        ),
        profile("x", status="failed", status_message=text),
        platform={"name": text, "release": text, "target_id": text},
    )


def _gate(document: dict[str, Any], text: bytes) -> threshold.Verdict:
    return threshold.judge(threshold.parse(text, "t"), document)


def test_it_shows_counts_failures_reasons_and_the_gate() -> None:
    document = report(
        profile(
            "p",
            control("V-1", "passed", impact=0.9),
            control("V-2", results=[result("failed", message="expected mode 0600")], impact=0.7),
            control("V-3", results=[result("failed", message="other"), result("failed")], impact=0.9),
            control("V-4", results=[result("skipped", skip_message="ask a person")]),
            control("V-5", results=[result("skipped", skip_message="ask a person")]),
            control("V-6", results=[result("error", message="undefined method")]),
            title="A profile",
        )
    )
    text = _shown(document, verdict=_gate(document, b"failed: {high: {max: 0}, total: 2}"), note="partial")
    lines = [line.split() for line in text.splitlines()]
    assert ["Passed", "1", "·", "·", "·", "·", "1"] in lines
    assert ["Failed", "1", "1", "·", "·", "·", "2"] in lines
    assert "A profile on pid://1" in text
    assert "partial" in text
    assert "Compliance 17 %: 1 passed of 6 controls that apply" in text
    assert text.index("V-3") < text.index("V-2") < text.index("V-6"), "the worst comes first"
    assert "expected mode 0600" in text
    assert "(+1)" in text
    assert text.index("\nFailed") < text.index("V-2") < text.index("\nProfile Error") < text.index("V-6")
    assert "undefined method" in text
    assert ["2", "ask", "a", "person", "V-4,", "V-5"] in lines
    assert "Gate not met: 1 of 2 bounds kept" in text
    assert ["failed.high.max", "0", "1", "V-2"] in lines
    assert "failed.total" not in text


def test_a_gate_that_is_met_takes_one_line() -> None:
    document = report(profile("p", control("a", "passed")))
    assert "Gate met: 1 of 1 bounds kept\n" in _shown(
        document, verdict=_gate(document, b"failed: {total: 0}")
    )


def test_a_report_without_controls_says_so() -> None:
    assert "not one control was run" in _shown(report(profile("p")))
    assert "not one control was run" in _shown(report())


def test_the_rest_of_a_long_list_is_counted() -> None:
    document = report(profile("p", *(control(f"V-{i:03}", "failed") for i in range(60))))
    text = _shown(document, limit=7)
    assert "V-006" in text
    assert "V-007" not in text
    assert "and 53 more controls failed" in text


def test_xccdf_ids_are_shown_by_name() -> None:
    name = "xccdf_org.ssgproject.content_rule_no_rule_in_it"
    document = report(profile("p", control(name, "failed"), control("xccdf_x_rule_", "failed")))
    words = _shown(document).split()
    assert "no_rule_in_it" in words
    assert name not in words
    assert "xccdf_x_rule_" in words


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("width", [40, 80, 140])
def test_nothing_of_the_target_is_obeyed(width: int, color: bool) -> None:
    document = _hostile(HOSTILE)
    text = _shown(document, width, color=color, verdict=_gate(document, b"failed: {total: 0}"), note=HOSTILE)
    left = _OURS.sub("", text) if color else text
    assert {unicodedata.category(char) for char in left.replace("\n", "")}.isdisjoint({"Cc", "Cf", "Cs"})
    whole = left.replace("\n", "").replace(" ", "")
    assert "[bold]" in whole, "markup is shown and not followed"
    assert ":skull:" in whole
    assert r"\x1b" in whole


@given(st.text(st.characters(codec=None), min_size=1), st.sampled_from([20, 40, 66, 80, 119, 120, 200]))
def test_any_text_at_any_width_is_shown_within_it(text: str, width: int) -> None:
    document = _hostile(text)
    shown = _shown(document, width, verdict=_gate(document, b"failed: {total: 9, high: {controls: [a]}}"))
    shown.encode("utf-8")
    assert all(cell_len(line) <= width for line in shown.splitlines())


@pytest.mark.parametrize("width", [30, 40, 50, 65])
def test_numbers_are_never_cut(width: int) -> None:
    impacts = (0.9, 0.7, 0.5, 0.3, 0.05)
    controls = (control(f"V-{i}", "passed", impact=impacts[i % 5]) for i in range(12345))
    assert "12345" in _shown(report(profile("p", *controls)), width).split()


@pytest.mark.parametrize("width", [80, 140])
def test_a_long_id_is_broken_where_a_part_of_it_ends(width: int) -> None:
    name = "the_permissions_of_every_file_below_the_directory_of_the_system_are_those_of_its_package"
    text = _shown(report(profile("p", control(name, "failed", title="T"))), width)
    parts = [word for word in text.split() if "_" in word]
    assert "".join(parts) == name
    assert all(part.endswith("_") for part in parts[:-1])


def test_one_control_is_not_spoken_of_as_many() -> None:
    assert "1 passed of 1 control that applies\n" in _shown(report(profile("p", control("a", "passed"))))


def test_a_message_that_all_share_is_said_once_where_room_is_short() -> None:
    same = [control(f"V-{i}", results=[result("failed", message="the same words")]) for i in range(3)]
    assert _shown(report(profile("p", *same)), 80).count("all: the same words") == 1
    assert "the same" in _shown(report(profile("p", *same)), 140)
    assert "the same" in _shown(report(profile("p", same[0])), 80)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_word_of_title_and_message_is_lost_beside_long_ids(width: int) -> None:
    names = [
        "xccdf_org.ssgproject.content_rule_accounts_maximum_age_login_defs",
        "xccdf_org.ssgproject.content_rule_file_permissions_of_whatever_is_below_etc_and_var",
        "V-1",
    ]
    titles = ["Set Password Maximum Age", "Verify that this is Right and Proper", "Ensure the thing"]
    messages = ["the rule is not met", "the rule is not met, as far as it can be told", "2 of 30 differ"]
    document = report(
        profile(
            "p",
            *(
                control(name, title=title, results=[result("failed", message=message)])
                for name, title, message in zip(names, titles, messages, strict=True)
            ),
        )
    )
    text = _shown(document, width)
    rows = text[text.index("Severity   Control") :].splitlines()
    start = rows[0].index("Title")
    assert "".join(row[start - 1] for row in rows[2:]).strip() == ""
    assert " ".join(" ".join(row[start:] for row in rows[2:]).split()) == " ".join(
        f"{title} {message}" for title, message in zip(titles, messages, strict=True)
    )


def _overview(rows: list[Row], width: int = 80) -> str:
    stream = io.StringIO()
    print_overview(Console(file=stream, width=width), rows)
    return stream.getvalue()


def test_each_of_many_targets_takes_one_line_and_what_they_share_is_said_once() -> None:
    summary = summarise(report(profile("p", control("a", "failed"))))
    remedy = "see: kubectl describe pod " + "and so on " * 40
    pods = [f"bad-{number:02}" for number in range(30)]
    rows = [
        Row("k8s-container://shop/web/app", summary, "100"),
        Row("k8s-container://shop/off/app", None, "idle"),
    ]
    rows += [
        Row(f"k8s-container://shop/{pod}/app", None, "2", f"the pod {pod} does not run", remedy)
        for pod in pods
    ]
    text = _overview(rows)
    assert text.count("k8s-container://…") == 1
    table, below = text.split("k8s-container://shop/", 1)
    lines = [line.split() for line in table.splitlines()]
    assert ["shop/web/app", "0", "1", "0", "0", "0", "100"] in lines
    assert ["shop/off/app", "idle"] in lines
    for pod in pods:
        assert [f"shop/{pod}/app", "2"] in lines
    assert below.count("does not run") == 1
    assert "  the pod NAME does not run\n" in below
    assert f"  → {remedy.strip()}\n" in below
    assert "bad-19/app, and 10 more\n" in below


def test_a_cause_of_one_target_keeps_its_names_and_needs_no_next_step() -> None:
    rows = [
        Row("docker://a", None, "2", "there is no a", ""),
        Row("rootfs:///a/b", None, "1", "there is no b, nor bb", "name it"),
    ]
    text = _overview(rows)
    assert "Targets:" not in text
    assert (
        text.split("docker://a\n")[1]
        == "  there is no a\nrootfs:///a/b\n  there is no b, nor bb\n  → name it\n\n"
    )
