from __future__ import annotations

import io
import itertools
import json
import re
import shutil
import subprocess
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import ScanError
from toolkit.reports import hdf, xccdf
from toolkit.reports.hdf import Severity, Status

NAMESPACE = "http://checklists.nist.gov/xccdf/1.2"

BENCHMARK = """
  <title>The benchmark</title>
  <description>What it <h:b xmlns:h="http://www.w3.org/1999/xhtml">is</h:b>.</description>
  <version>1.2</version>
  <Profile id="the_profile"><title>The profile</title><select idref="r1" selected="true"/></Profile>
  <Group id="outer"><title>Outer group</title>
    <Group id="inner"><title>Inner group</title>
      <Rule id="r1" severity="high">
        <title>Rule one</title>
        <description>First line.<h:br xmlns:h="http://www.w3.org/1999/xhtml"/>Second   line.</description>
        <warning>Take care.</warning>
        <reference href="https://public.cyber.mil/stigs/cci/">CCI-000366</reference>
        <reference href="http://nvlpubs.nist.gov/NIST.SP.800-53r4.pdf">CM-6(a)</reference>
        <reference href="http://nvlpubs.nist.gov/NIST.SP.800-53r4.pdf">AC-2 (1)</reference>
        <reference href="https://public.cyber.mil/stigs/downloads/?os">SRG-OS-000480-GPOS-00227</reference>
        <reference href="https://public.cyber.mil/stigs/downloads/?os=unix">UBTU-22-651010</reference>
        <reference href="https://public.cyber.mil/stigs/srg-stig-tools/">SV-260582r958944_rule</reference>
        <reference href="https://www.cisecurity.org/benchmark/ubuntu_linux/">1.5.2</reference>
        <reference href="https://www.cisecurity.org/controls/">11</reference>
        <rationale>Because.</rationale>
        <ident system="https://ncp.nist.gov/cce">CCE-80000-1</ident>
        <fix system="urn:xccdf:fix:script:ansible">- name: x</fix>
        <fix system="urn:xccdf:fix:script:sh">
chmod 0600 /etc/x
  echo done
        </fix>
        <check system="http://oval.mitre.org/XMLSchema/oval-definitions-5">
          <check-content-ref name="oval:one:def:1" href="oval.xml"/>
        </check>
      </Rule>
      <Rule id="r2" severity="low">
        <title>Rule two</title>
        <description>&lt;VulnDiscussion&gt;Discussed.&lt;/VulnDiscussion&gt;&lt;FalsePositives&gt;no&lt;/FalsePositives&gt;</description>
        <fixtext>In words.</fixtext>
        <fix system="urn:xccdf:fix:script:sh">in shell</fix>
        <check system="manual"><check-content>Look at it.</check-content></check>
      </Rule>
    </Group>
  </Group>
"""

TEST_RESULT = """
  <TestResult id="t" start-time="2026-01-01T00:00:00+00:00" end-time="2026-01-01T00:00:07+00:00">
    <profile idref="the_profile"/>
    <target>scanner-host</target><target-address>192.0.2.1</target-address>
    <target-facts><fact name="mac">00:00:5e:00:53:01</fact></target-facts>
    <platform idref="cpe:/o:debian:debian_linux:12"/>
    <set-value idref="a_value">900</set-value>
    {results}
    <score>1</score>
  </TestResult>
"""


def _rule_result(idref: str, word: str, inner: str = "", severity: str = "") -> str:
    attribute = f' severity="{severity}"' if severity else ""
    return (
        f'<rule-result idref="{idref}" time="2026-01-01T00:00:01"{attribute}><result>{word}</result>{inner}'
        "</rule-result>"
    )


def _document(*results: str, benchmark: str = BENCHMARK) -> bytes:
    test = TEST_RESULT.replace("{results}", "".join(results))
    return (
        f'<?xml version="1.0"?><Benchmark xmlns="{NAMESPACE}" id="b">{benchmark}{test}</Benchmark>'.encode()
    )


def _read(data: bytes | BinaryIO) -> dict[str, Any]:
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    return xccdf.xccdf_to_hdf(stream, engine_version="1.4.2", target="pid://7")


def _controls(*results: str) -> list[dict[str, Any]]:
    controls: list[dict[str, Any]] = _read(_document(*results))["profiles"][0]["controls"]
    return controls


@pytest.mark.parametrize(
    ("word", "status", "result_status", "impact"),
    [
        ("pass", Status.PASSED, "passed", 0.5),
        ("fixed", Status.PASSED, "passed", 0.5),
        ("fail", Status.FAILED, "failed", 0.5),
        ("error", Status.PROFILE_ERROR, "error", 0.5),
        ("unknown", Status.PROFILE_ERROR, "error", 0.5),
        ("notchecked", Status.NOT_REVIEWED, "skipped", 0.5),
        ("notapplicable", Status.NOT_APPLICABLE, "skipped", 0.0),
        ("informational", Status.NOT_APPLICABLE, "skipped", 0.0),
        ("PASS", Status.PROFILE_ERROR, "error", 0.5),
        ("", Status.PROFILE_ERROR, "error", 0.5),
    ],
)
def test_what_a_result_means(word: str, status: Status, result_status: str, impact: float) -> None:
    (control,) = _controls(_rule_result("r9", word, severity="medium"))
    assert hdf.control_status(control) is status
    assert control["results"][0]["status"] == result_status
    assert control["impact"] == impact
    assert hdf.control_severity(control) is Severity.MEDIUM


def test_rules_that_were_not_selected_are_left_out() -> None:
    assert _controls(_rule_result("r1", "notselected")) == []
    assert hdf.problems(_read(_document(_rule_result("r1", "notselected"))))


@pytest.mark.parametrize(
    ("of_result", "of_rule", "impact"),
    [
        ("high", "r2", 0.7),
        ("medium", "r2", 0.5),
        ("low", "r1", 0.3),
        ("unknown", "r1", 0.5),
        ("info", "r1", 0.0),
        ("odd", "r1", 0.5),
        ("", "r1", 0.7),
        ("", "r2", 0.3),
        ("", "r9", 0.5),
    ],
)
def test_the_severity_of_the_result_goes_before_that_of_the_rule(
    of_result: str, of_rule: str, impact: float
) -> None:
    (control,) = _controls(_rule_result(of_rule, "fail", severity=of_result))
    assert control["impact"] == impact


def test_a_rule_is_told_in_full() -> None:
    (control,) = _controls(_rule_result("r1", "fail"))
    assert control["title"] == "Rule one"
    assert control["desc"] == "First line.\nSecond line."
    assert {each["label"]: each["data"] for each in control["descriptions"]} == {
        "rationale": "Because.",
        "caveat": "Take care.",
        "check": "oval:one:def:1 (oval.xml)",
        "fix": "chmod 0600 /etc/x\n  echo done",
    }
    assert control["tags"] == {
        "severity": "high",
        "gid": "inner",
        "gtitle": "Inner group",
        "xccdf_results": ["fail"],
        "cci": ["CCI-000366"],
        "nist": ["CM-6(a)", "AC-2 (1)"],
        "srg": ["SRG-OS-000480-GPOS-00227"],
        "stig_id": "UBTU-22-651010",
        "rid": "SV-260582r958944_rule",
        "cis": ["1.5.2"],
        "cce": ["CCE-80000-1"],
    }
    assert {"ref": "11", "url": "https://www.cisecurity.org/controls/"} in control["refs"]


def test_words_for_people_go_before_scripts_and_the_discussion_before_its_markup() -> None:
    (control,) = _controls(_rule_result("r2", "notchecked"))
    texts = {each["label"]: each["data"] for each in control["descriptions"]}
    assert texts == {"check": "Look at it.", "fix": "In words."}
    assert control["desc"] == "Discussed."


def test_what_the_engine_said_is_kept() -> None:
    said = '<message severity="info">None was <![CDATA[<resolvable>]]>.</message>'
    script = (
        '<check system="sce"><check-import import-name="stdout">found 3 &amp; more\n</check-import></check>'
    )
    checked = '<check><check-content-ref name="oval:x:def:1" href="o.xml"/></check>'
    skipped, failed, bare = _controls(
        _rule_result("r1", "notchecked", said),
        _rule_result("r2", "fail", said + script),
        _rule_result("r9", "fail", checked),
    )
    assert skipped["results"][0]["skip_message"] == "None was <resolvable>."
    assert failed["results"][0]["message"] == "None was <resolvable>.\nstdout: found 3 & more"
    assert bare["results"][0]["message"] == "the check found that the rule is not met"
    assert bare["results"][0]["code_desc"] == "oval:x:def:1 (o.xml)"
    assert hdf.summarise(_read(_document(_rule_result("r1", "notchecked", said)))).findings[0].messages == (
        "None was <resolvable>.",
    )


def test_several_results_of_a_rule_are_one_control() -> None:
    (control,) = _controls(
        _rule_result("r1", "notapplicable", "<instance>/a</instance>"),
        _rule_result("r1", "notselected"),
        _rule_result("r1", "pass", "<instance>/b</instance>"),
    )
    assert [each["status"] for each in control["results"]] == ["skipped", "passed"]
    assert [each["code_desc"] for each in control["results"]] == ["/a", "/b"]
    assert control["impact"] == 0.7
    assert hdf.control_status(control) is Status.PASSED


def test_the_report_names_the_target_and_not_the_scanner() -> None:
    report = _read(_document(_rule_result("r1", "pass")))
    assert report["platform"] == {"name": "debian_linux", "release": "12", "target_id": "pid://7"}
    assert report["version"] == "1.4.2"
    assert report["statistics"] == {"duration": 7.0}
    profile = report["profiles"][0]
    assert (profile["name"], profile["title"], profile["version"]) == ("the_profile", "The profile", "1.2")
    assert profile["summary"] == "What it is."
    assert profile["attributes"] == [{"name": "a_value", "options": {"value": "900"}}]
    assert profile["groups"] == [{"id": "inner", "title": "Inner group", "controls": ["r1"]}]
    for fact in ("scanner-host", "192.0.2.1", "00:00:5e"):
        assert fact not in str(report)


def test_every_report_is_one_that_is_read_back() -> None:
    report = _read(_document(*(_rule_result(f"r{i}", "fail") for i in range(1, 4))))
    assert hdf.parse(json.dumps(report).encode(), "r") == report


def test_an_asset_report_and_a_lone_test_result_are_read() -> None:
    inner = _document(_rule_result("r1", "fail")).partition(b"?>")[2]
    asset = b'<a:report xmlns:a="urn:arf"><a:data>' + inner + b"</a:data></a:report>"
    assert _read(asset) == _read(inner)
    test = TEST_RESULT.replace("{results}", _rule_result("r1", "fail"))
    alone = test.replace("<TestResult ", f'<TestResult xmlns="{NAMESPACE}" ', 1).strip().encode()
    (control,) = _read(alone)["profiles"][0]["controls"]
    assert (control["id"], control["title"]) == ("r1", "")


def test_of_several_test_results_the_last_one_counts() -> None:
    earlier = TEST_RESULT.replace("{results}", _rule_result("r1", "pass") + _rule_result("r2", "pass"))
    data = _document(_rule_result("r1", "fail"), benchmark=BENCHMARK + earlier)
    (control,) = _read(data)["profiles"][0]["controls"]
    assert hdf.control_status(control) is Status.FAILED


WHOLE = _document(_rule_result("r1", "pass"), _rule_result("r2", "fail"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no well-formed XML"),
        (b"not xml", "no well-formed XML"),
        (WHOLE[:-1], "no well-formed XML"),
        (WHOLE[: WHOLE.index(b"<score>")], "no well-formed XML"),
        (WHOLE + b"<x/>", "no well-formed XML"),
        (b"<Benchmark/>", "no TestResult"),
        (WHOLE.replace(b"xccdf/1.2", b"xccdf/1.1"), "no TestResult"),
        (WHOLE.replace(b' idref="r1" time', b" time"), "names no rule"),
        (b'<!DOCTYPE x [<!ENTITY e "v">]>' + WHOLE.partition(b"?>")[2], "has a DTD"),
        (b'<!DOCTYPE x SYSTEM "file:///etc/passwd">' + WHOLE.partition(b"?>")[2], "has a DTD"),
        (b"<x>" * 50_000, "nested deeper than 100"),
        (WHOLE.replace(b"Rule one", b"<b>" * 50_000), "nested deeper than 100"),
    ],
)
def test_what_is_cut_short_or_hostile_is_no_result(data: bytes, words: str) -> None:
    with pytest.raises(ScanError) as caught:
        _read(data)
    assert words in str(caught.value)
    assert str(caught.value).isprintable()


def test_an_entity_bomb_is_refused() -> None:
    entities = '<!ENTITY e0 "xxxxxxxxxx">' + "".join(
        f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10)
    )
    with pytest.raises(ScanError):
        _read(f"<!DOCTYPE x [{entities}]><x>&e9;</x>".encode())


class _Endless(io.RawIOBase):
    """A result file that never ends, made of chunks as they are asked for."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def read(self, size: int = -1) -> bytes:
        return next(self._chunks, b"")


def test_a_file_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xccdf, "MAX_SIZE", 1 << 20)
    endless = _Endless(itertools.chain([b"<x>"], itertools.repeat(b"<y>z</y>" * 1000)))
    with pytest.raises(ScanError, match="larger than 1048576 bytes"):
        _read(endless)  # type: ignore[arg-type]


def test_memory_holds_what_is_kept_and_no_more() -> None:
    foreign = (
        b"<definition><title>A title</title><criteria>" + b"<criterion/>" * 100 + b"</criteria></definition>"
    )
    inner = _document(_rule_result("r1", "fail")).partition(b"?>")[2]
    chunks = itertools.chain([b"<arf>"], itertools.repeat(foreign * 20, 100), [inner, b"</arf>"])
    tracemalloc.start()
    try:
        report = _read(_Endless(chunks))  # type: ignore[arg-type]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(report["profiles"][0]["controls"]) == 1
    # Kept, the 200 000 elements would take 56 bytes each at the least.
    assert peak < 1 << 20


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"])))
def test_any_text_comes_through_as_text(text: str) -> None:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace("]]>", "]]&gt;")
    (control,) = _controls(_rule_result("r1", "fail", f"<message>{escaped}</message>"))
    expected = "\n".join(" ".join(line.split()) for line in text.split("\n")).strip()
    assert control["results"][0]["message"] == (expected or "the check found that the rule is not met")


def test_a_text_without_end_is_cut() -> None:
    (control,) = _controls(_rule_result("r1", "fail", f"<message>{'x' * 300_000}</message>"))
    assert len(control["results"][0]["message"]) == xccdf.MAX_TEXT


# --- the real engine ---

needs_oscap = pytest.mark.skipif(
    shutil.which("oscap") is None, reason="oscap is not installed (openscap-scanner)"
)

OVAL = """<?xml version="1.0"?>
<oval_definitions xmlns="http://oval.mitre.org/XMLSchema/oval-definitions-5"
    xmlns:o="http://oval.mitre.org/XMLSchema/oval-common-5"
    xmlns:u="http://oval.mitre.org/XMLSchema/oval-definitions-5#unix">
  <generator><o:schema_version>5.11</o:schema_version><o:timestamp>2026-01-01T00:00:00</o:timestamp></generator>
  <definitions>
    <definition class="compliance" id="oval:t:def:1" version="1">
      <metadata><title>t</title><description>d</description></metadata>
      <criteria><criterion test_ref="oval:t:tst:1"/></criteria>
    </definition>
    <definition class="compliance" id="oval:t:def:2" version="1">
      <metadata><title>t</title><description>d</description></metadata>
      <criteria><criterion test_ref="oval:t:tst:2"/></criteria>
    </definition>
  </definitions>
  <tests>
    <u:file_test check="all" check_existence="at_least_one_exists" comment="c" id="oval:t:tst:1" version="1">
      <u:object object_ref="oval:t:obj:1"/></u:file_test>
    <u:file_test check="all" check_existence="at_least_one_exists" comment="c" id="oval:t:tst:2" version="1">
      <u:object object_ref="oval:t:obj:2"/></u:file_test>
  </tests>
  <objects>
    <u:file_object id="oval:t:obj:1" version="1"><u:filepath>{there}</u:filepath></u:file_object>
    <u:file_object id="oval:t:obj:2" version="1"><u:filepath>{there}.not</u:filepath></u:file_object>
  </objects>
</oval_definitions>
"""

XCCDF = """<?xml version="1.0"?>
<Benchmark xmlns="http://checklists.nist.gov/xccdf/1.2" id="xccdf_test_benchmark_b" xml:lang="en">
  <status>draft</status><version>1</version>
  <Profile id="xccdf_test_profile_p"><title>P</title>
    <select idref="xccdf_test_rule_out" selected="false"/></Profile>
  <Rule id="xccdf_test_rule_yes" selected="true" severity="high"><title>Yes</title>
    <check system="http://oval.mitre.org/XMLSchema/oval-definitions-5">
      <check-content-ref href="oval.xml" name="oval:t:def:1"/></check></Rule>
  <Rule id="xccdf_test_rule_no" selected="true" severity="low"><title>No</title>
    <check system="http://oval.mitre.org/XMLSchema/oval-definitions-5">
      <check-content-ref href="oval.xml" name="oval:t:def:2"/></check></Rule>
  <Rule id="xccdf_test_rule_by_hand" selected="true"><title>By hand</title></Rule>
  <Rule id="xccdf_test_rule_elsewhere" selected="true"><title>Elsewhere</title>
    <platform idref="cpe:/o:microsoft:windows"/>
    <check system="http://oval.mitre.org/XMLSchema/oval-definitions-5">
      <check-content-ref href="oval.xml" name="oval:t:def:1"/></check></Rule>
  <Rule id="xccdf_test_rule_out" selected="true"><title>Out</title></Rule>
</Benchmark>
"""


def _evaluate(content: Path, profile: str, results: Path) -> None:
    run = subprocess.run(
        ["oscap", "xccdf", "eval", "--profile", profile, "--results", str(results), str(content)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=results.parent,
    )
    assert run.returncode in {0, 2}, run.stderr


@needs_oscap
def test_the_results_of_a_real_run(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    (tmp_path / "oval.xml").write_text(OVAL.replace("{there}", str(tmp_path / "there")))
    (tmp_path / "xccdf.xml").write_text(XCCDF)
    _evaluate(tmp_path / "xccdf.xml", "xccdf_test_profile_p", tmp_path / "results.xml")
    with (tmp_path / "results.xml").open("rb") as stream:
        summary = hdf.summarise(_read(stream))
    found = {each.id.removeprefix("xccdf_test_rule_"): each for each in summary.findings}
    assert {name: (each.status, each.severity) for name, each in found.items()} == {
        "yes": (Status.PASSED, Severity.HIGH),
        "no": (Status.FAILED, Severity.LOW),
        "by_hand": (Status.NOT_REVIEWED, Severity.MEDIUM),
        "elsewhere": (Status.NOT_APPLICABLE, Severity.NONE),
    }
    assert found["by_hand"].messages[0]
    assert summary.compliance == 33


def _content() -> Path | None:
    folder = Path("/usr/share/xml/scap/ssg/content")
    return next(iter(sorted(folder.glob("ssg-debian*-ds.xml"), reverse=True)), None)


@needs_oscap
@pytest.mark.skipif(_content() is None, reason="Debian's SCAP content is not installed (ssg-debian)")
def test_every_result_of_a_real_benchmark_is_a_control(tmp_path: Path) -> None:
    content = _content()
    assert content is not None
    ids = re.findall(r'<(?:[\w.-]+:)?Profile id="([^"]+)"', content.read_text())
    results = tmp_path / "results.xml"
    _evaluate(content, min(ids, key=lambda name: ("minimal" not in name, name)), results)
    words = Counter(re.findall(r"<result>(\w+)</result>", results.read_text()))
    with results.open("rb") as stream:
        report = _read(stream)
    controls = report["profiles"][0]["controls"]
    assert Counter(word for each in controls for word in each["tags"]["xccdf_results"]) == Counter(
        {word: number for word, number in words.items() if word != "notselected"}
    )
    assert controls
    assert all(each["title"] and each["desc"] for each in controls)
    assert any("nist" in each["tags"] for each in controls)
