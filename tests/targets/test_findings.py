"""What the baseline must find in each target and what it must not, through the real auditor."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.targets.conftest import BASELINE, Targets
from tests.targets.expected import EXPIRED, TARGETS
from toolkit.reports.hdf import Status

pytestmark = [
    pytest.mark.root,
    pytest.mark.docker,
    pytest.mark.bundle,
    pytest.mark.auditor,
    pytest.mark.slow,
]
_END = "-----END CERTIFICATE-----\n"


def _has_expired(bundle: str) -> bool:
    """Say, by another program than the profile's, whether a bundle holds an expired certificate."""
    assert shutil.which("openssl"), "openssl is needed to know what to expect"
    return any(
        subprocess.run(
            ["openssl", "x509", "-noout", "-checkend", "0"],
            input=(block + _END).encode(),
            capture_output=True,
            check=False,
        ).returncode
        for block in bundle.split(_END)[:-1]
    )


@pytest.mark.parametrize("target", TARGETS)
def test_baseline_finds_what_is_wrong_and_nothing_else(scans: Targets, target: str) -> None:
    expected, failed = TARGETS[target], set(TARGETS[target].failed)
    if expected.certificates:
        bundle = scans.file(target, "/etc/ssl/certs/ca-certificates.crt").decode()
        failed |= {EXPIRED} if _has_expired(bundle) else set()
    scanned = scans.scanned(target, "pid", BASELINE)
    assert len(scanned.statuses) == 29
    assert scanned.numbers(Status.FAILED) == failed
    assert scanned.numbers(Status.NOT_REVIEWED) == expected.skipped
    assert scanned.numbers(Status.PROFILE_ERROR) == set()
    assert len(scanned.ids(Status.PASSED)) == 29 - len(failed) - len(expected.skipped)


_PACKAGES = """\
control '{name}' do
  describe package('{name}') do
    it {{ should be_installed }}
    its('version') {{ should start_with '{version}' }}
  end
end
"""


def _profile(folder: Path, controls: str) -> Path:
    (folder / "controls").mkdir()
    (folder / "inspec.yml").write_text("name: asked\nversion: 0.1.0\n")
    (folder / "controls" / "asked.rb").write_text(controls)
    return folder


@pytest.mark.parametrize("target", [name for name, expected in TARGETS.items() if expected.packages])
def test_packages_are_those_of_the_image_s_own_database(scans: Targets, target: str, tmp_path: Path) -> None:
    packages = TARGETS[target].packages or {}
    text = "".join(_PACKAGES.format(name=name, version=version or "") for name, version in packages.items())
    scanned = scans.scanned(target, "pid", _profile(tmp_path, text))
    assert scanned.ids(Status.PASSED) == {name for name, version in packages.items() if version}
    assert scanned.ids(Status.FAILED) == {name for name, version in packages.items() if not version}


@pytest.mark.parametrize("target", ["wolfi", "scratch"])
def test_packages_that_nobody_can_ask_for_are_not_reviewed(
    scans: Targets, target: str, tmp_path: Path
) -> None:
    text = _PACKAGES.format(name="glibc", version="2")
    assert scans.scanned(target, "pid", _profile(tmp_path, text)).ids(Status.NOT_REVIEWED) == {"glibc"}


def test_volumes_tmpfs_and_read_only_roots_are_seen_as_the_target_sees_them(
    scans: Targets, tmp_path: Path
) -> None:
    text = """
    control 'volume' do
      describe file('/data/started') do
        it { should exist }
        its('owner') { should eq 'nonroot' }
        its('content') { should match(/^[0-9]+$/) }
      end
    end
    control 'tmpfs' do
      describe mount('/tmp') do
        it { should be_mounted }
        its('type') { should eq 'tmpfs' }
        its('options') { should include 'noexec' }
      end
    end
    control 'read-only' do
      describe mount('/') do
        its('options') { should include 'ro' }
      end
    end
    """
    profile = _profile(tmp_path, text)
    found = {name: scans.scanned(name, "pid", profile).ids(Status.PASSED) for name in ("python", "shell")}
    found["nonroot-readonly"] = scans.scanned("nonroot-readonly", "pid", profile).ids(Status.PASSED)
    assert found == {
        "python": {"volume", "read-only"},
        "nonroot-readonly": {"tmpfs", "read-only"},
        "shell": set(),
    }
