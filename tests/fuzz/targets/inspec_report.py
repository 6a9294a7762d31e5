"""What CINC Auditor leaves: its JSON report, and the shim's two records after separators of ours."""

from __future__ import annotations

import copy
import json
import tempfile
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.harness import Outcome, Target, mutate_json
from tests.fuzz.oracle import check_pass
from toolkit.engines.base import Plan, RawResult
from toolkit.engines.cinc import CincEngine
from toolkit.reports import hdf
from toolkit.scan import exit_status

_BREAK = b"\n=====\n"
_NAMES = ("report.json", "refused.json", "absent.json")
_ENGINE = CincEngine({"engines": {"cinc": {"version": "5.22.97"}}})
_PLAN = Plan(argv=("x",), title="demo", waived=("other",))


def _control(control_id: str, *statuses: str, **members: Any) -> dict[str, Any]:
    results = [{"status": status, "code_desc": "it is", "start_time": "now"} for status in statuses]
    return {
        "id": control_id,
        "impact": 0.5,
        "title": "t",
        "desc": "d",
        "tags": {},
        "results": results,
    } | members


def report(*controls: dict[str, Any]) -> dict[str, Any]:
    """Return a report as the auditor writes it."""
    profile = {
        "name": "demo",
        "status": "loaded",
        "supports": [{"platform": "debian"}],
        "attributes": [{"name": "a", "options": {"value": "secret", "sensitive": True}}],
        "controls": list(controls),
    }
    return {
        "platform": {"name": "debian", "release": "12", "target_id": "barescan"},
        "profiles": [profile],
        "statistics": {"duration": 0.1},
        "version": "5.22.97",
    }


_ONE, _TWO = _control("one", "passed"), _control("two", "passed", "passed")
_BROKEN = _control("three", "failed", message="undefined method `x' for nil", backtrace=["x"])


def join(whole: dict[str, Any], refused: object, absent: object) -> bytes:
    """Return the input for a report and its records."""
    return _BREAK.join(json.dumps(each).encode() for each in (whole, refused, absent))


def seeds() -> list[bytes]:
    return [
        join(report(_ONE, _TWO), {}, {}),
        join(report(_ONE, _control("two", "failed")), {"one": "/usr/bin/id"}, {}),
        join(report(_ONE, copy.deepcopy(_BROKEN)), {}, {"three": ["rpm"]}),
        json.dumps(report(_ONE, _TWO)).encode(),
    ]


def judge(whole: dict[str, Any]) -> Outcome:
    """Judge a report as a scan does, and hold a pass against the oracle."""
    summary = hdf.summarise(whole)
    if summary.total == summary.count(hdf.Status.NOT_APPLICABLE) or exit_status(summary, None):
        return Outcome.TAKEN
    check_pass(whole)
    return Outcome.PASSED


def run(data: bytes) -> Outcome:
    """Give the engine what came back; a report that is taken must be one that can be written and read."""
    parts = data.split(_BREAK)
    with tempfile.TemporaryDirectory(prefix="barescan-fuzz-") as folder:
        paths = {name: Path(folder, name) for name, _ in zip(_NAMES, parts, strict=False)}
        for path, part in zip(paths.values(), parts, strict=False):
            path.write_bytes(part)
        found = _ENGINE.to_hdf(_PLAN, RawResult(0, paths), target="pid://1")
        _ENGINE.warnings(_PLAN, found)
        hdf.write(found, Path(folder, "report.hdf.json"))
        assert hdf.load(Path(folder, "report.hdf.json")) == found
    return judge(found)


def mutate(data: bytes, random: Random) -> bytes:
    parts = data.split(_BREAK)
    place = random.choice((0, 0, 0, random.randrange(len(parts))))
    parts[place] = mutate_json(parts[place], random)
    return _BREAK.join(parts)


TARGET = Target(run, seeds, mutate)
