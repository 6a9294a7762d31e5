"""A decompressor that is found by PATH in the target, which starts what lies there (as in CVE-2026-41567)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle, payload.needs("tar", "gzip")]

HELPERS = ("gzip", "bzip2", "xz", "zstd", "lzip", "compress")


def _plant(root: Path) -> None:
    for helper in HELPERS:
        payload.program(root / "usr/bin" / helper)


@payload.both
def test_it_is_not_started(works, container, scan, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("sh"), "-c", "tar -cf /tmp/a /etc/issue; tar -tzf /tmp/a"])
    works(naive.owned and payload.SHOUT in naive.complaint, "tar in the chroot starts the gzip of the target")
    made = "echo content > file; tar -czf a.tgz file"
    script = (
        f"{made}; tar -tzf a.tgz; tar -xOzf a.tgz; gzip -c file | zcat; {BIN}/env -i {BIN}/tar -tzf a.tgz"
    )
    attempt = payload.audit(scan, target, script, allow_target_exec=exec_allowed)
    assert attempt.lines == ["file", "content", "content", "file"]


def test_one_that_only_the_target_has_is_refused(works, container, scan):
    target = container(caps=DOCKER, prepare=_plant)
    script = "echo content > file; tar -cJf a.txz file || echo none; tar -cf a file; tar -tJf a || echo none"
    allowed = scan(target.uri, script, allow_target_exec=True)
    works(payload.SHOUT in allowed.outcome.stderr, "it is started where programs of the target may be")
    attempt = payload.audit(scan, target, script)
    assert attempt.lines == ["none", "none"]
    assert "Permission denied" in attempt.outcome.stderr
