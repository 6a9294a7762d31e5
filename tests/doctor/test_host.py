"""The machine as it is, and with something taken away."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys

import pytest

from tests.doctor.conftest import NOWHERE, parse

HERE = "this machine"
LOCAL = ("pid://", "image://")

pytestmark = pytest.mark.root


@pytest.fixture
def own_bundle(tmp_path):
    """A directory that says it is a bundle with OpenSCAP only."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    manifest = {
        "format": 1,
        "architecture": platform.machine(),
        "engines": {"openscap": {"version": "1.4.2"}},
    }
    (folder / "bundle.json").write_text(json.dumps(manifest))
    return str(folder)


@pytest.mark.bundle
def test_this_machine_as_it_is(doctor, bundle):
    if not shutil.which("umoci"):
        pytest.skip("needs umoci")
    said = doctor(**NOWHERE)
    assert said.status == 0
    assert {said.ways[way] for way in LOCAL} == {"can be used"}
    assert str(bundle.path) in said.words(HERE, "bundle")
    assert said.state(HERE, "InSpec engine") == ("ok" if "cinc" in bundle.manifest["engines"] else "no")
    assert said.state(HERE, "system calls") == "ok"
    assert platform.release() in said.words(HERE, "kernel")


def test_nothing_works_without_capabilities_engine_and_cluster(doctor, own_bundle):
    bare = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    said = doctor(prefix=bare, BARESCAN_BUNDLE=own_bundle, **NOWHERE)
    assert said.status == 2
    assert said.words("pid://, rootfs://", "capabilities").startswith("this process lacks ")
    assert "SYS_ADMIN" in said.words("pid://, rootfs://", "capabilities")
    assert not [way for way, verdict in said.ways.items() if verdict.startswith("can be")]
    assert said.state(HERE, "system calls") == "ok"  # they are there, only not for us


def test_system_calls_that_are_filtered_are_told_from_rights_that_are_missing(doctor, own_bundle):
    filtered = "import platform, runpy, sys; from toolkit.agent import kernel; "
    filtered += "from toolkit.bundle import filters; kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1); "
    filtered += "kernel.set_seccomp_filter(filters.compiled(platform.machine(), network=True)); "
    filtered += "sys.argv[1:] = ['doctor']; runpy.run_module('toolkit', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", filtered],
        env=os.environ | NOWHERE | {"BARESCAN_BUNDLE": own_bundle},
        capture_output=True,
        text=True,
        check=False,
    )
    said = parse(done.returncode, done.stdout)
    assert said.state(HERE, "system calls") == "no"
    line = said.words(HERE, "system calls")
    assert "mount_setattr" in line
    assert "seccomp profile" in line


def test_without_root_nothing_can_be_entered(doctor, own_bundle):
    reads = "+dac_read_search"  # or it could not read barescan itself, where that is root's
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    nobody += [f"--inh-caps={reads}", f"--ambient-caps={reads}"]
    said = doctor(prefix=nobody, HOME="/nowhere", BARESCAN_BUNDLE=own_bundle, **NOWHERE)
    assert said.status == 2
    assert said.words("pid://, rootfs://", "root").endswith("→ run the same command with sudo")
    assert said.state("image://", "user namespaces") == "no"
    assert said.ways["pid://"] == "can't be used: root, capabilities"
    assert said.ways["image://"] == "can't be used: user namespaces"


def test_a_bundle_that_is_not_built_is_not_built_to_be_looked_at(doctor, tmp_path):
    if not shutil.which("mmdebstrap"):
        pytest.skip("needs mmdebstrap")
    environment = NOWHERE | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "BARESCAN_GEMS": ""}
    said = doctor(**environment)
    assert said.state(HERE, "bundle") == "unknown"
    assert "invoke bundle.build" in said.words(HERE, "bundle")
    assert said.ways["pid://"] == "can be used, as far as can be told (unknown: bundle)"
    assert not (tmp_path / "cache").exists()


def test_what_is_not_installed_is_named_with_its_package(doctor, tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("setpriv", "unshare", "chroot"):
        (programs / name).symlink_to(str(shutil.which(name)))
    said = doctor(PATH=str(programs), XDG_CACHE_HOME=str(tmp_path / "cache"), BARESCAN_GEMS="", **NOWHERE)
    assert said.state(HERE, "bundle") == said.state(HERE, "building a bundle") == "no"
    assert "apt-get install mmdebstrap" in said.words(HERE, "bundle")
    assert said.state("image://", "umoci") == "no"
    assert "umoci" in said.words("image://", "umoci").partition("apt-get install")[2]
    assert said.status == 2


def test_a_bundle_without_inspec_says_how_to_get_it(doctor, own_bundle):
    said = doctor(BARESCAN_BUNDLE=own_bundle, **NOWHERE)
    assert said.state(HERE, "bundle") == "ok"
    assert said.state(HERE, "InSpec engine") == "no"
    assert "BARESCAN_GEMS" in said.words(HERE, "InSpec engine")
    assert said.ways["pid://"] == "can be used"  # OpenSCAP is an engine too


def test_gems_that_are_not_there_are_named(doctor, tmp_path):
    said = doctor(BARESCAN_GEMS=str(tmp_path / "none"), **NOWHERE)
    assert said.state(HERE, "bundle") == "no"
    assert "no directory of gems" in said.words(HERE, "bundle")
    assert said.ways["pid://"].startswith("can't be used: bundle")
