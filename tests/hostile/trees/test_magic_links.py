"""Files of the target are links through magic links of /proc, which lead to the root of who follows them."""

from __future__ import annotations

import os

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.trees.ways import SECRET

pytestmark = [pytest.mark.root, pytest.mark.bundle]


@pytest.mark.parametrize("kind", ["pid", "rootfs"])
@pytest.mark.parametrize("through", ["self/root", f"{os.getpid()}/root", "self/cwd", "self/fd/99"])
def test_they_lead_into_the_target_or_nowhere(works, planted, scan, secret, monkeypatch, kind, through):
    link = f"/proc/{through}{secret}"

    def plant(tree):
        for name in ("os-release", "passwd"):
            (tree / "etc" / name).symlink_to(link)

    uri, seen = planted(kind, plant)
    monkeypatch.chdir("/")
    root = os.open("/", os.O_RDONLY)
    os.dup2(root, 99)
    try:
        works(SECRET in (seen / "etc/passwd").read_text(), "a script on the host follows it")
    finally:
        os.close(root)
        os.close(99)
    attempt = scan(uri, f"{BIN}/cat /etc/passwd; {BIN}/readlink /etc/passwd")
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == [link]
    assert attempt.outcome.facts["os_release"] == {}
