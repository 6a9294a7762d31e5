"""Python files of the target that every Python reads at its start: sitecustomize, usercustomize, *.pth."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import OWNED, tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle, payload.needs("python3")]
CODE = f"import os\nos.write(2, b'{payload.SHOUT}\\n')\nopen('{OWNED}', 'w').close()\n"
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
PLACES = (
    "/usr/lib/python3/dist-packages",
    *(f"/usr/local/lib/python{version}/dist-packages" for version in VERSIONS),
    *(f"/usr/lib/python{version}/site-packages" for version in VERSIONS),
    *(f"/home/evil/.local/lib/python{version}/site-packages" for version in VERSIONS),
)


def _plant(root: Path) -> None:
    payload.write(root, "/etc/passwd", "root:x:0:0:root:/home/evil:/bin/bash\n")
    for place in PLACES:
        for module in ("sitecustomize", "usercustomize", "planted"):
            payload.write(root, f"{place}/{module}.py", CODE)
        payload.write(root, f"{place}/planted.pth", "import planted\n")
    for version in VERSIONS:
        payload.write(root, f"/etc/python{version}/sitecustomize.py", CODE)


@payload.both
def test_they_are_not_read(works, container, scan, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("python3"), "-c", "print(6 * 7)"])
    works(naive.owned and payload.SHOUT in naive.complaint, "python3 in the chroot reads them")
    command = f"{BIN}/python3 -c 'print(6 * 7)'"
    script = f"{command}; {BIN}/env -i {command}; HOME=/home/evil {command}"
    attempt = payload.audit(scan, target, script, allow_target_exec=exec_allowed)
    assert attempt.lines == ["42"] * 3
    assert payload.SHOUT not in attempt.complaint
