"""Start-up files of a shell: in /etc, and in the home that passwd names for a shell without HOME."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle]
HOME = "/home/evil"
LOGIN = ("/etc/profile", f"{HOME}/.bash_profile", f"{HOME}/.bash_login", f"{HOME}/.profile")
INTERACTIVE = ("/etc/bash.bashrc", f"{HOME}/.bashrc")
END = ("/etc/bash.bash_logout", f"{HOME}/.bash_logout")
SHELLS = (
    (LOGIN, ("bash", "-l", "-c", "echo $((6 * 7))")),
    (INTERACTIVE, ("bash", "-i", "-c", "echo $((6 * 7))")),
    (END, ("bash", "-l", "-c", "echo $((6 * 7)); exit")),
    (LOGIN, ("sh", "-l", "-c", "echo $((6 * 7))")),
)


def _plant(files: tuple[str, ...], root: Path) -> None:
    payload.write(root, "/etc/passwd", f"root:x:0:0:root:{HOME}:/bin/bash\n")
    for file in files:
        payload.write(root, file, f"{payload.SHELL}\n")


@payload.both
@pytest.mark.parametrize(("files", "command"), SHELLS, ids=lambda value: value[0])
def test_they_are_not_read(works, container, scan, files, command, exec_allowed):
    target = container(caps=DOCKER, prepare=lambda root: _plant(files, root))
    naive = visit(target.tree, [tool("env"), "-i", tool("bash"), *command[1:]])
    works(naive.owned and payload.SHOUT in naive.complaint, f"{files[0]} is read by a shell in the chroot")
    quoted = " ".join(f"'{word}'" for word in command)
    homes = ("", "HOME=$(getent passwd root | cut -d: -f6)", f"HOME={HOME}")
    script = "; ".join(f"{BIN}/env -i {home} {BIN}/{quoted}" for home in homes)
    attempt = payload.audit(scan, target, script, allow_target_exec=exec_allowed)
    assert attempt.lines == ["42"] * 3
