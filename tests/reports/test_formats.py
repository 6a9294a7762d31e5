"""What the formats say of ordinary reports, and that they take any."""

from __future__ import annotations

import csv
import io
import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from lxml import etree
from lxml import html as lxml_html

from tests.reports.builders import control, profile, report, reports, result
from toolkit.errors import CallError
from toolkit.reports import formats
from toolkit.reports.formats import FORMATS, csv_rows, html_page
from toolkit.reports.hdf import Severity, Status, summarise


def made(name: str, document: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    FORMATS[name].write(document, stream)
    return stream.getvalue()


def rows_of(document: dict[str, Any]) -> list[dict[str, str]]:
    text = made("csv", document).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def _ordinary() -> dict[str, Any]:
    tags = {"nist": ["AC-6", "CM-7 (2)"], "severity": "high", "fix": "chmod 0600 /etc/x"}
    failed = [
        result("passed", code_desc="File /etc/x is there", run_time=0.25),
        result(
            "failed", code_desc="File /etc/x mode", message="expected: 0600\n     got: 0644", run_time=0.5
        ),
    ]
    return report(
        profile(
            "base",
            control("V-1", results=failed, tags=tags, title="Mode", desc="Others must not read it."),
            control("V-2", "passed"),
            control("V-3", results=[result("skipped", skip_message="ask a person")]),
            control("V-4", results=[result("error", message="undefined method")]),
            control("V-5", "failed", impact=0),
            title="The base",
        ),
        profile("other", control("V-6")),
        platform={"name": "debian", "release": "12", "target_id": "docker://web"},
    )


def test_csv_has_a_row_for_each_result() -> None:
    rows = rows_of(_ordinary())
    assert [(row["control id"], row["status"], row["result"]) for row in rows] == [
        ("V-1", "failed", "passed"),
        ("V-1", "failed", "failed"),
        ("V-2", "passed", "passed"),
        ("V-3", "not_reviewed", "skipped"),
        ("V-4", "profile_error", "error"),
        ("V-5", "not_applicable", "failed"),
        ("V-6", "profile_error", ""),
    ]
    assert rows[1] == {
        "control id": "V-1",
        "title": "Mode",
        "profile": "base",
        "severity": "high",
        "status": "failed",
        "result": "failed",
        "code_desc": "File /etc/x mode",
        "message": "expected: 0600\n     got: 0644",
        "nist tags": "AC-6, CM-7 (2)",
        "target": "docker://web",
        "lifted": "",
    }
    assert rows[3]["message"] == "ask a person"
    assert rows[6]["message"] == "the control has no results"


def test_csv_is_what_rfc_4180_and_excel_ask_for() -> None:
    data = made("csv", report(profile("p", control("a", "passed"))))
    assert data.startswith(b'\xef\xbb\xbf"control id",')
    assert data.count(b"\r\n") == 2
    assert data.endswith(b'"\r\n')
    assert tuple(next(csv.reader([data.decode("utf-8-sig").split("\r\n")[0]]))) == csv_rows.COLUMNS


_JUNIT = etree.RelaxNG(
    etree.fromstring("""
<element name="testsuites" xmlns="http://relaxng.org/ns/structure/1.0"
    datatypeLibrary="http://www.w3.org/2001/XMLSchema-datatypes">
  <attribute name="name"/>
  <zeroOrMore><element name="testsuite">
    <attribute name="name"/>
    <attribute name="tests"><data type="nonNegativeInteger"/></attribute>
    <attribute name="failures"><data type="nonNegativeInteger"/></attribute>
    <attribute name="errors"><data type="nonNegativeInteger"/></attribute>
    <attribute name="skipped"><data type="nonNegativeInteger"/></attribute>
    <optional><attribute name="time"><data type="decimal"/></attribute></optional>
    <optional><element name="properties"><oneOrMore><element name="property">
      <attribute name="name"/><attribute name="value"/></element></oneOrMore></element></optional>
    <zeroOrMore><element name="testcase">
      <attribute name="name"/><attribute name="classname"/>
      <optional><attribute name="time"><data type="decimal"/></attribute></optional>
      <optional><choice>
        <element name="failure"><attribute name="message"/><attribute name="type"/><text/></element>
        <element name="error"><attribute name="message"/><attribute name="type"/><text/></element>
        <element name="skipped"><attribute name="message"/><text/></element>
      </choice></optional>
    </element></zeroOrMore>
  </element></zeroOrMore>
</element>""")
)
"""What GitLab and Jenkins read of JUnit XML, in words of our own: each case has at most one outcome."""


def junit_of(document: dict[str, Any]) -> etree._Element:
    root = etree.fromstring(made("junit", document), etree.XMLParser(resolve_entities=False, recover=False))
    _JUNIT.assertValid(root)
    for suite in root:
        assert int(suite.get("tests", "")) == len(suite.findall("testcase"))
        for counted, element in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.get(counted, "")) == len(suite.findall(f"testcase/{element}"))
    return root


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_says_what_was_lifted(name: str) -> None:
    document = _ordinary()
    assert b"--allow-target-exec" not in made(name, document)
    lifted = document | {"passthrough": {"barescan": {"lifted": ["--allow-target-exec"]}}}
    assert b"--allow-target-exec" in made(name, lifted)


def test_junit_has_a_suite_for_each_profile_and_a_case_for_each_control() -> None:
    base, other = junit_of(_ordinary())
    assert [base.get(key) for key in ("name", "tests", "failures", "errors", "skipped", "time")] == [
        *("The base", "5", "1", "1", "2", "0.750")
    ]
    assert base.xpath("properties/property/@value") == ["docker://web"]
    assert other.get("errors") == "1"
    cases = {case.get("name"): case for case in base.iter("testcase")}
    assert [each.get("classname") for each in cases.values()] == ["base"] * 5
    assert [[one.tag for one in case] for case in cases.values()] == [
        *(["failure"], [], ["skipped"], ["error"], ["skipped"])
    ]
    failure = cases["V-1: Mode"][0]
    assert failure.get("type") == "high"
    assert failure.get("message") == "Failed: expected: 0600 got: 0644"
    assert failure.text == "failed: File /etc/x mode\nexpected: 0600\n     got: 0644"
    assert cases["V-3: Title of V-3"][0].get("message") == "Not Reviewed: ask a person"


@pytest.mark.parametrize("members", [{}, {"status": "failed", "status_message": "no such file"}])
def test_a_report_that_is_no_answer_is_no_pass_in_junit(members: dict[str, Any]) -> None:
    root = junit_of(report(profile("p", **members)))
    assert len(root.findall("testsuite/testcase/error")) == len(root.findall("testsuite/testcase")) >= 1


@given(reports())
def test_junit_counts_as_the_summary_does(document: dict[str, Any]) -> None:
    summary, root = summarise(document), junit_of(document)
    problems = not summary.total
    assert len(root.findall(".//failure")) == summary.count(Status.FAILED)
    assert len(root.findall(".//error")) == summary.count(Status.PROFILE_ERROR) + problems
    assert len(root.findall(".//testcase")) == summary.total + problems


def page_of(document: dict[str, Any]) -> Any:
    return lxml_html.document_fromstring(made("html", document), lxml_html.HTMLParser(encoding="utf-8"))


def test_html_has_the_counts_and_each_control_with_what_was_expected_and_the_fix() -> None:
    page = page_of(_ordinary())
    (counts,) = page.xpath("//main/table")
    assert counts.xpath("thead//th[@scope='col']/text()") == [
        *("Status", "Critical", "High", "Medium", "Low", "None", "Total")
    ]
    cells = {row[0].text: [cell.text for cell in row[1:]] for row in counts.xpath("tbody/tr")}
    assert cells["Failed"] == ["0", "1", "0", "0", "0", "1"]
    assert cells["Profile Error"] == ["0", "0", "2", "0", "0", "2"]
    articles = page.xpath("//article")
    assert [each.get("class") for each in articles] == [
        *("failed", "passed", "not_reviewed", "profile_error", "not_applicable", "profile_error")
    ]
    assert articles[0].xpath("h3//text()") == ["Failed", " ", "V-1", ": ", "Mode"]
    words = articles[0].text_content()
    for part in ("expected: 0600\n     got: 0644", "chmod 0600 /etc/x", "AC-6, CM-7 (2)", "Others must not"):
        assert part in words
    assert [bool(each.xpath("details[@open]")) for each in articles] == [
        True,
        False,
        False,
        True,
        False,
        True,
    ]
    assert page.xpath("//h1/text()") == ["Compliance of docker://web"]
    assert page.xpath("//h2/text()") == ["The base", "other"]


def test_html_can_be_read_by_a_screen_reader_and_needs_nothing_else() -> None:
    data = made("html", _ordinary())
    page = page_of(_ordinary())
    assert data.startswith(b"<!DOCTYPE html>")
    assert page.get("lang") == "en"
    assert all(each.get("scope") in {"col", "row"} for each in page.iter("th"))
    assert all(table.xpath("caption/text()") for table in page.iter("table"))
    (policy,) = page.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    assert policy == html_page.POLICY
    assert "default-src 'none'; style-src 'unsafe-inline'" in policy
    used = {element.tag for element in page.iter()}
    assert used.isdisjoint({"script", "link", "img", "a", "iframe", "object", "form", "base", "svg"})
    style = page.xpath("string(//style)")
    for part in ("prefers-color-scheme: dark", "@media print", "details-content"):
        assert part in style
    assert "url(" not in style
    assert "@import" not in style


@given(reports())
def test_html_counts_as_the_summary_does(document: dict[str, Any]) -> None:
    summary, page = summarise(document), page_of(document)
    rows = page.xpath("//main/table/tbody/tr")
    for status, row in zip(Status, rows, strict=True):
        expected = [*(summary.count(status, each) for each in Severity), summary.count(status)]
        assert [int(cell.text) for cell in row[1:]] == expected
        assert len(page.xpath(f"//article[@class='{status.value}']")) == summary.count(status)


@pytest.mark.parametrize("members", [{"descriptions": {"fix": "by hand"}}, {"tags": {"fix": "by hand"}}])
def test_the_fix_is_found_wherever_hdf_has_it(members: dict[str, Any]) -> None:
    page = page_of(report(profile("p", control("a", "failed", **members))))
    assert page.xpath("//h4[.='Fix']/following-sibling::div[1]/text()") == ["by hand"]


def test_files_are_written_once_each_for_the_owner_only(tmp_path: Path) -> None:
    formats.write_all(_ordinary(), ["csv", "junit", "html", "csv"], tmp_path)
    assert {each.name for each in tmp_path.iterdir()} == {"report.csv", "report.junit.xml", "report.html"}
    assert {stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()} == {0o600}
    with pytest.raises(CallError, match="exists already"):
        formats.write(_ordinary(), "csv", tmp_path / "report.csv")


def test_a_format_that_there_is_not_is_a_wrong_call() -> None:
    with pytest.raises(CallError, match=r"no report format 'p.x1bdf'") as caught:
        formats.require(["csv", "p\x1bdf"])
    assert caught.value.remedy == "name one of csv, html, junit"


def _convert(*arguments: str) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-m", "toolkit", "report.convert", *arguments]
    return subprocess.run(call, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", FORMATS)
def test_a_report_there_is_can_be_converted_and_nothing_is_overwritten(tmp_path: Path, name: str) -> None:
    source, file = tmp_path / "r.json", tmp_path / "out file"
    source.write_text(json.dumps(_ordinary()))
    call = ("--report", str(source), "--to", name, "--file", str(file))
    done = _convert(*call)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{file}\n", "")
    assert file.read_bytes() == made(name, _ordinary())
    again = _convert(*call)
    assert again.returncode == 1
    assert "exists already and is not overwritten" in again.stderr
    assert file.read_bytes() == made(name, _ordinary())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (json.dumps(_ordinary()).encode()[:-9], "is no report"),
        (b'{"profiles": [], "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested deeper than 64"),
        (b'{"profiles": [], "x": ' + b"9" * 1_000_000 + b"}", "is no report"),
        (b'{"runs": []}', "it has no profiles"),
        (b"\x1b]0;owned\x07\xff", "is not UTF-8"),
        (None, "cannot be read"),
    ],
    ids=["truncated", "deep", "number", "schema", "bytes", "missing"],
)
def test_what_is_no_report_is_a_wrong_call(tmp_path: Path, data: bytes | None, words: str) -> None:
    source = tmp_path / "r\x1b]0;owned\x07.json"
    if data is not None:
        source.write_bytes(data)
    done = _convert("--report", str(source), "--to", "csv", "--file", str(tmp_path / "out"))
    assert done.returncode == 1
    assert words in done.stderr
    assert "\x1b" not in done.stderr + done.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("missing", ["--report", "--to", "--file"])
def test_a_call_with_a_flag_left_out_says_which(missing: str) -> None:
    given_flags = {"--report": "r.json", "--to": "csv", "--file": "out"}
    del given_flags[missing]
    done = _convert(*(word for pair in given_flags.items() for word in pair))
    assert done.returncode == 1
    assert f"{missing} is missing" in done.stderr
