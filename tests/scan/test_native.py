"""A full tree gives the same answers through barescan as the engine run natively inside it."""

from __future__ import annotations

import re

import pytest

from toolkit.demo import targets, trees
from toolkit.reports import hdf
from toolkit.reports.xccdf import xccdf_to_hdf
from toolkit.scan import Request, scan

pytestmark = [pytest.mark.root, pytest.mark.bundle, pytest.mark.slow]

CASES = {"debian12": "anssi_bp28_high", "ubuntu2204": "stig"}
CONTENT = "usr/share/xml/scap/ssg/content/ssg-{}-ds.xml"
RESULTS = "/dev/shm/results.xml"


@pytest.fixture(params=CASES)
def case(request, tmp_path):
    """A running full tree that passes for the system of the content, with that system's own engine in it."""
    name = request.param
    profile = CASES[name]
    packages = ["openscap-scanner", "ssg-debian", "ssg-debderived"]
    root = trees.tree("stable", packages, dest=tmp_path / "root", progress=print)
    trees.pass_for(root, name)
    target = targets.run_inside(root, f"native-{name}")
    yield name, profile, target
    targets.down(f"native-{name}")


def natively(target, name: str, profile: str) -> dict[str, hdf.Status]:
    """Return the status of each rule as the tree's own oscap, run in the tree, gives it."""
    command = [
        "oscap",
        "xccdf",
        "eval",
        "--profile",
        profile,
        "--results",
        RESULTS,
        "/" + CONTENT.format(name),
    ]
    result = target.run(command)
    assert result.returncode in {0, 2}, result.stderr
    with (target.root / RESULTS.lstrip("/")).open("rb") as stream:
        return statuses(xccdf_to_hdf(stream, engine_version="native", target=target.uri))


def statuses(report) -> dict[str, hdf.Status]:
    return {control["id"]: hdf.control_status(control) for control in report["profiles"][0]["controls"]}


def test_every_rule_has_the_result_it_has_natively(case, bundle, tmp_path):
    name, profile, target = case
    request = Request(target.uri, f"scap:{name}#{profile}", report_dir=tmp_path / "reports")
    ours = statuses(scan(request, lambda: bundle).report)
    native = natively(target, name, profile)
    different = {
        rule: (str(native.get(rule)), str(ours.get(rule)))
        for rule in native.keys() | ours.keys()
        if native.get(rule) != ours.get(rule)
    }
    assert different == {}
    decided = [status for status in native.values() if status in {hdf.Status.PASSED, hdf.Status.FAILED}]
    assert len(decided) > 50, "too few rules apply for the comparison to mean anything"


def test_the_tree_is_the_same_before_and_after(case, bundle, tmp_path):
    name, profile, target = case
    before = snapshot(target)
    scan(Request(target.uri, f"scap:{name}#{profile}", report_dir=tmp_path / "reports"), lambda: bundle)
    assert snapshot(target) == before


def snapshot(target) -> list[str]:
    """Return paths, types, modes, owners, sizes, times and hashes of the target's root, and its processes."""
    root = ["-xdev", "-printf", "%p %y %m %U %G %s %T@ %C@ %A@ %l\\n"]
    listing = target.run(["find", "/", *root]).stdout.decode()
    hashes = target.run(["find", "/etc", "/usr/bin", "-xdev", "-type", "f", "-exec", "sha256sum", "{}", "+"])
    processes = sorted(entry.name for entry in (target.root / "proc").iterdir() if entry.name.isdigit())
    # Looking itself reads directories and files, so access times are those of the first look (relatime).
    return [
        *sorted(re.sub(r" (\d+\.\d+)( \S*)$", r"\2", line) for line in listing.splitlines()),
        *sorted(hashes.stdout.decode().splitlines()),
        *processes,
    ]
