"""Processes that listen hide by names that are no text."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, NOBODY
from tests.hostile.processes.test_process_names import NAMED

pytestmark = [pytest.mark.root, pytest.mark.bundle]


@pytest.mark.parametrize("name", [b"sshd\xff", b"\xed\xa0\x80", b'a",fd=1', b"a\n) R 1"])
def test_a_listening_process_is_seen_whatever_its_name(works, container, scan, name):
    target = container(NAMED, os.fsdecode(name), user=NOBODY)
    works(not _understood(target.pid), "a script can't make sense of the name or of what follows it")
    attempt = scan(target.uri, f"{BIN}/ss -Hltnp")
    listening = [line for line in attempt.lines if "0.0.0.0:2222" in line]
    assert len(listening) == 1
    assert "pid=1,fd=" in "".join(attempt.lines)
    assert "incomplete" not in attempt.outcome.facts["target"]


def _understood(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        name, parent = text.split("(")[1].split(")")[0], int(text.split(") ")[1].split()[1])
    except (UnicodeDecodeError, ValueError):
        return False
    return name.isalnum() and parent > 1
