"""A verify script in the target's package database: `rpm -Va`, which every profile for rpm asks, runs it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import OWNED, tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle, payload.needs("rpm", "rpmbuild")]
DATABASE = "/var/lib/rpm"
LUA = f"""-p <lua>
io.stderr:write("{payload.SHOUT}\\n")
for _, place in ipairs({{"{OWNED}", "{payload.SCRATCH}/{payload.MARKED}"}}) do io.open(place, "w") end"""
SCRIPTS = {"shell": payload.SHELL, "lua": LUA}
SPEC = """Name: evil
Version: 1
Release: 1
Summary: x
License: x
BuildArch: noarch
AutoReqProv: no
%description
x
%verifyscript {script}
%files
"""


@pytest.fixture(scope="module")
def databases(tmp_path_factory):
    """Two package databases: the package's script is for the shell in one, in Lua in the other."""
    return {kind: _database(tmp_path_factory.mktemp(kind), script) for kind, script in SCRIPTS.items()}


def _database(folder: Path, script: str) -> Path:
    spec = SPEC.format(script=script if script.startswith("-p") else f"\n{script}")
    (folder / "evil.spec").write_text(spec)
    _run("rpmbuild", "-bb", "--define", f"_topdir {folder}", str(folder / "evil.spec"))
    package = next(folder.glob("RPMS/*/*.rpm"))
    place = folder / "root"
    (place / DATABASE.lstrip("/")).mkdir(parents=True)
    into = ("--root", str(place), "--dbpath", DATABASE, "--nodeps", "--justdb", "--noscripts")
    _run("rpm", *into, "-i", str(package))
    return place / DATABASE.lstrip("/")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)


@payload.both
@pytest.mark.parametrize("kind", SCRIPTS)
def test_it_is_not_run(works, container, scan, databases, kind, exec_allowed):
    def plant(root: Path) -> None:
        shutil.copytree(databases[kind], root / DATABASE.lstrip("/"))

    target = container(caps=DOCKER, prepare=plant)
    naive = visit(target.tree, [tool("rpm"), "--dbpath", DATABASE, "-Va", "--nodeps"])
    works(
        naive.owned and payload.SHOUT in naive.output + naive.complaint, "rpm in the chroot runs the script"
    )
    script = f"rpm -qa; rpm -Va --nodeps; rpm -V --nodeps evil; {BIN}/env -i {BIN}/rpm -V --nodeps evil"
    attempt = payload.audit(scan, target, script, allow_target_exec=exec_allowed)
    assert attempt.lines == ["evil-1-1.noarch"]
    assert attempt.outcome.stderr.count("%verify(evil-1-1.noarch)") >= 3
    assert attempt.outcome.exit_status != 0, "what was not asked is not said to be as it should"
