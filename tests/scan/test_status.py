"""Exit statuses, run folders and the choice of an engine: decided in one place each."""

from __future__ import annotations

import stat
from typing import Any

import pytest

from toolkit import engines, runs
from toolkit.errors import CallError
from toolkit.reports import hdf, threshold
from toolkit.scan import exit_status


def report(*statuses: str, impact: float = 0.5) -> dict[str, Any]:
    """Return an HDF report with one control for each result status."""
    controls = [
        {
            "id": f"c{number}",
            "title": "t",
            "desc": "d",
            "impact": impact,
            "tags": {},
            "refs": [],
            "code": "",
            "source_location": {},
            "results": [{"status": status, "code_desc": "x", "start_time": "2026-01-01T00:00:00Z"}],
        }
        for number, status in enumerate(statuses)
    ]
    profile = {
        "name": "p",
        "sha256": "",
        "supports": [],
        "attributes": [],
        "groups": [],
        "controls": controls,
    }
    return {
        "platform": {"name": "x", "release": "1"},
        "profiles": [profile],
        "statistics": {},
        "version": "1",
    }


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (["passed"], 0),
        (["passed", "failed"], 100),
        (["passed", "skipped"], 101),
        (["skipped", "failed"], 100),
        (["passed", "error"], 100),
    ],
)
def test_without_a_threshold_the_worst_control_decides(statuses, expected):
    assert exit_status(hdf.summarise(report(*statuses)), None) == expected


@pytest.mark.parametrize(("maximum", "expected"), [(1, 0), (0, 100)])
def test_with_a_threshold_the_gate_alone_decides(maximum, expected):
    limits = threshold.parse(f"failed:\n  total:\n    max: {maximum}\n".encode(), "gate.yml")
    found = report("failed", "skipped")
    assert exit_status(hdf.summarise(found), threshold.judge(limits, found)) == expected


def test_folders_of_runs_are_private_and_never_the_same(tmp_path):
    first, second = (runs.new_folder(runs.new_run(tmp_path), "pid://1") for _ in range(2))
    assert first != second
    assert first.name == "pid-1"
    assert stat.S_IMODE(first.stat().st_mode) == 0o700
    runs.write_json(first / "scan.json", {"a": 1})
    assert stat.S_IMODE((first / "scan.json").stat().st_mode) == 0o600
    with pytest.raises(CallError, match="exists already"):
        runs.write_json(first / "scan.json", {"a": 2})


def test_a_place_that_is_no_directory_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for call in (
        lambda: runs.new_run(tmp_path / "file"),
        lambda: runs.check_place(tmp_path / "file/a"),
    ):
        with pytest.raises(CallError, match=r"can't be written below .*: Not a directory"):
            call()
    runs.check_place(tmp_path / "not" / "yet")
    assert not (tmp_path / "not").exists()


def test_a_hostile_uri_stays_below_the_run(tmp_path):
    folder = runs.new_folder(runs.new_run(tmp_path), "rootfs:///../../etc/\x1b[31m" + "x" * 300)
    assert folder.parent.parent == tmp_path
    assert folder.name.isascii()


def test_engines_are_chosen_by_what_the_profile_is(tmp_path):
    manifest = {"engines": {"openscap": {"version": "1"}, "cinc": {"version": "5"}}}
    (tmp_path / "inspec.yml").write_text("name: x\nversion: 1.0.0\n")
    assert engines.choose("auto", "scap:debian12#x", manifest).name == "openscap"
    assert engines.choose("auto", str(tmp_path), manifest).name == "cinc"
    with pytest.raises(CallError, match="no profile that an engine knows"):
        engines.choose("auto", "nothing.txt", manifest)
    with pytest.raises(CallError, match="no engine"):
        engines.choose("chef", "scap:debian12#x", manifest)


def test_an_engine_that_the_bundle_lacks_says_how_to_get_it(tmp_path):
    (tmp_path / "inspec.yml").write_text("name: x\nversion: 1.0.0\n")
    with pytest.raises(CallError, match="no cinc engine") as caught:
        engines.require(engines.choose("auto", str(tmp_path), {"engines": {"openscap": {"version": "1"}}}))
    assert "gems" in caught.value.remedy
