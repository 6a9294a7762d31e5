"""A profile leaves a daemon behind that goes on when the scan has ended."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.hostile.profiles.engine import answered, end, malicious, plant, running

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# Twice forked, in a session of its own, with no descriptor that anybody could wait for.
ATTACK = """
import os, sys, time
mark = "%s"
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 100)
        time.sleep(60)
    os._exit(0)
os.wait()
print("left", flush=True)
"""


def test_it_ends_with_the_scan(works, container, scan):
    mark = "naive-daemon"
    subprocess.run([sys.executable, "-I", "-S", "-c", ATTACK % mark], stdout=subprocess.DEVNULL, check=True)
    left = running(mark)
    end(mark)
    works(left, "it lives on when the script has ended")
    target = container(prepare=plant)
    assert answered(scan(target.uri, malicious(ATTACK % "confined-daemon"))) == ["left"]
    assert running("confined-daemon") == []
