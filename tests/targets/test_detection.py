"""What the agent says a target is, and what OpenSCAP makes of it, against what is known of the image."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.targets.conftest import SCAP, WAYS, Targets
from tests.targets.expected import OPENSCAP, TARGETS
from toolkit.reports.hdf import Status

pytestmark = [pytest.mark.root, pytest.mark.docker, pytest.mark.bundle, pytest.mark.slow]
RULE = "xccdf_org.ssgproject.content_rule_"
APPLIES = [name for name, expected in TARGETS.items() if expected.debian12]


def _facts(scans: Targets, target: str, way: str = "pid") -> dict[str, Any]:
    record = json.loads((scans.scanned(target, way, SCAP).folder / "scan.json").read_text())
    facts: dict[str, Any] = record["target"]
    return facts


def _names(paths: list[str]) -> set[str]:
    return {path.rpartition("/")[2] for path in paths}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("target", TARGETS)
def test_target_is_recognised_for_what_it_is(scans: Targets, target: str, way: str) -> None:
    facts, expected = _facts(scans, target, way), TARGETS[target]
    release = facts["os_release"]
    assert (release.get("ID"), release.get("VERSION_ID")) == (expected.system or (None, None))
    assert facts["package_databases"] == expected.databases
    assert facts["libc"] == expected.libc
    assert _names(facts["shells"]) == expected.shells
    assert _names(facts["package_managers"]) == expected.managers
    assert facts["distroless"] is expected.distroless


@pytest.mark.parametrize("target", TARGETS)
def test_process_is_the_engine_s(scans: Targets, target: str) -> None:
    about, running = _facts(scans, target)["target"], scans.running(target)
    assert (about["pid"], about["uid"]) == (running.pid, TARGETS[target].uid)
    assert about["container_id"] == running.container.id
    assert about["executable"] == ("/usr/bin/python3.13" if target == "python" else "/app")


@pytest.mark.parametrize("target", APPLIES)
def test_rules_of_debian_12_say_what_is_true_of_the_image(scans: Targets, target: str) -> None:
    scanned = scans.scanned(target, "pid", SCAP)
    passed = {name.removeprefix(RULE) for name in scanned.ids(Status.PASSED)}
    assert passed >= OPENSCAP["passed"]
    of_pam = {scanned.statuses[RULE + rule] for rule in OPENSCAP["of PAM"]}
    assert of_pam == {Status.NOT_APPLICABLE if TARGETS[target].distroless else Status.FAILED}


@pytest.mark.parametrize("target", sorted(set(TARGETS) - set(APPLIES)))
def test_content_for_another_system_is_refused_and_no_pass(scans: Targets, target: str) -> None:
    assert "applies to this target" in scans.scanned(target, "pid", SCAP).refusal


@pytest.mark.parametrize("target", TARGETS)
def test_scan_leaves_the_container_as_it_was(scans: Targets, target: str) -> None:
    running = scans.running(target)
    before = running.container.diff()
    scans.scanned(target, "pid", SCAP)
    running.container.reload()
    assert running.container.diff() == before
    assert running.container.status == "running"
    assert running.container.attrs["RestartCount"] == 0
