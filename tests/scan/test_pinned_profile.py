"""`--profile-sha256`: with another profile than the pinned one nothing begins, whatever the target."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fleet.conftest import run_of
from toolkit import fleet
from toolkit import scan as scanning
from toolkit.errors import CallError
from toolkit.scan import Request

BASELINE = Path(__file__).parents[2] / "profiles" / "distroless-baseline"
XCCDF = b'<Benchmark xmlns="http://checklists.nist.gov/xccdf/1.2" id="b"><Profile id="p"/></Benchmark>'


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BASELINE, tmp_path / "profile"))


def printed(barescan, profile: Path) -> str:
    """The hash as a user gets it."""
    done = barescan("profiles", "--profile", str(profile))
    assert done.returncode == 0, done.stderr
    return str(done.stdout.split()[-1])


def by_hand(profile: Path) -> str:
    """The hash as docs/profile.md explains it, without barescan."""
    whole = hashlib.sha256()
    for name in sorted(str(path.relative_to(profile)) for path in profile.rglob("*") if path.is_file()):
        whole.update(name.encode() + b"\0" + hashlib.sha256((profile / name).read_bytes()).digest())
    return whole.hexdigest()


def test_the_hash_is_that_of_the_documentation_whatever_the_form(barescan, profile, tmp_path):
    found = printed(barescan, profile)
    assert found == by_hand(profile)
    with tarfile.open(tmp_path / "p.tar.gz", "w:gz") as archive:
        archive.add(profile, "baseline-1.0")
    assert printed(barescan, tmp_path / "p.tar.gz") == found
    (tmp_path / "a.xml").write_bytes(XCCDF)
    assert hashlib.sha256(XCCDF).hexdigest() in barescan("profiles", "--profile", "a.xml").stdout


@pytest.mark.parametrize("targets", [1, 2])
def test_another_profile_is_refused_before_any_target_is_touched(targets, barescan, profile):
    pinned = printed(barescan, profile)
    with (profile / "controls" / "extra.rb").open("w") as file:
        file.write("# one line\n")
    now = printed(barescan, profile)
    named = [word for number in range(targets) for word in ("--target", f"rootfs:///nowhere{number}")]
    done = barescan("scan", "--profile", str(profile), "--profile-sha256", pinned, *named)
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert pinned in said
    assert now in said
    assert "nowhere0" not in said
    assert not list(barescan.folder.glob("reports/*"))


def test_the_pinned_profile_is_taken_in_either_case(barescan, profile):
    pinned = printed(barescan, profile)
    for text in (pinned, pinned.upper(), f"sha256:{pinned}"):
        done = barescan(
            "scan", "--profile", str(profile), "--profile-sha256", text, "--target", "rootfs:///nowhere"
        )
        assert "/nowhere" in done.stderr, done.stderr
        assert "SHA-256" not in done.stderr


@pytest.mark.parametrize("text", ["abc", "0" * 63, "0" * 65, "g" * 64, f"sha512:{'0' * 64}", "\u0660" * 64])
def test_what_is_no_hash_is_told(text, barescan):
    done = barescan("scan", "--profile", "x", "--profile-sha256", text, "--target", "pid://1")
    assert done.returncode == 1
    assert "is no SHA-256" in done.stderr


def test_a_file_of_xccdf_is_pinned_by_its_content(tmp_path):
    (tmp_path / "a.xml").write_bytes(XCCDF)
    right = hashlib.sha256(XCCDF).hexdigest()
    request = Request("", f"{tmp_path}/a.xml#p", right, report_dir=tmp_path)
    scanning.check(request)
    with pytest.raises(CallError, match=right) as caught:
        scanning.check(replace(request, profile_sha256="0" * 64))
    assert "0" * 64 in caught.value.cause


@pytest.mark.root
@pytest.mark.bundle
def test_content_of_the_bundle_is_pinned_too(barescan, bundle):
    right = bundle.manifest["described"]["debian12"]["sha256"]
    call = ["scan", "--profile", "scap:debian12#anssi_bp28_minimal", "--profile-sha256", "0" * 64]
    for targets in (["--target", "rootfs:///"], ["--target", "rootfs:///", "--target", "rootfs:///usr"]):
        done = barescan(*call, *targets)
        assert done.returncode == 1
        assert right in done.stderr
        assert not list(barescan.folder.glob("reports/*/*/scan.json"))


def test_a_run_is_resumed_with_the_hash_it_was_made_with(profile, tmp_path):
    pinned = by_hand(profile)
    uris = ["rootfs:///nowhere0", "rootfs:///nowhere1"]
    request = Request("", str(profile), pinned, report_dir=tmp_path / "reports")
    fleet.begin(uris, request, fleet.describe(request)).write()
    folder, said = run_of(tmp_path / "reports")
    assert said["options"]["profile_sha256"] == pinned
    _run, again = fleet.resume(folder, replace(request, profile="", profile_sha256=""), {})
    assert again.profile_sha256 == pinned
    scanning.check(again)
    with pytest.raises(CallError, match=pinned):
        fleet.resume(folder, replace(request, profile_sha256="0" * 64), {})
    (profile / "inspec.yml").write_text((profile / "inspec.yml").read_text() + "\n")
    with pytest.raises(CallError, match=f"and --profile-sha256 asks for {pinned}"):
        scanning.check(again)


def test_a_run_without_a_pin_is_not_resumed_with_one(profile, tmp_path):
    request = Request("", str(profile), report_dir=tmp_path / "reports")
    fleet.begin(["rootfs:///nowhere"], request, fleet.describe(request)).write()
    folder, _said = run_of(tmp_path / "reports")
    with pytest.raises(CallError, match=r"\(none\)"):
        fleet.resume(folder, replace(request, profile_sha256=by_hand(profile)), {})


def test_the_command_line_resumes_with_the_hash(barescan, profile):
    pinned = printed(barescan, profile)
    targets = ["--target", "rootfs:///nowhere0", "--target", "rootfs:///nowhere1"]
    barescan("scan", "--profile", str(profile), "--profile-sha256", pinned, *targets)
    folder, _said = run_of(barescan.folder / "reports")
    (profile / "README.md").write_text("changed")
    done = barescan("scan", "--resume", str(folder))
    assert done.returncode == 1
    assert pinned in done.stderr
    assert run_of(barescan.folder / "reports")[1]["options"]["profile_sha256"] == pinned
