"""Options to which the target's /etc/popt gives another meaning: what rpm is asked becomes a command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle, payload.needs("rpm")]

LINE = "rpm alias --version --eval %(touch${IFS}/owned${IFS}/sys/firmware/tmp/owned)\n"


def _plant(root: Path) -> None:
    for file in ("/etc/popt", "/etc/popt.d/evil", "/usr/lib/rpm/rpmpopt-4.20.1", "/root/.popt"):
        payload.write(root, file, LINE)


@payload.both
def test_they_mean_what_they_say(works, container, scan, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("rpm"), "--version"])
    works(naive.owned, "rpm in the chroot runs the command")
    command = f"{BIN}/rpm --version"
    script = f"{command}; {BIN}/env -i {command}; HOME=/root {command}"
    attempt = payload.audit(scan, target, script, allow_target_exec=exec_allowed)
    assert [line.rpartition(" ")[0] for line in attempt.lines] == ["RPM version"] * 3
