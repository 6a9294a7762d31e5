"""The control group of a scan on this host: bounds that hold, and nothing left of it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from toolkit.agent import cgroup
from toolkit.runtimes import cgroups

pytestmark = pytest.mark.root


def _made() -> set[Path]:
    return {*cgroup.MOUNT.glob(f"**/barescan-{os.getpid()}-*")}


@pytest.fixture
def group():
    with cgroups.group() as made:
        if not made.made:
            pytest.skip("no control group can be made here")
        yield made


def test_what_is_added_is_bounded(group):
    look = "read -r _; exec python3 -c 'from toolkit.agent import cgroup; print(cgroup.loose())'"
    process = subprocess.Popen(
        ["sh", "-c", look],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    group.add(process.pid)
    assert process.communicate("go\n", timeout=20)[0] == "\n"


def test_it_is_gone_afterwards_even_with_something_left_in_it():
    before = _made()
    with cgroups.group() as group:
        if not group.made:
            pytest.skip("no control group can be made here")
        process = subprocess.Popen(["sleep", "60"])
        group.add(process.pid)
        process.kill()
        process.wait()
    assert _made() == before


def test_what_a_killed_client_left_is_swept(group):
    dead = subprocess.Popen(["true"])
    dead.wait()
    left = {path.with_name(f"barescan-{dead.pid}-0badcafe") for path in _made()}
    living = {path.with_name(f"barescan-{os.getppid()}-0badcafe") for path in _made()}
    for path in left | living:
        path.mkdir()
    try:
        with cgroups.group():
            assert not any(path.exists() for path in left)
            assert all(path.exists() for path in living)
    finally:
        for path in left | living:
            if path.exists():
                path.rmdir()


def test_a_process_that_has_ended_is_no_trouble(group):
    process = subprocess.Popen(["true"])
    process.wait()
    group.add(process.pid)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0::/user.slice/a:b\n", {"": "/user.slice/a:b"}),
        ("4:memory:/x\n3:cpu,cpuacct:/y\n0::/\n", {"memory": "/x", "cpu": "/y", "cpuacct": "/y", "": "/"}),
    ],
)
def test_the_groups_of_a_process_are_read(text, expected):
    assert cgroup.membership(text) == expected
