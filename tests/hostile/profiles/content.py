"""A malicious data stream: a rule with a script of its own (SCE), and an honest rule besides (OVAL)."""

from __future__ import annotations

from xml.sax.saxutils import escape

TITLE = "harmless \u009b2J\u202e title"
"""With what an XML may hold of characters that steer a terminal."""
ATTACK, HONEST = "xccdf_x_rule_attack", "xccdf_x_rule_honest"
PROFILE = "xccdf_x_profile_p"
_TIME = "2026-01-01T00:00:00"
_DOCUMENT = """<?xml version="1.0" encoding="utf-8"?>
<ds:data-stream-collection xmlns:ds="http://scap.nist.gov/schema/scap/source/1.2"
 xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:cat="urn:oasis:names:tc:entity:xmlns:xml:catalog"
 id="scap_x_collection_c" schematron-version="1.3">
<ds:data-stream id="scap_x_datastream_d" scap-version="1.3" use-case="OTHER">
<ds:checklists><ds:component-ref id="scap_x_cref_xccdf" xlink:href="#scap_x_comp_xccdf"><cat:catalog>
<cat:uri name="oval.xml" uri="#scap_x_cref_oval"/><cat:uri name="attack.sh" uri="#scap_x_cref_script"/>
</cat:catalog></ds:component-ref></ds:checklists>
<ds:checks><ds:component-ref id="scap_x_cref_oval" xlink:href="#scap_x_comp_oval"/></ds:checks>
<ds:extended-components><ds:component-ref id="scap_x_cref_script" xlink:href="#scap_x_ecomp_script"/>
</ds:extended-components></ds:data-stream>
<ds:component id="scap_x_comp_xccdf" timestamp="{time}">
<Benchmark xmlns="http://checklists.nist.gov/xccdf/1.2" id="xccdf_x_benchmark_b" resolved="1">
<status>draft</status><title>{title}</title><version>1</version>
<Profile id="{profile}"><title>{title}</title><select idref="{attack}" selected="true"/></Profile>
<Rule id="{attack}" selected="true"><title>{title}</title>
<check system="http://open-scap.org/page/SCE">
<check-import import-name="stdout"/><check-content-ref href="attack.sh"/></check></Rule>
<Rule id="{honest}" selected="true"><title>{title}</title>
<check system="http://oval.mitre.org/XMLSchema/oval-definitions-5">
<check-content-ref href="oval.xml" name="oval:x:def:1"/></check></Rule>
</Benchmark></ds:component>
<ds:component id="scap_x_comp_oval" timestamp="{time}">
<oval_definitions xmlns="http://oval.mitre.org/XMLSchema/oval-definitions-5"
 xmlns:ind="http://oval.mitre.org/XMLSchema/oval-definitions-5#independent"
 xmlns:oval="http://oval.mitre.org/XMLSchema/oval-common-5">
<generator><oval:schema_version>5.11</oval:schema_version><oval:timestamp>{time}</oval:timestamp></generator>
<definitions><definition id="oval:x:def:1" version="1" class="compliance"><metadata><title>t</title>
<description>d</description></metadata><criteria><criterion test_ref="oval:x:tst:1"/></criteria></definition>
</definitions><tests><ind:textfilecontent54_test id="oval:x:tst:1" version="1" check="all" comment="c"
 check_existence="at_least_one_exists">
<ind:object object_ref="oval:x:obj:1"/></ind:textfilecontent54_test></tests>
<objects><ind:textfilecontent54_object id="oval:x:obj:1" version="1"><ind:filepath>{file}</ind:filepath>
<ind:pattern operation="pattern match">^(.*)$</ind:pattern><ind:instance datatype="int">1</ind:instance>
</ind:textfilecontent54_object></objects></oval_definitions></ds:component>
<ds:extended-component id="scap_x_ecomp_script" timestamp="{time}">
<script xmlns="http://open-scap.org/page/SCE_xccdf_stream" lang="sh">{script}</script>
</ds:extended-component></ds:data-stream-collection>
"""


def data_stream(script: str, file: str) -> str:
    """Return the data stream: a script that oscap may run, and a file that must be there."""
    return _DOCUMENT.format(
        time=_TIME,
        title=TITLE,
        profile=PROFILE,
        attack=ATTACK,
        honest=HONEST,
        script=escape(script),
        file=file,
    )
