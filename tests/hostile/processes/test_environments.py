"""Root of the target reads the environment of whoever joins it, /proc/PID/environ, for the secrets in it."""

from __future__ import annotations

import pytest

from tests.hostile.naive import joined
from tests.hostile.processes import others

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ACT = r"""
static int act(int pid)
{
    static char content[1 << 16];
    int length = read_of(pid, "environ", content, sizeof content);
    for (int i = 0; i < length; i += strlen(content + i) + 1)
        if (!strncmp(content + i, "SECRET=", 7))
            strncpy(what, content + i, sizeof what - 1);
    return length > 0;
}
"""


def test_it_is_not_read(works, container, scan, monkeypatch):
    monkeypatch.setenv("SECRET", "of the host")
    target = others.start(container, ACT)
    with joined(target.pid, "sleep", "30", capabilities=others.POOR):
        works("SECRET=of the host" in others.got(target), "it reads a secret of who has joined")
    others.scanned_in_vain(target, scan)
