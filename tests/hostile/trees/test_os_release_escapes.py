"""/etc/os-release speaks to the terminal of who reads it, and in more words than it should."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.naive import tool
from tests.hostile.trees.ways import output
from toolkit.reports.text import visible

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ESCAPES = "\x1b]0;owned\x07\x1b[2J\r\u202e"
TEXT = f'ID="{ESCAPES}"\nVERSION_ID={"9" * 100_000}\n' + "".join(f"A{n}=x\n" for n in range(20_000))


@pytest.mark.parametrize("kind", ["pid", "rootfs", "image"])
def test_what_is_kept_is_short_and_is_made_visible(works, planted, scan, kind):
    uri, seen = planted(kind, lambda root: (root / "etc/os-release").write_text(TEXT) and None)
    works(
        ESCAPES in output(tool("head"), "-n1", seen / "etc/os-release"), "head passes them on to a terminal"
    )
    attempt = scan(uri, f"{BIN}/wc -c </etc/os-release")
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == [str(len(TEXT.encode()))]
    found = attempt.outcome.facts["os_release"]
    assert len(str(found)) < 1 << 20
    assert max(len(value) for value in found.values()) <= 200
    assert not set(visible(found["ID"])) & set("\x1b\x07\r\u202e")
