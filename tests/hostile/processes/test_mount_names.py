"""A mount point whose name holds what Python takes for the end of a line, so that it is not found."""

from __future__ import annotations

import subprocess

import pytest

from toolkit.agent import mounts

pytestmark = [pytest.mark.root]


def test_a_mount_can_not_hide_behind_its_name(works, tmp_path):
    place = tmp_path / "a\x0b\x1cb"
    place.mkdir()
    command = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs t "$0" && cat /proc/self/mountinfo', place]
    table = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    points = [line.split()[4] for line in table.decode().splitlines() if len(line.split()) > 4]
    works(str(place) not in points, "whoever splits the table at every end of a line misses it")
    found = mounts.parse(table)[-1]
    assert (found.point, found.kind) == (str(place), "tmpfs")
