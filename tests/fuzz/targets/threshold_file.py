"""Threshold files, and the YAML that users write for an auditor."""

from __future__ import annotations

import re
from random import Random

from tests.fuzz.harness import Outcome, Target, mutate_bytes
from tests.reports.builders import control, profile, report
from toolkit.engines import yaml_text
from toolkit.errors import CallError
from toolkit.reports import threshold

_FAILED = report(profile("p", control("a", "passed"), control("b", "failed", impact=0.9)))
_SEEDS = (
    b"compliance:\n  min: 80\nfailed:\n  total: {max: 0}\n  critical: {max: 0, controls: []}\n",
    b"compliance.min: 100\nfailed.total.max: 0\nerror.total: 0\n",
    b"passed:\n  high:\n    controls: [a, 1.10]\nno_impact: {total: 3}\nskipped: {low: {min: 1, max: 2}}\n",
    b'%YAML 1.1\n---\nfailed: &x {high: {max: "0"}}\nerror: *x\n...\n',
)
_WORDS = (
    *(b"*x", b"&x ", b"!!int ", b"!!python/object:os.system ", b'"\\U00110000"', b'"\\uD800"', b"? ", b"- "),
    *(b"%YAML 1.1\n---\n", b"failed: ", b"max: ", b"\t", b"{", b"}", b"[", b"]", b": ", b"\n", b"|\n", b"0"),
)


def run(data: bytes) -> Outcome:
    """Read a gate; one that speaks of failures in the usual way must see the one in the report."""
    for read in (yaml_text.compose, threshold.parse):
        try:
            taken = read(data, "gate.yml")
        except CallError:
            if read is threshold.parse:
                raise
    assert isinstance(taken, threshold.Threshold)
    verdict = threshold.judge(taken, _FAILED)
    assert verdict.checks, "a gate without a bound"
    strict = re.search(rb"^failed(?:\.total\.max: 0$|:\n  total: \{max: 0\}$)", data, re.MULTILINE)
    assert not (verdict.met and strict and b"\n---" not in data), "a gate that does not see a failure"
    return Outcome.PASSED if verdict.met else Outcome.TAKEN


def mutate(data: bytes, random: Random) -> bytes:
    if random.random() < 0.5:
        return mutate_bytes(data, random)
    for _ in range(random.randint(1, 3)):
        place = random.randint(0, len(data))
        data = data[:place] + random.choice(_WORDS) + data[place + random.choice((0, 0, 1, 4)) :]
    return data


TARGET = Target(run, lambda: list(_SEEDS), mutate)
