"""Keys of a shell bound to commands by the target's inputrc, in /etc or in the home that passwd names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle]

HOME = "/home/evil"
FILES = ("/etc/inputrc", f"{HOME}/.inputrc")
TYPED = 'printf "q\\\\nexit\\\\n"'


def _plant(file: str, root: Path) -> None:
    payload.write(root, "/etc/passwd", f"root:x:0:0:root:{HOME}:/bin/bash\n")
    payload.write(root, file, f'"q": "{payload.SHELL}\\n"\n')


@payload.both
@pytest.mark.parametrize("file", FILES)
def test_they_are_not_bound(works, container, scan, file, exec_allowed):
    target = container(caps=DOCKER, prepare=lambda root: _plant(file, root))
    naive = visit(target.tree, [tool("sh"), "-c", f"{TYPED} | HOME={HOME} bash -i"])
    works(naive.owned, "the key runs the command in the chroot")
    script = "; ".join(f"{TYPED} | {BIN}/env -i {home} {BIN}/bash -i" for home in ("", f"HOME={HOME}"))
    attempt = payload.audit(scan, target, script, allow_target_exec=exec_allowed)
    assert attempt.outcome.stderr.count("q: command not found") == 2
