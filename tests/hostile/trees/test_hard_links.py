"""A volume that is shared with the host holds hard links to files of the host's."""

from __future__ import annotations

import os

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import from_outside
from tests.hostile.trees.ways import SECRET

pytestmark = [pytest.mark.root, pytest.mark.bundle]

WRITE = "for f in /etc/volume; do echo x >$f; done 2>/sys/firmware/tmp/said"
TRY = (
    f"{BIN}/cat /etc/volume; {BIN}/stat -c %h:%a /etc/volume; {BIN}/chmod 777 /etc/volume;"
    f"{BIN}/touch /etc/volume; {BIN}/ln /etc/volume /etc/another; {WRITE}"
)


def _about(path):
    found = path.stat()
    return found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns, found.st_mode, found.st_nlink


@pytest.mark.parametrize("without", [[], ["landlock"], ["read-only"]])
def test_they_are_read_and_not_even_their_times_change(works, container, scan, secret, without):
    linked = secret.parent / "linked"
    secret.chmod(0o600)
    os.link(secret, linked)
    target = container(caps=DOCKER, files={"/etc/volume": str(linked)})
    os.utime(secret, (0, 0))
    before = _about(secret)
    assert SECRET in from_outside(target.pid, "/etc/volume").read_text()
    works(_about(secret) != before, "a script that only reads changes when the host's file was read")
    os.utime(secret, (0, 0))
    before = _about(secret)
    attempt = scan(target.uri, TRY, without=without)
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == [SECRET, "2:600"]
    if "read-only" not in without:  # alone it holds back the times, which whoever owns a file may set
        assert _about(secret) == before
    assert secret.read_text() == f"{SECRET}\n"
    assert (secret.stat().st_mode, secret.stat().st_nlink) == (0o100600, 2)
    assert target.written() <= {"etc/volume"}
