"""Which profiles content has, how a rule is asked for, and what oscap's words amount to."""

from __future__ import annotations

import bz2
import hashlib
from pathlib import Path

import pytest

from toolkit.engines.base import Listed, Options, Plan, RawResult
from toolkit.engines.openscap import OpenscapEngine
from toolkit.errors import CallError, ScanError

NAMESPACE = "http://checklists.nist.gov/xccdf/1.2"
CONTENT = f"""<Benchmark xmlns="{NAMESPACE}" id="xccdf_x_benchmark_b">
<title>B</title><platform idref="cpe:/o:acme:linux:1"/>
<Profile id="xccdf_x_profile_small"><title>The <em xmlns="x">small</em> one</title>
<select idref="xccdf_x_rule_a" selected="true"/></Profile>
<Profile id="xccdf_x_profile_big" extends="xccdf_x_profile_small"><title>Big</title>
<select idref="xccdf_x_rule_b" selected="true"/><select idref="xccdf_x_group_g" selected="true"/></Profile>
<Group id="xccdf_x_group_g"><title>G</title>
<Rule id="xccdf_x_rule_a" selected="false"><title>A</title></Rule>
<Rule id="xccdf_x_rule_b" selected="false"><title>B</title></Rule>
<Rule id="xccdf_x_rule_c" selected="false"><title>C</title></Rule></Group>
{{result}}</Benchmark>"""
DESCRIBED = {
    "sha256": "ab" * 32,
    "profiles": {
        "xccdf_x_profile_small": {"title": "S", "rules": 1},
        "xccdf_x_profile_verysmall": {"title": "V", "rules": 3},
    },
}
ENGINE = OpenscapEngine(
    {
        "engines": {"openscap": {"version": "1.4.2"}},
        "content": {"acme": "share/scap/acme.xml.gz"},
        "described": {"acme": DESCRIBED},
    }
)


@pytest.fixture
def content(tmp_path: Path) -> Path:
    path = tmp_path / "content.xml"
    path.write_text(CONTENT.format(result=""))
    return path


def test_profiles_are_listed_as_the_command_line_takes_them(content: Path) -> None:
    sha256 = hashlib.sha256(content.read_bytes()).hexdigest()
    assert ENGINE.listed(str(content)) == [
        Listed(f"{content}#small", "The small one (1 rule)", sha256),
        Listed(f"{content}#big", "Big (2 rules)", sha256),
    ]
    assert [each.profile for each in ENGINE.listed("scap:")] == ["scap:acme#small", "scap:acme#verysmall"]
    for source in ("scap:nope", "missing.xml"):
        with pytest.raises(CallError):
            ENGINE.listed(source)


def test_an_unknown_profile_is_answered_with_those_there_are(content: Path) -> None:
    with pytest.raises(CallError, match="has no profile 'bigg'") as caught:
        ENGINE.plan(f"{content}#bigg", Options())
    assert caught.value.remedy == "it has big, small"
    with pytest.raises(CallError, match="several profiles that end in 'll'"):
        ENGINE.plan("scap:acme#ll", Options())
    for word in ("xccdf_x_profile_small", "_small", "(all)", "(default)"):
        assert word in ENGINE.plan(f"{content}#{word}", Options()).argv


def test_how_many_rules_there_will_be_and_what_content_it_is(content: Path) -> None:
    plan = ENGINE.plan(f"{content}#big", Options())
    assert plan.total == 2
    assert ENGINE.plan(f"{content}#big", Options(controls=("a",))).total == 1
    packed = content.with_suffix(".xml.bz2")
    packed.write_bytes(bz2.compress(content.read_bytes()))
    assert ENGINE.plan(f"{packed}#big", Options()).sha256 == plan.sha256
    assert ENGINE.plan("scap:acme#_small", Options()).sha256 == "ab" * 32


def test_content_that_can_not_be_read_here_is_left_to_oscap(tmp_path: Path) -> None:
    (tmp_path / "x.xml").write_text("<not finished")
    assert ENGINE.plan(f"{tmp_path}/x.xml#some", Options()).total is None
    (tmp_path / "x.xml.bz2").write_bytes(b"BZh9 no archive")
    with pytest.raises(CallError, match="can't be read"):
        ENGINE.plan(f"{tmp_path}/x.xml.bz2#some", Options())


def result(tmp_path: Path, rule: str, profile: str = "xccdf_x_profile_small") -> RawResult:
    said = f"""<TestResult id="t" start-time="2026-01-01T00:00:00+00:00"><profile idref="{profile}"/>
    <rule-result idref="{rule}"><result>fail</result></rule-result></TestResult>"""
    path = tmp_path / "results.xml"
    path.write_text(CONTENT.format(result=said))
    return RawResult(2, {"results.xml": path})


def test_a_rule_that_the_profile_does_not_select_is_no_finding_of_it(content: Path, tmp_path: Path) -> None:
    plan = ENGINE.plan(f"{content}#small", Options(controls=("xccdf_x_rule_b",)))
    with pytest.raises(CallError, match="does not select xccdf_x_rule_b, which --controls names"):
        ENGINE.to_hdf(plan, result(tmp_path, "xccdf_x_rule_b"), target="pid://1")
    for rule, profile in (("a", "small"), ("a", "big"), ("b", "big"), ("b", "unheard_of")):
        raw = result(tmp_path, f"xccdf_x_rule_{rule}", f"xccdf_x_profile_{profile}")
        found = ENGINE.to_hdf(plan, raw, target="pid://1")
        assert len(found["profiles"][0]["controls"]) == 1
    assert found["profiles"][0]["supports"] == [{"platform": "cpe:/o:acme:linux:1"}]


@pytest.mark.parametrize(
    ("stderr", "kind", "said"),
    [
        (
            "OpenSCAP Error: Rule 'xccdf_org.ssgproject.content_rule_nope' not found in selected profile.",
            CallError,
            "has no rule 'nope'",
        ),
        ("OpenSCAP Error: Could not parse /sys/firmware/job/content/c.xml", CallError, "parse own/c.xml"),
        ("WARNING: x\nI: y\nno memory", ScanError, "no memory"),
    ],
)
def test_the_words_of_oscap(stderr: str, kind: type[Exception], said: str, content: Path) -> None:
    sent = ENGINE.plan(f"{content}#small", Options()).files[0]._replace(name="content/c.xml")
    plan = Plan(argv=("x",), files=(sent,), title="own/c.xml#small")
    with pytest.raises(kind, match=said):
        ENGINE.to_hdf(plan, RawResult(1, {}, stderr), target="pid://1")
