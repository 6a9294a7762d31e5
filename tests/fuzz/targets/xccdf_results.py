"""What oscap leaves: its result file."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from random import Random
from xml.etree import ElementTree

from tests.fuzz.harness import Outcome, Target, mutate_bytes
from tests.fuzz.targets.inspec_report import judge
from toolkit.engines.base import Plan, RawResult
from toolkit.engines.openscap import OpenscapEngine
from toolkit.reports import hdf

_ENGINE = OpenscapEngine({"engines": {"openscap": {"version": "1.4.2"}}})
_PLAN = Plan(argv=("x",), title="content.xml#p")
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>'
_NAMESPACE = "http://checklists.nist.gov/xccdf/1.2"


def document(first: str = "pass", second: str = "pass") -> str:
    """Return a result file of two rules."""
    return f"""{_HEAD}
<Benchmark xmlns="{_NAMESPACE}" id="b"><title>B</title><version>1</version>
<platform idref="cpe:/o:debian:debian_linux:12"/>
<Profile id="p"><title>P</title><select idref="r1" selected="true"/></Profile>
<Group id="g"><title>G</title>
<Rule id="r1" severity="high"><title>One</title><description>D <b xmlns="http://www.w3.org/1999/xhtml">x</b>
</description><reference href="https://public.cyber.mil/stigs/cci/">CCI-000366</reference>
<fix system="urn:xccdf:fix:script:sh">chmod</fix></Rule>
<Rule id="r2" severity="low" selected="true"><title>Two</title></Rule></Group>
<TestResult id="t" start-time="2026-01-01T00:00:00+00:00" end-time="2026-01-01T00:00:07">
<profile idref="p"/><platform idref="cpe:/o:debian:debian_linux:12"/><set-value idref="v">9</set-value>
<rule-result idref="r1" time="2026-01-01T00:00:01" severity="high"><result>{first}</result>
<check system="s"><check-content-ref name="o" href="o.xml"/></check></rule-result>
<rule-result idref="r2"><result>{second}</result><message>said</message></rule-result>
<score>1</score></TestResult></Benchmark>"""


def seeds() -> list[bytes]:
    return [
        document().encode(),
        document("fail", "notchecked").encode(),
        document().replace("UTF-8", "UTF-16").encode("utf-16"),
    ]


def run(data: bytes) -> Outcome:
    """Give the engine the file; what it makes of it must be a report that is read back."""
    with tempfile.TemporaryDirectory(prefix="barescan-fuzz-") as folder:
        path = Path(folder, "results.xml")
        path.write_bytes(data)
        found = _ENGINE.to_hdf(_PLAN, RawResult(0, {"results.xml": path}), target="pid://1")
        hdf.write(found, Path(folder, "report.hdf.json"))
        assert hdf.load(Path(folder, "report.hdf.json")) == found
    outcome = judge(found)
    assert outcome is not Outcome.PASSED or _all_good(data), "a pass with a bad result in the file"
    return outcome


def _all_good(data: bytes) -> bool:
    """Tell by another parser whether no rule of weight has another result than a good one."""
    try:
        whole = ElementTree.fromstring(data)
    except ElementTree.ParseError:
        return True  # expat refuses some UTF-16 that libxml2 mends; nothing can be told then
    tests = whole.iter(f"{{{_NAMESPACE}}}TestResult")
    results = list(tests)[-1].iterfind(f"{{{_NAMESPACE}}}rule-result")
    words = [
        (word.text or "").strip()
        for result in results
        if result.get("severity") != "info"
        for word in result.iter(f"{{{_NAMESPACE}}}result")
    ]
    return not set(words) - {"pass", "fixed", "notselected", "notapplicable", "informational"}


_PIECE = re.compile(rb'<[^<>]*>|"[^"]*"|[^<>"\s]+')
_PIECES = (
    *(b"<result>fail</result>", b"<result/>", b"<!-- x -->", b"<![CDATA[x]]>", b"&amp;", b"&#0;", b"&x;"),
    *(b"<TestResult>", b"</TestResult>", b"<rule-result>", b'<rule-result idref="r1">', b"</rule-result>"),
    *(
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        b"<?xml-stylesheet href='x'?>",
        b"notselected",
    ),
    *(b'xmlns=""', b'id="r1"', b'selected="false"', b"\xff", b"informational", b"<Rule>", b'severity="info"'),
)


def mutate(data: bytes, random: Random) -> bytes:
    """Exchange, repeat, drop and put in tags, attributes and words."""
    if random.random() < 0.3:
        return mutate_bytes(data, random)
    for _ in range(random.randint(1, 3)):
        found = list(_PIECE.finditer(data))
        if not found:
            return mutate_bytes(data, random)
        place, other = random.choice(found), random.choice(found)
        new = random.choice((random.choice(_PIECES), other.group(), b"", place.group() * 2))
        data = data[: place.start()] + new + data[place.end() :]
    return data


TARGET = Target(run, seeds, mutate)
