"""rpm's macro files in the target, where %(…) is a command that rpm runs as soon as the macro is used."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle, payload.needs("rpm")]
HOME = "/home/evil"
FILES = (
    "/usr/lib/rpm/macros",
    "/usr/lib/rpm/macros.d/macros.evil",
    "/usr/lib/rpm/platform/x86_64-linux/macros",
    "/etc/rpm/macros",
    "/etc/rpm/macros.evil",
    f"{HOME}/.rpmmacros",
    f"{HOME}/.config/rpm/macros",
)


def _plant(root: Path) -> None:
    payload.write(root, "/etc/passwd", f"root:x:0:0:root:{HOME}:/bin/sh\n")
    for file in FILES:
        payload.write(root, file, f"%_dbpath %({payload.SHELL}; echo {file})\n%_target_cpu evil\n")


@payload.both
def test_they_are_not_expanded(works, container, scan, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("rpm"), "-qa"])
    works(naive.owned and payload.SHOUT in naive.complaint, "rpm in the chroot runs the command")
    command = f"{BIN}/rpm --eval '%{{_dbpath}} %{{_target_cpu}}'"
    script = f"{command}; HOME={HOME} {command}; {BIN}/env -i {command}; {BIN}/rpm -qa || echo no database"
    attempt = payload.audit(scan, target, script, allow_target_exec=exec_allowed)
    assert [line.split()[0] for line in attempt.lines[:3]] == ["/var/lib/rpm"] * 3
    assert attempt.lines[3:] == ["no database"]
