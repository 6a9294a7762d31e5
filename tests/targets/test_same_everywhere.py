"""A target gives the same results whichever way it is reached.

Left out are questions that a tree can't answer which does not run: about processes, mounts and the network.
"""

from __future__ import annotations

import re

import pytest

from tests.targets.conftest import BASELINE, LIVE, SCAP, WAYS, Targets
from tests.targets.expected import OF_THE_PROCESS, TARGETS
from toolkit.reports.hdf import Status

pytestmark = [pytest.mark.root, pytest.mark.docker, pytest.mark.bundle, pytest.mark.slow]
OTHERS = [way for way in WAYS if way != "pid"]
_ASKS_WHAT_RUNS = re.compile(r"mount_option|partition_for|sysctl|service_|_running|firewall|ipv6|wireless")


def _answers(scanned, way: str) -> dict[str, tuple[Status, frozenset[tuple[str, str]]]]:
    """Control → its status, and description and status of each of its results."""
    left_out = set() if way in LIVE else {f"BARE-DL-{number:06d}" for number in OF_THE_PROCESS}
    return {
        name: (
            status,
            frozenset(
                (result.get("code_desc", ""), result["status"])
                for result in scanned.controls[name]["results"]
            ),
        )
        for name, status in scanned.statuses.items()
        if name not in left_out and not (way not in LIVE and _ASKS_WHAT_RUNS.search(name))
    }


def _compare(scans: Targets, target: str, way: str, profile) -> None:
    native, other = scans.scanned(target, "pid", profile), scans.scanned(target, way, profile)
    assert other.refusal == native.refusal
    ours, theirs = _answers(other, way), _answers(native, way)
    assert {name: (theirs.get(name), ours[name]) for name in ours if ours[name] != theirs.get(name)} == {}
    assert ours.keys() == theirs.keys()
    assert len(ours) > 20 or native.refusal


@pytest.mark.parametrize("way", OTHERS)
@pytest.mark.parametrize("target", TARGETS)
def test_openscap_says_the_same(scans: Targets, target: str, way: str) -> None:
    _compare(scans, target, way, SCAP)


@pytest.mark.auditor
@pytest.mark.parametrize("way", OTHERS)
@pytest.mark.parametrize("target", TARGETS)
def test_the_auditor_says_the_same(scans: Targets, target: str, way: str) -> None:
    _compare(scans, target, way, BASELINE)


@pytest.mark.auditor
@pytest.mark.parametrize("way", sorted(set(WAYS) - LIVE))
@pytest.mark.parametrize("target", TARGETS)
def test_questions_about_the_process_of_a_tree_are_not_reviewed(
    scans: Targets, target: str, way: str
) -> None:
    scanned = scans.scanned(target, way, BASELINE)
    assert scanned.numbers(Status.NOT_REVIEWED) >= OF_THE_PROCESS
