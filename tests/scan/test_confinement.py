"""What the user says about the confinement, and what the records of a scan say about it."""

from __future__ import annotations

import json

import pytest

from toolkit import confinement
from toolkit.agent import landlock, layers
from toolkit.demo import distroless
from toolkit.runtimes import cgroups

SCAN = ("scan", "--profile", "scap:debian12#anssi_bp28_minimal")


def test_a_confinement_that_is_none_is_a_bad_call(barescan):
    done = barescan(*SCAN, "--target", "pid://1", "--require-confinement", "most")
    assert done.returncode == 1
    assert "there is no confinement 'most'" in done.stderr


@pytest.mark.parametrize("flag", ["--allow-network", "--allow-target-exec", "--trust-target", "--privileged"])
def test_what_is_demanded_can_not_be_lifted_too(barescan, flag):
    done = barescan(*SCAN, "--target", "pid://1", "--require-confinement", "full", flag)
    assert done.returncode == 1
    assert f"--require-confinement full does not go with {flag}" in done.stderr


def _record(barescan):
    (folder,) = barescan.scans()
    return json.loads((folder / "scan.json").read_bytes()), folder


@pytest.mark.root
@pytest.mark.bundle
def test_the_record_names_every_layer(barescan):
    if landlock.version()[0] < landlock.SCOPES:
        pytest.skip("needs Landlock with scopes (Linux 6.12)")
    with cgroups.group() as group:
        if not group.made:
            pytest.skip("no control group can be made here")
    done = barescan(
        *SCAN, "--target", f"rootfs://{distroless.assemble('base')}", "--require-confinement", "full"
    )
    assert done.returncode in {0, 100, 101}, done.stderr
    record, folder = _record(barescan)
    assert set(record["confinement"]) == set(layers.NAMES)
    assert layers.lacking(record["confinement"]) == []
    assert record["lifted"] == []
    report = json.loads((folder / "report.hdf.json").read_bytes())
    assert report["passthrough"]["barescan"] == {"lifted": [], "confinement": record["confinement"]}


@pytest.mark.root
@pytest.mark.bundle
def test_a_layer_that_was_lifted_marks_record_report_and_summary(barescan):
    done = barescan(*SCAN, "--target", f"rootfs://{distroless.assemble('base')}", "--allow-target-exec")
    assert done.returncode in {0, 100, 101}, done.stderr
    assert "programs of the target may have run" in " ".join(done.stdout.split())
    record, folder = _record(barescan)
    assert record["lifted"] == ["--allow-target-exec"]
    assert record["confinement"]["noexec"] == "lifted by --allow-target-exec"
    report = json.loads((folder / "report.hdf.json").read_bytes())
    assert report["passthrough"]["barescan"]["lifted"] == ["--allow-target-exec"]


@pytest.mark.parametrize("facts", [{}, {"confinement": []}, {"confinement": {"noexec": 3}}])
def test_an_agent_that_does_not_say_lacks_all(facts):
    assert len(confinement.lacking(facts)) == len(layers.NAMES)


def test_what_does_not_apply_lacks_nothing():
    said = dict.fromkeys(layers.NAMES, "on") | {"cgroup": "does not apply: no control group bounds memory"}
    assert confinement.lacking({"confinement": said}) == []
