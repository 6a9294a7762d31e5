"""/etc/os-release is a link to a file of the kernel that answers with errors, or with what is no text."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.naive import tool
from tests.hostile.trees.ways import output

pytestmark = [pytest.mark.root, pytest.mark.bundle]


@pytest.mark.parametrize("kind", ["pid", "rootfs"])
@pytest.mark.parametrize("link", ["mem", "attr/current", "clear_refs", "../kmsg", "pagemap", "environ"])
def test_it_does_not_break_the_survey_off(works, planted, scan, kind, link):
    def plant(root):
        (root / "etc/os-release").symlink_to(f"/proc/self/{link}")
        (root / "etc/passwd").symlink_to("/proc/self/mem")

    uri, seen = planted(kind, plant)
    works("Input/output error" in output(tool("grep"), "x", seen / "etc/passwd"), "grep breaks off")
    attempt = scan(uri, f"{BIN}/readlink /etc/os-release")
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == [f"/proc/self/{link}"]
    assert "ID" not in attempt.outcome.facts["os_release"]
