"""Programs of the target with the names of all tools, first in its PATH, to answer what the target likes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.hostile.conftest import DOCKER
from tests.hostile.naive import visit
from tests.hostile.planted import payload
from toolkit.bundle.build import Bundle

pytestmark = [pytest.mark.root, pytest.mark.bundle]
PLACES = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin")
ENGINES = ("python", "oscap", "ruby")
TRUE = {
    "uname -s": "Linux",
    "id -u": "0",
    "stat -c %n /usr/bin/ls": "/usr/bin/ls",
    "ls -1 /usr/bin/ls": "/usr/bin/ls",
    "cat /etc/issue": "true content",
    "/usr/bin/cat /etc/issue": "true content",
    "/bin/cat /etc/issue": "true content",
    "sh -c 'cat /etc/issue'": "true content",
    "xargs cat </etc/list": "true content",
    "find /etc/issue -exec cat {} +": "true content",
    "awk 'BEGIN { system(\"cat /etc/issue\") }'": "true content",
    "command -v ls": "/usr/local/sbin/ls",
}


def _names(bundle: Bundle) -> list[str]:
    """Return the names of the tools that the bundle has; its engines are no tools."""
    return sorted(path.name for path in (bundle.path / "bin").iterdir() if not path.name.startswith(ENGINES))


def _plant(names: list[str], root: Path) -> None:
    program = payload.program(root / "program")
    for place in PLACES:
        (root / place).mkdir(parents=True)
        for name in names:
            os.link(program, root / place / name)
    program.unlink()
    payload.write(root, "/etc/issue", "true content\n")
    payload.write(root, "/etc/list", "/etc/issue\n")


@payload.both
def test_they_answer_nothing(works, bundle, container, scan, exec_allowed):
    names = _names(bundle)
    target = container(caps=DOCKER, prepare=lambda root: _plant(names, root))
    naive = visit(target.tree, ["ls", "/"])
    works(naive.owned and payload.SHOUT in naive.complaint, "ls in the chroot is the target's")
    every = "; ".join(f"{name} --version </dev/null >/dev/null 2>>all" for name in names)
    script = f"{'; '.join(TRUE)}; {every}; grep -c '{payload.SHOUT}' all"
    attempt = payload.audit(scan, target, script, allow_target_exec=exec_allowed, timeout=60)
    assert attempt.lines == [*TRUE.values(), "0"]
