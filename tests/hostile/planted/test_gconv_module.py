"""A character set that the target's gconv-modules names: its converter is a shared library."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle]
CONFIGURATION = (
    "module EVIL// INTERNAL evil 1\nmodule INTERNAL EVIL// evil 1\nmodule UTF-16// INTERNAL evil 1\n"
)


def _plant(root: Path) -> None:
    for folder in (f"{payload.LIBRARIES}/gconv", "usr/lib/gconv"):
        payload.library(root / folder / "evil.so")
        payload.write(root, f"{folder}/gconv-modules", CONFIGURATION)
        payload.write(root, f"{folder}/gconv-modules.cache", "")  # useless, so that the text is read
    payload.write(root, "/etc/issue", "plain\n")


@payload.both
def test_it_is_not_loaded(works, container, scan, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("iconv"), "-f", "EVIL", "-t", "UTF-8", "/etc/issue"])
    works(naive.owned and payload.SHOUT in naive.complaint, "iconv in the chroot loads the converter")
    command = "iconv -f EVIL -t UTF-8 /etc/issue"
    script = f"{command} || {BIN}/env -i {BIN}/{command} || echo none; "
    script += "iconv -f UTF-8 -t UTF-16LE /etc/issue | od -An -tx1"
    attempt = payload.audit(scan, target, script, allow_target_exec=exec_allowed)
    assert attempt.lines == ["none", " 70 00 6c 00 61 00 69 00 6e 00 0a 00"]
    assert attempt.outcome.stderr.count("conversion from `EVIL' is not supported") == 2
