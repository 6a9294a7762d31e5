"""Where a tree has to be given /proc, /dev and /sys it has links to directories of the host."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.trees.ways import SECRET, empty, privately

pytestmark = [pytest.mark.root, pytest.mark.bundle]

COVER = 'mount -t tmpfs tmpfs "$1"; ls "$2"'
LOOK = (
    f"{BIN}/stat -c '%F %N' /$0; {BIN}/stat -fc %T /proc /sys; {BIN}/ls /sys/firmware/bin/ls; {BIN}/ls /dev"
)


@pytest.mark.parametrize("kind", ["rootfs", "image"])
@pytest.mark.parametrize("name", ["proc", "dev", "sys"])
def test_nothing_is_mounted_through_them(works, planted, scan, secret, kind, name):
    def plant(tree):
        (tree / name).rmdir()
        (tree / name).symlink_to(secret.parent)

    uri, tree = planted(kind, plant)
    works(privately(COVER, tree / name, secret.parent) == "", "a script's mount covers the host's directory")
    attempt = scan(uri, LOOK.replace("$0", name))
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines[:4] == [f"directory '/{name}'", "proc", "sysfs", f"{BIN}/ls"]
    assert {"null", "urandom"} <= set(attempt.lines[4:])
    assert secret.read_text() == f"{SECRET}\n"


@pytest.mark.parametrize("name", ["etc", "tmp"])
def test_others_stay_what_they_are(works, planted, scan, secret, name):
    def plant(tree):
        empty(tree)
        (tree / name).rmdir()
        (tree / name).symlink_to(secret.parent)

    uri, tree = planted("rootfs", plant)
    works((tree / name / "secret").read_text() == f"{SECRET}\n", "a script on the host follows it")
    attempt = scan(uri, f"{BIN}/ls /{name}/; {BIN}/readlink /{name}")
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == [str(secret.parent)]
